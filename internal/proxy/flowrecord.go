package proxy

import (
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"reflect"
	"sync/atomic"
	"time"
)

// Flow is a connection to a TLS listener that has ended, as access logs of Network Load Balancers have it (NLB "Access
// logs"). What is not known is empty.
type Flow struct {
	Listener                ListenerID
	Time, Created           time.Time
	Client, Destination     netip.AddrPort
	Handshake               time.Duration // below 0 when it did not succeed
	Received, Sent          int64
	Alert                   int // of TLS, from the client; below 0 for none
	Certificate             string
	Cipher, Protocol, Group string
	ServerName              string
	ALPNClient, ALPNTarget  string
	ALPNOffered             []string // by the client, what it likes best first
}

// flowAccount is what is noted of a flow while it lasts.
type flowAccount struct {
	opened     time.Time
	handshake  time.Duration
	in, out    atomic.Int64
	alert      atomic.Int64
	client     *tls.ConnectionState
	chosen     shown
	targetALPN string
}

// noteAlert remembers an alert of TLS that a failure came with.
func (a *flowAccount) noteAlert(err error) {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "remote error" {
		// The type of the alert is crypto/tls's own; it is an octet.
		if v := reflect.ValueOf(op.Err); v.Kind() == reflect.Uint8 {
			a.alert.Store(int64(v.Uint())) //nolint:gosec // an octet
		}
	}
}

// record logs a flow of TLS that has ended, where that is asked for.
func (f *flow) record() {
	if !f.front.accessLog || f.front.tls == nil || f.server.logs == nil {
		return
	}
	a := &f.account
	out := Flow{
		Listener: f.front.listener, Time: f.server.clock.Now(), Created: a.opened, Client: f.client.peer(), Destination: f.front.at,
		Handshake: a.handshake, Received: a.in.Load(), Sent: a.out.Load(), Alert: int(a.alert.Load()), ALPNTarget: a.targetALPN,
		ALPNOffered: a.chosen.offered,
	}
	out.Certificate, _ = f.front.tls.certificates.names(a.chosen.certificate, "")
	if c := a.client; c != nil {
		out.Cipher, out.Protocol, out.Group = suiteName(c.CipherSuite), versionName(c.Version), curveName(c.CurveID)
		out.ServerName, out.ALPNClient = c.ServerName, c.NegotiatedProtocol
	}
	f.server.logs.Flow(f.front.balancer, out)
}
