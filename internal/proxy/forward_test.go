package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// What a target sees and what comes back.
func TestForward(t *testing.T) {
	r := newRig(t, Options{})
	r.forwardTo(httpTarget(t, "a", func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		w.Header().Set("X-Seen", fmt.Sprint(req.Method, " ", req.RequestURI, " ", req.Host, " ", req.Header.Get("X-Forwarded-For"),
			" ", req.Header.Get("X-Forwarded-Proto"), " ", req.Header.Get("X-Forwarded-Port"), " ", req.TransferEncoding, err))
		w.Header().Set("Trailer", "X-Sum")
		w.Header().Set("Server", "mine")
		w.WriteHeader(http.StatusAccepted)
		_, _ = w.Write(body)
		w.Header().Set("X-Sum", fmt.Sprint(len(body), req.Trailer.Get("X-More")))
	}))
	r.apply()
	c := r.dialClient()
	seen := " app.example.com:8080 127.0.0.1 http 8080 "
	big := strings.Repeat("0123456789abcdef", 20<<10)
	for _, test := range []struct{ request, body, seen, trailer string }{
		{"GET /a%2Fb?x=1 HTTP/1.1\r\nHost: App.example.com\r\n\r\n", "", "GET /a%2Fb?x=1" + seen + "[] <nil>", "0"},
		{"POST / HTTP/1.1\r\nHost: app.example.com\r\nContent-Length: 5\r\n\r\nhello", "hello", "POST /" + seen + "[] <nil>", "5"},
		{"POST / HTTP/1.1\r\nHost: app.example.com\r\nTransfer-Encoding: chunked\r\nTrailer: X-More\r\n\r\n5\r\nhello\r\n1;ext=1\r\n!\r\n0\r\nX-More: yes\r\nHost: evil\r\n\r\n", "hello!", "POST /" + seen + "[chunked] <nil>", "6yes"},
		{fmt.Sprintf("PUT / HTTP/1.1\r\nHost: app.example.com\r\nContent-Length: %d\r\n\r\n%s", len(big), big), big, "PUT /" + seen + "[] <nil>", fmt.Sprint(len(big))},
	} {
		c.send(test.request)
		got := c.read("GET")
		if got.StatusCode != http.StatusAccepted || got.body != test.body || got.Header.Get("X-Seen") != test.seen || got.Trailer.Get("X-Sum") != test.trailer {
			t.Errorf("%.60q: %v, %d bytes, trailer %v", test.request, got.Response, len(got.body), got.Trailer)
		}
		if got.Header.Get("Server") != "mine" || got.Header.Get("Connection") != "keep-alive" {
			t.Errorf("header %v", got.Header)
		}
	}
}

// Heads as large as they may be pass, both ways.
func TestLargeHeads(t *testing.T) {
	r := newRig(t, Options{})
	r.forwardTo(httpTarget(t, "a", func(w http.ResponseWriter, req *http.Request) {
		for i, v := range req.Header.Values("X-Large") {
			if i < 2 {
				w.Header().Add("X-Large", v)
			}
		}
		_, _ = fmt.Fprint(w, len(req.Header.Values("X-Large")))
	}))
	r.apply()
	large := "X-Large: " + strings.Repeat("x", 15000) + "\r\n"
	c := r.dialClient()
	for range 2 {
		c.send("GET / HTTP/1.1\r\nHost: h\r\n" + strings.Repeat(large, 4) + "\r\n")
		if got := c.read("GET"); got.body != "4" || len(got.Header.Values("X-Large")) != 2 {
			t.Fatal(got.Status, got.body)
		}
	}
}

// CL+TE in one request: the target sees one reading of it, chunked, and both connections close, so whatever was to be
// smuggled is not a request to anybody.
func TestSmugglingFormsCloseBothSides(t *testing.T) {
	r := newRig(t, Options{})
	heads, ends := make(chan string, 9), make(chan struct{}, 9)
	r.forwardTo(rawTarget(t, func(conn net.Conn, from *bufio.Reader) {
		head := readHead(from)
		chunked := "no body"
		if strings.Contains(head, "Transfer-Encoding: chunked\r\n") && !strings.Contains(head, "Content-Length") {
			line, _ := from.ReadString('\n')
			chunked = "chunked " + strings.TrimSpace(line) + readHead(from)
		}
		heads <- chunked
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		if _, err := from.ReadByte(); err == nil {
			t.Error("the target got more than one request")
		}
		ends <- struct{}{}
	}))
	r.apply()
	smuggled := "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"
	for request, want := range map[string]string{
		"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 40\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled: "chunked 0\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nTransfer_Encoding: chunked\r\n\r\n" + smuggled:                                 "no body",
		"GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n" + smuggled:                                                 "no body",
	} {
		c := r.dialClient()
		c.send(request)
		got := c.read("POST")
		wantStatus(t, got, 200)
		if !got.Close {
			t.Errorf("%.40q: %v", request, got.Header)
		}
		c.closed()
		if seen := receive(t, heads, "the target sees the request"); seen != want {
			t.Errorf("%q: %q", request, seen)
		}
		receive(t, ends, "the target's connection ends")
	}
}

func TestExpectContinue(t *testing.T) {
	r := newRig(t, Options{})
	r.forwardTo(httpTarget(t, "a", func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		_, _ = io.WriteString(w, req.Header.Get("Expect")+string(body))
	}))
	r.apply()
	c := r.dialClient()
	c.send("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\n")
	if got := c.read("POST"); got.StatusCode != http.StatusContinue {
		t.Fatal(got.Status)
	}
	c.send("ok")
	if got := c.read("POST"); got.body != "ok" {
		t.Fatal(got.Status, got.body)
	}
}

func TestInterimAnswers(t *testing.T) {
	r := newRig(t, Options{})
	r.forwardTo(rawTarget(t, answering("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")))
	r.apply()
	c := r.dialClient()
	c.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	if got := c.read("GET"); got.StatusCode != http.StatusEarlyHints || got.Header.Get("Link") != "x" {
		t.Fatal(got.Status)
	}
	if got := c.read("GET"); got.body != "hi" {
		t.Fatal(got.Status, got.body)
	}
}

// Bytes go on as they come: the client hears each chunk before the next is written.
func TestStreaming(t *testing.T) {
	r := newRig(t, Options{})
	next := make(chan struct{})
	r.forwardTo(rawTarget(t, func(conn net.Conn, from *bufio.Reader) {
		readHead(from)
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		for i := range 5 {
			_, _ = fmt.Fprintf(conn, "2\r\n%d\n\r\n", i)
			<-next
		}
		_, _ = io.WriteString(conn, "0\r\n\r\n")
	}))
	r.apply()
	c := r.dialClient()
	c.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	resp, err := http.ReadResponse(c.from, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewReader(resp.Body)
	for i := range 5 {
		if line, err := lines.ReadString('\n'); line != fmt.Sprintf("%d\n", i) || err != nil {
			t.Fatalf("%q, %v", line, err)
		}
		next <- struct{}{}
	}
	if rest, err := io.ReadAll(lines); len(rest) > 0 || err != nil {
		t.Fatal(rest, err)
	}
}

// What a target does wrong: 502, in the load balancer's words, and the client's connection goes on.
func TestBadTargets(t *testing.T) {
	closed := rawTarget(t, func(net.Conn, *bufio.Reader) {})
	for name, serve := range map[string]func(net.Conn, *bufio.Reader){
		"closes at once":            func(net.Conn, *bufio.Reader) {},
		"closes after the request":  func(_ net.Conn, from *bufio.Reader) { readHead(from) },
		"resets":                    func(conn net.Conn, from *bufio.Reader) { readHead(from); reset(conn) },
		"closes within the head":    answerOnce("HTTP/1.1 200 OK\r\nContent-"),
		"closes within a body":      answerOnce("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"),
		"no HTTP":                   answerOnce("hello\r\n\r\n"),
		"status":                    answerOnce("HTTP/1.1 20x OK\r\n\r\n"),
		"header line":               answerOnce("HTTP/1.1 200 OK\r\nfoo\r\n\r\n"),
		"name with a space":         answerOnce("HTTP/1.1 200 OK\r\nfoo : 1\r\n\r\n"),
		"two lengths":               answerOnce("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
		"coding":                    answerOnce("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nab"),
		"header above 32 K":         answerOnce("HTTP/1.1 200 OK\r\n" + strings.Repeat("X: "+strings.Repeat("y", 1000)+"\r\n", 33) + "\r\n"),
		"101 nobody asked for":      answerOnce("HTTP/1.1 101 Switching Protocols\r\n\r\n"),
		"nothing but interim heads": answerOnce(strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 40)),
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, Options{})
			r.forwardTo(rawTarget(t, serve))
			r.listener().Rules = []Rule{{Conditions: []Condition{{Field: "path-pattern", Values: []string{"/own"}}}, Action: respond(200, "still here")}}
			r.apply()
			c := r.dialClient()
			c.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
			wantPage(t, c.read("GET"), 502)
			c.send("GET /own HTTP/1.1\r\nHost: h\r\n\r\n")
			wantStatus(t, c.read("GET"), 200)
		})
	}
	t.Run("refuses", func(t *testing.T) {
		r := newRig(t, Options{})
		closed.Address = loopback() // nobody listens there
		r.forwardTo(closed)
		r.apply()
		wantPage(t, r.ask("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx"), 502)
	})
	t.Run("large answers cut short are seen to be", func(t *testing.T) {
		r := newRig(t, Options{})
		r.forwardTo(rawTarget(t, answerOnce("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")))
		r.apply()
		if got := r.get("/"); got.err == nil {
			t.Errorf("%v %q", got.Response, got.body)
		}
	})
}

func answerOnce(answer string) func(net.Conn, *bufio.Reader) {
	return func(conn net.Conn, from *bufio.Reader) {
		readHead(from)
		_, _ = io.WriteString(conn, answer)
	}
}

// Answers whose borders are unusual.
func TestAnswerFraming(t *testing.T) {
	for name, test := range map[string]struct{ method, answer, body string }{
		"until close":        {"GET", "HTTP/1.1 200 OK\r\n\r\nhello", "hello"},
		"HTTP/1.0":           {"GET", "HTTP/1.0 200 OK\r\n\r\nhello", "hello"},
		"both":               {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "hello"},
		"HEAD with a length": {"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", ""},
		"304":                {"GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", ""},
		"204":                {"GET", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", ""},
		"no reason":          {"GET", "HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello", "hello"},
		"empty":              {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, Options{})
			r.forwardTo(rawTarget(t, answerOnce(test.answer)))
			r.apply()
			c := r.dialClient()
			for range 2 { // twice, to see that the answer ended where the client thinks it did
				c.send(test.method + " / HTTP/1.1\r\nHost: h\r\n\r\n")
				if got := c.read(test.method); got.body != test.body || got.err != nil || got.Close {
					t.Fatalf("%v %q %v", got.Response, got.body, got.err)
				}
			}
		})
	}
}

// A target that answers before it has the whole body: the client gets the answer, and the connection closes.
func TestEarlyAnswer(t *testing.T) {
	r := newRig(t, Options{})
	r.forwardTo(rawTarget(t, answerOnce("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")))
	r.apply()
	c := r.dialClient()
	c.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\nsome")
	got := c.read("POST")
	if got.StatusCode != http.StatusRequestEntityTooLarge || got.body != "no" || !got.Close {
		t.Fatal(got.Status, got.body)
	}
	c.closed()
}

func TestMalformedChunks(t *testing.T) {
	r := newRig(t, Options{})
	ends := make(chan struct{}, 1)
	r.forwardTo(rawTarget(t, func(_ net.Conn, from *bufio.Reader) {
		_, _ = io.Copy(io.Discard, from)
		ends <- struct{}{}
	}))
	r.apply()
	c := r.dialClient()
	c.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloXX\r\n0\r\n\r\n")
	wantPage(t, c.read("POST"), 400)
	c.closed()
	receive(t, ends, "the target's connection ends")
}

// The target closes a kept connection: no request is lost, and none is sent twice.
func TestKeptConnectionClosedByTarget(t *testing.T) {
	r := newRig(t, Options{Spread: 1})
	closes, closed := make(chan struct{}), make(chan struct{}, 99)
	seen := make(chan string, 99)
	r.forwardTo(rawTarget(t, func(conn net.Conn, from *bufio.Reader) {
		head := readHead(from)
		seen <- head[:strings.IndexByte(head, ' ')]
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		<-closes
		closeQuietly(conn)
		closed <- struct{}{}
	}))
	r.apply()
	for i := range 20 {
		method := []string{"GET", "POST"}[i%2]
		wantStatus(t, r.ask(method+" / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"), 200)
		if got := receive(t, seen, "a request"); got != method {
			t.Fatal(got)
		}
		closes <- struct{}{}
		receive(t, closed, "the connection closes")
	}
	close(closes)
	if len(seen) > 0 {
		t.Errorf("%d requests too many", len(seen))
	}
}

// Requests spread over several connections, so that they reach all that is behind a node port.
func TestRequestsSpreadOverConnections(t *testing.T) {
	r := newRig(t, Options{})
	var opened atomic.Int32
	r.forwardTo(rawTarget(t, func(conn net.Conn, from *bufio.Reader) {
		self := opened.Add(1)
		for readHead(from) != "" {
			_, _ = fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d", self)
		}
	}))
	r.apply()
	got := ""
	c := r.dialClient() // kept, as a client that closes takes the target's connection with it
	for range 2 * defaultSpread {
		c.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
		got += c.read("GET").body
	}
	if got != "12341234" {
		t.Errorf("connections used: %s", got)
	}
}

// The race that looking cannot see: the target reads the request on a kept connection and closes. What is idempotent is
// sent again on a fresh one; what is not gets 502 and is seen once.
func TestKeptConnectionRace(t *testing.T) {
	r := newRig(t, Options{Spread: 1})
	seen := make(chan string, 9)
	r.forwardTo(rawTarget(t, func(conn net.Conn, from *bufio.Reader) {
		for i := 0; ; i++ {
			head := readHead(from)
			if head == "" {
				return
			}
			seen <- head[:strings.IndexByte(head, ' ')]
			if i == 1 {
				return // without an answer
			}
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}
	}))
	r.apply()
	c := r.dialClient()
	for _, test := range []struct {
		method string
		status int
		seen   int
	}{{"GET", 200, 1}, {"GET", 200, 2}, {"POST", 502, 1}} {
		c.send(test.method + " / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n")
		wantStatus(t, c.read(test.method), test.status)
		for range test.seen {
			receive(t, seen, "a request")
		}
	}
	if len(seen) > 0 {
		t.Error("a request too many")
	}
}

// The client goes away while the target works: the target's connection ends (460 in ELB's access log).
func TestClientGoesAway(t *testing.T) {
	r := newRig(t, Options{})
	begun, ended := make(chan struct{}), make(chan struct{})
	r.forwardTo(httpTarget(t, "a", func(_ http.ResponseWriter, req *http.Request) {
		close(begun)
		<-req.Context().Done()
		close(ended)
	}))
	r.apply()
	c := r.dialClient()
	c.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	receive(t, begun, "the request arrives")
	closeQuietly(c)
	receive(t, ended, "the request is cancelled")
}

// The client goes away within its body: the target must not take what came for the whole.
func TestClientGoesAwayWithinBody(t *testing.T) {
	for _, head := range []string{"Content-Length: 10\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"} {
		r := newRig(t, Options{})
		begun, bodies := make(chan struct{}), make(chan error, 1)
		r.forwardTo(httpTarget(t, "a", func(_ http.ResponseWriter, req *http.Request) {
			close(begun)
			_, err := io.ReadAll(req.Body)
			bodies <- err
		}))
		r.apply()
		c := r.dialClient()
		c.send("POST / HTTP/1.1\r\nHost: h\r\n" + head)
		receive(t, begun, "the request arrives")
		closeQuietly(c)
		if err := receive(t, bodies, "the body ends"); err == nil {
			t.Errorf("%q: a whole body", head)
		}
	}
}

func TestHTTPSTarget(t *testing.T) {
	r := newRig(t, Options{})
	server := newTLSServer(t, func(w http.ResponseWriter, req *http.Request) { _, _ = fmt.Fprint(w, req.TLS != nil) })
	r.forwardTo(targetAt(t, "a", server.Listener)).Protocol = "HTTPS"
	r.config.TargetGroups[0].HealthCheck = HealthCheck{Protocol: "HTTPS", Path: "/", Interval: time.Hour}
	r.apply()
	for range 3 {
		if got := r.get("/"); got.body != "true" {
			t.Fatal(got.Status, got.body)
		}
	}
	eventually(t, "healthy", func() bool { return r.states("group") == "a healthy" })
}

func TestNoTargets(t *testing.T) {
	r := newRig(t, Options{})
	r.forwardTo()
	r.config.TargetGroups = append(r.config.TargetGroups, TargetGroup{ID: "other", Targets: []Target{named(t, "a")}})
	r.listener().Rules = []Rule{{
		Conditions: []Condition{{Field: "path-pattern", Values: []string{"/zero"}}},
		Action:     Action{Forward: &Forward{TargetGroups: []WeightedTargetGroup{{"group", 0}, {"other", 0}}}},
	}}
	r.apply()
	wantPage(t, r.get("/"), 503)
	wantPage(t, r.get("/zero"), 503)
}
