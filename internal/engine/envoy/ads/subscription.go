package ads

import (
	"maps"
	"slices"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
)

// unknown is the version of a resource of which a client may have any.
const unknown = "?"

// changes says which changes to send.
type changes int

const (
	made changes = iota
	gone
)

// subscription is what a client wants of a type, and what it has.
type subscription struct {
	kind     Type
	wildcard bool
	names    map[string]bool
	has      map[string]string // versions by name, as sent
	refused  map[string]string // versions that it did not accept
	pending  map[string]bool   // names that may have to be sent
	asked    map[string]bool   // names that must be answered, though there be no such resource
	alone    []string          // names that are sent one by one, because a response that had them was refused
	warming  map[string]bool   // clusters that were sent and whose endpoints were not
	// unanswered clients that want all of a type wait for a first response, also for one that has nothing.
	unanswered bool
	inFlight   *flight
}

// flight is a response that has not been answered.
type flight struct {
	nonce    string
	names    []string
	versions []string // of names; empty for one that is removed
}

func newSubscription(t Type, first *discovery.DeltaDiscoveryRequest) *subscription {
	s := &subscription{
		kind: t, names: map[string]bool{}, has: map[string]string{}, refused: map[string]string{}, pending: map[string]bool{},
		asked: map[string]bool{}, warming: map[string]bool{},
		// The first request without names asks for all, where the type has that. Virtual hosts are asked for so, too.
		wildcard: len(first.GetResourceNamesSubscribe()) == 0 && (t == Cluster || t == Listener || t == VirtualHost),
	}
	s.unanswered = s.wildcard && len(first.GetInitialResourceVersions()) == 0
	maps.Copy(s.has, first.GetInitialResourceVersions())
	for name := range s.has {
		s.pending[name] = true
	}
	return s
}

// wants says whether a name is subscribed to.
func (s *subscription) wants(name string) bool { return s.wildcard || s.names[name] }

func (s *subscription) look(names ...string) {
	for _, name := range names {
		s.pending[name] = true
	}
}

// subscribe adds a name. It is answered in any case, unless it is among those that the client brings along.
func (s *subscription) subscribe(server *Server, name string, brought map[string]string) {
	if name == "*" {
		s.wildcard = true
		s.look(server.names(s.kind)...)
		return
	}
	s.names[name] = true
	_, has := brought[name]
	s.asked[name] = !has
	s.look(name)
}

func (s *subscription) unsubscribe(name string) {
	if name == "*" {
		s.wildcard = false
		return
	}
	delete(s.names, name)
	delete(s.has, name)
	delete(s.asked, name)
	delete(s.pending, name)
}

// accepted says whether the client has the newest of a name, and said so.
func (s *subscription) accepted(name string) bool {
	_, has := s.has[name]
	return has && (s.inFlight == nil || !slices.Contains(s.inFlight.names, name))
}

// next makes the response that the client should get now, or none.
func (s *subscription) next(server *Server, which changes) (*discovery.DeltaDiscoveryResponse, *flight) {
	candidates := slices.Sorted(maps.Keys(s.pending))
	if len(s.alone) > 0 {
		candidates = s.alone[:1]
	}
	response, flight := &discovery.DeltaDiscoveryResponse{}, &flight{}
	for _, name := range candidates {
		r, exists := server.resource(Key{s.kind, name})
		version, has := s.has[name]
		switch {
		case exists && which != gone:
			delete(s.pending, name)
			if has && version == r.Version && !s.asked[name] || s.refused[name] == r.Version {
				break
			}
			delete(s.asked, name)
			s.has[name] = r.Version
			if r.Endpoints != "" {
				s.warming[name] = true
			}
			response.Resources = append(response.Resources, &discovery.Resource{Name: name, Version: r.Version, Resource: r.Body})
			flight.add(name, r.Version)
		case !exists && (which != made || s.asked[name]):
			delete(s.pending, name)
			if !has && !s.asked[name] {
				break
			}
			delete(s.asked, name)
			delete(s.has, name)
			delete(s.refused, name)
			response.RemovedResources = append(response.RemovedResources, name)
			flight.add(name, "")
		}
	}
	if len(s.alone) > 0 {
		s.alone = s.alone[1:]
		if len(flight.names) == 0 {
			return s.next(server, which)
		}
		return response, flight
	}
	if len(flight.names) == 0 && (!s.unanswered || which == gone) {
		return nil, nil
	}
	s.unanswered = false
	return response, flight
}

func (f *flight) add(name, version string) {
	f.names = append(f.names, name)
	f.versions = append(f.versions, version)
}
