package localaws_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/sluicehq/sluice/internal/localaws/localawstest"
)

// clients are the SDK's clients for one local AWS.
type clients struct {
	*localawstest.Local
	elb *elb.Client
	ec2 *ec2.Client
}

func start(t testing.TB, options ...localawstest.Option) *clients {
	t.Helper()
	l := localawstest.Start(t, options...)
	return &clients{l, elb.NewFromConfig(l.Config), ec2.NewFromConfig(l.Config)}
}

// must is for calls whose failure is not what the test is about.
func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// code is an answer's AWS error code, "" for success.
func code(t testing.TB, err error) string {
	t.Helper()
	if err == nil {
		return ""
	}
	var api smithy.APIError
	if !errors.As(err, &api) {
		t.Fatalf("not an answer of the API: %v", err)
	}
	return api.ErrorCode()
}

func (c *clients) balancer(t testing.TB, name string) elbtypes.LoadBalancer {
	t.Helper()
	out := must[*elb.CreateLoadBalancerOutput](t)(c.elb.CreateLoadBalancer(t.Context(), &elb.CreateLoadBalancerInput{
		Name: &name, Subnets: localawstest.PublicSubnets[:],
	}))
	return out.LoadBalancers[0]
}

func (c *clients) group(t testing.TB, name string, change ...func(*elb.CreateTargetGroupInput)) string {
	t.Helper()
	in := &elb.CreateTargetGroupInput{
		Name: &name, Protocol: elbtypes.ProtocolEnumHttp, Port: aws.Int32(80), VpcId: aws.String(localawstest.VPC),
		TargetType: elbtypes.TargetTypeEnumIp,
	}
	for _, f := range change {
		f(in)
	}
	return *must[*elb.CreateTargetGroupOutput](t)(c.elb.CreateTargetGroup(t.Context(), in)).TargetGroups[0].TargetGroupArn
}

func forward(group string) []elbtypes.Action {
	return []elbtypes.Action{{Type: elbtypes.ActionTypeEnumForward, TargetGroupArn: &group}}
}

func notFound() []elbtypes.Action {
	return []elbtypes.Action{{Type: elbtypes.ActionTypeEnumFixedResponse, FixedResponseConfig: &elbtypes.FixedResponseActionConfig{
		StatusCode: aws.String("404"), ContentType: aws.String("text/plain"),
	}}}
}

// listenPort is one that needs no root.
const listenPort = 8080

func (c *clients) listener(t testing.TB, balancer string, actions []elbtypes.Action) string {
	t.Helper()
	out := must[*elb.CreateListenerOutput](t)(c.elb.CreateListener(t.Context(), &elb.CreateListenerInput{
		LoadBalancerArn: &balancer, Port: aws.Int32(listenPort), Protocol: elbtypes.ProtocolEnumHttp, DefaultActions: actions,
	}))
	return *out.Listeners[0].ListenerArn
}

func path(values ...string) []elbtypes.RuleCondition {
	return []elbtypes.RuleCondition{{Field: aws.String("path-pattern"), PathPatternConfig: &elbtypes.PathPatternConditionConfig{Values: values}}}
}

func (c *clients) rule(t testing.TB, listener string, priority int32, conditions []elbtypes.RuleCondition, actions []elbtypes.Action) string {
	t.Helper()
	out := must[*elb.CreateRuleOutput](t)(c.elb.CreateRule(t.Context(), &elb.CreateRuleInput{
		ListenerArn: &listener, Priority: &priority, Conditions: conditions, Actions: actions,
	}))
	return *out.Rules[0].RuleArn
}

// TestJourney makes what an Ingress needs, over the wire, and sends a request through it.
func TestJourney(t *testing.T) {
	c := start(t, localawstest.WithProxy())
	ctx := t.Context()
	who := must[*sts.GetCallerIdentityOutput](t)(sts.NewFromConfig(c.Config).GetCallerIdentity(ctx, nil))
	if *who.Account != localawstest.AccountID {
		t.Errorf("account %s", *who.Account)
	}
	subnets := must[*ec2.DescribeSubnetsOutput](t)(c.ec2.DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{
		Filters: []ec2types.Filter{{Name: aws.String("tag:kubernetes.io/role/elb"), Values: []string{"", "1"}}},
	}))
	if len(subnets.Subnets) != 3 {
		t.Fatalf("%d public subnets", len(subnets.Subnets))
	}
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "app saw %s", r.URL.Path)
	}))
	defer app.Close()
	appPort := int32(app.Listener.Addr().(*net.TCPAddr).Port)

	b := c.balancer(t, "web")
	g := c.group(t, "app")
	must[*elb.RegisterTargetsOutput](t)(c.elb.RegisterTargets(ctx, &elb.RegisterTargetsInput{
		TargetGroupArn: &g, Targets: []elbtypes.TargetDescription{{Id: aws.String("127.0.0.1"), Port: &appPort}},
	}))
	l := c.listener(t, *b.LoadBalancerArn, notFound())
	c.rule(t, l, 1, path("/app", "/app/*"), forward(g))
	waitHealthy(t, c.elb, g)

	address, ok := c.Resolve(*b.DNSName)
	if !ok {
		t.Fatal("the name does not resolve")
	}
	for url, want := range map[string]string{"/app/x": "200 app saw /app/x", "/other": "404 "} {
		if got := get(t, fmt.Sprintf("http://%s:%d%s", address, listenPort, url)); got != want {
			t.Errorf("%s: got %q, want %q", url, got, want)
		}
	}
}

func get(t testing.TB, url string) string {
	t.Helper()
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(url)
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

func waitHealthy(t testing.TB, client *elb.Client, group string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		out := must[*elb.DescribeTargetHealthOutput](t)(client.DescribeTargetHealth(ctx, &elb.DescribeTargetHealthInput{TargetGroupArn: &group}))
		if len(out.TargetHealthDescriptions) > 0 && out.TargetHealthDescriptions[0].TargetHealth.State == elbtypes.TargetHealthStateEnumHealthy {
			return
		}
		<-tick.C
	}
}
