package control

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/controller-runtime/pkg/client"

	elbv2api "github.com/sluicehq/sluice/api/elbv2/v1beta1"
	"github.com/sluicehq/sluice/internal/localaws"
	"github.com/sluicehq/sluice/internal/plan"
)

func TestTargetsFollowEndpoints(t *testing.T) {
	w := newWorld(t)
	a, b := "192.168.97.1", "192.168.97.2"
	w.pods(a)
	w.ingress("shop", ipTargets, "web")
	w.ingress("blog", "", "web") // it keeps the nodes' security group open
	w.apply("service", "apiVersion: v1\nkind: Service\nmetadata: {name: web}\n"+
		"spec: {type: NodePort, ports: [{name: http, port: 80, targetPort: 8080, nodePort: 8080}]}\n")
	w.sync()
	for _, step := range []struct {
		pods  []string
		calls []string
	}{
		{[]string{a, b}, []string{"elasticloadbalancing:RegisterTargets"}},
		{[]string{b}, []string{"elasticloadbalancing:DeregisterTargets"}},
		{nil, []string{"elasticloadbalancing:DeregisterTargets"}},
		{[]string{a, b}, []string{"elasticloadbalancing:RegisterTargets"}},
	} {
		w.calls()
		w.pods(step.pods...)
		w.sync()
		if diff := cmp.Diff(step.calls, w.calls()); diff != "" {
			t.Errorf("%v: %s", step.pods, diff)
		}
		var want []string
		for _, p := range step.pods {
			want = append(want, p+":8080")
		}
		if diff := cmp.Diff(want, w.targets("default/shop")); diff != "" {
			t.Error(diff)
		}
	}
}

// A pod that came and went while the controller was down would stay a target for ever, were the checkpoint not cleared
// before anything is registered.
func TestACrashWhileRegisteringLeavesNoTarget(t *testing.T) {
	w := newWorld(t)
	a, b := "192.168.97.1", "192.168.97.2"
	w.pods(a)
	w.ingress("shop", ipTargets, "web")
	w.sync()
	w.pods(a, b)
	w.aws.Fail(func(c localaws.Call) *localaws.Fault {
		if c.Operation == "elasticloadbalancing:RegisterTargets" {
			return &localaws.Fault{After: true} // it works, but nobody hears of it
		}
		return nil
	})
	var bindings elbv2api.TargetGroupBindingList
	w.check(w.kube.List(w.ctx, &bindings))
	if end := w.workBinding(w.ctx, client.ObjectKeyFromObject(&bindings.Items[0])); end.status != plan.Retry {
		t.Error(end)
	}
	w.aws.Fail(nil)
	w.pods(a)
	w.start()
	w.sync()
	if diff := cmp.Diff([]string{a + ":8080"}, w.targets("default/shop")); diff != "" {
		t.Error(diff)
	}
}

func TestAChangedBindingIsPutRight(t *testing.T) {
	w := newWorld(t)
	w.ingress("shop", "", "web")
	w.sync()
	var bindings elbv2api.TargetGroupBindingList
	w.check(w.kube.List(w.ctx, &bindings))
	tgb := &bindings.Items[0]
	tgb.Spec.ServiceRef.Name = "other"
	tgb.Labels["mine"] = "too"
	w.check(w.kube.Update(w.ctx, tgb))
	w.sync()
	w.check(w.kube.Get(w.ctx, client.ObjectKeyFromObject(tgb), tgb))
	if tgb.Spec.ServiceRef.Name != "web" || tgb.Labels["mine"] != "too" {
		t.Errorf("%v %v", tgb.Spec, tgb.Labels)
	}
	if got := w.targets("default/shop"); len(got) != 2 {
		t.Errorf("targets %v", got)
	}
}
