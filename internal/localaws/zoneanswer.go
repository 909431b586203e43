package localaws

import (
	"math/rand/v2"
	"slices"
	"strings"

	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/aws/aws-sdk-go-v2/service/route53/types"
	"github.com/miekg/dns"

	"github.com/sluicehq/sluice/internal/proxy"
)

// resolver answers questions from the hosted zones, with the state's read lock held. It follows CNAMEs and aliases as
// far as zones and load balancers of this local AWS go, and no further: it is authoritative, not recursive.
type resolver struct{ *tx }

// zoneAnswer is what a question gets.
type zoneAnswer struct {
	code              int
	answer, authority []dns.RR
	referral          bool
}

// chainLimit bounds CNAMEs and aliases that lead to each other.
const chainLimit = 8

// answer answers a question; ok is false when no zone has the name.
func (r resolver) answer(question dns.Question) (out zoneAnswer, ok bool) {
	name, valid := questionName(question.Name)
	if !valid {
		return out, false
	}
	owner := question.Name // as it was asked: some clients vary its case and expect it back
	for step := range chainLimit {
		z, found := r.zoneOf(name)
		if !found {
			if step > 0 {
				out.answer = append(out.answer, r.balancerRecords(owner, name, question.Qtype)...)
			}
			return out, step > 0
		}
		if delegated, at := r.delegation(z, name, question.Qtype); at != "" {
			out.authority, out.referral = delegated, step == 0
			return out, true
		}
		sets, exists := r.setsFor(z, name)
		answers := r.records(z, owner, sets, question.Qtype, 0)
		if len(answers) == 0 {
			if target, chained := r.cname(sets, question.Qtype); chained {
				rr, err := resourceRecord(".", types.RRTypeCname, target.ttl, target.name)
				if err != nil {
					return out, true // cannot be: it was checked when it was stored
				}
				rr.Header().Name = owner
				out.answer = append(out.answer, rr)
				next, problem := recordName(target.name)
				if problem != "" {
					return out, true
				}
				name, owner = next, rr.(*dns.CNAME).Target
				continue
			}
			if !exists {
				out.code = dns.RcodeNameError
			}
			out.authority = r.soa(z)
			return out, true
		}
		out.answer = append(out.answer, answers...)
		return out, true
	}
	out.code = dns.RcodeServerFailure
	return out, true
}

// zoneOf finds the longest zone of a name. A private zone hides a public one of the same name, as it does in its VPCs:
// whoever asks is taken to be in them. Of several public ones the oldest is the delegated one.
func (r resolver) zoneOf(name string) (best dnsZone, found bool) {
	for _, z := range r.state.hostedZones.all() {
		if !inZone(name, z.name()) {
			continue
		}
		longer := len(z.name()) - len(val(best.Wire.Name))
		if !found || longer > 0 || longer == 0 && z.private() && !best.private() {
			best, found = z, true
		}
	}
	return best, found
}

// delegation finds NS records between the zone's name and a name below it.
func (r resolver) delegation(z dnsZone, name string, kind uint16) (servers []dns.RR, at string) {
	for ; name != z.name(); name = parentName(name) {
		for _, set := range r.state.recordsAt(z.id(), name) {
			if set.Type == types.RRTypeNs {
				servers, at = recordsOf(set, wireEscapes(name)), name
			}
		}
		if at == name && kind == dns.TypeDS {
			return nil, "" // the parent answers for the signature of the child
		}
	}
	return servers, at
}

// setsFor finds what is at a name, or at the wildcard that covers it.
func (r resolver) setsFor(z dnsZone, name string) (sets []types.ResourceRecordSet, exists bool) {
	if sets = r.state.recordsAt(z.id(), name); len(sets) > 0 || r.hasBelow(z, name) {
		return sets, true
	}
	for name != z.name() {
		name = parentName(name)
		if sets = r.state.recordsAt(z.id(), `\052.`+name); len(sets) > 0 {
			return sets, true
		}
		if r.state.records.has(recordKey(z.id(), name)) || r.hasBelow(z, name) {
			break // the closest name that exists; wildcards above it do not reach below it
		}
	}
	return nil, false
}

// hasBelow tells a name that exists only because there is one below it.
func (r resolver) hasBelow(z dnsZone, name string) bool {
	return r.state.records.exists(func(n recordNode) bool { return n.Zone == z.id() && strings.HasSuffix(n.Name, "."+name) })
}

// records makes the answer to a type from what is at a name.
func (r resolver) records(z dnsZone, owner string, sets []types.ResourceRecordSet, kind uint16, depth int) []dns.RR {
	if kind == dns.TypeANY {
		var all []dns.RR
		for _, set := range r.kinds(sets) {
			all = append(all, r.records(z, owner, sets, dns.StringToType[string(set)], depth)...)
		}
		return all
	}
	group := slices.DeleteFunc(slices.Clone(sets), func(s types.ResourceRecordSet) bool { return string(s.Type) != dns.TypeToString[kind] })
	var out []dns.RR
	for _, set := range r.choose(group) {
		if set.AliasTarget == nil {
			out = append(out, recordsOf(set, owner)...)
			continue
		}
		target := *set.AliasTarget.DNSName
		if *set.AliasTarget.HostedZoneId == z.id() && depth < chainLimit {
			out = append(out, r.records(z, owner, r.state.recordsAt(z.id(), target), kind, depth+1)...)
			continue
		}
		out = append(out, r.balancerRecords(owner, target, kind)...)
	}
	return out
}

func (r resolver) kinds(sets []types.ResourceRecordSet) []types.RRType {
	var out []types.RRType
	for _, set := range sets {
		if !slices.Contains(out, set.Type) {
			out = append(out, set.Type)
		}
	}
	return out
}

func recordsOf(set types.ResourceRecordSet, owner string) []dns.RR {
	var out []dns.RR
	for _, value := range set.ResourceRecords {
		rr, err := resourceRecord(".", set.Type, *set.TTL, *value.Value)
		if err != nil {
			continue // cannot be: it was checked when it was stored
		}
		rr.Header().Name = owner
		out = append(out, rr)
	}
	return out
}

// balancerRecords are the addresses behind the name of a load balancer, or of an accelerator.
func (r resolver) balancerRecords(owner, name string, kind uint16) []dns.RR {
	if kind != dns.TypeA {
		return nil
	}
	addresses, found := r.balancerAddresses(name)
	if !found {
		addresses, _ = r.acceleratorNamed(name)
	}
	return addressRecords(owner, addresses)
}

type cnameTarget struct {
	name string
	ttl  int64
}

func (r resolver) cname(sets []types.ResourceRecordSet, kind uint16) (cnameTarget, bool) {
	if kind == dns.TypeCNAME {
		return cnameTarget{}, false
	}
	group := slices.DeleteFunc(slices.Clone(sets), func(s types.ResourceRecordSet) bool { return s.Type != types.RRTypeCname })
	for _, set := range r.choose(group) {
		for range chainLimit {
			if set.AliasTarget == nil {
				return cnameTarget{*set.ResourceRecords[0].Value, *set.TTL}, true
			}
			next := r.choose(r.state.recordsAt(*set.AliasTarget.HostedZoneId, *set.AliasTarget.DNSName))
			if len(next) == 0 || next[0].Type != types.RRTypeCname {
				return cnameTarget{}, false
			}
			set = next[0]
		}
	}
	return cnameTarget{}, false
}

// soa is the authority of an answer without records. How long "no" may be remembered is the smaller of its two times.
func (r resolver) soa(z dnsZone) []dns.RR {
	for _, set := range r.state.recordsAt(z.id(), z.name()) {
		if set.Type != types.RRTypeSoa {
			continue
		}
		rrs := recordsOf(set, wireEscapes(z.name()))
		for _, rr := range rrs {
			if soa, ok := rr.(*dns.SOA); ok {
				soa.Hdr.Ttl = min(soa.Hdr.Ttl, soa.Minttl)
			}
		}
		return rrs
	}
	return nil
}

// multivalueMost is how many sets a multivalue answer has at most.
const multivalueMost = 8

// choose applies the routing policy that the sets of one name and type share. Nothing is known of where a client is:
// latency and geoproximity prefer this region, and geolocation takes the record for everywhere.
func (r resolver) choose(group []types.ResourceRecordSet) []types.ResourceRecordSet {
	if len(group) == 0 {
		return nil
	}
	policy := routing(group[0])
	if policy == "" {
		return group
	}
	first := func(sets []types.ResourceRecordSet, is func(types.ResourceRecordSet) bool) []types.ResourceRecordSet {
		at := slices.IndexFunc(sets, is)
		return sets[max(at, 0):][:1]
	}
	switch usable := alive(group, r.healthy); policy {
	case "weight":
		return weighted(usable)
	case "failover":
		return first(usable, func(s types.ResourceRecordSet) bool { return s.Failover == types.ResourceRecordSetFailoverPrimary })
	case "latency":
		return first(usable, func(s types.ResourceRecordSet) bool { return string(s.Region) == r.options.Region })
	case "geoproximity":
		return first(usable, func(s types.ResourceRecordSet) bool { return val(s.GeoProximityLocation.AWSRegion) == r.options.Region })
	case "geolocation":
		everywhere := slices.DeleteFunc(slices.Clone(usable), func(s types.ResourceRecordSet) bool { return val(s.GeoLocation.CountryCode) != "*" })
		return everywhere[:min(len(everywhere), 1)]
	default:
		mixed := slices.Clone(usable)
		rand.Shuffle(len(mixed), func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
		return mixed[:min(len(mixed), multivalueMost)]
	}
}

// weighted picks one by chance. Weight 0 is never picked unless all have it.
func weighted(sets []types.ResourceRecordSet) []types.ResourceRecordSet {
	total := int64(0)
	for _, set := range sets {
		total += *set.Weight
	}
	if total == 0 {
		at := rand.IntN(len(sets))
		return sets[at : at+1]
	}
	n := rand.Int64N(total)
	for i, set := range sets {
		if n -= *set.Weight; n < 0 {
			return sets[i : i+1]
		}
	}
	return sets[:1]
}

// healthy: an alias that asks for its target's health has it, if the load balancer there is healthy. All else is taken to
// be healthy.
func (r resolver) healthy(set types.ResourceRecordSet) bool {
	if set.AliasTarget == nil || !set.AliasTarget.EvaluateTargetHealth {
		return true
	}
	b, found := r.state.balancerNamed(*set.AliasTarget.DNSName)
	return !found || r.balancerHealthy(b)
}

// balancerHealthy: in every target group in use that has targets one is healthy.
func (r resolver) balancerHealthy(b loadBalancer) bool {
	for arn := range r.state.targetGroups.all() {
		if !slices.Contains(r.balancersOf(arn), b.arn()) {
			continue
		}
		targets := r.plane.Health(proxy.TargetGroupID(arn))
		if len(targets) > 0 && !slices.ContainsFunc(targets, func(t proxy.TargetHealth) bool { return t.State == string(elbtypes.TargetHealthStateEnumHealthy) }) {
			return false
		}
	}
	return true
}

// isNameServer tells the names that zones are delegated to. They lead to this DNS server.
func (r resolver) isNameServer(name string) bool {
	name = strings.TrimSuffix(strings.ToLower(name), ".")
	return r.state.hostedZones.exists(func(z dnsZone) bool { return slices.Contains(z.Servers, name) })
}

func (x *tx) testDNSAnswer(in *route53.TestDNSAnswerInput) (*route53.TestDNSAnswerOutput, error) {
	z, err := x.zone(in.HostedZoneId)
	if err != nil {
		return nil, err
	}
	name, problem := recordName(*in.RecordName)
	if problem != "" || !inZone(name, z.name()) {
		return nil, invalidInput("The record name '%s' is not valid in the zone %s", *in.RecordName, z.name())
	}
	r := resolver{x}
	sets, exists := r.setsFor(z, name)
	out := &route53.TestDNSAnswerOutput{
		Nameserver: &z.Servers[0], Protocol: ptr("UDP"), RecordName: &name, RecordType: in.RecordType, RecordData: []string{},
		ResponseCode: ptr(dns.RcodeToString[dns.RcodeSuccess]),
	}
	if !exists {
		out.ResponseCode = ptr(dns.RcodeToString[dns.RcodeNameError])
	}
	for _, rr := range r.records(z, wireEscapes(name), sets, dns.StringToType[string(in.RecordType)], 0) {
		out.RecordData = append(out.RecordData, strings.TrimPrefix(rr.String(), rr.Header().String()))
	}
	return out, nil
}
