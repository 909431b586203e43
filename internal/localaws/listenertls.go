package localaws

import (
	"cmp"
	"slices"
	"strings"

	acmtypes "github.com/aws/aws-sdk-go-v2/service/acm/types"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/sluicehq/sluice/internal/localaws/wire"
)

// usualPolicy is the security policy of a listener for which none is asked.
const usualPolicy = "ELBSecurityPolicy-2016-08"

// certificates lists the ARNs of a listener's certificates, the default one first.
func (l listener) certificates() []string {
	return append(each(l.Wire.Certificates, func(c types.Certificate) *string { return c.CertificateArn }), l.Certificates...)
}

// security is what may be said about TLS when a listener is created or modified.
type security struct {
	certificates []types.Certificate
	policy       *string
	alpn         []string
	mutual       *types.MutualAuthenticationAttributes
}

// setProtocol changes a listener's protocol. What belongs to TLS goes with it, and must be given anew to come back.
func setProtocol(l *listener, p types.ProtocolEnum, policy *string) error {
	if isSecure(p) && policy == nil {
		return conflicting("An SSL policy must be specified to change the listener's protocol from %s to %s", l.Wire.Protocol, p)
	}
	l.Wire.Protocol = p
	l.Wire.Certificates, l.Wire.SslPolicy, l.Wire.MutualAuthentication, l.Certificates = nil, nil, nil, nil
	l.Wire.AlpnPolicy = nil
	attributes := defaults(listenerAttributesOf(p))
	for key := range attributes {
		if have, ok := l.Attributes[key]; ok {
			attributes[key] = have
		}
	}
	l.Attributes = attributes
	return nil
}

// setSecurity makes a listener as asked for; what is not mentioned stays, or becomes as AWS has it.
func (x *tx) setSecurity(l *types.Listener, s security) error {
	kind := listenerBalancer(l)
	switch {
	case l.Protocol == "":
		return invalid("A listener protocol must be specified")
	case !slices.Contains(listenerProtocols[kind], l.Protocol):
		return wire.Errorf("UnsupportedProtocol", "Listener protocol '%s' is not supported for load balancers of type '%s'; it must "+
			"be one of %s", l.Protocol, kind, joined(listenerProtocols[kind]))
	case !isSecure(l.Protocol):
		return checkPlain(l.Protocol, s)
	}
	if err := setALPN(l, s.alpn); err != nil {
		return err
	}
	switch {
	case len(s.certificates) > 1:
		return wire.Errorf("TooManyCertificates", "Exactly one certificate, the default one, must be specified for a listener; "+
			"others are added with AddListenerCertificates")
	case len(s.certificates) == 1:
		if err := x.checkListenerCertificate(s.certificates[0]); err != nil {
			return err
		}
		l.Certificates = []types.Certificate{{CertificateArn: s.certificates[0].CertificateArn}}
	case len(l.Certificates) == 0:
		return invalid("A certificate must be specified for %s listeners", l.Protocol)
	}
	if s.policy != nil {
		if err := checkPolicy(*s.policy, kind); err != nil {
			return err
		}
		l.SslPolicy = s.policy
	} else if l.SslPolicy == nil {
		l.SslPolicy = ptr(usualPolicy)
	}
	return x.setMutual(l, s.mutual)
}

// The modes of mutual authentication.
const (
	mutualOff         = "off"
	mutualPassthrough = "passthrough"
	mutualVerify      = "verify"
)

// setMutual says how a listener asks clients for certificates. Without a word of it, it stays as it is.
func (x *tx) setMutual(l *types.Listener, m *types.MutualAuthenticationAttributes) error {
	if listenerBalancer(l) == types.LoadBalancerTypeEnumNetwork {
		if m != nil && val(m.Mode) != mutualOff {
			return conflicting("Mutual authentication cannot be specified for %s listeners", l.Protocol)
		}
		return nil
	}
	if m == nil {
		if l.MutualAuthentication == nil {
			l.MutualAuthentication = &types.MutualAuthenticationAttributes{Mode: ptr(mutualOff)}
		}
		return nil
	}
	switch mode := val(m.Mode); mode {
	case mutualOff, mutualPassthrough:
		if m.TrustStoreArn != nil || m.IgnoreClientCertificateExpiry != nil || m.AdvertiseTrustStoreCaNames == types.AdvertiseTrustStoreCaNamesEnumOn {
			return invalid("Only the mutual authentication mode 'verify' has a trust store and its settings, not '%s'", mode)
		}
		l.MutualAuthentication = &types.MutualAuthenticationAttributes{Mode: &mode}
		return nil
	case mutualVerify:
	default:
		return invalid("The mutual authentication mode '%s' must be one of off, passthrough, verify", mode)
	}
	if m.TrustStoreArn == nil {
		return invalid("A trust store must be specified for the mutual authentication mode 'verify'")
	}
	if _, err := elbRow(x.state.trustStores, trustStoreKind, m.TrustStoreArn); err != nil {
		return err
	}
	others := 0
	for arn, o := range x.state.listeners.find(func(o listener) bool { return o.balancer() == *l.LoadBalancerArn }) {
		if arn != val(l.ListenerArn) && o.Wire.MutualAuthentication != nil && *o.Wire.MutualAuthentication.Mode == mutualVerify &&
			*o.Wire.Port != *l.Port {
			others++
		}
	}
	if limit := x.quota["sluice/verifying-listeners-per-load-balancer"]; others >= limit {
		return conflicting("The maximum number of listeners with mutual authentication mode 'verify' per load balancer has been reached: %d", limit)
	}
	l.MutualAuthentication = &types.MutualAuthenticationAttributes{
		Mode: m.Mode, TrustStoreArn: m.TrustStoreArn, IgnoreClientCertificateExpiry: ptr(val(m.IgnoreClientCertificateExpiry)),
		AdvertiseTrustStoreCaNames:  cmp.Or(m.AdvertiseTrustStoreCaNames, types.AdvertiseTrustStoreCaNamesEnumOff),
		TrustStoreAssociationStatus: types.TrustStoreAssociationStatusEnumActive,
	}
	return nil
}

// checkPlain refuses on a listener that is not encrypted what only encrypted ones have.
func checkPlain(p types.ProtocolEnum, s security) error {
	switch {
	case len(s.certificates) > 0:
		return conflicting("Certificates cannot be specified for %s listeners", p)
	case s.policy != nil:
		return conflicting("An SSL policy cannot be specified for %s listeners", p)
	case len(s.alpn) > 0:
		return conflicting("An ALPN policy cannot be specified for %s listeners", p)
	case s.mutual != nil && val(s.mutual.Mode) != mutualOff:
		return conflicting("Mutual authentication cannot be specified for %s listeners", p)
	}
	return nil
}

// checkPolicy refuses a security policy that listeners of a type of load balancer cannot have.
func checkPolicy(name string, of types.LoadBalancerTypeEnum) error {
	at := slices.IndexFunc(sslPolicies, func(p sslPolicy) bool { return p.name == name })
	switch {
	case at < 0 && strings.HasPrefix(name, "ELBSecurityPolicy-") && strings.Contains(name, "FIPS"):
		return notServed("SSL policy '" + name + "'")
	case at < 0:
		return wire.Errorf("SSLPolicyNotFound", "SSL policy '%s' not found", name)
	case !slices.Contains(sslPolicies[at].balancerTypes(), string(of)):
		return conflicting("SSL policy '%s' is not supported for load balancers of type '%s'", name, of)
	}
	return nil
}

// checkListenerCertificate refuses what no listener can present: ACM must have issued a certificate, IAM must have it.
func (x *tx) checkListenerCertificate(c types.Certificate) error {
	arn := val(c.CertificateArn)
	resource := arnResource(arn)
	switch {
	case c.IsDefault != nil:
		return invalid("IsDefault cannot be specified for a certificate")
	case !strings.HasPrefix(resource, "certificate/") && !strings.HasPrefix(resource, "server-certificate/"):
		return invalid("Certificate ARN '%s' is not valid", arn)
	}
	if x.state.serverCertificates.exists(func(c serverCertificate) bool { return *c.Wire.Arn == arn }) {
		return nil
	}
	row, ok := x.state.certificates.get(arn)
	switch {
	case !ok:
		return wire.Errorf("CertificateNotFound", "Certificate '%s' not found", arn)
	case row.status(x.now) != acmtypes.CertificateStatusIssued:
		return wire.Errorf("UnsupportedCertificate", "The certificate '%s' must have a fully-qualified domain name, a supported "+
			"signature, and a supported key size; its status is %s, and must be ISSUED.", arn, row.status(x.now))
	}
	return nil
}

// securedListener finds the listener whose certificates a call is about.
func (x *tx) securedListener(arn *string, certificates []types.Certificate) (listener, error) {
	l, err := elbRow(x.state.listeners, listenerKind, arn)
	switch {
	case err != nil:
		return l, err
	case len(l.Wire.Certificates) == 0:
		return l, conflicting("Certificates cannot be specified for %s listeners", l.Wire.Protocol)
	case len(certificates) != 1:
		return l, invalid("Exactly one certificate ARN must be specified, but %d were", len(certificates))
	}
	return l, nil
}

func (x *tx) addListenerCertificates(in *elb.AddListenerCertificatesInput) (*elb.AddListenerCertificatesOutput, error) {
	l, err := x.securedListener(in.ListenerArn, in.Certificates)
	if err != nil {
		return nil, err
	}
	if err := x.checkListenerCertificate(in.Certificates[0]); err != nil {
		return nil, err
	}
	added := in.Certificates[0].CertificateArn
	if !slices.Contains(l.Certificates, *added) {
		count := 0
		for _, o := range x.state.listeners.find(func(o listener) bool { return o.balancer() == l.balancer() }) {
			count += len(o.Certificates)
		}
		if limit := x.quota["sluice/certificates-per-application-load-balancer"]; count >= limit {
			return nil, wire.Errorf("TooManyCertificates", "The maximum number of certificates per load balancer has been reached: %d", limit)
		}
		l.Certificates = append(slices.Clip(l.Certificates), *added)
		x.state.listeners.put(x, *in.ListenerArn, l)
	}
	return &elb.AddListenerCertificatesOutput{Certificates: []types.Certificate{{CertificateArn: added, IsDefault: ptr(false)}}}, nil
}

func (x *tx) removeListenerCertificates(in *elb.RemoveListenerCertificatesInput) (*elb.RemoveListenerCertificatesOutput, error) {
	l, err := x.securedListener(in.ListenerArn, in.Certificates)
	if err != nil {
		return nil, err
	}
	removed := val(in.Certificates[0].CertificateArn)
	at := slices.Index(l.Certificates, removed)
	if at < 0 && removed == *l.Wire.Certificates[0].CertificateArn {
		return nil, wire.Errorf("OperationNotPermitted", "Default certificate '%s' cannot be removed; ModifyListener replaces it", removed)
	}
	if at >= 0 {
		l.Certificates = slices.Delete(slices.Clone(l.Certificates), at, at+1)
		x.state.listeners.put(x, *in.ListenerArn, l)
	}
	return &elb.RemoveListenerCertificatesOutput{}, nil
}

// describeListenerCertificates lists the default certificate, and once more where it was added too.
func (x *tx) describeListenerCertificates(in *elb.DescribeListenerCertificatesInput) (*elb.DescribeListenerCertificatesOutput, error) {
	l, err := elbRow(x.state.listeners, listenerKind, in.ListenerArn)
	if err != nil {
		return nil, err
	}
	var all []item[types.Certificate]
	for i, arn := range l.certificates() {
		shown := types.Certificate{CertificateArn: &arn, IsDefault: ptr(i < len(l.Wire.Certificates))}
		all = append(all, item[types.Certificate]{key: uint64(i + 1), value: shown})
	}
	found, next, err := pageELB(all, in.Marker, in.PageSize)
	if err != nil {
		return nil, err
	}
	out := &elb.DescribeListenerCertificatesOutput{Certificates: []types.Certificate{}, NextMarker: next}
	for _, c := range found {
		out.Certificates = append(out.Certificates, c.value)
	}
	return out, nil
}
