package playground

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// progress tells the person at the terminal what is going on: one line for
// each step when it is done, and one while it runs if that takes long.
type progress struct {
	mu    sync.Mutex
	w     io.Writer
	began time.Time
}

// patience is how long a step may be silent.
const patience = 2 * time.Second

func newProgress(w io.Writer) *progress { return &progress{w: w, began: time.Now()} }

func (p *progress) line(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(p.w, format+"\n", args...)
}

// step runs f and reports it. Steps may run side by side.
func (p *progress) step(name string, f func() error) error {
	start := time.Now()
	slow := time.AfterFunc(patience, func() { p.line("  … %s", name) })
	err := f()
	slow.Stop()
	if err != nil {
		p.line("  ✗ %s", name)
		return err
	}
	p.line("  ✓ %s (%.1f s)", name, time.Since(start).Seconds())
	return nil
}

// together runs functions side by side and returns the first error.
func together(fs ...func() error) error {
	errs := make(chan error, len(fs))
	for _, f := range fs {
		go func() { errs <- f() }()
	}
	var first error
	for range fs {
		if err := <-errs; err != nil && first == nil {
			first = err
		}
	}
	return first
}
