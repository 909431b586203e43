package localaws

import (
	"cmp"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/shield"
	"github.com/aws/aws-sdk-go-v2/service/shield/types"

	"github.com/sluicehq/sluice/internal/localaws/wire"
)

func registerShield(b *binder) {
	on(b, (*tx).createSubscription)
	on(b, (*tx).describeSubscription)
	on(b, (*tx).getSubscriptionState)
	on(b, (*tx).createProtection)
	on(b, (*tx).describeProtection)
	on(b, (*tx).listProtections)
	on(b, (*tx).deleteProtection)
	on(b, (*tx).tagProtection)
	on(b, (*tx).untagProtection)
	on(b, (*tx).listProtectionTags)
}

// protection is a protection of Shield Advanced.
type protection struct{ Wire types.Protection }

// subscribedKey is where the time of the account's subscription is kept.
const subscribedKey = "shield.subscribed"

func noSuchProtection(what string) error {
	return wire.Errorf("ResourceNotFoundException", "The referenced %s does not exist.", what)
}

func (x *tx) createSubscription(*shield.CreateSubscriptionInput) (*shield.CreateSubscriptionOutput, error) {
	if x.state.meta.has(subscribedKey) {
		return nil, wire.Errorf("ResourceAlreadyExistsException", "The subscription already exists.")
	}
	x.state.meta.put(x, subscribedKey, x.now.Format(time.RFC3339))
	return &shield.CreateSubscriptionOutput{}, nil
}

func (x *tx) describeSubscription(*shield.DescribeSubscriptionInput) (*shield.DescribeSubscriptionOutput, error) {
	since, ok := x.state.meta.get(subscribedKey)
	if !ok {
		return nil, noSuchProtection("subscription")
	}
	start, err := time.Parse(time.RFC3339, since)
	if err != nil {
		return nil, err
	}
	const year = 365 * 24 * time.Hour
	limit := int64(x.quota["sluice/shield-protections"])
	return &shield.DescribeSubscriptionOutput{Subscription: &types.Subscription{
		AutoRenew: types.AutoRenewEnabled, StartTime: &start, EndTime: ptr(start.Add(year)), TimeCommitmentInSeconds: int64(year.Seconds()),
		SubscriptionArn:           ptr("arn:aws:shield::" + x.options.AccountID + ":subscription"),
		ProactiveEngagementStatus: types.ProactiveEngagementStatusDisabled,
		SubscriptionLimits: &types.SubscriptionLimits{
			ProtectionLimits: &types.ProtectionLimits{ProtectedResourceTypeLimits: []types.Limit{{Type: ptr("APPLICATION_LOAD_BALANCER"), Max: limit}}},
			ProtectionGroupLimits: &types.ProtectionGroupLimits{
				PatternTypeLimits: &types.ProtectionGroupPatternTypeLimits{
					ArbitraryPatternLimits: &types.ProtectionGroupArbitraryPatternLimits{},
				},
			},
		},
	}}, nil
}

func (x *tx) getSubscriptionState(*shield.GetSubscriptionStateInput) (*shield.GetSubscriptionStateOutput, error) {
	if x.state.meta.has(subscribedKey) {
		return &shield.GetSubscriptionStateOutput{SubscriptionState: types.SubscriptionStateActive}, nil
	}
	return &shield.GetSubscriptionStateOutput{SubscriptionState: types.SubscriptionStateInactive}, nil
}

func (x *tx) createProtection(in *shield.CreateProtectionInput) (*shield.CreateProtectionOutput, error) {
	tags, err := x.collectShieldTags(in.Tags)
	switch {
	case err != nil:
		return nil, err
	case !x.state.meta.has(subscribedKey):
		return nil, noSuchProtection("subscription")
	case balancerKind.check(*in.ResourceArn) != nil:
		return nil, wire.Errorf("InvalidResourceException", "Unrecognized resource '%s'.", *in.ResourceArn)
	case !x.state.loadBalancers.has(*in.ResourceArn):
		return nil, noSuchProtection("resource")
	case x.state.protections.exists(func(p protection) bool { return *p.Wire.ResourceArn == *in.ResourceArn }):
		return nil, wire.Errorf("ResourceAlreadyExistsException", "The referenced protection already exists.")
	case x.state.protections.len() >= x.quota["sluice/shield-protections"]:
		return nil, wire.Errorf("LimitsExceededException", "The request exceeds the limit of %d protections.", x.quota["sluice/shield-protections"])
	}
	id := requestID()
	arn := "arn:aws:shield::" + x.options.AccountID + ":protection/" + id
	x.state.protections.put(x, id, protection{types.Protection{Id: &id, Name: in.Name, ResourceArn: in.ResourceArn, ProtectionArn: &arn}})
	x.setTags(arn, arn, tags)
	return &shield.CreateProtectionOutput{ProtectionId: &id}, nil
}

func (x *tx) describeProtection(in *shield.DescribeProtectionInput) (*shield.DescribeProtectionOutput, error) {
	if (in.ProtectionId == nil) == (in.ResourceArn == nil) {
		return nil, invalidParameter("Either a protection id or a resource ARN must be given, and not both.")
	}
	for id, p := range x.state.protections.all() {
		if val(in.ProtectionId) == id || val(in.ResourceArn) == *p.Wire.ResourceArn {
			return &shield.DescribeProtectionOutput{Protection: &p.Wire}, nil
		}
	}
	return nil, noSuchProtection("protection")
}

func (x *tx) listProtections(in *shield.ListProtectionsInput) (*shield.ListProtectionsOutput, error) {
	f := types.InclusionProtectionFilters{}
	if in.InclusionFilters != nil {
		f = *in.InclusionFilters
	}
	all := x.state.protections.items(func(_ string, p protection) bool {
		return (len(f.ProtectionNames) == 0 || slices.Contains(f.ProtectionNames, *p.Wire.Name)) &&
			(len(f.ResourceArns) == 0 || slices.Contains(f.ResourceArns, *p.Wire.ResourceArn)) &&
			(len(f.ResourceTypes) == 0 || slices.Contains(f.ResourceTypes, types.ProtectedResourceTypeApplicationLoadBalancer))
	})
	const usual = 20
	found, next, ok := page(all, val(in.NextToken), int(cmp.Or(val(in.MaxResults), usual)))
	if !ok {
		return nil, wire.Errorf("InvalidPaginationTokenException", "The pagination token is not valid.")
	}
	out := &shield.ListProtectionsOutput{Protections: []types.Protection{}}
	if next != "" {
		out.NextToken = &next
	}
	for _, i := range found {
		out.Protections = append(out.Protections, i.value.Wire)
	}
	return out, nil
}

func (x *tx) deleteProtection(in *shield.DeleteProtectionInput) (*shield.DeleteProtectionOutput, error) {
	p, ok := x.state.protections.get(*in.ProtectionId)
	if !ok {
		return nil, noSuchProtection("protection")
	}
	x.state.protections.delete(x, *in.ProtectionId)
	x.state.tags.delete(x, *p.Wire.ProtectionArn)
	return &shield.DeleteProtectionOutput{}, nil
}

func (x *tx) collectShieldTags(tags []types.Tag) (map[string]string, error) {
	split := func(t types.Tag) (*string, *string) { return t.Key, t.Value }
	return collectTags(tags, split, "InvalidParameterException", "InvalidParameterException")
}

// taggedProtection checks the ARN of a tag call.
func (x *tx) taggedProtection(arn *string) error {
	if !x.state.protections.exists(func(p protection) bool { return *p.Wire.ProtectionArn == *arn }) {
		return noSuchProtection("protection")
	}
	return nil
}

func (x *tx) tagProtection(in *shield.TagResourceInput) (*shield.TagResourceOutput, error) {
	add, err := x.collectShieldTags(in.Tags)
	if err := cmp.Or(x.taggedProtection(in.ResourceARN), err); err != nil {
		return nil, err
	}
	x.changeTags(*in.ResourceARN, add, nil)
	if limit := x.quota["sluice/tags-per-resource"]; len(x.tagsOf(*in.ResourceARN)) > limit {
		return nil, invalidParameter("The resource would have more than %d tags.", limit)
	}
	return &shield.TagResourceOutput{}, nil
}

func (x *tx) untagProtection(in *shield.UntagResourceInput) (*shield.UntagResourceOutput, error) {
	if err := x.taggedProtection(in.ResourceARN); err != nil {
		return nil, err
	}
	x.changeTags(*in.ResourceARN, nil, in.TagKeys)
	return &shield.UntagResourceOutput{}, nil
}

func (x *tx) listProtectionTags(in *shield.ListTagsForResourceInput) (*shield.ListTagsForResourceOutput, error) {
	if err := x.taggedProtection(in.ResourceARN); err != nil {
		return nil, err
	}
	tags := sortedTags(x.tagsOf(*in.ResourceARN), func(k, v *string) types.Tag { return types.Tag{Key: k, Value: v} })
	return &shield.ListTagsForResourceOutput{Tags: append([]types.Tag{}, tags...)}, nil
}
