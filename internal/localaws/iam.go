package localaws

import (
	"cmp"
	"errors"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/sluicehq/sluice/internal/localaws/wire"
)

func registerIAM(b *binder) {
	on(b, (*tx).uploadServerCertificate)
	on(b, (*tx).getServerCertificate)
	on(b, (*tx).listServerCertificates)
	on(b, (*tx).updateServerCertificate)
	on(b, (*tx).deleteServerCertificate)
	on(b, (*tx).tagServerCertificate)
	on(b, (*tx).untagServerCertificate)
	on(b, (*tx).listServerCertificateTags)
	on(b, (*tx).createServiceLinkedRole)
}

// createServiceLinkedRole: the role of a service is made once. ELB's is there already, as in an account that has ever had
// a load balancer.
func (x *tx) createServiceLinkedRole(in *iam.CreateServiceLinkedRoleInput) (*iam.CreateServiceLinkedRoleOutput, error) {
	name, ok := serviceRoles[*in.AWSServiceName]
	if !ok {
		return nil, wire.Errorf("InvalidInput", "Service linked roles are not supported for %s", *in.AWSServiceName)
	}
	key := "iam.servicerole." + *in.AWSServiceName
	if *in.AWSServiceName == "elasticloadbalancing.amazonaws.com" || x.state.meta.has(key) {
		return nil, wire.Errorf("InvalidInput", "Service role name %s has been taken in this account, please try a different suffix.", name)
	}
	path := "/aws-service-role/" + *in.AWSServiceName + "/"
	role := types.Role{
		Arn: ptr("arn:aws:iam::" + x.options.AccountID + ":role" + path + name), Path: &path, RoleName: &name,
		RoleId: ptr("AROA" + strings.ToUpper(x.hex(17))), CreateDate: ptr(x.now.Truncate(time.Second)), Description: in.Description,
	}
	x.state.meta.put(x, key, *role.RoleId)
	return &iam.CreateServiceLinkedRoleOutput{Role: &role}, nil
}

// serviceRoles are the service-linked roles of the services here.
var serviceRoles = map[string]string{
	"elasticloadbalancing.amazonaws.com": "AWSServiceRoleForElasticLoadBalancing",
	"globalaccelerator.amazonaws.com":    "AWSServiceRoleForGlobalAccelerator",
	"shield.amazonaws.com":               "AWSServiceRoleForAWSShield",
	"wafv2.amazonaws.com":                "AWSServiceRoleForWAFV2Logging",
}

// serverCertificate is a certificate that IAM keeps; ELB takes its ARN wherever it takes one of ACM's. Its row and its
// tags go by the identifier, since names and with them ARNs can change.
type serverCertificate struct {
	Wire types.ServerCertificateMetadata
	Pair keyPair
}

func (x *tx) serverCertificate(name *string) (serverCertificate, error) {
	for _, c := range x.state.serverCertificates.find(func(c serverCertificate) bool { return *c.Wire.ServerCertificateName == *name }) {
		return c, nil
	}
	return serverCertificate{}, wire.Errorf("NoSuchEntity", "The Server Certificate with name %s cannot be found.", *name)
}

// nameServerCertificate gives a certificate a name that nobody has.
func (x *tx) nameServerCertificate(c *serverCertificate, path, name string) error {
	taken := func(o serverCertificate) bool {
		return strings.EqualFold(*o.Wire.ServerCertificateName, name) && *o.Wire.ServerCertificateId != *c.Wire.ServerCertificateId
	}
	if x.state.serverCertificates.exists(taken) {
		return wire.Errorf("EntityAlreadyExists", "The Server Certificate with name %s already exists.", name)
	}
	c.Wire.Path, c.Wire.ServerCertificateName = &path, &name
	c.Wire.Arn = ptr("arn:aws:iam::" + x.options.AccountID + ":server-certificate" + path + name)
	return nil
}

func (x *tx) uploadServerCertificate(in *iam.UploadServerCertificateInput) (*iam.UploadServerCertificateOutput, error) {
	tags, err := x.collectIAMTags(in.Tags)
	if err != nil {
		return nil, err
	}
	c := serverCertificate{
		Wire: types.ServerCertificateMetadata{ServerCertificateId: ptr("ASCA" + strings.ToUpper(x.hex(17))), UploadDate: ptr(x.now.Truncate(time.Second))},
		Pair: keyPair{*in.CertificateBody, val(in.CertificateChain), *in.PrivateKey},
	}
	parsed, err := parsePair(c.Pair)
	switch {
	case errors.Is(err, errMismatch):
		return nil, wire.Errorf("KeyPairMismatch", "Certificate and Private Key do not match.")
	case errors.Is(err, errKey):
		return nil, wire.Errorf("MalformedCertificate", "Unable to parse key; the body is encrypted or not in PEM format.")
	case errors.Is(err, errChain):
		return nil, wire.Errorf("MalformedCertificate", "Unable to validate certificate chain. The certificate chain must start with the "+
			"immediate signing certificate, followed by any intermediaries in order.")
	case err != nil:
		return nil, wire.Errorf("MalformedCertificate", "Unable to parse certificate. Please ensure the certificate is in PEM format.")
	}
	if err := x.nameServerCertificate(&c, firstOf(val(in.Path), "/"), *in.ServerCertificateName); err != nil {
		return nil, err
	}
	if limit := x.quota["sluice/server-certificates"]; x.state.serverCertificates.len() >= limit {
		return nil, wire.Errorf("LimitExceeded", "Cannot exceed quota for ServerCertificatesPerAccount: %d", limit)
	}
	c.Wire.Expiration = ptr(parsed.NotAfter.UTC())
	x.state.serverCertificates.put(x, *c.Wire.ServerCertificateId, c)
	x.setTags(*c.Wire.ServerCertificateId, *c.Wire.Arn, tags)
	return &iam.UploadServerCertificateOutput{ServerCertificateMetadata: &c.Wire, Tags: in.Tags}, nil
}

func (x *tx) getServerCertificate(in *iam.GetServerCertificateInput) (*iam.GetServerCertificateOutput, error) {
	c, err := x.serverCertificate(in.ServerCertificateName)
	if err != nil {
		return nil, err
	}
	out := &types.ServerCertificate{ServerCertificateMetadata: &c.Wire, CertificateBody: &c.Pair.Body, Tags: x.serverCertificateTags(c)}
	if c.Pair.Chain != "" {
		out.CertificateChain = &c.Pair.Chain
	}
	return &iam.GetServerCertificateOutput{ServerCertificate: out}, nil
}

func (x *tx) listServerCertificates(in *iam.ListServerCertificatesInput) (*iam.ListServerCertificatesOutput, error) {
	all := x.state.serverCertificates.items(func(_ string, c serverCertificate) bool {
		return strings.HasPrefix(*c.Wire.Path, val(in.PathPrefix))
	})
	found, next, err := pageIAM(all, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	out := &iam.ListServerCertificatesOutput{
		ServerCertificateMetadataList: []types.ServerCertificateMetadata{}, Marker: next, IsTruncated: next != nil,
	}
	for _, c := range found {
		out.ServerCertificateMetadataList = append(out.ServerCertificateMetadataList, c.value.Wire)
	}
	return out, nil
}

// pageIAM cuts a listing of IAM's.
func pageIAM[T any](all []item[T], marker *string, size *int32) ([]item[T], *string, error) {
	const usual = 100
	found, next, ok := page(all, val(marker), int(cmp.Or(val(size), usual)))
	switch {
	case !ok:
		return nil, nil, wire.Errorf("ValidationError", "Invalid Marker.")
	case next == "":
		return found, nil, nil
	}
	return found, &next, nil
}

func (x *tx) updateServerCertificate(in *iam.UpdateServerCertificateInput) (*iam.UpdateServerCertificateOutput, error) {
	c, err := x.serverCertificate(in.ServerCertificateName)
	if err != nil {
		return nil, err
	}
	if users := x.certificateUsers(*c.Wire.Arn); len(users) > 0 {
		return nil, wire.Errorf("DeleteConflict", "Server Certificate %s is in use by %s.", *in.ServerCertificateName, users[0])
	}
	path, name := firstOf(val(in.NewPath), *c.Wire.Path), firstOf(val(in.NewServerCertificateName), *c.Wire.ServerCertificateName)
	if err := x.nameServerCertificate(&c, path, name); err != nil {
		return nil, err
	}
	id := *c.Wire.ServerCertificateId
	x.state.serverCertificates.put(x, id, c)
	x.setTags(id, *c.Wire.Arn, x.tagsOf(id))
	return &iam.UpdateServerCertificateOutput{}, nil
}

func (x *tx) deleteServerCertificate(in *iam.DeleteServerCertificateInput) (*iam.DeleteServerCertificateOutput, error) {
	c, err := x.serverCertificate(in.ServerCertificateName)
	if err != nil {
		return nil, err
	}
	if users := x.certificateUsers(*c.Wire.Arn); len(users) > 0 {
		return nil, wire.Errorf("DeleteConflict", "Certificate: %s is currently in use by %s. Please remove it first before deleting it from IAM.",
			*c.Wire.ServerCertificateId, users[0])
	}
	x.state.serverCertificates.delete(x, *c.Wire.ServerCertificateId)
	x.state.tags.delete(x, *c.Wire.ServerCertificateId)
	return &iam.DeleteServerCertificateOutput{}, nil
}

func (x *tx) collectIAMTags(tags []types.Tag) (map[string]string, error) {
	split := func(t types.Tag) (*string, *string) { return t.Key, t.Value }
	out, err := collectTags(tags, split, "InvalidInput", "InvalidInput")
	if err == nil && len(out) > x.quota["sluice/tags-per-resource"] {
		return nil, tooManyIAMTags()
	}
	return out, err
}

func tooManyIAMTags() error {
	return wire.Errorf("LimitExceeded", "The number of tags has reached the maximum limit.")
}

func (x *tx) serverCertificateTags(c serverCertificate) []types.Tag {
	return sortedTags(x.tagsOf(*c.Wire.ServerCertificateId), func(k, v *string) types.Tag { return types.Tag{Key: k, Value: v} })
}

func (x *tx) tagServerCertificate(in *iam.TagServerCertificateInput) (*iam.TagServerCertificateOutput, error) {
	c, err := x.serverCertificate(in.ServerCertificateName)
	if err != nil {
		return nil, err
	}
	add, err := x.collectIAMTags(in.Tags)
	if err != nil {
		return nil, err
	}
	x.changeTags(*c.Wire.ServerCertificateId, add, nil)
	if len(x.tagsOf(*c.Wire.ServerCertificateId)) > x.quota["sluice/tags-per-resource"] {
		return nil, tooManyIAMTags()
	}
	return &iam.TagServerCertificateOutput{}, nil
}

func (x *tx) untagServerCertificate(in *iam.UntagServerCertificateInput) (*iam.UntagServerCertificateOutput, error) {
	c, err := x.serverCertificate(in.ServerCertificateName)
	if err != nil {
		return nil, err
	}
	x.changeTags(*c.Wire.ServerCertificateId, nil, in.TagKeys)
	return &iam.UntagServerCertificateOutput{}, nil
}

func (x *tx) listServerCertificateTags(in *iam.ListServerCertificateTagsInput) (*iam.ListServerCertificateTagsOutput, error) {
	c, err := x.serverCertificate(in.ServerCertificateName)
	if err != nil {
		return nil, err
	}
	var all []item[types.Tag]
	for i, t := range x.serverCertificateTags(c) {
		all = append(all, item[types.Tag]{key: uint64(i + 1), value: t})
	}
	found, next, err := pageIAM(all, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	out := &iam.ListServerCertificateTagsOutput{Tags: []types.Tag{}, Marker: next, IsTruncated: next != nil}
	for _, i := range found {
		out.Tags = append(out.Tags, i.value)
	}
	return out, nil
}
