package localaws

import (
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/sluicehq/sluice/internal/localaws/wire"
)

// idKinds are the resources that CreateTags takes.
var idKinds = []idKind{vpcID, subnetID, groupID, groupRuleID, instanceID, interfaceID, tableID, gatewayID, peeringID, prefixListID}

// checkTagged refuses identifiers of resources that are not there.
func (x *tx) checkTagged(ids []string) error {
	for _, id := range ids {
		prefix, _, _ := strings.Cut(id, "-")
		at := slices.IndexFunc(idKinds, func(k idKind) bool { return k.prefix == prefix })
		if at < 0 {
			return wire.Errorf("InvalidID", "The ID '%s' is not valid", id)
		}
		if err := idKinds[at].check(id); err != nil {
			return err
		}
		if !x.state.tags.has(id) && !x.groupRuleExists(id) {
			return idKinds[at].notFound(id)
		}
	}
	return nil
}

// groupRuleExists looks for a rule that has no tags yet; everything else has a row of tags from the start.
func (x *tx) groupRuleExists(id string) bool {
	return strings.HasPrefix(id, "sgr-") && x.state.securityGroups.exists(func(g securityGroup) bool {
		return slices.ContainsFunc(g.Rules, func(r types.SecurityGroupRule) bool { return *r.SecurityGroupRuleId == id })
	})
}

func (x *tx) createTags(in *ec2.CreateTagsInput) (*ec2.CreateTagsOutput, error) {
	add, err := x.collectEC2Tags(in.Tags)
	if err != nil {
		return nil, err
	}
	if err := x.checkTagged(in.Resources); err != nil {
		return nil, err
	}
	for _, id := range in.Resources {
		if !x.state.tags.has(id) {
			x.setTags(id, x.ec2ARN("security-group-rule", id), nil)
		}
		x.changeTags(id, add, nil)
		if len(x.tagsOf(id)) > x.quota["sluice/tags-per-resource"] {
			return nil, wire.Errorf("TagLimitExceeded", "The maximum number of Tags for a resource has been reached.")
		}
	}
	return nil, nil
}

// deleteTags removes tags by key; a given value, even an empty one, must be the tag's; no tags at all means every tag.
func (x *tx) deleteTags(in *ec2.DeleteTagsInput) (*ec2.DeleteTagsOutput, error) {
	if err := x.checkTagged(in.Resources); err != nil {
		return nil, err
	}
	for _, id := range in.Resources {
		var remove []string
		have := x.tagsOf(id)
		for key, value := range have {
			if len(in.Tags) == 0 || slices.ContainsFunc(in.Tags, func(t types.Tag) bool {
				return val(t.Key) == key && (t.Value == nil || *t.Value == value)
			}) {
				remove = append(remove, key)
			}
		}
		if len(remove) > 0 {
			x.changeTags(id, nil, remove)
		}
	}
	return nil, nil
}

var tagFilters = filters[types.TagDescription]{
	"resource-id":   one(func(t types.TagDescription) *string { return t.ResourceId }),
	"resource-type": func(t types.TagDescription) []string { return []string{string(t.ResourceType)} },
	"key":           one(func(t types.TagDescription) *string { return t.Key }),
	"value":         one(func(t types.TagDescription) *string { return t.Value }),
}

// describeEC2Tags is bound under the name of its input type, DescribeTags, as ELB's describeTags is.
func (x *tx) describeEC2Tags(in *ec2.DescribeTagsInput) (*ec2.DescribeTagsOutput, error) {
	if err := checkFilters(in.Filters, tagFilters); err != nil {
		return nil, err
	}
	var all []item[types.TagDescription]
	for _, row := range x.state.tags.items(nil) {
		kind, isEC2 := strings.CutPrefix(row.value.ARN, x.ec2ARN("", "")[:len(x.ec2ARN("", ""))-1])
		if !isEC2 {
			continue
		}
		kind, _, _ = strings.Cut(kind, "/")
		for at, tag := range ec2Tags(row.value.Tags) {
			d := types.TagDescription{ResourceId: &row.id, ResourceType: types.ResourceType(kind), Key: tag.Key, Value: tag.Value}
			if matches(in.Filters, tagFilters, map[string]string{*tag.Key: *tag.Value}, d) {
				all = append(all, item[types.TagDescription]{key: row.key<<8 | uint64(at), value: d})
			}
		}
	}
	found, next, err := pageEC2(all, in.MaxResults, in.NextToken)
	if err != nil {
		return nil, err
	}
	out := &ec2.DescribeTagsOutput{Tags: []types.TagDescription{}, NextToken: next}
	for _, i := range found {
		out.Tags = append(out.Tags, i.value)
	}
	return out, nil
}
