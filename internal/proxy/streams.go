package proxy

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
)

// Limits of a connection of HTTP/2 (ELB "How Elastic Load Balancing works", HTTP connections).
const (
	maxStreams  = 128
	maxRequests = 10_000 // then GOAWAY
)

// streams is the HTTP/2 side of a client's connection. The framing is net/http's; each stream becomes a
// request like those of HTTP/1, served by the same code.
type streams struct {
	c      *clientConn
	base   *http.Server // the connection's own, since it shuts down as a whole
	served atomic.Int64
	dog    watchdog // for a connection with no stream; a client's PING does not count

	mu      sync.Mutex
	open    int
	leaving bool          // GOAWAY was sent
	over    bool          // no stream may begin
	idle    chan struct{} // closed when over and no stream is open
}

// serveStreams runs a connection of HTTP/2.
func (c *clientConn) serveStreams() {
	c.dog.end()
	h := &streams{c: c, idle: make(chan struct{})}
	once := &onceListener{conn: make(chan net.Conn, 1), address: c.raw.LocalAddr()}
	once.conn <- c.raw
	closed := make(chan struct{})
	h.base = &http.Server{
		Handler: h, Protocols: new(http.Protocols),
		HTTP2: &http.HTTP2Config{MaxConcurrentStreams: maxStreams, MaxReadFrameSize: 16 << 10, PermitProhibitedCipherSuites: true},
		// net/http adds some for what a field costs itself. Above that it answers 431; up to it, the answers are ours.
		MaxHeaderBytes: 2 * maxRequestHeader,
		ErrorLog:       slog.NewLogLogger(c.server.log.Handler(), slog.LevelDebug),
		BaseContext:    func(net.Listener) context.Context { return c.server.context },
		ConnState: func(_ net.Conn, state http.ConnState) {
			if state == http.StateClosed {
				_ = once.Close()
				close(closed)
			}
		},
	}
	h.base.Protocols.SetHTTP2(true)
	h.dog.start(c.server.clock, c.socket.front.Load().idleTimeout, h.bark)
	defer h.dog.end()
	c.mu.Lock()
	c.streams = h
	over := c.retiring || c.killed
	c.mu.Unlock()
	if over {
		return
	}
	_ = h.base.Serve(once) // always says that it is closed
	<-closed
	h.mu.Lock()
	h.over = true
	if h.open == 0 {
		close(h.idle)
	}
	h.mu.Unlock()
	<-h.idle
}

// onceListener gives net/http a connection that was accepted already.
type onceListener struct {
	conn    chan net.Conn
	address net.Addr
	closing sync.Once
}

// Accept returns the connection, and then an error when the listener is closed.
func (l *onceListener) Accept() (net.Conn, error) {
	if conn, open := <-l.conn; open {
		return conn, nil
	}
	return nil, net.ErrClosed
}

// Close lets no connection come; one that is here goes on.
func (l *onceListener) Close() error {
	l.closing.Do(func() { close(l.conn) })
	return nil
}

// Addr is where the connection was accepted.
func (l *onceListener) Addr() net.Addr { return l.address }

// enter counts a stream that begins. It reports false when that is too late.
func (h *streams) enter() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.over {
		return false
	}
	h.open++
	return true
}

func (h *streams) leave() {
	h.dog.touch()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.open--
	if h.over && h.open == 0 {
		close(h.idle)
	}
}

// bark ends a connection on which no stream was open for the idle timeout: with GOAWAY, and if the client does not even
// take that, for good.
func (h *streams) bark() {
	h.mu.Lock()
	open, again := h.open, h.leaving
	h.mu.Unlock()
	switch {
	case open > 0: // each has a watchdog of its own
	case again:
		h.c.kill()
		return
	default:
		h.goAway()
	}
	h.dog.again()
}

// retire ends the connection after the streams there are. clientConn.mu is held.
func (h *streams) retire() {
	h.mu.Lock()
	open := h.open
	h.mu.Unlock()
	if open == 0 {
		h.c.killLocked()
		return
	}
	h.goAway()
}

// goAway lets the client begin no more streams; the connection ends after those there are.
func (h *streams) goAway() {
	h.mu.Lock()
	h.leaving = true
	h.mu.Unlock()
	over, cancel := context.WithCancel(context.Background())
	cancel()
	_ = h.base.Shutdown(over) // it has nothing to wait for
}

// ServeHTTP serves one stream.
func (h *streams) ServeHTTP(w http.ResponseWriter, from *http.Request) {
	if !h.enter() {
		panic(http.ErrAbortHandler)
	}
	defer h.leave()
	c := h.c
	front := c.socket.front.Load()
	h.dog.limit(front.idleTimeout)
	s := newStream(h, w, from, front)
	defer s.end()
	a := c.arrival(front)
	r, err := streamRequest(from)
	if err == nil {
		err = r.judge(front.desync)
	}
	var status refusal
	if errors.As(err, &status) {
		s.answer(r, a, page(int(status)))
	} else {
		s.handle(r, a)
	}
	c.settle(r, a, int64(r.size)+s.in.Load(), s.out)
}
