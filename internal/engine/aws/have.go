package aws

import (
	"slices"

	"github.com/sluicehq/sluice/internal/plan"
)

// inventoryOf turns what the mirror has of a stack into resources: all but rules, and the rules by listener. A backend
// security group is part of it only where this stack decides about it (see lower).
func inventoryOf(s settings, v view) (resources []plan.Resource, rules map[plan.ID][]Rule) {
	names := namesOf(v)
	for _, g := range v.SecurityGroups {
		_, resource, _ := g.Tags.owner(s.cluster)
		resources = append(resources, SecurityGroup{
			Resource: resource, Name: g.Name, Description: g.Description, Ingress: g.Ingress,
			Tags: g.Tags.ours(s.cluster, s.externalTags), id: g.ID,
		})
	}
	for _, g := range v.TargetGroups {
		resources = append(resources, existingTargetGroup(s, g))
	}
	for _, b := range v.LoadBalancers {
		resources = append(resources, existingLoadBalancer(s, b, v))
	}
	rules = map[plan.ID][]Rule{}
	for _, l := range v.Listeners {
		i := slices.IndexFunc(v.LoadBalancers, func(b loadBalancer) bool { return b.ARN == l.LoadBalancer })
		if i < 0 {
			continue
		}
		have := Listener{
			LoadBalancer: plan.ID{Kind: LoadBalancerKind, Name: v.LoadBalancers[i].Name},
			Port:         l.Port, Protocol: l.Protocol, handshake: l.handshake, Default: l.Default.renamed(names.targetGroup),
			Tags: l.Tags.ours(s.cluster, s.externalTags), arn: l.ARN,
		}
		resources = append(resources, have)
		for _, r := range v.Rules {
			if _, _, owned := r.Tags.owner(s.cluster); owned && r.Listener == l.ARN {
				rules[have.ID()] = append(rules[have.ID()], existingRule(s, have, r, names))
			}
		}
	}
	return resources, rules
}

func existingTargetGroup(s settings, g targetGroup) TargetGroup {
	_, resource, _ := g.Tags.owner(s.cluster)
	return TargetGroup{
		Resource: resource, Name: g.Name, TargetType: g.TargetType, Protocol: g.Protocol,
		ProtocolVersion: g.ProtocolVersion, Port: g.Port, IPAddressType: g.IPAddressType, HealthCheck: g.HealthCheck,
		Tags: g.Tags.ours(s.cluster, s.externalTags), arn: g.ARN,
	}
}

// asWanted gives load balancers that there are the settings that nobody asks of them.
func asWanted(have, want []plan.Resource) []plan.Resource {
	have = slices.Clone(have)
	for i, r := range have {
		h, ok := r.(LoadBalancer)
		at := slices.IndexFunc(want, func(w plan.Resource) bool { return w.ID() == r.ID() })
		if !ok || at < 0 {
			continue
		}
		if w, ok := want[at].(LoadBalancer); ok {
			seen := loadBalancer{Mappings: h.Mappings, SourceNAT: h.SourceNAT, PrivateLink: h.PrivateLink, IPAddressType: h.IPAddressType}.over(w)
			h.Mappings, h.SourceNAT, h.PrivateLink = seen.Mappings, seen.SourceNAT, seen.PrivateLink
			have[i] = h
		}
	}
	return have
}

func existingLoadBalancer(s settings, b loadBalancer, v view) LoadBalancer {
	_, resource, _ := b.Tags.owner(s.cluster)
	have := LoadBalancer{
		Resource: resource, Name: b.Name, Type: b.Type, Scheme: b.Scheme, IPAddressType: b.IPAddressType,
		Subnets: b.Subnets, Mappings: b.Mappings, SourceNAT: b.SourceNAT, PrivateLink: b.PrivateLink, Tags: b.Tags.ours(s.cluster, s.externalTags), arn: b.ARN,
	}
	for _, id := range b.SecurityGroups {
		have.SecurityGroups = append(have.SecurityGroups, groupRef(id, v))
	}
	have.SecurityGroups = sortedIDs(have.SecurityGroups)
	return have
}

func existingRule(s settings, l Listener, r rule, names physical) Rule {
	return Rule{
		Listener: l.ID(), Priority: r.Priority, Conditions: r.Conditions, Action: r.Action.renamed(names.targetGroup),
		Tags: r.Tags.ours(s.cluster, s.externalTags), arn: r.ARN, port: l.Port, Transforms: r.Transforms,
	}
}

// groupRef is the plan's id of a security group that a load balancer has.
func groupRef(id string, v view) plan.ID {
	if v.Backend != nil && v.Backend.ID == id {
		return plan.ID{Kind: BackendSecurityGroupKind, Name: v.Backend.Name}
	}
	for _, g := range v.SecurityGroups {
		if g.ID == id {
			return plan.ID{Kind: SecurityGroupKind, Name: g.Name}
		}
	}
	return plan.ID{Name: id}
}

// physical maps ARNs of a stack's target groups to names.
type physical map[string]string

func namesOf(v view) physical {
	names := physical{}
	for _, g := range v.TargetGroups {
		names[g.ARN] = g.Name
	}
	return names
}

// targetGroup is the name, or the ARN itself for a group that is not of the stack.
func (p physical) targetGroup(arn string) string {
	if name, ok := p[arn]; ok {
		return name
	}
	return arn
}
