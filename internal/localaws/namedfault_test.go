package localaws_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/sluicehq/sluice/internal/localaws"
	"github.com/sluicehq/sluice/internal/localaws/localawstest"
)

// fault puts a fault by the admin endpoint.
func (c *clients) fault(t testing.TB, name, body string) {
	t.Helper()
	if status, answer := c.local(t, http.MethodPut, "faults/"+name, body); status != http.StatusOK {
		t.Fatalf("%d %s", status, answer)
	}
}

func (c *clients) groups(t testing.TB) (names []string) {
	t.Helper()
	out := must[*elb.DescribeTargetGroupsOutput](t)(c.elb.DescribeTargetGroups(t.Context(), &elb.DescribeTargetGroupsInput{}))
	for _, g := range out.TargetGroups {
		names = append(names, *g.TargetGroupName)
	}
	return names
}

func (c *clients) tryGroup(ctx context.Context, name string) error {
	_, err := c.elb.CreateTargetGroup(ctx, &elb.CreateTargetGroupInput{Name: &name, Protocol: "HTTP", Port: aws.Int32(80), VpcId: aws.String(localawstest.VPC)})
	return err
}

// TestNamedFaults: the n-th call fails with the code asked for, as often as asked for; faults are listed and removed, and
// putting one again starts it anew.
func TestNamedFaults(t *testing.T) {
	c := start(t)
	ctx := t.Context()
	create := func(name string) string { return code(t, c.tryGroup(ctx, name)) }
	body := `{"operation": "elasticloadbalancing:Create*", "effect": "error", "nth": 2, "times": 2, "code": "ServiceUnavailable", "message": "out to lunch", "status": 503}`
	c.fault(t, "lunch", body)
	for i, want := range []string{"", "ServiceUnavailable", "ServiceUnavailable", ""} {
		if got := create(fmt.Sprintf("g%d", i)); got != want {
			t.Errorf("call %d: %q, want %q", i+1, got, want)
		}
	}
	if got := c.groups(t); len(got) != 2 {
		t.Errorf("a failed call has changed something: %v", got)
	}
	c.fault(t, "lunch", body)
	c.fault(t, "busy", `{"operation": "ec2:*", "effect": "throttle", "times": 0}`)
	if got := create("again"); got != "" {
		t.Errorf("the fault does not count anew: %s", got)
	}
	for range 3 {
		_, err := c.ec2.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{})
		wants(t, err, "RequestLimitExceeded", "Request limit exceeded.")
	}
	var listed []localaws.NamedFault
	if _, answer := c.local(t, http.MethodGet, "faults", ""); json.Unmarshal([]byte(answer), &listed) != nil || len(listed) != 2 ||
		listed[0].Name != "busy" || listed[0].Struck != 3 || listed[1].Seen != 1 || listed[1].Struck != 0 {
		t.Errorf("%+v", listed)
	}
	if status, answer := c.local(t, http.MethodGet, "faults/busy", ""); status != http.StatusOK || !strings.Contains(answer, `"throttle"`) {
		t.Errorf("%d %s", status, answer)
	}
	for range 2 { // removing what is not there is no error
		if status, _ := c.local(t, http.MethodDelete, "faults/busy", ""); status != http.StatusNoContent {
			t.Error(status)
		}
	}
	if status, _ := c.local(t, http.MethodGet, "faults/busy", ""); status != http.StatusNotFound {
		t.Error(status)
	}
	must[*ec2.DescribeVpcsOutput](t)(c.ec2.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{}))
	if status, _ := c.local(t, http.MethodDelete, "faults", ""); status != http.StatusNoContent || len(c.Faults()) != 0 {
		t.Errorf("%d %v", status, c.Faults())
	}
}

// TestLostAnswers: an answer is lost before or after the call took effect, at once or after a long wait.
func TestLostAnswers(t *testing.T) {
	clock := localawstest.NewClock()
	c := start(t, localawstest.WithClock(clock))
	for name, row := range map[string]struct {
		body   string
		exists bool
	}{
		"drop":       {`{"operation": "*:CreateTargetGroup", "effect": "drop"}`, false},
		"drop-after": {`{"operation": "*:CreateTargetGroup", "effect": "drop", "after": true}`, true},
		"hang":       {`{"operation": "*:CreateTargetGroup", "effect": "hang", "for": "5m"}`, false},
		"hang-after": {`{"operation": "*:CreateTargetGroup", "effect": "hang", "for": "5m", "after": true}`, true},
	} {
		t.Run(name, func(t *testing.T) {
			c.fault(t, "f", row.body)
			done := make(chan error, 1)
			go func() { done <- c.tryGroup(t.Context(), name) }()
			if strings.HasPrefix(name, "hang") {
				for clock.Waiting() == 0 {
					select {
					case err := <-done:
						t.Fatalf("an answer came: %v", err)
					case <-time.After(time.Millisecond):
					}
				}
				clock.Advance(5 * time.Minute)
			}
			if err := <-done; err == nil {
				t.Error("an answer came")
			}
			if got := slices.Contains(c.groups(t), name); got != row.exists {
				t.Errorf("took effect: %t", got)
			}
		})
	}
	// Whoever does not want to wait is not held, and neither is the end of local AWS.
	c.fault(t, "f", `{"operation": "*", "effect": "hang", "for": "1h", "times": 0}`)
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := c.tryGroup(short, "gone"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.tryGroup(t.Context(), "waits") }()
	for clock.Waiting() == 0 {
		time.Sleep(time.Millisecond)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; err == nil {
		t.Error("an answer came")
	}
}

// TestStaleReads: reads answer the state of a while ago, and see each change when that time has passed.
func TestStaleReads(t *testing.T) {
	clock := localawstest.NewClock()
	c := start(t, localawstest.WithClock(clock))
	c.group(t, "before")
	c.fault(t, "late", `{"operation": "elasticloadbalancing:Describe*", "effect": "stale", "for": "10s"}`)
	arn := c.group(t, "after")
	sees := func(want string) {
		t.Helper()
		if got := strings.Join(c.groups(t), " "); got != want {
			t.Errorf("reads see %q, want %q", got, want)
		}
	}
	sees("before")
	_, err := c.elb.DescribeTargetHealth(t.Context(), &elb.DescribeTargetHealthInput{TargetGroupArn: &arn})
	wants(t, err, "TargetGroupNotFound", "after")
	clock.Advance(6 * time.Second)
	must[*elb.DeleteTargetGroupOutput](t)(c.elb.DeleteTargetGroup(t.Context(), &elb.DeleteTargetGroupInput{TargetGroupArn: &arn}))
	clock.Advance(4 * time.Second)
	sees("before after")
	must[*elb.DescribeTargetHealthOutput](t)(c.elb.DescribeTargetHealth(t.Context(), &elb.DescribeTargetHealthInput{TargetGroupArn: &arn}))
	wants(t, func() error {
		_, err := c.elb.RegisterTargets(t.Context(), &elb.RegisterTargetsInput{TargetGroupArn: &arn, Targets: []elbtypes.TargetDescription{{Id: aws.String("192.168.97.5")}}})
		return err
	}(), "TargetGroupNotFound", "after") // writes see what is
	clock.Advance(6 * time.Second)
	sees("before")
	c.group(t, "third")
	if _, answer := c.local(t, http.MethodDelete, "faults/late", ""); answer != "" {
		t.Error(answer)
	}
	sees("before third")
}

func TestFaultsRefused(t *testing.T) {
	c := start(t)
	for body, words := range map[string]string{
		`{"effect": "error", "code": "X"}`:                                  "operation",
		`{"effect": "error", "operation": "CreateRule", "code": "X"}`:       "operation",
		`{"effect": "error", "operation": "*"}`:                             "code",
		`{"effect": "error", "operation": "*", "code": "X", "status": 200}`: "200",
		`{"effect": "boom", "operation": "*"}`:                              "boom",
		`{"effect": "hang", "operation": "*", "for": "ages"}`:               "ages",
		`{"effect": "drop", "operation": "*", "for": "1s"}`:                 "for",
		`{"effect": "drop", "operation": "*", "nth": -1}`:                   "nth",
		`{"effect": "drop", "operation": "*", "zone": "ap-northeast-1a"}`:   "zone",
		`{"effect": "dark", "zone": "ap-northeast-1b"}`:                     "ap-northeast-1b",
		`{"effect": "dark", "zone": "ap-northeast-1a", "operation": "*"}`:   "dark",
		`{"effect": "drop", "operation": "*", "colour": "blue"}`:            "colour",
		`[]`: "array",
		`{"effect": "drop", "operation": "*", "x": "` + strings.Repeat("x", 70<<10) + `"}`: "too large",
	} {
		if status, answer := c.local(t, http.MethodPut, "faults/f", body); status != http.StatusBadRequest || !strings.Contains(answer, words) {
			t.Errorf("%.80s: %d %s", body, status, answer)
		}
	}
	if status, _ := c.local(t, http.MethodPut, "faults/-", `{"effect": "drop", "operation": "*"}`); status != http.StatusBadRequest {
		t.Error(status)
	}
	if got := c.Faults(); len(got) != 0 {
		t.Errorf("%+v", got)
	}
}

// TestDarkZone: targets in a zone that is dark do not answer, and do again when there is light.
func TestDarkZone(t *testing.T) {
	c := start(t, localawstest.WithProxy())
	app := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer app.Close()
	port := int32(app.Listener.Addr().(*net.TCPAddr).Port)
	group := c.group(t, "g")
	b := c.balancer(t, "web")
	c.listener(t, *b.LoadBalancerArn, forward(group))
	must[*elb.RegisterTargetsOutput](t)(c.elb.RegisterTargets(t.Context(), &elb.RegisterTargetsInput{
		TargetGroupArn: &group, Targets: []elbtypes.TargetDescription{{Id: aws.String("127.0.0.1"), Port: &port, AvailabilityZone: &localawstest.Zones[1]}},
	}))
	waitHealthy(t, c.elb, group)
	c.fault(t, "lights-out", `{"effect": "dark", "zone": "`+localawstest.Zones[1]+`"}`)
	short, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	address, _ := c.Resolve(*b.DNSName)
	url := fmt.Sprintf("http://%s:%d/", address, listenPort)
	r, err := http.NewRequestWithContext(short, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := http.DefaultClient.Do(r); !errors.Is(err, context.DeadlineExceeded) {
		if err == nil {
			resp.Body.Close()
		}
		t.Errorf("in the dark: %v", err)
	}
	if err := c.RemoveFault("lights-out"); err != nil {
		t.Fatal(err)
	}
	if got := get(t, url); !strings.HasPrefix(got, "200 ") {
		t.Error(got)
	}
}
