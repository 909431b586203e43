package proxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// No configuration change loses a request: targets come and go, groups are replaced, rules move, while clients ask on
// kept connections and on new ones.
func TestApplyUnderLoad(t *testing.T) {
	r := newRig(t, Options{})
	targets := []Target{named(t, "a"), named(t, "b"), named(t, "c"), named(t, "d")}
	group := func(id TargetGroupID, targets ...Target) TargetGroup {
		return TargetGroup{ID: id, Targets: targets, DeregistrationDelay: time.Minute, HealthCheck: HealthCheck{Interval: 5 * time.Millisecond}}
	}
	configs := make([]Config, 0, 8)
	for i := range 8 {
		lb := *r.lb()
		first, second := TargetGroupID(fmt.Sprint("g", i)), TargetGroupID(fmt.Sprint("g", i+1))
		lb.Listeners = []Listener{{ID: "listener", Port: testPort, Default: forward(first, second)}}
		if i%2 == 0 {
			lb.Listeners[0].Rules = []Rule{{Conditions: []Condition{{Field: "path-pattern", Values: []string{"/*"}}}, Action: forward("fixed")}}
		}
		configs = append(configs, Config{
			LoadBalancers: []LoadBalancer{lb},
			TargetGroups:  []TargetGroup{group(first, targets[i%4]), group(second, targets[(i+1)%4], targets[(i+2)%4]), group("fixed", targets[i%4])},
		})
	}
	r.config = configs[0]
	r.apply()
	const clients, each = 8, 250
	var failed, asked atomic.Int64
	var all sync.WaitGroup
	next := make(chan struct{}, clients*each)
	for i := range clients {
		all.Go(func() {
			transport := &http.Transport{DisableKeepAlives: i%4 == 0}
			defer transport.CloseIdleConnections()
			for range each {
				if asked.Add(1)%4 == 0 {
					next <- struct{}{}
				}
				req, err := http.NewRequest([]string{"GET", "POST"}[i%2], "http://"+r.at+"/x", strings.NewReader("body"))
				if err != nil {
					panic(err)
				}
				resp, err := transport.RoundTrip(req)
				if err != nil {
					failed.Add(1)
					t.Error(err)
					continue
				}
				body, err := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				if resp.StatusCode != http.StatusOK || len(body) != 1 || err != nil {
					failed.Add(1)
					t.Error(resp.Status, string(body), err)
				}
			}
		})
	}
	go func() { all.Wait(); close(next) }()
	applied := 0
	for range next {
		if err := r.Apply(configs[applied%len(configs)]); err != nil {
			t.Error(err)
		}
		applied++
	}
	t.Logf("%d requests over %d configurations, %d failed", asked.Load(), applied, failed.Load())
}

func TestListeners(t *testing.T) {
	r := newRig(t, Options{})
	at := func(port uint16) string { return netip.AddrPortFrom(r.lb().Address, port).String() }
	taken, err := net.Listen("tcp", at(8082))
	if err != nil {
		t.Fatal(err)
	}
	defer closeListener(taken)
	r.lb().Listeners = []Listener{
		{ID: "one", Port: 8081, Default: respond(200, "one")},
		{ID: "two", Port: 8082, Default: respond(200, "two")},
		{ID: "double", Port: 8081, Default: respond(200, "double")},
		{ID: "three", Port: 8083, Default: respond(200, "three")},
	}
	err = r.Apply(r.config)
	if err == nil || !strings.Contains(err.Error(), "address already in use") || !strings.Contains(err.Error(), "listener double") {
		t.Fatal(err)
	}
	ask := func(port uint16) string {
		conn, err := net.Dial("tcp", at(port))
		if err != nil {
			return "refused"
		}
		c := &client{conn, bufio.NewReader(conn), t}
		defer closeQuietly(c)
		c.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
		return c.read("GET").body
	}
	if one, three := ask(8081), ask(8083); one != "one" || three != "three" {
		t.Fatal(one, three)
	}
	closeListener(taken)
	r.lb().Listeners = append(r.lb().Listeners[:2], r.lb().Listeners[3])
	r.apply() // tries again
	if two := ask(8082); two != "two" {
		t.Fatal(two)
	}
	r.lb().Listeners = r.lb().Listeners[:1]
	r.apply()
	for _, port := range []uint16{8082, 8083} {
		if got := ask(port); got != "refused" {
			t.Fatal(port, got)
		}
		l, err := net.Listen("tcp", at(port))
		if err != nil {
			t.Fatal("the port is not free:", err)
		}
		closeListener(l)
	}
}

// failing is a listener that cannot accept at first, as when the process has too many open files.
type failing struct {
	net.Listener
	times atomic.Int32
}

func (l *failing) Accept() (net.Conn, error) {
	if l.times.Add(1) <= 3 {
		return nil, errors.New("too many open files")
	}
	return l.Listener.Accept()
}

func TestAcceptFails(t *testing.T) {
	r := newRig(t, Options{Listen: func(ctx context.Context, network, address string) (net.Listener, error) {
		l, err := (&net.ListenConfig{}).Listen(ctx, network, address)
		return &failing{Listener: l}, err
	}})
	r.apply()
	wantStatus(t, r.get("/"), 404)
}

// A listener that goes away closes idle connections at once, and others after the request they carry.
func TestListenerRemovedInFlight(t *testing.T) {
	r := newRig(t, Options{})
	begun, finish := make(chan struct{}), make(chan struct{})
	r.forwardTo(httpTarget(t, "a", func(w http.ResponseWriter, _ *http.Request) {
		close(begun)
		<-finish
		_, _ = io.WriteString(w, "done")
	}))
	r.apply()
	busy, idle := r.dialClient(), r.dialClient()
	busy.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	receive(t, begun, "the request arrives")
	r.config = Config{}
	r.apply()
	idle.closed()
	close(finish)
	if got := busy.read("GET"); got.body != "done" || !got.Close {
		t.Fatal(got.Status, got.body, got.Header)
	}
	busy.closed()
}

func TestShutdown(t *testing.T) {
	r := newRig(t, Options{})
	begun, finish := make(chan struct{}, 1), make(chan struct{})
	r.forwardTo(httpTarget(t, "a", func(w http.ResponseWriter, _ *http.Request) {
		begun <- struct{}{}
		<-finish
		_, _ = io.WriteString(w, "done")
	}))
	r.apply()
	c := r.dialClient()
	c.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	receive(t, begun, "the request arrives")
	result := make(chan error)
	go func() { result <- r.Shutdown(t.Context()) }()
	eventually(t, "the listener closes", func() bool {
		conn, err := net.Dial("tcp", r.at)
		if err == nil {
			closeQuietly(conn)
		}
		return err != nil
	})
	close(finish)
	if got := c.read("GET"); got.body != "done" {
		t.Fatal(got.Status)
	}
	if err := receive(t, result, "Shutdown returns"); err != nil {
		t.Fatal(err)
	}
	if err := r.Apply(r.config); !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
}

// Close ends what is under way: requests, tunnels, half-read heads, checks, connections being opened; also those of
// listeners that are already gone.
func TestClose(t *testing.T) {
	begun := make(chan struct{}, 9)
	r := newRig(t, Options{})
	r.forwardTo(silentTarget(t, begun))
	r.checked().HealthCheck.Timeout = time.Hour
	r.apply()
	receive(t, begun, "the check arrives")
	request, head := r.dialClient(), r.dialClient()
	request.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	head.send("GET")
	receive(t, begun, "the request arrives")
	eventually(t, "the half head is being read", func() bool { return r.reading() == 1 })
	r.lb().Listeners = nil
	r.apply()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	request.closed()
	head.closed()
}

// Ten thousand rules are slow and right.
func TestManyRules(t *testing.T) {
	r := newRig(t, Options{})
	for i := range 10000 {
		r.listener().Rules = append(r.listener().Rules, Rule{
			ID: RuleID(fmt.Sprint(i)), Action: respond(200, fmt.Sprint(i)),
			Conditions: []Condition{{Field: "path-pattern", Values: []string{fmt.Sprintf("/*x*y*z/%d", i)}}},
		})
	}
	r.apply()
	if got := r.get("/" + strings.Repeat("x", 100) + "yz/9999"); got.body != "9999" {
		t.Fatal(got.Status, got.body)
	}
}

func TestErrorsOfRules(t *testing.T) {
	r := newRig(t, Options{})
	r.listener().Rules = []Rule{
		{ID: "odd", Conditions: []Condition{{Field: "weather"}}, Action: respond(200, "odd")},
		{ID: "lost", Conditions: []Condition{{Field: "path-pattern", Values: []string{"/lost"}}}, Action: forward("nowhere")},
	}
	err := r.Apply(r.config)
	if err == nil || !strings.Contains(err.Error(), "rule odd") || !strings.Contains(err.Error(), "nowhere") {
		t.Fatal(err)
	}
	wantStatus(t, r.get("/"), 404)
	wantPage(t, r.get("/lost"), 503)
}

func BenchmarkRoute100Rules(b *testing.B) {
	l := Listener{Default: respond(404, "")}
	for i := range 100 {
		l.Rules = append(l.Rules, Rule{Action: respond(200, ""), Conditions: []Condition{
			{Field: "host-header", Values: []string{fmt.Sprintf("app%d.example.com", i)}},
			{Field: "path-pattern", Values: []string{fmt.Sprintf("/app%d", i), fmt.Sprintf("/app%d/*", i)}},
		}})
	}
	front, err := New(Options{}).compileFrontend(&LoadBalancer{}, &l, nil)
	if err != nil {
		b.Fatal(err)
	}
	r, err := parse("GET /app99/index.html HTTP/1.1\r\nHost: app99.example.com\r\n\r\n")
	if err != nil {
		b.Fatal(err)
	}
	peer := netip.MustParseAddr("192.0.2.7")
	b.ReportAllocs()
	for b.Loop() {
		if front.route(r, peer) != &front.rules[99].action {
			b.Fatal("wrong rule")
		}
	}
}
