package control

import (
	"bytes"
	"context"
	"maps"

	contour "github.com/projectcontour/contour/apis/projectcontour/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// watch has all kinds followed that stacks of the fleet are compiled from, and EndpointSlices.
func (f *Fleet) watch(ctx context.Context) error {
	for _, start := range []func() error{
		func() error { return followKind(ctx, f, &networkingv1.Ingress{}, sameIngress) },
		func() error { return followKind(ctx, f, &networkingv1.IngressClass{}, sameClass) },
		func() error { return followKind(ctx, f, &corev1.Service{}, f.sameFleetService) },
		func() error { return followKind(ctx, f, &corev1.Secret{}, sameSecret) },
		func() error { return followKind(ctx, f, &contour.HTTPProxy{}, sameProxy) },
		func() error { return followKind(ctx, f, &contour.TLSCertificateDelegation{}, sameDelegation) },
		func() error {
			return handle(ctx, f.cache, &discoveryv1.EndpointSlice{}, func(_ context.Context, e change[*discoveryv1.EndpointSlice]) {
				if e.urgent && e.matters(sameSlice) {
					f.slices.add(types.NamespacedName{Namespace: e.object().Namespace, Name: e.object().Labels[discoveryv1.LabelServiceName]})
				}
			})
		},
	} {
		if err := start(); err != nil {
			return err
		}
	}
	return nil
}

func followKind[T client.Object](ctx context.Context, f *Fleet, kind T, same func(a, b T) bool) error {
	return handle(ctx, f.cache, kind, func(_ context.Context, e change[T]) {
		if e.urgent && e.matters(same) {
			notify(f.wake)
		}
	})
}

// sameFleetService counts the status of the Service whose address is shown.
func (f *Fleet) sameFleetService(a, b *corev1.Service) bool {
	ours := a.Namespace == f.options.Service.Namespace && a.Name == f.options.Service.Name
	return sameService(a, b) && (!ours || equality.Semantic.DeepEqual(a.Status, b.Status))
}

func sameSecret(a, b *corev1.Secret) bool {
	return a.Type == b.Type && maps.EqualFunc(a.Data, b.Data, bytes.Equal)
}

func sameProxy(a, b *contour.HTTPProxy) bool {
	return a.UID == b.UID && equality.Semantic.DeepEqual(a.Annotations, b.Annotations) && equality.Semantic.DeepEqual(a.Spec, b.Spec) &&
		equality.Semantic.DeepEqual(a.Labels, b.Labels)
}

func sameDelegation(a, b *contour.TLSCertificateDelegation) bool {
	return equality.Semantic.DeepEqual(a.Spec, b.Spec)
}

// WithFleet has the caches keep of Secrets what a fleet can use. Those that are many and never of use are not asked for.
func WithFleet(o cache.Options) cache.Options {
	o.ByObject[&corev1.Secret{}] = cache.ByObject{
		Field: fields.AndSelectors(
			fields.OneTermNotEqualSelector("type", "helm.sh/release.v1"),
			fields.OneTermNotEqualSelector("type", string(corev1.SecretTypeServiceAccountToken)),
		),
		Transform: trimSecret,
	}
	return o
}

// trimSecret may be given what it returned.
func trimSecret(o any) (any, error) {
	secret, ok := o.(*corev1.Secret)
	if !ok {
		return o, nil // a note that an object is gone
	}
	out := &corev1.Secret{TypeMeta: secret.TypeMeta, ObjectMeta: trimMeta(secret.ObjectMeta), Type: secret.Type}
	for _, name := range []string{corev1.TLSCertKey, corev1.TLSPrivateKeyKey, "ca.crt", "crl.pem"} {
		if value, ok := secret.Data[name]; ok {
			if out.Data == nil {
				out.Data = map[string][]byte{}
			}
			out.Data[name] = value
		}
	}
	return out, nil
}
