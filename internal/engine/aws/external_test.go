package aws_test

import (
	"strings"
	"testing"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/sluicehq/sluice/internal/engine/enginetest"
	"github.com/sluicehq/sluice/internal/lb"
	"github.com/sluicehq/sluice/internal/plan"
)

// forwarding is a stack whose only rule forwards to a target group that others made.
func forwarding(group lb.WeightedTargetGroup) lb.Stack {
	stack := enginetest.Stack("web", enginetest.Shape{Rules: []enginetest.Path{{Path: "/a", Service: ""}}})
	group.Weight = 1
	stack.LoadBalancers[0].Listeners[0].Rules[0].Action = lb.Action{Forward: &lb.Forward{TargetGroups: []lb.WeightedTargetGroup{group}}}
	return stack
}

func TestTargetGroupsThatOthersMade(t *testing.T) {
	w := newWorld(t)
	e := w.load(t)
	named := forwarding(lb.WeightedTargetGroup{Name: "theirs"})
	p, verdicts, err := e.Plan(t.Context(), named)
	check(t, err)
	if len(verdicts) != 1 || verdicts[0].Severity != lb.Partial || verdicts[0].Value != "theirs" {
		t.Errorf("verdicts %v", verdicts)
	}
	done(t, e.Apply(t.Context(), p))
	if made := w.calls(func() { _, _, _ = e.Plan(t.Context(), named) }); len(made) > 0 {
		t.Errorf("it is looked for again at once: %v", made)
	}

	var arn string
	w.test(func() {
		out, err := w.elb.CreateTargetGroup(t.Context(), &elb.CreateTargetGroupInput{
			Name: awssdk.String("theirs"), Protocol: elbtypes.ProtocolEnumHttp, Port: awssdk.Int32(80), VpcId: &w.vpc, TargetType: elbtypes.TargetTypeEnumIp,
		})
		check(t, err)
		arn = *out.TargetGroups[0].TargetGroupArn
	})
	w.pass(time.Minute)
	done(t, apply(t, e, named))
	if got := w.Contents(t); !strings.Contains(got, "forward theirs*1") {
		t.Error(got)
	}
	for _, same := range []lb.Stack{named, forwarding(lb.WeightedTargetGroup{ARN: arn})} {
		p, _, err := e.Plan(t.Context(), same)
		check(t, err)
		if !p.Empty() {
			t.Errorf("plan %v", p.Steps)
		}
	}
	done(t, apply(t, e, lb.Stack{ID: named.ID}))
	if got := w.Contents(t); !strings.Contains(got, "theirs") {
		t.Error("what others made was deleted")
	}

	r := apply(t, e, forwarding(lb.WeightedTargetGroup{ARN: strings.Replace(arn, "theirs", "nobodys", 1)}))
	if status, _ := r.Status(); status != plan.Blocked || !strings.Contains(r.Verdicts()[0].Message(), "no such target group") {
		t.Errorf("%s %v", status, r.Verdicts())
	}
}

// Whether the target group is there or not: who has no token gets nowhere.
func TestTokensAreAskedForBeforeTargetGroupsThatOthersMade(t *testing.T) {
	w := newWorld(t)
	e := w.load(t)
	stack := enginetest.Stack("web", enginetest.Shape{Secured: enginetest.Hosts[:1], Rules: []enginetest.Path{{Path: "/a"}}})
	listeners := stack.LoadBalancers[0].Listeners
	listeners[1].Rules[0].Action = lb.Action{
		Tokens:  &lb.Tokens{Keys: "https://issuer.example.com/keys", Issuer: "https://issuer.example.com"},
		Forward: &lb.Forward{TargetGroups: []lb.WeightedTargetGroup{{Name: "theirs", Weight: 1}}},
	}
	for _, then := range []string{"fixed-response 503", "forward theirs*1"} {
		p, _, err := e.Plan(t.Context(), stack)
		check(t, err)
		done(t, e.Apply(t.Context(), p))
		if got := w.Contents(t); !strings.Contains(got, "jwt-validation https://issuer.example.com https://issuer.example.com/keys 0;"+then) {
			t.Errorf("no token, then %s, in:\n%s", then, got)
		}
		w.test(func() {
			_, err := w.elb.CreateTargetGroup(t.Context(), &elb.CreateTargetGroupInput{
				Name: awssdk.String("theirs"), Protocol: elbtypes.ProtocolEnumHttp, Port: awssdk.Int32(80), VpcId: &w.vpc, TargetType: elbtypes.TargetTypeEnumIp,
			})
			check(t, err)
		})
		w.pass(time.Minute)
	}
}
