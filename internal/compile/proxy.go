package compile

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	contour "github.com/projectcontour/contour/apis/projectcontour/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/sluicehq/sluice/internal/lb"
)

// proxyState is what has become of one HTTPProxy.
type proxyState struct {
	proxy   *contour.HTTPProxy
	reached bool // it is a root, or a root includes it
}

// ProxyStatus is what an HTTPProxy's status says in one word.
type ProxyStatus string

// The words.
const (
	ProxyValid    ProxyStatus = "valid"
	ProxyInvalid  ProxyStatus = "invalid"
	ProxyOrphaned ProxyStatus = "orphaned"
)

// ProxyResult is what became of an HTTPProxy.
type ProxyResult struct {
	Object     lb.Object
	Generation int64
	Status     ProxyStatus
	Verdicts   []lb.Verdict // about it, sorted
}

// proxyCompiler compiles one HTTPProxy as a part of one root.
type proxyCompiler struct {
	*fleet
	root  *proxyRoot
	proxy *contour.HTTPProxy
	self  lb.Object
}

// proxyRoot is the HTTPProxy that has the virtual host.
type proxyRoot struct {
	host   *host
	secure bool // clients are expected to speak TLS
	tcp    bool // what comes over TLS is not HTTP
}

func proxyObject(p *contour.HTTPProxy) lb.Object {
	return lb.Object{Kind: "HTTPProxy", Namespace: p.Namespace, Name: p.Name}
}

// issue is what is wrong in an HTTPProxy, in the words of its status.
type issue struct {
	category, reason string
	field, value     string
	problem, fix     string
}

func (p *proxyCompiler) tell(severity lb.Severity, i issue) {
	p.verdict(lb.Verdict{
		Object: p.self, Severity: severity, Category: i.category, Reason: lb.Reason(i.reason),
		Field: i.field, Value: i.value, Problem: i.problem, Fix: i.fix,
	})
}

// proxyRoots compiles all HTTPProxies that are ours, from their roots.
func (f *fleet) proxyRoots() {
	f.proxies = map[lb.Object]*proxyState{}
	byName := map[string][]*contour.HTTPProxy{}
	for _, p := range f.objects.HTTPProxies() {
		var class *string
		if p.Spec.IngressClassName != "" {
			class = &p.Spec.IngressClassName
		}
		if p.DeletionTimestamp != nil || !f.serves(p.Annotations, class) {
			continue
		}
		f.proxies[proxyObject(p)] = &proxyState{proxy: p}
		f.members = append(f.members, proxyObject(p))
		if p.Spec.VirtualHost != nil {
			name := strings.ToLower(p.Spec.VirtualHost.Fqdn)
			byName[name] = append(byName[name], p)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		for _, p := range byName[name] {
			f.proxyRoot(p, name, byName[name])
		}
	}
	for _, self := range slices.SortedFunc(maps.Keys(f.proxies), lb.Object.Compare) {
		if !f.proxies[self].reached {
			c := &proxyCompiler{fleet: f, proxy: f.proxies[self].proxy, self: self}
			c.tell(lb.Refused, issue{contour.ConditionTypeOrphanedError, "Orphaned", "", "", "no HTTPProxy with a virtual host includes it", "Include it, or give it a virtualhost"})
		}
	}
}

// proxyRoot compiles one root. same are all roots that want its name.
func (f *fleet) proxyRoot(proxy *contour.HTTPProxy, name string, same []*contour.HTTPProxy) {
	self := proxyObject(proxy)
	f.proxies[self].reached = true
	p := &proxyCompiler{fleet: f, proxy: proxy, self: self}
	refuse := func(category, reason, field, value, problem, fix string) {
		p.tell(lb.Refused, issue{category, reason, field, value, problem, fix})
	}
	fqdn := proxy.Spec.VirtualHost.Fqdn
	switch {
	case len(f.options.RootNamespaces) > 0 && !slices.Contains(f.options.RootNamespaces, proxy.Namespace):
		refuse(contour.ConditionTypeRootNamespaceError, "RootProxyNotAllowedInNamespace", "spec.virtualhost", "",
			"HTTPProxies with a virtual host may not be in namespace "+proxy.Namespace, "Move it to one of "+strings.Join(f.options.RootNamespaces, ", "))
		return
	case fqdn == "":
		refuse(contour.ConditionTypeVirtualHostError, "FQDNNotSpecified", "spec.virtualhost.fqdn", "", "is not set", "Set the name of the host to serve")
		return
	case len(validation.IsDNS1123Subdomain(strings.TrimPrefix(name, "*."))) > 0:
		refuse(contour.ConditionTypeVirtualHostError, "FQDNNotSpecified", "spec.virtualhost.fqdn", fqdn, "is no DNS name", "Use a name such as www.example.com, or *.example.com")
		return
	case len(same) > 1:
		var others []string
		for _, o := range same {
			if o != proxy {
				others = append(others, o.Namespace+"/"+o.Name)
			}
		}
		refuse(contour.ConditionTypeVirtualHostError, "DuplicateVhost", "spec.virtualhost.fqdn", fqdn,
			"is also the name of "+strings.Join(others, ", ")+"; none of them is served", "Leave it to one of them, and let that one include the others")
		return
	}
	p.root = &proxyRoot{host: f.host(name)}
	if p.nothing() || !p.virtualHost() {
		delete(f.hosts, name) // an Ingress may still be for it
		return
	}
	p.routes(nil, []lb.Object{self})
	p.root.host.needs(self, nil)
}

// nothing tells of an HTTPProxy that does not say anything.
func (p *proxyCompiler) nothing() bool {
	s := p.proxy.Spec
	if len(s.Routes) > 0 || len(s.Includes) > 0 || s.TCPProxy != nil {
		return false
	}
	p.tell(lb.Refused, issue{contour.ConditionTypeSpecError, "NothingDefined", "spec", "", "has neither routes, nor includes, nor a tcpproxy", "Add one of them"})
	return true
}

// include is a part of an HTTPProxy's includes that has been followed; conditions are those of all includes down to it.
func (p *proxyCompiler) include(n int, conditions []contour.MatchCondition, path []lb.Object) {
	inc := p.proxy.Spec.Includes[n]
	field := fmt.Sprintf("spec.includes[%d]", n)
	problem, fix, ok := checkPaths(inc.Conditions, true)
	if !ok {
		p.tell(lb.Partial, issue{contour.ConditionTypeIncludeError, "PathMatchConditionsNotValid", field + ".conditions", "", problem, fix})
		return
	}
	if problem, fix, ok := checkHeaders(inc.Conditions); !ok {
		p.tell(lb.Partial, issue{contour.ConditionTypeIncludeError, "HeaderMatchConditionsNotValid", field + ".conditions", "", problem, fix})
		return
	}
	for earlier := range n {
		if sameConditions(p.proxy.Spec.Includes[earlier].Conditions, inc.Conditions) && !plainRoot(inc.Conditions) {
			p.tell(lb.Partial, issue{contour.ConditionTypeIncludeError, "DuplicateMatchConditions", field + ".conditions", "",
				fmt.Sprintf("are those of spec.includes[%d], too; this include is left out", earlier), "Give it conditions of its own"})
			return
		}
	}
	merged := append(slices.Clone(conditions), inc.Conditions...)
	child, ok := p.included(inc.Name, inc.Namespace, field, contour.ConditionTypeIncludeError, path)
	if child == nil {
		if !ok && len(inc.Conditions) > 0 {
			p.unavailable(merged, field, 502)
		}
		return
	}
	child.routes(merged, append(slices.Clone(path), child.self))
}

// included finds an HTTPProxy that may be included. ok says that there is one.
func (p *proxyCompiler) included(name, namespace, field, category string, path []lb.Object) (child *proxyCompiler, ok bool) {
	if namespace == "" {
		namespace = p.proxy.Namespace
	}
	self := lb.Object{Kind: "HTTPProxy", Namespace: namespace, Name: name}
	state := p.proxies[self]
	refuse := func(reason, problem, fix string) {
		p.tell(lb.Partial, issue{category, reason, field, namespace + "/" + name, problem, fix})
	}
	switch {
	case state == nil:
		refuse("IncludeNotFound", "there is no such HTTPProxy", "Create it, or include one that exists")
		return nil, false
	case slices.Contains(path, self):
		refuse("IncludeCreatesCycle", "includes itself in the end", "Break the circle")
		return nil, true
	case state.proxy.Spec.VirtualHost != nil:
		refuse("RootIncludesRoot", "has a virtual host of its own and cannot be included", "Remove its virtualhost, or this include")
		return nil, true
	}
	state.reached = true
	return &proxyCompiler{fleet: p.fleet, root: p.root, proxy: state.proxy, self: self}, true
}

// routes adds an HTTPProxy's own routes, and those that it includes; its own win.
func (p *proxyCompiler) routes(conditions []contour.MatchCondition, path []lb.Object) {
	for n := range p.proxy.Spec.Routes {
		p.route(n, conditions)
	}
	for n := range p.proxy.Spec.Includes {
		p.include(n, conditions, path)
	}
}

// results are what has become of all HTTPProxies, sorted.
func (f *fleet) results() []ProxyResult {
	about := map[lb.Object][]lb.Verdict{}
	for _, v := range lb.SortVerdicts(f.verdicts) {
		about[v.Object] = append(about[v.Object], v)
	}
	var out []ProxyResult
	for _, self := range slices.SortedFunc(maps.Keys(f.proxies), lb.Object.Compare) {
		r := ProxyResult{Object: self, Generation: f.proxies[self].proxy.Generation, Status: ProxyValid, Verdicts: about[self]}
		for _, v := range r.Verdicts {
			switch {
			case v.Category == contour.ConditionTypeOrphanedError:
				r.Status = ProxyOrphaned
			case v.Severity != lb.Warning && r.Status == ProxyValid:
				r.Status = ProxyInvalid
			}
		}
		out = append(out, r)
	}
	return out
}
