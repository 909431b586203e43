package control

import (
	"bytes"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
)

func TestCheckpointsAreKeptInConfigMaps(t *testing.T) {
	kube := fake.NewClientBuilder().Build()
	one := NewCheckpoints(kube, kube, "kube-system")
	read := func(c *Checkpoints, want string) {
		t.Helper()
		if got, err := c.Read(t.Context(), "3"); err != nil || !bytes.Equal(got, []byte(want)) || (got == nil) != (want == "") {
			t.Errorf("read %q, %v, want %q", got, err, want)
		}
	}
	write := func(c *Checkpoints, content string) error {
		if content == "" {
			return c.Write(t.Context(), "3", nil)
		}
		return c.Write(t.Context(), "3", []byte(content))
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	read(one, "")
	must(write(one, ""))
	must(write(one, "a"))
	must(write(one, "b"))
	read(one, "b")

	two := NewCheckpoints(kube, kube, "kube-system") // the next leader
	read(two, "b")
	must(write(two, "c"))
	if err := write(one, "late"); err == nil {
		t.Error("the leader before overwrote what the next one wrote")
	}
	if err := write(one, ""); err == nil {
		t.Error("the leader before removed what the next one wrote")
	}
	read(two, "c")
	must(write(two, ""))
	var left corev1.ConfigMapList
	must(kube.List(t.Context(), &left, client.InNamespace("kube-system")))
	if len(left.Items) > 0 {
		t.Errorf("left behind: %v", left.Items)
	}
}
