package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/sluicehq/sluice/internal/compile"
	"github.com/sluicehq/sluice/internal/engine"
	"github.com/sluicehq/sluice/internal/lb"
)

// Mirror is what an engine remembers of the cloud.
type Mirror interface {
	// Start finds out what there is and returns when all of it is known. It calls usable as soon as stacks can be
	// planned, at a higher cost as long as it has not returned. What trusted says is that some of it is from memory, so
	// an audit should follow soon.
	Start(ctx context.Context, usable func()) (trusted bool, err error)
	// Audit reads everything again and returns the stacks for which the cloud differs from what was known.
	Audit(ctx context.Context) ([]lb.StackID, error)
	// AuditSecurityGroups is the part of it that is cheap enough to be done often.
	AuditSecurityGroups(ctx context.Context) ([]lb.StackID, error)
	// Checkpoint keeps what is known for the next process, until the context ends.
	Checkpoint(ctx context.Context)
}

// Options say what the loop works for, and how.
type Options struct {
	Compile compile.Options // its Features are set from the engine
	Engine  engine.Engine
	Targets engine.Accounts
	Mirror  Mirror

	Networking engine.Networking

	Names *Names // the loop over DNS names, or nil where there is none

	VPCID          string // written into TargetGroupBindings
	Namespace      string // the only namespace watched; empty for all
	MaxTargets     int    // of a target group that are registered; no limit when zero
	StackWorkers   int
	BindingWorkers int
	AuditInterval  time.Duration // no audit when zero

	Registry prometheus.Registerer
	Logger   *slog.Logger
}

// Pauses of the loop.
const (
	batchWindow   = 20 * time.Millisecond // changes that come together are one pass
	targetsWindow = 50 * time.Millisecond // changes of one target group within it are one call
	firstRetry    = 250 * time.Millisecond
	longestRetry  = 5 * time.Minute
	blockedRetry  = 2 * time.Minute // the cloud may change without an object changing

	securityGroupsEvery = 45 * time.Second // who may reach what is compared more often than the rest
)

// resyncPriority is that of work that nobody waits for; what users do has 0.
const resyncPriority = -100

// Controller runs the loop. Make one with New.
type Controller struct {
	options Options
	client  client.Client // reads from the caches
	live    client.Reader // reads from the API server
	cache   cache.Cache   // nil in tests that drive passes themselves
	log     *slog.Logger
	metrics metrics

	snapshots *snapshots
	marks     *marks
	stacks    priorityqueue.PriorityQueue[lb.StackID]
	bindings  priorityqueue.PriorityQueue[types.NamespacedName]
	told      *memory[lb.StackID, told]
	forms     *memory[lb.StackID, compile.Forms] // for members that go bad
	bound     *memory[types.NamespacedName, bound]
	shared    *memory[types.NamespacedName, owned]
	network   *network
	orphans   *memory[lb.StackID, time.Time] // stacks that nothing wants, and since when that is known
	now       func() time.Time

	synced  chan struct{} // closed when all kinds are followed and the caches are filled
	leading atomic.Bool
	usable  atomic.Bool   // stacks can be planned: what users do now is worked
	loaded  atomic.Bool   // the engine knows what is in the cloud, so everything else is worked too
	known   chan struct{} // closed then
	names   *Names
}

// New adds the loop to a manager, which runs it once the caches are filled and it is the leader.
func New(m manager.Manager, o Options) (*Controller, error) {
	c := newController(m.GetClient(), m.GetAPIReader(), o)
	c.cache = m.GetCache()
	if err := c.metrics.register(o.Registry); err != nil {
		return nil, fmt.Errorf("control: register metrics: %w", err)
	}
	if err := m.Add(everywhere{c}); err != nil {
		return nil, err
	}
	return c, m.Add(c)
}

func newController(kube client.Client, live client.Reader, o Options) *Controller {
	o.Compile.Features = o.Engine.Features()
	c := &Controller{
		options: o, client: kube, live: live, log: o.Logger, metrics: newMetrics(),
		snapshots: &snapshots{reader: kube},
		marks:     newMarks(),
		stacks:    newQueue[lb.StackID]("stacks"),
		bindings:  newQueue[types.NamespacedName]("targets"),
		told:      newMemory[lb.StackID, told](),
		forms:     newMemory[lb.StackID, compile.Forms](),
		bound:     newMemory[types.NamespacedName, bound](),
		shared:    newMemory[types.NamespacedName, owned](),
		network:   newNetwork(),
		orphans:   newMemory[lb.StackID, time.Time](),
		now:       time.Now,
		synced:    make(chan struct{}),
		known:     make(chan struct{}),
	}
	c.use(o.Names)
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	return c
}

func newQueue[K comparable](name string) priorityqueue.PriorityQueue[K] {
	return priorityqueue.New(name, func(o *priorityqueue.Opts[K]) {
		o.RateLimiter = workqueue.NewTypedItemExponentialFailureRateLimiter[K](firstRetry, longestRetry)
	})
}

// Ready is the readiness check: the caches are filled, and the leader knows what is in the cloud.
func (c *Controller) Ready(*http.Request) error {
	select {
	case <-c.synced:
	default:
		return errors.New("the caches are not filled yet")
	}
	if c.leading.Load() && !c.usable.Load() {
		return errors.New("the load balancers in the cloud are not known yet")
	}
	return nil
}

// everywhere is the part that runs on every replica.
type everywhere struct{ *Controller }

// Start watches, and waits until the caches are filled.
func (e everywhere) Start(ctx context.Context) error {
	if err := e.watch(ctx); err != nil {
		return err
	}
	if e.cache.WaitForCacheSync(ctx) {
		close(e.synced)
	}
	return nil
}

// NeedLeaderElection says no.
func (everywhere) NeedLeaderElection() bool { return false }
