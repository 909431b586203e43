package localaws

import (
	"testing"
	"time"

	"github.com/sluicehq/sluice/internal/proxy"
)

// still is a data plane that does nothing.
type still struct{}

func (still) Apply(proxy.Config) error                        { return nil }
func (still) Health(proxy.TargetGroupID) []proxy.TargetHealth { return nil }
func (still) Close()                                          {}

// TestLagOfTargets: a Network Load Balancer's group gets and loses targets late; an Application Load Balancer's at once.
func TestLagOfTargets(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s, err := New(Options{
		DataPlane: still{}, Now: func() time.Time { return now },
		AfterFunc: func(time.Duration, func()) func() bool { return func() bool { return true } },
		Profile:   Profile{Registration: 90 * time.Second, Deregistration: 30 * time.Second},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	config := func(protocol string, ids ...string) proxy.Config {
		g := proxy.TargetGroup{ID: "g", Protocol: protocol}
		for _, id := range ids {
			g.Targets = append(g.Targets, proxy.Target{ID: id, Port: 80})
		}
		return proxy.Config{TargetGroups: []proxy.TargetGroup{g}}
	}
	has := func(c proxy.Config, want ...string) {
		t.Helper()
		got := map[string]bool{}
		for _, x := range c.TargetGroups[0].Targets {
			got[x.ID] = true
		}
		for _, id := range want {
			if !got[id] {
				t.Errorf("%s is not there: %v", id, got)
			}
		}
		if len(got) != len(want) {
			t.Errorf("have %v, want %v", got, want)
		}
	}
	key := func(id string) proxy.TargetKey { return proxy.TargetKey{ID: id, Port: 80} }
	has(s.delay(config("TCP", "a")))
	if !s.lag.enters("g", key("a")) || s.lag.enters("g", key("b")) {
		t.Error("a is entering, b is not")
	}
	now = now.Add(89 * time.Second)
	has(s.delay(config("TCP", "a")))
	now = now.Add(time.Second)
	has(s.delay(config("TCP", "a")), "a")
	has(s.delay(config("TCP", "b")), "a")
	if !s.lag.leaves("g", key("a")) || s.lag.enters("g", key("a")) {
		t.Error("a is leaving")
	}
	has(s.delay(config("TCP", "a", "b")), "a") // back before it was out
	if s.lag.leaves("g", key("a")) {
		t.Error("a stays")
	}
	has(s.delay(config("TCP", "b")), "a")
	now = now.Add(30 * time.Second)
	has(s.delay(config("TCP", "b")))
	now = now.Add(60 * time.Second)
	has(s.delay(config("TCP", "b")), "b")
	has(s.delay(config("HTTP", "b", "c")), "b", "c")
}
