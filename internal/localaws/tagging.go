package localaws

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/resourcegroupstaggingapi"
	"github.com/aws/aws-sdk-go-v2/service/resourcegroupstaggingapi/types"

	"github.com/sluicehq/sluice/internal/localaws/wire"
)

func registerTagging(b *binder) {
	on(b, (*tx).getResources)
	on(b, (*tx).getTagKeys)
	on(b, (*tx).getTagValues)
	on(b, (*tx).tagResources)
	on(b, (*tx).untagResources)
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

// tagRow finds the row of tags of an ARN; its key is the ARN, or for some services an identifier.
func (x *tx) tagRow(arn string) (string, bool) {
	if x.state.tags.has(arn) {
		return arn, true
	}
	for id := range x.state.tags.find(func(r taggedResource) bool { return r.ARN == arn }) {
		return id, true
	}
	return "", false
}

// eachResource does something to the tags of every resource of a call. One that fails is in the answer, not its error.
func (x *tx) eachResource(arns []string, do func(id string)) map[string]types.FailureInfo {
	failed := map[string]types.FailureInfo{}
	for _, arn := range arns {
		id, ok := x.tagRow(arn)
		if !ok {
			failed[arn] = types.FailureInfo{
				ErrorCode: types.ErrorCodeInvalidParameterException, StatusCode: http.StatusBadRequest,
				ErrorMessage: ptr("There is no resource " + arn),
			}
			continue
		}
		do(id)
	}
	return failed
}

func (x *tx) tagResources(in *resourcegroupstaggingapi.TagResourcesInput) (*resourcegroupstaggingapi.TagResourcesOutput, error) {
	for key, value := range in.Tags {
		if bad := badTag(key, value); bad != "" {
			return nil, wire.Errorf("InvalidParameterException", "%s", bad)
		}
	}
	full := map[string]types.FailureInfo{}
	failed := x.eachResource(in.ResourceARNList, func(id string) {
		all := maps.Clone(x.tagsOf(id))
		if all == nil {
			all = map[string]string{}
		}
		if maps.Copy(all, in.Tags); len(all) > x.quota["sluice/tags-per-resource"] {
			row, _ := x.state.tags.get(id)
			full[row.ARN] = types.FailureInfo{
				ErrorCode: types.ErrorCodeInvalidParameterException, StatusCode: http.StatusBadRequest,
				ErrorMessage: ptr("The resource would have too many tags"),
			}
			return
		}
		x.changeTags(id, in.Tags, nil)
	})
	maps.Copy(failed, full)
	return &resourcegroupstaggingapi.TagResourcesOutput{FailedResourcesMap: failed}, nil
}

func (x *tx) untagResources(in *resourcegroupstaggingapi.UntagResourcesInput) (*resourcegroupstaggingapi.UntagResourcesOutput, error) {
	failed := x.eachResource(in.ResourceARNList, func(id string) { x.changeTags(id, nil, in.TagKeys) })
	return &resourcegroupstaggingapi.UntagResourcesOutput{FailedResourcesMap: failed}, nil
}

func (x *tx) getTagKeys(in *resourcegroupstaggingapi.GetTagKeysInput) (*resourcegroupstaggingapi.GetTagKeysOutput, error) {
	keys, next := x.tagTexts(in.PaginationToken, func(key, _ string) (string, bool) { return key, true })
	return &resourcegroupstaggingapi.GetTagKeysOutput{TagKeys: keys, PaginationToken: &next}, nil
}

func (x *tx) getTagValues(in *resourcegroupstaggingapi.GetTagValuesInput) (*resourcegroupstaggingapi.GetTagValuesOutput, error) {
	values, next := x.tagTexts(in.PaginationToken, func(key, value string) (string, bool) { return value, key == *in.Key })
	return &resourcegroupstaggingapi.GetTagValuesOutput{TagValues: values, PaginationToken: &next}, nil
}

// tagTexts lists texts of tags, each once and in order. A page begins behind the text that is its token.
func (x *tx) tagTexts(token *string, pick func(key, value string) (string, bool)) (page []string, next string) {
	texts := map[string]bool{}
	for _, r := range x.state.tags.find(func(r taggedResource) bool { return x.taggedHere(r.ARN) }) {
		for key, value := range r.Tags {
			if text, ok := pick(key, value); ok && text > val(token) {
				texts[text] = true
			}
		}
	}
	page = append([]string{}, slices.Sorted(maps.Keys(texts))...)
	if len(page) > resourcesPerPage {
		page = page[:resourcesPerPage]
		next = page[len(page)-1]
	}
	return page, next
}
