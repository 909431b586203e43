package localaws

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/sluicehq/sluice/internal/localaws/wire"
)

// maxSkew is how far a request's clock may be from this one.
const maxSkew = 5 * time.Minute

// signature is what a request says of its signature, in its header or in its query.
type signature struct {
	key, region, service string
	headers              []string
	value                string
	at                   time.Time
	lifetime             time.Duration // of a presigned URL; 0 for a header
}

// refusal words the reasons that all protocols have, each in its own code.
type refusal struct{ query, ec2, json, message string }

func (f refusal) of(p wire.Protocol) *wire.Error {
	switch p {
	case wire.EC2:
		return &wire.Error{Code: f.ec2, Message: f.message, Status: http.StatusUnauthorized}
	case wire.JSON:
		return &wire.Error{Code: f.json, Message: f.message, Status: http.StatusBadRequest}
	}
	return &wire.Error{Code: f.query, Message: f.message, Status: http.StatusForbidden}
}

var (
	unsigned   = refusal{"MissingAuthenticationToken", "AuthFailure", "MissingAuthenticationTokenException", "Request is missing Authentication Token"}
	incomplete = refusal{"IncompleteSignature", "AuthFailure", "IncompleteSignatureException", "The request signature is not complete."}
	unknownKey = refusal{"InvalidClientTokenId", "AuthFailure", "UnrecognizedClientException", "The security token included in the request is invalid."}
	mismatch   = refusal{"SignatureDoesNotMatch", "AuthFailure", "InvalidSignatureException", "The request signature we calculated does not match the " +
		"signature you provided. Check your AWS Secret Access Key and signing method."}
	expired = refusal{"SignatureDoesNotMatch", "RequestExpired", "InvalidSignatureException", "Signature expired, or of another time than now."}
)

// authenticate checks a request's signature, where keys are asked for: the SDK's own signer signs it again with the key
// it names, and both signatures must be the same.
func (s *Server) authenticate(r *http.Request, req *request) error {
	if s.options.Keys == nil {
		return nil
	}
	p := req.service.Protocol
	sig, signed, complete := readSignature(r)
	switch {
	case !signed:
		return unsigned.of(p)
	case !complete:
		return incomplete.of(p)
	}
	secret, known := s.options.Keys[sig.key]
	if !known {
		return unknownKey.of(p)
	}
	now := s.options.Now()
	if sig.lifetime > 0 && now.After(sig.at.Add(sig.lifetime)) || sig.lifetime == 0 && now.Sub(sig.at).Abs() > maxSkew {
		return expired.of(p)
	}
	want, err := sig.again(r, req.body, secret)
	if err != nil || sig.service != req.service.SigningName || !hmac.Equal([]byte(want), []byte(sig.value)) {
		return mismatch.of(p)
	}
	return nil
}

const (
	amzTime   = "20060102T150405Z"
	algorithm = "AWS4-HMAC-SHA256"
)

func readSignature(r *http.Request) (sig signature, signed, complete bool) {
	parts := map[string]string{}
	date := r.Header.Get("X-Amz-Date")
	if query := r.URL.Query(); query.Get("X-Amz-Algorithm") == algorithm {
		for _, name := range []string{"Credential", "SignedHeaders", "Signature"} {
			parts[name] = query.Get("X-Amz-" + name)
		}
		date = query.Get("X-Amz-Date")
		seconds, err := strconv.Atoi(firstOf(query.Get("X-Amz-Expires"), "900")) // STS's URLs need not say it
		if err != nil || seconds < 1 || seconds > 7*24*3600 {
			return sig, true, false
		}
		sig.lifetime = time.Duration(seconds) * time.Second
	} else {
		rest, ok := strings.CutPrefix(r.Header.Get("Authorization"), algorithm)
		if !ok {
			return sig, false, false
		}
		for part := range strings.SplitSeq(rest, ",") {
			name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
			parts[name] = value
		}
	}
	scope := strings.Split(parts["Credential"], "/")
	at, err := time.Parse(amzTime, date)
	if err != nil || len(scope) != 5 || scope[4] != "aws4_request" || parts["SignedHeaders"] == "" || parts["Signature"] == "" {
		return sig, true, false
	}
	sig.key, sig.region, sig.service, sig.at = scope[0], scope[2], scope[3], at
	sig.headers, sig.value = strings.Split(parts["SignedHeaders"], ";"), parts["Signature"]
	return sig, true, true
}

// again signs what the client says it signed.
func (sig signature) again(r *http.Request, body []byte, secret string) (string, error) {
	again := &http.Request{Method: r.Method, Host: r.Host, Header: http.Header{}, URL: &url.URL{
		Scheme: "http", Host: r.Host, Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery,
	}}
	for _, name := range sig.headers {
		if name == "content-length" {
			again.ContentLength = r.ContentLength
		} else if values := r.Header.Values(name); len(values) > 0 {
			again.Header[http.CanonicalHeaderKey(name)] = values
		}
	}
	sum := sha256.Sum256(body)
	digest := hex.EncodeToString(sum[:])
	if given := r.Header.Get("X-Amz-Content-Sha256"); given == "UNSIGNED-PAYLOAD" {
		digest = given
	} else if given != "" && given != digest {
		return "", fmt.Errorf("localaws: the body is not the signed one")
	}
	key := aws.Credentials{AccessKeyID: sig.key, SecretAccessKey: secret, SessionToken: r.Header.Get("X-Amz-Security-Token")}
	if sig.lifetime == 0 {
		if err := v4.NewSigner().SignHTTP(r.Context(), key, again, digest, sig.service, sig.region, sig.at); err != nil {
			return "", fmt.Errorf("localaws: sign: %w", err)
		}
		_, value, _ := strings.Cut(again.Header.Get("Authorization"), "Signature=")
		return value, nil
	}
	query := again.URL.Query()
	key.SessionToken = query.Get("X-Amz-Security-Token")
	query.Del("X-Amz-Signature")
	again.URL.RawQuery = query.Encode()
	signed, _, err := v4.NewSigner().PresignHTTP(r.Context(), key, again, digest, sig.service, sig.region, sig.at)
	if err != nil {
		return "", fmt.Errorf("localaws: sign: %w", err)
	}
	u, err := url.Parse(signed)
	if err != nil {
		return "", fmt.Errorf("localaws: sign: %w", err)
	}
	return u.Query().Get("X-Amz-Signature"), nil
}
