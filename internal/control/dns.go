package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	externaldnsapi "github.com/sluicehq/sluice/api/externaldns/v1alpha1"
	"github.com/sluicehq/sluice/internal/dns"
	"github.com/sluicehq/sluice/internal/dns/source"
	"github.com/sluicehq/sluice/internal/lb"
)

// NamesOptions say which names are kept, and how.
type NamesOptions struct {
	Keeper   *dns.Keeper
	Sources  source.Options
	Kinds    []string // of objects that names come from: source.Ingress …
	Policy   dns.ChangePolicy
	Interval time.Duration // how often every name is planned again, from memory; never when zero
	DryRun   bool
	Once     bool // one pass, then Ended is called
	Ended    func(error)
	Status   bool // the condition DNSReady is written to objects
	Now      func() time.Time
	Registry prometheus.Registerer
	Logger   *slog.Logger
}

// Pauses of the loop over names. The budget of an idle hour is ten calls a zone: six pages of the audit and the listing
// of zones.
const (
	namesWindow    = 100 * time.Millisecond // changes that come together are one batch
	auditEvery     = 10 * time.Minute       // one page of each zone
	zonesEvery     = time.Hour
	zoneMissed     = 15 * time.Second // the first look for a zone that a name lacks; then twice as long each time
	zoneMissedMost = 20 * time.Minute
	syncedFirst    = 5 * time.Second // when to ask whether changes are in force
	syncedAgain    = 20 * time.Second
	balancerAgain  = 10 * time.Second // when to look again for a load balancer that is being made
	nameRetry      = time.Second      // after a failure of the world
	nameRetryMost  = 5 * time.Minute
	refusedRetry   = 30 * time.Second // after a refusal, which seldom goes by itself
	refusedMost    = time.Hour
	withdrawMost   = 2 * time.Minute // how long a load balancer's deletion waits for its names
)

// Names is the loop that keeps the records of names: watch → read the objects that changed → plan the names that they
// are about → change the zones → tell the objects. It makes no call for a pass that changes nothing.
//
// What always holds: nothing is planned before all objects and all zones have been read. A name is planned from all
// objects that ask for it. What fails is tried again by itself, name by name, with growing pauses. No error ends it.
type Names struct {
	options NamesOptions
	client  client.Client
	cache   cache.Cache
	log     *slog.Logger
	metrics nameMetrics
	facts   facts           // nil where no load balancers are made
	loaded  <-chan struct{} // the facts are known

	mu   sync.Mutex // guards todo and the gate's memory
	todo todo
	gate map[dns.Name]time.Time // load balancers that wait to be deleted, and since when

	working sync.Mutex // a pass at a time; guards what follows
	index   index
	answers map[dns.Name][]dns.Answer
	pending []pendingChange
	told    map[lb.Object]string
	hosts   map[dns.Name]bool // of load balancers that were known once
	times   times
	ready   atomic.Bool // zones are known
}

// facts are what the rest of the controller knows of load balancers.
type facts interface {
	// owns says whether the load balancer of an object is one that this controller makes.
	owns(ctx context.Context, o lb.Object) (bool, error)
	// balancersOf are the load balancers of objects that are there.
	balancersOf(ctx context.Context, objects []lb.Object) (dns.Balancers, error)
	// look asks for load balancers that are being made.
	look(ctx context.Context) error
}

// times are when something is due that concerns zones as a whole.
type times struct {
	zones   time.Time
	missed  time.Duration // the present pause between looks for zones that names lack
	audit   time.Time
	resync  time.Time
	looked  time.Time // for load balancers that are being made
	refresh bool      // a name lacks its zone
}

// NewNames adds the loop over names to a manager.
func NewNames(m manager.Manager, o NamesOptions) (*Names, error) {
	n := newNames(m.GetClient(), o)
	n.cache = m.GetCache()
	if err := n.metrics.register(o.Registry); err != nil {
		return nil, fmt.Errorf("control: register metrics: %w", err)
	}
	return n, m.Add(n)
}

func newNames(kube client.Client, o NamesOptions) *Names {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Names{
		options: o, client: kube, log: o.Logger, metrics: newNameMetrics(),
		todo: newTodo(), gate: map[dns.Name]time.Time{},
		index: newIndex(), answers: map[dns.Name][]dns.Answer{}, told: map[lb.Object]string{}, hosts: map[dns.Name]bool{},
	}
}

// Start runs the loop until the context ends.
func (n *Names) Start(ctx context.Context) error {
	if err := n.watch(ctx); err != nil {
		return err
	}
	if !n.cache.WaitForCacheSync(ctx) {
		return nil
	}
	if n.loaded != nil {
		select {
		case <-ctx.Done():
			return nil
		case <-n.loaded:
		}
	}
	if err := n.enqueueAll(ctx); err != nil {
		return err
	}
	if n.options.Once {
		n.options.Ended(n.once(ctx))
		return nil
	}
	for ctx.Err() == nil {
		next := n.guardedPass(ctx)
		n.wait(ctx, next)
	}
	return nil
}

// once is the only pass of a run that does not go on.
func (n *Names) once(ctx context.Context) error {
	if _, err := n.options.Keeper.Refresh(ctx); err != nil {
		return err
	}
	n.ready.Store(true)
	n.addOwned()
	n.pass(ctx)
	var errs []error
	for _, failed := range n.todo.failures {
		errs = append(errs, failed.err)
	}
	return errors.Join(errs...)
}

// wait returns when something has changed or the time has come, and a moment for what comes together has passed.
func (n *Names) wait(ctx context.Context, next time.Time) {
	timer := time.NewTimer(max(0, next.Sub(n.options.Now())))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return
	case <-timer.C:
		return
	case <-n.todo.wake:
	}
	select {
	case <-ctx.Done():
	case <-time.After(namesWindow):
	}
}

// guardedPass is a pass; one that panics costs a pause.
func (n *Names) guardedPass(ctx context.Context) (next time.Time) {
	defer func() {
		if trouble := recover(); trouble != nil {
			n.log.Error("a pass over names panicked; this is a bug", "panic", trouble)
			next = n.options.Now().Add(nameRetryMost)
		}
	}()
	return n.pass(ctx)
}

func (n *Names) has(kind string) bool { return slices.Contains(n.options.Kinds, kind) }

// enqueueAll marks every object, whether or not its first event has come yet.
func (n *Names) enqueueAll(ctx context.Context) error {
	lists := map[string]client.ObjectList{
		source.Ingress: &networkingv1.IngressList{}, source.Service: &corev1.ServiceList{}, source.CRD: &externaldnsapi.DNSEndpointList{},
	}
	for _, kind := range n.options.Kinds {
		if err := n.client.List(ctx, lists[kind], client.UnsafeDisableDeepCopy); err != nil {
			return fmt.Errorf("control: list objects of source %s: %w", kind, err)
		}
		n.mark(objectsOf(lists[kind])...)
	}
	return nil
}

func objectsOf(list client.ObjectList) []lb.Object {
	var out []lb.Object
	switch l := list.(type) {
	case *networkingv1.IngressList:
		for i := range l.Items {
			out = append(out, objectOfKind("Ingress", &l.Items[i]))
		}
	case *corev1.ServiceList:
		for i := range l.Items {
			out = append(out, objectOfKind("Service", &l.Items[i]))
		}
	case *externaldnsapi.DNSEndpointList:
		for i := range l.Items {
			out = append(out, objectOfKind("DNSEndpoint", &l.Items[i]))
		}
	}
	return out
}

func objectOfKind(kind string, o client.Object) lb.Object {
	return lb.Object{Kind: kind, Namespace: o.GetNamespace(), Name: o.GetName()}
}

// NamesCacheOptions keep the caches of a program that keeps names only small: whatever there is of pods, nothing grows
// with their number but the slices of headless Services.
func NamesCacheOptions(namespace string) cache.Options {
	o := CacheOptions(namespace)
	o.ByObject = map[client.Object]cache.ByObject{
		&corev1.Node{}:               {Transform: trimNode},
		&discoveryv1.EndpointSlice{}: {Transform: trimSlice},
	}
	return o
}

// trimSlice keeps of a slice what names come from: all of a headless Service's, and of another's one endpoint for each
// node and state.
func trimSlice(o any) (any, error) {
	slice, ok := o.(*discoveryv1.EndpointSlice)
	if !ok {
		return o, nil
	}
	small := &discoveryv1.EndpointSlice{TypeMeta: slice.TypeMeta, ObjectMeta: trimMeta(slice.ObjectMeta), AddressType: slice.AddressType}
	_, headless := slice.Labels[corev1.IsHeadlessService]
	seen := map[string]bool{}
	for _, e := range slice.Endpoints {
		kept := discoveryv1.Endpoint{Conditions: e.Conditions, NodeName: e.NodeName}
		if headless {
			kept.Addresses, kept.Hostname, kept.TargetRef = e.Addresses[:min(1, len(e.Addresses))], e.Hostname, e.TargetRef
		} else {
			key := fmt.Sprint(is(e.NodeName), is(e.Conditions.Ready), is(e.Conditions.Serving), is(e.Conditions.Terminating))
			if seen[key] {
				continue
			}
			seen[key] = true
		}
		small.Endpoints = append(small.Endpoints, kept)
	}
	return small, nil
}

// is is what a pointer points at, for keys.
func is[T any](p *T) any {
	if p == nil {
		return nil
	}
	return *p
}
