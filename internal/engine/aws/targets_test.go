package aws_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/google/go-cmp/cmp"

	"github.com/sluicehq/sluice/internal/engine/aws"
	"github.com/sluicehq/sluice/internal/engine/enginetest"
	"github.com/sluicehq/sluice/internal/lb"
	"github.com/sluicehq/sluice/internal/localaws"
	"github.com/sluicehq/sluice/internal/localaws/wire"
	"github.com/sluicehq/sluice/internal/plan"
)

func TestTargets(t *testing.T) {
	w := newWorld(t)
	e := w.load(t)
	want := enginetest.Stack("web", two)
	done(t, apply(t, e, want))
	group := e.Observe(want.ID).TargetGroups[want.TargetGroups[0].ID]
	var list []lb.Target
	for i := range 250 {
		list = append(list, lb.Target{ID: fmt.Sprintf("10.0.0.%d", i+4), Port: 8080})
	}
	list = list[:210]
	made := w.calls(func() {
		have, found, err := e.Registered(t.Context(), group)
		if err != nil || !found || len(have) > 0 {
			t.Fatalf("a new group has %v, %v, %v", have, found, err)
		}
		check(t, e.Register(t.Context(), group, list))
		check(t, e.Register(t.Context(), group, list[:5]))
		check(t, e.Deregister(t.Context(), group, list[:1]))
	})
	if diff := cmp.Diff(map[string]int{"elasticloadbalancing:RegisterTargets": 2, "elasticloadbalancing:DeregisterTargets": 1}, made); diff != "" {
		t.Errorf("(-needed +made):\n%s", diff)
	}
	for name, e := range map[string]*aws.Engine{"the same engine": e, "after a restart": w.load(t)} {
		have, found, err := e.Registered(t.Context(), group)
		if err != nil || !found || len(have) != 209 {
			t.Errorf("%s: %d registered, %v, %v", name, len(have), found, err)
		}
	}
	w.test(func() { w.deleteBalancer(t) })
	w.test(func() {
		_, err := w.elb.DeleteTargetGroup(t.Context(), &elb.DeleteTargetGroupInput{TargetGroupArn: awssdk.String(string(group))})
		check(t, err)
	})
	check(t, e.Deregister(t.Context(), group, list[:1]))
	if _, found, err := e.Registered(t.Context(), group); found || err != nil {
		t.Errorf("a group that is gone: found %v, %v", found, err)
	}
	if len(e.Observe(want.ID).TargetGroups) != 1 {
		t.Error("a group that is gone is still observed")
	}
}

func TestATargetThatAWSRefusesStopsNoOther(t *testing.T) {
	w := newWorld(t)
	e := w.load(t)
	want := enginetest.Stack("web", two)
	done(t, apply(t, e, want))
	group := e.Observe(want.ID).TargetGroups[want.TargetGroups[0].ID]
	bad := lb.Target{ID: "10.0.0.6", Port: 8080}
	w.Fail(func(c localaws.Call) *localaws.Fault {
		in, ok := c.Input.(*elb.RegisterTargetsInput)
		if !ok || !slices.ContainsFunc(in.Targets, func(d elbtypes.TargetDescription) bool { return *d.Id == bad.ID }) {
			return nil
		}
		return &localaws.Fault{Error: wire.Errorf("InvalidTarget", "not in the VPC")}
	})
	list := []lb.Target{{ID: "10.0.0.5", Port: 8080}, bad, {ID: "10.0.0.7", Port: 8080}}
	_, _, err := e.Registered(t.Context(), group)
	check(t, err)
	err = e.Register(t.Context(), group, list)
	var blocked *plan.BlockedError
	if !errors.As(err, &blocked) || blocked.Verdict.Value != "10.0.0.6:8080" {
		t.Errorf("got %v", err)
	}
	have, _, err := e.Registered(t.Context(), group)
	check(t, err)
	if len(have) != 2 {
		t.Errorf("registered %v", have)
	}
}
