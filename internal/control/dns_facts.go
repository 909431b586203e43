package control

import (
	"context"
	"fmt"
	"slices"

	"github.com/sluicehq/sluice/internal/compile"
	"github.com/sluicehq/sluice/internal/dns"
	"github.com/sluicehq/sluice/internal/lb"
	"github.com/sluicehq/sluice/internal/plan"
)

// Between load balancers and names: what names need to know of load balancers, and that names go before them.

// use ties the loop over names to a controller that makes load balancers.
func (c *Controller) use(names *Names) {
	if names == nil {
		return
	}
	c.names = names
	names.facts, names.loaded = c, c.known
}

// owns says whether an object's load balancer is one that we make.
func (c *Controller) owns(ctx context.Context, o lb.Object) (bool, error) {
	objects, err := c.snapshots.take(ctx)
	if err != nil {
		return false, err
	}
	return compile.Ours(objects.Objects, c.options.Compile, o), nil
}

// balancersOf asks the engine, from memory.
func (c *Controller) balancersOf(ctx context.Context, objects []lb.Object) (dns.Balancers, error) {
	picture, err := c.snapshots.take(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the caches: %w", err)
	}
	out := dns.Balancers{}
	seen := map[lb.StackID]bool{}
	for _, o := range objects {
		for _, id := range compile.StacksUsing(picture.Objects, c.options.Compile, o) {
			if seen[id] {
				continue
			}
			seen[id] = true
			for _, b := range allOf(c.options.Engine.Observe(id)) {
				if host, err := dns.ParseName(b.DNSName); err == nil {
					out[host] = dns.Balancer{Zone: dns.ZoneID(b.ZoneID), DualStack: b.IPAddressType != lb.IPv4, Active: b.Active}
				}
			}
		}
	}
	return out, nil
}

func allOf(observed lb.Observed) []lb.ObservedLoadBalancer {
	return slices.Concat(observed.LoadBalancers, observed.Leaving)
}

// provisioner is an engine that can look at load balancers that are being made.
type provisioner interface {
	Provisioning(ctx context.Context) ([]lb.StackID, error)
}

// look asks the cloud for load balancers that are being made.
func (c *Controller) look(ctx context.Context) error {
	p, ok := c.options.Engine.(provisioner)
	if !ok {
		return nil
	}
	_, err := p.Provisioning(ctx)
	return err
}

// namesWithdrawn says whether no name points at a stack's load balancers any more. It is asked before a plan that deletes
// them all is made: the engine takes what it planned for what is wanted, also of what others share.
func (c *Controller) namesWithdrawn(id lb.StackID) bool {
	if c.names == nil {
		return true
	}
	all := true
	for _, b := range allOf(c.options.Engine.Observe(id)) {
		all = c.names.withdrawn(b.DNSName) && all
	}
	return all
}

// namesFirst takes the deletions of load balancers that names still point at out of a plan, with all that needs them.
// The names are withdrawn, or moved to what replaces the load balancer, and the deletion is planned again.
func (c *Controller) namesFirst(p plan.Plan, observed lb.Observed) (now plan.Plan, held bool) {
	if c.names == nil {
		return p, false
	}
	pointed := func(s plan.Step) bool {
		if s.Verb != plan.Delete || s.ID.Kind != loadBalancerKind {
			return false
		}
		i := slices.IndexFunc(allOf(observed), func(b lb.ObservedLoadBalancer) bool { return b.Name == s.ID.Name })
		return i >= 0 && !c.names.withdrawn(allOf(observed)[i].DNSName)
	}
	now = plan.Without(p, pointed)
	return now, len(now.Steps) < len(p.Steps)
}

// loadBalancerKind is what every engine's plans call a load balancer.
const loadBalancerKind plan.Kind = "LoadBalancer"

// withdrawn says whether no name of ours points at a load balancer that is about to go; where one does, it is made due.
// A deletion does not wait for ever: not for a zone that cannot be reached, nor for a name that somebody insists on.
func (n *Names) withdrawn(address string) bool {
	host, err := dns.ParseName(address)
	if err != nil || n.options.Policy != dns.Sync || n.options.DryRun {
		return true // nothing would be taken away
	}
	names := n.options.Keeper.Pointing(map[dns.Name]bool{host: true})
	now := n.options.Now()
	n.mu.Lock()
	since, waiting := n.gate[host]
	if !waiting {
		n.gate[host], since = now, now
	}
	n.mu.Unlock()
	switch {
	case len(names) == 0 && n.ready.Load():
		n.mu.Lock()
		delete(n.gate, host)
		n.mu.Unlock()
		return true
	case now.Sub(since) >= withdrawMost:
		n.log.Warn("a load balancer is deleted although names may still point at it", "loadBalancer", address, "names", names)
		return true
	}
	n.markNames(names...)
	return false
}
