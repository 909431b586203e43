package dns

import (
	"cmp"
	"slices"
)

// Action is what a change does to a record set, in Route 53's words.
type Action string

// The actions.
const (
	Create Action = "CREATE"
	Upsert Action = "UPSERT"
	Delete Action = "DELETE"
)

// Change is one change of a zone. Before is what an Upsert replaces.
type Change struct {
	Action Action
	Record Record
	Before *Record
}

// String is "CREATE app.example.com A".
func (c Change) String() string {
	return string(c.Action) + " " + string(c.Record.Name) + " " + string(c.Record.Type)
}

// Diff are the changes from before to after, in an order that works when they happen at once: what is replaced, what
// goes, what comes. A set whose routing policy changes, or that becomes or ceases to be an alias, goes and comes.
func Diff(before, after []Record) []Change {
	had := map[Key]Record{}
	for _, r := range before {
		had[r.Key()] = r
	}
	var out []Change
	for _, r := range after {
		old, exists := had[r.Key()]
		delete(had, r.Key())
		switch {
		case !exists:
			out = append(out, Change{Action: Create, Record: r})
		case old.Equal(r):
		case old.Routing.Policy != r.Routing.Policy || old.IsAlias() != r.IsAlias():
			out = append(out, Change{Action: Delete, Record: old}, Change{Action: Create, Record: r})
		default:
			out = append(out, Change{Action: Upsert, Record: r, Before: &old})
		}
	}
	for _, old := range had {
		out = append(out, Change{Action: Delete, Record: old})
	}
	SortChanges(out)
	return out
}

var actionOrder = map[Action]int{Upsert: 0, Delete: 1, Create: 2}

// SortChanges brings changes into an order that works when they happen at once.
func SortChanges(list []Change) {
	slices.SortFunc(list, func(a, b Change) int {
		return cmp.Or(cmp.Compare(actionOrder[a.Action], actionOrder[b.Action]), a.Record.Key().Compare(b.Record.Key()))
	})
}
