package proxy

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"

	"golang.org/x/net/http2"
)

// Limits of a connection of HTTP/2 (ELB "How Elastic Load Balancing works", HTTP connections).
const (
	maxStreams  = 128
	maxRequests = 10_000 // then GOAWAY
)

// streams is the HTTP/2 side of a client's connection. The framing is golang.org/x/net/http2's; each stream becomes a
// request like those of HTTP/1, served by the same code.
type streams struct {
	c      *clientConn
	base   *http.Server // the connection's own: what http2.Server has of shutting down gracefully goes through it
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
	h := &streams{c: c, idle: make(chan struct{}), base: &http.Server{
		// http2 adds some for what a field costs itself. Above that it answers 431; up to it, the answers are ours.
		MaxHeaderBytes: 2 * maxRequestHeader,
		ErrorLog:       slog.NewLogLogger(c.server.log.Handler(), slog.LevelDebug),
	}}
	server := &http2.Server{MaxConcurrentStreams: maxStreams, PermitProhibitedCipherSuites: true}
	if err := http2.ConfigureServer(h.base, server); err != nil {
		c.server.log.Error("cannot serve HTTP/2", "error", err)
		return
	}
	h.dog.start(c.server.clock, c.socket.front.Load().idleTimeout, h.bark)
	defer h.dog.end()
	c.mu.Lock()
	c.streams = h
	over := c.retiring || c.killed
	c.mu.Unlock()
	if over {
		return
	}
	server.ServeConn(c.raw, &http2.ServeConnOpts{Context: c.server.context, BaseConfig: h.base, Handler: h})
	h.mu.Lock()
	h.over = true
	if h.open == 0 {
		close(h.idle)
	}
	h.mu.Unlock()
	<-h.idle
}

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
	var status refusal
	if errors.As(err, &status) {
		s.answer(r, a, page(int(status)))
		return
	}
	s.handle(r, a)
}
