package dns

import (
	"context"
	"fmt"
	"time"
)

// Provider is where zones live: Route 53, or a name server that takes updates. It keeps no memory of zones; Keeper does.
// Its methods may be called from several goroutines.
type Provider interface {
	// Limits are what one batch of changes can have, and whether there are aliases.
	Limits() Limits

	// Zones lists the zones, with their tags where these are asked for.
	Zones(ctx context.Context, tags bool) ([]Zone, error)

	// Records reads one page of a zone's record sets, beginning at a place; the zero place is the start. next is where
	// the following page begins, or the zero place at the end. With Only it reads all sets of that one name.
	Records(ctx context.Context, zone Zone, from Place) (records []Record, next Place, err error)

	// Change makes all changes or none. The error is a *RefusedError where the zone does not take the changes as they
	// are; any other is the world's, and the same changes may work later, or have been made. An empty id stands for
	// changes that are in force when the call returns.
	Change(ctx context.Context, zone Zone, changes []Change) (ChangeID, error)

	// Synced says whether changes are in force on all name servers.
	Synced(ctx context.Context, id ChangeID) (bool, error)
}

// ChangeID names changes that a provider has taken.
type ChangeID string

// Place is where a page of record sets begins.
type Place struct {
	Name  string // as EscapeName writes it
	Type  string
	SetID string
	Only  Name // the only name to read; the rest means nothing then
}

// Limits bound a batch of changes. A value counts twice where it replaces another. Zero is for no limit.
type Limits struct {
	Changes, Values, Bytes int
	Pause                  time.Duration // between two batches of a zone
	Aliases                bool
}

// RefusedError says that a zone does not take changes as they are.
type RefusedError struct {
	Reason string
	Denied bool // for lack of rights, which may be about everything
}

// Error is the reason.
func (e *RefusedError) Error() string { return e.Reason }

// size is what a batch weighs.
type size struct{ changes, values, bytes int }

func (s size) plus(o size) size {
	return size{s.changes + o.changes, s.values + o.values, s.bytes + o.bytes}
}

func (l Limits) fits(s size) bool {
	within := func(n, limit int) bool { return limit <= 0 || n <= limit }
	return within(s.changes, l.Changes) && within(s.values, l.Values) && within(s.bytes, l.Bytes)
}

func sizeOf(changes []Change) size {
	s := size{changes: len(changes)}
	for _, c := range changes {
		times := 1
		if c.Action == Upsert {
			times = 2
		}
		for _, v := range c.Record.Values {
			s.values += times
			s.bytes += times * len(v)
		}
	}
	return s
}

// batches packs plans of one zone, in their order. A plan is never torn apart; one that fits in no batch is returned
// apart.
func (l Limits) batches(plans []NamePlan) (packed [][]NamePlan, tooBig []NamePlan) {
	var batch []NamePlan
	var weight size
	for _, p := range plans {
		s := sizeOf(p.Changes)
		if !l.fits(s) {
			tooBig = append(tooBig, p)
			continue
		}
		if len(batch) > 0 && !l.fits(weight.plus(s)) {
			packed = append(packed, batch)
			batch, weight = nil, size{}
		}
		batch, weight = append(batch, p), weight.plus(s)
	}
	if len(batch) > 0 {
		packed = append(packed, batch)
	}
	return packed, tooBig
}

func (l Limits) excess(p NamePlan) error {
	s := sizeOf(p.Changes)
	return &RefusedError{Reason: fmt.Sprintf("%d changes with %d values of %d characters are more than a batch can have", s.changes, s.values, s.bytes)}
}
