package aws

import (
	"slices"
	"strconv"

	"github.com/sluicehq/sluice/internal/lb"
)

// rulesPerGroup is how many rules a security group takes, unless AWS was asked for more ("Inbound or outbound rules per
// security group"). A group that has more was made where that was granted.
const rulesPerGroup = 60

// securityGroups lowers a security group of the model: one, or several where its rules are too many for one. The further
// ones have a number behind the name and the resource id. A rule stays in the group that has it, so that nothing moves
// but what must.
func (s settings) securityGroups(g lb.SecurityGroup, v view) []SecurityGroup {
	want := permissionsOf(g.Ingress)
	var parts []SecurityGroup
	var kept [][]permission
	var full []int // how many rules each has now; one that is full could take others only after it lost some
	left := want
	part := func() *securityGroup {
		next, row := s.groupPart(g, len(parts), v)
		parts, kept, full = append(parts, next), append(kept, nil), append(full, 0)
		if row != nil {
			full[len(full)-1] = len(row.Ingress)
		}
		return row
	}
	for first := true; first || s.hasPart(g, len(parts), v); first = false {
		row := part()
		if row == nil {
			continue
		}
		i := len(parts) - 1
		kept[i] = slices.DeleteFunc(slices.Clone(left), func(p permission) bool { return !slices.Contains(row.Ingress, p) })
		left = slices.DeleteFunc(slices.Clone(left), func(p permission) bool { return slices.Contains(row.Ingress, p) })
	}
	for last := len(parts) - 1; last > 0 && len(left)+len(kept[last]) <= room(kept[:last]); last-- {
		left = append(left, kept[last]...) // the others have room for what this one has
		parts, kept = parts[:last], kept[:last]
	}
	put := func(i, taken int) {
		n := min(max(rulesPerGroup-taken, 0), len(left))
		kept[i], left = append(kept[i], left[:n]...), left[n:]
	}
	for i := range parts {
		put(i, max(full[i], len(kept[i])))
	}
	for i := 0; len(left) > 0; i++ {
		if i == len(parts) {
			part()
		}
		put(i, len(kept[i]))
	}
	for i := range parts {
		parts[i].Ingress = slices.Compact(slices.SortedFunc(slices.Values(append(kept[i], parts[i].Ingress...)), permission.compare))
	}
	return parts
}

// room is how many rules groups that have these can take.
func room(kept [][]permission) (n int) {
	for _, k := range kept {
		n += max(rulesPerGroup-len(k), 0)
	}
	return n
}

func permissionsOf(list []lb.IngressRule) []permission {
	var all []permission
	for _, p := range list {
		allowed := permission{Protocol: p.Protocol, From: p.From, To: p.To, PrefixList: p.PrefixList}
		if isIPv6(p.CIDR) {
			allowed.CIDR6 = p.CIDR
		} else {
			allowed.CIDR = p.CIDR
		}
		all = append(all, allowed)
	}
	slices.SortFunc(all, permission.compare)
	return slices.Compact(all)
}

// numbered is the name of the nth part of something, counted from 0.
func numbered(name string, n int) string {
	if n == 0 {
		return name
	}
	return name + "-" + strconv.Itoa(n+1)
}

func (s settings) partRow(g lb.SecurityGroup, n int, v view) (securityGroup, bool) {
	return match(v.SecurityGroups, numbered(g.Name, n), func(r securityGroup) (string, bool) {
		_, resource, _ := r.Tags.owner(s.cluster)
		return r.Name, string(resource) == numbered(string(g.ID), n)
	})
}

func (s settings) hasPart(g lb.SecurityGroup, n int, v view) bool {
	_, found := s.partRow(g, n, v)
	return found
}

// groupPart is the nth security group of several, without rules but for those that the load balancer needs which is about
// to go; and the row that there is of it.
func (s settings) groupPart(g lb.SecurityGroup, n int, v view) (SecurityGroup, *securityGroup) {
	out := SecurityGroup{
		Resource: lb.ResourceID(numbered(string(g.ID), n)), Name: numbered(g.Name, n), Description: g.Description,
		Tags: s.userTags(g.Tags), Objects: g.From,
	}
	row, found := s.partRow(g, n, v)
	if !found {
		return out, nil
	}
	// Name and description of a security group cannot be changed.
	out.Name, out.Description, out.id = row.Name, row.Description, row.ID
	if len(v.Serving) > 0 {
		out.Ingress = slices.Clone(row.Ingress)
	}
	return out, &row
}
