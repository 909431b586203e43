// Package network is the lab's VPC on one machine: which address belongs to
// whom (this file, pure), and the bridge, namespaces, links and routes that
// make it so (the Linux files).
//
// It is one flat network, as a VPC is to those inside it: a bridge in a namespace
// of its own stands for the VPC, and root, the control plane and every node are
// joined to it, each by a pair of virtual interfaces. The bridge is not in root
// because there the machine's firewall could filter what passes it, as Docker's
// rules do. Pods hang off their node's namespace, and everybody else has a route to a node's block
// of pod addresses through that node. So root, where local AWS's proxy runs,
// reaches nodes and pods directly, and kube-proxy in a node's namespace sees
// all that its pods send.
package network

import (
	"fmt"
	"net/netip"
)

// Region is where the lab says it is.
const Region = "ap-northeast-1"

// zoneLetters are the zones that an eksctl cluster of this region gets.
var zoneLetters = []string{"a", "c", "d"}

// Names of what the lab makes on the machine. All begin with sluice, and
// nothing else on a machine should.
const (
	Prefix = "sluice"
	// Root is the interface by which the root namespace is in the VPC.
	Root    = "sluice0"
	VPC     = Prefix + "-vpc"
	Control = Prefix + "-control"
)

// Zone is an availability zone with its two subnets.
type Zone struct {
	Letter          string // a
	Name            string // ap-northeast-1a
	Public, Private netip.Prefix
}

// Node is where one node lives.
type Node struct {
	// Short is the name for people: a1 is the first node of zone a.
	Short string
	// Name is the Kubernetes name, which is the EC2 private DNS name.
	Name string
	Zone Zone
	IP   netip.Addr
	// Pods is the block of addresses for its pods, a prefix of the node's
	// subnet, as with the VPC CNI's prefix delegation.
	Pods netip.Prefix
}

// Namespace is the name of the node's network namespace.
func (n Node) Namespace() string { return Prefix + "-" + n.Short }

// Plan is the layout of a VPC.
type Plan struct {
	CIDR  netip.Prefix
	Zones []Zone
}

// NewPlan lays out a /16 as eksctl does for three zones: three public /19
// subnets, then three private ones, the last quarter unused.
func NewPlan(cidr string) (Plan, error) {
	prefix, err := netip.ParsePrefix(cidr)
	if err != nil {
		return Plan{}, fmt.Errorf("--vpc-cidr %q is not a network such as 192.168.0.0/16", cidr)
	}
	if !prefix.Addr().Is4() || prefix.Bits() != 16 || prefix.Masked() != prefix || !prefix.Addr().IsPrivate() {
		return Plan{}, fmt.Errorf("--vpc-cidr %s must be a private IPv4 /16, such as 192.168.0.0/16 or 10.42.0.0/16", cidr)
	}
	plan := Plan{CIDR: prefix}
	for i, letter := range zoneLetters {
		plan.Zones = append(plan.Zones, Zone{
			Letter: letter, Name: Region + letter,
			Public:  netip.PrefixFrom(plan.at(i*32, 0), 19),
			Private: netip.PrefixFrom(plan.at((i+len(zoneLetters))*32, 0), 19),
		})
	}
	return plan, nil
}

// at is the address with the given last two bytes.
func (p Plan) at(third, fourth int) netip.Addr {
	b := p.CIDR.Addr().As4()
	b[2], b[3] = byte(third), byte(fourth)
	return netip.AddrFrom4(b)
}

// Router is root's address in the VPC.
func (p Plan) Router() netip.Addr { return p.at(0, 1) }

// ControlPlane is where the API server listens.
func (p Plan) ControlPlane() netip.Addr { return p.at(0, 10) }

// MaxNodes is how many nodes fit: a private /19 is 32 blocks of /24, of which
// the first holds the nodes and each other one a node's pods.
func (p Plan) MaxNodes() int { return 31 * len(p.Zones) }

// Node is the i-th node, counted from 0, dealt to the zones in turn.
func (p Plan) Node(i int) Node {
	zone, ordinal := p.Zones[i%len(p.Zones)], i/len(p.Zones)
	base := zone.Private.Addr().As4()
	third := int(base[2])
	ip := p.at(third, 10+ordinal)
	b := ip.As4()
	return Node{
		Short: fmt.Sprintf("%s%d", zone.Letter, ordinal+1),
		Name:  fmt.Sprintf("ip-%d-%d-%d-%d.%s.compute.internal", b[0], b[1], b[2], b[3], Region),
		Zone:  zone,
		IP:    ip,
		Pods:  netip.PrefixFrom(p.at(third+1+ordinal, 0), 24),
	}
}

// Nodes are the first n nodes.
func (p Plan) Nodes(n int) []Node {
	nodes := make([]Node, n)
	for i := range nodes {
		nodes[i] = p.Node(i)
	}
	return nodes
}
