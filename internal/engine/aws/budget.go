package aws

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go/middleware"
	"golang.org/x/time/rate"

	"github.com/sluicehq/sluice/internal/engine"
)

// budget decides when a call to AWS may go. Each attempt takes a token from every bucket that AWS counts it in; where
// there is none it waits, and the calls of earlier lanes go first.
//
// A bucket lets everything pass until AWS throttles a call of it: AWS's limits can be raised, and tokens be taken by
// others in the account, so only AWS's answers tell. From then on it has AWS's documented rate, goes down where that is
// still too much, and slowly up again.
type budget struct {
	fixed []Throttle

	mu      sync.Mutex
	buckets map[string]*bucket
	waiting []*waiter // by lane, then by age
	timer   *time.Timer
}

// waiter is a call that waits for its tokens.
type waiter struct {
	lane    engine.Lane
	buckets []*bucket
	admit   chan struct{}
}

func newBudget(fixed []Throttle) *budget {
	return &budget{fixed: fixed, buckets: map[string]*bucket{}}
}

// The pace of an audit, for each service, whatever the buckets have: it must not be noticed.
const (
	auditRate  = 5
	auditBurst = 10
)

// acquire waits until a call may go, or the context ends.
func (b *budget) acquire(ctx context.Context, service, operation string) error {
	lane := engine.LaneOf(ctx)
	b.mu.Lock()
	w := &waiter{lane: lane, buckets: b.bucketsOf(service, operation), admit: make(chan struct{})}
	if lane == engine.Audit {
		w.buckets = append(w.buckets, b.bucket(service+"/audit", limit{auditRate, auditBurst}, true))
	}
	at, _ := slices.BinarySearchFunc(b.waiting, w, func(other, w *waiter) int {
		return cmp.Or(cmp.Compare(other.lane, w.lane), -1) // behind those of its own lane
	})
	b.waiting = slices.Insert(b.waiting, at, w)
	b.dispatch()
	b.mu.Unlock()
	select {
	case <-w.admit:
		return nil
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if i := slices.Index(b.waiting, w); i >= 0 {
		b.waiting = slices.Delete(b.waiting, i, i+1)
	}
	return ctx.Err()
}

// dispatch lets those go that may, and sees to it that it is called again when the next one may. The caller holds the
// lock.
func (b *budget) dispatch() {
	now := time.Now()
	next := time.Duration(-1)
	b.waiting = slices.DeleteFunc(b.waiting, func(w *waiter) bool {
		wait := time.Duration(0)
		for _, bucket := range w.buckets {
			wait = max(wait, bucket.wait(now, w.lane))
		}
		if wait > 0 {
			if next < 0 || wait < next {
				next = wait
			}
			return false
		}
		for _, bucket := range w.buckets {
			bucket.take(now)
		}
		close(w.admit)
		return true
	})
	if b.timer != nil {
		b.timer.Stop()
		b.timer = nil
	}
	if next >= 0 {
		b.timer = time.AfterFunc(next, func() {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.dispatch()
		})
	}
}

// learn takes what AWS answered.
func (b *budget) learn(service, operation string, throttled bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	for i, bucket := range b.bucketsOf(service, operation) {
		switch {
		case throttled:
			bucket.throttled(now, i == 0)
		default:
			bucket.succeeded(now)
		}
	}
	b.dispatch()
}

// bucketsOf are the buckets of a call, the one that is most its own first. The caller holds the lock.
func (b *budget) bucketsOf(service, operation string) []*bucket {
	var all []*bucket
	for _, c := range classesOf(service, operation) {
		all = append(all, b.bucket(service+"/"+c.name, c.limit, false))
	}
	for _, f := range b.fixed {
		if f.Service == service && f.operations.MatchString(operation) {
			all = append(all, b.bucket(f.text, f.limit, true))
		}
	}
	return all
}

func (b *budget) bucket(name string, l limit, fixed bool) *bucket {
	if b.buckets[name] == nil {
		b.buckets[name] = &bucket{documented: l, fixed: fixed}
		if fixed {
			b.buckets[name].limiter = rate.NewLimiter(rate.Limit(l.rate), l.burst)
		}
	}
	return b.buckets[name]
}

// install has every attempt of every call of a configuration's clients wait for its turn. The SDK's own retrying stays:
// an attempt that is throttled comes back as the next one.
func (b *budget) install(config aws.Config) aws.Config {
	config.APIOptions = append(slices.Clone(config.APIOptions), func(stack *middleware.Stack) error {
		return stack.Finalize.Insert(middleware.FinalizeMiddlewareFunc("SluiceBudget", b.handle), "Retry", middleware.After)
	})
	return config
}

func (b *budget) handle(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (
	out middleware.FinalizeOutput, metadata middleware.Metadata, err error,
) {
	service, operation := awsmiddleware.GetServiceID(ctx), awsmiddleware.GetOperationName(ctx)
	if err := b.acquire(ctx, service, operation); err != nil {
		return out, metadata, err
	}
	out, metadata, err = next.HandleFinalize(ctx, in)
	_, throttled := retry.DefaultThrottleErrorCodes[errorCode(err)]
	b.learn(service, operation, throttled)
	return out, metadata, err
}

// bucket is a token bucket as AWS may have one.
type bucket struct {
	documented limit
	fixed      bool          // a user's limit, which does not adapt
	limiter    *rate.Limiter // nil as long as AWS has refused nothing
	good       int           // calls since the rate changed
	slowedAt   time.Time
}

type limit struct {
	rate  float64 // tokens a second
	burst int
}

// reserved is the part of a bucket that a lane leaves to the lanes before it.
var reserved = map[engine.Lane]float64{engine.Deletes: 0.1, engine.Resync: 0.25, engine.Audit: 0.5}

// wait is how long it takes until a call of a lane may take a token.
func (b *bucket) wait(now time.Time, lane engine.Lane) time.Duration {
	if b.limiter == nil {
		return 0
	}
	burst := float64(b.limiter.Burst())
	need := 1.0
	if !b.fixed {
		need = min(burst, 1+reserved[lane]*burst)
	}
	missing := need - b.limiter.TokensAt(now)
	if missing <= 0 {
		return 0
	}
	// A little more than it should take, so that rounding does not make it a round of its own.
	return time.Duration(missing/float64(b.limiter.Limit())*float64(time.Second)) + time.Microsecond
}

func (b *bucket) take(now time.Time) {
	if b.limiter != nil {
		b.limiter.AllowN(now, 1)
	}
}

// How a bucket adapts.
const (
	slower       = 0.7         // of the rate, at a refusal at or below the documented rate
	slowest      = 0.1         // of the documented rate
	slowerAfter  = time.Second // refusals within it count as one
	fasterAfter  = 5           // calls that were not refused
	faster       = 0.1         // of the documented rate, up to it
	fasterBeyond = 0.04        // of the rate, beyond the documented one
)

// throttled empties the bucket. Which of several buckets of a call AWS found empty it does not say: the call's own class
// is slowed down, and the others get their documented pace.
func (b *bucket) throttled(now time.Time, own bool) {
	switch {
	case b.fixed:
		return
	case b.limiter == nil:
		b.limiter = rate.NewLimiter(rate.Limit(b.documented.rate), b.documented.burst)
		b.slowedAt = now
		if own {
			b.limiter.AllowN(now, b.documented.burst)
		}
		return
	case !own || now.Sub(b.slowedAt) < slowerAfter:
		return
	}
	next := float64(b.limiter.Limit()) * slower
	if float64(b.limiter.Limit()) > b.documented.rate {
		next = max(next, b.documented.rate) // more than that was too much, which says nothing about less
	}
	b.limiter.SetLimitAt(now, rate.Limit(max(next, slowest*b.documented.rate)))
	if left := int(b.limiter.TokensAt(now)); left > 0 {
		b.limiter.AllowN(now, left)
	}
	b.good, b.slowedAt = 0, now
}

func (b *bucket) succeeded(now time.Time) {
	if b.limiter == nil || b.fixed {
		return
	}
	if b.good++; b.good < fasterAfter {
		return
	}
	is, documented := float64(b.limiter.Limit()), b.documented.rate
	next := is + faster*documented
	if is >= documented {
		next = is * (1 + fasterBeyond)
	}
	b.good = 0
	b.limiter.SetLimitAt(now, rate.Limit(next))
}

// class is a bucket that AWS documents.
type class struct {
	name  string
	limit limit
}

// classesOf are the documented buckets of an operation, by the names that the SDK gives services: "Request throttling for
// the ELB API", "Request throttling for the Amazon EC2 API", "AWS WAF quotas", "ACM quotas". Where nothing is documented
// an operation has a bucket of its own, with a modest rate.
func classesOf(service, operation string) []class {
	reads := strings.HasPrefix(operation, "Describe") || strings.HasPrefix(operation, "Get") || strings.HasPrefix(operation, "List")
	switch service {
	case "Elastic Load Balancing v2":
		account := class{"account", limit{10, 40}}
		switch {
		case operation == "CreateLoadBalancer" || operation == "SetSubnets":
			return []class{{"resource-intensive", limit{0.2, 10}}, account}
		case operation == "RegisterTargets" || operation == "DeregisterTargets":
			return []class{{"registration", limit{4, 20}}, account}
		case reads:
			return []class{{"non-mutating", limit{10, 40}}, account}
		default:
			return []class{{"mutating", limit{3, 20}}, account}
		}
	case "EC2": // each operation has a bucket
		switch {
		case reads:
			return []class{{operation, limit{20, 100}}}
		case operation == "CreateTags" || operation == "DeleteTags":
			return []class{{operation, limit{10, 100}}}
		default:
			return []class{{operation, limit{5, 50}}}
		}
	case "WAFV2", "WAF Regional":
		if operation == "AssociateWebACL" || operation == "DisassociateWebACL" {
			return []class{{"association", limit{0.5, 1}}}
		}
		return []class{{operation, limit{1, 1}}}
	case "ACM":
		if operation == "ListCertificates" {
			return []class{{operation, limit{1, 1}}}
		}
		return []class{{operation, limit{10, 10}}}
	default:
		return []class{{operation, limit{5, 10}}}
	}
}
