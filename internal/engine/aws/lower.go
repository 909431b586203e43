package aws

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/sluicehq/sluice/internal/lb"
	"github.com/sluicehq/sluice/internal/plan"
)

// backendDescription is the description of the backend security group, as the AWS Load Balancer Controller gives it.
const backendDescription = "[k8s] Shared Backend SecurityGroup for LoadBalancer"

// settings are what lowering needs to know besides its arguments.
type settings struct {
	cluster      string
	externalTags []string // keys that somebody else manages
}

// lowered is a stack in AWS terms.
type lowered struct {
	resources []plan.Resource // all but rules
	rules     map[plan.ID][]Rule
	foreign   map[plan.ID]map[int]bool // priorities that rules which are not ours hold, by listener
	names     map[lb.ResourceID]string // physical names of load balancers and target groups
	verdicts  []lb.Verdict             // Refused ones mean that nothing may be done
	handovers []Handover
}

// placement is where a load balancer is.
type placement struct {
	ids      []string
	mappings []mapping // where static addresses are given
}

// lower turns a stack into resources. What the view has and may stay keeps its name; subnets are those resolved for
// each load balancer of the stack.
func lower(s settings, want lb.Stack, v view, subnets map[lb.ResourceID]placement) lowered {
	out := lowered{
		rules: map[plan.ID][]Rule{}, foreign: map[plan.ID]map[int]bool{}, names: map[lb.ResourceID]string{},
	}
	groups := map[lb.ResourceID][]plan.ID{}
	held := v.usedBy(s.superseded(want, v))
	for _, g := range want.SecurityGroups {
		for _, part := range s.securityGroups(g, v) {
			groups[g.ID] = append(groups[g.ID], part.ID())
			out.resources = append(out.resources, part)
		}
	}
	if wantsBackend(want) {
		out.resources = append(out.resources, backendGroup(s, v, want.Members))
	}
	for _, g := range want.TargetGroups {
		lowered, taken := s.targetGroup(g, v, held)
		if taken {
			out.verdicts = append(out.verdicts, nameTaken(want, "target group", lowered.Name,
				"Rename the Service port, so that the target group gets another name")...)
		}
		out.names[g.ID] = lowered.Name
		out.resources = append(out.resources, lowered)
	}
	for _, b := range want.LoadBalancers {
		lowered, taken := s.loadBalancer(b, v, groups)
		if taken {
			out.verdicts = append(out.verdicts, nameTaken(want, "load balancer", lowered.Name,
				"Give the load balancer another name together with the new scheme")...)
		}
		lowered.Subnets = slices.Sorted(slices.Values(subnets[b.ID].ids))
		lowered.Mappings = subnets[b.ID].mappings
		out.names[b.ID] = lowered.Name
		out.resources = append(out.resources, lowered)
		out.resources = append(out.resources, wantedAddOns(b, lowered.ID())...)
		s.listeners(&out, b, lowered.ID(), v)
	}
	s.keep(&out, want, v)
	s.stay(&out, want, v)
	return out
}

// wantsBackend says whether a load balancer of the stack has the backend security group.
func wantsBackend(want lb.Stack) bool {
	for _, b := range want.LoadBalancers {
		if slices.ContainsFunc(b.SecurityGroups, func(r lb.SecurityGroupRef) bool { return r.Backend }) {
			return true
		}
	}
	return false
}

func backendGroup(s settings, v view, from []lb.Object) BackendSecurityGroup {
	group := BackendSecurityGroup{Name: lb.BackendSecurityGroupName(s.cluster), Objects: from}
	if v.Backend != nil {
		group.Name, group.id = v.Backend.Name, v.Backend.ID
	}
	return group
}

// targetGroup lowers a target group. Those that are held serve a load balancer that goes, so another one is needed. taken
// is true when it must be replaced and there is no other name for it.
func (s settings) targetGroup(g lb.TargetGroup, v view, held map[string]bool) (out TargetGroup, taken bool) {
	out = TargetGroup{
		Resource: g.ID, Name: g.Name, TargetType: g.TargetType, Protocol: g.Protocol,
		ProtocolVersion: g.ProtocolVersion, Port: g.Port, IPAddressType: g.IPAddressType, HealthCheck: g.HealthCheck,
		Attributes: g.Attributes, Tags: s.userTags(g.Tags), Objects: g.From,
	}
	row, found := match(v.TargetGroups, g.Name, func(r targetGroup) (string, bool) {
		_, resource, _ := r.Tags.owner(s.cluster)
		same := r.TargetType == g.TargetType && r.Protocol == g.Protocol &&
			r.ProtocolVersion == g.ProtocolVersion && r.IPAddressType == g.IPAddressType
		return r.Name, resource == g.ID && same && !held[r.ARN]
	})
	if found {
		// The port is a default for targets that are registered without one. It cannot be changed and nothing of
		// ours uses it, so another port alone does not replace the group.
		out.Name, out.Port, out.arn = row.Name, row.Port, row.ARN
		if out.HealthCheck.Matcher == "" {
			out.HealthCheck.Matcher = row.HealthCheck.Matcher // AWS has one where nobody gives any
		}
		return out, false
	}
	is := func(name string) bool {
		return slices.ContainsFunc(v.TargetGroups, func(r targetGroup) bool { return r.Name == name })
	}
	if is(g.Name) {
		out.Name = lb.OtherTargetGroupName(g.Name)
	}
	return out, is(out.Name)
}

// loadBalancer lowers a load balancer without its subnets. taken is as for targetGroup.
func (s settings) loadBalancer(b lb.LoadBalancer, v view, groups map[lb.ResourceID][]plan.ID) (LoadBalancer, bool) {
	out := LoadBalancer{
		Resource: b.ID, Name: b.Name, Type: b.Type, Scheme: b.Scheme, IPAddressType: b.IPAddressType,
		SourceNAT: b.Network.SourceNAT, PrivateLink: b.Network.PrivateLinkIngress,
		Attributes: b.Attributes, Tags: s.userTags(b.Tags), Objects: b.From, named: b.Named,
	}
	for _, ref := range b.SecurityGroups {
		switch {
		case ref.Backend:
			out.SecurityGroups = append(out.SecurityGroups, backendGroup(s, v, nil).ID())
		case ref.Named != "":
			out.SecurityGroups = append(out.SecurityGroups, plan.ID{Name: ref.Named})
		default:
			out.SecurityGroups = append(out.SecurityGroups, groups[ref.Managed]...)
		}
	}
	out.SecurityGroups = slices.Compact(sortedIDs(out.SecurityGroups))
	if row, found := s.existing(b, v); found {
		out.Name, out.arn = row.Name, row.ARN
		return out, false
	}
	return out, slices.ContainsFunc(v.LoadBalancers, func(r loadBalancer) bool { return r.Name == b.Name })
}

// existing is the load balancer that stays for b: the same resource with the same type and scheme, and with the name that
// a user gave. A derived name may be another one: who made the load balancer named it.
func (s settings) existing(b lb.LoadBalancer, v view) (loadBalancer, bool) {
	return match(v.LoadBalancers, b.Name, func(r loadBalancer) (string, bool) {
		_, resource, _ := r.Tags.owner(s.cluster)
		return r.Name, resource == b.ID && r.Type == b.Type && r.Scheme == b.Scheme && (!b.Named || r.Name == b.Name)
	})
}

// match picks the row that stays: of those that fit, the one with the wanted name, else the first.
func match[V any](rows []V, name string, fits func(V) (string, bool)) (row V, found bool) {
	for _, r := range rows {
		have, ok := fits(r)
		if !ok {
			continue
		}
		if have == name {
			return r, true
		}
		if !found {
			row, found = r, true
		}
	}
	return row, found
}

// listeners adds the listeners of a load balancer and their rules.
func (s settings) listeners(out *lowered, b lb.LoadBalancer, balancer plan.ID, v view) {
	held := heldByOthers(v, balancer)
	name := func(id string) string { return orElse(out.names[lb.ResourceID(id)], id) } // others' groups by ARN
	for _, l := range b.Listeners {
		listener := Listener{
			LoadBalancer: balancer, Port: l.Port, Protocol: l.Protocol, handshake: handshakeOf(l),
			Default: actionOf(l.Default).renamed(name), Attributes: l.Attributes, Tags: s.userTags(l.Tags), Objects: l.From,
		}
		if row, ok := listenerOn(v, balancer.Name, l.Port); ok && listener.ALPN == "" {
			listener.ALPN = row.ALPN // nobody says it, so it stays
		}
		listener.follows = held.by(listener.Default)
		out.resources = append(out.resources, listener)
		for _, c := range l.Handshake.Certificates {
			out.resources = append(out.resources, ServerCertificate{Listener: listener.ID(), ARN: orElse(c.ARN, c.String()), Object: c.From})
		}
		taken := foreignPriorities(s, v, balancer.Name, l.Port)
		out.foreign[listener.ID()] = taken
		priority := 0
		for _, r := range l.Rules {
			for priority++; taken[priority]; priority++ {
				continue
			}
			rule := Rule{
				Listener: listener.ID(), Priority: priority, Conditions: sortedConditions(r.Conditions), Transforms: r.Transforms,
				Action: actionOf(r.Action).renamed(name), Tags: s.userTags(r.Tags), Object: r.From,
				port: l.Port, model: r.Priority, kept: r.Kept,
			}
			rule.follows = held.by(rule.Action)
			out.rules[listener.ID()] = append(out.rules[listener.ID()], rule)
		}
	}
}

// actionOf is the canonical form of a model's action, its target groups by resource id.
func actionOf(a lb.Action) action {
	if tokens := a.Tokens; tokens != nil {
		a.Tokens = nil
		then := actionOf(a)
		then.Tokens = tokens
		return then
	}
	switch {
	case a.Forward != nil:
		var groups []weighted
		for _, g := range a.Forward.TargetGroups {
			groups = append(groups, weighted{Group: orElse(string(g.ID)+g.ARN, g.Name), Weight: g.Weight})
		}
		forward := forwardTo(groups)
		forward.Sticky, forward.BySource = a.Forward.Sticky, a.Forward.BySource
		return forward
	case a.Redirect != nil:
		return redirectTo(*a.Redirect)
	case a.FixedResponse != nil:
		return respondWith(*a.FixedResponse)
	default:
		return action{Other: "none"}
	}
}

// foreignPriorities are those that rules which are not ours hold on a listener.
func foreignPriorities(s settings, v view, balancer string, port uint16) map[int]bool {
	taken := map[int]bool{}
	for _, r := range v.Rules {
		if _, _, owned := r.Tags.owner(s.cluster); owned {
			continue
		}
		if l, ok := listenerOn(v, balancer, port); ok && l.ARN == r.Listener {
			taken[r.Priority] = true
		}
	}
	return taken
}

// listenerOn finds the listener of a load balancer that is there, by name and port.
func listenerOn(v view, balancer string, port uint16) (listener, bool) {
	return find(v.Listeners, func(l listener) bool {
		return l.Port == port && slices.ContainsFunc(v.LoadBalancers, func(b loadBalancer) bool {
			return b.ARN == l.LoadBalancer && b.Name == balancer
		})
	})
}

// holders tells which load balancers of the stack use a target group, by its name.
type holders map[string][]plan.ID

// heldByOthers finds the target groups that load balancers other than this one use.
func heldByOthers(v view, balancer plan.ID) holders {
	names := namesOf(v)
	held := holders{}
	for _, b := range v.LoadBalancers {
		if b.Name == balancer.Name {
			continue
		}
		id := plan.ID{Kind: LoadBalancerKind, Name: b.Name}
		for _, l := range v.Listeners {
			if l.LoadBalancer != b.ARN {
				continue
			}
			held.add(l.Default.renamed(names.targetGroup), id)
			for _, r := range v.Rules {
				if r.Listener == l.ARN {
					held.add(r.Action.renamed(names.targetGroup), id)
				}
			}
		}
	}
	return held
}

func (h holders) add(a action, id plan.ID) {
	for _, g := range a.Forward {
		if !slices.Contains(h[g.Group], id) {
			h[g.Group] = append(h[g.Group], id)
		}
	}
}

// by lists the load balancers that must go first. Of target groups of the stack a new load balancer has its own; those
// of others there is one of each.
func (h holders) by(a action) []plan.ID {
	var ids []plan.ID
	for _, g := range a.Forward {
		if isARN(g.Group) {
			ids = append(ids, h[g.Group]...)
		}
	}
	return ids
}

// userTags is the part of a node's tags that this engine compares.
func (s settings) userTags(list []lb.Tag) []lb.Tag {
	return tags{}.with(list).ours(s.cluster, s.externalTags)
}

// nameTaken tells all members that a replacement would need the name of what it replaces.
func nameTaken(want lb.Stack, kind, name, fix string) []lb.Verdict {
	var verdicts []lb.Verdict
	for _, member := range want.Members {
		verdicts = append(verdicts, lb.Verdict{
			Object: member, Severity: lb.Refused, Reason: lb.CloudRefused, Value: name,
			Problem: fmt.Sprintf("the %s must be replaced, and its replacement would have the same name", kind),
			Fix:     fix,
		})
	}
	return verdicts
}

func ruleResource(port uint16, priority int) lb.ResourceID {
	return lb.ResourceID(strconv.Itoa(int(port)) + ":" + strconv.Itoa(priority))
}
