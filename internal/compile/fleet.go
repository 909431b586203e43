package compile

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluicehq/sluice/internal/annot"
	"github.com/sluicehq/sluice/internal/kube"
	"github.com/sluicehq/sluice/internal/lb"
)

// FleetController is the spec.controller of the IngressClasses that the Envoy fleet serves, whatever their names.
const FleetController = "projectcontour.io/contour"

// fleetClass is the class that is served where none is configured.
const fleetClass = "contour"

// FleetOptions are what the program's flags say about an Envoy fleet.
type FleetOptions struct {
	Classes        []string // values of the class that are served; without any, contour and objects without a class
	RootNamespaces []string // the only ones where an HTTPProxy may have a virtual host; all when empty
}

// Fleet is what one Envoy fleet serves. A stack is one virtual host, with all that any object says about it: so nothing
// is left to be put together from several stacks, and a change of one host is a change of one stack.
type Fleet struct {
	Stacks   []lb.Stack    // sorted by id
	Members  []lb.Object   // objects whose status shows the fleet's address, sorted
	Proxies  []ProxyResult // of the HTTPProxies that are ours, sorted
	Verdicts []lb.Verdict  // sorted
}

// Backends are the Service ports whose endpoints the stacks need, sorted.
func (f Fleet) Backends() []lb.Backend {
	seen := map[lb.Backend]bool{}
	for _, s := range f.Stacks {
		for _, u := range s.Upstreams {
			if u.External != "" {
				continue
			}
			seen[u.Backend] = true
			if u.Check != nil && u.Check.Port != 0 {
				seen[lb.Backend{Namespace: u.Backend.Namespace, Service: u.Backend.Service, Port: u.Check.Port, PortName: u.Check.PortName}] = true
			}
		}
	}
	return slices.SortedFunc(maps.Keys(seen), lb.Backend.Compare)
}

// FleetOf compiles all that an Envoy fleet serves.
func FleetOf(objects *kube.Objects, options FleetOptions) Fleet {
	f := &fleet{objects: objects, options: options, hosts: map[string]*host{}}
	ingresses := slices.Clone(objects.Ingresses())
	slices.SortStableFunc(ingresses, func(a, b *networkingv1.Ingress) int { return older(a, b) })
	f.proxyRoots()
	for _, i := range ingresses {
		if f.serves(i.Annotations, i.Spec.IngressClassName) && i.DeletionTimestamp == nil {
			f.ingress(i)
		}
	}
	out := Fleet{Members: slices.SortedFunc(slices.Values(f.members), lb.Object.Compare), Proxies: f.results(), Verdicts: lb.SortVerdicts(f.verdicts)}
	for _, name := range slices.Sorted(maps.Keys(f.hosts)) {
		if s, ok := f.hosts[name].stack(name); ok {
			out.Stacks = append(out.Stacks, s)
		}
	}
	return out
}

// older is the order in which objects that want the same are served: the oldest first, then by name.
func older(a, b metav1.Object) int {
	created := func(o metav1.Object) time.Time { return o.GetCreationTimestamp().Time }
	return cmp.Or(created(a).Compare(created(b)), cmp.Compare(a.GetNamespace(), b.GetNamespace()), cmp.Compare(a.GetName(), b.GetName()))
}

// fleet gathers what objects want. Those that win come first.
type fleet struct {
	objects  *kube.Objects
	options  FleetOptions
	hosts    map[string]*host
	members  []lb.Object
	verdicts []lb.Verdict
	proxies  map[lb.Object]*proxyState
}

// host is what is known of one virtual host so far.
type host struct {
	virtual   lb.VirtualHost
	routes    map[string]lb.Route // by what they match
	owner     map[string]lb.Object
	upstreams map[lb.UpstreamID]lb.Upstream
	secrets   map[lb.SecretRef]lb.Secret
	tlsFrom   lb.Object // who said how TLS is spoken
}

// serves says whether an object's class is the fleet's.
func (f *fleet) serves(annotations map[string]string, name *string) bool {
	value, ok := annot.FleetClass(annotations)
	if !ok && name != nil {
		value = *name
	}
	if len(f.options.Classes) > 0 {
		return slices.Contains(f.options.Classes, value) || !ok && f.ofOurClass(value)
	}
	switch value {
	case "":
		defaults := f.objects.DefaultIngressClasses()
		return len(defaults) == 0 || slices.ContainsFunc(defaults, f.ofOurClass)
	case fleetClass:
		return true
	default:
		return !ok && f.ofOurClass(value)
	}
}

// ofOurClass says whether there is an IngressClass of that name that names our controller.
func (f *fleet) ofOurClass(name string) bool {
	class := f.objects.IngressClass(name)
	return class != nil && class.Spec.Controller == FleetController
}

func (f *fleet) verdict(v lb.Verdict) { f.verdicts = append(f.verdicts, v) }

func (f *fleet) host(name string) *host {
	name = strings.ToLower(name)
	h := f.hosts[name]
	if h == nil {
		h = &host{
			virtual: lb.VirtualHost{Host: name}, routes: map[string]lb.Route{}, owner: map[string]lb.Object{},
			upstreams: map[lb.UpstreamID]lb.Upstream{}, secrets: map[lb.SecretRef]lb.Secret{},
		}
		f.hosts[name] = h
	}
	return h
}

// add adds a route unless another object has one that matches the same; that one is returned then.
func (h *host) add(r lb.Route, upstreams []lb.Upstream) (lb.Object, bool) {
	key := r.Match.String()
	if owner, taken := h.owner[key]; taken {
		return owner, false
	}
	h.routes[key], h.owner[key] = r, r.From
	h.needs(r.From, upstreams)
	return lb.Object{}, true
}

func (h *host) needs(from lb.Object, upstreams []lb.Upstream) {
	if !slices.Contains(h.virtual.From, from) {
		h.virtual.From = append(h.virtual.From, from)
	}
	for _, u := range upstreams {
		if known, ok := h.upstreams[u.ID]; ok {
			u.From = append(slices.Clone(known.From), u.From...)
			slices.SortFunc(u.From, lb.Object.Compare)
			u.From = slices.Compact(u.From)
		}
		h.upstreams[u.ID] = u
	}
}

// stack is the host's stack; a host without routes, and without TCP, has none.
func (h *host) stack(name string) (lb.Stack, bool) {
	v := h.virtual
	v.Routes = slices.SortedFunc(maps.Values(h.routes), func(a, b lb.Route) int { return precedence(a.Match, b.Match) })
	secure := v.TCP != nil || slices.ContainsFunc(v.Routes, func(r lb.Route) bool { return r.Secure })
	if !secure {
		v.TLS = nil
	}
	if len(v.Routes) == 0 && v.TCP == nil {
		return lb.Stack{}, false
	}
	slices.SortFunc(v.From, lb.Object.Compare)
	s := lb.Stack{ID: lb.NewStackID(lb.HostFront, name), Members: v.From, VirtualHosts: []lb.VirtualHost{v}}
	for _, id := range slices.Sorted(maps.Keys(h.upstreams)) {
		s.Upstreams = append(s.Upstreams, h.upstreams[id])
	}
	if v.TLS != nil || slices.ContainsFunc(s.Upstreams, func(u lb.Upstream) bool { return u.Verify != nil }) {
		for _, id := range slices.Sorted(maps.Keys(h.secrets)) {
			s.Secrets = append(s.Secrets, h.secrets[id])
		}
	}
	return s, true
}
