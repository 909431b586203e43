package aws

import (
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/sluicehq/sluice/internal/lb"
)

// table holds the rows of one kind by ARN or id, and remembers when each was last written through, so that an audit
// whose answers are older leaves it alone.
type table[V any] struct {
	rows    map[string]V
	written map[string]time.Time // also for rows that were removed
	stacks  map[lb.StackID]map[string]struct{}
	stackOf func(V) lb.StackID
	touched map[lb.StackID]bool // of the whole mirror
}

func newTable[V any](m *mirror, tagsOf func(V) tags) table[V] {
	return table[V]{
		rows: map[string]V{}, written: map[string]time.Time{}, touched: m.touched,
		stacks: map[lb.StackID]map[string]struct{}{}, stackOf: func(row V) lb.StackID {
			stack, _, _ := tagsOf(row).owner(m.cluster)
			return stack
		},
	}
}

func (t *table[V]) put(key string, row V, at time.Time) {
	t.set(key, row)
	t.written[key] = at
}

func (t *table[V]) remove(key string, at time.Time) {
	t.unset(key)
	t.written[key] = at
}

func (t *table[V]) set(key string, row V) {
	t.unset(key)
	t.rows[key] = row
	stack := t.stackOf(row)
	t.touched[stack] = true
	if t.stacks[stack] == nil {
		t.stacks[stack] = map[string]struct{}{}
	}
	t.stacks[stack][key] = struct{}{}
}

func (t *table[V]) unset(key string) {
	row, ok := t.rows[key]
	if !ok {
		return
	}
	delete(t.rows, key)
	stack := t.stackOf(row)
	t.touched[stack] = true
	delete(t.stacks[stack], key)
	if len(t.stacks[stack]) == 0 {
		delete(t.stacks, stack)
	}
}

// knows says whether the table has a row or knows that it went.
func (t *table[V]) knows(key string) bool {
	_, has := t.rows[key]
	_, wrote := t.written[key]
	return has || wrote
}

// of lists the rows of a stack, in order of their keys.
func (t *table[V]) of(stack lb.StackID) []V {
	rows := make([]V, 0, len(t.stacks[stack]))
	for _, key := range slices.Sorted(maps.Keys(t.stacks[stack])) {
		rows = append(rows, t.rows[key])
	}
	return rows
}

// merge makes the table equal to fresh, except where it was written through at or after since: there the table knows
// better. It adds the stacks of all rows that changed to the set.
func (t *table[V]) merge(fresh map[string]V, since time.Time, changed map[lb.StackID]bool) {
	newer := func(key string) bool {
		at, ok := t.written[key]
		return ok && !at.Before(since)
	}
	for key, row := range maps.Clone(t.rows) {
		if _, still := fresh[key]; !still && !newer(key) {
			changed[t.stackOf(row)] = true
			t.unset(key)
		}
	}
	for key, row := range fresh {
		old, known := t.rows[key]
		if newer(key) || known && reflect.DeepEqual(old, row) {
			continue
		}
		if known {
			changed[t.stackOf(old)] = true
		}
		changed[t.stackOf(row)] = true
		t.set(key, row)
	}
	maps.DeleteFunc(t.written, func(_ string, at time.Time) bool { return at.Before(since) })
}
