//go:build e2e

package rfc2136

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	wire "github.com/miekg/dns"

	"github.com/sluicehq/sluice/internal/dns"
	"github.com/sluicehq/sluice/internal/dns/zonetest"
	"github.com/sluicehq/sluice/internal/lb"
)

// bind is a running BIND with many empty zones.
type bind struct {
	address string
	mu      sync.Mutex
	next    int
}

const (
	keyName   = "sluice."
	keySecret = "c2x1aWNlLXRlc3RzLXNlY3JldC1vZi0zMi1ieXRlcyE="
	zones     = 250
)

var server *bind

// TestMain starts BIND on a free loopback port, and ends it.
func TestMain(m *testing.M) {
	code, err := withBIND(m.Run)
	if err != nil {
		fmt.Fprintln(os.Stderr, "these tests need BIND (hack/need-e2e installs it):", err)
		code = 1
	}
	os.Exit(code)
}

func withBIND(run func() int) (code int, err error) {
	named, err := exec.LookPath("named")
	if err != nil {
		named = "/usr/sbin/named" // not on everybody's PATH
	}
	dir, err := os.MkdirTemp("", "sluice-bind-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	port, err := freePort()
	if err != nil {
		return 0, err
	}
	if err := configure(dir, port); err != nil {
		return 0, err
	}
	var log bytes.Buffer
	cmd := exec.Command(named, "-g", "-c", filepath.Join(dir, "named.conf"), "-n", "1")
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	defer func() {
		_ = cmd.Process.Kill() // ended already, or it ends now
		<-ended
	}()
	server = &bind{address: fmt.Sprintf("127.0.0.1:%d", port)}
	for deadline := time.Now().Add(30 * time.Second); ; {
		m := new(wire.Msg).SetQuestion(wire.Fqdn(zoneName(zones-1)), wire.TypeSOA)
		if answer, _, err := new(wire.Client).Exchange(m, server.address); err == nil && len(answer.Answer) == 1 {
			return run(), nil
		}
		select {
		case err := <-ended:
			ended <- err
			return 0, fmt.Errorf("named ended: %w\n%s", err, log.String())
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return 0, fmt.Errorf("named does not answer")
		}
	}
}

// freePort is one that was free for UDP and TCP a moment ago.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	address, _ := l.Addr().(*net.TCPAddr)
	p, err := net.ListenPacket("udp", l.Addr().String())
	if err != nil {
		return 0, err
	}
	return address.Port, p.Close()
}

func zoneName(n int) string { return fmt.Sprintf("z%d.example", n) }

func configure(dir string, port int) error {
	var b strings.Builder
	fmt.Fprintf(&b, `options {
	directory %q;
	listen-on port %d { 127.0.0.1; };
	listen-on-v6 { none; };
	pid-file none;
	session-keyfile none;
	recursion no;
	dnssec-validation no;
	notify no;
};
controls { };
key %q { algorithm hmac-sha256; secret %q; };
`, dir, port, keyName, keySecret)
	for i := range zones {
		name := zoneName(i)
		fmt.Fprintf(&b, "zone %q { type primary; file %q; allow-update { key %q; }; allow-transfer { key %q; }; };\n", name, name, keyName, keyName)
		text := fmt.Sprintf("$TTL 300\n@ IN SOA ns.%s. hostmaster.%s. 1 3600 900 604800 300\n@ IN NS ns.other.example.\n", name, name)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(dir, "named.conf"), []byte(b.String()), 0o644)
}

// world is one zone of the server.
type world struct {
	zone dns.Name

	mu            sync.Mutex
	left          int // changes until one fails; 0 for none
	after, struck bool
}

func newWorld(testing.TB) *world {
	server.mu.Lock()
	defer server.mu.Unlock()
	server.next++
	return &world{zone: dns.Name(zoneName(server.next - 1))}
}

func (w *world) key() *TSIG {
	return &TSIG{Name: keyName, Secret: keySecret, Algorithm: "hmac-sha256"}
}

func (w *world) Provider(t testing.TB) dns.Provider {
	t.Helper()
	p, err := New(Options{Servers: []string{server.address}, Zones: []dns.Name{w.zone}, TSIG: w.key(), Dial: w.dial})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// dial opens connections on which updates can fail.
func (w *world) dial(ctx context.Context, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	return &faulty{Conn: conn, world: w}, err
}

// faulty loses updates, or the answers to them.
type faulty struct {
	net.Conn
	world *world
	lost  bool
}

func (f *faulty) Write(b []byte) (int, error) {
	m := new(wire.Msg)
	if len(b) > 2 && m.Unpack(b[2:]) == nil && m.Opcode == wire.OpcodeUpdate {
		w := f.world
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.left > 0 {
			if w.left--; w.left == 0 {
				w.struck, f.lost = true, true
				if !w.after {
					return 0, errors.New("the connection broke")
				}
			}
		}
	}
	return f.Conn.Write(b)
}

func (f *faulty) Read(b []byte) (int, error) {
	n, err := f.Conn.Read(b)
	if f.lost && err == nil {
		return 0, errors.New("the answer was lost")
	}
	return n, err
}

func (w *world) Zone() dns.Name { return w.zone }

func (w *world) Fail(n int, after bool) func() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.left, w.after, w.struck = n, after, false
	return func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.left = 0
		return w.struck
	}
}

// hashes of long names have the zone in them.
var hashes = regexp.MustCompile(`_sluice-([a-z]+)-[0-9a-f]{16}\.`)

// Contents transfers the zone; names are given without it, so that two zones can be compared.
func (w *world) Contents(t testing.TB) []string {
	t.Helper()
	m := new(wire.Msg).SetAxfr(wire.Fqdn(string(w.zone)))
	m.SetTsig(keyName, wire.HmacSHA256, fudge, time.Now().Unix())
	envelopes, err := (&wire.Transfer{TsigSecret: map[string]string{keyName: keySecret}}).In(m, server.address)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for e := range envelopes {
		if e.Error != nil {
			t.Fatal(e.Error)
		}
		for _, rr := range e.RR {
			if rr.Header().Rrtype != wire.TypeSOA { // its serial number grows
				line := strings.ReplaceAll(strings.Join(strings.Fields(rr.String()), " "), string(w.zone), "zone")
				lines = append(lines, hashes.ReplaceAllString(line, "_sluice-${1}-HASH."))
			}
		}
	}
	slices.Sort(lines)
	return lines
}

func (w *world) Plant(t testing.TB, r dns.Record) {
	t.Helper()
	rrs, err := resources(r)
	if err != nil {
		t.Fatal(err)
	}
	m := new(wire.Msg).SetUpdate(wire.Fqdn(string(w.zone)))
	m.Insert(rrs)
	m.SetTsig(keyName, wire.HmacSHA256, fudge, time.Now().Unix())
	answer, _, err := (&wire.Client{TsigSecret: map[string]string{keyName: keySecret}}).Exchange(m, server.address)
	if err != nil || answer.Rcode != wire.RcodeSuccess {
		t.Fatal(err, answer)
	}
}

func TestContract(t *testing.T) {
	zonetest.Run(t, func(t testing.TB) zonetest.World { return newWorld(t) })
}

// TestAWrongKey: the server's no is told, and is none of the world's troubles.
func TestAWrongKey(t *testing.T) {
	w := newWorld(t)
	p, err := New(Options{Servers: []string{server.address}, Zones: []dns.Name{w.zone}})
	if err != nil {
		t.Fatal(err)
	}
	change := []dns.Change{{Action: dns.Create, Record: dns.Record{Name: "a." + w.zone, Type: dns.A, TTL: 60, Values: []string{"192.0.2.1"}}}}
	_, err = p.Change(t.Context(), dns.Zone{ID: dns.ZoneID(w.zone), Name: w.zone}, change)
	var refused *dns.RefusedError
	if !errors.As(err, &refused) || !refused.Denied {
		t.Error(err)
	}
	if _, _, err := p.Records(t.Context(), dns.Zone{Name: w.zone}, dns.Place{}); err == nil {
		t.Error("the zone is transferred to anybody")
	}
}

// TestAHostNameIsACNAME: what would be an alias on Route 53 is a CNAME, and is answered.
func TestAHostNameIsACNAME(t *testing.T) {
	w := newWorld(t)
	k, err := dns.NewKeeper(w.Provider(t), dns.KeeperOptions{Options: dns.Options{
		Policy: dns.Sync, Ownership: dns.Ownership{Owner: "me"}, Types: []dns.Type{dns.A, dns.AAAA, dns.CNAME},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	name := "web." + w.zone
	weighted, problems := dns.ReadSettings("blue", []dns.Property{{Name: "aws/weight", Value: "1"}})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	from := lb.Object{Kind: "Ingress", Namespace: "default", Name: "web"}
	plans := k.Plan(name, []dns.Endpoint{{Name: name, Type: dns.CNAME, Targets: []string{"a-1.eu-west-1.elb.amazonaws.com"}, From: from}}, nil)
	plans = append(plans, k.Plan("w."+w.zone, []dns.Endpoint{{Name: "w." + w.zone, Type: dns.A, SetID: "blue", Targets: []string{"192.0.2.1"}, Settings: weighted, From: from}}, nil)...)
	results := k.Apply(t.Context(), plans)
	if results[0].Err != nil || results[1].Err == nil || !strings.Contains(results[1].Err.Error(), "neither routing policies nor aliases") {
		t.Errorf("%v, %v", results[0].Err, results[1].Err)
	}
	m := new(wire.Msg).SetQuestion(wire.Fqdn(string(name)), wire.TypeCNAME)
	answer, _, err := new(wire.Client).Exchange(m, server.address)
	if err != nil || len(answer.Answer) != 1 || !strings.HasSuffix(answer.Answer[0].String(), "CNAME\ta-1.eu-west-1.elb.amazonaws.com.") {
		t.Errorf("%v %v", answer, err)
	}
}
