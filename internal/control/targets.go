package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	elbv2api "github.com/sluicehq/sluice/api/elbv2/v1beta1"
	"github.com/sluicehq/sluice/internal/endpoints"
	"github.com/sluicehq/sluice/internal/kube"
	"github.com/sluicehq/sluice/internal/lb"
	"github.com/sluicehq/sluice/internal/plan"
)

const (
	// driftAfter is when a binding that a checkpoint let pass is compared with the cloud after all.
	driftAfter = 30 * time.Minute
	// groupAgain is when to look again for a target group that is gone and that its stack makes anew.
	groupAgain = 10 * time.Second
)

// bound is what is remembered of a binding.
type bound struct {
	uid        types.UID
	checkpoint string // as last written; newer than what the cache has
	written    bool   // checkpoint is known
	driftAt    time.Time
	told       told
}

// workBinding is one pass over one TargetGroupBinding: its endpoints become registered targets.
func (c *Controller) workBinding(ctx context.Context, key types.NamespacedName) outcome {
	start := time.Now()
	var tgb elbv2api.TargetGroupBinding
	err := c.client.Get(ctx, key, &tgb, client.UnsafeDisableDeepCopy)
	if apierrors.IsNotFound(err) {
		return c.unbound(ctx, key)
	}
	if err != nil {
		c.log.Error("cannot read a TargetGroupBinding from the cache", "binding", key, "error", err)
		return outcome{status: plan.Retry}
	}
	known := c.bound.get(key)
	if known.uid != tgb.UID {
		known = bound{uid: tgb.UID}
	}
	p := bindingPass{known: known, end: outcome{status: plan.Done}, telling: telling{about: []client.Object{&tgb}}}
	switch {
	case c.goesWithNamespace(ctx, &tgb):
		p.end = outcome{status: plan.Later, after: time.Second}
	case tgb.DeletionTimestamp.IsZero():
		p = c.bind(ctx, &tgb, p)
	default:
		p = c.unbind(ctx, &tgb, p)
	}
	if ctx.Err() != nil {
		return outcome{status: plan.Retry}
	}
	if !p.gone { // nobody reads the events of what is gone
		if err := c.report(ctx, &tgb, p); err != nil {
			p = p.failed(&tgb, failedStatus, err)
		}
		p.known.told = c.tell(ctx, kube.New(kube.Contents{}), known.told, p.telling)
	}
	c.bound.set(key, p.known)
	switch took := time.Since(start).Round(time.Millisecond); {
	case p.failure.key != "":
		c.log.Error("binding failed", "binding", key, "error", p.failure.text, "took", took)
	case p.done != "":
		c.log.Info("binding changed", "binding", key, "done", p.done, "took", took)
	}
	c.metrics.pass("binding", p.end.status, time.Since(start).Seconds())
	return p.end
}

// unbound forgets a binding that is gone. One that went by force may have left ingress rules.
func (c *Controller) unbound(ctx context.Context, key types.NamespacedName) outcome {
	c.bound.forget(key)
	if err := c.shut(ctx, key, "", 0); err != nil && ctx.Err() == nil {
		c.log.Error("cannot take back the ingress rules of a binding that is gone", "binding", key, "error", err)
		return outcome{status: plan.Later, after: spread(blockedRetry)}
	}
	return outcome{status: plan.Done}
}

// bindingPass is what happened to a binding.
type bindingPass struct {
	telling
	known bound
	end   outcome
	gone  bool // the binding has been let go

	observed  bool // the binding was worked to the end
	groupless bool // the target group does not exist
	added     map[lb.Target]bool
}

// failed says that the world failed, or, where the error has a verdict, that a person must act.
func (p bindingPass) failed(tgb *elbv2api.TargetGroupBinding, reason string, err error) bindingPass {
	var blocked *plan.BlockedError
	if errors.As(err, &blocked) {
		v := blocked.Verdict
		v.Object = endpoints.Object(tgb)
		p.verdicts = lb.SortVerdicts(append(slices.Clone(p.verdicts), v))
		p.end = outcome{status: plan.Blocked, after: spread(blockedRetry)}
		return p
	}
	p.failure = failure{reason: reason, key: reason, text: "Failed, trying again: " + err.Error()}
	p.end = outcome{status: plan.Retry}
	return p
}

func (c *Controller) bind(ctx context.Context, tgb *elbv2api.TargetGroupBinding, p bindingPass) bindingPass {
	if err := setFinalizer(ctx, c.client, c.live, tgb, bindingFinalizer, true); err != nil {
		return p.failed(tgb, failedAddFinalizer, err)
	}
	if !complete(tgb.Spec) {
		var filled *elbv2api.TargetGroupBinding
		if p, filled = c.fill(ctx, tgb, p); filled == nil {
			return p
		}
		tgb = filled
	}
	if v, ok, err := c.rivalry(ctx, tgb); err != nil {
		return p.failed(tgb, failedReconcile, err)
	} else if ok {
		p.verdicts, p.end = []lb.Verdict{v}, blocked()
		return p
	}
	objects, err := c.backend(ctx, tgb)
	if err != nil {
		return p.failed(tgb, failedReconcile, err)
	}
	wanted := endpoints.Of(objects, tgb)
	p.verdicts = wanted.Verdicts
	if wanted.Held {
		p.end = outcome{status: plan.Blocked}
		return p
	}
	now := time.Now()
	waiting := waitingFor(tgb, wanted.Gated)
	if last := checkpointOf(tgb, p.known); len(waiting) == 0 && last != "" && last == wanted.Checkpoint && (p.known.driftAt.IsZero() || now.Before(p.known.driftAt)) {
		p = p.skipped(now)
	} else {
		p = c.register(ctx, tgb, wanted, p)
	}
	if p.groupless {
		return c.gate(ctx, tgb, waiting, p) // what is let in stays until it is known what becomes of the group
	}
	if wanted.Checkpoint == "" {
		if err := c.releaseGates(ctx, tgb); err != nil {
			p = p.failed(tgb, failedStatus, err)
		}
	}
	return c.gate(ctx, tgb, waiting, c.letIn(ctx, tgb, wanted.Openings, p))
}

// skipped ends a pass whose checkpoint says that nothing has changed. What somebody else did to the target group is
// looked for once, a while after the start.
func (p bindingPass) skipped(now time.Time) bindingPass {
	if !p.known.written {
		if p.known.driftAt.IsZero() {
			p.known.driftAt = now.Add(spread(driftAfter))
		}
		p.end = outcome{status: plan.Later, after: p.known.driftAt.Sub(now)}
	}
	return p
}

// register brings the target group to what is wanted: first those go whose endpoints are gone, then new ones come. The
// checkpoint is cleared before anything changes, or a crash in between would leave a target that nobody remembers.
func (c *Controller) register(ctx context.Context, tgb *elbv2api.TargetGroupBinding, wanted endpoints.Wanted, p bindingPass) bindingPass {
	group := lb.TargetGroupRef(tgb.Spec.TargetGroupARN)
	have, found, err := c.targetsOf(tgb).Registered(ctx, group)
	if err != nil {
		return p.failed(tgb, failedReconcile, fmt.Errorf("read the targets of %s: %w", group, err))
	}
	if !found {
		return c.groupMissing(tgb, p)
	}
	change := exchange{want: wanted.Targets}
	change.add, change.remove = endpoints.Changes(have, wanted.Targets)
	if tgb.Spec.MultiClusterTargetGroup {
		if change.owned, err = c.ownedTargets(ctx, tgb); err != nil {
			return p.failed(tgb, failedReconcile, err)
		}
		change.remove = slices.DeleteFunc(change.remove, func(t lb.Target) bool { return !change.owned.has(t) })
	}
	p = c.limit(tgb, &change, len(have), p)
	add, remove := change.add, change.remove
	if len(add)+len(remove) > 0 || wanted.Checkpoint == "" {
		if p, err = c.saveCheckpoint(ctx, tgb, "", p); err != nil {
			return p.failed(tgb, failedReconcile, err)
		}
	}
	p.added = map[lb.Target]bool{}
	for _, t := range add {
		p.added[t] = true
	}
	if err := c.exchange(ctx, tgb, change); err != nil {
		return p.failed(tgb, failedReconcile, err)
	}
	p.done = targetSummary(len(add), len(remove))
	if p, err = c.saveCheckpoint(ctx, tgb, wanted.Checkpoint, p); err != nil {
		return p.failed(tgb, failedReconcile, err)
	}
	p.known.driftAt, p.observed = time.Time{}, true
	return p
}

// exchange is what becomes of a target group's targets.
type exchange struct {
	add, remove []lb.Target
	want        []lb.Target
	owned       owned // of a target group that other clusters share
}

// limit leaves out new targets beyond those that a target group may have.
func (c *Controller) limit(tgb *elbv2api.TargetGroupBinding, e *exchange, have int, p bindingPass) bindingPass {
	most := c.options.MaxTargets
	room := max(0, most-have+len(e.remove))
	if most == 0 || len(e.add) <= room {
		return p
	}
	p.verdicts = append(slices.Clone(p.verdicts), lb.Verdict{
		Object: endpoints.Object(tgb), Severity: lb.Partial, Reason: lb.QuotaExceeded, Field: "spec.serviceRef.name", Value: tgb.Spec.ServiceRef.Name,
		Problem: fmt.Sprintf("has %s more than the target group may have (--max-targets-per-target-group is %d)", amount(len(e.add)-room, "endpoint"), most),
		Fix:     "Raise the flag, or have fewer endpoints",
	})
	e.add = e.add[:room]
	return p
}

// exchange deregisters, then registers. New targets come although old ones cannot go. Which targets of a shared group are
// this cluster's is written down before they are there.
func (c *Controller) exchange(ctx context.Context, tgb *elbv2api.TargetGroupBinding, e exchange) error {
	add, remove, group, targets := e.add, e.remove, lb.TargetGroupRef(tgb.Spec.TargetGroupARN), c.targetsOf(tgb)
	var errs []error
	ours := slices.Clone(e.want)
	if len(remove) > 0 {
		if err := targets.Deregister(ctx, group, remove); err != nil {
			errs = append(errs, fmt.Errorf("deregister %s: %w", amount(len(remove), "target"), err))
			ours = append(ours, remove...)
		} else {
			c.metrics.targets.WithLabelValues("deregister").Add(float64(len(remove)))
		}
	}
	if tgb.Spec.MultiClusterTargetGroup {
		if err := c.own(ctx, tgb, e.owned, ours); err != nil {
			return errors.Join(append(errs, err)...)
		}
	}
	if len(add) > 0 {
		if err := targets.Register(ctx, group, add); err != nil {
			errs = append(errs, fmt.Errorf("register %s: %w", amount(len(add), "target"), err))
		} else {
			c.metrics.targets.WithLabelValues("register").Add(float64(len(add)))
		}
	}
	return errors.Join(errs...)
}

// groupMissing ends a pass over a binding whose target group does not exist. A stack makes its own anew.
func (c *Controller) groupMissing(tgb *elbv2api.TargetGroupBinding, p bindingPass) bindingPass {
	p.groupless = true
	if id, ok := stackOfBinding(tgb); ok {
		c.enqueueStacks(true, id)
		p.end = outcome{status: plan.Later, after: groupAgain}
		return p
	}
	p.verdicts = append(slices.Clone(p.verdicts), lb.Verdict{
		Object: endpoints.Object(tgb), Severity: lb.Refused, Reason: failedReconcile, Field: "spec.targetGroupARN", Value: tgb.Spec.TargetGroupARN,
		Problem: "there is no such target group", Fix: "Create it, or name one that exists",
	})
	p.end = outcome{status: plan.Blocked, after: spread(blockedRetry)}
	return p
}

func targetSummary(added, removed int) string {
	var parts []string
	if removed > 0 {
		parts = append(parts, "deregistered "+amount(removed, "target"))
	}
	if added > 0 {
		parts = append(parts, "registered "+amount(added, "target"))
	}
	return strings.Join(parts, ", ")
}

// unbind deregisters everything and lets the binding go. Where its stack's target group went already, no call is made.
func (c *Controller) unbind(ctx context.Context, tgb *elbv2api.TargetGroupBinding, p bindingPass) bindingPass {
	_, taken, err := c.rivalry(ctx, tgb)
	if err == nil && !taken && tgb.Spec.TargetGroupARN != "" && !c.groupGone(tgb) {
		p, err = c.empty(ctx, tgb, p)
	}
	if err == nil && tgb.Spec.MultiClusterTargetGroup {
		err = c.disown(ctx, tgb)
	}
	if err != nil {
		return p.failed(tgb, failedCleanup, err)
	}
	if err := c.shut(ctx, client.ObjectKeyFromObject(tgb), tgb.UID, tgb.Generation); err != nil {
		return p.failed(tgb, failedCleanup, err)
	}
	if err := c.releaseGates(ctx, tgb); err != nil {
		return p.failed(tgb, failedCleanup, err)
	}
	if err := setFinalizer(ctx, c.client, c.live, tgb, bindingFinalizer, false); err != nil {
		return p.failed(tgb, failedRemoveFinalizer, err)
	}
	p.gone = true
	return p
}

// empty deregisters all targets, of a shared target group those of this cluster.
func (c *Controller) empty(ctx context.Context, tgb *elbv2api.TargetGroupBinding, p bindingPass) (bindingPass, error) {
	group, targets := lb.TargetGroupRef(tgb.Spec.TargetGroupARN), c.targetsOf(tgb)
	have, found, err := targets.Registered(ctx, group)
	if err == nil && found && tgb.Spec.MultiClusterTargetGroup {
		var ours owned
		ours, err = c.ownedTargets(ctx, tgb)
		have = slices.DeleteFunc(have, func(t lb.Target) bool { return !ours.has(t) })
	}
	if err == nil && found && len(have) > 0 {
		err = targets.Deregister(ctx, group, have)
	}
	if err != nil {
		return p, fmt.Errorf("deregister the targets of %s: %w", group, err)
	}
	if found {
		p.done = targetSummary(0, len(have))
	}
	return p, nil
}

// rivalry says whether another binding has the target group of one that a user made. A stack's own come first.
func (c *Controller) rivalry(ctx context.Context, tgb *elbv2api.TargetGroupBinding) (lb.Verdict, bool, error) {
	if _, ok := stackOfBinding(tgb); ok || tgb.Spec.TargetGroupARN == "" {
		return lb.Verdict{}, false, nil
	}
	var all elbv2api.TargetGroupBindingList
	if err := c.client.List(ctx, &all, client.UnsafeDisableDeepCopy); err != nil {
		return lb.Verdict{}, false, fmt.Errorf("read TargetGroupBindings from the cache: %w", err)
	}
	rival := endpoints.Rival(tgb, all.Items)
	if rival == nil {
		return lb.Verdict{}, false, nil
	}
	return lb.Verdict{
		Object: endpoints.Object(tgb), Severity: lb.Refused, Reason: endpoints.InvalidBinding, Field: "spec.targetGroupARN", Value: tgb.Spec.TargetGroupARN,
		Problem: fmt.Sprintf("is the target group of %s already, and each would take the other's targets away", endpoints.Object(rival)),
		Fix:     "Use another target group, or set spec.multiClusterTargetGroup in both",
	}, true, nil
}

// blocked ends a pass that a person must help; it is tried again slowly, since the cloud may change too.
func blocked() outcome { return outcome{status: plan.Blocked, after: spread(blockedRetry)} }

// groupGone says that the target group of a stack's binding is known not to exist any more.
func (c *Controller) groupGone(tgb *elbv2api.TargetGroupBinding) bool {
	id, ok := stackOfBinding(tgb)
	if !ok {
		return false
	}
	observed, group := c.options.Engine.Observe(id), lb.TargetGroupRef(tgb.Spec.TargetGroupARN)
	return !slices.Contains(observed.Replaced, group) && !slices.Contains(slices.Collect(maps.Values(observed.TargetGroups)), group)
}

// goesWithNamespace says that a stack's binding goes because its whole namespace does: its target group follows soon,
// with all targets.
func (c *Controller) goesWithNamespace(ctx context.Context, tgb *elbv2api.TargetGroupBinding) bool {
	var namespace corev1.Namespace
	_, ok := stackOfBinding(tgb)
	return ok && !c.groupGone(tgb) && c.client.Get(ctx, types.NamespacedName{Name: tgb.Namespace}, &namespace, client.UnsafeDisableDeepCopy) == nil &&
		!namespace.DeletionTimestamp.IsZero()
}

// backend gathers from the caches what a binding's targets are computed from.
func (c *Controller) backend(ctx context.Context, tgb *elbv2api.TargetGroupBinding) (*kube.Objects, error) {
	var contents kube.Contents
	var service corev1.Service
	name := types.NamespacedName{Namespace: tgb.Namespace, Name: tgb.Spec.ServiceRef.Name}
	switch err := c.client.Get(ctx, name, &service, client.UnsafeDisableDeepCopy); {
	case apierrors.IsNotFound(err):
		return kube.New(contents), nil
	case err != nil:
		return nil, fmt.Errorf("read Service %s from the cache: %w", name, err)
	}
	contents.Services = append(contents.Services, &service)
	var nodes corev1.NodeList
	if err := c.client.List(ctx, &nodes, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("read Nodes from the cache: %w", err)
	}
	contents.Nodes = pointers(nodes.Items)
	if !ofType(tgb, elbv2api.TargetTypeIP) {
		return kube.New(contents), nil
	}
	var list discoveryv1.EndpointSliceList
	err := c.client.List(ctx, &list, client.UnsafeDisableDeepCopy,
		client.InNamespace(name.Namespace), client.MatchingLabels{discoveryv1.LabelServiceName: name.Name})
	if err != nil {
		return nil, fmt.Errorf("read EndpointSlices of %s from the cache: %w", name, err)
	}
	contents.EndpointSlices = pointers(list.Items)
	for _, slice := range contents.EndpointSlices {
		for i := range slice.Endpoints {
			ref := slice.Endpoints[i].TargetRef
			if ref == nil || ref.Kind != "Pod" {
				continue
			}
			var pod corev1.Pod
			err := c.client.Get(ctx, types.NamespacedName{Namespace: slice.Namespace, Name: ref.Name}, &pod, client.UnsafeDisableDeepCopy)
			switch {
			case err == nil:
				contents.Pods = append(contents.Pods, &pod)
			case !apierrors.IsNotFound(err):
				return nil, fmt.Errorf("read Pod %s/%s from the cache: %w", slice.Namespace, ref.Name, err)
			}
		}
	}
	return kube.New(contents), nil
}

// checkpointOf is the last checkpoint of a binding: as this process wrote it, else as the object has it.
func checkpointOf(tgb *elbv2api.TargetGroupBinding, known bound) string {
	if known.written {
		return known.checkpoint
	}
	return tgb.Annotations[endpoints.CheckpointAnnotation]
}

// saveCheckpoint writes a checkpoint unless it stands there already.
func (c *Controller) saveCheckpoint(ctx context.Context, tgb *elbv2api.TargetGroupBinding, checkpoint string, p bindingPass) (bindingPass, error) {
	if checkpointOf(tgb, p.known) == checkpoint {
		p.known.checkpoint, p.known.written = checkpoint, true
		return p, nil
	}
	annotations := map[string]string{
		endpoints.CheckpointAnnotation: checkpoint,
		endpoints.CheckpointTime:       strconv.FormatInt(time.Now().Unix(), 10),
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": annotations}})
	if err != nil {
		return p, fmt.Errorf("write the checkpoint: %w", err)
	}
	if err := c.client.Patch(ctx, shell(tgb), client.RawPatch(types.MergePatchType, patch)); client.IgnoreNotFound(err) != nil {
		return p, fmt.Errorf("write the checkpoint: %w", err)
	}
	p.known.checkpoint, p.known.written = checkpoint, true
	return p, nil
}

// shell is an object that only names a binding, for a patch to write its answer into.
func shell(tgb *elbv2api.TargetGroupBinding) *elbv2api.TargetGroupBinding {
	return &elbv2api.TargetGroupBinding{ObjectMeta: metav1.ObjectMeta{Namespace: tgb.Namespace, Name: tgb.Name}}
}
