package localaws

import (
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/sluicehq/sluice/internal/localaws/wire"
)

func badAction(format string, args ...any) error {
	return wire.Errorf("InvalidLoadBalancerAction", format, args...)
}

// normalActions checks the actions of a rule of a listener with a protocol, and returns them as Describe shows them but
// for secrets. Those that the rule had before lend theirs.
func (x *tx) normalActions(b loadBalancer, protocol types.ProtocolEnum, actions, before []types.Action) ([]types.Action, error) {
	if len(actions) == 0 {
		return nil, invalid("Actions must be specified")
	}
	if b.network() {
		if err := checkNetworkActions(actions); err != nil {
			return nil, err
		}
	}
	out, err := inOrder(actions)
	if err != nil {
		return nil, err
	}
	for i := range out {
		if err := checkPlace(out, i, protocol); err != nil {
			return nil, err
		}
		if out[i], err = x.normalAction(b, protocol, out[i], before); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// inOrder sorts actions by their order, which is that of the list where none is given.
func inOrder(actions []types.Action) ([]types.Action, error) {
	out := slices.Clone(actions)
	for i := range out {
		if out[i].Order == nil {
			out[i].Order = ptr(int32(i + 1)) //nolint:gosec // a short list
		}
	}
	slices.SortStableFunc(out, func(a, b types.Action) int { return int(*a.Order) - int(*b.Order) })
	for i := 1; i < len(out); i++ {
		if *out[i].Order == *out[i-1].Order {
			return nil, badAction("Two actions have the order '%d'", *out[i].Order)
		}
	}
	return out, nil
}

// checkPlace: exactly one action says what becomes of a request, and it is the last. One before it may say whose requests
// are served, on listeners that are encrypted.
func checkPlace(actions []types.Action, at int, protocol types.ProtocolEnum) error {
	a := actions[at]
	last := at == len(actions)-1
	switch a.Type {
	case types.ActionTypeEnumForward, types.ActionTypeEnumRedirect, types.ActionTypeEnumFixedResponse:
		if !last {
			return badAction("An action list can have only one action of the types forward, redirect and fixed-response, and it must be the last")
		}
		return nil
	}
	switch {
	case protocol != types.ProtocolEnumHttps:
		return badAction("Actions of type '%s' are supported only on HTTPS listeners", a.Type)
	case last:
		return badAction("The last action must be of type forward, redirect or fixed-response, not '%s'", a.Type)
	case at > 0:
		return badAction("An action list can have only one action of the types authenticate-oidc, authenticate-cognito and jwt-validation")
	}
	return nil
}

func (x *tx) normalAction(b loadBalancer, protocol types.ProtocolEnum, a types.Action, before []types.Action) (types.Action, error) {
	if extra := extraConfig(a); extra != "" {
		return a, badAction("%s cannot be specified for an action of type '%s'", extra, a.Type)
	}
	var err error
	switch a.Type {
	case types.ActionTypeEnumForward:
		a, err = x.normalForward(b, protocol, a)
	case types.ActionTypeEnumRedirect:
		a.RedirectConfig, err = normalRedirect(a.RedirectConfig, protocol)
	case types.ActionTypeEnumFixedResponse:
		a.FixedResponseConfig, err = normalFixedResponse(a.FixedResponseConfig)
	case types.ActionTypeEnumAuthenticateOidc:
		a.AuthenticateOidcConfig, err = x.normalOIDC(a.AuthenticateOidcConfig, before)
	case types.ActionTypeEnumAuthenticateCognito:
		a.AuthenticateCognitoConfig, err = x.normalCognito(a.AuthenticateCognitoConfig)
	case types.ActionTypeEnumJwtValidation:
		a.JwtValidationConfig, err = x.normalJWT(a.JwtValidationConfig)
	default:
		err = notServed("Action type '" + string(a.Type) + "'")
	}
	return a, err
}

// extraConfig names a configuration that belongs to another type of action.
func extraConfig(a types.Action) string {
	switch {
	case a.Type != types.ActionTypeEnumForward && a.ForwardConfig != nil:
		return "ForwardConfig"
	case a.Type != types.ActionTypeEnumForward && a.TargetGroupArn != nil:
		return "TargetGroupArn"
	case a.Type != types.ActionTypeEnumRedirect && a.RedirectConfig != nil:
		return "RedirectConfig"
	case a.Type != types.ActionTypeEnumFixedResponse && a.FixedResponseConfig != nil:
		return "FixedResponseConfig"
	case a.Type != types.ActionTypeEnumAuthenticateOidc && a.AuthenticateOidcConfig != nil:
		return "AuthenticateOidcConfig"
	case a.Type != types.ActionTypeEnumAuthenticateCognito && a.AuthenticateCognitoConfig != nil:
		return "AuthenticateCognitoConfig"
	case a.Type != types.ActionTypeEnumJwtValidation && a.JwtValidationConfig != nil:
		return "JwtValidationConfig"
	}
	return ""
}

func (x *tx) normalForward(b loadBalancer, protocol types.ProtocolEnum, a types.Action) (types.Action, error) {
	var tuples []types.TargetGroupTuple
	sticky := &types.TargetGroupStickinessConfig{Enabled: ptr(false)}
	if a.ForwardConfig != nil {
		tuples = slices.Clone(a.ForwardConfig.TargetGroups)
		if s := a.ForwardConfig.TargetGroupStickinessConfig; s != nil && val(s.Enabled) {
			if d := val(s.DurationSeconds); d < 1 || d > 604800 {
				return a, invalid("DurationSeconds '%d' of the target group stickiness must be between 1 and 604800", d)
			}
			sticky = s
		}
	}
	switch {
	case len(tuples) == 0 && a.TargetGroupArn == nil:
		return a, badAction("A target group must be specified for an action of type 'forward'")
	case len(tuples) == 0:
		tuples = []types.TargetGroupTuple{{TargetGroupArn: a.TargetGroupArn}}
	case a.TargetGroupArn != nil && (len(tuples) > 1 || val(tuples[0].TargetGroupArn) != *a.TargetGroupArn):
		return a, badAction("You must specify either a target group ARN or a ForwardConfig, or the same single target group in both")
	}
	if limit := x.quota["target-groups-per-action-on-"+string(b.Wire.Type)+"-load-balancer"]; len(tuples) > limit {
		return a, wire.Errorf("TooManyTargetGroups", "The maximum number of target groups per action has been reached: %d", limit)
	}
	seen := map[string]bool{}
	for i := range tuples {
		t := &tuples[i]
		g, err := elbRow(x.state.targetGroups, groupKind, t.TargetGroupArn)
		if err != nil {
			return a, err
		}
		if t.Weight == nil {
			t.Weight = ptr(int32(1))
		}
		switch {
		case protocol != types.ProtocolEnumHttps && slices.Contains([]string{"HTTP2", grpc}, val(g.Wire.ProtocolVersion)):
			return a, conflicting("Listener protocol '%s' is not supported with a target group with the protocol-version '%s'",
				protocol, *g.Wire.ProtocolVersion)
		case seen[g.arn()]:
			return a, badAction("Target group '%s' was specified more than once", g.arn())
		case *t.Weight < 0 || *t.Weight > 999:
			return a, invalid("Weight '%d' must be between 0 and 999", *t.Weight)
		case val(g.Wire.VpcId) != *b.Wire.VpcId:
			return a, conflicting("The target group '%s' is not in the same VPC as the load balancer '%s'", g.arn(), b.arn())
		}
		if err := checkGroupProtocol(b, protocol, g); err != nil {
			return a, err
		}
		seen[g.arn()] = true
		for _, other := range x.balancersOf(g.arn()) {
			if other != b.arn() {
				return a, wire.Errorf("TargetGroupAssociationLimit", "The following target groups cannot be associated with more "+
					"than one load balancer: %s", g.arn())
			}
		}
	}
	a.TargetGroupArn = nil
	if len(tuples) == 1 {
		a.TargetGroupArn = tuples[0].TargetGroupArn
	}
	a.ForwardConfig = &types.ForwardActionConfig{
		TargetGroups: tuples, TargetGroupStickinessConfig: sticky,
	}
	return a, nil
}

func normalRedirect(in *types.RedirectActionConfig, from types.ProtocolEnum) (*types.RedirectActionConfig, error) {
	if in == nil {
		return nil, badAction("A RedirectConfig must be specified for an action of type 'redirect'")
	}
	r := *in
	set := func(p **string, value string) {
		if *p == nil {
			*p = &value
		}
	}
	set(&r.Protocol, "#{protocol}")
	set(&r.Host, "#{host}")
	set(&r.Port, "#{port}")
	set(&r.Path, "/#{path}")
	set(&r.Query, "#{query}")
	port, err := strconv.Atoi(*r.Port)
	switch {
	case *r.Port != "#{port}" && (err != nil || port < 1 || port > 65535):
		return nil, badAction("The redirect port '%s' must be between 1 and 65535, or #{port}", *r.Port)
	case from == types.ProtocolEnumHttps && *r.Protocol == "HTTP":
		return nil, badAction("A redirect from HTTPS to HTTP is not supported")
	case !strings.HasPrefix(*r.Path, "/"):
		return nil, badAction("The redirect path '%s' must start with '/'", *r.Path)
	case *r.Protocol == "#{protocol}" && *r.Host == "#{host}" && *r.Port == "#{port}" && *r.Path == "/#{path}":
		return nil, badAction("The redirect must change the protocol, host, port or path, or it would loop")
	}
	for _, text := range []string{*r.Host, *r.Path, *r.Query} {
		if bad := badPlaceholder(text); bad != "" {
			return nil, badAction("The redirect contains '%s', which is not a placeholder", bad)
		}
	}
	return &r, nil
}

// badPlaceholder finds a #{…} that means nothing.
func badPlaceholder(s string) string {
	for {
		_, rest, found := strings.Cut(s, "#{")
		if !found {
			return ""
		}
		name, after, closed := strings.Cut(rest, "}")
		if !closed || !slices.Contains([]string{"protocol", "host", "port", "path", "query"}, name) {
			return "#{" + name
		}
		s = after
	}
}

func normalFixedResponse(in *types.FixedResponseActionConfig) (*types.FixedResponseActionConfig, error) {
	if in == nil {
		return nil, badAction("A FixedResponseConfig must be specified for an action of type 'fixed-response'")
	}
	f := *in
	if t := val(f.ContentType); f.ContentType != nil && !slices.Contains([]string{
		"text/plain", "text/css", "text/html", "application/javascript", "application/json",
	}, t) {
		return nil, invalid("The content type '%s' is not one of text/plain, text/css, text/html, application/javascript, "+
			"application/json", t)
	}
	if f.MessageBody != nil && f.ContentType == nil {
		f.ContentType = ptr("text/plain")
	}
	return &f, nil
}

// groupsOf lists the target groups that actions forward to.
func groupsOf(actions []types.Action) []string {
	var out []string
	for _, a := range actions {
		if a.ForwardConfig != nil {
			out = append(out, each(a.ForwardConfig.TargetGroups, func(t types.TargetGroupTuple) *string { return t.TargetGroupArn })...)
		}
	}
	return out
}
