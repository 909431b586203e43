package localaws

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/sluicehq/sluice/internal/proxy"
)

// startPlane puts the loaded state in force. A listener that cannot open now (its port was taken while local AWS was
// away) is reported and left closed: the API must come up, if only to delete it.
func (s *Server) startPlane() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.plane = s.options.DataPlane; s.plane == nil {
		secret, err := cookieSecret(s.options.DataDir)
		if err != nil {
			return err
		}
		s.plane = proxy.New(proxy.Options{Logger: s.log, CookieSecret: secret, Dial: s.dialTarget, DialFrom: s.dialTargetFrom, Roots: s.roots(), Logs: s.logbook})
	}
	err := s.plane.Apply(s.delay(s.planeConfig()))
	for text := range s.note(err) {
		s.log.Error("a load balancer does not serve", "error", text)
	}
	return nil
}

// roots are whom load balancers trust for identity providers: whom this machine does, and the local authority.
func (s *Server) roots() *x509.CertPool {
	pool, err := x509.SystemCertPool()
	if err != nil {
		s.log.Warn("the machine's certificate authorities cannot be read", "error", err)
		pool = x509.NewCertPool()
	}
	body, _ := s.state.meta.get("authority.certificate")
	pool.AppendCertsFromPEM([]byte(body))
	return pool
}

// updatePlane applies a call's changes. Only trouble that was not there before is the call's.
func (s *Server) updatePlane(x *tx) error {
	if s.plane == nil || !x.updatesPlane() {
		return nil
	}
	if slices.ContainsFunc(x.writes, func(w write) bool { return w.kind == "instance" }) {
		clear(s.planeGroups) // they have the instances' addresses in them
	}
	return s.applyPlane()
}

func (s *Server) applyPlane() error {
	before := s.troubles
	err := s.plane.Apply(s.delay(s.planeConfig()))
	for text := range s.note(err) {
		if !before[text] {
			return err
		}
	}
	return nil
}

// note remembers what the data plane complains of, error by error.
func (s *Server) note(err error) map[string]bool {
	s.troubles = map[string]bool{}
	if joined, ok := errors.AsType[interface {
		error
		Unwrap() []error
	}](err); ok {
		for _, e := range joined.Unwrap() {
			s.troubles[e.Error()] = true
		}
	} else if err != nil {
		s.troubles[err.Error()] = true
	}
	return s.troubles
}

// planeConfig is the state as the data plane takes it. Rules and groups, of which there may be thousands, are only
// translated anew when their rows have changed.
func (s *Server) planeConfig() proxy.Config {
	var c proxy.Config
	rules := map[string][]planeRuleAt{}
	for arn, e := range s.state.rules.rows {
		if e.Value.isDefault() {
			continue
		}
		translate := func() proxy.Rule { return s.planeRule(e.Value) }
		var r proxy.Rule
		if usesCognito(e.Value.Wire.Actions) {
			r = translate() // it depends on more than this row
		} else {
			r = s.planeRules.get(arn, e.version, translate)
		}
		rules[e.Value.Listener] = append(rules[e.Value.Listener], planeRuleAt{e.Value.Priority, r})
	}
	listeners := map[string][]listener{}
	for _, l := range s.state.listeners.all() {
		listeners[l.balancer()] = append(listeners[l.balancer()], l)
	}
	for arn, b := range s.state.loadBalancers.all() {
		if b.network() {
			c.NetworkLoadBalancers = append(c.NetworkLoadBalancers, s.planeNetworkBalancer(b, listeners[arn]))
			continue
		}
		c.LoadBalancers = append(c.LoadBalancers, s.planeBalancer(b, listeners[arn], rules))
	}
	for _, arn := range s.state.targetGroups.order {
		e := s.state.targetGroups.rows[arn]
		if e.Value.Wire.TargetType == types.TargetTypeEnumAlb {
			c.TargetGroups = append(c.TargetGroups, s.planeGroup(e.Value)) // it depends on another row
			continue
		}
		c.TargetGroups = append(c.TargetGroups, s.planeGroups.get(arn, e.version, func() proxy.TargetGroup { return s.planeGroup(e.Value) }))
	}
	s.planeRules.keep(s.state.rules.has)
	s.planeGroups.keep(s.state.targetGroups.has)
	s.planeCertificates.keep(func(id string) bool { return s.state.certificates.has(id) || s.state.serverCertificates.has(id) })
	s.planeTrusts.keep(s.state.trustStores.has)
	s.logbook.placesOf(s.state.loadBalancers.all())
	return c
}

// planeRuleAt is a translated rule and where it stands among the others.
type planeRuleAt struct {
	priority int32
	rule     proxy.Rule
}

// translations remembers what rows were translated to, by their versions.
type translations[T any] map[string]translation[T]

type translation[T any] struct {
	version uint64
	value   T
}

func (t translations[T]) get(id string, version uint64, translate func() T) T {
	if have, ok := t[id]; ok && have.version == version {
		return have.value
	}
	value := translate()
	t[id] = translation[T]{version, value}
	return value
}

// keep forgets what is gone, once that is much.
func (t translations[T]) keep(exists func(string) bool) {
	if len(t)%64 != 0 {
		return
	}
	maps.DeleteFunc(t, func(id string, _ translation[T]) bool { return !exists(id) })
}

func (s *Server) planeBalancer(b loadBalancer, listeners []listener, rules map[string][]planeRuleAt) proxy.LoadBalancer {
	out := proxy.LoadBalancer{
		ID: proxy.LoadBalancerID(b.arn()), DNSName: *b.Wire.DNSName, Address: b.Address,
		IdleTimeout:     seconds(b.Attributes["idle_timeout.timeout_seconds"]),
		ClientKeepAlive: seconds(b.Attributes["client_keep_alive.seconds"]),
		AccessLog:       b.Attributes[accessLogs.attribute+"enabled"] == "true",
		ConnectionLog:   b.Attributes[connectionLogs.attribute+"enabled"] == "true",
		DesyncMode:      proxy.DesyncMode(b.Attributes["routing.http.desync_mitigation_mode"]),
		Attributes: proxy.HeaderAttributes{
			XForwardedFor:           proxy.XForwardedForMode(b.Attributes["routing.http.xff_header_processing.mode"]),
			XForwardedForClientPort: b.Attributes["routing.http.xff_client_port.enabled"] == "true",
			PreserveHost:            b.Attributes["routing.http.preserve_host_header.enabled"] == "true",
			DropInvalidHeaders:      b.Attributes["routing.http.drop_invalid_header_fields.enabled"] == "true",

			TLSVersionAndCipherSuite: b.Attributes["routing.http.x_amzn_tls_version_and_cipher_suite.enabled"] == "true",
		},
	}
	hidden := 0
	for _, l := range listeners {
		if l.Attributes["routing.http.response.server.enabled"] == "false" {
			hidden++
		}
		arn := *l.Wire.ListenerArn
		p := proxy.Listener{
			ID: proxy.ListenerID(arn), Port: uint16(*l.Wire.Port), Default: s.planeAction(l.Wire.DefaultActions),
			Attributes: planeHeaders(l.Attributes), TLS: s.planeTLS(l, b.Attributes["routing.http2.enabled"] == "true"),
		}
		tried := rules[arn]
		slices.SortFunc(tried, func(a, b planeRuleAt) int { return int(a.priority) - int(b.priority) })
		for _, r := range tried {
			p.Rules = append(p.Rules, r.rule)
		}
		out.Listeners = append(out.Listeners, p)
	}
	out.Attributes.HideLoadBalancerInServer = hidden > 0 && hidden == len(listeners)
	return out
}

// planeTLS is how a listener ends TLS, or nil.
func (s *Server) planeTLS(l listener, http2 bool) *proxy.TLS {
	if !isSecure(l.Wire.Protocol) {
		return nil
	}
	out := &proxy.TLS{Policy: val(l.Wire.SslPolicy), HTTP2: http2, IDs: l.certificates()}
	for i, arn := range l.certificates() {
		if c := s.planeCertificate(arn); i == 0 {
			out.Certificate = c
		} else {
			out.Certificates = append(out.Certificates, c)
		}
	}
	switch m := l.Wire.MutualAuthentication; {
	case m == nil:
	case *m.Mode == mutualPassthrough:
		out.Mutual = &proxy.MutualTLS{}
	case *m.Mode == mutualVerify:
		out.Mutual = &proxy.MutualTLS{
			TrustStore: s.planeTrustStore(*m.TrustStoreArn), IgnoreExpiry: *m.IgnoreClientCertificateExpiry,
			AdvertiseNames: m.AdvertiseTrustStoreCaNames == types.AdvertiseTrustStoreCaNamesEnumOn,
		}
	}
	return out
}

// planeCertificate is a certificate with its key, or an empty one, of which the data plane complains.
func (s *Server) planeCertificate(arn string) tls.Certificate {
	pair, id, version, ok := s.state.pair(arn)
	if !ok {
		return tls.Certificate{}
	}
	return s.planeCertificates.get(id, version, func() tls.Certificate {
		c, err := pair.tls()
		if err != nil {
			s.log.Error("a certificate cannot be used", "certificate", arn, "error", err)
		}
		return c
	})
}

// planeHeaders are the headers that a listener gives to requests and answers.
func planeHeaders(attributes map[string]string) proxy.ListenerAttributes {
	value := func(name string) string { return attributes["routing.http.response."+name+".header_value"] }
	name := func(of string) string { return attributes["routing.http.request.x_amzn_"+of+".header_name"] }
	return proxy.ListenerAttributes{
		TLSVersionHeader: name("tls_version"), TLSCipherSuiteHeader: name("tls_cipher_suite"),
		ClientCert: proxy.ClientCertHeaders{
			SerialNumber: name("mtls_clientcert_serial_number"), Issuer: name("mtls_clientcert_issuer"), Subject: name("mtls_clientcert_subject"),
			Validity: name("mtls_clientcert_validity"), Leaf: name("mtls_clientcert_leaf"), Chain: name("mtls_clientcert"),
		},

		StrictTransportSecurity:       value("strict_transport_security"),
		AccessControlAllowOrigin:      value("access_control_allow_origin"),
		AccessControlAllowMethods:     value("access_control_allow_methods"),
		AccessControlAllowHeaders:     value("access_control_allow_headers"),
		AccessControlAllowCredentials: value("access_control_allow_credentials"),
		AccessControlExposeHeaders:    value("access_control_expose_headers"),
		AccessControlMaxAge:           value("access_control_max_age"),
		ContentSecurityPolicy:         value("content_security_policy"),
		XContentTypeOptions:           value("x_content_type_options"),
		XFrameOptions:                 value("x_frame_options"),
	}
}

func (s *Server) planeRule(r rule) proxy.Rule {
	p := proxy.Rule{ID: proxy.RuleID(*r.Wire.RuleArn), Priority: int(r.Priority), Action: s.planeAction(r.Wire.Actions), Transforms: planeTransforms(r.Wire.Transforms)}
	for _, c := range r.Wire.Conditions {
		to := proxy.Condition{Field: *c.Field, Regex: regexesOf(c)}
		if c.HttpHeaderConfig != nil {
			to.HeaderName = *c.HttpHeaderConfig.HttpHeaderName
		}
		if c.QueryStringConfig == nil {
			to.Values = valuesOf(c)
		} else {
			for _, q := range c.QueryStringConfig.Values {
				to.Query = append(to.Query, proxy.KeyValue{Key: val(q.Key), Value: val(q.Value)})
			}
		}
		p.Conditions = append(p.Conditions, to)
	}
	return p
}

// planeAction: the last action says what becomes of a request, and one before it, for whom.
func (s *Server) planeAction(actions []types.Action) proxy.Action {
	return s.planeLogin(planeRoute(actions[len(actions)-1]), actions[0])
}

func planeRoute(a types.Action) proxy.Action {
	switch {
	case a.RedirectConfig != nil:
		r := a.RedirectConfig
		code := 301
		if r.StatusCode == types.RedirectActionStatusCodeEnumHttp302 {
			code = 302
		}
		return proxy.Action{Redirect: &proxy.Redirect{
			Protocol: *r.Protocol, Host: *r.Host, Port: *r.Port, Path: *r.Path, Query: *r.Query, StatusCode: code,
		}}
	case a.FixedResponseConfig != nil:
		f := a.FixedResponseConfig
		code, _ := strconv.Atoi(*f.StatusCode) // the model's pattern is three digits
		return proxy.Action{FixedResponse: &proxy.FixedResponse{
			StatusCode: code, ContentType: val(f.ContentType), Body: val(f.MessageBody),
		}}
	}
	forward := &proxy.Forward{}
	for _, t := range a.ForwardConfig.TargetGroups {
		forward.TargetGroups = append(forward.TargetGroups, proxy.WeightedTargetGroup{
			ID: proxy.TargetGroupID(*t.TargetGroupArn), Weight: int(*t.Weight),
		})
	}
	if s := a.ForwardConfig.TargetGroupStickinessConfig; s != nil && val(s.Enabled) {
		forward.Stickiness = time.Duration(val(s.DurationSeconds)) * time.Second
	}
	return proxy.Action{Forward: forward}
}

func (s *Server) planeGroup(g targetGroup) proxy.TargetGroup {
	w := g.Wire
	out := proxy.TargetGroup{
		ID: proxy.TargetGroupID(g.arn()), Protocol: string(w.Protocol), ProtocolVersion: proxy.ProtocolVersion(val(w.ProtocolVersion)),
		DeregistrationDelay: seconds(g.Attributes["deregistration_delay.timeout_seconds"]),
		Algorithm:           g.Attributes["load_balancing.algorithm.type"],
		SlowStart:           seconds(g.Attributes["slow_start.duration_seconds"]),
		Stickiness:          planeStickiness(g.Attributes),
		Failover:            healthThreshold(g.Attributes, "unhealthy_state_routing"),
		HealthCheck: proxy.HealthCheck{
			Disabled: !*w.HealthCheckEnabled, Protocol: string(w.HealthCheckProtocol), Path: val(w.HealthCheckPath),
			Interval:         time.Duration(*w.HealthCheckIntervalSeconds) * time.Second,
			Timeout:          time.Duration(*w.HealthCheckTimeoutSeconds) * time.Second,
			HealthyThreshold: int(*w.HealthyThresholdCount), UnhealthyThreshold: int(*w.UnhealthyThresholdCount),
			Matcher: matched(w.Matcher),
		},
	}
	if g.network() {
		planeNetworkGroup(&out, g)
	}
	if port, err := strconv.ParseUint(*w.HealthCheckPort, 10, 16); err == nil {
		out.HealthCheck.Port = uint16(port)
	}
	for _, t := range g.Targets {
		if p, ok := s.planeTarget(t); ok {
			out.Targets = append(out.Targets, p)
		}
	}
	return out
}

// planeTarget finds out where a target is; false when it is nowhere.
func (s *Server) planeTarget(t target) (proxy.Target, bool) {
	p := proxy.Target{ID: t.ID, Port: uint16(t.Port), Zone: t.Zone, QUICServer: quicServerID(t.QUICServer)}
	switch targetTypeOf(t.ID) {
	case types.TargetTypeEnumInstance:
		i, ok := s.state.instances.get(t.ID)
		if !ok || !i.running() {
			return p, false
		}
		a, err := netip.ParseAddr(i.PrivateIP)
		p.Address, p.Zone = a, i.Zone
		return p, err == nil
	case types.TargetTypeEnumAlb:
		b, ok := s.state.loadBalancers.get(t.ID)
		p.Address = b.Address
		return p, ok
	}
	a, err := netip.ParseAddr(t.ID)
	p.Address = a
	return p, err == nil // checkTarget lets only addresses through
}

func planeStickiness(attributes map[string]string) proxy.Stickiness {
	if attributes["stickiness.enabled"] != "true" {
		return proxy.Stickiness{}
	}
	kind := attributes["stickiness.type"]
	return proxy.Stickiness{
		Type: proxy.StickinessType(kind), Duration: seconds(attributes["stickiness."+kind+".duration_seconds"]),
		Cookie: attributes["stickiness.app_cookie.cookie_name"],
	}
}

// cookieSecret is what stickiness cookies are encrypted with. It is kept beside the state, so that cookies outlive a
// restart; without a folder they do not.
func cookieSecret(dir string) ([]byte, error) {
	fresh := make([]byte, 32)
	_, _ = rand.Read(fresh) // never fails
	if dir == "" {
		return fresh, nil
	}
	path := filepath.Join(dir, "cookies.key")
	kept, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		kept, err = fresh, os.WriteFile(path, fresh, 0o600)
	}
	if err != nil {
		return nil, fmt.Errorf("localaws: secret of stickiness cookies: %w", err)
	}
	return kept, nil
}

// seconds reads an attribute that its table has checked.
func seconds(text string) time.Duration {
	n, _ := strconv.Atoi(text)
	return time.Duration(n) * time.Second
}
