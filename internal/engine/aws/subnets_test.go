package aws

import (
	"slices"
	"strings"
	"testing"

	"github.com/sluicehq/sluice/internal/lb"
)

func TestSubnetsAreChosen(t *testing.T) {
	public := tags{publicRoleTag: "1"}
	net := vpcNetwork{
		ZoneTypes: map[string]string{
			"a": "availability-zone", "c": "availability-zone", "d": "availability-zone", "l": "local-zone",
		},
		Subnets: []subnet{
			{ID: "subnet-1", Zone: "a", FreeAddresses: 100, Tags: public},
			{ID: "subnet-2", Zone: "a", FreeAddresses: 100, Tags: tags{publicRoleTag: "", "kubernetes.io/cluster/demo": "shared"}},
			{ID: "subnet-3", Zone: "c", FreeAddresses: 100, Tags: tags{publicRoleTag: "1", "kubernetes.io/cluster/other": "owned"}},
			{ID: "subnet-4", Zone: "c", FreeAddresses: 7, Tags: public},
			{ID: "subnet-5", Zone: "c", FreeAddresses: 8, Tags: public},
			{ID: "subnet-6", Zone: "d", FreeAddresses: 100, Tags: tags{publicRoleTag: "0", "Name": "two"}},
			{ID: "subnet-7", Zone: "c", FreeAddresses: 1, Tags: tags{"Name": "two", "tier": "edge"}},
			{ID: "subnet-8", Zone: "l", FreeAddresses: 100, Tags: tags{"Name": "local"}},
		},
	}
	balancer := func(scheme lb.Scheme, selection lb.SubnetSelection) lb.LoadBalancer {
		return lb.LoadBalancer{Scheme: scheme, Subnets: selection}
	}
	named := func(list ...string) lb.SubnetSelection { return lb.SubnetSelection{IDsOrNames: list} }
	for _, c := range []struct {
		name     string
		balancer lb.LoadBalancer
		want     string // ids, or what the problem says
	}{
		{"the cluster's own first, one a zone, none of another cluster, none that is full", balancer(lb.InternetFacing, lb.SubnetSelection{}), "subnet-2 subnet-5"},
		{"ids are taken as they are, full or not", balancer(lb.Internal, named("subnet-7", "subnet-1")), "subnet-7 subnet-1"},
		{"a name is taken as often as it is given", balancer(lb.Internal, named("two", "two")), "subnet-6 subnet-7"},
		{"a name given too often", balancer(lb.Internal, named("two", "two", "two")), "no such subnet"},
		{"an id that is not there", balancer(lb.Internal, named("subnet-1", "subnet-9")), "no such subnet"},
		{"two in a zone", balancer(lb.Internal, named("subnet-1", "subnet-2")), "zone a"},
		{"one zone", balancer(lb.Internal, named("subnet-1")), "at least 2 zones"},
		{"one local zone is enough", balancer(lb.Internal, named("local")), "subnet-8"},
		{"mixed kinds", balancer(lb.Internal, named("local", "subnet-1")), "different kinds"},
		{"tags that match a full subnet only", balancer(lb.Internal, lb.SubnetSelection{Tags: []lb.TagFilter{{Key: "tier", Values: []string{"edge", "x"}}}}), "1 found, 0 of them for other clusters only, 1 with fewer"},
		{"no role tag at all", balancer(lb.Internal, lb.SubnetSelection{}), "route tables needed"},
	} {
		ids, problem, needRoutes := chooseSubnets(net, "demo", c.balancer)
		got := strings.Join(ids, " ")
		if problem != nil {
			got = problem.Problem
		}
		if needRoutes {
			got = "route tables needed"
		}
		if !strings.Contains(got, c.want) || problem == nil && !needRoutes && got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
	network := lb.LoadBalancer{Type: lb.Network, Scheme: lb.Internal, IPAddressType: lb.DualStack, Subnets: named("subnet-1")}
	if ids, problem, _ := chooseSubnets(net, "demo", network); ids != nil || !strings.Contains(problem.Problem, "no block of IPv6") {
		t.Errorf("a dualstack load balancer in a subnet without IPv6: %v", ids)
	}
	network.IPAddressType = lb.IPv4
	if ids, problem, _ := chooseSubnets(net, "demo", network); !slices.Equal(ids, []string{"subnet-1"}) {
		t.Errorf("one zone is enough for a network load balancer: %v", problem)
	}
	network.Subnets, network.IPAddressType, network.Scheme = lb.SubnetSelection{}, lb.DualStack, lb.InternetFacing
	if _, problem, _ := chooseSubnets(net, "demo", network); problem == nil || !strings.Contains(problem.Problem, "3 without IPv6") {
		t.Errorf("discovery says what lacks IPv6: %+v", problem)
	}
	net.Public = map[string]bool{"subnet-1": true}
	ids, _, _ := chooseSubnets(net, "demo", balancer(lb.Internal, lb.SubnetSelection{}))
	if ids != nil {
		t.Errorf("a local zone and ordinary ones were mixed: %v", ids)
	}
	net.Subnets = net.Subnets[:7]
	ids, problem, _ := chooseSubnets(net, "demo", balancer(lb.Internal, lb.SubnetSelection{}))
	if !slices.Equal(ids, []string{"subnet-2", "subnet-5", "subnet-6"}) {
		t.Errorf("private subnets by route: %v, %v", ids, problem)
	}
}

func TestWhoSelectedTheSubnetsIsTold(t *testing.T) {
	web := lb.Object{Kind: "Ingress", Namespace: "default", Name: "web"}
	other := lb.Object{Kind: "Ingress", Namespace: "default", Name: "other"}
	selection := lb.SubnetSelection{IDsOrNames: []string{"nowhere"}, From: web, Field: "metadata.annotations[x]"}
	_, problem, _ := chooseSubnets(vpcNetwork{}, "demo", lb.LoadBalancer{Subnets: selection})
	got := problem.verdicts([]lb.Object{other, web}, selection)
	if len(got) != 2 || got[1].Field != selection.Field || got[1].Value != "nowhere" || got[1].Reason != lb.SubnetNotFound ||
		got[0].Field != "" || !strings.Contains(got[0].Problem, web.String()) {
		t.Errorf("got %+v", got)
	}
}
