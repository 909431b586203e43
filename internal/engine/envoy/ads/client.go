package ads

import (
	"context"
	"errors"
	"io"
	"slices"
	"strconv"

	"sync"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
)

// client is one Envoy's stream. All but changed is used by the stream's own goroutine only.
type client struct {
	server        *Server
	stream        discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesServer
	node          string
	subscriptions map[Type]*subscription
	nonce         int

	mu      sync.Mutex
	changed []Key
	wake    chan struct{}
}

// mark notes what may have to be sent.
func (c *client) mark(changed []Key) {
	c.mu.Lock()
	c.changed = append(c.changed, changed...)
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *client) drain() []Key {
	c.mu.Lock()
	defer c.mu.Unlock()
	changed := c.changed
	c.changed = nil
	return changed
}

// DeltaAggregatedResources serves one Envoy.
func (s *Server) DeltaAggregatedResources(stream discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	ctx := stream.Context()
	select {
	case <-s.open:
	case <-ctx.Done():
		return ctx.Err()
	}
	c := &client{server: s, stream: stream, subscriptions: map[Type]*subscription{}, wake: make(chan struct{}, 1)}
	s.enter(c)
	defer s.leave(c)
	requests, ended := make(chan *discovery.DeltaDiscoveryRequest), make(chan error, 1)
	go func() { ended <- receive(ctx, stream, requests) }()
	for {
		select {
		case err := <-ended:
			return err
		case r := <-requests:
			c.request(r)
		case <-c.wake:
		}
		if err := c.push(); err != nil {
			return err
		}
	}
}

func receive(ctx context.Context, stream discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesServer, requests chan<- *discovery.DeltaDiscoveryRequest) error {
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		select {
		case requests <- r:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// request takes in what the client says: what it wants, and what it thinks of what it got.
func (c *client) request(r *discovery.DeltaDiscoveryRequest) {
	if id := r.GetNode().GetId(); id != "" {
		c.node = id
	}
	t := Type(r.GetTypeUrl())
	sub := c.subscriptions[t]
	if sub == nil {
		sub = newSubscription(t, r)
		c.subscriptions[t] = sub
		if sub.wildcard {
			sub.look(c.server.names(t)...)
		}
	}
	for _, name := range r.GetResourceNamesSubscribe() {
		sub.subscribe(c.server, name, r.GetInitialResourceVersions())
	}
	for _, name := range r.GetResourceNamesUnsubscribe() {
		sub.unsubscribe(name)
	}
	flight := sub.inFlight
	if flight == nil || r.GetResponseNonce() != flight.nonce {
		return
	}
	sub.inFlight = nil
	if detail := r.GetErrorDetail(); detail != nil {
		c.refused(sub, flight, detail.GetMessage())
		return
	}
	for _, name := range flight.names {
		delete(sub.refused, name)
	}
}

// refused says which resource of a response is to blame, if it has only one; else each is tried by itself.
func (c *client) refused(sub *subscription, flight *flight, message string) {
	c.server.nacked(sub.kind)
	for _, name := range flight.names {
		sub.has[name] = unknown
	}
	if len(flight.names) != 1 {
		sub.alone = append(sub.alone, flight.names...)
		sub.look(flight.names...)
		return
	}
	name := flight.names[0]
	sub.refused[name] = flight.versions[0]
	c.server.refuse(c, Refusal{Key: Key{sub.kind, name}, Node: c.node, Message: message})
	c.server.log.Error("an Envoy refuses a resource", "node", c.node, "type", sub.kind, "name", name, "message", message)
}

// push sends what can be sent now.
func (c *client) push() error {
	for _, key := range c.drain() {
		if sub := c.subscriptions[key.Type]; sub != nil && sub.wants(key.Name) {
			sub.look(key.Name)
		}
	}
	for _, t := range freely {
		// That one is gone, nobody is told: a client that uses it no more unsubscribes, and others go on with it.
		if _, err := c.send(t, made); err != nil {
			return err
		}
	}
	for _, t := range makeOrder {
		waiting, err := c.send(t, made)
		if err != nil || waiting {
			return err
		}
		if t == Cluster && c.warming() {
			return nil
		}
	}
	for _, t := range slices.Backward(makeOrder) {
		waiting, err := c.send(t, gone)
		if err != nil || waiting {
			return err
		}
	}
	return nil
}

// warming says whether a cluster that the client has just got waits for its endpoints.
func (c *client) warming() bool {
	clusters := c.subscriptions[Cluster]
	if clusters == nil {
		return false
	}
	endpoints := c.subscriptions[Endpoints]
	for name := range clusters.warming {
		cluster, ok := c.server.resource(Key{Cluster, name})
		_, exists := c.server.resource(Key{Endpoints, cluster.Endpoints})
		if !ok || !exists || clusters.refused[name] == cluster.Version || endpoints != nil && endpoints.accepted(cluster.Endpoints) {
			delete(clusters.warming, name)
		}
	}
	return len(clusters.warming) > 0
}

// send sends what a client lacks of a type, and says whether an answer of it is awaited.
func (c *client) send(t Type, which changes) (waiting bool, err error) {
	sub := c.subscriptions[t]
	if sub == nil {
		return false, nil
	}
	if sub.inFlight != nil {
		return true, nil
	}
	response, flight := sub.next(c.server, which)
	if flight == nil {
		return false, nil
	}
	c.nonce++
	flight.nonce = strconv.Itoa(c.nonce)
	response.TypeUrl, response.Nonce = string(t), flight.nonce
	sub.inFlight = flight
	c.server.responded(t)
	return true, c.stream.Send(response)
}
