package proxy

import (
	"bytes"
	"cmp"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// certificates are those of a listener, by the names they are for.
type certificates struct {
	byName  map[string][]*tls.Certificate // exact, and "*.example.com"; best first
	initial *tls.Certificate              // the default certificate
	ids     map[*tls.Certificate]string
	anyKey  bool // whatever algorithm the key is of
}

// newCertificates sorts certificates by name. One that cannot be read is left out.
func newCertificates(config *TLS) (*certificates, error) {
	c := &certificates{byName: map[string][]*tls.Certificate{}, ids: map[*tls.Certificate]string{}, anyKey: config.Network}
	var errs []error
	all := make([]*tls.Certificate, 0, 1+len(config.Certificates))
	for i := range 1 + len(config.Certificates) {
		from := &config.Certificate
		if i > 0 {
			from = &config.Certificates[i-1]
		}
		cert, err := readCertificate(from)
		if err != nil {
			errs = append(errs, fmt.Errorf("certificate %d: %w", i, err))
			continue
		}
		if i == 0 {
			c.initial = cert
		}
		if i < len(config.IDs) {
			c.ids[cert] = config.IDs[i]
		}
		all = append(all, cert)
	}
	slices.SortStableFunc(all, c.better)
	for _, cert := range all {
		names := cert.Leaf.DNSNames
		if len(names) == 0 {
			names = []string{cert.Leaf.Subject.CommonName}
		}
		for _, name := range names {
			name = strings.ToLower(name)
			c.byName[name] = append(c.byName[name], cert)
		}
	}
	return c, errors.Join(errs...)
}

func readCertificate(from *tls.Certificate) (*tls.Certificate, error) {
	if len(from.Certificate) == 0 {
		return nil, errors.New("is empty")
	}
	cert := *from
	if cert.Leaf == nil {
		leaf, err := x509.ParseCertificate(cert.Certificate[0])
		if err != nil {
			return nil, err
		}
		cert.Leaf = leaf
	}
	return &cert, nil
}

// better orders certificates for the same name (ELB "SSL certificates for your Application Load Balancer", Certificate
// list): public key algorithm, hash algorithm, key length, validity period.
func (c *certificates) better(a, b *tls.Certificate) int {
	x, y := rank(a.Leaf), rank(b.Leaf)
	if c.anyKey { // NLB "Server certificates", Certificate list
		x[0], y[0] = 0, 0
	}
	return -slices.Compare(x[:], y[:])
}

func rank(leaf *x509.Certificate) [4]int64 {
	var r [4]int64
	switch key := leaf.PublicKey.(type) {
	case *ecdsa.PublicKey:
		r[0], r[2] = 1, int64(key.Curve.Params().BitSize)
	case *rsa.PublicKey:
		r[2] = int64(key.N.BitLen())
	}
	switch leaf.SignatureAlgorithm {
	case x509.MD2WithRSA, x509.MD5WithRSA:
	default:
		r[1] = 1
	}
	r[3] = int64(leaf.NotAfter.Sub(leaf.NotBefore))
	return r
}

// choose picks the certificate for a client: the best of those for the name it asks for that it can work with, or else
// the best for the name, or else the default one.
func (c *certificates) choose(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	cert, err := c.pick(hello)
	if into, ok := hello.Context().Value(presented{}).(*shown); ok {
		*into = shown{cert, hello.SupportedProtos}
	}
	return cert, err
}

// names returns the ID of a certificate, and whether it is for a name.
func (c *certificates) names(cert *tls.Certificate, name string) (id string, named bool) {
	if cert == nil {
		return "", false
	}
	return c.ids[cert], name != "" && cert.Leaf.VerifyHostname(strings.TrimSuffix(name, ".")) == nil
}

func (c *certificates) pick(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	name := strings.ToLower(strings.TrimSuffix(hello.ServerName, "."))
	exact := c.byName[name]
	var wild []*tls.Certificate
	if _, domain, found := strings.Cut(name, "."); found {
		wild = c.byName["*."+domain]
	}
	var first *tls.Certificate
	for len(exact)+len(wild) > 0 {
		from := &exact
		if len(exact) == 0 || len(wild) > 0 && c.better(wild[0], exact[0]) < 0 {
			from = &wild
		}
		cert := (*from)[0]
		*from = (*from)[1:]
		if hello.SupportsCertificate(cert) == nil {
			return cert, nil
		}
		first = cmp.Or(first, cert)
	}
	if first = cmp.Or(first, c.initial); first == nil {
		return nil, errors.New("proxy: the listener has no certificate")
	}
	return first, nil
}

// equal says whether two TLS sections ask for the same.
func (t *TLS) equal(other *TLS) bool {
	same := func(a, b tls.Certificate) bool { return slices.EqualFunc(a.Certificate, b.Certificate, bytes.Equal) }
	mutual := t.Mutual == other.Mutual || t.Mutual != nil && other.Mutual != nil && *t.Mutual == *other.Mutual
	return mutual && t.Policy == other.Policy && t.HTTP2 == other.HTTP2 && same(t.Certificate, other.Certificate) && slices.Equal(t.IDs, other.IDs) &&
		slices.EqualFunc(t.Certificates, other.Certificates, same)
}
