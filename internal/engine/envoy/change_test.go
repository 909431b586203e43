package envoy_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sluicehq/sluice/internal/engine/envoy"
	"github.com/sluicehq/sluice/internal/engine/envoy/ads"
	"github.com/sluicehq/sluice/internal/engine/envoy/envoytest"
	"github.com/sluicehq/sluice/internal/lb"
)

// Routes move to other clusters, are reordered, and pods are replaced, while clients go on.
func TestChangesFailNoRequest(t *testing.T) {
	f := newFleet(t)
	var upstreams []lb.Upstream
	for _, name := range []string{"one", "two"} {
		b, endpoints := backend(t, name)
		if err := f.engine.SetEndpoints(b, endpoints); err != nil {
			t.Fatal(err)
		}
		for _, policy := range []lb.BalancePolicy{lb.RoundRobin, lb.LeastRequest, lb.RandomChoice} {
			upstreams = append(upstreams, lb.Upstream{Backend: b, Protocol: lb.PlainHTTP1, Balance: policy}.Identify())
		}
	}
	f.apply(hostStack("a.example.com", upstreams[0]))
	f.server.Open()
	address := f.envoy.Address(t, "ingress_http")
	eventuallyAnswers(t, address, "a.example.com", 200, "one")

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var running sync.WaitGroup
	var good, bad atomic.Int64
	for range 4 {
		running.Go(func() {
			client := &http.Client{Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			for ctx.Err() == nil {
				a, err := getBy(client, context.WithoutCancel(ctx), address, "a.example.com", "/x")
				if err != nil || a.status != 200 {
					bad.Add(1)
					t.Errorf("a request failed: %d %q %v", a.status, a.body, err)
					return
				}
				good.Add(1)
			}
		})
	}
	for n := range 60 {
		u := upstreams[n%len(upstreams)]
		f.apply(hostStack("a.example.com", u))
		before := good.Load()
		envoytest.Eventually(t, fmt.Sprintf("requests go to %s", u.Backend.Service), func() error {
			a, err := get(t.Context(), address, "a.example.com", "/x")
			if err == nil && (a.body[:3] != u.Backend.Service || good.Load() < before+20) {
				err = fmt.Errorf("%q after %d requests", a.body, good.Load()-before)
			}
			return err
		})
	}
	cancel()
	running.Wait()
	t.Logf("%d requests, %d failed", good.Load(), bad.Load())
}

func getBy(c *http.Client, ctx context.Context, address, host, path string) (answer, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+path, http.NoBody)
	if err != nil {
		return answer{}, err
	}
	r.Host = host
	return do(c, r)
}

// One route more is one host's message, and endpoints are one message, however much else there is.
func TestAChangeSendsOnlyWhatDiffers(t *testing.T) {
	const hosts = 200
	server := ads.New(slog.New(slog.DiscardHandler))
	engine, err := envoy.New(server, envoy.Options{HTTPAddress: "127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	f := &fleet{t: t, engine: engine, server: server}
	stack := func(n, routes int) lb.Stack {
		b := lb.Backend{Namespace: "default", Service: fmt.Sprint("web-", n), Port: 80}
		u := lb.Upstream{Backend: b, Protocol: lb.PlainHTTP1, Balance: lb.RoundRobin}.Identify()
		s := hostStack(fmt.Sprintf("h%d.example.com", n), u)
		for r := range routes {
			route := s.VirtualHosts[0].Routes[0]
			route.Match.Path = lb.PathMatch{Kind: lb.PrefixPath, Value: fmt.Sprint("/r", r)}
			s.VirtualHosts[0].Routes = append(s.VirtualHosts[0].Routes, route)
		}
		return s
	}
	for n := range hosts {
		f.apply(stack(n, 7))
	}
	server.Open()
	client := envoytest.Dial(t, listen(t, server, nil))
	client.Subscribe(ads.Cluster, nil)
	clusters := client.Next()
	var names []string
	for _, r := range clusters.GetResources() {
		names = append(names, r.GetName())
	}
	client.Accept(clusters)
	client.Subscribe(ads.Endpoints, nil, names...)
	client.Accept(client.Next())
	client.Subscribe(ads.VirtualHost, nil)
	client.Accept(client.Next())

	f.apply(stack(5, 8))
	changed := client.Expect(ads.VirtualHost, []string{"ingress_http/h5.example.com"}, nil)
	if size := envoytest.Size(changed); size > 4096 {
		t.Errorf("one route more is %d bytes, of at most 4096", size)
	}
	client.Accept(changed)
	f.apply(stack(5, 8))
	client.Quiet()
	if err := engine.SetEndpoints(lb.Backend{Namespace: "default", Service: "web-5", Port: 80}, []lb.Endpoint{{Address: "10.0.0.1", Port: 80}}); err != nil {
		t.Fatal(err)
	}
	one := client.Next()
	if one.GetTypeUrl() != string(ads.Endpoints) || len(one.GetResources()) != 1 {
		t.Errorf("endpoints of one Service are %d %s", len(one.GetResources()), one.GetTypeUrl())
	}
	client.Accept(one)
	client.Quiet()
}

// Envoy and the control plane know each other by certificates, and the control plane takes new ones without a restart.
func TestXDSIsMutualTLSAndCertificatesRotate(t *testing.T) {
	dir := t.TempDir()
	files := ads.Files{CA: filepath.Join(dir, "ca.crt"), Certificate: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key")}
	rotate := func() {
		certificate, key := envoytest.SelfSigned(t, "sluice")
		for path, text := range map[string]string{files.CA: certificate, files.Certificate: certificate, files.Key: key} {
			if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(path+".new", path); err != nil {
				t.Fatal(err)
			}
		}
	}
	rotate()
	config, err := files.Config()
	if err != nil {
		t.Fatal(err)
	}
	server := ads.New(slog.New(slog.DiscardHandler))
	engine, err := envoy.New(server, envoy.Options{HTTPAddress: "127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	server.Open()
	address := listen(t, server, config)
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	var number uint16
	if _, err := fmt.Sscan(port, &number); err != nil {
		t.Fatal(err)
	}
	b := envoy.Bootstrap{XDSHost: "127.0.0.1", XDSPort: number, CA: files.CA, Certificate: files.Certificate, Key: files.Key}
	f := &fleet{t: t, engine: engine, server: server, envoy: envoytest.Start(t, b)}
	f.envoy.Address(t, "ingress_http")

	plain := &tls.Config{InsecureSkipVerify: true} //nolint:gosec // it must be turned away
	connection, err := tls.Dial("tcp", address, plain)
	if err == nil {
		if _, err = connection.Read(make([]byte, 1)); err == nil {
			t.Error("a client without a certificate is let in")
		}
		_ = connection.Close()
	}

	rotate()
	later := envoytest.Start(t, b)
	later.Address(t, "ingress_http")
}
