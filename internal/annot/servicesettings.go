package annot

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/sluicehq/sluice/internal/lb"
)

// Service are the settings of a Service that gets a Network Load Balancer.
type Service struct {
	LoadBalancerName Given[string]
	Scheme           Given[lb.Scheme]
	IPAddressType    Given[lb.IPAddressType]
	Subnets          lb.SubnetSelection
	Network          lb.NetworkSettings // but for SchemeFree
	Attributes       []lb.Attribute
	Tags             []lb.Tag

	SourceRanges     Given[[]string] // canonical and sorted
	PrefixLists      Given[[]string] // sorted
	SecurityGroups   Given[[]string] // ids and names, as written
	ManageBackend    Given[bool]
	NoSecurityGroups Given[bool]
	PathMTU          bool

	Certificates []lb.Certificate
	TLSPorts     Given[[]string] // names and numbers
	TLSPolicy    string
	ALPN         string
	MergeTCPUDP  Given[bool]
	QUICPorts    Given[[]string] // names and numbers

	IPTargets    Given[bool] // else instances
	BackendTLS   bool
	NodeLabels   []lb.Tag
	MultiCluster bool

	proxyAll   bool
	proxyPorts Given[[]string]
	reader     *reader
}

// ServiceSettings reads a Service. A Refused verdict means that the settings must not be used.
func ServiceSettings(service *corev1.Service, defaults Defaults) (Service, []lb.Verdict) {
	self := lb.Object{Kind: "Service", Namespace: service.Namespace, Name: service.Name}
	r := newReader(self, service.Annotations)
	r.unserved(serviceFamily)
	policy, _, _ := r.text(nlbTLSPolicy)
	certificates := r.serviceCertificates()
	alpn := ""
	if len(certificates) > 0 {
		alpn, _ = r.enum(nlbALPN)
	}
	r.lenient(nlbPathMTU, nlbTCPUDP)
	mtu, _, _ := r.text(nlbPathMTU)
	backend, _, _ := r.text(nlbBackendProtocol)
	proxy, _ := r.enum(nlbProxyProtocol)
	s := Service{
		LoadBalancerName: r.loadBalancerName(nlbName),
		Scheme:           r.schemeOfService(),
		IPAddressType:    enumGiven[lb.IPAddressType](r, nlbAddressType),
		Subnets:          r.selection(nlbSubnets).Value,
		Network:          r.network(),
		Attributes:       r.balancerAttributes(),
		Tags:             r.tagsOfService(defaults),
		SourceRanges:     r.sourceRanges(service),
		PrefixLists:      r.sortedList(nlbPrefixLists, "pl-"),
		SecurityGroups:   r.list(nlbSecurityGroups, ""),
		ManageBackend:    r.boolean(nlbManageBackend),
		NoSecurityGroups: r.boolean(nlbNoSecurityGroups),
		PathMTU:          mtu == "on",
		Certificates:     certificates,
		TLSPorts:         r.portsOf(service, nlbTLSPorts),
		TLSPolicy:        policy,
		ALPN:             alpn,
		MergeTCPUDP:      r.mergeTCPUDP(),
		QUICPorts:        r.portsOf(service, nlbQUICPorts),
		IPTargets:        r.ipTargets(),
		BackendTLS:       backend == "ssl",
		NodeLabels:       r.pairs(nlbNodeLabels),
		MultiCluster:     r.boolean(nlbMultiCluster).Value,
		proxyAll:         proxy == "*",
		proxyPorts:       r.numbers(nlbProxyPorts),
		reader:           r,
	}
	return s, r.problems
}

// lenient warns of values that mean nothing, of annotations for which the reference takes them as if they were not there.
func (r *reader) lenient(keys ...Key) {
	for _, k := range keys {
		value, at, ok := r.text(k)
		_, err := strconv.ParseBool(value)
		if ok && (k.Type == Boolean && err != nil || k.Type != Boolean && !slices.Contains(k.Values, value)) {
			r.problems = append(r.problems, at.Verdict(lb.Warning, lb.InvalidAnnotation, "means nothing, so it has no effect", "Use "+strings.Join(append(slices.Clone(k.Values), "or remove it"), ", ")))
		}
	}
}

func (r *reader) mergeTCPUDP() Given[bool] {
	value, at, ok := r.text(nlbTCPUDP)
	merge, err := strconv.ParseBool(value)
	if !ok || err != nil {
		return Given[bool]{}
	}
	return Given[bool]{merge, at}
}

// schemeOfService is by the annotation scheme, or by the older one.
func (r *reader) schemeOfService() Given[lb.Scheme] {
	internal := r.boolean(nlbInternal)
	if given := enumGiven[lb.Scheme](r, nlbScheme); given.Set() || !internal.Set() {
		return given
	}
	if internal.Value {
		return Given[lb.Scheme]{lb.Internal, internal.At}
	}
	return Given[lb.Scheme]{lb.InternetFacing, internal.At}
}

func (r *reader) network() lb.NetworkSettings {
	nat, _ := r.enum(nlbSourceNAT)
	link, _ := r.enum(nlbPrivateLink)
	return lb.NetworkSettings{
		Addresses: lb.StaticAddresses{
			EIPs: r.addresses(nlbEIPs, "is no allocation id", func(v string) bool { return strings.HasPrefix(v, "eipalloc-") }),
			PrivateIPv4: r.addresses(nlbPrivateIPv4, "is no address of IPv4", func(v string) bool {
				a, err := netip.ParseAddr(v)
				return err == nil && a.Is4()
			}),
			IPv6: r.addresses(nlbIPv6, "is no address of IPv6", func(v string) bool {
				a, err := netip.ParseAddr(v)
				return err == nil && a.Is6()
			}),
			SourceNATPrefixes: r.addresses(nlbNATPrefixes, "is neither auto_assigned nor a /80 of IPv6", func(v string) bool {
				p, err := netip.ParsePrefix(v)
				return v == "auto_assigned" || err == nil && p.Addr().Is6() && p.Bits() == 80
			}),
		},
		SourceNAT:          lb.Switch(nat),
		PrivateLinkIngress: lb.Switch(link),
	}
}

func (r *reader) addresses(k Key, problem string, ok func(string) bool) []lb.StaticAddress {
	list := r.list(k, "")
	var out []lb.StaticAddress
	for _, value := range list.Value {
		at := list.At
		at.Value = value
		if !ok(value) {
			r.refuse(at, problem, "Name one for each subnet, separated by commas")
		}
		out = append(out, lb.StaticAddress{Value: value, From: at.Object, Field: at.Field})
	}
	return out
}

// balancerAttributes are those of the map, and those of older annotations, which win.
func (r *reader) balancerAttributes() []lb.Attribute {
	all := map[string]string{}
	for _, a := range r.attributes(nlbAttributes, knownNetworkAttributes).Value {
		all[a.Key] = a.Value
	}
	if r.boolean(nlbAccessLog).Value {
		all["access_logs.s3.enabled"] = "true"
		for key, k := range map[string]Key{"access_logs.s3.bucket": nlbAccessLogBucket, "access_logs.s3.prefix": nlbAccessLogPrefix} {
			if value, _, ok := r.text(k); ok {
				all[key] = value
			}
		}
	}
	if cross := r.boolean(nlbCrossZone); cross.Set() {
		all["load_balancing.cross_zone.enabled"] = strconv.FormatBool(cross.Value)
	}
	return sortedAttributes(all)
}

func sortedAttributes(all map[string]string) []lb.Attribute {
	var out []lb.Attribute
	for _, key := range slices.Sorted(maps.Keys(all)) {
		out = append(out, lb.Attribute{Key: key, Value: all[key]})
	}
	return out
}

// tagsOfService refuses tags that somebody else manages.
func (r *reader) tagsOfService(defaults Defaults) []lb.Tag {
	own := r.pairs(nlbTags)
	for _, t := range own {
		if slices.Contains(defaults.ExternalTags, t.Key) {
			_, at, _ := r.text(nlbTags)
			at.Value = t.Key + "=" + t.Value
			r.refuse(at, "is a tag that others manage (--external-managed-tags of the controller)", "Remove it")
		}
	}
	if defaults.UsersTagsWin {
		return merge(defaults.Tags, own)
	}
	return merge(own, defaults.Tags)
}

// sourceRanges are those of the spec, else those of the annotation.
func (r *reader) sourceRanges(service *corev1.Service) Given[[]string] {
	given := r.list(nlbSourceRanges, "")
	if list := service.Spec.LoadBalancerSourceRanges; len(list) > 0 {
		given = Given[[]string]{list, Origin{r.layers[0].object, "spec.loadBalancerSourceRanges", strings.Join(list, ",")}}
	}
	if given.Set() {
		given.Value = r.canonical(given.At, given.Value)
	}
	return given
}

func (r *reader) serviceCertificates() []lb.Certificate {
	list := r.list(nlbCertificates, "arn:")
	var out []lb.Certificate
	for _, arn := range list.Value {
		out = append(out, lb.Certificate{ARN: arn, From: list.At.Object, Field: list.At.Field})
	}
	return out
}

// portsOf is a list of names and numbers of Service ports.
func (r *reader) portsOf(service *corev1.Service, k Key) Given[[]string] {
	list := r.list(k, "")
	for _, word := range list.Value {
		known := slices.ContainsFunc(service.Spec.Ports, func(p corev1.ServicePort) bool { return portNamed(p, word) })
		if known {
			continue
		}
		at := list.At
		at.Value = word
		if k.Suffix == nlbQUICPorts.Suffix {
			r.problems = append(r.problems, at.Verdict(lb.Warning, lb.PortNotFound, "is no port of the Service, so it has no effect", "Name a port by its name or number"))
			continue
		}
		r.refuse(at, "is no port of the Service", "Name ports by name or number; without the annotation, all that can have TLS have it")
	}
	return list
}

// portNamed says whether a word is a Service port's name or number.
func portNamed(p corev1.ServicePort, word string) bool {
	return p.Name != "" && p.Name == word || strconv.Itoa(int(p.Port)) == word
}

// Lists says whether a list of names and numbers has a Service port.
func Lists(list []string, port corev1.ServicePort) bool {
	return slices.ContainsFunc(list, func(word string) bool { return portNamed(port, word) })
}

// numbers is a list of whole numbers, as written.
func (r *reader) numbers(k Key) Given[[]string] {
	_, at, ok := r.text(k)
	if !ok {
		return Given[[]string]{}
	}
	list := r.list(k, "")
	for _, word := range list.Value {
		if _, err := strconv.ParseInt(word, 10, 32); err != nil {
			at := at
			at.Value = word
			r.refuse(at, "is no number of a port", "Name Service ports by number, separated by commas")
		}
	}
	return Given[[]string]{list.Value, at} // an empty one counts: no port is on
}

func (r *reader) ipTargets() Given[bool] {
	value, ok := r.enum(nlbTargetType)
	_, at, _ := r.text(nlbTargetType)
	if kind, typeAt, _ := r.text(nlbType); kind == "nlb-ip" {
		return Given[bool]{true, typeAt}
	}
	if !ok {
		return Given[bool]{}
	}
	return Given[bool]{value == string(lb.IPTargets), at}
}

// HealthCheck reads how targets are probed; local says that the defaults are those of externalTrafficPolicy Local, with
// this port. The port is as written, and stands in check only where it is the default one.
func (s Service) HealthCheck(local bool, localPort lb.HealthCheckPort) (check lb.HealthCheck, port string, at Origin, verdicts []lb.Verdict) {
	r := &reader{layers: s.reader.layers}
	check = lb.HealthCheck{Protocol: lb.TCP, Path: "/"}
	threshold := 3
	if local {
		check = lb.HealthCheck{Protocol: lb.HTTP, Path: "/healthz", Port: localPort}
		threshold = 2
	}
	if value, at, ok := r.text(nlbCheckProtocol); ok {
		check.Protocol = lb.Protocol(strings.ToUpper(value))
		if !slices.Contains(nlbCheckProtocol.Values, string(check.Protocol)) {
			r.refuse(at, "must be one of tcp, http, https", "Use one of them, or remove the annotation")
		}
	}
	if value, at, ok := r.text(nlbCheckPath); ok {
		check.Path = r.probePath(value, at)
	}
	check.Interval = time.Duration(r.number(nlbCheckInterval, 10, 5, 300)) * time.Second
	check.Timeout = time.Duration(r.number(nlbCheckTimeout, int(PlainTimeout(local).Seconds()), 2, 120)) * time.Second
	r.checkTimeout(check, nlbCheckTimeout, nlbCheckInterval)
	check.HealthyThreshold = r.number(nlbHealthyThreshold, threshold, 2, 10)
	check.UnhealthyThreshold = r.number(nlbUnhealthyThreshold, threshold, 2, 10)
	check.Matcher = r.successCodes(nlbSuccessCodes, "200-399", 200, 499)
	if check.Protocol == lb.TCP {
		check.Path, check.Matcher = "", ""
	}
	port, at, _ = r.text(nlbCheckPort)
	if port != "" {
		check.Port = 0
	}
	return check, port, at, r.problems
}

// PlainTimeout is the timeout of probes that nobody gave.
func PlainTimeout(local bool) time.Duration {
	if local {
		return 6 * time.Second
	}
	return 10 * time.Second
}

// TargetGroupAttributes are those of the target group of a Service port.
func (s Service) TargetGroupAttributes(port int32) ([]lb.Attribute, []lb.Verdict) {
	r := &reader{layers: s.reader.layers}
	const proxy = "proxy_protocol_v2.enabled"
	number := strconv.Itoa(int(port))
	all := map[string]string{proxy: "false"}
	add := func(k Key) {
		for _, t := range r.pairs(k) {
			if t.Value != "" || k.Suffix == nlbGroupAttributes.Suffix {
				all[t.Key] = t.Value
			}
		}
		_, at, _ := r.text(k)
		r.checked(at, slices.DeleteFunc(r.pairs(k), func(t lb.Tag) bool {
			return t.Value == "" && (t.Key == proxy || k.Suffix != nlbGroupAttributes.Suffix)
		}), knownNetworkGroupAttributes)
	}
	add(nlbGroupAttributes)
	own := nlbPortAttributes
	own.Suffix += number
	add(own)
	if s.proxyPorts.Set() {
		all[proxy] = strconv.FormatBool(slices.Contains(s.proxyPorts.Value, number))
	}
	if s.proxyAll {
		all[proxy] = "true"
	}
	if all[proxy] == "" {
		delete(all, proxy)
	}
	return sortedAttributes(all), r.problems
}

// ListenerAttributes are those of a listener.
func (s Service) ListenerAttributes(protocol lb.Protocol, port uint16) ([]lb.Attribute, []lb.Verdict) {
	r := &reader{layers: s.reader.layers}
	list := r.attributes(nlbListenerAttributes.of(protocol, port), knownNetworkListenerAttributes).Value
	return list, r.problems
}

// of is the key of one listener.
func (k Key) of(protocol lb.Protocol, port uint16) Key {
	k.Suffix += string(protocol) + "-" + strconv.Itoa(int(port))
	return k
}

// ServiceProtected says whether a Service asks for its load balancer not to be deleted, and where.
func ServiceProtected(service *corev1.Service) (Origin, bool) {
	r := newReader(lb.Object{Kind: "Service", Namespace: service.Namespace, Name: service.Name}, service.Annotations)
	_, at, _ := r.text(nlbAttributes)
	return at, slices.Contains(r.pairs(nlbAttributes), lb.Tag{Key: protection, Value: "true"})
}

// PreservesClientIP says what target group attributes and the type of targets make of the client's address: it arrives,
// unless said otherwise, at instances and not at pods (ELB "Client IP preservation").
func PreservesClientIP(attributes []lb.Attribute, kind lb.TargetType) bool {
	value := cmp.Or(valueOf(attributes, "preserve_client_ip.enabled"), strconv.FormatBool(kind == lb.InstanceTargets))
	return value == "true"
}

func valueOf(attributes []lb.Attribute, key string) string {
	for _, a := range attributes {
		if a.Key == key {
			return a.Value
		}
	}
	return ""
}
