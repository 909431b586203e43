package localaws

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/sluicehq/sluice/internal/localaws/wire"
)

// Call is one request that local AWS understood.
type Call struct {
	Operation string // signing name and operation: "elasticloadbalancing:CreateRule"
	Mutating  bool
	Input     any // the SDK's input struct; nil when the request did not decode. Read only
}

// Fault is what goes wrong with a call. Without an error the connection is dropped and the caller gets no answer.
type Fault struct {
	After bool // the call takes effect first; a call that fails by itself keeps its own answer
	Error *wire.Error
	Hang  time.Duration // how long the caller waits for that at most
}

// Throttled is AWS's answer to too many requests, in the words of the operation's service.
func Throttled(operation string) *wire.Error {
	if strings.HasPrefix(operation, "ec2:") {
		return &wire.Error{Code: "RequestLimitExceeded", Message: "Request limit exceeded.", Status: http.StatusServiceUnavailable}
	}
	switch service, _, _ := strings.Cut(operation, ":"); service {
	case "tagging":
		return wire.Errorf("ThrottledException", "Rate exceeded")
	case "sts", "route53", "iam":
		return wire.Errorf("Throttling", "Rate exceeded")
	}
	return wire.Errorf("ThrottlingException", "Rate exceeded")
}

// Fail asks a function, from now on, what goes wrong with each call; nil ends it. It is called from many goroutines, one
// at a time, in the order the calls are counted.
func (s *Server) Fail(decide func(Call) *Fault) {
	s.monitor.Lock()
	defer s.monitor.Unlock()
	s.hook = decide
}

// Nth is a decision for Fail: the n-th mutating call (from 1) meets the fault, and no other.
func Nth(n int, f Fault) func(Call) *Fault {
	var mu sync.Mutex
	return func(c Call) *Fault {
		mu.Lock()
		defer mu.Unlock()
		if !c.Mutating {
			return nil
		}
		if n--; n != 0 {
			return nil
		}
		return &f
	}
}

// decide counts a call and says what goes wrong with it: what a function given to Fail wants, or else what the faults do.
func (s *Server) decide(c Call) *Fault {
	s.monitor.Lock()
	defer s.monitor.Unlock()
	s.calls.counts[c.Operation]++
	if s.hook != nil {
		if f := s.hook(c); f != nil {
			return f
		}
	}
	return s.faults.strike(c)
}

// strike returns the fault's error, or drops the connection; after a while, or when the caller goes or the server stops.
func (s *Server) strike(ctx context.Context, f *Fault) error {
	if f.Hang > 0 {
		over := make(chan struct{})
		stop := s.options.AfterFunc(f.Hang, func() { close(over) })
		defer stop()
		select {
		case <-over:
		case <-ctx.Done():
		case <-s.closing:
		}
	}
	if f.Error == nil {
		panic(http.ErrAbortHandler)
	}
	return f.Error
}
