package proxy

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// maxForwardedFor is how many addresses a client's X-Forwarded-For may hold; more is answered with 463.
const maxForwardedFor = 30

// maxTracedHeader is the size of a request header, in bytes, above which X-Amzn-Trace-Id holds a Root only
// (ELB "Request tracing for your Application Load Balancer", Limitations).
const maxTracedHeader = 7 << 10

// arrival is what the load balancer knows of a request besides its head.
type arrival struct {
	front *frontend
	peer  netip.AddrPort
	at    time.Time
	tls   *secured // nil when the client speaks plain HTTP

	account

	cookies    fields // Set-Cookie fields for a target's answer
	onCookie   string // a cookie of the application's; when the target sets it, so is ours
	thenCookie string // its value
	sameSite   bool   // the client wants to be told of what other sites may use

	signsIn  bool   // the action is for users who have signed in
	identity fields // what the target is told of the user
	session  fields // Set-Cookie fields for whatever answer
	reason   string // why the load balancer answers with an error, as access logs word it
}

func (a *arrival) scheme() string {
	if a.tls != nil {
		return "https"
	}
	return "http"
}

// appendHead writes the head of the request as the target gets it (ELB "HTTP headers and Application Load Balancers").
func (r *request) appendHead(b []byte, a *arrival) []byte {
	attributes := &a.front.headers
	b = append(b, r.method...)
	b = append(b, ' ')
	b = append(b, r.origin()...)
	b = append(b, " HTTP/1.1\r\n"...)
	switch attributes.XForwardedFor {
	case XForwardedForPreserve, XForwardedForRemove:
	default:
		b = appendField(b, "X-Forwarded-For", forwardedFor(r.fields, a.peer, attributes.XForwardedForClientPort))
	}
	b = appendField(b, "X-Forwarded-Proto", a.scheme())
	b = append(b, "X-Forwarded-Port: "...)
	b = strconv.AppendUint(b, uint64(a.front.port), 10)
	b = append(b, "\r\n"...)
	b = r.appendHosts(b, a.front)
	a.trace = traceID(r, a.at)
	b = appendField(b, "X-Amzn-Trace-Id", a.trace)
	if name := a.front.tlsHeaders; name[0] != "" && a.tls != nil {
		b = appendField(b, name[0], a.tls.version)
		b = appendField(b, name[1], a.tls.suite)
	}
	b = a.appendClientCert(b)
	for _, f := range a.identity {
		b = appendField(b, f.name, f.value)
	}
	drop := nominated(r.fields)
	upgrade := r.upgrades()
	for i := range r.fields {
		f := &r.fields[i]
		if upgrade && strings.EqualFold(f.name, "Upgrade") {
			b = appendField(b, f.name, f.value)
			continue
		}
		if replaced(f.name, r, a.front) || containsFold(drop, f.name) || a.signsIn && isIdentityHeader(f.name) {
			continue
		}
		b = appendField(b, f.name, f.value)
	}
	if upgrade {
		b = append(b, "Connection: upgrade\r\n"...)
	}
	switch {
	case r.body.streams():
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	case r.body.length > 0 || hasField(r.fields, "Content-Length"):
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, r.body.length, 10)
		b = append(b, "\r\n"...)
	}
	return append(b, "\r\n"...)
}

// replaced says whether a client's field is left out or stands elsewhere in the head.
func replaced(name string, r *request, front *frontend) bool {
	attributes := &front.headers
	switch len(name) {
	case 4:
		if strings.EqualFold(name, "Host") {
			return true
		}
	case 6:
		if strings.EqualFold(name, "Expect") && r.version == 11 {
			return true // answered by the load balancer
		}
	case 15:
		if strings.EqualFold(name, "X-Amzn-Trace-Id") {
			return true
		}
		if strings.EqualFold(name, "X-Forwarded-For") {
			return attributes.XForwardedFor != XForwardedForPreserve
		}
	case 16:
		if strings.EqualFold(name, "X-Forwarded-Port") {
			return true
		}
	case 17:
		if strings.EqualFold(name, "X-Forwarded-Proto") {
			return true
		}
	}
	if own := &front.tlsHeaders; own[0] != "" && (strings.EqualFold(name, own[0]) || strings.EqualFold(name, own[1])) {
		return true // else a client could claim them
	}
	if front.certHeaders != nil && containsFold(front.certHeaders[:], name) {
		return true
	}
	return hopByHop(name) || attributes.DropInvalidHeaders && !validName(name)
}

// validName says whether a header name is one of [-A-Za-z0-9]+.
func validName(name string) bool {
	for i := 0; i < len(name); i++ {
		c := name[i]
		if c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return name != ""
}

// appendHosts writes the Host field (ELB "Host header preservation"): without the attribute it is lower case, and has
// the listener's port unless that is 80 or 443.
func (r *request) appendHosts(b []byte, front *frontend) []byte {
	hosts := 0
	if front.headers.PreserveHost && !r.rehosted {
		for i := range r.fields {
			if strings.EqualFold(r.fields[i].name, "Host") {
				b = appendField(b, "Host", r.fields[i].value)
				hosts++
			}
		}
	}
	if hosts > 0 {
		return b
	}
	name := hostName(r.host)
	if name == "" {
		name = front.dnsName
	}
	b = append(b, "Host: "...)
	b = append(b, strings.ToLower(name)...)
	if front.port != 80 && front.port != 443 {
		b = append(b, ':')
		b = strconv.AppendUint(b, uint64(front.port), 10)
	}
	return append(b, "\r\n"...)
}

func appendField(b []byte, name, value string) []byte {
	b = append(b, name...)
	b = append(b, ": "...)
	b = append(b, value...)
	return append(b, "\r\n"...)
}

// forwardedFor is the X-Forwarded-For value in mode append.
func forwardedFor(all fields, peer netip.AddrPort, withPort bool) string {
	var before []string
	for i := range all {
		if strings.EqualFold(all[i].name, "X-Forwarded-For") && all[i].value != "" {
			before = append(before, all[i].value)
		}
	}
	client := peer.Addr().String()
	switch {
	case withPort:
		client = peer.String()
	case peer.Addr().Is6() && len(before) > 0:
		client = "[" + client + "]"
	}
	return strings.Join(append(before, client), ", ")
}

// forwardedCount counts the addresses in a client's X-Forwarded-For fields.
func forwardedCount(all fields) int {
	n := 0
	for i := range all {
		if strings.EqualFold(all[i].name, "X-Forwarded-For") && all[i].value != "" {
			n += strings.Count(all[i].value, ",") + 1
		}
	}
	return n
}

// traceID is the X-Amzn-Trace-Id value for the target (ELB "Request tracing for your Application Load Balancer").
func traceID(r *request, now time.Time) string {
	id := newTraceID(now)
	incoming, _ := r.fields.get("X-Amzn-Trace-Id")
	if incoming == "" || r.size > maxTracedHeader {
		return "Root=" + id
	}
	root := false
	kept := make([]string, 0, 4)
	for part := range strings.SplitSeq(incoming, ";") {
		part = strings.TrimSpace(part)
		switch {
		case part == "", strings.HasPrefix(part, "Self="):
			continue
		case strings.HasPrefix(part, "Root="):
			root = true
		}
		kept = append(kept, part)
	}
	name := "Self="
	if !root {
		name = "Root="
	}
	return strings.Join(append([]string{name + id}, kept...), ";")
}

func newTraceID(now time.Time) string {
	var random [12]byte
	_, _ = rand.Read(random[:]) // never fails: crypto/rand.Read crashes the program instead
	return fmt.Sprintf("1-%08x-%s", uint32(now.Unix()), hex.EncodeToString(random[:]))
}

func hasField(all fields, name string) bool {
	_, found := all.get(name)
	return found
}

// responses are the fields that every answer gets.
func (l *ListenerAttributes) responses() fields {
	var out fields
	for _, f := range (fields{
		{"Strict-Transport-Security", l.StrictTransportSecurity},
		{"Access-Control-Allow-Origin", l.AccessControlAllowOrigin},
		{"Access-Control-Allow-Methods", l.AccessControlAllowMethods},
		{"Access-Control-Allow-Headers", l.AccessControlAllowHeaders},
		{"Access-Control-Allow-Credentials", l.AccessControlAllowCredentials},
		{"Access-Control-Expose-Headers", l.AccessControlExposeHeaders},
		{"Access-Control-Max-Age", l.AccessControlMaxAge},
		{"Content-Security-Policy", l.ContentSecurityPolicy},
		{"X-Content-Type-Options", l.XContentTypeOptions},
		{"X-Frame-Options", l.XFrameOptions},
	}) {
		if f.value != "" {
			out = append(out, f)
		}
	}
	return out
}
