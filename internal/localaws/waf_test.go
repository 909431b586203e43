package localaws_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/shield"
	shieldtypes "github.com/aws/aws-sdk-go-v2/service/shield/types"
	"github.com/aws/aws-sdk-go-v2/service/wafregional"
	regionaltypes "github.com/aws/aws-sdk-go-v2/service/wafregional/types"
	"github.com/aws/aws-sdk-go-v2/service/wafv2"
	"github.com/aws/aws-sdk-go-v2/service/wafv2/types"
)

// TestWebACLs: a web ACL's life, its lock, and its associations.
func TestWebACLs(t *testing.T) {
	c := start(t)
	ctx := t.Context()
	client := wafv2.NewFromConfig(c.Config)
	b := c.balancer(t, "web")
	visible := &types.VisibilityConfig{MetricName: aws.String("m")}
	create := func(name string, change func(*wafv2.CreateWebACLInput)) (*wafv2.CreateWebACLOutput, error) {
		in := &wafv2.CreateWebACLInput{
			Name: &name, Scope: types.ScopeRegional, DefaultAction: &types.DefaultAction{Allow: &types.AllowAction{}}, VisibilityConfig: visible,
			Rules: []types.Rule{{Name: aws.String("r"), Priority: 1, VisibilityConfig: visible, Action: &types.RuleAction{Block: &types.BlockAction{}},
				Statement: &types.Statement{GeoMatchStatement: &types.GeoMatchStatement{CountryCodes: []types.CountryCode{"JP"}}}}},
			Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("b")}},
		}
		change(in)
		return client.CreateWebACL(ctx, in)
	}
	same := func(*wafv2.CreateWebACLInput) {}
	made := must[*wafv2.CreateWebACLOutput](t)(create("one", same)).Summary
	_, err := create("one", same)
	wants(t, err, "WAFDuplicateItemException", "duplicate")
	_, err = create("two", func(in *wafv2.CreateWebACLInput) { in.DefaultAction.Block = &types.BlockAction{} })
	wants(t, err, "WAFInvalidParameterException", "DEFAULT_ACTION")
	_, err = create("two", func(in *wafv2.CreateWebACLInput) { in.Rules = append(in.Rules, in.Rules[0]) })
	wants(t, err, "WAFInvalidParameterException", "RULE")
	_, err = create("two", func(in *wafv2.CreateWebACLInput) { in.Scope = types.ScopeCloudfront })
	wants(t, err, "WAFInvalidParameterException", "CLOUDFRONT")
	_, err = create("a b", same)
	wants(t, err, "WAFInvalidParameterException", "name")
	got := must[*wafv2.GetWebACLOutput](t)(client.GetWebACL(ctx, &wafv2.GetWebACLInput{Name: made.Name, Id: made.Id, Scope: types.ScopeRegional}))
	if *got.LockToken != *made.LockToken || len(got.WebACL.Rules) != 1 || got.WebACL.Rules[0].Statement.GeoMatchStatement.CountryCodes[0] != "JP" {
		t.Errorf("%+v", got)
	}
	update := func(token *string) (*wafv2.UpdateWebACLOutput, error) {
		return client.UpdateWebACL(ctx, &wafv2.UpdateWebACLInput{
			Name: made.Name, Id: made.Id, Scope: types.ScopeRegional, LockToken: token, VisibilityConfig: visible,
			DefaultAction: &types.DefaultAction{Block: &types.BlockAction{}},
		})
	}
	next := must[*wafv2.UpdateWebACLOutput](t)(update(made.LockToken)).NextLockToken
	_, err = update(made.LockToken)
	wants(t, err, "WAFOptimisticLockException", "Reapply")
	of := func() *types.WebACL {
		return must[*wafv2.GetWebACLForResourceOutput](t)(client.GetWebACLForResource(ctx, &wafv2.GetWebACLForResourceInput{ResourceArn: b.LoadBalancerArn})).WebACL
	}
	if of() != nil {
		t.Error("a new load balancer has a web ACL")
	}
	must[*wafv2.AssociateWebACLOutput](t)(client.AssociateWebACL(ctx, &wafv2.AssociateWebACLInput{WebACLArn: made.ARN, ResourceArn: b.LoadBalancerArn}))
	if a := of(); a == nil || *a.ARN != *made.ARN || a.DefaultAction.Block == nil {
		t.Errorf("%+v", a)
	}
	resources := must[*wafv2.ListResourcesForWebACLOutput](t)(client.ListResourcesForWebACL(ctx, &wafv2.ListResourcesForWebACLInput{WebACLArn: made.ARN}))
	if len(resources.ResourceArns) != 1 {
		t.Errorf("%+v", resources)
	}
	_, err = client.AssociateWebACL(ctx, &wafv2.AssociateWebACLInput{WebACLArn: aws.String(*made.ARN + "0"), ResourceArn: b.LoadBalancerArn})
	wants(t, err, "WAFNonexistentItemException", "")
	_, err = client.AssociateWebACL(ctx, &wafv2.AssociateWebACLInput{WebACLArn: made.ARN, ResourceArn: aws.String("arn:aws:s3:::bucket-of-mine")})
	wants(t, err, "WAFInvalidParameterException", "RESOURCE_ARN")
	remove := &wafv2.DeleteWebACLInput{Name: made.Name, Id: made.Id, Scope: types.ScopeRegional, LockToken: next}
	_, err = client.DeleteWebACL(ctx, remove)
	wants(t, err, "WAFAssociatedItemException", "associated")
	must[*wafv2.TagResourceOutput](t)(client.TagResource(ctx, &wafv2.TagResourceInput{ResourceARN: made.ARN, Tags: []types.Tag{{Key: aws.String("c"), Value: aws.String("d")}}}))
	must[*wafv2.UntagResourceOutput](t)(client.UntagResource(ctx, &wafv2.UntagResourceInput{ResourceARN: made.ARN, TagKeys: []string{"a"}}))
	tags := must[*wafv2.ListTagsForResourceOutput](t)(client.ListTagsForResource(ctx, &wafv2.ListTagsForResourceInput{ResourceARN: made.ARN}))
	if list := tags.TagInfoForResource.TagList; len(list) != 1 || *list[0].Key != "c" {
		t.Errorf("%+v", list)
	}
	must[*elb.DeleteLoadBalancerOutput](t)(c.elb.DeleteLoadBalancer(ctx, &elb.DeleteLoadBalancerInput{LoadBalancerArn: b.LoadBalancerArn}))
	must[*wafv2.CreateWebACLOutput](t)(create("two", same))
	first := must[*wafv2.ListWebACLsOutput](t)(client.ListWebACLs(ctx, &wafv2.ListWebACLsInput{Scope: types.ScopeRegional, Limit: aws.Int32(1)}))
	second := must[*wafv2.ListWebACLsOutput](t)(client.ListWebACLs(ctx, &wafv2.ListWebACLsInput{Scope: types.ScopeRegional, NextMarker: first.NextMarker}))
	if len(first.WebACLs) != 1 || len(second.WebACLs) != 1 || second.NextMarker != nil || *second.WebACLs[0].Name != "two" {
		t.Errorf("%+v %+v", first, second)
	}
	must[*wafv2.DeleteWebACLOutput](t)(client.DeleteWebACL(ctx, remove)) // its load balancer is gone
	_, err = client.DeleteWebACL(ctx, remove)
	wants(t, err, "WAFNonexistentItemException", "")
	if err := c.SetQuota("sluice/web-acls", 1); err != nil {
		t.Fatal(err)
	}
	_, err = create("three", same)
	wants(t, err, "WAFLimitsExceededException", "1")
}

func TestWAFRegional(t *testing.T) {
	c := start(t)
	ctx := t.Context()
	client := wafregional.NewFromConfig(c.Config)
	b := c.balancer(t, "web")
	token := must[*wafregional.GetChangeTokenOutput](t)(client.GetChangeToken(ctx, nil)).ChangeToken
	acl := must[*wafregional.CreateWebACLOutput](t)(client.CreateWebACL(ctx, &wafregional.CreateWebACLInput{
		Name: aws.String("classic"), MetricName: aws.String("m"), ChangeToken: token, DefaultAction: &regionaltypes.WafAction{Type: "ALLOW"},
	})).WebACL
	status := must[*wafregional.GetChangeTokenStatusOutput](t)(client.GetChangeTokenStatus(ctx, &wafregional.GetChangeTokenStatusInput{ChangeToken: token}))
	if status.ChangeTokenStatus != regionaltypes.ChangeTokenStatusInsync {
		t.Error(status.ChangeTokenStatus)
	}
	must[*wafregional.AssociateWebACLOutput](t)(client.AssociateWebACL(ctx, &wafregional.AssociateWebACLInput{WebACLId: acl.WebACLId, ResourceArn: b.LoadBalancerArn}))
	of := func() *regionaltypes.WebACLSummary {
		return must[*wafregional.GetWebACLForResourceOutput](t)(client.GetWebACLForResource(ctx, &wafregional.GetWebACLForResourceInput{ResourceArn: b.LoadBalancerArn})).WebACLSummary
	}
	if s := of(); s == nil || *s.Name != "classic" {
		t.Errorf("%+v", s)
	}
	list := must[*wafregional.ListWebACLsOutput](t)(client.ListWebACLs(ctx, &wafregional.ListWebACLsInput{}))
	resources := must[*wafregional.ListResourcesForWebACLOutput](t)(client.ListResourcesForWebACL(ctx, &wafregional.ListResourcesForWebACLInput{WebACLId: acl.WebACLId}))
	got := must[*wafregional.GetWebACLOutput](t)(client.GetWebACL(ctx, &wafregional.GetWebACLInput{WebACLId: acl.WebACLId}))
	if len(list.WebACLs) != 1 || len(resources.ResourceArns) != 1 || *got.WebACL.WebACLArn != *acl.WebACLArn {
		t.Errorf("%+v %+v %+v", list, resources, got)
	}
	_, err := client.DeleteWebACL(ctx, &wafregional.DeleteWebACLInput{WebACLId: acl.WebACLId, ChangeToken: token})
	wants(t, err, "WAFReferencedItemException", "")
	newer := wafv2.NewFromConfig(c.Config)
	visible := &types.VisibilityConfig{MetricName: aws.String("m")}
	other := must[*wafv2.CreateWebACLOutput](t)(newer.CreateWebACL(ctx, &wafv2.CreateWebACLInput{
		Name: aws.String("new"), Scope: types.ScopeRegional, VisibilityConfig: visible, DefaultAction: &types.DefaultAction{Allow: &types.AllowAction{}},
	}))
	_, err = newer.AssociateWebACL(ctx, &wafv2.AssociateWebACLInput{WebACLArn: other.Summary.ARN, ResourceArn: b.LoadBalancerArn})
	wants(t, err, "WAFInvalidOperationException", "Classic")
	must[*wafregional.DisassociateWebACLOutput](t)(client.DisassociateWebACL(ctx, &wafregional.DisassociateWebACLInput{ResourceArn: b.LoadBalancerArn}))
	if of() != nil {
		t.Error("still associated")
	}
	must[*wafv2.AssociateWebACLOutput](t)(newer.AssociateWebACL(ctx, &wafv2.AssociateWebACLInput{WebACLArn: other.Summary.ARN, ResourceArn: b.LoadBalancerArn}))
	_, err = client.AssociateWebACL(ctx, &wafregional.AssociateWebACLInput{WebACLId: acl.WebACLId, ResourceArn: b.LoadBalancerArn})
	wants(t, err, "WAFUnavailableEntityException", "")
	must[*wafv2.DisassociateWebACLOutput](t)(newer.DisassociateWebACL(ctx, &wafv2.DisassociateWebACLInput{ResourceArn: b.LoadBalancerArn}))
	must[*wafregional.DeleteWebACLOutput](t)(client.DeleteWebACL(ctx, &wafregional.DeleteWebACLInput{WebACLId: acl.WebACLId, ChangeToken: token}))
	_, err = client.GetWebACL(ctx, &wafregional.GetWebACLInput{WebACLId: acl.WebACLId})
	wants(t, err, "WAFNonexistentItemException", "")
}

func TestShield(t *testing.T) {
	c := start(t)
	ctx := t.Context()
	client := shield.NewFromConfig(c.Config)
	b := c.balancer(t, "web")
	state := func() shieldtypes.SubscriptionState {
		return must[*shield.GetSubscriptionStateOutput](t)(client.GetSubscriptionState(ctx, nil)).SubscriptionState
	}
	protect := &shield.CreateProtectionInput{Name: aws.String("p"), ResourceArn: b.LoadBalancerArn, Tags: []shieldtypes.Tag{{Key: aws.String("a"), Value: aws.String("b")}}}
	_, err := client.CreateProtection(ctx, protect)
	wants(t, err, "ResourceNotFoundException", "subscription")
	if state() != shieldtypes.SubscriptionStateInactive {
		t.Error("subscribed from the start")
	}
	_, err = client.DescribeSubscription(ctx, nil)
	wants(t, err, "ResourceNotFoundException", "subscription")
	must[*shield.CreateSubscriptionOutput](t)(client.CreateSubscription(ctx, nil))
	_, err = client.CreateSubscription(ctx, nil)
	wants(t, err, "ResourceAlreadyExistsException", "")
	if sub := must[*shield.DescribeSubscriptionOutput](t)(client.DescribeSubscription(ctx, nil)).Subscription; state() != shieldtypes.SubscriptionStateActive || sub.EndTime == nil {
		t.Errorf("%+v", sub)
	}
	id := must[*shield.CreateProtectionOutput](t)(client.CreateProtection(ctx, protect)).ProtectionId
	_, err = client.CreateProtection(ctx, protect)
	wants(t, err, "ResourceAlreadyExistsException", "")
	_, err = client.CreateProtection(ctx, &shield.CreateProtectionInput{Name: aws.String("p"), ResourceArn: aws.String("arn:aws:s3:::b")})
	wants(t, err, "InvalidResourceException", "")
	p := must[*shield.DescribeProtectionOutput](t)(client.DescribeProtection(ctx, &shield.DescribeProtectionInput{ResourceArn: b.LoadBalancerArn})).Protection
	if *p.Id != *id || *p.Name != "p" {
		t.Errorf("%+v", p)
	}
	_, err = client.DescribeProtection(ctx, &shield.DescribeProtectionInput{})
	wants(t, err, "InvalidParameterException", "")
	for name, want := range map[string]int{"p": 1, "q": 0} {
		list := must[*shield.ListProtectionsOutput](t)(client.ListProtections(ctx, &shield.ListProtectionsInput{InclusionFilters: &shieldtypes.InclusionProtectionFilters{ProtectionNames: []string{name}}}))
		if len(list.Protections) != want {
			t.Errorf("%s: %+v", name, list)
		}
	}
	must[*shield.TagResourceOutput](t)(client.TagResource(ctx, &shield.TagResourceInput{ResourceARN: p.ProtectionArn, Tags: []shieldtypes.Tag{{Key: aws.String("c"), Value: aws.String("d")}}}))
	must[*shield.UntagResourceOutput](t)(client.UntagResource(ctx, &shield.UntagResourceInput{ResourceARN: p.ProtectionArn, TagKeys: []string{"a"}}))
	if tags := must[*shield.ListTagsForResourceOutput](t)(client.ListTagsForResource(ctx, &shield.ListTagsForResourceInput{ResourceARN: p.ProtectionArn})).Tags; len(tags) != 1 || *tags[0].Key != "c" {
		t.Errorf("%+v", tags)
	}
	must[*shield.DeleteProtectionOutput](t)(client.DeleteProtection(ctx, &shield.DeleteProtectionInput{ProtectionId: id}))
	_, err = client.DescribeProtection(ctx, &shield.DescribeProtectionInput{ProtectionId: id})
	wants(t, err, "ResourceNotFoundException", "protection")
}
