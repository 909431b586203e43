package aws

import (
	"slices"

	"github.com/sluicehq/sluice/internal/lb"
	"github.com/sluicehq/sluice/internal/plan"
)

// A stack that keeps members wants what AWS has of them, and nothing that they share with others may be taken away: the
// load balancer stays as it is, its security group and listeners are only added to. Which target groups are theirs is
// told by resource ids, which rules by the target groups. A rule that forwards nowhere may be theirs, so it stays too.

// asIs returns the stack with its load balancers as AWS has them.
func (s settings) asIs(want lb.Stack, v view) lb.Stack {
	if len(want.Kept) == 0 {
		return want
	}
	want.LoadBalancers = slices.Clone(want.LoadBalancers)
	for i := range want.LoadBalancers {
		b := &want.LoadBalancers[i]
		row, found := match(v.LoadBalancers, b.Name, func(r loadBalancer) (string, bool) {
			_, resource, _ := r.Tags.owner(s.cluster)
			return r.Name, resource == b.ID
		})
		if found {
			b.Name, b.Type, b.Scheme, b.IPAddressType = row.Name, row.Type, row.Scheme, row.IPAddressType
			b.Subnets, b.Attributes, b.AddOns, b.Tags = lb.SubnetSelection{}, nil, lb.AddOns{}, row.Tags.ours(s.cluster, s.externalTags)
		}
	}
	return want
}

// keep adds to a lowered stack what AWS has of the members that are kept.
func (s settings) keep(out *lowered, want lb.Stack, v view) {
	if len(want.Kept) == 0 {
		return
	}
	have, haveRules := inventoryOf(s, v)
	at := map[plan.ID]int{}
	for i, r := range out.resources {
		at[r.ID()] = i
	}
	theirs := map[string]lb.Object{} // names of target groups
	stays := func(a action) bool {
		return !slices.ContainsFunc(a.Forward, func(g weighted) bool {
			_, wanted := at[targetGroupID(g.Group)]
			return !wanted && theirs[g.Group] == lb.Object{} && !isARN(g.Group)
		})
	}
	for _, r := range have { // target groups come before listeners
		i, wanted := at[r.ID()]
		switch h := r.(type) {
		case TargetGroup:
			if keeper, kept := want.Keeper(h.Resource); kept && !wanted {
				theirs[h.Name] = keeper
				out.resources = append(out.resources, h)
			}
		case LoadBalancer:
			if w, ok := wantedAt[LoadBalancer](out, i, wanted); ok {
				w.SecurityGroups = h.SecurityGroups
				out.resources[i] = w
				if backend := backendGroup(s, v, want.Kept); slices.Contains(h.SecurityGroups, backend.ID()) && !wantsBackend(want) {
					out.resources = append(out.resources, backend)
				}
			}
		case SecurityGroup:
			if w, ok := wantedAt[SecurityGroup](out, i, wanted); ok {
				w.Ingress = slices.Compact(slices.SortedFunc(slices.Values(append(slices.Clone(h.Ingress), w.Ingress...)), permission.compare))
				w.Tags = h.Tags
				out.resources[i] = w
			} else if !wanted {
				out.resources = append(out.resources, h) // the load balancer has it still
			}
		case Listener:
			if w, ok := wantedAt[Listener](out, i, wanted); ok {
				if stays(h.Default) {
					w.Default = h.Default
				}
				w.Protocol, w.handshake, w.Attributes, w.Tags = h.Protocol, h.handshake, nil, h.Tags
				out.resources[i] = w
			} else if _, there := at[h.LoadBalancer]; there {
				if !stays(h.Default) {
					h.Default = respondWith(lb.FixedResponse{StatusCode: 404})
				}
				out.resources = append(out.resources, h)
				var all []Rule
				for _, o := range want.Kept {
					all = append(all, Rule{kept: true, Object: o})
				}
				out.rules[h.ID()] = withKept(all, haveRules[h.ID()], theirs, nil)
			}
		}
	}
	for id, rules := range out.rules {
		if _, wanted := at[id]; wanted {
			out.rules[id] = withKept(rules, haveRules[id], theirs, out.foreign[id])
		}
	}
}

func wantedAt[R plan.Resource](out *lowered, i int, wanted bool) (R, bool) {
	var none R
	if !wanted {
		return none, false
	}
	r, ok := out.resources[i].(R)
	return r, ok
}

// withKept puts the rules that stay where their members have their place, and those of which nobody knows whose they
// are where the first of these is. Priorities are counted anew.
func withKept(want, have []Rule, theirs map[string]lb.Object, foreign map[int]bool) []Rule {
	kept := map[lb.Object][]Rule{}
	var nobodys []Rule
	for _, h := range slices.SortedFunc(slices.Values(have), byPriority) {
		if slices.ContainsFunc(want, func(w Rule) bool { return !w.kept && w.settings() == h.settings() }) {
			continue
		}
		i := slices.IndexFunc(h.Action.Forward, func(g weighted) bool { return theirs[g.Group] != lb.Object{} })
		switch {
		case i >= 0:
			member := theirs[h.Action.Forward[i].Group]
			kept[member] = append(kept[member], h)
		case len(h.Action.Forward) == 0:
			nobodys = append(nobodys, h)
		}
	}
	var out []Rule
	priority := 0
	add := func(r Rule) {
		for priority++; foreign[priority]; priority++ {
			continue
		}
		r.Priority = priority
		out = append(out, r)
	}
	for _, w := range want {
		if !w.kept {
			add(w)
			continue
		}
		for _, h := range append(nobodys, kept[w.Object]...) {
			h.Object = w.Object
			add(h)
		}
		nobodys = nil
	}
	return out
}
