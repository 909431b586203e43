package images

import (
	"strings"
	"testing"
)

func TestRepositoryStripsTagDigestAndDefaultRegistry(t *testing.T) {
	for ref, want := range map[string]string{
		"busybox":                                      "busybox",
		"busybox:1.36":                                 "busybox",
		"docker.io/library/busybox:1.36":               "busybox",
		"docker.io/istio/examples-helloworld-v1":       "istio/examples-helloworld-v1",
		"istio/examples-helloworld-v1:latest":          "istio/examples-helloworld-v1",
		"making/hello-pks:0.0.2":                       "making/hello-pks",
		"example.com:5000/a/b:v1":                      "example.com:5000/a/b",
		"example.com:5000/a/b":                         "example.com:5000/a/b",
		"registry.k8s.io/pause@sha256:0123":            "registry.k8s.io/pause",
		"registry.k8s.io/pause:3.10@sha256:0123456789": "registry.k8s.io/pause",
	} {
		if got := Repository(ref); got != want {
			t.Errorf("Repository(%q) = %q, want %q", ref, got, want)
		}
	}
}

func TestLookupOfEverySampleImage(t *testing.T) {
	for _, ref := range []string{
		"docker.io/istio/examples-helloworld-v1",
		"making/hello-pks:0.0.2",
		"public.ecr.aws/l6m2t8p7/docker-2048:latest",
		"gcr.io/k8s-staging-gateway-api/echo-basic:v20251204-v1.4.1",
		"kudohn/app1:v1",
		"kudohn/app2:v1",
	} {
		image, err := Lookup(ref)
		if err != nil {
			t.Errorf("Lookup(%q): %v", ref, err)
		} else if len(image.Entrypoint) == 0 {
			t.Errorf("Lookup(%q) has no program", ref)
		}
	}
}

func TestLookupOfAnUnknownImageListsWhatIsKnown(t *testing.T) {
	_, err := Lookup("nginx:1.29")
	if err == nil {
		t.Fatal("no error for an unknown image")
	}
	for _, part := range append(Names(), `"nginx:1.29"`) {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not mention %s", err, part)
		}
	}
}

func TestIDIsTheSameForEveryTag(t *testing.T) {
	one, _ := Lookup("busybox:1.36")
	two, _ := Lookup("docker.io/library/busybox:latest")
	if one.ID() != two.ID() {
		t.Errorf("%s != %s", one.ID(), two.ID())
	}
}
