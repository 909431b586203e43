package localaws

import (
	"net/netip"
	"slices"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/sluicehq/sluice/internal/localaws/wire"
)

type subnet struct{ Wire types.Subnet }

func (s subnet) cidr() netip.Prefix { return netip.MustParsePrefix(*s.Wire.CidrBlock) }
func (s subnet) zone() string       { return *s.Wire.AvailabilityZone }

// ipv6CIDR is not valid where the subnet has no IPv6 block.
func (s subnet) ipv6CIDR() netip.Prefix {
	for _, a := range s.Wire.Ipv6CidrBlockAssociationSet {
		return netip.MustParsePrefix(*a.Ipv6CidrBlock)
	}
	return netip.Prefix{}
}

var subnetFilters = filters[subnet]{
	"subnet-id":            one(func(s subnet) *string { return s.Wire.SubnetId }),
	"vpc-id":               one(func(s subnet) *string { return s.Wire.VpcId }),
	"availability-zone":    one(func(s subnet) *string { return s.Wire.AvailabilityZone }),
	"availabilityZone":     one(func(s subnet) *string { return s.Wire.AvailabilityZone }),
	"availability-zone-id": one(func(s subnet) *string { return s.Wire.AvailabilityZoneId }),
	"cidr":                 one(func(s subnet) *string { return s.Wire.CidrBlock }),
	"cidr-block":           one(func(s subnet) *string { return s.Wire.CidrBlock }),
	"cidrBlock":            one(func(s subnet) *string { return s.Wire.CidrBlock }),
	"state":                func(s subnet) []string { return []string{string(s.Wire.State)} },
	"owner-id":             one(func(s subnet) *string { return s.Wire.OwnerId }),
	"subnet-arn":           one(func(s subnet) *string { return s.Wire.SubnetArn }),
	"default-for-az":       isFalse[subnet],
	"ipv6-cidr-block-association.ipv6-cidr-block": func(s subnet) []string {
		return each(s.Wire.Ipv6CidrBlockAssociationSet, func(a types.SubnetIpv6CidrBlockAssociation) *string { return a.Ipv6CidrBlock })
	},
	"map-public-ip-on-launch":    func(s subnet) []string { return []string{strconv.FormatBool(val(s.Wire.MapPublicIpOnLaunch))} },
	"available-ip-address-count": func(subnet) []string { return nil },
}

func (x *tx) createSubnet(in *ec2.CreateSubnetInput) (*ec2.CreateSubnetOutput, error) {
	v, err := lookup(x.state.vpcs, vpcID, in.VpcId)
	if err != nil {
		return nil, err
	}
	if val(in.Ipv6Native) || in.Ipv4IpamPoolId != nil || in.Ipv6IpamPoolId != nil || in.OutpostArn != nil {
		return nil, notYet("IPAM and Outpost subnets, and subnets of IPv6 only,")
	}
	if in.CidrBlock == nil {
		return nil, wire.Errorf("MissingParameter", "Either 'cidrBlock' or 'ipv4IpamPoolId' should be provided.")
	}
	block, err := privateBlock(*in.CidrBlock, "cidrBlock")
	if err != nil {
		return nil, err
	}
	if block.Bits() < 16 || block.Bits() > 28 || !v.cidr().Contains(block.Addr()) || block.Bits() < v.cidr().Bits() {
		return nil, wire.Errorf("InvalidSubnet.Range", "The CIDR '%s' is invalid.", *in.CidrBlock)
	}
	for _, other := range x.state.subnets.find(func(s subnet) bool { return *s.Wire.VpcId == *in.VpcId }) {
		if other.cidr().Overlaps(block) {
			return nil, wire.Errorf("InvalidSubnet.Conflict", "The CIDR '%s' conflicts with another subnet", block)
		}
	}
	var block6 netip.Prefix
	if in.Ipv6CidrBlock != nil {
		if block6, err = x.subnetIPv6Block(v, *in.Ipv6CidrBlock); err != nil {
			return nil, err
		}
	}
	zone, err := x.chooseZone(in.AvailabilityZone, in.AvailabilityZoneId)
	if err != nil {
		return nil, err
	}
	tags, err := x.specifiedTags(in.TagSpecifications, types.ResourceTypeSubnet)
	if err != nil {
		return nil, err
	}
	s := x.newSubnet(x.newID("subnet"), *in.VpcId, zone, block, tags)
	if block6.IsValid() {
		s = x.withSubnetIPv6Block(s, block6)
	}
	return &ec2.CreateSubnetOutput{Subnet: ptr(x.subnetWire(s))}, nil
}

// chooseZone takes the zone asked for, or the first.
func (x *tx) chooseZone(name, id *string) (string, error) {
	zones := x.zones()
	switch {
	case name != nil && slices.Contains(zones, *name):
		return *name, nil
	case name != nil:
		return "", wire.Errorf("InvalidParameterValue", "Value (%s) for parameter availabilityZone is invalid. Subnets can "+
			"currently only be created in the following availability zones: %s.", *name, zones)
	case id != nil:
		for _, z := range zones {
			if x.zoneID(z) == *id {
				return z, nil
			}
		}
		return "", wire.Errorf("InvalidParameterValue", "Value (%s) for parameter availabilityZoneId is invalid.", *id)
	}
	return zones[0], nil
}

func (x *tx) newSubnet(id, vpc, zone string, block netip.Prefix, tags map[string]string) subnet {
	s := subnet{types.Subnet{
		SubnetId: &id, VpcId: &vpc, AvailabilityZone: &zone, AvailabilityZoneId: ptr(x.zoneID(zone)),
		CidrBlock: ptr(block.String()), State: types.SubnetStateAvailable, OwnerId: &x.options.AccountID,
		SubnetArn: ptr(x.ec2ARN("subnet", id)), DefaultForAz: ptr(false), MapPublicIpOnLaunch: ptr(false),
		AssignIpv6AddressOnCreation: ptr(false), EnableDns64: ptr(false),
		PrivateDnsNameOptionsOnLaunch: &types.PrivateDnsNameOptionsOnLaunch{
			HostnameType: types.HostnameTypeIpName, EnableResourceNameDnsARecord: ptr(false), EnableResourceNameDnsAAAARecord: ptr(false),
		}, Ipv6Native: ptr(false),
		MapCustomerOwnedIpOnLaunch: ptr(false),
	}}
	x.state.subnets.put(x, id, s)
	x.setTags(id, *s.Wire.SubnetArn, tags)
	return s
}

func (x *tx) subnetWire(s subnet) types.Subnet {
	w := s.Wire
	w.AvailableIpAddressCount = ptr(x.freeAddresses(s))
	w.Tags = ec2Tags(x.tagsOf(*w.SubnetId))
	return w
}

// reserved is how many addresses of a subnet AWS keeps: the first four and the last.
const reserved = 5

// freeAddresses counts what network interfaces and their prefixes have left of a subnet.
func (x *tx) freeAddresses(s subnet) int32 {
	free := 1<<(32-s.cidr().Bits()) - reserved
	for _, i := range x.state.interfaces.find(func(i networkInterface) bool { return *i.Wire.SubnetId == *s.Wire.SubnetId }) {
		free -= len(i.Wire.PrivateIpAddresses)
		for _, p := range i.prefixes() {
			free -= 1 << (32 - p.Bits())
		}
	}
	return int32(max(free, 0))
}

// freeAddress takes the lowest address of a subnet that nothing uses.
func (x *tx) freeAddress(s subnet) (netip.Addr, error) {
	taken := x.takenAddresses(s)
	block := s.cidr()
	at := block.Addr()
	for range reserved - 1 {
		at = at.Next()
	}
	for ; block.Contains(at.Next()); at = at.Next() { // the last address is reserved
		if !taken(at) {
			return at, nil
		}
	}
	return at, wire.Errorf("InsufficientFreeAddressesInSubnet", "The specified subnet does not have enough free addresses.")
}

// takenAddresses tells which addresses of a subnet network interfaces have.
func (x *tx) takenAddresses(s subnet) func(netip.Addr) bool {
	used := map[netip.Addr]bool{}
	var prefixes []netip.Prefix
	for _, i := range x.state.interfaces.find(func(i networkInterface) bool { return *i.Wire.SubnetId == *s.Wire.SubnetId }) {
		for _, a := range i.addresses() {
			used[a] = true
		}
		prefixes = append(prefixes, i.prefixes()...)
	}
	return func(a netip.Addr) bool {
		return used[a] || slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(a) })
	}
}

// addressIsFree tells whether an address of a subnet can be given to somebody.
func (x *tx) addressIsFree(s subnet, a netip.Addr) bool {
	first := s.cidr().Addr()
	for range reserved - 1 {
		first = first.Next()
	}
	return !a.Less(first) && s.cidr().Contains(a.Next()) && !x.takenAddresses(s)(a)
}

func (x *tx) deleteSubnet(in *ec2.DeleteSubnetInput) (*ec2.DeleteSubnetOutput, error) {
	if _, err := lookup(x.state.subnets, subnetID, in.SubnetId); err != nil {
		return nil, err
	}
	id := *in.SubnetId
	if x.state.interfaces.exists(func(i networkInterface) bool { return *i.Wire.SubnetId == id }) {
		return nil, wire.Errorf("DependencyViolation", "The subnet '%s' has dependencies and cannot be deleted.", id)
	}
	for _, r := range x.state.routeTables.items(nil) {
		x.dissociate(r.value, func(a types.RouteTableAssociation) bool { return val(a.SubnetId) == id })
	}
	x.state.subnets.delete(x, id)
	x.state.tags.delete(x, id)
	return nil, nil
}

func (x *tx) modifySubnetAttribute(in *ec2.ModifySubnetAttributeInput) (*ec2.ModifySubnetAttributeOutput, error) {
	s, err := lookup(x.state.subnets, subnetID, in.SubnetId)
	if err != nil {
		return nil, err
	}
	if in.MapPublicIpOnLaunch == nil {
		return nil, notYet("Subnet attributes other than MapPublicIpOnLaunch")
	}
	s.Wire.MapPublicIpOnLaunch = ptr(val(in.MapPublicIpOnLaunch.Value))
	x.state.subnets.put(x, *in.SubnetId, s)
	return nil, nil
}

func (x *tx) describeSubnets(in *ec2.DescribeSubnetsInput) (*ec2.DescribeSubnetsOutput, error) {
	fields := filters[subnet]{}
	for name, field := range subnetFilters {
		fields[name] = field
	}
	fields["available-ip-address-count"] = func(s subnet) []string { return []string{strconv.Itoa(int(x.freeAddresses(s)))} }
	found, next, err := describe(x, x.state.subnets,
		query[subnet]{in.SubnetIds, subnetID, in.Filters, fields, in.MaxResults, in.NextToken})
	if err != nil {
		return nil, err
	}
	out := &ec2.DescribeSubnetsOutput{Subnets: []types.Subnet{}, NextToken: next}
	for _, i := range found {
		out.Subnets = append(out.Subnets, x.subnetWire(i.value))
	}
	return out, nil
}
