package localaws

import (
	"cmp"
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

// loadBalancer is an Application or a Network Load Balancer. Wire lacks its state, which depends on the time.
type loadBalancer struct {
	Wire       types.LoadBalancer
	Attributes map[string]string
	Address    netip.Addr            // where the listeners of an Application Load Balancer are open
	Nodes      map[string]netip.Addr `json:",omitempty"` // those of a Network Load Balancer, by zone
	Capacity   *capacity             `json:",omitempty"` // nil where none is reserved
	ActiveAt   time.Time
}

func (b loadBalancer) arn() string { return *b.Wire.LoadBalancerArn }

func (b loadBalancer) network() bool { return b.Wire.Type == types.LoadBalancerTypeEnumNetwork }

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
	b := x.newLoadBalancer(in)
	places, err := x.balancerPlaces(b, in.Subnets, in.SubnetMappings)
	if err != nil {
		return nil, err
	}
	if b, err = x.withIPAddressType(b, places, in.IpAddressType, in.EnablePrefixForIpv6SourceNat); err != nil {
		return nil, err
	}
	b.Wire.VpcId = places[0].subnet.Wire.VpcId
	if b, err = x.withGroups(b, in.SecurityGroups); err != nil {
		return nil, err
	}
	tags, err := x.collectELBTags(in.Tags)
	if err != nil {
		return nil, err
	}
	for _, same := range x.state.loadBalancers.find(func(b loadBalancer) bool { return *b.Wire.LoadBalancerName == name }) {
		if same.like(b, places) && maps.Equal(x.tagsOf(same.arn()), tags) {
			return &elb.CreateLoadBalancerOutput{LoadBalancers: []types.LoadBalancer{x.loadBalancerWire(same)}}, nil
		}
		return nil, wire.Errorf("DuplicateLoadBalancerName",
			"A load balancer with the same name '%s' exists, but with different settings", name)
	}
	if err := x.checkBalancerCount(b); err != nil {
		return nil, err
	}
	if err := x.checkGateway(b.Wire.Scheme, subnetsOf(places)); err != nil {
		return nil, err
	}
	if b, err = x.placed(b, places); err != nil {
		return nil, err
	}
	x.state.loadBalancers.put(x, b.arn(), b)
	x.setTags(b.arn(), b.arn(), tags)
	if err := x.balancerInterfaces(b); err != nil {
		return nil, subnetFull(err)
	}
	return &elb.CreateLoadBalancerOutput{LoadBalancers: []types.LoadBalancer{x.loadBalancerWire(b)}}, nil
}

// like tells whether a load balancer is as one that is asked for again.
func (b loadBalancer) like(other loadBalancer, places []place) bool {
	return b.Wire.Type == other.Wire.Type && b.Wire.Scheme == other.Wire.Scheme && b.Wire.IpAddressType == other.Wire.IpAddressType &&
		sameSet(b.subnets(), idsOf(subnetsOf(places))) && sameSet(b.Wire.SecurityGroups, other.Wire.SecurityGroups) &&
		!slices.ContainsFunc(places, func(p place) bool { return b.addressConflict(p) != "" })
}

func (x *tx) checkBalancerCount(b loadBalancer) error {
	limit := x.quota[string(b.Wire.Type)+"-load-balancers"]
	count := 0
	for range x.state.loadBalancers.find(func(o loadBalancer) bool { return o.Wire.Type == b.Wire.Type }) {
		count++
	}
	if count >= limit {
		return wire.Errorf("TooManyLoadBalancers", "The maximum number of load balancers has been reached: %d", limit)
	}
	return nil
}

// newLoadBalancer is one without a place yet.
func (x *tx) newLoadBalancer(in *elb.CreateLoadBalancerInput) loadBalancer {
	kind := cmp.Or(in.Type, types.LoadBalancerTypeEnumApplication)
	scheme := cmp.Or(in.Scheme, types.LoadBalancerSchemeEnumInternetFacing)
	b := loadBalancer{
		Wire: types.LoadBalancer{
			LoadBalancerName: in.Name, Scheme: scheme, Type: kind, CreatedTime: ptr(x.now.Truncate(time.Millisecond)),
		},
		ActiveAt: x.now.Add(x.Profile().Provisioning),
	}
	if b.network() {
		x.nameNetworkBalancer(&b)
		return b
	}
	dns := *in.Name + "-" + x.digits() + "." + albDomain(x.options.Region)
	if scheme == types.LoadBalancerSchemeEnumInternal {
		dns = "internal-" + dns
	}
	b.Wire.LoadBalancerArn = ptr(x.elbARN("loadbalancer/app/" + *in.Name + "/" + x.hex(16)))
	b.Wire.DNSName, b.Wire.CanonicalHostedZoneId = &dns, ptr(hostedZone(x.options.Region))
	b.Attributes = defaultBalancerAttributes(balancerAttributes, scheme)
	return b
}

// albDomain is what ALBs' DNS names end with.
func albDomain(region string) string {
	return region + ".elb." + partitionDomain(region)
}

func partitionDomain(region string) string {
	if strings.HasPrefix(region, "cn-") {
		return "amazonaws.com.cn"
	}
	return "amazonaws.com"
}

// checkBalancerKind refuses the kinds of load balancers that are not served yet.
func checkBalancerKind(in *elb.CreateLoadBalancerInput) error {
	switch {
	case in.Type == types.LoadBalancerTypeEnumGateway:
		return notServed("Load balancer type '" + string(in.Type) + "'")
	case in.CustomerOwnedIpv4Pool != nil:
		return notServed("CustomerOwnedIpv4Pool")
	case in.IpamPools != nil:
		return notServed("IpamPools")
	}
	return nil
}

// withIPAddressType gives a load balancer its IP address type. AWS refuses dualstack in subnets without IPv6 blocks.
func (x *tx) withIPAddressType(b loadBalancer, places []place, t types.IpAddressType, prefix types.EnablePrefixForIpv6SourceNatEnum) (loadBalancer, error) {
	b.Wire.IpAddressType = cmp.Or(t, b.Wire.IpAddressType, types.IpAddressTypeIpv4)
	if b.Wire.IpAddressType != types.IpAddressTypeIpv4 &&
		slices.ContainsFunc(places, func(p place) bool { return !p.subnet.ipv6CIDR().IsValid() }) {
		return b, wire.Errorf("InvalidSubnet", "The load balancer's subnets must have an associated IPv6 CIDR block for IP address "+
			"type '%s'", b.Wire.IpAddressType)
	}
	if b.network() {
		return withSourceNATPrefix(b, prefix)
	}
	switch {
	case prefix != "":
		return b, notForALB("EnablePrefixForIpv6SourceNat")
	case b.Wire.IpAddressType != types.IpAddressTypeIpv4:
		return b, notServed("IP address type '" + string(b.Wire.IpAddressType) + "' of load balancers of type 'application'")
	}
	return b, nil
}

func notForALB(what string) error {
	return conflicting("%s is not supported for load balancers of type 'application'", what)
}

// place is a subnet of a load balancer, and the addresses there that are asked for.
type place struct {
	subnet  subnet
	mapping types.SubnetMapping
}

func subnetsOf(places []place) []subnet {
	out := make([]subnet, 0, len(places))
	for _, p := range places {
		out = append(out, p.subnet)
	}
	return out
}

// balancerPlaces checks the subnets of a load balancer: in one VPC, one in each zone, and two zones or more for an ALB.
func (x *tx) balancerPlaces(b loadBalancer, ids []string, mappings []types.SubnetMapping) ([]place, error) {
	fewest := invalid("At least two subnets in two different Availability Zones must be specified")
	least := 2
	if b.network() {
		fewest, least = invalid("At least one subnet must be specified"), 1
	}
	switch {
	case len(ids) > 0 && len(mappings) > 0:
		return nil, invalid("You must specify either subnets or subnet mappings, not both")
	case len(ids)+len(mappings) == 0:
		return nil, fewest
	}
	for _, id := range ids {
		mappings = append(slices.Clip(mappings), types.SubnetMapping{SubnetId: &id})
	}
	var out []place
	zones := map[string]bool{}
	for _, m := range mappings {
		id := val(m.SubnetId)
		s, ok := x.state.subnets.get(id)
		switch {
		case !b.network() && (m.AllocationId != nil || m.PrivateIPv4Address != nil || m.IPv6Address != nil || m.SourceNatIpv6Prefix != nil):
			return nil, conflicting("Addresses cannot be specified in the subnet mappings of load balancers of type 'application'")
		case !ok:
			return nil, wire.Errorf("SubnetNotFound", "The subnet ID '%s' does not exist", id)
		case len(out) > 0 && *s.Wire.VpcId != *out[0].subnet.Wire.VpcId:
			return nil, conflicting("All subnets must belong to the same VPC: '%s'", *out[0].subnet.Wire.VpcId)
		case zones[s.zone()]:
			return nil, conflicting("A load balancer cannot be attached to multiple subnets in the same Availability Zone")
		}
		zones[s.zone()] = true
		out = append(out, place{s, m})
	}
	if len(out) < least {
		return nil, fewest
	}
	slices.SortFunc(out, func(a, b place) int { return strings.Compare(a.subnet.zone(), b.subnet.zone()) })
	return out, nil
}

// placed puts a load balancer into its subnets; addresses that it has there already stay.
func (x *tx) placed(b loadBalancer, places []place) (loadBalancer, error) {
	if b.network() {
		return x.networkPlaced(b, places)
	}
	b.Wire.AvailabilityZones = nil
	for _, p := range places {
		b.Wire.AvailabilityZones = append(b.Wire.AvailabilityZones, types.AvailabilityZone{
			ZoneName: p.subnet.Wire.AvailabilityZone, SubnetId: p.subnet.Wire.SubnetId, LoadBalancerAddresses: []types.LoadBalancerAddress{},
		})
	}
	var err error
	if !b.Address.IsValid() {
		b.Address, err = x.newAddress()
	}
	return b, err
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

// withGroups gives a load balancer its security groups. None means the VPC's default group for an ALB, and none for an
// NLB.
func (x *tx) withGroups(b loadBalancer, ids []string) (loadBalancer, error) {
	if b.network() && len(ids) == 0 {
		return b, nil
	}
	groups, err := x.groupsIn(*b.Wire.VpcId, slices.Compact(slices.Sorted(slices.Values(ids))))
	if b.network() && b.Wire.EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic == nil {
		b.Wire.EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic = ptr(switchedOn)
	}
	b.Wire.SecurityGroups = groups
	var e *wire.Error
	switch {
	case err == nil:
		return b, nil
	case errors.As(err, &e) && e.Code == "SecurityGroupsPerInterfaceLimitExceeded":
		return b, conflicting("%s", e.Message)
	case errors.As(err, &e) && e.Code == "InvalidParameter":
		return b, conflicting("One or more security groups are not in VPC '%s'", *b.Wire.VpcId)
	}
	return b, wire.Errorf("InvalidSecurityGroup", "One or more security groups are invalid: %s", err.Error())
}

func idsOf(subnets []subnet) []string {
	return each(subnets, func(s subnet) *string { return s.Wire.SubnetId })
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
	if groups := x.groupsOfTarget(arn); len(groups) > 0 {
		return nil, wire.Errorf("ResourceInUse", "Load balancer '%s' cannot be deleted because it is a target of the target group '%s'",
			arn, groups[0])
	}
	for _, l := range x.state.listeners.items(func(_ string, l listener) bool { return l.balancer() == arn }) {
		x.dropListener(l.id)
	}
	for _, i := range x.state.interfaces.items(func(_ string, i networkInterface) bool { return i.LoadBalancer == arn }) {
		x.dropInterface(i.id)
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
	enforce := in.EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic
	switch {
	case enforce != "" && !b.network():
		return nil, notForALB("EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic")
	case b.network() && len(b.Wire.SecurityGroups) == 0:
		return nil, conflicting("Security groups cannot be set for the load balancer '%s' because it was created without any", b.arn())
	case len(in.SecurityGroups) == 0:
		return nil, conflicting("At least one security group must be specified")
	case enforce != "":
		b.Wire.EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic = ptr(string(enforce))
	}
	if b, err = x.withGroups(b, in.SecurityGroups); err != nil {
		return nil, err
	}
	x.state.loadBalancers.put(x, b.arn(), b)
	if err := x.balancerInterfaces(b); err != nil {
		return nil, subnetFull(err)
	}
	return &elb.SetSecurityGroupsOutput{
		SecurityGroupIds: b.Wire.SecurityGroups,
		EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic: types.EnforceSecurityGroupInboundRulesOnPrivateLinkTrafficEnum(
			val(b.Wire.EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic)),
	}, nil
}

// placesOf are where a load balancer is now.
func (x *tx) placesOf(b loadBalancer) []place {
	var out []place
	for _, id := range b.subnets() {
		if s, ok := x.state.subnets.get(id); ok {
			out = append(out, place{s, types.SubnetMapping{SubnetId: &id}})
		}
	}
	return out
}

func (x *tx) setSubnets(in *elb.SetSubnetsInput) (*elb.SetSubnetsOutput, error) {
	b, err := elbRow(x.state.loadBalancers, balancerKind, in.LoadBalancerArn)
	if err != nil {
		return nil, err
	}
	places, err := x.balancerPlaces(b, in.Subnets, in.SubnetMappings)
	if err != nil {
		return nil, err
	}
	if *places[0].subnet.Wire.VpcId != *b.Wire.VpcId {
		return nil, conflicting("The subnets must belong to the load balancer's VPC '%s'", *b.Wire.VpcId)
	}
	if b, err = x.withIPAddressType(b, places, in.IpAddressType, in.EnablePrefixForIpv6SourceNat); err != nil {
		return nil, err
	}
	if err := x.checkListenersOf(b); err != nil {
		return nil, err
	}
	added := slices.DeleteFunc(subnetsOf(places), func(s subnet) bool { return slices.Contains(b.subnets(), *s.Wire.SubnetId) })
	if err := x.checkRoom(added); err != nil {
		return nil, err
	}
	if b, err = x.placed(b, places); err != nil {
		return nil, err
	}
	x.state.loadBalancers.put(x, b.arn(), b)
	if err := x.balancerInterfaces(b); err != nil {
		return nil, subnetFull(err)
	}
	return &elb.SetSubnetsOutput{
		AvailabilityZones: b.Wire.AvailabilityZones, IpAddressType: b.Wire.IpAddressType,
		EnablePrefixForIpv6SourceNat: b.Wire.EnablePrefixForIpv6SourceNat,
	}, nil
}

func (x *tx) setIPAddressType(in *elb.SetIpAddressTypeInput) (*elb.SetIpAddressTypeOutput, error) {
	b, err := elbRow(x.state.loadBalancers, balancerKind, in.LoadBalancerArn)
	if err != nil {
		return nil, err
	}
	places := x.placesOf(b)
	if b, err = x.withIPAddressType(b, places, in.IpAddressType, ""); err != nil {
		return nil, err
	}
	if err := x.checkListenersOf(b); err != nil {
		return nil, err
	}
	if b, err = x.placed(b, places); err != nil {
		return nil, err
	}
	x.state.loadBalancers.put(x, b.arn(), b)
	if err := x.balancerInterfaces(b); err != nil {
		return nil, subnetFull(err)
	}
	return &elb.SetIpAddressTypeOutput{IpAddressType: b.Wire.IpAddressType}, nil
}
