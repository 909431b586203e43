package aws

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sluicehq/sluice/internal/lb"
)

// namedGroups finds security groups that others made and Ingresses name by their Name tag: their ids.
type namedGroups struct{ lookups[string] }

func newNamedGroups(a api, vpc string, now func() time.Time) *namedGroups {
	return &namedGroups{lookups[string]{now: now, read: func(ctx context.Context, name string) ([]string, error) {
		rows, err := a.securityGroups(ctx, vpc, filter("tag:Name", name))
		var ids []string
		for _, row := range rows {
			ids = append(ids, row.ID)
		}
		return ids, err
	}}}
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
			ids, err := g.get(ctx, ref.Named)
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
