package localaws

import (
	"net/netip"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/sluicehq/sluice/internal/localaws/wire"
)

// prefixList is a managed prefix list: a name for address blocks.
type prefixList struct {
	Wire    types.ManagedPrefixList
	Entries []types.PrefixListEntry
}

func (p prefixList) id() string { return *p.Wire.PrefixListId }

var prefixListFilters = filters[prefixList]{
	"owner-id":         one(func(p prefixList) *string { return p.Wire.OwnerId }),
	"prefix-list-id":   one(func(p prefixList) *string { return p.Wire.PrefixListId }),
	"prefix-list-name": one(func(p prefixList) *string { return p.Wire.PrefixListName }),
}

// awsPrefixLists are the lists that AWS keeps in every region. Their identifiers are made here, and so are their
// entries, from the blocks that are set aside for documentation.
func (x *tx) awsPrefixLists() []item[prefixList] {
	var out []item[prefixList]
	for i, l := range [][3]string{
		{"pl-0000000000000000a", "com.amazonaws." + x.options.Region + ".s3", "192.0.2.0/24"},
		{"pl-0000000000000000b", "com.amazonaws." + x.options.Region + ".dynamodb", "198.51.100.0/24"},
		{"pl-0000000000000000c", "com.amazonaws.global.cloudfront.origin-facing", "203.0.113.0/24"},
	} {
		p := prefixList{
			Wire: types.ManagedPrefixList{
				PrefixListId: &l[0], PrefixListName: &l[1], OwnerId: ptr("AWS"), AddressFamily: ptr("IPv4"), State: types.PrefixListStateCreateComplete,
				PrefixListArn: ptr("arn:aws:ec2:" + x.options.Region + ":aws:prefix-list/" + l[0]),
			},
			Entries: []types.PrefixListEntry{{Cidr: &l[2]}},
		}
		out = append(out, item[prefixList]{key: uint64(i + 1), id: l[0], value: p})
	}
	return out
}

func (x *tx) prefixLists() []item[prefixList] {
	return append(x.awsPrefixLists(), x.state.prefixLists.items(nil)...)
}

func (x *tx) createManagedPrefixList(in *ec2.CreateManagedPrefixListInput) (*ec2.CreateManagedPrefixListOutput, error) {
	family := val(in.AddressFamily)
	tags, err := x.specifiedTags(in.TagSpecifications, types.ResourceTypePrefixList)
	switch {
	case err != nil:
		return nil, err
	case family != "IPv4" && family != "IPv6":
		return nil, wire.Errorf("InvalidParameterValue", "Value (%s) for parameter addressFamily is invalid.", family)
	case *in.MaxEntries < 1 || *in.MaxEntries > 1000:
		return nil, wire.Errorf("InvalidParameterValue", "The maximum number of entries must be between 1 and 1000.")
	case len(in.Entries) > int(*in.MaxEntries):
		return nil, wire.Errorf("PrefixListMaxEntriesExceeded", "You've reached the maximum number of entries for the prefix list.")
	}
	id := x.newID("pl")
	p := prefixList{Wire: types.ManagedPrefixList{
		PrefixListId: &id, PrefixListName: in.PrefixListName, OwnerId: &x.options.AccountID, AddressFamily: in.AddressFamily,
		MaxEntries: in.MaxEntries, Version: ptr(int64(1)), State: types.PrefixListStateCreateComplete, PrefixListArn: ptr(x.ec2ARN("prefix-list", id)),
	}}
	for _, e := range in.Entries {
		block, err := netip.ParsePrefix(val(e.Cidr))
		if err != nil || block.Addr().Is4() != (family == "IPv4") {
			return nil, wire.Errorf("InvalidParameterValue", "The CIDR '%s' is not a valid block of %s.", val(e.Cidr), family)
		}
		p.Entries = append(p.Entries, types.PrefixListEntry{Cidr: ptr(block.Masked().String()), Description: e.Description})
	}
	x.state.prefixLists.put(x, id, p)
	x.setTags(id, x.ec2ARN("prefix-list", id), tags)
	return &ec2.CreateManagedPrefixListOutput{PrefixList: x.prefixListWire(p)}, nil
}

func (x *tx) prefixListWire(p prefixList) *types.ManagedPrefixList {
	w := p.Wire
	w.Tags = ec2Tags(x.tagsOf(p.id()))
	return &w
}

func (x *tx) deleteManagedPrefixList(in *ec2.DeleteManagedPrefixListInput) (*ec2.DeleteManagedPrefixListOutput, error) {
	p, err := lookup(x.state.prefixLists, prefixListID, in.PrefixListId)
	if err != nil {
		return nil, err
	}
	if x.state.securityGroups.exists(func(g securityGroup) bool { return g.names(p.id()) }) {
		return nil, wire.Errorf("PrefixListInUse", "The prefix list '%s' is referenced by a security group rule.", p.id())
	}
	x.state.prefixLists.delete(x, p.id())
	x.state.tags.delete(x, p.id())
	p.Wire.State = types.PrefixListStateDeleteComplete
	return &ec2.DeleteManagedPrefixListOutput{PrefixList: x.prefixListWire(p)}, nil
}

// names tells whether a rule of the group has a prefix list as its source.
func (g securityGroup) names(list string) bool {
	for _, r := range g.Rules {
		if val(r.PrefixListId) == list {
			return true
		}
	}
	return false
}

func (x *tx) describeManagedPrefixLists(in *ec2.DescribeManagedPrefixListsInput) (*ec2.DescribeManagedPrefixListsOutput, error) {
	found, next, err := describeItems(x, x.prefixLists(), query[prefixList]{
		in.PrefixListIds, prefixListID, in.Filters, prefixListFilters, in.MaxResults, in.NextToken,
	})
	if err != nil {
		return nil, err
	}
	out := &ec2.DescribeManagedPrefixListsOutput{PrefixLists: []types.ManagedPrefixList{}, NextToken: next}
	for _, i := range found {
		out.PrefixLists = append(out.PrefixLists, *x.prefixListWire(i.value))
	}
	return out, nil
}

func (x *tx) getManagedPrefixListEntries(in *ec2.GetManagedPrefixListEntriesInput) (*ec2.GetManagedPrefixListEntriesOutput, error) {
	found, _, err := describeItems(x, x.prefixLists(), query[prefixList]{ids: []string{val(in.PrefixListId)}, kind: prefixListID})
	if err != nil {
		return nil, err
	}
	var entries []item[types.PrefixListEntry]
	for i, e := range found[0].value.Entries {
		entries = append(entries, item[types.PrefixListEntry]{key: uint64(i + 1), value: e})
	}
	cut, next, err := pageEC2(entries, in.MaxResults, in.NextToken)
	if err != nil {
		return nil, err
	}
	out := &ec2.GetManagedPrefixListEntriesOutput{Entries: []types.PrefixListEntry{}, NextToken: next}
	for _, e := range cut {
		out.Entries = append(out.Entries, e.value)
	}
	return out, nil
}

// describePrefixLists lists AWS's own lists of services with gateway endpoints, in the older form.
func (x *tx) describePrefixLists(in *ec2.DescribePrefixListsInput) (*ec2.DescribePrefixListsOutput, error) {
	const gatewayServices = 2 // S3 and DynamoDB
	found, next, err := describeItems(x, x.awsPrefixLists()[:gatewayServices], query[prefixList]{
		in.PrefixListIds, prefixListID, in.Filters, prefixListFilters, in.MaxResults, in.NextToken,
	})
	if err != nil {
		return nil, err
	}
	out := &ec2.DescribePrefixListsOutput{PrefixLists: []types.PrefixList{}, NextToken: next}
	for _, i := range found {
		l := types.PrefixList{PrefixListId: i.value.Wire.PrefixListId, PrefixListName: i.value.Wire.PrefixListName}
		for _, e := range i.value.Entries {
			l.Cidrs = append(l.Cidrs, *e.Cidr)
		}
		out.PrefixLists = append(out.PrefixLists, l)
	}
	return out, nil
}
