package ads

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// Files are a certificate with its key, and the CA of clients.
type Files struct{ CA, Certificate, Key string }

// Config is mutual TLS with what the files have at each handshake, so that certificates may change at any time.
func (f Files) Config() (*tls.Config, error) {
	if _, err := f.read(); err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return f.read() },
	}, nil
}

func (f Files) read() (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(f.Certificate, f.Key)
	if err != nil {
		return nil, fmt.Errorf("read the certificate of the xDS server: %w", err)
	}
	bundle, err := os.ReadFile(f.CA)
	if err != nil {
		return nil, fmt.Errorf("read the CA of xDS clients: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(bundle) {
		return nil, errors.New("the CA of xDS clients, " + f.CA + ", has no certificate")
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{pair},
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool, NextProtos: []string{"h2"},
	}, nil
}
