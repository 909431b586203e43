package control

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	elbv2api "github.com/sluicehq/sluice/api/elbv2/v1beta1"
	"github.com/sluicehq/sluice/internal/lb"
)

// Several clusters can have targets in one target group (spec.multiClusterTargetGroup). What this one has registered
// stands in a ConfigMap beside the binding, in the form of the AWS Load Balancer Controller; only such is deregistered.

const (
	sharedPrefix = "aws-lbc-targets-" // before the binding's name
	sharedKey    = "targets"
)

// owned are the targets that this cluster has registered in a shared target group. known is false when nobody has
// written them down yet: then it cannot be told whose a target is.
type owned struct {
	uid     types.UID
	targets []lb.Target // sorted
	known   bool
}

func (o owned) has(t lb.Target) bool { return slices.Contains(o.targets, t) }

// ownedTargets reads them, from the API server the first time: a cache of all ConfigMaps would be too dear.
func (c *Controller) ownedTargets(ctx context.Context, tgb *elbv2api.TargetGroupBinding) (owned, error) {
	key := client.ObjectKeyFromObject(tgb)
	if o := c.shared.get(key); o.uid == tgb.UID && o.known {
		return o, nil
	}
	var m corev1.ConfigMap
	err := c.live.Get(ctx, types.NamespacedName{Namespace: key.Namespace, Name: sharedPrefix + key.Name}, &m)
	if apierrors.IsNotFound(err) {
		return owned{}, nil
	}
	if err != nil {
		return owned{}, fmt.Errorf("read which targets are this cluster's: %w", err)
	}
	o := owned{uid: tgb.UID, known: true, targets: parseTargets(m.Data[sharedKey])}
	c.shared.set(key, o)
	return o, nil
}

// own writes down which targets are this cluster's, before they are registered: so none is ever left that nobody knows.
func (c *Controller) own(ctx context.Context, tgb *elbv2api.TargetGroupBinding, before owned, targets []lb.Target) error {
	slices.SortFunc(targets, lb.Target.Compare)
	targets = slices.Compact(targets)
	if before.known && slices.Equal(before.targets, targets) {
		return nil
	}
	name := sharedPrefix + tgb.Name
	data := map[string]string{sharedKey: formatTargets(targets)}
	patch, err := json.Marshal(map[string]any{"data": data})
	if err != nil {
		return fmt.Errorf("write which targets are this cluster's: %w", err)
	}
	m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: tgb.Namespace, Name: name}}
	if err = c.client.Patch(ctx, m, client.RawPatch(types.MergePatchType, patch)); apierrors.IsNotFound(err) {
		err = c.client.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: tgb.Namespace, Name: name}, Data: data})
	}
	if err != nil {
		return fmt.Errorf("write which targets are this cluster's into ConfigMap %s: %w", name, err)
	}
	c.shared.set(client.ObjectKeyFromObject(tgb), owned{uid: tgb.UID, known: true, targets: targets})
	return nil
}

// disown removes the ConfigMap of a binding that goes.
func (c *Controller) disown(ctx context.Context, tgb *elbv2api.TargetGroupBinding) error {
	c.shared.forget(client.ObjectKeyFromObject(tgb))
	m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: tgb.Namespace, Name: sharedPrefix + tgb.Name}}
	if err := c.client.Delete(ctx, m); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("remove ConfigMap %s: %w", m.Name, err)
	}
	return nil
}

func formatTargets(targets []lb.Target) string {
	var list []string
	for _, t := range targets {
		list = append(list, t.ID+":"+strconv.Itoa(int(t.Port)))
	}
	return strings.Join(list, ",")
}

// parseTargets reads "192.0.2.1:8080,i-0123:30080". A QUIC server id behind a port is left out; what is no target is
// nobody's.
func parseTargets(text string) []lb.Target {
	var out []lb.Target
	for item := range strings.SplitSeq(text, ",") {
		item = strings.TrimSpace(item)
		if head, _, ok := strings.Cut(item, ":0x"); ok {
			item = head
		}
		at := strings.LastIndexByte(item, ':')
		if at < 0 {
			continue
		}
		if port, err := strconv.ParseInt(item[at+1:], 10, 32); err == nil {
			out = append(out, lb.Target{ID: item[:at], Port: int32(port)})
		}
	}
	slices.SortFunc(out, lb.Target.Compare)
	return out
}
