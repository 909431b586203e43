package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// terminator ends clients' TLS at a listener. It is immutable, and stays the same over Applies that do not change the
// listener's TLS section, so that sessions can be resumed.
type terminator struct {
	section      TLS
	config       *tls.Config
	certificates *certificates
}

// presented is the key under which a handshake's context has a place for the certificate that is chosen.
type presented struct{}

// shown is what is noted there: the certificate, and the protocols that the client offers.
type shown struct {
	certificate *tls.Certificate
	offered     []string
}

// curveName is the name of a key exchange, as logs word it.
func curveName(id tls.CurveID) string {
	switch id {
	case 0:
		return ""
	case tls.CurveP256:
		return "secp256r1"
	case tls.CurveP384:
		return "secp384r1"
	case tls.CurveP521:
		return "secp521r1"
	}
	return strings.ToLower(id.String())
}

// secured is what is known of a client's TLS connection, as the X-Amzn-Tls- headers and logs word it.
type secured struct {
	version string // TLSv1.3
	suite   string // OpenSSL's name
	name    string // SNI
	named   bool   // there was a certificate for it
	curve   string
	// certificate is the ID of the one presented.
	certificate string
	cert        *clientCert // nil when the client was asked for none, or has none
}

// newTerminator makes a terminator, or takes the one there is. With an error it is one that serves what was understood;
// that may be nobody, but never anybody in plain text.
func newTerminator(section *TLS, before *frontend, clock Clock) (*terminator, error) {
	if before != nil && before.tls != nil && before.tls.section.equal(section) {
		return before.tls, nil
	}
	all, err := newCertificates(section)
	t := &terminator{section: *section}
	t.section.Certificates = slices.Clone(section.Certificates)
	p, known := policies[strings.TrimPrefix(orElse(section.Policy, "ELBSecurityPolicy-2016-08"), "ELBSecurityPolicy-")]
	if !known {
		err = errors.Join(err, fmt.Errorf("security policy %q is not known", section.Policy))
		all = &certificates{}
	}
	t.certificates = all
	t.config = &tls.Config{
		MinVersion: p.low, MaxVersion: p.high, CipherSuites: p.suites, CurvePreferences: classicalCurves, //nolint:gosec // as the policy says
		GetCertificate: all.choose, NextProtos: []string{"http/1.1"},
	}
	if p.postQuantum {
		t.config.CurvePreferences = append(slices.Clone(postQuantumCurves), classicalCurves...)
	}
	if section.HTTP2 {
		t.config.NextProtos = []string{"h2", "http/1.1"}
	}
	if section.Mutual != nil {
		mutual := *section.Mutual
		t.section.Mutual = &mutual
		mutual.configure(t.config, clock)
	}
	return t, err
}

// secure begins TLS on a connection. When that fails, the connection closes without an answer
// (ELB "CloudWatch metrics", ClientTLSNegotiationErrorCount).
func (c *clientConn) secure() bool {
	front := c.socket.front.Load()
	conn := tls.Server(c.tcp, front.tls.config)
	c.inHead = true
	began := c.server.clock.Now()
	var chosen shown
	err := conn.HandshakeContext(context.WithValue(c.server.context, presented{}, &chosen))
	c.inHead = false
	if err != nil {
		front.counts.add(clientTLSErrors, 1)
		c.logConnection(front, began, "Failed:"+string(rejectionOf(err)))
		return false
	}
	state := conn.ConnectionState()
	c.dog.touch()
	c.tls = &secured{version: versionName(state.Version), suite: suiteName(state.CipherSuite), name: state.ServerName, curve: curveName(state.CurveID)}
	if c.tls.certificate = "session-reused"; !state.DidResume {
		c.tls.certificate, c.tls.named = front.tls.certificates.names(chosen.certificate, state.ServerName)
	}
	if mutual := front.tls.section.Mutual; mutual != nil && len(state.PeerCertificates) > 0 {
		c.tls.cert = newClientCert(state.PeerCertificates, mutual.TrustStore != nil)
	}
	verification := ""
	if c.tls.cert != nil && front.tls.section.Mutual.TrustStore != nil {
		verification = "Success"
	}
	c.logConnection(front, began, verification)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.raw = conn
	return !c.killed && !c.expired.Load()
}

func versionName(v uint16) string {
	return "TLSv1." + string(rune('0'+v-tls.VersionTLS10))
}

// suiteName is OpenSSL's name of a cipher suite.
func suiteName(id uint16) string {
	for _, s := range suites {
		if s.id == id {
			return s.name
		}
	}
	return tls.CipherSuiteName(id) // those of TLS 1.3 have the same name everywhere
}

var suites = []struct {
	id   uint16
	name string
}{
	{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, "ECDHE-ECDSA-AES128-GCM-SHA256"},
	{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, "ECDHE-RSA-AES128-GCM-SHA256"},
	{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256, "ECDHE-ECDSA-AES128-SHA256"},
	{tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256, "ECDHE-RSA-AES128-SHA256"},
	{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, "ECDHE-ECDSA-AES128-SHA"},
	{tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, "ECDHE-RSA-AES128-SHA"},
	{tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, "ECDHE-ECDSA-AES256-GCM-SHA384"},
	{tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, "ECDHE-RSA-AES256-GCM-SHA384"},
	{tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA, "ECDHE-ECDSA-AES256-SHA"},
	{tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA, "ECDHE-RSA-AES256-SHA"},
	{tls.TLS_RSA_WITH_AES_128_GCM_SHA256, "AES128-GCM-SHA256"},
	{tls.TLS_RSA_WITH_AES_128_CBC_SHA256, "AES128-SHA256"},
	{tls.TLS_RSA_WITH_AES_128_CBC_SHA, "AES128-SHA"},
	{tls.TLS_RSA_WITH_AES_256_GCM_SHA384, "AES256-GCM-SHA384"},
	{tls.TLS_RSA_WITH_AES_256_CBC_SHA, "AES256-SHA"},
	{tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA, "DES-CBC3-SHA"},
}

// policy is a security policy (ELB "Security policies for your Application Load Balancer"). crypto/tls has no
// ECDHE-…-AES256-SHA384 and no AES256-SHA256, orders suites itself, and always offers the three suites of TLS 1.3; so
// policies for FIPS, which forbid one of these, are not known here.
type policy struct {
	low, high   uint16
	suites      []uint16
	postQuantum bool
}

var (
	classicalCurves   = []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521}
	postQuantumCurves = []tls.CurveID{tls.X25519MLKEM768, tls.SecP256r1MLKEM768, tls.SecP384r1MLKEM1024}
)

var policies = func() map[string]policy {
	named := func(names ...string) (ids []uint16) {
		for _, s := range suites {
			if slices.Contains(names, strings.NewReplacer("ECDHE-ECDSA-", "E-", "ECDHE-RSA-", "E-").Replace(s.name)) {
				ids = append(ids, s.id)
			}
		}
		return ids
	}
	e1 := named("E-AES128-GCM-SHA256", "E-AES256-GCM-SHA384")
	e2 := named("E-AES128-SHA256")
	e3 := named("E-AES128-SHA", "E-AES256-SHA")
	r1 := named("AES128-GCM-SHA256", "AES128-SHA256", "AES256-GCM-SHA384")
	r2 := named("AES128-SHA", "AES256-SHA")
	all := slices.Concat(e1, e2, e3, r1, r2)
	const v10, v11, v12, v13 = tls.VersionTLS10, tls.VersionTLS11, tls.VersionTLS12, tls.VersionTLS13
	out := map[string]policy{
		"2016-08":             {v10, v12, all, false},
		"2015-05":             {v10, v12, all, false},
		"TLS-1-0-2015-04":     {v10, v12, slices.Concat(all, named("DES-CBC3-SHA")), false},
		"TLS-1-1-2017-01":     {v11, v12, all, false},
		"TLS-1-2-2017-01":     {v12, v12, slices.Concat(e1, e2, r1), false},
		"TLS-1-2-Ext-2018-06": {v12, v12, all, false},
		"FS-2018-06":          {v10, v12, slices.Concat(e1, e2, e3), false},
		"FS-1-1-2019-08":      {v11, v12, slices.Concat(e1, e2, e3), false},
		"FS-1-2-2019-08":      {v12, v12, slices.Concat(e1, e2, e3), false},
		"FS-1-2-Res-2019-08":  {v12, v12, slices.Concat(e1, e2), false},
		"FS-1-2-Res-2020-10":  {v12, v12, e1, false},
		"TLS13-1-1-2021-06":   {v11, v13, all, false},
	}
	for name, p := range map[string]policy{
		"1-3":      {v13, v13, e1, false}, // e1 is not used, but an empty list would mean Go's own
		"1-2-Res":  {v12, v13, e1, false},
		"1-2":      {v12, v13, slices.Concat(e1, e2), false},
		"1-2-Ext1": {v12, v13, slices.Concat(e1, e2, r1), false},
		"1-2-Ext2": {v12, v13, all, false},
		"1-0":      {v10, v13, all, false},
	} {
		out["TLS13-"+name+"-2021-06"] = p
		p.postQuantum = true
		out["TLS13-"+name+"-PQ-2025-09"] = p
	}
	return out
}()
