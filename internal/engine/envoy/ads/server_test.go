package ads_test

import (
	"context"
	"log/slog"
	"net"
	"testing"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/proto"

	"github.com/sluicehq/sluice/internal/engine/envoy/ads"
	"github.com/sluicehq/sluice/internal/engine/envoy/envoytest"
)

func serve(t *testing.T, open bool) (*ads.Server, string) {
	t.Helper()
	server := ads.New(slog.New(slog.DiscardHandler))
	if open {
		server.Open()
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx, l, nil) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return server, l.Addr().String()
}

func resource(t *testing.T, kind ads.Type, name, content string) ads.Resource {
	t.Helper()
	var message proto.Message
	switch kind {
	case ads.Cluster:
		message = &cluster.Cluster{Name: name, AltStatName: content}
	case ads.Endpoints:
		message = &endpoint.ClusterLoadAssignment{ClusterName: name + content}
	case ads.Listener:
		message = &listener.Listener{Name: name, StatPrefix: content}
	default:
		message = &route.VirtualHost{Name: name, Domains: []string{content}}
	}
	r, err := ads.NewResource(ads.Key{Type: kind, Name: name}, message)
	if err != nil {
		t.Fatal(err)
	}
	if kind == ads.Cluster {
		r.Endpoints = name
	}
	return r
}

func TestNothingIsSentBeforeTheServerIsOpen(t *testing.T) {
	server, address := serve(t, false)
	client := envoytest.Dial(t, address)
	client.Subscribe(ads.Cluster, nil)
	server.Update([]ads.Resource{resource(t, ads.Cluster, "a", "1")}, nil)
	server.Update([]ads.Resource{resource(t, ads.Cluster, "b", "1")}, nil)
	server.Open()
	client.Expect(ads.Cluster, []string{"a", "b"}, nil)
}

func TestEqualResourcesAreNotSentAgain(t *testing.T) {
	server, address := serve(t, true)
	a := resource(t, ads.Cluster, "a", "1")
	server.Update([]ads.Resource{a}, nil)
	client := envoytest.Dial(t, address)
	client.Subscribe(ads.Cluster, nil)
	client.Accept(client.Expect(ads.Cluster, []string{"a"}, nil))
	server.Update([]ads.Resource{resource(t, ads.Cluster, "a", "1")}, []ads.Key{{Type: ads.Cluster, Name: "unknown"}})
	client.Quiet()

	// A client that comes back, to this process or to the next, says what it has.
	again := envoytest.Dial(t, address)
	again.Subscribe(ads.Cluster, map[string]string{"a": a.Version})
	again.Subscribe(ads.Endpoints, map[string]string{}, "a")
	again.Accept(again.Expect(ads.Endpoints, nil, []string{"a"}))
	again.Quiet()

	stale := envoytest.Dial(t, address)
	stale.Subscribe(ads.Cluster, map[string]string{"a": "old", "gone": "1"})
	stale.Accept(stale.Expect(ads.Cluster, []string{"a"}, nil))
	stale.Expect(ads.Cluster, nil, []string{"gone"})
}

func TestRoutesWaitForClustersAndTheirEndpoints(t *testing.T) {
	server, address := serve(t, true)
	client := envoytest.Dial(t, address)
	client.Subscribe(ads.Cluster, nil)
	client.Accept(client.Expect(ads.Cluster, nil, nil)) // that there is nothing is an answer too
	client.Subscribe(ads.VirtualHost, nil)
	client.Accept(client.Expect(ads.VirtualHost, nil, nil))
	old := []ads.Resource{
		resource(t, ads.VirtualHost, "table/host", "1"), resource(t, ads.Endpoints, "a", ""), resource(t, ads.Cluster, "a", "1"),
	}
	server.Update(old, nil)
	clusters := client.Expect(ads.Cluster, []string{"a"}, nil)
	client.Quiet()
	client.Accept(clusters)
	client.Quiet() // not before the cluster has its endpoints
	client.Subscribe(ads.Endpoints, nil, "a")
	endpoints := client.Expect(ads.Endpoints, []string{"a"}, nil)
	client.Quiet()
	client.Accept(endpoints)
	client.Accept(client.Expect(ads.VirtualHost, []string{"table/host"}, nil))

	// The new cluster is there before the route changes; the old one goes when it has.
	server.Update([]ads.Resource{
		resource(t, ads.VirtualHost, "table/host", "2"), resource(t, ads.Endpoints, "b", ""), resource(t, ads.Cluster, "b", "1"),
	}, []ads.Key{old[1].Key, old[2].Key})
	client.Accept(client.Expect(ads.Cluster, []string{"b"}, nil))
	client.Subscribe(ads.Endpoints, nil, "b")
	client.Accept(client.Expect(ads.Endpoints, []string{"b"}, nil))
	routes := client.Expect(ads.VirtualHost, []string{"table/host"}, nil)
	client.Quiet()
	client.Accept(routes)
	client.Expect(ads.Cluster, nil, []string{"a"})
}

func TestEndpointsWaitForNothing(t *testing.T) {
	server, address := serve(t, true)
	server.Update([]ads.Resource{resource(t, ads.Cluster, "a", "1"), resource(t, ads.Endpoints, "a", "")}, nil)
	client := envoytest.Dial(t, address)
	client.Subscribe(ads.Cluster, nil)
	client.Expect(ads.Cluster, []string{"a"}, nil) // never answered
	client.Subscribe(ads.Endpoints, nil, "a")
	client.Accept(client.Expect(ads.Endpoints, []string{"a"}, nil))
	server.Update([]ads.Resource{resource(t, ads.Endpoints, "a", "-2")}, nil)
	client.Accept(client.Expect(ads.Endpoints, []string{"a"}, nil))
}

func TestARefusalCostsOnlyWhatIsRefused(t *testing.T) {
	server, address := serve(t, true)
	client := envoytest.Dial(t, address)
	client.Subscribe(ads.VirtualHost, nil)
	client.Accept(client.Expect(ads.VirtualHost, nil, nil))
	server.Update([]ads.Resource{
		resource(t, ads.VirtualHost, "table/a", "1"), resource(t, ads.VirtualHost, "table/bad", "1"), resource(t, ads.VirtualHost, "table/c", "1"),
	}, nil)
	answer := func(r *discovery.DeltaDiscoveryResponse) {
		for _, resource := range r.GetResources() {
			if resource.GetName() == "table/bad" {
				client.Refuse(r, "bad regular expression")
				return
			}
		}
		client.Accept(r)
	}
	answer(client.Expect(ads.VirtualHost, []string{"table/a", "table/bad", "table/c"}, nil))
	answer(client.Expect(ads.VirtualHost, []string{"table/a"}, nil))
	answer(client.Expect(ads.VirtualHost, []string{"table/bad"}, nil))
	answer(client.Expect(ads.VirtualHost, []string{"table/c"}, nil))
	client.Quiet()
	refusals := server.Refusals()
	if len(refusals) != 1 || refusals[0].Name != "table/bad" || refusals[0].Message != "bad regular expression" || refusals[0].Node != "test" {
		t.Fatalf("refusals %+v", refusals)
	}

	// A change of the refused one is tried, and the refusal is forgotten.
	server.Update([]ads.Resource{resource(t, ads.VirtualHost, "table/bad", "2")}, nil)
	client.Accept(client.Expect(ads.VirtualHost, []string{"table/bad"}, nil))
	client.Quiet()
	if got := server.Refusals(); len(got) != 0 {
		t.Errorf("refusals %+v after the resource was mended", got)
	}
}
