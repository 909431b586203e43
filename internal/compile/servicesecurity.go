package compile

import (
	"slices"
	"strings"

	"github.com/sluicehq/sluice/internal/lb"
)

// secure gives the load balancer its security groups, and says what targets are opened from. Whether one that exists has
// any, which cannot be changed, only the engine knows: where it has none, bindings are Unsecured.
func (c *serviceCompiler) secure(stack *lb.Stack, balancer *lb.LoadBalancer) {
	stack.Source = lb.SecurityGroupRef{Backend: true}
	if id := c.options.BackendSecurityGroup; id != "" {
		stack.Source = lb.SecurityGroupRef{Named: id}
	}
	manage, named := c.settings.ManageBackend, c.settings.SecurityGroups
	if manage.Set() && !manage.Value {
		for i := range stack.Bindings {
			stack.Bindings[i].Unsecured = nil
		}
	}
	backend := c.options.backend()
	switch {
	case c.settings.NoSecurityGroups.Value || c.options.Service.NoSecurityGroups:
		for i := range stack.Bindings {
			stack.Bindings[i].Networking = nil
		}
	case !named.Set():
		if c.options.NoBackendSecurityGroup {
			stack.Source = lb.SecurityGroupRef{Managed: lb.ManagedSecurityGroupID}
		}
		stack.SecurityGroups = []lb.SecurityGroup{c.securityGroup()}
		balancer.SecurityGroups = append([]lb.SecurityGroupRef{{Managed: lb.ManagedSecurityGroupID}}, backend...)
	default:
		c.named(stack, balancer, named.Value, backend)
	}
}

// named gives the load balancer security groups that others made, ids before names. Without the backend one there is no
// source to open targets from, so whoever made those opens them.
func (c *serviceCompiler) named(stack *lb.Stack, balancer *lb.LoadBalancer, names []string, backend []lb.SecurityGroupRef) {
	byID := func(name string) bool { return strings.HasPrefix(name, "sg-") }
	for _, ids := range []bool{true, false} {
		for _, name := range names {
			ref := lb.SecurityGroupRef{Named: name}
			if byID(name) == ids && !slices.Contains(balancer.SecurityGroups, ref) {
				balancer.SecurityGroups = append(balancer.SecurityGroups, ref)
			}
		}
	}
	manage := c.settings.ManageBackend
	switch {
	case !manage.Or(c.options.ManageBackendRules):
		for i := range stack.Bindings {
			stack.Bindings[i].Networking = nil
		}
	case len(backend) == 0:
		c.verdicts = append(c.verdicts, manage.At.Verdict(lb.Refused, lb.InvalidAnnotation,
			"needs the backend security group, and the controller runs without", "Remove it, or run the controller with --enable-backend-security-group"))
	default:
		balancer.SecurityGroups = append(balancer.SecurityGroups, backend...)
	}
}

// securityGroup is the managed one: it lets in the source ranges and prefix lists, at every port.
func (c *serviceCompiler) securityGroup() lb.SecurityGroup {
	s := c.settings
	ranges := s.SourceRanges.Value
	dual := s.IPAddressType.Or(lb.IPv4) == lb.DualStack
	if len(ranges)+len(s.PrefixLists.Value) == 0 {
		ranges = []string{"0.0.0.0/0"}
		if dual {
			ranges = append(ranges, "::/0")
		}
	}
	for _, cidr := range ranges {
		if ipv6(cidr) && !dual {
			at := s.SourceRanges.At
			at.Value = cidr
			c.verdicts = append(c.verdicts, at.Verdict(lb.Refused, lb.InvalidAnnotation,
				"is of IPv6, and the load balancer is not dualstack", "Remove it, or set the annotation ip-address-type to dualstack"))
		}
	}
	out := lb.SecurityGroup{
		ID: lb.ManagedSecurityGroupID, Name: c.identity.ManagedSecurityGroupName(),
		Description: "[k8s] Managed SecurityGroup for LoadBalancer", Tags: s.Tags, From: []lb.Object{c.self},
	}
	for _, p := range c.service.Spec.Ports {
		at := lb.IngressRule{Protocol: strings.ToLower(string(protocolOf(p))), From: p.Port, To: p.Port}
		for _, cidr := range ranges {
			at.CIDR = cidr
			out.Ingress = append(out.Ingress, at)
			if s.PathMTU {
				out.Ingress = append(out.Ingress, pathMTU(cidr))
			}
		}
		at.CIDR = ""
		for _, at.PrefixList = range s.PrefixLists.Value {
			out.Ingress = append(out.Ingress, at)
		}
	}
	slices.SortFunc(out.Ingress, lb.IngressRule.Compare)
	out.Ingress = slices.Compact(out.Ingress)
	return out
}

// pathMTU lets in what tells a sender that its packets are too big: destination unreachable with fragmentation needed,
// and packet too big of IPv6.
func pathMTU(cidr string) lb.IngressRule {
	if ipv6(cidr) {
		return lb.IngressRule{Protocol: "icmpv6", From: 2, To: 0, CIDR: cidr}
	}
	return lb.IngressRule{Protocol: "icmp", From: 3, To: 4, CIDR: cidr}
}

// opened says what targets of a group let in: from the load balancer's security groups, and where it has none.
func (c *serviceCompiler) opened(g lb.TargetGroup, target lb.Port, preserved bool) (secured, unsecured []lb.NetworkingRule) {
	own := ownPort(g.HealthCheck.Port, target)
	udp := slices.Contains([]lb.Protocol{lb.UDP, lb.QUIC}, g.Protocol)
	both := slices.Contains([]lb.Protocol{lb.TCPUDP, lb.TCPQUIC}, g.Protocol)
	check := lb.NetworkPort{Protocol: lb.TCP, Port: lb.Port{Number: int32(g.HealthCheck.Port)}}
	overTCP, overUDP := lb.NetworkPort{Protocol: lb.TCP, Port: target}, lb.NetworkPort{Protocol: lb.UDP, Port: target}

	var ports []lb.NetworkPort
	switch {
	case c.options.OpenAllPorts:
		ports = []lb.NetworkPort{{Protocol: lb.TCP, All: true}}
		if udp || both {
			ports = append(ports, lb.NetworkPort{Protocol: lb.UDP, All: true})
		}
	case udp && own:
		ports = []lb.NetworkPort{overUDP, check}
	case udp || both:
		ports = []lb.NetworkPort{overUDP, overTCP}
	default:
		ports = []lb.NetworkPort{overTCP}
	}
	if own && !udp && !c.options.OpenAllPorts {
		ports = append(ports, check)
	}
	secured = []lb.NetworkingRule{{Ports: ports}}

	traffic := lb.NetworkingRule{From: c.clients(udp || both || preserved), Ports: []lb.NetworkPort{overTCP}}
	switch {
	case udp:
		traffic.Ports = []lb.NetworkPort{overUDP}
	case both:
		traffic.Ports = []lb.NetworkPort{overTCP, overUDP}
	}
	unsecured = []lb.NetworkingRule{traffic}
	open := traffic.From.Reachable || slices.ContainsFunc(traffic.From.CIDRs, func(cidr string) bool { return cidr == "0.0.0.0/0" || cidr == "::/0" })
	if !udp && !own && (!preserved || open) {
		return secured, unsecured
	}
	if !own {
		check = overTCP
	}
	return secured, append(unsecured, lb.NetworkingRule{From: lb.Peers{Subnets: true}, Ports: []lb.NetworkPort{check}})
}

// ownPort says whether a health check has a port of its own besides that of the traffic.
func ownPort(port lb.HealthCheckPort, target lb.Port) bool {
	return port != 0 && (target.Name != "" || int32(port) != target.Number)
}

// clients are whose addresses targets see of a load balancer without security groups.
func (c *serviceCompiler) clients(visible bool) lb.Peers {
	if !visible {
		return lb.Peers{Subnets: true}
	}
	if !c.settings.SourceRanges.Set() {
		return lb.Peers{Reachable: true}
	}
	return lb.Peers{CIDRs: c.settings.SourceRanges.Value}
}
