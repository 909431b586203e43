package localaws_test

import (
	"compress/gzip"
	"crypto/tls"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/sluicehq/sluice/internal/localaws/localawstest"
)

func (c *clients) attributes(t testing.TB, balancer string, pairs ...string) error {
	t.Helper()
	in := &elb.ModifyLoadBalancerAttributesInput{LoadBalancerArn: &balancer}
	for i := 0; i < len(pairs); i += 2 {
		in.Attributes = append(in.Attributes, types.LoadBalancerAttribute{Key: &pairs[i], Value: &pairs[i+1]})
	}
	_, err := c.elb.ModifyLoadBalancerAttributes(t.Context(), in)
	return err
}

// logged publishes what there is of logs, and returns the lines of the files whose names match.
func (c *clients) logged(t testing.TB, dir, pattern string) (lines []string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.Endpoint+"/_local/logs/flush", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusNoContent {
		t.Fatal(resp.Status)
	}
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !regexp.MustCompile(pattern).MatchString(strings.TrimPrefix(path, dir+"/")) {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		unpacked, err := gzip.NewReader(f)
		if err != nil {
			return err
		}
		text, err := io.ReadAll(unpacked)
		lines = append(lines, strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// field splits a line as programs do that read these logs: at spaces outside quotation marks.
var field = regexp.MustCompile(`"[^"]*"|[^ ]+`)

// TestAccessLog: one line a request, with the fields in AWS's order, in a file of AWS's name.
func TestAccessLog(t *testing.T) {
	dir := bucket(t, map[string][]byte{"readme": nil})
	c := start(t, localawstest.WithProxy(), withBuckets(dir))
	b, g := c.balancer(t, "web"), c.group(t, "app")
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.UserAgent(), "ELB-HealthChecker") {
			w.WriteHeader(http.StatusTeapot)
		}
	}))
	t.Cleanup(app.Close)
	c.target(t, g, app.Listener.Addr())
	cert := c.issued(t, "", "app.example.com")
	l := c.secure(t, *b.LoadBalancerArn, cert, forward(g))
	c.rule(t, l, 7, path("/fixed"), says("hello"))
	c.listener(t, *b.LoadBalancerArn, []types.Action{{Type: "redirect", RedirectConfig: &types.RedirectActionConfig{StatusCode: "HTTP_301", Protocol: aws.String("HTTPS"), Port: aws.String("443")}}})
	waitHealthy(t, c.elb, g)
	wants(t, c.attributes(t, *b.LoadBalancerArn, "access_logs.s3.enabled", "true"), "ValidationError", "bucket")
	wants(t, c.attributes(t, *b.LoadBalancerArn, "access_logs.s3.enabled", "true", "access_logs.s3.bucket", "none"), "InvalidConfigurationRequest", "Access Denied for bucket: none")
	wants(t, c.attributes(t, *b.LoadBalancerArn, "access_logs.s3.enabled", "true", "access_logs.s3.bucket", "trust", "access_logs.s3.prefix", "a/AWSLogs"), "ValidationError", "AWSLogs")
	if err := c.attributes(t, *b.LoadBalancerArn, "access_logs.s3.enabled", "true", "access_logs.s3.bucket", "trust", "access_logs.s3.prefix", "web"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "trust/web/AWSLogs/123456789012/ELBAccessLogTestFile")); err != nil {
		t.Error(err)
	}
	address, _ := c.Resolve(*b.DNSName)
	ask := func(protocol, path string) {
		t.Helper()
		transport := &http.Transport{
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true, ServerName: "app.example.com", NextProtos: []string{protocol}}, ForceAttemptHTTP2: protocol == "h2",
		}
		defer transport.CloseIdleConnections()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, fmt.Sprintf("https://%s:%d%s", address, securePort, path), strings.NewReader("12345"))
		if err != nil {
			t.Fatal(err)
		}
		r.Host = "app.example.com"
		r.Header.Set("User-Agent", `agent "7"`)
		resp, err := (&http.Client{Transport: transport, Timeout: 5 * time.Second}).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		_, _ = io.Copy(io.Discard, resp.Body)
	}
	ask("http/1.1", "/a?b=c")
	ask("h2", "/fixed")
	c.plainlyRedirected(t, b)
	// A request is logged when it is over for the load balancer, which may be a moment after it is for the client.
	const file = `^trust/web/AWSLogs/123456789012/elasticloadbalancing/ap-northeast-1/\d{4}/\d\d/\d\d/` +
		`123456789012_elasticloadbalancing_ap-northeast-1_app\.web\.[0-9a-f]{16}_\d{8}T\d{4}Z_127[.0-9]+_[0-9a-z]+\.log\.gz$`
	var lines []string
	for deadline := time.Now().Add(5 * time.Second); len(lines) < 3 && time.Now().Before(deadline); {
		lines = c.logged(t, dir, file)
	}
	if len(lines) != 3 {
		t.Fatalf("%d lines: %q", len(lines), lines)
	}
	stamp, number := `\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z`, `\d+`
	seconds, trace := `\d+\.\d{3}`, `"Root=1-[0-9a-f]{8}-[0-9a-f]{24}"`
	common := func(kind string) []string {
		return []string{kind, stamp, `app/web/[0-9a-f]{16}`, `127\.0\.0\.1:\d+`}
	}
	target := regexp.QuoteMeta(app.Listener.Addr().String())
	for i, want := range [][]string{
		append(common("https"), target, seconds, seconds, seconds, "418", "418", number, number, `"POST https://app\.example\.com:8443/a\?b=c HTTP/1\.1"`,
			`"agent \\x227\\x22"`, "TLS_[A-Z0-9_]+", `TLSv1\.3`, regexp.QuoteMeta(g), trace, `"app\.example\.com"`, `"`+regexp.QuoteMeta(cert)+`"`, "0", stamp, `"forward"`, `"-"`, `"-"`,
			`"`+target+`"`, `"418"`, `"-"`, `"-"`, `TID_[0-9a-f]{32}`, `"-"`, `"-"`, `"-"`, `127[.0-9]+`),
		append(common("h2"), "-", "-1", "-1", "-1", "200", "-", number, "5", `"POST https://app\.example\.com:8443/fixed HTTP/2\.0"`,
			`"agent \\x227\\x22"`, "TLS_[A-Z0-9_]+", `TLSv1\.3`, "-", `"-"`, `"app\.example\.com"`, `"`+regexp.QuoteMeta(cert)+`"`, "7", stamp, `"fixed-response"`, `"-"`, `"-"`,
			`"-"`, `"-"`, `"-"`, `"-"`, `TID_[0-9a-f]{32}`, `"-"`, `"-"`, `"-"`, `127[.0-9]+`),
		append(common("http"), "-", "-1", "-1", "-1", "301", "-", number, number, `"GET http://h\.example\.com:8080/x HTTP/1\.1"`,
			`"[^"]*"`, "-", "-", "-", `"-"`, `"-"`, `"-"`, "0", stamp, `"redirect"`, `"https://h\.example\.com:443/x"`, `"-"`,
			`"-"`, `"-"`, `"-"`, `"-"`, `TID_[0-9a-f]{32}`, `"-"`, `"-"`, `"-"`, `127[.0-9]+`),
	} {
		line := ""
		for _, l := range lines {
			if strings.HasPrefix(l, want[0]+" ") {
				line = l
			}
		}
		got := field.FindAllString(line, -1)
		if len(got) != len(want) {
			t.Fatalf("line %d has %d fields, want %d: %s", i, len(got), len(want), line)
		}
		for j := range want {
			if !regexp.MustCompile("^(?:" + want[j] + ")$").MatchString(got[j]) {
				t.Errorf("line %d, field %d is %s, want %s", i, j+1, got[j], want[j])
			}
		}
	}
	metrics := get(t, c.Endpoint+"/_local/metrics")
	name := strings.SplitN(*b.LoadBalancerArn, "loadbalancer/", 2)[1]
	for _, line := range []string{
		`RequestCount{LoadBalancer="` + name + `"} 1`, `HTTPCode_Target_4XX_Count{LoadBalancer="` + name + `"} 1`, `HTTP_Fixed_Response_Count{LoadBalancer="` + name + `"} 1`,
		`HTTPCode_ELB_3XX_Count{LoadBalancer="` + name + `"} 1`, `HTTP_Redirect_Count{LoadBalancer="` + name + `"} 1`, `HealthyHostCount{TargetGroup="` + strings.SplitN(g, ":", 6)[5] + `"} 1`,
		`RequestCount{TargetGroup="` + strings.SplitN(g, ":", 6)[5] + `"} 1`, `NewConnectionCount{LoadBalancer="` + name + `"} 3`,
	} {
		if !strings.Contains(metrics, "\n"+line+"\n") {
			t.Errorf("no metric %s in %s", line, metrics)
		}
	}
}

func (c *clients) plainlyRedirected(t testing.TB, b types.LoadBalancer) {
	t.Helper()
	address, _ := c.Resolve(*b.DNSName)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("http://%s:%d/x", address, listenPort), nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "h.example.com"
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusMovedPermanently {
		t.Fatal(resp.Status)
	}
}

// TestConnectionLog: one line a connection, with what became of the client's certificate.
func TestConnectionLog(t *testing.T) {
	root := (*issuer)(nil).sign(t, 1, "Root", authority)
	dir := bucket(t, map[string][]byte{"ca.pem": root.pem()})
	c := start(t, localawstest.WithProxy(), withBuckets(dir))
	b := c.balancer(t, "web")
	store := c.trust(t, "clients", "ca.pem")
	c.secure(t, *b.LoadBalancerArn, c.issued(t, "", "app.example.com"), notFound(), func(in *elb.CreateListenerInput) {
		in.MutualAuthentication = &types.MutualAuthenticationAttributes{Mode: aws.String("verify"), TrustStoreArn: &store}
	})
	if err := c.attributes(t, *b.LoadBalancerArn, "connection_logs.s3.enabled", "true", "connection_logs.s3.bucket", "trust"); err != nil {
		t.Fatal(err)
	}
	for _, cert := range []*issuer{root.sign(t, 0xAB, "Good One"), root.sign(t, 3, "Old", expired), nil} {
		config := &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}
		if cert != nil {
			config.Certificates = []tls.Certificate{cert.Certificate}
		}
		if conn, err := c.shake(t, b, config); err == nil {
			conn.Close()
		}
	}
	var lines []string
	for deadline := time.Now().Add(5 * time.Second); len(lines) < 3 && time.Now().Before(deadline); {
		lines = c.logged(t, dir, `/conn_log_123456789012_elasticloadbalancing_ap-northeast-1_app\.web\.[0-9a-f]{16}_.*\.log\.gz$`)
	}
	all := "\n" + strings.Join(lines, "\n") + "\n"
	for _, want := range []string{
		`\n\S+Z 127\.0\.0\.1 \d+ 8443 TLSv1\.2 ECDHE-\S+ \d+\.\d{3} "CN=Good One,O=Blue Sky" NotBefore=\S+;NotAfter=\S+ AB Success TID_[0-9a-f]{32} \S+ app/web/[0-9a-f]{16} 127\S+\n`,
		` - - \d+\.\d{3} "-" - - Failed:ClientCertExpired TID_[0-9a-f]{32} - app/web/`,
		` - - \d+\.\d{3} "-" - - Failed:UnmappedConnectionError TID_[0-9a-f]{32} - app/web/`,
	} {
		if len(lines) != 3 || !regexp.MustCompile(want).MatchString(all) {
			t.Errorf("no line %s in %s", want, all)
		}
	}
}
