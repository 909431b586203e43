package network

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// gateway is the next hop that pods use. It is nobody's address: a permanent
// neighbour entry points it at the node's end of the pair, as the VPC CNI does.
var gateway = net.IPv4(169, 254, 1, 1)

// ConnectPod makes the named namespace and joins it to the namespace of the
// calling process, which must be the node's, under the given address. device
// is the node's end of the pair.
func ConnectPod(namespace, device string, address netip.Addr, sysctls map[string]string) error {
	if _, err := CreateNamespace(namespace); err != nil {
		return err
	}
	if err := connectPod(namespace, device, address); err != nil {
		return err
	}
	settings := map[string]string{
		// As container engines do: a program need not be root to have port 80.
		"net.ipv4.ip_unprivileged_port_start": "0",
	}
	for key, value := range sysctls {
		settings[key] = value
	}
	for key, value := range settings {
		if err := sysctl(namespace, key, value); err != nil {
			return err
		}
	}
	return nil
}

func connectPod(namespace, device string, address netip.Addr) error {
	ns, err := netns.GetFromName(namespace)
	if err != nil {
		return err
	}
	defer ns.Close()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = device
	pair := &netlink.Veth{LinkAttrs: attrs, PeerName: "eth0", PeerNamespace: netlink.NsFd(ns)}
	if err := netlink.LinkAdd(pair); err != nil {
		return fmt.Errorf("connect pod %s: %w", namespace, err)
	}
	host, err := netlink.LinkByName(device)
	if err != nil {
		return err
	}
	if err := netlink.LinkSetUp(host); err != nil {
		return err
	}
	route := &netlink.Route{LinkIndex: host.Attrs().Index, Dst: ipNet(netip.PrefixFrom(address, 32)), Scope: netlink.SCOPE_LINK}
	if err := netlink.RouteReplace(route); err != nil {
		return fmt.Errorf("route to pod %s: %w", address, err)
	}
	return onLinks(namespace, func(h *netlink.Handle) error {
		link, err := h.LinkByName("eth0")
		if err != nil {
			return err
		}
		if err := replaceAddress(h, link, netip.PrefixFrom(address, 32)); err != nil {
			return err
		}
		if err := h.LinkSetUp(link); err != nil {
			return err
		}
		if err := h.NeighSet(&netlink.Neigh{LinkIndex: link.Attrs().Index, State: netlink.NUD_PERMANENT,
			IP: gateway, HardwareAddr: host.Attrs().HardwareAddr}); err != nil {
			return fmt.Errorf("point pod %s at its node: %w", address, err)
		}
		return h.RouteReplace(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: gateway, Flags: unix.RTNH_F_ONLINK})
	})
}

// DisconnectPod undoes ConnectPod. It may be called again.
func DisconnectPod(namespace, device string) error {
	// Deleting one end takes the other with it at once; waiting for the
	// namespace to die would leave the address routed for a while.
	if link, err := netlink.LinkByName(device); err == nil {
		if err := netlink.LinkDel(link); err != nil {
			return fmt.Errorf("disconnect pod %s: %w", namespace, err)
		}
	}
	return DeleteNamespace(namespace)
}
