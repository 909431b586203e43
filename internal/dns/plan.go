package dns

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/sluicehq/sluice/internal/lb"
)

// ChangePolicy says which changes may be made.
type ChangePolicy string

// The policies. UpsertOnly deletes nothing but what stands in the way of a wanted record of the same name.
const (
	Sync       ChangePolicy = "sync"
	UpsertOnly ChangePolicy = "upsert-only"
	CreateOnly ChangePolicy = "create-only"
)

// Options say how records are kept.
type Options struct {
	Policy         ChangePolicy
	Ownership      Ownership
	Types          []Type // that are ours to serve
	EvaluateHealth bool   // of aliases whose object does not say
	PreferCNAME    bool   // no alias unless an object asks for one
	Aliases        bool   // the zones have aliases
}

// Situation is one name in one zone: what is asked of it and what is there.
type Situation struct {
	Zone      Zone
	Name      Name
	Endpoints []Endpoint // all that are about the name
	Balancers Balancers
	Have      func(Name) []Record // what the zone has at a name; not changed
}

// NamePlan is what is to become of one name in one zone. Before and After are the sets at the name and at those of its
// markers; the changes lead from the one to the other and belong together.
type NamePlan struct {
	Zone          Zone
	Name          Name
	Before, After []Record
	Changes       []Change
	Answers       []Answer
}

// Answer tells an object what becomes of a name that it asks for.
type Answer struct {
	Object  lb.Object
	Name    Name
	Zone    ZoneID
	Records []Record    // that answer for it once the changes are made
	Waiting string      // what for, where nothing is published yet
	Verdict *lb.Verdict // why it does not get what it asks for
}

// Plan plans one name. Equal situations give equal plans.
func Plan(s Situation, o Options) NamePlan {
	p := planner{Situation: s, Options: o, before: map[Name][]Record{}, after: map[Name][]Record{}, answers: map[string]*Answer{}}
	p.read(s.Name)
	rows := p.shape()
	for _, r := range p.current() {
		if _, ok := rows[r.SetID]; !ok {
			rows[r.SetID] = &row{}
		}
	}
	var chosen []want
	for _, setID := range slices.Sorted(maps.Keys(rows)) {
		if rows[setID].held {
			p.hold(rows[setID])
			continue
		}
		chosen = append(chosen, p.choose(rows[setID])...)
	}
	p.removeUnwanted(rows, chosen)
	for _, w := range p.possible(chosen) {
		p.place(w)
	}
	out := NamePlan{Zone: s.Zone, Name: s.Name, Before: flatten(p.before), After: flatten(p.after)}
	out.Changes = Diff(out.Before, out.After)
	for _, k := range slices.Sorted(maps.Keys(p.answers)) {
		out.Answers = append(out.Answers, *p.answers[k])
	}
	return out
}

func flatten(m map[Name][]Record) []Record {
	var all []Record
	for _, list := range m {
		all = append(all, list...)
	}
	return sortRecords(all)
}

// row is what is asked of a name under one set identifier.
type row struct {
	wants   []want
	held    bool // a setting of somebody who asks cannot be read
	waiting bool // somebody's load balancer is not active yet
}

type planner struct {
	Situation
	Options
	before, after map[Name][]Record
	answers       map[string]*Answer
}

// read makes a name part of the plan.
func (p *planner) read(name Name) []Record {
	if _, known := p.before[name]; !known {
		p.before[name] = slices.Clone(p.Have(name))
		p.after[name] = slices.Clone(p.before[name])
	}
	return p.after[name]
}

func (p *planner) put(r Record) {
	p.read(r.Name)
	p.remove(r.Key())
	p.after[r.Name] = append(p.after[r.Name], r)
}

func (p *planner) remove(k Key) {
	p.after[k.Name] = slices.DeleteFunc(p.after[k.Name], func(r Record) bool { return r.Key() == k })
}

func (p *planner) find(k Key) (Record, bool) {
	for _, r := range p.read(k.Name) {
		if r.Key() == k {
			return r, true
		}
	}
	return Record{}, false
}

// current are the sets of our types at the name, without markers.
func (p *planner) current() []Record {
	return slices.DeleteFunc(slices.Clone(p.read(p.Name)), func(r Record) bool {
		return !slices.Contains(p.Types, r.Type) || r.Type == TXT && slices.ContainsFunc(r.Values, p.isMarker)
	})
}

func (p *planner) isMarker(value string) bool {
	_, ok := p.Ownership.read(value)
	return ok
}

// answer is what the object of an endpoint is told; several sets of it share one answer.
func (p *planner) answer(e Endpoint, tell func(*Answer)) {
	for _, object := range append([]lb.Object{e.From}, e.also...) {
		key := object.String()
		if p.answers[key] == nil {
			p.answers[key] = &Answer{Object: object, Name: p.Name, Zone: p.Zone.ID}
		}
		tell(p.answers[key])
	}
}

func (p *planner) refuse(e Endpoint, reason lb.Reason, value, problem, fix string) {
	v := refusal(e, reason, value, problem, fix)
	p.answer(e, func(a *Answer) {
		if a.Verdict == nil {
			told := *v
			told.Object = a.Object
			a.Verdict = &told
		}
	})
}

// shape sorts what is asked by set identifier.
func (p *planner) shape() map[string]*row {
	rows := map[string]*row{}
	for _, e := range merged(p.Endpoints) {
		r := rows[e.SetID]
		if r == nil {
			r = &row{}
			rows[e.SetID] = r
		}
		p.answer(e, func(*Answer) {})
		if e.Held {
			r.held = true
			continue
		}
		s := shape(e, p.Zone, p.Options, p.Balancers)
		if s.waiting != "" {
			p.answer(e, func(a *Answer) { a.Waiting = s.waiting })
		}
		switch {
		case s.verdict != nil:
			p.refuse(e, s.verdict.Reason, s.verdict.Value, s.verdict.Problem, s.verdict.Fix)
		case s.coming:
			r.waiting = true
			r.held = r.held || p.holds(e)
		}
		for _, w := range s.wants {
			switch {
			case slices.Contains(p.Types, w.Type):
				r.wants = append(r.wants, w)
			case len(s.wants) == 1 && !e.Optional:
				p.refuse(e, lb.RecordRefused, string(w.Type), "records of this type are not served", "Add the type with --managed-record-types")
			}
		}
	}
	return rows
}

// holds says whether a set of the name is there for an endpoint's object.
func (p *planner) holds(e Endpoint) bool {
	return slices.ContainsFunc(p.current(), func(r Record) bool {
		m, ok := p.marker(r)
		return ok && r.SetID == e.SetID && m.labels[fromLabel] == e.Resource()
	})
}

// choose takes one want for each type. The one that is there for its object stays; else the least counts, so that the
// choice does not depend on the order of events. The others are told who has the name.
func (p *planner) choose(r *row) []want {
	wants := r.wants
	other := slices.ContainsFunc(wants, func(w want) bool { return w.Type != CNAME })
	byType := map[Type][]want{}
	for _, w := range wants {
		if w.Type == CNAME && other {
			p.refuse(w.endpoint, lb.RecordConflict, w.Answer(), "another object asks for addresses of this name, and a CNAME cannot stand beside them", "Use another name, or remove it from the other object")
			continue
		}
		byType[w.Type] = append(byType[w.Type], w)
	}
	var out []want
	for _, t := range slices.Sorted(maps.Keys(byType)) {
		winner := p.winner(byType[t])
		out = append(out, winner)
		for _, w := range byType[t] {
			same := w.Record
			same.TTL = winner.TTL
			switch {
			case w.endpoint.Resource() == winner.endpoint.Resource():
			case same.Equal(winner.Record):
				p.answer(w.endpoint, func(a *Answer) { a.Records = append(a.Records, winner.Record) })
			default:
				p.refuse(w.endpoint, lb.RecordConflict, w.Answer(), fmt.Sprintf("the name has what %s asks for: %s", winner.endpoint.From, winner.Answer()), "Use another name, or remove it from the other object")
			}
		}
	}
	return out
}

func (p *planner) winner(wants []want) want {
	if r, ok := p.find(wants[0].Key()); ok {
		if m, marked := p.marker(r); marked {
			for _, w := range wants {
				if m.labels[fromLabel] == w.endpoint.Resource() {
					return w
				}
			}
		}
	}
	return slices.MinFunc(wants, func(a, b want) int {
		return cmp.Or(compareTargets(a.endpoint.Targets, b.endpoint.Targets), cmp.Compare(a.endpoint.Resource(), b.endpoint.Resource()))
	})
}

// compareTargets: fewer before more, addresses before names, addresses by number and names by letters.
func compareTargets(a, b []string) int {
	if c := cmp.Compare(len(a), len(b)); c != 0 {
		return c
	}
	return slices.CompareFunc(a, b, func(x, y string) int {
		ax, errX := netip.ParseAddr(x)
		ay, errY := netip.ParseAddr(y)
		switch {
		case errX == nil && errY == nil:
			return ax.Compare(ay)
		case errX == nil:
			return -1
		case errY == nil:
			return 1
		}
		return strings.Compare(x, y)
	})
}

// removeUnwanted takes sets away that nobody asks for and that are ours, as far as the policy lets it.
func (p *planner) removeUnwanted(rows map[string]*row, chosen []want) {
	for _, r := range p.current() {
		wanted := slices.ContainsFunc(chosen, func(w want) bool { return w.Key() == r.Key() })
		if wanted || rows[r.SetID].held || !p.owned(r) {
			continue
		}
		if slices.ContainsFunc(chosen, func(w want) bool { return excludes(r, w.Record) && p.foreignIn(w.Record) }) {
			continue // what is to replace it cannot be written
		}
		inTheWay := slices.ContainsFunc(chosen, func(w want) bool { return !w.spare && excludes(r, w.Record) })
		if inTheWay && p.Policy != CreateOnly || !rows[r.SetID].waiting && p.Policy == Sync {
			p.remove(r.Key())
			p.unmark(r)
		}
	}
}

// excludes says whether two sets cannot stand side by side.
func excludes(a, b Record) bool {
	if a.Type == CNAME || b.Type == CNAME {
		return a.Type != b.Type || (a.SetID == "") != (b.SetID == "")
	}
	return a.Type == b.Type && a.Key() != b.Key() && (a.SetID == "" || b.SetID == "" || a.Routing.Policy != b.Routing.Policy)
}

// hold tells those who ask for a name that stays as it is.
func (p *planner) hold(r *row) {
	for _, w := range r.wants {
		p.answer(w.endpoint, func(a *Answer) {
			a.Waiting = cmp.Or(a.Waiting, "the name stays as it is until it is known what the object that has it asks for")
		})
	}
}

// possible leaves out what an object asks for where a part of it cannot be written, and tells the object.
func (p *planner) possible(chosen []want) []want {
	blocked := map[string]bool{}
	for _, w := range chosen {
		hindrance := p.obstacle(w)
		if hindrance == nil && p.Policy == CreateOnly {
			if old, exists := p.find(w.Key()); exists && !old.Equal(p.complete(w)) {
				hindrance = &obstacle{lb.RecordRefused, old.Answer(), "the policy create-only changes nothing that is there", "Delete the record, or use another policy"}
			}
		}
		if hindrance == nil {
			hindrance = p.markObstacle(w)
		}
		if hindrance != nil {
			p.refuse(w.endpoint, hindrance.reason, hindrance.value, hindrance.problem, hindrance.fix)
			blocked[w.endpoint.Resource()+" "+w.SetID] = true
		}
	}
	return slices.DeleteFunc(chosen, func(w want) bool { return blocked[w.endpoint.Resource()+" "+w.SetID] })
}

// complete is a wanted set with its TTL: a set that is there keeps the one that it has where the object says none.
func (p *planner) complete(w want) Record {
	r := w.Record
	if r.TTL == 0 && !r.IsAlias() {
		r.TTL = DefaultTTL
		if old, exists := p.find(r.Key()); exists && !old.IsAlias() {
			r.TTL = old.TTL
		}
	}
	return r
}

// place puts a wanted set in, with its marker.
func (p *planner) place(w want) {
	old, exists := p.find(w.Key())
	if w.spare && !exists {
		return
	}
	r := p.complete(w)
	same := exists && old.Equal(r)
	if same {
		r = old // in the spelling that it has
	}
	p.mark(r, w.endpoint, same)
	p.put(r)
	p.answer(w.endpoint, func(a *Answer) { a.Records = append(a.Records, r) })
}

// foreignIn says whether something that is not ours hinders a set.
func (p *planner) foreignIn(r Record) bool {
	return slices.ContainsFunc(p.read(p.Name), func(other Record) bool {
		return (other.Key() == r.Key() || excludes(other, r)) && !p.owned(other)
	})
}

// obstacle is what hinders a set from being written.
type obstacle struct {
	reason              lb.Reason
	value, problem, fix string
}

// obstacle finds what is there at the name and not ours.
func (p *planner) obstacle(w want) *obstacle {
	r := w.Record
	_, exists := p.find(r.Key())
	if w.spare && !exists {
		return nil
	}
	for _, other := range p.read(p.Name) {
		foreign := !p.owned(other)
		beside := !exists && other.SetID == r.SetID && slices.Contains(p.Types, other.Type) && other.Type != TXT
		switch {
		case other.Key() != r.Key() && excludes(other, r):
			return notOurs(other, fmt.Sprintf("the zone has a record %s of this name%s, and the two cannot stand side by side", other.Type, p.ownerOf(other)))
		case foreign && (other.Key() == r.Key() || beside):
			return notOurs(other, fmt.Sprintf("the zone has a record %s of this name that is not ours%s", other.Type, p.ownerOf(other)))
		}
	}
	return nil
}

func notOurs(other Record, problem string) *obstacle {
	return &obstacle{lb.RecordNotOwned, other.Answer(), problem, "Delete it, or use another name"}
}

// OwnsAny says whether some set of a name is ours.
func OwnsAny(s Situation, o Options) bool {
	p := planner{Situation: s, Options: o, before: map[Name][]Record{}, after: map[Name][]Record{}}
	return slices.ContainsFunc(p.current(), p.owned)
}
