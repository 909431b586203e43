package aws_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/acm"
	acmtypes "github.com/aws/aws-sdk-go-v2/service/acm/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/sluicehq/sluice/internal/engine"
	"github.com/sluicehq/sluice/internal/engine/aws"
	"github.com/sluicehq/sluice/internal/engine/enginetest"
	"github.com/sluicehq/sluice/internal/localaws"
	"github.com/sluicehq/sluice/internal/proxy"
)

// world is a local AWS with a VPC: public and private subnets in three zones.
type world struct {
	*localaws.Server
	config  awssdk.Config
	elb     *elb.Client
	ec2     *ec2.Client
	acm     *acm.Client
	vpc     string
	private []string
	public  []string
	now     atomic.Int64 // nanoseconds, everybody's clock
	slept   atomic.Int64 // nanoseconds that engines asked to wait
	aside   atomic.Int64 // calls that the test made, not an engine
	store   *store       // of checkpoints; none when nil
	logger  *slog.Logger
}

// whole sends requests whose bodies were read before. The SDK closes a body as soon as the answer begins; where the
// answer is as quick as here, net/http may still be looking for the body's end, takes that for an error, and closes the
// connection in the middle of the answer. The SDK's retries hide it, and these tests have none.
type whole struct{ *http.Transport }

func (t whole) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		return t.Transport.RoundTrip(r)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r = r.Clone(r.Context())
	r.Body = io.NopCloser(bytes.NewReader(body))
	return t.Transport.RoundTrip(r)
}

// still is a data plane without traffic: these tests are about what the API holds.
type still struct{}

func (still) Apply(proxy.Config) error                        { return nil }
func (still) Health(proxy.TargetGroupID) []proxy.TargetHealth { return nil }
func (still) Close()                                          {}

func newWorld(t testing.TB) *world { return newSlowWorld(t, 0) }

// newSlowWorld is one in which load balancers take a while to become active.
func newSlowWorld(t testing.TB, provisioning time.Duration) *world {
	t.Helper()
	w := &world{vpc: "vpc-00000000000000001"}
	w.now.Store(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano())
	server, err := localaws.New(localaws.Options{
		DataPlane: still{}, Seed: network(w), Now: w.time, Profile: localaws.Profile{Provisioning: provisioning},
	})
	check(t, err)
	api := httptest.NewServer(server.Handler())
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		api.Close()
		check(t, server.Close())
	})
	w.Server = server
	w.config = awssdk.Config{
		Region: server.Region(), BaseEndpoint: awssdk.String(api.URL), RetryMaxAttempts: 1,
		HTTPClient:  &http.Client{Transport: whole{transport}},
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
	}
	w.elb, w.ec2, w.acm = elb.NewFromConfig(w.config), ec2.NewFromConfig(w.config), acm.NewFromConfig(w.config)
	w.certify(t, enginetest.Hosts[0])
	_, domain, _ := strings.Cut(enginetest.Hosts[1], ".")
	w.certify(t, "*."+domain)
	return w
}

// certify has ACM issue a certificate for these hosts, at once as private authorities do, and returns its ARN.
func (w *world) certify(t testing.TB, hosts ...string) (arn string) {
	t.Helper()
	w.test(func() {
		out, err := w.acm.RequestCertificate(t.Context(), &acm.RequestCertificateInput{
			DomainName: &hosts[0], SubjectAlternativeNames: hosts, CertificateAuthorityArn: awssdk.String(authority), KeyAlgorithm: acmtypes.KeyAlgorithmEcPrime256v1,
		})
		check(t, err)
		arn = *out.CertificateArn
	})
	return arn
}

const authority = "arn:aws:acm-pca:ap-northeast-1:123456789012:certificate-authority/0a000000-0000-4000-8000-000000000000"

// network is a VPC with a public and a private subnet in each of three zones.
func network(w *world) *localaws.Seed {
	seed := &localaws.Seed{
		VPCs:             []localaws.SeedVPC{{ID: w.vpc, CIDR: "10.0.0.0/16"}},
		InternetGateways: []localaws.SeedInternetGateway{{ID: "igw-00000000000000001", VPC: w.vpc}},
	}
	for i, zone := range []string{"a", "c", "d"} {
		for j, role := range []string{"kubernetes.io/role/elb", "kubernetes.io/role/internal-elb"} {
			id := fmt.Sprintf("subnet-0000000000000000%d", 3*j+i+1)
			seed.Subnets = append(seed.Subnets, localaws.SeedSubnet{
				ID: id, VPC: w.vpc, Zone: "ap-northeast-1" + zone, CIDR: fmt.Sprintf("10.0.%d.0/24", 10*j+i),
				Public: j == 0, Tags: map[string]string{role: "1"},
			})
			if j == 0 {
				w.public = append(w.public, id)
			} else {
				w.private = append(w.private, id)
			}
		}
	}
	return seed
}

// load starts an engine and loads its mirror.
func (w *world) load(t testing.TB) *aws.Engine {
	t.Helper()
	e := w.unloaded(t)
	check(t, e.Load(t.Context()))
	return e
}

func (w *world) unloaded(t testing.TB) *aws.Engine {
	t.Helper()
	options := aws.Options{
		Cluster: enginetest.Cluster, VPCID: w.vpc, Config: w.config, Logger: w.logger,
		Now: w.time,
		Sleep: func(ctx context.Context, d time.Duration) error {
			w.slept.Add(int64(d))
			return ctx.Err()
		},
	}
	if w.store != nil {
		options.Checkpoints = w.store
	}
	e, err := aws.New(options)
	check(t, err)
	return e
}

func (w *world) time() time.Time { return time.Unix(0, w.now.Load()) }

func (w *world) pass(d time.Duration) { w.now.Add(int64(d)) }

// Pass is pass, as the suite wants it.
func (w *world) Pass(d time.Duration) { w.pass(d) }

// Engine is load, as the suite wants it.
func (w *world) Engine(t testing.TB) engine.Engine { return saving{w.load(t)} }

// Calls counts all calls of engines.
func (w *world) Calls() int {
	sum := 0
	for _, n := range w.Server.Calls() {
		sum += n
	}
	return sum - int(w.aside.Load())
}

// test runs a test's own calls, which do not count.
func (w *world) test(do func()) {
	before := w.Calls()
	do()
	w.aside.Add(int64(w.Calls() - before))
}

// Break is enginetest.World's: connections are dropped.
func (w *world) Break(f enginetest.Fault) (hit func() bool) {
	var met atomic.Bool
	n := 0
	w.Fail(func(c localaws.Call) *localaws.Fault {
		if f.Nth == 0 || !c.Mutating {
			return nil
		}
		switch n++; {
		case n == f.Nth:
			met.Store(true)
			return &localaws.Fault{After: f.TakesEffect}
		case n > f.Nth && f.StaysDown:
			return &localaws.Fault{}
		}
		return nil
	})
	return met.Load
}

// PlantForeign makes things of other clusters and of nobody, some with names that are like ours.
func (w *world) PlantForeign(t testing.TB) {
	w.test(func() {
		ctx := t.Context()
		group, err := w.ec2.CreateSecurityGroup(ctx, &ec2.CreateSecurityGroupInput{
			GroupName: awssdk.String("k8s-traffic-demo-by-hand"), Description: awssdk.String("by hand"), VpcId: awssdk.String(w.vpc),
			TagSpecifications: []ec2types.TagSpecification{{
				ResourceType: ec2types.ResourceTypeSecurityGroup,
				Tags:         []ec2types.Tag{{Key: awssdk.String("elbv2.k8s.aws/cluster"), Value: awssdk.String("other")}},
			}},
		})
		check(t, err)
		balancer, err := w.elb.CreateLoadBalancer(ctx, &elb.CreateLoadBalancerInput{
			Name: awssdk.String("by-hand"), Subnets: w.public, SecurityGroups: []string{awssdk.ToString(group.GroupId)},
			Tags: elbTags("elbv2.k8s.aws/cluster", "other", "ingress.k8s.aws/stack", "default/web", "ingress.k8s.aws/resource", "LoadBalancer"),
		})
		check(t, err)
		targets, err := w.elb.CreateTargetGroup(ctx, &elb.CreateTargetGroupInput{
			Name: awssdk.String("by-hand"), Protocol: elbtypes.ProtocolEnumHttp, Port: awssdk.Int32(80), VpcId: awssdk.String(w.vpc),
			TargetType: elbtypes.TargetTypeEnumIp, Tags: elbTags("ingress.k8s.aws/stack", "default/web"),
		})
		check(t, err)
		_, err = w.elb.CreateListener(ctx, &elb.CreateListenerInput{
			LoadBalancerArn: balancer.LoadBalancers[0].LoadBalancerArn, Port: awssdk.Int32(80), Protocol: elbtypes.ProtocolEnumHttp,
			DefaultActions: []elbtypes.Action{{
				Type: elbtypes.ActionTypeEnumForward, TargetGroupArn: targets.TargetGroups[0].TargetGroupArn,
			}},
			Tags: elbTags("elbv2.k8s.aws/cluster", "demo"),
		})
		check(t, err)
	})
}

func elbTags(pairs ...string) []elbtypes.Tag {
	var list []elbtypes.Tag
	for pair := range slices.Chunk(pairs, 2) {
		list = append(list, elbtypes.Tag{Key: awssdk.String(pair[0]), Value: awssdk.String(pair[1])})
	}
	return list
}

// Contents prints load balancers with listeners and rules, target groups and security groups, by name.
func (w *world) Contents(t testing.TB) string {
	var c contents
	w.test(func() { c.read(t, w) })
	slices.Sort(c.lines)
	return strings.Join(c.lines, "\n")
}

type contents struct {
	names map[string]string // by ARN or id
	tags  map[string]string
	lines []string
}

func (c *contents) add(format string, args ...any) {
	c.lines = append(c.lines, fmt.Sprintf(format, args...))
}

// hashless is a target group's name without its hash: one that took the place of another has a different one, and serves
// as well.
func hashless(name string) string {
	if len(name) > 10 && strings.HasPrefix(name, "k8s-") {
		return name[:len(name)-10] + "…"
	}
	return name
}

func (c *contents) named(ids []string) []string {
	var names []string
	for _, id := range ids {
		names = append(names, c.names[id])
	}
	slices.Sort(names)
	return names
}

func (c *contents) read(t testing.TB, w *world) {
	ctx := t.Context()
	c.names, c.tags = map[string]string{}, map[string]string{}
	groups, err := w.ec2.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{})
	check(t, err)
	for _, g := range groups.SecurityGroups {
		c.names[*g.GroupId] = *g.GroupName
		var rules, tags []string
		for _, p := range g.IpPermissions {
			for _, r := range p.IpRanges {
				rules = append(rules, fmt.Sprint(*p.IpProtocol, " ", awssdk.ToInt32(p.FromPort), " ", *r.CidrIp))
			}
		}
		for _, tag := range g.Tags {
			tags = append(tags, *tag.Key+"="+*tag.Value)
		}
		slices.Sort(rules)
		slices.Sort(tags)
		c.add("sg %s %q %v %v", *g.GroupName, *g.Description, rules, tags)
	}
	targets, err := w.elb.DescribeTargetGroups(ctx, &elb.DescribeTargetGroupsInput{})
	check(t, err)
	for _, g := range targets.TargetGroups {
		c.readTags(t, w, *g.TargetGroupArn)
		c.names[*g.TargetGroupArn] = hashless(*g.TargetGroupName)
		attributes, err := w.elb.DescribeTargetGroupAttributes(ctx, &elb.DescribeTargetGroupAttributesInput{TargetGroupArn: g.TargetGroupArn})
		check(t, err)
		delay := ""
		for _, a := range attributes.Attributes {
			if *a.Key == "deregistration_delay.timeout_seconds" {
				delay = *a.Value
			}
		}
		c.add("tg %s %s %s %d %s delay %s %s", hashless(*g.TargetGroupName), g.TargetType, g.Protocol, *g.Port, awssdk.ToString(g.HealthCheckPath), delay, c.tags[*g.TargetGroupArn])
	}
	balancers, err := w.elb.DescribeLoadBalancers(ctx, &elb.DescribeLoadBalancersInput{})
	check(t, err)
	for _, b := range balancers.LoadBalancers {
		c.readTags(t, w, *b.LoadBalancerArn)
		var subnets []string
		for _, z := range b.AvailabilityZones {
			subnets = append(subnets, fmt.Sprintf("%v%d", slices.Contains(w.public, *z.SubnetId), max(slices.Index(w.public, *z.SubnetId), slices.Index(w.private, *z.SubnetId))))
		}
		slices.Sort(subnets)
		attributes, err := w.elb.DescribeLoadBalancerAttributes(ctx, &elb.DescribeLoadBalancerAttributesInput{LoadBalancerArn: b.LoadBalancerArn})
		check(t, err)
		for _, a := range attributes.Attributes {
			c.add("lb %s %s=%s", *b.LoadBalancerName, *a.Key, *a.Value)
		}
		c.add("lb %s %s %s %v %v %s", *b.LoadBalancerName, b.Scheme, b.IpAddressType, subnets, c.named(b.SecurityGroups), c.tags[*b.LoadBalancerArn])
		c.readListeners(t, w, b)
	}
}

func (c *contents) readListeners(t testing.TB, w *world, b elbtypes.LoadBalancer) {
	ctx := t.Context()
	listeners, err := w.elb.DescribeListeners(ctx, &elb.DescribeListenersInput{LoadBalancerArn: b.LoadBalancerArn})
	check(t, err)
	for _, l := range listeners.Listeners {
		c.readTags(t, w, *l.ListenerArn)
		attributes, err := w.elb.DescribeListenerAttributes(ctx, &elb.DescribeListenerAttributesInput{ListenerArn: l.ListenerArn})
		check(t, err)
		for _, a := range attributes.Attributes {
			c.add("listener %s:%d %s=%s", *b.LoadBalancerName, *l.Port, *a.Key, *a.Value)
		}
		c.add("listener %s:%d %s %s %s", *b.LoadBalancerName, *l.Port, l.Protocol, c.actions(l.DefaultActions), c.tags[*l.ListenerArn])
		if l.Protocol == elbtypes.ProtocolEnumHttps {
			presented, err := w.elb.DescribeListenerCertificates(ctx, &elb.DescribeListenerCertificatesInput{ListenerArn: l.ListenerArn})
			check(t, err)
			for _, p := range presented.Certificates {
				certificate, err := w.acm.DescribeCertificate(ctx, &acm.DescribeCertificateInput{CertificateArn: p.CertificateArn})
				check(t, err)
				c.add("certificate %s:%d %s default %v", *b.LoadBalancerName, *l.Port, *certificate.Certificate.DomainName, *p.IsDefault)
			}
			c.add("policy %s:%d %s", *b.LoadBalancerName, *l.Port, *l.SslPolicy)
		}
		rules, err := w.elb.DescribeRules(ctx, &elb.DescribeRulesInput{ListenerArn: l.ListenerArn})
		check(t, err)
		for _, r := range rules.Rules {
			if awssdk.ToBool(r.IsDefault) {
				continue
			}
			c.readTags(t, w, *r.RuleArn)
			// The resource tag of a rule says where it was created, not where it stands.
			kept := strings.Join(slices.DeleteFunc(strings.Fields(c.tags[*r.RuleArn]), func(tag string) bool {
				return strings.HasPrefix(tag, "ingress.k8s.aws/resource=")
			}), " ")
			var conditions []string
			for _, condition := range r.Conditions {
				if condition.PathPatternConfig != nil {
					conditions = append(conditions, *condition.Field+strings.Join(condition.PathPatternConfig.Values, ","))
					continue
				}
				text, err := json.Marshal(condition)
				check(t, err)
				conditions = append(conditions, string(text))
			}
			transforms, err := json.Marshal(r.Transforms)
			check(t, err)
			c.add("rule %s:%d/%05s %v %s %s %s", *b.LoadBalancerName, *l.Port, *r.Priority, conditions, transforms, c.actions(r.Actions), kept)
		}
	}
}

func (c *contents) actions(list []elbtypes.Action) string {
	var parts []string
	for _, a := range list {
		part := string(a.Type)
		if a.ForwardConfig != nil {
			var groups []string
			for _, g := range a.ForwardConfig.TargetGroups {
				groups = append(groups, fmt.Sprint(c.names[*g.TargetGroupArn], "*", awssdk.ToInt32(g.Weight)))
			}
			slices.Sort(groups)
			part += " " + strings.Join(groups, "+")
		}
		if a.RedirectConfig != nil {
			part += " " + *a.RedirectConfig.Path
		}
		if j := a.JwtValidationConfig; j != nil {
			part += fmt.Sprint(" ", *j.Issuer, " ", *j.JwksEndpoint, " ", len(j.AdditionalClaims))
		}
		if a.FixedResponseConfig != nil {
			part += " " + *a.FixedResponseConfig.StatusCode
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ";")
}

func (c *contents) readTags(t testing.TB, w *world, arn string) {
	out, err := w.elb.DescribeTags(t.Context(), &elb.DescribeTagsInput{ResourceArns: []string{arn}})
	check(t, err)
	var list []string
	for _, tag := range out.TagDescriptions[0].Tags {
		list = append(list, *tag.Key+"="+*tag.Value)
	}
	slices.Sort(list)
	c.tags[arn] = strings.Join(list, " ")
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
