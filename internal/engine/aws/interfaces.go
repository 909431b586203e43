package aws

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sluicehq/sluice/internal/lb"
)

// clusterOwnedTag is the key prefix of the tag by which AWS's tools mark what a cluster uses.
const clusterOwnedTag = "kubernetes.io/cluster/"

// networkInterface is an interface as far as ingress rules need it.
type networkInterface struct {
	ID        string
	Instance  string // empty when attached to none
	Primary   bool   // of its instance
	Groups    []string
	Addresses []netip.Addr
	Prefixes  []netip.Prefix
}

func (i networkInterface) holds(a netip.Addr) bool {
	return slices.Contains(i.Addresses, a) || slices.ContainsFunc(i.Prefixes, func(p netip.Prefix) bool { return p.Contains(a) })
}

// interfaces caches network interfaces: those of instances, and single ones. They are read when first needed, again
// when an address is on none of them, and forgotten by an audit.
type interfaces struct {
	api api
	vpc string
	now func() time.Time

	mu         sync.Mutex
	byInstance map[string]instanceInterfaces
	byID       map[string]networkInterface
	byAddress  map[string]networkInterface
}

type instanceInterfaces struct {
	list   []networkInterface
	readAt time.Time
}

func newInterfaces(api api, vpc string, now func() time.Time) *interfaces {
	n := &interfaces{api: api, vpc: vpc, now: now}
	n.clear()
	return n
}

func (n *interfaces) clear() {
	n.byInstance, n.byID, n.byAddress = map[string]instanceInterfaces{}, map[string]networkInterface{}, map[string]networkInterface{}
}

// forget makes the next use read again.
func (n *interfaces) forget() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.clear()
}

// find returns the interface of each place; those that are missing do not exist, as far as AWS tells.
func (n *interfaces) find(ctx context.Context, places []lb.Place) (map[lb.Place]networkInterface, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	found := map[lb.Place]networkInterface{}
	missing := n.known(places, found)
	if len(missing) == 0 {
		return found, nil
	}
	err := n.read(ctx, missing)
	n.known(missing, found)
	return found, err
}

// known puts the places that are in the cache into found and returns the others.
func (n *interfaces) known(places []lb.Place, found map[lb.Place]networkInterface) (missing []lb.Place) {
	for _, p := range places {
		if i, ok := n.lookup(p); ok {
			found[p] = i
		} else {
			missing = append(missing, p)
		}
	}
	return missing
}

func (n *interfaces) lookup(p lb.Place) (networkInterface, bool) {
	switch {
	case p.Interface != "":
		i, ok := n.byID[p.Interface]
		return i, ok
	case p.Instance == "":
		i, ok := n.byAddress[p.Address]
		return i, ok
	case p.Address == "":
		return find(n.byInstance[p.Instance].list, func(i networkInterface) bool { return i.Primary })
	}
	address, err := netip.ParseAddr(p.Address)
	if err != nil {
		return networkInterface{}, false
	}
	return find(n.byInstance[p.Instance].list, func(i networkInterface) bool { return i.holds(address) })
}

// read reads what places need. An instance that was read a moment ago and does not have an address is not read again.
func (n *interfaces) read(ctx context.Context, places []lb.Place) error {
	instances, ids, addresses := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, p := range places {
		switch {
		case p.Interface != "":
			ids[p.Interface] = true
		case p.Instance == "":
			addresses[p.Address] = true
		case n.now().Sub(n.byInstance[p.Instance].readAt) >= interfacePatience:
			instances[p.Instance] = true
		}
	}
	return errors.Join(n.readInstances(ctx, instances), n.readIDs(ctx, ids), n.readAddresses(ctx, addresses))
}

// interfacePatience is how old the picture of an instance may be when an address is not found on it. A network plugin
// adds prefixes and interfaces before it gives addresses out, so a second look soon is worth its call; not every look.
const interfacePatience = 5 * time.Second

// filterBatch is how many values the filters of an EC2 call take, with room for another filter.
const filterBatch = 199

func (n *interfaces) readInstances(ctx context.Context, ids map[string]bool) error {
	for batch := range slices.Chunk(slices.Sorted(maps.Keys(ids)), filterBatch) {
		found, err := n.api.instanceInterfaces(ctx, filter("instance-id", batch...))
		if err != nil {
			return err
		}
		at := n.now()
		for _, id := range batch {
			n.byInstance[id] = instanceInterfaces{list: found[id], readAt: at}
		}
	}
	return nil
}

func (n *interfaces) readIDs(ctx context.Context, ids map[string]bool) error {
	for batch := range slices.Chunk(slices.Sorted(maps.Keys(ids)), filterBatch) {
		found, err := n.api.networkInterfaces(ctx, filter("network-interface-id", batch...))
		if err != nil {
			return err
		}
		for _, i := range found {
			n.byID[i.ID] = i
		}
	}
	return nil
}

func (n *interfaces) readAddresses(ctx context.Context, addresses map[string]bool) error {
	list := slices.Sorted(maps.Keys(addresses))
	v6 := slices.DeleteFunc(slices.Clone(list), func(a string) bool { return !isIPv6(a) })
	v4 := slices.DeleteFunc(list, isIPv6)
	for name, all := range map[string][]string{"addresses.private-ip-address": v4, "ipv6-addresses.ipv6-address": v6} {
		for batch := range slices.Chunk(all, filterBatch) {
			found, err := n.api.networkInterfaces(ctx, filter(name, batch...), filter("vpc-id", n.vpc))
			if err != nil {
				return err
			}
			for _, i := range found {
				for _, a := range i.Addresses {
					n.byAddress[a.String()] = i
				}
			}
		}
	}
	return nil
}

// Groups finds the security group of each place: the only one of its interface, or the one among them that is marked as
// the cluster's.
func (e *Engine) Groups(ctx context.Context, places []lb.Place) (map[lb.Place]lb.SecurityGroupID, error) {
	found, err := e.interfaces.find(ctx, places)
	if err != nil {
		err = fmt.Errorf("aws: find the network interfaces of targets: %w", err)
	}
	several := map[string]bool{}
	for _, i := range found {
		if len(i.Groups) > 1 {
			for _, id := range i.Groups {
				several[id] = true
			}
		}
	}
	marked, markErr := e.endpointGroups.ofCluster(ctx, several)
	groups := map[lb.Place]lb.SecurityGroupID{}
	problems := map[string]error{}
	for place, i := range found {
		switch chosen := slices.DeleteFunc(slices.Clone(i.Groups), func(id string) bool { return !marked[id] }); {
		case len(i.Groups) == 1:
			groups[place] = lb.SecurityGroupID(i.Groups[0])
		case markErr != nil:
		case len(chosen) == 1:
			groups[place] = lb.SecurityGroupID(chosen[0])
		default:
			problems[i.ID] = e.undecided(i, chosen)
		}
	}
	errs := []error{err, markErr}
	for _, id := range slices.Sorted(maps.Keys(problems)) {
		errs = append(errs, problems[id])
		break // the first stands for all: they are mended alike
	}
	if lost := missingPlaces(places, found); err == nil && len(lost) > 0 {
		errs = append(errs, fmt.Errorf("aws: no network interface is known for %s", strings.Join(lost, ", ")))
	}
	return groups, errors.Join(errs...)
}

// undecided says that it cannot be told on which security group of an interface rules belong.
func (e *Engine) undecided(i networkInterface, marked []string) error {
	tag := clusterOwnedTag + e.options.Cluster
	for _, key := range slices.Sorted(maps.Keys(e.options.EndpointGroupTags)) {
		tag += " and " + key + "=" + e.options.EndpointGroupTags[key]
	}
	problem := fmt.Sprintf("the interface has the security groups %s, none of them with the tag %s", strings.Join(i.Groups, ", "), tag)
	switch {
	case len(i.Groups) == 0:
		problem = "the interface has no security group"
	case len(marked) > 1:
		problem = fmt.Sprintf("the interface has several security groups with the tag %s: %s", tag, strings.Join(marked, ", "))
	}
	return blockedBy(errors.New(problem), lb.SecurityGroupUnclear, i.ID, problem, "Tag exactly one of them with "+tag)
}

// missingPlaces names some of the places that were not found.
func missingPlaces(places []lb.Place, found map[lb.Place]networkInterface) []string {
	const some = 3
	var lost []string
	for _, p := range slices.SortedFunc(slices.Values(places), lb.Place.Compare) {
		if _, ok := found[p]; !ok {
			lost = append(lost, p.String())
		}
	}
	if len(lost) > some {
		lost = append(lost[:some], fmt.Sprintf("and %d more", len(lost)-some))
	}
	return lost
}

// endpointGroup is a security group of endpoints: not ours, but some of its rules are.
type endpointGroup struct {
	ID    string
	Tags  tags
	Rules map[permission]bool // true for those that carry sharedRule
}

// marked are the rules that are ours, sorted.
func (g endpointGroup) marked() []permission {
	var list []permission
	for p, ours := range g.Rules {
		if ours {
			list = append(list, p)
		}
	}
	slices.SortFunc(list, permission.compare)
	return list
}

// endpointGroups caches security groups of endpoints: those that rules were ever wanted on since the start, and all that
// are marked as the cluster's. Written through by every change, read again by an audit.
type endpointGroups struct {
	api          api
	vpc, cluster string
	also         map[string]string // tags that the one of several has, beside the cluster's

	applying sync.Mutex // rules are changed, or read anew, by one at a time; taken before mu

	mu   sync.Mutex
	all  bool // those that are marked as the cluster's have been read
	rows map[string]endpointGroup
}

func newEndpointGroups(api api, vpc, cluster string, also map[string]string) *endpointGroups {
	return &endpointGroups{api: api, vpc: vpc, cluster: cluster, also: also, rows: map[string]endpointGroup{}}
}

// readAll reads the cluster's groups once. The caller holds the lock.
func (g *endpointGroups) readAll(ctx context.Context) error {
	if g.all {
		return nil
	}
	rows, err := g.api.endpointGroups(ctx, filter("vpc-id", g.vpc), filter("tag:"+clusterOwnedTag+g.cluster, "owned", "shared"))
	if err != nil {
		return err
	}
	for _, row := range rows {
		g.rows[row.ID] = row
	}
	g.all = true
	return nil
}

// readSome reads those of the groups that are not known. The caller holds the lock.
func (g *endpointGroups) readSome(ctx context.Context, ids []string) error {
	missing := slices.DeleteFunc(slices.Clone(ids), func(id string) bool {
		_, known := g.rows[id]
		return known
	})
	if len(missing) == 0 {
		return nil
	}
	slices.Sort(missing)
	for batch := range slices.Chunk(missing, filterBatch) {
		rows, err := g.api.endpointGroups(ctx, filter("group-id", batch...))
		if err != nil {
			return err
		}
		for _, row := range rows {
			g.rows[row.ID] = row
		}
	}
	return nil
}

// ofCluster says which of these groups are marked as the cluster's, with any value, and have the tags that must be there
// also.
func (g *endpointGroups) ofCluster(ctx context.Context, ids map[string]bool) (map[string]bool, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := errors.Join(g.readAll(ctx), g.readSome(ctx, slices.Collect(maps.Keys(ids)))); err != nil {
		return nil, fmt.Errorf("aws: read the security groups of targets: %w", err)
	}
	marked := map[string]bool{}
	for id := range ids {
		_, marked[id] = g.rows[id].Tags[clusterOwnedTag+g.cluster]
		for key, value := range g.also {
			marked[id] = marked[id] && g.rows[id].Tags[key] == value
		}
	}
	return marked, nil
}

// known returns the groups of only that exist, or, when only is nil, those that are wanted and all others that are
// known; sorted by id.
func (g *endpointGroups) known(ctx context.Context, wanted, only []lb.SecurityGroupID) ([]endpointGroup, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	need := wanted
	if only != nil {
		need = only
	}
	var ids []string
	for _, id := range need {
		ids = append(ids, string(id))
	}
	if err := errors.Join(g.readAll(ctx), g.readSome(ctx, ids)); err != nil {
		return nil, fmt.Errorf("aws: read the security groups of targets: %w", err)
	}
	var list []endpointGroup
	for _, id := range slices.Sorted(maps.Keys(g.rows)) {
		if only == nil || slices.Contains(ids, id) {
			list = append(list, g.rows[id])
		}
	}
	return list, nil
}

func (g *endpointGroups) get(id string) (endpointGroup, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	row, ok := g.rows[id]
	return row, ok
}

// reread reads one group again; ok is false when it is gone.
func (g *endpointGroups) reread(ctx context.Context, id string) (endpointGroup, bool, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	rows, err := g.api.endpointGroups(ctx, filter("group-id", id))
	if err != nil {
		return endpointGroup{}, false, err
	}
	if len(rows) == 0 {
		delete(g.rows, id)
		return endpointGroup{}, false, nil
	}
	g.rows[id] = rows[0]
	return rows[0], true, nil
}

// change edits the rules of a group after a call that did so.
func (g *endpointGroups) change(id string, add, remove []permission) {
	g.mu.Lock()
	defer g.mu.Unlock()
	row, ok := g.rows[id]
	if !ok {
		return
	}
	row.Rules = maps.Clone(row.Rules)
	for _, p := range add {
		row.Rules[p] = true
	}
	for _, p := range remove {
		delete(row.Rules, p)
	}
	g.rows[id] = row
}

// take fills the cache with the cluster's groups that a start has read.
func (g *endpointGroups) take(rows []endpointGroup) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, row := range rows {
		g.rows[row.ID] = row
	}
	g.all = true
}

// refresh reads again what was read before; cluster reads those that are marked as the cluster's.
func (g *endpointGroups) refresh(ctx context.Context, cluster func() ([]endpointGroup, error)) error {
	g.applying.Lock() // or what is changed meanwhile would be overwritten by an older answer
	defer g.applying.Unlock()
	rows, err := cluster()
	if err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	old := g.rows
	g.rows, g.all = map[string]endpointGroup{}, true
	for _, row := range rows {
		g.rows[row.ID] = row
	}
	if err := g.readSome(ctx, slices.Collect(maps.Keys(old))); err != nil {
		g.rows = old
		return fmt.Errorf("aws: read the security groups of targets: %w", err)
	}
	return nil
}
