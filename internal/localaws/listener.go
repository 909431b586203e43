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
	Wire         types.Listener // with the default certificate
	DefaultRule  string
	Attributes   map[string]string
	Certificates []string // ARNs of the others, for clients that ask for their names
}

// shown is the listener as Describe shows it.
func (l listener) shown() types.Listener {
	l.Wire.DefaultActions = withoutSecrets(l.Wire.DefaultActions)
	return l.Wire
}

func (l listener) balancer() string { return *l.Wire.LoadBalancerArn }

func (x *tx) createListener(in *elb.CreateListenerInput) (*elb.CreateListenerOutput, error) {
	b, err := elbRow(x.state.loadBalancers, balancerKind, in.LoadBalancerArn)
	if err != nil {
		return nil, err
	}
	if in.Port == nil {
		return nil, invalid("A listener port must be specified")
	}
	l := listener{
		Wire:       types.Listener{LoadBalancerArn: in.LoadBalancerArn, Port: in.Port, Protocol: in.Protocol},
		Attributes: defaults(listenerAttributesOf(in.Protocol)),
	}
	if err := x.setSecurity(&l.Wire, security{in.Certificates, in.SslPolicy, in.AlpnPolicy, in.MutualAuthentication}); err != nil {
		return nil, err
	}
	if l.Wire.DefaultActions, err = x.normalActions(b, in.Protocol, in.DefaultActions, nil); err != nil {
		return nil, err
	}
	if err := x.checkNetworkListener(b, l.Wire); err != nil {
		return nil, err
	}
	tags, err := x.collectELBTags(in.Tags)
	if err != nil {
		return nil, err
	}
	count := 0
	for arn, same := range x.state.listeners.find(func(o listener) bool { return o.balancer() == b.arn() }) {
		count++
		if *same.Wire.Port != *in.Port {
			continue
		}
		l.Wire.ListenerArn = &arn
		if reflect.DeepEqual(same.Wire, l.Wire) && maps.Equal(x.tagsOf(arn), tags) {
			return &elb.CreateListenerOutput{Listeners: []types.Listener{same.shown()}}, nil
		}
		return nil, wire.Errorf("DuplicateListener", "A listener already exists on this port for this load balancer '%s'", b.arn())
	}
	if limit := x.quota["listeners-per-"+string(b.Wire.Type)+"-load-balancer"]; count >= limit {
		return nil, wire.Errorf("TooManyListeners", "The maximum number of listeners per load balancer has been reached: %d", limit)
	}
	arn := x.elbARN("listener/" + loadBalancerName(b.arn()) + "/" + x.hex(16))
	l.Wire.ListenerArn, l.DefaultRule = &arn, ruleARN(arn, x.hex(16))
	x.state.listeners.put(x, arn, l)
	x.setTags(arn, arn, tags)
	x.state.rules.put(x, l.DefaultRule, rule{Listener: arn, Wire: types.Rule{
		RuleArn: &l.DefaultRule, IsDefault: ptr(true), Priority: ptr("default"), Actions: l.Wire.DefaultActions,
		Conditions: []types.RuleCondition{}, Transforms: []types.RuleTransform{},
	}})
	x.setTags(l.DefaultRule, l.DefaultRule, nil)
	if err := x.checkBalancerGroups(b.arn()); err != nil {
		return nil, err
	}
	return &elb.CreateListenerOutput{Listeners: []types.Listener{l.shown()}}, nil
}

func (x *tx) modifyListener(in *elb.ModifyListenerInput) (*elb.ModifyListenerOutput, error) {
	l, err := elbRow(x.state.listeners, listenerKind, in.ListenerArn)
	if err != nil {
		return nil, err
	}
	b, _ := x.state.loadBalancers.get(l.balancer())
	if in.Protocol != "" && in.Protocol != l.Wire.Protocol {
		if err := setProtocol(&l, in.Protocol, in.SslPolicy); err != nil {
			return nil, err
		}
		if err := x.checkRulesOf(b, *in.ListenerArn, in.Protocol); err != nil {
			return nil, err
		}
	}
	if err := x.setSecurity(&l.Wire, security{in.Certificates, in.SslPolicy, in.AlpnPolicy, in.MutualAuthentication}); err != nil {
		return nil, err
	}
	if err := x.checkNetworkListener(b, l.Wire); err != nil {
		return nil, err
	}
	if in.Port != nil && *in.Port != *l.Wire.Port {
		if x.state.listeners.exists(func(o listener) bool { return o.balancer() == l.balancer() && *o.Wire.Port == *in.Port }) {
			return nil, wire.Errorf("DuplicateListener", "A listener already exists on this port for this load balancer '%s'", l.balancer())
		}
		l.Wire.Port = in.Port
	}
	actions := in.DefaultActions
	if len(actions) == 0 {
		actions = l.Wire.DefaultActions
	}
	if len(in.DefaultActions) > 0 || in.Protocol != "" {
		if l.Wire.DefaultActions, err = x.normalActions(b, l.Wire.Protocol, actions, l.Wire.DefaultActions); err != nil {
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
	return &elb.ModifyListenerOutput{Listeners: []types.Listener{l.shown()}}, nil
}

// checkRulesOf refuses a protocol that the actions of a listener's rules do not go with.
func (x *tx) checkRulesOf(b loadBalancer, arn string, protocol types.ProtocolEnum) error {
	for _, r := range x.state.rules.find(func(r rule) bool { return r.Listener == arn && !r.isDefault() }) {
		if _, err := x.normalActions(b, protocol, r.Wire.Actions, nil); err != nil {
			return err
		}
	}
	return nil
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
		out.Listeners = append(out.Listeners, l.value.shown())
	}
	return out, nil
}
