package control

import (
	"flag"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluicehq/sluice/internal/annot"
	"github.com/sluicehq/sluice/internal/dns"
	"github.com/sluicehq/sluice/internal/lb"
)

var full = flag.Bool("full", false, "measure names with 4,000 objects and 10,000 records, instead of a tenth")

// scale is how many objects ask for a name each, and how many records the zone has.
func scale() (objects, records int) {
	if *full {
		return 4000, 10_000
	}
	return 400, 1000
}

// What is promised for the full scale (docs/dns.md).
const (
	newHostTime  = 3 * time.Second
	newHostCalls = 2
	idleCalls    = 10
)

// large is a world of that scale.
func large(t *testing.T) *namesWorld {
	w := newNamesWorld(t, nil)
	manyObjects, manyRecords := scale()
	w.check(w.aws.SetQuota("sluice/record-sets-per-zone", 2*manyRecords))
	for i := range manyObjects {
		name := fmt.Sprintf("app-%d", i)
		meta := metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID(name)}
		if i%4 == 0 {
			meta.Annotations = map[string]string{annot.DNSPrefix + "hostname": name + ".frieza.dev"}
			s := &corev1.Service{ObjectMeta: meta, Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer}}
			s.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "192.0.2.1"}}
			w.check(w.kube.Create(w.ctx, s))
			continue
		}
		class := "other"
		ingress := &networkingv1.Ingress{ObjectMeta: meta, Spec: networkingv1.IngressSpec{IngressClassName: &class, Rules: []networkingv1.IngressRule{{Host: name + ".frieza.dev"}}}}
		ingress.Status.LoadBalancer.Ingress = []networkingv1.IngressLoadBalancerIngress{{IP: "192.0.2.2"}}
		w.check(w.kube.Create(w.ctx, ingress))
	}
	provider := w.names.options.Keeper
	_, err := provider.Refresh(w.ctx)
	w.check(err)
	w.plant(manyRecords - 2*manyObjects)
	w.restart(dns.Sync)
	w.names.options.Status = false // the fake API server is what would be measured
	w.pass()
	return w
}

// plant makes records that others own.
func (w *namesWorld) plant(count int) {
	w.Helper()
	var plans []dns.NamePlan
	o := dns.Options{Policy: dns.Sync, Types: []dns.Type{dns.A}}
	zone := dns.Zone{ID: dns.ZoneID(w.zone), Name: "frieza.dev"}
	for i := range count {
		name := dns.Name(fmt.Sprintf("other-%d.frieza.dev", i))
		plans = append(plans, dns.Plan(dns.Situation{
			Zone: zone, Name: name, Have: func(dns.Name) []dns.Record { return nil },
			Endpoints: []dns.Endpoint{{Name: name, Type: dns.A, Targets: []string{"198.51.100.1"}, From: lb.Object{Kind: "Service"}}},
		}, o))
	}
	for _, r := range w.names.options.Keeper.Apply(w.ctx, plans) {
		w.check(r.Err)
	}
}

func (w *namesWorld) route53Calls() (total int) {
	for operation, calls := range w.aws.Calls() {
		if strings.HasPrefix(operation, "route53:") {
			total += calls
		}
	}
	w.aws.ResetCalls()
	return total
}

// TestALargeCluster: a new host costs two calls and well below three seconds, an idle hour ten calls, and the loop little
// memory.
func TestALargeCluster(t *testing.T) {
	w := large(t)
	w.now = w.now.Add(syncedFirst)
	w.names.pass(w.ctx)
	manyObjects, _ := scale()
	if got := len(w.names.options.Keeper.Owned()); got != manyObjects {
		t.Fatalf("%d names are owned", got)
	}
	w.route53Calls()

	w.service("late", "late.frieza.dev", "192.0.2.3")
	began := time.Now()
	w.names.mark(lb.Object{Kind: "Service", Namespace: "default", Name: "late"})
	w.names.pass(w.ctx)
	took := time.Since(began)
	w.now = w.now.Add(syncedFirst)
	w.names.pass(w.ctx)
	if calls := w.route53Calls(); calls > newHostCalls || took > newHostTime-namesWindow {
		t.Errorf("a new host: %s, %d calls", took, calls)
	} else {
		t.Logf("a new host: %s, %d calls", took, calls)
	}
	if got := w.names.answers["late.frieza.dev"]; len(got) != 1 || len(got[0].Records) != 1 || w.names.isPending("late.frieza.dev") {
		t.Errorf("%+v", got)
	}

	w.names.options.Interval = time.Minute
	w.now = w.now.Add(time.Minute)
	w.names.pass(w.ctx)
	w.route53Calls()
	began = time.Now()
	for range 60 {
		w.now = w.now.Add(time.Minute)
		w.names.pass(w.ctx)
	}
	if calls := w.route53Calls(); calls == 0 || calls > idleCalls {
		t.Errorf("an idle hour: %d calls", calls)
	} else {
		t.Logf("an idle hour: %d calls, %s of work", calls, time.Since(began))
	}
	t.Logf("memory of the loop: %d kB", w.memory()/1024)
	if kB := w.memory() / 1024; kB > 64<<10 {
		t.Errorf("the loop takes %d kB", kB)
	}
}

// memory is what is freed when the loop goes.
func (w *namesWorld) memory() uint64 {
	use := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	with := use()
	w.use(newNames(w.kube, w.namesOptions(dns.Sync)))
	w.names = nil
	return with - min(with, use())
}
