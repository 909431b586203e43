package route53

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/aws/aws-sdk-go-v2/service/route53/types"
	"golang.org/x/time/rate"

	"github.com/sluicehq/sluice/internal/dns"
	"github.com/sluicehq/sluice/internal/dns/zonetest"
	"github.com/sluicehq/sluice/internal/lb"
	"github.com/sluicehq/sluice/internal/localaws"
	"github.com/sluicehq/sluice/internal/localaws/localawstest"
)

// world is a zone on a local AWS of its own, reached with the SDK over HTTP.
type world struct {
	*localawstest.Local
	client *route53.Client
	id     string
}

const zoneName = "example.com"

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{Local: localawstest.Start(t)}
	w.client = route53.NewFromConfig(w.Config)
	w.id = w.zone(t, zoneName, nil)
	return w
}

func (w *world) zone(t testing.TB, name string, vpc *types.VPC) string {
	t.Helper()
	out, err := w.client.CreateHostedZone(t.Context(), &route53.CreateHostedZoneInput{Name: &name, CallerReference: aws.String(fmt.Sprint(name, vpc != nil)), VPC: vpc})
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(*out.HostedZone.Id, "/hostedzone/")
}

// free is a limiter that lets everything through.
func free() *rate.Limiter { return rate.NewLimiter(rate.Inf, 1) }

func (w *world) Provider(testing.TB) dns.Provider {
	return New(Options{Configs: []aws.Config{w.Config}, Attempts: 1, Limiter: free()})
}

func (w *world) Zone() dns.Name { return zoneName }

func (w *world) Contents(t testing.TB) []string {
	t.Helper()
	var lines []string
	pages := route53.NewListResourceRecordSetsPaginator(w.client, &route53.ListResourceRecordSetsInput{HostedZoneId: &w.id})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range page.ResourceRecordSets {
			line := fmt.Sprint(*s.Name, " ", s.Type, " ", aws.ToInt64(s.TTL))
			var values []string
			for _, v := range s.ResourceRecords {
				values = append(values, *v.Value)
			}
			slices.Sort(values)
			if s.AliasTarget != nil {
				values = append(values, "alias "+*s.AliasTarget.DNSName)
			}
			lines = append(lines, line+" "+strings.Join(values, " "))
		}
	}
	return lines
}

func (w *world) Plant(t testing.TB, r dns.Record) {
	t.Helper()
	set := recordSet(r)
	_, err := w.client.ChangeResourceRecordSets(t.Context(), &route53.ChangeResourceRecordSetsInput{HostedZoneId: &w.id, ChangeBatch: &types.ChangeBatch{
		Changes: []types.Change{{Action: types.ChangeActionCreate, ResourceRecordSet: &set}},
	}})
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) Fail(n int, after bool) func() bool {
	struck := false
	w.Local.Fail(func(c localaws.Call) *localaws.Fault {
		if c.Operation != "route53:ChangeResourceRecordSets" {
			return nil
		}
		if n--; n != 0 {
			return nil
		}
		struck = true
		return &localaws.Fault{After: after}
	})
	return func() bool {
		w.Local.Fail(nil) // also waits until the call that is counted has been
		return struck
	}
}

func TestContract(t *testing.T) {
	zonetest.Run(t, func(t testing.TB) zonetest.World { return newWorld(t) })
}

func (w *world) keeper(t testing.TB, change func(*dns.KeeperOptions)) *dns.Keeper {
	t.Helper()
	o := dns.KeeperOptions{Options: dns.Options{
		Policy: dns.Sync, Ownership: dns.Ownership{Owner: "me"}, Types: []dns.Type{dns.A, dns.AAAA, dns.CNAME}, EvaluateHealth: true,
	}}
	if change != nil {
		change(&o)
	}
	k, err := dns.NewKeeper(w.Provider(t), o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	return k
}

func endpoint(name dns.Name, targets ...string) dns.Endpoint {
	return dns.Endpoint{Name: name, Type: dns.TypeOf(targets[0]), Targets: targets, From: lb.Object{Kind: "Ingress", Namespace: "default", Name: "web"}}
}

func apply(t testing.TB, k *dns.Keeper, endpoints ...dns.Endpoint) []dns.Result {
	t.Helper()
	var plans []dns.NamePlan
	for _, e := range endpoints {
		plans = append(plans, k.Plan(e.Name, []dns.Endpoint{e}, nil)...)
	}
	return k.Apply(t.Context(), plans)
}

// TestAliasOfALoadBalancer: the records of the walk-through, as they stand in the zone.
func TestAliasOfALoadBalancer(t *testing.T) {
	w := newWorld(t)
	elb := elasticloadbalancingv2.NewFromConfig(w.Config)
	made, err := elb.CreateLoadBalancer(t.Context(), &elasticloadbalancingv2.CreateLoadBalancerInput{
		Name: aws.String("web"), Subnets: localawstest.PublicSubnets[:2],
	})
	if err != nil {
		t.Fatal(err)
	}
	host := strings.ToLower(*made.LoadBalancers[0].DNSName)
	k := w.keeper(t, nil)
	w.ResetCalls()
	for _, r := range apply(t, k, endpoint("eks.example.com", host), endpoint("example.com", host)) {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		if synced, err := k.Synced(t.Context(), r.ID); !synced || err != nil {
			t.Errorf("%v %v", synced, err)
		}
	}
	if calls := w.Calls(); calls["route53:ChangeResourceRecordSets"] != 1 || len(calls) != 2 {
		t.Errorf("calls: %v", calls)
	}
	text := strings.Join(w.Contents(t), "\n")
	marker := `TXT 300 "heritage=external-dns,external-dns/owner=me,external-dns/resource=ingress/default/web"`
	for _, line := range []string{
		"eks.example.com. A 0 alias " + host + ".", "eks.example.com. AAAA 0 alias " + host + ".", "example.com. A 0 alias " + host + ".",
		"a-eks.example.com. " + marker, "aaaa-eks.example.com. " + marker, "_sluice-a.example.com. " + marker,
	} {
		if !strings.Contains(text, line) {
			t.Errorf("%s is missing in\n%s", line, text)
		}
	}
}

// TestRoutingPoliciesAreReadAsTheyWereWritten: each policy converges.
func TestRoutingPoliciesAreReadAsTheyWereWritten(t *testing.T) {
	w := newWorld(t)
	policies := map[dns.Name][]dns.Property{
		"weight.example.com":    {{Name: "aws/weight", Value: "0"}},
		"latency.example.com":   {{Name: "aws/region", Value: "eu-west-1"}},
		"failover.example.com":  {{Name: "aws/failover", Value: "SECONDARY"}},
		"multi.example.com":     {{Name: "aws/multi-value-answer", Value: "anything"}},
		"continent.example.com": {{Name: "aws/geolocation-continent-code", Value: "EU"}},
		"country.example.com":   {{Name: "aws/geolocation-country-code", Value: "US"}, {Name: "aws/geolocation-subdivision-code", Value: "CA"}},
		"region.example.com":    {{Name: "aws/geoproximity-region", Value: "aws:route53:eu-west-1"}},
		"coord.example.com":     {{Name: "aws/geoproximity-coordinates", Value: "35.6,139.7"}, {Name: "aws/geoproximity-bias", Value: "-10"}},
		"localz.example.com":    {{Name: "aws/geoproximity-local-zone-group", Value: "aws:localzonegroup:us-east-1-bue-1"}},
	}
	var endpoints []dns.Endpoint
	for name, properties := range policies {
		e := endpoint(name, "192.0.2.1")
		e.SetID = "blue"
		var problems []dns.Property
		if e.Settings, problems = dns.ReadSettings("blue", properties); len(problems) > 0 {
			t.Fatal(problems)
		}
		endpoints = append(endpoints, e)
	}
	for _, r := range apply(t, w.keeper(t, nil), endpoints...) {
		if r.Err != nil {
			t.Error(r.Err)
		}
	}
	for _, r := range apply(t, w.keeper(t, nil), endpoints...) {
		if len(r.Plan.Changes) > 0 {
			t.Errorf("after a restart: %v -> %v", r.Plan.Before, r.Plan.After)
		}
	}
}

// TestABadNameIsFoundByHalving: of many names the one whose alias target does not exist fails, with Route 53's reason, at
// the cost of a few calls.
func TestABadNameIsFoundByHalving(t *testing.T) {
	w := newWorld(t)
	var endpoints []dns.Endpoint
	for i := range 200 {
		endpoints = append(endpoints, endpoint(dns.Name(fmt.Sprintf("h%d.example.com", i)), "192.0.2.1"))
	}
	endpoints[77] = endpoint("h77.example.com", "gone-1.ap-northeast-1.elb.amazonaws.com")
	k := w.keeper(t, nil)
	w.ResetCalls()
	failed := 0
	for _, r := range apply(t, k, endpoints...) {
		if r.Err != nil {
			failed++
			if r.Plan.Name != "h77.example.com" || !r.Refused() || r.Stale || !strings.Contains(r.Err.Error(), "not found") {
				t.Errorf("%s: %v", r.Plan.Name, r.Err)
			}
		}
	}
	calls := w.Calls()["route53:ChangeResourceRecordSets"]
	if failed != 1 || calls > 2*8+1 { // 2 log2(200) + 1
		t.Errorf("%d failed, %d calls", failed, calls)
	}
	if got := len(k.Owned()); got != 199 {
		t.Errorf("%d names are owned", got)
	}
}

// TestLimitsOfABatch: no batch has more than Route 53 takes, and what belongs together stays together.
func TestLimitsOfABatch(t *testing.T) {
	w := newWorld(t)
	var endpoints []dns.Endpoint
	for i := range 1200 { // two values each, of more than 100 characters together
		endpoints = append(endpoints, endpoint(dns.Name(fmt.Sprintf("h%d.example.com", i)), "192.0.2.1"))
	}
	k := w.keeper(t, func(o *dns.KeeperOptions) { o.Limits.Changes = 1000 })
	w.ResetCalls()
	for _, r := range apply(t, k, endpoints...) {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	if calls := w.Calls()["route53:ChangeResourceRecordSets"]; calls < 4 || calls > 6 {
		t.Errorf("%d calls", calls)
	}
	var many []string
	for i := range 600 {
		many = append(many, fmt.Sprintf("10.0.%d.%d", i/250, i%250))
	}
	slices.Sort(many)
	k = w.keeper(t, func(o *dns.KeeperOptions) { o.Limits.Values = 500 })
	results := apply(t, k, endpoint("big.example.com", many...), endpoint("small.example.com", "192.0.2.1"))
	if results[0].Err == nil || !strings.Contains(results[0].Err.Error(), "more than a batch can have") || results[1].Err != nil {
		t.Errorf("%v, %v", results[0].Err, results[1].Err)
	}
}

// TestFiveRequestsASecond: an account that has tokens for five requests a second refuses nothing.
func TestFiveRequestsASecond(t *testing.T) {
	w := newWorld(t)
	err := w.SetProfile(localaws.Profile{Throttling: true, Buckets: map[string]localaws.RateLimit{
		"route53/account": {Rate: requestsPerSecond, Burst: requestsPerSecond}, "route53/operation": {Rate: requestsPerSecond, Burst: requestsPerSecond},
	}})
	if err != nil {
		t.Fatal(err)
	}
	read := func(p *Provider, times int) (refused int) {
		for range times {
			if _, err := p.Zones(t.Context(), false); err != nil {
				refused++
			}
		}
		return refused
	}
	if refused := read(New(Options{Configs: []aws.Config{w.Config}, Attempts: 1}), 12); refused > 0 {
		t.Errorf("%d calls were refused", refused)
	}
	if refused := read(New(Options{Configs: []aws.Config{w.Config}, Attempts: 1, Limiter: free()}), 30); refused == 0 {
		t.Error("without the limit nothing is refused, so this shows nothing")
	}
}

// TestThrottlingIsNoRefusal: a throttled batch is not halved, and works when tried again; with attempts of its own the
// SDK does that by itself.
func TestThrottlingIsNoRefusal(t *testing.T) {
	w := newWorld(t)
	k := w.keeper(t, nil)
	n := 0
	w.Local.Fail(func(c localaws.Call) *localaws.Fault {
		if n++; n > 1 {
			return nil
		}
		return &localaws.Fault{Error: localaws.Throttled(c.Operation)}
	})
	a, b := endpoint("a.example.com", "192.0.2.1"), endpoint("b.example.com", "192.0.2.1")
	for _, r := range apply(t, k, a, b) {
		if r.Err == nil || r.Refused() {
			t.Errorf("%v", r.Err)
		}
	}
	if n != 1 {
		t.Errorf("%d calls", n)
	}
	n = 0
	patient, err := dns.NewKeeper(New(Options{Configs: []aws.Config{w.Config}, Attempts: 3, Limiter: free()}), dns.KeeperOptions{Options: dns.Options{
		Policy: dns.Sync, Ownership: dns.Ownership{Owner: "me"}, Types: []dns.Type{dns.A},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := patient.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	n = 0
	for _, r := range apply(t, patient, a, b) {
		if r.Err != nil {
			t.Error(r.Err)
		}
	}
	if n != 2 {
		t.Errorf("%d calls", n)
	}
}

// TestLackOfRights: changes that are denied for one name are found by halving, and that all are denied costs few calls.
func TestLackOfRights(t *testing.T) {
	w := newWorld(t)
	var endpoints []dns.Endpoint
	for i := range 64 {
		endpoints = append(endpoints, endpoint(dns.Name(fmt.Sprintf("h%d.example.com", i)), "192.0.2.1"))
	}
	denial := localaws.Throttled("route53:x")
	denial.Code, denial.Message = "AccessDenied", "User is not authorized to perform: route53:ChangeResourceRecordSets"
	deny := func(all bool) {
		w.Local.Fail(func(c localaws.Call) *localaws.Fault {
			in, ok := c.Input.(*route53.ChangeResourceRecordSetsInput)
			if ok && (all || slices.ContainsFunc(in.ChangeBatch.Changes, func(c types.Change) bool { return *c.ResourceRecordSet.Name == "h5.example.com." })) {
				return &localaws.Fault{Error: denial}
			}
			return nil
		})
	}
	count := func() (failed int) {
		for _, r := range apply(t, w.keeper(t, nil), endpoints...) {
			if r.Err != nil {
				failed++
			}
		}
		return failed
	}
	deny(true)
	w.ResetCalls()
	if failed, calls := count(), w.Calls()["route53:ChangeResourceRecordSets"]; failed != 64 || calls > 20 {
		t.Errorf("%d failed with %d calls", failed, calls)
	}
	deny(false)
	if failed := count(); failed != 1 {
		t.Errorf("%d failed", failed)
	}
}

// TestZonesWithTagsAndOfSeveralAccounts: tags are read where a filter asks for them, private zones are told.
func TestZonesWithTags(t *testing.T) {
	w := newWorld(t)
	private := w.zone(t, "corp.example", &types.VPC{VPCId: aws.String(localawstest.VPC), VPCRegion: localawstest.Region})
	for i := range 12 {
		w.zone(t, fmt.Sprintf("z%d.example", i), nil)
	}
	_, err := w.client.ChangeTagsForResource(t.Context(), &route53.ChangeTagsForResourceInput{
		ResourceType: types.TagResourceTypeHostedzone, ResourceId: &private, AddTags: []types.Tag{{Key: aws.String("team"), Value: aws.String("blue")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.ResetCalls()
	k := w.keeper(t, func(o *dns.KeeperOptions) { o.Filter = dns.ZoneFilter{Tags: []string{"team=blue"}} })
	zones := k.Zones()
	if len(zones) != 1 || zones[0].ID != dns.ZoneID(private) || !zones[0].Private || zones[0].Name != "corp.example" {
		t.Errorf("%+v", zones)
	}
	if calls := w.Calls(); calls["route53:ListTagsForResources"] != 2 || calls["route53:ListResourceRecordSets"] != 1 {
		t.Errorf("%v", calls)
	}
	all := New(Options{Configs: []aws.Config{w.Config, w.Config}, Attempts: 1, Limiter: free()})
	if list, err := all.Zones(t.Context(), false); err != nil || len(list) != 14 {
		t.Errorf("%d zones, %v", len(list), err)
	}
}

// TestReadingOneName: only that name is read, with its wildcard escapes, however many sets it has.
func TestReadingOneName(t *testing.T) {
	w := newWorld(t)
	for i := range 90 {
		w.Plant(t, dns.Record{Name: "*.example.com", Type: dns.A, SetID: fmt.Sprint(i), TTL: 60, Values: []string{"192.0.2.1"}, Routing: dns.Routing{Policy: dns.Weighted, Weight: 1}})
		w.Plant(t, dns.Record{Name: "*.example.com", Type: dns.AAAA, SetID: fmt.Sprint(i), TTL: 60, Values: []string{"2001:db8::1"}, Routing: dns.Routing{Policy: dns.Weighted, Weight: 1}})
	}
	w.Plant(t, dns.Record{Name: "a.example.com", Type: dns.A, TTL: 60, Values: []string{"192.0.2.1"}})
	p := w.Provider(t)
	records, _, err := p.Records(t.Context(), dns.Zone{ID: dns.ZoneID(w.id)}, dns.Place{Only: "*.example.com"})
	if err != nil || len(records) != 180 {
		t.Errorf("%d records, %v", len(records), err)
	}
	records, _, err = p.Records(t.Context(), dns.Zone{ID: dns.ZoneID(w.id)}, dns.Place{Only: "b.example.com"})
	if err != nil || len(records) != 0 {
		t.Errorf("%v, %v", records, err)
	}
}
