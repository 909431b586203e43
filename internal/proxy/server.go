package proxy

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
)

type (
	dialFunc   func(ctx context.Context, network, address string) (net.Conn, error)
	listenFunc func(ctx context.Context, network, address string) (net.Listener, error)
)

// Options are what a Server needs from the world. The zero value is the machine's clock, network and no log.
type Options struct {
	Clock  Clock
	Logger *slog.Logger // one line for what an operator may want to know: sockets that fail, requests ended by draining
	Dial   func(ctx context.Context, network, address string) (net.Conn, error)
	// DialFrom is Dial from a client's address, for Network Load Balancers that preserve it; the machine's when nil.
	DialFrom func(ctx context.Context, network, address string, from netip.Addr) (net.Conn, error)
	Listen   func(ctx context.Context, network, address string) (net.Listener, error)
	// Spread is how many connections to a target are opened before one is used again; 4 by default.
	Spread int
	// CookieSecret is what the keys of stickiness cookies follow from, so that they are understood after a restart;
	// without it they are not.
	CookieSecret []byte
	// Roots are whom to trust for identity providers; those of the machine when nil.
	Roots *x509.CertPool
	Logs  Logs // may be nil
}

// Server is a running data plane. Its methods may be called at the same time.
type Server struct {
	clock    Clock
	log      *slog.Logger
	dial     dialFunc
	dialFrom dialFromFunc
	listen   listenFunc
	spread   int
	seed     maphash.Seed // of flows' hashes
	cookies  *keyring
	signer   *signer
	idp      *http.Client
	keys     keySets
	logs     Logs

	context    context.Context // done when the server is closed
	stop       context.CancelFunc
	background sync.WaitGroup // every goroutine of the server

	applying sync.Mutex // one Apply at a time

	mu         sync.Mutex // groups, health, and closed
	closed     bool
	groups     map[TargetGroupID]*group
	sockets    map[netip.AddrPort]*socket
	nodes      map[nodePort]nodeSocket
	counts     map[LoadBalancerID]*counts
	flowCounts map[LoadBalancerID]*flowCounts
}

// New returns a data plane that does nothing until Apply. Close it.
func New(options Options) *Server {
	s := &Server{
		clock: options.Clock, log: options.Logger, dial: options.Dial, listen: options.Listen, spread: options.Spread,
		groups: map[TargetGroupID]*group{}, sockets: map[netip.AddrPort]*socket{}, nodes: map[nodePort]nodeSocket{}, seed: maphash.MakeSeed(), dialFrom: options.DialFrom,
		counts: map[LoadBalancerID]*counts{}, flowCounts: map[LoadBalancerID]*flowCounts{}, cookies: newKeyring(options.CookieSecret),
	}
	if s.clock == nil {
		s.clock = systemClock{}
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.spread == 0 {
		s.spread = defaultSpread
	}
	if s.dial == nil {
		s.dial = (&net.Dialer{}).DialContext
	}
	if s.dialFrom == nil {
		s.dialFrom = DialFrom
	}
	if s.listen == nil {
		// Go sets SO_REUSEADDR on listening sockets, so a port is free as soon as its listener is closed.
		s.listen = (&net.ListenConfig{}).Listen
	}
	s.logs = options.Logs
	s.signer, s.idp = newSigner(s.cookies.secret), newIDPClient(options)
	s.context, s.stop = context.WithCancel(context.Background())
	return s
}

// ErrClosed is returned by Apply after Close or Shutdown.
var ErrClosed = errors.New("proxy: the server is closed")

// Apply makes the data plane as configured. What cannot be done (an address in use, a rule that is not understood) is in
// the joined error; everything else is in force, and the next Apply tries again. The configuration is not kept: the
// caller may change it afterwards, except for what pointers in it refer to.
func (s *Server) Apply(config Config) error {
	s.applying.Lock()
	defer s.applying.Unlock()

	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return ErrClosed
	}
	// Groups come first and go last, so that a request always finds what the rules it began with refer to.
	errs := s.applyGroups(config)
	fronts, order, frontErrs := s.frontends(config)
	errs = append(errs, frontErrs...)
	nodes, nodeOrder, nodeErrs := s.nodeFronts(config)
	errs = append(errs, nodeErrs...)
	closing := s.replaceNodes(nodes)
	for at, socket := range s.sockets {
		if front := fronts[at]; front != nil {
			socket.front.Store(front)
			continue
		}
		delete(s.sockets, at)
		closing = append(closing, socket)
	}
	s.forgetGroups(config)
	s.forgetCounts(config)
	s.mu.Unlock()

	for _, socket := range closing {
		socket.close()
	}
	for _, at := range order {
		if err := s.open(at, fronts[at]); err != nil {
			errs = append(errs, fmt.Errorf("proxy: listener %s: %w", fronts[at].listener, err))
		}
	}
	for _, at := range nodeOrder {
		if err := s.openNode(at, nodes[at]); err != nil {
			errs = append(errs, fmt.Errorf("proxy: listener %s: %w", nodes[at].listener, err))
		}
	}
	return errors.Join(errs...)
}

// applyGroups creates and updates target groups. Server.mu is held.
func (s *Server) applyGroups(config Config) (errs []error) {
	used := map[TargetGroupID]bool{}
	for i := range config.LoadBalancers {
		for j := range config.LoadBalancers[i].Listeners {
			l := &config.LoadBalancers[i].Listeners[j]
			l.Default.uses(used)
			for k := range l.Rules {
				l.Rules[k].Action.uses(used)
			}
		}
	}
	for i := range config.NetworkLoadBalancers {
		for j := range config.NetworkLoadBalancers[i].Listeners {
			Action{Forward: &config.NetworkLoadBalancers[i].Listeners[j].Forward}.uses(used)
		}
	}
	scopes := config.scopes()
	for _, c := range config.TargetGroups {
		g := s.groups[c.ID]
		if g == nil {
			g = &group{id: c.ID}
			s.groups[c.ID] = g
		}
		if err := s.updateGroup(g, c, used[c.ID], scopes[c.ID]); err != nil {
			errs = append(errs, fmt.Errorf("proxy: target group %s: %w", c.ID, err))
		}
	}
	return errs
}

func (a Action) uses(groups map[TargetGroupID]bool) {
	if a.Forward != nil {
		for _, w := range a.Forward.TargetGroups {
			groups[w.ID] = true
		}
	}
}

// frontends compiles all listeners. Server.mu is held.
func (s *Server) frontends(config Config) (fronts map[netip.AddrPort]*frontend, order []netip.AddrPort, errs []error) {
	fronts = map[netip.AddrPort]*frontend{}
	for i := range config.LoadBalancers {
		lb := &config.LoadBalancers[i]
		for j := range lb.Listeners {
			l := &lb.Listeners[j]
			at := netip.AddrPortFrom(lb.Address, l.Port)
			if other := fronts[at]; other != nil {
				errs = append(errs, fmt.Errorf("proxy: listener %s: %s is taken by listener %s", l.ID, at, other.listener))
				continue
			}
			var before *frontend
			if socket := s.sockets[at]; socket != nil {
				before = socket.front.Load()
			}
			front, err := s.compileFrontend(lb, l, before)
			if err != nil {
				errs = append(errs, fmt.Errorf("proxy: listener %s: %w", l.ID, err))
			}
			fronts[at] = front
			order = append(order, at)
		}
	}
	return fronts, order, errs
}

// forgetGroups drops groups that are configured no more. Server.mu is held.
func (s *Server) forgetGroups(config Config) {
	wanted := make(map[TargetGroupID]bool, len(config.TargetGroups))
	for _, c := range config.TargetGroups {
		wanted[c.ID] = true
	}
	for id, g := range s.groups {
		if !wanted[id] {
			s.dropGroup(g)
			delete(s.groups, id)
		}
	}
}

// Health reports the targets of a group that are registered or draining, sorted by id and port. It is empty for a group
// that is not configured.
func (s *Server) Health(id TargetGroupID) []TargetHealth {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.groups[id]
	if g == nil {
		return nil
	}
	return g.healthOf()
}

// Shutdown closes the listeners and idle connections at once, waits for requests in flight until the context is done, and
// ends what is left. No goroutine remains. The error is the context's when something had to be ended.
func (s *Server) Shutdown(ctx context.Context) error {
	sockets := s.shut()
	for _, socket := range sockets {
		socket.close()
	}
	finished := make(chan struct{})
	go func() {
		s.background.Wait()
		close(finished)
	}()
	var err error
	select {
	case <-finished:
	case <-ctx.Done():
		err = ctx.Err()
		s.stop()
		<-finished
	}
	s.stop()
	s.idp.CloseIdleConnections()
	s.endTargets()
	return err
}

// Close ends everything at once. No goroutine remains.
func (s *Server) Close() {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	_ = s.Shutdown(ended) // what had to be ended was meant to be
}

// closer is an open port, of whatever kind.
type closer interface{ close() }

// shut keeps new work from starting and ends health checks.
func (s *Server) shut() []closer {
	s.applying.Lock()
	defer s.applying.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, g := range s.groups {
		for _, t := range g.targets {
			t.health.stop()
		}
	}
	sockets := make([]closer, 0, len(s.sockets)+len(s.nodes))
	for _, socket := range s.sockets {
		sockets = append(sockets, socket)
	}
	for _, socket := range s.nodes {
		sockets = append(sockets, socket)
	}
	return sockets
}

// endTargets closes idle connections and ends draining.
func (s *Server) endTargets() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.groups {
		for _, t := range g.targets {
			t.cut()
		}
		for _, t := range g.draining {
			t.health.stop()
			t.cut()
		}
	}
}
