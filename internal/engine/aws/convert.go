package aws

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/sluicehq/sluice/internal/lb"
)

// Between the SDK's structures and rows. Rows made from a creating answer and from a describing one are equal.

func loadBalancerRow(b elbtypes.LoadBalancer, t tags) loadBalancer {
	row := loadBalancer{
		ARN: aws.ToString(b.LoadBalancerArn), Name: aws.ToString(b.LoadBalancerName),
		DNSName: aws.ToString(b.DNSName), ZoneID: aws.ToString(b.CanonicalHostedZoneId), VPC: aws.ToString(b.VpcId),
		Type: lb.Type(b.Type), Scheme: lb.Scheme(b.Scheme), IPAddressType: lb.IPAddressType(b.IpAddressType),
		SecurityGroups: slices.Sorted(slices.Values(b.SecurityGroups)), Tags: t,
	}
	if b.State != nil {
		row.State = string(b.State.Code)
	}
	row.Subnets = zoneSubnets(b.AvailabilityZones)
	row.Mappings = zoneMappings(b.AvailabilityZones)
	row.SourceNAT = lb.Switch(b.EnablePrefixForIpv6SourceNat)
	row.PrivateLink = lb.Switch(aws.ToString(b.EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic))
	return row
}

func zoneSubnets(zones []elbtypes.AvailabilityZone) []string {
	var ids []string
	for _, z := range zones {
		ids = append(ids, aws.ToString(z.SubnetId))
	}
	slices.Sort(ids)
	return ids
}

func listenerRow(l elbtypes.Listener, t tags) listener {
	return listener{
		ARN: aws.ToString(l.ListenerArn), LoadBalancer: aws.ToString(l.LoadBalancerArn),
		Port: uint16(aws.ToInt32(l.Port)), Protocol: lb.Protocol(l.Protocol), handshake: handshakeRow(l),
		Default: actionRow(l.DefaultActions), Tags: t,
	}
}

// ruleRow makes a row of a rule; ok is false for a listener's default rule, which belongs to the listener.
func ruleRow(r elbtypes.Rule, t tags) (row rule, ok bool) {
	priority, err := strconv.Atoi(aws.ToString(r.Priority))
	if err != nil {
		return rule{}, false
	}
	row = rule{
		ARN: aws.ToString(r.RuleArn), Listener: listenerOf(aws.ToString(r.RuleArn)), Priority: priority,
		Action: actionRow(r.Actions), Tags: t,
	}
	for _, c := range r.Conditions {
		row.Conditions = append(row.Conditions, conditionRow(c))
	}
	row.Conditions = sortedConditions(row.Conditions)
	row.Transforms = transformRows(r.Transforms)
	return row, true
}

// listenerOf derives a listener's ARN from that of one of its rules.
func listenerOf(ruleARN string) string {
	head, _, _ := cutLast(ruleARN, "/")
	return strings.Replace(head, ":listener-rule/", ":listener/", 1)
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

func actionRow(list []elbtypes.Action) action {
	if tokens, rest, ok := tokensRow(list); ok {
		then := actionRow(rest)
		if then.Other == "" {
			then.Tokens = tokens
			return then
		}
	}
	if len(list) != 1 {
		return action{Other: jsonText(list)}
	}
	a := list[0]
	switch {
	case a.Type == elbtypes.ActionTypeEnumForward && a.ForwardConfig != nil:
		var groups []weighted
		for _, g := range a.ForwardConfig.TargetGroups {
			groups = append(groups, weighted{aws.ToString(g.TargetGroupArn), int(aws.ToInt32(g.Weight))})
		}
		forward := forwardTo(groups)
		if s := a.ForwardConfig.TargetGroupStickinessConfig; s != nil && aws.ToBool(s.Enabled) {
			forward.Sticky = time.Duration(aws.ToInt32(s.DurationSeconds)) * time.Second
			forward.BySource = aws.ToInt32(s.DurationSeconds) == 0
		}
		return forward
	case a.Type == elbtypes.ActionTypeEnumForward:
		return forwardTo([]weighted{{aws.ToString(a.TargetGroupArn), 1}})
	case a.Type == elbtypes.ActionTypeEnumFixedResponse && a.FixedResponseConfig != nil:
		status, _ := strconv.Atoi(aws.ToString(a.FixedResponseConfig.StatusCode))
		return respondWith(lb.FixedResponse{
			StatusCode: status, ContentType: aws.ToString(a.FixedResponseConfig.ContentType),
			Body: aws.ToString(a.FixedResponseConfig.MessageBody),
		})
	case a.Type == elbtypes.ActionTypeEnumRedirect && a.RedirectConfig != nil:
		r := a.RedirectConfig
		status, _ := strconv.Atoi(strings.TrimPrefix(string(r.StatusCode), "HTTP_"))
		return redirectTo(lb.Redirect{
			Protocol: aws.ToString(r.Protocol), Host: aws.ToString(r.Host), Port: aws.ToString(r.Port),
			Path: aws.ToString(r.Path), Query: aws.ToString(r.Query), StatusCode: status,
		})
	default:
		return action{Other: jsonText(list)}
	}
}

// sdkActions is the reverse; target groups must be ARNs.
func sdkActions(a action) []elbtypes.Action {
	if tokens := a.Tokens; tokens != nil {
		a.Tokens = nil
		then := sdkActions(a)
		then[0].Order = aws.Int32(2)
		return append([]elbtypes.Action{sdkTokens(*tokens)}, then...)
	}
	switch {
	case a.Forward != nil:
		config := &elbtypes.ForwardActionConfig{}
		for _, g := range a.Forward {
			config.TargetGroups = append(config.TargetGroups, elbtypes.TargetGroupTuple{
				TargetGroupArn: aws.String(g.Group), Weight: aws.Int32(int32(g.Weight)),
			})
		}
		if a.BySource {
			config.TargetGroupStickinessConfig = &elbtypes.TargetGroupStickinessConfig{Enabled: aws.Bool(true)}
		}
		if a.Sticky > 0 {
			config.TargetGroupStickinessConfig = &elbtypes.TargetGroupStickinessConfig{
				Enabled: aws.Bool(true), DurationSeconds: aws.Int32(int32(a.Sticky.Seconds())),
			}
		}
		return []elbtypes.Action{{Type: elbtypes.ActionTypeEnumForward, ForwardConfig: config}}
	case a.Redirect != lb.Redirect{}:
		return []elbtypes.Action{{Type: elbtypes.ActionTypeEnumRedirect, RedirectConfig: &elbtypes.RedirectActionConfig{
			Protocol: text(a.Redirect.Protocol), Host: text(a.Redirect.Host), Port: text(a.Redirect.Port),
			Path: text(a.Redirect.Path), Query: text(a.Redirect.Query),
			StatusCode: elbtypes.RedirectActionStatusCodeEnum("HTTP_" + strconv.Itoa(a.Redirect.StatusCode)),
		}}}
	default:
		return []elbtypes.Action{{Type: elbtypes.ActionTypeEnumFixedResponse, FixedResponseConfig: &elbtypes.FixedResponseActionConfig{
			StatusCode: aws.String(strconv.Itoa(a.Fixed.StatusCode)), ContentType: text(a.Fixed.ContentType),
			MessageBody: text(a.Fixed.Body),
		}}}
	}
}

func conditionRow(c elbtypes.RuleCondition) lb.Condition {
	out := lb.Condition{Field: lb.ConditionField(aws.ToString(c.Field))}
	switch {
	case out.Field == lb.HostHeader && c.HostHeaderConfig != nil:
		out.Values, out.Regexes = c.HostHeaderConfig.Values, c.HostHeaderConfig.RegexValues
	case out.Field == lb.PathPattern && c.PathPatternConfig != nil:
		out.Values, out.Regexes = c.PathPatternConfig.Values, c.PathPatternConfig.RegexValues
	case out.Field == lb.HTTPHeader && c.HttpHeaderConfig != nil:
		out.Name = aws.ToString(c.HttpHeaderConfig.HttpHeaderName)
		out.Values, out.Regexes = c.HttpHeaderConfig.Values, c.HttpHeaderConfig.RegexValues
	case out.Field == lb.RequestMethod && c.HttpRequestMethodConfig != nil:
		out.Values = c.HttpRequestMethodConfig.Values
	case out.Field == lb.SourceIP && c.SourceIpConfig != nil:
		out.Values = c.SourceIpConfig.Values
	case out.Field == lb.QueryString && c.QueryStringConfig != nil:
		for _, pair := range c.QueryStringConfig.Values {
			out.Pairs = append(out.Pairs, lb.QueryPair{Key: aws.ToString(pair.Key), Value: aws.ToString(pair.Value)})
		}
	case out.Field == lb.HostHeader || out.Field == lb.PathPattern:
		out.Values, out.Regexes = c.Values, c.RegexValues
	}
	if len(out.Values)+len(out.Pairs)+len(out.Regexes) == 0 {
		// What the model cannot say: it equals no wanted condition.
		return lb.Condition{Field: out.Field, Values: []string{jsonText(c)}}
	}
	return out
}

func sdkConditions(list []lb.Condition) []elbtypes.RuleCondition {
	var out []elbtypes.RuleCondition
	for _, c := range list {
		condition := elbtypes.RuleCondition{Field: aws.String(string(c.Field))}
		switch c.Field {
		case lb.HostHeader:
			condition.HostHeaderConfig = &elbtypes.HostHeaderConditionConfig{Values: c.Values, RegexValues: c.Regexes}
		case lb.PathPattern:
			condition.PathPatternConfig = &elbtypes.PathPatternConditionConfig{Values: c.Values, RegexValues: c.Regexes}
		case lb.HTTPHeader:
			condition.HttpHeaderConfig = &elbtypes.HttpHeaderConditionConfig{HttpHeaderName: aws.String(c.Name), Values: c.Values, RegexValues: c.Regexes}
		case lb.RequestMethod:
			condition.HttpRequestMethodConfig = &elbtypes.HttpRequestMethodConditionConfig{Values: c.Values}
		case lb.SourceIP:
			condition.SourceIpConfig = &elbtypes.SourceIpConditionConfig{Values: c.Values}
		case lb.QueryString:
			condition.QueryStringConfig = &elbtypes.QueryStringConditionConfig{}
			for _, pair := range c.Pairs {
				condition.QueryStringConfig.Values = append(condition.QueryStringConfig.Values,
					elbtypes.QueryStringKeyValuePair{Key: text(pair.Key), Value: aws.String(pair.Value)})
			}
		}
		out = append(out, condition)
	}
	return out
}

// transformRows are sorted by type. What the model cannot say equals nothing that is wanted.
func transformRows(list []elbtypes.RuleTransform) []lb.Transform {
	var out []lb.Transform
	for _, t := range list {
		row := lb.Transform{Type: lb.TransformType(t.Type)}
		var rewrites []elbtypes.RewriteConfig
		switch {
		case row.Type == lb.HostHeaderRewrite && t.HostHeaderRewriteConfig != nil:
			rewrites = t.HostHeaderRewriteConfig.Rewrites
		case row.Type == lb.URLRewrite && t.UrlRewriteConfig != nil:
			rewrites = t.UrlRewriteConfig.Rewrites
		}
		if len(rewrites) == 1 {
			row.Regex, row.Replace = aws.ToString(rewrites[0].Regex), aws.ToString(rewrites[0].Replace)
		} else {
			row.Regex = jsonText(t)
		}
		out = append(out, row)
	}
	slices.SortFunc(out, func(a, b lb.Transform) int { return strings.Compare(string(a.Type), string(b.Type)) })
	return out
}

func sdkTransforms(list []lb.Transform) []elbtypes.RuleTransform {
	var out []elbtypes.RuleTransform
	for _, t := range list {
		rewrites := []elbtypes.RewriteConfig{{Regex: aws.String(t.Regex), Replace: aws.String(t.Replace)}}
		one := elbtypes.RuleTransform{Type: elbtypes.TransformTypeEnum(t.Type)}
		if t.Type == lb.HostHeaderRewrite {
			one.HostHeaderRewriteConfig = &elbtypes.HostHeaderRewriteConfig{Rewrites: rewrites}
		} else {
			one.UrlRewriteConfig = &elbtypes.UrlRewriteConfig{Rewrites: rewrites}
		}
		out = append(out, one)
	}
	return out
}

func targetGroupRow(g elbtypes.TargetGroup, t tags) targetGroup {
	row := targetGroup{
		ARN: aws.ToString(g.TargetGroupArn), Name: aws.ToString(g.TargetGroupName), VPC: aws.ToString(g.VpcId),
		TargetType: lb.TargetType(g.TargetType), Protocol: lb.Protocol(g.Protocol),
		ProtocolVersion: lb.ProtocolVersion(aws.ToString(g.ProtocolVersion)),
		Port:            uint16(aws.ToInt32(g.Port)), IPAddressType: lb.IPAddressType(g.IpAddressType),
		HealthCheck: lb.HealthCheck{
			Protocol: lb.Protocol(g.HealthCheckProtocol), Path: aws.ToString(g.HealthCheckPath),
			Interval:           time.Duration(aws.ToInt32(g.HealthCheckIntervalSeconds)) * time.Second,
			Timeout:            time.Duration(aws.ToInt32(g.HealthCheckTimeoutSeconds)) * time.Second,
			HealthyThreshold:   int(aws.ToInt32(g.HealthyThresholdCount)),
			UnhealthyThreshold: int(aws.ToInt32(g.UnhealthyThresholdCount)),
		},
		Tags: t,
	}
	if port, err := strconv.ParseUint(aws.ToString(g.HealthCheckPort), 10, 16); err == nil {
		row.HealthCheck.Port = lb.HealthCheckPort(port)
	}
	if g.Matcher != nil {
		row.HealthCheck.Matcher = orElse(aws.ToString(g.Matcher.HttpCode), aws.ToString(g.Matcher.GrpcCode))
	}
	return row
}

// matcher is the wire form of the codes that count as healthy.
func matcher(g TargetGroup) *elbtypes.Matcher {
	switch {
	case g.HealthCheck.Matcher == "":
		return nil
	case g.ProtocolVersion == lb.GRPC:
		return &elbtypes.Matcher{GrpcCode: aws.String(g.HealthCheck.Matcher)}
	default:
		return &elbtypes.Matcher{HttpCode: aws.String(g.HealthCheck.Matcher)}
	}
}

func securityGroupRow(g ec2types.SecurityGroup) securityGroup {
	row := securityGroup{
		ID: aws.ToString(g.GroupId), Name: aws.ToString(g.GroupName), Description: aws.ToString(g.Description),
		VPC: aws.ToString(g.VpcId), Tags: ec2Tags(g.Tags),
	}
	eachPermission(g, func(p permission, _ string) { row.Ingress = append(row.Ingress, p) })
	slices.SortFunc(row.Ingress, permission.compare)
	return row
}

// endpointGroupRow is a security group of targets. Its rules are compared with such that name no account, so neither do
// they.
func endpointGroupRow(g ec2types.SecurityGroup) endpointGroup {
	row := endpointGroup{ID: aws.ToString(g.GroupId), Tags: ec2Tags(g.Tags), Rules: map[permission]bool{}}
	eachPermission(g, func(p permission, description string) {
		p.GroupOwner = ""
		row.Rules[p] = description == sharedRule
	})
	return row
}

// eachPermission calls each with every ingress rule and its description.
func eachPermission(g ec2types.SecurityGroup, each func(p permission, description string)) {
	for _, p := range g.IpPermissions {
		one := permission{Protocol: aws.ToString(p.IpProtocol), From: aws.ToInt32(p.FromPort), To: aws.ToInt32(p.ToPort)}
		for _, r := range p.IpRanges {
			from := one
			from.CIDR = aws.ToString(r.CidrIp)
			each(from, aws.ToString(r.Description))
		}
		for _, r := range p.Ipv6Ranges {
			from := one
			from.CIDR6 = aws.ToString(r.CidrIpv6)
			each(from, aws.ToString(r.Description))
		}
		for _, r := range p.PrefixListIds {
			from := one
			from.PrefixList = aws.ToString(r.PrefixListId)
			each(from, aws.ToString(r.Description))
		}
		for _, r := range p.UserIdGroupPairs {
			from := one
			from.Group, from.GroupOwner = aws.ToString(r.GroupId), aws.ToString(r.UserId)
			each(from, aws.ToString(r.Description))
		}
	}
}

func instanceInterfaceRow(instance string, i ec2types.InstanceNetworkInterface) networkInterface {
	row := networkInterface{ID: aws.ToString(i.NetworkInterfaceId), Instance: instance, Groups: groupsOf(i.Groups)}
	if i.Attachment != nil {
		row.Primary = aws.ToInt32(i.Attachment.DeviceIndex) == 0
	}
	for _, a := range i.PrivateIpAddresses {
		row.Addresses = appendAddress(row.Addresses, a.PrivateIpAddress)
	}
	for _, a := range i.Ipv6Addresses {
		row.Addresses = appendAddress(row.Addresses, a.Ipv6Address)
	}
	for _, p := range i.Ipv4Prefixes {
		row.Prefixes = appendPrefix(row.Prefixes, p.Ipv4Prefix)
	}
	for _, p := range i.Ipv6Prefixes {
		row.Prefixes = appendPrefix(row.Prefixes, p.Ipv6Prefix)
	}
	return row
}

func networkInterfaceRow(i ec2types.NetworkInterface) networkInterface {
	row := networkInterface{ID: aws.ToString(i.NetworkInterfaceId), Groups: groupsOf(i.Groups)}
	for _, a := range i.PrivateIpAddresses {
		row.Addresses = appendAddress(row.Addresses, a.PrivateIpAddress)
	}
	for _, a := range i.Ipv6Addresses {
		row.Addresses = appendAddress(row.Addresses, a.Ipv6Address)
	}
	return row
}

// groupsOf are the ids of security groups, sorted.
func groupsOf(list []ec2types.GroupIdentifier) []string {
	var ids []string
	for _, g := range list {
		ids = append(ids, aws.ToString(g.GroupId))
	}
	slices.Sort(ids)
	return ids
}

func appendAddress(list []netip.Addr, text *string) []netip.Addr {
	a, err := netip.ParseAddr(aws.ToString(text))
	if err != nil {
		return list // AWS sends no such thing
	}
	return append(list, a)
}

func appendPrefix(list []netip.Prefix, text *string) []netip.Prefix {
	p, err := netip.ParsePrefix(aws.ToString(text))
	if err != nil {
		return list
	}
	return append(list, p)
}

// sdkPermissions is one IpPermission for each permission.
func sdkPermissions(list []permission, description string) []ec2types.IpPermission {
	var out []ec2types.IpPermission
	for _, p := range list {
		one := ec2types.IpPermission{IpProtocol: aws.String(p.Protocol)}
		if p.Protocol != "-1" {
			one.FromPort, one.ToPort = aws.Int32(p.From), aws.Int32(p.To)
		}
		switch {
		case p.CIDR != "":
			one.IpRanges = []ec2types.IpRange{{CidrIp: aws.String(p.CIDR), Description: text(description)}}
		case p.CIDR6 != "":
			one.Ipv6Ranges = []ec2types.Ipv6Range{{CidrIpv6: aws.String(p.CIDR6), Description: text(description)}}
		case p.PrefixList != "":
			one.PrefixListIds = []ec2types.PrefixListId{{PrefixListId: aws.String(p.PrefixList), Description: text(description)}}
		default:
			one.UserIdGroupPairs = []ec2types.UserIdGroupPair{{
				GroupId: aws.String(p.Group), UserId: text(p.GroupOwner), Description: text(description),
			}}
		}
		out = append(out, one)
	}
	return out
}

func elbTags(list []elbtypes.Tag) tags {
	t := tags{}
	for _, tag := range list {
		t[aws.ToString(tag.Key)] = aws.ToString(tag.Value)
	}
	return t
}

func ec2Tags(list []ec2types.Tag) tags {
	t := tags{}
	for _, tag := range list {
		t[aws.ToString(tag.Key)] = aws.ToString(tag.Value)
	}
	return t
}

func sdkELBTags(list []lb.Tag) []elbtypes.Tag {
	var out []elbtypes.Tag
	for _, t := range list {
		out = append(out, elbtypes.Tag{Key: aws.String(t.Key), Value: aws.String(t.Value)})
	}
	return out
}

func sdkEC2Tags(list []lb.Tag) []ec2types.Tag {
	var out []ec2types.Tag
	for _, t := range list {
		out = append(out, ec2types.Tag{Key: aws.String(t.Key), Value: aws.String(t.Value)})
	}
	return out
}

func text(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func isIPv6(cidr string) bool { return strings.Contains(cidr, ":") }

// jsonText prints what the model cannot say. Marshalling plain SDK structures does not fail.
func jsonText(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(data)
}
