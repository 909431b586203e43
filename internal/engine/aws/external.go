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

// externalGroups remembers target groups that others made and rules name: their ARNs, until an audit forgets them. One
// that is not there is looked for again after a while.
type externalGroups struct {
	api api
	now func() time.Time

	mu    sync.Mutex
	known map[string]externalGroup
}

type externalGroup struct {
	arn    string // empty when there was none
	readAt time.Time
}

func (g *externalGroups) arn(ctx context.Context, name string) (string, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if group, ok := g.known[name]; ok && (group.arn != "" || g.now().Sub(group.readAt) < networkPatience) {
		return group.arn, nil
	}
	found, err := g.api.targetGroupNamed(ctx, name)
	if err != nil {
		return "", err
	}
	group := externalGroup{readAt: g.now()}
	if found != nil {
		group.arn = deref(found.TargetGroupArn)
	}
	if g.known == nil {
		g.known = map[string]externalGroup{}
	}
	g.known[name] = group
	return group.arn, nil
}

// forget makes the next use read again.
func (g *externalGroups) forget() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.known = nil
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
			arn, err := g.arn(ctx, group.Name)
			if err != nil {
				return a, fmt.Errorf("aws: find target group %s: %w", group.Name, err)
			}
			if arn == "" {
				for _, object := range from {
					verdicts = append(verdicts, lb.Verdict{
						Object: object, Severity: lb.Partial, Reason: lb.InvalidBackend, Field: field, Value: group.Name,
						Problem: "there is no target group of this name; the path answers 503", Fix: "Make it, or name one that exists",
					})
				}
				return lb.Action{FixedResponse: &lb.FixedResponse{
					StatusCode: 503, ContentType: "text/plain", Body: "Backend target group does not exist",
				}}, nil
			}
			forward.TargetGroups[i].Name, forward.TargetGroups[i].ARN = "", arn
		}
		return lb.Action{Forward: &forward}, nil
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
