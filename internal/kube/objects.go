// Package kube holds the Kubernetes objects that compiling needs, as an immutable, indexed set. It is built from a
// controller's caches or from YAML files; compile cannot tell the difference. There is no client here.
package kube

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	contour "github.com/projectcontour/contour/apis/projectcontour/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	elbv2api "github.com/sluicehq/sluice/api/elbv2/v1beta1"
	"github.com/sluicehq/sluice/internal/annot"
)

// Contents are API objects by kind, in any order. The pointers may be shared with a cache: nobody changes what they
// point to.
type Contents struct {
	Namespaces          []*corev1.Namespace
	Services            []*corev1.Service
	Nodes               []*corev1.Node
	Pods                []*corev1.Pod
	EndpointSlices      []*discoveryv1.EndpointSlice
	Ingresses           []*networkingv1.Ingress
	IngressClasses      []*networkingv1.IngressClass
	IngressClassParams  []*elbv2api.IngressClassParams
	TargetGroupBindings []*elbv2api.TargetGroupBinding

	Secrets                   []*corev1.Secret
	HTTPProxies               []*contour.HTTPProxy
	TLSCertificateDelegations []*contour.TLSCertificateDelegation
}

// Objects is an immutable, indexed set of API objects. It is safe for concurrent use.
type Objects struct {
	namespaces     map[string]*corev1.Namespace
	services       map[key]*corev1.Service
	nodes          []*corev1.Node
	pods           map[key]*corev1.Pod
	slices         map[key][]*discoveryv1.EndpointSlice // by Service
	ingresses      []*networkingv1.Ingress
	ingressByKey   map[key]*networkingv1.Ingress
	classes        map[string]*networkingv1.IngressClass
	params         map[string]*elbv2api.IngressClassParams
	bindings       []*elbv2api.TargetGroupBinding
	users          map[key][]*networkingv1.Ingress // Ingresses by the Services that they name
	serviceList    []*corev1.Service
	serviceUsers   map[key][]*corev1.Service // Services by themselves and by the Services that they name
	defaultClasses []string
	fleet          fleetIndex
}

type key struct{ namespace, name string }

// New indexes the contents. Where two objects of a kind have the same name, the later one counts.
func New(c Contents) *Objects {
	o := &Objects{
		namespaces:   map[string]*corev1.Namespace{},
		services:     map[key]*corev1.Service{},
		nodes:        sorted(c.Nodes),
		pods:         map[key]*corev1.Pod{},
		slices:       map[key][]*discoveryv1.EndpointSlice{},
		ingressByKey: map[key]*networkingv1.Ingress{},
		classes:      map[string]*networkingv1.IngressClass{},
		params:       map[string]*elbv2api.IngressClassParams{},
		bindings:     sorted(c.TargetGroupBindings),
		users:        map[key][]*networkingv1.Ingress{},
		serviceUsers: map[key][]*corev1.Service{},
		fleet:        indexFleet(c),
	}
	for _, n := range c.Namespaces {
		o.namespaces[n.Name] = n
	}
	for _, s := range c.Services {
		o.services[keyOf(s)] = s
	}
	o.serviceList = sorted(slices.Collect(maps.Values(o.services)))
	for _, s := range o.serviceList {
		for _, name := range append(annot.ServiceShares(s), s.Name) {
			k := key{s.Namespace, name}
			o.serviceUsers[k] = append(o.serviceUsers[k], s)
		}
	}
	for _, p := range c.Pods {
		o.pods[keyOf(p)] = p
	}
	for _, s := range sorted(c.EndpointSlices) {
		k := key{s.Namespace, s.Labels[discoveryv1.LabelServiceName]}
		o.slices[k] = append(o.slices[k], s)
	}
	for _, i := range c.Ingresses {
		o.ingressByKey[keyOf(i)] = i
	}
	o.ingresses = sorted(slices.Collect(maps.Values(o.ingressByKey)))
	for _, class := range c.IngressClasses {
		o.classes[class.Name] = class
	}
	for _, name := range slices.Sorted(maps.Keys(o.classes)) {
		if o.classes[name].Annotations[networkingv1.AnnotationIsDefaultIngressClass] == "true" {
			o.defaultClasses = append(o.defaultClasses, name)
		}
	}
	for _, p := range c.IngressClassParams {
		o.params[p.Name] = p
	}
	for _, i := range o.ingresses {
		for _, service := range ServicesOf(i) {
			k := key{i.Namespace, service}
			o.users[k] = append(o.users[k], i)
		}
	}
	return o
}

// Ingresses are all Ingresses by namespace and name.
func (o *Objects) Ingresses() []*networkingv1.Ingress { return o.ingresses }

// Ingress returns one Ingress, or nil.
func (o *Objects) Ingress(namespace, name string) *networkingv1.Ingress {
	return o.ingressByKey[key{namespace, name}]
}

// IngressesUsing are the Ingresses that name a Service as a backend, sorted.
func (o *Objects) IngressesUsing(namespace, service string) []*networkingv1.Ingress {
	return o.users[key{namespace, service}]
}

// Namespace returns one Namespace, or nil.
func (o *Objects) Namespace(name string) *corev1.Namespace { return o.namespaces[name] }

// Service returns one Service, or nil.
func (o *Objects) Service(namespace, name string) *corev1.Service {
	return o.services[key{namespace, name}]
}

// Services are all Services by namespace and name.
func (o *Objects) Services() []*corev1.Service { return o.serviceList }

// ServicesUsing are the Service itself, if there is one, and those whose actions name it, sorted.
func (o *Objects) ServicesUsing(namespace, service string) []*corev1.Service {
	return o.serviceUsers[key{namespace, service}]
}

// Pod returns one Pod, or nil.
func (o *Objects) Pod(namespace, name string) *corev1.Pod { return o.pods[key{namespace, name}] }

// Nodes are all Nodes by name.
func (o *Objects) Nodes() []*corev1.Node { return o.nodes }

// EndpointSlices are the slices of a Service by name.
func (o *Objects) EndpointSlices(namespace, service string) []*discoveryv1.EndpointSlice {
	return o.slices[key{namespace, service}]
}

// IngressClass returns one IngressClass, or nil.
func (o *Objects) IngressClass(name string) *networkingv1.IngressClass { return o.classes[name] }

// DefaultIngressClasses are the names of the classes that are marked as the default, sorted.
func (o *Objects) DefaultIngressClasses() []string { return o.defaultClasses }

// IngressClassParams returns one IngressClassParams, or nil.
func (o *Objects) IngressClassParams(name string) *elbv2api.IngressClassParams {
	return o.params[name]
}

// TargetGroupBindings are all bindings by namespace and name.
func (o *Objects) TargetGroupBindings() []*elbv2api.TargetGroupBinding { return o.bindings }

// ServicesOf are the names of the Services that an Ingress names as backends or in its actions, sorted, each once.
func ServicesOf(i *networkingv1.Ingress) []string {
	var names []string
	add := func(b *networkingv1.IngressBackend) {
		if b != nil && b.Service != nil {
			names = append(names, b.Service.Name)
		}
	}
	add(i.Spec.DefaultBackend)
	for _, r := range i.Spec.Rules {
		if r.HTTP == nil {
			continue
		}
		for p := range r.HTTP.Paths {
			add(&r.HTTP.Paths[p].Backend)
		}
	}
	names = append(names, annot.ActionServices(i)...)
	slices.Sort(names)
	return slices.Compact(names)
}

// PortList names the ports of a Service for people: "http (80), 9090", or "it has none".
func PortList(service *corev1.Service) string {
	var list []string
	for _, p := range service.Spec.Ports {
		text := strconv.Itoa(int(p.Port))
		if p.Name != "" {
			text = p.Name + " (" + text + ")"
		}
		list = append(list, text)
	}
	if len(list) == 0 {
		return "it has none"
	}
	return strings.Join(list, ", ")
}

func keyOf(o metav1.Object) key { return key{o.GetNamespace(), o.GetName()} }

func sorted[T metav1.Object](list []T) []T {
	return slices.SortedFunc(slices.Values(list), func(a, b T) int {
		return cmp.Or(cmp.Compare(a.GetNamespace(), b.GetNamespace()), cmp.Compare(a.GetName(), b.GetName()))
	})
}
