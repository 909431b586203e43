package control

import (
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicehq/sluice/internal/compile"
	"github.com/sluicehq/sluice/internal/engine"
	"github.com/sluicehq/sluice/internal/lb"
	"github.com/sluicehq/sluice/internal/plan"
)

// The queue's workers: a pass that panics is tried again, and others go on meanwhile.
func TestAPanicCostsOnePass(t *testing.T) {
	w := newWorld(t)
	q := newQueue[string]("test-" + t.Name())
	var mu sync.Mutex
	seen := map[string]int{}
	finished := make(chan string)
	work := func(_ context.Context, key string) outcome {
		mu.Lock()
		seen[key]++
		first := seen[key] == 1
		mu.Unlock()
		if key == "bad" && first {
			panic("a bug")
		}
		finished <- key
		return outcome{status: plan.Done}
	}
	var running sync.WaitGroup
	for range 2 {
		running.Go(func() { serve(w.ctx, w.Controller, q, engine.UserChanges, work) })
	}
	q.Add("bad")
	q.Add("good")
	got := []string{<-finished, <-finished}
	q.ShutDown()
	running.Wait()
	slices.Sort(got)
	if diff := cmp.Diff([]string{"bad", "good"}, got); diff != "" || seen["bad"] != 2 || seen["good"] != 1 {
		t.Error(diff, seen)
	}
}

// A finalizer is patched for the version that was looked at; when the cache is behind, the API server is asked.
func TestFinalizersDoNotOverwriteOthers(t *testing.T) {
	w := newWorld(t)
	w.ingress("shop", "", "web")
	stale := w.get("shop")
	w.check(w.kube.Patch(w.ctx, w.get("shop"), client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":["example.com/theirs"]}}`))))
	w.check(setFinalizer(w.ctx, w.kube, w.kube, stale, compile.Finalizer("default/shop"), true))
	if diff := cmp.Diff([]string{"example.com/theirs", compile.Finalizer("default/shop")}, w.get("shop").Finalizers); diff != "" {
		t.Error(diff)
	}
	if len(stale.Finalizers) > 0 {
		t.Error("the cache's object was changed")
	}
	w.check(setFinalizer(w.ctx, w.kube, w.kube, w.get("shop"), compile.Finalizer("default/shop"), false))
	if diff := cmp.Diff([]string{"example.com/theirs"}, w.get("shop").Finalizers); diff != "" {
		t.Error(diff)
	}
	gone := &networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "gone"}}
	w.check(setFinalizer(w.ctx, w.kube, w.kube, gone, compile.Finalizer("default/shop"), true))
}

func TestMarksBecomeStacks(t *testing.T) {
	w := newWorld(t)
	w.ingress("shop", "", "web")
	w.ingress("blog", "", "other")
	w.snapshots.changed()
	w.marks.add(lb.Object{Kind: "Service", Namespace: "default", Name: "web"}, true)
	w.resolveMarks(w.ctx)
	id, priority, _ := w.stacks.GetWithPriority()
	if id != "default/shop" || priority != 0 {
		t.Errorf("%s at %d", id, priority)
	}
	w.stacks.Done(id)
	w.marks.add(lb.Object{Kind: "IngressClass", Name: "alb"}, false)
	w.resolveMarks(w.ctx)
	if n := w.stacks.Len(); n > 0 {
		t.Errorf("%d stacks that nobody waits for before the cloud is known", n)
	}
	w.loaded.Store(true)
	w.marks.add(lb.Object{Kind: "IngressClass", Name: "alb"}, false)
	w.resolveMarks(w.ctx)
	got := map[lb.StackID]int{}
	for range 2 {
		id, priority, _ := w.stacks.GetWithPriority()
		got[id] = priority
		w.stacks.Done(id)
	}
	if diff := cmp.Diff(map[lb.StackID]int{"default/shop": resyncPriority, "default/blog": resyncPriority}, got); diff != "" {
		t.Error(diff)
	}
	w.stacks.ShutDown()
}

func TestReadiness(t *testing.T) {
	w := newWorld(t)
	ready := func() bool { return w.Ready(nil) == nil }
	states := []bool{ready()}
	close(w.synced)
	states = append(states, ready()) // a replica that waits for its turn is ready
	w.leading.Store(true)
	states = append(states, ready())
	w.usable.Store(true)
	states = append(states, ready())
	if diff := cmp.Diff([]bool{false, true, false, true}, states); diff != "" {
		t.Error(diff)
	}
}
