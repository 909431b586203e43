package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicehq/sluice/internal/lb"
)

// statusWriters is how many objects' statuses are written at a time.
const statusWriters = 16

// fleetStatus is the part that only the leader runs: what users are told.
type fleetStatus struct {
	*Fleet
	recorder recorder
	told     map[lb.Verdict]bool
	now      func() metav1.Time
}

func newFleetStatus(f *Fleet) *fleetStatus {
	return &fleetStatus{Fleet: f, recorder: recorder{f.client, f.log}, told: map[lb.Verdict]bool{}, now: metav1.Now}
}

// NeedLeaderElection says yes.
func (*fleetStatus) NeedLeaderElection() bool { return true }

// Start writes after each pass, and once when it begins to lead.
func (s *fleetStatus) Start(ctx context.Context) error {
	notify(s.report)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.report:
		}
		state := s.state.Load()
		if state == nil {
			continue // the first pass will report
		}
		if err := s.write(ctx, state); err != nil && ctx.Err() == nil {
			s.log.Error("cannot write all statuses; trying again", "error", err)
			time.AfterFunc(firstRetry, func() { notify(s.report) })
		}
	}
}

// write brings all statuses to what they should be, and records events for verdicts that are new.
func (s *fleetStatus) write(ctx context.Context, state *fleetState) error {
	verdicts := slices.Clone(state.fleet.Verdicts)
	for _, list := range s.options.Engine.Refusals() {
		verdicts = append(verdicts, list...)
	}
	addresses := s.addresses(state)
	about := map[lb.Object][]lb.Verdict{}
	for _, v := range lb.SortVerdicts(verdicts) {
		about[v.Object] = append(about[v.Object], v)
	}
	var jobs []func() error
	for _, result := range state.fleet.Proxies {
		jobs = append(jobs, func() error { return s.proxy(ctx, state, result, about[result.Object], addresses) })
	}
	for _, member := range state.fleet.Members {
		if ingress := state.objects.Ingress(member.Namespace, member.Name); ingress != nil && member.Kind == "Ingress" {
			jobs = append(jobs, func() error { return s.ingress(ctx, ingress, addresses) })
		}
	}
	err := each(statusWriters, jobs)
	s.tell(ctx, state, lb.SortVerdicts(verdicts))
	return err
}

// addresses are the fleet's: those given, or those that its Service has. Where there are none any more, none are shown.
func (s *fleetStatus) addresses(state *fleetState) []networkingv1.IngressLoadBalancerIngress {
	var out []networkingv1.IngressLoadBalancerIngress
	for _, address := range s.options.Addresses {
		if _, err := netip.ParseAddr(address); err == nil {
			out = append(out, networkingv1.IngressLoadBalancerIngress{IP: address})
		} else {
			out = append(out, networkingv1.IngressLoadBalancerIngress{Hostname: address})
		}
	}
	service := state.objects.Service(s.options.Service.Namespace, s.options.Service.Name)
	if len(out) > 0 || service == nil {
		return out
	}
	for _, i := range service.Status.LoadBalancer.Ingress {
		out = append(out, networkingv1.IngressLoadBalancerIngress{IP: i.IP, Hostname: i.Hostname})
	}
	return out
}

func (s *fleetStatus) ingress(ctx context.Context, ingress *networkingv1.Ingress, want []networkingv1.IngressLoadBalancerIngress) error {
	if sameAddresses(ingress.Status.LoadBalancer.Ingress, want) {
		return nil
	}
	target := &networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{Namespace: ingress.Namespace, Name: ingress.Name}}
	return s.patch(ctx, target, map[string]any{"loadBalancer": map[string]any{"ingress": want}})
}

// patch replaces fields of an object's status.
func (s *fleetStatus) patch(ctx context.Context, target client.Object, status any) error {
	text, err := json.Marshal(map[string]any{"status": status})
	if err != nil {
		return fmt.Errorf("patch the status of %s: %w", client.ObjectKeyFromObject(target), err)
	}
	err = s.client.Status().Patch(ctx, target, client.RawPatch(types.MergePatchType, text))
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("patch the status of %s: %w", client.ObjectKeyFromObject(target), err)
	}
	return nil
}

// tell records an event for each verdict that has not been told. One that goes and comes back is told again.
func (s *fleetStatus) tell(ctx context.Context, state *fleetState, verdicts []lb.Verdict) {
	told := map[lb.Verdict]bool{}
	for _, v := range verdicts {
		if !s.told[v] {
			object := objectOf(state.objects, nil, v.Object)
			if object != nil && !s.recorder.record(ctx, object, corev1.EventTypeWarning, string(v.Reason), v.Message()) {
				continue
			}
		}
		told[v] = true
	}
	s.told = told
}

// each runs jobs, some at a time.
func each(parallel int, jobs []func() error) error {
	var (
		mu      sync.Mutex
		errs    []error
		running sync.WaitGroup
	)
	next := make(chan func() error)
	for range parallel {
		running.Go(func() {
			for job := range next {
				if err := job(); err != nil {
					mu.Lock()
					errs = append(errs, err)
					mu.Unlock()
				}
			}
		})
	}
	for _, job := range jobs {
		next <- job
	}
	close(next)
	running.Wait()
	return errors.Join(errs...)
}
