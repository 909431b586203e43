package proxy

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func parse(raw string) (*request, error) {
	return readRequest(bufio.NewReader(strings.NewReader(raw)), nil)
}

// What is refused, what is served and then closed (ambiguous), and what is served. Each is a line of the tables A6, A8
// and A9 of the specification.
func TestRequestHeads(t *testing.T) {
	const host = "Host: a.example.com\r\n"
	long := func(n int) string { return strings.Repeat("x", n) }
	for _, test := range []struct {
		name, raw string
		status    int // 0 means served
		ambiguous bool
	}{
		{"plain", "GET / HTTP/1.1\r\n" + host + "\r\n", 0, false},
		{"bare line feeds", "GET / HTTP/1.1\nHost: a\n\n", 0, false},
		{"empty lines ahead", "\r\n\r\nGET / HTTP/1.1\r\n" + host + "\r\n", 0, false},
		{"HTTP/1.0 without Host", "GET / HTTP/1.0\r\n\r\n", 0, false},
		{"HTTP/0.9", "GET /\r\n", 0, false},
		{"HTTP/1.1 without Host", "GET / HTTP/1.1\r\n\r\n", 400, false},
		{"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\n", 505, false},
		{"version", "GET / HTTP/x\r\n" + host + "\r\n", 400, false},
		{"NonCompliantVersion", "GET / HTTP/1.9\r\n" + host + "\r\n", 0, false},
		{"BadMethod", "G@T / HTTP/1.1\r\n" + host + "\r\n", 400, false},
		{"no target", "GET  HTTP/1.1\r\n" + host + "\r\n", 400, false},
		{"TLS on a plain port", "\x16\x03\x01\x02\x00\x01\r\n\r\n", 400, false},
		{"CONNECT", "CONNECT a.example.com:443 HTTP/1.1\r\n" + host + "\r\n", 400, false},
		{"relative target", "GET foo HTTP/1.1\r\n" + host + "\r\n", 400, false},
		{"SpaceInUri", "GET /a b HTTP/1.1\r\n" + host + "\r\n", 0, false},
		{"AmbiguousUri", "GET /a\x01 HTTP/1.1\r\n" + host + "\r\n", 0, true},
		{"BadUri", "GET /a\x00 HTTP/1.1\r\n" + host + "\r\n", 400, false},
		{"Host with a path in it", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400, false},
		{"Host with a control character", "GET / HTTP/1.1\r\nHost: a\x01b\r\n\r\n", 400, false},
		{"absolute target with user", "GET http://a@b/ HTTP/1.1\r\n" + host + "\r\n", 400, false},
		{"target at the limit", "GET /" + long(maxRequestLine-14) + " HTTP/1.1\r\n" + host + "\r\n", 0, false},
		{"target too long", "GET /" + long(maxRequestLine) + " HTTP/1.1\r\n" + host + "\r\n", 414, false},
		{"header line at the limit", "GET / HTTP/1.1\r\n" + host + "X: " + long(maxHeaderLine-3) + "\r\n\r\n", 0, false},
		{"header line too long", "GET / HTTP/1.1\r\n" + host + "X: " + long(maxHeaderLine) + "\r\n\r\n", 400, false},
		{"headers too long", "GET / HTTP/1.1\r\n" + host + strings.Repeat("X: "+long(16000)+"\r\n", 5) + "\r\n", 400, false},
		{"header without a colon", "GET / HTTP/1.1\r\n" + host + "foo\r\n\r\n", 400, false},
		{"header without a name", "GET / HTTP/1.1\r\n" + host + ": foo\r\n\r\n", 400, false},
		{"space ahead of the colon", "GET / HTTP/1.1\r\n" + host + "Content-Length : 5\r\n\r\n", 400, false},
		{"BadHeader NUL", "GET / HTTP/1.1\r\n" + host + "X: a\x00b\r\n\r\n", 400, false},
		{"BadHeader CR", "GET / HTTP/1.1\r\n" + host + "X: a\rb\r\n\r\n", 400, false},
		{"NonCompliantHeader", "GET / HTTP/1.1\r\n" + host + "X: \xe9\r\n\r\n", 0, false},
		{"name that is no token", "GET / HTTP/1.1\r\n" + host + "a@b: 1\r\n\r\n", 0, false},
		{"folded line", "GET / HTTP/1.1\r\n" + host + "X: a\r\n b\r\n\r\n", 0, true},
		{"folded line that hides a field", "GET / HTTP/1.1\r\n" + host + "X: a\r\n Transfer-Encoding: chunked\r\n\r\n", 400, false},
		{"SuspiciousHeader", "GET / HTTP/1.1\r\n" + host + "Transfer_Encoding: chunked\r\n\r\n", 0, true},
		{"BothTeClPresent", "POST / HTTP/1.1\r\n" + host + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 0, true},
		{"DuplicateContentLength", "POST / HTTP/1.1\r\n" + host + "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", 0, true},
		{"MultipleContentLength", "POST / HTTP/1.1\r\n" + host + "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", 400, false},
		{"lengths in one field", "POST / HTTP/1.1\r\n" + host + "Content-Length: 5, 5\r\n\r\n", 400, false},
		{"BadContentLength sign", "POST / HTTP/1.1\r\n" + host + "Content-Length: +5\r\n\r\n", 400, false},
		{"BadContentLength hexadecimal", "POST / HTTP/1.1\r\n" + host + "Content-Length: 0x5\r\n\r\n", 400, false},
		{"BadContentLength empty", "POST / HTTP/1.1\r\n" + host + "Content-Length:\r\n\r\n", 400, false},
		{"BadContentLength huge", "POST / HTTP/1.1\r\n" + host + "Content-Length: 99999999999999999999\r\n\r\n", 400, false},
		{"MultipleTransferEncodingChunked", "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400, false},
		{"chunked twice in one field", "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked, chunked\r\n\r\n", 400, false},
		{"chunked is not last", "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked, identity\r\n\r\n", 400, false},
		{"BadTransferEncoding", "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: \x0bchunked\r\n\r\n", 400, false},
		{"unsupported coding", "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: gzip, chunked\r\n\r\n", 501, false},
		{"identity", "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: identity\r\n\r\n", 0, false},
		{"coding in HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400, false},
		{"GetHeadZeroContentLength", "GET / HTTP/1.1\r\n" + host + "Content-Length: 0\r\n\r\n", 0, false},
		{"UndefinedContentLengthSemantics", "GET / HTTP/1.1\r\n" + host + "Content-Length: 3\r\n\r\n", 0, true},
		{"UndefinedTransferEncodingSemantics", "HEAD / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n", 0, true},
	} {
		r, err := parse(test.raw)
		status := refusal(0)
		if err != nil && !errors.As(err, &status) {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if int(status) != test.status || status == 0 && r.ambiguous != test.ambiguous {
			t.Errorf("%s: status %d, ambiguous %v", test.name, status, r.ambiguous)
		}
	}
}

// The Host table of ELB "Host header preservation".
func TestHostForTarget(t *testing.T) {
	for _, test := range []struct {
		port     uint16
		preserve bool
		raw      string
		want     string
	}{
		{80, false, "GET / HTTP/1.1\r\nHost: Example.com\r\n\r\n", "Host: example.com\r\n"},
		{80, false, "GET / HTTP/1.1\r\nHost: example.com:80\r\n\r\n", "Host: example.com\r\n"},
		{80, true, "GET / HTTP/1.1\r\nHost: Example.com:80\r\n\r\n", "Host: Example.com:80\r\n"},
		{8080, false, "GET / HTTP/1.1\r\nHost: example.com\r\n\r\n", "Host: example.com:8080\r\n"},
		{8080, true, "GET / HTTP/1.1\r\nHost: example.com\r\n\r\n", "Host: example.com\r\n"},
		{80, false, "GET http://dns_name/p HTTP/1.1\r\nHost: example.com\r\n\r\n", "Host: dns_name\r\n"},
		{80, true, "GET http://dns_name/p HTTP/1.1\r\nHost: example.com\r\n\r\n", "Host: example.com\r\n"},
		{80, true, "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "Host: a\r\nHost: b\r\n"},
		{80, false, "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "Host: a\r\n"},
		{80, false, "GET / HTTP/1.0\r\n\r\n", "Host: lb.elb.local\r\n"},
		{80, false, "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", "Host: [::1]\r\n"},
	} {
		r, err := parse(test.raw)
		if err != nil {
			t.Fatal(err)
		}
		front := &frontend{port: test.port, dnsName: "lb.elb.local", headers: HeaderAttributes{PreserveHost: test.preserve}}
		if got := string(r.appendHosts(nil, front)); got != test.want {
			t.Errorf("%d %v %q: %q", test.port, test.preserve, test.raw, got)
		}
	}
}

func TestForwardedFor(t *testing.T) {
	v4, v6 := netip.MustParseAddrPort("192.0.2.7:4711"), netip.MustParseAddrPort("[2001:db8::7]:4711")
	for _, test := range []struct {
		mode     XForwardedForMode
		withPort bool
		peer     netip.AddrPort
		incoming []string
		want     string // the values the target sees, joined by |
	}{
		{"", false, v4, nil, "192.0.2.7"},
		{XForwardedForAppend, false, v4, []string{"198.51.100.1"}, "198.51.100.1, 192.0.2.7"},
		{XForwardedForAppend, false, v4, []string{"a, b", "c"}, "a, b, c, 192.0.2.7"},
		{XForwardedForAppend, true, v4, []string{"a"}, "a, 192.0.2.7:4711"},
		{XForwardedForAppend, false, v6, nil, "2001:db8::7"},
		{XForwardedForAppend, false, v6, []string{"a"}, "a, [2001:db8::7]"},
		{XForwardedForAppend, true, v6, nil, "[2001:db8::7]:4711"},
		{XForwardedForPreserve, true, v4, []string{"a", "b"}, "a|b"},
		{XForwardedForPreserve, false, v4, nil, ""},
		{XForwardedForRemove, true, v4, []string{"a"}, ""},
	} {
		raw := "GET / HTTP/1.1\r\nHost: a\r\n"
		for _, v := range test.incoming {
			raw += "X-Forwarded-For: " + v + "\r\n"
		}
		r, err := parse(raw + "\r\n")
		if err != nil {
			t.Fatal(err)
		}
		attributes := HeaderAttributes{XForwardedFor: test.mode, XForwardedForClientPort: test.withPort}
		got := headFor(t, r, test.peer, attributes)
		if values := strings.Join(got.Header.Values("X-Forwarded-For"), "|"); values != test.want {
			t.Errorf("%+v: %q", test, values)
		}
	}
}

// headFor is the request as net/http sees it at the target.
func headFor(t testing.TB, r *request, peer netip.AddrPort, attributes HeaderAttributes) *http.Request {
	t.Helper()
	front := &frontend{port: 80, dnsName: "lb.elb.local", headers: attributes}
	head := r.appendHead(nil, &arrival{front: front, peer: peer, at: time.Unix(0x12345678, 0)})
	got, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(head)))
	if err != nil {
		t.Fatalf("%v: %q", err, head)
	}
	return got
}

// The cases of ELB "Request tracing for your Application Load Balancer".
func TestTraceID(t *testing.T) {
	const fresh = "1-12345678-*"
	for incoming, want := range map[string]string{
		"": "Root=" + fresh,
		"Root=1-67891233-abcdef012345678912345678":           "Self=" + fresh + ";Root=1-67891233-abcdef012345678912345678",
		"Self=1-0-a;Root=1-1-b":                              "Self=" + fresh + ";Root=1-1-b",
		"Root=1-1-b;CalledFrom=app":                          "Self=" + fresh + ";Root=1-1-b;CalledFrom=app",
		"CalledFrom=app":                                     "Root=" + fresh + ";CalledFrom=app",
		"Root=1-1-b;" + strings.Repeat("x", maxTracedHeader): "Root=" + fresh,
	} {
		r, err := parse("GET / HTTP/1.1\r\nHost: a\r\nX-Amzn-Trace-Id: " + incoming + "\r\n\r\n")
		if err != nil {
			t.Fatal(err)
		}
		got := traceID(r, time.Unix(0x12345678, 0))
		g := compileGlob(want, false, false)
		if !g.match(got) || len(got) != len(want)-1+24 {
			t.Errorf("%q: %q, want %q", incoming, got, want)
		}
	}
}

// What concerns one connection only, what the client must not claim, and invalid names do not reach the target;
// everything else does, in order and with its case.
func TestFieldsForTarget(t *testing.T) {
	raw := "POST http://a/p?q HTTP/1.1\r\nHost: a\r\nx-LOWER: 1\r\nConnection: close, X-Secret\r\nX-Secret: 1\r\nTE: trailers\r\n" +
		"Keep-Alive: 5\r\nUpgrade: h2c\r\nProxy-Connection: x\r\nunder_score: 1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: 1\r\n" +
		"Expect: 100-continue\r\nContent-Length: 0\r\nX-Lower: 2\r\n\r\n"
	r, err := parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	for drop, want := range map[bool]string{
		false: "POST /p?q HTTP/1.1|X-Forwarded-For: 192.0.2.7|X-Forwarded-Proto: http|X-Forwarded-Port: 80|Host: a|*|x-LOWER: 1|under_score: 1|X-Lower: 2|Content-Length: 0||",
		true:  "POST /p?q HTTP/1.1|X-Forwarded-For: 192.0.2.7|X-Forwarded-Proto: http|X-Forwarded-Port: 80|Host: a|*|x-LOWER: 1|X-Lower: 2|Content-Length: 0||",
	} {
		front := &frontend{port: 80, headers: HeaderAttributes{DropInvalidHeaders: drop}}
		head := string(r.appendHead(nil, &arrival{front: front, peer: netip.MustParseAddrPort("192.0.2.7:1")}))
		got := strings.ReplaceAll(head, "\r\n", "|")
		if g := compileGlob(want, false, false); !g.match(got) {
			t.Errorf("drop %v: %s", drop, got)
		}
	}
}

// Whatever is accepted is passed on so that net/http, another parser, sees the same method and the same body borders.
func FuzzRequest(f *testing.F) {
	for _, seed := range []string{
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET /\r\n",
		"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
		"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n X\r\n\tContent-Length\r\n\r\n",
		"GET http://x?y HTTP/1.0\r\nConnection: upgrade, host\r\nUpgrade: x\r\n\r\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		r, err := parse(raw)
		if err != nil {
			return
		}
		front := &frontend{port: 80, dnsName: "lb", headers: HeaderAttributes{DropInvalidHeaders: true}}
		head := r.appendHead(nil, &arrival{front: front, peer: netip.MustParseAddrPort("192.0.2.7:1")})
		rest := "rest of the stream"
		from := bufio.NewReader(io.MultiReader(bytes.NewReader(head), strings.NewReader(rest)))
		got, err := http.ReadRequest(from)
		if err != nil {
			return // net/http is stricter about hosts and characters
		}
		chunked := len(got.TransferEncoding) == 1
		if got.Method != r.method || chunked != r.body.chunked || !chunked && got.ContentLength != r.body.length {
			t.Errorf("%q becomes %q: %s, chunked %v, length %d", raw, head, got.Method, chunked, got.ContentLength)
		}
		if left, _ := io.ReadAll(from); string(left) != rest {
			t.Errorf("%q becomes %q: the head does not end where it should", raw, head)
		}
	})
}
