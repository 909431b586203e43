package proxy

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// lastWords is how long a connection about to close may take for its last answer, and for the client to read it.
	lastWords = 2 * time.Second
	// maxUnread is how many bytes of a request body nobody wants are read, to keep the connection or to let the client
	// see the answer.
	maxUnread = 256 << 10
)

// clientConn is one connection of a client. It carries one request at a time.
type clientConn struct {
	server *Server
	socket *socket
	raw    net.Conn
	br     *bufio.Reader
	peer   netip.AddrPort
	opened time.Time
	dog    watchdog // for the client's side and, while a request runs, the target's
	// inHead is set while a head is read: then bytes do not count as activity, so that a head as a whole has to
	// come within the idle timeout.
	inHead  bool
	expired atomic.Bool
	fields  fields // memory for the next request

	mu       sync.Mutex
	waiting  bool // between requests
	retiring bool // to close after the request that runs
	tunnel   bool
	killed   bool
	target   *targetConn        // in use by the request that runs
	dialing  context.CancelFunc // of the connection being opened for it
}

func newClientConn(k *socket, raw net.Conn) *clientConn {
	c := &clientConn{server: k.server, socket: k, raw: raw, opened: k.server.clock.Now()}
	if a, ok := raw.RemoteAddr().(*net.TCPAddr); ok {
		ap := a.AddrPort()
		c.peer = netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	c.br = readers.Get().(*bufio.Reader)
	c.br.Reset(c)
	c.dog.start(k.server.clock, k.front.Load().idleTimeout, c.expire)
	return c
}

// Read is for the bufio.Reader on top.
func (c *clientConn) Read(p []byte) (int, error) {
	n, err := c.raw.Read(p)
	if n > 0 && !c.inHead {
		c.dog.touch()
	}
	return n, err
}

func (c *clientConn) Write(p []byte) (int, error) {
	n, err := c.raw.Write(p)
	if n > 0 {
		c.dog.touch()
	}
	return n, err
}

// expire wakes everyone who waits on this connection: nothing moved for the idle timeout.
func (c *clientConn) expire() {
	c.expired.Store(true)
	c.wake()
}

// wake lets blocked reads and writes of both sides fail.
func (c *clientConn) wake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	setDeadline(c.raw, past)
	if c.target != nil {
		setDeadline(c.target.tcp, past)
	}
	if c.dialing != nil {
		c.dialing()
	}
}

// retire lets the connection end after the request that runs, or now.
func (c *clientConn) retire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.retiring = true
	if c.waiting || c.tunnel {
		c.killLocked()
	}
}

// kill ends the connection now.
func (c *clientConn) kill() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.killLocked()
}

func (c *clientConn) killLocked() {
	c.killed = true
	closeQuietly(c.raw)
	if c.target != nil {
		closeQuietly(c.target.tcp)
	}
	if c.dialing != nil {
		c.dialing()
	}
}

// use makes a target's connection end with the client's. It reports false when it is too late.
func (c *clientConn) use(t *targetConn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.target = t
	return !c.killed && !c.expired.Load()
}

// serve runs the connection.
func (c *clientConn) serve() {
	unhook := context.AfterFunc(c.server.context, c.kill)
	defer func() {
		unhook()
		c.dog.end()
		closeQuietly(c.raw)
		c.socket.forget(c)
		c.br.Reset(nil)
		readers.Put(c.br)
	}()
	for c.next() {
		front := c.socket.front.Load()
		c.dog.limit(front.idleTimeout)
		c.inHead = true
		r, err := readRequest(c.br, c.fields[:0])
		c.inHead = false
		if err != nil {
			c.refuse(r, front, err)
			return
		}
		c.dog.touch()
		c.fields = r.fields
		if !c.handle(r, &arrival{front: front, peer: c.peer, at: c.server.clock.Now()}) {
			return
		}
		clear(c.fields)
	}
}

// next waits for the first byte of a request.
func (c *clientConn) next() bool {
	c.mu.Lock()
	c.waiting = true
	over := c.retiring || c.killed
	c.mu.Unlock()
	if over {
		return false
	}
	_, err := c.br.Peek(1)
	c.mu.Lock()
	c.waiting = false
	over = c.killed
	c.mu.Unlock()
	return err == nil && !over && !c.expired.Load()
}

// refuse answers a request whose head is not acceptable, or did not come in time.
func (c *clientConn) refuse(r *request, front *frontend, err error) {
	var status refusal
	switch {
	case c.expired.Load():
		status = 408
	case errors.As(err, &status):
	default:
		return // the client went away
	}
	if r.version == 9 {
		r.version = 10 // the head was not understood, so neither was the version
	}
	c.say(r, front, page(int(status)), false)
	c.linger()
}

// handle serves one request and reports whether the connection goes on.
func (c *clientConn) handle(r *request, a *arrival) bool {
	if expect, found := r.fields.get("Expect"); found && r.version == 11 && !r.body.empty() && cutsTo(expect, "100-continue") {
		if _, err := io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\n"); err != nil {
			return false
		}
	}
	switch {
	case r.method == "TRACE":
		return c.answer(r, a.front, page(405))
	case forwardedCount(r.fields) > maxForwardedFor:
		return c.answer(r, a.front, page(463))
	}
	switch to := a.front.route(r, c.peer.Addr()); {
	case to.fixed != nil:
		return c.answer(r, a.front, fixed(to.fixed))
	case to.redirect != nil:
		return c.answer(r, a.front, redirect(to.redirect, r, a.front))
	default:
		g := to.group()
		if g == nil {
			return c.answer(r, a.front, page(503))
		}
		t := g.acquire()
		if t == nil {
			return c.answer(r, a.front, page(503))
		}
		defer t.release()
		return c.forward(r, a, t)
	}
}

func cutsTo(s, want string) bool { rest, ok := cutPrefixFold(s, want); return ok && rest == "" }

// keeps says whether the connection goes on after the answer to a request.
func (c *clientConn) keeps(r *request, front *frontend) bool {
	c.mu.Lock()
	retiring := c.retiring
	c.mu.Unlock()
	return !retiring && !r.ambiguous && r.wantsKeepAlive() && c.server.clock.Now().Sub(c.opened) < front.keepAlive
}

// answer says something of our own to a request of which the body, if any, is still unread.
func (c *clientConn) answer(r *request, front *frontend, a answer) bool {
	keep := c.keeps(r, front) && !r.body.chunked && r.body.length <= maxUnread
	if !c.say(r, front, a, keep) {
		return false
	}
	if keep {
		_, err := io.CopyN(io.Discard, c.br, r.body.length)
		return err == nil
	}
	if !r.body.empty() || c.br.Buffered() > 0 {
		c.linger()
	}
	return false
}

// say writes an answer of our own.
func (c *clientConn) say(r *request, front *frontend, a answer, keep bool) bool {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	if c.expired.Load() || !keep {
		setWriteDeadline(c.raw, time.Now().Add(lastWords))
	}
	_, err := c.Write(a.appendTo((*buf)[:0], r, front, c.server.clock.Now(), keep))
	return err == nil
}

// linger lets the client read the last answer: closing with unread bytes would reset the connection and may take the
// answer away.
func (c *clientConn) linger() {
	half, ok := c.raw.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	setReadDeadline(c.raw, time.Now().Add(lastWords))
	_, _ = io.CopyN(io.Discard, c.raw, maxUnread) // whatever comes, the connection closes
}

// buffers are for copying bodies and writing heads.
var buffers = sync.Pool{New: func() any { b := make([]byte, 16<<10); return &b }}

// Setting a deadline fails only on a closed connection, where it does not matter.
func setDeadline(c net.Conn, t time.Time)      { _ = c.SetDeadline(t) }
func setReadDeadline(c net.Conn, t time.Time)  { _ = c.SetReadDeadline(t) }
func setWriteDeadline(c net.Conn, t time.Time) { _ = c.SetWriteDeadline(t) }
