package plan

import (
	"slices"
)

// Diff returns the steps that turn have into want, ordered: what is made or changed first, each after what it refers
// to; then what goes, each after what referred to it. Deleting an owner deletes what it owns, so no step is made for
// that. Every deletion waits for everything that is made or changed, so nothing is taken away before its replacement
// stands. Neither argument is changed; the order of their elements does not matter.
func Diff(have, want []Resource) []Step {
	had, wanted := index(have), index(want)
	var steps []Step
	for id, after := range wanted {
		before, exists := had[id]
		switch {
		case !exists:
			steps = append(steps, Step{Verb: Create, ID: id, After: after, Reason: "wanted and not there"})
		case !slices.Equal(before.Fields(), after.Fields()):
			steps = append(steps, Step{Verb: Update, ID: id, Before: before, After: after, Reason: "differs from what is wanted"})
		}
	}
	for id, before := range had {
		if _, keep := wanted[id]; keep || goesWithOwner(before, had, wanted) {
			continue
		}
		steps = append(steps, Step{Verb: Delete, ID: id, Before: before, Reason: "nothing asks for it any more"})
	}
	return Order(steps, have)
}

// Follower is a wanted resource that cannot be made before something else is gone. Such a deletion does not wait for
// everything that is made, only for what does not depend on any such deletion.
type Follower interface {
	Resource
	Follows() []ID
}

// Order sorts steps and fills in what each needs. have is used to find which deletion takes an owned resource along.
// It panics on a cycle of references, which only a bug in an engine's lowering can make.
func Order(steps []Step, have []Resource) []Step {
	had := index(have)
	slices.SortFunc(steps, func(a, b Step) int { return a.ID.Compare(b.ID) })
	deletes, makes := map[ID]int{}, map[ID]int{}
	for i, s := range steps {
		if s.Verb == Delete {
			deletes[s.ID] = i
		} else {
			makes[s.ID] = i
		}
	}
	needs := make([][]int, len(steps))
	early := map[int]bool{}
	for _, i := range makes {
		for _, ref := range steps[i].After.Refs() {
			if j, ok := makes[ref]; ok && j != i {
				needs[i] = append(needs[i], j)
			}
		}
		if f, ok := steps[i].After.(Follower); ok {
			for _, id := range f.Follows() {
				if j, ok := deletes[id]; ok {
					needs[i] = append(needs[i], j)
					early[j] = true
				}
			}
		}
	}
	late := dependants(needs, early)
	for _, i := range deletes {
		for _, j := range makes {
			if !early[i] || !late[j] {
				needs[i] = append(needs[i], j)
			}
		}
	}
	for _, r := range have {
		gone, ok := deletionOf(r, had, deletes)
		if !ok {
			continue
		}
		for _, ref := range r.Refs() {
			if j, ok := deletes[ref]; ok && j != gone {
				needs[j] = append(needs[j], gone)
			}
		}
	}
	return topological(steps, needs)
}

// dependants are the steps that need one of these, directly or not.
func dependants(needs [][]int, of map[int]bool) map[int]bool {
	found := map[int]bool{}
	for grown := true; grown; {
		grown = false
		for i, list := range needs {
			if !found[i] && slices.ContainsFunc(list, func(j int) bool { return of[j] || found[j] }) {
				found[i], grown = true, true
			}
		}
	}
	return found
}

// goesWithOwner says whether some owner of r goes too, so that r needs no step of its own.
func goesWithOwner(r Resource, had, wanted map[ID]Resource) bool {
	for owner := r.Owner(); owner != (ID{}); {
		above, exists := had[owner]
		if !exists {
			return false
		}
		if _, keep := wanted[owner]; !keep {
			return true
		}
		owner = above.Owner()
	}
	return false
}

// deletionOf finds the step that removes r: its own, or that of an owner.
func deletionOf(r Resource, had map[ID]Resource, deletes map[ID]int) (int, bool) {
	for {
		if i, ok := deletes[r.ID()]; ok {
			return i, true
		}
		above, ok := had[r.Owner()]
		if !ok {
			return 0, false
		}
		r = above
	}
}

func index(list []Resource) map[ID]Resource {
	m := make(map[ID]Resource, len(list))
	for _, r := range list {
		m[r.ID()] = r
	}
	return m
}

// topological returns the steps so that each stands after those it needs, otherwise in the order given.
func topological(steps []Step, needs [][]int) []Step {
	const (
		unseen = iota
		open
		done
	)
	state := make([]int, len(steps))
	position := make([]int, len(steps))
	ordered := make([]Step, 0, len(steps))
	var visit func(i int)
	visit = func(i int) {
		if state[i] == done {
			return
		}
		if state[i] == open {
			panic("plan: steps need each other in a circle: " + steps[i].ID.String())
		}
		state[i] = open
		slices.Sort(needs[i])
		for _, j := range slices.Compact(needs[i]) {
			visit(j)
		}
		state[i] = done
		s := steps[i]
		s.Needs = nil
		for _, j := range slices.Compact(needs[i]) {
			s.Needs = append(s.Needs, position[j])
		}
		slices.Sort(s.Needs)
		position[i] = len(ordered)
		ordered = append(ordered, s)
	}
	for i, s := range steps {
		if s.Verb != Delete {
			visit(i)
		}
	}
	for i := range steps {
		visit(i)
	}
	return ordered
}

// Without is the plan without the steps that are dropped and without those that need one of them. It does not change its
// argument.
func Without(p Plan, drop func(Step) bool) Plan {
	out := Plan{Stack: p.Stack}
	place := make([]int, len(p.Steps)) // of each step in out; -1 for one that is left out
	for i, s := range p.Steps {
		place[i] = -1
		if drop(s) || slices.ContainsFunc(s.Needs, func(j int) bool { return place[j] < 0 }) {
			continue
		}
		place[i] = len(out.Steps)
		needs := make([]int, len(s.Needs))
		for k, j := range s.Needs {
			needs[k] = place[j]
		}
		s.Needs = needs
		out.Steps = append(out.Steps, s)
	}
	return out
}
