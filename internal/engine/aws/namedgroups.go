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

// resolved returns the stack with security groups of others by id. A name that several have stands for all of them. Where
// one is not there, a load balancer keeps those that it has, which now tells; one that is to be made is not made without.
func (g *namedGroups) resolved(ctx context.Context, want lb.Stack, now func(lb.LoadBalancer) ([]lb.SecurityGroupRef, bool)) (lb.Stack, []lb.Verdict, error) {
	var verdicts []lb.Verdict
	want.LoadBalancers = slices.Clone(want.LoadBalancers)
	for i := range want.LoadBalancers {
		b := &want.LoadBalancers[i]
		var refs []lb.SecurityGroupRef
		var missing []string
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
			if len(ids) == 0 {
				missing = append(missing, ref.Named)
			}
		}
		b.SecurityGroups = refs
		if len(missing) == 0 {
			continue
		}
		severity, instead := lb.Refused, ""
		if have, ok := now(*b); ok {
			b.SecurityGroups, severity, instead = have, lb.Partial, ". The load balancer keeps those that it has"
		}
		for _, member := range want.Members {
			verdicts = append(verdicts, lb.Verdict{
				Object: member, Severity: severity, Reason: lb.SecurityGroupNotFound, Value: strings.Join(missing, ","),
				Problem: "no security group of the VPC has this Name tag" + instead, Fix: "Name one that exists, or use its id",
			})
		}
	}
	return want, lb.SortVerdicts(verdicts), nil
}

// namedNow are the security groups that a load balancer has, where none of them is the stack's own.
func (s settings) namedNow(b lb.LoadBalancer, v view) (refs []lb.SecurityGroupRef, ok bool) {
	row, exists := s.existing(b, v)
	for _, id := range row.SecurityGroups {
		switch ref := groupRef(id, v); ref.Kind {
		case SecurityGroupKind:
			return nil, false
		case BackendSecurityGroupKind:
			refs = append(refs, lb.SecurityGroupRef{Backend: true})
		default:
			refs = append(refs, lb.SecurityGroupRef{Named: id})
		}
	}
	return refs, exists && len(refs) > 0
}
