package localaws_test

import (
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"

	"github.com/sluicehq/sluice/internal/localaws/localawstest"
)

// TestNothingLeaks makes and deletes 1,000 load balancers that are open and have a target group with a target each. Neither
// goroutines nor file descriptors may be left of them.
func TestNothingLeaks(t *testing.T) {
	c := start(t, localawstest.WithProxy())
	ctx := t.Context()
	cycle := func(n int) {
		for range n {
			arn := *c.balancer(t, "web").LoadBalancerArn
			group := c.group(t, "app")
			c.listener(t, arn, forward(group))
			must[*elb.DeleteLoadBalancerOutput](t)(c.elb.DeleteLoadBalancer(ctx, &elb.DeleteLoadBalancerInput{LoadBalancerArn: aws.String(arn)}))
			must[*elb.DeleteTargetGroupOutput](t)(c.elb.DeleteTargetGroup(ctx, &elb.DeleteTargetGroupInput{TargetGroupArn: &group}))
		}
	}
	cycle(10) // what is made once is there
	goroutines, files := runtime.NumGoroutine(), openFiles(t)
	cycle(1000)
	// What is closed may take a moment to be gone.
	const slack = 3
	deadline := time.Now().Add(5 * time.Second)
	for runtime.NumGoroutine() > goroutines+slack && time.Now().Before(deadline) {
		time.Sleep(10 * time.Millisecond)
	}
	if got := runtime.NumGoroutine(); got > goroutines+slack {
		t.Errorf("%d goroutines before, %d after", goroutines, got)
	}
	if got := openFiles(t); got > files+slack {
		t.Errorf("%d open files before, %d after", files, got)
	}
}

// openFiles counts the descriptors of this process where the system shows them (Linux), and is 0 elsewhere.
func openFiles(t *testing.T) int {
	t.Helper()
	if runtime.GOOS != "linux" {
		return 0
	}
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}
