package compile_test

import (
	"bytes"
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/sluicehq/sluice/internal/compile"
	"github.com/sluicehq/sluice/internal/engine/aws"
	"github.com/sluicehq/sluice/internal/kube"
	"github.com/sluicehq/sluice/internal/lb"
	"github.com/sluicehq/sluice/internal/plan"
)

var update = flag.Bool("update", false, "rewrite the golden sections of testdata")

// options are those of every case: a cluster named demo, and the features of the AWS engine.
var options = compile.Options{
	Cluster: "demo", IngressClass: "alb", DefaultScheme: lb.Internal, DefaultTargetType: lb.InstanceTargets,
	TolerateMissingService: true, TolerateMissingAction: true, TLSPolicy: "ELBSecurityPolicy-2016-08",
	Features: lb.Features{lb.InstanceTargetsFeature, lb.HTTPSListeners, lb.NetworkFeature, lb.DualStackFeature},
}

// A case is a text archive: a comment saying what holds and why, *.yaml files in, and the sections model and verdicts
// out; a case that has the section plan.aws also shows the plan for an empty AWS account. What stands in last.yaml was
// compiled before, together with the other files, those objects of last.yaml winning. -update rewrites the sections.
func TestCases(t *testing.T) {
	files, err := filepath.Glob("testdata/*/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(strings.TrimPrefix(file, "testdata/"), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if len(bytes.TrimSpace(archive.Comment)) == 0 {
				t.Error("a case opens with a sentence on why it matters")
			}
			contents, malformed := read(t, archive, func(name string) bool { return name != "last.yaml" })
			before, _ := read(t, archive, func(name string) bool { return name == "last.yaml" })
			stacks := compiledAfter(before, contents)
			got := sections(stacks, malformed)
			for seed := range uint64(3) {
				shuffled := sections(compiledAfter(before, shuffle(contents, seed)), malformed)
				if diff := cmp.Diff(got, shuffled); diff != "" {
					t.Errorf("the order of objects matters:\n%s", diff)
				}
			}
			if hasFile(archive, "plan.aws") {
				got["plan.aws"] = planned(t, stacks)
			}
			if *update {
				rewrite(t, file, archive, got)
				return
			}
			want := map[string]string{}
			for _, f := range archive.Files {
				if !strings.HasSuffix(f.Name, ".yaml") {
					want[f.Name] = string(f.Data)
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// compiledAfter compiles what is there, having compiled it before with some objects as they were.
func compiledAfter(before, contents kube.Contents) []compile.Compiled {
	objects := kube.New(contents)
	stacks := compile.Compile(objects, options)
	if len(before.Ingresses) == 0 {
		return stacks
	}
	was := contents
	was.Ingresses = append(slices.Clone(contents.Ingresses), before.Ingresses...) // the later one of a name counts
	last := map[lb.StackID]compile.Forms{}
	for _, s := range compile.Compile(kube.New(was), options) {
		last[s.ID] = s.Forms
	}
	for i, s := range stacks {
		stacks[i] = compile.Stack(objects, options, s.ID, last[s.ID])
	}
	return stacks
}

func read(t *testing.T, archive *txtar.Archive, which func(name string) bool) (kube.Contents, []lb.Verdict) {
	var contents kube.Contents
	var verdicts []lb.Verdict
	for _, f := range archive.Files {
		if strings.HasSuffix(f.Name, ".yaml") && which(f.Name) {
			documents, problems, err := kube.Read(f.Name, bytes.NewReader(f.Data), "default")
			if err != nil {
				t.Fatal(err)
			}
			contents = contents.Add(documents)
			verdicts = append(verdicts, problems...)
		}
	}
	return contents, verdicts
}

func sections(stacks []compile.Compiled, malformed []lb.Verdict) map[string]string {
	var model, verdicts strings.Builder
	for _, v := range lb.SortVerdicts(malformed) {
		verdicts.WriteString(v.String() + "\n")
	}
	for _, s := range stacks {
		if s.Held {
			model.WriteString("stack " + string(s.ID) + " held as it is\n")
		} else {
			model.WriteString(s.Stack.String())
		}
		for _, v := range s.Verdicts {
			verdicts.WriteString(v.String() + "\n")
		}
	}
	out := map[string]string{"model": model.String()}
	if verdicts.Len() > 0 {
		out["verdicts"] = verdicts.String()
	}
	return out
}

func hasFile(archive *txtar.Archive, name string) bool {
	return slices.ContainsFunc(archive.Files, func(f txtar.File) bool { return f.Name == name })
}

func planned(t *testing.T, stacks []compile.Compiled) string {
	offline := aws.NewOffline(aws.Options{Cluster: options.Cluster})
	var out strings.Builder
	for _, s := range stacks {
		if s.Held {
			continue
		}
		p, verdicts, err := offline.Plan(t.Context(), s.Stack)
		if err != nil || len(verdicts) > 0 {
			t.Fatal(err, verdicts)
		}
		if err := plan.Print(&out, p); err != nil {
			t.Fatal(err)
		}
	}
	return out.String()
}

func shuffle(c kube.Contents, seed uint64) kube.Contents {
	r := rand.New(rand.NewPCG(seed, 1))
	c.Ingresses = shuffled(r, c.Ingresses)
	c.Services = shuffled(r, c.Services)
	c.IngressClasses = shuffled(r, c.IngressClasses)
	return c
}

func shuffled[T any](r *rand.Rand, list []T) []T {
	out := append([]T(nil), list...)
	r.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

func rewrite(t *testing.T, file string, archive *txtar.Archive, got map[string]string) {
	out := &txtar.Archive{Comment: archive.Comment}
	for _, f := range archive.Files {
		if strings.HasSuffix(f.Name, ".yaml") {
			out.Files = append(out.Files, f)
		}
	}
	for _, name := range []string{"model", "verdicts", "plan.aws", "plan.envoy"} {
		if text, ok := got[name]; ok {
			out.Files = append(out.Files, txtar.File{Name: name, Data: []byte(text)})
		}
	}
	if err := os.WriteFile(file, txtar.Format(out), 0o644); err != nil {
		t.Fatal(err)
	}
}
