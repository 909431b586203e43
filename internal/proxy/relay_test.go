package proxy

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	grpcstatus "google.golang.org/grpc/status"
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

// grpcTarget is a real gRPC server.
func grpcTarget(t testing.TB) (Target, *health.Server) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server, state := grpc.NewServer(), health.NewServer()
	grpc_health_v1.RegisterHealthServer(server, state)
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(l) }()
	t.Cleanup(func() { server.Stop(); <-done })
	return targetAt(t, "grpc", l), state
}

// A gRPC client and server with the load balancer between them: unary and streaming calls, codes, and health checks.
func TestGRPC(t *testing.T) {
	r := newRig(t, Options{})
	target, state := grpcTarget(t)
	g := r.forwardTo(target)
	g.ProtocolVersion, g.HealthCheck.Matcher, g.HealthCheck.Path = GRPC, "", ""
	r.checked()
	r.https()
	r.apply()
	// The server does not know /AWS.ALB/healthcheck, which is code 12, which is success.
	eventually(t, "the target is healthy", func() bool { return r.states("group") == "grpc healthy" })
	conn, err := grpc.NewClient("passthrough:///"+r.at, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{InsecureSkipVerify: true})))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	client := grpc_health_v1.NewHealthClient(conn)
	if got, err := client.Check(ctx, &grpc_health_v1.HealthCheckRequest{}); err != nil || got.Status != grpc_health_v1.HealthCheckResponse_SERVING {
		t.Fatal(got, err)
	}
	if _, err := client.Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: "none"}); grpcstatus.Code(err) != codes.NotFound {
		t.Error(err)
	}
	watch, err := client.Watch(ctx, &grpc_health_v1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []grpc_health_v1.HealthCheckResponse_ServingStatus{grpc_health_v1.HealthCheckResponse_SERVING, grpc_health_v1.HealthCheckResponse_NOT_SERVING} {
		got, err := watch.Recv()
		if err != nil || got.Status != want {
			t.Fatal(got, err)
		}
		state.SetServingStatus("", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	}
	// The stream is cut when the deregistration delay is over.
	g.Targets, g.DeregistrationDelay = nil, time.Millisecond
	r.apply()
	if _, err := watch.Recv(); err == nil {
		t.Error("the stream goes on")
	}
	if _, err := client.Check(ctx, &grpc_health_v1.HealthCheckRequest{}); grpcstatus.Code(err) != codes.Unavailable {
		t.Error(err) // 503
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
		for b := make([]byte, 16); ; {
			if err := http.NewResponseController(w).Flush(); err != nil {
				return
			}
			n, err := req.Body.Read(b)
			_, _ = w.Write(b[:n])
			if err != nil {
				break
			}
		}
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
	b := make([]byte, 4)
	for range 3 { // the answer comes while the request goes on
		if _, err := io.WriteString(to, "ping"); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(resp.Body, b); err != nil || string(b) != "ping" {
			t.Fatal(string(b), err)
		}
	}
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
