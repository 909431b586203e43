package control

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	contour "github.com/projectcontour/contour/apis/projectcontour/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/sluicehq/sluice/internal/compile"
	"github.com/sluicehq/sluice/internal/endpoints"
	"github.com/sluicehq/sluice/internal/engine/envoy"
	"github.com/sluicehq/sluice/internal/engine/envoy/ads"
	"github.com/sluicehq/sluice/internal/kube"
	"github.com/sluicehq/sluice/internal/lb"
)

// FleetOptions say what an Envoy fleet is served from, and how.
type FleetOptions struct {
	Compile compile.FleetOptions
	Engine  *envoy.Engine
	Server  *ads.Server

	Address string      // where xDS is served
	TLS     *tls.Config // nil for clear text

	// Addresses are what the status of served objects shows; without any, those of Service are copied.
	Addresses []string
	Service   types.NamespacedName

	Logger *slog.Logger
}

// Fleet serves an Envoy fleet from what the cluster has. Each replica does, whether it leads or not; only the leader
// writes status and events.
type Fleet struct {
	options FleetOptions
	client  client.Client
	cache   cache.Cache // nil in tests that drive passes themselves
	log     *slog.Logger

	wake   chan struct{} // has an element when something has changed that stacks are compiled from
	slices *pending      // Services whose endpoints have changed

	mu       sync.Mutex
	applied  map[lb.StackID]string                 // digests
	backends map[types.NamespacedName][]lb.Backend // by Service

	state  atomic.Pointer[fleetState]
	report chan struct{} // has an element when state has changed
	ready  atomic.Bool
}

// fleetState is what one pass made.
type fleetState struct {
	objects *kube.Objects
	fleet   compile.Fleet
}

// NewFleet adds a fleet's loop to a manager.
func NewFleet(m manager.Manager, o FleetOptions) (*Fleet, error) {
	f := newFleet(m.GetClient(), o)
	f.cache = m.GetCache()
	if err := m.Add(fleetServer{f}); err != nil {
		return nil, err
	}
	return f, m.Add(newFleetStatus(f))
}

func newFleet(kube client.Client, o FleetOptions) *Fleet {
	f := &Fleet{
		options: o, client: kube, log: o.Logger, wake: make(chan struct{}, 1), slices: newPending(),
		applied: map[lb.StackID]string{}, backends: map[types.NamespacedName][]lb.Backend{}, report: make(chan struct{}, 1),
	}
	if f.log == nil {
		f.log = slog.New(slog.DiscardHandler)
	}
	return f
}

// Ready is the readiness check: Envoys are served.
func (f *Fleet) Ready(*http.Request) error {
	if !f.ready.Load() {
		return errors.New("the Envoys' configuration is not compiled yet")
	}
	return nil
}

// fleetServer is the part that runs on every replica.
type fleetServer struct{ *Fleet }

// NeedLeaderElection says no.
func (fleetServer) NeedLeaderElection() bool { return false }

// Start fills the caches, compiles once, and then serves: an Envoy that comes from another replica must not be told that
// what it has is gone.
func (s fleetServer) Start(ctx context.Context) error {
	if err := s.watch(ctx); err != nil {
		return err
	}
	if !s.cache.WaitForCacheSync(ctx) {
		return nil
	}
	if err := s.pass(ctx); err != nil {
		return err
	}
	s.options.Server.Open()
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.options.Address)
	if err != nil {
		return fmt.Errorf("control: serve xDS: %w", err)
	}
	s.ready.Store(true)
	s.log.Info("serving Envoys", "address", listener.Addr().String(), "hosts", len(s.options.Engine.Stacks()))
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var running sync.WaitGroup
	running.Go(func() { s.follow(ctx) })
	running.Go(func() { s.followEndpoints(ctx) })
	err = s.options.Server.Serve(ctx, listener, s.options.TLS)
	cancel()
	running.Wait()
	return err
}

// follow compiles again when something has changed.
func (f *Fleet) follow(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.wake:
		case <-f.options.Server.RefusalsChanged():
			notify(f.report)
			continue
		}
		if !pause(ctx, batchWindow) {
			return
		}
		select {
		case <-f.wake: // what came in the meantime is seen by this pass
		default:
		}
		if err := f.pass(ctx); err != nil && ctx.Err() == nil {
			f.log.Error("cannot serve what the cluster has; trying again", "error", err)
			time.AfterFunc(firstRetry, func() { notify(f.wake) })
		}
	}
}

// pass compiles everything, and has the engine serve what differs from before. Compiling all is quicker than finding out
// which hosts a change can touch, and cannot miss one.
func (f *Fleet) pass(ctx context.Context) error {
	objects, err := f.snapshot(ctx)
	if err != nil {
		return err
	}
	fleet := compile.FleetOf(objects, f.options.Compile)
	if err := f.know(ctx, fleet.Backends()); err != nil {
		return err
	}
	wanted := map[lb.StackID]bool{}
	changed := 0
	for _, s := range fleet.Stacks {
		wanted[s.ID] = true
		if digest := s.Digest(); f.applied[s.ID] != digest {
			if err := f.apply(ctx, s); err != nil {
				return err
			}
			f.applied[s.ID] = digest
			changed++
		}
	}
	for _, id := range f.options.Engine.Stacks() {
		if wanted[id] {
			continue
		}
		if err := f.apply(ctx, lb.Stack{ID: id}); err != nil {
			return err
		}
		delete(f.applied, id)
		changed++
	}
	if changed > 0 {
		f.log.Info("Envoys are told", "hosts changed", changed, "hosts", len(fleet.Stacks))
	}
	f.state.Store(&fleetState{objects, fleet})
	notify(f.report)
	return nil
}

func (f *Fleet) apply(ctx context.Context, s lb.Stack) error {
	p, _, err := f.options.Engine.Plan(ctx, s)
	if err != nil {
		return err
	}
	for _, r := range f.options.Engine.Apply(ctx, p).Steps {
		if r.Err != nil {
			return fmt.Errorf("control: %s: %w", r.Step.ID, r.Err)
		}
	}
	return nil
}

// know sets the endpoints of backends that have come, before routes lead to them, and remembers whose changes count.
func (f *Fleet) know(ctx context.Context, list []lb.Backend) error {
	byService := map[types.NamespacedName][]lb.Backend{}
	for _, b := range list {
		key := types.NamespacedName{Namespace: b.Namespace, Name: b.Service}
		byService[key] = append(byService[key], b)
	}
	f.mu.Lock()
	before := f.backends
	f.backends = byService
	f.mu.Unlock()
	for service, backends := range byService {
		if !slices.Equal(before[service], backends) {
			if err := f.endpointsOf(ctx, service); err != nil {
				return err
			}
		}
	}
	return nil
}

// followEndpoints is the path of endpoints: nothing is compiled on it.
func (f *Fleet) followEndpoints(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.slices.wake:
		}
		for _, service := range f.slices.take() {
			if err := f.endpointsOf(ctx, service); err != nil && ctx.Err() == nil {
				f.log.Error("cannot tell Envoys of endpoints; trying again", "service", service, "error", err)
				time.AfterFunc(firstRetry, func() { f.slices.add(service) })
			}
		}
	}
}

// endpointsOf sets the endpoints of all backends of a Service.
func (f *Fleet) endpointsOf(ctx context.Context, service types.NamespacedName) error {
	f.mu.Lock()
	backends := f.backends[service]
	f.mu.Unlock()
	if len(backends) == 0 {
		return nil
	}
	var list discoveryv1.EndpointSliceList
	labels := client.MatchingLabels{discoveryv1.LabelServiceName: service.Name}
	if err := f.client.List(ctx, &list, client.InNamespace(service.Namespace), labels, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("control: list EndpointSlices of %s: %w", service, err)
	}
	for _, b := range backends {
		if err := f.options.Engine.SetEndpoints(b, endpoints.OfBackend(pointers(list.Items), b)); err != nil {
			return err
		}
	}
	return nil
}

// snapshot reads all that stacks are compiled from.
func (f *Fleet) snapshot(ctx context.Context) (*kube.Objects, error) {
	var (
		services    corev1.ServiceList
		secrets     corev1.SecretList
		ingresses   networkingv1.IngressList
		classes     networkingv1.IngressClassList
		proxies     contour.HTTPProxyList
		delegations contour.TLSCertificateDelegationList
	)
	for _, list := range []client.ObjectList{&services, &secrets, &ingresses, &classes, &proxies, &delegations} {
		if err := f.client.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
			return nil, fmt.Errorf("list %T: %w", list, err)
		}
	}
	return kube.New(kube.Contents{
		Services: pointers(services.Items), Secrets: pointers(secrets.Items), Ingresses: pointers(ingresses.Items),
		IngressClasses: pointers(classes.Items), HTTPProxies: pointers(proxies.Items), TLSCertificateDelegations: pointers(delegations.Items),
	}), nil
}

// pending are Services of which something is to be done.
type pending struct {
	wake chan struct{}
	mu   sync.Mutex
	list map[types.NamespacedName]bool
}

func newPending() *pending {
	return &pending{wake: make(chan struct{}, 1), list: map[types.NamespacedName]bool{}}
}

func (p *pending) add(service types.NamespacedName) {
	p.mu.Lock()
	p.list[service] = true
	p.mu.Unlock()
	notify(p.wake)
}

func (p *pending) take() []types.NamespacedName {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []types.NamespacedName
	for service := range p.list {
		out = append(out, service)
	}
	clear(p.list)
	return out
}

// notify puts an element into a channel that has none.
func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// pause waits, and says whether the context goes on.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
