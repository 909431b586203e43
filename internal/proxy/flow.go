package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/pires/go-proxyproto"
)

// flows is a TCP port of a node and the connections that came by it.
type flows struct {
	server   *Server
	listener net.Listener
	current  atomic.Pointer[nodeFront]

	mu      sync.Mutex
	closing bool
	open    map[*flow]struct{}
}

func newFlows(s *Server, listener net.Listener, front *nodeFront) *flows {
	k := &flows{server: s, listener: listener, open: map[*flow]struct{}{}}
	k.current.Store(front)
	s.background.Go(func() { s.accept(listener, k.begin) })
	return k
}

func (k *flows) serves(front *nodeFront) { k.current.Store(front) }
func (k *flows) front() *nodeFront       { return k.current.Load() }

func (k *flows) close() {
	k.mu.Lock()
	k.closing = true
	open := make([]*flow, 0, len(k.open))
	for f := range k.open {
		open = append(open, f)
	}
	k.mu.Unlock()
	closeListener(k.listener)
	for _, f := range open {
		f.end()
	}
}

// begin serves a connection.
func (k *flows) begin(conn net.Conn) {
	f := &flow{server: k.server, front: k.front(), client: newLeg(conn)}
	f.account.opened, f.account.handshake = k.server.clock.Now(), -1
	f.account.alert.Store(-1)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closing {
		f.end()
		return
	}
	k.open[f] = struct{}{}
	k.server.background.Go(func() {
		f.run()
		k.mu.Lock()
		delete(k.open, f)
		k.mu.Unlock()
	})
}

// flow is one TCP connection of a client and the one to its target. It lives until both directions have ended, one of
// them has failed, or nothing has moved for the idle timeout: then both sides see a reset.
type flow struct {
	server  *Server
	front   *nodeFront
	dog     watchdog
	client  *leg
	account flowAccount

	mu     sync.Mutex
	target *leg               // nil before there is a connection
	cancel context.CancelFunc // of what is done before that
	over   bool
}

// run serves the flow from its first byte to its last.
func (f *flow) run() {
	ctx, cancel := context.WithCancel(f.server.context)
	defer cancel()
	f.mu.Lock()
	f.cancel = cancel
	f.mu.Unlock()
	f.dog.start(f.server.clock, f.front.idle, f.end)
	unhook := context.AfterFunc(f.server.context, f.end)
	defer func() {
		unhook()
		f.dog.end()
		f.closeLegs()
		f.record()
	}()
	kind := f.front.kind("tcp")
	defer f.front.counts.begins(kind)()
	negotiated, err := f.secure(ctx)
	if err != nil {
		return
	}
	client := f.client.peer()
	t, settings := f.server.acquire(f.front, client)
	if t == nil {
		f.end() // as when a packet comes for a connection that nobody knows
		return
	}
	defer t.release()
	if !t.carries(f) {
		f.end()
		return
	}
	defer t.drops(f)
	if err := f.connect(ctx, t, settings, client, negotiated); err != nil {
		f.end()
		return
	}
	var back sync.WaitGroup
	back.Go(func() { f.pass(f.client, f.target, kind, &f.account.out) })
	f.pass(f.target, f.client, kind, &f.account.in)
	back.Wait()
}

// secure begins TLS with the client where the listener ends it.
func (f *flow) secure(ctx context.Context) (alpn string, err error) {
	if f.front.tls == nil {
		return "", nil
	}
	conn := tls.Server(f.client.Conn, f.front.tls.config)
	if err := conn.HandshakeContext(context.WithValue(ctx, presented{}, &f.account.chosen)); err != nil {
		f.front.counts.add(flowClientTLSErrors)
		f.account.noteAlert(err)
		return "", err
	}
	f.dog.touch()
	f.client.wrap(conn)
	state := conn.ConnectionState()
	f.account.client, f.account.handshake = &state, f.server.clock.Now().Sub(f.account.opened)
	return state.NegotiatedProtocol, nil
}

// connect opens the connection to the target: first what it is to know of the client, then TLS where it speaks that.
func (f *flow) connect(ctx context.Context, t *target, settings NetworkGroup, client netip.AddrPort, alpn string) error {
	dialing, cancel := context.WithCancel(ctx)
	stop := f.server.clock.AfterFunc(connectTimeout, cancel)
	defer cancel()
	defer stop()
	conn, err := f.server.reach(dialing, "tcp", t, settings, client.Addr())
	if err != nil {
		if ctx.Err() == nil {
			f.server.suspect(t)
		}
		return err
	}
	to := newLeg(conn)
	f.mu.Lock()
	if f.over {
		f.mu.Unlock()
		to.reset()
		return errOver
	}
	f.target = to
	f.mu.Unlock()
	if settings.ProxyProtocol {
		if _, err := proxyHeader(client, f.front.at).WriteTo(to); err != nil {
			return err
		}
	}
	if t.tls {
		config := &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10} //nolint:gosec // NLB "TLS listeners": not validated
		if alpn != "" {
			config.NextProtos = []string{alpn}
		}
		secured := tls.Client(to.Conn, config)
		if err := secured.HandshakeContext(dialing); err != nil {
			f.front.counts.add(flowTargetTLSErrors)
			return err
		}
		f.account.targetALPN = secured.ConnectionState().NegotiatedProtocol
		to.wrap(secured)
	}
	f.dog.touch()
	return nil
}

// proxyHeader tells a target whose connection it gets (NLB "Proxy protocol"). There are no VPC endpoints here, whose ids
// AWS adds.
func proxyHeader(client, node netip.AddrPort) *proxyproto.Header {
	return proxyproto.HeaderProxyFromAddrs(2, net.TCPAddrFromAddrPort(client), net.TCPAddrFromAddrPort(node))
}

// end resets both sides.
func (f *flow) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.over {
		f.front.counts.add(ownResets)
	}
	f.endLocked()
}

// fail resets both sides because one of them has failed, and counts which.
func (f *flow) fail(side *leg, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.over {
		f.failed(side, err)
	}
	f.endLocked()
}

func (f *flow) endLocked() {
	f.over = true
	if f.cancel != nil {
		f.cancel()
	}
	f.client.reset()
	if f.target != nil {
		f.target.reset()
	}
}

func (f *flow) closeLegs() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.over = true
	closeQuietly(f.client.Conn)
	if f.target != nil {
		closeQuietly(f.target.Conn)
	}
}

// pass copies one direction. The end of it is passed on and leaves the other alone; a failure is a reset for both.
func (f *flow) pass(to, from *leg, kind flowKind, total *atomic.Int64) {
	for {
		b, n, err := from.next()
		var failed error
		if n > 0 {
			f.dog.touch()
			total.Add(int64(n))
			f.front.counts.bytes[kind].Add(int64(n))
			_, failed = to.Write((*b)[:n])
			f.dog.touch()
		}
		from.done(b)
		switch {
		case failed != nil:
			f.fail(to, failed)
			return
		case err == nil:
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF): // the latter is TLS without a goodbye
			if err := to.CloseWrite(); err != nil {
				f.fail(to, err)
			}
			return
		default:
			if from == f.client {
				f.account.noteAlert(err)
			}
			f.fail(from, err)
			return
		}
	}
}

// suspect counts a connection that a target did not take as a failed health check (NLB "Health checks for target groups",
// passive health checks).
func (s *Server) suspect(t *target) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed && t.health.state == healthy && !t.group.config.Network.StickySourceIP {
		s.learn(t, networkFailure)
	}
}

// networkFailure is all that is said about a failed check of a Network Load Balancer's target.
var networkFailure = verdict{"Target.FailedHealthChecks", "Health checks failed"}

// carried is what a target carries: it ends when the target is cut off.
type carried interface{ end() }

// carries notes something that ends when the target is cut off; false when it is already.
func (t *target) carries(c carried) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over {
		return false
	}
	if t.flows == nil {
		t.flows = map[carried]struct{}{}
	}
	t.flows[c] = struct{}{}
	return true
}

func (t *target) drops(c carried) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.flows, c)
}

// cutFlows ends the flows there are.
func (t *target) cutFlows() {
	t.mu.Lock()
	open := make([]carried, 0, len(t.flows))
	for c := range t.flows {
		open = append(open, c)
	}
	t.mu.Unlock()
	for _, c := range open {
		c.end()
	}
}

// settleFlows decides what becomes of the flows of a target whose health has changed (NLB "Edit target group attributes",
// Connection termination for unhealthy targets): they are cut, go on for a while, or go on. They go on too where the
// target gets new ones all the same. Server.mu is held.
func (s *Server) settleFlows(t *target) {
	settings, c := t.group.config.Network, t.group.network.Load()
	switch {
	case t.health.state != unhealthy || c == nil || c.gives(t):
	case settings.CutUnhealthy:
		s.background.Go(t.cutFlows)
	case settings.UnhealthyDraining > 0:
		t.health.lingering = true
		epoch := t.health.epoch
		s.clock.AfterFunc(settings.UnhealthyDraining, func() {
			s.mu.Lock()
			over := t.health.epoch == epoch && t.health.lingering
			if over {
				t.health.lingering = false
			}
			s.mu.Unlock()
			if over {
				t.cutFlows()
			}
		})
	}
}
