package localaws_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	cognito "github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider"
	"github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider/types"
	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// pool makes a user pool with a domain, a client that may send back to one address, and a user.
func pool(t *testing.T, c *clients) (client *cognito.Client, pool *types.UserPoolType, app *types.UserPoolClientType) {
	t.Helper()
	ctx := t.Context()
	client = cognito.NewFromConfig(c.Config)
	pool = must[*cognito.CreateUserPoolOutput](t)(client.CreateUserPool(ctx, &cognito.CreateUserPoolInput{PoolName: aws.String("people"), UserPoolTags: map[string]string{"a": "b"}})).UserPool
	must[*cognito.CreateUserPoolDomainOutput](t)(client.CreateUserPoolDomain(ctx, &cognito.CreateUserPoolDomainInput{UserPoolId: pool.Id, Domain: aws.String("shop-login")}))
	app = must[*cognito.CreateUserPoolClientOutput](t)(client.CreateUserPoolClient(ctx, &cognito.CreateUserPoolClientInput{
		UserPoolId: pool.Id, ClientName: aws.String("shop"), GenerateSecret: true, AllowedOAuthFlowsUserPoolClient: true,
		AllowedOAuthFlows: []types.OAuthFlowType{types.OAuthFlowTypeCode}, AllowedOAuthScopes: []string{"openid", "email"},
		CallbackURLs: []string{"https://shop.example/oauth2/idpresponse"}, LogoutURLs: []string{"https://shop.example/bye"},
	})).UserPoolClient
	must[*cognito.AdminCreateUserOutput](t)(client.AdminCreateUser(ctx, &cognito.AdminCreateUserInput{
		UserPoolId: pool.Id, Username: aws.String("Ann"), TemporaryPassword: aws.String("Given-1234"),
		UserAttributes: []types.AttributeType{{Name: aws.String("email"), Value: aws.String("ann@shop.example")}},
	}))
	return client, pool, app
}

// browser is a person: it keeps cookies and does not leave for other hosts.
func browser(t *testing.T) *http.Client {
	t.Helper()
	jar := must[*cookiejar.Jar](t)(cookiejar.New(nil))
	return &http.Client{Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if r.URL.Hostname() != "127.0.0.1" {
			return http.ErrUseLastResponse
		}
		return nil
	}}
}

// shown is what a browser ends up with.
type shown struct {
	status   int
	url      *url.URL // of the page
	location *url.URL // where it leads, nil for nowhere
}

// visit opens an address, or sends a form there.
func visit(t *testing.T, client *http.Client, address string, form url.Values) (shown, string) {
	t.Helper()
	method, body := http.MethodGet, io.Reader(nil)
	if form != nil {
		method, body = http.MethodPost, strings.NewReader(form.Encode())
	}
	r := must[*http.Request](t)(http.NewRequestWithContext(t.Context(), method, address, body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	to, err := resp.Location()
	if err != nil {
		to = nil
	}
	return shown{resp.StatusCode, resp.Request.URL, to}, string(must[[]byte](t)(io.ReadAll(resp.Body)))
}

var hidden = regexp.MustCompile(`name="token" value="([^"]+)"`)

// TestLogin logs in as a person does, with a password that was given and has to be changed, and as an application does,
// by a library for OpenID Connect.
func TestLogin(t *testing.T) {
	c := start(t)
	ctx := t.Context()
	_, pool, app := pool(t, c)
	provider := must[*oidc.Provider](t)(oidc.NewProvider(ctx, c.Endpoint+"/_local/cognito/"+*pool.Id))
	config := oauth2.Config{ClientID: *app.ClientId, ClientSecret: *app.ClientSecret, Endpoint: provider.Endpoint(), RedirectURL: app.CallbackURLs[0], Scopes: []string{"openid", "email"}}
	verifier := oauth2.GenerateVerifier()
	start := config.AuthCodeURL("state-1", oidc.Nonce("nonce-1"), oauth2.S256ChallengeOption(verifier))
	person := browser(t)

	resp, text := visit(t, person, start, nil)
	if resp.status != http.StatusOK || !strings.Contains(text, "people") || !strings.HasSuffix(resp.url.Path, "/shop-login/login") {
		t.Fatalf("%d %s %s", resp.status, resp.url, text)
	}
	send := func(form url.Values) (shown, string) {
		form.Set("token", hidden.FindStringSubmatch(text)[1])
		next, body := visit(t, person, resp.url.String(), form)
		if hidden.MatchString(body) {
			text = body
		}
		return next, body
	}
	if r, body := send(url.Values{"username": {"ann"}, "password": {"wrong"}}); r.status != http.StatusUnauthorized || !strings.Contains(body, "Incorrect username or password.") {
		t.Errorf("%d %s", r.status, body)
	}
	if _, body := send(url.Values{"username": {"ann"}, "password": {"Given-1234"}}); !strings.Contains(body, "New password") {
		t.Errorf("a given password can be kept: %s", body)
	}
	if _, body := send(url.Values{"username": {"ann"}, "password": {"Given-1234"}, "new-password": {"short"}}); !strings.Contains(body, "not long enough") {
		t.Error(body)
	}
	back, _ := send(url.Values{"username": {"ann"}, "password": {"Given-1234"}, "new-password": {"My-own-1234"}})
	at := back.location
	if back.status != http.StatusFound || at.Host != "shop.example" || at.Query().Get("state") != "state-1" {
		t.Fatalf("%d %s", back.status, at)
	}
	if _, err := config.Exchange(ctx, at.Query().Get("code"), oauth2.VerifierOption("wrong"+verifier)); err == nil {
		t.Error("a code is good without its verifier")
	}

	// The browser is logged in now: the second time there is no page.
	again, _ := visit(t, person, config.AuthCodeURL("state-2", oidc.Nonce("nonce-2")), nil)
	at = again.location
	token := must[*oauth2.Token](t)(config.Exchange(ctx, at.Query().Get("code")))
	if _, err := config.Exchange(ctx, at.Query().Get("code")); err == nil {
		t.Error("a code is good twice")
	}
	raw, _ := token.Extra("id_token").(string)
	id := must[*oidc.IDToken](t)(provider.Verifier(&oidc.Config{ClientID: *app.ClientId}).Verify(ctx, raw))
	var claims struct {
		Email    string `json:"email"`
		Username string `json:"cognito:username"`
	}
	if err := id.Claims(&claims); err != nil || id.Nonce != "nonce-2" || claims.Email != "ann@shop.example" || claims.Username != "Ann" {
		t.Errorf("%+v %+v %v", id, claims, err)
	}
	info := must[*oidc.UserInfo](t)(provider.UserInfo(ctx, oauth2.StaticTokenSource(token)))
	if info.Subject != id.Subject || info.Email != "ann@shop.example" {
		t.Errorf("%+v", info)
	}
	if _, err := provider.UserInfo(ctx, oauth2.StaticTokenSource(&oauth2.Token{AccessToken: raw})); err == nil {
		t.Error("an ID token is taken for an access token")
	}
	fresh := must[*oauth2.Token](t)(config.TokenSource(ctx, &oauth2.Token{RefreshToken: token.RefreshToken}).Token())
	if fresh.AccessToken == "" || fresh.AccessToken == token.AccessToken {
		t.Errorf("%+v", fresh)
	}
	out, _ := visit(t, person, c.Endpoint+"/_local/cognito/shop-login/logout?client_id="+*app.ClientId+"&logout_uri=https://shop.example/bye", nil)
	if out.status != http.StatusFound || out.location.String() != "https://shop.example/bye" {
		t.Errorf("%+v", out)
	}
	if r, _ := visit(t, person, start, nil); r.status != http.StatusOK {
		t.Errorf("logged in after logging out: %d", r.status)
	}
}

// TestLoginRefused: addresses that are not the application's get no redirect, and clients must show their secret.
func TestLoginRefused(t *testing.T) {
	c := start(t)
	_, pool, app := pool(t, c)
	at := c.Endpoint + "/_local/cognito/"
	ask := func(values ...string) (int, string) {
		q := url.Values{"client_id": {*app.ClientId}, "redirect_uri": {app.CallbackURLs[0]}, "response_type": {"code"}}
		for i := 0; i < len(values); i += 2 {
			q.Set(values[i], values[i+1])
		}
		resp, text := visit(t, browser(t), at+*pool.Id+"/oauth2/authorize?"+q.Encode(), nil)
		if resp.location != nil {
			text = resp.location.String()
		}
		return resp.status, text
	}
	for why, row := range map[string]struct {
		values []string
		status int
		words  string
	}{
		"client":    {[]string{"client_id", "nobody"}, 400, "unauthorized_client"},
		"address":   {[]string{"redirect_uri", "https://evil.example/"}, 400, "redirect_mismatch"},
		"flow":      {[]string{"response_type", "token"}, 302, "error=unauthorized_client"},
		"scope":     {[]string{"scope", "openid admin"}, 302, "error=invalid_scope"},
		"challenge": {[]string{"code_challenge", "x", "code_challenge_method", "plain"}, 302, "error=invalid_request"},
	} {
		if status, text := ask(row.values...); status != row.status || !strings.Contains(text, row.words) {
			t.Errorf("%s: %d %s", why, status, text)
		}
	}
	if resp, _ := visit(t, browser(t), at+"nobody/oauth2/authorize", nil); resp.status != http.StatusNotFound {
		t.Error(resp.status)
	}
	for secret, want := range map[string]string{"wrong": "401 invalid_client", *app.ClientSecret: "400 invalid_grant"} {
		resp, text := visit(t, browser(t), at+"shop-login/oauth2/token", url.Values{"grant_type": {"authorization_code"}, "code": {"x"}, "client_id": {*app.ClientId}, "client_secret": {secret}})
		var answer struct{ Error string }
		if err := json.Unmarshal([]byte(text), &answer); err != nil || fmt.Sprintf("%d %s", resp.status, answer.Error) != want {
			t.Errorf("%d %s, want %s", resp.status, text, want)
		}
	}
	// A page of another site cannot fill in the form.
	resp, text := visit(t, browser(t), at+"shop-login/login?"+url.Values{"client_id": {*app.ClientId}, "redirect_uri": {app.CallbackURLs[0]}, "response_type": {"code"}}.Encode(),
		url.Values{"username": {"ann"}, "password": {"Given-1234"}, "token": {""}})
	if resp.status != http.StatusUnauthorized || !strings.Contains(text, "try again") {
		t.Errorf("%d %s", resp.status, text)
	}
}

func TestUserPools(t *testing.T) {
	c := start(t)
	ctx := t.Context()
	client, pool, app := pool(t, c)
	if d := must[*cognito.DescribeUserPoolOutput](t)(client.DescribeUserPool(ctx, &cognito.DescribeUserPoolInput{UserPoolId: pool.Id})).UserPool; d.UserPoolTags["a"] != "b" || d.EstimatedNumberOfUsers != 1 || *d.Domain != "shop-login" {
		t.Errorf("%+v", d)
	}
	if d := must[*cognito.DescribeUserPoolDomainOutput](t)(client.DescribeUserPoolDomain(ctx, &cognito.DescribeUserPoolDomainInput{Domain: aws.String("shop-login")})).DomainDescription; *d.UserPoolId != *pool.Id || d.Status != types.DomainStatusTypeActive {
		t.Errorf("%+v", d)
	}
	if d := must[*cognito.DescribeUserPoolDomainOutput](t)(client.DescribeUserPoolDomain(ctx, &cognito.DescribeUserPoolDomainInput{Domain: aws.String("nobody")})).DomainDescription; d.UserPoolId != nil {
		t.Errorf("%+v", d)
	}
	user := &cognito.AdminGetUserInput{UserPoolId: pool.Id, Username: aws.String("ANN")}
	if u := must[*cognito.AdminGetUserOutput](t)(client.AdminGetUser(ctx, user)); u.UserStatus != types.UserStatusTypeForceChangePassword || len(u.UserAttributes) != 2 {
		t.Errorf("%+v", u)
	}
	_, err := client.AdminCreateUser(ctx, &cognito.AdminCreateUserInput{UserPoolId: pool.Id, Username: aws.String("ann")})
	wants(t, err, "UsernameExistsException", "exists")
	_, err = client.AdminSetUserPassword(ctx, &cognito.AdminSetUserPasswordInput{UserPoolId: pool.Id, Username: aws.String("ann"), Password: aws.String("nouppercase-1")})
	wants(t, err, "InvalidPasswordException", "uppercase")
	must[*cognito.AdminSetUserPasswordOutput](t)(client.AdminSetUserPassword(ctx, &cognito.AdminSetUserPasswordInput{UserPoolId: pool.Id, Username: aws.String("ann"), Password: aws.String("Good-enough-1"), Permanent: true}))
	if u := must[*cognito.ListUsersOutput](t)(client.ListUsers(ctx, &cognito.ListUsersInput{UserPoolId: pool.Id})).Users; len(u) != 1 || u[0].UserStatus != types.UserStatusTypeConfirmed {
		t.Errorf("%+v", u)
	}
	_, err = client.DeleteUserPool(ctx, &cognito.DeleteUserPoolInput{UserPoolId: pool.Id})
	wants(t, err, "InvalidParameterException", "domain")
	must[*cognito.DeleteUserPoolDomainOutput](t)(client.DeleteUserPoolDomain(ctx, &cognito.DeleteUserPoolDomainInput{UserPoolId: pool.Id, Domain: aws.String("shop-login")}))
	must[*cognito.AdminDeleteUserOutput](t)(client.AdminDeleteUser(ctx, &cognito.AdminDeleteUserInput{UserPoolId: pool.Id, Username: aws.String("ann")}))
	_, err = client.AdminGetUser(ctx, user)
	wants(t, err, "UserNotFoundException", "not exist")
	if l := must[*cognito.ListUserPoolClientsOutput](t)(client.ListUserPoolClients(ctx, &cognito.ListUserPoolClientsInput{UserPoolId: pool.Id})).UserPoolClients; len(l) != 1 {
		t.Errorf("%+v", l)
	}
	must[*cognito.DeleteUserPoolClientOutput](t)(client.DeleteUserPoolClient(ctx, &cognito.DeleteUserPoolClientInput{UserPoolId: pool.Id, ClientId: app.ClientId}))
	_, err = client.DescribeUserPoolClient(ctx, &cognito.DescribeUserPoolClientInput{UserPoolId: pool.Id, ClientId: app.ClientId})
	wants(t, err, "ResourceNotFoundException", *app.ClientId)
	must[*cognito.DeleteUserPoolOutput](t)(client.DeleteUserPool(ctx, &cognito.DeleteUserPoolInput{UserPoolId: pool.Id}))
	if left := must[*cognito.ListUserPoolsOutput](t)(client.ListUserPools(ctx, &cognito.ListUserPoolsInput{MaxResults: aws.Int32(10)})).UserPools; len(left) != 0 {
		t.Errorf("%+v", left)
	}
}
