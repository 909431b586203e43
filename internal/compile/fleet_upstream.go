package compile

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/sluicehq/sluice/internal/annot"
	"github.com/sluicehq/sluice/internal/kube"
	"github.com/sluicehq/sluice/internal/lb"
)

// Reasons of verdicts about what an Envoy fleet serves; for HTTPProxies they are the reference's.
const (
	ServiceUnresolved   lb.Reason = "ServiceUnresolvedReference"
	UnsupportedProtocol lb.Reason = "UnsupportedProtocol"
	RouteConflict       lb.Reason = "RouteConflict"
	SecretNotValid      lb.Reason = "SecretNotValid"
	NotDelegated        lb.Reason = "DelegationNotPermitted"
	TLSVersions         lb.Reason = "TLSVersions"
)

// fault is what is wrong with a part of an object, before it is known where the part stands.
type fault struct {
	reason  lb.Reason
	value   string
	problem string
	fix     string
}

func (f fault) verdict(object lb.Object, severity lb.Severity, field string) lb.Verdict {
	return lb.Verdict{Object: object, Severity: severity, Reason: f.reason, Field: field, Value: f.value, Problem: f.problem, Fix: f.fix}
}

// upstream is how a Service port is spoken to as the Service has it, before a route says more.
func (f *fleet) upstream(namespace, name string, port lb.Port) (lb.Upstream, *fault) {
	service := f.objects.Service(namespace, name)
	if service == nil {
		return lb.Upstream{}, &fault{ServiceUnresolved, name, "there is no such Service in namespace " + namespace, "Create the Service, or name one that exists"}
	}
	found := findPort(service, port)
	if found == nil {
		return lb.Upstream{}, &fault{ServiceUnresolved, port.String(), fmt.Sprintf("Service %s/%s has no such port", namespace, name), "Name one of its ports: " + kube.PortList(service)}
	}
	if found.Protocol != "" && found.Protocol != corev1.ProtocolTCP {
		return lb.Upstream{}, &fault{UnsupportedProtocol, port.String(), fmt.Sprintf("the port of Service %s/%s is for %s, and only TCP is served", namespace, name, found.Protocol), "Name a port for TCP"}
	}
	if service.Spec.Type == corev1.ServiceTypeExternalName {
		return lb.Upstream{}, &fault{ServiceUnresolved, name, fmt.Sprintf("Service %s/%s is of type ExternalName, by which anybody who may make one could reach what only the fleet can", namespace, name), "Use a Service with endpoints"}
	}
	self := lb.Object{Kind: "Service", Namespace: namespace, Name: name}
	settings, verdicts := annot.UpstreamSettings(self, service.Annotations, lb.Port{Number: found.Port, Name: found.Name})
	f.verdicts = append(f.verdicts, verdicts...)
	u := lb.Upstream{
		Backend:  lb.Backend{Namespace: namespace, Service: name, Port: found.Port, PortName: found.Name},
		Protocol: lb.PlainHTTP1, Balance: lb.RoundRobin, Limits: settings.Limits,
	}
	if settings.Protocol != "" {
		u.Protocol = settings.Protocol
	}
	if found.AppProtocol != nil {
		if p, ok := appProtocols[*found.AppProtocol]; ok {
			u.Protocol = p
		}
	}
	return u, nil
}

// appProtocols are those that say how a port is spoken to.
var appProtocols = map[string]lb.UpstreamProtocol{
	"kubernetes.io/h2c": lb.PlainHTTP2, "kubernetes.io/ws": lb.PlainHTTP1, "http": lb.PlainHTTP1, "https": lb.TLSHTTP1,
}

// identified gives upstreams their ids, and those of a route their places in it.
func identified(u lb.Upstream, from lb.Object) lb.Upstream {
	u = u.Identify()
	u.From = slices.Clone([]lb.Object{from})
	return u
}
