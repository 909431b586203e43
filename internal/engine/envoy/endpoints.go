package envoy

import (
	"cmp"
	"maps"
	"slices"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"

	"github.com/sluicehq/sluice/internal/engine/envoy/ads"
	"github.com/sluicehq/sluice/internal/lb"
)

// SetEndpoints says which endpoints a backend has. Nothing but them goes to the Envoys. A backend's endpoints are to be
// set before the first stack that has it is applied; until then it has none.
func (e *Engine) SetEndpoints(of lb.Backend, list []lb.Endpoint) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	sorted := slices.SortedFunc(slices.Values(list), lb.Endpoint.Compare)
	if slices.Equal(sorted, e.endpoints[of]) && (len(sorted) > 0) == (len(e.endpoints[of]) > 0) {
		return nil
	}
	if len(sorted) == 0 {
		delete(e.endpoints, of)
	} else {
		e.endpoints[of] = sorted
	}
	var set []ads.Resource
	for _, cluster := range slices.Sorted(maps.Keys(e.users[of])) {
		r, err := e.assignment(cluster)
		if err != nil {
			return err
		}
		set = append(set, r)
	}
	e.server.Update(set, nil)
	return nil
}

// Backends are those that some stack has, sorted.
func (e *Engine) Backends() []lb.Backend {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.SortedFunc(maps.Keys(e.users), lb.Backend.Compare)
}

// assignment makes the endpoints of a cluster. e.mu is held.
func (e *Engine) assignment(cluster string) (ads.Resource, error) {
	b := e.backends[cluster]
	checkPorts := map[string]uint16{}
	for _, c := range e.endpoints[b.check] {
		checkPorts[c.Address] = c.Port
	}
	return ads.NewResource(ads.Key{Type: ads.Endpoints, Name: cluster}, loadAssignment(cluster, e.endpoints[b.traffic], checkPorts))
}

// loadAssignment puts endpoints into their zones. Those that are about to end have a lower priority: they serve when no
// other does.
func loadAssignment(cluster string, list []lb.Endpoint, checkPorts map[string]uint16) *endpoint.ClusterLoadAssignment {
	type place struct {
		priority uint32
		zone     string
	}
	// Priorities must not have gaps.
	all := !slices.ContainsFunc(list, func(e lb.Endpoint) bool { return !e.Draining })
	groups := map[place][]*endpoint.LbEndpoint{}
	for _, e := range list {
		at := place{zone: e.Zone}
		if e.Draining && !all {
			at.priority = 1
		}
		target := &endpoint.Endpoint{Address: socket(e.Address, e.Port)}
		if port := checkPorts[e.Address]; port != 0 && port != e.Port {
			target.HealthCheckConfig = &endpoint.Endpoint_HealthCheckConfig{PortValue: uint32(port)}
		}
		groups[at] = append(groups[at], &endpoint.LbEndpoint{HostIdentifier: &endpoint.LbEndpoint_Endpoint{Endpoint: target}})
	}
	out := &endpoint.ClusterLoadAssignment{ClusterName: cluster}
	places := slices.SortedFunc(maps.Keys(groups), func(a, b place) int {
		return cmp.Or(cmp.Compare(a.priority, b.priority), cmp.Compare(a.zone, b.zone))
	})
	for _, at := range places {
		group := &endpoint.LocalityLbEndpoints{LbEndpoints: groups[at], Priority: at.priority}
		if at.zone != "" {
			group.Locality = &core.Locality{Zone: at.zone}
		}
		out.Endpoints = append(out.Endpoints, group)
	}
	return out
}
