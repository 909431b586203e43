package localaws

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/miekg/dns"
)

// dnsTTL is that of load balancer names on AWS.
const dnsTTL = 60

// dnsServer answers for the names of load balancers, over UDP and TCP.
type dnsServer struct {
	server   *Server
	address  string
	udp, tcp *dns.Server
}

// startDNS returns when both listeners are open. With port 0 both get the same free port.
func startDNS(s *Server, address string) (*dnsServer, error) {
	var listen net.ListenConfig
	l, err := listen.Listen(context.Background(), "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("localaws: DNS server: %w", err)
	}
	p, err := listen.ListenPacket(context.Background(), "udp", l.Addr().String())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("localaws: DNS server: %w", err), l.Close())
	}
	d := &dnsServer{server: s, address: l.Addr().String()}
	d.udp = &dns.Server{PacketConn: p, Handler: d}
	d.tcp = &dns.Server{Listener: l, Handler: d}
	for _, server := range []*dns.Server{d.udp, d.tcp} {
		started := make(chan struct{})
		server.NotifyStartedFunc = func() { close(started) }
		failed := make(chan error, 1)
		go func() { failed <- server.ActivateAndServe() }()
		select {
		case <-started:
		case err := <-failed:
			return nil, errors.Join(fmt.Errorf("localaws: DNS server: %w", err), l.Close(), p.Close())
		}
	}
	return d, nil
}

func (d *dnsServer) close() {
	if d == nil {
		return
	}
	for _, server := range []*dns.Server{d.udp, d.tcp} {
		if err := server.Shutdown(); err != nil {
			d.server.log.Warn("the DNS server did not stop well", "error", err)
		}
	}
}

// DNSAddress is where the DNS server listens, "" when there is none.
func (s *Server) DNSAddress() string {
	if s.dns == nil {
		return ""
	}
	return s.dns.address
}

// Resolve finds the first address behind a load balancer's DNS name, also with the prefix "dualstack.", in any case of
// letters.
func (s *Server) Resolve(name string) (netip.Addr, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	addresses, _ := s.balancerAddresses(name)
	if len(addresses) == 0 {
		return netip.Addr{}, false
	}
	return addresses[0], true
}

// ServeDNS answers one question; what is neither below the load balancers' domain nor in a hosted zone is refused.
func (d *dnsServer) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	m := new(dns.Msg)
	m.SetReply(q)
	m.Authoritative = true
	zone := dns.Fqdn(albDomain(d.server.options.Region))
	if len(q.Question) == 1 && !dns.IsSubDomain(zone, strings.ToLower(q.Question[0].Name)) {
		zone = dns.Fqdn(nlbDomain(d.server.options.Region))
	}
	switch {
	case q.Opcode != dns.OpcodeQuery:
		m.SetRcode(q, dns.RcodeNotImplemented)
	case len(q.Question) != 1:
		m.SetRcode(q, dns.RcodeFormatError)
	case q.Question[0].Qclass == dns.ClassINET && dns.IsSubDomain(zone, strings.ToLower(q.Question[0].Name)):
		d.answer(m, zone, q.Question[0])
	case q.Question[0].Qclass == dns.ClassINET && dns.IsSubDomain(acceleratorDomain[1:]+".", strings.ToLower(q.Question[0].Name)):
		d.answerAccelerator(m, q.Question[0])
	case q.Question[0].Qclass != dns.ClassINET || !d.answerZone(m, q.Question[0]):
		m.SetRcode(q, dns.RcodeRefused)
		m.Authoritative = false
	}
	size := dns.MinMsgSize
	if opt := q.IsEdns0(); opt != nil {
		size = int(max(opt.UDPSize(), dns.MinMsgSize))
		m.SetEdns0(uint16(size), false)
	}
	if _, udp := w.LocalAddr().(*net.UDPAddr); udp {
		m.Truncate(size)
	}
	if err := w.WriteMsg(m); err != nil {
		d.server.log.Debug("a DNS answer was not sent", "error", err)
	}
}

func (d *dnsServer) answer(m *dns.Msg, zone string, question dns.Question) {
	soa := &dns.SOA{
		Hdr: dns.RR_Header{Name: zone, Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: dnsTTL}, Ns: "ns." + zone,
		Mbox: "hostmaster." + zone, Serial: 1, Refresh: 7200, Retry: 900, Expire: 1209600, Minttl: dnsTTL,
	}
	d.server.mu.RLock()
	addresses, found := d.server.balancerAddresses(question.Name)
	d.server.mu.RUnlock()
	switch {
	case len(addresses) > 0 && (question.Qtype == dns.TypeA || question.Qtype == dns.TypeANY):
		m.Answer = addressRecords(question.Name, addresses)
	case strings.EqualFold(question.Name, zone):
		if question.Qtype == dns.TypeSOA {
			m.Answer = []dns.RR{soa}
			return
		}
		m.Ns = []dns.RR{soa}
	default:
		if !found {
			m.Rcode = dns.RcodeNameError
		}
		m.Ns = []dns.RR{soa}
	}
}

// answerAccelerator answers for the names of accelerators.
func (d *dnsServer) answerAccelerator(m *dns.Msg, question dns.Question) {
	d.server.mu.RLock()
	defer d.server.mu.RUnlock()
	addresses, found := resolver{d.server.begin()}.acceleratorNamed(question.Name)
	if !found {
		m.Rcode = dns.RcodeNameError
	}
	for _, a := range addresses {
		if question.Qtype == dns.TypeA && a.Is4() {
			header := dns.RR_Header{Name: question.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: dnsTTL}
			m.Answer = append(m.Answer, &dns.A{Hdr: header, A: a.AsSlice()})
		}
	}
}

// answerZone answers from the hosted zones; false when none has the name.
func (d *dnsServer) answerZone(m *dns.Msg, question dns.Question) bool {
	s := d.server
	s.mu.RLock()
	defer s.mu.RUnlock()
	r := resolver{s.begin()}
	out, ok := r.answer(question)
	if ok {
		m.Rcode, m.Answer, m.Ns, m.Authoritative = out.code, out.answer, out.authority, !out.referral
		return true
	}
	if !r.isNameServer(question.Name) {
		return false
	}
	host, err := netip.ParseAddrPort(d.address)
	if err == nil && host.Addr().Is4() && question.Qtype == dns.TypeA {
		m.Answer = []dns.RR{&dns.A{
			Hdr: dns.RR_Header{Name: question.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: dnsTTL}, A: host.Addr().AsSlice(),
		}}
	}
	return true
}
