package annot

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluicehq/sluice/internal/lb"
)

// Prefixes of the annotations of what an Envoy fleet serves, as Contour has them. The last was its own before 1.6, and is
// read where the first is absent.
const (
	ContourPrefix       = "projectcontour.io/"
	sslPrefix           = "ingress.kubernetes.io/"
	kubernetesPrefix    = "kubernetes.io/ingress."
	contourLegacyPrefix = "contour.heptio.com/"
)

// The keys of the Envoy family.
var (
	contourClass = Key{Prefix: ContourPrefix, Suffix: "ingress.class", Type: String, Support: Served,
		Doc: "The class, before kubernetes.io/ingress.class and spec.ingressClassName; also on an HTTPProxy."}
	kubernetesClass = Key{Prefix: kubernetesPrefix, Suffix: "class", Type: String, Support: Served,
		Doc: "The class, before spec.ingressClassName; also on an HTTPProxy."}
	forceSSLRedirect = Key{Prefix: sslPrefix, Suffix: "force-ssl-redirect", Type: Boolean, Default: "false", Support: Served,
		Doc: "true answers all requests without TLS by a redirect to https."}
	allowHTTP = Key{Prefix: kubernetesPrefix, Suffix: "allow-http", Type: Boolean, Default: "true", Support: Served,
		Doc: "false answers requests without TLS by 404; force-ssl-redirect wins."}
	responseTimeout = Key{Prefix: ContourPrefix, Suffix: "response-timeout", Type: String, Default: "15s", Support: Served,
		Doc: "How long an answer may take as a whole: a duration, or infinity."}
	requestTimeout = Key{Prefix: ContourPrefix, Suffix: "request-timeout", Type: String, Support: Served,
		Doc: "Older name of response-timeout."}
	retryOn = Key{Prefix: ContourPrefix, Suffix: "retry-on", Type: List, Support: Served,
		Doc: "When a request is tried again: Envoy's conditions, such as 5xx,reset. Without it none is."}
	numRetries = Key{Prefix: ContourPrefix, Suffix: "num-retries", Type: Integer, Default: "1", Support: Served,
		Doc: "How often a request is tried again; 0 means 1, and -1 means never. Only with retry-on."}
	perTryTimeout = Key{Prefix: ContourPrefix, Suffix: "per-try-timeout", Type: String, Support: Served,
		Doc: "How long each try may take. Only with retry-on."}
	websocketRoutes = Key{Prefix: ContourPrefix, Suffix: "websocket-routes", Type: List, Support: Served,
		Doc: "Paths, written as in the rules, on which connections may become WebSockets."}
	tlsMinimum = Key{Prefix: ContourPrefix, Suffix: "tls-minimum-protocol-version", Type: String, Values: []string{"1.2", "1.3"}, Default: "1.2", Support: Served,
		Doc: "Oldest version of TLS that clients may use."}
	tlsMaximum = Key{Prefix: ContourPrefix, Suffix: "tls-maximum-protocol-version", Type: String, Values: []string{"1.2", "1.3"}, Default: "1.3", Support: Served,
		Doc: "Newest version of TLS that clients may use."}
	tlsCertNamespace = Key{Prefix: ContourPrefix, Suffix: "tls-cert-namespace", Type: String, Default: "the Ingress's own", Support: Served,
		Doc: "Namespace of the Secrets in spec.tls; another one must delegate them by a TLSCertificateDelegation."}

	upstreamH2 = Key{Prefix: ContourPrefix, Suffix: "upstream-protocol.h2", Type: List, Service: true, Support: Served,
		Doc: "Ports, by name or number, that speak HTTP/2 over TLS. The Service port's appProtocol wins over these three."}
	upstreamH2C = Key{Prefix: ContourPrefix, Suffix: "upstream-protocol.h2c", Type: List, Service: true, Support: Served,
		Doc: "Ports that speak HTTP/2 in clear text."}
	upstreamTLS = Key{Prefix: ContourPrefix, Suffix: "upstream-protocol.tls", Type: List, Service: true, Support: Served,
		Doc: "Ports that speak HTTP/1.1 over TLS."}
	maxConnections = Key{Prefix: ContourPrefix, Suffix: "max-connections", Type: Integer, Default: "1024", Service: true, Support: Served,
		Doc: "Connections that each Envoy opens at most."}
	maxPendingRequests = Key{Prefix: ContourPrefix, Suffix: "max-pending-requests", Type: Integer, Default: "1024", Service: true, Support: Served,
		Doc: "Requests that wait for a connection at most, in each Envoy."}
	maxRequests = Key{Prefix: ContourPrefix, Suffix: "max-requests", Type: Integer, Default: "1024", Service: true, Support: Served,
		Doc: "Requests that each Envoy has under way at most."}
	maxRetries = Key{Prefix: ContourPrefix, Suffix: "max-retries", Type: Integer, Default: "3", Service: true, Support: Served,
		Doc: "Retries that each Envoy has under way at most."}
	perHostMaxConnections = Key{Prefix: ContourPrefix, Suffix: "per-host-max-connections", Type: Integer, Service: true, Support: Served,
		Doc: "Connections to each endpoint at most."}
)

// contourTable is every annotation of the Envoy family, in the order of the reference page.
var contourTable = []Key{
	contourClass, kubernetesClass, forceSSLRedirect, allowHTTP, responseTimeout, requestTimeout, retryOn, numRetries, perTryTimeout,
	websocketRoutes, tlsMinimum, tlsMaximum, tlsCertNamespace,
	upstreamH2, upstreamH2C, upstreamTLS, maxConnections, maxPendingRequests, maxRequests, maxRetries, perHostMaxConnections,
}

// Fleet is what the annotations of an Ingress say to an Envoy fleet.
type Fleet struct {
	ForceSSLRedirect bool
	AllowHTTP        bool
	Timeout          *time.Duration // nil for the default, zero for none
	Retry            *lb.Retry
	WebSockets       []string
	TLSMin, TLSMax   lb.TLSVersion
	TLSVersionField  string // where TLSMin or TLSMax stands, if they are given
	SecretNamespace  string // empty for the Ingress's own
}

// FleetSettings reads the annotations of an Ingress for an Envoy fleet. A setting that cannot be read has its default,
// and is told.
func FleetSettings(object lb.Object, annotations map[string]string) (Fleet, []lb.Verdict) {
	r := contourReader(object, annotations)
	f := Fleet{ForceSSLRedirect: r.boolean(forceSSLRedirect).Value, AllowHTTP: true, TLSMin: lb.TLS12, TLSMax: lb.TLS13}
	if allow := r.boolean(allowHTTP); allow.Set() {
		f.AllowHTTP = allow.Value
	}
	f.Timeout = r.timeout(responseTimeout)
	if f.Timeout == nil {
		f.Timeout = r.timeout(requestTimeout)
	}
	if on, _, ok := r.text(retryOn); ok && on != "" {
		f.Retry = &lb.Retry{On: on, PerTryTimeout: r.timeout(perTryTimeout)}
		switch n := r.number(numRetries, 1, -1, 1<<20); n {
		case 0:
			f.Retry.Count = 1
		case -1:
			f.Retry.Count = 0
		default:
			f.Retry.Count = uint32(n)
		}
	}
	if paths, _, ok := r.text(websocketRoutes); ok {
		f.WebSockets = parseList(paths)
	}
	for _, v := range []struct {
		key Key
		to  *lb.TLSVersion
	}{{tlsMinimum, &f.TLSMin}, {tlsMaximum, &f.TLSMax}} {
		if value, ok := r.enum(v.key); ok {
			*v.to, f.TLSVersionField = lb.TLSVersion(value), field(v.key)
		}
	}
	f.SecretNamespace, _, _ = r.text(tlsCertNamespace)
	r.unknownContour(false)
	return f, softened(r.problems)
}

// FleetClass is the class that an object's annotations name. An empty one counts as absent.
func FleetClass(annotations map[string]string) (string, bool) {
	for _, k := range []Key{contourClass, kubernetesClass} {
		if value := annotations[k.Annotation()]; value != "" {
			return value, true
		}
	}
	return "", false
}

// ServiceUpstream is what the annotations of a Service say about one of its ports.
type ServiceUpstream struct {
	Protocol lb.UpstreamProtocol // empty where they do not say
	Limits   lb.ConnectionLimits
}

// UpstreamSettings reads the annotations of a Service about a port.
func UpstreamSettings(object lb.Object, annotations map[string]string, port lb.Port) (ServiceUpstream, []lb.Verdict) {
	r := contourReader(object, annotations)
	var out ServiceUpstream
	for _, p := range []struct {
		key      Key
		protocol lb.UpstreamProtocol
	}{{upstreamH2, lb.TLSHTTP2}, {upstreamH2C, lb.PlainHTTP2}, {upstreamTLS, lb.TLSHTTP1}} {
		value, _, _ := r.text(p.key)
		for _, word := range parseList(value) {
			if word == port.Name && word != "" || word == strconv.Itoa(int(port.Number)) {
				out.Protocol = p.protocol
			}
		}
	}
	limit := func(k Key) uint32 { return uint32(r.number(k, 0, 0, 1<<31-1)) }
	out.Limits = lb.ConnectionLimits{
		Connections: limit(maxConnections), Pending: limit(maxPendingRequests), Requests: limit(maxRequests),
		Retries: limit(maxRetries), PerHostConnections: limit(perHostMaxConnections),
	}
	r.unknownContour(true)
	return out, softened(r.problems)
}

// contourReader reads the older prefix where the newer is absent.
func contourReader(object lb.Object, annotations map[string]string) *reader {
	translated := maps.Clone(annotations)
	for key, value := range annotations {
		if suffix, ok := strings.CutPrefix(key, contourLegacyPrefix); ok {
			if _, newer := annotations[ContourPrefix+suffix]; !newer {
				translated[ContourPrefix+suffix] = value
			}
		}
	}
	return &reader{layers: []layer{{object, translated}}}
}

// timeout reads a duration; infinity is zero. What is nothing or zero is the default.
func (r *reader) timeout(k Key) *time.Duration {
	value, at, ok := r.text(k)
	if !ok {
		return nil
	}
	d, err := Timeout(value)
	if err != nil {
		r.refuse(at, "is no duration", "Write it as 90s or 1m30s, or infinity for none")
	}
	return d
}

// Timeout reads a duration as Contour's fields and annotations have it: nil for the default, zero for none.
func Timeout(value string) (*time.Duration, error) {
	switch value {
	case "":
		return nil, nil //nolint:nilnil // no duration is no error
	case "infinity", "infinite":
		return new(time.Duration), nil
	}
	d, err := time.ParseDuration(value)
	if err != nil || d == 0 {
		return nil, err
	}
	return &d, nil
}

// unknownContour reports annotations of the family that there are not, or not here. On an object that other controllers
// may read too, only what is surely meant for us is told.
func (r *reader) unknownContour(onService bool) {
	l := r.layers[0]
	for _, annotation := range slices.Sorted(maps.Keys(l.annotations)) {
		suffix, ours := strings.CutPrefix(annotation, ContourPrefix)
		if !ours {
			continue
		}
		at := Origin{l.object, annotationField(annotation), l.annotations[annotation]}
		i := slices.IndexFunc(contourTable, func(k Key) bool { return k.Annotation() == annotation })
		switch {
		case i < 0:
			fix := "Remove it; docs/contour-annotations.md lists those that there are"
			if near, found := nearest(suffix, contourSuffixes()); found {
				fix = "Did you mean " + ContourPrefix + near + "?"
			}
			r.problems = append(r.problems, at.Verdict(lb.Warning, lb.UnknownAnnotation, "is no annotation that exists", fix))
		case contourTable[i].Service != onService:
			r.problems = append(r.problems, at.Verdict(lb.Warning, lb.UnknownAnnotation, "has no effect on an object of kind "+l.object.Kind, "Move it to where it has"))
		}
	}
}

func contourSuffixes() []string {
	var out []string
	for _, k := range contourTable {
		if k.Prefix == ContourPrefix {
			out = append(out, k.Suffix)
		}
	}
	return out
}

// softened makes warnings of what cannot be read: as with the reference, the default holds then.
func softened(problems []lb.Verdict) []lb.Verdict {
	for i := range problems {
		if problems[i].Severity == lb.Refused {
			problems[i].Severity = lb.Warning
			problems[i].Problem += "; the default holds"
		}
	}
	return problems
}

// ContourReference is the user's page about the annotations of the Envoy family, in Markdown.
func ContourReference() string {
	var b strings.Builder
	b.WriteString("<!-- Generated by `make generate` from internal/annot; do not edit. -->\n\n# Annotations for Envoy\n\n")
	b.WriteString("What an Ingress of class `contour`, or a Service behind one or behind an HTTPProxy, may say. The prefix\n")
	b.WriteString("`contour.heptio.com/` is read where `projectcontour.io/` is absent. A value that cannot be read is told, and the default holds.\n")
	for _, part := range []struct {
		title   string
		service bool
	}{{"On an Ingress", false}, {"On a Service", true}} {
		b.WriteString("\n## " + part.title + "\n\n| annotation | value | default | what it does |\n|---|---|---|---|\n")
		for _, k := range contourTable {
			if k.Service != part.service {
				continue
			}
			value := string(k.Type)
			if len(k.Values) > 0 {
				value = "`" + strings.Join(k.Values, "`, `") + "`"
			}
			b.WriteString("| `" + k.Annotation() + "` | " + value + " | " + k.Default + " | " + k.Doc + " |\n")
		}
	}
	return b.String()
}
