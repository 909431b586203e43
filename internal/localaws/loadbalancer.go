package localaws

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/sluicehq/sluice/internal/localaws/wire"
)

// loadBalancer is an Application Load Balancer. Wire lacks its state, which depends on the time.
type loadBalancer struct {
	Wire       types.LoadBalancer
	Attributes map[string]string
	Address    netip.Addr // where its listeners are open
	ActiveAt   time.Time
}

func (b loadBalancer) arn() string { return *b.Wire.LoadBalancerArn }

func (b loadBalancer) subnets() []string {
	return each(b.Wire.AvailabilityZones, func(z types.AvailabilityZone) *string { return z.SubnetId })
}

func (x *tx) loadBalancerWire(b loadBalancer) types.LoadBalancer {
	w := b.Wire
	w.State = &types.LoadBalancerState{Code: types.LoadBalancerStateEnumActive}
	if x.now.Before(b.ActiveAt) {
		w.State.Code = types.LoadBalancerStateEnumProvisioning
	}
	return w
}

func (x *tx) createLoadBalancer(in *elb.CreateLoadBalancerInput) (*elb.CreateLoadBalancerOutput, error) {
	name := val(in.Name)
	if err := checkName("load balancer", name); err != nil {
		return nil, err
	}
	if strings.HasPrefix(name, "internal-") {
		return nil, invalid("The load balancer name '%s' cannot begin with 'internal-'", name)
	}
	if err := checkBalancerKind(in); err != nil {
		return nil, err
	}
	scheme := in.Scheme
	if scheme == "" {
		scheme = types.LoadBalancerSchemeEnumInternetFacing
	}
	subnets, err := x.balancerSubnets(in.Subnets, in.SubnetMappings)
	if err != nil {
		return nil, err
	}
	vpc := *subnets[0].Wire.VpcId
	groups, err := x.balancerGroups(vpc, in.SecurityGroups)
	if err != nil {
		return nil, err
	}
	tags, err := x.collectELBTags(in.Tags)
	if err != nil {
		return nil, err
	}
	for _, same := range x.state.loadBalancers.find(func(b loadBalancer) bool { return *b.Wire.LoadBalancerName == name }) {
		if same.Wire.Scheme == scheme && sameSet(same.subnets(), idsOf(subnets)) && sameSet(same.Wire.SecurityGroups, groups) &&
			maps.Equal(x.tagsOf(same.arn()), tags) {
			return &elb.CreateLoadBalancerOutput{LoadBalancers: []types.LoadBalancer{x.loadBalancerWire(same)}}, nil
		}
		return nil, wire.Errorf("DuplicateLoadBalancerName",
			"A load balancer with the same name '%s' exists, but with different settings", name)
	}
	if limit := x.quota["application-load-balancers"]; x.state.loadBalancers.len() >= limit {
		return nil, wire.Errorf("TooManyLoadBalancers", "The maximum number of load balancers has been reached: %d", limit)
	}
	if err := x.checkGateway(scheme, subnets); err != nil {
		return nil, err
	}
	address, err := x.newAddress()
	if err != nil {
		return nil, err
	}
	b := x.newLoadBalancer(name, scheme, vpc, address)
	b.Wire.AvailabilityZones, b.Wire.SecurityGroups = zonesOf(subnets), groups
	x.state.loadBalancers.put(x, b.arn(), b)
	x.setTags(b.arn(), b.arn(), tags)
	if err := x.balancerInterfaces(b.arn(), subnets, groups); err != nil {
		return nil, subnetFull(err)
	}
	return &elb.CreateLoadBalancerOutput{LoadBalancers: []types.LoadBalancer{x.loadBalancerWire(b)}}, nil
}

func (x *tx) newLoadBalancer(name string, scheme types.LoadBalancerSchemeEnum, vpc string, address netip.Addr) loadBalancer {
	arn := x.elbARN("loadbalancer/app/" + name + "/" + x.hex(16))
	dns := name + "-" + x.digits() + "." + x.options.Region + "." + dnsSuffix(x.options.Region)
	if scheme == types.LoadBalancerSchemeEnumInternal {
		dns = "internal-" + dns
	}
	return loadBalancer{
		Wire: types.LoadBalancer{
			LoadBalancerArn: &arn, LoadBalancerName: &name, DNSName: &dns, Scheme: scheme, VpcId: &vpc,
			CanonicalHostedZoneId: ptr(hostedZone(x.options.Region)), CreatedTime: ptr(x.now.Truncate(time.Millisecond)),
			Type: types.LoadBalancerTypeEnumApplication, IpAddressType: types.IpAddressTypeIpv4,
		},
		Attributes: defaultBalancerAttributes(scheme),
		Address:    address,
		ActiveAt:   x.now.Add(x.Profile().Provisioning),
	}
}

// dnsSuffix is what follows the region in an ALB's DNS name.
func dnsSuffix(region string) string {
	if strings.HasPrefix(region, "cn-") {
		return "elb.amazonaws.com.cn"
	}
	return "elb.amazonaws.com"
}

// checkBalancerKind refuses the kinds of load balancers that are not served yet.
func checkBalancerKind(in *elb.CreateLoadBalancerInput) error {
	switch {
	case in.Type == types.LoadBalancerTypeEnumNetwork, in.Type == types.LoadBalancerTypeEnumGateway:
		return notServed("Load balancer type '" + string(in.Type) + "'")
	case in.CustomerOwnedIpv4Pool != nil:
		return notServed("CustomerOwnedIpv4Pool")
	case in.IpamPools != nil:
		return notServed("IpamPools")
	case in.EnablePrefixForIpv6SourceNat != "":
		return conflicting("EnablePrefixForIpv6SourceNat is not supported for load balancers of type 'application'")
	}
	return checkIPAddressType(in.IpAddressType)
}

// checkIPAddressType: no subnet here has an IPv6 block, and AWS refuses dualstack in such.
func checkIPAddressType(t types.IpAddressType) error {
	if t == "" || t == types.IpAddressTypeIpv4 {
		return nil
	}
	return wire.Errorf("InvalidSubnet", "The load balancer's subnets must have an associated IPv6 CIDR block for IP address "+
		"type '%s'", t)
}

// balancerSubnets checks the subnets of an ALB: in one VPC, two zones or more, one in each, with room.
func (x *tx) balancerSubnets(ids []string, mappings []types.SubnetMapping) ([]subnet, error) {
	switch {
	case len(ids) > 0 && len(mappings) > 0:
		return nil, invalid("You must specify either subnets or subnet mappings, not both")
	case len(ids)+len(mappings) == 0:
		return nil, invalid("At least two subnets in two different Availability Zones must be specified")
	}
	for _, m := range mappings {
		if m.AllocationId != nil || m.PrivateIPv4Address != nil || m.IPv6Address != nil || m.SourceNatIpv6Prefix != nil {
			return nil, conflicting("Addresses cannot be specified in the subnet mappings of load balancers of type 'application'")
		}
		ids = append(slices.Clip(ids), val(m.SubnetId))
	}
	var out []subnet
	zones := map[string]bool{}
	for _, id := range ids {
		s, ok := x.state.subnets.get(id)
		switch {
		case !ok:
			return nil, wire.Errorf("SubnetNotFound", "The subnet ID '%s' does not exist", id)
		case len(out) > 0 && *s.Wire.VpcId != *out[0].Wire.VpcId:
			return nil, conflicting("All subnets must belong to the same VPC: '%s'", *out[0].Wire.VpcId)
		case zones[s.zone()]:
			return nil, conflicting("A load balancer cannot be attached to multiple subnets in the same Availability Zone")
		}
		zones[s.zone()] = true
		out = append(out, s)
	}
	if len(out) < 2 {
		return nil, invalid("At least two subnets in two different Availability Zones must be specified")
	}
	return out, nil
}

// minFreeAddresses is what an ALB wants to be free in a subnet that it enters.
const minFreeAddresses = 8

// checkRoom refuses subnets without room to grow.
func (x *tx) checkRoom(subnets []subnet) error {
	for _, s := range subnets {
		if x.freeAddresses(s) < minFreeAddresses {
			return subnetFull(fmt.Errorf("not enough IP space available in %s. ELB requires at least %d free IP addresses in each "+
				"subnet", *s.Wire.SubnetId, minFreeAddresses))
		}
	}
	return nil
}

func subnetFull(err error) error {
	var e *wire.Error
	if errors.As(err, &e) {
		return wire.Errorf("InvalidSubnet", "%s", e.Message)
	}
	return wire.Errorf("InvalidSubnet", "%s", err.Error())
}

// checkGateway: an internet-facing load balancer needs an internet gateway in its VPC, and room everywhere.
func (x *tx) checkGateway(scheme types.LoadBalancerSchemeEnum, subnets []subnet) error {
	vpc := *subnets[0].Wire.VpcId
	if scheme == types.LoadBalancerSchemeEnumInternetFacing &&
		!x.state.internetGateways.exists(func(g internetGateway) bool { return g.VPC == vpc }) {
		return wire.Errorf("InvalidSubnet", "VPC %s has no internet gateway", vpc)
	}
	return x.checkRoom(subnets)
}

// balancerGroups checks the security groups of an ALB; none means the VPC's default group.
func (x *tx) balancerGroups(vpc string, ids []string) ([]string, error) {
	groups, err := x.groupsIn(vpc, slices.Compact(slices.Sorted(slices.Values(ids))))
	var e *wire.Error
	switch {
	case err == nil:
		return groups, nil
	case errors.As(err, &e) && e.Code == "SecurityGroupsPerInterfaceLimitExceeded":
		return nil, conflicting("%s", e.Message)
	case errors.As(err, &e) && e.Code == "InvalidParameter":
		return nil, conflicting("One or more security groups are not in VPC '%s'", vpc)
	}
	return nil, wire.Errorf("InvalidSecurityGroup", "One or more security groups are invalid: %s", err.Error())
}

func idsOf(subnets []subnet) []string {
	return each(subnets, func(s subnet) *string { return s.Wire.SubnetId })
}

func zonesOf(subnets []subnet) []types.AvailabilityZone {
	var out []types.AvailabilityZone
	for _, s := range subnets {
		out = append(out, types.AvailabilityZone{
			ZoneName: s.Wire.AvailabilityZone, SubnetId: s.Wire.SubnetId, LoadBalancerAddresses: []types.LoadBalancerAddress{},
		})
	}
	slices.SortFunc(out, func(a, b types.AvailabilityZone) int { return strings.Compare(*a.ZoneName, *b.ZoneName) })
	return out
}

func sameSet(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

func (x *tx) deleteLoadBalancer(in *elb.DeleteLoadBalancerInput) (*elb.DeleteLoadBalancerOutput, error) {
	if err := balancerKind.check(val(in.LoadBalancerArn)); err != nil {
		return nil, err
	}
	arn := *in.LoadBalancerArn
	b, ok := x.state.loadBalancers.get(arn)
	if !ok {
		return &elb.DeleteLoadBalancerOutput{}, nil // as the service does, whatever its model says
	}
	if b.Attributes["deletion_protection.enabled"] == "true" {
		return nil, wire.Errorf("OperationNotPermitted",
			"Load balancer '%s' cannot be deleted because deletion protection is enabled", arn)
	}
	for _, l := range x.state.listeners.items(func(_ string, l listener) bool { return l.balancer() == arn }) {
		x.dropListener(l.id)
	}
	for _, i := range x.state.interfaces.items(func(_ string, i networkInterface) bool { return i.LoadBalancer == arn }) {
		x.state.interfaces.delete(x, i.id)
		x.state.tags.delete(x, i.id)
	}
	x.state.webACLUses.delete(x, arn)
	x.state.regionalACLUses.delete(x, arn)
	x.state.loadBalancers.delete(x, arn)
	x.state.tags.delete(x, arn)
	return &elb.DeleteLoadBalancerOutput{}, nil
}

func (x *tx) describeLoadBalancers(in *elb.DescribeLoadBalancersInput) (*elb.DescribeLoadBalancersOutput, error) {
	if len(in.LoadBalancerArns) > 0 && len(in.Names) > 0 {
		return nil, invalid("Load balancer names and load balancer ARNs cannot be specified at the same time")
	}
	if len(in.LoadBalancerArns) > 20 || len(in.Names) > 20 {
		return nil, invalid("At most 20 load balancers can be described by name or ARN in one call")
	}
	for _, arn := range in.LoadBalancerArns {
		if _, err := elbRow(x.state.loadBalancers, balancerKind, &arn); err != nil {
			return nil, err
		}
	}
	for _, name := range in.Names {
		if !x.state.loadBalancers.exists(func(b loadBalancer) bool { return *b.Wire.LoadBalancerName == name }) {
			return nil, wire.Errorf("LoadBalancerNotFound", "Load balancers '[%s]' not found", name)
		}
	}
	all := x.state.loadBalancers.items(func(arn string, b loadBalancer) bool {
		return (len(in.LoadBalancerArns) == 0 || slices.Contains(in.LoadBalancerArns, arn)) &&
			(len(in.Names) == 0 || slices.Contains(in.Names, *b.Wire.LoadBalancerName))
	})
	found, next, err := pageELB(all, in.Marker, in.PageSize)
	if err != nil {
		return nil, err
	}
	out := &elb.DescribeLoadBalancersOutput{LoadBalancers: []types.LoadBalancer{}, NextMarker: next}
	for _, b := range found {
		out.LoadBalancers = append(out.LoadBalancers, x.loadBalancerWire(b.value))
	}
	return out, nil
}

func (x *tx) setSecurityGroups(in *elb.SetSecurityGroupsInput) (*elb.SetSecurityGroupsOutput, error) {
	b, err := elbRow(x.state.loadBalancers, balancerKind, in.LoadBalancerArn)
	if err != nil {
		return nil, err
	}
	if in.EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic != "" {
		return nil, conflicting("EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic is not supported for load balancers of type 'application'")
	}
	if len(in.SecurityGroups) == 0 {
		return nil, conflicting("At least one security group must be specified")
	}
	groups, err := x.balancerGroups(*b.Wire.VpcId, in.SecurityGroups)
	if err != nil {
		return nil, err
	}
	b.Wire.SecurityGroups = groups
	x.state.loadBalancers.put(x, b.arn(), b)
	if err := x.balancerInterfaces(b.arn(), x.subnetRows(b.subnets()), groups); err != nil {
		return nil, subnetFull(err)
	}
	return &elb.SetSecurityGroupsOutput{SecurityGroupIds: groups}, nil
}

func (x *tx) subnetRows(ids []string) []subnet {
	var out []subnet
	for _, id := range ids {
		if s, ok := x.state.subnets.get(id); ok {
			out = append(out, s)
		}
	}
	return out
}

func (x *tx) setSubnets(in *elb.SetSubnetsInput) (*elb.SetSubnetsOutput, error) {
	b, err := elbRow(x.state.loadBalancers, balancerKind, in.LoadBalancerArn)
	if err != nil {
		return nil, err
	}
	if in.EnablePrefixForIpv6SourceNat != "" {
		return nil, conflicting("EnablePrefixForIpv6SourceNat is not supported for load balancers of type 'application'")
	}
	if err := checkIPAddressType(in.IpAddressType); err != nil {
		return nil, err
	}
	subnets, err := x.balancerSubnets(in.Subnets, in.SubnetMappings)
	if err != nil {
		return nil, err
	}
	if *subnets[0].Wire.VpcId != *b.Wire.VpcId {
		return nil, conflicting("The subnets must belong to the load balancer's VPC '%s'", *b.Wire.VpcId)
	}
	added := slices.DeleteFunc(slices.Clone(subnets), func(s subnet) bool { return slices.Contains(b.subnets(), *s.Wire.SubnetId) })
	if err := x.checkRoom(added); err != nil {
		return nil, err
	}
	b.Wire.AvailabilityZones = zonesOf(subnets)
	x.state.loadBalancers.put(x, b.arn(), b)
	if err := x.balancerInterfaces(b.arn(), subnets, b.Wire.SecurityGroups); err != nil {
		return nil, subnetFull(err)
	}
	return &elb.SetSubnetsOutput{AvailabilityZones: b.Wire.AvailabilityZones, IpAddressType: b.Wire.IpAddressType}, nil
}

func (x *tx) setIPAddressType(in *elb.SetIpAddressTypeInput) (*elb.SetIpAddressTypeOutput, error) {
	b, err := elbRow(x.state.loadBalancers, balancerKind, in.LoadBalancerArn)
	if err != nil {
		return nil, err
	}
	if err := checkIPAddressType(in.IpAddressType); err != nil {
		return nil, err
	}
	return &elb.SetIpAddressTypeOutput{IpAddressType: b.Wire.IpAddressType}, nil
}

// describeCapacityReservation: none can be made here, and none is what is shown.
func (x *tx) describeCapacityReservation(in *elb.DescribeCapacityReservationInput) (*elb.DescribeCapacityReservationOutput, error) {
	if _, err := elbRow(x.state.loadBalancers, balancerKind, in.LoadBalancerArn); err != nil {
		return nil, err
	}
	return &elb.DescribeCapacityReservationOutput{
		CapacityReservationState: []types.ZonalCapacityReservationState{}, DecreaseRequestsRemaining: ptr(int32(2)),
	}, nil
}
