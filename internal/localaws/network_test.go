package localaws_test

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"github.com/sluicehq/sluice/internal/localaws"
	"github.com/sluicehq/sluice/internal/localaws/localawstest"
	"github.com/sluicehq/sluice/internal/proxy"
)

func (c *clients) network(t testing.TB, name string, change ...func(*elb.CreateLoadBalancerInput)) types.LoadBalancer {
	t.Helper()
	in := &elb.CreateLoadBalancerInput{Name: &name, Type: "network", Subnets: localawstest.PublicSubnets[:]}
	for _, f := range change {
		f(in)
	}
	return must[*elb.CreateLoadBalancerOutput](t)(c.elb.CreateLoadBalancer(t.Context(), in)).LoadBalancers[0]
}

func (c *clients) networkGroup(t testing.TB, name string, protocol types.ProtocolEnum, change ...func(*elb.CreateTargetGroupInput)) string {
	t.Helper()
	return c.group(t, name, append([]func(*elb.CreateTargetGroupInput){func(in *elb.CreateTargetGroupInput) { in.Protocol = protocol }}, change...)...)
}

func (c *clients) networkListener(t testing.TB, balancer string, port int32, protocol types.ProtocolEnum, group string) string {
	t.Helper()
	out := must[*elb.CreateListenerOutput](t)(c.elb.CreateListener(t.Context(), &elb.CreateListenerInput{
		LoadBalancerArn: &balancer, Port: &port, Protocol: protocol, DefaultActions: forward(group),
	}))
	return *out.Listeners[0].ListenerArn
}

func (c *clients) elasticIP(t testing.TB) (id, address string) {
	t.Helper()
	out := must[*ec2.AllocateAddressOutput](t)(c.ec2.AllocateAddress(t.Context(), &ec2.AllocateAddressInput{Domain: "vpc"}))
	return *out.AllocationId, *out.PublicIp
}

func mapped(change ...func(*types.SubnetMapping)) func(*elb.CreateLoadBalancerInput) {
	return func(in *elb.CreateLoadBalancerInput) {
		in.Subnets = nil
		for i, f := range change {
			m := types.SubnetMapping{SubnetId: aws.String(localawstest.PublicSubnets[i])}
			f(&m)
			in.SubnetMappings = append(in.SubnetMappings, m)
		}
	}
}

func TestCreateNetworkLoadBalancer(t *testing.T) {
	c := start(t)
	ctx := t.Context()
	b := c.network(t, "tcp")
	arn := *b.LoadBalancerArn
	id := arn[len(arn)-16:]
	if !strings.Contains(arn, ":loadbalancer/net/tcp/") || *b.DNSName != "tcp-"+id+".elb.ap-northeast-1.amazonaws.com" ||
		*b.CanonicalHostedZoneId != "Z31USIVHYNEOWT" || b.Type != "network" || b.SecurityGroups != nil || len(b.AvailabilityZones) != 3 {
		t.Errorf("%+v", b)
	}
	if again := c.network(t, "tcp"); *again.LoadBalancerArn != arn {
		t.Error("the same request made another load balancer")
	}
	one := c.network(t, "one", func(in *elb.CreateLoadBalancerInput) { in.Subnets = in.Subnets[:1] })
	if len(one.AvailabilityZones) != 1 {
		t.Errorf("one subnet: %+v", one.AvailabilityZones)
	}
	taken, _ := c.elasticIP(t)
	c.network(t, "taken", mapped(func(m *types.SubnetMapping) { m.AllocationId = &taken }))
	internal := func(in *elb.CreateLoadBalancerInput) { in.Scheme = "internal" }
	for why, row := range map[string]struct {
		change       func(*elb.CreateLoadBalancerInput)
		code, phrase string
	}{
		"ALB's name":  {func(in *elb.CreateLoadBalancerInput) { in.Name, in.Type = aws.String("tcp"), "application" }, "DuplicateLoadBalancerName", ""},
		"no subnets":  {func(in *elb.CreateLoadBalancerInput) { in.Subnets = nil }, "ValidationError", "one subnet"},
		"no such EIP": {mapped(func(m *types.SubnetMapping) { m.AllocationId = aws.String("eipalloc-0123456789abcdef0") }), "AllocationIdNotFound", "eipalloc"},
		"EIP in use":  {mapped(func(m *types.SubnetMapping) { m.AllocationId = &taken }), "ResourceInUse", taken},
		"internal EIP": {func(in *elb.CreateLoadBalancerInput) {
			mapped(func(m *types.SubnetMapping) { m.AllocationId = &taken })(in)
			internal(in)
		}, "InvalidConfigurationRequest", "internal"},
		"public private": {mapped(func(m *types.SubnetMapping) { m.PrivateIPv4Address = aws.String("192.168.0.20") }), "InvalidConfigurationRequest", "internal load balancers only"},
		"outside": {func(in *elb.CreateLoadBalancerInput) {
			mapped(func(m *types.SubnetMapping) { m.PrivateIPv4Address = aws.String("192.168.99.20") })(in)
			internal(in)
		}, "InvalidConfigurationRequest", "range"},
		"reserved": {func(in *elb.CreateLoadBalancerInput) {
			mapped(func(m *types.SubnetMapping) { m.PrivateIPv4Address = aws.String("192.168.0.3") })(in)
			internal(in)
		}, "InvalidConfigurationRequest", "reserved"},
		"dualstack":      {func(in *elb.CreateLoadBalancerInput) { in.IpAddressType = "dualstack" }, "InvalidSubnet", "IPv6"},
		"prefix on IPv4": {func(in *elb.CreateLoadBalancerInput) { in.EnablePrefixForIpv6SourceNat = "on" }, "InvalidConfigurationRequest", "dualstack"},
		"IPv6 on IPv4":   {mapped(func(m *types.SubnetMapping) { m.IPv6Address = aws.String("2001:db8::1") }), "InvalidConfigurationRequest", "dualstack"},
		"no such group":  {func(in *elb.CreateLoadBalancerInput) { in.SecurityGroups = []string{"sg-0123456789abcdef0"} }, "InvalidSecurityGroup", ""},
	} {
		in := &elb.CreateLoadBalancerInput{Name: aws.String("bad"), Type: "network", Subnets: localawstest.PublicSubnets[:]}
		row.change(in)
		_, err := c.elb.CreateLoadBalancer(ctx, in)
		t.Run(why, func(t *testing.T) { wants(t, err, row.code, row.phrase) })
	}
	if err := c.SetQuota("network-load-balancers", 3); err != nil {
		t.Fatal(err)
	}
	_, err := c.elb.CreateLoadBalancer(ctx, &elb.CreateLoadBalancerInput{Name: aws.String("more"), Type: "network", Subnets: localawstest.PublicSubnets[:]})
	wants(t, err, "TooManyLoadBalancers", "3")
	c.balancer(t, "web") // its own count
}

// TestNetworkAddresses follows Elastic IP addresses and private ones through load balancers and network interfaces.
func TestNetworkAddresses(t *testing.T) {
	c := start(t)
	ctx := t.Context()
	first, public := c.elasticIP(t)
	second, _ := c.elasticIP(t)
	b := c.network(t, "eip", mapped(
		func(m *types.SubnetMapping) { m.AllocationId = &first }, func(m *types.SubnetMapping) { m.AllocationId = &second }))
	got := b.AvailabilityZones[0].LoadBalancerAddresses
	if len(got) != 1 || *got[0].AllocationId != first || *got[0].IpAddress != public {
		t.Errorf("addresses %+v", got)
	}
	addresses := func() (used []string) {
		out := must[*ec2.DescribeAddressesOutput](t)(c.ec2.DescribeAddresses(ctx, &ec2.DescribeAddressesInput{AllocationIds: []string{first, second}}))
		for _, a := range out.Addresses {
			if a.AssociationId != nil {
				used = append(used, *a.AllocationId)
			}
		}
		return used
	}
	if used := addresses(); !slices.Equal(used, []string{first, second}) {
		t.Errorf("associated: %v", used)
	}
	enis := must[*ec2.DescribeNetworkInterfacesOutput](t)(c.ec2.DescribeNetworkInterfaces(ctx, &ec2.DescribeNetworkInterfacesInput{
		Filters: filter("description", "ELB net/eip/"+(*b.LoadBalancerArn)[len(*b.LoadBalancerArn)-16:], "attachment.instance-owner-id", "amazon-aws"),
	})).NetworkInterfaces
	if len(enis) != 2 || enis[0].InterfaceType != "network_load_balancer" || enis[0].Association == nil || *enis[0].Association.PublicIp != public || len(enis[0].Groups) != 0 {
		t.Errorf("interfaces: %+v", enis)
	}
	_, err := c.ec2.ReleaseAddress(ctx, &ec2.ReleaseAddressInput{AllocationId: &first})
	wants(t, err, "InvalidIPAddress.InUse", first)
	third, _ := c.elasticIP(t)
	set := func(mappings ...types.SubnetMapping) error {
		_, err := c.elb.SetSubnets(ctx, &elb.SetSubnetsInput{LoadBalancerArn: b.LoadBalancerArn, SubnetMappings: mappings})
		return err
	}
	at := func(i int, eip string) types.SubnetMapping {
		return types.SubnetMapping{SubnetId: aws.String(localawstest.PublicSubnets[i]), AllocationId: &eip}
	}
	wants(t, set(at(0, third)), "InvalidConfigurationRequest", "cannot be changed")
	if err := set(at(0, first), at(2, third)); err != nil {
		t.Fatal(err)
	}
	if used := addresses(); !slices.Equal(used, []string{first}) {
		t.Errorf("after SetSubnets: %v", used)
	}
	must[*elb.DeleteLoadBalancerOutput](t)(c.elb.DeleteLoadBalancer(ctx, &elb.DeleteLoadBalancerInput{LoadBalancerArn: b.LoadBalancerArn}))
	must[*ec2.ReleaseAddressOutput](t)(c.ec2.ReleaseAddress(ctx, &ec2.ReleaseAddressInput{AllocationId: &first}))
	_, err = c.ec2.DescribeAddresses(ctx, &ec2.DescribeAddressesInput{AllocationIds: []string{first}})
	wants(t, err, "InvalidAllocationID.NotFound", first)

	private := c.network(t, "private", mapped(func(m *types.SubnetMapping) { m.PrivateIPv4Address = aws.String("192.168.0.77") }),
		func(in *elb.CreateLoadBalancerInput) { in.Scheme = "internal" })
	must[*elb.ModifyLoadBalancerAttributesOutput](t)(c.elb.ModifyLoadBalancerAttributes(ctx, &elb.ModifyLoadBalancerAttributesInput{
		LoadBalancerArn: private.LoadBalancerArn, Attributes: []types.LoadBalancerAttribute{{Key: aws.String("secondary_ips.auto_assigned.per_subnet"), Value: aws.String("2")}},
	}))
	enis = must[*ec2.DescribeNetworkInterfacesOutput](t)(c.ec2.DescribeNetworkInterfaces(ctx, &ec2.DescribeNetworkInterfacesInput{
		Filters: filter("private-ip-address", "192.168.0.77"),
	})).NetworkInterfaces
	if len(enis) != 1 || len(enis[0].PrivateIpAddresses) != 3 {
		t.Errorf("with secondary addresses: %+v", enis)
	}
	_, err = c.elb.ModifyLoadBalancerAttributes(ctx, &elb.ModifyLoadBalancerAttributesInput{
		LoadBalancerArn: private.LoadBalancerArn, Attributes: []types.LoadBalancerAttribute{{Key: aws.String("secondary_ips.auto_assigned.per_subnet"), Value: aws.String("1")}},
	})
	wants(t, err, "InvalidConfigurationRequest", "decreased")
}

func TestNetworkSecurityGroups(t *testing.T) {
	c := start(t)
	ctx := t.Context()
	set := func(arn *string, groups []string, enforce types.EnforceSecurityGroupInboundRulesOnPrivateLinkTrafficEnum) (*elb.SetSecurityGroupsOutput, error) {
		return c.elb.SetSecurityGroups(ctx, &elb.SetSecurityGroupsInput{
			LoadBalancerArn: arn, SecurityGroups: groups, EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic: enforce,
		})
	}
	group := c.securityGroup(t, "front")
	_, err := set(c.network(t, "without").LoadBalancerArn, []string{group}, "")
	wants(t, err, "InvalidConfigurationRequest", "without any")
	with := c.network(t, "with", func(in *elb.CreateLoadBalancerInput) { in.SecurityGroups = []string{group} })
	if !slices.Equal(with.SecurityGroups, []string{group}) || aws.ToString(with.EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic) != "on" {
		t.Errorf("%+v", with)
	}
	out := must[*elb.SetSecurityGroupsOutput](t)(set(with.LoadBalancerArn, []string{localawstest.NodeGroup}, "off"))
	if out.EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic != "off" || !slices.Equal(out.SecurityGroupIds, []string{localawstest.NodeGroup}) {
		t.Errorf("%+v", out)
	}
	_, err = set(with.LoadBalancerArn, []string{}, "")
	wants(t, err, "InvalidConfigurationRequest", "At least one")
	_, err = set(c.balancer(t, "alb").LoadBalancerArn, []string{group}, "on")
	wants(t, err, "InvalidConfigurationRequest", "application")
}

func TestNetworkAttributes(t *testing.T) {
	c := start(t)
	ctx := t.Context()
	b := *c.network(t, "tcp").LoadBalancerArn
	balancer := map[string]string{}
	for _, a := range must[*elb.DescribeLoadBalancerAttributesOutput](t)(c.elb.DescribeLoadBalancerAttributes(ctx, &elb.DescribeLoadBalancerAttributesInput{LoadBalancerArn: &b})).Attributes {
		balancer[*a.Key] = *a.Value
	}
	want := map[string]string{
		"deletion_protection.enabled": "false", "load_balancing.cross_zone.enabled": "false", "access_logs.s3.enabled": "false",
		"access_logs.s3.bucket": "", "access_logs.s3.prefix": "", "ipv6.deny_all_igw_traffic": "false", "zonal_shift.config.enabled": "false",
		"dns_record.client_routing_policy": "any_availability_zone", "secondary_ips.auto_assigned.per_subnet": "0",
	}
	if diff := cmp.Diff(want, balancer); diff != "" {
		t.Error(diff)
	}
	modify := func(key, value string) error {
		_, err := c.elb.ModifyLoadBalancerAttributes(ctx, &elb.ModifyLoadBalancerAttributesInput{
			LoadBalancerArn: &b, Attributes: []types.LoadBalancerAttribute{{Key: &key, Value: &value}},
		})
		return err
	}
	wants(t, modify("idle_timeout.timeout_seconds", "60"), "InvalidConfigurationRequest", "attribute key 'idle_timeout.timeout_seconds' is not supported")
	wants(t, modify("no_such", "60"), "ValidationError", "attribute key 'no_such' is not recognized")
	wants(t, modify("dns_record.client_routing_policy", "nearest"), "ValidationError", "nearest")
	if err := modify("load_balancing.cross_zone.enabled", "true"); err != nil {
		t.Error(err)
	}
	attributes := func(arn string) map[string]string {
		out := map[string]string{}
		for _, a := range must[*elb.DescribeTargetGroupAttributesOutput](t)(c.elb.DescribeTargetGroupAttributes(ctx, &elb.DescribeTargetGroupAttributesInput{TargetGroupArn: &arn})).Attributes {
			out[*a.Key] = *a.Value
		}
		return out
	}
	instance := func(in *elb.CreateTargetGroupInput) { in.TargetType = "instance" }
	for name, row := range map[string]struct {
		arn                      string
		preserve, cut, unhealthy string
	}{
		"tcp ip":       {c.networkGroup(t, "a", "TCP"), "false", "false", "true"},
		"tcp instance": {c.networkGroup(t, "b", "TCP", instance), "true", "false", "true"},
		"tls ip":       {c.networkGroup(t, "c", "TLS"), "false", "false", "true"},
		"udp ip":       {c.networkGroup(t, "d", "UDP"), "true", "true", ""},
		"tcp_udp":      {c.networkGroup(t, "e", "TCP_UDP", instance), "true", "true", ""},
		"quic":         {c.networkGroup(t, "f", "QUIC"), "true", "false", ""},
		"alb":          {c.networkGroup(t, "g", "TCP", func(in *elb.CreateTargetGroupInput) { in.TargetType = "alb" }), "true", "false", "true"},
	} {
		got := attributes(row.arn)
		if got["preserve_client_ip.enabled"] != row.preserve || got["deregistration_delay.connection_termination.enabled"] != row.cut ||
			got["target_health_state.unhealthy.connection_termination.enabled"] != row.unhealthy || got["stickiness.type"] != "source_ip" ||
			got["proxy_protocol_v2.enabled"] != "false" || got["load_balancing.algorithm.type"] != "" {
			t.Errorf("%s: %v", name, got)
		}
	}
	change := func(arn string, pairs ...string) error {
		in := &elb.ModifyTargetGroupAttributesInput{TargetGroupArn: &arn}
		for i := 0; i < len(pairs); i += 2 {
			in.Attributes = append(in.Attributes, types.TargetGroupAttribute{Key: &pairs[i], Value: &pairs[i+1]})
		}
		_, err := c.elb.ModifyTargetGroupAttributes(ctx, in)
		return err
	}
	tcp, udp := c.networkGroup(t, "a", "TCP"), c.networkGroup(t, "d", "UDP")
	wants(t, change(udp, "preserve_client_ip.enabled", "false"), "ValidationError", "preserve_client_ip")
	wants(t, change(tcp, "slow_start.duration_seconds", "30"), "InvalidConfigurationRequest", "not supported")
	wants(t, change(tcp, "stickiness.type", "lb_cookie"), "ValidationError", "lb_cookie")
	wants(t, change(tcp, "target_health_state.unhealthy.draining_interval_seconds", "10"), "InvalidConfigurationRequest", "to be false")
	wants(t, change(tcp, "target_group_health.unhealthy_state_routing.minimum_healthy_targets.count", "2"), "InvalidConfigurationRequest", "at least")
	if err := change(tcp, "stickiness.enabled", "true", "proxy_protocol_v2.enabled", "true", "preserve_client_ip.enabled", "true",
		"target_health_state.unhealthy.connection_termination.enabled", "false", "target_health_state.unhealthy.draining_interval_seconds", "10"); err != nil {
		t.Error(err)
	}
	l := c.networkListener(t, b, 80, "TCP", tcp)
	_, err := c.elb.ModifyListenerAttributes(ctx, &elb.ModifyListenerAttributesInput{ListenerArn: &l, Attributes: []types.ListenerAttribute{{Key: aws.String("tcp.idle_timeout.seconds"), Value: aws.String("6001")}}})
	wants(t, err, "ValidationError", "6001")
	must[*elb.ModifyListenerAttributesOutput](t)(c.elb.ModifyListenerAttributes(ctx, &elb.ModifyListenerAttributesInput{ListenerArn: &l, Attributes: []types.ListenerAttribute{{Key: aws.String("tcp.idle_timeout.seconds"), Value: aws.String("60")}}}))
	if p := c.Plane.Config().NetworkLoadBalancers[0]; !p.CrossZone || p.Listeners[0].IdleTimeout != time.Minute {
		t.Errorf("data plane: %+v", p)
	}
	if g := c.Plane.Config().TargetGroups; !slices.ContainsFunc(g, func(g proxy.TargetGroup) bool {
		return g.Network.StickySourceIP && g.Network.ProxyProtocol && g.Network.PreserveClientIP && !g.Network.CutUnhealthy && g.Network.UnhealthyDraining == 10*time.Second
	}) {
		t.Errorf("data plane: %+v", g)
	}
}

// TestNetworkGroupDefaults: what CreateTargetGroup and ModifyTargetGroup make of health checks.
func TestNetworkGroupDefaults(t *testing.T) {
	c := start(t)
	ctx := t.Context()
	shown := func(g types.TargetGroup) string {
		code := "-"
		if g.Matcher != nil {
			code = aws.ToString(g.Matcher.HttpCode)
		}
		return fmt.Sprintln(g.HealthCheckProtocol, aws.ToString(g.HealthCheckPath), *g.HealthCheckIntervalSeconds, *g.HealthCheckTimeoutSeconds,
			*g.HealthyThresholdCount, *g.UnhealthyThresholdCount, code, g.ProtocolVersion != nil)
	}
	for name, row := range map[string]struct {
		change func(*elb.CreateTargetGroupInput)
		want   string
	}{
		"tcp":  {func(*elb.CreateTargetGroupInput) {}, "TCP  30 10 5 2 - false"},
		"udp":  {func(in *elb.CreateTargetGroupInput) { in.Protocol = "UDP" }, "TCP  30 10 5 2 - false"},
		"http": {func(in *elb.CreateTargetGroupInput) { in.HealthCheckProtocol = "HTTP" }, "HTTP / 30 6 5 2 200-399 false"},
		"https": {func(in *elb.CreateTargetGroupInput) {
			in.HealthCheckProtocol = "HTTPS"
			in.Matcher = &types.Matcher{HttpCode: aws.String("200-599")}
		}, "HTTPS / 30 10 5 2 200-599 false"},
		"alb":  {func(in *elb.CreateTargetGroupInput) { in.TargetType = "alb" }, "HTTP / 30 6 5 2 200-399 false"},
		"fast": {func(in *elb.CreateTargetGroupInput) { in.HealthCheckIntervalSeconds = aws.Int32(5) }, "TCP  5 5 5 2 - false"},
	} {
		arn := c.networkGroup(t, name, "TCP", row.change)
		out := must[*elb.DescribeTargetGroupsOutput](t)(c.elb.DescribeTargetGroups(ctx, &elb.DescribeTargetGroupsInput{TargetGroupArns: []string{arn}}))
		if got := strings.TrimSpace(shown(out.TargetGroups[0])); got != row.want {
			t.Errorf("%s: %s, want %s", name, got, row.want)
		}
	}
	for why, row := range map[string]struct {
		change       func(*elb.CreateTargetGroupInput)
		code, phrase string
	}{
		"path":       {func(in *elb.CreateTargetGroupInput) { in.HealthCheckPath = aws.String("/") }, "InvalidConfigurationRequest", "path"},
		"matcher":    {func(in *elb.CreateTargetGroupInput) { in.Matcher = &types.Matcher{HttpCode: aws.String("200")} }, "InvalidConfigurationRequest", "matcher"},
		"UDP checks": {func(in *elb.CreateTargetGroupInput) { in.HealthCheckProtocol = "UDP" }, "InvalidConfigurationRequest", "UDP"},
		"version":    {func(in *elb.CreateTargetGroupInput) { in.ProtocolVersion = aws.String("HTTP1") }, "InvalidConfigurationRequest", "version"},
		"alb udp":    {func(in *elb.CreateTargetGroupInput) { in.TargetType, in.Protocol = "alb", "UDP" }, "InvalidConfigurationRequest", "alb"},
		"alb check":  {func(in *elb.CreateTargetGroupInput) { in.TargetType, in.HealthCheckProtocol = "alb", "TCP" }, "InvalidConfigurationRequest", "TCP"},
		"ipv6":       {func(in *elb.CreateTargetGroupInput) { in.TargetType, in.IpAddressType = "instance", "ipv6" }, "InvalidConfigurationRequest", "ipv6"},
	} {
		in := &elb.CreateTargetGroupInput{Name: aws.String("bad"), Protocol: "TCP", Port: aws.Int32(80), VpcId: aws.String(localawstest.VPC), TargetType: "ip"}
		row.change(in)
		_, err := c.elb.CreateTargetGroup(ctx, in)
		t.Run(why, func(t *testing.T) { wants(t, err, row.code, row.phrase) })
	}
	arn := c.networkGroup(t, "tcp", "TCP")
	modify := func(in *elb.ModifyTargetGroupInput) string {
		in.TargetGroupArn = &arn
		return strings.TrimSpace(shown(must[*elb.ModifyTargetGroupOutput](t)(c.elb.ModifyTargetGroup(ctx, in)).TargetGroups[0]))
	}
	if got := modify(&elb.ModifyTargetGroupInput{HealthCheckProtocol: "HTTP", HealthCheckPath: aws.String("/healthz")}); got != "HTTP /healthz 30 10 5 2 200-399 false" {
		t.Errorf("to HTTP: %s", got)
	}
	if got := modify(&elb.ModifyTargetGroupInput{HealthCheckProtocol: "TCP"}); got != "TCP  30 10 5 2 - false" {
		t.Errorf("back to TCP: %s", got)
	}
}

func TestNetworkListeners(t *testing.T) {
	c := start(t)
	ctx := t.Context()
	b := *c.network(t, "nlb").LoadBalancerArn
	grouped := map[types.ProtocolEnum]string{}
	for _, p := range []types.ProtocolEnum{"TCP", "TLS", "UDP", "TCP_UDP", "QUIC", "TCP_QUIC", "HTTP"} {
		grouped[p] = c.networkGroup(t, strings.ReplaceAll(strings.ToLower(string(p)), "_", "-"), p)
	}
	certificate := c.issued(t, "EC_prime256v1", "www.example.com")
	allowed := map[types.ProtocolEnum]string{
		"TCP": "TCP TCP_UDP", "TLS": "TCP TLS", "UDP": "TCP_UDP UDP", "TCP_UDP": "TCP_UDP", "QUIC": "QUIC TCP_QUIC", "TCP_QUIC": "TCP_QUIC",
	}
	for _, protocol := range slices.Sorted(maps.Keys(allowed)) {
		var took []string
		for _, p := range slices.Sorted(maps.Keys(grouped)) {
			in := &elb.CreateListenerInput{LoadBalancerArn: &b, Port: aws.Int32(80), Protocol: protocol, DefaultActions: forward(grouped[p])}
			if protocol == "TLS" {
				in.Certificates = []types.Certificate{{CertificateArn: &certificate}}
			}
			out, err := c.elb.CreateListener(ctx, in)
			if err != nil {
				wants(t, err, "IncompatibleProtocols", string(p))
				continue
			}
			took = append(took, string(p))
			must[*elb.DeleteListenerOutput](t)(c.elb.DeleteListener(ctx, &elb.DeleteListenerInput{ListenerArn: out.Listeners[0].ListenerArn}))
		}
		if got := strings.Join(took, " "); got != allowed[protocol] {
			t.Errorf("%s listeners took groups %s, want %s", protocol, got, allowed[protocol])
		}
	}
	l := c.networkListener(t, b, 80, "TCP", grouped["TCP"])
	for why, row := range map[string]struct {
		in           elb.CreateListenerInput
		code, phrase string
	}{
		"http":           {elb.CreateListenerInput{Protocol: "HTTP", DefaultActions: forward(grouped["HTTP"])}, "UnsupportedProtocol", "TCP, TLS, UDP"},
		"redirect":       {elb.CreateListenerInput{Protocol: "TCP", DefaultActions: notFound()}, "InvalidConfigurationRequest", "fixed-response"},
		"port in use":    {elb.CreateListenerInput{Port: aws.Int32(80), Protocol: "UDP", DefaultActions: forward(grouped["UDP"])}, "DuplicateListener", ""},
		"no certificate": {elb.CreateListenerInput{Protocol: "TLS", DefaultActions: forward(grouped["TLS"])}, "ValidationError", "TLS"},
		"tcp alpn":       {elb.CreateListenerInput{Protocol: "TCP", DefaultActions: forward(grouped["TCP"]), AlpnPolicy: []string{"None"}}, "InvalidConfigurationRequest", "ALPN"},
		"mutual": {elb.CreateListenerInput{Protocol: "TLS", DefaultActions: forward(grouped["TLS"]), Certificates: []types.Certificate{{CertificateArn: &certificate}},
			MutualAuthentication: &types.MutualAuthenticationAttributes{Mode: aws.String("passthrough")}}, "InvalidConfigurationRequest", "Mutual"},
		"bad alpn": {elb.CreateListenerInput{Protocol: "TLS", DefaultActions: forward(grouped["TLS"]), Certificates: []types.Certificate{{CertificateArn: &certificate}}, AlpnPolicy: []string{"HTTP3"}}, "ALPNPolicyNotFound", "HTTP3"},
		"sticky groups": {elb.CreateListenerInput{Protocol: "TCP", DefaultActions: []types.Action{{Type: "forward", ForwardConfig: &types.ForwardActionConfig{
			TargetGroups: []types.TargetGroupTuple{{TargetGroupArn: aws.String(grouped["TCP"])}}, TargetGroupStickinessConfig: &types.TargetGroupStickinessConfig{Enabled: aws.Bool(true), DurationSeconds: aws.Int32(5)},
		}}}}, "InvalidConfigurationRequest", "stickiness"},
	} {
		row.in.LoadBalancerArn = &b
		if row.in.Port == nil {
			row.in.Port = aws.Int32(81)
		}
		_, err := c.elb.CreateListener(ctx, &row.in)
		t.Run(why, func(t *testing.T) { wants(t, err, row.code, row.phrase) })
	}
	_, err := c.elb.CreateRule(ctx, &elb.CreateRuleInput{ListenerArn: &l, Priority: aws.Int32(1), Conditions: path("/"), Actions: forward(grouped["TCP"])})
	wants(t, err, "InvalidConfigurationRequest", "TCP")
	rules := must[*elb.DescribeRulesOutput](t)(c.elb.DescribeRules(ctx, &elb.DescribeRulesInput{ListenerArn: &l})).Rules
	if len(rules) != 1 || !*rules[0].IsDefault {
		t.Errorf("rules %+v", rules)
	}
	// TCP to TLS wants a certificate and a policy; back drops them.
	modify := func(in elb.ModifyListenerInput) (types.Listener, error) {
		in.ListenerArn = &l
		out, err := c.elb.ModifyListener(ctx, &in)
		if err != nil {
			return types.Listener{}, err
		}
		return out.Listeners[0], nil
	}
	_, err = modify(elb.ModifyListenerInput{Protocol: "TLS"})
	wants(t, err, "InvalidConfigurationRequest", "policy")
	tls := must[types.Listener](t)(modify(elb.ModifyListenerInput{
		Protocol: "TLS", SslPolicy: aws.String("ELBSecurityPolicy-2015-05"), AlpnPolicy: []string{"HTTP2Preferred"}, Certificates: []types.Certificate{{CertificateArn: &certificate}},
	}))
	if !slices.Equal(tls.AlpnPolicy, []string{"HTTP2Preferred"}) || tls.MutualAuthentication != nil || len(tls.Certificates) != 1 {
		t.Errorf("TLS: %+v", tls)
	}
	if p := c.Plane.Config().NetworkLoadBalancers[0].Listeners[0]; p.TLS == nil || p.ALPN != "HTTP2Preferred" || len(p.TLS.Certificate.Certificate) == 0 {
		t.Errorf("data plane: %+v", p)
	}
	if back := must[types.Listener](t)(modify(elb.ModifyListenerInput{Protocol: "TCP"})); back.AlpnPolicy != nil || back.SslPolicy != nil || back.Certificates != nil {
		t.Errorf("TCP again: %+v", back)
	}
	// Weights, and the group's one load balancer.
	more := c.networkGroup(t, "more", "TCP")
	weighted := []types.Action{{Type: "forward", ForwardConfig: &types.ForwardActionConfig{TargetGroups: []types.TargetGroupTuple{
		{TargetGroupArn: aws.String(grouped["TCP"]), Weight: aws.Int32(9)}, {TargetGroupArn: &more, Weight: aws.Int32(1)},
	}}}}
	must[types.Listener](t)(modify(elb.ModifyListenerInput{DefaultActions: weighted}))
	_, err = c.elb.CreateListener(ctx, &elb.CreateListenerInput{LoadBalancerArn: c.network(t, "other").LoadBalancerArn, Port: aws.Int32(80), Protocol: "TCP", DefaultActions: forward(more)})
	wants(t, err, "TargetGroupAssociationLimit", more)
	_, err = c.elb.CreateListener(ctx, &elb.CreateListenerInput{LoadBalancerArn: c.balancer(t, "alb").LoadBalancerArn, Port: aws.Int32(80), Protocol: "HTTP", DefaultActions: forward(c.networkGroup(t, "free", "TCP"))})
	wants(t, err, "IncompatibleProtocols", "HTTP")
}

// TestQUICListeners: they do not go with many things, and their targets have ids.
func TestQUICListeners(t *testing.T) {
	c := start(t)
	ctx := t.Context()
	b := *c.network(t, "quic").LoadBalancerArn
	quic, udp := c.networkGroup(t, "quic", "QUIC"), c.networkGroup(t, "udp", "UDP")
	c.networkListener(t, b, 443, "QUIC", quic)
	create := func(b string, port int32, p types.ProtocolEnum, g string) error {
		_, err := c.elb.CreateListener(ctx, &elb.CreateListenerInput{LoadBalancerArn: &b, Port: &port, Protocol: p, DefaultActions: forward(g)})
		return err
	}
	wants(t, create(b, 444, "QUIC", quic), "InvalidConfigurationRequest", "another one")
	wants(t, create(b, 53, "UDP", udp), "InvalidConfigurationRequest", "UDP")
	guarded := c.network(t, "guarded", func(in *elb.CreateLoadBalancerInput) { in.SecurityGroups = []string{localawstest.NodeGroup} })
	wants(t, create(*guarded.LoadBalancerArn, 443, "QUIC", c.networkGroup(t, "q2", "QUIC")), "InvalidConfigurationRequest", "security groups")
	register := func(g, id, server string) error {
		d := types.TargetDescription{Id: &id}
		if server != "" {
			d.QuicServerId = &server
		}
		_, err := c.elb.RegisterTargets(ctx, &elb.RegisterTargetsInput{TargetGroupArn: &g, Targets: []types.TargetDescription{d}})
		return err
	}
	wants(t, register(quic, "192.168.0.30", ""), "ValidationError", "QuicServerId")
	wants(t, register(quic, "192.168.0.30", "0x00"), "ValidationError", "16")
	wants(t, register(udp, "192.168.0.30", "0x0000000000000001"), "ValidationError", "UDP")
	if err := register(quic, "192.168.0.30", "0x00000000000000ab"); err != nil {
		t.Fatal(err)
	}
	wants(t, register(quic, "192.168.0.31", "0x00000000000000ab"), "InvalidTarget", "in use")
	wants(t, register(quic, "192.168.0.30", "0x00000000000000ac"), "InvalidTarget", "cannot be changed")
	out := must[*elb.DescribeTargetHealthOutput](t)(c.elb.DescribeTargetHealth(ctx, &elb.DescribeTargetHealthInput{TargetGroupArn: &quic}))
	if got := aws.ToString(out.TargetHealthDescriptions[0].Target.QuicServerId); got != "0x00000000000000ab" {
		t.Errorf("server id %s", got)
	}
	if got := c.Plane.Config().TargetGroups[0].Targets[0].QUICServer; got != "\x00\x00\x00\x00\x00\x00\x00\xab" {
		t.Errorf("data plane: %q", got)
	}
}

// TestBalancerAsTarget: an ALB behind an NLB.
func TestBalancerAsTarget(t *testing.T) {
	c := start(t)
	ctx := t.Context()
	alb := *c.balancer(t, "web").LoadBalancerArn
	group := c.networkGroup(t, "alb", "TCP", func(in *elb.CreateTargetGroupInput) { in.TargetType, in.Port = "alb", aws.Int32(listenPort) })
	register := func(id string, port *int32) error {
		_, err := c.elb.RegisterTargets(ctx, &elb.RegisterTargetsInput{TargetGroupArn: &group, Targets: []types.TargetDescription{{Id: &id, Port: port}}})
		return err
	}
	wants(t, register(alb, nil), "InvalidTarget", "no listener on the port")
	c.listener(t, alb, notFound())
	wants(t, register(alb, aws.Int32(81)), "InvalidTarget", "81")
	wants(t, register(*c.network(t, "nlb").LoadBalancerArn, nil), "InvalidTarget", "Application Load Balancer")
	wants(t, register("192.168.0.30", nil), "ValidationError", "alb")
	if err := register(alb, nil); err != nil {
		t.Fatal(err)
	}
	other := *c.balancer(t, "other").LoadBalancerArn
	c.listener(t, other, notFound())
	wants(t, register(other, nil), "TooManyTargets", "1")
	_, err := c.elb.DeleteLoadBalancer(ctx, &elb.DeleteLoadBalancerInput{LoadBalancerArn: &alb})
	wants(t, err, "ResourceInUse", group)
	c.networkListener(t, *c.network(t, "nlb").LoadBalancerArn, 80, "TCP", group)
	plane := c.Plane.Config()
	web := plane.LoadBalancers[0].Address
	if got := plane.TargetGroups[0].Targets; len(got) != 1 || got[0].Address != web || got[0].Port != listenPort {
		t.Errorf("data plane: %+v, want %s", got, web)
	}
	must[*elb.DeregisterTargetsOutput](t)(c.elb.DeregisterTargets(ctx, &elb.DeregisterTargetsInput{TargetGroupArn: &group, Targets: []types.TargetDescription{{Id: &alb}}}))
	must[*elb.DeleteLoadBalancerOutput](t)(c.elb.DeleteLoadBalancer(ctx, &elb.DeleteLoadBalancerInput{LoadBalancerArn: &alb}))
}

func TestNetworkTargetQuotas(t *testing.T) {
	c := start(t)
	b := *c.network(t, "nlb").LoadBalancerArn
	group := c.networkGroup(t, "g", "TCP")
	c.networkListener(t, b, 80, "TCP", group)
	for name, n := range map[string]int{"targets-per-network-load-balancer": 3, "targets-per-availability-zone-per-network-load-balancer": 2} {
		if err := c.SetQuota(name, n); err != nil {
			t.Fatal(err)
		}
	}
	register := func(id string) error {
		_, err := c.elb.RegisterTargets(t.Context(), &elb.RegisterTargetsInput{TargetGroupArn: &group, Targets: []types.TargetDescription{{Id: &id}}})
		return err
	}
	for _, id := range []string{"192.168.0.30", "192.168.0.31", "192.168.32.30"} {
		if err := register(id); err != nil {
			t.Fatal(err)
		}
	}
	wants(t, register("192.168.64.30"), "TooManyTargets", "load balancer has been reached: 3")
	if err := c.SetQuota("targets-per-network-load-balancer", 5); err != nil {
		t.Fatal(err)
	}
	wants(t, register("192.168.0.32"), "TooManyTargets", "Availability Zone")
}

func TestCapacity(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	c := start(t, localawstest.WithOptions(func(o *localaws.Options) { o.Now = func() time.Time { return now } }))
	b := c.network(t, "nlb", func(in *elb.CreateLoadBalancerInput) { in.Subnets = in.Subnets[:2] })
	modify := func(units int32) (*elb.ModifyCapacityReservationOutput, error) {
		return c.elb.ModifyCapacityReservation(t.Context(), &elb.ModifyCapacityReservationInput{
			LoadBalancerArn: b.LoadBalancerArn, MinimumLoadBalancerCapacity: &types.MinimumLoadBalancerCapacity{CapacityUnits: &units},
		})
	}
	_, err := modify(5499)
	wants(t, err, "ValidationError", "5500")
	_, err = modify(1_000_000)
	wants(t, err, "CapacityUnitsLimitExceeded", "")
	out := must[*elb.ModifyCapacityReservationOutput](t)(modify(8000))
	if len(out.CapacityReservationState) != 2 || *out.CapacityReservationState[0].EffectiveCapacityUnits != 4000 ||
		out.CapacityReservationState[0].State.Code != "provisioned" || *out.DecreaseRequestsRemaining != 2 || !out.LastModifiedTime.Equal(now) {
		t.Errorf("%+v", out)
	}
	must[*elb.ModifyCapacityReservationOutput](t)(modify(7000))
	must[*elb.ModifyCapacityReservationOutput](t)(modify(6000))
	_, err = modify(5500)
	wants(t, err, "CapacityDecreaseRequestLimitExceeded", "")
	now = now.Add(25 * time.Hour)
	must[*elb.ModifyCapacityReservationOutput](t)(modify(5500))
	must[*elb.ModifyCapacityReservationOutput](t)(c.elb.ModifyCapacityReservation(t.Context(), &elb.ModifyCapacityReservationInput{LoadBalancerArn: b.LoadBalancerArn, ResetCapacityReservation: aws.Bool(true)}))
	got := must[*elb.DescribeCapacityReservationOutput](t)(c.elb.DescribeCapacityReservation(t.Context(), &elb.DescribeCapacityReservationInput{LoadBalancerArn: b.LoadBalancerArn}))
	if got.MinimumLoadBalancerCapacity != nil || len(got.CapacityReservationState) != 0 {
		t.Errorf("after the reset: %+v", got)
	}
}

// TestNetworkNames: an address for each zone, zonal names, and zones without healthy targets left out, also by aliases
// and after a restart.
func TestNetworkNames(t *testing.T) {
	dir := t.TempDir()
	var c *clients
	var b types.LoadBalancer
	ask := func(name string) int {
		m := new(dns.Msg)
		m.SetQuestion(dns.Fqdn(name), dns.TypeA)
		in, err := dns.Exchange(m, c.DNSAddress())
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for _, rr := range in.Answer {
			seen[rr.(*dns.A).A.String()] = true
		}
		return len(seen)
	}
	t.Run("made", func(t *testing.T) {
		c = start(t, localawstest.WithOptions(func(o *localaws.Options) { o.DataDir, o.DNSAddress = dir, "127.0.0.1:0" }))
		b = c.network(t, "nlb")
		group := c.networkGroup(t, "g", "TCP", func(in *elb.CreateTargetGroupInput) { in.TargetType = "instance" })
		c.networkListener(t, *b.LoadBalancerArn, 80, "TCP", group)
		if got := ask(*b.DNSName); got != 3 {
			t.Errorf("without targets: %d addresses", got)
		}
		var targets []types.TargetDescription
		for _, id := range localawstest.Instances {
			targets = append(targets, types.TargetDescription{Id: &id})
		}
		must[*elb.RegisterTargetsOutput](t)(c.elb.RegisterTargets(t.Context(), &elb.RegisterTargetsInput{TargetGroupArn: &group, Targets: targets}))
		c.Plane.SetHealth(localawstest.Instances[1], "unhealthy", "Target.FailedHealthChecks", "Health checks failed")
		if got := ask(*b.DNSName); got != 2 {
			t.Errorf("a zone is down: %d addresses", got)
		}
		for _, zone := range localawstest.Zones {
			if got := ask(strings.ToUpper(zone) + "." + *b.DNSName); got != 1 {
				t.Errorf("zonal name of %s: %d addresses", zone, got)
			}
		}
		if ask("ap-northeast-1x."+*b.DNSName) != 0 {
			t.Error("a zone that the load balancer is not in has a name")
		}
		for _, id := range localawstest.Instances {
			c.Plane.SetHealth(id, "unhealthy", "Target.FailedHealthChecks", "Health checks failed")
		}
		if got := ask(*b.DNSName); got != 3 {
			t.Errorf("all zones are down: %d addresses", got)
		}
		must[*elb.ModifyLoadBalancerAttributesOutput](t)(c.elb.ModifyLoadBalancerAttributes(t.Context(), &elb.ModifyLoadBalancerAttributesInput{
			LoadBalancerArn: b.LoadBalancerArn, Attributes: []types.LoadBalancerAttribute{{Key: aws.String("load_balancing.cross_zone.enabled"), Value: aws.String("true")}},
		}))
		c.Plane.SetHealth(localawstest.Instances[0], "", "", "")
		if got := ask(*b.DNSName); got != 3 {
			t.Errorf("across zones: %d addresses", got)
		}
	})
	c = start(t, localawstest.WithOptions(func(o *localaws.Options) { o.DataDir, o.DNSAddress = dir, "127.0.0.1:0" }))
	if got := ask(*b.DNSName); got != 3 {
		t.Errorf("after a restart: %d addresses", got)
	}
	if p := c.Plane.Config().NetworkLoadBalancers; len(p) != 1 || len(p[0].Nodes) != 3 || len(p[0].Listeners) != 1 {
		t.Errorf("after a restart: %+v", p)
	}
}

// dualstackVPC is a VPC with two subnets that have IPv6 blocks.
func (c *clients) dualstackVPC(t testing.TB) (subnets, blocks []string) {
	t.Helper()
	ctx := t.Context()
	v := must[*ec2.CreateVpcOutput](t)(c.ec2.CreateVpc(ctx, &ec2.CreateVpcInput{CidrBlock: aws.String("10.0.0.0/16"), AmazonProvidedIpv6CidrBlock: aws.Bool(true)})).Vpc
	gateway := must[*ec2.CreateInternetGatewayOutput](t)(c.ec2.CreateInternetGateway(ctx, &ec2.CreateInternetGatewayInput{})).InternetGateway
	must[*ec2.AttachInternetGatewayOutput](t)(c.ec2.AttachInternetGateway(ctx, &ec2.AttachInternetGatewayInput{VpcId: v.VpcId, InternetGatewayId: gateway.InternetGatewayId}))
	whole := netip.MustParsePrefix(*v.Ipv6CidrBlockAssociationSet[0].Ipv6CidrBlock)
	for i := range 2 {
		a := whole.Addr().As16()
		a[7] = byte(i)
		block := netip.PrefixFrom(netip.AddrFrom16(a), 64).String()
		out := must[*ec2.CreateSubnetOutput](t)(c.ec2.CreateSubnet(ctx, &ec2.CreateSubnetInput{
			VpcId: v.VpcId, CidrBlock: aws.String(fmt.Sprintf("10.0.%d.0/24", i)), Ipv6CidrBlock: &block, AvailabilityZone: &localawstest.Zones[i],
		}))
		subnets, blocks = append(subnets, *out.Subnet.SubnetId), append(blocks, block)
	}
	_, err := c.ec2.CreateSubnet(ctx, &ec2.CreateSubnetInput{VpcId: v.VpcId, CidrBlock: aws.String("10.0.9.0/24"), Ipv6CidrBlock: &blocks[0]})
	if code(t, err) != "InvalidSubnet.Conflict" {
		t.Errorf("the same IPv6 block twice: %v", err)
	}
	_, err = c.ec2.CreateSubnet(ctx, &ec2.CreateSubnetInput{VpcId: v.VpcId, CidrBlock: aws.String("10.0.9.0/24"), Ipv6CidrBlock: aws.String("2001:db8::/64")})
	if code(t, err) != "InvalidSubnet.Range" {
		t.Errorf("another's IPv6 block: %v", err)
	}
	return subnets, blocks
}

// TestDualstack: addresses, prefixes that UDP needs, and the way back to ipv4.
func TestDualstack(t *testing.T) {
	c := start(t)
	ctx := t.Context()
	subnets, blocks := c.dualstackVPC(t)
	first := netip.MustParsePrefix(blocks[0]).Addr()
	address, prefix := first.Next().String(), netip.PrefixFrom(first, 80).String()
	dual := func(in *elb.CreateLoadBalancerInput) {
		in.Subnets, in.IpAddressType = nil, "dualstack"
		in.SubnetMappings = []types.SubnetMapping{{SubnetId: &subnets[0], IPv6Address: &address}, {SubnetId: &subnets[1]}}
	}
	for why, row := range map[string]struct {
		change       func(*elb.CreateLoadBalancerInput)
		code, phrase string
	}{
		"outside":      {func(in *elb.CreateLoadBalancerInput) { in.SubnetMappings[0].IPv6Address = aws.String("2001:db8::1") }, "InvalidConfigurationRequest", "range"},
		"prefix alone": {func(in *elb.CreateLoadBalancerInput) { in.SubnetMappings[0].SourceNatIpv6Prefix = &prefix }, "InvalidConfigurationRequest", "EnablePrefixForIpv6SourceNat"},
		"long prefix": {func(in *elb.CreateLoadBalancerInput) {
			in.EnablePrefixForIpv6SourceNat = "on"
			in.SubnetMappings[0].SourceNatIpv6Prefix = &blocks[0]
		}, "InvalidConfigurationRequest", "/80"},
		"no public ipv4": {func(in *elb.CreateLoadBalancerInput) { in.IpAddressType = "dualstack-without-public-ipv4" }, "InvalidConfigurationRequest", "network"},
		"alb": {func(in *elb.CreateLoadBalancerInput) {
			in.Type = "application"
			in.SubnetMappings, in.Subnets = nil, subnets
		}, "InvalidConfigurationRequest", "dualstack"},
	} {
		in := &elb.CreateLoadBalancerInput{Name: aws.String("bad"), Type: "network"}
		dual(in)
		row.change(in)
		_, err := c.elb.CreateLoadBalancer(ctx, in)
		t.Run(why, func(t *testing.T) { wants(t, err, row.code, row.phrase) })
	}
	b := c.network(t, "dual", dual)
	if b.IpAddressType != "dualstack" || *b.AvailabilityZones[0].LoadBalancerAddresses[0].IPv6Address != address || b.EnablePrefixForIpv6SourceNat != "off" {
		t.Errorf("%+v", b)
	}
	interfaces := func() (addresses []string) {
		out := must[*ec2.DescribeNetworkInterfacesOutput](t)(c.ec2.DescribeNetworkInterfaces(ctx, &ec2.DescribeNetworkInterfacesInput{Filters: filter("description", "ELB net/dual/*")}))
		for _, i := range out.NetworkInterfaces {
			for _, a := range i.Ipv6Addresses {
				addresses = append(addresses, *a.Ipv6Address)
			}
		}
		return addresses
	}
	if got := interfaces(); len(got) != 2 || got[0] != address || !netip.MustParsePrefix(blocks[1]).Contains(netip.MustParseAddr(got[1])) {
		t.Errorf("interfaces have %v", got)
	}
	udp := func() error {
		group := must[*elb.CreateTargetGroupOutput](t)(c.elb.CreateTargetGroup(ctx, &elb.CreateTargetGroupInput{Name: aws.String("udp"), Protocol: "UDP", Port: aws.Int32(53), VpcId: b.VpcId, TargetType: "ip", IpAddressType: "ipv6"}))
		_, err := c.elb.CreateListener(ctx, &elb.CreateListenerInput{LoadBalancerArn: b.LoadBalancerArn, Port: aws.Int32(53), Protocol: "UDP", DefaultActions: forward(*group.TargetGroups[0].TargetGroupArn)})
		return err
	}
	wants(t, udp(), "InvalidConfigurationRequest", "EnablePrefixForIpv6SourceNat")
	out := must[*elb.SetSubnetsOutput](t)(c.elb.SetSubnets(ctx, &elb.SetSubnetsInput{
		LoadBalancerArn: b.LoadBalancerArn, EnablePrefixForIpv6SourceNat: "on",
		SubnetMappings: []types.SubnetMapping{{SubnetId: &subnets[0], SourceNatIpv6Prefix: &prefix}, {SubnetId: &subnets[1], SourceNatIpv6Prefix: aws.String("auto_assigned")}},
	}))
	given := out.AvailabilityZones[1].SourceNatIpv6Prefixes
	if out.EnablePrefixForIpv6SourceNat != "on" || !slices.Equal(out.AvailabilityZones[0].SourceNatIpv6Prefixes, []string{prefix}) || len(given) != 1 ||
		!netip.MustParsePrefix(blocks[1]).Contains(netip.MustParsePrefix(given[0]).Addr()) {
		t.Errorf("%+v", out)
	}
	if err := udp(); err != nil {
		t.Fatal(err)
	}
	_, err := c.elb.SetIpAddressType(ctx, &elb.SetIpAddressTypeInput{LoadBalancerArn: b.LoadBalancerArn, IpAddressType: "ipv4"})
	wants(t, err, "InvalidConfigurationRequest", "ipv6")
	listeners := must[*elb.DescribeListenersOutput](t)(c.elb.DescribeListeners(ctx, &elb.DescribeListenersInput{LoadBalancerArn: b.LoadBalancerArn})).Listeners
	must[*elb.DeleteListenerOutput](t)(c.elb.DeleteListener(ctx, &elb.DeleteListenerInput{ListenerArn: listeners[0].ListenerArn}))
	must[*elb.SetIpAddressTypeOutput](t)(c.elb.SetIpAddressType(ctx, &elb.SetIpAddressTypeInput{LoadBalancerArn: b.LoadBalancerArn, IpAddressType: "ipv4"}))
	after := must[*elb.DescribeLoadBalancersOutput](t)(c.elb.DescribeLoadBalancers(ctx, &elb.DescribeLoadBalancersInput{LoadBalancerArns: []string{*b.LoadBalancerArn}})).LoadBalancers[0]
	if after.IpAddressType != "ipv4" || len(after.AvailabilityZones[0].LoadBalancerAddresses) != 0 || after.EnablePrefixForIpv6SourceNat != "off" ||
		len(after.AvailabilityZones[0].SourceNatIpv6Prefixes) != 0 || len(interfaces()) != 0 {
		t.Errorf("ipv4 again: %+v, %v", after, interfaces())
	}
}

// TestDualstackSeed: IPv6 blocks that exist from the start.
func TestDualstackSeed(t *testing.T) {
	seed := localawstest.Standard()
	seed.VPCs[0].IPv6 = "2600:1f14:aa:bb00::/56"
	for i := range localawstest.PublicSubnets {
		seed.Subnets[2*i].IPv6 = fmt.Sprintf("2600:1f14:aa:bb%02x::/64", i)
	}
	c := start(t, localawstest.WithOptions(func(o *localaws.Options) { o.Seed = seed }))
	b := c.network(t, "dual", func(in *elb.CreateLoadBalancerInput) {
		in.IpAddressType, in.EnablePrefixForIpv6SourceNat = "dualstack", "on"
	})
	if len(b.AvailabilityZones[2].SourceNatIpv6Prefixes) != 1 || !strings.HasPrefix(b.AvailabilityZones[2].SourceNatIpv6Prefixes[0], "2600:1f14:aa:bb02:") {
		t.Errorf("%+v", b.AvailabilityZones)
	}
}
