package aws_test

import (
	"testing"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/shield"
	"github.com/aws/aws-sdk-go-v2/service/wafregional"
	regionaltypes "github.com/aws/aws-sdk-go-v2/service/wafregional/types"
	"github.com/aws/aws-sdk-go-v2/service/wafv2"
	waftypes "github.com/aws/aws-sdk-go-v2/service/wafv2/types"

	"github.com/sluicehq/sluice/internal/engine/enginetest"
	"github.com/sluicehq/sluice/internal/lb"
)

// protectedBy is a stack whose load balancer has these add-ons.
func protectedBy(a lb.AddOns) lb.Stack {
	stack := enginetest.Stack("web", two)
	stack.LoadBalancers[0].AddOns = a
	return stack
}

func (w *world) webACL(t testing.TB, name string) (arn string) {
	t.Helper()
	w.test(func() {
		out, err := wafv2.NewFromConfig(w.config).CreateWebACL(t.Context(), &wafv2.CreateWebACLInput{
			Name: &name, Scope: waftypes.ScopeRegional, DefaultAction: &waftypes.DefaultAction{Allow: &waftypes.AllowAction{}},
			VisibilityConfig: &waftypes.VisibilityConfig{MetricName: awssdk.String("m")},
		})
		check(t, err)
		arn = *out.Summary.ARN
	})
	return arn
}

// attached is the ARN of the web ACL of the load balancer.
func (w *world) attached(t testing.TB) (arn string) {
	t.Helper()
	w.test(func() {
		out, err := wafv2.NewFromConfig(w.config).GetWebACLForResource(t.Context(), &wafv2.GetWebACLForResourceInput{ResourceArn: w.only(t).LoadBalancerArn})
		check(t, err)
		if out.WebACL != nil {
			arn = *out.WebACL.ARN
		}
	})
	return arn
}

func TestWebACLs(t *testing.T) {
	w := newWorld(t)
	one, other := w.webACL(t, "one"), w.webACL(t, "other")
	e := w.load(t)
	for _, step := range []struct {
		name string
		acl  lb.WebACL
		want string
	}{
		{"by name, with the load balancer", lb.WebACL{Name: "one"}, one},
		{"another, by ARN", lb.WebACL{ID: other}, other},
		{"said no more", lb.WebACL{}, other},
		{"none", lb.WebACL{None: true}, ""},
		{"none again", lb.WebACL{None: true}, ""},
	} {
		done(t, apply(t, e, protectedBy(lb.AddOns{WebACL: step.acl})))
		if got := w.attached(t); got != step.want {
			t.Errorf("%s: %q is attached, want %q", step.name, got, step.want)
		}
		before := w.Calls()
		if p, _, err := e.Plan(t.Context(), protectedBy(lb.AddOns{WebACL: step.acl})); err != nil || !p.Empty() || w.Calls() != before {
			t.Errorf("%s: planned again: %v, %v, %d calls", step.name, p, err, w.Calls()-before)
		}
	}

	// What was taken away by hand comes back with an audit.
	done(t, apply(t, e, protectedBy(lb.AddOns{WebACL: lb.WebACL{ID: one}})))
	w.test(func() {
		_, err := wafv2.NewFromConfig(w.config).DisassociateWebACL(t.Context(), &wafv2.DisassociateWebACLInput{ResourceArn: w.only(t).LoadBalancerArn})
		check(t, err)
	})
	w.pass(time.Minute)
	if changed, err := e.Audit(t.Context()); err != nil || len(changed) != 1 {
		t.Errorf("the audit found %v, %v", changed, err)
	}
	done(t, apply(t, e, protectedBy(lb.AddOns{WebACL: lb.WebACL{ID: one}})))
	if got := w.attached(t); got != one {
		t.Errorf("%q is attached, want %q", got, one)
	}
}

// A load balancer that is there keeps the web ACL that it has; one that is not there must not be open without its own.
func TestAWebACLThatIsNotThere(t *testing.T) {
	w := newWorld(t)
	one := w.webACL(t, "one")
	e := w.load(t)
	missing := lb.AddOns{WebACL: lb.WebACL{Name: "missing", From: member("web"), Field: "annotation"}}
	p, verdicts, err := e.Plan(t.Context(), protectedBy(missing))
	if err != nil || !p.Empty() || len(verdicts) != 1 || verdicts[0].Severity != lb.Refused {
		t.Errorf("new: %v, %v, %v", p, verdicts, err)
	}
	done(t, apply(t, e, protectedBy(lb.AddOns{WebACL: lb.WebACL{Name: "one"}})))
	p, verdicts, err = e.Plan(t.Context(), protectedBy(missing))
	if err != nil || !p.Empty() || len(verdicts) != 1 || verdicts[0].Severity != lb.Partial || w.attached(t) != one {
		t.Errorf("there: %v, %v, %v", p, verdicts, err)
	}
	w.webACL(t, "missing")
	w.pass(time.Minute)
	done(t, apply(t, e, protectedBy(missing)))
	if w.attached(t) == one {
		t.Error("the web ACL was not looked for again")
	}
}

func TestClassicWebACLs(t *testing.T) {
	w := newWorld(t)
	client := wafregional.NewFromConfig(w.config)
	var id string
	w.test(func() {
		token, err := client.GetChangeToken(t.Context(), &wafregional.GetChangeTokenInput{})
		check(t, err)
		out, err := client.CreateWebACL(t.Context(), &wafregional.CreateWebACLInput{
			ChangeToken: token.ChangeToken, Name: awssdk.String("classic"), MetricName: awssdk.String("m"),
			DefaultAction: &regionaltypes.WafAction{Type: regionaltypes.WafActionTypeAllow},
		})
		check(t, err)
		id = *out.WebACL.WebACLId
	})
	e := w.load(t)
	for _, acl := range []lb.WebACL{{ID: id}, {None: true}} {
		done(t, apply(t, e, protectedBy(lb.AddOns{ClassicWebACL: acl})))
		w.test(func() {
			out, err := client.GetWebACLForResource(t.Context(), &wafregional.GetWebACLForResourceInput{ResourceArn: w.only(t).LoadBalancerArn})
			check(t, err)
			if acl.None != (out.WebACLSummary == nil) {
				t.Errorf("wanted %v, have %v", acl, out.WebACLSummary)
			}
		})
	}
}

func TestShield(t *testing.T) {
	w := newWorld(t)
	client := shield.NewFromConfig(w.config)
	e := w.load(t)
	on, off := protectedBy(lb.AddOns{Shield: lb.On}), protectedBy(lb.AddOns{Shield: lb.Off})
	p, verdicts, err := e.Plan(t.Context(), on)
	check(t, err)
	if len(verdicts) != 1 || verdicts[0].Reason != lb.NoSubscription || verdicts[0].Severity != lb.Warning {
		t.Errorf("without a subscription: %v", verdicts)
	}
	done(t, e.Apply(t.Context(), p))
	w.test(func() {
		_, err := client.CreateSubscription(t.Context(), &shield.CreateSubscriptionInput{})
		check(t, err)
	})
	w.pass(time.Minute)
	name := func() (name string) {
		w.test(func() {
			out, err := client.DescribeProtection(t.Context(), &shield.DescribeProtectionInput{ResourceArn: w.only(t).LoadBalancerArn})
			if err == nil {
				name = *out.Protection.Name
			}
		})
		return name
	}
	done(t, apply(t, e, on))
	if got := name(); got != "managed by aws-load-balancer-controller" {
		t.Errorf("protected by %q", got)
	}
	done(t, apply(t, w.load(t), off))
	if got := name(); got != "" {
		t.Errorf("still protected by %q", got)
	}
	w.test(func() {
		_, err := client.CreateProtection(t.Context(), &shield.CreateProtectionInput{Name: awssdk.String("by hand"), ResourceArn: w.only(t).LoadBalancerArn})
		check(t, err)
	})
	for _, want := range []lb.Stack{on, off} {
		done(t, apply(t, w.load(t), want))
		if got := name(); got != "by hand" {
			t.Errorf("protection that others made: %q", got)
		}
	}
}
