// Package explain tells what becomes of a request, from the object that asks for it to the target that answers: which
// listener and rule it meets and why not the others, which target group, which pods, and how they are. In go a compiled
// stack, what is observed of it, and the objects; out comes a tree of facts. It is pure but for the health of targets,
// which the caller looks up.
//
// Conditions are tried by the data plane's own code (package proxy), so there is one opinion about what matches.
package explain

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/sluicehq/sluice/internal/compile"
	"github.com/sluicehq/sluice/internal/kube"
	"github.com/sluicehq/sluice/internal/lb"
	"github.com/sluicehq/sluice/internal/proxy"
)

// World is what there is to explain from.
type World struct {
	Objects  *kube.Objects
	Stack    compile.Compiled
	Observed lb.Observed
	// Health tells how targets of a target group are; nil where nobody can be asked.
	Health func(group lb.TargetGroupRef, targets []lb.Target) (map[lb.Target]lb.TargetHealth, error)
}

// Request is one that is asked about. An empty path asks about none: then every rule is listed.
type Request struct {
	Port    uint16 // 0 for every listener
	Method  string
	Host    string
	Path    string // may have a query
	Headers []proxy.SampleHeader
	Source  netip.Addr
}

// Explain tells what the stack does for an object, or for a request to it.
func Explain(w World, about lb.Object, r Request) Node {
	root := Node{Text: about.String()}
	w.verdicts(&root, about)
	if w.Stack.Held {
		root.add(Look, "nothing is changed until its objects are mended: what is in the cloud stays as it is")
		return root
	}
	if len(w.Stack.Stack.LoadBalancers) == 0 {
		root.add(Bad, "no load balancer serves it: "+w.reason(about))
		return root
	}
	for _, b := range w.Stack.Stack.LoadBalancers {
		w.balancer(root.add(None, "load balancer "+b.Name), b, about, r)
	}
	return root
}

func (w World) reason(about lb.Object) string {
	if !slices.Contains(w.Stack.Members, about) {
		return "there is no such object, or it is of another class"
	}
	return "see what is said about it"
}

func (w World) verdicts(root *Node, about lb.Object) {
	for _, v := range w.Stack.Verdicts {
		mark := Bad
		if v.Severity == lb.Warning {
			mark = Look
		}
		text := fmt.Sprintf("%s %s: %s", v.Severity, v.Reason, v.Message())
		if v.Object != about {
			text = v.Object.String() + ": " + text
		}
		root.add(mark, text)
	}
}

func (w World) balancer(n *Node, b lb.LoadBalancer, about lb.Object, r Request) {
	i := slices.IndexFunc(w.Observed.LoadBalancers, func(o lb.ObservedLoadBalancer) bool { return o.ID == b.ID })
	switch {
	case i < 0:
		n.add(Look, "is not there yet")
	case !w.Observed.LoadBalancers[i].Active:
		n.add(Look, w.Observed.LoadBalancers[i].DNSName+", which is being provisioned")
	default:
		n.add(Good, w.Observed.LoadBalancers[i].DNSName)
	}
	found := false
	for _, l := range b.Listeners {
		if r.Port != 0 && r.Port != l.Port {
			continue
		}
		found = true
		listener := n.add(None, fmt.Sprintf("listener %d %s", l.Port, l.Protocol))
		if r.Path == "" {
			w.rules(listener, l, about)
			continue
		}
		w.request(listener, l, r)
	}
	if !found {
		n.add(Bad, fmt.Sprintf("nothing listens on port %d; ports are %s", r.Port, ports(b)))
	}
}

func ports(b lb.LoadBalancer) string {
	var list []string
	for _, l := range b.Listeners {
		list = append(list, fmt.Sprint(l.Port))
	}
	return strings.Join(list, ", ")
}

// rules lists those of the object, and where they lead.
func (w World) rules(n *Node, l lb.Listener, about lb.Object) {
	others := 0
	for _, rule := range l.Rules {
		if rule.Kept || rule.From != about {
			others++
			continue
		}
		w.rule(n.add(None, ruleText(rule)), rule)
	}
	if others > 0 {
		n.add(None, fmt.Sprintf("%d rules of other objects", others))
	}
	w.action(n.add(None, "else"), l.Default)
}

func ruleText(r lb.Rule) string {
	text := fmt.Sprintf("rule %d", r.Priority)
	var conditions []string
	for _, c := range r.Conditions {
		conditions = append(conditions, c.String())
	}
	if len(conditions) > 0 {
		text += ": " + strings.Join(conditions, " and ")
	}
	return text
}

// request finds the rule that a request meets.
func (w World) request(n *Node, l lb.Listener, r Request) {
	sample := sampleOf(r)
	asked := n.add(None, fmt.Sprintf("%s %s, Host: %s", sample.Method, r.Path, orNone(r.Host)))
	for _, rule := range l.Rules {
		if rule.Kept {
			asked.add(Look, fmt.Sprintf("rules of %s, of which only the cloud knows what they say", rule.From))
			continue
		}
		missed, err := unmet(rule, sample)
		switch {
		case err != nil:
			asked.add(Bad, ruleText(rule)+", which cannot be tried: "+err.Error())
		case missed != "":
			asked.add(None, fmt.Sprintf("not %s (%s)", ruleText(rule), missed))
		default:
			met := asked.add(Good, ruleText(rule))
			met.add(None, fmt.Sprintf("asked for by %s, %s", rule.From, rule.Field))
			w.rule(met, rule)
			return
		}
	}
	w.action(asked.add(Look, "no rule: the listener's default"), l.Default)
}

func sampleOf(r Request) proxy.Sample {
	path, query, _ := strings.Cut(r.Path, "?")
	return proxy.Sample{
		Method: cmp.Or(r.Method, "GET"), Host: r.Host, Path: path, Query: query, Headers: r.Headers, Source: r.Source,
	}
}

func orNone(host string) string { return cmp.Or(host, "(none)") }

// unmet is what of a request does not meet a rule, or empty.
func unmet(rule lb.Rule, s proxy.Sample) (string, error) {
	for _, c := range rule.Conditions {
		ok, err := conditionOf(c).Meets(s)
		if err != nil {
			return "", err
		}
		if !ok {
			return "the " + has(c, s), nil
		}
	}
	return "", nil
}

// has is what a request has for a condition.
func has(c lb.Condition, s proxy.Sample) string {
	switch c.Field {
	case lb.HostHeader:
		return "host is " + orNone(s.Host)
	case lb.PathPattern:
		return "path is " + s.Path
	case lb.RequestMethod:
		return "method is " + s.Method
	case lb.QueryString:
		return "query is " + orNone(s.Query)
	case lb.SourceIP:
		if !s.Source.IsValid() {
			return "client's address was not said"
		}
		return "client is " + s.Source.String()
	case lb.HTTPHeader:
		for _, h := range s.Headers {
			if strings.EqualFold(h.Name, c.Name) {
				return "header is " + h.Value
			}
		}
		return "request has no header " + c.Name
	}
	return "request does not meet " + c.String()
}

func conditionOf(c lb.Condition) proxy.Condition {
	out := proxy.Condition{Field: string(c.Field), HeaderName: c.Name, Values: c.Values, Regex: c.Regexes}
	for _, p := range c.Pairs {
		out.Query = append(out.Query, proxy.KeyValue{Key: p.Key, Value: p.Value})
	}
	return out
}
