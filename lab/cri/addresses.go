package cri

import (
	"fmt"
	"net/netip"
)

// addresses hands out the addresses of a node's block. It goes round the whole
// block before it gives an address again, so that a connection meant for a
// pod that is gone does not meet another pod by accident.
type addresses struct {
	block netip.Prefix
	last  netip.Addr
	used  map[netip.Addr]bool
}

func newAddresses(block netip.Prefix) *addresses {
	return &addresses{block: block, last: block.Addr().Next(), used: map[netip.Addr]bool{}}
}

// take returns a free address. The first two and the last of a block are left
// alone; they mean other things to many tools.
func (a *addresses) take() (netip.Addr, error) {
	next := a.last
	for range 1 << (32 - a.block.Bits()) {
		next = next.Next()
		if !a.block.Contains(next) || !a.block.Contains(next.Next()) {
			next = a.block.Addr().Next().Next()
		}
		if !a.used[next] {
			a.used[next], a.last = true, next
			return next, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("all pod addresses of this node (%s) are in use", a.block)
}

func (a *addresses) give(address netip.Addr) { delete(a.used, address) }
