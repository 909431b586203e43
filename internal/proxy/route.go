package proxy

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"
)

// frontend is a listener compiled for serving: immutable, and replaced as a whole. A request uses the one it began with.
type frontend struct {
	balancer                 LoadBalancerID
	listener                 ListenerID
	port                     uint16
	dnsName                  string
	idleTimeout              time.Duration
	keepAlive                time.Duration
	headers                  HeaderAttributes
	tls                      *terminator              // nil for plain HTTP
	tlsHeaders               [2]string                // the names for version and cipher suite, or empty
	certHeaders              *[certHeaderCount]string // the names for a client's certificate, or nil
	responses                fields                   // set in every answer
	counts                   *counts
	desync                   DesyncMode
	address                  netip.Addr
	accessLog, connectionLog bool
	rules                    []route
	fallback                 action
	signIns                  map[string]*authenticator // of all actions, by their keys
}

// route is a rule compiled.
type route struct {
	conditions []matcher
	action     action
}

// action is an Action with its groups found. Exactly one of forward, redirect and fixed is set, or none: then there is no target.
type action struct {
	signIn     *authenticator
	token      *ValidateJWT
	forward    []share
	stickiness time.Duration
	redirect   *Redirect
	fixed      *FixedResponse
	priority   int       // of the rule; 0 for the default one
	rewrites   *rewrites // of the rule, or nil
}

// share is one group of a forward action; upTo is the sum of the weights up to and including its own.
type share struct {
	group *group
	upTo  int
}

// compileFrontend compiles a listener. Errors cost the rule they are in: it never matches, or has no target.
func (s *Server) compileFrontend(lb *LoadBalancer, l *Listener, before *frontend) (*frontend, error) {
	groups := s.groups
	f := &frontend{
		port: l.Port, dnsName: lb.DNSName, headers: lb.Attributes, balancer: lb.ID, listener: l.ID,
		idleTimeout: orElse(lb.IdleTimeout, 60*time.Second), keepAlive: orElse(lb.ClientKeepAlive, time.Hour),
		responses: l.Attributes.responses(), counts: s.countsOf(lb.ID), desync: lb.DesyncMode,
		address: lb.Address, accessLog: lb.AccessLog, connectionLog: lb.ConnectionLog,
	}
	var errs []error
	var err error
	if l.TLS != nil {
		if f.tls, err = newTerminator(l.TLS, before, s.clock); err != nil {
			errs = append(errs, err)
		}
	}
	if l.TLS != nil && l.TLS.Mutual != nil {
		names := l.Attributes.ClientCert.names()
		f.certHeaders = &names
	}
	if lb.Attributes.TLSVersionAndCipherSuite {
		f.tlsHeaders = [2]string{
			orElse(l.Attributes.TLSVersionHeader, "X-Amzn-Tls-Version"),
			orElse(l.Attributes.TLSCipherSuiteHeader, "X-Amzn-Tls-Cipher-Suite"),
		}
	}
	if f.fallback, err = compileAction(l.Default, groups); err != nil {
		errs = append(errs, fmt.Errorf("default action: %w", err))
	}
	f.rules = make([]route, 0, len(l.Rules))
	for i := range l.Rules {
		rule, err := compileRule(&l.Rules[i], groups)
		if err != nil {
			errs = append(errs, fmt.Errorf("rule %s: %w", l.Rules[i].ID, err))
		}
		if rule != nil {
			f.rules = append(f.rules, *rule)
		}
	}
	f.collectSignIns()
	return f, errors.Join(errs...)
}

// collectSignIns finds who may have users sign in.
func (f *frontend) collectSignIns() {
	add := func(by *authenticator) {
		if by == nil {
			return
		}
		if f.signIns == nil {
			f.signIns = map[string]*authenticator{}
		}
		f.signIns[by.key] = by
	}
	add(f.fallback.signIn)
	for i := range f.rules {
		add(f.rules[i].action.signIn)
	}
}

// compileRule returns no route for a rule whose conditions are not understood.
func compileRule(r *Rule, groups map[TargetGroupID]*group) (*route, error) {
	rule := route{conditions: make([]matcher, len(r.Conditions))}
	for i, c := range r.Conditions {
		m, err := compileCondition(c)
		if err != nil {
			return nil, err
		}
		rule.conditions[i] = m
	}
	var err error
	rule.action, err = compileAction(r.Action, groups)
	rule.action.priority = r.Priority
	var trouble error
	if rule.action.rewrites, trouble = compileRewrites(r.Transforms); trouble != nil {
		return nil, errors.Join(err, trouble) // rather no rule than one that sends what was not meant
	}
	return &rule, err
}

func compileAction(a Action, groups map[TargetGroupID]*group) (action, error) {
	out := action{redirect: a.Redirect, fixed: a.FixedResponse, token: a.ValidateJWT}
	if a.Authenticate != nil {
		out.signIn = newAuthenticator(*a.Authenticate)
	}
	if a.Forward == nil {
		return out, nil
	}
	out.stickiness = a.Forward.Stickiness
	var errs []error
	sum := 0
	for _, w := range a.Forward.TargetGroups {
		g := groups[w.ID]
		if g == nil {
			errs = append(errs, fmt.Errorf("target group %s is not in the configuration", w.ID))
			continue
		}
		weight := max(w.Weight, 0)
		if len(a.Forward.TargetGroups) == 1 {
			weight = max(weight, 1) // a weight divides traffic between groups; alone, it divides nothing
		}
		sum += weight
		out.forward = append(out.forward, share{g, sum})
	}
	return out, errors.Join(errs...)
}

// route returns the action for a request: of the first rule whose conditions all hold, or the default one.
func (f *frontend) route(r *request, peer netip.Addr) *action {
next:
	for i := range f.rules {
		for _, m := range f.rules[i].conditions {
			if !m.match(r, peer) {
				continue next
			}
		}
		return &f.rules[i].action
	}
	return &f.fallback
}

// group picks a target group in proportion to the weights; nil when all weights are 0.
func (a *action) group() *group {
	if len(a.forward) == 0 {
		return nil
	}
	sum := a.forward[len(a.forward)-1].upTo
	if sum == 0 {
		return nil
	}
	if len(a.forward) == 1 {
		return a.forward[0].group
	}
	at := rand.IntN(sum)
	for i := range a.forward {
		if at < a.forward[i].upTo {
			return a.forward[i].group
		}
	}
	return nil
}

func orElse[T comparable](value, otherwise T) T {
	var zero T
	if value == zero {
		return otherwise
	}
	return value
}
