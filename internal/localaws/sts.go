package localaws

import "github.com/aws/aws-sdk-go-v2/service/sts"

func registerSTS(b *binder) {
	on(b, (*tx).getCallerIdentity)
}

// getCallerIdentity: everybody is the account's root, since signatures are accepted and not checked.
func (x *tx) getCallerIdentity(*sts.GetCallerIdentityInput) (*sts.GetCallerIdentityOutput, error) {
	return &sts.GetCallerIdentityOutput{
		Account: &x.options.AccountID, UserId: &x.options.AccountID,
		Arn: ptr("arn:aws:iam::" + x.options.AccountID + ":root"),
	}, nil
}
