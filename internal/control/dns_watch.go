package control

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	externaldnsapi "github.com/sluicehq/sluice/api/externaldns/v1alpha1"
	"github.com/sluicehq/sluice/internal/annot"
	"github.com/sluicehq/sluice/internal/dns/source"
	"github.com/sluicehq/sluice/internal/lb"
)

// watch has the objects followed that names come from, and what Services' names depend on.
func (n *Names) watch(ctx context.Context) error {
	if n.has(source.Ingress) {
		err := handle(ctx, n.cache, &networkingv1.Ingress{}, func(_ context.Context, e change[*networkingv1.Ingress]) {
			n.follow(e.object(), "Ingress", e.matters(func(a, b *networkingv1.Ingress) bool {
				return sameMeta(a, b) && equality.Semantic.DeepEqual(a.Spec, b.Spec) && equality.Semantic.DeepEqual(a.Status, b.Status)
			}))
		})
		if err != nil {
			return err
		}
	}
	if n.has(source.CRD) {
		err := handle(ctx, n.cache, &externaldnsapi.DNSEndpoint{}, func(_ context.Context, e change[*externaldnsapi.DNSEndpoint]) {
			n.follow(e.object(), "DNSEndpoint", e.matters(func(a, b *externaldnsapi.DNSEndpoint) bool {
				return sameMeta(a, b) && equality.Semantic.DeepEqual(a.Spec, b.Spec)
			}))
		})
		switch {
		case meta.IsNoMatchError(err):
			n.log.Error("the cluster has no kind DNSEndpoint, so none is served; install its CustomResourceDefinition and start again", "error", err)
			n.options.Kinds = slices.DeleteFunc(slices.Clone(n.options.Kinds), func(k string) bool { return k == source.CRD })
		case err != nil:
			return err
		}
	}
	if n.has(source.Service) {
		return n.watchServices(ctx)
	}
	return nil
}

func (n *Names) watchServices(ctx context.Context) error {
	err := handle(ctx, n.cache, &corev1.Service{}, func(_ context.Context, e change[*corev1.Service]) {
		n.follow(e.object(), "Service", e.matters(func(a, b *corev1.Service) bool {
			return sameMeta(a, b) && equality.Semantic.DeepEqual(a.Spec, b.Spec) && equality.Semantic.DeepEqual(a.Status.LoadBalancer, b.Status.LoadBalancer)
		}))
	})
	if err != nil {
		return err
	}
	types := n.options.Sources.ServiceTypes
	if len(types) > 0 && !slices.Contains(types, corev1.ServiceTypeClusterIP) && !slices.Contains(types, corev1.ServiceTypeNodePort) {
		return nil // of these neither pods nor nodes count
	}
	err = handle(ctx, n.cache, &discoveryv1.EndpointSlice{}, func(ctx context.Context, e change[*discoveryv1.EndpointSlice]) {
		if e.matters(sameSlice) {
			n.markServices(ctx, client.InNamespace(e.object().Namespace), e.object().Labels[discoveryv1.LabelServiceName], source.NeedsSlices)
		}
	})
	if err != nil {
		return err
	}
	return handle(ctx, n.cache, &corev1.Node{}, func(ctx context.Context, e change[*corev1.Node]) {
		if e.matters(func(a, b *corev1.Node) bool {
			return a.Spec.Unschedulable == b.Spec.Unschedulable && equality.Semantic.DeepEqual(a.Status.Addresses, b.Status.Addresses)
		}) {
			n.markServices(ctx, client.InNamespace(""), "", source.NeedsNodes)
		}
	})
}

// sameMeta ignores what we write ourselves, and versions.
func sameMeta(a, b client.Object) bool {
	without := func(annotations map[string]string) map[string]string {
		if _, has := annotations[annot.DNSReadyAnnotation]; !has {
			return annotations
		}
		out := map[string]string{}
		for k, v := range annotations {
			if k != annot.DNSReadyAnnotation {
				out[k] = v
			}
		}
		return out
	}
	return a.GetUID() == b.GetUID() && a.GetDeletionTimestamp().IsZero() == b.GetDeletionTimestamp().IsZero() &&
		equality.Semantic.DeepEqual(a.GetLabels(), b.GetLabels()) && equality.Semantic.DeepEqual(without(a.GetAnnotations()), without(b.GetAnnotations()))
}

func (n *Names) follow(object client.Object, kind string, matters bool) {
	if matters {
		n.mark(objectOfKind(kind, object))
	}
}

// markServices marks the Services that something counts for: the one of that name, or all.
func (n *Names) markServices(ctx context.Context, in client.InNamespace, name string, counts func(*corev1.Service) bool) {
	var list corev1.ServiceList
	if err := n.client.List(ctx, &list, in, client.UnsafeDisableDeepCopy); err != nil {
		if ctx.Err() == nil {
			n.log.Error("cannot read Services from the cache", "error", err)
		}
		return
	}
	var marked []lb.Object
	for i := range list.Items {
		if s := &list.Items[i]; (name == "" || s.Name == name) && counts(s) {
			marked = append(marked, objectOfKind("Service", s))
		}
	}
	if len(marked) > 0 {
		n.mark(marked...)
	}
}
