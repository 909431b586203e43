package control

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/sluicehq/sluice/internal/plan"
)

// summary says what was done, for people: "created load balancer k8s-default-web-0123456789, 2 target groups and 3
// rules; updated 1 listener". Empty when nothing was.
func summary(result plan.Result) string {
	var parts []string
	for _, verb := range []plan.Verb{plan.Create, plan.Update, plan.Delete} {
		var kinds []plan.Kind
		count, names := map[plan.Kind]int{}, map[plan.Kind]string{}
		for _, s := range result.Steps {
			// The backend security group is everybody's: several stacks may plan it and one makes it.
			if s.Err != nil || s.Skipped || s.Step.Verb != verb || s.Step.ID.Kind == "BackendSecurityGroup" {
				continue
			}
			if count[s.Step.ID.Kind] == 0 {
				kinds = append(kinds, s.Step.ID.Kind)
			}
			count[s.Step.ID.Kind]++
			names[s.Step.ID.Kind] = s.Step.ID.Name
		}
		if len(kinds) == 0 {
			continue
		}
		var things []string
		for _, kind := range kinds {
			if kind == "LoadBalancer" && count[kind] == 1 {
				things = append(things, words(kind)+" "+names[kind])
				continue
			}
			things = append(things, amount(count[kind], words(kind)))
		}
		parts = append(parts, past[verb]+" "+list(things))
	}
	return strings.Join(parts, "; ")
}

var past = map[plan.Verb]string{plan.Create: "created", plan.Update: "updated", plan.Delete: "deleted"}

// words turns TargetGroup into "target group". The names of Kubernetes kinds stay.
func words(kind plan.Kind) string {
	if kind == BindingKind {
		return string(kind)
	}
	var b strings.Builder
	for i, r := range string(kind) {
		if i > 0 && unicode.IsUpper(r) {
			b.WriteByte(' ')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

func amount(n int, thing string) string {
	if n != 1 && !strings.HasSuffix(thing, "s") {
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
}

func list(things []string) string {
	if len(things) < 2 {
		return strings.Join(things, "")
	}
	return strings.Join(things[:len(things)-1], ", ") + " and " + things[len(things)-1]
}
