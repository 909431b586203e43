package localaws

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"

	acmtypes "github.com/aws/aws-sdk-go-v2/service/acm/types"
)

// keyPair is a certificate with its key, as PEM.
type keyPair struct{ Body, Chain, Key string }

// tls is the pair as a listener takes it.
func (k keyPair) tls() (tls.Certificate, error) {
	c, err := tls.X509KeyPair([]byte(k.Body+"\n"+k.Chain), []byte(k.Key))
	if err != nil {
		return c, fmt.Errorf("localaws: certificate: %w", err)
	}
	return c, nil
}

// What is wrong with a pair; each service has its own codes for them.
var (
	errCertificate = errors.New("the certificate is not valid PEM with one X.509 certificate")
	errChain       = errors.New("the certificate chain does not validate the certificate")
	errKey         = errors.New("the private key is not an unencrypted RSA or ECDSA key in PEM")
	errMismatch    = errors.New("the private key does not match the certificate")
)

// parsePair checks a pair and returns its certificate.
func parsePair(k keyPair) (*x509.Certificate, error) {
	certs, err := parseCertificates([]byte(k.Body))
	if err != nil || len(certs) != 1 {
		return nil, errCertificate
	}
	links := certs
	if k.Chain != "" {
		chain, err := parseCertificates([]byte(k.Chain))
		if err != nil || len(chain) == 0 {
			return nil, errChain
		}
		links = append(links, chain...)
	}
	for i, link := range links[1:] {
		if links[i].CheckSignatureFrom(link) != nil {
			return nil, errChain
		}
	}
	block, _ := pem.Decode([]byte(k.Key))
	if block == nil || !isPrivateKey(block.Bytes) {
		return nil, errKey
	}
	if keyAlgorithm(certs[0].PublicKey) == "" {
		return nil, errKey
	}
	if _, err := tls.X509KeyPair([]byte(k.Body), []byte(k.Key)); err != nil {
		return nil, errMismatch
	}
	return certs[0], nil
}

func parseCertificates(data []byte) ([]*x509.Certificate, error) {
	var out []*x509.Certificate
	for len(bytes.TrimSpace(data)) > 0 {
		block, rest := pem.Decode(data)
		if block == nil || block.Type != "CERTIFICATE" {
			return nil, errCertificate
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, errCertificate
		}
		out, data = append(out, c), rest
	}
	return out, nil
}

func isPrivateKey(der []byte) bool {
	if _, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		return true
	}
	if _, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return true
	}
	_, err := x509.ParseECPrivateKey(der)
	return err == nil
}

// keyAlgorithm is ACM's word for a key, "" for one that it does not take.
func keyAlgorithm(public crypto.PublicKey) acmtypes.KeyAlgorithm {
	switch key := public.(type) {
	case *rsa.PublicKey:
		switch bits := key.N.BitLen(); bits {
		case 1024, 2048, 3072, 4096:
			return acmtypes.KeyAlgorithm(fmt.Sprintf("RSA_%d", bits))
		}
	case *ecdsa.PublicKey:
		for name, curve := range curves {
			if key.Curve == curve {
				return name
			}
		}
	}
	return ""
}

var curves = map[acmtypes.KeyAlgorithm]elliptic.Curve{
	acmtypes.KeyAlgorithmEcPrime256v1: elliptic.P256(),
	acmtypes.KeyAlgorithmEcSecp384r1:  elliptic.P384(),
	acmtypes.KeyAlgorithmEcSecp521r1:  elliptic.P521(),
}

func newKey(algorithm acmtypes.KeyAlgorithm) (crypto.Signer, error) {
	if curve, ok := curves[algorithm]; ok {
		return ecdsa.GenerateKey(curve, rand.Reader)
	}
	bits := 2048
	switch algorithm {
	case acmtypes.KeyAlgorithmRsa3072:
		bits = 3072
	case acmtypes.KeyAlgorithmRsa4096:
		bits = 4096
	}
	return rsa.GenerateKey(rand.Reader, bits)
}

// authority is the local certificate authority: what clients have to trust.
type authority struct{ Body, Key string }

// newAuthority makes an authority. It outlives every certificate it will sign.
func newAuthority(account string, now time.Time) (authority, error) {
	key, err := newKey(acmtypes.KeyAlgorithmEcPrime256v1)
	if err != nil {
		return authority{}, fmt.Errorf("localaws: certificate authority: %w", err)
	}
	template := &x509.Certificate{
		Subject:   pkix.Name{Organization: []string{"Sluice"}, CommonName: "Local AWS of account " + account},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(20, 0, 0), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	pair, err := sign(template, template, key, key)
	return authority{pair.Body, pair.Key}, err
}

// issue makes a server certificate for names, the first of which is the common name.
func (a authority) issue(names []string, algorithm acmtypes.KeyAlgorithm, from, until time.Time) (keyPair, error) {
	ca, err := tls.X509KeyPair([]byte(a.Body), []byte(a.Key))
	if err != nil {
		return keyPair{}, fmt.Errorf("localaws: certificate authority: %w", err)
	}
	key, err := newKey(algorithm)
	if err != nil {
		return keyPair{}, fmt.Errorf("localaws: certificate key: %w", err)
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: names[0]}, DNSNames: names, NotBefore: from, NotAfter: until, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	pair, err := sign(template, ca.Leaf, key, ca.PrivateKey)
	pair.Chain = a.Body
	return pair, err
}

func sign(template, parent *x509.Certificate, key crypto.Signer, by crypto.PrivateKey) (keyPair, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return keyPair{}, fmt.Errorf("localaws: certificate: %w", err)
	}
	template.SerialNumber = serial
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), by)
	if err != nil {
		return keyPair{}, fmt.Errorf("localaws: certificate: %w", err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return keyPair{}, fmt.Errorf("localaws: certificate: %w", err)
	}
	return keyPair{
		Body: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		Key:  string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})),
	}, nil
}
