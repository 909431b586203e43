package localaws_test

import (
	"encoding/base64"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	rgt "github.com/aws/aws-sdk-go-v2/service/resourcegroupstaggingapi"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/sluicehq/sluice/internal/localaws/localawstest"
)

func TestPeering(t *testing.T) {
	c := start(t)
	ctx := t.Context()
	vpc := func(cidr string) *string {
		return must[*ec2.CreateVpcOutput](t)(c.ec2.CreateVpc(ctx, &ec2.CreateVpcInput{CidrBlock: &cidr})).Vpc.VpcId
	}
	create := func(from, to *string) *types.VpcPeeringConnection {
		return must[*ec2.CreateVpcPeeringConnectionOutput](t)(c.ec2.CreateVpcPeeringConnection(ctx, &ec2.CreateVpcPeeringConnectionInput{
			VpcId: from, PeerVpcId: to, TagSpecifications: tagged(types.ResourceTypeVpcPeeringConnection, "Name", "p"),
		})).VpcPeeringConnection
	}
	a, b, overlapping := vpc("10.1.0.0/16"), vpc("10.2.0.0/16"), vpc("10.1.128.0/17")
	p := create(a, b)
	if p.Status.Code != "pending-acceptance" || *p.Tags[0].Value != "p" {
		t.Errorf("%+v", p)
	}
	active := must[*ec2.AcceptVpcPeeringConnectionOutput](t)(c.ec2.AcceptVpcPeeringConnection(ctx, &ec2.AcceptVpcPeeringConnectionInput{VpcPeeringConnectionId: p.VpcPeeringConnectionId})).VpcPeeringConnection
	if active.Status.Code != "active" {
		t.Errorf("%+v", active.Status)
	}
	if got := create(a, overlapping).Status.Code; got != "failed" {
		t.Errorf("overlapping blocks: %s", got)
	}
	find := func(filters ...string) int {
		return len(must[*ec2.DescribeVpcPeeringConnectionsOutput](t)(c.ec2.DescribeVpcPeeringConnections(ctx, &ec2.DescribeVpcPeeringConnectionsInput{Filters: filter(filters...)})).VpcPeeringConnections)
	}
	if find("status-code", "active", "requester-vpc-info.vpc-id", *a) != 1 || find("tag:Name", "p") != 2 || find("status-code", "deleted") != 0 {
		t.Error("filters")
	}
	end := func() error {
		_, err := c.ec2.DeleteVpcPeeringConnection(ctx, &ec2.DeleteVpcPeeringConnectionInput{VpcPeeringConnectionId: p.VpcPeeringConnectionId})
		return err
	}
	if err := end(); err != nil || find("status-code", "deleted") != 1 {
		t.Error(err)
	}
	wants(t, end(), "InvalidStateTransition", "deleted")
	other := must[*ec2.CreateVpcPeeringConnectionOutput](t)(c.ec2.CreateVpcPeeringConnection(ctx, &ec2.CreateVpcPeeringConnectionInput{VpcId: a, PeerVpcId: aws.String("vpc-0123456789abcdef0"), PeerOwnerId: aws.String("210987654321")})).VpcPeeringConnection
	_, err := c.ec2.AcceptVpcPeeringConnection(ctx, &ec2.AcceptVpcPeeringConnectionInput{VpcPeeringConnectionId: other.VpcPeeringConnectionId})
	wants(t, err, "OperationNotPermitted", "cannot accept")
	_, err = c.ec2.DescribeVpcPeeringConnections(ctx, &ec2.DescribeVpcPeeringConnectionsInput{VpcPeeringConnectionIds: []string{"pcx-0123456789abcdef0"}})
	wants(t, err, "InvalidVpcPeeringConnectionID.NotFound", "pcx-0123456789abcdef0")
	must[*ec2.DeleteVpcOutput](t)(c.ec2.DeleteVpc(ctx, &ec2.DeleteVpcInput{VpcId: a}))
	if got := find(); got != 0 {
		t.Errorf("%d connections of a VPC that is gone", got)
	}
}

func TestPrefixLists(t *testing.T) {
	c := start(t)
	ctx := t.Context()
	create := func(change func(*ec2.CreateManagedPrefixListInput)) (*ec2.CreateManagedPrefixListOutput, error) {
		in := &ec2.CreateManagedPrefixListInput{
			PrefixListName: aws.String("office"), AddressFamily: aws.String("IPv4"), MaxEntries: aws.Int32(2),
			Entries:           []types.AddPrefixListEntry{{Cidr: aws.String("10.9.0.1/16"), Description: aws.String("all")}},
			TagSpecifications: tagged(types.ResourceTypePrefixList, "team", "net"),
		}
		change(in)
		return c.ec2.CreateManagedPrefixList(ctx, in)
	}
	list := must[*ec2.CreateManagedPrefixListOutput](t)(create(func(*ec2.CreateManagedPrefixListInput) {})).PrefixList
	_, err := create(func(in *ec2.CreateManagedPrefixListInput) { in.AddressFamily = aws.String("IPv5") })
	wants(t, err, "InvalidParameterValue", "IPv5")
	_, err = create(func(in *ec2.CreateManagedPrefixListInput) { in.Entries[0].Cidr = aws.String("fd00::/8") })
	wants(t, err, "InvalidParameterValue", "fd00::/8")
	_, err = create(func(in *ec2.CreateManagedPrefixListInput) {
		in.Entries = append(in.Entries, in.Entries[0], in.Entries[0])
	})
	wants(t, err, "PrefixListMaxEntriesExceeded", "maximum")
	entries := must[*ec2.GetManagedPrefixListEntriesOutput](t)(c.ec2.GetManagedPrefixListEntries(ctx, &ec2.GetManagedPrefixListEntriesInput{PrefixListId: list.PrefixListId})).Entries
	if len(entries) != 1 || *entries[0].Cidr != "10.9.0.0/16" {
		t.Errorf("%+v", entries)
	}
	found := must[*ec2.DescribeManagedPrefixListsOutput](t)(c.ec2.DescribeManagedPrefixLists(ctx, &ec2.DescribeManagedPrefixListsInput{Filters: filter("prefix-list-name", "com.amazonaws.*")})).PrefixLists
	if len(found) != 3 || *found[0].OwnerId != "AWS" {
		t.Errorf("%+v", found)
	}
	if own := must[*ec2.DescribeManagedPrefixListsOutput](t)(c.ec2.DescribeManagedPrefixLists(ctx, &ec2.DescribeManagedPrefixListsInput{Filters: filter("tag:team", "net")})).PrefixLists; len(own) != 1 {
		t.Errorf("%+v", own)
	}
	if old := must[*ec2.DescribePrefixListsOutput](t)(c.ec2.DescribePrefixLists(ctx, nil)).PrefixLists; len(old) != 2 {
		t.Errorf("%+v", old)
	}
	group := c.securityGroup(t, "web")
	rule := []types.IpPermission{{IpProtocol: aws.String("tcp"), FromPort: aws.Int32(80), ToPort: aws.Int32(80), PrefixListIds: []types.PrefixListId{{PrefixListId: list.PrefixListId}}}}
	must[*ec2.AuthorizeSecurityGroupIngressOutput](t)(c.ec2.AuthorizeSecurityGroupIngress(ctx, &ec2.AuthorizeSecurityGroupIngressInput{GroupId: &group, IpPermissions: rule}))
	remove := &ec2.DeleteManagedPrefixListInput{PrefixListId: list.PrefixListId}
	_, err = c.ec2.DeleteManagedPrefixList(ctx, remove)
	wants(t, err, "PrefixListInUse", *list.PrefixListId)
	must[*ec2.RevokeSecurityGroupIngressOutput](t)(c.ec2.RevokeSecurityGroupIngress(ctx, &ec2.RevokeSecurityGroupIngressInput{GroupId: &group, IpPermissions: rule}))
	must[*ec2.DeleteManagedPrefixListOutput](t)(c.ec2.DeleteManagedPrefixList(ctx, remove))
	_, err = c.ec2.DeleteManagedPrefixList(ctx, remove)
	wants(t, err, "InvalidPrefixListID.NotFound", *list.PrefixListId)
}

func TestEC2Account(t *testing.T) {
	c := start(t)
	ctx := t.Context()
	attributes := must[*ec2.DescribeAccountAttributesOutput](t)(c.ec2.DescribeAccountAttributes(ctx, &ec2.DescribeAccountAttributesInput{AttributeNames: []types.AccountAttributeName{"default-vpc"}})).AccountAttributes
	if len(attributes) != 1 || *attributes[0].AttributeValues[0].AttributeValue != "none" {
		t.Errorf("%+v", attributes)
	}
	if regions := must[*ec2.DescribeRegionsOutput](t)(c.ec2.DescribeRegions(ctx, &ec2.DescribeRegionsInput{Filters: filter("region-name", "eu-*")})).Regions; len(regions) != 8 {
		t.Errorf("%d regions", len(regions))
	}
	_, err := c.ec2.DescribeRegions(ctx, &ec2.DescribeRegionsInput{RegionNames: []string{"mars-1"}})
	wants(t, err, "InvalidParameterValue", "mars-1")
	acls := must[*ec2.DescribeNetworkAclsOutput](t)(c.ec2.DescribeNetworkAcls(ctx, &ec2.DescribeNetworkAclsInput{Filters: filter("vpc-id", localawstest.VPC)})).NetworkAcls
	if len(acls) != 1 || len(acls[0].Associations) != 6 || len(acls[0].Entries) != 4 {
		t.Errorf("%+v", acls)
	}
	if pools := must[*ec2.DescribeIpamPoolsOutput](t)(c.ec2.DescribeIpamPools(ctx, nil)).IpamPools; len(pools) != 0 {
		t.Errorf("%+v", pools)
	}
	_, err = c.ec2.GetCoipPoolUsage(ctx, &ec2.GetCoipPoolUsageInput{PoolId: aws.String("ipv4pool-coip-1")})
	wants(t, err, "InvalidPoolID.NotFound", "ipv4pool-coip-1")
	groups := must[*ec2.GetSecurityGroupsForVpcOutput](t)(c.ec2.GetSecurityGroupsForVpc(ctx, &ec2.GetSecurityGroupsForVpcInput{VpcId: aws.String(localawstest.VPC)})).SecurityGroupForVpcs
	if !slices.ContainsFunc(groups, func(g types.SecurityGroupForVpc) bool { return *g.GroupId == localawstest.NodeGroup }) {
		t.Errorf("%+v", groups)
	}
	hostnames := func() bool {
		out := must[*ec2.DescribeVpcAttributeOutput](t)(c.ec2.DescribeVpcAttribute(ctx, &ec2.DescribeVpcAttributeInput{VpcId: aws.String(localawstest.VPC), Attribute: "enableDnsHostnames"}))
		return *out.EnableDnsHostnames.Value
	}
	modify := func(in ec2.ModifyVpcAttributeInput) error {
		in.VpcId = aws.String(localawstest.VPC)
		_, err := c.ec2.ModifyVpcAttribute(ctx, &in)
		return err
	}
	on := &types.AttributeBooleanValue{Value: aws.Bool(true)}
	if hostnames() || modify(ec2.ModifyVpcAttributeInput{EnableDnsHostnames: on}) != nil || !hostnames() {
		t.Error("enableDnsHostnames")
	}
	wants(t, modify(ec2.ModifyVpcAttributeInput{EnableDnsHostnames: on, EnableDnsSupport: on}), "InvalidParameterCombination", "2")
}

// TestTagResources tags resources of several services by their ARNs; what fails is in the answer.
func TestTagResources(t *testing.T) {
	c := start(t)
	ctx := t.Context()
	client := rgt.NewFromConfig(c.Config)
	balancer := *c.balancer(t, "web").LoadBalancerArn
	vpc := fmt.Sprintf("arn:aws:ec2:%s:%s:vpc/%s", localawstest.Region, localawstest.AccountID, localawstest.VPC)
	out := must[*rgt.TagResourcesOutput](t)(client.TagResources(ctx, &rgt.TagResourcesInput{ResourceARNList: []string{balancer, vpc, vpc + "x"}, Tags: map[string]string{"stage": "test"}}))
	if len(out.FailedResourcesMap) != 1 || out.FailedResourcesMap[vpc+"x"].ErrorMessage == nil {
		t.Errorf("%+v", out.FailedResourcesMap)
	}
	if found := must[*ec2.DescribeVpcsOutput](t)(c.ec2.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{Filters: filter("tag:stage", "test")})).Vpcs; len(found) != 1 {
		t.Error("EC2 does not see the tag")
	}
	keys := must[*rgt.GetTagKeysOutput](t)(client.GetTagKeys(ctx, nil)).TagKeys
	if !slices.Contains(keys, "stage") || !slices.IsSorted(keys) {
		t.Errorf("%v", keys)
	}
	values := must[*rgt.GetTagValuesOutput](t)(client.GetTagValues(ctx, &rgt.GetTagValuesInput{Key: aws.String("stage")})).TagValues
	if !slices.Equal(values, []string{"test"}) {
		t.Errorf("%v", values)
	}
	_, err := client.TagResources(ctx, &rgt.TagResourcesInput{ResourceARNList: []string{vpc}, Tags: map[string]string{"aws:x": ""}})
	wants(t, err, "InvalidParameterException", "aws:")
	must[*rgt.UntagResourcesOutput](t)(client.UntagResources(ctx, &rgt.UntagResourcesInput{ResourceARNList: []string{balancer, vpc}, TagKeys: []string{"stage"}}))
	if keys := must[*rgt.GetTagKeysOutput](t)(client.GetTagKeys(ctx, nil)).TagKeys; slices.Contains(keys, "stage") {
		t.Errorf("%v", keys)
	}
}

func TestAssumeRole(t *testing.T) {
	clock := localawstest.NewClock()
	c := start(t, localawstest.WithClock(clock))
	ctx := t.Context()
	client := sts.NewFromConfig(c.Config)
	role := aws.String("arn:aws:iam::210987654321:role/path/dns")
	out := must[*sts.AssumeRoleOutput](t)(client.AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: role, RoleSessionName: aws.String("AWS-LBC-lab"), DurationSeconds: aws.Int32(900)}))
	if *out.AssumedRoleUser.Arn != "arn:aws:sts::210987654321:assumed-role/dns/AWS-LBC-lab" || !out.Credentials.Expiration.Equal(clock.Now().Add(15*time.Minute)) {
		t.Errorf("%+v %+v", out.AssumedRoleUser, out.Credentials)
	}
	_, err := client.AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: aws.String("arn:aws:iam::1:role/not-there"), RoleSessionName: aws.String("xx")})
	wants(t, err, "ValidationError", "not-there")
	web := func(claims string) (*sts.AssumeRoleWithWebIdentityOutput, error) {
		token := "e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".c2ln"
		return client.AssumeRoleWithWebIdentity(ctx, &sts.AssumeRoleWithWebIdentityInput{RoleArn: role, RoleSessionName: aws.String("xx"), WebIdentityToken: &token})
	}
	who := must[*sts.AssumeRoleWithWebIdentityOutput](t)(web(`{"iss": "https://oidc.local", "sub": "system:serviceaccount:a:b", "aud": ["sts.amazonaws.com"]}`))
	if *who.SubjectFromWebIdentityToken != "system:serviceaccount:a:b" || *who.Audience != "sts.amazonaws.com" {
		t.Errorf("%+v", who)
	}
	_, err = web(`{"iss": "x", "sub": "y", "exp": 1}`)
	wants(t, err, "ExpiredTokenException", "expired")
	_, err = web(`{}`)
	wants(t, err, "InvalidIdentityToken", "claim")
	_, err = web(`nonsense`)
	wants(t, err, "InvalidIdentityToken", "JWT")
}

func TestServiceLinkedRole(t *testing.T) {
	c := start(t)
	create := func(service string) error {
		_, err := iam.NewFromConfig(c.Config).CreateServiceLinkedRole(t.Context(), &iam.CreateServiceLinkedRoleInput{AWSServiceName: &service})
		return err
	}
	wants(t, create("elasticloadbalancing.amazonaws.com"), "InvalidInput", "has been taken in this account")
	wants(t, create("nothing.amazonaws.com"), "InvalidInput", "nothing.amazonaws.com")
	if err := create("globalaccelerator.amazonaws.com"); err != nil {
		t.Error(err)
	}
	wants(t, create("globalaccelerator.amazonaws.com"), "InvalidInput", "has been taken")
}
