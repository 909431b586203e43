package localaws

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// Seed is what exists in an account from the start: a network with machines in it. It is applied once, resource by
// resource: what has an identifier that is known already is left as it is.
type Seed struct {
	Region    string   `json:"region"`
	AccountID string   `json:"accountID"`
	Zones     []string `json:"zones"`

	VPCs             []SeedVPC             `json:"vpcs"`
	InternetGateways []SeedInternetGateway `json:"internetGateways"`
	Subnets          []SeedSubnet          `json:"subnets"`
	SecurityGroups   []SeedSecurityGroup   `json:"securityGroups"`
	Instances        []SeedInstance        `json:"instances"`
}

// SeedVPC is a VPC; its main route table and its default security group come with it.
type SeedVPC struct {
	ID   string            `json:"id"`
	CIDR string            `json:"cidr"`
	IPv6 string            `json:"ipv6"` // a /56, for subnets with IPv6 blocks
	Tags map[string]string `json:"tags"`
}

// SeedInternetGateway is an internet gateway, attached where a VPC is given.
type SeedInternetGateway struct {
	ID   string            `json:"id"`
	VPC  string            `json:"vpc"`
	Tags map[string]string `json:"tags"`
}

// SeedSubnet is a subnet; a public one has a route to the VPC's internet gateway.
type SeedSubnet struct {
	ID     string            `json:"id"`
	VPC    string            `json:"vpc"`
	Zone   string            `json:"zone"`
	CIDR   string            `json:"cidr"`
	IPv6   string            `json:"ipv6"` // a /64 of the VPC's block
	Public bool              `json:"public"`
	Tags   map[string]string `json:"tags"`
}

// SeedSecurityGroup is a security group that lets everything out and nothing in.
type SeedSecurityGroup struct {
	ID          string            `json:"id"`
	VPC         string            `json:"vpc"`
	Name        string            `json:"name"`
	Description string            `json:"description"`
	Tags        map[string]string `json:"tags"`
}

// SeedInstance is a running machine with one network interface.
type SeedInstance struct {
	ID               string            `json:"id"`
	Subnet           string            `json:"subnet"`
	PrivateIP        string            `json:"privateIP"`
	Type             string            `json:"type"`
	SecurityGroups   []string          `json:"securityGroups"`
	NetworkInterface string            `json:"networkInterface"`
	Prefixes         []string          `json:"prefixes"`
	Tags             map[string]string `json:"tags"`
}

// ReadSeed reads a seed file; an unknown field is an error.
func ReadSeed(path string) (*Seed, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("localaws: seed: %w", err)
	}
	s, err := ParseSeed(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// ParseSeed reads a seed from YAML and checks all that can be seen without the state.
func ParseSeed(data []byte) (*Seed, error) {
	var s Seed
	if err := yaml.UnmarshalStrict(data, &s); err != nil {
		return nil, fmt.Errorf("localaws: seed: %w", err)
	}
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("localaws: seed: %w", err)
	}
	return &s, nil
}

// check collects every mistake, so that one run shows them all.
func (s *Seed) check() error {
	c := seedCheck{known: map[string]bool{}}
	for i, v := range s.VPCs {
		at := fmt.Sprintf("vpcs[%d]", i)
		c.id(at, vpcID, v.ID)
		c.block(at+".cidr", v.CIDR)
		c.block6(at+".ipv6", v.IPv6, "", vpcIPv6Bits)
	}
	for i, g := range s.InternetGateways {
		at := fmt.Sprintf("internetGateways[%d]", i)
		c.id(at, gatewayID, g.ID)
		if g.VPC != "" {
			c.refers(at+".vpc", g.VPC)
		}
	}
	for i, n := range s.Subnets {
		at := fmt.Sprintf("subnets[%d]", i)
		c.id(at, subnetID, n.ID)
		c.refers(at+".vpc", n.VPC)
		c.block(at+".cidr", n.CIDR)
		c.block6(at+".ipv6", n.IPv6, s.ipv6Of(n.VPC), subnetIPv6Bits)
		if len(s.Zones) > 0 && !slices.Contains(s.Zones, n.Zone) {
			c.say("%s.zone: %q is not one of zones: %s", at, n.Zone, strings.Join(s.Zones, ", "))
		}
		if n.Public && !slices.ContainsFunc(s.InternetGateways, func(g SeedInternetGateway) bool { return g.VPC == n.VPC }) {
			c.say("%s.public: VPC %s has no internet gateway", at, n.VPC)
		}
	}
	for i, g := range s.SecurityGroups {
		at := fmt.Sprintf("securityGroups[%d]", i)
		c.id(at, groupID, g.ID)
		c.refers(at+".vpc", g.VPC)
		if g.Name == "" {
			c.say("%s.name: missing", at)
		}
	}
	for i, n := range s.Instances {
		c.instance(fmt.Sprintf("instances[%d]", i), s, n)
	}
	return errors.Join(c.errs...)
}

type seedCheck struct {
	known map[string]bool
	errs  []error
}

func (c *seedCheck) say(format string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf(format, args...))
}

func (c *seedCheck) id(at string, kind idKind, id string) {
	switch {
	case kind.check(id) != nil:
		c.say("%s.id: %q is not %s- and 17 hex digits", at, id, kind.prefix)
	case c.known[id]:
		c.say("%s.id: %q is there twice", at, id)
	}
	c.known[id] = true
}

func (c *seedCheck) refers(at, id string) {
	if !c.known[id] {
		c.say("%s: there is no %q in this file", at, id)
	}
}

func (c *seedCheck) block(at, text string) {
	if p, err := netip.ParsePrefix(text); err != nil || !p.Addr().Is4() || p != p.Masked() {
		c.say("%s: %q is not an IPv4 block", at, text)
	}
}

// ipv6Of is a VPC's IPv6 block, "-" where it has none.
func (s *Seed) ipv6Of(vpc string) string {
	for _, v := range s.VPCs {
		if v.ID == vpc && v.IPv6 != "" {
			return v.IPv6
		}
	}
	return "-"
}

// block6 checks an IPv6 block, which may be left out, and that it is of another one where that is given.
func (c *seedCheck) block6(at, text, of string, bits int) {
	if text == "" {
		return
	}
	p, err := netip.ParsePrefix(text)
	if err != nil || !p.Addr().Is6() || p != p.Masked() || p.Bits() != bits {
		c.say("%s: %q is not an IPv6 block of %d bits", at, text, bits)
		return
	}
	if whole, err := netip.ParsePrefix(of); of != "" && (err != nil || !whole.Contains(p.Addr())) {
		c.say("%s: %q is not of the VPC's IPv6 block, %s", at, text, of)
	}
}

func (c *seedCheck) instance(at string, s *Seed, n SeedInstance) {
	c.id(at, instanceID, n.ID)
	if n.NetworkInterface != "" {
		c.id(at+".networkInterface", interfaceID, n.NetworkInterface)
	}
	for j, g := range n.SecurityGroups {
		c.refers(fmt.Sprintf("%s.securityGroups[%d]", at, j), g)
	}
	home := slices.IndexFunc(s.Subnets, func(o SeedSubnet) bool { return o.ID == n.Subnet })
	if home < 0 {
		c.say("%s.subnet: there is no %q in this file", at, n.Subnet)
		return
	}
	block, err := netip.ParsePrefix(s.Subnets[home].CIDR)
	if err != nil {
		return // said above
	}
	if a, err := netip.ParseAddr(n.PrivateIP); err != nil || !block.Contains(a) {
		c.say("%s.privateIP: %q is not an address in the subnet's %s", at, n.PrivateIP, block)
	}
	for j, text := range n.Prefixes {
		if p, err := netip.ParsePrefix(text); err != nil || !block.Contains(p.Addr()) || p.Bits() < block.Bits() {
			c.say("%s.prefixes[%d]: %q is not a block in the subnet's %s", at, j, text, block)
		}
	}
}

// plant adds what the state has not.
func (x *tx) plant(s *Seed) error {
	if err := s.check(); err != nil { // a seed may also be made by a program
		return fmt.Errorf("localaws: seed: %w", err)
	}
	if len(s.Zones) > 0 {
		x.state.meta.put(x, "zones", strings.Join(s.Zones, ","))
	}
	for _, v := range s.VPCs {
		if !x.state.vpcs.has(v.ID) {
			row := x.newVPC(v.ID, netip.MustParsePrefix(v.CIDR), v.Tags)
			if v.IPv6 != "" {
				x.withIPv6Block(row, netip.MustParsePrefix(v.IPv6))
			}
		}
	}
	for _, g := range s.InternetGateways {
		if !x.state.internetGateways.has(g.ID) {
			x.newInternetGateway(g.ID, g.VPC, g.Tags)
		}
	}
	for _, n := range s.Subnets {
		if x.state.subnets.has(n.ID) {
			continue
		}
		if !slices.Contains(x.zones(), n.Zone) {
			return fmt.Errorf("localaws: seed: subnet %s: there is no zone %q in %s", n.ID, n.Zone, x.options.Region)
		}
		row := x.newSubnet(n.ID, n.VPC, n.Zone, netip.MustParsePrefix(n.CIDR), n.Tags)
		if n.IPv6 != "" {
			row = x.withSubnetIPv6Block(row, netip.MustParsePrefix(n.IPv6))
		}
		if n.Public {
			row.Wire.MapPublicIpOnLaunch = ptr(true)
			x.state.subnets.put(x, n.ID, row)
			x.makePublic(row)
		}
	}
	for _, g := range s.SecurityGroups {
		if !x.state.securityGroups.has(g.ID) {
			x.newSecurityGroup(g.ID, g.VPC, g.Name, firstOf(g.Description, g.Name), g.Tags)
		}
	}
	for _, n := range s.Instances {
		x.plantInstance(n)
	}
	return nil
}

// makePublic gives a subnet the VPC's route table with a route to the internet gateway, making it where there is none.
func (x *tx) makePublic(s subnet) {
	gateway := ""
	for id := range x.state.internetGateways.find(func(g internetGateway) bool { return g.VPC == *s.Wire.VpcId }) {
		gateway = id
	}
	leadsOut := func(r routeTable) bool {
		return *r.Wire.VpcId == *s.Wire.VpcId && !r.main() && slices.Contains(routeTableFilters["route.gateway-id"](r), gateway)
	}
	var table routeTable
	for _, table = range x.state.routeTables.find(leadsOut) {
		break
	}
	if table.Wire.RouteTableId == nil {
		v, _ := x.state.vpcs.get(*s.Wire.VpcId)
		table = x.addRoute(x.newRouteTable(v, false, map[string]string{"Name": "public"}), "0.0.0.0/0", gateway)
	}
	table.Wire.Associations = append(slices.Clone(table.Wire.Associations), x.association(*table.Wire.RouteTableId, s.Wire.SubnetId))
	x.state.routeTables.put(x, *table.Wire.RouteTableId, table)
}

func (x *tx) plantInstance(n SeedInstance) {
	if x.state.instances.has(n.ID) {
		return
	}
	home, _ := x.state.subnets.get(n.Subnet)
	x.newInstance(
		instance{
			ID: n.ID, Interface: firstOf(n.NetworkInterface, x.newID("eni")), Type: firstOf(n.Type, "m5.large"),
			Reservation: x.newID("r"),
		},
		placement{subnet: home, address: netip.MustParseAddr(n.PrivateIP), groups: n.SecurityGroups, prefixes: n.Prefixes},
		n.Tags,
	)
}
