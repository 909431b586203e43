package localaws

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"

	"github.com/sluicehq/sluice/internal/localaws/wire"
)

// newAddress takes the next address of the pool. It goes round the pool, so that an address that became free is not
// given out again at once: clients may remember it for as long as a DNS answer lives.
func (x *tx) newAddress() (netip.Addr, error) {
	pool := x.options.AddressPool.Masked()
	used := map[netip.Addr]bool{pool.Addr(): true} // the network's own address is not for use
	for _, b := range x.state.loadBalancers.all() {
		used[b.Address] = true
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
		if err := x.bindable(at); err != nil {
			return at, &wire.Error{Code: "InternalFailure", Status: http.StatusInternalServerError, Message: err.Error()}
		}
		x.state.meta.put(x, "lastAddress", at.String())
		return at, nil
	}
	return at, &wire.Error{Code: "InternalFailure", Status: http.StatusInternalServerError, Message: fmt.Sprintf(
		"local AWS has no free address for another load balancer in %s", pool)}
}

// bindable finds out whether this machine has the address: Linux has all of 127.0.0.0/8, others have to be told.
func (x *tx) bindable(a netip.Addr) error {
	if x.options.DataPlane != nil {
		return nil // what a given data plane can reach is its own matter
	}
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", netip.AddrPortFrom(a, 0).String())
	if err != nil {
		return fmt.Errorf("local AWS cannot listen on %s, the next address for a load balancer: %w (where the system has "+
			"only 127.0.0.1, add the addresses of the pool to the loopback interface, or choose another pool)", a, err)
	}
	return l.Close()
}
