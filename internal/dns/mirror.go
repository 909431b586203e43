package dns

import (
	"maps"
	"slices"
	"sync"
)

// mirror is what zones have, as last seen. It is safe for concurrent use; what it returns is not changed by anybody.
type mirror struct {
	mu    sync.RWMutex
	zones map[ZoneID]*zoneMirror
	order []Zone // by name and id
}

type zoneMirror struct {
	zone    Zone
	records map[Name][]Record
	// A pass of the audit through the zone: where the next page begins, what was seen, and what was written since.
	place Place
	seen  map[Name]bool
}

func newMirror() *mirror { return &mirror{zones: map[ZoneID]*zoneMirror{}} }

func (m *mirror) list() []Zone {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.order
}

// setZones makes these the zones. Those that are new are returned, and have no records until they are filled.
func (m *mirror) setZones(zones []Zone) (added []Zone, changed bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	known := map[ZoneID]bool{}
	for _, z := range zones {
		known[z.ID] = true
		if have, ok := m.zones[z.ID]; ok {
			have.zone = z
		} else {
			added = append(added, z)
		}
	}
	for id := range m.zones {
		if !known[id] {
			delete(m.zones, id)
			changed = true
		}
	}
	m.sort()
	return added, changed
}

func (m *mirror) sort() {
	var zones []Zone
	for _, z := range m.zones {
		zones = append(zones, z.zone)
	}
	m.order = ZoneFilter{}.Choose(zones)
}

// fill makes a zone known with all that it has.
func (m *mirror) fill(zone Zone, records []Record) {
	z := &zoneMirror{zone: zone, records: map[Name][]Record{}, seen: map[Name]bool{}}
	for _, r := range records {
		z.records[r.Name] = append(z.records[r.Name], r)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.zones[zone.ID] = z
	m.sort()
}

// at are the sets of a name.
func (m *mirror) at(zone ZoneID, name Name) []Record {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if z := m.zones[zone]; z != nil {
		return z.records[name]
	}
	return nil
}

// names are all names of a zone, sorted.
func (m *mirror) names(zone ZoneID) []Name {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if z := m.zones[zone]; z != nil {
		return slices.Sorted(maps.Keys(z.records))
	}
	return nil
}

// set replaces what is known of a name, and says whether that was something else.
func (m *mirror) set(zone ZoneID, name Name, records []Record) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	z := m.zones[zone]
	return z != nil && z.set(name, records)
}

func (z *zoneMirror) set(name Name, records []Record) bool {
	z.seen[name] = true
	changed := len(Diff(z.records[name], records)) > 0
	if len(records) == 0 {
		delete(z.records, name)
	} else {
		z.records[name] = records
	}
	return changed
}

// write takes over changes that were made.
func (m *mirror) write(zone ZoneID, changes []Change) {
	m.mu.Lock()
	defer m.mu.Unlock()
	z := m.zones[zone]
	if z == nil {
		return
	}
	for _, c := range changes {
		rest := slices.DeleteFunc(slices.Clone(z.records[c.Record.Name]), func(r Record) bool { return r.Key() == c.Record.Key() })
		if c.Action != Delete {
			rest = append(rest, c.Record)
		}
		z.set(c.Record.Name, rest)
	}
}

// auditPlace is where the audit of a zone goes on.
func (m *mirror) auditPlace(zone ZoneID) Place {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if z := m.zones[zone]; z != nil {
		return z.place
	}
	return Place{}
}

// audited takes over a page of whole names, and returns those for which something else was known. At the end of the
// zone, names that no page had and that were not written meanwhile are gone.
func (m *mirror) audited(zone ZoneID, page []Record, next Place) []Name {
	m.mu.Lock()
	defer m.mu.Unlock()
	z := m.zones[zone]
	if z == nil {
		return nil
	}
	byName := map[Name][]Record{}
	for _, r := range page {
		byName[r.Name] = append(byName[r.Name], r)
	}
	var changed []Name
	for name, records := range byName {
		if z.set(name, records) {
			changed = append(changed, name)
		}
	}
	z.place = next
	if next == (Place{}) {
		for name := range z.records {
			if !z.seen[name] {
				delete(z.records, name)
				changed = append(changed, name)
			}
		}
		z.seen = map[Name]bool{}
	}
	slices.Sort(changed)
	return changed
}
