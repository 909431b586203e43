package proxy

import (
	"bufio"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
)

// ELB "Transforms for listener rules": what the target sees of a request, and what is no request any more.
func TestTransforms(t *testing.T) {
	r := newRig(t, Options{})
	r.forwardTo(rawTarget(t, func(conn net.Conn, from *bufio.Reader) {
		for head := readHead(from); head != ""; head = readHead(from) {
			line, rest, _ := strings.Cut(head, "\r\n")
			_, host, _ := strings.Cut(rest, "Host: ")
			host, _, _ = strings.Cut(host, "\r\n")
			b := strings.TrimSuffix(line, " HTTP/1.1") + " " + host
			_, _ = io.WriteString(conn, "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: "+strconv.Itoa(len(b))+"\r\n\r\n"+b)
		}
	}))
	rule := func(path string, host, url *Rewrite) Rule {
		return Rule{Conditions: []Condition{{Field: "path-pattern", Values: []string{path}}}, Transforms: Transforms{host, url}, Action: forward("group")}
	}
	r.listener().Rules = []Rule{
		rule("/dp/*", nil, &Rewrite{`^/dp/([A-Z0-9]+)/?$`, "/product.php?id=$1"}),
		rule("/api/*", &Rewrite{`^(\w+)\.EXAMPLE\.com$`, "$1.internal.test"}, &Rewrite{`^/api/`, "/"}),
		rule("/swap/*", nil, &Rewrite{`/swap/(\w+)\?(\w+)=(\w*)`, "/$3/$2?$1=$9$0$"}),
		rule("/space", nil, &Rewrite{`^/space`, "/a b"}),
		rule("/bare", nil, &Rewrite{`^/`, ""}),
		rule("/long", nil, &Rewrite{`^/long`, "/" + strings.Repeat("x", maxRequestLine)}),
		rule("/host", &Rewrite{`.*`, "a/b"}, nil),
		rule("/fix", nil, &Rewrite{`x`, "y"}),
	}
	r.apply()
	for _, test := range []struct{ path, want string }{
		{"/dp/B00X", "GET /product.php?id=B00X app.example.com:8080"},
		{"/dp/B00X?x=1", "GET /dp/B00X?x=1 app.example.com:8080"},
		{"/api/v1?q=/api/", "GET /v1?q=/api/ app.internal.test:8080"},
		{"/swap/one?two=three", "GET /three/two?one=$0$ app.example.com:8080"},
		{"/fix", "GET /fiy app.example.com:8080"},
	} {
		if got := r.get(test.path); got.body != test.want {
			t.Errorf("%s: %q, want %q", test.path, got.body, test.want)
		}
	}
	for _, path := range []string{"/space", "/bare", "/long", "/host"} {
		wantPage(t, r.get(path), 500)
	}
	r.lb().Attributes.PreserveHost = true
	r.apply()
	if got := r.get("/api/x").body; got != "GET /x app.internal.test:8080" {
		t.Error(got)
	}
	r.listener().Rules[0].Transforms.URL.Regex = "("
	if err := r.Apply(r.config); err == nil || !strings.Contains(err.Error(), "transform") {
		t.Error(err)
	}
}

// ELB "Desync mitigation mode": what happens in each mode to a request of each class, and to its connection.
func TestDesyncModes(t *testing.T) {
	const (
		compliant  = "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
		acceptable = "GET /a b HTTP/1.1\r\nHost: h\r\n\r\n"
		ambiguous  = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
		severe     = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx"
	)
	for _, test := range []struct {
		mode  DesyncMode
		want  [4]int // compliant, acceptable, ambiguous, severe
		stays bool   // the connection after an ambiguous request
	}{
		{DesyncMonitor, [4]int{200, 200, 200, 400}, true},
		{DesyncDefensive, [4]int{200, 200, 200, 400}, false},
		{"", [4]int{200, 200, 200, 400}, false},
		{DesyncStrictest, [4]int{200, 400, 400, 400}, false},
	} {
		r := newRig(t, Options{})
		r.forwardTo(named(t, "a"))
		r.lb().DesyncMode = test.mode
		r.apply()
		for i, raw := range []string{compliant, acceptable, ambiguous, severe} {
			c := r.dialClient()
			c.send(raw)
			got := c.read("GET")
			if got.StatusCode != test.want[i] {
				t.Errorf("%s: %q is %d, want %d", test.mode, raw, got.StatusCode, test.want[i])
			}
			if raw == ambiguous && got.Close == test.stays {
				t.Errorf("%s: closes after an ambiguous request: %v", test.mode, got.Close)
			}
		}
	}
}

// The reasons of class Acceptable, which only strictest refuses.
func TestIrregular(t *testing.T) {
	for raw, want := range map[string]bool{
		"GET / HTTP/1.1\r\nHost: h\r\nX: a\tb\r\n\r\n":                  false,
		"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n":       false,
		"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n":        true, // GetHeadZeroContentLength
		"GET / HTTP/1.1\r\nHost: h\r\nX: \xe9\r\n\r\n":                  true, // NonCompliantHeader
		"GET / HTTP/1.1\r\nHost: h\r\na@b: 1\r\n\r\n":                   true, // NonCompliantHeader
		"GET / HTTP/1.9\r\nHost: h\r\n\r\n":                             true, // NonCompliantVersion
		"GET /a b HTTP/1.1\r\nHost: h\r\n\r\n":                          true, // SpaceInUri
		"GET / HTTP/1.0\r\n\r\n":                                        false,
		"GET /?a=%20&b=\xe9 HTTP/1.1\r\nHost: h\r\nUA: x/1 (y)\r\n\r\n": false,
	} {
		r, err := parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.irregular(); got != want {
			t.Errorf("%q: %v", raw, got)
		}
	}
}
