// Package zonetest is the contract of dns.Provider: what every kind of zone must do under a dns.Keeper, with a fault and
// a crash at every call.
package zonetest

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicehq/sluice/internal/dns"
	"github.com/sluicehq/sluice/internal/lb"
)

// World is one empty zone in a place of its own. Besides the zone's own records it has none.
type World interface {
	// Provider is a new one that reaches the zone; failures are passed on, not tried again.
	Provider(t testing.TB) dns.Provider
	// Zone is the zone's name.
	Zone() dns.Name
	// Contents are all record sets, read by other means than the provider's.
	Contents(t testing.TB) []string
	// Plant puts a record in that others made.
	Plant(t testing.TB, r dns.Record)
	// Fail lets the n-th change from now on fail, before or after it has taken effect; the caller gets no answer either
	// way. It returns whether that has happened yet.
	Fail(n int, after bool) (struck func() bool)
}

// Run checks the promises of dns.Provider.
func Run(t *testing.T, newWorld func(testing.TB) World) {
	t.Run("one apply converges and empty leaves nothing", func(t *testing.T) { converges(t, newWorld(t)) })
	t.Run("what others made survives", func(t *testing.T) { foreignSurvives(t, newWorld(t)) })
	t.Run("one bad name fails alone", func(t *testing.T) { badNameAlone(t, newWorld(t)) })
	t.Run("the audit finds what others changed", func(t *testing.T) { audit(t, newWorld(t)) })
	t.Run("a walk ends where a fresh start would", func(t *testing.T) { walk(t, newWorld) })
	for _, s := range scenarios {
		t.Run("fault at every call of "+s.name, func(t *testing.T) { everyFault(t, newWorld, s, false) })
		t.Run("crash at every call of "+s.name, func(t *testing.T) { everyFault(t, newWorld, s, true) })
	}
}

// state is what is asked of names, by label; an address, or a host.
type state map[string][]string

var everything = state{
	"web": {"192.0.2.1"}, "both": {"192.0.2.1", "2001:db8::1"}, "many": {"192.0.2.3", "192.0.2.1", "192.0.2.2"},
	"host": {"www.example.com"}, "*": {"192.0.2.9"}, "": {"192.0.2.8"}, strings.Repeat("l", 63): {"192.0.2.7"},
}

var scenarios = []struct {
	name     string
	from, to state
}{
	{"creation", state{}, everything},
	{"a change", everything, state{"web": {"192.0.2.2"}, "both": {"2001:db8::2"}, "host": {"192.0.2.4"}, "many": {"other.example.com"}, "new": {"192.0.2.5"}}},
	{"deletion", everything, state{}},
}

// options are those of every test: batches so small that a state takes several.
func options() dns.KeeperOptions {
	return dns.KeeperOptions{
		Options: dns.Options{Policy: dns.Sync, Ownership: dns.Ownership{Owner: "me"}, Types: []dns.Type{dns.A, dns.AAAA, dns.CNAME}},
		Limits:  dns.Limits{Changes: 8, Pause: time.Hour},
		Sleep:   func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
	}
}

func newKeeper(t testing.TB, w World) *dns.Keeper {
	t.Helper()
	k, err := dns.NewKeeper(w.Provider(t), options())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	return k
}

func (s state) endpoints(zone dns.Name) map[dns.Name][]dns.Endpoint {
	out := map[dns.Name][]dns.Endpoint{}
	for label, targets := range s {
		name := dns.Name(strings.TrimPrefix(label+"."+string(zone), "."))
		byType := map[dns.Type][]string{}
		for _, target := range targets {
			byType[dns.TypeOf(target)] = append(byType[dns.TypeOf(target)], target)
		}
		for kind, list := range byType {
			out[name] = append(out[name], dns.Endpoint{
				Name: name, Type: kind, Targets: slices.Sorted(slices.Values(list)), From: lb.Object{Kind: "Service", Namespace: "default", Name: "web"},
			})
		}
	}
	return out
}

// plans are those for all names that are asked for or owned.
func plans(k *dns.Keeper, zone dns.Name, s state) []dns.NamePlan {
	endpoints := s.endpoints(zone)
	names := map[dns.Name]bool{}
	for _, n := range append(k.Owned(), slices.Collect(maps.Keys(endpoints))...) {
		names[n] = true
	}
	var out []dns.NamePlan
	for _, n := range slices.Sorted(maps.Keys(names)) {
		out = append(out, k.Plan(n, endpoints[n], nil)...)
	}
	return out
}

// pass applies a state once and returns the errors.
func pass(t testing.TB, k *dns.Keeper, zone dns.Name, s state) (failed []dns.Result) {
	t.Helper()
	for _, r := range k.Apply(t.Context(), plans(k, zone, s)) {
		if r.Err != nil {
			failed = append(failed, r)
		}
	}
	return failed
}

func changes(list []dns.NamePlan) []string {
	var out []string
	for _, p := range list {
		for _, c := range p.Changes {
			out = append(out, c.String())
		}
	}
	return out
}

// settle applies a state until nothing is left to do, which without failures is once.
func settle(t testing.TB, k *dns.Keeper, zone dns.Name, s state) {
	t.Helper()
	if failed := pass(t, k, zone, s); len(failed) > 0 {
		t.Fatalf("%s: %v", failed[0].Plan.Name, failed[0].Err)
	}
	if left := changes(plans(k, zone, s)); len(left) > 0 {
		t.Fatalf("a second plan is not empty: %v", left)
	}
}

func same(t testing.TB, what string, want, got []string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func converges(t *testing.T, w World) {
	before := w.Contents(t)
	k := newKeeper(t, w)
	for _, s := range []state{everything, scenarios[1].to, everything} {
		settle(t, k, w.Zone(), s)
		k = newKeeper(t, w) // one that has read the zone sees the same
		if left := changes(plans(k, w.Zone(), s)); len(left) > 0 {
			t.Errorf("after a restart there is something to do: %v", left)
		}
	}
	if got := len(k.Owned()); got != len(everything) {
		t.Errorf("%d names are owned, want %d: %v", got, len(everything), k.Owned())
	}
	settle(t, k, w.Zone(), state{})
	same(t, "after an empty want", before, w.Contents(t))
}

func foreignSurvives(t *testing.T, w World) {
	zone := w.Zone()
	for _, r := range []dns.Record{
		{Name: "web." + zone, Type: dns.A, TTL: 60, Values: []string{"198.51.100.1"}},
		{Name: "host." + zone, Type: dns.TXT, TTL: 60, Values: []string{`"mine"`}},
		{Name: "a-many." + zone, Type: dns.TXT, TTL: 60, Values: []string{`"heritage=external-dns,external-dns/owner=you,external-dns/resource=service/default/web"`}},
		{Name: "other." + zone, Type: dns.CNAME, TTL: 60, Values: []string{"x.example.com"}},
	} {
		w.Plant(t, r)
	}
	before := w.Contents(t)
	k := newKeeper(t, w)
	for _, s := range []state{everything, scenarios[1].to, {}} {
		settle(t, k, zone, s)
		for _, line := range before {
			if !slices.Contains(w.Contents(t), line) {
				t.Errorf("%s is gone", line)
			}
		}
	}
	same(t, "what is left", before, w.Contents(t))
}

func badNameAlone(t *testing.T, w World) {
	k := newKeeper(t, w)
	w.Plant(t, dns.Record{Name: "web." + w.Zone(), Type: dns.A, TTL: 60, Values: []string{"198.51.100.1"}}) // unknown to k
	failed := pass(t, k, w.Zone(), everything)
	if len(failed) != 1 || failed[0].Plan.Name != "web."+w.Zone() || !failed[0].Refused() || !failed[0].Stale {
		t.Fatalf("failed: %+v", failed)
	}
	settle(t, k, w.Zone(), everything)
	answers := k.Plan("web."+w.Zone(), everything.endpoints(w.Zone())["web."+w.Zone()], nil)[0].Answers
	if answers[0].Verdict == nil || answers[0].Verdict.Reason != lb.RecordNotOwned {
		t.Errorf("%+v", answers)
	}
	if got := len(k.Owned()); got != len(everything)-1 {
		t.Errorf("%d names are owned: %v", got, k.Owned())
	}
}

// audit goes through the zone page by page.
func audit(t *testing.T, w World) {
	k := newKeeper(t, w)
	settle(t, k, w.Zone(), everything)
	if found := auditAll(t, k); len(found) > 0 {
		t.Errorf("an untouched zone differs at %v", found)
	}
	w.Plant(t, dns.Record{Name: "new." + w.Zone(), Type: dns.A, TTL: 60, Values: []string{"198.51.100.1"}})
	other := newKeeper(t, w)
	changed := maps.Clone(everything)
	delete(changed, "web")
	settle(t, other, w.Zone(), changed)
	found := auditAll(t, k)
	if !slices.Contains(found, "new."+w.Zone()) || !slices.Contains(found, "web."+w.Zone()) || slices.Contains(found, "many."+w.Zone()) {
		t.Errorf("found %v", found)
	}
	settle(t, k, w.Zone(), everything)
}

func auditAll(t testing.TB, k *dns.Keeper) []dns.Name {
	t.Helper()
	var found []dns.Name
	for range 20 {
		list, err := k.Audit(t.Context(), k.Zones()[0])
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, list...)
	}
	return found
}

func walk(t *testing.T, newWorld func(testing.TB) World) {
	for seed := range uint64(3) {
		r := rand.New(rand.NewPCG(seed, 1))
		walked, fresh := newWorld(t), newWorld(t)
		k := newKeeper(t, walked)
		var last state
		for range 12 {
			last = anyState(r)
			settle(t, k, walked.Zone(), last)
		}
		settle(t, newKeeper(t, fresh), fresh.Zone(), last)
		same(t, fmt.Sprint("walk ", seed), contents(t, fresh), contents(t, walked))
	}
}

// contents are a world's without what differs between two: serial numbers.
func contents(t testing.TB, w World) []string {
	return slices.DeleteFunc(w.Contents(t), func(line string) bool { return strings.Contains(line, " SOA ") || strings.Contains(line, " NS ") })
}

func anyState(r *rand.Rand) state {
	s := state{}
	targets := [][]string{{"192.0.2.1"}, {"192.0.2.1", "192.0.2.2"}, {"2001:db8::1", "192.0.2.1"}, {"www.example.com"}, {"other.example.com"}}
	for _, label := range slices.Sorted(maps.Keys(everything)) {
		if pick := r.IntN(len(targets) + 1); pick < len(targets) && (label != "" || pick < 3) {
			s[label] = targets[pick]
		}
	}
	return s
}

func everyFault(t *testing.T, newWorld func(testing.TB) World, s struct {
	name     string
	from, to state
}, crash bool) {
	direct := newWorld(t)
	k := newKeeper(t, direct)
	settle(t, k, direct.Zone(), s.from)
	settle(t, k, direct.Zone(), s.to)
	want := contents(t, direct)
	for n := 1; ; n++ {
		struck := false
		for _, after := range []bool{false, true} {
			w := newWorld(t)
			k := newKeeper(t, w)
			settle(t, k, w.Zone(), s.from)
			hit := w.Fail(n, after)
			failed := pass(t, k, w.Zone(), s.to)
			if !hit() {
				continue
			}
			struck = true
			if len(failed) == 0 {
				t.Errorf("call %d: a lost answer is no failure", n)
			}
			if crash {
				k = newKeeper(t, w)
			}
			for range 4 { // an answer that was lost shows only when the change is tried again
				if len(pass(t, k, w.Zone(), s.to)) == 0 {
					break
				}
			}
			settle(t, k, w.Zone(), s.to)
			same(t, fmt.Sprintf("after a failure of call %d (after=%t)", n, after), want, contents(t, w))
		}
		if !struck {
			if n == 1 {
				t.Error("no call was made")
			}
			return
		}
	}
}
