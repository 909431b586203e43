package localaws_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/sluicehq/sluice/internal/localaws"
	"github.com/sluicehq/sluice/internal/localaws/localawstest"
)

// issuer is a certificate with its key, that signs others.
type issuer struct {
	tls.Certificate
	t testing.TB
}

// sign makes a certificate; without a signer it signs itself.
func (i *issuer) sign(t testing.TB, serial int64, name string, change ...func(*x509.Certificate)) *issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name, Organization: []string{"Blue Sky"}}, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	for _, f := range change {
		f(template)
	}
	parent, by := template, any(key)
	if i != nil {
		parent, by = i.Leaf, i.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), by)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &issuer{tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, t}
}

func authority(c *x509.Certificate) {
	c.IsCA, c.KeyUsage, c.ExtKeyUsage = true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign, nil
}

func expired(c *x509.Certificate) {
	c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
}

func (i *issuer) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.Certificate.Certificate[0]})
}

// revokes is a list of revoked serial numbers.
func (i *issuer) revokes(serials ...int64) []byte {
	i.t.Helper()
	list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now(), NextUpdate: time.Now().Add(time.Hour)}
	for _, s := range serials {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: big.NewInt(s), RevocationTime: time.Now()})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, i.Leaf, i.PrivateKey.(*ecdsa.PrivateKey))
	if err != nil {
		i.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})
}

// bucket makes a folder of buckets with one that has these objects.
func bucket(t testing.TB, objects map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for key, data := range objects {
		path := filepath.Join(dir, "trust", key)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func withBuckets(dir string) localawstest.Option {
	return localawstest.WithOptions(func(o *localaws.Options) { o.Buckets = dir })
}

func (c *clients) trust(t testing.TB, name, key string) string {
	t.Helper()
	return *must[*elb.CreateTrustStoreOutput](t)(c.elb.CreateTrustStore(t.Context(), &elb.CreateTrustStoreInput{
		Name: &name, CaCertificatesBundleS3Bucket: aws.String("trust"), CaCertificatesBundleS3Key: &key,
	})).TrustStores[0].TrustStoreArn
}

// TestMutualTLS: clients with certificates of all kinds, against the modes.
func TestMutualTLS(t *testing.T) {
	root := (*issuer)(nil).sign(t, 1, "Root", authority)
	between := root.sign(t, 2, "Between", authority)
	good, chained := root.sign(t, 0xABC, "Client One"), between.sign(t, 4, "Chained")
	chained.Certificate.Certificate = append(chained.Certificate.Certificate, between.Certificate.Certificate[0])
	long := *good
	long.Certificate.Certificate = append(append([][]byte{}, good.Certificate.Certificate...), between.Certificate.Certificate[0], root.Certificate.Certificate[0], root.Certificate.Certificate[0], root.Certificate.Certificate[0])
	revoked, old := root.sign(t, 666, "Revoked"), root.sign(t, 5, "Old", expired)
	stranger := (*issuer)(nil).sign(t, 6, "Stranger")
	early := root.sign(t, 7, "Early", func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) })
	server := root.sign(t, 8, "Server", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })

	dir := bucket(t, map[string][]byte{"ca.pem": root.pem(), "crl/list.pem": root.revokes(666)})
	c := start(t, localawstest.WithProxy(), withBuckets(dir))
	ctx := t.Context()
	b, g := c.balancer(t, "web"), c.group(t, "app")
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _ = json.NewEncoder(w).Encode(r.Header) }))
	t.Cleanup(app.Close)
	c.target(t, g, app.Listener.Addr())
	store := c.trust(t, "clients", "ca.pem")
	must[*elb.AddTrustStoreRevocationsOutput](t)(c.elb.AddTrustStoreRevocations(ctx, &elb.AddTrustStoreRevocationsInput{
		TrustStoreArn: &store, RevocationContents: []types.RevocationContent{{S3Bucket: aws.String("trust"), S3Key: aws.String("crl/list.pem")}},
	}))
	l := c.secure(t, *b.LoadBalancerArn, c.issued(t, "", "app.example.com"), forward(g))
	waitHealthy(t, c.elb, g)
	mode := func(m types.MutualAuthenticationAttributes) {
		t.Helper()
		must[*elb.ModifyListenerOutput](t)(c.elb.ModifyListener(ctx, &elb.ModifyListenerInput{ListenerArn: &l, MutualAuthentication: &m}))
	}
	address, _ := c.Resolve(*b.DNSName)
	get := func(cert *issuer, protocol string) (http.Header, error) {
		t.Helper()
		config := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{protocol}}
		if cert != nil {
			config.Certificates = []tls.Certificate{cert.Certificate}
		}
		transport := &http.Transport{TLSClientConfig: config, DisableKeepAlives: true, ForceAttemptHTTP2: protocol == "h2"}
		defer transport.CloseIdleConnections()
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("https://%s:%d/", address, securePort), nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Amzn-Mtls-Clientcert-Subject", "CN=Forged")
		r.Header.Set("X-Amzn-Mtls-Clientcert", "forged")
		resp, err := (&http.Client{Transport: transport, Timeout: 5 * time.Second}).Do(r)
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		var seen http.Header
		if err := json.NewDecoder(resp.Body).Decode(&seen); err != nil {
			t.Fatal(err)
		}
		return seen, nil
	}
	const name = "X-Amzn-Mtls-Clientcert"

	mode(types.MutualAuthenticationAttributes{Mode: aws.String("passthrough")})
	if seen, err := get(stranger, "http/1.1"); err != nil || seen.Get(name) != escaped(stranger.pem()) || seen.Get(name+"-Subject") != "" {
		t.Errorf("passed through: %v, %v", seen, err)
	}
	if seen, err := get(chained, "h2"); err != nil || seen.Get(name) != escaped(append(chained.pem(), between.pem()...)) {
		t.Errorf("a chain passed through: %v, %v", seen, err)
	}
	if seen, err := get(nil, "http/1.1"); err != nil || seen.Get(name) != "" {
		t.Errorf("no certificate passed through: %v, %v", seen, err)
	}

	verify := types.MutualAuthenticationAttributes{Mode: aws.String("verify"), TrustStoreArn: &store}
	mode(verify)
	for _, protocol := range []string{"http/1.1", "h2"} {
		seen, err := get(good, protocol)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]string{
			"-Serial-Number": "ABC", "-Issuer": "CN=Root,O=Blue Sky", "-Subject": "CN=Client One,O=Blue Sky", "-Leaf": escaped(good.pem()), "": "",
			"-Validity": "NotBefore=" + good.Leaf.NotBefore.UTC().Format(time.RFC3339) + ";NotAfter=" + good.Leaf.NotAfter.UTC().Format(time.RFC3339),
		}
		for suffix, value := range want {
			if got := seen.Values(name + suffix); strings.Join(got, "|") != value {
				t.Errorf("%s: %s%s is %q, want %q", protocol, name, suffix, got, value)
			}
		}
	}
	if _, err := get(chained, "http/1.1"); err != nil {
		t.Errorf("with an intermediate certificate: %v", err)
	}
	for why, cert := range map[string]*issuer{
		"none": nil, "revoked": revoked, "expired": old, "stranger": stranger, "early": early, "of a server": server, "long chain": &long,
	} {
		if seen, err := get(cert, "http/1.1"); err == nil {
			t.Errorf("%s: served, with %v", why, seen)
		}
	}
	names := func() (n int) {
		t.Helper()
		config := &tls.Config{InsecureSkipVerify: true, GetClientCertificate: func(q *tls.CertificateRequestInfo) (*tls.Certificate, error) {
			n = len(q.AcceptableCAs)
			return &good.Certificate, nil
		}}
		if _, err := c.shake(t, b, config); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := names(); n != 0 {
		t.Errorf("%d names were advertised", n)
	}
	verify.IgnoreClientCertificateExpiry, verify.AdvertiseTrustStoreCaNames = aws.Bool(true), types.AdvertiseTrustStoreCaNamesEnumOn
	mode(verify)
	if n := names(); n != 1 {
		t.Errorf("%d names were advertised", n)
	}
	if _, err := get(old, "http/1.1"); err != nil {
		t.Errorf("expired, which is ignored: %v", err)
	}
	if _, err := get(early, "http/1.1"); err == nil {
		t.Error("one that is not valid yet was accepted")
	}
	renamed := "routing.http.request.x_amzn_mtls_clientcert_subject.header_name"
	must[*elb.ModifyListenerAttributesOutput](t)(c.elb.ModifyListenerAttributes(ctx, &elb.ModifyListenerAttributesInput{
		ListenerArn: &l, Attributes: []types.ListenerAttribute{{Key: &renamed, Value: aws.String("X-Who")}},
	}))
	if seen, err := get(good, "http/1.1"); err != nil || seen.Get("X-Who") != "CN=Client One,O=Blue Sky" {
		t.Errorf("under another name: %v, %v", seen, err)
	}
	// What is revoked no more is good again; a change of the bundle counts at once.
	must[*elb.RemoveTrustStoreRevocationsOutput](t)(c.elb.RemoveTrustStoreRevocations(ctx, &elb.RemoveTrustStoreRevocationsInput{TrustStoreArn: &store, RevocationIds: []int64{1}}))
	if _, err := get(revoked, "http/1.1"); err != nil {
		t.Errorf("not revoked any more: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "trust", "other.pem"), between.pem(), 0o600); err != nil {
		t.Fatal(err)
	}
	must[*elb.ModifyTrustStoreOutput](t)(c.elb.ModifyTrustStore(ctx, &elb.ModifyTrustStoreInput{
		TrustStoreArn: &store, CaCertificatesBundleS3Bucket: aws.String("trust"), CaCertificatesBundleS3Key: aws.String("other.pem"),
	}))
	if _, err := get(good, "http/1.1"); err == nil {
		t.Error("a client of the authority that is trusted no more was served")
	}
	if _, err := get(chained, "http/1.1"); err != nil {
		t.Errorf("a client of the new authority: %v", err)
	}
	mode(types.MutualAuthenticationAttributes{Mode: aws.String("off")})
	if _, err := get(nil, "http/1.1"); err != nil {
		t.Errorf("without mutual TLS: %v", err)
	}
}

// escaped is the encoding of certificates in headers, by net/url's rules.
func escaped(data []byte) string {
	return strings.NewReplacer("%2B", "+", "%3D", "=", "%2F", "/", "+", "%20").Replace(url.QueryEscape(string(data)))
}

// TestTrustStores: what the calls take, refuse and show.
func TestTrustStores(t *testing.T) {
	root := (*issuer)(nil).sign(t, 1, "Root", authority)
	other := (*issuer)(nil).sign(t, 1, "Other", authority)
	dir := bucket(t, map[string][]byte{
		"ca.pem": root.pem(), "two.pem": append(root.pem(), other.pem()...), "leaf.pem": root.sign(t, 2, "Leaf").pem(), "text": []byte("hello"),
		"crl.pem": root.revokes(1, 2), "foreign.pem": other.revokes(1), "many.pem": bytes.Repeat(root.pem(), 26),
	})
	c := start(t, withBuckets(dir))
	ctx := t.Context()
	store := c.trust(t, "a", "two.pem")
	shown := must[*elb.DescribeTrustStoresOutput](t)(c.elb.DescribeTrustStores(ctx, &elb.DescribeTrustStoresInput{Names: []string{"a"}})).TrustStores
	if len(shown) != 1 || *shown[0].NumberOfCaCertificates != 2 || *shown[0].TotalRevokedEntries != 0 || shown[0].Status != types.TrustStoreStatusActive {
		t.Errorf("%+v", shown)
	}
	for why, row := range map[string]struct{ name, bucket, key, code string }{
		"name":       {"a_b", "trust", "ca.pem", "ValidationError"},
		"duplicate":  {"a", "trust", "ca.pem", "DuplicateTrustStoreName"},
		"no bucket":  {"b", "none", "ca.pem", "CaCertificatesBundleNotFound"},
		"no object":  {"b", "trust", "none", "CaCertificatesBundleNotFound"},
		"outside":    {"b", "..", "ca.pem", "CaCertificatesBundleNotFound"},
		"outside it": {"b", "trust", "../trust/ca.pem", "CaCertificatesBundleNotFound"},
		"text":       {"b", "trust", "text", "InvalidCaCertificatesBundle"},
		"leaf":       {"b", "trust", "leaf.pem", "InvalidCaCertificatesBundle"},
		"too many":   {"b", "trust", "many.pem", "InvalidCaCertificatesBundle"},
	} {
		t.Run(why, func(t *testing.T) {
			_, err := c.elb.CreateTrustStore(ctx, &elb.CreateTrustStoreInput{Name: &row.name, CaCertificatesBundleS3Bucket: &row.bucket, CaCertificatesBundleS3Key: &row.key})
			wants(t, err, row.code, "")
		})
	}
	revoke := func(key string) error {
		_, err := c.elb.AddTrustStoreRevocations(ctx, &elb.AddTrustStoreRevocationsInput{
			TrustStoreArn: &store, RevocationContents: []types.RevocationContent{{S3Bucket: aws.String("trust"), S3Key: &key}},
		})
		return err
	}
	for range 2 {
		if err := revoke("crl.pem"); err != nil {
			t.Fatal(err)
		}
	}
	wants(t, revoke("none"), "RevocationContentNotFound", "none")
	wants(t, revoke("text"), "InvalidRevocationContent", "text")
	lists := must[*elb.DescribeTrustStoreRevocationsOutput](t)(c.elb.DescribeTrustStoreRevocations(ctx, &elb.DescribeTrustStoreRevocationsInput{TrustStoreArn: &store, PageSize: aws.Int32(1)}))
	if len(lists.TrustStoreRevocations) != 1 || lists.NextMarker == nil || *lists.TrustStoreRevocations[0].NumberOfRevokedEntries != 2 {
		t.Errorf("%+v", lists)
	}
	if err := c.SetQuota("sluice/revoked-entries-per-trust-store", 5); err != nil {
		t.Fatal(err)
	}
	wants(t, revoke("crl.pem"), "TooManyTrustStoreRevocationEntries", "5")
	must[*elb.ModifyTrustStoreOutput](t)(c.elb.ModifyTrustStore(ctx, &elb.ModifyTrustStoreInput{TrustStoreArn: &store, CaCertificatesBundleS3Bucket: aws.String("trust"), CaCertificatesBundleS3Key: aws.String("ca.pem")}))
	wants(t, revoke("foreign.pem"), "InvalidRevocationContent", "not signed")
	fetch := func(location *string) string {
		t.Helper()
		resp, err := http.Get(*location)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
	bundle := must[*elb.GetTrustStoreCaCertificatesBundleOutput](t)(c.elb.GetTrustStoreCaCertificatesBundle(ctx, &elb.GetTrustStoreCaCertificatesBundleInput{TrustStoreArn: &store}))
	if got := fetch(bundle.Location); got != string(root.pem()) {
		t.Errorf("bundle: %s", got)
	}
	content := must[*elb.GetTrustStoreRevocationContentOutput](t)(c.elb.GetTrustStoreRevocationContent(ctx, &elb.GetTrustStoreRevocationContentInput{TrustStoreArn: &store, RevocationId: aws.Int64(2)}))
	if got := fetch(content.Location); !strings.HasPrefix(got, "-----BEGIN X509 CRL-----") {
		t.Errorf("revocations: %s", got)
	}
	_, err := c.elb.RemoveTrustStoreRevocations(ctx, &elb.RemoveTrustStoreRevocationsInput{TrustStoreArn: &store, RevocationIds: []int64{9}})
	wants(t, err, "RevocationIdNotFound", "9")

	b, cert := *c.balancer(t, "web").LoadBalancerArn, c.issued(t, "", "a.example.com")
	for why, row := range map[string]struct {
		m    types.MutualAuthenticationAttributes
		code string
	}{
		"mode":       {types.MutualAuthenticationAttributes{Mode: aws.String("maybe")}, "ValidationError"},
		"no store":   {types.MutualAuthenticationAttributes{Mode: aws.String("verify")}, "ValidationError"},
		"gone store": {types.MutualAuthenticationAttributes{Mode: aws.String("verify"), TrustStoreArn: aws.String(store + "0")}, "TrustStoreNotFound"},
		"off":        {types.MutualAuthenticationAttributes{Mode: aws.String("off"), TrustStoreArn: &store}, "ValidationError"},
		"through":    {types.MutualAuthenticationAttributes{Mode: aws.String("passthrough"), IgnoreClientCertificateExpiry: aws.Bool(true)}, "ValidationError"},
	} {
		t.Run(why, func(t *testing.T) {
			_, err := c.elb.CreateListener(ctx, &elb.CreateListenerInput{
				LoadBalancerArn: &b, Port: aws.Int32(1), Protocol: "HTTPS", DefaultActions: notFound(), Certificates: only(cert), MutualAuthentication: &row.m,
			})
			wants(t, err, row.code, "")
		})
	}
	verifying := func(port int32) func(*elb.CreateListenerInput) {
		return func(in *elb.CreateListenerInput) {
			in.Port, in.MutualAuthentication = &port, &types.MutualAuthenticationAttributes{Mode: aws.String("verify"), TrustStoreArn: &store}
		}
	}
	l := c.secure(t, b, cert, notFound(), verifying(1001))
	listener := must[*elb.DescribeListenersOutput](t)(c.elb.DescribeListeners(ctx, &elb.DescribeListenersInput{ListenerArns: []string{l}})).Listeners[0]
	if m := listener.MutualAuthentication; *m.Mode != "verify" || *m.TrustStoreArn != store || *m.IgnoreClientCertificateExpiry || m.AdvertiseTrustStoreCaNames != "off" || m.TrustStoreAssociationStatus != "active" {
		t.Errorf("%+v", m)
	}
	c.secure(t, b, cert, notFound(), verifying(1002))
	in := &elb.CreateListenerInput{LoadBalancerArn: &b, Protocol: "HTTPS", DefaultActions: notFound(), Certificates: only(cert)}
	verifying(1003)(in)
	_, err = c.elb.CreateListener(ctx, in)
	wants(t, err, "InvalidConfigurationRequest", "2")
	uses := must[*elb.DescribeTrustStoreAssociationsOutput](t)(c.elb.DescribeTrustStoreAssociations(ctx, &elb.DescribeTrustStoreAssociationsInput{TrustStoreArn: &store})).TrustStoreAssociations
	if len(uses) != 2 || *uses[0].ResourceArn != l {
		t.Errorf("%+v", uses)
	}
	_, err = c.elb.DeleteTrustStore(ctx, &elb.DeleteTrustStoreInput{TrustStoreArn: &store})
	wants(t, err, "TrustStoreInUse", l)
	_, err = c.elb.DeleteSharedTrustStoreAssociation(ctx, &elb.DeleteSharedTrustStoreAssociationInput{TrustStoreArn: &store, ResourceArn: &l})
	wants(t, err, "DeleteAssociationSameAccount", l)
	_, err = c.elb.GetResourcePolicy(ctx, &elb.GetResourcePolicyInput{ResourceArn: &store})
	wants(t, err, "ResourceNotFound", store)
	must[*elb.DeleteLoadBalancerOutput](t)(c.elb.DeleteLoadBalancer(ctx, &elb.DeleteLoadBalancerInput{LoadBalancerArn: &b}))
	must[*elb.AddTagsOutput](t)(c.elb.AddTags(ctx, &elb.AddTagsInput{ResourceArns: []string{store}, Tags: []types.Tag{{Key: aws.String("a")}}}))
	must[*elb.DeleteTrustStoreOutput](t)(c.elb.DeleteTrustStore(ctx, &elb.DeleteTrustStoreInput{TrustStoreArn: &store}))
	_, err = c.elb.DescribeTrustStores(ctx, &elb.DescribeTrustStoresInput{TrustStoreArns: []string{store}})
	wants(t, err, "TrustStoreNotFound", store)
}
