package localaws

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/aws/aws-sdk-go-v2/service/route53/types"

	"github.com/sluicehq/sluice/internal/localaws/wire"
)

func registerRoute53(b *binder) {
	on(b, (*tx).createHostedZone)
	on(b, (*tx).deleteHostedZone)
	on(b, (*tx).getHostedZone)
	on(b, (*tx).getHostedZoneCount)
	on(b, (*tx).getHostedZoneLimit)
	on(b, (*tx).getAccountLimit)
	on(b, (*tx).updateHostedZoneComment)
	on(b, (*tx).associateVPCWithHostedZone)
	on(b, (*tx).disassociateVPCFromHostedZone)
	on(b, (*tx).listHostedZones)
	on(b, (*tx).listHostedZonesByName)
	on(b, (*tx).listHostedZonesByVPC)
	on(b, (*tx).changeResourceRecordSets)
	on(b, (*tx).listResourceRecordSets)
	on(b, (*tx).testDNSAnswer)
	on(b, (*tx).getChange)
	on(b, (*tx).changeTagsForResource)
	on(b, (*tx).listTagsForResource)
	on(b, (*tx).listTagsForResources)
}

// invalidInput is Route 53's complaint about an input.
func invalidInput(format string, args ...any) error {
	return wire.Errorf("InvalidInput", format, args...)
}

// zoneChange is what a call did to a zone; it is in force everywhere when the delay is over.
type zoneChange struct {
	Submitted time.Time
	Comment   string
}

// changesKept bounds how many changes are remembered; the oldest are forgotten.
const changesKept = 10_000

func (x *tx) newChange(comment *string) *types.ChangeInfo {
	if x.state.zoneChanges.len() >= changesKept {
		x.state.zoneChanges.delete(x, x.state.zoneChanges.order[0])
	}
	id := "C" + strings.ToUpper(x.hex(20))
	c := zoneChange{x.now, val(comment)}
	x.state.zoneChanges.put(x, id, c)
	info := x.changeInfo(id, c)
	info.Status = types.ChangeStatusPending // also without a delay, as on AWS
	return info
}

func (x *tx) changeInfo(id string, c zoneChange) *types.ChangeInfo {
	info := &types.ChangeInfo{Id: ptr("/change/" + id), SubmittedAt: &c.Submitted, Status: types.ChangeStatusInsync}
	if x.now.Before(c.Submitted.Add(x.Profile().ZoneChanges)) {
		info.Status = types.ChangeStatusPending
	}
	if c.Comment != "" {
		info.Comment = &c.Comment
	}
	return info
}

func (x *tx) getChange(in *route53.GetChangeInput) (*route53.GetChangeOutput, error) {
	id := strings.TrimPrefix(*in.Id, "/change/")
	c, ok := x.state.zoneChanges.get(id)
	if !ok {
		return nil, wire.Errorf("NoSuchChange", "Could not find resource with ID: %s", id)
	}
	return &route53.GetChangeOutput{ChangeInfo: x.changeInfo(id, c)}, nil
}

// zonePage is how many zones a call lists at most.
const zonePage = 100

// pageSize reads MaxItems: what is above the most is that.
func pageSize(asked *int32, most int32) (int32, error) {
	switch {
	case asked == nil:
		return most, nil
	case *asked < 1:
		return 0, invalidInput("MaxItems must be at least 1")
	}
	return min(*asked, most), nil
}

func (x *tx) getAccountLimit(in *route53.GetAccountLimitInput) (*route53.GetAccountLimitOutput, error) {
	out := &route53.GetAccountLimitOutput{Limit: &types.AccountLimit{Type: in.Type}}
	switch in.Type {
	case types.AccountLimitTypeMaxHostedZonesByOwner:
		out.Count, out.Limit.Value = int64(x.state.hostedZones.len()), ptr(int64(x.quota["sluice/hosted-zones"]))
	case types.AccountLimitTypeMaxHealthChecksByOwner:
		out.Limit.Value = ptr(int64(200))
	case types.AccountLimitTypeMaxReusableDelegationSetsByOwner:
		out.Limit.Value = ptr(int64(100))
	case types.AccountLimitTypeMaxTrafficPoliciesByOwner:
		out.Limit.Value = ptr(int64(50))
	case types.AccountLimitTypeMaxTrafficPolicyInstancesByOwner:
		out.Limit.Value = ptr(int64(5))
	}
	return out, nil
}

// taggedZone checks what a tag call names. Health checks, the other kind that has tags, are not served.
func (x *tx) taggedZone(kind types.TagResourceType, id string) (string, error) {
	if kind != types.TagResourceTypeHostedzone {
		return "", wire.Errorf("NoSuchHealthCheck", "No health check exists with the ID %s", id)
	}
	z, err := x.zone(&id)
	return z.id(), err
}

func (x *tx) changeTagsForResource(in *route53.ChangeTagsForResourceInput) (*route53.ChangeTagsForResourceOutput, error) {
	id, err := x.taggedZone(in.ResourceType, *in.ResourceId)
	if err != nil {
		return nil, err
	}
	if len(in.AddTags) == 0 && len(in.RemoveTagKeys) == 0 {
		return nil, invalidInput("You must add or remove at least one tag")
	}
	split := func(t types.Tag) (*string, *string) { return t.Key, t.Value }
	add, err := collectTags(in.AddTags, split, "InvalidInput", "InvalidInput")
	if err != nil {
		return nil, err
	}
	for key := range add {
		if slices.Contains(in.RemoveTagKeys, key) {
			return nil, invalidInput("The tag key '%s' cannot be added and removed in one request", key)
		}
	}
	x.changeTags(id, add, in.RemoveTagKeys)
	if len(x.tagsOf(id)) > x.quota["sluice/tags-per-resource"] {
		return nil, invalidInput("The number of tags on the resource would exceed the limit of %d", x.quota["sluice/tags-per-resource"])
	}
	return &route53.ChangeTagsForResourceOutput{}, nil
}

func (x *tx) zoneTags(kind types.TagResourceType, id string) (*types.ResourceTagSet, error) {
	id, err := x.taggedZone(kind, id)
	if err != nil {
		return nil, err
	}
	tags := sortedTags(x.tagsOf(id), func(k, v *string) types.Tag { return types.Tag{Key: k, Value: v} })
	return &types.ResourceTagSet{ResourceId: &id, ResourceType: kind, Tags: append([]types.Tag{}, tags...)}, nil
}

func (x *tx) listTagsForResource(in *route53.ListTagsForResourceInput) (*route53.ListTagsForResourceOutput, error) {
	set, err := x.zoneTags(in.ResourceType, *in.ResourceId)
	if err != nil {
		return nil, err
	}
	return &route53.ListTagsForResourceOutput{ResourceTagSet: set}, nil
}

func (x *tx) listTagsForResources(in *route53.ListTagsForResourcesInput) (*route53.ListTagsForResourcesOutput, error) {
	out := &route53.ListTagsForResourcesOutput{ResourceTagSets: []types.ResourceTagSet{}}
	for _, id := range in.ResourceIds {
		set, err := x.zoneTags(in.ResourceType, id)
		if err != nil {
			return nil, err
		}
		out.ResourceTagSets = append(out.ResourceTagSets, *set)
	}
	return out, nil
}

// withStatus gives an error a status that the model has not.
func withStatus(status int, code, format string, args ...any) error {
	e := wire.Errorf(code, format, args...)
	e.Status = status
	return e
}

func noSuchZone(id string) error {
	return withStatus(http.StatusNotFound, "NoSuchHostedZone", "No hosted zone found with ID: %s", id)
}
