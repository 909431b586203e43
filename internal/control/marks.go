package control

import (
	"context"
	"sync"
	"time"

	"github.com/sluicehq/sluice/internal/compile"
	"github.com/sluicehq/sluice/internal/lb"
)

// marks gathers objects that changed and may take part in stacks, until a picture of the caches tells in which.
type marks struct {
	mu      sync.Mutex
	objects map[lb.Object]bool // true when a user may be waiting
	wake    chan struct{}
}

func newMarks() *marks {
	return &marks{objects: map[lb.Object]bool{}, wake: make(chan struct{}, 1)}
}

func (m *marks) add(object lb.Object, urgent bool) {
	m.mu.Lock()
	m.objects[object] = m.objects[object] || urgent
	m.mu.Unlock()
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

func (m *marks) drain() map[lb.Object]bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	objects := m.objects
	m.objects = map[lb.Object]bool{}
	return objects
}

// gather turns marks into stacks, a batch at a time, until the context ends.
func (c *Controller) gather(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.marks.wake:
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(batchWindow):
		}
		c.resolveMarks(ctx)
	}
}

func (c *Controller) resolveMarks(ctx context.Context) {
	marked := c.marks.drain()
	if len(marked) == 0 {
		return
	}
	objects, err := c.snapshots.take(ctx)
	if err != nil {
		if ctx.Err() == nil {
			c.log.Error("cannot read the caches", "error", err)
		}
		for object, urgent := range marked {
			c.marks.add(object, urgent)
		}
		return
	}
	for object, urgent := range marked {
		c.enqueueStacks(urgent, compile.StacksUsing(objects.Objects, c.options.Compile, object)...)
	}
}
