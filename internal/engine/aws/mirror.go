package aws

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/sluicehq/sluice/internal/lb"
)

// mirror is what AWS has of ours. It is safe for concurrent use; rows given out are never changed.
type mirror struct {
	cluster string
	now     func() time.Time

	mu             sync.Mutex
	loaded         bool
	loadBalancers  table[loadBalancer]
	listeners      table[listener]
	rules          table[rule] // foreign rules, seen on a conflict, belong to stack ""
	targetGroups   table[targetGroup]
	securityGroups table[securityGroup] // the backend security group belongs to stack ""
	chosen         map[lb.StackID]choice

	handovers map[string]time.Time // when load balancers, by ARN, were no longer needed: others had taken their place

	looks map[string]time.Time // when was last looked whether they are

	unread  map[string]bool     // load balancers that nobody has looked into yet, by ARN
	foreign map[string]bool     // ARNs of load balancers and target groups that are known not to be ours
	touched map[lb.StackID]bool // stacks with a row that changed since the checkpoint took this
}

// choice is what the latest plan of a stack decided. A stack that was planned has one.
type choice struct {
	backend bool                     // it wants the backend security group
	names   map[lb.ResourceID]string // physical names of its load balancers and target groups
}

func newMirror(cluster string, now func() time.Time) *mirror {
	m := &mirror{
		cluster: cluster, now: now, chosen: map[lb.StackID]choice{},
		handovers: map[string]time.Time{}, looks: map[string]time.Time{}, unread: map[string]bool{}, foreign: map[string]bool{}, touched: map[lb.StackID]bool{},
	}
	m.loadBalancers = newTable(m, func(r loadBalancer) tags { return r.Tags })
	m.listeners = newTable(m, func(r listener) tags { return r.Tags })
	m.rules = newTable(m, func(r rule) tags { return r.Tags })
	m.targetGroups = newTable(m, func(r targetGroup) tags { return r.Tags })
	m.securityGroups = newTable(m, func(r securityGroup) tags { return r.Tags })
	return m
}

// write changes the mirror under its lock.
func (m *mirror) write(change func(now time.Time)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change(m.now())
}

// inventory is one whole reading of AWS, by ARN or id.
type inventory struct {
	listing
	contents
}

// merge takes a reading that began at since and returns the stacks for which something changed, sorted.
func (m *mirror) merge(fresh inventory, since time.Time) []lb.StackID {
	m.mu.Lock()
	defer m.mu.Unlock()
	changed := map[lb.StackID]bool{}
	m.loadBalancers.merge(fresh.loadBalancers, since, changed)
	m.listeners.merge(fresh.listeners, since, changed)
	m.rules.merge(fresh.rules, since, changed)
	m.targetGroups.merge(fresh.targetGroups, since, changed)
	m.sortForeign(fresh.listing)
	m.loaded = true
	delete(changed, "")
	return slices.Sorted(maps.Keys(changed))
}

// mergeSecurityGroups is merge for security groups alone.
func (m *mirror) mergeSecurityGroups(fresh map[string]securityGroup, since time.Time) []lb.StackID {
	m.mu.Lock()
	defer m.mu.Unlock()
	changed := map[lb.StackID]bool{}
	m.securityGroups.merge(fresh, since, changed)
	delete(changed, "")
	return slices.Sorted(maps.Keys(changed))
}

// view is what lowering sees of the mirror: one stack, at one moment.
type view struct {
	LoadBalancers  []loadBalancer
	Listeners      []listener
	Rules          []rule // also foreign ones of these listeners
	TargetGroups   []targetGroup
	SecurityGroups []securityGroup
	Backend        *securityGroup // the cluster's backend security group, if it exists
	BackendNeeded  bool           // by another stack
	Serving        []loadBalancer // set for planning: those that stay until others have taken their place
}

func (m *mirror) view(stack lb.StackID) view {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.look(stack)
}

// look is view; the caller holds the lock.
func (m *mirror) look(stack lb.StackID) view {
	v := view{
		LoadBalancers:  m.loadBalancers.of(stack),
		TargetGroups:   m.targetGroups.of(stack),
		SecurityGroups: m.securityGroups.of(stack),
	}
	for _, l := range m.listeners.of(stack) {
		if _, ok := m.loadBalancers.rows[l.LoadBalancer]; ok {
			v.Listeners = append(v.Listeners, l)
		}
	}
	for _, r := range append(m.rules.of(stack), m.rules.of("")...) {
		if l, ok := m.listeners.rows[r.Listener]; ok && slices.ContainsFunc(v.Listeners, func(o listener) bool { return o.ARN == l.ARN }) {
			v.Rules = append(v.Rules, r)
		}
	}
	v.Backend = m.backend()
	v.BackendNeeded = m.backendNeeded(stack)
	return v
}

// backend finds the cluster's backend security group; the caller holds the lock.
func (m *mirror) backend() *securityGroup {
	for _, g := range m.securityGroups.of("") {
		if g.Tags.isBackend(m.cluster) {
			return &g
		}
	}
	return nil
}

// backendNeeded says whether a stack other than this one wants the backend security group, or uses it and was not
// planned without it: of stacks that go at the same time, the one planned last removes it. The caller holds the lock.
func (m *mirror) backendNeeded(but lb.StackID) bool {
	for stack, c := range m.chosen {
		if stack != but && c.backend {
			return true
		}
	}
	group := m.backend()
	if group == nil {
		return false
	}
	for _, b := range m.loadBalancers.rows {
		stack := m.loadBalancers.stackOf(b)
		if _, goes := m.chosen[stack]; stack != but && !goes && slices.Contains(b.SecurityGroups, group.ID) {
			return true
		}
	}
	return false
}

// stacksWithSomething lists the stacks of all rows, sorted.
func (m *mirror) stacksWithSomething() []lb.StackID {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := map[lb.StackID]bool{}
	for stack := range m.loadBalancers.stacks {
		all[stack] = true
	}
	for stack := range m.targetGroups.stacks {
		all[stack] = true
	}
	for stack := range m.securityGroups.stacks {
		all[stack] = true
	}
	delete(all, "")
	return slices.Sorted(maps.Keys(all))
}

// stacksOf adds the stacks that these ARNs belong to, and sorts.
func (m *mirror) stacksOf(arns []string, stacks []lb.StackID) []lb.StackID {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := map[lb.StackID]bool{}
	for _, id := range stacks {
		all[id] = true
	}
	for _, arn := range arns {
		if stack, ok := m.stackHaving(arn); ok {
			all[stack] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// dropLoadBalancer forgets a load balancer with its listeners and their rules, as AWS deletes them together.
func (m *mirror) dropLoadBalancer(arn string) {
	m.write(func(now time.Time) {
		row, ok := m.loadBalancers.rows[arn]
		m.loadBalancers.remove(arn, now)
		delete(m.unread, arn)
		delete(m.handovers, arn)
		delete(m.looks, arn)
		if !ok {
			return
		}
		for _, l := range m.listeners.of(m.loadBalancers.stackOf(row)) {
			if l.LoadBalancer == arn {
				m.removeListener(l, now)
			}
		}
	})
}

func (m *mirror) dropListener(arn string) {
	m.write(func(now time.Time) {
		if l, ok := m.listeners.rows[arn]; ok {
			m.removeListener(l, now)
		}
	})
}

// removeListener forgets a listener with its rules; the caller holds the lock.
func (m *mirror) removeListener(l listener, now time.Time) {
	m.listeners.remove(l.ARN, now)
	for _, r := range append(m.rules.of(m.listeners.stackOf(l)), m.rules.of("")...) {
		if r.Listener == l.ARN {
			m.rules.remove(r.ARN, now)
		}
	}
}

// arns lists what ELBv2 knows by ARN.
func (m *mirror) arns() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var arns []string
	for _, keys := range []func(func(string) bool){
		maps.Keys(m.loadBalancers.rows), maps.Keys(m.listeners.rows), maps.Keys(m.rules.rows), maps.Keys(m.targetGroups.rows),
	} {
		arns = slices.AppendSeq(arns, keys)
	}
	return arns
}

// provisioning lists the load balancers that are not active yet, sorted by ARN.
func (m *mirror) provisioning() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var arns []string
	for arn, b := range m.loadBalancers.rows {
		if b.State == "provisioning" {
			arns = append(arns, arn)
		}
	}
	slices.Sort(arns)
	return arns
}

func (m *mirror) isLoaded() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.loaded
}

// planning is view, and notes whether the stack wants the backend security group: in one step, so that of two stacks
// that let go of it at the same time, one sees the other going.
func (m *mirror) planning(stack lb.StackID, backend bool) view {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.chosen[stack]
	c.backend = backend
	m.chosen[stack] = c
	maps.DeleteFunc(m.chosen, func(s lb.StackID, c choice) bool {
		return !c.backend && len(m.loadBalancers.stacks[s]) == 0
	})
	return m.look(stack)
}

// choose notes the physical names that a plan of the stack uses.
func (m *mirror) choose(stack lb.StackID, names map[lb.ResourceID]string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if c, planned := m.chosen[stack]; planned {
		c.names = names
		m.chosen[stack] = c
	}
}

func (m *mirror) choiceOf(stack lb.StackID) choice {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.chosen[stack]
}

// Lookups by physical name, within a stack.

func (m *mirror) loadBalancerNamed(stack lb.StackID, name string) (loadBalancer, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return find(m.loadBalancers.of(stack), func(b loadBalancer) bool { return b.Name == name })
}

func (m *mirror) targetGroupNamed(stack lb.StackID, name string) (targetGroup, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return find(m.targetGroups.of(stack), func(g targetGroup) bool { return g.Name == name })
}

func (m *mirror) hasSecurityGroup(id string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, ok := m.securityGroups.rows[id]
	return ok
}

func (m *mirror) hasTargetGroup(arn string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, ok := m.targetGroups.rows[arn]
	return ok
}

func (m *mirror) securityGroupNamed(stack lb.StackID, name string) (securityGroup, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return find(m.securityGroups.of(stack), func(g securityGroup) bool { return g.Name == name })
}

func (m *mirror) backendGroup() (securityGroup, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if g := m.backend(); g != nil {
		return *g, true
	}
	return securityGroup{}, false
}

func (m *mirror) backendInUse(but lb.StackID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.backendNeeded(but)
}

// listenerAt finds the listener of a load balancer by port.
func (m *mirror) listenerAt(stack lb.StackID, balancer string, port uint16) (listener, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return find(m.listeners.of(stack), func(l listener) bool { return l.LoadBalancer == balancer && l.Port == port })
}

func find[V any](rows []V, is func(V) bool) (V, bool) {
	if i := slices.IndexFunc(rows, is); i >= 0 {
		return rows[i], true
	}
	var none V
	return none, false
}
