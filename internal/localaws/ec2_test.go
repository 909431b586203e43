package localaws_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"

	"github.com/sluicehq/sluice/internal/localaws/localawstest"
)

// filter makes filters of one value each from pairs.
func filter(pairs ...string) []types.Filter {
	var out []types.Filter
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, types.Filter{Name: &pairs[i], Values: pairs[i+1 : i+2]})
	}
	return out
}

func tagged(kind types.ResourceType, key, value string) []types.TagSpecification {
	return []types.TagSpecification{{ResourceType: kind, Tags: []types.Tag{{Key: &key, Value: &value}}}}
}

func (c *clients) securityGroup(t testing.TB, name string) string {
	t.Helper()
	return *must[*ec2.CreateSecurityGroupOutput](t)(c.ec2.CreateSecurityGroup(t.Context(), &ec2.CreateSecurityGroupInput{
		GroupName: &name, Description: aws.String("for a test"), VpcId: aws.String(localawstest.VPC),
		TagSpecifications: tagged(types.ResourceTypeSecurityGroup, "Name", name),
	})).GroupId
}

func tcp(port int32, cidr, description string) types.IpPermission {
	return types.IpPermission{IpProtocol: aws.String("tcp"), FromPort: &port, ToPort: &port, IpRanges: []types.IpRange{{CidrIp: &cidr, Description: &description}}}
}

func TestSecurityGroups(t *testing.T) {
	c := start(t)
	ctx := t.Context()
	web, nodes := c.securityGroup(t, "web"), localawstest.NodeGroup
	authorize := func(group string, p ...types.IpPermission) error {
		_, err := c.ec2.AuthorizeSecurityGroupIngress(ctx, &ec2.AuthorizeSecurityGroupIngressInput{GroupId: &group, IpPermissions: p})
		return err
	}
	revoke := func(group string, p ...types.IpPermission) error {
		_, err := c.ec2.RevokeSecurityGroupIngress(ctx, &ec2.RevokeSecurityGroupIngressInput{GroupId: &group, IpPermissions: p})
		return err
	}
	from := func(group string) types.IpPermission {
		return types.IpPermission{IpProtocol: aws.String("-1"), UserIdGroupPairs: []types.UserIdGroupPair{{GroupId: &group, Description: aws.String("elbv2.k8s.aws/targetGroupBinding=shared")}}}
	}
	if err := authorize(web, tcp(80, "0.0.0.0/0", "a (b) c"), tcp(80, "10.0.0.0/8", "")); err != nil {
		t.Fatal(err)
	}
	wants(t, authorize(web, tcp(81, "0.0.0.0/0", ""), tcp(80, "0.0.0.0/0", "other words")), "InvalidPermission.Duplicate", "already exists")
	wants(t, authorize(web, tcp(70000, "0.0.0.0/0", "")), "InvalidParameterValue", "70000")
	wants(t, authorize(web, tcp(80, "0.0.0.0", "")), "InvalidParameterValue", "malformed")
	wants(t, authorize(web, tcp(80, "1.0.0.0/8", "é")), "InvalidParameterValue", "description")
	wants(t, authorize(web, from("sg-0123456789abcdef0")), "InvalidGroup.NotFound", "sg-0123456789abcdef0")
	wants(t, authorize("sg-0123456789abcdef0", tcp(80, "0.0.0.0/0", "")), "InvalidGroup.NotFound", "")
	wants(t, authorize("sg-x", tcp(80, "0.0.0.0/0", "")), "InvalidGroupId.Malformed", "")
	wants(t, revoke(web, tcp(82, "0.0.0.0/0", "")), "InvalidPermission.NotFound", "")
	if err := authorize(nodes, from(web)); err != nil {
		t.Fatal(err)
	}
	out := must[*ec2.DescribeSecurityGroupsOutput](t)(c.ec2.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{Filters: filter("tag:Name", "w?b", "vpc-id", localawstest.VPC)}))
	if len(out.SecurityGroups) != 1 {
		t.Fatalf("%d groups", len(out.SecurityGroups))
	}
	g := out.SecurityGroups[0]
	if len(g.IpPermissions) != 1 || len(g.IpPermissions[0].IpRanges) != 2 || *g.IpPermissions[0].IpRanges[0].Description != "a (b) c" {
		t.Errorf("%+v", g.IpPermissions)
	}
	if len(g.IpPermissionsEgress) != 1 || *g.IpPermissionsEgress[0].IpProtocol != "-1" || g.IpPermissionsEgress[0].FromPort != nil {
		t.Errorf("egress: %+v", g.IpPermissionsEgress)
	}
	drop := func(id string) error {
		_, err := c.ec2.DeleteSecurityGroup(ctx, &ec2.DeleteSecurityGroupInput{GroupId: &id})
		return err
	}
	wants(t, drop(web), "DependencyViolation", web) // the nodes' rule
	if err := revoke(nodes, from(web)); err != nil {
		t.Fatal(err)
	}
	if err := drop(web); err != nil {
		t.Fatal(err)
	}
	wants(t, drop(web), "InvalidGroup.NotFound", web)
	_, err := c.ec2.CreateSecurityGroup(ctx, &ec2.CreateSecurityGroupInput{GroupName: aws.String("eksctl-lab-nodes"), Description: aws.String("d"), VpcId: aws.String(localawstest.VPC)})
	wants(t, err, "InvalidGroup.Duplicate", "")
	byDefault := must[*ec2.DescribeSecurityGroupsOutput](t)(c.ec2.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{Filters: filter("group-name", "default")}))
	wants(t, drop(*byDefault.SecurityGroups[0].GroupId), "CannotDelete", "default")
	if err := c.SetQuota("sluice/rules-per-security-group", 1); err != nil {
		t.Fatal(err)
	}
	wants(t, authorize(nodes, tcp(1, "0.0.0.0/0", ""), tcp(2, "0.0.0.0/0", "")), "RulesPerSecurityGroupLimitExceeded", "")
}

func TestSecurityGroupRules(t *testing.T) {
	c := start(t)
	ctx := t.Context()
	web := c.securityGroup(t, "web")
	added := must[*ec2.AuthorizeSecurityGroupIngressOutput](t)(c.ec2.AuthorizeSecurityGroupIngress(ctx, &ec2.AuthorizeSecurityGroupIngressInput{
		GroupId: &web, IpPermissions: []types.IpPermission{tcp(80, "0.0.0.0/0", "x")}, TagSpecifications: tagged(types.ResourceTypeSecurityGroupRule, "k", "v"),
	})).SecurityGroupRules
	rules := must[*ec2.DescribeSecurityGroupRulesOutput](t)(c.ec2.DescribeSecurityGroupRules(ctx, &ec2.DescribeSecurityGroupRulesInput{Filters: filter("group-id", web)}))
	if len(rules.SecurityGroupRules) != 2 || len(added) != 1 || *added[0].Tags[0].Value != "v" {
		t.Errorf("%+v", rules.SecurityGroupRules)
	}
	// Terraform takes away the rule that lets everything out.
	must[*ec2.RevokeSecurityGroupEgressOutput](t)(c.ec2.RevokeSecurityGroupEgress(ctx, &ec2.RevokeSecurityGroupEgressInput{
		GroupId: &web, IpPermissions: []types.IpPermission{{IpProtocol: aws.String("-1"), IpRanges: []types.IpRange{{CidrIp: aws.String("0.0.0.0/0")}}}},
	}))
	must[*ec2.RevokeSecurityGroupIngressOutput](t)(c.ec2.RevokeSecurityGroupIngress(ctx, &ec2.RevokeSecurityGroupIngressInput{GroupId: &web, SecurityGroupRuleIds: []string{*added[0].SecurityGroupRuleId}}))
	_, err := c.ec2.DescribeSecurityGroupRules(ctx, &ec2.DescribeSecurityGroupRulesInput{SecurityGroupRuleIds: []string{*added[0].SecurityGroupRuleId}})
	wants(t, err, "InvalidSecurityGroupRuleId.NotFound", "")
}

// TestNetwork makes a public network from nothing, as Terraform does, and takes it away again.
func TestNetwork(t *testing.T) {
	c := start(t)
	ctx := t.Context()
	vpc := *must[*ec2.CreateVpcOutput](t)(c.ec2.CreateVpc(ctx, &ec2.CreateVpcInput{CidrBlock: aws.String("10.0.0.0/16"), TagSpecifications: tagged(types.ResourceTypeVpc, "Name", "new")})).Vpc.VpcId
	create := func(cidr, zone string) (string, error) {
		out, err := c.ec2.CreateSubnet(ctx, &ec2.CreateSubnetInput{VpcId: &vpc, CidrBlock: &cidr, AvailabilityZone: &zone})
		if err != nil {
			return "", err
		}
		return *out.Subnet.SubnetId, nil
	}
	subnet := must[string](t)(create("10.0.1.0/24", localawstest.Zones[0]))
	_, err := create("10.0.1.128/25", localawstest.Zones[0])
	wants(t, err, "InvalidSubnet.Conflict", "10.0.1.128/25")
	_, err = create("10.1.0.0/24", localawstest.Zones[0])
	wants(t, err, "InvalidSubnet.Range", "")
	_, err = create("10.0.2.0/24", "us-east-1a")
	wants(t, err, "InvalidParameterValue", "us-east-1a")
	igw := must[*ec2.CreateInternetGatewayOutput](t)(c.ec2.CreateInternetGateway(ctx, nil)).InternetGateway.InternetGatewayId
	must[*ec2.AttachInternetGatewayOutput](t)(c.ec2.AttachInternetGateway(ctx, &ec2.AttachInternetGatewayInput{InternetGatewayId: igw, VpcId: &vpc}))
	_, err = c.ec2.AttachInternetGateway(ctx, &ec2.AttachInternetGatewayInput{InternetGatewayId: igw, VpcId: &vpc})
	wants(t, err, "Resource.AlreadyAssociated", "")
	table := must[*ec2.CreateRouteTableOutput](t)(c.ec2.CreateRouteTable(ctx, &ec2.CreateRouteTableInput{VpcId: &vpc})).RouteTable.RouteTableId
	must[*ec2.CreateRouteOutput](t)(c.ec2.CreateRoute(ctx, &ec2.CreateRouteInput{RouteTableId: table, DestinationCidrBlock: aws.String("0.0.0.0/0"), GatewayId: igw}))
	association := must[*ec2.AssociateRouteTableOutput](t)(c.ec2.AssociateRouteTable(ctx, &ec2.AssociateRouteTableInput{RouteTableId: table, SubnetId: &subnet})).AssociationId
	tables := must[*ec2.DescribeRouteTablesOutput](t)(c.ec2.DescribeRouteTables(ctx, &ec2.DescribeRouteTablesInput{Filters: filter("vpc-id", vpc, "association.subnet-id", subnet)}))
	if len(tables.RouteTables) != 1 || len(tables.RouteTables[0].Routes) != 2 || *tables.RouteTables[0].Routes[1].GatewayId != *igw {
		t.Errorf("%+v", tables.RouteTables)
	}
	run := must[*ec2.RunInstancesOutput](t)(c.ec2.RunInstances(ctx, &ec2.RunInstancesInput{MinCount: aws.Int32(2), MaxCount: aws.Int32(2), SubnetId: &subnet, ClientToken: aws.String("once"), TagSpecifications: tagged(types.ResourceTypeInstance, "Name", "n")}))
	again := must[*ec2.RunInstancesOutput](t)(c.ec2.RunInstances(ctx, &ec2.RunInstancesInput{MinCount: aws.Int32(2), MaxCount: aws.Int32(2), SubnetId: &subnet, ClientToken: aws.String("once")}))
	if *run.ReservationId != *again.ReservationId || len(run.Instances) != 2 || *run.Instances[0].PrivateIpAddress != "10.0.1.4" {
		t.Errorf("%+v", run.Instances)
	}
	left := func() int32 {
		return *must[*ec2.DescribeSubnetsOutput](t)(c.ec2.DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{SubnetIds: []string{subnet}})).Subnets[0].AvailableIpAddressCount
	}
	if left() != 249 {
		t.Errorf("%d addresses are left", left())
	}
	_, err = c.ec2.DeleteSubnet(ctx, &ec2.DeleteSubnetInput{SubnetId: &subnet})
	wants(t, err, "DependencyViolation", subnet)
	must[*ec2.TerminateInstancesOutput](t)(c.ec2.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{*run.Instances[0].InstanceId, *run.Instances[1].InstanceId}}))
	_, err = c.ec2.DeleteVpc(ctx, &ec2.DeleteVpcInput{VpcId: &vpc})
	wants(t, err, "DependencyViolation", vpc)
	must[*ec2.DisassociateRouteTableOutput](t)(c.ec2.DisassociateRouteTable(ctx, &ec2.DisassociateRouteTableInput{AssociationId: association}))
	must[*ec2.DeleteRouteTableOutput](t)(c.ec2.DeleteRouteTable(ctx, &ec2.DeleteRouteTableInput{RouteTableId: table}))
	must[*ec2.DeleteSubnetOutput](t)(c.ec2.DeleteSubnet(ctx, &ec2.DeleteSubnetInput{SubnetId: &subnet}))
	must[*ec2.DetachInternetGatewayOutput](t)(c.ec2.DetachInternetGateway(ctx, &ec2.DetachInternetGatewayInput{InternetGatewayId: igw, VpcId: &vpc}))
	must[*ec2.DeleteInternetGatewayOutput](t)(c.ec2.DeleteInternetGateway(ctx, &ec2.DeleteInternetGatewayInput{InternetGatewayId: igw}))
	must[*ec2.DeleteVpcOutput](t)(c.ec2.DeleteVpc(ctx, &ec2.DeleteVpcInput{VpcId: &vpc}))
	_, err = c.ec2.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{VpcIds: []string{vpc}})
	wants(t, err, "InvalidVpcID.NotFound", vpc)
}

func TestEC2Lookups(t *testing.T) {
	c := start(t)
	ctx := t.Context()
	var got []string
	pages := ec2.NewDescribeSubnetsPaginator(c.ec2, &ec2.DescribeSubnetsInput{MaxResults: aws.Int32(5)})
	for pages.HasMorePages() {
		for _, s := range must[*ec2.DescribeSubnetsOutput](t)(pages.NextPage(ctx)).Subnets {
			got = append(got, *s.SubnetId)
		}
	}
	slices.Sort(got)
	if diff := cmp.Diff(slices.Sorted(slices.Values(append(localawstest.PublicSubnets[:], localawstest.PrivateSubnets[:]...))), got); diff != "" {
		t.Error(diff)
	}
	_, err := c.ec2.DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{MaxResults: aws.Int32(5), SubnetIds: got[:1]})
	wants(t, err, "InvalidParameterCombination", "MaxResults")
	_, err = c.ec2.DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{Filters: filter("colour", "red")})
	wants(t, err, "InvalidParameterValue", "colour")
	_, err = c.ec2.DescribeInstances(ctx, &ec2.DescribeInstancesInput{InstanceIds: []string{"i-nonsense"}})
	wants(t, err, "InvalidInstanceID.Malformed", "")
	_, err = c.ec2.DescribeInstances(ctx, &ec2.DescribeInstancesInput{InstanceIds: []string{"i-0123456789abcdef0"}})
	wants(t, err, "InvalidInstanceID.NotFound", "")
	out := must[*ec2.DescribeInstancesOutput](t)(c.ec2.DescribeInstances(ctx, &ec2.DescribeInstancesInput{InstanceIds: localawstest.Instances[:1]}))
	i := out.Reservations[0].Instances[0]
	if *i.PrivateIpAddress != localawstest.Addresses[0] || *i.NetworkInterfaces[0].Ipv4Prefixes[0].Ipv4Prefix != "192.168.97.0/24" || *i.Placement.AvailabilityZone != localawstest.Zones[0] {
		t.Errorf("%+v", i)
	}
	eni := must[*ec2.DescribeNetworkInterfacesOutput](t)(c.ec2.DescribeNetworkInterfaces(ctx, &ec2.DescribeNetworkInterfacesInput{
		Filters: filter("addresses.private-ip-address", localawstest.Addresses[0], "vpc-id", localawstest.VPC),
	}))
	if len(eni.NetworkInterfaces) != 1 || *eni.NetworkInterfaces[0].Attachment.InstanceId != localawstest.Instances[0] {
		t.Errorf("%+v", eni.NetworkInterfaces)
	}
	zones := must[*ec2.DescribeAvailabilityZonesOutput](t)(c.ec2.DescribeAvailabilityZones(ctx, &ec2.DescribeAvailabilityZonesInput{ZoneNames: localawstest.Zones[1:2]}))
	if len(zones.AvailabilityZones) != 1 || *zones.AvailabilityZones[0].ZoneId != "apne1-az3" {
		t.Errorf("%+v", zones.AvailabilityZones)
	}
	_, err = c.ec2.CreateVpc(ctx, &ec2.CreateVpcInput{CidrBlock: aws.String("10.0.0.0/16"), DryRun: aws.Bool(true)})
	wants(t, err, "DryRunOperation", "would have succeeded")
	vpcs := must[*ec2.DescribeVpcsOutput](t)(c.ec2.DescribeVpcs(ctx, nil))
	if len(vpcs.Vpcs) != 1 {
		t.Errorf("a dry run made a VPC: %d", len(vpcs.Vpcs))
	}
}

func TestEC2Tags(t *testing.T) {
	c := start(t)
	ctx := t.Context()
	id := localawstest.PublicSubnets[0]
	must[*ec2.CreateTagsOutput](t)(c.ec2.CreateTags(ctx, &ec2.CreateTagsInput{Resources: []string{id}, Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("1")}, {Key: aws.String("b"), Value: aws.String("2")}, {Key: aws.String("c"), Value: aws.String("3")}}}))
	must[*ec2.DeleteTagsOutput](t)(c.ec2.DeleteTags(ctx, &ec2.DeleteTagsInput{Resources: []string{id}, Tags: []types.Tag{{Key: aws.String("a")}, {Key: aws.String("b"), Value: aws.String("")}, {Key: aws.String("c"), Value: aws.String("3")}}}))
	out := must[*ec2.DescribeTagsOutput](t)(c.ec2.DescribeTags(ctx, &ec2.DescribeTagsInput{Filters: append(filter("resource-id", id, "resource-type", "subnet"), types.Filter{Name: aws.String("key"), Values: []string{"a", "b", "c"}})}))
	var got []string
	for _, tag := range out.Tags {
		got = append(got, fmt.Sprintf("%s=%s", *tag.Key, *tag.Value))
	}
	if diff := cmp.Diff([]string{"b=2"}, got); diff != "" {
		t.Error(diff)
	}
	_, err := c.ec2.CreateTags(ctx, &ec2.CreateTagsInput{Resources: []string{"subnet-0123456789abcdef0"}, Tags: []types.Tag{{Key: aws.String("a")}}})
	wants(t, err, "InvalidSubnetID.NotFound", "")
	_, err = c.ec2.CreateTags(ctx, &ec2.CreateTagsInput{Resources: []string{"nothing"}, Tags: []types.Tag{{Key: aws.String("a")}}})
	wants(t, err, "InvalidID", "nothing")
}
