package bench

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluicehq/sluice/internal/compile"
	"github.com/sluicehq/sluice/internal/engine/envoy"
	"github.com/sluicehq/sluice/internal/engine/envoy/ads"
	"github.com/sluicehq/sluice/internal/engine/envoy/envoytest"
	"github.com/sluicehq/sluice/internal/kube"
	"github.com/sluicehq/sluice/internal/lb"
)

const (
	fleetProxies = 1000
	fleetRoutes  = 8 // of each
	fleetEnvoys  = 4
)

// fleetObjects are HTTPProxies with a Service each; the first has more routes than the others.
func fleetObjects(b *testing.B, more int) *kube.Objects {
	b.Helper()
	var text strings.Builder
	for n := range fleetProxies {
		fmt.Fprintf(&text, "---\napiVersion: v1\nkind: Service\nmetadata: {name: web-%[1]d}\nspec: {ports: [{port: 80}]}\n---\n"+
			"apiVersion: projectcontour.io/v1\nkind: HTTPProxy\nmetadata: {name: web-%[1]d}\nspec:\n  virtualhost: {fqdn: h%[1]d.example.com}\n  routes:\n", n)
		routes := fleetRoutes
		if n == 0 {
			routes += more
		}
		for r := range routes {
			fmt.Fprintf(&text, "  - {conditions: [{prefix: /r%d}], services: [{name: web-%d, port: 80}]}\n", r, n)
		}
	}
	documents, problems, err := kube.Read("in.yaml", strings.NewReader(text.String()), "default")
	if err != nil || len(problems) > 0 {
		b.Fatal(err, problems)
	}
	return kube.New(kube.Contents{}.Add(documents))
}

// BenchmarkFleet measures an Envoy fleet of 4 ADS clients and 8,000 routes. Goals: a change of endpoints is accepted
// within 300 ms (p99) and one message to each; a route more within 1 s, compiling included, and 4 KB to each; 400 MB.
func BenchmarkFleet(b *testing.B) {
	server := ads.New(slog.New(slog.DiscardHandler))
	engine, err := envoy.New(server, envoy.Options{})
	if err != nil {
		b.Fatal(err)
	}
	digests := map[lb.StackID]string{}
	serve := func(objects *kube.Objects) {
		for _, s := range compile.FleetOf(objects, compile.FleetOptions{}).Stacks {
			if digest := s.Digest(); digests[s.ID] != digest {
				digests[s.ID] = digest
				p, _, err := engine.Plan(b.Context(), s)
				if err != nil {
					b.Fatal(err)
				}
				engine.Apply(b.Context(), p)
			}
		}
	}
	plain, more := fleetObjects(b, 0), fleetObjects(b, 1)
	serve(plain)
	server.Open()
	clients := fleetClients(b, server)
	var endpoints, routes []time.Duration
	size := 0
	for n := 0; b.Loop(); n++ {
		start := time.Now()
		of := lb.Backend{Namespace: "default", Service: fmt.Sprint("web-", n%fleetProxies), Port: 80}
		if err := engine.SetEndpoints(of, []lb.Endpoint{{Address: "10.0.0.1", Port: uint16(1 + n)}}); err != nil {
			b.Fatal(err)
		}
		for _, c := range clients {
			r := c.Next()
			if r.GetTypeUrl() != string(ads.Endpoints) || len(r.GetResources()) != 1 {
				b.Fatalf("endpoints of one Service are %d %s", len(r.GetResources()), r.GetTypeUrl())
			}
			c.Accept(r)
		}
		endpoints = append(endpoints, time.Since(start))
		start = time.Now()
		serve([]*kube.Objects{more, plain}[n%2])
		for _, c := range clients {
			r := c.Expect(ads.VirtualHost, []string{"ingress_http/h0.example.com"}, nil)
			size = max(size, envoytest.Size(r))
			c.Accept(r)
		}
		routes = append(routes, time.Since(start))
	}
	b.ReportMetric(percentile(endpoints).Seconds()*1000, "ms/endpoints-p99")
	b.ReportMetric(percentile(routes).Seconds()*1000, "ms/route-p99")
	b.ReportMetric(float64(size), "bytes/route")
	runtime.GC()
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	b.ReportMetric(float64(memory.HeapAlloc)/1e6, "MB-heap")
	runtime.KeepAlive([]any{engine, server, plain, digests})
}

func percentile(list []time.Duration) time.Duration {
	slices.Sort(list)
	return list[len(list)*99/100]
}

// fleetClients have all that there is.
func fleetClients(b *testing.B, server *ads.Server) []*envoytest.Client {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx, l, nil) }()
	b.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			b.Error(err)
		}
	})
	var out []*envoytest.Client
	for range fleetEnvoys {
		c := envoytest.Dial(b, l.Addr().String())
		c.Subscribe(ads.Cluster, nil)
		clusters := c.Next()
		var names []string
		for _, r := range clusters.GetResources() {
			names = append(names, r.GetName())
		}
		c.Accept(clusters)
		c.Subscribe(ads.Endpoints, nil, names...)
		c.Accept(c.Next())
		c.Subscribe(ads.VirtualHost, nil)
		c.Accept(c.Next())
		out = append(out, c)
	}
	return out
}
