package compile

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	contour "github.com/projectcontour/contour/apis/projectcontour/v1"

	"github.com/sluicehq/sluice/internal/annot"
	"github.com/sluicehq/sluice/internal/lb"
)

// route adds one route. One that is invalid but for what it matches answers 503: left out, its requests would go to a
// shorter path, and past what this one was to keep them from.
func (p *proxyCompiler) route(n int, inherited []contour.MatchCondition) {
	field := fmt.Sprintf("spec.routes[%d]", n)
	r := &p.proxy.Spec.Routes[n]
	match, ok := p.match(inherited, r.Conditions, field)
	if !ok {
		return
	}
	b := &routeBuilder{proxyCompiler: p, spec: r, field: field, match: match, valid: true}
	out := lb.Route{
		Match: match, Secure: p.root.secure && !p.root.tcp, Insecure: lb.ServeInsecure, From: p.self, Field: field,
	}
	if p.root.secure && !r.PermitInsecure {
		out.Insecure = lb.RedirectInsecure
	}
	b.policies(&out)
	b.action(&out)
	if !b.valid {
		out = lb.Route{Match: match, Secure: out.Secure, Insecure: out.Insecure, From: p.self, Field: field, Action: respond(503)}
		b.upstreams = nil
	}
	if owner, ok := p.root.host.add(out, b.upstreams); !ok {
		p.tell(lb.Warning, issue{contour.ConditionTypeRouteError, string(RouteConflict), field, "",
			fmt.Sprintf("%s has a route for just the same requests, which counts", owner), "Remove one of them"})
	}
}

// unavailable answers what an include was for.
func (p *proxyCompiler) unavailable(conditions []contour.MatchCondition, field string, status int) {
	r := lb.Route{Match: merge(conditions), Secure: p.root.secure && !p.root.tcp, Insecure: lb.ServeInsecure, From: p.self, Field: field, Action: respond(status)}
	if p.root.secure {
		r.Insecure = lb.RedirectInsecure
	}
	p.root.host.add(r, nil) // another route for the same requests is better
}

func respond(status int) lb.RouteAction {
	return lb.RouteAction{Respond: &lb.DirectResponse{Status: status}}
}

// routeBuilder makes one route.
type routeBuilder struct {
	*proxyCompiler
	spec      *contour.Route
	field     string
	match     lb.RouteMatch
	valid     bool
	upstreams []lb.Upstream
}

// refuse says that the route cannot be served as it stands.
func (b *routeBuilder) refuse(category, reason, field, problem, fix string) {
	b.valid = false
	b.tell(lb.Partial, issue{category, reason, b.field + field, "", problem + "; the route answers 503", fix})
}

// policies are those that hold for any action.
func (b *routeBuilder) policies(out *lb.Route) {
	const category = contour.ConditionTypeRouteError
	var problem string
	if l := b.spec.RateLimitPolicy; l != nil {
		if l.Global != nil && !l.Global.Disabled {
			b.refuse(category, string(lb.UnsupportedByEngine), ".rateLimitPolicy.global", "global rate limits are not served by this version", "Use a local one")
		}
		if l.Local != nil {
			if out.Limit, problem = limitOf(l.Local); problem != "" {
				b.refuse(category, "RateLimitPolicyNotValid", ".rateLimitPolicy.local", problem, "Correct it")
			}
		}
	}
	filter, reason, problem := filterOf(b.spec.IPAllowFilterPolicy, b.spec.IPDenyFilterPolicy)
	if problem != "" {
		b.refuse(contour.ConditionTypeIPFilterError, reason, "", problem, "Use one list, of CIDR blocks or addresses, with the source Peer or Remote")
	}
	out.Filter = filter
	if j := b.spec.JWTVerificationPolicy; j != nil && j.Require != "" {
		b.refuse(contour.ConditionTypeJWTVerificationError, "JWTProviderNotDefined", ".jwtVerificationPolicy.require",
			"there is no such provider: providers of tokens are not served by this version", "Remove it")
	}
	if out.Cookies, problem = cookiesOf(b.spec.CookieRewritePolicies); problem != "" {
		b.refuse(category, "CookieRewritePoliciesInvalid", ".cookieRewritePolicies", problem, "Correct it")
	}
	scope := headerScope{own: map[string]string{"CONTOUR_NAMESPACE": b.proxy.Namespace}}
	if out.RequestHeaders, _, problem = headerPolicy(b.spec.RequestHeadersPolicy, scope); problem != "" {
		b.refuse(category, "RequestHeadersPolicyInvalid", ".requestHeadersPolicy", problem, "Correct it")
	}
	scope.response = true
	if out.ResponseHeaders, _, problem = headerPolicy(b.spec.ResponseHeadersPolicy, scope); problem != "" {
		b.refuse(category, "ResponseHeaderPolicyInvalid", ".responseHeadersPolicy", problem, "Correct it")
	}
}

func (b *routeBuilder) action(out *lb.Route) {
	actions := 0
	for _, set := range []bool{len(b.spec.Services) > 0, b.spec.RequestRedirectPolicy != nil, b.spec.DirectResponsePolicy != nil} {
		if set {
			actions++
		}
	}
	switch {
	case actions != 1:
		b.refuse(contour.ConditionTypeRouteError, "RouteActionCountNotValid", "",
			fmt.Sprintf("has %d of services, requestRedirectPolicy and directResponsePolicy, and must have one", actions), "Leave one of them")
	case b.spec.RequestRedirectPolicy != nil:
		out.Action.Redirect = b.redirect(*b.spec.RequestRedirectPolicy)
	case b.spec.DirectResponsePolicy != nil:
		d := b.spec.DirectResponsePolicy
		if d.StatusCode < 200 || d.StatusCode > 599 {
			b.refuse(contour.ConditionTypeRouteError, "RouteActionCountNotValid", ".directResponsePolicy.statusCode", fmt.Sprintf("is %d, and must be 200 to 599", d.StatusCode), "Correct it")
		}
		out.Action.Respond = &lb.DirectResponse{Status: d.StatusCode, Body: d.Body}
	default:
		out.Action = b.forward()
	}
}

func (b *routeBuilder) redirect(r contour.HTTPRequestRedirectPolicy) *lb.RouteRedirect {
	out := &lb.RouteRedirect{Scheme: deref(r.Scheme), Host: deref(r.Hostname), Path: deref(r.Path), Prefix: r.Prefix, Status: 302}
	if r.StatusCode != nil {
		out.Status = int(*r.StatusCode)
	}
	refuse := func(problem string) {
		b.refuse(contour.ConditionTypeRouteError, "RequestRedirectPolicy", ".requestRedirectPolicy", problem, "Correct it")
	}
	if r.Port != nil {
		if *r.Port < 1 || *r.Port > 65535 {
			refuse(fmt.Sprintf("has the port %d", *r.Port))
		}
		out.Port = uint16(*r.Port)
	}
	switch {
	case out.Path != "" && r.Prefix != nil:
		refuse("has both a path and a prefix")
	case r.Prefix != nil && b.match.Path.Kind != lb.PrefixPath:
		refuse("replaces a prefix, which the route does not match by")
	case !slices.Contains([]int{301, 302, 303, 307, 308}, out.Status):
		refuse(fmt.Sprintf("has the statusCode %d, which must be 301, 302, 303, 307 or 308", out.Status))
	}
	return out
}

// forward is the action of a route with services.
func (b *routeBuilder) forward() lb.RouteAction {
	f := &lb.RouteForward{WebSocket: b.spec.EnableWebsockets}
	scope := headerScope{own: map[string]string{"CONTOUR_NAMESPACE": b.proxy.Namespace}}
	_, f.HostRewrite, _ = headerPolicy(b.spec.RequestHeadersPolicy, scope) // told already
	t := b.timeouts(f)
	b.retries(f)
	b.rewrite(f)
	b.internalRedirects(f)
	t.Balance, f.Hash = b.balance()
	t.Check = b.healthCheck()
	t.SNI = f.HostRewrite.Literal
	b.services(f, t)
	if len(f.Upstreams) == 0 {
		return respond(503)
	}
	return lb.RouteAction{Forward: f}
}

// timeouts reads the route's timeouts, and begins what all its upstreams have in common.
func (b *routeBuilder) timeouts(f *lb.RouteForward) lb.Upstream {
	var common lb.Upstream
	t := b.spec.TimeoutPolicy
	if t == nil {
		return common
	}
	var err error
	for _, part := range []struct {
		field, value string
		set          func()
	}{
		{"response", t.Response, func() { f.Timeout, err = annot.Timeout(t.Response) }},
		{"idle", t.Idle, func() { f.IdleTimeout, err = annot.Timeout(t.Idle) }},
		{"idleConnection", t.IdleConnection, func() { common.IdleTimeout, err = annot.Timeout(t.IdleConnection) }},
	} {
		if part.set(); err != nil {
			b.refuse(contour.ConditionTypeRouteError, "TimeoutPolicyNotValid", ".timeoutPolicy."+part.field, fmt.Sprintf("%q is no duration", part.value), "Write it as 90s, or infinity")
		}
	}
	return common
}

func (b *routeBuilder) retries(f *lb.RouteForward) {
	r := b.spec.RetryPolicy
	if r == nil {
		return
	}
	perTry, err := annot.Timeout(r.PerTryTimeout)
	if err != nil {
		b.refuse(contour.ConditionTypeRouteError, "TimeoutPolicyNotValid", ".retryPolicy.perTryTimeout", fmt.Sprintf("%q is no duration", r.PerTryTimeout), "Write it as 150ms")
	}
	var on []string
	for _, word := range r.RetryOn {
		on = append(on, string(word))
	}
	f.Retry = &lb.Retry{On: cmp.Or(strings.Join(on, ","), "5xx"), Count: 1, PerTryTimeout: perTry, Statuses: r.RetriableStatusCodes}
	switch {
	case r.NumRetries == -1:
		f.Retry.Count = 0
	case r.NumRetries > 0:
		f.Retry.Count = uint32(r.NumRetries)
	}
}

// rewrite picks the replacement for the route's prefix: that which names it, else that which names none.
func (b *routeBuilder) rewrite(f *lb.RouteForward) {
	if b.spec.PathRewritePolicy == nil || len(b.spec.PathRewritePolicy.ReplacePrefix) == 0 {
		return
	}
	const category = contour.ConditionTypePrefixReplaceError
	at := ".pathRewritePolicy.replacePrefix"
	if b.match.Path.Kind != lb.PrefixPath {
		b.refuse(category, "MustHavePrefix", at, "the route does not match by a prefix", "Give it a prefix, or remove the rewrite")
		return
	}
	seen := map[string]bool{}
	var anyPrefix, named *string
	for _, r := range b.spec.PathRewritePolicy.ReplacePrefix {
		switch {
		case seen[r.Prefix] && r.Prefix == "":
			b.refuse(category, "AmbiguousReplacement", at, "has two replacements for any prefix", "Leave one of them")
		case seen[r.Prefix]:
			b.refuse(category, "DuplicateReplacement", at, "has two replacements for "+r.Prefix, "Leave one of them")
		}
		seen[r.Prefix] = true
		switch r.Prefix {
		case "":
			anyPrefix = &r.Replacement
		case b.match.Path.Value:
			named = &r.Replacement
		}
	}
	if chosen := cmp.Or(named, anyPrefix); chosen != nil {
		f.Rewrite = &lb.PathRewrite{Prefix: chosen}
	}
}

func (b *routeBuilder) internalRedirects(f *lb.RouteForward) {
	i := b.spec.InternalRedirectPolicy
	if i == nil {
		return
	}
	f.Internal = &lb.InternalRedirect{Max: i.MaxInternalRedirects, CrossScheme: lb.CrossNever, NotTwiceSame: i.DenyRepeatedRouteRedirect}
	for _, code := range i.RedirectResponseCodes {
		f.Internal.Statuses = append(f.Internal.Statuses, uint32(code))
	}
	switch i.AllowCrossSchemeRedirect {
	case "Always":
		f.Internal.CrossScheme = lb.CrossAlways
	case "SafeOnly":
		f.Internal.CrossScheme = lb.CrossSafeOnly
	}
}
