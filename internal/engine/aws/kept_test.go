package aws_test

import (
	"strings"
	"testing"

	"github.com/sluicehq/sluice/internal/engine/enginetest"
	"github.com/sluicehq/sluice/internal/lb"
)

// What is kept stays, what it shares is only added to, and what the others let go of goes.
func TestKeptMembers(t *testing.T) {
	w := newWorld(t)
	e := w.load(t)
	web := enginetest.Stack("web", enginetest.Shape{Ports: []uint16{80, 8080}, Rules: two.Rules, Tag: "blue"})
	for i := range web.LoadBalancers[0].Listeners {
		web.LoadBalancers[0].Listeners[i].Default = web.LoadBalancers[0].Listeners[i].Rules[0].Action
	}
	done(t, apply(t, e, web))
	before := w.Contents(t)

	// Everything is the kept member's: a stack without anything but it changes nothing.
	rest := enginetest.Stack("web", enginetest.Shape{Internal: true, CIDRs: []string{"10.0.0.0/8"}})
	rest.Kept = web.Members
	rest.LoadBalancers[0].Listeners[0].Rules = []lb.Rule{{Kept: true, From: web.Members[0]}}
	done(t, apply(t, e, rest))
	if got := strings.Replace(w.Contents(t), "tcp 80 0.0.0.0/0 tcp 80 10.0.0.0/8", "tcp 80 0.0.0.0/0", 1); got != before {
		t.Errorf("before\n%s\nafter\n%s", before, got)
	}

	// Nothing is: target groups go, the listeners stay.
	rest.Kept = []lb.Object{{Kind: "Ingress", Namespace: "default", Name: "other"}}
	rest.LoadBalancers[0].Listeners[0].Rules[0].From = rest.Kept[0]
	done(t, apply(t, e, rest))
	got := w.Contents(t)
	if strings.Contains(got, "tg k8s") || !strings.Contains(got, ":8080 HTTP fixed-response 404") || !strings.Contains(got, "internet-facing") {
		t.Error(got)
	}
	if p, _, err := e.Plan(t.Context(), rest); err != nil || !p.Empty() {
		t.Error(p.Steps, err)
	}
}
