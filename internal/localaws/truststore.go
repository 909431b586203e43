package localaws

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"

	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/sluicehq/sluice/internal/localaws/wire"
	"github.com/sluicehq/sluice/internal/proxy"
)

// trustStore is the authorities whose client certificates listeners accept, and what those have revoked. What was read
// from S3 is kept: a later change of the object does not matter, as on AWS.
type trustStore struct {
	Wire        types.TrustStore
	Bundle      string
	Revocations []revocation
	LastID      int64
}

// revocation is one file of revoked certificates.
type revocation struct {
	ID      int64
	Entries int64
	List    []byte // DER
}

func (t trustStore) arn() string { return *t.Wire.TrustStoreArn }

// Limits of trust stores that are not adjustable on AWS.
const (
	maxCACertificate = 16 << 10
	maxCASubject     = 10_000
)

var trustStoreKind = elbKind{"truststore", "TrustStoreNotFound", "trust store"}

// object reads an object that an input names.
func (x *tx) object(bucket, key, version *string, code string) ([]byte, error) {
	if version != nil {
		return nil, notServed("S3ObjectVersion")
	}
	data, err := x.options.buckets().read(val(bucket), val(key))
	if err != nil {
		return nil, wire.Errorf(code, "The object '%s' in bucket '%s' cannot be read: %s", val(key), val(bucket), why(err))
	}
	return data, nil
}

// authorities checks a bundle.
func (x *tx) authorities(data []byte) ([]*x509.Certificate, error) {
	bad := func(format string, args ...any) error {
		return wire.Errorf("InvalidCaCertificatesBundle", "The CA certificates bundle is not valid: %s", fmt.Sprintf(format, args...))
	}
	all, err := parseCertificates(data)
	if err != nil || len(all) == 0 {
		return nil, bad("it must be certificates in PEM, and at least one")
	}
	if limit := x.quota["sluice/certificates-per-trust-store"]; len(all) > limit {
		return nil, bad("it has more than %d certificates", limit)
	}
	for _, c := range all {
		switch {
		case c.Version != 3 || !c.IsCA:
			return nil, bad("%s is not an X.509 version 3 certificate of an authority", c.Subject)
		case len(c.Raw) > maxCACertificate, len(c.Subject.String()) > maxCASubject:
			return nil, bad("a certificate or its subject is too long")
		}
	}
	return all, nil
}

func (x *tx) createTrustStore(in *elb.CreateTrustStoreInput) (*elb.CreateTrustStoreOutput, error) {
	tags, err := x.collectELBTags(in.Tags)
	if err != nil {
		return nil, err
	}
	if x.state.trustStores.exists(func(t trustStore) bool { return *t.Wire.Name == *in.Name }) {
		return nil, wire.Errorf("DuplicateTrustStoreName", "A trust store with the name '%s' exists", *in.Name)
	}
	if limit := x.quota["sluice/trust-stores"]; x.state.trustStores.len() >= limit {
		return nil, wire.Errorf("TooManyTrustStores", "The maximum number of trust stores has been reached: %d", limit)
	}
	arn := x.elbARN("truststore/" + *in.Name + "/" + x.hex(16))
	t := trustStore{Wire: types.TrustStore{Name: in.Name, TrustStoreArn: &arn, Status: types.TrustStoreStatusActive, TotalRevokedEntries: ptr(int64(0))}}
	if err := x.fill(&t, in.CaCertificatesBundleS3Bucket, in.CaCertificatesBundleS3Key, in.CaCertificatesBundleS3ObjectVersion); err != nil {
		return nil, err
	}
	x.state.trustStores.put(x, arn, t)
	x.setTags(arn, arn, tags)
	return &elb.CreateTrustStoreOutput{TrustStores: []types.TrustStore{t.Wire}}, nil
}

// fill takes the bundle of a trust store from its object.
func (x *tx) fill(t *trustStore, bucket, key, version *string) error {
	data, err := x.object(bucket, key, version, "CaCertificatesBundleNotFound")
	if err != nil {
		return err
	}
	all, err := x.authorities(data)
	if err != nil {
		return err
	}
	t.Bundle, t.Wire.NumberOfCaCertificates = string(data), ptr(int32(len(all))) //nolint:gosec // a quota limits it
	return nil
}

func (x *tx) modifyTrustStore(in *elb.ModifyTrustStoreInput) (*elb.ModifyTrustStoreOutput, error) {
	t, err := elbRow(x.state.trustStores, trustStoreKind, in.TrustStoreArn)
	if err != nil {
		return nil, err
	}
	if err := x.fill(&t, in.CaCertificatesBundleS3Bucket, in.CaCertificatesBundleS3Key, in.CaCertificatesBundleS3ObjectVersion); err != nil {
		return nil, err
	}
	x.state.trustStores.put(x, t.arn(), t)
	return &elb.ModifyTrustStoreOutput{TrustStores: []types.TrustStore{t.Wire}}, nil
}

func (x *tx) deleteTrustStore(in *elb.DeleteTrustStoreInput) (*elb.DeleteTrustStoreOutput, error) {
	t, err := elbRow(x.state.trustStores, trustStoreKind, in.TrustStoreArn)
	if err != nil {
		return nil, err
	}
	if users := x.trustStoreUsers(t.arn()); len(users) > 0 {
		return nil, wire.Errorf("TrustStoreInUse", "Trust store '%s' is currently in use by listener '%s'", t.arn(), users[0].id)
	}
	x.state.trustStores.delete(x, t.arn())
	x.state.tags.delete(x, t.arn())
	return &elb.DeleteTrustStoreOutput{}, nil
}

// trustStoreUsers lists the listeners that verify with a trust store.
func (x *tx) trustStoreUsers(arn string) []item[listener] {
	return x.state.listeners.items(func(_ string, l listener) bool {
		return l.Wire.MutualAuthentication != nil && val(l.Wire.MutualAuthentication.TrustStoreArn) == arn
	})
}

func (x *tx) describeTrustStores(in *elb.DescribeTrustStoresInput) (*elb.DescribeTrustStoresOutput, error) {
	if len(in.TrustStoreArns) > 0 && len(in.Names) > 0 {
		return nil, invalid("Trust store names and trust store ARNs cannot be specified at the same time")
	}
	for _, arn := range in.TrustStoreArns {
		if _, err := elbRow(x.state.trustStores, trustStoreKind, &arn); err != nil {
			return nil, err
		}
	}
	for _, name := range in.Names {
		if !x.state.trustStores.exists(func(t trustStore) bool { return *t.Wire.Name == name }) {
			return nil, trustStoreKind.notFound(name)
		}
	}
	all := x.state.trustStores.items(func(arn string, t trustStore) bool {
		return (len(in.TrustStoreArns) == 0 || slices.Contains(in.TrustStoreArns, arn)) &&
			(len(in.Names) == 0 || slices.Contains(in.Names, *t.Wire.Name))
	})
	found, next, err := pageELB(all, in.Marker, in.PageSize)
	if err != nil {
		return nil, err
	}
	out := &elb.DescribeTrustStoresOutput{TrustStores: []types.TrustStore{}, NextMarker: next}
	for _, t := range found {
		out.TrustStores = append(out.TrustStores, t.value.Wire)
	}
	return out, nil
}

func (x *tx) describeTrustStoreAssociations(in *elb.DescribeTrustStoreAssociationsInput) (*elb.DescribeTrustStoreAssociationsOutput, error) {
	if _, err := elbRow(x.state.trustStores, trustStoreKind, in.TrustStoreArn); err != nil {
		return nil, err
	}
	found, next, err := pageELB(x.trustStoreUsers(*in.TrustStoreArn), in.Marker, in.PageSize)
	if err != nil {
		return nil, err
	}
	out := &elb.DescribeTrustStoreAssociationsOutput{TrustStoreAssociations: []types.TrustStoreAssociation{}, NextMarker: next}
	for _, l := range found {
		out.TrustStoreAssociations = append(out.TrustStoreAssociations, types.TrustStoreAssociation{ResourceArn: &l.id})
	}
	return out, nil
}

// deleteSharedTrustStoreAssociation: all trust stores here are of this account.
func (x *tx) deleteSharedTrustStoreAssociation(in *elb.DeleteSharedTrustStoreAssociationInput) (*elb.DeleteSharedTrustStoreAssociationOutput, error) {
	if _, err := elbRow(x.state.trustStores, trustStoreKind, in.TrustStoreArn); err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(x.trustStoreUsers(*in.TrustStoreArn), func(l item[listener]) bool { return l.id == *in.ResourceArn }) {
		return nil, wire.Errorf("AssociationNotFound", "Trust store '%s' is not associated with '%s'", *in.TrustStoreArn, *in.ResourceArn)
	}
	return nil, wire.Errorf("DeleteAssociationSameAccount", "The association of '%s' cannot be deleted, since the trust store is of the same account", *in.ResourceArn)
}

// getResourcePolicy: nothing is shared here.
func (x *tx) getResourcePolicy(in *elb.GetResourcePolicyInput) (*elb.GetResourcePolicyOutput, error) {
	if _, err := elbRow(x.state.trustStores, trustStoreKind, in.ResourceArn); err != nil {
		return nil, err
	}
	return nil, wire.Errorf("ResourceNotFound", "There is no resource policy for '%s'", *in.ResourceArn)
}

// planeTrustStore is a trust store as the data plane takes it: the same as long as it does not change.
func (s *Server) planeTrustStore(arn string) *proxy.TrustStore {
	e := s.state.trustStores.rows[arn]
	return s.planeTrusts.get(arn, e.version, func() *proxy.TrustStore {
		out := &proxy.TrustStore{}
		all, err := parseCertificates([]byte(e.Value.Bundle))
		out.CAs = all
		for _, r := range e.Value.Revocations {
			list, trouble := x509.ParseRevocationList(r.List)
			if trouble == nil {
				out.Revocations = append(out.Revocations, list)
			}
			err = errors.Join(err, trouble)
		}
		if err != nil {
			s.log.Error("a trust store cannot be used", "truststore", arn, "error", err)
		}
		return out
	})
}

// pemOrDER takes the armour off a file that may have one.
func pemOrDER(data []byte) []byte {
	if block, _ := pem.Decode(data); block != nil && strings.HasSuffix(block.Type, "CRL") {
		return block.Bytes
	}
	return data
}
