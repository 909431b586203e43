package aws

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"github.com/sluicehq/sluice/internal/engine"
)

const elbService = "Elastic Load Balancing v2"

// calling makes n calls at once, each tried again as often as AWS throttles it, as the SDK does, and returns how long
// all took and how often they were throttled.
func calling(t *testing.T, b *budget, truth *rate.Limiter, operation string, n int) (took time.Duration, throttled int) {
	t.Helper()
	start := time.Now()
	var mu sync.Mutex
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			for {
				if err := b.acquire(t.Context(), elbService, operation); err != nil {
					t.Error(err)
				}
				allowed := truth.AllowN(time.Now(), 1)
				b.learn(elbService, operation, !allowed)
				if allowed {
					return
				}
				mu.Lock()
				throttled++
				mu.Unlock()
				time.Sleep(500 * time.Millisecond) // of the SDK, before it tries again
			}
		})
	}
	all.Wait()
	return time.Since(start), throttled
}

func TestABudgetFindsThePaceOfAWS(t *testing.T) {
	for name, factor := range map[string]float64{"as documented": 1, "others use the most": 0.4, "raised": 3} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const calls, documented, burst = 3000, 3.0, 20
				b := newBudget(nil)
				took, throttled := calling(t, b, rate.NewLimiter(rate.Limit(documented*factor), burst), "CreateRule", calls)
				ideal := time.Duration((calls - burst) / (documented * factor) * float64(time.Second))
				if took > ideal*12/10 {
					t.Errorf("%d calls took %s, the bucket alone allows %s", calls, took, ideal)
				}
				// All that start before the first answer may be refused once.
				if more := throttled - (calls - burst); more > calls/10 {
					t.Errorf("throttled %d times more than at first", more)
				}
			})
		})
	}
}

func TestWhatAWSDoesNotThrottleDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(nil)
		if took, throttled := calling(t, b, rate.NewLimiter(rate.Inf, 1), "CreateLoadBalancer", 500); took > 0 || throttled > 0 {
			t.Errorf("took %s, throttled %d", took, throttled)
		}
	})
}

// narrow is a budget that has learned that a bucket is empty.
func narrow(operation string) *budget {
	b := newBudget(nil)
	b.learn(elbService, operation, true)
	return b
}

func TestEarlierLanesGoFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := narrow("ModifyRule")
		var mu sync.Mutex
		var order []engine.Lane
		var all sync.WaitGroup
		for _, lane := range []engine.Lane{engine.Resync, engine.Deletes, engine.UserChanges, engine.TargetsIn, engine.UserChanges, engine.TargetsOut} {
			all.Go(func() {
				if err := b.acquire(engine.InLane(t.Context(), lane), elbService, "ModifyRule"); err != nil {
					t.Error(err)
				}
				mu.Lock()
				order = append(order, lane)
				mu.Unlock()
			})
			synctest.Wait()
		}
		all.Wait()
		if !slices.IsSorted(order) {
			t.Errorf("went in the order %v", order)
		}
	})
}

// What nobody waits for leaves a part of a bucket to what somebody waits for.
func TestResyncsLeaveRoomForUsers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := narrow("ModifyRule")
		time.Sleep(time.Minute) // it is full again
		var resyncs sync.WaitGroup
		for range 100 {
			resyncs.Go(func() {
				if err := b.acquire(engine.InLane(t.Context(), engine.Resync), elbService, "ModifyRule"); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		start := time.Now()
		if err := b.acquire(t.Context(), elbService, "ModifyRule"); err != nil || time.Since(start) > 0 {
			t.Errorf("a user's change waited %s: %v", time.Since(start), err)
		}
		resyncs.Wait()
	})
}

// A call that waits for its own bucket stops no call that needs another one.
func TestOneBucketDoesNotStopAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := narrow("CreateLoadBalancer")
		time.Sleep(10 * time.Second) // the account's bucket has tokens, the other one two
		var creations sync.WaitGroup
		for range 5 {
			creations.Go(func() {
				if err := b.acquire(t.Context(), elbService, "CreateLoadBalancer"); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		start := time.Now()
		if err := b.acquire(engine.InLane(t.Context(), engine.Resync), elbService, "DescribeRules"); err != nil || time.Since(start) > 0 {
			t.Errorf("a resync's reading waited %s: %v", time.Since(start), err)
		}
		creations.Wait()
	})
}

func TestAnAuditIsSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(nil)
		start := time.Now()
		for range 110 {
			if err := b.acquire(engine.InLane(t.Context(), engine.Audit), elbService, "DescribeRules"); err != nil {
				t.Error(err)
			}
		}
		if took := time.Since(start).Seconds(); math.Abs(took-100/auditRate) > 1 {
			t.Errorf("took %.1f s", took)
		}
	})
}

func TestWaitingEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := narrow("CreateLoadBalancer")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := b.acquire(ctx, elbService, "CreateLoadBalancer"); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if len(b.waiting) > 0 {
			t.Error("it still waits")
		}
	})
}

func TestThrottlesOfUsers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limit, err := ParseThrottle("Elastic Load Balancing v2:^Describe|^Get=2:3")
		if err != nil {
			t.Fatal(err)
		}
		b := newBudget([]Throttle{limit})
		took, _ := calling(t, b, rate.NewLimiter(rate.Inf, 1), "DescribeRules", 23)
		other, _ := calling(t, b, rate.NewLimiter(rate.Inf, 1), "CreateRule", 23)
		if took < 10*time.Second || took > 10*time.Second+time.Millisecond || other > 0 {
			t.Errorf("reads took %s, others %s", took, other)
		}
	})
	for _, bad := range []string{"", "EC2", "EC2:x", "EC2:x=1", "EC2:x=1:0", "EC2:x=0:1", "EC2:x=NaN:1", "EC2:(=1:1", ":x=1:1", "EC2:=1:1", "EC2:x=1:1.5"} {
		if _, err := ParseThrottle(bad); err == nil || !strings.Contains(err.Error(), "write it as") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
