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

func page(t *testing.T) func(*http.Response, error) (*http.Response, string) {
	return func(resp *http.Response, err error) (*http.Response, string) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		return resp, string(must[[]byte](t)(io.ReadAll(resp.Body)))
	}
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

	resp, text := page(t)(person.Get(start))
	if resp.StatusCode != http.StatusOK || !strings.Contains(text, "people") || !strings.HasSuffix(resp.Request.URL.Path, "/shop-login/login") {
		t.Fatalf("%d %s %s", resp.StatusCode, resp.Request.URL, text)
	}
	send := func(form url.Values) (*http.Response, string) {
		form.Set("token", hidden.FindStringSubmatch(text)[1])
		next, body := page(t)(person.PostForm(resp.Request.URL.String(), form))
		if hidden.MatchString(body) {
			text = body
		}
		return next, body
	}
	if r, body := send(url.Values{"username": {"ann"}, "password": {"wrong"}}); r.StatusCode != http.StatusUnauthorized || !strings.Contains(body, "Incorrect username or password.") {
		t.Errorf("%d %s", r.StatusCode, body)
	}
	if _, body := send(url.Values{"username": {"ann"}, "password": {"Given-1234"}}); !strings.Contains(body, "New password") {
		t.Errorf("a given password can be kept: %s", body)
	}
	if _, body := send(url.Values{"username": {"ann"}, "password": {"Given-1234"}, "new-password": {"short"}}); !strings.Contains(body, "not long enough") {
		t.Error(body)
	}
	back, _ := send(url.Values{"username": {"ann"}, "password": {"Given-1234"}, "new-password": {"My-own-1234"}})
	at := must[*url.URL](t)(back.Location())
	if back.StatusCode != http.StatusFound || at.Host != "shop.example" || at.Query().Get("state") != "state-1" {
		t.Fatalf("%d %s", back.StatusCode, at)
	}
	if _, err := config.Exchange(ctx, at.Query().Get("code"), oauth2.VerifierOption("wrong"+verifier)); err == nil {
		t.Error("a code is good without its verifier")
	}

	// The browser is logged in now: the second time there is no page.
	again, _ := page(t)(person.Get(config.AuthCodeURL("state-2", oidc.Nonce("nonce-2"))))
	at = must[*url.URL](t)(again.Location())
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
	out, _ := page(t)(person.Get(c.Endpoint + "/_local/cognito/shop-login/logout?client_id=" + *app.ClientId + "&logout_uri=https://shop.example/bye"))
	if out.StatusCode != http.StatusFound || out.Header.Get("Location") != "https://shop.example/bye" {
		t.Errorf("%d %v", out.StatusCode, out.Header)
	}
	if r, _ := page(t)(person.Get(start)); r.StatusCode != http.StatusOK {
		t.Errorf("logged in after logging out: %d", r.StatusCode)
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
		resp, text := page(t)(browser(t).Get(at + *pool.Id + "/oauth2/authorize?" + q.Encode()))
		return resp.StatusCode, resp.Header.Get("Location") + text
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
	if resp, _ := page(t)(http.Get(at + "nobody/oauth2/authorize")); resp.StatusCode != http.StatusNotFound {
		t.Error(resp.StatusCode)
	}
	for secret, want := range map[string]string{"wrong": "401 invalid_client", *app.ClientSecret: "400 invalid_grant"} {
		resp, text := page(t)(http.PostForm(at+"shop-login/oauth2/token", url.Values{"grant_type": {"authorization_code"}, "code": {"x"}, "client_id": {*app.ClientId}, "client_secret": {secret}}))
		var answer struct{ Error string }
		if err := json.Unmarshal([]byte(text), &answer); err != nil || fmt.Sprintf("%d %s", resp.StatusCode, answer.Error) != want {
			t.Errorf("%d %s, want %s", resp.StatusCode, text, want)
		}
	}
	// A page of another site cannot fill in the form.
	resp, text := page(t)(browser(t).PostForm(at+"shop-login/login?"+url.Values{"client_id": {*app.ClientId}, "redirect_uri": {app.CallbackURLs[0]}, "response_type": {"code"}}.Encode(),
		url.Values{"username": {"ann"}, "password": {"Given-1234"}, "token": {""}}))
	if resp.StatusCode != http.StatusUnauthorized || !strings.Contains(text, "try again") {
		t.Errorf("%d %s", resp.StatusCode, text)
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
