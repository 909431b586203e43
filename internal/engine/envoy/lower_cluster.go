package envoy

import (
	"strings"
	"time"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tls "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	percent "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/sluicehq/sluice/internal/lb"
)

const connectTimeout = 2 * time.Second

// upstream lowers an upstream to a cluster. Its endpoints have the cluster's own name, so that a new cluster for the
// same backend gets them anew: Envoy would not ask again for a name that it knows.
func upstream(u lb.Upstream, secrets map[lb.SecretRef]lb.Secret) *cluster.Cluster {
	http2 := u.Protocol == lb.PlainHTTP2 || u.Protocol == lb.TLSHTTP2
	c := &cluster.Cluster{
		Name:                          string(u.ID),
		AltStatName:                   strings.ReplaceAll(strings.ReplaceAll(u.Backend.String(), "/", "_"), ":", "_"),
		ConnectTimeout:                durationpb.New(connectTimeout),
		CommonLbConfig:                &cluster.Cluster_CommonLbConfig{HealthyPanicThreshold: &percent.Percent{}},
		TypedExtensionProtocolOptions: protocolOptions(http2, u.IdleTimeout),
		CircuitBreakers:               circuitBreakers(u.Limits),
	}
	if u.External == "" {
		c.ClusterDiscoveryType = &cluster.Cluster_Type{Type: cluster.Cluster_EDS}
		c.EdsClusterConfig = &cluster.Cluster_EdsClusterConfig{EdsConfig: viaADS()}
	} else {
		c.ClusterDiscoveryType = &cluster.Cluster_Type{Type: cluster.Cluster_STRICT_DNS}
		c.LoadAssignment = assignment(string(u.ID), socket(u.External, uint16(u.Backend.Port)))
	}
	balance(c, u)
	if u.Check != nil {
		c.HealthChecks = []*core.HealthCheck{healthCheck(*u.Check, http2)}
		c.IgnoreHealthOnHostRemoval = true
	}
	if u.Protocol == lb.TLSHTTP1 || u.Protocol == lb.TLSHTTP2 {
		c.TransportSocket = transportSocket(upstreamTLS(u, secrets))
	}
	return c
}

func balance(c *cluster.Cluster, u lb.Upstream) {
	switch u.Balance {
	case lb.LeastRequest:
		c.LbPolicy = cluster.Cluster_LEAST_REQUEST
		if s := u.SlowStart; s != nil {
			c.LbConfig = &cluster.Cluster_LeastRequestLbConfig_{LeastRequestLbConfig: &cluster.Cluster_LeastRequestLbConfig{SlowStartConfig: slowStart(*s)}}
		}
	case lb.RandomChoice:
		c.LbPolicy = cluster.Cluster_RANDOM
	case lb.ByHash:
		c.LbPolicy = cluster.Cluster_RING_HASH
	default:
		c.LbPolicy = cluster.Cluster_ROUND_ROBIN
		if s := u.SlowStart; s != nil {
			c.LbConfig = &cluster.Cluster_RoundRobinLbConfig_{RoundRobinLbConfig: &cluster.Cluster_RoundRobinLbConfig{SlowStartConfig: slowStart(*s)}}
		}
	}
}

func slowStart(s lb.SlowStart) *cluster.Cluster_SlowStartConfig {
	return &cluster.Cluster_SlowStartConfig{
		SlowStartWindow:  durationpb.New(s.Window),
		Aggression:       &core.RuntimeDouble{DefaultValue: s.Aggression, RuntimeKey: "slowstart.aggression"},
		MinWeightPercent: &percent.Percent{Value: float64(s.MinPercent)},
	}
}

func circuitBreakers(l lb.ConnectionLimits) *cluster.CircuitBreakers {
	if l == (lb.ConnectionLimits{}) {
		return nil
	}
	limit := func(n uint32) *wrapperspb.UInt32Value {
		if n == 0 {
			return nil
		}
		return wrapperspb.UInt32(n)
	}
	out := &cluster.CircuitBreakers{Thresholds: []*cluster.CircuitBreakers_Thresholds{{
		MaxConnections: limit(l.Connections), MaxPendingRequests: limit(l.Pending), MaxRequests: limit(l.Requests), MaxRetries: limit(l.Retries),
		TrackRemaining: true,
	}}}
	if l.PerHostConnections > 0 {
		out.PerHostThresholds = []*cluster.CircuitBreakers_Thresholds{{MaxConnections: limit(l.PerHostConnections), TrackRemaining: true}}
	}
	return out
}

func healthCheck(c lb.UpstreamCheck, http2 bool) *core.HealthCheck {
	out := &core.HealthCheck{
		Timeout: durationpb.New(c.Timeout), Interval: durationpb.New(c.Interval),
		UnhealthyThreshold: wrapperspb.UInt32(c.Unhealthy), HealthyThreshold: wrapperspb.UInt32(c.Healthy),
	}
	if c.Path == "" {
		out.HealthChecker = &core.HealthCheck_TcpHealthCheck_{TcpHealthCheck: &core.HealthCheck_TcpHealthCheck{}}
		return out
	}
	http := &core.HealthCheck_HttpHealthCheck{Path: c.Path, Host: c.Host}
	if http2 {
		http.CodecClientType = percent.CodecClientType_HTTP2
	}
	for _, s := range c.Statuses {
		http.ExpectedStatuses = append(http.ExpectedStatuses, &percent.Int64Range{Start: int64(s.Start), End: int64(s.End)})
	}
	out.HealthChecker = &core.HealthCheck_HttpHealthCheck_{HttpHealthCheck: http}
	return out
}

// upstreamTLS trusts the CA that is given with the cluster; without one any certificate is accepted.
func upstreamTLS(u lb.Upstream, secrets map[lb.SecretRef]lb.Secret) *tls.UpstreamTlsContext {
	common := &tls.CommonTlsContext{}
	if u.Protocol == lb.TLSHTTP2 {
		common.AlpnProtocols = []string{"h2"}
	}
	if v := u.Verify; v != nil {
		validation := &tls.CertificateValidationContext{TrustedCa: inline(secrets[v.CA].CA)}
		for _, name := range v.Subjects {
			validation.MatchTypedSubjectAltNames = append(validation.MatchTypedSubjectAltNames,
				&tls.SubjectAltNameMatcher{SanType: tls.SubjectAltNameMatcher_DNS, Matcher: exactly(name)})
		}
		common.ValidationContextType = &tls.CommonTlsContext_ValidationContext{ValidationContext: validation}
	}
	return &tls.UpstreamTlsContext{Sni: u.SNI, CommonTlsContext: common}
}

func inline(pem []byte) *core.DataSource {
	return &core.DataSource{Specifier: &core.DataSource_InlineBytes{InlineBytes: pem}}
}
