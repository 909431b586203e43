package kube

import (
	"strconv"

	networkingv1 "k8s.io/api/networking/v1"
	networkingv1beta1 "k8s.io/api/networking/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// fromBeta converts an Ingress of the two APIs that Kubernetes 1.22 stopped serving (extensions/v1beta1 and
// networking.k8s.io/v1beta1); users still have manifests in them. It keeps what the API server's own conversion kept: a
// path without a type is ImplementationSpecific, and everything but backends and path types has the same form.
func fromBeta(old *networkingv1beta1.Ingress) *networkingv1.Ingress {
	out := &networkingv1.Ingress{
		TypeMeta:   metav1.TypeMeta{APIVersion: "networking.k8s.io/v1", Kind: "Ingress"},
		ObjectMeta: old.ObjectMeta,
		Spec:       networkingv1.IngressSpec{IngressClassName: old.Spec.IngressClassName},
	}
	if old.Spec.Backend != nil {
		b := backend(*old.Spec.Backend)
		out.Spec.DefaultBackend = &b
	}
	for _, t := range old.Spec.TLS {
		out.Spec.TLS = append(out.Spec.TLS, networkingv1.IngressTLS{Hosts: t.Hosts, SecretName: t.SecretName})
	}
	for _, r := range old.Spec.Rules {
		rule := networkingv1.IngressRule{Host: r.Host}
		if r.HTTP != nil {
			rule.HTTP = &networkingv1.HTTPIngressRuleValue{}
			for _, p := range r.HTTP.Paths {
				kind := networkingv1.PathTypeImplementationSpecific
				if p.PathType != nil {
					kind = networkingv1.PathType(*p.PathType)
				}
				rule.HTTP.Paths = append(rule.HTTP.Paths,
					networkingv1.HTTPIngressPath{Path: p.Path, PathType: &kind, Backend: backend(p.Backend)})
			}
		}
		out.Spec.Rules = append(out.Spec.Rules, rule)
	}
	return out
}

// backend converts serviceName and servicePort. A port number written as text, which the old APIs took and the new one
// refuses as a name, becomes a number.
func backend(old networkingv1beta1.IngressBackend) networkingv1.IngressBackend {
	if old.Resource != nil {
		return networkingv1.IngressBackend{Resource: old.Resource}
	}
	service := &networkingv1.IngressServiceBackend{Name: old.ServiceName}
	switch number, err := strconv.ParseInt(old.ServicePort.StrVal, 10, 32); {
	case old.ServicePort.Type == intstr.Int:
		service.Port.Number = old.ServicePort.IntVal
	case err == nil:
		service.Port.Number = int32(number)
	default:
		service.Port.Name = old.ServicePort.StrVal
	}
	return networkingv1.IngressBackend{Service: service}
}
