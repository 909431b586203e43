package localaws_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sluicehq/sluice/internal/localaws/localawstest"
)

func pathRegex(values ...string) []types.RuleCondition {
	return []types.RuleCondition{{Field: aws.String("path-pattern"), PathPatternConfig: &types.PathPatternConditionConfig{RegexValues: values}}}
}

func says(text string) []types.Action {
	return []types.Action{{Type: types.ActionTypeEnumFixedResponse, FixedResponseConfig: &types.FixedResponseActionConfig{
		StatusCode: aws.String("200"), ContentType: aws.String("text/plain"), MessageBody: &text,
	}}}
}

func (c *clients) target(t testing.TB, group string, at net.Addr) {
	t.Helper()
	must[*elb.RegisterTargetsOutput](t)(c.elb.RegisterTargets(t.Context(), &elb.RegisterTargetsInput{
		TargetGroupArn: &group, Targets: []types.TargetDescription{{Id: aws.String("127.0.0.1"), Port: aws.Int32(int32(at.(*net.TCPAddr).Port))}},
	}))
}

// plainly sends a request to a load balancer's HTTP listener; the host is that of the Host field.
func (c *clients) plainly(t testing.TB, b types.LoadBalancer, host, path string, header http.Header) string {
	t.Helper()
	address, _ := c.Resolve(*b.DNSName)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("http://%s:%d%s", address, listenPort, path), nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = host
	if header != nil {
		r.Header = header
	}
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%d %s", resp.StatusCode, body)
}

// TestRegexRules: regular expressions over the API, with the case of hosts and header values not counting.
func TestRegexRules(t *testing.T) {
	c := start(t, localawstest.WithProxy())
	b := c.balancer(t, "web")
	l := c.listener(t, *b.LoadBalancerArn, says("default"))
	c.rule(t, l, 1, []types.RuleCondition{{Field: aws.String("host-header"), RegexValues: []string{`^v[0-9]+\.example\.com$`}}}, says("host"))
	c.rule(t, l, 2, pathRegex(`^/users/[0-9]+$`, `\.php$`), says("path"))
	c.rule(t, l, 3, []types.RuleCondition{{Field: aws.String("http-header"), HttpHeaderConfig: &types.HttpHeaderConditionConfig{
		HttpHeaderName: aws.String("User-Agent"), RegexValues: []string{"chrome|safari"},
	}}}, says("header"))
	for _, row := range []struct {
		host, path, agent, want string
	}{
		{"V2.example.com", "/", "x", "200 host"},
		{"v2.example.com.evil.org", "/", "x", "200 default"},
		{"example.com", "/users/17", "x", "200 path"},
		{"example.com", "/Users/17", "x", "200 default"},
		{"example.com", "/a/b.php?x=1", "x", "200 path"},
		{"example.com", "/a/b.phpx", "x", "200 default"},
		{"example.com", "/", "Mozilla Safari/3", "200 header"},
	} {
		if got := c.plainly(t, b, row.host, row.path, http.Header{"User-Agent": {row.agent}}); got != row.want {
			t.Errorf("%+v: got %s", row, got)
		}
	}
	rules := must[*elb.DescribeRulesOutput](t)(c.elb.DescribeRules(t.Context(), &elb.DescribeRulesInput{ListenerArn: &l}))
	want := types.RuleCondition{
		Field: aws.String("host-header"), RegexValues: []string{`^v[0-9]+\.example\.com$`},
		HostHeaderConfig: &types.HostHeaderConditionConfig{RegexValues: []string{`^v[0-9]+\.example\.com$`}},
	}
	if diff := cmp.Diff(want, rules.Rules[0].Conditions[0], ignoreUnexported, cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
}

func urlRewrite(regex, replace string) types.RuleTransform {
	return types.RuleTransform{Type: types.TransformTypeEnumUrlRewrite, UrlRewriteConfig: &types.UrlRewriteConfig{
		Rewrites: []types.RewriteConfig{{Regex: &regex, Replace: &replace}},
	}}
}

func hostRewrite(regex, replace string) types.RuleTransform {
	return types.RuleTransform{Type: types.TransformTypeEnumHostHeaderRewrite, HostHeaderRewriteConfig: &types.HostHeaderRewriteConfig{
		Rewrites: []types.RewriteConfig{{Regex: &regex, Replace: &replace}},
	}}
}

// TestTransforms: a rule's transforms change what the target sees, until they are reset.
func TestTransforms(t *testing.T) {
	c := start(t, localawstest.WithProxy())
	ctx := t.Context()
	b := c.balancer(t, "web")
	g := c.group(t, "app")
	l := c.listener(t, *b.LoadBalancerArn, notFound())
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Host, " ", r.RequestURI) }))
	t.Cleanup(app.Close)
	c.target(t, g, app.Listener.Addr())
	rule := must[*elb.CreateRuleOutput](t)(c.elb.CreateRule(ctx, &elb.CreateRuleInput{
		ListenerArn: &l, Priority: aws.Int32(1), Conditions: path("/api/*"), Actions: forward(g),
		Transforms: []types.RuleTransform{urlRewrite(`^/api/(.*)$`, "/$1"), hostRewrite(`^(.+)\.example\.com$`, "$1.internal")},
	})).Rules[0]
	waitHealthy(t, c.elb, g)
	if got, want := c.plainly(t, b, "shop.example.com", "/api/cart?item=1", nil), "200 shop.internal:8080 /cart?item=1"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := c.plainly(t, b, "example.org", "/api/", nil), "200 example.org:8080 /"; got != want {
		t.Errorf("no match: got %s, want %s", got, want)
	}
	modify := func(in elb.ModifyRuleInput) (int, error) {
		in.RuleArn = rule.RuleArn
		out, err := c.elb.ModifyRule(ctx, &in)
		if err != nil {
			return 0, err
		}
		return len(out.Rules[0].Transforms), nil
	}
	if n, err := modify(elb.ModifyRuleInput{Conditions: path("/api/*", "/b")}); n != 2 || err != nil {
		t.Errorf("a change of something else leaves %d transforms, %v", n, err)
	}
	_, err := modify(elb.ModifyRuleInput{ResetTransforms: aws.Bool(true), Transforms: []types.RuleTransform{urlRewrite("a", "b")}})
	wants(t, err, "ValidationError", "ResetTransforms")
	if n, err := modify(elb.ModifyRuleInput{Transforms: []types.RuleTransform{urlRewrite("^.*$", "not a path")}}); n != 1 || err != nil {
		t.Errorf("%d transforms, %v", n, err)
	}
	if got := c.plainly(t, b, "example.org", "/api/", nil); !strings.HasPrefix(got, "500 ") {
		t.Errorf("a transform that makes no URL: %s", got)
	}
	if n, err := modify(elb.ModifyRuleInput{ResetTransforms: aws.Bool(true)}); n != 0 || err != nil {
		t.Errorf("after the reset: %d transforms, %v", n, err)
	}
	if got, want := c.plainly(t, b, "example.org", "/api/", nil), "200 example.org:8080 /api/"; got != want {
		t.Errorf("after the reset: got %s, want %s", got, want)
	}
	for why, bad := range map[string][]types.RuleTransform{
		"twice":        {urlRewrite("a", "b"), urlRewrite("c", "d")},
		"other config": {{Type: types.TransformTypeEnumUrlRewrite, HostHeaderRewriteConfig: hostRewrite("a", "b").HostHeaderRewriteConfig}},
		"no rewrite":   {{Type: types.TransformTypeEnumUrlRewrite, UrlRewriteConfig: &types.UrlRewriteConfig{Rewrites: []types.RewriteConfig{}}}},
		"regex":        {urlRewrite("(", "b")},
		"empty":        {urlRewrite("a", "")},
		"long":         {urlRewrite("a", strings.Repeat("b", 1025))},
	} {
		t.Run(why, func(t *testing.T) {
			_, err := modify(elb.ModifyRuleInput{Transforms: bad})
			wants(t, err, "ValidationError", "")
		})
	}
}

// TestProtocolVersions: groups of HTTP/2 and gRPC have defaults of their own, go with HTTPS listeners only, and serve.
func TestProtocolVersions(t *testing.T) {
	c := start(t, localawstest.WithProxy())
	ctx := t.Context()
	b := c.balancer(t, "web")
	version := func(v string, matcher *types.Matcher) func(*elb.CreateTargetGroupInput) {
		return func(in *elb.CreateTargetGroupInput) { in.ProtocolVersion, in.Matcher = &v, matcher }
	}
	g := c.group(t, "calls", version("GRPC", nil))
	if again := c.group(t, "calls", version("GRPC", nil)); again != g {
		t.Error("the same request made another group")
	}
	shown := must[*elb.DescribeTargetGroupsOutput](t)(c.elb.DescribeTargetGroups(ctx, &elb.DescribeTargetGroupsInput{TargetGroupArns: []string{g}})).TargetGroups[0]
	if *shown.ProtocolVersion != "GRPC" || *shown.HealthCheckPath != "/AWS.ALB/healthcheck" || *shown.Matcher.GrpcCode != "12" || shown.Matcher.HttpCode != nil {
		t.Errorf("%+v", shown)
	}
	for why, bad := range map[string]func(*elb.CreateTargetGroupInput){
		"version":        version("HTTP3", nil),
		"GRPC with HTTP": version("GRPC", &types.Matcher{HttpCode: aws.String("200")}),
		"HTTP2 and GRPC": version("HTTP2", &types.Matcher{GrpcCode: aws.String("0")}),
		"code":           version("GRPC", &types.Matcher{GrpcCode: aws.String("0-100")}),
		"range":          version("GRPC", &types.Matcher{GrpcCode: aws.String("9-3")}),
	} {
		t.Run(why, func(t *testing.T) {
			in := &elb.CreateTargetGroupInput{Name: aws.String("bad"), Protocol: "HTTP", Port: aws.Int32(80), VpcId: aws.String(localawstest.VPC), TargetType: "ip"}
			bad(in)
			_, err := c.elb.CreateTargetGroup(ctx, in)
			wants(t, err, "ValidationError", "")
		})
	}
	_, err := c.elb.CreateListener(ctx, &elb.CreateListenerInput{LoadBalancerArn: b.LoadBalancerArn, Port: aws.Int32(listenPort), Protocol: "HTTP", DefaultActions: forward(g)})
	wants(t, err, "InvalidConfigurationRequest", "protocol-version 'GRPC'")

	var checks, calls []string
	app := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/grpc")
		if strings.HasPrefix(r.UserAgent(), "ELB-HealthChecker") {
			checks = append(checks, r.URL.Path)
			w.Header().Set("Grpc-Status", "7")
			return
		}
		calls = append(calls, r.Proto+" "+r.URL.Path)
		_, _ = io.Copy(w, r.Body)
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
	}))
	app.Config.Protocols = new(http.Protocols)
	app.Config.Protocols.SetUnencryptedHTTP2(true)
	app.Start()
	t.Cleanup(app.Close)
	must[*elb.ModifyTargetGroupOutput](t)(c.elb.ModifyTargetGroup(ctx, &elb.ModifyTargetGroupInput{
		TargetGroupArn: &g, HealthCheckPath: aws.String("/grpc.health.v1.Health/Check"), Matcher: &types.Matcher{GrpcCode: aws.String("0,5-9")},
	}))
	c.secure(t, *b.LoadBalancerArn, c.issued(t, "", "calls.example.com"), forward(g))
	c.target(t, g, app.Listener.Addr())
	waitHealthy(t, c.elb, g)
	address, _ := c.Resolve(*b.DNSName)
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}}
	t.Cleanup(client.CloseIdleConnections)
	call := func(method, content string) (status int, code string) {
		t.Helper()
		r, err := http.NewRequestWithContext(ctx, method, fmt.Sprintf("https://%s:%d/shop.Cart/Add", address, securePort), strings.NewReader("\x00\x00\x00\x00\x02hi"))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", content)
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, resp.Trailer.Get("Grpc-Status")
	}
	if status, code := call(http.MethodPost, "application/grpc"); status != http.StatusOK || code != "0" {
		t.Errorf("%d, code %s", status, code)
	}
	if status, _ := call(http.MethodPut, "text/plain"); status != 464 {
		t.Errorf("a request that is no call: %d", status)
	}
	app.Close() // so that its handlers are done
	if !slices.Contains(checks, "/grpc.health.v1.Health/Check") || !slices.Equal(calls, []string{"HTTP/2.0 /shop.Cart/Add"}) {
		t.Errorf("checks %v, calls %v", checks, calls)
	}
}
