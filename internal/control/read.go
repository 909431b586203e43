package control

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicehq/sluice/internal/kube"
	"github.com/sluicehq/sluice/internal/lb"
	"github.com/sluicehq/sluice/internal/plan"
)

// ReadObjects reads from a cluster what stacks are compiled from.
func ReadObjects(ctx context.Context, reader client.Reader) (kube.Contents, error) {
	return (&snapshots{reader: reader}).read(ctx)
}

// ReadEndpoints adds what targets are computed from: EndpointSlices, Pods and Nodes.
func ReadEndpoints(ctx context.Context, reader client.Reader, contents kube.Contents) (kube.Contents, error) {
	var (
		endpointSlices discoveryv1.EndpointSliceList
		pods           corev1.PodList
		nodes          corev1.NodeList
	)
	for _, list := range []client.ObjectList{&endpointSlices, &pods, &nodes} {
		if err := reader.List(ctx, list); err != nil {
			return kube.Contents{}, fmt.Errorf("list %T: %w", list, err)
		}
	}
	contents.EndpointSlices = pointers(endpointSlices.Items)
	contents.Pods = pointers(pods.Items)
	contents.Nodes = pointers(nodes.Items)
	return contents, nil
}

// PlanBindings are the steps from the bindings that the objects have of a stack to those that it wants. What only
// applying the rest of its plan tells is marked as such. They go behind that many other steps of the same plan.
func PlanBindings(objects *kube.Objects, stack lb.Stack, observed lb.Observed, vpc string, behind int) []plan.Step {
	have := pictureOf(objects).bindings[stack.ID]
	groups := map[lb.ResourceID]lb.TargetGroupRef{}
	for _, g := range stack.TargetGroups {
		groups[g.ID] = unknownYet
		if ref, known := observed.TargetGroups[g.ID]; known {
			groups[g.ID] = ref
		}
	}
	at := siteOf(orUnknown(vpc), stack, observed)
	at.securityGroup = orUnknown(at.securityGroup)
	if len(observed.LoadBalancers) == 0 && len(stack.LoadBalancers) > 0 {
		at.unsecured = len(stack.LoadBalancers[0].SecurityGroups) == 0
	}
	if !at.around.Known {
		at.around = lb.Surroundings{Known: true, Clients: []string{unknownYet}, Subnets: []string{unknownYet}}
	}
	steps := bindingSteps(have, wantedBindings(stack, lb.Observed{TargetGroups: groups, Replaced: observed.Replaced}, have, at))
	for i := range steps {
		for n := range steps[i].Needs {
			steps[i].Needs[n] += behind
		}
	}
	return steps
}

func orUnknown(value string) string {
	if value == "" {
		return unknownYet
	}
	return value
}
