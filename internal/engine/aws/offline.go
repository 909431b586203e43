package aws

import (
	"context"
	"errors"

	"github.com/sluicehq/sluice/internal/engine"
	"github.com/sluicehq/sluice/internal/lb"
	"github.com/sluicehq/sluice/internal/plan"
)

// Subnets that an offline plan cannot know.
const discoveredAtApply = "discovered at apply"

// errOffline is the outcome of every step of an offline plan.
var errOffline = errors.New("aws: planned without access to AWS, so it cannot be applied")

// offline plans against an empty mirror. Subnets stay symbolic.
type offline struct{ *Engine }

// NewOffline returns an engine that makes no call: its plans show what would be made where nothing is there yet, and
// are not applied. Of the options it needs Cluster only.
func NewOffline(o Options) engine.Engine {
	o = o.withDefaults()
	e := &Engine{
		options:   o,
		settings:  settings{cluster: o.Cluster, externalTags: o.ExternalTags},
		mirror:    newMirror(o.Cluster, o.Now),
		details:   newDetails(api{}, nil),
		registrar: &registrar{known: newTargets()},
	}
	return offline{e}
}

// Plan is as the engine's own, with subnets as they are named, or else "discovered at apply".
func (o offline) Plan(_ context.Context, want lb.Stack) (plan.Plan, []lb.Verdict, error) {
	places := map[lb.ResourceID]placement{}
	for _, b := range want.LoadBalancers {
		var place placement
		switch {
		case len(b.Subnets.IDsOrNames) > 0:
			place.ids = b.Subnets.IDsOrNames
			place.mappings, _ = mappings(b, place.ids, nil) // counts are compile's to check
		case len(b.Subnets.Tags) > 0:
			place.ids = []string{b.Subnets.String() + ", " + discoveredAtApply}
		default:
			place.ids = []string{discoveredAtApply}
		}
		places[b.ID] = place
	}
	nothing := func(string) error { return nil }
	return o.planWith(want, o.mirror.view(want.ID), places, learning{nothing, nothing, func(plan.Kind, string) error { return nil }})
}

// Apply fails every step.
func (o offline) Apply(_ context.Context, p plan.Plan) plan.Result {
	var result plan.Result
	for _, s := range p.Steps {
		result.Steps = append(result.Steps, plan.StepResult{Step: s, Err: errOffline})
	}
	return result
}
