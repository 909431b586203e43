package proxy

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// Limits of what identity providers answer (ELB "Authenticate users using an Application Load Balancer").
const (
	idpTimeout = 5 * time.Second
	maxClaims  = 11 << 10 // claims and access token together
	maxTokens  = 64 << 10 // an answer of the token endpoint; ours
)

// newIDPClient speaks to identity providers.
func newIDPClient(options Options) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{RootCAs: options.Roots, MinVersion: tls.VersionTLS12}, TLSHandshakeTimeout: idpTimeout,
			IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true,
		},
		// Sessions, and what tokens are for, end at the endpoint that was configured.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// asking bounds a conversation with an identity provider by the time it may take.
func (s *Server) asking() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(s.context)
	stop := s.clock.AfterFunc(idpTimeout, func() { cancel(context.DeadlineExceeded) })
	return context.WithValue(ctx, oauth2.HTTPClient, s.idp), func() { stop(); cancel(nil) }
}

// unanswered says whether a failed conversation ended without an answer: in time, or at all.
func unanswered(ctx context.Context, err error) bool {
	var network *url.Error
	return ctx.Err() != nil || isTimeout(err) || errors.As(err, &network)
}

func parseQuery(raw string) url.Values {
	query, _ := url.ParseQuery(raw) // what is understood of it
	return query
}

// oauth is the protocol's side of an authenticator, for a user who asked for a host.
func (by *authenticator) oauth(host string) *oauth2.Config {
	return &oauth2.Config{
		ClientID: by.ClientID, ClientSecret: by.ClientSecret, Scopes: strings.Fields(by.Scope),
		Endpoint:    oauth2.Endpoint{AuthURL: by.AuthorizationEndpoint, TokenURL: by.TokenEndpoint},
		RedirectURL: "https://" + strings.ToLower(host) + idpResponse,
	}
}

func (by *authenticator) authorizeURL(r *request, state string) string {
	var extra []oauth2.AuthCodeOption
	for name, value := range by.ExtraParams {
		extra = append(extra, oauth2.SetAuthURLParam(name, value))
	}
	return by.oauth(r.host).AuthCodeURL(state, extra...)
}

// redeem trades a code for a session: tokens of the user's, and what the provider says of them.
func (s *Server) redeem(by *authenticator, r *request, code string, now time.Time) (*session, error) {
	ctx, cancel := s.asking()
	defer cancel()
	token, err := by.oauth(r.host).Exchange(ctx, code)
	if err != nil {
		return nil, tokenTrouble(ctx, err)
	}
	raw, _ := token.Extra("id_token").(string)
	if raw == "" {
		return nil, refusedUser{401, "AuthInvalidTokenResponse"} // such as for a scope without openid
	}
	// The token came from the token endpoint itself, so its signature adds nothing (OpenID Connect Core 1.0, 3.1.3.7).
	verifier := oidc.NewVerifier(by.Issuer, nil, &oidc.Config{ClientID: by.ClientID, InsecureSkipSignatureCheck: true, Now: func() time.Time { return now }})
	id, err := verifier.Verify(ctx, raw)
	if err != nil {
		return nil, errors.Join(refusedUser{401, "AuthInvalidIdToken"}, err)
	}
	have := &session{Subject: id.Subject, Ends: now.Add(by.SessionTimeout).Unix()}
	have.keep(token, now)
	return have, s.askForClaims(ctx, by, have)
}

// tokenTrouble words what went wrong at the token endpoint.
func tokenTrouble(ctx context.Context, err error) error {
	var answered *oauth2.RetrieveError
	switch {
	case errors.As(err, &answered) && answered.ErrorCode == "invalid_grant":
		return errors.Join(refusedUser{401, "AuthInvalidGrantError"}, err)
	case errors.As(err, &answered):
		return errors.Join(refusedUser{561, "AuthTokenEpRequestFailed"}, err)
	case ctx.Err() != nil || isTimeout(err):
		return errors.Join(refusedUser{500, "AuthTokenEpRequestTimeout"}, err)
	case unanswered(ctx, err):
		return errors.Join(refusedUser{500, "AuthTokenEpRequestFailed"}, err)
	}
	return errors.Join(refusedUser{401, "AuthInvalidTokenResponse"}, err)
}

// askForClaims gets what the provider says of a user.
func (s *Server) askForClaims(ctx context.Context, by *authenticator, have *session) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, by.UserInfoEndpoint, nil)
	if err != nil {
		return errors.Join(refusedUser{500, "AuthUserinfoEpRequestFailed"}, err)
	}
	req.Header.Set("Authorization", "Bearer "+have.Access)
	req.Header.Set("Accept", "application/json")
	resp, err := s.idp.Do(req)
	if err != nil {
		reason := "AuthUserinfoEpRequestFailed"
		if ctx.Err() != nil || isTimeout(err) {
			reason = "AuthUserinfoEpRequestTimeout"
		}
		return errors.Join(refusedUser{500, reason}, err)
	}
	defer func() { _ = resp.Body.Close() }()
	claims, err := io.ReadAll(io.LimitReader(resp.Body, maxClaims+1))
	switch {
	case resp.StatusCode != http.StatusOK:
		return refusedUser{561, "AuthUserinfoEpRequestFailed"}
	case err != nil:
		return errors.Join(refusedUser{500, "AuthUserinfoEpRequestTimeout"}, err)
	case len(claims)+len(have.Access) > maxClaims:
		return refusedUser{500, "AuthUserinfoResponseSizeExceeded"}
	}
	var about struct {
		Subject string `json:"sub"`
	}
	if err := json.Unmarshal(claims, &about); err != nil || about.Subject != have.Subject {
		return errors.Join(refusedUser{401, "AuthInvalidUserinfoResponse"}, err)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, claims); err != nil {
		return errors.Join(refusedUser{401, "AuthInvalidUserinfoResponse"}, err)
	}
	have.Claims = compact.Bytes()
	return nil
}

// refresh gets a new access token, and asks for the claims again.
func (s *Server) refresh(by *authenticator, r *request, have session, now time.Time) (*session, error) {
	ctx, cancel := s.asking()
	defer cancel()
	token, err := by.oauth(r.host).TokenSource(ctx, &oauth2.Token{RefreshToken: have.Refresh, Expiry: time.Unix(1, 0)}).Token()
	if err != nil {
		return nil, tokenTrouble(ctx, err)
	}
	have.keep(token, now)
	return &have, s.askForClaims(ctx, by, &have)
}
