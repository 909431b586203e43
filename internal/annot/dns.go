package annot

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/agnivade/levenshtein"

	"github.com/sluicehq/sluice/internal/lb"
)

// Prefixes of annotations about names. ExternalDNS reads the first since v0.22 and read the second before; where an
// object has both, the first counts.
const (
	DNSPrefix      = "external-dns.kubernetes.io/"
	DNSAlphaPrefix = "external-dns.alpha.kubernetes.io/"
)

// dnsController is the value of the annotation that leaves an object to whoever serves DNS.
const dnsController = "dns-controller"

// awsProperty begins annotations that become properties of a record on Route 53.
const awsProperty = "aws-"

// DNSReadyAnnotation is where an object whose kind has no conditions gets its condition DNSReady, as JSON.
const DNSReadyAnnotation = "dns.sluice.dev/ready"

// dnsKey is an annotation about names, after either prefix.
type dnsKey struct{ suffix, on, doc string }

// dnsTable is every annotation about names, in the order of the reference page.
var dnsTable = []dnsKey{
	{"hostname", "Ingress, Service", "More names, separated by commas."},
	{"internal-hostname", "Service", "Names for the Service's cluster address."},
	{"target", "Ingress, Service", "What the names point at instead of the load balancer: addresses or host names, separated by commas."},
	{"ttl", "Ingress, Service", "Time to live: seconds, or a duration such as 5m; 1 s to 2147483647 s. An alias has none of its own."},
	{"controller", "Ingress, Service", "The object is left alone unless this is absent or dns-controller."},
	{"ingress-hostname-source", "Ingress", "defined-hosts-only takes names from rules and TLS only, annotation-only from the annotation hostname only."},
	{"access", "Service of type NodePort", "public for the nodes' external addresses, private for their internal ones; the external ones where there are any when absent."},
	{"endpoints-type", "headless Service", "NodeExternalIP or HostIP: the addresses of the pods' nodes instead of the pods' own."},
	{"set-identifier", "Ingress, Service", "Tells records of the same name apart; needs exactly one of the routing policies below."},
	{"alias", "Ingress, Service", "true makes an alias also of what is no AWS host name."},
	{"aws-weight", "Ingress, Service", "Weighted routing: 0 to 255."},
	{"aws-region", "Ingress, Service", "Latency routing: the region."},
	{"aws-failover", "Ingress, Service", "Failover routing: PRIMARY or SECONDARY."},
	{"aws-multi-value-answer", "Ingress, Service", "Multivalue answer routing, by being there."},
	{"aws-geolocation-continent-code", "Ingress, Service", "Geolocation routing by continent; not together with the next two."},
	{"aws-geolocation-country-code", "Ingress, Service", "Geolocation routing by country, * for the default."},
	{"aws-geolocation-subdivision-code", "Ingress, Service", "Geolocation routing by subdivision of a country."},
	{"aws-geoproximity-region", "Ingress, Service", "Geoproximity routing: an AWS region."},
	{"aws-geoproximity-local-zone-group", "Ingress, Service", "Geoproximity routing: a local zone group."},
	{"aws-geoproximity-coordinates", "Ingress, Service", "Geoproximity routing: latitude,longitude."},
	{"aws-geoproximity-bias", "Ingress, Service", "Geoproximity routing: -99 to 99, 0 when absent."},
	{"aws-health-check-id", "Ingress, Service", "An existing health check of Route 53."},
	{"aws-evaluate-target-health", "Ingress, Service", "true or false: whether an alias follows the health of its target."},
	{"aws-target-hosted-zone", "Ingress, Service", "Hosted zone of an alias's target, where it cannot be known."},
	{"aws-hosted-zone-id", "Ingress, Service", "The one hosted zone to write to."},
}

// foreignProperties begin annotations that are other providers' and mean nothing here.
var foreignProperties = []string{"cloudflare-", "scw-", "coredns-", "webhook-", "azure-"}

// otherDNSKeys are known annotations that mean nothing for the kinds of objects served here.
var otherDNSKeys = []string{"record-type", "gateway-hostname-source", "ingress", "ambassador-service"}

// DNS is what an object's annotations say about names. What cannot be read is a verdict, and its field is as if the
// annotation were absent.
type DNS struct {
	Elsewhere         bool // the object is left to another controller
	Hostnames         []string
	InternalHostnames []string
	HostnameSource    string // defined-hosts-only, annotation-only, or empty for both
	NoHosts           bool   // the source of names cannot be read: there are none
	Targets           []string
	TTL               int64 // seconds, 0 when not given
	Access            string
	EndpointsType     string
	SetIdentifier     string
	Alias             string
	Properties        map[string]string // of Route 53, under "aws/…"
}

// ReadDNS reads the annotations about names below each of the prefixes, the first of which wins. Without prefixes both
// of ExternalDNS's are read.
func ReadDNS(object lb.Object, annotations map[string]string, prefixes ...string) (DNS, []lb.Verdict) {
	if len(prefixes) == 0 {
		prefixes = []string{DNSPrefix, DNSAlphaPrefix}
	}
	r := dnsReader{object: object, values: map[string]string{}, keys: map[string]string{}}
	for _, prefix := range slices.Backward(prefixes) {
		for key, value := range annotations {
			if suffix, ok := strings.CutPrefix(key, prefix); ok {
				r.values[suffix], r.keys[suffix] = value, key
			}
		}
	}
	return r.settings(), lb.SortVerdicts(r.problems)
}

// dnsReader has the annotations by what follows the prefix.
type dnsReader struct {
	object   lb.Object
	values   map[string]string
	keys     map[string]string // as they stand in the object
	problems []lb.Verdict
}

func (r *dnsReader) settings() DNS {
	s := DNS{
		Hostnames: packed(r.values["hostname"]), InternalHostnames: packed(r.values["internal-hostname"]),
		Targets: packed(r.values["target"]), TTL: r.ttl(),
		Access:        r.oneOf("access", "public", "private"),
		EndpointsType: r.oneOf("endpoints-type", "NodeExternalIP", "HostIP"),
		SetIdentifier: r.values["set-identifier"],
		Properties:    map[string]string{},
	}
	controller, given := r.values["controller"]
	s.Elsewhere = given && controller != dnsController
	if r.values["alias"] == "true" {
		s.Alias = "true"
	} else if value, ok := r.values["alias"]; ok && value != "false" {
		r.complain("alias", "only true has a meaning", "Write true, or remove the annotation")
	}
	if value, ok := r.values["ingress-hostname-source"]; ok {
		s.HostnameSource = strings.ToLower(value)
		s.NoHosts = s.HostnameSource != "defined-hosts-only" && s.HostnameSource != "annotation-only"
		if s.NoHosts {
			r.complain("ingress-hostname-source", "is neither defined-hosts-only nor annotation-only, so the object has no names", "Write one of the two, or remove the annotation for both")
		}
	}
	for suffix, value := range r.values {
		switch {
		case strings.HasPrefix(suffix, awsProperty) && knownDNSKey(suffix):
			s.Properties["aws/"+strings.TrimPrefix(suffix, awsProperty)] = value
		case knownDNSKey(suffix), slices.Contains(otherDNSKeys, suffix),
			slices.ContainsFunc(foreignProperties, func(p string) bool { return strings.HasPrefix(suffix, p) }):
		default:
			r.unknown(suffix)
		}
	}
	return s
}

func knownDNSKey(suffix string) bool {
	return slices.ContainsFunc(dnsTable, func(k dnsKey) bool { return k.suffix == suffix })
}

func (r *dnsReader) unknown(suffix string) {
	best, distance := "", 4
	for _, k := range dnsTable {
		if d := levenshtein.ComputeDistance(suffix, k.suffix); d < distance {
			best, distance = k.suffix, d
		}
	}
	fix := "Remove it"
	if best != "" {
		fix = "Did you mean " + best + "?"
	}
	r.say(lb.UnknownAnnotation, suffix, "there is no such annotation, so it has no effect", fix)
}

// ttl reads a duration or a number of seconds; a fraction of a second is cut off.
func (r *dnsReader) ttl() int64 {
	text, ok := r.values["ttl"]
	if !ok {
		return 0
	}
	var seconds float64
	if d, err := time.ParseDuration(text); err == nil {
		seconds = math.Trunc(d.Seconds())
	} else if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		seconds = float64(n)
	} else {
		r.complain("ttl", "is neither a number of seconds nor a duration such as 5m, so it has no effect", "Write a number of seconds")
		return 0
	}
	if seconds < 1 || seconds > math.MaxInt32 {
		r.complain("ttl", fmt.Sprintf("is not within 1 s and %d s, so it has no effect", math.MaxInt32), "Write a number of seconds within these bounds")
		return 0
	}
	return int64(seconds)
}

func (r *dnsReader) oneOf(suffix string, values ...string) string {
	value, ok := r.values[suffix]
	if !ok || value == "" {
		return ""
	}
	for _, v := range values {
		if strings.EqualFold(v, value) {
			return v
		}
	}
	r.complain(suffix, "is not one of "+strings.Join(values, ", ")+", so it has no effect", "Write one of them")
	return ""
}

func (r *dnsReader) complain(suffix, problem, fix string) {
	r.say(lb.InvalidAnnotation, suffix, problem, fix)
}

func (r *dnsReader) say(reason lb.Reason, suffix, problem, fix string) {
	r.problems = append(r.problems, lb.Verdict{
		Object: r.object, Severity: lb.Warning, Reason: reason, Field: annotationField(r.keys[suffix]),
		Value: r.values[suffix], Problem: problem, Fix: fix,
	})
}

// packed is a list from which all spaces are gone.
func packed(value string) []string {
	var out []string
	for part := range strings.SplitSeq(strings.ReplaceAll(value, " ", ""), ",") {
		if part != "" {
			out = append(out, part)
		}
	}
	return out
}

// DNSReference is the page about annotations for names.
func DNSReference() string {
	var b strings.Builder
	b.WriteString("<!-- Generated by `make generate` from internal/annot; do not edit. -->\n\n# Annotations for DNS\n\n")
	fmt.Fprintf(&b, "All keys begin with `%s` or with `%s`; where an object has both, the former counts. How the records\ncome about is in [dns.md](dns.md).\n\n", DNSPrefix, DNSAlphaPrefix)
	b.WriteString("| annotation | on | what it does |\n|---|---|---|\n")
	for _, k := range dnsTable {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", k.suffix, k.on, k.doc)
	}
	fmt.Fprintf(&b, "\nWritten by Sluice: `%s` on an Ingress, its condition `DNSReady` as JSON, because an Ingress's status has no conditions.\n", DNSReadyAnnotation)
	return b.String()
}
