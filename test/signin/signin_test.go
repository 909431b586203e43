// Package signin has users sign in through a load balancer of local AWS at an identity provider that nobody here wrote:
// Ory's fosite. It is a module of its own, so that what the provider needs never reaches the product's go.mod.
package signin

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/acm"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
	"github.com/ory/fosite"
	"github.com/ory/fosite/compose"
	"github.com/ory/fosite/handler/openid"
	"github.com/ory/fosite/storage"
	fositejwt "github.com/ory/fosite/token/jwt"
	"golang.org/x/crypto/bcrypt"

	"github.com/sluicehq/sluice/internal/localaws/localawstest"
)

const (
	host = "app.example.com"
	port = 8443
)

// provider is an OpenID Connect provider. Whoever comes is signed in as the same user, unless the provider is told to deny.
type provider struct {
	*httptest.Server
	key    *rsa.PrivateKey
	logins atomic.Int32
	deny   atomic.Bool
}

func newProvider(t *testing.T) *provider {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := bcrypt.GenerateFromPassword([]byte("hush"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	store := storage.NewMemoryStore()
	store.Clients["web"] = &fosite.DefaultClient{
		ID: "web", Secret: secret, RedirectURIs: []string{fmt.Sprintf("https://%s:%d/oauth2/idpresponse", host, port)},
		ResponseTypes: []string{"code"}, GrantTypes: []string{"authorization_code", "refresh_token"}, Scopes: []string{"openid", "offline", "email"},
	}
	p := &provider{key: key}
	mux := http.NewServeMux()
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	oauth := compose.ComposeAllEnabled(&fosite.Config{
		GlobalSecret: []byte(strings.Repeat("s", 32)), AccessTokenLifespan: time.Minute, IDTokenIssuer: p.URL, ScopeStrategy: fosite.ExactScopeStrategy,
	}, store, key)
	session := func() *openid.DefaultSession {
		return &openid.DefaultSession{
			Subject: "user-1", Headers: &fositejwt.Headers{},
			Claims: &fositejwt.IDTokenClaims{Subject: "user-1", Issuer: p.URL, RequestedAt: time.Now(), AuthTime: time.Now()},
		}
	}
	mux.HandleFunc("/authorize", func(w http.ResponseWriter, r *http.Request) {
		ask, err := oauth.NewAuthorizeRequest(r.Context(), r)
		if err == nil && p.deny.Load() {
			err = fosite.ErrAccessDenied
		}
		if err != nil {
			oauth.WriteAuthorizeError(r.Context(), w, ask, err)
			return
		}
		p.logins.Add(1)
		for _, scope := range ask.GetRequestedScopes() {
			ask.GrantScope(scope)
		}
		response, err := oauth.NewAuthorizeResponse(r.Context(), ask, session())
		if err != nil {
			oauth.WriteAuthorizeError(r.Context(), w, ask, err)
			return
		}
		oauth.WriteAuthorizeResponse(r.Context(), w, ask, response)
	})
	mux.HandleFunc("/token", func(w http.ResponseWriter, r *http.Request) {
		ask, err := oauth.NewAccessRequest(r.Context(), r, session())
		var response fosite.AccessResponder
		if err == nil {
			response, err = oauth.NewAccessResponse(r.Context(), ask)
		}
		if err != nil {
			oauth.WriteAccessError(r.Context(), w, ask, err)
			return
		}
		oauth.WriteAccessResponse(r.Context(), w, ask, response)
	})
	mux.HandleFunc("/userinfo", func(w http.ResponseWriter, r *http.Request) {
		_, ask, err := oauth.IntrospectToken(r.Context(), fosite.AccessTokenFromRequest(r), fosite.AccessToken, session())
		if err != nil {
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"sub": ask.GetSession().GetSubject(), "email": "user@example.com"})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), Algorithm: "RS256", Use: "sig"}}})
	})
	return p
}

// world is a load balancer with an HTTPS listener whose users sign in, and a browser.
type world struct {
	*localawstest.Local
	elb      *elb.Client
	provider *provider
	listener string
	browser  *http.Client
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func newWorld(t *testing.T) *world {
	t.Helper()
	ctx := t.Context()
	w := &world{Local: localawstest.Start(t, localawstest.WithProxy()), provider: newProvider(t)}
	w.elb = elb.NewFromConfig(w.Config)
	b := must(w.elb.CreateLoadBalancer(ctx, &elb.CreateLoadBalancerInput{Name: aws.String("web"), Subnets: localawstest.PublicSubnets[:]})).LoadBalancers[0]
	cert := must(acm.NewFromConfig(w.Config).RequestCertificate(ctx, &acm.RequestCertificateInput{
		DomainName: aws.String(host), CertificateAuthorityArn: aws.String("arn:aws:acm-pca:ap-northeast-1:123456789012:certificate-authority/0a000000-0000-4000-8000-000000000000"),
	})).CertificateArn
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _ = json.NewEncoder(w).Encode(r.Header) }))
	t.Cleanup(app.Close)
	group := must(w.elb.CreateTargetGroup(ctx, &elb.CreateTargetGroupInput{
		Name: aws.String("app"), Protocol: "HTTP", Port: aws.Int32(80), VpcId: aws.String(localawstest.VPC), TargetType: "ip",
	})).TargetGroups[0].TargetGroupArn
	must(w.elb.RegisterTargets(ctx, &elb.RegisterTargetsInput{TargetGroupArn: group, Targets: []types.TargetDescription{{
		Id: aws.String("127.0.0.1"), Port: aws.Int32(int32(app.Listener.Addr().(*net.TCPAddr).Port)),
	}}}))
	w.listener = *must(w.elb.CreateListener(ctx, &elb.CreateListenerInput{
		LoadBalancerArn: b.LoadBalancerArn, Port: aws.Int32(port), Protocol: "HTTPS", Certificates: []types.Certificate{{CertificateArn: cert}},
		DefaultActions: []types.Action{
			{Type: "authenticate-oidc", Order: aws.Int32(1), AuthenticateOidcConfig: &types.AuthenticateOidcActionConfig{
				Issuer: &w.provider.URL, AuthorizationEndpoint: aws.String(w.provider.URL + "/authorize"), TokenEndpoint: aws.String(w.provider.URL + "/token"),
				UserInfoEndpoint: aws.String(w.provider.URL + "/userinfo"), ClientId: aws.String("web"), ClientSecret: aws.String("hush"), Scope: aws.String("openid email offline"),
			}},
			{Type: "forward", Order: aws.Int32(2), TargetGroupArn: group},
		},
	})).Listeners[0].ListenerArn
	must(w.elb.CreateRule(ctx, &elb.CreateRuleInput{
		ListenerArn: &w.listener, Priority: aws.Int32(1), Conditions: []types.RuleCondition{{Field: aws.String("path-pattern"), Values: []string{"/api/*"}}},
		Actions: []types.Action{
			{Type: "jwt-validation", Order: aws.Int32(1), JwtValidationConfig: &types.JwtValidationActionConfig{Issuer: &w.provider.URL, JwksEndpoint: aws.String(w.provider.URL + "/keys")}},
			{Type: "forward", Order: aws.Int32(2), TargetGroupArn: group},
		},
	}))
	address, _ := w.Resolve(*b.DNSName)
	w.browser = newBrowser(t, w.AuthorityPEM(), net.JoinHostPort(address.String(), fmt.Sprint(port)))
	return w
}

// newBrowser follows redirects and keeps cookies, and takes the load balancer for the application's host.
func newBrowser(t *testing.T, authority, at string) *http.Client {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(authority))
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if strings.HasPrefix(address, host) {
				address = at
			}
			return (&net.Dialer{}).DialContext(ctx, network, address)
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Jar: must(cookiejar.New(nil)), Timeout: 10 * time.Second}
}

func (w *world) get(t *testing.T, path string, header ...string) (int, http.Header, string) {
	t.Helper()
	r := must(http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("https://%s:%d%s", host, port, path), nil))
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := w.browser.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body := must(io.ReadAll(resp.Body))
	var seen http.Header
	_ = json.Unmarshal(body, &seen) // a page of the load balancer's is none
	return resp.StatusCode, seen, resp.Request.URL.String()
}

// TestSignIn: a browser is sent away, comes back, and is let in; the application verifies who it is.
func TestSignIn(t *testing.T) {
	w := newWorld(t)
	status, seen, at := w.get(t, "/orders?page=2")
	if status != http.StatusOK || at != fmt.Sprintf("https://%s:%d/orders?page=2", host, port) {
		t.Fatalf("%d at %s", status, at)
	}
	if seen.Get("X-Amzn-Oidc-Identity") != "user-1" || seen.Get("X-Amzn-Oidc-Accesstoken") == "" {
		t.Errorf("the application sees %v", seen)
	}
	token, err := jwt.NewParser(jwt.WithPaddingAllowed()).Parse(seen.Get("X-Amzn-Oidc-Data"), func(token *jwt.Token) (any, error) {
		resp, err := http.Get(w.Endpoint + "/_local/public-keys/" + token.Header["kid"].(string))
		if err != nil {
			return nil, err
		}
		defer func() { _ = resp.Body.Close() }()
		return jwt.ParseECPublicKeyFromPEM(must(io.ReadAll(resp.Body)))
	})
	if err != nil || token.Claims.(jwt.MapClaims)["email"] != "user@example.com" {
		t.Errorf("%v, %v", token, err)
	}
	if w.get(t, "/again"); w.provider.logins.Load() != 1 {
		t.Errorf("%d logins for one session", w.provider.logins.Load())
	}
	w.browser.Jar = must(cookiejar.New(nil)) // signed out
	w.provider.deny.Store(true)
	if status, _, _ := w.get(t, "/"); status != http.StatusUnauthorized {
		t.Errorf("denied by the provider: %d", status)
	}
}

// TestToken: a token of the provider's opens the API, and one of somebody else's does not.
func TestToken(t *testing.T) {
	w := newWorld(t)
	sign := func(key *rsa.PrivateKey, issuer string) string {
		token := jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.MapClaims{"iss": issuer, "exp": time.Now().Add(time.Minute).Unix()})
		return "Bearer " + must(token.SignedString(key))
	}
	if status, _, _ := w.get(t, "/api/x", "Authorization", sign(w.provider.key, w.provider.URL)); status != http.StatusOK {
		t.Errorf("a good token: %d", status)
	}
	for why, header := range map[string]string{
		"other key": sign(must(rsa.GenerateKey(rand.Reader, 2048)), w.provider.URL), "other issuer": sign(w.provider.key, "https://other.example.com"), "none": "",
	} {
		if status, _, _ := w.get(t, "/api/x", "Authorization", header); status != http.StatusUnauthorized {
			t.Errorf("%s: %d", why, status)
		}
	}
	if n := w.provider.logins.Load(); n != 0 {
		t.Errorf("%d logins", n)
	}
}
