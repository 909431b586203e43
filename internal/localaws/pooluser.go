package localaws

import (
	"slices"
	"strings"
	"time"
	"unicode"

	cognito "github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider"
	"github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider/types"
	"golang.org/x/crypto/bcrypt"

	"github.com/sluicehq/sluice/internal/localaws/wire"
)

// poolUser is a user of a user pool. Its row goes by the pool and the name in lower case: Cognito's pools do not tell
// cases apart.
type poolUser struct {
	Pool     string
	Wire     types.UserType
	Password []byte // bcrypt
}

func userKey(pool, name string) string { return pool + "/" + strings.ToLower(name) }

// attribute is a user's, "" when it is not set.
func (u poolUser) attribute(name string) string {
	for _, a := range u.Wire.Attributes {
		if *a.Name == name {
			return val(a.Value)
		}
	}
	return ""
}

// is tells whether a password is the user's.
func (u poolUser) is(password string) bool {
	return len(u.Password) > 0 && bcrypt.CompareHashAndPassword(u.Password, []byte(password)) == nil
}

// mustChange tells whether the password is one that was given, and is good for choosing one only.
func (u poolUser) mustChange() bool {
	return u.Wire.UserStatus == types.UserStatusTypeForceChangePassword
}

func (x *tx) poolUser(pool, name *string) (poolUser, error) {
	if _, err := x.userPool(pool); err != nil {
		return poolUser{}, err
	}
	u, ok := x.state.users.get(userKey(*pool, *name))
	if !ok {
		return u, wire.Errorf("UserNotFoundException", "User does not exist.")
	}
	return u, nil
}

func (x *tx) adminCreateUser(in *cognito.AdminCreateUserInput) (*cognito.AdminCreateUserOutput, error) {
	p, err := x.userPool(in.UserPoolId)
	switch {
	case err != nil:
		return nil, err
	case in.MessageAction == types.MessageActionTypeResend:
		return nil, notHere("sending invitations")
	case x.state.users.has(userKey(p.id(), *in.Username)):
		return nil, wire.Errorf("UsernameExistsException", "User account already exists")
	}
	u := poolUser{Pool: p.id(), Wire: types.UserType{
		Username: in.Username, Enabled: true, UserStatus: types.UserStatusTypeForceChangePassword,
		UserCreateDate: ptr(x.now.Truncate(time.Millisecond)), UserLastModifiedDate: ptr(x.now.Truncate(time.Millisecond)),
		Attributes: append([]types.AttributeType{{Name: ptr("sub"), Value: ptr(requestID())}}, in.UserAttributes...),
	}}
	if slices.ContainsFunc(in.UserAttributes, func(a types.AttributeType) bool { return val(a.Name) == "sub" }) {
		return nil, invalidParameter("Cannot modify the non-mutable attribute sub")
	}
	if in.TemporaryPassword != nil {
		if err := p.setPassword(&u, *in.TemporaryPassword); err != nil {
			return nil, err
		}
	}
	x.state.users.put(x, userKey(p.id(), *in.Username), u)
	return &cognito.AdminCreateUserOutput{User: &u.Wire}, nil
}

// setPassword checks a password against the pool's policy and gives it to a user.
func (p userPool) setPassword(u *poolUser, password string) error {
	policy := p.Wire.Policies.PasswordPolicy
	lacks := func(is func(rune) bool) bool { return !strings.ContainsFunc(password, is) }
	bad := ""
	switch {
	case len(password) < int(val(policy.MinimumLength)):
		bad = "Password not long enough"
	case policy.RequireLowercase && lacks(unicode.IsLower):
		bad = "Password must have lowercase characters"
	case policy.RequireUppercase && lacks(unicode.IsUpper):
		bad = "Password must have uppercase characters"
	case policy.RequireNumbers && lacks(unicode.IsDigit):
		bad = "Password must have numeric characters"
	case policy.RequireSymbols && lacks(func(r rune) bool { return unicode.IsPunct(r) || unicode.IsSymbol(r) || r == ' ' }):
		bad = "Password must have symbol characters"
	}
	if bad != "" {
		return wire.Errorf("InvalidPasswordException", "Password did not conform with policy: %s", bad)
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost) // nobody's real password is kept here
	if err != nil {
		return wire.Errorf("InvalidPasswordException", "Password did not conform with policy: %s", err.Error())
	}
	u.Password = hash
	return nil
}

func (x *tx) adminSetUserPassword(in *cognito.AdminSetUserPasswordInput) (*cognito.AdminSetUserPasswordOutput, error) {
	u, err := x.poolUser(in.UserPoolId, in.Username)
	if err != nil {
		return nil, err
	}
	p, _ := x.state.userPools.get(*in.UserPoolId)
	if err := p.setPassword(&u, *in.Password); err != nil {
		return nil, err
	}
	u.Wire.UserStatus = types.UserStatusTypeForceChangePassword
	if in.Permanent {
		u.Wire.UserStatus = types.UserStatusTypeConfirmed
	}
	x.putUser(u)
	return &cognito.AdminSetUserPasswordOutput{}, nil
}

func (x *tx) putUser(u poolUser) {
	u.Wire.UserLastModifiedDate = ptr(x.now.Truncate(time.Millisecond))
	x.state.users.put(x, userKey(u.Pool, *u.Wire.Username), u)
}

func (x *tx) adminGetUser(in *cognito.AdminGetUserInput) (*cognito.AdminGetUserOutput, error) {
	u, err := x.poolUser(in.UserPoolId, in.Username)
	if err != nil {
		return nil, err
	}
	out := &cognito.AdminGetUserOutput{UserAttributes: u.Wire.Attributes}
	sameFields(&u.Wire, out)
	return out, nil
}

func (x *tx) adminDeleteUser(in *cognito.AdminDeleteUserInput) (*cognito.AdminDeleteUserOutput, error) {
	if _, err := x.poolUser(in.UserPoolId, in.Username); err != nil {
		return nil, err
	}
	x.state.users.delete(x, userKey(*in.UserPoolId, *in.Username))
	return &cognito.AdminDeleteUserOutput{}, nil
}

func (x *tx) listUsers(in *cognito.ListUsersInput) (*cognito.ListUsersOutput, error) {
	p, err := x.userPool(in.UserPoolId)
	if err != nil {
		return nil, err
	}
	if val(in.Filter) != "" {
		return nil, notHere("filters of ListUsers")
	}
	const most = 60
	size := int32(most)
	if in.Limit != nil && *in.Limit > 0 {
		size = *in.Limit
	}
	mine := x.state.users.items(func(_ string, u poolUser) bool { return u.Pool == p.id() })
	found, next, err := pageCognito(mine, in.PaginationToken, size)
	if err != nil {
		return nil, err
	}
	out := &cognito.ListUsersOutput{Users: []types.UserType{}, PaginationToken: next}
	for _, i := range found {
		w := i.value.Wire
		if in.AttributesToGet != nil {
			w.Attributes = slices.DeleteFunc(slices.Clone(w.Attributes), func(a types.AttributeType) bool { return !slices.Contains(in.AttributesToGet, *a.Name) })
		}
		out.Users = append(out.Users, w)
	}
	return out, nil
}
