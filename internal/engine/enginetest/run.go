package enginetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicehq/sluice/internal/engine"
	"github.com/sluicehq/sluice/internal/lb"
	"github.com/sluicehq/sluice/internal/plan"
)

// Run checks that an engine keeps the promises of engine.Engine. newWorld makes an empty cloud for each test; it
// registers its own cleaning up.
func Run(t *testing.T, newWorld func(testing.TB) World) {
	t.Run("one apply converges and empty leaves nothing", func(t *testing.T) { converges(t, newWorld(t)) })
	t.Run("foreign things survive", func(t *testing.T) { foreignSurvives(t, newWorld(t)) })
	t.Run("a walk ends where a fresh start would", func(t *testing.T) { walk(t, newWorld) })
	t.Run("stacks do not disturb each other", func(t *testing.T) { neighbours(t, newWorld) })
	t.Run("many stacks at once", func(t *testing.T) { manyAtOnce(t, newWorld(t)) })
	for _, s := range scenarios {
		t.Run("fault at every call of "+s.name, func(t *testing.T) { everyFault(t, newWorld, s, false) })
	}
	Crashes(t, newWorld)
}

// Crashes is the part of Run that is about crashes.
func Crashes(t *testing.T, newWorld func(testing.TB) World) {
	for _, s := range scenarios {
		t.Run("crash at every call of "+s.name, func(t *testing.T) { everyFault(t, newWorld, s, true) })
	}
}

// full is a stack with something of everything.
var full = Shape{
	Ports: []uint16{80, 8080}, Tag: "blue", Tuned: true, CIDRs: []string{"10.0.0.0/8"}, Secured: Hosts[:1],
	Rules: []Path{{"/a", "app1", ""}, {"/b", "app2", ""}, {"/c/*", "", ""}},
}

// scenario is a change from one shape to another; nil wants nothing.
type scenario struct {
	name     string
	from, to *Shape
}

// scenarios are the changes during which everything may go wrong.
var scenarios = []scenario{
	{"creation", nil, &full},
	{"a change", &full, &Shape{
		Ports: []uint16{80}, Tag: "green", CIDRs: []string{"172.16.0.0/12"}, Health: "/health", Guarded: true, Tuned: true, Secured: Hosts[1:],
		Rules: []Path{{"/b", "app2", ""}, {"/new", "app3", "app2"}, {"/c/*", "app3", ""}},
	}},
	{"a replacement", &full, &Shape{
		Internal: true, Node: true, Tuned: true, Ports: full.Ports, Rules: full.Rules, CIDRs: full.CIDRs,
	}},
	{"a new scheme", &full, &Shape{Internal: true, Tuned: true, Rules: full.Rules}},
	{"deletion", &full, nil},
}

func converges(t *testing.T, w World) {
	before := w.Contents(t)
	e := w.Engine(t)
	for _, shape := range []Shape{{}, full, {Internal: true, Rules: full.Rules}} {
		want := Stack("web", shape)
		settle(t, w, e, want)
		if got := e.Stacks(); !slices.Equal(got, []lb.StackID{want.ID}) {
			t.Errorf("Stacks() = %v, want only %s", got, want.ID)
		}
		observed := e.Observe(want.ID)
		if len(observed.LoadBalancers) != 1 || observed.LoadBalancers[0].DNSName == "" {
			t.Errorf("observed load balancers %+v, want one with a name", observed.LoadBalancers)
		}
		for _, g := range want.TargetGroups {
			if observed.TargetGroups[g.ID] == "" {
				t.Errorf("target group %s is not observed", g.ID)
			}
		}
		settle(t, w, w.Engine(t), want)
		e = w.Engine(t)
	}
	settle(t, w, e, lb.Stack{ID: "default/web"})
	same(t, "after an empty want", before, w.Contents(t))
	if got := e.Stacks(); len(got) != 0 {
		t.Errorf("Stacks() = %v after everything was removed", got)
	}
}

func foreignSurvives(t *testing.T, w World) {
	w.PlantForeign(t)
	before := w.Contents(t)
	e := w.Engine(t)
	if got := e.Stacks(); len(got) != 0 {
		t.Errorf("Stacks() = %v where everything is foreign", got)
	}
	for _, s := range scenarios {
		settle(t, w, e, stackOf(s.from))
		settle(t, w, e, stackOf(s.to))
		settle(t, w, e, stackOf(nil))
		same(t, "foreign things after "+s.name, before, w.Contents(t))
	}
}

func walk(t *testing.T, newWorld func(testing.TB) World) {
	const steps = 15
	for seed := range uint64(3) {
		r := rand.New(rand.NewPCG(seed, 1))
		walked := newWorld(t)
		e := walked.Engine(t)
		var last lb.Stack
		for range steps {
			last = Stack("web", Any(r))
			settle(t, walked, e, last)
		}
		fresh := newWorld(t)
		settle(t, fresh, fresh.Engine(t), last)
		same(t, fmt.Sprintf("walk %d", seed), fresh.Contents(t), walked.Contents(t))
	}
}

func neighbours(t *testing.T, newWorld func(testing.TB) World) {
	alone, both := newWorld(t), newWorld(t)
	settle(t, alone, alone.Engine(t), Stack("stays", full))
	e := both.Engine(t)
	settle(t, both, e, Stack("stays", full))
	settle(t, both, e, Stack("goes", full))
	settle(t, both, e, lb.Stack{ID: "default/goes"})
	same(t, "what a neighbour left", alone.Contents(t), both.Contents(t))
}

func manyAtOnce(t *testing.T, w World) {
	before := w.Contents(t)
	e := w.Engine(t)
	names := []string{"a", "b", "c", "d", "e", "f"}
	atOnce := func(want func(name string) lb.Stack) {
		var group sync.WaitGroup
		for _, name := range names {
			group.Go(func() {
				if err := converge(w, e, want(name)); err != nil {
					t.Errorf("stack %s: %v", name, err)
				}
			})
		}
		group.Wait()
	}
	atOnce(func(name string) lb.Stack { return Stack(name, full) })
	if got := len(e.Stacks()); got != len(names) {
		t.Errorf("%d stacks, want %d", got, len(names))
	}
	atOnce(func(name string) lb.Stack { return lb.Stack{ID: lb.StackID("default/" + name)} })
	same(t, "after all went", before, w.Contents(t))
}

// everyFault performs a change once for each mutating call that it makes, with that call failing, first without and
// then with its effect. Then the same engine plans again, or (crash) a new one that has to find out.
func everyFault(t *testing.T, newWorld func(testing.TB) World, s scenario, crash bool) {
	reference := newWorld(t)
	reference.PlantForeign(t)
	settle(t, reference, reference.Engine(t), stackOf(s.to))
	want := reference.Contents(t)
	for _, effect := range []bool{false, true} {
		for n := 1; ; n++ {
			w := newWorld(t)
			w.PlantForeign(t)
			e := w.Engine(t)
			settle(t, w, e, stackOf(s.from))
			hit := w.Break(Fault{Nth: n, TakesEffect: effect, StaysDown: crash})
			_, _ = applied(w, e, stackOf(s.to))
			met := hit()
			w.Break(Fault{})
			if !met {
				break
			}
			if crash {
				e = w.Engine(t)
			}
			if err := converge(w, e, stackOf(s.to)); err != nil {
				t.Fatalf("call %d failed (effect %v): %v", n, effect, err)
			}
			settle(t, w, e, stackOf(s.to))
			same(t, fmt.Sprintf("after call %d failed (effect %v)", n, effect), want, w.Contents(t))
		}
	}
}

func stackOf(s *Shape) lb.Stack {
	if s == nil {
		return lb.Stack{ID: "default/web"}
	}
	return Stack("web", *s)
}

// settle applies a stack, once but for what takes its time, and checks that nothing is left to do and that finding this
// out makes no call.
func settle(t testing.TB, w World, e engine.Engine, want lb.Stack) {
	t.Helper()
	status, err := applied(w, e, want)
	if err != nil || status != plan.Done {
		t.Fatalf("apply %s: %s, %v", want.ID, status, err)
	}
	calls := w.Calls()
	p, verdicts, err := e.Plan(context.Background(), want)
	if err != nil || len(verdicts) > 0 {
		t.Fatalf("second plan: %v, verdicts %v", err, verdicts)
	}
	if !p.Empty() {
		t.Fatalf("second plan is not empty:\n%s", printed(p))
	}
	if made := w.Calls() - calls; made != 0 {
		t.Fatalf("second plan made %d calls", made)
	}
}

// converge plans and applies until nothing is left, at most a few times: every try learns from the one before.
func converge(w World, e engine.Engine, want lb.Stack) error {
	const tries = 5
	var status plan.Status
	var err error
	for range tries {
		if status, err = applied(w, e, want); err == nil && status == plan.Done {
			return nil
		}
	}
	return fmt.Errorf("%s after %d tries: %w", status, tries, err)
}

// applied plans and applies once, and again as long as the engine says that only time must pass.
func applied(w World, e engine.Engine, want lb.Stack) (plan.Status, error) {
	const looks = 20
	for range looks {
		status, after, err := once(e, want)
		if status != plan.Later {
			return status, err
		}
		w.Pass(after)
	}
	return plan.Later, fmt.Errorf("still not done after %d looks", looks)
}

func once(e engine.Engine, want lb.Stack) (plan.Status, time.Duration, error) {
	p, verdicts, err := e.Plan(context.Background(), want)
	if err != nil {
		return plan.Retry, 0, err
	}
	if len(verdicts) > 0 {
		return plan.Blocked, 0, fmt.Errorf("verdicts %v", verdicts)
	}
	result := e.Apply(context.Background(), p)
	status, after := result.Status()
	return status, after, result.Err()
}

func same(t testing.TB, what, want, got string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("%s (-want +got):\n%s", what, diff)
	}
}

func printed(p plan.Plan) string {
	var b strings.Builder
	if err := plan.Print(&b, p); err != nil {
		return err.Error()
	}
	return b.String()
}
