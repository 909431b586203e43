package localaws

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/sluicehq/sluice/internal/localaws/wire"
)

// permissions groups rules the way EC2 shows them: one entry for each protocol and ports, with all its sources.
func permissions(rules []types.SecurityGroupRule) []types.IpPermission {
	out := []types.IpPermission{}
	at := map[string]int{}
	for _, r := range rules {
		key := fmt.Sprint(*r.IpProtocol, val(r.FromPort), val(r.ToPort))
		if _, ok := at[key]; !ok {
			p := types.IpPermission{
				IpProtocol: r.IpProtocol, IpRanges: []types.IpRange{}, Ipv6Ranges: []types.Ipv6Range{},
				PrefixListIds: []types.PrefixListId{}, UserIdGroupPairs: []types.UserIdGroupPair{},
			}
			if *r.IpProtocol != "-1" {
				p.FromPort, p.ToPort = r.FromPort, r.ToPort
			}
			at[key] = len(out)
			out = append(out, p)
		}
		p := &out[at[key]]
		switch {
		case r.CidrIpv4 != nil:
			p.IpRanges = append(p.IpRanges, types.IpRange{CidrIp: r.CidrIpv4, Description: r.Description})
		case r.CidrIpv6 != nil:
			p.Ipv6Ranges = append(p.Ipv6Ranges, types.Ipv6Range{CidrIpv6: r.CidrIpv6, Description: r.Description})
		case r.PrefixListId != nil:
			p.PrefixListIds = append(p.PrefixListIds, types.PrefixListId{PrefixListId: r.PrefixListId, Description: r.Description})
		case r.ReferencedGroupInfo != nil:
			p.UserIdGroupPairs = append(p.UserIdGroupPairs, types.UserIdGroupPair{
				GroupId: r.ReferencedGroupInfo.GroupId, UserId: r.ReferencedGroupInfo.UserId, Description: r.Description,
			})
		}
	}
	return out
}

// sameRule tells rules that AWS takes for the same; the description is not part of a rule's identity.
func sameRule(a, b types.SecurityGroupRule) bool { return ruleIdentity(a) == ruleIdentity(b) }

func ruleIdentity(r types.SecurityGroupRule) string {
	group := ""
	if r.ReferencedGroupInfo != nil {
		group = val(r.ReferencedGroupInfo.GroupId)
	}
	return fmt.Sprintf("%t %s %d %d %s %s %s %s", val(r.IsEgress), *r.IpProtocol, val(r.FromPort), val(r.ToPort),
		val(r.CidrIpv4), val(r.CidrIpv6), val(r.PrefixListId), group)
}

// withID makes a rule one of a group's.
func (x *tx) withID(g securityGroup, r types.SecurityGroupRule) types.SecurityGroupRule {
	id := x.newID("sgr")
	r.SecurityGroupRuleId, r.SecurityGroupRuleArn = &id, ptr(x.ec2ARN("security-group-rule", id))
	r.GroupId, r.GroupOwnerId = ptr(g.ID), &x.options.AccountID
	return r
}

// flatten turns permissions into rules with one source each, checked and in their normal form.
func (x *tx) flatten(g securityGroup, egress bool, list []types.IpPermission) ([]types.SecurityGroupRule, error) {
	var out []types.SecurityGroupRule
	for _, p := range list {
		base, err := portRange(p)
		if err != nil {
			return nil, err
		}
		base.IsEgress = &egress
		sources := len(p.IpRanges) + len(p.Ipv6Ranges) + len(p.UserIdGroupPairs) + len(p.PrefixListIds)
		if sources == 0 {
			return nil, wire.Errorf("InvalidParameterValue", "Missing source specification: include source security group "+
				"or CIDR information")
		}
		add := func(description *string, set func(*types.SecurityGroupRule)) error {
			if d := val(description); len(d) > 255 || !groupText.MatchString(d) {
				return wire.Errorf("InvalidParameterValue", "Invalid rule description. Valid descriptions are strings less "+
					"than 256 characters from the following set: a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*")
			}
			r := base
			r.Description = description
			set(&r)
			out = append(out, r)
			return nil
		}
		if err := x.addSources(g, p, add); err != nil {
			return nil, err
		}
	}
	if len(out) == 0 {
		return nil, wire.Errorf("MissingParameter", "The request must contain the parameter ipPermissions")
	}
	return out, nil
}

func (x *tx) addSources(g securityGroup, p types.IpPermission, add func(*string, func(*types.SecurityGroupRule)) error) error {
	for _, s := range p.IpRanges {
		cidr, err := ruleBlock(val(s.CidrIp), true)
		if err == nil {
			err = add(s.Description, func(r *types.SecurityGroupRule) { r.CidrIpv4 = &cidr })
		}
		if err != nil {
			return err
		}
	}
	for _, s := range p.Ipv6Ranges {
		cidr, err := ruleBlock(val(s.CidrIpv6), false)
		if err == nil {
			err = add(s.Description, func(r *types.SecurityGroupRule) { r.CidrIpv6 = &cidr })
		}
		if err != nil {
			return err
		}
	}
	for _, s := range p.UserIdGroupPairs {
		other, err := lookup(x.state.securityGroups, groupID, s.GroupId)
		if err != nil {
			return err
		}
		if other.VPC != g.VPC {
			return wire.Errorf("InvalidGroup.NotFound",
				"You have specified two resources that belong to different networks.")
		}
		info := &types.ReferencedSecurityGroup{GroupId: s.GroupId, UserId: &x.options.AccountID}
		if err := add(s.Description, func(r *types.SecurityGroupRule) { r.ReferencedGroupInfo = info }); err != nil {
			return err
		}
	}
	for _, s := range p.PrefixListIds {
		if err := add(s.Description, func(r *types.SecurityGroupRule) { r.PrefixListId = s.PrefixListId }); err != nil {
			return err
		}
	}
	return nil
}

func ruleBlock(text string, v4 bool) (string, error) {
	p, err := netip.ParsePrefix(text)
	if err != nil || p.Addr().Is4() != v4 {
		return "", wire.Errorf("InvalidParameterValue", "CIDR block %s is malformed", text)
	}
	return p.Masked().String(), nil
}

// portRange reads the protocol and the ports of a permission.
func portRange(p types.IpPermission) (types.SecurityGroupRule, error) {
	protocol := val(p.IpProtocol)
	switch protocol {
	case "6":
		protocol = "tcp"
	case "17":
		protocol = "udp"
	case "1":
		protocol = "icmp"
	case "58":
		protocol = "icmpv6"
	case "all":
		protocol = "-1"
	}
	r := types.SecurityGroupRule{IpProtocol: &protocol, FromPort: ptr(int32(-1)), ToPort: ptr(int32(-1))}
	switch protocol {
	case "tcp", "udp":
		if p.FromPort == nil || p.ToPort == nil {
			return r, wire.Errorf("InvalidParameterValue", "Invalid value 'Must specify both from and to ports with TCP/UDP.' "+
				"for portRange.")
		}
		if *p.FromPort < 0 || *p.ToPort > 65535 || *p.FromPort > *p.ToPort {
			return r, wire.Errorf("InvalidParameterValue", "Invalid value '%d-%d' for portRange. Must be between 0 and 65535, "+
				"and the first not above the last.", *p.FromPort, *p.ToPort)
		}
		r.FromPort, r.ToPort = p.FromPort, p.ToPort
	case "icmp", "icmpv6":
		if p.FromPort != nil {
			r.FromPort = p.FromPort
		}
		if p.ToPort != nil {
			r.ToPort = p.ToPort
		}
	case "-1":
	default:
		if n, err := strconv.Atoi(protocol); err != nil || n < 0 || n > 255 {
			return r, wire.Errorf("InvalidParameterValue", "Invalid value '%s' for IP protocol. Unknown protocol.", protocol)
		}
	}
	return r, nil
}

// permissionParameters is the older way to ask for one rule: its parts at the top of the request.
func permissionParameters(list []types.IpPermission, protocol, cidr *string, from, to *int32) []types.IpPermission {
	if len(list) > 0 || protocol == nil {
		return list
	}
	p := types.IpPermission{IpProtocol: protocol, FromPort: from, ToPort: to}
	if cidr != nil {
		p.IpRanges = []types.IpRange{{CidrIp: cidr}}
	}
	return []types.IpPermission{p}
}

// authorize adds rules, all or none.
func (x *tx) authorize(id *string, egress bool, list []types.IpPermission, specs []types.TagSpecification) ([]types.SecurityGroupRule, error) {
	g, err := lookup(x.state.securityGroups, groupID, id)
	if err != nil {
		return nil, err
	}
	rules, err := x.flatten(g, egress, list)
	if err != nil {
		return nil, err
	}
	tags, err := x.specifiedTags(specs, types.ResourceTypeSecurityGroupRule)
	if err != nil {
		return nil, err
	}
	g.Rules = slices.Clone(g.Rules)
	added := len(g.Rules)
	for _, r := range rules {
		if slices.ContainsFunc(g.Rules, func(have types.SecurityGroupRule) bool { return sameRule(have, r) }) {
			return nil, wire.Errorf("InvalidPermission.Duplicate", "the specified rule \"%s\" already exists", describeRule(r))
		}
		g.Rules = append(g.Rules, x.withID(g, r))
	}
	if len(g.direction(egress)) > x.quota["sluice/rules-per-security-group"] {
		return nil, wire.Errorf("RulesPerSecurityGroupLimitExceeded",
			"The maximum number of rules per security group has been reached.")
	}
	x.state.securityGroups.put(x, g.ID, g)
	out := slices.Clone(g.Rules[added:])
	for i := range out {
		if len(tags) > 0 {
			x.setTags(*out[i].SecurityGroupRuleId, *out[i].SecurityGroupRuleArn, tags)
		}
		out[i].Tags = ec2Tags(tags)
	}
	return out, nil
}

func describeRule(r types.SecurityGroupRule) string {
	peer := firstOf(val(r.CidrIpv4), val(r.CidrIpv6), val(r.PrefixListId))
	if r.ReferencedGroupInfo != nil {
		peer = *r.ReferencedGroupInfo.GroupId
	}
	if *r.IpProtocol == "-1" {
		return "peer: " + peer + ", ALL, ALLOW"
	}
	return fmt.Sprintf("peer: %s, %s, from port: %d, to port: %d, ALLOW", peer, *r.IpProtocol, *r.FromPort, *r.ToPort)
}

// revoke removes rules, all or none.
func (x *tx) revoke(id *string, egress bool, list []types.IpPermission, ruleIDs []string) ([]types.RevokedSecurityGroupRule, error) {
	g, err := lookup(x.state.securityGroups, groupID, id)
	if err != nil {
		return nil, err
	}
	gone := map[string]bool{}
	for _, ruleID := range ruleIDs {
		if err := groupRuleID.check(ruleID); err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(g.direction(egress), func(r types.SecurityGroupRule) bool { return *r.SecurityGroupRuleId == ruleID }) {
			return nil, groupRuleID.notFound(ruleID)
		}
		gone[ruleID] = true
	}
	if len(ruleIDs) == 0 {
		rules, err := x.flatten(g, egress, list)
		if err != nil {
			return nil, err
		}
		for _, r := range rules {
			at := slices.IndexFunc(g.Rules, func(have types.SecurityGroupRule) bool { return sameRule(have, r) })
			if at < 0 {
				return nil, wire.Errorf("InvalidPermission.NotFound", "The specified rule does not exist in this security group.")
			}
			gone[*g.Rules[at].SecurityGroupRuleId] = true
		}
	}
	var out []types.RevokedSecurityGroupRule
	g.Rules = slices.DeleteFunc(slices.Clone(g.Rules), func(r types.SecurityGroupRule) bool {
		if !gone[*r.SecurityGroupRuleId] {
			return false
		}
		revoked := types.RevokedSecurityGroupRule{
			SecurityGroupRuleId: r.SecurityGroupRuleId, GroupId: r.GroupId, IpProtocol: r.IpProtocol, IsEgress: r.IsEgress,
			FromPort: r.FromPort, ToPort: r.ToPort, CidrIpv4: r.CidrIpv4, CidrIpv6: r.CidrIpv6, PrefixListId: r.PrefixListId,
			Description: r.Description,
		}
		if r.ReferencedGroupInfo != nil {
			revoked.ReferencedGroupId = r.ReferencedGroupInfo.GroupId
		}
		out = append(out, revoked)
		x.state.tags.delete(x, *r.SecurityGroupRuleId)
		return true
	})
	x.state.securityGroups.put(x, g.ID, g)
	return out, nil
}

func (x *tx) authorizeSecurityGroupIngress(in *ec2.AuthorizeSecurityGroupIngressInput) (*ec2.AuthorizeSecurityGroupIngressOutput, error) {
	list := permissionParameters(in.IpPermissions, in.IpProtocol, in.CidrIp, in.FromPort, in.ToPort)
	rules, err := x.authorize(in.GroupId, false, list, in.TagSpecifications)
	return &ec2.AuthorizeSecurityGroupIngressOutput{Return: ptr(true), SecurityGroupRules: rules}, err
}

func (x *tx) authorizeSecurityGroupEgress(in *ec2.AuthorizeSecurityGroupEgressInput) (*ec2.AuthorizeSecurityGroupEgressOutput, error) {
	list := permissionParameters(in.IpPermissions, in.IpProtocol, in.CidrIp, in.FromPort, in.ToPort)
	rules, err := x.authorize(in.GroupId, true, list, in.TagSpecifications)
	return &ec2.AuthorizeSecurityGroupEgressOutput{Return: ptr(true), SecurityGroupRules: rules}, err
}

func (x *tx) revokeSecurityGroupIngress(in *ec2.RevokeSecurityGroupIngressInput) (*ec2.RevokeSecurityGroupIngressOutput, error) {
	list := permissionParameters(in.IpPermissions, in.IpProtocol, in.CidrIp, in.FromPort, in.ToPort)
	rules, err := x.revoke(in.GroupId, false, list, in.SecurityGroupRuleIds)
	return &ec2.RevokeSecurityGroupIngressOutput{Return: ptr(true), RevokedSecurityGroupRules: rules}, err
}

func (x *tx) revokeSecurityGroupEgress(in *ec2.RevokeSecurityGroupEgressInput) (*ec2.RevokeSecurityGroupEgressOutput, error) {
	list := permissionParameters(in.IpPermissions, in.IpProtocol, in.CidrIp, in.FromPort, in.ToPort)
	rules, err := x.revoke(in.GroupId, true, list, in.SecurityGroupRuleIds)
	return &ec2.RevokeSecurityGroupEgressOutput{Return: ptr(true), RevokedSecurityGroupRules: rules}, err
}

var groupRuleFilters = filters[types.SecurityGroupRule]{
	"group-id":               one(func(r types.SecurityGroupRule) *string { return r.GroupId }),
	"security-group-rule-id": one(func(r types.SecurityGroupRule) *string { return r.SecurityGroupRuleId }),
}

func (x *tx) describeSecurityGroupRules(in *ec2.DescribeSecurityGroupRulesInput) (*ec2.DescribeSecurityGroupRulesOutput, error) {
	if err := checkFilters(in.Filters, groupRuleFilters); err != nil {
		return nil, err
	}
	var all []item[types.SecurityGroupRule]
	missing := map[string]bool{}
	for _, id := range in.SecurityGroupRuleIds {
		if err := groupRuleID.check(id); err != nil {
			return nil, err
		}
		missing[id] = true
	}
	for _, g := range x.state.securityGroups.items(nil) {
		for at, r := range g.value.Rules {
			id := *r.SecurityGroupRuleId
			if len(in.SecurityGroupRuleIds) > 0 && !missing[id] {
				continue
			}
			delete(missing, id)
			tags := x.tagsOf(id)
			r.Tags = ec2Tags(tags)
			if matches(in.Filters, groupRuleFilters, tags, r) {
				all = append(all, item[types.SecurityGroupRule]{key: g.key<<16 | uint64(at), id: id, value: r})
			}
		}
	}
	for id := range missing {
		return nil, groupRuleID.notFound(id)
	}
	found, next, err := pageEC2(all, in.MaxResults, in.NextToken)
	if err != nil {
		return nil, err
	}
	out := &ec2.DescribeSecurityGroupRulesOutput{SecurityGroupRules: []types.SecurityGroupRule{}, NextToken: next}
	for _, i := range found {
		out.SecurityGroupRules = append(out.SecurityGroupRules, i.value)
	}
	return out, nil
}
