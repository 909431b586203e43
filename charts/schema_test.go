package charts

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
)

// TestRenderedObjectsFitKubernetes checks everything that is rendered against the schemas in the Kubernetes module that
// the lab is built from, unknown fields included.
func TestRenderedObjectsFitKubernetes(t *testing.T) {
	schemas := kubernetesSchemas(t)
	files := map[string][]byte{}
	plain, err := os.ReadFile("../config/sluice.yaml")
	if err != nil {
		t.Fatal(err)
	}
	files["config/sluice.yaml"] = plain
	cases, _ := filepath.Glob("testdata/*.txtar") // fails only for a bad pattern
	for _, path := range cases {
		archive, err := txtar.ParseFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range archive.Files {
			if f.Name == "rendered.yaml" {
				files[path] = f.Data
			}
		}
	}
	for name, content := range files {
		cmd := exec.Command("go", "tool", "-modfile=../tools/release/go.mod", "kubeconform", "-strict", "-summary", "-output=json",
			"-skip=CustomResourceDefinition,IngressClassParams,ServiceMonitor", "-schema-location="+schemas+"/{{.ResourceKind}}{{.KindSuffix}}.json")
		cmd.Stdin = bytes.NewReader(content)
		out, err := cmd.CombinedOutput()
		if err != nil || !bytes.Contains(out, []byte(`"valid"`)) {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

// kubernetesSchemas writes a JSON schema for each kind of Kubernetes into a folder, made of the OpenAPI description.
func kubernetesSchemas(t *testing.T) string {
	t.Helper()
	download := exec.Command("go", "mod", "download", "-json", "k8s.io/kubernetes")
	download.Dir = "../lab"
	out, err := download.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var module struct{ Dir string }
	if err := json.Unmarshal(out, &module); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(module.Dir, "api/openapi-spec/swagger.json"))
	if err != nil {
		t.Fatal(err)
	}
	var document struct {
		Definitions map[string]map[string]any `json:"definitions"`
	}
	if err := json.Unmarshal(raw, &document); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, definition := range document.Definitions {
		if _, fields := definition["properties"]; fields {
			definition["additionalProperties"] = false
		}
		// Two types are described by what the API server stores, not by what it accepts.
		switch {
		case strings.HasSuffix(name, "util.intstr.IntOrString"):
			document.Definitions[name] = map[string]any{"type": []string{"string", "integer"}}
		case strings.HasSuffix(name, "api.resource.Quantity"):
			document.Definitions[name] = map[string]any{"type": []string{"string", "number"}}
		}
	}
	writeJSON(t, filepath.Join(dir, "definitions.json"), map[string]any{"definitions": document.Definitions})
	for name, definition := range document.Definitions {
		kinds, _ := definition["x-kubernetes-group-version-kind"].([]any)
		if len(kinds) != 1 { // options of requests have one for each group
			continue
		}
		kind := kinds[0].(map[string]any)
		file := strings.ToLower(kind["kind"].(string))
		if group, _, _ := strings.Cut(kind["group"].(string), "."); group != "" {
			file += "-" + group
		}
		file += "-" + kind["version"].(string) + ".json"
		writeJSON(t, filepath.Join(dir, file), map[string]any{"$ref": "definitions.json#/definitions/" + name})
	}
	return dir
}

func writeJSON(t *testing.T, path string, value any) {
	t.Helper()
	raw, err := json.Marshal(value)
	if err == nil {
		err = os.WriteFile(path, raw, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}
