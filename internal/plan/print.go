package plan

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/sluicehq/sluice/internal/lb"
)

var signs = map[Verb]string{Create: "+", Update: "~", Delete: "-"}

// Print writes the plan for people: one line a step, its fields below, what it is for beside it.
func Print(w io.Writer, p Plan) error {
	var b strings.Builder
	fmt.Fprintf(&b, "stack %s: %s\n", p.Stack, Summary(p.Steps))
	for _, s := range p.Steps {
		fmt.Fprintf(&b, "  %s %s %s%s\n", signs[s.Verb], s.Verb, s.ID, forWhom(s))
		if s.Verb == Delete {
			continue
		}
		for _, c := range s.Changes() {
			switch {
			case s.Verb == Create:
				fmt.Fprintf(&b, "      %s: %s\n", c.Field, c.After)
			case c.Before == "":
				fmt.Fprintf(&b, "      %s: + %s\n", c.Field, c.After)
			case c.After == "":
				fmt.Fprintf(&b, "      %s: - %s\n", c.Field, c.Before)
			default:
				fmt.Fprintf(&b, "      %s: %s -> %s\n", c.Field, c.Before, c.After)
			}
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Summary counts the steps: "3 to create, 1 to update, 2 to delete", or "nothing to do".
func Summary(steps []Step) string {
	count := map[Verb]int{}
	for _, s := range steps {
		count[s.Verb]++
	}
	var parts []string
	for _, v := range []Verb{Create, Update, Delete} {
		if n := count[v]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d to %s", n, v))
		}
	}
	if len(parts) == 0 {
		return "nothing to do"
	}
	return strings.Join(parts, ", ")
}

func forWhom(s Step) string {
	from := s.From()
	switch {
	case s.Verb == Delete:
		return "  (" + s.Reason + ")"
	case len(from) == 0:
		return ""
	case len(from) == 1:
		return "  for " + from[0].String()
	default:
		return fmt.Sprintf("  for %s and %d more", from[0], len(from)-1)
	}
}

// document is the JSON form of a plan; its field names are part of the command line's contract.
type document struct {
	Stack lb.StackID     `json:"stack"`
	Steps []stepDocument `json:"steps"`
}

type stepDocument struct {
	Verb    Verb           `json:"verb"`
	Kind    Kind           `json:"kind"`
	Name    string         `json:"name"`
	Reason  string         `json:"reason"`
	For     []string       `json:"for,omitempty"`
	Needs   []int          `json:"needs,omitempty"`
	Changes []changeObject `json:"changes,omitempty"`
}

type changeObject struct {
	Field  string `json:"field"`
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
}

// MarshalJSON gives the stack and its steps; `needs` are indices into the steps.
func (p Plan) MarshalJSON() ([]byte, error) {
	d := document{Stack: p.Stack, Steps: []stepDocument{}}
	for _, s := range p.Steps {
		out := stepDocument{Verb: s.Verb, Kind: s.ID.Kind, Name: s.ID.Name, Reason: s.Reason, Needs: s.Needs}
		for _, o := range s.From() {
			out.For = append(out.For, o.String())
		}
		for _, c := range s.Changes() {
			out.Changes = append(out.Changes, changeObject(c))
		}
		d.Steps = append(d.Steps, out)
	}
	return json.Marshal(d)
}
