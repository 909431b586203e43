// Package compile turns Kubernetes objects into the model. In go an immutable set of objects and options; out come
// stacks and verdicts. It is pure: equal input gives equal output, in whatever order the objects came, and there is no
// client, clock, logger or context. It cannot fail: what is wrong with an object is a verdict about that object.
//
// A verdict costs as little as it can. A path that no load balancer can match is left out; a backend that does not
// exist answers 503 until it does. An Ingress with a setting that cannot be read keeps its last good form (Forms), because
// serving without the setting could be worse than not changing anything; the other members of its group go on as if it
// were not there. Where no form of it is known, all that is there stays as it is (Compiled.Held).
package compile

import (
	"maps"
	"slices"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

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
	TolerateMissingAction  bool // the same for a backend whose actions annotation does not exist
	// BackendSecurityGroup is the id of a security group that others made, which takes the place of the cluster's own as
	// the source that targets are opened from; NoBackendSecurityGroup leaves it to each load balancer's managed one.
	BackendSecurityGroup   string
	NoBackendSecurityGroup bool
	ManageBackendRules     bool   // where nobody with security groups of their own says whether they have the backend one too
	OpenAllPorts           bool   // targets let load balancers in at all ports, not just those that they use
	TLSPolicy              string // of HTTPS and TLS ports where nobody names one; empty for the engine's own
	// NoWAF, NoWAFClassic and NoShield leave the add-ons of load balancers alone.
	NoWAF, NoWAFClassic, NoShield bool
	Service                       ServiceOptions
	Features                      lb.Features
}

// Compiled is one stack and what there is to say about its members.
type Compiled struct {
	ID       lb.StackID
	Stack    lb.Stack     // what to make real, unless Held
	Held     bool         // nothing is known of what its members want: keep all that is there as it is
	Members  []lb.Object  // the Ingresses that belong to the stack and carry its finalizer, in group order
	Forms    Forms        // to be given to the next compile of the stack
	Verdicts []lb.Verdict // sorted
}

// Compile compiles everything that Ingresses and Services want, sorted by stack. Verdicts about Ingresses that belong to no stack
// (their class cannot be told) come under the stack that they would have, held.
func Compile(objects *kube.Objects, options Options) []Compiled {
	ids := map[lb.StackID]bool{}
	for _, ingress := range objects.Ingresses() {
		o := owner(objects, options, ingress)
		if len(o.verdicts) > 0 {
			for _, id := range stacksOf(objects, options, ingress) {
				ids[id] = true
			}
		} else if o.ours {
			ids[o.stack] = true
		}
	}
	for _, service := range objects.Services() {
		if hasServiceStack(options, service) {
			ids[serviceStack(service)] = true
		}
	}
	var out []Compiled
	for _, id := range slices.Sorted(maps.Keys(ids)) {
		out = append(out, Stack(objects, options, id, nil))
	}
	return out
}

// Stack compiles one stack. When no object wants it, it has no members and its Stack is empty: to be removed. last are
// the forms of the compile before, for members that have gone bad since; nil after a restart.
func Stack(objects *kube.Objects, options Options, id lb.StackID, last Forms) Compiled {
	if id.FrontEnd() == lb.ServiceFront {
		return compiledService(objects, options, id)
	}
	g := group{id: id, options: options}
	for _, ingress := range ingresses(objects, id) {
		g.enter(objects, ingress, last)
	}
	return g.compiled()
}

// Object is an object that may be a member of a stack.
type Object interface {
	metav1.Object
	runtime.Object
}

// Candidates are the objects that may be in a stack: the one that it is named after, or for a group any Ingress.
func Candidates(objects *kube.Objects, id lb.StackID) []Object {
	var out []Object
	if id.FrontEnd() == lb.ServiceFront {
		namespace, name, _ := id.Own()
		if service := objects.Service(namespace, name); service != nil {
			out = append(out, service)
		}
		return out
	}
	for _, i := range ingresses(objects, id) {
		out = append(out, i)
	}
	return out
}

func ingresses(objects *kube.Objects, id lb.StackID) []*networkingv1.Ingress {
	namespace, name, own := id.Own()
	if !own {
		return objects.Ingresses()
	}
	if ingress := objects.Ingress(namespace, name); ingress != nil {
		return []*networkingv1.Ingress{ingress}
	}
	return nil
}

// StacksUsing lists the stacks that an object takes part in: those of an Ingress, for a Service its own and those of the
// Ingresses and Services that name it, for a class, its parameters or a namespace those of the Ingresses in it. Sorted.
func StacksUsing(objects *kube.Objects, options Options, object lb.Object) []lb.StackID {
	ids := map[lb.StackID]bool{}
	add := func(i *networkingv1.Ingress) {
		for _, id := range stacksOf(objects, options, i) {
			ids[id] = true
		}
	}
	switch object.Kind {
	case "Ingress":
		if i := objects.Ingress(object.Namespace, object.Name); i != nil {
			add(i)
		}
		ids[lb.NewStackID(lb.IngressFront, object.Namespace+"/"+object.Name)] = true
	case "Service":
		for _, i := range objects.IngressesUsing(object.Namespace, object.Name) {
			add(i)
		}
		for _, s := range objects.ServicesUsing(object.Namespace, object.Name) {
			if hasServiceStack(options, s) {
				ids[serviceStack(s)] = true
			}
		}
	case "Namespace":
		for _, i := range objects.Ingresses() {
			if i.Namespace == object.Name {
				add(i)
			}
		}
	case "IngressClass":
		// Any class can become, or cease to be, the default of Ingresses without one.
		for _, i := range objects.Ingresses() {
			if name := i.Spec.IngressClassName; name == nil || *name == object.Name {
				add(i)
			}
		}
	case "IngressClassParams":
		for _, i := range objects.Ingresses() {
			class := objects.IngressClass(className(objects, i))
			if class != nil && class.Spec.Parameters != nil && class.Spec.Parameters.Name == object.Name {
				add(i)
			}
		}
	}
	return slices.Sorted(maps.Keys(ids))
}

func object(i *networkingv1.Ingress) lb.Object {
	return lb.Object{Kind: "Ingress", Namespace: i.Namespace, Name: i.Name}
}
