package localaws

import (
	"encoding/base64"
	"encoding/json"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"

	"github.com/sluicehq/sluice/internal/localaws/wire"
)

func registerSTS(b *binder) {
	on(b, (*tx).getCallerIdentity)
	on(b, (*tx).assumeRole)
	on(b, (*tx).assumeRoleWithWebIdentity)
}

// getCallerIdentity: everybody is the account's root, since signatures are accepted and not checked.
func (x *tx) getCallerIdentity(*sts.GetCallerIdentityInput) (*sts.GetCallerIdentityOutput, error) {
	return &sts.GetCallerIdentityOutput{
		Account: &x.options.AccountID, UserId: &x.options.AccountID,
		Arn: ptr("arn:aws:iam::" + x.options.AccountID + ":root"),
	}, nil
}

// roleARN is a role's ARN: the account, and its name behind the last slash.
var roleARN = regexp.MustCompile(`^arn:aws[a-z-]*:iam::([0-9]{12}):role/(?:[!-~]+/)?([\w+=,.@-]{1,64})$`)

// assumeRole lets anybody be any role: there are no roles and no policies here to ask.
func (x *tx) assumeRole(in *sts.AssumeRoleInput) (*sts.AssumeRoleOutput, error) {
	user, credentials, err := x.session(*in.RoleArn, *in.RoleSessionName, in.DurationSeconds)
	if err != nil {
		return nil, err
	}
	return &sts.AssumeRoleOutput{AssumedRoleUser: user, Credentials: credentials}, nil
}

// session makes the credentials of an assumed role. With --require-auth they cannot sign: its one key stays the only one.
func (x *tx) session(role, name string, seconds *int32) (*types.AssumedRoleUser, *types.Credentials, error) {
	parts := roleARN.FindStringSubmatch(role)
	if parts == nil {
		return nil, nil, wire.Errorf("ValidationError", "%s is invalid", role)
	}
	lifetime := time.Hour
	if seconds != nil {
		lifetime = time.Duration(*seconds) * time.Second
	}
	user := &types.AssumedRoleUser{
		Arn:           ptr("arn:aws:sts::" + parts[1] + ":assumed-role/" + parts[2] + "/" + name),
		AssumedRoleId: ptr("AROA" + strings.ToUpper(x.hex(17)) + ":" + name),
	}
	return user, &types.Credentials{
		AccessKeyId: ptr("ASIA" + strings.ToUpper(x.hex(16))), SecretAccessKey: ptr(x.hex(40)), SessionToken: ptr(x.hex(64)),
		Expiration: ptr(x.now.Add(lifetime).Truncate(time.Second)),
	}, nil
}

// assumeRoleWithWebIdentity reads who the token is of, and refuses one that is over. Its signature is not checked: the
// provider that made it is not registered anywhere here.
func (x *tx) assumeRoleWithWebIdentity(in *sts.AssumeRoleWithWebIdentityInput) (*sts.AssumeRoleWithWebIdentityOutput, error) {
	claims, ok := tokenClaims(*in.WebIdentityToken)
	switch {
	case !ok:
		return nil, wire.Errorf("InvalidIdentityToken", "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)")
	case claims.Subject == "" || claims.Issuer == "":
		return nil, wire.Errorf("InvalidIdentityToken", "Missing a required claim: sub and iss")
	case claims.Expires != 0 && !x.now.Before(time.Unix(claims.Expires, 0)):
		return nil, wire.Errorf("ExpiredTokenException", "Token expired: current date/time %d must be before the expiration date/time %d", x.now.Unix(), claims.Expires)
	}
	user, credentials, err := x.session(*in.RoleArn, *in.RoleSessionName, in.DurationSeconds)
	if err != nil {
		return nil, err
	}
	return &sts.AssumeRoleWithWebIdentityOutput{
		AssumedRoleUser: user, Credentials: credentials, SubjectFromWebIdentityToken: &claims.Subject, Provider: &claims.Issuer,
		Audience: claims.audience(),
	}, nil
}

type webClaims struct {
	Subject  string          `json:"sub"`
	Issuer   string          `json:"iss"`
	Expires  int64           `json:"exp"`
	Audience json.RawMessage `json:"aud"` // a text or a list of them
}

func (c webClaims) audience() *string {
	var one string
	var many []string
	if json.Unmarshal(c.Audience, &one) == nil {
		return &one
	}
	if json.Unmarshal(c.Audience, &many) == nil && len(many) > 0 {
		return &many[0]
	}
	return nil
}

func tokenClaims(token string) (c webClaims, ok bool) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return c, false
	}
	body, err := base64.RawURLEncoding.DecodeString(parts[1])
	return c, err == nil && json.Unmarshal(body, &c) == nil
}
