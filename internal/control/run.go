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
	"github.com/sluicehq/sluice/internal/lb"
	"github.com/sluicehq/sluice/internal/plan"
)

// outcome is how a pass ended.
type outcome struct {
	status plan.Status
	after  time.Duration // for Later; for Blocked, zero when only a change of an object can help
}

// Start runs the loop until the context ends: read the cloud, look at everything once, then follow changes.
func (c *Controller) Start(ctx context.Context) error {
	c.leading.Store(true)
	select {
	case <-ctx.Done():
		return nil
	case <-c.synced: // before that, a change could be missed between reading a cache and following it
	}
	if !c.load(ctx) {
		return nil
	}
	if err := c.enqueueAll(ctx); err != nil {
		return err
	}
	c.loaded.Store(true)
	var running sync.WaitGroup
	for range max(1, c.options.StackWorkers) {
		running.Go(func() { serve(ctx, c, c.stacks, c.workStack) })
	}
	for range max(1, c.options.BindingWorkers) {
		running.Go(func() { serve(ctx, c, c.bindings, c.workBinding) })
	}
	running.Go(func() { c.gather(ctx) })
	running.Go(func() { c.audit(ctx) })
	<-ctx.Done()
	c.stacks.ShutDown()
	c.bindings.ShutDown()
	running.Wait()
	return nil
}

// load reads the cloud, until it works or the context ends.
func (c *Controller) load(ctx context.Context) bool {
	for pause := time.Second; ; pause = min(2*pause, time.Minute) {
		start := time.Now()
		err := c.options.Mirror.Load(ctx)
		if err == nil {
			c.log.Info("read what is in the cloud", "stacks", len(c.options.Engine.Stacks()), "took", time.Since(start).Round(time.Millisecond))
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		c.log.Error("cannot read what is in the cloud; trying again", "error", err, "after", pause)
		select {
		case <-ctx.Done():
			return false
		case <-time.After(pause):
		}
	}
}

// audit looks for what others changed in the cloud.
func (c *Controller) audit(ctx context.Context) {
	if c.options.AuditInterval == 0 {
		return
	}
	ticker := time.NewTicker(c.options.AuditInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		changed, err := c.options.Mirror.Audit(ctx)
		if err != nil && ctx.Err() == nil {
			c.log.Error("cannot compare with what is in the cloud", "error", err)
		}
		c.enqueueStacks(false, changed...)
		if err == nil {
			c.repairIngress(ctx)
		}
	}
}

// enqueueAll marks everything: every Ingress and every Service that has a load balancer, every stack that has something in the cloud or in the cluster, every
// binding.
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

func (c *Controller) enqueueStacks(urgent bool, ids ...lb.StackID) {
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

// serve works what the queue hands out until it is shut down.
func serve[K comparable](ctx context.Context, c *Controller, q priorityqueue.PriorityQueue[K], work func(context.Context, K) outcome) {
	for {
		key, p, shutdown := q.GetWithPriority()
		if shutdown {
			return
		}
		end := c.guarded(ctx, fmt.Sprint(key), func() outcome { return work(ctx, key) })
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
