package ads

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// Type is a resource type's URL.
type Type string

// The types that are served.
const (
	Cluster     Type = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
	Endpoints   Type = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
	Listener    Type = "type.googleapis.com/envoy.config.listener.v3.Listener"
	RouteTable  Type = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
	VirtualHost Type = "type.googleapis.com/envoy.config.route.v3.VirtualHost"
	Secret      Type = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
)

// makeOrder is the order in which things come; they go in the reverse order.
var makeOrder = []Type{Cluster, Listener, RouteTable, VirtualHost}

// freely are the types whose resources depend on nothing.
var freely = []Type{Endpoints, Secret}

// Key identifies a resource.
type Key struct {
	Type Type
	Name string
}

// Resource is one xDS resource as it goes over the wire. Do not change what Body points to.
type Resource struct {
	Key
	Version string // the hash of Body
	Body    *anypb.Any
	// Endpoints is the name of the endpoints that a cluster waits for before it can be used; of clusters only.
	Endpoints string
}

// NewResource encodes a message.
func NewResource(key Key, message proto.Message) (Resource, error) {
	body, err := proto.MarshalOptions{Deterministic: true}.Marshal(message)
	if err != nil {
		return Resource{}, fmt.Errorf("encode %s %s: %w", key.Type, key.Name, err)
	}
	sum := sha256.Sum256(body)
	return Resource{Key: key, Version: hex.EncodeToString(sum[:8]), Body: &anypb.Any{TypeUrl: string(key.Type), Value: body}}, nil
}

// Refusal is a resource that a client does not accept as it is now.
type Refusal struct {
	Key
	Node    string
	Message string
}
