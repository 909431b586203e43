package localaws

import (
	"encoding/binary"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluicehq/sluice/internal/proxy"
)

// lag stands between the state and the data plane and lets changes reach it as late as they do on AWS: a load balancer
// serves once it is active, a rule's change is in force after a while, a target is let into or out of a Network Load
// Balancer's group after a while. It is guarded by Server.mu. A restart ends all waiting.
type lag struct {
	balancers map[proxy.LoadBalancerID]proxy.LoadBalancer // as the data plane has them
	networks  map[proxy.LoadBalancerID]proxy.NetworkLoadBalancer
	groups    map[proxy.TargetGroupID]proxy.TargetGroup
	due       map[string]time.Time // when what waits is to happen, by what it is
	stop      func() bool          // of the timer for the next of them
	closed    bool
}

// delay is the configuration that is to be in force now, given the wanted one. It asks to be called again in time.
func (s *Server) delay(want proxy.Config) proxy.Config {
	now := s.options.Now()
	d := delayed{Server: s, profile: s.Profile(), now: now, due: map[string]time.Time{}}
	var out proxy.Config
	for _, b := range want.LoadBalancers {
		if d.active(b.ID) {
			out.LoadBalancers = append(out.LoadBalancers, d.balancer(b))
		}
	}
	for _, b := range want.NetworkLoadBalancers {
		if d.active(b.ID) {
			out.NetworkLoadBalancers = append(out.NetworkLoadBalancers, d.network(b))
		}
	}
	for _, g := range want.TargetGroups {
		out.TargetGroups = append(out.TargetGroups, d.group(g))
	}
	out.TargetGroups = append(out.TargetGroups, d.stillUsed(out)...)
	s.lag.due = d.due
	s.lag.remember(out)
	s.darken()
	s.wake(now)
	return out
}

func (l *lag) remember(c proxy.Config) {
	l.balancers = make(map[proxy.LoadBalancerID]proxy.LoadBalancer, len(c.LoadBalancers))
	for _, b := range c.LoadBalancers {
		l.balancers[b.ID] = b
	}
	l.networks = make(map[proxy.LoadBalancerID]proxy.NetworkLoadBalancer, len(c.NetworkLoadBalancers))
	for _, b := range c.NetworkLoadBalancers {
		l.networks[b.ID] = b
	}
	l.groups = make(map[proxy.TargetGroupID]proxy.TargetGroup, len(c.TargetGroups))
	for _, g := range c.TargetGroups {
		l.groups[g.ID] = g
	}
}

// wake sets the timer for what is due next.
func (s *Server) wake(now time.Time) {
	if s.lag.stop != nil {
		s.lag.stop()
		s.lag.stop = nil
	}
	if len(s.lag.due) == 0 || s.lag.closed {
		return
	}
	var next time.Time
	for _, at := range s.lag.due {
		if next.IsZero() || at.Before(next) {
			next = at
		}
	}
	s.lag.stop = s.options.AfterFunc(next.Sub(now), func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.lag.closed {
			return
		}
		if err := s.applyPlane(); err != nil {
			s.log.Error("a change that was accepted cannot be put in force", "error", err)
		}
	})
}

// enters tells whether a target waits to be let in.
func (l *lag) enters(group proxy.TargetGroupID, t proxy.TargetKey) bool {
	_, waits := l.due[registering(group, t)]
	return waits
}

// leaves tells whether a target that was taken out still gets connections.
func (l *lag) leaves(group proxy.TargetGroupID, t proxy.TargetKey) bool {
	_, waits := l.due[leaving(group, t)]
	return waits
}

func (l *lag) close() {
	l.closed = true
	if l.stop != nil {
		l.stop()
	}
}

// delayed is one look at what has to wait.
type delayed struct {
	*Server
	profile Profile
	now     time.Time
	due     map[string]time.Time
}

// waits tells whether a change has to wait still; its wait begins when it is first seen.
func (d *delayed) waits(what string, delay time.Duration) bool {
	at, waiting := d.lag.due[what]
	if !waiting {
		at = d.now.Add(delay)
	}
	if delay <= 0 || !at.After(d.now) {
		return false
	}
	d.due[what] = at
	return true
}

// active tells whether a load balancer is provisioned.
func (d *delayed) active(id proxy.LoadBalancerID) bool {
	row, _ := d.state.loadBalancers.get(string(id))
	if row.ActiveAt.After(d.now) {
		d.due[string(id)] = row.ActiveAt
		return false
	}
	return true
}

// network keeps the actions of listeners whose change is not in force yet.
func (d *delayed) network(b proxy.NetworkLoadBalancer) proxy.NetworkLoadBalancer {
	have, known := d.lag.networks[b.ID]
	if !known || d.profile.RuleChanges <= 0 {
		return b
	}
	b.Listeners = slices.Clone(b.Listeners)
	for i, l := range b.Listeners {
		at := slices.IndexFunc(have.Listeners, func(old proxy.NetworkListener) bool { return old.ID == l.ID })
		if at >= 0 && !reflect.DeepEqual(have.Listeners[at].Forward, l.Forward) &&
			d.waits(string(l.ID), d.within(string(l.ID), d.profile.RuleChanges)) {
			b.Listeners[i].Forward = have.Listeners[at].Forward
		}
	}
	return b
}

// balancer keeps the rules of listeners whose change is not in force yet.
func (d *delayed) balancer(b proxy.LoadBalancer) proxy.LoadBalancer {
	have, known := d.lag.balancers[b.ID]
	if !known || d.profile.RuleChanges <= 0 {
		return b
	}
	b.Listeners = slices.Clone(b.Listeners)
	for i, l := range b.Listeners {
		at := slices.IndexFunc(have.Listeners, func(old proxy.Listener) bool { return old.ID == l.ID })
		if at < 0 {
			continue
		}
		old := have.Listeners[at]
		if reflect.DeepEqual(old.Rules, l.Rules) && reflect.DeepEqual(old.Default, l.Default) {
			continue
		}
		if d.waits(string(l.ID), d.within(string(l.ID), d.profile.RuleChanges)) {
			b.Listeners[i].Rules, b.Listeners[i].Default = old.Rules, old.Default
		}
	}
	return b
}

// within picks a moment of a window, unless one was picked already.
func (d *delayed) within(what string, window time.Duration) time.Duration {
	if at, waiting := d.lag.due[what]; waiting {
		return max(at.Sub(d.now), 1)
	}
	var b [8]byte
	d.random.Lock()
	defer d.random.Unlock()
	if _, err := io.ReadFull(d.options.Random, b[:]); err != nil {
		return window
	}
	return 1 + time.Duration(binary.BigEndian.Uint64(b[:])%uint64(window))
}

// group keeps new targets of a Network Load Balancer's group out, and old ones in, for as long as AWS takes.
func (d *delayed) group(g proxy.TargetGroup) proxy.TargetGroup {
	if strings.HasPrefix(g.Protocol, "HTTP") || d.profile.Registration <= 0 && d.profile.Deregistration <= 0 {
		return g
	}
	have := d.lag.groups[g.ID].Targets
	g.Targets = slices.DeleteFunc(slices.Clone(g.Targets), func(t proxy.Target) bool {
		return !slices.ContainsFunc(have, sameTarget(t)) && d.waits(registering(g.ID, keyOf(t)), d.profile.Registration)
	})
	for _, t := range have {
		if !slices.ContainsFunc(g.Targets, sameTarget(t)) && d.waits(leaving(g.ID, keyOf(t)), d.profile.Deregistration) {
			g.Targets = append(g.Targets, t)
		}
	}
	return g
}

func sameTarget(t proxy.Target) func(proxy.Target) bool {
	return func(other proxy.Target) bool { return t.ID == other.ID && t.Port == other.Port }
}

func keyOf(t proxy.Target) proxy.TargetKey { return proxy.TargetKey{ID: t.ID, Port: t.Port} }

func registering(group proxy.TargetGroupID, t proxy.TargetKey) string {
	return "register " + string(group) + " " + t.ID + " " + strconv.Itoa(int(t.Port))
}

func leaving(group proxy.TargetGroupID, t proxy.TargetKey) string {
	return "deregister " + string(group) + " " + t.ID + " " + strconv.Itoa(int(t.Port))
}

// stillUsed are groups that are gone already, but not from the rules that are in force.
func (d *delayed) stillUsed(c proxy.Config) []proxy.TargetGroup {
	if len(d.due) == 0 {
		return nil
	}
	here := map[proxy.TargetGroupID]bool{}
	for _, g := range c.TargetGroups {
		here[g.ID] = true
	}
	var out []proxy.TargetGroup
	keep := func(a proxy.Action) {
		if a.Forward == nil {
			return
		}
		for _, w := range a.Forward.TargetGroups {
			if g, known := d.lag.groups[w.ID]; known && !here[w.ID] {
				here[w.ID] = true
				out = append(out, g)
			}
		}
	}
	for _, b := range c.NetworkLoadBalancers {
		for _, l := range b.Listeners {
			keep(proxy.Action{Forward: &l.Forward})
		}
	}
	for _, b := range c.LoadBalancers {
		for _, l := range b.Listeners {
			keep(l.Default)
			for _, r := range l.Rules {
				keep(r.Action)
			}
		}
	}
	return out
}
