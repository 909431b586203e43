package aws

import (
	"cmp"
	"slices"

	"github.com/sluicehq/sluice/internal/lb"
	"github.com/sluicehq/sluice/internal/plan"
)

// lastPriority is the highest priority that a rule can have.
const lastPriority = 50000

// diff returns the steps from what a stack has to what it wants.
func diff(have []plan.Resource, haveRules map[plan.ID][]Rule, want lowered) []plan.Step {
	steps := plan.Diff(have, want.resources)
	all := slices.Clone(have)
	for id, rules := range haveRules {
		for _, r := range rules {
			all = append(all, r)
		}
		if slices.ContainsFunc(want.resources, func(r plan.Resource) bool { return r.ID() == id }) {
			steps = append(steps, diffRules(rules, want.rules[id], want.foreign[id])...)
		}
	}
	for id, rules := range want.rules {
		if _, listed := haveRules[id]; !listed {
			steps = append(steps, diffRules(nil, rules, nil)...)
		}
	}
	return plan.Order(steps, all)
}

// diffRules returns the steps for the rules of one listener that stays or is made. Rules that say the same are the same
// rule, wherever they stand. foreign are priorities that rules which are not ours hold.
func diffRules(have, want []Rule, foreign map[int]bool) []plan.Step {
	pairs, unmatched, leftover := pairRules(have, want)
	var steps []plan.Step
	var moved []pair
	for _, p := range pairs {
		if p.have.Priority != p.want.Priority {
			moved = append(moved, p)
		}
		if !slices.Equal(p.have.Fields(), p.want.Fields()) {
			steps = append(steps, plan.Step{
				Verb: plan.Update, ID: p.want.ID(), Before: p.have, After: p.want, Reason: "differs from what is wanted",
			})
		}
	}
	if len(moved) > 0 {
		steps = append(steps, moveRules(moved, leftover, foreign))
	}
	for _, w := range unmatched {
		steps = append(steps, plan.Step{Verb: plan.Create, ID: w.ID(), After: w, Reason: "wanted and not there"})
	}
	for _, h := range leftover {
		steps = append(steps, plan.Step{Verb: plan.Delete, ID: h.ID(), Before: h, Reason: "nothing asks for it any more"})
	}
	return steps
}

type pair struct{ have, want Rule }

// pairRules matches rules: first those that say the same at the same priority, then those that say the same, then
// those at the same priority, which are changed in place.
func pairRules(have, want []Rule) (pairs []pair, unmatched, leftover []Rule) {
	leftover = slices.SortedFunc(slices.Values(have), byPriority)
	unmatched = slices.SortedFunc(slices.Values(want), byPriority)
	take := func(same func(h, w Rule) bool) {
		var rest []Rule
		for _, w := range unmatched {
			i := slices.IndexFunc(leftover, func(h Rule) bool { return same(h, w) })
			if i < 0 {
				rest = append(rest, w)
				continue
			}
			pairs = append(pairs, pair{leftover[i], w})
			leftover = slices.Delete(leftover, i, i+1)
		}
		unmatched = rest
	}
	samePriority := func(h, w Rule) bool { return h.Priority == w.Priority }
	sameSettings := func(h, w Rule) bool { return h.settings() == w.settings() }
	take(func(h, w Rule) bool { return samePriority(h, w) && sameSettings(h, w) })
	take(sameSettings)
	take(samePriority)
	return pairs, unmatched, leftover
}

// moveRules is the one step that puts rules where they belong. Rules that go are parked at the far end, in their order,
// so that they hold no priority that is needed and go on matching until what replaces them is there.
func moveRules(moved []pair, leftover []Rule, foreign map[int]bool) plan.Step {
	listener := moved[0].want.Listener
	before, after := RulePriorities{Listener: listener}, RulePriorities{Listener: listener}
	for _, p := range moved {
		what := conditionsText(p.have.Conditions)
		before.Moves = append(before.Moves, ruleMove{p.have.arn, what, p.have.Priority})
		after.Moves = append(after.Moves, ruleMove{p.have.arn, what, p.want.Priority})
		if o := p.want.Object; o != (lb.Object{}) && !slices.Contains(after.Objects, o) {
			after.Objects = append(after.Objects, o)
		}
	}
	parked := lastPriority + 1
	for _, h := range slices.Backward(leftover) {
		for parked--; foreign[parked]; parked-- {
			continue
		}
		if h.Priority == parked {
			continue
		}
		what := conditionsText(h.Conditions)
		before.Moves = append(before.Moves, ruleMove{h.arn, what, h.Priority})
		after.Moves = append(after.Moves, ruleMove{h.arn, what, parked})
	}
	return plan.Step{
		Verb: plan.Update, ID: after.ID(), Before: before, After: after,
		Reason: "rules stand in another order",
	}
}

func byPriority(a, b Rule) int { return cmp.Compare(a.Priority, b.Priority) }
