//go:build clients

package clients

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/sluicehq/sluice/internal/localaws"
	"github.com/sluicehq/sluice/internal/localaws/localawstest"
)

// venv is where hack/need-clients has put the clients.
func venv(t *testing.T, program string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", "..", "bin", "clients", "bin", program))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: hack/need-clients installs it", err)
	}
	return path
}

// start starts a local AWS that carries traffic and answers for names.
func start(t *testing.T) *localawstest.Local {
	t.Helper()
	return localawstest.Start(t, localawstest.WithProxy(), localawstest.WithOptions(func(o *localaws.Options) { o.DNSAddress = "127.0.0.1:0" }))
}

// drive runs a program against a local AWS; all it prints is the test's when it fails.
func drive(t *testing.T, l *localawstest.Local, dir string, command ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "ENDPOINT="+l.Endpoint, "DNS="+l.DNSAddress(), "AWS_ENDPOINT_URL="+l.Endpoint,
		"AWS_ACCESS_KEY_ID=local", "AWS_SECRET_ACCESS_KEY=local", "AWS_REGION="+l.Region(), "AWS_DEFAULT_REGION="+l.Region(), "AWS_PAGER=",
		"AWS_EC2_METADATA_DISABLED=true", "PATH="+filepath.Dir(venv(t, "aws"))+":"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// here is the folder of the scripts.
func here(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(name)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// TestBoto3 takes every kind of resource through its life with boto3.
func TestBoto3(t *testing.T) { drive(t, start(t), t.TempDir(), venv(t, "python"), here(t, "kinds.py")) }

// TestHandsOn types the aws commands of a hands-on and asks dig and curl for what they made.
func TestHandsOn(t *testing.T) { drive(t, start(t), t.TempDir(), "bash", here(t, "handson.sh")) }

// TestMoto compares answers with moto's.
func TestMoto(t *testing.T) {
	empty := localawstest.Start(t, localawstest.WithOptions(func(o *localaws.Options) { o.Seed, o.Region = nil, localawstest.Region }))
	drive(t, empty, t.TempDir(), venv(t, "python"), here(t, "motodiff.py"))
}
