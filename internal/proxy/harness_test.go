package proxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// patience is how long a test waits for what must happen; it is never waited out when all is well.
const patience = 10 * time.Second

// eventually waits for a condition.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.Now().Add(patience)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
		<-tick.C
	}
}

// receive waits for a value.
func receive[T any](t testing.TB, from <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatalf("waited in vain: %s", what)
		panic("unreachable")
	}
}

// fakeClock moves only when told to.
type fakeClock struct {
	mu     sync.Mutex
	now    time.Time
	timers []*fakeTimer
}

type fakeTimer struct {
	at time.Time
	f  func()
}

func newFakeClock() *fakeClock { return &fakeClock{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)} }

func (c *fakeClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *fakeClock) AfterFunc(d time.Duration, f func()) func() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	timer := &fakeTimer{c.now.Add(d), f}
	if d <= 0 {
		go f()
		return func() bool { return false }
	}
	c.timers = append(c.timers, timer)
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		i := slices.Index(c.timers, timer)
		if i >= 0 {
			c.timers = slices.Delete(c.timers, i, i+1)
		}
		return i >= 0
	}
}

// advance moves the time and runs what is due, in order.
func (c *fakeClock) advance(d time.Duration) {
	c.mu.Lock()
	end := c.now.Add(d)
	for {
		next := -1
		for i, timer := range c.timers {
			if !timer.at.After(end) && (next < 0 || timer.at.Before(c.timers[next].at)) {
				next = i
			}
		}
		if next < 0 {
			break
		}
		timer := c.timers[next]
		c.timers = slices.Delete(c.timers, next, next+1)
		if timer.at.After(c.now) {
			c.now = timer.at
		}
		c.mu.Unlock()
		timer.f()
		c.mu.Lock()
	}
	c.now = end
	c.mu.Unlock()
}

var lastAddress atomic.Uint32

func init() { lastAddress.Store(uint32(os.Getpid())<<6 ^ rand.Uint32()) }

// loopback returns an address of 127.64.0.0/10 that no other test uses.
func loopback() netip.Addr {
	n := lastAddress.Add(1)
	return netip.AddrFrom4([4]byte{127, 64 | byte(n>>16)&63, byte(n >> 8), byte(n)})
}

const testPort = 8080

// rig is a server with one load balancer, whose configuration a test changes and applies.
type rig struct {
	*Server
	t      testing.TB
	config Config
	at     string // address and port of the first listener
}

// newRig makes a server with one listener, which answers 404 by default, and checks that nothing of it remains.
func newRig(t testing.TB, options Options) *rig {
	t.Helper()
	before := runtime.NumGoroutine()
	r := &rig{Server: New(options), t: t}
	address := loopback()
	r.at = netip.AddrPortFrom(address, testPort).String()
	r.config.LoadBalancers = []LoadBalancer{{
		ID: "lb", DNSName: "lb-1.elb.local", Address: address, IdleTimeout: time.Minute, ClientKeepAlive: time.Hour,
		Listeners: []Listener{{ID: "listener", Port: testPort, Default: respond(404, "none")}},
	}}
	t.Cleanup(func() {
		r.Close()
		http.DefaultClient.CloseIdleConnections()
		if _, bench := t.(*testing.B); !bench {
			eventually(t, "goroutines end", func() bool { return runtime.NumGoroutine() <= before+1 })
		}
	})
	return r
}

func (r *rig) listener() *Listener { return &r.config.LoadBalancers[0].Listeners[0] }
func (r *rig) lb() *LoadBalancer   { return &r.config.LoadBalancers[0] }

func (r *rig) apply() {
	r.t.Helper()
	if err := r.Apply(r.config); err != nil {
		r.t.Fatal(err)
	}
}

// forwardTo sends everything to a group of these targets.
func (r *rig) forwardTo(targets ...Target) *TargetGroup {
	r.listener().Default = forward("group")
	r.config.TargetGroups = append(r.config.TargetGroups, TargetGroup{
		ID: "group", Protocol: "HTTP", DeregistrationDelay: 300 * time.Second, Targets: targets,
		HealthCheck: HealthCheck{Disabled: true, Protocol: "HTTP", Path: "/", Interval: 30 * time.Second, Timeout: 5 * time.Second, HealthyThreshold: 5, UnhealthyThreshold: 2, Matcher: "200"},
	})
	return &r.config.TargetGroups[len(r.config.TargetGroups)-1]
}

func forward(ids ...TargetGroupID) Action {
	f := &Forward{}
	for _, id := range ids {
		f.TargetGroups = append(f.TargetGroups, WeightedTargetGroup{id, 1})
	}
	return Action{Forward: f}
}

func respond(status int, body string) Action {
	return Action{FixedResponse: &FixedResponse{StatusCode: status, Body: body}}
}

// states returns the health of a group as "id state reason".
func (r *rig) states(id TargetGroupID) string {
	var out []string
	for _, h := range r.Health(id) {
		out = append(out, strings.TrimSpace(h.Target.ID+" "+h.State+" "+h.Reason))
	}
	return strings.Join(out, ", ")
}

// httpTarget is a target that is a real HTTP server.
func httpTarget(t testing.TB, id string, handler http.HandlerFunc) Target {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.Start()
	t.Cleanup(server.Close)
	return targetAt(t, id, server.Listener)
}

// named answers with its name.
func named(t testing.TB, id string) Target {
	return httpTarget(t, id, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, id) })
}

// rawTarget is a target that speaks in bytes: serve gets each connection, which is closed after it.
func rawTarget(t testing.TB, serve func(conn net.Conn, from *bufio.Reader)) Target {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open[conn] = true
			mu.Unlock()
			running.Go(func() {
				defer closeQuietly(conn)
				serve(conn, bufio.NewReader(conn))
			})
		}
	})
	t.Cleanup(func() {
		closeListener(l)
		mu.Lock()
		for conn := range open {
			closeQuietly(conn)
		}
		mu.Unlock()
		running.Wait()
	})
	return targetAt(t, "raw", l)
}

// answering reads one request head after another and writes the same bytes for each.
func answering(answer string) func(net.Conn, *bufio.Reader) {
	return func(conn net.Conn, from *bufio.Reader) {
		for readHead(from) != "" {
			if _, err := io.WriteString(conn, answer); err != nil {
				return
			}
		}
	}
}

func targetAt(t testing.TB, id string, l net.Listener) Target {
	t.Helper()
	at, err := netip.ParseAddrPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return Target{ID: id, Port: at.Port(), Address: at.Addr()}
}

// readHead returns the lines of a head, or "" at the end.
func readHead(from *bufio.Reader) string {
	var b strings.Builder
	for {
		line, err := from.ReadString('\n')
		b.WriteString(line)
		if err != nil {
			return ""
		}
		if line == "\r\n" {
			return b.String()
		}
	}
}

// client is one connection to the load balancer.
type client struct {
	net.Conn
	from *bufio.Reader
	t    testing.TB
}

func (r *rig) dialClient() *client {
	r.t.Helper()
	conn, err := net.Dial("tcp", r.at)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { closeQuietly(conn) })
	return &client{conn, bufio.NewReader(conn), r.t}
}

func (c *client) send(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		c.t.Fatal(err)
	}
}

// heard is one response, read whole.
type heard struct {
	*http.Response
	body string
	err  error // of the body
}

func (c *client) read(method string) heard {
	c.t.Helper()
	resp, err := http.ReadResponse(c.from, &http.Request{Method: method})
	if err != nil {
		c.t.Fatalf("no answer: %v", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return heard{resp, string(body), err}
}

// closed says that the load balancer has closed the connection, without another byte.
func (c *client) closed() {
	c.t.Helper()
	b, err := io.ReadAll(c.from)
	var timeout net.Error
	if len(b) > 0 || errors.As(err, &timeout) && timeout.Timeout() {
		c.t.Fatalf("still open: %q, %v", b, err)
	}
}

// ask sends bytes on a connection of its own and returns the first answer.
func (r *rig) ask(raw string) heard {
	r.t.Helper()
	c := r.dialClient()
	defer closeQuietly(c)
	c.send(raw)
	method, _, _ := strings.Cut(raw, " ")
	return c.read(method)
}

// get asks for a path.
func (r *rig) get(path string) heard {
	r.t.Helper()
	return r.ask("GET " + path + " HTTP/1.1\r\nHost: app.example.com\r\n\r\n")
}

func wantStatus(t testing.TB, got heard, status int) {
	t.Helper()
	if got.StatusCode != status {
		t.Fatalf("status %s, want %d; body %q", got.Status, status, got.body)
	}
}

// wantPage checks an answer of the load balancer's own: ELB "Troubleshoot your Application Load Balancers".
func wantPage(t testing.TB, got heard, status int) {
	t.Helper()
	wantStatus(t, got, status)
	if got.Header.Get("Server") != "awselb/2.0" || got.Header.Get("Content-Type") != "text/html" || got.Header.Get("Date") == "" {
		t.Errorf("%d: headers %v", status, got.Header)
	}
	if !strings.Contains(got.body, fmt.Sprintf("<center><h1>%d", status)) || int(got.ContentLength) != len(got.body) {
		t.Errorf("%d: body %q", status, got.body)
	}
}

// neverDial is a network that swallows connection attempts.
func neverDial(begun chan<- struct{}) dialFunc {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		begun <- struct{}{}
		<-ctx.Done()
		return nil, ctx.Err()
	}
}

func newTLSServer(t testing.TB, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

// reset closes a connection so that the other side sees an error, not an end.
func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	closeQuietly(c)
}
