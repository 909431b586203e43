package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func (r *rig) checked() *TargetGroup {
	g := &r.config.TargetGroups[0]
	g.HealthCheck.Disabled = false
	return g
}

// status is a target that answers health checks with a status that a test changes.
type status struct {
	Target
	code   atomic.Int32
	checks atomic.Int32
	last   atomic.Pointer[http.Request]
}

func newStatus(t testing.TB, id string, code int) *status {
	s := &status{}
	s.code.Store(int32(code))
	s.Target = httpTarget(t, id, func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/health" {
			s.last.Store(req)
			w.WriteHeader(int(s.code.Load()))
			s.checks.Add(1)
			return
		}
		_, _ = io.WriteString(w, id)
	})
	return s
}

// step lets one interval pass and waits for the check that it brings.
func (s *status) step(r *rig, clock *fakeClock) {
	r.t.Helper()
	before := s.checks.Load()
	eventually(r.t, "the last check is counted", func() bool { return r.scheduled() })
	clock.advance(30 * time.Second)
	eventually(r.t, "a check", func() bool { return s.checks.Load() > before && r.scheduled() })
}

// scheduled says whether no check is under way.
func (r *rig) scheduled() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, g := range r.groups {
		for _, t := range g.targets {
			if t.health.cancel != nil {
				return false
			}
		}
	}
	return true
}

// Thresholds: one success makes an initial target healthy, then they count results in a row.
func TestHealthTransitions(t *testing.T) {
	clock := newFakeClock()
	r := newRig(t, Options{Clock: clock})
	a := newStatus(t, "a", 500)
	r.forwardTo(a.Target)
	g := r.checked()
	g.HealthCheck.Path, g.HealthCheck.HealthyThreshold, g.HealthCheck.UnhealthyThreshold, g.HealthCheck.Matcher = "/health", 3, 2, "200,210-219"
	r.apply()
	eventually(t, "the first check", func() bool { return a.checks.Load() == 1 && r.scheduled() })
	for i, step := range []struct {
		code int // of the next check
		want string
	}{
		{0, "initial Elb.InitialHealthChecking"},
		{500, "unhealthy Target.ResponseCodeMismatch"},
		{200, "unhealthy Target.ResponseCodeMismatch"}, {200, "unhealthy Target.ResponseCodeMismatch"},
		{404, "unhealthy Target.ResponseCodeMismatch"}, // begins again
		{210, "unhealthy Target.ResponseCodeMismatch"}, {219, "unhealthy Target.ResponseCodeMismatch"}, {200, "healthy"},
		{220, "healthy"}, {200, "healthy"}, {301, "healthy"}, {503, "unhealthy Target.ResponseCodeMismatch"},
	} {
		if step.code != 0 {
			a.code.Store(int32(step.code))
			a.step(r, clock)
		}
		if got := r.states("group"); got != "a "+step.want {
			t.Fatalf("step %d: %s", i, got)
		}
	}
	h := r.Health("group")[0]
	if h.Description != "Health checks failed with these codes: [503]" || h.HealthCheckPort != a.Port || h.Target != (TargetKey{"a", a.Port}) {
		t.Errorf("%+v", h)
	}
	seen := a.last.Load()
	if seen.UserAgent() != "ELB-HealthChecker/2.0" || seen.Host != fmt.Sprintf("%s:%d", a.Address, a.Port) || !seen.Close || seen.Method != http.MethodGet {
		t.Errorf("%+v", seen)
	}
}

func TestHealthReasons(t *testing.T) {
	t.Run("refused", func(t *testing.T) {
		r := newRig(t, Options{})
		r.forwardTo(Target{ID: "a", Port: 81, Address: loopback()})
		r.checked().HealthCheck.Interval = time.Millisecond
		r.apply()
		eventually(t, "unhealthy", func() bool { return r.states("group") == "a unhealthy Target.FailedHealthChecks" })
		if h := r.Health("group")[0]; h.Description != "Health checks failed" || h.HealthCheckPort != 81 {
			t.Errorf("%+v", h)
		}
	})
	t.Run("nonsense", func(t *testing.T) {
		r := newRig(t, Options{})
		r.forwardTo(rawTarget(t, answerOnce("SSH-2.0-x\r\n")))
		r.checked().HealthCheck.Interval = time.Millisecond
		r.apply()
		eventually(t, "unhealthy", func() bool { return r.states("group") == "raw unhealthy Target.FailedHealthChecks" })
	})
	t.Run("timeout", func(t *testing.T) {
		clock, begun := newFakeClock(), make(chan struct{}, 9)
		r := newRig(t, Options{Clock: clock})
		r.forwardTo(silentTarget(t, begun))
		r.checked().HealthCheck.UnhealthyThreshold = 1
		r.apply()
		receive(t, begun, "the first check")
		clock.advance(5 * time.Second)
		eventually(t, "unhealthy", func() bool { return r.states("group") == "raw unhealthy Target.Timeout" })
		if h := r.Health("group")[0]; h.Description != "Request timed out" {
			t.Errorf("%+v", h)
		}
	})
	t.Run("port of its own", func(t *testing.T) {
		r := newRig(t, Options{})
		a := newStatus(t, "a", 200)
		target := a.Target
		target.Port = 9
		r.forwardTo(target)
		r.checked().HealthCheck.Port, r.config.TargetGroups[0].HealthCheck.Path = a.Port, "/health"
		r.apply()
		eventually(t, "healthy", func() bool { return r.states("group") == "a healthy" })
		if h := r.Health("group")[0]; h.HealthCheckPort != a.Port {
			t.Errorf("%+v", h)
		}
	})
}

// Only groups in use are checked; a change of something else leaves health alone.
func TestHealthOverConfigurations(t *testing.T) {
	clock := newFakeClock()
	r := newRig(t, Options{Clock: clock})
	a := newStatus(t, "a", 200)
	r.forwardTo(a.Target)
	g := r.checked()
	g.HealthCheck.Path = "/health"
	action := r.listener().Default
	r.listener().Default = respond(200, "")
	r.apply()
	if got := r.Health("group")[0]; got.State != "unused" || got.Reason != "Target.NotInUse" ||
		got.Description != "Target group is not configured to receive traffic from the load balancer" {
		t.Fatalf("%+v", got)
	}
	clock.advance(time.Hour)
	if a.checks.Load() > 0 {
		t.Fatal("an unused target was checked")
	}
	r.listener().Default = action
	r.apply()
	eventually(t, "healthy", func() bool { return r.states("group") == "a healthy" })
	checks := a.checks.Load()
	r.listener().Rules = []Rule{{ID: "new", Action: respond(200, "")}}
	b := newStatus(t, "b", 500)
	g.Targets = append(g.Targets, b.Target)
	for range 3 {
		r.apply()
	}
	eventually(t, "the new target is checked", func() bool { return b.checks.Load() == 1 && r.scheduled() })
	if got := r.states("group"); got != "a healthy, b initial Elb.InitialHealthChecking" || a.checks.Load() != checks {
		t.Fatal(got, a.checks.Load())
	}
	g.HealthCheck.Matcher = "200-299" // the check changes: looked at again, but not out of service
	r.apply()
	if got := r.states("group"); !strings.HasPrefix(got, "a healthy") {
		t.Fatal(got)
	}
	eventually(t, "checked at once", func() bool { return a.checks.Load() == checks+1 })
	g.HealthCheck.Disabled = true
	r.apply()
	if got := r.Health("group")[0]; got.State != "unavailable" || got.Reason != "Target.HealthCheckDisabled" || got.Description != "Health checks are disabled" {
		t.Fatalf("%+v", got)
	}
	r.config.TargetGroups = nil
	r.listener().Default = respond(200, "")
	r.apply()
	if got := r.Health("group"); got != nil {
		t.Fatal(got)
	}
}

// Requests go to healthy targets only; when there is none, to all of them.
func TestFailOpen(t *testing.T) {
	clock := newFakeClock()
	r := newRig(t, Options{Clock: clock})
	a, b := newStatus(t, "a", 200), newStatus(t, "b", 500)
	r.forwardTo(a.Target, b.Target)
	r.checked().HealthCheck.Path = "/health"
	r.apply()
	eventually(t, "checks", func() bool { return r.states("group") == "a healthy, b initial Elb.InitialHealthChecking" })
	if got := r.count(20); got["a"] != 20 {
		t.Fatal(got)
	}
	a.code.Store(500)
	for range 2 {
		a.step(r, clock)
	}
	if got := r.states("group"); strings.Count(got, "unhealthy") != 2 {
		t.Fatal(got)
	}
	if got := r.count(20); got["a"] != 10 || got["b"] != 10 {
		t.Fatal(got)
	}
}

// With fewer healthy targets than there have to be, all get requests.
func TestFailover(t *testing.T) {
	r := newRig(t, Options{Clock: newFakeClock()})
	a, b, c := newStatus(t, "a", 200), newStatus(t, "b", 200), newStatus(t, "c", 500)
	r.forwardTo(a.Target, b.Target, c.Target)
	r.checked().HealthCheck.Path = "/health"
	r.apply()
	eventually(t, "checks", func() bool { return strings.Count(r.states("group"), " healthy") == 2 && c.checks.Load() > 0 })
	for why, row := range map[string]struct {
		need Threshold
		all  bool
	}{
		"enough": {Threshold{Count: 2}, false}, "too few": {Threshold{Count: 3}, true},
		"share": {Threshold{Count: 1, Percent: 66}, false}, "too small a share": {Threshold{Count: 1, Percent: 67}, true}, "off": {Threshold{}, false},
	} {
		r.config.TargetGroups[0].Failover = row.need
		r.apply()
		if got := r.count(12); (got["c"] > 0) != row.all || got["a"] == 0 || got["b"] == 0 {
			t.Errorf("%s: %v", why, got)
		}
	}
}

// count asks n times and counts the answers.
func (r *rig) count(n int) map[string]int {
	r.t.Helper()
	out := map[string]int{}
	c := r.dialClient()
	defer closeQuietly(c)
	for range n {
		c.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
		out[c.read("GET").body]++
	}
	return out
}

func TestAlgorithms(t *testing.T) {
	r := newRig(t, Options{})
	g := r.forwardTo(named(t, "a"), named(t, "b"), named(t, "c"))
	r.apply()
	if got := r.count(30); got["a"] != 10 || got["b"] != 10 || got["c"] != 10 {
		t.Errorf("round_robin: %v", got)
	}
	g.Algorithm = "weighted_random"
	r.apply()
	if got := r.count(300); got["a"] < 50 || got["b"] < 50 || got["c"] < 50 {
		t.Errorf("weighted_random: %v", got)
	}
	begun := make(chan struct{}, 1)
	busy := silentTarget(t, begun)
	g.Algorithm, g.Targets = "least_outstanding_requests", []Target{busy, g.Targets[1]}
	r.apply()
	c := r.dialClient()
	for taken := false; !taken; { // until the silent one has one
		c.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
		taken = c.buffered() == 0 && len(begun) == 1
		if !taken {
			c.read("GET")
		}
	}
	if got := r.count(20); got["b"] != 20 {
		t.Errorf("least_outstanding_requests: %v", got)
	}
}

// ELB "Target groups", Slow start mode: a share that rises with time, for targets that come to others that are settled.
func TestSlowStart(t *testing.T) {
	clock := newFakeClock()
	r := newRig(t, Options{Clock: clock})
	a, b, c := newStatus(t, "a", 200), newStatus(t, "b", 200), newStatus(t, "c", 200)
	g := r.forwardTo(a.Target, b.Target)
	g.SlowStart = 100 * time.Second
	g.HealthCheck.Path, g.HealthCheck.Interval = "/health", time.Hour
	r.checked()
	r.apply()
	eventually(t, "the first ones are healthy", func() bool { return r.states("group") == "a healthy, b healthy" })
	if got := r.count(20); got["a"] != 10 || got["b"] != 10 {
		t.Errorf("registered at once: %v", got)
	}
	g.Targets = append(g.Targets, c.Target)
	r.apply()
	eventually(t, "all are healthy", func() bool { return r.states("group") == "a healthy, b healthy, c healthy" })
	const asks = 300
	if got := r.count(asks); got["c"] != 0 {
		t.Errorf("at once: %v", got)
	}
	clock.advance(50 * time.Second)
	if got := r.count(asks); got["c"] < 25 || got["c"] > 75 { // 50, give or take
		t.Errorf("half way: %v", got)
	}
	clock.advance(50 * time.Second)
	if got := r.count(asks); got["c"] != 100 {
		t.Errorf("at the end: %v", got)
	}
	// Who becomes unhealthy and recovers starts slowly again.
	c.code.Store(500)
	g.HealthCheck.Interval, g.HealthCheck.HealthyThreshold = 30*time.Second, 2
	r.apply()
	for !strings.Contains(r.states("group"), "c unhealthy") {
		c.step(r, clock)
	}
	c.code.Store(200)
	for !strings.Contains(r.states("group"), "c healthy") {
		c.step(r, clock)
	}
	if got := r.count(asks); got["c"] != 0 {
		t.Errorf("after recovering: %v", got)
	}
	g.SlowStart = 0
	r.apply()
	if got := r.count(asks); got["c"] != 100 {
		t.Errorf("switched off: %v", got)
	}
}

// A deregistered target finishes what it has, gets nothing new, and its connections close; the state is draining until
// the delay is over even when nothing is in flight.
func TestDraining(t *testing.T) {
	clock := newFakeClock()
	r := newRig(t, Options{Clock: clock})
	begun, finish, ended := make(chan struct{}, 1), make(chan struct{}), make(chan struct{}, 9)
	slow := rawTarget(t, func(conn net.Conn, from *bufio.Reader) {
		for readHead(from) != "" {
			begun <- struct{}{}
			<-finish
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow")
		}
		ended <- struct{}{}
	})
	g := r.forwardTo(slow)
	r.apply()
	c := r.dialClient()
	c.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	receive(t, begun, "the request arrives")
	g.Targets = []Target{named(t, "new")}
	r.apply()
	if h := r.Health("group"); len(h) != 2 || h[1].State != "draining" || h[1].Reason != "Target.DeregistrationInProgress" || h[1].Description != "Target deregistration is in progress" {
		t.Fatalf("%+v", h)
	}
	if got := r.count(10); got["new"] != 10 {
		t.Fatal(got)
	}
	clock.advance(50 * time.Second)
	finish <- struct{}{}
	if got := c.read("GET"); got.body != "slow" || got.Close {
		t.Fatal(got.Status, got.body)
	}
	receive(t, ended, "the target's connection closes after the request")
	clock.advance(249 * time.Second)
	if got := r.states("group"); !strings.Contains(got, "draining") {
		t.Fatal(got)
	}
	clock.advance(time.Second)
	if got := r.states("group"); strings.Contains(got, "draining") {
		t.Fatal(got)
	}
}

func TestDrainingClosesIdleConnections(t *testing.T) {
	r := newRig(t, Options{})
	ended := make(chan struct{}, 1)
	g := r.forwardTo(rawTarget(t, func(conn net.Conn, from *bufio.Reader) {
		answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")(conn, from)
		ended <- struct{}{}
	}))
	r.apply()
	wantStatus(t, r.get("/"), 200)
	g.Targets = nil
	r.apply()
	receive(t, ended, "the idle connection closes")
	wantPage(t, r.get("/"), 503)
}

// What is in flight past the delay gets 502.
func TestDeregistrationDelayIsOver(t *testing.T) {
	clock, begun := newFakeClock(), make(chan struct{}, 1)
	r := newRig(t, Options{Clock: clock})
	g := r.forwardTo(silentTarget(t, begun))
	g.DeregistrationDelay = 20 * time.Second
	r.apply()
	c := r.dialClient()
	c.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	receive(t, begun, "the request arrives")
	g.Targets = nil
	r.apply()
	clock.advance(20 * time.Second)
	wantPage(t, c.read("GET"), 502)
}

// Registered again while it drains, a target begins as a new one, and its request in flight is not ended.
func TestRegisteredAgain(t *testing.T) {
	clock, begun, finish := newFakeClock(), make(chan struct{}, 1), make(chan struct{})
	r := newRig(t, Options{Clock: clock})
	target := httpTarget(t, "a", func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/slow" {
			begun <- struct{}{}
			<-finish
		}
		_, _ = io.WriteString(w, "done")
	})
	g := r.forwardTo(target)
	r.checked()
	r.apply()
	eventually(t, "healthy", func() bool { return r.states("group") == "a healthy" })
	c := r.dialClient()
	c.send("GET /slow HTTP/1.1\r\nHost: h\r\n\r\n")
	receive(t, begun, "the request arrives")
	g.Targets = nil
	r.apply()
	if got := r.states("group"); got != "a draining Target.DeregistrationInProgress" {
		t.Fatal(got)
	}
	g.Targets = []Target{target}
	r.apply()
	eventually(t, "healthy again", func() bool { return r.states("group") == "a healthy" })
	clock.advance(30 * time.Second) // within the idle timeout
	close(finish)
	if got := c.read("GET"); got.body != "done" {
		t.Fatal(got.Status)
	}
	clock.advance(time.Hour)
	if got := r.get("/"); got.body != "done" {
		t.Fatal(got.Status, r.states("group"))
	}
}

// The same id at another address is another target: the old one drains unseen.
func TestAddressChanges(t *testing.T) {
	r := newRig(t, Options{})
	g := r.forwardTo(named(t, "old"))
	g.Targets[0].ID = "a"
	port := g.Targets[0].Port
	r.apply()
	wantStatus(t, r.get("/"), 200)
	g.Targets[0].Address = loopback()
	r.apply()
	if got := r.states("group"); got != "a unavailable Target.HealthCheckDisabled" {
		t.Fatal(got)
	}
	l, err := net.Listen("tcp", netip.AddrPortFrom(g.Targets[0].Address, port).String())
	if err != nil {
		t.Fatal(err)
	}
	defer closeListener(l)
	go func() {
		conn, err := l.Accept()
		if err == nil {
			answerOnce("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nnew")(conn, bufio.NewReader(conn))
			closeQuietly(conn)
		}
	}()
	if got := r.get("/"); got.body != "new" {
		t.Fatal(got.Status, got.body)
	}
}

func TestMatcherErrors(t *testing.T) {
	r := newRig(t, Options{})
	r.forwardTo().HealthCheck.Matcher = "2xx"
	if err := r.Apply(r.config); err == nil || !strings.Contains(err.Error(), "2xx") {
		t.Error(err)
	}
}
