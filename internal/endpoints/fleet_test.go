package endpoints

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/sluicehq/sluice/internal/lb"
)

// The port counts by name; who is not ready serves only while it ends; who is in two slices is there once.
func TestEndpointsOfABackend(t *testing.T) {
	yes, no := true, false
	name, zone := "http", "a"
	http, other := int32(8080), int32(9090)
	slice := func(kind discoveryv1.AddressType, list ...discoveryv1.Endpoint) *discoveryv1.EndpointSlice {
		otherName := "admin"
		return &discoveryv1.EndpointSlice{AddressType: kind, Endpoints: list, Ports: []discoveryv1.EndpointPort{
			{Name: &name, Port: &http, Protocol: new(corev1.Protocol)}, {Name: &otherName, Port: &other},
		}}
	}
	at := func(address string, c discoveryv1.EndpointConditions) discoveryv1.Endpoint {
		return discoveryv1.Endpoint{Addresses: []string{address}, Conditions: c, Zone: &zone}
	}
	list := []*discoveryv1.EndpointSlice{
		slice(discoveryv1.AddressTypeIPv4,
			at("10.0.0.2", discoveryv1.EndpointConditions{Ready: &yes}),
			at("10.0.0.1", discoveryv1.EndpointConditions{}),
			at("10.0.0.3", discoveryv1.EndpointConditions{Ready: &no}),
			at("10.0.0.4", discoveryv1.EndpointConditions{Ready: &no, Serving: &yes, Terminating: &yes}),
			at("10.0.0.5", discoveryv1.EndpointConditions{Ready: &no, Serving: &no, Terminating: &yes})),
		slice(discoveryv1.AddressTypeIPv4, at("10.0.0.2", discoveryv1.EndpointConditions{Ready: &yes})),
		slice(discoveryv1.AddressTypeFQDN, at("example.com", discoveryv1.EndpointConditions{Ready: &yes})),
	}
	got := OfBackend(list, lb.Backend{PortName: "http"})
	want := []lb.Endpoint{
		{Address: "10.0.0.1", Port: 8080, Zone: "a"}, {Address: "10.0.0.2", Port: 8080, Zone: "a"}, {Address: "10.0.0.4", Port: 8080, Zone: "a", Draining: true},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
