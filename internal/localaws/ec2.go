package localaws

import (
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/sluicehq/sluice/internal/localaws/wire"
)

func registerEC2(b *binder) {
	on(b, (*tx).describeAvailabilityZones)
	on(b, (*tx).createVpc)
	on(b, (*tx).deleteVpc)
	on(b, (*tx).describeVpcs)
	on(b, (*tx).createSubnet)
	on(b, (*tx).deleteSubnet)
	on(b, (*tx).modifySubnetAttribute)
	on(b, (*tx).describeSubnets)
	on(b, (*tx).createRouteTable)
	on(b, (*tx).deleteRouteTable)
	on(b, (*tx).associateRouteTable)
	on(b, (*tx).disassociateRouteTable)
	on(b, (*tx).createRoute)
	on(b, (*tx).deleteRoute)
	on(b, (*tx).describeRouteTables)
	on(b, (*tx).createInternetGateway)
	on(b, (*tx).deleteInternetGateway)
	on(b, (*tx).attachInternetGateway)
	on(b, (*tx).detachInternetGateway)
	on(b, (*tx).describeInternetGateways)
	on(b, (*tx).createSecurityGroup)
	on(b, (*tx).deleteSecurityGroup)
	on(b, (*tx).describeSecurityGroups)
	on(b, (*tx).describeSecurityGroupRules)
	on(b, (*tx).authorizeSecurityGroupIngress)
	on(b, (*tx).authorizeSecurityGroupEgress)
	on(b, (*tx).revokeSecurityGroupIngress)
	on(b, (*tx).revokeSecurityGroupEgress)
	on(b, (*tx).runInstances)
	on(b, (*tx).terminateInstances)
	on(b, (*tx).describeInstances)
	on(b, (*tx).describeNetworkInterfaces)
	on(b, (*tx).allocateAddress)
	on(b, (*tx).releaseAddress)
	on(b, (*tx).describeAddresses)
	on(b, (*tx).createTags)
	on(b, (*tx).deleteTags)
	on(b, (*tx).describeEC2Tags)
	on(b, (*tx).describeAccountAttributes)
	on(b, (*tx).describeRegions)
	on(b, (*tx).describeNetworkAcls)
	on(b, (*tx).describeIpamPools)
	on(b, (*tx).describeCoipPools)
	on(b, (*tx).getCoipPoolUsage)
	on(b, (*tx).getSecurityGroupsForVpc)
	on(b, (*tx).describeVpcAttribute)
	on(b, (*tx).modifyVpcAttribute)
	on(b, (*tx).createVpcPeeringConnection)
	on(b, (*tx).acceptVpcPeeringConnection)
	on(b, (*tx).deleteVpcPeeringConnection)
	on(b, (*tx).describeVpcPeeringConnections)
	on(b, (*tx).createManagedPrefixList)
	on(b, (*tx).deleteManagedPrefixList)
	on(b, (*tx).describeManagedPrefixLists)
	on(b, (*tx).getManagedPrefixListEntries)
	on(b, (*tx).describePrefixLists)
}

// filters are what a resource can be looked up by: for each filter name, the resource's values.
type filters[T any] map[string]func(T) []string

// query is the part that all EC2 Describe calls share.
type query[T any] struct {
	ids     []string
	kind    idKind
	filters []types.Filter
	fields  filters[T]
	max     *int32
	token   *string
}

// idKind is how a kind of resource is named and how EC2 complains about a wrong name.
type idKind struct{ prefix, code, noun string }

var (
	vpcID       = idKind{"vpc", "InvalidVpcID", "vpc ID"}
	subnetID    = idKind{"subnet", "InvalidSubnetID", "subnet ID"}
	groupID     = idKind{"sg", "InvalidGroup", "security group"}
	groupRuleID = idKind{"sgr", "InvalidSecurityGroupRuleId", "security group rule ID"}
	instanceID  = idKind{"i", "InvalidInstanceID", "instance ID"}
	interfaceID = idKind{"eni", "InvalidNetworkInterfaceID", "networkInterface ID"}
	tableID     = idKind{"rtb", "InvalidRouteTableID", "routeTable ID"}
	gatewayID   = idKind{"igw", "InvalidInternetGatewayID", "internetGateway ID"}

	peeringID    = idKind{"pcx", "InvalidVpcPeeringConnectionID", "vpcPeeringConnection ID"}
	prefixListID = idKind{"pl", "InvalidPrefixListID", "prefix list ID"}
	networkACLID = idKind{"acl", "InvalidNetworkAclID", "networkAcl ID"}
	elasticIPID  = idKind{"eipalloc", "InvalidAllocationID", "allocation ID"}
)

func (k idKind) notFound(ids ...string) error {
	if len(ids) == 1 {
		return wire.Errorf(k.code+".NotFound", "The %s '%s' does not exist", k.noun, ids[0])
	}
	return wire.Errorf(k.code+".NotFound", "The %ss '%s' do not exist", k.noun, strings.Join(ids, ", "))
}

var idTail = regexp.MustCompile(`^[0-9a-f]{8}([0-9a-f]{9})?$`)

// check refuses what does not look like an identifier of the kind.
func (k idKind) check(id string) error {
	tail, ok := strings.CutPrefix(id, k.prefix+"-")
	if ok && idTail.MatchString(tail) {
		return nil
	}
	code := k.code
	if k == groupID {
		code = "InvalidGroupId"
	}
	return wire.Errorf(code+".Malformed", "Invalid id: \"%s\" (expecting \"%s-...\")", id, k.prefix)
}

// lookup gets the row that an input names.
func lookup[T any](t *table[T], kind idKind, id *string) (T, error) {
	var none T
	if err := kind.check(val(id)); err != nil {
		return none, err
	}
	row, ok := t.get(*id)
	if !ok {
		return none, kind.notFound(*id)
	}
	return row, nil
}

// describe lists the rows of a table that a query asks for, one page of them.
func describe[T any](x *tx, t *table[T], q query[T]) ([]item[T], *string, error) {
	return describeItems(x, t.items(nil), q)
}

// describeItems is describe for what is in no table.
func describeItems[T any](x *tx, all []item[T], q query[T]) ([]item[T], *string, error) {
	if err := checkIDs(all, q.kind, q.ids); err != nil {
		return nil, nil, err
	}
	if len(q.ids) > 0 && q.max != nil {
		return nil, nil, wire.Errorf("InvalidParameterCombination",
			"The parameter %s cannot be used with the parameter MaxResults", q.kind.noun)
	}
	if err := checkFilters(q.filters, q.fields); err != nil {
		return nil, nil, err
	}
	found := slices.DeleteFunc(all, func(i item[T]) bool {
		return len(q.ids) > 0 && !slices.Contains(q.ids, i.id) || !matches(q.filters, q.fields, x.tagsOf(i.id), i.value)
	})
	return pageEC2(found, q.max, q.token)
}

func checkIDs[T any](all []item[T], kind idKind, ids []string) error {
	var missing []string
	for _, id := range ids {
		if err := kind.check(id); err != nil {
			return err
		}
		if !slices.ContainsFunc(all, func(i item[T]) bool { return i.id == id }) {
			missing = append(missing, id)
		}
	}
	if len(missing) > 0 {
		return kind.notFound(missing...)
	}
	return nil
}

func pageEC2[T any](found []item[T], size *int32, token *string) ([]item[T], *string, error) {
	if size != nil && (*size < 5 || *size > 1000) {
		return nil, nil, wire.Errorf("InvalidParameterValue",
			"Value ( %d ) for parameter maxResults is invalid. Expecting a value between 5 and 1000.", *size)
	}
	cut, next, ok := page(found, val(token), int(val(size)))
	if !ok {
		return nil, nil, wire.Errorf("InvalidParameterValue", "Value for parameter nextToken is invalid.")
	}
	if next == "" {
		return cut, nil, nil
	}
	return cut, &next, nil
}

func checkFilters[T any](asked []types.Filter, fields filters[T]) error {
	for _, f := range asked {
		name := val(f.Name)
		if fields[name] == nil && name != "tag-key" && name != "tag-value" && !strings.HasPrefix(name, "tag:") {
			return wire.Errorf("InvalidParameterValue", "The filter '%s' is invalid", name)
		}
		if len(f.Values) == 0 {
			return wire.Errorf("InvalidParameterValue", "The filter '%s' has no values", name)
		}
	}
	return nil
}

// matches tells whether a resource satisfies every filter; one satisfied value is enough for a filter.
func matches[T any](asked []types.Filter, fields filters[T], tags map[string]string, row T) bool {
	for _, f := range asked {
		if !matchesAny(f.Values, filterValues(val(f.Name), fields, tags, row)) {
			return false
		}
	}
	return true
}

func filterValues[T any](name string, fields filters[T], tags map[string]string, row T) []string {
	if field := fields[name]; field != nil {
		return field(row)
	}
	var values []string
	for key, value := range tags {
		switch name {
		case "tag-key":
			values = append(values, key)
		case "tag-value", "tag:" + key:
			values = append(values, value)
		}
	}
	return values
}

func matchesAny(patterns, values []string) bool {
	for _, p := range patterns {
		for _, v := range values {
			if wildcard(p, v) {
				return true
			}
		}
	}
	return false
}

// wildcard matches * (any characters) and ? (one), in time proportional to the product of the lengths.
func wildcard(pattern, s string) bool {
	star, mark := -1, 0
	i := 0
	for p := 0; i < len(s) || p < len(pattern); {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, i
			p++
			continue
		case p < len(pattern) && i < len(s) && (pattern[p] == '?' || pattern[p] == s[i]):
			p, i = p+1, i+1
			continue
		case star >= 0 && mark < len(s):
			mark++
			p, i = star+1, mark
			continue
		}
		return false
	}
	return true
}

func ec2Tags(tags map[string]string) []types.Tag {
	return sortedTags(tags, func(k, v *string) types.Tag { return types.Tag{Key: k, Value: v} })
}

func (x *tx) collectEC2Tags(tags []types.Tag) (map[string]string, error) {
	split := func(t types.Tag) (*string, *string) { return t.Key, t.Value }
	out, err := collectTags(tags, split, "InvalidParameterValue", "InvalidParameterValue")
	if err == nil && len(out) > x.quota["sluice/tags-per-resource"] {
		return nil, wire.Errorf("TagLimitExceeded", "The maximum number of Tags for a resource has been reached.")
	}
	return out, err
}

// specifiedTags takes the tags out of the TagSpecifications of a create call, which must all be for its resource.
func (x *tx) specifiedTags(specs []types.TagSpecification, kind types.ResourceType) (map[string]string, error) {
	var all []types.Tag
	for _, spec := range specs {
		if spec.ResourceType != kind {
			return nil, wire.Errorf("InvalidParameterValue",
				"'%s' is not a valid taggable resource type for this operation.", spec.ResourceType)
		}
		all = append(all, spec.Tags...)
	}
	return x.collectEC2Tags(all)
}

// one makes a filter field of a single value.
func one[T any](value func(T) *string) func(T) []string {
	return func(row T) []string {
		if v := value(row); v != nil {
			return []string{*v}
		}
		return nil
	}
}
