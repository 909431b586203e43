package compile

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/sluicehq/sluice/internal/annot"
	"github.com/sluicehq/sluice/internal/lb"
)

// certify adds a member's certificates to those of a listener. The default one is the first of the first member that
// has any; the same certificate, or one to be found for the same host, counts once.
func (p *port) certify(list []lb.Certificate) {
	for _, c := range list {
		if !slices.ContainsFunc(p.certificates, func(o lb.Certificate) bool { return o.ARN == c.ARN && o.Host == c.Host }) {
			p.certificates = append(p.certificates, c)
		}
	}
}

// unsecured looks whether what members say about HTTPS can be, once all have spoken. A member that cannot be served at
// all falls back, and again is true: members must be heard again. A port without any certificate is not opened.
func (g *group) unsecured(s *shared) (again bool) {
	if g.misdirected(s) {
		return true
	}
	for _, m := range g.inOrder() {
		for _, p := range s.ports {
			if !m.fresh || !p.has(m) || !p.bare() {
				continue
			}
			refuse := func(severity lb.Severity, consequence string) {
				m.refuse(severity, lb.CertificateNotFound, m.form.settings.ListenField, fmt.Sprintf("HTTPS %d", p.number),
					"there is no certificate for the port: none is listed, and there is no host to find one for"+consequence,
					"List certificates with the annotation "+annot.Prefix+"certificate-arn, or name hosts in spec.rules or spec.tls")
			}
			if !slices.ContainsFunc(s.ports, func(p *port) bool { return p.has(m) && !p.bare() }) {
				refuse(lb.Refused, "")
				m.fallBack()
				return true
			}
			refuse(lb.Partial, "; the port is not opened")
		}
	}
	s.ports = slices.DeleteFunc(s.ports, (*port).bare)
	return false
}

// oneFamily looks whether a load balancer without IPv6 would have targets of IPv6. Who has them falls back.
func (g *group) oneFamily(s *shared) (again bool) {
	if s.family.Or(lb.IPv4).Dual() {
		return false
	}
	for _, m := range g.inOrder() {
		i := slices.IndexFunc(m.form.groups, func(t lb.TargetGroup) bool { return t.IPAddressType == lb.IPv6 })
		if !m.fresh || i < 0 {
			continue
		}
		b := m.form.bindings[slices.IndexFunc(m.form.bindings, func(b lb.Binding) bool { return b.TargetGroup == m.form.groups[i].ID })]
		m.refuse(lb.Refused, lb.InvalidBackend, "metadata.annotations["+annot.Prefix+"ip-address-type]", string(s.family.Or(lb.IPv4)),
			fmt.Sprintf("Service %s/%s has the IP family IPv6, and the load balancer is not dualstack", b.Namespace, b.Service),
			"Set the annotation to dualstack, or use a Service whose only IP family is IPv4")
		m.fallBack()
		return true
	}
	return false
}

// misdirected looks for a redirect that does not lead to an HTTPS port of the load balancer. Who wants it falls back.
func (g *group) misdirected(s *shared) (again bool) {
	if !s.redirect.Set() || slices.ContainsFunc(s.ports, func(p *port) bool {
		return p.protocol == lb.HTTPS && p.number == s.redirect.Value && !p.bare()
	}) {
		return false
	}
	i := slices.IndexFunc(g.members, func(m *member) bool { return m.object == s.redirect.by })
	m, at := g.members[i], s.redirect.At
	if !m.fresh {
		s.redirect = claim[uint16]{}
		return false
	}
	if at.Object.Kind != m.object.Kind {
		at.Field, at.Object = "spec.ingressClassName ("+at.Field+" of "+at.Object.String()+")", m.object
	}
	m.verdicts = append(m.verdicts, at.Verdict(lb.Refused, lb.InvalidAnnotation,
		"is no HTTPS port of the load balancer with a certificate, so nothing could redirect there",
		"Add the port to "+annot.Prefix+"listen-ports as HTTPS, or name one that is there"))
	m.fallBack()
	return true
}

// bare says whether an HTTPS port has no certificate.
func (p *port) bare() bool { return p.protocol == lb.HTTPS && len(p.certificates) == 0 }

// redirects says whether a port does nothing but send clients to HTTPS.
func (s *shared) redirects(p *port) bool { return s.redirect.Set() && p.protocol == lb.HTTP }

func toHTTPS(port uint16) lb.Action {
	return lb.Action{Redirect: &lb.Redirect{Protocol: string(lb.HTTPS), Port: strconv.Itoa(int(port)), StatusCode: 301}}
}

// needsHTTPS says whether an action forwards to a target group that only HTTPS listeners can have.
func (f Form) needsHTTPS(a lb.Action) bool {
	return a.Forward != nil && slices.ContainsFunc(a.Forward.TargetGroups, func(w lb.WeightedTargetGroup) bool {
		return slices.ContainsFunc(f.groups, func(g lb.TargetGroup) bool {
			return g.ID == w.ID && (g.ProtocolVersion == lb.HTTP2 || g.ProtocolVersion == lb.GRPC)
		})
	})
}

func (m *member) refuseHTTP2(field string, port uint16) {
	m.refuse(lb.Partial, lb.InvalidBackend, field, "",
		fmt.Sprintf("forwards with HTTP/2 or gRPC, which the HTTP port %d cannot; it is left out there", port),
		"Listen with HTTPS only, or remove the annotation "+annot.Prefix+"backend-protocol-version")
}

// readTokens reads what requests need on HTTPS ports. HTTP ports cannot ask for it, so whoever has some is told.
func (c *compiler) readTokens(settings annot.Ingress) {
	tokens, at, verdicts := annot.TokensOf(c.ingress)
	c.tokens, c.verdicts = tokens, append(c.verdicts, verdicts...)
	open := slices.IndexFunc(settings.Listen, func(l annot.Listen) bool { return l.Protocol == lb.HTTP })
	if tokens != nil && open >= 0 && !settings.Redirect.Set() {
		at.Value = ""
		c.verdicts = append(c.verdicts, at.Verdict(lb.Warning, lb.InvalidAnnotation,
			fmt.Sprintf("has no effect on the HTTP port %d, which lets requests in without tokens", settings.Listen[open].Port),
			"Listen with HTTPS only, or redirect with "+annot.Prefix+"ssl-redirect"))
	}
}

// guarded is an action for those only who have what requests need.
func (c *compiler) guarded(a lb.Action) lb.Action {
	a.Tokens = c.tokens
	return a
}
