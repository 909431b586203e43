package proxy

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// socket is one listening address. What it serves may change while connections stay.
type socket struct {
	server   *Server
	listener net.Listener
	front    atomic.Pointer[frontend]

	mu      sync.Mutex
	closing bool
	conns   map[*clientConn]struct{}
}

// open listens on an address unless the server does so already.
func (s *Server) open(at netip.AddrPort, front *frontend) error {
	s.mu.Lock()
	have := s.sockets[at]
	s.mu.Unlock()
	if have != nil {
		return nil
	}
	listener, err := s.listen(s.context, "tcp", at.String())
	if err != nil {
		return err
	}
	socket := &socket{server: s, listener: listener, conns: map[*clientConn]struct{}{}}
	socket.front.Store(front)
	s.mu.Lock()
	s.sockets[at] = socket
	s.mu.Unlock()
	s.background.Go(func() { s.accept(listener, socket.begin) })
	return nil
}

// accept hands over connections until the listener closes.
func (s *Server) accept(listener net.Listener, take func(net.Conn)) {
	const slow = 50 * time.Millisecond
	for {
		raw, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) || s.context.Err() != nil {
			if err == nil {
				closeQuietly(raw)
			}
			return
		}
		if err != nil { // such as too many open files: it passes, or someone has to act
			s.log.Warn("cannot accept a connection", "address", listener.Addr().String(), "error", err)
			wait := make(chan struct{})
			s.clock.AfterFunc(slow, func() { close(wait) })
			select {
			case <-wait:
			case <-s.context.Done():
			}
			continue
		}
		take(raw)
	}
}

// begin serves a connection.
func (k *socket) begin(raw net.Conn) {
	c := newClientConn(k, raw)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closing {
		c.dog.end()
		closeQuietly(raw)
		return
	}
	k.conns[c] = struct{}{}
	c.counts = k.front.Load().counts
	c.counts.add(newConnections, 1)
	c.counts.add(activeConnections, 1)
	k.server.background.Go(c.serve)
}

func (k *socket) forget(c *clientConn) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.conns, c)
}

// close frees the port at once. Idle connections and tunnels end; others do when their request is done.
func (k *socket) close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.closing = true
	closeListener(k.listener)
	for c := range k.conns {
		c.retire()
	}
}

func closeListener(l net.Listener) { _ = l.Close() }
