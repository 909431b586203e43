package cri

import (
	"context"
	"net/netip"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sluicehq/sluice/lab/network"
)

// sandbox is a pod: a network, and what its containers have in common.
type sandbox struct {
	id      string
	config  *runtime.PodSandboxConfig
	handler string
	created time.Time
	ready   bool
	// namespace and address are empty for pods on the host's network.
	namespace string
	address   netip.Addr
}

// device is the node's end of a pod's link; names have at most 15 characters.
func device(short string) string { return "pod" + short }

func (b *sandbox) short() string { return b.id[:12] }

func (b *sandbox) hostNetwork() bool {
	return b.config.GetLinux().GetSecurityContext().GetNamespaceOptions().GetNetwork() == runtime.NamespaceMode_NODE
}

// resolvConf is the pod's /etc/resolv.conf from its DNS settings.
func (b *sandbox) resolvConf() string {
	var text strings.Builder
	dns := b.config.GetDnsConfig()
	if len(dns.GetSearches()) > 0 {
		text.WriteString("search " + strings.Join(dns.GetSearches(), " ") + "\n")
	}
	for _, server := range dns.GetServers() {
		text.WriteString("nameserver " + server + "\n")
	}
	if len(dns.GetOptions()) > 0 {
		text.WriteString("options " + strings.Join(dns.GetOptions(), " ") + "\n")
	}
	return text.String()
}

// RunPodSandbox makes a pod's network.
func (s *Server) RunPodSandbox(_ context.Context, r *runtime.RunPodSandboxRequest) (*runtime.RunPodSandboxResponse, error) {
	b := &sandbox{id: newID(), config: r.GetConfig(), handler: r.GetRuntimeHandler(), created: time.Now(), ready: true}
	if b.handler != "" {
		return nil, status.Errorf(codes.InvalidArgument, "runtime handler %q: the lab has only the default one", b.handler)
	}
	if !b.hostNetwork() {
		for _, port := range b.config.GetPortMappings() {
			if port.GetHostPort() != 0 {
				return nil, status.Errorf(codes.InvalidArgument, "hostPort %d: the lab has no host ports; use a Service of type NodePort or hostNetwork", port.GetHostPort())
			}
		}
		if err := s.connect(b); err != nil {
			return nil, status.Error(codes.Internal, err.Error())
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sandboxes[b.id] = b
	return &runtime.RunPodSandboxResponse{PodSandboxId: b.id}, nil
}

func (s *Server) connect(b *sandbox) error {
	s.mu.Lock()
	address, err := s.addresses.take()
	s.mu.Unlock()
	if err != nil {
		return err
	}
	b.address, b.namespace = address, s.podPrefix()+b.short()
	if err := network.ConnectPod(b.namespace, device(b.short()), address, b.config.GetLinux().GetSysctls()); err != nil {
		_ = s.disconnect(b) // the first error is the one to tell
		return err
	}
	return nil
}

func (s *Server) disconnect(b *sandbox) error {
	if b.namespace == "" {
		return nil
	}
	if err := network.DisconnectPod(b.namespace, device(b.short())); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if b.address.IsValid() {
		s.addresses.give(b.address)
		b.address = netip.Addr{}
	}
	return nil
}

// StopPodSandbox stops what runs in a pod and takes its network away.
func (s *Server) StopPodSandbox(_ context.Context, r *runtime.StopPodSandboxRequest) (*runtime.StopPodSandboxResponse, error) {
	s.mu.Lock()
	b, ok := s.sandboxes[r.GetPodSandboxId()]
	s.mu.Unlock()
	if !ok {
		return &runtime.StopPodSandboxResponse{}, nil // stopped and removed already
	}
	for _, c := range s.inSandbox(b.id) {
		if err := c.stop(0); err != nil {
			return nil, status.Error(codes.Internal, err.Error())
		}
	}
	if err := s.disconnect(b); err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	b.ready = false
	return &runtime.StopPodSandboxResponse{}, nil
}

// RemovePodSandbox forgets a pod and its containers.
func (s *Server) RemovePodSandbox(ctx context.Context, r *runtime.RemovePodSandboxRequest) (*runtime.RemovePodSandboxResponse, error) {
	if _, err := s.StopPodSandbox(ctx, &runtime.StopPodSandboxRequest{PodSandboxId: r.GetPodSandboxId()}); err != nil {
		return nil, err
	}
	for _, c := range s.inSandbox(r.GetPodSandboxId()) {
		if err := s.remove(c); err != nil {
			return nil, status.Error(codes.Internal, err.Error())
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sandboxes, r.GetPodSandboxId())
	return &runtime.RemovePodSandboxResponse{}, nil
}

func (s *Server) inSandbox(id string) []*container {
	s.mu.Lock()
	defer s.mu.Unlock()
	var in []*container
	for _, c := range s.containers {
		if c.sandbox.id == id {
			in = append(in, c)
		}
	}
	return in
}

func (b *sandbox) state() runtime.PodSandboxState {
	if b.ready {
		return runtime.PodSandboxState_SANDBOX_READY
	}
	return runtime.PodSandboxState_SANDBOX_NOTREADY
}

// PodSandboxStatus describes one pod.
func (s *Server) PodSandboxStatus(_ context.Context, r *runtime.PodSandboxStatusRequest) (*runtime.PodSandboxStatusResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := find(s.sandboxes, "sandbox", r.GetPodSandboxId())
	if err != nil {
		return nil, err
	}
	answer := &runtime.PodSandboxStatus{
		Id: b.id, Metadata: b.config.GetMetadata(), State: b.state(), CreatedAt: nanos(b.created),
		Labels: b.config.GetLabels(), Annotations: b.config.GetAnnotations(), RuntimeHandler: b.handler,
		// The kubelet compares these with the pod and makes a new sandbox when
		// they differ.
		Linux: &runtime.LinuxPodSandboxStatus{Namespaces: &runtime.Namespace{
			Options: b.config.GetLinux().GetSecurityContext().GetNamespaceOptions(),
		}},
		Network: &runtime.PodSandboxNetworkStatus{},
	}
	if b.address.IsValid() {
		answer.Network.Ip = b.address.String()
	}
	return &runtime.PodSandboxStatusResponse{Status: answer}, nil
}

// ListPodSandbox lists the pods that a filter admits.
func (s *Server) ListPodSandbox(_ context.Context, r *runtime.ListPodSandboxRequest) (*runtime.ListPodSandboxResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	answer := &runtime.ListPodSandboxResponse{}
	for _, b := range s.sandboxes {
		filter := r.GetFilter()
		if (filter.GetId() != "" && filter.GetId() != b.id) ||
			(filter.GetState() != nil && filter.GetState().GetState() != b.state()) ||
			!matches(filter.GetLabelSelector(), b.config.GetLabels()) {
			continue
		}
		answer.Items = append(answer.Items, &runtime.PodSandbox{
			Id: b.id, Metadata: b.config.GetMetadata(), State: b.state(), CreatedAt: nanos(b.created),
			Labels: b.config.GetLabels(), Annotations: b.config.GetAnnotations(), RuntimeHandler: b.handler,
		})
	}
	return answer, nil
}
