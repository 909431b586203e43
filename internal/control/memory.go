package control

import "sync"

// memory keeps a value for each key that is worked. Keys are worked by one worker at a time, so only the map needs
// guarding, never a value.
type memory[K comparable, V any] struct {
	mu     sync.Mutex
	values map[K]V
}

func newMemory[K comparable, V any]() *memory[K, V] {
	return &memory[K, V]{values: map[K]V{}}
}

// get returns the value, or its zero value.
func (m *memory[K, V]) get(key K) V {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.values[key]
}

func (m *memory[K, V]) set(key K, value V) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.values[key] = value
}

func (m *memory[K, V]) forget(key K) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.values, key)
}
