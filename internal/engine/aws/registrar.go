package aws

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/sluicehq/sluice/internal/engine"
	"github.com/sluicehq/sluice/internal/lb"
)

// registrars are those of other identities and other VPCs, each made once. Its credentials renew themselves.
type registrars struct {
	config    aws.Config
	throttles []Throttle
	api       api
	blocks    *vpcBlocks
	session   string

	mu   sync.Mutex
	made map[lb.Access]*registrar
}

// sessionName is what CloudTrail shows of calls in another account. STS takes 64 characters of a few kinds.
func sessionName(cluster string) string {
	name := "AWS-LBC-" + strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("=,.@_-", r) {
			return r
		}
		return -1
	}, cluster)
	return name[:min(len(name), 64)]
}

// As returns Targets that speak as somebody else, or that are in another VPC. Only calls of ELBv2 are made as the other
// identity.
func (e *Engine) As(access lb.Access) engine.Targets {
	if access.VPC == "" {
		access.VPC = e.options.VPCID
	}
	if access == (lb.Access{VPC: e.options.VPCID}) {
		return e
	}
	r := e.others
	r.mu.Lock()
	defer r.mu.Unlock()
	made, ok := r.made[access]
	if !ok {
		made = &registrar{api: r.api, known: newTargets(), blocks: r.blocks, vpc: access.VPC, other: access.Role != ""}
		made.gone = made.known.drop
		if access.Role != "" {
			config := r.config.Copy()
			config.Credentials = aws.NewCredentialsCache(stscreds.NewAssumeRoleProvider(sts.NewFromConfig(r.config), access.Role,
				func(o *stscreds.AssumeRoleOptions) {
					o.RoleSessionName = r.session
					if access.ExternalID != "" {
						o.ExternalID = aws.String(access.ExternalID)
					}
				}))
			made.api.elb = elb.NewFromConfig(newBudget(r.throttles).install(config)) // another account has a budget of its own
		}
		r.made[access] = made
	}
	return made
}

// Describe finds a target group by its ARN, or without one by its name.
func (g *registrar) Describe(ctx context.Context, group lb.TargetGroupRef, name string) (lb.TargetGroupFacts, bool, error) {
	var found *elbtypes.TargetGroup
	var err error
	if group == "" {
		found, err = g.api.targetGroupNamed(ctx, name)
	} else {
		var list []elbtypes.TargetGroup
		list, err = g.api.targetGroupsByARN(ctx, []string{string(group)})
		if len(list) > 0 {
			found = &list[0]
		}
	}
	if isNotFound(err) || err == nil && found == nil {
		return lb.TargetGroupFacts{}, false, nil
	}
	if err != nil {
		return lb.TargetGroupFacts{}, false, judged(err)
	}
	row := targetGroupRow(*found, nil)
	return lb.TargetGroupFacts{
		Ref: lb.TargetGroupRef(row.ARN), TargetType: row.TargetType, Protocol: row.Protocol, VPC: row.VPC,
		IPAddressType: lb.IPAddressType(orElse(string(row.IPAddressType), string(lb.IPv4))),
	}, true, nil
}

// everyZone is the zone of targets outside of the VPC.
const everyZone = "all"

// zones says of each address which zone must be named with it: none for those of the VPC, and for instances.
func (g *registrar) zones(ctx context.Context, list []lb.Target) (func(lb.Target) string, error) {
	inside := func(lb.Target) string { return "" }
	if !slices.ContainsFunc(list, func(t lb.Target) bool { _, err := netip.ParseAddr(t.ID); return err == nil }) {
		return inside, nil
	}
	blocks, err := g.blocks.of(ctx, g.vpc, blocksFor)
	if err == nil && slices.ContainsFunc(list, func(t lb.Target) bool { return !contains(blocks, t.ID) }) {
		blocks, err = g.blocks.of(ctx, g.vpc, networkPatience) // the VPC may have got another block
	}
	if isCode(err, "InvalidVpcID.NotFound") && g.other {
		// Of a VPC of another account nothing can be read; then all its targets are in every zone.
		blocks, err = nil, nil
	}
	if err != nil {
		return nil, err
	}
	return func(t lb.Target) string {
		if _, err := netip.ParseAddr(t.ID); err != nil || contains(blocks, t.ID) {
			return ""
		}
		return everyZone
	}, nil
}

// vpcBlocks remembers the blocks of addresses of VPCs.
type vpcBlocks struct {
	api api
	now func() time.Time

	mu    sync.Mutex
	known map[string]knownBlocks
}

type knownBlocks struct {
	blocks []netip.Prefix
	err    error // that there is no such VPC
	readAt time.Time
}

// How long blocks of a VPC count as known, and how long that there is none.
const (
	blocksFor   = 10 * time.Hour
	noBlocksFor = 5 * time.Minute
)

// of are the blocks of a VPC, read again when what is known is as old as this.
func (v *vpcBlocks) of(ctx context.Context, vpc string, old time.Duration) ([]netip.Prefix, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if k, ok := v.known[vpc]; ok {
		if k.err != nil {
			old = noBlocksFor
		}
		if v.now().Sub(k.readAt) < old {
			return k.blocks, k.err
		}
	}
	blocks, err := v.api.vpcBlocks(ctx, vpc)
	if err == nil || isCode(err, "InvalidVpcID.NotFound") {
		v.known[vpc] = knownBlocks{blocks: blocks, err: err, readAt: v.now()}
	}
	return blocks, err
}
