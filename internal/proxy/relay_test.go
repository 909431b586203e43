package proxy

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// h2Target is a target that speaks HTTP/2 without TLS.
func h2Target(t testing.TB, id string, handler http.HandlerFunc) Target {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	return targetAt(t, id, server.Listener)
}

// A gRPC call through the load balancer: messages flow in both directions at once, the code comes as a trailer, or with
// the head; health checks are calls too.
func TestGRPC(t *testing.T) {
	r := newRig(t, Options{})
	checks := make(chan *http.Request, 8)
	g := r.forwardTo(h2Target(t, "grpc", func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Type", "application/grpc")
		switch {
		case req.URL.Path == "/AWS.ALB/healthcheck":
			checks <- req
			w.Header().Set("Grpc-Status", "12")
		case req.Header.Get("Te") != "trailers" || req.Header.Get("Content-Type") != "application/grpc+proto":
			w.Header().Set("Grpc-Status", "13")
		default:
			echoBody(w, req)
			w.Header().Set(http.TrailerPrefix+"Grpc-Status", "5")
		}
	}))
	g.ProtocolVersion, g.HealthCheck.Matcher, g.HealthCheck.Path, g.DeregistrationDelay = GRPC, "", "", time.Millisecond
	r.checked()
	r.https()
	r.apply()
	if check := receive(t, checks, "a health check"); check.Method != http.MethodPost || check.Header.Get("Content-Type") != "application/grpc" {
		t.Error(check.Method, check.Header)
	}
	eventually(t, "the target is healthy", func() bool { return r.states("group") == "grpc healthy" })
	c := r.browser()
	call := func(body io.Reader, contentType string) heard {
		req, err := http.NewRequest(http.MethodPost, "https://"+r.at+"/pkg.Service/Method", body)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", contentType)
		req.Header.Set("Te", "trailers")
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = resp.Body.Close() })
		return heard{Response: resp}
	}
	from, to := io.Pipe()
	resp := call(from, "application/grpc+proto")
	conversation(t, to, resp.Body)
	_ = to.Close()
	if rest, err := io.ReadAll(resp.Body); len(rest) > 0 || err != nil || resp.Trailer.Get("Grpc-Status") != "5" {
		t.Error(rest, err, resp.Trailer)
	}
	if resp := call(nil, "application/grpc"); resp.Header.Get("Grpc-Status") != "13" {
		t.Error(resp.Header)
	}
	if got, err := r.do(c, "GET", "/", nil); err != nil || got.StatusCode != 464 {
		t.Error(got, err)
	}
	// A call is cut when the deregistration delay is over, and there is no target any more.
	from, to = io.Pipe()
	resp = call(from, "application/grpc+proto")
	conversation(t, to, resp.Body)
	g.Targets = nil
	r.apply()
	if _, err := io.ReadAll(resp.Body); err == nil {
		t.Error("the call goes on")
	}
	_ = to.Close()
	if resp := call(nil, "application/grpc"); resp.StatusCode != http.StatusServiceUnavailable {
		t.Error(resp.Status)
	}
}

// echoBody answers with the request's body, piece by piece.
func echoBody(w http.ResponseWriter, req *http.Request) {
	for b := make([]byte, 16); ; {
		if err := http.NewResponseController(w).Flush(); err != nil {
			return
		}
		n, err := req.Body.Read(b)
		_, _ = w.Write(b[:n])
		if err != nil {
			return
		}
	}
}

// conversation has pieces echoed while the request goes on.
func conversation(t testing.TB, to io.Writer, from io.Reader) {
	t.Helper()
	b := make([]byte, 4)
	for range 3 {
		if _, err := io.WriteString(to, "ping"); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(from, b); err != nil || string(b) != "ping" {
			t.Fatal(string(b), err)
		}
	}
}

// Targets of HTTP/2: the request as they get it, both directions at the same time, and what cannot be served.
func TestHTTP2Targets(t *testing.T) {
	r := newRig(t, Options{})
	heads := make(chan *http.Request, 8)
	g := r.forwardTo(h2Target(t, "a", func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/health" {
			return
		}
		if req.URL.Path == "/abort" {
			_, _ = io.WriteString(w, strings.Repeat("x", 20_000))
			panic(http.ErrAbortHandler)
		}
		heads <- req
		w.Header().Set("X-Answer", "1")
		w.WriteHeader(http.StatusCreated)
		echoBody(w, req)
		w.Header().Set(http.TrailerPrefix+"X-Sum", "ok")
	}))
	g.ProtocolVersion, g.HealthCheck.Path = HTTP2, "/health"
	g.Stickiness = Stickiness{Type: StickyDuration, Duration: time.Hour}
	r.checked()
	r.https()
	r.apply()
	eventually(t, "the target is healthy", func() bool { return r.states("group") == "a healthy" })
	c := r.browser()
	from, to := io.Pipe()
	req, err := http.NewRequest(http.MethodPost, "https://"+r.at+"//p%20q?x", from)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "App.example.com"
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	conversation(t, to, resp.Body) // the answer comes while the request goes on
	_ = to.Close()
	if rest, err := io.ReadAll(resp.Body); len(rest) > 0 || err != nil || resp.Trailer.Get("X-Sum") != "ok" {
		t.Error(string(rest), err, resp.Trailer)
	}
	if resp.StatusCode != http.StatusCreated || resp.Header.Get("X-Answer") != "1" || len(resp.Header.Values("Set-Cookie")) != 2 {
		t.Error(resp.Status, resp.Header)
	}
	got := receive(t, heads, "the request")
	if got.RequestURI != "//p%20q?x" || got.Host != "app.example.com:8080" || got.Header.Get("X-Forwarded-Proto") != "https" || got.Header.Get("X-Amzn-Trace-Id") == "" || got.ProtoMajor != 2 {
		t.Error(got.RequestURI, got.Host, got.Header)
	}
	if got, err := r.do(c, "GET", "/abort", nil); err != nil || got.err == nil {
		t.Error("an answer cut short is whole", err)
	}
	old, _, err := r.dialTLS(&tls.Config{NextProtos: []string{"http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	old.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	wantPage(t, old.read("GET"), 464)
	g.Targets[0].Port = 1 // nobody is there
	r.apply()
	if got, err := r.do(c, "GET", "/", nil); err != nil || got.StatusCode != http.StatusBadGateway {
		t.Error(got, err)
	}
}

// ELB "Target groups for your Application Load Balancers", Protocol version: the table of results.
func TestProtocolVersions(t *testing.T) {
	h1 := &request{method: "POST", version: 11}
	h2 := &request{method: "GET", version: 20}
	post := &request{method: "POST", version: 20}
	call := &request{method: "POST", version: 20, fields: fields{{"content-type", "application/grpc"}}}
	for _, test := range []struct {
		version             ProtocolVersion
		h1, h2, post, calls bool
	}{
		{"", true, true, true, false}, {HTTP1, true, true, true, false}, {HTTP2, false, true, true, true}, {GRPC, false, false, true, true},
	} {
		v := test.version
		if v.serves(h1) != test.h1 || v.serves(h2) != test.h2 || v.serves(post) != test.post || v.serves(call) != test.calls {
			t.Errorf("%q: %v %v %v %v", v, v.serves(h1), v.serves(h2), v.serves(post), v.serves(call))
		}
	}
}
