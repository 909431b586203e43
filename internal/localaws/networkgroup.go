package localaws

import (
	"encoding/hex"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/sluicehq/sluice/internal/localaws/wire"
	"github.com/sluicehq/sluice/internal/proxy"
)

// network tells a target group that Network Load Balancers forward to.
func (g targetGroup) network() bool { return isNetworkProtocol(g.Wire.Protocol) }

// checkProtocols are the protocols by which a group's targets can be checked; the first is the usual one.
func checkProtocols(g *types.TargetGroup) []types.ProtocolEnum {
	protocols := []types.ProtocolEnum{types.ProtocolEnumHttp, types.ProtocolEnumHttps}
	if isNetworkProtocol(g.Protocol) && g.TargetType != types.TargetTypeEnumAlb {
		return append([]types.ProtocolEnum{types.ProtocolEnumTcp}, protocols...)
	}
	return protocols
}

// setCheckProtocol settles how targets are checked, and what follows from that where nothing else is said: a check over
// TCP has neither a path nor a matcher (API reference, CreateTargetGroup).
func setCheckProtocol(g *types.TargetGroup, c healthCheck) error {
	allowed := checkProtocols(g)
	switch {
	case c.protocol != "" && !slices.Contains(allowed, c.protocol):
		return conflicting("Health check protocol '%s' is not supported for target groups with protocol '%s' and target type '%s'",
			c.protocol, g.Protocol, g.TargetType)
	case c.protocol != "":
		g.HealthCheckProtocol = c.protocol
	case g.HealthCheckProtocol == "":
		g.HealthCheckProtocol = allowed[0]
	}
	success, timeout := "200", int32(5)
	if isNetworkProtocol(g.Protocol) {
		success, timeout = "200-399", 10
		if g.HealthCheckProtocol == types.ProtocolEnumHttp {
			timeout = 6
		}
	}
	if g.HealthCheckTimeoutSeconds == nil {
		interval := *g.HealthCheckIntervalSeconds
		if c.interval != nil {
			interval = *c.interval
		}
		g.HealthCheckTimeoutSeconds = ptr(min(timeout, interval))
	}
	switch {
	case g.HealthCheckProtocol == types.ProtocolEnumTcp:
		g.HealthCheckPath, g.Matcher = nil, nil
	case g.HealthCheckPath == nil && val(g.ProtocolVersion) == grpc:
		g.HealthCheckPath, g.Matcher = ptr("/AWS.ALB/healthcheck"), &types.Matcher{GrpcCode: ptr("12")}
	case g.HealthCheckPath == nil:
		g.HealthCheckPath, g.Matcher = ptr("/"), &types.Matcher{HttpCode: &success}
	}
	return nil
}

// matched are the codes that a matcher takes for success, "" where there is none.
func matched(m *types.Matcher) string {
	if m == nil {
		return ""
	}
	return val(m.HttpCode) + val(m.GrpcCode)
}

// targetTypeOf tells from a target's id what it is.
func targetTypeOf(id string) types.TargetTypeEnum {
	switch {
	case strings.HasPrefix(id, "i-"):
		return types.TargetTypeEnumInstance
	case strings.HasPrefix(id, "arn:"):
		return types.TargetTypeEnumAlb
	}
	return types.TargetTypeEnumIp
}

// checkBalancerTarget: an ALB that is a target listens where the group says, and is of the group's VPC (NLB "Application
// Load Balancers as targets").
func (x *tx) checkBalancerTarget(g targetGroup, t target) (target, error) {
	b, ok := x.state.loadBalancers.get(t.ID)
	switch {
	case !ok || b.network():
		return t, badTarget("The target '%s' is not an Application Load Balancer", t.ID)
	case *b.Wire.VpcId != *g.Wire.VpcId:
		return t, badTarget("The following targets are not in the target group VPC '%s': '%s'", *g.Wire.VpcId, t.ID)
	case t.Zone != "":
		return t, invalid("An Availability Zone cannot be specified for targets of type 'alb'")
	case t.Port != *g.Wire.Port:
		return t, badTarget("The port %d of target '%s' must be that of the target group, %d", t.Port, t.ID, *g.Wire.Port)
	case !x.state.listeners.exists(func(l listener) bool { return l.balancer() == t.ID && *l.Wire.Port == t.Port }):
		return t, badTarget("The Application Load Balancer '%s' has no listener on the port of the target group, %d", t.ID, t.Port)
	}
	return t, nil
}

// groupsOfTarget lists the target groups in which an ALB is registered.
func (x *tx) groupsOfTarget(balancer string) []string {
	var out []string
	for arn := range x.state.targetGroups.find(func(g targetGroup) bool {
		return slices.ContainsFunc(g.Targets, func(t target) bool { return t.ID == balancer })
	}) {
		out = append(out, arn)
	}
	return out
}

var quicServer = regexp.MustCompile(`^0x[0-9a-f]{16}$`)

// quicServerID reads an id that checkQUICServer has let through.
func quicServerID(text string) string {
	id, _ := hex.DecodeString(strings.TrimPrefix(text, "0x"))
	return string(id)
}

// checkQUICServer: targets of QUIC are told apart by server ids, which nobody else may have and which stay as they are.
func (x *tx) checkQUICServer(g targetGroup, t target) error {
	switch {
	case !isQUIC(g.Wire.Protocol) && t.QUICServer != "":
		return invalid("QuicServerId is not supported for target groups with protocol '%s'", g.Wire.Protocol)
	case !isQUIC(g.Wire.Protocol):
		return nil
	case t.QUICServer == "":
		return invalid("QuicServerId must be specified for targets of target groups with protocol '%s'", g.Wire.Protocol)
	case !quicServer.MatchString(t.QUICServer):
		return invalid("QuicServerId '%s' must be '0x' and 16 lower-case hexadecimal digits", t.QUICServer)
	}
	for _, o := range g.Targets {
		switch {
		case o.key() == t.key() && o.QUICServer != t.QUICServer:
			return badTarget("The QuicServerId of target '%s' is '%s' and cannot be changed while it is registered", t.ID, o.QUICServer)
		case o.key() != t.key() && o.QUICServer == t.QUICServer:
			return badTarget("The QuicServerId '%s' is in use by target '%s'", t.QUICServer, o.ID)
		}
	}
	return nil
}

// The weight of an ALB among the targets of an NLB (NLB "Quotas").
const albTargetWeight = 50

// checkNetworkTargets holds the targets of what an NLB forwards to against its quotas: in each zone, and in all.
func (x *tx) checkNetworkTargets(b loadBalancer) error {
	crossZone := b.Attributes["load_balancing.cross_zone.enabled"] == "true"
	total, zones := 0, map[string]int{}
	for _, l := range x.state.listeners.find(func(l listener) bool { return l.balancer() == b.arn() }) {
		for _, arn := range groupsOf(l.Wire.DefaultActions) {
			g, _ := x.state.targetGroups.get(arn)
			for _, t := range g.Targets {
				weight := 1
				if g.Wire.TargetType == types.TargetTypeEnumAlb {
					weight = albTargetWeight
					if crossZone {
						weight *= 2
					}
				}
				zone := t.Zone
				if i, ok := x.state.instances.get(t.ID); ok {
					zone = i.Zone
				}
				total += weight
				zones[zone] += weight
			}
		}
	}
	perZone := x.quota["targets-per-availability-zone-per-network-load-balancer"]
	limit := x.quota["targets-per-network-load-balancer"]
	if crossZone {
		limit = min(limit, perZone)
	}
	if total > limit {
		return wire.Errorf("TooManyTargets", "The maximum number of targets per load balancer has been reached: %d", limit)
	}
	for zone, n := range zones {
		if zone != "" && n > perZone {
			return wire.Errorf("TooManyTargets", "The maximum number of targets per load balancer and Availability Zone has been reached: %d", perZone)
		}
	}
	return nil
}

// planeNetworkBalancer is an NLB as the data plane takes it.
func (s *Server) planeNetworkBalancer(b loadBalancer, listeners []listener) proxy.NetworkLoadBalancer {
	out := proxy.NetworkLoadBalancer{
		ID: proxy.LoadBalancerID(b.arn()), CrossZone: b.Attributes["load_balancing.cross_zone.enabled"] == "true",
		AccessLog: b.Attributes[accessLogs.attribute+"enabled"] == "true",
	}
	for _, z := range b.Wire.AvailabilityZones {
		out.Nodes = append(out.Nodes, proxy.Node{Zone: *z.ZoneName, Address: b.Nodes[*z.ZoneName]})
	}
	for _, l := range listeners {
		p := proxy.NetworkListener{
			ID: proxy.ListenerID(*l.Wire.ListenerArn), Port: uint16(*l.Wire.Port), //nolint:gosec // the model has its range
			Protocol: proxy.NetworkProtocol(l.Wire.Protocol), IdleTimeout: seconds(l.Attributes[idleTimeout]),
			TLS: s.planeTLS(l, false), Forward: *s.planeAction(l.Wire.DefaultActions).Forward,
		}
		for _, policy := range l.Wire.AlpnPolicy {
			p.ALPN = proxy.ALPNPolicy(policy)
		}
		out.Listeners = append(out.Listeners, p)
	}
	return out
}

// planeNetworkGroup adds what only target groups of NLBs have.
func planeNetworkGroup(out *proxy.TargetGroup, g targetGroup) {
	a := g.Attributes
	out.Stickiness, out.Failover = proxy.Stickiness{}, proxy.Threshold{}
	out.Network = proxy.NetworkGroup{
		PreserveClientIP: a[preserveClientIP] == "true", ProxyProtocol: a[proxyProtocolV2] == "true",
		StickySourceIP: a[stickinessOn] == "true", CrossZone: proxy.CrossZone(a["load_balancing.cross_zone.enabled"]),
		CutDeregistered:   a["deregistration_delay.connection_termination.enabled"] == "true",
		CutUnhealthy:      a[unhealthyTermination] != "false",
		UnhealthyDraining: seconds(a[unhealthyDraining]),
		DNSFailover:       healthThreshold(a, "dns_failover"), RoutingFailover: healthThreshold(a, "unhealthy_state_routing"),
	}
}
