// Package v1beta1 has the Go types of the API group elbv2.k8s.aws/v1beta1: TargetGroupBinding and IngressClassParams.
//
// The group, kinds, fields and validation are those of the AWS Load Balancer Controller v3.5, so that objects, clients
// and the controller itself can be exchanged in place.
//
// +kubebuilder:object:generate=true
// +groupName=elbv2.k8s.aws
package v1beta1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is elbv2.k8s.aws/v1beta1.
var GroupVersion = schema.GroupVersion{Group: "elbv2.k8s.aws", Version: "v1beta1"}

// AddToScheme registers the kinds of this package.
func AddToScheme(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion,
		&TargetGroupBinding{}, &TargetGroupBindingList{},
		&IngressClassParams{}, &IngressClassParamsList{},
	)
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
