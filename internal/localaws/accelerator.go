package localaws

import (
	"fmt"
	"slices"
	"strings"
	"time"

	ga "github.com/aws/aws-sdk-go-v2/service/globalaccelerator"
	"github.com/aws/aws-sdk-go-v2/service/globalaccelerator/types"

	"github.com/sluicehq/sluice/internal/localaws/wire"
)

func registerGlobalAccelerator(b *binder) {
	on(b, (*tx).createAccelerator)
	on(b, (*tx).describeAccelerator)
	on(b, (*tx).describeAcceleratorAttributes)
	on(b, (*tx).updateAccelerator)
	on(b, (*tx).updateAcceleratorAttributes)
	on(b, (*tx).deleteAccelerator)
	on(b, (*tx).listAccelerators)
	on(b, (*tx).createAcceleratorListener)
	on(b, (*tx).describeAcceleratorListener)
	on(b, (*tx).updateAcceleratorListener)
	on(b, (*tx).deleteAcceleratorListener)
	on(b, (*tx).listAcceleratorListeners)
	on(b, (*tx).createEndpointGroup)
	on(b, (*tx).describeEndpointGroup)
	on(b, (*tx).updateEndpointGroup)
	on(b, (*tx).deleteEndpointGroup)
	on(b, (*tx).listEndpointGroups)
	on(b, (*tx).addEndpoints)
	on(b, (*tx).removeEndpoints)
	on(b, (*tx).tagAccelerator)
	on(b, (*tx).untagAccelerator)
	on(b, (*tx).listAcceleratorTags)
}

// accelerator is one of Global Accelerator. Its name resolves to the load balancers behind it; its static addresses are
// shown, and nothing listens on them. Its row goes by its ARN, which those of its listeners and endpoint groups begin with.
type accelerator struct {
	Wire       types.Accelerator
	Token      string
	Attributes types.AcceleratorAttributes
	DeployedAt time.Time
}

func (a accelerator) arn() string { return *a.Wire.AcceleratorArn }

// acceleratorKind is a kind of Global Accelerator resource and its complaints.
type acceleratorKind struct{ noun, notFound string }

var (
	acceleratorOnly     = acceleratorKind{"accelerator", "AcceleratorNotFoundException"}
	acceleratorListener = acceleratorKind{"listener", "ListenerNotFoundException"}
	acceleratorGroup    = acceleratorKind{"endpoint group", "EndpointGroupNotFoundException"}
)

func acceleratorRow[T any](t *table[T], kind acceleratorKind, arn *string) (T, error) {
	row, ok := t.get(*arn)
	if !ok {
		return row, wire.Errorf(kind.notFound, "The %s %s does not exist.", kind.noun, *arn)
	}
	return row, nil
}

func badArgument(format string, args ...any) error {
	return wire.Errorf("InvalidArgumentException", format, args...)
}

// acceleratorWire adds what depends on the time.
func (x *tx) acceleratorWire(a accelerator) *types.Accelerator {
	w := a.Wire
	w.Status = types.AcceleratorStatusDeployed
	if x.now.Before(a.DeployedAt) {
		w.Status = types.AcceleratorStatusInProgress
	}
	return &w
}

// changeable finds the accelerator that an ARN, also that of something below it, belongs to. While an earlier change is
// on its way nothing can be changed.
func (x *tx) changeable(arn string) (accelerator, error) {
	at, _, _ := strings.Cut(arn, "/listener/")
	a, err := acceleratorRow(x.state.accelerators, acceleratorOnly, &at)
	if err != nil {
		return a, err
	}
	if x.now.Before(a.DeployedAt) {
		return a, wire.Errorf("TransactionInProgressException", "There is already a transaction in progress for the accelerator %s.", at)
	}
	return a, nil
}

// changed stores an accelerator that itself, or something below it, has changed.
func (x *tx) changed(a accelerator) {
	a.Wire.LastModifiedTime = ptr(x.now.Truncate(time.Second))
	a.DeployedAt = x.now.Add(x.Profile().Provisioning)
	x.state.accelerators.put(x, a.arn(), a)
}

func (x *tx) createAccelerator(in *ga.CreateAcceleratorInput) (*ga.CreateAcceleratorOutput, error) {
	tags, err := x.collectAcceleratorTags(in.Tags)
	if err != nil {
		return nil, err
	}
	for _, a := range x.state.accelerators.find(func(a accelerator) bool { return a.Token == *in.IdempotencyToken }) {
		return &ga.CreateAcceleratorOutput{Accelerator: x.acceleratorWire(a)}, nil
	}
	if len(in.IpAddresses) > 0 {
		return nil, wire.Errorf("ByoipCidrNotFoundException", "The addresses %s are in no block that was brought to this account.", strings.Join(in.IpAddresses, ", "))
	}
	if limit := x.quota["sluice/accelerators"]; x.state.accelerators.len() >= limit {
		return nil, wire.Errorf("LimitExceededException", "The account has reached the limit of %d accelerators.", limit)
	}
	arn := "arn:aws:globalaccelerator::" + x.options.AccountID + ":accelerator/" + requestID()
	name := "a" + x.hex(16)
	a := accelerator{Token: *in.IdempotencyToken, Wire: types.Accelerator{
		AcceleratorArn: &arn, Name: in.Name, Enabled: ptr(in.Enabled == nil || *in.Enabled), CreatedTime: ptr(x.now.Truncate(time.Second)),
		DnsName: ptr(name + acceleratorDomain), IpSets: []types.IpSet{x.staticAddresses(types.IpAddressFamilyIPv4)},
	}}
	x.setAddressType(&a, in.IpAddressType)
	a.Attributes = types.AcceleratorAttributes{FlowLogsEnabled: ptr(false)}
	x.setTags(arn, arn, tags)
	x.changed(a)
	a, _ = x.state.accelerators.get(arn)
	return &ga.CreateAcceleratorOutput{Accelerator: x.acceleratorWire(a)}, nil
}

// acceleratorDomain is what accelerators' names end with.
const acceleratorDomain = ".awsglobalaccelerator.com"

// staticAddresses makes two addresses out of the blocks for benchmarks (RFC 2544, RFC 5180), which are nobody's.
func (x *tx) staticAddresses(family types.IpAddressFamily) types.IpSet {
	n := x.hex(4)
	set := types.IpSet{IpAddressFamily: family, IpFamily: ptr(string(family))} //nolint:staticcheck // older clients read the deprecated one
	if family == types.IpAddressFamilyIPv6 {
		set.IpAddresses = []string{"2001:2:0:1::" + n, "2001:2:0:2::" + n}
		return set
	}
	var a, b byte
	_, _ = fmt.Sscanf(n, "%02x%02x", &a, &b) // hex digits always scan
	set.IpAddresses = []string{fmt.Sprintf("198.18.%d.%d", a, b), fmt.Sprintf("198.19.%d.%d", b, a)}
	return set
}

func (x *tx) setAddressType(a *accelerator, t types.IpAddressType) {
	a.Wire.IpAddressType = t
	if t == "" {
		a.Wire.IpAddressType = types.IpAddressTypeIpv4
	}
	a.Wire.IpSets = slices.Clone(a.Wire.IpSets[:1])
	a.Wire.DualStackDnsName = nil
	if t == types.IpAddressTypeDualStack {
		a.Wire.IpSets = append(a.Wire.IpSets, x.staticAddresses(types.IpAddressFamilyIPv6))
		name, _, _ := strings.Cut(*a.Wire.DnsName, ".")
		a.Wire.DualStackDnsName = ptr(name + ".dualstack" + acceleratorDomain)
	}
}

func (x *tx) describeAccelerator(in *ga.DescribeAcceleratorInput) (*ga.DescribeAcceleratorOutput, error) {
	a, err := acceleratorRow(x.state.accelerators, acceleratorOnly, in.AcceleratorArn)
	if err != nil {
		return nil, err
	}
	return &ga.DescribeAcceleratorOutput{Accelerator: x.acceleratorWire(a)}, nil
}

func (x *tx) updateAccelerator(in *ga.UpdateAcceleratorInput) (*ga.UpdateAcceleratorOutput, error) {
	a, err := x.changeable(*in.AcceleratorArn)
	if err != nil {
		return nil, err
	}
	if len(in.IpAddresses) > 0 {
		return nil, wire.Errorf("ByoipCidrNotFoundException", "The addresses %s are in no block that was brought to this account.", strings.Join(in.IpAddresses, ", "))
	}
	if in.Name != nil {
		a.Wire.Name = in.Name
	}
	if in.Enabled != nil {
		a.Wire.Enabled = in.Enabled
	}
	if in.IpAddressType != "" && in.IpAddressType != a.Wire.IpAddressType {
		x.setAddressType(&a, in.IpAddressType)
	}
	x.changed(a)
	a, _ = x.state.accelerators.get(a.arn())
	return &ga.UpdateAcceleratorOutput{Accelerator: x.acceleratorWire(a)}, nil
}

func (x *tx) describeAcceleratorAttributes(in *ga.DescribeAcceleratorAttributesInput) (*ga.DescribeAcceleratorAttributesOutput, error) {
	a, err := acceleratorRow(x.state.accelerators, acceleratorOnly, in.AcceleratorArn)
	if err != nil {
		return nil, err
	}
	return &ga.DescribeAcceleratorAttributesOutput{AcceleratorAttributes: &a.Attributes}, nil
}

// updateAcceleratorAttributes: flow logs have nowhere to go here, so turning them on is refused.
func (x *tx) updateAcceleratorAttributes(in *ga.UpdateAcceleratorAttributesInput) (*ga.UpdateAcceleratorAttributesOutput, error) {
	a, err := x.changeable(*in.AcceleratorArn)
	if err != nil {
		return nil, err
	}
	if val(in.FlowLogsEnabled) || val(in.FlowLogsS3Bucket) != "" || val(in.FlowLogsS3Prefix) != "" {
		return nil, badArgument("flow logs are not supported by this version of local AWS")
	}
	return &ga.UpdateAcceleratorAttributesOutput{AcceleratorAttributes: &a.Attributes}, nil
}

func (x *tx) deleteAccelerator(in *ga.DeleteAcceleratorInput) (*ga.DeleteAcceleratorOutput, error) {
	a, err := x.changeable(*in.AcceleratorArn)
	switch {
	case err != nil:
		return nil, err
	case *a.Wire.Enabled:
		return nil, wire.Errorf("AcceleratorNotDisabledException", "The accelerator must be disabled before it can be deleted.")
	case x.state.acceleratorListeners.exists(func(l gaListener) bool { return l.accelerator() == a.arn() }):
		return nil, wire.Errorf("AssociatedListenerFoundException", "The accelerator has listeners.")
	}
	x.state.accelerators.delete(x, a.arn())
	x.state.tags.delete(x, a.arn())
	return &ga.DeleteAcceleratorOutput{}, nil
}

// pageAccelerators cuts a listing; ten a page when not asked for otherwise.
func pageAccelerators[T any](all []item[T], token *string, size *int32) ([]item[T], *string, error) {
	const usual = 10
	limit := usual
	if size != nil {
		limit = int(*size)
	}
	found, next, ok := page(all, val(token), limit)
	if !ok {
		return nil, nil, wire.Errorf("InvalidNextTokenException", "The token is not valid.")
	}
	if next == "" {
		return found, nil, nil
	}
	return found, &next, nil
}

func (x *tx) listAccelerators(in *ga.ListAcceleratorsInput) (*ga.ListAcceleratorsOutput, error) {
	found, next, err := pageAccelerators(x.state.accelerators.items(nil), in.NextToken, in.MaxResults)
	if err != nil {
		return nil, err
	}
	out := &ga.ListAcceleratorsOutput{Accelerators: []types.Accelerator{}, NextToken: next}
	for _, i := range found {
		out.Accelerators = append(out.Accelerators, *x.acceleratorWire(i.value))
	}
	return out, nil
}

func (x *tx) collectAcceleratorTags(tags []types.Tag) (map[string]string, error) {
	split := func(t types.Tag) (*string, *string) { return t.Key, t.Value }
	out, err := collectTags(tags, split, "InvalidArgumentException", "InvalidArgumentException")
	if limit := x.quota["sluice/tags-per-resource"]; err == nil && len(out) > limit {
		return nil, badArgument("A resource can have at most %d tags.", limit)
	}
	return out, err
}

func (x *tx) tagAccelerator(in *ga.TagResourceInput) (*ga.TagResourceOutput, error) {
	if _, err := acceleratorRow(x.state.accelerators, acceleratorOnly, in.ResourceArn); err != nil {
		return nil, err
	}
	add, err := x.collectAcceleratorTags(in.Tags)
	if err != nil {
		return nil, err
	}
	x.changeTags(*in.ResourceArn, add, nil)
	if limit := x.quota["sluice/tags-per-resource"]; len(x.tagsOf(*in.ResourceArn)) > limit {
		return nil, badArgument("A resource can have at most %d tags.", limit)
	}
	return &ga.TagResourceOutput{}, nil
}

func (x *tx) untagAccelerator(in *ga.UntagResourceInput) (*ga.UntagResourceOutput, error) {
	if _, err := acceleratorRow(x.state.accelerators, acceleratorOnly, in.ResourceArn); err != nil {
		return nil, err
	}
	x.changeTags(*in.ResourceArn, nil, in.TagKeys)
	return &ga.UntagResourceOutput{}, nil
}

func (x *tx) listAcceleratorTags(in *ga.ListTagsForResourceInput) (*ga.ListTagsForResourceOutput, error) {
	if _, err := acceleratorRow(x.state.accelerators, acceleratorOnly, in.ResourceArn); err != nil {
		return nil, err
	}
	tags := sortedTags(x.tagsOf(*in.ResourceArn), func(k, v *string) types.Tag { return types.Tag{Key: k, Value: v} })
	return &ga.ListTagsForResourceOutput{Tags: append([]types.Tag{}, tags...)}, nil
}
