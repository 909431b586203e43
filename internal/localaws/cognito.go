package localaws

import (
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	cognito "github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider"
	"github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider/types"

	"github.com/sluicehq/sluice/internal/localaws/wire"
)

func registerCognito(b *binder) {
	on(b, (*tx).createUserPool)
	on(b, (*tx).describeUserPool)
	on(b, (*tx).listUserPools)
	on(b, (*tx).deleteUserPool)
	on(b, (*tx).createUserPoolClient)
	on(b, (*tx).describeUserPoolClient)
	on(b, (*tx).listUserPoolClients)
	on(b, (*tx).deleteUserPoolClient)
	on(b, (*tx).createUserPoolDomain)
	on(b, (*tx).describeUserPoolDomain)
	on(b, (*tx).deleteUserPoolDomain)
	on(b, (*tx).adminCreateUser)
	on(b, (*tx).adminGetUser)
	on(b, (*tx).adminSetUserPassword)
	on(b, (*tx).adminDeleteUser)
	on(b, (*tx).listUsers)
}

// userPool is a user pool of Cognito: users, and the applications they log in to. Its login pages are in login.go.
type userPool struct {
	Wire types.UserPoolType
	Key  string // PEM of the key that its tokens are signed with
}

func (p userPool) id() string { return *p.Wire.Id }

// userClient is an application of a user pool. Its row goes by its client id.
type userClient struct{ Wire types.UserPoolClientType }

func noSuchUserThing(noun, what string) error {
	return wire.Errorf("ResourceNotFoundException", "%s %s does not exist.", noun, what)
}

func (x *tx) userPool(id *string) (userPool, error) {
	p, ok := x.state.userPools.get(val(id))
	if !ok {
		return p, noSuchUserThing("User pool", val(id))
	}
	return p, nil
}

// sameFields copies the fields that two structs of the SDK both have and one has set.
func sameFields(from, to any) {
	src, dst := reflect.ValueOf(from).Elem(), reflect.ValueOf(to).Elem()
	for field, value := range src.Fields() {
		if at := dst.FieldByName(field.Name); field.IsExported() && at.IsValid() && at.Type() == value.Type() && !value.IsZero() {
			at.Set(value)
		}
	}
}

func (x *tx) createUserPool(in *cognito.CreateUserPoolInput) (*cognito.CreateUserPoolOutput, error) {
	switch {
	case in.LambdaConfig != nil:
		return nil, notHere("Lambda triggers")
	case in.MfaConfiguration == types.UserPoolMfaTypeOn:
		return nil, notHere("multi-factor authentication")
	case len(in.UsernameAttributes)+len(in.AliasAttributes) > 0:
		return nil, notHere("logging in with an attribute instead of the user name")
	}
	if limit := x.quota["sluice/user-pools"]; x.state.userPools.len() >= limit {
		return nil, wire.Errorf("LimitExceededException", "The account has reached the limit of %d user pools.", limit)
	}
	for key, value := range in.UserPoolTags {
		if bad := badTag(key, value); bad != "" {
			return nil, invalidParameter("%s", bad)
		}
	}
	key, err := newSigningKey()
	if err != nil {
		return nil, err
	}
	id := x.options.Region + "_" + x.hex(9)
	p := userPool{Key: key}
	sameFields(in, &p.Wire)
	p.Wire.Id, p.Wire.Name = &id, in.PoolName
	p.Wire.Arn = ptr("arn:aws:cognito-idp:" + x.options.Region + ":" + x.options.AccountID + ":userpool/" + id)
	p.Wire.CreationDate, p.Wire.LastModifiedDate = ptr(x.now.Truncate(time.Millisecond)), ptr(x.now.Truncate(time.Millisecond))
	if p.Wire.MfaConfiguration == "" {
		p.Wire.MfaConfiguration = types.UserPoolMfaTypeOff
	}
	if p.Wire.DeletionProtection == "" {
		p.Wire.DeletionProtection = types.DeletionProtectionTypeInactive
	}
	p.Wire.Policies = passwordPolicy(in.Policies)
	p.Wire.UserPoolTags = nil // in the table of tags
	x.state.userPools.put(x, id, p)
	x.setTags(id, *p.Wire.Arn, in.UserPoolTags)
	return &cognito.CreateUserPoolOutput{UserPool: x.userPoolWire(p)}, nil
}

// notHere refuses by name what this version does not do.
func notHere(what string) error {
	return invalidParameter("%s: not supported by this version of local AWS", what)
}

// passwordPolicy is what a pool says of passwords, or what Cognito says.
func passwordPolicy(asked *types.UserPoolPolicyType) *types.UserPoolPolicyType {
	if asked != nil && asked.PasswordPolicy != nil {
		return asked
	}
	return &types.UserPoolPolicyType{PasswordPolicy: &types.PasswordPolicyType{
		MinimumLength: ptr(int32(8)), RequireLowercase: true, RequireUppercase: true, RequireNumbers: true, RequireSymbols: true,
		TemporaryPasswordValidityDays: 7,
	}}
}

func (x *tx) userPoolWire(p userPool) *types.UserPoolType {
	w := p.Wire
	w.UserPoolTags = x.tagsOf(p.id())
	for range x.state.users.find(func(u poolUser) bool { return u.Pool == p.id() }) {
		w.EstimatedNumberOfUsers++
	}
	return &w
}

func (x *tx) describeUserPool(in *cognito.DescribeUserPoolInput) (*cognito.DescribeUserPoolOutput, error) {
	p, err := x.userPool(in.UserPoolId)
	if err != nil {
		return nil, err
	}
	return &cognito.DescribeUserPoolOutput{UserPool: x.userPoolWire(p)}, nil
}

// pageCognito cuts a listing, and gives the token of the next page.
func pageCognito[T any](all []item[T], token *string, size int32) ([]item[T], *string, error) {
	found, next, ok := page(all, val(token), int(size))
	if !ok {
		return nil, nil, invalidParameter("The pagination token is not valid.")
	}
	if next == "" {
		return found, nil, nil
	}
	return found, &next, nil
}

func (x *tx) listUserPools(in *cognito.ListUserPoolsInput) (*cognito.ListUserPoolsOutput, error) {
	found, next, err := pageCognito(x.state.userPools.items(nil), in.NextToken, *in.MaxResults)
	if err != nil {
		return nil, err
	}
	out := &cognito.ListUserPoolsOutput{UserPools: []types.UserPoolDescriptionType{}, NextToken: next}
	for _, i := range found {
		d := types.UserPoolDescriptionType{}
		sameFields(&i.value.Wire, &d)
		out.UserPools = append(out.UserPools, d)
	}
	return out, nil
}

func (x *tx) deleteUserPool(in *cognito.DeleteUserPoolInput) (*cognito.DeleteUserPoolOutput, error) {
	p, err := x.userPool(in.UserPoolId)
	switch {
	case err != nil:
		return nil, err
	case p.Wire.Domain != nil:
		return nil, invalidParameter("User pool cannot be deleted. It has a domain configured that should be deleted first.")
	case p.Wire.DeletionProtection == types.DeletionProtectionTypeActive:
		return nil, invalidParameter("The user pool cannot be deleted because deletion protection is activated.")
	}
	for _, c := range x.state.userClients.items(func(_ string, c userClient) bool { return *c.Wire.UserPoolId == p.id() }) {
		x.state.userClients.delete(x, c.id)
	}
	for _, u := range x.state.users.items(func(_ string, u poolUser) bool { return u.Pool == p.id() }) {
		x.state.users.delete(x, u.id)
	}
	x.state.userPools.delete(x, p.id())
	x.state.tags.delete(x, p.id())
	return &cognito.DeleteUserPoolOutput{}, nil
}

func (x *tx) createUserPoolClient(in *cognito.CreateUserPoolClientInput) (*cognito.CreateUserPoolClientOutput, error) {
	p, err := x.userPool(in.UserPoolId)
	if err != nil {
		return nil, err
	}
	for _, flow := range in.AllowedOAuthFlows {
		if flow != types.OAuthFlowTypeCode {
			return nil, notHere("the OAuth flow " + string(flow))
		}
	}
	for _, provider := range in.SupportedIdentityProviders {
		if provider != "COGNITO" {
			return nil, notHere("the identity provider " + provider)
		}
	}
	if in.AllowedOAuthFlowsUserPoolClient && len(in.CallbackURLs) == 0 {
		return nil, wire.Errorf("InvalidOAuthFlowException", "code flow can not be selected if callback URL is not provided")
	}
	c := userClient{}
	sameFields(in, &c.Wire)
	c.Wire.AllowedOAuthFlowsUserPoolClient = &in.AllowedOAuthFlowsUserPoolClient
	c.Wire.ClientId, c.Wire.UserPoolId = ptr(x.hex(26)), p.Wire.Id
	if in.GenerateSecret && in.ClientSecret == nil {
		c.Wire.ClientSecret = ptr(x.hex(51))
	}
	c.Wire.CreationDate, c.Wire.LastModifiedDate = ptr(x.now.Truncate(time.Millisecond)), ptr(x.now.Truncate(time.Millisecond))
	if c.Wire.RefreshTokenValidity == 0 {
		c.Wire.RefreshTokenValidity = 30
	}
	x.state.userClients.put(x, *c.Wire.ClientId, c)
	return &cognito.CreateUserPoolClientOutput{UserPoolClient: &c.Wire}, nil
}

func (x *tx) userClient(pool, id *string) (userClient, error) {
	if _, err := x.userPool(pool); err != nil {
		return userClient{}, err
	}
	c, ok := x.state.userClients.get(*id)
	if !ok || *c.Wire.UserPoolId != *pool {
		return c, noSuchUserThing("User pool client", *id)
	}
	return c, nil
}

func (x *tx) describeUserPoolClient(in *cognito.DescribeUserPoolClientInput) (*cognito.DescribeUserPoolClientOutput, error) {
	c, err := x.userClient(in.UserPoolId, in.ClientId)
	if err != nil {
		return nil, err
	}
	return &cognito.DescribeUserPoolClientOutput{UserPoolClient: &c.Wire}, nil
}

func (x *tx) listUserPoolClients(in *cognito.ListUserPoolClientsInput) (*cognito.ListUserPoolClientsOutput, error) {
	p, err := x.userPool(in.UserPoolId)
	if err != nil {
		return nil, err
	}
	const most = 60
	size := int32(most)
	if in.MaxResults != nil {
		size = *in.MaxResults
	}
	mine := x.state.userClients.items(func(_ string, c userClient) bool { return *c.Wire.UserPoolId == p.id() })
	found, next, err := pageCognito(mine, in.NextToken, size)
	if err != nil {
		return nil, err
	}
	out := &cognito.ListUserPoolClientsOutput{UserPoolClients: []types.UserPoolClientDescription{}, NextToken: next}
	for _, i := range found {
		w := i.value.Wire
		out.UserPoolClients = append(out.UserPoolClients, types.UserPoolClientDescription{ClientId: w.ClientId, ClientName: w.ClientName, UserPoolId: w.UserPoolId})
	}
	return out, nil
}

func (x *tx) deleteUserPoolClient(in *cognito.DeleteUserPoolClientInput) (*cognito.DeleteUserPoolClientOutput, error) {
	c, err := x.userClient(in.UserPoolId, in.ClientId)
	if err != nil {
		return nil, err
	}
	x.state.userClients.delete(x, *c.Wire.ClientId)
	return &cognito.DeleteUserPoolClientOutput{}, nil
}

var domainPrefix = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`)

func (x *tx) createUserPoolDomain(in *cognito.CreateUserPoolDomainInput) (*cognito.CreateUserPoolDomainOutput, error) {
	p, err := x.userPool(in.UserPoolId)
	switch {
	case err != nil:
		return nil, err
	case in.CustomDomainConfig != nil:
		return nil, notHere("custom domains")
	case !domainPrefix.MatchString(*in.Domain) || slices.ContainsFunc([]string{"aws", "amazon", "cognito"}, func(w string) bool { return strings.Contains(*in.Domain, w) }):
		return nil, invalidParameter("The domain name contains an invalid character or a reserved word: %s", *in.Domain)
	case p.Wire.Domain != nil:
		return nil, invalidParameter("User pool already has a domain configured.")
	}
	if _, taken := x.state.poolAt(*in.Domain); taken {
		return nil, invalidParameter("Domain already associated with another user pool.")
	}
	p.Wire.Domain = in.Domain
	x.state.userPools.put(x, p.id(), p)
	return &cognito.CreateUserPoolDomainOutput{}, nil
}

// poolAt finds the pool of a domain.
func (s *state) poolAt(domain string) (userPool, bool) {
	for _, p := range s.userPools.find(func(p userPool) bool { return val(p.Wire.Domain) == domain }) {
		return p, domain != ""
	}
	return userPool{}, false
}

// describeUserPoolDomain answers an empty description for a domain that nobody has, as Cognito does.
func (x *tx) describeUserPoolDomain(in *cognito.DescribeUserPoolDomainInput) (*cognito.DescribeUserPoolDomainOutput, error) {
	d := &types.DomainDescriptionType{}
	if p, ok := x.state.poolAt(*in.Domain); ok {
		d.Domain, d.UserPoolId, d.AWSAccountId, d.Status = in.Domain, p.Wire.Id, &x.options.AccountID, types.DomainStatusTypeActive
	}
	return &cognito.DescribeUserPoolDomainOutput{DomainDescription: d}, nil
}

func (x *tx) deleteUserPoolDomain(in *cognito.DeleteUserPoolDomainInput) (*cognito.DeleteUserPoolDomainOutput, error) {
	p, err := x.userPool(in.UserPoolId)
	if err != nil {
		return nil, err
	}
	if val(p.Wire.Domain) != *in.Domain {
		return nil, invalidParameter("No such domain or user pool exists.")
	}
	p.Wire.Domain = nil
	x.state.userPools.put(x, p.id(), p)
	return &cognito.DeleteUserPoolDomainOutput{}, nil
}
