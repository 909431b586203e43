package control

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/record/util"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/sluicehq/sluice/internal/kube"
	"github.com/sluicehq/sluice/internal/lb"
)

// Reasons of events that tell no verdict.
const (
	reconciled            = "SuccessfullyReconciled"
	failedModel           = "FailedBuildModel"
	failedDeploy          = "FailedDeployModel"
	failedAddFinalizer    = "FailedAddFinalizer"
	failedRemoveFinalizer = "FailedRemoveFinalizer"
	failedStatus          = "FailedUpdateStatus"
	failedCleanupStatus   = "FailedCleanupStatus"
	failedReconcile       = "FailedReconcile"
	failedCleanup         = "FailedCleanup"
	failedNetwork         = "FailedNetworkReconcile"
)

// noteLimit is how long the API server lets an event's text be.
const noteLimit = 1024

// told is what was last said about a stack or a binding.
type told struct {
	verdicts []lb.Verdict
	failure  failure
}

// failure is trouble of the world. Two with the same key are the same trouble, although the texts of AWS's answers
// have a request id each.
type failure struct {
	reason string
	key    string
	text   string
}

// telling is what a pass has to say.
type telling struct {
	verdicts []lb.Verdict
	failure  failure
	done     string // what was done; empty when nothing was
	about    []client.Object
}

// news says what of it is new: the verdicts that were not told yet, whether the failure is another one, and whether
// it is worth saying that all is well.
func (t telling) news(before told) (verdicts []lb.Verdict, failed, well bool) {
	for _, v := range t.verdicts {
		if !slices.Contains(before.verdicts, v) {
			verdicts = append(verdicts, v)
		}
	}
	failed = t.failure.key != "" && t.failure.key != before.failure.key
	if t.failure.key != "" || slices.ContainsFunc(t.verdicts, refused) {
		return verdicts, failed, false
	}
	mended := before.failure.key != "" || slices.ContainsFunc(before.verdicts, func(v lb.Verdict) bool { return !slices.Contains(t.verdicts, v) })
	return verdicts, failed, t.done != "" || mended
}

func refused(v lb.Verdict) bool { return v.Severity == lb.Refused }

// tell records events for what is new, and returns what has been told now. An event that cannot be written is told
// again by the next pass.
func (c *Controller) tell(ctx context.Context, objects *kube.Objects, before told, t telling) told {
	after := told{verdicts: t.verdicts, failure: t.failure}
	verdicts, failed, well := t.news(before)
	for _, v := range verdicts {
		regarding := objectOf(objects, t.about, v.Object)
		if regarding == nil {
			continue
		}
		if !c.record(ctx, regarding, corev1.EventTypeWarning, string(v.Reason), v.Message()) {
			after.verdicts = slices.DeleteFunc(slices.Clone(after.verdicts), func(o lb.Verdict) bool { return o == v })
		}
	}
	for _, object := range t.about {
		if failed && !c.record(ctx, object, corev1.EventTypeWarning, t.failure.reason, t.failure.text) {
			after.failure = failure{}
		}
		if well {
			note := "Successfully reconciled"
			if t.done != "" {
				note += ": " + t.done
			}
			c.record(ctx, object, corev1.EventTypeNormal, reconciled, note)
		}
	}
	return after
}

// objectOf finds the object that a verdict is about.
func objectOf(objects *kube.Objects, about []client.Object, o lb.Object) client.Object {
	for _, object := range about {
		if object.GetNamespace() == o.Namespace && object.GetName() == o.Name && kindOf(object) == o.Kind {
			return object
		}
	}
	switch o.Kind {
	case "HTTPProxy":
		if p := objects.HTTPProxy(o.Namespace, o.Name); p != nil {
			return p
		}
	case "Ingress":
		if i := objects.Ingress(o.Namespace, o.Name); i != nil {
			return i
		}
	case "Service":
		if s := objects.Service(o.Namespace, o.Name); s != nil {
			return s
		}
	case "IngressClass":
		if class := objects.IngressClass(o.Name); class != nil {
			return class
		}
	case "IngressClassParams":
		if p := objects.IngressClassParams(o.Name); p != nil {
			return p
		}
	}
	return nil
}

// nameOf names an object.
func nameOf(o client.Object) lb.Object {
	return lb.Object{Kind: kindOf(o), Namespace: o.GetNamespace(), Name: o.GetName()}
}

// kindOf is a type's name, which is its kind for all that we handle.
func kindOf(object client.Object) string {
	name := fmt.Sprintf("%T", object)
	return name[strings.LastIndexByte(name, '.')+1:]
}

// record writes an event.
func (c *Controller) record(ctx context.Context, regarding client.Object, kind, reason, note string) bool {
	return recorder{c.client, c.log}.record(ctx, regarding, kind, reason, note)
}

// recorder writes events.
type recorder struct {
	client client.Client
	log    *slog.Logger
}

// record writes an event. It does not use client-go's recorder, which folds events of one reason about one object into
// the first one's text: two verdicts of a kind would be one, and a new text would be lost.
func (r recorder) record(ctx context.Context, regarding client.Object, kind, reason, note string) bool {
	gvk, err := apiutil.GVKForObject(regarding, r.client.Scheme())
	if err != nil {
		panic("control: an event about what is in no scheme: " + err.Error())
	}
	namespace := regarding.GetNamespace()
	if namespace == "" {
		namespace = metav1.NamespaceDefault
	}
	now := time.Now()
	event := &eventsv1.Event{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: util.GenerateEventName(regarding.GetName(), now.UnixNano())},
		Regarding: corev1.ObjectReference{
			APIVersion: gvk.GroupVersion().String(), Kind: gvk.Kind, Namespace: regarding.GetNamespace(), Name: regarding.GetName(),
			UID: regarding.GetUID(), ResourceVersion: regarding.GetResourceVersion(),
		},
		EventTime: metav1.NewMicroTime(now), Type: kind, Reason: reason, Action: "Reconcile", Note: cut(note, noteLimit),
		ReportingController: "ingress.k8s.aws/sluice", ReportingInstance: instance(),
	}
	if err := r.client.Create(ctx, event); err != nil {
		// A namespace that is being removed takes no events, and nobody would read them.
		if ctx.Err() == nil && !apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
			r.log.Warn("cannot record an event", "object", client.ObjectKeyFromObject(regarding), "reason", reason, "note", note, "error", err)
		}
		return false
	}
	return true
}

// instance is who reports, at most as long as the API server takes.
func instance() string {
	host, err := os.Hostname()
	if err != nil || host == "" {
		return "sluice"
	}
	return cut("sluice-"+host, 128)
}

// cut shortens a text to so many bytes, marking where.
func cut(s string, limit int) string {
	const mark = " …"
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit-len(mark)], "") + mark
}
