package kube

import (
	contour "github.com/projectcontour/contour/apis/projectcontour/v1"
	corev1 "k8s.io/api/core/v1"
)

// fleetIndex are the kinds that only what is served by an Envoy fleet is compiled from.
type fleetIndex struct {
	secrets     map[key]*corev1.Secret
	proxies     []*contour.HTTPProxy
	proxyByKey  map[key]*contour.HTTPProxy
	delegations []*contour.TLSCertificateDelegation
}

func indexFleet(c Contents) fleetIndex {
	f := fleetIndex{secrets: map[key]*corev1.Secret{}, proxyByKey: map[key]*contour.HTTPProxy{}, delegations: sorted(c.TLSCertificateDelegations)}
	for _, s := range c.Secrets {
		f.secrets[keyOf(s)] = s
	}
	for _, p := range c.HTTPProxies {
		f.proxyByKey[keyOf(p)] = p
	}
	for _, p := range f.proxyByKey {
		f.proxies = append(f.proxies, p)
	}
	f.proxies = sorted(f.proxies)
	return f
}

// Secret returns one Secret, or nil.
func (o *Objects) Secret(namespace, name string) *corev1.Secret {
	return o.fleet.secrets[key{namespace, name}]
}

// HTTPProxies are all HTTPProxies by namespace and name.
func (o *Objects) HTTPProxies() []*contour.HTTPProxy { return o.fleet.proxies }

// HTTPProxy returns one HTTPProxy, or nil.
func (o *Objects) HTTPProxy(namespace, name string) *contour.HTTPProxy {
	return o.fleet.proxyByKey[key{namespace, name}]
}

// Delegated says whether a Secret may be used from another namespace: a TLSCertificateDelegation beside it lists that
// namespace, or *.
func (o *Objects) Delegated(namespace, secret, to string) bool {
	for _, d := range o.fleet.delegations {
		if d.Namespace != namespace {
			continue
		}
		for _, entry := range d.Spec.Delegations {
			if entry.SecretName != secret {
				continue
			}
			for _, target := range entry.TargetNamespaces {
				if target == "*" || target == to {
					return true
				}
			}
		}
	}
	return false
}
