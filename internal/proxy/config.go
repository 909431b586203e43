package proxy

import (
	"crypto/tls"
	"net/netip"
	"time"
)

// Names of things across configurations. The caller chooses them (local AWS uses ARNs); the proxy only compares them.
type (
	// LoadBalancerID names a load balancer.
	LoadBalancerID string
	// ListenerID names a listener.
	ListenerID string
	// RuleID names a rule.
	RuleID string
	// TargetGroupID names a target group.
	TargetGroupID string
)

// Config is the whole wanted state of the data plane. Applying the same value twice changes nothing;
// what an earlier value had and this one has not is stopped: listeners close, targets drain.
type Config struct {
	LoadBalancers        []LoadBalancer
	NetworkLoadBalancers []NetworkLoadBalancer
	TargetGroups         []TargetGroup
}

// LoadBalancer is one Application Load Balancer: its listeners share an address of their own.
type LoadBalancer struct {
	ID      LoadBalancerID
	DNSName string     // sent as Host when an HTTP/1.0 client gave none
	Address netip.Addr // every listener binds here

	IdleTimeout     time.Duration // idle_timeout.timeout_seconds
	ClientKeepAlive time.Duration // client_keep_alive.seconds
	DesyncMode      DesyncMode    // routing.http.desync_mitigation_mode
	AccessLog       bool          // access_logs.s3.enabled: Options.Logs is told of requests
	ConnectionLog   bool          // connection_logs.s3.enabled
	Attributes      HeaderAttributes
	Listeners       []Listener
}

// DesyncMode says what becomes of requests whose borders not everybody may see alike (ELB "Desync mitigation mode").
type DesyncMode string

// The values of routing.http.desync_mitigation_mode; the empty string means defensive. Ambiguous requests are served:
// defensive closes the connections after them, monitor does not, strictest refuses them, and acceptable ones that do not
// comply with the RFCs too.
const (
	DesyncMonitor   DesyncMode = "monitor"
	DesyncDefensive DesyncMode = "defensive"
	DesyncStrictest DesyncMode = "strictest"
)

// HeaderAttributes are the load balancer attributes that change headers
// (ELB "HTTP headers and Application Load Balancers").
type HeaderAttributes struct {
	XForwardedFor            XForwardedForMode // routing.http.xff_header_processing.mode
	XForwardedForClientPort  bool              // routing.http.xff_client_port.enabled
	PreserveHost             bool              // routing.http.preserve_host_header.enabled
	DropInvalidHeaders       bool              // routing.http.drop_invalid_header_fields.enabled
	TLSVersionAndCipherSuite bool              // routing.http.x_amzn_tls_version_and_cipher_suite.enabled
	HideLoadBalancerInServer bool              // routing.http.response.server.enabled = false
}

// XForwardedForMode says what happens to a client's X-Forwarded-For header.
type XForwardedForMode string

// The values of routing.http.xff_header_processing.mode; the empty string means append.
const (
	XForwardedForAppend   XForwardedForMode = "append"
	XForwardedForPreserve XForwardedForMode = "preserve"
	XForwardedForRemove   XForwardedForMode = "remove"
)

// Listener is one port. Rules are tried in order; Default applies when none matches.
type Listener struct {
	ID         ListenerID
	Port       uint16
	TLS        *TLS // nil for protocol HTTP; not to be changed after Apply
	Attributes ListenerAttributes
	Rules      []Rule
	Default    Action
}

// TLS is what makes a listener's protocol HTTPS. A change applies to connections made after it.
type TLS struct {
	// Certificate is the default certificate: for clients that name no host, or one that no certificate is for. Setting
	// Leaf, as tls.X509KeyPair does, saves parsing it.
	Certificate tls.Certificate
	// Certificates are the others, chosen by the name a client asks for (SNI). Of several for a name the best is taken:
	// ECDSA before RSA, SHA before MD5, long keys, long validity (ELB "SSL certificates").
	Certificates []tls.Certificate
	IDs          []string   // of Certificate and Certificates, for access logs; may be empty
	Policy       string     // a name such as ELBSecurityPolicy-TLS13-1-2-2021-06; empty means ELBSecurityPolicy-2016-08, as for the API
	Network      bool       // of a Network Load Balancer, where it does not matter which algorithm a certificate's key is of
	HTTP2        bool       // routing.http2.enabled of the load balancer, true by default there
	Mutual       *MutualTLS // nil asks clients for no certificate
}

// ListenerAttributes are the listener attributes that change headers
// (ELB "HTTP header modification for your Application Load Balancer").
type ListenerAttributes struct {
	// Names of request headers, where they are not to be the usual ones:
	// routing.http.request.x_amzn_tls_version.header_name and …tls_cipher_suite.header_name.
	TLSVersionHeader, TLSCipherSuiteHeader string
	ClientCert                             ClientCertHeaders
	// Values that answers get whatever the target says; empty means as the target says. Each is
	// routing.http.response.NAME.header_value, with the header's name in lower case and underscores.
	StrictTransportSecurity       string
	AccessControlAllowOrigin      string
	AccessControlAllowMethods     string
	AccessControlAllowHeaders     string
	AccessControlAllowCredentials string
	AccessControlExposeHeaders    string
	AccessControlMaxAge           string
	ContentSecurityPolicy         string
	XContentTypeOptions           string
	XFrameOptions                 string
}

// Rule matches when every condition holds.
type Rule struct {
	ID         RuleID
	Priority   int // for access logs
	Conditions []Condition
	Transforms Transforms
	Action     Action
}

// Transforms change the request that a forward action sends; which rule matches was decided before
// (ELB "Transforms for listener rules"). What does not match stays as it is; a result that is no host or no URL is 500.
type Transforms struct {
	Host *Rewrite // host-header-rewrite; case does not count
	URL  *Rewrite // url-rewrite, of path and query as one
}

// Rewrite replaces the first match of a regular expression; $1 to $9 stand for its groups.
type Rewrite struct{ Regex, Replace string }

// Condition holds when one of its values matches. Field is an ELBv2 field name:
// host-header, path-pattern, http-header, http-request-method, query-string, source-ip.
type Condition struct {
	Field      string
	HeaderName string   // http-header
	Values     []string // wildcards as the field allows; CIDR blocks for source-ip
	Regex      []string // RegexValues, instead of Values: host-header, path-pattern, http-header; found anywhere in the value
	Query      []KeyValue
}

// KeyValue is one query-string value; an empty Key means any key.
type KeyValue struct{ Key, Value string }

// Action is exactly one of Forward, Redirect and FixedResponse, for those whom one of the others lets through, if any.
type Action struct {
	Authenticate  *Authenticate
	ValidateJWT   *ValidateJWT
	Forward       *Forward
	Redirect      *Redirect
	FixedResponse *FixedResponse
}

// Forward sends the request to one of the target groups, in proportion to their weights.
type Forward struct {
	TargetGroups []WeightedTargetGroup
	// Stickiness is how long a client stays with a group (TargetGroupStickinessConfig.DurationSeconds, 1 s to 7 days);
	// 0 means not at all (Enabled false).
	Stickiness time.Duration
}

// WeightedTargetGroup is a share of a forward action.
type WeightedTargetGroup struct {
	ID     TargetGroupID
	Weight int
}

// Redirect answers with a Location built from its fields; #{protocol}, #{host}, #{port}, #{path} and #{query}
// stand for the request's own. All five must be given (ELBv2 returns their defaults as literals).
type Redirect struct {
	Protocol, Host, Port, Path, Query string
	StatusCode                        int // 301 or 302
}

// FixedResponse answers without a target.
type FixedResponse struct {
	StatusCode  int
	ContentType string // text/plain when empty
	Body        string
}

// TargetGroup is a set of targets with one health check. It is checked only while some load balancer refers to it.
type TargetGroup struct {
	ID                  TargetGroupID
	Protocol            string // HTTP or HTTPS, or a NetworkProtocol
	Network             NetworkGroup
	ProtocolVersion     ProtocolVersion
	DeregistrationDelay time.Duration // deregistration_delay.timeout_seconds
	Algorithm           string        // load_balancing.algorithm.type: round_robin (also when empty), least_outstanding_requests, weighted_random
	// Failover is how many healthy targets there have to be; with fewer, all targets get requests, whatever their health:
	// target_group_health.unhealthy_state_routing.… of Application Load Balancers. There has to be one in any case.
	Failover    Threshold
	SlowStart   time.Duration // slow_start.duration_seconds, 30 s to 15 minutes; 0 is off. With round_robin only
	Stickiness  Stickiness
	HealthCheck HealthCheck
	Targets     []Target
}

// ProtocolVersion is what targets speak (ELB "Target groups for your Application Load Balancers", Protocol version).
// Requests that they cannot take are answered with 464. A group keeps the one it began with.
type ProtocolVersion string

// The protocol versions; the empty string means HTTP1. With HTTP and HTTP2 or GRPC, targets speak HTTP/2 with prior
// knowledge.
const (
	HTTP1 ProtocolVersion = "HTTP1"
	HTTP2 ProtocolVersion = "HTTP2"
	GRPC  ProtocolVersion = "GRPC"
)

// Stickiness is how clients stay with a target (ELB "Sticky sessions for your Application Load Balancer").
type Stickiness struct {
	Type     StickinessType // empty when stickiness.enabled is false
	Duration time.Duration  // stickiness.lb_cookie.duration_seconds, or stickiness.app_cookie.duration_seconds
	Cookie   string         // stickiness.app_cookie.cookie_name
}

// StickinessType is a value of stickiness.type.
type StickinessType string

// The types of an Application Load Balancer: by a cookie of its own, or where the application sets one.
const (
	StickyDuration StickinessType = "lb_cookie"
	StickyApp      StickinessType = "app_cookie"
)

// HealthCheck is how targets are probed (ELB "Health checks for your target groups").
type HealthCheck struct {
	Disabled           bool
	Protocol           string // HTTP or HTTPS, or TCP
	Port               uint16 // 0 means the target's own port (traffic-port)
	Path               string
	Interval           time.Duration
	Timeout            time.Duration
	HealthyThreshold   int
	UnhealthyThreshold int
	Matcher            string // "200", "200,202", "200-299"; of a GRPC group it is gRPC codes, 12 when empty
}

// Target is one registered target. ID and Port together are its identity within the group, as in ELBv2.
type Target struct {
	ID      string // i-… or an address
	Port    uint16
	Address netip.Addr // where to connect
	Zone    string     // for Network Load Balancers; "" and "all" are every zone
	// QUICServer is its server id in the connection ids of QUIC, as bytes.
	QUICServer string
}

// TargetKey identifies a target within its group.
type TargetKey struct {
	ID   string
	Port uint16
}

// TargetHealth is what DescribeTargetHealth reports for one target: State, Reason and Description are the ELBv2 wire
// values (healthy, with empty Reason and Description; initial, Elb.RegistrationInProgress; …).
type TargetHealth struct {
	Target          TargetKey
	HealthCheckPort uint16
	State           string
	Reason          string
	Description     string
}
