package aws

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sluicehq/sluice/internal/lb"
)

// externalGroups finds target groups that others made and rules name: their ARNs.
type externalGroups struct{ lookups[string] }

func newExternalGroups(a api, now func() time.Time) *externalGroups {
	return &externalGroups{lookups[string]{now: now, read: func(ctx context.Context, name string) ([]string, error) {
		found, err := a.targetGroupNamed(ctx, name)
		if err != nil || found == nil {
			return nil, err
		}
		return []string{deref(found.TargetGroupArn)}, nil
	}}}
}

// resolved returns the stack with target groups that others made by ARN. A rule that names one which is not there
// answers 503, and its object is told.
func (g *externalGroups) resolved(ctx context.Context, want lb.Stack) (lb.Stack, []lb.Verdict, error) {
	var verdicts []lb.Verdict
	action := func(a lb.Action, from []lb.Object, field string) (lb.Action, error) {
		if a.Forward == nil {
			return a, nil
		}
		forward := *a.Forward
		forward.TargetGroups = slices.Clone(forward.TargetGroups)
		for i, group := range forward.TargetGroups {
			if group.Name == "" {
				continue
			}
			arns, err := g.get(ctx, group.Name)
			if err != nil {
				return a, fmt.Errorf("aws: find target group %s: %w", group.Name, err)
			}
			if len(arns) == 0 {
				for _, object := range from {
					verdicts = append(verdicts, lb.Verdict{
						Object: object, Severity: lb.Partial, Reason: lb.InvalidBackend, Field: field, Value: group.Name,
						Problem: "there is no target group of this name; the path answers 503", Fix: "Make it, or name one that exists",
					})
				}
				a.Forward, a.FixedResponse = nil, &lb.FixedResponse{
					StatusCode: 503, ContentType: "text/plain", Body: "Backend target group does not exist",
				}
				return a, nil
			}
			forward.TargetGroups[i].Name, forward.TargetGroups[i].ARN = "", arns[0]
		}
		a.Forward = &forward
		return a, nil
	}
	var err error
	want.LoadBalancers = slices.Clone(want.LoadBalancers)
	for i := range want.LoadBalancers {
		b := &want.LoadBalancers[i]
		b.Listeners = slices.Clone(b.Listeners)
		for j := range b.Listeners {
			l := &b.Listeners[j]
			if l.Default, err = action(l.Default, l.From, "spec.defaultBackend"); err != nil {
				return want, nil, err
			}
			l.Rules = slices.Clone(l.Rules)
			for k := range l.Rules {
				r := &l.Rules[k]
				if r.Action, err = action(r.Action, []lb.Object{r.From}, r.Field); err != nil {
					return want, nil, err
				}
			}
		}
	}
	return want, lb.SortVerdicts(verdicts), nil
}

func isARN(name string) bool { return strings.HasPrefix(name, "arn:") }
