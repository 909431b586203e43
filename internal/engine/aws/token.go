package aws

import (
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/sluicehq/sluice/internal/lb"
)

// tokensRow takes the validation of tokens off a list of actions, if it is the first.
func tokensRow(list []elbtypes.Action) (tokens *lb.Tokens, rest []elbtypes.Action, ok bool) {
	list = slices.SortedStableFunc(slices.Values(list), func(a, b elbtypes.Action) int {
		return int(aws.ToInt32(a.Order)) - int(aws.ToInt32(b.Order))
	})
	if len(list) < 2 || list[0].JwtValidationConfig == nil {
		return nil, list, false
	}
	c := list[0].JwtValidationConfig
	tokens = &lb.Tokens{Keys: aws.ToString(c.JwksEndpoint), Issuer: aws.ToString(c.Issuer)}
	for _, claim := range c.AdditionalClaims {
		tokens.Claims = append(tokens.Claims, lb.Claim{
			Name: aws.ToString(claim.Name), Format: lb.ClaimFormat(claim.Format), Values: claim.Values,
		})
	}
	return tokens, list[1:], true
}

func sdkTokens(t lb.Tokens) elbtypes.Action {
	c := &elbtypes.JwtValidationActionConfig{JwksEndpoint: aws.String(t.Keys), Issuer: aws.String(t.Issuer)}
	for _, claim := range t.Claims {
		c.AdditionalClaims = append(c.AdditionalClaims, elbtypes.JwtValidationActionAdditionalClaim{
			Name: aws.String(claim.Name), Format: elbtypes.JwtValidationActionAdditionalClaimFormatEnum(claim.Format), Values: claim.Values,
		})
	}
	return elbtypes.Action{Type: elbtypes.ActionTypeEnumJwtValidation, Order: aws.Int32(1), JwtValidationConfig: c}
}
