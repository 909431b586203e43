package envoytest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	status "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"

	"github.com/sluicehq/sluice/internal/engine/envoy/ads"
)

// Client is an ADS client that a test drives by hand.
type Client struct {
	t         testing.TB
	stream    discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesClient
	responses chan *discovery.DeltaDiscoveryResponse
}

// Dial connects to a server that speaks clear text.
func Dial(t testing.TB, address string) *Client {
	t.Helper()
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	stream, err := discovery.NewAggregatedDiscoveryServiceClient(connection).DeltaAggregatedResources(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c := &Client{t: t, stream: stream, responses: make(chan *discovery.DeltaDiscoveryResponse, 100)}
	go func() {
		defer close(c.responses)
		for {
			r, err := stream.Recv()
			if err != nil {
				return
			}
			c.responses <- r
		}
	}()
	return c
}

// Subscribe asks for names of a type, for all where there are none. has are versions from before.
func (c *Client) Subscribe(t ads.Type, has map[string]string, names ...string) {
	c.t.Helper()
	c.send(&discovery.DeltaDiscoveryRequest{
		Node: &core.Node{Id: "test"}, TypeUrl: string(t), ResourceNamesSubscribe: names, InitialResourceVersions: has,
	})
}

// Accept answers a response.
func (c *Client) Accept(r *discovery.DeltaDiscoveryResponse) {
	c.t.Helper()
	c.send(&discovery.DeltaDiscoveryRequest{TypeUrl: r.GetTypeUrl(), ResponseNonce: r.GetNonce()})
}

// Refuse answers a response.
func (c *Client) Refuse(r *discovery.DeltaDiscoveryResponse, why string) {
	c.t.Helper()
	c.send(&discovery.DeltaDiscoveryRequest{TypeUrl: r.GetTypeUrl(), ResponseNonce: r.GetNonce(), ErrorDetail: &status.Status{Message: why}})
}

func (c *Client) send(r *discovery.DeltaDiscoveryRequest) {
	c.t.Helper()
	if err := c.stream.Send(r); err != nil {
		c.t.Fatal(err)
	}
}

// Next waits for a response.
func (c *Client) Next() *discovery.DeltaDiscoveryResponse {
	c.t.Helper()
	select {
	case r, ok := <-c.responses:
		if !ok {
			c.t.Fatal("the stream ended")
		}
		return r
	case <-time.After(patience):
		c.t.Fatal("no response")
	}
	return nil
}

// Expect waits for a response that sets and removes just these names.
func (c *Client) Expect(t ads.Type, set, removed []string) *discovery.DeltaDiscoveryResponse {
	c.t.Helper()
	r := c.Next()
	var got []string
	for _, resource := range r.GetResources() {
		got = append(got, resource.GetName())
	}
	if r.GetTypeUrl() != string(t) || !slices.Equal(got, set) || !slices.Equal(r.GetRemovedResources(), removed) {
		c.t.Fatalf("got %s %v without %v, want %s %v without %v", r.GetTypeUrl(), got, r.GetRemovedResources(), t, set, removed)
	}
	return r
}

// Quiet checks that no response comes before the server has answered a question asked now.
func (c *Client) Quiet() {
	c.t.Helper()
	name := fmt.Sprintf("quiet-%p-%d", c, time.Now().UnixNano())
	c.Subscribe(ads.Secret, nil, name)
	r := c.Expect(ads.Secret, nil, []string{name})
	c.Accept(r)
}

// Size is how many bytes a response has on the wire.
func Size(r *discovery.DeltaDiscoveryResponse) int { return proto.Size(r) }
