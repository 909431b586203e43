package proxy

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// ValidateJWT lets only requests through that carry a token which an issuer signed
// (ELB "Verify JWTs using an Application Load Balancer").
type ValidateJWT struct {
	KeysEndpoint string // a JSON Web Key Set
	Issuer       string
	Claims       []Claim
}

// Claim is a claim that a token must have, with one of the values.
type Claim struct {
	Name   string
	Format string // single-string, string-array or space-separated-values
	Values []string
}

// Limits of key sets; and how long one is used, which is ours. One with a key that is not in it is fetched anew, but not
// more often than keysPause.
const (
	maxKeySet = 150 << 10
	maxKeys   = 10
	keysTime  = time.Hour
	keysPause = 10 * time.Second
)

// keySets remembers the key sets of endpoints.
type keySets struct {
	mu  sync.Mutex
	set map[string]*keySet
}

// keySet is the keys of one endpoint. Its lock is held while they are fetched, so that they are fetched once.
type keySet struct {
	mu      sync.Mutex
	keys    *jose.JSONWebKeySet
	fetched time.Time
	tried   time.Time
	err     error // of the last try
}

func (k *keySets) of(endpoint string) *keySet {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.set == nil {
		k.set = map[string]*keySet{}
	}
	if k.set[endpoint] == nil {
		k.set[endpoint] = &keySet{}
	}
	return k.set[endpoint]
}

// find returns the keys that may have made a signature: that of an id, or all when there is none.
func (s *Server) findKeys(endpoint, id string) ([]jose.JSONWebKey, error) {
	k := s.keys.of(endpoint)
	k.mu.Lock()
	defer k.mu.Unlock()
	now := s.clock.Now()
	pick := func() []jose.JSONWebKey {
		switch {
		case k.keys == nil:
			return nil
		case id == "":
			return k.keys.Keys
		}
		return k.keys.Key(id)
	}
	stale := k.keys == nil || now.Sub(k.fetched) >= keysTime || len(pick()) == 0
	if stale && (k.tried.IsZero() || now.Sub(k.tried) >= keysPause) {
		k.tried = now
		var keys *jose.JSONWebKeySet
		if keys, k.err = s.fetchKeys(endpoint); k.err == nil {
			k.keys, k.fetched = keys, now
		}
	}
	if k.keys == nil {
		return nil, k.err
	}
	return pick(), nil
}

func (s *Server) fetchKeys(endpoint string) (*jose.JSONWebKeySet, error) {
	ctx, cancel := s.asking()
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint, nil)
	if err != nil {
		return nil, errors.Join(refusedUser{500, "JWKSRequestFailed"}, err)
	}
	resp, err := s.idp.Do(req)
	if err != nil {
		reason := "JWKSRequestFailed"
		if ctx.Err() != nil || isTimeout(err) {
			reason = "JWKSRequestTimeout"
		}
		return nil, errors.Join(refusedUser{500, reason}, err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxKeySet+1))
	var keys jose.JSONWebKeySet
	switch {
	case err != nil:
		return nil, errors.Join(refusedUser{500, "JWKSRequestTimeout"}, err)
	case resp.StatusCode != http.StatusOK:
		return nil, refusedUser{500, "JWKSRequestFailed"}
	case len(body) > maxKeySet:
		return nil, refusedUser{500, "JWKSResponseSizeExceeded"}
	case json.Unmarshal(body, &keys) != nil || len(keys.Keys) == 0 || len(keys.Keys) > maxKeys:
		return nil, refusedUser{500, "JWKSFormatInvalid"}
	}
	return &keys, nil
}

// checkToken says what is wrong with the token of a request.
func (s *Server) checkToken(r *request, now time.Time, want *ValidateJWT) error {
	header, found := r.fields.get("Authorization")
	if !found {
		return refusedUser{401, "JWTHeaderNotPresent"}
	}
	text, ok := cutPrefixFold(header, "Bearer ")
	if !ok {
		return refusedUser{401, "JWTRequestFormatInvalid"}
	}
	token, err := jose.ParseSignedCompact(strings.TrimSpace(text), []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		return errors.Join(refusedUser{401, "JWTRequestFormatInvalid"}, err)
	}
	keys, err := s.findKeys(want.KeysEndpoint, token.Signatures[0].Header.KeyID)
	if err != nil {
		return err
	}
	for i := range keys {
		if payload, err := token.Verify(&keys[i]); err == nil {
			return want.check(payload, now)
		}
	}
	return refusedUser{401, "JWTSignatureValidationError"}
}

// check holds the claims of a token against what is wanted.
func (w *ValidateJWT) check(payload []byte, now time.Time) error {
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil {
		return errors.Join(refusedUser{401, "JWTRequestFormatInvalid"}, err)
	}
	for _, name := range []string{"iss", "exp"} {
		if claims[name] == nil {
			return refusedUser{401, "JWTClaimNotPresent"}
		}
	}
	if claims["iss"] != w.Issuer {
		return refusedUser{401, "JWTClaimValueInvalid"}
	}
	for name, good := range map[string]func(at time.Time) bool{
		"exp": now.Before,
		"nbf": func(at time.Time) bool { return !now.Before(at) },
		"iat": func(at time.Time) bool { return !now.Before(at) },
	} {
		value, found := claims[name]
		if !found {
			continue
		}
		seconds, ok := value.(float64)
		if !ok {
			return refusedUser{401, "JWTClaimFormatInvalid"}
		}
		if !good(time.Unix(int64(seconds), 0)) {
			return refusedUser{401, "JWTClaimValueInvalid"}
		}
	}
	for i := range w.Claims {
		if err := w.Claims[i].check(claims); err != nil {
			return err
		}
	}
	return nil
}

func (c *Claim) check(claims map[string]any) error {
	value, found := claims[c.Name]
	if !found {
		return refusedUser{401, "JWTClaimNotPresent"}
	}
	var have []string
	switch v := value.(type) {
	case string:
		have = []string{v}
		if c.Format == "space-separated-values" {
			have = strings.Fields(v)
		}
		if c.Format == "string-array" {
			return refusedUser{401, "JWTClaimFormatInvalid"}
		}
	case []any:
		if c.Format != "string-array" {
			return refusedUser{401, "JWTClaimFormatInvalid"}
		}
		for _, one := range v {
			text, ok := one.(string)
			if !ok {
				return refusedUser{401, "JWTClaimFormatInvalid"}
			}
			have = append(have, text)
		}
	default:
		return refusedUser{401, "JWTClaimFormatInvalid"}
	}
	if !slices.ContainsFunc(have, func(one string) bool { return slices.Contains(c.Values, one) }) {
		return refusedUser{401, "JWTClaimValueInvalid"}
	}
	return nil
}
