package localaws

import (
	"cmp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/wafv2"
	"github.com/aws/aws-sdk-go-v2/service/wafv2/types"

	"github.com/sluicehq/sluice/internal/localaws/wire"
)

// The web ACLs here are kept and associated as on AWS. Their rules are not applied to traffic.

func registerWAFV2(b *binder) {
	on(b, (*tx).createWebACL)
	on(b, (*tx).getWebACL)
	on(b, (*tx).updateWebACL)
	on(b, (*tx).deleteWebACL)
	on(b, (*tx).listWebACLs)
	on(b, (*tx).associateWebACL)
	on(b, (*tx).disassociateWebACL)
	on(b, (*tx).getWebACLForResource)
	on(b, (*tx).listResourcesForWebACL)
	on(b, (*tx).tagWebACL)
	on(b, (*tx).untagWebACL)
	on(b, (*tx).listWebACLTags)
}

// webACL is a web ACL of WAFV2. Who changes it must have its lock token, which each change renews.
type webACL struct {
	Wire      types.WebACL
	Scope     types.Scope
	LockToken string
}

func (a webACL) summary() types.WebACLSummary {
	return types.WebACLSummary{ARN: a.Wire.ARN, Id: a.Wire.Id, Name: a.Wire.Name, Description: a.Wire.Description, LockToken: &a.LockToken}
}

func noSuchACL() error {
	return wire.Errorf("WAFNonexistentItemException", "AWS WAF couldn't perform the operation because your resource doesn't exist.")
}

func wafInvalid(format string, args ...any) error {
	return wire.Errorf("WAFInvalidParameterException", format, args...)
}

func (x *tx) checkScope(scope types.Scope) error {
	if scope == types.ScopeCloudfront && x.options.Region != "us-east-1" {
		return wafInvalid("Error reason: The scope is not valid., field: SCOPE_VALUE, parameter: CLOUDFRONT")
	}
	return nil
}

func (x *tx) createWebACL(in *wafv2.CreateWebACLInput) (*wafv2.CreateWebACLOutput, error) {
	if err := x.checkScope(in.Scope); err != nil {
		return nil, err
	}
	if err := checkWebACL(in.DefaultAction, in.Rules); err != nil {
		return nil, err
	}
	tags, err := x.collectWAFTags(in.Tags)
	if err != nil {
		return nil, err
	}
	if x.state.webACLs.exists(func(a webACL) bool { return *a.Wire.Name == *in.Name && a.Scope == in.Scope }) {
		return nil, wire.Errorf("WAFDuplicateItemException", "AWS WAF couldn't perform the operation because some resource in your request is "+
			"a duplicate of an existing one.")
	}
	if limit := x.quota["sluice/web-acls"]; x.state.webACLs.len() >= limit {
		return nil, wire.Errorf("WAFLimitsExceededException", "AWS WAF couldn't perform the operation because you exceeded your resource limit: %d web ACLs.", limit)
	}
	id, place := requestID(), "regional"
	if in.Scope == types.ScopeCloudfront {
		place = "global"
	}
	arn := "arn:aws:wafv2:" + x.options.Region + ":" + x.options.AccountID + ":" + place + "/webacl/" + *in.Name + "/" + id
	a := webACL{Scope: in.Scope, LockToken: requestID(), Wire: types.WebACL{
		ARN: &arn, Id: &id, Name: in.Name, Description: in.Description, DefaultAction: in.DefaultAction, Rules: in.Rules,
		VisibilityConfig: in.VisibilityConfig, ApplicationConfig: in.ApplicationConfig, AssociationConfig: in.AssociationConfig,
		CaptchaConfig: in.CaptchaConfig, ChallengeConfig: in.ChallengeConfig, CustomResponseBodies: in.CustomResponseBodies,
		DataProtectionConfig: in.DataProtectionConfig, OnSourceDDoSProtectionConfig: in.OnSourceDDoSProtectionConfig, TokenDomains: in.TokenDomains,
		LabelNamespace: ptr("awswaf:" + x.options.AccountID + ":webacl:" + *in.Name + ":"),
	}}
	x.state.webACLs.put(x, arn, a)
	x.setTags(arn, arn, tags)
	return &wafv2.CreateWebACLOutput{Summary: ptr(a.summary())}, nil
}

// checkWebACL: one default action, and rules with a name and a priority of their own each.
func checkWebACL(action *types.DefaultAction, rules []types.Rule) error {
	if (action.Allow == nil) == (action.Block == nil) {
		return wafInvalid("Error reason: You have used none or multiple values for a field that requires exactly one value., field: DEFAULT_ACTION")
	}
	names, priorities := map[string]bool{}, map[int32]bool{}
	for _, r := range rules {
		if names[*r.Name] || priorities[r.Priority] {
			return wafInvalid("Error reason: A rule's name and priority must be its own., field: RULE, parameter: %s", *r.Name)
		}
		if r.Action != nil && r.OverrideAction != nil {
			return wafInvalid("Error reason: A rule has either an action or an override action., field: RULE_ACTION, parameter: %s", *r.Name)
		}
		names[*r.Name], priorities[r.Priority] = true, true
	}
	return nil
}

// webACLNamed finds a web ACL by all three of its names.
func (x *tx) webACLNamed(name, id *string, scope types.Scope) (webACL, error) {
	for _, a := range x.state.webACLs.find(func(a webACL) bool {
		return *a.Wire.Name == val(name) && *a.Wire.Id == val(id) && a.Scope == scope
	}) {
		return a, nil
	}
	return webACL{}, noSuchACL()
}

func (x *tx) getWebACL(in *wafv2.GetWebACLInput) (*wafv2.GetWebACLOutput, error) {
	var a webACL
	var err error
	if in.ARN != nil {
		found, ok := x.state.webACLs.get(*in.ARN)
		if a = found; !ok {
			err = noSuchACL()
		}
	} else {
		a, err = x.webACLNamed(in.Name, in.Id, in.Scope)
	}
	if err != nil {
		return nil, err
	}
	return &wafv2.GetWebACLOutput{WebACL: &a.Wire, LockToken: &a.LockToken}, nil
}

func (a webACL) unlock(token *string) error {
	if a.LockToken != *token {
		return wire.Errorf("WAFOptimisticLockException", "AWS WAF couldn't save your changes because someone changed the resource after you "+
			"started to edit it. Reapply your changes.")
	}
	return nil
}

func (x *tx) updateWebACL(in *wafv2.UpdateWebACLInput) (*wafv2.UpdateWebACLOutput, error) {
	a, err := x.webACLNamed(in.Name, in.Id, in.Scope)
	if err != nil {
		return nil, err
	}
	if err := cmp.Or(a.unlock(in.LockToken), checkWebACL(in.DefaultAction, in.Rules)); err != nil {
		return nil, err
	}
	w := &a.Wire
	w.DefaultAction, w.Rules, w.VisibilityConfig, w.Description = in.DefaultAction, in.Rules, in.VisibilityConfig, in.Description
	w.ApplicationConfig, w.AssociationConfig, w.CaptchaConfig = in.ApplicationConfig, in.AssociationConfig, in.CaptchaConfig
	w.ChallengeConfig, w.CustomResponseBodies, w.DataProtectionConfig = in.ChallengeConfig, in.CustomResponseBodies, in.DataProtectionConfig
	w.OnSourceDDoSProtectionConfig, w.TokenDomains = in.OnSourceDDoSProtectionConfig, in.TokenDomains
	a.LockToken = requestID()
	x.state.webACLs.put(x, *w.ARN, a)
	return &wafv2.UpdateWebACLOutput{NextLockToken: &a.LockToken}, nil
}

func (x *tx) deleteWebACL(in *wafv2.DeleteWebACLInput) (*wafv2.DeleteWebACLOutput, error) {
	a, err := x.webACLNamed(in.Name, in.Id, in.Scope)
	if err != nil {
		return nil, err
	}
	if err := a.unlock(in.LockToken); err != nil {
		return nil, err
	}
	if x.state.webACLUses.exists(func(arn string) bool { return arn == *a.Wire.ARN }) {
		return nil, wire.Errorf("WAFAssociatedItemException", "AWS WAF couldn't perform the operation because your resource is being used by "+
			"another resource or it's associated with another resource.")
	}
	x.state.webACLs.delete(x, *a.Wire.ARN)
	x.state.tags.delete(x, *a.Wire.ARN)
	return &wafv2.DeleteWebACLOutput{}, nil
}

// wafPage is what a listing of the WAF services has when no size is given.
const wafPage = 100

func (x *tx) listWebACLs(in *wafv2.ListWebACLsInput) (*wafv2.ListWebACLsOutput, error) {
	if err := x.checkScope(in.Scope); err != nil {
		return nil, err
	}
	all := x.state.webACLs.items(func(_ string, a webACL) bool { return a.Scope == in.Scope })
	found, next, ok := page(all, val(in.NextMarker), int(cmp.Or(val(in.Limit), wafPage)))
	if !ok {
		return nil, wafInvalid("Error reason: The marker is not valid., field: NEXT_MARKER, parameter: %s", *in.NextMarker)
	}
	out := &wafv2.ListWebACLsOutput{WebACLs: []types.WebACLSummary{}}
	if next != "" {
		out.NextMarker = &next
	}
	for _, i := range found {
		out.WebACLs = append(out.WebACLs, i.value.summary())
	}
	return out, nil
}

// protectable: of what WAF protects on AWS, load balancers are here.
func (x *tx) protectable(arn *string) error {
	if balancerKind.check(val(arn)) != nil {
		return wafInvalid("Error reason: The ARN isn't valid. A valid ARN begins with arn: and includes other information separated by colons "+
			"or slashes., field: RESOURCE_ARN, parameter: %s", val(arn))
	}
	if !x.state.loadBalancers.has(*arn) {
		return noSuchACL()
	}
	return nil
}

func (x *tx) associateWebACL(in *wafv2.AssociateWebACLInput) (*wafv2.AssociateWebACLOutput, error) {
	if err := x.protectable(in.ResourceArn); err != nil {
		return nil, err
	}
	a, ok := x.state.webACLs.get(*in.WebACLArn)
	switch {
	case !ok:
		return nil, noSuchACL()
	case a.Scope != types.ScopeRegional:
		return nil, wafInvalid("Error reason: The scope is not valid., field: WEB_ACL_ARN, parameter: %s", *in.WebACLArn)
	case x.state.regionalACLUses.has(*in.ResourceArn):
		return nil, wire.Errorf("WAFInvalidOperationException", "The resource is already associated with a web ACL of AWS WAF Classic.")
	}
	x.state.webACLUses.put(x, *in.ResourceArn, *in.WebACLArn)
	return &wafv2.AssociateWebACLOutput{}, nil
}

func (x *tx) disassociateWebACL(in *wafv2.DisassociateWebACLInput) (*wafv2.DisassociateWebACLOutput, error) {
	if err := x.protectable(in.ResourceArn); err != nil {
		return nil, err
	}
	x.state.webACLUses.delete(x, *in.ResourceArn)
	return &wafv2.DisassociateWebACLOutput{}, nil
}

func (x *tx) getWebACLForResource(in *wafv2.GetWebACLForResourceInput) (*wafv2.GetWebACLForResourceOutput, error) {
	if err := x.protectable(in.ResourceArn); err != nil {
		return nil, err
	}
	out := &wafv2.GetWebACLForResourceOutput{}
	if arn, ok := x.state.webACLUses.get(*in.ResourceArn); ok {
		a, _ := x.state.webACLs.get(arn)
		out.WebACL = &a.Wire
	}
	return out, nil
}

func (x *tx) listResourcesForWebACL(in *wafv2.ListResourcesForWebACLInput) (*wafv2.ListResourcesForWebACLOutput, error) {
	if !x.state.webACLs.has(*in.WebACLArn) {
		return nil, noSuchACL()
	}
	out := &wafv2.ListResourcesForWebACLOutput{ResourceArns: []string{}}
	if in.ResourceType == "" || in.ResourceType == types.ResourceTypeApplicationLoadBalancer {
		for resource := range x.state.webACLUses.find(func(arn string) bool { return arn == *in.WebACLArn }) {
			out.ResourceArns = append(out.ResourceArns, resource)
		}
		slices.Sort(out.ResourceArns)
	}
	return out, nil
}

func (x *tx) collectWAFTags(tags []types.Tag) (map[string]string, error) {
	split := func(t types.Tag) (*string, *string) { return t.Key, t.Value }
	out, err := collectTags(tags, split, "WAFInvalidParameterException", "WAFInvalidParameterException")
	if err == nil && len(out) > x.quota["sluice/tags-per-resource"] {
		return nil, tooManyWAFTags()
	}
	return out, err
}

func tooManyWAFTags() error {
	return wire.Errorf("WAFLimitsExceededException", "AWS WAF couldn't perform the operation because you exceeded your resource limit: tags.")
}

func (x *tx) taggedACL(arn *string) error {
	if !strings.Contains(*arn, ":wafv2:") || !x.state.webACLs.has(*arn) {
		return noSuchACL()
	}
	return nil
}

func (x *tx) tagWebACL(in *wafv2.TagResourceInput) (*wafv2.TagResourceOutput, error) {
	add, err := x.collectWAFTags(in.Tags)
	if err := cmp.Or(x.taggedACL(in.ResourceARN), err); err != nil {
		return nil, err
	}
	x.changeTags(*in.ResourceARN, add, nil)
	if len(x.tagsOf(*in.ResourceARN)) > x.quota["sluice/tags-per-resource"] {
		return nil, tooManyWAFTags()
	}
	return &wafv2.TagResourceOutput{}, nil
}

func (x *tx) untagWebACL(in *wafv2.UntagResourceInput) (*wafv2.UntagResourceOutput, error) {
	if err := x.taggedACL(in.ResourceARN); err != nil {
		return nil, err
	}
	x.changeTags(*in.ResourceARN, nil, in.TagKeys)
	return &wafv2.UntagResourceOutput{}, nil
}

func (x *tx) listWebACLTags(in *wafv2.ListTagsForResourceInput) (*wafv2.ListTagsForResourceOutput, error) {
	if err := x.taggedACL(in.ResourceARN); err != nil {
		return nil, err
	}
	tags := sortedTags(x.tagsOf(*in.ResourceARN), func(k, v *string) types.Tag { return types.Tag{Key: k, Value: v} })
	return &wafv2.ListTagsForResourceOutput{TagInfoForResource: &types.TagInfoForResource{
		ResourceARN: in.ResourceARN, TagList: append([]types.Tag{}, tags...),
	}}, nil
}
