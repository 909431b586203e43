package rfc2136

import (
	"fmt"
	"strings"

	wire "github.com/miekg/dns"

	"github.com/sluicehq/sluice/internal/dns"
)

// records gathers resource records to sets, in the order of the transfer.
func records(all []wire.RR) []dns.Record {
	var out []dns.Record
	place := map[dns.Key]int{}
	for _, rr := range all {
		h := rr.Header()
		r := dns.Record{Name: dns.UnescapeName(h.Name, 10), Type: dns.Type(wire.TypeToString[h.Rrtype]), TTL: int64(h.Ttl)}
		value := strings.TrimSpace(strings.TrimPrefix(rr.String(), h.String()))
		if i, ok := place[r.Key()]; ok {
			out[i].Values = append(out[i].Values, value)
			continue
		}
		place[r.Key()] = len(out)
		r.Values = []string{value}
		out = append(out, r)
	}
	return out
}

// resources are the resource records of a set.
func resources(r dns.Record) ([]wire.RR, error) {
	if r.SetID != "" || r.IsAlias() {
		return nil, &dns.RefusedError{Reason: "a name server has neither routing policies nor aliases"}
	}
	var out []wire.RR
	for _, v := range r.Values {
		if strings.ContainsAny(v, "\r\n") {
			return nil, &dns.RefusedError{Reason: fmt.Sprintf("%q is no value for a record of type %s", v, r.Type)}
		}
		rr, err := wire.NewRR(fmt.Sprintf("%s. %d IN %s %s", r.Name, r.TTL, r.Type, absolute(r.Type, v)))
		if err != nil || rr == nil {
			return nil, &dns.RefusedError{Reason: fmt.Sprintf("%q is no value for a record of type %s", v, r.Type)}
		}
		out = append(out, rr)
	}
	return out, nil
}

// absolute ends host names in a dot.
func absolute(t dns.Type, value string) string {
	switch t {
	case dns.CNAME, dns.DNAME, dns.NS, dns.MX, dns.SRV:
		return wire.Fqdn(value)
	}
	return value
}

// update makes one message of changes, whose prerequisites are what the zone was known to have.
func update(zone dns.Zone, changes []dns.Change) (*wire.Msg, error) {
	m := new(wire.Msg).SetUpdate(wire.Fqdn(string(zone.Name)))
	going := map[dns.Name]bool{}
	for _, c := range changes {
		going[c.Record.Name] = going[c.Record.Name] || c.Action == dns.Delete
	}
	var removed, inserted []wire.RR
	for _, c := range changes {
		rrs, err := resources(c.Record)
		if err != nil {
			return nil, err
		}
		switch c.Action {
		case dns.Create:
			requireFree(m, c.Record, going[c.Record.Name])
			inserted = append(inserted, rrs...)
		case dns.Delete:
			m.Used(copies(rrs))
			removed = append(removed, rrs[0])
		case dns.Upsert:
			if c.Before != nil {
				before, err := resources(*c.Before)
				if err != nil {
					return nil, err
				}
				m.Used(copies(before))
			}
			removed = append(removed, rrs[0])
			inserted = append(inserted, rrs...)
		}
	}
	for _, rr := range removed {
		m.RemoveRRset([]wire.RR{rr})
	}
	m.Insert(copies(inserted))
	return m, nil
}

// requireFree asks that a set can be made: a server passes over a CNAME beside other records, and other records beside a
// CNAME, without a word (RFC 2136, section 3.4.2.2). Where something of the name goes in the same message, what goes is
// asked for instead.
func requireFree(m *wire.Msg, r dns.Record, going bool) {
	at := func(t uint16) []wire.RR {
		return []wire.RR{&wire.ANY{Hdr: wire.RR_Header{Name: wire.Fqdn(string(r.Name)), Rrtype: t, Class: wire.ClassINET}}}
	}
	switch {
	case r.Type == dns.CNAME && !going:
		m.NameNotUsed(at(wire.TypeANY))
	case !going:
		m.RRsetNotUsed(at(wire.TypeCNAME))
		fallthrough
	default:
		m.RRsetNotUsed(at(wire.StringToType[string(r.Type)]))
	}
}

// copies are for methods that change what they are given.
func copies(list []wire.RR) []wire.RR {
	out := make([]wire.RR, len(list))
	for i, rr := range list {
		out[i] = wire.Copy(rr)
	}
	return out
}
