package proxy

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Authenticate lets only users through who have signed in at an identity provider
// (ELB "Authenticate users using an Application Load Balancer"). An authenticate-cognito action is the same with the
// endpoints of a user pool.
type Authenticate struct {
	Issuer                string
	AuthorizationEndpoint string
	TokenEndpoint         string
	UserInfoEndpoint      string
	ClientID              string
	ClientSecret          string
	Scope                 string        // openid when empty
	CookieName            string        // AWSELBAuthSessionCookie when empty
	SessionTimeout        time.Duration // 7 days when 0, which is also the longest
	ExtraParams           map[string]string
	OnUnauthenticated     OnUnauthenticated
}

// OnUnauthenticated says what becomes of a request of nobody known.
type OnUnauthenticated string

// The values of OnUnauthenticatedRequest; the empty string means authenticate.
const (
	UnauthenticatedSignsIn OnUnauthenticated = "authenticate"
	UnauthenticatedPasses  OnUnauthenticated = "allow"
	UnauthenticatedDenied  OnUnauthenticated = "deny"
)

const (
	// idpResponse is where identity providers send users back to, on every listener that has users sign in.
	idpResponse = "/oauth2/idpresponse"
	// loginTime is how long signing in may take.
	loginTime    = 15 * time.Minute
	nonceCookie  = "AWSALBAuthNonce"
	sessionAfter = 7 * 24 * time.Hour
)

// authenticator is an Authenticate compiled.
type authenticator struct {
	Authenticate
	key string // tells it from others, in cookies and states; it follows from who issues users and for whom
}

func newAuthenticator(config Authenticate) *authenticator {
	config.Scope = orElse(config.Scope, "openid")
	config.CookieName = orElse(config.CookieName, "AWSELBAuthSessionCookie")
	config.SessionTimeout = min(orElse(config.SessionTimeout, sessionAfter), sessionAfter)
	sum := sha256.Sum256([]byte(strings.Join([]string{
		config.Issuer, config.AuthorizationEndpoint, config.TokenEndpoint, config.UserInfoEndpoint, config.ClientID, config.CookieName,
	}, "\n")))
	return &authenticator{config, hex.EncodeToString(sum[:16])}
}

// refusedUser is why signing in came to nothing: the status and the reason code of access logs
// (ELB "Access logs for your Application Load Balancer", Error reason codes).
type refusedUser struct {
	status int
	reason string
}

func (r refusedUser) Error() string { return r.reason }

// admit decides on a request whose action is only for some. It returns an answer for others.
func (c *side) admit(r *request, a *arrival, to *action) (answer, bool) {
	var err error
	switch {
	case to.signIn != nil:
		return c.server.signedIn(r, a, to.signIn)
	case to.token != nil:
		err = c.server.checkToken(r, a.at, to.token)
	}
	return a.refuseUser(c.server, err)
}

// refuseUser makes an answer of an error.
func (a *arrival) refuseUser(s *Server, err error) (answer, bool) {
	if err == nil {
		return answer{}, true
	}
	refused := refusedUser{500, "AuthUnhandledException"}
	_ = errors.As(err, &refused) // or it is what it is
	a.reason = refused.reason
	switch {
	case !a.signsIn:
	case refused.reason == "AuthUserinfoResponseSizeExceeded":
		a.front.counts.add(authClaimsTooLarge, 1)
	case refused.status == 500:
		a.front.counts.add(authError, 1)
	default:
		a.front.counts.add(authFailure, 1)
	}
	s.log.Debug("a user was not let in", "reason", refused.reason, "error", err)
	return page(refused.status), false
}

// signedIn lets a user through who has a session, and sends others to sign in.
func (s *Server) signedIn(r *request, a *arrival, by *authenticator) (answer, bool) {
	a.signsIn = true
	have, err := s.session(r, a, by)
	switch {
	case err == nil:
		a.identity = s.identity(have, a, by)
		return answer{}, true
	case by.OnUnauthenticated == UnauthenticatedPasses:
		return answer{}, true
	case by.OnUnauthenticated == UnauthenticatedDenied:
		return a.refuseUser(s, refusedUser{401, "AuthInvalidCookie"})
	case r.host == "":
		return a.refuseUser(s, refusedUser{401, "AuthMissingHostHeader"})
	}
	return s.sendToSignIn(r, a, by), false
}

// loginState is what a user brings back from the identity provider, sealed.
type loginState struct{ Key, Nonce, URL string }

// stateName is what states are sealed under.
const stateName = "state"

func (s *Server) sendToSignIn(r *request, a *arrival, by *authenticator) answer {
	var random [16]byte
	_, _ = rand.Read(random[:]) // never fails: crypto/rand.Read crashes the program instead
	nonce := hex.EncodeToString(random[:])
	state, err := json.Marshal(loginState{by.key, nonce, "https://" + strings.ToLower(r.host) + r.origin()})
	if err != nil {
		panic(err) // strings always encode
	}
	own := page(302)
	own.location = by.authorizeURL(r, s.cookies.seal(stateName, string(state), a.at, a.at.Add(loginTime)))
	own.cookies = fields{ownCookie(nonceCookie, nonce, a.at.Add(loginTime))}
	return own
}

// ownCookie is a cookie that only the load balancer reads.
func ownCookie(name, value string, expires time.Time) field {
	return field{"Set-Cookie", name + "=" + value + "; Expires=" + expires.UTC().Format(http.TimeFormat) + "; Path=/; Secure; HttpOnly"}
}

// finishSignIn answers a user who comes back from the identity provider.
func (s *Server) finishSignIn(r *request, a *arrival) answer {
	a.signsIn = true
	own, err := s.exchangeCode(r, a)
	if err != nil {
		own, _ = a.refuseUser(s, err)
	} else {
		a.front.counts.add(authSuccess, 1)
	}
	return own
}

func (s *Server) exchangeCode(r *request, a *arrival) (answer, error) {
	query := parseQuery(r.query)
	sealed := query.Get("state")
	if sealed == "" {
		return answer{}, refusedUser{401, "AuthMissingStateParam"}
	}
	content, ok := s.cookies.open(stateName, sealed, a.at)
	var state loginState
	if !ok || json.Unmarshal([]byte(content), &state) != nil {
		return answer{}, refusedUser{401, "AuthInvalidStateParam"}
	}
	by := a.front.signIns[state.Key]
	if nonce, _ := r.cookie(nonceCookie); by == nil || nonce != state.Nonce {
		return answer{}, refusedUser{401, "AuthInvalidStateParam"}
	}
	switch problem := query.Get("error"); {
	case problem == "access_denied":
		return answer{}, refusedUser{401, "AuthInvalidGrantError"}
	case problem != "":
		return answer{}, refusedUser{561, "AuthInvalidGrantError"}
	case query.Get("code") == "":
		return answer{}, refusedUser{401, "AuthMissingCodeParam"}
	}
	have, err := s.redeem(by, r, query.Get("code"), a.at)
	if err != nil {
		return answer{}, err
	}
	cookies, err := s.sessionCookies(have, r, a, by)
	if err != nil {
		return answer{}, err
	}
	own := page(302)
	own.location = headerSafe(state.URL)
	own.cookies = slices.Concat(cookies, fields{ownCookie(nonceCookie, "", time.Unix(0, 0))})
	return own, nil
}
