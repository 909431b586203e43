package control

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	elbv2api "github.com/sluicehq/sluice/api/elbv2/v1beta1"
)

// readyCondition tells whether a binding is worked as it asks.
const readyCondition = "Ready"

// report writes into the status which generation was worked to the end, and whether the binding is ready. A condition
// that says that all is well is news only with a generation, or after trouble.
func (c *Controller) report(ctx context.Context, tgb *elbv2api.TargetGroupBinding, p bindingPass) error {
	status := map[string]any{}
	seen := tgb.Status.ObservedGeneration
	news := p.observed && (seen == nil || *seen != tgb.Generation)
	if news {
		status["observedGeneration"] = tgb.Generation
	}
	want := p.condition(tgb.Generation)
	conditions := slices.Clone(tgb.Status.Conditions)
	i := slices.IndexFunc(conditions, func(k metav1.Condition) bool { return k.Type == readyCondition })
	switch {
	case i < 0 && (want.Status == metav1.ConditionFalse || news):
		status["conditions"] = append(conditions, want)
	case i >= 0 && (conditions[i].Status != want.Status || conditions[i].Reason != want.Reason || news):
		if conditions[i].Status == want.Status {
			want.LastTransitionTime = conditions[i].LastTransitionTime
		}
		conditions[i] = want
		status["conditions"] = conditions
	}
	if len(status) == 0 {
		return nil
	}
	patch, err := json.Marshal(map[string]any{"status": status})
	if err != nil {
		return fmt.Errorf("write the status: %w", err)
	}
	if err := c.client.Status().Patch(ctx, shell(tgb), client.RawPatch(types.MergePatchType, patch)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("write the status: %w", err)
	}
	return nil
}

// condition is how a pass left the binding.
func (p bindingPass) condition(generation int64) metav1.Condition {
	k := metav1.Condition{
		Type: readyCondition, Status: metav1.ConditionTrue, Reason: reconciled, ObservedGeneration: generation, LastTransitionTime: metav1.Now(),
	}
	bad := slices.IndexFunc(p.verdicts, refused)
	switch {
	case p.failure.key != "":
		k.Status, k.Reason, k.Message = metav1.ConditionFalse, p.failure.reason, p.failure.text
	case bad >= 0:
		k.Status, k.Reason, k.Message = metav1.ConditionFalse, string(p.verdicts[bad].Reason), p.verdicts[bad].Message()
	}
	return k
}
