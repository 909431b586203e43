package localaws

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/sluicehq/sluice/internal/proxy"
)

// The defaults of actions that have users sign in, as Describe shows them.
const (
	usualScope   = "openid"
	usualCookie  = "AWSELBAuthSessionCookie"
	longestLogin = 604800
)

// Limits of the claims that a token is held against, and of the parameters added to an authentication request.
const (
	maxClaims      = 10
	maxClaimValues = 10
	maxClaimValue  = 256
	maxExtraParams = 10
)

// endpoint refuses what is not a URL of HTTPS. Where targets may be on this machine, identity providers may too, and
// then they may speak plain HTTP.
func (x *tx) endpoint(name, value string) error {
	u, err := url.Parse(value)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.Fragment != "":
		return badAction("The %s '%s' is not a valid URL", name, value)
	case u.Scheme != "https" && (u.Scheme != "http" || x.profile.Load().StrictTargets):
		return badAction("The %s '%s' must be a URL with the protocol HTTPS", name, value)
	}
	return nil
}

// normalOIDC checks a configuration and fills in its defaults. The secret of the action before is kept where that is
// asked for.
func (x *tx) normalOIDC(in *types.AuthenticateOidcActionConfig, before []types.Action) (*types.AuthenticateOidcActionConfig, error) {
	if in == nil {
		return nil, badAction("An AuthenticateOidcConfig must be specified for an action of type 'authenticate-oidc'")
	}
	c := *in
	for _, e := range []struct{ name, value string }{
		{"issuer", *c.Issuer}, {"authorization endpoint", *c.AuthorizationEndpoint}, {"token endpoint", *c.TokenEndpoint},
		{"user info endpoint", *c.UserInfoEndpoint},
	} {
		if err := x.endpoint(e.name, e.value); err != nil {
			return nil, err
		}
	}
	if val(c.UseExistingClientSecret) {
		if c.ClientSecret != nil {
			return nil, badAction("A client secret cannot be specified with UseExistingClientSecret")
		}
		at := slices.IndexFunc(before, func(a types.Action) bool { return a.AuthenticateOidcConfig != nil })
		if at < 0 {
			return nil, badAction("There is no client secret to use; it must be specified")
		}
		c.ClientSecret = before[at].AuthenticateOidcConfig.ClientSecret
	}
	c.UseExistingClientSecret = nil
	if c.ClientSecret == nil {
		return nil, badAction("A client secret must be specified for an action of type 'authenticate-oidc'")
	}
	if c.OnUnauthenticatedRequest == "" {
		c.OnUnauthenticatedRequest = types.AuthenticateOidcActionConditionalBehaviorEnumAuthenticate
	}
	return &c, normalLogin(&c.Scope, &c.SessionCookieName, &c.SessionTimeout, c.AuthenticationRequestExtraParams)
}

// normalCognito checks a configuration and fills in its defaults: pool, client and domain have to be there.
func (x *tx) normalCognito(in *types.AuthenticateCognitoActionConfig) (*types.AuthenticateCognitoActionConfig, error) {
	if in == nil {
		return nil, badAction("An AuthenticateCognitoConfig must be specified for an action of type 'authenticate-cognito'")
	}
	c := *in
	if _, err := x.loginAt(*c.UserPoolArn, *c.UserPoolClientId, *c.UserPoolDomain); err != nil {
		return nil, err
	}
	if c.OnUnauthenticatedRequest == "" {
		c.OnUnauthenticatedRequest = types.AuthenticateCognitoActionConditionalBehaviorEnumAuthenticate
	}
	return &c, normalLogin(&c.Scope, &c.SessionCookieName, &c.SessionTimeout, c.AuthenticationRequestExtraParams)
}

// usesCognito says whether actions depend on a user pool, and on where its pages are.
func usesCognito(actions []types.Action) bool {
	return slices.ContainsFunc(actions, func(a types.Action) bool { return a.AuthenticateCognitoConfig != nil })
}

// normalLogin checks what all ways of signing in have.
func normalLogin(scope, cookie **string, timeout **int64, extra map[string]string) error {
	*scope = ptr(firstOf(val(*scope), usualScope))
	*cookie = ptr(firstOf(val(*cookie), usualCookie))
	if *timeout == nil {
		*timeout = ptr(int64(longestLogin))
	}
	switch seconds := **timeout; {
	case seconds < 1 || seconds > longestLogin:
		return invalid("The session timeout '%d' must be between 1 and %d", seconds, longestLogin)
	case !headerName.MatchString(**cookie):
		return invalid("The session cookie name '%s' is not valid", **cookie)
	case len(extra) > maxExtraParams:
		return invalid("At most %d extra parameters of the authentication request can be specified", maxExtraParams)
	}
	return nil
}

func (x *tx) normalJWT(in *types.JwtValidationActionConfig) (*types.JwtValidationActionConfig, error) {
	if in == nil {
		return nil, badAction("A JwtValidationConfig must be specified for an action of type 'jwt-validation'")
	}
	if err := x.endpoint("JWKS endpoint", *in.JwksEndpoint); err != nil {
		return nil, err
	}
	if *in.Issuer == "" || len(*in.Issuer) > maxClaimValue {
		return nil, invalid("The issuer must have between 1 and %d characters", maxClaimValue)
	}
	if len(in.AdditionalClaims) > maxClaims {
		return nil, invalid("At most %d additional claims can be specified", maxClaims)
	}
	seen := map[string]bool{"iss": true, "exp": true, "nbf": true, "iat": true}
	for _, c := range in.AdditionalClaims {
		switch {
		case *c.Name == "" || len(*c.Name) > maxClaimValue:
			return nil, invalid("The name of a claim must have between 1 and %d characters", maxClaimValue)
		case seen[*c.Name]:
			return nil, invalid("The claim '%s' is always checked, or was specified more than once", *c.Name)
		case len(c.Values) == 0 || len(c.Values) > maxClaimValues:
			return nil, invalid("Between 1 and %d values must be specified for the claim '%s'", maxClaimValues, *c.Name)
		case slices.ContainsFunc(c.Values, func(v string) bool { return v == "" || len(v) > maxClaimValue }):
			return nil, invalid("A value of the claim '%s' must have between 1 and %d characters", *c.Name, maxClaimValue)
		}
		seen[*c.Name] = true
	}
	return in, nil
}

// withoutSecrets is actions as they are shown.
func withoutSecrets(actions []types.Action) []types.Action {
	if !slices.ContainsFunc(actions, func(a types.Action) bool { return a.AuthenticateOidcConfig != nil }) {
		return actions
	}
	actions = slices.Clone(actions)
	for i := range actions {
		if oidc := actions[i].AuthenticateOidcConfig; oidc != nil {
			shown := *oidc
			shown.ClientSecret = nil
			actions[i].AuthenticateOidcConfig = &shown
		}
	}
	return actions
}

// planeLogin makes an action be only for those that an action before it lets through.
func (s *Server) planeLogin(out proxy.Action, first types.Action) proxy.Action {
	switch {
	case first.AuthenticateCognitoConfig != nil:
		c := first.AuthenticateCognitoConfig
		e, err := s.loginAt(*c.UserPoolArn, *c.UserPoolClientId, *c.UserPoolDomain)
		if err != nil { // it is gone by now, which its pages will tell
			_, pool, _ := strings.Cut(arnResource(*c.UserPoolArn), "/")
			e = s.loginEndpoints(pool, *c.UserPoolDomain)
		}
		out.Authenticate = &proxy.Authenticate{
			Issuer: e.Issuer, AuthorizationEndpoint: e.Authorization, TokenEndpoint: e.Token, UserInfoEndpoint: e.UserInfo,
			ClientID: *c.UserPoolClientId, ClientSecret: e.ClientSecret, Scope: *c.Scope, CookieName: *c.SessionCookieName,
			SessionTimeout: time.Duration(*c.SessionTimeout) * time.Second, ExtraParams: c.AuthenticationRequestExtraParams,
			OnUnauthenticated: proxy.OnUnauthenticated(c.OnUnauthenticatedRequest),
		}
	case first.AuthenticateOidcConfig != nil:
		c := first.AuthenticateOidcConfig
		out.Authenticate = &proxy.Authenticate{
			Issuer: *c.Issuer, AuthorizationEndpoint: *c.AuthorizationEndpoint, TokenEndpoint: *c.TokenEndpoint, UserInfoEndpoint: *c.UserInfoEndpoint,
			ClientID: *c.ClientId, ClientSecret: *c.ClientSecret, Scope: *c.Scope, CookieName: *c.SessionCookieName,
			SessionTimeout: time.Duration(*c.SessionTimeout) * time.Second, ExtraParams: c.AuthenticationRequestExtraParams,
			OnUnauthenticated: proxy.OnUnauthenticated(c.OnUnauthenticatedRequest),
		}
	case first.JwtValidationConfig != nil:
		c := first.JwtValidationConfig
		out.ValidateJWT = &proxy.ValidateJWT{KeysEndpoint: *c.JwksEndpoint, Issuer: *c.Issuer}
		for _, claim := range c.AdditionalClaims {
			out.ValidateJWT.Claims = append(out.ValidateJWT.Claims, proxy.Claim{Name: *claim.Name, Format: string(claim.Format), Values: claim.Values})
		}
	}
	return out
}
