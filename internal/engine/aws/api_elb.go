package aws

import (
	"context"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/sluicehq/sluice/internal/lb"
)

// elbPage is the largest page of ELBv2's Describe calls.
const elbPage = 400

// pages calls read with one marker after the other until there is no next one, or until it says that it has enough.
func pages(read func(marker *string) (next *string, enough bool, err error)) error {
	for marker := (*string)(nil); ; {
		next, enough, err := read(marker)
		if err != nil || enough || aws.ToString(next) == "" {
			return err
		}
		marker = next
	}
}

// loadBalancers reads load balancers page by page; each is called with those of a page and whether it is the last,
// and says when it has enough.
func (a api) loadBalancers(ctx context.Context, each func(page []elbtypes.LoadBalancer, last bool) (enough bool)) error {
	return pages(func(marker *string) (*string, bool, error) {
		out, err := a.elb.DescribeLoadBalancers(ctx, &elb.DescribeLoadBalancersInput{PageSize: aws.Int32(elbPage), Marker: marker})
		if err != nil {
			return nil, false, elbError("DescribeLoadBalancers", err)
		}
		return out.NextMarker, each(out.LoadBalancers, deref(out.NextMarker) == ""), nil
	})
}

func (a api) loadBalancersByARN(ctx context.Context, arns []string) ([]elbtypes.LoadBalancer, error) {
	out, err := a.elb.DescribeLoadBalancers(ctx, &elb.DescribeLoadBalancersInput{LoadBalancerArns: arns})
	if err != nil {
		return nil, elbError("DescribeLoadBalancers", err)
	}
	return out.LoadBalancers, nil
}

// loadBalancerNamed finds a load balancer by name; nil when there is none.
func (a api) loadBalancerNamed(ctx context.Context, name string) (*elbtypes.LoadBalancer, error) {
	out, err := a.elb.DescribeLoadBalancers(ctx, &elb.DescribeLoadBalancersInput{Names: []string{name}})
	if isNotFound(err) || err == nil && len(out.LoadBalancers) == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, elbError("DescribeLoadBalancers", err)
	}
	return &out.LoadBalancers[0], nil
}

func (a api) targetGroups(ctx context.Context, each func(page []elbtypes.TargetGroup, last bool) (enough bool)) error {
	return pages(func(marker *string) (*string, bool, error) {
		out, err := a.elb.DescribeTargetGroups(ctx, &elb.DescribeTargetGroupsInput{PageSize: aws.Int32(elbPage), Marker: marker})
		if err != nil {
			return nil, false, elbError("DescribeTargetGroups", err)
		}
		return out.NextMarker, each(out.TargetGroups, deref(out.NextMarker) == ""), nil
	})
}

func (a api) targetGroupsByARN(ctx context.Context, arns []string) ([]elbtypes.TargetGroup, error) {
	out, err := a.elb.DescribeTargetGroups(ctx, &elb.DescribeTargetGroupsInput{TargetGroupArns: arns})
	if err != nil {
		return nil, elbError("DescribeTargetGroups", err)
	}
	return out.TargetGroups, nil
}

func (a api) targetGroupNamed(ctx context.Context, name string) (*elbtypes.TargetGroup, error) {
	out, err := a.elb.DescribeTargetGroups(ctx, &elb.DescribeTargetGroupsInput{Names: []string{name}})
	if isNotFound(err) || err == nil && len(out.TargetGroups) == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, elbError("DescribeTargetGroups", err)
	}
	return &out.TargetGroups[0], nil
}

// listeners reads listeners by ARN or, when balancer is set, all of a load balancer.
func (a api) listeners(ctx context.Context, balancer string, arns []string) ([]elbtypes.Listener, error) {
	var all []elbtypes.Listener
	err := pages(func(marker *string) (*string, bool, error) {
		out, err := a.elb.DescribeListeners(ctx, &elb.DescribeListenersInput{
			LoadBalancerArn: text(balancer), ListenerArns: arns, Marker: marker,
		})
		if err != nil {
			return nil, false, elbError("DescribeListeners", err)
		}
		all = append(all, out.Listeners...)
		return out.NextMarker, false, nil
	})
	return all, err
}

// rules reads rules by ARN or, when listener is set, all of a listener, its default rule included.
func (a api) rules(ctx context.Context, listener string, arns []string) ([]elbtypes.Rule, error) {
	var all []elbtypes.Rule
	err := pages(func(marker *string) (*string, bool, error) {
		out, err := a.elb.DescribeRules(ctx, &elb.DescribeRulesInput{
			ListenerArn: text(listener), RuleArns: arns, Marker: marker,
		})
		if err != nil {
			return nil, false, elbError("DescribeRules", err)
		}
		all = append(all, out.Rules...)
		return out.NextMarker, false, nil
	})
	return all, err
}

// tagsOf reads tags by ARN, in batches; what is gone is left out.
func (a api) tagsOf(ctx context.Context, arns []string) (map[string]tags, error) {
	descriptions, err := inBatches(ctx, arns, func(ctx context.Context, some []string) ([]elbtypes.TagDescription, error) {
		out, err := a.elb.DescribeTags(ctx, &elb.DescribeTagsInput{ResourceArns: some})
		if err != nil {
			return nil, elbError("DescribeTags", err)
		}
		return out.TagDescriptions, nil
	})
	all := map[string]tags{}
	for _, d := range descriptions {
		all[aws.ToString(d.ResourceArn)] = elbTags(d.Tags)
	}
	return all, err
}

// setTags makes the tags of one ELBv2 resource change, with as many calls as there are kinds of change.
func (a api) setTags(ctx context.Context, arn string, set []lb.Tag, gone []string) error {
	if len(set) > 0 {
		_, err := a.elb.AddTags(ctx, &elb.AddTagsInput{ResourceArns: []string{arn}, Tags: sdkELBTags(set)})
		if err != nil {
			return elbError("AddTags", err)
		}
	}
	if len(gone) > 0 {
		_, err := a.elb.RemoveTags(ctx, &elb.RemoveTagsInput{ResourceArns: []string{arn}, TagKeys: gone})
		if err != nil {
			return elbError("RemoveTags", err)
		}
	}
	return nil
}

func (a api) createLoadBalancer(ctx context.Context, b LoadBalancer, groups []string, t tags) (loadBalancer, error) {
	in := &elb.CreateLoadBalancerInput{
		Name: aws.String(b.Name), Type: elbtypes.LoadBalancerTypeEnum(b.Type),
		Scheme: elbtypes.LoadBalancerSchemeEnum(b.Scheme), IpAddressType: elbtypes.IpAddressType(b.IPAddressType),
		Subnets: b.Subnets, SecurityGroups: groups, Tags: sdkELBTags(t.sorted()),
		EnablePrefixForIpv6SourceNat: elbtypes.EnablePrefixForIpv6SourceNatEnum(b.SourceNAT),
	}
	if b.Mappings != nil {
		in.Subnets, in.SubnetMappings = nil, sdkMappings(b.Mappings)
	}
	out, err := a.elb.CreateLoadBalancer(ctx, in)
	if err != nil {
		return loadBalancer{}, elbError("CreateLoadBalancer", err)
	}
	return loadBalancerRow(out.LoadBalancers[0], t), nil
}

func (a api) setSecurityGroups(ctx context.Context, arn string, groups []string, link lb.Switch) error {
	_, err := a.elb.SetSecurityGroups(ctx, &elb.SetSecurityGroupsInput{
		LoadBalancerArn: aws.String(arn), SecurityGroups: groups,
		EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic: elbtypes.EnforceSecurityGroupInboundRulesOnPrivateLinkTrafficEnum(link),
	})
	return elbError("SetSecurityGroups", err)
}

// setSubnets changes the subnets, and with them source NAT. Where addresses of IPv6 are given to a load balancer that had
// none, its address type is part of the same call.
func (a api) setSubnets(ctx context.Context, arn string, b LoadBalancer, t lb.IPAddressType) ([]mapping, error) {
	in := &elb.SetSubnetsInput{
		LoadBalancerArn: aws.String(arn), Subnets: b.Subnets,
		EnablePrefixForIpv6SourceNat: elbtypes.EnablePrefixForIpv6SourceNatEnum(b.SourceNAT),
		IpAddressType:                elbtypes.IpAddressType(t),
	}
	if b.Mappings != nil {
		in.Subnets, in.SubnetMappings = nil, sdkMappings(b.Mappings)
	}
	out, err := a.elb.SetSubnets(ctx, in)
	if err != nil {
		return nil, elbError("SetSubnets", err)
	}
	return zoneMappings(out.AvailabilityZones), nil
}

func (a api) setIPAddressType(ctx context.Context, arn string, t lb.IPAddressType) error {
	_, err := a.elb.SetIpAddressType(ctx, &elb.SetIpAddressTypeInput{
		LoadBalancerArn: aws.String(arn), IpAddressType: elbtypes.IpAddressType(t),
	})
	return elbError("SetIpAddressType", err)
}

func (a api) deleteLoadBalancer(ctx context.Context, arn string) error {
	_, err := a.elb.DeleteLoadBalancer(ctx, &elb.DeleteLoadBalancerInput{LoadBalancerArn: aws.String(arn)})
	return elbError("DeleteLoadBalancer", err)
}

func (a api) createTargetGroup(ctx context.Context, g TargetGroup, vpc string, t tags) (targetGroup, error) {
	h := g.HealthCheck
	out, err := a.elb.CreateTargetGroup(ctx, &elb.CreateTargetGroupInput{
		Name: aws.String(g.Name), TargetType: elbtypes.TargetTypeEnum(g.TargetType),
		Protocol: elbtypes.ProtocolEnum(g.Protocol), ProtocolVersion: text(string(g.ProtocolVersion)),
		Port: aws.Int32(int32(g.Port)), VpcId: aws.String(vpc),
		IpAddressType:      elbtypes.TargetGroupIpAddressTypeEnum(g.IPAddressType),
		HealthCheckEnabled: aws.Bool(true), HealthCheckProtocol: elbtypes.ProtocolEnum(h.Protocol),
		HealthCheckPort: aws.String(h.Port.String()), HealthCheckPath: text(h.Path),
		HealthCheckIntervalSeconds: aws.Int32(int32(h.Interval.Seconds())),
		HealthCheckTimeoutSeconds:  aws.Int32(int32(h.Timeout.Seconds())),
		HealthyThresholdCount:      aws.Int32(int32(h.HealthyThreshold)),
		UnhealthyThresholdCount:    aws.Int32(int32(h.UnhealthyThreshold)),
		Matcher:                    matcher(g), Tags: sdkELBTags(t.sorted()),
	})
	if err != nil {
		return targetGroup{}, elbError("CreateTargetGroup", err)
	}
	return targetGroupRow(out.TargetGroups[0], t), nil
}

func (a api) modifyTargetGroup(ctx context.Context, arn string, g TargetGroup) (elbtypes.TargetGroup, error) {
	h := g.HealthCheck
	out, err := a.elb.ModifyTargetGroup(ctx, &elb.ModifyTargetGroupInput{
		TargetGroupArn: aws.String(arn), HealthCheckEnabled: aws.Bool(true),
		HealthCheckProtocol: elbtypes.ProtocolEnum(h.Protocol), HealthCheckPort: aws.String(h.Port.String()),
		HealthCheckPath:            text(h.Path),
		HealthCheckIntervalSeconds: aws.Int32(int32(h.Interval.Seconds())),
		HealthCheckTimeoutSeconds:  aws.Int32(int32(h.Timeout.Seconds())),
		HealthyThresholdCount:      aws.Int32(int32(h.HealthyThreshold)),
		UnhealthyThresholdCount:    aws.Int32(int32(h.UnhealthyThreshold)),
		Matcher:                    matcher(g),
	})
	if err != nil {
		return elbtypes.TargetGroup{}, elbError("ModifyTargetGroup", err)
	}
	return out.TargetGroups[0], nil
}

func (a api) deleteTargetGroup(ctx context.Context, arn string) error {
	_, err := a.elb.DeleteTargetGroup(ctx, &elb.DeleteTargetGroupInput{TargetGroupArn: aws.String(arn)})
	return elbError("DeleteTargetGroup", err)
}

func (a api) createListener(ctx context.Context, balancer string, l Listener, actions []elbtypes.Action, t tags) (listener, error) {
	certificates, policy, alpn := l.sdk()
	out, err := a.elb.CreateListener(ctx, &elb.CreateListenerInput{
		LoadBalancerArn: aws.String(balancer), Port: aws.Int32(int32(l.Port)),
		Protocol: elbtypes.ProtocolEnum(l.Protocol), Certificates: certificates, SslPolicy: policy, AlpnPolicy: alpn,
		DefaultActions: actions, Tags: sdkELBTags(t.sorted()),
	})
	if err != nil {
		return listener{}, elbError("CreateListener", err)
	}
	return listenerRow(out.Listeners[0], t), nil
}

func (a api) modifyListener(ctx context.Context, arn string, l Listener, actions []elbtypes.Action) (elbtypes.Listener, error) {
	certificates, policy, alpn := l.sdk()
	out, err := a.elb.ModifyListener(ctx, &elb.ModifyListenerInput{
		ListenerArn: aws.String(arn), Port: aws.Int32(int32(l.Port)),
		Protocol: elbtypes.ProtocolEnum(l.Protocol), Certificates: certificates, SslPolicy: policy, AlpnPolicy: alpn,
		DefaultActions: actions,
	})
	if err != nil {
		return elbtypes.Listener{}, elbError("ModifyListener", err)
	}
	return out.Listeners[0], nil
}

func (a api) deleteListener(ctx context.Context, arn string) error {
	_, err := a.elb.DeleteListener(ctx, &elb.DeleteListenerInput{ListenerArn: aws.String(arn)})
	return elbError("DeleteListener", err)
}

func (a api) createRule(ctx context.Context, listener string, r Rule, actions []elbtypes.Action, t tags) (rule, error) {
	out, err := a.elb.CreateRule(ctx, &elb.CreateRuleInput{
		ListenerArn: aws.String(listener), Priority: aws.Int32(int32(r.Priority)),
		Conditions: sdkConditions(r.Conditions), Transforms: sdkTransforms(r.Transforms), Actions: actions, Tags: sdkELBTags(t.sorted()),
	})
	if err != nil {
		return rule{}, elbError("CreateRule", err)
	}
	row, _ := ruleRow(out.Rules[0], t)
	return row, nil
}

// modifyRule sends all that a rule says. Transforms that are not wanted any more must be reset.
func (a api) modifyRule(ctx context.Context, have, want Rule, actions []elbtypes.Action) (elbtypes.Rule, error) {
	in := &elb.ModifyRuleInput{RuleArn: aws.String(have.arn), Conditions: sdkConditions(want.Conditions), Actions: actions}
	if in.Transforms = sdkTransforms(want.Transforms); len(want.Transforms) == 0 && len(have.Transforms) > 0 {
		in.ResetTransforms = aws.Bool(true)
	}
	out, err := a.elb.ModifyRule(ctx, in)
	if err != nil {
		return elbtypes.Rule{}, elbError("ModifyRule", err)
	}
	return out.Rules[0], nil
}

func (a api) setRulePriorities(ctx context.Context, moves []ruleMove) error {
	in := &elb.SetRulePrioritiesInput{}
	for _, m := range moves {
		in.RulePriorities = append(in.RulePriorities, elbtypes.RulePriorityPair{
			RuleArn: aws.String(m.arn), Priority: aws.Int32(int32(m.priority)),
		})
	}
	_, err := a.elb.SetRulePriorities(ctx, in)
	return elbError("SetRulePriorities", err)
}

func (a api) deleteRule(ctx context.Context, arn string) error {
	_, err := a.elb.DeleteRule(ctx, &elb.DeleteRuleInput{RuleArn: aws.String(arn)})
	return elbError("DeleteRule", err)
}

// registered reads the targets of a group that take requests or will: draining ones are left out.
func (a api) registered(ctx context.Context, group string) ([]lb.Target, error) {
	out, err := a.elb.DescribeTargetHealth(ctx, &elb.DescribeTargetHealthInput{TargetGroupArn: aws.String(group)})
	if err != nil {
		return nil, elbError("DescribeTargetHealth", err)
	}
	var targets []lb.Target
	for _, d := range out.TargetHealthDescriptions {
		if d.TargetHealth != nil && d.TargetHealth.State == elbtypes.TargetHealthStateEnumDraining {
			continue
		}
		targets = append(targets, lb.Target{ID: aws.ToString(d.Target.Id), Port: aws.ToInt32(d.Target.Port)})
	}
	return targets, nil
}

// targetHealth adds to all how these targets are.
func (a api) targetHealth(ctx context.Context, group string, targets []lb.Target, all map[lb.Target]lb.TargetHealth) error {
	out, err := a.elb.DescribeTargetHealth(ctx, &elb.DescribeTargetHealthInput{TargetGroupArn: aws.String(group), Targets: sdkTargets(targets, func(lb.Target) string { return "" })})
	if err != nil {
		return elbError("DescribeTargetHealth", err)
	}
	for _, d := range out.TargetHealthDescriptions {
		if d.Target == nil || d.TargetHealth == nil {
			continue
		}
		all[lb.Target{ID: aws.ToString(d.Target.Id), Port: aws.ToInt32(d.Target.Port)}] = lb.TargetHealth{
			State: string(d.TargetHealth.State), Reason: string(d.TargetHealth.Reason), Description: aws.ToString(d.TargetHealth.Description),
		}
	}
	return nil
}

func (a api) registerTargets(ctx context.Context, group string, targets []elbtypes.TargetDescription) error {
	_, err := a.elb.RegisterTargets(ctx, &elb.RegisterTargetsInput{TargetGroupArn: aws.String(group), Targets: targets})
	return elbError("RegisterTargets", err)
}

func (a api) deregisterTargets(ctx context.Context, group string, targets []elbtypes.TargetDescription) error {
	_, err := a.elb.DeregisterTargets(ctx, &elb.DeregisterTargetsInput{TargetGroupArn: aws.String(group), Targets: targets})
	return elbError("DeregisterTargets", err)
}

// sdkTargets are targets with the zone that each must be named with, if any.
func sdkTargets(targets []lb.Target, zone func(lb.Target) string) []elbtypes.TargetDescription {
	var out []elbtypes.TargetDescription
	for _, t := range targets {
		out = append(out, elbtypes.TargetDescription{Id: aws.String(t.ID), Port: aws.Int32(t.Port), AvailabilityZone: text(zone(t))})
	}
	return out
}

// String is "i-0123:30080" or "10.0.0.1:8080".
func targetText(t lb.Target) string { return t.ID + ":" + strconv.Itoa(int(t.Port)) }
