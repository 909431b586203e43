package proxy

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// connectTimeout is for the TCP connection to a target, and again for its TLS handshake
	// (ELB "Troubleshoot your Application Load Balancers", HTTP 504 and 502).
	connectTimeout = 10 * time.Second
	// maxIdle is how many idle connections to one target are kept; ours, as ELB states no number.
	maxIdle = 128
	// defaultSpread is how many connections to a target are opened before one is used again. An ALB has nodes in every zone
	// with connections of their own, so that requests spread over the pods behind a node port, which a connection
	// leads to for all its life; ours, as ELB states no number.
	defaultSpread = 4
)

// target is one place to send requests to. It lives from registration until it has drained.
type target struct {
	server  *Server
	group   *group
	key     TargetKey
	address netip.AddrPort
	tls     bool
	// quicServer is the server id that connection ids of QUIC have, "" without.
	quicServer string
	// streams speaks to a target of HTTP/2, and is nil for others. What runs there ends with ended.
	streams *http.Transport
	ended   context.Context
	end     context.CancelFunc

	inflight atomic.Int64
	leaving  atomic.Bool // draining: no new requests

	// Guarded by Server.mu.
	zone     string    // for Network Load Balancers
	slowFrom time.Time // when slow start began; zero when it is not in it
	exempt   bool      // it does not start slowly when it first becomes healthy

	mu        sync.Mutex
	idle      []*targetConn // the one that has been idle longest comes first, and is used next
	active    map[*targetConn]struct{}
	flows     map[carried]struct{} // of a Network Load Balancer
	over      bool                 // the deregistration delay is over, or the server is closing: nothing may run any more
	unpooled  bool                 // connections are closed after use
	stopSweep func() bool

	health targetState // guarded by Server.mu
}

// targetConn is a connection to a target, used by one request at a time.
type targetConn struct {
	net.Conn // TLS where the target speaks it
	tcp      net.Conn
	owner    *target
	br       *bufio.Reader
	dog      *watchdog // of the client connection that uses it now
	heard    bool      // a byte came since it was last taken
	reused   bool
	expires  time.Time
}

var readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 4<<10) }}

// Read is for the bufio.Reader on top.
func (c *targetConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.heard = true
		c.dog.touch()
	}
	return n, err
}

func (c *targetConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if n > 0 {
		c.dog.touch()
	}
	return n, err
}

var (
	errOver = errors.New("the target is gone")
	past    = time.Unix(1, 0) // a deadline that wakes whoever is blocked
)

// take returns an idle connection, or nil where one is to be opened.
func (t *target) take(dog *watchdog, now time.Time) *targetConn {
	for {
		t.mu.Lock()
		if len(t.idle) == 0 || len(t.idle)+len(t.active) < t.server.spread || t.over {
			t.mu.Unlock()
			return nil
		}
		c := t.idle[0]
		t.idle = slices.Delete(t.idle, 0, 1)
		t.active[c] = struct{}{}
		t.mu.Unlock()
		if now.Before(c.expires) && quiet(c.tcp) {
			c.dog, c.heard, c.reused = dog, false, true
			c.br = readers.Get().(*bufio.Reader)
			c.br.Reset(c)
			return c
		}
		t.discard(c)
	}
}

// dial opens a connection.
func (t *target) dial(ctx context.Context, dog *watchdog) (*targetConn, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := t.server.clock.AfterFunc(connectTimeout, func() { cancel(context.DeadlineExceeded) })
	defer stop()
	tcp, err := t.server.dial(ctx, "tcp", t.address.String())
	if err != nil {
		return nil, errors.Join(err, context.Cause(ctx))
	}
	c := &targetConn{Conn: tcp, tcp: tcp, owner: t, dog: dog}
	if t.tls {
		if c.Conn, err = handshake(ctx, tcp); err != nil {
			return nil, errors.Join(err, context.Cause(ctx), tcp.Close())
		}
	}
	t.mu.Lock()
	over := t.over
	if !over {
		t.active[c] = struct{}{}
	}
	t.mu.Unlock()
	if over {
		return nil, errors.Join(errOver, tcp.Close())
	}
	c.br = readers.Get().(*bufio.Reader)
	c.br.Reset(c)
	return c, nil
}

// blame leaves a line for whoever wonders about a 502 or 504. There may be one for each request, so it is for debugging.
func (t *target) blame(what string, err error) {
	t.server.log.Debug(what, "group", t.group.id, "target", t.key.ID, "address", t.address, "error", err)
}

// handshake speaks TLS to a target. Certificates of targets are not validated (ELB "Target groups for your Application
// Load Balancers": "Application Load Balancers do not validate certificates on targets").
func handshake(ctx context.Context, tcp net.Conn) (net.Conn, error) {
	c := tls.Client(tcp, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10}) //nolint:gosec // as above
	if err := c.HandshakeContext(ctx); err != nil {
		return c, handshakeError{err}
	}
	return c, nil
}

// handshakeError is trouble with a target's TLS.
type handshakeError struct{ error }

func (e handshakeError) Unwrap() error { return e.error }

// put gives a connection back for the next request, or closes it when there will be none.
func (t *target) put(c *targetConn, idleTimeout time.Duration) {
	if c.br.Buffered() > 0 {
		t.discard(c)
		return
	}
	c.release()
	c.expires = t.server.clock.Now().Add(idleTimeout)
	t.mu.Lock()
	delete(t.active, c)
	keep := !t.over && !t.unpooled && len(t.idle) < maxIdle
	if keep {
		t.idle = append(t.idle, c)
		if t.stopSweep == nil {
			t.stopSweep = t.server.clock.AfterFunc(idleTimeout, t.sweep)
		}
	}
	t.mu.Unlock()
	if !keep {
		closeQuietly(c.Conn)
	}
}

// discard closes a connection.
func (t *target) discard(c *targetConn) {
	t.mu.Lock()
	delete(t.active, c)
	t.mu.Unlock()
	c.release()
	closeQuietly(c.Conn)
}

func (c *targetConn) release() {
	if c.br != nil {
		c.br.Reset(nil)
		readers.Put(c.br)
		c.br = nil
	}
}

// sweep closes connections that were idle for too long.
func (t *target) sweep() {
	now := t.server.clock.Now()
	var old []*targetConn
	t.mu.Lock()
	t.stopSweep = nil
	kept := t.idle[:0]
	var next time.Time
	for _, c := range t.idle {
		if !now.Before(c.expires) {
			old = append(old, c)
			continue
		}
		if next.IsZero() || c.expires.Before(next) {
			next = c.expires
		}
		kept = append(kept, c)
	}
	clear(t.idle[len(kept):])
	t.idle = kept
	if !next.IsZero() && !t.over && !t.unpooled {
		t.stopSweep = t.server.clock.AfterFunc(next.Sub(now), t.sweep)
	}
	t.mu.Unlock()
	for _, c := range old {
		closeQuietly(c.Conn)
	}
}

// pooling turns keeping idle connections on or off; off closes those there are.
func (t *target) pooling(on bool) {
	t.mu.Lock()
	t.unpooled = !on
	var idle []*targetConn
	if !on {
		idle, t.idle = t.idle, nil
		if t.stopSweep != nil {
			t.stopSweep()
			t.stopSweep = nil
		}
	}
	t.mu.Unlock()
	for _, c := range idle {
		closeQuietly(c.Conn)
	}
	if !on && t.streams != nil {
		t.streams.CloseIdleConnections()
	}
}

// cut ends whatever still runs, for good.
func (t *target) cut() {
	t.pooling(false)
	defer t.cutFlows()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over = true
	if t.streams != nil {
		t.end()
	}
	for c := range t.active {
		closeQuietly(c.tcp) // its user closes the rest
	}
}

// closeQuietly closes what is no longer needed; there is nothing to do about an error.
func closeQuietly(c net.Conn) { _ = c.Close() }
