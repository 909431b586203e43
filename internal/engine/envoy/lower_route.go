package envoy

import (
	"regexp"
	"slices"
	"strings"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/sluicehq/sluice/internal/lb"
)

// plainHost lowers a virtual host as it is served without TLS; nil when it is not.
func plainHost(v lb.VirtualHost) *route.VirtualHost {
	var routes []*route.Route
	for _, r := range v.Routes {
		switch r.Insecure {
		case lb.ServeInsecure:
			routes = append(routes, lowerRoute(v, r))
		case lb.RedirectInsecure:
			routes = append(routes, &route.Route{
				Match:    match(v, r.Match),
				Metadata: metadata(r.From),
				Action: &route.Route_Redirect{Redirect: &route.RedirectAction{
					SchemeRewriteSpecifier: &route.RedirectAction_HttpsRedirect{HttpsRedirect: true},
				}},
			})
		}
	}
	if len(routes) == 0 {
		return nil
	}
	return virtualHost(plainName(v.Host), v, routes)
}

// plainName is what the virtual host without TLS is called, on the wire and in itself: Envoy removes it by the one what
// it knows by the other.
func plainName(host string) string { return httpListener + "/" + host }

// secureHost lowers a virtual host as it is served over TLS.
func secureHost(v lb.VirtualHost) *route.VirtualHost {
	var routes []*route.Route
	for _, r := range v.Routes {
		if r.Secure {
			routes = append(routes, lowerRoute(v, r))
		}
	}
	return virtualHost(v.Host, v, routes)
}

func virtualHost(name string, v lb.VirtualHost, routes []*route.Route) *route.VirtualHost {
	return &route.VirtualHost{
		Name: name, Domains: []string{v.Host}, Routes: routes,
		TypedPerFilterConfig: filterConfigs(v.CORS, v.Limit, v.Filter, "vhost."+v.Host),
	}
}

func lowerRoute(v lb.VirtualHost, r lb.Route) *route.Route {
	out := &route.Route{
		Match:               match(v, r.Match),
		Metadata:            metadata(r.From),
		RequestHeadersToAdd: setHeaders(r.RequestHeaders), RequestHeadersToRemove: r.RequestHeaders.Remove,
		ResponseHeadersToAdd: setHeaders(r.ResponseHeaders), ResponseHeadersToRemove: r.ResponseHeaders.Remove,
		TypedPerFilterConfig: merged(filterConfigs(nil, r.Limit, r.Filter, "route"), cookieConfig(r.Cookies)),
	}
	switch {
	case r.Action.Forward != nil:
		out.Action = &route.Route_Route{Route: forward(*r.Action.Forward, r)}
	case r.Action.Redirect != nil:
		out.Action = &route.Route_Redirect{Redirect: redirect(*r.Action.Redirect)}
	case r.Action.Respond != nil:
		answer := &route.DirectResponseAction{Status: uint32(r.Action.Respond.Status)}
		if r.Action.Respond.Body != "" {
			answer.Body = &core.DataSource{Specifier: &core.DataSource_InlineString{InlineString: r.Action.Respond.Body}}
		}
		out.Action = &route.Route_DirectResponse{DirectResponse: answer}
	}
	return out
}

// match compares path, headers and query. A wildcard's routes also look at the host: Envoy's own wildcards take any
// number of labels.
func match(v lb.VirtualHost, m lb.RouteMatch) *route.RouteMatch {
	out := &route.RouteMatch{}
	switch m.Path.Kind {
	case lb.ExactPath:
		out.PathSpecifier = &route.RouteMatch_Path{Path: m.Path.Value}
	case lb.RegexPath:
		out.PathSpecifier = &route.RouteMatch_SafeRegex{SafeRegex: regex(m.Path.Value)}
	case lb.SegmentPath:
		if m.Path.Value == "/" {
			out.PathSpecifier = &route.RouteMatch_Prefix{Prefix: "/"}
			break
		}
		out.PathSpecifier = &route.RouteMatch_PathSeparatedPrefix{PathSeparatedPrefix: m.Path.Value}
	default:
		out.PathSpecifier = &route.RouteMatch_Prefix{Prefix: m.Path.Value}
	}
	if suffix, wildcard := strings.CutPrefix(v.Host, "*."); wildcard {
		one := `(?i)[^.]+\.` + regexp.QuoteMeta(suffix) + `(:[0-9]+)?`
		out.Headers = append(out.Headers, headerIs(":authority", &matcher.StringMatcher{MatchPattern: &matcher.StringMatcher_SafeRegex{SafeRegex: regex(one)}}))
	}
	for _, h := range m.Headers {
		out.Headers = append(out.Headers, header(h))
	}
	for _, q := range m.Query {
		query := &route.QueryParameterMatcher{Name: q.Name}
		if q.Kind == lb.PresentString {
			query.QueryParameterMatchSpecifier = &route.QueryParameterMatcher_PresentMatch{PresentMatch: true}
		} else {
			query.QueryParameterMatchSpecifier = &route.QueryParameterMatcher_StringMatch{StringMatch: stringMatch(q.StringMatch)}
		}
		out.QueryParameters = append(out.QueryParameters, query)
	}
	return out
}

func header(h lb.HeaderMatch) *route.HeaderMatcher {
	out := &route.HeaderMatcher{Name: h.Name, InvertMatch: h.Invert, TreatMissingHeaderAsEmpty: h.MissingIsEmpty}
	if h.Kind == lb.PresentString {
		out.HeaderMatchSpecifier = &route.HeaderMatcher_PresentMatch{PresentMatch: true}
	} else {
		out.HeaderMatchSpecifier = &route.HeaderMatcher_StringMatch{StringMatch: stringMatch(h.StringMatch)}
	}
	return out
}

func stringMatch(m lb.StringMatch) *matcher.StringMatcher {
	out := &matcher.StringMatcher{IgnoreCase: m.IgnoreCase}
	switch m.Kind {
	case lb.PrefixString:
		out.MatchPattern = &matcher.StringMatcher_Prefix{Prefix: m.Value}
	case lb.SuffixString:
		out.MatchPattern = &matcher.StringMatcher_Suffix{Suffix: m.Value}
	case lb.ContainsString:
		out.MatchPattern = &matcher.StringMatcher_Contains{Contains: m.Value}
	case lb.RegexString:
		out.MatchPattern, out.IgnoreCase = &matcher.StringMatcher_SafeRegex{SafeRegex: regex(m.Value)}, false
	default:
		out.MatchPattern = &matcher.StringMatcher_Exact{Exact: m.Value}
	}
	return out
}

func regex(expression string) *matcher.RegexMatcher { return &matcher.RegexMatcher{Regex: expression} }

func forward(f lb.RouteForward, r lb.Route) *route.RouteAction {
	out := &route.RouteAction{
		Timeout: duration(f.Timeout), IdleTimeout: duration(f.IdleTimeout),
		RetryPolicy: retryPolicy(f.Retry), HashPolicy: hashPolicies(f.Hash),
		InternalRedirectPolicy: internalRedirect(f.Internal),
	}
	target(out, f, r.Cookies)
	for _, m := range f.Mirrors {
		out.RequestMirrorPolicies = append(out.RequestMirrorPolicies, &route.RouteAction_RequestMirrorPolicy{
			Cluster: string(m.ID), RuntimeFraction: &core.RuntimeFractionalPercent{DefaultValue: whole(m.Percent)},
		})
	}
	if f.WebSocket {
		out.UpgradeConfigs = []*route.RouteAction_UpgradeConfig{{UpgradeType: "websocket"}}
	}
	switch {
	case f.HostRewrite.Literal != "":
		out.HostRewriteSpecifier = &route.RouteAction_HostRewriteLiteral{HostRewriteLiteral: f.HostRewrite.Literal}
	case f.HostRewrite.Header != "":
		out.HostRewriteSpecifier = &route.RouteAction_HostRewriteHeader{HostRewriteHeader: f.HostRewrite.Header}
	}
	if f.Rewrite != nil {
		rewrite(out, *f.Rewrite, r.Match.Path)
	}
	return out
}

// target names the cluster, or several with their weights. One cluster with settings of its own is one of a weighted
// list too, for there they have a place.
func target(out *route.RouteAction, f lb.RouteForward, cookies []lb.CookieRewrite) {
	plain := func(u lb.WeightedUpstream) bool {
		return len(u.RequestHeaders.Set)+len(u.RequestHeaders.Remove)+len(u.ResponseHeaders.Set)+len(u.ResponseHeaders.Remove)+len(u.Cookies) == 0 && u.HostRewrite == ""
	}
	if len(f.Upstreams) == 1 && plain(f.Upstreams[0]) {
		out.ClusterSpecifier = &route.RouteAction_Cluster{Cluster: string(f.Upstreams[0].ID)}
		return
	}
	list := &route.WeightedCluster{}
	for _, u := range f.Upstreams {
		weight := u.Weight
		if len(f.Upstreams) == 1 {
			weight = 1
		}
		c := &route.WeightedCluster_ClusterWeight{
			Name: string(u.ID), Weight: wrapperspb.UInt32(weight),
			RequestHeadersToAdd: setHeaders(u.RequestHeaders), RequestHeadersToRemove: u.RequestHeaders.Remove,
			ResponseHeadersToAdd: setHeaders(u.ResponseHeaders), ResponseHeadersToRemove: u.ResponseHeaders.Remove,
		}
		if len(u.Cookies) > 0 { // it takes the place of the route's
			c.TypedPerFilterConfig = cookieConfig(append(slices.Clone(cookies), u.Cookies...))
		}
		if u.HostRewrite != "" {
			c.HostRewriteSpecifier = &route.WeightedCluster_ClusterWeight_HostRewriteLiteral{HostRewriteLiteral: u.HostRewrite}
		}
		list.Clusters = append(list.Clusters, c)
	}
	out.ClusterSpecifier = &route.RouteAction_WeightedClusters{WeightedClusters: list}
}

// rewrite changes the path so that slashes stay as they are meant: /foo to /bar makes /foo/x to /bar/x, and to / makes
// it /x and /foo to /.
func rewrite(out *route.RouteAction, r lb.PathRewrite, path lb.PathMatch) {
	switch {
	case r.Full != nil:
		out.RegexRewrite = &matcher.RegexMatchAndSubstitute{Pattern: regex("^.*$"), Substitution: literal(*r.Full)}
	case *r.Prefix == path.Value && path.Kind != lb.RegexPath:
		// It would change nothing.
	case strings.TrimRight(*r.Prefix, "/") == "" || path.Value == "/":
		prefix := strings.TrimRight(path.Value, "/")
		replacement := strings.TrimRight(*r.Prefix, "/") + "/"
		out.RegexRewrite = &matcher.RegexMatchAndSubstitute{Pattern: regex("^" + regexp.QuoteMeta(prefix) + "/*"), Substitution: literal(replacement)}
	default:
		prefix := strings.TrimRight(path.Value, "/")
		out.RegexRewrite = &matcher.RegexMatchAndSubstitute{
			Pattern: regex("^" + regexp.QuoteMeta(prefix)), Substitution: literal(strings.TrimRight(*r.Prefix, "/")),
		}
	}
}

// literal keeps RE2 from reading references to groups in a replacement.
func literal(replacement string) string { return strings.ReplaceAll(replacement, `\`, `\\`) }

func retryPolicy(r *lb.Retry) *route.RetryPolicy {
	if r == nil {
		return nil
	}
	return &route.RetryPolicy{
		RetryOn: r.On, NumRetries: wrapperspb.UInt32(r.Count), PerTryTimeout: duration(r.PerTryTimeout), RetriableStatusCodes: r.Statuses,
	}
}

func hashPolicies(list []lb.HashPolicy) []*route.RouteAction_HashPolicy {
	var out []*route.RouteAction_HashPolicy
	for _, h := range list {
		p := &route.RouteAction_HashPolicy{Terminal: h.Terminal}
		switch {
		case h.Header != "":
			p.PolicySpecifier = &route.RouteAction_HashPolicy_Header_{Header: &route.RouteAction_HashPolicy_Header{HeaderName: h.Header}}
		case h.Query != "":
			p.PolicySpecifier = &route.RouteAction_HashPolicy_QueryParameter_{QueryParameter: &route.RouteAction_HashPolicy_QueryParameter{Name: h.Query}}
		case h.Cookie != "":
			p.PolicySpecifier = &route.RouteAction_HashPolicy_Cookie_{Cookie: &route.RouteAction_HashPolicy_Cookie{
				Name: h.Cookie, Ttl: durationpb.New(0), Path: "/",
			}}
		default:
			p.PolicySpecifier = &route.RouteAction_HashPolicy_ConnectionProperties_{ConnectionProperties: &route.RouteAction_HashPolicy_ConnectionProperties{SourceIp: true}}
		}
		out = append(out, p)
	}
	return out
}

func redirect(r lb.RouteRedirect) *route.RedirectAction {
	out := &route.RedirectAction{HostRedirect: r.Host, PortRedirect: uint32(r.Port), ResponseCode: redirectCodes[r.Status]}
	if r.Scheme != "" {
		out.SchemeRewriteSpecifier = &route.RedirectAction_SchemeRedirect{SchemeRedirect: r.Scheme}
	}
	switch {
	case r.Path != "":
		out.PathRewriteSpecifier = &route.RedirectAction_PathRedirect{PathRedirect: r.Path}
	case r.Prefix != nil:
		out.PathRewriteSpecifier = &route.RedirectAction_PrefixRewrite{PrefixRewrite: *r.Prefix}
	}
	return out
}

var redirectCodes = map[int]route.RedirectAction_RedirectResponseCode{
	301: route.RedirectAction_MOVED_PERMANENTLY, 302: route.RedirectAction_FOUND, 303: route.RedirectAction_SEE_OTHER,
	307: route.RedirectAction_TEMPORARY_REDIRECT, 308: route.RedirectAction_PERMANENT_REDIRECT,
}

func setHeaders(p lb.HeaderPolicy) []*core.HeaderValueOption {
	var out []*core.HeaderValueOption
	for _, h := range p.Set {
		out = append(out, &core.HeaderValueOption{
			Header: &core.HeaderValue{Key: h.Name, Value: h.Value}, AppendAction: core.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
		})
	}
	return out
}

func merged(maps ...map[string]*anypb.Any) map[string]*anypb.Any {
	var out map[string]*anypb.Any
	for _, m := range maps {
		for name, config := range m {
			if out == nil {
				out = map[string]*anypb.Any{}
			}
			out[name] = config
		}
	}
	return out
}
