package aws

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluicehq/sluice/internal/plan"
)

func (p performer) rule(ctx context.Context, step plan.Step, subject Rule) error {
	switch step.Verb {
	case plan.Delete:
		return p.deleteRule(ctx, subject)
	case plan.Update:
		return p.updateRule(ctx, step.Before.(Rule), subject)
	default:
		return p.createRule(ctx, subject)
	}
}

func (p performer) createRule(ctx context.Context, want Rule) error {
	listener, ok := p.listenerOf(want.Listener)
	if !ok {
		return fmt.Errorf("aws: listener %s is gone; it is made again by the next plan", want.Listener.Name)
	}
	resolved, err := p.resolved(want.Action)
	if err != nil {
		return err
	}
	t := p.tracking(ruleResource(want.port, want.model)).with(want.Tags)
	var row rule
	create := func() (err error) {
		row, err = p.api.createRule(ctx, listener.ARN, want, sdkActions(resolved), t)
		return err
	}
	var codes []string
	if p.makes(want.Listener) {
		codes = append(codes, "ListenerNotFound") // AWS may not show it everywhere yet
	}
	if len(want.follows) > 0 {
		codes = append(codes, "TargetGroupAssociationLimit")
	}
	err = p.waiting(ctx, shortWait, create, codes...)
	for isCode(err, "TooManyRules") {
		// The listener is full: what goes anyway goes first.
		room, makeErr := p.makeRoom(ctx, want.Listener)
		if makeErr != nil || !room {
			return orElseError(makeErr, err)
		}
		err = create()
	}
	if isCode(err, "PriorityInUse") {
		return p.settlePriority(ctx, listener, want, resolved, err)
	}
	if err != nil {
		return p.explain(ctx, err, listener.LoadBalancer, listener.ARN, resolved)
	}
	p.mirror.write(func(now time.Time) { p.mirror.rules.put(row.ARN, row, now) })
	return nil
}

// makes says whether this plan creates a resource.
func (p performer) makes(id plan.ID) bool {
	return slices.ContainsFunc(p.plan.Steps, func(s plan.Step) bool { return s.Verb == plan.Create && s.ID == id })
}

// settlePriority looks who has the priority: this very rule, made by a call whose answer was lost, or one that the
// mirror did not know. The next plan knows it.
func (p performer) settlePriority(ctx context.Context, l listener, want Rule, resolved action, cause error) error {
	rows, err := p.refreshRules(ctx, l)
	if err != nil {
		return err
	}
	for _, row := range rows {
		_, _, ours := row.Tags.owner(p.options.Cluster)
		if ours && row.Priority == want.Priority && row.Action.String() == resolved.String() &&
			conditionsText(row.Conditions) == conditionsText(want.Conditions) && slices.Equal(row.Transforms, want.Transforms) {
			return nil
		}
	}
	return fmt.Errorf("aws: a rule turned up at %s; planned again: %s", want.ID().Name, answerText(cause))
}

// refreshRules reads all rules of a listener into the mirror, foreign ones too, and forgets those that are gone.
func (p performer) refreshRules(ctx context.Context, l listener) ([]rule, error) {
	found, err := p.api.rules(ctx, l.ARN, nil)
	if isNotFound(err) {
		p.mirror.dropListener(l.ARN)
	}
	if err != nil {
		return nil, err
	}
	tagged, err := p.api.tagsOf(ctx, raw{rules: found}.arns())
	if err != nil {
		return nil, err
	}
	var rows []rule
	p.mirror.write(func(now time.Time) {
		for _, r := range append(p.mirror.rules.of(p.plan.Stack), p.mirror.rules.of("")...) {
			if r.Listener == l.ARN {
				p.mirror.rules.remove(r.ARN, now)
			}
		}
		for _, r := range found {
			if row, ok := ruleRow(r, tagged[deref(r.RuleArn)]); ok {
				rows = append(rows, row)
				p.mirror.rules.put(row.ARN, row, now)
			}
		}
	})
	return rows, nil
}

// makeRoom deletes one rule of the listener that this plan deletes later. It is false when there is none left.
func (p performer) makeRoom(ctx context.Context, listener plan.ID) (bool, error) {
	for _, s := range p.plan.Steps {
		doomed, ok := s.Before.(Rule)
		if !ok || s.Verb != plan.Delete || doomed.Listener != listener || !p.hasRule(doomed.arn) {
			continue
		}
		return true, p.deleteRule(ctx, doomed)
	}
	return false, nil
}

func (p performer) hasRule(arn string) bool {
	known := false
	p.mirror.write(func(time.Time) { _, known = p.mirror.rules.rows[arn] })
	return known
}

func (p performer) updateRule(ctx context.Context, have, want Rule) error {
	resolved, err := p.resolved(want.Action)
	if err != nil {
		return err
	}
	if have.settings() != want.settings() {
		changed, err := p.api.modifyRule(ctx, have, want, sdkActions(resolved))
		if err != nil {
			return p.explainRule(ctx, err, have, resolved)
		}
		p.editRule(have.arn, func(r *rule) {
			if row, ok := ruleRow(changed, r.Tags); ok {
				row.Priority = r.Priority
				*r = row
			}
		})
	}
	set, gone := tagChanges(have.Tags, want.Tags)
	if err := p.api.setTags(ctx, have.arn, set, gone); err != nil {
		return p.explainRule(ctx, err, have, resolved)
	}
	p.editRule(have.arn, func(r *rule) { r.Tags = r.Tags.changed(set, gone) })
	return nil
}

func (p performer) explainRule(ctx context.Context, err error, have Rule, resolved action) error {
	if isCode(err, "RuleNotFound") {
		p.forgetRule(have.arn)
		return err
	}
	return p.explain(ctx, err, "", listenerOf(have.arn), resolved)
}

func (p performer) deleteRule(ctx context.Context, have Rule) error {
	if !p.hasRule(have.arn) {
		return nil // gone already, to make room
	}
	if err := p.api.deleteRule(ctx, have.arn); err != nil && !isNotFound(err) {
		return err
	}
	p.forgetRule(have.arn)
	return nil
}

// rulePriorities moves rules, all at once. Where AWS knows a rule that the mirror does not, or the other way round, the
// listener's rules are read again for the next plan.
func (p performer) rulePriorities(ctx context.Context, step plan.Step) error {
	want := step.After.(RulePriorities)
	err := p.api.setRulePriorities(ctx, want.Moves)
	if isCode(err, "PriorityInUse", "RuleNotFound") {
		if l, ok := p.listenerOf(want.Listener); ok {
			if _, readErr := p.refreshRules(ctx, l); readErr != nil {
				return readErr
			}
		}
		return fmt.Errorf("aws: the rules of %s are not as they were known; planned again: %s", want.Listener.Name, answerText(err))
	}
	if err != nil {
		return err
	}
	for _, m := range want.Moves {
		p.editRule(m.arn, func(r *rule) { r.Priority = m.priority })
	}
	return nil
}

func (p performer) editRule(arn string, edit func(*rule)) {
	p.mirror.write(func(now time.Time) {
		if row, ok := p.mirror.rules.rows[arn]; ok {
			row.Conditions = slices.Clone(row.Conditions)
			edit(&row)
			p.mirror.rules.put(arn, row, now)
		}
	})
}

func (p performer) forgetRule(arn string) {
	p.mirror.write(func(now time.Time) { p.mirror.rules.remove(arn, now) })
}

// listenerOf finds a listener by its plan id, "<load balancer>:<port>".
func (p performer) listenerOf(id plan.ID) (listener, bool) {
	name, port, _ := strings.Cut(id.Name, ":")
	balancer, ok := p.mirror.loadBalancerNamed(p.plan.Stack, name)
	number, err := strconv.ParseUint(port, 10, 16)
	if !ok || err != nil {
		return listener{}, false
	}
	return p.mirror.listenerAt(p.plan.Stack, balancer.ARN, uint16(number))
}
