package aws

import (
	"slices"

	"github.com/sluicehq/sluice/internal/lb"
)

// A network load balancer that exists decides some of what a stack leaves open, or asks for in vain: it keeps its scheme
// where nobody names one, and whether it has security groups at all was settled when it was made, also for the one that
// takes its place.

// settled returns the stack as it can be with the load balancers that there are.
func (s settings) settled(want lb.Stack, v view) (lb.Stack, []lb.Verdict) {
	var verdicts []lb.Verdict
	want.LoadBalancers = slices.Clone(want.LoadBalancers)
	for i := range want.LoadBalancers {
		b := &want.LoadBalancers[i]
		row, found := match(v.LoadBalancers, b.Name, func(r loadBalancer) (string, bool) {
			_, resource, _ := r.Tags.owner(s.cluster)
			return r.Name, resource == b.ID && r.Type == b.Type
		})
		if !found || b.Type != lb.Network {
			continue
		}
		if b.Network.SchemeFree {
			b.Scheme = row.Scheme
		}
		switch {
		case len(row.SecurityGroups) == 0:
			b.SecurityGroups, want.SecurityGroups = nil, nil
		case len(b.SecurityGroups) == 0:
			for _, member := range want.Members {
				verdicts = append(verdicts, lb.Verdict{
					Object: member, Severity: lb.Refused, Reason: lb.CloudRefused, Value: row.Name,
					Problem: "the load balancer has security groups, and AWS takes away none but with the load balancer",
					Fix:     "Let it have security groups, or delete the object and create it again",
				})
			}
		}
	}
	return want, verdicts
}

// unsecured says whether a network load balancer of the stack has no security groups, or is to have none.
func unsecured(want lb.Stack) bool {
	return slices.ContainsFunc(want.LoadBalancers, func(b lb.LoadBalancer) bool {
		return b.Type == lb.Network && len(b.SecurityGroups) == 0
	})
}

// surroundings are the addresses from which a load balancer without security groups is reached, and reaches targets.
func (n *network) surroundings(subnets []string, scheme lb.Scheme) lb.Surroundings {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.known == nil {
		return lb.Surroundings{}
	}
	out := lb.Surroundings{Known: true}
	for _, s := range n.known.Subnets {
		if slices.Contains(subnets, s.ID) {
			for _, block := range s.Blocks {
				out.Subnets = append(out.Subnets, block.String())
			}
		}
	}
	if scheme == lb.InternetFacing {
		out.Clients = []string{"0.0.0.0/0", "::/0"}
		return out
	}
	for _, block := range n.known.Blocks {
		out.Clients = append(out.Clients, block.String())
	}
	return out
}
