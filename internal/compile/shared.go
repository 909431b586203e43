package compile

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/sluicehq/sluice/internal/annot"
	"github.com/sluicehq/sluice/internal/lb"
)

// shared is what members say about what they share: the load balancer, its security group and its listeners. Who says
// a thing first decides it.
type shared struct {
	name    claim[string]
	scheme  claim[lb.Scheme]
	family  claim[lb.IPAddressType]
	subnets claim[lb.SubnetSelection]
	secured claim[[]string] // security groups
	backend claim[bool]     // with these, the backend security group too
	// redirect is the HTTPS port that all HTTP ports redirect to
	redirect claim[uint16]
	webACL   claim[lb.WebACL]
	classic  claim[lb.WebACL]
	shield   claim[bool]
	tags     claims
	ports    []*port // sorted
	// attributes and, of the first member's class, those that win over them
	attributes claims
	imposed    []lb.Attribute
	groups     map[lb.ResourceID]lb.Object
}

// port is what members say about one listener.
type port struct {
	number       uint16
	protocol     lb.Protocol
	members      []*member
	cidrs        claim[[]string]
	lists        claim[[]string]  // prefix lists
	policy       claim[string]    // of TLS
	certificates []lb.Certificate // in order of the members
	tags         claims
	// attributes and, of the first member's class, those that win over them
	attributes claims
	imposed    []lb.Attribute
}

func (p *port) has(m *member) bool { return slices.Contains(p.members, m) }

// claim is a setting with the member that gave it.
type claim[T any] struct {
	annot.Given[T]
	by lb.Object
}

// claims are settings by key.
type claims map[string]claim[string]

func (c claims) sorted() []lb.Tag {
	var out []lb.Tag
	for _, key := range slices.Sorted(maps.Keys(c)) {
		out = append(out, lb.Tag{Key: key, Value: c[key].Value})
	}
	return out
}

// take adds what a member says where nobody has said anything yet, and returns where it differs.
func (s *shared) take(m *member) []lb.Verdict {
	t := taking{member: m.object}
	settings := m.form.settings
	take(&t, &s.name, settings.LoadBalancerName, equal[string])
	take(&t, &s.scheme, settings.Scheme, equal[lb.Scheme])
	take(&t, &s.family, settings.IPAddressType, equal[lb.IPAddressType])
	take(&t, &s.subnets, settings.Subnets, sameSubnets)
	take(&t, &s.secured, settings.SecurityGroups, slices.Equal[[]string])
	take(&t, &s.backend, settings.ManageBackend, equal[bool])
	take(&t, &s.redirect, settings.Redirect, equal[uint16])
	take(&t, &s.webACL, settings.WebACL, lb.WebACL.Same)
	take(&t, &s.classic, settings.ClassicWebACL, lb.WebACL.Same)
	take(&t, &s.shield, settings.Shield, equal[bool])
	t.pairs(&s.tags, settings.Tags, settings.TagsAt, "tag")
	t.attributes(&s.attributes, settings.Attributes, s.imposed)
	for _, l := range settings.Listen {
		s.listen(&t, m, l)
	}
	for _, g := range m.form.groups {
		if other, taken := s.groups[g.ID]; taken {
			t.differences = append(t.differences, lb.Verdict{
				Object: m.object, Severity: lb.Refused, Reason: lb.GroupConflict, Field: "metadata.name", Value: m.object.Name,
				Problem: fmt.Sprintf("%s, with which it shares a load balancer, has a target group of the same id %s", other, g.ID),
				Fix:     "Rename the Ingress or the Service",
			})
			continue
		}
		if s.groups == nil {
			s.groups = map[lb.ResourceID]lb.Object{}
		}
		s.groups[g.ID] = m.object
	}
	return t.differences
}

// listen has a member listen on a port.
func (s *shared) listen(t *taking, m *member, l annot.Listen) {
	i, known := slices.BinarySearchFunc(s.ports, l.Port, func(p *port, n uint16) int { return cmp.Compare(p.number, n) })
	if !known {
		s.ports = slices.Insert(s.ports, i, &port{number: l.Port, protocol: l.Protocol, imposed: l.ClassAttributes})
	}
	p, settings := s.ports[i], m.form.settings
	if p.protocol != l.Protocol {
		at := annot.Origin{Object: m.object, Field: settings.ListenField}
		t.differs(at, fmt.Sprintf("%s %d", l.Protocol, l.Port), fmt.Sprintf("%s %d", p.protocol, p.number), p.members[0].object)
		return
	}
	p.members = append(p.members, m)
	take(t, &p.cidrs, settings.InboundCIDRs, slices.Equal[[]string])
	take(t, &p.lists, settings.PrefixLists, slices.Equal[[]string])
	if p.protocol == lb.HTTPS {
		take(t, &p.policy, settings.Policy, equal[string])
		p.certify(settings.Certificates)
	}
	t.attributes(&p.attributes, l.Attributes, p.imposed)
	t.pairs(&p.tags, settings.Tags, settings.TagsAt, "tag") // differences are those of the load balancer's tags
}

// taking collects where a member differs from those before it.
type taking struct {
	member      lb.Object
	differences []lb.Verdict
}

func take[T any](t *taking, have *claim[T], given annot.Given[T], same func(a, b T) bool) {
	switch {
	case !given.Set():
	case !have.Set():
		*have = claim[T]{given, t.member}
	case !same(have.Value, given.Value):
		t.differs(given.At, given.At.Value, have.At.Value, have.by)
	}
}

// pairs takes key=value pairs, each key for itself.
func (t *taking) pairs(have *claims, list []lb.Tag, at annot.Origin, what string) {
	if *have == nil {
		*have = claims{}
	}
	for _, pair := range list {
		was, taken := (*have)[pair.Key]
		switch {
		case !taken:
			(*have)[pair.Key] = claim[string]{annot.Given[string]{Value: pair.Value, At: at}, t.member}
		case was.Value != pair.Value:
			t.differs(at, what+" "+pair.Key+"="+pair.Value, pair.Key+"="+was.Value, was.by)
		}
	}
}

// attributes takes attributes, but for those that a class imposes.
func (t *taking) attributes(have *claims, given annot.Given[[]lb.Attribute], imposed []lb.Attribute) {
	var list []lb.Tag
	for _, a := range given.Value {
		if !slices.ContainsFunc(imposed, func(i lb.Attribute) bool { return i.Key == a.Key }) {
			list = append(list, lb.Tag(a))
		}
	}
	t.pairs(have, list, given.At, "attribute")
}

// with are the settings as attributes, together with those that a class imposes.
func (c claims) with(imposed []lb.Attribute) []lb.Attribute {
	out := slices.Clone(imposed)
	for _, t := range c.sorted() {
		out = append(out, lb.Attribute(t))
	}
	slices.SortFunc(out, func(a, b lb.Attribute) int { return cmp.Compare(a.Key, b.Key) })
	return out
}

func (t *taking) differs(at annot.Origin, value, other string, by lb.Object) {
	v := lb.Verdict{
		Object: t.member, Severity: lb.Refused, Reason: lb.GroupConflict, Field: at.Field, Value: value,
		Problem: fmt.Sprintf("differs from %q of %s, with which it shares a load balancer", other, by),
		Fix:     "Let both say the same or only one of them say it, or put them into different groups",
	}
	if at.Object.Kind != t.member.Kind {
		v.Field = "spec.ingressClassName"
		v.Problem = fmt.Sprintf("(%s of %s) %s", at.Field, at.Object, v.Problem)
	}
	if !slices.Contains(t.differences, v) {
		t.differences = append(t.differences, v)
	}
}

func equal[T comparable](a, b T) bool { return a == b }

// sameSubnets compares two selections whatever their order. What a class selects is never what an annotation names.
func sameSubnets(a, b lb.SubnetSelection) bool {
	return a.From.Kind == b.From.Kind &&
		slices.Equal(slices.Sorted(slices.Values(a.IDsOrNames)), slices.Sorted(slices.Values(b.IDsOrNames))) &&
		slices.EqualFunc(a.Tags, b.Tags, func(x, y lb.TagFilter) bool { return x.Key == y.Key && slices.Equal(x.Values, y.Values) })
}
