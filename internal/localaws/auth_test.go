package localaws_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/acm"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/sluicehq/sluice/internal/localaws"
	"github.com/sluicehq/sluice/internal/localaws/localawstest"
)

// TestRequireAuth: every protocol's clients, with the right key, a wrong secret, an unknown key, none, and a wrong clock.
func TestRequireAuth(t *testing.T) {
	skew := time.Duration(0)
	c := start(t, localawstest.WithOptions(func(o *localaws.Options) {
		o.Keys = map[string]string{"AKID": "secret"}
		o.Now = func() time.Time { return time.Now().Add(skew) }
	}))
	ctx := t.Context()
	calls := map[string]func(aws.Config) error{
		"query": func(c aws.Config) error {
			_, err := sts.NewFromConfig(c).GetCallerIdentity(ctx, nil)
			return err
		},
		"ec2": func(c aws.Config) error {
			_, err := ec2.NewFromConfig(c).DescribeVpcs(ctx, nil)
			return err
		},
		"json": func(c aws.Config) error {
			_, err := acm.NewFromConfig(c).ListCertificates(ctx, nil)
			return err
		},
		"rest": func(c aws.Config) error {
			_, err := route53.NewFromConfig(c).ListHostedZones(ctx, &route53.ListHostedZonesInput{MaxItems: aws.Int32(1), Marker: nil})
			return err
		},
	}
	for protocol, codes := range map[string][]string{
		"query": {"SignatureDoesNotMatch", "InvalidClientTokenId", "MissingAuthenticationToken", "SignatureDoesNotMatch"},
		"ec2":   {"AuthFailure", "AuthFailure", "AuthFailure", "RequestExpired"},
		"json":  {"InvalidSignatureException", "UnrecognizedClientException", "MissingAuthenticationTokenException", "InvalidSignatureException"},
		"rest":  {"SignatureDoesNotMatch", "InvalidClientTokenId", "MissingAuthenticationToken", "SignatureDoesNotMatch"},
	} {
		t.Run(protocol, func(t *testing.T) {
			with := func(key, secret, token string) aws.Config {
				config := c.Config
				config.Credentials = credentials.NewStaticCredentialsProvider(key, secret, token)
				return config
			}
			for _, token := range []string{"", "a-session"} {
				if err := calls[protocol](with("AKID", "secret", token)); err != nil {
					t.Error(err)
				}
			}
			wants(t, calls[protocol](with("AKID", "wrong", "")), codes[0], "")
			wants(t, calls[protocol](with("OTHER", "secret", "")), codes[1], "")
			anonymous := c.Config
			anonymous.Credentials = aws.AnonymousCredentials{}
			wants(t, calls[protocol](anonymous), codes[2], "")
			skew = 6 * time.Minute
			wants(t, calls[protocol](with("AKID", "secret", "")), codes[3], "expired")
			skew = 0
		})
	}
	config := c.Config
	config.Credentials = credentials.NewStaticCredentialsProvider("AKID", "secret", "a-session")
	url := must[*v4.PresignedHTTPRequest](t)(sts.NewPresignClient(sts.NewFromConfig(config)).PresignGetCallerIdentity(ctx, nil))
	for change, want := range map[string]int{"": http.StatusOK, "&a=b": http.StatusForbidden} {
		r, err := http.Get(url.URL + change)
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		if r.StatusCode != want {
			t.Errorf("presigned%s: %s", change, r.Status)
		}
	}
	r, err := http.Post(c.Endpoint, "application/x-www-form-urlencoded", strings.NewReader("Action=DescribeVpcs&Version=2016-11-15&X-Amz-Signature=x"))
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	if r.StatusCode != http.StatusUnauthorized {
		t.Error(r.Status)
	}
}
