package aws

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/sluicehq/sluice/internal/lb"
)

// Tags that say what a subnet is for (EKS "Subnet requirements for load balancers").
const (
	publicRoleTag   = "kubernetes.io/role/elb"
	internalRoleTag = "kubernetes.io/role/internal-elb"
	clusterTagStart = "kubernetes.io/cluster"
)

// An ALB takes addresses from its subnets as it grows; AWS refuses a subnet with fewer free ones.
const minFreeAddresses = 8

// minZones is how many availability zones an application load balancer spans at least.
const minZones = 2

// subnet is a subnet of the VPC, as last read.
type subnet struct {
	ID            string
	Zone          string
	FreeAddresses int
	Outpost       bool
	Blocks        []netip.Prefix // of addresses, that of IPv4 first
	Tags          tags
}

func (s subnet) hasIPv6() bool {
	return slices.ContainsFunc(s.Blocks, func(b netip.Prefix) bool { return b.Addr().Is6() })
}

// vpcNetwork is what is known of the VPC. It is never changed; a newer reading takes its place.
type vpcNetwork struct {
	Subnets   []subnet          // by id
	ZoneTypes map[string]string // zone name to availability-zone, local-zone or wavelength-zone
	Public    map[string]bool   // subnets with a route to an internet gateway; nil when route tables were not read
	Blocks    []netip.Prefix    // of addresses of the VPC; nil when they were not read
}

// subnetProblem is why no subnets could be chosen.
type subnetProblem struct {
	Reason  lb.Reason
	Value   string
	Problem string
	Fix     string
}

// chooseSubnets picks the subnets of a load balancer: those selected, else those that the VPC offers for the scheme. It
// returns ids, or the problem. Where it would need route tables that were not read, needRoutes is true.
func chooseSubnets(n vpcNetwork, cluster string, b lb.LoadBalancer) (ids []string, problem *subnetProblem, needRoutes bool) {
	if len(b.Subnets.IDsOrNames) > 0 {
		chosen, problem := explicitSubnets(n, b.Subnets.IDsOrNames)
		if problem == nil {
			problem = checkSubnets(n, chosen, b, true)
		}
		if problem != nil {
			return nil, problem, false
		}
		return subnetIDs(chosen), nil, false
	}
	var candidates []subnet
	var what string
	if len(b.Subnets.Tags) > 0 {
		candidates, what = taggedSubnets(n, b.Subnets.Tags), "with the tags "+b.Subnets.String()
	} else {
		role := internalRoleTag
		if b.Scheme == lb.InternetFacing {
			role = publicRoleTag
		}
		what = "with the tag " + role
		candidates = taggedSubnets(n, []lb.TagFilter{{Key: role, Values: []string{"", "1"}}})
		if len(candidates) == 0 {
			if n.Public == nil {
				return nil, nil, true
			}
			what = "with the tag " + role + ", and by route tables"
			candidates = reachableSubnets(n, b.Scheme)
		}
	}
	chosen, problem := pickSubnets(candidates, cluster, what, b)
	if problem == nil {
		problem = checkSubnets(n, chosen, b, false)
	}
	if problem != nil {
		return nil, problem, false
	}
	return subnetIDs(chosen), nil, false
}

// explicitSubnets finds subnets by id or by the Name tag. Subnets that share a name are taken in order of their ids, one
// for each time that the name stands in the list.
func explicitSubnets(n vpcNetwork, wanted []string) ([]subnet, *subnetProblem) {
	var chosen []subnet
	var missing []string
	for _, w := range wanted {
		i := slices.IndexFunc(n.Subnets, func(s subnet) bool {
			found := s.ID == w
			if !strings.HasPrefix(w, "subnet-") {
				found = s.Tags["Name"] == w
			}
			return found && !slices.ContainsFunc(chosen, func(c subnet) bool { return c.ID == s.ID })
		})
		if i < 0 {
			missing = append(missing, w)
			continue
		}
		chosen = append(chosen, n.Subnets[i])
	}
	if len(missing) > 0 {
		return nil, &subnetProblem{
			Reason: lb.SubnetNotFound, Value: strings.Join(missing, ","),
			Problem: fmt.Sprintf("the VPC has no such subnet (none of its %d, or not as often as named)", len(n.Subnets)),
			Fix:     "Name each subnet once, by its id or by the value of its Name tag",
		}
	}
	return chosen, nil
}

func taggedSubnets(n vpcNetwork, filters []lb.TagFilter) []subnet {
	return slices.Collect(func(yield func(subnet) bool) {
		for _, s := range n.Subnets {
			if hasTags(s, filters) && !yield(s) {
				return
			}
		}
	})
}

func hasTags(s subnet, filters []lb.TagFilter) bool {
	for _, f := range filters {
		if value, ok := s.Tags[f.Key]; !ok || !slices.Contains(f.Values, value) {
			return false
		}
	}
	return true
}

func reachableSubnets(n vpcNetwork, scheme lb.Scheme) []subnet {
	var list []subnet
	for _, s := range n.Subnets {
		if n.Public[s.ID] == (scheme == lb.InternetFacing) {
			list = append(list, s)
		}
	}
	return list
}

// pickSubnets drops what cannot be used and takes one for each zone: one with the cluster's tag first, then the one
// with the lowest id.
func pickSubnets(candidates []subnet, cluster, what string, b lb.LoadBalancer) ([]subnet, *subnetProblem) {
	own := clusterTagStart + "/" + cluster
	best := map[string]subnet{}
	otherCluster, full, oneFamily := 0, 0, 0
	for _, s := range candidates {
		_, ours := s.Tags[own]
		switch {
		case !ours && s.ofSomeCluster():
			otherCluster++
			continue
		case s.FreeAddresses < minFreeAddresses:
			full++
			continue
		case b.IPAddressType.Dual() && !s.hasIPv6():
			oneFamily++
			continue
		}
		have, taken := best[s.Zone]
		_, haveOurs := have.Tags[own]
		if !taken || ours && !haveOurs || ours == haveOurs && s.ID < have.ID {
			best[s.Zone] = s
		}
	}
	if len(best) == 0 {
		problem := fmt.Sprintf("no subnet for an %s load balancer: looked for subnets %s; %d found, "+
			"%d of them for other clusters only, %d with fewer than %d free addresses",
			b.Scheme, what, len(candidates), otherCluster, full, minFreeAddresses)
		if b.IPAddressType.Dual() {
			problem += fmt.Sprintf(", %d without IPv6", oneFamily)
		}
		return nil, &subnetProblem{
			Reason: lb.SubnetNotFound, Problem: problem,
			Fix: "Tag one subnet in each of two zones for this scheme and this cluster, or name the subnets",
		}
	}
	chosen := make([]subnet, 0, len(best))
	for _, s := range best {
		chosen = append(chosen, s)
	}
	slices.SortFunc(chosen, func(a, b subnet) int { return cmp.Compare(a.ID, b.ID) })
	return chosen, nil
}

func (s subnet) ofSomeCluster() bool {
	for key := range s.Tags {
		if strings.HasPrefix(key, clusterTagStart) {
			return true
		}
	}
	return false
}

// checkSubnets checks what a load balancer needs of its subnets together.
func checkSubnets(n vpcNetwork, chosen []subnet, b lb.LoadBalancer, explicit bool) *subnetProblem {
	zones, locales := map[string]string{}, map[string]string{}
	for _, s := range chosen {
		if other, twice := zones[s.Zone]; twice {
			return &subnetProblem{
				Reason: lb.InvalidSubnets, Value: other + "," + s.ID,
				Problem: "both subnets are in zone " + s.Zone,
				Fix:     "Name one subnet for each zone",
			}
		}
		if b.IPAddressType.Dual() && !s.hasIPv6() {
			return &subnetProblem{
				Reason: lb.InvalidSubnets, Value: s.ID,
				Problem: "the subnet has no block of IPv6, which a dualstack load balancer needs",
				Fix:     "Give it one, or name other subnets",
			}
		}
		zones[s.Zone] = s.ID
		locale := n.ZoneTypes[s.Zone]
		if s.Outpost {
			locale = "outpost"
		}
		locales[locale] = s.ID
	}
	if len(locales) > 1 {
		return &subnetProblem{
			Reason: lb.InvalidSubnets, Value: strings.Join(subnetIDs(chosen), ","),
			Problem: "the subnets are of different kinds: " + kinds(locales),
			Fix:     "Use subnets of availability zones only, or of one local zone, wavelength zone or outpost only",
		}
	}
	if _, ordinary := locales["availability-zone"]; ordinary && b.Type != lb.Network && len(chosen) < minZones {
		fix := "Tag a subnet in a second zone for this scheme, or name the subnets"
		if explicit {
			fix = "Name a subnet in a second zone too"
		}
		return &subnetProblem{
			Reason: lb.InvalidSubnets, Value: strings.Join(subnetIDs(chosen), ","),
			Problem: fmt.Sprintf("an application load balancer needs subnets in at least %d zones and there is %d", minZones, len(chosen)),
			Fix:     fix,
		}
	}
	return nil
}

func kinds(locales map[string]string) string {
	var list []string
	for kind, example := range locales {
		list = append(list, cmp.Or(kind, "unknown")+" ("+example+")")
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

func subnetIDs(list []subnet) []string {
	var ids []string
	for _, s := range list {
		ids = append(ids, s.ID)
	}
	return ids
}

// verdicts tells every member of the stack. Field and value are those of the selection where there is one; a member
// that did not make it learns who did.
func (p subnetProblem) verdicts(members []lb.Object, selection lb.SubnetSelection) []lb.Verdict {
	var verdicts []lb.Verdict
	for _, member := range members {
		v := lb.Verdict{
			Object: member, Severity: lb.Refused, Reason: p.Reason, Value: p.Value, Problem: p.Problem, Fix: p.Fix,
		}
		switch {
		case selection.From == member:
			v.Field = selection.Field
		case selection.From != (lb.Object{}):
			v.Problem += " (the subnets are selected by " + selection.From.String() + ")"
		}
		verdicts = append(verdicts, v)
	}
	return verdicts
}

// softened are the verdicts of a problem that costs nobody anything but the selection: only who made it is told, or all
// where it is nobody's own.
func (p subnetProblem) softened(members []lb.Object, selection lb.SubnetSelection, instead string) []lb.Verdict {
	verdicts := p.verdicts(members, selection)
	if selection.From != (lb.Object{}) {
		verdicts = slices.DeleteFunc(verdicts, func(v lb.Verdict) bool { return v.Object != selection.From })
	}
	for i := range verdicts {
		verdicts[i].Severity = lb.Partial
		verdicts[i].Problem += ". " + instead
	}
	return verdicts
}
