package localaws

import (
	"time"

	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/sluicehq/sluice/internal/localaws/wire"
)

// capacity is what is reserved of a load balancer's capacity.
type capacity struct {
	Units     int32
	Modified  time.Time
	Decreased []time.Time // of the last day
}

const (
	decreasesPerDay = 2
	// What AWS lets be reserved, in capacity units: per zone for an NLB, in all for an ALB (ELB "Capacity reservations").
	leastNetworkCapacity     = 2750
	leastApplicationCapacity = 100
	mostCapacity             = 45_000
)

// recent are the decreases that still count.
func (c *capacity) recent(now time.Time) []time.Time {
	var out []time.Time
	if c != nil {
		for _, at := range c.Decreased {
			if now.Sub(at) < 24*time.Hour {
				out = append(out, at)
			}
		}
	}
	return out
}

func (x *tx) modifyCapacityReservation(in *elb.ModifyCapacityReservationInput) (*elb.ModifyCapacityReservationOutput, error) {
	b, err := elbRow(x.state.loadBalancers, balancerKind, in.LoadBalancerArn)
	if err != nil {
		return nil, err
	}
	reset := val(in.ResetCapacityReservation)
	var units int32
	if in.MinimumLoadBalancerCapacity != nil {
		units = val(in.MinimumLoadBalancerCapacity.CapacityUnits)
	}
	least := int32(leastApplicationCapacity)
	if b.network() {
		least = int32(leastNetworkCapacity * len(b.Wire.AvailabilityZones)) //nolint:gosec // a region has few zones
	}
	switch {
	case reset == (in.MinimumLoadBalancerCapacity != nil):
		return nil, invalid("You must specify either MinimumLoadBalancerCapacity or ResetCapacityReservation")
	case x.now.Before(b.ActiveAt):
		return nil, wire.Errorf("OperationNotPermitted", "The capacity of load balancer '%s' cannot be modified before it is active", b.arn())
	case !reset && units < least:
		return nil, invalid("The minimum capacity of load balancer '%s' must be at least %d units", b.arn(), least)
	case units > mostCapacity:
		return nil, wire.Errorf("CapacityUnitsLimitExceeded", "The maximum number of capacity units has been reached: %d", mostCapacity)
	}
	next := &capacity{Units: units, Modified: x.now.Truncate(time.Millisecond), Decreased: b.Capacity.recent(x.now)}
	if b.Capacity != nil && units < b.Capacity.Units && !reset {
		if len(next.Decreased) >= decreasesPerDay {
			return nil, wire.Errorf("CapacityDecreaseRequestLimitExceeded", "The capacity of load balancer '%s' has been decreased %d "+
				"times in the last 24 hours", b.arn(), decreasesPerDay)
		}
		next.Decreased = append(next.Decreased, x.now)
	}
	b.Capacity = next
	x.state.loadBalancers.put(x, b.arn(), b)
	out := x.capacityWire(b)
	return &elb.ModifyCapacityReservationOutput{
		CapacityReservationState: out.CapacityReservationState, DecreaseRequestsRemaining: out.DecreaseRequestsRemaining,
		LastModifiedTime: out.LastModifiedTime, MinimumLoadBalancerCapacity: out.MinimumLoadBalancerCapacity,
	}, nil
}

func (x *tx) describeCapacityReservation(in *elb.DescribeCapacityReservationInput) (*elb.DescribeCapacityReservationOutput, error) {
	b, err := elbRow(x.state.loadBalancers, balancerKind, in.LoadBalancerArn)
	if err != nil {
		return nil, err
	}
	return x.capacityWire(b), nil
}

// capacityWire: what is reserved is there at once, shared by the zones.
func (x *tx) capacityWire(b loadBalancer) *elb.DescribeCapacityReservationOutput {
	out := &elb.DescribeCapacityReservationOutput{
		CapacityReservationState:  []types.ZonalCapacityReservationState{},
		DecreaseRequestsRemaining: ptr(int32(decreasesPerDay - len(b.Capacity.recent(x.now)))), //nolint:gosec // a few
	}
	if b.Capacity == nil {
		return out
	}
	out.LastModifiedTime = &b.Capacity.Modified
	if b.Capacity.Units == 0 {
		return out
	}
	out.MinimumLoadBalancerCapacity = &types.MinimumLoadBalancerCapacity{CapacityUnits: &b.Capacity.Units}
	for _, z := range b.Wire.AvailabilityZones {
		out.CapacityReservationState = append(out.CapacityReservationState, types.ZonalCapacityReservationState{
			AvailabilityZone:       z.ZoneName,
			EffectiveCapacityUnits: ptr(float64(b.Capacity.Units) / float64(len(b.Wire.AvailabilityZones))),
			State:                  &types.CapacityReservationStatus{Code: types.CapacityReservationStateEnumProvisioned},
		})
	}
	return out
}
