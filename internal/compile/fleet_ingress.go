package compile

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/sluicehq/sluice/internal/annot"
	"github.com/sluicehq/sluice/internal/lb"
)

// fleetIngress is one Ingress on its way into virtual hosts.
type fleetIngress struct {
	*fleet
	ingress  *networkingv1.Ingress
	self     lb.Object
	settings annot.Fleet
	tls      []coveredHost
}

// coveredHost is a host of spec.tls with its certificate.
type coveredHost struct {
	host        string
	certificate lb.Secret
}

func (f *fleet) ingress(i *networkingv1.Ingress) {
	self := object(i)
	settings, verdicts := annot.FleetSettings(self, i.Annotations)
	f.verdicts = append(f.verdicts, verdicts...)
	f.members = append(f.members, self)
	c := &fleetIngress{fleet: f, ingress: i, self: self, settings: settings}
	c.certificates()
	if i.Spec.DefaultBackend != nil {
		path := lb.PathMatch{Kind: lb.PrefixPath, Value: "/"}
		c.route("*", path, i.Spec.DefaultBackend, "spec.defaultBackend", false)
	}
	for r, rule := range i.Spec.Rules {
		if rule.HTTP == nil {
			continue
		}
		name := rule.Host
		if name == "" {
			name = "*"
		}
		for p := range rule.HTTP.Paths {
			path := &rule.HTTP.Paths[p]
			field := fmt.Sprintf("spec.rules[%d].http.paths[%d]", r, p)
			if match, ok := c.path(path, field); ok {
				c.route(name, match, &path.Backend, field+".backend", slices.Contains(settings.WebSockets, path.Path))
			}
		}
	}
}

func (c *fleetIngress) tell(severity lb.Severity, field string, f fault) {
	c.verdict(f.verdict(c.self, severity, field))
}

// certificates reads spec.tls. An entry that cannot be served costs only itself: its hosts are served without TLS.
func (c *fleetIngress) certificates() {
	if len(c.ingress.Spec.TLS) > 0 && c.settings.TLSMin > c.settings.TLSMax {
		c.tell(lb.Partial, c.settings.TLSVersionField, fault{TLSVersions, "",
			fmt.Sprintf("the oldest version of TLS, %s, is newer than the newest, %s; the Ingress is served without TLS", c.settings.TLSMin, c.settings.TLSMax),
			"Make the minimum at most the maximum"})
		return
	}
	for n, entry := range c.ingress.Spec.TLS {
		field := fmt.Sprintf("spec.tls[%d].secretName", n)
		if entry.SecretName == "" {
			c.tell(lb.Warning, field, fault{SecretNotValid, "", "is not set, and there is no TLS without a certificate", "Name a Secret of type kubernetes.io/tls"})
			continue
		}
		namespace := c.ingress.Namespace
		if c.settings.SecretNamespace != "" {
			namespace = c.settings.SecretNamespace
		}
		secret, err := c.secret(parseSecretName(entry.SecretName, namespace), c.ingress.Namespace, servingCertificate)
		if err != nil {
			f := fault{SecretNotValid, entry.SecretName, err.Error() + "; its hosts are not served over TLS", "Correct the Secret, or name another"}
			if errors.Is(err, errNotDelegated) {
				f.reason, f.fix = NotDelegated, "Add the namespace to a TLSCertificateDelegation beside the Secret"
			}
			c.tell(lb.Partial, field, f)
			continue
		}
		for _, name := range entry.Hosts {
			c.tls = append(c.tls, coveredHost{strings.ToLower(name), secret})
		}
	}
}

// certificate is the one for a host: of its own name before a wildcard. There is none for any host.
func (c *fleetIngress) certificate(name string) (lb.Secret, bool) {
	name = strings.ToLower(name)
	for _, t := range c.tls {
		if t.host == name {
			return t.certificate, name != "*"
		}
	}
	_, domain, _ := strings.Cut(name, ".")
	for _, t := range c.tls {
		if t.host == "*."+domain {
			return t.certificate, true
		}
	}
	return lb.Secret{}, false
}

// path is what a path matches.
func (c *fleetIngress) path(p *networkingv1.HTTPIngressPath, field string) (lb.PathMatch, bool) {
	text := p.Path
	if text == "" {
		text = "/"
	}
	switch kind := pathType(*p); kind {
	case networkingv1.PathTypeExact:
		return lb.PathMatch{Kind: lb.ExactPath, Value: text}, true
	case networkingv1.PathTypePrefix:
		if trimmed := strings.TrimRight(text, "/"); trimmed != "" {
			return lb.PathMatch{Kind: lb.SegmentPath, Value: trimmed}, true
		}
		return lb.PathMatch{Kind: lb.PrefixPath, Value: "/"}, true
	case networkingv1.PathTypeImplementationSpecific:
		if !strings.ContainsAny(text, "^+*[]%") {
			return lb.PathMatch{Kind: lb.PrefixPath, Value: text}, true
		}
		if _, err := regexp.Compile(text); err != nil {
			c.tell(lb.Partial, field+".path", fault{lb.InvalidPath, p.Path, "is no regular expression of RE2: " + problemOf(err) + "; the path is left out", "Correct it, or use pathType Prefix or Exact"})
			return lb.PathMatch{}, false
		}
		return lb.PathMatch{Kind: lb.RegexPath, Value: text}, true
	default:
		c.tell(lb.Partial, field+".pathType", fault{lb.InvalidPath, string(kind), "is no path type", "Use Exact, Prefix or ImplementationSpecific"})
		return lb.PathMatch{}, false
	}
}

// problemOf is a regular expression's error without the words around it.
func problemOf(err error) string {
	return strings.TrimPrefix(err.Error(), "error parsing regexp: ")
}

// route adds a route to its host. One to a Service that does not exist is left out: its requests go to a shorter path.
func (c *fleetIngress) route(name string, path lb.PathMatch, backend *networkingv1.IngressBackend, field string, webSocket bool) {
	if backend.Service == nil {
		value := ""
		if backend.Resource != nil {
			value = backend.Resource.Kind + " " + backend.Resource.Name
		}
		c.tell(lb.Partial, field+".resource", fault{lb.InvalidBackend, value, "requests can only go to a Service; the path is left out", "Name a Service"})
		return
	}
	port := lb.Port{Number: backend.Service.Port.Number, Name: backend.Service.Port.Name}
	u, problem := c.upstream(c.ingress.Namespace, backend.Service.Name, port)
	if problem != nil {
		problem.problem += "; the path is left out"
		c.tell(lb.Partial, field+".service", *problem)
		return
	}
	u = identified(u, c.self)
	r := lb.Route{
		Match: lb.RouteMatch{Path: path},
		Action: lb.RouteAction{Forward: &lb.RouteForward{
			Upstreams: []lb.WeightedUpstream{{ID: u.ID, Weight: 1}},
			Timeout:   c.settings.Timeout, Retry: c.settings.Retry, WebSocket: webSocket,
		}},
		Insecure: c.insecure(), From: c.self, Field: strings.TrimSuffix(field, ".backend"),
	}
	h := c.host(name)
	certificate, covered := c.certificate(name)
	if covered && field != "spec.defaultBackend" {
		r.Secure = c.speakTLS(h, certificate)
	}
	if r.Insecure == lb.IgnoreInsecure && !r.Secure {
		return // nobody can reach it
	}
	if owner, ok := h.add(r, []lb.Upstream{u}); !ok && owner != c.self {
		c.tell(lb.Partial, r.Field, fault{RouteConflict, path.Value, fmt.Sprintf("%s serves the same path of host %s; this one is left out", owner, name), "Use another path or host"})
	} else if !ok {
		c.tell(lb.Warning, r.Field, fault{RouteConflict, path.Value, "stands twice in this Ingress; the first one counts", "Remove one"})
	}
}

func (c *fleetIngress) insecure() lb.InsecurePolicy {
	switch {
	case c.settings.ForceSSLRedirect:
		return lb.RedirectInsecure
	case !c.settings.AllowHTTP:
		return lb.IgnoreInsecure
	default:
		return lb.ServeInsecure
	}
}

// speakTLS has a host served over TLS; the first that says how counts.
func (c *fleetIngress) speakTLS(h *host, certificate lb.Secret) bool {
	want := lb.ServerTLS{Certificate: certificate.ID, MinVersion: c.settings.TLSMin, MaxVersion: c.settings.TLSMax}
	if h.virtual.TLS == nil {
		h.virtual.TLS, h.tlsFrom = &want, c.self
		h.secrets[certificate.ID] = certificate
		return true
	}
	if h.tlsFrom != c.self && *h.virtual.TLS != want {
		c.tell(lb.Warning, "spec.tls", fault{RouteConflict, h.virtual.Host, fmt.Sprintf("%s says how TLS is spoken with this host, and this Ingress differs", h.tlsFrom), "Use the same Secret and TLS versions"})
	}
	return h.virtual.TLS.Certificate != ""
}
