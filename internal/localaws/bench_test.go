package localaws_test

import (
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/sluicehq/sluice/internal/localaws"
	"github.com/sluicehq/sluice/internal/localaws/localawstest"
)

// BenchmarkCreate makes a target group and a rule each time, saved to disk.
func BenchmarkCreate(b *testing.B) {
	dir := b.TempDir()
	c := start(b, localawstest.WithOptions(func(o *localaws.Options) {
		o.DataDir = dir
		o.Quotas = map[string]int{
			"target-groups": 1 << 20, "rules-per-application-load-balancer": 1 << 20,
			"target-groups-per-application-load-balancer": 1 << 20,
		}
	}))
	l := c.listener(b, *c.balancer(b, "web").LoadBalancerArn, notFound())
	for i := 0; b.Loop(); i++ {
		g := c.group(b, fmt.Sprintf("g%d", i))
		c.rule(b, l, int32(i+1), path(fmt.Sprintf("/%d", i)), forward(g))
	}
}

// BenchmarkTargetHealth describes a thousand targets.
func BenchmarkTargetHealth(b *testing.B) {
	c := start(b)
	g := c.group(b, "g")
	in := &elb.RegisterTargetsInput{TargetGroupArn: &g}
	for i := range 1000 {
		in.Targets = append(in.Targets, elbtypes.TargetDescription{Id: aws.String("192.168.97.5"), Port: aws.Int32(int32(i + 1))})
	}
	must[*elb.RegisterTargetsOutput](b)(c.elb.RegisterTargets(b.Context(), in))
	for b.Loop() {
		must[*elb.DescribeTargetHealthOutput](b)(c.elb.DescribeTargetHealth(b.Context(), &elb.DescribeTargetHealthInput{TargetGroupArn: &g}))
	}
}
