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
