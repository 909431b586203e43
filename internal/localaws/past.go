package localaws

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"
)

// past is the state as it was a while ago: a copy that every change reaches late. It makes reads stale, as they are on
// AWS, where what was answered is not yet what every server knows. It is guarded by Server.mu.
type past struct {
	state   *state
	changes []pastChange // that have not reached the copy
}

type pastChange struct {
	at     time.Time
	writes []write
}

// newPast copies the state of now.
func newPast(s *state) *past {
	out := newState()
	out.seq = s.seq
	for i, t := range s.tables {
		if err := t.dump(out.tables[i].overwrite); err != nil {
			panic(fmt.Sprintf("localaws: a copy of the state does not decode: %v", err)) // it was encoded here
		}
	}
	return &past{state: out}
}

// at brings the copy to what the state was at a time.
func (p *past) at(t time.Time) *state {
	for len(p.changes) > 0 && !p.changes[0].at.After(t) {
		for _, w := range p.changes[0].writes {
			if err := p.state.overwrite(w); err != nil {
				panic(fmt.Sprintf("localaws: a change does not decode: %v", err)) // it was encoded here
			}
		}
		p.changes = p.changes[1:]
	}
	return p.state
}

func (s *state) overwrite(w write) error {
	for _, t := range s.tables {
		if t.name() == w.kind {
			return t.overwrite(w.id, w.data)
		}
	}
	return fmt.Errorf("there is no table %s", w.kind)
}

// reader starts a read, of a stale state where a fault wants that. done ends it.
func (s *Server) reader(operation string) (x *tx, done func()) {
	if f := s.staleFault(operation); f != nil {
		s.mu.Lock()
		x = s.begin()
		x.state = f.past.at(x.now.Add(-f.length))
		return x, s.mu.Unlock
	}
	s.mu.RLock()
	return s.begin(), s.mu.RUnlock
}

// staleFault finds the fault that makes a read stale.
func (s *Server) staleFault(operation string) *NamedFault {
	s.monitor.Lock()
	defer s.monitor.Unlock()
	for _, name := range slices.Sorted(maps.Keys(s.faults)) {
		if f := s.faults[name]; f.Effect == EffectStale && wildcard(f.Operation, operation) {
			f.Seen++
			f.Struck++
			return f
		}
	}
	return nil
}

// age gives a change to the copies of the state that are late.
func (s *Server) age(x *tx) {
	s.monitor.Lock()
	defer s.monitor.Unlock()
	for _, f := range s.faults {
		if f.past != nil {
			f.past.changes = append(f.past.changes, pastChange{x.now, x.writes})
		}
	}
}

// dump gives every row, encoded, to a function.
func (t *table[T]) dump(to func(id string, data []byte) error) error {
	for _, id := range t.order {
		data, err := json.Marshal(t.rows[id])
		if err == nil {
			err = to(id, data)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// overwrite is load for a table that has rows; no data deletes.
func (t *table[T]) overwrite(id string, data []byte) error {
	if data == nil {
		t.forget(id)
		return nil
	}
	var e entry[T]
	if err := json.Unmarshal(data, &e); err != nil {
		return fmt.Errorf("%s %s: %w", t.kind, id, err)
	}
	if _, had := t.rows[id]; !had {
		t.order = append(t.order, id)
	}
	t.rows[id] = e
	return nil
}
