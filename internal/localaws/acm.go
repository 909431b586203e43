package localaws

import (
	"cmp"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/acm"
	"github.com/aws/aws-sdk-go-v2/service/acm/types"

	"github.com/sluicehq/sluice/internal/localaws/wire"
)

func registerACM(b *binder) {
	on(b, (*tx).requestCertificate)
	on(b, (*tx).importCertificate)
	on(b, (*tx).describeCertificate)
	on(b, (*tx).getCertificate)
	on(b, (*tx).listCertificates)
	on(b, (*tx).deleteCertificate)
	on(b, (*tx).updateCertificateOptions)
	on(b, (*tx).addTagsToCertificate)
	on(b, (*tx).removeTagsFromCertificate)
	on(b, (*tx).listTagsForCertificate)
}

// certificate is a certificate of ACM. Its status also depends on the time, and who uses it is found on reading.
type certificate struct {
	Wire  types.CertificateDetail
	Pair  keyPair // empty until it is issued
	Token string
}

// The times of ACM.
const (
	validationTime = 72 * time.Hour       // how long a request waits for its records
	issuedFor      = 198 * 24 * time.Hour // how long an issued certificate is valid
	renewBefore    = 45 * 24 * time.Hour
	tokenTime      = time.Hour // how long an idempotency token is remembered
)

func (c certificate) status(now time.Time) types.CertificateStatus {
	switch {
	case c.Wire.Status == types.CertificateStatusPendingValidation && now.After(c.Wire.CreatedAt.Add(validationTime)):
		return types.CertificateStatusValidationTimedOut
	case c.Wire.Status == types.CertificateStatusIssued && now.After(*c.Wire.NotAfter):
		return types.CertificateStatusExpired
	}
	return c.Wire.Status
}

// Certificate finds a certificate of ACM or IAM by its ARN, with its key.
func (s *Server) Certificate(arn string) (tls.Certificate, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.state.certificate(arn)
}

func (s *state) certificate(arn string) (tls.Certificate, error) {
	pair, _, _, ok := s.pair(arn)
	if !ok {
		return tls.Certificate{}, fmt.Errorf("localaws: there is no issued certificate %s", arn)
	}
	return pair.tls()
}

// pair finds the key pair of a certificate of ACM or IAM, with the id and the version of its row.
func (s *state) pair(arn string) (pair keyPair, id string, version uint64, ok bool) {
	if e, ok := s.certificates.rows[arn]; ok {
		return e.Value.Pair, arn, e.version, e.Value.Pair.Body != ""
	}
	for id, c := range s.serverCertificates.find(func(c serverCertificate) bool { return *c.Wire.Arn == arn }) {
		return c.Pair, id, s.serverCertificates.rows[id].version, true
	}
	return keyPair{}, "", 0, false
}

// certificateUsers lists the load balancers whose listeners have a certificate.
func (x *tx) certificateUsers(arn string) []string {
	var users []string
	for _, l := range x.state.listeners.find(func(l listener) bool { return slices.Contains(l.certificates(), arn) }) {
		if !slices.Contains(users, l.balancer()) {
			users = append(users, l.balancer())
		}
	}
	return users
}

func (x *tx) certificateOf(arn *string) (certificate, error) {
	if !strings.HasPrefix(arnResource(val(arn)), "certificate/") {
		return certificate{}, wire.Errorf("InvalidArnException", "%s is not the ARN of a certificate", val(arn))
	}
	c, ok := x.state.certificates.get(*arn)
	if !ok {
		return c, wire.Errorf("ResourceNotFoundException", "Could not find certificate %s.", *arn)
	}
	return c, nil
}

func (x *tx) newCertificate() (arn string) {
	return "arn:aws:acm:" + x.options.Region + ":" + x.options.AccountID + ":certificate/" + requestID()
}

func invalidParameter(format string, args ...any) error {
	return wire.Errorf("InvalidParameterException", format, args...)
}

func (x *tx) requestCertificate(in *acm.RequestCertificateInput) (*acm.RequestCertificateOutput, error) {
	names, err := x.certificateNames(in)
	if err != nil {
		return nil, err
	}
	tags, err := x.collectACMTags(in.Tags)
	if err != nil {
		return nil, err
	}
	private := in.CertificateAuthorityArn != nil
	algorithm := cmp.Or(in.KeyAlgorithm, types.KeyAlgorithmRsa2048)
	publicOnly := []types.KeyAlgorithm{types.KeyAlgorithmRsa2048, types.KeyAlgorithmEcPrime256v1, types.KeyAlgorithmEcSecp384r1}
	switch {
	case algorithm == types.KeyAlgorithmRsa1024 || !private && !slices.Contains(publicOnly, algorithm):
		return nil, invalidParameter("The key algorithm %s is not supported for this type of certificate.", algorithm)
	case private && in.ValidationMethod != "":
		return nil, invalidParameter("A validation method cannot be given for a private certificate.")
	case !private && in.ValidationMethod != types.ValidationMethodDns:
		return nil, invalidParameter("Validation by EMAIL, the method when none is given, and by HTTP are not supported by this version of " +
			"local AWS; request validation by DNS.")
	case in.ManagedBy != "":
		return nil, invalidParameter("ManagedBy is not supported by this version of local AWS.")
	}
	for arn, c := range x.state.certificates.all() {
		if in.IdempotencyToken != nil && c.Token == *in.IdempotencyToken && x.now.Before(c.Wire.CreatedAt.Add(tokenTime)) &&
			slices.Equal(c.Wire.SubjectAlternativeNames, names) {
			return &acm.RequestCertificateOutput{CertificateArn: &arn}, nil
		}
	}
	if err := x.checkCertificateCount(); err != nil {
		return nil, err
	}
	arn := x.newCertificate()
	c := certificate{Token: val(in.IdempotencyToken), Wire: types.CertificateDetail{
		CertificateArn: &arn, DomainName: &names[0], SubjectAlternativeNames: names, CreatedAt: &x.now, KeyAlgorithm: algorithm,
		Status: types.CertificateStatusPendingValidation, Type: types.CertificateTypeAmazonIssued,
		RenewalEligibility: types.RenewalEligibilityIneligible, Options: certificateOptions(in.Options),
		CertificateKeyPairOrigin: types.CertificateKeyPairOriginAwsManaged,
	}}
	if private {
		c.Wire.Type, c.Wire.CertificateAuthorityArn = types.CertificateTypePrivate, in.CertificateAuthorityArn
		if c, err = x.issue(c); err != nil {
			return nil, err
		}
	} else {
		c.Wire.DomainValidationOptions = x.validations(names)
	}
	x.state.certificates.put(x, arn, c)
	x.setTags(arn, arn, tags)
	return &acm.RequestCertificateOutput{CertificateArn: &arn}, x.validateCertificates()
}

func certificateOptions(in *types.CertificateOptions) *types.CertificateOptions {
	out := types.CertificateOptions{}
	if in != nil {
		out = *in
	}
	out.Export = cmp.Or(out.Export, types.CertificateExportDisabled)
	return &out
}

// certificateNames are the names asked for, each once, the first being the common name.
func (x *tx) certificateNames(in *acm.RequestCertificateInput) ([]string, error) {
	var names []string
	for _, name := range append([]string{*in.DomainName}, in.SubjectAlternativeNames...) {
		name = strings.ToLower(name)
		if slices.ContainsFunc(strings.Split(name, "."), func(label string) bool { return strings.HasPrefix(label, "-") }) {
			return nil, wire.Errorf("ValidationException", "The domain name '%s' is not valid.", name)
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if len(names[0]) > 64 {
		return nil, invalidParameter("The first domain name can have at most 64 characters.")
	}
	if limit := x.quota["sluice/names-per-certificate"]; len(names) > limit {
		return nil, wire.Errorf("LimitExceededException", "Error: the number of domain names is above the limit of %d for a certificate.", limit)
	}
	for _, o := range in.DomainValidationOptions {
		if name := strings.ToLower(val(o.DomainName)); !slices.Contains(names, name) || !inZone(name, strings.ToLower(val(o.ValidationDomain))) {
			return nil, wire.Errorf("InvalidDomainValidationOptionsException",
				"The validation domain '%s' is not '%s' or above it, or that name is not asked for.", val(o.ValidationDomain), name)
		}
	}
	return names, nil
}

func (x *tx) checkCertificateCount() error {
	if limit := x.quota["sluice/certificates"]; x.state.certificates.len() >= limit {
		return wire.Errorf("LimitExceededException", "Error: you have reached your limit of %d certificates.", limit)
	}
	return nil
}

// validations are the records that prove names. As on AWS they are the same each time this account asks for a name, and
// the same for a name and its wildcard, so that they may stay in the zone.
func (x *tx) validations(names []string) []types.DomainValidation {
	var out []types.DomainValidation
	for _, name := range names {
		base := strings.TrimPrefix(name, "*.")
		sum := sha256.Sum256([]byte(x.options.AccountID + " " + base))
		digits := hex.EncodeToString(sum[:])
		suffix := strings.Map(func(r rune) rune { return 'a' + r%26 }, digits[:10])
		out = append(out, types.DomainValidation{
			DomainName: &name, ValidationDomain: &name, ValidationMethod: types.ValidationMethodDns, ValidationStatus: types.DomainStatusPendingValidation,
			ResourceRecord: &types.ResourceRecord{
				Name: ptr("_" + digits[:32] + "." + base + "."), Type: types.RecordTypeCname,
				Value: ptr("_" + digits[32:] + "." + suffix + ".acm-validations.aws."),
			},
		})
	}
	return out
}

// validateCertificates issues what is waiting for records that are in a public hosted zone now, and renews what will
// expire and has its records still.
func (x *tx) validateCertificates() error {
	for _, arn := range slices.Clone(x.state.certificates.order) {
		c, _ := x.state.certificates.get(arn)
		waiting := c.status(x.now) == types.CertificateStatusPendingValidation
		due := c.Wire.Type == types.CertificateTypeAmazonIssued && c.Wire.NotAfter != nil && x.now.After(c.Wire.NotAfter.Add(-renewBefore))
		if !waiting && !due {
			continue
		}
		options := slices.Clone(c.Wire.DomainValidationOptions)
		all := true
		for i, o := range options {
			if x.hasValidation(o.ResourceRecord) {
				options[i].ValidationStatus = types.DomainStatusSuccess
			}
			all = all && x.hasValidation(o.ResourceRecord)
		}
		c.Wire.DomainValidationOptions = options
		if all {
			issued, err := x.issue(c)
			if err != nil {
				return err
			}
			c = issued
		}
		if waiting || all {
			x.state.certificates.put(x, arn, c)
		}
	}
	return nil
}

func (x *tx) hasValidation(r *types.ResourceRecord) bool {
	name, _ := recordName(*r.Name)
	for _, z := range x.state.hostedZones.all() {
		if z.private() || !inZone(name, z.name()) {
			continue
		}
		for _, set := range x.state.recordsAt(z.id(), name) {
			for _, value := range set.ResourceRecords {
				if target, problem := recordName(*value.Value); set.Type == "CNAME" && problem == "" && target == *r.Value {
					return true
				}
			}
		}
	}
	return false
}

// issue signs a certificate, or signs it again.
func (x *tx) issue(c certificate) (certificate, error) {
	from := x.now.Truncate(time.Second)
	pair, err := x.authority().issue(c.Wire.SubjectAlternativeNames, c.Wire.KeyAlgorithm, from, from.Add(issuedFor))
	if err != nil {
		return c, err
	}
	parsed, err := parsePair(pair)
	if err != nil {
		return c, err
	}
	c.Pair = pair
	describeX509(&c.Wire, parsed)
	c.Wire.Status, c.Wire.IssuedAt = types.CertificateStatusIssued, &x.now
	if c.Wire.Type == types.CertificateTypeAmazonIssued {
		c.Wire.Issuer, c.Wire.RenewalEligibility = ptr("Amazon"), types.RenewalEligibilityEligible
	}
	return c, nil
}

// authority is the one made when the state was.
func (x *tx) authority() authority {
	body, _ := x.state.meta.get("authority.certificate")
	key, _ := x.state.meta.get("authority.key")
	return authority{body, key}
}

// describeX509 fills in what a certificate says of itself.
func describeX509(d *types.CertificateDetail, c *x509.Certificate) {
	d.NotBefore, d.NotAfter = ptr(c.NotBefore.UTC()), ptr(c.NotAfter.UTC())
	var serial []string
	for _, b := range c.SerialNumber.Bytes() {
		serial = append(serial, fmt.Sprintf("%02x", b))
	}
	d.Serial, d.Subject = ptr(strings.Join(serial, ":")), ptr(c.Subject.String())
	d.Issuer = ptr(cmp.Or(strings.Join(c.Issuer.Organization, ","), c.Issuer.CommonName))
	d.KeyAlgorithm = keyAlgorithm(c.PublicKey)
	d.SignatureAlgorithm = ptr(signatureAlgorithm(c.SignatureAlgorithm))
	d.KeyUsages, d.ExtendedKeyUsages = nil, nil
	for _, u := range keyUsages {
		if c.KeyUsage&u.bit != 0 {
			d.KeyUsages = append(d.KeyUsages, types.KeyUsage{Name: u.name})
		}
	}
	for _, u := range extendedKeyUsages {
		if slices.Contains(c.ExtKeyUsage, u.usage) {
			d.ExtendedKeyUsages = append(d.ExtendedKeyUsages, types.ExtendedKeyUsage{Name: u.name, OID: ptr(u.oid)})
		}
	}
}

// signatureAlgorithm is Java's word for it: "SHA256WITHRSA" for "SHA256-RSA".
func signatureAlgorithm(a x509.SignatureAlgorithm) string {
	if hash, kind, ok := strings.Cut(a.String(), "-"); ok && strings.HasPrefix(hash, "SHA") {
		return hash + "WITH" + kind
	}
	if kind, hash, ok := strings.Cut(a.String(), "-"); ok {
		return hash + "WITH" + kind
	}
	return a.String()
}

var keyUsages = []struct {
	bit  x509.KeyUsage
	name types.KeyUsageName
}{
	{x509.KeyUsageDigitalSignature, types.KeyUsageNameDigitalSignature},
	{x509.KeyUsageContentCommitment, types.KeyUsageNameNonRepudation},
	{x509.KeyUsageKeyEncipherment, types.KeyUsageNameKeyEncipherment},
	{x509.KeyUsageDataEncipherment, types.KeyUsageNameDataEncipherment},
	{x509.KeyUsageKeyAgreement, types.KeyUsageNameKeyAgreement},
	{x509.KeyUsageCertSign, types.KeyUsageNameCertificateSigning},
	{x509.KeyUsageCRLSign, types.KeyUsageNameCrlSigning},
}

var extendedKeyUsages = []struct {
	usage x509.ExtKeyUsage
	name  types.ExtendedKeyUsageName
	oid   string
}{
	{x509.ExtKeyUsageServerAuth, types.ExtendedKeyUsageNameTlsWebServerAuthentication, "1.3.6.1.5.5.7.3.1"},
	{x509.ExtKeyUsageClientAuth, types.ExtendedKeyUsageNameTlsWebClientAuthentication, "1.3.6.1.5.5.7.3.2"},
	{x509.ExtKeyUsageCodeSigning, types.ExtendedKeyUsageNameCodeSigning, "1.3.6.1.5.5.7.3.3"},
	{x509.ExtKeyUsageEmailProtection, types.ExtendedKeyUsageNameEmailProtection, "1.3.6.1.5.5.7.3.4"},
	{x509.ExtKeyUsageTimeStamping, types.ExtendedKeyUsageNameTimeStamping, "1.3.6.1.5.5.7.3.8"},
	{x509.ExtKeyUsageOCSPSigning, types.ExtendedKeyUsageNameOcspSigning, "1.3.6.1.5.5.7.3.9"},
	{x509.ExtKeyUsageAny, types.ExtendedKeyUsageNameAny, "2.5.29.37.0"},
}

func (x *tx) importCertificate(in *acm.ImportCertificateInput) (*acm.ImportCertificateOutput, error) {
	tags, err := x.collectACMTags(in.Tags)
	if err != nil {
		return nil, err
	}
	c := certificate{Pair: keyPair{string(in.Certificate), string(in.CertificateChain), string(in.PrivateKey)}}
	parsed, err := parsePair(c.Pair)
	switch {
	case errors.Is(err, errChain):
		return nil, wire.Errorf("ValidationException", "Could not validate the certificate with the certificate chain.")
	case errors.Is(err, errKey):
		return nil, wire.Errorf("ValidationException", "The private key is not supported.")
	case errors.Is(err, errMismatch):
		return nil, wire.Errorf("ValidationException", "The certificate body and the private key do not match.")
	case err != nil:
		return nil, wire.Errorf("ValidationException", "Could not parse the certificate: %s.", err.Error())
	case x.now.Before(parsed.NotBefore) || x.now.After(parsed.NotAfter):
		return nil, wire.Errorf("ValidationException", "The certificate is not valid now: it is from %s to %s.", parsed.NotBefore, parsed.NotAfter)
	}
	if in.CertificateArn != nil {
		old, err := x.certificateOf(in.CertificateArn)
		switch {
		case err != nil:
			return nil, err
		case old.Wire.Type != types.CertificateTypeImported:
			return nil, wire.Errorf("ValidationException", "Only an imported certificate can be imported again.")
		case len(in.Tags) > 0:
			return nil, invalidParameter("You can't apply tags when reimporting a certificate.")
		case len(x.certificateUsers(*in.CertificateArn)) > 0 && old.Wire.KeyAlgorithm != keyAlgorithm(parsed.PublicKey):
			return nil, wire.Errorf("ValidationException", "The key of a certificate in use must have the same type and size.")
		}
		c.Wire = old.Wire
	} else {
		if err := x.checkCertificateCount(); err != nil {
			return nil, err
		}
		arn := x.newCertificate()
		c.Wire.CertificateArn, c.Wire.CreatedAt = &arn, &x.now
		x.setTags(arn, arn, tags)
	}
	names := slices.Clone(parsed.DNSNames)
	if len(names) == 0 && parsed.Subject.CommonName != "" {
		names = []string{parsed.Subject.CommonName}
	}
	c.Wire.SubjectAlternativeNames, c.Wire.DomainName = names, nil
	if name := cmp.Or(parsed.Subject.CommonName, firstOf(names...)); name != "" {
		c.Wire.DomainName = &name
	}
	describeX509(&c.Wire, parsed)
	c.Wire.Status, c.Wire.Type, c.Wire.ImportedAt = types.CertificateStatusIssued, types.CertificateTypeImported, &x.now
	c.Wire.RenewalEligibility, c.Wire.Options = types.RenewalEligibilityIneligible, certificateOptions(nil)
	c.Wire.CertificateKeyPairOrigin = types.CertificateKeyPairOriginCustomerProvided
	x.state.certificates.put(x, *c.Wire.CertificateArn, c)
	return &acm.ImportCertificateOutput{CertificateArn: c.Wire.CertificateArn}, nil
}

func (x *tx) describeCertificate(in *acm.DescribeCertificateInput) (*acm.DescribeCertificateOutput, error) {
	c, err := x.certificateOf(in.CertificateArn)
	if err != nil {
		return nil, err
	}
	d := c.Wire
	d.Status = c.status(x.now)
	d.InUseBy = append([]string{}, x.certificateUsers(*in.CertificateArn)...)
	return &acm.DescribeCertificateOutput{Certificate: &d}, nil
}

func (x *tx) getCertificate(in *acm.GetCertificateInput) (*acm.GetCertificateOutput, error) {
	c, err := x.certificateOf(in.CertificateArn)
	if err != nil {
		return nil, err
	}
	if c.Pair.Body == "" {
		return nil, wire.Errorf("RequestInProgressException", "Certificate %s is not issued: its status is %s.", *in.CertificateArn, c.status(x.now))
	}
	out := &acm.GetCertificateOutput{Certificate: &c.Pair.Body}
	if c.Pair.Chain != "" {
		out.CertificateChain = &c.Pair.Chain
	}
	return out, nil
}

// certificatePage is what a listing has when no size is given.
const certificatePage = 1000

func (x *tx) listCertificates(in *acm.ListCertificatesInput) (*acm.ListCertificatesOutput, error) {
	if (in.SortBy == "") != (in.SortOrder == "") {
		return nil, wire.Errorf("InvalidArgsException", "SortBy and SortOrder must be given together.")
	}
	all := x.state.certificates.items(func(_ string, c certificate) bool {
		return (len(in.CertificateStatuses) == 0 || slices.Contains(in.CertificateStatuses, c.status(x.now))) &&
			(len(in.CertificateKeyPairOrigins) == 0 || slices.Contains(in.CertificateKeyPairOrigins, c.Wire.CertificateKeyPairOrigin)) &&
			c.matches(in.Includes)
	})
	if in.SortOrder == types.SortOrderDescending {
		slices.Reverse(all)
		for i := range all {
			all[i].key = ^all[i].key
		}
	}
	size := certificatePage
	if in.MaxItems != nil {
		size = int(*in.MaxItems)
	}
	found, next, ok := page(all, val(in.NextToken), size)
	if !ok {
		return nil, wire.Errorf("ValidationException", "The token '%s' is not valid.", *in.NextToken)
	}
	out := &acm.ListCertificatesOutput{CertificateSummaryList: []types.CertificateSummary{}}
	if next != "" {
		out.NextToken = &next
	}
	for _, i := range found {
		out.CertificateSummaryList = append(out.CertificateSummaryList, x.summary(i.value))
	}
	return out, nil
}

// matches applies the filters. Without one on keys, only the RSA keys that all services take are listed.
func (c certificate) matches(f *types.Filters) bool {
	if f == nil {
		f = &types.Filters{}
	}
	keys := f.KeyTypes
	if len(keys) == 0 {
		keys = []types.KeyAlgorithm{types.KeyAlgorithmRsa1024, types.KeyAlgorithmRsa2048}
	}
	has := func(name types.KeyUsageName) bool {
		return slices.ContainsFunc(c.Wire.KeyUsages, func(u types.KeyUsage) bool { return u.Name == name || name == types.KeyUsageNameAny })
	}
	hasExtended := func(name types.ExtendedKeyUsageName) bool {
		return slices.ContainsFunc(c.Wire.ExtendedKeyUsages, func(u types.ExtendedKeyUsage) bool {
			return u.Name == name || name == types.ExtendedKeyUsageNameAny
		})
	}
	return slices.Contains(keys, c.Wire.KeyAlgorithm) &&
		(len(f.KeyUsage) == 0 || slices.ContainsFunc(f.KeyUsage, has)) &&
		(len(f.ExtendedKeyUsage) == 0 || slices.ContainsFunc(f.ExtendedKeyUsage, hasExtended)) &&
		(f.ExportOption == "" || f.ExportOption == c.Wire.Options.Export) &&
		f.ManagedBy == c.Wire.ManagedBy
}

func (x *tx) summary(c certificate) types.CertificateSummary {
	d := c.Wire
	s := types.CertificateSummary{
		CertificateArn: d.CertificateArn, DomainName: d.DomainName, SubjectAlternativeNameSummaries: d.SubjectAlternativeNames,
		HasAdditionalSubjectAlternativeNames: ptr(false), Status: c.status(x.now), Type: d.Type, KeyAlgorithm: d.KeyAlgorithm,
		KeyUsages: []types.KeyUsageName{}, ExtendedKeyUsages: []types.ExtendedKeyUsageName{}, ExportOption: d.Options.Export, Exported: ptr(false),
		InUse: ptr(len(x.certificateUsers(*d.CertificateArn)) > 0), RenewalEligibility: d.RenewalEligibility,
		NotBefore: d.NotBefore, NotAfter: d.NotAfter, CreatedAt: d.CreatedAt, IssuedAt: d.IssuedAt, ImportedAt: d.ImportedAt,
		CertificateKeyPairOrigin: d.CertificateKeyPairOrigin,
	}
	const most = 100 // names that a summary has
	if names := s.SubjectAlternativeNameSummaries; len(names) > most {
		s.SubjectAlternativeNameSummaries, s.HasAdditionalSubjectAlternativeNames = names[:most], ptr(true)
	}
	for _, u := range d.KeyUsages {
		s.KeyUsages = append(s.KeyUsages, u.Name)
	}
	for _, u := range d.ExtendedKeyUsages {
		s.ExtendedKeyUsages = append(s.ExtendedKeyUsages, u.Name)
	}
	return s
}

func (x *tx) deleteCertificate(in *acm.DeleteCertificateInput) (*acm.DeleteCertificateOutput, error) {
	if _, err := x.certificateOf(in.CertificateArn); err != nil {
		return nil, err
	}
	if len(x.certificateUsers(*in.CertificateArn)) > 0 {
		return nil, wire.Errorf("ResourceInUseException", "Certificate %s is in use.", *in.CertificateArn)
	}
	x.state.certificates.delete(x, *in.CertificateArn)
	x.state.tags.delete(x, *in.CertificateArn)
	return &acm.DeleteCertificateOutput{}, nil
}

func (x *tx) updateCertificateOptions(in *acm.UpdateCertificateOptionsInput) (*acm.UpdateCertificateOptionsOutput, error) {
	c, err := x.certificateOf(in.CertificateArn)
	switch {
	case err != nil:
		return nil, err
	case c.Wire.Type != types.CertificateTypeAmazonIssued:
		return nil, wire.Errorf("InvalidStateException", "Options can only be updated for certificates that Amazon issued.")
	case in.Options.Export != "" && in.Options.Export != c.Wire.Options.Export:
		return nil, wire.Errorf("InvalidStateException", "The export option cannot be changed after the request.")
	}
	c.Wire.Options = certificateOptions(in.Options)
	x.state.certificates.put(x, *in.CertificateArn, c)
	return &acm.UpdateCertificateOptionsOutput{}, nil
}

func (x *tx) collectACMTags(tags []types.Tag) (map[string]string, error) {
	split := func(t types.Tag) (*string, *string) { return t.Key, t.Value }
	out, err := collectTags(tags, split, "InvalidParameterException", "InvalidTagException")
	if err == nil && len(out) > x.quota["sluice/tags-per-resource"] {
		return nil, wire.Errorf("TooManyTagsException", "The resource would have too many tags.")
	}
	return out, err
}

func (x *tx) addTagsToCertificate(in *acm.AddTagsToCertificateInput) (*acm.AddTagsToCertificateOutput, error) {
	if _, err := x.certificateOf(in.CertificateArn); err != nil {
		return nil, err
	}
	add, err := x.collectACMTags(in.Tags)
	if err != nil {
		return nil, err
	}
	x.changeTags(*in.CertificateArn, add, nil)
	if len(x.tagsOf(*in.CertificateArn)) > x.quota["sluice/tags-per-resource"] {
		return nil, wire.Errorf("TooManyTagsException", "The resource would have too many tags.")
	}
	return &acm.AddTagsToCertificateOutput{}, nil
}

// removeTagsFromCertificate removes a tag that is given with a value only where it has that value.
func (x *tx) removeTagsFromCertificate(in *acm.RemoveTagsFromCertificateInput) (*acm.RemoveTagsFromCertificateOutput, error) {
	if _, err := x.certificateOf(in.CertificateArn); err != nil {
		return nil, err
	}
	have := maps.Clone(x.tagsOf(*in.CertificateArn))
	var keys []string
	for _, t := range in.Tags {
		if value, ok := have[*t.Key]; ok && (t.Value == nil || *t.Value == value) {
			keys = append(keys, *t.Key)
		}
	}
	x.changeTags(*in.CertificateArn, nil, keys)
	return &acm.RemoveTagsFromCertificateOutput{}, nil
}

func (x *tx) listTagsForCertificate(in *acm.ListTagsForCertificateInput) (*acm.ListTagsForCertificateOutput, error) {
	if _, err := x.certificateOf(in.CertificateArn); err != nil {
		return nil, err
	}
	tags := sortedTags(x.tagsOf(*in.CertificateArn), func(k, v *string) types.Tag { return types.Tag{Key: k, Value: v} })
	return &acm.ListTagsForCertificateOutput{Tags: append([]types.Tag{}, tags...)}, nil
}
