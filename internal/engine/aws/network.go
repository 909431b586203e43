package aws

import (
	"context"
	"sync"
	"time"

	"github.com/sluicehq/sluice/internal/lb"
)

// networkPatience is how old the picture of the VPC may be when something is not found in it: younger than this, a
// second look is not worth its calls.
const networkPatience = 30 * time.Second

// network caches what is read of the VPC and not owned: subnets, zones and, where subnets are not tagged, route
// tables. It is read when first needed, again when something is not found, and forgotten by an audit.
type network struct {
	api api
	vpc string
	now func() time.Time

	mu         sync.Mutex
	known      *vpcNetwork
	readAt     time.Time
	wantBlocks bool // some load balancer has no security groups, so that the VPC's own addresses count
}

// learnBlocks reads the VPC's addresses unless they are known, and the subnets with them.
func (n *network) learnBlocks(ctx context.Context) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.wantBlocks = true
	if n.known != nil && n.known.Blocks != nil {
		return nil
	}
	return n.read(ctx, n.known != nil && n.known.Public != nil)
}

// subnets are those of the VPC, read when they are not known.
func (n *network) subnets(ctx context.Context) ([]subnet, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.known == nil {
		if err := n.read(ctx, false); err != nil {
			return nil, err
		}
	}
	return n.known.Subnets, nil
}

// subnetsFor resolves the subnets of a load balancer. Both results are empty only with an error.
func (n *network) subnetsFor(ctx context.Context, cluster string, b lb.LoadBalancer) ([]string, *subnetProblem, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	fresh := false
	if n.known == nil {
		if err := n.read(ctx, false); err != nil {
			return nil, nil, err
		}
		fresh = true
	}
	ids, problem, err := n.choose(ctx, cluster, b)
	if err != nil || problem == nil || fresh || n.now().Sub(n.readAt) < networkPatience {
		return ids, problem, err
	}
	if err := n.read(ctx, n.known.Public != nil); err != nil {
		return nil, nil, err
	}
	return n.choose(ctx, cluster, b)
}

func (n *network) choose(ctx context.Context, cluster string, b lb.LoadBalancer) ([]string, *subnetProblem, error) {
	ids, problem, needRoutes := chooseSubnets(*n.known, cluster, b)
	if !needRoutes {
		return ids, problem, nil
	}
	public, err := n.api.publicSubnets(ctx, n.vpc, n.known.Subnets)
	if err != nil {
		return nil, nil, err
	}
	known := *n.known
	known.Public = public
	n.known = &known
	ids, problem, _ = chooseSubnets(known, cluster, b)
	return ids, problem, nil
}

func (n *network) read(ctx context.Context, routes bool) error {
	var read vpcNetwork
	var err error
	if read.Subnets, err = n.api.subnets(ctx, n.vpc); err != nil {
		return err
	}
	if read.ZoneTypes, err = n.api.zoneTypes(ctx); err != nil {
		return err
	}
	if n.wantBlocks {
		if read.Blocks, err = n.api.vpcBlocks(ctx, n.vpc); err != nil {
			return err
		}
	}
	if routes {
		if read.Public, err = n.api.publicSubnets(ctx, n.vpc, read.Subnets); err != nil {
			return err
		}
	}
	n.known, n.readAt = &read, n.now()
	return nil
}

// forget makes the next use read again.
func (n *network) forget() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.known = nil
}
