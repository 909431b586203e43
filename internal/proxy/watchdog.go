package proxy

import (
	"sync"
	"sync/atomic"
	"time"
)

// watchdog barks once when nothing has moved for its timeout. Touching it is one atomic store: the timer is not moved
// for every byte, it looks at the time of the last one when it fires.
type watchdog struct {
	clock   Clock
	bark    func()
	last    atomic.Int64 // nanoseconds since the epoch, of the clock
	timeout atomic.Int64 // nanoseconds

	mu   sync.Mutex
	stop func() bool
	done bool // it barked or ended
	gone bool // it ended
}

// start sets the dog on watch.
func (w *watchdog) start(clock Clock, timeout time.Duration, bark func()) {
	w.clock, w.bark = clock, bark
	w.timeout.Store(int64(timeout))
	w.touch()
	w.arm(timeout)
}

func (w *watchdog) touch() { w.last.Store(w.clock.Now().UnixNano()) }

// limit changes the timeout; the time that has passed already counts.
func (w *watchdog) limit(timeout time.Duration) {
	if w.timeout.Swap(int64(timeout)) != int64(timeout) {
		w.look()
	}
}

func (w *watchdog) arm(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.done {
		return
	}
	if w.stop != nil {
		w.stop()
	}
	w.stop = w.clock.AfterFunc(d, w.look)
}

// look barks when the time is over, and sleeps on otherwise.
func (w *watchdog) look() {
	quiet := w.clock.Now().UnixNano() - w.last.Load()
	if left := w.timeout.Load() - quiet; left > 0 {
		w.arm(time.Duration(left))
		return
	}
	w.mu.Lock()
	over := w.done
	w.done = true
	w.mu.Unlock()
	if !over {
		w.bark()
	}
}

// end takes the dog off watch; it does not bark after that, but a bark under way may still be heard.
func (w *watchdog) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.done, w.gone = true, true
	if w.stop != nil {
		w.stop()
	}
}

// again sets a dog that barked on watch anew, unless it has ended.
func (w *watchdog) again() {
	w.touch()
	w.mu.Lock()
	w.done = w.gone
	w.mu.Unlock()
	w.arm(time.Duration(w.timeout.Load()))
}
