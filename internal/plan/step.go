package plan

import (
	"cmp"
	"slices"

	"github.com/sluicehq/sluice/internal/lb"
)

// Kind is a kind of resource: LoadBalancer, Listener, TargetGroupBinding ….
type Kind string

// ID identifies a resource within an engine. Name is unique within the kind, and readable.
type ID struct {
	Kind Kind
	Name string
}

// String is "Listener k8s-default-web-0123456789:80".
func (id ID) String() string { return string(id.Kind) + " " + id.Name }

// Compare orders ids by kind and name.
func (id ID) Compare(other ID) int {
	return cmp.Or(cmp.Compare(id.Kind, other.Kind), cmp.Compare(id.Name, other.Name))
}

// Field is one comparable, printable property of a resource.
type Field struct{ Name, Value string }

// Resource is one thing that an engine keeps, in the engine's own terms. Two resources with the same ID are the same
// thing; they are in the same state exactly when their Fields are equal. Implementations are plain values: no method
// does I/O, and callers never change what is returned.
type Resource interface {
	ID() ID
	// Fields are in a fixed order. No field holds a secret: fields are printed and logged.
	Fields() []Field
	// Refs are the resources that this one cannot exist without: a listener's target groups, a rule's listener.
	Refs() []ID
	// Owner is the resource whose deletion deletes this one too (a listener's load balancer), or the zero ID.
	Owner() ID
	// From are the Kubernetes objects that asked for it; empty for what nobody asks for any more.
	From() []lb.Object
}

// Verb is what a step does.
type Verb string

// The verbs.
const (
	Create Verb = "create"
	Update Verb = "update"
	Delete Verb = "delete"
)

// Step is one change. Before is nil for Create, After for Delete.
type Step struct {
	Verb   Verb
	ID     ID
	Before Resource
	After  Resource
	Reason string
	Needs  []int // indices of steps in the same plan, all smaller than this step's own
}

// Change is one field that a step changes. An empty side means that the field is absent there.
type Change struct{ Field, Before, After string }

// Changes lists the fields that differ between Before and After, in the order of their fields; an empty field counts
// as absent.
func (s Step) Changes() []Change {
	before, after := fields(s.Before), fields(s.After)
	var changes []Change
	for _, f := range before {
		c := Change{Field: f.Name, Before: f.Value}
		if i := slices.IndexFunc(after, f.sameName); i >= 0 {
			c.After = after[i].Value
		}
		if c.Before != c.After {
			changes = append(changes, c)
		}
	}
	for _, f := range after {
		if !slices.ContainsFunc(before, f.sameName) && f.Value != "" {
			changes = append(changes, Change{Field: f.Name, After: f.Value})
		}
	}
	return changes
}

// From are the objects that the step is for: those of the wanted resource, else those of the one that goes.
func (s Step) From() []lb.Object {
	if s.After != nil {
		return s.After.From()
	}
	return s.Before.From()
}

func (f Field) sameName(other Field) bool { return f.Name == other.Name }

func fields(r Resource) []Field {
	if r == nil {
		return nil
	}
	return r.Fields()
}

// Plan is the steps that lead from what is there to what a stack wants, in an order that works.
type Plan struct {
	Stack lb.StackID
	Steps []Step
}

// Empty says whether there is nothing to do.
func (p Plan) Empty() bool { return len(p.Steps) == 0 }
