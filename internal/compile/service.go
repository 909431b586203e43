package compile

import (
	"cmp"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/sluicehq/sluice/internal/annot"
	"github.com/sluicehq/sluice/internal/kube"
	"github.com/sluicehq/sluice/internal/lb"
)

// NetworkClass is the spec.loadBalancerClass of Services that get a Network Load Balancer, unless Options say otherwise.
const NetworkClass = "service.k8s.aws/nlb"

// serviceFinalizer is what a Service carries until its stack is gone.
const serviceFinalizer = "service.k8s.aws/resources"

// ServiceOptions are about Services that get a Network Load Balancer.
type ServiceOptions struct {
	Off               bool   // no Service gets one; those that have one keep it
	Class             string // the spec.loadBalancerClass that is ours; NetworkClass when empty
	BalancersOnly     bool   // only Services of type LoadBalancer are ours
	NoIPTargets       bool
	MergeTCPUDP       bool     // where no annotation says it
	NoSecurityGroups  bool     // load balancers are made without
	PlainHealthChecks bool     // no success codes, and timeouts are the cloud's own
	ExternalTags      []string // keys of tags that others manage
	UsersTagsWin      bool     // over DefaultTags
}

// asksForBalancer decides whether a Service is ours by its class, or without one by its annotations. One that is being
// deleted is nobody's.
func asksForBalancer(options Options, service *corev1.Service) bool {
	switch {
	case service.DeletionTimestamp != nil || options.Service.Off:
		return false
	case options.Service.BalancersOnly && service.Spec.Type != corev1.ServiceTypeLoadBalancer:
		return false
	case service.Spec.LoadBalancerClass != nil:
		return *service.Spec.LoadBalancerClass == cmp.Or(options.Service.Class, NetworkClass)
	default:
		return annot.AsksForBalancer(service)
	}
}

// serviceStack is the id of a Service's stack.
func serviceStack(service *corev1.Service) lb.StackID {
	return lb.NewStackID(lb.ServiceFront, service.Namespace+"/"+service.Name)
}

// hasServiceStack says whether a Service is ours, or was.
func hasServiceStack(options Options, service *corev1.Service) bool {
	return asksForBalancer(options, service) || !options.Service.Off && slices.Contains(service.Finalizers, serviceFinalizer)
}

// compiledService compiles the stack of a Service.
func compiledService(objects *kube.Objects, options Options, id lb.StackID) Compiled {
	namespace, name, _ := id.Own()
	service := objects.Service(namespace, name)
	out := Compiled{ID: id, Stack: lb.Stack{ID: id}, Forms: Forms{}}
	switch {
	case service == nil:
		return out
	case !asksForBalancer(options, service):
		at, protected := annot.ServiceProtected(service)
		bound := slices.Contains(service.Finalizers, serviceFinalizer)
		out.Held = options.Service.Off && bound
		if protected && bound {
			out.Held = true
			out.Verdicts = []lb.Verdict{at.Verdict(lb.Refused, lb.DeletionProtected,
				"protects the load balancer, so it and the Service stay", "Set deletion_protection.enabled=false in the annotation")}
		}
		return out
	}
	c := &serviceCompiler{
		objects: objects, options: options, service: service, self: lb.Object{Kind: "Service", Namespace: namespace, Name: name},
		identity: identityOf(options.Cluster, service), groups: map[lb.ResourceID]servedGroup{},
	}
	stack := c.stack(id)
	out.Members = []lb.Object{c.self}
	out.Verdicts = lb.SortVerdicts(c.verdicts)
	out.Held = slices.ContainsFunc(out.Verdicts, refused)
	if !out.Held {
		out.Stack = stack
	}
	return out
}

// serviceCompiler carries a Service's input and collects verdicts.
type serviceCompiler struct {
	objects  *kube.Objects
	options  Options
	service  *corev1.Service
	self     lb.Object
	identity lb.ServiceIdentity
	settings annot.Service
	verdicts []lb.Verdict
	groups   map[lb.ResourceID]servedGroup
}

func identityOf(cluster string, service *corev1.Service) lb.ServiceIdentity {
	return lb.ServiceIdentity{Cluster: cluster, Namespace: service.Namespace, Name: service.Name, UID: string(service.UID)}
}

func (c *serviceCompiler) refuse(severity lb.Severity, reason lb.Reason, field, value, problem, fix string) {
	c.verdicts = append(c.verdicts, lb.Verdict{
		Object: c.self, Severity: severity, Reason: reason, Field: field, Value: value, Problem: problem, Fix: fix,
	})
}

func (c *serviceCompiler) stack(id lb.StackID) lb.Stack {
	var verdicts []lb.Verdict
	c.settings, verdicts = annot.ServiceSettings(c.service, annot.Defaults{
		Tags: c.options.DefaultTags, ExternalTags: c.options.Service.ExternalTags, UsersTagsWin: c.options.Service.UsersTagsWin,
	})
	c.verdicts = append(c.verdicts, verdicts...)
	if !c.options.Features.Has(lb.NetworkFeature) {
		c.refuse(lb.Refused, lb.UnsupportedByEngine, "spec.type", string(c.service.Spec.Type),
			"the engine has no "+string(lb.NetworkFeature), "Use an Ingress")
	}
	members := []lb.Object{c.self}
	stack := lb.Stack{ID: id, Members: members}
	balancer := c.balancer()
	balancer.Listeners = c.listeners()
	for _, g := range c.groups {
		stack.TargetGroups = append(stack.TargetGroups, g.group)
		stack.Bindings = append(stack.Bindings, g.binding)
	}
	slices.SortFunc(stack.TargetGroups, func(x, y lb.TargetGroup) int { return cmp.Compare(x.ID, y.ID) })
	slices.SortFunc(stack.Bindings, func(x, y lb.Binding) int { return cmp.Compare(x.TargetGroup, y.TargetGroup) })
	c.secure(&stack, &balancer)
	stack.LoadBalancers = []lb.LoadBalancer{balancer}
	return stack
}

// balancer is the load balancer without listeners and security groups.
func (c *serviceCompiler) balancer() lb.LoadBalancer {
	s := c.settings
	scheme := s.Scheme.Or(c.options.DefaultScheme)
	b := lb.LoadBalancer{
		ID: lb.LoadBalancerID, Name: s.LoadBalancerName.Or(c.identity.LoadBalancerName(scheme)), Named: s.LoadBalancerName.Set(),
		Type: lb.Network, Scheme: scheme, IPAddressType: s.IPAddressType.Or(lb.IPv4), Subnets: s.Subnets, Network: s.Network,
		Attributes: s.Attributes, Tags: s.Tags, From: []lb.Object{c.self},
	}
	b.Network.SchemeFree = !s.Scheme.Set()
	if b.Network.SourceNAT == lb.AsIs && b.IPAddressType == lb.DualStack {
		b.Network.SourceNAT = lb.Off
	}
	c.checkAddresses(b)
	return b
}

// checkAddresses refuses addresses that no load balancer of this kind has. Whether they fit the subnets is the engine's
// to see.
func (c *serviceCompiler) checkAddresses(b lb.LoadBalancer) {
	addresses := b.Network.Addresses
	dual := b.IPAddressType == lb.DualStack
	for _, check := range []struct {
		list []lb.StaticAddress
		ok   bool
		fix  string
	}{
		{addresses.EIPs, b.Scheme == lb.InternetFacing || b.Network.SchemeFree, "internet-facing load balancers only"},
		{addresses.PrivateIPv4, b.Scheme == lb.Internal || b.Network.SchemeFree, "internal load balancers only"},
		{addresses.IPv6, dual, "dualstack load balancers only"},
		{addresses.SourceNATPrefixes, dual && b.Network.SourceNAT == lb.On, "dualstack load balancers with enable-prefix-for-ipv6-source-nat only"},
	} {
		if len(check.list) > 0 && !check.ok {
			c.refuse(lb.Refused, lb.InvalidAnnotation, check.list[0].Field, check.list[0].Value, "is for "+check.fix, "Remove it, or change the load balancer")
		}
		if named := len(b.Subnets.IDsOrNames); len(check.list) > 0 && named > 0 && named != len(check.list) {
			c.refuse(lb.Refused, lb.InvalidAnnotation, check.list[0].Field, "",
				fmt.Sprintf("has %d, and the load balancer %d subnets", len(check.list), named), "Name one for each subnet")
		}
	}
	if b.Network.SourceNAT == lb.On && !dual {
		c.refuse(lb.Refused, lb.InvalidAnnotation, "metadata.annotations["+annot.ServicePrefix+"aws-load-balancer-enable-prefix-for-ipv6-source-nat]", "on",
			"is for dualstack load balancers only", "Remove it, or set the annotation ip-address-type to dualstack")
	}
}
