// Package cri is the lab's container runtime: the kubelet's CRI v1, served on
// a unix socket, over plain processes and namespaces. A sandbox is a network
// namespace with an address of the node's block; a container is a process of
// ours (package images says which) with its own mount, PID, UTS and IPC
// namespaces, the pod's volumes bound into a root of its own, and a log in the
// kubelet's format.
//
// One server serves one node and runs in the node's network namespace. It
// knows nothing of the cluster. What it holds is in memory: containers outlive
// the kubelet, but not the server. When a server starts it kills what a
// previous one left, and the kubelet makes the node's pods anew.
//
// Left out, and refused or ignored as named: cgroups (limits are accepted and
// have no effect), host ports (refused), shared PID namespaces, seccomp and
// capabilities (ignored), checkpoints and container events (unimplemented).
package cri

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/cri-streaming/pkg/streaming"

	"github.com/sluicehq/sluice/lab/network"
	"github.com/sluicehq/sluice/lab/process"
)

// Config says where a server works.
type Config struct {
	// Node is the short name; pods' namespaces are named after it.
	Node string
	// Socket is the unix socket to serve.
	Socket string
	// Dir holds roots of containers and records of their processes.
	Dir string
	// Pods is the block that pods' addresses are taken from.
	Pods netip.Prefix
	// Binary is lab-image.
	Binary string
}

// Write stores the configuration for the process that will be the server.
func (c Config) Write(path string) error {
	raw, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, raw, 0o644)
}

// Run is the server that the file configures, until it is told to end.
func Run(path string) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var config Config
	if err := json.Unmarshal(raw, &config); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	server, err := New(config)
	if err != nil {
		return err
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer cancel()
	return server.Serve(ctx)
}

// Server implements the CRI's two services.
type Server struct {
	runtime.UnimplementedRuntimeServiceServer
	runtime.UnimplementedImageServiceServer

	config   Config
	programs []string
	streams  streaming.Server

	mu         sync.Mutex
	addresses  *addresses
	sandboxes  map[string]*sandbox
	containers map[string]*container
	pulled     map[string]bool // by image name
}

// New makes a server and clears away what an earlier one left behind.
func New(config Config) (*Server, error) {
	list, err := exec.Command(config.Binary, "list").Output()
	if err != nil {
		return nil, fmt.Errorf("cri: %s does not run: %w", config.Binary, err)
	}
	s := &Server{
		config: config, programs: strings.Fields(string(list)),
		addresses: newAddresses(config.Pods),
		sandboxes: map[string]*sandbox{}, containers: map[string]*container{}, pulled: map[string]bool{},
	}
	if err := s.clear(); err != nil {
		return nil, fmt.Errorf("cri: clear what is left of an earlier run: %w", err)
	}
	return s, os.MkdirAll(s.rootsDir(), 0o700)
}

func (s *Server) rootsDir() string { return filepath.Join(s.config.Dir, "roots") }

// podPrefix begins the names of this node's pods' namespaces.
func (s *Server) podPrefix() string { return network.Prefix + "-" + s.config.Node + "-pod-" }

// clear kills the containers of an earlier server and removes their networks.
func (s *Server) clear() error {
	table := s.records()
	for _, name := range table.Names() {
		if err := table.Stop(name, 0); err != nil {
			return err
		}
	}
	if err := process.KillNamespaces(s.podPrefix()); err != nil {
		return err
	}
	names, err := network.Namespaces(s.podPrefix())
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := network.DisconnectPod(name, device(strings.TrimPrefix(name, s.podPrefix()))); err != nil {
			return err
		}
	}
	return os.RemoveAll(s.rootsDir())
}

func (s *Server) records() process.Table { return process.Table{Dir: s.config.Dir} }

// Serve answers until the context ends, then kills all containers.
func (s *Server) Serve(ctx context.Context) error {
	if err := os.Remove(s.config.Socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	listener, err := net.Listen("unix", s.config.Socket)
	if err != nil {
		return fmt.Errorf("cri: %w", err)
	}
	// Streams are served on loopback of the node's namespace, where the
	// kubelet, which forwards them, is the only other program of the cluster.
	streams, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("cri: listen for streams: %w", err)
	}
	settings := streaming.DefaultConfig
	settings.Addr = streams.Addr().String()
	settings.BaseURL = &url.URL{Scheme: "http", Host: settings.Addr}
	if s.streams, err = streaming.NewServer(settings, streamRuntime{s}); err != nil {
		return err
	}
	failed := make(chan error, 2)
	go func() { failed <- serveStreams(streams, s.streams) }()
	server := grpc.NewServer(grpc.MaxRecvMsgSize(16<<20), grpc.MaxSendMsgSize(16<<20))
	runtime.RegisterRuntimeServiceServer(server, s)
	runtime.RegisterImageServiceServer(server, s)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	server.Stop()
	streams.Close()
	return errors.Join(err, s.clear())
}

// Version names the runtime.
func (s *Server) Version(context.Context, *runtime.VersionRequest) (*runtime.VersionResponse, error) {
	return &runtime.VersionResponse{Version: "0.1.0", RuntimeName: "sluice-lab", RuntimeVersion: "1.0.0", RuntimeApiVersion: "v1"}, nil
}

// Status says that the runtime and its network are ready: they are when it answers.
func (s *Server) Status(context.Context, *runtime.StatusRequest) (*runtime.StatusResponse, error) {
	return &runtime.StatusResponse{Status: &runtime.RuntimeStatus{Conditions: []*runtime.RuntimeCondition{
		{Type: runtime.RuntimeReady, Status: true},
		{Type: runtime.NetworkReady, Status: true},
	}}}, nil
}

// RuntimeConfig answers with a driver because the kubelet wants one; there are
// no cgroups.
func (s *Server) RuntimeConfig(context.Context, *runtime.RuntimeConfigRequest) (*runtime.RuntimeConfigResponse, error) {
	return &runtime.RuntimeConfigResponse{Linux: &runtime.LinuxRuntimeConfiguration{CgroupDriver: runtime.CgroupDriver_CGROUPFS}}, nil
}

// UpdateRuntimeConfig carries the node's pod CIDR, which this network does not use.
func (s *Server) UpdateRuntimeConfig(context.Context, *runtime.UpdateRuntimeConfigRequest) (*runtime.UpdateRuntimeConfigResponse, error) {
	return &runtime.UpdateRuntimeConfigResponse{}, nil
}

// newID makes an identifier as other runtimes do: 64 hexadecimal digits.
func newID() string {
	raw := make([]byte, 32)
	_, _ = rand.Read(raw) // never fails
	return hex.EncodeToString(raw)
}

// find looks an identifier up, allowing for a unique beginning of it, and
// answers NotFound as the kubelet expects.
func find[T any](in map[string]T, kind, id string) (T, error) {
	if found, ok := in[id]; ok {
		return found, nil
	}
	var zero T
	return zero, status.Errorf(codes.NotFound, "no %s %q", kind, id)
}

func matches(want, have map[string]string) bool {
	for key, value := range want {
		if have[key] != value {
			return false
		}
	}
	return true
}

func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}
