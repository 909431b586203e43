package control

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	elbv2api "github.com/sluicehq/sluice/api/elbv2/v1beta1"
	"github.com/sluicehq/sluice/internal/compile"
	"github.com/sluicehq/sluice/internal/endpoints"
	"github.com/sluicehq/sluice/internal/lb"
)

// change is what an event says: before is nil for an object that was added, after for one that was deleted. It is not
// urgent when nobody did anything: the first listing, and resyncs.
type change[T client.Object] struct {
	before, after T
	added         bool
	deleted       bool
	urgent        bool
}

// object is the newest state there is.
func (e change[T]) object() T {
	if e.deleted {
		return e.before
	}
	return e.after
}

// matters says whether anything but what same ignores has changed. A resync always counts.
func (e change[T]) matters(same func(a, b T) bool) bool {
	return e.added || e.deleted || !e.urgent || !same(e.before, e.after)
}

// handle calls on for every event about objects of a kind.
func handle[T client.Object](ctx context.Context, from cache.Cache, kind T, on func(context.Context, change[T])) error {
	informer, err := from.GetInformer(ctx, kind, cache.BlockUntilSynced(false)) // all are filled at the same time
	if err != nil {
		return fmt.Errorf("control: watch %T: %w", kind, err)
	}
	_, err = informer.AddEventHandler(toolscache.ResourceEventHandlerDetailedFuncs{
		AddFunc: func(o any, isInInitialList bool) {
			if after, ok := o.(T); ok {
				on(ctx, change[T]{after: after, added: true, urgent: !isInInitialList})
			}
		},
		UpdateFunc: func(old, o any) {
			before, ok := old.(T)
			if after, also := o.(T); ok && also {
				on(ctx, change[T]{before: before, after: after, urgent: before.GetResourceVersion() != after.GetResourceVersion()})
			}
		},
		DeleteFunc: func(o any) {
			if gone, ok := o.(toolscache.DeletedFinalStateUnknown); ok {
				o = gone.Obj
			}
			if before, ok := o.(T); ok {
				on(ctx, change[T]{before: before, deleted: true, urgent: true})
			}
		},
	})
	if err != nil {
		return fmt.Errorf("control: watch %T: %w", kind, err)
	}
	return nil
}

// watch has all kinds followed.
func (c *Controller) watch(ctx context.Context) error {
	for _, start := range []func() error{
		func() error { return handle(ctx, c.cache, &networkingv1.Ingress{}, c.onIngress) },
		func() error { return handle(ctx, c.cache, &corev1.Service{}, c.onService) },
		func() error {
			return handle(ctx, c.cache, &networkingv1.IngressClass{}, func(_ context.Context, e change[*networkingv1.IngressClass]) {
				c.onStackInput(e.object(), "IngressClass", e.matters(sameClass), e.urgent)
			})
		},
		func() error {
			return handle(ctx, c.cache, &elbv2api.IngressClassParams{}, func(_ context.Context, e change[*elbv2api.IngressClassParams]) {
				c.onStackInput(e.object(), "IngressClassParams", e.matters(sameParams), e.urgent)
			})
		},
		func() error {
			return handle(ctx, c.cache, &corev1.Namespace{}, func(_ context.Context, e change[*corev1.Namespace]) {
				// Its labels count where a class selects by them, and its end. Resyncs do not: it has no settings.
				c.onStackInput(e.object(), "Namespace", e.urgent && e.matters(sameNamespace), e.urgent)
			})
		},
		func() error { return handle(ctx, c.cache, &elbv2api.TargetGroupBinding{}, c.onBinding) },
		func() error { return handle(ctx, c.cache, &discoveryv1.EndpointSlice{}, c.onEndpointSlice) },
		func() error { return handle(ctx, c.cache, &corev1.Node{}, c.onNode) },
		func() error { return handle(ctx, c.cache, &corev1.Pod{}, c.onPod) },
	} {
		if err := start(); err != nil {
			return err
		}
	}
	return nil
}

// onIngress marks the stacks that an Ingress is in by its newest state. Those that only its old state tells of, because
// it is gone or somebody took a finalizer away, are enqueued by name.
func (c *Controller) onIngress(_ context.Context, e change[*networkingv1.Ingress]) {
	if !e.matters(sameIngress) {
		return
	}
	c.onStackInput(e.object(), "Ingress", true, e.urgent)
	if e.deleted || !e.added && !slices.Equal(e.before.Finalizers, e.after.Finalizers) {
		c.enqueueStacks(e.urgent, compile.FinalizedStacks(e.before)...)
	}
}

// onService marks the stacks that a Service is or is in. Its own is enqueued by name where its newest state tells nothing
// of it any more.
func (c *Controller) onService(ctx context.Context, e change[*corev1.Service]) {
	c.onStackInput(e.object(), serviceKind, e.matters(sameService), e.urgent)
	if e.deleted || !e.added && !slices.Equal(e.before.Finalizers, e.after.Finalizers) {
		c.enqueueStacks(e.urgent, compile.FinalizedStacks(e.before)...)
	}
	if !e.urgent {
		return // bindings have their own resync
	}
	if e.added || e.deleted || !equality.Semantic.DeepEqual(e.before.Spec.Ports, e.after.Spec.Ports) {
		c.enqueueBindings(ctx, e.object().Namespace, e.urgent, func(b *elbv2api.TargetGroupBinding) bool {
			return b.Spec.ServiceRef.Name == e.object().Name
		})
	}
}

// onStackInput follows what may be an input of several stacks.
func (c *Controller) onStackInput(object client.Object, kind string, matters, urgent bool) {
	if matters {
		c.snapshots.changed()
		c.marks.add(lb.Object{Kind: kind, Namespace: object.GetNamespace(), Name: object.GetName()}, urgent)
	}
}

func (c *Controller) onBinding(_ context.Context, e change[*elbv2api.TargetGroupBinding]) {
	if !e.matters(sameBinding) {
		return
	}
	c.snapshots.changed()
	if id, ok := stackOfBinding(e.object()); ok {
		c.enqueueStacks(e.urgent, id)
	}
	c.enqueueBinding(e.urgent, client.ObjectKeyFromObject(e.object()))
}

func (c *Controller) onEndpointSlice(ctx context.Context, e change[*discoveryv1.EndpointSlice]) {
	if !e.urgent || !e.matters(sameSlice) {
		return
	}
	service := e.object().Labels[discoveryv1.LabelServiceName]
	c.enqueueBindings(ctx, e.object().Namespace, e.urgent, func(b *elbv2api.TargetGroupBinding) bool {
		return ofType(b, elbv2api.TargetTypeIP) && b.Spec.ServiceRef.Name == service
	})
}

func (c *Controller) onNode(ctx context.Context, e change[*corev1.Node]) {
	if !e.urgent || !e.matters(endpoints.SameNode) {
		return
	}
	c.enqueueBindings(ctx, metav1.NamespaceAll, e.urgent, func(b *elbv2api.TargetGroupBinding) bool {
		// A node's fate matters to pods only by the slices, which the node controller changes.
		return ofType(b, elbv2api.TargetTypeInstance)
	})
}

// onPod follows pods because a slice may name one before it is in the cache, and because containers may be ready
// before the pod is.
func (c *Controller) onPod(ctx context.Context, e change[*corev1.Pod]) {
	if !e.urgent || e.deleted || !e.matters(endpoints.SamePod) {
		return
	}
	pod := e.object()
	c.enqueueBindings(ctx, pod.Namespace, e.urgent, func(b *elbv2api.TargetGroupBinding) bool {
		if !ofType(b, elbv2api.TargetTypeIP) {
			return false
		}
		var service corev1.Service
		key := types.NamespacedName{Namespace: pod.Namespace, Name: b.Spec.ServiceRef.Name}
		if err := c.client.Get(ctx, key, &service, client.UnsafeDisableDeepCopy); err != nil {
			return false // its coming will be an event
		}
		return len(service.Spec.Selector) == 0 || labels.SelectorFromSet(service.Spec.Selector).Matches(labels.Set(pod.Labels))
	})
}

// enqueueBindings enqueues the bindings of a namespace for which the condition holds.
func (c *Controller) enqueueBindings(ctx context.Context, namespace string, urgent bool, which func(*elbv2api.TargetGroupBinding) bool) {
	if !c.usable.Load() || !urgent && !c.loaded.Load() {
		return // all of them are enqueued at the start, and worked from what the caches have then
	}
	var list elbv2api.TargetGroupBindingList
	if err := c.client.List(ctx, &list, client.InNamespace(namespace), client.UnsafeDisableDeepCopy); err != nil {
		if ctx.Err() == nil {
			c.log.Error("cannot read TargetGroupBindings from the cache", "error", err)
		}
		return
	}
	for i := range list.Items {
		if which(&list.Items[i]) {
			c.enqueueBinding(urgent, client.ObjectKeyFromObject(&list.Items[i]))
		}
	}
}

func ofType(b *elbv2api.TargetGroupBinding, kind elbv2api.TargetType) bool {
	return b.Spec.TargetType != nil && *b.Spec.TargetType == kind
}

// sameIngress ignores labels and status. Of finalizers it counts when one is taken away: ours is put back.
func sameIngress(a, b *networkingv1.Ingress) bool {
	return !lost(a, b) && a.UID == b.UID && equality.Semantic.DeepEqual(a.Annotations, b.Annotations) &&
		a.DeletionTimestamp.IsZero() == b.DeletionTimestamp.IsZero() && equality.Semantic.DeepEqual(a.Spec, b.Spec)
}

// lost says whether a finalizer was taken away.
func lost(a, b client.Object) bool {
	return slices.ContainsFunc(a.GetFinalizers(), func(f string) bool { return !slices.Contains(b.GetFinalizers(), f) })
}

// sameService is as sameIngress.
func sameService(a, b *corev1.Service) bool {
	return !lost(a, b) && a.UID == b.UID && equality.Semantic.DeepEqual(a.Annotations, b.Annotations) &&
		a.DeletionTimestamp.IsZero() == b.DeletionTimestamp.IsZero() && equality.Semantic.DeepEqual(a.Spec, b.Spec)
}

func sameClass(a, b *networkingv1.IngressClass) bool {
	return equality.Semantic.DeepEqual(a.Annotations, b.Annotations) && equality.Semantic.DeepEqual(a.Spec, b.Spec)
}

func sameParams(a, b *elbv2api.IngressClassParams) bool {
	return equality.Semantic.DeepEqual(a.Spec, b.Spec)
}

func sameNamespace(a, b *corev1.Namespace) bool {
	return a.DeletionTimestamp.IsZero() == b.DeletionTimestamp.IsZero() && equality.Semantic.DeepEqual(a.Labels, b.Labels)
}

// sameBinding ignores what we write ourselves: the checkpoint and the status.
func sameBinding(a, b *elbv2api.TargetGroupBinding) bool {
	return a.UID == b.UID && a.DeletionTimestamp.IsZero() == b.DeletionTimestamp.IsZero() && slices.Equal(a.Finalizers, b.Finalizers) &&
		equality.Semantic.DeepEqual(a.Labels, b.Labels) && equality.Semantic.DeepEqual(a.Spec, b.Spec)
}

func sameSlice(a, b *discoveryv1.EndpointSlice) bool {
	return a.Labels[discoveryv1.LabelServiceName] == b.Labels[discoveryv1.LabelServiceName] &&
		equality.Semantic.DeepEqual(a.Endpoints, b.Endpoints) && equality.Semantic.DeepEqual(a.Ports, b.Ports)
}
