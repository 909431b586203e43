package aws

import (
	"context"
	"fmt"
	"slices"

	"github.com/sluicehq/sluice/internal/lb"
)

// Load fills the mirror from AWS. Nothing can be planned before.
func (e *Engine) Load(ctx context.Context) error {
	_, err := e.Start(ctx, func() {})
	return err
}

// Start fills the mirror: from a checkpoint, checked against listings, as far as there is one, else from AWS. It calls
// usable as soon as stacks can be planned: planning one that has not been read yet reads it, before its turn. It returns
// when everything is known. What trusted says is that something was taken from the checkpoint, so that an audit should
// follow: others may have changed it meanwhile.
func (e *Engine) Start(ctx context.Context, usable func()) (trusted bool, err error) {
	e.auditing.Lock()
	defer e.auditing.Unlock()
	since := e.options.Now().Add(-settleTime)
	remembered, foreign := e.checkpoint.recall(ctx)
	var all listing
	var groups securityGroups
	err = together(
		func() error {
			// Registering needs them, and must not wait for a read; what fails here is tried again then.
			_, _ = e.blocks.of(ctx, e.options.VPCID, blocksFor)
			return nil
		},
		func() (err error) {
			groups, err = e.reader.securityGroups(ctx)
			return err
		},
		func() (err error) {
			if len(remembered) > 0 {
				all, err = e.reader.listTrusting(ctx, tagsRemembered(remembered, foreign))
			} else {
				all, err = e.reader.list(ctx, e.mirror.arns())
			}
			return err
		},
	)
	if err != nil {
		return false, e.unreadable(err)
	}
	e.mirror.mergeSecurityGroups(groups.ours, since)
	e.mirror.open(all, remembered, since)
	for _, saved := range remembered {
		e.recall(saved.Details, e.mirror.knowsARN)
	}
	e.endpointGroups.take(groups.endpoints)
	usable()
	for some := range slices.Chunk(e.mirror.unreadOf(""), contentsAtOnce) {
		read, err := e.reader.contents(ctx, all, some)
		if err != nil {
			return false, e.unreadable(err)
		}
		e.mirror.fill(some, read)
	}
	return len(remembered) > 0, nil
}

func (e *Engine) unreadable(err error) error {
	return fmt.Errorf("aws: read what cluster %s has: %w", e.options.Cluster, err)
}

// tagsRemembered are the tags of load balancers and target groups that a checkpoint tells, by ARN: none for those that
// are not ours.
func tagsRemembered(stacks map[lb.StackID]memory, foreign []string) map[string]tags {
	known := map[string]tags{}
	for _, arn := range foreign {
		known[arn] = nil
	}
	for _, saved := range stacks {
		for _, b := range saved.LoadBalancers {
			known[b.ARN] = b.Tags
		}
		for _, g := range saved.TargetGroups {
			known[g.ARN] = g.Tags
		}
	}
	return known
}

// lookInto reads those load balancers of a stack that the start has not come to yet.
func (e *Engine) lookInto(ctx context.Context, stack lb.StackID) error {
	for _, balancer := range e.mirror.unreadOf(stack) {
		if err := e.refreshListeners(ctx, balancer); err != nil {
			return err
		}
		e.mirror.fill([]string{balancer}, contents{})
	}
	return nil
}

// Checkpoint writes what has changed since the last time to Options.Checkpoints, every now and then until the context
// ends, and then once more.
func (e *Engine) Checkpoint(ctx context.Context) {
	for e.options.Sleep(ctx, checkpointEvery) == nil {
		e.checkpoint.flush(ctx)
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), checkpointLastTime)
	defer cancel()
	e.checkpoint.flush(last)
}

// Audit reads everything again and returns the stacks for which AWS differs from what the mirror had, sorted, so that
// they are planned anew. What was changed through this engine meanwhile, or shortly before, is left as the mirror has
// it. The picture of the VPC, and where targets are, is read again when it is needed next.
func (e *Engine) Audit(ctx context.Context) ([]lb.StackID, error) {
	changed, err := e.AuditSecurityGroups(ctx)
	if err != nil {
		return nil, err
	}
	more, err := e.auditBalancers(ctx)
	if err != nil {
		return changed, err
	}
	e.network.forget()
	e.external.forget()
	e.groups.forget()
	e.certificates.forget()
	e.acls.forget()
	e.subscription.forget()
	e.interfaces.forget()
	drifted, err := e.audit(ctx)
	e.tellChanged(append(more, e.mirror.stacksOf(drifted, nil)...))
	return e.mirror.stacksOf(drifted, append(changed, more...)), err
}

// AuditSecurityGroups is the part of Audit that is about security groups: who may reach load balancers and targets. It
// takes a call or two, so it can be done often. What PlanIngress compares with is read as well.
func (e *Engine) AuditSecurityGroups(ctx context.Context) ([]lb.StackID, error) {
	since := e.options.Now().Add(-settleTime)
	var fresh securityGroups
	err := e.endpointGroups.refresh(ctx, func() (_ []endpointGroup, err error) {
		fresh, err = e.reader.securityGroups(ctx)
		return fresh.endpoints, err
	})
	if err != nil {
		return nil, e.unreadable(err)
	}
	changed := e.mirror.mergeSecurityGroups(fresh.ours, since)
	e.tellChanged(changed)
	return changed, nil
}

func (e *Engine) auditBalancers(ctx context.Context) ([]lb.StackID, error) {
	e.auditing.Lock()
	defer e.auditing.Unlock()
	since := e.options.Now().Add(-settleTime)
	fresh, err := e.reader.read(ctx, e.mirror.arns())
	if err != nil {
		return nil, e.unreadable(err)
	}
	return e.mirror.merge(fresh, since), nil
}

func (e *Engine) tellChanged(stacks []lb.StackID) {
	if len(stacks) > 0 {
		e.options.Logger.Info("AWS differs from what was known", "stacks", stacks)
	}
}
