package proxy

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

const (
	// maxInterim is how many 1xx answers to one request are let through; ours.
	maxInterim = 16
	// maxHeld is the Content-Length in bytes up to which an answer is held back until its body is complete, so that a
	// short one can still become 502 or 504.
	maxHeld = 8 << 10
)

// exchange is one request on its way to a target, and the answer on its way back.
type exchange struct {
	c  *side
	r  *request
	a  *arrival
	t  *target
	tc *targetConn

	phase    atomic.Int32 // of the upload
	stopping atomic.Bool
	uploaded chan struct{} // closed when the upload goroutine is done with both connections
}

// Phases of an upload.
const (
	receiving int32 = iota // waiting for the client
	sending                // waiting for the target to take it
	received               // the client has nothing more to say; the target may not have all yet
	sent                   // the target has it all
	broken                 // the target does not take it
	malformed              // the client sent nonsense
	aborted                // the client went away
)

// forward sends a request to a target and its answer to the client. It reports whether the client's connection goes on.
func (c *side) forward(r *request, a *arrival, t *target) bool {
	for fresh := false; ; fresh = true {
		tc, err := c.connect(t, fresh)
		if err != nil {
			if c.isKilled() {
				return false
			}
			t.blame("cannot connect to a target", err)
			a.front.counts.connectionError(t, err)
			return c.answerFailure(r, a, connectStatus(c, err))
		}
		x := exchange{c: c, r: r, a: a, t: t, tc: tc}
		reuse, keep, again := x.run()
		c.use(nil)
		if reuse {
			t.put(tc, a.front.idleTimeout)
		} else {
			t.discard(tc)
		}
		if !again {
			return keep
		}
	}
}

// connect takes an idle connection to the target, or opens one.
func (c *side) connect(t *target, fresh bool) (*targetConn, error) {
	var tc *targetConn
	if !fresh {
		tc = t.take(&c.dog, c.server.clock.Now())
	}
	if tc == nil {
		ctx, cancel := context.WithCancel(c.server.context)
		defer cancel()
		c.dials(cancel)
		var err error
		tc, err = t.dial(ctx, &c.dog)
		c.dials(nil)
		if err != nil {
			return nil, err
		}
	}
	if !c.use(tc) {
		c.use(nil)
		t.discard(tc)
		return nil, context.Canceled
	}
	return tc, nil
}

// connectStatus is the answer when a target cannot be reached: 504 when it took too long, 502 otherwise.
func connectStatus(c *side, err error) int {
	if c.expired.Load() || errors.Is(err, context.DeadlineExceeded) || isTimeout(err) {
		return 504
	}
	return 502
}

// answerFailure answers for a target when nothing of the request's body was read yet.
func (c *side) answerFailure(r *request, a *arrival, status int) bool {
	if c.expired.Load() {
		return c.conclude(r, a, page(status), false)
	}
	return c.answer(r, a, page(status))
}

// run sends the request and delivers the answer. reuse is whether the target's connection can be used again, keep whether
// the client's can; again asks for another try on a fresh connection, since the target closed this one before it can have
// seen the request.
func (x *exchange) run() (reuse, keep, again bool) {
	if err := x.sendHead(); err != nil {
		if x.retries() {
			return false, false, true
		}
		x.t.blame("cannot send a request to a target", err)
		return false, x.c.answerFailure(x.r, x.a, 502), false
	}
	x.a.dispatched = x.c.server.clock.Now()
	x.uploaded = make(chan struct{})
	if x.c.alert && x.phase.Load() == sent {
		close(x.uploaded)
	} else {
		x.c.server.background.Go(x.upload)
	}
	resp, err := x.response()
	if err != nil {
		x.stopUpload()
		if x.retries() && x.r.idempotent() && !x.clientTrouble() {
			return false, false, true
		}
		return false, x.fail(err), false
	}
	x.a.answered, x.a.status, x.a.targetStatus = x.c.server.clock.Now(), resp.status, resp.status
	if resp.status == 101 {
		x.stopUpload()
		if c, ok := x.c.voice.(*clientConn); ok { // as only HTTP/1 upgrades
			c.upgrade(x, resp)
		}
		return false, false, false
	}
	return x.deliver(resp)
}

// sendHead sends the request's head, and its body too where that is small and here already.
func (x *exchange) sendHead() error {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	b := x.r.appendHead((*buf)[:0], x.a)
	whole := !x.r.body.streams() && x.r.body.length <= int64(x.c.br.Buffered())
	n := 0
	if whole {
		n = int(x.r.body.length)
		body, err := x.c.br.Peek(n)
		if err != nil {
			return err
		}
		b = append(b, body...)
	}
	if _, err := x.tc.Write(b); err != nil {
		return err
	}
	if whole {
		x.phase.Store(sent)
		_, err := x.c.br.Discard(n)
		return err
	}
	return nil
}

// retries says whether the target closed a connection that it had kept open, before it answered anything.
func (x *exchange) retries() bool {
	if !x.tc.reused || x.tc.heard || x.c.expired.Load() {
		return false
	}
	x.t.mu.Lock()
	over := x.t.over
	x.t.mu.Unlock()
	return !over && !x.c.isKilled()
}

// upload sends the request's body, then watches for the client to go away.
func (x *exchange) upload() {
	defer close(x.uploaded)
	if x.phase.Load() != sent {
		if !x.sendBody() {
			return
		}
	}
	if x.c.alert || x.c.br.Buffered() > 0 {
		return // or the next request is here already
	}
	if _, err := x.c.br.Peek(1); err != nil && !x.stopping.Load() && !x.c.expired.Load() {
		x.phase.Store(aborted)
		closeQuietly(x.tc.tcp)
	}
}

func (x *exchange) sendBody() bool {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	w := bodyWriter{to: phaseWriter{x}, buf: *buf, chunked: x.r.body.streams(), trailers: x.r.trailers}
	err := copyBody(&w, x.c.br, x.r.body, false, func() { x.phase.Store(received) })
	var source sourceError
	switch {
	case err == nil:
		x.phase.Store(sent)
		return true
	case x.stopping.Load(), x.c.expired.Load():
	case !errors.As(err, &source):
		x.phase.Store(broken) // the target may have answered all the same
	default:
		x.phase.Store(malformed)
		if source.gone() {
			x.phase.Store(aborted)
		}
		closeQuietly(x.tc.tcp)
	}
	return false
}

// phaseWriter writes to the target and says so, to tell whom a timeout is to blame on.
type phaseWriter struct{ x *exchange }

func (w phaseWriter) Write(p []byte) (int, error) {
	w.x.phase.CompareAndSwap(receiving, sending)
	n, err := w.x.tc.Write(p)
	if err == nil {
		w.x.phase.CompareAndSwap(sending, receiving)
	}
	return n, err
}

// stopUpload ends the upload goroutine. The connections can be used again if all was sent.
func (x *exchange) stopUpload() {
	select {
	case <-x.uploaded:
		return
	default:
	}
	x.stopping.Store(true)
	x.c.hush(true)
	if x.phase.Load() != sent {
		setWriteDeadline(x.tc.tcp, past)
	}
	<-x.uploaded
	x.c.hush(false)
	setWriteDeadline(x.tc.tcp, time.Time{})
}

func (x *exchange) clientTrouble() bool {
	phase := x.phase.Load()
	return phase == malformed || phase == aborted
}

// fail answers for an exchange that got no answer, or half of a small one.
func (x *exchange) fail(err error) bool {
	status := 502
	switch phase := x.phase.Load(); {
	case phase == aborted, x.c.alert && x.c.isKilled():
		x.a.status = 460
		return false // there is nobody to tell
	case phase == malformed:
		status = 400
	case x.c.expired.Load() && phase == receiving:
		status = 408
	case x.c.expired.Load():
		status = 504
	}
	if status >= 500 {
		x.t.blame("no good answer from a target", err)
	}
	phase := x.phase.Load()
	keep := x.c.keeps(x.r, x.a.front) && !x.c.expired.Load() && (phase == sent || phase == received)
	return x.c.conclude(x.r, x.a, page(status), keep)
}

// response reads the head of the final answer; interim ones go to the client (RFC 9110 section 15.2), but for 100, which
// the load balancer has sent itself.
func (x *exchange) response() (*response, error) {
	for range maxInterim {
		resp, err := readResponse(x.tc.br, x.r.method)
		if err != nil {
			return nil, err
		}
		switch {
		case resp.status >= 200:
			return resp, nil
		case resp.status == 101:
			if !x.r.upgrades() {
				return nil, errMalformed
			}
			return resp, nil
		case resp.status == 100 || x.r.version < 11:
			continue
		}
		if err := x.c.interim(resp, x.a.front); err != nil {
			return nil, err
		}
	}
	return nil, errMalformed
}

// deliver sends the answer to the client.
func (x *exchange) deliver(resp *response) (reuse, keep, again bool) {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	phase := x.phase.Load()
	keep = x.c.keeps(x.r, x.a.front) && (phase == sent || phase == received)
	known := !resp.body.chunked && resp.body.length >= 0
	if !known && x.r.version < 11 {
		keep = false // only the end of the connection says where the body ends
	}
	w := bodyWriter{buf: *buf, chunked: !known && x.r.version == 11}
	err := x.c.begin(&w, x, resp, keep)
	hold := known && resp.body.length > 0 && resp.body.length <= maxHeld && !w.began
	if err == nil {
		if resp.body.empty() {
			w.chunked = false
		}
		err = copyBody(&w, x.tc.br, resp.body, hold, func() {})
	}
	x.stopUpload()
	var source sourceError
	switch {
	case err == nil:
	case errors.As(err, &source) && !w.began:
		return false, x.fail(err), false
	default:
		x.c.reset() // the client must not take what it has for the whole
		return false, false, false
	}
	all := x.phase.Load() == sent
	if !keep && !all {
		x.c.linger()
	}
	reuse = all && resp.keep && !x.r.ambiguous && !x.c.expired.Load()
	return reuse, keep && all, false
}

// appendAnswer writes the head of a target's answer as the client gets it.
func (x *exchange) appendAnswer(b []byte, resp *response, keep bool) []byte {
	b = append(b, "HTTP/1.1 "...)
	b = append(b, resp.line...)
	b = append(b, "\r\n"...)
	b = appendEndToEnd(b, resp.fields, x.a.front)
	if !hasField(resp.fields, "Date") {
		b = appendDate(b, x.c.server.clock.Now())
	}
	switch {
	case resp.status == 204:
	case resp.body.empty(): // of HEAD and 304, the length is that of another answer
		if length, found := resp.fields.get("Content-Length"); found {
			b = appendField(b, "Content-Length", length)
		}
	case !resp.body.chunked && resp.body.length > 0:
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, resp.body.length, 10)
		b = append(b, "\r\n"...)
	case x.r.version == 11:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	}
	for _, f := range x.a.cookiesFor(resp) {
		b = appendField(b, f.name, f.value)
	}
	for _, f := range x.a.front.responses {
		b = appendField(b, f.name, f.value)
	}
	b = appendConnection(b, keep)
	return append(b, "\r\n"...)
}

// appendEndToEnd writes the fields of an answer that are meant for the client.
func appendEndToEnd(b []byte, all fields, front *frontend) []byte {
	drop := nominated(all)
	for i := range all {
		if f := &all[i]; endToEnd(f.name, drop, front) {
			b = appendField(b, f.name, f.value)
		}
	}
	return b
}

// endToEnd says whether a field of an answer is for the client, with drop those that are not by the answer's own word.
func endToEnd(name string, drop []string, front *frontend) bool {
	return !hopByHop(name) && !containsFold(drop, name) && !hasField(front.responses, name) &&
		(!front.headers.HideLoadBalancerInServer || !strings.EqualFold(name, "Server"))
}

// isNetwork says whether an error is the connection's.
func isNetwork(err error) bool {
	var network net.Error
	return errors.As(err, &network) || errors.Is(err, net.ErrClosed)
}
