package endpoints

import (
	"cmp"
	"fmt"
	"path"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	elbv2api "github.com/sluicehq/sluice/api/elbv2/v1beta1"
	"github.com/sluicehq/sluice/internal/kube"
	"github.com/sluicehq/sluice/internal/lb"
)

// nodeEndpoints are the instances behind a Service's node port. held is true when there is no node port, or the node
// selector cannot be read.
func nodeEndpoints(objects *kube.Objects, binding *elbv2api.TargetGroupBinding, service *corev1.Service, port *corev1.ServicePort) (found []endpoint, verdicts []lb.Verdict, held bool) {
	self := Object(binding)
	if port.NodePort == 0 {
		return nil, []lb.Verdict{{
			Object: self, Severity: lb.Refused, Reason: lb.NoNodePort, Field: "spec.serviceRef.name", Value: service.Name,
			Problem: fmt.Sprintf("the Service is of type %s and has no node port, which targets of type instance need",
				cmp.Or(service.Spec.Type, corev1.ServiceTypeClusterIP)),
			Fix: "Make it a Service of type NodePort, or use targets of type ip",
		}}, true
	}
	selector, err := nodeSelector(binding)
	if err != nil {
		return nil, []lb.Verdict{{
			Object: self, Severity: lb.Refused, Reason: InvalidBinding, Field: "spec.nodeSelector",
			Problem: "is no label selector: " + err.Error(), Fix: "Correct it",
		}}, true
	}
	var ready, unknown []endpoint
	for _, node := range objects.Nodes() {
		if !Fit(node) || !selector.Matches(labels.Set(node.Labels)) {
			continue
		}
		status := readiness(node)
		if status == corev1.ConditionFalse {
			continue
		}
		id, ok := InstanceID(node)
		if !ok {
			verdicts = append(verdicts, lb.Verdict{
				Object: self, Severity: lb.Partial, Reason: InvalidNode, Field: "Node " + node.Name + ": spec.providerID", Value: node.Spec.ProviderID,
				Problem: "does not end in an instance id; the node is no target", Fix: "Exclude the node with the label " + corev1.LabelNodeExcludeBalancers,
			})
			continue
		}
		if id == "" {
			continue
		}
		e := endpoint{
			target: lb.Target{ID: id, Port: port.NodePort}, since: node.CreationTimestamp.Time, place: lb.Place{Instance: id},
		}
		if status == corev1.ConditionTrue {
			ready = append(ready, e)
		} else {
			unknown = append(unknown, e)
		}
	}
	if len(ready) == 0 {
		return unknown, verdicts, false
	}
	return ready, verdicts, false
}

func nodeSelector(binding *elbv2api.TargetGroupBinding) (labels.Selector, error) {
	if binding.Spec.NodeSelector == nil {
		return labels.Everything(), nil
	}
	return metav1.LabelSelectorAsSelector(binding.Spec.NodeSelector)
}

// Fit says whether a node may be a target at all: nothing excludes it from load balancers, it is an instance, and it
// is not about to be removed. A cordoned node is fit: what runs there still serves.
func Fit(node *corev1.Node) bool {
	for _, label := range []string{
		"node-role.kubernetes.io/master", corev1.LabelNodeExcludeBalancers, "alpha.service-controller.kubernetes.io/exclude-balancer",
	} {
		if _, ok := node.Labels[label]; ok {
			return false
		}
	}
	if node.Labels[computeType] == "fargate" {
		return false
	}
	for _, taint := range node.Spec.Taints {
		if taint.Key == "ToBeDeletedByClusterAutoscaler" || taint.Key == "karpenter.sh/disrupted" && taint.Effect == corev1.TaintEffectNoSchedule {
			return false
		}
	}
	return true
}

// InstanceID reads a node's provider id. It is empty and fine for a node that is no EC2 instance (an EKS hybrid node)
// or whose cloud has yet to introduce it; ok is false when it should be one and is not.
func InstanceID(node *corev1.Node) (id string, ok bool) {
	provider := node.Spec.ProviderID
	if provider == "" || strings.HasPrefix(provider, "eks-hybrid://") {
		return "", true
	}
	id = path.Base(provider)
	return id, len(id) > len("i-") && strings.HasPrefix(id, "i-")
}

// readiness is the status of the condition Ready; a node without it is not ready.
func readiness(node *corev1.Node) corev1.ConditionStatus {
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status
		}
	}
	return corev1.ConditionFalse
}

// SameNode says whether two states of a node make the same targets, so that a heartbeat costs nothing.
func SameNode(a, b *corev1.Node) bool {
	return Fit(a) == Fit(b) && readiness(a) == readiness(b) && a.Spec.ProviderID == b.Spec.ProviderID &&
		labels.Equals(a.Labels, b.Labels)
}

// SamePod says whether two states of a pod make the same targets.
func SamePod(a, b *corev1.Pod) bool {
	return a.UID == b.UID && podCondition(a, corev1.ContainersReady) == podCondition(b, corev1.ContainersReady)
}
