package control

import (
	"context"
	"slices"
	"strings"

	contour "github.com/projectcontour/contour/apis/projectcontour/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluicehq/sluice/internal/compile"
	"github.com/sluicehq/sluice/internal/lb"
)

// subConditionLimit is how long the reference lets a condition's message be.
const subConditionLimit = 32760

// proxy writes the status of an HTTPProxy where it says something else. One that was compiled from an older generation
// than somebody has reported on is left to the next pass.
func (s *fleetStatus) proxy(ctx context.Context, state *fleetState, result compile.ProxyResult, verdicts []lb.Verdict, addresses []networkingv1.IngressLoadBalancerIngress) error {
	proxy := state.objects.HTTPProxy(result.Object.Namespace, result.Object.Name)
	if proxy == nil {
		return nil
	}
	want := proxyStatus(result, verdicts, addresses)
	if had := proxy.Status.GetConditionFor(contour.ValidConditionType); had != nil {
		if had.ObservedGeneration > result.Generation {
			return nil
		}
		condition := &want.Conditions[0]
		condition.LastTransitionTime = had.LastTransitionTime
		if had.Status != condition.Status {
			condition.LastTransitionTime = s.now()
		}
	} else {
		want.Conditions[0].LastTransitionTime = s.now()
	}
	if equality.Semantic.DeepEqual(proxy.Status, want) {
		return nil
	}
	target := &contour.HTTPProxy{ObjectMeta: metav1.ObjectMeta{Namespace: proxy.Namespace, Name: proxy.Name}}
	return s.patch(ctx, target, map[string]any{
		"currentStatus": want.CurrentStatus, "description": want.Description, "loadBalancer": map[string]any{"ingress": want.LoadBalancer.Ingress},
		"conditions": want.Conditions,
	})
}

// proxyStatus says in the reference's words what has become of an HTTPProxy.
func proxyStatus(result compile.ProxyResult, verdicts []lb.Verdict, addresses []networkingv1.IngressLoadBalancerIngress) contour.HTTPProxyStatus {
	valid := contour.DetailedCondition{Condition: metav1.Condition{
		Type: contour.ValidConditionType, Status: metav1.ConditionTrue, Reason: "Valid", Message: "Valid HTTPProxy", ObservedGeneration: result.Generation,
	}}
	for _, v := range verdicts {
		list := &valid.Errors
		if v.Severity == lb.Warning {
			list = &valid.Warnings
		}
		category := v.Category
		if category == "" {
			category = contour.ConditionTypeSpecError
		}
		*list = withSubCondition(*list, contour.SubCondition{Type: category, Status: metav1.ConditionTrue, Reason: string(v.Reason), Message: v.Message()})
	}
	status := contour.HTTPProxyStatus{CurrentStatus: string(result.Status), Description: valid.Message}
	if len(valid.Errors) > 0 {
		valid.Status, valid.Reason, valid.Message = metav1.ConditionFalse, "ErrorPresent", "At least one error present, see Errors for details"
		status.Description = valid.Message
		if result.Status == compile.ProxyValid { // Envoy does not take what compiled well
			status.CurrentStatus = string(compile.ProxyInvalid)
		}
	}
	status.Conditions = []contour.DetailedCondition{valid}
	for _, a := range addresses {
		status.LoadBalancer.Ingress = append(status.LoadBalancer.Ingress, corev1.LoadBalancerIngress{IP: a.IP, Hostname: a.Hostname})
	}
	return status
}

// withSubCondition puts messages of one type and reason together, as the reference does.
func withSubCondition(list []contour.SubCondition, c contour.SubCondition) []contour.SubCondition {
	i := slices.IndexFunc(list, func(o contour.SubCondition) bool { return o.Type == c.Type && o.Reason == c.Reason })
	if i < 0 {
		c.Message = cut(c.Message, subConditionLimit)
		return append(list, c)
	}
	if !strings.Contains(list[i].Message, c.Message) {
		list[i].Message = cut(list[i].Message+", "+c.Message, subConditionLimit)
	}
	return list
}
