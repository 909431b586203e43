package proxy

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// rsaKey is made once: it takes long.
var rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// certificate makes one for these names, ECDSA or RSA, valid for some days.
func certificate(t testing.TB, rsaAlgorithm bool, days int, names ...string) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(int64(days)), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(0, 0, days),
	}
	var key, public any
	if rsaAlgorithm {
		key, public = rsaKey(), rsaKey().Public()
	} else {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		key, public = k, k.Public()
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// https makes the rig's listener speak TLS.
func (r *rig) https() *TLS {
	r.listener().TLS = &TLS{Certificate: certificate(r.t, false, 30, "app.example.com"), Policy: "ELBSecurityPolicy-TLS13-1-2-2021-06", HTTP2: true}
	return r.listener().TLS
}

// dialTLS connects to the listener.
func (r *rig) dialTLS(config *tls.Config) (*client, tls.ConnectionState, error) {
	r.t.Helper()
	raw := r.dialClient()
	config.InsecureSkipVerify = true
	conn := tls.Client(raw, config)
	err := conn.Handshake()
	return &client{conn, bufio.NewReader(conn), r.t}, conn.ConnectionState(), err
}

// HTTPS and HTTP/1.1: the target learns of it, and of the TLS parameters where the attribute says so; a client cannot
// claim them.
func TestHTTPS(t *testing.T) {
	r := newRig(t, Options{})
	var got http.Header
	r.forwardTo(httpTarget(t, "a", func(w http.ResponseWriter, req *http.Request) {
		got = req.Header
		b, _ := io.ReadAll(req.Body)
		_, _ = w.Write(b)
	}))
	r.https()
	r.lb().Attributes.TLSVersionAndCipherSuite = true
	r.apply()
	c, state, err := r.dialTLS(&tls.Config{NextProtos: []string{"http/1.1"}, MaxVersion: tls.VersionTLS12})
	if err != nil || state.NegotiatedProtocol != "http/1.1" {
		t.Fatal(err, state.NegotiatedProtocol)
	}
	body := strings.Repeat("x", 100_000)
	for range 2 { // the connection is kept
		c.send("POST / HTTP/1.1\r\nHost: h\r\nX-Forwarded-Proto: ftp\r\nX-Amzn-Tls-Version: mine\r\nContent-Length: 100000\r\n\r\n" + body)
		answer := c.read("POST")
		wantStatus(t, answer, 200)
		if answer.body != body {
			t.Error("the body changed")
		}
		for name, want := range map[string]string{
			"X-Forwarded-Proto": "https", "X-Forwarded-Port": "8080", "X-Amzn-Tls-Version": "TLSv1.2",
			"X-Amzn-Tls-Cipher-Suite": "ECDHE-ECDSA-AES128-GCM-SHA256",
		} {
			if v := got.Values(name); !slices.Equal(v, []string{want}) {
				t.Errorf("%s is %q, want %q", name, v, want)
			}
		}
	}
	r.listener().Default = Action{Redirect: &Redirect{"#{protocol}", "#{host}", "#{port}", "/#{path}", "#{query}", 301}}
	r.listener().Attributes.StrictTransportSecurity = "max-age=1"
	r.apply()
	c.send("GET /x HTTP/1.1\r\nHost: h\r\n\r\n")
	if got := c.read("GET").Header; got.Get("Location") != "https://h:8080/x" || got.Get("Strict-Transport-Security") != "max-age=1" {
		t.Error(got)
	}
}

// ELB "SSL certificates for your Application Load Balancer": the best certificate for the name that the client can use.
func TestCertificateSelection(t *testing.T) {
	r := newRig(t, Options{})
	section := r.https()
	section.Certificate = certificate(t, false, 1, "default.example.com")
	section.Certificates = []tls.Certificate{
		certificate(t, true, 10, "both.example.com"),
		certificate(t, false, 11, "both.example.com"),
		certificate(t, false, 12, "long.example.com"),
		certificate(t, false, 200, "long.example.com"),
		certificate(t, true, 13, "*.wild.test"),
		certificate(t, true, 14, "only.rsa.test"),
	}
	r.apply()
	rsaOnly := []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}
	for _, c := range []struct {
		name   string
		suites []uint16 // with TLS 1.2
		want   int64    // serial number, which is days of validity
	}{
		{"", nil, 1},
		{"unknown.test", nil, 1},
		{"both.example.com", nil, 11},
		{"BOTH.example.com", nil, 11},
		{"both.example.com", rsaOnly, 10},
		{"long.example.com", nil, 200},
		{"other.wild.test", nil, 13},
		{"deep.other.wild.test", nil, 1},
		{"wild.test", nil, 1},
		{"only.rsa.test", nil, 14},
	} {
		config := &tls.Config{ServerName: c.name, CipherSuites: c.suites}
		if c.suites != nil {
			config.MaxVersion = tls.VersionTLS12
		}
		conn, state, err := r.dialTLS(config)
		if err != nil {
			t.Errorf("%q: %v", c.name, err)
			continue
		}
		if got := state.PeerCertificates[0].SerialNumber.Int64(); got != c.want {
			t.Errorf("%q got certificate %d, want %d", c.name, got, c.want)
		}
		closeQuietly(conn)
	}
}

// A security policy decides which versions and suites there are. What is not agreed on ends without an answer and is
// counted.
func TestSecurityPolicies(t *testing.T) {
	r := newRig(t, Options{})
	section := r.https()
	section.Certificates = []tls.Certificate{certificate(t, true, 10, "rsa.example.com")}
	failures := int64(0)
	for _, c := range []struct {
		policy       string
		lowest, most uint16
		cbc, key     bool // ECDHE-RSA-AES128-SHA, AES128-GCM-SHA256
	}{
		{"", tls.VersionTLS10, tls.VersionTLS12, true, true},
		{"ELBSecurityPolicy-TLS13-1-3-2021-06", tls.VersionTLS13, tls.VersionTLS13, false, false},
		{"ELBSecurityPolicy-TLS13-1-2-Res-2021-06", tls.VersionTLS12, tls.VersionTLS13, false, false},
		{"ELBSecurityPolicy-TLS13-1-2-PQ-2025-09", tls.VersionTLS12, tls.VersionTLS13, false, false},
		{"ELBSecurityPolicy-TLS13-1-1-2021-06", tls.VersionTLS11, tls.VersionTLS13, true, true},
		{"ELBSecurityPolicy-TLS-1-2-2017-01", tls.VersionTLS12, tls.VersionTLS12, false, true},
		{"ELBSecurityPolicy-FS-1-1-2019-08", tls.VersionTLS11, tls.VersionTLS12, true, false},
		{"ELBSecurityPolicy-FS-1-2-Res-2020-10", tls.VersionTLS12, tls.VersionTLS12, false, false},
	} {
		section := *section // a TLS section does not change once it is applied
		section.Policy = c.policy
		r.listener().TLS = &section
		r.apply()
		try := func(version uint16, suites ...uint16) bool {
			conn, state, err := r.dialTLS(&tls.Config{ServerName: "rsa.example.com", MinVersion: version, MaxVersion: version, CipherSuites: suites})
			closeQuietly(conn)
			if err != nil {
				failures++
			}
			return err == nil && state.Version == version
		}
		for v := uint16(tls.VersionTLS10); v <= tls.VersionTLS13; v++ {
			if got, want := try(v, tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, tls.TLS_RSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256), v >= c.lowest && v <= c.most; got != want {
				t.Errorf("%s: version %x: %v", c.policy, v, got)
			}
		}
		if c.lowest <= tls.VersionTLS12 {
			if got := try(tls.VersionTLS12, tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA); got != c.cbc {
				t.Errorf("%s: CBC suite: %v", c.policy, got)
			}
			if got := try(tls.VersionTLS12, tls.TLS_RSA_WITH_AES_128_GCM_SHA256); got != c.key {
				t.Errorf("%s: RSA key exchange: %v", c.policy, got)
			}
		}
	}
	eventually(t, "failures are counted", func() bool { return r.Counts("lb")["ClientTLSNegotiationErrorCount"] == failures })
	if failures == 0 {
		t.Error("no failure")
	}
	section.Policy = "ELBSecurityPolicy-Nonsense"
	r.listener().TLS = section
	if err := r.Apply(r.config); err == nil || !strings.Contains(err.Error(), "not known") {
		t.Error(err)
	}
	if _, _, err := r.dialTLS(&tls.Config{}); err == nil {
		t.Error("a listener with an unknown policy serves")
	}
}

// A change of certificates is for new connections; those there are go on. An Apply that changes nothing keeps sessions.
func TestCertificateChange(t *testing.T) {
	r := newRig(t, Options{})
	r.listener().Default = respond(200, "fine")
	r.https().Certificate = certificate(t, false, 1, "app.example.com")
	r.apply()
	config := &tls.Config{ServerName: "app.example.com", ClientSessionCache: tls.NewLRUClientSessionCache(1), MaxVersion: tls.VersionTLS12}
	ask := func(c *client) string {
		c.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
		return c.read("GET").body
	}
	first, state, err := r.dialTLS(config)
	if err != nil || state.PeerCertificates[0].SerialNumber.Int64() != 1 || ask(first) != "fine" {
		t.Fatal(err)
	}
	r.apply()
	if second, state, err := r.dialTLS(config); err != nil || !state.DidResume || ask(second) != "fine" {
		t.Fatal(err, state.DidResume)
	}
	section := *r.listener().TLS
	section.Certificate = certificate(t, false, 2, "app.example.com")
	r.listener().TLS = &section
	r.apply()
	third, state, err := r.dialTLS(config)
	if err != nil || state.PeerCertificates[0].SerialNumber.Int64() != 2 || ask(third) != "fine" || ask(first) != "fine" {
		t.Fatal(err, state.PeerCertificates[0].SerialNumber)
	}
}

// Whoever does not come to an agreement on TLS within the idle timeout is cut off, and so is who speaks plain HTTP.
func TestHandshakeTimeout(t *testing.T) {
	clock := newFakeClock()
	r := newRig(t, Options{Clock: clock})
	r.https()
	r.apply()
	slow := r.dialClient()
	slow.send("\x16\x03")
	eventually(t, "the connection is there", func() bool { return r.connections() == 1 })
	clock.advance(time.Minute)
	slow.closed()
	plain := r.dialClient()
	plain.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	if b, _ := io.ReadAll(plain.from); strings.Contains(string(b), "HTTP/1.1 2") {
		t.Errorf("got %q", b)
	}
	eventually(t, "failures are counted", func() bool { return r.Counts("lb")["ClientTLSNegotiationErrorCount"] == 2 })
}

// connections counts the clients' connections.
func (r *rig) connections() int {
	n := 0
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, k := range r.sockets {
		k.mu.Lock()
		n += len(k.conns)
		k.mu.Unlock()
	}
	return n
}

// A WebSocket over TLS: both ends of the tunnel end as over TCP.
func TestSecureTunnel(t *testing.T) {
	r := newRig(t, Options{})
	r.forwardTo(rawTarget(t, func(conn net.Conn, from *bufio.Reader) {
		readHead(from)
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
		_, _ = io.Copy(conn, from)
	}))
	r.https()
	r.apply()
	c, _, err := r.dialTLS(&tls.Config{})
	if err != nil {
		t.Fatal(err)
	}
	c.send("GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
	if resp := c.read("GET"); resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(resp.Status)
	}
	c.send("hello")
	if err := c.Conn.(*tls.Conn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(c.from); string(b) != "hello" || err != nil {
		t.Fatal(string(b), err)
	}
}
