package compile

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	contour "github.com/projectcontour/contour/apis/projectcontour/v1"

	"github.com/sluicehq/sluice/internal/lb"
)

// affinityCookie is the name that the reference gives to the cookie of the strategy Cookie.
const affinityCookie = "X-Contour-Session-Affinity"

// balance reads the strategy. What it cannot be read as is round robin.
func (b *routeBuilder) balance() (lb.BalancePolicy, []lb.HashPolicy) {
	p := b.spec.LoadBalancerPolicy
	if p == nil {
		return lb.RoundRobin, nil
	}
	switch p.Strategy {
	case "WeightedLeastRequest":
		return lb.LeastRequest, nil
	case "Random":
		return lb.RandomChoice, nil
	case "Cookie":
		return lb.ByHash, []lb.HashPolicy{{Cookie: affinityCookie, Terminal: true}}
	case "RequestHash":
		if hash := b.hash(p.RequestHashPolicies); len(hash) > 0 {
			return lb.ByHash, hash
		}
	case "", "RoundRobin":
	default:
		b.ignored(".loadBalancerPolicy.strategy", fmt.Sprintf("%q is no strategy; RoundRobin holds", p.Strategy))
	}
	return lb.RoundRobin, nil
}

func (b *routeBuilder) ignored(field, problem string) {
	b.tell(lb.Warning, issue{contour.ConditionTypeSpecError, "IgnoredField", b.field + field, "", problem, "Correct it"})
}

func (b *routeBuilder) hash(list []contour.RequestHashPolicy) []lb.HashPolicy {
	var out []lb.HashPolicy
	for n, p := range list {
		h := lb.HashPolicy{Terminal: p.Terminal, SourceIP: p.HashSourceIP}
		set := 0
		if p.HashSourceIP {
			set++
		}
		if p.HeaderHashOptions != nil {
			set++
			h.Header = p.HeaderHashOptions.HeaderName
		}
		if p.QueryParameterHashOptions != nil {
			set++
			h.Query = strings.ToLower(p.QueryParameterHashOptions.ParameterName)
		}
		field := fmt.Sprintf(".loadBalancerPolicy.requestHashPolicies[%d]", n)
		switch {
		case set != 1:
			b.ignored(field, fmt.Sprintf("has %d of headerHashOptions, queryParameterHashOptions and hashSourceIP, and must have one; it is ignored", set))
		case !h.SourceIP && h.Header == "" && h.Query == "":
			b.ignored(field, "names nothing to hash by; it is ignored")
		case slices.ContainsFunc(out, func(o lb.HashPolicy) bool { o.Terminal = h.Terminal; return o == h }):
			b.ignored(field, "stands twice; it is ignored")
		default:
			out = append(out, h)
		}
	}
	return out
}

// healthCheck reads the active health check, with the reference's defaults.
func (b *routeBuilder) healthCheck() *lb.UpstreamCheck {
	c := b.spec.HealthCheckPolicy
	if c == nil {
		return nil
	}
	out := &lb.UpstreamCheck{
		Path: c.Path, Host: cmp.Or(c.Host, "contour-envoy-healthcheck"),
		Interval: seconds(c.IntervalSeconds, 10), Timeout: seconds(c.TimeoutSeconds, 2),
		Unhealthy: threshold(c.UnhealthyThresholdCount, 3), Healthy: threshold(c.HealthyThresholdCount, 2),
	}
	refuse := func(field, problem string) {
		b.refuse(contour.ConditionTypeRouteError, "HealthCheckPolicyInvalid", ".healthCheckPolicy."+field, problem, "Correct it")
	}
	if !strings.HasPrefix(c.Path, "/") {
		refuse("path", fmt.Sprintf("%q does not begin with a slash", c.Path))
	}
	for _, s := range c.ExpectedStatuses {
		if s.Start < 100 || s.End > 600 || s.Start >= s.End {
			refuse("expectedStatuses", fmt.Sprintf("has the range from %d to before %d", s.Start, s.End))
		}
		out.Statuses = append(out.Statuses, lb.StatusRange{Start: int(s.Start), End: int(s.End)})
	}
	return out
}

func seconds(n, def int64) time.Duration {
	if n <= 0 {
		n = def
	}
	return time.Duration(n) * time.Second
}

func threshold(n, def int64) uint32 {
	if n <= 0 {
		n = def
	}
	return uint32(n)
}

// services makes upstreams of a route's services; common is what they all have. One whose Service does not exist costs
// only its share.
func (b *routeBuilder) services(f *lb.RouteForward, common lb.Upstream) {
	weights := false
	for _, s := range b.spec.Services {
		weights = weights || s.Weight > 0 && !s.Mirror
	}
	for n := range b.spec.Services {
		s := &b.spec.Services[n]
		field := fmt.Sprintf(".services[%d]", n)
		u, ok := b.service(s, common, field)
		if !ok {
			continue
		}
		to := lb.WeightedUpstream{Weight: 1}
		if weights {
			to.Weight = uint32(s.Weight)
		}
		if !b.atService(s, &u, &to, field) {
			continue
		}
		u = identified(u, b.self)
		to.ID = u.ID
		b.upstreams = append(b.upstreams, u)
		if !s.Mirror {
			f.Upstreams = append(f.Upstreams, to)
			continue
		}
		if len(f.Mirrors) > 0 {
			b.refuse(contour.ConditionTypeServiceError, "OnlyOneMirror", field+".mirror", "is the second mirror of the route", "Leave one of them")
		}
		percent := uint32(s.Weight)
		if percent == 0 {
			percent = 100
		}
		f.Mirrors = append(f.Mirrors, lb.Mirror{ID: u.ID, Percent: min(percent, 100)})
	}
}

// service finds a Service and says how it is spoken to.
func (p *proxyCompiler) serviceUpstream(s *contour.Service) (lb.Upstream, *fault) {
	if s.Port < 1 || s.Port > 65535 {
		return lb.Upstream{}, &fault{"ServicePortInvalid", strconv.Itoa(s.Port), "is no port", "Use 1 to 65535"}
	}
	return p.upstream(p.proxy.Namespace, s.Name, lb.Port{Number: int32(s.Port)})
}

func (b *routeBuilder) service(s *contour.Service, common lb.Upstream, field string) (lb.Upstream, bool) {
	u, problem := b.serviceUpstream(s)
	if problem != nil {
		b.tell(lb.Partial, issue{contour.ConditionTypeServiceError, string(problem.reason), b.field + field, problem.value, problem.problem, problem.fix})
		return u, false
	}
	u.Balance, u.IdleTimeout, u.SNI = common.Balance, common.IdleTimeout, common.SNI
	if common.Check != nil {
		check := *common.Check
		u.Check = &check
		if s.HealthPort != 0 && s.HealthPort != s.Port {
			checked, problem := b.upstream(b.proxy.Namespace, s.Name, lb.Port{Number: int32(s.HealthPort)})
			if problem != nil {
				b.refuse(contour.ConditionTypeServiceError, string(problem.reason), field+".healthPort", problem.problem, problem.fix)
			}
			u.Check.Port, u.Check.PortName = checked.Backend.Port, checked.Backend.PortName
		}
	}
	return u, true
}

// atService reads what a service in a route says for itself.
func (b *routeBuilder) atService(s *contour.Service, u *lb.Upstream, to *lb.WeightedUpstream, field string) bool {
	const category = contour.ConditionTypeServiceError
	before := b.valid
	b.valid = true
	defer func() { b.valid = b.valid && before }()
	own := map[string]string{
		"CONTOUR_NAMESPACE": b.proxy.Namespace, "CONTOUR_SERVICE_NAME": s.Name, "CONTOUR_SERVICE_PORT": strconv.Itoa(s.Port),
	}
	var problem string
	var host lb.HostRewrite
	if to.RequestHeaders, host, problem = headerPolicy(s.RequestHeadersPolicy, headerScope{own: own, service: true}); problem != "" {
		b.refuse(category, "RequestHeadersPolicyInvalid", field+".requestHeadersPolicy", problem, "Correct it")
	}
	if to.ResponseHeaders, _, problem = headerPolicy(s.ResponseHeadersPolicy, headerScope{own: own, service: true, response: true}); problem != "" {
		b.refuse(category, "ResponseHeadersPolicyInvalid", field+".responseHeadersPolicy", problem, "Correct it")
	}
	if to.Cookies, problem = cookiesOf(s.CookieRewritePolicies); problem != "" {
		b.refuse(contour.ConditionTypeRouteError, "CookieRewritePoliciesInvalid", field+".cookieRewritePolicies", problem, "Correct it")
	}
	to.HostRewrite = host.Literal
	u.SNI = cmp.Or(host.Literal, u.SNI)
	b.speak(s, u, field)
	if s.SlowStartPolicy != nil {
		u.SlowStart, problem = slowStart(*s.SlowStartPolicy)
		if problem == "" && u.Balance != lb.RoundRobin && u.Balance != lb.LeastRequest {
			problem = "is for the strategies RoundRobin and WeightedLeastRequest only"
		}
		if problem != "" {
			b.refuse(category, "SlowStartInvalid", field+".slowStartPolicy", problem, "Correct it")
		}
	}
	return b.valid
}

// speak reads the protocol of a service, and which certificates of it are accepted.
func (b *routeBuilder) speak(s *contour.Service, u *lb.Upstream, field string) {
	const category = contour.ConditionTypeServiceError
	if s.Protocol != nil {
		protocols := map[string]lb.UpstreamProtocol{"h2": lb.TLSHTTP2, "h2c": lb.PlainHTTP2, "tls": lb.TLSHTTP1}
		protocol, ok := protocols[*s.Protocol]
		if !ok {
			b.refuse(category, string(UnsupportedProtocol), field+".protocol", fmt.Sprintf("%q is no protocol", *s.Protocol), "Use h2, h2c or tls")
		}
		u.Protocol = protocol
	}
	v := s.UpstreamValidation
	if v == nil {
		return
	}
	refuse := func(problem string) {
		b.refuse(category, "TLSUpstreamValidation", field+".validation", problem, "Correct it")
	}
	names := v.SubjectNames
	if len(names) == 0 && v.SubjectName != "" {
		names = []string{v.SubjectName}
	}
	switch {
	case u.Protocol != lb.TLSHTTP1 && u.Protocol != lb.TLSHTTP2:
		refuse("is for the protocols h2 and tls only")
		return
	case len(names) == 0 || len(names) > 8:
		refuse("must have 1 to 8 subject names")
		return
	case v.SubjectName != "" && names[0] != v.SubjectName:
		refuse("has another subjectName than the first of its subjectNames")
		return
	}
	ca, err := b.secret(parseSecretName(v.CACertificate, b.proxy.Namespace), b.proxy.Namespace, trustedCA)
	if errors.Is(err, errNotDelegated) {
		b.refuse(contour.ConditionTypeTLSError, "CACertificateNotDelegated", field+".validation.caSecret", err.Error(), "Add the namespace to a TLSCertificateDelegation beside the Secret")
		return
	}
	if err != nil {
		refuse(err.Error())
		return
	}
	u.Verify = &lb.UpstreamVerify{CA: ca.ID, Subjects: names}
	b.root.host.secrets[ca.ID] = ca
}

func slowStart(s contour.SlowStartPolicy) (*lb.SlowStart, string) {
	window, err := time.ParseDuration(s.Window)
	if err != nil || window <= 0 {
		return nil, fmt.Sprintf("has the window %q, which is no duration", s.Window)
	}
	out := &lb.SlowStart{Window: window, Aggression: 1, MinPercent: s.MinimumWeightPercent}
	if s.Aggression != "" {
		if out.Aggression, err = strconv.ParseFloat(s.Aggression, 64); err != nil || out.Aggression <= 0 {
			return nil, fmt.Sprintf("has the aggression %q, which is no positive number", s.Aggression)
		}
	}
	if out.MinPercent > 100 {
		return nil, fmt.Sprintf("has the minWeightPercent %d, which is more than 100", out.MinPercent)
	}
	return out, ""
}
