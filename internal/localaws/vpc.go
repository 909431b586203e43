package localaws

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/sluicehq/sluice/internal/localaws/wire"
)

type vpc struct {
	Wire       types.Vpc
	Attributes map[types.VpcAttributeName]bool `json:",omitempty"` // that were changed
}

func (v vpc) cidr() netip.Prefix { return netip.MustParsePrefix(*v.Wire.CidrBlock) }

var vpcFilters = filters[vpc]{
	"vpc-id":          one(func(v vpc) *string { return v.Wire.VpcId }),
	"cidr":            one(func(v vpc) *string { return v.Wire.CidrBlock }),
	"cidr-block":      one(func(v vpc) *string { return v.Wire.CidrBlock }),
	"state":           func(v vpc) []string { return []string{string(v.Wire.State)} },
	"owner-id":        one(func(v vpc) *string { return v.Wire.OwnerId }),
	"is-default":      isFalse[vpc],
	"isDefault":       isFalse[vpc],
	"dhcp-options-id": one(func(v vpc) *string { return v.Wire.DhcpOptionsId }),
	"cidr-block-association.cidr-block": one(func(v vpc) *string {
		return v.Wire.CidrBlock
	}),
}

func isFalse[T any](T) []string { return []string{"false"} }

// privateBlock reads an IPv4 block that EC2 accepts for a VPC or a subnet.
func privateBlock(text, parameter string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(text)
	if err != nil || !p.Addr().Is4() {
		return p, wire.Errorf("InvalidParameterValue", "Value (%s) for parameter %s is invalid. This is not a valid CIDR block.",
			text, parameter)
	}
	return p.Masked(), nil
}

func (x *tx) createVpc(in *ec2.CreateVpcInput) (*ec2.CreateVpcOutput, error) {
	if in.Ipv6CidrBlock != nil || in.Ipv6Pool != nil || in.Ipv6IpamPoolId != nil || in.Ipv4IpamPoolId != nil {
		return nil, notYet("IPAM blocks of VPCs, and IPv6 blocks other than Amazon's")
	}
	if in.CidrBlock == nil {
		return nil, wire.Errorf("MissingParameter", "Either 'cidrBlock' or 'ipv4IpamPoolId' should be provided.")
	}
	block, err := privateBlock(*in.CidrBlock, "cidrBlock")
	if err != nil {
		return nil, err
	}
	if block.Bits() < 16 || block.Bits() > 28 {
		return nil, wire.Errorf("InvalidVpc.Range", "The CIDR '%s' is invalid.", *in.CidrBlock)
	}
	tags, err := x.specifiedTags(in.TagSpecifications, types.ResourceTypeVpc)
	if err != nil {
		return nil, err
	}
	v := x.newVPC(x.newID("vpc"), block, tags)
	if val(in.AmazonProvidedIpv6CidrBlock) {
		v = x.withIPv6Block(v, x.amazonBlock())
	}
	return &ec2.CreateVpcOutput{Vpc: ptr(x.vpcWire(v))}, nil
}

// newVPC makes a VPC with what every VPC has: a main route table and a default security group.
func (x *tx) newVPC(id string, block netip.Prefix, tags map[string]string) vpc {
	cidr := block.String()
	v := vpc{Wire: types.Vpc{
		VpcId: &id, CidrBlock: &cidr, State: types.VpcStateAvailable, OwnerId: &x.options.AccountID,
		IsDefault: ptr(false), InstanceTenancy: types.TenancyDefault, DhcpOptionsId: ptr("dopt-" + x.hex(17)),
		CidrBlockAssociationSet: []types.VpcCidrBlockAssociation{{
			AssociationId: ptr("vpc-cidr-assoc-" + x.hex(17)), CidrBlock: &cidr,
			CidrBlockState: &types.VpcCidrBlockState{State: types.VpcCidrBlockStateCodeAssociated},
		}},
	}}
	x.state.vpcs.put(x, id, v)
	x.setTags(id, x.ec2ARN("vpc", id), tags)
	x.newRouteTable(v, true, nil)
	x.newSecurityGroup(x.newID("sg"), id, defaultGroup, "default VPC security group", nil)
	return v
}

func (x *tx) vpcWire(v vpc) types.Vpc {
	w := v.Wire
	w.Tags = ec2Tags(x.tagsOf(*w.VpcId))
	return w
}

func (x *tx) deleteVpc(in *ec2.DeleteVpcInput) (*ec2.DeleteVpcOutput, error) {
	if _, err := lookup(x.state.vpcs, vpcID, in.VpcId); err != nil {
		return nil, err
	}
	id := *in.VpcId
	busy := x.state.subnets.exists(func(s subnet) bool { return *s.Wire.VpcId == id }) ||
		x.state.securityGroups.exists(func(g securityGroup) bool { return g.VPC == id && g.Name != defaultGroup }) ||
		x.state.routeTables.exists(func(r routeTable) bool { return *r.Wire.VpcId == id && !r.main() }) ||
		x.state.internetGateways.exists(func(g internetGateway) bool { return g.VPC == id }) ||
		x.state.targetGroups.exists(func(g targetGroup) bool { return val(g.Wire.VpcId) == id })
	if busy {
		return nil, wire.Errorf("DependencyViolation", "The vpc '%s' has dependencies and cannot be deleted.", id)
	}
	for _, g := range x.state.securityGroups.items(func(_ string, g securityGroup) bool { return g.VPC == id }) {
		x.state.securityGroups.delete(x, g.id)
		x.state.tags.delete(x, g.id)
	}
	for _, r := range x.state.routeTables.items(func(_ string, r routeTable) bool { return *r.Wire.VpcId == id }) {
		x.state.routeTables.delete(x, r.id)
		x.state.tags.delete(x, r.id)
	}
	x.endPeerings(id)
	x.state.vpcs.delete(x, id)
	x.state.tags.delete(x, id)
	return nil, nil
}

func (x *tx) describeVpcs(in *ec2.DescribeVpcsInput) (*ec2.DescribeVpcsOutput, error) {
	found, next, err := describe(x, x.state.vpcs, query[vpc]{in.VpcIds, vpcID, in.Filters, vpcFilters, in.MaxResults, in.NextToken})
	if err != nil {
		return nil, err
	}
	out := &ec2.DescribeVpcsOutput{Vpcs: []types.Vpc{}, NextToken: next}
	for _, i := range found {
		out.Vpcs = append(out.Vpcs, x.vpcWire(i.value))
	}
	return out, nil
}

// zones are the availability zones of the region.
func (x *tx) zones() []string {
	if names, ok := x.state.meta.get("zones"); ok {
		return strings.Split(names, ",")
	}
	letters := "abc"
	if x.options.Region == "ap-northeast-1" {
		letters = "acd" // this region shows no zone b to new accounts
	}
	var names []string
	for _, letter := range letters {
		names = append(names, x.options.Region+string(letter))
	}
	return names
}

// zoneID shortens a region as AWS does and numbers its zones: apne1-az1 for ap-northeast-1a.
func (x *tx) zoneID(zone string) string {
	parts := strings.Split(x.options.Region, "-")
	short := parts[0]
	if len(parts) >= 3 {
		direction := parts[len(parts)-2]
		for _, word := range []string{"north", "south", "east", "west", "central"} {
			if rest, ok := strings.CutPrefix(direction, word); ok {
				short += word[:1]
				direction = rest
			}
		}
		if direction != "" {
			short += direction[:1]
		}
		short += parts[len(parts)-1]
	}
	number := 1
	if n := len(zone); n > 0 {
		number = int(zone[n-1]-'a') + 1
	}
	return short + "-az" + string(rune('0'+number%10))
}

type zone struct{ name, id string }

var zoneFilters = filters[zone]{
	"zone-name":     func(z zone) []string { return []string{z.name} },
	"zone-id":       func(z zone) []string { return []string{z.id} },
	"zone-type":     func(zone) []string { return []string{"availability-zone"} },
	"state":         func(zone) []string { return []string{"available"} },
	"opt-in-status": func(zone) []string { return []string{"opt-in-not-required"} },
	"region-name":   func(z zone) []string { return []string{z.name[:len(z.name)-1]} },
	"group-name":    func(z zone) []string { return []string{z.name[:len(z.name)-1]} },
}

func (x *tx) describeAvailabilityZones(in *ec2.DescribeAvailabilityZonesInput) (*ec2.DescribeAvailabilityZonesOutput, error) {
	if err := checkFilters(in.Filters, zoneFilters); err != nil {
		return nil, err
	}
	var all []zone
	for _, name := range x.zones() {
		all = append(all, zone{name, x.zoneID(name)})
	}
	for _, name := range in.ZoneNames {
		if !slices.ContainsFunc(all, func(z zone) bool { return z.name == name }) {
			return nil, wire.Errorf("InvalidParameterValue", "Invalid availability zone: [%s]", name)
		}
	}
	for _, id := range in.ZoneIds {
		if !slices.ContainsFunc(all, func(z zone) bool { return z.id == id }) {
			return nil, wire.Errorf("InvalidParameterValue", "Invalid availability zone-id: [%s]", id)
		}
	}
	out := &ec2.DescribeAvailabilityZonesOutput{AvailabilityZones: []types.AvailabilityZone{}}
	for _, z := range all {
		if len(in.ZoneNames) > 0 && !slices.Contains(in.ZoneNames, z.name) ||
			len(in.ZoneIds) > 0 && !slices.Contains(in.ZoneIds, z.id) || !matches(in.Filters, zoneFilters, nil, z) {
			continue
		}
		out.AvailabilityZones = append(out.AvailabilityZones, types.AvailabilityZone{
			ZoneName: &z.name, ZoneId: &z.id, ZoneType: ptr("availability-zone"), RegionName: &x.options.Region,
			GroupName: &x.options.Region, NetworkBorderGroup: &x.options.Region,
			State: types.AvailabilityZoneStateAvailable, OptInStatus: types.AvailabilityZoneOptInStatusOptInNotRequired,
		})
	}
	return out, nil
}

// notYet refuses by name what this version does not do.
func notYet(what string) error {
	return wire.Errorf("UnsupportedOperation", "%s are not supported by this version of local AWS.", what)
}
