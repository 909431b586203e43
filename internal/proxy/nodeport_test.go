package proxy

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"
)

// nodes is a rig with a Network Load Balancer, one node in each zone.
type nodes struct {
	*rig
	zones []string
}

func newNodes(t testing.TB, options Options, protocol NetworkProtocol, zones ...string) *nodes {
	t.Helper()
	if len(zones) == 0 {
		zones = []string{"a"}
	}
	r := newRig(t, options)
	b := NetworkLoadBalancer{ID: "net", Listeners: []NetworkListener{{
		ID: "tcp", Port: testPort, Protocol: protocol, Forward: *forward("group").Forward,
	}}}
	for _, zone := range zones {
		b.Nodes = append(b.Nodes, Node{zone, loopback()})
	}
	r.config = Config{NetworkLoadBalancers: []NetworkLoadBalancer{b}, TargetGroups: []TargetGroup{{
		ID: "group", Protocol: string(protocol), DeregistrationDelay: 300 * time.Second,
		Network:     NetworkGroup{CutUnhealthy: true, DNSFailover: Threshold{Count: 1}, RoutingFailover: Threshold{Count: 1}},
		HealthCheck: HealthCheck{Disabled: true, Protocol: "TCP", Interval: 30 * time.Second, Timeout: 10 * time.Second, HealthyThreshold: 5, UnhealthyThreshold: 2},
	}}}
	return &nodes{r, zones}
}

func (n *nodes) balancer() *NetworkLoadBalancer { return &n.config.NetworkLoadBalancers[0] }
func (n *nodes) port() *NetworkListener         { return &n.balancer().Listeners[0] }
func (n *nodes) group() *TargetGroup            { return &n.config.TargetGroups[0] }

func (n *nodes) at(zone string) string {
	for _, node := range n.balancer().Nodes {
		if node.Zone == zone {
			return netip.AddrPortFrom(node.Address, n.port().Port).String()
		}
	}
	n.t.Fatalf("no node in zone %s", zone)
	return ""
}

// to makes these the targets and applies.
func (n *nodes) to(targets ...Target) {
	n.t.Helper()
	n.group().Targets = targets
	n.apply()
}

func (n *nodes) dial(zone string) *net.TCPConn {
	n.t.Helper()
	return n.dialFrom(netip.Addr{}, zone)
}

func (n *nodes) dialFrom(client netip.Addr, zone string) *net.TCPConn {
	n.t.Helper()
	conn, err := DialFrom(context.Background(), "tcp", n.at(zone), client)
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { closeQuietly(conn) })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		n.t.Fatal(err)
	}
	return conn.(*net.TCPConn)
}

// counted is the value of a metric of the load balancer.
func (n *nodes) counted(name string) int {
	for _, m := range n.Measurements() {
		if m.Name == name && m.LoadBalancer == "net" {
			return int(m.Value)
		}
	}
	n.t.Fatalf("no metric %s", name)
	return 0
}

// says is a target that says its name, then returns what it gets.
func says(t testing.TB, id, zone string) Target {
	t.Helper()
	target := rawTarget(t, func(conn net.Conn, from *bufio.Reader) {
		if _, err := io.WriteString(conn, id+"\n"); err == nil {
			_, _ = io.Copy(conn, from)
		}
	})
	target.ID, target.Zone = id, zone
	return target
}

func firstLine(t testing.TB, from io.Reader) string {
	t.Helper()
	text, err := bufio.NewReader(io.LimitReader(from, 80)).ReadString('\n')
	if err != nil {
		t.Fatalf("no line: %q, %v", text, err)
	}
	return strings.TrimSpace(text)
}

// answerer asks which target a new connection leads to; "reset" where it leads to none.
func (n *nodes) answerer(zone string) string {
	n.t.Helper()
	conn, err := net.Dial("tcp", n.at(zone))
	var text string
	if err == nil {
		defer closeQuietly(conn)
		_ = conn.SetDeadline(time.Now().Add(patience))
		text, err = bufio.NewReader(conn).ReadString('\n')
	}
	if errors.Is(err, syscall.ECONNRESET) {
		return "reset"
	}
	if err != nil {
		n.t.Fatal(err)
	}
	return strings.TrimSpace(text)
}

// answerers asks often, and lists who answered.
func (n *nodes) answerers(zone string) string {
	n.t.Helper()
	seen := map[string]bool{}
	for range 60 {
		seen[n.answerer(zone)] = true
	}
	var names []string
	for _, name := range []string{"one", "two", "three", "reset"} {
		if seen[name] {
			names = append(names, name)
		}
	}
	return strings.Join(names, " ")
}

func wantReset(t testing.TB, conn io.Reader, what string) {
	t.Helper()
	if _, err := io.Copy(io.Discard, conn); !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("%s: %v, want a reset", what, err)
	}
}

// TestFlows sends a lot both ways on many connections at once: nothing is lost, mixed up or changed.
func TestFlows(t *testing.T) {
	n := newNodes(t, Options{}, NetworkTCP)
	n.to(says(t, "one", ""), says(t, "two", ""), says(t, "three", ""))
	descriptors := openDescriptors(t)
	var all sync.WaitGroup
	names := make(chan string, 100)
	for i := range 100 {
		all.Go(func() {
			conn, err := net.Dial("tcp", n.at("a"))
			if err != nil {
				t.Error(err)
				return
			}
			defer closeQuietly(conn)
			from := bufio.NewReader(conn)
			name, err := from.ReadString('\n')
			if err != nil {
				t.Error(err)
				return
			}
			names <- name
			sent := strings.Repeat(fmt.Sprintf("%8d", i), 50_000)
			go func() {
				_, _ = io.WriteString(conn, sent)
				_ = conn.(*net.TCPConn).CloseWrite()
			}()
			got, err := io.ReadAll(from)
			if err != nil || string(got) != sent {
				t.Errorf("connection %d: %d bytes of %d, %v", i, len(got), len(sent), err)
			}
		})
	}
	all.Wait()
	close(names)
	seen := map[string]int{}
	for name := range names {
		seen[name]++
	}
	if len(seen) != 3 {
		t.Errorf("flows went to %v", seen)
	}
	eventually(t, "descriptors are closed", func() bool { return openDescriptors(t) <= descriptors })
}

func openDescriptors(t testing.TB) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0 // there is no such thing here
	}
	return len(list)
}

func TestHalfClose(t *testing.T) {
	n := newNodes(t, Options{}, NetworkTCP)
	ended := make(chan string, 2)
	n.to(rawTarget(t, func(conn net.Conn, from *bufio.Reader) {
		got, _ := io.ReadAll(from)
		ended <- string(got)
		_, _ = io.WriteString(conn, "late answer")
	}))
	conn := n.dial("a")
	if _, err := io.WriteString(conn, "question"); err != nil {
		t.Fatal(err)
	}
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got := receive(t, ended, "the target sees the client's end"); got != "question" {
		t.Errorf("target got %q", got)
	}
	if got, err := io.ReadAll(conn); string(got) != "late answer" || err != nil {
		t.Errorf("client got %q, %v", got, err)
	}
	n.to(rawTarget(t, func(conn net.Conn, from *bufio.Reader) {
		_ = conn.(*net.TCPConn).CloseWrite()
		got, _ := io.ReadAll(from)
		ended <- string(got)
	}))
	conn = n.dial("a")
	if _, err := io.Copy(io.Discard, conn); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "still here"); err != nil {
		t.Fatal(err)
	}
	closeQuietly(conn)
	if got := receive(t, ended, "the client's bytes after the target's end"); got != "still here" {
		t.Errorf("target got %q", got)
	}
}

func TestResetsPass(t *testing.T) {
	n := newNodes(t, Options{}, NetworkTCP)
	failed := make(chan error, 1)
	n.to(rawTarget(t, func(conn net.Conn, from *bufio.Reader) {
		_, _ = io.WriteString(conn, "hello\n")
		_, err := io.Copy(io.Discard, from)
		failed <- err
	}))
	conn := n.dial("a")
	firstLine(t, conn)
	reset(conn)
	if err := receive(t, failed, "the client's reset"); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("target: %v", err)
	}
	n.to(rawTarget(t, func(conn net.Conn, from *bufio.Reader) {
		_, _ = from.ReadByte()
		reset(conn)
	}))
	conn = n.dial("a")
	if _, err := conn.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	wantReset(t, conn, "the target's reset")
}

// TestTargetRefuses: the client is reset, and connections that fail count as failed checks, before the next check is due.
func TestTargetRefuses(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := newNodes(t, Options{Clock: newFakeClock()}, NetworkTCP)
	gone := targetAt(t, "gone", l)
	n.group().HealthCheck.Disabled = false
	n.to(gone)
	eventually(t, "the target is healthy", func() bool { return n.states("group") == "gone healthy" })
	closeListener(l)
	for range 2 {
		if got := n.answerer("a"); got != "reset" {
			t.Errorf("a target that refuses: %s", got)
		}
	}
	if got := n.states("group"); got != "gone unhealthy Target.FailedHealthChecks" {
		t.Errorf("state %s", got)
	}
}

// TestFlowIdle: a quiet flow is forgotten, by the listener's time; one that is not quiet goes on.
func TestFlowIdle(t *testing.T) {
	clock := newFakeClock()
	n := newNodes(t, Options{Clock: clock}, NetworkTCP)
	n.to(says(t, "one", ""))
	for _, idle := range []time.Duration{0, time.Minute} {
		n.port().IdleTimeout = idle
		n.apply()
		limit := orElse(idle, 350*time.Second)
		conn := n.dial("a")
		firstLine(t, conn)
		for range 3 {
			clock.advance(limit - time.Second)
			if _, err := io.WriteString(conn, "still there\n"); err != nil {
				t.Fatal(err)
			}
			if got := firstLine(t, conn); got != "still there" {
				t.Fatalf("got %q", got)
			}
		}
		clock.advance(limit)
		wantReset(t, conn, "after the idle timeout")
	}
}

// TestSlowClient: what a client does not read fills buffers, not memory.
func TestSlowClient(t *testing.T) {
	n := newNodes(t, Options{}, NetworkTCP)
	wrote := make(chan int, 1)
	n.to(rawTarget(t, func(conn net.Conn, _ *bufio.Reader) {
		total, chunk := 0, make([]byte, 1<<20)
		for {
			_ = conn.SetWriteDeadline(time.Now().Add(time.Second))
			k, err := conn.Write(chunk)
			if total += k; err != nil {
				wrote <- total
				return
			}
		}
	}))
	conn := n.dial("a")
	total := receive(t, wrote, "the target is held up")
	if total > 40<<20 {
		t.Errorf("the load balancer took %d bytes that nobody reads", total)
	}
	if got, _ := io.Copy(io.Discard, conn); int(got) != total {
		t.Errorf("the client got %d bytes of %d", got, total)
	}
}

func TestProxyProtocol(t *testing.T) {
	n := newNodes(t, Options{}, NetworkTCP)
	headers := make(chan *proxyproto.Header, 8)
	target := rawTarget(t, func(conn net.Conn, from *bufio.Reader) {
		h, err := proxyproto.Read(from)
		if err != nil {
			t.Error(err)
			return
		}
		headers <- h
		_, _ = io.Copy(conn, from)
	})
	n.group().Network.ProxyProtocol = true
	n.to(target)
	conn := n.dial("a")
	if _, err := io.WriteString(conn, "PROXY TCP4 is the client's own\n"); err != nil {
		t.Fatal(err)
	}
	if got := firstLine(t, conn); got != "PROXY TCP4 is the client's own" {
		t.Errorf("target got %q after the header", got)
	}
	h := receive(t, headers, "a header")
	if h.Version != 2 || h.Command != proxyproto.PROXY || h.TransportProtocol != proxyproto.TCPv4 ||
		h.SourceAddr.String() != conn.LocalAddr().String() || h.DestinationAddr.String() != n.at("a") {
		t.Errorf("header %+v for client %s", h, conn.LocalAddr())
	}
	n.group().HealthCheck.Disabled = false // a check tells of no client
	n.apply()
	if h := receive(t, headers, "the header of a check"); h.Command != proxyproto.LOCAL {
		t.Errorf("header of a check: %+v", h)
	}
}

// TestPreserveClientIP: clients of this machine keep their address toward targets of this machine.
func TestPreserveClientIP(t *testing.T) {
	n := newNodes(t, Options{}, NetworkTCP)
	n.to(rawTarget(t, func(conn net.Conn, _ *bufio.Reader) { _, _ = io.WriteString(conn, conn.RemoteAddr().String()+"\n") }))
	client := loopback()
	for _, preserve := range []bool{true, false} {
		n.group().Network.PreserveClientIP = preserve
		n.apply()
		seen, err := netip.ParseAddrPort(firstLine(t, n.dialFrom(client, "a")))
		if err != nil || (seen.Addr() == client) != preserve {
			t.Errorf("preserve %v: the target saw %s, %v", preserve, seen, err)
		}
	}
}

// TestSourceStickiness: a client stays with a target while that is there; the others do too when one goes.
func TestSourceStickiness(t *testing.T) {
	n := newNodes(t, Options{}, NetworkTCP)
	n.group().Network.StickySourceIP = true
	targets := []Target{says(t, "one", ""), says(t, "two", ""), says(t, "three", "")}
	n.to(targets...)
	clients := map[netip.Addr]string{}
	seen := map[string]bool{}
	for range 40 {
		client := loopback()
		clients[client] = firstLine(t, n.dialFrom(client, "a"))
		seen[clients[client]] = true
	}
	if len(seen) != 3 {
		t.Errorf("clients went to %v", seen)
	}
	n.to(targets[:2]...)
	for client, before := range clients {
		after := firstLine(t, n.dialFrom(client, "a"))
		if before != "three" && after != before || after == "three" {
			t.Errorf("client %s went from %s to %s", client, before, after)
		}
	}
}

func TestNetworkDeregistration(t *testing.T) {
	clock := newFakeClock()
	n := newNodes(t, Options{Clock: clock}, NetworkTCP)
	one, two := says(t, "one", ""), says(t, "two", "")
	for _, cut := range []bool{false, true} {
		n.group().Network.CutDeregistered = cut
		n.to(one)
		conn := n.dial("a")
		firstLine(t, conn)
		n.to(two)
		if got := n.answerers("a"); got != "two" {
			t.Errorf("new flows went to %s", got)
		}
		if got := n.states("group"); got != "one draining Target.DeregistrationInProgress, two unavailable Target.HealthCheckDisabled" {
			t.Errorf("states %s", got)
		}
		clock.advance(299 * time.Second)
		if _, err := io.WriteString(conn, "x\n"); err != nil || firstLine(t, conn) != "x" {
			t.Errorf("before the delay: %v", err)
		}
		clock.advance(time.Second)
		if got := n.states("group"); got != "two unavailable Target.HealthCheckDisabled" {
			t.Errorf("states %s", got)
		}
		if cut {
			wantReset(t, conn, "after the delay")
			continue
		}
		if _, err := io.WriteString(conn, "x\n"); err != nil || firstLine(t, conn) != "x" {
			t.Errorf("after the delay: %v", err)
		}
	}
}

// TestUnhealthyFlows: what becomes of the flows of a target that fails its checks.
func TestUnhealthyFlows(t *testing.T) {
	for name, row := range map[string]struct {
		settings       NetworkGroup
		other          bool
		reset, forLong bool // at once, after the draining interval
		state          string
	}{
		"cut":       {NetworkGroup{CutUnhealthy: true}, true, true, true, "bad unhealthy"},
		"kept":      {NetworkGroup{}, true, false, false, "bad unhealthy"},
		"draining":  {NetworkGroup{UnhealthyDraining: time.Minute}, true, false, true, "bad unhealthy.draining"},
		"fail open": {NetworkGroup{CutUnhealthy: true}, false, false, false, "bad unhealthy"},
	} {
		t.Run(name, func(t *testing.T) {
			clock := newFakeClock()
			n := newNodes(t, Options{Clock: clock}, NetworkTCP)
			n.group().Network = row.settings
			n.group().HealthCheck = HealthCheck{Protocol: "HTTP", Path: "/", Interval: 30 * time.Second, Timeout: 6 * time.Second, HealthyThreshold: 5, UnhealthyThreshold: 2, Matcher: "200-399"}
			var ill sync.Map
			checked := make(chan string, 64)
			bad := n.checkedTarget("bad", &ill, checked)
			targets := []Target{bad}
			if row.other {
				targets = append(targets, n.checkedTarget("good", &ill, checked))
			}
			n.to(targets...)
			eventually(t, "all are healthy", func() bool { return !strings.Contains(n.states("group"), "initial") })
			conn := n.toTarget("bad")
			ill.Store("bad", true)
			for range 2 {
				clock.advance(30 * time.Second)
				for range targets {
					receive(t, checked, "a check")
				}
				eventually(t, "checks are counted", func() bool { return n.quietChecks() })
			}
			eventually(t, "the state", func() bool { return strings.HasPrefix(n.states("group"), row.state+" ") })
			if row.reset {
				wantReset(t, conn, "when it became unhealthy")
				return
			}
			if _, err := io.WriteString(conn, "x\n"); err != nil || firstLine(t, conn) != "x" {
				t.Errorf("at once: %v", err)
			}
			clock.advance(time.Minute)
			if row.forLong {
				wantReset(t, conn, "after the draining interval")
				eventually(t, "the state", func() bool { return strings.HasPrefix(n.states("group"), "bad unhealthy ") })
				return
			}
			if _, err := io.WriteString(conn, "y\n"); err != nil || firstLine(t, conn) != "y" {
				t.Errorf("later: %v", err)
			}
		})
	}
}

// checkedTarget answers checks over HTTP by its health, and says its name to others.
func (n *nodes) checkedTarget(id string, ill *sync.Map, checked chan<- string) Target {
	target := rawTarget(n.t, func(conn net.Conn, from *bufio.Reader) {
		first, err := from.Peek(4)
		if err != nil {
			return
		}
		if string(first) != "GET " {
			_, _ = io.WriteString(conn, id+"\n")
			_, _ = from.ReadString('\n')
			_, _ = io.Copy(conn, from)
			return
		}
		head := readHead(from)
		status := "200 OK"
		if _, bad := ill.Load(id); bad {
			status = "503 Service Unavailable"
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 "+status+"\r\nContent-Length: 0\r\n\r\n")
		checked <- head
	})
	target.ID = id
	return target
}

// toTarget connects until a certain target answers.
func (n *nodes) toTarget(id string) net.Conn {
	for {
		conn := n.dial("a")
		if _, err := io.WriteString(conn, "who?\n"); err != nil {
			n.t.Fatal(err)
		}
		if firstLine(n.t, conn) == id {
			return conn
		}
		closeQuietly(conn)
	}
}

// quietChecks says that no check is under way.
func (n *nodes) quietChecks() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, g := range n.groups {
		for _, t := range g.targets {
			if t.health.cancel != nil {
				return false
			}
		}
	}
	return true
}

// TestNetworkZones: a node has the targets of its zone, or all with cross-zone; and all of these where too few are healthy.
func TestNetworkZones(t *testing.T) {
	n := newNodes(t, Options{Clock: newFakeClock()}, NetworkTCP, "a", "b", "c")
	n.group().HealthCheck.Disabled = false
	dead := func(id, zone string) Target {
		return Target{ID: id, Zone: zone, Address: loopback(), Port: 9}
	}
	one, two, three := says(t, "one", "a"), says(t, "two", "b"), says(t, "three", "all")
	n.to(one, two, dead("dead", "a"))
	settled := func() {
		eventually(t, "checks are over", func() bool { return !strings.Contains(n.states("group"), "initial") || n.quietChecks() })
	}
	settled()
	for zone, want := range map[string]string{"a": "one", "b": "two", "c": "reset"} {
		if got := n.answerers(zone); got != want {
			t.Errorf("zone %s: %s, want %s", zone, got, want)
		}
	}
	n.to(one, two, three)
	settled()
	for zone, want := range map[string]string{"a": "one three", "b": "two three", "c": "three"} {
		if got := n.answerers(zone); got != want {
			t.Errorf("zone %s with a target of every zone: %s, want %s", zone, got, want)
		}
	}
	n.balancer().CrossZone = true
	n.apply()
	settled()
	if got := n.answerers("c"); got != "one two three" {
		t.Errorf("across zones: %s", got)
	}
	n.group().Network.CrossZone = CrossZoneOff
	n.apply()
	if got := n.answerers("b"); got != "two three" {
		t.Errorf("the group's own word: %s", got)
	}
	n.group().Network.RoutingFailover = Threshold{Percent: 60}
	n.to(one, two, dead("dead", "a"))
	settled()
	if got := n.answerers("a"); got != "one reset" {
		t.Errorf("half are healthy, 60 %% are wanted: %s", got)
	}
	far := says(t, "far", "d")
	n.to(one, far)
	settled()
	if got := n.states("group"); !strings.Contains(got, "far unused Target.NotInUse, one healthy") {
		t.Errorf("states %s", got)
	}
}

// TestNetworkChanges: flows go on when the action of their listener changes, and end when it goes.
func TestNetworkChanges(t *testing.T) {
	n := newNodes(t, Options{}, NetworkTCP)
	n.to(says(t, "one", ""))
	conn := n.dial("a")
	firstLine(t, conn)
	n.config.TargetGroups = append(n.config.TargetGroups, TargetGroup{
		ID: "other", Protocol: "TCP", HealthCheck: n.group().HealthCheck, Targets: []Target{says(t, "two", "")},
	})
	n.port().Forward = Forward{TargetGroups: []WeightedTargetGroup{{"group", 0}, {"other", 10}}}
	n.apply()
	if got := n.answerers("a"); got != "two" {
		t.Errorf("new flows went to %s", got)
	}
	if _, err := io.WriteString(conn, "x\n"); err != nil || firstLine(t, conn) != "x" {
		t.Errorf("the flow before: %v", err)
	}
	n.port().Forward = Forward{TargetGroups: []WeightedTargetGroup{{"group", 10}, {"other", 10}}}
	n.apply()
	if got := n.answerers("a"); got != "one two" {
		t.Errorf("both have weight: %s", got)
	}
	n.balancer().Listeners = nil
	n.apply()
	wantReset(t, conn, "without its listener")
	if _, err := net.Dial("tcp", netip.AddrPortFrom(n.balancer().Nodes[0].Address, testPort).String()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("the port is still open: %v", err)
	}
}

// TestNetworkTLS: SNI, ALPN policies, and TLS or plain bytes toward targets, after the proxy header.
func TestNetworkTLS(t *testing.T) {
	n := newNodes(t, Options{}, NetworkTLS)
	protocols := make(chan string, 8)
	back := &tls.Config{Certificates: []tls.Certificate{certificate(t, false, 30, "target.example.com")}, NextProtos: []string{"h2", "http/1.1"}}
	secured := rawTarget(t, func(conn net.Conn, from *bufio.Reader) {
		if _, err := proxyproto.Read(from); err != nil {
			t.Error(err)
			return
		}
		c := tls.Server(buffered{conn, from}, back)
		if err := c.Handshake(); err != nil {
			t.Error(err)
			return
		}
		protocols <- c.ConnectionState().NegotiatedProtocol
		_, _ = io.Copy(c, c)
		_ = c.CloseWrite()
	})
	n.port().TLS = &TLS{
		Certificate: certificate(t, false, 30, "one.example.com"), Certificates: []tls.Certificate{certificate(t, false, 30, "*.two.example.com")},
		Policy: "ELBSecurityPolicy-TLS13-1-2-2021-06",
	}
	n.group().Network.ProxyProtocol = true
	n.to(secured)
	for _, row := range []struct {
		policy ALPNPolicy
		offer  []string
		want   string
	}{
		{"", []string{"h2"}, ""},
		{ALPNNone, []string{"h2"}, ""},
		{ALPNHTTP1Only, []string{"h2", "http/1.1"}, "http/1.1"},
		{ALPNHTTP2Only, []string{"http/1.1", "h2"}, "h2"},
		{ALPNHTTP2Optional, []string{"h2", "http/1.1"}, "http/1.1"},
		{ALPNHTTP2Optional, []string{"h2"}, "h2"},
		{ALPNHTTP2Preferred, []string{"http/1.1", "h2"}, "h2"},
		{ALPNHTTP2Preferred, nil, ""},
	} {
		n.port().ALPN = row.policy
		n.apply()
		c := tls.Client(n.dial("a"), &tls.Config{InsecureSkipVerify: true, ServerName: "www.two.example.com", NextProtos: row.offer})
		if err := c.Handshake(); err != nil {
			t.Fatalf("%s %v: %v", row.policy, row.offer, err)
		}
		state := c.ConnectionState()
		if state.NegotiatedProtocol != row.want || state.PeerCertificates[0].DNSNames[0] != "*.two.example.com" {
			t.Errorf("%s %v: %q with %v", row.policy, row.offer, state.NegotiatedProtocol, state.PeerCertificates[0].DNSNames)
		}
		text := strings.Repeat("0123456789", 20_000)
		go func() {
			_, _ = io.WriteString(c, text)
			_ = c.CloseWrite()
		}()
		if got, err := io.ReadAll(c); string(got) != text || err != nil {
			t.Errorf("%d bytes of %d came back: %v", len(got), len(text), err)
		}
		if got := receive(t, protocols, "the target's protocol"); got != row.want {
			t.Errorf("%s %v: the target speaks %q", row.policy, row.offer, got)
		}
	}
	n.group().Protocol, n.group().Network.ProxyProtocol = "TCP", false
	n.to(says(t, "one", ""))
	c := tls.Client(n.dial("a"), &tls.Config{InsecureSkipVerify: true})
	if got := firstLine(t, c); got != "one" {
		t.Errorf("plain target: %q", got)
	}
	if got := c.ConnectionState().PeerCertificates[0].DNSNames[0]; got != "one.example.com" {
		t.Errorf("without a name: %s", got)
	}
	if _, err := tls.Dial("tcp", n.at("a"), &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11}); err == nil {
		t.Error("an old client was let in")
	}
	eventually(t, "the failure is counted", func() bool { return n.counted("ClientTLSNegotiationErrorCount") == 1 })
}

// buffered is a connection of which some was read already.
type buffered struct {
	net.Conn
	from io.Reader
}

func (b buffered) Read(p []byte) (int, error) { return b.from.Read(p) }

// TestNetworkCheckHost: checks over HTTP ask for the load balancer's node, not for the target.
func TestNetworkCheckHost(t *testing.T) {
	n := newNodes(t, Options{Clock: newFakeClock()}, NetworkTCP, "a", "b")
	n.group().HealthCheck = HealthCheck{Protocol: "HTTP", Path: "/healthz", Interval: 30 * time.Second, Timeout: 6 * time.Second, HealthyThreshold: 5, UnhealthyThreshold: 2, Matcher: "200-399"}
	checked := make(chan string, 1)
	target := n.checkedTarget("one", &sync.Map{}, checked)
	target.Zone = "b"
	n.to(target)
	head := receive(t, checked, "a check")
	if !strings.HasPrefix(head, "GET /healthz HTTP/1.1\r\nHost: "+n.at("b")+"\r\n") || !strings.Contains(head, "ELB-HealthChecker/2.0") {
		t.Errorf("check %q", head)
	}
	eventually(t, "healthy after one success", func() bool { return n.states("group") == "one healthy" })
}

// TestIPv6Target: clients of IPv4 reach targets of IPv6, which do not see their address.
func TestIPv6Target(t *testing.T) {
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, "six\n")
			closeQuietly(conn)
		}
	}()
	t.Cleanup(func() {
		closeListener(l)
		<-done
	})
	n := newNodes(t, Options{}, NetworkTCP)
	n.group().Network.PreserveClientIP = true
	n.to(targetAt(t, "six", l))
	if got := n.answerer("a"); got != "six" {
		t.Errorf("got %s", got)
	}
}

// TestFlowMetrics: what a Network Load Balancer counts, by the names of its metrics.
func TestFlowMetrics(t *testing.T) {
	n := newNodes(t, Options{Clock: newFakeClock()}, NetworkTCP)
	n.to(rawTarget(t, func(conn net.Conn, from *bufio.Reader) {
		text, _ := from.ReadString('\n')
		_, _ = io.WriteString(conn, text)
		if text == "reset me\n" {
			reset(conn)
		}
		_, _ = io.Copy(io.Discard, from)
	}))
	talk := func(text string) *net.TCPConn {
		conn := n.dial("a")
		if _, err := io.WriteString(conn, text); err != nil {
			t.Fatal(err)
		}
		return conn
	}
	counted := func(name string, want int) {
		t.Helper()
		eventually(t, fmt.Sprintf("%s is %d", name, want), func() bool { return n.counted(name) == want })
	}
	first := talk("hello\n")
	firstLine(t, first)
	counted("ActiveFlowCount", 1)
	counted("ProcessedBytes_TCP", 12)
	reset(first)
	counted("TCP_Client_Reset_Count", 1)
	_, _ = io.Copy(io.Discard, talk("reset me\n"))
	counted("TCP_Target_Reset_Count", 1)
	n.group().HealthCheck.Disabled = false
	n.to(Target{ID: "dead", Address: loopback(), Port: 9})
	if got := n.answerer("a"); got != "reset" {
		t.Errorf("a target that is not there answered: %s", got)
	}
	counted("TCP_ELB_Reset_Count", 1)
	counted("UnhealthyRoutingFlowCount", 1)
	n.to()
	if got := n.answerer("a"); got != "reset" {
		t.Errorf("nobody answered: %s", got)
	}
	counted("RejectedFlowCount", 1)
	counted("NewFlowCount_TCP", 4)
	counted("NewFlowCount", 4)
	counted("ActiveFlowCount", 0)
}
