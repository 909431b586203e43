package envoy_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/sluicehq/sluice/internal/engine/envoy"
	"github.com/sluicehq/sluice/internal/engine/envoy/ads"
	"github.com/sluicehq/sluice/internal/engine/envoy/envoytest"
	"github.com/sluicehq/sluice/internal/lb"
	"github.com/sluicehq/sluice/internal/plan"
)

// fleet is an engine with a real Envoy.
type fleet struct {
	t      *testing.T
	engine *envoy.Engine
	server *ads.Server
	envoy  *envoytest.Envoy
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	server := ads.New(slog.New(slog.DiscardHandler))
	engine, err := envoy.New(server, envoy.Options{HTTPAddress: "127.0.0.1", HTTPSAddress: "127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	address := netip.MustParseAddrPort(listen(t, server, nil))
	config := envoy.Bootstrap{XDSHost: "127.0.0.1", XDSPort: address.Port()}
	return &fleet{t: t, engine: engine, server: server, envoy: envoytest.Start(t, config)}
}

// listen serves xDS until the test ends.
func listen(t *testing.T, server *ads.Server, config *tls.Config) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx, l, config) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

func (f *fleet) apply(s lb.Stack) plan.Plan {
	f.t.Helper()
	p, verdicts, err := f.engine.Plan(f.t.Context(), s)
	if err != nil || len(verdicts) > 0 {
		f.t.Fatal(err, verdicts)
	}
	for _, r := range f.engine.Apply(f.t.Context(), p).Steps {
		if r.Err != nil {
			f.t.Fatal(r.Err)
		}
	}
	return p
}

// backend starts a server that answers with its name and what it saw.
func backend(t *testing.T, name string) (lb.Backend, []lb.Endpoint) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s %s", name, r.Host, r.URL)
	}))
	t.Cleanup(s.Close)
	address := s.Listener.Addr().(*net.TCPAddr)
	return lb.Backend{Namespace: "default", Service: name, Port: 80}, []lb.Endpoint{{Address: "127.0.0.1", Port: uint16(address.Port)}}
}

// hostStack is a virtual host whose paths all lead to one upstream.
func hostStack(host string, u lb.Upstream) lb.Stack {
	self := lb.Object{Kind: "Ingress", Namespace: "default", Name: "web"}
	return lb.Stack{
		ID: lb.StackID("envoy/" + host), Upstreams: []lb.Upstream{u},
		VirtualHosts: []lb.VirtualHost{{Host: host, From: []lb.Object{self}, Routes: []lb.Route{{
			Match:    lb.RouteMatch{Path: lb.PathMatch{Kind: lb.SegmentPath, Value: "/"}},
			Action:   lb.RouteAction{Forward: &lb.RouteForward{Upstreams: []lb.WeightedUpstream{{ID: u.ID, Weight: 1}}}},
			Insecure: lb.ServeInsecure, From: self,
		}}}},
	}
}

type answer struct {
	status int
	body   string
	header http.Header
}

func get(ctx context.Context, address, host, path string) (answer, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+path, http.NoBody)
	if err != nil {
		return answer{}, err
	}
	r.Host = host
	return do(http.DefaultClient, r)
}

func do(c *http.Client, r *http.Request) (answer, error) {
	response, err := c.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, string(body), response.Header}, err
}

// The first thing that a user sees, before there is any Ingress.
func TestWithoutAnythingTheAnswerIs404(t *testing.T) {
	f := newFleet(t)
	f.server.Open()
	address := f.envoy.Address(t, "ingress_http")
	eventuallyAnswers(t, address, "hello-pks.example.com", 404, "")
	a, err := get(t.Context(), address, "hello-pks.example.com", "/")
	if err != nil || a.status != 404 || a.body != "" || a.header.Get("Server") != "envoy" {
		t.Errorf("got %+v %v, want an empty 404 by envoy", a, err)
	}
}

func TestAHostIsServedChangedAndRemoved(t *testing.T) {
	f := newFleet(t)
	one, endpointsOfOne := backend(t, "one")
	two, endpointsOfTwo := backend(t, "two")
	first := lb.Upstream{Backend: one, Protocol: lb.PlainHTTP1, Balance: lb.RoundRobin}.Identify()
	if err := f.engine.SetEndpoints(one, endpointsOfOne); err != nil {
		t.Fatal(err)
	}
	f.apply(hostStack("a.example.com", first))
	f.server.Open()
	address := f.envoy.Address(t, "ingress_http")
	eventuallyAnswers(t, address, "a.example.com", 200, "one a.example.com /x")
	a, err := get(t.Context(), address, "A.example.com:31005", "/x")
	if err != nil || a.status != 200 || a.header.Get("X-Envoy-Upstream-Service-Time") == "" {
		t.Errorf("with a port in the Host header: %+v %v", a, err)
	}

	if err := f.engine.SetEndpoints(two, endpointsOfTwo); err != nil {
		t.Fatal(err)
	}
	second := lb.Upstream{Backend: two, Protocol: lb.PlainHTTP1, Balance: lb.RoundRobin}.Identify()
	f.apply(hostStack("a.example.com", second))
	eventuallyAnswers(t, address, "a.example.com", 200, "two a.example.com /x")
	if p := f.apply(hostStack("a.example.com", second)); !p.Empty() {
		t.Errorf("the second plan is not empty: %+v", p)
	}

	// Endpoints alone change by a way of their own.
	if err := f.engine.SetEndpoints(two, endpointsOfOne); err != nil {
		t.Fatal(err)
	}
	eventuallyAnswers(t, address, "a.example.com", 200, "one a.example.com /x")

	f.apply(lb.Stack{ID: "envoy/a.example.com"})
	eventuallyAnswers(t, address, "a.example.com", 404, "")
	if got := f.engine.Stacks(); len(got) != 0 {
		t.Errorf("stacks %v are left", got)
	}
	for kind, n := range f.server.Counts().Refused {
		t.Errorf("Envoy refused %d %s", n, kind)
	}
}

func eventuallyAnswers(t *testing.T, address, host string, status int, body string) {
	t.Helper()
	envoytest.Eventually(t, fmt.Sprintf("%s answers %d %q", host, status, body), func() error {
		a, err := get(t.Context(), address, host, "/x")
		if err != nil {
			return err
		}
		if a.status != status || !strings.HasPrefix(a.body, body) {
			return fmt.Errorf("got %d %q", a.status, a.body)
		}
		return nil
	})
}
