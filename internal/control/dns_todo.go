package control

import (
	"reflect"
	"slices"
	"time"

	"github.com/sluicehq/sluice/internal/dns"
	"github.com/sluicehq/sluice/internal/dns/source"
	"github.com/sluicehq/sluice/internal/lb"
)

// todo is the queue of the loop over names: objects that changed, and names with the time when they are due.
type todo struct {
	objects  map[lb.Object]bool
	due      map[dns.Name]time.Time
	failures map[dns.Name]failedName
	wake     chan struct{}
}

// failedName counts how often a name has failed in a row.
type failedName struct {
	times int
	err   error
}

func newTodo() todo {
	return todo{objects: map[lb.Object]bool{}, due: map[dns.Name]time.Time{}, failures: map[dns.Name]failedName{}, wake: make(chan struct{}, 1)}
}

func (t *todo) poke() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// add makes a name due, not later than it was.
func (t *todo) add(name dns.Name, at time.Time) {
	if due, ok := t.due[name]; !ok || at.Before(due) {
		t.due[name] = at
	}
}

// take returns the names that are due by now, sorted.
func (t *todo) take(now time.Time) []dns.Name {
	var names []dns.Name
	for name, at := range t.due {
		if !at.After(now) {
			names = append(names, name)
			delete(t.due, name)
		}
	}
	slices.Sort(names)
	return names
}

// failed puts a name off, longer each time.
func (t *todo) failed(name dns.Name, err error, now time.Time, first, most time.Duration) {
	f := t.failures[name]
	pause := min(first<<min(f.times, 16), most)
	t.failures[name] = failedName{f.times + 1, err}
	t.due[name] = now.Add(pause)
}

// mark has objects read again.
func (n *Names) mark(objects ...lb.Object) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, o := range objects {
		n.todo.objects[o] = true
	}
	n.todo.poke()
}

// markNames has names planned again, now.
func (n *Names) markNames(names ...dns.Name) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, name := range names {
		n.todo.add(name, n.options.Now())
	}
	n.todo.poke()
}

// addOwned has the names planned that we own something at: what nobody asks for any more goes.
func (n *Names) addOwned() { n.markNames(n.options.Keeper.Owned()...) }

// index is what objects ask for, by object and by name.
type index struct {
	reads  map[lb.Object]source.Read
	byName map[dns.Name]map[lb.Object]bool
}

func newIndex() index {
	return index{reads: map[lb.Object]source.Read{}, byName: map[dns.Name]map[lb.Object]bool{}}
}

// set replaces what an object asks for, and returns the names for which that makes a difference.
func (x index) set(o lb.Object, read source.Read) []dns.Name {
	before := x.reads[o]
	if len(read.Endpoints)+len(read.Verdicts) == 0 {
		delete(x.reads, o)
	} else {
		x.reads[o] = read
	}
	if reflect.DeepEqual(before.Endpoints, read.Endpoints) {
		return nil
	}
	touched := map[dns.Name]bool{}
	for _, e := range before.Endpoints {
		touched[e.Name] = true
		delete(x.byName[e.Name], o)
		if len(x.byName[e.Name]) == 0 {
			delete(x.byName, e.Name)
		}
	}
	for _, e := range read.Endpoints {
		touched[e.Name] = true
		if x.byName[e.Name] == nil {
			x.byName[e.Name] = map[lb.Object]bool{}
		}
		x.byName[e.Name][o] = true
	}
	names := make([]dns.Name, 0, len(touched))
	for name := range touched {
		names = append(names, name)
	}
	return names
}

// endpoints are all that is asked of a name.
func (x index) endpoints(name dns.Name) []dns.Endpoint {
	var out []dns.Endpoint
	for o := range x.byName[name] {
		for _, e := range x.reads[o].Endpoints {
			if e.Name == name {
				out = append(out, e)
			}
		}
	}
	return out
}

// asking are the objects that ask for any of these names.
func (x index) asking(names []dns.Name) []lb.Object {
	found := map[lb.Object]bool{}
	for _, name := range names {
		for o := range x.byName[name] {
			found[o] = true
		}
	}
	out := make([]lb.Object, 0, len(found))
	for o := range found {
		out = append(out, o)
	}
	slices.SortFunc(out, lb.Object.Compare)
	return out
}
