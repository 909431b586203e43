package control

import (
	"context"
	"encoding/json"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	elbv2api "github.com/sluicehq/sluice/api/elbv2/v1beta1"
	"github.com/sluicehq/sluice/internal/endpoints"
	"github.com/sluicehq/sluice/internal/engine"
	"github.com/sluicehq/sluice/internal/lb"
)

// targetsOf gives access to a binding's target group, as the role that it names and in its VPC.
func (c *Controller) targetsOf(tgb *elbv2api.TargetGroupBinding) engine.Targets {
	return c.options.Targets.As(lb.Access{
		Role: tgb.Spec.IamRoleArnToAssume, ExternalID: tgb.Spec.AssumeRoleExternalId, VPC: tgb.Spec.VpcID,
	})
}

// complete says whether a binding says all about its target group, or nothing by which it could be found.
func complete(s elbv2api.TargetGroupBindingSpec) bool {
	return s.TargetGroupARN == "" && s.TargetGroupName == "" ||
		s.TargetGroupARN != "" && s.TargetType != nil && s.IPAddressType != nil && s.VpcID != "" && s.TargetGroupProtocol != nil
}

// fill writes into a binding what it does not say about its target group: the reference's webhook does so, and after a
// hand-back that controller counts on it. What the binding says wrongly is a verdict. It returns the binding as it is now,
// or nil where the pass is over.
func (c *Controller) fill(ctx context.Context, tgb *elbv2api.TargetGroupBinding, p bindingPass) (bindingPass, *elbv2api.TargetGroupBinding) {
	s := tgb.Spec
	facts, found, err := c.targetsOf(tgb).Describe(ctx, lb.TargetGroupRef(s.TargetGroupARN), s.TargetGroupName)
	if err != nil {
		return p.failed(tgb, failedReconcile, fmt.Errorf("find the target group: %w", err)), nil
	}
	if !found {
		return c.groupMissing(tgb, p), nil
	}
	spec := map[string]any{}
	settle(&p, tgb, "targetGroupARN", s.TargetGroupARN, string(facts.Ref), spec)
	settle(&p, tgb, "targetType", text(s.TargetType), string(facts.TargetType), spec)
	settle(&p, tgb, "ipAddressType", text(s.IPAddressType), string(facts.IPAddressType), spec)
	settle(&p, tgb, "vpcID", s.VpcID, facts.VPC, spec)
	settle(&p, tgb, "targetGroupProtocol", text(s.TargetGroupProtocol), string(facts.Protocol), spec)
	if len(p.verdicts) > 0 {
		p.end = blocked()
		return p, nil
	}
	filled := shell(tgb)
	patch, err := json.Marshal(map[string]any{"spec": spec})
	if err == nil {
		err = c.client.Patch(ctx, filled, client.RawPatch(types.MergePatchType, patch))
	}
	if apierrors.IsNotFound(err) {
		return p, nil // its end is an event
	}
	if err != nil {
		return p.failed(tgb, failedReconcile, fmt.Errorf("write what the target group is into the spec: %w", err)), nil
	}
	return p, filled
}

// settle notes a field that is missing, and judges one that is not what the target group has.
func settle(p *bindingPass, tgb *elbv2api.TargetGroupBinding, field, have, is string, missing map[string]any) {
	switch {
	case have == "" && is != "":
		missing[field] = is
	case have != is:
		p.verdicts = append(p.verdicts, lb.Verdict{
			Object: endpoints.Object(tgb), Severity: lb.Refused, Reason: endpoints.InvalidBinding, Field: "spec." + field, Value: have,
			Problem: "is not what the target group has, which is " + is, Fix: "Make a binding with the right value: it cannot be changed",
		})
	}
}
