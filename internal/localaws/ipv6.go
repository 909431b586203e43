package localaws

import (
	"encoding/hex"
	"net/netip"

	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/sluicehq/sluice/internal/localaws/wire"
)

// How big the IPv6 blocks are that AWS gives to VPCs and takes for subnets.
const (
	vpcIPv6Bits    = 56
	subnetIPv6Bits = 64
)

// amazonBlock is one of Amazon's IPv6 blocks.
func (x *tx) amazonBlock() netip.Prefix {
	a := netip.MustParseAddr("2600:1f14::").As16()
	random, _ := hex.DecodeString(x.hex(6)) // it is hex
	copy(a[4:7], random)
	return netip.PrefixFrom(netip.AddrFrom16(a), vpcIPv6Bits)
}

// ipv6CIDR is not valid where the VPC has no IPv6 block.
func (v vpc) ipv6CIDR() netip.Prefix {
	for _, a := range v.Wire.Ipv6CidrBlockAssociationSet {
		return netip.MustParsePrefix(*a.Ipv6CidrBlock)
	}
	return netip.Prefix{}
}

func (x *tx) withIPv6Block(v vpc, block netip.Prefix) vpc {
	v.Wire.Ipv6CidrBlockAssociationSet = []types.VpcIpv6CidrBlockAssociation{{
		AssociationId: ptr("vpc-cidr-assoc-" + x.hex(17)), Ipv6CidrBlock: ptr(block.String()), Ipv6Pool: ptr("Amazon"),
		NetworkBorderGroup: &x.options.Region,
		Ipv6CidrBlockState: &types.VpcCidrBlockState{State: types.VpcCidrBlockStateCodeAssociated},
	}}
	x.state.vpcs.put(x, *v.Wire.VpcId, v)
	return v
}

// subnetIPv6Block checks a block that is asked for: of the VPC's, and nobody else's.
func (x *tx) subnetIPv6Block(v vpc, text string) (netip.Prefix, error) {
	block, err := netip.ParsePrefix(text)
	switch {
	case err != nil || !block.Addr().Is6():
		return block, wire.Errorf("InvalidParameterValue", "Value (%s) for parameter ipv6CidrBlock is invalid. This is not a valid IPv6 CIDR block.", text)
	case block != block.Masked() || block.Bits() != subnetIPv6Bits || !v.ipv6CIDR().IsValid() || !v.ipv6CIDR().Contains(block.Addr()):
		return block, wire.Errorf("InvalidSubnet.Range", "The IPv6 CIDR '%s' is invalid.", text)
	case x.state.subnets.exists(func(s subnet) bool { return s.ipv6CIDR() == block }):
		return block, wire.Errorf("InvalidSubnet.Conflict", "The IPv6 CIDR '%s' conflicts with another subnet", text)
	}
	return block, nil
}

func (x *tx) withSubnetIPv6Block(s subnet, block netip.Prefix) subnet {
	s.Wire.Ipv6CidrBlockAssociationSet = []types.SubnetIpv6CidrBlockAssociation{{
		AssociationId: ptr("subnet-cidr-assoc-" + x.hex(17)), Ipv6CidrBlock: ptr(block.String()),
		Ipv6CidrBlockState: &types.SubnetCidrBlockState{State: types.SubnetCidrBlockStateCodeAssociated},
	}}
	x.state.subnets.put(x, *s.Wire.SubnetId, s)
	return s
}

// freeIPv6 is an address of a subnet's IPv6 block.
func (x *tx) freeIPv6(s subnet) string {
	a := s.ipv6CIDR().Addr().As16()
	random, _ := hex.DecodeString(x.hex(16)) // it is hex; that two are the same is not to be expected
	copy(a[8:], random)
	return netip.AddrFrom16(a).String()
}

// withIPv6Address gives the network interface of a dualstack load balancer the address that is asked for, or one of the
// subnet's, and takes it away from others.
func (x *tx) withIPv6Address(b loadBalancer, i types.NetworkInterface) types.NetworkInterface {
	s, _ := x.state.subnets.get(*i.SubnetId)
	if !b.network() || b.Wire.IpAddressType != "dualstack" || !s.ipv6CIDR().IsValid() {
		i.Ipv6Addresses = nil
		return i
	}
	z, _ := b.zoneIn(*i.SubnetId)
	asked := ""
	for _, a := range z.LoadBalancerAddresses {
		asked = val(a.IPv6Address)
	}
	if asked == "" && len(i.Ipv6Addresses) > 0 {
		return i
	}
	i.Ipv6Addresses = []types.NetworkInterfaceIpv6Address{{Ipv6Address: ptr(firstOf(asked, x.freeIPv6(s))), IsPrimaryIpv6: ptr(true)}}
	return i
}
