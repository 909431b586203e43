package aws

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/acm"
	acmtypes "github.com/aws/aws-sdk-go-v2/service/acm/types"

	"github.com/sluicehq/sluice/internal/lb"
)

// certificates knows which certificates ACM has issued, and for which names. They are listed when the first one is
// looked for, again when one is not among them, and again after an audit.
type certificates struct {
	api         api
	now         func() time.Time
	authorities []string // private authorities whose certificates may be found by host; any when empty

	mu     sync.Mutex
	issued []issuedCertificate // nil while not read
	readAt time.Time
}

// issuedCertificate is one that listeners can present.
type issuedCertificate struct {
	ARN     string
	Domains []string
}

// covers says whether a certificate is for a host: by its own name, or by a wildcard in place of its first label.
func (c issuedCertificate) covers(host string) bool {
	_, rest, _ := strings.Cut(host, ".")
	return slices.Contains(c.Domains, host) || rest != "" && slices.Contains(c.Domains, "*."+rest)
}

// forget makes the next use read again.
func (c *certificates) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.issued = nil
}

// find returns what pick takes of the issued certificates. What takes nothing of a list that is not new is asked again.
func (c *certificates) find(ctx context.Context, pick func([]issuedCertificate) []string) ([]string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.issued != nil {
		if arns := pick(c.issued); len(arns) > 0 || c.now().Sub(c.readAt) < networkPatience {
			return arns, nil
		}
	}
	issued, err := c.api.issuedCertificates(ctx, c.authorities)
	if err != nil {
		return nil, err
	}
	c.issued, c.readAt = issued, c.now()
	return pick(c.issued), nil
}

// forHost are the certificates that cover a host.
func (c *certificates) forHost(ctx context.Context, host string) ([]string, error) {
	return c.find(ctx, func(issued []issuedCertificate) []string {
		var arns []string
		for _, i := range issued {
			if i.covers(host) {
				arns = append(arns, i.ARN)
			}
		}
		return arns
	})
}

// exists says whether a certificate of ACM can be presented. Of others, and without the right to list, it cannot tell,
// and says that they can.
func (c *certificates) exists(ctx context.Context, arn string) (bool, error) {
	if !strings.Contains(arn, ":acm:") {
		return true, nil
	}
	found, err := c.find(ctx, func(issued []issuedCertificate) []string {
		if slices.ContainsFunc(issued, func(i issuedCertificate) bool { return i.ARN == arn }) {
			return []string{arn}
		}
		return nil
	})
	if isDenied(err) {
		return true, nil
	}
	return len(found) > 0, err
}

// resolved returns the stack with certificates by ARN. One that is not found costs its object a part: a listener that is
// there keeps those that it has meanwhile, and one that would have none is not made.
func (c *certificates) resolved(ctx context.Context, want lb.Stack, v view, names *serverNames) (lb.Stack, []lb.Verdict, error) {
	var verdicts []lb.Verdict
	want.LoadBalancers = slices.Clone(want.LoadBalancers)
	for i := range want.LoadBalancers {
		b := &want.LoadBalancers[i]
		var kept []lb.Listener
		lost := false
		for _, l := range b.Listeners {
			if len(l.Handshake.Certificates) == 0 {
				kept = append(kept, l)
				continue
			}
			chosen, missing, err := c.choose(ctx, l, len(want.Members) > 1, names.presented(v, *b, l.Port))
			if err != nil {
				return want, nil, fmt.Errorf("aws: find certificates for port %d of %s: %w", l.Port, b.Name, err)
			}
			verdicts = append(verdicts, missing...)
			if len(chosen) == 0 {
				// A listener that speaks something else now would go.
				lost = lost || slices.ContainsFunc(v.Listeners, func(h listener) bool { return h.Port == l.Port })
				continue
			}
			l.Handshake.Certificates = chosen
			kept = append(kept, l)
		}
		if len(kept) == 0 && len(b.Listeners) > 0 || lost {
			for i := range verdicts {
				verdicts[i].Severity = lb.Refused
			}
		}
		b.Listeners = kept
	}
	return want, lb.SortVerdicts(verdicts), nil
}

// choose finds the certificates of a listener that has these now. Listed ones are only looked up where others share the
// load balancer, and one that is not there must not cost them anything.
func (c *certificates) choose(ctx context.Context, l lb.Listener, shared bool, has []string) ([]lb.Certificate, []lb.Verdict, error) {
	var arns []string
	var missing []lb.Verdict
	undecided := false // the default certificate is one that was not found
	miss := func(cert lb.Certificate, problem, fix string) {
		missing = append(missing, lb.Verdict{
			Object: cert.From, Severity: lb.Partial, Reason: lb.CertificateNotFound, Field: cert.Field, Value: cert.Host + cert.ARN, Problem: problem, Fix: fix,
		})
		undecided = undecided || len(arns) == 0
	}
	list := l.Handshake.Certificates
	for start := 0; start < len(list); {
		if list[start].Host == "" {
			cert := list[start]
			start++
			there := !shared || slices.Contains(has, cert.ARN)
			var err error
			if !there {
				there, err = c.exists(ctx, cert.ARN)
			}
			if err != nil {
				return nil, nil, err
			}
			if !there {
				miss(cert, "ACM has issued no such certificate", "List one that it has in this region and account")
				continue
			}
			arns = append(arns, cert.ARN)
			continue
		}
		var found []string
		end := start
		for ; end < len(list) && list[end].Host != "" && list[end].From == list[start].From; end++ {
			more, err := c.forHost(ctx, list[end].Host)
			if isDenied(err) {
				return nil, []lb.Verdict{deniedDiscovery(list[end], err)}, nil
			}
			if err != nil {
				return nil, nil, err
			}
			if len(more) == 0 {
				miss(list[end], "ACM has issued no certificate for this host", "Request or import one for it, or list certificates with the annotation certificate-arn")
			}
			found = append(found, more...)
		}
		slices.Sort(found)
		arns = append(arns, slices.Compact(found)...)
		start = end
	}
	if len(missing) > 0 && len(has) > 0 {
		if undecided {
			arns = append([]string{has[0]}, arns...)
		}
		arns = append(arns, has...)
	}
	var out []lb.Certificate
	for i, arn := range arns {
		if slices.Index(arns, arn) == i {
			out = append(out, lb.Certificate{ARN: arn, From: fromOf(list, arn)})
		}
	}
	return out, missing, nil
}

// fromOf is who asks for a certificate: who lists it, else the first that has certificates found.
func fromOf(list []lb.Certificate, arn string) lb.Object {
	i := slices.IndexFunc(list, func(c lb.Certificate) bool { return c.ARN == arn })
	if i < 0 {
		i = max(0, slices.IndexFunc(list, func(c lb.Certificate) bool { return c.Host != "" }))
	}
	return list[i].From
}

func deniedDiscovery(c lb.Certificate, err error) lb.Verdict {
	return lb.Verdict{
		Object: c.From, Severity: lb.Refused, Reason: lb.CertificateNotFound, Field: c.Field, Value: c.Host,
		Problem: "the controller may not look for certificates: " + answerText(err),
		Fix:     "Allow acm:ListCertificates in the IAM policy of the controller's role, or list certificates with the annotation certificate-arn",
	}
}

// issuedCertificates lists what ACM has issued. Names come with the list, but for a certificate that has very many;
// which authority one is from does not.
func (a api) issuedCertificates(ctx context.Context, authorities []string) ([]issuedCertificate, error) {
	out := []issuedCertificate{}
	pages := acm.NewListCertificatesPaginator(a.acm, &acm.ListCertificatesInput{
		CertificateStatuses: []acmtypes.CertificateStatus{acmtypes.CertificateStatusIssued},
		Includes:            &acmtypes.Filters{KeyTypes: acmtypes.KeyAlgorithm("").Values()},
		MaxItems:            aws.Int32(1000),
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, failed("acm:ListCertificates", err)
		}
		for _, s := range page.CertificateSummaryList {
			c := issuedCertificate{ARN: aws.ToString(s.CertificateArn), Domains: s.SubjectAlternativeNameSummaries}
			authority := ""
			if aws.ToBool(s.HasAdditionalSubjectAlternativeNames) || len(authorities) > 0 && s.Type == acmtypes.CertificateTypePrivate {
				details, err := a.acm.DescribeCertificate(ctx, &acm.DescribeCertificateInput{CertificateArn: s.CertificateArn})
				if isNotFound(err) {
					continue // it went meanwhile
				}
				if err != nil {
					return nil, failed("acm:DescribeCertificate", err)
				}
				c.Domains, authority = details.Certificate.SubjectAlternativeNames, aws.ToString(details.Certificate.CertificateAuthorityArn)
			}
			if len(authorities) > 0 && !slices.Contains(authorities, authority) {
				c.Domains = nil // it can be listed, but not be found
			}
			out = append(out, c)
		}
	}
	return out, nil
}
