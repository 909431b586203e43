package localaws

import (
	"strings"
	"testing"

	cognito "github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider"
)

// TestLoginAt: what an authenticate-cognito action names is found, and what is not there is refused by name.
func TestLoginAt(t *testing.T) {
	s, err := New(Options{DataPlane: still{}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	var pool, client, bare string
	err = s.change(func(x *tx) error {
		p, err := x.createUserPool(&cognito.CreateUserPoolInput{PoolName: ptr("people")})
		if err != nil {
			return err
		}
		pool = *p.UserPool.Arn
		if _, err := x.createUserPoolDomain(&cognito.CreateUserPoolDomainInput{UserPoolId: p.UserPool.Id, Domain: ptr("shop")}); err != nil {
			return err
		}
		c, err := x.createUserPoolClient(&cognito.CreateUserPoolClientInput{UserPoolId: p.UserPool.Id, ClientName: ptr("a"), GenerateSecret: true})
		if err != nil {
			return err
		}
		client = *c.UserPoolClient.ClientId
		c, err = x.createUserPoolClient(&cognito.CreateUserPoolClientInput{UserPoolId: p.UserPool.Id, ClientName: ptr("b")})
		bare = *c.UserPoolClient.ClientId
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	e, err := s.loginAt(pool, client, "shop")
	if err != nil || e.ClientSecret == "" || !strings.HasSuffix(e.Authorization, "/_local/cognito/shop/oauth2/authorize") || !strings.HasPrefix(e.JWKS, e.Issuer) {
		t.Errorf("%+v %v", e, err)
	}
	for _, row := range [][4]string{{pool + "x", client, "shop", "user pool"}, {pool, "nobody", "shop", "nobody"}, {pool, client, "other", "other"}, {pool, bare, "shop", "no secret"}} {
		if _, err := s.loginAt(row[0], row[1], row[2]); err == nil || !strings.Contains(err.Error(), row[3]) {
			t.Errorf("%v: %v", row, err)
		}
	}
}
