package envoy

import (
	"slices"

	tls "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/sluicehq/sluice/internal/engine/envoy/ads"
	"github.com/sluicehq/sluice/internal/lb"
	"github.com/sluicehq/sluice/internal/plan"
)

// lower turns a stack into resources.
func (o Options) lower(s lb.Stack) ([]plan.Resource, error) {
	l := lowering{secrets: map[lb.SecretRef]lb.Secret{}}
	for _, secret := range s.Secrets {
		l.secrets[secret.ID] = secret
	}
	for _, u := range s.Upstreams {
		l.upstream(u)
	}
	for _, v := range s.VirtualHosts {
		l.virtualHost(o, v)
	}
	return l.resources, l.err
}

// lowering gathers a stack's resources, and the first error.
type lowering struct {
	secrets   map[lb.SecretRef]lb.Secret
	resources []plan.Resource
	err       error
}

func (l *lowering) add(r resource, err error) {
	if err != nil && l.err == nil {
		l.err = err
	}
	l.resources = append(l.resources, r)
}

func (l *lowering) upstream(u lb.Upstream) {
	r, err := newResource(plan.ID{Kind: clusterKind, Name: string(u.ID)}, ads.Cluster, string(u.ID), upstream(u, l.secrets), u.From)
	if u.External == "" {
		r.wire.Endpoints = string(u.ID)
		r.backend.traffic = u.Backend
		if c := u.Check; c != nil && c.Port != 0 {
			r.backend.check = lb.Backend{Namespace: u.Backend.Namespace, Service: u.Backend.Service, Port: c.Port, PortName: c.PortName}
		}
	}
	l.add(r, err)
}

func (l *lowering) virtualHost(o Options, v lb.VirtualHost) {
	clusters := clustersOf(v)
	if host := plainHost(v); host != nil {
		l.add(newResource(plan.ID{Kind: virtualHostKind, Name: v.Host}, ads.VirtualHost, plainName(v.Host), host, v.From, clusters...))
	}
	if v.TLS == nil {
		return
	}
	needs := slices.Clone(clusters)
	if ref := v.TLS.Certificate; ref != "" {
		id := plan.ID{Kind: secretKind, Name: string(ref)}
		l.add(newResource(id, ads.Secret, string(ref), certificate(l.secrets[ref]), v.From))
		needs = append(needs, id)
	}
	if v.TCP == nil {
		id := plan.ID{Kind: tableKind, Name: tableOf(v.Host)}
		l.add(newResource(id, ads.RouteTable, tableOf(v.Host), secureTable(v), v.From, clusters...))
		needs = append(needs, id)
	}
	l.add(resource{
		id: plan.ID{Kind: chainKind, Name: v.Host}, message: o.chain(v, l.secrets), refs: needs, from: v.From,
	}, nil)
}

// clustersOf are the clusters that a virtual host leads to, each once.
func clustersOf(v lb.VirtualHost) []plan.ID {
	var out []plan.ID
	add := func(id lb.UpstreamID) {
		if ref := (plan.ID{Kind: clusterKind, Name: string(id)}); !slices.Contains(out, ref) {
			out = append(out, ref)
		}
	}
	if v.TCP != nil {
		for _, u := range v.TCP.Upstreams {
			add(u.ID)
		}
	}
	for _, r := range v.Routes {
		if f := r.Action.Forward; f != nil {
			for _, u := range f.Upstreams {
				add(u.ID)
			}
			for _, m := range f.Mirrors {
				add(m.ID)
			}
		}
	}
	return out
}

func certificate(s lb.Secret) *tls.Secret {
	return &tls.Secret{Name: string(s.ID), Type: &tls.Secret_TlsCertificate{TlsCertificate: &tls.TlsCertificate{
		CertificateChain: inline(s.Certificate), PrivateKey: inline(s.Key),
	}}}
}
