package aws_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicehq/sluice/internal/engine/aws"
	"github.com/sluicehq/sluice/internal/engine/enginetest"
	"github.com/sluicehq/sluice/internal/lb"
	"github.com/sluicehq/sluice/internal/plan"
)

// serving is which load balancer the status names, and how many there are of each kind.
type serving struct {
	Name              string
	Leaving           int
	Balancers, Groups int
}

func (w *world) serving(t testing.TB, e *aws.Engine, id lb.StackID) serving {
	observed := e.Observe(id)
	if len(observed.LoadBalancers) != 1 {
		t.Fatalf("%d load balancers are observed", len(observed.LoadBalancers))
	}
	s := serving{Name: observed.LoadBalancers[0].Name, Leaving: len(observed.Leaving)}
	s.Balancers, s.Groups = w.count(t)
	return s
}

func (w *world) count(t testing.TB) (balancers, groups int) {
	w.test(func() {
		all, err := w.elb.DescribeLoadBalancers(t.Context(), nil)
		check(t, err)
		targets, err := w.elb.DescribeTargetGroups(t.Context(), nil)
		check(t, err)
		balancers, groups = len(all.LoadBalancers), len(targets.TargetGroups)
	})
	return balancers, groups
}

// later applies, which must end with nothing wrong and something to wait for.
func later(t testing.TB, e *aws.Engine, want lb.Stack) {
	t.Helper()
	r := apply(t, e, want)
	if status, _ := r.Status(); status != plan.Later {
		t.Fatalf("ended as %s: %v", status, r.Err())
	}
}

func TestALoadBalancerServesUntilItsReplacementDoes(t *testing.T) {
	for name, replace := range map[string]func(*lb.Stack){
		"a new scheme": func(s *lb.Stack) { *s = enginetest.Stack("web", enginetest.Shape{Internal: true, Rules: two.Rules}) },
		"a new name":   func(s *lb.Stack) { s.LoadBalancers[0].Name, s.LoadBalancers[0].Named = "mine", true },
	} {
		t.Run(name, func(t *testing.T) {
			w := newSlowWorld(t, time.Minute)
			e := w.load(t)
			web := enginetest.Stack("web", two)
			before := web.LoadBalancers[0].Name
			done(t, apply(t, e, web))
			w.pass(2 * time.Minute)
			_, err := e.Provisioning(t.Context())
			check(t, err)
			replace(&web)
			after := web.LoadBalancers[0].Name
			expect := func(what string, want serving) {
				t.Helper()
				if diff := cmp.Diff(want, w.serving(t, e, web.ID)); diff != "" {
					t.Errorf("%s (-want +got):\n%s", what, diff)
				}
			}
			later(t, e, web)
			expect("while the new one is provisioned", serving{Name: before, Balancers: 2, Groups: 4})
			e = w.load(t) // a new process knows no more than AWS tells
			later(t, e, web)
			expect("after a restart", serving{Name: before, Balancers: 2, Groups: 4})
			w.pass(2 * time.Minute)
			later(t, e, web)
			expect("when the new one is active", serving{Name: after, Leaving: 1, Balancers: 2, Groups: 4})
			w.pass(3 * time.Minute)
			done(t, apply(t, e, web))
			expect("when names have followed", serving{Name: after, Balancers: 1, Groups: 2})
			done(t, apply(t, w.load(t), lb.Stack{ID: web.ID}))
			if balancers, groups := w.count(t); balancers+groups > 0 {
				t.Errorf("left: %d load balancers, %d target groups", balancers, groups)
			}
		})
	}
}

// Whoever changes their mind gets the first load balancer back, untouched, and what was made meanwhile goes.
func TestAReplacementCanBeTakenBack(t *testing.T) {
	w := newSlowWorld(t, time.Minute)
	e := w.load(t)
	web := enginetest.Stack("web", two)
	done(t, apply(t, e, web))
	w.pass(2 * time.Minute)
	_, err := e.Provisioning(t.Context())
	check(t, err)
	contents := w.Contents(t)
	later(t, e, enginetest.Stack("web", enginetest.Shape{Internal: true, Rules: two.Rules}))
	later(t, e, web)
	w.pass(3 * time.Minute)
	done(t, apply(t, e, web))
	if diff := cmp.Diff(contents, w.Contents(t)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A deletion does not wait for what nobody wants any more.
func TestADeletionInTheMiddleOfAReplacement(t *testing.T) {
	w := newSlowWorld(t, time.Minute)
	e := w.load(t)
	done(t, apply(t, e, enginetest.Stack("web", two)))
	later(t, e, enginetest.Stack("web", enginetest.Shape{Internal: true, Rules: two.Rules}))
	done(t, apply(t, e, lb.Stack{ID: "default/web"}))
	if balancers, groups := w.count(t); balancers+groups > 0 {
		t.Errorf("left: %d load balancers, %d target groups", balancers, groups)
	}
}
