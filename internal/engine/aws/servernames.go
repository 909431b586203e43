package aws

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/sluicehq/sluice/internal/lb"
	"github.com/sluicehq/sluice/internal/plan"
)

// ServerCertificate is a certificate that a listener presents to clients that ask for one of its names. The default one
// is among them, as the AWS Load Balancer Controller has it; that it is the default is a field of the listener.
type ServerCertificate struct {
	Listener plan.ID
	ARN      string
	Object   lb.Object
}

// ID is "<listener>/<ARN>".
func (c ServerCertificate) ID() plan.ID {
	return plan.ID{Kind: ServerCertificateKind, Name: c.Listener.Name + "/" + c.ARN}
}

// Fields is empty: a certificate is there or not.
func (c ServerCertificate) Fields() []plan.Field { return nil }

// Refs is its listener.
func (c ServerCertificate) Refs() []plan.ID { return []plan.ID{c.Listener} }

// Owner is its listener.
func (c ServerCertificate) Owner() plan.ID { return c.Listener }

// From is the object that asked for it.
func (c ServerCertificate) From() []lb.Object {
	if c.Object == (lb.Object{}) {
		return nil
	}
	return []lb.Object{c.Object}
}

// serverNames remembers the certificates of listeners besides the default one, sorted.
type serverNames struct{ learned[[]string] }

func newServerNames(a api, touch func(arn string)) *serverNames {
	return &serverNames{learned[[]string]{read: a.serverNames, same: slices.Equal[[]string], touch: touch}}
}

// change adds or removes one certificate of a listener that is known.
func (s *serverNames) change(arn, certificate string, add bool) {
	have, ok := s.get(arn)
	if !ok {
		return
	}
	have = slices.DeleteFunc(slices.Clone(have), func(c string) bool { return c == certificate })
	if add {
		have = append(have, certificate)
	}
	s.set(arn, slices.Sorted(slices.Values(have)))
}

// presented lists the certificates of a load balancer's listener, the default one first, as far as they are known.
func (s *serverNames) presented(v view, b lb.LoadBalancer, port uint16) []string {
	for _, row := range v.LoadBalancers {
		i := slices.IndexFunc(v.Listeners, func(l listener) bool { return l.LoadBalancer == row.ARN && l.Port == port })
		if row.Name != b.Name && len(v.LoadBalancers) > 1 || i < 0 || v.Listeners[i].Certificate == "" {
			continue
		}
		more, _ := s.get(v.Listeners[i].ARN)
		return append([]string{v.Listeners[i].Certificate}, more...)
	}
	return nil
}

// compared adds the certificates that listeners have to what is there. Where they are not known, learn is asked first.
// Where a listener shows what members want that only AWS knows of, none is taken away.
func (s *serverNames) compared(have []plan.Resource, want []plan.Resource, kept bool, learn func(arn string) error) ([]plan.Resource, error) {
	wanted := map[plan.ID][]ServerCertificate{}
	for _, r := range want {
		if c, ok := r.(ServerCertificate); ok {
			wanted[c.Listener] = append(wanted[c.Listener], c)
		}
	}
	for _, r := range slices.Clone(have) {
		l, ok := r.(Listener)
		list := wanted[r.ID()]
		if !ok || len(list) == 0 || l.Certificate == "" {
			continue
		}
		if err := learn(l.arn); err != nil {
			return nil, err
		}
		known, _ := s.get(l.arn)
		for _, arn := range known {
			if !kept || slices.ContainsFunc(list, func(c ServerCertificate) bool { return c.ARN == arn }) {
				have = append(have, ServerCertificate{Listener: l.ID(), ARN: arn})
			}
		}
	}
	return have, nil
}

// serverCertificate adds a certificate to a listener or takes it away. A failure costs this certificate only.
func (p performer) serverCertificate(ctx context.Context, verb plan.Verb, want ServerCertificate) error {
	l, ok := p.listenerOf(want.Listener)
	if verb == plan.Delete {
		if !ok || l.Certificate == "" {
			return nil // they went with the listener, or with its protocol
		}
		err := p.api.removeServerName(ctx, l.ARN, want.ARN)
		if err != nil && !isNotFound(err) {
			return err
		}
		p.names.change(l.ARN, want.ARN, false)
		return nil
	}
	if !ok {
		return fmt.Errorf("aws: listener %s is gone; it is made again by the next plan", want.Listener.Name)
	}
	var codes []string
	if p.makes(want.Listener) {
		codes = append(codes, "ListenerNotFound") // AWS may not show it everywhere yet
	}
	err := p.waiting(ctx, shortWait, func() error { return p.api.addServerName(ctx, l.ARN, want.ARN) }, codes...)
	if isCode(err, "CertificateNotFound", "UnsupportedCertificate") {
		return p.badCertificate(err, want.ARN)
	}
	if err != nil {
		return p.explain(ctx, err, l.LoadBalancer, l.ARN, action{})
	}
	p.names.change(l.ARN, want.ARN, true)
	return nil
}

// badCertificate says which certificate AWS does not take. Those that ACM has are listed again for the next plan.
func (p performer) badCertificate(err error, arn string) error {
	p.certificates.forget()
	return blockedBy(err, lb.CertificateNotFound, arn, "AWS does not take the certificate: "+answerText(err),
		"List one that ACM or IAM has in this account and region, issued and not expired")
}

// serverNames reads the certificates of a listener that were added, the default one too where it was.
func (a api) serverNames(ctx context.Context, listener string) ([]string, error) {
	var arns []string
	err := pages(func(marker *string) (*string, bool, error) {
		out, err := a.elb.DescribeListenerCertificates(ctx, &elb.DescribeListenerCertificatesInput{ListenerArn: aws.String(listener), Marker: marker})
		if err != nil {
			return nil, false, elbError("DescribeListenerCertificates", err)
		}
		for _, c := range out.Certificates {
			if !aws.ToBool(c.IsDefault) {
				arns = append(arns, aws.ToString(c.CertificateArn))
			}
		}
		return out.NextMarker, false, nil
	})
	slices.Sort(arns)
	return arns, err
}

func (a api) addServerName(ctx context.Context, listener, certificate string) error {
	_, err := a.elb.AddListenerCertificates(ctx, &elb.AddListenerCertificatesInput{
		ListenerArn: aws.String(listener), Certificates: []elbtypes.Certificate{{CertificateArn: aws.String(certificate)}},
	})
	return elbError("AddListenerCertificates", err)
}

func (a api) removeServerName(ctx context.Context, listener, certificate string) error {
	_, err := a.elb.RemoveListenerCertificates(ctx, &elb.RemoveListenerCertificatesInput{
		ListenerArn: aws.String(listener), Certificates: []elbtypes.Certificate{{CertificateArn: aws.String(certificate)}},
	})
	return elbError("RemoveListenerCertificates", err)
}

// handshake is how a listener speaks TLS, in AWS's words.
type handshake struct {
	Certificate string // ARN of the default one
	Policy      string
	ALPN        string
}

// usualPolicy is what ELBv2 gives a listener for which no policy is named.
const usualPolicy = "ELBSecurityPolicy-2016-08"

// handshakeOf is what a model's listener wants, certificates resolved.
func handshakeOf(l lb.Listener) handshake {
	if len(l.Handshake.Certificates) == 0 {
		return handshake{}
	}
	c := l.Handshake.Certificates[0]
	return handshake{Certificate: orElse(c.ARN, c.String()), Policy: orElse(l.Handshake.Policy, usualPolicy), ALPN: l.Handshake.ALPN}
}

// fields are what differs between listeners. An ALPN policy is one where it is wanted.
func (h handshake) fields() []plan.Field {
	var fields []plan.Field
	for _, f := range []plan.Field{{Name: "certificate", Value: h.Certificate}, {Name: "tls-policy", Value: h.Policy}, {Name: "alpn-policy", Value: h.ALPN}} {
		if f.Value != "" {
			fields = append(fields, f)
		}
	}
	return fields
}

// sdk is what CreateListener and ModifyListener are given.
func (h handshake) sdk() (certificates []elbtypes.Certificate, policy *string, alpn []string) {
	if h.Certificate != "" {
		certificates = []elbtypes.Certificate{{CertificateArn: aws.String(h.Certificate)}}
	}
	if h.ALPN != "" {
		alpn = []string{h.ALPN}
	}
	return certificates, text(h.Policy), alpn
}

func handshakeRow(l elbtypes.Listener) handshake {
	h := handshake{Policy: aws.ToString(l.SslPolicy), ALPN: strings.Join(l.AlpnPolicy, ",")}
	if len(l.Certificates) > 0 {
		h.Certificate = aws.ToString(l.Certificates[0].CertificateArn)
	}
	return h
}
