package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicehq/sluice/internal/lb"
)

// publish writes the load balancer's address into the status of every member that does not have it yet. An address is
// never taken away.
func (c *Controller) publish(ctx context.Context, stack lb.Stack, observed lb.Observed) error {
	want := addresses(stack, observed)
	if len(want) == 0 {
		return nil
	}
	var errs []error
	for _, member := range stack.Members {
		ingress, err := c.ingress(ctx, member)
		if err != nil {
			return err
		}
		if ingress == nil || sameAddresses(ingress.Status.LoadBalancer.Ingress, want) {
			continue
		}
		patch, err := json.Marshal(map[string]any{"status": map[string]any{"loadBalancer": map[string]any{"ingress": want}}})
		if err != nil {
			return fmt.Errorf("patch the status of %s: %w", member, err)
		}
		target := &networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{Namespace: member.Namespace, Name: member.Name}}
		err = c.client.Status().Patch(ctx, target, client.RawPatch(types.MergePatchType, patch))
		if client.IgnoreNotFound(err) != nil {
			errs = append(errs, fmt.Errorf("patch the status of %s: %w", member, err))
		}
	}
	return errors.Join(errs...)
}

// addresses are what members show: each load balancer's DNS name with the ports that it listens on.
func addresses(stack lb.Stack, observed lb.Observed) []networkingv1.IngressLoadBalancerIngress {
	var out []networkingv1.IngressLoadBalancerIngress
	for _, want := range stack.LoadBalancers {
		i := slices.IndexFunc(observed.LoadBalancers, func(o lb.ObservedLoadBalancer) bool { return o.ID == want.ID && o.DNSName != "" })
		if i < 0 {
			continue
		}
		address := networkingv1.IngressLoadBalancerIngress{Hostname: strings.ToLower(observed.LoadBalancers[i].DNSName)}
		ports := map[int32]bool{}
		for _, l := range want.Listeners {
			ports[int32(l.Port)] = true
		}
		for _, port := range slices.Sorted(maps.Keys(ports)) {
			address.Ports = append(address.Ports, networkingv1.IngressPortStatus{Port: port, Protocol: corev1.ProtocolTCP})
		}
		out = append(out, address)
	}
	return out
}

// sameAddresses compares names and port numbers, in any order: others write no protocol.
func sameAddresses(a, b []networkingv1.IngressLoadBalancerIngress) bool {
	keys := func(list []networkingv1.IngressLoadBalancerIngress) []string {
		var out []string
		for _, i := range list {
			var ports []int32
			for _, p := range i.Ports {
				ports = append(ports, p.Port)
			}
			slices.Sort(ports)
			out = append(out, fmt.Sprint(i.Hostname, " ", i.IP, " ", ports))
		}
		slices.Sort(out)
		return out
	}
	return slices.Equal(keys(a), keys(b))
}
