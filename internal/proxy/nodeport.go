package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"
)

// nodeFront is a listener of a Network Load Balancer at one of its nodes, compiled for serving: immutable, and replaced as
// a whole. A flow uses the one it began with.
type nodeFront struct {
	balancer  LoadBalancerID
	listener  ListenerID
	protocol  NetworkProtocol
	at        netip.AddrPort
	zone      string
	idle      time.Duration
	tls       *terminator // nil where TLS is not ended here
	alpn      ALPNPolicy
	forward   action
	counts    *flowCounts
	accessLog bool
}

// nodePort is a port of a node; TCP and UDP have ports of their own.
type nodePort struct {
	network string // tcp or udp
	at      netip.AddrPort
}

// nodeSocket is an open port of a node.
type nodeSocket interface {
	// serves says what new flows get.
	serves(front *nodeFront)
	front() *nodeFront
	// close frees the port at once and ends its flows.
	close()
}

// networks are the transports of a protocol.
func (p NetworkProtocol) networks() []string {
	switch p {
	case NetworkTCPUDP, NetworkTCPQUIC:
		return []string{"tcp", "udp"}
	case NetworkUDP, NetworkQUIC:
		return []string{"udp"}
	}
	return []string{"tcp"}
}

// forNetwork tells the protocols of target groups of Network Load Balancers.
func forNetwork(protocol string) bool {
	switch NetworkProtocol(protocol) {
	case NetworkTCP, NetworkTLS, NetworkUDP, NetworkTCPUDP, NetworkQUIC, NetworkTCPQUIC:
		return true
	}
	return false
}

// tcpIdle is for how long a TCP flow may be quiet when nothing else is said (NLB "Listeners", Connection idle timeout).
const tcpIdle = 350 * time.Second

// nodeFronts compiles the listeners of Network Load Balancers. Server.mu is held.
func (s *Server) nodeFronts(config Config) (fronts map[nodePort]*nodeFront, order []nodePort, errs []error) {
	fronts = map[nodePort]*nodeFront{}
	for i := range config.NetworkLoadBalancers {
		b := &config.NetworkLoadBalancers[i]
		for j := range b.Listeners {
			l := &b.Listeners[j]
			compiled, err := s.compileNetworkListener(b, l)
			if err != nil {
				errs = append(errs, fmt.Errorf("proxy: listener %s: %w", l.ID, err))
			}
			for _, node := range b.Nodes {
				front := compiled
				front.zone, front.at = node.Zone, netip.AddrPortFrom(node.Address, l.Port)
				for _, network := range l.Protocol.networks() {
					at := nodePort{network, front.at}
					if other := fronts[at]; other != nil {
						errs = append(errs, fmt.Errorf("proxy: listener %s: %s is taken by listener %s", l.ID, at.at, other.listener))
						continue
					}
					fronts[at] = &front
					order = append(order, at)
				}
			}
		}
	}
	return fronts, order, errs
}

func (s *Server) compileNetworkListener(b *NetworkLoadBalancer, l *NetworkListener) (nodeFront, error) {
	f := nodeFront{
		balancer: b.ID, listener: l.ID, protocol: l.Protocol, idle: orElse(l.IdleTimeout, tcpIdle), alpn: l.ALPN, counts: s.flowCountsOf(b.ID), accessLog: b.AccessLog,
	}
	var err, trouble error
	if f.forward, err = compileAction(Action{Forward: &l.Forward}, s.groups); err != nil {
		err = fmt.Errorf("default action: %w", err)
	}
	if l.TLS != nil {
		f.tls, trouble = s.networkTerminator(b, l)
	}
	return f, errors.Join(err, trouble)
}

// networkTerminator makes a terminator, or takes the one that the listener has.
func (s *Server) networkTerminator(b *NetworkLoadBalancer, l *NetworkListener) (*terminator, error) {
	section := *l.TLS
	section.Network, section.HTTP2 = true, false
	for _, node := range b.Nodes {
		socket := s.nodes[nodePort{"tcp", netip.AddrPortFrom(node.Address, l.Port)}]
		if socket == nil {
			continue
		}
		if before := socket.front(); before.tls != nil && before.alpn == l.ALPN && before.tls.section.equal(&section) {
			return before.tls, nil
		}
	}
	t, err := newTerminator(&section, nil, s.clock)
	t.config.NextProtos = l.ALPN.protocols()
	return t, err
}

// protocols are what a policy agrees on, what it likes best first.
func (p ALPNPolicy) protocols() []string {
	switch p {
	case ALPNHTTP1Only:
		return []string{"http/1.1", "http/1.0"}
	case ALPNHTTP2Only:
		return []string{"h2"}
	case ALPNHTTP2Optional:
		return []string{"http/1.1", "http/1.0", "h2"}
	case ALPNHTTP2Preferred:
		return []string{"h2", "http/1.1", "http/1.0"}
	}
	return nil
}

// replaceNodes hands open ports what they serve now and takes out those that are not wanted. Server.mu is held.
func (s *Server) replaceNodes(fronts map[nodePort]*nodeFront) (closing []closer) {
	for at, socket := range s.nodes {
		if front := fronts[at]; front != nil {
			socket.serves(front)
			continue
		}
		delete(s.nodes, at)
		closing = append(closing, socket)
	}
	return closing
}

// openNode opens a port unless it is open already.
func (s *Server) openNode(at nodePort, front *nodeFront) error {
	s.mu.Lock()
	have := s.nodes[at]
	s.mu.Unlock()
	if have != nil {
		return nil
	}
	var socket nodeSocket
	if at.network == "udp" {
		packets, err := (&net.ListenConfig{}).ListenPacket(s.context, "udp", at.at.String())
		if err != nil {
			return err
		}
		socket = newDatagrams(s, packets.(*net.UDPConn), front)
	} else {
		listener, err := s.listen(s.context, "tcp", at.at.String())
		if err != nil {
			return err
		}
		socket = newFlows(s, listener, front)
	}
	s.mu.Lock()
	s.nodes[at] = socket
	s.mu.Unlock()
	return nil
}

// scope is where the Network Load Balancer of a target group is; its zero value is that of a group of another.
type scope struct {
	crossZone bool
	nodes     []scopeNode
}

// scopeNode is a zone, and what health checks call the node there.
type scopeNode struct {
	zone string
	host netip.AddrPort
}

func (s scope) equal(o scope) bool {
	return s.crossZone == o.crossZone && slices.Equal(s.nodes, o.nodes)
}

// enabled says whether a load balancer has a node in a target's zone.
func (s scope) enabled(zone string) bool {
	return len(s.nodes) == 0 || everyZone(zone) || slices.ContainsFunc(s.nodes, func(n scopeNode) bool { return n.zone == zone })
}

// host is the Host of health checks: the node in the target's zone, or the first.
func (s scope) host(zone string) string {
	for _, n := range s.nodes {
		if n.zone == zone {
			return n.host.String()
		}
	}
	if len(s.nodes) > 0 {
		return s.nodes[0].host.String()
	}
	return ""
}

func everyZone(zone string) bool { return zone == "" || zone == "all" }

// scopes finds the load balancers of target groups.
func (c *Config) scopes() map[TargetGroupID]scope {
	out := map[TargetGroupID]scope{}
	for i := range c.NetworkLoadBalancers {
		b := &c.NetworkLoadBalancers[i]
		for _, l := range b.Listeners {
			at := scope{crossZone: b.CrossZone}
			for _, n := range b.Nodes {
				at.nodes = append(at.nodes, scopeNode{n.Zone, netip.AddrPortFrom(n.Address, l.Port)})
			}
			for _, w := range l.Forward.TargetGroups {
				if _, known := out[w.ID]; !known {
					out[w.ID] = at
				}
			}
		}
	}
	return out
}

type dialFromFunc func(ctx context.Context, network, address string, from netip.Addr) (net.Conn, error)

// DialFrom connects from an address of this machine, or from the machine's choice where none is given.
func DialFrom(ctx context.Context, network, address string, from netip.Addr) (net.Conn, error) {
	var d net.Dialer
	switch {
	case !from.IsValid():
	case network == "udp":
		d.LocalAddr = &net.UDPAddr{IP: from.AsSlice()}
	default:
		d.LocalAddr = &net.TCPAddr{IP: from.AsSlice()}
	}
	return d.DialContext(ctx, network, address)
}
