package compile

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	elbv2api "github.com/sluicehq/sluice/api/elbv2/v1beta1"
	"github.com/sluicehq/sluice/internal/annot"
	"github.com/sluicehq/sluice/internal/kube"
	"github.com/sluicehq/sluice/internal/lb"
)

// Controller is the spec.controller of the IngressClasses that are ours, whatever their names.
const Controller = "ingress.k8s.aws/alb"

type classParams = elbv2api.IngressClassParams

// ownership is what an Ingress's class says.
type ownership struct {
	ours     bool
	stack    lb.StackID // when it is ours
	params   *classParams
	verdicts []lb.Verdict
}

// owner decides whether an Ingress is ours, and in which stack it is. Verdicts say that it cannot be told.
func owner(objects *kube.Objects, options Options, ingress *networkingv1.Ingress) ownership {
	o := classOwner(objects, options, ingress)
	if !o.ours {
		return o
	}
	group, verdicts := annot.Group(ingress, o.params)
	if len(verdicts) > 0 {
		return ownership{verdicts: verdicts}
	}
	o.stack = cmp.Or(group, ownStack(ingress))
	return o
}

// classOwner decides by the class: the class annotation first, then spec.ingressClassName, then the default class. An
// Ingress that is being deleted is nobody's.
func classOwner(objects *kube.Objects, options Options, ingress *networkingv1.Ingress) ownership {
	if ingress.DeletionTimestamp != nil {
		return ownership{}
	}
	if class, ok := ingress.Annotations[annot.ClassAnnotation]; ok {
		ours := class == options.IngressClass || options.IngressClass == "" && class == "alb"
		return ownership{ours: ours}
	}
	if ingress.Spec.IngressClassName == nil {
		defaults := objects.DefaultIngressClasses()
		switch len(defaults) {
		case 0:
			return ownership{ours: options.IngressClass == ""}
		case 1:
			return inClass(objects, ingress, defaults[0])
		default:
			return ownership{verdicts: []lb.Verdict{{
				Object: object(ingress), Severity: lb.Refused, Reason: lb.InvalidClass, Field: "spec.ingressClassName",
				Problem: "is not set, and several IngressClasses are marked as the default: " + strings.Join(defaults, ", "),
				Fix:     "Set it, or leave the mark " + networkingv1.AnnotationIsDefaultIngressClass + " on one class only",
			}}}
		}
	}
	return inClass(objects, ingress, *ingress.Spec.IngressClassName)
}

// className is the class that an Ingress names or gets by default, or empty.
func className(objects *kube.Objects, ingress *networkingv1.Ingress) string {
	if ingress.Spec.IngressClassName != nil {
		return *ingress.Spec.IngressClassName
	}
	if defaults := objects.DefaultIngressClasses(); len(defaults) == 1 {
		return defaults[0]
	}
	return ""
}

func inClass(objects *kube.Objects, ingress *networkingv1.Ingress, name string) ownership {
	invalid := func(problem, fix string) ownership {
		return ownership{verdicts: []lb.Verdict{{
			Object: object(ingress), Severity: lb.Refused, Reason: lb.InvalidClass, Field: "spec.ingressClassName", Value: name, Problem: problem, Fix: fix,
		}}}
	}
	class := objects.IngressClass(name)
	if class == nil {
		return invalid("there is no such IngressClass", "Create it, or name one that exists")
	}
	if class.Spec.Controller != Controller {
		return ownership{}
	}
	ref := class.Spec.Parameters
	if ref == nil {
		return ownership{ours: true}
	}
	if ref.APIGroup == nil || *ref.APIGroup != elbv2api.GroupVersion.Group || ref.Kind != "IngressClassParams" {
		return invalid(fmt.Sprintf("the class's spec.parameters refer to a %s, which are no parameters of ours", ref.Kind),
			"Let them refer to an IngressClassParams of "+elbv2api.GroupVersion.Group)
	}
	params := objects.IngressClassParams(ref.Name)
	if params == nil {
		return invalid(fmt.Sprintf("the class's parameters, IngressClassParams %s, do not exist", ref.Name),
			"Create them, or remove spec.parameters from the class")
	}
	if problem := namespaceRefused(objects, ingress.Namespace, params.Spec.NamespaceSelector); problem != "" {
		return invalid(problem, "Label the namespace as the selector wants, or use another class")
	}
	return ownership{ours: true, params: params}
}

// namespaceRefused says why a class's selector does not let a namespace use it, or nothing when it does.
func namespaceRefused(objects *kube.Objects, namespace string, selector *metav1.LabelSelector) string {
	if selector == nil {
		return ""
	}
	s, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		return "the class's namespaceSelector is invalid: " + err.Error()
	}
	var set labels.Set
	if n := objects.Namespace(namespace); n != nil {
		set = n.Labels
	}
	if !s.Matches(set) {
		return fmt.Sprintf("the class's namespaceSelector (%s) leaves namespace %s out", s, namespace)
	}
	return ""
}

// ownStack is the stack of an Ingress that is in no group.
func ownStack(ingress *networkingv1.Ingress) lb.StackID {
	return lb.NewStackID(lb.IngressFront, ingress.Namespace+"/"+ingress.Name)
}

// The finalizers that members of stacks carry until their stack has been made real without them.
const (
	ownFinalizer         = "ingress.k8s.aws/resources"
	groupFinalizerPrefix = "group.ingress.k8s.aws/"
)

// Finalizer is the finalizer that a stack's members carry.
func Finalizer(id lb.StackID) string {
	_, _, own := id.Own()
	switch {
	case id.FrontEnd() == lb.ServiceFront:
		return serviceFinalizer
	case own:
		return ownFinalizer
	default:
		return groupFinalizerPrefix + id.Name()
	}
}

// FinalizedStacks are the stacks whose finalizers an Ingress or a Service carries.
func FinalizedStacks(object metav1.Object) []lb.StackID {
	var ids []lb.StackID
	for _, f := range object.GetFinalizers() {
		name := object.GetNamespace() + "/" + object.GetName()
		if f == ownFinalizer {
			ids = append(ids, lb.NewStackID(lb.IngressFront, name))
		} else if f == serviceFinalizer {
			ids = append(ids, lb.NewStackID(lb.ServiceFront, name))
		} else if group, ok := strings.CutPrefix(f, groupFinalizerPrefix); ok {
			ids = append(ids, lb.NewStackID(lb.IngressFront, group))
		}
	}
	return ids
}

// stacksOf are the stacks that an Ingress takes part in: the one it is in, and those that it may have to leave. One that
// is in none is looked at under the stack that it would have for itself.
func stacksOf(objects *kube.Objects, options Options, ingress *networkingv1.Ingress) []lb.StackID {
	ids := FinalizedStacks(ingress)
	if o := owner(objects, options, ingress); o.ours {
		ids = append(ids, o.stack)
	} else if len(ids) == 0 {
		ids = append(ids, ownStack(ingress))
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

func ipv6(cidr string) bool {
	prefix, err := netip.ParsePrefix(cidr)
	return err == nil && prefix.Addr().Is6()
}

// Ours says whether the load balancer of an Ingress or a Service is one that is made here, whatever else there is to say
// about the object.
func Ours(objects *kube.Objects, options Options, o lb.Object) bool {
	switch o.Kind {
	case "Ingress":
		ingress := objects.Ingress(o.Namespace, o.Name)
		return ingress != nil && classOwner(objects, options, ingress).ours
	case "Service":
		service := objects.Service(o.Namespace, o.Name)
		return service != nil && asksForBalancer(options, service)
	}
	return false
}
