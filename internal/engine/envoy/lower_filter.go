package envoy

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	rbacconfig "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	cors "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/cors/v3"
	ratelimit "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/local_ratelimit/v3"
	lua "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/lua/v3"
	rbac "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	previous "github.com/envoyproxy/go-control-plane/envoy/extensions/internal_redirect/previous_routes/v3"
	safecross "github.com/envoyproxy/go-control-plane/envoy/extensions/internal_redirect/safe_cross_scheme/v3"
	envoytype "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/sluicehq/sluice/internal/lb"
)

const (
	corsFilter  = "envoy.filters.http.cors"
	limitFilter = "envoy.filters.http.local_ratelimit"
	rbacFilter  = "envoy.filters.http.rbac"
	luaFilter   = "envoy.filters.http.lua"
)

// filterConfigs are what the HTTP filters do for one virtual host or route.
func filterConfigs(c *lb.CORS, limit *lb.RateLimit, filter *lb.AddressFilter, stat string) map[string]*anypb.Any {
	out := map[string]*anypb.Any{}
	if c != nil {
		out[corsFilter] = packed(corsPolicy(*c))
	}
	if limit != nil {
		out[limitFilter] = packed(localLimit(*limit, stat))
	}
	if filter != nil {
		out[rbacFilter] = packed(&rbac.RBACPerRoute{Rbac: addressRules(*filter)})
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

func corsPolicy(c lb.CORS) *cors.CorsPolicy {
	out := &cors.CorsPolicy{
		AllowMethods: strings.Join(c.Methods, ","), AllowHeaders: strings.Join(c.Headers, ","), ExposeHeaders: strings.Join(c.Exposed, ","),
		AllowCredentials: wrapperspb.Bool(c.Credentials), AllowPrivateNetworkAccess: wrapperspb.Bool(c.PrivateNetworks),
	}
	for _, o := range c.Origins {
		out.AllowOriginStringMatch = append(out.AllowOriginStringMatch, stringMatch(o))
	}
	if c.MaxAge != nil {
		out.MaxAge = strconv.Itoa(int(c.MaxAge.Seconds()))
	}
	return out
}

func localLimit(l lb.RateLimit, stat string) *ratelimit.LocalRateLimit {
	always := &core.RuntimeFractionalPercent{DefaultValue: whole(100)}
	out := &ratelimit.LocalRateLimit{
		StatPrefix: stat, FilterEnabled: always, FilterEnforced: always,
		TokenBucket: &envoytype.TokenBucket{MaxTokens: l.Tokens, TokensPerFill: wrapperspb.UInt32(l.Refill), FillInterval: durationpb.New(l.Every)},
	}
	if l.Status != 0 {
		out.Status = &envoytype.HttpStatus{Code: envoytype.StatusCode(l.Status)}
	}
	out.ResponseHeadersToAdd = setHeaders(lb.HeaderPolicy{Set: l.Headers})
	return out
}

func addressRules(f lb.AddressFilter) *rbac.RBAC {
	rules := &rbacconfig.RBAC{Action: rbacconfig.RBAC_DENY}
	if f.Allow {
		rules.Action = rbacconfig.RBAC_ALLOW
	}
	policy := &rbacconfig.Policy{Permissions: []*rbacconfig.Permission{{Rule: &rbacconfig.Permission_Any{Any: true}}}}
	for _, s := range f.Sources {
		prefix, err := netip.ParsePrefix(s.CIDR)
		if err != nil {
			panic(fmt.Sprintf("envoy: address filter with %q: %v", s.CIDR, err)) // compile lets none through
		}
		block := &core.CidrRange{AddressPrefix: prefix.Addr().String(), PrefixLen: wrapperspb.UInt32(uint32(prefix.Bits()))}
		principal := &rbacconfig.Principal{Identifier: &rbacconfig.Principal_RemoteIp{RemoteIp: block}}
		if s.Peer {
			principal.Identifier = &rbacconfig.Principal_DirectRemoteIp{DirectRemoteIp: block}
		}
		policy.Principals = append(policy.Principals, principal)
	}
	rules.Policies = map[string]*rbacconfig.Policy{"addresses": policy}
	return &rbac.RBAC{Rules: rules}
}

// internalRedirect follows redirects of upstreams inside Envoy.
func internalRedirect(i *lb.InternalRedirect) *route.InternalRedirectPolicy {
	if i == nil {
		return nil
	}
	out := &route.InternalRedirectPolicy{RedirectResponseCodes: i.Statuses, AllowCrossSchemeRedirect: i.CrossScheme != lb.CrossNever}
	if i.Max > 0 {
		out.MaxInternalRedirects = wrapperspb.UInt32(i.Max)
	}
	if i.CrossScheme == lb.CrossSafeOnly {
		out.Predicates = append(out.Predicates, &core.TypedExtensionConfig{
			Name: "envoy.internal_redirect_predicates.safe_cross_scheme", TypedConfig: packed(&safecross.SafeCrossSchemeConfig{}),
		})
	}
	if i.NotTwiceSame {
		out.Predicates = append(out.Predicates, &core.TypedExtensionConfig{
			Name: "envoy.internal_redirect_predicates.previous_routes", TypedConfig: packed(&previous.PreviousRoutesConfig{}),
		})
	}
	return out
}

// cookieConfig rewrites attributes of cookies. Envoy has no filter for that, so it is a program for each route.
func cookieConfig(rewrites []lb.CookieRewrite) map[string]*anypb.Any {
	if len(rewrites) == 0 {
		return nil
	}
	return map[string]*anypb.Any{luaFilter: packed(&lua.LuaPerRoute{Override: &lua.LuaPerRoute_SourceCode{SourceCode: &core.DataSource{
		Specifier: &core.DataSource_InlineString{InlineString: cookieProgram(rewrites)},
	}}})}
}

// cookieProgram is Lua. Values are passed as its long strings, which know no escapes.
func cookieProgram(rewrites []lb.CookieRewrite) string {
	var b strings.Builder
	b.WriteString("local rewrites = {\n")
	for _, c := range rewrites {
		fmt.Fprintf(&b, "  [ %s ] = {", long(c.Name))
		if c.Path != nil {
			fmt.Fprintf(&b, " path = %s,", long("Path="+*c.Path))
		}
		if c.Domain != nil {
			fmt.Fprintf(&b, " domain = %s,", long("Domain="+*c.Domain))
		}
		if c.Secure != nil && *c.Secure {
			b.WriteString(" secure = [==[Secure]==],")
		}
		if c.Secure != nil && !*c.Secure {
			b.WriteString(" secure = [==[]==],")
		}
		if c.SameSite != "" {
			fmt.Fprintf(&b, " samesite = %s,", long("SameSite="+c.SameSite))
		}
		b.WriteString(" },\n")
	}
	b.WriteString("}\n" + cookieRewriter)
	return b.String()
}

func long(s string) string { return "[==[" + s + "]==]" }

// cookieRewriter takes each Set-Cookie apart, replaces attributes, and adds those that it does not have.
const cookieRewriter = `
function envoy_on_response(handle)
  local headers = handle:headers()
  local cookies = {}
  for i = 0, headers:getNumValues("set-cookie") - 1 do
    table.insert(cookies, headers:getAtIndex("set-cookie", i))
  end
  headers:remove("set-cookie")
  for _, cookie in ipairs(cookies) do
    local rewrite = rewrites[string.match(cookie, "^%s*([^=;]*)=")]
    if rewrite then
      local parts, seen = {}, {}
      for part in string.gmatch(cookie, "[^;]+") do
        local key = string.lower(string.match(part, "^%s*([^=]-)%s*=") or string.match(part, "^%s*(.-)%s*$"))
        if #parts > 0 and rewrite[key] then
          seen[key] = true
          if rewrite[key] ~= "" then table.insert(parts, " " .. rewrite[key]) end
        else
          table.insert(parts, part)
        end
      end
      for _, key in ipairs({"path", "domain", "secure", "samesite"}) do
        if rewrite[key] and rewrite[key] ~= "" and not seen[key] then table.insert(parts, " " .. rewrite[key]) end
      end
      cookie = table.concat(parts, ";")
    end
    headers:add("set-cookie", cookie)
  end
end
`

// metadata tells access logs which object a route is from.
func metadata(from lb.Object) *core.Metadata {
	return &core.Metadata{FilterMetadata: map[string]*structpb.Struct{"envoy.access_loggers.file": {Fields: map[string]*structpb.Value{
		"io.projectcontour.kind":      structpb.NewStringValue(from.Kind),
		"io.projectcontour.namespace": structpb.NewStringValue(from.Namespace),
		"io.projectcontour.name":      structpb.NewStringValue(from.Name),
	}}}}
}
