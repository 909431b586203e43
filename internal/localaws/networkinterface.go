package localaws

import (
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
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
	"ipv6-addresses.ipv6-address":  func(networkInterface) []string { return nil },
	"attachment.instance-id":       attachment(func(a types.NetworkInterfaceAttachment) *string { return a.InstanceId }),
	"attachment.instance-owner-id": attachment(func(a types.NetworkInterfaceAttachment) *string { return a.InstanceOwnerId }),
	"attachment.status": attachment(func(a types.NetworkInterfaceAttachment) *string {
		return ptr(string(a.Status))
	}),
	"attachment.device-index": attachment(func(a types.NetworkInterfaceAttachment) *string {
		return ptr(strconv.Itoa(int(val(a.DeviceIndex))))
	}),
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
func (x *tx) balancerInterfaces(arn string, subnets []subnet, groups []string) error {
	have := map[string]bool{}
	for _, i := range x.state.interfaces.items(func(_ string, i networkInterface) bool { return i.LoadBalancer == arn }) {
		if !slices.ContainsFunc(subnets, func(s subnet) bool { return *s.Wire.SubnetId == *i.value.Wire.SubnetId }) {
			x.state.interfaces.delete(x, i.id)
			x.state.tags.delete(x, i.id)
			continue
		}
		have[*i.value.Wire.SubnetId] = true
		i.value.Wire.Groups = x.groupIdentifiers(groups)
		x.state.interfaces.put(x, i.id, i.value)
	}
	for _, s := range subnets {
		if have[*s.Wire.SubnetId] {
			continue
		}
		address, err := x.freeAddress(s)
		if err != nil {
			return err
		}
		i := x.newInterface(x.newID("eni"), s, address, groups)
		i.LoadBalancer = arn
		i.Wire.Description = ptr("ELB " + loadBalancerName(arn))
		i.Wire.RequesterManaged, i.Wire.RequesterId = ptr(true), ptr("amazon-elb")
		i.Wire.Attachment = &types.NetworkInterfaceAttachment{
			AttachmentId: ptr("ela-attach-" + x.hex(17)), InstanceOwnerId: ptr("amazon-elb"), DeviceIndex: ptr(int32(1)),
			Status: types.AttachmentStatusAttached, DeleteOnTermination: ptr(false), AttachTime: ptr(x.now.Truncate(time.Second)),
		}
		x.state.interfaces.put(x, *i.Wire.NetworkInterfaceId, i)
		x.setTags(*i.Wire.NetworkInterfaceId, x.ec2ARN("network-interface", *i.Wire.NetworkInterfaceId), nil)
	}
	return nil
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
