package aws

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/sluicehq/sluice/internal/lb"
)

// mapping is a subnet of a network load balancer with the addresses that it has there, as far as any are given.
type mapping struct {
	Subnet    string
	EIP       string // allocation id
	IPv4      string
	IPv6      string
	NATPrefix string
}

// autoAssigned lets AWS choose a prefix for source NAT.
const autoAssigned = "auto_assigned"

// given says whether somebody gave an address; else the subnet alone is all that AWS must know.
func (m mapping) given() bool { return m != mapping{Subnet: m.Subnet} }

// String is "subnet-1: eipalloc-1".
func (m mapping) String() string {
	list := slices.DeleteFunc([]string{m.EIP, m.IPv4, m.IPv6, m.NATPrefix}, func(s string) bool { return s == "" })
	return m.Subnet + ": " + strings.Join(list, " ")
}

func compareMappings(a, b mapping) int { return cmp.Compare(a.Subnet, b.Subnet) }

// mappings gives static addresses to subnets, in their order: allocations and prefixes one by one, the others to the
// subnet whose block they are in. It returns nil where none are given. Without known subnets, all go one by one.
func mappings(b lb.LoadBalancer, ids []string, known []subnet) ([]mapping, []lb.Verdict) {
	addresses := b.Network.Addresses
	out := make([]mapping, len(ids))
	blocks := make([][]netip.Prefix, len(ids))
	for i, id := range ids {
		out[i].Subnet = id
		if at := slices.IndexFunc(known, func(s subnet) bool { return s.ID == id }); at >= 0 {
			blocks[i] = known[at].Blocks
		}
	}
	var verdicts []lb.Verdict
	place := func(list []lb.StaticAddress, put func(m *mapping, value string), byBlock bool) {
		if len(list) > 0 && len(list) != len(ids) {
			verdicts = append(verdicts, addressVerdict(list[0], fmt.Sprintf("and %d others are not as many as the load balancer's %d subnets (%s)",
				len(list)-1, len(ids), strings.Join(ids, ", ")), "Name one for each subnet"))
			return
		}
		for i, a := range list {
			if byBlock && known != nil {
				var problem string
				if i, problem = subnetOf(a.Value, blocks); problem != "" {
					verdicts = append(verdicts, addressVerdict(a, problem+" ("+strings.Join(ids, ", ")+")", "Name one free address of each subnet"))
					continue
				}
			}
			put(&out[i], a.Value)
		}
	}
	place(addresses.EIPs, func(m *mapping, v string) { m.EIP = v }, false)
	place(addresses.PrivateIPv4, func(m *mapping, v string) { m.IPv4 = v }, true)
	place(addresses.IPv6, func(m *mapping, v string) { m.IPv6 = v }, true)
	if b.Network.SourceNAT == lb.On {
		place(addresses.SourceNATPrefixes, func(m *mapping, v string) { m.NATPrefix = v }, false)
	}
	for i, m := range out {
		if m.NATPrefix != "" && m.NATPrefix != autoAssigned && known != nil && !contains(blocks[i], m.NATPrefix) {
			verdicts = append(verdicts, addressVerdict(addresses.SourceNATPrefixes[i], "is not in "+m.Subnet, "Name a /80 of it, or auto_assigned"))
		}
	}
	if !slices.ContainsFunc(out, mapping.given) {
		return nil, verdicts
	}
	slices.SortFunc(out, compareMappings)
	return out, verdicts
}

func addressVerdict(a lb.StaticAddress, problem, fix string) lb.Verdict {
	return lb.Verdict{
		Object: a.From, Severity: lb.Refused, Reason: lb.InvalidSubnets, Field: a.Field, Value: a.Value, Problem: problem, Fix: fix,
	}
}

// subnetOf finds the one subnet that an address is in.
func subnetOf(address string, blocks [][]netip.Prefix) (at int, problem string) {
	at = -1
	for i, list := range blocks {
		if !contains(list, address) {
			continue
		}
		if at >= 0 {
			return 0, "is in several of the load balancer's subnets"
		}
		at = i
	}
	if at < 0 {
		return 0, "is in none of the load balancer's subnets"
	}
	return at, ""
}

// contains says whether an address, or a whole block, is in one of these.
func contains(blocks []netip.Prefix, text string) bool {
	inner, err := netip.ParsePrefix(text)
	if err != nil {
		address, err := netip.ParseAddr(text)
		if err != nil {
			return false
		}
		inner = netip.PrefixFrom(address, address.BitLen())
	}
	return slices.ContainsFunc(blocks, func(b netip.Prefix) bool { return b.Bits() <= inner.Bits() && b.Contains(inner.Addr()) })
}

// fixedAddresses warns of addresses that differ from those that a load balancer was made with: AWS changes none of a
// subnet that it has already.
func fixedAddresses(b lb.LoadBalancer, row loadBalancer, want []mapping) []lb.Verdict {
	all := slices.Concat(b.Network.Addresses.EIPs, b.Network.Addresses.PrivateIPv4, b.Network.Addresses.IPv6)
	var verdicts []lb.Verdict
	for _, w := range want {
		i := slices.IndexFunc(row.Mappings, func(m mapping) bool { return m.Subnet == w.Subnet })
		if i < 0 {
			continue
		}
		have := row.Mappings[i]
		for _, pair := range [][2]string{{w.EIP, have.EIP}, {w.IPv4, have.IPv4}, {w.IPv6, have.IPv6}} {
			asked := slices.IndexFunc(all, func(a lb.StaticAddress) bool { return a.Value == pair[0] })
			if pair[0] == pair[1] || asked < 0 || pair[0] == w.IPv6 && row.IPAddressType != lb.DualStack {
				continue
			}
			v := addressVerdict(all[asked], fmt.Sprintf("is not what the load balancer has in %s (%s), and AWS cannot change it there",
				w.Subnet, cmp.Or(pair[1], "an address of AWS's choice")), "Name another subnet, or delete the Service and create it again")
			v.Severity = lb.Warning
			verdicts = append(verdicts, v)
		}
	}
	return verdicts
}

// over is the load balancer as the wanted one sees it: what nobody asks for is as wanted, and so are addresses that AWS
// cannot change any more.
func (r loadBalancer) over(want LoadBalancer) loadBalancer {
	if want.SourceNAT == lb.AsIs || want.SourceNAT == lb.Off && r.SourceNAT == lb.AsIs {
		r.SourceNAT = want.SourceNAT
	}
	if want.PrivateLink == lb.AsIs {
		r.PrivateLink = lb.AsIs
	}
	var seen []mapping
	for _, w := range want.Mappings {
		i := slices.IndexFunc(r.Mappings, func(m mapping) bool { return m.Subnet == w.Subnet })
		if i < 0 {
			continue
		}
		if w.NATPrefix != "" && w.NATPrefix != autoAssigned {
			w.NATPrefix = r.Mappings[i].NATPrefix
		}
		if r.IPAddressType != lb.DualStack && want.IPAddressType == lb.DualStack {
			w.IPv6 = "" // given together with the family
		}
		seen = append(seen, w)
	}
	r.Mappings = seen
	return r
}

// placedOtherwise says whether subnets or source NAT differ from what is wanted, and whether the address type is to
// change with them.
func (r loadBalancer) placedOtherwise(want LoadBalancer) (family lb.IPAddressType, differs bool) {
	seen := r.over(want)
	if want.IPAddressType != r.IPAddressType && slices.ContainsFunc(want.Mappings, func(m mapping) bool { return m.IPv6 != "" }) {
		family = want.IPAddressType
	}
	return family, !slices.Equal(r.Subnets, want.Subnets) || !slices.Equal(seen.Mappings, want.Mappings) || seen.SourceNAT != want.SourceNAT
}

// keeping returns the wanted load balancer with the addresses that the one that there is has in its subnets.
func (b LoadBalancer) keeping(r loadBalancer) LoadBalancer {
	b.Mappings = slices.Clone(b.Mappings)
	for i, w := range b.Mappings {
		for _, have := range r.Mappings {
			if have.Subnet == w.Subnet {
				b.Mappings[i].EIP, b.Mappings[i].IPv4 = have.EIP, have.IPv4
				b.Mappings[i].IPv6 = cmp.Or(have.IPv6, w.IPv6)
			}
		}
	}
	return b
}

// zoneMappings is what AWS says of a load balancer's subnets and addresses.
func zoneMappings(zones []elbtypes.AvailabilityZone) []mapping {
	var out []mapping
	for _, z := range zones {
		m := mapping{Subnet: aws.ToString(z.SubnetId)}
		for _, a := range z.LoadBalancerAddresses {
			m.EIP = cmp.Or(m.EIP, aws.ToString(a.AllocationId))
			m.IPv4 = cmp.Or(m.IPv4, aws.ToString(a.PrivateIPv4Address))
			m.IPv6 = cmp.Or(m.IPv6, aws.ToString(a.IPv6Address))
		}
		if len(z.SourceNatIpv6Prefixes) > 0 {
			m.NATPrefix = z.SourceNatIpv6Prefixes[0]
		}
		out = append(out, m)
	}
	slices.SortFunc(out, compareMappings)
	return out
}

func sdkMappings(list []mapping) []elbtypes.SubnetMapping {
	var out []elbtypes.SubnetMapping
	for _, m := range list {
		out = append(out, elbtypes.SubnetMapping{
			SubnetId: text(m.Subnet), AllocationId: text(m.EIP), PrivateIPv4Address: text(m.IPv4), IPv6Address: text(m.IPv6),
			SourceNatIpv6Prefix: text(m.NATPrefix),
		})
	}
	return out
}
