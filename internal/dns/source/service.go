package source

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/sluicehq/sluice/internal/dns"
	"github.com/sluicehq/sluice/internal/lb"
)

// Around is what a Service's records depend on besides itself. NeedsSlices and NeedsNodes say for which Services.
type Around struct {
	Slices []*discoveryv1.EndpointSlice // of the Service
	Nodes  []*corev1.Node
}

// NeedsSlices says whether the Service's EndpointSlices count: those of headless Services, and of NodePort Services that
// send traffic to the node's own pods only.
func NeedsSlices(s *corev1.Service) bool {
	return s.Spec.ClusterIP == corev1.ClusterIPNone ||
		s.Spec.Type == corev1.ServiceTypeNodePort && s.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal
}

// NeedsNodes says whether nodes' addresses count.
func NeedsNodes(s *corev1.Service) bool {
	return s.Spec.Type == corev1.ServiceTypeNodePort || s.Spec.ClusterIP == corev1.ClusterIPNone
}

// Service reads a Service. managed says that its load balancer is one that this program makes.
func (o Options) Service(s *corev1.Service, around Around, managed bool) Read {
	object := lb.Object{Kind: "Service", Namespace: s.Namespace, Name: s.Name}
	if len(o.ServiceTypes) > 0 && !slices.Contains(o.ServiceTypes, cmp.Or(s.Spec.Type, corev1.ServiceTypeClusterIP)) {
		return Read{}
	}
	a, ok := o.asks(object, s.ObjectMeta, managed)
	if !ok {
		return Read{}
	}
	if !o.IgnoreHostnameAnnotation {
		for _, name := range a.settings.Hostnames {
			a.service(s, around, name, false)
		}
		for _, name := range a.settings.InternalHostnames {
			a.service(s, around, name, true)
		}
	}
	if !a.asked() || o.Combine {
		a.templatesOfService(s, around)
	}
	return a.finish()
}

func (a *asker) templatesOfService(s *corev1.Service, around Around) {
	names := a.FQDN
	a.FQDN = Templates{}
	a.fromTemplates(s, nil)
	if a.asked() && !a.Combine {
		return
	}
	rendered, err := names.render(s)
	a.templateProblem("--fqdn-template", err)
	for _, name := range rendered {
		a.service(s, around, name, false)
	}
}

// service has one name point at what the Service's type says.
func (a *asker) service(s *corev1.Service, around Around, name string, internal bool) {
	managed := a.managed
	defer func() { a.managed = managed }()
	if s.Spec.Type != corev1.ServiceTypeLoadBalancer || internal {
		a.managed = false
	}
	if len(a.settings.Targets) > 0 {
		a.ask([]string{name}, nil)
		return
	}
	switch s.Spec.Type {
	case corev1.ServiceTypeLoadBalancer:
		a.ask([]string{name}, a.balanced(s, internal))
	case corev1.ServiceTypeNodePort:
		a.nodePort(s, around, name)
	case corev1.ServiceTypeExternalName:
		if len(s.Spec.ExternalIPs) > 0 {
			a.ask([]string{name}, s.Spec.ExternalIPs)
			return
		}
		a.ask([]string{name}, some(s.Spec.ExternalName))
	default:
		switch {
		case s.Spec.ClusterIP == corev1.ClusterIPNone:
			a.headless(s, around, name)
		case internal || a.PublishInternal:
			a.ask([]string{name}, clusterIP(s))
		default:
			a.ask([]string{name}, nil) // default targets may still count
		}
	}
}

// balanced are the targets of a Service of type LoadBalancer.
func (a *asker) balanced(s *corev1.Service, internal bool) []string {
	switch {
	case internal:
		return clusterIP(s)
	case len(s.Spec.ExternalIPs) > 0:
		a.managed = false
		return s.Spec.ExternalIPs
	}
	var out []string
	for _, address := range s.Status.LoadBalancer.Ingress {
		out = append(out, some(address.IP, address.Hostname)...)
	}
	return out
}

func clusterIP(s *corev1.Service) []string {
	if s.Spec.ClusterIP == corev1.ClusterIPNone {
		return nil
	}
	return some(s.Spec.ClusterIP)
}

// headless has the name, and below it the host names of pods, point at the pods or at their nodes.
func (a *asker) headless(s *corev1.Service, around Around, name string) {
	hosts := map[string][]string{}
	for _, slice := range around.Slices {
		for _, e := range slice.Endpoints {
			ready := e.Conditions.Ready == nil || *e.Conditions.Ready || s.Spec.PublishNotReadyAddresses || a.AlwaysPublishNotReady
			if !ready || e.TargetRef == nil || e.TargetRef.Kind != "Pod" {
				continue
			}
			found := a.podAddresses(e, around.Nodes)
			hosts[name] = append(hosts[name], found...)
			if e.Hostname != nil && *e.Hostname != "" {
				own := *e.Hostname + "." + name
				hosts[own] = append(hosts[own], found...)
			}
		}
	}
	for host, targets := range hosts {
		a.ask([]string{host}, targets)
	}
	if len(hosts) == 0 {
		a.ask([]string{name}, nil)
	}
}

// podAddresses are a pod's own address, or those of its node.
func (a *asker) podAddresses(e discoveryv1.Endpoint, nodes []*corev1.Node) []string {
	var node *corev1.Node
	if e.NodeName != nil {
		if i := slices.IndexFunc(nodes, func(n *corev1.Node) bool { return n.Name == *e.NodeName }); i >= 0 {
			node = nodes[i]
		}
	}
	switch {
	case a.settings.EndpointsType == "NodeExternalIP":
		if node == nil {
			return nil
		}
		return a.external(node)
	case a.settings.EndpointsType == "HostIP" || a.PublishHostIP:
		if node == nil {
			return nil
		}
		return nodeAddresses(node, corev1.NodeInternalIP, nil)[:min(1, len(nodeAddresses(node, corev1.NodeInternalIP, nil)))]
	case len(e.Addresses) > 0:
		return e.Addresses[:1]
	}
	return nil
}

// external are a node's external addresses, and where asked for its internal IPv6 ones, which are public.
func (a *asker) external(n *corev1.Node) []string {
	out := nodeAddresses(n, corev1.NodeExternalIP, nil)
	if a.ExposeInternalIPv6 {
		out = append(out, nodeAddresses(n, corev1.NodeInternalIP, isIPv6)...)
	}
	return out
}

func isIPv6(address string) bool {
	a, err := netip.ParseAddr(address)
	return err == nil && a.Is6()
}

func nodeAddresses(n *corev1.Node, kind corev1.NodeAddressType, only func(string) bool) []string {
	var out []string
	for _, address := range n.Status.Addresses {
		if address.Type == kind && (only == nil || only(address.Address)) {
			out = append(out, address.Address)
		}
	}
	return out
}

// nodePort has the name point at nodes, and makes a service record for each port.
func (a *asker) nodePort(s *corev1.Service, around Around, name string) {
	var external, internal []string
	for _, n := range a.serving(s, around) {
		external = append(external, a.external(n)...)
		internal = append(internal, nodeAddresses(n, corev1.NodeInternalIP, nil)...)
	}
	targets := internal
	switch {
	case a.settings.Access == "public", a.settings.Access == "" && len(external) > 0:
		targets = external
	}
	a.ask([]string{name}, targets)
	host, err := dns.ParseName(name)
	if err != nil || len(targets) == 0 || a.held {
		return // told already
	}
	for _, p := range s.Spec.Ports {
		if p.NodePort == 0 {
			continue
		}
		label := fmt.Sprintf("_%s._%s.", s.Name, strings.ToLower(string(cmp.Or(p.Protocol, corev1.ProtocolTCP))))
		if srv, err := dns.ParseName(label + string(host)); err == nil {
			a.add(dns.Endpoint{
				Name: srv, Type: dns.SRV, Targets: []string{fmt.Sprintf("0 50 %d %s.", p.NodePort, host)}, SetID: a.settings.SetIdentifier,
				TTL: a.settings.TTL, Settings: a.dns, Optional: true,
			})
		}
	}
}

// serving are the nodes that answer on a Service's node ports: all that can be scheduled to, or those that run its pods,
// of which the best kind counts that there is: ready ones, else ready ones that are going, else any.
func (a *asker) serving(s *corev1.Service, around Around) []*corev1.Node {
	var tiers [3]map[string]bool
	for i := range tiers {
		tiers[i] = map[string]bool{}
	}
	local := s.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal
	for _, slice := range around.Slices {
		for _, e := range slice.Endpoints {
			if e.NodeName != nil {
				tiers[tierOf(e)][*e.NodeName] = true
			}
		}
	}
	best := tiers[2]
	for _, tier := range tiers {
		if len(tier) > 0 {
			best = tier
			break
		}
	}
	return slices.DeleteFunc(slices.Clone(around.Nodes), func(n *corev1.Node) bool {
		return a.ExcludeUnschedulable && n.Spec.Unschedulable || local && !best[n.Name]
	})
}

func tierOf(e discoveryv1.Endpoint) int {
	terminating := e.Conditions.Terminating != nil && *e.Conditions.Terminating
	serving := e.Conditions.Ready == nil || *e.Conditions.Ready || e.Conditions.Serving != nil && *e.Conditions.Serving
	switch {
	case serving && !terminating:
		return 0
	case serving:
		return 1
	}
	return 2
}
