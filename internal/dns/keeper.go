package dns

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Keeper keeps the records of names. It remembers what the zones have: they are read once, written through, and then
// only looked at a page at a time, so that a pass with nothing to do makes no call. Its methods may be called from
// several goroutines, but a name is worked by one at a time.
type Keeper struct {
	provider Provider
	filter   ZoneFilter
	options  Options
	limits   Limits
	sleep    func(context.Context, time.Duration) error
	mirror   *mirror
	dryRun   bool
}

// KeeperOptions say what a Keeper keeps, and how.
type KeeperOptions struct {
	Options
	Filter ZoneFilter
	Limits Limits // narrower ones than the provider's; zero fields are the provider's
	DryRun bool   // nothing is written
	// Sleep pauses between batches of a zone.
	Sleep func(context.Context, time.Duration) error
}

// NewKeeper makes a Keeper that knows nothing yet.
func NewKeeper(provider Provider, o KeeperOptions) (*Keeper, error) {
	if err := o.Filter.Check(); err != nil {
		return nil, fmt.Errorf("dns: %w", err)
	}
	limits := provider.Limits()
	o.Aliases = limits.Aliases
	narrow := func(to *int, by int) {
		if by > 0 && (*to == 0 || by < *to) {
			*to = by
		}
	}
	narrow(&limits.Changes, o.Limits.Changes)
	narrow(&limits.Values, o.Limits.Values)
	narrow(&limits.Bytes, o.Limits.Bytes)
	if o.Limits.Pause > 0 {
		limits.Pause = o.Limits.Pause
	}
	if o.Sleep == nil {
		o.Sleep = sleep
	}
	return &Keeper{provider: provider, filter: o.Filter, options: o.Options, limits: limits, sleep: o.Sleep, mirror: newMirror(), dryRun: o.DryRun}, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// Zones are the zones that are served, as last seen.
func (k *Keeper) Zones() []Zone { return k.mirror.list() }

// Refresh lists the zones, and reads those that are new. It says whether there are others than before. Called first, it
// reads everything. Zones that cannot be read are left out and told in the error.
func (k *Keeper) Refresh(ctx context.Context) (changed bool, err error) {
	zones, err := k.provider.Zones(ctx, k.filter.WantsTags())
	if err != nil {
		return false, fmt.Errorf("dns: list zones: %w", err)
	}
	added, changed := k.mirror.setZones(k.filter.Choose(zones))
	var errs []error
	for _, z := range added {
		records, err := k.readAll(ctx, z)
		if err != nil {
			errs = append(errs, fmt.Errorf("dns: read zone %s: %w", z.Name, err))
			continue
		}
		k.mirror.fill(z, records)
		changed = true
	}
	return changed, errors.Join(errs...)
}

func (k *Keeper) readAll(ctx context.Context, z Zone) ([]Record, error) {
	var all []Record
	for place := (Place{}); ; {
		page, next, err := k.provider.Records(ctx, z, place)
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if next == (Place{}) {
			return all, nil
		}
		place = next
	}
}

// Audit compares one page of a zone with what is known of it, and returns the names for which the zone differs.
func (k *Keeper) Audit(ctx context.Context, zone Zone) ([]Name, error) {
	place := k.mirror.auditPlace(zone.ID)
	page, next, err := k.provider.Records(ctx, zone, place)
	if err != nil {
		return nil, fmt.Errorf("dns: look at zone %s: %w", zone.Name, err)
	}
	// The last name may go on in the next page, which then begins with it.
	for next != (Place{}) && len(page) > 0 {
		last := page[len(page)-1].Name
		whole := slices.DeleteFunc(slices.Clone(page), func(r Record) bool { return r.Name == last })
		if len(whole) > 0 && next.Name == EscapeName(last) {
			page, next = whole, Place{Name: next.Name}
			break
		}
		if next.Name != EscapeName(last) {
			break
		}
		more, after, err := k.provider.Records(ctx, zone, next)
		if err != nil {
			return nil, fmt.Errorf("dns: look at zone %s: %w", zone.Name, err)
		}
		page, next = append(page, more...), after
	}
	return k.mirror.audited(zone.ID, page, next), nil
}

// Reread looks at one name and at those of its markers, and says whether the zone has something else than was known.
func (k *Keeper) Reread(ctx context.Context, p NamePlan) (changed bool, err error) {
	names := map[Name]bool{p.Name: true}
	for _, c := range p.Changes {
		names[c.Record.Name] = true
	}
	for name := range names {
		records, _, err := k.provider.Records(ctx, p.Zone, Place{Only: name})
		if err != nil {
			return changed, fmt.Errorf("dns: read %s: %w", name, err)
		}
		changed = k.mirror.set(p.Zone.ID, name, records) || changed
	}
	return changed, nil
}

// Owned are the names at which we own something, sorted.
func (k *Keeper) Owned() []Name {
	owned := map[Name]bool{}
	for _, z := range k.mirror.list() {
		have := func(n Name) []Record { return k.mirror.at(z.ID, n) }
		for _, name := range k.mirror.names(z.ID) {
			if OwnsAny(Situation{Zone: z, Name: name, Have: have}, k.options) {
				owned[name] = true
			}
		}
	}
	return sortedNames(owned)
}

func sortedNames(set map[Name]bool) []Name {
	out := make([]Name, 0, len(set))
	for n := range set {
		out = append(out, n)
	}
	slices.Sort(out)
	return out
}

// Pointing are the names with a record of ours that is an alias or a CNAME of a host, sorted.
func (k *Keeper) Pointing(hosts map[Name]bool) []Name {
	found := map[Name]bool{}
	for _, z := range k.mirror.list() {
		have := func(n Name) []Record { return k.mirror.at(z.ID, n) }
		for _, name := range k.mirror.names(z.ID) {
			for _, r := range have(name) {
				target := r.Alias.Target
				if r.Type == CNAME && len(r.Values) == 1 {
					target = Name(canonicalValue(CNAME, r.Values[0]))
				}
				if hosts[target] && OwnsAny(Situation{Zone: z, Name: name, Have: have}, k.options) {
					found[name] = true
				}
			}
		}
	}
	return sortedNames(found)
}

// Plan plans one name in every zone that it belongs to. There are no plans for a name that is in no zone.
func (k *Keeper) Plan(name Name, endpoints []Endpoint, balancers Balancers) []NamePlan {
	if !k.filter.Domains.Has(name) {
		return nil
	}
	byZone := map[ZoneID][]Endpoint{}
	all := k.mirror.list()
	for _, e := range endpoints {
		for _, z := range ZonesOf(name, e.Settings.Zone, all) {
			byZone[z.ID] = append(byZone[z.ID], e)
		}
	}
	var plans []NamePlan
	for _, z := range all {
		if !name.In(z.Name) {
			continue
		}
		plans = append(plans, Plan(Situation{
			Zone: z, Name: name, Endpoints: byZone[z.ID], Balancers: balancers,
			Have: func(n Name) []Record { return k.mirror.at(z.ID, n) },
		}, k.options))
	}
	return plans
}

// Serves says whether a name passes the filters and is in a zone.
func (k *Keeper) Serves(name Name, pin ZoneID) (inDomains, inZone bool) {
	inDomains = k.filter.Domains.Has(name)
	return inDomains, inDomains && len(ZonesOf(name, pin, k.mirror.list())) > 0
}

// Synced says whether changes are in force everywhere.
func (k *Keeper) Synced(ctx context.Context, id ChangeID) (bool, error) {
	if id == "" {
		return true, nil
	}
	return k.provider.Synced(ctx, id)
}

// Result is how the plan of a name ended.
type Result struct {
	Plan  NamePlan
	ID    ChangeID
	Err   error
	Stale bool // the zone had something else than was known; planned again, it may work
}

// Refused says whether the zone does not take the changes as they are.
func (r Result) Refused() bool {
	var refused *RefusedError
	return errors.As(r.Err, &refused)
}

// Apply makes plans real, in batches. A batch that the zone does not take is halved until the names that are to blame
// stand alone; the others are written. Results are in the order of the plans.
func (k *Keeper) Apply(ctx context.Context, plans []NamePlan) []Result {
	results := make([]Result, len(plans))
	byZone := map[ZoneID][]int{}
	var order []ZoneID
	for i, p := range plans {
		results[i].Plan = p
		if len(p.Changes) == 0 || k.dryRun {
			continue
		}
		if byZone[p.Zone.ID] == nil {
			order = append(order, p.Zone.ID)
		}
		byZone[p.Zone.ID] = append(byZone[p.Zone.ID], i)
	}
	for _, zone := range order {
		k.applyZone(ctx, results, byZone[zone])
	}
	return results
}

// deniedAtMost is how many batches in a row are halved because of a lack of rights, before that is taken to be about all
// of them.
const deniedAtMost = 8

func (k *Keeper) applyZone(ctx context.Context, results []Result, which []int) {
	place := map[Name]int{}
	var plans []NamePlan
	for _, i := range which {
		place[results[i].Plan.Name] = i
		plans = append(plans, results[i].Plan)
	}
	batches, tooBig := k.limits.batches(plans)
	for _, p := range tooBig {
		results[place[p.Name]].Err = k.limits.excess(p)
	}
	first, denied := true, 0
	for len(batches) > 0 {
		batch := batches[0]
		batches = batches[1:]
		if !first && k.limits.Pause > 0 {
			if err := k.sleep(ctx, k.limits.Pause); err != nil {
				k.fail(results, place, batch, err)
				continue
			}
		}
		first = false
		id, err := k.submit(ctx, batch)
		var refused *RefusedError
		switch {
		case err == nil:
			denied = 0
			for _, p := range batch {
				results[place[p.Name]].ID = id
			}
		case errors.As(err, &refused) && len(batch) > 1 && denied < deniedAtMost:
			if refused.Denied {
				denied++
			}
			half := len(batch) / 2
			batches = append([][]NamePlan{batch[:half], batch[half:]}, batches...)
		default:
			k.fail(results, place, batch, err)
			if refused != nil && !refused.Denied {
				results[place[batch[0].Name]].Stale = k.isStale(ctx, batch[0])
			}
		}
	}
}

func (k *Keeper) fail(results []Result, place map[Name]int, batch []NamePlan, err error) {
	for _, p := range batch {
		results[place[p.Name]].Err = err
	}
}

// isStale looks whether changes were refused because the zone is not as it was known. That it cannot be looked at
// counts for nothing: the name is tried again anyway.
func (k *Keeper) isStale(ctx context.Context, p NamePlan) bool {
	changed, err := k.Reread(ctx, p)
	return err == nil && changed
}

func (k *Keeper) submit(ctx context.Context, batch []NamePlan) (ChangeID, error) {
	var changes []Change
	for _, p := range batch {
		changes = append(changes, p.Changes...)
	}
	SortChanges(changes)
	id, err := k.provider.Change(ctx, batch[0].Zone, changes)
	if err != nil {
		return "", err
	}
	k.mirror.write(batch[0].Zone.ID, changes)
	return id, nil
}
