package endpoints

import (
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	elbv2api "github.com/sluicehq/sluice/api/elbv2/v1beta1"
	"github.com/sluicehq/sluice/internal/kube"
	"github.com/sluicehq/sluice/internal/lb"
)

// podEndpoints are the pods behind a Service port: those that are ready, and those whose containers are ready on a
// healthy node and that only wait for a readiness gate, which would otherwise never be given. When there is none at
// all, pods on nodes that have not been heard of count: it is likelier that the control plane is cut off than that all
// of them are gone.
func podEndpoints(objects *kube.Objects, binding *elbv2api.TargetGroupBinding, service *corev1.Service, port *corev1.ServicePort) []endpoint {
	family := discoveryv1.AddressTypeIPv4
	if t := binding.Spec.IPAddressType; t != nil && *t == "ipv6" {
		family = discoveryv1.AddressTypeIPv6
	}
	nodes := map[string]*corev1.Node{}
	for _, n := range objects.Nodes() {
		nodes[n.Name] = n
	}
	var ready, fallback []endpoint
	for _, slice := range objects.EndpointSlices(service.Namespace, service.Name) {
		if slice.AddressType != family {
			continue
		}
		for i := range slice.Endpoints {
			pod := podOf(objects, slice.Namespace, &slice.Endpoints[i])
			if pod == nil {
				continue
			}
			node, address := nodes[nodeName(&slice.Endpoints[i], pod)], slice.Endpoints[i].Addresses[0]
			state := judge(&slice.Endpoints[i], pod, node)
			for _, number := range portsOf(slice, port) {
				e := endpoint{
					target: lb.Target{ID: address, Port: number},
					since:  pod.CreationTimestamp.Time,
					place:  podPlace(pod, address, node),
					pod:    pod,
				}
				switch state {
				case serving:
					ready = append(ready, e)
				case unheardOf:
					fallback = append(fallback, e)
				case notServing:
				}
			}
		}
	}
	if len(ready) == 0 {
		return fallback
	}
	return ready
}

type podState int

const (
	notServing podState = iota
	serving
	unheardOf
)

func judge(e *discoveryv1.Endpoint, pod *corev1.Pod, node *corev1.Node) podState {
	if e.Conditions.Ready == nil || *e.Conditions.Ready {
		return serving
	}
	if podCondition(pod, corev1.ContainersReady) != corev1.ConditionTrue || node == nil {
		return notServing
	}
	switch readiness(node) {
	case corev1.ConditionTrue:
		if e.Conditions.Terminating != nil && *e.Conditions.Terminating {
			return notServing
		}
		return serving
	case corev1.ConditionUnknown:
		return unheardOf
	default:
		return notServing
	}
}

// podOf returns the pod of an endpoint that has an address, or nil.
func podOf(objects *kube.Objects, namespace string, e *discoveryv1.Endpoint) *corev1.Pod {
	if e.TargetRef == nil || e.TargetRef.Kind != "Pod" || len(e.Addresses) == 0 {
		return nil
	}
	return objects.Pod(namespace, e.TargetRef.Name)
}

func nodeName(e *discoveryv1.Endpoint, pod *corev1.Pod) string {
	if e.NodeName != nil {
		return *e.NodeName
	}
	return pod.Spec.NodeName
}

// portsOf are the numbers that a slice has for a Service port: by its name, or all where the Service port has none.
func portsOf(slice *discoveryv1.EndpointSlice, port *corev1.ServicePort) []int32 {
	var numbers []int32
	for _, p := range slice.Ports {
		if p.Port == nil || port.Name != "" && (p.Name == nil || *p.Name != port.Name) {
			continue
		}
		numbers = append(numbers, *p.Port)
	}
	return numbers
}

func podCondition(pod *corev1.Pod, kind corev1.PodConditionType) corev1.ConditionStatus {
	for _, c := range pod.Status.Conditions {
		if c.Type == kind {
			return c.Status
		}
	}
	return corev1.ConditionFalse
}
