package control

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	elbv2api "github.com/sluicehq/sluice/api/elbv2/v1beta1"
	"github.com/sluicehq/sluice/internal/endpoints"
	"github.com/sluicehq/sluice/internal/engine"
	"github.com/sluicehq/sluice/internal/lb"
	"github.com/sluicehq/sluice/internal/plan"
)

// reach is what a binding wants let in, as last computed.
type reach struct {
	uid        types.UID
	generation int64
	whole      bool // computed for all endpoints; else it may want more than is known
	rules      lb.Ingress
}

// network remembers what bindings want let in. Rules are merged over all of them, so nothing is revoked before each has
// been computed since the start.
type network struct {
	applying sync.Mutex // plans are made and applied one at a time, each from all that is wanted then

	mu     sync.Mutex
	wanted map[types.NamespacedName]reach
	owed   bool // revoking was put off, or was never looked at since the start
}

func newNetwork() *network {
	return &network{wanted: map[types.NamespacedName]reach{}, owed: true}
}

// put remembers what a binding wants and returns the groups that it wanted or wants something of.
func (n *network) put(key types.NamespacedName, r reach) []lb.SecurityGroupID {
	n.mu.Lock()
	defer n.mu.Unlock()
	touched := map[lb.SecurityGroupID]bool{}
	for _, rules := range []lb.Ingress{n.wanted[key].rules, r.rules} {
		for group := range rules {
			touched[group] = true
		}
	}
	n.wanted[key] = r
	return slices.Sorted(maps.Keys(touched))
}

func (n *network) get(key types.NamespacedName) reach {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.wanted[key]
}

// merged is what all bindings that exist want together, and whether that is all there is to want. Others are forgotten.
func (n *network) merged(exist []elbv2api.TargetGroupBinding) (rules lb.Ingress, complete bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	complete = true
	var all []lb.Ingress
	here := make(map[types.NamespacedName]bool, len(exist))
	for i := range exist {
		key := client.ObjectKeyFromObject(&exist[i])
		here[key] = true
		known := n.wanted[key]
		all = append(all, known.rules)
		if exist[i].Spec.Networking != nil && (!known.whole || known.uid != exist[i].UID || known.generation != exist[i].Generation) {
			complete = false
		}
	}
	maps.DeleteFunc(n.wanted, func(key types.NamespacedName, _ reach) bool { return !here[key] })
	return endpoints.MergeIngress(all), complete
}

// settle says whether to look at every group, because revoking was put off and need be no longer.
func (n *network) settle(complete bool) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	all := complete && n.owed
	n.owed = !complete
	return all
}

// letIn has a binding's endpoints let in what its spec.networking asks for. What cannot be found out is kept as it was.
// It comes after registering, which it must not delay.
func (c *Controller) letIn(ctx context.Context, tgb *elbv2api.TargetGroupBinding, list []lb.Opening, p bindingPass) bindingPass {
	key := client.ObjectKeyFromObject(tgb)
	before := c.network.get(key)
	if before.uid != tgb.UID {
		before = reach{}
	}
	if tgb.Spec.Networking == nil && len(before.rules) == 0 {
		return p
	}
	now := reach{uid: tgb.UID, generation: tgb.Generation, whole: true}
	var places []lb.Place
	for _, o := range list {
		places = append(places, o.At)
	}
	groups, lost := c.options.Networking.Groups(ctx, places)
	now.rules = endpoints.IngressOf(list, groups)
	if lost != nil {
		now.whole = before.whole && before.generation == tgb.Generation
		now.rules = endpoints.MergeIngress([]lb.Ingress{before.rules, now.rules})
	}
	changed, err := c.open(ctx, c.network.put(key, now))
	p.done = joined(p.done, openedSummary(changed))
	if err := errors.Join(lost, err); err != nil && p.end.status != plan.Retry {
		return p.failed(tgb, failedNetwork, err)
	}
	return p
}

// shut takes back what a binding that goes has let in.
func (c *Controller) shut(ctx context.Context, key types.NamespacedName, uid types.UID, generation int64) error {
	if touched := c.network.put(key, reach{uid: uid, generation: generation, whole: true}); len(touched) > 0 {
		_, err := c.open(ctx, touched)
		return err
	}
	return nil
}

// open brings security groups to what all bindings want of them: these, and all that are known when revoking was put off
// before and need be no longer. It returns how many were changed. What fails with other groups is not told.
func (c *Controller) open(ctx context.Context, groups []lb.SecurityGroupID) (changed int, err error) {
	want, err := c.wantedIngress(ctx)
	if err != nil {
		return 0, err
	}
	all := c.network.settle(want.Complete)
	if !all && len(groups) == 0 {
		return 0, nil
	}
	result, err := c.applyIngress(ctx, want, groups, all)
	var errs []error
	for _, s := range result.Steps {
		group := lb.SecurityGroupID(s.Step.ID.Name)
		switch {
		case s.Err == nil && !s.Skipped:
			changed++
		case !slices.Contains(groups, group):
			c.log.Warn("cannot change ingress rules", "securityGroup", group, "error", s.Err)
		default:
			errs = append(errs, fmt.Errorf("change the ingress rules of %s: %w", group, s.Err))
		}
	}
	return changed, errors.Join(append(errs, err)...)
}

// wantedIngress is what the bindings that the cache has want.
func (c *Controller) wantedIngress(ctx context.Context) (engine.Ingress, error) {
	var exist elbv2api.TargetGroupBindingList
	if err := c.client.List(ctx, &exist, client.UnsafeDisableDeepCopy); err != nil {
		return engine.Ingress{}, fmt.Errorf("read TargetGroupBindings from the cache: %w", err)
	}
	rules, complete := c.network.merged(exist.Items)
	return engine.Ingress{Rules: rules, Complete: complete}, nil
}

// applyIngress plans for some groups, or for all, and applies. Where there is something to do, it plans anew when it is
// its turn, from what is wanted then: a plan of before might revoke what another binding has asked for meanwhile.
func (c *Controller) applyIngress(ctx context.Context, want engine.Ingress, groups []lb.SecurityGroupID, all bool) (plan.Result, error) {
	if !all {
		want.Only = groups
	}
	steps, err := c.options.Networking.PlanIngress(ctx, want)
	if err != nil || steps.Empty() {
		return plan.Result{}, err
	}
	c.network.applying.Lock()
	defer c.network.applying.Unlock()
	only := want.Only
	if want, err = c.wantedIngress(ctx); err != nil {
		return plan.Result{}, err
	}
	want.Only = only
	if steps, err = c.options.Networking.PlanIngress(ctx, want); err != nil || steps.Empty() {
		return plan.Result{}, err
	}
	return c.options.Networking.Apply(ctx, steps), nil
}

// repairIngress looks at all security groups that are known: others may have changed them.
func (c *Controller) repairIngress(ctx context.Context) {
	want, err := c.wantedIngress(ctx)
	var result plan.Result
	if err == nil {
		result, err = c.applyIngress(ctx, want, nil, true)
	}
	if err != nil && ctx.Err() == nil {
		c.log.Error("cannot compare ingress rules with what is wanted", "error", err)
	}
	for _, s := range result.Steps {
		if s.Err != nil {
			c.log.Error("cannot repair ingress rules", "securityGroup", s.Step.ID.Name, "error", s.Err)
			continue
		}
		c.log.Info("ingress rules repaired", "securityGroup", s.Step.ID.Name)
	}
}

func openedSummary(groups int) string {
	if groups == 0 {
		return ""
	}
	return "changed the ingress rules of " + amount(groups, "security group")
}

func joined(parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), ", ")
}
