package envoy

import (
	"time"

	accesslog "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	fileaccess "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/file/v3"
	gzip "github.com/envoyproxy/go-control-plane/envoy/extensions/compression/gzip/compressor/v3"
	compressor "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/compressor/v3"
	cors "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/cors/v3"
	grpcstats "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/grpc_stats/v3"
	grpcweb "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/grpc_web/v3"
	ratelimit "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/local_ratelimit/v3"
	lua "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/lua/v3"
	rbac "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	proxyprotocol "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/proxy_protocol/v3"
	inspector "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/tls_inspector/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tcpproxy "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	tls "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/sluicehq/sluice/internal/lb"
)

// The shared listeners, and the route table of the one without TLS.
const (
	httpListener  = "ingress_http"
	httpsListener = "ingress_https"
)

// tableOf names the route table of a virtual host that is served over TLS.
func tableOf(host string) string { return "https/" + host }

func (o Options) plainListener() *listener.Listener {
	l := o.listener(httpListener, o.HTTPAddress, o.HTTPPort)
	l.FilterChains = []*listener.FilterChain{{Filters: []*listener.Filter{o.manager(httpListener, httpListener, nil)}}}
	return l
}

// secureListener has a filter chain for each host; Envoy picks by the name that the client asks for.
func (o Options) secureListener(chains []*listener.FilterChain) *listener.Listener {
	l := o.listener(httpsListener, o.HTTPSAddress, o.HTTPSPort)
	l.ListenerFilters = append(l.ListenerFilters, &listener.ListenerFilter{
		Name: "envoy.filters.listener.tls_inspector", ConfigType: &listener.ListenerFilter_TypedConfig{TypedConfig: packed(&inspector.TlsInspector{})},
	})
	l.FilterChains = chains
	return l
}

func (o Options) listener(name, address string, port uint16) *listener.Listener {
	l := &listener.Listener{
		Name: name, Address: socket(address, port), SocketOptions: keepAlive(), TrafficDirection: core.TrafficDirection_INBOUND,
	}
	if o.ProxyProtocol {
		l.ListenerFilters = append(l.ListenerFilters, &listener.ListenerFilter{
			Name:       "envoy.filters.listener.proxy_protocol",
			ConfigType: &listener.ListenerFilter_TypedConfig{TypedConfig: packed(&proxyprotocol.ProxyProtocol{})},
		})
	}
	return l
}

// keepAlive notices clients that have gone without a word. The numbers are Linux's.
func keepAlive() []*core.SocketOption {
	option := func(what string, level, name, value int64) *core.SocketOption {
		return &core.SocketOption{Description: what, Level: level, Name: name, Value: &core.SocketOption_IntValue{IntValue: value}, State: core.SocketOption_STATE_LISTENING}
	}
	const socketLevel, tcpLevel = 1, 6
	return []*core.SocketOption{
		option("SO_KEEPALIVE", socketLevel, 9, 1), option("TCP_KEEPIDLE", tcpLevel, 4, 45),
		option("TCP_KEEPINTVL", tcpLevel, 5, 5), option("TCP_KEEPCNT", tcpLevel, 6, 9),
	}
}

// chain serves one host over TLS.
func (o Options) chain(v lb.VirtualHost, secrets map[lb.SecretRef]lb.Secret) *listener.FilterChain {
	c := &listener.FilterChain{Name: v.Host, FilterChainMatch: &listener.FilterChainMatch{ServerNames: []string{v.Host}}}
	if v.TLS.Certificate != "" {
		c.TransportSocket = transportSocket(downstreamTLS(v, secrets))
	}
	if v.TCP != nil {
		c.Filters = []*listener.Filter{networkFilter("envoy.filters.network.tcp_proxy", o.tcp(*v.TCP))}
	} else {
		c.Filters = []*listener.Filter{o.manager(httpsListener, tableOf(v.Host), v.TLS.Client)}
	}
	return c
}

func (o Options) tcp(t lb.TCPForward) *tcpproxy.TcpProxy {
	out := &tcpproxy.TcpProxy{StatPrefix: httpsListener, IdleTimeout: durationpb.New(9001 * time.Second), AccessLog: o.accessLog(o.HTTPSAccessLog)}
	if len(t.Upstreams) == 1 {
		out.ClusterSpecifier = &tcpproxy.TcpProxy_Cluster{Cluster: string(t.Upstreams[0].ID)}
		return out
	}
	list := &tcpproxy.TcpProxy_WeightedCluster{}
	for _, u := range t.Upstreams {
		list.Clusters = append(list.Clusters, &tcpproxy.TcpProxy_WeightedCluster_ClusterWeight{Name: string(u.ID), Weight: u.Weight})
	}
	out.ClusterSpecifier = &tcpproxy.TcpProxy_WeightedClusters{WeightedClusters: list}
	return out
}

func downstreamTLS(v lb.VirtualHost, secrets map[lb.SecretRef]lb.Secret) *tls.DownstreamTlsContext {
	out := &tls.DownstreamTlsContext{CommonTlsContext: &tls.CommonTlsContext{
		TlsParams: &tls.TlsParameters{
			TlsMinimumProtocolVersion: tlsVersions[v.TLS.MinVersion], TlsMaximumProtocolVersion: tlsVersions[v.TLS.MaxVersion],
			CipherSuites: cipherSuites,
		},
		TlsCertificateSdsSecretConfigs: []*tls.SdsSecretConfig{{Name: string(v.TLS.Certificate), SdsConfig: viaADS()}},
	}}
	if v.TCP == nil {
		out.CommonTlsContext.AlpnProtocols = []string{"h2", "http/1.1"}
	}
	if c := v.TLS.Client; c != nil {
		out.RequireClientCertificate = wrapperspb.Bool(!c.Optional)
		validation := &tls.CertificateValidationContext{OnlyVerifyLeafCertCrl: c.CRLLeafOnly}
		if c.SkipVerify {
			validation.TrustChainVerification = tls.CertificateValidationContext_ACCEPT_UNTRUSTED
		} else {
			validation.TrustedCa = inline(secrets[c.CA].CA)
		}
		if c.CRL != "" {
			validation.Crl = inline(secrets[c.CRL].CRL)
		}
		out.CommonTlsContext.ValidationContextType = &tls.CommonTlsContext_ValidationContext{ValidationContext: validation}
	}
	return out
}

var tlsVersions = map[lb.TLSVersion]tls.TlsParameters_TlsProtocol{lb.TLS12: tls.TlsParameters_TLSv1_2, lb.TLS13: tls.TlsParameters_TLSv1_3}

// cipherSuites are those for TLS 1.2, with forward secrecy and authenticated encryption.
var cipherSuites = []string{
	"[ECDHE-ECDSA-AES128-GCM-SHA256|ECDHE-ECDSA-CHACHA20-POLY1305]", "[ECDHE-RSA-AES128-GCM-SHA256|ECDHE-RSA-CHACHA20-POLY1305]",
	"ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384",
}

// manager serves HTTP by a route table.
func (o Options) manager(listenerName, table string, client *lb.ClientValidation) *listener.Filter {
	access := o.HTTPAccessLog
	if listenerName == httpsListener {
		access = o.HTTPSAccessLog
	}
	m := &hcm.HttpConnectionManager{
		StatPrefix: listenerName, CodecType: hcm.HttpConnectionManager_AUTO,
		RouteSpecifier:            &hcm.HttpConnectionManager_Rds{Rds: &hcm.Rds{ConfigSource: viaADS(), RouteConfigName: table}},
		HttpFilters:               httpFilters(),
		HttpProtocolOptions:       &core.Http1ProtocolOptions{AcceptHttp_10: true, AllowChunkedLength: true},
		CommonHttpProtocolOptions: &core.HttpProtocolOptions{IdleTimeout: durationpb.New(time.Minute)},
		UseRemoteAddress:          wrapperspb.Bool(true), XffNumTrustedHops: o.TrustedHops,
		NormalizePath: wrapperspb.Bool(true), MergeSlashes: true, PreserveExternalRequestId: true,
		ServerHeaderTransformation: hcm.HttpConnectionManager_OVERWRITE,
		AccessLog:                  o.accessLog(access),
	}
	if client != nil && client.Forwards() {
		m.ForwardClientCertDetails = hcm.HttpConnectionManager_SANITIZE_SET
		m.SetCurrentClientCertDetails = &hcm.HttpConnectionManager_SetCurrentClientCertDetails{
			Subject: wrapperspb.Bool(client.ForwardSubject), Cert: client.ForwardCert, Chain: client.ForwardChain, Dns: client.ForwardDNSNames, Uri: client.ForwardURI,
		}
	}
	return networkFilter(managerFilter, m)
}

func (o Options) accessLog(path string) []*accesslog.AccessLog {
	if path == "" {
		return nil
	}
	return []*accesslog.AccessLog{{
		Name: "envoy.access_loggers.file", ConfigType: &accesslog.AccessLog_TypedConfig{TypedConfig: packed(&fileaccess.FileAccessLog{Path: path})},
	}}
}

// httpFilters are the same for all: what a route or virtual host wants of them stands there.
func httpFilters() []*hcm.HttpFilter {
	compress := &compressor.Compressor{CompressorLibrary: &core.TypedExtensionConfig{Name: "gzip", TypedConfig: packed(&gzip.Gzip{})}}
	return []*hcm.HttpFilter{
		httpFilter("envoy.filters.http.compressor", compress),
		httpFilter("envoy.filters.http.grpc_web", &grpcweb.GrpcWeb{}),
		httpFilter("envoy.filters.http.grpc_stats", &grpcstats.FilterConfig{EmitFilterState: true}),
		httpFilter(corsFilter, &cors.Cors{}),
		httpFilter(limitFilter, &ratelimit.LocalRateLimit{StatPrefix: "http"}),
		httpFilter(luaFilter, &lua.Lua{}),
		httpFilter(rbacFilter, &rbac.RBAC{}),
		routerFilter(),
	}
}

// plainTable is the route table of the listener without TLS. Its virtual hosts come one by one, so that a change of one
// does not send them all.
func plainTable() *route.RouteConfiguration {
	t := table(httpListener)
	t.Vhds = &route.Vhds{ConfigSource: viaADS()}
	return t
}

// secureTable is the route table of one host. A request for another host, which a client sends when it uses an HTTP/2
// connection for several, would go by this host's TLS settings: it is told to open a connection of its own.
func secureTable(v lb.VirtualHost) *route.RouteConfiguration {
	t := table(tableOf(v.Host))
	t.VirtualHosts = []*route.VirtualHost{secureHost(v)}
	if v.Host != "*" {
		t.VirtualHosts = append(t.VirtualHosts, &route.VirtualHost{
			Name: "misdirected", Domains: []string{"*"},
			Routes: []*route.Route{{
				Match: &route.RouteMatch{PathSpecifier: &route.RouteMatch_Prefix{Prefix: "/"}},
				Action: &route.Route_DirectResponse{DirectResponse: &route.DirectResponseAction{
					Status: 421, Body: &core.DataSource{Specifier: &core.DataSource_InlineString{InlineString: "misdirected request to " + v.Host}},
				}},
			}},
		})
	}
	return t
}

func table(name string) *route.RouteConfiguration {
	return &route.RouteConfiguration{
		Name: name, IgnorePortInHostMatching: true,
		RequestHeadersToAdd: []*core.HeaderValueOption{{
			Header:       &core.HeaderValue{Key: "x-request-start", Value: "t=%START_TIME(%s.%3f)%"},
			AppendAction: core.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
		}},
	}
}
