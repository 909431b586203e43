package localaws

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/aws/aws-sdk-go-v2/service/route53/types"

	"github.com/sluicehq/sluice/internal/localaws/wire"
)

// dnsZone is a Route 53 zone, private where it has VPCs. The count of its records is made on reading.
type dnsZone struct {
	Wire    types.HostedZone
	Servers []string
	VPCs    []types.VPC
}

func (z dnsZone) id() string    { return strings.TrimPrefix(val(z.Wire.Id), "/hostedzone/") }
func (z dnsZone) name() string  { return *z.Wire.Name }
func (z dnsZone) private() bool { return z.Wire.Config.PrivateZone }

// zone gets the zone an input names, with or without "/hostedzone/".
func (x *tx) zone(id *string) (dnsZone, error) {
	short := strings.TrimPrefix(val(id), "/hostedzone/")
	z, ok := x.state.hostedZones.get(short)
	if !ok {
		return z, noSuchZone(short)
	}
	return z, nil
}

// zoneWire is a zone as it is answered.
func (x *tx) zoneWire(z dnsZone) types.HostedZone {
	w := z.Wire
	w.ResourceRecordSetCount = ptr(int64(len(x.state.recordSets(z.id()))))
	return w
}

func (x *tx) createHostedZone(in *route53.CreateHostedZoneInput) (*route53.CreateHostedZoneOutput, error) {
	name, problem := recordName(*in.Name)
	if problem != "" || name == "." || strings.HasPrefix(name, `\052.`) {
		return nil, wire.Errorf("InvalidDomainName", "The domain name '%s' is not valid. %s", *in.Name, problem)
	}
	if in.DelegationSetId != nil {
		return nil, wire.Errorf("NoSuchDelegationSet", "No delegation set found with ID: %s", *in.DelegationSetId)
	}
	config := types.HostedZoneConfig{}
	if in.HostedZoneConfig != nil {
		config = *in.HostedZoneConfig
	}
	if config.PrivateZone && in.VPC == nil {
		return nil, invalidInput("When you're creating a private hosted zone (when you specify true for PrivateZone), you must also " +
			"specify values for VPCId and VPCRegion.")
	}
	config.PrivateZone = in.VPC != nil
	for _, z := range x.state.hostedZones.all() {
		if *z.Wire.CallerReference == *in.CallerReference {
			return nil, wire.Errorf("HostedZoneAlreadyExists",
				"A hosted zone has already been created with the specified caller reference: %s", *in.CallerReference)
		}
	}
	if limit := x.quota["sluice/hosted-zones"]; x.state.hostedZones.len() >= limit {
		return nil, wire.Errorf("TooManyHostedZones", "Limits Exceeded: MAX_HOSTED_ZONES_BY_OWNER - Cannot create more than %d hosted zones.", limit)
	}
	z := dnsZone{
		Wire: types.HostedZone{
			Id: ptr("/hostedzone/Z" + strings.ToUpper(x.hex(20))), Name: &name, CallerReference: in.CallerReference, Config: &config,
		},
		Servers: []string{"ns-0.awsdns-00.com", "ns-512.awsdns-00.net", "ns-1024.awsdns-00.org", "ns-1536.awsdns-00.co.uk"},
	}
	if in.VPC != nil {
		if err := x.checkZoneVPC(z, in.VPC); err != nil {
			return nil, err
		}
		z.VPCs = []types.VPC{*in.VPC}
	} else {
		z.Servers = x.nameServers()
	}
	x.state.hostedZones.put(x, z.id(), z)
	x.setTags(z.id(), "arn:aws:route53:::hostedzone/"+z.id(), nil)
	x.putRecords(z.id(), name, x.apexRecords(z))
	out := &route53.CreateHostedZoneOutput{
		HostedZone: ptr(x.zoneWire(z)), ChangeInfo: x.newChange(nil), DelegationSet: z.delegation(), VPC: in.VPC,
		Location: ptr("https://route53.amazonaws.com/2013-04-01/hostedzone/" + z.id()),
	}
	return out, nil
}

// delegation is what a registrar would be told; a private zone has none.
func (z dnsZone) delegation() *types.DelegationSet {
	if z.private() {
		return nil
	}
	return &types.DelegationSet{NameServers: z.Servers}
}

// nameServers picks four, one in each of the domains that Route 53 has them in.
func (x *tx) nameServers() []string {
	var servers []string
	for i, domain := range []string{"com", "net", "org", "co.uk"} {
		n := int(x.digits()[3]-'0')*50 + int(x.digits()[4]-'0')*5 + i
		servers = append(servers, fmt.Sprintf("ns-%d.awsdns-%02d.%s", 512*i+n, n%64, domain))
	}
	return servers
}

// apexRecords are the two sets that every zone has.
func (x *tx) apexRecords(z dnsZone) []types.ResourceRecordSet {
	ns := types.ResourceRecordSet{Name: z.Wire.Name, Type: types.RRTypeNs, TTL: ptr(int64(172800))}
	for _, server := range z.Servers {
		ns.ResourceRecords = append(ns.ResourceRecords, types.ResourceRecord{Value: ptr(server + ".")})
	}
	soa := z.Servers[0] + ". awsdns-hostmaster.amazon.com. 1 7200 900 1209600 86400"
	return []types.ResourceRecordSet{ns, {
		Name: z.Wire.Name, Type: types.RRTypeSoa, TTL: ptr(int64(900)), ResourceRecords: []types.ResourceRecord{{Value: &soa}},
	}}
}

// checkZoneVPC: a VPC that is here, and that sees no other zone of the name.
func (x *tx) checkZoneVPC(z dnsZone, v *types.VPC) error {
	if string(v.VPCRegion) != x.options.Region || !x.state.vpcs.has(val(v.VPCId)) {
		return wire.Errorf("InvalidVPCId", "The VPC: %s in region %s that you provided does not exist or is not authorized.", val(v.VPCId), v.VPCRegion)
	}
	for _, o := range x.state.hostedZones.all() {
		if o.name() == z.name() && o.id() != z.id() && o.sees(v) {
			return wire.Errorf("ConflictingDomainExists", "The VPC %s in region %s has already been associated with the hosted zone %s with "+
				"the same domain name.", *v.VPCId, v.VPCRegion, o.id())
		}
	}
	return nil
}

// sees tells whether a VPC is among a private zone's.
func (z dnsZone) sees(v *types.VPC) bool {
	return slices.ContainsFunc(z.VPCs, func(o types.VPC) bool { return val(o.VPCId) == val(v.VPCId) && o.VPCRegion == v.VPCRegion })
}

func (x *tx) deleteHostedZone(in *route53.DeleteHostedZoneInput) (*route53.DeleteHostedZoneOutput, error) {
	z, err := x.zone(in.Id)
	if err != nil {
		return nil, err
	}
	for _, set := range x.state.recordSets(z.id()) {
		if !z.required(set) {
			return nil, wire.Errorf("HostedZoneNotEmpty",
				"The specified hosted zone contains non-required resource record sets and so cannot be deleted.")
		}
	}
	x.state.records.delete(x, recordKey(z.id(), z.name()))
	x.state.hostedZones.delete(x, z.id())
	x.state.tags.delete(x, z.id())
	return &route53.DeleteHostedZoneOutput{ChangeInfo: x.newChange(nil)}, nil
}

// required tells the SOA and NS sets of the zone itself, which cannot be deleted.
func (z dnsZone) required(set types.ResourceRecordSet) bool {
	return *set.Name == z.name() && (set.Type == types.RRTypeNs || set.Type == types.RRTypeSoa)
}

func (x *tx) getHostedZone(in *route53.GetHostedZoneInput) (*route53.GetHostedZoneOutput, error) {
	z, err := x.zone(in.Id)
	if err != nil {
		return nil, err
	}
	return &route53.GetHostedZoneOutput{HostedZone: ptr(x.zoneWire(z)), DelegationSet: z.delegation(), VPCs: z.VPCs}, nil
}

func (x *tx) getHostedZoneCount(*route53.GetHostedZoneCountInput) (*route53.GetHostedZoneCountOutput, error) {
	return &route53.GetHostedZoneCountOutput{HostedZoneCount: ptr(int64(x.state.hostedZones.len()))}, nil
}

func (x *tx) getHostedZoneLimit(in *route53.GetHostedZoneLimitInput) (*route53.GetHostedZoneLimitOutput, error) {
	z, err := x.zone(in.HostedZoneId)
	if err != nil {
		return nil, err
	}
	out := &route53.GetHostedZoneLimitOutput{Limit: &types.HostedZoneLimit{Type: in.Type}}
	switch in.Type {
	case types.HostedZoneLimitTypeMaxRrsetsByZone:
		out.Count, out.Limit.Value = *x.zoneWire(z).ResourceRecordSetCount, ptr(int64(x.quota["sluice/record-sets-per-zone"]))
	case types.HostedZoneLimitTypeMaxVpcsAssociatedByZone:
		if !z.private() {
			return nil, wire.Errorf("HostedZoneNotPrivate", "The specified hosted zone is a public hosted zone.")
		}
		out.Count, out.Limit.Value = int64(len(z.VPCs)), ptr(int64(x.quota["sluice/vpcs-per-zone"]))
	}
	return out, nil
}

func (x *tx) updateHostedZoneComment(in *route53.UpdateHostedZoneCommentInput) (*route53.UpdateHostedZoneCommentOutput, error) {
	z, err := x.zone(in.Id)
	if err != nil {
		return nil, err
	}
	z.Wire.Config = &types.HostedZoneConfig{Comment: in.Comment, PrivateZone: z.private()}
	x.state.hostedZones.put(x, z.id(), z)
	return &route53.UpdateHostedZoneCommentOutput{HostedZone: ptr(x.zoneWire(z))}, nil
}

func (x *tx) associateVPCWithHostedZone(in *route53.AssociateVPCWithHostedZoneInput) (*route53.AssociateVPCWithHostedZoneOutput, error) {
	z, err := x.zone(in.HostedZoneId)
	if err != nil {
		return nil, err
	}
	if !z.private() {
		return nil, wire.Errorf("PublicZoneVPCAssociation", "You cannot associate a VPC with a public hosted zone.")
	}
	if err := x.checkZoneVPC(z, in.VPC); err != nil {
		return nil, err
	}
	if !z.sees(in.VPC) {
		if limit := x.quota["sluice/vpcs-per-zone"]; len(z.VPCs) >= limit {
			return nil, wire.Errorf("LimitsExceeded", "Limits Exceeded: MAX_VPCS_ASSOCIATED_BY_ZONE - Cannot associate more than %d VPCs.", limit)
		}
		z.VPCs = append(slices.Clone(z.VPCs), *in.VPC)
		x.state.hostedZones.put(x, z.id(), z)
	}
	return &route53.AssociateVPCWithHostedZoneOutput{ChangeInfo: x.newChange(in.Comment)}, nil
}

func (x *tx) disassociateVPCFromHostedZone(in *route53.DisassociateVPCFromHostedZoneInput) (*route53.DisassociateVPCFromHostedZoneOutput, error) {
	z, err := x.zone(in.HostedZoneId)
	if err != nil {
		return nil, err
	}
	if !z.sees(in.VPC) {
		return nil, wire.Errorf("VPCAssociationNotFound", "The VPC %s in region %s is not associated with the hosted zone.",
			val(in.VPC.VPCId), in.VPC.VPCRegion)
	}
	if len(z.VPCs) == 1 {
		return nil, wire.Errorf("LastVPCAssociation", "Cannot remove last VPC association for the private zone")
	}
	z.VPCs = slices.DeleteFunc(slices.Clone(z.VPCs), func(v types.VPC) bool { return *v.VPCId == val(in.VPC.VPCId) })
	x.state.hostedZones.put(x, z.id(), z)
	return &route53.DisassociateVPCFromHostedZoneOutput{ChangeInfo: x.newChange(in.Comment)}, nil
}

func (x *tx) listHostedZones(in *route53.ListHostedZonesInput) (*route53.ListHostedZonesOutput, error) {
	if in.DelegationSetId != nil {
		return nil, wire.Errorf("NoSuchDelegationSet", "No delegation set found with ID: %s", *in.DelegationSetId)
	}
	size, err := pageSize(in.MaxItems, zonePage)
	if err != nil {
		return nil, err
	}
	all := x.state.hostedZones.items(func(_ string, z dnsZone) bool { return in.HostedZoneType == "" || z.private() })
	found, next, ok := page(all, val(in.Marker), int(size))
	if !ok {
		return nil, invalidInput("The marker '%s' is not valid", *in.Marker)
	}
	out := &route53.ListHostedZonesOutput{HostedZones: []types.HostedZone{}, MaxItems: &size, Marker: in.Marker}
	for _, z := range found {
		out.HostedZones = append(out.HostedZones, x.zoneWire(z.value))
	}
	if next != "" {
		out.IsTruncated, out.NextMarker = true, &next
	}
	return out, nil
}

func (x *tx) listHostedZonesByName(in *route53.ListHostedZonesByNameInput) (*route53.ListHostedZonesByNameOutput, error) {
	size, err := pageSize(in.MaxItems, zonePage)
	if err != nil {
		return nil, err
	}
	from, fromID := "", strings.TrimPrefix(val(in.HostedZoneId), "/hostedzone/")
	if in.DNSName != nil {
		name, problem := recordName(*in.DNSName)
		if problem != "" {
			return nil, wire.Errorf("InvalidDomainName", "The domain name '%s' is not valid. %s", *in.DNSName, problem)
		}
		from = name
	} else if fromID != "" {
		return nil, invalidInput("A hosted zone ID can only be given with a DNS name")
	}
	var zones []dnsZone
	for _, z := range x.state.hostedZones.all() {
		if c := compareNames(z.name(), from); c > 0 || c == 0 && z.id() >= fromID {
			zones = append(zones, z)
		}
	}
	slices.SortFunc(zones, func(a, b dnsZone) int {
		return cmp.Or(compareNames(a.name(), b.name()), cmp.Compare(a.id(), b.id()))
	})
	out := &route53.ListHostedZonesByNameOutput{
		HostedZones: []types.HostedZone{}, MaxItems: &size, DNSName: in.DNSName, HostedZoneId: in.HostedZoneId,
	}
	for i, z := range zones {
		if i == int(size) {
			out.IsTruncated, out.NextDNSName, out.NextHostedZoneId = true, z.Wire.Name, ptr(z.id())
			break
		}
		out.HostedZones = append(out.HostedZones, x.zoneWire(z))
	}
	return out, nil
}

func (x *tx) listHostedZonesByVPC(in *route53.ListHostedZonesByVPCInput) (*route53.ListHostedZonesByVPCOutput, error) {
	size, err := pageSize(in.MaxItems, zonePage)
	if err != nil {
		return nil, err
	}
	v := &types.VPC{VPCId: in.VPCId, VPCRegion: in.VPCRegion}
	if string(in.VPCRegion) != x.options.Region || !x.state.vpcs.has(*in.VPCId) {
		return nil, invalidInput("The VPC %s in region %s does not exist or is not authorized.", *in.VPCId, in.VPCRegion)
	}
	found, next, ok := page(x.state.hostedZones.items(func(_ string, z dnsZone) bool { return z.sees(v) }), val(in.NextToken), int(size))
	if !ok {
		return nil, wire.Errorf("InvalidPaginationToken", "The value of the pagination token is not valid.")
	}
	out := &route53.ListHostedZonesByVPCOutput{HostedZoneSummaries: []types.HostedZoneSummary{}, MaxItems: &size}
	if next != "" {
		out.NextToken = &next
	}
	for _, z := range found {
		out.HostedZoneSummaries = append(out.HostedZoneSummaries, types.HostedZoneSummary{
			HostedZoneId: ptr(z.value.id()), Name: z.value.Wire.Name, Owner: &types.HostedZoneOwner{OwningAccount: &x.options.AccountID},
		})
	}
	return out, nil
}
