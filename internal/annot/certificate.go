package annot

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"

	elbv2api "github.com/sluicehq/sluice/api/elbv2/v1beta1"
	"github.com/sluicehq/sluice/internal/lb"
)

// securityPolicy begins the name of every security policy of ELBv2.
const securityPolicy = "ELBSecurityPolicy-"

// secured reads how HTTPS ports are served. Certificates are those that are listed, else those to be found for the
// hosts of the Ingress. Secrets that spec.tls names hold keys that a load balancer cannot use, so they count for nothing.
func (r *reader) secured(s *Ingress, ingress *networkingv1.Ingress, params *elbv2api.IngressClassParams) {
	listed := r.certificates(params)
	s.Listen = r.listeners(params, r.listen(len(listed) > 0))
	s.ListenField = field(listenPorts)
	if slices.ContainsFunc(s.Listen, func(l Listen) bool { return l.Protocol == lb.HTTPS }) {
		s.Certificates = listed
		if len(listed) == 0 {
			s.Certificates = discovered(ingress)
		}
	}
	s.Policy = r.policy(params)
	s.Redirect = r.sslRedirect(params)
}

// certificates are those that class parameters or the annotation list. The Ingress answers for both.
func (r *reader) certificates(params *elbv2api.IngressClassParams) []lb.Certificate {
	self := r.layers[0].object
	value, at, ok := r.text(certificateARN)
	list := parseList(value)
	if class := params.Spec.CertificateArn; len(class) > 0 {
		list, ok = class, true
		at = Origin{Object: self, Field: classField(params, "certificateArn")}
	}
	if !ok {
		return nil
	}
	var out []lb.Certificate
	for _, arn := range list {
		at.Value = arn
		parts := strings.SplitN(arn, ":", 6)
		acm := len(parts) == 6 && parts[2] == "acm" && strings.HasPrefix(parts[5], "certificate/")
		iam := len(parts) == 6 && parts[2] == "iam" && strings.HasPrefix(parts[5], "server-certificate/")
		if parts[0] != "arn" || !acm && !iam {
			r.refuse(at, "is no ARN of a certificate in ACM or IAM",
				"Write it as arn:aws:acm:<region>:<account>:certificate/<id>, several separated by commas, or remove it to have certificates found by host")
			continue
		}
		c := lb.Certificate{ARN: arn, From: self, Field: at.Field}
		if !slices.Contains(out, c) {
			out = append(out, c)
		}
	}
	return out
}

// discovered stands for the certificates that cover the hosts of an Ingress, in order of the hosts.
func discovered(ingress *networkingv1.Ingress) []lb.Certificate {
	fields := map[string]string{}
	add := func(host, field string) {
		if _, seen := fields[host]; host != "" && !seen {
			fields[host] = field
		}
	}
	for i, rule := range ingress.Spec.Rules {
		add(rule.Host, fmt.Sprintf("spec.rules[%d].host", i))
	}
	for i, tls := range ingress.Spec.TLS {
		for j, host := range tls.Hosts {
			add(host, fmt.Sprintf("spec.tls[%d].hosts[%d]", i, j))
		}
	}
	var out []lb.Certificate
	for host, field := range fields {
		out = append(out, lb.Certificate{Host: host, From: ingressObject(ingress), Field: field})
	}
	slices.SortFunc(out, func(a, b lb.Certificate) int { return strings.Compare(a.Host, b.Host) })
	return out
}

func (r *reader) policy(params *elbv2api.IngressClassParams) Given[string] {
	name, at, ok := r.text(sslPolicy)
	given := Given[string]{name, at}
	if class := params.Spec.SSLPolicy; class != "" {
		given, ok = byClass(params, "sslPolicy", class, class), true
	}
	if !ok || given.Value == "" {
		return Given[string]{}
	}
	if !strings.HasPrefix(given.Value, securityPolicy) {
		r.refuseHere(given.At, "is no security policy of ELB",
			"Name one that the ELB page on security policies lists, such as "+securityPolicy+"TLS13-1-2-2021-06")
	}
	return given
}

func (r *reader) sslRedirect(params *elbv2api.IngressClassParams) Given[uint16] {
	value, at, ok := r.text(sslRedirect)
	if class := params.Spec.SSLRedirectPort; class != "" {
		value, ok = class, true
		at = byClass(params, "sslRedirectPort", class, class).At
	}
	if !ok {
		return Given[uint16]{}
	}
	port, err := strconv.ParseUint(value, 10, 16)
	if err != nil || port == 0 {
		r.refuseHere(at, "is no port", "Use the number of an HTTPS port, such as 443")
	}
	return Given[uint16]{uint16(port), at}
}

// refuseHere refuses a value that class parameters may have given: the verdict is about the Ingress in any case, since
// it is what is not served.
func (r *reader) refuseHere(at Origin, problem, fix string) {
	if self := r.layers[0].object; at.Object != self {
		at.Field, at.Object = "spec.ingressClassName ("+at.Field+" of "+at.Object.String()+")", self
	}
	r.refuse(at, problem, fix)
}

// classField is the path by which an Ingress has a field of its class's parameters.
func classField(params *elbv2api.IngressClassParams, name string) string {
	return "spec.ingressClassName (spec." + name + " of " + classObject(params).String() + ")"
}
