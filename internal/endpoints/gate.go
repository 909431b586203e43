package endpoints

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/sluicehq/sluice/internal/lb"
)

// gatePrefix is followed by a binding's name in the condition type of its readiness gate.
const gatePrefix = "target-health.elbv2.k8s.aws/"

// Gate is the condition of pods by which a binding says that a pod may count as ready.
func Gate(binding string) corev1.PodConditionType {
	return corev1.PodConditionType(gatePrefix + binding)
}

// Gated is an endpoint whose pod waits for the binding's readiness gate, or has it.
type Gated struct {
	Pod    *corev1.Pod
	Target lb.Target
}

// gated are the endpoints whose pods carry the gate of a binding.
func gated(binding string, found []endpoint) []Gated {
	var out []Gated
	for _, e := range found {
		if e.pod != nil && HasGate(e.pod, Gate(binding)) {
			out = append(out, Gated{Pod: e.pod, Target: e.target})
		}
	}
	return out
}

// HasGate says whether a pod has a readiness gate.
func HasGate(pod *corev1.Pod, gate corev1.PodConditionType) bool {
	return slices.ContainsFunc(pod.Spec.ReadinessGates, func(g corev1.PodReadinessGate) bool { return g.ConditionType == gate })
}

// GateOpen says whether the condition of a gate is true.
func GateOpen(pod *corev1.Pod, gate corev1.PodConditionType) bool {
	return podCondition(pod, gate) == corev1.ConditionTrue
}

// The conditions of gates that do not tell a target's health.
var (
	// GateRegistering is that of a target that has just been registered.
	GateRegistering = corev1.PodCondition{
		Status: corev1.ConditionFalse, Reason: "Elb.RegistrationInProgress", Message: "Target registration is in progress",
	}
	// GateUnregistered is that of a target that could not be registered.
	GateUnregistered = corev1.PodCondition{
		Status: corev1.ConditionFalse, Reason: "RegistrationFailed",
		Message: "The target could not be registered; the events of the TargetGroupBinding tell why. It is tried again",
	}
	// GateReleased is that of pods that no target group follows any more.
	GateReleased = corev1.PodCondition{Status: corev1.ConditionTrue, Message: "Target Group Binding is deleted"}
)

// GateOf is the condition for a target's health, as the cloud tells it.
func GateOf(health lb.TargetHealth) corev1.PodCondition {
	switch health.State {
	case lb.HealthyTarget:
		return corev1.PodCondition{Status: corev1.ConditionTrue}
	case "":
		return corev1.PodCondition{Status: corev1.ConditionUnknown, Message: "The health of the target is not known yet"}
	default:
		return corev1.PodCondition{Status: corev1.ConditionFalse, Reason: health.Reason, Message: health.Description}
	}
}

// ChangedGate returns a pod's condition as it should be, with the time of its last transition left to the caller where
// moved is true. ok is false when it is so already.
func ChangedGate(pod *corev1.Pod, want corev1.PodCondition) (condition corev1.PodCondition, moved, ok bool) {
	for _, have := range pod.Status.Conditions {
		if have.Type != want.Type {
			continue
		}
		want.LastTransitionTime = have.LastTransitionTime
		same := have.Status == want.Status && have.Reason == want.Reason && have.Message == want.Message
		return want, have.Status != want.Status, !same
	}
	return want, true, true
}
