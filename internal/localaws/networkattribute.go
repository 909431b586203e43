package localaws

import (
	"maps"
	"slices"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
)

const secondaryIPs = "secondary_ips.auto_assigned.per_subnet"

// networkBalancerAttributes are those of a Network Load Balancer.
var networkBalancerAttributes = map[string]attribute{
	"deletion_protection.enabled":       {"false", boolean, false},
	"load_balancing.cross_zone.enabled": {"false", boolean, false},
	"access_logs.s3.enabled":            {"false", boolean, false}, // of TLS listeners
	"access_logs.s3.bucket":             {"", anyText, false},
	"access_logs.s3.prefix":             {"", anyText, false},
	"ipv6.deny_all_igw_traffic":         {"false", boolean, false}, // there is no internet to deny it from
	"zonal_shift.config.enabled":        {"false", boolean, true},
	// It is the Route 53 resolver of a VPC that knows where a client is, and there is none here; so it changes nothing.
	"dns_record.client_routing_policy": {"any_availability_zone", oneOf("any_availability_zone", "availability_zone_affinity", "partial_availability_zone_affinity"), false},
	secondaryIPs:                       {"0", between(0, 7), false},
}

// crossZoneChoice is the target group's own word about zones.
var crossZoneChoice = attribute{"use_load_balancer_configuration", oneOf("true", "false", "use_load_balancer_configuration"), false}

// The attributes of target groups that Network Load Balancers forward to: networkGroupAttributes makes the set of a
// protocol and target type of them.
var (
	networkGroupEvery = map[string]attribute{
		"deregistration_delay.timeout_seconds":                                           {"300", between(0, 3600), false},
		"load_balancing.cross_zone.enabled":                                              crossZoneChoice,
		"target_group_health.dns_failover.minimum_healthy_targets.count":                 {"1", countOrOff, false},
		"target_group_health.dns_failover.minimum_healthy_targets.percentage":            {noThreshold, percentOrOff, false},
		"target_group_health.unhealthy_state_routing.minimum_healthy_targets.count":      {"1", countOrOff, false},
		"target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage": {noThreshold, percentOrOff, false},
		"deregistration_delay.connection_termination.enabled":                            {"false", boolean, false},
		preserveClientIP:  {"true", boolean, false},
		proxyProtocolV2:   {"false", boolean, false},
		stickinessOn:      {"false", boolean, false},
		"stickiness.type": {"source_ip", oneOf("source_ip"), false},
	}
	networkGroupTCP = map[string]attribute{
		unhealthyTermination: {"true", boolean, false},
		unhealthyDraining:    {"0", between(0, 360000), false},
	}
)

const (
	preserveClientIP     = "preserve_client_ip.enabled"
	proxyProtocolV2      = "proxy_protocol_v2.enabled"
	stickinessOn         = "stickiness.enabled"
	unhealthyTermination = "target_health_state.unhealthy.connection_termination.enabled"
	unhealthyDraining    = "target_health_state.unhealthy.draining_interval_seconds"
)

// networkGroupAttributes are those of target groups of TCP, TLS, UDP, TCP_UDP, QUIC and TCP_QUIC (NLB "Target groups",
// Target group attributes).
func networkGroupAttributes(protocol types.ProtocolEnum, kind types.TargetTypeEnum) map[string]attribute {
	out := maps.Clone(networkGroupEvery)
	always := func(key, value string) { out[key] = attribute{value, oneOf(value), false} }
	switch protocol {
	case types.ProtocolEnumTcp, types.ProtocolEnumTls:
		maps.Copy(out, networkGroupTCP)
		if kind == types.TargetTypeEnumIp {
			out[preserveClientIP] = attribute{"false", boolean, false}
		}
	case types.ProtocolEnumUdp, types.ProtocolEnumTcpUdp:
		always(preserveClientIP, "true")
		out["deregistration_delay.connection_termination.enabled"] = attribute{"true", boolean, false}
	default:
		always(preserveClientIP, "true")
		always(proxyProtocolV2, "false")
		always(stickinessOn, "false")
		always("deregistration_delay.timeout_seconds", "300")
	}
	if kind == types.TargetTypeEnumAlb {
		always(preserveClientIP, "true")
		always(proxyProtocolV2, "false")
		always(stickinessOn, "false")
	}
	return out
}

// agreeNetwork checks attributes of an NLB's target group that rule each other out (NLB "Target group health").
func agreeNetwork(attributes map[string]string) error {
	if err := agreeThresholds(attributes); err != nil {
		return err
	}
	if attributes[unhealthyDraining] != "0" && attributes[unhealthyTermination] == "true" {
		return conflicting("The attribute '%s' requires '%s' to be false", unhealthyDraining, unhealthyTermination)
	}
	return nil
}

// agreeBalancer: addresses that were given are not taken back.
func agreeBalancer(before, after map[string]string) error {
	a, _ := strconv.Atoi(before[secondaryIPs])
	b, _ := strconv.Atoi(after[secondaryIPs])
	if b < a {
		return conflicting("The attribute '%s' cannot be decreased from %d to %d", secondaryIPs, a, b)
	}
	return nil
}

// networkListenerAttributes are those of a listener of a Network Load Balancer.
func networkListenerAttributes(protocol types.ProtocolEnum) map[string]attribute {
	switch protocol {
	case types.ProtocolEnumTcp, types.ProtocolEnumTcpUdp:
		return map[string]attribute{idleTimeout: {"350", between(60, 6000), false}}
	}
	return map[string]attribute{}
}

const idleTimeout = "tcp.idle_timeout.seconds"

// attributesOf are the attributes that a load balancer of its type has.
func (b loadBalancer) attributesOf() map[string]attribute {
	if b.network() {
		return networkBalancerAttributes
	}
	return balancerAttributes
}

func (g targetGroup) attributesOf() map[string]attribute {
	if g.network() {
		return networkGroupAttributes(g.Wire.Protocol, g.Wire.TargetType)
	}
	return groupAttributes
}

// The attributes of every type: those that a type has not are told from those that nobody knows.
var (
	everyBalancerAttribute = slices.Concat(foreignBalancerAttributes, keysOf(balancerAttributes))
	everyGroupAttribute    = slices.Concat(foreignGroupAttributes, keysOf(groupAttributes))
	everyListenerAttribute = slices.Concat(foreignListenerAttributes, keysOf(listenerAttributes))
)

func keysOf(table map[string]attribute) []string { return slices.Collect(maps.Keys(table)) }
