//go:build linux && root

package cri

import (
	"context"
	"io"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sluicehq/sluice/lab/network"
)

// One pod through the kubelet's own protocol, from nothing to nothing: it
// answers on its address, has its environment, volume and host name, logs in
// the kubelet's format, takes commands, ends when told, and leaves no trace.
// It makes namespaces and links, so it needs root: go test -tags root ./cri
func TestPodFromNothingToNothing(t *testing.T) {
	dir := t.TempDir()
	binary := filepath.Join(dir, "lab-image")
	build := exec.Command("go", "build", "-o", binary, "../programs")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build lab-image: %v\n%s", err, out)
	}
	config := Config{Node: "test", Socket: filepath.Join(dir, "s"), Dir: filepath.Join(dir, "state"),
		Pods: netip.MustParsePrefix("198.19.255.0/28"), Binary: binary}
	server, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx) }()

	conn, err := grpc.NewClient("unix://"+config.Socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	runtimes, imageService := runtime.NewRuntimeServiceClient(conn), runtime.NewImageServiceClient(conn)
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	image := &runtime.ImageSpec{Image: "kudohn/app1:v1"}
	_, err = imageService.PullImage(ctx, &runtime.PullImageRequest{Image: image}, grpc.WaitForReady(true))
	check(err)
	if _, err := imageService.PullImage(ctx, &runtime.PullImageRequest{Image: &runtime.ImageSpec{Image: "nginx"}}); err == nil {
		t.Error("an unknown image was pulled")
	}

	volume := filepath.Join(dir, "volume")
	check(os.Mkdir(volume, 0o755))
	check(os.WriteFile(filepath.Join(volume, "file"), []byte("from the volume"), 0o644))
	sandboxConfig := &runtime.PodSandboxConfig{
		Metadata: &runtime.PodSandboxMetadata{Name: "pod", Namespace: "default", Uid: "1"}, Hostname: "pod-name",
		LogDirectory: filepath.Join(dir, "logs"),
	}
	sandbox, err := runtimes.RunPodSandbox(ctx, &runtime.RunPodSandboxRequest{Config: sandboxConfig})
	check(err)
	status, err := runtimes.PodSandboxStatus(ctx, &runtime.PodSandboxStatusRequest{PodSandboxId: sandbox.PodSandboxId})
	check(err)
	if status.Status.Network.Ip != "198.19.255.2" {
		t.Errorf("address %s", status.Status.Network.Ip)
	}
	created, err := runtimes.CreateContainer(ctx, &runtime.CreateContainerRequest{PodSandboxId: sandbox.PodSandboxId, SandboxConfig: sandboxConfig,
		Config: &runtime.ContainerConfig{
			Metadata: &runtime.ContainerMetadata{Name: "c"}, Image: image, LogPath: "c/0.log",
			Envs:   []*runtime.KeyValue{{Key: "APP_TEXT", Value: []byte(" hello")}},
			Mounts: []*runtime.Mount{{HostPath: volume, ContainerPath: "/data/volume", Readonly: true}},
		}})
	check(err)
	_, err = runtimes.StartContainer(ctx, &runtime.StartContainerRequest{ContainerId: created.ContainerId})
	check(err)

	var body []byte
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		response, err := http.Get("http://198.19.255.2:3000/app1")
		if err == nil {
			body, err = io.ReadAll(response.Body)
			check(err)
			response.Body.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	if string(body) != "[app1:198.19.255.2] hello" {
		t.Errorf("the pod answers %q", body)
	}
	run := func(script string) *runtime.ExecSyncResponse {
		t.Helper()
		answer, err := runtimes.ExecSync(ctx, &runtime.ExecSyncRequest{ContainerId: created.ContainerId, Cmd: []string{"sh", "-c", script}, Timeout: 5})
		check(err)
		return answer
	}
	if got := run("hostname; cat /data/volume/file; exit 3"); string(got.Stdout) != "pod-name\nfrom the volume" || got.ExitCode != 3 {
		t.Errorf("exec printed %q and ended with %d", got.Stdout, got.ExitCode)
	}
	if got := run("touch /data/volume/new"); got.ExitCode == 0 {
		t.Error("a read-only volume was written")
	}
	if got := run("ls /"); strings.Contains(string(got.Stdout), "home") {
		t.Errorf("the container sees the machine's files: %s", got.Stdout)
	}

	_, err = runtimes.StopContainer(ctx, &runtime.StopContainerRequest{ContainerId: created.ContainerId, Timeout: 10})
	check(err)
	ended, err := runtimes.ContainerStatus(ctx, &runtime.ContainerStatusRequest{ContainerId: created.ContainerId})
	check(err)
	if s := ended.Status; s.State != runtime.ContainerState_CONTAINER_EXITED || s.ExitCode != 0 || s.Reason != "Completed" {
		t.Errorf("after SIGTERM: %v", s)
	}
	log, err := os.ReadFile(filepath.Join(dir, "logs", "c", "0.log"))
	check(err)
	if !strings.Contains(string(log), " stdout F app1: listening on :3000\n") {
		t.Errorf("log:\n%s", log)
	}
	_, err = runtimes.RemovePodSandbox(ctx, &runtime.RemovePodSandboxRequest{PodSandboxId: sandbox.PodSandboxId})
	check(err)
	left, err := network.Namespaces(server.podPrefix())
	check(err)
	if len(left) > 0 {
		t.Errorf("namespaces left: %v", left)
	}
	stop()
	check(<-served)
}
