package aws

import (
	"slices"
	"testing"
	"time"

	"github.com/sluicehq/sluice/internal/lb"
)

func TestAnAuditDoesNotOverwriteWhatIsNewer(t *testing.T) {
	began := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	now := began.Add(-time.Hour)
	m := newMirror("demo", func() time.Time { return now })
	group := func(name, stack string) targetGroup {
		return targetGroup{ARN: "arn-" + name, Name: name, Tags: tracking("demo", lb.StackID(stack), "x")}
	}
	put := func(g targetGroup) {
		m.write(func(now time.Time) { m.targetGroups.put(g.ARN, g, now) })
	}
	for _, name := range []string{"same", "changed", "gone", "removed here"} {
		put(group(name, name))
	}
	now = began.Add(time.Second)
	put(group("made here", "made here"))
	m.write(func(now time.Time) { m.targetGroups.remove("arn-removed here", now) })

	changed := group("changed", "changed")
	changed.Port = 81
	read := map[string]targetGroup{}
	for _, g := range []targetGroup{group("same", "same"), changed, group("removed here", "removed here"), group("new", "new")} {
		read[g.ARN] = g
	}
	got := m.merge(inventory{listing: listing{targetGroups: read}}, began)
	if want := []lb.StackID{"changed", "gone", "new"}; !slices.Equal(got, want) {
		t.Errorf("changed stacks %v, want %v", got, want)
	}
	if got, want := m.stacksWithSomething(), []lb.StackID{"changed", "made here", "new", "same"}; !slices.Equal(got, want) {
		t.Errorf("stacks %v, want %v", got, want)
	}
}

func TestTagsThatAreNotOursAreLeftAlone(t *testing.T) {
	have := tracking("demo", "default/web", "LoadBalancer").with([]lb.Tag{
		{Key: "team", Value: "blue"}, {Key: clusterTag, Value: "the user may not"}, {Key: "aws:x", Value: "1"},
		{Key: "kubernetes.io/service-name", Value: "old"}, {Key: "cost", Value: "somebody else's"},
	})
	if have[clusterTag] != "demo" {
		t.Errorf("a user's tag took the place of ours: %v", have)
	}
	got := have.ours("demo", []string{"cost"})
	if want := []lb.Tag{{Key: "team", Value: "blue"}}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	set, gone := tagChanges(got, []lb.Tag{{Key: "a", Value: "b"}})
	if !slices.Equal(set, []lb.Tag{{Key: "a", Value: "b"}}) || !slices.Equal(gone, []string{"team"}) {
		t.Errorf("set %v, gone %v", set, gone)
	}
}
