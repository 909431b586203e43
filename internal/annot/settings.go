package annot

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	elbv2api "github.com/sluicehq/sluice/api/elbv2/v1beta1"
	"github.com/sluicehq/sluice/internal/lb"
)

// Defaults are what holds where nobody says anything; the program's flags set them.
type Defaults struct {
	TargetType   lb.TargetType
	Tags         []lb.Tag // on everything; they win over the users' own
	ExternalTags []string // keys that others manage: no Service may set them
	UsersTagsWin bool     // on Services: over Tags
}

// Ingress are the settings of one Ingress about the load balancer and the listeners that it shares with its group. What
// nobody gave has no default here: another member may give it.
type Ingress struct {
	Order            int // within the group
	LoadBalancerName Given[string]
	Scheme           Given[lb.Scheme]
	IPAddressType    Given[lb.IPAddressType]
	Subnets          Given[lb.SubnetSelection]
	InboundCIDRs     Given[[]string] // canonical and sorted
	PrefixLists      Given[[]string] // sorted
	SecurityGroups   Given[[]string] // ids and names, as written
	ManageBackend    Given[bool]     // with SecurityGroups: the backend security group too
	Attributes       Given[[]lb.Attribute]
	ClassAttributes  []lb.Attribute // of class parameters; they win, key by key, where the Ingress is first in its group
	Listen           []Listen       // sorted by port
	ListenField      string         // where Listen was written
	// Certificates are those of all HTTPS ports, the first one the default where the Ingress decides it.
	Certificates []lb.Certificate
	Policy       Given[string] // of HTTPS ports
	// WebACL, ClassicWebACL and Shield are add-ons of the load balancer.
	WebACL, ClassicWebACL Given[lb.WebACL]
	Shield                Given[bool]
	Redirect              Given[uint16] // the HTTPS port that all HTTP ports of the load balancer redirect to
	Tags                  []lb.Tag      // sorted by key
	TagsAt                Origin        // where they were written; with several places, the Ingress
}

// Given is a setting that may have been given.
type Given[T any] struct {
	Value T
	At    Origin // zero when nobody gave it
}

// Set says whether the setting was given.
func (g Given[T]) Set() bool { return g.At.Object != lb.Object{} }

// Or is the value, or another one when it was not given.
func (g Given[T]) Or(other T) T {
	if g.Set() {
		return g.Value
	}
	return other
}

// TargetGroup are the settings of the target group for one Service port of an Ingress.
type TargetGroup struct {
	TargetType      lb.TargetType
	TargetTypeField string // where it was written, empty for the default
	Protocol        lb.Protocol
	Version         lb.ProtocolVersion
	HealthCheck     lb.HealthCheck // without its port
	HealthCheckPort string         // as written: traffic-port, a number, or the name of a Service port
	HealthCheckFrom Origin         // who wrote the port
	NodeLabels      []lb.Tag
	MultiCluster    bool // other clusters have targets in it too
	Attributes      []lb.Attribute
	Tags            []lb.Tag
}

// Origin is where a value was written.
type Origin struct {
	Object lb.Object
	Field  string
	Value  string
}

// Verdict is a verdict about the value.
func (o Origin) Verdict(severity lb.Severity, reason lb.Reason, problem, fix string) lb.Verdict {
	return lb.Verdict{Object: o.Object, Severity: severity, Reason: reason, Field: o.Field, Value: o.Value, Problem: problem, Fix: fix}
}

// IngressSettings reads an Ingress with the parameters of its class (nil when it has none). A Refused verdict means
// that the settings must not be used.
func IngressSettings(ingress *networkingv1.Ingress, params *elbv2api.IngressClassParams, defaults Defaults) (Ingress, []lb.Verdict) {
	r := newReader(ingressObject(ingress), ingress.Annotations)
	r.unserved(balancerFamily)
	r.unservedParams(params)
	if params == nil {
		params = &elbv2api.IngressClassParams{}
	}
	class := params.Spec
	s := Ingress{
		Order:           r.number(groupOrder, 0, -1000, 1000),
		Subnets:         r.subnets(params),
		InboundCIDRs:    r.cidrs(params),
		PrefixLists:     r.prefixLists(params),
		SecurityGroups:  r.list(securityGroups, ""),
		ManageBackend:   r.boolean(manageBackendRules),
		Attributes:      r.attributes(loadBalancerAttributes, knownBalancerAttributes),
		ClassAttributes: r.classAttributes(params, "loadBalancerAttributes", class.LoadBalancerAttributes, knownBalancerAttributes),
		Tags:            merge(r.tags(), classTags(class), defaults.Tags),
		TagsAt:          Origin{Object: r.layers[0].object, Field: field(tags)},
	}
	r.secured(&s, ingress, params)
	s.WebACL, s.ClassicWebACL, s.Shield = r.webACL(params), r.classicACL(), r.boolean(shieldProtection)
	if class.LoadBalancerName != "" {
		s.LoadBalancerName = byClass(params, "loadBalancerName", class.LoadBalancerName, class.LoadBalancerName)
	} else {
		s.LoadBalancerName = r.loadBalancerName(loadBalancerName)
	}
	if class.Scheme != nil {
		s.Scheme = byClass(params, "scheme", string(*class.Scheme), lb.Scheme(*class.Scheme))
	} else {
		s.Scheme = enumGiven[lb.Scheme](r, scheme)
	}
	if class.IPAddressType != nil {
		s.IPAddressType = byClass(params, "ipAddressType", string(*class.IPAddressType), lb.IPAddressType(*class.IPAddressType))
	} else {
		s.IPAddressType = enumGiven[lb.IPAddressType](r, ipAddressType)
	}
	return s, r.problems
}

// byClass is a setting that class parameters give.
func byClass[T any](params *elbv2api.IngressClassParams, name, text string, value T) Given[T] {
	return Given[T]{Value: value, At: Origin{classObject(params), "spec." + name, text}}
}

func enumGiven[T ~string](r *reader, k Key) Given[T] {
	value, ok := r.enum(k)
	if !ok {
		return Given[T]{}
	}
	_, at, _ := r.text(k)
	return Given[T]{Value: T(value), At: at}
}

// TargetGroupSettings reads what Ingress and Service say about a target group: the Service wins, annotation by
// annotation, tags key by key.
func TargetGroupSettings(ingress *networkingv1.Ingress, service *corev1.Service, params *elbv2api.IngressClassParams, defaults Defaults) (TargetGroup, []lb.Verdict) {
	own := lb.Object{Kind: "Service", Namespace: service.Namespace, Name: service.Name}
	onService := newReader(own, service.Annotations)
	onService.unserved(balancerFamily)
	r := newReader(own, service.Annotations)
	r.layers = append(r.layers, layer{ingressObject(ingress), ingress.Annotations})

	var class elbv2api.IngressClassParamsSpec
	if params != nil {
		class = params.Spec
	}
	s := TargetGroup{TargetType: defaults.TargetType, Protocol: lb.HTTP, Version: lb.HTTP1}
	if value, ok := r.enum(targetType); ok {
		s.TargetType, s.TargetTypeField = lb.TargetType(value), field(targetType)
	}
	if class.TargetType != nil {
		s.TargetType, s.TargetTypeField = lb.TargetType(*class.TargetType), "spec.targetType of IngressClassParams "+params.Name
	}
	if value, ok := r.enum(backendProtocol); ok {
		s.Protocol = lb.Protocol(value)
	}
	if value, ok := r.enum(backendProtocolVersion); ok {
		s.Version = lb.ProtocolVersion(value)
	}
	s.HealthCheck = r.healthCheck(s.Protocol, s.Version)
	s.HealthCheckPort, s.HealthCheckFrom, _ = r.text(healthCheckPort)
	if s.HealthCheckPort == "" {
		s.HealthCheckPort = "traffic-port"
	}
	s.Attributes = r.attributes(targetGroupAttributes, knownGroupAttributes).Value
	if s.TargetType == lb.InstanceTargets {
		s.NodeLabels = r.pairs(targetNodeLabels)
	}
	onIngress := newReader(ingressObject(ingress), ingress.Annotations)
	s.MultiCluster = r.boolean(multiCluster).Value || onIngress.boolean(multiCluster).Value
	s.Tags = merge(onIngress.tags(), newReader(own, service.Annotations).tags(), classTags(class), defaults.Tags)
	return s, slices.Concat(onService.problems, r.problems, onIngress.problems)
}

func (r *reader) loadBalancerName(k Key) Given[string] {
	value, at, ok := r.text(k)
	if !ok {
		return Given[string]{}
	}
	valid := len(value) <= 32 && value != "" && !strings.HasPrefix(value, "-") && !strings.HasSuffix(value, "-") &&
		!strings.HasPrefix(value, "internal-") && strings.Trim(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") == ""
	if !valid {
		r.refuse(at, "is not a name that a load balancer can have",
			"Use 1 to 32 letters, digits and hyphens, not beginning with internal- and with no hyphen at either end")
	}
	return Given[string]{value, at}
}

func (r *reader) subnets(params *elbv2api.IngressClassParams) Given[lb.SubnetSelection] {
	if params.Spec.Subnets != nil {
		selection := classSubnets(params)
		return byClass(params, "subnets", selection.String(), selection)
	}
	return r.selection(subnets)
}

// selection is one of subnets by id or name.
func (r *reader) selection(k Key) Given[lb.SubnetSelection] {
	value, at, ok := r.text(k)
	if !ok {
		return Given[lb.SubnetSelection]{}
	}
	list := parseList(value)
	if len(list) == 0 {
		r.refuse(at, "names no subnet", "Name subnets by id or Name tag, or remove the annotation for discovery by role tag")
	}
	return Given[lb.SubnetSelection]{lb.SubnetSelection{IDsOrNames: list, From: at.Object, Field: at.Field}, at}
}

func classSubnets(params *elbv2api.IngressClassParams) lb.SubnetSelection {
	selector := params.Spec.Subnets
	out := lb.SubnetSelection{From: classObject(params), Field: "spec.subnets"}
	for _, id := range selector.IDs {
		out.IDsOrNames = append(out.IDsOrNames, string(id))
	}
	for key, values := range selector.Tags {
		out.Tags = append(out.Tags, lb.TagFilter{Key: key, Values: slices.Sorted(slices.Values(values))})
	}
	slices.SortFunc(out.Tags, func(a, b lb.TagFilter) int { return strings.Compare(a.Key, b.Key) })
	return out
}

func (r *reader) prefixLists(params *elbv2api.IngressClassParams) Given[[]string] {
	given := r.sortedList(prefixLists, "pl-")
	if list := params.Spec.PrefixListsIDs; len(list) > 0 {
		given = byClass(params, "prefixListsIDs", strings.Join(list, ","), list)
	} else if list := params.Spec.PrefixListsIDsLegacy; len(list) > 0 {
		given = byClass(params, "PrefixListsIDs", strings.Join(list, ","), list)
	}
	given.Value = slices.Compact(slices.Sorted(slices.Values(given.Value)))
	return given
}

// sortedList is a list whose order means nothing.
func (r *reader) sortedList(k Key, prefix string) Given[[]string] {
	given := r.list(k, prefix)
	given.Value = slices.Compact(slices.Sorted(slices.Values(given.Value)))
	return given
}

func (r *reader) cidrs(params *elbv2api.IngressClassParams) Given[[]string] {
	if list := params.Spec.InboundCIDRs; len(list) > 0 {
		given := byClass(params, "inboundCIDRs", strings.Join(list, ","), list)
		given.Value = r.canonical(given.At, list)
		return given
	}
	value, at, ok := r.text(inboundCIDRs)
	if !ok {
		return Given[[]string]{}
	}
	return Given[[]string]{r.canonical(at, parseList(value)), at}
}

// canonical masks host bits away, as EC2 does when it stores a rule, so that what is wanted compares with what is there.
func (r *reader) canonical(at Origin, list []string) []string {
	var out []string
	for _, text := range list {
		prefix, err := netip.ParsePrefix(strings.TrimSpace(text))
		if err != nil {
			at.Value = text
			r.refuse(at, "is not a CIDR block", "Write it as 192.0.2.0/24 or, for one address, 192.0.2.1/32")
			continue
		}
		out = append(out, prefix.Masked().String())
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// listen are the ports to listen on. certified says whether certificates are listed.
func (r *reader) listen(certified bool) []Listen {
	value, at, ok := r.text(listenPorts)
	switch {
	case !ok && certified:
		return []Listen{{Port: 443, Protocol: lb.HTTPS}}
	case !ok:
		return []Listen{{Port: 80, Protocol: lb.HTTP}}
	}
	list, err := parseListenPorts(value)
	if err != nil {
		r.refuse(at, err.Error(), `Write it as [{"HTTP": 80}]`)
	}
	return list
}

func (r *reader) healthCheck(backend lb.Protocol, version lb.ProtocolVersion) lb.HealthCheck {
	h := lb.HealthCheck{Protocol: backend, Path: "/", Matcher: "200"}
	low, high := 200, 499
	if version == lb.GRPC {
		h.Path, h.Matcher = "/AWS.ALB/healthcheck", "12"
		low, high = 0, 99
	}
	if value, ok := r.enum(healthCheckProtocol); ok {
		h.Protocol = lb.Protocol(value)
	}
	if value, at, ok := r.text(healthCheckPath); ok {
		h.Path = r.probePath(value, at)
	}
	h.Interval = time.Duration(r.number(healthCheckInterval, 15, 5, 300)) * time.Second
	h.Timeout = time.Duration(r.number(healthCheckTimeout, 5, 2, 120)) * time.Second
	r.checkTimeout(h, healthCheckTimeout, healthCheckInterval)
	h.HealthyThreshold = r.number(healthyThreshold, 2, 2, 10)
	h.UnhealthyThreshold = r.number(unhealthyThreshold, 2, 2, 10)
	h.Matcher = r.successCodes(successCodes, h.Matcher, low, high)
	return h
}

func (r *reader) probePath(value string, at Origin) string {
	if !strings.HasPrefix(value, "/") || len(value) > 1024 {
		r.refuse(at, "is not a path to probe", "Begin it with a slash and keep it within 1024 characters")
	}
	return value
}

// checkTimeout refuses a timeout that is longer than the interval.
func (r *reader) checkTimeout(h lb.HealthCheck, timeout, interval Key) {
	if h.Timeout <= h.Interval {
		return
	}
	_, at, written := r.text(timeout)
	if !written {
		_, at, _ = r.text(interval)
	}
	r.refuse(at, "makes the timeout ("+h.Timeout.String()+") longer than the interval ("+h.Interval.String()+")",
		"Set "+timeout.Annotation()+" to at most "+interval.Annotation())
}

// successCodes are the statuses of a good probe.
func (r *reader) successCodes(k Key, def string, low, high int) string {
	value, at, ok := r.text(k)
	if !ok {
		return def
	}
	value = strings.ReplaceAll(value, " ", "")
	if err := checkMatcher(value, low, high); err != nil {
		example := "200,202 or a range such as 200-299"
		if low == 0 {
			example = "0,12 or a range such as 0-99"
		}
		r.refuse(at, err.Error(), fmt.Sprintf("Write one status, a list such as %s, within %d to %d", example, low, high))
	}
	return value
}

func (r *reader) tags() []lb.Tag { return r.pairs(tags) }

func classTags(class elbv2api.IngressClassParamsSpec) []lb.Tag {
	var out []lb.Tag
	for _, t := range class.Tags {
		out = append(out, lb.Tag{Key: t.Key, Value: t.Value})
	}
	return out
}

// merge joins tags by key; later lists win. The result is sorted.
func merge(lists ...[]lb.Tag) []lb.Tag {
	pairs := map[string]string{}
	for _, list := range lists {
		for _, t := range list {
			pairs[t.Key] = t.Value
		}
	}
	if len(pairs) == 0 {
		return nil
	}
	return sortTags(pairs)
}

func ingressObject(i *networkingv1.Ingress) lb.Object {
	return lb.Object{Kind: "Ingress", Namespace: i.Namespace, Name: i.Name}
}

func classObject(p *elbv2api.IngressClassParams) lb.Object {
	return lb.Object{Kind: "IngressClassParams", Name: p.Name}
}
