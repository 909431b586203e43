package localaws_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/acm"
	"github.com/aws/aws-sdk-go-v2/service/acm/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	r53types "github.com/aws/aws-sdk-go-v2/service/route53/types"

	"github.com/sluicehq/sluice/internal/localaws"
	"github.com/sluicehq/sluice/internal/localaws/localawstest"
)

// selfSigned makes a certificate and its key, as PEM.
func selfSigned(t testing.TB, until time.Time, names ...string) (body, key []byte) {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(0x1234), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names, NotBefore: time.Now().Add(-time.Hour), NotAfter: until,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(private)})
}

func ecKey(t testing.TB) []byte {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
}

// serves opens a TLS server with a certificate of local AWS and a client that trusts its authority only.
func serves(t *testing.T, s *localaws.Server, arn, name string) error {
	t.Helper()
	pair, err := s.Certificate(arn)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") }))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // refused handshakes are part of the test
	server.StartTLS()
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(s.AuthorityPEM()))
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: name, MinVersion: tls.VersionTLS12}}}
	r, err := client.Get(server.URL)
	if err != nil {
		return err
	}
	return r.Body.Close()
}

// TestCertificateValidation: a certificate is issued when its records are in a public zone, and TLS works with it.
func TestCertificateValidation(t *testing.T) {
	dir := t.TempDir()
	keep := localawstest.WithOptions(func(o *localaws.Options) { o.DataDir = dir })
	n := startNames(t, keep)
	ctx := t.Context()
	client := acm.NewFromConfig(n.Config)
	ask := &acm.RequestCertificateInput{
		DomainName: aws.String("*.Example.com"), SubjectAlternativeNames: []string{"example.com", "www.example.org", "example.com"},
		ValidationMethod: types.ValidationMethodDns, KeyAlgorithm: types.KeyAlgorithmEcPrime256v1, IdempotencyToken: aws.String("once"),
		Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("b")}},
	}
	arn := must[*acm.RequestCertificateOutput](t)(client.RequestCertificate(ctx, ask)).CertificateArn
	if again := must[*acm.RequestCertificateOutput](t)(client.RequestCertificate(ctx, ask)); *again.CertificateArn != *arn {
		t.Error("the same request made another certificate")
	}
	describe := func(c *acm.Client) *types.CertificateDetail {
		t.Helper()
		return must[*acm.DescribeCertificateOutput](t)(c.DescribeCertificate(ctx, &acm.DescribeCertificateInput{CertificateArn: arn})).Certificate
	}
	d := describe(client)
	if d.Status != types.CertificateStatusPendingValidation || !slices.Equal(d.SubjectAlternativeNames, []string{"*.example.com", "example.com", "www.example.org"}) {
		t.Errorf("%+v", d)
	}
	if *d.DomainValidationOptions[0].ResourceRecord.Value != *d.DomainValidationOptions[1].ResourceRecord.Value {
		t.Error("a name and its wildcard have different records")
	}
	_, err := client.GetCertificate(ctx, &acm.GetCertificateInput{CertificateArn: arn})
	wants(t, err, "RequestInProgressException", "PENDING_VALIDATION")
	com, org := n.zone(t, "example.com", nil), n.zone(t, "example.org", nil)
	hidden := n.zone(t, "example.org", &r53types.VPC{VPCId: aws.String(localawstest.VPC), VPCRegion: localawstest.Region})
	for i, zone := range map[int]string{1: com, 2: hidden} {
		r := d.DomainValidationOptions[i].ResourceRecord
		if err := n.change(t, zone, "CREATE "+*r.Name+" CNAME 300 "+*r.Value); err != nil {
			t.Fatal(err)
		}
	}
	d = describe(client)
	if d.Status != types.CertificateStatusPendingValidation || d.DomainValidationOptions[0].ValidationStatus != types.DomainStatusSuccess ||
		d.DomainValidationOptions[2].ValidationStatus != types.DomainStatusPendingValidation {
		t.Errorf("%+v", d)
	}
	r := d.DomainValidationOptions[2].ResourceRecord
	if err := n.change(t, org, "CREATE "+*r.Name+" CNAME 300 "+*r.Value); err != nil {
		t.Fatal(err)
	}
	d = describe(client)
	if d.Status != types.CertificateStatusIssued || d.Type != types.CertificateTypeAmazonIssued || *d.SignatureAlgorithm != "SHA256WITHECDSA" || *d.Issuer != "Amazon" {
		t.Errorf("%+v", d)
	}
	got := must[*acm.GetCertificateOutput](t)(client.GetCertificate(ctx, &acm.GetCertificateInput{CertificateArn: arn}))
	if *got.CertificateChain != n.AuthorityPEM() {
		t.Error("the chain is not the authority")
	}
	for name, good := range map[string]bool{"a.example.com": true, "www.example.org": true, "example.net": false} {
		if err := serves(t, n.Server, *arn, name); (err == nil) != good {
			t.Errorf("TLS with %s: %v", name, err)
		}
	}
	answer, err := http.Get(n.Endpoint + "/_local/ca.pem")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if text, _ := io.ReadAll(answer.Body); string(text) != n.AuthorityPEM() {
		t.Errorf("%s", text)
	}
	// A second request needs no waiting: the records are there.
	ask.IdempotencyToken, ask.SubjectAlternativeNames = nil, nil
	second := must[*acm.RequestCertificateOutput](t)(client.RequestCertificate(ctx, ask)).CertificateArn
	if got := must[*acm.DescribeCertificateOutput](t)(client.DescribeCertificate(ctx, &acm.DescribeCertificateInput{CertificateArn: second})); got.Certificate.Status != types.CertificateStatusIssued {
		t.Error(got.Certificate.Status)
	}
	// All of it is there after a restart, and is renewed when it is time.
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	later := d.NotAfter.AddDate(0, 0, -20)
	m := startNames(t, keep, localawstest.WithOptions(func(o *localaws.Options) { o.Now = func() time.Time { return later } }))
	renewed := describe(acm.NewFromConfig(m.Config))
	if *renewed.Serial == *d.Serial || !renewed.NotAfter.After(*d.NotAfter) || renewed.Status != types.CertificateStatusIssued {
		t.Errorf("%+v", renewed)
	}
	if m.AuthorityPEM() != *got.CertificateChain {
		t.Error("another authority after a restart")
	}
}

func TestRequestCertificateMistakes(t *testing.T) {
	now := time.Now()
	c := start(t, localawstest.WithOptions(func(o *localaws.Options) { o.Now = func() time.Time { return now } }))
	ctx := t.Context()
	client := acm.NewFromConfig(c.Config)
	request := func(change func(*acm.RequestCertificateInput)) (*acm.RequestCertificateOutput, error) {
		in := &acm.RequestCertificateInput{DomainName: aws.String("example.com"), ValidationMethod: types.ValidationMethodDns}
		change(in)
		return client.RequestCertificate(ctx, in)
	}
	var many []string
	for i := range 10 {
		many = append(many, fmt.Sprintf("n%d.example.com", i))
	}
	for why, row := range map[string]struct {
		change      func(*acm.RequestCertificateInput)
		code, words string
	}{
		"bad name": {func(in *acm.RequestCertificateInput) { in.DomainName = aws.String("a_b.example") }, "ValidationException", "domainName"},
		"hyphen":   {func(in *acm.RequestCertificateInput) { in.DomainName = aws.String("-a.example") }, "ValidationException", "-a.example"},
		"wildcard": {func(in *acm.RequestCertificateInput) { in.DomainName = aws.String("a.*.example") }, "ValidationException", ""},
		"long": {func(in *acm.RequestCertificateInput) {
			in.DomainName = aws.String(strings.Repeat("a", 60) + ".example")
		}, "InvalidParameterException", "64"},
		"names":    {func(in *acm.RequestCertificateInput) { in.SubjectAlternativeNames = many }, "LimitExceededException", "10"},
		"email":    {func(in *acm.RequestCertificateInput) { in.ValidationMethod = types.ValidationMethodEmail }, "InvalidParameterException", "EMAIL"},
		"key":      {func(in *acm.RequestCertificateInput) { in.KeyAlgorithm = types.KeyAlgorithmRsa4096 }, "InvalidParameterException", "RSA_4096"},
		"reserved": {func(in *acm.RequestCertificateInput) { in.Tags = []types.Tag{{Key: aws.String("aws:a")}} }, "InvalidTagException", "aws:"},
		"validation": {func(in *acm.RequestCertificateInput) {
			in.DomainValidationOptions = []types.DomainValidationOption{{DomainName: aws.String("example.com"), ValidationDomain: aws.String("example.org")}}
		}, "InvalidDomainValidationOptionsException", "example.org"},
		"private": {func(in *acm.RequestCertificateInput) {
			in.CertificateAuthorityArn = aws.String("arn:aws:acm-pca:ap-northeast-1:123456789012:certificate-authority/11111111-2222-3333-4444-555555555555")
		}, "InvalidParameterException", "validation method"},
		"not an arn": {func(in *acm.RequestCertificateInput) { in.CertificateAuthorityArn = aws.String("x") }, "ValidationException", "certificateAuthorityArn"},
	} {
		_, err := request(row.change)
		t.Run(why, func(t *testing.T) { wants(t, err, row.code, row.words) })
	}
	private := must[*acm.RequestCertificateOutput](t)(request(func(in *acm.RequestCertificateInput) {
		in.ValidationMethod, in.KeyAlgorithm = "", types.KeyAlgorithmEcSecp521r1
		in.CertificateAuthorityArn = aws.String("arn:aws:acm-pca:ap-northeast-1:123456789012:certificate-authority/11111111-2222-3333-4444-555555555555")
	}))
	d := must[*acm.DescribeCertificateOutput](t)(client.DescribeCertificate(ctx, &acm.DescribeCertificateInput{CertificateArn: private.CertificateArn})).Certificate
	if d.Type != types.CertificateTypePrivate || d.Status != types.CertificateStatusIssued {
		t.Errorf("%+v", d)
	}
	pending := must[*acm.RequestCertificateOutput](t)(request(func(*acm.RequestCertificateInput) {}))
	now = now.Add(73 * time.Hour)
	d = must[*acm.DescribeCertificateOutput](t)(client.DescribeCertificate(ctx, &acm.DescribeCertificateInput{CertificateArn: pending.CertificateArn})).Certificate
	if d.Status != types.CertificateStatusValidationTimedOut {
		t.Error(d.Status)
	}
	if err := c.SetQuota("sluice/certificates", 2); err != nil {
		t.Fatal(err)
	}
	_, err := request(func(*acm.RequestCertificateInput) {})
	wants(t, err, "LimitExceededException", "2")
	_, err = client.DescribeCertificate(ctx, &acm.DescribeCertificateInput{CertificateArn: aws.String(*pending.CertificateArn + "0")})
	wants(t, err, "ResourceNotFoundException", "Could not find certificate")
	_, err = client.DescribeCertificate(ctx, &acm.DescribeCertificateInput{CertificateArn: aws.String("arn:aws:acm:ap-northeast-1:123456789012:thing/1")})
	wants(t, err, "InvalidArnException", "thing")
}

func TestImportCertificate(t *testing.T) {
	c := start(t)
	ctx := t.Context()
	client := acm.NewFromConfig(c.Config)
	body, key := selfSigned(t, time.Now().AddDate(1, 0, 0), "a.example", "b.example")
	other, otherKey := selfSigned(t, time.Now().AddDate(1, 0, 0), "c.example")
	old, oldKey := selfSigned(t, time.Now().Add(-time.Minute), "a.example")
	in := func() *acm.ImportCertificateInput {
		return &acm.ImportCertificateInput{Certificate: body, PrivateKey: key, Tags: []types.Tag{{Key: aws.String("k"), Value: aws.String("v")}}}
	}
	arn := must[*acm.ImportCertificateOutput](t)(client.ImportCertificate(ctx, in())).CertificateArn
	d := must[*acm.DescribeCertificateOutput](t)(client.DescribeCertificate(ctx, &acm.DescribeCertificateInput{CertificateArn: arn})).Certificate
	if d.Type != types.CertificateTypeImported || *d.DomainName != "a.example" || *d.Serial != "12:34" || d.KeyAlgorithm != types.KeyAlgorithmRsa2048 ||
		*d.SignatureAlgorithm != "SHA256WITHRSA" || len(d.KeyUsages) != 1 || len(d.ExtendedKeyUsages) != 1 || len(d.InUseBy) != 0 {
		t.Errorf("%+v", d)
	}
	for why, row := range map[string]struct {
		change      func(*acm.ImportCertificateInput)
		code, words string
	}{
		"not PEM":       {func(in *acm.ImportCertificateInput) { in.Certificate = []byte("x") }, "ValidationException", "parse"},
		"two":           {func(in *acm.ImportCertificateInput) { in.Certificate = slices.Concat(body, other) }, "ValidationException", "one X.509"},
		"other key":     {func(in *acm.ImportCertificateInput) { in.PrivateKey = otherKey }, "ValidationException", "do not match"},
		"other kind":    {func(in *acm.ImportCertificateInput) { in.PrivateKey = ecKey(t) }, "ValidationException", "do not match"},
		"no key":        {func(in *acm.ImportCertificateInput) { in.PrivateKey = body }, "ValidationException", "private key"},
		"chain":         {func(in *acm.ImportCertificateInput) { in.CertificateChain = other }, "ValidationException", "chain"},
		"expired":       {func(in *acm.ImportCertificateInput) { in.Certificate, in.PrivateKey = old, oldKey }, "ValidationException", "not valid now"},
		"retag":         {func(in *acm.ImportCertificateInput) { in.CertificateArn = arn }, "InvalidParameterException", "tags"},
		"other account": {func(in *acm.ImportCertificateInput) { in.CertificateArn = aws.String(*arn + "0") }, "ResourceNotFoundException", ""},
	} {
		i := in()
		row.change(i)
		_, err := client.ImportCertificate(ctx, i)
		t.Run(why, func(t *testing.T) { wants(t, err, row.code, row.words) })
	}
	again := must[*acm.ImportCertificateOutput](t)(client.ImportCertificate(ctx, &acm.ImportCertificateInput{CertificateArn: arn, Certificate: other, PrivateKey: otherKey}))
	d = must[*acm.DescribeCertificateOutput](t)(client.DescribeCertificate(ctx, &acm.DescribeCertificateInput{CertificateArn: arn})).Certificate
	if *again.CertificateArn != *arn || *d.DomainName != "c.example" {
		t.Errorf("%+v", d)
	}
	if _, err := c.Certificate(*arn); err != nil {
		t.Error(err)
	}
	must[*acm.RemoveTagsFromCertificateOutput](t)(client.RemoveTagsFromCertificate(ctx, &acm.RemoveTagsFromCertificateInput{CertificateArn: arn, Tags: []types.Tag{{Key: aws.String("k"), Value: aws.String("w")}}}))
	must[*acm.AddTagsToCertificateOutput](t)(client.AddTagsToCertificate(ctx, &acm.AddTagsToCertificateInput{CertificateArn: arn, Tags: []types.Tag{{Key: aws.String("l")}}}))
	if tags := must[*acm.ListTagsForCertificateOutput](t)(client.ListTagsForCertificate(ctx, &acm.ListTagsForCertificateInput{CertificateArn: arn})).Tags; len(tags) != 2 {
		t.Errorf("%+v", tags)
	}
	must[*acm.DeleteCertificateOutput](t)(client.DeleteCertificate(ctx, &acm.DeleteCertificateInput{CertificateArn: arn}))
	_, err := client.DeleteCertificate(ctx, &acm.DeleteCertificateInput{CertificateArn: arn})
	wants(t, err, "ResourceNotFoundException", "")
	if _, err := c.Certificate(*arn); err == nil {
		t.Error("a deleted certificate is found")
	}
}

func TestListCertificates(t *testing.T) {
	c := start(t)
	ctx := t.Context()
	client := acm.NewFromConfig(c.Config)
	body, key := selfSigned(t, time.Now().AddDate(1, 0, 0), "imported.example")
	must[*acm.ImportCertificateOutput](t)(client.ImportCertificate(ctx, &acm.ImportCertificateInput{Certificate: body, PrivateKey: key}))
	for name, algorithm := range map[string]types.KeyAlgorithm{"rsa.example": types.KeyAlgorithmRsa2048, "ec.example": types.KeyAlgorithmEcPrime256v1} {
		must[*acm.RequestCertificateOutput](t)(client.RequestCertificate(ctx, &acm.RequestCertificateInput{DomainName: &name, ValidationMethod: "DNS", KeyAlgorithm: algorithm}))
	}
	list := func(in *acm.ListCertificatesInput) string {
		t.Helper()
		var names []string
		pages := acm.NewListCertificatesPaginator(client, in)
		for pages.HasMorePages() {
			for _, s := range must[*acm.ListCertificatesOutput](t)(pages.NextPage(ctx)).CertificateSummaryList {
				names = append(names, *s.DomainName)
			}
		}
		return strings.Join(names, " ")
	}
	every := types.KeyAlgorithm("").Values()
	for _, row := range []struct {
		in   *acm.ListCertificatesInput
		want string
	}{
		{&acm.ListCertificatesInput{}, "imported.example rsa.example"},
		{&acm.ListCertificatesInput{MaxItems: aws.Int32(1), SortBy: types.SortByCreatedAt, SortOrder: types.SortOrderDescending}, "rsa.example imported.example"},
		{&acm.ListCertificatesInput{CertificateStatuses: []types.CertificateStatus{types.CertificateStatusIssued}, Includes: &types.Filters{KeyTypes: every}}, "imported.example"},
		{&acm.ListCertificatesInput{Includes: &types.Filters{KeyTypes: []types.KeyAlgorithm{types.KeyAlgorithmEcPrime256v1}}}, "ec.example"},
		{&acm.ListCertificatesInput{Includes: &types.Filters{KeyUsage: []types.KeyUsageName{types.KeyUsageNameDigitalSignature}}}, "imported.example"},
		{&acm.ListCertificatesInput{Includes: &types.Filters{ExtendedKeyUsage: []types.ExtendedKeyUsageName{types.ExtendedKeyUsageNameCodeSigning}}}, ""},
	} {
		if got := list(row.in); got != row.want {
			t.Errorf("%+v: got %q, want %q", row.in, got, row.want)
		}
	}
	_, err := client.ListCertificates(ctx, &acm.ListCertificatesInput{SortBy: types.SortByCreatedAt})
	wants(t, err, "InvalidArgsException", "SortOrder")
	_, err = client.ListCertificates(ctx, &acm.ListCertificatesInput{NextToken: aws.String("x")})
	wants(t, err, "ValidationException", "token")
}

func TestServerCertificates(t *testing.T) {
	c := start(t)
	ctx := t.Context()
	client := iam.NewFromConfig(c.Config)
	body, key := selfSigned(t, time.Now().AddDate(1, 0, 0), "a.example")
	_, otherKey := selfSigned(t, time.Now().AddDate(1, 0, 0), "a.example")
	upload := func(name string, change func(*iam.UploadServerCertificateInput)) (*iam.UploadServerCertificateOutput, error) {
		in := &iam.UploadServerCertificateInput{ServerCertificateName: &name, CertificateBody: aws.String(string(body)), PrivateKey: aws.String(string(key))}
		change(in)
		return client.UploadServerCertificate(ctx, in)
	}
	made := must[*iam.UploadServerCertificateOutput](t)(upload("web", func(in *iam.UploadServerCertificateInput) {
		in.Path, in.Tags = aws.String("/lb/"), []iamtypes.Tag{{Key: aws.String("a"), Value: aws.String("b")}}
	}))
	if *made.ServerCertificateMetadata.Arn != "arn:aws:iam::123456789012:server-certificate/lb/web" {
		t.Error(*made.ServerCertificateMetadata.Arn)
	}
	for why, row := range map[string]struct {
		change      func(*iam.UploadServerCertificateInput)
		code, words string
	}{
		"again":     {func(in *iam.UploadServerCertificateInput) { in.ServerCertificateName = aws.String("WEB") }, "EntityAlreadyExists", "WEB"},
		"body":      {func(in *iam.UploadServerCertificateInput) { in.CertificateBody = aws.String("x") }, "MalformedCertificate", "parse certificate"},
		"key":       {func(in *iam.UploadServerCertificateInput) { in.PrivateKey = aws.String("x") }, "MalformedCertificate", "parse key"},
		"chain":     {func(in *iam.UploadServerCertificateInput) { in.CertificateChain = aws.String("x") }, "MalformedCertificate", "chain"},
		"other key": {func(in *iam.UploadServerCertificateInput) { in.PrivateKey = aws.String(string(otherKey)) }, "KeyPairMismatch", ""},
		"name":      {func(in *iam.UploadServerCertificateInput) { in.ServerCertificateName = aws.String("a b") }, "ValidationError", "serverCertificateName"},
		"path":      {func(in *iam.UploadServerCertificateInput) { in.Path = aws.String("lb") }, "ValidationError", "path"},
	} {
		_, err := upload("other", row.change)
		t.Run(why, func(t *testing.T) { wants(t, err, row.code, row.words) })
	}
	must[*iam.UploadServerCertificateOutput](t)(upload("plain", func(*iam.UploadServerCertificateInput) {}))
	var names []string
	pages := iam.NewListServerCertificatesPaginator(client, &iam.ListServerCertificatesInput{MaxItems: aws.Int32(1)})
	for pages.HasMorePages() {
		for _, m := range must[*iam.ListServerCertificatesOutput](t)(pages.NextPage(ctx)).ServerCertificateMetadataList {
			names = append(names, *m.ServerCertificateName)
		}
	}
	if !slices.Equal(names, []string{"web", "plain"}) {
		t.Error(names)
	}
	some := must[*iam.ListServerCertificatesOutput](t)(client.ListServerCertificates(ctx, &iam.ListServerCertificatesInput{PathPrefix: aws.String("/lb")}))
	if len(some.ServerCertificateMetadataList) != 1 {
		t.Errorf("%+v", some)
	}
	must[*iam.UpdateServerCertificateOutput](t)(client.UpdateServerCertificate(ctx, &iam.UpdateServerCertificateInput{ServerCertificateName: aws.String("web"), NewServerCertificateName: aws.String("site")}))
	_, err := client.UpdateServerCertificate(ctx, &iam.UpdateServerCertificateInput{ServerCertificateName: aws.String("site"), NewServerCertificateName: aws.String("plain")})
	wants(t, err, "EntityAlreadyExists", "plain")
	must[*iam.TagServerCertificateOutput](t)(client.TagServerCertificate(ctx, &iam.TagServerCertificateInput{ServerCertificateName: aws.String("site"), Tags: []iamtypes.Tag{{Key: aws.String("c"), Value: aws.String("d")}}}))
	must[*iam.UntagServerCertificateOutput](t)(client.UntagServerCertificate(ctx, &iam.UntagServerCertificateInput{ServerCertificateName: aws.String("site"), TagKeys: []string{"a"}}))
	tags := must[*iam.ListServerCertificateTagsOutput](t)(client.ListServerCertificateTags(ctx, &iam.ListServerCertificateTagsInput{ServerCertificateName: aws.String("site")}))
	got := must[*iam.GetServerCertificateOutput](t)(client.GetServerCertificate(ctx, &iam.GetServerCertificateInput{ServerCertificateName: aws.String("site")})).ServerCertificate
	if *got.CertificateBody != string(body) || len(got.Tags) != 1 || len(tags.Tags) != 1 || *tags.Tags[0].Key != "c" {
		t.Errorf("%+v %+v", got, tags)
	}
	if _, err := c.Certificate("arn:aws:iam::123456789012:server-certificate/lb/site"); err != nil {
		t.Error(err)
	}
	if err := c.SetQuota("sluice/server-certificates", 2); err != nil {
		t.Fatal(err)
	}
	_, err = upload("more", func(*iam.UploadServerCertificateInput) {})
	wants(t, err, "LimitExceeded", "2")
	must[*iam.DeleteServerCertificateOutput](t)(client.DeleteServerCertificate(ctx, &iam.DeleteServerCertificateInput{ServerCertificateName: aws.String("site")}))
	_, err = client.DeleteServerCertificate(ctx, &iam.DeleteServerCertificateInput{ServerCertificateName: aws.String("site")})
	wants(t, err, "NoSuchEntity", "site")
}
