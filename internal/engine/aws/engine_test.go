package aws_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/google/go-cmp/cmp"

	"github.com/sluicehq/sluice/internal/engine/aws"
	"github.com/sluicehq/sluice/internal/engine/enginetest"
	"github.com/sluicehq/sluice/internal/lb"
	"github.com/sluicehq/sluice/internal/localaws"
	"github.com/sluicehq/sluice/internal/localaws/wire"
	"github.com/sluicehq/sluice/internal/plan"
)

func TestContract(t *testing.T) {
	enginetest.Run(t, func(t testing.TB) enginetest.World { return newWorld(t) })
}

// two is one listener with two rules and two target groups.
var two = enginetest.Shape{Rules: []enginetest.Path{{Path: "/a", Service: "app1"}, {Path: "/b", Service: "app2"}}}

func apply(t testing.TB, e *aws.Engine, want lb.Stack) plan.Result {
	t.Helper()
	p, verdicts, err := e.Plan(t.Context(), want)
	check(t, err)
	if len(verdicts) > 0 {
		t.Fatalf("verdicts %v", verdicts)
	}
	return e.Apply(t.Context(), p)
}

func done(t testing.TB, r plan.Result) {
	t.Helper()
	if status, _ := r.Status(); status != plan.Done {
		t.Fatalf("ended as %s: %v", status, r.Err())
	}
}

// calls are the calls that do makes, by operation.
func (w *world) calls(do func()) map[string]int {
	before := w.Server.Calls()
	do()
	made := w.Server.Calls()
	for operation, n := range before {
		if made[operation] -= n; made[operation] == 0 {
			delete(made, operation)
		}
	}
	return made
}

func TestNoCallIsMadeThatIsNotNeeded(t *testing.T) {
	w := newWorld(t)
	e := w.load(t)
	done(t, apply(t, e, enginetest.Stack("first", two))) // makes the backend security group, reads the VPC
	moved := two
	moved.Rules = []enginetest.Path{two.Rules[1], two.Rules[0]}
	edited := moved
	edited.Rules = []enginetest.Path{{Path: "/x", Service: "app2"}, two.Rules[0]}
	longer := edited
	longer.Rules = append(slices.Clone(edited.Rules), enginetest.Path{Path: "/c", Service: "app1"})
	opened := longer
	opened.CIDRs = []string{"10.0.0.0/8", "172.16.0.0/12"}
	for _, step := range []struct {
		name string
		want lb.Stack
		made map[string]int
	}{
		{"a new stack", enginetest.Stack("web", two), map[string]int{
			"ec2:CreateSecurityGroup": 1, "ec2:AuthorizeSecurityGroupIngress": 1,
			"elasticloadbalancing:CreateLoadBalancer": 1, "elasticloadbalancing:CreateTargetGroup": 2,
			"elasticloadbalancing:CreateListener": 1, "elasticloadbalancing:CreateRule": 2,
		}},
		{"nothing", enginetest.Stack("web", two), map[string]int{}},
		{"two rules swapped", enginetest.Stack("web", moved), map[string]int{"elasticloadbalancing:SetRulePriorities": 1}},
		{"one path edited", enginetest.Stack("web", edited), map[string]int{"elasticloadbalancing:ModifyRule": 1}},
		{"one path added", enginetest.Stack("web", longer), map[string]int{"elasticloadbalancing:CreateRule": 1}},
		{"sources changed", enginetest.Stack("web", opened), map[string]int{
			"ec2:AuthorizeSecurityGroupIngress": 1, "ec2:RevokeSecurityGroupIngress": 1,
		}},
		{"deletion", lb.Stack{ID: "default/web"}, map[string]int{
			"elasticloadbalancing:DeleteLoadBalancer": 1, "elasticloadbalancing:DeleteTargetGroup": 2, "ec2:DeleteSecurityGroup": 1,
		}},
	} {
		made := w.calls(func() { done(t, apply(t, e, step.want)) })
		if diff := cmp.Diff(step.made, made); diff != "" {
			t.Errorf("%s (-needed +made):\n%s", step.name, diff)
		}
	}
}

func TestRestartReadsInBulk(t *testing.T) {
	const stacks = 50
	w := newWorld(t)
	check(t, w.SetQuota("application-load-balancers", 2*stacks))
	e := w.load(t)
	for i := range stacks {
		done(t, apply(t, e, enginetest.Stack(fmt.Sprintf("web%d", i), two)))
	}
	var restarted *aws.Engine
	made := w.calls(func() { restarted = w.load(t) })
	want := map[string]int{
		"tagging:GetResources": 3, "elasticloadbalancing:DescribeLoadBalancers": 1, "elasticloadbalancing:DescribeTargetGroups": 1,
		"elasticloadbalancing:DescribeListeners": 3, "elasticloadbalancing:DescribeRules": 5, "ec2:DescribeSecurityGroups": 1, "ec2:DescribeVpcs": 1,
	}
	if diff := cmp.Diff(want, made); diff != "" {
		t.Errorf("restart (-needed +made):\n%s", diff)
	}
	w.Fail(func(c localaws.Call) *localaws.Fault {
		if c.Operation != "tagging:GetResources" {
			return nil
		}
		return &localaws.Fault{Error: wire.Errorf("AccessDeniedException", "not allowed")}
	})
	var listed *aws.Engine
	made = w.calls(func() { listed = w.load(t) })
	t.Logf("restart with %d stacks without the tag API: %v", stacks, made)
	for name, e := range map[string]*aws.Engine{"tag API": restarted, "listing": listed} {
		made := w.calls(func() {
			for i := range stacks {
				p, _, err := e.Plan(t.Context(), enginetest.Stack(fmt.Sprintf("web%d", i), two))
				check(t, err)
				if !p.Empty() {
					t.Fatalf("%s: web%d has a plan after a restart", name, i)
				}
			}
		})
		if len(made) > 0 {
			t.Errorf("%s: planning unchanged stacks made calls: %v", name, made)
		}
	}
}

func TestForeignThingsSurviveWithoutTheTagAPIToo(t *testing.T) {
	w := newWorld(t)
	w.PlantForeign(t)
	before := w.Contents(t)
	w.Fail(func(c localaws.Call) *localaws.Fault {
		if c.Operation != "tagging:GetResources" {
			return nil
		}
		return &localaws.Fault{Error: wire.Errorf("AccessDeniedException", "not allowed")}
	})
	if got := w.load(t).Stacks(); len(got) > 0 {
		t.Errorf("taken for ours: %v", got)
	}
	done(t, apply(t, w.load(t), enginetest.Stack("web", two)))
	done(t, apply(t, w.load(t), lb.Stack{ID: "default/web"}))
	if diff := cmp.Diff(before, w.Contents(t)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestDriftIsFoundByAnAuditAndMended(t *testing.T) {
	w := newWorld(t)
	e := w.load(t)
	web, other := enginetest.Stack("web", two), enginetest.Stack("other", two)
	done(t, apply(t, e, web))
	done(t, apply(t, e, other))
	want := w.Contents(t)
	w.test(func() {
		groups, err := w.elb.DescribeTargetGroups(t.Context(), &elb.DescribeTargetGroupsInput{Names: []string{web.TargetGroups[0].Name}})
		check(t, err)
		_, err = w.elb.ModifyTargetGroup(t.Context(), &elb.ModifyTargetGroupInput{
			TargetGroupArn: groups.TargetGroups[0].TargetGroupArn, HealthCheckPath: awssdk.String("/drifted"),
		})
		check(t, err)
		b := w.balancer(t, web.LoadBalancers[0].Name)
		_, err = w.elb.RemoveTags(t.Context(), &elb.RemoveTagsInput{ResourceArns: []string{*b.LoadBalancerArn}, TagKeys: []string{"team"}})
		check(t, err)
		listeners, err := w.elb.DescribeListeners(t.Context(), &elb.DescribeListenersInput{LoadBalancerArn: b.LoadBalancerArn})
		check(t, err)
		rules, err := w.elb.DescribeRules(t.Context(), &elb.DescribeRulesInput{ListenerArn: listeners.Listeners[0].ListenerArn})
		check(t, err)
		i := slices.IndexFunc(rules.Rules, func(r elbtypes.Rule) bool { return *r.Priority == "1" })
		_, err = w.elb.DeleteRule(t.Context(), &elb.DeleteRuleInput{RuleArn: rules.Rules[i].RuleArn})
		check(t, err)
	})
	if changed, err := e.Audit(t.Context()); err != nil || len(changed) > 0 {
		t.Errorf("an audit right after a change believed AWS more than the engine: %v, %v", changed, err)
	}
	w.pass(time.Minute)
	changed, err := e.Audit(t.Context())
	check(t, err)
	if !slices.Equal(changed, []lb.StackID{web.ID}) {
		t.Errorf("audit found changes in %v, want %v", changed, web.ID)
	}
	done(t, apply(t, e, web))
	if diff := cmp.Diff(want, w.Contents(t)); diff != "" {
		t.Errorf("after mending (-want +got):\n%s", diff)
	}
}

// What was deleted by hand is found by the first call that needs it; no audit has to come first.
func TestWhatIsGoneIsMadeAgain(t *testing.T) {
	changed := enginetest.Stack("web", enginetest.Shape{
		Tag: "green", Health: "/h", CIDRs: []string{"10.0.0.0/8"},
		Rules: []enginetest.Path{{Path: "/b", Service: "app2"}, {Path: "/c", Service: "app1"}},
	})
	fresh := newWorld(t)
	done(t, apply(t, fresh.load(t), changed))
	for name, destroy := range map[string]func(w *world){
		"load balancer": func(w *world) { w.deleteBalancer(t) },
		"listener": func(w *world) {
			_, err := w.elb.DeleteListener(t.Context(), &elb.DeleteListenerInput{ListenerArn: w.listener(t)})
			check(t, err)
		},
		"rules": func(w *world) {
			rules, err := w.elb.DescribeRules(t.Context(), &elb.DescribeRulesInput{ListenerArn: w.listener(t)})
			check(t, err)
			for _, r := range rules.Rules {
				if !awssdk.ToBool(r.IsDefault) {
					_, err := w.elb.DeleteRule(t.Context(), &elb.DeleteRuleInput{RuleArn: r.RuleArn})
					check(t, err)
				}
			}
		},
		"everything": func(w *world) {
			w.deleteBalancer(t)
			groups, err := w.elb.DescribeTargetGroups(t.Context(), &elb.DescribeTargetGroupsInput{})
			check(t, err)
			for _, g := range groups.TargetGroups {
				_, err := w.elb.DeleteTargetGroup(t.Context(), &elb.DeleteTargetGroupInput{TargetGroupArn: g.TargetGroupArn})
				check(t, err)
			}
			security, err := w.ec2.DescribeSecurityGroups(t.Context(), &ec2.DescribeSecurityGroupsInput{})
			check(t, err)
			for _, g := range security.SecurityGroups {
				if strings.HasPrefix(*g.GroupName, "k8s-") {
					_, err := w.ec2.DeleteSecurityGroup(t.Context(), &ec2.DeleteSecurityGroupInput{GroupId: g.GroupId})
					check(t, err)
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			e := w.load(t)
			done(t, apply(t, e, enginetest.Stack("web", two)))
			w.test(func() { destroy(w) })
			var last error
			for range 6 {
				r := apply(t, e, changed)
				if last = r.Err(); last == nil {
					break
				}
				if status, _ := r.Status(); status != plan.Retry {
					t.Fatalf("ended as %s: %v", status, last)
				}
			}
			check(t, last)
			if diff := cmp.Diff(fresh.Contents(t), w.Contents(t)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestForeignThingsInTheWayAreNamed(t *testing.T) {
	want := enginetest.Stack("web", two)
	want.LoadBalancers[0].Name = "taken"
	for name, plant := range map[string]func(w *world){
		"the name is taken by a load balancer": func(w *world) {
			_, err := w.elb.CreateLoadBalancer(t.Context(), &elb.CreateLoadBalancerInput{Name: awssdk.String("taken"), Subnets: w.public})
			check(t, err)
		},
		"the name is taken by a target group": func(w *world) {
			_, err := w.elb.CreateTargetGroup(t.Context(), &elb.CreateTargetGroupInput{
				Name: awssdk.String(want.TargetGroups[0].Name), Protocol: elbtypes.ProtocolEnumHttp, Port: awssdk.Int32(1), VpcId: awssdk.String(w.vpc),
			})
			check(t, err)
		},
		"the name is taken by a security group": func(w *world) {
			_, err := w.ec2.CreateSecurityGroup(t.Context(), &ec2.CreateSecurityGroupInput{
				GroupName: awssdk.String(want.SecurityGroups[0].Name), Description: awssdk.String("x"), VpcId: awssdk.String(w.vpc),
			})
			check(t, err)
		},
	} {
		w := newWorld(t)
		e := w.load(t)
		w.test(func() { plant(w) })
		r := apply(t, e, want)
		status, _ := r.Status()
		verdicts := r.Verdicts()
		if status != plan.Blocked || len(verdicts) != 1 || !strings.Contains(verdicts[0].Problem, name) || verdicts[0].Fix == "" {
			t.Errorf("%s: ended as %s with %v; %v", name, status, verdicts, r.Err())
		}
	}
}

func TestAForeignRuleKeepsItsPriority(t *testing.T) {
	w := newWorld(t)
	e := w.load(t)
	done(t, apply(t, e, enginetest.Stack("web", enginetest.Shape{Rules: two.Rules[:1]})))
	w.test(func() {
		_, err := w.elb.CreateRule(t.Context(), &elb.CreateRuleInput{
			ListenerArn: w.listener(t), Priority: awssdk.Int32(2),
			Conditions: []elbtypes.RuleCondition{{Field: awssdk.String("path-pattern"), Values: []string{"/foreign"}}},
			Actions: []elbtypes.Action{{Type: elbtypes.ActionTypeEnumFixedResponse, FixedResponseConfig: &elbtypes.FixedResponseActionConfig{
				StatusCode: awssdk.String("200"),
			}}},
		})
		check(t, err)
	})
	want := enginetest.Stack("web", two)
	if status, _ := apply(t, e, want).Status(); status != plan.Retry {
		t.Errorf("the first try ended as %s", status)
	}
	done(t, apply(t, e, want))
	w.pass(time.Minute)
	if changed, err := e.Audit(t.Context()); err != nil || len(changed) > 0 {
		t.Errorf("audit: %v, %v", changed, err)
	}
	p, _, err := e.Plan(t.Context(), want)
	check(t, err)
	got := w.Contents(t)
	if !p.Empty() || !strings.Contains(got, "/00002 [path-pattern/foreign]") || !strings.Contains(got, "/00003 [path-pattern/b]") {
		t.Errorf("plan %v, contents\n%s", p.Steps, got)
	}
}

func TestAttributes(t *testing.T) {
	w := newWorld(t)
	e := w.load(t)
	web := enginetest.Stack("web", two)
	web.LoadBalancers[0].Attributes = []lb.Attribute{{Key: "idle_timeout.timeout_seconds", Value: "30"}}
	done(t, apply(t, e, web))
	e = w.load(t)
	read := w.calls(func() { done(t, apply(t, e, web)) })
	if diff := cmp.Diff(map[string]int{"elasticloadbalancing:DescribeLoadBalancerAttributes": 1}, without(read, "ec2:")); diff != "" {
		t.Errorf("after a restart only attributes that somebody wants are read, once: %s", diff)
	}

	// What is taken out stays, and what others change is put back.
	done(t, apply(t, e, enginetest.Stack("web", two)))
	web.LoadBalancers[0].Attributes = append(web.LoadBalancers[0].Attributes, lb.Attribute{Key: "routing.http2.enabled", Value: "false"})
	changed := w.calls(func() { done(t, apply(t, e, web)) })
	if diff := cmp.Diff(map[string]int{"elasticloadbalancing:ModifyLoadBalancerAttributes": 1}, changed); diff != "" {
		t.Error(diff)
	}
	w.test(func() {
		_, err := w.elb.ModifyLoadBalancerAttributes(t.Context(), &elb.ModifyLoadBalancerAttributesInput{
			LoadBalancerArn: w.only(t).LoadBalancerArn,
			Attributes:      []elbtypes.LoadBalancerAttribute{{Key: awssdk.String("idle_timeout.timeout_seconds"), Value: awssdk.String("99")}},
		})
		check(t, err)
	})
	drifted, err := e.Audit(t.Context())
	check(t, err)
	if !slices.Equal(drifted, []lb.StackID{web.ID}) {
		t.Errorf("an audit found %v", drifted)
	}
	done(t, apply(t, e, web))
	if got := w.Contents(t); !strings.Contains(got, "idle_timeout.timeout_seconds=30") || !strings.Contains(got, "routing.http2.enabled=false") {
		t.Error(got)
	}
}

// without leaves out calls of a service.
func without(calls map[string]int, service string) map[string]int {
	maps.DeleteFunc(calls, func(operation string, _ int) bool { return strings.HasPrefix(operation, service) })
	return calls
}

func TestProtectedLoadBalancersAreDeleted(t *testing.T) {
	w := newWorld(t)
	e := w.load(t)
	before := w.Contents(t)
	web := enginetest.Stack("web", two)
	done(t, apply(t, e, web))
	w.test(func() {
		_, err := w.elb.ModifyLoadBalancerAttributes(t.Context(), &elb.ModifyLoadBalancerAttributesInput{
			LoadBalancerArn: w.balancer(t, web.LoadBalancers[0].Name).LoadBalancerArn,
			Attributes:      []elbtypes.LoadBalancerAttribute{{Key: awssdk.String("deletion_protection.enabled"), Value: awssdk.String("true")}},
		})
		check(t, err)
	})
	done(t, apply(t, e, lb.Stack{ID: web.ID}))
	if diff := cmp.Diff(before, w.Contents(t)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSubnetsThatAreNotThereAreTheUsersToMend(t *testing.T) {
	w := newWorld(t)
	e := w.load(t)
	want := enginetest.Stack("web", two)
	done(t, apply(t, e, want))
	want.LoadBalancers[0].Subnets = lb.SubnetSelection{
		IDsOrNames: []string{w.public[0], "nowhere"}, From: want.Members[0], Field: "metadata.annotations[subnets]",
	}
	p, verdicts, err := e.Plan(t.Context(), want)
	check(t, err)
	if !p.Empty() || len(verdicts) != 1 || verdicts[0].Value != "nowhere" || verdicts[0].Severity != lb.Partial {
		t.Errorf("plan %v, verdicts %v", p.Steps, verdicts)
	}
	alone := enginetest.Stack("alone", two)
	alone.LoadBalancers[0].Subnets = want.LoadBalancers[0].Subnets
	if p, verdicts, err = e.Plan(t.Context(), alone); err != nil || !p.Empty() || len(verdicts) != 1 || verdicts[0].Severity != lb.Refused {
		t.Errorf("plan %v, verdicts %v, %v", p.Steps, verdicts, err)
	}
	want.LoadBalancers[0].Subnets.IDsOrNames = w.public[:2]
	made := w.calls(func() { done(t, apply(t, e, want)) })
	if diff := cmp.Diff(map[string]int{"elasticloadbalancing:SetSubnets": 1}, made); diff != "" {
		t.Errorf("(-needed +made):\n%s", diff)
	}
}

// What one member of a group names and AWS does not have costs the others nothing, neither at the beginning nor later.
func TestWhatOneMemberNamesInVainCostsTheOthersNothing(t *testing.T) {
	w := newWorld(t)
	e := w.load(t)
	bad := lb.Object{Kind: "Ingress", Namespace: "default", Name: "bad"}
	group := func(shape enginetest.Shape) lb.Stack {
		want := enginetest.Stack("web", shape)
		want.Members = append(want.Members, bad)
		want.LoadBalancers[0].Subnets = lb.SubnetSelection{IDsOrNames: []string{"nowhere"}, From: bad, Field: "metadata.annotations[subnets]"}
		return want
	}
	more := two
	more.Rules = append(slices.Clone(two.Rules), enginetest.Path{Path: "/more", Service: "app1"})
	for _, shape := range []enginetest.Shape{two, more} {
		want := group(shape)
		p, verdicts, err := e.Plan(t.Context(), want)
		check(t, err)
		if p.Empty() || len(verdicts) != 1 || verdicts[0].Object != bad || verdicts[0].Severity != lb.Partial {
			t.Errorf("plan %v, verdicts %v", p.Steps, verdicts)
		}
		done(t, e.Apply(t.Context(), p))
		if got := len(w.listenerRules(t)); got != len(shape.Rules) {
			t.Errorf("%d rules, want %d", got, len(shape.Rules))
		}
	}
	want := group(two)
	want.LoadBalancers[0].Subnets = lb.SubnetSelection{}
	want.SecurityGroups, want.LoadBalancers[0].SecurityGroups = nil, []lb.SecurityGroupRef{{Backend: true}}
	done(t, apply(t, e, want))
	want = group(more)
	want.LoadBalancers[0].Subnets = lb.SubnetSelection{}
	want.SecurityGroups, want.LoadBalancers[0].SecurityGroups = nil, []lb.SecurityGroupRef{{Named: "nobody's"}}
	p, verdicts, err := e.Plan(t.Context(), want)
	check(t, err)
	if len(verdicts) != 2 || verdicts[0].Severity != lb.Partial || verdicts[0].Value != "nobody's" {
		t.Errorf("verdicts %v", verdicts)
	}
	done(t, e.Apply(t.Context(), p))
	if got := len(w.listenerRules(t)); got != len(more.Rules) {
		t.Errorf("%d rules, want %d", got, len(more.Rules))
	}
}

func TestALoadBalancerBecomesActive(t *testing.T) {
	w := newSlowWorld(t, time.Minute)
	e := w.load(t)
	web := enginetest.Stack("web", two)
	done(t, apply(t, e, web))
	look := func() (changed []lb.StackID) {
		changed, err := e.Provisioning(t.Context())
		check(t, err)
		return changed
	}
	if changed := look(); len(changed) > 0 || e.Observe(web.ID).LoadBalancers[0].Active {
		t.Errorf("active at once: %v, %+v", changed, e.Observe(web.ID))
	}
	w.pass(2 * time.Minute)
	if changed := look(); !slices.Equal(changed, []lb.StackID{web.ID}) || !e.Observe(web.ID).LoadBalancers[0].Active {
		t.Errorf("not active after its time: %v, %+v", changed, e.Observe(web.ID))
	}
	if made := w.calls(func() { look() }); len(made) > 0 {
		t.Errorf("looked again although all are active: %v", made)
	}
}

func TestNothingIsPlannedBeforeTheFirstLoad(t *testing.T) {
	e, err := aws.New(aws.Options{Cluster: "demo", Region: "x", VPCID: "vpc-1"})
	check(t, err)
	if _, _, err := e.Plan(context.Background(), lb.Stack{ID: "a/b"}); err == nil {
		t.Error("a plan was made from nothing")
	}
	for _, o := range []aws.Options{{}, {Cluster: "demo"}, {Cluster: "demo", VPCID: "vpc-1"}} {
		if _, err := aws.New(o); err == nil {
			t.Errorf("New(%+v) has no error", maps.Keys(map[string]any{"cluster": o.Cluster, "vpc": o.VPCID}))
		}
	}
}

// What a test does by hand.

func (w *world) balancer(t testing.TB, name string) elbtypes.LoadBalancer {
	out, err := w.elb.DescribeLoadBalancers(t.Context(), &elb.DescribeLoadBalancersInput{Names: []string{name}})
	check(t, err)
	return out.LoadBalancers[0]
}

// only is the one load balancer there is.
func (w *world) only(t testing.TB) elbtypes.LoadBalancer {
	out, err := w.elb.DescribeLoadBalancers(t.Context(), &elb.DescribeLoadBalancersInput{})
	check(t, err)
	return out.LoadBalancers[0]
}

func (w *world) deleteBalancer(t testing.TB) {
	_, err := w.elb.DeleteLoadBalancer(t.Context(), &elb.DeleteLoadBalancerInput{LoadBalancerArn: w.only(t).LoadBalancerArn})
	check(t, err)
}

// listener is the ARN of the first listener of the one load balancer.
func (w *world) listener(t testing.TB) *string {
	out, err := w.elb.DescribeListeners(t.Context(), &elb.DescribeListenersInput{LoadBalancerArn: w.only(t).LoadBalancerArn})
	check(t, err)
	return out.Listeners[0].ListenerArn
}
