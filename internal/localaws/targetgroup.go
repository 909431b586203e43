package localaws

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/sluicehq/sluice/internal/localaws/wire"
)

// targetGroup is a set of targets. Wire lacks the load balancers, which follow from the rules.
type targetGroup struct {
	Wire       types.TargetGroup
	Attributes map[string]string
	Targets    []target
}

func (g targetGroup) arn() string { return *g.Wire.TargetGroupArn }

// usage maps every target group that a listener or a rule forwards to, to its load balancers.
func (x *tx) usage() map[string][]string {
	out := map[string][]string{}
	for _, r := range x.state.rules.all() {
		l, _ := x.state.listeners.get(r.Listener)
		for _, g := range groupsOf(r.Wire.Actions) {
			if !slices.Contains(out[g], l.balancer()) {
				out[g] = append(out[g], l.balancer())
			}
		}
	}
	return out
}

// balancersOf lists the load balancers that forward to a target group.
func (x *tx) balancersOf(group string) []string {
	var out []string
	for _, r := range x.state.rules.find(func(r rule) bool { return slices.Contains(groupsOf(r.Wire.Actions), group) }) {
		l, _ := x.state.listeners.get(r.Listener)
		if !slices.Contains(out, l.balancer()) {
			out = append(out, l.balancer())
		}
	}
	return out
}

// checkBalancerGroups holds what a load balancer forwards to against its quotas.
func (x *tx) checkBalancerGroups(balancer string) error {
	if b, _ := x.state.loadBalancers.get(balancer); b.network() {
		return x.checkNetworkTargets(b)
	}
	groups := map[string]bool{}
	targets := 0
	for _, r := range x.state.rules.all() {
		l, _ := x.state.listeners.get(r.Listener)
		if l.balancer() != balancer {
			continue
		}
		for _, arn := range groupsOf(r.Wire.Actions) {
			if !groups[arn] {
				groups[arn] = true
				g, _ := x.state.targetGroups.get(arn)
				targets += len(g.Targets)
			}
		}
	}
	if limit := x.quota["target-groups-per-application-load-balancer"]; len(groups) > limit {
		return wire.Errorf("TooManyUniqueTargetGroupsPerLoadBalancer",
			"The maximum number of unique target groups per load balancer has been reached: %d", limit)
	}
	if limit := x.quota["targets-per-application-load-balancer"]; targets > limit {
		return wire.Errorf("TooManyTargets", "The maximum number of targets per load balancer has been reached: %d", limit)
	}
	return nil
}

// targetGroupWire shows a target group with the load balancers that use it.
func targetGroupWire(g targetGroup, balancers []string) types.TargetGroup {
	w := g.Wire
	w.LoadBalancerArns = append([]string{}, balancers...)
	return w
}

func (x *tx) createTargetGroup(in *elb.CreateTargetGroupInput) (*elb.CreateTargetGroupOutput, error) {
	if err := checkName("target group", val(in.Name)); err != nil {
		return nil, err
	}
	g, err := x.newTargetGroup(in)
	if err != nil {
		return nil, err
	}
	tags, err := x.collectELBTags(in.Tags)
	if err != nil {
		return nil, err
	}
	for arn, same := range x.state.targetGroups.find(func(o targetGroup) bool { return *o.Wire.TargetGroupName == *in.Name }) {
		if sameSettings(same.Wire, g.Wire) && maps.Equal(x.tagsOf(arn), tags) {
			return &elb.CreateTargetGroupOutput{TargetGroups: []types.TargetGroup{targetGroupWire(same, x.balancersOf(arn))}}, nil
		}
		return nil, wire.Errorf("DuplicateTargetGroupName",
			"A target group with the same name '%s' exists, but with different settings", *in.Name)
	}
	if limit := x.quota["target-groups"]; x.state.targetGroups.len() >= limit {
		return nil, wire.Errorf("TooManyTargetGroups", "The maximum number of target groups has been reached: %d", limit)
	}
	x.state.targetGroups.put(x, g.arn(), g)
	x.setTags(g.arn(), g.arn(), tags)
	return &elb.CreateTargetGroupOutput{TargetGroups: []types.TargetGroup{targetGroupWire(g, nil)}}, nil
}

// newTargetGroup checks what is asked for and fills in the defaults.
func (x *tx) newTargetGroup(in *elb.CreateTargetGroupInput) (targetGroup, error) {
	none := targetGroup{}
	kind := in.TargetType
	if kind == "" {
		kind = types.TargetTypeEnumInstance
	}
	network := isNetworkProtocol(in.Protocol)
	switch {
	case kind == types.TargetTypeEnumLambda:
		return none, notServed("Target type '" + string(kind) + "'")
	case in.Protocol == "":
		return none, invalid("A protocol must be specified")
	case in.Protocol == types.ProtocolEnumGeneve:
		return none, notServed("Target group protocol '" + string(in.Protocol) + "'")
	case kind == types.TargetTypeEnumAlb && in.Protocol != types.ProtocolEnumTcp:
		return none, conflicting("The protocol of target groups with target type 'alb' must be TCP, not '%s'", in.Protocol)
	case in.Port == nil:
		return none, invalid("A port must be specified")
	case in.VpcId == nil:
		return none, invalid("A VPC ID must be specified")
	case in.IpAddressType == types.TargetGroupIpAddressTypeEnumIpv6 && !network:
		return none, notServed("Target group IP address type 'ipv6'")
	case in.IpAddressType == types.TargetGroupIpAddressTypeEnumIpv6 && kind != types.TargetTypeEnumIp:
		return none, conflicting("IP address type 'ipv6' is supported only for target groups with target type 'ip'")
	case in.TargetControlPort != nil:
		return none, notServed("TargetControlPort")
	}
	if _, ok := x.state.vpcs.get(*in.VpcId); !ok {
		return none, invalid("The VPC ID '%s' is not found", *in.VpcId)
	}
	version := firstOf(val(in.ProtocolVersion), "HTTP1")
	if !slices.Contains([]string{"HTTP1", "HTTP2", grpc}, version) {
		return none, invalid("The protocol version '%s' must be one of HTTP1, HTTP2, GRPC", version)
	}
	if network && in.ProtocolVersion != nil {
		return none, conflicting("A protocol version cannot be specified for target groups with protocol '%s'", in.Protocol)
	}
	arn := x.elbARN("targetgroup/" + *in.Name + "/" + x.hex(16))
	g := targetGroup{Wire: types.TargetGroup{
		TargetGroupArn: &arn, TargetGroupName: in.Name, Protocol: in.Protocol, Port: in.Port, VpcId: in.VpcId, TargetType: kind,
		IpAddressType:      cmp.Or(in.IpAddressType, types.TargetGroupIpAddressTypeEnumIpv4),
		HealthCheckEnabled: ptr(true), HealthCheckPort: ptr("traffic-port"), HealthCheckIntervalSeconds: ptr(int32(30)),
		HealthyThresholdCount: ptr(int32(5)), UnhealthyThresholdCount: ptr(int32(2)),
	}}
	if !network {
		g.Wire.ProtocolVersion = &version
	}
	g.Attributes = defaults(g.attributesOf())
	err := setHealthCheck(&g.Wire, healthCheck{
		in.HealthCheckEnabled, in.HealthCheckProtocol, in.HealthCheckPort, in.HealthCheckPath, in.HealthCheckIntervalSeconds,
		in.HealthCheckTimeoutSeconds, in.HealthyThresholdCount, in.UnhealthyThresholdCount, in.Matcher,
	})
	return g, err
}

// sameSettings compares target groups by all that a caller chooses.
func sameSettings(a, b types.TargetGroup) bool {
	return a.Protocol == b.Protocol && val(a.ProtocolVersion) == val(b.ProtocolVersion) && a.IpAddressType == b.IpAddressType &&
		*a.Port == *b.Port && *a.VpcId == *b.VpcId && a.TargetType == b.TargetType &&
		*a.HealthCheckEnabled == *b.HealthCheckEnabled && a.HealthCheckProtocol == b.HealthCheckProtocol &&
		*a.HealthCheckPort == *b.HealthCheckPort && val(a.HealthCheckPath) == val(b.HealthCheckPath) &&
		*a.HealthCheckIntervalSeconds == *b.HealthCheckIntervalSeconds &&
		*a.HealthCheckTimeoutSeconds == *b.HealthCheckTimeoutSeconds && *a.HealthyThresholdCount == *b.HealthyThresholdCount &&
		*a.UnhealthyThresholdCount == *b.UnhealthyThresholdCount && matched(a.Matcher) == matched(b.Matcher)
}

// healthCheck is what may be said about the health check when a target group is created or modified.
type healthCheck struct {
	enabled            *bool
	protocol           types.ProtocolEnum
	port, path         *string
	interval, timeout  *int32
	healthy, unhealthy *int32
	matcher            *types.Matcher
}

func setHealthCheck(g *types.TargetGroup, c healthCheck) error {
	if c.enabled != nil {
		g.HealthCheckEnabled = c.enabled
		if !*c.enabled {
			return invalid("Health check enabled must be true for target groups with target type '%s'", g.TargetType)
		}
	}
	if err := setCheckProtocol(g, c); err != nil {
		return err
	}
	if c.port != nil {
		if n, err := strconv.Atoi(*c.port); *c.port != "traffic-port" && (err != nil || n < 1 || n > 65535) {
			return invalid("Health check port '%s' must be 'traffic-port' or a value between 1 and 65535", *c.port)
		}
		g.HealthCheckPort = c.port
	}
	if c.path != nil {
		if g.HealthCheckPath == nil {
			return conflicting("A health check path cannot be specified for health checks with protocol '%s'", g.HealthCheckProtocol)
		}
		if !strings.HasPrefix(*c.path, "/") || len(*c.path) > 1024 {
			return invalid("Health check path '%s' must start with '/' and have at most 1024 characters", *c.path)
		}
		g.HealthCheckPath = c.path
	}
	for _, set := range []struct{ to, from **int32 }{
		{&g.HealthCheckIntervalSeconds, &c.interval}, {&g.HealthCheckTimeoutSeconds, &c.timeout},
		{&g.HealthyThresholdCount, &c.healthy}, {&g.UnhealthyThresholdCount, &c.unhealthy},
	} {
		if *set.from != nil {
			*set.to = *set.from
		}
	}
	if *g.HealthCheckTimeoutSeconds > *g.HealthCheckIntervalSeconds {
		return invalid("Health check interval '%d' must be at least the health check timeout '%d'", *g.HealthCheckIntervalSeconds,
			*g.HealthCheckTimeoutSeconds)
	}
	if c.matcher == nil {
		return nil
	}
	if g.Matcher == nil {
		return conflicting("A health check matcher cannot be specified for health checks with protocol '%s'", g.HealthCheckProtocol)
	}
	return setMatcher(g, c.matcher)
}

// grpc is the protocol version whose health checks look at statuses of gRPC.
const grpc = "GRPC"

func setMatcher(g *types.TargetGroup, m *types.Matcher) error {
	if val(g.ProtocolVersion) == grpc {
		switch {
		case m.HttpCode != nil || m.GrpcCode == nil:
			return invalid("The health check matcher of protocol version 'GRPC' must specify GrpcCode")
		case !grpcMatcher.valid(*m.GrpcCode):
			return invalid("Health check matcher gRPC code '%s' must be within '0-99', as in '0,12' or '0-99'", *m.GrpcCode)
		}
		g.Matcher = &types.Matcher{GrpcCode: m.GrpcCode}
		return nil
	}
	allowed := httpMatcher
	if isNetworkProtocol(g.Protocol) {
		allowed = networkMatcher
	}
	switch {
	case m.GrpcCode != nil || m.HttpCode == nil:
		return invalid("The health check matcher of protocol version '%s' must specify HttpCode", val(g.ProtocolVersion))
	case !allowed.valid(*m.HttpCode):
		return invalid("Health check matcher HTTP code '%s' must be within '%d-%d', as in '200,202' or '200-299'", *m.HttpCode,
			allowed.least, allowed.most)
	}
	g.Matcher = &types.Matcher{HttpCode: m.HttpCode}
	return nil
}

// matcherRange is which codes a matcher may list, and how each is written.
type matcherRange struct {
	least, most int
	part        *regexp.Regexp
}

var (
	httpMatcher    = matcherRange{200, 499, regexp.MustCompile(`^(\d{3})(?:-(\d{3}))?$`)}
	networkMatcher = matcherRange{200, 599, httpMatcher.part}
	grpcMatcher    = matcherRange{0, 99, regexp.MustCompile(`^(\d{1,2})(?:-(\d{1,2}))?$`)}
)

func (r matcherRange) valid(s string) bool {
	for part := range strings.SplitSeq(s, ",") {
		m := r.part.FindStringSubmatch(part)
		if m == nil {
			return false
		}
		first, _ := strconv.Atoi(m[1]) // digits, says the expression
		last, _ := strconv.Atoi(firstOf(m[2], m[1]))
		if first < r.least || last > r.most || first > last {
			return false
		}
	}
	return true
}

func (x *tx) modifyTargetGroup(in *elb.ModifyTargetGroupInput) (*elb.ModifyTargetGroupOutput, error) {
	g, err := elbRow(x.state.targetGroups, groupKind, in.TargetGroupArn)
	if err != nil {
		return nil, err
	}
	err = setHealthCheck(&g.Wire, healthCheck{
		in.HealthCheckEnabled, in.HealthCheckProtocol, in.HealthCheckPort, in.HealthCheckPath, in.HealthCheckIntervalSeconds,
		in.HealthCheckTimeoutSeconds, in.HealthyThresholdCount, in.UnhealthyThresholdCount, in.Matcher,
	})
	if err != nil {
		return nil, err
	}
	x.state.targetGroups.put(x, g.arn(), g)
	return &elb.ModifyTargetGroupOutput{TargetGroups: []types.TargetGroup{targetGroupWire(g, x.balancersOf(g.arn()))}}, nil
}

func (x *tx) deleteTargetGroup(in *elb.DeleteTargetGroupInput) (*elb.DeleteTargetGroupOutput, error) {
	if err := groupKind.check(val(in.TargetGroupArn)); err != nil {
		return nil, err
	}
	arn := *in.TargetGroupArn
	if len(x.balancersOf(arn)) > 0 {
		return nil, wire.Errorf("ResourceInUse", "Target group '%s' is currently in use by a listener or a rule", arn)
	}
	x.state.targetGroups.delete(x, arn) // an absent one is deleted already
	x.state.tags.delete(x, arn)
	return &elb.DeleteTargetGroupOutput{}, nil
}

func (x *tx) describeTargetGroups(in *elb.DescribeTargetGroupsInput) (*elb.DescribeTargetGroupsOutput, error) {
	given := 0
	for _, is := range []bool{in.LoadBalancerArn != nil, len(in.TargetGroupArns) > 0, len(in.Names) > 0} {
		if is {
			given++
		}
	}
	if given > 1 {
		return nil, invalid("Only one of load balancer ARN, target group ARNs and target group names can be specified")
	}
	if in.LoadBalancerArn != nil {
		if _, err := elbRow(x.state.loadBalancers, balancerKind, in.LoadBalancerArn); err != nil {
			return nil, err
		}
	}
	for _, arn := range in.TargetGroupArns {
		if _, err := elbRow(x.state.targetGroups, groupKind, &arn); err != nil {
			return nil, err
		}
	}
	for _, name := range in.Names {
		if !x.state.targetGroups.exists(func(g targetGroup) bool { return *g.Wire.TargetGroupName == name }) {
			return nil, groupKind.notFound(name)
		}
	}
	usage := x.usage()
	all := x.state.targetGroups.items(func(arn string, g targetGroup) bool {
		return (in.LoadBalancerArn == nil || slices.Contains(usage[arn], *in.LoadBalancerArn)) &&
			(len(in.TargetGroupArns) == 0 || slices.Contains(in.TargetGroupArns, arn)) &&
			(len(in.Names) == 0 || slices.Contains(in.Names, *g.Wire.TargetGroupName))
	})
	found, next, err := pageELB(all, in.Marker, in.PageSize)
	if err != nil {
		return nil, err
	}
	out := &elb.DescribeTargetGroupsOutput{TargetGroups: []types.TargetGroup{}, NextMarker: next}
	for _, g := range found {
		out.TargetGroups = append(out.TargetGroups, targetGroupWire(g.value, usage[g.id]))
	}
	return out, nil
}
