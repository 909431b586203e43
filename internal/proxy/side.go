package proxy

import (
	"bufio"
	"context"
	"sync"
	"sync/atomic"
)

// side is the client's side of a request: what the way to a target and back needs of it, whatever protocol the request
// came by. A connection of HTTP/1 has one for all its requests, which come one after another; in HTTP/2 each stream has
// one of its own.
type side struct {
	voice
	line
	server *Server
	br     *bufio.Reader // the request's body; in HTTP/1 followed by the next request
	dog    watchdog      // for the client's side and, while a request runs, the target's
	// alert is set when a client that goes away in the middle of a request is noticed without reading from br.
	alert   bool
	expired atomic.Bool

	mu       sync.Mutex
	retiring bool // to close after the request that runs
	killed   bool
	target   *targetConn        // in use by the request that runs
	dialing  context.CancelFunc // of the connection being opened for it
}

// voice is how a client is spoken to in its protocol. A true result says that the connection goes on.
type voice interface {
	// keeps says whether the connection goes on after the answer to a request.
	keeps(r *request, front *frontend) bool
	// answer says something of our own to a request of which the body, if any, is still unread.
	answer(r *request, a *arrival, own answer) bool
	// conclude says something of our own in whatever state the request is; without keep it is the last thing said.
	conclude(r *request, a *arrival, own answer, keep bool) bool
	// interim passes a 1xx answer on.
	interim(resp *response, front *frontend) error
	// begin makes w write the answer to a request, with its head first. Nothing has to go out before the body does.
	begin(w *bodyWriter, x *exchange, resp *response, keep bool) error
}

// line is the way to a client.
type line interface {
	// hush keeps reads of br from blocking, from now on or no longer.
	hush(on bool)
	// wake lets blocked reads and writes fail. side.mu is held.
	wake()
	// linger lets the client read the last answer although it still sends.
	linger()
	// reset ends the connection, or the stream, so that the client does not take what it has for the whole.
	reset()
}

// expire wakes everyone who waits for this request: nothing moved for the idle timeout.
func (c *side) expire() {
	c.expired.Store(true)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wake()
	if c.target != nil {
		setDeadline(c.target.tcp, past)
	}
	if c.dialing != nil {
		c.dialing()
	}
}

// cutTarget ends what runs at a target. side.mu is held.
func (c *side) cutTarget() {
	c.killed = true
	if c.target != nil {
		closeQuietly(c.target.tcp)
	}
	if c.dialing != nil {
		c.dialing()
	}
}

// isKilled says whether the client's side is gone.
func (c *side) isKilled() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.killed
}

// use makes a target's connection end with the client's. It reports false when it is too late.
func (c *side) use(t *targetConn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.target = t
	return !c.killed && !c.expired.Load()
}

func (c *side) dials(cancel context.CancelFunc) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dialing = cancel
}

// handle serves one request and reports whether the connection goes on.
func (c *side) handle(r *request, a *arrival) bool {
	switch {
	case r.method == "TRACE":
		return c.answer(r, a, page(405))
	case forwardedCount(r.fields) > maxForwardedFor:
		return c.answer(r, a, page(463))
	}
	if a.front.signIns != nil && r.path == idpResponse {
		return c.answer(r, a, c.server.finishSignIn(r, a))
	}
	to := a.front.route(r, a.peer.Addr())
	a.action = to
	if to.signIn != nil || to.token != nil {
		if own, ok := c.admit(r, a, to); !ok {
			return c.answer(r, a, own)
		}
	}
	switch {
	case to.fixed != nil:
		return c.answer(r, a, fixed(to.fixed))
	case to.redirect != nil:
		return c.answer(r, a, redirect(to.redirect, r, a))
	default:
		if to.rewrites != nil {
			rewritten, ok := to.rewrites.apply(r)
			if !ok {
				a.transform = "TransformFailed"
				return c.answer(r, a, page(500))
			}
			if rewritten.rehosted || rewritten.target != r.target {
				a.rewritten, a.transform = rewritten, "TransformSuccess"
			}
			r = rewritten
		}
		g := c.server.group(to, r, a)
		if g == nil {
			return c.answer(r, a, page(503))
		}
		if !g.version().serves(r) {
			return c.answer(r, a, page(464))
		}
		t := c.server.target(g, r, a)
		if t == nil {
			return c.answer(r, a, page(503))
		}
		a.target = t
		defer t.release()
		if stream, ok := c.voice.(*stream); ok && t.streams != nil {
			return stream.relay(r, a, t)
		}
		return c.forward(r, a, t)
	}
}
