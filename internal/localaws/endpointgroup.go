package localaws

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	ga "github.com/aws/aws-sdk-go-v2/service/globalaccelerator"
	"github.com/aws/aws-sdk-go-v2/service/globalaccelerator/types"

	"github.com/sluicehq/sluice/internal/localaws/wire"
)

// gaListener is a listener of an accelerator.
type gaListener struct {
	Wire  types.Listener
	Token string
}

func (l gaListener) arn() string { return *l.Wire.ListenerArn }

func (l gaListener) accelerator() string {
	arn, _, _ := strings.Cut(l.arn(), "/listener/")
	return arn
}

// endpointGroup is what a listener of an accelerator sends to in one region.
type endpointGroup struct {
	Wire  types.EndpointGroup
	Token string
}

func (g endpointGroup) arn() string { return *g.Wire.EndpointGroupArn }

func (g endpointGroup) listener() string {
	arn, _, _ := strings.Cut(g.arn(), "/endpoint-group/")
	return arn
}

// checkPortRanges refuses ranges that are none, and those that another listener of the accelerator has.
func (x *tx) checkPortRanges(accelerator, listener string, protocol types.Protocol, ranges []types.PortRange) error {
	taken := func(r types.PortRange, others []types.PortRange) bool {
		return slices.ContainsFunc(others, func(o types.PortRange) bool { return *r.FromPort <= *o.ToPort && *o.FromPort <= *r.ToPort })
	}
	for i, r := range ranges {
		if r.FromPort == nil || r.ToPort == nil || *r.FromPort > *r.ToPort {
			return wire.Errorf("InvalidPortRangeException", "A port range must have a first port that is not above its last.")
		}
		if taken(r, ranges[:i]) || x.state.acceleratorListeners.exists(func(l gaListener) bool {
			return l.accelerator() == accelerator && l.arn() != listener && l.Wire.Protocol == protocol && taken(r, l.Wire.PortRanges)
		}) {
			return wire.Errorf("InvalidPortRangeException", "The port range %d-%d overlaps with another one.", *r.FromPort, *r.ToPort)
		}
	}
	return nil
}

func (x *tx) createAcceleratorListener(in *ga.CreateListenerInput) (*ga.CreateListenerOutput, error) {
	a, err := x.changeable(*in.AcceleratorArn)
	if err != nil {
		return nil, err
	}
	mine := x.state.acceleratorListeners.items(func(_ string, l gaListener) bool { return l.accelerator() == a.arn() })
	for _, l := range mine {
		if l.value.Token == *in.IdempotencyToken {
			return &ga.CreateListenerOutput{Listener: &l.value.Wire}, nil
		}
	}
	l := gaListener{Token: *in.IdempotencyToken, Wire: types.Listener{
		ListenerArn: ptr(a.arn() + "/listener/" + x.hex(8)), PortRanges: in.PortRanges,
		Protocol: cmp.Or(in.Protocol, types.ProtocolTcp), ClientAffinity: cmp.Or(in.ClientAffinity, types.ClientAffinityNone),
	}}
	if limit := x.quota["sluice/listeners-per-accelerator"]; len(mine) >= limit {
		return nil, wire.Errorf("LimitExceededException", "The accelerator has reached the limit of %d listeners.", limit)
	}
	if err := x.checkPortRanges(a.arn(), "", l.Wire.Protocol, l.Wire.PortRanges); err != nil {
		return nil, err
	}
	x.state.acceleratorListeners.put(x, l.arn(), l)
	x.changed(a)
	return &ga.CreateListenerOutput{Listener: &l.Wire}, nil
}

func (x *tx) describeAcceleratorListener(in *ga.DescribeListenerInput) (*ga.DescribeListenerOutput, error) {
	l, err := acceleratorRow(x.state.acceleratorListeners, acceleratorListener, in.ListenerArn)
	if err != nil {
		return nil, err
	}
	return &ga.DescribeListenerOutput{Listener: &l.Wire}, nil
}

func (x *tx) updateAcceleratorListener(in *ga.UpdateListenerInput) (*ga.UpdateListenerOutput, error) {
	l, err := acceleratorRow(x.state.acceleratorListeners, acceleratorListener, in.ListenerArn)
	if err != nil {
		return nil, err
	}
	a, err := x.changeable(l.arn())
	if err != nil {
		return nil, err
	}
	l.Wire.Protocol, l.Wire.ClientAffinity = cmp.Or(in.Protocol, l.Wire.Protocol), cmp.Or(in.ClientAffinity, l.Wire.ClientAffinity)
	if len(in.PortRanges) > 0 {
		l.Wire.PortRanges = in.PortRanges
	}
	if err := x.checkPortRanges(a.arn(), l.arn(), l.Wire.Protocol, l.Wire.PortRanges); err != nil {
		return nil, err
	}
	x.state.acceleratorListeners.put(x, l.arn(), l)
	x.changed(a)
	return &ga.UpdateListenerOutput{Listener: &l.Wire}, nil
}

func (x *tx) deleteAcceleratorListener(in *ga.DeleteListenerInput) (*ga.DeleteListenerOutput, error) {
	l, err := acceleratorRow(x.state.acceleratorListeners, acceleratorListener, in.ListenerArn)
	if err != nil {
		return nil, err
	}
	a, err := x.changeable(l.arn())
	if err != nil {
		return nil, err
	}
	if x.state.endpointGroups.exists(func(g endpointGroup) bool { return g.listener() == l.arn() }) {
		return nil, wire.Errorf("AssociatedEndpointGroupFoundException", "The listener has endpoint groups.")
	}
	x.state.acceleratorListeners.delete(x, l.arn())
	x.changed(a)
	return &ga.DeleteListenerOutput{}, nil
}

func (x *tx) listAcceleratorListeners(in *ga.ListListenersInput) (*ga.ListListenersOutput, error) {
	a, err := acceleratorRow(x.state.accelerators, acceleratorOnly, in.AcceleratorArn)
	if err != nil {
		return nil, err
	}
	mine := x.state.acceleratorListeners.items(func(_ string, l gaListener) bool { return l.accelerator() == a.arn() })
	found, next, err := pageAccelerators(mine, in.NextToken, in.MaxResults)
	if err != nil {
		return nil, err
	}
	out := &ga.ListListenersOutput{Listeners: []types.Listener{}, NextToken: next}
	for _, i := range found {
		out.Listeners = append(out.Listeners, i.value.Wire)
	}
	return out, nil
}

func (x *tx) createEndpointGroup(in *ga.CreateEndpointGroupInput) (*ga.CreateEndpointGroupOutput, error) {
	l, err := acceleratorRow(x.state.acceleratorListeners, acceleratorListener, in.ListenerArn)
	if err != nil {
		return nil, err
	}
	a, err := x.changeable(l.arn())
	if err != nil {
		return nil, err
	}
	for _, g := range x.state.endpointGroups.find(func(g endpointGroup) bool { return g.listener() == l.arn() }) {
		if g.Token == *in.IdempotencyToken {
			return &ga.CreateEndpointGroupOutput{EndpointGroup: x.endpointGroupWire(g)}, nil
		}
		if *g.Wire.EndpointGroupRegion == *in.EndpointGroupRegion {
			return nil, wire.Errorf("EndpointGroupAlreadyExistsException", "The listener has an endpoint group in %s already.", *in.EndpointGroupRegion)
		}
	}
	g := endpointGroup{Token: *in.IdempotencyToken, Wire: types.EndpointGroup{
		EndpointGroupArn: ptr(l.arn() + "/endpoint-group/" + x.hex(12)), EndpointGroupRegion: in.EndpointGroupRegion,
		HealthCheckIntervalSeconds: ptr(int32(30)), HealthCheckProtocol: types.HealthCheckProtocolTcp, HealthCheckPort: l.Wire.PortRanges[0].FromPort,
		ThresholdCount: ptr(int32(3)), TrafficDialPercentage: ptr(float32(100)),
	}}
	err = x.fillEndpointGroup(&g, ga.UpdateEndpointGroupInput{
		EndpointConfigurations: in.EndpointConfigurations, HealthCheckIntervalSeconds: in.HealthCheckIntervalSeconds, HealthCheckPath: in.HealthCheckPath,
		HealthCheckPort: in.HealthCheckPort, HealthCheckProtocol: in.HealthCheckProtocol, PortOverrides: in.PortOverrides,
		ThresholdCount: in.ThresholdCount, TrafficDialPercentage: in.TrafficDialPercentage,
	})
	if err != nil {
		return nil, err
	}
	x.state.endpointGroups.put(x, g.arn(), g)
	x.changed(a)
	return &ga.CreateEndpointGroupOutput{EndpointGroup: x.endpointGroupWire(g)}, nil
}

// fillEndpointGroup gives a group what a request says of it.
func (x *tx) fillEndpointGroup(g *endpointGroup, in ga.UpdateEndpointGroupInput) error {
	w := &g.Wire
	w.HealthCheckIntervalSeconds = cmp.Or(in.HealthCheckIntervalSeconds, w.HealthCheckIntervalSeconds)
	w.HealthCheckPath = cmp.Or(in.HealthCheckPath, w.HealthCheckPath)
	w.HealthCheckPort = cmp.Or(in.HealthCheckPort, w.HealthCheckPort)
	w.HealthCheckProtocol = cmp.Or(in.HealthCheckProtocol, w.HealthCheckProtocol)
	w.ThresholdCount = cmp.Or(in.ThresholdCount, w.ThresholdCount)
	w.TrafficDialPercentage = cmp.Or(in.TrafficDialPercentage, w.TrafficDialPercentage)
	if w.HealthCheckPath == nil && w.HealthCheckProtocol != types.HealthCheckProtocolTcp {
		w.HealthCheckPath = ptr("/")
	}
	if interval := *w.HealthCheckIntervalSeconds; interval != 10 && interval != 30 {
		return badArgument("HealthCheckIntervalSeconds must be 10 or 30, not %d.", interval)
	}
	if in.PortOverrides != nil {
		w.PortOverrides = in.PortOverrides
		for i, o := range in.PortOverrides {
			if slices.ContainsFunc(in.PortOverrides[:i], func(p types.PortOverride) bool { return val(p.ListenerPort) == val(o.ListenerPort) }) {
				return wire.Errorf("InvalidPortRangeException", "The port %d is overridden twice.", val(o.ListenerPort))
			}
		}
	}
	if in.EndpointConfigurations == nil {
		return nil
	}
	w.EndpointDescriptions = nil
	return x.joinEndpoints(g, in.EndpointConfigurations)
}

// joinEndpoints adds endpoints to a group, or changes those that are there.
func (x *tx) joinEndpoints(g *endpointGroup, add []types.EndpointConfiguration) error {
	g.Wire.EndpointDescriptions = slices.Clone(g.Wire.EndpointDescriptions)
	for _, c := range add {
		id := val(c.EndpointId)
		isBalancer := balancerKind.check(id) == nil
		here := *g.Wire.EndpointGroupRegion == x.options.Region
		if isBalancer && here && !x.state.loadBalancers.has(id) {
			return wire.Errorf("EndpointNotFoundException", "The endpoint %s does not exist.", id)
		}
		d := types.EndpointDescription{
			EndpointId: &id, Weight: cmp.Or(c.Weight, ptr(int32(128))), HealthState: types.HealthStateInitial,
			ClientIPPreservationEnabled: cmp.Or(c.ClientIPPreservationEnabled, ptr(isBalancer && strings.Contains(id, "loadbalancer/app/"))),
		}
		at := slices.IndexFunc(g.Wire.EndpointDescriptions, func(o types.EndpointDescription) bool { return *o.EndpointId == id })
		if at >= 0 {
			g.Wire.EndpointDescriptions[at] = d
			continue
		}
		g.Wire.EndpointDescriptions = append(g.Wire.EndpointDescriptions, d)
	}
	if limit := x.quota["sluice/endpoints-per-endpoint-group"]; len(g.Wire.EndpointDescriptions) > limit {
		return wire.Errorf("LimitExceededException", "An endpoint group can have at most %d endpoints.", limit)
	}
	return nil
}

// endpointGroupWire adds how the endpoints are: a load balancer is as its targets are.
func (x *tx) endpointGroupWire(g endpointGroup) *types.EndpointGroup {
	w := g.Wire
	w.EndpointDescriptions = slices.Clone(w.EndpointDescriptions)
	if w.EndpointDescriptions == nil {
		w.EndpointDescriptions = []types.EndpointDescription{}
	}
	for i := range w.EndpointDescriptions {
		d := &w.EndpointDescriptions[i]
		b, known := x.state.loadBalancers.get(*d.EndpointId)
		switch {
		case !known && balancerKind.check(*d.EndpointId) == nil && *w.EndpointGroupRegion == x.options.Region:
			d.HealthState, d.HealthReason = types.HealthStateUnhealthy, ptr("The endpoint does not exist any more.")
		case known && resolver{x}.balancerHealthy(b):
			d.HealthState = types.HealthStateHealthy
		case known:
			d.HealthState, d.HealthReason = types.HealthStateUnhealthy, ptr("The load balancer has no healthy targets.")
		}
	}
	return &w
}

func (x *tx) describeEndpointGroup(in *ga.DescribeEndpointGroupInput) (*ga.DescribeEndpointGroupOutput, error) {
	g, err := acceleratorRow(x.state.endpointGroups, acceleratorGroup, in.EndpointGroupArn)
	if err != nil {
		return nil, err
	}
	return &ga.DescribeEndpointGroupOutput{EndpointGroup: x.endpointGroupWire(g)}, nil
}

// changeableGroup finds an endpoint group that is to be changed, and its accelerator.
func (x *tx) changeableGroup(arn *string) (endpointGroup, accelerator, error) {
	g, err := acceleratorRow(x.state.endpointGroups, acceleratorGroup, arn)
	if err != nil {
		return g, accelerator{}, err
	}
	a, err := x.changeable(*arn)
	return g, a, err
}

func (x *tx) updateEndpointGroup(in *ga.UpdateEndpointGroupInput) (*ga.UpdateEndpointGroupOutput, error) {
	g, a, err := x.changeableGroup(in.EndpointGroupArn)
	if err != nil {
		return nil, err
	}
	if err := x.fillEndpointGroup(&g, *in); err != nil {
		return nil, err
	}
	x.state.endpointGroups.put(x, g.arn(), g)
	x.changed(a)
	return &ga.UpdateEndpointGroupOutput{EndpointGroup: x.endpointGroupWire(g)}, nil
}

func (x *tx) addEndpoints(in *ga.AddEndpointsInput) (*ga.AddEndpointsOutput, error) {
	g, a, err := x.changeableGroup(in.EndpointGroupArn)
	if err != nil {
		return nil, err
	}
	if err := x.joinEndpoints(&g, in.EndpointConfigurations); err != nil {
		return nil, err
	}
	x.state.endpointGroups.put(x, g.arn(), g)
	x.changed(a)
	return &ga.AddEndpointsOutput{EndpointGroupArn: in.EndpointGroupArn, EndpointDescriptions: x.endpointGroupWire(g).EndpointDescriptions}, nil
}

func (x *tx) removeEndpoints(in *ga.RemoveEndpointsInput) (*ga.RemoveEndpointsOutput, error) {
	g, a, err := x.changeableGroup(in.EndpointGroupArn)
	if err != nil {
		return nil, err
	}
	g.Wire.EndpointDescriptions = slices.DeleteFunc(slices.Clone(g.Wire.EndpointDescriptions), func(d types.EndpointDescription) bool {
		return slices.ContainsFunc(in.EndpointIdentifiers, func(i types.EndpointIdentifier) bool { return val(i.EndpointId) == *d.EndpointId })
	})
	x.state.endpointGroups.put(x, g.arn(), g)
	x.changed(a)
	return &ga.RemoveEndpointsOutput{}, nil
}

func (x *tx) deleteEndpointGroup(in *ga.DeleteEndpointGroupInput) (*ga.DeleteEndpointGroupOutput, error) {
	g, a, err := x.changeableGroup(in.EndpointGroupArn)
	if err != nil {
		return nil, err
	}
	x.state.endpointGroups.delete(x, g.arn())
	x.changed(a)
	return &ga.DeleteEndpointGroupOutput{}, nil
}

func (x *tx) listEndpointGroups(in *ga.ListEndpointGroupsInput) (*ga.ListEndpointGroupsOutput, error) {
	l, err := acceleratorRow(x.state.acceleratorListeners, acceleratorListener, in.ListenerArn)
	if err != nil {
		return nil, err
	}
	mine := x.state.endpointGroups.items(func(_ string, g endpointGroup) bool { return g.listener() == l.arn() })
	found, next, err := pageAccelerators(mine, in.NextToken, in.MaxResults)
	if err != nil {
		return nil, err
	}
	out := &ga.ListEndpointGroupsOutput{EndpointGroups: []types.EndpointGroup{}, NextToken: next}
	for _, i := range found {
		out.EndpointGroups = append(out.EndpointGroups, *x.endpointGroupWire(i.value))
	}
	return out, nil
}

// acceleratorNamed tells where the name of an accelerator leads: to the load balancers behind it that are healthy, or to
// all of them when none is. A group whose dial is at zero, and an endpoint without weight, gets nothing.
func (r resolver) acceleratorNamed(name string) (addresses []netip.Addr, found bool) {
	name = strings.TrimSuffix(strings.ToLower(name), ".")
	for arn, a := range r.state.accelerators.all() {
		if name != *a.Wire.DnsName && name != val(a.Wire.DualStackDnsName) {
			continue
		}
		if !*a.Wire.Enabled {
			return nil, true
		}
		var all []netip.Addr
		for _, g := range r.state.endpointGroups.find(func(g endpointGroup) bool {
			return strings.HasPrefix(g.arn(), arn+"/") && *g.Wire.TrafficDialPercentage > 0
		}) {
			for _, d := range g.Wire.EndpointDescriptions {
				b, ok := r.state.loadBalancers.get(*d.EndpointId)
				if !ok || *d.Weight == 0 {
					continue
				}
				at, _ := r.balancerAddresses(*b.Wire.DNSName)
				all = append(all, at...)
				if r.balancerHealthy(b) {
					addresses = append(addresses, at...)
				}
			}
		}
		if len(addresses) == 0 {
			addresses = all
		}
		return addresses, true
	}
	return nil, false
}
