package proxy

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
)

// packetTarget answers each packet with its name, the client's address as it sees it, and the packet.
func packetTarget(t testing.TB, id, zone string) Target {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		packet := make([]byte, maxDatagram)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(packet)
			if err != nil {
				return
			}
			_, _ = conn.WriteToUDPAddrPort(append(fmt.Appendf(nil, "%s %s ", id, from), packet[:n]...), from)
		}
	}()
	t.Cleanup(func() {
		closeQuietly(conn)
		<-done
	})
	at := conn.LocalAddr().(*net.UDPAddr).AddrPort()
	return Target{ID: id, Zone: zone, Address: at.Addr(), Port: at.Port()}
}

func (n *nodes) packets(client netip.Addr, zone string) *net.UDPConn {
	n.t.Helper()
	conn, err := DialFrom(n.t.Context(), "udp", n.at(zone), client)
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { closeQuietly(conn) })
	return conn.(*net.UDPConn)
}

// swap sends a packet until an answer comes: the target's name, the client's address and the packet.
func swap(t testing.TB, conn net.Conn, packet string) (target, client, echo string) {
	t.Helper()
	answer := make([]byte, maxDatagram)
	for range 20 {
		if _, err := conn.Write([]byte(packet)); err != nil {
			continue
		}
		if err := conn.SetReadDeadline(time.Now().Add(patience / 20)); err != nil {
			t.Fatal(err)
		}
		if n, err := conn.Read(answer); err == nil {
			parts := strings.SplitN(string(answer[:n]), " ", 3)
			return parts[0], parts[1], parts[2]
		}
	}
	t.Fatalf("no answer to %q", packet)
	return "", "", ""
}

// TestDatagrams: each client's packets go to one target, clients spread, and packets stay whole.
func TestDatagrams(t *testing.T) {
	n := newNodes(t, Options{}, NetworkUDP)
	n.group().Network.PreserveClientIP = true
	n.to(packetTarget(t, "one", ""), packetTarget(t, "two", ""))
	descriptors := openDescriptors(t)
	seen := map[string]int{}
	var mu sync.Mutex
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			address := loopback()
			conn := n.packets(address, "a")
			defer closeQuietly(conn)
			var first, firstClient string
			for i := range 20 {
				sent := strings.Repeat(fmt.Sprint(i), 700)
				target, client, echo := swap(t, conn, sent)
				if i == 0 {
					first, firstClient = target, client
				}
				if target != first || client != firstClient || echo != sent || !strings.HasPrefix(client, address.String()+":") {
					t.Errorf("packet %d of %s: %s for %s, %d bytes", i, address, target, client, len(echo))
				}
			}
			mu.Lock()
			seen[first]++
			mu.Unlock()
		})
	}
	all.Wait()
	if len(seen) != 2 {
		t.Errorf("clients went to %v", seen)
	}
	big := strings.Repeat("x", 60_000)
	if _, _, echo := swap(t, n.packets(netip.Addr{}, "a"), big); echo != big {
		t.Errorf("a big packet came back with %d bytes", len(echo))
	}
	n.balancer().Listeners = nil
	n.apply()
	eventually(t, "flows end with their listener", func() bool { return openDescriptors(t) <= descriptors+50 })
}

// TestDatagramIdle: a flow that was quiet for two minutes is forgotten; the target sees another one after that.
func TestDatagramIdle(t *testing.T) {
	clock := newFakeClock()
	n := newNodes(t, Options{Clock: clock}, NetworkUDP)
	n.to(packetTarget(t, "one", ""))
	conn := n.packets(netip.Addr{}, "a")
	_, first, _ := swap(t, conn, "x")
	for range 3 {
		clock.advance(119 * time.Second)
		if _, client, _ := swap(t, conn, "x"); client != first {
			t.Errorf("another flow for a client that was not quiet: %s, %s", first, client)
		}
	}
	clock.advance(udpIdle)
	eventually(t, "the flow is forgotten", func() bool { return n.inflight("one") == 0 })
	if _, client, _ := swap(t, conn, "x"); client == first {
		t.Errorf("still the same flow: %s", client)
	}
}

func (n *nodes) inflight(id string) int64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	for key, t := range n.groups["group"].targets {
		if key.ID == id {
			return t.inflight.Load()
		}
	}
	return -1
}

// TestDatagramDeregistration: flows to a target that was taken out move when its delay is over.
func TestDatagramDeregistration(t *testing.T) {
	clock := newFakeClock()
	n := newNodes(t, Options{Clock: clock}, NetworkUDP)
	n.group().Network.CutDeregistered = true
	one, two := packetTarget(t, "one", ""), packetTarget(t, "two", "")
	n.to(one)
	conn := n.packets(netip.Addr{}, "a")
	swap(t, conn, "x")
	n.to(two)
	if target, _, _ := swap(t, conn, "x"); target != "one" {
		t.Errorf("at once to %s", target)
	}
	if target, _, _ := swap(t, n.packets(netip.Addr{}, "a"), "x"); target != "two" {
		t.Errorf("a new client to %s", target)
	}
	clock.advance(300 * time.Second)
	clock.advance(0)
	eventually(t, "the flow moves", func() bool {
		target, _, _ := swap(t, conn, "x")
		return target == "two"
	})
}

// TestTCPUDP: one listener for both.
func TestTCPUDP(t *testing.T) {
	n := newNodes(t, Options{}, NetworkTCPUDP)
	stream := says(t, "one", "")
	n.to(stream)
	if got := n.answerer("a"); got != "one" {
		t.Errorf("TCP: %s", got)
	}
	n.to(packetTarget(t, "two", ""))
	if target, _, _ := swap(t, n.packets(netip.Addr{}, "a"), "x"); target != "two" {
		t.Errorf("UDP: %s", target)
	}
}

// quicPacket is what a client of QUIC sends: with a long header, which says how long the connection id is, or a short one.
func quicPacket(long bool, id string) string {
	if long {
		return "\xc0\x00\x00\x00\x01" + string(rune(len(id))) + id + "\x00 payload"
	}
	return "\x40" + id + " payload"
}

// TestQUIC: packets go where their connection ids say, from whatever address they come.
func TestQUIC(t *testing.T) {
	n := newNodes(t, Options{}, NetworkQUIC)
	var targets []Target
	ids := map[string]string{}
	for _, id := range []string{"one", "two", "three"} {
		target := packetTarget(t, id, "")
		target.QUICServer = fmt.Sprintf("%-8s", id)
		ids[id] = "\x08" + target.QUICServer + "random"
		targets = append(targets, target)
	}
	n.to(targets...)
	conn := n.packets(netip.Addr{}, "a")
	first, address, _ := swap(t, conn, quicPacket(true, "made up by the client"[:18]))
	if target, client, _ := swap(t, conn, quicPacket(false, ids[first])); target != first || client != address {
		t.Errorf("once the server has named itself: %s as %s, want %s as %s", target, client, first, address)
	}
	for range 3 {
		for id, cid := range ids {
			for _, long := range []bool{true, false} {
				if target, _, echo := swap(t, conn, quicPacket(long, cid)); target != id || echo != quicPacket(long, cid) {
					t.Errorf("for %s: %s", id, target)
				}
				moved := n.packets(loopback(), "a")
				if target, _, _ := swap(t, moved, quicPacket(long, cid)); target != id {
					t.Errorf("for %s from another address: %s", id, target)
				}
			}
		}
	}
	n.to(targets[:2]...)
	if target, _, _ := swap(t, n.packets(loopback(), "a"), quicPacket(false, ids["three"])); target == "three" {
		t.Error("a target that was taken out got a new flow")
	}
	if target, _, _ := swap(t, conn, quicPacket(false, ids["three"])); target != "three" {
		t.Errorf("a flow of a target that was taken out went to %s", target)
	}
}

// FuzzQUICServer: whatever comes, it is read or not; what is read was there.
func FuzzQUICServer(f *testing.F) {
	f.Add([]byte(quicPacket(true, "\x08server00")))
	f.Add([]byte(quicPacket(false, "\x08server00")))
	f.Add([]byte{0xc0, 0, 0, 0, 1, 255})
	f.Fuzz(func(t *testing.T, packet []byte) {
		id, ok := quicServer(packet)
		if ok != (len(id) == quicServerLen) || !bytes.Contains(packet, []byte(id)) {
			t.Errorf("%q of %q", id, packet)
		}
	})
}
