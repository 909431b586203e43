package cri

import (
	"net/netip"
	"testing"
)

func TestAddressesGoRoundBeforeTheyRepeat(t *testing.T) {
	a := newAddresses(netip.MustParsePrefix("10.0.0.0/29")) // .2 to .6 are for pods
	var got []string
	for range 7 {
		address, err := a.take()
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, address.String())
		a.give(address)
	}
	want := []string{"10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6", "10.0.0.2", "10.0.0.3"}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("took %v, want %v", got, want)
		}
	}
}

func TestAddressesRunOutWithAClearError(t *testing.T) {
	a := newAddresses(netip.MustParsePrefix("10.0.0.0/29"))
	for range 5 {
		if _, err := a.take(); err != nil {
			t.Fatal(err)
		}
	}
	if address, err := a.take(); err == nil {
		t.Fatalf("took a sixth address: %s", address)
	}
}
