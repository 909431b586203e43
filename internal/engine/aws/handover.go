package aws

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/sluicehq/sluice/internal/lb"
	"github.com/sluicehq/sluice/internal/plan"
)

// A load balancer that cannot be changed to what is wanted is replaced. A target group serves one load balancer only, so
// the new one gets target groups of its own, and both are fed until the new one is active and its targets are healthy.
// Then the status names the new one, and once resolvers have followed, the old one goes with its target groups. All of
// it can be told from what AWS has, so a process may end at any moment; the next one at most waits a little longer.

// HandoverKind is the plan's kind of steps that wait until a load balancer can take another one's place.
const HandoverKind plan.Kind = "Handover"

const (
	handoverLook = 10 * time.Second // how often to look whether the new load balancer serves
	// handoverGrace is how long the old one stays after the status has named the new one: names in DNS have to be
	// written anew, and resolvers to forget them.
	handoverGrace = 2 * time.Minute
)

// Handover is the moment at which one load balancer takes the place of another.
type Handover struct {
	Old, New plan.ID
	Objects  []lb.Object

	arn    string // of the old one
	serves plan.ID
}

// ID is that of the old load balancer, in a kind of its own.
func (h Handover) ID() plan.ID { return plan.ID{Kind: HandoverKind, Name: h.Old.Name} }

// Fields say which load balancer serves.
func (h Handover) Fields() []plan.Field {
	return []plan.Field{{Name: "serves", Value: h.serves.Name}}
}

// Refs are none: the step is put behind all that makes something.
func (h Handover) Refs() []plan.ID { return nil }

// Owner is none.
func (h Handover) Owner() plan.ID { return plan.ID{} }

// From are the members of the stack.
func (h Handover) From() []lb.Object { return h.Objects }

// superseded are the load balancers of a view that others of the same resource take the place of.
func (s settings) superseded(want lb.Stack, v view) []loadBalancer {
	var old []loadBalancer
	for _, b := range want.LoadBalancers {
		stays, _ := s.existing(b, v)
		for _, row := range v.LoadBalancers {
			if _, resource, _ := row.Tags.owner(s.cluster); resource == b.ID && row.ARN != stays.ARN {
				old = append(old, row)
			}
		}
	}
	return old
}

// usedBy are the target groups that load balancers use, by ARN.
func (v view) usedBy(balancers []loadBalancer) map[string]bool {
	used := map[string]bool{}
	note := func(a action) {
		for _, g := range a.Forward {
			used[g.Group] = true
		}
	}
	for _, l := range v.Listeners {
		if !slices.ContainsFunc(balancers, func(b loadBalancer) bool { return b.ARN == l.LoadBalancer }) {
			continue
		}
		note(l.Default)
		for _, r := range v.Rules {
			if r.Listener == l.ARN {
				note(r.Action)
			}
		}
	}
	return used
}

// stay adds to what is wanted the load balancers that serve until others have taken their place, as they are, with all
// that they have.
func (s settings) stay(out *lowered, want lb.Stack, v view) {
	if len(v.Serving) == 0 {
		return
	}
	used := v.usedBy(v.Serving)
	have, haveRules := inventoryOf(s, v)
	staying := map[plan.ID]bool{}
	for _, b := range v.Serving {
		staying[plan.ID{Kind: LoadBalancerKind, Name: b.Name}] = true
	}
	for _, r := range have {
		switch h := r.(type) {
		case LoadBalancer:
			if !staying[h.ID()] {
				continue
			}
			out.resources = append(out.resources, h)
			next := plan.ID{Kind: LoadBalancerKind, Name: out.names[h.Resource]}
			out.handovers = append(out.handovers, Handover{Old: h.ID(), New: next, Objects: want.Members, arn: h.arn, serves: next})
		case Listener:
			if staying[h.LoadBalancer] {
				out.resources = append(out.resources, h)
				out.rules[h.ID()] = haveRules[h.ID()]
			}
		case TargetGroup:
			if used[h.arn] {
				out.resources = append(out.resources, h)
			}
		}
	}
}

// withHandovers puts the steps that wait behind all that make or change something. Deletions do not wait for them: what
// is needed until then is wanted until then.
func withHandovers(steps []plan.Step, handovers []Handover) []plan.Step {
	var needs []int
	for i, s := range steps {
		if s.Verb != plan.Delete {
			needs = append(needs, i)
		}
	}
	for _, h := range handovers {
		before := h
		before.serves = h.Old
		steps = append(steps, plan.Step{
			Verb: plan.Update, ID: h.ID(), Before: before, After: h, Needs: needs,
			Reason: "it serves until the new one is active and its targets are healthy",
		})
	}
	return steps
}

// handover waits, a look at a time, until the new load balancer serves, then until names have followed.
func (p performer) handover(ctx context.Context, h Handover) error {
	next, ok := p.mirror.loadBalancerNamed(p.plan.Stack, h.New.Name)
	if !ok {
		return fmt.Errorf("aws: load balancer %s is gone; it is made again by the next plan", h.New.Name)
	}
	if !p.mirror.handedOver(h.arn) {
		if wait := p.mirror.looked(h.arn); wait > 0 {
			return &plan.LaterError{After: wait, Why: fmt.Sprintf("load balancer %s does not serve yet", h.New.Name)}
		}
		if why, err := p.notServing(ctx, h, next); err != nil || why != "" {
			return orElseError(err, &plan.LaterError{After: handoverLook, Why: why})
		}
		p.mirror.handOver(h.arn)
	}
	return &plan.LaterError{
		After: max(p.mirror.graceLeft(h.arn), time.Second),
		Why:   fmt.Sprintf("load balancer %s has taken the place of %s, which stays until names have followed", h.New.Name, h.Old.Name),
	}
}

// notServing says why a load balancer cannot take the place of another yet.
func (p performer) notServing(ctx context.Context, h Handover, next loadBalancer) (why string, err error) {
	if next.State == "provisioning" {
		if _, err := p.Provisioning(ctx); err != nil {
			return "", err
		}
		next, _ = p.mirror.loadBalancerNamed(p.plan.Stack, h.New.Name)
	}
	if !next.active() {
		return fmt.Sprintf("load balancer %s is not active yet (%s)", h.New.Name, next.State), nil
	}
	for _, pair := range p.mirror.counterparts(p.plan.Stack, h.arn, next.ARN) {
		before, err := p.healthy(ctx, pair.from)
		if err != nil || before == 0 {
			if err != nil {
				return "", err
			}
			continue // it serves nobody anyway
		}
		after, err := p.healthy(ctx, pair.to)
		if err != nil {
			return "", err
		}
		if after < before {
			return fmt.Sprintf("of target group %s %d targets are healthy so far, and there were %d", pair.name, after, before), nil
		}
	}
	return "", nil
}

// healthy counts the targets of a group that pass their checks; a group that is gone has none.
func (p performer) healthy(ctx context.Context, group string) (n int, err error) {
	all := map[lb.Target]lb.TargetHealth{}
	err = p.api.targetHealth(ctx, group, nil, all)
	if isNotFound(err) {
		return 0, nil
	}
	for _, h := range all {
		if h.State == lb.HealthyTarget {
			n++
		}
	}
	return n, err
}

func (b loadBalancer) active() bool { return b.State == "active" || b.State == "active_impaired" }

// counterpart is a target group of a load balancer that goes, and the one that has taken its place.
type counterpart struct{ from, to, name string }

// counterparts pairs the target groups that two load balancers of a stack use.
func (m *mirror) counterparts(stack lb.StackID, from, to string) []counterpart {
	v := m.view(stack)
	old, next := v.usedBy([]loadBalancer{{ARN: from}}), v.usedBy([]loadBalancer{{ARN: to}})
	var pairs []counterpart
	for _, g := range v.TargetGroups {
		for _, other := range v.TargetGroups {
			if old[g.ARN] && next[other.ARN] && g.Tags[resourceTag] == other.Tags[resourceTag] {
				pairs = append(pairs, counterpart{g.ARN, other.ARN, other.Name})
			}
		}
	}
	return pairs
}

// serving are those of the load balancers that nobody has taken the place of for long enough.
func (m *mirror) serving(old []loadBalancer) []loadBalancer {
	return slices.DeleteFunc(old, func(b loadBalancer) bool { return m.handedOver(b.ARN) && m.graceLeft(b.ARN) <= 0 })
}

// looked notes a look at whether a load balancer can go, unless there was one a moment ago: then it says how long to wait.
func (m *mirror) looked(from string) (wait time.Duration) {
	m.write(func(now time.Time) {
		if wait = handoverLook - now.Sub(m.looks[from]); wait <= 0 {
			m.looks[from] = now
		}
	})
	return wait
}

func (m *mirror) handOver(from string) {
	m.write(func(now time.Time) { m.handovers[from] = now })
}

func (m *mirror) handedOver(from string) (is bool) {
	m.write(func(time.Time) { _, is = m.handovers[from] })
	return is
}

func (m *mirror) graceLeft(from string) (left time.Duration) {
	m.write(func(now time.Time) { left = handoverGrace - now.Sub(m.handovers[from]) })
	return left
}
