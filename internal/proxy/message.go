package proxy

import (
	"bufio"
	"errors"
	"io"
	"strings"
)

// Limits of the Application Load Balancer, not adjustable (ELB "Quotas for your Application Load Balancers"), in bytes.
const (
	maxRequestLine    = 16 << 10
	maxHeaderLine     = 16 << 10
	maxRequestHeader  = 64 << 10
	maxResponseHeader = 32 << 10
)

// field is one header line. The name keeps the case it came with; comparing ignores it.
type field struct{ name, value string }

// fields are header lines in the order in which they came.
type fields []field

// get returns the first value of a field and whether there is one.
func (f fields) get(name string) (string, bool) {
	for i := range f {
		if strings.EqualFold(f[i].name, name) {
			return f[i].value, true
		}
	}
	return "", false
}

// connection says whether a Connection field holds an option.
func (f fields) connection(option string) bool {
	for i := range f {
		if !strings.EqualFold(f[i].name, "Connection") {
			continue
		}
		for part := range strings.SplitSeq(f[i].value, ",") {
			if strings.EqualFold(strings.Trim(part, " \t"), option) {
				return true
			}
		}
	}
	return false
}

// The trouble with reading a message head.
var (
	errLineTooLong = errors.New("a line of the header is too long")
	errHeadTooLong = errors.New("the header is too long")
	errMalformed   = errors.New("malformed header")
)

// headReader reads the lines of one message head within limits.
type headReader struct {
	from  *bufio.Reader
	total int // bytes that may still come
	read  int // bytes that came
}

// line returns the next line without its end, of at most limit bytes. A bare LF ends a line too, as RFC 9112 allows.
func (h *headReader) line(limit int) (string, error) {
	var long []byte
	for {
		part, err := h.from.ReadSlice('\n')
		h.read += len(part)
		h.total -= len(part)
		switch {
		case len(long)+len(part) > limit+2:
			return "", errLineTooLong
		case h.total < 0:
			return "", errHeadTooLong
		case errors.Is(err, bufio.ErrBufferFull):
			long = append(long, part...)
			continue
		case err != nil:
			if errors.Is(err, io.EOF) && h.read > 0 {
				err = io.ErrUnexpectedEOF
			}
			return "", err
		}
		if long != nil {
			part = append(long, part...)
		}
		part = part[:len(part)-1]
		if n := len(part); n > 0 && part[n-1] == '\r' {
			part = part[:n-1]
		}
		return string(part), nil
	}
}

// fields reads header lines up to the empty one. each is asked about every line.
func (h *headReader) fields(into fields, parse func(line string) (field, error)) (fields, error) {
	for {
		line, err := h.line(maxHeaderLine)
		if err != nil {
			return into, err
		}
		if line == "" {
			return into, nil
		}
		f, err := parse(line)
		if err != nil {
			return into, err
		}
		if f.name != "" {
			into = append(into, f)
		}
	}
}

// plainField parses a header line of a response or a trailer, where nothing irregular is let through.
func plainField(line string) (field, error) {
	name, value, found := strings.Cut(line, ":")
	if !found || !isToken(name) {
		return field{}, errMalformed
	}
	value = strings.Trim(value, " \t")
	if strings.ContainsAny(value, "\x00\r") {
		return field{}, errMalformed
	}
	return field{name, value}, nil
}

// isToken says whether s is a token of RFC 9110 section 5.6.2.
func isToken(s string) bool {
	for i := 0; i < len(s); i++ {
		if !tokenBytes[s[i]] {
			return false
		}
	}
	return s != ""
}

var tokenBytes = func() (table [256]bool) {
	const extra = "!#$%&'*+-.^_`|~"
	for c := range 256 {
		table[c] = c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' ||
			c < 128 && strings.IndexByte(extra, byte(c)) >= 0
	}
	return table
}()

// hopByHop says whether a field concerns one connection only (RFC 9110 section 7.6.1) or the framing, which each side
// of the proxy has for itself.
func hopByHop(name string) bool {
	switch len(name) {
	case 2:
		return strings.EqualFold(name, "TE")
	case 7:
		return strings.EqualFold(name, "Upgrade")
	case 10:
		return strings.EqualFold(name, "Connection") || strings.EqualFold(name, "Keep-Alive")
	case 14:
		return strings.EqualFold(name, "Content-Length")
	case 16:
		return strings.EqualFold(name, "Proxy-Connection")
	case 17:
		return strings.EqualFold(name, "Transfer-Encoding")
	}
	return false
}

// nominated returns the names that Connection fields declare to be for this connection only.
func nominated(all fields) []string {
	var names []string
	for i := range all {
		if !strings.EqualFold(all[i].name, "Connection") {
			continue
		}
		for part := range strings.SplitSeq(all[i].value, ",") {
			part = strings.Trim(part, " \t")
			if part != "" && !strings.EqualFold(part, "close") && !strings.EqualFold(part, "keep-alive") &&
				!strings.EqualFold(part, "upgrade") {
				names = append(names, part)
			}
		}
	}
	return names
}

func containsFold(names []string, name string) bool {
	for _, n := range names {
		if strings.EqualFold(n, name) {
			return true
		}
	}
	return false
}

// framing says where a message body ends: it is chunked, or has a length in bytes; -1 means with the connection.
type framing struct {
	chunked bool
	length  int64
}

func (f framing) empty() bool { return !f.chunked && f.length == 0 }

// streams says whether the length is not known ahead.
func (f framing) streams() bool { return f.chunked || f.length < 0 }

// response is the head of a target's answer.
type response struct {
	status int
	line   string // status and reason, as the target wrote them
	minor  int    // HTTP/1.minor
	fields fields
	body   framing
	keep   bool // the connection may be used again after the body
}

// readResponse reads the head of an answer to a request with the given method.
func readResponse(from *bufio.Reader, method string) (*response, error) {
	h := headReader{from: from, total: maxResponseHeader}
	line, err := h.line(maxResponseHeader)
	if err != nil {
		return nil, err
	}
	r := &response{}
	rest, ok := strings.CutPrefix(line, "HTTP/1.")
	if !ok || len(rest) < 5 || rest[0] < '0' || rest[0] > '9' || rest[1] != ' ' || len(rest) > 5 && rest[5] != ' ' {
		return nil, errMalformed
	}
	r.minor = int(rest[0] - '0')
	r.line = rest[2:]
	for _, c := range []byte(rest[2:5]) {
		if c < '0' || c > '9' {
			return nil, errMalformed
		}
		r.status = r.status*10 + int(c-'0')
	}
	if r.status < 100 || strings.ContainsAny(r.line, "\x00\r") {
		return nil, errMalformed
	}
	if r.fields, err = h.fields(make(fields, 0, 16), plainField); err != nil {
		return nil, err
	}
	return r, r.frame(method)
}

// frame finds where the body ends (RFC 9112 section 6.3).
func (r *response) frame(method string) error {
	r.keep = r.minor >= 1 && !r.fields.connection("close") ||
		r.minor == 0 && r.fields.connection("keep-alive")
	encoding, chunked := r.fields.get("Transfer-Encoding")
	length := int64(-1)
	for i := range r.fields {
		if !strings.EqualFold(r.fields[i].name, "Content-Length") {
			continue
		}
		n, ok := parseLength(r.fields[i].value)
		if !ok || length >= 0 && length != n {
			return errMalformed
		}
		length = n
	}
	switch {
	case r.status < 200, r.status == 204, r.status == 304, method == "HEAD":
		r.body = framing{}
	case chunked:
		if !strings.EqualFold(encoding, "chunked") {
			return errMalformed
		}
		r.body = framing{chunked: true}
		r.keep = r.keep && length < 0 // both: do not trust where the body ends
	default:
		r.body = framing{length: length}
		r.keep = r.keep && length >= 0
	}
	return nil
}

// parseLength reads a Content-Length: decimal digits only.
func parseLength(s string) (int64, bool) {
	if s == "" || len(s) > 18 {
		return 0, false
	}
	n := int64(0)
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = n*10 + int64(s[i]-'0')
	}
	return n, true
}
