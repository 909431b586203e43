package envoy

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"

	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/sluicehq/sluice/internal/engine"
	"github.com/sluicehq/sluice/internal/engine/envoy/ads"
	"github.com/sluicehq/sluice/internal/lb"
	"github.com/sluicehq/sluice/internal/plan"
)

// RefusedByEnvoy is the reason of verdicts about what compiled well and no Envoy takes.
const RefusedByEnvoy lb.Reason = "RefusedByEnvoy"

// Options say how the fleet's listeners are.
type Options struct {
	HTTPAddress    string
	HTTPPort       uint16
	HTTPSAddress   string
	HTTPSPort      uint16
	HTTPAccessLog  string // a path, or empty for none
	HTTPSAccessLog string
	ProxyProtocol  bool   // whether connections begin with a PROXY protocol header
	TrustedHops    uint32 // how many proxies before the fleet are believed in x-forwarded-for
}

// Engine puts stacks together for the whole fleet. It is safe for concurrent use.
type Engine struct {
	options Options
	server  *ads.Server
	rest    ads.Resource // otherHosts where no stack has them: it has no routes, and answers 404

	mu        sync.Mutex
	stacks    map[lb.StackID]map[plan.ID]resource
	shared    map[ads.Key]int // how many stacks have it
	backends  map[string]backend
	users     map[lb.Backend]map[string]bool // clusters by where their endpoints come from
	endpoints map[lb.Backend][]lb.Endpoint
}

var _ engine.Engine = (*Engine)(nil)

// New makes an engine that serves by the server. The listener without TLS is there at once, and answers 404.
func New(server *ads.Server, o Options) (*Engine, error) {
	e := &Engine{
		options: o, server: server, stacks: map[lb.StackID]map[plan.ID]resource{}, shared: map[ads.Key]int{},
		backends: map[string]backend{}, users: map[lb.Backend]map[string]bool{}, endpoints: map[lb.Backend][]lb.Endpoint{},
	}
	plain, err := ads.NewResource(ads.Key{Type: ads.Listener, Name: httpListener}, o.plainListener())
	if err != nil {
		return nil, err
	}
	routes, err := ads.NewResource(ads.Key{Type: ads.RouteTable, Name: httpListener}, plainTable())
	if err != nil {
		return nil, err
	}
	rest, err := ads.NewResource(otherHosts, &route.VirtualHost{Name: otherHosts.Name, Domains: []string{"*"}})
	if err != nil {
		return nil, err
	}
	e.rest = rest
	server.Update([]ads.Resource{plain, routes, rest}, nil)
	return e, nil
}

// otherHosts is the virtual host for what no other is for. It is always there: Envoy does not use a table before it has
// got a virtual host for it.
var otherHosts = ads.Key{Type: ads.VirtualHost, Name: plainName("*")}

// Features are none of those that compile asks for: they are about load balancers of one stack each.
func (*Engine) Features() lb.Features { return nil }

// Plan compares a stack with what is served of it. There is nothing outside to read.
func (e *Engine) Plan(_ context.Context, want lb.Stack) (plan.Plan, []lb.Verdict, error) {
	wanted, err := e.options.lower(want)
	if err != nil {
		return plan.Plan{}, nil, fmt.Errorf("envoy: lower stack %s: %w", want.ID, err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	var have []plan.Resource
	for _, r := range e.stacks[want.ID] {
		have = append(have, r)
	}
	return plan.Plan{Stack: want.ID, Steps: plan.Diff(have, wanted)}, nil, nil
}

// Apply has the Envoys told, in an order that breaks nothing. It does not wait for them.
func (e *Engine) Apply(_ context.Context, p plan.Plan) plan.Result {
	e.mu.Lock()
	defer e.mu.Unlock()
	stack := e.stacks[p.Stack]
	if stack == nil {
		stack = map[plan.ID]resource{}
		e.stacks[p.Stack] = stack
	}
	var result plan.Result
	u := update{engine: e}
	for _, step := range p.Steps {
		if before, ok := stack[step.ID]; ok && step.Verb == plan.Delete {
			delete(stack, step.ID)
			u.remove(before)
		}
		if after, ok := step.After.(resource); ok {
			_, had := stack[step.ID]
			stack[step.ID] = after
			u.put(after, had)
		}
	}
	if len(stack) == 0 {
		delete(e.stacks, p.Stack)
	}
	err := u.send()
	for _, step := range p.Steps {
		result.Steps = append(result.Steps, plan.StepResult{Step: step, Err: err})
	}
	return result
}

// Observe has nothing to tell: the fleet's address is its Service's, which others watch.
func (*Engine) Observe(lb.StackID) lb.Observed { return lb.Observed{} }

// Stacks are those that are served, sorted.
func (e *Engine) Stacks() []lb.StackID {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Sorted(maps.Keys(e.stacks))
}

// Refusals are verdicts about the objects of stacks that some Envoy does not take as they are.
func (e *Engine) Refusals() map[lb.StackID][]lb.Verdict {
	refused := map[ads.Key]string{}
	for _, r := range e.server.Refusals() {
		refused[r.Key] = r.Message
	}
	if len(refused) == 0 {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	out := map[lb.StackID][]lb.Verdict{}
	for id, stack := range e.stacks {
		for _, r := range stack {
			message, ok := refused[r.wire.Key]
			if !ok {
				continue
			}
			for _, o := range r.from {
				out[id] = append(out[id], lb.Verdict{
					Object: o, Severity: lb.Refused, Reason: RefusedByEnvoy, Problem: "Envoy refuses " + r.id.String() + ": " + message,
					Fix: "Change what it complains about; until then Envoy goes on with what it had",
				})
			}
		}
		out[id] = lb.SortVerdicts(out[id])
	}
	return out
}

// update gathers what goes to the server at once.
type update struct {
	engine *Engine
	set    []ads.Resource
	gone   []ads.Key
	chains bool
	err    error
}

func (u *update) put(r resource, had bool) {
	e := u.engine
	if r.id.Kind == chainKind {
		u.chains = true
		return
	}
	if !had {
		e.shared[r.wire.Key]++
	}
	if r.wire.Endpoints != "" {
		e.backends[r.wire.Name] = r.backend
		e.use(r, true)
		assignment, err := e.assignment(r.wire.Name)
		if err != nil {
			u.err = err
			return
		}
		u.set = append(u.set, assignment)
	}
	u.set = append(u.set, r.wire)
}

func (u *update) remove(r resource) {
	e := u.engine
	if r.id.Kind == chainKind {
		u.chains = true
		return
	}
	if e.shared[r.wire.Key]--; e.shared[r.wire.Key] > 0 {
		return
	}
	delete(e.shared, r.wire.Key)
	if r.wire.Key == otherHosts {
		u.set = append(u.set, e.rest)
		return
	}
	u.gone = append(u.gone, r.wire.Key)
	if r.wire.Endpoints != "" {
		e.use(r, false)
		delete(e.backends, r.wire.Name)
		u.gone = append(u.gone, ads.Key{Type: ads.Endpoints, Name: r.wire.Name})
	}
}

// use notes whether a cluster has its endpoints, or the ports of its health checks, from a backend.
func (e *Engine) use(r resource, uses bool) {
	for _, b := range []lb.Backend{r.backend.traffic, r.backend.check} {
		switch {
		case b == lb.Backend{}:
		case !uses:
			delete(e.users[b], r.wire.Name)
			if len(e.users[b]) == 0 {
				delete(e.users, b)
			}
		default:
			if e.users[b] == nil {
				e.users[b] = map[string]bool{}
			}
			e.users[b][r.wire.Name] = true
		}
	}
}

func (u *update) send() error {
	if u.chains {
		u.listener()
	}
	if u.err != nil {
		return fmt.Errorf("envoy: %w", u.err)
	}
	u.engine.server.Update(u.set, u.gone)
	return nil
}

// listener makes the TLS listener anew from all stacks' filter chains. Without any there is none: nothing could answer.
func (u *update) listener() {
	var chains []*listener.FilterChain
	for _, stack := range u.engine.stacks {
		for id, r := range stack {
			if id.Kind == chainKind {
				chains = append(chains, r.message.(*listener.FilterChain))
			}
		}
	}
	key := ads.Key{Type: ads.Listener, Name: httpsListener}
	if len(chains) == 0 {
		u.gone = append(u.gone, key)
		return
	}
	slices.SortFunc(chains, func(a, b *listener.FilterChain) int {
		switch {
		case a.GetName() < b.GetName():
			return -1
		case a.GetName() > b.GetName():
			return 1
		default:
			return 0
		}
	})
	r, err := ads.NewResource(key, u.engine.options.secureListener(chains))
	if err != nil {
		u.err = err
		return
	}
	u.set = append(u.set, r)
}

// NewOffline makes an engine that serves nobody, for looking at plans.
func NewOffline(o Options) (*Engine, error) {
	return New(ads.New(slog.New(slog.DiscardHandler)), o)
}
