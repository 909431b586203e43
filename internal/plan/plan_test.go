package plan

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/sluicehq/sluice/internal/lb"
)

// thing is a resource for tests.
type thing struct {
	name  string
	value string
	refs  []string
	owner string
}

func (r thing) ID() ID { return ID{"Thing", r.name} }
func (r thing) Fields() []Field {
	return []Field{{"value", r.value}, {"refs", strings.Join(r.refs, ",")}}
}
func (r thing) From() []lb.Object {
	return []lb.Object{{Kind: "Ingress", Namespace: "default", Name: r.name}}
}

func (r thing) Refs() []ID {
	var out []ID
	for _, name := range r.refs {
		out = append(out, ID{"Thing", name})
	}
	return out
}

func (r thing) Owner() ID {
	if r.owner == "" {
		return ID{}
	}
	return ID{"Thing", r.owner}
}

func words(steps []Step) []string {
	var out []string
	for _, s := range steps {
		out = append(out, string(s.Verb)+" "+s.ID.Name)
	}
	return out
}

func TestWhatIsReferredToIsMadeFirstAndGoesLast(t *testing.T) {
	have := []Resource{thing{name: "old-user", refs: []string{"old"}}, thing{name: "old"}}
	want := []Resource{thing{name: "a", refs: []string{"b"}}, thing{name: "b", refs: []string{"c"}}, thing{name: "c"}}
	got := words(Diff(have, want))
	if diff := cmp.Diff([]string{"create c", "create b", "create a", "delete old-user", "delete old"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestAnUpdateThatLetsGoComesBeforeTheDeletion(t *testing.T) {
	have := []Resource{thing{name: "user", refs: []string{"old"}}, thing{name: "old"}}
	want := []Resource{thing{name: "user", refs: []string{"new"}}, thing{name: "new"}}
	got := words(Diff(have, want))
	if diff := cmp.Diff([]string{"create new", "update user", "delete old"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestDeletingAnOwnerNeedsNoStepForWhatItOwns(t *testing.T) {
	have := []Resource{
		thing{name: "group"},
		thing{name: "balancer"},
		thing{name: "listener", owner: "balancer", refs: []string{"balancer"}},
		thing{name: "rule", owner: "listener", refs: []string{"listener", "group"}},
	}
	got := words(Diff(have, nil))
	if diff := cmp.Diff([]string{"delete balancer", "delete group"}, got); diff != "" {
		t.Error(diff)
	}
}

// heir is a thing that cannot be made before others are gone.
type heir struct {
	thing
	follows []string
}

func (r heir) Follows() []ID {
	var out []ID
	for _, name := range r.follows {
		out = append(out, ID{"Thing", name})
	}
	return out
}

func TestWhatFollowsADeletionComesRightAfterIt(t *testing.T) {
	have := []Resource{
		thing{name: "old-balancer", refs: []string{"old-group"}}, thing{name: "old-group"}, thing{name: "other"},
	}
	want := []Resource{
		thing{name: "balancer"},
		heir{thing{name: "listener", refs: []string{"balancer"}}, []string{"old-balancer"}},
		thing{name: "rule", refs: []string{"listener"}},
	}
	steps := Diff(have, want)
	expected := []string{
		"create balancer", "delete old-balancer", "create listener", "create rule", "delete old-group", "delete other",
	}
	if diff := cmp.Diff(expected, words(steps)); diff != "" {
		t.Error(diff)
	}
	for i, s := range steps {
		for _, j := range s.Needs {
			if j >= i {
				t.Errorf("step %d needs step %d", i, j)
			}
		}
	}
}

func TestPrintIsForPeople(t *testing.T) {
	have := []Resource{thing{name: "a", value: "1"}, thing{name: "old"}}
	want := []Resource{thing{name: "a", value: "2"}, thing{name: "b", value: "x"}}
	var out bytes.Buffer
	if err := Print(&out, Plan{Stack: "default/web", Steps: Diff(have, want)}); err != nil {
		t.Fatal(err)
	}
	const text = `stack default/web: 1 to create, 1 to update, 1 to delete
  ~ update Thing a  for Ingress default/a
      value: 1 -> 2
  + create Thing b  for Ingress default/b
      value: x
  - delete Thing old  (nothing asks for it any more)
`
	if diff := cmp.Diff(text, out.String()); diff != "" {
		t.Error(diff)
	}
}

// world is a performer that keeps what steps make, and refuses what a real one would.
type world struct {
	sync.Mutex
	things map[ID]Resource
	fail   map[string]error
}

func (w *world) Perform(_ context.Context, s Step) error {
	w.Lock()
	defer w.Unlock()
	if err := w.fail[s.ID.Name]; err != nil {
		return err
	}
	if s.Verb == Delete {
		for _, r := range w.things {
			if slices.Contains(r.Refs(), s.ID) && r.Owner() != s.ID {
				return errors.New(s.ID.Name + " is in use")
			}
		}
		for id, r := range w.things {
			if r.Owner() == s.ID {
				delete(w.things, id)
			}
		}
		delete(w.things, s.ID)
		return nil
	}
	for _, ref := range s.After.Refs() {
		if _, ok := w.things[ref]; !ok {
			return errors.New(ref.Name + " does not exist")
		}
	}
	w.things[s.ID] = s.After
	return nil
}

func TestAnyWorldBecomesAnyOtherInOneRun(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		have, want := draw(t, "have"), draw(t, "want")
		w := &world{things: index(have)}
		steps := Diff(have, want)
		for i, s := range steps {
			for _, j := range s.Needs {
				if j >= i {
					t.Fatalf("step %d needs step %d, which comes later", i, j)
				}
			}
		}
		result := Run(context.Background(), Plan{Steps: steps}, w, 3)
		if err := result.Err(); err != nil {
			t.Fatal(err)
		}
		if status, _ := result.Status(); status != Done {
			t.Fatalf("status %s", status)
		}
		var left []Resource
		for _, r := range w.things {
			left = append(left, r)
		}
		if again := Diff(left, want); len(again) > 0 {
			t.Fatalf("a second plan is not empty: %v", words(again))
		}
		shuffled := slices.Clone(want)
		rand.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		if !slices.Equal(words(steps), words(Diff(have, shuffled))) {
			t.Fatal("the order of what is wanted matters")
		}
	})
}

// draw makes things that refer only to things with smaller names, so that there is no circle.
func draw(t *rapid.T, label string) []Resource {
	var out []Resource
	names := rapid.SliceOfNDistinct(rapid.IntRange(0, 9), 0, 8, rapid.ID).Draw(t, label)
	slices.Sort(names)
	for i, n := range names {
		r := thing{name: string(rune('a' + n)), value: rapid.SampledFrom([]string{"1", "2"}).Draw(t, "value")}
		for _, m := range names[:i] {
			if rapid.IntRange(0, 3).Draw(t, "ref") == 0 {
				r.refs = append(r.refs, string(rune('a'+m)))
			}
		}
		out = append(out, r)
	}
	return out
}

func TestAFailedStepCostsOnlyThoseThatNeedIt(t *testing.T) {
	want := []Resource{thing{name: "a"}, thing{name: "b", refs: []string{"a"}}, thing{name: "c"}}
	verdict := lb.Verdict{Reason: lb.QuotaExceeded, Problem: "too many"}
	w := &world{things: map[ID]Resource{}, fail: map[string]error{"a": &BlockedError{Verdict: verdict}}}
	result := Run(context.Background(), Plan{Steps: Diff(nil, want)}, w, 1)
	if status, _ := result.Status(); status != Blocked {
		t.Errorf("status %s", status)
	}
	if _, ok := w.things[ID{"Thing", "c"}]; !ok || len(w.things) != 1 {
		t.Errorf("made %v", w.things)
	}
	verdicts := result.Verdicts()
	if len(verdicts) != 1 || verdicts[0].Object.Name != "a" {
		t.Errorf("verdicts %v", verdicts)
	}
	if !result.Steps[1].Skipped && !result.Steps[2].Skipped {
		t.Error("no step was skipped")
	}
}

func TestTheWorstStatusIsThePlans(t *testing.T) {
	later, blocked, retry := error(&LaterError{After: time.Second, Why: "not yet"}), error(&BlockedError{}), errors.New("down")
	for _, c := range []struct {
		errs []error
		want Status
	}{
		{nil, Done}, {[]error{nil, later}, Later}, {[]error{later, blocked}, Blocked}, {[]error{blocked, retry, later}, Retry},
	} {
		var r Result
		for _, err := range c.errs {
			r.Steps = append(r.Steps, StepResult{Err: err})
		}
		if got, _ := r.Status(); got != c.want {
			t.Errorf("%v: %s, want %s", c.errs, got, c.want)
		}
	}
}

func TestACancelledContextStartsNoStep(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	w := &world{things: map[ID]Resource{}}
	result := Run(ctx, Plan{Steps: Diff(nil, []Resource{thing{name: "a"}})}, w, 2)
	if !errors.Is(result.Err(), context.Canceled) || len(w.things) > 0 {
		t.Errorf("got %v, made %v", result.Err(), w.things)
	}
}

func TestWithoutAStepGoesWhatNeedsIt(t *testing.T) {
	have := []Resource{thing{name: "old-user", refs: []string{"old"}}, thing{name: "old"}, thing{name: "other"}}
	want := []Resource{thing{name: "a", refs: []string{"b"}}, thing{name: "b"}}
	p := Plan{Stack: "s", Steps: Diff(have, want)}
	before := words(p.Steps)
	less := Without(p, func(s Step) bool { return s.ID.Name == "old-user" })
	if diff := cmp.Diff([]string{"create b", "create a", "delete other"}, words(less.Steps)); diff != "" {
		t.Error(diff)
	}
	for i, s := range less.Steps {
		for _, j := range s.Needs {
			if j >= i {
				t.Errorf("step %d needs step %d", i, j)
			}
		}
	}
	if !slices.Equal(before, words(p.Steps)) || less.Stack != "s" {
		t.Error("the plan itself was changed")
	}
}
