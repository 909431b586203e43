// Package endpoints says which targets a target group should have, and what must be let in to them: in go a
// TargetGroupBinding and the Service, EndpointSlices, Pods and Nodes behind it; out come targets, openings
// (spec.networking), pods that wait for readiness gates, verdicts, and a checkpoint by which a later process knows that nothing has changed since. It is
// pure: when to compute, registering, and security groups, are others'.
//
// What always holds: targets are sorted and each is there once, in whatever order the objects came. A backend that does
// not exist has no targets. Where it cannot be told what is wanted (Wanted.Held), all that is registered stays.
package endpoints

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	elbv2api "github.com/sluicehq/sluice/api/elbv2/v1beta1"
	"github.com/sluicehq/sluice/internal/kube"
	"github.com/sluicehq/sluice/internal/lb"
)

// Reasons of verdicts about TargetGroupBindings.
const (
	BackendNotFound lb.Reason = "BackendNotFound"
	InvalidBinding  lb.Reason = "InvalidBinding"
	InvalidNode     lb.Reason = "InvalidNode"
)

// Wanted is what a binding asks for.
type Wanted struct {
	Targets    []lb.Target // sorted
	Checkpoint string      // empty when Held and when there is no backend
	Held       bool        // what is registered stays as it is, and so does what is let in
	Openings   []lb.Opening
	Gated      []Gated // those of Targets whose pods have the binding's readiness gate
	Verdicts   []lb.Verdict
}

// Of computes what a binding wants from the objects given: the Service that it names, the Service's EndpointSlices and
// their Pods, and all Nodes.
func Of(objects *kube.Objects, binding *elbv2api.TargetGroupBinding) Wanted {
	self := Object(binding)
	if v, ok := unusable(binding); ok {
		v.Object, v.Severity = self, lb.Refused
		return Wanted{Held: true, Verdicts: []lb.Verdict{v}}
	}
	service, port, missing := backend(objects, binding)
	if missing != nil {
		missing.Object = self
		return Wanted{Verdicts: []lb.Verdict{*missing}}
	}
	var found []endpoint
	var verdicts []lb.Verdict
	if *binding.Spec.TargetType == elbv2api.TargetTypeIP {
		found = podEndpoints(objects, binding, service, port)
	} else {
		var held bool
		found, verdicts, held = nodeEndpoints(objects, binding, service, port)
		if held {
			return Wanted{Held: true, Verdicts: verdicts}
		}
	}
	found = unique(found)
	open, problems := openings(binding, found)
	wanted := Wanted{
		Checkpoint: checkpoint(found, binding.Spec), Openings: open, Gated: gated(binding.Name, found), Verdicts: lb.SortVerdicts(append(verdicts, problems...)),
	}
	for _, e := range found {
		wanted.Targets = append(wanted.Targets, e.target)
	}
	return wanted
}

// Object names a binding.
func Object(binding *elbv2api.TargetGroupBinding) lb.Object {
	return lb.Object{Kind: "TargetGroupBinding", Namespace: binding.Namespace, Name: binding.Name}
}

// Changes says what leads from the targets that a group has to those that are wanted. Both results are sorted.
func Changes(have, want []lb.Target) (add, remove []lb.Target) {
	has, wants := map[lb.Target]bool{}, map[lb.Target]bool{}
	for _, t := range have {
		has[t] = true
	}
	for _, t := range want {
		wants[t] = true
		if !has[t] {
			add = append(add, t)
		}
	}
	for _, t := range have {
		if !wants[t] {
			remove = append(remove, t)
		}
	}
	slices.SortFunc(add, lb.Target.Compare)
	slices.SortFunc(remove, lb.Target.Compare)
	return slices.Compact(add), slices.Compact(remove)
}

// endpoint is one target with what stands behind it.
type endpoint struct {
	target lb.Target
	since  time.Time // when its Pod or Node was created: another one may get the same address
	place  lb.Place
	pod    *corev1.Pod // nil for a node
}

func unique(found []endpoint) []endpoint {
	slices.SortFunc(found, func(a, b endpoint) int {
		return cmp.Or(a.target.Compare(b.target), a.since.Compare(b.since))
	})
	return slices.CompactFunc(found, func(a, b endpoint) bool { return a.target == b.target })
}

// unusable says what keeps a binding from being worked at all.
func unusable(binding *elbv2api.TargetGroupBinding) (lb.Verdict, bool) {
	spec := binding.Spec
	switch {
	case spec.TargetGroupARN == "":
		return lb.Verdict{
			Reason: InvalidBinding, Field: "spec.targetGroupARN", Problem: "is not set, and spec.targetGroupName is not either", Fix: "Set one of them",
		}, true
	case spec.TargetType == nil:
		return lb.Verdict{
			Reason: InvalidBinding, Field: "spec.targetType", Problem: "is not set", Fix: "Set the target group's type, instance or ip",
		}, true
	case *spec.TargetType != elbv2api.TargetTypeIP && *spec.TargetType != elbv2api.TargetTypeInstance:
		return lb.Verdict{
			Reason: InvalidBinding, Field: "spec.targetType", Value: string(*spec.TargetType), Problem: "is no type of targets", Fix: "Set it to instance or ip",
		}, true
	case *spec.TargetType == elbv2api.TargetTypeIP && spec.NodeSelector != nil:
		return lb.Verdict{
			Reason: InvalidBinding, Field: "spec.nodeSelector", Problem: "is for targets of type instance only", Fix: "Remove it",
		}, true
	case *spec.TargetType == elbv2api.TargetTypeInstance && spec.IamRoleArnToAssume != "":
		return lb.Verdict{
			Reason: InvalidBinding, Field: "spec.iamRoleArnToAssume", Value: spec.IamRoleArnToAssume,
			Problem: "is for targets of type ip only: instances are of the controller's own account", Fix: "Remove it, or use a target group of type ip",
		}, true
	case *spec.TargetType == elbv2api.TargetTypeInstance && ofQUIC(spec.TargetGroupProtocol):
		return lb.Verdict{
			Reason: InvalidBinding, Field: "spec.targetGroupProtocol", Value: string(*spec.TargetGroupProtocol),
			Problem: "is for targets of type ip only", Fix: "Use a target group of type ip",
		}, true
	}
	return lb.Verdict{}, false
}

func ofQUIC(protocol *elbv2api.TargetGroupProtocol) bool {
	return protocol != nil && (*protocol == "QUIC" || *protocol == "TCP_QUIC")
}

// Rival is a binding of the same target group that came before, if there is one that does not share it: two would each
// take the other's targets away.
func Rival(binding *elbv2api.TargetGroupBinding, all []elbv2api.TargetGroupBinding) *elbv2api.TargetGroupBinding {
	var first *elbv2api.TargetGroupBinding
	for i := range all {
		other := &all[i]
		switch {
		case other.UID == binding.UID || other.Spec.TargetGroupARN != binding.Spec.TargetGroupARN:
		case other.Spec.MultiClusterTargetGroup && binding.Spec.MultiClusterTargetGroup:
		case (made(other) || older(other, binding)) && (first == nil || older(other, first)):
			first = other
		}
	}
	return first
}

// made says whether a stack made a binding, by its labels.
func made(binding *elbv2api.TargetGroupBinding) bool {
	for label := range binding.Labels {
		if strings.HasSuffix(label, ".k8s.aws/stack") || strings.HasSuffix(label, ".k8s.aws/stack-name") {
			return true
		}
	}
	return false
}

func older(a, b *elbv2api.TargetGroupBinding) bool {
	return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time),
		cmp.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name)) < 0
}

// backend finds the Service and its port.
func backend(objects *kube.Objects, binding *elbv2api.TargetGroupBinding) (*corev1.Service, *corev1.ServicePort, *lb.Verdict) {
	ref := binding.Spec.ServiceRef
	service := objects.Service(binding.Namespace, ref.Name)
	if service == nil {
		return nil, nil, &lb.Verdict{
			Severity: lb.Partial, Reason: BackendNotFound, Field: "spec.serviceRef.name", Value: ref.Name,
			Problem: "there is no such Service in namespace " + binding.Namespace + "; the target group is left empty", Fix: "Create the Service, or name one that exists",
		}
	}
	for i := range service.Spec.Ports {
		p := &service.Spec.Ports[i]
		if ref.Port.Type == intstr.Int && p.Port == ref.Port.IntVal || ref.Port.Type == intstr.String && p.Name != "" && p.Name == ref.Port.StrVal {
			return service, p, nil
		}
	}
	return nil, nil, &lb.Verdict{
		Severity: lb.Partial, Reason: BackendNotFound, Field: "spec.serviceRef.port", Value: ref.Port.String(),
		Problem: fmt.Sprintf("Service %s/%s has no such port; the target group is left empty", service.Namespace, service.Name),
		Fix:     "Name one of its ports: " + kube.PortList(service),
	}
}
