package aws

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/resourcegroupstaggingapi"
	taggingtypes "github.com/aws/aws-sdk-go-v2/service/resourcegroupstaggingapi/types"

	"github.com/sluicehq/sluice/internal/lb"
)

// Page sizes: the largest that each call takes.
const (
	ec2Page     = 1000
	routePage   = 100
	taggingPage = 100
)

func filter(name string, values ...string) ec2types.Filter {
	return ec2types.Filter{Name: aws.String(name), Values: values}
}

// taggedResources lists all ELBv2 resources with the cluster's tag, by ARN, with their tags.
func (a api) taggedResources(ctx context.Context, cluster string) (map[string]tags, error) {
	all := map[string]tags{}
	err := pages(func(token *string) (*string, bool, error) {
		out, err := a.tagging.GetResources(ctx, &resourcegroupstaggingapi.GetResourcesInput{
			TagFilters:          []taggingtypes.TagFilter{{Key: aws.String(clusterTag), Values: []string{cluster}}},
			ResourceTypeFilters: []string{"elasticloadbalancing"},
			ResourcesPerPage:    aws.Int32(taggingPage), PaginationToken: token,
		})
		if err != nil {
			return nil, false, failed("tag:GetResources", err)
		}
		for _, m := range out.ResourceTagMappingList {
			t := tags{}
			for _, tag := range m.Tags {
				t[aws.ToString(tag.Key)] = aws.ToString(tag.Value)
			}
			all[aws.ToString(m.ResourceARN)] = t
		}
		return out.PaginationToken, false, nil
	})
	return all, err
}

// describeSecurityGroups reads the security groups that meet all filters.
func (a api) describeSecurityGroups(ctx context.Context, filters ...ec2types.Filter) ([]ec2types.SecurityGroup, error) {
	var found []ec2types.SecurityGroup
	err := pages(func(token *string) (*string, bool, error) {
		out, err := a.ec2.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{
			Filters: filters, MaxResults: aws.Int32(ec2Page), NextToken: token,
		})
		if err != nil {
			return nil, false, ec2Error("DescribeSecurityGroups", err)
		}
		found = append(found, out.SecurityGroups...)
		return out.NextToken, false, nil
	})
	return found, err
}

// securityGroups reads the security groups of a VPC that meet all filters.
func (a api) securityGroups(ctx context.Context, vpc string, filters ...ec2types.Filter) ([]securityGroup, error) {
	found, err := a.describeSecurityGroups(ctx, append(filters, filter("vpc-id", vpc))...)
	var rows []securityGroup
	for _, g := range found {
		rows = append(rows, securityGroupRow(g))
	}
	return rows, err
}

// securityGroup reads one security group; nil when it is gone.
func (a api) securityGroup(ctx context.Context, vpc, id string) (*securityGroup, error) {
	rows, err := a.securityGroups(ctx, vpc, filter("group-id", id))
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	return &rows[0], nil
}

func (a api) createSecurityGroup(ctx context.Context, vpc, name, description string, t tags) (string, error) {
	out, err := a.ec2.CreateSecurityGroup(ctx, &ec2.CreateSecurityGroupInput{
		GroupName: aws.String(name), Description: aws.String(description), VpcId: aws.String(vpc),
		TagSpecifications: []ec2types.TagSpecification{{
			ResourceType: ec2types.ResourceTypeSecurityGroup, Tags: sdkEC2Tags(t.sorted()),
		}},
	})
	if err != nil {
		return "", ec2Error("CreateSecurityGroup", err)
	}
	return aws.ToString(out.GroupId), nil
}

// authorize adds rules; a description may be empty.
func (a api) authorize(ctx context.Context, group string, list []permission, description string) error {
	_, err := a.ec2.AuthorizeSecurityGroupIngress(ctx, &ec2.AuthorizeSecurityGroupIngressInput{
		GroupId: aws.String(group), IpPermissions: sdkPermissions(list, description),
	})
	return ec2Error("AuthorizeSecurityGroupIngress", err)
}

func (a api) revoke(ctx context.Context, group string, list []permission) error {
	_, err := a.ec2.RevokeSecurityGroupIngress(ctx, &ec2.RevokeSecurityGroupIngressInput{
		GroupId: aws.String(group), IpPermissions: sdkPermissions(list, ""),
	})
	return ec2Error("RevokeSecurityGroupIngress", err)
}

func (a api) deleteSecurityGroup(ctx context.Context, id string) error {
	_, err := a.ec2.DeleteSecurityGroup(ctx, &ec2.DeleteSecurityGroupInput{GroupId: aws.String(id)})
	return ec2Error("DeleteSecurityGroup", err)
}

func (a api) setEC2Tags(ctx context.Context, id string, set []lb.Tag, gone []string) error {
	if len(set) > 0 {
		_, err := a.ec2.CreateTags(ctx, &ec2.CreateTagsInput{Resources: []string{id}, Tags: sdkEC2Tags(set)})
		if err != nil {
			return ec2Error("CreateTags", err)
		}
	}
	if len(gone) > 0 {
		var keys []ec2types.Tag
		for _, key := range gone {
			keys = append(keys, ec2types.Tag{Key: aws.String(key)})
		}
		_, err := a.ec2.DeleteTags(ctx, &ec2.DeleteTagsInput{Resources: []string{id}, Tags: keys})
		if err != nil {
			return ec2Error("DeleteTags", err)
		}
	}
	return nil
}

// subnets reads all subnets of a VPC, in order of their ids.
func (a api) subnets(ctx context.Context, vpc string) ([]subnet, error) {
	var list []subnet
	err := pages(func(token *string) (*string, bool, error) {
		out, err := a.ec2.DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{
			Filters: []ec2types.Filter{filter("vpc-id", vpc)}, MaxResults: aws.Int32(ec2Page), NextToken: token,
		})
		if err != nil {
			return nil, false, ec2Error("DescribeSubnets", err)
		}
		for _, s := range out.Subnets {
			list = append(list, subnet{
				ID: aws.ToString(s.SubnetId), Zone: aws.ToString(s.AvailabilityZone),
				FreeAddresses: int(aws.ToInt32(s.AvailableIpAddressCount)),
				Outpost:       aws.ToString(s.OutpostArn) != "", Blocks: subnetBlocks(s), Tags: ec2Tags(s.Tags),
			})
		}
		return out.NextToken, false, nil
	})
	slices.SortFunc(list, func(a, b subnet) int { return cmp.Compare(a.ID, b.ID) })
	return list, err
}

// subnetBlocks are the subnet's blocks of addresses, that of IPv4 first.
func subnetBlocks(s ec2types.Subnet) []netip.Prefix {
	blocks := appendPrefix(nil, s.CidrBlock)
	for _, a := range s.Ipv6CidrBlockAssociationSet {
		if a.Ipv6CidrBlockState != nil && a.Ipv6CidrBlockState.State == ec2types.SubnetCidrBlockStateCodeAssociated {
			blocks = appendPrefix(blocks, a.Ipv6CidrBlock)
		}
	}
	return blocks
}

// vpcBlocks reads the VPC's blocks of addresses, those of IPv4 first.
func (a api) vpcBlocks(ctx context.Context, vpc string) ([]netip.Prefix, error) {
	out, err := a.ec2.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{VpcIds: []string{vpc}})
	if err != nil {
		return nil, ec2Error("DescribeVpcs", err)
	}
	var v4, v6 []netip.Prefix
	for _, v := range out.Vpcs {
		for _, b := range v.CidrBlockAssociationSet {
			if b.CidrBlockState != nil && b.CidrBlockState.State == ec2types.VpcCidrBlockStateCodeAssociated {
				v4 = appendPrefix(v4, b.CidrBlock)
			}
		}
		for _, b := range v.Ipv6CidrBlockAssociationSet {
			if b.Ipv6CidrBlockState != nil && b.Ipv6CidrBlockState.State == ec2types.VpcCidrBlockStateCodeAssociated {
				v6 = appendPrefix(v6, b.Ipv6CidrBlock)
			}
		}
	}
	return append(v4, v6...), nil
}

// zoneTypes reads the type of each zone of the region that the account can use, by zone name.
func (a api) zoneTypes(ctx context.Context) (map[string]string, error) {
	out, err := a.ec2.DescribeAvailabilityZones(ctx, &ec2.DescribeAvailabilityZonesInput{})
	if err != nil {
		return nil, ec2Error("DescribeAvailabilityZones", err)
	}
	types := map[string]string{}
	for _, z := range out.AvailabilityZones {
		types[aws.ToString(z.ZoneName)] = aws.ToString(z.ZoneType)
	}
	return types, nil
}

// publicSubnets says of each subnet whether its route table, or else the VPC's main one, leads to an internet gateway.
func (a api) publicSubnets(ctx context.Context, vpc string, subnets []subnet) (map[string]bool, error) {
	main, own := false, map[string]bool{}
	err := pages(func(token *string) (*string, bool, error) {
		out, err := a.ec2.DescribeRouteTables(ctx, &ec2.DescribeRouteTablesInput{
			Filters: []ec2types.Filter{filter("vpc-id", vpc)}, MaxResults: aws.Int32(routePage), NextToken: token,
		})
		if err != nil {
			return nil, false, ec2Error("DescribeRouteTables", err)
		}
		for _, table := range out.RouteTables {
			public := slices.ContainsFunc(table.Routes, func(r ec2types.Route) bool {
				return strings.HasPrefix(aws.ToString(r.GatewayId), "igw")
			})
			for _, association := range table.Associations {
				if aws.ToBool(association.Main) {
					main = public
				}
				if id := aws.ToString(association.SubnetId); id != "" {
					own[id] = public
				}
			}
		}
		return out.NextToken, false, nil
	})
	all := map[string]bool{}
	for _, s := range subnets {
		public, associated := own[s.ID]
		all[s.ID] = associated && public || !associated && main
	}
	return all, err
}

// instanceInterfaces reads the interfaces of instances that meet all filters, by instance id.
func (a api) instanceInterfaces(ctx context.Context, filters ...ec2types.Filter) (map[string][]networkInterface, error) {
	found := map[string][]networkInterface{}
	err := pages(func(token *string) (*string, bool, error) {
		out, err := a.ec2.DescribeInstances(ctx, &ec2.DescribeInstancesInput{
			Filters: filters, MaxResults: aws.Int32(ec2Page), NextToken: token,
		})
		if err != nil {
			return nil, false, ec2Error("DescribeInstances", err)
		}
		for _, r := range out.Reservations {
			for _, i := range r.Instances {
				id := aws.ToString(i.InstanceId)
				for _, eni := range i.NetworkInterfaces {
					found[id] = append(found[id], instanceInterfaceRow(id, eni))
				}
			}
		}
		return out.NextToken, false, nil
	})
	return found, err
}

// networkInterfaces reads the interfaces that meet all filters.
func (a api) networkInterfaces(ctx context.Context, filters ...ec2types.Filter) ([]networkInterface, error) {
	var rows []networkInterface
	err := pages(func(token *string) (*string, bool, error) {
		out, err := a.ec2.DescribeNetworkInterfaces(ctx, &ec2.DescribeNetworkInterfacesInput{
			Filters: filters, MaxResults: aws.Int32(ec2Page), NextToken: token,
		})
		if err != nil {
			return nil, false, ec2Error("DescribeNetworkInterfaces", err)
		}
		for _, i := range out.NetworkInterfaces {
			rows = append(rows, networkInterfaceRow(i))
		}
		return out.NextToken, false, nil
	})
	return rows, err
}

// endpointGroups reads the security groups that meet all filters, as those of targets.
func (a api) endpointGroups(ctx context.Context, filters ...ec2types.Filter) ([]endpointGroup, error) {
	found, err := a.describeSecurityGroups(ctx, filters...)
	var rows []endpointGroup
	for _, g := range found {
		rows = append(rows, endpointGroupRow(g))
	}
	return rows, err
}
