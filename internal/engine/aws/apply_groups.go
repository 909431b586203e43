package aws

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/sluicehq/sluice/internal/lb"
	"github.com/sluicehq/sluice/internal/plan"
)

func (p performer) securityGroup(ctx context.Context, verb plan.Verb, want SecurityGroup) error {
	if verb == plan.Delete {
		return p.deleteSecurityGroup(ctx, want.id, securityWait, p.api.deleteSecurityGroup)
	}
	row, exists := p.mirror.securityGroupNamed(p.plan.Stack, want.Name)
	if !exists {
		wantedTags := p.tracking(want.Resource).with(want.Tags)
		made, err := p.makeSecurityGroup(ctx, want.Name, want.Description, wantedTags, func(t tags) bool {
			return p.isOurs(t, want.Resource)
		})
		if err != nil {
			return err
		}
		row = made
	}
	err := p.syncIngress(ctx, row, want.Ingress, false)
	if isCode(err, "InvalidPermission.Duplicate", "InvalidPermission.NotFound", "RulesPerSecurityGroupLimitExceeded") {
		full := isCode(err, "RulesPerSecurityGroupLimitExceeded")
		if row, err = p.rereadSecurityGroup(ctx, row.ID); err != nil {
			return err
		}
		err = p.syncIngress(ctx, row, want.Ingress, full)
	}
	set, gone := tagChanges(row.Tags.ours(p.options.Cluster, p.options.ExternalTags), want.Tags)
	if err == nil {
		err = p.api.setEC2Tags(ctx, row.ID, set, gone)
	}
	if isCode(err, "InvalidGroup.NotFound") {
		p.forgetSecurityGroup(row.ID)
	}
	if err != nil {
		return err
	}
	p.editSecurityGroup(row.ID, func(g *securityGroup) { g.Tags = g.Tags.changed(set, gone) })
	return nil
}

// makeSecurityGroup creates a group, or takes the one that is there under its name when ours says so of its tags.
func (p performer) makeSecurityGroup(ctx context.Context, name, description string, t tags, ours func(tags) bool) (securityGroup, error) {
	id, err := p.api.createSecurityGroup(ctx, p.options.VPCID, name, description, t)
	row := securityGroup{ID: id, Name: name, Description: description, VPC: p.options.VPCID, Tags: t}
	if isCode(err, "InvalidGroup.Duplicate") {
		found, readErr := p.api.securityGroups(ctx, p.options.VPCID, filter("group-name", name))
		if readErr != nil {
			return securityGroup{}, readErr
		}
		if len(found) == 0 {
			return securityGroup{}, err
		}
		if !ours(found[0].Tags) {
			return securityGroup{}, foreign(err, "security group", name, found[0].ID, "Delete or rename that security group")
		}
		row, err = found[0], nil
	}
	if err != nil {
		return securityGroup{}, err
	}
	p.mirror.write(func(now time.Time) { p.mirror.securityGroups.put(row.ID, row, now) })
	return row, nil
}

// syncIngress makes the ingress of a group equal to want: first what is missing, then away with what is too much; or
// the other way round when there is no room for both.
func (p performer) syncIngress(ctx context.Context, row securityGroup, want []permission, full bool) error {
	missing := slices.DeleteFunc(slices.Clone(want), func(w permission) bool { return slices.Contains(row.Ingress, w) })
	extra := slices.DeleteFunc(slices.Clone(row.Ingress), func(h permission) bool { return slices.Contains(want, h) })
	authorize := func() error {
		if len(missing) == 0 {
			return nil
		}
		if err := p.api.authorize(ctx, row.ID, missing, ""); err != nil {
			return err
		}
		p.editSecurityGroup(row.ID, func(g *securityGroup) {
			g.Ingress = slices.SortedFunc(slices.Values(append(slices.Clone(g.Ingress), missing...)), permission.compare)
		})
		return nil
	}
	revoke := func() error {
		if len(extra) == 0 {
			return nil
		}
		if err := p.api.revoke(ctx, row.ID, extra); err != nil {
			return err
		}
		p.editSecurityGroup(row.ID, func(g *securityGroup) {
			g.Ingress = slices.DeleteFunc(slices.Clone(g.Ingress), func(h permission) bool { return slices.Contains(extra, h) })
		})
		return nil
	}
	return exchangeRules(full, authorize, revoke)
}

// exchangeRules lets in before it shuts out, so that nothing needed is missing in between; a group that is full must
// make room first.
func exchangeRules(full bool, authorize, revoke func() error) error {
	first, second := authorize, revoke
	if full {
		first, second = revoke, authorize
	}
	if err := first(); err != nil {
		return err
	}
	return second()
}

func (p performer) rereadSecurityGroup(ctx context.Context, id string) (securityGroup, error) {
	row, err := p.api.securityGroup(ctx, p.options.VPCID, id)
	if err != nil {
		return securityGroup{}, err
	}
	if row == nil {
		p.forgetSecurityGroup(id)
		return securityGroup{}, fmt.Errorf("aws: security group %s is gone; it is made again by the next plan", id)
	}
	p.mirror.write(func(now time.Time) { p.mirror.securityGroups.put(id, *row, now) })
	return *row, nil
}

func (p performer) editSecurityGroup(id string, edit func(*securityGroup)) {
	p.mirror.write(func(now time.Time) {
		if row, ok := p.mirror.securityGroups.rows[id]; ok {
			edit(&row)
			p.mirror.securityGroups.put(id, row, now)
		}
	})
}

func (p performer) forgetSecurityGroup(id string) {
	p.mirror.write(func(now time.Time) { p.mirror.securityGroups.remove(id, now) })
}

// deleteSecurityGroup waits while something still uses the group; when that takes longer than limit, nothing is wrong,
// and it is looked at later.
func (p performer) deleteSecurityGroup(ctx context.Context, id string, limit time.Duration, try func(context.Context, string) error) error {
	err := p.waiting(ctx, limit, func() error { return try(ctx, id) }, "DependencyViolation")
	if isCode(err, "DependencyViolation") {
		return &plan.LaterError{After: lookAgainAfter, Why: "security group " + id + " is still in use: " + answerText(err)}
	}
	if err != nil && !isCode(err, "InvalidGroup.NotFound") {
		return err
	}
	p.forgetSecurityGroup(id)
	return nil
}

// backendSecurityGroup makes or removes the group that all stacks share. Another stack may have done so since this was
// planned, or may need it by now.
func (p performer) backendSecurityGroup(ctx context.Context, verb plan.Verb, want BackendSecurityGroup) error {
	p.backend.Lock()
	defer p.backend.Unlock()
	row, exists := p.mirror.backendGroup()
	switch {
	case verb == plan.Delete && exists && !p.mirror.backendInUse(p.plan.Stack):
		return p.deleteSecurityGroup(ctx, row.ID, backendWait, p.backendDeletion())
	case verb == plan.Delete || exists:
		return nil
	}
	t := tags{clusterTag: p.options.Cluster, sharedResourceTag: backendGroupMarker}
	_, err := p.makeSecurityGroup(ctx, want.Name, backendDescription, t, func(t tags) bool {
		return t.isBackend(p.options.Cluster)
	})
	return err
}

// backendDeletion takes away the rules of targets that let the backend security group in, then the group: AWS deletes
// none that a rule names. Rules that are not known, because they were made before the start, are looked for once.
func (p performer) backendDeletion() func(context.Context, string) error {
	looked := false
	return func(ctx context.Context, id string) error {
		if err := p.letGo(ctx, id, false); err != nil {
			return err
		}
		err := p.api.deleteSecurityGroup(ctx, id)
		if looked || !isCode(err, "DependencyViolation") {
			return err
		}
		looked = true
		if err := p.letGo(ctx, id, true); err != nil {
			return err
		}
		return p.api.deleteSecurityGroup(ctx, id)
	}
}

func (p performer) targetGroup(ctx context.Context, verb plan.Verb, want TargetGroup) error {
	if verb == plan.Delete {
		return p.deleteTargetGroup(ctx, want)
	}
	row, exists := p.mirror.targetGroupNamed(p.plan.Stack, want.Name)
	if !exists {
		made, err := p.makeTargetGroup(ctx, want)
		if err != nil {
			return err
		}
		row = made
	}
	if row.HealthCheck != want.HealthCheck {
		changed, err := p.api.modifyTargetGroup(ctx, row.ARN, want)
		if isNotFound(err) {
			p.forgetTargetGroup(row.ARN)
		}
		if err != nil {
			return err
		}
		row = targetGroupRow(changed, row.Tags)
		p.mirror.write(func(now time.Time) { p.mirror.targetGroups.put(row.ARN, row, now) })
	}
	set, gone := tagChanges(row.Tags.ours(p.options.Cluster, p.options.ExternalTags), want.Tags)
	if err := p.api.setTags(ctx, row.ARN, set, gone); err != nil {
		if isNotFound(err) {
			p.forgetTargetGroup(row.ARN)
		}
		return err
	}
	row.Tags = row.Tags.changed(set, gone)
	p.mirror.write(func(now time.Time) { p.mirror.targetGroups.put(row.ARN, row, now) })
	err := p.attributes.sync(ctx, row.ARN, want.Attributes)
	if isNotFound(err) {
		p.forgetTargetGroup(row.ARN)
	}
	return err
}

func (p performer) makeTargetGroup(ctx context.Context, want TargetGroup) (targetGroup, error) {
	row, err := p.api.createTargetGroup(ctx, want, p.options.VPCID, p.tracking(want.Resource).with(want.Tags))
	fresh := err == nil
	if isCode(err, "DuplicateTargetGroupName") {
		found, readErr := p.api.targetGroupNamed(ctx, want.Name)
		if readErr != nil || found == nil {
			return targetGroup{}, orElseError(readErr, err)
		}
		have, readErr := p.api.tagsOf(ctx, []string{deref(found.TargetGroupArn)})
		if readErr != nil {
			return targetGroup{}, readErr
		}
		row = targetGroupRow(*found, have[deref(found.TargetGroupArn)])
		if !p.isOurs(row.Tags, want.Resource) {
			return targetGroup{}, foreign(err, "target group", want.Name, row.ARN, "Delete that target group")
		}
		if row.TargetType != want.TargetType || row.Protocol != want.Protocol || row.ProtocolVersion != want.ProtocolVersion {
			p.mirror.write(func(now time.Time) { p.mirror.targetGroups.put(row.ARN, row, now) })
			return targetGroup{}, err
		}
		err = nil
	}
	if err != nil {
		return targetGroup{}, err
	}
	p.mirror.write(func(now time.Time) { p.mirror.targetGroups.put(row.ARN, row, now) })
	if fresh {
		p.known.start(row.ARN)
	}
	return row, nil
}

func (p performer) deleteTargetGroup(ctx context.Context, have TargetGroup) error {
	err := p.waiting(ctx, shortWait, func() error { return p.api.deleteTargetGroup(ctx, have.arn) }, "ResourceInUse")
	switch {
	case isCode(err, "ResourceInUse"):
		return blockedBy(err, lb.CloudRefused, have.Name, "the target group is used by something that this stack does not own",
			"Remove it from the listeners and rules that were made by others")
	case err != nil && !isNotFound(err):
		return err
	}
	p.forgetTargetGroup(have.arn)
	return nil
}

func (e *Engine) forgetTargetGroup(arn string) {
	e.mirror.write(func(now time.Time) { e.mirror.targetGroups.remove(arn, now) })
	e.known.drop(arn)
	e.drop(arn)
}

func orElseError(err, other error) error {
	if err != nil {
		return err
	}
	return other
}
