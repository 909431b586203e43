package network

import (
	"net/netip"
	"testing"
)

func TestPlanIsWhatEksctlMakes(t *testing.T) {
	plan, err := NewPlan("192.168.0.0/16")
	if err != nil {
		t.Fatal(err)
	}
	want := []struct{ name, public, private string }{
		{"ap-northeast-1a", "192.168.0.0/19", "192.168.96.0/19"},
		{"ap-northeast-1c", "192.168.32.0/19", "192.168.128.0/19"},
		{"ap-northeast-1d", "192.168.64.0/19", "192.168.160.0/19"},
	}
	for i, w := range want {
		z := plan.Zones[i]
		if z.Name != w.name || z.Public.String() != w.public || z.Private.String() != w.private {
			t.Errorf("zone %d is %+v, want %+v", i, z, w)
		}
	}
}

func TestNodesAreDealtToZonesInTurn(t *testing.T) {
	plan, _ := NewPlan("192.168.0.0/16")
	for i, want := range []struct{ short, name, ip, pods string }{
		{"a1", "ip-192-168-96-10.ap-northeast-1.compute.internal", "192.168.96.10", "192.168.97.0/24"},
		{"c1", "ip-192-168-128-10.ap-northeast-1.compute.internal", "192.168.128.10", "192.168.129.0/24"},
		{"d1", "ip-192-168-160-10.ap-northeast-1.compute.internal", "192.168.160.10", "192.168.161.0/24"},
		{"a2", "ip-192-168-96-11.ap-northeast-1.compute.internal", "192.168.96.11", "192.168.98.0/24"},
	} {
		n := plan.Node(i)
		if n.Short != want.short || n.Name != want.name || n.IP.String() != want.ip || n.Pods.String() != want.pods {
			t.Errorf("node %d is %+v, want %+v", i, n, want)
		}
	}
}

// Whatever fits must not overlap: an address that two nodes own is a fault
// that shows only as lost packets.
func TestEveryNodeThatFitsHasItsOwnAddresses(t *testing.T) {
	plan, _ := NewPlan("10.42.0.0/16")
	ips := map[netip.Addr]string{plan.Router(): "router", plan.ControlPlane(): "control plane"}
	var blocks []netip.Prefix
	for _, n := range plan.Nodes(plan.MaxNodes()) {
		if owner, taken := ips[n.IP]; taken {
			t.Errorf("%s and %s share %s", owner, n.Short, n.IP)
		}
		ips[n.IP] = n.Short
		for _, block := range blocks {
			if block.Overlaps(n.Pods) {
				t.Errorf("%s: pods %s overlap %s", n.Short, n.Pods, block)
			}
		}
		blocks = append(blocks, n.Pods)
		if !n.Zone.Private.Contains(n.IP) || !n.Zone.Private.Overlaps(n.Pods) || n.Zone.Private.Bits() > n.Pods.Bits() {
			t.Errorf("%s is not within its subnet: %+v", n.Short, n)
		}
	}
	for ip, owner := range ips {
		for _, block := range blocks {
			if block.Contains(ip) {
				t.Errorf("%s (%s) lies in the pod block %s", ip, owner, block)
			}
		}
	}
}

func TestPlanRefusesOtherThanAPrivateSixteen(t *testing.T) {
	for _, cidr := range []string{"", "nonsense", "192.168.0.0/24", "192.168.1.0/16", "8.8.0.0/16", "fd00::/16"} {
		if _, err := NewPlan(cidr); err == nil {
			t.Errorf("NewPlan(%q) did not fail", cidr)
		}
	}
}
