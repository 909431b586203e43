package aws

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sluicehq/sluice/internal/lb"
)

// namedGroups remembers security groups that others made and Ingresses name by their Name tag: their ids, until an
// audit forgets them. A name that nothing has is looked for again after a while.
type namedGroups struct {
	api api
	vpc string
	now func() time.Time

	mu    sync.Mutex
	known map[string]namedGroup
}

type namedGroup struct {
	ids    []string
	readAt time.Time
}

func (g *namedGroups) ids(ctx context.Context, name string) ([]string, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if group, ok := g.known[name]; ok && (len(group.ids) > 0 || g.now().Sub(group.readAt) < networkPatience) {
		return group.ids, nil
	}
	rows, err := g.api.securityGroups(ctx, g.vpc, filter("tag:Name", name))
	if err != nil {
		return nil, err
	}
	group := namedGroup{readAt: g.now()}
	for _, row := range rows {
		group.ids = append(group.ids, row.ID)
	}
	if g.known == nil {
		g.known = map[string]namedGroup{}
	}
	g.known[name] = group
	return group.ids, nil
}

// forget makes the next use read again.
func (g *namedGroups) forget() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.known = nil
}

// resolved returns the stack with security groups of others by id. A name that several have stands for all of them.
func (g *namedGroups) resolved(ctx context.Context, want lb.Stack) (lb.Stack, []lb.Verdict, error) {
	var verdicts []lb.Verdict
	want.LoadBalancers = slices.Clone(want.LoadBalancers)
	for i := range want.LoadBalancers {
		b := &want.LoadBalancers[i]
		var refs []lb.SecurityGroupRef
		for _, ref := range b.SecurityGroups {
			if ref.Named == "" || strings.HasPrefix(ref.Named, "sg-") {
				refs = append(refs, ref)
				continue
			}
			ids, err := g.ids(ctx, ref.Named)
			if err != nil {
				return want, nil, fmt.Errorf("aws: find security group %s: %w", ref.Named, err)
			}
			for _, id := range ids {
				refs = append(refs, lb.SecurityGroupRef{Named: id})
			}
			if len(ids) > 0 {
				continue
			}
			for _, member := range want.Members {
				verdicts = append(verdicts, lb.Verdict{
					Object: member, Severity: lb.Refused, Reason: lb.SecurityGroupNotFound, Value: ref.Named,
					Problem: "no security group of the VPC has this Name tag", Fix: "Name one that exists, or use its id",
				})
			}
		}
		b.SecurityGroups = refs
	}
	return want, lb.SortVerdicts(verdicts), nil
}
