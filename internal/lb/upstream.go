package lb

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"
)

// UpstreamID identifies an upstream by all that is said about it, so that two routes that say the same share one.
type UpstreamID string

// UpstreamProtocol is what an upstream speaks.
type UpstreamProtocol string

// The protocols.
const (
	PlainHTTP1 UpstreamProtocol = "http/1.1"
	PlainHTTP2 UpstreamProtocol = "h2c"
	TLSHTTP1   UpstreamProtocol = "tls"
	TLSHTTP2   UpstreamProtocol = "h2"
)

// BalancePolicy is how an endpoint is chosen.
type BalancePolicy string

// The policies.
const (
	RoundRobin   BalancePolicy = "round-robin"
	LeastRequest BalancePolicy = "least-request"
	RandomChoice BalancePolicy = "random"
	ByHash       BalancePolicy = "hash"
)

// Backend is a Service port.
type Backend struct {
	Namespace string
	Service   string
	Port      int32  // of the Service
	PortName  string // by which EndpointSlices have it; empty where the Service has one port without a name
}

// String is "default/web:80".
func (b Backend) String() string { return fmt.Sprintf("%s/%s:%d", b.Namespace, b.Service, b.Port) }

// Compare orders backends.
func (b Backend) Compare(other Backend) int {
	return cmp.Or(cmp.Compare(b.Namespace, other.Namespace), cmp.Compare(b.Service, other.Service), cmp.Compare(b.Port, other.Port), cmp.Compare(b.PortName, other.PortName))
}

// Upstream is a backend with how it is spoken to.
type Upstream struct {
	ID        UpstreamID
	Backend   Backend
	External  string // the DNS name of a Service of type ExternalName, resolved by the engine
	Protocol  UpstreamProtocol
	SNI       string
	Verify    *UpstreamVerify // nil to accept any certificate
	Balance   BalancePolicy
	Check     *UpstreamCheck
	Limits    ConnectionLimits
	SlowStart *SlowStart
	// IdleTimeout of connections: nil for the engine's default, zero for none.
	IdleTimeout *time.Duration
	From        []Object
}

// UpstreamVerify is which server certificates are accepted.
type UpstreamVerify struct {
	CA       SecretRef
	Subjects []string // DNS names, of which the certificate must have one
}

// UpstreamCheck is an active health check: by HTTP, or by connecting where Path is empty.
type UpstreamCheck struct {
	Path               string
	Host               string
	Port               int32 // of the Service; zero for the traffic's
	PortName           string
	Interval           time.Duration
	Timeout            time.Duration
	Unhealthy, Healthy uint32
	Statuses           []StatusRange // empty for 200
}

// StatusRange is from Start to before End.
type StatusRange struct{ Start, End int }

// ConnectionLimits are circuit breakers; zero for the engine's default.
type ConnectionLimits struct {
	Connections, Pending, Requests, Retries, PerHostConnections uint32
}

// SlowStart raises the share of a new endpoint over time.
type SlowStart struct {
	Window     time.Duration
	Aggression float64
	MinPercent uint32
}

// Identify gives an upstream its id: the backend, and a hash of all that is said about how to speak to it.
func (u Upstream) Identify() Upstream {
	u.ID = ""
	var t text
	t.upstream(u)
	sum := sha256.Sum256([]byte(t.String()))
	u.ID = UpstreamID(u.Backend.String() + "/" + hex.EncodeToString(sum[:5]))
	return u
}

// Endpoint is one address of a backend.
type Endpoint struct {
	Address string
	Port    uint16
	Zone    string
	// Draining endpoints end soon, and serve only while there is no other.
	Draining bool
}

// Compare orders endpoints.
func (e Endpoint) Compare(other Endpoint) int {
	return cmp.Or(cmp.Compare(e.Zone, other.Zone), cmp.Compare(e.Address, other.Address), cmp.Compare(e.Port, other.Port))
}
