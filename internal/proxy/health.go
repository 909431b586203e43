package proxy

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/pires/go-proxyproto"
)

// The states of a target, as ELBv2 words them.
const (
	initial     = "initial"
	healthy     = "healthy"
	unhealthy   = "unhealthy"
	draining    = "draining"
	unused      = "unused"
	unavailable = "unavailable"

	unhealthyDraining = "unhealthy.draining"
)

// targetState is what is known of a target's health. Guarded by Server.mu.
type targetState struct {
	state, reason, description string

	lingering bool // unhealthy, with its flows going on for a while
	streak    int  // results of the same kind in a row that speak against the state
	epoch     int  // a check that began in another epoch does not count
	stopTimer func() bool
	cancel    context.CancelFunc // of the check under way
}

func (h *targetState) unused() bool { return h.state == unused }

func (h *targetState) set(state, reason, description string) {
	h.state, h.reason, h.description, h.streak, h.lingering = state, reason, description, 0, false
}

// stop ends the timer and the check under way.
func (h *targetState) stop() {
	if h.stopTimer != nil {
		h.stopTimer()
		h.stopTimer = nil
	}
	if h.cancel != nil {
		h.cancel()
		h.cancel = nil
	}
}

func (k TargetKey) compare(other TargetKey) int {
	return cmp.Or(cmp.Compare(k.ID, other.ID), cmp.Compare(k.Port, other.Port))
}

func netAddrPort(c Target) netip.AddrPort { return netip.AddrPortFrom(c.Address, c.Port) }

func (t *target) report() TargetHealth {
	state := t.health.state
	if t.health.lingering {
		state = unhealthyDraining
	}
	return TargetHealth{
		Target: t.key, HealthCheckPort: t.checkAddress().Port(),
		State: state, Reason: t.health.reason, Description: t.health.description,
	}
}

func (t *target) checkAddress() netip.AddrPort {
	return netip.AddrPortFrom(t.address.Addr(), orElse(t.group.config.HealthCheck.Port, t.key.Port))
}

// watch begins to check a target, or stops where it is not to be checked. The state stays unless it says something else
// about being checked at all; so a change of the health check alone does not take a healthy target out. The first
// check is at once. Server.mu is held.
func (s *Server) watch(t *target) {
	h := &t.health
	h.stop()
	h.epoch++
	switch {
	case !t.group.used:
		h.set(unused, "Target.NotInUse", "Target group is not configured to receive traffic from the load balancer")
		return
	case !t.group.scope.enabled(t.zone):
		h.set(unused, "Target.NotInUse", "Target is in an Availability Zone that is not enabled for the load balancer")
		return
	case t.group.config.HealthCheck.Disabled:
		h.set(unavailable, "Target.HealthCheckDisabled", "Health checks are disabled")
		return
	}
	switch h.state {
	case healthy, unhealthy, initial:
	default:
		h.set(initial, "Elb.RegistrationInProgress", "Target registration is in progress")
	}
	s.scheduleCheck(t, 0)
}

// scheduleCheck starts a check in a while. Server.mu is held.
func (s *Server) scheduleCheck(t *target, in time.Duration) {
	epoch := t.health.epoch
	run := func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if t.health.epoch == epoch {
			s.startCheck(t)
		}
	}
	if in <= 0 {
		s.startCheck(t)
		return
	}
	t.health.stopTimer = s.clock.AfterFunc(in, run)
}

// startCheck sends one check. Server.mu is held.
func (s *Server) startCheck(t *target) {
	if s.closed {
		return
	}
	p := probe{
		HealthCheck: t.group.config.HealthCheck, matcher: t.group.matcher, address: t.checkAddress(),
		version: t.group.config.ProtocolVersion, clock: s.clock, dial: s.dial, host: t.checkAddress().String(),
	}
	network := forNetwork(t.group.config.Protocol)
	if network {
		p.host, p.announces = t.group.scope.host(t.zone), t.group.config.Network.ProxyProtocol
	}
	h := &t.health
	if h.state == initial {
		h.reason, h.description = "Elb.InitialHealthChecking", "Initial health checks in progress"
	}
	ctx, cancel := context.WithCancel(s.context)
	h.cancel = cancel
	epoch, began := h.epoch, s.clock.Now()
	s.background.Go(func() {
		defer cancel()
		result := p.run(ctx)
		if network && result.reason != "" {
			result = networkFailure
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if h.epoch != epoch || s.closed {
			return
		}
		h.cancel = nil
		s.learn(t, result)
		interval := orElse(p.Interval, 30*time.Second)
		s.scheduleCheck(t, max(interval-s.clock.Now().Sub(began), time.Millisecond))
	})
}

// verdict is the outcome of one check; reason is empty when it succeeded.
type verdict struct{ reason, description string }

// learn counts a result (ELB "Health checks for your target groups"): one success makes an initial target healthy; other
// changes take as many results in a row as the thresholds say. Server.mu is held.
func (s *Server) learn(t *target, v verdict) {
	h, config := &t.health, &t.group.config.HealthCheck
	before := h.state
	switch ok := v.reason == ""; {
	case ok && h.state == healthy, !ok && h.state == unhealthy:
		h.streak = 0
		h.reason, h.description = v.reason, v.description
	case ok && h.state == initial:
		h.set(healthy, "", "")
	case ok:
		if h.streak++; h.streak >= orElse(config.HealthyThreshold, 5) {
			h.set(healthy, "", "")
		}
	default:
		if h.streak++; h.streak >= orElse(config.UnhealthyThreshold, 2) {
			h.set(unhealthy, v.reason, v.description)
		}
	}
	if h.state != before {
		s.startSlowly(t, before)
		s.log.Debug("target health changed", "group", t.group.id, "target", t.key.ID, "port", t.key.Port,
			"state", h.state, "reason", h.reason, "description", h.description)
		t.group.choose()
		s.settleFlows(t)
	}
}

// probe is one health check.
type probe struct {
	HealthCheck
	matcher matcherCodes
	address netip.AddrPort
	version ProtocolVersion
	host    string // what the check asks for
	// announces says that a header of the proxy protocol comes first, one that tells of no client.
	announces bool
	clock     Clock
	dial      dialFunc
}

// run sends one GET over a fresh connection and judges the answer's status.
func (p *probe) run(ctx context.Context) verdict {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := p.clock.AfterFunc(orElse(p.Timeout, 5*time.Second), func() { cancel(context.DeadlineExceeded) })
	defer stop()
	if p.Protocol == "TCP" {
		return p.connect(ctx)
	}
	ask := p.get
	if p.version == HTTP2 || p.version == GRPC {
		ask = p.check
	}
	status, err := ask(ctx)
	switch {
	case err == nil && p.matcher.has(status):
		return verdict{}
	case err == nil:
		return verdict{"Target.ResponseCodeMismatch", fmt.Sprintf("Health checks failed with these codes: [%d]", status)}
	case errors.Is(context.Cause(ctx), context.DeadlineExceeded), isTimeout(err):
		return verdict{"Target.Timeout", "Request timed out"}
	}
	return verdict{"Target.FailedHealthChecks", "Health checks failed"}
}

// connect checks over TCP: a connection that opens is all there is to see.
func (p *probe) connect(ctx context.Context) verdict {
	conn, err := p.open(ctx)
	if err == nil {
		closeQuietly(conn)
		return verdict{}
	}
	return verdict{"Target.FailedHealthChecks", "Health checks failed"}
}

// open connects to the target.
func (p *probe) open(ctx context.Context) (net.Conn, error) {
	conn, err := p.dial(ctx, "tcp", p.address.String())
	if err != nil || !p.announces {
		return conn, err
	}
	if _, err := (&proxyproto.Header{Version: 2, Command: proxyproto.LOCAL}).WriteTo(conn); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

func (p *probe) get(ctx context.Context) (status int, err error) {
	conn, err := p.open(ctx)
	if err != nil {
		return 0, err
	}
	defer closeQuietly(conn)
	unhook := context.AfterFunc(ctx, func() { closeQuietly(conn) })
	defer unhook()
	if p.Protocol == "HTTPS" {
		if conn, err = handshake(ctx, conn); err != nil {
			return 0, err
		}
	}
	_, err = conn.Write([]byte("GET " + orElse(p.Path, "/") + " HTTP/1.1\r\nHost: " + p.host +
		"\r\nConnection: close\r\nUser-Agent: ELB-HealthChecker/2.0\r\nAccept-Encoding: gzip, compressed\r\n\r\n"))
	if err != nil {
		return 0, err
	}
	from := bufio.NewReader(conn)
	for range maxInterim {
		r, err := readResponse(from, "GET")
		if err != nil {
			return 0, err
		}
		if r.status >= 200 {
			return r.status, nil
		}
	}
	return 0, errMalformed
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// matcherCodes are the ranges of statuses that count as success.
type matcherCodes [][2]int

func (m matcherCodes) has(status int) bool {
	for _, r := range m {
		if status >= r[0] && status <= r[1] {
			return true
		}
	}
	return false
}

// parseMatcher reads "200", "200,202" or "200-299".
func parseMatcher(s string) (matcherCodes, error) {
	var out matcherCodes
	for part := range strings.SplitSeq(s, ",") {
		from, to, isRange := strings.Cut(strings.TrimSpace(part), "-")
		if !isRange {
			to = from
		}
		a, errA := strconv.Atoi(from)
		b, errB := strconv.Atoi(to)
		if errA != nil || errB != nil {
			return out, fmt.Errorf("matcher %q: want codes such as 200, 200,202 or 200-299", s)
		}
		out = append(out, [2]int{a, b})
	}
	return out, nil
}
