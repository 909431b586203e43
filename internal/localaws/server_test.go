package localaws_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	rgt "github.com/aws/aws-sdk-go-v2/service/resourcegroupstaggingapi"
	rgttypes "github.com/aws/aws-sdk-go-v2/service/resourcegroupstaggingapi/types"
	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"github.com/sluicehq/sluice/internal/localaws"
	"github.com/sluicehq/sluice/internal/localaws/localawstest"
)

// TestDispatch sends requests as different clients form them.
func TestDispatch(t *testing.T) {
	var log bytes.Buffer
	c := start(t, localawstest.WithOptions(func(o *localaws.Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) }))
	sign := func(service string) string {
		return "AWS4-HMAC-SHA256 Credential=AKID/20260101/ap-northeast-1/" + service + "/aws4_request, SignedHeaders=host, Signature=0"
	}
	for why, row := range map[string]struct {
		method, query, body, authorization, target string
		status                                     int
		words                                      string
	}{
		"signed query":   {"POST", "", "Action=DescribeTags&Version=2015-12-01&ResourceArns.member.1=x", sign("elasticloadbalancing"), "", 400, "<ErrorResponse xmlns=\"http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/\"><Error><Type>Sender</Type><Code>ValidationError</Code>"},
		"signed ec2":     {"POST", "", "Action=DescribeTags&Version=2016-11-15", sign("ec2"), "", 200, "<DescribeTagsResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\"><requestId>"},
		"ec2 error":      {"POST", "", "Action=DescribeVpcs&VpcId.1=x", sign("ec2"), "", 400, "<Response><Errors><Error><Code>InvalidVpcID.Malformed</Code>"},
		"unsigned":       {"GET", "Action=GetCallerIdentity&Version=2011-06-15", "", "", "", 200, "<Account>123456789012</Account>"},
		"presigned":      {"GET", "Action=GetCallerIdentity&X-Amz-Credential=AKID%2F20260101%2Fus-east-1%2Fsts%2Faws4_request", "", "", "", 200, "<ResponseMetadata><RequestId>"},
		"json":           {"POST", "", "{}", sign("tagging"), "ResourceGroupsTaggingAPI_20170126.GetResources", 200, `"PaginationToken":""`},
		"unknown action": {"POST", "", "Action=FlyToTheMoon&Version=2015-12-01", sign("elasticloadbalancing"), "", 400, "<Code>InvalidAction</Code>"},
		"unknown json":   {"POST", "", "{}", sign("tagging"), "ResourceGroupsTaggingAPI_20170126.FlyToTheMoon", 400, `"__type":"UnknownOperationException"`},
		"other service":  {"POST", "", "{}", sign("s3"), "S3_1.Get", 400, "InvalidAction"},
		"bad form":       {"POST", "", "Action=DescribeVpcs&Version=2016-11-15&a=%zz", sign("ec2"), "", 400, "Code"},
		"no output":      {"POST", "", "Action=CreateTags&Version=2016-11-15&ResourceId.1=" + localawstest.VPC + "&Tag.1.Key=a&Tag.1.Value=b", sign("ec2"), "", 200, "<return>true</return>"},
	} {
		t.Run(why, func(t *testing.T) {
			r, err := http.NewRequestWithContext(t.Context(), row.method, c.Endpoint+"/?"+row.query, strings.NewReader(row.body))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
			r.Header.Set("Authorization", row.authorization)
			if row.target != "" {
				r.Header.Set("X-Amz-Target", row.target)
			}
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != row.status || !strings.Contains(string(body), row.words) || resp.Header.Get("X-Amzn-Requestid") == "" {
				t.Errorf("%d %s", resp.StatusCode, body)
			}
		})
	}
	if !strings.Contains(log.String(), "elasticloadbalancing:FlyToTheMoon") {
		t.Errorf("the log does not name the operation: %s", log.String())
	}
}

func TestAdmin(t *testing.T) {
	c := start(t)
	c.group(t, "g")
	counts := func() map[string]int {
		resp, err := http.Get(c.Endpoint + "/_local/calls")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var out map[string]int
		if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	if diff := cmp.Diff(map[string]int{"elasticloadbalancing:CreateTargetGroup": 1}, counts()); diff != "" {
		t.Error(diff)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, c.Endpoint+"/_local/calls", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got := counts(); len(got) != 0 {
		t.Errorf("%v", got)
	}
	if got := get(t, c.Endpoint+"/_local/health"); !strings.HasPrefix(got, "200 ") {
		t.Error(got)
	}
}

func TestFaults(t *testing.T) {
	c := start(t)
	create := func(name string) error {
		_, err := c.elb.CreateTargetGroup(t.Context(), &elb.CreateTargetGroupInput{Name: &name, Protocol: "HTTP", Port: aws.Int32(80), VpcId: aws.String(localawstest.VPC)})
		return err
	}
	exists := func(name string) bool {
		out := must[*elb.DescribeTargetGroupsOutput](t)(c.elb.DescribeTargetGroups(t.Context(), &elb.DescribeTargetGroupsInput{}))
		for _, g := range out.TargetGroups {
			if *g.TargetGroupName == name {
				return true
			}
		}
		return false
	}
	c.Fail(localaws.Nth(2, localaws.Fault{Error: localaws.Throttled("elasticloadbalancing:CreateTargetGroup")}))
	if err := create("a"); err != nil {
		t.Error(err)
	}
	wants(t, create("b"), "ThrottlingException", "Rate exceeded")
	if err := create("c"); err != nil || exists("b") {
		t.Errorf("after the fault: %v, b exists: %t", err, exists("b"))
	}
	for after, want := range map[bool]bool{false: false, true: true} {
		name := fmt.Sprintf("lost-%t", after)
		c.Fail(localaws.Nth(1, localaws.Fault{After: after}))
		if err := create(name); err == nil {
			t.Error("an answer came through")
		}
		if exists(name) != want {
			t.Errorf("answer lost, After %t: exists is %t", after, exists(name))
		}
	}
	c.Fail(nil)
	if err := create("d"); err != nil {
		t.Error(err)
	}
	if got := localaws.Throttled("ec2:CreateVpc"); got.Code != "RequestLimitExceeded" || got.Status != http.StatusServiceUnavailable {
		t.Error(got)
	}
}

// TestPlaneRefuses: a call that the data plane cannot carry out fails and leaves nothing.
func TestPlaneRefuses(t *testing.T) {
	c := start(t)
	arn := *c.balancer(t, "web").LoadBalancerArn
	c.Plane.FailApply(errors.New("port 80 is taken"))
	_, err := c.elb.CreateListener(t.Context(), &elb.CreateListenerInput{LoadBalancerArn: &arn, Port: aws.Int32(80), Protocol: "HTTP", DefaultActions: notFound()})
	wants(t, err, "InvalidConfigurationRequest", "port 80 is taken")
	c.Plane.FailApply(nil)
	out := must[*elb.DescribeListenersOutput](t)(c.elb.DescribeListeners(t.Context(), &elb.DescribeListenersInput{LoadBalancerArn: &arn}))
	if len(out.Listeners) != 0 {
		t.Error("the refused listener is there")
	}
	c.listener(t, arn, notFound())
}

func TestGetResources(t *testing.T) {
	c := start(t)
	ctx := t.Context()
	client := rgt.NewFromConfig(c.Config)
	tags := []elbtypes.Tag{{Key: aws.String("elbv2.k8s.aws/cluster"), Value: aws.String("lab")}}
	for i := range 120 {
		c.group(t, fmt.Sprintf("g%d", i), func(in *elb.CreateTargetGroupInput) { in.Tags = tags })
	}
	b := c.balancer(t, "web")
	must[*elb.AddTagsOutput](t)(c.elb.AddTags(ctx, &elb.AddTagsInput{ResourceArns: []string{*b.LoadBalancerArn}, Tags: tags}))
	count := func(in *rgt.GetResourcesInput) (n, pages int) {
		p := rgt.NewGetResourcesPaginator(client, in)
		for p.HasMorePages() {
			n += len(must[*rgt.GetResourcesOutput](t)(p.NextPage(ctx)).ResourceTagMappingList)
			pages++
		}
		return n, pages
	}
	ours := []rgttypes.TagFilter{{Key: aws.String("elbv2.k8s.aws/cluster"), Values: []string{"other", "lab"}}}
	for _, row := range []struct {
		in       *rgt.GetResourcesInput
		n, pages int
	}{
		{&rgt.GetResourcesInput{TagFilters: ours}, 121, 2},
		{&rgt.GetResourcesInput{TagFilters: ours, ResourceTypeFilters: []string{"elasticloadbalancing:loadbalancer"}}, 1, 1},
		{&rgt.GetResourcesInput{ResourceTypeFilters: []string{"ec2:security-group"}}, 1, 1},
		{&rgt.GetResourcesInput{ResourceTypeFilters: []string{"elasticloadbalancing"}, ResourcesPerPage: aws.Int32(50)}, 121, 3},
		{&rgt.GetResourcesInput{TagFilters: []rgttypes.TagFilter{{Key: aws.String("elbv2.k8s.aws/cluster"), Values: []string{"x"}}}}, 0, 1},
		{&rgt.GetResourcesInput{ResourceARNList: []string{*b.LoadBalancerArn}}, 1, 1},
	} {
		if n, pages := count(row.in); n != row.n || pages != row.pages {
			t.Errorf("%+v: %d in %d pages, want %d in %d", row.in, n, pages, row.n, row.pages)
		}
	}
	_, err := client.GetResources(ctx, &rgt.GetResourcesInput{ResourcesPerPage: aws.Int32(101)})
	wants(t, err, "InvalidParameterException", "100")
}

// TestRestart: what was answered is back, on the same addresses, with the same names, and serves.
func TestRestart(t *testing.T) {
	o := localaws.Options{DataDir: t.TempDir(), AddressPool: localawstest.Pool(), DNSAddress: "127.0.0.1:0"}
	first := start(t, localawstest.WithProxy(), localawstest.WithOptions(func(p *localaws.Options) {
		p.DataDir, p.DNSAddress, p.AddressPool = o.DataDir, o.DNSAddress, o.AddressPool
	}))
	b := first.balancer(t, "web")
	first.listener(t, *b.LoadBalancerArn, notFound())
	gone := first.balancer(t, "gone")
	must[*elb.DeleteLoadBalancerOutput](t)(first.elb.DeleteLoadBalancer(t.Context(), &elb.DeleteLoadBalancerInput{LoadBalancerArn: gone.LoadBalancerArn}))
	before, _ := first.Resolve(*b.DNSName)
	if got := lookup(t, first.DNSAddress(), *b.DNSName, dns.TypeA); got != "NOERROR "+before.String() {
		t.Error(got)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	seed := localawstest.Standard() // and one more machine
	seed.Instances = append(seed.Instances, localaws.SeedInstance{ID: "i-0a00000000000000e", Subnet: localawstest.PrivateSubnets[0], PrivateIP: "192.168.96.11"})
	second := start(t, localawstest.WithProxy(), localawstest.WithOptions(func(p *localaws.Options) {
		p.DataDir, p.DNSAddress, p.AddressPool, p.Seed = o.DataDir, o.DNSAddress, o.AddressPool, seed
	}))
	after, ok := second.Resolve("DualStack." + strings.ToUpper(*b.DNSName))
	if !ok || after != before {
		t.Errorf("%s became %s", before, after)
	}
	if got := get(t, fmt.Sprintf("http://%s:%d/", after, listenPort)); got != "404 " {
		t.Error(got)
	}
	out := must[*elb.DescribeLoadBalancersOutput](t)(second.elb.DescribeLoadBalancers(t.Context(), &elb.DescribeLoadBalancersInput{}))
	if len(out.LoadBalancers) != 1 || *out.LoadBalancers[0].DNSName != *b.DNSName || !out.LoadBalancers[0].CreatedTime.Equal(*b.CreatedTime) {
		t.Errorf("%+v", out.LoadBalancers)
	}
	third := second.balancer(t, "third")
	if a, _ := second.Resolve(*third.DNSName); a != before.Next().Next() {
		t.Errorf("%s follows %s: a freed address was given out at once", a, before)
	}
	machines := must[*ec2.DescribeInstancesOutput](t)(second.ec2.DescribeInstances(t.Context(), nil))
	if len(machines.Reservations) != 4 {
		t.Errorf("%d machines", len(machines.Reservations))
	}
	if _, err := localaws.New(localaws.Options{DataDir: o.DataDir, DataPlane: localawstest.NewPlane()}); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("two local AWS in one directory: %v", err)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := localaws.New(localaws.Options{DataDir: o.DataDir, Region: "eu-west-1", DataPlane: localawstest.NewPlane()}); err == nil || !strings.Contains(err.Error(), "ap-northeast-1") {
		t.Errorf("another region in the same directory: %v", err)
	}
}

// lookup asks over UDP and TCP and returns the answer code with the addresses.
func lookup(t testing.TB, server, name string, kind uint16) string {
	t.Helper()
	var answers []string
	for _, network := range []string{"udp", "tcp"} {
		q := new(dns.Msg).SetQuestion(dns.Fqdn(name), kind)
		r, _, err := (&dns.Client{Net: network}).ExchangeContext(t.Context(), q, server)
		if err != nil {
			t.Fatal(err)
		}
		text := dns.RcodeToString[r.Rcode]
		for _, rr := range r.Answer {
			if a, ok := rr.(*dns.A); ok && a.Hdr.Ttl == 60 {
				text += " " + a.A.String()
			}
		}
		answers = append(answers, text)
	}
	if answers[0] != answers[1] {
		t.Errorf("UDP says %s, TCP says %s", answers[0], answers[1])
	}
	return answers[0]
}

func TestDNS(t *testing.T) {
	c := start(t, localawstest.WithOptions(func(o *localaws.Options) { o.DNSAddress = "127.0.0.1:0" }))
	b := c.balancer(t, "web")
	for _, row := range []struct {
		name string
		kind uint16
		want string
	}{
		{*b.DNSName, dns.TypeA, "NOERROR 127.64.0.1"},
		{"dualstack." + strings.ToUpper(*b.DNSName), dns.TypeA, "NOERROR 127.64.0.1"},
		{*b.DNSName, dns.TypeAAAA, "NOERROR"},
		{"none-1." + localawstest.Region + ".elb.amazonaws.com", dns.TypeA, "NXDOMAIN"},
		{localawstest.Region + ".elb.amazonaws.com", dns.TypeSOA, "NOERROR"},
		{"example.com", dns.TypeA, "REFUSED"},
	} {
		if got := lookup(t, c.DNSAddress(), row.name, row.kind); got != row.want {
			t.Errorf("%s: got %s, want %s", row.name, got, row.want)
		}
	}
}

// TestKill runs local AWS as a process of its own and kills it while calls are made: every answered one must be there.
func TestKill(t *testing.T) {
	if os.Getenv("LOCALAWS_KILL_DIR") != "" {
		serveUntilKilled()
		return
	}
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKill$")
	cmd.Env = append(os.Environ(), "LOCALAWS_KILL_DIR="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	endpoint, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	client := elb.NewFromConfig(localawstest.Config(strings.TrimSpace(endpoint), localawstest.Region))
	var mu sync.Mutex
	answered := map[string]bool{}
	var workers sync.WaitGroup
	for worker := range 4 {
		workers.Go(func() {
			for i := 0; ; i++ {
				name := fmt.Sprintf("g-%d-%d", worker, i)
				if _, err := client.CreateTargetGroup(t.Context(), &elb.CreateTargetGroupInput{Name: &name, Protocol: "HTTP", Port: aws.Int32(80), VpcId: aws.String(localawstest.VPC)}); err != nil {
					return
				}
				mu.Lock()
				answered[name] = true
				if len(answered) == 100 {
					_ = cmd.Process.Kill() // the other workers may find it dead already
				}
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	_ = cmd.Wait() // it was killed
	c := start(t, localawstest.WithOptions(func(o *localaws.Options) { o.DataDir = filepath.Clean(dir) }))
	pages := elb.NewDescribeTargetGroupsPaginator(c.elb, &elb.DescribeTargetGroupsInput{})
	for pages.HasMorePages() {
		for _, g := range must[*elb.DescribeTargetGroupsOutput](t)(pages.NextPage(t.Context())).TargetGroups {
			delete(answered, *g.TargetGroupName)
		}
	}
	if len(answered) != 0 {
		t.Errorf("answered, then lost: %v", answered)
	}
}

func serveUntilKilled() {
	s, err := localaws.New(localaws.Options{DataDir: os.Getenv("LOCALAWS_KILL_DIR"), Seed: localawstest.Standard(), DataPlane: localawstest.NewPlane()})
	if err != nil {
		panic(err)
	}
	api := httptest.NewServer(s.Handler())
	fmt.Println(api.URL)
	<-context.Background().Done()
}

// TestRun is local AWS as the command starts it.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	seed := filepath.Join(dir, "seed.yaml")
	if err := os.WriteFile(seed, []byte("region: eu-west-1\nvpcs:\n- {id: vpc-0123456789abcdef0, cidr: 10.0.0.0/16}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	lines := make(chan string, 10)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- localaws.Run(ctx, localaws.Config{
			Listen: "127.0.0.1:0", DNS: "127.0.0.1:0", DataDir: filepath.Join(dir, "data"), Seed: seed,
			Logger: slog.New(slog.NewTextHandler(lineWriter(lines), nil)),
		})
	}()
	line := <-lines
	if !strings.Contains(line, "local AWS is ready") || !strings.Contains(line, "region=eu-west-1") {
		t.Error(line)
	}
	_, rest, _ := strings.Cut(line, "endpoint=")
	endpoint, _, _ := strings.Cut(rest, " ")
	vpcs := must[*ec2.DescribeVpcsOutput](t)(ec2.NewFromConfig(localawstest.Config(endpoint, "eu-west-1")).DescribeVpcs(t.Context(), nil))
	if len(vpcs.Vpcs) != 1 {
		t.Errorf("%d VPCs", len(vpcs.Vpcs))
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

type lineWriter chan<- string

func (w lineWriter) Write(p []byte) (int, error) {
	w <- string(p)
	return len(p), nil
}

func TestSeedMistakes(t *testing.T) {
	for text, want := range map[string]string{
		"vpc: []": `unknown field "vpc"`,
		"vpcs:\n- {id: vpc-1, cidr: 10.0.0.0/16}":                                                                                `vpcs[0].id: "vpc-1"`,
		"vpcs:\n- {id: vpc-0123456789abcdef0, cidr: 10.0.0.1/16}":                                                                `vpcs[0].cidr: "10.0.0.1/16"`,
		"subnets:\n- {id: subnet-0123456789abcdef0, vpc: vpc-x, cidr: 1.0.0.0/24}":                                               `subnets[0].vpc: there is no "vpc-x"`,
		"zones: [a]\nsubnets:\n- {zone: b}":                                                                                      `subnets[0].zone: "b"`,
		"vpcs:\n- {id: vpc-0123456789abcdef0, cidr: 10.0.0.0/16, ipv6: 2001:db8::/48}":                                           `vpcs[0].ipv6: "2001:db8::/48"`,
		"vpcs:\n- {id: vpc-0123456789abcdef0, cidr: 10.0.0.0/16}\nsubnets:\n- {vpc: vpc-0123456789abcdef0, ipv6: 2001:db8::/64}": `subnets[0].ipv6: "2001:db8::/64" is not of the VPC's IPv6 block`,
		"instances:\n- {id: i-0123456789abcdef0, subnet: s, securityGroups: [sg-x]}":                                             `instances[0].securityGroups[0]: there is no "sg-x"`,
	} {
		if _, err := localaws.ParseSeed([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
}

// FuzzAPI: whatever is sent, the answer is an answer of the API and never its own failure.
func FuzzAPI(f *testing.F) {
	c := start(f)
	b := c.balancer(f, "web")
	g := c.group(f, "g")
	l := c.listener(f, *b.LoadBalancerArn, notFound())
	r := c.rule(f, l, 1, path("/"), forward(g))
	n, q := c.network(f, "nlb"), c.networkGroup(f, "q", "QUIC")
	for _, body := range []string{
		"Version=2015-12-01&Action=CreateLoadBalancer&Type=network&Name=n&SubnetMappings.member.1.SubnetId=" + localawstest.PublicSubnets[0] + "&SubnetMappings.member.1.AllocationId=eipalloc-1&SubnetMappings.member.1.IPv6Address=::1&IpAddressType=dualstack&EnablePrefixForIpv6SourceNat=on",
		"Version=2015-12-01&Action=CreateTargetGroup&Name=t&Protocol=TCP_QUIC&Port=443&VpcId=" + localawstest.VPC + "&TargetType=alb&IpAddressType=ipv6&Matcher.HttpCode=200-599",
		"Version=2015-12-01&Action=CreateListener&LoadBalancerArn=" + *n.LoadBalancerArn + "&Port=81&Protocol=TLS&AlpnPolicy.member.1=None&DefaultActions.member.1.Type=forward&DefaultActions.member.1.TargetGroupArn=" + q,
		"Version=2015-12-01&Action=RegisterTargets&TargetGroupArn=" + q + "&Targets.member.1.Id=192.168.0.9&Targets.member.1.QuicServerId=0x0123456789abcdef",
		"Version=2015-12-01&Action=SetSubnets&LoadBalancerArn=" + *n.LoadBalancerArn + "&SubnetMappings.member.1.SubnetId=" + localawstest.PublicSubnets[1] + "&SubnetMappings.member.1.PrivateIPv4Address=192.168.32.9",
		"Version=2015-12-01&Action=ModifyCapacityReservation&LoadBalancerArn=" + *n.LoadBalancerArn + "&MinimumLoadBalancerCapacity.CapacityUnits=9000",
		"Version=2015-12-01&Action=CreateLoadBalancer&Name=a&Subnets.member.1=" + localawstest.PublicSubnets[0] + "&SubnetMappings.member.1.SubnetId=x",
		"Version=2015-12-01&Action=CreateRule&Priority=2&Conditions.member.1.Field=query-string&Conditions.member.1.QueryStringConfig.Values.member.1.Key=a&Actions.member.1.Type=forward&ListenerArn=" + l,
		"Version=2015-12-01&Action=ModifyRule&Conditions.member.1.Field=http-header&Conditions.member.1.HttpHeaderConfig.Values.member.1=a&Actions.member.1.Type=redirect&RuleArn=" + r,
		"Version=2015-12-01&Action=SetRulePriorities&RulePriorities.member.1.Priority=1&RulePriorities.member.2.RuleArn=" + r,
		"Version=2015-12-01&Action=RegisterTargets&Targets.member.1.Id=10.0.0.1&Targets.member.2.Port=1&TargetGroupArn=" + g,
		"Version=2015-12-01&Action=ModifyTargetGroup&Matcher.GrpcCode=1&HealthCheckPort=a&TargetGroupArn=" + g,
		"Version=2016-11-15&Action=AuthorizeSecurityGroupIngress&GroupId=" + localawstest.NodeGroup + "&IpPermissions.1.IpProtocol=tcp&IpPermissions.1.Groups.1.GroupId=&IpPermissions.2.IpRanges.1.Description=x",
		"Version=2016-11-15&Action=RunInstances&MinCount=1&MaxCount=1&NetworkInterface.1.SubnetId=" + localawstest.PublicSubnets[0] + "&NetworkInterface.1.Ipv4Prefix.1.Ipv4Prefix=::/0",
		"Version=2016-11-15&Action=CreateRoute&RouteTableId=rtb-0&DestinationCidrBlock=x", "Version=2016-11-15&Action=DescribeTags&Filter.1.Name=tag:&Filter.1.Value.1=*",
		"Version=2011-06-15&Action=GetCallerIdentity", "X-Amz-Credential=%2F%2F", "Version=2016-11-15&Action=DeleteSecurityGroup",
	} {
		f.Add(body)
	}
	handler := c.Handler()
	f.Fuzz(func(t *testing.T, body string) {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body)))
		if w.Code >= http.StatusInternalServerError {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		if text := w.Body.String(); w.Code != http.StatusOK && !strings.Contains(text, "<Code>") {
			t.Errorf("%d %s", w.Code, text)
		}
	})
}
