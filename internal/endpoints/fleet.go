package endpoints

import (
	"slices"

	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/sluicehq/sluice/internal/lb"
)

// OfBackend are the endpoints that the EndpointSlices of a Service have for one of its ports, sorted, each once. One that
// is ending and still serves is there, too, as draining.
func OfBackend(list []*discoveryv1.EndpointSlice, backend lb.Backend) []lb.Endpoint {
	var out []lb.Endpoint
	for _, slice := range list {
		if slice.AddressType == discoveryv1.AddressTypeFQDN {
			continue
		}
		for _, p := range slice.Ports {
			name := ""
			if p.Name != nil {
				name = *p.Name
			}
			if p.Port == nil || name != backend.PortName {
				continue
			}
			for i := range slice.Endpoints {
				if e, ok := fleetEndpoint(&slice.Endpoints[i], *p.Port); ok {
					out = append(out, e)
				}
			}
		}
	}
	slices.SortFunc(out, lb.Endpoint.Compare)
	// During a move between slices an endpoint is in two of them.
	return slices.CompactFunc(out, func(a, b lb.Endpoint) bool { return a.Compare(b) == 0 })
}

func fleetEndpoint(e *discoveryv1.Endpoint, port int32) (lb.Endpoint, bool) {
	if len(e.Addresses) == 0 {
		return lb.Endpoint{}, false
	}
	out := lb.Endpoint{Address: e.Addresses[0], Port: uint16(port)}
	if e.Zone != nil {
		out.Zone = *e.Zone
	}
	is := func(condition *bool) bool { return condition != nil && *condition }
	switch {
	case e.Conditions.Ready == nil || *e.Conditions.Ready:
		return out, true
	case is(e.Conditions.Serving) && is(e.Conditions.Terminating):
		out.Draining = true
		return out, true
	default:
		return lb.Endpoint{}, false
	}
}
