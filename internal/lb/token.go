package lb

import (
	"fmt"
	"strings"
)

// Tokens has a listener let only such requests through that carry a JSON Web Token which holds.
type Tokens struct {
	Keys   string // URL of the issuer's JWKS
	Issuer string
	Claims []Claim
}

// Claim must be in a token, with one of Values, or with all of them where Format is a list.
type Claim struct {
	Name   string
	Format ClaimFormat
	Values []string
}

// ClaimFormat is how a claim holds its values (ELBv2 JwtValidationActionAdditionalClaimFormatEnum).
type ClaimFormat string

// The formats of claims.
const (
	SingleString    ClaimFormat = "single-string"
	StringArray     ClaimFormat = "string-array"
	SpaceSeparators ClaimFormat = "space-separated-values"
)

// String is one line: tokens of https://issuer by https://issuer/keys, scope space-separated-values "read".
func (t Tokens) String() string {
	parts := []string{fmt.Sprintf("tokens of %s by %s", t.Issuer, t.Keys)}
	for _, c := range t.Claims {
		parts = append(parts, fmt.Sprintf("%s %s %q", c.Name, c.Format, c.Values))
	}
	return strings.Join(parts, ", ")
}
