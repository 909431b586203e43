package control

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	elbv2api "github.com/sluicehq/sluice/api/elbv2/v1beta1"
	"github.com/sluicehq/sluice/internal/endpoints"
	"github.com/sluicehq/sluice/internal/localaws"
	"github.com/sluicehq/sluice/internal/localaws/wire"
	"github.com/sluicehq/sluice/internal/plan"
)

const health = "elasticloadbalancing:DescribeTargetHealth"

// gatedWorld has an Ingress whose only pod, behind Service web, waits for the gate of its binding.
func gatedWorld(t *testing.T) (w *world, binding types.NamespacedName, address string) {
	t.Helper()
	w, address = newWorld(t), "192.168.97.1"
	w.ingress("shop", ipTargets, "web")
	w.sync()
	var list elbv2api.TargetGroupBindingList
	w.check(w.kube.List(w.ctx, &list))
	binding = client.ObjectKeyFromObject(&list.Items[0])
	w.pods(address)
	w.check(w.kube.Delete(w.ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: podName(address)}}))
	w.check(w.kube.Create(w.ctx, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: podName(address), UID: "uid", CreationTimestamp: metav1.Now()},
		Spec:       corev1.PodSpec{NodeName: "a", ReadinessGates: []corev1.PodReadinessGate{{ConditionType: endpoints.Gate(binding.Name)}}},
		Status:     corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.ContainersReady, Status: corev1.ConditionTrue}}},
	}))
	w.calls()
	w.events()
	return w, binding, address
}

func podName(address string) string { return "pod-" + strings.ReplaceAll(address, ".", "-") }

// gateOf is "<status> <reason>: <message>" of a pod's gate.
func (w *world) gateOf(address, binding string) string {
	w.Helper()
	var pod corev1.Pod
	w.check(w.kube.Get(w.ctx, types.NamespacedName{Namespace: "default", Name: podName(address)}, &pod))
	for _, c := range pod.Status.Conditions {
		if c.Type == endpoints.Gate(binding) {
			return string(c.Status) + " " + c.Reason + ": " + c.Message
		}
	}
	return "none"
}

// A pod is told at each step how its target is; the load balancer is asked while it waits, and not after.
func TestAGateFollowsHealthUntilItOpens(t *testing.T) {
	w, binding, address := gatedWorld(t)
	w.aws.Plane.SetHealth(address, "initial", "Elb.InitialHealthChecking", "Initial health checks in progress")
	for _, step := range []struct {
		before func()
		gate   string
		calls  []string
		end    plan.Status
	}{
		{
			nil, "False Elb.RegistrationInProgress: Target registration is in progress",
			[]string{"ec2:AuthorizeSecurityGroupIngress", "ec2:DescribeInstances", "elasticloadbalancing:RegisterTargets"}, plan.Later,
		},
		{nil, "False Elb.InitialHealthChecking: Initial health checks in progress", []string{health}, plan.Later},
		{
			func() { w.aws.Plane.SetHealth(address, "unhealthy", "Target.Timeout", "Request timed out") },
			"False Target.Timeout: Request timed out", []string{health}, plan.Later,
		},
		{func() { w.aws.Plane.SetHealth(address, "", "", "") }, "True : ", []string{health}, plan.Done},
		{
			func() { w.aws.Plane.SetHealth(address, "unhealthy", "Target.Timeout", "Request timed out") },
			"True : ", nil, plan.Done, // never taken back
		},
	} {
		if step.before != nil {
			step.before()
		}
		w.calls()
		end := w.workBinding(w.ctx, binding)
		if end.status != step.end || end.status == plan.Later && end.after != gateFast {
			t.Errorf("%s: ended %v", step.gate, end)
		}
		calls := w.calls()
		if diff := cmp.Diff(step.calls, calls); len(step.calls)+len(calls) > 0 && diff != "" {
			t.Errorf("%s: %s", step.gate, diff)
		}
		if got := w.gateOf(address, binding.Name); got != step.gate {
			t.Errorf("gate %q, not %q", got, step.gate)
		}
	}
}

// After a restart the checkpoint says that nothing has changed; the pod waits all the same.
func TestAGateThatWaitsIsLookedAtAfterARestart(t *testing.T) {
	w, binding, address := gatedWorld(t)
	w.workBinding(w.ctx, binding)
	w.start()
	if end := w.workBinding(w.ctx, binding); end.status != plan.Done || w.gateOf(address, binding.Name) != "True : " {
		t.Error(end, w.gateOf(address, binding.Name))
	}
}

func TestAGateTellsWhyItWaits(t *testing.T) {
	w, binding, address := gatedWorld(t)
	w.aws.Fail(func(c localaws.Call) *localaws.Fault {
		if c.Operation == "elasticloadbalancing:RegisterTargets" {
			return &localaws.Fault{Error: wire.Errorf("TooManyTargets", "The maximum number of targets per target group has been reached")}
		}
		return nil
	})
	if end := w.workBinding(w.ctx, binding); end.status != plan.Blocked || end.after != gateSlow {
		t.Error(end)
	}
	if got := w.gateOf(address, binding.Name); !strings.HasPrefix(got, "False RegistrationFailed: ") {
		t.Errorf("gate %q", got)
	}
	if events := w.events(); !slices.ContainsFunc(events, func(e string) bool { return strings.HasPrefix(e, "Warning QuotaExceeded") }) {
		t.Errorf("events %q", events)
	}
	w.aws.Fail(nil)
	w.workBinding(w.ctx, binding)
	if end := w.workBinding(w.ctx, binding); end.status != plan.Done || w.gateOf(address, binding.Name) != "True : " {
		t.Error(end, w.gateOf(address, binding.Name))
	}
}

// A target that somebody deregistered by hand while its pod waits would never become healthy.
func TestATargetThatSomebodyTookAwayIsRegisteredAgain(t *testing.T) {
	w, binding, address := gatedWorld(t)
	w.aws.Plane.SetHealth(address, "initial", "Elb.InitialHealthChecking", "Initial health checks in progress")
	w.workBinding(w.ctx, binding)
	for _, group := range w.engine.Observe("default/shop").TargetGroups {
		other := newEngine(w)
		list, _, err := other.Registered(w.ctx, group)
		w.check(err)
		w.check(other.Deregister(w.ctx, group, list))
	}
	w.aws.Plane.SetHealth(address, "", "", "")
	for range 2 {
		if end := w.workBinding(w.ctx, binding); end.status != plan.Later {
			t.Error(end)
		}
	}
	if end := w.workBinding(w.ctx, binding); end.status != plan.Done || w.gateOf(address, binding.Name) != "True : " {
		t.Error(end, w.gateOf(address, binding.Name))
	}
}

func TestAGateOpensWhenNothingFollowsItAnyMore(t *testing.T) {
	const released = "True : Target Group Binding is deleted"
	w, binding, address := gatedWorld(t)
	w.aws.Plane.SetHealth(address, "initial", "Elb.InitialHealthChecking", "Initial health checks in progress")
	w.workBinding(w.ctx, binding)
	w.remove("shop")
	w.sync()
	if got := w.gateOf(address, binding.Name); got != released {
		t.Errorf("after the binding went: %q", got)
	}

	w, binding, address = gatedWorld(t)
	w.check(w.kube.Delete(w.ctx, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web"}}))
	w.workBinding(w.ctx, binding)
	if got := w.gateOf(address, binding.Name); got != released {
		t.Errorf("after the Service went: %q", got)
	}
}

func TestGatePause(t *testing.T) {
	for waited, want := range map[time.Duration]time.Duration{
		0: gateFast, time.Minute: gateFast, 10 * time.Minute: 6 * time.Second, time.Hour: gateSlow, -time.Second: gateFast,
	} {
		if got := gatePause(waited); got != want {
			t.Errorf("after %v: %v, not %v", waited, got, want)
		}
	}
}

// What is trimmed away could not be looked up.
func TestPodsKeepWhatDecidesAboutThem(t *testing.T) {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "p", Annotations: map[string]string{endpoints.PodInterface: "[]", "other": "x"}},
		Spec: corev1.PodSpec{
			NodeName: "a", ReadinessGates: []corev1.PodReadinessGate{{ConditionType: "g"}}, ServiceAccountName: "s",
			Containers: []corev1.Container{{Name: "c", Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 80}, {ContainerPort: 81}}}, {Name: "d"}},
		},
	}
	once, err := trimPod(pod)
	if err != nil {
		t.Fatal(err)
	}
	want := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "p", Annotations: map[string]string{endpoints.PodInterface: "[]"}},
		Spec: corev1.PodSpec{
			NodeName: "a", ReadinessGates: []corev1.PodReadinessGate{{ConditionType: "g"}},
			Containers: []corev1.Container{{Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 80}}}},
		},
	}
	twice, err := trimPod(once)
	if diff := cmp.Diff(want, once) + cmp.Diff(once, twice); diff != "" || err != nil {
		t.Error(diff, err)
	}
}
