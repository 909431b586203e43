// Package source says what Kubernetes objects ask of names: in go an Ingress, a Service with its surroundings, or a
// DNSEndpoint; out come endpoints for package dns, and verdicts. The rules are those of ExternalDNS v0.22.
//
// It is pure, and each object is read by itself: what one object asks for depends on no other, so a change of an object
// costs the work of that object. Pods are never needed: addresses and host names of pods come from EndpointSlices.
package source

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/sluicehq/sluice/internal/annot"
	"github.com/sluicehq/sluice/internal/dns"
	"github.com/sluicehq/sluice/internal/lb"
)

// Kinds of objects that names come from, as --source has them.
const (
	Ingress = "ingress"
	Service = "service"
	CRD     = "crd"
)

// Options say how objects are read. The zero value reads everything as ExternalDNS does by default, but for
// ExcludeUnschedulable.
type Options struct {
	Prefixes         []string // of annotations; both of ExternalDNS's when empty
	AnnotationFilter labels.Selector
	LabelFilter      labels.Selector
	IngressClasses   []string

	IgnoreHostnameAnnotation bool
	IgnoreIngressRules       bool
	IgnoreIngressTLS         bool

	FQDN    Templates // names
	Pairs   Templates // name:target
	Combine bool      // templates beside annotations, instead of only without any

	ServiceTypes          []corev1.ServiceType // all when empty
	PublishInternal       bool                 // Services of type ClusterIP
	PublishHostIP         bool
	AlwaysPublishNotReady bool
	ExcludeUnschedulable  bool
	ExposeInternalIPv6    bool

	DefaultTargets      []string
	ForceDefaultTargets bool
	TargetNets          []netip.Prefix
	ExcludeTargetNets   []netip.Prefix
	NAT64               []netip.Prefix
	PreferAlias         bool
	MinTTL              int64 // for objects that do not say one
}

// Read is what an object asks for.
type Read struct {
	Endpoints []dns.Endpoint
	Verdicts  []lb.Verdict
}

// asker is an object that asks for names.
type asker struct {
	Options
	object   lb.Object
	settings annot.DNS
	dns      dns.Settings
	managed  bool
	held     bool
	read     Read
}

// asks begins reading an object; false when the filters or its controller annotation leave it to others.
func (o Options) asks(object lb.Object, meta metav1.ObjectMeta, managed bool) (*asker, bool) {
	if o.filtered(meta) {
		return nil, false
	}
	settings, verdicts := annot.ReadDNS(object, meta.Annotations, o.Prefixes...)
	if settings.Elsewhere {
		return nil, false
	}
	a := &asker{Options: o, object: object, settings: settings, managed: managed && len(settings.Targets) == 0}
	a.read.Verdicts = verdicts
	a.record()
	return a, true
}

func (o Options) filtered(meta metav1.ObjectMeta) bool {
	return o.AnnotationFilter != nil && !o.AnnotationFilter.Matches(labels.Set(meta.Annotations)) ||
		o.LabelFilter != nil && !o.LabelFilter.Matches(labels.Set(meta.Labels))
}

// record reads what annotations say about the records themselves.
func (a *asker) record() {
	var properties []dns.Property
	if a.settings.Alias != "" {
		properties = append(properties, dns.Property{Name: "alias", Value: a.settings.Alias})
	}
	for name, value := range a.settings.Properties {
		properties = append(properties, dns.Property{Name: name, Value: value})
	}
	var problems []dns.Property
	a.dns, problems = dns.ReadSettings(a.settings.SetIdentifier, properties)
	for _, p := range problems {
		a.held = true
		a.complain(lb.Refused, lb.InvalidAnnotation, "annotation "+strings.Replace(p.Name, "aws/", "aws-", 1), a.settings.Properties[p.Name], p.Value, "Correct it; until then the records stay as they are")
	}
}

func (a *asker) complain(severity lb.Severity, reason lb.Reason, field, value, problem, fix string) {
	a.read.Verdicts = append(a.read.Verdicts, lb.Verdict{Object: a.object, Severity: severity, Reason: reason, Field: field, Value: value, Problem: problem, Fix: fix})
}

// ask has names point at targets. The target annotation goes before.
func (a *asker) ask(names, targets []string) {
	if len(a.settings.Targets) > 0 {
		targets = a.settings.Targets
	}
	if len(a.DefaultTargets) > 0 && (len(targets) == 0 || a.ForceDefaultTargets) {
		targets, a.managed = a.DefaultTargets, false
	}
	for _, text := range names {
		name, err := dns.ParseName(text)
		if err != nil {
			a.complain(lb.Partial, lb.InvalidHostname, "name", text, err.Error(), "Write a domain name")
			continue
		}
		a.endpoints(name, targets)
	}
}

// endpoints are one for each type of target.
func (a *asker) endpoints(name dns.Name, targets []string) {
	byType := map[dns.Type][]string{}
	for _, t := range targets {
		if t = strings.TrimSuffix(t, "."); t != "" && a.allows(t) {
			byType[dns.TypeOf(t)] = append(byType[dns.TypeOf(t)], t)
		}
	}
	for _, v6 := range byType[dns.AAAA] {
		if v4, ok := a.embedded(v6); ok {
			byType[dns.A] = append(byType[dns.A], v4)
		}
	}
	if a.held {
		a.read.Endpoints = append(a.read.Endpoints, dns.Endpoint{Name: name, SetID: a.settings.SetIdentifier, From: a.object, Held: true})
		return
	}
	if a.managed && len(byType) == 0 {
		a.add(dns.Endpoint{Name: name, Type: dns.CNAME, SetID: a.settings.SetIdentifier, TTL: a.settings.TTL, Settings: a.dns})
	}
	for _, t := range []dns.Type{dns.A, dns.AAAA, dns.CNAME} {
		if len(byType[t]) > 0 {
			a.add(dns.Endpoint{Name: name, Type: t, Targets: byType[t], SetID: a.settings.SetIdentifier, TTL: a.settings.TTL, Settings: a.dns})
		}
	}
}

// add completes an endpoint and takes it in.
func (a *asker) add(e dns.Endpoint) {
	e.From, e.Managed = a.object, a.managed
	e.Targets = slices.Compact(slices.Sorted(slices.Values(e.Targets)))
	if e.TTL == 0 {
		e.TTL = a.MinTTL
	}
	if e.Type == dns.CNAME && a.PreferAlias && e.Settings.Alias == dns.AliasByTarget {
		e.Settings.Alias = dns.AliasAlways
	}
	same := func(o dns.Endpoint) bool {
		return o.Name == e.Name && o.Type == e.Type && o.SetID == e.SetID
	}
	if i := slices.IndexFunc(a.read.Endpoints, same); i >= 0 {
		a.read.Endpoints[i].Targets = slices.Compact(slices.Sorted(slices.Values(append(slices.Clone(a.read.Endpoints[i].Targets), e.Targets...))))
		return
	}
	a.read.Endpoints = append(a.read.Endpoints, e)
}

// allows applies the filters for targets. A host name is in no network.
func (a *asker) allows(target string) bool {
	address, err := netip.ParseAddr(target)
	in := func(nets []netip.Prefix) bool {
		return err == nil && slices.ContainsFunc(nets, func(p netip.Prefix) bool { return p.Contains(address) })
	}
	return (len(a.TargetNets) == 0 || in(a.TargetNets)) && !in(a.ExcludeTargetNets)
}

// embedded is the IPv4 address in an IPv6 one of a NAT64 network (RFC 6052, for /96).
func (a *asker) embedded(v6 string) (string, bool) {
	address, err := netip.ParseAddr(v6)
	if err != nil || !slices.ContainsFunc(a.NAT64, func(p netip.Prefix) bool { return p.Contains(address) }) {
		return "", false
	}
	raw := address.As16()
	return netip.AddrFrom4([4]byte(raw[12:])).String(), true
}

// finish returns what was read, in order.
func (a *asker) finish() Read {
	slices.SortFunc(a.read.Endpoints, func(x, y dns.Endpoint) int { return strings.Compare(x.String(), y.String()) })
	a.read.Verdicts = lb.SortVerdicts(a.read.Verdicts)
	return a.read
}

// fromTemplates adds what templates say, where nothing was asked for yet or they are combined.
func (a *asker) fromTemplates(object any, targets func() []string) {
	if a.asked() && !a.Combine {
		return
	}
	pairs, err := a.Pairs.render(object)
	a.templateProblem("--fqdn-target-template", err)
	for _, pair := range pairs {
		host, target, ok := strings.Cut(pair, ":")
		if !ok {
			a.complain(lb.Partial, lb.InvalidHostname, "--fqdn-target-template", pair, "is not of the form host:target", "Correct the template")
			continue
		}
		managed := a.managed
		a.managed = false
		a.ask([]string{host}, []string{target})
		a.managed = managed
	}
	if a.asked() && !a.Combine {
		return
	}
	names, err := a.FQDN.render(object)
	a.templateProblem("--fqdn-template", err)
	if len(names) > 0 {
		a.ask(names, targets())
	}
}

func (a *asker) asked() bool { return len(a.read.Endpoints) > 0 }

func (a *asker) templateProblem(flag string, err error) {
	if err != nil {
		a.complain(lb.Partial, lb.InvalidHostname, flag, "", fmt.Sprintf("does not work for this object: %s", err), "Correct the template")
	}
}

// Ingress reads an Ingress. managed says that its load balancer is one that this program makes.
func (o Options) Ingress(i *networkingv1.Ingress, managed bool) Read {
	object := lb.Object{Kind: "Ingress", Namespace: i.Namespace, Name: i.Name}
	if !o.hasClass(i) {
		return Read{}
	}
	a, ok := o.asks(object, i.ObjectMeta, managed)
	if !ok {
		return Read{}
	}
	targets := addresses(i)
	a.ask(a.hosts(i), targets)
	a.fromTemplates(i, func() []string { return targets })
	return a.finish()
}

func (o Options) hasClass(i *networkingv1.Ingress) bool {
	class := i.Annotations[annot.ClassAnnotation]
	if i.Spec.IngressClassName != nil && *i.Spec.IngressClassName != "" {
		class = *i.Spec.IngressClassName
	}
	return len(o.IngressClasses) == 0 || slices.Contains(o.IngressClasses, class)
}

// hosts are the names of an Ingress, each once.
func (a *asker) hosts(i *networkingv1.Ingress) []string {
	var names []string
	if a.settings.NoHosts {
		return nil
	}
	if a.settings.HostnameSource != "annotation-only" {
		for _, r := range i.Spec.Rules {
			if r.Host != "" && !a.IgnoreIngressRules {
				names = append(names, r.Host)
			}
		}
		for _, t := range i.Spec.TLS {
			if !a.IgnoreIngressTLS {
				names = append(names, t.Hosts...)
			}
		}
	}
	if a.settings.HostnameSource != "defined-hosts-only" && !a.IgnoreHostnameAnnotation {
		names = append(names, a.settings.Hostnames...)
	}
	names = slices.DeleteFunc(names, func(n string) bool { return n == "" })
	slices.Sort(names)
	return slices.Compact(names)
}

func addresses(i *networkingv1.Ingress) []string {
	var out []string
	for _, address := range i.Status.LoadBalancer.Ingress {
		out = append(out, some(address.IP, address.Hostname)...)
	}
	return out
}

// some are the values that are not empty.
func some(values ...string) []string {
	return slices.DeleteFunc(values, func(v string) bool { return v == "" })
}
