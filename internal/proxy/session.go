package proxy

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/oauth2"
)

// session is a user who has signed in, as the session cookies hold it. Nothing of it is kept here.
type session struct {
	Subject string
	Claims  json.RawMessage // as the provider's user info endpoint gave them
	Access  string
	Refresh string `json:",omitempty"`
	Expires int64  `json:",omitempty"` // of the access token; 0 is not known
	Ends    int64
}

// keep takes tokens over; a provider that gives no new refresh token means the old one to stay.
func (s *session) keep(token *oauth2.Token, now time.Time) {
	s.Access, s.Refresh, s.Expires = token.AccessToken, orElse(token.RefreshToken, s.Refresh), 0
	if token.ExpiresIn > 0 {
		s.Expires = now.Add(time.Duration(token.ExpiresIn) * time.Second).Unix()
	}
}

// A session is spread over cookies of 4 K, of which there are at most four.
const (
	shardSize  = 4 << 10
	mostShards = 4
)

func (by *authenticator) shard(i int) string { return by.CookieName + "-" + strconv.Itoa(i) }

var errNoSession = errors.New("no session")

// session reads the session of a request, refreshed where its access token is too old.
func (s *Server) session(r *request, a *arrival, by *authenticator) (*session, error) {
	var sealed strings.Builder
	for i := range mostShards {
		value, found := r.cookie(by.shard(i))
		if !found {
			break
		}
		sealed.WriteString(value)
	}
	content, ok := s.cookies.open(by.key, sealed.String(), a.at)
	var have session
	if !ok || json.Unmarshal([]byte(content), &have) != nil || a.at.Unix() >= have.Ends {
		return nil, errNoSession
	}
	if have.Expires == 0 || have.Refresh == "" || a.at.Unix() < have.Expires {
		return &have, nil
	}
	fresh, err := s.refresh(by, r, have, a.at)
	if err != nil {
		return nil, err
	}
	a.front.counts.add(authRefresh, 1)
	cookies, err := s.sessionCookies(fresh, r, a, by)
	if err != nil {
		return nil, err
	}
	a.session = append(a.session, cookies...)
	return fresh, nil
}

// sessionCookies seals a session. Cookies of a longer one before are made to expire, since they would be read with it.
func (s *Server) sessionCookies(have *session, r *request, a *arrival, by *authenticator) (fields, error) {
	content, err := json.Marshal(have)
	if err != nil {
		return nil, err
	}
	sealed := s.cookies.seal(by.key, string(content), a.at, time.Unix(have.Ends, 0))
	var out fields
	for i := range mostShards {
		name := by.shard(i)
		size := min(len(sealed), shardSize-len(name))
		if size > 0 {
			out = append(out, ownCookie(name, sealed[:size], a.at.Add(sessionAfter)))
		} else if _, before := r.cookie(name); before {
			out = append(out, ownCookie(name, "", time.Unix(0, 0)))
		}
		sealed = sealed[size:]
	}
	if sealed != "" {
		return nil, refusedUser{500, "AuthUserinfoResponseSizeExceeded"}
	}
	return out, nil
}

// Names of the headers that tell targets who the user is.
const (
	accessHeader   = "x-amzn-oidc-accesstoken"
	identityHeader = "x-amzn-oidc-identity"
	dataHeader     = "x-amzn-oidc-data"
)

func isIdentityHeader(name string) bool {
	return containsFold([]string{accessHeader, identityHeader, dataHeader}, name)
}

// dataTime is how long the token in x-amzn-oidc-data is good; ours.
const dataTime = 2 * time.Minute

// identity is what the target is told of a user.
func (s *Server) identity(have *session, a *arrival, by *authenticator) fields {
	return fields{
		{accessHeader, headerSafe(have.Access)}, {identityHeader, headerSafe(have.Subject)},
		{dataHeader, s.signer.sign(have.Claims, string(a.front.balancer), by, a.at.Add(dataTime).Unix())},
	}
}

// signer signs what targets are told of users.
type signer struct {
	key *ecdsa.PrivateKey
	id  string
}

// newSigner makes a key that follows from the secret, so that it is the same after a restart.
func newSigner(secret [32]byte) *signer {
	for n := byte(0); ; n++ {
		mac := hmac.New(sha256.New, secret[:])
		mac.Write([]byte{'s', 'i', 'g', 'n', n})
		key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), mac.Sum(nil))
		if err != nil {
			continue // not a number below the curve's order, which happens once in 2³² times
		}
		public, err := x509.MarshalPKIXPublicKey(key.Public())
		if err != nil {
			panic(err) // as P-256 is known to it
		}
		sum := sha256.Sum256(public)
		h := fmt.Sprintf("%x", sum[:16])
		return &signer{key, strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-")}
	}
}

// sign makes the token of x-amzn-oidc-data: a JWT in ES256, but with padding, as AWS has it.
func (s *signer) sign(claims json.RawMessage, balancer string, by *authenticator, expires int64) string {
	head, err := json.Marshal(struct {
		Type    string `json:"typ"`
		Key     string `json:"kid"`
		Alg     string `json:"alg"`
		Issuer  string `json:"iss"`
		Client  string `json:"client"`
		Signer  string `json:"signer"`
		Expires int64  `json:"exp"`
	}{"JWT", s.id, "ES256", by.Issuer, by.ClientID, balancer, expires})
	if err != nil {
		panic(err) // strings and a number always encode
	}
	payload := map[string]json.RawMessage{}
	_ = json.Unmarshal(claims, &payload) // an object, as askForClaims has seen
	payload["exp"] = json.RawMessage(strconv.FormatInt(expires, 10))
	payload["iss"], _ = json.Marshal(by.Issuer)
	body, err := json.Marshal(payload)
	if err != nil {
		panic(err) // it was JSON before
	}
	text := base64.URLEncoding.EncodeToString(head) + "." + base64.URLEncoding.EncodeToString(body)
	sum := sha256.Sum256([]byte(text))
	r, v, err := ecdsa.Sign(rand.Reader, s.key, sum[:])
	if err != nil {
		panic(err) // crypto/rand does not fail
	}
	var signature [64]byte
	r.FillBytes(signature[:32])
	v.FillBytes(signature[32:])
	return text + "." + base64.URLEncoding.EncodeToString(signature[:])
}

// IdentityKey is the public key, as PEM, that x-amzn-oidc-data is signed with, and its identifier.
func (s *Server) IdentityKey() (id, key string) {
	public, err := x509.MarshalPKIXPublicKey(s.signer.key.Public())
	if err != nil {
		panic(err) // as in newSigner
	}
	return s.signer.id, string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}))
}
