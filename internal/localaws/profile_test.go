package localaws_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/acm"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/aws/aws-sdk-go-v2/service/route53"

	"github.com/sluicehq/sluice/internal/localaws"
	"github.com/sluicehq/sluice/internal/localaws/localawstest"
)

// local calls an admin endpoint and returns status and body.
func (c *clients) local(t testing.TB, method, path, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, c.Endpoint+"/_local/"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func (c *clients) state(t testing.TB, arn string) elbtypes.LoadBalancerStateEnum {
	t.Helper()
	return must[*elb.DescribeLoadBalancersOutput](t)(c.elb.DescribeLoadBalancers(t.Context(), &elb.DescribeLoadBalancersInput{LoadBalancerArns: []string{arn}})).LoadBalancers[0].State.Code
}

// TestProvisioning: a load balancer opens its listeners when it is active, and not before.
func TestProvisioning(t *testing.T) {
	clock := localawstest.NewClock()
	c := start(t, localawstest.WithClock(clock), localawstest.WithOptions(func(o *localaws.Options) { o.Profile.Provisioning = 2 * time.Minute }))
	arn := *c.balancer(t, "web").LoadBalancerArn
	c.listener(t, arn, notFound())
	clock.Advance(time.Minute)
	if got := c.state(t, arn); got != elbtypes.LoadBalancerStateEnumProvisioning || len(c.Plane.Config().LoadBalancers) != 0 {
		t.Errorf("after a minute: %s, served: %d", got, len(c.Plane.Config().LoadBalancers))
	}
	clock.Advance(time.Minute)
	if got := c.state(t, arn); got != elbtypes.LoadBalancerStateEnumActive || len(c.Plane.Config().LoadBalancers) != 1 {
		t.Errorf("after two minutes: %s, served: %d", got, len(c.Plane.Config().LoadBalancers))
	}
	if clock.Waiting() != 0 {
		t.Error("a timer is left")
	}
}

// TestRuleChanges: a change of rules is in force within the window, all changes made meanwhile at once, and a target
// group that the old rules use serves until then, even when it is deleted.
func TestRuleChanges(t *testing.T) {
	clock := localawstest.NewClock()
	c := start(t, localawstest.WithClock(clock), localawstest.WithOptions(func(o *localaws.Options) { o.Profile.RuleChanges = 10 * time.Second }))
	old, fresh := c.group(t, "old"), c.group(t, "fresh")
	listener := c.listener(t, *c.balancer(t, "web").LoadBalancerArn, forward(old))
	serves := func() (group string, rules int) {
		l := c.Plane.Config().LoadBalancers[0].Listeners[0]
		return string(l.Default.Forward.TargetGroups[0].ID), len(l.Rules)
	}
	if group, _ := serves(); group != old {
		t.Fatal("a new listener does not serve at once")
	}
	must[*elb.ModifyListenerOutput](t)(c.elb.ModifyListener(t.Context(), &elb.ModifyListenerInput{ListenerArn: &listener, DefaultActions: forward(fresh)}))
	must[*elb.DeleteTargetGroupOutput](t)(c.elb.DeleteTargetGroup(t.Context(), &elb.DeleteTargetGroupInput{TargetGroupArn: &old}))
	c.rule(t, listener, 1, path("/x"), notFound())
	if group, rules := serves(); group != old || rules != 0 || len(c.Plane.Config().TargetGroups) != 2 {
		t.Errorf("a change is in force at once: %s, %d rules, %d groups", group, rules, len(c.Plane.Config().TargetGroups))
	}
	clock.Advance(10 * time.Second)
	if group, rules := serves(); group != fresh || rules != 1 || len(c.Plane.Config().TargetGroups) != 1 {
		t.Errorf("after the window: %s, %d rules, %d groups", group, rules, len(c.Plane.Config().TargetGroups))
	}
	if clock.Waiting() != 0 {
		t.Error("a timer is left")
	}
	c.rule(t, listener, 2, path("/y"), notFound())
	if err := c.SetProfile(localaws.Profile{}); err != nil {
		t.Fatal(err)
	}
	if _, rules := serves(); rules != 2 {
		t.Error("a change still waits in the profile fast")
	}
}

// TestThrottling: each bucket lets its burst pass and then its rate, in the words of its service.
func TestThrottling(t *testing.T) {
	clock := localawstest.NewClock()
	c := start(t, localawstest.WithClock(clock), localawstest.WithOptions(func(o *localaws.Options) { o.Profile.Throttling = true }))
	names := route53.NewFromConfig(c.Config)
	certificates := acm.NewFromConfig(c.Config)
	ctx := t.Context()
	group := c.group(t, "g")
	clock.Advance(time.Minute)
	register := func() error {
		_, err := c.elb.RegisterTargets(ctx, &elb.RegisterTargetsInput{TargetGroupArn: &group, Targets: []elbtypes.TargetDescription{{Id: aws.String("192.168.97.5")}}})
		return err
	}
	describe := func() error {
		_, err := c.elb.DescribeTargetGroups(ctx, &elb.DescribeTargetGroupsInput{})
		return err
	}
	createLB := func() error {
		_, err := c.elb.CreateLoadBalancer(ctx, &elb.CreateLoadBalancerInput{Name: aws.String("no-subnets")})
		return err
	}
	instances := func() error {
		_, err := c.ec2.DescribeInstances(ctx, &ec2.DescribeInstancesInput{})
		return err
	}
	some := func() error {
		_, err := c.ec2.DescribeInstances(ctx, &ec2.DescribeInstancesInput{Filters: []ec2types.Filter{{Name: aws.String("vpc-id"), Values: []string{"vpc-1"}}}})
		return err
	}
	zones := func() error {
		_, err := names.ListHostedZones(ctx, &route53.ListHostedZonesInput{})
		return err
	}
	list := func() error {
		_, err := certificates.ListCertificates(ctx, &acm.ListCertificatesInput{})
		return err
	}
	for _, row := range []struct {
		name        string
		call        func() error
		burst       int
		refill      time.Duration // of one token
		code, words string
	}{
		{"registration", register, 20, 250 * time.Millisecond, "ThrottlingException", "Rate exceeded"},
		{"non-mutating", describe, 40, 100 * time.Millisecond, "ThrottlingException", "Rate exceeded"},
		{"resource-intensive", createLB, 10, 5 * time.Second, "ThrottlingException", "Rate exceeded"},
		{"EC2, unfiltered", instances, 50, 100 * time.Millisecond, "RequestLimitExceeded", "Request limit exceeded."},
		{"EC2, filtered", some, 100, 50 * time.Millisecond, "RequestLimitExceeded", "Request limit exceeded."},
		{"Route 53", zones, 50, 100 * time.Millisecond, "Throttling", "Rate exceeded"},
		{"ACM", list, 1, time.Second, "ThrottlingException", "Rate exceeded"},
	} {
		t.Run(row.name, func(t *testing.T) {
			clock.Advance(time.Hour) // all buckets are full
			throttled := func() bool {
				got := code(t, row.call())
				return got == row.code
			}
			for i := range row.burst {
				if throttled() {
					t.Fatalf("call %d of a burst of %d is throttled", i+1, row.burst)
				}
			}
			wants(t, row.call(), row.code, row.words)
			clock.Advance(row.refill - time.Millisecond)
			if !throttled() {
				t.Error("a call passes before there is a token")
			}
			clock.Advance(2 * time.Millisecond)
			if throttled() {
				t.Error("a call is throttled though there is a token")
			}
		})
	}
}

// TestSharedBucket: all of ELB share a bucket, so reading takes from writing.
func TestSharedBucket(t *testing.T) {
	clock := localawstest.NewClock()
	c := start(t, localawstest.WithClock(clock), localawstest.WithOptions(func(o *localaws.Options) {
		o.Profile = localaws.Profile{Throttling: true, Buckets: map[string]localaws.RateLimit{"elasticloadbalancing/account": {Rate: 1, Burst: 3}}}
	}))
	for range 3 {
		must[*elb.DescribeTargetGroupsOutput](t)(c.elb.DescribeTargetGroups(t.Context(), &elb.DescribeTargetGroupsInput{}))
	}
	_, err := c.elb.CreateTargetGroup(t.Context(), &elb.CreateTargetGroupInput{Name: aws.String("g"), Protocol: "HTTP", Port: aws.Int32(80), VpcId: aws.String(localawstest.VPC)})
	wants(t, err, "ThrottlingException", "Rate exceeded")
	clock.Advance(time.Second)
	c.group(t, "g")
}

// TestProfileEndpoint: the profile is seen and changed while local AWS runs, and what makes no sense is refused by name.
func TestProfileEndpoint(t *testing.T) {
	c := start(t)
	read := func(body string) map[string]any {
		var out map[string]any
		if err := json.NewDecoder(bytes.NewReader([]byte(body))).Decode(&out); err != nil {
			t.Fatal(err, body)
		}
		return out
	}
	_, body := c.local(t, http.MethodGet, "profile", "")
	if p := read(body); p["profile"] != "fast" || p["throttling"] != false || p["provisioning"] != "0s" {
		t.Error(body)
	}
	status, body := c.local(t, http.MethodPut, "profile", `{"profile": "faithful", "factor": 0.5, "ruleChanges": "1s", "strictTargets": false, "buckets": {"ec2/DescribeVpcs": {"rate": 1, "burst": 2}}}`)
	p := read(body)
	if status != http.StatusOK || p["provisioning"] != "1m0s" || p["ruleChanges"] != "1s" || p["throttling"] != true || p["strictTargets"] != false {
		t.Errorf("%d %s", status, body)
	}
	if got := c.Profile().Buckets; len(got) != 1 || got["ec2/DescribeVpcs"].Burst != 2 {
		t.Errorf("%+v", got)
	}
	// What was read can be put back.
	if status, again := c.local(t, http.MethodPut, "profile", body); status != http.StatusOK || again != body {
		t.Errorf("%d %s", status, again)
	}
	if got := c.state(t, *c.balancer(t, "slow").LoadBalancerArn); got != elbtypes.LoadBalancerStateEnumProvisioning {
		t.Error(got)
	}
	for body, words := range map[string]string{
		`{"profile": "slow"}`:                   `no profile \"slow\"`,
		`{"factor": -1}`:                        "factor -1",
		`{"provisioning": "soon"}`:              "provisioning",
		`{"provisioning": "-1s"}`:               "provisioning",
		`{"speed": 1}`:                          "speed",
		`{} {}`:                                 "more than one",
		`{"buckets": {"ec2/Fly": {"rate": 1}}}`: "ec2/Fly",
		`{"buckets": {"ec2/mutating": {"rate": -1, "burst": 0}}}`: "negative",
	} {
		if status, answer := c.local(t, http.MethodPut, "profile", body); status != http.StatusBadRequest || !strings.Contains(answer, words) {
			t.Errorf("%s: %d %s", body, status, answer)
		}
	}
	if got := c.Profile().Name; got != localaws.Faithful {
		t.Errorf("a refused profile is in force: %s", got)
	}
	if status, body := c.local(t, http.MethodPut, "profile", `{}`); status != http.StatusOK || read(body)["profile"] != "fast" {
		t.Errorf("%d %s", status, body)
	}
	if got := c.state(t, *c.balancer(t, "quick").LoadBalancerArn); got != elbtypes.LoadBalancerStateEnumActive {
		t.Error(got)
	}
}
