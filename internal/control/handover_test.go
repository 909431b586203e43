package control

import (
	"slices"
	"testing"
	"time"

	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"

	elbv2api "github.com/sluicehq/sluice/api/elbv2/v1beta1"
	"github.com/sluicehq/sluice/internal/lb"
	"github.com/sluicehq/sluice/internal/plan"
)

// The status names the old load balancer until the targets of the new one are healthy. Both are fed until the old goes.
func TestAStatusMovesWhenTheNewLoadBalancerServes(t *testing.T) {
	w := newWorld(t)
	const shop = lb.StackID("default/shop")
	w.ingress("shop", "", "web")
	w.sync()
	address := func() string { return w.get("shop").Status.LoadBalancer.Ingress[0].Hostname }
	before := address()

	w.ingress("shop", "alb.ingress.kubernetes.io/scheme: internet-facing", "web")
	w.snapshots.changed()
	if end := w.workStack(w.ctx, shop); end.status != plan.Later {
		t.Errorf("ended as %v", end)
	}
	if got := address(); got != before {
		t.Errorf("the status names %s, whose targets are not healthy yet", got)
	}
	w.expect("bindings while both serve", w.bindingsOf(shop), []string{"web", "web"})

	w.sync()
	w.ahead += time.Minute
	w.sync()
	after := address()
	if after == before {
		t.Error("the status still names the old load balancer")
	}
	w.expect("bindings while names follow", w.bindingsOf(shop), []string{"web", "web"})
	if fed := w.fed(); !slices.Equal(fed, []int{2, 2}) {
		t.Errorf("targets of the target groups: %v", fed)
	}
	w.ahead += 3 * time.Minute
	w.sync()
	w.expect("bindings at the end", w.bindingsOf(shop), []string{"web"})
	if fed := w.fed(); !slices.Equal(fed, []int{2}) || address() != after {
		t.Errorf("targets of the target groups: %v, the status names %s", fed, address())
	}
	w.start()
	w.calls()
	w.sync()
	if calls := w.calls(); slices.ContainsFunc(calls, changes) {
		t.Errorf("a restart makes calls %v", calls)
	}
}

// fed are the numbers of targets of each target group in AWS that a binding is for.
func (w *world) fed() []int {
	client := elb.NewFromConfig(w.aws.Config)
	var bindings elbv2api.TargetGroupBindingList
	w.check(w.kube.List(w.ctx, &bindings))
	var counts []int
	for _, b := range bindings.Items {
		out, err := client.DescribeTargetHealth(w.ctx, &elb.DescribeTargetHealthInput{TargetGroupArn: &b.Spec.TargetGroupARN})
		w.check(err)
		counts = append(counts, len(out.TargetHealthDescriptions))
	}
	return counts
}
