package cluster

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// lifetime of certificates: a lab is made anew long before.
const lifetime = 5 * 365 * 24 * time.Hour

// PKI is a directory with one certificate authority and what it signed. A file
// that exists is kept, so that running parts and kubeconfigs stay valid when
// "up" runs again.
type PKI struct{ Dir string }

// Cert is the path of a certificate; Key that of its key.
func (p PKI) Cert(name string) string { return filepath.Join(p.Dir, name+".crt") }

// Key is the path of a private key.
func (p PKI) Key(name string) string { return filepath.Join(p.Dir, name+".key") }

// CA makes the authority called name.
func (p PKI) CA(name string) error {
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "sluice-lab-" + name}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature | x509.KeyUsageCRLSign,
	}
	return p.issue(name, "", template)
}

// Client makes a certificate that names a user and the user's groups.
func (p PKI) Client(name, ca, user string, groups ...string) error {
	return p.issue(name, ca, &x509.Certificate{
		Subject:     pkix.Name{CommonName: user, Organization: groups},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
}

// Server makes a certificate for a server's names and addresses.
func (p PKI) Server(name, ca string, names []string, addresses ...net.IP) error {
	return p.issue(name, ca, &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, DNSNames: names, IPAddresses: addresses,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
}

// KeyPair makes a key and its public half, for signing tokens.
func (p PKI) KeyPair(name string) error {
	if exists(p.Key(name)) && exists(filepath.Join(p.Dir, name+".pub")) {
		return nil
	}
	key, err := p.newKey(name)
	if err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return err
	}
	return writePEM(filepath.Join(p.Dir, name+".pub"), "PUBLIC KEY", public, 0o644)
}

// issue makes a key and a certificate signed by ca, or by itself.
func (p PKI) issue(name, ca string, template *x509.Certificate) error {
	if exists(p.Cert(name)) && exists(p.Key(name)) {
		return nil
	}
	key, err := p.newKey(name)
	if err != nil {
		return err
	}
	parent, signer := template, crypto.Signer(key)
	if ca != "" {
		if parent, signer, err = p.load(ca); err != nil {
			return fmt.Errorf("sign %s: %w", name, err)
		}
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return err
	}
	template.SerialNumber = serial
	// An hour back, for clocks that are set while the lab runs.
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(lifetime)
	raw, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return fmt.Errorf("sign %s: %w", name, err)
	}
	return writePEM(p.Cert(name), "CERTIFICATE", raw, 0o644)
}

func (p PKI) newKey(name string) (*ecdsa.PrivateKey, error) {
	if err := os.MkdirAll(p.Dir, 0o700); err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	raw, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	return key, writePEM(p.Key(name), "EC PRIVATE KEY", raw, 0o600)
}

func (p PKI) load(name string) (*x509.Certificate, crypto.Signer, error) {
	certificate, err := readPEM(p.Cert(name))
	if err != nil {
		return nil, nil, err
	}
	parsed, err := x509.ParseCertificate(certificate)
	if err != nil {
		return nil, nil, err
	}
	raw, err := readPEM(p.Key(name))
	if err != nil {
		return nil, nil, err
	}
	key, err := x509.ParseECPrivateKey(raw)
	return parsed, key, err
}

func readPEM(path string) ([]byte, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(raw)
	if block == nil {
		return nil, fmt.Errorf("%s holds no PEM block", path)
	}
	return block.Bytes, nil
}

func writePEM(path, kind string, raw []byte, mode os.FileMode) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: raw}), mode)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
