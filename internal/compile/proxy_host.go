package compile

import (
	"errors"
	"fmt"

	contour "github.com/projectcontour/contour/apis/projectcontour/v1"

	"github.com/sluicehq/sluice/internal/lb"
)

// virtualHost reads what a root says about its host as a whole. What keeps clients out, and cannot be read, keeps all
// out.
func (p *proxyCompiler) virtualHost() bool {
	v := p.proxy.Spec.VirtualHost
	host := &p.root.host.virtual
	ok := true
	refuse := func(category, reason, field, problem, fix string) {
		ok = false
		p.tell(lb.Refused, issue{category, reason, "spec.virtualhost" + field, "", problem + "; the host is not served", fix})
	}
	if v.Authorization != nil {
		refuse(contour.ConditionTypeAuthError, string(lb.UnsupportedByEngine), ".authorization", "external authorization is not served by this version", "Remove it to be served without")
	}
	if len(v.JWTProviders) > 0 {
		refuse(contour.ConditionTypeJWTVerificationError, string(lb.UnsupportedByEngine), ".jwtProviders", "verification of tokens is not served by this version", "Remove it to be served without")
	}
	if l := v.RateLimitPolicy; l != nil {
		if l.Global != nil && !l.Global.Disabled {
			refuse(contour.ConditionTypeVirtualHostError, string(lb.UnsupportedByEngine), ".rateLimitPolicy.global", "global rate limits are not served by this version", "Use a local one")
		}
		if l.Local != nil {
			limit, problem := limitOf(l.Local)
			if problem != "" {
				refuse(contour.ConditionTypeVirtualHostError, "RateLimitPolicyNotValid", ".rateLimitPolicy.local", problem, "Correct it")
			}
			host.Limit = limit
		}
	}
	filter, reason, problem := filterOf(v.IPAllowFilterPolicy, v.IPDenyFilterPolicy)
	if problem != "" {
		refuse(contour.ConditionTypeIPFilterError, reason, "", problem, "Use one list, of CIDR blocks or addresses, with the source Peer or Remote")
	}
	host.Filter = filter
	if v.CORSPolicy != nil {
		policy, problem := corsOf(v.CORSPolicy)
		if problem != "" {
			refuse(contour.ConditionTypeCORSError, "PolicyDidNotParse", ".corsPolicy", problem, "Correct it")
		}
		host.CORS = policy
	}
	p.root.secure = v.TLS != nil
	if v.TLS != nil && !p.tls(*v.TLS) {
		return false
	}
	if p.proxy.Spec.TCPProxy != nil && ok {
		p.root.tcp = true
		p.tcp(p.proxy, nil)
	}
	return ok
}

// tls reads how a root's host speaks TLS. Without it the host would be served in the clear: it is not served at all.
func (p *proxyCompiler) tls(t contour.TLS) bool {
	refuse := func(reason, field, value, problem, fix string) bool {
		p.tell(lb.Refused, issue{contour.ConditionTypeTLSError, reason, "spec.virtualhost.tls" + field, value, problem + "; the host is not served", fix})
		return false
	}
	out := lb.ServerTLS{MinVersion: lb.TLS12, MaxVersion: lb.TLS13}
	for _, version := range []struct {
		field, value string
		to           *lb.TLSVersion
	}{{".minimumProtocolVersion", t.MinimumProtocolVersion, &out.MinVersion}, {".maximumProtocolVersion", t.MaximumProtocolVersion, &out.MaxVersion}} {
		switch version.value {
		case "":
		case "1.2", "1.3":
			*version.to = lb.TLSVersion(version.value)
		default:
			return refuse("TLSConfigNotValid", version.field, version.value, "is no version that is served", "Use 1.2 or 1.3")
		}
	}
	switch {
	case out.MinVersion > out.MaxVersion:
		return refuse("TLSConfigNotValid", ".minimumProtocolVersion", t.MinimumProtocolVersion, "is newer than the maximum", "Make it at most the maximum")
	case t.Passthrough && t.SecretName != "":
		return refuse("TLSConfigNotValid", "", "", "has both a secretName and passthrough", "Leave one of them")
	case !t.Passthrough && t.SecretName == "":
		return refuse("TLSConfigNotValid", "", "", "has neither a secretName nor passthrough", "Set one of them")
	case t.Passthrough && p.proxy.Spec.TCPProxy == nil:
		return refuse("TLSConfigNotValid", ".passthrough", "", "needs a tcpproxy", "Add one, or use a secretName")
	case t.Passthrough && t.ClientValidation != nil:
		return refuse("TLSConfigNotValid", ".clientValidation", "", "cannot be done where TLS goes through to upstreams", "Remove it, or use a secretName")
	case t.EnableFallbackCertificate && (t.Passthrough || t.ClientValidation != nil || p.proxy.Spec.VirtualHost.Authorization != nil || len(p.proxy.Spec.VirtualHost.JWTProviders) > 0):
		return refuse("TLSIncompatibleFeatures", ".enableFallbackCertificate", "", "cannot go with passthrough, clientValidation, authorization or jwtProviders", "Leave one of them")
	case t.EnableFallbackCertificate:
		return refuse("FallbackNotPresent", ".enableFallbackCertificate", "", "there is no fallback certificate", "Remove it")
	}
	if t.SecretName != "" {
		secret, err := p.secret(parseSecretName(t.SecretName, p.proxy.Namespace), p.proxy.Namespace, servingCertificate)
		switch {
		case errors.Is(err, errNotDelegated):
			return refuse(string(NotDelegated), ".secretName", t.SecretName, err.Error(), "Add the namespace to a TLSCertificateDelegation beside the Secret")
		case err != nil:
			return refuse(string(SecretNotValid), ".secretName", t.SecretName, err.Error(), "Correct the Secret, or name another")
		}
		out.Certificate = secret.ID
		p.root.host.secrets[secret.ID] = secret
	}
	if t.ClientValidation != nil {
		client, reason, problem := p.clientValidation(*t.ClientValidation)
		if problem != "" {
			return refuse(reason, ".clientValidation", "", problem, "Correct it")
		}
		out.Client = client
	}
	p.root.host.virtual.TLS, p.root.host.tlsFrom = &out, p.self
	return true
}

func (p *proxyCompiler) clientValidation(v contour.DownstreamValidation) (client *lb.ClientValidation, reason, problem string) {
	out := &lb.ClientValidation{SkipVerify: v.SkipClientCertValidation, Optional: v.OptionalClientCertificate, CRLLeafOnly: v.OnlyVerifyLeafCertCrl}
	if f := v.ForwardClientCertificate; f != nil {
		out.ForwardSubject, out.ForwardCert, out.ForwardChain, out.ForwardDNSNames, out.ForwardURI = f.Subject, f.Cert, f.Chain, f.DNS, f.URI
	}
	failed := func(err error) (*lb.ClientValidation, string, string) {
		if errors.Is(err, errNotDelegated) {
			return nil, "CACertificateNotDelegated", err.Error()
		}
		return nil, "ClientValidationInvalid", err.Error()
	}
	switch {
	case v.CACertificate != "":
		ca, err := p.secret(parseSecretName(v.CACertificate, p.proxy.Namespace), p.proxy.Namespace, trustedCA)
		if err != nil {
			return failed(err)
		}
		out.CA = ca.ID
		p.root.host.secrets[ca.ID] = ca
	case !v.SkipClientCertValidation:
		return nil, "ClientValidationInvalid", "has neither a caSecret nor skipClientCertValidation"
	}
	if v.CertificateRevocationList != "" {
		list, err := p.secret(parseSecretName(v.CertificateRevocationList, p.proxy.Namespace), p.proxy.Namespace, revocations)
		if err != nil {
			return failed(err)
		}
		out.CRL = list.ID
		p.root.host.secrets[list.ID] = list
	}
	return out, "", ""
}

// tcp reads what a host's TLS connections carry, from the root or what it includes.
func (p *proxyCompiler) tcp(from *contour.HTTPProxy, path []lb.Object) {
	path = append(path, p.self)
	t := from.Spec.TCPProxy
	refuse := func(reason, field, problem, fix string) {
		p.tell(lb.Refused, issue{contour.ConditionTypeTCPProxyError, reason, "spec.tcpproxy" + field, "", problem, fix})
	}
	include := t.Include
	if include == nil {
		include = t.IncludesDeprecated
	}
	switch {
	case !p.root.secure:
		refuse("TLSMustBeConfigured", "", "connections are told apart by the name that a client asks for in TLS, which the host does not speak", "Set spec.virtualhost.tls")
		return
	case len(t.Services) > 0 && include != nil:
		refuse("NoServicesAndInclude", "", "has both services and an include", "Leave one of them")
		return
	case len(t.Services) == 0 && include == nil:
		refuse("NothingDefined", "", "has neither services nor an include", "Add one of them")
		return
	case include != nil:
		child, _ := p.included(include.Name, include.Namespace, "spec.tcpproxy.include", contour.ConditionTypeTCPProxyIncludeError, path)
		if child == nil {
			return
		}
		if child.proxy.Spec.TCPProxy == nil {
			refuse("NothingDefined", ".include", "is of an HTTPProxy without a tcpproxy", "Include another")
			return
		}
		child.tcp(child.proxy, path)
		return
	}
	p.tcpServices(t)
}

func (p *proxyCompiler) tcpServices(t *contour.TCPProxy) {
	forward := &lb.TCPForward{From: p.self, Field: "spec.tcpproxy"}
	common := lb.Upstream{Balance: lb.RoundRobin}
	if l := t.LoadBalancerPolicy; l != nil {
		switch l.Strategy {
		case "WeightedLeastRequest":
			common.Balance = lb.LeastRequest
		case "Random":
			common.Balance = lb.RandomChoice
		case "Cookie", "RequestHash":
			p.tell(lb.Warning, issue{contour.ConditionTypeTCPProxyError, "IgnoredField", "spec.tcpproxy.loadBalancerPolicy.strategy", l.Strategy, "is for HTTP only; RoundRobin holds", "Use another strategy"})
		}
	}
	if c := t.HealthCheckPolicy; c != nil {
		common.Check = &lb.UpstreamCheck{
			Interval: seconds(c.IntervalSeconds, 10), Timeout: seconds(c.TimeoutSeconds, 2),
			Unhealthy: threshold(int64(c.UnhealthyThresholdCount), 3), Healthy: threshold(int64(c.HealthyThresholdCount), 2),
		}
	}
	weights := false
	for _, s := range t.Services {
		weights = weights || s.Weight > 0
	}
	var upstreams []lb.Upstream
	for n := range t.Services {
		s := &t.Services[n]
		u, problem := p.serviceUpstream(s)
		if problem != nil {
			p.tell(lb.Partial, issue{contour.ConditionTypeTCPProxyError, string(problem.reason), fmt.Sprintf("spec.tcpproxy.services[%d]", n), problem.value, problem.problem, problem.fix})
			continue
		}
		if weights && s.Weight == 0 {
			continue
		}
		u.Protocol, u.Balance, u.Check = lb.PlainHTTP1, common.Balance, common.Check
		u = identified(u, p.self)
		upstreams = append(upstreams, u)
		forward.Upstreams = append(forward.Upstreams, lb.WeightedUpstream{ID: u.ID, Weight: max(1, uint32(s.Weight))})
	}
	if len(forward.Upstreams) > 0 {
		p.root.host.virtual.TCP = forward
		p.root.host.needs(p.self, upstreams)
	}
}
