package network

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Conflict returns an error that says which of the machine's networks overlaps
// the VPC, or which other lab is up, or nil. owner is this lab's state
// directory; it is written on root's interface so that two labs do not share one.
func (p Plan) Conflict(owner string) error {
	if link, err := netlink.LinkByName(Root); err == nil && link.Attrs().Alias != owner {
		return fmt.Errorf("another lab is up on this machine (state in %s): stop it first with \"lab down --dir %s\"",
			link.Attrs().Alias, link.Attrs().Alias)
	}
	routes, err := netlink.RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		return fmt.Errorf("read the machine's routes: %w", err)
	}
	for _, route := range routes {
		if route.Dst == nil {
			continue
		}
		bits, _ := route.Dst.Mask.Size()
		address, ok := netip.AddrFromSlice(route.Dst.IP.To4())
		if !ok || bits == 0 || !netip.PrefixFrom(address, bits).Overlaps(p.CIDR) {
			continue
		}
		name := fmt.Sprint(route.LinkIndex)
		if link, err := netlink.LinkByIndex(route.LinkIndex); err == nil {
			name = link.Attrs().Name
		}
		if name != Root {
			return fmt.Errorf("the lab's network %s overlaps %s, which this machine uses on %s: choose another with --vpc-cidr, such as --vpc-cidr 10.42.0.0/16",
				p.CIDR, route.Dst, name)
		}
	}
	return nil
}

// Up makes the VPC, the namespaces of the control plane and the nodes, and
// the routes between them. It may be called again, and with more nodes.
func (p Plan) Up(owner string, nodes []Node) error {
	if err := bridge(); err != nil {
		return err
	}
	if err := p.joinRoot(owner); err != nil {
		return err
	}
	if err := p.join(Control, "control", p.ControlPlane()); err != nil {
		return err
	}
	for _, node := range nodes {
		if err := p.join(node.Namespace(), node.Short, node.IP); err != nil {
			return err
		}
		for key, value := range map[string]string{
			"net.ipv4.ip_forward": "1",
			// Traffic between pods of one node enters and leaves by the node;
			// telling the pods of a "better" way would be wrong.
			"net.ipv4.conf.all.send_redirects":     "0",
			"net.ipv4.conf.default.send_redirects": "0",
			"net.ipv4.conf.eth0.send_redirects":    "0",
		} {
			if err := sysctl(node.Namespace(), key, value); err != nil {
				return err
			}
		}
	}
	// Everybody's way to a node's pods is through that node.
	if err := routePods(nil, nodes, ""); err != nil {
		return err
	}
	for _, name := range append([]string{Control}, namesOf(nodes)...) {
		if err := onLinks(name, func(h *netlink.Handle) error { return routePods(h, nodes, name) }); err != nil {
			return err
		}
	}
	return nil
}

func namesOf(nodes []Node) []string {
	names := make([]string, len(nodes))
	for i, node := range nodes {
		names[i] = node.Namespace()
	}
	return names
}

// The bridge, and root's port on it; nodes' ports are named after the nodes.
const (
	bridgeName = "vpc"
	rootPort   = "root"
)

// bridge makes the VPC's namespace and the bridge in it.
func bridge() error {
	if _, err := CreateNamespace(VPC); err != nil {
		return err
	}
	return onLinks(VPC, func(h *netlink.Handle) error {
		link, err := h.LinkByName(bridgeName)
		if err != nil {
			attrs := netlink.NewLinkAttrs()
			attrs.Name = bridgeName
			if err := h.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
				return fmt.Errorf("create the VPC's bridge: %w", err)
			}
			if link, err = h.LinkByName(bridgeName); err != nil {
				return err
			}
		}
		return h.LinkSetUp(link)
	})
}

// joinRoot gives root its interface in the VPC.
func (p Plan) joinRoot(owner string) error {
	link, err := netlink.LinkByName(Root)
	if err != nil {
		ns, err := netns.GetFromName(VPC)
		if err != nil {
			return err
		}
		defer ns.Close()
		attrs := netlink.NewLinkAttrs()
		attrs.Name = Root
		pair := &netlink.Veth{LinkAttrs: attrs, PeerName: rootPort, PeerNamespace: netlink.NsFd(ns)}
		if err := netlink.LinkAdd(pair); err != nil {
			return fmt.Errorf("connect this machine to the VPC: %w", err)
		}
		if link, err = netlink.LinkByName(Root); err != nil {
			return err
		}
	}
	if err := netlink.LinkSetAlias(link, owner); err != nil {
		return fmt.Errorf("mark %s: %w", Root, err)
	}
	if err := replaceAddress(nil, link, netip.PrefixFrom(p.Router(), p.CIDR.Bits())); err != nil {
		return err
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return err
	}
	return onLinks(VPC, func(h *netlink.Handle) error { return plug(h, rootPort) })
}

// plug puts an interface of the VPC's namespace on the bridge.
func plug(h *netlink.Handle, name string) error {
	bridge, err := h.LinkByName(bridgeName)
	if err != nil {
		return err
	}
	port, err := h.LinkByName(name)
	if err != nil {
		return err
	}
	if err := h.LinkSetMaster(port, bridge); err != nil {
		return fmt.Errorf("plug %s into the VPC: %w", name, err)
	}
	return h.LinkSetUp(port)
}

// join gives the namespace an eth0 in the VPC.
func (p Plan) join(namespace, short string, address netip.Addr) error {
	if _, err := CreateNamespace(namespace); err != nil {
		return err
	}
	ns, err := netns.GetFromName(namespace)
	if err != nil {
		return err
	}
	defer ns.Close()
	err = onLinks(VPC, func(h *netlink.Handle) error {
		if _, err := h.LinkByName(short); err != nil {
			attrs := netlink.NewLinkAttrs()
			attrs.Name = short
			pair := &netlink.Veth{LinkAttrs: attrs, PeerName: "eth0", PeerNamespace: netlink.NsFd(ns)}
			if err := h.LinkAdd(pair); err != nil {
				return fmt.Errorf("connect %s to the VPC: %w", namespace, err)
			}
		}
		return plug(h, short)
	})
	if err != nil {
		return err
	}
	return onLinks(namespace, func(h *netlink.Handle) error {
		link, err := h.LinkByName("eth0")
		if err != nil {
			return err
		}
		if err := replaceAddress(h, link, netip.PrefixFrom(address, p.CIDR.Bits())); err != nil {
			return err
		}
		if err := h.LinkSetUp(link); err != nil {
			return err
		}
		// A default route, so that a packet for a service address leaves the
		// process and meets kube-proxy's rules. Root does not forward it on.
		return h.RouteReplace(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: p.Router().AsSlice()})
	})
}

// routePods routes every node's pods through the node; a nil handle is root's.
func routePods(h *netlink.Handle, nodes []Node, self string) error {
	device, replace := "eth0", netlink.RouteReplace
	byName := netlink.LinkByName
	if h == nil {
		device = Root
	} else {
		replace, byName = h.RouteReplace, h.LinkByName
	}
	link, err := byName(device)
	if err != nil {
		return err
	}
	for _, node := range nodes {
		if node.Namespace() == self {
			continue
		}
		route := &netlink.Route{LinkIndex: link.Attrs().Index, Dst: ipNet(node.Pods), Gw: node.IP.AsSlice()}
		if err := replace(route); err != nil {
			return fmt.Errorf("route %s through node %s: %w", node.Pods, node.Short, err)
		}
	}
	return nil
}

func replaceAddress(h *netlink.Handle, link netlink.Link, address netip.Prefix) error {
	replace := netlink.AddrReplace
	if h != nil {
		replace = h.AddrReplace
	}
	if err := replace(link, &netlink.Addr{IPNet: ipNet(address)}); err != nil {
		return fmt.Errorf("give %s the address %s: %w", link.Attrs().Name, address, err)
	}
	return nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// Owner says which state directory the lab that is up belongs to, or "".
func Owner() string {
	link, err := netlink.LinkByName(Root)
	if err != nil {
		return ""
	}
	return link.Attrs().Alias
}

// Down removes every namespace and link of the lab. Processes must be dead,
// or their namespaces live on without a name.
func Down() error {
	var failures []error
	names, err := Namespaces(Prefix + "-")
	failures = append(failures, err)
	for _, name := range names {
		failures = append(failures, DeleteNamespace(name))
	}
	// The kernel removes a namespace some time after its name; root's interface
	// must not wait for that.
	if link, err := netlink.LinkByName(Root); err == nil {
		if err := netlink.LinkDel(link); err != nil && !errors.Is(err, unix.ENODEV) {
			failures = append(failures, fmt.Errorf("remove link %s: %w", Root, err))
		}
	}
	// "ip netns" may have made the directory a mount point; then it is not ours.
	_ = os.Remove(namespaces)
	return errors.Join(failures...)
}

func inode(path string) (uint64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, fmt.Errorf("stat %s: no inode", path)
	}
	return stat.Ino, nil
}
