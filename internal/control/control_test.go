package control

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	elbv2api "github.com/sluicehq/sluice/api/elbv2/v1beta1"
	"github.com/sluicehq/sluice/internal/compile"
	"github.com/sluicehq/sluice/internal/endpoints"
	"github.com/sluicehq/sluice/internal/lb"
	"github.com/sluicehq/sluice/internal/localaws"
	"github.com/sluicehq/sluice/internal/localaws/localawstest"
	"github.com/sluicehq/sluice/internal/plan"
)

const ipTargets = "alb.ingress.kubernetes.io/target-type: ip"

func TestAnIngressIsServedAndLeavesNothingBehind(t *testing.T) {
	w := newWorld(t)
	w.ingress("shop", "", "web")
	if ended := w.sync(); ended["default/shop"] != plan.Done || ended["binding web"] != plan.Done {
		t.Error(ended, w.events())
	}
	shop := w.get("shop")
	if diff := cmp.Diff([]string{compile.Finalizer("default/shop")}, shop.Finalizers); diff != "" {
		t.Error(diff)
	}
	name := w.engine.Observe("default/shop").LoadBalancers[0].DNSName
	want := []networkingv1.IngressLoadBalancerIngress{{Hostname: strings.ToLower(name), Ports: []networkingv1.IngressPortStatus{{Port: 80, Protocol: "TCP"}}}}
	if diff := cmp.Diff(want, shop.Status.LoadBalancer.Ingress); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{localawstest.Instances[0] + ":30080", localawstest.Instances[1] + ":30080"}, w.targets("default/shop")); diff != "" {
		t.Error(diff)
	}
	var bindings elbv2api.TargetGroupBindingList
	w.check(w.kube.List(w.ctx, &bindings))
	if seen := bindings.Items[0].Status.ObservedGeneration; seen == nil || bindings.Items[0].Annotations[endpoints.CheckpointAnnotation] == "" {
		t.Errorf("observed %v, annotations %v", seen, bindings.Items[0].Annotations)
	}
	events := w.events()
	if len(events) != 2 || !strings.HasPrefix(events[0], "Normal SuccessfullyReconciled shop: Successfully reconciled: created ") ||
		!strings.Contains(events[0], "load balancer k8s-default-shop-") || !strings.Contains(events[1], "registered 2 targets") {
		t.Errorf("events %q", events)
	}

	w.calls()
	w.remove("shop")
	w.sync()
	if calls := w.calls(); slices.Contains(calls, "elasticloadbalancing:DeregisterTargets") {
		t.Errorf("targets of a target group that goes were deregistered: %v", calls)
	}
	w.check(w.engine.Load(w.ctx))
	if left := w.engine.Stacks(); len(left) > 0 {
		t.Errorf("left in AWS: %v", left)
	}
	w.check(w.kube.List(w.ctx, &bindings))
	if err := w.kube.Get(w.ctx, client.ObjectKeyFromObject(shop), shop); client.IgnoreNotFound(err) != nil || err == nil || len(bindings.Items) > 0 {
		t.Errorf("left: %v, bindings %v", err, bindings.Items)
	}
	if events := w.events(); len(events) > 0 {
		t.Errorf("nobody is there to read %q", events)
	}
}

func TestWhatIsUnchangedCostsNothing(t *testing.T) {
	w := newWorld(t)
	w.ingress("shop", "", "web")
	w.ingress("blog", ipTargets, "web")
	w.pods(localawstest.Addresses[0])
	w.sync()
	w.events()
	w.calls()
	before := w.state()
	w.sync()
	if calls := w.calls(); len(calls) > 0 {
		t.Errorf("a second look made calls: %v", calls)
	}
	w.start()
	loading := w.calls()
	w.sync()
	where := []string{"ec2:DescribeInstances"} // are the targets; what they let in was read with the load balancers' groups
	if calls := w.calls(); !slices.Equal(calls, where) || slices.ContainsFunc(loading, changes) {
		t.Errorf("an unchanged restart made calls: loading %v, then %v", loading, calls)
	}
	if after := w.state(); after != before {
		t.Error("an unchanged restart wrote to the API server", cmp.Diff(before, after))
	}
}

func changes(call string) bool {
	_, name, _ := strings.Cut(call, ":")
	return !strings.HasPrefix(name, "Describe") && !strings.HasPrefix(name, "Get")
}

func TestABadObjectKeepsWhatItHasAndNeighboursGoOn(t *testing.T) {
	w := newWorld(t)
	w.ingress("bad", "", "web")
	w.sync()
	w.events()
	w.calls()
	w.ingress("bad", "alb.ingress.kubernetes.io/scheme: public", "web")
	w.sync()
	if calls := w.calls(); len(calls) > 0 {
		t.Errorf("a held stack was touched: %v", calls)
	}
	events := w.events()
	if len(events) != 1 || !strings.HasPrefix(events[0], "Warning InvalidAnnotation bad: ") || !strings.Contains(events[0], `"public"`) {
		t.Errorf("events %q", events)
	}
	w.ingress("worse", "alb.ingress.kubernetes.io/scheme: open", "web")
	w.ingress("good", "", "web")
	if ended := w.sync(); ended["default/bad"] != plan.Blocked || ended["default/worse"] != plan.Blocked || ended["default/good"] != plan.Done {
		t.Error(ended)
	}
	if !slices.Contains(w.get("worse").Finalizers, compile.Finalizer("default/shop")) || len(w.get("worse").Status.LoadBalancer.Ingress) > 0 {
		t.Error("a held Ingress has its finalizer and no address")
	}
	if len(w.get("good").Status.LoadBalancer.Ingress) == 0 || len(w.get("bad").Status.LoadBalancer.Ingress) == 0 {
		t.Error("an address is missing")
	}
	w.events()

	w.ingress("bad", "", "web")
	if ended := w.sync(); ended["default/bad"] != plan.Done {
		t.Error(ended)
	}
	if diff := cmp.Diff([]string{"Normal SuccessfullyReconciled bad: Successfully reconciled"}, w.events()); diff != "" {
		t.Error(diff)
	}
	w.remove("worse")
	w.sync()
	if err := w.kube.Get(w.ctx, types.NamespacedName{Namespace: "default", Name: "worse"}, &networkingv1.Ingress{}); err == nil {
		t.Error("a bad Ingress cannot be deleted")
	}
}

func TestWhatTheCloudLacksIsTold(t *testing.T) {
	w := newWorld(t)
	w.ingress("shop", "alb.ingress.kubernetes.io/subnets: nowhere", "web")
	if ended := w.sync(); ended["default/shop"] != plan.Blocked {
		t.Error(ended)
	}
	events := w.events()
	if len(events) != 1 || !strings.HasPrefix(events[0], "Warning SubnetNotFound shop: ") {
		t.Errorf("events %q", events)
	}
	if end := w.workStack(w.ctx, "default/shop"); end.after == 0 {
		t.Error("subnets may come without an object changing, so it is tried again")
	}
}

func TestTroubleOfTheWorldIsRetriedAndToldOnce(t *testing.T) {
	w := newWorld(t)
	w.ingress("shop", "", "web")
	w.aws.Fail(func(c localaws.Call) *localaws.Fault {
		if c.Operation == "elasticloadbalancing:CreateRule" {
			return &localaws.Fault{Error: localaws.Throttled(c.Operation)}
		}
		return nil
	})
	w.snapshots.changed()
	for range 3 {
		if end := w.workStack(w.ctx, "default/shop"); end.status != plan.Retry {
			t.Errorf("ended %v", end)
		}
		w.snapshots.changed()
	}
	events := w.events()
	var warnings []string
	for _, e := range events {
		if strings.HasPrefix(e, "Warning") {
			warnings = append(warnings, e)
		}
	}
	if len(warnings) != 1 || !strings.HasPrefix(warnings[0], "Warning FailedDeployModel shop: ") || !strings.Contains(warnings[0], "create Rule") {
		t.Errorf("warnings %q", warnings)
	}
	if len(w.get("shop").Status.LoadBalancer.Ingress) == 0 {
		t.Error("the load balancer is there, so its address is shown")
	}
	w.aws.Fail(nil)
	if ended := w.sync(); ended["default/shop"] != plan.Done {
		t.Error(ended)
	}
	if events := w.events(); len(events) == 0 || !strings.Contains(events[0], "created 1 rule") {
		t.Errorf("events %q", events)
	}
}

func TestWhatNobodyWantsIsCollected(t *testing.T) {
	w := newWorld(t)
	w.ingress("shop", "", "web")
	w.ingress("blog", "", "web")
	w.sync()
	// The Ingress goes by force while no controller runs.
	w.check(w.kube.Patch(w.ctx, w.get("shop"), client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`))))
	w.remove("shop")
	w.start()
	if ended := w.sync(); ended["default/shop"] != plan.Later || len(w.engine.Stacks()) != 2 {
		t.Errorf("at the first sight: %v, left are %v", ended, w.engine.Stacks())
	}
	w.now = func() time.Time { return time.Now().Add(orphanAfter) }
	w.sync()
	if diff := cmp.Diff([]lb.StackID{"default/blog"}, w.engine.Stacks()); diff != "" {
		t.Error(diff)
	}
	var bindings elbv2api.TargetGroupBindingList
	w.check(w.kube.List(w.ctx, &bindings))
	if len(bindings.Items) != 1 {
		t.Errorf("%d bindings", len(bindings.Items))
	}
}

func TestWhatIsAnothersIsLeftAlone(t *testing.T) {
	w := newWorld(t)
	w.ingress("shop", "", "web")
	w.sync()
	// As if another controller had made the load balancer of an Ingress of its own class.
	shop := w.get("shop")
	shop.Finalizers = nil
	shop.Spec.IngressClassName = nil
	shop.Annotations = map[string]string{"kubernetes.io/ingress.class": "theirs"}
	w.check(w.kube.Update(w.ctx, shop))
	w.start()
	w.calls()
	w.sync()
	if calls := w.calls(); slices.ContainsFunc(calls, changes) {
		t.Errorf("calls %v", calls)
	}
	for _, watched := range []struct {
		namespace string
		id        lb.StackID
		mine      bool
	}{{"", "default/gone", true}, {"default", "default/gone", true}, {"other", "default/gone", false}, {"", "a-group", true}, {"default", "a-group", false}} {
		w.options.Namespace = watched.namespace
		objects, err := w.snapshots.take(w.ctx)
		w.check(err)
		if got := w.concerns(objects.Objects, compiled(watched.id), nil); got != watched.mine {
			t.Errorf("watching %q: %s is ours: %v", watched.namespace, watched.id, got)
		}
	}
}

func TestAnIngressThatLeavesItsClassLetsGo(t *testing.T) {
	w := newWorld(t)
	w.ingress("shop", "", "web")
	w.sync()
	shop := w.get("shop")
	shop.Spec.IngressClassName = nil
	shop.Annotations = map[string]string{"kubernetes.io/ingress.class": "nginx"}
	w.check(w.kube.Update(w.ctx, shop))
	w.sync()
	if left := w.engine.Stacks(); len(left) > 0 || len(w.get("shop").Finalizers) > 0 {
		t.Errorf("left %v, finalizers %v", left, w.get("shop").Finalizers)
	}
}

// What is in a namespace that is being removed goes in no order that makes sense: it is not followed step by step.
func TestANamespaceGoesAsAWhole(t *testing.T) {
	w := newWorld(t)
	w.apply("namespace", "apiVersion: v1\nkind: Namespace\nmetadata: {name: default, finalizers: [example.com/wait]}\n")
	w.ingress("shop", "", "web")
	w.sync()
	w.check(w.kube.Delete(w.ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "default"}}))
	w.check(w.kube.Delete(w.ctx, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web"}}))
	w.check(w.kube.DeleteAllOf(w.ctx, &elbv2api.TargetGroupBinding{}, client.InNamespace("default")))
	w.calls()
	if ended := w.sync(); ended["default/shop"] != plan.Later || ended["binding web"] != plan.Later {
		t.Error(ended)
	}
	if calls := w.calls(); len(calls) > 0 {
		t.Errorf("calls %v", calls)
	}
	w.remove("shop")
	w.sync()
	if diff := cmp.Diff([]string{"ec2:DeleteSecurityGroup", "ec2:RevokeSecurityGroupIngress", "elasticloadbalancing:DeleteLoadBalancer", "elasticloadbalancing:DeleteTargetGroup"}, w.calls()); diff != "" {
		t.Error(diff)
	}
	if left := w.engine.Stacks(); len(left) > 0 {
		t.Error(left)
	}
}
