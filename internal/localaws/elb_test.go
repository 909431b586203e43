package localaws_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sluicehq/sluice/internal/localaws"
	"github.com/sluicehq/sluice/internal/localaws/localawstest"
)

var ignoreUnexported = cmpopts.IgnoreUnexported(
	types.Action{}, types.ForwardActionConfig{}, types.TargetGroupTuple{}, types.TargetGroupStickinessConfig{},
	types.RedirectActionConfig{}, types.FixedResponseActionConfig{}, types.RuleCondition{}, types.HostHeaderConditionConfig{},
	types.PathPatternConditionConfig{}, types.Rule{},
)

// wants checks an error code and a part of its message.
func wants(t *testing.T, err error, wanted, words string) {
	t.Helper()
	if got := code(t, err); got != wanted || !strings.Contains(fmt.Sprint(err), words) {
		t.Errorf("got %v, want %s: … %s", err, wanted, words)
	}
}

func TestCreateLoadBalancer(t *testing.T) {
	c := start(t)
	first := c.balancer(t, "web")
	arn := *first.LoadBalancerArn
	prefix := "arn:aws:elasticloadbalancing:ap-northeast-1:123456789012:loadbalancer/app/web/"
	if !strings.HasPrefix(arn, prefix) || len(arn) != len(prefix)+16 {
		t.Errorf("ARN %s", arn)
	}
	if name := *first.DNSName; !strings.HasPrefix(name, "web-") || !strings.HasSuffix(name, ".ap-northeast-1.elb.amazonaws.com") {
		t.Errorf("name %s", name)
	}
	if *first.CanonicalHostedZoneId != "Z14GRHDCWA56QT" || first.State.Code != types.LoadBalancerStateEnumActive ||
		len(first.AvailabilityZones) != 3 || len(first.SecurityGroups) != 1 || first.IpAddressType != types.IpAddressTypeIpv4 {
		t.Errorf("%+v", first)
	}
	if again := c.balancer(t, "web"); *again.LoadBalancerArn != arn {
		t.Error("the same request made another load balancer")
	}
	public := localawstest.PublicSubnets[:]
	for _, row := range []struct {
		why    string
		in     elb.CreateLoadBalancerInput
		code   string
		phrase string
	}{
		{"other settings", elb.CreateLoadBalancerInput{Name: aws.String("web"), Subnets: public, Scheme: "internal"}, "DuplicateLoadBalancerName", "different settings"},
		{"long name", elb.CreateLoadBalancerInput{Name: aws.String(strings.Repeat("a", 33)), Subnets: public}, "ValidationError", "32"},
		{"bad name", elb.CreateLoadBalancerInput{Name: aws.String("a_b"), Subnets: public}, "ValidationError", "alphanumeric"},
		{"hyphen", elb.CreateLoadBalancerInput{Name: aws.String("a-"), Subnets: public}, "ValidationError", "begin or end"},
		{"internal-", elb.CreateLoadBalancerInput{Name: aws.String("internal-a"), Subnets: public}, "ValidationError", "internal-"},
		{"no subnets", elb.CreateLoadBalancerInput{Name: aws.String("a")}, "ValidationError", "two subnets"},
		{"one zone", elb.CreateLoadBalancerInput{Name: aws.String("a"), Subnets: public[:1]}, "ValidationError", "two subnets"},
		{"zone twice", elb.CreateLoadBalancerInput{Name: aws.String("a"), Subnets: []string{public[0], localawstest.PrivateSubnets[0]}}, "InvalidConfigurationRequest", "same Availability Zone"},
		{"no such subnet", elb.CreateLoadBalancerInput{Name: aws.String("a"), Subnets: []string{public[0], "subnet-0123456789abcdef0"}}, "SubnetNotFound", "subnet-0123456789abcdef0"},
		{"no such group", elb.CreateLoadBalancerInput{Name: aws.String("a"), Subnets: public, SecurityGroups: []string{"sg-0123456789abcdef0"}}, "InvalidSecurityGroup", "sg-0123456789abcdef0"},
		{"gateway", elb.CreateLoadBalancerInput{Name: aws.String("a"), Subnets: public, Type: "gateway"}, "InvalidConfigurationRequest", "not supported by this version"},
		{"bad type", elb.CreateLoadBalancerInput{Name: aws.String("a"), Subnets: public, Type: "classic"}, "ValidationError", "enum value set"},
		{"dualstack", elb.CreateLoadBalancerInput{Name: aws.String("a"), Subnets: public, IpAddressType: "dualstack"}, "InvalidSubnet", "IPv6"},
		{"tag twice", elb.CreateLoadBalancerInput{Name: aws.String("a"), Subnets: public, Tags: []types.Tag{{Key: aws.String("k")}, {Key: aws.String("k")}}}, "DuplicateTagKeys", "k"},
		{"reserved tag", elb.CreateLoadBalancerInput{Name: aws.String("a"), Subnets: public, Tags: []types.Tag{{Key: aws.String("aws:k")}}}, "ValidationError", "aws:"},
	} {
		_, err := c.elb.CreateLoadBalancer(t.Context(), &row.in)
		t.Run(row.why, func(t *testing.T) { wants(t, err, row.code, row.phrase) })
	}
	if err := c.SetQuota("application-load-balancers", 1); err != nil {
		t.Fatal(err)
	}
	_, err := c.elb.CreateLoadBalancer(t.Context(), &elb.CreateLoadBalancerInput{Name: aws.String("b"), Subnets: public})
	wants(t, err, "TooManyLoadBalancers", "")
	out := must[*elb.DescribeLoadBalancersOutput](t)(c.elb.DescribeLoadBalancers(t.Context(), &elb.DescribeLoadBalancersInput{}))
	if len(out.LoadBalancers) != 1 {
		t.Errorf("refused calls left %d load balancers", len(out.LoadBalancers))
	}
}

func TestDeleteLoadBalancer(t *testing.T) {
	c := start(t)
	ctx := t.Context()
	b := c.balancer(t, "web")
	l := c.listener(t, *b.LoadBalancerArn, notFound())
	group := c.group(t, "g")
	rule := c.rule(t, l, 1, path("/"), forward(group))
	protect := func(v string) {
		must[*elb.ModifyLoadBalancerAttributesOutput](t)(c.elb.ModifyLoadBalancerAttributes(ctx, &elb.ModifyLoadBalancerAttributesInput{
			LoadBalancerArn: b.LoadBalancerArn,
			Attributes:      []types.LoadBalancerAttribute{{Key: aws.String("deletion_protection.enabled"), Value: &v}},
		}))
	}
	_, err := c.elb.DeleteTargetGroup(ctx, &elb.DeleteTargetGroupInput{TargetGroupArn: &group})
	wants(t, err, "ResourceInUse", "is currently in use by a listener or a rule")
	protect("true")
	_, err = c.elb.DeleteLoadBalancer(ctx, &elb.DeleteLoadBalancerInput{LoadBalancerArn: b.LoadBalancerArn})
	wants(t, err, "OperationNotPermitted", "deletion protection")
	protect("false")
	for range 2 { // deleting what is gone succeeds
		must[*elb.DeleteLoadBalancerOutput](t)(c.elb.DeleteLoadBalancer(ctx, &elb.DeleteLoadBalancerInput{LoadBalancerArn: b.LoadBalancerArn}))
		must[*elb.DeleteTargetGroupOutput](t)(c.elb.DeleteTargetGroup(ctx, &elb.DeleteTargetGroupInput{TargetGroupArn: &group}))
	}
	_, err = c.elb.DescribeLoadBalancers(ctx, &elb.DescribeLoadBalancersInput{Names: []string{"web"}})
	wants(t, err, "LoadBalancerNotFound", "web")
	_, err = c.elb.DescribeListeners(ctx, &elb.DescribeListenersInput{ListenerArns: []string{l}})
	wants(t, err, "ListenerNotFound", "")
	_, err = c.elb.DescribeRules(ctx, &elb.DescribeRulesInput{RuleArns: []string{rule}})
	wants(t, err, "RuleNotFound", "")
	_, err = c.elb.DescribeTags(ctx, &elb.DescribeTagsInput{ResourceArns: []string{group}})
	wants(t, err, "TargetGroupNotFound", "")
	enis := must[*ec2.DescribeNetworkInterfacesOutput](t)(c.ec2.DescribeNetworkInterfaces(ctx, &ec2.DescribeNetworkInterfacesInput{}))
	if len(enis.NetworkInterfaces) != len(localawstest.Instances) {
		t.Errorf("%d network interfaces are left", len(enis.NetworkInterfaces))
	}
	if got := c.Plane.Config(); len(got.LoadBalancers)+len(got.TargetGroups) != 0 {
		t.Errorf("the data plane still has %+v", got)
	}
}

func TestListeners(t *testing.T) {
	c := start(t)
	ctx := t.Context()
	arn := *c.balancer(t, "web").LoadBalancerArn
	l := c.listener(t, arn, notFound())
	if again := c.listener(t, arn, notFound()); again != l {
		t.Error("the same request made another listener")
	}
	for why, row := range map[string]struct {
		in           elb.CreateListenerInput
		code, phrase string
	}{
		"port in use":    {elb.CreateListenerInput{Port: aws.Int32(listenPort), Protocol: "HTTP", DefaultActions: forward(c.group(t, "g"))}, "DuplicateListener", ""},
		"no certificate": {elb.CreateListenerInput{Port: aws.Int32(443), Protocol: "HTTPS", DefaultActions: notFound()}, "ValidationError", "certificate"},
		"https": {elb.CreateListenerInput{Port: aws.Int32(443), Protocol: "HTTPS", DefaultActions: notFound(), Certificates: []types.Certificate{{
			CertificateArn: aws.String("arn:aws:acm:ap-northeast-1:123456789012:certificate/x"),
		}}}, "CertificateNotFound", "certificate/x"},
		"tcp":        {elb.CreateListenerInput{Port: aws.Int32(81), Protocol: "TCP", DefaultActions: notFound()}, "UnsupportedProtocol", "TCP"},
		"no port":    {elb.CreateListenerInput{Protocol: "HTTP", DefaultActions: notFound()}, "ValidationError", "port"},
		"no group":   {elb.CreateListenerInput{Port: aws.Int32(81), Protocol: "HTTP", DefaultActions: forward("arn:aws:elasticloadbalancing:ap-northeast-1:123456789012:targetgroup/x/0123456789abcdef")}, "TargetGroupNotFound", ""},
		"bad group":  {elb.CreateListenerInput{Port: aws.Int32(81), Protocol: "HTTP", DefaultActions: forward("x")}, "ValidationError", "target group ARN"},
		"no actions": {elb.CreateListenerInput{Port: aws.Int32(81), Protocol: "HTTP", DefaultActions: []types.Action{}}, "ValidationError", "Actions"},
		"policy":     {elb.CreateListenerInput{Port: aws.Int32(81), Protocol: "HTTP", DefaultActions: notFound(), SslPolicy: aws.String("ELBSecurityPolicy-2016-08")}, "InvalidConfigurationRequest", "SSL policy"},
	} {
		row.in.LoadBalancerArn = &arn
		_, err := c.elb.CreateListener(ctx, &row.in)
		t.Run(why, func(t *testing.T) { wants(t, err, row.code, row.phrase) })
	}
	_, err := c.elb.DescribeListeners(ctx, &elb.DescribeListenersInput{})
	wants(t, err, "ValidationError", "")
	group := c.group(t, "h")
	must[*elb.ModifyListenerOutput](t)(c.elb.ModifyListener(ctx, &elb.ModifyListenerInput{ListenerArn: &l, Port: aws.Int32(8080), DefaultActions: forward(group)}))
	rules := must[*elb.DescribeRulesOutput](t)(c.elb.DescribeRules(ctx, &elb.DescribeRulesInput{ListenerArn: &l}))
	if len(rules.Rules) != 1 || *rules.Rules[0].Priority != "default" || *rules.Rules[0].Actions[0].TargetGroupArn != group {
		t.Errorf("default rule: %+v", rules.Rules)
	}
	groups := must[*elb.DescribeTargetGroupsOutput](t)(c.elb.DescribeTargetGroups(ctx, &elb.DescribeTargetGroupsInput{LoadBalancerArn: &arn}))
	if len(groups.TargetGroups) != 1 || !cmp.Equal(groups.TargetGroups[0].LoadBalancerArns, []string{arn}) {
		t.Errorf("groups: %+v", groups.TargetGroups)
	}
	other := *c.balancer(t, "other").LoadBalancerArn
	_, err = c.elb.CreateListener(ctx, &elb.CreateListenerInput{LoadBalancerArn: &other, Port: aws.Int32(80), Protocol: "HTTP", DefaultActions: forward(group)})
	wants(t, err, "TargetGroupAssociationLimit", group)
	certificates := must[*elb.DescribeListenerCertificatesOutput](t)(c.elb.DescribeListenerCertificates(ctx, &elb.DescribeListenerCertificatesInput{ListenerArn: &l}))
	if len(certificates.Certificates) != 0 {
		t.Error("certificates on an HTTP listener")
	}
}

// TestActionEcho: what Describe shows of an action, which clients compare with what they asked for.
func TestActionEcho(t *testing.T) {
	c := start(t)
	l := c.listener(t, *c.balancer(t, "web").LoadBalancerArn, notFound())
	g, h := c.group(t, "g"), c.group(t, "h")
	one := aws.Int32(1)
	off := &types.TargetGroupStickinessConfig{Enabled: aws.Bool(false)}
	both := []types.TargetGroupTuple{{TargetGroupArn: &g, Weight: aws.Int32(3)}, {TargetGroupArn: &h, Weight: aws.Int32(0)}}
	for i, row := range []struct{ in, want types.Action }{
		{
			types.Action{Type: "forward", TargetGroupArn: &g},
			types.Action{Type: "forward", Order: one, TargetGroupArn: &g, ForwardConfig: &types.ForwardActionConfig{
				TargetGroups: []types.TargetGroupTuple{{TargetGroupArn: &g, Weight: one}}, TargetGroupStickinessConfig: off,
			}},
		},
		{
			types.Action{Type: "forward", ForwardConfig: &types.ForwardActionConfig{TargetGroups: both}},
			types.Action{Type: "forward", Order: one, ForwardConfig: &types.ForwardActionConfig{TargetGroups: both, TargetGroupStickinessConfig: off}},
		},
		{
			types.Action{Type: "redirect", RedirectConfig: &types.RedirectActionConfig{StatusCode: "HTTP_301", Protocol: aws.String("HTTPS")}},
			types.Action{Type: "redirect", Order: one, RedirectConfig: &types.RedirectActionConfig{
				StatusCode: "HTTP_301", Protocol: aws.String("HTTPS"), Host: aws.String("#{host}"), Port: aws.String("#{port}"),
				Path: aws.String("/#{path}"), Query: aws.String("#{query}"),
			}},
		},
	} {
		arn := c.rule(t, l, int32(i+1), path("/"), []types.Action{row.in})
		out := must[*elb.DescribeRulesOutput](t)(c.elb.DescribeRules(t.Context(), &elb.DescribeRulesInput{RuleArns: []string{arn}}))
		if diff := cmp.Diff([]types.Action{row.want}, out.Rules[0].Actions, ignoreUnexported); diff != "" {
			t.Error(diff)
		}
		wantCondition := []types.RuleCondition{{Field: aws.String("path-pattern"), Values: []string{"/"}, PathPatternConfig: &types.PathPatternConditionConfig{Values: []string{"/"}}}}
		if diff := cmp.Diff(wantCondition, out.Rules[0].Conditions, ignoreUnexported); diff != "" {
			t.Error(diff)
		}
	}
}

func TestRuleValidation(t *testing.T) {
	c := start(t)
	l := c.listener(t, *c.balancer(t, "web").LoadBalancerArn, notFound())
	g := c.group(t, "g")
	redirect := func(change func(*types.RedirectActionConfig)) []types.Action {
		r := &types.RedirectActionConfig{StatusCode: "HTTP_302"}
		change(r)
		return []types.Action{{Type: "redirect", RedirectConfig: r}}
	}
	fixed := func(change func(*types.FixedResponseActionConfig)) []types.Action {
		f := &types.FixedResponseActionConfig{StatusCode: aws.String("200")}
		change(f)
		return []types.Action{{Type: "fixed-response", FixedResponseConfig: f}}
	}
	host := func(values ...string) []types.RuleCondition {
		return []types.RuleCondition{{Field: aws.String("host-header"), Values: values}}
	}
	for why, row := range map[string]struct {
		conditions   []types.RuleCondition
		actions      []types.Action
		code, phrase string
	}{
		"no conditions":       {[]types.RuleCondition{}, forward(g), "ValidationError", "condition"},
		"unknown field":       {[]types.RuleCondition{{Field: aws.String("cookie"), Values: []string{"a"}}}, forward(g), "ValidationError", "cookie"},
		"no values":           {host(), forward(g), "ValidationError", "exactly one"},
		"both forms":          {[]types.RuleCondition{{Field: aws.String("host-header"), Values: []string{"a"}, HostHeaderConfig: &types.HostHeaderConditionConfig{Values: []string{"a"}}}}, forward(g), "ValidationError", "exactly one"},
		"other's config":      {[]types.RuleCondition{{Field: aws.String("host-header"), PathPatternConfig: &types.PathPatternConditionConfig{Values: []string{"/"}}}}, forward(g), "ValidationError", "does not belong"},
		"six values":          {path("/1", "/2", "/3", "/4", "/5", "/6"), forward(g), "ValidationError", "condition values"},
		"seven wildcards":     {path("/*/*/*/*/*/*/*"), forward(g), "InvalidConfigurationRequest", "wildcards"},
		"long value":          {path("/" + strings.Repeat("a", 128)), forward(g), "ValidationError", "128"},
		"bad host":            {host("a b"), forward(g), "ValidationError", "a b"},
		"bad path":            {path("/ü"), forward(g), "ValidationError", "path-pattern"},
		"two hosts":           {append(host("a.example"), host("b.example")...), forward(g), "ValidationError", "only one"},
		"bad method":          {[]types.RuleCondition{{Field: aws.String("http-request-method"), HttpRequestMethodConfig: &types.HttpRequestMethodConditionConfig{Values: []string{"get"}}}}, forward(g), "ValidationError", "get"},
		"bad source":          {[]types.RuleCondition{{Field: aws.String("source-ip"), SourceIpConfig: &types.SourceIpConditionConfig{Values: []string{"10.0.0.1"}}}}, forward(g), "ValidationError", "10.0.0.1"},
		"host as header":      {[]types.RuleCondition{{Field: aws.String("http-header"), HttpHeaderConfig: &types.HttpHeaderConditionConfig{HttpHeaderName: aws.String("Host"), Values: []string{"a"}}}}, forward(g), "ValidationError", "Host"},
		"query without value": {[]types.RuleCondition{{Field: aws.String("query-string"), QueryStringConfig: &types.QueryStringConditionConfig{Values: []types.QueryStringKeyValuePair{{Key: aws.String("a")}}}}}, forward(g), "ValidationError", "query-string"},
		"regex":               {pathRegex("^/(a"), forward(g), "ValidationError", "^/(a"},
		"look-ahead":          {pathRegex("^/(?!a)"), forward(g), "ValidationError", "regular expression"},
		"property class":      {pathRegex(`\p{Greek}`), forward(g), "ValidationError", "not supported"},
		"long regex":          {pathRegex(strings.Repeat("a", 129)), forward(g), "ValidationError", "128"},
		"six regexes":         {pathRegex("1", "2", "3", "4", "5", "6"), forward(g), "ValidationError", "5"},
		"values and regexes":  {[]types.RuleCondition{{Field: aws.String("path-pattern"), Values: []string{"/a"}, RegexValues: []string{"/b"}}}, forward(g), "ValidationError", "not both"},
		"regex for a query":   {[]types.RuleCondition{{Field: aws.String("query-string"), RegexValues: []string{"a"}}}, forward(g), "ValidationError", "query-string"},
		"sign-in":             {path("/"), append([]types.Action{{Type: "authenticate-cognito"}}, forward(g)...), "InvalidLoadBalancerAction", "HTTPS"},
		"two actions":         {path("/"), append(forward(g), forward(g)...), "InvalidLoadBalancerAction", "only one"},
		"no target group":     {path("/"), []types.Action{{Type: "forward"}}, "InvalidLoadBalancerAction", "target group"},
		"weight":              {path("/"), []types.Action{{Type: "forward", ForwardConfig: &types.ForwardActionConfig{TargetGroups: []types.TargetGroupTuple{{TargetGroupArn: &g, Weight: aws.Int32(1000)}}}}}, "ValidationError", "999"},
		"wrong config":        {path("/"), []types.Action{{Type: "redirect", TargetGroupArn: &g}}, "InvalidLoadBalancerAction", "TargetGroupArn"},
		"loop":                {path("/"), redirect(func(*types.RedirectActionConfig) {}), "InvalidLoadBalancerAction", "loop"},
		"redirect port":       {path("/"), redirect(func(r *types.RedirectActionConfig) { r.Port = aws.String("0") }), "InvalidLoadBalancerAction", "port"},
		"redirect path":       {path("/"), redirect(func(r *types.RedirectActionConfig) { r.Path = aws.String("a") }), "InvalidLoadBalancerAction", "path"},
		"placeholder":         {path("/"), redirect(func(r *types.RedirectActionConfig) { r.Path = aws.String("/#{uri}") }), "InvalidLoadBalancerAction", "uri"},
		"redirect protocol":   {path("/"), redirect(func(r *types.RedirectActionConfig) { r.Protocol = aws.String("FTP") }), "ValidationError", "redirectConfig.protocol"},
		"status":              {path("/"), fixed(func(f *types.FixedResponseActionConfig) { f.StatusCode = aws.String("302") }), "ValidationError", "statusCode"},
		"body":                {path("/"), fixed(func(f *types.FixedResponseActionConfig) { f.MessageBody = aws.String(strings.Repeat("a", 1025)) }), "ValidationError", "1024"},
		"content type":        {path("/"), fixed(func(f *types.FixedResponseActionConfig) { f.ContentType = aws.String("text/xml") }), "ValidationError", "text/xml"},
	} {
		_, err := c.elb.CreateRule(t.Context(), &elb.CreateRuleInput{ListenerArn: &l, Priority: aws.Int32(1), Conditions: row.conditions, Actions: row.actions})
		t.Run(why, func(t *testing.T) { wants(t, err, row.code, row.phrase) })
	}
	if got := c.Calls()["elasticloadbalancing:CreateRule"]; got < 20 {
		t.Errorf("%d calls were counted", got)
	}
}

func TestRulePriorities(t *testing.T) {
	c := start(t)
	ctx := t.Context()
	l := c.listener(t, *c.balancer(t, "web").LoadBalancerArn, notFound())
	a, b, d := c.rule(t, l, 1, path("/a"), notFound()), c.rule(t, l, 2, path("/b"), notFound()), c.rule(t, l, 3, path("/d"), notFound())
	_, err := c.elb.CreateRule(ctx, &elb.CreateRuleInput{ListenerArn: &l, Priority: aws.Int32(1), Conditions: path("/"), Actions: notFound()})
	wants(t, err, "PriorityInUse", "1")
	set := func(pairs ...any) error {
		in := &elb.SetRulePrioritiesInput{}
		for i := 0; i < len(pairs); i += 2 {
			in.RulePriorities = append(in.RulePriorities, types.RulePriorityPair{RuleArn: aws.String(pairs[i].(string)), Priority: aws.Int32(int32(pairs[i+1].(int)))})
		}
		_, err := c.elb.SetRulePriorities(ctx, in)
		return err
	}
	if err := set(a, 2, b, 1); err != nil {
		t.Fatal(err)
	}
	wants(t, set(a, 3), "PriorityInUse", "3")
	wants(t, set(a, 7, b, 7), "PriorityInUse", "7")
	wants(t, set(a, 50001), "ValidationError", "50000")
	rules := must[*elb.DescribeRulesOutput](t)(c.elb.DescribeRules(ctx, &elb.DescribeRulesInput{ListenerArn: &l}))
	var got []string
	for _, r := range rules.Rules {
		got = append(got, *r.RuleArn+" "+*r.Priority)
	}
	fallback := *rules.Rules[3].RuleArn
	if diff := cmp.Diff([]string{b + " 1", a + " 2", d + " 3", fallback + " default"}, got); diff != "" {
		t.Error(diff)
	}
	wants(t, set(fallback, 9), "OperationNotPermitted", "default")
	_, err = c.elb.DeleteRule(ctx, &elb.DeleteRuleInput{RuleArn: &fallback})
	wants(t, err, "OperationNotPermitted", "efault")
	_, err = c.elb.ModifyRule(ctx, &elb.ModifyRuleInput{RuleArn: &fallback, Actions: notFound()})
	wants(t, err, "OperationNotPermitted", "efault")
	if err := c.SetQuota("rules-per-application-load-balancer", 3); err != nil {
		t.Fatal(err)
	}
	_, err = c.elb.CreateRule(ctx, &elb.CreateRuleInput{ListenerArn: &l, Priority: aws.Int32(9), Conditions: path("/"), Actions: notFound()})
	wants(t, err, "TooManyRules", "3")
	// The data plane tries them in the order of their priorities.
	if plane := c.Plane.Config().LoadBalancers[0].Listeners[0].Rules; string(plane[0].ID) != b || string(plane[1].ID) != a {
		t.Errorf("data plane: %+v", plane)
	}
}

func TestTargetGroups(t *testing.T) {
	c := start(t)
	ctx := t.Context()
	g := c.group(t, "g")
	if again := c.group(t, "g"); again != g {
		t.Error("the same request made another target group")
	}
	for why, row := range map[string]struct {
		change       func(*elb.CreateTargetGroupInput)
		code, phrase string
	}{
		"other settings":  {func(in *elb.CreateTargetGroupInput) { in.Port = aws.Int32(81) }, "DuplicateTargetGroupName", ""},
		"no vpc":          {func(in *elb.CreateTargetGroupInput) { in.VpcId = nil }, "ValidationError", "VPC"},
		"unknown vpc":     {func(in *elb.CreateTargetGroupInput) { in.VpcId = aws.String("vpc-0123456789abcdef0") }, "ValidationError", "vpc-0123456789abcdef0"},
		"no protocol":     {func(in *elb.CreateTargetGroupInput) { in.Protocol = "" }, "ValidationError", "protocol"},
		"geneve":          {func(in *elb.CreateTargetGroupInput) { in.Protocol = "GENEVE" }, "InvalidConfigurationRequest", "GENEVE"},
		"lambda":          {func(in *elb.CreateTargetGroupInput) { in.TargetType = "lambda" }, "InvalidConfigurationRequest", "lambda"},
		"timeout":         {func(in *elb.CreateTargetGroupInput) { in.HealthCheckTimeoutSeconds = aws.Int32(31) }, "ValidationError", "interval"},
		"matcher":         {func(in *elb.CreateTargetGroupInput) { in.Matcher = &types.Matcher{HttpCode: aws.String("200-500")} }, "ValidationError", "200-499"},
		"check path":      {func(in *elb.CreateTargetGroupInput) { in.HealthCheckPath = aws.String("health") }, "ValidationError", "start with"},
		"check port":      {func(in *elb.CreateTargetGroupInput) { in.HealthCheckPort = aws.String("http") }, "ValidationError", "traffic-port"},
		"check protocol":  {func(in *elb.CreateTargetGroupInput) { in.HealthCheckProtocol = "TCP" }, "InvalidConfigurationRequest", "TCP"},
		"no checks":       {func(in *elb.CreateTargetGroupInput) { in.HealthCheckEnabled = aws.Bool(false) }, "ValidationError", "enabled"},
		"protocol verson": {func(in *elb.CreateTargetGroupInput) { in.ProtocolVersion = aws.String("HTTP3") }, "ValidationError", "HTTP3"},
	} {
		in := &elb.CreateTargetGroupInput{Name: aws.String("g"), Protocol: "HTTP", Port: aws.Int32(80), VpcId: aws.String(localawstest.VPC), TargetType: "ip"}
		row.change(in)
		_, err := c.elb.CreateTargetGroup(ctx, in)
		t.Run(why, func(t *testing.T) { wants(t, err, row.code, row.phrase) })
	}
	out := must[*elb.ModifyTargetGroupOutput](t)(c.elb.ModifyTargetGroup(ctx, &elb.ModifyTargetGroupInput{
		TargetGroupArn: &g, HealthCheckPath: aws.String("/up"), HealthyThresholdCount: aws.Int32(2), Matcher: &types.Matcher{HttpCode: aws.String("200,204")},
	}))
	if w := out.TargetGroups[0]; *w.HealthCheckPath != "/up" || *w.HealthyThresholdCount != 2 || *w.Matcher.HttpCode != "200,204" || *w.HealthCheckIntervalSeconds != 30 {
		t.Errorf("%+v", w)
	}
}

func TestTargets(t *testing.T) {
	c := start(t, localawstest.WithOptions(func(o *localaws.Options) { o.Profile.StrictTargets = true }))
	ctx := t.Context()
	g := c.group(t, "ips")
	instances := c.group(t, "instances", func(in *elb.CreateTargetGroupInput) { in.TargetType = "instance" })
	register := func(group, id string, zone ...string) error {
		d := types.TargetDescription{Id: &id}
		if len(zone) > 0 {
			d.AvailabilityZone = &zone[0]
		}
		_, err := c.elb.RegisterTargets(ctx, &elb.RegisterTargetsInput{TargetGroupArn: &group, Targets: []types.TargetDescription{d}})
		return err
	}
	wants(t, register(g, localawstest.Instances[0]), "ValidationError", "target type 'ip'")
	wants(t, register(instances, "192.168.97.5"), "ValidationError", "target type 'instance'")
	wants(t, register(instances, "i-0123456789abcdef0"), "InvalidTarget", "i-0123456789abcdef0")
	wants(t, register(g, "10.1.2.3"), "ValidationError", "you must specify an Availability Zone")
	wants(t, register(g, "8.8.8.8", "all"), "InvalidTarget", "8.8.8.8")
	wants(t, register(g, "127.0.0.1", "all"), "InvalidTarget", "127.0.0.1")
	for _, err := range []error{
		register(g, "10.1.2.3", "all"), register(g, "192.168.97.5"), register(g, "192.168.97.5"), register(instances, localawstest.Instances[0]),
	} {
		if err != nil {
			t.Error(err)
		}
	}
	states := func(group string, asked ...types.TargetDescription) []string {
		out := must[*elb.DescribeTargetHealthOutput](t)(c.elb.DescribeTargetHealth(ctx, &elb.DescribeTargetHealthInput{TargetGroupArn: &group, Targets: asked}))
		var got []string
		for _, d := range out.TargetHealthDescriptions {
			got = append(got, fmt.Sprintf("%s:%d %s check=%s %s%s", *d.Target.Id, *d.Target.Port, aws.ToString(d.Target.AvailabilityZone), *d.HealthCheckPort, d.TargetHealth.State, d.TargetHealth.Reason))
		}
		return got
	}
	want := []string{"10.1.2.3:80 all check=80 unusedTarget.NotInUse", "192.168.97.5:80 ap-northeast-1a check=80 unusedTarget.NotInUse"}
	if diff := cmp.Diff(want, states(g)); diff != "" {
		t.Error(diff)
	}
	l := c.listener(t, *c.balancer(t, "web").LoadBalancerArn, forward(g))
	c.Plane.SetHealth("10.1.2.3", "unhealthy", "Target.Timeout", "Request timed out")
	want = []string{"10.1.2.3:80 all check=80 unhealthyTarget.Timeout", "192.168.97.5:80 ap-northeast-1a check=80 healthy"}
	if diff := cmp.Diff(want, states(g)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"1.2.3.4:80  check=80 unusedTarget.NotRegistered"}, states(g, types.TargetDescription{Id: aws.String("1.2.3.4")})); diff != "" {
		t.Error(diff)
	}
	c.Plane.HoldDraining(true)
	must[*elb.DeregisterTargetsOutput](t)(c.elb.DeregisterTargets(ctx, &elb.DeregisterTargetsInput{
		TargetGroupArn: &g, Targets: []types.TargetDescription{{Id: aws.String("192.168.97.5")}, {Id: aws.String("192.168.97.6")}},
	}))
	want = []string{"10.1.2.3:80 all check=80 unhealthyTarget.Timeout", "192.168.97.5:80  check=80 drainingTarget.DeregistrationInProgress"}
	if diff := cmp.Diff(want, states(g)); diff != "" {
		t.Error(diff)
	}
	c.Plane.HoldDraining(false)
	if diff := cmp.Diff(want[:1], states(g)); diff != "" {
		t.Error(diff)
	}
	c.rule(t, l, 1, path("/"), forward(instances))
	must[*ec2.TerminateInstancesOutput](t)(c.ec2.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: localawstest.Instances[:1]}))
	if diff := cmp.Diff([]string{localawstest.Instances[0] + ":80  check=80 unusedTarget.InvalidState"}, states(instances)); diff != "" {
		t.Error(diff)
	}
	wants(t, register(instances, localawstest.Instances[0]), "InvalidTarget", "running")
	if err := c.SetQuota("sluice/targets-per-target-group", 1); err != nil {
		t.Fatal(err)
	}
	wants(t, register(g, "192.168.97.9"), "TooManyTargets", "1")
}

func TestAttributes(t *testing.T) {
	c := start(t)
	ctx := t.Context()
	b := c.balancer(t, "web")
	modify := func(key, value string) error {
		_, err := c.elb.ModifyLoadBalancerAttributes(ctx, &elb.ModifyLoadBalancerAttributesInput{
			LoadBalancerArn: b.LoadBalancerArn, Attributes: []types.LoadBalancerAttribute{{Key: &key, Value: &value}},
		})
		return err
	}
	wants(t, modify("x", "1"), "ValidationError", "attribute key 'x' is not recognized")
	wants(t, modify("dns_record.client_routing_policy", "1"), "InvalidConfigurationRequest", "attribute key 'dns_record.client_routing_policy' is not supported")
	wants(t, modify("idle_timeout.timeout_seconds", "4001"), "ValidationError", "4001")
	wants(t, modify("health_check_logs.s3.enabled", "true"), "InvalidConfigurationRequest", "health_check_logs.s3.enabled")
	for key, value := range map[string]string{"access_logs.s3.enabled": "false", "idle_timeout.timeout_seconds": "4000"} {
		if err := modify(key, value); err != nil {
			t.Error(err)
		}
	}
	out := must[*elb.DescribeLoadBalancerAttributesOutput](t)(c.elb.DescribeLoadBalancerAttributes(ctx, &elb.DescribeLoadBalancerAttributesInput{LoadBalancerArn: b.LoadBalancerArn}))
	got := map[string]string{}
	for _, a := range out.Attributes {
		got[*a.Key] = *a.Value
	}
	if got["idle_timeout.timeout_seconds"] != "4000" || got["routing.http2.enabled"] != "true" || got["access_logs.s3.bucket"] != "" || len(got) != 23 {
		t.Errorf("%d: %v", len(got), got)
	}
	g := c.group(t, "g")
	must[*elb.ModifyTargetGroupAttributesOutput](t)(c.elb.ModifyTargetGroupAttributes(ctx, &elb.ModifyTargetGroupAttributesInput{
		TargetGroupArn: &g, Attributes: []types.TargetGroupAttribute{{Key: aws.String("deregistration_delay.timeout_seconds"), Value: aws.String("7")}},
	}))
	if delay := c.Plane.Config().TargetGroups[0].DeregistrationDelay.Seconds(); delay != 7 {
		t.Errorf("deregistration delay %v", delay)
	}
	l := c.listener(t, *b.LoadBalancerArn, notFound())
	must[*elb.ModifyListenerAttributesOutput](t)(c.elb.ModifyListenerAttributes(ctx, &elb.ModifyListenerAttributesInput{
		ListenerArn: &l, Attributes: []types.ListenerAttribute{{Key: aws.String("routing.http.response.server.enabled"), Value: aws.String("false")}},
	}))
	if !c.Plane.Config().LoadBalancers[0].Attributes.HideLoadBalancerInServer {
		t.Error("the Server header is still there")
	}
}

func TestELBTags(t *testing.T) {
	c := start(t)
	ctx := t.Context()
	g, b := c.group(t, "g"), *c.balancer(t, "web").LoadBalancerArn
	add := func(key, value string, arns ...string) error {
		_, err := c.elb.AddTags(ctx, &elb.AddTagsInput{ResourceArns: arns, Tags: []types.Tag{{Key: &key, Value: &value}}})
		return err
	}
	for _, err := range []error{add("a", "1", g, b), add("a", "2", g), add("b", "", g)} {
		if err != nil {
			t.Error(err)
		}
	}
	must[*elb.RemoveTagsOutput](t)(c.elb.RemoveTags(ctx, &elb.RemoveTagsInput{ResourceArns: []string{g}, TagKeys: []string{"b", "never"}}))
	out := must[*elb.DescribeTagsOutput](t)(c.elb.DescribeTags(ctx, &elb.DescribeTagsInput{ResourceArns: []string{g, b}}))
	if len(out.TagDescriptions) != 2 || len(out.TagDescriptions[0].Tags) != 1 || *out.TagDescriptions[0].Tags[0].Value != "2" || *out.TagDescriptions[1].Tags[0].Value != "1" {
		t.Errorf("%+v", out.TagDescriptions)
	}
	gone := strings.Replace(g, "/g/", "/h/", 1)
	wants(t, add("a", "1", gone), "TargetGroupNotFound", "")
	wants(t, add("a", "1", "arn:aws:s3:::bucket"), "ValidationError", "ARN")
	if err := c.SetQuota("sluice/tags-per-resource", 1); err != nil {
		t.Fatal(err)
	}
	wants(t, add("c", "1", g), "TooManyTags", "")
}

func TestELBPages(t *testing.T) {
	c := start(t)
	ctx := t.Context()
	for i := range 7 {
		c.group(t, fmt.Sprintf("g%d", i))
	}
	var got []string
	pages := elb.NewDescribeTargetGroupsPaginator(c.elb, &elb.DescribeTargetGroupsInput{PageSize: aws.Int32(3)})
	for pages.HasMorePages() {
		page := must[*elb.DescribeTargetGroupsOutput](t)(pages.NextPage(ctx))
		for _, g := range page.TargetGroups {
			got = append(got, *g.TargetGroupName)
			if *g.TargetGroupName == "g1" { // what is deleted between pages moves nothing
				must[*elb.DeleteTargetGroupOutput](t)(c.elb.DeleteTargetGroup(ctx, &elb.DeleteTargetGroupInput{TargetGroupArn: g.TargetGroupArn}))
			}
		}
	}
	if diff := cmp.Diff([]string{"g0", "g1", "g2", "g3", "g4", "g5", "g6"}, got); diff != "" {
		t.Error(diff)
	}
	_, err := c.elb.DescribeTargetGroups(ctx, &elb.DescribeTargetGroupsInput{Marker: aws.String("?")})
	wants(t, err, "ValidationError", "marker")
	limits := must[*elb.DescribeAccountLimitsOutput](t)(c.elb.DescribeAccountLimits(ctx, nil))
	if len(limits.Limits) != 18 {
		t.Errorf("%d limits", len(limits.Limits))
	}
}

func TestSetSubnetsAndGroups(t *testing.T) {
	c := start(t)
	ctx := t.Context()
	b := c.balancer(t, "web")
	enis := func() (subnets, groups []string) {
		out := must[*ec2.DescribeNetworkInterfacesOutput](t)(c.ec2.DescribeNetworkInterfaces(ctx, &ec2.DescribeNetworkInterfacesInput{
			Filters: filter("description", "ELB app/web/*", "attachment.instance-owner-id", "amazon-elb"),
		}))
		for _, i := range out.NetworkInterfaces {
			subnets, groups = append(subnets, *i.SubnetId), append(groups, *i.Groups[0].GroupId)
		}
		return subnets, groups
	}
	must[*elb.SetSubnetsOutput](t)(c.elb.SetSubnets(ctx, &elb.SetSubnetsInput{LoadBalancerArn: b.LoadBalancerArn, Subnets: localawstest.PublicSubnets[:2]}))
	must[*elb.SetSecurityGroupsOutput](t)(c.elb.SetSecurityGroups(ctx, &elb.SetSecurityGroupsInput{LoadBalancerArn: b.LoadBalancerArn, SecurityGroups: []string{localawstest.NodeGroup}}))
	subnets, groups := enis()
	if !cmp.Equal(subnets, localawstest.PublicSubnets[:2]) || !cmp.Equal(groups, []string{localawstest.NodeGroup, localawstest.NodeGroup}) {
		t.Errorf("%v %v", subnets, groups)
	}
	_, err := c.elb.SetSecurityGroups(ctx, &elb.SetSecurityGroupsInput{LoadBalancerArn: b.LoadBalancerArn, SecurityGroups: []string{}})
	wants(t, err, "InvalidConfigurationRequest", "")
	_, err = c.elb.SetSubnets(ctx, &elb.SetSubnetsInput{LoadBalancerArn: b.LoadBalancerArn, Subnets: localawstest.PublicSubnets[:1]})
	wants(t, err, "ValidationError", "two subnets")
	_, err = c.elb.SetIpAddressType(ctx, &elb.SetIpAddressTypeInput{LoadBalancerArn: b.LoadBalancerArn, IpAddressType: "dualstack"})
	wants(t, err, "InvalidSubnet", "IPv6")
	_, err = c.ec2.DeleteSecurityGroup(ctx, &ec2.DeleteSecurityGroupInput{GroupId: aws.String(localawstest.NodeGroup)})
	wants(t, err, "DependencyViolation", localawstest.NodeGroup)
	capacity := must[*elb.DescribeCapacityReservationOutput](t)(c.elb.DescribeCapacityReservation(ctx, &elb.DescribeCapacityReservationInput{LoadBalancerArn: b.LoadBalancerArn}))
	if capacity.MinimumLoadBalancerCapacity != nil {
		t.Error("capacity from nowhere")
	}
}
