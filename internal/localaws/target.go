package localaws

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/sluicehq/sluice/internal/localaws/wire"
	"github.com/sluicehq/sluice/internal/proxy"
)

// target is a registered target: an instance or an address, with its port.
type target struct {
	ID   string
	Port int32
	Zone string `json:",omitempty"`
	// QUICServer is the target's server id in the connection ids of QUIC, of a group of that protocol.
	QUICServer string `json:",omitempty"`
}

func (t target) key() proxy.TargetKey { return proxy.TargetKey{ID: t.ID, Port: uint16(t.Port)} }

func badTarget(format string, args ...any) error {
	return wire.Errorf("InvalidTarget", format, args...)
}

// targets reads the targets of a request; the port is the group's where none is given.
func (x *tx) targets(g targetGroup, in []types.TargetDescription) ([]target, error) {
	if len(in) == 0 {
		return nil, invalid("Targets must be specified")
	}
	var out []target
	for _, d := range in {
		t := target{ID: val(d.Id), Port: *g.Wire.Port, Zone: val(d.AvailabilityZone), QUICServer: val(d.QuicServerId)}
		if d.Port != nil {
			t.Port = *d.Port
		}
		if targetTypeOf(t.ID) != g.Wire.TargetType {
			return nil, invalid("The ID '%s' is not valid for target groups with target type '%s'", t.ID, g.Wire.TargetType)
		}
		out = append(out, t)
	}
	return out, nil
}

func (x *tx) registerTargets(in *elb.RegisterTargetsInput) (*elb.RegisterTargetsOutput, error) {
	g, err := elbRow(x.state.targetGroups, groupKind, in.TargetGroupArn)
	if err != nil {
		return nil, err
	}
	targets, err := x.targets(g, in.Targets)
	if err != nil {
		return nil, err
	}
	at := make(map[proxy.TargetKey]int, len(g.Targets))
	for i, t := range g.Targets {
		at[t.key()] = i
	}
	before := len(g.Targets)
	g.Targets = slices.Clone(g.Targets)
	changed := false
	for _, t := range targets {
		if err := x.checkQUICServer(g, t); err != nil {
			return nil, err
		}
		if t, err = x.checkTarget(g, t); err != nil {
			return nil, err
		}
		i, known := at[t.key()]
		switch {
		case !known:
			at[t.key()] = len(g.Targets)
			g.Targets = append(g.Targets, t)
		case g.Targets[i] == t:
			continue
		default:
			g.Targets[i] = t
		}
		changed = true
	}
	if !changed {
		return &elb.RegisterTargetsOutput{}, nil
	}
	limit := x.quota["sluice/targets-per-target-group"]
	if g.Wire.TargetType == types.TargetTypeEnumAlb {
		limit = 1
	}
	if len(g.Targets) > limit && len(g.Targets) > before {
		return nil, wire.Errorf("TooManyTargets", "The maximum number of targets per target group has been reached: %d", limit)
	}
	x.state.targetGroups.put(x, g.arn(), g)
	for _, b := range x.balancersOf(g.arn()) {
		if err := x.checkBalancerGroups(b); err != nil {
			return nil, err
		}
	}
	return &elb.RegisterTargetsOutput{}, nil
}

// checkTarget refuses targets that a load balancer in the group's VPC cannot reach, and finds the target's zone.
func (x *tx) checkTarget(g targetGroup, t target) (target, error) {
	if t.Zone != "" && t.Zone != "all" && !slices.Contains(x.zones(), t.Zone) {
		return t, invalid("The Availability Zone '%s' is not valid", t.Zone)
	}
	switch g.Wire.TargetType {
	case types.TargetTypeEnumAlb:
		return x.checkBalancerTarget(g, t)
	case types.TargetTypeEnumInstance:
		i, ok := x.state.instances.get(t.ID)
		switch {
		case !ok || i.VPC != *g.Wire.VpcId:
			return t, badTarget("The following targets are not in the target group VPC '%s': '%s'", *g.Wire.VpcId, t.ID)
		case !i.running():
			return t, badTarget("The following targets are not in a running state and cannot be registered: '%s'", t.ID)
		case t.Zone != "":
			return t, invalid("An Availability Zone cannot be specified for targets of type 'instance'")
		}
		return t, nil
	}
	a, err := netip.ParseAddr(t.ID)
	switch {
	case err != nil || a.Is4() != (g.Wire.IpAddressType == types.TargetGroupIpAddressTypeEnumIpv4):
		return t, invalid("The IP address '%s' is not a valid %s address", t.ID, strings.Replace(string(g.Wire.IpAddressType), "ip", "IP", 1))
	case a.IsUnspecified() || a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return t, badTarget("The IP address '%s' cannot be a target", t.ID)
	}
	vpc, _ := x.state.vpcs.get(*g.Wire.VpcId)
	for _, s := range x.state.subnets.find(func(s subnet) bool {
		return *s.Wire.VpcId == *g.Wire.VpcId && (s.cidr().Contains(a) || s.ipv6CIDR().Contains(a))
	}) {
		t.Zone = s.zone()
		return t, nil
	}
	if vpc.cidr().Contains(a) {
		return t, nil
	}
	if !x.Profile().StrictTargets {
		return t, nil // a laptop's programs and containers
	}
	shared := netip.MustParsePrefix("100.64.0.0/10")
	switch {
	case strings.Contains(string(g.Wire.Protocol), "UDP"):
		return t, badTarget("The IP address '%s' is not a valid target: with protocol %s it must be from the VPC", t.ID, g.Wire.Protocol)
	case !a.IsPrivate() && !shared.Contains(a):
		return t, badTarget("The IP address '%s' is not a valid target: it must be from the VPC or a private range", t.ID)
	case t.Zone == "":
		return t, invalid("The IP address '%s' is not within any of the VPC's subnets, you must specify an Availability Zone", t.ID)
	}
	return t, nil
}

func (x *tx) deregisterTargets(in *elb.DeregisterTargetsInput) (*elb.DeregisterTargetsOutput, error) {
	g, err := elbRow(x.state.targetGroups, groupKind, in.TargetGroupArn)
	if err != nil {
		return nil, err
	}
	if _, err := x.targets(g, in.Targets); err != nil {
		return nil, err
	}
	// Without a port, every registration of the target goes.
	kept := slices.DeleteFunc(slices.Clone(g.Targets), func(t target) bool {
		return slices.ContainsFunc(in.Targets, func(d types.TargetDescription) bool {
			return val(d.Id) == t.ID && (d.Port == nil || *d.Port == t.Port)
		})
	})
	if len(kept) == len(g.Targets) {
		return &elb.DeregisterTargetsOutput{}, nil
	}
	g.Targets = kept
	x.state.targetGroups.put(x, g.arn(), g)
	return &elb.DeregisterTargetsOutput{}, nil
}

func (x *tx) describeTargetHealth(in *elb.DescribeTargetHealthInput) (*elb.DescribeTargetHealthOutput, error) {
	g, err := elbRow(x.state.targetGroups, groupKind, in.TargetGroupArn)
	if err != nil {
		return nil, err
	}
	all := x.health(g)
	out := &elb.DescribeTargetHealthOutput{TargetHealthDescriptions: []types.TargetHealthDescription{}}
	if len(in.Targets) == 0 {
		out.TargetHealthDescriptions = append(out.TargetHealthDescriptions, all...)
		return out, nil
	}
	asked, err := x.targets(g, in.Targets)
	if err != nil {
		return nil, err
	}
	for _, t := range asked {
		at := slices.IndexFunc(all, func(d types.TargetHealthDescription) bool {
			return *d.Target.Id == t.ID && *d.Target.Port == t.Port
		})
		if at >= 0 {
			out.TargetHealthDescriptions = append(out.TargetHealthDescriptions, all[at])
			continue
		}
		out.TargetHealthDescriptions = append(out.TargetHealthDescriptions, describeHealth(g, t, 0, "unused",
			"Target.NotRegistered", "Target is not registered to the target group"))
	}
	return out, nil
}

// health lists the group's registered targets as the data plane sees them, then the draining ones.
func (x *tx) health(g targetGroup) []types.TargetHealthDescription {
	reports := map[proxy.TargetKey]proxy.TargetHealth{}
	var order []proxy.TargetKey
	for _, h := range x.plane.Health(proxy.TargetGroupID(g.arn())) {
		reports[h.Target] = h
		order = append(order, h.Target)
	}
	var out []types.TargetHealthDescription
	for _, t := range g.Targets {
		h, ok := reports[t.key()]
		delete(reports, t.key())
		switch i, _ := x.state.instances.get(t.ID); {
		case i.ID != "" && !i.running():
			h = proxy.TargetHealth{State: "unused", Reason: "Target.InvalidState", Description: "Target is in the terminated state"}
		case !ok && x.lag.enters(proxy.TargetGroupID(g.arn()), t.key()):
			h = proxy.TargetHealth{
				State: "initial", Reason: "Elb.RegistrationInProgress", Description: "Target registration is in progress",
			}
		case !ok:
			h = proxy.TargetHealth{
				State: "unused", Reason: "Target.NotInUse",
				Description: "Target group is not configured to receive traffic from the load balancer",
			}
		}
		out = append(out, describeHealth(g, t, h.HealthCheckPort, h.State, h.Reason, h.Description))
	}
	for _, key := range order {
		if h, left := reports[key]; left && (h.State == "draining" || x.lag.leaves(proxy.TargetGroupID(g.arn()), key)) {
			out = append(out, describeHealth(g, target{ID: key.ID, Port: int32(key.Port)}, h.HealthCheckPort, "draining",
				"Target.DeregistrationInProgress", "Target deregistration is in progress"))
		}
	}
	return out
}

func describeHealth(g targetGroup, t target, checkPort uint16, state, reason, description string) types.TargetHealthDescription {
	port := *g.Wire.HealthCheckPort
	switch {
	case checkPort != 0:
		port = strconv.Itoa(int(checkPort))
	case port == "traffic-port":
		port = strconv.Itoa(int(t.Port))
	}
	d := types.TargetHealthDescription{
		Target: &types.TargetDescription{Id: &t.ID, Port: &t.Port}, HealthCheckPort: &port,
		TargetHealth: &types.TargetHealth{State: types.TargetHealthStateEnum(state), Reason: types.TargetHealthReasonEnum(reason)},
	}
	if t.Zone != "" {
		d.Target.AvailabilityZone = &t.Zone
	}
	if t.QUICServer != "" {
		d.Target.QuicServerId = &t.QUICServer
	}
	if description != "" {
		d.TargetHealth.Description = &description
	}
	return d
}
