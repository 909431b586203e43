package playground

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func made(t *testing.T, o Options) lab {
	t.Helper()
	s, err := settle(o, lab{}, false)
	if err != nil {
		t.Fatal(err)
	}
	l, err := newLab(o.Dir, o.Root, s)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestEnvIsForAShell(t *testing.T) {
	root := t.TempDir()
	o := Options{Dir: "/srv/my lab", Root: root}
	l := made(t, o)
	l.Ports = ports{AWS: 4566, DNS: 4553}
	want := "export KUBECONFIG='/srv/my lab/kubeconfig' AWS_ENDPOINT_URL=http://127.0.0.1:4566 AWS_REGION=ap-northeast-1 AWS_DEFAULT_REGION=ap-northeast-1" +
		" AWS_ACCESS_KEY_ID=lab AWS_SECRET_ACCESS_KEY=lab LOCAL_AWS_DNS=127.0.0.1:4553\n"
	if got := l.env(); got != want {
		t.Errorf("env is\n%swant\n%s", got, want)
	}
	if err := os.MkdirAll(filepath.Join(root, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("lab", filepath.Join(root, "bin", "kubectl")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "bin", "lab"), nil, 0o755); err != nil {
		t.Fatal(err)
	}
	if got := l.env(); !strings.HasSuffix(got, "\nexport PATH="+root+"/bin:\"$PATH\"\n") {
		t.Errorf("with a kubectl of ours, env is\n%s", got)
	}
}

func TestEnvWithAnotherEndpointHasNoNameServer(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "its-key")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "its-secret")
	l := made(t, Options{Dir: "/d", Root: "/nowhere", AWSEndpoint: "http://127.0.0.1:5000"})
	got := l.env()
	for _, want := range []string{"AWS_ENDPOINT_URL=http://127.0.0.1:5000 ", "AWS_ACCESS_KEY_ID=its-key "} {
		if !strings.Contains(got, want) {
			t.Errorf("env lacks %s:\n%s", want, got)
		}
	}
	if strings.Contains(got, "LOCAL_AWS_DNS") {
		t.Errorf("env names a server that is not there:\n%s", got)
	}
}

func TestEnvWithoutALab(t *testing.T) {
	var out bytes.Buffer
	err := Env(&out, Options{Dir: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), "make up") {
		t.Errorf("error %v does not say what to do", err)
	}
}

// A lab keeps its shape; what may change from one "up" to the next is the
// controller.
func TestSettle(t *testing.T) {
	old := made(t, Options{Nodes: 5, VPCCIDR: "10.42.0.0/16", Controller: "none"})
	for _, test := range []struct {
		name    string
		options Options
		fails   string
	}{
		{"as before", Options{}, ""},
		{"the same, said again", Options{Nodes: 5, VPCCIDR: "10.42.0.0/16"}, ""},
		{"another controller", Options{Controller: "sluice"}, ""},
		{"other nodes", Options{Nodes: 3}, "--nodes 5"},
		{"another network", Options{VPCCIDR: "10.43.0.0/16"}, "--vpc-cidr 10.42.0.0/16"},
		{"another endpoint", Options{AWSEndpoint: "http://127.0.0.1:1"}, "--aws-endpoint"},
		{"an unknown controller", Options{Controller: "nginx"}, "sluice or none"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, err := settle(test.options, old, true)
			switch {
			case test.fails == "" && err != nil:
				t.Fatal(err)
			case test.fails != "" && (err == nil || !strings.Contains(err.Error(), test.fails)):
				t.Fatalf("error %v, want one that mentions %s", err, test.fails)
			case err == nil && (s.Nodes != 5 || s.VPCCIDR != "10.42.0.0/16"):
				t.Errorf("state %+v", s)
			}
		})
	}
	if _, err := settle(Options{Nodes: 1000}, lab{}, false); err == nil {
		t.Error("1000 nodes are too many and were accepted")
	}
}

func TestQuote(t *testing.T) {
	for word, want := range map[string]string{
		"plain-word_1.2/3:4": "plain-word_1.2/3:4", "": "''", "two words": "'two words'", "it's": `'it'\''s'`, "$HOME": "'$HOME'",
	} {
		if got := quote(word); got != want {
			t.Errorf("quote(%q) = %s, want %s", word, got, want)
		}
	}
}
