package localaws

import (
	"encoding/hex"
	"maps"
	"net/netip"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/sluicehq/sluice/internal/localaws/wire"
)

// switchedOn is how ELB spells what is on, where it has no boolean.
const switchedOn = "on"

// nameNetworkBalancer gives a new Network Load Balancer what follows from its name: its DNS name has the same identifier
// as its ARN.
func (x *tx) nameNetworkBalancer(b *loadBalancer) {
	id := x.hex(16)
	b.Wire.LoadBalancerArn = ptr(x.elbARN("loadbalancer/net/" + *b.Wire.LoadBalancerName + "/" + id))
	b.Wire.DNSName = ptr(*b.Wire.LoadBalancerName + "-" + id + "." + nlbDomain(x.options.Region))
	b.Wire.CanonicalHostedZoneId = ptr(networkHostedZone(x.options.Region))
	b.Attributes = defaultBalancerAttributes(networkBalancerAttributes, b.Wire.Scheme)
	b.Wire.EnablePrefixForIpv6SourceNat = types.EnablePrefixForIpv6SourceNatEnumOff
}

// nlbDomain is what NLBs' DNS names end with.
func nlbDomain(region string) string { return "elb." + region + "." + partitionDomain(region) }

// withSourceNATPrefix settles whether a Network Load Balancer has IPv6 prefixes to reach targets from, which UDP over
// IPv6 needs.
func withSourceNATPrefix(b loadBalancer, wanted types.EnablePrefixForIpv6SourceNatEnum) (loadBalancer, error) {
	dualstack := b.Wire.IpAddressType == types.IpAddressTypeDualstack
	switch {
	case b.Wire.IpAddressType == types.IpAddressTypeDualstackWithoutPublicIpv4:
		return b, conflicting("IP address type '%s' is not supported for load balancers of type 'network'", b.Wire.IpAddressType)
	case wanted == types.EnablePrefixForIpv6SourceNatEnumOn && !dualstack:
		return b, conflicting("EnablePrefixForIpv6SourceNat is supported only for load balancers with the IP address type 'dualstack'")
	case wanted != "":
		b.Wire.EnablePrefixForIpv6SourceNat = wanted
	case !dualstack:
		b.Wire.EnablePrefixForIpv6SourceNat = types.EnablePrefixForIpv6SourceNatEnumOff
	}
	return b, nil
}

func (b loadBalancer) sourceNATPrefix() bool {
	return b.Wire.EnablePrefixForIpv6SourceNat == types.EnablePrefixForIpv6SourceNatEnumOn
}

// zoneIn is the load balancer's part of a subnet, if it has one there.
func (b loadBalancer) zoneIn(subnet string) (types.AvailabilityZone, bool) {
	for _, z := range b.Wire.AvailabilityZones {
		if *z.SubnetId == subnet {
			return z, true
		}
	}
	return types.AvailabilityZone{}, false
}

// addressConflict says which address a load balancer has in a subnet is another than the one that is asked for.
// Addresses that are not asked for are left as they are.
func (b loadBalancer) addressConflict(p place) string {
	z, there := b.zoneIn(*p.subnet.Wire.SubnetId)
	if !there {
		return ""
	}
	var have types.LoadBalancerAddress
	for _, a := range z.LoadBalancerAddresses {
		have = a
	}
	for _, c := range []struct {
		what       string
		want, have *string
	}{
		{"allocation ID", p.mapping.AllocationId, have.AllocationId},
		{"private IPv4 address", p.mapping.PrivateIPv4Address, have.PrivateIPv4Address},
		{"IPv6 address", p.mapping.IPv6Address, have.IPv6Address},
	} {
		if c.want != nil && *c.want != val(c.have) {
			return c.what
		}
	}
	return ""
}

// networkPlaced gives a Network Load Balancer a node in each subnet. A node has an address of its own: the Elastic IP
// address where one is named, which is of the same pool here. Nodes that are there stay as they are.
func (x *tx) networkPlaced(b loadBalancer, places []place) (loadBalancer, error) {
	before := b
	b.Wire.AvailabilityZones, b.Nodes = nil, map[string]netip.Addr{}
	for _, p := range places {
		if what := before.addressConflict(p); what != "" {
			return b, conflicting("The %s of the load balancer in subnet '%s' cannot be changed; remove the subnet first", what,
				*p.subnet.Wire.SubnetId)
		}
		z, there := before.zoneIn(*p.subnet.Wire.SubnetId)
		if there {
			b.Nodes[p.subnet.zone()] = before.Nodes[p.subnet.zone()]
		} else {
			z = types.AvailabilityZone{ZoneName: p.subnet.Wire.AvailabilityZone, SubnetId: p.subnet.Wire.SubnetId}
			node, address, err := x.newNode(b, p)
			if err != nil {
				return b, err
			}
			z.LoadBalancerAddresses, b.Nodes[p.subnet.zone()] = address, node
		}
		var err error
		if z, err = x.withIPv6(b, z, p); err != nil {
			return b, err
		}
		b.Wire.AvailabilityZones = append(b.Wire.AvailabilityZones, z)
	}
	return b, nil
}

// newNode checks the IPv4 addresses asked for in a subnet, and takes the node's address.
func (x *tx) newNode(b loadBalancer, p place) (netip.Addr, []types.LoadBalancerAddress, error) {
	internal := b.Wire.Scheme == types.LoadBalancerSchemeEnumInternal
	shown := []types.LoadBalancerAddress{}
	switch m := p.mapping; {
	case m.AllocationId != nil && internal:
		return netip.Addr{}, nil, conflicting("Elastic IP addresses cannot be specified for internal load balancers")
	case m.PrivateIPv4Address != nil && !internal:
		return netip.Addr{}, nil, conflicting("Private IPv4 addresses can be specified for internal load balancers only")
	case m.AllocationId != nil:
		e, ok := x.state.elasticIPs.get(*m.AllocationId)
		if !ok {
			return netip.Addr{}, nil, wire.Errorf("AllocationIdNotFound", "The allocation ID '%s' does not exist", *m.AllocationId)
		}
		used := x.elasticIPUse(*m.AllocationId) != nil
		for zone, node := range b.Nodes {
			used = used || zone != p.subnet.zone() && node == e.Address // named twice in this request
		}
		if used {
			return netip.Addr{}, nil, wire.Errorf("ResourceInUse", "The allocation ID '%s' is already in use", *m.AllocationId)
		}
		return e.Address, []types.LoadBalancerAddress{{AllocationId: m.AllocationId, IpAddress: ptr(e.Address.String())}}, nil
	case m.PrivateIPv4Address != nil:
		if err := x.checkPrivateAddress(p.subnet, *m.PrivateIPv4Address); err != nil {
			return netip.Addr{}, nil, err
		}
		shown = append(shown, types.LoadBalancerAddress{PrivateIPv4Address: m.PrivateIPv4Address})
	}
	node, err := x.newAddress(slices.Collect(maps.Values(b.Nodes))...)
	return node, shown, err
}

// checkPrivateAddress: an address that is asked for must be free in its subnet.
func (x *tx) checkPrivateAddress(s subnet, text string) error {
	a, err := netip.ParseAddr(text)
	if err != nil || !s.cidr().Contains(a) {
		return conflicting("The private IPv4 address '%s' is not in the range of the subnet '%s'", text, *s.Wire.SubnetId)
	}
	if !x.addressIsFree(s, a) {
		return conflicting("The private IPv4 address '%s' is reserved or already in use in the subnet '%s'", text, *s.Wire.SubnetId)
	}
	return nil
}

// withIPv6 settles the IPv6 side of a node: what a subnet mapping asks for, and what goes when the load balancer is
// ipv4 again.
func (x *tx) withIPv6(b loadBalancer, z types.AvailabilityZone, p place) (types.AvailabilityZone, error) {
	block, dualstack := p.subnet.ipv6CIDR(), b.Wire.IpAddressType == types.IpAddressTypeDualstack
	if a := p.mapping.IPv6Address; a != nil {
		address, err := netip.ParseAddr(*a)
		switch {
		case !dualstack:
			return z, conflicting("IPv6 addresses can be specified for load balancers with the IP address type 'dualstack' only")
		case err != nil || !block.Contains(address):
			return z, conflicting("The IPv6 address '%s' is not in the range of the subnet '%s'", *a, *z.SubnetId)
		}
		if len(z.LoadBalancerAddresses) == 0 {
			z.LoadBalancerAddresses = []types.LoadBalancerAddress{{}}
		}
		z.LoadBalancerAddresses[0].IPv6Address = a
	}
	if !dualstack && len(z.LoadBalancerAddresses) > 0 {
		kept := z.LoadBalancerAddresses[0]
		kept.IPv6Address = nil
		z.LoadBalancerAddresses = []types.LoadBalancerAddress{kept}
		if kept.AllocationId == nil && kept.PrivateIPv4Address == nil {
			z.LoadBalancerAddresses = []types.LoadBalancerAddress{}
		}
	}
	switch want := p.mapping.SourceNatIpv6Prefix; {
	case want != nil && !b.sourceNATPrefix():
		return z, conflicting("SourceNatIpv6Prefix requires EnablePrefixForIpv6SourceNat to be on")
	case !b.sourceNATPrefix():
		z.SourceNatIpv6Prefixes = nil
	case want != nil && *want != autoAssigned:
		prefix, err := netip.ParsePrefix(*want)
		if err != nil || prefix.Bits() != sourceNATBits || prefix != prefix.Masked() || !block.Contains(prefix.Addr()) {
			return z, conflicting("The source NAT IPv6 prefix '%s' must be a /%d prefix in the range of the subnet '%s'", *want,
				sourceNATBits, *z.SubnetId)
		}
		z.SourceNatIpv6Prefixes = []string{*want}
	case len(z.SourceNatIpv6Prefixes) == 0:
		z.SourceNatIpv6Prefixes = []string{x.randomPrefix(block).String()}
	}
	return z, nil
}

// The prefixes of which targets see IPv6 clients' UDP.
const (
	autoAssigned  = "auto_assigned"
	sourceNATBits = 80
)

func (x *tx) randomPrefix(block netip.Prefix) netip.Prefix {
	from := block.Addr().As16()
	random, _ := hex.DecodeString(x.hex(4)) // it is hex
	copy(from[8:10], random)
	return netip.PrefixFrom(netip.AddrFrom16(from), sourceNATBits)
}
