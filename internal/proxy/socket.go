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
	s.background.Go(socket.accept)
	return nil
}

// accept serves connections until the listener closes.
func (k *socket) accept() {
	const slow = 50 * time.Millisecond
	for {
		raw, err := k.listener.Accept()
		if errors.Is(err, net.ErrClosed) || k.server.context.Err() != nil {
			if err == nil {
				closeQuietly(raw)
			}
			return
		}
		if err != nil { // such as too many open files: it passes, or someone has to act
			k.server.log.Warn("cannot accept a connection", "address", k.listener.Addr().String(), "error", err)
			wait := make(chan struct{})
			k.server.clock.AfterFunc(slow, func() { close(wait) })
			select {
			case <-wait:
			case <-k.server.context.Done():
			}
			continue
		}
		c := newClientConn(k, raw)
		k.mu.Lock()
		if k.closing {
			k.mu.Unlock()
			c.dog.end()
			closeQuietly(raw)
			continue
		}
		k.conns[c] = struct{}{}
		c.counts = k.front.Load().counts
		c.counts.add(newConnections, 1)
		c.counts.add(activeConnections, 1)
		k.server.background.Go(c.serve)
		k.mu.Unlock()
	}
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
