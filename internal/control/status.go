package control

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicehq/sluice/internal/lb"
)

// serviceKind is the kind of Services among a stack's members; the others are Ingresses.
const serviceKind = "Service"

// publish writes the load balancer's address into the status of every member that does not have it yet. An address is
// never taken away from a member.
func (c *Controller) publish(ctx context.Context, stack lb.Stack, observed lb.Observed) error {
	want := addresses(stack, observed)
	if len(want) == 0 {
		return nil
	}
	var errs []error
	for _, member := range stack.Members {
		object, err := c.member(ctx, member)
		if err != nil {
			return err
		}
		switch o := object.(type) {
		case *networkingv1.Ingress:
			if !sameAddresses(o.Status.LoadBalancer.Ingress, want) {
				errs = append(errs, c.writeAddresses(ctx, o, want))
			}
		case *corev1.Service:
			// The API server keeps an address of Services of this type only.
			own := serviceAddresses(o, want)
			if o.Spec.Type == corev1.ServiceTypeLoadBalancer && !equality.Semantic.DeepEqual(o.Status.LoadBalancer.Ingress, own) {
				errs = append(errs, c.writeAddresses(ctx, o, own))
			}
		}
	}
	return errors.Join(errs...)
}

// writeAddresses replaces the addresses in an object's status.
func (c *Controller) writeAddresses(ctx context.Context, o client.Object, addresses any) error {
	patch, err := json.Marshal(map[string]any{"status": map[string]any{"loadBalancer": map[string]any{"ingress": addresses}}})
	if err != nil {
		return fmt.Errorf("patch the status of %s: %w", nameOf(o), err)
	}
	target, _ := o.DeepCopyObject().(client.Object) // the answer goes into it
	if err := c.client.Status().Patch(ctx, target, client.RawPatch(types.MergePatchType, patch)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("patch the status of %s: %w", nameOf(o), err)
	}
	return nil
}

// unpublish takes the address out of the status of a Service that stays and leaves its stack: another controller may
// give it one.
func (c *Controller) unpublish(ctx context.Context, o client.Object) error {
	service, ok := o.(*corev1.Service)
	if !ok || !service.DeletionTimestamp.IsZero() || len(service.Status.LoadBalancer.Ingress) == 0 {
		return nil
	}
	return c.writeAddresses(ctx, service, nil)
}

// serviceAddresses are what a Service shows: each name, with the Service's ports.
func serviceAddresses(service *corev1.Service, want []networkingv1.IngressLoadBalancerIngress) []corev1.LoadBalancerIngress {
	var out []corev1.LoadBalancerIngress
	for _, address := range want {
		own := corev1.LoadBalancerIngress{Hostname: address.Hostname}
		for _, p := range service.Spec.Ports {
			own.Ports = append(own.Ports, corev1.PortStatus{Port: p.Port, Protocol: cmp.Or(p.Protocol, corev1.ProtocolTCP)})
		}
		out = append(out, own)
	}
	return out
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
