package cri

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sluicehq/sluice/lab/cri/spec"
	"github.com/sluicehq/sluice/lab/images"
	"github.com/sluicehq/sluice/lab/network"
	"github.com/sluicehq/sluice/lab/process"
)

// container is one process of a pod, or the memory of it.
type container struct {
	id      string
	sandbox *sandbox
	config  *runtime.ContainerConfig
	image   images.Image
	log     *logFile
	root    string
	stdin   io.WriteCloser // nil unless the container asked for it
	ended   chan struct{}  // closed when the process is gone

	mu       sync.Mutex // guards what follows
	created  time.Time
	started  time.Time
	finished time.Time
	process  process.ID
	exitCode int32
	reason   string
	message  string
}

func (c *container) logPath() string {
	if c.sandbox.config.GetLogDirectory() == "" || c.config.GetLogPath() == "" {
		return ""
	}
	return filepath.Join(c.sandbox.config.GetLogDirectory(), c.config.GetLogPath())
}

func (c *container) state() runtime.ContainerState {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !c.finished.IsZero():
		return runtime.ContainerState_CONTAINER_EXITED
	case !c.started.IsZero():
		return runtime.ContainerState_CONTAINER_RUNNING
	default:
		return runtime.ContainerState_CONTAINER_CREATED
	}
}

// CreateContainer notes what to start.
func (s *Server) CreateContainer(_ context.Context, r *runtime.CreateContainerRequest) (*runtime.CreateContainerResponse, error) {
	config := r.GetConfig()
	image, err := lookup(config.GetImage().GetImage())
	if err != nil {
		return nil, status.Error(codes.NotFound, err.Error())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := find(s.sandboxes, "sandbox", r.GetPodSandboxId())
	if err != nil {
		return nil, err
	}
	c := &container{id: newID(), sandbox: b, config: config, image: image, created: time.Now(), ended: make(chan struct{})}
	c.root = filepath.Join(s.rootsDir(), c.id)
	s.containers[c.id] = c
	return &runtime.CreateContainerResponse{ContainerId: c.id}, nil
}

// spec says what init is to become.
func (s *Server) spec(c *container) (spec.Container, error) {
	security := c.config.GetLinux().GetSecurityContext()
	out := spec.Container{
		Hostname: c.sandbox.config.GetHostname(), Root: c.root, Binary: s.config.Binary, Programs: s.programs,
		ResolvConf: c.sandbox.resolvConf(), ReadOnly: security.GetReadonlyRootfs(),
		Dir: c.config.GetWorkingDir(), UID: int(security.GetRunAsUser().GetValue()), GID: int(security.GetRunAsGroup().GetValue()),
	}
	for _, group := range security.GetSupplementalGroups() {
		out.Groups = append(out.Groups, int(group))
	}
	for _, mount := range c.config.GetMounts() {
		if mount.GetImage() != nil {
			return out, fmt.Errorf("volume at %s: the lab has no image volumes", mount.GetContainerPath())
		}
		if _, err := os.Stat(mount.GetHostPath()); errors.Is(err, os.ErrNotExist) {
			if err := os.MkdirAll(mount.GetHostPath(), 0o755); err != nil {
				return out, err
			}
		}
		out.Mounts = append(out.Mounts, spec.Mount{Source: mount.GetHostPath(), Target: mount.GetContainerPath(), ReadOnly: mount.GetReadonly()})
	}
	// A pod's command replaces the image's entrypoint and its default
	// arguments; a pod's args replace the default arguments only.
	switch command, args := c.config.GetCommand(), c.config.GetArgs(); {
	case len(command) > 0:
		out.Args = append(append(out.Args, command...), args...)
	case len(args) > 0:
		out.Args = append(append(out.Args, c.image.Entrypoint...), args...)
	default:
		out.Args = append(append(out.Args, c.image.Entrypoint...), c.image.Cmd...)
	}
	if len(out.Args) == 0 {
		return out, errors.New("no command specified")
	}
	out.Env = c.env()
	return out, nil
}

// env merges the image's variables and the pod's, which win.
func (c *container) env() []string {
	merged := []string{"PATH=/bin:/usr/bin:/usr/local/bin", "HOME=/root"}
	if name := c.sandbox.config.GetHostname(); name != "" {
		merged = append(merged, "HOSTNAME="+name)
	}
	merged = append(merged, c.image.Env...)
	for _, variable := range c.config.GetEnvs() {
		merged = append(merged, variable.GetKey()+"="+string(variable.GetValue()))
	}
	last := map[string]int{}
	for i, variable := range merged {
		name, _, _ := strings.Cut(variable, "=")
		last[name] = i
	}
	var out []string
	for i, variable := range merged {
		if name, _, _ := strings.Cut(variable, "="); last[name] == i {
			out = append(out, variable)
		}
	}
	return out
}

// StartContainer starts the process and returns when its program runs.
func (s *Server) StartContainer(_ context.Context, r *runtime.StartContainerRequest) (*runtime.StartContainerResponse, error) {
	s.mu.Lock()
	c, err := find(s.containers, "container", r.GetContainerId())
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if c.state() != runtime.ContainerState_CONTAINER_CREATED {
		return nil, status.Errorf(codes.FailedPrecondition, "container %s was started before", c.id)
	}
	if err := s.start(c); err != nil {
		c.end(127, "StartError", err.Error())
		return nil, status.Errorf(codes.Unknown, "start %s: %v", c.config.GetMetadata().GetName(), err)
	}
	return &runtime.StartContainerResponse{}, nil
}

func (s *Server) start(c *container) error {
	wanted, err := s.spec(c)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(c.root, 0o755); err != nil {
		return err
	}
	path := c.logPath()
	if path == "" {
		path = os.DevNull
	}
	if c.log, err = openLog(path, time.Now); err != nil {
		return err
	}
	cmd := exec.Command(s.config.Binary, "init")
	cmd.Env = []string{}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true,
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC}
	// Pipes of our own and not cmd.StdoutPipe: a grandchild may keep them open
	// after the program ended, and the log must have what it writes until then.
	var parent, child []*os.File
	defer func() {
		for _, file := range child {
			file.Close()
		}
	}()
	pipe := func() (read, write *os.File, err error) {
		if read, write, err = os.Pipe(); err == nil {
			parent, child = append(parent, read), append(child, write)
		}
		return
	}
	stdout, stdoutW, err := pipe()
	if err != nil {
		return err
	}
	stderr, stderrW, err := pipe()
	if err != nil {
		return err
	}
	report, reportW, err := pipe()
	if err != nil {
		return err
	}
	specR, specW, err := os.Pipe()
	if err != nil {
		return err
	}
	child = append(child, specR)
	defer specW.Close()
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = stdoutW, stderrW, []*os.File{specR, reportW}
	if c.config.GetStdin() {
		stdinR, stdinW, err := os.Pipe()
		if err != nil {
			return err
		}
		child = append(child, stdinR)
		cmd.Stdin, c.stdin = stdinR, stdinW
	}
	if err := network.In(c.sandbox.namespace, cmd.Start); err != nil {
		for _, file := range parent {
			file.Close()
		}
		return err
	}
	id, err := process.Identify(cmd.Process.Pid)
	if err == nil {
		err = s.records().Record(c.id, id)
	}
	if err != nil { // nobody would know of it any more
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		for _, file := range parent {
			file.Close()
		}
		return err
	}
	for _, file := range child {
		file.Close()
	}
	child = nil

	var pumps sync.WaitGroup
	pumps.Go(func() { _ = c.log.pump("stdout", stdout); stdout.Close() })
	pumps.Go(func() { _ = c.log.pump("stderr", stderr); stderr.Close() })

	failure := instruct(specW, report, wanted)
	if failure != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it failed; why is known
		pumps.Wait()
		_ = s.records().Forget(c.id)
		return failure
	}
	c.mu.Lock()
	c.process, c.started = id, time.Now()
	c.mu.Unlock()
	go s.await(c, cmd, &pumps)
	return nil
}

// instruct tells init what to become, and returns what it has to complain about. Init closes its end of the report by
// becoming the program.
func instruct(spec, report *os.File, wanted any) error {
	defer report.Close()
	err := json.NewEncoder(spec).Encode(wanted)
	spec.Close()
	if err != nil {
		return err
	}
	text, err := io.ReadAll(report)
	if err == nil && len(text) > 0 {
		err = errors.New(string(text))
	}
	return err
}

// await notes the end of a container's process.
func (s *Server) await(c *container, cmd *exec.Cmd, pumps *sync.WaitGroup) {
	_ = cmd.Wait() // the state says all
	// PID 1 of the namespace is gone, so the kernel has killed the rest, and
	// the pipes end.
	pumps.Wait()
	_ = c.log.close()
	_ = s.records().Forget(c.id)
	code := int32(cmd.ProcessState.ExitCode())
	if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		code = 128 + int32(ws.Signal())
	}
	if code == 0 {
		c.end(0, "Completed", "")
	} else {
		c.end(code, "Error", "")
	}
}

// end notes that a container is over.
func (c *container) end(code int32, reason, message string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.finished.IsZero() {
		return
	}
	c.exitCode, c.reason, c.message, c.finished = code, reason, message, time.Now()
	close(c.ended)
}

// stop asks a container's program to end and, after the grace period, kills it.
func (c *container) stop(grace time.Duration) error {
	c.mu.Lock()
	id, running := c.process, !c.started.IsZero() && c.finished.IsZero()
	c.mu.Unlock()
	if !running {
		return nil
	}
	if grace > 0 {
		if err := id.Signal(syscall.SIGTERM); err != nil {
			return err
		}
		select {
		case <-c.ended:
			return nil
		case <-time.After(grace):
		}
	}
	if err := id.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	select {
	case <-c.ended:
		return nil
	case <-time.After(30 * time.Second):
		return fmt.Errorf("container %s does not end", c.id)
	}
}

// StopContainer ends a container's program.
func (s *Server) StopContainer(_ context.Context, r *runtime.StopContainerRequest) (*runtime.StopContainerResponse, error) {
	s.mu.Lock()
	c, ok := s.containers[r.GetContainerId()]
	s.mu.Unlock()
	if !ok {
		return &runtime.StopContainerResponse{}, nil // stopped and removed already
	}
	if err := c.stop(time.Duration(r.GetTimeout()) * time.Second); err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	return &runtime.StopContainerResponse{}, nil
}

// RemoveContainer forgets a container and removes its log.
func (s *Server) RemoveContainer(_ context.Context, r *runtime.RemoveContainerRequest) (*runtime.RemoveContainerResponse, error) {
	s.mu.Lock()
	c, ok := s.containers[r.GetContainerId()]
	s.mu.Unlock()
	if ok {
		if err := s.remove(c); err != nil {
			return nil, status.Error(codes.Internal, err.Error())
		}
	}
	return &runtime.RemoveContainerResponse{}, nil
}

func (s *Server) remove(c *container) error {
	if err := c.stop(0); err != nil {
		return err
	}
	if err := os.RemoveAll(c.root); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.containers, c.id)
	return nil
}

// ContainerStatus describes one container.
func (s *Server) ContainerStatus(_ context.Context, r *runtime.ContainerStatusRequest) (*runtime.ContainerStatusResponse, error) {
	s.mu.Lock()
	c, err := find(s.containers, "container", r.GetContainerId())
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	state := c.state()
	c.mu.Lock()
	defer c.mu.Unlock()
	return &runtime.ContainerStatusResponse{Status: &runtime.ContainerStatus{
		Id: c.id, Metadata: c.config.GetMetadata(), State: state,
		CreatedAt: nanos(c.created), StartedAt: nanos(c.started), FinishedAt: nanos(c.finished),
		ExitCode: c.exitCode, Reason: c.reason, Message: c.message,
		Image: c.config.GetImage(), ImageRef: c.image.ID(), ImageId: c.image.ID(),
		Labels: c.config.GetLabels(), Annotations: c.config.GetAnnotations(),
		Mounts: c.config.GetMounts(), LogPath: c.logPath(),
	}}, nil
}

// ListContainers lists the containers that a filter admits.
func (s *Server) ListContainers(_ context.Context, r *runtime.ListContainersRequest) (*runtime.ListContainersResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	answer := &runtime.ListContainersResponse{}
	for _, c := range s.containers {
		filter, state := r.GetFilter(), c.state()
		if (filter.GetId() != "" && filter.GetId() != c.id) ||
			(filter.GetPodSandboxId() != "" && filter.GetPodSandboxId() != c.sandbox.id) ||
			(filter.GetState() != nil && filter.GetState().GetState() != state) ||
			!matches(filter.GetLabelSelector(), c.config.GetLabels()) {
			continue
		}
		answer.Containers = append(answer.Containers, &runtime.Container{
			Id: c.id, PodSandboxId: c.sandbox.id, Metadata: c.config.GetMetadata(), State: state, CreatedAt: nanos(c.created),
			Image: c.config.GetImage(), ImageRef: c.image.ID(), ImageId: c.image.ID(),
			Labels: c.config.GetLabels(), Annotations: c.config.GetAnnotations(),
		})
	}
	return answer, nil
}

// UpdateContainerResources accepts what it cannot enforce: there are no cgroups.
func (s *Server) UpdateContainerResources(context.Context, *runtime.UpdateContainerResourcesRequest) (*runtime.UpdateContainerResourcesResponse, error) {
	return &runtime.UpdateContainerResourcesResponse{}, nil
}

// UpdatePodSandboxResources accepts what it cannot enforce: there are no cgroups.
func (s *Server) UpdatePodSandboxResources(context.Context, *runtime.UpdatePodSandboxResourcesRequest) (*runtime.UpdatePodSandboxResourcesResponse, error) {
	return &runtime.UpdatePodSandboxResourcesResponse{}, nil
}

// ReopenContainerLog goes on in a new file after the kubelet rotated the log.
func (s *Server) ReopenContainerLog(_ context.Context, r *runtime.ReopenContainerLogRequest) (*runtime.ReopenContainerLogResponse, error) {
	s.mu.Lock()
	c, err := find(s.containers, "container", r.GetContainerId())
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if c.state() != runtime.ContainerState_CONTAINER_RUNNING {
		return nil, status.Errorf(codes.FailedPrecondition, "container %s does not run", c.id)
	}
	if err := c.log.reopen(); err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	return &runtime.ReopenContainerLogResponse{}, nil
}
