package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// udpIdle is for how long a UDP flow may be quiet (NLB "Listeners", Connection idle timeout). What comes later is
	// another flow.
	udpIdle = 120 * time.Second
	// maxWaiting is how many packets of a flow wait for its target to be found; what comes besides is lost, as UDP may be.
	maxWaiting = 16
	// maxDatagram is more than any datagram.
	maxDatagram = 64 << 10
)

// datagrams is a UDP port of a node and its flows.
type datagrams struct {
	server  *Server
	conn    *net.UDPConn
	current atomic.Pointer[nodeFront]

	mu      sync.Mutex
	closing bool
	flows   map[datagramKey]*datagramFlow
}

// datagramKey tells flows apart. Where a packet of QUIC names its server, a client may have one with each.
type datagramKey struct {
	client netip.AddrPort
	server *target
}

func newDatagrams(s *Server, conn *net.UDPConn, front *nodeFront) *datagrams {
	k := &datagrams{server: s, conn: conn, flows: map[datagramKey]*datagramFlow{}}
	k.current.Store(front)
	_ = conn.SetReadBuffer(1 << 20) // as far as the kernel lets us
	s.background.Go(k.read)
	return k
}

func (k *datagrams) serves(front *nodeFront) { k.current.Store(front) }
func (k *datagrams) front() *nodeFront       { return k.current.Load() }

func (k *datagrams) close() {
	k.mu.Lock()
	k.closing = true
	open := make([]*datagramFlow, 0, len(k.flows))
	for _, f := range k.flows {
		open = append(open, f)
	}
	k.mu.Unlock()
	closeQuietly(k.conn)
	for _, f := range open {
		f.end()
	}
}

// read takes clients' packets until the port closes.
func (k *datagrams) read() {
	unhook := context.AfterFunc(k.server.context, func() { closeQuietly(k.conn) })
	defer unhook()
	packet := make([]byte, maxDatagram)
	for {
		n, client, err := k.conn.ReadFromUDPAddrPort(packet)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil { // or else an answer to somebody did not arrive, which is not this packet's
			k.deliver(netip.AddrPortFrom(client.Addr().Unmap(), client.Port()), packet[:n])
		}
	}
}

// deliver hands a packet to its flow, or begins one.
func (k *datagrams) deliver(client netip.AddrPort, packet []byte) {
	front := k.front()
	var named *target
	if front.protocol == NetworkQUIC || front.protocol == NetworkTCPQUIC {
		named = front.quicTarget(packet)
	}
	k.mu.Lock()
	f := k.alive(datagramKey{client, nil})
	if named != nil && (f == nil || f.target != named) {
		f = k.alive(datagramKey{client, named})
	}
	if f == nil && !k.closing {
		f = k.begin(front, client, named)
	}
	k.mu.Unlock()
	if f != nil {
		f.send(packet)
	}
}

// alive finds a flow that has not ended. datagrams.mu is held.
func (k *datagrams) alive(key datagramKey) *datagramFlow {
	if f := k.flows[key]; f != nil && !f.ended() {
		return f
	}
	return nil
}

// begin makes a flow to the target that a packet names, or else to one by the flow's hash. datagrams.mu is held.
func (k *datagrams) begin(front *nodeFront, client netip.AddrPort, named *target) *datagramFlow {
	key := datagramKey{client, named}
	t := named
	var settings NetworkGroup
	if t != nil && t.inflight.Load() < maxFlows && t.enter() {
		settings = t.group.network.Load().settings
	} else {
		key.server = nil
		if f := k.alive(key); f != nil {
			return f // the server it names takes no new flows
		}
		if t, settings = k.server.acquire(front, client); t == nil {
			return nil
		}
	}
	f := &datagramFlow{socket: k, key: key, target: t, settings: settings, counts: front.counts, kind: front.kind("udp")}
	if !t.carries(f) {
		t.release()
		return nil
	}
	k.flows[key] = f
	f.dog.start(k.server.clock, udpIdle, f.end)
	k.server.background.Go(f.run)
	return f
}

// datagramFlow is what a client and a target send each other over UDP, for as long as something does.
type datagramFlow struct {
	socket   *datagrams
	key      datagramKey
	target   *target
	settings NetworkGroup
	counts   *flowCounts
	kind     flowKind
	dog      watchdog

	mu      sync.Mutex
	conn    net.Conn // nil before it is open
	waiting [][]byte // packets that came before
	cancel  context.CancelFunc
	over    bool
}

// run opens the way to the target and passes its answers on.
func (f *datagramFlow) run() {
	defer f.counts.begins(f.kind)()
	ctx, cancel := context.WithCancel(f.socket.server.context)
	f.mu.Lock()
	f.cancel = cancel
	if f.over {
		cancel()
	}
	f.mu.Unlock()
	defer func() {
		cancel()
		f.end()
		f.dog.end()
		f.target.drops(f)
		f.target.release()
		f.socket.mu.Lock()
		if f.socket.flows[f.key] == f { // another one may have begun
			delete(f.socket.flows, f.key)
		}
		f.socket.mu.Unlock()
	}()
	unhook := context.AfterFunc(ctx, f.end)
	defer unhook()
	conn, err := f.socket.server.reach(ctx, "udp", f.target, f.settings, f.key.client.Addr())
	if err != nil || !f.opened(conn) {
		return
	}
	for !f.ended() {
		b, n, err := nextDatagram(conn)
		if err == nil {
			f.dog.touch()
			f.counts.bytes[f.kind].Add(int64(n))
			_, _ = f.socket.conn.WriteToUDPAddrPort((*b)[:n], f.key.client) // what does not arrive is lost, as UDP may be
		} // or else a packet did not reach the target, or the flow has ended
		if b != nil {
			datagramBuffers.Put(b)
		}
	}
}

var datagramBuffers = sync.Pool{New: func() any { b := make([]byte, maxDatagram); return &b }}

// nextDatagram waits for a packet, where it can without a buffer.
func nextDatagram(conn net.Conn) (b *[]byte, n int, err error) {
	if sc, ok := conn.(syscall.Conn); ok && waitsForBytes {
		raw, err := sc.SyscallConn()
		if err != nil {
			return nil, 0, err
		}
		b, n, err = readReady(raw, &datagramBuffers)
		if errors.Is(err, io.EOF) {
			err = nil // an empty packet
		}
		return b, n, err
	}
	b = datagramBuffers.Get().(*[]byte)
	n, err = conn.Read(*b)
	return b, n, err
}

// opened sends what has waited; false when the flow has ended meanwhile.
func (f *datagramFlow) opened(conn net.Conn) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.over {
		closeQuietly(conn)
		return false
	}
	f.conn = conn
	for _, packet := range f.waiting {
		_, _ = conn.Write(packet) // what does not arrive is lost, as UDP may be
	}
	f.waiting = nil
	return true
}

// send passes a packet of the client on.
func (f *datagramFlow) send(packet []byte) {
	f.dog.touch()
	f.counts.bytes[f.kind].Add(int64(len(packet)))
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.over:
	case f.conn != nil:
		_, _ = f.conn.Write(packet) // what does not arrive is lost, as UDP may be
	case len(f.waiting) < maxWaiting:
		f.waiting = append(f.waiting, append([]byte(nil), packet...))
	}
}

func (f *datagramFlow) ended() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.over
}

// end forgets the flow: the next packet begins another.
func (f *datagramFlow) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.over = true
	if f.cancel != nil {
		f.cancel()
	}
	if f.conn != nil {
		closeQuietly(f.conn)
	}
}
