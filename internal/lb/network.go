package lb

import (
	"cmp"
	"fmt"
)

// Place says where an endpoint is in the network, in what Kubernetes knows of it. An engine finds its network interface
// by the first field that is set of Interface, Instance and Address.
type Place struct {
	Interface string // the interface that a pod has to itself
	Instance  string // the machine; without Address its primary interface, else the one that holds the address
	Address   string // of a pod
}

// Compare orders places.
func (p Place) Compare(other Place) int {
	return cmp.Or(cmp.Compare(p.Instance, other.Instance), cmp.Compare(p.Address, other.Address), cmp.Compare(p.Interface, other.Interface))
}

// String is "10.0.0.1 on i-0123".
func (p Place) String() string {
	switch {
	case p.Address == "":
		return p.Instance + p.Interface
	case p.Interface+p.Instance == "":
		return p.Address
	default:
		return p.Address + " on " + cmp.Or(p.Interface, p.Instance)
	}
}

// SecurityGroupID is the id of a security group.
type SecurityGroupID string

// IngressRule lets one source in, at a range of ports. Exactly one of Group, CIDR and PrefixList is set.
type IngressRule struct {
	Protocol   string // tcp, udp, icmp or icmpv6
	From, To   int32  // ports; of ICMP the type and the code
	Group      SecurityGroupID
	CIDR       string // masked; IPv4 or IPv6
	PrefixList string
}

// Compare orders rules.
func (r IngressRule) Compare(other IngressRule) int {
	return cmp.Or(
		cmp.Compare(r.Protocol, other.Protocol), cmp.Compare(r.From, other.From), cmp.Compare(r.To, other.To),
		cmp.Compare(r.Group, other.Group), cmp.Compare(r.CIDR, other.CIDR), cmp.Compare(r.PrefixList, other.PrefixList),
	)
}

// String is "tcp 8080-9000 from sg-1".
func (r IngressRule) String() string {
	ports := fmt.Sprint(r.From)
	if r.From != r.To {
		ports = fmt.Sprintf("%d-%d", r.From, r.To)
	}
	return r.Protocol + " " + ports + " from " + r.Peer()
}

// Peer is who is let in: a security group, a block of addresses or a prefix list.
func (r IngressRule) Peer() string { return string(r.Group) + r.CIDR + r.PrefixList }

// Opening asks that an endpoint can be reached as rules say.
type Opening struct {
	At    Place
	Rules []IngressRule // sorted
}

// Ingress is what security groups must let in, sorted by group.
type Ingress map[SecurityGroupID][]IngressRule
