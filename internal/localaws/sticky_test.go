package localaws_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/sluicehq/sluice/internal/localaws"
	"github.com/sluicehq/sluice/internal/localaws/localawstest"
)

// TestStickiness: attributes that the data plane carries out are carried out, and a cookie is understood after a restart.
func TestStickiness(t *testing.T) {
	dir, pool := t.TempDir(), localawstest.Pool()
	same := localawstest.WithOptions(func(o *localaws.Options) { o.DataDir, o.AddressPool = dir, pool })
	c := start(t, localawstest.WithProxy(), same)
	g := c.group(t, "app")
	b := c.balancer(t, "web")
	l := c.listener(t, *b.LoadBalancerArn, forward(g))
	for _, name := range []string{"one", "two"} {
		app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, name) }))
		t.Cleanup(app.Close)
		must[*elb.RegisterTargetsOutput](t)(c.elb.RegisterTargets(t.Context(), &elb.RegisterTargetsInput{
			TargetGroupArn: &g,
			Targets:        []types.TargetDescription{{Id: aws.String("127.0.0.1"), Port: aws.Int32(int32(app.Listener.Addr().(*net.TCPAddr).Port))}},
		}))
	}
	must[*elb.ModifyTargetGroupAttributesOutput](t)(c.elb.ModifyTargetGroupAttributes(t.Context(), &elb.ModifyTargetGroupAttributesInput{
		TargetGroupArn: &g,
		Attributes:     []types.TargetGroupAttribute{{Key: aws.String("stickiness.enabled"), Value: aws.String("true")}},
	}))
	must[*elb.ModifyListenerAttributesOutput](t)(c.elb.ModifyListenerAttributes(t.Context(), &elb.ModifyListenerAttributesInput{
		ListenerArn: &l,
		Attributes:  []types.ListenerAttribute{{Key: aws.String("routing.http.response.x_frame_options.header_value"), Value: aws.String("DENY")}},
	}))
	waitHealthy(t, c.elb, g)
	address, _ := c.Resolve(*b.DNSName)
	url := fmt.Sprintf("http://%s:%d/", address, listenPort)

	first, cookies := ask(t, url, nil)
	if len(cookies) == 0 || cookies[0].Name != "AWSALB" {
		t.Fatalf("cookies %v", cookies)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	again := start(t, localawstest.WithProxy(), same)
	waitHealthy(t, again.elb, g)
	for range 4 {
		if got, _ := ask(t, url, cookies); got != first {
			t.Errorf("%s answers a client of %s", got, first)
		}
	}
}

func ask(t *testing.T, url string, cookies []*http.Cookie) (string, []*http.Cookie) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, cookie := range cookies {
		request.AddCookie(cookie)
	}
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK || response.Header.Get("X-Frame-Options") != "DENY" {
		t.Fatal(response.Status, response.Header, err)
	}
	return string(body), response.Cookies()
}

// TestAttributesThatRuleEachOtherOut are refused, whatever the order in which they come.
func TestAttributesThatRuleEachOtherOut(t *testing.T) {
	c := start(t)
	g := c.group(t, "app")
	for why, pairs := range map[string]map[string]string{
		"no cookie name":           {"stickiness.enabled": "true", "stickiness.type": "app_cookie"},
		"sticky and random":        {"stickiness.enabled": "true", "load_balancing.algorithm.type": "weighted_random"},
		"zones that stay too long": {"target_group_health.unhealthy_state_routing.minimum_healthy_targets.count": "2"},
		"slow start and not even":  {"slow_start.duration_seconds": "60", "load_balancing.algorithm.type": "least_outstanding_requests"},
	} {
		in := &elb.ModifyTargetGroupAttributesInput{TargetGroupArn: &g}
		for key, value := range pairs {
			in.Attributes = append(in.Attributes, types.TargetGroupAttribute{Key: &key, Value: &value})
		}
		if _, err := c.elb.ModifyTargetGroupAttributes(t.Context(), in); err == nil {
			t.Errorf("%s: accepted", why)
		}
	}
	health := map[string]string{
		"target_group_health.dns_failover.minimum_healthy_targets.count":                 "3",
		"target_group_health.unhealthy_state_routing.minimum_healthy_targets.count":      "2",
		"target_group_health.dns_failover.minimum_healthy_targets.percentage":            "80",
		"target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage": "50",
	}
	in := &elb.ModifyTargetGroupAttributesInput{TargetGroupArn: &g}
	for key, value := range health {
		in.Attributes = append(in.Attributes, types.TargetGroupAttribute{Key: &key, Value: &value})
	}
	must[*elb.ModifyTargetGroupAttributesOutput](t)(c.elb.ModifyTargetGroupAttributes(t.Context(), in))
	if got := c.Plane.Config().TargetGroups[0].Failover; got.Count != 2 || got.Percent != 50 {
		t.Errorf("thresholds in force: %+v", got)
	}
}
