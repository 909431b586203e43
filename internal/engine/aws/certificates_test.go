package aws_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/google/go-cmp/cmp"

	"github.com/sluicehq/sluice/internal/engine/aws"
	"github.com/sluicehq/sluice/internal/engine/enginetest"
	"github.com/sluicehq/sluice/internal/lb"
	"github.com/sluicehq/sluice/internal/plan"
)

// secured is a stack of two members with one HTTPS listener that has these certificates.
func secured(certificates ...lb.Certificate) lb.Stack {
	stack := enginetest.Stack("web", enginetest.Shape{Secured: enginetest.Hosts[:1]})
	stack.Members = append(stack.Members, lb.Object{Kind: "Ingress", Namespace: "default", Name: "other"})
	listeners := stack.LoadBalancers[0].Listeners
	listeners[len(listeners)-1].Handshake.Certificates = certificates
	return stack
}

func member(name string) lb.Object {
	return lb.Object{Kind: "Ingress", Namespace: "default", Name: name}
}

func found(host, by string) lb.Certificate {
	return lb.Certificate{Host: host, From: member(by), Field: "spec.rules[0].host"}
}

func listed(arn, by string) lb.Certificate {
	return lb.Certificate{ARN: arn, From: member(by), Field: "certificates"}
}

// presented are the certificates of the HTTPS listener: the default one, and all that were added, sorted.
func (w *world) presented(t testing.TB) (standard string, added []string) {
	t.Helper()
	w.test(func() {
		out, err := w.elb.DescribeListeners(t.Context(), &elb.DescribeListenersInput{LoadBalancerArn: w.only(t).LoadBalancerArn})
		check(t, err)
		i := slices.IndexFunc(out.Listeners, func(l elbtypes.Listener) bool { return l.Protocol == elbtypes.ProtocolEnumHttps })
		if i < 0 {
			return
		}
		all, err := w.elb.DescribeListenerCertificates(t.Context(), &elb.DescribeListenerCertificatesInput{ListenerArn: out.Listeners[i].ListenerArn})
		check(t, err)
		for _, c := range all.Certificates {
			if *c.IsDefault {
				standard = *c.CertificateArn
			} else {
				added = append(added, *c.CertificateArn)
			}
		}
	})
	slices.Sort(added)
	return standard, added
}

func TestCertificatesAreFoundByHost(t *testing.T) {
	w := newWorld(t)
	exact := w.certify(t, "shop.example.net", "www.example.net")
	wild := w.certify(t, "*.example.net")
	w.certify(t, "example.net")     // no wildcard, and shorter
	w.certify(t, "*.a.example.net") // one label more
	e := w.load(t)
	want := secured(found("shop.example.net", "web"))
	made := w.calls(func() { done(t, apply(t, e, want)) })
	if made["elasticloadbalancing:AddListenerCertificates"] != 2 || made["elasticloadbalancing:CreateListener"] != 2 {
		t.Errorf("calls: %v", made)
	}
	both := slices.Sorted(slices.Values([]string{exact, wild}))
	standard, added := w.presented(t)
	if standard != both[0] || !slices.Equal(added, both) {
		t.Errorf("default %s, added %v; want the least, %s, and all of %v", standard, added, both[0], both)
	}
	for _, e := range []*aws.Engine{e, w.load(t)} {
		p, verdicts, err := e.Plan(t.Context(), want)
		check(t, err)
		if !p.Empty() || len(verdicts) > 0 {
			t.Errorf("planned again: %v %v", p, verdicts)
		}
	}
}

func TestCertificatesAddedByHandAreFoundByAnAudit(t *testing.T) {
	w := newWorld(t)
	want := enginetest.Stack("web", enginetest.Shape{Secured: enginetest.Hosts[:1]})
	done(t, apply(t, w.load(t), want))
	e := w.load(t)
	if _, _, err := e.Plan(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	_, other := w.presented(t)
	w.test(func() {
		listener := w.securedListener(t)
		_, err := w.elb.AddListenerCertificates(t.Context(), &elb.AddListenerCertificatesInput{
			ListenerArn: listener, Certificates: []elbtypes.Certificate{{CertificateArn: awssdk.String(w.certify(t, "by.hand"))}},
		})
		check(t, err)
	})
	w.pass(time.Minute)
	changed, err := e.Audit(t.Context())
	check(t, err)
	if !slices.Equal(changed, []lb.StackID{want.ID}) {
		t.Errorf("the audit found %v", changed)
	}
	done(t, apply(t, e, want))
	if _, added := w.presented(t); !slices.Equal(added, other) {
		t.Errorf("added: %v, want %v", added, other)
	}
}

func (w *world) securedListener(t testing.TB) *string {
	out, err := w.elb.DescribeListeners(t.Context(), &elb.DescribeListenersInput{LoadBalancerArn: w.only(t).LoadBalancerArn})
	check(t, err)
	i := slices.IndexFunc(out.Listeners, func(l elbtypes.Listener) bool { return l.Protocol == elbtypes.ProtocolEnumHttps })
	return out.Listeners[i].ListenerArn
}

// A name is never without its certificate: what is new is added before the default changes, and what is old goes last.
func TestCertificatesAreSwappedWithoutAGap(t *testing.T) {
	w := newWorld(t)
	before, after := w.certify(t, "a.example.net"), w.certify(t, "a.example.net", "b.example.net")
	e := w.load(t)
	done(t, apply(t, e, secured(listed(before, "web"))))
	p, _, err := e.Plan(t.Context(), secured(listed(after, "web")))
	check(t, err)
	var steps []string
	for _, s := range p.Steps {
		steps = append(steps, string(s.Verb)+" "+string(s.ID.Kind))
	}
	want := []string{"update Listener", "create ServerCertificate", "delete ServerCertificate"}
	if diff := cmp.Diff(want, steps); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	done(t, e.Apply(t.Context(), p))
	if standard, added := w.presented(t); standard != after || !slices.Equal(added, []string{after}) {
		t.Errorf("default %s, added %v, want only %s", standard, added, after)
	}
}

func TestACertificateThatIsNotFoundCostsItsMember(t *testing.T) {
	w := newWorld(t)
	good := w.certify(t, "good.example.net")
	gone := strings.Replace(good, "certificate/", "certificate/00", 1)
	e := w.load(t)
	want := secured(found("missing.example.com", "web"), listed(gone, "other"), listed(good, "other"))
	p, verdicts, err := e.Plan(t.Context(), want)
	check(t, err)
	var told []string
	for _, v := range verdicts {
		told = append(told, v.String())
	}
	wantTold := []string{
		`Ingress default/other: partial CertificateNotFound: certificates: "` + gone + `": ACM has issued no such certificate. List one that it has in this region and account`,
		`Ingress default/web: partial CertificateNotFound: spec.rules[0].host: "missing.example.com": ACM has issued no certificate for this host. Request or import one for it, or list certificates with the annotation certificate-arn`,
	}
	if diff := cmp.Diff(wantTold, told); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	done(t, e.Apply(t.Context(), p))
	if standard, added := w.presented(t); standard != good || !slices.Equal(added, []string{good}) {
		t.Errorf("default %s, added %v, want only %s", standard, added, good)
	}

	// It is found once it is there.
	late := w.certify(t, "missing.example.com")
	w.pass(time.Minute)
	p, _, err = e.Plan(t.Context(), want)
	check(t, err)
	done(t, e.Apply(t.Context(), p))
	if standard, added := w.presented(t); standard != late || !slices.Contains(added, late) {
		t.Errorf("default %s, added %v, want %s to be the default", standard, added, late)
	}

	// What a listener has is kept while something is not found.
	p, verdicts, err = e.Plan(t.Context(), secured(found("nowhere.example.com", "web"), listed(good, "other")))
	check(t, err)
	if !p.Empty() || len(verdicts) != 1 {
		t.Errorf("plan %v, verdicts %v", p, verdicts)
	}
}

func TestAListenerWithoutAnyCertificateIsNotMade(t *testing.T) {
	w := newWorld(t)
	e := w.load(t)
	p, verdicts, err := e.Plan(t.Context(), secured(found("missing.example.com", "web")))
	check(t, err)
	if len(verdicts) != 1 || verdicts[0].Severity != lb.Partial {
		t.Errorf("verdicts: %v", verdicts)
	}
	done(t, e.Apply(t.Context(), p))
	if standard, _ := w.presented(t); standard != "" {
		t.Error("there is an HTTPS listener")
	}
	alone := secured(found("missing.example.com", "web"))
	alone.ID, alone.LoadBalancers[0].Listeners = "default/alone", alone.LoadBalancers[0].Listeners[1:]
	p, verdicts, err = e.Plan(t.Context(), alone)
	check(t, err)
	if !p.Empty() || len(verdicts) != 1 || verdicts[0].Severity != lb.Refused {
		t.Errorf("plan %v, verdicts %v", p, verdicts)
	}
}

// Of a single Ingress there is nobody to spare, so its list is not looked up; AWS's refusal names the certificate.
func TestAListedCertificateThatAWSRefuses(t *testing.T) {
	w := newWorld(t)
	want := secured(listed("arn:aws:acm:ap-northeast-1:123456789012:certificate/none", "web"))
	want.Members = want.Members[:1]
	result := apply(t, w.load(t), want)
	verdicts := result.Verdicts()
	if status, _ := result.Status(); status != plan.Blocked || len(verdicts) == 0 || verdicts[0].Reason != lb.CertificateNotFound {
		t.Errorf("status %v, verdicts %v", status, verdicts)
	}
}
