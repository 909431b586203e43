package localaws

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider/types"
)

// logins are the pages where the users of user pools log in, and the OIDC endpoints that applications use: Cognito's,
// under /_local/cognito/POOL/, where POOL is the pool's domain or its id. What is in it is gone when local AWS ends.
type logins struct {
	*Server

	mu       sync.Mutex
	codes    map[string]grant // by authorization code: good once, for a few minutes
	refresh  map[string]grant // by refresh token
	sessions map[string]session
}

// grant is what a user has let an application have.
type grant struct {
	pool, client, user, redirect, nonce, challenge string
	scopes                                         []string
	at, until                                      time.Time
}

// session is a browser that has logged in to a pool.
type session struct {
	pool, user string
	at, until  time.Time
}

const (
	codeTime    = 5 * time.Minute
	sessionTime = time.Hour
	tokenPeriod = time.Hour
)

// loginEndpoints are what an application, or a load balancer's authenticate-cognito action, needs of a pool.
type loginEndpoints struct {
	Issuer, Authorization, Token, UserInfo, JWKS string
	ClientID, ClientSecret                       string
}

// loginAt says where a pool's users log in, for an action that names the pool, its client and its domain. It is called
// with the state locked. What is not there is an error of ELB.
func (s *Server) loginAt(poolARN, clientID, domain string) (loginEndpoints, error) {
	_, id, _ := strings.Cut(arnResource(poolARN), "/")
	p, ok := s.state.userPools.get(id)
	c, known := s.state.userClients.get(clientID)
	switch {
	case !ok || *p.Wire.Arn != poolARN:
		return loginEndpoints{}, conflicting("The Cognito user pool '%s' does not exist", poolARN)
	case !known || *c.Wire.UserPoolId != id:
		return loginEndpoints{}, conflicting("The client '%s' of the Cognito user pool does not exist", clientID)
	case val(p.Wire.Domain) != domain:
		return loginEndpoints{}, conflicting("The domain '%s' of the Cognito user pool does not exist", domain)
	case c.Wire.ClientSecret == nil:
		return loginEndpoints{}, conflicting("The client '%s' of the Cognito user pool has no secret", clientID)
	}
	e := s.loginEndpoints(id, domain)
	e.ClientID, e.ClientSecret = clientID, *c.Wire.ClientSecret
	return e, nil
}

// loginEndpoints: the issuer is the pool, the pages are at its domain.
func (s *Server) loginEndpoints(pool, domain string) loginEndpoints {
	issuer := s.Endpoint() + "/_local/cognito/" + pool
	pages := s.Endpoint() + "/_local/cognito/" + firstOf(domain, pool)
	return loginEndpoints{
		Issuer: issuer, JWKS: issuer + "/.well-known/jwks.json", Authorization: pages + "/oauth2/authorize",
		Token: pages + "/oauth2/token", UserInfo: pages + "/oauth2/userInfo",
	}
}

func (s *Server) serveLogins(mux *http.ServeMux) {
	l := &logins{Server: s, codes: map[string]grant{}, refresh: map[string]grant{}, sessions: map[string]session{}}
	const root = "/_local/cognito/{pool}"
	mux.HandleFunc("GET "+root+"/.well-known/openid-configuration", l.discovery)
	mux.HandleFunc("GET "+root+"/.well-known/jwks.json", l.keys)
	mux.HandleFunc("GET "+root+"/oauth2/authorize", l.authorize)
	mux.HandleFunc("GET "+root+"/login", l.authorize)
	mux.HandleFunc("POST "+root+"/login", l.login)
	mux.HandleFunc("GET "+root+"/logout", l.logout)
	mux.HandleFunc("POST "+root+"/oauth2/token", l.token)
	mux.HandleFunc("GET "+root+"/oauth2/userInfo", l.userInfo)
	mux.HandleFunc("POST "+root+"/oauth2/userInfo", l.userInfo)
}

// pool finds the pool that a request's path names, and answers when there is none.
func (l *logins) pool(w http.ResponseWriter, r *http.Request) (userPool, bool) {
	l.Server.mu.RLock()
	defer l.Server.mu.RUnlock()
	name := r.PathValue("pool")
	p, ok := l.state.poolAt(name)
	if !ok {
		if p, ok = l.state.userPools.get(name); !ok {
			http.Error(w, "There is no user pool and no domain "+name, http.StatusNotFound)
		}
	}
	return p, ok
}

func (l *logins) client(p userPool, id string) (types.UserPoolClientType, bool) {
	l.Server.mu.RLock()
	defer l.Server.mu.RUnlock()
	c, ok := l.state.userClients.get(id)
	return c.Wire, ok && *c.Wire.UserPoolId == p.id()
}

// asked is an authorization request that was found to be in order.
type asked struct {
	client types.UserPoolClientType
	query  url.Values
	scopes []string
}

// read checks an authorization request. What is wrong with the client or the address to go back to is shown, all else
// is told to the application (RFC 6749, section 4.1.2.1).
func (l *logins) read(w http.ResponseWriter, r *http.Request, p userPool) (asked, bool) {
	q := r.URL.Query()
	c, ok := l.client(p, q.Get("client_id"))
	back := q.Get("redirect_uri")
	switch {
	case !ok:
		l.showError(w, "unauthorized_client", "The application "+q.Get("client_id")+" is not one of this user pool.")
		return asked{}, false
	case !slices.Contains(c.CallbackURLs, back):
		l.showError(w, "redirect_mismatch", "The application may not send users back to "+back+". Its CallbackURLs say where to.")
		return asked{}, false
	}
	problem := ""
	scopes := strings.Fields(q.Get("scope"))
	if len(scopes) == 0 {
		scopes = c.AllowedOAuthScopes
	}
	switch {
	case q.Get("response_type") != "code" || !val(c.AllowedOAuthFlowsUserPoolClient) || !slices.Contains(c.AllowedOAuthFlows, types.OAuthFlowTypeCode):
		problem = "unauthorized_client"
	case slices.ContainsFunc(scopes, func(s string) bool { return !slices.Contains(c.AllowedOAuthScopes, s) }):
		problem = "invalid_scope"
	case q.Get("code_challenge") != "" && q.Get("code_challenge_method") != "S256":
		problem = "invalid_request"
	}
	if problem != "" {
		http.Redirect(w, r, withQuery(back, url.Values{"error": {problem}, "state": q["state"]}), http.StatusFound)
		return asked{}, false
	}
	return asked{c, q, scopes}, true
}

// withQuery adds parameters to an address.
func withQuery(address string, add url.Values) string {
	u, err := url.Parse(address)
	if err != nil {
		return address // CallbackURLs have been compared literally; one that is none leads nowhere
	}
	q := u.Query()
	for key, values := range add {
		if len(values) > 0 {
			q[key] = values
		}
	}
	u.RawQuery = q.Encode()
	return u.String()
}

// authorize shows the login page, or goes back at once when the browser is logged in.
func (l *logins) authorize(w http.ResponseWriter, r *http.Request) {
	p, ok := l.pool(w, r)
	if !ok {
		return
	}
	a, ok := l.read(w, r, p)
	if !ok {
		return
	}
	if s, logged := l.session(r, p); logged && a.query.Get("prompt") != "login" {
		l.sendBack(w, r, p, a, s)
		return
	}
	if strings.HasSuffix(r.URL.Path, "/authorize") {
		http.Redirect(w, r, "/_local/cognito/"+r.PathValue("pool")+"/login?"+r.URL.RawQuery, http.StatusFound)
		return
	}
	l.showLogin(w, p, loginForm{})
}

// login reads what a person filled in: name and password, and a new password where the old one was only given.
func (l *logins) login(w http.ResponseWriter, r *http.Request) {
	p, ok := l.pool(w, r)
	if !ok {
		return
	}
	a, ok := l.read(w, r, p)
	if !ok {
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxAdminBody)
	token, err := r.Cookie(formCookie)
	if err != nil || subtle.ConstantTimeCompare([]byte(token.Value), []byte(r.PostFormValue("token"))) != 1 {
		l.showLogin(w, p, loginForm{Problem: "This page was open for too long. Please try again."})
		return
	}
	name, password, fresh := r.PostFormValue("username"), r.PostFormValue("password"), r.PostFormValue("new-password")
	l.Server.mu.RLock()
	u, _ := l.state.users.get(userKey(p.id(), name))
	l.Server.mu.RUnlock()
	switch {
	case !u.is(password) || !u.Wire.Enabled:
		l.showLogin(w, p, loginForm{Name: name, Problem: "Incorrect username or password."})
		return
	case u.mustChange() && fresh == "":
		l.showLogin(w, p, loginForm{Name: name, Password: password, Change: true})
		return
	case u.mustChange():
		err := l.change(func(x *tx) error {
			if err := p.setPassword(&u, fresh); err != nil {
				return err
			}
			u.Wire.UserStatus = types.UserStatusTypeConfirmed
			x.putUser(u)
			return nil
		})
		if err != nil {
			l.showLogin(w, p, loginForm{Name: name, Password: password, Change: true, Problem: err.Error()})
			return
		}
	}
	now := l.options.Now()
	s := session{p.id(), *u.Wire.Username, now, now.Add(sessionTime)}
	id := secret()
	l.mu.Lock()
	l.sessions[id] = s
	l.mu.Unlock()
	http.SetCookie(w, &http.Cookie{Name: sessionCookie, Value: id, Path: "/_local/cognito/", HttpOnly: true, SameSite: http.SameSiteLaxMode, MaxAge: int(sessionTime.Seconds())})
	l.sendBack(w, r, p, a, s)
}

// The cookies of the pages.
const (
	sessionCookie = "cognito"
	formCookie    = "XSRF-TOKEN"
)

// secret is a text that cannot be guessed.
func secret() string {
	b := make([]byte, 24)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(b)
}

func (l *logins) session(r *http.Request, p userPool) (session, bool) {
	c, err := r.Cookie(sessionCookie)
	if err != nil {
		return session{}, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s, ok := l.sessions[c.Value]
	return s, ok && s.pool == p.id() && l.options.Now().Before(s.until)
}

// sendBack gives the application a code.
func (l *logins) sendBack(w http.ResponseWriter, r *http.Request, p userPool, a asked, s session) {
	code := secret()
	now := l.options.Now()
	l.mu.Lock()
	l.forget(now)
	l.codes[code] = grant{
		pool: p.id(), client: *a.client.ClientId, user: s.user, redirect: a.query.Get("redirect_uri"), nonce: a.query.Get("nonce"),
		challenge: a.query.Get("code_challenge"), scopes: a.scopes, at: s.at, until: now.Add(codeTime),
	}
	l.mu.Unlock()
	http.Redirect(w, r, withQuery(a.query.Get("redirect_uri"), url.Values{"code": {code}, "state": a.query["state"]}), http.StatusFound)
}

// forget drops what is over.
func (l *logins) forget(now time.Time) {
	for _, grants := range []map[string]grant{l.codes, l.refresh} {
		for id, g := range grants {
			if !now.Before(g.until) {
				delete(grants, id)
			}
		}
	}
	for id, s := range l.sessions {
		if !now.Before(s.until) {
			delete(l.sessions, id)
		}
	}
}

func (l *logins) logout(w http.ResponseWriter, r *http.Request) {
	p, ok := l.pool(w, r)
	if !ok {
		return
	}
	if c, err := r.Cookie(sessionCookie); err == nil {
		l.mu.Lock()
		delete(l.sessions, c.Value)
		l.mu.Unlock()
	}
	http.SetCookie(w, &http.Cookie{Name: sessionCookie, Path: "/_local/cognito/", MaxAge: -1})
	c, ok := l.client(p, r.URL.Query().Get("client_id"))
	to := r.URL.Query().Get("logout_uri")
	if !ok || !slices.Contains(c.LogoutURLs, to) {
		l.showError(w, "invalid_request", "The application may not send users on to "+to+". Its LogoutURLs say where to.")
		return
	}
	http.Redirect(w, r, to, http.StatusFound)
}

// proves tells whether a verifier is that of a challenge (RFC 7636); without a challenge nothing has to be proved.
func proves(challenge, verifier string) bool {
	sum := sha256.Sum256([]byte(verifier))
	return challenge == "" || base64.RawURLEncoding.EncodeToString(sum[:]) == challenge
}
