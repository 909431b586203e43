package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicehq/sluice/internal/annot"
	"github.com/sluicehq/sluice/internal/compile"
	"github.com/sluicehq/sluice/internal/engine"
	"github.com/sluicehq/sluice/internal/kube"
	"github.com/sluicehq/sluice/internal/lb"
	"github.com/sluicehq/sluice/internal/plan"
)

const (
	// orphanAfter is how long nothing must want a stack before it is removed, where no object says that it leaves.
	orphanAfter = time.Minute
	// goneAgain is when to look again whether bindings are gone; their going is an event, so this is for safety.
	goneAgain = 5 * time.Second
	// namesGoneAgain is when to look again whether names that point at a load balancer are gone.
	namesGoneAgain = time.Second
	// bindingsAtOnce is how many bindings of a stack are written at a time.
	bindingsAtOnce = 4
)

// workStack is one pass over one stack.
func (c *Controller) workStack(ctx context.Context, id lb.StackID) outcome {
	start := time.Now()
	objects, err := c.snapshots.take(ctx)
	if err != nil {
		c.log.Error("cannot read the caches", "stack", id, "error", err)
		return outcome{status: plan.Retry}
	}
	compiled := compile.Stack(objects.Objects, c.options.Compile, id, c.forms.get(id))
	leaving := leavers(objects.Objects, compiled)
	if !c.concerns(objects.Objects, compiled, leaving) {
		c.told.forget(id)
		c.forms.forget(id)
		return outcome{status: plan.Done}
	}
	if !compiled.Held {
		c.forms.set(id, compiled.Forms)
	}
	if end, first := c.sighted(compiled, leaving); first {
		return end
	}
	if leaving == nil && doomed(objects.Objects, compiled.Members) {
		return outcome{status: plan.Later, after: goneAgain} // what goes one by one is not worth following
	}
	p := c.pass(ctx, objects, compiled, leaving)
	if ctx.Err() != nil {
		return outcome{status: plan.Retry} // we are stopping: what failed now says nothing
	}
	p.about = about(objects.Objects, compiled, leaving)
	if len(compiled.Members) > 0 {
		p.done = summary(p.result) // else nobody stays to be told
	}
	after := c.tell(ctx, objects.Objects, c.told.get(id), p.telling)
	if len(compiled.Members)+len(leaving) == 0 && !compiled.Held {
		c.told.forget(id)
		c.forms.forget(id)
	} else {
		c.told.set(id, after)
	}
	c.logPass(id, p, time.Since(start))
	c.metrics.pass("stack", p.end.status, time.Since(start).Seconds())
	return p.end
}

// sighted says whether a stack that has no owner is not to be removed yet. It must be seen so twice, some time apart: a
// cache, or a tag listing, may have been behind the first time.
func (c *Controller) sighted(compiled compile.Compiled, leaving []client.Object) (end outcome, first bool) {
	if len(compiled.Members)+len(leaving) > 0 || compiled.Held || !slices.Contains(c.options.Engine.Stacks(), compiled.ID) {
		c.orphans.forget(compiled.ID)
		return outcome{}, false
	}
	seen := c.orphans.get(compiled.ID)
	if seen.IsZero() {
		seen = c.now()
		c.orphans.set(compiled.ID, seen)
		c.log.Info("nothing wants what the cloud has of a stack; it is removed if that stays so", "stack", compiled.ID, "after", orphanAfter)
	}
	left := orphanAfter - c.now().Sub(seen)
	return outcome{status: plan.Later, after: max(left, time.Second)}, left > 0
}

// pass is what happened to a stack.
type pass struct {
	telling
	result plan.Result
	end    outcome
	lacks  bool // the cloud lacks something that a part of the stack needs
}

func (c *Controller) pass(ctx context.Context, objects *picture, compiled compile.Compiled, leaving []client.Object) pass {
	p := pass{telling: telling{verdicts: compiled.Verdicts}, end: outcome{status: plan.Done}}
	finalizer := compile.Finalizer(compiled.ID)
	for _, member := range compiled.Members {
		if err := c.addFinalizer(ctx, member, finalizer); err != nil {
			return p.failed(failedAddFinalizer, "Failed to add the finalizer", err)
		}
	}
	if compiled.Held {
		p.end = outcome{status: plan.Blocked} // nothing but a change of an object helps
		return p
	}
	p = c.deploy(ctx, objects, compiled, p)
	if err := c.publish(ctx, compiled.Stack, c.options.Engine.Observe(compiled.ID)); err != nil {
		return p.failed(failedStatus, "Failed to update the status", err)
	}
	if p.end.status != plan.Done {
		return p
	}
	if len(compiled.Members) == 0 && len(objects.bindings[compiled.ID]) > 0 {
		p.end = outcome{status: plan.Later, after: goneAgain} // an object leaves after its bindings
		return p
	}
	for _, object := range leaving {
		if err := c.unpublish(ctx, object); err != nil {
			return p.failed(failedCleanupStatus, "Failed to clear the status", err)
		}
		if err := setFinalizer(ctx, c.client, c.live, object, finalizer, false); err != nil {
			return p.failed(failedRemoveFinalizer, "Failed to remove the finalizer", err)
		}
	}
	if slices.ContainsFunc(compiled.Verdicts, refused) {
		p.end = outcome{status: plan.Blocked} // somebody is not served as they ask; nothing but a change of an object helps
	}
	if p.lacks {
		p.end = outcome{status: plan.Blocked, after: spread(blockedRetry)}
	}
	return p
}

// deploy plans and applies a stack, then its bindings. Bindings go only when the cloud is as it should be: until then
// their target groups may still be in use.
func (c *Controller) deploy(ctx context.Context, objects *picture, compiled compile.Compiled, p pass) pass {
	if compiled.Stack.Empty() && engine.LaneOf(ctx) == engine.UserChanges {
		ctx = engine.InLane(ctx, engine.Deletes)
	}
	if len(compiled.Stack.LoadBalancers) == 0 && !c.namesWithdrawn(compiled.ID) {
		p.end = outcome{status: plan.Later, after: namesGoneAgain}
		return p
	}
	steps, verdicts, err := c.options.Engine.Plan(ctx, compiled.Stack)
	if err != nil {
		return p.failed(failedModel, "Failed to plan", err)
	}
	p.verdicts = lb.SortVerdicts(append(slices.Clone(p.verdicts), verdicts...))
	p.lacks = slices.ContainsFunc(verdicts, func(v lb.Verdict) bool { return v.Severity != lb.Warning })
	if slices.ContainsFunc(verdicts, refused) {
		p.end = outcome{status: plan.Blocked, after: spread(blockedRetry)}
		return p
	}
	steps, held := c.namesFirst(steps, c.options.Engine.Observe(compiled.ID))
	if !steps.Empty() {
		p.result = c.options.Engine.Apply(ctx, steps)
	}
	if c.names != nil && !steps.Empty() {
		c.names.mark(compiled.Members...) // what they point at may have changed
	}
	status, _ := p.result.Status()
	have := objects.bindings[compiled.ID]
	observed := c.options.Engine.Observe(compiled.ID)
	at := siteOf(c.options.VPCID, compiled.Stack, observed)
	bindings := bindingSteps(have, wantedBindings(compiled.Stack, observed, have, at))
	if status != plan.Done || held {
		bindings = withoutDeletes(bindings)
	}
	if len(bindings) > 0 && ctx.Err() == nil {
		made := plan.Run(ctx, plan.Plan{Stack: compiled.ID, Steps: bindings}, bindingPerformer{c.client, c.live}, bindingsAtOnce)
		p.result.Steps = append(p.result.Steps, made.Steps...)
	}
	p = p.ended()
	if held && p.end.status == plan.Done {
		p.end = outcome{status: plan.Later, after: namesGoneAgain}
	}
	return p
}

// withoutDeletes leaves deletions out. They come last, so no step that stays needs one.
func withoutDeletes(steps []plan.Step) []plan.Step {
	return slices.DeleteFunc(slices.Clone(steps), func(s plan.Step) bool { return s.Verb == plan.Delete })
}

// ended takes over how the steps ended.
func (p pass) ended() pass {
	status, after := p.result.Status()
	p.end = outcome{status: status, after: after}
	if status == plan.Blocked {
		p.end.after = spread(blockedRetry)
	}
	p.verdicts = lb.SortVerdicts(append(slices.Clone(p.verdicts), p.result.Verdicts()...))
	var keys, texts []string
	for _, s := range p.result.Steps {
		var blocked *plan.BlockedError
		var later *plan.LaterError
		if s.Err == nil || errors.As(s.Err, &blocked) || errors.As(s.Err, &later) {
			continue
		}
		keys = append(keys, string(s.Step.Verb)+" "+s.Step.ID.String())
		texts = append(texts, s.Err.Error())
	}
	if len(keys) > 0 {
		p.failure = failure{
			reason: failedDeploy, key: failedDeploy + " " + strings.Join(keys, ", "),
			text: "Failed to deploy, trying again: " + strings.Join(texts, "; "),
		}
	}
	return p
}

// failed says that something outside of the plan went wrong, unless the plan has failed already.
func (p pass) failed(reason, attempt string, err error) pass {
	p.end = outcome{status: plan.Retry}
	if p.failure.key == "" {
		p.failure = failure{reason: reason, key: reason, text: fmt.Sprintf("%s, trying again: %s", attempt, err)}
	}
	return p
}

// leavers are the objects that carry a stack's finalizer and are no members (any more).
func leavers(objects *kube.Objects, compiled compile.Compiled) []client.Object {
	finalizer := compile.Finalizer(compiled.ID)
	var out []client.Object
	for _, object := range compile.Candidates(objects, compiled.ID) {
		if slices.Contains(object.GetFinalizers(), finalizer) && !slices.Contains(compiled.Members, nameOf(object)) {
			out = append(out, object)
		}
	}
	return out
}

// concerns says whether a stack is ours to work. What nobody here wants or leaves is ours only when no object exists
// that it may be of: one that is another controller's may have a stack of the same name or be in a group of the same
// name, and so may one in a namespace that is not watched.
func (c *Controller) concerns(objects *kube.Objects, compiled compile.Compiled, leaving []client.Object) bool {
	if len(compiled.Members)+len(leaving) > 0 || compiled.Held {
		return true
	}
	namespace, _, own := compiled.ID.Own()
	if c.options.Namespace != "" && (!own || c.options.Namespace != namespace) {
		return false
	}
	return !slices.ContainsFunc(compile.Candidates(objects, compiled.ID), func(o compile.Object) bool {
		i, isIngress := o.(*networkingv1.Ingress)
		return own || isIngress && annot.NamedGroup(i) == compiled.ID || slices.Contains(o.GetFinalizers(), compile.Finalizer(compiled.ID))
	})
}

// doomed says whether all members are in namespaces that are being removed: their Services go first, and they follow.
func doomed(objects *kube.Objects, members []lb.Object) bool {
	return len(members) > 0 && !slices.ContainsFunc(members, func(m lb.Object) bool {
		namespace := objects.Namespace(m.Namespace)
		return namespace == nil || namespace.DeletionTimestamp.IsZero()
	})
}

// about are the objects that events of a stack are about.
func about(objects *kube.Objects, compiled compile.Compiled, leaving []client.Object) []client.Object {
	var out []client.Object
	for _, member := range compiled.Members {
		if object := objectOf(objects, nil, member); object != nil {
			out = append(out, object)
		}
	}
	return append(out, leaving...)
}

// logPass logs passes that changed something or failed.
func (c *Controller) logPass(id lb.StackID, p pass, took time.Duration) {
	took = took.Round(time.Millisecond)
	switch {
	case p.failure.key != "":
		c.log.Error("stack failed", "stack", id, "done", summary(p.result), "error", p.failure.text, "took", took)
	case len(p.result.Steps) > 0:
		c.log.Info("stack changed", "stack", id, "status", p.end.status, "done", summary(p.result), "took", took)
	}
}
