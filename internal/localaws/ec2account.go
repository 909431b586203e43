package localaws

import (
	"maps"
	"slices"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/sluicehq/sluice/internal/localaws/wire"
)

// describeAccountAttributes: the names that the console asks for.
func (x *tx) describeAccountAttributes(in *ec2.DescribeAccountAttributesInput) (*ec2.DescribeAccountAttributesOutput, error) {
	values := map[types.AccountAttributeName]string{
		"supported-platforms": "VPC", "default-vpc": "none", "max-instances": "20", "max-elastic-ips": "5", "vpc-max-elastic-ips": "5",
		"vpc-max-security-groups-per-interface": strconv.Itoa(x.quota["sluice/security-groups-per-network-interface"]),
	}
	for _, name := range in.AttributeNames {
		if _, ok := values[name]; !ok {
			return nil, wire.Errorf("InvalidParameterValue", "Value (%s) for parameter attribute is invalid.", name)
		}
	}
	out := &ec2.DescribeAccountAttributesOutput{AccountAttributes: []types.AccountAttribute{}}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if len(in.AttributeNames) == 0 || slices.Contains(in.AttributeNames, name) {
			out.AccountAttributes = append(out.AccountAttributes, types.AccountAttribute{
				AttributeName: ptr(string(name)), AttributeValues: []types.AccountAttributeValue{{AttributeValue: ptr(values[name])}},
			})
		}
	}
	return out, nil
}

var regionFilters = filters[types.Region]{
	"region-name":   one(func(r types.Region) *string { return r.RegionName }),
	"endpoint":      one(func(r types.Region) *string { return r.Endpoint }),
	"opt-in-status": one(func(r types.Region) *string { return r.OptInStatus }),
}

// describeRegions lists AWS's commercial regions, and this one if it is made up.
func (x *tx) describeRegions(in *ec2.DescribeRegionsInput) (*ec2.DescribeRegionsOutput, error) {
	if err := checkFilters(in.Filters, regionFilters); err != nil {
		return nil, err
	}
	names := map[string]bool{x.options.Region: true}
	for name := range hostedZones {
		names[name] = names[name] || name[:2] != "cn" && name[:6] != "us-gov"
	}
	for _, name := range in.RegionNames {
		if !names[name] {
			return nil, wire.Errorf("InvalidParameterValue", "Invalid region names: [%s]", name)
		}
	}
	out := &ec2.DescribeRegionsOutput{Regions: []types.Region{}}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		r := types.Region{RegionName: &name, Endpoint: ptr("ec2." + name + ".amazonaws.com"), OptInStatus: ptr("opt-in-not-required")}
		if names[name] && (len(in.RegionNames) == 0 || slices.Contains(in.RegionNames, name)) && matches(in.Filters, regionFilters, nil, r) {
			out.Regions = append(out.Regions, r)
		}
	}
	return out, nil
}

// networkACL is the default one of a VPC, which lets everything through. There are no others here.
type networkACL struct {
	ID, VPC string
	Subnets []types.NetworkAclAssociation
}

var networkACLFilters = filters[networkACL]{
	"network-acl-id": func(a networkACL) []string { return []string{a.ID} },
	"vpc-id":         func(a networkACL) []string { return []string{a.VPC} },
	"default":        func(networkACL) []string { return []string{"true"} },
	"association.subnet-id": func(a networkACL) []string {
		return each(a.Subnets, func(s types.NetworkAclAssociation) *string { return s.SubnetId })
	},
	"association.network-acl-id": func(a networkACL) []string { return []string{a.ID} },
}

func (x *tx) describeNetworkAcls(in *ec2.DescribeNetworkAclsInput) (*ec2.DescribeNetworkAclsOutput, error) {
	var all []item[networkACL]
	for _, v := range x.state.vpcs.items(nil) {
		a := networkACL{ID: "acl-" + v.id[len("vpc-"):], VPC: v.id}
		for id, s := range x.state.subnets.all() {
			if *s.Wire.VpcId == v.id {
				a.Subnets = append(a.Subnets, types.NetworkAclAssociation{
					NetworkAclAssociationId: ptr("aclassoc-" + id[len("subnet-"):]), NetworkAclId: &a.ID, SubnetId: &id,
				})
			}
		}
		all = append(all, item[networkACL]{key: v.key, id: a.ID, value: a})
	}
	found, next, err := describeItems(x, all, query[networkACL]{
		in.NetworkAclIds, networkACLID, in.Filters, networkACLFilters, in.MaxResults, in.NextToken,
	})
	if err != nil {
		return nil, err
	}
	out := &ec2.DescribeNetworkAclsOutput{NetworkAcls: []types.NetworkAcl{}, NextToken: next}
	for _, i := range found {
		acl := types.NetworkAcl{
			NetworkAclId: &i.value.ID, VpcId: &i.value.VPC, OwnerId: &x.options.AccountID, IsDefault: ptr(true),
			Associations: i.value.Subnets, Tags: []types.Tag{},
		}
		for _, egress := range []bool{true, false} {
			for number, action := range map[int32]types.RuleAction{100: types.RuleActionAllow, 32767: types.RuleActionDeny} {
				acl.Entries = append(acl.Entries, types.NetworkAclEntry{
					RuleNumber: &number, RuleAction: action, Egress: &egress, Protocol: ptr("-1"), CidrBlock: ptr("0.0.0.0/0"),
				})
			}
		}
		slices.SortStableFunc(acl.Entries, func(a, b types.NetworkAclEntry) int { return int(*a.RuleNumber - *b.RuleNumber) })
		out.NetworkAcls = append(out.NetworkAcls, acl)
	}
	return out, nil
}

// describeIpamPools, describeCoipPools and getCoipPoolUsage: there is neither an IPAM nor an Outpost here to make a pool in.
func (x *tx) describeIpamPools(in *ec2.DescribeIpamPoolsInput) (*ec2.DescribeIpamPoolsOutput, error) {
	for _, id := range in.IpamPoolIds {
		return nil, wire.Errorf("InvalidIpamPoolId.NotFound", "The IPAM pool ID '%s' does not exist", id)
	}
	return &ec2.DescribeIpamPoolsOutput{IpamPools: []types.IpamPool{}}, nil
}

func (x *tx) describeCoipPools(in *ec2.DescribeCoipPoolsInput) (*ec2.DescribeCoipPoolsOutput, error) {
	for _, id := range in.PoolIds {
		return nil, noCoipPool(id)
	}
	return &ec2.DescribeCoipPoolsOutput{CoipPools: []types.CoipPool{}}, nil
}

func (x *tx) getCoipPoolUsage(in *ec2.GetCoipPoolUsageInput) (*ec2.GetCoipPoolUsageOutput, error) {
	return nil, noCoipPool(val(in.PoolId))
}

func noCoipPool(id string) error {
	return wire.Errorf("InvalidPoolID.NotFound", "The pool ID '%s' does not exist", id)
}

func (x *tx) getSecurityGroupsForVpc(in *ec2.GetSecurityGroupsForVpcInput) (*ec2.GetSecurityGroupsForVpcOutput, error) {
	if _, err := lookup(x.state.vpcs, vpcID, in.VpcId); err != nil {
		return nil, err
	}
	inVPC := append(slices.Clone(in.Filters), types.Filter{Name: ptr("vpc-id"), Values: []string{*in.VpcId}})
	for i, f := range inVPC {
		if val(f.Name) == "primary-vpc-id" { // what other calls name vpc-id
			inVPC[i].Name = ptr("vpc-id")
		}
	}
	found, next, err := describe(x, x.state.securityGroups, query[securityGroup]{
		nil, groupID, inVPC, securityGroupFilters, in.MaxResults, in.NextToken,
	})
	if err != nil {
		return nil, err
	}
	out := &ec2.GetSecurityGroupsForVpcOutput{SecurityGroupForVpcs: []types.SecurityGroupForVpc{}, NextToken: next}
	for _, i := range found {
		g := i.value
		out.SecurityGroupForVpcs = append(out.SecurityGroupForVpcs, types.SecurityGroupForVpc{
			GroupId: &g.ID, GroupName: &g.Name, Description: &g.Description, OwnerId: &x.options.AccountID, PrimaryVpcId: &g.VPC,
			Tags: ec2Tags(x.tagsOf(g.ID)),
		})
	}
	return out, nil
}

// describeVpcAttribute: DNS names are as a new VPC has them unless they were changed.
func (x *tx) describeVpcAttribute(in *ec2.DescribeVpcAttributeInput) (*ec2.DescribeVpcAttributeOutput, error) {
	v, err := lookup(x.state.vpcs, vpcID, in.VpcId)
	if err != nil {
		return nil, err
	}
	is := func(attribute types.VpcAttributeName, fallback bool) *types.AttributeBooleanValue {
		value, changed := v.Attributes[attribute]
		if !changed {
			value = fallback
		}
		return &types.AttributeBooleanValue{Value: &value}
	}
	out := &ec2.DescribeVpcAttributeOutput{VpcId: in.VpcId}
	switch in.Attribute {
	case types.VpcAttributeNameEnableDnsSupport:
		out.EnableDnsSupport = is(in.Attribute, true)
	case types.VpcAttributeNameEnableDnsHostnames:
		out.EnableDnsHostnames = is(in.Attribute, false)
	case types.VpcAttributeNameEnableNetworkAddressUsageMetrics:
		out.EnableNetworkAddressUsageMetrics = is(in.Attribute, false)
	default:
		return nil, wire.Errorf("InvalidParameterValue", "Value (%s) for parameter attribute is invalid. Unknown attribute.", in.Attribute)
	}
	return out, nil
}

// modifyVpcAttribute changes one attribute; AWS refuses more in one call.
func (x *tx) modifyVpcAttribute(in *ec2.ModifyVpcAttributeInput) (*ec2.ModifyVpcAttributeOutput, error) {
	v, err := lookup(x.state.vpcs, vpcID, in.VpcId)
	if err != nil {
		return nil, err
	}
	v.Attributes = maps.Clone(v.Attributes)
	if v.Attributes == nil {
		v.Attributes = map[types.VpcAttributeName]bool{}
	}
	changed := 0
	for name, value := range map[types.VpcAttributeName]*types.AttributeBooleanValue{
		types.VpcAttributeNameEnableDnsSupport:                 in.EnableDnsSupport,
		types.VpcAttributeNameEnableDnsHostnames:               in.EnableDnsHostnames,
		types.VpcAttributeNameEnableNetworkAddressUsageMetrics: in.EnableNetworkAddressUsageMetrics,
	} {
		if value != nil {
			v.Attributes[name] = val(value.Value)
			changed++
		}
	}
	if changed != 1 {
		return nil, wire.Errorf("InvalidParameterCombination", "Exactly one attribute must be specified, not %d", changed)
	}
	x.state.vpcs.put(x, *in.VpcId, v)
	return nil, nil
}
