package aws_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/sluicehq/sluice/internal/engine/aws"
	"github.com/sluicehq/sluice/internal/engine/enginetest"
	"github.com/sluicehq/sluice/internal/lb"
)

// from is a shape with that many sources.
func from(n int) enginetest.Shape {
	shape := two
	for i := range n {
		shape.CIDRs = append(shape.CIDRs, fmt.Sprintf("10.%d.%d.0/24", i/200, i%200))
	}
	return shape
}

// ruleCounts are the numbers of rules of the stack's security groups in AWS, by name; all of them are on the one load
// balancer, with the backend security group.
func (w *world) ruleCounts(t testing.TB) map[string]int {
	counts := map[string]int{}
	w.test(func() {
		groups, err := w.ec2.DescribeSecurityGroups(t.Context(), &ec2.DescribeSecurityGroupsInput{})
		check(t, err)
		for _, g := range groups.SecurityGroups {
			for _, tag := range g.Tags {
				if *tag.Key != "ingress.k8s.aws/resource" {
					continue
				}
				counts[*tag.Value] = 0
				for _, p := range g.IpPermissions {
					counts[*tag.Value] += len(p.IpRanges)
				}
			}
		}
		if on := len(w.only(t).SecurityGroups) - 1; on != len(counts) {
			t.Errorf("the load balancer has %d of them", on)
		}
	})
	return counts
}

// Rules that are too many for a security group are spread over several, and come together again when they are fewer.
func TestManySourcesAreSpreadOverSecurityGroups(t *testing.T) {
	w := newWorld(t)
	e := w.load(t)
	const first, second, third = "ManagedLBSecurityGroup", "ManagedLBSecurityGroup-2", "ManagedLBSecurityGroup-3"
	for _, step := range []struct {
		sources int
		want    map[string]int
	}{
		{60, map[string]int{first: 60}},
		{61, map[string]int{first: 60, second: 1}},
		{150, map[string]int{first: 60, second: 60, third: 30}},
		{119, map[string]int{first: 60, second: 59}},
		{60, map[string]int{first: 60}},
		{3, map[string]int{first: 3}},
	} {
		want := enginetest.Stack("web", from(step.sources))
		done(t, apply(t, e, want))
		if diff := cmp.Diff(step.want, w.ruleCounts(t)); diff != "" {
			t.Errorf("%d sources (-want +got):\n%s", step.sources, diff)
		}
		for name, e := range map[string]*aws.Engine{"again": e, "after a restart": w.load(t)} {
			p, verdicts, err := e.Plan(t.Context(), want)
			if err != nil || len(verdicts) > 0 || !p.Empty() {
				t.Errorf("%d sources, %s: %v %v %v", step.sources, name, p.Steps, verdicts, err)
			}
		}
	}
	done(t, apply(t, e, lb.Stack{ID: "default/web"}))
}

// A rule stays in the security group that has it while others come and go.
func TestRulesDoNotMoveBetweenSecurityGroups(t *testing.T) {
	w := newWorld(t)
	e := w.load(t)
	done(t, apply(t, e, enginetest.Stack("web", from(100))))
	shape := from(100)
	shape.CIDRs = append(shape.CIDRs[1:], "192.168.0.0/16") // one goes from the first group, which has room then
	made := w.calls(func() { done(t, apply(t, e, enginetest.Stack("web", shape))) })
	if diff := cmp.Diff(map[string]int{"ec2:AuthorizeSecurityGroupIngress": 1, "ec2:RevokeSecurityGroupIngress": 1}, made); diff != "" {
		t.Errorf("(-needed +made):\n%s", diff)
	}
}
