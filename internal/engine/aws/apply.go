package aws

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/sluicehq/sluice/internal/lb"
	"github.com/sluicehq/sluice/internal/plan"
)

// Waits for what AWS needs a moment for. Each looks again every so often, up to a limit.
const (
	waitEvery       = 2 * time.Second
	shortWait       = 20 * time.Second // a listener that was just made, a target group that was just let go
	securityWait    = 10 * time.Second // the stack's security group, after its load balancer went
	backendWait     = 2 * time.Minute  // the shared one, which the last load balancer's interfaces hold longest
	lookAgainAfter  = 30 * time.Second
	protectionWords = "deletion protection"
)

// performer performs the steps of one plan. Every step may have been half done before: it looks at the mirror, does
// what is left, and writes each answer through.
type performer struct {
	*Engine
	plan plan.Plan
}

// Perform does one step.
func (p performer) Perform(ctx context.Context, step plan.Step) error {
	subject := step.After
	if step.Verb == plan.Delete {
		subject = step.Before
	}
	var err error
	switch want := subject.(type) {
	case SecurityGroup:
		err = p.securityGroup(ctx, step.Verb, want)
	case BackendSecurityGroup:
		err = p.backendSecurityGroup(ctx, step.Verb, want)
	case LoadBalancer:
		err = p.loadBalancer(ctx, step.Verb, want)
	case EndpointSecurityGroup:
		err = p.endpointGroup(ctx, step)
	case TargetGroup:
		err = p.targetGroup(ctx, step.Verb, want)
	case Listener:
		err = p.listener(ctx, step.Verb, want)
	case AddOn:
		err = p.addOn(ctx, step.Verb, want)
	case ServerCertificate:
		err = p.serverCertificate(ctx, step.Verb, want)
	case Rule:
		err = p.rule(ctx, step, want)
	case RulePriorities:
		err = p.rulePriorities(ctx, step)
	case Handover:
		err = p.handover(ctx, want)
	default:
		panic(fmt.Sprintf("aws: a plan has a step for %T", subject))
	}
	return judged(err)
}

// tracking are the tags of a resource of this plan's stack.
func (p performer) tracking(resource lb.ResourceID) tags {
	return tracking(p.options.Cluster, p.plan.Stack, resource)
}

// isOurs says whether tags are those of this very resource of this stack.
func (p performer) isOurs(t tags, resource lb.ResourceID) bool {
	stack, have, ok := t.owner(p.options.Cluster)
	return ok && stack == p.plan.Stack && have == resource
}

// waiting calls try until it succeeds or fails with another code than these, at most for as long as limit.
func (p performer) waiting(ctx context.Context, limit time.Duration, try func() error, codes ...string) error {
	for waited := time.Duration(0); ; waited += waitEvery {
		err := try()
		if !isCode(err, codes...) || waited >= limit {
			return err
		}
		if err := p.options.Sleep(ctx, waitEvery); err != nil {
			return err
		}
	}
}

// resolved returns the action with target groups by ARN, as the mirror knows them now.
func (p performer) resolved(a action) (action, error) {
	missing := ""
	resolved := a.renamed(func(name string) string {
		if isARN(name) {
			return name // somebody else's
		}
		group, ok := p.mirror.targetGroupNamed(p.plan.Stack, name)
		if !ok {
			missing = name
		}
		return group.ARN
	})
	if missing != "" {
		return action{}, fmt.Errorf("aws: target group %s is gone; it is made again by the next plan", missing)
	}
	return resolved, nil
}

// groupIDs returns the ids of security groups, as the mirror knows them now.
func (p performer) groupIDs(refs []plan.ID) ([]string, error) {
	var ids []string
	for _, ref := range refs {
		var group securityGroup
		var ok bool
		switch ref.Kind {
		case BackendSecurityGroupKind:
			group, ok = p.mirror.backendGroup()
		case SecurityGroupKind:
			group, ok = p.mirror.securityGroupNamed(p.plan.Stack, ref.Name)
		default:
			group, ok = securityGroup{ID: ref.Name}, true
		}
		if !ok {
			return nil, fmt.Errorf("aws: security group %s is gone; it is made again by the next plan", ref.Name)
		}
		ids = append(ids, group.ID)
	}
	return ids, nil
}

// foreign says that a name is taken by something that is not ours.
func foreign(err error, kind, name, arn, fix string) error {
	return blockedBy(err, lb.CloudRefused, name,
		fmt.Sprintf("the name is taken by a %s that does not have this stack's tags (%s)", kind, arn), fix)
}

func isProtected(err error) bool {
	return isCode(err, "OperationNotPermitted") && strings.Contains(strings.ToLower(err.Error()), protectionWords)
}
