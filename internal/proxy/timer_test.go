package proxy

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// silentTarget takes requests, says so, and never answers until released.
func silentTarget(t *testing.T, begun chan<- struct{}) Target {
	t.Helper()
	return rawTarget(t, func(_ net.Conn, from *bufio.Reader) {
		readHead(from)
		begun <- struct{}{}
		_, _ = io.Copy(io.Discard, from)
	})
}

func TestConnectTimeout(t *testing.T) {
	clock, begun := newFakeClock(), make(chan struct{}, 1)
	r := newRig(t, Options{Clock: clock, Dial: neverDial(begun)})
	r.forwardTo(Target{ID: "a", Port: 80, Address: loopback()})
	r.apply()
	c := r.dialClient()
	c.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	receive(t, begun, "the load balancer connects")
	clock.advance(connectTimeout)
	wantPage(t, c.read("GET"), 504)
}

// An idle timeout shorter than the connect timeout counts for connecting too.
func TestIdleTimeoutWhileConnecting(t *testing.T) {
	clock, begun := newFakeClock(), make(chan struct{}, 1)
	r := newRig(t, Options{Clock: clock, Dial: neverDial(begun)})
	r.lb().IdleTimeout = 2 * time.Second
	r.forwardTo(Target{ID: "a", Port: 80, Address: loopback()})
	r.apply()
	c := r.dialClient()
	c.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	receive(t, begun, "the load balancer connects")
	clock.advance(9 * time.Second)
	wantPage(t, c.read("GET"), 504)
	c.closed()
}

// A target that does not take the body: the client did its part, so 504 and not 408.
func TestTargetTakesNoBody(t *testing.T) {
	clock, stuck := newFakeClock(), make(chan struct{}, 1)
	ours, theirs := net.Pipe()
	defer closeQuietly(theirs)
	r := newRig(t, Options{Clock: clock, Dial: func(context.Context, string, string) (net.Conn, error) {
		return &secondWrite{Conn: ours, begins: stuck}, nil
	}})
	r.forwardTo(Target{ID: "a", Port: 80, Address: loopback()})
	r.apply()
	c := r.dialClient()
	c.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("x", 50000))
	readHead(bufio.NewReaderSize(theirs, 16))
	receive(t, stuck, "the body is sent")
	c.lapse(clock)
	wantPage(t, c.read("POST"), 504)
}

// secondWrite says when something is written for the second time.
type secondWrite struct {
	net.Conn
	writes int
	begins chan<- struct{}
}

func (c *secondWrite) Write(p []byte) (int, error) {
	if c.writes++; c.writes == 2 {
		c.begins <- struct{}{}
	}
	return c.Conn.Write(p)
}

func TestIdleTimeoutOfTarget(t *testing.T) {
	clock, begun := newFakeClock(), make(chan struct{}, 1)
	r := newRig(t, Options{Clock: clock})
	r.forwardTo(silentTarget(t, begun))
	r.apply()
	c := r.dialClient()
	c.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx")
	receive(t, begun, "the request arrives")
	clock.advance(59 * time.Second)
	if n := c.buffered(); n > 0 {
		t.Fatal("an answer before the timeout")
	}
	c.lapse(clock)
	wantPage(t, c.read("POST"), 504)
	c.closed()
}

// buffered says how many bytes are there without waiting for more than a moment.
func (c *client) buffered() int {
	setReadDeadline(c.Conn, time.Now().Add(5*time.Millisecond))
	_, _ = c.from.Peek(1)
	setReadDeadline(c.Conn, time.Now().Add(patience))
	return c.from.Buffered()
}

// lapse lets time pass until the load balancer says something or closes the connection. The last byte that a test knows
// of may count as activity a moment later, so one timeout is not always enough.
func (c *client) lapse(clock *fakeClock) {
	c.t.Helper()
	eventually(c.t, "an answer or the end after the timeout", func() bool {
		clock.advance(time.Minute)
		setReadDeadline(c.Conn, time.Now().Add(5*time.Millisecond))
		defer setReadDeadline(c.Conn, time.Now().Add(patience))
		_, err := c.from.Peek(1)
		return !isTimeout(err)
	})
}

// A body that is shorter than its Content-Length, on a connection that stays open, ends in 504.
func TestShortBody(t *testing.T) {
	clock, begun := newFakeClock(), make(chan struct{}, 1)
	r := newRig(t, Options{Clock: clock})
	r.forwardTo(rawTarget(t, func(conn net.Conn, from *bufio.Reader) {
		readHead(from)
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
		begun <- struct{}{}
		_, _ = from.ReadByte()
	}))
	r.apply()
	c := r.dialClient()
	c.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	receive(t, begun, "the target answers")
	if c.buffered() > 0 {
		t.Fatal("half an answer")
	}
	c.lapse(clock)
	wantPage(t, c.read("GET"), 504)
}

// A client that owes data gets 408; one that is idle between requests is only disconnected.
func TestIdleTimeoutOfClient(t *testing.T) {
	clock, begun := newFakeClock(), make(chan struct{}, 9)
	r := newRig(t, Options{Clock: clock})
	r.forwardTo(rawTarget(t, func(_ net.Conn, from *bufio.Reader) {
		readHead(from)
		if _, err := io.CopyN(io.Discard, from, 3); err == nil {
			begun <- struct{}{}
		}
		_, _ = io.Copy(io.Discard, from)
	}))
	r.listener().Rules = []Rule{{Conditions: []Condition{{Field: "path-pattern", Values: []string{"/own"}}}, Action: respond(200, "")}}
	r.apply()
	half, body, idle := r.dialClient(), r.dialClient(), r.dialClient()
	half.send("GET / HTTP/1.1\r\nHo")
	body.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc")
	receive(t, begun, "the body arrives, as far as it goes")
	idle.send("GET /own HTTP/1.1\r\nHost: h\r\n\r\n")
	wantStatus(t, idle.read("GET"), 200)
	eventually(t, "the half head is being read", func() bool { return r.reading() == 1 })
	for _, c := range []*client{half, body, idle} {
		c.lapse(clock)
	}
	wantPage(t, half.read("GET"), 408)
	wantPage(t, body.read("POST"), 408)
	idle.closed()
}

// reading counts connections within a request.
func (r *rig) reading() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, k := range r.sockets {
		k.mu.Lock()
		for c := range k.conns {
			c.mu.Lock()
			if !c.waiting && c.target == nil {
				n++
			}
			c.mu.Unlock()
		}
		k.mu.Unlock()
	}
	return n
}

// A head that drips in must be complete within the idle timeout, however often a byte comes.
func TestSlowHead(t *testing.T) {
	clock := newFakeClock()
	r := newRig(t, Options{Clock: clock})
	r.apply()
	c := r.dialClient()
	for _, b := range "GET / HTTP/1.1\r\nX: " {
		c.send(string(b))
		eventually(t, "the byte is taken", func() bool { return r.reading() == 1 })
		clock.advance(3 * time.Second)
	}
	clock.advance(6 * time.Second) // the first byte may have been taken one step late
	wantPage(t, c.read("GET"), 408)
	c.closed()
}

// After the client keep-alive duration one more request is served, and the connection closes.
func TestClientKeepAlive(t *testing.T) {
	clock := newFakeClock()
	r := newRig(t, Options{Clock: clock})
	r.lb().ClientKeepAlive = 90 * time.Second
	r.listener().Default = respond(200, "")
	r.apply()
	c := r.dialClient()
	for _, want := range []bool{false, false, true} {
		c.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
		if got := c.read("GET"); got.Close != want {
			t.Fatalf("close %v", got.Close)
		}
		clock.advance(50 * time.Second)
	}
	c.closed()
}

// A shorter idle timeout holds for connections that are open already.
func TestIdleTimeoutChanges(t *testing.T) {
	clock := newFakeClock()
	r := newRig(t, Options{Clock: clock})
	r.lb().IdleTimeout = 365 * 24 * time.Hour
	r.listener().Default = respond(200, "")
	r.apply()
	c := r.dialClient()
	c.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	c.read("GET")
	r.lb().IdleTimeout = 5 * time.Second
	r.apply()
	c.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	c.read("GET")
	c.lapse(clock)
	c.closed()
}

// Idle connections to targets close after the idle timeout.
func TestIdleTargetConnections(t *testing.T) {
	clock, ended := newFakeClock(), make(chan struct{}, 1)
	r := newRig(t, Options{Clock: clock})
	r.forwardTo(rawTarget(t, func(conn net.Conn, from *bufio.Reader) {
		answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")(conn, from)
		ended <- struct{}{}
	}))
	r.apply()
	wantStatus(t, r.get("/"), 200)
	eventually(t, "the idle connection closes", func() bool {
		clock.advance(time.Minute)
		return len(ended) == 1
	})
}

func TestTunnel(t *testing.T) {
	clock, ended := newFakeClock(), make(chan struct{}, 1)
	r := newRig(t, Options{Clock: clock})
	seen := make(chan string, 1)
	r.forwardTo(rawTarget(t, func(conn net.Conn, from *bufio.Reader) {
		seen <- readHead(from)
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX-A: b\r\n\r\n")
		_, _ = io.Copy(conn, from) // an echo
		ended <- struct{}{}
	}))
	r.apply()
	open := func() *client {
		c := r.dialClient()
		c.send("GET /ws HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\nearly")
		if got := c.read("GET"); got.StatusCode != http.StatusSwitchingProtocols || got.Header.Get("Upgrade") != "websocket" ||
			got.Header.Get("Connection") != "upgrade" || got.Header.Get("X-A") != "b" {
			t.Fatal(got)
		}
		if head := receive(t, seen, "the upgrade arrives"); !strings.Contains(head, "\r\nUpgrade: websocket\r\nConnection: upgrade\r\n") {
			t.Errorf("%q", head)
		}
		echo(t, c, "", "early")
		echo(t, c, "GET /more HTTP/1.1\r\n\r\n", "GET /more HTTP/1.1\r\n\r\n") // no more rules
		return c
	}

	c := open()
	if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	c.closed()
	receive(t, ended, "the end is passed on")

	c = open()
	for range 3 {
		clock.advance(50 * time.Second)
		echo(t, c, "tick", "tick")
	}
	c.lapse(clock)
	c.closed()
	receive(t, ended, "the idle tunnel ends")

	c = open()
	r.lb().Listeners = nil
	r.apply()
	c.closed()
	receive(t, ended, "the tunnel ends with its listener")
}

// echo sends something and expects something back.
func echo(t testing.TB, c *client, say, want string) {
	t.Helper()
	c.send(say)
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c.from, got); err != nil || string(got) != want {
		t.Fatalf("%q, %v", got, err)
	}
}

// Without 101 an upgrade is a request like others.
func TestUpgradeDeclined(t *testing.T) {
	r := newRig(t, Options{})
	r.forwardTo(named(t, "plain"))
	r.apply()
	c := r.dialClient()
	for range 2 {
		c.send("GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
		if got := c.read("GET"); got.body != "plain" || got.Close {
			t.Fatal(got.Status, got.body)
		}
	}
}
