package localaws_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	cognito "github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/sluicehq/sluice/internal/localaws/localawstest"
)

// TestAuthenticateCognito: a person comes to a load balancer, logs in at the pool's page, and is let in.
func TestAuthenticateCognito(t *testing.T) {
	c := start(t, localawstest.WithProxy())
	ctx := t.Context()
	pools, p, client := pool(t, c)
	b, g := c.balancer(t, "web"), c.group(t, "app")
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _ = json.NewEncoder(w).Encode(r.Header) }))
	t.Cleanup(app.Close)
	c.target(t, g, app.Listener.Addr())
	login := func(change func(*types.AuthenticateCognitoActionConfig)) []types.Action {
		config := &types.AuthenticateCognitoActionConfig{UserPoolArn: p.Arn, UserPoolClientId: client.ClientId, UserPoolDomain: aws.String("shop-login"), Scope: aws.String("openid email")}
		if change != nil {
			change(config)
		}
		return append([]types.Action{{Type: types.ActionTypeEnumAuthenticateCognito, Order: aws.Int32(1), AuthenticateCognitoConfig: config}},
			types.Action{Type: types.ActionTypeEnumForward, Order: aws.Int32(2), TargetGroupArn: &g})
	}
	l := c.secure(t, *b.LoadBalancerArn, c.issued(t, "", "shop.example"), notFound())
	for why, change := range map[string]func(*types.AuthenticateCognitoActionConfig){
		"pool":   func(a *types.AuthenticateCognitoActionConfig) { a.UserPoolArn = aws.String(*p.Arn + "x") },
		"client": func(a *types.AuthenticateCognitoActionConfig) { a.UserPoolClientId = aws.String("nobody") },
		"domain": func(a *types.AuthenticateCognitoActionConfig) { a.UserPoolDomain = aws.String("other") },
	} {
		_, err := c.elb.CreateRule(ctx, &elb.CreateRuleInput{ListenerArn: &l, Priority: aws.Int32(1), Conditions: path("/private"), Actions: login(change)})
		t.Run(why, func(t *testing.T) { wants(t, err, "InvalidConfigurationRequest", "Cognito") })
	}
	rule := c.rule(t, l, 1, path("/private"), login(nil))
	shown := must[*elb.DescribeRulesOutput](t)(c.elb.DescribeRules(ctx, &elb.DescribeRulesInput{RuleArns: []string{rule}})).Rules[0].Actions[0].AuthenticateCognitoConfig
	if *shown.SessionTimeout != 604800 || *shown.SessionCookieName != "AWSELBAuthSessionCookie" || shown.OnUnauthenticatedRequest != "authenticate" {
		t.Errorf("%+v", shown)
	}
	waitHealthy(t, c.elb, g)

	address, _ := c.Resolve(*b.DNSName)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(c.AuthorityPEM()))
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots},
		DialContext: func(ctx context.Context, network, to string) (net.Conn, error) {
			if to == "shop.example:443" {
				to = net.JoinHostPort(address.String(), fmt.Sprint(securePort))
			}
			return (&net.Dialer{}).DialContext(ctx, network, to)
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	person := &http.Client{Transport: transport, Jar: must[*cookiejar.Jar](t)(cookiejar.New(nil))}
	at, text := visit(t, person, "https://shop.example/private", nil)
	if at.status != http.StatusOK || at.url.Host == "shop.example" {
		t.Fatalf("%d %s %s", at.status, at.url, text)
	}
	at, text = visit(t, person, at.url.String(), url.Values{
		"token": {hidden.FindStringSubmatch(text)[1]}, "username": {"ann"}, "password": {"Given-1234"}, "new-password": {"My-own-1234"},
	})
	var seen http.Header
	if err := json.Unmarshal([]byte(text), &seen); err != nil || at.url.String() != "https://shop.example/private" || seen.Get("X-Amzn-Oidc-Identity") == "" || seen.Get("X-Amzn-Oidc-Data") == "" {
		t.Errorf("%d %s %s", at.status, at.url, text)
	}
	// A client that is gone lets nobody in any more, and breaks nothing else.
	must[*cognito.DeleteUserPoolClientOutput](t)(pools.DeleteUserPoolClient(ctx, &cognito.DeleteUserPoolClientInput{UserPoolId: p.Id, ClientId: client.ClientId}))
	stranger := &http.Client{Transport: transport, Jar: must[*cookiejar.Jar](t)(cookiejar.New(nil))}
	if at, _ := visit(t, stranger, "https://shop.example/private", nil); at.status < 400 || at.url.Host == "shop.example" {
		t.Errorf("%d %s", at.status, at.url)
	}
	if at, _ := visit(t, stranger, "https://shop.example/other", nil); at.status != http.StatusNotFound {
		t.Errorf("%d", at.status)
	}
}
