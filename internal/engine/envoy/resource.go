package envoy

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"google.golang.org/protobuf/proto"

	"github.com/sluicehq/sluice/internal/engine/envoy/ads"
	"github.com/sluicehq/sluice/internal/lb"
	"github.com/sluicehq/sluice/internal/plan"
)

// The kinds of resources that a stack has.
const (
	clusterKind     plan.Kind = "Cluster"
	secretKind      plan.Kind = "Secret"
	chainKind       plan.Kind = "FilterChain"
	tableKind       plan.Kind = "RouteTable"
	virtualHostKind plan.Kind = "VirtualHost"
)

// resource is one xDS resource, or one filter chain, that a stack wants.
type resource struct {
	id      plan.ID
	message proto.Message
	refs    []plan.ID
	from    []lb.Object
	wire    ads.Resource // zero for filter chains, which go out in their listener
	backend backend      // of clusters with endpoints
}

// backend is where a cluster's endpoints come from.
type backend struct {
	traffic lb.Backend
	check   lb.Backend // zero for traffic
}

// newResource makes a resource; name is what it is called on the wire.
func newResource(id plan.ID, t ads.Type, name string, message proto.Message, from []lb.Object, refs ...plan.ID) (resource, error) {
	wire, err := ads.NewResource(ads.Key{Type: t, Name: name}, message)
	if err != nil {
		return resource{}, err
	}
	return resource{id: id, message: message, refs: refs, from: from, wire: wire}, nil
}

// ID is the kind and the name that users know.
func (r resource) ID() plan.ID { return r.id }

// Refs are the clusters of routes, and the secrets and tables of filter chains.
func (r resource) Refs() []plan.ID { return r.refs }

// Owner is nobody.
func (resource) Owner() plan.ID { return plan.ID{} }

// From are the objects that asked for it.
func (r resource) From() []lb.Object { return r.from }

// Fields are the leaves of the message as Envoy's documentation names them. A secret shows nothing: its name changes
// with its content.
func (r resource) Fields() []plan.Field {
	if r.id.Kind == secretKind {
		return nil
	}
	text, err := jsonOf(r.message)
	if err != nil {
		return []plan.Field{{Name: "unprintable", Value: err.Error()}}
	}
	var tree any
	if err := json.Unmarshal(text, &tree); err != nil {
		return []plan.Field{{Name: "unprintable", Value: err.Error()}}
	}
	return leaves(nil, "", tree)
}

// leaves flattens a JSON value: routes[0].match.prefix is /.
func leaves(out []plan.Field, path string, value any) []plan.Field {
	switch v := value.(type) {
	case map[string]any:
		keys := make([]string, 0, len(v))
		for k := range v {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		for _, k := range keys {
			at := k
			if path != "" {
				at = path + "." + k
			}
			out = leaves(out, at, v[k])
		}
		if len(v) == 0 && path != "" {
			out = append(out, plan.Field{Name: path, Value: "{}"})
		}
	case []any:
		for i, item := range v {
			out = leaves(out, path+"["+strconv.Itoa(i)+"]", item)
		}
	case string:
		out = append(out, plan.Field{Name: path, Value: v})
	default:
		out = append(out, plan.Field{Name: path, Value: fmt.Sprint(v)})
	}
	return out
}
