package control

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"

	elbv2api "github.com/sluicehq/sluice/api/elbv2/v1beta1"
	"github.com/sluicehq/sluice/internal/compile"
	"github.com/sluicehq/sluice/internal/engine"
	"github.com/sluicehq/sluice/internal/lb"
	"github.com/sluicehq/sluice/internal/plan"
)

// outcome is how a pass ended.
type outcome struct {
	status plan.Status
	after  time.Duration // for Later; for Blocked, zero when only a change of an object can help
}

// Start runs the loop until the context ends: find out what is in the cloud, look at everything once, then follow
// changes. What users do is worked before the cloud is known to the end.
func (c *Controller) Start(ctx context.Context) error {
	c.leading.Store(true)
	select {
	case <-ctx.Done():
		return nil
	case <-c.synced: // before that, a change could be missed between reading a cache and following it
	}
	ctx, stop := context.WithCancel(ctx)
	kept, stopKeeping := context.WithCancel(context.WithoutCancel(ctx))
	var running, keeping sync.WaitGroup
	defer func() {
		stop()
		c.stacks.ShutDown()
		c.bindings.ShutDown()
		running.Wait()
		stopKeeping() // last, so that what was just done is kept
		keeping.Wait()
	}()
	var once sync.Once
	trusted, ok := c.load(ctx, func() {
		once.Do(func() {
			c.usable.Store(true)
			c.work(ctx, &running)
			keeping.Go(func() { c.options.Mirror.Checkpoint(kept) })
		})
	})
	if ok {
		c.loaded.Store(true)
		close(c.known)
		if err := c.enqueueAll(ctx); err != nil {
			return err
		}
		c.audit(ctx, trusted, &running)
	}
	<-ctx.Done()
	return nil
}

// work starts those who work what is enqueued.
func (c *Controller) work(ctx context.Context, running *sync.WaitGroup) {
	for range max(1, c.options.StackWorkers) {
		running.Go(func() { serve(ctx, c, c.stacks, engine.UserChanges, c.workStack) })
	}
	for range max(1, c.options.BindingWorkers) {
		running.Go(func() { serve(ctx, c, c.bindings, engine.TargetsIn, c.workBinding) })
	}
	running.Go(func() { c.gather(ctx) })
}

// load finds out what is in the cloud, trying until it works or the context ends.
func (c *Controller) load(ctx context.Context, usable func()) (trusted, ok bool) {
	for pause := time.Second; ; pause = min(2*pause, time.Minute) {
		start := time.Now()
		trusted, err := c.options.Mirror.Start(engine.InLane(ctx, engine.Resync), usable)
		if err == nil {
			c.log.Info("know what is in the cloud", "stacks", len(c.options.Engine.Stacks()), "fromCheckpoint", trusted, "took", time.Since(start).Round(time.Millisecond))
			return trusted, true
		}
		if ctx.Err() != nil {
			return false, false
		}
		c.log.Error("cannot read what is in the cloud; trying again", "error", err, "after", pause)
		select {
		case <-ctx.Done():
			return false, false
		case <-time.After(pause):
		}
	}
}

// audit looks for what others changed in the cloud: soon after a start that trusts what was known before, then every
// now and then, and at security groups more often.
func (c *Controller) audit(ctx context.Context, soon bool, running *sync.WaitGroup) {
	if c.options.AuditInterval == 0 {
		return
	}
	running.Go(func() {
		if soon {
			c.compare(engine.InLane(ctx, engine.Audit), c.options.Mirror.Audit)
		}
		every(ctx, c.options.AuditInterval, func() { c.compare(engine.InLane(ctx, engine.Audit), c.options.Mirror.Audit) })
	})
	running.Go(func() {
		every(ctx, securityGroupsEvery, func() { c.compare(engine.InLane(ctx, engine.Resync), c.options.Mirror.AuditSecurityGroups) })
	})
}

func every(ctx context.Context, interval time.Duration, do func()) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			do()
		}
	}
}

// compare has what differs from what was known worked again.
func (c *Controller) compare(ctx context.Context, audit func(context.Context) ([]lb.StackID, error)) {
	changed, err := audit(ctx)
	if err != nil && ctx.Err() == nil {
		c.log.Error("cannot compare with what is in the cloud", "error", err)
	}
	c.enqueueStacks(false, changed...)
	if err == nil {
		c.repairIngress(engine.InLane(ctx, engine.Resync))
	}
}

// enqueueAll marks everything: every Ingress and every Service that has a load balancer, every stack that has something
// in the cloud or in the cluster, every binding.
func (c *Controller) enqueueAll(ctx context.Context) error {
	objects, err := c.snapshots.take(ctx)
	if err != nil {
		return fmt.Errorf("control: read the caches: %w", err)
	}
	for _, i := range objects.Ingresses() {
		c.enqueueStacks(false, compile.StacksUsing(objects.Objects, c.options.Compile, nameOf(i))...)
	}
	for _, s := range objects.Services() {
		c.enqueueStacks(false, compile.StacksUsing(objects.Objects, c.options.Compile, nameOf(s))...)
	}
	c.enqueueStacks(false, c.options.Engine.Stacks()...)
	var bindings elbv2api.TargetGroupBindingList
	if err := c.client.List(ctx, &bindings, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("control: list TargetGroupBindings: %w", err)
	}
	for i := range bindings.Items {
		if id, ok := stackOfBinding(&bindings.Items[i]); ok {
			c.enqueueStacks(false, id)
		}
		c.enqueueBinding(false, client.ObjectKeyFromObject(&bindings.Items[i]))
	}
	return nil
}

// enqueueStacks has stacks worked. Until the cloud is known, only what users do is: everything is enqueued then.
func (c *Controller) enqueueStacks(urgent bool, ids ...lb.StackID) {
	if !urgent && !c.loaded.Load() {
		return
	}
	c.stacks.AddWithOpts(priorityqueue.AddOpts{After: batchWindow, Priority: priority(urgent)}, ids...)
}

func (c *Controller) enqueueBinding(urgent bool, key types.NamespacedName) {
	c.bindings.AddWithOpts(priorityqueue.AddOpts{After: targetsWindow, Priority: priority(urgent)}, key)
}

func priority(urgent bool) *int {
	p := resyncPriority
	if urgent {
		p = 0
	}
	return &p
}

// serve works what the queue hands out until it is shut down. Calls for what users do are in the lane given.
func serve[K comparable](ctx context.Context, c *Controller, q priorityqueue.PriorityQueue[K], urgent engine.Lane, work func(context.Context, K) outcome) {
	for {
		key, p, shutdown := q.GetWithPriority()
		if shutdown {
			return
		}
		lane := urgent
		if p <= resyncPriority {
			lane = engine.Resync
		}
		end := c.guarded(ctx, fmt.Sprint(key), func() outcome { return work(engine.InLane(ctx, lane), key) })
		switch end.status {
		case plan.Done:
			q.Forget(key)
		case plan.Retry:
			q.AddWithOpts(priorityqueue.AddOpts{RateLimited: true, Priority: &p}, key)
		case plan.Blocked, plan.Later:
			q.Forget(key)
			if end.after > 0 {
				q.AddWithOpts(priorityqueue.AddOpts{After: end.after, Priority: priority(false)}, key)
			}
		}
		q.Done(key)
	}
}

// guarded runs a pass; one that panics is tried again later and costs nobody else anything.
func (c *Controller) guarded(ctx context.Context, key string, pass func() outcome) (end outcome) {
	defer func() {
		if trouble := recover(); trouble != nil {
			c.log.ErrorContext(ctx, "a pass panicked; this is a bug", "key", key, "panic", trouble, "stack", string(debug.Stack()))
			end = outcome{status: plan.Retry}
		}
	}()
	if ctx.Err() != nil {
		return outcome{status: plan.Done}
	}
	return pass()
}

// spread makes a pause up to a half longer, so that what was blocked together does not come back together.
func spread(d time.Duration) time.Duration {
	return d + rand.N(d/2)
}
