package aws

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicehq/sluice/internal/lb"
)

func subnetsForAddresses() []subnet {
	block := netip.MustParsePrefix
	return []subnet{
		{ID: "subnet-a", Blocks: []netip.Prefix{block("10.0.0.0/24"), block("2001:db8:0:a::/64")}},
		{ID: "subnet-b", Blocks: []netip.Prefix{block("10.0.1.0/24"), block("2001:db8:0:b::/64")}},
	}
}

func given(values ...string) []lb.StaticAddress {
	var out []lb.StaticAddress
	for _, v := range values {
		out = append(out, lb.StaticAddress{Value: v, From: lb.Object{Kind: "Service", Name: "web"}, Field: "x"})
	}
	return out
}

// Allocations and prefixes go to subnets in the order that these are named; addresses go where they belong.
func TestStaticAddressesGoToSubnets(t *testing.T) {
	ids := []string{"subnet-b", "subnet-a"}
	for _, c := range []struct {
		name      string
		addresses lb.StaticAddresses
		want      string // mappings, or what a verdict says
	}{
		{"none", lb.StaticAddresses{}, ""},
		{"allocations", lb.StaticAddresses{EIPs: given("eipalloc-1", "eipalloc-2")}, "subnet-a: eipalloc-2, subnet-b: eipalloc-1"},
		{"too few", lb.StaticAddresses{EIPs: given("eipalloc-1")}, "2 subnets"},
		{"private", lb.StaticAddresses{PrivateIPv4: given("10.0.0.9", "10.0.1.9")}, "subnet-a: 10.0.0.9, subnet-b: 10.0.1.9"},
		{"in none", lb.StaticAddresses{PrivateIPv4: given("10.0.0.9", "10.0.2.9")}, "none of the load balancer's subnets"},
		{"both families", lb.StaticAddresses{PrivateIPv4: given("10.0.1.9", "10.0.0.9"), IPv6: given("2001:db8:0:a::9", "2001:db8:0:b::9")},
			"subnet-a: 10.0.0.9 2001:db8:0:a::9, subnet-b: 10.0.1.9 2001:db8:0:b::9"},
		{"prefixes", lb.StaticAddresses{SourceNATPrefixes: given("2001:db8:0:b:1::/80", "auto_assigned")}, "subnet-a: auto_assigned, subnet-b: 2001:db8:0:b:1::/80"},
		{"a prefix of another subnet", lb.StaticAddresses{SourceNATPrefixes: given("2001:db8:0:a:1::/80", "auto_assigned")}, "is not in subnet-b"},
	} {
		made, verdicts := mappings(lb.LoadBalancer{Network: lb.NetworkSettings{Addresses: c.addresses, SourceNAT: lb.On}}, ids, subnetsForAddresses())
		var parts []string
		for _, m := range made {
			parts = append(parts, m.String())
		}
		got := strings.Join(parts, ", ")
		if len(verdicts) > 0 {
			got = verdicts[0].Problem
		}
		if !strings.Contains(got, c.want) || c.want == "" && got != "" {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

// AWS gives a load balancer no other address in a subnet that it has; all else about its place is compared with what was
// asked, and only with that.
func TestOnlyWhatCanChangeDiffers(t *testing.T) {
	row := loadBalancer{
		IPAddressType: lb.DualStack, Subnets: []string{"subnet-a", "subnet-b"}, SourceNAT: lb.On, PrivateLink: lb.On,
		Mappings: []mapping{{Subnet: "subnet-a", EIP: "eipalloc-1", NATPrefix: "2001:db8::/80"}, {Subnet: "subnet-b", EIP: "eipalloc-2", NATPrefix: "2001:db8:1::/80"}},
	}
	base := LoadBalancer{IPAddressType: lb.DualStack, Subnets: row.Subnets, SourceNAT: lb.On}
	for _, c := range []struct {
		name string
		edit func(*LoadBalancer)
		want bool
	}{
		{"nothing asked", func(b *LoadBalancer) { b.SourceNAT = lb.AsIs }, false},
		{"another allocation", func(b *LoadBalancer) {
			b.Mappings = []mapping{{Subnet: "subnet-a", EIP: "eipalloc-9"}, {Subnet: "subnet-b", EIP: "eipalloc-2"}}
		}, false},
		{"any prefix", func(b *LoadBalancer) {
			b.Mappings = []mapping{{Subnet: "subnet-a", NATPrefix: autoAssigned}, {Subnet: "subnet-b", NATPrefix: autoAssigned}}
		}, false},
		{"another prefix", func(b *LoadBalancer) {
			b.Mappings = []mapping{{Subnet: "subnet-a", NATPrefix: "2001:db8:0:0:1::/80"}, {Subnet: "subnet-b", NATPrefix: autoAssigned}}
		}, true},
		{"source NAT off", func(b *LoadBalancer) { b.SourceNAT = lb.Off }, true},
		{"another subnet", func(b *LoadBalancer) { b.Subnets = []string{"subnet-a", "subnet-c"} }, true},
	} {
		want := base
		c.edit(&want)
		if _, differs := row.placedOtherwise(want); differs != c.want {
			t.Errorf("%s: differs %v", c.name, differs)
		}
	}
	single := row
	single.IPAddressType, single.Mappings = lb.IPv4, []mapping{{Subnet: "subnet-a"}, {Subnet: "subnet-b"}}
	base.Mappings = []mapping{{Subnet: "subnet-a", IPv6: "2001:db8::1"}, {Subnet: "subnet-b", IPv6: "2001:db8:1::1"}}
	if family, differs := single.placedOtherwise(base); !differs || family != lb.DualStack {
		t.Errorf("addresses of IPv6 come with the family: %q %v", family, differs)
	}
	kept := base.keeping(row)
	if diff := cmp.Diff([]mapping{{Subnet: "subnet-a", EIP: "eipalloc-1", IPv6: "2001:db8::1"}, {Subnet: "subnet-b", EIP: "eipalloc-2", IPv6: "2001:db8:1::1"}}, kept.Mappings); diff != "" {
		t.Error(diff)
	}
	b := lb.LoadBalancer{Network: lb.NetworkSettings{Addresses: lb.StaticAddresses{EIPs: given("eipalloc-9", "eipalloc-2")}}}
	warned := fixedAddresses(b, row, []mapping{{Subnet: "subnet-a", EIP: "eipalloc-9"}, {Subnet: "subnet-b", EIP: "eipalloc-2"}})
	if len(warned) != 1 || warned[0].Severity != lb.Warning || warned[0].Value != "eipalloc-9" || !strings.Contains(warned[0].Problem, "eipalloc-1") {
		t.Errorf("verdicts %v", warned)
	}
}
