package localaws

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/sluicehq/sluice/internal/proxy"
)

// balancerNamed finds a load balancer by its DNS name, also with the prefix "dualstack.", in any case of letters. A name
// that begins with a zone of a Network Load Balancer leads to that one's node alone.
func (s *state) balancerNamed(name string) (loadBalancer, bool) {
	b, _, found := s.balancerZone(name)
	return b, found
}

func (s *state) balancerZone(name string) (b loadBalancer, zone string, found bool) {
	name = strings.TrimPrefix(strings.TrimSuffix(strings.ToLower(name), "."), "dualstack.")
	for _, b := range s.loadBalancers.all() {
		prefix, ok := strings.CutSuffix(name, strings.ToLower(*b.Wire.DNSName))
		zone := strings.TrimSuffix(prefix, ".")
		if ok && (prefix == "" || prefix == zone+"." && b.Nodes[zone].IsValid()) {
			return b, zone, true
		}
	}
	return loadBalancer{}, "", false
}

// balancerAddresses is what a load balancer's name leads to: of a Network Load Balancer the nodes in healthy zones, or
// all where none is healthy (NLB "Target group health"). A zonal name leads to its node in any case.
func (s *Server) balancerAddresses(name string) (addresses []netip.Addr, found bool) {
	b, zone, found := s.state.balancerZone(name)
	switch {
	case !found:
		return nil, false
	case zone != "":
		return []netip.Addr{b.Nodes[zone]}, true
	case !b.network():
		return []netip.Addr{b.Address}, true
	}
	var all []netip.Addr
	zones := s.healthyZones(b)
	for _, z := range b.Wire.AvailabilityZones {
		all = append(all, b.Nodes[*z.ZoneName])
		if zones[*z.ZoneName] {
			addresses = append(addresses, b.Nodes[*z.ZoneName])
		}
	}
	if len(addresses) == 0 {
		return all, true
	}
	return addresses, true
}

// healthyZones are those in which every target group has as many healthy targets as it wants for DNS.
// A zone that is dark is not one.
func (s *Server) healthyZones(b loadBalancer) map[string]bool {
	zones := map[string]bool{}
	for _, z := range b.Wire.AvailabilityZones {
		zones[*z.ZoneName] = !s.isDark(*z.ZoneName)
	}
	seen := map[string]bool{}
	for _, l := range s.state.listeners.find(func(l listener) bool { return l.balancer() == b.arn() }) {
		for _, arn := range groupsOf(l.Wire.DefaultActions) {
			if g, ok := s.state.targetGroups.get(arn); ok && !seen[arn] {
				seen[arn] = true
				s.judgeZones(zones, b, g)
			}
		}
	}
	return zones
}

// judgeZones takes away the zones in which a target group has too few healthy targets. Targets of no zone are in each.
func (s *Server) judgeZones(zones map[string]bool, b loadBalancer, g targetGroup) {
	p := proxy.TargetGroup{ID: proxy.TargetGroupID(g.arn())}
	planeNetworkGroup(&p, g)
	crossZone := p.Network.CrossZone.In(b.Attributes["load_balancing.cross_zone.enabled"] == "true")
	states := map[proxy.TargetKey]string{}
	for _, h := range s.plane.Health(p.ID) {
		states[h.Target] = h.State
	}
	healthy, all := map[string]int{}, map[string]int{}
	for _, t := range g.Targets {
		at, ok := s.planeTarget(t)
		if !ok || states[t.key()] == "unused" {
			continue
		}
		for zone := range zones {
			if crossZone || slices.Contains([]string{zone, "", "all"}, at.Zone) {
				all[zone]++
				if states[t.key()] == "healthy" {
					healthy[zone]++
				}
			}
		}
	}
	for zone := range zones {
		if !p.Network.DNSFailover.Met(healthy[zone], all[zone]) {
			zones[zone] = false
		}
	}
}

func addressRecords(owner string, addresses []netip.Addr) []dns.RR {
	var out []dns.RR
	for _, a := range addresses {
		out = append(out, &dns.A{
			Hdr: dns.RR_Header{Name: owner, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: dnsTTL}, A: a.AsSlice(),
		})
	}
	return out
}
