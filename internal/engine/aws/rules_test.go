package aws

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/sluicehq/sluice/internal/lb"
	"github.com/sluicehq/sluice/internal/plan"
)

// rulesOf makes rules from a text such as "1:a 2:b": priority and what the rule says.
func rulesOf(text string, existing bool) []Rule {
	listener := Listener{LoadBalancer: plan.ID{Kind: LoadBalancerKind, Name: "web"}, Port: 80}
	var rules []Rule
	for _, word := range strings.Fields(text) {
		var r Rule
		priority, what, _ := strings.Cut(word, ":")
		if _, err := fmt.Sscan(priority, &r.Priority); err != nil {
			panic(err)
		}
		r.Listener = listener.ID()
		r.Conditions = []lb.Condition{{Field: lb.PathPattern, Values: []string{"/" + what}}}
		r.Action = respondWith(lb.FixedResponse{StatusCode: 200})
		if existing {
			r.arn = "arn-of-" + word
		}
		rules = append(rules, r)
	}
	return rules
}

func TestRulesAreChangedWithTheFewestSteps(t *testing.T) {
	for _, c := range []struct{ name, have, want, steps string }{
		{"nothing to do", "1:a 2:b", "1:a 2:b", ""},
		{"one more at the end", "1:a", "1:a 2:b", "create web:80/2"},
		{"one changes in place", "1:a 2:b", "1:a 2:x", "update web:80/2"},
		{"one goes at the end", "1:a 2:b", "1:a", "delete web:80/2"},
		{"one more at the top moves the rest at once", "1:a 2:b", "1:x 2:a 3:b", "update web:80 [/a 2 /b 3], create web:80/1"},
		{"what goes is parked while others move", "1:a 2:b 3:c", "1:c", "update web:80 [/c 1 /a 49999 /b 50000], delete web:80/1, delete web:80/2"},
		{"swapped", "1:a 2:b", "1:b 2:a", "update web:80 [/a 2 /b 1]"},
		{"equal rules are not moved for each other", "1:a 2:a", "1:a 2:a", ""},
		{"after a crash the parked one goes", "1:a 50000:b", "1:a", "delete web:80/50000"},
	} {
		have, want := rulesOf(c.have, true), rulesOf(c.want, false)
		steps := plan.Order(diffRules(have, want, nil), nil)
		if got := rulesText(steps); got != c.steps {
			t.Errorf("%s: %s -> %s:\n got %s\nwant %s", c.name, c.have, c.want, got, c.steps)
		}
	}
}

func rulesText(steps []plan.Step) string {
	var words []string
	for _, s := range steps {
		word := string(s.Verb) + " " + s.ID.Name
		if moves, ok := s.After.(RulePriorities); ok {
			var list []string
			for _, m := range moves.Moves {
				list = append(list, fmt.Sprintf("%s %d", strings.TrimPrefix(m.what, "path-pattern "), m.priority))
			}
			slices.SortFunc(list, func(a, b string) int {
				return strings.Compare(fmt.Sprint(len(a), a), fmt.Sprint(len(b), b))
			})
			word += " [" + strings.Join(list, " ") + "]"
		}
		words = append(words, word)
	}
	return strings.Join(words, ", ")
}

// Whatever the rules are, performing the steps leads to the wanted ones, and no step takes a priority that is held.
func TestRuleStepsLeadToWhatIsWanted(t *testing.T) {
	foreign := map[int]bool{lastPriority: true}
	r := rand.New(rand.NewPCG(1, 2))
	some := func() string {
		var words []string
		for i := range r.IntN(6) {
			words = append(words, fmt.Sprintf("%d:%c", i+1, 'a'+rune(r.IntN(5))))
		}
		return strings.Join(words, " ")
	}
	for range 2000 {
		have, want := some(), some()
		held := map[int]string{lastPriority: "foreign"}
		at := map[string]int{}
		for _, h := range rulesOf(have, true) {
			held[h.Priority], at[h.arn] = h.settings(), h.Priority
		}
		for _, s := range plan.Order(diffRules(rulesOf(have, true), rulesOf(want, false), foreign), nil) {
			perform(t, s, held, at, have+" -> "+want)
		}
		delete(held, lastPriority)
		wanted := map[int]string{}
		for _, w := range rulesOf(want, false) {
			wanted[w.Priority] = w.settings()
		}
		if !maps.Equal(held, wanted) {
			t.Fatalf("%s -> %s: ends as %v", have, want, held)
		}
	}
}

func perform(t *testing.T, s plan.Step, held map[int]string, at map[string]int, what string) {
	take := func(priority int, settings string) {
		if other, taken := held[priority]; taken {
			t.Fatalf("%s: %s takes priority %d from %s", what, s.ID, priority, other)
		}
		held[priority] = settings
	}
	switch after := s.After.(type) {
	case RulePriorities:
		settings := map[string]string{}
		for _, m := range after.Moves {
			settings[m.arn] = held[at[m.arn]]
			delete(held, at[m.arn])
		}
		for _, m := range after.Moves {
			take(m.priority, settings[m.arn])
			at[m.arn] = m.priority
		}
	case Rule:
		if s.Verb == plan.Create {
			take(after.Priority, after.settings())
			return
		}
		held[at[s.Before.(Rule).arn]] = after.settings()
	default:
		delete(held, at[s.Before.(Rule).arn])
	}
}
