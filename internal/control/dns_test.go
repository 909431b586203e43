package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	elbv2api "github.com/sluicehq/sluice/api/elbv2/v1beta1"
	externaldnsapi "github.com/sluicehq/sluice/api/externaldns/v1alpha1"
	"github.com/sluicehq/sluice/internal/annot"
	"github.com/sluicehq/sluice/internal/dns"
	dnsroute53 "github.com/sluicehq/sluice/internal/dns/route53"
	"github.com/sluicehq/sluice/internal/dns/source"
	"github.com/sluicehq/sluice/internal/lb"
	"github.com/sluicehq/sluice/internal/localaws"
	"github.com/sluicehq/sluice/internal/localaws/localawstest"
	"github.com/sluicehq/sluice/internal/plan"
)

// namesWorld is a world with hosted zones, a loop over names, and a clock that moves when it is told to.
type namesWorld struct {
	*world
	names *Names
	r53   *route53.Client
	zone  string
	now   time.Time
}

// newNamesWorld is one with the zone frieza.dev. change may alter the options of local AWS.
func newNamesWorld(t *testing.T, change func(*localaws.Options)) *namesWorld {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, elbv2api.AddToScheme, externaldnsapi.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	w := &namesWorld{now: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)}
	now := func() time.Time { return w.now }
	w.world = &world{T: t, ctx: t.Context(), clock: now, aws: localawstest.Start(t, localawstest.WithOptions(func(o *localaws.Options) {
		o.Now = now
		if change != nil {
			change(o)
		}
	}))}
	w.kube = fake.NewClientBuilder().WithScheme(scheme).
		WithStatusSubresource(&networkingv1.Ingress{}, &elbv2api.TargetGroupBinding{}, &corev1.Service{}, &externaldnsapi.DNSEndpoint{}).Build()
	w.start()
	w.apply("cluster.yaml", "apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {name: alb}\nspec: {controller: ingress.k8s.aws/alb}\n---\n"+
		"apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {type: NodePort, ports: [{name: http, port: 80, targetPort: 8080, nodePort: 30080}]}\n")
	w.r53 = route53.NewFromConfig(w.aws.Config)
	w.zone = w.createZone("frieza.dev")
	w.restart(dns.Sync)
	return w
}

func (w *namesWorld) createZone(name string) string {
	w.Helper()
	out, err := w.r53.CreateHostedZone(w.ctx, &route53.CreateHostedZoneInput{Name: &name, CallerReference: &name})
	w.check(err)
	return strings.TrimPrefix(*out.HostedZone.Id, "/hostedzone/")
}

// restart makes a controller and a loop over names that know nothing yet.
func (w *namesWorld) restart(policy dns.ChangePolicy) {
	w.Helper()
	w.start()
	w.names = newNames(w.kube, w.namesOptions(policy))
	w.use(w.names)
}

func (w *namesWorld) namesOptions(policy dns.ChangePolicy) NamesOptions {
	w.Helper()
	provider := dnsroute53.New(dnsroute53.Options{Configs: []awssdk.Config{w.aws.Config}, Attempts: 1, Limiter: rate.NewLimiter(rate.Inf, 1)})
	keeper, err := dns.NewKeeper(provider, dns.KeeperOptions{Options: dns.Options{
		Policy: policy, Ownership: dns.Ownership{Owner: "lab"}, Types: []dns.Type{dns.A, dns.AAAA, dns.CNAME}, EvaluateHealth: true,
	}})
	w.check(err)
	return NamesOptions{
		Keeper: keeper, Kinds: []string{source.Ingress, source.Service, source.CRD}, Policy: policy, Status: true,
		Now: func() time.Time { return w.now },
	}
}

// pass does what events and one pass over names would.
func (w *namesWorld) pass() {
	w.Helper()
	w.snapshots.changed()
	w.check(w.names.enqueueAll(w.ctx))
	w.names.mark(slices.Collect(maps.Keys(w.names.index.reads))...) // also those that are gone
	w.names.pass(w.ctx)
}

// rest works everything until nothing changes any more, moving the clock as far as pauses within a minute need it.
func (w *namesWorld) rest() {
	w.Helper()
	for range 12 {
		w.pass()
		w.sync()
		w.now = w.now.Add(5 * time.Second)
	}
}

// records are the zone's own beside NS and SOA: "name type answer".
func (w *namesWorld) records() []string {
	w.Helper()
	out, err := w.r53.ListResourceRecordSets(w.ctx, &route53.ListResourceRecordSetsInput{HostedZoneId: &w.zone})
	w.check(err)
	var lines []string
	for _, s := range out.ResourceRecordSets {
		line := strings.TrimSuffix(*s.Name, ".") + " " + string(s.Type)
		if s.AliasTarget != nil {
			line += " " + strings.TrimSuffix(*s.AliasTarget.DNSName, ".")
		}
		for _, v := range s.ResourceRecords {
			line += " " + *v.Value
		}
		if s.Type != "NS" && s.Type != "SOA" {
			lines = append(lines, line)
		}
	}
	return lines
}

func (w *namesWorld) host(name, host, extra string) {
	w.Helper()
	w.apply(name, fmt.Sprintf(`
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: %s%s}
spec:
  ingressClassName: alb
  rules:
  - host: %s
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}
`, name, extra, host))
}

// ready is the condition of an Ingress: status, reason and message.
func (w *namesWorld) ready(name string) string {
	w.Helper()
	var c metav1.Condition
	text := w.get(name).Annotations[annot.DNSReadyAnnotation]
	if text == "" {
		return "none"
	}
	w.check(json.Unmarshal([]byte(text), &c))
	return fmt.Sprint(c.Status, " ", c.Reason, " ", c.Message)
}

func (w *namesWorld) balancer(name string) string {
	w.Helper()
	if status := w.get(name).Status.LoadBalancer.Ingress; len(status) > 0 {
		return status[0].Hostname
	}
	return ""
}

// TestNamesFollowLoadBalancers: a host is published when its load balancer serves, the object is told, a second host
// needs nothing more, and everything goes in the right order.
func TestNamesFollowLoadBalancers(t *testing.T) {
	w := newNamesWorld(t, nil)
	w.host("shop", "eks.frieza.dev", "")
	w.rest()
	target := w.balancer("shop")
	want := []string{
		`a-eks.frieza.dev TXT "heritage=external-dns,external-dns/owner=lab,external-dns/resource=ingress/default/shop"`,
		"eks.frieza.dev A " + target,
	}
	if got := w.records(); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if got := w.ready("shop"); got != "True RecordsInForce eks.frieza.dev A alias "+target {
		t.Error(got)
	}
	if got := strings.Join(w.events(), "\n"); !strings.Contains(got, "Normal DNSReady shop: eks.frieza.dev A alias "+target) {
		t.Error(got)
	}
	w.host("blog", "blog.frieza.dev", "")
	w.rest()
	if got := w.ready("blog"); got != "True RecordsInForce blog.frieza.dev A alias "+w.balancer("blog") || len(w.records()) != 4 {
		t.Error(got, w.records())
	}
	w.calls()
	w.rest()
	calls := w.aws.Calls()
	delete(calls, "elasticloadbalancing:DescribeTargetHealth")
	if len(calls) > 0 {
		t.Errorf("with nothing to do: %v", calls)
	}

	var order []string
	w.aws.Fail(func(c localaws.Call) *localaws.Fault {
		if c.Operation == "elasticloadbalancing:DeleteLoadBalancer" || c.Operation == "route53:ChangeResourceRecordSets" {
			order = append(order, c.Operation)
		}
		return nil
	})
	w.remove("shop")
	w.remove("blog")
	w.sync()
	if len(order) > 0 {
		t.Errorf("before names are gone: %v", order)
	}
	w.rest()
	w.aws.Fail(nil)
	if len(order) != 3 || order[0] != "route53:ChangeResourceRecordSets" || len(w.records()) > 0 {
		t.Errorf("%v, left %v", order, w.records())
	}
	if left := w.engine.Stacks(); len(left) > 0 {
		t.Errorf("stacks are left: %v", left)
	}
}

// TestNothingIsPublishedBeforeTheLoadBalancerServes: nor while it is being replaced is a name without an answer.
func TestNothingIsPublishedBeforeTheLoadBalancerServes(t *testing.T) {
	w := newNamesWorld(t, func(o *localaws.Options) { o.Profile.Provisioning = 100 * time.Second })
	w.host("shop", "eks.frieza.dev", "")
	w.rest() // a minute
	if got := w.records(); len(got) > 0 {
		t.Errorf("published while it is being made: %v", got)
	}
	if got := w.ready("shop"); !strings.HasPrefix(got, "False RecordsPending eks.frieza.dev: the load balancer ") {
		t.Error(got)
	}
	w.rest()
	first := w.balancer("shop")
	if got := w.records(); len(got) != 2 || !strings.HasSuffix(got[1], first) {
		t.Errorf("%v, want %s", got, first)
	}
	w.host("shop", "eks.frieza.dev", ", annotations: {alb.ingress.kubernetes.io/scheme: internet-facing}")
	w.rest()
	if got := w.records(); w.balancer("shop") != first || len(got) != 2 || !strings.HasSuffix(got[1], first) {
		t.Errorf("moved too early: %s, %v", w.balancer("shop"), got)
	}
	w.rest()
	w.rest()
	second := w.balancer("shop")
	if second == first {
		t.Fatal("the load balancer was not replaced")
	}
	if got := w.records(); len(got) != 2 || !strings.HasSuffix(got[1], second) {
		t.Errorf("%v, want %s", got, second)
	}
	if hosts := w.loadBalancers(); !slices.Contains(hosts, first) {
		t.Errorf("the old load balancer went with its name: %v", hosts)
	}
	w.rest()
	w.rest()
	if hosts := w.loadBalancers(); !slices.Equal(hosts, []string{second}) {
		t.Errorf("load balancers %v, want %s", hosts, second)
	}
}

func (w *namesWorld) loadBalancers() []string {
	w.Helper()
	var out []string
	for _, id := range w.engine.Stacks() {
		for _, b := range allOf(w.engine.Observe(id)) {
			out = append(out, strings.ToLower(b.DNSName))
		}
	}
	return out
}

// TestDeletingDoesNotWaitForEver: names that cannot be withdrawn hold a load balancer's deletion up for two minutes.
func TestDeletingDoesNotWaitForEver(t *testing.T) {
	w := newNamesWorld(t, nil)
	w.host("shop", "eks.frieza.dev", "")
	w.rest()
	w.aws.Fail(func(c localaws.Call) *localaws.Fault {
		if strings.HasPrefix(c.Operation, "route53:Change") {
			return &localaws.Fault{Error: localaws.Throttled(c.Operation)}
		}
		return nil
	})
	w.remove("shop")
	w.rest() // a minute
	if len(w.loadBalancers()) != 1 {
		t.Error("the load balancer went before its name")
	}
	w.rest()
	w.rest()
	if got := w.loadBalancers(); len(got) > 0 {
		t.Errorf("left: %v", got)
	}
	w.aws.Fail(nil)
	w.now = w.now.Add(nameRetryMost)
	w.rest()
	if got := w.records(); len(got) > 0 {
		t.Errorf("left: %v", got)
	}
}

// TestUpsertOnlyTakesNothingAway: and so nothing waits for names.
func TestUpsertOnlyTakesNothingAway(t *testing.T) {
	w := newNamesWorld(t, nil)
	w.restart(dns.UpsertOnly)
	w.host("shop", "eks.frieza.dev", "")
	w.rest()
	before := w.records()
	w.remove("shop")
	w.sync()
	w.rest()
	if got := w.records(); len(before) != 2 || !slices.Equal(got, before) || len(w.loadBalancers()) > 0 {
		t.Errorf("%v, was %v; load balancers %v", got, before, w.loadBalancers())
	}
}

// TestAfterARestart: what nobody asks for any more goes, what is asked for stays as it is.
func TestAfterARestart(t *testing.T) {
	w := newNamesWorld(t, nil)
	w.host("shop", "eks.frieza.dev", "")
	w.service("old", "old.frieza.dev", "192.0.2.1")
	w.rest()
	if got := w.records(); len(got) != 4 {
		t.Fatal(got)
	}
	w.check(w.kube.Delete(w.ctx, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "old"}}))
	w.restart(dns.Sync)
	w.calls()
	w.rest()
	if got := w.records(); len(got) != 2 || !strings.HasPrefix(got[1], "eks.frieza.dev A") {
		t.Errorf("%v", got)
	}
	if got := w.ready("shop"); !strings.HasPrefix(got, "True") {
		t.Error(got)
	}
}

// service makes a Service of type LoadBalancer that somebody else serves.
func (w *namesWorld) service(name, host, address string) {
	w.Helper()
	w.apply(name, fmt.Sprintf(`
apiVersion: v1
kind: Service
metadata: {name: %s, annotations: {external-dns.kubernetes.io/hostname: %s}}
spec: {type: LoadBalancer, ports: [{port: 80}]}
`, name, host))
	var s corev1.Service
	w.check(w.kube.Get(w.ctx, types.NamespacedName{Namespace: "default", Name: name}, &s))
	s.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: address}}
	w.check(w.kube.Status().Update(w.ctx, &s))
}

func (w *namesWorld) condition(object client.Object, name string) metav1.Condition {
	w.Helper()
	w.check(w.kube.Get(w.ctx, types.NamespacedName{Namespace: "default", Name: name}, object))
	var list []metav1.Condition
	switch o := object.(type) {
	case *corev1.Service:
		list = o.Status.Conditions
	case *externaldnsapi.DNSEndpoint:
		list = o.Status.Conditions
	}
	if c := meta.FindStatusCondition(list, DNSReady); c != nil {
		return *c
	}
	return metav1.Condition{}
}

// TestServicesAndDNSEndpointsAreTold: by their status, what is in force and what is wrong.
func TestServicesAndDNSEndpointsAreTold(t *testing.T) {
	w := newNamesWorld(t, nil)
	w.service("db", "db.frieza.dev", "192.0.2.1")
	endpoint := &externaldnsapi.DNSEndpoint{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "mail", Generation: 3}}
	endpoint.Spec.Endpoints = []*externaldnsapi.Endpoint{
		{DNSName: "a.frieza.dev", RecordType: "A", Targets: []string{"192.0.2.7"}},
		{DNSName: "db.frieza.dev", RecordType: "CNAME", Targets: []string{"x.example.com"}},
	}
	w.check(w.kube.Create(w.ctx, endpoint))
	w.pass()
	if c := w.condition(&corev1.Service{}, "db"); c.Status != metav1.ConditionFalse || c.Reason != notYet || c.Message != "db.frieza.dev A 192.0.2.1 (not in force everywhere yet)" {
		t.Errorf("%+v", c)
	}
	w.rest()
	if c := w.condition(&corev1.Service{}, "db"); c.Status != metav1.ConditionTrue || c.Message != "db.frieza.dev A 192.0.2.1" {
		t.Errorf("%+v", c)
	}
	var told externaldnsapi.DNSEndpoint
	c := w.condition(&told, "mail")
	if c.Status != metav1.ConditionFalse || c.Reason != string(lb.RecordConflict) || told.Status.ObservedGeneration != 3 ||
		!strings.Contains(c.Message, "a.frieza.dev A 192.0.2.7") || !strings.Contains(c.Message, "another object asks for addresses of this name") {
		t.Errorf("%+v", c)
	}
	if got := strings.Join(w.events(), "\n"); strings.Count(got, "RecordConflict") != 1 || strings.Count(got, "Normal DNSReady db") != 1 {
		t.Error(got)
	}
	var s corev1.Service
	w.check(w.kube.Get(w.ctx, types.NamespacedName{Namespace: "default", Name: "db"}, &s))
	delete(s.Annotations, annot.DNSPrefix+"hostname")
	w.check(w.kube.Update(w.ctx, &s))
	w.rest()
	if c := w.condition(&corev1.Service{}, "db"); c.Type != "" {
		t.Errorf("a Service without names keeps %+v", c)
	}
	if got := strings.Join(w.records(), "\n"); !strings.Contains(got, "db.frieza.dev CNAME x.example.com") {
		t.Error(got)
	}
}

// TestAnotherKindOfObjectTakesOver: the record stays in place while an Ingress is replaced by a Service.
func TestAnotherKindOfObjectTakesOver(t *testing.T) {
	w := newNamesWorld(t, nil)
	w.apply("shop", "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: shop, annotations: {external-dns.kubernetes.io/target: 192.0.2.1}}\nspec: {ingressClassName: other, rules: [{host: eks.frieza.dev}]}\n")
	w.rest()
	before := w.records()
	w.service("shop", "eks.frieza.dev", "192.0.2.1")
	w.remove("shop")
	gone := false
	w.aws.Fail(func(c localaws.Call) *localaws.Fault {
		if in, ok := c.Input.(*route53.ChangeResourceRecordSetsInput); ok {
			for _, change := range in.ChangeBatch.Changes {
				gone = gone || change.Action == "DELETE"
			}
		}
		return nil
	})
	w.rest()
	w.aws.Fail(nil)
	after := w.records()
	if gone || len(before) != 2 || len(after) != 2 || before[1] != after[1] || !strings.Contains(after[0], "resource=service/default/shop") {
		t.Errorf("%v -> %v, taken away: %t", before, after, gone)
	}
}

// TestAZoneThatIsMadeLater: the object is told that there is none, and it is found by itself.
func TestAZoneThatIsMadeLater(t *testing.T) {
	w := newNamesWorld(t, nil)
	w.service("db", "db.example.org", "192.0.2.1")
	w.rest()
	if c := w.condition(&corev1.Service{}, "db"); c.Reason != string(lb.NoHostedZone) || !strings.Contains(c.Message, "no hosted zone has this name") {
		t.Errorf("%+v", c)
	}
	w.aws.ResetCalls()
	for range 60 {
		w.now = w.now.Add(time.Minute)
		w.pass()
	}
	if calls := w.aws.Calls()["route53:ListHostedZones"]; calls < 3 || calls > 10 {
		t.Errorf("%d looks for zones in an hour", calls)
	}
	w.createZone("example.org")
	w.now = w.now.Add(zoneMissedMost)
	w.rest()
	if c := w.condition(&corev1.Service{}, "db"); c.Status != metav1.ConditionTrue {
		t.Errorf("%+v", c)
	}
}

// TestABadNameAndItsNeighbours: one that the zone does not take costs no other, and is tried again more and more seldom.
func TestABadNameAndItsNeighbours(t *testing.T) {
	w := newNamesWorld(t, nil)
	for i := range 8 {
		w.service(fmt.Sprint("s", i), fmt.Sprintf("s%d.frieza.dev", i), "192.0.2.1")
	}
	bad := &externaldnsapi.DNSEndpoint{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "bad"}}
	bad.Spec.Endpoints = []*externaldnsapi.Endpoint{{DNSName: "bad.frieza.dev", RecordType: "CNAME", Targets: []string{"gone-1.ap-northeast-1.elb.amazonaws.com"}}}
	w.check(w.kube.Create(w.ctx, bad))
	w.rest()
	if got := len(w.records()); got != 16 {
		t.Errorf("%d records", got)
	}
	c := w.condition(&externaldnsapi.DNSEndpoint{}, "bad")
	if c.Status != metav1.ConditionFalse || c.Reason != string(lb.RecordRefused) || !strings.Contains(c.Message, "that target was not found") {
		t.Errorf("%+v", c)
	}
	w.aws.ResetCalls()
	for range 60 {
		w.now = w.now.Add(time.Minute)
		w.pass()
	}
	if calls := w.aws.Calls()["route53:ChangeResourceRecordSets"]; calls < 3 || calls > 8 {
		t.Errorf("it was tried %d times in an hour", calls)
	}
	w.service("late", "late.frieza.dev", "192.0.2.1")
	w.rest()
	if c := w.condition(&corev1.Service{}, "late"); c.Status != metav1.ConditionTrue {
		t.Errorf("%+v", c)
	}
}

// TestAnIdleHour: at most ten calls for a zone of 3,000 records, and what others change meanwhile is found and mended.
func TestAnIdleHour(t *testing.T) {
	w := newNamesWorld(t, nil)
	for i := range 5 {
		w.service(fmt.Sprint("s", i), fmt.Sprintf("s%d.frieza.dev", i), "192.0.2.1")
	}
	w.rest()
	w.aws.ResetCalls()
	for range 60 {
		w.now = w.now.Add(time.Minute)
		w.pass()
	}
	total := 0
	for operation, calls := range w.aws.Calls() {
		if strings.HasPrefix(operation, "route53:") {
			total += calls
		}
	}
	if total == 0 || total > 10 {
		t.Errorf("%d calls: %v", total, w.aws.Calls())
	}
	w.check(w.steal("s3.frieza.dev"))
	for range 11 {
		w.now = w.now.Add(time.Minute)
		w.pass()
	}
	if got := strings.Join(w.records(), "\n"); !strings.Contains(got, "\ns3.frieza.dev A 192.0.2.1") {
		t.Error(got)
	}
}

// steal deletes a name's A record, as a person would.
func (w *namesWorld) steal(name string) error {
	out, err := w.r53.ListResourceRecordSets(w.ctx, &route53.ListResourceRecordSetsInput{HostedZoneId: &w.zone, StartRecordName: &name})
	if err != nil {
		return err
	}
	p := dnsroute53.New(dnsroute53.Options{Configs: []awssdk.Config{w.aws.Config}})
	ttl := *out.ResourceRecordSets[0].TTL
	_, err = p.Change(w.ctx, dns.Zone{ID: dns.ZoneID(w.zone)}, []dns.Change{{Action: dns.Delete, Record: dns.Record{
		Name: dns.Name(name), Type: dns.A, TTL: ttl, Values: []string{*out.ResourceRecordSets[0].ResourceRecords[0].Value},
	}}})
	return err
}

// TestZonesThatCannotBeRead: nothing is planned, nothing ends, and it goes on by itself.
func TestZonesThatCannotBeRead(t *testing.T) {
	w := newNamesWorld(t, nil)
	w.service("db", "db.frieza.dev", "192.0.2.1")
	w.aws.Fail(func(c localaws.Call) *localaws.Fault {
		if c.Operation == "route53:ListResourceRecordSets" {
			return &localaws.Fault{Error: localaws.Throttled(c.Operation)}
		}
		return nil
	})
	w.rest()
	w.aws.Fail(nil)
	if got := w.records(); len(got) > 0 {
		t.Errorf("%v", got)
	}
	w.now = w.now.Add(nameRetryMost)
	w.rest()
	if got := w.records(); len(got) != 2 {
		t.Errorf("%v", got)
	}
}

// TestOnceTellsWhatFailed: one pass makes what it has just read, while the clock goes on, and returns what it could not.
func TestOnceTellsWhatFailed(t *testing.T) {
	w := newNamesWorld(t, nil)
	o := w.namesOptions(dns.Sync)
	o.Now = func() time.Time {
		w.now = w.now.Add(time.Millisecond)
		return w.now
	}
	w.names = newNames(w.kube, o)
	w.service("db", "db.frieza.dev", "192.0.2.1")
	w.check(w.names.enqueueAll(w.ctx))
	w.check(w.names.once(w.ctx))
	if got := w.records(); len(got) != 2 {
		t.Errorf("%v", got)
	}
	w.service("db2", "db2.frieza.dev", "192.0.2.1")
	w.aws.Fail(func(c localaws.Call) *localaws.Fault {
		if c.Mutating {
			return &localaws.Fault{Error: localaws.Throttled(c.Operation)}
		}
		return nil
	})
	w.check(w.names.enqueueAll(w.ctx))
	if err := w.names.once(w.ctx); err == nil || errors.Is(err, w.ctx.Err()) {
		t.Errorf("%v", err)
	}
	w.aws.Fail(nil)
}

// TestDryRun: everything is planned and nothing written, neither to zones nor to objects.
func TestDryRun(t *testing.T) {
	w := newNamesWorld(t, nil)
	o := w.namesOptions(dns.Sync)
	o.DryRun = true
	w.names = newNames(w.kube, o)
	w.service("db", "db.frieza.dev", "192.0.2.1")
	w.rest()
	if got := w.records(); len(got) > 0 || w.condition(&corev1.Service{}, "db").Type != "" {
		t.Errorf("%v", got)
	}
}

// TestSlicesAreTrimmed: what stays does not grow with the number of pods but of headless Services.
func TestSlicesAreTrimmed(t *testing.T) {
	ready, node := true, "a"
	slice := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Name: "web-1", Labels: map[string]string{discoveryv1.LabelServiceName: "web"}}}
	for i := range 100 {
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{
			Addresses: []string{fmt.Sprint("10.0.0.", i)}, NodeName: &node, Conditions: discoveryv1.EndpointConditions{Ready: &ready},
			TargetRef: &corev1.ObjectReference{Kind: "Pod", Name: fmt.Sprint(i)},
		})
	}
	for want, labels := range map[int]map[string]string{1: nil, 100: {corev1.IsHeadlessService: ""}} {
		maps.Copy(slice.Labels, labels)
		out, err := trimSlice(slice)
		if err != nil {
			t.Fatal(err)
		}
		small, _ := out.(*discoveryv1.EndpointSlice)
		if len(small.Endpoints) != want || len(slice.Endpoints) != 100 {
			t.Errorf("%d endpoints, want %d", len(small.Endpoints), want)
		}
		delete(slice.Labels, corev1.IsHeadlessService)
	}
}

// TestPlansWithout: what is dropped takes along what needs it, and the others keep their order.
func TestHeldDeletionsKeepTheRest(t *testing.T) {
	w := newNamesWorld(t, nil)
	w.host("shop", "eks.frieza.dev", "")
	w.rest()
	w.remove("shop")
	status := w.sync()["default/shop"]
	if status != plan.Later || len(w.loadBalancers()) != 1 {
		t.Errorf("%s, load balancers %v", status, w.loadBalancers())
	}
}
