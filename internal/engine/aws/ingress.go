package aws

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/sluicehq/sluice/internal/engine"
	"github.com/sluicehq/sluice/internal/lb"
	"github.com/sluicehq/sluice/internal/plan"
)

// EndpointSecurityGroupKind is the plan's kind of security groups of targets.
const EndpointSecurityGroupKind plan.Kind = "EndpointSecurityGroup"

// sharedRule is the description of every rule that we put on a security group of targets; the AWS Load Balancer
// Controller marks its own so. Only rules with it are ever revoked.
const sharedRule = "elbv2.k8s.aws/targetGroupBinding=shared"

// EndpointSecurityGroup is the part of a security group of targets that is ours: its marked rules.
type EndpointSecurityGroup struct {
	Group   string
	Ingress []permission // sorted
}

// ID is the group's id.
func (g EndpointSecurityGroup) ID() plan.ID {
	return plan.ID{Kind: EndpointSecurityGroupKind, Name: g.Group}
}

// Fields are the rules.
func (g EndpointSecurityGroup) Fields() []plan.Field {
	var rules []string
	for _, p := range g.Ingress {
		rules = append(rules, p.String())
	}
	return []plan.Field{{Name: "ingress", Value: strings.Join(rules, "; ")}}
}

// Refs are none: a source that does not exist is AWS's to refuse.
func (g EndpointSecurityGroup) Refs() []plan.ID { return nil }

// Owner is none.
func (g EndpointSecurityGroup) Owner() plan.ID { return plan.ID{} }

// From is nobody alone: a rule is for many.
func (g EndpointSecurityGroup) From() []lb.Object { return nil }

// PlanIngress compares what security groups of targets let in with what is wanted.
func (e *Engine) PlanIngress(ctx context.Context, want engine.Ingress) (plan.Plan, error) {
	rows, err := e.endpointGroups.known(ctx, slices.Collect(maps.Keys(want.Rules)), want.Only)
	if err != nil {
		return plan.Plan{}, err
	}
	var have, wanted []plan.Resource
	for _, row := range rows {
		have = append(have, EndpointSecurityGroup{Group: row.ID, Ingress: row.marked()})
		wanted = append(wanted, wantedRules(row, want))
	}
	return plan.Plan{Steps: plan.Diff(have, wanted)}, nil
}

// wantedRules are the marked rules that a group should have. A rule that somebody else made counts as there. As long as
// others may want more, all that is marked stays, and a marked rule that covers a wanted one is enough: after a start,
// the bindings come one by one, and their merged ranges grow to what is there already.
func wantedRules(row endpointGroup, want engine.Ingress) EndpointSecurityGroup {
	marked := row.marked()
	set := map[permission]bool{}
	if !want.Complete {
		for _, p := range marked {
			set[p] = true
		}
	}
	for _, rule := range want.Rules[lb.SecurityGroupID(row.ID)] {
		p := permissionOf(rule)
		ours, there := row.Rules[p]
		covered := !want.Complete && slices.ContainsFunc(marked, func(m permission) bool { return m.covers(p) })
		if !covered && (ours || !there) {
			set[p] = true
		}
	}
	return EndpointSecurityGroup{Group: row.ID, Ingress: slices.SortedFunc(maps.Keys(set), permission.compare)}
}

func permissionOf(r lb.IngressRule) permission {
	p := permission{Protocol: r.Protocol, From: r.From, To: r.To, Group: string(r.Group)}
	if isIPv6(r.CIDR) {
		p.CIDR6 = r.CIDR
	} else {
		p.CIDR = r.CIDR
	}
	return p
}

// covers says whether p lets in all that other does, from the same source.
func (p permission) covers(other permission) bool {
	from, to := p.From, p.To
	p.From, p.To = other.From, other.To
	return p == other && from <= other.From && other.To <= to
}

// endpointGroup makes one step of PlanIngress real. When AWS's answer contradicts what was known, the group is read again
// and the rest is tried once more; without room for both, old rules go first then.
func (p performer) endpointGroup(ctx context.Context, step plan.Step) error {
	want, _ := step.After.(EndpointSecurityGroup)
	before, _ := step.Before.(EndpointSecurityGroup)
	p.endpointGroups.applying.Lock()
	defer p.endpointGroups.applying.Unlock()
	row, known := p.endpointGroups.get(want.Group)
	if !known {
		return nil // it is gone; the next plan finds out whether anything is wanted of it
	}
	err := p.syncEndpointGroup(ctx, row, before.Ingress, want.Ingress, false)
	if !isCode(err, "InvalidPermission.Duplicate", "InvalidPermission.NotFound", "RulesPerSecurityGroupLimitExceeded", "InvalidGroup.NotFound") {
		return err
	}
	row, exists, readErr := p.endpointGroups.reread(ctx, want.Group)
	switch {
	case readErr != nil:
		return readErr
	case !exists:
		return nil
	case isCode(err, "InvalidGroup.NotFound"):
		return blockedBy(err, lb.CloudRefused, want.Group, "a rule has a source that does not exist: "+answerText(err),
			"Name a security group that exists in the VPC")
	}
	return p.syncEndpointGroup(ctx, row, before.Ingress, want.Ingress, isCode(err, "RulesPerSecurityGroupLimitExceeded"))
}

// syncEndpointGroup authorizes what is wanted and not there, whoever made it, and revokes what is marked and not wanted.
// It touches no rule that the plan did not know: that one may be wanted by now.
func (p performer) syncEndpointGroup(ctx context.Context, row endpointGroup, had, want []permission, full bool) error {
	missing := slices.DeleteFunc(slices.Clone(want), func(w permission) bool {
		_, there := row.Rules[w]
		return there
	})
	extra := slices.DeleteFunc(slices.Clone(had), func(h permission) bool { return !row.Rules[h] || slices.Contains(want, h) })
	authorize := func() error {
		if len(missing) == 0 {
			return nil
		}
		err := p.api.authorize(ctx, row.ID, missing, sharedRule)
		if err == nil {
			p.endpointGroups.change(row.ID, missing, nil)
		}
		return err
	}
	revoke := func() error {
		if len(extra) == 0 {
			return nil
		}
		err := p.api.revoke(ctx, row.ID, extra)
		if err == nil {
			p.endpointGroups.change(row.ID, nil, extra)
		}
		return err
	}
	return exchangeRules(full, authorize, revoke)
}

// letGo revokes the marked rules that have a security group as their source, so that it can be deleted. Nothing uses it
// any more, whatever bindings still say. Where lookAround is set, AWS is asked which groups have such rules.
func (p performer) letGo(ctx context.Context, source string, lookAround bool) error {
	rows, err := p.endpointGroups.naming(ctx, source, lookAround)
	if err != nil {
		return err
	}
	p.endpointGroups.applying.Lock()
	defer p.endpointGroups.applying.Unlock()
	for _, row := range rows {
		list := slices.DeleteFunc(row.marked(), func(m permission) bool { return m.Group != source })
		err := p.api.revoke(ctx, row.ID, list)
		if isCode(err, "InvalidPermission.NotFound", "InvalidGroup.NotFound") {
			_, _, err = p.endpointGroups.reread(ctx, row.ID)
			if err == nil {
				continue
			}
		}
		if err != nil {
			return err
		}
		p.endpointGroups.change(row.ID, nil, list)
	}
	return nil
}

// naming returns the groups with a marked rule that has this source.
func (g *endpointGroups) naming(ctx context.Context, source string, lookAround bool) ([]endpointGroup, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if lookAround {
		rows, err := g.api.endpointGroups(ctx, filter("vpc-id", g.vpc), filter("ip-permission.group-id", source))
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			g.rows[row.ID] = row
		}
	}
	var list []endpointGroup
	for _, id := range slices.Sorted(maps.Keys(g.rows)) {
		if slices.ContainsFunc(g.rows[id].marked(), func(m permission) bool { return m.Group == source }) {
			list = append(list, g.rows[id])
		}
	}
	return list, nil
}
