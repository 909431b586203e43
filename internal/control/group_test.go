package control

import (
	"slices"
	"strings"
	"testing"

	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/google/go-cmp/cmp"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"

	elbv2api "github.com/sluicehq/sluice/api/elbv2/v1beta1"
	"github.com/sluicehq/sluice/internal/lb"
	"github.com/sluicehq/sluice/internal/localaws/localawstest"
	"github.com/sluicehq/sluice/internal/plan"
)

const inEdge = "alb.ingress.kubernetes.io/group.name: edge"

// services are the names of the Services that a group's bindings are for, sorted.
func (w *world) bindingsOf(id lb.StackID) []string {
	w.Helper()
	var list elbv2api.TargetGroupBindingList
	w.check(w.kube.List(w.ctx, &list))
	var services []string
	for i := range list.Items {
		if stack, ok := stackOfBinding(&list.Items[i]); ok && stack == id {
			services = append(services, list.Items[i].Spec.ServiceRef.Name)
		}
	}
	slices.Sort(services)
	return services
}

// rules are the paths of the rules that AWS has on the only load balancer, by priority.
func (w *world) rules() []string {
	w.Helper()
	client := elb.NewFromConfig(w.aws.Config)
	balancers, err := client.DescribeLoadBalancers(w.ctx, &elb.DescribeLoadBalancersInput{})
	w.check(err)
	listeners, err := client.DescribeListeners(w.ctx, &elb.DescribeListenersInput{LoadBalancerArn: balancers.LoadBalancers[0].LoadBalancerArn})
	w.check(err)
	var out []string
	for _, l := range listeners.Listeners {
		rules, err := client.DescribeRules(w.ctx, &elb.DescribeRulesInput{ListenerArn: l.ListenerArn})
		w.check(err)
		for _, r := range rules.Rules {
			for _, c := range r.Conditions {
				out = append(out, strings.Join(c.Values, ","))
			}
		}
	}
	w.aws.ResetCalls()
	return out
}

func TestAGroupSharesALoadBalancer(t *testing.T) {
	w := newWorld(t)
	w.apply("api", "apiVersion: v1\nkind: Service\nmetadata: {name: api}\nspec: {type: NodePort, ports: [{port: 80, nodePort: 30081}]}\n")
	w.ingress("shop", inEdge, "web")
	w.ingress("blog", inEdge, "api")
	if ended := w.sync(); ended["edge"] != plan.Done {
		t.Fatal(ended, w.events())
	}
	if diff := cmp.Diff([]lb.StackID{"edge"}, w.engine.Stacks()); diff != "" {
		t.Error(diff)
	}
	for _, name := range []string{"shop", "blog"} {
		i := w.get(name)
		if diff := cmp.Diff([]string{"group.ingress.k8s.aws/edge"}, i.Finalizers); diff != "" || len(i.Status.LoadBalancer.Ingress) != 1 {
			t.Errorf("%s: %s, status %v", name, diff, i.Status)
		}
	}
	if diff := cmp.Diff([]string{"api", "web"}, w.bindingsOf("edge")); diff != "" {
		t.Error(diff)
	}
	w.events()

	// One goes: the other stays as it is.
	w.remove("blog")
	w.sync()
	if diff := cmp.Diff([]string{"web"}, w.bindingsOf("edge")); diff != "" {
		t.Error(diff)
	}
	if err := w.kube.Get(w.ctx, types.NamespacedName{Namespace: "default", Name: "blog"}, &networkingv1.Ingress{}); err == nil {
		t.Error("blog is still there")
	}

	// The last one moves out: it has a load balancer of its own, and the group nothing.
	w.ingress("shop", "", "web")
	w.sync()
	if diff := cmp.Diff([]lb.StackID{"default/shop"}, w.engine.Stacks()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"ingress.k8s.aws/resources"}, w.get("shop").Finalizers); diff != "" {
		t.Error(diff)
	}
}

func TestABadMemberStopsNobody(t *testing.T) {
	w := newWorld(t)
	w.ingress("bad", inEdge, "web")
	w.ingress("good", inEdge, "web")
	w.sync()
	before := w.rules()
	w.events()
	w.calls()

	w.ingress("bad", inEdge+`, alb.ingress.kubernetes.io/inbound-cidrs: nonsense`, "web")
	if ended := w.sync(); ended["edge"] != plan.Blocked {
		t.Error(ended)
	}
	if calls := w.calls(); len(calls) > 0 {
		t.Errorf("the bad member did not keep what it has: %v", calls)
	}
	if events := w.events(); len(events) != 1 || !strings.HasPrefix(events[0], "Warning InvalidAnnotation bad: ") {
		t.Errorf("events %q", events)
	}

	// Others come and go.
	w.ingress("new", inEdge, "web")
	w.sync()
	if diff := cmp.Diff([]string{before[0], before[1], "/new,/new/*"}, w.rules()); diff != "" {
		t.Error(diff)
	}
	w.ingress("worse", inEdge+", alb.ingress.kubernetes.io/scheme: public", "web")
	w.remove("good")
	w.sync()
	if diff := cmp.Diff([]string{before[0], "/new,/new/*"}, w.rules()); diff != "" {
		t.Error(diff)
	}
	if len(w.get("worse").Finalizers) > 0 || len(w.get("worse").Status.LoadBalancer.Ingress) > 0 {
		t.Error("who was never served is no member")
	}

	// Mended, and deleted.
	w.ingress("bad", inEdge, "web")
	w.remove("worse")
	if ended := w.sync(); ended["edge"] != plan.Done {
		t.Error(ended)
	}
	w.ingress("bad", inEdge+", alb.ingress.kubernetes.io/scheme: public", "web")
	w.sync()
	w.remove("bad")
	w.remove("new")
	w.sync()
	if left := w.engine.Stacks(); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

func TestDeletionProtection(t *testing.T) {
	w := newWorld(t)
	const protected = `alb.ingress.kubernetes.io/load-balancer-attributes: deletion_protection.enabled=true`
	w.ingress("shop", inEdge+", "+protected, "web")
	w.ingress("blog", inEdge, "web")
	w.sync()
	w.events()

	// The load balancer serves somebody else too: the Ingress can go.
	w.remove("shop")
	w.sync()
	if err := w.kube.Get(w.ctx, types.NamespacedName{Namespace: "default", Name: "shop"}, &networkingv1.Ingress{}); err == nil {
		t.Error("shop is still there")
	}
	w.ingress("blog", inEdge+", "+protected, "web")
	w.sync()
	w.events()
	w.calls()

	// It would go with the last one.
	w.remove("blog")
	if ended := w.sync(); ended["edge"] != plan.Blocked {
		t.Error(ended)
	}
	if calls := w.calls(); len(calls) > 0 {
		t.Errorf("calls %v", calls)
	}
	if events := w.events(); len(events) != 1 || !strings.HasPrefix(events[0], "Warning DeletionProtected blog: ") {
		t.Errorf("events %q", events)
	}
	blog := w.get("blog")
	blog.Annotations["alb.ingress.kubernetes.io/load-balancer-attributes"] = "deletion_protection.enabled=false"
	w.check(w.kube.Update(w.ctx, blog))
	w.sync()
	if left := w.engine.Stacks(); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

// After a restart nobody remembers what a bad member was like when it was good, but AWS still has it.
func TestABadMemberStopsNobodyAfterARestart(t *testing.T) {
	w := newWorld(t)
	w.apply("api", "apiVersion: v1\nkind: Service\nmetadata: {name: api}\nspec: {type: NodePort, ports: [{port: 80, nodePort: 30081}]}\n")
	w.ingress("bad", inEdge+", alb.ingress.kubernetes.io/scheme: internet-facing", "web")
	w.ingress("good", inEdge, "api")
	w.ingress("other", inEdge, "api")
	w.sync()
	before := w.rules()
	w.ingress("bad", inEdge+", alb.ingress.kubernetes.io/scheme: public", "web")
	w.start()
	w.calls()
	w.sync()
	for _, call := range w.calls() {
		if !strings.Contains(call, ":Describe") {
			t.Errorf("a restart calls %s", call)
		}
	}

	w.ingress("another", inEdge, "api")
	w.remove("good")
	if ended := w.sync(); ended["edge"] != plan.Blocked {
		t.Error(ended, w.events())
	}
	if diff := cmp.Diff([]string{"/another,/another/*", before[0], before[2]}, w.rules()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"api", "api", "web"}, w.bindingsOf("edge")); diff != "" {
		t.Error(diff)
	}
	if len(w.get("another").Status.LoadBalancer.Ingress) == 0 {
		t.Error("a new member has no address")
	}

	w.ingress("bad", inEdge+", alb.ingress.kubernetes.io/scheme: internet-facing", "web")
	if ended := w.sync(); ended["edge"] != plan.Done {
		t.Error(ended)
	}
	w.ingress("bad", inEdge+", alb.ingress.kubernetes.io/scheme: public", "web")
	w.start()
	w.sync()
	w.remove("bad") // and with it the scheme: the load balancer is replaced
	w.sync()
	if diff := cmp.Diff([]string{"api", "api", "api", "api", "web"}, w.bindingsOf("edge")); diff != "" {
		t.Error(diff)
	}
	w.followed()
	if diff := cmp.Diff([]string{"api", "api"}, w.bindingsOf("edge")); diff != "" {
		t.Error(diff)
	}
}

func TestWhereTargetsAreOpenedFrom(t *testing.T) {
	w := newWorld(t)
	source := func() string {
		w.ingress("shop", "", "web")
		w.sync()
		var list elbv2api.TargetGroupBindingList
		w.check(w.kube.List(w.ctx, &list))
		if n := list.Items[0].Spec.Networking; n != nil {
			return n.Ingress[0].From[0].SecurityGroup.GroupID
		}
		return ""
	}
	if got, backend := source(), w.engine.Observe("default/shop").BackendSecurityGroup; got != backend || backend == "" {
		t.Errorf("from %q, and the backend security group is %q", got, backend)
	}
	w.options.Compile.NoBackendSecurityGroup = true
	if got, managed := source(), w.engine.Observe("default/shop").SecurityGroups[lb.ManagedSecurityGroupID]; got != managed || managed == "" {
		t.Errorf("from %q, and the managed security group is %q", got, managed)
	}
	w.options.Compile.NoBackendSecurityGroup = false
	w.options.Compile.BackendSecurityGroup = localawstest.NodeGroup
	if got := source(); got != localawstest.NodeGroup {
		t.Errorf("from %q", got)
	}
	w.ingress("shop", "alb.ingress.kubernetes.io/security-groups: "+localawstest.NodeGroup, "web")
	w.sync()
	var list elbv2api.TargetGroupBindingList
	w.check(w.kube.List(w.ctx, &list))
	if list.Items[0].Spec.Networking != nil {
		t.Error("security groups by annotation open nothing")
	}
}
