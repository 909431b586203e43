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
	groups := map[lb.ResourceID]plan.ID{}
	for _, g := range want.SecurityGroups {
		lowered := s.securityGroup(g, v)
		groups[g.ID] = lowered.ID()
		out.resources = append(out.resources, lowered)
	}
	if wantsBackend(want) {
		out.resources = append(out.resources, backendGroup(s, v, want.Members))
	}
	for _, g := range want.TargetGroups {
		lowered, taken := s.targetGroup(g, v)
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
		s.listeners(&out, b, lowered.ID(), v)
	}
	s.keep(&out, want, v)
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

func (s settings) securityGroup(g lb.SecurityGroup, v view) SecurityGroup {
	out := SecurityGroup{
		Resource: g.ID, Name: g.Name, Description: g.Description,
		Tags: s.userTags(g.Tags), Objects: g.From,
	}
	for _, p := range g.Ingress {
		allowed := permission{Protocol: p.Protocol, From: p.From, To: p.To, PrefixList: p.PrefixList}
		if isIPv6(p.CIDR) {
			allowed.CIDR6 = p.CIDR
		} else {
			allowed.CIDR = p.CIDR
		}
		out.Ingress = append(out.Ingress, allowed)
	}
	slices.SortFunc(out.Ingress, permission.compare)
	out.Ingress = slices.Compact(out.Ingress)
	row, found := match(v.SecurityGroups, g.Name, func(r securityGroup) (string, bool) {
		_, resource, _ := r.Tags.owner(s.cluster)
		return r.Name, resource == g.ID
	})
	if found {
		// Name and description of a security group cannot be changed.
		out.Name, out.Description, out.id = row.Name, row.Description, row.ID
	}
	return out
}

// targetGroup lowers a target group. taken is true when it must be replaced and there is no other name for it.
func (s settings) targetGroup(g lb.TargetGroup, v view) (out TargetGroup, taken bool) {
	out = TargetGroup{
		Resource: g.ID, Name: g.Name, TargetType: g.TargetType, Protocol: g.Protocol,
		ProtocolVersion: g.ProtocolVersion, Port: g.Port, IPAddressType: g.IPAddressType, HealthCheck: g.HealthCheck,
		Attributes: g.Attributes, Tags: s.userTags(g.Tags), Objects: g.From,
	}
	row, found := match(v.TargetGroups, g.Name, func(r targetGroup) (string, bool) {
		_, resource, _ := r.Tags.owner(s.cluster)
		same := r.TargetType == g.TargetType && r.Protocol == g.Protocol &&
			r.ProtocolVersion == g.ProtocolVersion && r.IPAddressType == g.IPAddressType
		return r.Name, resource == g.ID && same
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
	return out, slices.ContainsFunc(v.TargetGroups, func(r targetGroup) bool { return r.Name == g.Name })
}

// loadBalancer lowers a load balancer without its subnets. taken is as for targetGroup.
func (s settings) loadBalancer(b lb.LoadBalancer, v view, groups map[lb.ResourceID]plan.ID) (LoadBalancer, bool) {
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
			out.SecurityGroups = append(out.SecurityGroups, groups[ref.Managed])
		}
	}
	out.SecurityGroups = slices.Compact(sortedIDs(out.SecurityGroups))
	if row, found := s.existing(b, v); found {
		out.Name, out.arn = row.Name, row.ARN
		return out, false
	}
	return out, slices.ContainsFunc(v.LoadBalancers, func(r loadBalancer) bool { return r.Name == b.Name })
}

// existing is the load balancer that stays for b: the same resource with the same type and scheme.
func (s settings) existing(b lb.LoadBalancer, v view) (loadBalancer, bool) {
	return match(v.LoadBalancers, b.Name, func(r loadBalancer) (string, bool) {
		_, resource, _ := r.Tags.owner(s.cluster)
		return r.Name, resource == b.ID && r.Type == b.Type && r.Scheme == b.Scheme
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
			LoadBalancer: balancer, Port: l.Port, Protocol: l.Protocol,
			Default: actionOf(l.Default).renamed(name), Attributes: l.Attributes, Tags: s.userTags(l.Tags), Objects: l.From,
		}
		listener.follows = held.by(listener.Default)
		out.resources = append(out.resources, listener)
		taken := foreignPriorities(s, v, balancer.Name, l.Port)
		out.foreign[listener.ID()] = taken
		priority := 0
		for _, r := range l.Rules {
			for priority++; taken[priority]; priority++ {
				continue
			}
			rule := Rule{
				Listener: listener.ID(), Priority: priority, Conditions: sortedConditions(r.Conditions),
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
		i := slices.IndexFunc(v.Listeners, func(l listener) bool { return l.ARN == r.Listener })
		if i < 0 || v.Listeners[i].Port != port {
			continue
		}
		if slices.ContainsFunc(v.LoadBalancers, func(b loadBalancer) bool {
			return b.ARN == v.Listeners[i].LoadBalancer && b.Name == balancer
		}) {
			taken[r.Priority] = true
		}
	}
	return taken
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

func (h holders) by(a action) []plan.ID {
	var ids []plan.ID
	for _, g := range a.Forward {
		ids = append(ids, h[g.Group]...)
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
