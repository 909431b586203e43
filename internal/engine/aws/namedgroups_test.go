package aws_test

import (
	"strings"
	"testing"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/sluicehq/sluice/internal/engine/enginetest"
	"github.com/sluicehq/sluice/internal/lb"
	"github.com/sluicehq/sluice/internal/plan"
)

func TestSecurityGroupsThatOthersMade(t *testing.T) {
	w := newWorld(t)
	e := w.load(t)
	managed := enginetest.Stack("web", two)
	done(t, apply(t, e, managed))
	secured := func(refs ...lb.SecurityGroupRef) lb.Stack {
		want := enginetest.Stack("web", two)
		want.SecurityGroups, want.LoadBalancers[0].SecurityGroups = nil, refs
		return want
	}
	named := secured(lb.SecurityGroupRef{Named: "theirs"})
	_, verdicts, err := e.Plan(t.Context(), named)
	check(t, err)
	if len(verdicts) != 1 || verdicts[0].Severity != lb.Refused || verdicts[0].Value != "theirs" {
		t.Errorf("verdicts %v", verdicts)
	}

	var id string
	w.test(func() {
		out, err := w.ec2.CreateSecurityGroup(t.Context(), &ec2.CreateSecurityGroupInput{
			GroupName: awssdk.String("by-others"), Description: awssdk.String("theirs"), VpcId: &w.vpc,
			TagSpecifications: []ec2types.TagSpecification{{
				ResourceType: ec2types.ResourceTypeSecurityGroup, Tags: []ec2types.Tag{{Key: awssdk.String("Name"), Value: awssdk.String("theirs")}},
			}},
		})
		check(t, err)
		id = *out.GroupId
	})
	w.pass(time.Minute)
	for _, step := range []struct {
		want lb.Stack
		has  string
	}{
		{named, "[by-others]"},
		{secured(lb.SecurityGroupRef{Named: id}, lb.SecurityGroupRef{Backend: true}), "[by-others k8s-traffic-"},
		{managed, "[k8s-default-web-"},
		{named, "[by-others]"},
	} {
		done(t, apply(t, e, step.want))
		if p, _, err := e.Plan(t.Context(), step.want); err != nil || !p.Empty() {
			t.Error(p.Steps, err)
		}
		if got := w.Contents(t); !strings.Contains(got, step.has) {
			t.Errorf("no %s in\n%s", step.has, got)
		}
	}
	r := apply(t, e, secured(lb.SecurityGroupRef{Named: "sg-00000000000000000"}))
	if status, _ := r.Status(); status != plan.Blocked || !strings.Contains(r.Verdicts()[0].Message(), "no such security group") {
		t.Errorf("%s %v", status, r.Err())
	}
	done(t, apply(t, e, lb.Stack{ID: managed.ID}))
	if got := w.Contents(t); !strings.Contains(got, "sg by-others") || strings.Contains(got, "k8s-") {
		t.Error(got)
	}
}
