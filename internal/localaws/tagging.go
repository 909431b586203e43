package localaws

import (
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/resourcegroupstaggingapi"
	"github.com/aws/aws-sdk-go-v2/service/resourcegroupstaggingapi/types"

	"github.com/sluicehq/sluice/internal/localaws/wire"
)

func registerTagging(b *binder) {
	on(b, (*tx).getResources)
}

const resourcesPerPage = 100 // also what it is when not asked for

func (x *tx) getResources(in *resourcegroupstaggingapi.GetResourcesInput) (*resourcegroupstaggingapi.GetResourcesOutput, error) {
	const code = "InvalidParameterException"
	if len(in.ResourceARNList) > 0 && (len(in.TagFilters) > 0 || len(in.ResourceTypeFilters) > 0 || in.ResourcesPerPage != nil ||
		in.PaginationToken != nil) {
		return nil, wire.Errorf(code, "ResourceARNList can't be combined with filters or pagination")
	}
	for _, f := range in.TagFilters {
		if len(f.Values) > 20 {
			return nil, wire.Errorf(code, "A tag filter can have at most 20 values")
		}
	}
	size := int32(resourcesPerPage)
	if in.ResourcesPerPage != nil {
		size = *in.ResourcesPerPage
	}
	if size < 1 || size > resourcesPerPage {
		return nil, wire.Errorf(code, "ResourcesPerPage must be between 1 and %d", resourcesPerPage)
	}
	if in.TagsPerPage != nil && (*in.TagsPerPage < 100 || *in.TagsPerPage > 500 || *in.TagsPerPage%100 != 0) {
		return nil, wire.Errorf(code, "TagsPerPage must be between 100 and 500, in steps of 100")
	}
	all := x.state.tags.items(func(_ string, r taggedResource) bool {
		return len(r.Tags) > 0 && x.taggedHere(r.ARN) && (len(in.ResourceARNList) == 0 || slices.Contains(in.ResourceARNList, r.ARN)) &&
			isOfType(r.ARN, in.ResourceTypeFilters) && hasTags(r.Tags, in.TagFilters)
	})
	found, next, ok := page(all, val(in.PaginationToken), int(size))
	if !ok {
		return nil, wire.Errorf("PaginationTokenExpiredException", "The pagination token is not valid")
	}
	out := &resourcegroupstaggingapi.GetResourcesOutput{PaginationToken: &next, ResourceTagMappingList: []types.ResourceTagMapping{}}
	for _, i := range found {
		out.ResourceTagMappingList = append(out.ResourceTagMappingList, types.ResourceTagMapping{
			ResourceARN: &i.value.ARN,
			Tags:        sortedTags(i.value.Tags, func(k, v *string) types.Tag { return types.Tag{Key: k, Value: v} }),
		})
	}
	return out, nil
}

// taggedHere: a region lists its own resources, and us-east-1 those that have none.
func (x *tx) taggedHere(arn string) bool {
	return x.options.Region == "us-east-1" || strings.SplitN(arn, ":", 6)[3] != ""
}

// isOfType matches an ARN with filters such as "elasticloadbalancing", "elasticloadbalancing:loadbalancer" and
// "elasticloadbalancing:loadbalancer/app".
func isOfType(arn string, filters []string) bool {
	parts := strings.SplitN(arn, ":", 6)
	return len(filters) == 0 || slices.ContainsFunc(filters, func(f string) bool {
		service, kind, narrowed := strings.Cut(f, ":")
		return service == parts[2] && (!narrowed || strings.HasPrefix(parts[5], kind+"/"))
	})
}

// hasTags: every key, and one of its values where any are given.
func hasTags(tags map[string]string, filters []types.TagFilter) bool {
	for _, f := range filters {
		value, ok := tags[val(f.Key)]
		if !ok || len(f.Values) > 0 && !slices.Contains(f.Values, value) {
			return false
		}
	}
	return true
}
