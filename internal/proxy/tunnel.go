package proxy

import (
	"io"
	"net"
)

// upgrade passes the 101 on and makes the two connections a tunnel, until both sides are done, nothing moves for the
// idle timeout, or the listener or the target goes away.
func (c *clientConn) upgrade(x *exchange, resp *response) {
	if x.phase.Load() != sent {
		return
	}
	b := append([]byte("HTTP/1.1 "), resp.line...)
	b = appendEndToEnd(append(b, "\r\n"...), resp.fields, x.a.front)
	b = append(b, "Connection: upgrade\r\n"...)
	if protocol, found := resp.fields.get("Upgrade"); found {
		b = appendField(b, "Upgrade", protocol)
	}
	if _, err := c.Write(append(b, "\r\n"...)); err != nil {
		return
	}
	c.mu.Lock()
	c.tunnel = true
	over := c.retiring
	c.mu.Unlock()
	if over || c.expired.Load() {
		return
	}
	up := make(chan struct{})
	c.server.background.Go(func() {
		defer close(up)
		c.stream(x, x.tc, c.br, x.tc.Conn)
	})
	c.stream(x, c, x.tc.br, c.raw)
	<-up
}

// stream copies one direction of a tunnel. The end of one side is passed on; trouble ends both.
func (c *clientConn) stream(x *exchange, to io.Writer, from io.Reader, end net.Conn) {
	_, err := io.Copy(to, from)
	half, ok := end.(interface{ CloseWrite() error })
	if err == nil && ok && half.CloseWrite() == nil {
		return
	}
	closeQuietly(c.tcp)
	closeQuietly(x.tc.tcp)
}
