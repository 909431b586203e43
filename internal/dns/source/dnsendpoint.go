package source

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	externaldnsapi "github.com/sluicehq/sluice/api/externaldns/v1alpha1"
	"github.com/sluicehq/sluice/internal/dns"
	"github.com/sluicehq/sluice/internal/lb"
)

// DNSEndpoint reads a DNSEndpoint. Of its annotations only the filters' count.
func (o Options) DNSEndpoint(e *externaldnsapi.DNSEndpoint) Read {
	object := lb.Object{Kind: "DNSEndpoint", Namespace: e.Namespace, Name: e.Name}
	if o.filtered(e.ObjectMeta) {
		return Read{}
	}
	a := &asker{Options: o, object: object}
	for i, endpoint := range e.Spec.Endpoints {
		if endpoint != nil {
			a.written(fmt.Sprintf("spec.endpoints[%d]", i), *endpoint)
		}
	}
	return a.finish()
}

// free are the types whose targets may end in a dot, dotted those whose targets must; those of others must not.
var (
	free   = []dns.Type{dns.CNAME, dns.DNAME, dns.SRV, dns.TXT, dns.MX}
	dotted = []dns.Type{dns.NAPTR}
)

func (a *asker) written(field string, w externaldnsapi.Endpoint) {
	name, err := dns.ParseName(w.DNSName)
	if err != nil {
		a.complain(lb.Partial, lb.InvalidHostname, field+".dnsName", w.DNSName, err.Error(), "Write a domain name")
		return
	}
	e := dns.Endpoint{Name: name, Type: dns.Type(strings.ToUpper(w.RecordType)), Targets: w.Targets, SetID: w.SetIdentifier, TTL: max(0, w.RecordTTL)}
	if len(e.Targets) == 0 || a.ForceDefaultTargets && len(a.DefaultTargets) > 0 {
		e.Targets = a.DefaultTargets
	}
	if len(e.Targets) == 0 {
		a.complain(lb.Partial, lb.RecordRefused, field+".targets", "", "there is none", "Name a target")
		return
	}
	e.Type = cmp.Or(e.Type, dns.TypeOf(e.Targets[0]))
	for i, t := range e.Targets {
		dot := strings.HasSuffix(t, ".")
		if slices.Contains(dotted, e.Type) != dot && !slices.Contains(free, e.Type) {
			problem := "must not end in a dot"
			if !dot {
				problem = "must end in a dot"
			}
			a.complain(lb.Partial, lb.RecordRefused, fmt.Sprintf("%s.targets[%d]", field, i), t, problem, "Correct it")
			return
		}
	}
	if e.Type == dns.A || e.Type == dns.AAAA || e.Type == dns.CNAME {
		e.Targets = slices.DeleteFunc(slices.Clone(e.Targets), func(t string) bool { return !a.allows(t) })
		if len(e.Targets) == 0 {
			return // filtered
		}
	}
	var properties []dns.Property
	for _, p := range w.ProviderSpecific {
		if !strings.Contains(p.Name, "/") || strings.HasPrefix(p.Name, "aws/") {
			properties = append(properties, dns.Property{Name: p.Name, Value: p.Value})
		}
	}
	settings, problems := dns.ReadSettings(w.SetIdentifier, properties)
	for _, p := range problems {
		e.Held = true
		a.complain(lb.Refused, lb.InvalidAnnotation, field+".providerSpecific "+p.Name, "", p.Value, "Correct it; until then the record stays as it is")
	}
	e.Settings = settings
	if e.Held {
		a.read.Endpoints = append(a.read.Endpoints, dns.Endpoint{Name: name, SetID: e.SetID, From: a.object, Held: true})
		return
	}
	a.add(e)
}
