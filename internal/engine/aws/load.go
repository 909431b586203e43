package aws

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"

	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
)

// reader reads what AWS has of a cluster, with as few calls as the APIs allow.
type reader struct {
	api     api
	cluster string
	vpc     string
}

// listing is what a look at AWS shows without looking into load balancers: what is ours in this VPC, by ARN or id.
type listing struct {
	loadBalancers map[string]loadBalancer
	targetGroups  map[string]targetGroup
	foreign       []string // ARNs of load balancers and target groups that are not ours

	tagged   map[string]tags     // all tags that were read
	children map[string][]string // ARNs of listeners and rules by load balancer; nil where only their parents tell them
}

// list reads everything but the contents of load balancers. known are ARNs that the mirror has: those that the tag
// listing leaves out, because it lags or because somebody took their tags away, are looked at one by one before they
// count as gone.
func (r reader) list(ctx context.Context, known []string) (listing, error) {
	tagged, err := r.api.taggedResources(ctx, r.cluster)
	switch {
	case isDenied(err) || isCode(err, "InvalidAction", "UnknownOperationException"):
		return r.listTrusting(ctx, nil)
	case err != nil:
		return listing{}, err
	}
	arns := slices.Collect(maps.Keys(tagged))
	for _, arn := range known {
		if _, listed := tagged[arn]; !listed {
			arns = append(arns, arn)
		}
	}
	slices.Sort(arns)
	all := listing{tagged: tagged, children: map[string][]string{}}
	for _, arn := range arns {
		if balancer, ok := balancerOf(arn); ok {
			all.children[balancer] = append(all.children[balancer], arn)
		}
	}
	var found raw
	err = together(
		func() (err error) {
			found.loadBalancers, err = r.loadBalancers(ctx, only(arns, ":loadbalancer/"))
			return err
		},
		func() (err error) {
			found.targetGroups, err = r.targetGroups(ctx, only(arns, ":targetgroup/"))
			return err
		},
	)
	if err != nil {
		return listing{}, err
	}
	err = r.sort(ctx, found, &all)
	return all, err
}

// listTrusting lists what there is without the tag API. What trusted knows, by ARN, is not asked for its tags; no tags
// stand for something that is known not to be ours. An ARN is never given out twice.
func (r reader) listTrusting(ctx context.Context, trusted map[string]tags) (listing, error) {
	all := listing{tagged: maps.Clone(trusted)}
	if all.tagged == nil {
		all.tagged = map[string]tags{}
	}
	var found raw
	err := together(
		func() error {
			return r.api.loadBalancers(ctx, func(page []elbtypes.LoadBalancer, last bool) bool {
				found.loadBalancers = append(found.loadBalancers, page...)
				return last
			})
		},
		func() error {
			return r.api.targetGroups(ctx, func(page []elbtypes.TargetGroup, last bool) bool {
				found.targetGroups = append(found.targetGroups, page...)
				return last
			})
		},
	)
	if err != nil {
		return listing{}, err
	}
	found.loadBalancers = slices.DeleteFunc(found.loadBalancers, func(b elbtypes.LoadBalancer) bool { return deref(b.VpcId) != r.vpc })
	found.targetGroups = slices.DeleteFunc(found.targetGroups, func(g elbtypes.TargetGroup) bool { return deref(g.VpcId) != r.vpc })
	err = r.sort(ctx, found, &all)
	return all, err
}

// sort reads the tags that are not known yet and takes what is ours in this VPC into the listing.
func (r reader) sort(ctx context.Context, found raw, all *listing) error {
	if err := r.tag(ctx, found, all); err != nil {
		return err
	}
	all.loadBalancers, all.targetGroups = map[string]loadBalancer{}, map[string]targetGroup{}
	for _, b := range found.loadBalancers {
		switch arn := deref(b.LoadBalancerArn); {
		case !r.ours(all.tagged[arn]):
			all.foreign = append(all.foreign, arn)
		case deref(b.VpcId) == r.vpc:
			all.loadBalancers[arn] = loadBalancerRow(b, all.tagged[arn])
		}
	}
	for _, g := range found.targetGroups {
		switch arn := deref(g.TargetGroupArn); {
		case !r.ours(all.tagged[arn]):
			all.foreign = append(all.foreign, arn)
		case deref(g.VpcId) == r.vpc:
			all.targetGroups[arn] = targetGroupRow(g, all.tagged[arn])
		}
	}
	return nil
}

// tag reads tags that the listing does not have.
func (r reader) tag(ctx context.Context, found raw, all *listing) error {
	untagged := slices.DeleteFunc(found.arns(), func(arn string) bool {
		_, known := all.tagged[arn]
		return known
	})
	more, err := r.api.tagsOf(ctx, untagged)
	maps.Copy(all.tagged, more)
	return err
}

func (r reader) ours(t tags) bool {
	_, _, ok := t.owner(r.cluster)
	return ok
}

// securityGroups are those that matter to the cluster.
type securityGroups struct {
	ours map[string]securityGroup // by id
	// endpoints are those of targets that are marked as the cluster's; most are not ours.
	endpoints []endpointGroup
}

func (r reader) securityGroups(ctx context.Context) (securityGroups, error) {
	found, err := r.api.describeSecurityGroups(ctx, filter("vpc-id", r.vpc), filter("tag-key", clusterTag, clusterOwnedTag+r.cluster))
	all := securityGroups{ours: map[string]securityGroup{}}
	for _, g := range found {
		row := securityGroupRow(g)
		if r.ours(row.Tags) || row.Tags.isBackend(r.cluster) {
			all.ours[row.ID] = row
		}
		if value := row.Tags[clusterOwnedTag+r.cluster]; value == "owned" || value == "shared" {
			all.endpoints = append(all.endpoints, endpointGroupRow(g))
		}
	}
	return all, err
}

// contents is what stands in load balancers.
type contents struct {
	listeners map[string]listener
	rules     map[string]rule // also foreign ones on our listeners, whose priorities are taken
}

// contents reads what these load balancers of a listing hold.
func (r reader) contents(ctx context.Context, all listing, balancers []string) (contents, error) {
	found, err := r.rawContents(ctx, all, balancers)
	if err != nil {
		return contents{}, err
	}
	read := listing{tagged: maps.Clone(all.tagged)}
	if err := r.tag(ctx, found, &read); err != nil {
		return contents{}, err
	}
	return r.contentsOf(found, read.tagged), nil
}

func (r reader) rawContents(ctx context.Context, all listing, balancers []string) (found raw, err error) {
	if all.children == nil {
		for _, balancer := range balancers {
			listeners, rules, err := r.children(ctx, balancer)
			if err != nil {
				return raw{}, err
			}
			found.listeners, found.rules = append(found.listeners, listeners...), append(found.rules, rules...)
		}
		return found, nil
	}
	var arns []string
	for _, balancer := range balancers {
		arns = append(arns, all.children[balancer]...)
	}
	found.listeners, err = inBatches(ctx, only(arns, ":listener/"), func(ctx context.Context, some []string) ([]elbtypes.Listener, error) {
		return r.api.listeners(ctx, "", some)
	})
	if err != nil {
		return raw{}, err
	}
	found.rules, err = inBatches(ctx, only(arns, ":listener-rule/"), func(ctx context.Context, some []string) ([]elbtypes.Rule, error) {
		return r.api.rules(ctx, "", some)
	})
	return found, err
}

// contentsOf keeps our listeners, and all rules on them.
func (r reader) contentsOf(found raw, tagged map[string]tags) contents {
	all := contents{listeners: map[string]listener{}, rules: map[string]rule{}}
	for _, l := range found.listeners {
		if arn := deref(l.ListenerArn); r.ours(tagged[arn]) {
			all.listeners[arn] = listenerRow(l, tagged[arn])
		}
	}
	for _, rule := range found.rules {
		row, ok := ruleRow(rule, tagged[deref(rule.RuleArn)])
		if _, onOurs := all.listeners[row.Listener]; ok && onOurs {
			all.rules[row.ARN] = row
		}
	}
	return all
}

// contentsAtOnce is how many load balancers are looked into together: enough to fill calls that take 20 ARNs.
const contentsAtOnce = 100

// read returns everything, for an audit.
func (r reader) read(ctx context.Context, known []string) (inventory, error) {
	all, err := r.list(ctx, known)
	if err != nil {
		return inventory{}, err
	}
	whole := inventory{listing: all, contents: contents{listeners: map[string]listener{}, rules: map[string]rule{}}}
	for some := range slices.Chunk(slices.Sorted(maps.Keys(all.loadBalancers)), contentsAtOnce) {
		part, err := r.contents(ctx, all, some)
		if err != nil {
			return inventory{}, err
		}
		maps.Copy(whole.listeners, part.listeners)
		maps.Copy(whole.rules, part.rules)
	}
	return whole, nil
}

// balancerOf derives a load balancer's ARN from that of one of its listeners or rules.
func balancerOf(child string) (arn string, ok bool) {
	head, path, ok := strings.Cut(child, ":listener-rule/")
	if !ok {
		head, path, ok = strings.Cut(child, ":listener/")
	}
	parts := strings.SplitN(path, "/", 4) // app/<name>/<id>/<the child's own>
	if !ok || len(parts) != 4 {
		return "", false
	}
	return head + ":loadbalancer/" + strings.Join(parts[:3], "/"), true
}

// together runs calls that do not need each other at the same time.
func together(calls ...func() error) error {
	errs := make([]error, len(calls))
	var running sync.WaitGroup
	for i, call := range calls {
		running.Go(func() { errs[i] = call() })
	}
	running.Wait()
	return errors.Join(errs...)
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
