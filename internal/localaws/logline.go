package localaws

import (
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/sluicehq/sluice/internal/proxy"
)

// logTime is how logs write times.
const logTime = "2006-01-02T15:04:05.000000Z"

// maxAgent is how much of a User-Agent is logged.
const maxAgent = 8 << 10

// accessLine is a request as a line of an access log (ELB "Access logs for your Application Load Balancer", Syntax).
func accessLine(balancer string, a proxy.Access) string {
	port := dash(addressOf(a.Target))
	status := "-"
	if a.TargetStatus > 0 {
		status = strconv.Itoa(a.TargetStatus)
	}
	priority, actions := "-", "-"
	if a.Priority >= 0 {
		priority = strconv.Itoa(a.Priority)
	}
	if len(a.Actions) > 0 {
		actions = strings.Join(a.Actions, ",")
	}
	agent := a.UserAgent
	if len(agent) > maxAgent {
		agent = agent[:maxAgent]
	}
	return strings.Join([]string{
		a.Type, a.Time.UTC().Format(logTime), balancer, dash(addressOf(a.Client)), port,
		duration(a.RequestTime), duration(a.TargetTime), duration(a.ResponseTime), strconv.Itoa(a.Status), status,
		strconv.FormatInt(a.Received, 10), strconv.FormatInt(a.Sent, 10), quoted(a.Request), quoted(agent), dash(a.Cipher), dash(a.Protocol),
		dash(string(a.TargetGroup)), quoted(a.TraceID), quoted(a.ServerName), quoted(a.Certificate), priority, a.Created.UTC().Format(logTime),
		quoted(actions), quoted(a.RedirectURL), quoted(a.ErrorReason), quoted(port), quoted(status), quoted(a.Classification),
		quoted(a.ClassificationReason), a.ConnectionTrace, quoted(a.TransformedHost), quoted(a.TransformedURI), quoted(a.Transform), a.Node.String(),
	}, " ")
}

// connectionLine is a connection as a line of a connection log (ELB "Connection logs for your Application Load Balancer").
func connectionLine(balancer string, c proxy.Connection) string {
	return strings.Join([]string{
		c.Time.UTC().Format(logTime), c.Client.Addr().String(), strconv.Itoa(int(c.Client.Port())), strconv.Itoa(int(c.Port)), dash(c.Protocol),
		dash(c.Cipher), duration(c.Handshake), quoted(c.Subject), dash(c.Validity), dash(c.Serial), dash(c.Verification), c.Trace, dash(c.Curve),
		balancer, c.Node.String(),
	}, " ")
}

// flowTime is how access logs of Network Load Balancers write times.
const flowTime = "2006-01-02T15:04:05"

// flowLine is a connection as a line of a Network Load Balancer's access log (NLB "Access logs", Syntax).
func flowLine(balancer string, f proxy.Flow) string {
	handshake, alert := "-", "-"
	if f.Handshake >= 0 {
		handshake = strconv.FormatInt(f.Handshake.Milliseconds(), 10)
	}
	if f.Alert >= 0 {
		alert = strconv.Itoa(f.Alert)
	}
	listener := string(f.Listener)
	offered := make([]string, 0, len(f.ALPNOffered))
	for _, p := range f.ALPNOffered {
		offered = append(offered, quoted(p))
	}
	return strings.Join([]string{
		"tls", "2.0", f.Time.UTC().Format(flowTime), balancer, listener[strings.LastIndex(listener, "/")+1:], f.Client.String(), f.Destination.String(),
		strconv.FormatInt(f.Time.Sub(f.Created).Milliseconds(), 10), handshake, strconv.FormatInt(f.Received, 10), strconv.FormatInt(f.Sent, 10),
		alert, dash(f.Certificate), "-", dash(f.Cipher), dash(strings.ToLower(strings.ReplaceAll(f.Protocol, ".", ""))),
		dash(f.Group), dash(url.QueryEscape(f.ServerName)), dash(f.ALPNClient), dash(f.ALPNTarget), dash(strings.Join(offered, ",")),
		f.Created.UTC().Format(flowTime),
	}, " ")
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// quoted is a text between quotation marks, with what would end it early, or the line, escaped.
func quoted(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			fmt.Fprintf(&b, `\x%02X`, c)
		} else {
			b.WriteByte(c)
		}
	}
	if s == "" {
		b.WriteByte('-')
	}
	b.WriteByte('"')
	return b.String()
}

func addressOf(a netip.AddrPort) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// duration is in seconds, or -1 for one that there was not.
func duration(d time.Duration) string {
	if d < 0 {
		return "-1"
	}
	return strconv.FormatFloat(d.Seconds(), 'f', 3, 64)
}
