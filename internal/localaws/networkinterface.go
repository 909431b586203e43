package localaws

import (
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
)

// networkInterface is an instance's, or a load balancer's (LoadBalancer is its ARN then).
type networkInterface struct {
	Wire         types.NetworkInterface
	LoadBalancer string
}

func (i networkInterface) addresses() []netip.Addr {
	var out []netip.Addr
	for _, a := range i.Wire.PrivateIpAddresses {
		out = append(out, netip.MustParseAddr(*a.PrivateIpAddress))
	}
	return out
}

func (i networkInterface) prefixes() []netip.Prefix {
	var out []netip.Prefix
	for _, p := range i.Wire.Ipv4Prefixes {
		out = append(out, netip.MustParsePrefix(*p.Ipv4Prefix))
	}
	return out
}

func (i networkInterface) inGroup(id string) bool {
	return slices.ContainsFunc(i.Wire.Groups, func(g types.GroupIdentifier) bool { return val(g.GroupId) == id })
}

var interfaceFilters = filters[networkInterface]{
	"network-interface-id": one(func(i networkInterface) *string { return i.Wire.NetworkInterfaceId }),
	"subnet-id":            one(func(i networkInterface) *string { return i.Wire.SubnetId }),
	"vpc-id":               one(func(i networkInterface) *string { return i.Wire.VpcId }),
	"availability-zone":    one(func(i networkInterface) *string { return i.Wire.AvailabilityZone }),
	"description":          one(func(i networkInterface) *string { return i.Wire.Description }),
	"owner-id":             one(func(i networkInterface) *string { return i.Wire.OwnerId }),
	"private-ip-address":   one(func(i networkInterface) *string { return i.Wire.PrivateIpAddress }),
	"mac-address":          one(func(i networkInterface) *string { return i.Wire.MacAddress }),
	"requester-id":         one(func(i networkInterface) *string { return i.Wire.RequesterId }),
	"status":               func(i networkInterface) []string { return []string{string(i.Wire.Status)} },
	"interface-type":       func(i networkInterface) []string { return []string{string(i.Wire.InterfaceType)} },
	"requester-managed": func(i networkInterface) []string {
		return []string{strconv.FormatBool(val(i.Wire.RequesterManaged))}
	},
	"group-id": func(i networkInterface) []string {
		return each(i.Wire.Groups, func(g types.GroupIdentifier) *string { return g.GroupId })
	},
	"group-name": func(i networkInterface) []string {
		return each(i.Wire.Groups, func(g types.GroupIdentifier) *string { return g.GroupName })
	},
	"addresses.private-ip-address": func(i networkInterface) []string {
		return each(i.Wire.PrivateIpAddresses, func(a types.NetworkInterfacePrivateIpAddress) *string { return a.PrivateIpAddress })
	},
	"association.allocation-id":  associated(func(a types.NetworkInterfaceAssociation) *string { return a.AllocationId }),
	"association.association-id": associated(func(a types.NetworkInterfaceAssociation) *string { return a.AssociationId }),
	"association.public-ip":      associated(func(a types.NetworkInterfaceAssociation) *string { return a.PublicIp }),
	"ipv6-addresses.ipv6-address": func(i networkInterface) []string {
		return each(i.Wire.Ipv6Addresses, func(a types.NetworkInterfaceIpv6Address) *string { return a.Ipv6Address })
	},
	"attachment.instance-id":       attachment(func(a types.NetworkInterfaceAttachment) *string { return a.InstanceId }),
	"attachment.instance-owner-id": attachment(func(a types.NetworkInterfaceAttachment) *string { return a.InstanceOwnerId }),
	"attachment.status": attachment(func(a types.NetworkInterfaceAttachment) *string {
		return ptr(string(a.Status))
	}),
	"attachment.device-index": attachment(func(a types.NetworkInterfaceAttachment) *string {
		return ptr(strconv.Itoa(int(val(a.DeviceIndex))))
	}),
}

func associated(value func(types.NetworkInterfaceAssociation) *string) func(networkInterface) []string {
	return one(func(i networkInterface) *string {
		if i.Wire.Association == nil {
			return nil
		}
		return value(*i.Wire.Association)
	})
}

func attachment(value func(types.NetworkInterfaceAttachment) *string) func(networkInterface) []string {
	return one(func(i networkInterface) *string {
		if i.Wire.Attachment == nil {
			return nil
		}
		return value(*i.Wire.Attachment)
	})
}

// newInterface makes a network interface in a subnet; who it is attached to is for the caller to say.
func (x *tx) newInterface(id string, s subnet, address netip.Addr, groups []string) networkInterface {
	text := address.String()
	mac := x.hex(10)
	w := types.NetworkInterface{
		NetworkInterfaceId: &id, SubnetId: s.Wire.SubnetId, VpcId: s.Wire.VpcId, AvailabilityZone: s.Wire.AvailabilityZone,
		AvailabilityZoneId: s.Wire.AvailabilityZoneId, OwnerId: &x.options.AccountID, PrivateIpAddress: &text,
		Status: types.NetworkInterfaceStatusInUse, InterfaceType: types.NetworkInterfaceTypeInterface,
		SourceDestCheck: ptr(true), RequesterManaged: ptr(false), Description: ptr(""), Groups: x.groupIdentifiers(groups),
		MacAddress: ptr("02:" + mac[:2] + ":" + mac[2:4] + ":" + mac[4:6] + ":" + mac[6:8] + ":" + mac[8:]),
		PrivateIpAddresses: []types.NetworkInterfacePrivateIpAddress{{
			PrivateIpAddress: &text, Primary: ptr(true),
		}},
	}
	return networkInterface{Wire: w}
}

func (x *tx) groupIdentifiers(ids []string) []types.GroupIdentifier {
	out := []types.GroupIdentifier{}
	for _, id := range ids {
		g, _ := x.state.securityGroups.get(id)
		out = append(out, types.GroupIdentifier{GroupId: &id, GroupName: ptr(g.Name)})
	}
	return out
}

// balancerInterfaces gives a load balancer one network interface in each of its subnets, with its security groups, and
// takes away those in other subnets.
func (x *tx) balancerInterfaces(b loadBalancer) error {
	have := map[string]bool{}
	for _, i := range x.state.interfaces.items(func(_ string, i networkInterface) bool { return i.LoadBalancer == b.arn() }) {
		if !slices.Contains(b.subnets(), *i.value.Wire.SubnetId) {
			x.dropInterface(i.id)
			continue
		}
		have[*i.value.Wire.SubnetId] = true
		i.value.Wire.Groups = x.groupIdentifiers(b.Wire.SecurityGroups)
		i, err := x.withAddresses(b, i.value)
		if err != nil {
			return err
		}
		x.state.interfaces.put(x, *i.Wire.NetworkInterfaceId, i)
	}
	for _, p := range x.placesOf(b) {
		if have[*p.subnet.Wire.SubnetId] {
			continue
		}
		i, err := x.balancerInterface(b, p.subnet)
		if err != nil {
			return err
		}
		x.state.interfaces.put(x, *i.Wire.NetworkInterfaceId, i)
		x.setTags(*i.Wire.NetworkInterfaceId, x.ec2ARN("network-interface", *i.Wire.NetworkInterfaceId), nil)
	}
	return nil
}

func (x *tx) dropInterface(id string) {
	x.state.interfaces.delete(x, id)
	x.state.tags.delete(x, id)
}

// balancerInterface makes a load balancer's network interface in a subnet.
func (x *tx) balancerInterface(b loadBalancer, s subnet) (networkInterface, error) {
	z, _ := b.zoneIn(*s.Wire.SubnetId)
	var asked elbtypes.LoadBalancerAddress
	for _, a := range z.LoadBalancerAddresses {
		asked = a
	}
	address, err := x.freeAddress(s)
	if asked.PrivateIPv4Address != nil {
		address, err = netip.ParseAddr(*asked.PrivateIPv4Address)
	}
	if err != nil {
		return networkInterface{}, err
	}
	i := x.newInterface(x.newID("eni"), s, address, b.Wire.SecurityGroups)
	i.LoadBalancer = b.arn()
	i.Wire.Description = ptr("ELB " + loadBalancerName(b.arn()))
	owner := "amazon-elb"
	if b.network() {
		owner = "amazon-aws"
		i.Wire.InterfaceType = types.NetworkInterfaceTypeNetworkLoadBalancer
	}
	i.Wire.RequesterManaged, i.Wire.RequesterId = ptr(true), ptr("amazon-elb")
	i.Wire.Attachment = &types.NetworkInterfaceAttachment{
		AttachmentId: ptr("ela-attach-" + x.hex(17)), InstanceOwnerId: &owner, DeviceIndex: ptr(int32(1)),
		Status: types.AttachmentStatusAttached, DeleteOnTermination: ptr(false), AttachTime: ptr(x.now.Truncate(time.Second)),
	}
	if asked.AllocationId != nil {
		i.Wire.Association = &types.NetworkInterfaceAssociation{
			AllocationId: asked.AllocationId, AssociationId: ptr(x.newID("eipassoc")), PublicIp: asked.IpAddress,
			IpOwnerId: &x.options.AccountID,
		}
		i.Wire.PrivateIpAddresses[0].Association = i.Wire.Association
	}
	return x.withAddresses(b, i)
}

// withAddresses gives a Network Load Balancer's interface the further addresses that it has: for IPv6, and as many as one
// of its attributes asks for.
func (x *tx) withAddresses(b loadBalancer, i networkInterface) (networkInterface, error) {
	want, _ := strconv.Atoi(b.Attributes[secondaryIPs]) // 0 for ALBs, which do not have it
	s, _ := x.state.subnets.get(*i.Wire.SubnetId)
	i.Wire = x.withIPv6Address(b, i.Wire)
	i.Wire.PrivateIpAddresses = slices.Clone(i.Wire.PrivateIpAddresses)
	for len(i.Wire.PrivateIpAddresses) <= want {
		x.state.interfaces.put(x, *i.Wire.NetworkInterfaceId, i) // so that its addresses count as taken
		a, err := x.freeAddress(s)
		if err != nil {
			return i, err
		}
		i.Wire.PrivateIpAddresses = append(slices.Clone(i.Wire.PrivateIpAddresses), types.NetworkInterfacePrivateIpAddress{
			PrivateIpAddress: ptr(a.String()), Primary: ptr(false),
		})
	}
	return i, nil
}

func (x *tx) describeNetworkInterfaces(in *ec2.DescribeNetworkInterfacesInput) (*ec2.DescribeNetworkInterfacesOutput, error) {
	found, next, err := describe(x, x.state.interfaces, query[networkInterface]{
		in.NetworkInterfaceIds, interfaceID, in.Filters, interfaceFilters, in.MaxResults, in.NextToken,
	})
	if err != nil {
		return nil, err
	}
	out := &ec2.DescribeNetworkInterfacesOutput{NetworkInterfaces: []types.NetworkInterface{}, NextToken: next}
	for _, i := range found {
		w := i.value.Wire
		w.TagSet = ec2Tags(x.tagsOf(i.id))
		out.NetworkInterfaces = append(out.NetworkInterfaces, w)
	}
	return out, nil
}
