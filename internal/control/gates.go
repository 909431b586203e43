package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	elbv2api "github.com/sluicehq/sluice/api/elbv2/v1beta1"
	"github.com/sluicehq/sluice/internal/endpoints"
	"github.com/sluicehq/sluice/internal/lb"
	"github.com/sluicehq/sluice/internal/plan"
)

// How often the health of targets is asked for while a readiness gate waits: fast for a new pod, slower the longer even
// the youngest has waited.
const (
	gateFast = 2 * time.Second
	gateSlow = 15 * time.Second
	gateEase = 100 // a pod that has waited for so long is asked for after a hundredth of it
)

// gatePause is how long to wait before the next look.
func gatePause(waited time.Duration) time.Duration {
	return min(max(waited/gateEase, gateFast), gateSlow)
}

// waitingFor are the endpoints whose pods still wait for the gate. A gate that is true is never taken back.
func waitingFor(tgb *elbv2api.TargetGroupBinding, gated []endpoints.Gated) []endpoints.Gated {
	var out []endpoints.Gated
	for _, g := range gated {
		if !endpoints.GateOpen(g.Pod, endpoints.Gate(tgb.Name)) {
			out = append(out, g)
		}
	}
	return out
}

// gate tells pods that wait how their targets are, in one question for all of them, and comes back as long as one waits.
func (c *Controller) gate(ctx context.Context, tgb *elbv2api.TargetGroupBinding, waiting []endpoints.Gated, p bindingPass) bindingPass {
	if len(waiting) == 0 {
		return p
	}
	registered := p.end.status != plan.Retry && p.end.status != plan.Blocked
	var ask []lb.Target
	for _, g := range waiting {
		if !p.added[g.Target] && !p.groupless {
			ask = append(ask, g.Target)
		}
	}
	health := map[lb.Target]lb.TargetHealth{}
	var err error
	if len(ask) > 0 {
		health, err = c.targetsOf(tgb).Health(ctx, lb.TargetGroupRef(tgb.Spec.TargetGroupARN), ask)
	}
	if err != nil {
		return p.failed(tgb, failedReconcile, fmt.Errorf("read the health of %s: %w", amount(len(ask), "target"), err))
	}
	var errs []error
	left, now := false, time.Now()
	youngest := gateSlow * gateEase
	for _, g := range waiting {
		condition := endpoints.GateOf(health[g.Target])
		switch {
		case p.groupless, p.added[g.Target] && !registered, health[g.Target].Reason == lb.NotRegistered:
			condition = endpoints.GateUnregistered
		case p.added[g.Target]:
			condition = endpoints.GateRegistering
		}
		errs = append(errs, c.setGate(ctx, g.Pod, endpoints.Gate(tgb.Name), condition))
		if condition.Status != corev1.ConditionTrue {
			left, youngest = true, min(youngest, now.Sub(g.Pod.CreationTimestamp.Time))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return p.failed(tgb, failedStatus, err)
	}
	switch pause := gatePause(youngest); {
	case !left || p.groupless:
	case p.end.status == plan.Done || p.end.status == plan.Later && p.end.after > pause:
		p.end = outcome{status: plan.Later, after: pause}
	case p.end.status == plan.Blocked:
		p.end.after = gateSlow // what blocks concerns others, or is tried again at this pace
	}
	return p
}

// releaseGates lets pods go that wait for a binding which has no targets any more.
func (c *Controller) releaseGates(ctx context.Context, tgb *elbv2api.TargetGroupBinding) error {
	if !ofType(tgb, elbv2api.TargetTypeIP) {
		return nil
	}
	var pods corev1.PodList
	if err := c.client.List(ctx, &pods, client.InNamespace(tgb.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("read Pods from the cache: %w", err)
	}
	gate := endpoints.Gate(tgb.Name)
	var errs []error
	for i := range pods.Items {
		if pod := &pods.Items[i]; endpoints.HasGate(pod, gate) {
			errs = append(errs, c.setGate(ctx, pod, gate, endpoints.GateReleased))
		}
	}
	return errors.Join(errs...)
}

// setGate writes the condition of a gate unless it is so already. A pod that is gone, or that another has taken the name
// of, is left alone.
func (c *Controller) setGate(ctx context.Context, pod *corev1.Pod, gate corev1.PodConditionType, want corev1.PodCondition) error {
	want.Type = gate
	condition, moved, ok := endpoints.ChangedGate(pod, want)
	if !ok {
		return nil
	}
	if moved {
		condition.LastTransitionTime = metav1.Now()
	}
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": pod.UID},
		"status": map[string]any{"conditions": []map[string]any{{
			"type": condition.Type, "status": condition.Status, "reason": condition.Reason, "message": condition.Message,
			"lastTransitionTime": condition.LastTransitionTime,
		}}},
	})
	if err != nil {
		return fmt.Errorf("write the readiness gate of Pod %s: %w", pod.Name, err)
	}
	answer := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name}}
	err = c.client.Status().Patch(ctx, answer, client.RawPatch(types.StrategicMergePatchType, patch))
	if err == nil || apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return fmt.Errorf("write the readiness gate of Pod %s: %w", pod.Name, err)
}
