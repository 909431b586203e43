package localaws

import (
	"context"
	"net"
	"net/netip"
	"slices"

	"github.com/sluicehq/sluice/internal/proxy"
)

// darken finds the targets that are in a zone that is dark: connections to them get no answer, so that health checks
// time out and requests fail as they do when a zone is lost. Connections that are open stay so until they end.
func (s *Server) darken() {
	if !slices.ContainsFunc(s.Faults(), func(f NamedFault) bool { return f.Effect == EffectDark }) {
		s.dark.Store(nil)
		return
	}
	dark := map[netip.Addr]bool{}
	for _, g := range s.state.targetGroups.all() {
		for _, t := range g.Targets {
			address, zone := t.ID, t.Zone
			if i, ok := s.state.instances.get(t.ID); ok {
				address, zone = i.PrivateIP, i.Zone
			}
			if a, err := netip.ParseAddr(address); err == nil && s.isDark(zone) {
				dark[a] = true
			}
		}
	}
	s.dark.Store(&dark)
}

// isDark tells whether a fault has darkened a zone.
func (s *Server) isDark(zone string) bool {
	return slices.ContainsFunc(s.Faults(), func(f NamedFault) bool { return f.Effect == EffectDark && f.Zone == zone })
}

// dialTarget connects to a target.
func (s *Server) dialTarget(ctx context.Context, network, address string) (net.Conn, error) {
	return s.dialTargetFrom(ctx, network, address, netip.Addr{})
}

// dialTargetFrom connects to a target, from a client's address where one is given, and waits in vain for one in a dark
// zone.
func (s *Server) dialTargetFrom(ctx context.Context, network, address string, from netip.Addr) (net.Conn, error) {
	if dark := s.dark.Load(); dark != nil {
		if at, err := netip.ParseAddrPort(address); err == nil && (*dark)[at.Addr().Unmap()] {
			<-ctx.Done()
			return nil, ctx.Err()
		}
	}
	return proxy.DialFrom(ctx, network, address, from)
}
