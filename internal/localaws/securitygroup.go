package localaws

import (
	"regexp"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/sluicehq/sluice/internal/localaws/wire"
)

// securityGroup keeps its rules one by one, each with one source, as AWS counts them.
type securityGroup struct {
	ID, VPC, Name, Description string
	Rules                      []types.SecurityGroupRule
}

// defaultGroup is the name of the group that every VPC has and nobody deletes.
const defaultGroup = "default"

var securityGroupFilters = filters[securityGroup]{
	"group-id":    func(g securityGroup) []string { return []string{g.ID} },
	"group-name":  func(g securityGroup) []string { return []string{g.Name} },
	"vpc-id":      func(g securityGroup) []string { return []string{g.VPC} },
	"description": func(g securityGroup) []string { return []string{g.Description} },
	"owner-id": func(g securityGroup) []string {
		if len(g.Rules) == 0 {
			return nil
		}
		return []string{*g.Rules[0].GroupOwnerId}
	},
	"ip-permission.cidr": func(g securityGroup) []string {
		return each(g.direction(false), func(r types.SecurityGroupRule) *string { return r.CidrIpv4 })
	},
	"ip-permission.protocol": func(g securityGroup) []string {
		return each(g.direction(false), func(r types.SecurityGroupRule) *string { return r.IpProtocol })
	},
	"ip-permission.group-id": func(g securityGroup) []string {
		return each(g.direction(false), func(r types.SecurityGroupRule) *string {
			if r.ReferencedGroupInfo == nil {
				return nil
			}
			return r.ReferencedGroupInfo.GroupId
		})
	},
}

func (g securityGroup) direction(egress bool) []types.SecurityGroupRule {
	var out []types.SecurityGroupRule
	for _, r := range g.Rules {
		if val(r.IsEgress) == egress {
			out = append(out, r)
		}
	}
	return out
}

// refersTo tells whether a rule of the group has another group as its source.
func (g securityGroup) refersTo(id string) bool {
	return slices.ContainsFunc(g.Rules, func(r types.SecurityGroupRule) bool {
		return r.ReferencedGroupInfo != nil && val(r.ReferencedGroupInfo.GroupId) == id
	})
}

func (x *tx) securityGroupWire(g securityGroup) types.SecurityGroup {
	return types.SecurityGroup{
		GroupId: &g.ID, GroupName: &g.Name, Description: &g.Description, VpcId: &g.VPC, OwnerId: &x.options.AccountID,
		SecurityGroupArn: ptr(x.ec2ARN("security-group", g.ID)), Tags: ec2Tags(x.tagsOf(g.ID)),
		IpPermissions: permissions(g.direction(false)), IpPermissionsEgress: permissions(g.direction(true)),
	}
}

var groupText = regexp.MustCompile(`^[a-zA-Z0-9 ._\-:/()#,@\[\]+=&;{}!$*]*$`)

func (x *tx) createSecurityGroup(in *ec2.CreateSecurityGroupInput) (*ec2.CreateSecurityGroupOutput, error) {
	name, description := val(in.GroupName), val(in.Description)
	switch {
	case in.VpcId == nil:
		return nil, wire.Errorf("VPCIdNotSpecified", "No default VPC for this user")
	case name == "" || len(name) > 255 || !groupText.MatchString(name) || len(name) > 3 && name[:3] == "sg-":
		return nil, wire.Errorf("InvalidParameterValue", "Value (%s) for parameter groupName is invalid. Character sets "+
			"beyond ASCII are not supported, and a name may not start with sg-.", name)
	case description == "" || len(description) > 255 || !groupText.MatchString(description):
		return nil, wire.Errorf("InvalidParameterValue", "Value (%s) for parameter GroupDescription is invalid.", description)
	}
	if _, err := lookup(x.state.vpcs, vpcID, in.VpcId); err != nil {
		return nil, err
	}
	if name == defaultGroup || x.state.securityGroups.exists(func(g securityGroup) bool { return g.VPC == *in.VpcId && g.Name == name }) {
		return nil, wire.Errorf("InvalidGroup.Duplicate", "The security group '%s' already exists for VPC '%s'", name, *in.VpcId)
	}
	if x.state.securityGroups.len() >= x.quota["sluice/security-groups"] {
		return nil, wire.Errorf("SecurityGroupLimitExceeded", "The maximum number of security groups has been reached.")
	}
	tags, err := x.specifiedTags(in.TagSpecifications, types.ResourceTypeSecurityGroup)
	if err != nil {
		return nil, err
	}
	g := x.newSecurityGroup(x.newID("sg"), *in.VpcId, name, description, tags)
	return &ec2.CreateSecurityGroupOutput{
		GroupId: &g.ID, SecurityGroupArn: ptr(x.ec2ARN("security-group", g.ID)), Tags: ec2Tags(tags),
	}, nil
}

// newSecurityGroup makes a group that lets everything out and, if it is the default one, its own members in.
func (x *tx) newSecurityGroup(id, vpc, name, description string, tags map[string]string) securityGroup {
	g := securityGroup{ID: id, VPC: vpc, Name: name, Description: description}
	g.Rules = []types.SecurityGroupRule{x.withID(g, types.SecurityGroupRule{
		IpProtocol: ptr("-1"), CidrIpv4: ptr("0.0.0.0/0"), IsEgress: ptr(true), FromPort: ptr(int32(-1)), ToPort: ptr(int32(-1)),
	})}
	if name == defaultGroup {
		g.Rules = append(g.Rules, x.withID(g, types.SecurityGroupRule{
			IpProtocol: ptr("-1"), IsEgress: ptr(false), FromPort: ptr(int32(-1)), ToPort: ptr(int32(-1)),
			ReferencedGroupInfo: &types.ReferencedSecurityGroup{GroupId: &id, UserId: &x.options.AccountID},
		}))
	}
	x.state.securityGroups.put(x, id, g)
	x.setTags(id, x.ec2ARN("security-group", id), tags)
	return g
}

func (x *tx) deleteSecurityGroup(in *ec2.DeleteSecurityGroupInput) (*ec2.DeleteSecurityGroupOutput, error) {
	if in.GroupId == nil {
		return nil, wire.Errorf("MissingParameter", "The request must contain the parameter GroupId")
	}
	g, err := lookup(x.state.securityGroups, groupID, in.GroupId)
	if err != nil {
		return nil, err
	}
	if g.Name == defaultGroup {
		return nil, wire.Errorf("CannotDelete", "the specified group: \"%s\" name: \"default\" cannot be deleted by a user", g.ID)
	}
	used := x.state.interfaces.exists(func(i networkInterface) bool { return i.inGroup(g.ID) }) ||
		x.state.securityGroups.exists(func(o securityGroup) bool { return o.ID != g.ID && o.refersTo(g.ID) })
	if used {
		return nil, wire.Errorf("DependencyViolation", "resource %s has a dependent object", g.ID)
	}
	for _, r := range g.Rules {
		x.state.tags.delete(x, *r.SecurityGroupRuleId)
	}
	x.state.securityGroups.delete(x, g.ID)
	x.state.tags.delete(x, g.ID)
	return &ec2.DeleteSecurityGroupOutput{GroupId: &g.ID, Return: ptr(true)}, nil
}

func (x *tx) describeSecurityGroups(in *ec2.DescribeSecurityGroupsInput) (*ec2.DescribeSecurityGroupsOutput, error) {
	asked := in.Filters
	if len(in.GroupNames) > 0 {
		asked = append(slices.Clone(asked), types.Filter{Name: ptr("group-name"), Values: in.GroupNames})
	}
	found, next, err := describe(x, x.state.securityGroups,
		query[securityGroup]{in.GroupIds, groupID, asked, securityGroupFilters, in.MaxResults, in.NextToken})
	if err != nil {
		return nil, err
	}
	if len(in.GroupNames) > 0 && len(found) == 0 {
		return nil, wire.Errorf("InvalidGroup.NotFound", "The security group '%s' does not exist", in.GroupNames[0])
	}
	out := &ec2.DescribeSecurityGroupsOutput{SecurityGroups: []types.SecurityGroup{}, NextToken: next}
	for _, i := range found {
		out.SecurityGroups = append(out.SecurityGroups, x.securityGroupWire(i.value))
	}
	return out, nil
}
