// Package compile turns Kubernetes objects into the model. In go an immutable set of objects and options; out come
// stacks and verdicts. It is pure: equal input gives equal output, in whatever order the objects came, and there is no
// client, clock, logger or context. It cannot fail: what is wrong with an object is a verdict about that object.
//
// A verdict costs as little as it can. A path that no load balancer can match is left out; a backend that does not
// exist answers 503 until it does; a setting that cannot be read holds the whole stack as it is (Compiled.Held),
// because serving without the setting could be worse than not changing anything.
package compile

import (
	"fmt"
	"maps"
	"slices"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/sluicehq/sluice/internal/annot"
	"github.com/sluicehq/sluice/internal/kube"
	"github.com/sluicehq/sluice/internal/lb"
)

// Options are what the program's flags and the engine say.
type Options struct {
	Cluster       string // part of every derived name
	IngressClass  string // value of the class annotation that is ours; empty also takes Ingresses without any class
	DefaultScheme lb.Scheme
	// DefaultTargetType holds where neither Service nor Ingress says how targets are addressed.
	DefaultTargetType lb.TargetType
	DefaultTags       []lb.Tag
	// TolerateMissingService answers 503 for a backend whose Service does not exist (the reference's default); without
	// it such an Ingress is held as it is.
	TolerateMissingService bool
	Features               lb.Features
}

// Compiled is one stack and what there is to say about its members.
type Compiled struct {
	ID       lb.StackID
	Stack    lb.Stack     // what to make real, unless Held
	Held     bool         // a member is refused: keep all that is there as it is
	Members  []lb.Object  // the Ingresses that belong to the stack and carry its finalizer
	Verdicts []lb.Verdict // sorted
}

// Compile compiles everything that Ingresses want, sorted by stack. Verdicts about Ingresses that belong to no stack
// (their class cannot be told) come under the stack that they would have, held.
func Compile(objects *kube.Objects, options Options) []Compiled {
	ids := map[lb.StackID]bool{}
	for _, ingress := range objects.Ingresses() {
		if o := owner(objects, options, ingress); o.ours || len(o.verdicts) > 0 {
			ids[stackID(ingress)] = true
		}
	}
	var out []Compiled
	for _, id := range slices.Sorted(maps.Keys(ids)) {
		out = append(out, Stack(objects, options, id))
	}
	return out
}

// Stack compiles one stack. When no object wants it, it has no members and its Stack is empty: to be removed.
func Stack(objects *kube.Objects, options Options, id lb.StackID) Compiled {
	out := Compiled{ID: id, Stack: lb.Stack{ID: id}}
	ingress := ingressOf(objects, id)
	if ingress == nil {
		return out
	}
	o := owner(objects, options, ingress)
	out.Verdicts = o.verdicts
	if !o.ours {
		// An Ingress whose class cannot be told keeps what it has: a class edited by accident detaches nobody.
		out.Held = len(o.verdicts) > 0
		return out
	}
	c := &compiler{objects: objects, options: options, ingress: ingress, params: o.params, self: object(ingress)}
	out.Members = []lb.Object{c.self}
	out.Stack = c.stack(id)
	out.Verdicts = lb.SortVerdicts(append(out.Verdicts, c.verdicts...))
	out.Held = slices.ContainsFunc(out.Verdicts, func(v lb.Verdict) bool { return v.Severity == lb.Refused })
	if out.Held {
		out.Stack = lb.Stack{ID: id}
	}
	return out
}

// StackOf says which stack an Ingress belongs to, and whether it is ours at all. Verdicts tell why its class could not
// be told; then it is not known whether it is ours.
func StackOf(objects *kube.Objects, options Options, ingress *networkingv1.Ingress) (id lb.StackID, ours bool, verdicts []lb.Verdict) {
	o := owner(objects, options, ingress)
	return stackID(ingress), o.ours, o.verdicts
}

// StacksUsing lists the stacks that an object takes part in: an Ingress its own, a Service those of the Ingresses that
// name it, a class or its parameters those of the Ingresses in the class. Sorted.
func StacksUsing(objects *kube.Objects, _ Options, object lb.Object) []lb.StackID {
	ids := map[lb.StackID]bool{}
	switch object.Kind {
	case "Ingress":
		ids[lb.StackID(object.Namespace+"/"+object.Name)] = true
	case "Service":
		for _, i := range objects.IngressesUsing(object.Namespace, object.Name) {
			ids[stackID(i)] = true
		}
	case "Namespace":
		for _, i := range objects.Ingresses() {
			if i.Namespace == object.Name {
				ids[stackID(i)] = true
			}
		}
	case "IngressClass":
		// Any class can become, or cease to be, the default of Ingresses without one.
		for _, i := range objects.Ingresses() {
			if name := i.Spec.IngressClassName; name == nil || *name == object.Name {
				ids[stackID(i)] = true
			}
		}
	case "IngressClassParams":
		for _, i := range objects.Ingresses() {
			class := objects.IngressClass(className(objects, i))
			if class != nil && class.Spec.Parameters != nil && class.Spec.Parameters.Name == object.Name {
				ids[stackID(i)] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(ids))
}

// compiler carries one member's input and collects its verdicts.
type compiler struct {
	objects  *kube.Objects
	options  Options
	ingress  *networkingv1.Ingress
	params   *classParams
	self     lb.Object
	verdicts []lb.Verdict
}

func (c *compiler) stack(id lb.StackID) lb.Stack {
	settings, verdicts := annot.IngressSettings(c.ingress, c.params, c.defaults())
	c.verdicts = append(c.verdicts, verdicts...)
	c.checkFeatures(&settings)
	stack := lb.Stack{ID: id, Members: []lb.Object{c.self}}
	balancer := lb.LoadBalancer{
		ID:             lb.LoadBalancerID,
		Name:           settings.LoadBalancerName,
		Type:           lb.Application,
		Scheme:         settings.Scheme,
		IPAddressType:  settings.IPAddressType,
		Subnets:        settings.Subnets,
		SecurityGroups: []lb.SecurityGroupRef{{Managed: lb.ManagedSecurityGroupID}, {Backend: true}},
		Tags:           settings.Tags,
		From:           stack.Members,
	}
	if balancer.Name == "" {
		balancer.Name = lb.LoadBalancerName(c.options.Cluster, id, settings.Scheme)
	}
	backends := c.backends(id)
	rules := c.rules(backends, settings.Tags)
	fallback := c.defaultAction(backends)
	for _, listen := range settings.Listen {
		balancer.Listeners = append(balancer.Listeners, lb.Listener{
			Port: listen.Port, Protocol: listen.Protocol, Default: fallback, Rules: rules, Tags: settings.Tags, From: stack.Members,
		})
	}
	stack.LoadBalancers = []lb.LoadBalancer{balancer}
	stack.SecurityGroups = []lb.SecurityGroup{c.securityGroup(id, settings)}
	stack.TargetGroups, stack.Bindings = backends.groups()
	return stack
}

func (c *compiler) defaults() annot.Defaults {
	return annot.Defaults{Scheme: c.options.DefaultScheme, TargetType: c.options.DefaultTargetType, Tags: c.options.DefaultTags}
}

// checkFeatures refuses what the engine cannot do. A listener that it cannot open costs that listener, as long as
// another one is left.
func (c *compiler) checkFeatures(settings *annot.Ingress) {
	if settings.IPAddressType != lb.IPv4 && !c.options.Features.Has(lb.DualStack) {
		c.refuse(lb.Refused, lb.UnsupportedByEngine, "metadata.annotations["+annot.Prefix+"ip-address-type]", string(settings.IPAddressType),
			"the engine has no "+string(lb.DualStack), "Use ipv4")
	}
	if c.options.Features.Has(lb.HTTPSListeners) {
		return
	}
	left := slices.DeleteFunc(slices.Clone(settings.Listen), func(l annot.Listen) bool { return l.Protocol == lb.HTTPS })
	severity := lb.Partial
	if len(left) == 0 {
		severity = lb.Refused
	}
	for _, l := range settings.Listen {
		if l.Protocol == lb.HTTPS {
			c.refuse(severity, lb.UnsupportedByEngine, settings.ListenField, fmt.Sprintf("HTTPS %d", l.Port),
				"the engine has no "+string(lb.HTTPSListeners), "Listen with HTTP")
		}
	}
	settings.Listen = left
}

func (c *compiler) securityGroup(id lb.StackID, settings annot.Ingress) lb.SecurityGroup {
	sources := settings.InboundCIDRs
	if len(sources) == 0 {
		sources = []string{"0.0.0.0/0"}
	}
	group := lb.SecurityGroup{
		ID:          lb.ManagedSecurityGroupID,
		Name:        lb.ManagedSecurityGroupName(c.options.Cluster, id),
		Description: "[k8s] Managed SecurityGroup for LoadBalancer",
		Tags:        settings.Tags,
		From:        []lb.Object{c.self},
	}
	for _, listen := range settings.Listen {
		for _, source := range sources {
			if !ipv6(source) || settings.IPAddressType != lb.IPv4 {
				group.Ingress = append(group.Ingress, lb.IngressPermission{Port: listen.Port, CIDR: source})
			}
		}
	}
	return group
}

func (c *compiler) refuse(severity lb.Severity, reason lb.Reason, field, value, problem, fix string) {
	c.verdicts = append(c.verdicts, lb.Verdict{
		Object: c.self, Severity: severity, Reason: reason, Field: field, Value: value, Problem: problem, Fix: fix,
	})
}

func object(i *networkingv1.Ingress) lb.Object {
	return lb.Object{Kind: "Ingress", Namespace: i.Namespace, Name: i.Name}
}
