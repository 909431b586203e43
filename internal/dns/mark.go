package dns

import (
	"fmt"
	"maps"
	"slices"

	"github.com/sluicehq/sluice/internal/lb"
)

// marker is a marker that a zone has.
type marker struct {
	record Record // the TXT set that it is in
	value  string
	labels labels
}

// markerAt finds the marker in the TXT set of a name.
func (p *planner) markerAt(name Name, setID string) (marker, bool) {
	r, ok := p.find(Key{name, TXT, setID})
	if !ok {
		return marker{}, false
	}
	for _, v := range r.Values {
		if l, ok := p.Ownership.read(v); ok {
			return marker{record: r, value: v, labels: l}, true
		}
	}
	return marker{}, false
}

// marker finds the marker of a set, in any of its forms.
func (p *planner) marker(r Record) (marker, bool) {
	for _, name := range p.Ownership.names(r, p.Zone.Name) {
		if m, ok := p.markerAt(name, r.SetID); ok {
			return m, true
		}
	}
	return marker{}, false
}

// owned says whether a set is ours to change.
func (p *planner) owned(r Record) bool {
	if p.Ownership.Owner == "" {
		return true
	}
	m, ok := p.marker(r)
	return ok && p.Ownership.ours(m.labels)
}

// ownerOf names who has a set, for people.
func (p *planner) ownerOf(r Record) string {
	if m, ok := p.marker(r); ok && !p.Ownership.ours(m.labels) {
		return fmt.Sprintf(" (its owner is %q)", m.labels[ownerLabel])
	}
	return ""
}

// markObstacle is what hinders a set's marker from being written. A set without a marker is not written either.
func (p *planner) markObstacle(w want) *obstacle {
	_, exists := p.find(w.Key())
	if p.Ownership.Owner == "" || w.spare && !exists {
		return nil
	}
	m := Record{Name: p.Ownership.markerName(w.Name, w.Type, p.Zone.Name), Type: TXT, SetID: w.SetID, Routing: w.Routing}
	old, marked := p.markerAt(m.Name, m.SetID)
	if marked && !p.Ownership.ours(old.labels) {
		return &obstacle{lb.RecordNotOwned, string(m.Name), fmt.Sprintf("the name is claimed by the owner %q", old.labels[ownerLabel]), "Use another name, or delete that record"}
	}
	for _, other := range p.read(m.Name) {
		inTheWay := other.Key() == m.Key() && !marked || other.Key() != m.Key() && excludes(other, m) && !p.isOurMarker(other)
		if inTheWay {
			return &obstacle{lb.RecordNotOwned, string(m.Name), fmt.Sprintf("the record that tells the owner cannot be written where the zone has a record %s", other.Type), "Delete that record, or set --txt-prefix"}
		}
	}
	return nil
}

// isOurMarker says whether a set is nothing but a marker of ours.
func (p *planner) isOurMarker(r Record) bool {
	l, ok := labels(nil), false
	if r.Type == TXT && len(r.Values) == 1 {
		l, ok = p.Ownership.read(r.Values[0])
	}
	return ok && p.Ownership.ours(l)
}

// mark sees to it that a set has its marker. One of an older form is enough as long as the set stays as it is.
func (p *planner) mark(r Record, e Endpoint, unchanged bool) {
	if p.Ownership.Owner == "" {
		return
	}
	l := labels{}
	if old, ok := p.marker(r); ok && p.Ownership.ours(old.labels) {
		if unchanged && old.labels[ownerLabel] == p.Ownership.Owner && old.labels[fromLabel] == e.Resource() {
			return
		}
		maps.Copy(l, old.labels)
	}
	l[ownerLabel], l[fromLabel] = p.Ownership.Owner, e.Resource()
	name := p.Ownership.markerName(r.Name, r.Type, p.Zone.Name)
	m := Record{
		Name: name, Type: TXT, SetID: r.SetID, TTL: DefaultTTL, Values: []string{p.Ownership.write(l, name)},
		Routing: r.Routing, HealthCheck: r.HealthCheck,
	}
	if have, ok := p.find(m.Key()); ok && len(have.Values) > 1 {
		m.Values = append(slices.DeleteFunc(slices.Clone(have.Values), p.isMarker), m.Values...) // others' texts stay
	}
	p.put(m)
}

// unmark takes the markers of a set away that goes. One without a type in its name goes with the last set that it can
// be of.
func (p *planner) unmark(r Record) {
	for i, name := range p.Ownership.names(r, p.Zone.Name) {
		m, ok := p.markerAt(name, r.SetID)
		if !ok || !p.Ownership.ours(m.labels) || i > 0 && p.needsFormer(r, name) {
			continue
		}
		rest := slices.DeleteFunc(slices.Clone(m.record.Values), func(v string) bool { return v == m.value })
		if len(rest) == 0 {
			p.remove(m.record.Key())
			continue
		}
		m.record.Values = rest
		p.put(m.record)
	}
}

// needsFormer says whether another set that stays at the name has the same older marker.
func (p *planner) needsFormer(gone Record, marker Name) bool {
	return slices.ContainsFunc(p.read(p.Name), func(r Record) bool {
		return r.Key() != gone.Key() && r.SetID == gone.SetID && slices.Contains(p.Types, r.Type) && r.Type != TXT &&
			slices.Contains(p.Ownership.names(r, p.Zone.Name), marker)
	})
}
