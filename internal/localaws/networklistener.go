package localaws

import (
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/sluicehq/sluice/internal/localaws/wire"
)

// listenerProtocols are those of the listeners of each type of load balancer.
var listenerProtocols = map[types.LoadBalancerTypeEnum][]types.ProtocolEnum{
	types.LoadBalancerTypeEnumApplication: {types.ProtocolEnumHttp, types.ProtocolEnumHttps},
	types.LoadBalancerTypeEnumNetwork: {
		types.ProtocolEnumTcp, types.ProtocolEnumTls, types.ProtocolEnumUdp, types.ProtocolEnumTcpUdp, types.ProtocolEnumQuic,
		types.ProtocolEnumTcpQuic,
	},
}

// groupProtocols are the protocols of the target groups that a listener can forward to (NLB "Target groups", Routing
// configuration).
var groupProtocols = map[types.ProtocolEnum][]types.ProtocolEnum{
	types.ProtocolEnumHttp:    {types.ProtocolEnumHttp, types.ProtocolEnumHttps},
	types.ProtocolEnumHttps:   {types.ProtocolEnumHttp, types.ProtocolEnumHttps},
	types.ProtocolEnumTcp:     {types.ProtocolEnumTcp, types.ProtocolEnumTcpUdp},
	types.ProtocolEnumTls:     {types.ProtocolEnumTcp, types.ProtocolEnumTls},
	types.ProtocolEnumUdp:     {types.ProtocolEnumUdp, types.ProtocolEnumTcpUdp},
	types.ProtocolEnumTcpUdp:  {types.ProtocolEnumTcpUdp},
	types.ProtocolEnumQuic:    {types.ProtocolEnumQuic, types.ProtocolEnumTcpQuic},
	types.ProtocolEnumTcpQuic: {types.ProtocolEnumTcpQuic},
}

// alpnPolicies are what a TLS listener can agree on with its clients.
var alpnPolicies = []string{"HTTP1Only", "HTTP2Only", "HTTP2Optional", "HTTP2Preferred", "None"}

// isNetworkProtocol tells the protocols of Network Load Balancers, of listeners as of target groups.
func isNetworkProtocol(p types.ProtocolEnum) bool {
	return slices.Contains(listenerProtocols[types.LoadBalancerTypeEnumNetwork], p)
}

func isSecure(p types.ProtocolEnum) bool {
	return p == types.ProtocolEnumHttps || p == types.ProtocolEnumTls
}

func isQUIC(p types.ProtocolEnum) bool {
	return p == types.ProtocolEnumQuic || p == types.ProtocolEnumTcpQuic
}

// hasUDP tells the protocols that are UDP, or UDP too.
func hasUDP(p types.ProtocolEnum) bool {
	return p == types.ProtocolEnumUdp || p == types.ProtocolEnumTcpUdp || isQUIC(p)
}

func joined(protocols []types.ProtocolEnum) string {
	words := make([]string, 0, len(protocols))
	for _, p := range protocols {
		words = append(words, string(p))
	}
	return strings.Join(words, ", ")
}

// listenerBalancer is the type of a listener's load balancer.
func listenerBalancer(l *types.Listener) types.LoadBalancerTypeEnum {
	if strings.HasPrefix(loadBalancerName(*l.LoadBalancerArn), "net/") {
		return types.LoadBalancerTypeEnumNetwork
	}
	return types.LoadBalancerTypeEnumApplication
}

func setALPN(l *types.Listener, policy []string) error {
	switch {
	case len(policy) == 0:
		return nil
	case l.Protocol != types.ProtocolEnumTls:
		return conflicting("An ALPN policy cannot be specified for %s listeners", l.Protocol)
	case len(policy) > 1:
		return invalid("At most one ALPN policy can be specified")
	case !slices.Contains(alpnPolicies, policy[0]):
		return wire.Errorf("ALPNPolicyNotFound", "ALPN policy '%s' not found; it must be one of %s", policy[0], strings.Join(alpnPolicies, ", "))
	}
	l.AlpnPolicy = policy
	return nil
}

// checkNetworkActions: an NLB forwards, and clients stay with a target, not with a target group.
func checkNetworkActions(actions []types.Action) error {
	for _, a := range actions {
		if a.Type != types.ActionTypeEnumForward {
			return conflicting("Actions of type '%s' are not supported for load balancers of type 'network'", a.Type)
		}
		if f := a.ForwardConfig; f != nil && f.TargetGroupStickinessConfig != nil && val(f.TargetGroupStickinessConfig.Enabled) {
			return conflicting("Target group stickiness is not supported for load balancers of type 'network'")
		}
	}
	return nil
}

// checkGroupProtocol refuses target groups that a listener cannot forward to.
func checkGroupProtocol(b loadBalancer, listener types.ProtocolEnum, g targetGroup) error {
	switch {
	case !slices.Contains(groupProtocols[listener], g.Wire.Protocol),
		g.Wire.TargetType == types.TargetTypeEnumAlb && listener != types.ProtocolEnumTcp:
		return wire.Errorf("IncompatibleProtocols", "The listener protocol '%s' is not supported with a target group with the "+
			"target group protocol '%s' and the target type '%s'", listener, g.Wire.Protocol, g.Wire.TargetType)
	case g.Wire.IpAddressType == types.TargetGroupIpAddressTypeEnumIpv6 && b.Wire.IpAddressType == types.IpAddressTypeIpv4:
		return conflicting("The target group '%s' has the IP address type 'ipv6', which a load balancer with the IP address type 'ipv4' "+
			"cannot forward to", g.arn())
	}
	return nil
}

// checkListenersOf refuses a change of an NLB that its listeners do not go with.
func (x *tx) checkListenersOf(b loadBalancer) error {
	for _, l := range x.state.listeners.find(func(l listener) bool { return l.balancer() == b.arn() }) {
		if err := x.checkNetworkListener(b, l.Wire); err != nil {
			return err
		}
		for _, arn := range groupsOf(l.Wire.DefaultActions) {
			g, _ := x.state.targetGroups.get(arn)
			if err := checkGroupProtocol(b, l.Wire.Protocol, g); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkNetworkListener refuses listeners that others of an NLB, or how it was made, do not go with (NLB "QUIC listeners";
// API reference, EnablePrefixForIpv6SourceNat).
func (x *tx) checkNetworkListener(b loadBalancer, l types.Listener) error {
	if !b.network() {
		return nil
	}
	dualstack := b.Wire.IpAddressType == types.IpAddressTypeDualstack
	switch {
	case isQUIC(l.Protocol) && dualstack:
		return conflicting("%s listeners are not supported for load balancers with the IP address type 'dualstack'", l.Protocol)
	case isQUIC(l.Protocol) && len(b.Wire.SecurityGroups) > 0:
		return conflicting("%s listeners are not supported for load balancers with security groups", l.Protocol)
	case hasUDP(l.Protocol) && dualstack && !b.sourceNATPrefix():
		return conflicting("%s listeners of load balancers with the IP address type 'dualstack' require EnablePrefixForIpv6SourceNat "+
			"to be on", l.Protocol)
	}
	for _, o := range x.state.listeners.find(func(o listener) bool {
		return o.balancer() == b.arn() && val(o.Wire.ListenerArn) != val(l.ListenerArn) && *o.Wire.Port != *l.Port
	}) {
		if isQUIC(l.Protocol) && hasUDP(o.Wire.Protocol) || hasUDP(l.Protocol) && isQUIC(o.Wire.Protocol) {
			return conflicting("A load balancer with a QUIC or TCP_QUIC listener cannot have another one, nor UDP listeners")
		}
	}
	return nil
}
