package aws

import (
	"context"
	"sync"
	"time"
)

// lookups remembers what others made and users name: what read found by name, until an audit forgets it. A name that
// nothing has is looked for again after a while.
type lookups[V any] struct {
	now  func() time.Time
	read func(ctx context.Context, name string) (found []V, err error)

	mu    sync.Mutex
	known map[string]lookup[V]
}

type lookup[V any] struct {
	found  []V
	readAt time.Time
}

func (l *lookups[V]) get(ctx context.Context, name string) ([]V, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if k, ok := l.known[name]; ok && (len(k.found) > 0 || l.now().Sub(k.readAt) < networkPatience) {
		return k.found, nil
	}
	found, err := l.read(ctx, name)
	if err != nil {
		return nil, err
	}
	if l.known == nil {
		l.known = map[string]lookup[V]{}
	}
	l.known[name] = lookup[V]{found: found, readAt: l.now()}
	return found, nil
}

// forget makes the next use read again.
func (l *lookups[V]) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.known = nil
}
