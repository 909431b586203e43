package envoy

import (
	"cmp"
	"net/netip"
	"path/filepath"
	"time"

	bootstrap "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	overload "github.com/envoyproxy/go-control-plane/envoy/config/overload/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	connections "github.com/envoyproxy/go-control-plane/envoy/extensions/resource_monitors/downstream_connections/v3"
	heap "github.com/envoyproxy/go-control-plane/envoy/extensions/resource_monitors/fixed_heap/v3"
	tls "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	percent "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// Bootstrap is what an Envoy of the fleet starts with: where the control plane is, and what it serves by itself.
type Bootstrap struct {
	XDSHost      string
	XDSPort      uint16
	AdminSocket  string // path of a unix socket
	StatsAddress string // of the listener with /ready and /stats
	StatsPort    uint16

	// CA, Certificate and Key are files for mutual TLS with the control plane; all empty for clear text. Envoy reads them
	// again when their directory changes.
	CA, Certificate, Key string
	ServerName           string // in the control plane's certificate

	MaxHeap        uint64 // bytes from which load is shed; zero for no limit
	MaxConnections uint64 // of clients; zero for no limit
}

const (
	xdsCluster   = "sluice"
	adminCluster = "envoy-admin"
	statsName    = "stats" // of the listener for statistics, in statistics
)

// JSON is the file that Envoy is started with.
func (b Bootstrap) JSON() ([]byte, error) {
	ads := &core.ConfigSource{ResourceApiVersion: core.ApiVersion_V3, ConfigSourceSpecifier: &core.ConfigSource_Ads{Ads: &core.AggregatedConfigSource{}}}
	config := &bootstrap.Bootstrap{
		DynamicResources: &bootstrap.Bootstrap_DynamicResources{
			LdsConfig: ads, CdsConfig: ads,
			AdsConfig: &core.ApiConfigSource{
				ApiType: core.ApiConfigSource_DELTA_GRPC, TransportApiVersion: core.ApiVersion_V3,
				GrpcServices: []*core.GrpcService{{
					Timeout:         durationpb.New(5 * time.Second),
					TargetSpecifier: &core.GrpcService_EnvoyGrpc_{EnvoyGrpc: &core.GrpcService_EnvoyGrpc{ClusterName: xdsCluster, Authority: xdsCluster}},
				}},
				SetNodeOnFirstMessageOnly: true,
			},
		},
		StaticResources: &bootstrap.Bootstrap_StaticResources{
			Clusters:  []*cluster.Cluster{b.controlPlane(), b.admin()},
			Listeners: []*listener.Listener{b.stats()},
		},
		Admin: &bootstrap.Admin{Address: pipe(b.AdminSocket)},
		LayeredRuntime: &bootstrap.LayeredRuntime{Layers: []*bootstrap.RuntimeLayer{
			{Name: "base", LayerSpecifier: &bootstrap.RuntimeLayer_StaticLayer{StaticLayer: regexLimits()}},
			{Name: "admin", LayerSpecifier: &bootstrap.RuntimeLayer_AdminLayer_{AdminLayer: &bootstrap.RuntimeLayer_AdminLayer{}}},
		}},
		OverloadManager: b.overload(),
	}
	return jsonOf(config)
}

// regexLimits let users' regular expressions be as large as validated.
func regexLimits() *structpb.Struct {
	return &structpb.Struct{Fields: map[string]*structpb.Value{
		"re2.max_program_size.error_level": structpb.NewNumberValue(1 << 20),
		"re2.max_program_size.warn_level":  structpb.NewNumberValue(1000),
	}}
}

// controlPlane is the cluster that configuration comes from.
func (b Bootstrap) controlPlane() *cluster.Cluster {
	unlimited := func(p core.RoutingPriority) *cluster.CircuitBreakers_Thresholds {
		return &cluster.CircuitBreakers_Thresholds{
			Priority: p, MaxConnections: wrapperspb.UInt32(100_000), MaxPendingRequests: wrapperspb.UInt32(100_000),
			MaxRequests: wrapperspb.UInt32(60_000_000), MaxRetries: wrapperspb.UInt32(50),
		}
	}
	c := &cluster.Cluster{
		Name: xdsCluster, ConnectTimeout: durationpb.New(5 * time.Second),
		ClusterDiscoveryType: &cluster.Cluster_Type{Type: cluster.Cluster_STRICT_DNS},
		LoadAssignment:       assignment(xdsCluster, socket(b.XDSHost, b.XDSPort)),
		UpstreamConnectionOptions: &cluster.UpstreamConnectionOptions{TcpKeepalive: &core.TcpKeepalive{
			KeepaliveProbes: wrapperspb.UInt32(3), KeepaliveTime: wrapperspb.UInt32(30), KeepaliveInterval: wrapperspb.UInt32(5),
		}},
		CircuitBreakers: &cluster.CircuitBreakers{Thresholds: []*cluster.CircuitBreakers_Thresholds{
			unlimited(core.RoutingPriority_DEFAULT), unlimited(core.RoutingPriority_HIGH),
		}},
		TypedExtensionProtocolOptions: protocolOptions(true, nil),
	}
	if _, err := netip.ParseAddr(b.XDSHost); err == nil {
		c.ClusterDiscoveryType = &cluster.Cluster_Type{Type: cluster.Cluster_STATIC}
	}
	if b.CA != "" {
		c.TransportSocket = transportSocket(b.clientTLS())
	}
	return c
}

func (b Bootstrap) clientTLS() *tls.UpstreamTlsContext {
	file := func(path string) *core.DataSource {
		return &core.DataSource{
			Specifier:        &core.DataSource_Filename{Filename: path},
			WatchedDirectory: &core.WatchedDirectory{Path: filepath.Dir(path)},
		}
	}
	name := cmp.Or(b.ServerName, xdsCluster)
	return &tls.UpstreamTlsContext{
		Sni: name,
		CommonTlsContext: &tls.CommonTlsContext{
			TlsParams: &tls.TlsParameters{TlsMinimumProtocolVersion: tls.TlsParameters_TLSv1_3, TlsMaximumProtocolVersion: tls.TlsParameters_TLSv1_3},
			TlsCertificates: []*tls.TlsCertificate{{
				CertificateChain: file(b.Certificate), PrivateKey: file(b.Key),
				WatchedDirectory: &core.WatchedDirectory{Path: filepath.Dir(b.Certificate)},
			}},
			ValidationContextType: &tls.CommonTlsContext_ValidationContext{ValidationContext: &tls.CertificateValidationContext{
				TrustedCa: file(b.CA), WatchedDirectory: &core.WatchedDirectory{Path: filepath.Dir(b.CA)},
				MatchTypedSubjectAltNames: []*tls.SubjectAltNameMatcher{{
					SanType: tls.SubjectAltNameMatcher_DNS, Matcher: exactly(name),
				}},
			}},
		},
	}
}

func (b Bootstrap) admin() *cluster.Cluster {
	return &cluster.Cluster{
		Name: adminCluster, ConnectTimeout: durationpb.New(250 * time.Millisecond),
		ClusterDiscoveryType: &cluster.Cluster_Type{Type: cluster.Cluster_STATIC},
		LoadAssignment:       assignment(adminCluster, pipe(b.AdminSocket)),
	}
}

// stats is a listener by which others see whether Envoy is ready and how it does; the rest of its admin interface is
// for its own machine.
func (b Bootstrap) stats() *listener.Listener {
	var routes []*route.Route
	for _, path := range []string{"/ready", "/stats", "/stats/prometheus"} {
		routes = append(routes, &route.Route{
			Match: &route.RouteMatch{
				PathSpecifier: &route.RouteMatch_Path{Path: path},
				Headers:       []*route.HeaderMatcher{headerIs(":method", exactly("GET"))},
			},
			Action: &route.Route_Route{Route: &route.RouteAction{ClusterSpecifier: &route.RouteAction_Cluster{Cluster: adminCluster}}},
		})
	}
	manager := &hcm.HttpConnectionManager{
		StatPrefix: "stats", CodecType: hcm.HttpConnectionManager_AUTO,
		RouteSpecifier: &hcm.HttpConnectionManager_RouteConfig{RouteConfig: &route.RouteConfiguration{
			VirtualHosts: []*route.VirtualHost{{Name: "stats", Domains: []string{"*"}, Routes: routes}},
		}},
		HttpFilters: []*hcm.HttpFilter{routerFilter()},
	}
	return &listener.Listener{
		Name: "stats-health", StatPrefix: statsName, Address: socket(cmp.Or(b.StatsAddress, "0.0.0.0"), b.StatsPort),
		FilterChains: []*listener.FilterChain{{Filters: []*listener.Filter{networkFilter(managerFilter, manager)}}},
	}
}

func (b Bootstrap) overload() *overload.OverloadManager {
	if b.MaxHeap == 0 && b.MaxConnections == 0 {
		return nil
	}
	manager := &overload.OverloadManager{RefreshInterval: durationpb.New(250 * time.Millisecond)}
	if b.MaxHeap > 0 {
		const name = "envoy.resource_monitors.fixed_heap"
		manager.ResourceMonitors = append(manager.ResourceMonitors, &overload.ResourceMonitor{
			Name: name, ConfigType: &overload.ResourceMonitor_TypedConfig{TypedConfig: packed(&heap.FixedHeapConfig{MaxHeapSizeBytes: b.MaxHeap})},
		})
		act := func(action string, threshold float64) {
			manager.Actions = append(manager.Actions, &overload.OverloadAction{Name: action, Triggers: []*overload.Trigger{{
				Name: name, TriggerOneof: &overload.Trigger_Threshold{Threshold: &overload.ThresholdTrigger{Value: threshold}},
			}}})
		}
		act("envoy.overload_actions.shrink_heap", 0.95)
		act("envoy.overload_actions.stop_accepting_requests", 0.98)
	}
	if b.MaxConnections > 0 {
		manager.ResourceMonitors = append(manager.ResourceMonitors, &overload.ResourceMonitor{
			Name: "envoy.resource_monitors.global_downstream_max_connections",
			ConfigType: &overload.ResourceMonitor_TypedConfig{TypedConfig: packed(&connections.DownstreamConnectionsConfig{
				MaxActiveDownstreamConnections: int64(b.MaxConnections),
			})},
		})
	}
	return manager
}

func assignment(name string, address *core.Address) *endpoint.ClusterLoadAssignment {
	return &endpoint.ClusterLoadAssignment{ClusterName: name, Endpoints: []*endpoint.LocalityLbEndpoints{{
		LbEndpoints: []*endpoint.LbEndpoint{{HostIdentifier: &endpoint.LbEndpoint_Endpoint{Endpoint: &endpoint.Endpoint{Address: address}}}},
	}}}
}

func socket(host string, port uint16) *core.Address {
	return &core.Address{Address: &core.Address_SocketAddress{SocketAddress: &core.SocketAddress{
		Address: host, PortSpecifier: &core.SocketAddress_PortValue{PortValue: uint32(port)}, Ipv4Compat: host == "::",
	}}}
}

func pipe(path string) *core.Address {
	return &core.Address{Address: &core.Address_Pipe{Pipe: &core.Pipe{Path: path, Mode: 0o644}}}
}

func exactly(value string) *matcher.StringMatcher {
	return &matcher.StringMatcher{MatchPattern: &matcher.StringMatcher_Exact{Exact: value}}
}

func headerIs(name string, value *matcher.StringMatcher) *route.HeaderMatcher {
	return &route.HeaderMatcher{Name: name, HeaderMatchSpecifier: &route.HeaderMatcher_StringMatch{StringMatch: value}}
}

func whole(value uint32) *percent.FractionalPercent {
	return &percent.FractionalPercent{Numerator: value, Denominator: percent.FractionalPercent_HUNDRED}
}
