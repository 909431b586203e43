package compile

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/sluicehq/sluice/internal/lb"
)

// secretName is a Secret that an object names.
type secretName struct{ namespace, name string }

func (s secretName) String() string { return s.namespace + "/" + s.name }

// parseSecretName reads name or namespace/name.
func parseSecretName(text, namespace string) secretName {
	if ns, name, ok := strings.Cut(text, "/"); ok {
		return secretName{ns, name}
	}
	return secretName{namespace, text}
}

// errNotDelegated is that a Secret of another namespace may not be used.
var errNotDelegated = errors.New("not delegated")

// secret finds a Secret that an object of a namespace may use, and makes of it what is wanted.
func (f *fleet) secret(name secretName, from string, make func(*corev1.Secret) (lb.Secret, error)) (lb.Secret, error) {
	if name.namespace != from && !f.objects.Delegated(name.namespace, name.name, from) {
		return lb.Secret{}, fmt.Errorf("Secret %s is %w to namespace %s by a TLSCertificateDelegation", name, errNotDelegated, from) //nolint:staticcheck // begins with a kind
	}
	s := f.objects.Secret(name.namespace, name.name)
	if s == nil {
		return lb.Secret{}, fmt.Errorf("there is no Secret %s", name)
	}
	made, err := make(s)
	if err != nil {
		return lb.Secret{}, fmt.Errorf("the Secret cannot be used: %w", err)
	}
	return made, nil
}

// servingCertificate is a certificate with the key that it is for: another key would make Envoy refuse all of it.
func servingCertificate(s *corev1.Secret) (lb.Secret, error) {
	if s.Type != corev1.SecretTypeTLS && s.Type != corev1.SecretTypeOpaque && s.Type != "" {
		return lb.Secret{}, fmt.Errorf("its type is %s, and must be kubernetes.io/tls or Opaque", s.Type)
	}
	certificate, key := s.Data[corev1.TLSCertKey], s.Data[corev1.TLSPrivateKeyKey]
	if len(certificate) == 0 || len(key) == 0 {
		return lb.Secret{}, errors.New("it must have tls.crt and tls.key")
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return lb.Secret{}, errors.New(strings.TrimPrefix(err.Error(), "tls: "))
	}
	leaf := pair.Leaf
	if leaf.Subject.CommonName == "" && len(leaf.DNSNames) == 0 && len(leaf.IPAddresses) == 0 {
		return lb.Secret{}, errors.New("the certificate is for no name: it has neither a common name nor a subject alternative name")
	}
	return lb.Secret{ID: secretID(s, certificate, key), Certificate: onlyPEM(certificate), Key: onlyPEM(key)}, nil
}

// secretID changes with the content, so that a new certificate is another resource beside the old one.
func secretID(s *corev1.Secret, content ...[]byte) lb.SecretRef {
	sum := sha256.Sum256(bytes.Join(content, []byte{0}))
	return lb.SecretRef(s.Namespace + "/" + s.Name + "/" + hex.EncodeToString(sum[:5]))
}

// onlyPEM leaves out what stands around the blocks, and parameters of keys, which Envoy need not see.
func onlyPEM(data []byte) []byte {
	var out bytes.Buffer
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "EC PARAMETERS" {
			_ = pem.Encode(&out, block) // a buffer takes all
		}
	}
	return out.Bytes()
}

// trustedCA is a bundle of certificates to trust.
func trustedCA(s *corev1.Secret) (lb.Secret, error) {
	bundle := s.Data["ca.crt"]
	found := 0
	for block, rest := pem.Decode(bundle); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			return lb.Secret{}, fmt.Errorf("ca.crt has a %s, and must have certificates only", block.Type)
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return lb.Secret{}, fmt.Errorf("ca.crt has a certificate that cannot be read: %w", err)
		}
		found++
	}
	if found == 0 {
		return lb.Secret{}, errors.New("it has no certificate in ca.crt")
	}
	return lb.Secret{ID: secretID(s, bundle), CA: onlyPEM(bundle)}, nil
}

// revocations is a list of certificates that are not trusted any more.
func revocations(s *corev1.Secret) (lb.Secret, error) {
	list := s.Data["crl.pem"]
	found := 0
	for block, rest := pem.Decode(list); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "X509 CRL" {
			return lb.Secret{}, fmt.Errorf("crl.pem has a %s, and must have an X509 CRL only", block.Type)
		}
		if _, err := x509.ParseRevocationList(block.Bytes); err != nil {
			return lb.Secret{}, fmt.Errorf("crl.pem cannot be read: %w", err)
		}
		found++
	}
	if found == 0 {
		return lb.Secret{}, errors.New("it has no X509 CRL in crl.pem")
	}
	return lb.Secret{ID: secretID(s, list), CRL: onlyPEM(list)}, nil
}
