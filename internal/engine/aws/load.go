package aws

import (
	"context"
	"maps"
	"slices"
	"strings"

	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
)

// reader reads all that AWS has of a cluster, with as few calls as the APIs allow.
type reader struct {
	api     api
	cluster string
	vpc     string
}

// read returns everything. known are ARNs that the mirror has: those that the tag listing leaves out, because it lags
// or because somebody took their tags away, are looked at one by one before they count as gone.
func (r reader) read(ctx context.Context, known []string) (inventory, error) {
	tagged, err := r.api.taggedResources(ctx, r.cluster)
	switch {
	case isDenied(err) || isCode(err, "InvalidAction", "UnknownOperationException"):
		return r.readWithoutTagAPI(ctx)
	case err != nil:
		return inventory{}, err
	}
	arns := slices.Collect(maps.Keys(tagged))
	for _, arn := range known {
		if _, listed := tagged[arn]; !listed {
			arns = append(arns, arn)
		}
	}
	slices.Sort(arns)
	found := raw{}
	if found.loadBalancers, err = r.loadBalancers(ctx, only(arns, ":loadbalancer/")); err != nil {
		return inventory{}, err
	}
	if found.targetGroups, err = r.targetGroups(ctx, only(arns, ":targetgroup/")); err != nil {
		return inventory{}, err
	}
	found.listeners, err = inBatches(ctx, only(arns, ":listener/"), func(ctx context.Context, some []string) ([]elbtypes.Listener, error) {
		return r.api.listeners(ctx, "", some)
	})
	if err != nil {
		return inventory{}, err
	}
	found.rules, err = inBatches(ctx, only(arns, ":listener-rule/"), func(ctx context.Context, some []string) ([]elbtypes.Rule, error) {
		return r.api.rules(ctx, "", some)
	})
	if err != nil {
		return inventory{}, err
	}
	var untagged []string
	for _, arn := range found.arns() {
		if _, listed := tagged[arn]; !listed {
			untagged = append(untagged, arn)
		}
	}
	late, err := r.api.tagsOf(ctx, untagged)
	if err != nil {
		return inventory{}, err
	}
	maps.Copy(tagged, late)
	return r.finish(ctx, found, tagged)
}

// readWithoutTagAPI lists everything that may be ours and reads its tags, 20 at a time.
func (r reader) readWithoutTagAPI(ctx context.Context) (inventory, error) {
	var found raw
	err := r.api.loadBalancers(ctx, func(page []elbtypes.LoadBalancer, last bool) bool {
		found.loadBalancers = append(found.loadBalancers, page...)
		return last
	})
	if err != nil {
		return inventory{}, err
	}
	err = r.api.targetGroups(ctx, func(page []elbtypes.TargetGroup, last bool) bool {
		found.targetGroups = append(found.targetGroups, page...)
		return last
	})
	if err != nil {
		return inventory{}, err
	}
	found.loadBalancers = slices.DeleteFunc(found.loadBalancers, func(b elbtypes.LoadBalancer) bool { return deref(b.VpcId) != r.vpc })
	found.targetGroups = slices.DeleteFunc(found.targetGroups, func(g elbtypes.TargetGroup) bool { return deref(g.VpcId) != r.vpc })
	tagged, err := r.api.tagsOf(ctx, found.arns())
	if err != nil {
		return inventory{}, err
	}
	for _, b := range found.loadBalancers {
		if _, _, ours := tagged[deref(b.LoadBalancerArn)].owner(r.cluster); !ours {
			continue
		}
		listeners, rules, err := r.children(ctx, deref(b.LoadBalancerArn))
		if err != nil {
			return inventory{}, err
		}
		found.listeners = append(found.listeners, listeners...)
		found.rules = append(found.rules, rules...)
	}
	children := raw{listeners: found.listeners, rules: found.rules}
	more, err := r.api.tagsOf(ctx, children.arns())
	if err != nil {
		return inventory{}, err
	}
	maps.Copy(tagged, more)
	return r.finish(ctx, found, tagged)
}

// children reads the listeners of a load balancer and all their rules; none when it is gone.
func (r reader) children(ctx context.Context, balancer string) ([]elbtypes.Listener, []elbtypes.Rule, error) {
	listeners, err := r.api.listeners(ctx, balancer, nil)
	if isNotFound(err) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	var rules []elbtypes.Rule
	for _, l := range listeners {
		some, err := r.api.rules(ctx, deref(l.ListenerArn), nil)
		if err != nil && !isNotFound(err) {
			return nil, nil, err
		}
		rules = append(rules, some...)
	}
	return listeners, rules, nil
}

// loadBalancers reads these by ARN or by listing all, whichever looks like fewer calls: a list holds 400 a page, but
// also those of others.
func (r reader) loadBalancers(ctx context.Context, arns []string) ([]elbtypes.LoadBalancer, error) {
	var found []elbtypes.LoadBalancer
	rest := arns
	if len(arns) > batchSize {
		var listed bool
		err := r.api.loadBalancers(ctx, func(page []elbtypes.LoadBalancer, last bool) bool {
			found = append(found, page...)
			rest = without(rest, page, func(b elbtypes.LoadBalancer) string { return deref(b.LoadBalancerArn) })
			listed = last
			return len(rest) <= batchSize
		})
		if err != nil {
			return nil, err
		}
		if listed {
			return found, nil // all were listed: the rest is gone
		}
	}
	more, err := inBatches(ctx, rest, r.api.loadBalancersByARN)
	return append(found, more...), err
}

// targetGroups is as loadBalancers.
func (r reader) targetGroups(ctx context.Context, arns []string) ([]elbtypes.TargetGroup, error) {
	var found []elbtypes.TargetGroup
	rest := arns
	if len(arns) > batchSize {
		var listed bool
		err := r.api.targetGroups(ctx, func(page []elbtypes.TargetGroup, last bool) bool {
			found = append(found, page...)
			rest = without(rest, page, func(g elbtypes.TargetGroup) string { return deref(g.TargetGroupArn) })
			listed = last
			return len(rest) <= batchSize
		})
		if err != nil {
			return nil, err
		}
		if listed {
			return found, nil
		}
	}
	more, err := inBatches(ctx, rest, r.api.targetGroupsByARN)
	return append(found, more...), err
}

// raw is what was read, before its tags say what of it is ours.
type raw struct {
	loadBalancers []elbtypes.LoadBalancer
	targetGroups  []elbtypes.TargetGroup
	listeners     []elbtypes.Listener
	rules         []elbtypes.Rule
}

func (f raw) arns() []string {
	var arns []string
	for _, b := range f.loadBalancers {
		arns = append(arns, deref(b.LoadBalancerArn))
	}
	for _, g := range f.targetGroups {
		arns = append(arns, deref(g.TargetGroupArn))
	}
	for _, l := range f.listeners {
		arns = append(arns, deref(l.ListenerArn))
	}
	for _, r := range f.rules {
		arns = append(arns, deref(r.RuleArn))
	}
	return arns
}

// finish keeps what is ours in this VPC, adds the security groups, and keeps foreign rules on our listeners, whose
// priorities are taken.
func (r reader) finish(ctx context.Context, found raw, tagged map[string]tags) (inventory, error) {
	groups, err := r.api.securityGroups(ctx, r.vpc, filter("tag:"+clusterTag, r.cluster))
	if err != nil {
		return inventory{}, err
	}
	all := inventory{
		loadBalancers: map[string]loadBalancer{}, listeners: map[string]listener{}, rules: map[string]rule{},
		targetGroups: map[string]targetGroup{}, securityGroups: map[string]securityGroup{},
	}
	ours := func(arn string) bool {
		_, _, ok := tagged[arn].owner(r.cluster)
		return ok
	}
	for _, g := range groups {
		if _, _, owned := g.Tags.owner(r.cluster); owned || g.Tags.isBackend(r.cluster) {
			all.securityGroups[g.ID] = g
		}
	}
	for _, b := range found.loadBalancers {
		if arn := deref(b.LoadBalancerArn); ours(arn) && deref(b.VpcId) == r.vpc {
			all.loadBalancers[arn] = loadBalancerRow(b, tagged[arn])
		}
	}
	for _, g := range found.targetGroups {
		if arn := deref(g.TargetGroupArn); ours(arn) && deref(g.VpcId) == r.vpc {
			all.targetGroups[arn] = targetGroupRow(g, tagged[arn])
		}
	}
	for _, l := range found.listeners {
		if arn := deref(l.ListenerArn); ours(arn) {
			all.listeners[arn] = listenerRow(l, tagged[arn])
		}
	}
	for _, rule := range found.rules {
		row, ok := ruleRow(rule, tagged[deref(rule.RuleArn)])
		if _, onOurs := all.listeners[row.Listener]; ok && onOurs {
			all.rules[row.ARN] = row
		}
	}
	return all, nil
}

func only(arns []string, part string) []string {
	return slices.Collect(func(yield func(string) bool) {
		for _, arn := range arns {
			if strings.Contains(arn, part) && !yield(arn) {
				return
			}
		}
	})
}

func without[V any](arns []string, page []V, arn func(V) string) []string {
	seen := map[string]bool{}
	for _, v := range page {
		seen[arn(v)] = true
	}
	return slices.DeleteFunc(slices.Clone(arns), func(a string) bool { return seen[a] })
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
