package dns

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/sluicehq/sluice/internal/lb"
)

// Balancer is what is known of a load balancer.
type Balancer struct {
	Zone      ZoneID // that aliases need
	DualStack bool
	Active    bool // it serves; before that nothing points at it
}

// Balancers are the load balancers that this program made, by host name.
type Balancers map[Name]Balancer

// want is a record set that an endpoint means in a zone.
type want struct {
	Record   // TTL is 0 where the object does not say one
	endpoint Endpoint
	// spare marks the IPv6 alias of a load balancer that has no IPv6 address: none is made, and one that is there,
	// because ExternalDNS makes it for every load balancer, goes along with the IPv4 alias.
	spare bool
}

// shaped is what an endpoint means in a zone: record sets, or why there are none.
type shaped struct {
	wants   []want
	waiting string // for what
	coming  bool   // what it waits for is being made: what is there stays
	verdict *lb.Verdict
}

// shape turns an endpoint into record sets. The table of aliases is ExternalDNS's, but for what is known of a balancer.
func shape(e Endpoint, zone Zone, o Options, balancers Balancers) shaped {
	targets := e.Targets
	if e.Managed {
		var missing shaped
		if targets, missing = standing(e.Targets, balancers); len(targets) == 0 {
			return missing
		}
	}
	if len(targets) == 0 {
		return shaped{}
	}
	record := Record{
		Name: e.Name, Type: e.Type, SetID: e.SetID, TTL: e.TTL, Values: targets,
		Routing: e.Settings.Routing, HealthCheck: e.Settings.HealthCheck,
	}
	target := front(targets)
	types := aliasTypes(e, target, o, balancers)
	if len(types) == 0 {
		return plain(e, record, zone)
	}
	host, err := ParseName(target)
	if err != nil {
		return shaped{verdict: refusal(e, lb.InvalidHostname, target, err.Error(), "Write a host name")}
	}
	alias := Alias{Target: host, Zone: e.Settings.TargetZone, EvaluateHealth: o.EvaluateHealth}
	known, isKnown := balancers[host]
	canonical, _ := CanonicalZone(host)
	alias.Zone = cmp.Or(alias.Zone, known.Zone, canonical, zone.ID)
	if e.Settings.EvaluateHealth != nil {
		alias.EvaluateHealth = *e.Settings.EvaluateHealth
	}
	record.Values, record.TTL, record.Alias = nil, 0, alias
	var out shaped
	for _, t := range types {
		twin := record
		twin.Type = t
		out.wants = append(out.wants, want{Record: twin, endpoint: e, spare: t == AAAA && len(types) > 1 && isKnown && !known.DualStack})
	}
	return out
}

// standing are the targets that are load balancers of ours which serve; where there are none, it says what is waited for.
func standing(targets []string, balancers Balancers) (active []string, missing shaped) {
	missing.waiting = "it has no load balancer"
	if len(targets) == 0 {
		return nil, shaped{waiting: "it has no load balancer yet", coming: true}
	}
	for _, t := range targets {
		b, known := balancers[Name(strings.ToLower(strings.TrimSuffix(t, ".")))]
		switch {
		case known && b.Active:
			active = append(active, t)
		case known:
			missing = shaped{waiting: "the load balancer " + t + " is not active yet", coming: true}
		}
	}
	return active, missing
}

// front is the target that clients are to reach where there are several host names: a Network Load Balancer stands
// before the Application Load Balancer beside it.
func front(targets []string) string {
	for _, t := range targets {
		if host, err := ParseName(t); err == nil && strings.Contains(string(host), ".elb.") {
			label, rest, _ := strings.Cut(string(host), ".elb.")
			if _, region, _ := strings.Cut(label, "."); region == "" && strings.Contains(rest, ".amazonaws.com") {
				return t
			}
		}
	}
	return targets[0]
}

// aliasTypes are the types of alias that an endpoint becomes; none for a record of values.
func aliasTypes(e Endpoint, target string, o Options, balancers Balancers) []Type {
	_, notAddress := netip.ParseAddr(target)
	wish := e.Settings.Alias
	switch {
	case !o.Aliases || notAddress == nil:
		return nil
	case e.Type == A || e.Type == AAAA:
		if wish == AliasAlways {
			return []Type{e.Type}
		}
		return nil
	case e.Type != CNAME || wish == AliasNever:
		return nil
	case wish == AliasAlways:
		return []Type{A, AAAA}
	case wish == AliasA || wish == AliasAAAA:
		return []Type{Type(wish)}
	case o.PreferCNAME:
		return nil
	}
	host, err := ParseName(target)
	if err != nil {
		return nil
	}
	_, known := balancers[host]
	if _, canonical := CanonicalZone(host); !known && !canonical {
		return nil
	}
	return []Type{A, AAAA}
}

// plain checks a record of values.
func plain(e Endpoint, record Record, zone Zone) shaped {
	switch {
	case record.Type == CNAME && record.Name == zone.Name:
		return shaped{verdict: refusal(e, lb.RecordRefused, strings.Join(record.Values, ","),
			fmt.Sprintf("%s is the zone itself, and a zone cannot be a CNAME", zone.Name), "Use a name below it, or a target that can be an alias")}
	case record.Type == CNAME && len(record.Values) > 1:
		record.Values = []string{front(record.Values)}
	case record.Type == TXT:
		record.Values = slices.Clone(record.Values)
		for i, v := range record.Values {
			if !strings.HasPrefix(v, `"`) {
				record.Values[i] = quote(v)
			}
		}
	}
	for _, v := range record.Values {
		a, err := netip.ParseAddr(v)
		wrong := record.Type == A && (err != nil || !a.Is4()) || record.Type == AAAA && (err != nil || !a.Is6())
		if wrong {
			return shaped{verdict: refusal(e, lb.RecordRefused, v, fmt.Sprintf("is no address for a record of type %s", record.Type), "Write an address")}
		}
	}
	return shaped{wants: []want{{Record: record, endpoint: e}}}
}

// refusal is a verdict about a name of an endpoint's object.
func refusal(e Endpoint, reason lb.Reason, value, problem, fix string) *lb.Verdict {
	return &lb.Verdict{
		Object: e.From, Severity: lb.Partial, Reason: reason, Field: "name " + string(e.Name), Value: value, Problem: problem, Fix: fix,
	}
}

// merged joins the addresses that objects of one kind ask for under one name, as ExternalDNS does: two Services with the
// same name answer together.
func merged(endpoints []Endpoint) []Endpoint {
	type group struct {
		kind  string
		t     Type
		setID string
		ttl   int64
	}
	sorted := slices.SortedFunc(slices.Values(endpoints), func(a, b Endpoint) int {
		return cmp.Or(cmp.Compare(a.Resource(), b.Resource()), cmp.Compare(a.Type, b.Type), cmp.Compare(a.SetID, b.SetID), slices.Compare(a.Targets, b.Targets))
	})
	place := map[group]int{}
	var out []Endpoint
	for _, e := range sorted {
		g := group{e.From.Kind, e.Type, e.SetID, e.TTL}
		i, seen := place[g]
		if seen && !e.Held && !out[i].Held && (e.Type == A || e.Type == AAAA) && e.Settings.Alias != AliasAlways {
			out[i].Targets = slices.Compact(slices.Sorted(slices.Values(append(slices.Clone(out[i].Targets), e.Targets...))))
			out[i].also = append(out[i].also, e.From)
			continue
		}
		place[g] = len(out)
		out = append(out, e)
	}
	return out
}
