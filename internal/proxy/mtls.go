package proxy

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

// MutualTLS asks clients for certificates (ELB "Mutual authentication with TLS in Application Load Balancer").
type MutualTLS struct {
	// TrustStore is what certificates are verified against, and then every client needs one. Without it, in mode
	// passthrough, certificates are handed to targets as they are.
	TrustStore     *TrustStore
	IgnoreExpiry   bool // IgnoreClientCertificateExpiry
	AdvertiseNames bool // AdvertiseTrustStoreCaNames
}

// TrustStore is the authorities whose certificates are good, but for those they have revoked. It is not to be changed
// after Apply, and told from others by its address.
type TrustStore struct {
	CAs         []*x509.Certificate
	Revocations []*x509.RevocationList // signed by one of the CAs

	indexing sync.Once
	pool     *x509.CertPool
	revoked  map[string]map[string]struct{} // serial numbers by the issuer's subject
}

// index prepares looking up.
func (t *TrustStore) index() {
	t.indexing.Do(func() {
		t.pool = x509.NewCertPool()
		for _, ca := range t.CAs {
			t.pool.AddCert(ca)
		}
		t.revoked = map[string]map[string]struct{}{}
		for _, list := range t.Revocations {
			issuer := string(list.RawIssuer)
			if t.revoked[issuer] == nil {
				t.revoked[issuer] = make(map[string]struct{}, len(list.RevokedCertificateEntries))
			}
			for _, entry := range list.RevokedCertificateEntries {
				t.revoked[issuer][entry.SerialNumber.String()] = struct{}{}
			}
		}
	})
}

// rejection is why a client's certificate is not good, as connection logs word it (ELB "Connection logs for your
// Application Load Balancer", Error reason codes).
type rejection string

func (r rejection) Error() string { return "client certificate rejected: " + string(r) }

// The reasons there are here.
const (
	certDepth     rejection = "ClientCertMaxChainDepthExceeded"
	certRevoked   rejection = "ClientCertCrlHit"
	certUntrusted rejection = "ClientCertUntrusted"
	certEarly     rejection = "ClientCertNotYetValid"
	certExpired   rejection = "ClientCertExpired"
	certType      rejection = "ClientCertTypeUnsupported"
	certInvalid   rejection = "ClientCertInvalid"
	certPurpose   rejection = "ClientCertPurposeInvalid"
)

// Limits of clients' certificates: how many one may send, and the bits of an RSA key.
const (
	maxClientChain = 4
	leastRSA       = 2048
	mostRSA        = 8192
)

// certHeaderCount is how many headers tell of a client's certificate.
const certHeaderCount = 6

// configure makes a TLS configuration ask for certificates. Sessions are not resumed, so that each is looked at.
func (m *MutualTLS) configure(config *tls.Config, clock Clock) {
	config.SessionTicketsDisabled = true
	if m.TrustStore == nil {
		config.ClientAuth = tls.RequestClientCert
		return
	}
	m.TrustStore.index()
	config.ClientAuth = tls.RequireAnyClientCert // VerifyConnection tells why not
	if m.AdvertiseNames {
		config.ClientCAs = m.TrustStore.pool
	}
	config.VerifyConnection = func(state tls.ConnectionState) error {
		return m.verify(state.PeerCertificates, clock.Now())
	}
}

func (m *MutualTLS) verify(certs []*x509.Certificate, now time.Time) error {
	leaf := certs[0] // crypto/tls has seen to it that there is one
	switch {
	case len(certs) > maxClientChain:
		return certDepth
	case !takesKey(leaf):
		return certType
	case now.Before(leaf.NotBefore):
		return certEarly
	case now.After(leaf.NotAfter) && !m.IgnoreExpiry:
		return certExpired
	case now.After(leaf.NotAfter):
		now = leaf.NotAfter
	}
	options := x509.VerifyOptions{
		Roots: m.TrustStore.pool, Intermediates: x509.NewCertPool(), CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	for _, c := range certs[1:] {
		options.Intermediates.AddCert(c)
	}
	chains, err := leaf.Verify(options)
	if err != nil {
		return rejected(err)
	}
	for _, c := range chains[0] {
		if _, revoked := m.TrustStore.revoked[string(c.RawIssuer)][c.SerialNumber.String()]; revoked {
			return certRevoked
		}
	}
	return nil
}

// takesKey says whether a certificate is of a kind that load balancers take: X.509 version 3, with an RSA or ECDSA key of
// certain sizes, signed with SHA-256 or better.
func takesKey(c *x509.Certificate) bool {
	switch c.SignatureAlgorithm {
	case x509.MD2WithRSA, x509.MD5WithRSA, x509.SHA1WithRSA, x509.ECDSAWithSHA1, x509.DSAWithSHA1, x509.UnknownSignatureAlgorithm:
		return false
	}
	if c.Version != 3 {
		return false
	}
	switch key := c.PublicKey.(type) {
	case *rsa.PublicKey:
		return key.N.BitLen() >= leastRSA && key.N.BitLen() <= mostRSA
	case *ecdsa.PublicKey:
		return key.Curve == elliptic.P256() || key.Curve == elliptic.P384() || key.Curve == elliptic.P521()
	}
	return false
}

// rejectionOf is why a handshake failed, as connection logs word it.
func rejectionOf(err error) rejection {
	reason := rejection("UnmappedConnectionError")
	_ = errors.As(err, &reason) // or it is that
	return reason
}

func rejected(err error) rejection {
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.As(err, &unknown):
		return certUntrusted
	case !errors.As(err, &invalid):
		return certInvalid
	case invalid.Reason == x509.Expired:
		return certExpired
	case invalid.Reason == x509.IncompatibleUsage:
		return certPurpose
	case invalid.Reason == x509.TooManyIntermediates:
		return certDepth
	}
	return certInvalid
}

// clientCert is what targets and logs are told of a client's certificate.
type clientCert struct {
	serial, subject, validity string
	headers                   [certHeaderCount]string // in the order of ClientCertHeaders; empty ones are not sent
}

func newClientCert(certs []*x509.Certificate, verified bool) *clientCert {
	leaf := certs[0]
	c := &clientCert{
		serial: fmt.Sprintf("%X", leaf.SerialNumber), subject: rfc2253(leaf.RawSubject),
		validity: "NotBefore=" + leaf.NotBefore.UTC().Format(time.RFC3339) + ";NotAfter=" + leaf.NotAfter.UTC().Format(time.RFC3339),
	}
	if verified {
		c.headers = [certHeaderCount]string{c.serial, rfc2253(leaf.RawIssuer), c.subject, c.validity, escapePEM(certs[:1]), ""}
	} else {
		c.headers[certHeaderCount-1] = escapePEM(certs)
	}
	return c
}

// rfc2253 words a name, without what must not stand in a header.
func rfc2253(raw []byte) string {
	var name pkix.RDNSequence
	if _, err := asn1.Unmarshal(raw, &name); err != nil {
		return "" // crypto/x509 has read it before
	}
	return visible(name.String())
}

// escapePEM is certificates in PEM, URL-encoded but for the characters + = and /.
func escapePEM(certs []*x509.Certificate) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for _, c := range certs {
		for _, char := range pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}) {
			if char >= 'a' && char <= 'z' || char >= 'A' && char <= 'Z' || char >= '0' && char <= '9' || strings.IndexByte("-._~+=/", char) >= 0 {
				b.WriteByte(char)
			} else {
				b.Write([]byte{'%', digits[char>>4], digits[char&15]})
			}
		}
	}
	return b.String()
}

// ClientCertHeaders are names of the request headers that tell targets of a client's certificate, where they are not to
// be the usual ones: routing.http.request.x_amzn_mtls_clientcert….header_name.
type ClientCertHeaders struct {
	SerialNumber, Issuer, Subject, Validity, Leaf string // of a verified one
	Chain                                         string // as passed through
}

// names are all of them, in the order of clientCert.headers.
func (h *ClientCertHeaders) names() [certHeaderCount]string {
	const usual = "X-Amzn-Mtls-Clientcert"
	return [certHeaderCount]string{
		orElse(h.SerialNumber, usual+"-Serial-Number"), orElse(h.Issuer, usual+"-Issuer"), orElse(h.Subject, usual+"-Subject"),
		orElse(h.Validity, usual+"-Validity"), orElse(h.Leaf, usual+"-Leaf"), orElse(h.Chain, usual),
	}
}

// appendClientCert writes what the target is told of the client's certificate.
func (a *arrival) appendClientCert(b []byte) []byte {
	if a.tls == nil || a.tls.cert == nil || a.front.certHeaders == nil {
		return b
	}
	for i, value := range a.tls.cert.headers {
		if value != "" {
			b = appendField(b, a.front.certHeaders[i], value)
		}
	}
	return b
}
