package proxy

import "sync/atomic"

// Counts are what a load balancer has counted since it was first configured, under the names of its CloudWatch metrics
// (ELB "CloudWatch metrics for your Application Load Balancer").
type Counts struct {
	ClientTLSNegotiationErrorCount int64 // connections that ended before TLS was agreed on
}

type counts struct{ clientTLSErrors atomic.Int64 }

// Counts reports what a load balancer has counted; zero for one that is not configured.
func (s *Server) Counts(id LoadBalancerID) Counts {
	s.mu.Lock()
	c := s.counts[id]
	s.mu.Unlock()
	if c == nil {
		return Counts{}
	}
	return Counts{ClientTLSNegotiationErrorCount: c.clientTLSErrors.Load()}
}

// countsOf finds the counters of a load balancer. Server.mu is held.
func (s *Server) countsOf(id LoadBalancerID) *counts {
	c := s.counts[id]
	if c == nil {
		c = &counts{}
		s.counts[id] = c
	}
	return c
}

// forgetCounts drops those of load balancers that are configured no more. Server.mu is held.
func (s *Server) forgetCounts(config Config) {
	wanted := make(map[LoadBalancerID]bool, len(config.LoadBalancers))
	for i := range config.LoadBalancers {
		wanted[config.LoadBalancers[i].ID] = true
	}
	for i := range config.NetworkLoadBalancers {
		wanted[config.NetworkLoadBalancers[i].ID] = true
	}
	for id := range s.counts {
		if !wanted[id] {
			delete(s.counts, id)
		}
	}
}
