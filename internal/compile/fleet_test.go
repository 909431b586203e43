package compile_test

import (
	"bytes"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/sluicehq/sluice/internal/compile"
	"github.com/sluicehq/sluice/internal/engine/envoy"
	"github.com/sluicehq/sluice/internal/kube"
	"github.com/sluicehq/sluice/internal/lb"
	"github.com/sluicehq/sluice/internal/plan"
)

var fleetOptions = compile.FleetOptions{}

// The cases of what an Envoy fleet serves: manifests in, the sections model and verdicts out; a case that has the
// section plan.envoy also shows what an empty fleet would be told.
func TestFleetCases(t *testing.T) {
	files, err := filepath.Glob("testdata/fleet/*/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(strings.TrimPrefix(file, "testdata/fleet/"), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if len(bytes.TrimSpace(archive.Comment)) == 0 {
				t.Error("a case opens with a sentence on why it matters")
			}
			contents, malformed := read(t, archive, func(string) bool { return true })
			compiled := compile.FleetOf(kube.New(contents), fleetOptions)
			got := fleetSections(compiled, malformed)
			for seed := range uint64(3) {
				again := compile.FleetOf(kube.New(shuffleFleet(contents, seed)), fleetOptions)
				if diff := cmp.Diff(got, fleetSections(again, malformed)); diff != "" {
					t.Errorf("the order of objects matters:\n%s", diff)
				}
			}
			if hasFile(archive, "plan.envoy") {
				got["plan.envoy"] = plannedForEnvoy(t, compiled)
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

func fleetSections(f compile.Fleet, malformed []lb.Verdict) map[string]string {
	var model, verdicts strings.Builder
	for _, s := range f.Stacks {
		model.WriteString(s.String())
	}
	for _, v := range append(lb.SortVerdicts(malformed), f.Verdicts...) {
		verdicts.WriteString(v.String() + "\n")
	}
	out := map[string]string{"model": model.String()}
	if verdicts.Len() > 0 {
		out["verdicts"] = verdicts.String()
	}
	return out
}

func plannedForEnvoy(t *testing.T, f compile.Fleet) string {
	t.Helper()
	offline, err := envoy.NewOffline(envoy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, s := range f.Stacks {
		p, verdicts, err := offline.Plan(t.Context(), s)
		if err != nil || len(verdicts) > 0 {
			t.Fatal(err, verdicts)
		}
		if err := plan.Print(&out, p); err != nil {
			t.Fatal(err)
		}
	}
	return out.String()
}

func shuffleFleet(c kube.Contents, seed uint64) kube.Contents {
	c = shuffle(c, seed)
	r := rand.New(rand.NewPCG(seed, 2))
	c.Secrets = shuffled(r, c.Secrets)
	c.HTTPProxies = shuffled(r, c.HTTPProxies)
	c.TLSCertificateDelegations = shuffled(r, c.TLSCertificateDelegations)
	return c
}

func TestRootsOnlyWhereTheyMayBe(t *testing.T) {
	documents, problems, err := kube.Read("in.yaml", strings.NewReader(`
apiVersion: projectcontour.io/v1
kind: HTTPProxy
metadata: {name: root, namespace: team}
spec:
  virtualhost: {fqdn: a.example.com}
  routes: [{directResponsePolicy: {statusCode: 200}}]
---
apiVersion: projectcontour.io/v1
kind: HTTPProxy
metadata: {name: root, namespace: roots}
spec:
  virtualhost: {fqdn: b.example.com}
  routes: [{directResponsePolicy: {statusCode: 200}}]
`), "default")
	if err != nil || len(problems) > 0 {
		t.Fatal(err, problems)
	}
	f := compile.FleetOf(kube.New(kube.Contents{}.Add(documents)), compile.FleetOptions{RootNamespaces: []string{"roots"}})
	if len(f.Stacks) != 1 || f.Stacks[0].ID != "host:b.example.com" {
		t.Errorf("stacks %v, want that of namespace roots only", f.Stacks)
	}
	if len(f.Verdicts) != 1 || f.Verdicts[0].Reason != "RootProxyNotAllowedInNamespace" || f.Verdicts[0].Object.Namespace != "team" {
		t.Errorf("verdicts %v", f.Verdicts)
	}
}

func TestConfiguredClassesAreTheOnlyOnes(t *testing.T) {
	documents, problems, err := kube.Read("in.yaml", strings.NewReader(`
apiVersion: projectcontour.io/v1
kind: HTTPProxy
metadata: {name: a}
spec: {ingressClassName: edge, virtualhost: {fqdn: a.example.com}, routes: [{directResponsePolicy: {statusCode: 200}}]}
---
apiVersion: projectcontour.io/v1
kind: HTTPProxy
metadata: {name: b}
spec: {ingressClassName: contour, virtualhost: {fqdn: b.example.com}, routes: [{directResponsePolicy: {statusCode: 200}}]}
---
apiVersion: projectcontour.io/v1
kind: HTTPProxy
metadata: {name: c}
spec: {virtualhost: {fqdn: c.example.com}, routes: [{directResponsePolicy: {statusCode: 200}}]}
`), "default")
	if err != nil || len(problems) > 0 {
		t.Fatal(err, problems)
	}
	f := compile.FleetOf(kube.New(kube.Contents{}.Add(documents)), compile.FleetOptions{Classes: []string{"edge"}})
	if len(f.Stacks) != 1 || f.Stacks[0].ID != "host:a.example.com" {
		t.Errorf("stacks %v, want that of class edge only", f.Stacks)
	}
}
