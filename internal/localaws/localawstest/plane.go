package localawstest

import (
	"sync"

	"github.com/sluicehq/sluice/internal/proxy"
)

// Plane is a data plane without sockets. A target is healthy as soon as its group is in use, unless the test says
// otherwise; a target that is taken away is gone at once, unless the test holds it.
type Plane struct {
	mu       sync.Mutex
	config   proxy.Config
	states   map[string]proxy.TargetHealth // by target ID
	hold     bool
	draining map[proxy.TargetGroupID][]proxy.TargetKey
	fail     error
}

// NewPlane returns a plane that has nothing to do.
func NewPlane() *Plane {
	return &Plane{states: map[string]proxy.TargetHealth{}, draining: map[proxy.TargetGroupID][]proxy.TargetKey{}}
}

// SetHealth decides the health of a target, by its ID; an empty state leaves it to the plane again.
func (p *Plane) SetHealth(id, state, reason, description string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if state == "" {
		delete(p.states, id)
		return
	}
	p.states[id] = proxy.TargetHealth{State: state, Reason: reason, Description: description}
}

// HoldDraining decides whether targets that are taken away stay draining. Ending it lets all go.
func (p *Plane) HoldDraining(hold bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.hold = hold; !hold {
		clear(p.draining)
	}
}

// FailApply makes Apply fail with an error, until nil is given.
func (p *Plane) FailApply(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fail = err
}

// Config is what was applied last.
func (p *Plane) Config() proxy.Config {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.config
}

// Apply takes the wanted state.
func (p *Plane) Apply(c proxy.Config) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fail != nil {
		return p.fail
	}
	if p.hold {
		for _, g := range p.config.TargetGroups {
			for _, t := range g.Targets {
				if !has(c, g.ID, t) {
					p.draining[g.ID] = append(p.draining[g.ID], proxy.TargetKey{ID: t.ID, Port: t.Port})
				}
			}
		}
	}
	p.config = c
	return nil
}

func has(c proxy.Config, group proxy.TargetGroupID, t proxy.Target) bool {
	for _, g := range c.TargetGroups {
		for _, other := range g.Targets {
			if g.ID == group && other == t {
				return true
			}
		}
	}
	return false
}

// Health reports the targets of a group.
func (p *Plane) Health(id proxy.TargetGroupID) []proxy.TargetHealth {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []proxy.TargetHealth
	for _, g := range p.config.TargetGroups {
		if g.ID != id {
			continue
		}
		for _, t := range g.Targets {
			h, decided := p.states[t.ID]
			switch {
			case decided:
			case p.used(id):
				h.State = "healthy"
			default:
				h.State, h.Reason = "unused", "Target.NotInUse"
				h.Description = "Target group is not configured to receive traffic from the load balancer"
			}
			h.Target = proxy.TargetKey{ID: t.ID, Port: t.Port}
			out = append(out, h)
		}
	}
	for _, key := range p.draining[id] {
		out = append(out, proxy.TargetHealth{
			Target: key, State: "draining", Reason: "Target.DeregistrationInProgress",
			Description: "Target deregistration is in progress",
		})
	}
	return out
}

// used tells whether a listener forwards to a group.
func (p *Plane) used(id proxy.TargetGroupID) bool {
	forwards := func(a proxy.Action) bool {
		if a.Forward != nil {
			for _, g := range a.Forward.TargetGroups {
				if g.ID == id {
					return true
				}
			}
		}
		return false
	}
	for _, b := range p.config.NetworkLoadBalancers {
		for _, l := range b.Listeners {
			if forwards(proxy.Action{Forward: &l.Forward}) {
				return true
			}
		}
	}
	for _, b := range p.config.LoadBalancers {
		for _, l := range b.Listeners {
			if forwards(l.Default) {
				return true
			}
			for _, r := range l.Rules {
				if forwards(r.Action) {
					return true
				}
			}
		}
	}
	return false
}

// Close does nothing: there is nothing open.
func (p *Plane) Close() {}
