package control

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	elbv2api "github.com/sluicehq/sluice/api/elbv2/v1beta1"
	"github.com/sluicehq/sluice/internal/kube"
	"github.com/sluicehq/sluice/internal/lb"
)

// snapshots takes pictures of the caches for compiling: one for all stacks that are worked between two changes.
type snapshots struct {
	reader  client.Reader
	changes atomic.Uint64 // counts events; raised before what an event marks is enqueued

	mu    sync.Mutex
	taken uint64
	last  *picture
}

// picture is one state of the caches. What nothing is compiled from (an Ingress's status and finalizers, a binding's
// checkpoint) may be older than the caches have it.
type picture struct {
	*kube.Objects
	bindings map[lb.StackID][]*elbv2api.TargetGroupBinding // those that stacks made
}

// changed says that pictures taken before are old.
func (s *snapshots) changed() { s.changes.Add(1) }

// take returns a picture that has everything that was announced by changed before the call.
func (s *snapshots) take(ctx context.Context) (*picture, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.changes.Load()
	if s.last != nil && s.taken == now {
		return s.last, nil
	}
	contents, err := s.read(ctx)
	if err != nil {
		return nil, err
	}
	s.last, s.taken = newPicture(contents), now
	return s.last, nil
}

func newPicture(contents kube.Contents) *picture { return pictureOf(kube.New(contents)) }

func pictureOf(objects *kube.Objects) *picture {
	p := &picture{Objects: objects, bindings: map[lb.StackID][]*elbv2api.TargetGroupBinding{}}
	for _, b := range p.TargetGroupBindings() {
		if id, ok := stackOfBinding(b); ok {
			p.bindings[id] = append(p.bindings[id], b)
		}
	}
	return p
}

func (s *snapshots) read(ctx context.Context) (kube.Contents, error) {
	var (
		namespaces corev1.NamespaceList
		services   corev1.ServiceList
		ingresses  networkingv1.IngressList
		classes    networkingv1.IngressClassList
		params     elbv2api.IngressClassParamsList
		bindings   elbv2api.TargetGroupBindingList
	)
	for _, list := range []client.ObjectList{&namespaces, &services, &ingresses, &classes, &params, &bindings} {
		if err := s.reader.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
			return kube.Contents{}, fmt.Errorf("list %T: %w", list, err)
		}
	}
	return kube.Contents{
		Namespaces:          pointers(namespaces.Items),
		Services:            pointers(services.Items),
		Ingresses:           pointers(ingresses.Items),
		IngressClasses:      pointers(classes.Items),
		IngressClassParams:  pointers(params.Items),
		TargetGroupBindings: pointers(bindings.Items),
	}, nil
}

func pointers[T any](items []T) []*T {
	out := make([]*T, len(items))
	for i := range items {
		out[i] = &items[i]
	}
	return out
}
