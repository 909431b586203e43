package localaws_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/miekg/dns"
	"github.com/pires/go-proxyproto"

	"github.com/sluicehq/sluice/internal/localaws"
	"github.com/sluicehq/sluice/internal/localaws/localawstest"
)

// tcpTarget is a program that says its name and then returns what it gets.
func tcpTarget(t testing.TB, name string, announced bool) types.TargetDescription {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer conn.Close()
				from := bufio.NewReader(conn)
				client := conn.RemoteAddr()
				if announced {
					h, err := proxyproto.Read(from)
					if err != nil || h.Command == proxyproto.LOCAL {
						return
					}
					client = h.SourceAddr
				}
				_, _ = fmt.Fprintf(conn, "%s %s\n", name, client)
				_, _ = io.Copy(conn, from)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		serving.Wait()
	})
	return at(t, l.Addr())
}

func at(t testing.TB, address net.Addr) types.TargetDescription {
	t.Helper()
	ap, err := netip.ParseAddrPort(address.String())
	if err != nil {
		t.Fatal(err)
	}
	return types.TargetDescription{Id: aws.String(ap.Addr().String()), Port: aws.Int32(int32(ap.Port()))}
}

func (c *clients) register(t testing.TB, group string, targets ...types.TargetDescription) {
	t.Helper()
	must[*elb.RegisterTargetsOutput](t)(c.elb.RegisterTargets(t.Context(), &elb.RegisterTargetsInput{TargetGroupArn: &group, Targets: targets}))
}

func (c *clients) setGroup(t testing.TB, group string, pairs ...string) {
	t.Helper()
	in := &elb.ModifyTargetGroupAttributesInput{TargetGroupArn: &group}
	for i := 0; i < len(pairs); i += 2 {
		in.Attributes = append(in.Attributes, types.TargetGroupAttribute{Key: &pairs[i], Value: &pairs[i+1]})
	}
	must[*elb.ModifyTargetGroupAttributesOutput](t)(c.elb.ModifyTargetGroupAttributes(t.Context(), in))
}

// hello connects through a load balancer's name and returns the target's first words.
func (c *clients) hello(t testing.TB, network string, b types.LoadBalancer, port int) (net.Conn, string) {
	t.Helper()
	address, found := c.Resolve(*b.DNSName)
	if !found {
		t.Fatalf("%s leads nowhere", *b.DNSName)
	}
	conn, err := (&net.Dialer{}).DialContext(t.Context(), network, netip.AddrPortFrom(address, uint16(port)).String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if network == "udp" {
		if _, err := conn.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
	}
	words := make([]byte, 200)
	n, err := conn.Read(words)
	if err != nil {
		t.Fatal(err)
	}
	return conn, strings.TrimSpace(string(words[:n]))
}

// TestNetworkJourney: a Network Load Balancer from its creation to its end, over the wire, with clients' bytes; it serves
// again after a restart with its state.
func TestNetworkJourney(t *testing.T) {
	same := localawstest.WithOptions(func(o *localaws.Options) {
		o.DataDir, o.AddressPool = t.TempDir(), localawstest.Pool()
	})
	var keep localaws.Options
	var b types.LoadBalancer
	t.Run("made", func(t *testing.T) {
		c := start(t, localawstest.WithProxy(), same, localawstest.WithOptions(func(o *localaws.Options) { keep = *o }))
		b = c.network(t, "nlb", func(in *elb.CreateLoadBalancerInput) { in.Subnets = in.Subnets[:1] })
		group := c.networkGroup(t, "tcp", "TCP")
		listener := c.networkListener(t, *b.LoadBalancerArn, listenPort, "TCP", group)
		target := tcpTarget(t, "one", false)
		c.register(t, group, target)
		waitHealthy(t, c.elb, group)
		conn, words := c.hello(t, "tcp", b, listenPort)
		if !strings.HasPrefix(words, "one ") {
			t.Errorf("the target says %q", words)
		}
		c.setGroup(t, group, "proxy_protocol_v2.enabled", "true")
		announced := tcpTarget(t, "two", true)
		must[*elb.DeregisterTargetsOutput](t)(c.elb.DeregisterTargets(t.Context(), &elb.DeregisterTargetsInput{TargetGroupArn: &group, Targets: []types.TargetDescription{target}}))
		c.register(t, group, announced)
		waitStates(t, c, group, "healthy draining")
		second, words := c.hello(t, "tcp", b, listenPort)
		if words != "two "+second.LocalAddr().String() {
			t.Errorf("with the proxy protocol: %q for %s", words, second.LocalAddr())
		}
		if _, err := conn.Write([]byte("x")); err != nil {
			t.Error(err)
		}
		if n, err := conn.Read(make([]byte, 1)); n != 1 {
			t.Errorf("the flow of the target that was taken out: %v", err)
		}
		must[*elb.DeleteListenerOutput](t)(c.elb.DeleteListener(t.Context(), &elb.DeleteListenerInput{ListenerArn: &listener}))
		if _, err := conn.Read(make([]byte, 1)); err == nil {
			t.Error("the flow goes on without its listener")
		}
		c.setGroup(t, group, "proxy_protocol_v2.enabled", "false")
		c.networkListener(t, *b.LoadBalancerArn, listenPort, "TCP", group)
	})
	c := start(t, localawstest.WithProxy(), localawstest.WithOptions(func(o *localaws.Options) { o.DataDir, o.AddressPool = keep.DataDir, keep.AddressPool }))
	groups := must[*elb.DescribeTargetGroupsOutput](t)(c.elb.DescribeTargetGroups(t.Context(), &elb.DescribeTargetGroupsInput{}))
	c.register(t, *groups.TargetGroups[0].TargetGroupArn, tcpTarget(t, "three", false))
	waitStates(t, c, *groups.TargetGroups[0].TargetGroupArn, "healthy")
	for range 10 {
		if _, words := c.hello(t, "tcp", b, listenPort); strings.HasPrefix(words, "three ") {
			return
		}
	}
	t.Error("after a restart the target that is there got nothing")
}

// waitStates waits until targets in all these states are there.
func waitStates(t testing.TB, c *clients, group, states string) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		seen := ""
		out := must[*elb.DescribeTargetHealthOutput](t)(c.elb.DescribeTargetHealth(t.Context(), &elb.DescribeTargetHealthInput{TargetGroupArn: &group}))
		for _, d := range out.TargetHealthDescriptions {
			seen += string(d.TargetHealth.State) + " "
		}
		missing := ""
		for state := range strings.FieldsSeq(states) {
			if !strings.Contains(seen, state+" ") {
				missing += state
			}
		}
		if missing == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("states %s, want %s", seen, states)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// TestNetworkTLSTraffic: a certificate of ACM, an ALPN policy, and the right words on the other side.
func TestNetworkTLSTraffic(t *testing.T) {
	c := start(t, localawstest.WithProxy())
	b := c.network(t, "tls", func(in *elb.CreateLoadBalancerInput) { in.Subnets = in.Subnets[:1] })
	group := c.networkGroup(t, "tcp", "TCP")
	must[*elb.CreateListenerOutput](t)(c.elb.CreateListener(t.Context(), &elb.CreateListenerInput{
		LoadBalancerArn: b.LoadBalancerArn, Port: aws.Int32(listenPort), Protocol: "TLS", DefaultActions: forward(group),
		Certificates: only(c.issued(t, "EC_prime256v1", "www.example.com")), AlpnPolicy: []string{"HTTP2Preferred"},
		SslPolicy: aws.String("ELBSecurityPolicy-TLS13-1-2-2021-06"),
	}))
	c.register(t, group, tcpTarget(t, "one", false))
	waitHealthy(t, c.elb, group)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(c.AuthorityPEM()))
	address, _ := c.Resolve(*b.DNSName)
	conn, err := tls.Dial("tcp", netip.AddrPortFrom(address, listenPort).String(), &tls.Config{RootCAs: roots, ServerName: "www.example.com", NextProtos: []string{"http/1.1", "h2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	words, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil || !strings.HasPrefix(words, "one ") || conn.ConnectionState().NegotiatedProtocol != "h2" {
		t.Errorf("%q, %v, protocol %s", words, err, conn.ConnectionState().NegotiatedProtocol)
	}
}

// TestNetworkUDPTraffic: a DNS server behind a load balancer, over UDP and TCP at one port, seeing its clients' addresses.
func TestNetworkUDPTraffic(t *testing.T) {
	c := start(t, localawstest.WithProxy())
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", packets.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	answer := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg)
		m.SetReply(q)
		host, _, _ := net.SplitHostPort(w.RemoteAddr().String())
		m.Answer = []dns.RR{&dns.TXT{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeTXT, Class: dns.ClassINET}, Txt: []string{host}}}
		_ = w.WriteMsg(m)
	})
	for _, s := range []*dns.Server{{PacketConn: packets, Handler: answer}, {Listener: l, Handler: answer}} {
		started := make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		go func() { _ = s.ActivateAndServe() }()
		<-started
		t.Cleanup(func() { _ = s.Shutdown() })
	}
	b := c.network(t, "dns", func(in *elb.CreateLoadBalancerInput) { in.Subnets = in.Subnets[:1] })
	group := c.networkGroup(t, "dns", "TCP_UDP")
	c.networkListener(t, *b.LoadBalancerArn, listenPort, "TCP_UDP", group)
	c.register(t, group, at(t, l.Addr()))
	waitHealthy(t, c.elb, group)
	address, _ := c.Resolve(*b.DNSName)
	for _, network := range []string{"udp", "tcp"} {
		m := new(dns.Msg)
		m.SetQuestion("who.am.i.", dns.TypeTXT)
		client := dns.Client{Net: network, Timeout: 10 * time.Second}
		local := netip.MustParseAddr("127.99.1.7").AsSlice()
		client.Dialer = &net.Dialer{LocalAddr: &net.UDPAddr{IP: local}}
		if network == "tcp" {
			client.Dialer.LocalAddr = &net.TCPAddr{IP: local}
		}
		in, _, err := client.Exchange(m, netip.AddrPortFrom(address, listenPort).String())
		if err != nil {
			t.Fatal(network, err)
		}
		if got := in.Answer[0].(*dns.TXT).Txt[0]; got != "127.99.1.7" {
			t.Errorf("%s: the target saw %s", network, got)
		}
	}
}

// TestBalancerBehindBalancer: an ALB as a target; the address of the client is in X-Forwarded-For, as the NLB keeps it.
func TestBalancerBehindBalancer(t *testing.T) {
	c := start(t, localawstest.WithProxy())
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "for "+r.Header.Get("X-Forwarded-For"))
	}))
	t.Cleanup(app.Close)
	alb, web := *c.balancer(t, "web").LoadBalancerArn, c.group(t, "web")
	c.register(t, web, at(t, app.Listener.Addr()))
	c.listener(t, alb, forward(web))
	group := c.networkGroup(t, "alb", "TCP", func(in *elb.CreateTargetGroupInput) { in.TargetType, in.Port = "alb", aws.Int32(listenPort) })
	c.register(t, group, types.TargetDescription{Id: &alb})
	b := c.network(t, "nlb", func(in *elb.CreateLoadBalancerInput) { in.Subnets = in.Subnets[:1] })
	c.networkListener(t, *b.LoadBalancerArn, 8081, "TCP", group)
	waitHealthy(t, c.elb, web)
	waitHealthy(t, c.elb, group)
	address, _ := c.Resolve(*b.DNSName)
	transport := &http.Transport{DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 99, 1, 8)}}).DialContext}
	defer transport.CloseIdleConnections()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+netip.AddrPortFrom(address, 8081).String()+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got, err := io.ReadAll(resp.Body); string(got) != "for 127.99.1.8" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestElasticIPTraffic: a load balancer is at its Elastic IP addresses, and another is there after it.
func TestElasticIPTraffic(t *testing.T) {
	c := start(t, localawstest.WithProxy())
	id, public := c.elasticIP(t)
	target := tcpTarget(t, "one", false)
	for _, name := range []string{"first", "second"} {
		b := c.network(t, name, mapped(func(m *types.SubnetMapping) { m.AllocationId = &id }))
		group := c.networkGroup(t, name, "TCP")
		c.networkListener(t, *b.LoadBalancerArn, listenPort, "TCP", group)
		c.register(t, group, target)
		waitHealthy(t, c.elb, group)
		conn, err := net.Dial("tcp", net.JoinHostPort(public, fmt.Sprint(listenPort)))
		if err != nil {
			t.Fatal(err)
		}
		if words, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.HasPrefix(words, "one ") {
			t.Errorf("%s: %q, %v", name, words, err)
		}
		conn.Close()
		must[*elb.DeleteLoadBalancerOutput](t)(c.elb.DeleteLoadBalancer(t.Context(), &elb.DeleteLoadBalancerInput{LoadBalancerArn: b.LoadBalancerArn}))
		if _, err := net.Dial("tcp", net.JoinHostPort(public, fmt.Sprint(listenPort))); err == nil || !strings.Contains(err.Error(), syscall.ECONNREFUSED.Error()) {
			t.Errorf("%s is gone, its port is not: %v", name, err)
		}
	}
}

// TestNetworkLeaks: what load balancers open is closed when they go, even under traffic.
func TestNetworkLeaks(t *testing.T) {
	c := start(t, localawstest.WithProxy())
	target := tcpTarget(t, "one", false)
	cycle := func(i int) {
		name := fmt.Sprintf("nlb-%d", i)
		b := c.network(t, name)
		group := c.networkGroup(t, name, "TCP_UDP")
		for port := range int32(3) {
			c.networkListener(t, *b.LoadBalancerArn, listenPort+port, "TCP_UDP", group)
		}
		c.setGroup(t, group, "load_balancing.cross_zone.enabled", "true")
		c.register(t, group, target)
		waitHealthy(t, c.elb, group)
		for range 5 {
			c.hello(t, "tcp", b, listenPort)
		}
		must[*elb.DeleteLoadBalancerOutput](t)(c.elb.DeleteLoadBalancer(t.Context(), &elb.DeleteLoadBalancerInput{LoadBalancerArn: b.LoadBalancerArn}))
		must[*elb.DeleteTargetGroupOutput](t)(c.elb.DeleteTargetGroup(t.Context(), &elb.DeleteTargetGroupInput{TargetGroupArn: &group}))
	}
	cycle(0) // connections to the API and the like
	routines := runtime.NumGoroutine()
	for i := range 20 {
		cycle(i + 1)
	}
	deadline := time.Now().Add(10 * time.Second)
	for runtime.NumGoroutine() > routines+3 {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), routines)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// TestFlowLog: one line for each connection to a TLS listener, in AWS's order, in a file of AWS's name; also for one that
// did not come to be.
func TestFlowLog(t *testing.T) {
	dir := bucket(t, map[string][]byte{"readme": nil})
	c := start(t, localawstest.WithProxy(), withBuckets(dir))
	b := c.network(t, "tls", func(in *elb.CreateLoadBalancerInput) { in.Subnets = in.Subnets[:1] })
	group, cert := c.networkGroup(t, "tcp", "TCP"), c.issued(t, "EC_prime256v1", "www.example.com")
	l := *must[*elb.CreateListenerOutput](t)(c.elb.CreateListener(t.Context(), &elb.CreateListenerInput{
		LoadBalancerArn: b.LoadBalancerArn, Port: aws.Int32(listenPort), Protocol: "TLS", DefaultActions: forward(group),
		Certificates: only(cert), AlpnPolicy: []string{"HTTP1Only"}, SslPolicy: aws.String("ELBSecurityPolicy-TLS13-1-2-2021-06"),
	})).Listeners[0].ListenerArn
	c.register(t, group, tcpTarget(t, "one", false))
	waitHealthy(t, c.elb, group)
	if err := c.attributes(t, *b.LoadBalancerArn, "access_logs.s3.enabled", "true", "access_logs.s3.bucket", "trust"); err != nil {
		t.Fatal(err)
	}
	address, _ := c.Resolve(*b.DNSName)
	node := netip.AddrPortFrom(address, listenPort).String()
	conn, err := tls.Dial("tcp", node, &tls.Config{InsecureSkipVerify: true, ServerName: "www.example.com", NextProtos: []string{"h2", "http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "12345"); err != nil {
		t.Fatal(err)
	}
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tls.Dial("tcp", node, &tls.Config{ServerName: "www.example.com"}); err == nil {
		t.Fatal("a certificate that nobody trusts was taken")
	}
	const file = `^trust/AWSLogs/123456789012/elasticloadbalancing/ap-northeast-1/\d{4}/\d\d/\d\d/` +
		`123456789012_elasticloadbalancing_ap-northeast-1_net\.tls\.[0-9a-f]{16}_\d{8}T\d{4}Z_[0-9a-z]+\.log\.gz$`
	var lines []string
	for deadline := time.Now().Add(5 * time.Second); len(lines) < 2 && time.Now().Before(deadline); {
		lines = c.logged(t, dir, file)
	}
	if len(lines) != 2 {
		t.Fatalf("%d lines: %q", len(lines), lines)
	}
	stamp := `\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d`
	common := `tls 2\.0 ` + stamp + ` net/tls/[0-9a-f]{16} ` + l[len(l)-16:] + ` 127\.0\.0\.1:\d+ ` + regexp.QuoteMeta(node) + ` \d+ `
	for i, want := range []string{
		common + fmt.Sprintf(`\d+ 5 %d - `, len(got)) + regexp.QuoteMeta(cert) + ` - TLS_[A-Z0-9_]+ tlsv13 \S+ www\.example\.com http/1\.1 - "h2","http/1\.1" ` + stamp,
		common + `- 0 0 42 ` + regexp.QuoteMeta(cert) + ` - - - - - - - - ` + stamp,
	} {
		if !regexp.MustCompile("^" + want + "$").MatchString(lines[i]) {
			t.Errorf("line %d: %s, want %s", i, lines[i], want)
		}
	}
	conn.Close()
}
