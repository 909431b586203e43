package proxy

import (
	"net/netip"
	"time"
)

// NetworkLoadBalancer is one Network Load Balancer: a node with an address of its own in each of its zones, each with
// every listener (NLB "What is a Network Load Balancer?").
type NetworkLoadBalancer struct {
	ID        LoadBalancerID
	Nodes     []Node
	CrossZone bool // load_balancing.cross_zone.enabled
	AccessLog bool // access_logs.s3.enabled: Options.Logs is told of flows of TLS
	Listeners []NetworkListener
}

// Node is a Network Load Balancer in one zone.
type Node struct {
	Zone    string
	Address netip.Addr
}

// NetworkProtocol is what a listener of a Network Load Balancer speaks.
type NetworkProtocol string

// The protocols of listeners of Network Load Balancers.
const (
	NetworkTCP     NetworkProtocol = "TCP"
	NetworkTLS     NetworkProtocol = "TLS"
	NetworkUDP     NetworkProtocol = "UDP"
	NetworkTCPUDP  NetworkProtocol = "TCP_UDP"
	NetworkQUIC    NetworkProtocol = "QUIC"
	NetworkTCPQUIC NetworkProtocol = "TCP_QUIC"
)

// ALPNPolicy says which protocols a TLS listener agrees on with its clients, and offers to targets of TLS (NLB "TLS
// listeners", ALPN policies).
type ALPNPolicy string

// The ALPN policies; the empty string means None.
const (
	ALPNNone           ALPNPolicy = "None"
	ALPNHTTP1Only      ALPNPolicy = "HTTP1Only"
	ALPNHTTP2Only      ALPNPolicy = "HTTP2Only"
	ALPNHTTP2Optional  ALPNPolicy = "HTTP2Optional"
	ALPNHTTP2Preferred ALPNPolicy = "HTTP2Preferred"
)

// NetworkListener is one port of a Network Load Balancer. Its action applies to new connections only.
type NetworkListener struct {
	ID          ListenerID
	Port        uint16
	Protocol    NetworkProtocol
	IdleTimeout time.Duration // tcp.idle_timeout.seconds, of TCP and TCP_UDP; 350 s when zero
	TLS         *TLS          // of TLS; HTTP2 does not matter
	ALPN        ALPNPolicy
	Forward     Forward
}

// NetworkGroup is what only target groups of Network Load Balancers have.
type NetworkGroup struct {
	PreserveClientIP bool // preserve_client_ip.enabled
	ProxyProtocol    bool // proxy_protocol_v2.enabled
	StickySourceIP   bool // stickiness.enabled, of type source_ip
	CrossZone        CrossZone
	// CutDeregistered ends what is left when the deregistration delay is over:
	// deregistration_delay.connection_termination.enabled.
	CutDeregistered bool
	// CutUnhealthy ends connections of a target that becomes unhealthy:
	// target_health_state.unhealthy.connection_termination.enabled.
	CutUnhealthy bool
	// UnhealthyDraining is for how long they go on otherwise: target_health_state.unhealthy.draining_interval_seconds.
	UnhealthyDraining            time.Duration
	DNSFailover, RoutingFailover Threshold // target_group_health.…
}

// CrossZone is a target group's own word about zones: a value of load_balancing.cross_zone.enabled.
type CrossZone string

// The values of load_balancing.cross_zone.enabled of target groups; the empty string means as the load balancer says.
const (
	CrossZoneOn  CrossZone = "true"
	CrossZoneOff CrossZone = "false"
)

// In tells whether targets of every zone serve, in a load balancer that has its own setting.
func (c CrossZone) In(balancer bool) bool {
	return c == CrossZoneOn || c != CrossZoneOff && balancer
}

// Threshold is how many healthy targets a zone needs (ELB "Target group health"); what is 0 is off.
type Threshold struct{ Count, Percent int }

// Met tells whether so many healthy targets of all are enough.
func (t Threshold) Met(healthy, all int) bool {
	return healthy >= t.Count && healthy*100 >= t.Percent*all
}
