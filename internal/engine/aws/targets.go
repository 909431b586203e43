package aws

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/sluicehq/sluice/internal/engine"
	"github.com/sluicehq/sluice/internal/lb"
)

// targetBatch is how many targets one RegisterTargets or DeregisterTargets call takes.
const targetBatch = 200

// targets remembers what is registered, by target group ARN. A group is worked by one call at a time, so that no answer
// overwrites a newer one.
type targets struct {
	mu     sync.Mutex
	groups map[string]*registration
}

type registration struct {
	mu    sync.Mutex
	known bool
	set   map[lb.Target]struct{}
}

// registrar registers targets, as one identity and in one VPC. The methods are those of engine.Targets.
type registrar struct {
	api    api // its ELBv2 client speaks as the identity; all others as the engine
	known  *targets
	gone   func(arn string) // is called for a target group that turns out not to exist
	blocks *vpcBlocks
	vpc    string
	other  bool // the identity is not the engine's own
}

func newTargets() *targets { return &targets{groups: map[string]*registration{}} }

// of returns the registration of a group, locked.
func (t *targets) of(arn string) *registration {
	t.mu.Lock()
	r, ok := t.groups[arn]
	if !ok {
		r = &registration{}
		t.groups[arn] = r
	}
	t.mu.Unlock()
	r.mu.Lock()
	return r
}

// start notes that a group was just made and has no targets.
func (t *targets) start(arn string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.groups[arn] = &registration{known: true, set: map[lb.Target]struct{}{}}
}

func (t *targets) drop(arn string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.groups, arn)
}

// Registered returns the targets of a group, sorted, reading them once.
func (g *registrar) Registered(ctx context.Context, group lb.TargetGroupRef) (found []lb.Target, exists bool, err error) {
	r := g.known.of(string(group))
	defer r.mu.Unlock()
	if !r.known {
		read, err := g.api.registered(ctx, string(group))
		if isCode(err, "TargetGroupNotFound") {
			g.gone(string(group))
			return nil, false, nil
		}
		if err != nil {
			return nil, false, err
		}
		r.known, r.set = true, map[lb.Target]struct{}{}
		for _, t := range read {
			r.set[t] = struct{}{}
		}
	}
	return slices.SortedFunc(maps.Keys(r.set), lb.Target.Compare), true, nil
}

// Health reads how targets are, 200 a call. One that somebody else took away is no longer remembered as registered, so
// that it is registered again.
func (g *registrar) Health(ctx context.Context, group lb.TargetGroupRef, list []lb.Target) (map[lb.Target]lb.TargetHealth, error) {
	all := map[lb.Target]lb.TargetHealth{}
	for batch := range slices.Chunk(list, targetBatch) {
		err := g.api.targetHealth(ctx, string(group), batch, all)
		if isCode(err, "TargetGroupNotFound") {
			g.gone(string(group))
			return nil, nil
		}
		if err != nil {
			return nil, judged(err)
		}
	}
	r := g.known.of(string(group))
	defer r.mu.Unlock()
	for t, h := range all {
		if h.Reason == lb.NotRegistered || h.State == string(elbtypes.TargetHealthStateEnumDraining) {
			delete(r.set, t)
		}
	}
	return all, nil
}

// Register adds targets, 200 a call. Where AWS refuses some, the others are registered, and the error names those.
func (g *registrar) Register(ctx context.Context, group lb.TargetGroupRef, list []lb.Target) error {
	r := g.known.of(string(group))
	defer r.mu.Unlock()
	add := list
	if r.known {
		add = slices.DeleteFunc(slices.Clone(list), func(t lb.Target) bool {
			_, already := r.set[t]
			return already
		})
	}
	var errs []error
	for batch := range slices.Chunk(add, targetBatch) {
		errs = append(errs, g.registerSome(ctx, r, string(group), batch))
	}
	return errors.Join(errs...)
}

// registerSome registers a batch. A batch with a target that AWS refuses is halved until that one stands alone.
func (g *registrar) registerSome(ctx context.Context, r *registration, group string, batch []lb.Target) error {
	zones, err := g.zones(ctx, batch)
	if err == nil {
		err = g.api.registerTargets(ctx, group, sdkTargets(batch, zones))
	}
	switch {
	case err == nil:
		for _, t := range batch {
			if r.known {
				r.set[t] = struct{}{}
			}
		}
		return nil
	case isCode(err, "TargetGroupNotFound"):
		g.gone(group)
		return err
	case !isCode(err, "InvalidTarget", "ValidationError"):
		return judged(err)
	case len(batch) == 1:
		return blockedBy(err, lb.CloudRefused, targetText(batch[0]), "AWS does not take the target: "+answerText(err),
			"Check that it is running, in the load balancer's VPC, and known to AWS by this id or address")
	}
	half := len(batch) / 2
	return errors.Join(g.registerSome(ctx, r, group, batch[:half]), g.registerSome(ctx, r, group, batch[half:]))
}

// Deregister removes targets, 200 a call.
func (g *registrar) Deregister(ctx context.Context, group lb.TargetGroupRef, list []lb.Target) error {
	ctx = engine.InLane(ctx, engine.TargetsOut)
	r := g.known.of(string(group))
	defer r.mu.Unlock()
	for batch := range slices.Chunk(list, targetBatch) {
		zones, err := g.zones(ctx, batch)
		if err == nil {
			err = g.api.deregisterTargets(ctx, string(group), sdkTargets(batch, zones))
		}
		if isCode(err, "TargetGroupNotFound") {
			g.gone(string(group))
			return nil
		}
		if err != nil && !isCode(err, "InvalidTarget") {
			return judged(fmt.Errorf("aws: deregister %d targets: %w", len(batch), err))
		}
		for _, t := range batch {
			delete(r.set, t)
		}
	}
	return nil
}
