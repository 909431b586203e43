package annot

import (
	"regexp"

	networkingv1 "k8s.io/api/networking/v1"

	elbv2api "github.com/sluicehq/sluice/api/elbv2/v1beta1"
	"github.com/sluicehq/sluice/internal/lb"
)

// validGroup is what a group can be called.
var validGroup = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$`)

// Group is the group that an Ingress is in: by its class parameters, else by its annotation; empty when it has its load
// balancer for itself. A verdict says that the name can be no group's, and then it is not known where the Ingress
// belongs.
func Group(ingress *networkingv1.Ingress, params *elbv2api.IngressClassParams) (lb.StackID, []lb.Verdict) {
	self := ingressObject(ingress)
	r := newReader(self, ingress.Annotations)
	name, at, ok := r.text(groupName)
	if params != nil && params.Spec.Group != nil {
		name, ok = params.Spec.Group.Name, true
		at = Origin{classObject(params), "spec.group.name", name}
	}
	if !ok {
		return "", nil
	}
	if !validGroup.MatchString(name) {
		v := at.Verdict(lb.Refused, lb.InvalidAnnotation, "is no name that a group can have",
			"Use 1 to 63 lower-case letters, digits, hyphens and dots, with a letter or digit at either end")
		if at.Object != self {
			v.Object, v.Field = self, "spec.ingressClassName"
			v.Problem = "is no name that a group can have (spec.group.name of " + at.Object.String() + ")"
		}
		return "", []lb.Verdict{v}
	}
	return lb.NewStackID(lb.IngressFront, name), nil
}

// NamedGroup is the group that an Ingress's annotation names, whatever its class says: for whoever looks for all that
// may be in a group. Empty for none.
func NamedGroup(ingress *networkingv1.Ingress) lb.StackID {
	return lb.NewStackID(lb.IngressFront, ingress.Annotations[groupName.Annotation()])
}
