package lb

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

func (t *text) virtualHosts(s Stack) {
	for _, v := range s.VirtualHosts {
		t.virtualHost(v)
	}
	for _, u := range s.Upstreams {
		t.line(1, "upstream %s", u.ID)
		t.upstream(u)
		t.from(2, "from", u.From)
	}
	for _, secret := range s.Secrets {
		t.line(1, "secret %s", secret.ID)
	}
}

func (t *text) virtualHost(v VirtualHost) {
	t.line(1, "virtual-host %s", v.Host)
	if v.TLS != nil {
		t.serverTLS(*v.TLS)
	}
	if v.TCP != nil {
		t.line(2, "tcp -> %s", weighted(v.TCP.Upstreams))
		t.line(3, "from %s %s", v.TCP.From, v.TCP.Field)
	}
	if v.CORS != nil {
		t.line(2, "%s", *v.CORS)
	}
	t.limits(2, v.Limit, v.Filter)
	t.from(2, "from", v.From)
	for _, r := range v.Routes {
		t.route(r)
	}
}

func (t *text) serverTLS(s ServerTLS) {
	certificate := "goes through to upstreams"
	if s.Certificate != "" {
		certificate = "with " + string(s.Certificate)
	}
	t.line(2, "tls %s to %s %s", s.MinVersion, s.MaxVersion, certificate)
	if c := s.Client; c != nil {
		out := "client certificates"
		switch {
		case c.SkipVerify:
			out += " of any signer"
		default:
			out += " of " + string(c.CA)
		}
		out += flags(map[string]bool{"optional": c.Optional, "crl-leaf-only": c.CRLLeafOnly}, "optional", "crl-leaf-only")
		if c.CRL != "" {
			out += " revoked by " + string(c.CRL)
		}
		if c.Forwards() {
			out += " forwarding" + flags(map[string]bool{
				"subject": c.ForwardSubject, "cert": c.ForwardCert, "chain": c.ForwardChain, "dns": c.ForwardDNSNames, "uri": c.ForwardURI,
			}, "subject", "cert", "chain", "dns", "uri")
		}
		t.line(3, "%s", out)
	}
}

func (t *text) limits(depth int, limit *RateLimit, filter *AddressFilter) {
	if limit != nil {
		t.line(depth, "limit %d and %d every %s, else %d", limit.Tokens, limit.Refill, limit.Every, limit.Status)
		for _, h := range limit.Headers {
			t.line(depth+1, "with %s: %s", h.Name, h.Value)
		}
	}
	if filter != nil {
		word := "keep out"
		if filter.Allow {
			word = "let in only"
		}
		for _, s := range filter.Sources {
			by := "client"
			if s.Peer {
				by = "peer"
			}
			t.line(depth, "%s %s %s", word, by, s.CIDR)
		}
	}
}

func (t *text) route(r Route) {
	t.line(2, "route %s", r.Match)
	switch {
	case r.Action.Forward != nil:
		t.forward(*r.Action.Forward)
	case r.Action.Redirect != nil:
		t.line(3, "-> %s", *r.Action.Redirect)
	case r.Action.Respond != nil:
		t.line(3, "-> respond %d %q", r.Action.Respond.Status, r.Action.Respond.Body)
	}
	over := "without TLS: " + string(r.Insecure)
	if !r.Secure {
		over += "; over TLS: not found"
	}
	t.line(3, "%s", over)
	t.limits(3, r.Limit, r.Filter)
	t.headers(3, "request", r.RequestHeaders)
	t.headers(3, "response", r.ResponseHeaders)
	t.cookies(3, r.Cookies)
	t.line(3, "from %s %s", r.From, r.Field)
}

func (t *text) forward(f RouteForward) {
	t.line(3, "-> %s", weighted(f.Upstreams))
	for _, u := range f.Upstreams {
		var inner text
		inner.headers(4, "request", u.RequestHeaders)
		inner.headers(4, "response", u.ResponseHeaders)
		if u.HostRewrite != "" {
			inner.line(4, "host becomes %s", u.HostRewrite)
		}
		inner.cookies(4, u.Cookies)
		if inner.Len() > 0 {
			t.line(3, "to %s", u.ID)
			t.WriteString(inner.String())
		}
	}
	for _, m := range f.Mirrors {
		t.line(3, "mirror %d%% to %s", m.Percent, m.ID)
	}
	t.duration(3, "timeout", f.Timeout)
	t.duration(3, "idle-timeout", f.IdleTimeout)
	if r := f.Retry; r != nil {
		out := fmt.Sprintf("retry %d on %s", r.Count, r.On)
		for _, status := range r.Statuses {
			out += " " + strconv.Itoa(int(status))
		}
		t.line(3, "%s", out)
		t.duration(4, "each-within", r.PerTryTimeout)
	}
	if f.WebSocket {
		t.line(3, "websocket")
	}
	if f.Rewrite != nil && f.Rewrite.Prefix != nil {
		t.line(3, "path prefix becomes %s", *f.Rewrite.Prefix)
	}
	if f.Rewrite != nil && f.Rewrite.Full != nil {
		t.line(3, "path becomes %s", *f.Rewrite.Full)
	}
	if f.HostRewrite.Literal != "" {
		t.line(3, "host becomes %s", f.HostRewrite.Literal)
	}
	if f.HostRewrite.Header != "" {
		t.line(3, "host becomes that of header %s", f.HostRewrite.Header)
	}
	for _, h := range f.Hash {
		t.line(3, "hash by %s", h)
	}
	if i := f.Internal; i != nil {
		t.line(3, "follow redirects %v at most %d, cross-scheme %s%s", i.Statuses, i.Max, i.CrossScheme, flags(map[string]bool{"not-twice-same": i.NotTwiceSame}, "not-twice-same"))
	}
}

func (t *text) headers(depth int, word string, p HeaderPolicy) {
	for _, h := range p.Set {
		t.line(depth, "%s set %s: %s", word, h.Name, h.Value)
	}
	for _, name := range p.Remove {
		t.line(depth, "%s remove %s", word, name)
	}
}

func (t *text) cookies(depth int, list []CookieRewrite) {
	for _, c := range list {
		out := "cookie " + c.Name
		if c.Path != nil {
			out += " path=" + *c.Path
		}
		if c.Domain != nil {
			out += " domain=" + *c.Domain
		}
		if c.Secure != nil {
			out += fmt.Sprintf(" secure=%t", *c.Secure)
		}
		if c.SameSite != "" {
			out += " same-site=" + c.SameSite
		}
		t.line(depth, "%s", out)
	}
}

func (t *text) duration(depth int, word string, d *time.Duration) {
	switch {
	case d == nil:
	case *d == 0:
		t.line(depth, "%s none", word)
	default:
		t.line(depth, "%s %s", word, *d)
	}
}

func (t *text) upstream(u Upstream) {
	where := u.Backend.String() + flags(map[string]bool{"port " + u.Backend.PortName: u.Backend.PortName != ""}, "port "+u.Backend.PortName)
	if u.External != "" {
		where += " at " + u.External
	}
	t.line(2, "%s %s %s", where, u.Protocol, u.Balance)
	if u.SNI != "" {
		t.line(2, "sni %s", u.SNI)
	}
	if u.Verify != nil {
		t.line(2, "verify by %s names %s", u.Verify.CA, strings.Join(u.Verify.Subjects, ","))
	}
	if c := u.Check; c != nil {
		kind := "connecting"
		if c.Path != "" {
			kind = "GET " + c.Host + c.Path
		}
		if c.Port != 0 {
			kind += fmt.Sprintf(" port %d%s", c.Port, flags(map[string]bool{c.PortName: c.PortName != ""}, c.PortName))
		}
		t.line(2, "health-check %s every %s timeout %s healthy %d unhealthy %d", kind, c.Interval, c.Timeout, c.Healthy, c.Unhealthy)
		for _, s := range c.Statuses {
			t.line(3, "status %d up to %d", s.Start, s.End-1)
		}
	}
	if u.Limits != (ConnectionLimits{}) {
		l := u.Limits
		t.line(2, "at most %d connections, %d pending, %d requests, %d retries, %d connections per host", l.Connections, l.Pending, l.Requests, l.Retries, l.PerHostConnections)
	}
	if s := u.SlowStart; s != nil {
		t.line(2, "slow-start %s aggression %g from %d%%", s.Window, s.Aggression, s.MinPercent)
	}
	t.duration(2, "idle-timeout", u.IdleTimeout)
}

// String is "prefix /api and header x exact 1".
func (m RouteMatch) String() string {
	out := string(m.Path.Kind) + " " + m.Path.Value
	for _, h := range m.Headers {
		out += " and header " + h.String()
	}
	for _, q := range m.Query {
		out += " and query " + q.String()
	}
	return out
}

// String is "accept exact json".
func (m StringMatchOf) String() string { return m.Name + " " + m.StringMatch.String() }

// String is "exact json".
func (m StringMatch) String() string {
	out := string(m.Kind)
	if m.Kind != PresentString {
		out += " " + strconv.Quote(m.Value)
	}
	return out + flags(map[string]bool{"ignoring case": m.IgnoreCase}, "ignoring case")
}

// String is "accept not exact json".
func (m HeaderMatch) String() string {
	out := m.Name
	if m.Invert {
		out += " not"
	}
	return out + " " + m.StringMatch.String() + flags(map[string]bool{"missing is empty": m.MissingIsEmpty}, "missing is empty")
}

// String is "redirect 302 scheme=https".
func (r RouteRedirect) String() string {
	out := "redirect " + strconv.Itoa(r.Status)
	for _, part := range []struct{ word, value string }{{"scheme", r.Scheme}, {"host", r.Host}, {"path", r.Path}} {
		if part.value != "" {
			out += " " + part.word + "=" + part.value
		}
	}
	if r.Port != 0 {
		out += fmt.Sprintf(" port=%d", r.Port)
	}
	if r.Prefix != nil {
		out += " prefix=" + *r.Prefix
	}
	return out
}

// String is "header x-user terminal".
func (h HashPolicy) String() string {
	out := "source address"
	switch {
	case h.Header != "":
		out = "header " + h.Header
	case h.Query != "":
		out = "query " + h.Query
	case h.Cookie != "":
		out = "cookie " + h.Cookie
	}
	return out + flags(map[string]bool{"terminal": h.Terminal}, "terminal")
}

// String is one line for all of the policy.
func (c CORS) String() string {
	var origins []string
	for _, o := range c.Origins {
		origins = append(origins, o.String())
	}
	out := "cors origins " + strings.Join(origins, ",") + " methods " + strings.Join(c.Methods, ",")
	if len(c.Headers) > 0 {
		out += " headers " + strings.Join(c.Headers, ",")
	}
	if len(c.Exposed) > 0 {
		out += " exposed " + strings.Join(c.Exposed, ",")
	}
	if c.MaxAge != nil {
		out += " max-age " + c.MaxAge.String()
	}
	return out + flags(map[string]bool{"credentials": c.Credentials, "private-networks": c.PrivateNetworks}, "credentials", "private-networks")
}

func weighted(list []WeightedUpstream) string {
	var out []string
	for _, u := range list {
		text := string(u.ID)
		if len(list) > 1 {
			text += fmt.Sprintf(" weight %d", u.Weight)
		}
		out = append(out, text)
	}
	return strings.Join(out, ", ")
}

// flags are the words that hold, each after a space, in the order given.
func flags(holds map[string]bool, order ...string) string {
	var out strings.Builder
	for _, word := range order {
		if holds[word] {
			out.WriteString(" " + word)
		}
	}
	return out.String()
}
