package localaws

import (
	"net/netip"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/sluicehq/sluice/internal/localaws/wire"
)

// instance is a machine that somebody else runs; local AWS only knows where it is.
type instance struct {
	ID, Subnet, VPC, Zone, Type, Image, PrivateIP, Interface string
	Reservation, ClientToken                                 string
	Launched, Terminated                                     time.Time
}

// remembered is how long a terminated instance is still shown.
const remembered = time.Hour

func (i instance) running() bool { return i.Terminated.IsZero() }

func (i instance) state() *types.InstanceState {
	if i.running() {
		return &types.InstanceState{Code: ptr(int32(16)), Name: types.InstanceStateNameRunning}
	}
	return &types.InstanceState{Code: ptr(int32(48)), Name: types.InstanceStateNameTerminated}
}

var instanceFilters = filters[instance]{
	"instance-id":                          func(i instance) []string { return []string{i.ID} },
	"vpc-id":                               func(i instance) []string { return present(i.running(), i.VPC) },
	"subnet-id":                            func(i instance) []string { return present(i.running(), i.Subnet) },
	"private-ip-address":                   func(i instance) []string { return present(i.running(), i.PrivateIP) },
	"network-interface.private-ip-address": func(i instance) []string { return present(i.running(), i.PrivateIP) },
	"network-interface.addresses.private-ip-address": func(i instance) []string {
		return present(i.running(), i.PrivateIP)
	},
	"network-interface.network-interface-id": func(i instance) []string { return present(i.running(), i.Interface) },
	"private-dns-name":                       func(i instance) []string { return present(i.running(), i.PrivateIP) },
	"availability-zone":                      func(i instance) []string { return []string{i.Zone} },
	"instance-type":                          func(i instance) []string { return []string{i.Type} },
	"image-id":                               func(i instance) []string { return []string{i.Image} },
	"reservation-id":                         func(i instance) []string { return []string{i.Reservation} },
	"client-token":                           func(i instance) []string { return []string{i.ClientToken} },
	"instance-state-name":                    func(i instance) []string { return []string{string(i.state().Name)} },
}

func present(is bool, value string) []string {
	if !is {
		return nil
	}
	return []string{value}
}

func (x *tx) instanceWire(i instance) types.Instance {
	w := types.Instance{
		InstanceId: &i.ID, InstanceType: types.InstanceType(i.Type), ImageId: &i.Image, State: i.state(),
		LaunchTime: &i.Launched, Placement: &types.Placement{AvailabilityZone: &i.Zone, Tenancy: types.TenancyDefault},
		Architecture: types.ArchitectureValuesX8664, Hypervisor: types.HypervisorTypeXen,
		VirtualizationType: types.VirtualizationTypeHvm, RootDeviceType: types.DeviceTypeEbs,
		RootDeviceName: ptr("/dev/xvda"), EbsOptimized: ptr(false), EnaSupport: ptr(true), AmiLaunchIndex: ptr(int32(0)),
		Monitoring: &types.Monitoring{State: types.MonitoringStateDisabled}, Tags: ec2Tags(x.tagsOf(i.ID)),
		StateTransitionReason: ptr(""), PublicDnsName: ptr(""), PrivateDnsName: ptr(""),
	}
	if i.ClientToken != "" {
		w.ClientToken = &i.ClientToken
	}
	if !i.running() {
		return w
	}
	w.VpcId, w.SubnetId, w.PrivateIpAddress = &i.VPC, &i.Subnet, &i.PrivateIP
	w.PrivateDnsName = ptr("ip-" + dashed(i.PrivateIP) + "." + x.options.Region + ".compute.internal")
	w.SourceDestCheck = ptr(true)
	if eni, ok := x.state.interfaces.get(i.Interface); ok {
		w.SecurityGroups = eni.Wire.Groups
		w.NetworkInterfaces = []types.InstanceNetworkInterface{instanceInterface(eni.Wire)}
	}
	return w
}

func dashed(address string) string {
	b := []byte(address)
	for i := range b {
		if b[i] == '.' {
			b[i] = '-'
		}
	}
	return string(b)
}

func instanceInterface(i types.NetworkInterface) types.InstanceNetworkInterface {
	w := types.InstanceNetworkInterface{
		NetworkInterfaceId: i.NetworkInterfaceId, SubnetId: i.SubnetId, VpcId: i.VpcId, OwnerId: i.OwnerId, Status: i.Status,
		MacAddress: i.MacAddress, PrivateIpAddress: i.PrivateIpAddress, Groups: i.Groups, Description: i.Description,
		SourceDestCheck: i.SourceDestCheck, InterfaceType: ptr(string(i.InterfaceType)),
	}
	if a := i.Attachment; a != nil {
		w.Attachment = &types.InstanceNetworkInterfaceAttachment{
			AttachmentId: a.AttachmentId, AttachTime: a.AttachTime, DeviceIndex: a.DeviceIndex, Status: a.Status,
			DeleteOnTermination: a.DeleteOnTermination,
		}
	}
	for _, a := range i.PrivateIpAddresses {
		w.PrivateIpAddresses = append(w.PrivateIpAddresses, types.InstancePrivateIpAddress{
			PrivateIpAddress: a.PrivateIpAddress, Primary: a.Primary,
		})
	}
	for _, p := range i.Ipv4Prefixes {
		w.Ipv4Prefixes = append(w.Ipv4Prefixes, types.InstanceIpv4Prefix{Ipv4Prefix: p.Ipv4Prefix})
	}
	return w
}

// placement is where an instance goes.
type placement struct {
	subnet   subnet
	address  netip.Addr
	groups   []string
	prefixes []string
}

// newInstance makes an instance with its primary network interface.
func (x *tx) newInstance(i instance, p placement, tags map[string]string) {
	i.Subnet, i.VPC, i.Zone = *p.subnet.Wire.SubnetId, *p.subnet.Wire.VpcId, p.subnet.zone()
	i.PrivateIP, i.Launched = p.address.String(), x.now.Truncate(time.Second)
	eni := x.newInterface(i.Interface, p.subnet, p.address, p.groups)
	eni.Wire.Attachment = &types.NetworkInterfaceAttachment{
		AttachmentId: ptr("eni-attach-" + x.hex(17)), InstanceId: &i.ID, InstanceOwnerId: &x.options.AccountID,
		DeviceIndex: ptr(int32(0)), Status: types.AttachmentStatusAttached, DeleteOnTermination: ptr(true),
		AttachTime: &i.Launched,
	}
	for _, prefix := range p.prefixes {
		eni.Wire.Ipv4Prefixes = append(eni.Wire.Ipv4Prefixes, types.Ipv4PrefixSpecification{Ipv4Prefix: &prefix})
	}
	x.state.interfaces.put(x, i.Interface, eni)
	x.setTags(i.Interface, x.ec2ARN("network-interface", i.Interface), nil)
	x.state.instances.put(x, i.ID, i)
	x.setTags(i.ID, x.ec2ARN("instance", i.ID), tags)
}

// maxLaunch bounds one RunInstances call, as the vCPU quota does on AWS.
const maxLaunch = 100

func (x *tx) runInstances(in *ec2.RunInstancesInput) (*ec2.RunInstancesOutput, error) {
	least, most := val(in.MinCount), val(in.MaxCount)
	if least < 1 || most < least {
		return nil, wire.Errorf("InvalidParameterValue", "Value (%d) for parameter minCount is invalid. It must be at least 1 "+
			"and at most maxCount.", least)
	}
	if most > maxLaunch {
		return nil, wire.Errorf("InstanceLimitExceeded", "You have requested more instances (%d) than your current instance "+
			"limit of %d allows.", most, maxLaunch)
	}
	p, asked, err := x.launchPlacement(in)
	if err != nil {
		return nil, err
	}
	tags, err := x.specifiedTags(in.TagSpecifications, types.ResourceTypeInstance)
	if err != nil {
		return nil, err
	}
	if asked.IsValid() && most > 1 {
		return nil, wire.Errorf("InvalidParameterCombination", "The parameter privateIpAddress cannot be used with more than "+
			"one instance")
	}
	if in.ClientToken != nil {
		if out := x.launched(*in.ClientToken); out != nil {
			return out, nil
		}
	}
	reservation := x.newID("r")
	for range most {
		at := p
		if at.address = asked; !asked.IsValid() {
			if at.address, err = x.freeAddress(p.subnet); err != nil {
				return nil, err
			}
		}
		x.newInstance(instance{
			ID: x.newID("i"), Interface: x.newID("eni"), Type: firstOf(string(in.InstanceType), "m1.small"),
			Image: val(in.ImageId), Reservation: reservation, ClientToken: val(in.ClientToken),
		}, at, tags)
	}
	return x.reservation(reservation), nil
}

// launched is the answer given before to the same idempotency token.
func (x *tx) launched(token string) *ec2.RunInstancesOutput {
	for _, i := range x.state.instances.find(func(i instance) bool { return i.ClientToken == token && token != "" }) {
		return x.reservation(i.Reservation)
	}
	return nil
}

func (x *tx) reservation(id string) *ec2.RunInstancesOutput {
	out := &ec2.RunInstancesOutput{ReservationId: &id, OwnerId: &x.options.AccountID}
	for _, i := range x.state.instances.find(func(i instance) bool { return i.Reservation == id }) {
		out.Instances = append(out.Instances, x.instanceWire(i))
	}
	return out
}

// launchPlacement reads where to launch: the subnet, its groups and the address asked for, if one is.
func (x *tx) launchPlacement(in *ec2.RunInstancesInput) (p placement, asked netip.Addr, err error) {
	id, groups, address := in.SubnetId, in.SecurityGroupIds, in.PrivateIpAddress
	if len(in.NetworkInterfaces) > 1 {
		return p, asked, notYet("Instances with several network interfaces")
	}
	for _, spec := range in.NetworkInterfaces {
		id, groups, address = spec.SubnetId, spec.Groups, spec.PrivateIpAddress
		for _, prefix := range spec.Ipv4Prefixes {
			p.prefixes = append(p.prefixes, val(prefix.Ipv4Prefix))
		}
	}
	if id == nil {
		return p, asked, wire.Errorf("MissingInput", "No subnets found for the default VPC. Please specify a subnet.")
	}
	if p.subnet, err = lookup(x.state.subnets, subnetID, id); err != nil {
		return p, asked, err
	}
	if p.groups, err = x.groupsIn(*p.subnet.Wire.VpcId, groups); err != nil {
		return p, asked, err
	}
	for _, prefix := range p.prefixes {
		if block, err := netip.ParsePrefix(prefix); err != nil || !p.subnet.cidr().Contains(block.Addr()) {
			return p, asked, wire.Errorf("InvalidParameterValue", "The prefix %s is not in the subnet", prefix)
		}
	}
	if address == nil {
		return p, asked, nil
	}
	asked, err = netip.ParseAddr(*address)
	if err != nil || !p.subnet.cidr().Contains(asked) {
		return p, asked, wire.Errorf("InvalidParameterValue", "Address %s does not fall within the subnet's address range", *address)
	}
	if x.state.interfaces.exists(func(i networkInterface) bool {
		return *i.Wire.SubnetId == *p.subnet.Wire.SubnetId && slices.Contains(i.addresses(), asked)
	}) {
		return p, asked, wire.Errorf("InvalidIPAddress.InUse", "Address %s is in use.", *address)
	}
	return p, asked, nil
}

// groupsIn checks security groups for use in a VPC; none means the VPC's default group.
func (x *tx) groupsIn(vpc string, ids []string) ([]string, error) {
	if len(ids) == 0 {
		for id := range x.state.securityGroups.find(func(g securityGroup) bool { return g.VPC == vpc && g.Name == defaultGroup }) {
			return []string{id}, nil
		}
	}
	for _, id := range ids {
		g, err := lookup(x.state.securityGroups, groupID, &id)
		if err != nil {
			return nil, err
		}
		if g.VPC != vpc {
			return nil, wire.Errorf("InvalidParameter", "Security group %s and subnet belong to different networks.", id)
		}
	}
	if most := x.quota["sluice/security-groups-per-network-interface"]; len(ids) > most {
		return nil, wire.Errorf("SecurityGroupsPerInterfaceLimitExceeded",
			"The maximum number of security groups per interface (%d) has been reached.", most)
	}
	return ids, nil
}

func (x *tx) terminateInstances(in *ec2.TerminateInstancesInput) (*ec2.TerminateInstancesOutput, error) {
	if err := checkIDs(x.state.instances.items(nil), instanceID, in.InstanceIds); err != nil {
		return nil, err
	}
	for _, old := range x.state.instances.items(func(_ string, i instance) bool {
		return !i.running() && x.now.Sub(i.Terminated) > remembered
	}) {
		if slices.Contains(in.InstanceIds, old.id) {
			continue
		}
		x.state.instances.delete(x, old.id)
		x.state.tags.delete(x, old.id)
	}
	out := &ec2.TerminateInstancesOutput{}
	for _, id := range in.InstanceIds {
		i, _ := x.state.instances.get(id)
		before := i.state()
		if i.running() {
			i.Terminated = x.now
			x.state.interfaces.delete(x, i.Interface)
			x.state.tags.delete(x, i.Interface)
			x.state.instances.put(x, id, i)
		}
		out.TerminatingInstances = append(out.TerminatingInstances, types.InstanceStateChange{
			InstanceId: &i.ID, PreviousState: before, CurrentState: i.state(),
		})
	}
	return out, nil
}

func (x *tx) describeInstances(in *ec2.DescribeInstancesInput) (*ec2.DescribeInstancesOutput, error) {
	found, next, err := describe(x, x.state.instances,
		query[instance]{in.InstanceIds, instanceID, in.Filters, instanceFilters, in.MaxResults, in.NextToken})
	if err != nil {
		return nil, err
	}
	out := &ec2.DescribeInstancesOutput{Reservations: []types.Reservation{}, NextToken: next}
	for _, i := range found {
		if !i.value.running() && x.now.Sub(i.value.Terminated) > remembered {
			continue
		}
		last := len(out.Reservations) - 1
		if last < 0 || *out.Reservations[last].ReservationId != i.value.Reservation {
			out.Reservations = append(out.Reservations, types.Reservation{
				ReservationId: &i.value.Reservation, OwnerId: &x.options.AccountID,
			})
			last++
		}
		r := &out.Reservations[last]
		r.Instances = append(r.Instances, x.instanceWire(i.value))
	}
	return out, nil
}
