package localaws

import (
	"slices"

	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
)

// taggedPerCall is how many resources a tag call takes.
const taggedPerCall = 20

// checkResources refuses ARNs that are not of ELB resources, or of none that is there.
func (x *tx) checkResources(arns []string) error {
	if len(arns) == 0 || len(arns) > taggedPerCall {
		return invalid("Between 1 and %d resource ARNs must be specified", taggedPerCall)
	}
	kinds := []elbKind{balancerKind, listenerKind, ruleKind, groupKind, trustStoreKind}
	for _, arn := range arns {
		at := slices.IndexFunc(kinds, func(k elbKind) bool { return k.check(arn) == nil })
		if at < 0 {
			return invalid("'%s' is not a valid ARN of an Elastic Load Balancing resource", arn)
		}
		if !x.state.tags.has(arn) {
			return kinds[at].notFound(arn)
		}
	}
	return nil
}

func (x *tx) addTags(in *elb.AddTagsInput) (*elb.AddTagsOutput, error) {
	add, err := x.collectELBTags(in.Tags)
	if err != nil {
		return nil, err
	}
	if err := x.checkResources(in.ResourceArns); err != nil {
		return nil, err
	}
	for _, arn := range in.ResourceArns {
		x.changeTags(arn, add, nil)
		if len(x.tagsOf(arn)) > x.quota["sluice/tags-per-resource"] {
			return nil, tooManyTags()
		}
	}
	return &elb.AddTagsOutput{}, nil
}

func (x *tx) removeTags(in *elb.RemoveTagsInput) (*elb.RemoveTagsOutput, error) {
	if err := x.checkResources(in.ResourceArns); err != nil {
		return nil, err
	}
	for _, arn := range in.ResourceArns {
		x.changeTags(arn, nil, in.TagKeys)
	}
	return &elb.RemoveTagsOutput{}, nil
}

func (x *tx) describeTags(in *elb.DescribeTagsInput) (*elb.DescribeTagsOutput, error) {
	if err := x.checkResources(in.ResourceArns); err != nil {
		return nil, err
	}
	out := &elb.DescribeTagsOutput{}
	for _, arn := range in.ResourceArns {
		tags := sortedTags(x.tagsOf(arn), func(k, v *string) types.Tag { return types.Tag{Key: k, Value: v} })
		out.TagDescriptions = append(out.TagDescriptions, types.TagDescription{ResourceArn: &arn, Tags: append([]types.Tag{}, tags...)})
	}
	return out, nil
}
