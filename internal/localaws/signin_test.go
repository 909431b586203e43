package localaws_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/sluicehq/sluice/internal/localaws"
	"github.com/sluicehq/sluice/internal/localaws/localawstest"
)

// signIn is an action that has users sign in, before others.
func signIn(change func(*types.AuthenticateOidcActionConfig), then ...types.Action) []types.Action {
	c := &types.AuthenticateOidcActionConfig{
		Issuer: aws.String("https://id.example.com"), AuthorizationEndpoint: aws.String("https://id.example.com/auth"),
		TokenEndpoint: aws.String("https://id.example.com/token"), UserInfoEndpoint: aws.String("https://id.example.com/user"),
		ClientId: aws.String("client"), ClientSecret: aws.String("hush"),
	}
	if change != nil {
		change(c)
	}
	return append([]types.Action{{Type: types.ActionTypeEnumAuthenticateOidc, AuthenticateOidcConfig: c}}, then...)
}

func jwt(change func(*types.JwtValidationActionConfig), then ...types.Action) []types.Action {
	c := &types.JwtValidationActionConfig{Issuer: aws.String("https://id.example.com"), JwksEndpoint: aws.String("https://id.example.com/keys")}
	if change != nil {
		change(c)
	}
	return append([]types.Action{{Type: types.ActionTypeEnumJwtValidation, JwtValidationConfig: c}}, then...)
}

func claim(name string, values ...string) func(*types.JwtValidationActionConfig) {
	return func(c *types.JwtValidationActionConfig) {
		c.AdditionalClaims = []types.JwtValidationActionAdditionalClaim{{Name: &name, Format: "single-string", Values: values}}
	}
}

// TestSignInActions: which lists of actions are taken, and that a secret goes in and never out.
func TestSignInActions(t *testing.T) {
	c := start(t)
	ctx := t.Context()
	b := *c.balancer(t, "web").LoadBalancerArn
	l := c.secure(t, b, c.issued(t, "", "a.example.com"), signIn(nil, notFound()...))
	plain := c.listener(t, b, notFound())
	create := func(listener string, actions []types.Action) (*elb.CreateRuleOutput, error) {
		return c.elb.CreateRule(ctx, &elb.CreateRuleInput{ListenerArn: &listener, Priority: aws.Int32(1), Conditions: path("/"), Actions: actions})
	}
	ordered := signIn(nil, notFound()...)
	ordered[0].Order, ordered[1].Order = aws.Int32(2), aws.Int32(1)
	same := signIn(nil, notFound()...)
	same[0].Order, same[1].Order = aws.Int32(1), aws.Int32(1)
	for why, row := range map[string]struct {
		listener     string
		actions      []types.Action
		code, phrase string
	}{
		"HTTP":            {plain, signIn(nil, notFound()...), "InvalidLoadBalancerAction", "HTTPS"},
		"token over HTTP": {plain, jwt(nil, notFound()...), "InvalidLoadBalancerAction", "HTTPS"},
		"nothing after":   {l, signIn(nil), "InvalidLoadBalancerAction", "last action"},
		"after the last":  {l, ordered, "InvalidLoadBalancerAction", "last"},
		"same order":      {l, same, "InvalidLoadBalancerAction", "order"},
		"two":             {l, signIn(nil, jwt(nil, notFound()...)...), "InvalidLoadBalancerAction", "only one"},
		"no config":       {l, append([]types.Action{{Type: "authenticate-oidc"}}, notFound()...), "InvalidLoadBalancerAction", "AuthenticateOidcConfig"},
		"other config":    {l, append([]types.Action{{Type: "authenticate-oidc", JwtValidationConfig: jwt(nil)[0].JwtValidationConfig}}, notFound()...), "InvalidLoadBalancerAction", "JwtValidationConfig"},
		"no secret":       {l, signIn(func(o *types.AuthenticateOidcActionConfig) { o.ClientSecret = nil }, notFound()...), "InvalidLoadBalancerAction", "secret"},
		"existing secret": {l, signIn(func(o *types.AuthenticateOidcActionConfig) {
			o.ClientSecret, o.UseExistingClientSecret = nil, aws.Bool(true)
		}, notFound()...), "InvalidLoadBalancerAction", "no client secret"},
		"URL":             {l, signIn(func(o *types.AuthenticateOidcActionConfig) { o.TokenEndpoint = aws.String("id.example.com") }, notFound()...), "InvalidLoadBalancerAction", "token endpoint"},
		"timeout":         {l, signIn(func(o *types.AuthenticateOidcActionConfig) { o.SessionTimeout = aws.Int64(604801) }, notFound()...), "ValidationError", "604800"},
		"cookie":          {l, signIn(func(o *types.AuthenticateOidcActionConfig) { o.SessionCookieName = aws.String("a b") }, notFound()...), "ValidationError", "cookie"},
		"unauthenticated": {l, signIn(func(o *types.AuthenticateOidcActionConfig) { o.OnUnauthenticatedRequest = "maybe" }, notFound()...), "ValidationError", "enum"},
		"standard claim":  {l, jwt(claim("exp", "1"), notFound()...), "ValidationError", "exp"},
		"many values":     {l, jwt(claim("scope", strings.Split(strings.Repeat("x", 11), "")...), notFound()...), "ValidationError", "10"},
		"long value":      {l, jwt(claim("scope", strings.Repeat("x", 257)), notFound()...), "ValidationError", "256"},
		"keys":            {l, jwt(func(j *types.JwtValidationActionConfig) { j.JwksEndpoint = aws.String("ftp://id.example.com") }, notFound()...), "InvalidLoadBalancerAction", "JWKS"},
	} {
		t.Run(why, func(t *testing.T) {
			_, err := create(row.listener, row.actions)
			wants(t, err, row.code, row.phrase)
		})
	}
	unordered := signIn(nil, notFound()...)
	unordered[0].Order, unordered[1].Order = aws.Int32(7), aws.Int32(9)
	unordered[0], unordered[1] = unordered[1], unordered[0]
	made := must[*elb.CreateRuleOutput](t)(create(l, unordered)).Rules[0]
	shown := made.Actions[0].AuthenticateOidcConfig
	if shown == nil || *shown.Scope != "openid" || *shown.SessionCookieName != "AWSELBAuthSessionCookie" || *shown.SessionTimeout != 604800 ||
		shown.OnUnauthenticatedRequest != "authenticate" {
		t.Errorf("%+v", made.Actions)
	}
	applied := func() (secrets []string) {
		for _, l := range c.Plane.Config().LoadBalancers[0].Listeners {
			for _, r := range l.Rules {
				secrets = append(secrets, r.Action.Authenticate.ClientSecret)
			}
		}
		return secrets
	}
	modified := must[*elb.ModifyRuleOutput](t)(c.elb.ModifyRule(ctx, &elb.ModifyRuleInput{RuleArn: made.RuleArn, Actions: signIn(func(o *types.AuthenticateOidcActionConfig) {
		o.ClientSecret, o.UseExistingClientSecret, o.Scope = nil, aws.Bool(true), aws.String("openid email")
	}, says("hello")...)}))
	rules := must[*elb.DescribeRulesOutput](t)(c.elb.DescribeRules(ctx, &elb.DescribeRulesInput{ListenerArn: &l}))
	listeners := must[*elb.DescribeListenersOutput](t)(c.elb.DescribeListeners(ctx, &elb.DescribeListenersInput{LoadBalancerArn: &b}))
	set := must[*elb.SetRulePrioritiesOutput](t)(c.elb.SetRulePriorities(ctx, &elb.SetRulePrioritiesInput{RulePriorities: []types.RulePriorityPair{{RuleArn: made.RuleArn, Priority: aws.Int32(5)}}}))
	if got := applied(); len(got) != 1 || got[0] != "hush" {
		t.Errorf("the secret in force is %q", got)
	}
	all := [][]types.Action{made.Actions, modified.Rules[0].Actions, set.Rules[0].Actions}
	for _, r := range rules.Rules {
		all = append(all, r.Actions)
	}
	for _, l := range listeners.Listeners {
		all = append(all, l.DefaultActions)
	}
	for _, actions := range all {
		for _, a := range actions {
			if a.AuthenticateOidcConfig != nil && a.AuthenticateOidcConfig.ClientSecret != nil {
				t.Error("a client secret was shown")
			}
		}
	}
	if text := fmt.Sprint(c.Calls()); strings.Contains(text, "hush") {
		t.Error("the secret is in the counts of calls")
	}
	// HTTP is for a laptop's providers; where AWS is to be met in all, it is not taken.
	insecure := func(o *types.AuthenticateOidcActionConfig) {
		o.TokenEndpoint = aws.String("http://127.0.0.1:5556/token")
	}
	must[*elb.ModifyRuleOutput](t)(c.elb.ModifyRule(ctx, &elb.ModifyRuleInput{RuleArn: made.RuleArn, Actions: signIn(insecure, notFound()...)}))
	strict := start(t, localawstest.WithOptions(func(o *localaws.Options) { o.Profile.StrictTargets = true }))
	sb := *strict.balancer(t, "web").LoadBalancerArn
	_, err := strict.elb.CreateListener(ctx, &elb.CreateListenerInput{
		LoadBalancerArn: &sb, Port: aws.Int32(1), Protocol: "HTTPS", Certificates: only(strict.issued(t, "", "a.example.com")), DefaultActions: signIn(insecure, notFound()...),
	})
	wants(t, err, "InvalidLoadBalancerAction", "HTTPS")
}
