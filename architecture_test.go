package sluice_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/sluicehq/sluice/"

// arrows lists what packages must not import, neither themselves nor through other packages of this module.
var arrows = []struct {
	packages []string
	never    []string
	because  string
}{
	{
		[]string{"internal/lb"},
		[]string{"k8s.io/", "sigs.k8s.io/", "github.com/", "golang.org/", "go.", "net/http", "log"},
		"the model imports the standard library only, so that every engine and front end can share it",
	},
	{
		[]string{"internal/plan"},
		[]string{"k8s.io/", "sigs.k8s.io/", "github.com/aws/", "net/http", "log"},
		"a plan is data about any engine",
	},
	{
		[]string{"internal/kube", "internal/annot", "internal/compile"},
		[]string{"k8s.io/client-go", "sigs.k8s.io/controller-runtime", "github.com/aws/", "net/http", "log", "k8s.io/klog", "github.com/go-logr", "context", module + "internal/engine", module + "internal/control"},
		"compiling is pure: types of the Kubernetes API yes, a client, a logger or a context no",
	},
	{
		[]string{"internal/engine", "internal/engine/aws", "internal/engine/enginetest", "internal/engine/envoy", "internal/engine/envoy/ads"},
		[]string{"k8s.io/", "sigs.k8s.io/", module + "internal/kube", module + "internal/annot", module + "internal/compile", module + "internal/control"},
		"an engine sees the model, never Kubernetes",
	},
	{
		[]string{"internal/engine/envoy/ads"},
		[]string{module + "internal/lb", module + "internal/plan", module + "internal/engine/aws"},
		"serving xDS is a protocol: it knows resources by type and name only",
	},
	{
		[]string{"internal/localaws", "internal/localaws/wire", "internal/proxy"},
		[]string{"k8s.io/", "sigs.k8s.io/controller-runtime", module + "internal/lb", module + "internal/plan", module + "internal/kube", module + "internal/engine", module + "internal/control", module + "api"},
		"local AWS stands in for AWS: what it knew of the controller, the tests would not find out",
	},
	{
		[]string{"internal/proxy"},
		[]string{"github.com/aws/", module + "internal/localaws"},
		"the data plane knows no wire protocol of AWS",
	},
	{
		[]string{"internal/dns"},
		[]string{"k8s.io/", "sigs.k8s.io/", "github.com/", "net/http", "log", module + "internal/kube", module + "internal/annot", module + "internal/compile", module + "internal/engine", module + "internal/control", module + "api"},
		"what becomes of a name is computed from values, whatever reads them and wherever zones are",
	},
	{
		[]string{"internal/dns/source"},
		[]string{"k8s.io/client-go", "sigs.k8s.io/controller-runtime", "github.com/aws/", "net/http", "log", module + "internal/control", module + "internal/engine"},
		"what objects ask of names is computed from objects, without a client",
	},
	{
		[]string{"internal/dns/route53", "internal/dns/rfc2136", "internal/dns/zonetest"},
		[]string{"k8s.io/", "sigs.k8s.io/", module + "internal/kube", module + "internal/annot", module + "internal/compile", module + "internal/engine", module + "internal/control"},
		"a zone sees records, never Kubernetes",
	},
	{
		[]string{"internal/explain"},
		[]string{"k8s.io/client-go", "sigs.k8s.io/controller-runtime", "github.com/aws/", module + "internal/control", module + "internal/engine"},
		"what becomes of a request is told from objects and observations, whoever looked",
	},
	{
		[]string{"internal/endpoints"},
		[]string{"k8s.io/client-go", "sigs.k8s.io/controller-runtime", "github.com/aws/", module + "internal/control", module + "internal/engine/aws"},
		"which targets a Service has is computed from objects, without a client",
	},
}

func TestArrows(t *testing.T) {
	imports := importsOfModule(t)
	for _, arrow := range arrows {
		for _, p := range arrow.packages {
			if _, ok := imports[module+p]; !ok {
				t.Errorf("there is no package %s: correct the list", p)
			}
			for path, chain := range reachable(imports, module+p) {
				if slices.ContainsFunc(arrow.never, func(ban string) bool { return banned(path, ban) }) {
					t.Errorf("%s must not reach %s (%s)\n\tby %s", p, path, arrow.because, strings.Join(chain, " -> "))
				}
			}
		}
	}
}

// banned says whether an import path is the banned one or lies below it; a ban that ends in a slash or a dot is a
// prefix.
func banned(path, ban string) bool {
	if strings.HasSuffix(ban, "/") || strings.HasSuffix(ban, ".") {
		// github.com/sluicehq is this module itself.
		return strings.HasPrefix(path, ban) && !strings.HasPrefix(path, module)
	}
	return path == ban || strings.HasPrefix(path, ban+"/")
}

// reachable returns every import of a package, through packages of this module only, with the way there.
func reachable(imports map[string][]string, from string) map[string][]string {
	seen := map[string][]string{}
	var walk func(p string, chain []string)
	walk = func(p string, chain []string) {
		for _, next := range imports[p] {
			if _, ok := seen[next]; ok {
				continue
			}
			seen[next] = append(slices.Clone(chain), next)
			walk(next, seen[next])
		}
	}
	walk(from, []string{from})
	return seen
}

func importsOfModule(t *testing.T) map[string][]string {
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	imports := map[string][]string{}
	decoder := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return imports
		} else if err != nil {
			t.Fatal(err)
		}
		imports[p.ImportPath] = p.Imports
	}
}
