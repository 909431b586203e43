package localaws

import (
	"cmp"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/wafregional"
	"github.com/aws/aws-sdk-go-v2/service/wafregional/types"

	"github.com/sluicehq/sluice/internal/localaws/wire"
)

func registerWAFRegional(b *binder) {
	on(b, (*tx).getChangeToken)
	on(b, (*tx).getChangeTokenStatus)
	on(b, (*tx).createRegionalACL)
	on(b, (*tx).getRegionalACL)
	on(b, (*tx).deleteRegionalACL)
	on(b, (*tx).listRegionalACLs)
	on(b, (*tx).associateRegionalACL)
	on(b, (*tx).disassociateRegionalACL)
	on(b, (*tx).regionalACLForResource)
	on(b, (*tx).resourcesForRegionalACL)
}

// regionalACL is a web ACL of AWS WAF Classic.
type regionalACL struct{ Wire types.WebACL }

func (x *tx) regionalACL(id *string) (regionalACL, error) {
	a, ok := x.state.regionalACLs.get(*id)
	if !ok {
		return a, wire.Errorf("WAFNonexistentItemException", "The referenced item does not exist.")
	}
	return a, nil
}

// getChangeToken: each change is whole when it is answered, so that tokens need not be remembered.
func (x *tx) getChangeToken(*wafregional.GetChangeTokenInput) (*wafregional.GetChangeTokenOutput, error) {
	return &wafregional.GetChangeTokenOutput{ChangeToken: ptr(requestID())}, nil
}

func (x *tx) getChangeTokenStatus(*wafregional.GetChangeTokenStatusInput) (*wafregional.GetChangeTokenStatusOutput, error) {
	return &wafregional.GetChangeTokenStatusOutput{ChangeTokenStatus: types.ChangeTokenStatusInsync}, nil
}

func (x *tx) createRegionalACL(in *wafregional.CreateWebACLInput) (*wafregional.CreateWebACLOutput, error) {
	split := func(t types.Tag) (*string, *string) { return t.Key, t.Value }
	tags, err := collectTags(in.Tags, split, "WAFBadRequestException", "WAFBadRequestException")
	if err != nil {
		return nil, err
	}
	if limit := x.quota["sluice/web-acls"]; x.state.regionalACLs.len() >= limit {
		return nil, wire.Errorf("WAFLimitsExceededException", "Operation would result in exceeding resource limits: %d web ACLs.", limit)
	}
	id := requestID()
	arn := "arn:aws:waf-regional:" + x.options.Region + ":" + x.options.AccountID + ":webacl/" + id
	a := regionalACL{types.WebACL{
		WebACLId: &id, WebACLArn: &arn, Name: in.Name, MetricName: in.MetricName, DefaultAction: in.DefaultAction, Rules: []types.ActivatedRule{},
	}}
	x.state.regionalACLs.put(x, id, a)
	x.setTags(id, arn, tags)
	return &wafregional.CreateWebACLOutput{ChangeToken: in.ChangeToken, WebACL: &a.Wire}, nil
}

func (x *tx) getRegionalACL(in *wafregional.GetWebACLInput) (*wafregional.GetWebACLOutput, error) {
	a, err := x.regionalACL(in.WebACLId)
	if err != nil {
		return nil, err
	}
	return &wafregional.GetWebACLOutput{WebACL: &a.Wire}, nil
}

func (x *tx) deleteRegionalACL(in *wafregional.DeleteWebACLInput) (*wafregional.DeleteWebACLOutput, error) {
	if _, err := x.regionalACL(in.WebACLId); err != nil {
		return nil, err
	}
	if x.state.regionalACLUses.exists(func(id string) bool { return id == *in.WebACLId }) {
		return nil, wire.Errorf("WAFReferencedItemException", "The WebACL is associated with a resource.")
	}
	x.state.regionalACLs.delete(x, *in.WebACLId)
	x.state.tags.delete(x, *in.WebACLId)
	return &wafregional.DeleteWebACLOutput{ChangeToken: in.ChangeToken}, nil
}

func (x *tx) listRegionalACLs(in *wafregional.ListWebACLsInput) (*wafregional.ListWebACLsOutput, error) {
	found, next, ok := page(x.state.regionalACLs.items(nil), val(in.NextMarker), int(cmp.Or(in.Limit, wafPage)))
	if !ok {
		return nil, wafInvalid("The marker %s is not valid.", *in.NextMarker)
	}
	out := &wafregional.ListWebACLsOutput{WebACLs: []types.WebACLSummary{}}
	if next != "" {
		out.NextMarker = &next
	}
	for _, i := range found {
		out.WebACLs = append(out.WebACLs, types.WebACLSummary{WebACLId: i.value.Wire.WebACLId, Name: i.value.Wire.Name})
	}
	return out, nil
}

func (x *tx) associateRegionalACL(in *wafregional.AssociateWebACLInput) (*wafregional.AssociateWebACLOutput, error) {
	if err := x.protectable(in.ResourceArn); err != nil {
		return nil, err
	}
	if _, err := x.regionalACL(in.WebACLId); err != nil {
		return nil, err
	}
	if x.state.webACLUses.has(*in.ResourceArn) {
		return nil, wire.Errorf("WAFUnavailableEntityException", "The resource is already associated with a web ACL of AWS WAF.")
	}
	x.state.regionalACLUses.put(x, *in.ResourceArn, *in.WebACLId)
	return &wafregional.AssociateWebACLOutput{}, nil
}

func (x *tx) disassociateRegionalACL(in *wafregional.DisassociateWebACLInput) (*wafregional.DisassociateWebACLOutput, error) {
	if err := x.protectable(in.ResourceArn); err != nil {
		return nil, err
	}
	x.state.regionalACLUses.delete(x, *in.ResourceArn)
	return &wafregional.DisassociateWebACLOutput{}, nil
}

func (x *tx) regionalACLForResource(in *wafregional.GetWebACLForResourceInput) (*wafregional.GetWebACLForResourceOutput, error) {
	if err := x.protectable(in.ResourceArn); err != nil {
		return nil, err
	}
	out := &wafregional.GetWebACLForResourceOutput{}
	if id, ok := x.state.regionalACLUses.get(*in.ResourceArn); ok {
		a, _ := x.state.regionalACLs.get(id)
		out.WebACLSummary = &types.WebACLSummary{WebACLId: a.Wire.WebACLId, Name: a.Wire.Name}
	}
	return out, nil
}

func (x *tx) resourcesForRegionalACL(in *wafregional.ListResourcesForWebACLInput) (*wafregional.ListResourcesForWebACLOutput, error) {
	if _, err := x.regionalACL(in.WebACLId); err != nil {
		return nil, err
	}
	out := &wafregional.ListResourcesForWebACLOutput{ResourceArns: []string{}}
	if in.ResourceType == "" || in.ResourceType == types.ResourceTypeApplicationLoadBalancer {
		for resource := range x.state.regionalACLUses.find(func(id string) bool { return id == *in.WebACLId }) {
			out.ResourceArns = append(out.ResourceArns, resource)
		}
		slices.Sort(out.ResourceArns)
	}
	return out, nil
}
