//go:build !unix

package proxy

import "net"

// quiet cannot look into a socket here; a connection that the target closed is found out by using it.
func quiet(net.Conn) bool { return true }
