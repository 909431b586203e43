package localaws

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/aws/aws-sdk-go-v2/service/route53/types"

	"github.com/sluicehq/sluice/internal/localaws/wire"
)

// recordNode is all that a zone has at one name, so that DNS questions are answered without a search.
type recordNode struct {
	Zone, Name string
	Sets       []types.ResourceRecordSet // by type and identifier
}

func recordKey(zone, name string) string { return zone + " " + name }

// putRecords replaces what is at a name; nothing there removes the name.
func (x *tx) putRecords(zone, name string, sets []types.ResourceRecordSet) {
	if len(sets) == 0 {
		x.state.records.delete(x, recordKey(zone, name))
		return
	}
	slices.SortFunc(sets, compareSets)
	x.state.records.put(x, recordKey(zone, name), recordNode{zone, name, sets})
}

// compareSets is the order in which sets are listed.
func compareSets(a, b types.ResourceRecordSet) int {
	return cmp.Or(compareNames(*a.Name, *b.Name), cmp.Compare(a.Type, b.Type), cmp.Compare(val(a.SetIdentifier), val(b.SetIdentifier)))
}

// recordSets lists a zone's sets in their order.
func (s *state) recordSets(zone string) []types.ResourceRecordSet {
	var sets []types.ResourceRecordSet
	for _, node := range s.records.find(func(n recordNode) bool { return n.Zone == zone }) {
		sets = append(sets, node.Sets...)
	}
	slices.SortFunc(sets, compareSets)
	return sets
}

func (s *state) recordsAt(zone, name string) []types.ResourceRecordSet {
	node, _ := s.records.get(recordKey(zone, name))
	return node.Sets
}

// The limits of one batch; an UPSERT counts twice.
const (
	batchRecords    = 1000
	batchCharacters = 32_000
	setRecords      = 400 // values of one set
	setsOfName      = 100 // sets of one name and type
	recordPage      = 300
)

// changeResourceRecordSets makes all changes or none, and says all that is wrong with them.
func (x *tx) changeResourceRecordSets(in *route53.ChangeResourceRecordSetsInput) (*route53.ChangeResourceRecordSetsOutput, error) {
	z, err := x.zone(in.HostedZoneId)
	if err != nil {
		return nil, err
	}
	for _, c := range in.ChangeBatch.Changes {
		if id := c.ResourceRecordSet.HealthCheckId; id != nil {
			return nil, wire.Errorf("NoSuchHealthCheck", "No health check exists with the specified ID: %s", *id)
		}
	}
	b := batch{tx: x, zone: z, seen: map[string]bool{}, touched: map[string]bool{}}
	b.checkSize(in.ChangeBatch.Changes)
	for _, c := range in.ChangeBatch.Changes {
		b.change(c)
	}
	if len(b.problems) == 0 {
		b.checkOutcome()
	}
	if len(b.problems) > 0 {
		return nil, wire.Errorf("InvalidChangeBatch", "[%s]", strings.Join(b.problems, ", "))
	}
	if err := x.validateCertificates(); err != nil {
		return nil, err
	}
	return &route53.ChangeResourceRecordSetsOutput{ChangeInfo: x.newChange(in.ChangeBatch.Comment)}, nil
}

// batch is a change batch at work on a zone.
type batch struct {
	*tx
	zone     dnsZone
	seen     map[string]bool // actions on sets
	touched  map[string]bool // names
	problems []string
}

func (b *batch) say(format string, args ...any) {
	b.problems = append(b.problems, fmt.Sprintf(format, args...))
}

func (b *batch) checkSize(changes []types.Change) {
	records, characters := 0, 0
	for _, c := range changes {
		times := 1
		if c.Action == types.ChangeActionUpsert {
			times = 2
		}
		for _, r := range c.ResourceRecordSet.ResourceRecords {
			records += times
			characters += times * len(val(r.Value))
		}
	}
	if records > batchRecords {
		b.say("Number of records limit of %d exceeded.", batchRecords)
	}
	if characters > batchCharacters {
		b.say("Number of characters limit of %d exceeded.", batchCharacters)
	}
}

// setName is how Route 53 names a set in its complaints.
func setName(set types.ResourceRecordSet) string {
	text := fmt.Sprintf("[name='%s', type='%s'", *set.Name, set.Type)
	if set.SetIdentifier != nil {
		text += fmt.Sprintf(", set-identifier='%s'", *set.SetIdentifier)
	}
	return text + "]"
}

func (b *batch) change(c types.Change) {
	set := *c.ResourceRecordSet
	name, problem := recordName(*set.Name)
	if problem != "" {
		b.say("FATAL problem: %s encountered with '%s'", problem, *set.Name)
		return
	}
	set.Name = &name
	if !inZone(name, b.zone.name()) {
		b.say("RRSet with DNS name %s is not permitted in zone %s", name, b.zone.name())
		return
	}
	if set.AliasTarget != nil {
		target, problem := recordName(*set.AliasTarget.DNSName)
		if problem != "" {
			b.say("FATAL problem: %s encountered with '%s'", problem, *set.AliasTarget.DNSName)
			return
		}
		alias := *set.AliasTarget
		alias.DNSName = &target
		alias.HostedZoneId = ptr(strings.TrimPrefix(*alias.HostedZoneId, "/hostedzone/"))
		set.AliasTarget = &alias
	}
	key := fmt.Sprint(c.Action, " ", setName(set))
	if b.seen[key] {
		b.say("The request contains an invalid set of changes for a resource record set '%s %s'", set.Type, name)
		return
	}
	b.seen[key] = true
	b.touched[name] = true

	sets := slices.Clone(b.state.recordsAt(b.zone.id(), name))
	at := slices.IndexFunc(sets, func(o types.ResourceRecordSet) bool {
		return o.Type == set.Type && val(o.SetIdentifier) == val(set.SetIdentifier)
	})
	if c.Action == types.ChangeActionDelete {
		switch {
		case at < 0:
			b.say("Tried to delete resource record set %s but it was not found", setName(set))
		case !matchesSet(sets[at], set):
			b.say("Tried to delete resource record set %s but the values provided do not match the current values", setName(set))
		case b.zone.required(set):
			b.say("A HostedZone must contain at least one %s record for the zone itself.", set.Type)
		default:
			b.putRecords(b.zone.id(), name, slices.Delete(sets, at, at+1))
		}
		return
	}
	if problems := setProblems(c.Action, set); len(problems) > 0 {
		b.problems = append(b.problems, problems...)
		return
	}
	switch {
	case at >= 0 && c.Action == types.ChangeActionCreate:
		b.say("Tried to create resource record set %s but it already exists", setName(set))
		return
	case at >= 0:
		sets[at] = set
	default:
		sets = append(sets, set)
	}
	b.putRecords(b.zone.id(), name, sets)
}

// matchesSet compares what a DELETE gives with what is there; the order of values does not matter.
func matchesSet(have, given types.ResourceRecordSet) bool {
	values := func(s types.ResourceRecordSet) []string {
		var out []string
		for _, r := range s.ResourceRecords {
			out = append(out, val(r.Value))
		}
		slices.Sort(out)
		return out
	}
	if !slices.Equal(values(have), values(given)) {
		return false
	}
	have.ResourceRecords, given.ResourceRecords = nil, nil
	return reflect.DeepEqual(have, given)
}

// checkOutcome looks at the zone as it would be.
func (b *batch) checkOutcome() {
	for name := range b.touched {
		sets := b.state.recordsAt(b.zone.id(), name)
		b.checkName(name, sets)
		for _, set := range sets {
			if set.AliasTarget != nil {
				b.checkAlias(set)
			}
		}
	}
	slices.Sort(b.problems)
	limit := b.quota["sluice/record-sets-per-zone"]
	if len(b.problems) == 0 && len(b.state.recordSets(b.zone.id())) > limit {
		b.say("The request would exceed the limit of %d resource record sets in zone %s", limit, b.zone.name())
	}
}

// checkName: a CNAME is alone and not at the apex, and sets of one name and type share a routing policy.
func (b *batch) checkName(name string, sets []types.ResourceRecordSet) {
	byType := map[types.RRType][]types.ResourceRecordSet{}
	for _, set := range sets {
		byType[set.Type] = append(byType[set.Type], set)
	}
	if len(byType[types.RRTypeCname]) > 0 {
		if name == b.zone.name() {
			b.say("RRSet of type CNAME with DNS name %s is not permitted at apex in zone %s", name, b.zone.name())
			return
		}
		for _, set := range sets {
			if set.Type != types.RRTypeCname {
				b.say("RRSet of type CNAME with DNS name %s is not permitted because a conflicting RRSet of type %s with the same DNS name "+
					"already exists in zone %s", name, set.Type, b.zone.name())
				return
			}
		}
	}
	for kind, group := range byType {
		if len(group) > setsOfName {
			b.say("The limit of %d resource record sets with the same DNS name and type is exceeded: %s, %s", setsOfName, name, kind)
		}
		for _, set := range group[1:] {
			if routing(set) != routing(group[0]) {
				b.say("RRSet with DNS name %s, type %s, SetIdentifier %s cannot be created as other RRSets exist with the same name and type "+
					"and another routing policy.", name, kind, orNull(set.SetIdentifier))
			}
		}
		b.checkTwins(name, kind, group)
	}
}

// checkTwins: two sets of one name and type must differ in what they are chosen by.
func (b *batch) checkTwins(name string, kind types.RRType, group []types.ResourceRecordSet) {
	seen := map[string]bool{}
	for _, set := range group {
		var by string
		switch routing(set) {
		case "latency":
			by = string(set.Region)
		case "failover":
			by = string(set.Failover)
		case "geolocation":
			g := set.GeoLocation
			by = val(g.ContinentCode) + "/" + val(g.CountryCode) + "/" + val(g.SubdivisionCode)
		default:
			continue
		}
		if seen[by] {
			b.say("RRSet with DNS name %s, type %s, SetIdentifier %s, and %s %s cannot be created because a record set with the same "+
				"%s already exists.", name, kind, orNull(set.SetIdentifier), routing(set), by, routing(set))
		}
		seen[by] = true
	}
}

// checkAlias: a target in a zone that is here must be there. The zones of other AWS services and of other regions are
// not here; their targets are taken as they are.
func (b *batch) checkAlias(set types.ResourceRecordSet) {
	target, zone := *set.AliasTarget.DNSName, *set.AliasTarget.HostedZoneId
	say := func(what string) {
		b.say("Tried to create an alias that targets %s, type %s in zone %s, but %s", target, set.Type, zone, what)
	}
	if balancer, found := b.state.balancerNamed(target); found {
		if val(balancer.Wire.CanonicalHostedZoneId) != zone {
			say("the alias target name does not lie within the target zone")
		}
		return
	}
	if zone == hostedZone(b.options.Region) || zone == networkHostedZone(b.options.Region) {
		say("that target was not found")
		return
	}
	z, local := b.state.hostedZones.get(zone)
	switch {
	case !local:
		return
	case zone != b.zone.id():
		say("the alias target must be in the hosted zone of the alias")
	case !inZone(target, z.name()):
		say("the alias target name does not lie within the target zone")
	case target == *set.Name:
		say("an alias cannot target itself")
	case set.Type == types.RRTypeNs || set.Type == types.RRTypeSoa:
		say("aliases of this type are not permitted")
	case !slices.ContainsFunc(b.state.recordsAt(zone, target), func(o types.ResourceRecordSet) bool { return o.Type == set.Type }):
		say("that target was not found")
	}
}

func orNull(s *string) string { return firstOf(val(s), "null") }

func (x *tx) listResourceRecordSets(in *route53.ListResourceRecordSetsInput) (*route53.ListResourceRecordSetsOutput, error) {
	z, err := x.zone(in.HostedZoneId)
	if err != nil {
		return nil, err
	}
	size, err := pageSize(in.MaxItems, recordPage)
	if err != nil {
		return nil, err
	}
	from := types.ResourceRecordSet{Name: ptr(""), Type: in.StartRecordType, SetIdentifier: in.StartRecordIdentifier}
	switch {
	case in.StartRecordName != nil:
		name, problem := recordName(*in.StartRecordName)
		if problem != "" {
			return nil, invalidInput("The record name '%s' is not valid. %s", *in.StartRecordName, problem)
		}
		from.Name = &name
	case in.StartRecordType != "":
		return nil, invalidInput("The record type can only be given with a record name")
	}
	if in.StartRecordIdentifier != nil && in.StartRecordType == "" {
		return nil, invalidInput("The record identifier can only be given with a record name and a record type")
	}
	out := &route53.ListResourceRecordSetsOutput{ResourceRecordSets: []types.ResourceRecordSet{}, MaxItems: &size}
	for _, set := range x.state.recordSets(z.id()) {
		if compareSets(set, from) < 0 {
			continue
		}
		if len(out.ResourceRecordSets) == int(size) {
			out.IsTruncated, out.NextRecordName, out.NextRecordType, out.NextRecordIdentifier = true, set.Name, set.Type, set.SetIdentifier
			break
		}
		out.ResourceRecordSets = append(out.ResourceRecordSets, set)
	}
	return out, nil
}
