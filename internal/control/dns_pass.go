package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	externaldnsapi "github.com/sluicehq/sluice/api/externaldns/v1alpha1"
	"github.com/sluicehq/sluice/internal/dns"
	"github.com/sluicehq/sluice/internal/dns/source"
	"github.com/sluicehq/sluice/internal/lb"
)

// pass works everything that is due, and returns when something is due again.
func (n *Names) pass(ctx context.Context) time.Time {
	n.working.Lock()
	defer n.working.Unlock()
	now := n.options.Now()
	n.keepZones(ctx, now)
	if !n.ready.Load() {
		return n.times.zones
	}
	touched := n.readObjects(ctx)
	names := n.takeDue(n.options.Now()) // what was just read is due by now
	if len(names) > 0 {
		n.work(ctx, names)
		for _, o := range n.index.asking(names) {
			touched[o] = true
		}
	}
	for _, o := range n.settlePending(ctx, now) {
		touched[o] = true
	}
	n.tellAll(ctx, touched)
	return n.nextTime()
}

// keepZones looks at zones as far as it is time: at which there are, and at a page of each.
func (n *Names) keepZones(ctx context.Context, now time.Time) {
	t := &n.times
	if !now.Before(t.zones) {
		n.refreshZones(ctx, now)
	}
	if n.options.Interval > 0 && !now.Before(t.resync) {
		t.resync = now.Add(n.options.Interval)
		n.addAll()
	}
	if n.ready.Load() && !now.Before(t.audit) {
		if !t.audit.IsZero() {
			n.auditZones(ctx)
		}
		t.audit = now.Add(auditEvery)
	}
}

func (n *Names) refreshZones(ctx context.Context, now time.Time) {
	t := &n.times
	changed, err := n.options.Keeper.Refresh(ctx)
	switch {
	case err != nil && ctx.Err() == nil:
		n.log.Error("cannot read the zones; trying again", "error", err)
		n.metrics.failures.Inc()
		t.missed = nextPause(t.missed, nameRetry, nameRetryMost)
		t.zones = now.Add(t.missed)
	case t.refresh && !changed:
		t.missed = nextPause(t.missed, zoneMissed, zoneMissedMost)
		t.zones = now.Add(t.missed)
	default:
		t.missed, t.refresh = 0, false
		t.zones = now.Add(zonesEvery)
	}
	if changed || err == nil && !n.ready.Load() {
		n.ready.Store(true)
		n.log.Info("read the zones", "zones", zoneNames(n.options.Keeper.Zones()))
		n.addAll()
	}
}

func nextPause(last, first, most time.Duration) time.Duration {
	if last == 0 {
		return first
	}
	return min(2*last, most)
}

func zoneNames(zones []dns.Zone) []string {
	var out []string
	for _, z := range zones {
		out = append(out, string(z.Name)+".")
	}
	return out
}

// addAll makes every name due: all that are asked for, and all that we own something at.
func (n *Names) addAll() {
	names := n.options.Keeper.Owned()
	for name := range n.index.byName {
		names = append(names, name)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, name := range names {
		if _, failing := n.todo.failures[name]; !failing { // those have a time of their own
			n.todo.add(name, n.options.Now())
		}
	}
}

func (n *Names) auditZones(ctx context.Context) {
	for _, z := range n.options.Keeper.Zones() {
		changed, err := n.options.Keeper.Audit(ctx, z)
		if err != nil && ctx.Err() == nil {
			n.log.Error("cannot compare a zone with what is known of it", "zoneName", string(z.Name)+".", "error", err)
		}
		for _, name := range changed {
			n.log.Info("others have changed a name", "name", name, "zoneName", string(z.Name)+".")
		}
		if len(changed) > 0 {
			n.addAll() // what changed may be a marker, which tells of another name
		}
	}
}

// readObjects reads objects that changed, and makes the names due that they are about.
func (n *Names) readObjects(ctx context.Context) map[lb.Object]bool {
	n.mu.Lock()
	objects := n.todo.objects
	n.todo.objects = map[lb.Object]bool{}
	n.mu.Unlock()
	for o := range objects {
		read, err := n.readObject(ctx, o)
		if err != nil {
			if ctx.Err() == nil {
				n.log.Error("cannot read an object from the cache", "object", o.String(), "error", err)
			}
			n.mark(o)
			continue
		}
		n.due(n.index.set(o, read)...)
	}
	return objects
}

// due makes names due at once, also those that failed before: what they failed for may have changed.
func (n *Names) due(names ...dns.Name) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, name := range names {
		delete(n.todo.failures, name)
		n.todo.add(name, n.options.Now())
	}
}

func (n *Names) takeDue(now time.Time) []dns.Name {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.todo.take(now)
}

// readObject says what an object asks for. One that is being deleted asks for nothing: names go before what they point at.
func (n *Names) readObject(ctx context.Context, o lb.Object) (source.Read, error) {
	key := types.NamespacedName{Namespace: o.Namespace, Name: o.Name}
	object := newObject(o.Kind)
	if err := n.client.Get(ctx, key, object, client.UnsafeDisableDeepCopy); err != nil {
		return source.Read{}, client.IgnoreNotFound(err)
	}
	if object.GetDeletionTimestamp() != nil {
		return source.Read{}, nil
	}
	managed := n.statusIsOfBalancer(object)
	if n.facts != nil {
		owns, err := n.facts.owns(ctx, o)
		if err != nil {
			return source.Read{}, err
		}
		managed = managed || owns
	}
	switch object := object.(type) {
	case *networkingv1.Ingress:
		return n.options.Sources.Ingress(object, managed), nil
	case *corev1.Service:
		around, err := n.around(ctx, object)
		return n.options.Sources.Service(object, around, managed), err
	case *externaldnsapi.DNSEndpoint:
		return n.options.Sources.DNSEndpoint(object), nil
	}
	return source.Read{}, fmt.Errorf("objects of kind %s ask for no names", o.Kind)
}

func newObject(kind string) client.Object {
	switch kind {
	case "Ingress":
		return &networkingv1.Ingress{}
	case "Service":
		return &corev1.Service{}
	default:
		return &externaldnsapi.DNSEndpoint{}
	}
}

// statusIsOfBalancer says whether an object shows a load balancer that we knew once: it is ours, and if it is not known
// any more it is gone.
func (n *Names) statusIsOfBalancer(object client.Object) bool {
	known := func(host string) bool {
		name, err := dns.ParseName(host)
		return err == nil && n.hosts[name]
	}
	switch object := object.(type) {
	case *networkingv1.Ingress:
		return slices.ContainsFunc(object.Status.LoadBalancer.Ingress, func(i networkingv1.IngressLoadBalancerIngress) bool { return known(i.Hostname) })
	case *corev1.Service:
		return slices.ContainsFunc(object.Status.LoadBalancer.Ingress, func(i corev1.LoadBalancerIngress) bool { return known(i.Hostname) })
	}
	return false
}

// around reads what a Service's names depend on.
func (n *Names) around(ctx context.Context, s *corev1.Service) (source.Around, error) {
	var around source.Around
	if source.NeedsSlices(s) {
		var list discoveryv1.EndpointSliceList
		err := n.client.List(ctx, &list, client.InNamespace(s.Namespace), client.MatchingLabels{discoveryv1.LabelServiceName: s.Name}, client.UnsafeDisableDeepCopy)
		if err != nil {
			return around, err
		}
		around.Slices = pointers(list.Items)
	}
	if source.NeedsNodes(s) {
		var list corev1.NodeList
		if err := n.client.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil {
			return around, err
		}
		around.Nodes = pointers(list.Items)
	}
	return around, nil
}

// work plans names and changes the zones.
func (n *Names) work(ctx context.Context, names []dns.Name) {
	now := n.options.Now()
	balancers, err := n.balancers(ctx, names, now)
	if err != nil {
		if ctx.Err() == nil {
			n.log.Error("cannot tell the load balancers of names", "error", err)
		}
		n.mu.Lock()
		defer n.mu.Unlock()
		for _, name := range names {
			n.todo.failed(name, err, now, nameRetry, nameRetryMost)
		}
		return
	}
	var plans []dns.NamePlan
	for _, name := range names {
		endpoints := n.index.endpoints(name)
		planned := n.options.Keeper.Plan(name, endpoints, balancers)
		n.answers[name] = n.unzoned(name, endpoints)
		for _, p := range planned {
			n.answers[name] = append(n.answers[name], p.Answers...)
		}
		n.waitForBalancer(name, now)
		plans = append(plans, planned...)
		if len(endpoints) == 0 && len(n.answers[name]) == 0 {
			delete(n.answers, name)
		}
	}
	n.logDesired(plans)
	if !n.options.DryRun {
		n.concluded(n.options.Keeper.Apply(ctx, plans), now)
	}
}

// unzoned tells those whose name is in no zone.
func (n *Names) unzoned(name dns.Name, endpoints []dns.Endpoint) []dns.Answer {
	var out []dns.Answer
	for _, e := range endpoints {
		served, zoned := n.options.Keeper.Serves(name, e.Settings.Zone)
		if !served || zoned {
			continue // names outside of the domains are somebody else's
		}
		value := string(e.Settings.Zone)
		out = append(out, dns.Answer{Object: e.From, Name: name, Verdict: &lb.Verdict{
			Object: e.From, Severity: lb.Partial, Reason: lb.NoHostedZone, Field: "name " + string(name), Value: value,
			Problem: "no hosted zone has this name", Fix: "Create a zone for it; it is found by itself",
		}})
		if !n.times.refresh {
			n.times.refresh, n.times.missed = true, 0
			n.times.zones = n.options.Now() // look at once
		}
	}
	return out
}

// balancers are the load balancers of those who ask for names.
func (n *Names) balancers(ctx context.Context, names []dns.Name, now time.Time) (dns.Balancers, error) {
	if n.facts == nil {
		return nil, nil
	}
	waiting := slices.ContainsFunc(names, func(name dns.Name) bool {
		return slices.ContainsFunc(n.answers[name], func(a dns.Answer) bool { return a.Waiting != "" })
	})
	if waiting && now.Sub(n.times.looked) >= balancerAgain {
		n.times.looked = now
		if err := n.facts.look(ctx); err != nil {
			return nil, err
		}
	}
	balancers, err := n.facts.balancersOf(ctx, n.index.asking(names))
	for host := range balancers {
		n.hosts[host] = true
	}
	return balancers, err
}

// waitForBalancer looks again at a name whose load balancer does not serve yet.
func (n *Names) waitForBalancer(name dns.Name, now time.Time) {
	if n.facts != nil && slices.ContainsFunc(n.answers[name], func(a dns.Answer) bool { return a.Waiting != "" }) {
		n.mu.Lock()
		n.todo.add(name, now.Add(balancerAgain))
		n.mu.Unlock()
	}
}

// logDesired says what is about to change, zone by zone.
func (n *Names) logDesired(plans []dns.NamePlan) {
	byZone := map[dns.ZoneID][]dns.Change{}
	zones := map[dns.ZoneID]dns.Zone{}
	for _, p := range plans {
		byZone[p.Zone.ID] = append(byZone[p.Zone.ID], p.Changes...)
		zones[p.Zone.ID] = p.Zone
	}
	for _, z := range n.options.Keeper.Zones() {
		changes := byZone[z.ID]
		dns.SortChanges(changes)
		for _, c := range changes {
			n.log.Info("Desired change: "+c.String(), "zoneID", "/hostedzone/"+string(z.ID), "zoneName", string(z.Name)+".")
		}
	}
}

// concluded takes over how plans ended.
func (n *Names) concluded(results []dns.Result, now time.Time) {
	written := map[dns.ZoneID]int{}
	zones := map[dns.ZoneID]dns.Zone{}
	for _, r := range results {
		name := r.Plan.Name
		switch {
		case r.Err == nil && len(r.Plan.Changes) > 0:
			written[r.Plan.Zone.ID] += len(r.Plan.Changes)
			zones[r.Plan.Zone.ID] = r.Plan.Zone
			n.metrics.counted(r.Plan.Changes)
			n.addPending(r.ID, name, now)
			fallthrough
		case r.Err == nil:
			n.mu.Lock()
			delete(n.todo.failures, name)
			n.mu.Unlock()
		default:
			n.failed(r, now)
		}
	}
	for id, count := range written {
		n.log.Info(fmt.Sprintf("%d record(s) were successfully updated", count), "zoneID", "/hostedzone/"+string(id), "zoneName", string(zones[id].Name)+".")
	}
}

func (n *Names) failed(r dns.Result, now time.Time) {
	name := r.Plan.Name
	if errors.Is(r.Err, context.Canceled) {
		return
	}
	n.metrics.failures.Inc()
	n.log.Error("Failed submitting changes of a name, which will be tried again by itself", "name", name, "zoneName", string(r.Plan.Zone.Name)+".", "error", r.Err, "stale", r.Stale)
	n.mu.Lock()
	again := r.Stale && n.todo.failures[name].times == 0
	switch {
	case again:
		n.todo.failed(name, r.Err, now, 0, 0) // the zone is now known as it is: plan again at once
	case r.Refused():
		n.todo.failed(name, r.Err, now, refusedRetry, refusedMost)
	default:
		n.todo.failed(name, r.Err, now, nameRetry, nameRetryMost)
	}
	n.mu.Unlock()
	for i := range n.answers[name] {
		a := &n.answers[name][i]
		if a.Zone != r.Plan.Zone.ID || len(a.Records) == 0 || a.Verdict != nil {
			continue
		}
		a.Records = nil
		if again || !r.Refused() {
			a.Waiting = "trying again: " + r.Err.Error()
			continue
		}
		a.Verdict = &lb.Verdict{
			Object: a.Object, Severity: lb.Partial, Reason: lb.RecordRefused, Field: "name " + string(name),
			Problem: "the zone does not take the records: " + r.Err.Error(), Fix: "Correct the object; it is tried again by itself",
		}
	}
}

// pendingChange is a change that is not known to be in force yet.
type pendingChange struct {
	id    dns.ChangeID
	names []dns.Name
	next  time.Time
}

func (n *Names) addPending(id dns.ChangeID, name dns.Name, now time.Time) {
	if id == "" {
		return
	}
	for i := range n.pending {
		if n.pending[i].id == id {
			n.pending[i].names = append(n.pending[i].names, name)
			return
		}
	}
	n.pending = append(n.pending, pendingChange{id, []dns.Name{name}, now.Add(syncedFirst)})
}

// settlePending asks whether changes are in force, and returns the objects for which they are now.
func (n *Names) settlePending(ctx context.Context, now time.Time) []lb.Object {
	var settled []dns.Name
	n.pending = slices.DeleteFunc(n.pending, func(p pendingChange) bool {
		if p.next.After(now) {
			return false
		}
		synced, err := n.options.Keeper.Synced(ctx, p.id)
		if err != nil && ctx.Err() == nil {
			n.log.Warn("cannot tell whether a change is in force", "change", p.id, "error", err)
		}
		if synced {
			settled = append(settled, p.names...)
		}
		return synced
	})
	for i := range n.pending {
		if !n.pending[i].next.After(now) {
			n.pending[i].next = now.Add(syncedAgain)
		}
	}
	return n.index.asking(settled)
}

func (n *Names) isPending(name dns.Name) bool {
	return slices.ContainsFunc(n.pending, func(p pendingChange) bool { return slices.Contains(p.names, name) })
}

// nextTime is when something is due again.
func (n *Names) nextTime() time.Time {
	next := n.times.zones
	earlier := func(at time.Time) {
		if !at.IsZero() && at.Before(next) {
			next = at
		}
	}
	earlier(n.times.audit)
	if n.options.Interval > 0 {
		earlier(n.times.resync)
	}
	for _, p := range n.pending {
		earlier(p.next)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, at := range n.todo.due {
		earlier(at)
	}
	if len(n.todo.objects) > 0 {
		earlier(n.options.Now().Add(nameRetry))
	}
	return next
}
