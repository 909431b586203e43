package proxy

import (
	"bufio"
	"io"
	"net"
	"runtime"
	"sync"
	"testing"
)

// BenchmarkFlowBytes sends bytes through a Network Load Balancer on one connection.
func BenchmarkFlowBytes(b *testing.B) {
	n := newNodes(b, Options{}, NetworkTCP)
	var got sync.WaitGroup
	got.Add(1)
	n.to(rawTarget(b, func(_ net.Conn, from *bufio.Reader) {
		defer got.Done()
		_, _ = io.Copy(io.Discard, from)
	}))
	conn := n.dial("a")
	chunk := make([]byte, 256<<10)
	b.SetBytes(int64(len(chunk)))
	b.ResetTimer()
	for range b.N {
		if _, err := conn.Write(chunk); err != nil {
			b.Fatal(err)
		}
	}
	closeQuietly(conn)
	got.Wait()
}

// BenchmarkFlows opens a connection, exchanges a few bytes and closes it, as often as it can.
func BenchmarkFlows(b *testing.B) {
	n := newNodes(b, Options{}, NetworkTCP)
	n.to(says(b, "one", ""), says(b, "two", ""))
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if got := n.answerer("a"); got == "reset" {
				b.Error("reset")
			}
		}
	})
}

// TestIdleFlows: what waits for bytes holds little memory.
func TestIdleFlows(t *testing.T) {
	const many = 2000
	n := newNodes(t, Options{}, NetworkTCP)
	n.to(says(t, "one", ""))
	used := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc + m.StackInuse
	}
	before := used()
	for range many {
		conn := n.dial("a")
		firstLine(t, conn)
	}
	// The test's own ends and the target's are in it too, with a reader of 4 K for each connection.
	if each := (used() - before) / many; each > 40<<10 {
		t.Errorf("an idle connection holds %d bytes", each)
	} else {
		t.Logf("an idle connection holds %d bytes, with the client and the target", each)
	}
}
