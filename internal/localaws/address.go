package localaws

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
)

// newAddress takes the next address of the pool. It goes round the pool, so that an address that became free is not
// given out again at once: clients may remember it for as long as a DNS answer lives. Some more may be taken by rows that
// are not stored yet.
func (x *tx) newAddress(taken ...netip.Addr) (netip.Addr, error) {
	pool := x.options.AddressPool.Masked()
	used := map[netip.Addr]bool{pool.Addr(): true} // the network's own address is not for use
	for _, b := range x.state.loadBalancers.all() {
		used[b.Address] = true
		for _, node := range b.Nodes {
			used[node] = true
		}
	}
	for _, e := range x.state.elasticIPs.all() {
		used[e.Address] = true
	}
	for _, a := range taken {
		used[a] = true
	}
	at := pool.Addr()
	if last, ok := x.state.meta.get("lastAddress"); ok {
		if a, err := netip.ParseAddr(last); err == nil && pool.Contains(a) {
			at = a
		}
	}
	size := 1 << min(32-pool.Bits(), 24)
	for range size {
		if at = at.Next(); !pool.Contains(at) {
			at = pool.Addr()
		}
		if used[at] {
			continue
		}
		free, err := x.bindable(at)
		if err != nil {
			return at, conflicting("%s", err.Error())
		}
		if !free {
			continue
		}
		x.state.meta.put(x, "lastAddress", at.String())
		return at, nil
	}
	return at, conflicting("local AWS has no free address for another load balancer in %s", pool)
}

// bindable finds out whether this machine has the address (Linux has all of 127.0.0.0/8, others have to be told), and
// whether its usual ports are free: another local AWS on the machine may have taken it.
func (x *tx) bindable(a netip.Addr) (free bool, err error) {
	if x.options.DataPlane != nil {
		return true, nil // what a given data plane can reach is its own matter
	}
	for _, port := range []uint16{0, 80, 443} {
		l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", netip.AddrPortFrom(a, port).String())
		switch {
		case err == nil:
			if err := l.Close(); err != nil {
				return false, fmt.Errorf("local AWS cannot listen on %s: %w", a, err)
			}
		case errors.Is(err, syscall.EADDRINUSE):
			return false, nil
		case port == 0:
			return false, fmt.Errorf("local AWS cannot listen on %s, the next address for a load balancer: %w (where the "+
				"system has only 127.0.0.1, add the addresses of the pool to the loopback interface, or choose another pool)", a, err)
		}
		// Low ports may be forbidden to this user; that is for the listener to say which wants one.
	}
	return true, nil
}
