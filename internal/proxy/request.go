package proxy

import (
	"bufio"
	"errors"
	"strings"
)

// request is the head of a client's request. It never changes once it is read and judged.
type request struct {
	method  string
	target  string // as sent: origin form, absolute form or *
	version int    // 9, 10, 11 or 20
	fields  fields
	size    int // bytes of the head

	host  string // of the first Host field or of an absolute target, as sent
	path  string // raw, without the query
	query string // raw, without the question mark

	body     framing
	trailers func() fields // in HTTP/2, what came after the body
	// ambiguous is set when another parser might see other borders in this request (class Ambiguous of ELB
	// "Desync mitigation mode"): it is served, then both connections are closed.
	ambiguous bool
	why       string // it is that, or severe: the first reason, as access logs word it
	severe    bool   // it is refused
	odd       bool   // the version is one that nobody defined
	rehosted  bool   // host is not the client's
}

// judge applies the mode that the load balancer is in. Severe requests are refused by then, in mode monitor too: what
// their borders would be is not documented.
func (r *request) judge(mode DesyncMode) error {
	switch mode {
	case DesyncMonitor:
		r.ambiguous = false
	case DesyncStrictest:
		if r.ambiguous || r.irregular() {
			return refusal(400)
		}
	}
	return nil
}

// irregular says whether a request of class Acceptable does not comply with the RFCs: GetHeadZeroContentLength,
// NonCompliantHeader, NonCompliantVersion, SpaceInUri.
func (r *request) irregular() bool {
	if r.odd || strings.Contains(r.target, " ") {
		return true
	}
	for i := range r.fields {
		f := &r.fields[i]
		if !isToken(f.name) || (r.method == "GET" || r.method == "HEAD") && strings.EqualFold(f.name, "Content-Length") {
			return true
		}
		for j := 0; j < len(f.value); j++ {
			if c := f.value[j]; c >= 0x7f || c < ' ' && c != '\t' {
				return true
			}
		}
	}
	return false
}

// doubt makes a request ambiguous.
func (r *request) doubt(why string) {
	r.ambiguous = true
	r.why = orElse(r.why, why)
}

// refuse is for a request that nobody should serve.
func (r *request) refuse(why string) error {
	r.why, r.severe = why, true
	return refusal(400)
}

// refusal is why the load balancer answers a request by itself: its status.
type refusal int

func (r refusal) Error() string { return "refused with " + reason(int(r)) }

// wantsKeepAlive says whether the client would send another request on this connection.
func (r *request) wantsKeepAlive() bool {
	switch r.version {
	case 11:
		return !r.fields.connection("close")
	case 10:
		return r.fields.connection("keep-alive")
	}
	return false
}

// upgrades says whether the client asks for another protocol on this connection.
func (r *request) upgrades() bool {
	_, named := r.fields.get("Upgrade")
	return named && r.version == 11 && r.fields.connection("upgrade")
}

// isGRPC says whether a request is a remote procedure call, which is HTTP/2 with a media type of its own.
func (r *request) isGRPC() bool {
	if r.version != 20 {
		return false
	}
	media, _ := r.fields.get("Content-Type")
	rest, ok := cutPrefixFold(media, "application/grpc")
	return ok && (rest == "" || strings.IndexByte("+;", rest[0]) >= 0)
}

// idempotent says whether sending the request twice does no harm (RFC 9110 section 9.2.2), and is possible.
func (r *request) idempotent() bool {
	switch r.method {
	case "GET", "HEAD", "OPTIONS":
		return r.body.empty()
	}
	return false
}

// readRequest reads and judges one request head. The error is a refusal when an answer is due, and the connection's own
// error otherwise; the request then holds what could be read, if anything.
func readRequest(from *bufio.Reader, into fields) (*request, error) {
	h := headReader{from: from, total: maxRequestHeader}
	r := &request{}
	line, err := h.line(maxRequestLine)
	for err == nil && line == "" { // RFC 9112 section 2.2: empty lines ahead of a request are skipped
		line, err = h.line(maxRequestLine)
	}
	if errors.Is(err, errLineTooLong) {
		return r, refusal(414) // what makes a request line long is its target
	}
	if err != nil {
		return r, headTrouble(err)
	}
	if err := r.requestLine(line); err != nil {
		return r, err
	}
	if r.version != 9 {
		if r.fields, err = h.fields(into, r.headerLine); err != nil {
			return r, headTrouble(err)
		}
	}
	r.size = h.read
	if err := r.locate(); err != nil {
		return r, err
	}
	return r, r.frame()
}

func headTrouble(err error) error {
	if errors.Is(err, errLineTooLong) || errors.Is(err, errHeadTooLong) || errors.Is(err, errMalformed) {
		return refusal(400)
	}
	return err
}

// requestLine parses "METHOD target HTTP/1.1", or the "GET target" of HTTP/0.9.
func (r *request) requestLine(line string) error {
	method, rest, found := strings.Cut(line, " ")
	if !found || !isToken(method) {
		return r.refuse("BadMethod")
	}
	r.method, r.version = method, 9
	r.target = rest
	if i := strings.LastIndexByte(rest, ' '); i >= 0 {
		version := rest[i+1:]
		if !strings.HasPrefix(version, "HTTP/") {
			return r.refuse("BadVersion")
		}
		r.target = rest[:i]
		switch {
		case version == "HTTP/1.0":
			r.version = 10
		case len(version) == 8 && strings.HasPrefix(version, "HTTP/1.") && version[7] >= '1' && version[7] <= '9':
			r.version, r.odd = 11, version[7] != '1'
		case len(version) == 8 && version[5] >= '2' && version[5] <= '9' && version[6] == '.':
			r.version = 11
			return refusal(505)
		default:
			r.version = 11
			return r.refuse("BadVersion")
		}
	} else if method != "GET" {
		return r.refuse("BadVersion")
	}
	if r.target == "" {
		return refusal(400)
	}
	for i := 0; i < len(r.target); i++ {
		switch c := r.target[i]; {
		case c == 0, c == '\r':
			return r.refuse("BadUri")
		case c < ' ', c == 0x7f:
			r.doubt("AmbiguousUri")
		}
	}
	return nil
}

// headerLine parses one line, letting through what the load balancer lets through: names need not be tokens.
func (r *request) headerLine(line string) (field, error) {
	if strings.ContainsAny(line, "\x00\r") {
		_ = r.refuse("BadHeader") // headTrouble makes the same of errMalformed
		return field{}, errMalformed
	}
	if line[0] == ' ' || line[0] == '\t' {
		// A folded line is not joined to the one before: it counts as a name of its own
		// (ELB "Troubleshoot your Application Load Balancers": "multi-line headers"). With a colon in it, it may
		// hide a field from us or from the target.
		r.doubt("EmptyHeader")
		name := strings.Trim(line, " \t")
		if strings.ContainsAny(name, ": \t") || suspicious(name) {
			return field{}, errMalformed
		}
		return field{name: name}, nil
	}
	name, value, found := strings.Cut(line, ":")
	if !found || name == "" {
		return field{}, errMalformed
	}
	for i := 0; i < len(name); i++ {
		if name[i] <= ' ' || name[i] == 0x7f {
			return field{}, errMalformed
		}
	}
	if suspicious(name) {
		r.doubt("SuspiciousHeader")
	}
	return field{name, strings.Trim(value, " \t")}, nil
}

// suspicious says whether a name is not Content-Length or Transfer-Encoding but might be read as one.
func suspicious(name string) bool {
	if len(name) < 13 || tokenLetters(name) {
		return false
	}
	var letters []byte
	for i := 0; i < len(name); i++ {
		if c := name[i] | 0x20; c >= 'a' && c <= 'z' {
			letters = append(letters, c)
		}
	}
	s := string(letters)
	return s == "contentlength" || s == "transferencoding"
}

// tokenLetters says whether a name is nothing but the exact framing names, or has no chance to be like them.
func tokenLetters(name string) bool {
	if strings.EqualFold(name, "Content-Length") || strings.EqualFold(name, "Transfer-Encoding") {
		return true
	}
	c := name[0] | 0x20
	return c >= 'a' && c <= 'z' && c != 'c' && c != 't'
}

// locate finds host, path and query.
func (r *request) locate() error {
	r.path = r.target
	hosts := 0
	for i := range r.fields {
		if strings.EqualFold(r.fields[i].name, "Host") {
			if hosts == 0 {
				r.host = r.fields[i].value
			}
			hosts++
		}
	}
	switch {
	case r.version == 11 && hosts == 0, r.method == "CONNECT":
		return refusal(400)
	case !hostLike(r.host):
		return refusal(400)
	}
	if r.target[0] != '/' && r.target != "*" {
		// Absolute form: its authority replaces the Host field (RFC 9112 section 3.2.2).
		rest, ok := cutPrefixFold(r.target, "http://")
		if !ok {
			rest, ok = cutPrefixFold(r.target, "https://")
		}
		end := strings.IndexAny(rest, "/?")
		if end < 0 {
			end = len(rest)
		}
		if !ok || end == 0 || !hostLike(rest[:end]) {
			return refusal(400)
		}
		r.host, r.path = rest[:end], rest[end:]
		if !strings.HasPrefix(r.path, "/") {
			r.path = "/" + r.path
		}
	}
	r.path, r.query, _ = strings.Cut(r.path, "?")
	return nil
}

// hostLike says whether a host, which may be empty, has nothing in it that could end it early for somebody.
func hostLike(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] >= 0x7f || strings.IndexByte(`/?#@,\<>"`, s[i]) >= 0 {
			return false
		}
	}
	return true
}

// origin returns the target in origin form, as targets get it.
func (r *request) origin() string {
	s := r.target
	if s[0] != '/' && s != "*" {
		s = r.path
		if strings.Contains(r.target, "?") {
			s += "?" + r.query
		}
	}
	return strings.ReplaceAll(s, " ", "%20") // SpaceInUri is acceptable, but a target need not see it
}

func cutPrefixFold(s, prefix string) (string, bool) {
	if len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix) {
		return s[len(prefix):], true
	}
	return s, false
}

// frame finds where the body ends and judges how sure that is: ELB "Desync mitigation mode", mode defensive.
func (r *request) frame() error {
	length, lengths := int64(-1), 0
	encodings, chunked := 0, 0
	for i := range r.fields {
		f := &r.fields[i]
		switch {
		case strings.EqualFold(f.name, "Content-Length"):
			n, ok := parseLength(f.value)
			if !ok || length >= 0 && n != length {
				if ok {
					return r.refuse("MultipleContentLength")
				}
				return r.refuse("BadContentLength")
			}
			length = n
			lengths++
		case strings.EqualFold(f.name, "Transfer-Encoding"):
			encodings++
			n, err := codings(f.value)
			if err != nil {
				r.why, r.severe = "BadTransferEncoding", true
				return err
			}
			chunked += n
		}
	}
	switch {
	case chunked > 1, encodings > 0 && r.version != 11:
		return r.refuse("MultipleTransferEncodingChunked") // and HTTP/1.0 has no codings
	case lengths > 0 && encodings > 0:
		r.doubt("BothTeClPresent")
	case lengths > 1:
		r.doubt("DuplicateContentLength")
	case (r.method == "GET" || r.method == "HEAD") && encodings > 0:
		r.doubt("UndefinedTransferEncodingSemantics")
	case (r.method == "GET" || r.method == "HEAD") && length > 0:
		r.doubt("UndefinedContentLengthSemantics")
	}
	switch {
	case chunked == 1:
		r.body = framing{chunked: true}
	case length > 0:
		r.body = framing{length: length}
	}
	return nil
}

// codings counts how often a Transfer-Encoding value says chunked. Other codings than it and identity are not
// supported (501); chunked must come last.
func codings(value string) (chunked int, err error) {
	for part := range strings.SplitSeq(value, ",") {
		part = strings.Trim(part, " \t")
		switch {
		case !isToken(part), chunked > 0 && !strings.EqualFold(part, "chunked"):
			return 0, refusal(400) // BadTransferEncoding
		case strings.EqualFold(part, "chunked"):
			chunked++
		case !strings.EqualFold(part, "identity"):
			return 0, refusal(501)
		}
	}
	return chunked, nil
}
