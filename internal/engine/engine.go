// Package engine is the seam between the model and what makes it real. Each engine is the same sandwich: read what is
// there (I/O), lower the stack to its own terms (pure), diff (pure), apply (I/O).
package engine

import (
	"context"

	"github.com/sluicehq/sluice/internal/lb"
	"github.com/sluicehq/sluice/internal/plan"
)

// Engine makes stacks real. Whole state, idempotent: planning and applying the same stack twice makes no call the
// second time, and a stack that wants nothing removes all that its ID has. What the engine did not create it never
// changes. Methods may be called from several goroutines, but a stack is worked by one at a time.
type Engine interface {
	// Features are what the engine can do; compile refuses the rest.
	Features() lb.Features

	// Plan returns the steps that lead to want. Verdicts are about what the cloud does not have (a subnet, a security
	// group by name): they are the user's to mend. A plan that comes with a Refused verdict is empty: all stays as it
	// is. The error is for a world that cannot be read. It reads the cloud only for what is not cached yet.
	Plan(ctx context.Context, want lb.Stack) (plan.Plan, []lb.Verdict, error)

	// Apply performs a plan that Plan returned.
	Apply(ctx context.Context, p plan.Plan) plan.Result

	// Observe tells what exists for a stack, from what the engine remembers. It makes no call.
	Observe(stack lb.StackID) lb.Observed

	// Stacks lists every stack that has something in the cloud, sorted: those that nothing wants any more are removed
	// by planning an empty stack. It makes no call.
	Stacks() []lb.StackID
}

// Targets registers and deregisters the targets of target groups. It is a path of its own beside Engine: endpoints
// change far more often than stacks, and nothing is compiled for them.
type Targets interface {
	// Registered returns the targets that a target group has, from memory, or read once from the cloud when unknown.
	// A target that is draining does not count. found is false when the target group does not exist.
	Registered(ctx context.Context, group lb.TargetGroupRef) (targets []lb.Target, found bool, err error)

	// Health reads from the cloud how these targets of a group are. What it does not tell is missing. A group that does
	// not exist has no targets.
	Health(ctx context.Context, group lb.TargetGroupRef, targets []lb.Target) (map[lb.Target]lb.TargetHealth, error)

	// Register adds targets; those registered already stay as they are.
	Register(ctx context.Context, group lb.TargetGroupRef, targets []lb.Target) error

	// Describe reads from the cloud what a target group is, by its name where no reference is given. found is false when
	// there is none.
	Describe(ctx context.Context, group lb.TargetGroupRef, name string) (facts lb.TargetGroupFacts, found bool, err error)

	// Deregister removes targets. Removing what is not there, or from a group that is gone, is no error.
	Deregister(ctx context.Context, group lb.TargetGroupRef, targets []lb.Target) error
}

// Accounts gives access to target groups of others.
type Accounts interface {
	// As returns Targets that act as another identity or in another VPC; for the zero Access those of the engine itself.
	// It makes no call. Targets for equal accesses share what they remember.
	As(access lb.Access) Targets
}

// Networking has endpoints let traffic in. Their security groups are not the engine's: it adds rules that carry a mark
// of its own, revokes only such, and leaves the groups and all other rules alone.
type Networking interface {
	// Groups finds for each place the security group that rules are put on. It reads the cloud for places that are not
	// known yet. A place that cannot be found is missing in the result, and the error tells why; the others are there.
	Groups(ctx context.Context, places []lb.Place) (map[lb.Place]lb.SecurityGroupID, error)

	// PlanIngress returns the steps that lead to what is wanted, without those for other groups than only has. It reads
	// the cloud only for groups that are not known yet.
	PlanIngress(ctx context.Context, want Ingress) (plan.Plan, error)

	// Apply performs a plan that PlanIngress returned. Of plans about the same group, one is made and applied at a time.
	Apply(ctx context.Context, p plan.Plan) plan.Result
}

// Ingress is what endpoints let in, for Networking.
type Ingress struct {
	Rules lb.Ingress
	// Complete says that Rules are all that is wanted, so that marked rules beyond them may be revoked. Else rules are
	// only added, and those that a wider marked one covers count as there.
	Complete bool
	// Only are the groups to plan for; nil stands for all that Rules has and all that are known.
	Only []lb.SecurityGroupID
}
