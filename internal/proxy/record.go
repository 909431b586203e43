package proxy

import (
	"crypto/rand"
	"encoding/hex"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Logs is told what load balancers do that are configured to log. Its methods must not block for long, and may be called
// at the same time.
type Logs interface {
	Access(LoadBalancerID, Access)
	Connection(LoadBalancerID, Connection)
	Flow(LoadBalancerID, Flow)
}

// Access is a request, as access logs have it (ELB "Access logs for your Application Load Balancer"). What is not known
// is empty; times that are not known are below 0.
type Access struct {
	Type                                  string // http, https, h2, grpcs, ws or wss
	Time, Created                         time.Time
	Client, Target                        netip.AddrPort
	RequestTime, TargetTime, ResponseTime time.Duration
	Status, TargetStatus                  int
	Received, Sent                        int64
	Request                               string // METHOD URL HTTP/version
	UserAgent                             string
	Cipher, Protocol                      string
	TargetGroup                           TargetGroupID
	TraceID                               string
	ServerName, Certificate               string // what SNI asked for, where there was a certificate for it; and the ID of the one presented
	Priority                              int    // of the rule, 0 for the default one; -1 where no rule was looked for
	Actions                               []string
	RedirectURL, ErrorReason              string
	Classification, ClassificationReason  string
	ConnectionTrace                       string
	TransformedHost, TransformedURI       string
	Transform                             string // how transforms went
	Node                                  netip.Addr
}

// Connection is a client's connection, as connection logs have it (ELB "Connection logs for your Application Load
// Balancer").
type Connection struct {
	Time                      time.Time
	Client                    netip.AddrPort
	Port                      uint16
	Protocol, Cipher, Curve   string
	Handshake                 time.Duration // below 0 without TLS
	Subject, Validity, Serial string        // of the client's certificate
	Verification              string        // Success, or Failed: and the reason; empty when nothing was verified
	Trace                     string
	Node                      netip.Addr
}

// account is what is noted of a request while it is served.
type account struct {
	action               *action
	rewritten            *request
	target               *target
	dispatched, answered time.Time
	status, targetStatus int
	trace                string // X-Amzn-Trace-Id
	location             string
	transform            string
}

// newConnectionTrace makes the identifier that access logs and connection logs have in common.
func newConnectionTrace() string {
	var random [16]byte
	_, _ = rand.Read(random[:]) // never fails: crypto/rand.Read crashes the program instead
	return "TID_" + hex.EncodeToString(random[:])
}

// settle counts a request that is over, and logs it where that is asked for.
func (c *clientConn) settle(r *request, a *arrival, received, sent int64) {
	front := a.front
	count := front.counts
	count.add(processedBytes, received+sent)
	if r.why != "" {
		count.add(nonCompliantRequests, 1)
	}
	if r.isGRPC() {
		count.add(grpcRequests, 1)
	}
	if a.targetStatus == 0 {
		count.ownStatus(a.status)
	}
	if a.action != nil {
		switch {
		case a.status == 507, a.targetStatus != 0:
		case a.action.fixed != nil:
			count.add(fixedResponses, 1)
		case a.action.redirect != nil:
			count.add(redirects, 1)
		}
	}
	if t := a.target; t != nil {
		for _, count := range []*counts{count, &t.group.counts} {
			count.add(requestCount, 1)
			if a.targetStatus != 0 {
				count.status(target2XX, a.targetStatus)
				count.add(targetResponseTime, int64(a.answered.Sub(a.dispatched)))
				count.add(targetAnswers, 1)
			}
		}
	}
	if front.accessLog && c.server.logs != nil && a.status != 0 {
		c.server.logs.Access(front.balancer, c.access(r, a, received, sent))
	}
}

// access words a request for the log.
func (c *clientConn) access(r *request, a *arrival, received, sent int64) Access {
	now := c.server.clock.Now()
	out := Access{
		Type: a.scheme(), Time: now, Created: a.at, Client: a.peer, RequestTime: -1, TargetTime: -1, ResponseTime: -1, Status: a.status,
		TargetStatus: a.targetStatus, Received: received, Sent: sent, Request: a.requestLine(r), TraceID: a.trace, Priority: -1,
		RedirectURL: a.location, ErrorReason: a.reason, ConnectionTrace: c.trace(), Transform: a.transform, Node: a.front.address,
	}
	out.UserAgent, _ = r.fields.get("User-Agent")
	out.Classification, out.ClassificationReason = r.classified()
	switch {
	case a.targetStatus == 101 && a.tls != nil:
		out.Type = "wss"
	case a.targetStatus == 101:
		out.Type = "ws"
	case r.isGRPC():
		out.Type = "grpcs"
	case r.version == 20:
		out.Type = "h2"
	}
	if t := a.target; t != nil {
		out.Target, out.TargetGroup = t.address, t.group.id
		if !a.dispatched.IsZero() {
			out.RequestTime = a.dispatched.Sub(a.at)
		}
		if !a.answered.IsZero() {
			out.TargetTime, out.ResponseTime = a.answered.Sub(a.dispatched), now.Sub(a.answered)
		}
	}
	if a.tls != nil {
		out.Cipher, out.Protocol, out.Certificate = a.tls.suite, a.tls.version, a.tls.certificate
		if a.tls.named {
			out.ServerName = a.tls.name
		}
	}
	if a.action != nil {
		out.Priority, out.Actions = a.action.priority, a.action.names(a)
	}
	if w := a.rewritten; w != nil {
		if w.rehosted {
			out.TransformedHost = w.host
		}
		if w.target != r.target {
			out.TransformedURI = w.target
		}
	}
	return out
}

// requestLine is the request as access logs have it, with its whole URL.
func (a *arrival) requestLine(r *request) string {
	version := map[int]string{9: "HTTP/0.9", 10: "HTTP/1.0", 11: "HTTP/1.1", 20: "HTTP/2.0"}[r.version]
	host := orElse(hostName(r.host), a.front.dnsName)
	target := r.target
	if target != "" && target[0] != '/' && target != "*" {
		target = r.origin()
	}
	return orElse(r.method, "-") + " " + a.scheme() + "://" + host + ":" + strconv.Itoa(int(a.front.port)) + target + " " + orElse(version, "-")
}

// names are the actions as access logs word them.
func (t *action) names(a *arrival) []string {
	var out []string
	if t.signIn != nil {
		out = append(out, "authenticate")
	}
	switch {
	case a.reason != "" && a.target == nil: // it ended there
	case t.fixed != nil:
		out = append(out, "fixed-response")
	case t.redirect != nil:
		out = append(out, "redirect")
	case len(t.forward) > 0:
		out = append(out, "forward")
	}
	return out
}

// classified says how a request complies with the RFCs (ELB "Access logs", Classification reasons).
func (r *request) classified() (class, why string) {
	switch {
	case r.why == "":
		if r.irregular() {
			return "Acceptable", r.irregularity()
		}
		return "", ""
	case r.severe:
		return "Severe", r.why
	}
	return "Ambiguous", r.why
}

// irregularity words why an acceptable request does not comply.
func (r *request) irregularity() string {
	switch {
	case r.odd:
		return "NonCompliantVersion"
	case strings.Contains(r.target, " "):
		return "SpaceInUri"
	case (r.method == "GET" || r.method == "HEAD") && hasField(r.fields, "Content-Length"):
		return "GetHeadZeroContentLength"
	}
	return "NonCompliantHeader"
}

// trace is the connection's identifier in logs.
func (c *clientConn) trace() string {
	c.tracing.Do(func() { c.traceID = newConnectionTrace() })
	return c.traceID
}

// logConnection logs a connection that is open for requests, or was refused.
func (c *clientConn) logConnection(front *frontend, began time.Time, verification string) {
	if !front.connectionLog || c.server.logs == nil {
		return
	}
	entry := Connection{
		Time: c.server.clock.Now(), Client: c.peer, Port: front.port, Handshake: -1, Verification: verification, Trace: c.trace(), Node: front.address,
	}
	if front.tls != nil {
		entry.Handshake = entry.Time.Sub(began)
	}
	if c.tls != nil {
		entry.Protocol, entry.Cipher, entry.Curve = c.tls.version, c.tls.suite, c.tls.curve
		if cert := c.tls.cert; cert != nil {
			entry.Subject, entry.Validity, entry.Serial = cert.subject, cert.validity, cert.serial
		}
	}
	c.server.logs.Connection(front.balancer, entry)
}
