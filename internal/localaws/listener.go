package localaws

import (
	"maps"
	"reflect"
	"slices"

	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/sluicehq/sluice/internal/localaws/wire"
)

// listener is a port of a load balancer. Its default rule is a row among the rules and has the same actions.
type listener struct {
	Wire        types.Listener
	DefaultRule string
	Attributes  map[string]string
}

func (l listener) balancer() string { return *l.Wire.LoadBalancerArn }

// checkProtocol: HTTP is what this version serves.
func checkProtocol(p types.ProtocolEnum, certificates []types.Certificate) error {
	switch p {
	case types.ProtocolEnumHttp:
		return nil
	case types.ProtocolEnumHttps:
		if len(certificates) == 0 {
			return invalid("A certificate must be specified for HTTPS listeners")
		}
		return wire.Errorf("UnsupportedProtocol", "HTTPS listeners are not supported by this version of local AWS")
	case "":
		return invalid("A listener protocol must be specified")
	}
	return wire.Errorf("UnsupportedProtocol", "Listener protocol '%s' is not supported for load balancers of type "+
		"'application'; it must be one of HTTP, HTTPS", p)
}

// checkPlain refuses on an HTTP listener what only encrypted ones have.
func checkPlain(certificates []types.Certificate, policy *string, alpn []string, auth *types.MutualAuthenticationAttributes) error {
	switch {
	case len(certificates) > 0:
		return conflicting("Certificates cannot be specified for HTTP listeners")
	case policy != nil:
		return conflicting("An SSL policy cannot be specified for HTTP listeners")
	case len(alpn) > 0:
		return conflicting("An ALPN policy cannot be specified for HTTP listeners")
	case auth != nil && val(auth.Mode) != "off":
		return conflicting("Mutual authentication cannot be specified for HTTP listeners")
	}
	return nil
}

func (x *tx) createListener(in *elb.CreateListenerInput) (*elb.CreateListenerOutput, error) {
	b, err := elbRow(x.state.loadBalancers, balancerKind, in.LoadBalancerArn)
	if err != nil {
		return nil, err
	}
	if in.Port == nil {
		return nil, invalid("A listener port must be specified")
	}
	if err := checkProtocol(in.Protocol, in.Certificates); err != nil {
		return nil, err
	}
	if err := checkPlain(in.Certificates, in.SslPolicy, in.AlpnPolicy, in.MutualAuthentication); err != nil {
		return nil, err
	}
	actions, err := x.normalActions(b, in.DefaultActions)
	if err != nil {
		return nil, err
	}
	tags, err := x.collectELBTags(in.Tags)
	if err != nil {
		return nil, err
	}
	count := 0
	for arn, l := range x.state.listeners.find(func(l listener) bool { return l.balancer() == b.arn() }) {
		count++
		if *l.Wire.Port != *in.Port {
			continue
		}
		if reflect.DeepEqual(l.Wire.DefaultActions, actions) && maps.Equal(x.tagsOf(arn), tags) {
			return &elb.CreateListenerOutput{Listeners: []types.Listener{l.Wire}}, nil
		}
		return nil, wire.Errorf("DuplicateListener", "A listener already exists on this port for this load balancer '%s'", b.arn())
	}
	if limit := x.quota["listeners-per-application-load-balancer"]; count >= limit {
		return nil, wire.Errorf("TooManyListeners", "The maximum number of listeners per load balancer has been reached: %d", limit)
	}
	arn := x.elbARN("listener/" + loadBalancerName(b.arn()) + "/" + x.hex(16))
	l := listener{
		Wire: types.Listener{
			ListenerArn: &arn, LoadBalancerArn: in.LoadBalancerArn, Port: in.Port, Protocol: in.Protocol, DefaultActions: actions,
		},
		DefaultRule: ruleARN(arn, x.hex(16)),
		Attributes:  defaults(listenerAttributes),
	}
	x.state.listeners.put(x, arn, l)
	x.setTags(arn, arn, tags)
	x.state.rules.put(x, l.DefaultRule, rule{Listener: arn, Wire: types.Rule{
		RuleArn: &l.DefaultRule, IsDefault: ptr(true), Priority: ptr("default"), Actions: actions,
		Conditions: []types.RuleCondition{}, Transforms: []types.RuleTransform{},
	}})
	x.setTags(l.DefaultRule, l.DefaultRule, nil)
	if err := x.checkBalancerGroups(b.arn()); err != nil {
		return nil, err
	}
	return &elb.CreateListenerOutput{Listeners: []types.Listener{l.Wire}}, nil
}

func (x *tx) modifyListener(in *elb.ModifyListenerInput) (*elb.ModifyListenerOutput, error) {
	l, err := elbRow(x.state.listeners, listenerKind, in.ListenerArn)
	if err != nil {
		return nil, err
	}
	b, _ := x.state.loadBalancers.get(l.balancer())
	if in.Protocol != "" {
		if err := checkProtocol(in.Protocol, in.Certificates); err != nil {
			return nil, err
		}
	}
	if err := checkPlain(in.Certificates, in.SslPolicy, in.AlpnPolicy, in.MutualAuthentication); err != nil {
		return nil, err
	}
	if in.Port != nil && *in.Port != *l.Wire.Port {
		if x.state.listeners.exists(func(o listener) bool { return o.balancer() == l.balancer() && *o.Wire.Port == *in.Port }) {
			return nil, wire.Errorf("DuplicateListener", "A listener already exists on this port for this load balancer '%s'", l.balancer())
		}
		l.Wire.Port = in.Port
	}
	if len(in.DefaultActions) > 0 {
		if l.Wire.DefaultActions, err = x.normalActions(b, in.DefaultActions); err != nil {
			return nil, err
		}
		r, _ := x.state.rules.get(l.DefaultRule)
		r.Wire.Actions = l.Wire.DefaultActions
		x.state.rules.put(x, l.DefaultRule, r)
	}
	x.state.listeners.put(x, *in.ListenerArn, l)
	if err := x.checkBalancerGroups(l.balancer()); err != nil {
		return nil, err
	}
	return &elb.ModifyListenerOutput{Listeners: []types.Listener{l.Wire}}, nil
}

func (x *tx) deleteListener(in *elb.DeleteListenerInput) (*elb.DeleteListenerOutput, error) {
	if _, err := elbRow(x.state.listeners, listenerKind, in.ListenerArn); err != nil {
		return nil, err
	}
	x.dropListener(*in.ListenerArn)
	return &elb.DeleteListenerOutput{}, nil
}

// dropListener removes a listener with its rules.
func (x *tx) dropListener(arn string) {
	for _, r := range x.state.rules.items(func(_ string, r rule) bool { return r.Listener == arn }) {
		x.state.rules.delete(x, r.id)
		x.state.tags.delete(x, r.id)
	}
	x.state.listeners.delete(x, arn)
	x.state.tags.delete(x, arn)
}

func (x *tx) describeListeners(in *elb.DescribeListenersInput) (*elb.DescribeListenersOutput, error) {
	switch {
	case in.LoadBalancerArn == nil && len(in.ListenerArns) == 0:
		return nil, invalid("You must specify either listener ARNs or a load balancer ARN")
	case in.LoadBalancerArn != nil && len(in.ListenerArns) > 0:
		return nil, invalid("Listener ARNs and a load balancer ARN cannot be specified at the same time")
	case in.LoadBalancerArn != nil:
		if _, err := elbRow(x.state.loadBalancers, balancerKind, in.LoadBalancerArn); err != nil {
			return nil, err
		}
	}
	for _, arn := range in.ListenerArns {
		if _, err := elbRow(x.state.listeners, listenerKind, &arn); err != nil {
			return nil, err
		}
	}
	all := x.state.listeners.items(func(arn string, l listener) bool {
		return in.LoadBalancerArn != nil && l.balancer() == *in.LoadBalancerArn || slices.Contains(in.ListenerArns, arn)
	})
	found, next, err := pageELB(all, in.Marker, in.PageSize)
	if err != nil {
		return nil, err
	}
	out := &elb.DescribeListenersOutput{Listeners: []types.Listener{}, NextMarker: next}
	for _, l := range found {
		out.Listeners = append(out.Listeners, l.value.Wire)
	}
	return out, nil
}

// describeListenerCertificates: HTTP listeners have none.
func (x *tx) describeListenerCertificates(in *elb.DescribeListenerCertificatesInput) (*elb.DescribeListenerCertificatesOutput, error) {
	if _, err := elbRow(x.state.listeners, listenerKind, in.ListenerArn); err != nil {
		return nil, err
	}
	return &elb.DescribeListenerCertificatesOutput{Certificates: []types.Certificate{}}, nil
}
