package lb

import "time"

// Route is what happens to requests that match.
type Route struct {
	Match  RouteMatch
	Action RouteAction
	// Insecure is what a request that comes without TLS gets.
	Insecure InsecurePolicy
	// Secure says whether requests over TLS get Action.
	Secure bool

	Limit           *RateLimit
	Filter          *AddressFilter // instead of the virtual host's
	RequestHeaders  HeaderPolicy
	ResponseHeaders HeaderPolicy
	Cookies         []CookieRewrite

	From  Object
	Field string // where in From the route stands
}

// InsecurePolicy is what becomes of requests without TLS.
type InsecurePolicy string

// The policies.
const (
	ServeInsecure    InsecurePolicy = "serve"
	RedirectInsecure InsecurePolicy = "redirect to https"
	IgnoreInsecure   InsecurePolicy = "not found"
)

// RouteMatch is which requests a route is for: all of its parts must match.
type RouteMatch struct {
	Path    PathMatch
	Headers []HeaderMatch
	Query   []StringMatchOf
}

// PathKind is how a path is compared.
type PathKind string

// The kinds of path matches.
const (
	ExactPath   PathKind = "exact"
	PrefixPath  PathKind = "prefix"  // of characters: /foo also matches /foobar
	SegmentPath PathKind = "segment" // of whole segments: /foo matches /foo and /foo/bar
	RegexPath   PathKind = "regex"   // RE2, the whole path
)

// PathMatch compares the path, without the query.
type PathMatch struct {
	Kind  PathKind
	Value string
}

// StringKind is how a string is compared.
type StringKind string

// The kinds of string matches.
const (
	ExactString    StringKind = "exact"
	PrefixString   StringKind = "prefix"
	SuffixString   StringKind = "suffix"
	ContainsString StringKind = "contains"
	RegexString    StringKind = "regex"
	PresentString  StringKind = "present" // any value
)

// StringMatch compares a string.
type StringMatch struct {
	Kind       StringKind
	Value      string
	IgnoreCase bool
}

// StringMatchOf compares a named string, such as a query parameter.
type StringMatchOf struct {
	Name string
	StringMatch
}

// HeaderMatch compares a header. A header that the request does not have matches only an inverted PresentString, or,
// with MissingIsEmpty, what the empty string matches.
type HeaderMatch struct {
	StringMatchOf
	Invert         bool
	MissingIsEmpty bool
}

// RouteAction is what happens; exactly one of Forward, Redirect and Respond is set.
type RouteAction struct {
	Forward  *RouteForward
	Redirect *RouteRedirect
	Respond  *DirectResponse
}

// RouteForward sends requests to upstreams.
type RouteForward struct {
	Upstreams []WeightedUpstream
	Mirrors   []Mirror
	// Timeouts: nil for the engine's default, zero for none.
	Timeout     *time.Duration // of the whole answer
	IdleTimeout *time.Duration // of a stream on which nothing happens
	Retry       *Retry
	WebSocket   bool
	Rewrite     *PathRewrite
	HostRewrite HostRewrite
	Hash        []HashPolicy // which requests go to the same endpoint, for upstreams that balance by hash
	Internal    *InternalRedirect
}

// WeightedUpstream is one of several upstreams with its share.
type WeightedUpstream struct {
	ID              UpstreamID
	Weight          uint32
	RequestHeaders  HeaderPolicy
	ResponseHeaders HeaderPolicy
	HostRewrite     string
	Cookies         []CookieRewrite
}

// Mirror gets copies of requests, whose answers are dropped.
type Mirror struct {
	ID      UpstreamID
	Percent uint32
}

// Retry is when a failed request is tried again.
type Retry struct {
	On            string // Envoy's retry-on: 5xx,reset
	Count         uint32
	PerTryTimeout *time.Duration
	Statuses      []uint32 // for retriable-status-codes
}

// PathRewrite changes the path: exactly one field is set.
type PathRewrite struct {
	// Prefix replaces the part that the route's path matched.
	Prefix *string
	// Full replaces the whole path.
	Full *string
}

// HostRewrite changes the Host header: at most one field is set.
type HostRewrite struct {
	Literal string
	Header  string // takes the value of this header
}

// HashPolicy is a part of what a request is hashed by; one of the fields is set beside Terminal.
type HashPolicy struct {
	Header   string
	Query    string
	Cookie   string // set by the engine where the client has none, for its session
	SourceIP bool
	Terminal bool
}

// InternalRedirect has the engine follow redirects of upstreams.
type InternalRedirect struct {
	Max          uint32 // zero for the engine's default
	Statuses     []uint32
	CrossScheme  CrossScheme
	NotTwiceSame bool // never to a route that the request has had
}

// CrossScheme is whether a redirect may lead from http to https or back.
type CrossScheme string

// The policies.
const (
	CrossNever    CrossScheme = "never"
	CrossSafeOnly CrossScheme = "from https only if https"
	CrossAlways   CrossScheme = "always"
)

// RouteRedirect answers with another address; what is empty or zero stays as in the request.
type RouteRedirect struct {
	Scheme string
	Host   string
	Port   uint16
	Path   string
	Prefix *string // replaces what the route's path matched
	Status int     // 301, 302, 303, 307, 308
}

// DirectResponse is a fixed answer.
type DirectResponse struct {
	Status int
	Body   string
}

// Header is a header to set.
type Header struct{ Name, Value string }

// HeaderPolicy changes headers.
type HeaderPolicy struct {
	Set    []Header // sorted by name; values are Envoy's formats, a literal % is doubled
	Remove []string
}

// CookieRewrite changes attributes of a cookie that an upstream sets.
type CookieRewrite struct {
	Name     string
	Path     *string
	Domain   *string
	Secure   *bool
	SameSite string // empty to leave it
}
