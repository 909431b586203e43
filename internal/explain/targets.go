package explain

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	elbv2api "github.com/sluicehq/sluice/api/elbv2/v1beta1"
	"github.com/sluicehq/sluice/internal/endpoints"
	"github.com/sluicehq/sluice/internal/lb"
)

// rule tells what a rule changes, and where it leads.
func (w World) rule(n *Node, r lb.Rule) {
	for _, t := range r.Transforms {
		n.add(None, t.String())
	}
	w.action(n, r.Action)
}

// action tells where requests go.
func (w World) action(n *Node, a lb.Action) {
	if a.Tokens != nil {
		n.add(Look, "only with a token: "+a.Tokens.String())
	}
	if a.Forward == nil {
		n.add(None, a.String())
		return
	}
	total := 0
	for _, g := range a.Forward.TargetGroups {
		total += g.Weight
	}
	for _, g := range a.Forward.TargetGroups {
		share := ""
		if len(a.Forward.TargetGroups) > 1 {
			share = fmt.Sprintf(" (%d of %d requests)", g.Weight, total)
		}
		w.group(n, g, share)
	}
}

func (w World) group(n *Node, g lb.WeightedTargetGroup, share string) {
	i := slices.IndexFunc(w.Stack.Stack.TargetGroups, func(t lb.TargetGroup) bool { return t.ID == g.ID })
	if g.ID == "" || i < 0 {
		n.add(None, "forward to a target group that others made, "+g.ARN+g.Name+share)
		return
	}
	group := w.Stack.Stack.TargetGroups[i]
	node := n.add(None, "forward to target group "+group.Name+share)
	for _, b := range w.Stack.Stack.Bindings {
		if b.TargetGroup == g.ID {
			w.targets(node.add(None, fmt.Sprintf("Service %s/%s port %s", b.Namespace, b.Service, b.ServicePort)), b)
		}
	}
}

// targets tells which targets a binding has, and how they are.
func (w World) targets(n *Node, b lb.Binding) {
	arn, known := w.Observed.TargetGroups[b.TargetGroup]
	if !known {
		n.add(Look, "its targets are known after apply")
		return
	}
	object := w.binding(b.Namespace, string(arn))
	if object == nil {
		n.add(Bad, "there is no TargetGroupBinding for it yet, so it has no targets")
		return
	}
	wanted := endpoints.Of(w.Objects, object)
	for _, v := range wanted.Verdicts {
		n.add(Bad, v.Object.String()+": "+v.Message())
	}
	health, err := w.health(arn, wanted.Targets)
	if err != nil {
		n.add(Look, "how its targets are cannot be asked: "+err.Error())
	}
	behind := w.behind(b)
	for _, t := range wanted.Targets {
		mark, state := told(health, t)
		n.add(mark, fmt.Sprintf("%s:%d %s%s", t.ID, t.Port, behind[t.ID], state))
	}
	if len(wanted.Targets) == 0 && !wanted.Held {
		n.add(Bad, "no target: requests are answered with 503")
	}
	for _, name := range w.unready(b) {
		n.add(None, name)
	}
}

func (w World) health(group lb.TargetGroupRef, targets []lb.Target) (map[lb.Target]lb.TargetHealth, error) {
	if w.Health == nil || len(targets) == 0 {
		return nil, nil
	}
	return w.Health(group, targets)
}

// told puts the health of a target into words.
func told(health map[lb.Target]lb.TargetHealth, t lb.Target) (Mark, string) {
	h, known := health[t]
	switch {
	case health == nil:
		return None, ""
	case !known || h.Reason == lb.NotRegistered:
		return Look, ", not registered yet"
	case h.State == lb.HealthyTarget:
		return Good, ", healthy"
	}
	text := ", " + h.State
	if h.Reason != "" {
		text += " (" + h.Reason + ")"
	}
	if h.Description != "" {
		text += ": " + h.Description
	}
	return Bad, text
}

func (w World) binding(namespace, arn string) *elbv2api.TargetGroupBinding {
	for _, b := range w.Objects.TargetGroupBindings() {
		if b.Namespace == namespace && b.Spec.TargetGroupARN == arn {
			return b
		}
	}
	return nil
}

// behind names what stands behind the targets of a binding, by the target's id.
func (w World) behind(b lb.Binding) map[string]string {
	names := map[string]string{}
	for _, slice := range w.Objects.EndpointSlices(b.Namespace, b.Service) {
		for _, e := range slice.Endpoints {
			if e.TargetRef != nil && e.TargetRef.Kind == "Pod" {
				for _, address := range e.Addresses {
					names[address] = "pod " + e.TargetRef.Namespace + "/" + e.TargetRef.Name
				}
			}
		}
	}
	for _, node := range w.Objects.Nodes() {
		if id, ok := endpoints.InstanceID(node); ok && id != "" {
			names[id] = "node " + node.Name
		}
	}
	return names
}

// unready are pods of the Service that are no targets, with the reason.
func (w World) unready(b lb.Binding) []string {
	var names []string
	for _, slice := range w.Objects.EndpointSlices(b.Namespace, b.Service) {
		for _, e := range slice.Endpoints {
			if e.TargetRef == nil || e.TargetRef.Kind != "Pod" || ready(e) {
				continue
			}
			text := "pod " + e.TargetRef.Namespace + "/" + e.TargetRef.Name
			if pod := w.Objects.Pod(e.TargetRef.Namespace, e.TargetRef.Name); pod != nil {
				text += " " + podState(pod)
			} else {
				text += " is not ready"
			}
			names = append(names, text)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func ready(e discoveryv1.Endpoint) bool { return e.Conditions.Ready == nil || *e.Conditions.Ready }

// podState says why a pod is not ready, as far as its status tells.
func podState(pod *corev1.Pod) string {
	if !pod.DeletionTimestamp.IsZero() {
		return "is being removed"
	}
	for _, gate := range pod.Spec.ReadinessGates {
		i := slices.IndexFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == gate.ConditionType })
		if i < 0 {
			return "waits for its readiness gate " + string(gate.ConditionType)
		}
		if c := pod.Status.Conditions[i]; c.Status != corev1.ConditionTrue {
			return "waits for its readiness gate " + string(gate.ConditionType) + ": " + strings.TrimSpace(c.Reason+" "+c.Message)
		}
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.ContainersReady && c.Status != corev1.ConditionTrue {
			return "is not ready: " + c.Message
		}
	}
	return "is not ready"
}
