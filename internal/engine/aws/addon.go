package aws

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/shield"
	shieldtypes "github.com/aws/aws-sdk-go-v2/service/shield/types"
	"github.com/aws/aws-sdk-go-v2/service/wafregional"
	"github.com/aws/aws-sdk-go-v2/service/wafv2"
	waftypes "github.com/aws/aws-sdk-go-v2/service/wafv2/types"

	"github.com/sluicehq/sluice/internal/lb"
	"github.com/sluicehq/sluice/internal/plan"
)

// The kinds of add-ons that a load balancer can have, one of each.
const (
	WebACLKind           plan.Kind = "WebACL"
	ClassicWebACLKind    plan.Kind = "ClassicWebACL"
	ShieldProtectionKind plan.Kind = "ShieldProtection"
)

// Names of Shield protections that are ours: the one that we give, and the one of the first ALB controller.
const (
	protectionName    = "managed by aws-load-balancer-controller"
	oldProtectionName = "managed by aws-alb-ingress-controller"
)

// addonWait is how long another service may not know a new load balancer yet.
const addonWait = 20 * time.Second

// AddOn is what another service does for a load balancer.
type AddOn struct {
	Kind         plan.Kind
	LoadBalancer plan.ID
	Value        string // ARN or id of the web ACL; name of the protection
	Objects      []lb.Object

	id string // of a protection that is there
}

// ID is that of the load balancer, in the kind of the add-on.
func (a AddOn) ID() plan.ID { return plan.ID{Kind: a.Kind, Name: a.LoadBalancer.Name} }

// Fields is the web ACL.
func (a AddOn) Fields() []plan.Field {
	if a.Kind == ShieldProtectionKind {
		return nil // it is there or not
	}
	return []plan.Field{{Name: "web-acl", Value: a.Value}}
}

// Refs is the load balancer.
func (a AddOn) Refs() []plan.ID { return []plan.ID{a.LoadBalancer} }

// Owner is the load balancer.
func (a AddOn) Owner() plan.ID { return a.LoadBalancer }

// From are the members of the stack.
func (a AddOn) From() []lb.Object { return a.Objects }

// addOns remembers the add-ons of load balancers.
type addOns struct {
	webACLs    learned[string]     // ARNs
	classic    learned[string]     // ids
	protection learned[protection] // of Shield
}

// protection is one of Shield; the zero value is none.
type protection struct{ ID, Name string }

func newAddOns(a api, touch func(arn string)) *addOns {
	same := func(a, b string) bool { return a == b }
	return &addOns{
		webACLs:    learned[string]{read: a.webACLOf, same: same, touch: touch},
		classic:    learned[string]{read: a.classicACLOf, same: same, touch: touch},
		protection: learned[protection]{read: a.protectionOf, same: func(a, b protection) bool { return a == b }, touch: touch},
	}
}

// wantedAddOns are the add-ons that a model's load balancer wants to have. What it wants not to have is none of them.
func wantedAddOns(b lb.LoadBalancer, id plan.ID) []plan.Resource {
	var out []plan.Resource
	add := func(kind plan.Kind, value string) {
		out = append(out, AddOn{Kind: kind, LoadBalancer: id, Value: value, Objects: b.From})
	}
	if acl := b.AddOns.WebACL; acl.Set() && !acl.None {
		add(WebACLKind, acl.String())
	}
	if acl := b.AddOns.ClassicWebACL; acl.Set() && !acl.None {
		add(ClassicWebACLKind, acl.String())
	}
	if b.AddOns.Shield == lb.On {
		add(ShieldProtectionKind, protectionName)
	}
	return out
}

// compared adds to what is there those add-ons about which somebody says something; learn is asked for what is not
// known. A protection that others made stays when none is wanted.
func (a *addOns) compared(have []plan.Resource, want lb.Stack, names map[lb.ResourceID]string, learn func(kind plan.Kind, arn string) error) ([]plan.Resource, error) {
	for _, b := range want.LoadBalancers {
		i := slices.IndexFunc(have, func(r plan.Resource) bool {
			return r.ID() == plan.ID{Kind: LoadBalancerKind, Name: names[b.ID]}
		})
		if i < 0 {
			continue
		}
		balancer, ok := have[i].(LoadBalancer)
		if !ok {
			continue
		}
		for kind, asked := range map[plan.Kind]bool{
			WebACLKind: b.AddOns.WebACL.Set(), ClassicWebACLKind: b.AddOns.ClassicWebACL.Set(), ShieldProtectionKind: b.AddOns.Shield != lb.AsIs,
		} {
			if !asked {
				continue
			}
			if err := learn(kind, balancer.arn); err != nil {
				return nil, err
			}
			there := AddOn{Kind: kind, LoadBalancer: balancer.ID()}
			switch kind {
			case WebACLKind:
				there.Value, _ = a.webACLs.get(balancer.arn)
			case ClassicWebACLKind:
				there.Value, _ = a.classic.get(balancer.arn)
			default:
				p, _ := a.protection.get(balancer.arn)
				there.Value, there.id = p.Name, p.ID
				foreign := p.Name != protectionName && p.Name != oldProtectionName
				if b.AddOns.Shield == lb.Off && foreign {
					there.Value = ""
				}
			}
			if there.Value != "" {
				have = append(have, there)
			}
		}
	}
	return have, nil
}

func (a *addOns) learn(ctx context.Context, kind plan.Kind, arn string) error {
	switch kind {
	case WebACLKind:
		return a.webACLs.learn(ctx, arn)
	case ClassicWebACLKind:
		return a.classic.learn(ctx, arn)
	default:
		return a.protection.learn(ctx, arn)
	}
}

func (a *addOns) drop(arn string) {
	a.webACLs.drop(arn)
	a.classic.drop(arn)
	a.protection.drop(arn)
}

// addOn gives a load balancer an add-on, or takes it away. A failure costs the add-on only.
func (p performer) addOn(ctx context.Context, verb plan.Verb, want AddOn) error {
	balancer, ok := p.mirror.loadBalancerNamed(p.plan.Stack, want.LoadBalancer.Name)
	if !ok {
		return fmt.Errorf("aws: load balancer %s is gone; it is made again by the next plan", want.LoadBalancer.Name)
	}
	gone := verb == plan.Delete
	var codes []string
	if p.makes(want.LoadBalancer) {
		codes = []string{"WAFUnavailableEntityException", "WAFNonexistentItemException", "InvalidResourceException", "ResourceNotFoundException"}
	}
	err := p.waiting(ctx, addonWait, func() error {
		switch want.Kind {
		case WebACLKind:
			return p.api.setWebACL(ctx, balancer.ARN, want.Value, gone)
		case ClassicWebACLKind:
			return p.api.setClassicACL(ctx, balancer.ARN, want.Value, gone)
		default:
			return p.protect(ctx, balancer.ARN, want, gone)
		}
	}, codes...)
	if isCode(err, "WAFNonexistentItemException") {
		p.acls.forget()
		return blockedBy(err, lb.WebACLNotFound, want.Value, "there is no such web ACL in this region and account", "Name one that exists")
	}
	if err != nil || want.Kind == ShieldProtectionKind {
		return err
	}
	value := want.Value
	if gone {
		value = ""
	}
	if want.Kind == WebACLKind {
		p.addOns.webACLs.set(balancer.ARN, value)
	} else {
		p.addOns.classic.set(balancer.ARN, value)
	}
	return nil
}

func (p performer) protect(ctx context.Context, balancer string, want AddOn, gone bool) error {
	made := protection{Name: protectionName}
	if gone {
		made = protection{}
		_, err := p.api.shield.DeleteProtection(ctx, &shield.DeleteProtectionInput{ProtectionId: aws.String(want.id)})
		if err != nil && !isNotFound(err) {
			return failed("shield:DeleteProtection", err)
		}
	} else {
		out, err := p.api.shield.CreateProtection(ctx, &shield.CreateProtectionInput{Name: aws.String(protectionName), ResourceArn: aws.String(balancer)})
		if isCode(err, "ResourceAlreadyExistsException") {
			p.addOns.protection.drop(balancer) // by a call whose answer was lost, or by others: it is read again
			return nil
		}
		if err != nil {
			return failed("shield:CreateProtection", err)
		}
		made.ID = aws.ToString(out.ProtectionId)
	}
	p.addOns.protection.set(balancer, made)
	return nil
}

// newACLs finds web ACLs by name: their ARNs. All are listed, page by page.
func newACLs(a api, now func() time.Time) *lookups[string] {
	return &lookups[string]{now: now, read: func(ctx context.Context, name string) ([]string, error) {
		for marker := (*string)(nil); ; {
			out, err := a.wafv2.ListWebACLs(ctx, &wafv2.ListWebACLsInput{Scope: waftypes.ScopeRegional, NextMarker: marker, Limit: aws.Int32(100)})
			if err != nil {
				return nil, failed("wafv2:ListWebACLs", err)
			}
			for _, acl := range out.WebACLs {
				if aws.ToString(acl.Name) == name {
					return []string{aws.ToString(acl.ARN)}, nil
				}
			}
			if marker = out.NextMarker; aws.ToString(marker) == "" || len(out.WebACLs) == 0 {
				return nil, nil
			}
		}
	}}
}

// newSubscription finds out whether there is a subscription to Shield Advanced: one state under every name.
func newSubscription(a api, now func() time.Time) *lookups[string] {
	return &lookups[string]{now: now, read: func(ctx context.Context, _ string) ([]string, error) {
		out, err := a.shield.GetSubscriptionState(ctx, &shield.GetSubscriptionStateInput{})
		if err != nil || out.SubscriptionState != shieldtypes.SubscriptionStateActive {
			return nil, failed("shield:GetSubscriptionState", err)
		}
		return []string{string(out.SubscriptionState)}, nil
	}}
}

// withAddOns returns the stack with web ACLs by ARN. An add-on that cannot be found is left as it is, and who asked for
// it is told; a load balancer that is not there yet, and would be open without its web ACL, is not made.
func (e *Engine) withAddOns(ctx context.Context, want lb.Stack, v view) (lb.Stack, []lb.Verdict, error) {
	var verdicts []lb.Verdict
	want.LoadBalancers = slices.Clone(want.LoadBalancers)
	for i := range want.LoadBalancers {
		b := &want.LoadBalancers[i]
		if acl := b.AddOns.WebACL; acl.Name != "" {
			arns, err := e.acls.get(ctx, acl.Name)
			if err != nil && !isDenied(err) {
				return want, nil, fmt.Errorf("aws: find web ACL %s: %w", acl.Name, err)
			}
			b.AddOns.WebACL = lb.WebACL{From: acl.From, Field: acl.Field}
			if len(arns) > 0 {
				b.AddOns.WebACL.ID = arns[0]
			} else {
				severity := lb.Partial
				if _, there := e.settings.existing(*b, v); !there {
					severity = lb.Refused
				}
				problem, fix := "WAF has no web ACL of this name in the region", "Make it, or name one that exists"
				if err != nil {
					problem, fix = "the controller may not look for it: "+answerText(err), "Allow wafv2:ListWebACLs in the IAM policy of the controller's role, or give the ARN"
				}
				verdicts = append(verdicts, lb.Verdict{
					Object: acl.From, Severity: severity, Reason: lb.WebACLNotFound, Field: acl.Field, Value: acl.Name, Problem: problem, Fix: fix,
				})
			}
		}
		if b.AddOns.Shield == lb.AsIs {
			continue
		}
		active, err := e.subscription.get(ctx, "")
		if err != nil && !isDenied(err) {
			return want, nil, fmt.Errorf("aws: look for Shield Advanced: %w", err)
		}
		if len(active) > 0 {
			continue
		}
		if b.AddOns.Shield == lb.On {
			for _, o := range want.Members {
				verdicts = append(verdicts, lb.Verdict{
					Object: o, Severity: lb.Warning, Reason: lb.NoSubscription,
					Problem: "the load balancer is not protected: there is no active subscription to Shield Advanced, or the controller may not ask for it",
					Fix:     "Subscribe, and allow shield:GetSubscriptionState, or remove the annotation shield-advanced-protection",
				})
			}
		}
		b.AddOns.Shield = lb.AsIs
	}
	return want, lb.SortVerdicts(verdicts), nil
}

func (a api) webACLOf(ctx context.Context, balancer string) (string, error) {
	out, err := a.wafv2.GetWebACLForResource(ctx, &wafv2.GetWebACLForResourceInput{ResourceArn: aws.String(balancer)})
	if err != nil || out.WebACL == nil {
		return "", failed("wafv2:GetWebACLForResource", err)
	}
	return aws.ToString(out.WebACL.ARN), nil
}

func (a api) classicACLOf(ctx context.Context, balancer string) (string, error) {
	out, err := a.waf.GetWebACLForResource(ctx, &wafregional.GetWebACLForResourceInput{ResourceArn: aws.String(balancer)})
	if err != nil || out.WebACLSummary == nil {
		return "", failed("waf-regional:GetWebACLForResource", err)
	}
	return aws.ToString(out.WebACLSummary.WebACLId), nil
}

func (a api) protectionOf(ctx context.Context, balancer string) (protection, error) {
	out, err := a.shield.DescribeProtection(ctx, &shield.DescribeProtectionInput{ResourceArn: aws.String(balancer)})
	if err != nil {
		return protection{}, failed("shield:DescribeProtection", err)
	}
	return protection{ID: aws.ToString(out.Protection.Id), Name: cmp.Or(aws.ToString(out.Protection.Name), "without a name")}, nil
}

func (a api) setWebACL(ctx context.Context, balancer, acl string, gone bool) error {
	if gone {
		_, err := a.wafv2.DisassociateWebACL(ctx, &wafv2.DisassociateWebACLInput{ResourceArn: aws.String(balancer)})
		return failed("wafv2:DisassociateWebACL", err)
	}
	_, err := a.wafv2.AssociateWebACL(ctx, &wafv2.AssociateWebACLInput{ResourceArn: aws.String(balancer), WebACLArn: aws.String(acl)})
	return failed("wafv2:AssociateWebACL", err)
}

func (a api) setClassicACL(ctx context.Context, balancer, acl string, gone bool) error {
	if gone {
		_, err := a.waf.DisassociateWebACL(ctx, &wafregional.DisassociateWebACLInput{ResourceArn: aws.String(balancer)})
		return failed("waf-regional:DisassociateWebACL", err)
	}
	_, err := a.waf.AssociateWebACL(ctx, &wafregional.AssociateWebACLInput{ResourceArn: aws.String(balancer), WebACLId: aws.String(acl)})
	return failed("waf-regional:AssociateWebACL", err)
}
