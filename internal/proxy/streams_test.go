package proxy

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// browser returns a client of HTTP/2 for the rig.
func (r *rig) browser() *http.Client {
	transport := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	r.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Timeout: patience, Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// do sends a request over HTTP/2 and reads the answer whole.
func (r *rig) do(c *http.Client, method, path string, body io.Reader, change ...func(*http.Request)) (heard, error) {
	r.t.Helper()
	req, err := http.NewRequest(method, "https://"+r.at+path, body)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range change {
		f(req)
	}
	resp, err := c.Do(req)
	if err != nil {
		return heard{}, err
	}
	defer resp.Body.Close()
	if resp.ProtoMajor != 2 {
		r.t.Fatalf("answered by %s", resp.Proto)
	}
	b, err := io.ReadAll(resp.Body)
	return heard{resp, string(b), err}, nil
}

// An HTTP/2 request reaches an HTTP/1.1 target with lower-case names but for the load balancer's own fields, and its
// body, answer and trailers are whole.
func TestStreams(t *testing.T) {
	r := newRig(t, Options{})
	heads := make(chan string, 8)
	r.forwardTo(rawTarget(t, func(conn net.Conn, from *bufio.Reader) {
		for head := readHead(from); head != ""; head = readHead(from) {
			heads <- head
			switch {
			case strings.Contains(head, "Transfer-Encoding: chunked"):
				for line := ""; line != "0\r\n"; line, _ = from.ReadString('\n') {
					heads <- line
				}
				heads <- readHead(from)
			case strings.Contains(head, "Content-Length: 5"):
				b := make([]byte, 5)
				_, _ = io.ReadFull(from, b)
				heads <- string(b)
			}
			_, _ = io.WriteString(conn, "HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\nHTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n"+
				"Connection: X-Hop\r\nX-Hop: 1\r\nTrailer: X-Sum\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 5\r\n\r\n")
		}
	}))
	r.https()
	r.lb().Attributes.TLSVersionAndCipherSuite = true
	r.apply()
	c := r.browser()
	got, err := r.do(c, "POST", "/p%20q?x=%41", strings.NewReader("hello"), func(req *http.Request) {
		req.Host = "App.example.com"
		req.Header.Set("X-Custom", "1")
		req.Header.Set("X-Forwarded-For", "1.2.3.4")
		req.Header.Set("Te", "trailers")
	})
	if err != nil || got.err != nil || got.StatusCode != http.StatusCreated || got.body != "hello" || got.Trailer.Get("X-Sum") != "5" {
		t.Fatal(got, err)
	}
	if h := got.Header; h.Get("X-Hop") != "" || h.Get("Connection") != "" || !slices.Equal(h.Values("Set-Cookie"), []string{"a=1", "b=2"}) || h.Get("Content-Type") != "" || h.Get("Date") == "" {
		t.Error(h)
	}
	head := receive(t, heads, "the head")
	for _, want := range []string{
		"POST /p%20q?x=%41 HTTP/1.1\r\n", "Host: app.example.com:8080\r\n", "x-custom: 1\r\n", "X-Forwarded-For: 1.2.3.4, 127.0.0.1\r\n",
		"X-Forwarded-Proto: https\r\n", "X-Amzn-Trace-Id: Root=", "Content-Length: 5\r\n", "X-Amzn-Tls-Version: TLSv1.3\r\n",
	} {
		if !strings.Contains(head, want) {
			t.Errorf("no %q in %q", want, head)
		}
	}
	if strings.Contains(head, "\r\nte: ") {
		t.Errorf("TE is for one connection: %q", head)
	}
	if body := receive(t, heads, "the body"); body != "hello" {
		t.Error(body)
	}
	// A body of unknown length, with a trailer.
	if got, err = r.do(c, "PUT", "/", io.MultiReader(strings.NewReader("abc")), func(req *http.Request) {
		req.Trailer = http.Header{"X-End": {"1"}}
	}); err != nil || got.body != "hello" {
		t.Fatal(got, err)
	}
	var all strings.Builder
	for i := range 6 {
		all.WriteString(receive(t, heads, fmt.Sprint("part ", i)))
		if strings.HasSuffix(all.String(), "x-end: 1\r\n\r\n") {
			break
		}
	}
	if !strings.Contains(all.String(), "3\r\nabc\r\n0\r\n") && !strings.HasSuffix(all.String(), "x-end: 1\r\n\r\n") {
		t.Errorf("%q", all.String())
	}
	if got, err := r.do(c, "HEAD", "/", nil); err != nil || got.StatusCode != http.StatusCreated || got.body != "" {
		t.Error(got, err)
	}
}

// Large bodies in both directions, many streams at a time, over one connection.
func TestManyStreams(t *testing.T) {
	r := newRig(t, Options{})
	r.forwardTo(httpTarget(t, "a", func(w http.ResponseWriter, req *http.Request) {
		b, _ := io.ReadAll(req.Body)
		_, _ = w.Write(b)
	}))
	r.https()
	r.apply()
	c := r.browser()
	if _, err := r.do(c, "GET", "/", nil); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			body := bytes.Repeat([]byte{byte('a' + i%26)}, 1000*i)
			got, err := r.do(c, "POST", "/", bytes.NewReader(body))
			if err != nil || got.body != string(body) || got.err != nil {
				t.Error(i, len(got.body), err, got.err)
			}
		})
	}
	all.Wait()
	if n := r.connections(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

// What the load balancer says itself is the same in HTTP/2.
func TestStreamAnswers(t *testing.T) {
	r := newRig(t, Options{})
	r.listener().Rules = []Rule{
		{Conditions: []Condition{{Field: "path-pattern", Values: []string{"/r"}}}, Action: Action{Redirect: &Redirect{"#{protocol}", "#{host}", "#{port}", "/x", "", 302}}},
		{Conditions: []Condition{{Field: "path-pattern", Values: []string{"/none"}}}, Action: forward("none")},
		{Conditions: []Condition{{Field: "path-pattern", Values: []string{"/broken"}}}, Action: forward("broken")},
		{Conditions: []Condition{{Field: "path-pattern", Values: []string{"/cut"}}}, Action: forward("cut")},
		{Conditions: []Condition{{Field: "path-pattern", Values: []string{"/grpc"}}}, Action: forward("cut")},
	}
	r.listener().Default = respond(200, "fixed")
	r.listener().Attributes.XFrameOptions = "DENY"
	off := HealthCheck{Disabled: true}
	r.config.TargetGroups = []TargetGroup{
		{ID: "none"},
		{ID: "broken", HealthCheck: off, Targets: []Target{rawTarget(t, func(_ net.Conn, from *bufio.Reader) { readHead(from) })}},
		{ID: "cut", HealthCheck: off, Targets: []Target{rawTarget(t, func(conn net.Conn, from *bufio.Reader) {
			readHead(from)
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"+strings.Repeat("x", 50000))
		})}},
	}
	r.https()
	r.apply()
	c := r.browser()
	for path, status := range map[string]int{"/none": 503, "/broken": 502} {
		got, err := r.do(c, "GET", path, nil)
		if err != nil {
			t.Fatal(path, err)
		}
		wantPage(t, got, status)
	}
	if got, err := r.do(c, "TRACE", "/", nil); err != nil || got.StatusCode != http.StatusMethodNotAllowed {
		t.Error(got, err)
	}
	if got, err := r.do(c, "POST", "/grpc", strings.NewReader("x"), func(req *http.Request) { req.Header.Set("Content-Type", "application/grpc+proto") }); err != nil || got.StatusCode != 464 {
		t.Error(got, err)
	}
	if got, err := r.do(c, "POST", "/", strings.NewReader(strings.Repeat("x", 100_000))); err != nil || got.body != "fixed" || got.Header.Get("X-Frame-Options") != "DENY" {
		t.Error(got, err)
	}
	if got, err := r.do(c, "GET", "/r", nil); err != nil || got.Header.Get("Location") != "https://127.0.0.1:8080/x" && !strings.HasSuffix(got.Header.Get("Location"), ":8080/x") {
		t.Error(got, err)
	}
	for name, change := range map[string]func(*http.Request){
		"one header": func(req *http.Request) { req.Header.Set("X", strings.Repeat("x", maxHeaderLine)) },
		"all headers": func(req *http.Request) {
			for i := range 6 {
				req.Header.Set(fmt.Sprint("X", i), strings.Repeat("x", 12<<10))
			}
		},
	} {
		if got, err := r.do(c, "GET", "/", nil, change); err != nil || got.StatusCode != http.StatusBadRequest {
			t.Error(name, got, err)
		}
	}
	if got, err := r.do(c, "GET", "/"+strings.Repeat("x", maxRequestLine), nil); err != nil || got.StatusCode != http.StatusRequestURITooLong {
		t.Error(got, err)
	}
	got, err := r.do(c, "GET", "/cut", nil)
	var reset http2.StreamError
	if err != nil || got.err == nil {
		t.Errorf("a cut answer is whole: %v %v %v", err, got.err, errors.As(got.err, &reset))
	}
	if n := r.connections(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

// frames is a client that speaks in frames.
type frames struct {
	*http2.Framer
	t    *testing.T
	head bytes.Buffer
	enc  *hpack.Encoder
}

func (r *rig) dialFrames(t *testing.T) *frames {
	t.Helper()
	conn, state, err := r.dialTLS(&tls.Config{NextProtos: []string{"h2"}})
	if err != nil || state.NegotiatedProtocol != "h2" {
		t.Fatal(err, state.NegotiatedProtocol)
	}
	conn.send(http2.ClientPreface)
	f := &frames{Framer: http2.NewFramer(conn, conn.from), t: t}
	f.enc = hpack.NewEncoder(&f.head)
	if err := f.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	return f
}

// get begins a stream.
func (f *frames) get(stream uint32, path string) {
	f.t.Helper()
	f.head.Reset()
	for _, h := range []hpack.HeaderField{{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "https"}, {Name: ":authority", Value: "h"}, {Name: ":path", Value: path}} {
		_ = f.enc.WriteField(h)
	}
	if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: f.head.Bytes(), EndStream: true, EndHeaders: true}); err != nil {
		f.t.Fatal(err)
	}
}

// until reads frames up to one that is wanted.
func (f *frames) until(what string, wanted func(http2.Frame) bool) http2.Frame {
	f.t.Helper()
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			f.t.Fatalf("waited in vain: %s: %v", what, err)
		}
		if wanted(frame) {
			return frame
		}
	}
}

func goAway(f http2.Frame) bool { _, is := f.(*http2.GoAwayFrame); return is }

// ELB "How Elastic Load Balancing works": 128 streams at a time, and GOAWAY after 10,000 requests.
func TestStreamLimits(t *testing.T) {
	r := newRig(t, Options{})
	r.listener().Default = respond(200, "x")
	r.https()
	r.apply()
	f := r.dialFrames(t)
	f.until("SETTINGS", func(frame http2.Frame) bool {
		s, is := frame.(*http2.SettingsFrame)
		if !is {
			return false
		}
		if n, _ := s.Value(http2.SettingMaxConcurrentStreams); n != 128 {
			t.Errorf("%d streams", n)
		}
		return true
	})
	f.get(1, "/")
	f.until("the first answer", func(frame http2.Frame) bool { return frame.Header().StreamID == 1 })
	r.eachStreams(func(h *streams) { h.served.Store(maxRequests - 2) })
	f.get(3, "/")
	f.until("the answer before the last", func(frame http2.Frame) bool {
		if goAway(frame) {
			t.Fatal("too early")
		}
		return frame.Header().StreamID == 3 && frame.Header().Flags.Has(http2.FlagDataEndStream)
	})
	f.get(5, "/")
	f.until("GOAWAY", goAway)
	f.until("the last answer", func(frame http2.Frame) bool { return frame.Header().StreamID == 5 })
}

func (r *rig) eachStreams(do func(*streams)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, k := range r.sockets {
		k.mu.Lock()
		for c := range k.conns {
			c.mu.Lock()
			if c.streams != nil {
				do(c.streams)
			}
			c.mu.Unlock()
		}
		k.mu.Unlock()
	}
}

// Timers of HTTP/2: a silent target is 504 on its stream, the connection lives on; PING is no activity; an idle
// connection ends with GOAWAY, and so does one after its client keepalive duration, with one more answer.
func TestStreamTimers(t *testing.T) {
	clock, begun := newFakeClock(), make(chan struct{}, 1)
	r := newRig(t, Options{Clock: clock})
	r.forwardTo(silentTarget(t, begun))
	r.listener().Rules = []Rule{{Conditions: []Condition{{Field: "path-pattern", Values: []string{"/ok"}}}, Action: respond(200, "x")}}
	r.https()
	r.lb().ClientKeepAlive = 90 * time.Second
	r.apply()
	f := r.dialFrames(t)
	f.get(1, "/")
	receive(t, begun, "the request arrives")
	clock.advance(time.Minute)
	f.until("504", func(frame http2.Frame) bool {
		d, is := frame.(*http2.DataFrame)
		return is && d.StreamID == 1 && strings.Contains(string(d.Data()), "504 Gateway Time-out")
	})
	eventually(t, "the stream ends", func() (none bool) {
		r.eachStreams(func(h *streams) { h.mu.Lock(); none = h.open == 0; h.mu.Unlock() })
		return none
	})
	clock.advance(40 * time.Second)
	f.get(3, "/ok")
	f.until("GOAWAY by age", goAway)

	idle := r.dialFrames(t)
	idle.get(1, "/ok")
	idle.until("the answer", func(frame http2.Frame) bool { return frame.Header().StreamID == 1 })
	if err := idle.WritePing(false, [8]byte{}); err != nil {
		t.Fatal(err)
	}
	idle.until("PING", func(frame http2.Frame) bool { _, is := frame.(*http2.PingFrame); return is })
	eventually(t, "the stream ends", func() bool {
		none := true
		r.eachStreams(func(h *streams) { h.mu.Lock(); none = none && h.open == 0; h.mu.Unlock() })
		return none
	})
	clock.advance(time.Minute)
	idle.until("GOAWAY by idle timeout", goAway)
}

// A removed listener lets streams finish and then ends the connection; a client that goes away ends what runs for it.
func TestStreamsEnd(t *testing.T) {
	r := newRig(t, Options{})
	begun, release, gone := make(chan struct{}, 1), make(chan struct{}), make(chan struct{}, 1)
	r.forwardTo(httpTarget(t, "a", func(w http.ResponseWriter, req *http.Request) {
		begun <- struct{}{}
		select {
		case <-release:
			_, _ = io.WriteString(w, "done")
		case <-req.Context().Done():
			gone <- struct{}{}
		}
	}))
	r.https()
	r.apply()
	c := r.browser()
	ctx, cancel := context.WithCancel(t.Context())
	answers := make(chan string, 1)
	ask := func(ctx context.Context) {
		got, err := r.do(c, "GET", "/", nil, func(req *http.Request) { *req = *req.WithContext(ctx) })
		if err != nil {
			answers <- err.Error()
			return
		}
		answers <- got.body
	}
	go ask(ctx)
	receive(t, begun, "the request arrives")
	cancel()
	receive(t, gone, "the target sees its client go")
	receive(t, answers, "the client gave up")
	go ask(t.Context())
	receive(t, begun, "the request arrives")
	r.lb().Listeners = nil
	r.apply()
	close(release)
	if got := receive(t, answers, "the answer"); got != "done" {
		t.Error(got)
	}
	eventually(t, "the connection ends", func() bool { return r.connections() == 0 })
}
