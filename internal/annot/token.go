package annot

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/sluicehq/sluice/internal/lb"
)

type tokensForm struct {
	JWKSEndpoint     string `json:"jwksEndpoint"`
	Issuer           string `json:"issuer"`
	AdditionalClaims []struct {
		Format string   `json:"format"`
		Name   string   `json:"name"`
		Values []string `json:"values"`
	} `json:"additionalClaims"`
}

// Limits of tokens (ELBv2 API reference, JwtValidationActionConfig).
const (
	mostClaims = 10
	mostValues = 10
	maxClaim   = 256
)

// TokensOf reads the annotation jwt-validation of an Ingress: nil when there is none. A Refused verdict means that the
// Ingress must not be served without.
func TokensOf(ingress *networkingv1.Ingress) (*lb.Tokens, Origin, []lb.Verdict) {
	r := newReader(ingressObject(ingress), ingress.Annotations)
	value, at, found := r.text(jwtValidation)
	if !found {
		return nil, at, nil
	}
	tokens, err := parseTokens(value)
	if err != nil {
		r.refuse(at, err.Error(), `Write it as {"jwksEndpoint": "https://issuer.example.com/keys", "issuer": "https://issuer.example.com"}`)
	}
	return tokens, at, r.problems
}

func parseTokens(value string) (*lb.Tokens, error) {
	var form tokensForm
	if err := json.Unmarshal([]byte(value), &form); err != nil {
		return nil, fmt.Errorf("is no JSON object: %w", err)
	}
	keys, err := url.Parse(form.JWKSEndpoint)
	switch {
	case err != nil || keys.Host == "" || keys.Scheme != "https":
		return nil, fmt.Errorf("has jwksEndpoint %q, which is no URL that begins with https://", form.JWKSEndpoint)
	case form.Issuer == "" || len(form.Issuer) > maxClaim:
		return nil, fmt.Errorf("has an issuer that is not of 1 to %d characters", maxClaim)
	case len(form.AdditionalClaims) > mostClaims:
		return nil, fmt.Errorf("has %d additionalClaims, and there can be %d", len(form.AdditionalClaims), mostClaims)
	}
	out := &lb.Tokens{Keys: form.JWKSEndpoint, Issuer: form.Issuer}
	for _, c := range form.AdditionalClaims {
		claim := lb.Claim{Name: c.Name, Format: lb.ClaimFormat(c.Format), Values: c.Values}
		if err := checkClaim(claim, out.Claims); err != nil {
			return nil, err
		}
		out.Claims = append(out.Claims, claim)
	}
	return out, nil
}

func checkClaim(c lb.Claim, before []lb.Claim) error {
	formats := []lb.ClaimFormat{lb.SingleString, lb.StringArray, lb.SpaceSeparators}
	switch {
	case c.Name == "" || len(c.Name) > maxClaim:
		return errors.New("has a claim without a name, or with one of more than 256 characters")
	case slices.Contains([]string{"iss", "exp", "nbf", "iat"}, c.Name):
		return fmt.Errorf("names the claim %s, which is always checked", c.Name)
	case slices.ContainsFunc(before, func(o lb.Claim) bool { return o.Name == c.Name }):
		return fmt.Errorf("names the claim %s twice", c.Name)
	case !slices.Contains(formats, c.Format):
		return fmt.Errorf("has format %q for the claim %s, which must be single-string, string-array or space-separated-values", c.Format, c.Name)
	case len(c.Values) == 0 || len(c.Values) > mostValues:
		return fmt.Errorf("has %d values for the claim %s, which must have 1 to %d", len(c.Values), c.Name, mostValues)
	case slices.ContainsFunc(c.Values, func(v string) bool { return v == "" || len(v) > maxClaim }):
		return fmt.Errorf("has a value for the claim %s that is not of 1 to %d characters", c.Name, maxClaim)
	}
	return nil
}
