package compile

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"

	"github.com/sluicehq/sluice/internal/annot"
	"github.com/sluicehq/sluice/internal/lb"
)

// servedGroup is a target group with what ties it to a Service.
type servedGroup struct {
	group   lb.TargetGroup
	binding lb.Binding
}

// targetGroup makes the target group and the binding of a port of this or another Service, once: where two ports forward
// to the same one, the first one's protocol counts.
func (c *serviceCompiler) targetGroup(service *corev1.Service, p frontPort, field string) lb.ResourceID {
	id := lb.ServiceTargetGroupID(service.Namespace, service.Name, p.Port)
	if _, made := c.groups[id]; made {
		return id
	}
	kind, ok := c.targetType(service, field)
	if !ok {
		return id
	}
	target, ok := targetPort(kind, service, &p.ServicePort)
	if !ok {
		c.refuse(lb.Refused, lb.NoNodePort, field, strconv.Itoa(int(p.Port)),
			fmt.Sprintf("Service %s/%s has no node port, which targets of type instance need", service.Namespace, service.Name),
			"Set spec.allocateLoadBalancerNodePorts to true, or the annotation "+annot.ServicePrefix+"aws-load-balancer-nlb-target-type to ip")
		return id
	}
	if kind == lb.InstanceTargets && (p.group == lb.QUIC || p.group == lb.TCPQUIC) {
		c.verdicts = append(c.verdicts, c.settings.QUICPorts.At.Verdict(lb.Refused, lb.InvalidAnnotation,
			"has a port whose targets are nodes, and QUIC needs targets of type ip", "Set the annotation "+annot.ServicePrefix+"aws-load-balancer-nlb-target-type to ip"))
	}
	attributes, verdicts := c.settings.TargetGroupAttributes(p.Port)
	c.verdicts = append(c.verdicts, verdicts...)
	from := []lb.Object{c.self}
	g := lb.TargetGroup{
		ID: id, TargetType: kind, Protocol: p.group, Port: 1, IPAddressType: c.family(service, field),
		HealthCheck: c.healthCheck(service, kind), Attributes: attributes, Tags: c.settings.Tags, From: from,
	}
	if target.Name == "" {
		g.Port = uint16(target.Number) // else each target is registered with its own number
	}
	g.Name = c.identity.TargetGroupName(identityOf(c.options.Cluster, service), p.Port, g)
	binding := lb.Binding{
		TargetGroup: id, Namespace: service.Namespace, Name: g.Name, Service: service.Name, ServicePort: lb.Port{Number: p.Port},
		TargetType: kind, MultiCluster: c.settings.MultiCluster, From: from,
	}
	if kind == lb.InstanceTargets {
		binding.NodeLabels = c.settings.NodeLabels
	}
	binding.Networking, binding.Unsecured = c.opened(g, target, annot.PreservesClientIP(attributes, kind))
	c.groups[id] = servedGroup{group: g, binding: binding}
	return id
}

// targetType is how the targets of a Service are addressed.
func (c *serviceCompiler) targetType(service *corev1.Service, field string) (lb.TargetType, bool) {
	given := c.settings.IPTargets
	if given.Or(c.options.DefaultTargetType == lb.IPTargets) {
		if c.options.Service.NoIPTargets {
			c.refuse(lb.Refused, lb.InvalidAnnotation, given.At.Field, given.At.Value,
				"asks for targets of type ip, and the controller runs with the feature gate EnableIPTargetType off", "Use instance, or turn the gate on")
			return "", false
		}
		return lb.IPTargets, true
	}
	if cmp.Or(service.Spec.Type, corev1.ServiceTypeClusterIP) == corev1.ServiceTypeClusterIP {
		c.refuse(lb.Refused, lb.NoNodePort, field, string(service.Spec.Type),
			fmt.Sprintf("Service %s/%s is of type ClusterIP and has no node port, which targets of type instance need", service.Namespace, service.Name),
			"Make it a Service of type LoadBalancer or NodePort, or set the annotation "+annot.ServicePrefix+"aws-load-balancer-nlb-target-type to ip")
		return "", false
	}
	return lb.InstanceTargets, true
}

// family is the address family of a Service's targets.
func (c *serviceCompiler) family(service *corev1.Service, field string) lb.IPAddressType {
	if !slices.Contains(service.Spec.IPFamilies, corev1.IPv6Protocol) {
		return lb.IPv4
	}
	if c.settings.IPAddressType.Or(lb.IPv4) != lb.DualStack {
		if service.Name == c.service.Name {
			field = "spec.ipFamilies"
		}
		c.refuse(lb.Refused, lb.InvalidBackend, field, "IPv6",
			fmt.Sprintf("Service %s/%s has the IP family IPv6, and the load balancer is not dualstack", service.Namespace, service.Name),
			"Set the annotation "+annot.ServicePrefix+"aws-load-balancer-ip-address-type to dualstack, or use a Service whose only IP family is IPv4")
	}
	return lb.IPv6
}

// healthCheck is how targets of a Service are probed. With externalTrafficPolicy Local it is by default kube-proxy that
// says which nodes have a pod.
func (c *serviceCompiler) healthCheck(service *corev1.Service, kind lb.TargetType) lb.HealthCheck {
	local := kind == lb.InstanceTargets && service.Spec.Type == corev1.ServiceTypeLoadBalancer &&
		service.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal
	check, port, at, verdicts := c.settings.HealthCheck(local, lb.HealthCheckPort(service.Spec.HealthCheckNodePort))
	c.verdicts = append(c.verdicts, verdicts...)
	if c.options.Service.PlainHealthChecks {
		check.Matcher = ""
		check.Timeout = annot.PlainTimeout(local)
	}
	if port == "" {
		return check
	}
	probed, verdict := probePort(service, kind, port, at)
	if verdict != nil {
		c.verdicts = append(c.verdicts, *verdict)
	}
	check.Port = lb.HealthCheckPort(probed.Number)
	return check
}
