package localaws

import (
	"net/netip"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/sluicehq/sluice/internal/localaws/wire"
)

// elasticIP is an Elastic IP address. It is of the load balancers' pool, so that a Network Load Balancer that has it is
// to be found there.
type elasticIP struct {
	ID      string
	Address netip.Addr
}

// elasticIPUse finds the network interface that has an Elastic IP address.
func (x *tx) elasticIPUse(id string) *types.NetworkInterface {
	for _, i := range x.state.interfaces.find(func(i networkInterface) bool {
		return i.Wire.Association != nil && val(i.Wire.Association.AllocationId) == id
	}) {
		return &i.Wire
	}
	return nil
}

func (x *tx) elasticIPWire(e elasticIP) types.Address {
	w := types.Address{
		AllocationId: &e.ID, PublicIp: ptr(e.Address.String()), Domain: types.DomainTypeVpc, PublicIpv4Pool: ptr("amazon"),
		NetworkBorderGroup: &x.options.Region, Tags: ec2Tags(x.tagsOf(e.ID)),
	}
	if i := x.elasticIPUse(e.ID); i != nil {
		w.AssociationId, w.NetworkInterfaceId = i.Association.AssociationId, i.NetworkInterfaceId
		w.NetworkInterfaceOwnerId, w.PrivateIpAddress = i.OwnerId, i.PrivateIpAddress
	}
	return w
}

func (x *tx) allocateAddress(in *ec2.AllocateAddressInput) (*ec2.AllocateAddressOutput, error) {
	switch {
	case in.Domain == types.DomainTypeStandard:
		return nil, wire.Errorf("InvalidParameterValue", "Value (standard) for parameter domain is invalid. EC2-Classic is retired.")
	case in.Address != nil, in.CustomerOwnedIpv4Pool != nil, in.IpamPoolId != nil, in.PublicIpv4Pool != nil && *in.PublicIpv4Pool != "amazon":
		return nil, notYet("Addresses of one's own pools")
	case in.NetworkBorderGroup != nil && *in.NetworkBorderGroup != x.options.Region:
		return nil, wire.Errorf("InvalidNetworkBorderGroup", "Value (%s) for parameter networkBorderGroup is invalid.", *in.NetworkBorderGroup)
	case x.state.elasticIPs.len() >= x.quota["sluice/elastic-ips"]:
		return nil, wire.Errorf("AddressLimitExceeded", "The maximum number of addresses has been reached.")
	}
	tags, err := x.specifiedTags(in.TagSpecifications, types.ResourceTypeElasticIp)
	if err != nil {
		return nil, err
	}
	address, err := x.newAddress()
	if err != nil {
		return nil, wire.Errorf("InsufficientAddressCapacity", "%s", err.Error())
	}
	e := elasticIP{x.newID(elasticIPID.prefix), address}
	x.state.elasticIPs.put(x, e.ID, e)
	x.setTags(e.ID, x.ec2ARN("elastic-ip", e.ID), tags)
	w := x.elasticIPWire(e)
	return &ec2.AllocateAddressOutput{
		AllocationId: w.AllocationId, PublicIp: w.PublicIp, Domain: w.Domain, PublicIpv4Pool: w.PublicIpv4Pool,
		NetworkBorderGroup: w.NetworkBorderGroup,
	}, nil
}

func (x *tx) releaseAddress(in *ec2.ReleaseAddressInput) (*ec2.ReleaseAddressOutput, error) {
	if in.AllocationId == nil {
		return nil, wire.Errorf("MissingParameter", "The request must contain the parameter AllocationId")
	}
	if _, err := lookup(x.state.elasticIPs, elasticIPID, in.AllocationId); err != nil {
		return nil, err
	}
	if x.elasticIPUse(*in.AllocationId) != nil {
		return nil, wire.Errorf("InvalidIPAddress.InUse", "The address with allocation ID '%s' is in use.", *in.AllocationId)
	}
	x.state.elasticIPs.delete(x, *in.AllocationId)
	x.state.tags.delete(x, *in.AllocationId)
	return nil, nil
}

func (x *tx) describeAddresses(in *ec2.DescribeAddressesInput) (*ec2.DescribeAddressesOutput, error) {
	shown := func(value func(types.Address) *string) func(elasticIP) []string {
		return one(func(e elasticIP) *string { return value(x.elasticIPWire(e)) })
	}
	asked := in.Filters
	if len(in.PublicIps) > 0 {
		asked = append(asked[:len(asked):len(asked)], types.Filter{Name: ptr("public-ip"), Values: in.PublicIps})
	}
	found, _, err := describe(x, x.state.elasticIPs, query[elasticIP]{
		ids: in.AllocationIds, kind: elasticIPID, filters: asked, fields: filters[elasticIP]{
			"allocation-id":              shown(func(a types.Address) *string { return a.AllocationId }),
			"association-id":             shown(func(a types.Address) *string { return a.AssociationId }),
			"domain":                     shown(func(a types.Address) *string { return ptr(string(a.Domain)) }),
			"network-border-group":       shown(func(a types.Address) *string { return a.NetworkBorderGroup }),
			"network-interface-id":       shown(func(a types.Address) *string { return a.NetworkInterfaceId }),
			"network-interface-owner-id": shown(func(a types.Address) *string { return a.NetworkInterfaceOwnerId }),
			"private-ip-address":         shown(func(a types.Address) *string { return a.PrivateIpAddress }),
			"public-ip":                  shown(func(a types.Address) *string { return a.PublicIp }),
		},
	})
	if err != nil {
		return nil, err
	}
	if len(in.PublicIps) > len(found) {
		return nil, wire.Errorf("InvalidAddress.NotFound", "Address '%s' not found.", in.PublicIps[0])
	}
	out := &ec2.DescribeAddressesOutput{Addresses: []types.Address{}}
	for _, e := range found {
		out.Addresses = append(out.Addresses, x.elasticIPWire(e.value))
	}
	return out, nil
}
