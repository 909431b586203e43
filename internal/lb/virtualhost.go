package lb

import (
	"strings"
	"time"
)

// VirtualHost is what is served under one host name, by an engine whose whole fleet serves all stacks on shared
// listeners: there a stack is one virtual host, and a load balancer is nobody's own.
type VirtualHost struct {
	Host   string         // example.com, *.example.com (any one label), or * (any that no other has)
	TLS    *ServerTLS     // nil where it is not served over TLS
	TCP    *TCPForward    // what TLS connections carry to upstreams as it is, instead of requests
	Routes []Route        // in order of precedence: the first that matches
	CORS   *CORS          // nil for none
	Limit  *RateLimit     // local limit of all requests; nil for none
	Filter *AddressFilter // nil to let all in
	From   []Object
}

// ServerTLS is how a virtual host speaks TLS with its clients.
type ServerTLS struct {
	Certificate SecretRef // empty where TLS goes through to upstreams
	MinVersion  TLSVersion
	MaxVersion  TLSVersion
	Client      *ClientValidation // nil when clients are not asked for certificates
}

// TLSVersion is a version of TLS, such as 1.2.
type TLSVersion string

// The versions that are served.
const (
	TLS12 TLSVersion = "1.2"
	TLS13 TLSVersion = "1.3"
)

// SecretRef names what a stack's Secrets hold; empty for none.
type SecretRef string

// Secret is a certificate with its key, or certificates to trust. The model's text has its name only, which changes
// with its content.
type Secret struct {
	ID          SecretRef // namespace/name/hash of the content
	Certificate []byte    // PEM; with Key
	Key         []byte    // PEM
	CA          []byte    // PEM, instead of Certificate and Key
	CRL         []byte    // PEM, with CA or alone
}

// ClientValidation is which client certificates are accepted.
type ClientValidation struct {
	CA              SecretRef // empty with SkipVerification
	SkipVerify      bool      // accept what no CA signed
	Optional        bool      // also clients without any
	CRL             SecretRef
	CRLLeafOnly     bool
	ForwardSubject  bool // what x-forwarded-client-cert tells upstreams
	ForwardCert     bool
	ForwardChain    bool
	ForwardDNSNames bool
	ForwardURI      bool
}

// Forwards says whether upstreams are told about the client's certificate.
func (c ClientValidation) Forwards() bool {
	return c.ForwardSubject || c.ForwardCert || c.ForwardChain || c.ForwardDNSNames || c.ForwardURI
}

// TCPForward carries connections to upstreams.
type TCPForward struct {
	Upstreams []WeightedUpstream
	From      Object
	Field     string
}

// CORS is which pages of other origins may use a virtual host.
type CORS struct {
	Origins         []StringMatch
	Methods         []string
	Headers         []string
	Exposed         []string
	MaxAge          *time.Duration // nil to leave it to browsers; zero or less for never
	Credentials     bool
	PrivateNetworks bool
}

// RateLimit is a token bucket that each Envoy has for itself.
type RateLimit struct {
	Tokens  uint32 // at most in the bucket
	Refill  uint32 // each Every
	Every   time.Duration
	Status  int // of the answer; zero for 429
	Headers []Header
}

// AddressFilter lets clients in by their addresses.
type AddressFilter struct {
	Allow   bool // whether Sources are those let in, or those kept out
	Sources []AddressRange
}

// AddressRange is one range of client addresses.
type AddressRange struct {
	CIDR string
	Peer bool // of the connection's other end, instead of the client that headers and PROXY protocol tell
}

// SortKey orders virtual hosts: an exact name before wildcards, then by name.
func (v VirtualHost) SortKey() string {
	if strings.HasPrefix(v.Host, "*") {
		return "~" + v.Host
	}
	return v.Host
}
