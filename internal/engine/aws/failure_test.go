package aws_test

import (
	"strings"
	"testing"
	"time"

	"github.com/sluicehq/sluice/internal/engine/enginetest"
	"github.com/sluicehq/sluice/internal/lb"
	"github.com/sluicehq/sluice/internal/localaws"
	"github.com/sluicehq/sluice/internal/localaws/wire"
	"github.com/sluicehq/sluice/internal/plan"
)

func TestAnswersOfAWSBecomeOutcomes(t *testing.T) {
	for _, c := range []struct {
		operation, code string
		times           int
		status          plan.Status
		reason          lb.Reason
		says            string
	}{
		{"elasticloadbalancing:CreateLoadBalancer", "TooManyLoadBalancers", 99, plan.Blocked, lb.QuotaExceeded, "Application Load Balancers per Region"},
		{"elasticloadbalancing:CreateRule", "TooManyRules", 99, plan.Blocked, lb.QuotaExceeded, "Rules per Application Load Balancer"},
		{"ec2:AuthorizeSecurityGroupIngress", "RulesPerSecurityGroupLimitExceeded", 99, plan.Blocked, lb.QuotaExceeded, "rules per security group"},
		{"elasticloadbalancing:CreateTargetGroup", "AccessDenied", 99, plan.Blocked, lb.CloudRefused, "elasticloadbalancing:CreateTargetGroup"},
		{"ec2:CreateSecurityGroup", "UnauthorizedOperation", 99, plan.Blocked, lb.CloudRefused, "ec2:CreateSecurityGroup"},
		{"elasticloadbalancing:CreateRule", "ValidationError", 99, plan.Blocked, lb.CloudRefused, "words of AWS"},
		{"elasticloadbalancing:CreateListener", "Throttling", 1, plan.Retry, "", ""},
		{"elasticloadbalancing:CreateRule", "ListenerNotFound", 3, plan.Done, "", ""},
	} {
		w := newWorld(t)
		e := w.load(t)
		left := c.times
		w.Fail(func(call localaws.Call) *localaws.Fault {
			if call.Operation != c.operation || left == 0 {
				return nil
			}
			left--
			return &localaws.Fault{Error: wire.Errorf(c.code, "the words of AWS")}
		})
		r := apply(t, e, enginetest.Stack("web", two))
		status, _ := r.Status()
		verdicts := r.Verdicts()
		if status != c.status {
			t.Errorf("%s %s: ended as %s, want %s: %v", c.operation, c.code, status, c.status, r.Err())
		}
		if c.reason == "" {
			continue
		}
		if len(verdicts) == 0 || verdicts[0].Reason != c.reason || !strings.Contains(verdicts[0].Message(), c.says) || verdicts[0].Object.Name != "web" {
			t.Errorf("%s %s: verdicts %v", c.operation, c.code, verdicts)
		}
	}
}

func TestWaitsAreBounded(t *testing.T) {
	w := newWorld(t)
	e := w.load(t)
	done(t, apply(t, e, enginetest.Stack("web", two)))
	left := map[string]int{"ec2:DeleteSecurityGroup": 3, "elasticloadbalancing:DeleteTargetGroup": 3}
	codes := map[string]string{"ec2:DeleteSecurityGroup": "DependencyViolation", "elasticloadbalancing:DeleteTargetGroup": "ResourceInUse"}
	w.Fail(func(c localaws.Call) *localaws.Fault {
		if left[c.Operation]--; left[c.Operation] < 0 {
			return nil
		}
		return &localaws.Fault{Error: wire.Errorf(codes[c.Operation], "in use")}
	})
	done(t, apply(t, e, lb.Stack{ID: "default/web"}))

	w = newWorld(t)
	e = w.load(t)
	done(t, apply(t, e, enginetest.Stack("web", two)))
	w.Fail(func(c localaws.Call) *localaws.Fault {
		if code := codes[c.Operation]; code == "DependencyViolation" {
			return &localaws.Fault{Error: wire.Errorf(code, "in use")}
		}
		return nil
	})
	r := apply(t, e, lb.Stack{ID: "default/web"})
	if status, after := r.Status(); status != plan.Later || after <= 0 {
		t.Errorf("ended as %s, %s: %v", status, after, r.Err())
	}
	if slept := time.Duration(w.slept.Load()); slept > 3*time.Minute {
		t.Errorf("waited %s", slept)
	}
	w.Fail(nil)
	done(t, apply(t, e, lb.Stack{ID: "default/web"}))
}
