package explain_test

import (
	"bufio"
	"bytes"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/sluicehq/sluice/internal/compile"
	"github.com/sluicehq/sluice/internal/explain"
	"github.com/sluicehq/sluice/internal/kube"
	"github.com/sluicehq/sluice/internal/lb"
	"github.com/sluicehq/sluice/internal/proxy"
)

var update = flag.Bool("update", false, "rewrite the explanations of testdata")

// A case has manifests (*.yaml), optionally observed (how many lines say "balancer ID DNS-NAME [provisioning]",
// "group ID REF", "health TARGET:PORT STATE [REASON] [DESCRIPTION…]"), and ask sections, each followed by what is explained: the first line
// of an ask is the object, further ones are "port 80", "method GET", "host h", "path /", "header name value", "source ip".
func TestCases(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no cases", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			w := world(t, archive)
			var got []txtar.File
			for _, f := range archive.Files {
				if f.Name == "explained" {
					continue
				}
				got = append(got, f)
				if f.Name == "ask" {
					object, request := question(t, f.Data)
					got = append(got, txtar.File{Name: "explained", Data: []byte(answer(w, object, request).String())})
				}
			}
			now := &txtar.Archive{Comment: archive.Comment, Files: got}
			if *update {
				if err := os.WriteFile(file, txtar.Format(now), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(txtar.Format(archive)), string(txtar.Format(now))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

type observed struct {
	lb.Observed
	health map[lb.Target]lb.TargetHealth
	stacks []compile.Compiled
	kube   *kube.Objects
}

func world(t *testing.T, archive *txtar.Archive) observed {
	t.Helper()
	o := observed{Observed: lb.Observed{TargetGroups: map[lb.ResourceID]lb.TargetGroupRef{}}, health: map[lb.Target]lb.TargetHealth{}}
	var contents kube.Contents
	for _, f := range archive.Files {
		switch {
		case strings.HasSuffix(f.Name, ".yaml"):
			documents, verdicts, err := kube.Read(f.Name, bytes.NewReader(f.Data), "default")
			if err != nil || len(verdicts) > 0 {
				t.Fatal(err, verdicts)
			}
			contents = contents.Add(documents)
		case f.Name == "observed":
			o.read(t, f.Data)
		}
	}
	o.kube = kube.New(contents)
	o.stacks = compile.Compile(o.kube, compile.Options{
		Cluster: "demo", IngressClass: "alb", DefaultScheme: lb.Internal, DefaultTargetType: lb.IPTargets,
		TolerateMissingService: true, TolerateMissingAction: true, Features: lb.Features{lb.InstanceTargetsFeature},
	})
	return o
}

func (o *observed) read(t *testing.T, data []byte) {
	t.Helper()
	for scanner := bufio.NewScanner(bytes.NewReader(data)); scanner.Scan(); {
		words := strings.Fields(scanner.Text())
		switch words[0] {
		case "balancer":
			o.LoadBalancers = append(o.LoadBalancers, lb.ObservedLoadBalancer{
				ID: lb.ResourceID(words[1]), DNSName: words[2], Active: len(words) == 3,
			})
		case "group":
			o.TargetGroups[lb.ResourceID(words[1])] = lb.TargetGroupRef(words[2])
		case "health":
			address, port, _ := strings.Cut(words[1], ":")
			number, err := strconv.Atoi(port)
			if err != nil {
				t.Fatal(err)
			}
			h := lb.TargetHealth{State: words[2]}
			if len(words) > 3 {
				h.Reason, h.Description = words[3], strings.Join(words[4:], " ")
			}
			o.health[lb.Target{ID: address, Port: int32(number)}] = h
		default:
			t.Fatal(scanner.Text())
		}
	}
}

func question(t *testing.T, data []byte) (lb.Object, explain.Request) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	kind, rest, _ := strings.Cut(lines[0], " ")
	namespace, name, _ := strings.Cut(rest, "/")
	var r explain.Request
	for _, line := range lines[1:] {
		word, value, _ := strings.Cut(line, " ")
		switch word {
		case "port":
			n, err := strconv.Atoi(value)
			if err != nil {
				t.Fatal(err)
			}
			r.Port = uint16(n)
		case "method":
			r.Method = value
		case "host":
			r.Host = value
		case "path":
			r.Path = value
		case "header":
			name, value, _ := strings.Cut(value, " ")
			r.Headers = append(r.Headers, proxy.SampleHeader{Name: name, Value: value})
		case "source":
			r.Source = netip.MustParseAddr(value)
		default:
			t.Fatal(line)
		}
	}
	return lb.Object{Kind: kind, Namespace: namespace, Name: name}, r
}

func answer(o observed, about lb.Object, r explain.Request) explain.Node {
	w := explain.World{Objects: o.kube, Observed: o.Observed}
	for _, s := range o.stacks {
		for _, m := range s.Members {
			if m == about {
				w.Stack = s
			}
		}
	}
	if len(o.health) > 0 {
		w.Health = func(lb.TargetGroupRef, []lb.Target) (map[lb.Target]lb.TargetHealth, error) { return o.health, nil }
	}
	return explain.Explain(w, about, r)
}
