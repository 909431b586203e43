package aws

import (
	"maps"
	"slices"
	"time"

	"github.com/sluicehq/sluice/internal/lb"
)

// The part of the mirror that is about its beginning and its memory in a checkpoint.

// open takes the listing of a start that began at since. What stands in a load balancer that is still there is taken
// from memory where somebody remembers it; the others are unread until somebody looks into them.
func (m *mirror) open(l listing, remembered map[lb.StackID]memory, since time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	recalled := map[string]bool{}
	for _, saved := range remembered {
		for _, b := range saved.LoadBalancers {
			recalled[b.ARN] = true
		}
	}
	for arn := range l.loadBalancers {
		if _, known := m.loadBalancers.rows[arn]; !known && !recalled[arn] {
			m.unread[arn] = true
		}
	}
	ignored := map[lb.StackID]bool{}
	m.loadBalancers.merge(l.loadBalancers, since, ignored)
	m.targetGroups.merge(l.targetGroups, since, ignored)
	for _, saved := range remembered {
		for _, row := range saved.Listeners {
			if _, there := m.loadBalancers.rows[row.LoadBalancer]; there && !m.listeners.knows(row.ARN) {
				m.listeners.set(row.ARN, row)
			}
		}
		for _, row := range saved.Rules {
			if _, there := m.listeners.rows[row.Listener]; there && !m.rules.knows(row.ARN) {
				m.rules.set(row.ARN, row)
			}
		}
	}
	m.sortForeign(l)
	m.loaded = true
}

// sortForeign notes what is not ours; the caller holds the lock.
func (m *mirror) sortForeign(l listing) {
	if l.children == nil {
		clear(m.foreign) // all that there is was listed
	}
	for _, arn := range l.foreign {
		m.foreign[arn] = true
	}
	for arn := range l.loadBalancers {
		delete(m.foreign, arn)
	}
	for arn := range l.targetGroups {
		delete(m.foreign, arn)
	}
}

// knowsARN says whether a row has this ARN.
func (m *mirror) knowsARN(arn string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, ok := m.stackHaving(arn)
	return ok
}

// touch notes that something about a row has changed that the row does not show.
func (m *mirror) touch(arn string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if stack, ok := m.stackHaving(arn); ok {
		m.touched[stack] = true
	}
}

// stackHaving is the stack of what has attributes; the caller holds the lock.
func (m *mirror) stackHaving(arn string) (lb.StackID, bool) {
	if b, ok := m.loadBalancers.rows[arn]; ok {
		return m.loadBalancers.stackOf(b), true
	}
	if l, ok := m.listeners.rows[arn]; ok {
		return m.listeners.stackOf(l), true
	}
	if g, ok := m.targetGroups.rows[arn]; ok {
		return m.targetGroups.stackOf(g), true
	}
	return "", false
}

// fill takes what was read of the contents of load balancers. Those that somebody looked into meanwhile are known
// better already.
func (m *mirror) fill(balancers []string, read contents) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, row := range read.listeners {
		if m.unread[row.LoadBalancer] {
			m.listeners.set(row.ARN, row)
		}
	}
	for _, row := range read.rules {
		if l, ok := m.listeners.rows[row.Listener]; ok && m.unread[l.LoadBalancer] {
			m.rules.set(row.ARN, row)
		}
	}
	for _, arn := range balancers {
		delete(m.unread, arn)
	}
}

// unreadOf lists the load balancers of a stack, or of all where it is empty, that nobody has looked into, sorted.
func (m *mirror) unreadOf(stack lb.StackID) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var arns []string
	for arn := range m.unread {
		if row, ok := m.loadBalancers.rows[arn]; ok && (stack == "" || m.loadBalancers.stackOf(row) == stack) {
			arns = append(arns, arn)
		}
	}
	slices.Sort(arns)
	return arns
}

// takeTouched returns the stacks that changed since the last call.
func (m *mirror) takeTouched() map[lb.StackID]bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	touched := maps.Clone(m.touched)
	delete(touched, "")
	clear(m.touched) // the tables share it
	return touched
}

// memories are the stacks that a checkpoint may take: those whose load balancers have all been looked into.
func (m *mirror) memories(take func(lb.StackID) bool) map[lb.StackID]memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := map[lb.StackID]memory{}
	for _, stacks := range [...]map[lb.StackID]map[string]struct{}{m.loadBalancers.stacks, m.targetGroups.stacks} {
		for stack := range stacks {
			if _, taken := all[stack]; taken || stack == "" || !take(stack) {
				continue
			}
			v := m.look(stack)
			if slices.ContainsFunc(v.LoadBalancers, func(b loadBalancer) bool { return m.unread[b.ARN] }) {
				continue
			}
			all[stack] = memory{LoadBalancers: v.LoadBalancers, Listeners: v.Listeners, Rules: v.Rules, TargetGroups: v.TargetGroups}
		}
	}
	return all
}

func (m *mirror) foreigners() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.foreign))
}
