package plan

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sluicehq/sluice/internal/lb"
)

// Status is how performing a step, or a whole plan, ended. The set is closed.
type Status string

// The statuses.
const (
	Done    Status = "done"
	Retry   Status = "retry"   // the world failed; the same plan may work on a later try
	Blocked Status = "blocked" // a person must act: the verdicts say what
	Later   Status = "later"   // nothing is wrong; look again after the time given
)

// Performer does one step and returns when its effect is known. It is called from several goroutines, for steps that
// do not need each other, and may be called again with a step that it had half done before a crash.
type Performer interface {
	Perform(ctx context.Context, step Step) error
}

// BlockedError is what a Performer returns when trying again is pointless until a person acts.
type BlockedError struct {
	Verdict lb.Verdict // Object may be zero: the step's own objects are meant
	Err     error
}

// Error is the verdict's message with its cause.
func (e *BlockedError) Error() string { return e.Verdict.Message() }

// Unwrap returns the cause.
func (e *BlockedError) Unwrap() error { return e.Err }

// LaterError is what a Performer returns when the step cannot be done yet although nothing is wrong.
type LaterError struct {
	After time.Duration
	Why   string
}

// Error says what is being waited for.
func (e *LaterError) Error() string { return e.Why }

// StepResult is how one step ended. Skipped steps were not tried because one that they need did not end as Done.
type StepResult struct {
	Step    Step
	Err     error
	Skipped bool
}

// Result is how a plan ended: one StepResult for each step, in the plan's order.
type Result struct{ Steps []StepResult }

// Run performs the plan, at most parallel steps at a time, each as soon as the steps that it needs are done. A failed
// step costs only those that need it. It returns when nothing runs any more; a cancelled context starts no new step.
func Run(ctx context.Context, p Plan, performer Performer, parallel int) Result {
	results := make([]StepResult, len(p.Steps))
	waiting := make([]int, len(p.Steps))
	dependants := make([][]int, len(p.Steps))
	var ready []int
	for i, s := range p.Steps {
		results[i].Step = s
		waiting[i] = len(s.Needs)
		for _, j := range s.Needs {
			dependants[j] = append(dependants[j], i)
		}
		if waiting[i] == 0 {
			ready = append(ready, i)
		}
	}
	finished := make(chan int)
	for running := 0; running > 0 || len(ready) > 0; {
		for len(ready) > 0 && running < parallel {
			i := ready[0]
			ready = ready[1:]
			running++
			go func() {
				if !results[i].Skipped {
					results[i].Err = perform(ctx, performer, p.Steps[i])
				}
				finished <- i
			}()
		}
		i := <-finished
		running--
		for _, d := range dependants[i] {
			if results[i].Err != nil || results[i].Skipped {
				results[d].Skipped = true
			}
			if waiting[d]--; waiting[d] == 0 {
				ready = append(ready, d)
			}
		}
	}
	return Result{Steps: results}
}

func perform(ctx context.Context, performer Performer, step Step) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s %s: %w", step.Verb, step.ID, err)
	}
	if err := performer.Perform(ctx, step); err != nil {
		return fmt.Errorf("%s %s: %w", step.Verb, step.ID, err)
	}
	return nil
}

// Status sums the steps up: Retry if any must be retried, else Blocked, else Later, else Done.
func (r Result) Status() (Status, time.Duration) {
	status, after := Done, time.Duration(0)
	for _, s := range r.Steps {
		if s.Err == nil {
			continue
		}
		var blocked *BlockedError
		var later *LaterError
		switch {
		case errors.As(s.Err, &blocked):
			if status != Retry {
				status = Blocked
			}
		case errors.As(s.Err, &later):
			if status == Done || status == Later && later.After < after {
				status, after = Later, later.After
			}
		default:
			status = Retry
		}
	}
	return status, after
}

// Err joins the errors of all steps that failed.
func (r Result) Err() error {
	var errs []error
	for _, s := range r.Steps {
		errs = append(errs, s.Err)
	}
	return errors.Join(errs...)
}

// Verdicts are what blocked steps tell people, one for each object that the step is for.
func (r Result) Verdicts() []lb.Verdict {
	var verdicts []lb.Verdict
	for _, s := range r.Steps {
		var blocked *BlockedError
		if !errors.As(s.Err, &blocked) {
			continue
		}
		if blocked.Verdict.Object != (lb.Object{}) {
			verdicts = append(verdicts, blocked.Verdict)
			continue
		}
		for _, object := range s.Step.From() {
			v := blocked.Verdict
			v.Object = object
			verdicts = append(verdicts, v)
		}
	}
	return lb.SortVerdicts(verdicts)
}
