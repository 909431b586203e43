package proxy

import (
	"context"
	"hash/maphash"
	"net"
	"net/netip"
	"slices"
)

// networkChoice is the targets that may get flows now, in the scopes that nodes choose from. It is immutable.
type networkChoice struct {
	settings NetworkGroup
	all      []*target            // across zones, nil where each node has those of its zone
	zones    map[string][]*target // those of a zone, with those of no zone
	rest     []*target            // in zones that have no targets of their own
	ailing   map[*target]bool     // those among them that are not healthy
	servers  map[string]*target   // by the server id in connection ids of QUIC
}

// in lists the targets for the node of a zone.
func (c *networkChoice) in(zone string) []*target {
	if c.all != nil {
		return c.all
	}
	if own, ok := c.zones[zone]; ok {
		return own
	}
	return c.rest
}

// chooseNetwork publishes the choice of a Network Load Balancer's group. In each scope it is the healthy targets, or all
// where these are too few (NLB "Target group health", Unhealthy state routing). Server.mu is held.
func (g *group) chooseNetwork() {
	c := &networkChoice{settings: g.config.Network, zones: map[string][]*target{}, servers: map[string]*target{}, ailing: map[*target]bool{}}
	var all []*target
	for _, t := range g.targets {
		if !t.health.unused() {
			all = append(all, t)
		}
		if t.quicServer != "" {
			c.servers[t.quicServer] = t
		}
	}
	for _, t := range g.draining {
		if t.quicServer != "" && c.servers[t.quicServer] == nil {
			c.servers[t.quicServer] = t // for flows that are there
		}
	}
	slices.SortFunc(all, func(a, b *target) int { return a.key.compare(b.key) })
	if g.config.Network.CrossZone.In(g.scope.crossZone) {
		c.all = c.usable(all)
	} else {
		for _, t := range all {
			if !everyZone(t.zone) {
				c.zones[t.zone] = nil
			}
		}
		for zone := range c.zones {
			c.zones[zone] = c.usable(slices.DeleteFunc(slices.Clone(all), func(t *target) bool { return t.zone != zone && !everyZone(t.zone) }))
		}
		c.rest = c.usable(slices.DeleteFunc(slices.Clone(all), func(t *target) bool { return !everyZone(t.zone) }))
	}
	g.network.Store(c)
}

func (c *networkChoice) usable(targets []*target) []*target {
	var out []*target
	for _, t := range targets {
		if t.health.state == healthy || t.health.state == unavailable {
			out = append(out, t)
		}
	}
	if len(out) == len(targets) {
		return out
	}
	if len(out) == 0 || !c.settings.RoutingFailover.Met(len(out), len(targets)) {
		for _, t := range targets {
			if !slices.Contains(out, t) {
				c.ailing[t] = true
			}
		}
		return targets
	}
	return out
}

// gives says whether a target still gets flows.
func (c *networkChoice) gives(t *target) bool {
	if c.all != nil {
		return slices.Contains(c.all, t)
	}
	return slices.Contains(c.rest, t) || slices.Contains(c.zones[t.zone], t)
}

// maxFlows is how many flows a target's address and port can have: each needs a port at the load balancer
// (NLB "Client IP preservation").
const maxFlows = 55_000

// acquire picks the target of a new flow and counts it there; nil when there is none. The same client has the same
// target where it is to stay with one, else flows spread by their hash.
func (s *Server) acquire(front *nodeFront, client netip.AddrPort) (*target, NetworkGroup) {
	g := front.forward.group()
	for g != nil {
		c := g.network.Load()
		if c == nil {
			break
		}
		targets := c.in(front.zone)
		if len(targets) == 0 {
			break
		}
		var t *target
		if c.settings.StickySourceIP && (front.tls == nil || !targets[0].tls) { // NLB "Sticky sessions": not from TLS to TLS
			t = s.stick(targets, client.Addr())
		} else {
			t = targets[s.hash(client.String(), front.at.String(), string(front.protocol))%uint64(len(targets))]
		}
		if t.inflight.Load() >= maxFlows {
			front.counts.add(portTrouble)
			break
		}
		if t.enter() {
			if c.ailing[t] {
				front.counts.add(unhealthyRouting)
			}
			return t, c.settings
		} // or else it left just now, so there is a newer choice without it
	}
	front.counts.add(rejectedFlows)
	return nil, NetworkGroup{}
}

// stick finds a client's target: of all the one with the highest score, so that only the clients of a target that goes
// move, and only to a target that comes.
func (s *Server) stick(targets []*target, client netip.Addr) *target {
	var best *target
	var most uint64
	who := client.String()
	for _, t := range targets {
		if score := s.hash(who, t.key.ID, t.address.String()); best == nil || score > most {
			best, most = t, score
		}
	}
	return best
}

func (s *Server) hash(parts ...string) uint64 {
	var h maphash.Hash
	h.SetSeed(s.seed)
	for _, p := range parts {
		_, _ = h.WriteString(p) // never fails
		_ = h.WriteByte(0)
	}
	return h.Sum64()
}

// reach connects to a target for a client, from the client's own address where that is wanted and can be: where both are
// on this machine, or neither is.
func (s *Server) reach(ctx context.Context, network string, t *target, settings NetworkGroup, client netip.Addr) (net.Conn, error) {
	target := t.address.Addr()
	if settings.PreserveClientIP && client.Is4() == target.Is4() && client.IsLoopback() && target.IsLoopback() {
		if conn, err := s.dialFrom(ctx, network, t.address.String(), client); err == nil || !isAddressTrouble(err) {
			return conn, err
		}
	}
	return s.dial(ctx, network, t.address.String())
}
