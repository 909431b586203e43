package compile

import (
	"fmt"
	"net/netip"
	"net/textproto"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	contour "github.com/projectcontour/contour/apis/projectcontour/v1"
	"golang.org/x/net/http/httpguts"

	"github.com/sluicehq/sluice/internal/lb"
)

// variables are those of Envoy that a header's value may have; any other % is one.
var variables = regexp.MustCompile(`%(?:DOWNSTREAM_(?:REMOTE_ADDRESS|REMOTE_ADDRESS_WITHOUT_PORT|LOCAL_ADDRESS|LOCAL_ADDRESS_WITHOUT_PORT|LOCAL_PORT|LOCAL_URI_SAN|` +
	`PEER_URI_SAN|LOCAL_SUBJECT|PEER_SUBJECT|PEER_ISSUER|TLS_SESSION_ID|TLS_CIPHER|TLS_VERSION|PEER_FINGERPRINT_256|PEER_FINGERPRINT_1|PEER_SERIAL|PEER_CERT|` +
	`PEER_CERT_V_START|PEER_CERT_V_END)|HOSTNAME|PROTOCOL|UPSTREAM_REMOTE_ADDRESS|RESPONSE_FLAGS|RESPONSE_CODE_DETAILS|TLS_JA3_FINGERPRINT|TLS_JA4_FINGERPRINT|` +
	`REQ\([A-Za-z0-9:_-]+(?:\?[A-Za-z0-9:_-]+)?\)(?::[0-9]+)?)%`)

// requestHeader is a Host that takes the value of another header.
var requestHeader = regexp.MustCompile(`^%REQ\(([A-Za-z0-9-]+)\)%$`)

// headerScope is where a header policy stands.
type headerScope struct {
	response bool
	own      map[string]string // variables of ours by name
	service  bool              // at a service, where Host can be a literal only
}

// headerPolicy reads a policy; a Host to set on requests comes back by itself.
func headerPolicy(policy *contour.HeadersPolicy, scope headerScope) (out lb.HeaderPolicy, host lb.HostRewrite, problem string) {
	if policy == nil {
		return out, host, ""
	}
	seen := map[string]bool{}
	for _, h := range policy.Set {
		name := textproto.CanonicalMIMEHeaderKey(h.Name)
		switch {
		case !httpguts.ValidHeaderFieldName(name):
			return out, host, fmt.Sprintf("set %q, which is no name of a header", h.Name)
		case seen[name]:
			return out, host, "set header " + name + " twice"
		case name == "Host" && scope.response:
			return out, host, "set Host, which a response does not have"
		}
		seen[name] = true
		if name == "Host" {
			if m := requestHeader.FindStringSubmatch(h.Value); m != nil && !scope.service {
				host.Header = m[1]
			} else {
				host.Literal = h.Value
			}
			continue
		}
		out.Set = append(out.Set, lb.Header{Name: name, Value: escaped(h.Value, scope.own)})
	}
	for _, h := range policy.Remove {
		name := textproto.CanonicalMIMEHeaderKey(h)
		switch {
		case !httpguts.ValidHeaderFieldName(name):
			return out, host, fmt.Sprintf("remove %q, which is no name of a header", h)
		case slices.Contains(out.Remove, name):
			return out, host, "remove header " + name + " twice"
		case name == "Host":
			return out, host, "remove Host, without which there is no request"
		}
		out.Remove = append(out.Remove, name)
	}
	slices.SortFunc(out.Set, func(a, b lb.Header) int { return strings.Compare(a.Name, b.Name) })
	slices.Sort(out.Remove)
	return out, host, ""
}

// escaped doubles each % that begins no variable, and puts in ours.
func escaped(value string, own map[string]string) string {
	for name, text := range own {
		value = strings.ReplaceAll(value, "%"+name+"%", text)
	}
	var out strings.Builder
	at := 0
	for _, span := range variables.FindAllStringIndex(value, -1) {
		out.WriteString(strings.ReplaceAll(value[at:span[0]], "%", "%%"))
		out.WriteString(value[span[0]:span[1]])
		at = span[1]
	}
	out.WriteString(strings.ReplaceAll(value[at:], "%", "%%"))
	return out.String()
}

// corsOf reads a CORS policy. An origin that is no origin is a regular expression.
func corsOf(c *contour.CORSPolicy) (*lb.CORS, string) {
	if len(c.AllowOrigin) == 0 || len(c.AllowMethods) == 0 {
		return nil, "must have allowOrigin and allowMethods"
	}
	out := &lb.CORS{Credentials: c.AllowCredentials, PrivateNetworks: c.AllowPrivateNetwork}
	for _, origin := range c.AllowOrigin {
		u, err := url.Parse(origin)
		switch {
		case origin == "*":
			out.Origins = append(out.Origins, lb.StringMatch{Kind: lb.RegexString, Value: ".*"})
		case err == nil && u.Scheme != "" && u.Host != "" && u.Scheme+"://"+u.Host == origin && !strings.ContainsAny(u.Host, `*+?^$()[]{}|\`):
			out.Origins = append(out.Origins, lb.StringMatch{Kind: lb.ExactString, Value: origin, IgnoreCase: true})
		default:
			if _, err := regexp.Compile(origin); err != nil {
				return nil, fmt.Sprintf("allow %q, which is neither an origin nor a regular expression of RE2: %s", origin, problemOf(err))
			}
			out.Origins = append(out.Origins, lb.StringMatch{Kind: lb.RegexString, Value: origin})
		}
	}
	for _, list := range []struct {
		from []contour.CORSHeaderValue
		to   *[]string
	}{{c.AllowMethods, &out.Methods}, {c.AllowHeaders, &out.Headers}, {c.ExposeHeaders, &out.Exposed}} {
		for _, value := range list.from {
			*list.to = append(*list.to, string(value))
		}
	}
	if c.MaxAge != "" {
		age, err := time.ParseDuration(c.MaxAge)
		if err != nil {
			return nil, fmt.Sprintf("has the maxAge %q, which is no duration", c.MaxAge)
		}
		out.MaxAge = &age
	}
	return out, ""
}

// limitOf reads a local rate limit.
func limitOf(l *contour.LocalRateLimitPolicy) (*lb.RateLimit, string) {
	units := map[string]time.Duration{"second": time.Second, "minute": time.Minute, "hour": time.Hour}
	every, ok := units[l.Unit]
	switch {
	case l.Requests == 0:
		return nil, "must have requests of at least 1"
	case !ok:
		return nil, fmt.Sprintf("has the unit %q, which must be second, minute or hour", l.Unit)
	case l.ResponseStatusCode != 0 && (l.ResponseStatusCode < 400 || l.ResponseStatusCode > 599):
		return nil, fmt.Sprintf("has the responseStatusCode %d, which must be 400 to 599", l.ResponseStatusCode)
	}
	out := &lb.RateLimit{Tokens: l.Requests + l.Burst, Refill: l.Requests, Every: every, Status: int(l.ResponseStatusCode)}
	if out.Status == 0 {
		out.Status = 429
	}
	policy, _, problem := headerPolicy(&contour.HeadersPolicy{Set: l.ResponseHeadersToAdd}, headerScope{response: true})
	out.Headers = policy.Set
	return out, problem
}

// filterOf reads lists of addresses, of which only one may be given.
func filterOf(allow, deny []contour.IPFilterPolicy) (filter *lb.AddressFilter, reason, problem string) {
	if len(allow) > 0 && len(deny) > 0 {
		return nil, "IncompatibleIPAddressFilters", "has both ipAllowPolicy and ipDenyPolicy"
	}
	if len(allow)+len(deny) == 0 {
		return nil, "", ""
	}
	filter = &lb.AddressFilter{Allow: len(allow) > 0}
	for _, entry := range append(slices.Clone(allow), deny...) {
		prefix, err := netip.ParsePrefix(entry.CIDR)
		if address, also := netip.ParseAddr(entry.CIDR); err != nil && also == nil {
			prefix, err = netip.PrefixFrom(address, address.BitLen()), nil
		}
		switch {
		case err != nil:
			return nil, "InvalidCIDR", fmt.Sprintf("has %q, which is neither a CIDR block nor an address", entry.CIDR)
		case entry.Source != contour.IPFilterSourcePeer && entry.Source != contour.IPFilterSourceRemote:
			return nil, "IPFilterPolicyNotValid", fmt.Sprintf("has the source %q, which must be Peer or Remote", entry.Source)
		}
		filter.Sources = append(filter.Sources, lb.AddressRange{CIDR: prefix.Masked().String(), Peer: entry.Source == contour.IPFilterSourcePeer})
	}
	return filter, "", ""
}

// cookiesOf reads rewrites of cookies.
func cookiesOf(list []contour.CookieRewritePolicy) ([]lb.CookieRewrite, string) {
	var out []lb.CookieRewrite
	for _, c := range list {
		r := lb.CookieRewrite{Name: c.Name, Secure: c.Secure}
		if c.PathRewrite != nil {
			r.Path = &c.PathRewrite.Value
		}
		if c.DomainRewrite != nil {
			r.Domain = &c.DomainRewrite.Value
		}
		if c.SameSite != nil {
			r.SameSite = *c.SameSite
		}
		switch {
		case slices.ContainsFunc(out, func(o lb.CookieRewrite) bool { return o.Name == c.Name }):
			return nil, "rewrite cookie " + c.Name + " twice"
		case r.Path == nil && r.Domain == nil && r.Secure == nil && r.SameSite == "":
			return nil, "change nothing about cookie " + c.Name
		case r.SameSite != "" && !slices.Contains([]string{"Strict", "Lax", "None"}, r.SameSite):
			return nil, fmt.Sprintf("give cookie %s the SameSite %q, which must be Strict, Lax or None", c.Name, r.SameSite)
		case strings.Contains(c.Name+deref(r.Path)+deref(r.Domain), "]==]") || strings.ContainsAny(c.Name+deref(r.Path)+deref(r.Domain), ";\r\n"):
			return nil, "have a character for cookie " + c.Name + " that no cookie can have"
		}
		out = append(out, r)
	}
	return out, ""
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
