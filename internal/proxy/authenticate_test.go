package proxy

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// provider is an identity provider whose answers a test decides.
type provider struct {
	*httptest.Server
	key *rsa.PrivateKey

	mu     sync.Mutex
	token  http.HandlerFunc // the token endpoint; a good answer when nil
	claims map[string]any   // of the user
	grants []url.Values     // what was asked at the token endpoint
	keys   http.HandlerFunc // the key set; the key's when nil
	extra  map[string]any   // claims of the id token that differ
	clock  Clock
}

func newProvider(t testing.TB, clock Clock) *provider {
	t.Helper()
	p := &provider{key: rsaKey(), claims: map[string]any{"sub": "user-1", "email": "user@example.com"}, clock: clock}
	mux := http.NewServeMux()
	mux.HandleFunc("/token", func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		_ = r.ParseForm()
		p.grants = append(p.grants, r.Form)
		if p.token != nil {
			p.token(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{
			"access_token": fmt.Sprintf("access-%d", len(p.grants)), "refresh_token": "refresh", "token_type": "Bearer", "expires_in": 60,
			"id_token": p.sign(map[string]any{"iss": p.URL, "sub": "user-1", "aud": "client", "exp": p.clock.Now().Add(time.Minute).Unix(), "iat": p.clock.Now().Unix()}, p.extra),
		})
	})
	mux.HandleFunc("/userinfo", func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer access-") || p.claims == nil {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_ = json.NewEncoder(w).Encode(p.claims)
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.keys != nil {
			p.keys(w, r)
			return
		}
		_ = json.NewEncoder(w).Encode(p.keySet("k1"))
	})
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	return p
}

func (p *provider) keySet(ids ...string) jose.JSONWebKeySet {
	var set jose.JSONWebKeySet
	for _, id := range ids {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: p.key.Public(), KeyID: id, Algorithm: "RS256", Use: "sig"})
	}
	return set
}

// sign makes a token; changes with the value nil take a claim out.
func (p *provider) sign(claims, changes map[string]any) string {
	return p.signAs(jose.RS256, p.key, "k1", claims, changes)
}

func (p *provider) signAs(alg jose.SignatureAlgorithm, key any, id string, claims, changes map[string]any) string {
	all := maps.Clone(claims)
	for name, value := range changes {
		if all[name] = value; value == nil {
			delete(all, name)
		}
	}
	payload, err := json.Marshal(all)
	if err != nil {
		panic(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: jose.JSONWebKey{Key: key, KeyID: id}}, nil)
	if err != nil {
		panic(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		panic(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		panic(err)
	}
	return text
}

func (p *provider) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}

func (p *provider) authenticate() *Authenticate {
	return &Authenticate{
		Issuer: p.URL, AuthorizationEndpoint: p.URL + "/authorize?tenant=a", TokenEndpoint: p.URL + "/token", UserInfoEndpoint: p.URL + "/userinfo",
		ClientID: "client", ClientSecret: "secret", SessionTimeout: time.Hour, ExtraParams: map[string]string{"prompt": "login"},
	}
}

// user is a browser that follows no redirect by itself.
type user struct {
	*rig
	cookies map[string]string
}

func (u *user) get(path string, change ...func(*http.Request)) heard {
	u.t.Helper()
	c, _, err := u.dialTLS(&tls.Config{ServerName: "app.example.com"})
	if err != nil {
		u.t.Fatal(err)
	}
	defer closeQuietly(c)
	req, err := http.NewRequest(http.MethodGet, "https://App.example.com:8080"+path, nil)
	if err != nil {
		u.t.Fatal(err)
	}
	for name, value := range u.cookies {
		req.Header.Add("Cookie", name+"="+value)
	}
	for _, f := range change {
		f(req)
	}
	if err := req.Write(c); err != nil {
		u.t.Fatal(err)
	}
	got := c.read(http.MethodGet)
	for _, cookie := range got.Cookies() {
		if cookie.Expires.Year() < 2000 {
			delete(u.cookies, cookie.Name)
		} else {
			u.cookies[cookie.Name] = cookie.Value
		}
		if strings.HasPrefix(cookie.Name, "AWSELBAuth") && (!cookie.Secure || !cookie.HttpOnly || cookie.Path != "/") {
			u.t.Errorf("cookie %v", cookie)
		}
	}
	return got
}

// login goes to a path and comes back from the provider with a code; the answer is the one to that.
func (u *user) login(path string) heard {
	u.t.Helper()
	return u.get(idpResponse + "?code=c&state=" + url.QueryEscape(u.state(path)))
}

// state asks for a path and returns the state with which the user is sent away.
func (u *user) state(path string) string {
	u.t.Helper()
	got := u.get(path)
	wantPage(u.t, got, 302)
	to, err := got.Location()
	if err != nil {
		u.t.Fatal(err)
	}
	return to.Query().Get("state")
}

// newSignIn is a listener whose users sign in, in front of a target that shows the request's header.
func newSignIn(t *testing.T) (*user, *provider, *fakeClock) {
	clock := newFakeClock()
	r := newRig(t, Options{Clock: clock, CookieSecret: []byte("secret")})
	r.forwardTo(httpTarget(t, "a", func(w http.ResponseWriter, req *http.Request) { _ = json.NewEncoder(w).Encode(req.Header) }))
	p := newProvider(t, clock)
	r.listener().Default.Authenticate = p.authenticate()
	r.https()
	r.apply()
	return &user{r, map[string]string{}}, p, clock
}

func seen(t testing.TB, got heard) http.Header {
	t.Helper()
	wantStatus(t, got, 200)
	var h http.Header
	if err := json.Unmarshal([]byte(got.body), &h); err != nil {
		t.Fatal(err)
	}
	return h
}

// TestSignIn follows a user from the first request to the last of a session.
func TestSignIn(t *testing.T) {
	u, p, clock := newSignIn(t)
	got := u.get("/private?a=b")
	wantPage(t, got, 302)
	to, err := got.Location()
	if err != nil {
		t.Fatal(err)
	}
	q := to.Query()
	if !strings.HasPrefix(to.String(), p.URL+"/authorize?") || q.Get("tenant") != "a" || q.Get("client_id") != "client" || q.Get("response_type") != "code" ||
		q.Get("scope") != "openid" || q.Get("redirect_uri") != "https://app.example.com:8080/oauth2/idpresponse" || q.Get("prompt") != "login" {
		t.Errorf("sent to %s", to)
	}
	back := u.get(idpResponse + "?code=the-code&state=" + url.QueryEscape(q.Get("state")))
	wantPage(t, back, 302)
	if at := back.Header.Get("Location"); at != "https://app.example.com:8080/private?a=b" {
		t.Errorf("back to %s", at)
	}
	if p.grants[0].Get("code") != "the-code" || p.grants[0].Get("redirect_uri") != q.Get("redirect_uri") {
		t.Errorf("asked with %v", p.grants[0])
	}
	if _, left := u.cookies[nonceCookie]; left {
		t.Error("the nonce is still there")
	}
	forge := func(r *http.Request) {
		r.Header.Set("X-Amzn-Oidc-Identity", "admin")
		r.Header.Set("x-amzn-oidc-data", "forged")
	}
	h := seen(t, u.get("/private", forge))
	if strings.Join(h.Values("X-Amzn-Oidc-Identity"), "|") != "user-1" || h.Get("X-Amzn-Oidc-Accesstoken") != "access-1" {
		t.Errorf("headers %v", h)
	}
	checkData(t, u.Server, p, h.Values("X-Amzn-Oidc-Data"), clock.Now())
	// The access token expires: it is refreshed, and so are the claims.
	clock.advance(2 * time.Minute)
	p.set(func() { p.claims["email"] = "new@example.com" })
	if h := seen(t, u.get("/")); h.Get("X-Amzn-Oidc-Accesstoken") != "access-2" || p.grants[1].Get("grant_type") != "refresh_token" {
		t.Errorf("after a refresh: %v", h)
	}
	if h := seen(t, u.get("/")); h.Get("X-Amzn-Oidc-Accesstoken") != "access-2" {
		t.Error("refreshed again")
	}
	// A refresh that fails means signing in again.
	clock.advance(2 * time.Minute)
	p.set(func() {
		p.token = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadRequest) }
	})
	state := u.state("/")
	p.set(func() { p.token = nil })
	wantPage(t, u.get(idpResponse+"?code=c&state="+url.QueryEscape(state)), 302)
	// So does the end of the session, whatever tokens there are.
	clock.advance(time.Hour)
	wantPage(t, u.get("/"), 302)
	// The application signs a user out by taking the cookies away.
	wantPage(t, u.login("/"), 302)
	seen(t, u.get("/"))
	delete(u.cookies, "AWSELBAuthSessionCookie-0")
	wantPage(t, u.get("/"), 302)
}

// checkData verifies x-amzn-oidc-data as an application does: with the public key, by its id.
func checkData(t *testing.T, s *Server, p *provider, values []string, now time.Time) {
	t.Helper()
	parts := strings.Split(strings.Join(values, "|"), ".")
	if len(parts) != 3 {
		t.Fatalf("x-amzn-oidc-data: %q", values)
	}
	decode := func(text string) []byte {
		b, err := base64.URLEncoding.DecodeString(text) // with padding, as AWS has it
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	var head, claims map[string]any
	if json.Unmarshal(decode(parts[0]), &head) != nil || json.Unmarshal(decode(parts[1]), &claims) != nil {
		t.Fatal("x-amzn-oidc-data is no JWT")
	}
	id, text := s.IdentityKey()
	if head["alg"] != "ES256" || head["kid"] != id || head["signer"] != "lb" || head["iss"] != p.URL || head["client"] != "client" || head["exp"].(float64) <= float64(now.Unix()) {
		t.Errorf("head %v", head)
	}
	if claims["sub"] != "user-1" || claims["email"] != "user@example.com" {
		t.Errorf("claims %v", claims)
	}
	block, _ := pem.Decode([]byte(text))
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	sum, signature := sha256.Sum256([]byte(parts[0]+"."+parts[1])), decode(parts[2])
	if !ecdsa.Verify(key.(*ecdsa.PublicKey), sum[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])) {
		t.Error("the signature is not good")
	}
	if again := New(Options{CookieSecret: []byte("secret")}); true {
		if other, _ := again.IdentityKey(); other != id {
			t.Error("the key is another after a restart")
		}
		again.Close()
	}
}

// TestSignInFails: each way to fail has its status (ELB "Access logs", error reason codes).
func TestSignInFails(t *testing.T) {
	u, p, clock := newSignIn(t)
	answer := func(status int, contentType, body string) func() {
		return func() {
			p.token = func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", contentType)
				w.WriteHeader(status)
				_, _ = io.WriteString(w, body)
			}
		}
	}
	for why, row := range map[string]struct {
		change func()
		status int
	}{
		"bad code":        {answer(400, "application/json", `{"error":"invalid_grant"}`), 401},
		"client unknown":  {answer(401, "application/json", `{"error":"invalid_client"}`), 561},
		"server error":    {answer(500, "text/plain", "oops"), 561},
		"nonsense":        {answer(200, "application/json", "{"), 401},
		"no id token":     {answer(200, "application/json", `{"access_token":"access-1","token_type":"Bearer"}`), 401},
		"other issuer":    {func() { p.extra = map[string]any{"iss": "https://other.example.com"} }, 401},
		"other audience":  {func() { p.extra = map[string]any{"aud": "other"} }, 401},
		"expired":         {func() { p.extra = map[string]any{"exp": clock.Now().Add(-time.Minute).Unix()} }, 401},
		"other user":      {func() { p.claims = map[string]any{"sub": "user-2"} }, 401},
		"no claims":       {func() { p.claims = nil }, 561},
		"too many claims": {func() { p.claims = map[string]any{"sub": "user-1", "long": strings.Repeat("x", maxClaims)} }, 500},
	} {
		t.Run(why, func(t *testing.T) {
			p.set(row.change)
			wantPage(t, u.login("/"), row.status)
			p.set(func() { p.token, p.extra, p.claims = nil, nil, map[string]any{"sub": "user-1"} })
			wantPage(t, u.get("/"), 302)
		})
	}
	asked := make(chan struct{})
	p.set(func() {
		p.token = func(_ http.ResponseWriter, r *http.Request) {
			close(asked)
			<-r.Context().Done()
		}
	})
	go func() {
		<-asked
		clock.advance(idpTimeout)
	}()
	wantPage(t, u.login("/"), 500)
	p.set(func() { p.token = nil })
	state := url.QueryEscape(u.state("/"))
	wantPage(t, u.get(idpResponse+"?state="+state), 401)
	wantPage(t, u.get(idpResponse+"?code=c"), 401)
	wantPage(t, u.get(idpResponse+"?code=c&state=forged"), 401)
	wantPage(t, u.get(idpResponse+"?error=access_denied&state="+state), 401)
	wantPage(t, u.get(idpResponse+"?error=server_error&state="+state), 561)
	stranger := &user{u.rig, map[string]string{}} // has no nonce
	wantPage(t, stranger.get(idpResponse+"?code=c&state="+state), 401)
	clock.advance(loginTime + time.Second)
	wantPage(t, u.get(idpResponse+"?code=c&state="+state), 401)
	p.Close()
	wantPage(t, u.login("/"), 500)
}

// TestSessionShards: a long session needs several cookies, and a shorter one after it leaves none of them.
func TestSessionShards(t *testing.T) {
	u, p, clock := newSignIn(t)
	p.claims["groups"] = strings.Repeat("g", 9<<10)
	wantPage(t, u.login("/"), 302)
	shards := func() (n int) {
		for name, value := range u.cookies {
			if strings.HasPrefix(name, "AWSELBAuthSessionCookie-") {
				if n++; len(name)+len(value) > shardSize {
					t.Errorf("%s has %d bytes", name, len(value))
				}
			}
		}
		return n
	}
	if n := shards(); n != 4 {
		t.Errorf("%d cookies", n)
	}
	if h := seen(t, u.get("/")); len(h.Get("X-Amzn-Oidc-Data")) < 9<<10 {
		t.Error("the claims did not arrive")
	}
	p.set(func() { p.claims["groups"] = "g" })
	clock.advance(2 * time.Minute)
	seen(t, u.get("/"))
	if n := shards(); n != 1 {
		t.Errorf("%d cookies after a refresh", n)
	}
	seen(t, u.get("/"))
}

// TestUnauthenticated: what becomes of those who have not signed in, by the action's word.
func TestUnauthenticated(t *testing.T) {
	u, p, _ := newSignIn(t)
	forge := func(r *http.Request) { r.Header.Set("X-Amzn-Oidc-Identity", "admin") }
	u.listener().Default.Authenticate.OnUnauthenticated = UnauthenticatedPasses
	u.apply()
	if h := seen(t, u.get("/", forge)); h.Get("X-Amzn-Oidc-Identity") != "" {
		t.Errorf("a stranger's headers: %v", h)
	}
	other := p.authenticate()
	other.OnUnauthenticated, other.CookieName = UnauthenticatedDenied, "Other"
	u.listener().Default.Authenticate = other
	u.apply()
	wantPage(t, u.get("/"), 401)
	u.cookies["Other-0"] = "nonsense"
	wantPage(t, u.get("/"), 401)
	// A session for one client is none for another.
	u.listener().Default.Authenticate = p.authenticate()
	u.apply()
	wantPage(t, u.login("/"), 302)
	u.cookies["Other-0"] = u.cookies["AWSELBAuthSessionCookie-0"]
	u.listener().Default.Authenticate = other
	u.apply()
	wantPage(t, u.get("/"), 401)
}

// TestTokens: jwt-validation lets through what the issuer signed and meant for us.
func TestTokens(t *testing.T) {
	clock := newFakeClock()
	r := newRig(t, Options{Clock: clock})
	r.forwardTo(httpTarget(t, "a", func(w http.ResponseWriter, req *http.Request) { _ = json.NewEncoder(w).Encode(req.Header) }))
	p := newProvider(t, clock)
	r.listener().Default.ValidateJWT = &ValidateJWT{KeysEndpoint: p.URL + "/keys", Issuer: p.URL, Claims: []Claim{
		{"tenant", "single-string", []string{"blue", "green"}}, {"groups", "string-array", []string{"admins"}}, {"scope", "space-separated-values", []string{"read", "write"}},
	}}
	r.https()
	r.apply()
	u := &user{r, map[string]string{}}
	good := map[string]any{
		"iss": p.URL, "exp": clock.Now().Add(time.Hour).Unix(), "nbf": clock.Now().Unix(), "iat": clock.Now().Unix(),
		"tenant": "blue", "groups": []string{"users", "admins"}, "scope": "openid read",
	}
	ask := func(authorization string) heard {
		t.Helper()
		return u.get("/", func(req *http.Request) {
			if authorization != "" {
				req.Header.Set("Authorization", authorization)
			}
		})
	}
	token := p.sign(good, nil)
	if h := seen(t, ask("Bearer "+token)); h.Get("Authorization") != "Bearer "+token {
		t.Errorf("the target sees %v", h)
	}
	seen(t, ask("bearer "+p.signAs(jose.RS256, p.key, "", good, nil)))
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for why, header := range map[string]string{
		"no header": "", "basic": "Basic abc", "nonsense": "Bearer a.b.c", "empty": "Bearer ",
		"none":      "Bearer " + base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + strings.Split(token, ".")[1] + ".",
		"algorithm": "Bearer " + p.signAs(jose.RS512, p.key, "k1", good, nil),
		"HMAC":      "Bearer " + p.signAs(jose.HS256, []byte(strings.Repeat("k", 32)), "k1", good, nil),
		"other key": "Bearer " + p.signAs(jose.RS256, stranger, "k1", good, nil),
		"key id":    "Bearer " + p.signAs(jose.RS256, stranger, "k2", good, nil),
		"changed":   "Bearer " + strings.Replace(token, ".", ".e", 1),
	} {
		if got := ask(header); got.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: %s", why, got.Status)
		}
	}
	for why, changes := range map[string]map[string]any{
		"issuer": {"iss": "other"}, "no issuer": {"iss": nil}, "expired": {"exp": clock.Now().Add(-time.Second).Unix()}, "no expiry": {"exp": nil}, "expiry text": {"exp": "tomorrow"},
		"early": {"nbf": clock.Now().Add(time.Minute).Unix()}, "issued later": {"iat": clock.Now().Add(time.Minute).Unix()},
		"no tenant": {"tenant": nil}, "tenant": {"tenant": "red"}, "tenants": {"tenant": []string{"blue"}}, "number": {"tenant": 7},
		"groups": {"groups": []string{"users"}}, "group": {"groups": "admins"}, "numbers": {"groups": []int{1}}, "scope": {"scope": "readwrite"},
	} {
		if got := ask("Bearer " + p.sign(good, changes)); got.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: %s", why, got.Status)
		}
	}
	// A key that is new at the issuer is fetched, though not at every request.
	p.set(func() {
		p.keys = func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(p.keySet("k1", "k2")) }
	})
	rotated := "Bearer " + p.signAs(jose.RS256, p.key, "k2", good, nil)
	if got := ask(rotated); got.StatusCode != http.StatusUnauthorized {
		t.Errorf("keys were fetched again at once: %s", got.Status)
	}
	clock.advance(keysPause)
	seen(t, ask(rotated))
	// Keys that cannot be had are a matter of ours, unless there are some.
	for why, keys := range map[string]http.HandlerFunc{
		"status": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) },
		"size": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, strings.Repeat(" ", maxKeySet+1))
		},
		"count": func(w http.ResponseWriter, _ *http.Request) {
			_ = json.NewEncoder(w).Encode(p.keySet(strings.Split(strings.Repeat("k", 11), "")...))
		},
		"form": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "[]") },
	} {
		p.set(func() { p.keys = keys })
		r.listener().Default.ValidateJWT.KeysEndpoint = p.URL + "/keys?" + why
		r.apply()
		if got := ask("Bearer " + token); got.StatusCode != http.StatusInternalServerError {
			t.Errorf("%s: %s", why, got.Status)
		}
	}
	r.listener().Default.ValidateJWT.KeysEndpoint = p.URL + "/keys"
	r.apply()
	seen(t, ask("Bearer "+token))
}
