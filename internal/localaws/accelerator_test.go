package localaws_test

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	ga "github.com/aws/aws-sdk-go-v2/service/globalaccelerator"
	"github.com/aws/aws-sdk-go-v2/service/globalaccelerator/types"
	"github.com/miekg/dns"

	"github.com/sluicehq/sluice/internal/localaws"
	"github.com/sluicehq/sluice/internal/localaws/localawstest"
)

// TestAccelerator goes through the life of an accelerator: made from the top down, taken away from the bottom up.
func TestAccelerator(t *testing.T) {
	c := start(t, localawstest.WithOptions(func(o *localaws.Options) { o.DNSAddress = "127.0.0.1:0" }))
	ctx := t.Context()
	client := ga.NewFromConfig(c.Config)
	create := &ga.CreateAcceleratorInput{Name: aws.String("front"), IpAddressType: types.IpAddressTypeDualStack, IdempotencyToken: aws.String("once"), Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("b")}}}
	a := must[*ga.CreateAcceleratorOutput](t)(client.CreateAccelerator(ctx, create)).Accelerator
	if again := must[*ga.CreateAcceleratorOutput](t)(client.CreateAccelerator(ctx, create)).Accelerator; *again.AcceleratorArn != *a.AcceleratorArn {
		t.Error("asking twice makes two")
	}
	if a.Status != types.AcceleratorStatusDeployed || len(a.IpSets) != 2 || len(a.IpSets[0].IpAddresses) != 2 || a.DualStackDnsName == nil || !*a.Enabled {
		t.Errorf("%+v", a)
	}
	listen := func(token string, from, to int32) (*ga.CreateListenerOutput, error) {
		return client.CreateListener(ctx, &ga.CreateListenerInput{AcceleratorArn: a.AcceleratorArn, IdempotencyToken: &token, PortRanges: []types.PortRange{{FromPort: &from, ToPort: &to}}, Protocol: types.ProtocolTcp})
	}
	l := must[*ga.CreateListenerOutput](t)(listen("l1", 80, 443)).Listener
	_, err := listen("l2", 443, 500)
	wants(t, err, "InvalidPortRangeException", "443-500")
	_, err = listen("l3", 90, 80)
	wants(t, err, "InvalidPortRangeException", "first port")
	b := c.balancer(t, "web")
	group := must[*ga.CreateEndpointGroupOutput](t)(client.CreateEndpointGroup(ctx, &ga.CreateEndpointGroupInput{
		ListenerArn: l.ListenerArn, EndpointGroupRegion: aws.String(localawstest.Region), IdempotencyToken: aws.String("g"),
		EndpointConfigurations: []types.EndpointConfiguration{{EndpointId: b.LoadBalancerArn, Weight: aws.Int32(10)}},
	})).EndpointGroup
	if d := group.EndpointDescriptions; len(d) != 1 || *d[0].Weight != 10 || d[0].HealthState != types.HealthStateHealthy || *group.TrafficDialPercentage != 100 || *group.HealthCheckPort != 80 {
		t.Errorf("%+v", group)
	}
	_, err = client.CreateEndpointGroup(ctx, &ga.CreateEndpointGroupInput{ListenerArn: l.ListenerArn, EndpointGroupRegion: aws.String(localawstest.Region), IdempotencyToken: aws.String("g2")})
	wants(t, err, "EndpointGroupAlreadyExistsException", localawstest.Region)
	_, err = client.AddEndpoints(ctx, &ga.AddEndpointsInput{EndpointGroupArn: group.EndpointGroupArn, EndpointConfigurations: []types.EndpointConfiguration{{EndpointId: aws.String(*b.LoadBalancerArn + "0")}}})
	wants(t, err, "EndpointNotFoundException", "does not exist")

	resolves := func(name string) []string {
		q := new(dns.Msg)
		q.SetQuestion(dns.Fqdn(name), dns.TypeA)
		answer := must[*dns.Msg](t)(dns.Exchange(q, c.DNSAddress()))
		var out []string
		for _, rr := range answer.Answer {
			out = append(out, rr.(*dns.A).A.String())
		}
		return out
	}
	address, _ := c.Resolve(*b.DNSName)
	for _, name := range []string{*a.DnsName, *a.DualStackDnsName} {
		if got := resolves(name); len(got) != 1 || got[0] != address.String() {
			t.Errorf("%s resolves to %v, want %s", name, got, address)
		}
	}
	must[*ga.UpdateEndpointGroupOutput](t)(client.UpdateEndpointGroup(ctx, &ga.UpdateEndpointGroupInput{EndpointGroupArn: group.EndpointGroupArn, TrafficDialPercentage: aws.Float32(0), HealthCheckIntervalSeconds: aws.Int32(10)}))
	if got := resolves(*a.DnsName); len(got) != 0 {
		t.Errorf("with the dial at zero: %v", got)
	}
	_, err = client.UpdateEndpointGroup(ctx, &ga.UpdateEndpointGroupInput{EndpointGroupArn: group.EndpointGroupArn, HealthCheckIntervalSeconds: aws.Int32(20)})
	wants(t, err, "InvalidArgumentException", "20")

	removeAccelerator := func() error {
		_, err := client.DeleteAccelerator(ctx, &ga.DeleteAcceleratorInput{AcceleratorArn: a.AcceleratorArn})
		return err
	}
	wants(t, removeAccelerator(), "AcceleratorNotDisabledException", "disabled")
	off := must[*ga.UpdateAcceleratorOutput](t)(client.UpdateAccelerator(ctx, &ga.UpdateAcceleratorInput{AcceleratorArn: a.AcceleratorArn, Enabled: aws.Bool(false), IpAddressType: types.IpAddressTypeIpv4})).Accelerator
	if *off.Enabled || len(off.IpSets) != 1 {
		t.Errorf("%+v", off)
	}
	wants(t, removeAccelerator(), "AssociatedListenerFoundException", "listeners")
	_, err = client.DeleteListener(ctx, &ga.DeleteListenerInput{ListenerArn: l.ListenerArn})
	wants(t, err, "AssociatedEndpointGroupFoundException", "endpoint groups")
	must[*ga.RemoveEndpointsOutput](t)(client.RemoveEndpoints(ctx, &ga.RemoveEndpointsInput{EndpointGroupArn: group.EndpointGroupArn, EndpointIdentifiers: []types.EndpointIdentifier{{EndpointId: b.LoadBalancerArn}}}))
	if left := must[*ga.ListEndpointGroupsOutput](t)(client.ListEndpointGroups(ctx, &ga.ListEndpointGroupsInput{ListenerArn: l.ListenerArn})).EndpointGroups; len(left) != 1 || len(left[0].EndpointDescriptions) != 0 {
		t.Errorf("%+v", left)
	}
	tags := must[*ga.ListTagsForResourceOutput](t)(client.ListTagsForResource(ctx, &ga.ListTagsForResourceInput{ResourceArn: a.AcceleratorArn})).Tags
	if len(tags) != 1 || *tags[0].Value != "b" {
		t.Errorf("%+v", tags)
	}
	must[*ga.DeleteEndpointGroupOutput](t)(client.DeleteEndpointGroup(ctx, &ga.DeleteEndpointGroupInput{EndpointGroupArn: group.EndpointGroupArn}))
	must[*ga.DeleteListenerOutput](t)(client.DeleteListener(ctx, &ga.DeleteListenerInput{ListenerArn: l.ListenerArn}))
	if err := removeAccelerator(); err != nil {
		t.Error(err)
	}
	_, err = client.DescribeAccelerator(ctx, &ga.DescribeAcceleratorInput{AcceleratorArn: a.AcceleratorArn})
	wants(t, err, "AcceleratorNotFoundException", *a.AcceleratorArn)
}

// TestAcceleratorInProgress: while a change is on its way, as slow as the profile says, another one is refused.
func TestAcceleratorInProgress(t *testing.T) {
	clock := localawstest.NewClock()
	c := start(t, localawstest.WithClock(clock), localawstest.WithOptions(func(o *localaws.Options) { o.Profile.Provisioning = time.Minute }))
	client := ga.NewFromConfig(c.Config)
	a := must[*ga.CreateAcceleratorOutput](t)(client.CreateAccelerator(t.Context(), &ga.CreateAcceleratorInput{Name: aws.String("a"), IdempotencyToken: aws.String("t")})).Accelerator
	if a.Status != types.AcceleratorStatusInProgress {
		t.Error(a.Status)
	}
	update := func() error {
		_, err := client.UpdateAccelerator(t.Context(), &ga.UpdateAcceleratorInput{AcceleratorArn: a.AcceleratorArn, Name: aws.String("b")})
		return err
	}
	wants(t, update(), "TransactionInProgressException", *a.AcceleratorArn)
	clock.Advance(time.Minute)
	if err := update(); err != nil {
		t.Error(err)
	}
}
