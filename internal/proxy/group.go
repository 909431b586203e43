package proxy

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"
)

// group is a target group at work. Its identity lasts as long as the group is configured, so compiled rules refer to it.
type group struct {
	id     TargetGroupID
	counts counts // up to lastGroupMetric

	// Guarded by Server.mu.
	config   TargetGroup
	matcher  matcherCodes
	used     bool // some listener or rule refers to it
	targets  map[TargetKey]*target
	draining []*target // in the order in which they left
	scope    scope

	// For requests.
	choice  atomic.Pointer[choice]
	network atomic.Pointer[networkChoice] // instead, of a Network Load Balancer's group
	turn    atomic.Uint64
}

// choice is the targets that may get a request now, and how one is picked (load_balancing.algorithm.type).
type choice struct {
	version   ProtocolVersion
	algorithm string
	sticky    Stickiness
	targets   []*target
	// slow, where some targets start slowly, has when each began, and the zero time for the others: at least one.
	slow     []time.Time
	slowTime time.Duration
	clock    Clock
}

// version is what the group's targets speak.
func (g *group) version() ProtocolVersion {
	if c := g.choice.Load(); c != nil {
		return c.version
	}
	return HTTP1
}

// acquire picks a target and counts the request that goes there; nil when there is none.
func (g *group) acquire() *target {
	for {
		c := g.choice.Load()
		if c == nil || len(c.targets) == 0 {
			return nil
		}
		if t := c.pick(g.turn.Add(1) - 1); t.enter() {
			return t
		} // or else it left just now, so there is a newer choice without it
	}
}

// enter counts a request to a target, unless that is draining.
func (t *target) enter() bool {
	t.inflight.Add(1)
	if t.leaving.Load() {
		t.inflight.Add(-1)
		return false
	}
	return true
}

// pick chooses by the algorithm (ELB "Target groups for your Application Load Balancers", Routing algorithms).
func (c *choice) pick(turn uint64) *target {
	n := uint64(len(c.targets))
	switch c.algorithm {
	case "weighted_random":
		return c.targets[rand.Uint64N(n)]
	case "least_outstanding_requests":
		// The search begins at another target each time, so that equal ones take turns.
		best := c.targets[turn%n]
		fewest := best.inflight.Load()
		for i := uint64(1); i < n && fewest > 0; i++ {
			t := c.targets[(turn+i)%n]
			if inflight := t.inflight.Load(); inflight < fewest {
				best, fewest = t, inflight
			}
		}
		return best
	}
	if c.slow == nil {
		return c.targets[turn%n]
	}
	return c.pickSlowly(turn)
}

// pickSlowly takes turns, but passes over a target in slow start in proportion to the time it still has to go
// (ELB "Target groups for your Application Load Balancers", Slow start mode).
func (c *choice) pickSlowly(turn uint64) *target {
	now, n := c.clock.Now(), uint64(len(c.targets))
	for i := range n {
		at := (turn + i) % n
		if from := c.slow[at]; from.IsZero() || rand.Float64() < float64(now.Sub(from))/float64(c.slowTime) {
			return c.targets[at]
		}
	}
	return c.targets[turn%n] // does not come to it, as one is not slow
}

// release ends what enter began.
func (t *target) release() { t.inflight.Add(-1) }

// choose publishes which targets get requests: the healthy ones; all when there are too few of them (ELB "Target group
// health"), or none (fail open). Server.mu is held.
func (g *group) choose() {
	if forNetwork(g.config.Protocol) {
		g.chooseNetwork()
		return
	}
	c := &choice{version: g.config.ProtocolVersion, algorithm: g.config.Algorithm, sticky: g.config.Stickiness}
	for _, t := range g.targets {
		if t.health.state == healthy || t.health.state == unavailable {
			c.targets = append(c.targets, t)
		}
	}
	if len(c.targets) == 0 || !g.config.Failover.Met(len(c.targets), len(g.targets)) {
		c.targets = c.targets[:0]
		for _, t := range g.targets {
			c.targets = append(c.targets, t)
		}
	}
	slices.SortFunc(c.targets, func(a, b *target) int { return a.key.compare(b.key) })
	g.chooseSlow(c)
	g.choice.Store(c)
}

// chooseSlow notes which targets are in slow start. Server.mu is held.
func (g *group) chooseSlow(c *choice) {
	if g.config.SlowStart <= 0 || c.algorithm != "" && c.algorithm != "round_robin" {
		return
	}
	slow := make([]time.Time, len(c.targets))
	some, settled := false, false
	for i, t := range c.targets {
		slow[i] = t.slowFrom
		some = some || !t.slowFrom.IsZero()
		settled = settled || t.slowFrom.IsZero()
	}
	if some && settled {
		c.slow, c.slowTime, c.clock = slow, g.config.SlowStart, c.targets[0].server.clock
	}
}

// settled says whether some healthy target other than this is not in slow start. Server.mu is held.
func (g *group) settled(other *target) bool {
	for _, t := range g.targets {
		if t != other && t.health.state == healthy && t.slowFrom.IsZero() {
			return true
		}
	}
	return false
}

// startSlowly is called when a target has become healthy, or is so no more. It starts slowly if others can take the
// requests meanwhile, and if there were such when it was registered. Server.mu is held.
func (s *Server) startSlowly(t *target, from string) {
	g := t.group
	switch {
	case t.health.state != healthy:
		t.slowFrom = time.Time{}
	case from == healthy:
	default:
		exempt := t.exempt
		t.exempt = false
		if g.config.SlowStart > 0 && !exempt && g.settled(t) {
			began := s.clock.Now()
			t.slowFrom = began
			s.clock.AfterFunc(g.config.SlowStart, func() { s.endSlow(t, began) })
		}
	}
}

// endSlow ends a slow start whose time is over.
func (s *Server) endSlow(t *target, began time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.slowFrom.Equal(began) {
		t.slowFrom = time.Time{}
		t.group.choose()
	}
}

// update makes the group as configured. Server.mu is held.
func (s *Server) updateGroup(g *group, config TargetGroup, used bool, at scope) error {
	before := g.config
	begins := g.targets == nil
	moved := !g.scope.equal(at)
	g.config, g.used, g.scope = config, used, at
	var err error
	success := "200"
	if config.ProtocolVersion == GRPC {
		success = "12"
	}
	g.matcher, err = parseMatcher(orElse(config.HealthCheck.Matcher, success))
	recheck := begins || moved || before.HealthCheck != config.HealthCheck
	if begins {
		g.targets = map[TargetKey]*target{}
	}
	wanted := make(map[TargetKey]bool, len(config.Targets))
	for _, c := range config.Targets {
		key := TargetKey{c.ID, c.Port}
		wanted[key] = true
		if t := g.targets[key]; t != nil && !t.is(c, config.Protocol) {
			s.drain(t)
		}
		switch t := g.targets[key]; {
		case t == nil:
			s.register(g, c)
		case t.zone != c.Zone:
			t.zone = c.Zone
			s.watch(t)
		case recheck || t.health.unused() == used:
			s.watch(t)
		}
	}
	for key, t := range g.targets {
		if !wanted[key] {
			s.drain(t)
		}
	}
	g.choose()
	for _, t := range g.draining {
		s.leave(t)
	}
	return err
}

// is says whether the running target is the configured one.
func (t *target) is(c Target, protocol string) bool {
	return t.address.Addr() == c.Address && t.tls == encrypted(protocol) && t.quicServer == c.QUICServer
}

// encrypted tells the protocols of which targets speak TLS.
func encrypted(protocol string) bool { return protocol == "HTTPS" || protocol == string(NetworkTLS) }

// register adds a target, or takes one back that is draining.
func (s *Server) register(g *group, c Target) {
	key := TargetKey{c.ID, c.Port}
	for i, t := range g.draining {
		if t.key == key && t.is(c, g.config.Protocol) {
			g.draining = slices.Delete(g.draining, i, i+1)
			t.health.stop()
			g.targets[key] = t
			t.leaving.Store(false)
			t.pooling(true)
			t.health = targetState{epoch: t.health.epoch}
			t.zone = c.Zone
			s.watch(t)
			return
		}
	}
	t := &target{
		server: s, group: g, key: key, address: netAddrPort(c), tls: encrypted(g.config.Protocol),
		zone: c.Zone, quicServer: c.QUICServer,
		active: map[*targetConn]struct{}{},
	}
	if v := g.config.ProtocolVersion; v == HTTP2 || v == GRPC {
		t.streams = t.speaker()
		t.ended, t.end = context.WithCancel(context.Background())
	}
	t.exempt = !g.settled(t)
	g.targets[key] = t
	s.watch(t)
}

// drain takes a target out. Requests stop when the next choice is published and leave is called. A target that no
// listener uses and that has nothing to finish is gone at once.
func (s *Server) drain(t *target) {
	g := t.group
	delete(g.targets, t.key)
	t.health.stop()
	t.health = targetState{
		epoch: t.health.epoch + 1, state: draining, reason: "Target.DeregistrationInProgress",
		description: "Target deregistration is in progress",
	}
	g.draining = append(g.draining, t)
	delay, cut := g.config.DeregistrationDelay, !forNetwork(g.config.Protocol) || g.config.Network.CutDeregistered
	if !g.used && t.inflight.Load() == 0 {
		// A request that began under the previous rules may still come; it is not to be cut off.
		delay, cut = 0, false
	}
	epoch := t.health.epoch
	t.health.stopTimer = s.clock.AfterFunc(delay, func() { s.drained(t, epoch, cut) })
}

// leave keeps new requests from a draining target. In-flight ones go on, and their connections close after them.
func (s *Server) leave(t *target) {
	if !t.leaving.Swap(true) {
		t.pooling(false)
	}
}

// drained ends a target whose deregistration delay is over: with cut, what is still in flight there gets 502.
func (s *Server) drained(t *target, epoch int, cut bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := t.group
	i := slices.Index(g.draining, t)
	if i < 0 || t.health.epoch != epoch {
		return
	}
	g.draining = slices.Delete(g.draining, i, i+1)
	if !cut {
		return
	}
	if n := t.inflight.Load(); n > 0 {
		s.log.Info("deregistration delay over, ending requests", "group", g.id, "target", t.key.ID, "port", t.key.Port, "requests", n)
	}
	t.cut()
}

// dropGroup forgets a group that is configured no more. Requests on their way there finish.
func (s *Server) dropGroup(g *group) {
	for _, t := range g.targets {
		t.health.stop()
		t.health.epoch++
		t.pooling(false)
	}
	for _, t := range g.draining {
		t.health.stop()
		t.health.epoch++
	}
}

// healthOf lists the targets of a group, registered and draining. Server.mu is held.
func (g *group) healthOf() []TargetHealth {
	out := make([]TargetHealth, 0, len(g.targets)+len(g.draining))
	for _, t := range g.targets {
		out = append(out, t.report())
	}
	for i, t := range g.draining {
		again := slices.ContainsFunc(g.draining[i+1:], func(o *target) bool { return o.key == t.key })
		if g.targets[t.key] == nil && !again {
			out = append(out, t.report())
		}
	}
	slices.SortFunc(out, func(a, b TargetHealth) int { return a.Target.compare(b.Target) })
	return out
}
