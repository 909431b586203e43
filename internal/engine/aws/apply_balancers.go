package aws

import (
	"context"
	"fmt"
	"slices"
	"time"

	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/sluicehq/sluice/internal/lb"
	"github.com/sluicehq/sluice/internal/plan"
)

// renameFix is what a person can do when a load balancer's name belongs to somebody else.
const renameFix = "Give the load balancer another name, or delete that one"

func (p performer) loadBalancer(ctx context.Context, verb plan.Verb, want LoadBalancer) error {
	if verb == plan.Delete {
		return p.deleteLoadBalancer(ctx, want)
	}
	groups, err := p.groupIDs(want.SecurityGroups)
	if err != nil {
		return err
	}
	row, exists := p.mirror.loadBalancerNamed(p.plan.Stack, want.Name)
	if !exists {
		row, err = p.makeLoadBalancer(ctx, want, groups)
	}
	if err == nil {
		err = p.updateLoadBalancer(ctx, row, want, groups)
	}
	switch errorCode(err) {
	case "LoadBalancerNotFound":
		p.mirror.dropLoadBalancer(row.ARN)
	case "SubnetNotFound", "InvalidSubnet", "InvalidSubnetID.NotFound":
		p.network.forget() // the VPC is not as it was when these were chosen
	}
	return err
}

// makeLoadBalancer creates a load balancer or takes the one of that name that has our tags. CreateLoadBalancer answers
// with an existing one that has the same settings, whoever made it; so a name that a user gave is looked up before.
func (p performer) makeLoadBalancer(ctx context.Context, want LoadBalancer, groups []string) (loadBalancer, error) {
	if want.named {
		row, found, err := p.adopt(ctx, want, nil)
		if found || err != nil {
			return row, err
		}
	}
	row, err := p.api.createLoadBalancer(ctx, want, groups, p.tracking(want.Resource).with(want.Tags))
	if isCode(err, "DuplicateLoadBalancerName") {
		row, found, adoptErr := p.adopt(ctx, want, err)
		if !found && adoptErr == nil {
			adoptErr = err
		}
		return row, adoptErr
	}
	if err != nil {
		return loadBalancer{}, p.explainGroups(ctx, err, groups)
	}
	p.mirror.write(func(now time.Time) { p.mirror.loadBalancers.put(row.ARN, row, now) })
	return row, nil
}

// adopt takes the load balancer of the wanted name into the mirror, with its listeners and rules, when it has our tags.
func (p performer) adopt(ctx context.Context, want LoadBalancer, cause error) (row loadBalancer, found bool, err error) {
	b, err := p.api.loadBalancerNamed(ctx, want.Name)
	if err != nil || b == nil {
		return loadBalancer{}, false, err
	}
	arn := deref(b.LoadBalancerArn)
	tagged, err := p.api.tagsOf(ctx, []string{arn})
	if err != nil {
		return loadBalancer{}, true, err
	}
	if !p.isOurs(tagged[arn], want.Resource) {
		return loadBalancer{}, true, foreign(cause, "load balancer", want.Name, arn, renameFix)
	}
	row = loadBalancerRow(*b, tagged[arn])
	p.mirror.write(func(now time.Time) { p.mirror.loadBalancers.put(arn, row, now) })
	if err := p.refreshListeners(ctx, arn); err != nil {
		return loadBalancer{}, true, err
	}
	if row.Scheme != want.Scheme || row.Type != want.Type {
		return loadBalancer{}, true, fmt.Errorf("aws: load balancer %s turned up with scheme %s; planned again", want.Name, row.Scheme)
	}
	return row, true, nil
}

// explainGroups forgets security groups that are not there, so that the next plan makes them again. Where all are there,
// ELBv2 has not heard of a new one yet, and a later try succeeds.
func (p performer) explainGroups(ctx context.Context, err error, groups []string) error {
	if !isCode(err, "InvalidSecurityGroup", "InvalidGroup.NotFound") {
		return err
	}
	for _, id := range groups {
		if !p.mirror.hasSecurityGroup(id) {
			row, readErr := p.api.securityGroup(ctx, p.options.VPCID, id)
			if readErr != nil {
				return readErr
			}
			if row == nil {
				p.groups.forget()
				return blockedBy(err, lb.SecurityGroupNotFound, id, "the VPC has no such security group", "Name one that exists")
			}
			continue
		}
		if _, readErr := p.rereadSecurityGroup(ctx, id); readErr != nil {
			return readErr
		}
	}
	return fmt.Errorf("aws: load balancer does not take its security groups yet: %s", answerText(err))
}

func (p performer) updateLoadBalancer(ctx context.Context, row loadBalancer, want LoadBalancer, groups []string) error {
	edit := func(change func(*loadBalancer)) {
		p.mirror.write(func(now time.Time) {
			if row, ok := p.mirror.loadBalancers.rows[row.ARN]; ok {
				change(&row)
				p.mirror.loadBalancers.put(row.ARN, row, now)
			}
		})
	}
	set, gone := tagChanges(row.Tags.ours(p.options.Cluster, p.options.ExternalTags), want.Tags)
	if err := p.api.setTags(ctx, row.ARN, set, gone); err != nil {
		return err
	}
	edit(func(b *loadBalancer) { b.Tags = b.Tags.changed(set, gone) })
	groups = slices.Sorted(slices.Values(groups))
	if !slices.Equal(row.SecurityGroups, groups) || row.over(want).PrivateLink != want.PrivateLink {
		if err := p.api.setSecurityGroups(ctx, row.ARN, groups, want.PrivateLink); err != nil {
			return p.explainGroups(ctx, err, groups)
		}
		edit(func(b *loadBalancer) {
			b.SecurityGroups, b.PrivateLink = groups, lb.Switch(orElse(string(want.PrivateLink), string(b.PrivateLink)))
		})
	}
	if family, differs := row.placedOtherwise(want); differs {
		zones, err := p.api.setSubnets(ctx, row.ARN, want.keeping(row), family)
		if err != nil {
			return err
		}
		row.IPAddressType = lb.IPAddressType(orElse(string(family), string(row.IPAddressType)))
		edit(func(b *loadBalancer) {
			b.Subnets, b.Mappings, b.SourceNAT, b.IPAddressType = want.Subnets, zones, want.SourceNAT, row.IPAddressType
		})
	}
	if row.IPAddressType != want.IPAddressType {
		if err := p.api.setIPAddressType(ctx, row.ARN, want.IPAddressType); err != nil {
			return err
		}
		edit(func(b *loadBalancer) { b.IPAddressType = want.IPAddressType })
	}
	return p.attributes.sync(ctx, row.ARN, want.Attributes)
}

// deleteLoadBalancer deletes it, protected or not: the objects that asked for it are gone, and deletes always work.
func (p performer) deleteLoadBalancer(ctx context.Context, have LoadBalancer) error {
	err := p.api.deleteLoadBalancer(ctx, have.arn)
	if isProtected(err) {
		if _, err := p.api.setAttributes(ctx, have.arn, []lb.Attribute{{Key: "deletion_protection.enabled", Value: "false"}}); err != nil {
			return err
		}
		err = p.api.deleteLoadBalancer(ctx, have.arn)
	}
	if err != nil && !isNotFound(err) {
		return err
	}
	p.mirror.dropLoadBalancer(have.arn)
	p.drop(have.arn)
	return nil
}

func (p performer) listener(ctx context.Context, verb plan.Verb, want Listener) error {
	if verb == plan.Delete {
		err := p.api.deleteListener(ctx, want.arn)
		if err != nil && !isNotFound(err) {
			return err
		}
		p.mirror.dropListener(want.arn)
		p.drop(want.arn)
		return nil
	}
	balancer, ok := p.mirror.loadBalancerNamed(p.plan.Stack, want.LoadBalancer.Name)
	if !ok {
		return fmt.Errorf("aws: load balancer %s is gone; it is made again by the next plan", want.LoadBalancer.Name)
	}
	resolved, err := p.resolved(want.Default)
	if err != nil {
		return err
	}
	row, exists := p.mirror.listenerAt(p.plan.Stack, balancer.ARN, want.Port)
	if !exists {
		if row, err = p.makeListener(ctx, balancer.ARN, want, sdkActions(resolved)); err != nil {
			return p.explain(ctx, err, balancer.ARN, "", resolved)
		}
	}
	if row.Protocol != want.Protocol || !slices.Equal(row.fields(), want.fields()) || row.Default.String() != resolved.String() {
		changed, err := p.api.modifyListener(ctx, row.ARN, want, sdkActions(resolved))
		if err != nil {
			return p.explain(ctx, err, balancer.ARN, row.ARN, resolved)
		}
		if row.Protocol != want.Protocol {
			p.names.set(row.ARN, nil) // AWS takes them away with the protocol
		}
		row = listenerRow(changed, row.Tags)
		p.mirror.write(func(now time.Time) { p.mirror.listeners.put(row.ARN, row, now) })
	}
	set, gone := tagChanges(row.Tags.ours(p.options.Cluster, p.options.ExternalTags), want.Tags)
	if err := p.api.setTags(ctx, row.ARN, set, gone); err != nil {
		return p.explain(ctx, err, balancer.ARN, row.ARN, action{})
	}
	row.Tags = row.Tags.changed(set, gone)
	p.mirror.write(func(now time.Time) { p.mirror.listeners.put(row.ARN, row, now) })
	return p.explain(ctx, p.attributes.sync(ctx, row.ARN, want.Attributes), balancer.ARN, row.ARN, action{})
}

func (p performer) makeListener(ctx context.Context, balancer string, want Listener, actions []elbtypes.Action) (listener, error) {
	var row listener
	t := p.tracking(lb.ResourceID(fmt.Sprint(want.Port))).with(want.Tags)
	err := p.waiting(ctx, p.patience(want.follows), func() (err error) {
		row, err = p.api.createListener(ctx, balancer, want, actions, t)
		return err
	}, "TargetGroupAssociationLimit")
	if isCode(err, "DuplicateListener") {
		if readErr := p.refreshListeners(ctx, balancer); readErr != nil {
			return listener{}, readErr
		}
		found, ok := p.mirror.listenerAt(p.plan.Stack, balancer, want.Port)
		if !ok {
			return listener{}, foreign(err, "listener", want.ID().Name, balancer,
				"Delete the listener at this port; it was made by others")
		}
		return found, nil
	}
	if err != nil {
		return listener{}, err
	}
	p.names.set(row.ARN, nil)
	p.mirror.write(func(now time.Time) { p.mirror.listeners.put(row.ARN, row, now) })
	return row, nil
}

// patience is how long a target group may still count as used by a load balancer that just went.
func (p performer) patience(follows []plan.ID) time.Duration {
	if len(follows) == 0 {
		return 0
	}
	return shortWait
}

// explain writes through what an error tells about what is gone, so that the next plan sees it.
func (p performer) explain(ctx context.Context, err error, balancer, listener string, a action) error {
	switch errorCode(err) {
	case "CertificateNotFound", "UnsupportedCertificate":
		return p.badCertificate(err, "")
	case "LoadBalancerNotFound":
		p.mirror.dropLoadBalancer(balancer)
	case "ListenerNotFound":
		p.mirror.dropListener(listener)
	case "TargetGroupNotFound":
		var arns []string
		for _, g := range a.Forward {
			arns = append(arns, g.Group)
		}
		found, readErr := inBatches(ctx, arns, p.api.targetGroupsByARN)
		if readErr != nil {
			return readErr
		}
		for _, arn := range without(arns, found, func(g elbtypes.TargetGroup) string { return deref(g.TargetGroupArn) }) {
			if !p.mirror.hasTargetGroup(arn) {
				p.external.forget()
				return blockedBy(err, lb.CloudRefused, arn, "there is no such target group", "Name one that exists in this region and VPC")
			}
			p.forgetTargetGroup(arn)
		}
	}
	return err
}

// refreshListeners reads the listeners of a load balancer with their rules and tags.
func (e *Engine) refreshListeners(ctx context.Context, balancer string) error {
	listeners, rules, err := e.reader.children(ctx, balancer)
	if err != nil {
		return err
	}
	tagged, err := e.api.tagsOf(ctx, raw{listeners: listeners, rules: rules}.arns())
	if err != nil {
		return err
	}
	e.mirror.write(func(now time.Time) {
		for _, l := range listeners {
			row := listenerRow(l, tagged[deref(l.ListenerArn)])
			if _, _, ours := row.Tags.owner(e.options.Cluster); ours {
				e.mirror.listeners.put(row.ARN, row, now)
			}
		}
		for _, r := range rules {
			if row, ok := ruleRow(r, tagged[deref(r.RuleArn)]); ok {
				e.mirror.rules.put(row.ARN, row, now)
			}
		}
	})
	return nil
}
