package aws

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/sluicehq/sluice/internal/engine"
	"github.com/sluicehq/sluice/internal/lb"
	"github.com/sluicehq/sluice/internal/plan"
)

// defaultParallel is how many steps of one plan run at a time.
const defaultParallel = 8

// settleTime is how long after a change AWS's listings may still show what was before it. An audit leaves alone what
// was written through within this time before it began.
const settleTime = 30 * time.Second

// Options configure an Engine.
type Options struct {
	Cluster  string // the cluster's name, value of its tags; required
	Region   string // required unless Config has it
	VPCID    string // the VPC that load balancers and targets live in; required
	Config   aws.Config
	Logger   *slog.Logger                                     // for audits; none by default
	Now      func() time.Time                                 // time.Now by default
	Sleep    func(ctx context.Context, d time.Duration) error // waits, or returns early with the context's error
	Parallel int                                              // steps of one plan at a time; 8 by default
	// ExternalTags are tag keys that somebody else manages: they are neither changed nor removed.
	ExternalTags []string
	// CertificateAuthorities are the private authorities, by ARN, whose certificates alone are found by host; any
	// certificate is found when there are none.
	CertificateAuthorities []string
	// EndpointGroupTags are tags that, beside the cluster's, tell the one of a target's security groups that is opened.
	EndpointGroupTags map[string]string
	// Throttles are limits of users, beside what AWS's answers teach.
	Throttles []Throttle
	// Checkpoints keeps what is known outside of the process, so that the next start reads little. None when nil.
	Checkpoints Store
}

func (o Options) withDefaults() Options {
	if o.Region != "" {
		o.Config.Region = o.Region
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Sleep == nil {
		o.Sleep = sleep
	}
	if o.Parallel == 0 {
		o.Parallel = defaultParallel
	}
	return o
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// Engine is the AWS engine. See the package comment for what it guarantees.
type Engine struct {
	options  Options
	settings settings
	api      api
	reader   reader
	mirror   *mirror
	network  *network
	external *externalGroups
	groups   *namedGroups
	details
	*registrar // of the engine's own identity
	others     *registrars
	checkpoint *checkpoint

	certificates *certificates
	acls         *lookups[string] // web ACLs by name
	subscription *lookups[string] // to Shield Advanced

	interfaces     *interfaces
	endpointGroups *endpointGroups

	auditing sync.Mutex // one reading of everything at a time
	backend  sync.Mutex // the shared security group is made and removed by one step at a time
}

var (
	_ engine.Engine     = (*Engine)(nil)
	_ engine.Targets    = (*Engine)(nil)
	_ engine.Accounts   = (*Engine)(nil)
	_ engine.Networking = (*Engine)(nil)
)

// New returns an engine that knows nothing yet and has made no call: Load comes next.
func New(o Options) (*Engine, error) {
	if o.Cluster == "" || o.VPCID == "" {
		return nil, errors.New("aws: the cluster's name and the VPC's id must be given")
	}
	o = o.withDefaults()
	if o.Config.Region == "" {
		return nil, errors.New("aws: the region must be given")
	}
	api := newAPI(o.Config, newBudget(o.Throttles))
	mirror := newMirror(o.Cluster, o.Now)
	details := newDetails(api, mirror.touch)
	where := strings.Join([]string{o.Cluster, o.Config.Region, o.VPCID}, " ")
	e := &Engine{
		options:    o,
		settings:   settings{cluster: o.Cluster, externalTags: o.ExternalTags},
		api:        api,
		reader:     reader{api: api, cluster: o.Cluster, vpc: o.VPCID},
		mirror:     mirror,
		checkpoint: newCheckpoint(o.Checkpoints, mirror, details, where, o.Logger),
		network:    &network{api: api, vpc: o.VPCID, now: o.Now},
		external:   newExternalGroups(api, o.Now),
		groups:     newNamedGroups(api, o.VPCID, o.Now),
		details:    details,

		acls:         newACLs(api, o.Now),
		subscription: newSubscription(api, o.Now),
		certificates: &certificates{api: api, now: o.Now, authorities: o.CertificateAuthorities},

		interfaces:     newInterfaces(api, o.VPCID, o.Now),
		endpointGroups: newEndpointGroups(api, o.VPCID, o.Cluster, o.EndpointGroupTags),
	}
	blocks := &vpcBlocks{api: api, now: o.Now, known: map[string]knownBlocks{}}
	e.registrar = &registrar{api: api, known: newTargets(), gone: e.forgetTargetGroup, blocks: blocks, vpc: o.VPCID}
	e.others = &registrars{config: o.Config, throttles: o.Throttles, api: api, blocks: blocks, session: sessionName(o.Cluster), made: map[lb.Access]*registrar{}}
	return e, nil
}

// Provisioning looks at the load balancers that were not active yet when last seen, and returns the stacks for which
// that changed, sorted. It makes no call when there are none.
func (e *Engine) Provisioning(ctx context.Context) ([]lb.StackID, error) {
	arns := e.mirror.provisioning()
	found, err := inBatches(ctx, arns, e.api.loadBalancersByARN)
	if err != nil {
		return nil, err
	}
	changed := map[lb.StackID]bool{}
	e.mirror.write(func(now time.Time) {
		for _, b := range found {
			known, ok := e.mirror.loadBalancers.rows[deref(b.LoadBalancerArn)]
			if !ok || b.State == nil || string(b.State.Code) == known.State {
				continue
			}
			known.State = string(b.State.Code)
			e.mirror.loadBalancers.put(known.ARN, known, now)
			changed[e.mirror.loadBalancers.stackOf(known)] = true
		}
	})
	return slices.Sorted(maps.Keys(changed)), nil
}

// Features are what this engine has so far.
func (e *Engine) Features() lb.Features {
	return lb.Features{lb.InstanceTargetsFeature, lb.HTTPSListeners, lb.NetworkFeature}
}

// Plan returns the steps from what the mirror has of a stack to what is wanted. It reads the VPC's subnets where a load
// balancer is new or names its subnets, and target groups of others that rules name, unless they are known.
func (e *Engine) Plan(ctx context.Context, want lb.Stack) (plan.Plan, []lb.Verdict, error) {
	if !e.mirror.isLoaded() {
		return plan.Plan{}, nil, errors.New("aws: nothing was loaded yet")
	}
	if err := e.lookInto(ctx, want.ID); err != nil {
		return plan.Plan{}, nil, err
	}
	want, verdicts := e.settings.settled(want, e.mirror.view(want.ID))
	if len(verdicts) > 0 {
		return plan.Plan{Stack: want.ID}, lb.SortVerdicts(verdicts), nil
	}
	v := e.mirror.planning(want.ID, wantsBackend(want))
	want = e.settings.asIs(want, v)
	places, verdicts, err := e.places(ctx, want, v)
	if err != nil || slices.ContainsFunc(verdicts, refused) {
		return plan.Plan{Stack: want.ID}, lb.SortVerdicts(verdicts), err
	}
	warnings := verdicts
	want, verdicts, err = e.groups.resolved(ctx, want, func(b lb.LoadBalancer) ([]lb.SecurityGroupRef, bool) { return e.settings.namedNow(b, v) })
	if err != nil || slices.ContainsFunc(verdicts, refused) {
		return plan.Plan{Stack: want.ID}, verdicts, err
	}
	warnings = append(warnings, verdicts...)
	want, missing, err := e.external.resolved(ctx, want)
	if err != nil {
		return plan.Plan{}, nil, err
	}
	want, uncertified, err := e.certificates.resolved(ctx, want, v, e.names)
	if err != nil {
		return plan.Plan{}, nil, err
	}
	want, unprotected, err := e.withAddOns(ctx, want, v)
	if err != nil {
		return plan.Plan{}, nil, err
	}
	missing = slices.Concat(missing, uncertified, unprotected)
	if slices.ContainsFunc(missing, refused) {
		return plan.Plan{Stack: want.ID}, lb.SortVerdicts(missing), nil
	}
	p, verdicts, err := e.planWith(want, v, places, learning{
		attributes: func(arn string) error { return e.attributes.learn(ctx, arn) },
		names:      func(arn string) error { return e.names.learn(ctx, arn) },
		addOns:     func(kind plan.Kind, arn string) error { return e.addOns.learn(ctx, kind, arn) },
	})
	return p, lb.SortVerdicts(slices.Concat(verdicts, missing, warnings)), err
}

func refused(v lb.Verdict) bool { return v.Severity == lb.Refused }

// places finds where the load balancers of a stack are. What it reads is remembered.
func (e *Engine) places(ctx context.Context, want lb.Stack, v view) (map[lb.ResourceID]placement, []lb.Verdict, error) {
	places := map[lb.ResourceID]placement{}
	var verdicts []lb.Verdict
	if unsecured(want) {
		if err := e.network.learnBlocks(ctx); err != nil {
			return nil, nil, fmt.Errorf("aws: read the addresses of the VPC: %w", err)
		}
	}
	for _, b := range want.LoadBalancers {
		row, exists := e.settings.existing(b, v)
		ids := row.Subnets
		if !exists || len(b.Subnets.IDsOrNames)+len(b.Subnets.Tags) > 0 {
			found, problem, err := e.network.subnetsFor(ctx, e.options.Cluster, b)
			if err != nil {
				return nil, nil, fmt.Errorf("aws: find subnets for %s: %w", b.Name, err)
			}
			if problem != nil && !exists && len(want.Members) > 1 && b.Subnets.From != (lb.Object{}) {
				// One member's selection does not stop the others: the load balancer is made as if nobody had selected.
				verdicts = append(verdicts, problem.softened(want.Members, b.Subnets, "The load balancer is made in others")...)
				b.Subnets = lb.SubnetSelection{}
				if found, problem, err = e.network.subnetsFor(ctx, e.options.Cluster, b); err != nil {
					return nil, nil, fmt.Errorf("aws: find subnets for %s: %w", b.Name, err)
				}
			}
			switch {
			case problem != nil && exists:
				found = row.Subnets
				verdicts = append(verdicts, problem.softened(want.Members, b.Subnets, "The load balancer keeps those that it has")...)
			case problem != nil:
				verdicts = append(verdicts, problem.verdicts(want.Members, b.Subnets)...)
				continue
			}
			ids = found
		}
		place := placement{ids: ids}
		if b.Network.Addresses.Any() {
			known, err := e.network.subnets(ctx)
			if err != nil {
				return nil, nil, fmt.Errorf("aws: find subnets for %s: %w", b.Name, err)
			}
			var problems []lb.Verdict
			place.mappings, problems = mappings(b, ids, known)
			verdicts = append(verdicts, problems...)
			if exists {
				verdicts = append(verdicts, fixedAddresses(b, row, place.mappings)...)
			}
		}
		places[b.ID] = place
	}
	return places, verdicts, nil
}

// learning reads what is not known yet and cannot be read in bulk.
type learning struct {
	attributes, names func(arn string) error
	addOns            func(kind plan.Kind, arn string) error
}

// planWith plans with all that is symbolic resolved.
func (e *Engine) planWith(want lb.Stack, v view, places map[lb.ResourceID]placement, learn learning) (plan.Plan, []lb.Verdict, error) {
	v.Serving = e.mirror.serving(e.settings.superseded(want, v))
	lowered := lower(e.settings, want, v, places)
	if len(lowered.verdicts) > 0 {
		return plan.Plan{Stack: want.ID}, lb.SortVerdicts(lowered.verdicts), nil
	}
	have, haveRules := inventoryOf(e.settings, v)
	if v.Backend != nil && (wantsBackend(want) || !v.BackendNeeded) {
		have = append(have, backendGroup(e.settings, v, nil))
	}
	have, err := e.attributes.compared(asWanted(have, lowered.resources), lowered.resources, learn.attributes)
	if err != nil {
		return plan.Plan{}, nil, err
	}
	have, err = e.names.compared(have, lowered.resources, len(want.Kept) > 0, learn.names)
	if err != nil {
		return plan.Plan{}, nil, err
	}
	have, err = e.addOns.compared(have, want, lowered.names, learn.addOns)
	if err != nil {
		return plan.Plan{}, nil, err
	}
	e.mirror.choose(want.ID, lowered.names)
	return plan.Plan{Stack: want.ID, Steps: withHandovers(diff(have, haveRules, lowered), lowered.handovers)}, nil, nil
}

// Apply performs a plan of Plan.
func (e *Engine) Apply(ctx context.Context, p plan.Plan) plan.Result {
	if p.Stack != "" && !p.Empty() {
		e.checkpoint.begin(ctx, p.Stack)
		defer e.checkpoint.end(p.Stack)
	}
	return plan.Run(ctx, p, performer{Engine: e, plan: p}, e.options.Parallel)
}

// Observe tells what the mirror has of a stack.
func (e *Engine) Observe(stack lb.StackID) lb.Observed {
	v, chosen := e.mirror.view(stack), e.mirror.choiceOf(stack)
	observed := lb.Observed{TargetGroups: map[lb.ResourceID]lb.TargetGroupRef{}, SecurityGroups: map[lb.ResourceID]string{}}
	for _, g := range v.SecurityGroups {
		_, id, _ := g.Tags.owner(e.options.Cluster)
		observed.SecurityGroups[id] = g.ID
	}
	if v.Backend != nil {
		observed.BackendSecurityGroup = v.Backend.ID
	}
	for _, b := range v.LoadBalancers {
		e.observe(&observed, b, v, chosen)
		if b.Type == lb.Network && len(b.SecurityGroups) == 0 {
			observed.Unsecured, observed.Surroundings = true, e.network.surroundings(b.Subnets, b.Scheme)
		}
	}
	for _, g := range v.TargetGroups {
		_, id, _ := g.Tags.owner(e.options.Cluster)
		switch other, twice := observed.TargetGroups[id]; {
		case !twice:
			observed.TargetGroups[id] = lb.TargetGroupRef(g.ARN)
		case chosen.names[id] == g.Name:
			observed.Replaced = append(observed.Replaced, other)
			observed.TargetGroups[id] = lb.TargetGroupRef(g.ARN)
		default:
			observed.Replaced = append(observed.Replaced, lb.TargetGroupRef(g.ARN))
		}
	}
	return observed
}

// observe adds a load balancer. Of two of the same resource, the one that takes the other's place is told of only when it
// has done so.
func (e *Engine) observe(observed *lb.Observed, b loadBalancer, v view, chosen choice) {
	_, id, _ := b.Tags.owner(e.options.Cluster)
	o := lb.ObservedLoadBalancer{
		ID: id, Name: b.Name, DNSName: b.DNSName, ZoneID: b.ZoneID, IPAddressType: b.IPAddressType, Active: b.active(),
	}
	_, replaced := find(v.LoadBalancers, func(other loadBalancer) bool {
		return other.ARN != b.ARN && other.Tags[resourceTag] == b.Tags[resourceTag] && other.Name == chosen.names[id]
	})
	predecessor, replaces := find(v.LoadBalancers, func(other loadBalancer) bool {
		return other.ARN != b.ARN && other.Tags[resourceTag] == b.Tags[resourceTag] && b.Name == chosen.names[id]
	})
	switch {
	case replaced && e.mirror.handedOver(b.ARN):
		observed.Leaving = append(observed.Leaving, o)
	case replaces && !e.mirror.handedOver(predecessor.ARN):
		return
	default:
		observed.LoadBalancers = append(observed.LoadBalancers, o)
	}
}

// Stacks lists the stacks that have a load balancer, target group or security group in the mirror.
func (e *Engine) Stacks() []lb.StackID { return e.mirror.stacksWithSomething() }
