package localaws

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/subtle"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// newSigningKey makes the key of a user pool.
func newSigningKey() (string, error) {
	const bits = 2048
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		return "", fmt.Errorf("localaws: key of a user pool: %w", err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})), nil
}

// jwk is the pool's key.
func (p userPool) jwk() (jose.JSONWebKey, error) {
	block, _ := pem.Decode([]byte(p.Key))
	if block == nil {
		return jose.JSONWebKey{}, fmt.Errorf("localaws: the key of user pool %s is damaged", p.id())
	}
	key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
	if err != nil {
		return jose.JSONWebKey{}, fmt.Errorf("localaws: the key of user pool %s: %w", p.id(), err)
	}
	return jose.JSONWebKey{Key: key, KeyID: p.id(), Algorithm: string(jose.RS256), Use: "sig"}, nil
}

func (l *logins) discovery(w http.ResponseWriter, r *http.Request) {
	p, ok := l.pool(w, r)
	if !ok {
		return
	}
	e := l.loginEndpoints(p.id(), val(p.Wire.Domain))
	writeJSON(w, map[string]any{
		"issuer": e.Issuer, "authorization_endpoint": e.Authorization, "token_endpoint": e.Token, "userinfo_endpoint": e.UserInfo,
		"jwks_uri": e.JWKS, "response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"},
		"id_token_signing_alg_values_supported": []string{"RS256"}, "scopes_supported": []string{"openid", "email", "phone", "profile"},
		"token_endpoint_auth_methods_supported": []string{"client_secret_basic", "client_secret_post"},
		"end_session_endpoint":                  strings.TrimSuffix(e.Authorization, "/oauth2/authorize") + "/logout",
		"code_challenge_methods_supported":      []string{"S256"},
	})
}

func (l *logins) keys(w http.ResponseWriter, r *http.Request) {
	p, ok := l.pool(w, r)
	if !ok {
		return
	}
	key, err := p.jwk()
	if err != nil {
		l.log.Error("a user pool cannot be used", "error", err)
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	writeJSON(w, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{key.Public()}})
}

// oauthError is the answer of the token endpoint to what it refuses (RFC 6749, section 5.2).
func oauthError(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": code}) // the client is gone; there is nobody to tell
}

// token exchanges a code, or a refresh token, for tokens.
func (l *logins) token(w http.ResponseWriter, r *http.Request) {
	p, ok := l.pool(w, r)
	if !ok {
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxAdminBody)
	if err := r.ParseForm(); err != nil {
		oauthError(w, http.StatusBadRequest, "invalid_request")
		return
	}
	client, ok := l.authenticated(r, p)
	if !ok {
		oauthError(w, http.StatusUnauthorized, "invalid_client")
		return
	}
	var g grant
	var code string
	switch r.PostForm.Get("grant_type") {
	case "authorization_code":
		g, code = l.takeCode(r.PostForm, p, client)
	case "refresh_token":
		g, code = l.refreshed(r.PostForm, p, client)
	default:
		code = "unsupported_grant_type"
	}
	if code != "" {
		oauthError(w, http.StatusBadRequest, code)
		return
	}
	answer, err := l.issue(p, g)
	if err != nil {
		oauthError(w, http.StatusBadRequest, "invalid_grant") // the user is gone
		return
	}
	if r.PostForm.Get("grant_type") == "authorization_code" {
		const life = 30 * 24 * time.Hour
		token := secret()
		g.until = l.options.Now().Add(life)
		l.mu.Lock()
		l.refresh[token] = g
		l.mu.Unlock()
		answer["refresh_token"] = token
	}
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, answer)
}

// authenticated finds the client that a request to the token endpoint is of. One that has a secret must show it.
func (l *logins) authenticated(r *http.Request, p userPool) (string, bool) {
	id, key, basic := r.BasicAuth()
	if basic {
		id, _ = url.QueryUnescape(id) // RFC 6749, section 2.3.1; what does not decode is no client's
		key, _ = url.QueryUnescape(key)
	} else {
		id, key = r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	}
	c, ok := l.client(p, id)
	return id, ok && (c.ClientSecret == nil || subtle.ConstantTimeCompare([]byte(*c.ClientSecret), []byte(key)) == 1)
}

// takeCode uses up a code.
func (l *logins) takeCode(form url.Values, p userPool, client string) (grant, string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	g, ok := l.codes[form.Get("code")]
	delete(l.codes, form.Get("code"))
	if !ok || g.pool != p.id() || g.client != client || g.redirect != form.Get("redirect_uri") || !l.options.Now().Before(g.until) ||
		!proves(g.challenge, form.Get("code_verifier")) {
		return g, "invalid_grant"
	}
	return g, ""
}

func (l *logins) refreshed(form url.Values, p userPool, client string) (grant, string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	g, ok := l.refresh[form.Get("refresh_token")]
	if !ok || g.pool != p.id() || g.client != client || !l.options.Now().Before(g.until) {
		return g, "invalid_grant"
	}
	g.nonce = ""
	return g, ""
}

// accessClaims are those of an access token of Cognito.
type accessClaims struct {
	jwt.Claims
	Use      string `json:"token_use"`
	Scope    string `json:"scope"`
	ClientID string `json:"client_id"`
	Username string `json:"username"`
}

// issue makes the tokens of a grant.
func (l *logins) issue(p userPool, g grant) (map[string]any, error) {
	key, err := p.jwk()
	if err != nil {
		return nil, err
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: key}, nil)
	if err != nil {
		return nil, fmt.Errorf("localaws: user pool %s: %w", p.id(), err)
	}
	l.Server.mu.RLock()
	u, ok := l.state.users.get(userKey(g.pool, g.user))
	l.Server.mu.RUnlock()
	if !ok || !u.Wire.Enabled {
		return nil, fmt.Errorf("localaws: user pool %s has no user %s any more", p.id(), g.user)
	}
	now := l.options.Now()
	claims := jwt.Claims{
		Issuer: l.loginEndpoints(p.id(), "").Issuer, Subject: u.attribute("sub"), IssuedAt: jwt.NewNumericDate(now),
		Expiry: jwt.NewNumericDate(now.Add(tokenPeriod)), ID: requestID(),
	}
	access, err := jwt.Signed(signer).Claims(accessClaims{claims, "access", strings.Join(g.scopes, " "), g.client, *u.Wire.Username}).Serialize()
	if err != nil {
		return nil, fmt.Errorf("localaws: access token: %w", err)
	}
	out := map[string]any{"access_token": access, "token_type": "Bearer", "expires_in": int(tokenPeriod.Seconds())}
	if !slices.Contains(g.scopes, "openid") {
		return out, nil
	}
	more := l.userClaims(u, g.scopes)
	more["token_use"], more["auth_time"], more["cognito:username"] = "id", g.at.Unix(), *u.Wire.Username
	if g.nonce != "" {
		more["nonce"] = g.nonce
	}
	claims.Audience = jwt.Audience{g.client}
	if out["id_token"], err = jwt.Signed(signer).Claims(claims).Claims(more).Serialize(); err != nil {
		return nil, fmt.Errorf("localaws: ID token: %w", err)
	}
	return out, nil
}

// userClaims are what a user lets be known: with openid alone everything, as Cognito does, and otherwise what was asked for.
func (l *logins) userClaims(u poolUser, scopes []string) map[string]any {
	out := map[string]any{}
	only := slices.ContainsFunc(scopes, func(s string) bool { return s == "email" || s == "phone" || s == "profile" })
	for _, a := range u.Wire.Attributes {
		scope := "profile"
		switch *a.Name {
		case "email", "email_verified":
			scope = "email"
		case "phone_number", "phone_number_verified":
			scope = "phone"
		}
		if *a.Name != "sub" && (!only || slices.Contains(scopes, scope)) {
			out[*a.Name] = val(a.Value)
		}
	}
	return out
}

func (l *logins) userInfo(w http.ResponseWriter, r *http.Request) {
	p, ok := l.pool(w, r)
	if !ok {
		return
	}
	raw, found := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	var claims accessClaims
	u, ok := l.bearer(p, raw, &claims)
	if !found || !ok {
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		oauthError(w, http.StatusUnauthorized, "invalid_token")
		return
	}
	out := l.userClaims(u, strings.Fields(claims.Scope))
	out["sub"], out["username"] = u.attribute("sub"), *u.Wire.Username
	writeJSON(w, out)
}

// bearer checks an access token and finds whose it is.
func (l *logins) bearer(p userPool, raw string, claims *accessClaims) (poolUser, bool) {
	token, err := jwt.ParseSigned(raw, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		return poolUser{}, false
	}
	key, err := p.jwk()
	if err != nil || token.Claims(key.Public(), claims) != nil || claims.Use != "access" || !strings.Contains(claims.Scope, "openid") ||
		claims.ValidateWithLeeway(jwt.Expected{Issuer: l.loginEndpoints(p.id(), "").Issuer, Time: l.options.Now()}, 0) != nil {
		return poolUser{}, false
	}
	l.Server.mu.RLock()
	defer l.Server.mu.RUnlock()
	return l.state.users.get(userKey(p.id(), claims.Username))
}
