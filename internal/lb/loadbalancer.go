package lb

import "time"

// Type is the kind of load balancer (ELBv2 Type).
type Type string

// Scheme says who can reach a load balancer (ELBv2 Scheme).
type Scheme string

// IPAddressType is the address family of a load balancer (ELBv2 IpAddressType).
type IPAddressType string

// Protocol is the protocol of a listener, target group or health check (ELBv2 ProtocolEnum).
type Protocol string

// Values as on the ELBv2 wire.
const (
	Application Type = "application"
	Network     Type = "network"

	Internal       Scheme = "internal"
	InternetFacing Scheme = "internet-facing"

	IPv4                       IPAddressType = "ipv4"
	IPv6                       IPAddressType = "ipv6" // of target groups only
	DualStack                  IPAddressType = "dualstack"
	DualStackWithoutPublicIPv4 IPAddressType = "dualstack-without-public-ipv4"

	HTTP    Protocol = "HTTP"
	HTTPS   Protocol = "HTTPS"
	TCP     Protocol = "TCP"
	UDP     Protocol = "UDP"
	TCPUDP  Protocol = "TCP_UDP"
	TLS     Protocol = "TLS"
	QUIC    Protocol = "QUIC"
	TCPQUIC Protocol = "TCP_QUIC"
)

// Dual says whether a load balancer of the type has addresses of IPv6 too, or only.
func (t IPAddressType) Dual() bool { return t == DualStack || t == DualStackWithoutPublicIPv4 }

// LoadBalancer is one load balancer with its listeners.
type LoadBalancer struct {
	ID             ResourceID
	Name           string // as it is created; an existing one found by its tags keeps the name it has
	Named          bool   // a user gave Name, so that others may have it
	Type           Type
	Scheme         Scheme
	IPAddressType  IPAddressType
	Subnets        SubnetSelection
	SecurityGroups []SecurityGroupRef
	Network        NetworkSettings // of network load balancers only
	AddOns         AddOns
	Attributes     []Attribute // sorted by key; others stay as they are
	Tags           []Tag       // sorted by key
	Listeners      []Listener  // sorted by port
	From           []Object
}

// NetworkSettings are what only network load balancers have. Zero values leave it to the cloud.
type NetworkSettings struct {
	// SchemeFree says that nobody asked for the scheme, so that one that exists keeps its own.
	SchemeFree bool
	Addresses  StaticAddresses
	// SourceNAT says whether the load balancer talks to targets from addresses of its own of IPv6.
	SourceNAT Switch
	// PrivateLinkIngress says whether the rules of security groups count for what comes by PrivateLink.
	PrivateLinkIngress Switch
}

// Switch is on, off, or left as it is.
type Switch string

// The positions of a Switch.
const (
	AsIs Switch = ""
	On   Switch = "on"
	Off  Switch = "off"
)

// StaticAddresses are those that a load balancer must have. EIPs and SourceNATPrefixes are in the order of the subnets;
// the others go to the subnet that they are in.
type StaticAddresses struct {
	EIPs              []StaticAddress
	PrivateIPv4       []StaticAddress
	IPv6              []StaticAddress
	SourceNATPrefixes []StaticAddress
}

// Any says whether there is one.
func (a StaticAddresses) Any() bool {
	return len(a.EIPs)+len(a.PrivateIPv4)+len(a.IPv6)+len(a.SourceNATPrefixes) > 0
}

// StaticAddress is one address, allocation or prefix, and where it was asked for.
type StaticAddress struct {
	Value string
	From  Object
	Field string
}

// Attribute is a setting of a load balancer, listener or target group under the key that ELBv2 has for it. Compile lets
// only keys and values through that ELBv2 knows.
type Attribute struct{ Key, Value string }

// SubnetSelection says which subnets a load balancer uses. At most one field is set; none means discovery by the
// scheme's role tag (EKS "Subnet requirements for load balancers").
type SubnetSelection struct {
	IDsOrNames []string // subnet-… ids or values of the Name tag, in the order given
	Tags       []TagFilter
	// From and Field name who made the selection, for a verdict when the cloud has no such subnet.
	From  Object
	Field string
}

// TagFilter holds for resources whose tag Key has one of Values.
type TagFilter struct {
	Key    string
	Values []string
}

// SecurityGroupRef names a security group; exactly one field is set.
type SecurityGroupRef struct {
	Managed ResourceID // a SecurityGroup of the same stack
	Backend bool       // the cluster's shared backend security group
	Named   string     // one that others made: its id (sg-…), or the value of its Name tag
}

// SecurityGroup is one that the stack owns with all of its ingress rules.
type SecurityGroup struct {
	ID          ResourceID
	Name        string
	Description string
	Ingress     []IngressRule // sorted
	Tags        []Tag
	From        []Object
}

// Listener is one port of a load balancer. Rules are in order of priority, which is 1, 2, 3 ….
type Listener struct {
	Port       uint16
	Protocol   Protocol
	Handshake  Handshake // HTTPS and TLS only
	Default    Action
	Rules      []Rule
	Attributes []Attribute // sorted by key; others stay as they are
	Tags       []Tag
	From       []Object
}

// Handshake is how a listener speaks TLS.
type Handshake struct {
	Certificates []Certificate // the first is the default; the client's server name picks among all
	Policy       string        // an ELBv2 security policy, empty for the engine's default
	ALPN         string        // an ALPN policy of ELBv2; empty leaves it as it is. TLS only
}

// Certificate names a server certificate; exactly one of ARN and Host is set.
type Certificate struct {
	ARN  string
	Host string // whichever issued certificates of the cloud's store cover this host, found by the engine
	// From and Field name who asked for it, for a verdict when the cloud has none.
	From  Object
	Field string
}

// Rule sends what meets all conditions to an action.
type Rule struct {
	Priority   int
	Conditions []Condition
	Transforms []Transform // at most one of each type, sorted by it
	Action     Action
	Tags       []Tag
	From       Object
	Field      string // where in From the rule stands: spec.rules[0].http.paths[1]
	Kept       bool   // it stands for all rules that the cloud has of From, which is kept; the other fields mean nothing
}

// ConditionField is an ELBv2 rule condition field.
type ConditionField string

// Condition fields that rules use.
const (
	HostHeader    ConditionField = "host-header"
	PathPattern   ConditionField = "path-pattern"
	HTTPHeader    ConditionField = "http-header"
	RequestMethod ConditionField = "http-request-method"
	QueryString   ConditionField = "query-string"
	SourceIP      ConditionField = "source-ip"
)

// Condition holds when one of its values matches. Header and query conditions can stand several times in a rule.
type Condition struct {
	Field  ConditionField
	Name   string      // of the header; HTTPHeader only
	Values []string    // of all fields but QueryString
	Pairs  []QueryPair // QueryString only
	// Regexes are regular expressions in place of Values; HostHeader, PathPattern and HTTPHeader only.
	Regexes []string
}

// Transform changes a request before it is forwarded: the first match of Regex is replaced.
type Transform struct {
	Type           TransformType
	Regex, Replace string // $1 to $9 in Replace stand for groups of Regex
}

// TransformType says what of a request is changed (ELBv2 TransformTypeEnum).
type TransformType string

// The transforms that rules use.
const (
	HostHeaderRewrite TransformType = "host-header-rewrite"
	URLRewrite        TransformType = "url-rewrite"
)

// QueryPair is a parameter of a URL. An empty key stands for any.
type QueryPair struct{ Key, Value string }

// Action is exactly one of its fields; Tokens may be there too.
type Action struct {
	Tokens        *Tokens // what requests need before anything happens to them; HTTPS only
	Forward       *Forward
	FixedResponse *FixedResponse
	Redirect      *Redirect
}

// Forward sends requests to target groups in proportion to their weights.
type Forward struct {
	TargetGroups []WeightedTargetGroup
	Sticky       time.Duration // how long a client stays with its target group; zero for not at all
	BySource     bool          // of network load balancers: it does, by its address
}

// WeightedTargetGroup is a target group and its share. Exactly one of ID, ARN and Name is set: a target group of the
// same stack, or one that others made.
type WeightedTargetGroup struct {
	ID     ResourceID
	ARN    string
	Name   string
	Weight int // 0 to 999
}

// FixedResponse is answered by the load balancer itself.
type FixedResponse struct {
	StatusCode  int
	ContentType string
	Body        string
}

// Redirect sends the client elsewhere; an empty field keeps that part of the request.
type Redirect struct {
	Protocol, Host, Port, Path, Query string
	StatusCode                        int // 301 or 302
}
