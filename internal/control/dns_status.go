package control

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	externaldnsapi "github.com/sluicehq/sluice/api/externaldns/v1alpha1"
	"github.com/sluicehq/sluice/internal/annot"
	"github.com/sluicehq/sluice/internal/dns"
	"github.com/sluicehq/sluice/internal/lb"
)

// DNSReady is the condition that tells whether an object's names answer: True once all records are in force on all name
// servers of their zones.
const DNSReady = "DNSReady"

// Reasons of the condition that are no verdict's.
const (
	inForce   = "RecordsInForce"
	notYet    = "RecordsPending"
	noRecords = "NoRecords"
)

// messageLimit is how long a condition's message may be.
const messageLimit = 32768

// tellAll tells objects about their names.
func (n *Names) tellAll(ctx context.Context, objects map[lb.Object]bool) {
	if n.options.DryRun {
		return
	}
	for o := range objects {
		if err := n.tell(ctx, o); err != nil && ctx.Err() == nil {
			if apierrors.IsForbidden(err) && n.options.Status {
				n.log.Warn("objects are not told about their names any more: the right to write that is missing", "object", o.String(), "error", err)
				n.options.Status = false
			}
			if !apierrors.IsConflict(err) {
				n.log.Warn("cannot tell an object about its names; trying again", "object", o.String(), "error", err)
			}
			n.mark(o)
		}
	}
}

// tell writes the condition and events of an object where they differ from what was told.
func (n *Names) tell(ctx context.Context, o lb.Object) error {
	condition, verdicts, any := n.condition(o)
	key := fmt.Sprint(any, condition.Status, condition.Reason, condition.Message, verdicts)
	if told, ok := n.told[o]; ok && told == key || !ok && !any {
		return nil
	}
	object := newObject(o.Kind)
	if err := n.client.Get(ctx, types.NamespacedName{Namespace: o.Namespace, Name: o.Name}, object); err != nil {
		delete(n.told, o)
		return client.IgnoreNotFound(err)
	}
	object, _ = object.DeepCopyObject().(client.Object) // the cache's own is shared
	changed := true
	if n.options.Status {
		var err error
		if changed, err = n.writeCondition(ctx, object, condition, any); err != nil {
			return err
		}
	}
	if changed || len(verdicts) > 0 {
		n.announce(ctx, object, condition, verdicts, any)
	}
	if any {
		n.told[o] = key
	} else {
		delete(n.told, o)
	}
	return nil
}

// condition is what is to be said about an object's names; any is false for an object that asks for none.
func (n *Names) condition(o lb.Object) (condition metav1.Condition, verdicts []lb.Verdict, any bool) {
	read := n.index.reads[o]
	verdicts = slices.Clone(read.Verdicts)
	var names []dns.Name
	for _, e := range read.Endpoints {
		names = append(names, e.Name)
	}
	slices.Sort(names)
	var lines []string
	condition = metav1.Condition{Type: DNSReady, Status: metav1.ConditionTrue, Reason: inForce}
	lower := func(reason string) {
		if condition.Status == metav1.ConditionTrue || condition.Reason == notYet {
			condition.Status, condition.Reason = metav1.ConditionFalse, reason
		}
	}
	for _, name := range slices.Compact(names) {
		for _, a := range n.answers[name] {
			if a.Object != o {
				continue
			}
			line, reason := n.line(a)
			lines = append(lines, line)
			if reason != "" {
				lower(reason)
			}
			if a.Verdict != nil {
				verdicts = append(verdicts, *a.Verdict)
			}
		}
	}
	for _, v := range verdicts {
		if v.Severity != lb.Warning {
			lower(string(v.Reason))
			if v.Field == "" || !strings.HasPrefix(v.Field, "name ") {
				lines = append(lines, v.Message())
			}
		}
	}
	condition.Message = cut(strings.Join(lines, "; "), messageLimit)
	return condition, lb.SortVerdicts(verdicts), len(lines) > 0
}

// line is what is to be said about one name, with the reason for which it is not ready.
func (n *Names) line(a dns.Answer) (text, reason string) {
	switch {
	case a.Verdict != nil:
		return a.Verdict.Message(), string(a.Verdict.Reason)
	case len(a.Records) == 0 && a.Waiting != "":
		return string(a.Name) + ": " + a.Waiting, notYet
	case len(a.Records) == 0:
		return string(a.Name) + ": it keeps what it has", noRecords
	}
	var parts []string
	for _, r := range a.Records {
		parts = append(parts, string(r.Type)+" "+r.Answer())
	}
	text = string(a.Name) + " " + strings.Join(parts, ", ")
	if n.isPending(a.Name) {
		return text + " (not in force everywhere yet)", notYet
	}
	return text, ""
}

// writeCondition brings the condition into an object, and says whether it was another one.
func (n *Names) writeCondition(ctx context.Context, object client.Object, condition metav1.Condition, want bool) (bool, error) {
	condition.ObservedGeneration = object.GetGeneration()
	condition.LastTransitionTime = metav1.NewTime(n.options.Now())
	switch o := object.(type) {
	case *networkingv1.Ingress:
		return n.annotate(ctx, o, condition, want)
	case *corev1.Service:
		before := o.DeepCopy()
		changed := setCondition(&o.Status.Conditions, condition, want)
		if !changed {
			return false, nil
		}
		return true, client.IgnoreNotFound(n.client.Status().Patch(ctx, o, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})))
	case *externaldnsapi.DNSEndpoint:
		before := o.DeepCopy()
		changed := setCondition(&o.Status.Conditions, condition, want)
		if !changed && o.Status.ObservedGeneration == o.Generation {
			return false, nil
		}
		o.Status.ObservedGeneration = o.Generation
		return changed, client.IgnoreNotFound(n.client.Status().Patch(ctx, o, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})))
	}
	return false, nil
}

func setCondition(list *[]metav1.Condition, condition metav1.Condition, want bool) bool {
	if !want {
		return meta.RemoveStatusCondition(list, condition.Type)
	}
	return meta.SetStatusCondition(list, condition)
}

// annotate puts the condition into an annotation: the status of an Ingress has no place for it.
func (n *Names) annotate(ctx context.Context, i *networkingv1.Ingress, condition metav1.Condition, want bool) (bool, error) {
	text, has := i.Annotations[annot.DNSReadyAnnotation]
	var list []metav1.Condition
	if has {
		var old metav1.Condition
		if json.Unmarshal([]byte(text), &old) == nil {
			list = append(list, old)
		}
	}
	if !setCondition(&list, condition, want) && has == want {
		return false, nil
	}
	var value any
	if want {
		raw, err := json.Marshal(list[0])
		if err != nil {
			return false, fmt.Errorf("write the condition: %w", err)
		}
		value = string(raw)
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]any{annot.DNSReadyAnnotation: value}}})
	if err != nil {
		return false, fmt.Errorf("write the condition: %w", err)
	}
	return true, client.IgnoreNotFound(n.client.Patch(ctx, i, client.RawPatch(types.MergePatchType, patch)))
}

// announce records events for what is new: each verdict once, and that all names answer. A name outside of our zones is
// nothing to be warned of: it may be in somebody else's.
func (n *Names) announce(ctx context.Context, object client.Object, condition metav1.Condition, verdicts []lb.Verdict, any bool) {
	events := recorder{n.client, n.log}
	o := objectOfKind(kindOf(object), object)
	for _, v := range verdicts {
		kind := corev1.EventTypeWarning
		if v.Reason == lb.NoHostedZone {
			kind = corev1.EventTypeNormal
		}
		if !strings.Contains(n.told[o], v.String()) {
			events.record(ctx, object, kind, string(v.Reason), v.Message())
		}
	}
	if any && condition.Status == metav1.ConditionTrue {
		events.record(ctx, object, corev1.EventTypeNormal, DNSReady, condition.Message)
	}
}

// nameMetrics count changes of records.
type nameMetrics struct {
	changes  *prometheus.CounterVec
	failures prometheus.Counter
}

func newNameMetrics() nameMetrics {
	return nameMetrics{
		changes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_dns_changes_total", Help: "Changes of DNS records that zones have taken.",
		}, []string{"action", "type"}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "sluice_dns_failures_total", Help: "Names that could not be written, and reads of zones that failed.",
		}),
	}
}

func (m nameMetrics) register(r prometheus.Registerer) error {
	if r == nil {
		return nil
	}
	if err := r.Register(m.changes); err != nil {
		return err
	}
	return r.Register(m.failures)
}

func (m nameMetrics) counted(changes []dns.Change) {
	for _, c := range changes {
		m.changes.WithLabelValues(string(c.Action), string(c.Record.Type)).Inc()
	}
}
