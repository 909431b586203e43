package localaws

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/sluicehq/sluice/internal/localaws/wire"
)

// addTrustStoreRevocations takes all files or none.
func (x *tx) addTrustStoreRevocations(in *elb.AddTrustStoreRevocationsInput) (*elb.AddTrustStoreRevocationsOutput, error) {
	t, err := elbRow(x.state.trustStores, trustStoreKind, in.TrustStoreArn)
	if err != nil {
		return nil, err
	}
	if len(in.RevocationContents) == 0 {
		return nil, invalid("Revocation contents must be specified")
	}
	cas, err := x.authorities([]byte(t.Bundle))
	if err != nil {
		return nil, err
	}
	t.Revocations = slices.Clone(t.Revocations)
	out := &elb.AddTrustStoreRevocationsOutput{}
	for _, content := range in.RevocationContents {
		data, err := x.object(content.S3Bucket, content.S3Key, content.S3ObjectVersion, "RevocationContentNotFound")
		if err != nil {
			return nil, err
		}
		list, err := x509.ParseRevocationList(pemOrDER(data))
		if err != nil {
			return nil, wire.Errorf("InvalidRevocationContent", "The revocation file '%s' is not a list of revoked certificates in PEM or DER", val(content.S3Key))
		}
		if !slices.ContainsFunc(cas, func(ca *x509.Certificate) bool { return list.CheckSignatureFrom(ca) == nil }) {
			return nil, wire.Errorf("InvalidRevocationContent", "The revocation file '%s' is not signed by an authority of the trust store", val(content.S3Key))
		}
		t.LastID++
		r := revocation{ID: t.LastID, Entries: int64(len(list.RevokedCertificateEntries)), List: list.Raw}
		t.Revocations = append(t.Revocations, r)
		out.TrustStoreRevocations = append(out.TrustStoreRevocations, types.TrustStoreRevocation{
			TrustStoreArn: in.TrustStoreArn, RevocationId: &r.ID, RevocationType: types.RevocationTypeCrl, NumberOfRevokedEntries: &r.Entries,
		})
	}
	if limit := x.quota["sluice/revocation-files-per-trust-store"]; len(t.Revocations) > limit {
		return nil, tooManyRevocations(limit)
	}
	t.count()
	if limit := x.quota["sluice/revoked-entries-per-trust-store"]; *t.Wire.TotalRevokedEntries > int64(limit) {
		return nil, tooManyRevocations(limit)
	}
	x.state.trustStores.put(x, t.arn(), t)
	return out, nil
}

func tooManyRevocations(limit int) error {
	return wire.Errorf("TooManyTrustStoreRevocationEntries", "The trust store would have too many revocation entries; the limit is %d", limit)
}

// count sums up the revoked entries.
func (t *trustStore) count() {
	total := int64(0)
	for _, r := range t.Revocations {
		total += r.Entries
	}
	t.Wire.TotalRevokedEntries = &total
}

func (t *trustStore) at(id int64) int {
	return slices.IndexFunc(t.Revocations, func(r revocation) bool { return r.ID == id })
}

func noRevocation(id int64) error {
	return wire.Errorf("RevocationIdNotFound", "Revocation '%d' not found", id)
}

func (x *tx) removeTrustStoreRevocations(in *elb.RemoveTrustStoreRevocationsInput) (*elb.RemoveTrustStoreRevocationsOutput, error) {
	t, err := elbRow(x.state.trustStores, trustStoreKind, in.TrustStoreArn)
	if err != nil {
		return nil, err
	}
	t.Revocations = slices.Clone(t.Revocations)
	for _, id := range in.RevocationIds {
		at := t.at(id)
		if at < 0 {
			return nil, noRevocation(id)
		}
		t.Revocations = slices.Delete(t.Revocations, at, at+1)
	}
	t.count()
	x.state.trustStores.put(x, t.arn(), t)
	return &elb.RemoveTrustStoreRevocationsOutput{}, nil
}

func (x *tx) describeTrustStoreRevocations(in *elb.DescribeTrustStoreRevocationsInput) (*elb.DescribeTrustStoreRevocationsOutput, error) {
	t, err := elbRow(x.state.trustStores, trustStoreKind, in.TrustStoreArn)
	if err != nil {
		return nil, err
	}
	for _, id := range in.RevocationIds {
		if t.at(id) < 0 {
			return nil, noRevocation(id)
		}
	}
	var all []item[types.DescribeTrustStoreRevocation]
	for _, r := range t.Revocations {
		if len(in.RevocationIds) > 0 && !slices.Contains(in.RevocationIds, r.ID) {
			continue
		}
		all = append(all, item[types.DescribeTrustStoreRevocation]{key: uint64(r.ID), value: types.DescribeTrustStoreRevocation{ //nolint:gosec // counted from 1
			TrustStoreArn: in.TrustStoreArn, RevocationId: &r.ID, RevocationType: types.RevocationTypeCrl, NumberOfRevokedEntries: &r.Entries,
		}})
	}
	found, next, err := pageELB(all, in.Marker, in.PageSize)
	if err != nil {
		return nil, err
	}
	out := &elb.DescribeTrustStoreRevocationsOutput{TrustStoreRevocations: []types.DescribeTrustStoreRevocation{}, NextMarker: next}
	for _, r := range found {
		out.TrustStoreRevocations = append(out.TrustStoreRevocations, r.value)
	}
	return out, nil
}

// location is where the content of a trust store can be had: on AWS a URL of S3's, here one of this server's.
func (x *tx) location(store string, revocation int64) *string {
	query := url.Values{"arn": {store}}
	if revocation > 0 {
		query.Set("revocation", strconv.FormatInt(revocation, 10))
	}
	return ptr("http://" + x.host + "/_local/truststore?" + query.Encode())
}

func (x *tx) getTrustStoreCaCertificatesBundle(in *elb.GetTrustStoreCaCertificatesBundleInput) (*elb.GetTrustStoreCaCertificatesBundleOutput, error) {
	if _, err := elbRow(x.state.trustStores, trustStoreKind, in.TrustStoreArn); err != nil {
		return nil, err
	}
	return &elb.GetTrustStoreCaCertificatesBundleOutput{Location: x.location(*in.TrustStoreArn, 0)}, nil
}

func (x *tx) getTrustStoreRevocationContent(in *elb.GetTrustStoreRevocationContentInput) (*elb.GetTrustStoreRevocationContentOutput, error) {
	t, err := elbRow(x.state.trustStores, trustStoreKind, in.TrustStoreArn)
	if err != nil {
		return nil, err
	}
	if t.at(*in.RevocationId) < 0 {
		return nil, noRevocation(*in.RevocationId)
	}
	return &elb.GetTrustStoreRevocationContentOutput{Location: x.location(*in.TrustStoreArn, *in.RevocationId)}, nil
}

// serveTrustStore answers what location points to.
func (s *Server) serveTrustStore(w http.ResponseWriter, r *http.Request) {
	s.mu.RLock()
	t, ok := s.state.trustStores.get(r.FormValue("arn"))
	s.mu.RUnlock()
	content := t.Bundle
	if id := r.FormValue("revocation"); ok && id != "" {
		n, _ := strconv.ParseInt(id, 10, 64) // 0 is none
		at := t.at(n)
		if ok = at >= 0; ok {
			content = string(pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: t.Revocations[at].List}))
		}
	}
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/x-pem-file")
	_, _ = fmt.Fprint(w, content) // the client is gone; there is nobody to tell
}
