package localaws

import (
	"slices"
	"strconv"
	"strings"

	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/sluicehq/sluice/internal/localaws/wire"
)

// rule is a rule of a listener; the default one has no priority.
type rule struct {
	Listener string
	Priority int32
	Wire     types.Rule
}

// shown is the rule as Describe shows it.
func (r rule) shown() types.Rule {
	r.Wire.Actions = withoutSecrets(r.Wire.Actions)
	return r.Wire
}

func (r rule) isDefault() bool { return r.Priority == 0 }

// order sorts the default rule last.
func (r rule) order() uint64 {
	if r.isDefault() {
		return 1 << 20
	}
	return uint64(r.Priority)
}

func ruleARN(listener, id string) string {
	return strings.Replace(listener, ":listener/", ":listener-rule/", 1) + "/" + id
}

func (x *tx) createRule(in *elb.CreateRuleInput) (*elb.CreateRuleOutput, error) {
	l, err := elbRow(x.state.listeners, listenerKind, in.ListenerArn)
	if err != nil {
		return nil, err
	}
	transforms, err := normalTransforms(in.Transforms)
	if err != nil {
		return nil, err
	}
	b, _ := x.state.loadBalancers.get(l.balancer())
	if b.network() {
		return nil, conflicting("Rules are not supported for listeners with protocol '%s' by this version of local AWS", l.Wire.Protocol)
	}
	conditions, err := x.normalConditions(in.Conditions)
	if err != nil {
		return nil, err
	}
	actions, err := x.normalActions(b, l.Wire.Protocol, in.Actions, nil)
	if err != nil {
		return nil, err
	}
	tags, err := x.collectELBTags(in.Tags)
	if err != nil {
		return nil, err
	}
	if x.priorityTaken(*in.ListenerArn, *in.Priority, nil) {
		return nil, priorityInUse(*in.Priority)
	}
	if limit := x.quota["rules-per-application-load-balancer"]; x.rulesOn(b.arn()) >= limit {
		return nil, wire.Errorf("TooManyRules", "The maximum number of rules per load balancer has been reached: %d", limit)
	}
	arn := ruleARN(*in.ListenerArn, x.hex(16))
	r := rule{Listener: *in.ListenerArn, Priority: *in.Priority, Wire: types.Rule{
		RuleArn: &arn, Priority: ptr(strconv.Itoa(int(*in.Priority))), IsDefault: ptr(false), Conditions: conditions,
		Actions: actions, Transforms: transforms,
	}}
	x.state.rules.put(x, arn, r)
	x.setTags(arn, arn, tags)
	if err := x.checkBalancerGroups(b.arn()); err != nil {
		return nil, err
	}
	return &elb.CreateRuleOutput{Rules: []types.Rule{r.shown()}}, nil
}

func priorityInUse(priority int32) error {
	return wire.Errorf("PriorityInUse", "Priority '%d' is currently in use", priority)
}

// priorityTaken looks for a rule of a listener with a priority, leaving some rules out of account.
func (x *tx) priorityTaken(listener string, priority int32, except map[string]int32) bool {
	for arn := range x.state.rules.find(func(r rule) bool { return r.Listener == listener && r.Priority == priority }) {
		if _, moved := except[arn]; !moved {
			return true
		}
	}
	return false
}

// rulesOn counts a load balancer's rules; default rules do not count.
func (x *tx) rulesOn(balancer string) int {
	listeners := map[string]bool{}
	for arn := range x.state.listeners.find(func(l listener) bool { return l.balancer() == balancer }) {
		listeners[arn] = true
	}
	n := 0
	for range x.state.rules.find(func(r rule) bool { return listeners[r.Listener] && !r.isDefault() }) {
		n++
	}
	return n
}

func (x *tx) modifyRule(in *elb.ModifyRuleInput) (*elb.ModifyRuleOutput, error) {
	r, err := elbRow(x.state.rules, ruleKind, in.RuleArn)
	if err != nil {
		return nil, err
	}
	if r.isDefault() {
		return nil, wire.Errorf("OperationNotPermitted", "Default rule '%s' cannot be modified", *in.RuleArn)
	}
	switch {
	case val(in.ResetTransforms) && len(in.Transforms) > 0:
		return nil, invalid("Transforms and ResetTransforms cannot be specified at the same time")
	case val(in.ResetTransforms):
		r.Wire.Transforms = []types.RuleTransform{}
	case len(in.Transforms) > 0:
		if r.Wire.Transforms, err = normalTransforms(in.Transforms); err != nil {
			return nil, err
		}
	}
	l, _ := x.state.listeners.get(r.Listener)
	b, _ := x.state.loadBalancers.get(l.balancer())
	if len(in.Conditions) > 0 {
		if r.Wire.Conditions, err = x.normalConditions(in.Conditions); err != nil {
			return nil, err
		}
	}
	if len(in.Actions) > 0 {
		if r.Wire.Actions, err = x.normalActions(b, l.Wire.Protocol, in.Actions, r.Wire.Actions); err != nil {
			return nil, err
		}
	}
	x.state.rules.put(x, *in.RuleArn, r)
	if err := x.checkBalancerGroups(b.arn()); err != nil {
		return nil, err
	}
	return &elb.ModifyRuleOutput{Rules: []types.Rule{r.shown()}}, nil
}

func (x *tx) deleteRule(in *elb.DeleteRuleInput) (*elb.DeleteRuleOutput, error) {
	r, err := elbRow(x.state.rules, ruleKind, in.RuleArn)
	if err != nil {
		return nil, err
	}
	if r.isDefault() {
		return nil, wire.Errorf("OperationNotPermitted", "Default rule '%s' cannot be deleted", *in.RuleArn)
	}
	x.state.rules.delete(x, *in.RuleArn)
	x.state.tags.delete(x, *in.RuleArn)
	return &elb.DeleteRuleOutput{}, nil
}

func (x *tx) setRulePriorities(in *elb.SetRulePrioritiesInput) (*elb.SetRulePrioritiesOutput, error) {
	wanted := map[string]int32{}
	taken := map[string]map[int32]bool{}
	for _, p := range in.RulePriorities {
		r, err := elbRow(x.state.rules, ruleKind, p.RuleArn)
		if err != nil {
			return nil, err
		}
		if p.Priority == nil {
			return nil, invalid("A priority must be specified for rule '%s'", *p.RuleArn)
		}
		if r.isDefault() {
			return nil, wire.Errorf("OperationNotPermitted", "The priority of default rule '%s' cannot be set", *p.RuleArn)
		}
		if taken[r.Listener] == nil {
			taken[r.Listener] = map[int32]bool{}
		}
		if _, twice := wanted[*p.RuleArn]; twice {
			return nil, invalid("Rule '%s' was specified more than once", *p.RuleArn)
		}
		if taken[r.Listener][*p.Priority] {
			return nil, priorityInUse(*p.Priority)
		}
		wanted[*p.RuleArn], taken[r.Listener][*p.Priority] = *p.Priority, true
	}
	if len(wanted) == 0 {
		return nil, invalid("Rule priorities must be specified")
	}
	out := &elb.SetRulePrioritiesOutput{}
	for _, p := range in.RulePriorities {
		r, _ := x.state.rules.get(*p.RuleArn)
		if x.priorityTaken(r.Listener, *p.Priority, wanted) {
			return nil, priorityInUse(*p.Priority)
		}
	}
	for _, p := range in.RulePriorities {
		r, _ := x.state.rules.get(*p.RuleArn)
		r.Priority, r.Wire.Priority = *p.Priority, ptr(strconv.Itoa(int(*p.Priority)))
		x.state.rules.put(x, *p.RuleArn, r)
		out.Rules = append(out.Rules, r.shown())
	}
	return out, nil
}

func (x *tx) describeRules(in *elb.DescribeRulesInput) (*elb.DescribeRulesOutput, error) {
	switch {
	case in.ListenerArn == nil && len(in.RuleArns) == 0:
		return nil, invalid("You must specify either a listener ARN or rule ARNs")
	case in.ListenerArn != nil && len(in.RuleArns) > 0:
		return nil, invalid("A listener ARN and rule ARNs cannot be specified at the same time")
	case in.ListenerArn != nil:
		if _, err := elbRow(x.state.listeners, listenerKind, in.ListenerArn); err != nil {
			return nil, err
		}
	}
	for _, arn := range in.RuleArns {
		if _, err := elbRow(x.state.rules, ruleKind, &arn); err != nil {
			return nil, err
		}
	}
	all := x.state.rules.items(func(arn string, r rule) bool {
		return in.ListenerArn != nil && r.Listener == *in.ListenerArn || slices.Contains(in.RuleArns, arn)
	})
	if in.ListenerArn != nil {
		for i := range all {
			all[i].key = all[i].value.order()
		}
		slices.SortFunc(all, func(a, b item[rule]) int { return int(a.key) - int(b.key) })
	}
	found, next, err := pageELB(all, in.Marker, in.PageSize)
	if err != nil {
		return nil, err
	}
	out := &elb.DescribeRulesOutput{Rules: []types.Rule{}, NextMarker: next}
	for _, r := range found {
		out.Rules = append(out.Rules, r.value.shown())
	}
	return out, nil
}
