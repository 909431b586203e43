package localaws_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/acm"
	acmtypes "github.com/aws/aws-sdk-go-v2/service/acm/types"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/sluicehq/sluice/internal/localaws"
	"github.com/sluicehq/sluice/internal/localaws/localawstest"
)

// securePort is one that needs no root.
const securePort = 8443

// issued makes a certificate that is issued at once.
func (c *clients) issued(t testing.TB, algorithm acmtypes.KeyAlgorithm, names ...string) string {
	t.Helper()
	out := must[*acm.RequestCertificateOutput](t)(acm.NewFromConfig(c.Config).RequestCertificate(t.Context(), &acm.RequestCertificateInput{
		DomainName: &names[0], SubjectAlternativeNames: names, KeyAlgorithm: algorithm,
		CertificateAuthorityArn: aws.String("arn:aws:acm-pca:ap-northeast-1:123456789012:certificate-authority/0a000000-0000-4000-8000-000000000000"),
	}))
	return *out.CertificateArn
}

func only(arn string) []types.Certificate { return []types.Certificate{{CertificateArn: &arn}} }

// secure makes an HTTPS listener.
func (c *clients) secure(t testing.TB, balancer, certificate string, actions []types.Action, change ...func(*elb.CreateListenerInput)) string {
	t.Helper()
	in := &elb.CreateListenerInput{
		LoadBalancerArn: &balancer, Port: aws.Int32(securePort), Protocol: types.ProtocolEnumHttps, DefaultActions: actions,
		Certificates: only(certificate), SslPolicy: aws.String("ELBSecurityPolicy-TLS13-1-2-2021-06"),
	}
	for _, f := range change {
		f(in)
	}
	return *must[*elb.CreateListenerOutput](t)(c.elb.CreateListener(t.Context(), in)).Listeners[0].ListenerArn
}

func (c *clients) addCertificate(t testing.TB, listener, arn string) {
	t.Helper()
	must[*elb.AddListenerCertificatesOutput](t)(c.elb.AddListenerCertificates(t.Context(), &elb.AddListenerCertificatesInput{
		ListenerArn: &listener, Certificates: only(arn),
	}))
}

// shake opens a TLS connection to a load balancer, as a client that trusts the local authority.
func (c *clients) shake(t testing.TB, b types.LoadBalancer, config *tls.Config) (*tls.Conn, error) {
	t.Helper()
	address, ok := c.Resolve(*b.DNSName)
	if !ok {
		t.Fatal("the load balancer's name does not resolve")
	}
	conn, err := net.DialTimeout("tcp", net.JoinHostPort(address.String(), fmt.Sprint(securePort)), 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(c.AuthorityPEM()))
	config.RootCAs = roots
	secured := tls.Client(conn, config)
	t.Cleanup(func() { secured.Close() })
	return secured, secured.Handshake()
}

// shown is the certificate that a client gets.
func (c *clients) shown(t testing.TB, b types.LoadBalancer, config *tls.Config) *x509.Certificate {
	t.Helper()
	config.InsecureSkipVerify = true // which name it is for is what the caller looks at
	conn, err := c.shake(t, b, config)
	if err != nil {
		t.Fatal(err)
	}
	return conn.ConnectionState().PeerCertificates[0]
}

// TestCertificateChoice: real clients get the certificate that AWS would give them, also after a restart.
func TestCertificateChoice(t *testing.T) {
	dir, pool := t.TempDir(), localawstest.Pool()
	same := localawstest.WithOptions(func(o *localaws.Options) { o.DataDir, o.AddressPool = dir, pool })
	c := start(t, localawstest.WithProxy(), same)
	b := c.balancer(t, "web")
	rsa, ec := acmtypes.KeyAlgorithmRsa2048, acmtypes.KeyAlgorithmEcPrime256v1
	l := c.secure(t, *b.LoadBalancerArn, c.issued(t, rsa, "default.example.org"), notFound())
	for _, arn := range []string{
		c.issued(t, rsa, "app.example.com"), c.issued(t, ec, "app.example.com"), c.issued(t, rsa, "*.example.com"), c.uploaded(t, "iam.example.net"),
	} {
		c.addCertificate(t, l, arn)
	}
	check := func(c *clients) {
		t.Helper()
		for _, row := range []struct {
			server    string
			rsaOnly   bool
			want      string
			algorithm x509.PublicKeyAlgorithm
		}{
			{"app.example.com", false, "app.example.com", x509.ECDSA},
			{"app.example.com", true, "app.example.com", x509.RSA},
			{"APP.example.com", false, "app.example.com", x509.ECDSA},
			{"other.example.com", false, "*.example.com", x509.RSA},
			{"a.b.example.com", false, "default.example.org", x509.RSA},
			{"example.com", false, "default.example.org", x509.RSA},
			{"", false, "default.example.org", x509.RSA},
			{"iam.example.net", false, "iam.example.net", x509.RSA},
		} {
			config := &tls.Config{ServerName: row.server, MinVersion: tls.VersionTLS12}
			if row.rsaOnly {
				config.MaxVersion, config.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}
			}
			got := c.shown(t, b, config)
			if got.Subject.CommonName != row.want || got.PublicKeyAlgorithm != row.algorithm {
				t.Errorf("%+v: got %s, %s", row, got.Subject.CommonName, got.PublicKeyAlgorithm)
			}
		}
		if _, err := c.shake(t, b, &tls.Config{ServerName: "app.example.com", MinVersion: tls.VersionTLS12}); err != nil {
			t.Errorf("a client that verifies: %v", err)
		}
		if _, err := c.shake(t, b, &tls.Config{ServerName: "app.example.com", MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}); err == nil {
			t.Error("the policy forbids TLS 1.1, and it was agreed on")
		}
	}
	check(c)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	check(start(t, localawstest.WithProxy(), same))
}

// uploaded is a certificate of IAM's, signed by nobody else.
func (c *clients) uploaded(t testing.TB, name string) string {
	t.Helper()
	body, key := selfSigned(t, time.Now().AddDate(0, 0, 30), name)
	return *must[*iam.UploadServerCertificateOutput](t)(iam.NewFromConfig(c.Config).UploadServerCertificate(t.Context(), &iam.UploadServerCertificateInput{
		ServerCertificateName: &name, CertificateBody: aws.String(string(body)), PrivateKey: aws.String(string(key)),
	})).ServerCertificateMetadata.Arn
}

// TestCertificateSwap: a listener changes its default certificate and its policy under a connection that goes on.
func TestCertificateSwap(t *testing.T) {
	c := start(t, localawstest.WithProxy())
	b := c.balancer(t, "web")
	old, fresh := c.issued(t, "", "old.example.com"), c.issued(t, "", "new.example.com")
	l := c.secure(t, *b.LoadBalancerArn, old, notFound())
	conn, err := c.shake(t, b, &tls.Config{ServerName: "old.example.com", MinVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	br := bufio.NewReader(conn)
	ask := func() {
		t.Helper()
		fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: old.example.com\r\n\r\n")
		r, err := http.ReadResponse(br, nil)
		if err != nil || r.StatusCode != http.StatusNotFound {
			t.Fatal(r, err)
		}
		defer r.Body.Close()
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			t.Fatal(err)
		}
	}
	ask()
	must[*elb.ModifyListenerOutput](t)(c.elb.ModifyListener(t.Context(), &elb.ModifyListenerInput{
		ListenerArn: &l, Certificates: only(fresh), SslPolicy: aws.String("ELBSecurityPolicy-TLS13-1-3-2021-06"),
	}))
	ask()
	if got := c.shown(t, b, &tls.Config{ServerName: "old.example.com"}); got.Subject.CommonName != "new.example.com" {
		t.Errorf("after the swap clients get %s", got.Subject.CommonName)
	}
	if _, err := c.shake(t, b, &tls.Config{ServerName: "new.example.com", MaxVersion: tls.VersionTLS12}); err == nil {
		t.Error("the new policy forbids TLS 1.2, and it was agreed on")
	}
	// HTTP/2 is a matter of the load balancer's.
	for _, enabled := range []string{"true", "false"} {
		must[*elb.ModifyLoadBalancerAttributesOutput](t)(c.elb.ModifyLoadBalancerAttributes(t.Context(), &elb.ModifyLoadBalancerAttributesInput{
			LoadBalancerArn: b.LoadBalancerArn, Attributes: []types.LoadBalancerAttribute{{Key: aws.String("routing.http2.enabled"), Value: &enabled}},
		}))
		conn, err := c.shake(t, b, &tls.Config{ServerName: "new.example.com", NextProtos: []string{"h2", "http/1.1"}})
		if err != nil {
			t.Fatal(err)
		}
		if got := conn.ConnectionState().NegotiatedProtocol; (got == "h2") != (enabled == "true") {
			t.Errorf("routing.http2.enabled is %s, and %q was agreed on", enabled, got)
		}
	}
}

// TestCertificateInUse: what a listener presents cannot be deleted under it.
func TestCertificateInUse(t *testing.T) {
	c := start(t)
	ctx := t.Context()
	certificates, servers := acm.NewFromConfig(c.Config), iam.NewFromConfig(c.Config)
	b := *c.balancer(t, "web").LoadBalancerArn
	first, second, third := c.issued(t, "", "a.example.com"), c.issued(t, "", "b.example.com"), c.uploaded(t, "c.example.com")
	l := c.secure(t, b, first, notFound())
	c.addCertificate(t, l, second)
	c.addCertificate(t, l, third)
	remove := func(arn string) error {
		_, err := certificates.DeleteCertificate(ctx, &acm.DeleteCertificateInput{CertificateArn: &arn})
		return err
	}
	users := func(arn string) []string {
		t.Helper()
		return must[*acm.DescribeCertificateOutput](t)(certificates.DescribeCertificate(ctx, &acm.DescribeCertificateInput{CertificateArn: &arn})).Certificate.InUseBy
	}
	for _, arn := range []string{first, second} {
		wants(t, remove(arn), "ResourceInUseException", arn)
		if got := users(arn); !slices.Equal(got, []string{b}) {
			t.Errorf("in use by %v", got)
		}
	}
	_, err := servers.DeleteServerCertificate(ctx, &iam.DeleteServerCertificateInput{ServerCertificateName: aws.String("c.example.com")})
	wants(t, err, "DeleteConflict", b)
	must[*elb.RemoveListenerCertificatesOutput](t)(c.elb.RemoveListenerCertificates(ctx, &elb.RemoveListenerCertificatesInput{ListenerArn: &l, Certificates: only(second)}))
	if err := remove(second); err != nil {
		t.Errorf("after its removal: %v", err)
	}
	must[*elb.DeleteListenerOutput](t)(c.elb.DeleteListener(ctx, &elb.DeleteListenerInput{ListenerArn: &l}))
	if err := remove(first); err != nil {
		t.Errorf("after the listener's end: %v", err)
	}
	must[*iam.DeleteServerCertificateOutput](t)(servers.DeleteServerCertificate(ctx, &iam.DeleteServerCertificateInput{ServerCertificateName: aws.String("c.example.com")}))
}

// TestListenerCertificates: what the calls take, and what they show.
func TestListenerCertificates(t *testing.T) {
	c := start(t)
	ctx := t.Context()
	if err := c.SetQuota("sluice/certificates-per-application-load-balancer", 2); err != nil {
		t.Fatal(err)
	}
	b := *c.balancer(t, "web").LoadBalancerArn
	first, second, third := c.issued(t, "", "a.example.com"), c.issued(t, "", "b.example.com"), c.issued(t, "", "c.example.com")
	l := c.secure(t, b, first, notFound())
	if again := c.secure(t, b, first, notFound()); again != l {
		t.Error("the same request made another listener")
	}
	add := func(listener string, certificates ...types.Certificate) error {
		_, err := c.elb.AddListenerCertificates(ctx, &elb.AddListenerCertificatesInput{ListenerArn: &listener, Certificates: certificates})
		return err
	}
	remove := func(arn string) error {
		_, err := c.elb.RemoveListenerCertificates(ctx, &elb.RemoveListenerCertificatesInput{ListenerArn: &l, Certificates: only(arn)})
		return err
	}
	for range 2 { // the second time it is there already
		c.addCertificate(t, l, second)
	}
	c.addCertificate(t, l, first) // the default one, too
	wants(t, add(l, only(third)...), "TooManyCertificates", "2")
	var got []string
	p := elb.NewDescribeListenerCertificatesPaginator(c.elb, &elb.DescribeListenerCertificatesInput{ListenerArn: &l, PageSize: aws.Int32(2)})
	for p.HasMorePages() {
		for _, shown := range must[*elb.DescribeListenerCertificatesOutput](t)(p.NextPage(ctx)).Certificates {
			got = append(got, fmt.Sprintf("%s %t", *shown.CertificateArn, *shown.IsDefault))
		}
	}
	if want := []string{first + " true", second + " false", first + " false"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if err := remove(first); err != nil {
		t.Errorf("the default certificate in the list: %v", err)
	}
	wants(t, remove(first), "OperationNotPermitted", first)
	if err := remove(third); err != nil {
		t.Errorf("one that is not there: %v", err)
	}
	plain := c.listener(t, b, notFound())
	wants(t, add(plain, only(first)...), "InvalidConfigurationRequest", "HTTP")
	wants(t, add(l, append(only(first), only(third)...)...), "ValidationError", "2")
	wants(t, add(l, types.Certificate{CertificateArn: &third, IsDefault: aws.Bool(true)}), "ValidationError", "IsDefault")
	wants(t, add(l, only("arn:aws:s3:::bucket")...), "ValidationError", "not valid")
	pending := must[*acm.RequestCertificateOutput](t)(acm.NewFromConfig(c.Config).RequestCertificate(ctx, &acm.RequestCertificateInput{
		DomainName: aws.String("later.example.com"), ValidationMethod: acmtypes.ValidationMethodDns,
	}))
	wants(t, add(l, only(*pending.CertificateArn)...), "UnsupportedCertificate", "PENDING_VALIDATION")
	wants(t, add(l, only(third+"0")...), "CertificateNotFound", third)
}

// TestListenerSecurity: which TLS settings go together.
func TestListenerSecurity(t *testing.T) {
	c := start(t)
	ctx := t.Context()
	b := *c.balancer(t, "web").LoadBalancerArn
	cert := c.issued(t, "", "a.example.com")
	for why, row := range map[string]struct {
		in           elb.CreateListenerInput
		code, phrase string
	}{
		"no certificate":    {elb.CreateListenerInput{}, "ValidationError", "certificate"},
		"two certificates":  {elb.CreateListenerInput{Certificates: append(only(cert), only(cert)...)}, "TooManyCertificates", "one"},
		"no such policy":    {elb.CreateListenerInput{Certificates: only(cert), SslPolicy: aws.String("ELBSecurityPolicy-2099-01")}, "SSLPolicyNotFound", "2099-01"},
		"FIPS":              {elb.CreateListenerInput{Certificates: only(cert), SslPolicy: aws.String("ELBSecurityPolicy-TLS13-1-2-FIPS-2023-04")}, "InvalidConfigurationRequest", "FIPS"},
		"network's policy":  {elb.CreateListenerInput{Certificates: only(cert), SslPolicy: aws.String("ELBSecurityPolicy-2015-05")}, "InvalidConfigurationRequest", "application"},
		"ALPN":              {elb.CreateListenerInput{Certificates: only(cert), AlpnPolicy: []string{"HTTP2Only"}}, "InvalidConfigurationRequest", "ALPN"},
		"redirect to HTTP":  {elb.CreateListenerInput{Certificates: only(cert), DefaultActions: toHTTP()}, "InvalidLoadBalancerAction", "HTTPS to HTTP"},
		"malformed":         {elb.CreateListenerInput{Certificates: only("cert")}, "ValidationError", "'cert'"},
		"of another region": {elb.CreateListenerInput{Certificates: only("arn:aws:acm:us-east-1:123456789012:certificate/a")}, "CertificateNotFound", "us-east-1"},
	} {
		t.Run(why, func(t *testing.T) {
			row.in.LoadBalancerArn, row.in.Port, row.in.Protocol = &b, aws.Int32(securePort), types.ProtocolEnumHttps
			if row.in.DefaultActions == nil {
				row.in.DefaultActions = notFound()
			}
			_, err := c.elb.CreateListener(ctx, &row.in)
			wants(t, err, row.code, row.phrase)
		})
	}
	l := c.secure(t, b, cert, notFound(), func(in *elb.CreateListenerInput) { in.SslPolicy = nil })
	c.addCertificate(t, l, c.issued(t, "", "b.example.com"))
	show := func() types.Listener {
		t.Helper()
		return must[*elb.DescribeListenersOutput](t)(c.elb.DescribeListeners(ctx, &elb.DescribeListenersInput{ListenerArns: []string{l}})).Listeners[0]
	}
	if got := show(); *got.SslPolicy != "ELBSecurityPolicy-2016-08" || len(got.Certificates) != 1 || *got.MutualAuthentication.Mode != "off" {
		t.Errorf("%+v", got)
	}
	name := "routing.http.request.x_amzn_tls_version.header_name"
	must[*elb.ModifyListenerAttributesOutput](t)(c.elb.ModifyListenerAttributes(ctx, &elb.ModifyListenerAttributesInput{
		ListenerArn: &l, Attributes: []types.ListenerAttribute{{Key: &name, Value: aws.String("X-Version")}},
	}))
	modify := func(in elb.ModifyListenerInput) error {
		in.ListenerArn = &l
		_, err := c.elb.ModifyListener(ctx, &in)
		return err
	}
	// To HTTP: all that is TLS's goes, and does not come back by itself.
	if err := modify(elb.ModifyListenerInput{Protocol: "HTTP", DefaultActions: toHTTP()}); err != nil {
		t.Fatal(err)
	}
	if got := show(); got.SslPolicy != nil || len(got.Certificates) != 0 || got.MutualAuthentication != nil {
		t.Errorf("%+v", got)
	}
	shown := must[*elb.DescribeListenerCertificatesOutput](t)(c.elb.DescribeListenerCertificates(ctx, &elb.DescribeListenerCertificatesInput{ListenerArn: &l}))
	if len(shown.Certificates) != 0 {
		t.Errorf("%+v", shown.Certificates)
	}
	attributes := must[*elb.DescribeListenerAttributesOutput](t)(c.elb.DescribeListenerAttributes(ctx, &elb.DescribeListenerAttributesInput{ListenerArn: &l}))
	if slices.ContainsFunc(attributes.Attributes, func(a types.ListenerAttribute) bool { return *a.Key == name }) {
		t.Error("an HTTP listener has an attribute of TLS")
	}
	policy := aws.String("ELBSecurityPolicy-TLS13-1-2-2021-06")
	wants(t, modify(elb.ModifyListenerInput{Protocol: "HTTPS", DefaultActions: notFound(), Certificates: only(cert)}), "InvalidConfigurationRequest", "policy")
	wants(t, modify(elb.ModifyListenerInput{Protocol: "HTTPS", DefaultActions: notFound(), SslPolicy: policy}), "ValidationError", "certificate")
	// The default action, and that of a rule, go to HTTP, which an HTTPS listener must not do.
	wants(t, modify(elb.ModifyListenerInput{Protocol: "HTTPS", SslPolicy: policy, Certificates: only(cert)}), "InvalidLoadBalancerAction", "HTTPS to HTTP")
	rule := c.rule(t, l, 1, path("/"), toHTTP())
	wants(t, modify(elb.ModifyListenerInput{Protocol: "HTTPS", DefaultActions: notFound(), SslPolicy: policy, Certificates: only(cert)}), "InvalidLoadBalancerAction", "HTTPS to HTTP")
	must[*elb.DeleteRuleOutput](t)(c.elb.DeleteRule(ctx, &elb.DeleteRuleInput{RuleArn: &rule}))
	if err := modify(elb.ModifyListenerInput{Protocol: "HTTPS", DefaultActions: notFound(), SslPolicy: policy, Certificates: only(cert)}); err != nil {
		t.Error(err)
	}
}

func toHTTP() []types.Action {
	return []types.Action{{Type: types.ActionTypeEnumRedirect, RedirectConfig: &types.RedirectActionConfig{
		StatusCode: "HTTP_302", Protocol: aws.String("HTTP"), Host: aws.String("other.example.com"),
	}}}
}
