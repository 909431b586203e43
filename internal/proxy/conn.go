package proxy

import (
	"bufio"
	"context"
	"crypto/tls"
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

// clientConn is one connection of a client. With HTTP/1 it carries one request at a time.
type clientConn struct {
	side
	socket *socket
	tcp    net.Conn
	raw    net.Conn // TLS on tcp where the listener speaks it; changes under mu, once
	tls    *secured
	peer   netip.AddrPort
	opened time.Time
	// inHead is set while a head is read or TLS begins: then bytes do not count as activity, so that all of it has to
	// come within the idle timeout.
	inHead bool
	fields fields // memory for the next request
	// Bytes that were read and written.
	in, out atomic.Int64

	counts  *counts // that this connection is in
	tracing sync.Once
	traceID string // in logs

	// Guarded by mu.
	waiting bool // between requests
	tunnel  bool
	streams *streams // of HTTP/2
}

func newClientConn(k *socket, tcp net.Conn) *clientConn {
	c := &clientConn{socket: k, tcp: tcp, raw: tcp, opened: k.server.clock.Now()}
	c.server, c.voice, c.line = k.server, c, c
	if a, ok := tcp.RemoteAddr().(*net.TCPAddr); ok {
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
	c.in.Add(int64(n))
	if n > 0 && !c.inHead {
		c.dog.touch()
	}
	return n, err
}

func (c *clientConn) Write(p []byte) (int, error) {
	n, err := c.raw.Write(p)
	c.out.Add(int64(n))
	if n > 0 {
		c.dog.touch()
	}
	return n, err
}

func (c *clientConn) wake() { setDeadline(c.raw, past) }

// retire lets the connection end after the request that runs, or now.
func (c *clientConn) retire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.retiring = true
	switch {
	case c.streams != nil:
		c.streams.retire()
	case c.waiting, c.tunnel:
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
	c.cutTarget()
	closeQuietly(c.tcp)
}

// serve runs the connection.
func (c *clientConn) serve() {
	unhook := context.AfterFunc(c.server.context, c.kill)
	defer func() {
		unhook()
		c.dog.end()
		closeQuietly(c.raw)
		c.counts.add(activeConnections, -1)
		c.socket.forget(c)
		c.br.Reset(nil)
		readers.Put(c.br)
	}()
	switch front := c.socket.front.Load(); {
	case front.tls == nil:
		c.logConnection(front, c.opened, "")
	case !c.secure():
		return
	}
	if c.tls != nil && c.raw.(*tls.Conn).ConnectionState().NegotiatedProtocol == "h2" {
		c.serveStreams()
		return
	}
	for c.next() {
		front := c.socket.front.Load()
		c.dog.limit(front.idleTimeout)
		c.inHead = true
		received, sent := c.consumed(), c.out.Load()
		r, err := readRequest(c.br, c.fields[:0])
		c.inHead = false
		a := c.arrival(front)
		if err == nil {
			err = r.judge(front.desync)
		}
		if err != nil {
			c.refuse(r, a, err)
			c.settle(r, a, c.consumed()-received, c.out.Load()-sent)
			return
		}
		c.dog.touch()
		c.fields = r.fields
		goesOn := c.proceeds(r) && c.handle(r, a)
		c.settle(r, a, c.consumed()-received, c.out.Load()-sent)
		if !goesOn {
			return
		}
		clear(c.fields)
	}
}

// consumed is how many bytes of the client's have been used up.
func (c *clientConn) consumed() int64 { return c.in.Load() - int64(c.br.Buffered()) }

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

func (c *clientConn) arrival(front *frontend) *arrival {
	return &arrival{front: front, peer: c.peer, at: c.server.clock.Now(), tls: c.tls}
}

// refuse answers a request whose head is not acceptable, or did not come in time.
func (c *clientConn) refuse(r *request, a *arrival, err error) {
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
	c.conclude(r, a, page(int(status)), false)
}

// proceeds tells a client that waits for leave to send its body to do so.
func (c *clientConn) proceeds(r *request) bool {
	expect, found := r.fields.get("Expect")
	if !found || r.version != 11 || r.body.empty() || !cutsTo(expect, "100-continue") {
		return true
	}
	_, err := io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\n")
	return err == nil
}

func cutsTo(s, want string) bool { rest, ok := cutPrefixFold(s, want); return ok && rest == "" }

func (c *clientConn) keeps(r *request, front *frontend) bool {
	c.mu.Lock()
	retiring := c.retiring
	c.mu.Unlock()
	return !retiring && !r.ambiguous && r.wantsKeepAlive() && c.server.clock.Now().Sub(c.opened) < front.keepAlive
}

func (c *clientConn) answer(r *request, a *arrival, own answer) bool {
	keep := c.keeps(r, a.front) && !r.body.chunked && r.body.length <= maxUnread
	if !c.say(r, a, own, keep) {
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

func (c *clientConn) conclude(r *request, a *arrival, own answer, keep bool) bool {
	keep = c.say(r, a, own, keep) && keep
	if !keep {
		c.linger()
	}
	return keep
}

// say writes an answer of our own.
func (c *clientConn) say(r *request, a *arrival, own answer, keep bool) bool {
	a.said(own)
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	if c.expired.Load() || !keep {
		setWriteDeadline(c.raw, time.Now().Add(lastWords))
	}
	_, err := c.Write(own.appendTo((*buf)[:0], r, a, c.server.clock.Now(), keep))
	return err == nil
}

func (c *clientConn) interim(resp *response, front *frontend) error {
	b := append([]byte("HTTP/1.1 "), resp.line...)
	b = append(b, "\r\n"...)
	b = append(appendEndToEnd(b, resp.fields, front), "\r\n"...)
	_, err := c.Write(b)
	return err
}

func (c *clientConn) begin(w *bodyWriter, x *exchange, resp *response, keep bool) error {
	w.to = c
	if x.r.version == 9 {
		return nil
	}
	return w.head(x.appendAnswer(w.buf[:0], resp, keep))
}

func (c *clientConn) hush(on bool) {
	if on {
		setReadDeadline(c.raw, past)
	} else {
		setReadDeadline(c.raw, time.Time{})
	}
}

// linger waits for the client to close, since closing with unread bytes would reset the connection and may take the
// answer away.
func (c *clientConn) linger() {
	half, ok := c.raw.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	setReadDeadline(c.raw, time.Now().Add(lastWords))
	_, _ = io.CopyN(io.Discard, c.raw, maxUnread) // whatever comes, the connection closes
}

func (c *clientConn) reset() {
	if tcp, ok := c.tcp.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // fails only on a closed connection
	}
	closeQuietly(c.tcp)
}

// buffers are for copying bodies and writing heads.
var buffers = sync.Pool{New: func() any { b := make([]byte, 16<<10); return &b }}

// Setting a deadline fails only on a closed connection, where it does not matter.
func setDeadline(c net.Conn, t time.Time)      { _ = c.SetDeadline(t) }
func setReadDeadline(c net.Conn, t time.Time)  { _ = c.SetReadDeadline(t) }
func setWriteDeadline(c net.Conn, t time.Time) { _ = c.SetWriteDeadline(t) }
