package endpoints

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	elbv2api "github.com/sluicehq/sluice/api/elbv2/v1beta1"
	"github.com/sluicehq/sluice/internal/kube"
	"github.com/sluicehq/sluice/internal/lb"
)

var update = flag.Bool("update", false, "rewrite what the cases expect")

// Each case is a file of manifests; "wanted" is what its TargetGroupBinding wants.
func TestCases(t *testing.T) {
	files, err := filepath.Glob("testdata/*/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no cases", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			contents := manifests(t, archive)
			got := show(Of(kube.New(contents), contents.TargetGroupBindings[0]))
			for range 5 {
				shuffle(contents)
				if again := show(Of(kube.New(contents), contents.TargetGroupBindings[0])); again != got {
					t.Fatalf("the order of objects matters:\n%s", cmp.Diff(got, again))
				}
			}
			want := &archive.Files[len(archive.Files)-1]
			if *update {
				want.Data = []byte(got)
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(string(want.Data), got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func manifests(t *testing.T, archive *txtar.Archive) kube.Contents {
	t.Helper()
	documents, verdicts, err := kube.Read(archive.Files[0].Name, bytes.NewReader(archive.Files[0].Data), "default")
	if err != nil || len(verdicts) > 0 {
		t.Fatal(err, verdicts)
	}
	contents := kube.Contents{}.Add(documents)
	if len(contents.TargetGroupBindings) != 1 {
		t.Fatal("a case has one TargetGroupBinding")
	}
	return contents
}

func shuffle(c kube.Contents) {
	rand.Shuffle(len(c.Nodes), func(i, j int) { c.Nodes[i], c.Nodes[j] = c.Nodes[j], c.Nodes[i] })
	rand.Shuffle(len(c.EndpointSlices), func(i, j int) {
		c.EndpointSlices[i], c.EndpointSlices[j] = c.EndpointSlices[j], c.EndpointSlices[i]
	})
}

func show(w Wanted) string {
	var b strings.Builder
	if w.Held {
		b.WriteString("held as it is\n")
	}
	for _, t := range w.Targets {
		fmt.Fprintf(&b, "%s %d\n", t.ID, t.Port)
	}
	if len(w.Targets) == 0 && !w.Held {
		b.WriteString("no targets\n")
	}
	for _, o := range w.Openings {
		fmt.Fprintf(&b, "lets in at %s:\n", o.At)
		for _, r := range o.Rules {
			fmt.Fprintln(&b, "  "+r.String())
		}
	}
	for _, v := range w.Verdicts {
		fmt.Fprintln(&b, v)
	}
	return b.String()
}

func TestChanges(t *testing.T) {
	a, b, c := lb.Target{ID: "a", Port: 80}, lb.Target{ID: "b", Port: 80}, lb.Target{ID: "b", Port: 81}
	for _, test := range []struct{ name, have, want, add, remove []lb.Target }{
		{},
		{want: []lb.Target{b, a}, add: []lb.Target{a, b}},
		{have: []lb.Target{c, a}, remove: []lb.Target{a, c}},
		{have: []lb.Target{a, b}, want: []lb.Target{b, c}, add: []lb.Target{c}, remove: []lb.Target{a}},
		{have: []lb.Target{a}, want: []lb.Target{a}},
	} {
		add, remove := Changes(test.have, test.want)
		if diff := cmp.Diff(test.add, add) + cmp.Diff(test.remove, remove); diff != "" {
			t.Errorf("from %v to %v: %s", test.have, test.want, diff)
		}
	}
}

// Each is what one binding asks for; then what they ask for together.
func TestMergeIngress(t *testing.T) {
	tcp := func(from, to int32, source lb.SecurityGroupID) lb.IngressRule {
		return lb.IngressRule{Protocol: "tcp", From: from, To: to, Group: source}
	}
	udp := lb.IngressRule{Protocol: "udp", From: 53, To: 53, Group: "sg-lb"}
	world := lb.IngressRule{Protocol: "tcp", From: 443, To: 443, CIDR: "0.0.0.0/0"}
	for _, test := range []struct {
		name string
		all  []lb.Ingress
		want lb.Ingress
	}{
		{"nothing", []lb.Ingress{nil, {}}, lb.Ingress{}},
		{
			"one range from the lowest to the highest port", []lb.Ingress{
				{"sg-a": {tcp(8080, 8080, "sg-lb")}}, {"sg-a": {tcp(80, 80, "sg-lb"), tcp(9090, 9090, "sg-lb")}},
			},
			lb.Ingress{"sg-a": {tcp(80, 9090, "sg-lb")}},
		},
		{
			"all ports win", []lb.Ingress{{"sg-a": {tcp(0, 65535, "sg-lb")}}, {"sg-a": {tcp(80, 80, "sg-lb")}}},
			lb.Ingress{"sg-a": {tcp(0, 65535, "sg-lb")}},
		},
		{
			"groups, sources and protocols apart", []lb.Ingress{
				{"sg-a": {tcp(80, 80, "sg-lb"), udp}, "sg-b": {tcp(81, 81, "sg-lb")}}, {"sg-a": {tcp(90, 90, "sg-other")}},
			},
			lb.Ingress{"sg-a": {tcp(80, 80, "sg-lb"), tcp(90, 90, "sg-other"), udp}, "sg-b": {tcp(81, 81, "sg-lb")}},
		},
		{
			"blocks of addresses as they are", []lb.Ingress{
				{"sg-a": {world}}, {"sg-a": {world, {Protocol: "tcp", From: 445, To: 445, CIDR: "0.0.0.0/0"}}},
			},
			lb.Ingress{"sg-a": {world, {Protocol: "tcp", From: 445, To: 445, CIDR: "0.0.0.0/0"}}},
		},
	} {
		if diff := cmp.Diff(test.want, MergeIngress(test.all)); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
		rand.Shuffle(len(test.all), func(i, j int) { test.all[i], test.all[j] = test.all[j], test.all[i] })
		if diff := cmp.Diff(test.want, MergeIngress(test.all)); diff != "" {
			t.Errorf("%s, in another order: %s", test.name, diff)
		}
	}
}

func TestIngressOf(t *testing.T) {
	web := lb.IngressRule{Protocol: "tcp", From: 80, To: 80, Group: "sg-lb"}
	dns := lb.IngressRule{Protocol: "udp", From: 53, To: 53, Group: "sg-lb"}
	list := []lb.Opening{
		{At: lb.Place{Instance: "i-1"}, Rules: []lb.IngressRule{web}}, {At: lb.Place{Instance: "i-2"}, Rules: []lb.IngressRule{web}},
		{At: lb.Place{Instance: "i-3"}, Rules: []lb.IngressRule{web, dns}}, {At: lb.Place{Instance: "i-4"}, Rules: []lb.IngressRule{dns}},
		{At: lb.Place{Instance: "i-5"}}, {At: lb.Place{Instance: "lost"}, Rules: []lb.IngressRule{dns}},
	}
	got := IngressOf(list, map[lb.Place]lb.SecurityGroupID{
		{Instance: "i-1"}: "sg-a", {Instance: "i-2"}: "sg-a", {Instance: "i-3"}: "sg-a", {Instance: "i-4"}: "sg-b", {Instance: "i-5"}: "sg-c",
	})
	if diff := cmp.Diff(lb.Ingress{"sg-a": {web, dns}, "sg-b": {dns}, "sg-c": nil}, got); diff != "" {
		t.Error(diff)
	}
}

// A checkpoint says that nothing has changed, so it must change whenever other targets are wanted, and with a pod that
// got the address of another: that one may be draining still.
func TestCheckpointTellsWhetherSomethingChanged(t *testing.T) {
	archive, err := txtar.ParseFile("testdata/pods/ready-pods-are-targets.txtar")
	if err != nil {
		t.Fatal(err)
	}
	wanted := func(change func(kube.Contents)) string {
		c := manifests(t, archive)
		change(c)
		return Of(kube.New(c), c.TargetGroupBindings[0]).Checkpoint
	}
	first := wanted(func(kube.Contents) {})
	if a, b, ok := strings.Cut(first, "/"); !ok || len(a) != 43 || len(b) != 43 {
		t.Errorf("checkpoint %q", first)
	}
	if again := wanted(shuffle); again != first {
		t.Error("the order of objects matters")
	}
	for name, change := range map[string]func(kube.Contents){
		"a pod goes":          func(c kube.Contents) { c.EndpointSlices[0].Endpoints = c.EndpointSlices[0].Endpoints[1:] },
		"a pod is replaced":   func(c kube.Contents) { c.Pods[0].CreationTimestamp.Time = c.Pods[0].CreationTimestamp.AddDate(0, 0, 1) },
		"another group":       func(c kube.Contents) { c.TargetGroupBindings[0].Spec.TargetGroupARN += "x" },
		"another port":        func(c kube.Contents) { *c.EndpointSlices[0].Ports[0].Port++ },
		"another target type": func(c kube.Contents) { c.TargetGroupBindings[0].Spec.TargetType = new(elbv2api.TargetTypeInstance) },
	} {
		if wanted(change) == first {
			t.Errorf("%s: the checkpoint is the same", name)
		}
	}
}
