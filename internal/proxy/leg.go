package proxy

import (
	"crypto/tls"
	"net"
	"net/netip"
	"sync"
	"syscall"
)

// leg is one side of a flow: a TCP connection, or TLS on one. What waits for bytes holds no memory, or little with TLS.
type leg struct {
	net.Conn
	tcp  net.Conn
	raw  syscall.RawConn // of a plain connection of the kernel's; nil otherwise
	more bool            // TLS: the last read filled its buffer
}

const (
	flowSize = 32 << 10
	waitSize = 2 << 10
)

var (
	flowBuffers = sync.Pool{New: func() any { b := make([]byte, flowSize); return &b }}
	waitBuffers = sync.Pool{New: func() any { b := make([]byte, waitSize); return &b }}
)

func newLeg(conn net.Conn) *leg {
	l := &leg{Conn: conn, tcp: conn}
	if sc, ok := conn.(syscall.Conn); ok && waitsForBytes {
		l.raw, _ = sc.SyscallConn() // fails only on a closed connection, as does what comes
	}
	return l
}

// wrap puts TLS on the connection. It is not for use while something is passed.
func (l *leg) wrap(conn *tls.Conn) { l.Conn, l.raw = conn, nil }

func (l *leg) peer() netip.AddrPort {
	if a, ok := l.tcp.RemoteAddr().(*net.TCPAddr); ok {
		ap := a.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	return netip.AddrPort{}
}

// next waits for bytes and returns them in a buffer, for done. Of a plain connection there is no buffer before there are
// bytes; with TLS it is a small one, until a read fills it.
func (l *leg) next() (b *[]byte, n int, err error) {
	if l.raw != nil {
		return readReady(l.raw, &flowBuffers)
	}
	pool := &waitBuffers
	if l.more {
		pool = &flowBuffers
	}
	b = pool.Get().(*[]byte)
	n, err = l.Read(*b)
	l.more = n == len(*b)
	return b, n, err
}

// done gives a buffer back.
func (l *leg) done(b *[]byte) {
	switch {
	case b == nil:
	case len(*b) == waitSize:
		waitBuffers.Put(b)
	default:
		flowBuffers.Put(b)
	}
}

// CloseWrite says that nothing more will come.
func (l *leg) CloseWrite() error {
	if half, ok := l.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return l.Close()
}

// reset ends the connection so that the other side sees an error, not an end.
func (l *leg) reset() {
	if tcp, ok := l.tcp.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // fails only on a closed connection
	}
	closeQuietly(l.tcp)
}
