package control

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicehq/sluice/internal/lb"
)

// bindingFinalizer keeps a TargetGroupBinding until its targets are let go. Those of Ingresses are compile's.
const bindingFinalizer = "elbv2.k8s.aws/resources"

// attempts is how often a patch is tried that others' changes come before.
const attempts = 5

// addFinalizer puts a stack's finalizer on a member.
func (c *Controller) addFinalizer(ctx context.Context, member lb.Object, finalizer string) error {
	object, err := c.member(ctx, member)
	if err != nil || object == nil {
		return err
	}
	return setFinalizer(ctx, c.client, c.live, object, finalizer, true)
}

// member reads a member from the cache, which may have newer metadata and status than a picture; nil when it is gone.
func (c *Controller) member(ctx context.Context, o lb.Object) (client.Object, error) {
	var object client.Object = &networkingv1.Ingress{}
	if o.Kind == serviceKind {
		object = &corev1.Service{}
	}
	err := c.client.Get(ctx, types.NamespacedName{Namespace: o.Namespace, Name: o.Name}, object, client.UnsafeDisableDeepCopy)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s from the cache: %w", o, err)
	}
	return object, nil
}

// setFinalizer adds a finalizer to an object or takes it away, unless that is so already. cached is the object as the
// cache has it, and is not changed; an object that is gone is fine. The patch holds for the version that was looked at
// only, because a merge patch replaces the whole list.
func setFinalizer[T client.Object](ctx context.Context, kube client.Client, live client.Reader, cached T, finalizer string, want bool) error {
	key := client.ObjectKeyFromObject(cached)
	seen := cached
	for range attempts {
		list := seen.GetFinalizers()
		if slices.Contains(list, finalizer) == want {
			return nil
		}
		changed := slices.DeleteFunc(slices.Clone(list), func(f string) bool { return f == finalizer })
		if want {
			changed = append(changed, finalizer)
		}
		patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
			"finalizers": changed, "resourceVersion": seen.GetResourceVersion(),
		}})
		if err != nil {
			return fmt.Errorf("patch finalizers of %s: %w", key, err)
		}
		answer, _ := cached.DeepCopyObject().(T)
		err = kube.Patch(ctx, answer, client.RawPatch(types.MergePatchType, patch))
		if !apierrors.IsConflict(err) {
			return client.IgnoreNotFound(err)
		}
		fresh, _ := cached.DeepCopyObject().(T)
		if err := live.Get(ctx, key, fresh); err != nil {
			return client.IgnoreNotFound(err)
		}
		seen = fresh
	}
	return fmt.Errorf("patch finalizers of %s: others kept changing it", key)
}
