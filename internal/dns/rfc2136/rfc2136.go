// Package rfc2136 is a name server that takes dynamic updates (RFC 2136) as a dns.Provider: BIND, Knot, PowerDNS and
// others. Zones are read by transfer (AXFR). Every update says in its prerequisites what the zone was known to have, so
// that what others changed meanwhile is not overwritten: a batch is made as a whole or refused.
package rfc2136

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	wire "github.com/miekg/dns"

	"github.com/sluicehq/sluice/internal/dns"
)

// Options say how name servers are reached.
type Options struct {
	Servers []string // host:port of primaries, of which the first that answers is used
	Zones   []dns.Name
	TSIG    *TSIG // signs updates; nil for none
	Plain   bool  // transfers are not signed
	Batch   int   // changes of one update; 50 when 0
	Timeout time.Duration

	// Dial opens a connection over TCP; that of the net package when nil.
	Dial func(ctx context.Context, address string) (net.Conn, error)
}

// TSIG is a key that messages are signed with (RFC 8945).
type TSIG struct {
	Name      string
	Secret    string // base64
	Algorithm string // hmac-sha256
}

// fudge is how far the clocks of two servers may be apart, in seconds (RFC 8945, section 10).
const fudge = 300

// maxBytes keeps an update well below the 65,535 bytes of a message.
const maxBytes = 32_000

// Provider is a name server. Make one with New.
type Provider struct{ options Options }

// New makes a Provider. It makes no call.
func New(o Options) (*Provider, error) {
	if len(o.Servers) == 0 || len(o.Zones) == 0 {
		return nil, fmt.Errorf("rfc2136: name a server and a zone")
	}
	if o.TSIG != nil {
		key := *o.TSIG
		key.Name, key.Algorithm = wire.CanonicalName(key.Name), wire.CanonicalName(key.Algorithm)
		o.TSIG = &key
	}
	if o.Batch == 0 {
		o.Batch = 50
	}
	if o.Timeout == 0 {
		o.Timeout = 30 * time.Second
	}
	if o.Dial == nil {
		o.Dial = func(ctx context.Context, address string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", address)
		}
	}
	return &Provider{o}, nil
}

// Limits are those of one message. A name server has no aliases.
func (p *Provider) Limits() dns.Limits {
	return dns.Limits{Changes: p.options.Batch, Bytes: maxBytes}
}

// Zones are those that were named: a name server does not list its zones.
func (p *Provider) Zones(context.Context, bool) ([]dns.Zone, error) {
	var zones []dns.Zone
	for _, name := range p.options.Zones {
		zones = append(zones, dns.Zone{ID: dns.ZoneID(name), Name: name})
	}
	return zones, nil
}

// Records transfers the zone, in one page. One name is read in the same way: a question for it may be answered from a
// wildcard.
func (p *Provider) Records(ctx context.Context, zone dns.Zone, from dns.Place) ([]dns.Record, dns.Place, error) {
	var records []dns.Record
	err := p.tryServers(ctx, func(conn *wire.Conn) error {
		var err error
		records, err = p.transfer(conn, zone)
		return err
	})
	if err != nil {
		return nil, dns.Place{}, fmt.Errorf("rfc2136: transfer zone %s: %w", zone.Name, err)
	}
	if from.Only != "" {
		records = slices.DeleteFunc(records, func(r dns.Record) bool { return r.Name != from.Only })
	}
	return records, dns.Place{}, nil
}

func (p *Provider) transfer(conn *wire.Conn, zone dns.Zone) ([]dns.Record, error) {
	t := &wire.Transfer{Conn: conn}
	m := new(wire.Msg).SetAxfr(wire.Fqdn(string(zone.Name)))
	if key := p.options.TSIG; key != nil && !p.options.Plain {
		t.TsigSecret = map[string]string{key.Name: key.Secret}
		m.SetTsig(key.Name, key.Algorithm, fudge, time.Now().Unix())
	}
	envelopes, err := t.In(m, "")
	if err != nil {
		return nil, err
	}
	var all []wire.RR
	var failed error
	for e := range envelopes { // to the end, or the sender would wait
		if e.Error != nil {
			failed = e.Error
		}
		all = append(all, e.RR...)
	}
	if failed != nil {
		return nil, failed
	}
	// A transfer begins and ends with the zone's own SOA, whose number grows with every change.
	return records(slices.DeleteFunc(all, func(rr wire.RR) bool { return rr.Header().Rrtype == wire.TypeSOA })), nil
}

// tryServers works with the first server that lets itself be worked with.
func (p *Provider) tryServers(ctx context.Context, work func(*wire.Conn) error) error {
	var err error
	for _, server := range p.options.Servers {
		if err = p.with(ctx, server, work); err == nil || ctx.Err() != nil {
			return err
		}
	}
	return err
}

func (p *Provider) with(ctx context.Context, server string, work func(*wire.Conn) error) error {
	ctx, cancel := context.WithTimeout(ctx, p.options.Timeout)
	defer cancel()
	raw, err := p.options.Dial(ctx, server)
	if err != nil {
		return err
	}
	deadline, _ := ctx.Deadline()
	if err := raw.SetDeadline(deadline); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() }) // what waits for an answer ends
	defer stop()
	defer func() { _ = raw.Close() }() // everything has been said
	return work(&wire.Conn{Conn: raw})
}

// Change sends one update. Only the first server is asked: another might not know yet what the first has.
func (p *Provider) Change(ctx context.Context, zone dns.Zone, changes []dns.Change) (dns.ChangeID, error) {
	m, err := update(zone, changes)
	if err != nil {
		return "", err
	}
	var answer *wire.Msg
	err = p.with(ctx, p.options.Servers[0], func(conn *wire.Conn) error {
		client := &wire.Client{Net: "tcp", Timeout: p.options.Timeout}
		if key := p.options.TSIG; key != nil {
			client.TsigSecret = map[string]string{key.Name: key.Secret}
			m.SetTsig(key.Name, key.Algorithm, fudge, time.Now().Unix())
		}
		answer, _, err = client.ExchangeWithConnContext(ctx, m, conn)
		return err
	})
	switch {
	case err != nil:
		return "", fmt.Errorf("rfc2136: update zone %s: %w", zone.Name, err)
	case answer.Rcode == wire.RcodeSuccess:
		return "", nil
	case answer.Rcode == wire.RcodeServerFailure:
		return "", fmt.Errorf("rfc2136: update zone %s: the server failed", zone.Name)
	}
	return "", refusal(answer.Rcode)
}

// refusal explains an answer (RFC 2136, section 2.2).
func refusal(code int) error {
	reason := map[int]string{
		wire.RcodeYXDomain: "the name has records that were not known", wire.RcodeYXRrset: "the name has a record of this type already",
		wire.RcodeNXRrset: "a record is not as it was known", wire.RcodeNameError: "the name has no records",
		wire.RcodeNotZone: "the name is not in the zone",
	}[code]
	denied := code == wire.RcodeRefused || code == wire.RcodeNotAuth
	if denied {
		reason = "the server does not let us change the zone"
	}
	return &dns.RefusedError{Reason: strings.TrimSpace(wire.RcodeToString[code] + " " + reason), Denied: denied}
}

// Synced is always true: an update is in force when it has been answered, and secondary servers are told by the primary.
func (p *Provider) Synced(context.Context, dns.ChangeID) (bool, error) { return true, nil }
