package proxy

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// Lengths of the pages as observed on AWS (specification A10.2).
func TestPageLengths(t *testing.T) {
	for status, length := range map[int]int{400: 122, 502: 122, 503: 162, 504: 132, 301: 134, 302: 110} {
		if got := len(page(status).body); got != length {
			t.Errorf("%d: %d bytes, want %d", status, got, length)
		}
	}
}

func TestRedirect(t *testing.T) {
	whole := Redirect{Protocol: "#{protocol}", Host: "#{host}", Port: "#{port}", Path: "/#{path}", Query: "#{query}", StatusCode: 301}
	with := func(change func(*Redirect)) *Redirect { r := whole; change(&r); return &r }
	for _, test := range []struct {
		name    string
		to      *Redirect
		request string
		want    string
	}{
		{"to HTTPS", with(func(r *Redirect) { r.Protocol, r.Port = "HTTPS", "443" }), "GET /p/a?x=1 HTTP/1.1\r\nHost: H.example.com:80\r\n\r\n", "https://H.example.com:443/p/a?x=1"},
		{"no query, no question mark", &whole, "GET /p HTTP/1.1\r\nHost: h.example.com\r\n\r\n", "http://h.example.com:8080/p"},
		{"keywords in host and path", with(func(r *Redirect) { r.Host, r.Path = "new.#{host}", "/#{host}/#{port}/#{path}" }), "GET /p HTTP/1.1\r\nHost: h.example.com\r\n\r\n", "http://new.h.example.com:8080/h.example.com/8080/p"},
		{"keywords in query", with(func(r *Redirect) { r.Query = "#{protocol}-#{host}-#{port}-#{path}-#{query}" }), "GET /p?q HTTP/1.1\r\nHost: h\r\n\r\n", "http://h:8080/p?http-h-8080-p-q"},
		{"keywords of the client are not replaced", &whole, "GET /#{host}?#{port} HTTP/1.1\r\nHost: h\r\n\r\n", "http://h:8080/#{host}?#{port}"},
		{"control characters", &whole, "GET /a\tb c HTTP/1.1\r\nHost: h\r\n\r\n", "http://h:8080/a%09b%20c"},
		{"no host", &whole, "GET /p HTTP/1.0\r\n\r\n", "http://lb.local:8080/p"},
	} {
		r, err := parse(test.request)
		if err != nil {
			t.Fatal(err)
		}
		got := redirect(test.to, r, &arrival{front: &frontend{port: 8080, dnsName: "lb.local"}})
		if got.location != test.want || got.status != 301 {
			t.Errorf("%s: %d %q", test.name, got.status, got.location)
		}
	}
	r, err := parse("GET /" + strings.Repeat("x", maxRedirectURL) + " HTTP/1.1\r\nHost: h\r\n\r\n")
	if err != nil {
		t.Fatal(err)
	}
	if got := redirect(&whole, r, &arrival{front: &frontend{}}); got.status != 507 {
		t.Errorf("too long: %d", got.status)
	}
}

func TestFixedResponseAndRedirectOnTheWire(t *testing.T) {
	r := newRig(t, Options{})
	r.listener().Default = Action{FixedResponse: &FixedResponse{StatusCode: 418, ContentType: "application/json", Body: "{}"}}
	r.listener().Rules = []Rule{
		{Conditions: []Condition{{Field: "path-pattern", Values: []string{"/r"}}}, Action: Action{Redirect: &Redirect{"HTTPS", "#{host}", "443", "/#{path}", "#{query}", 302}}},
		{Conditions: []Condition{{Field: "path-pattern", Values: []string{"/plain"}}}, Action: respond(200, "hi")},
		{Conditions: []Condition{{Field: "path-pattern", Values: []string{"/nothing"}}}, Action: respond(204, "")},
	}
	r.apply()
	c := r.dialClient() // one connection for all: each answer has to end where it says
	c.send("GET /x HTTP/1.1\r\nHost: h\r\n\r\nPOST /plain HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabcHEAD /r HTTP/1.1\r\nHost: h\r\n\r\n")
	got := c.read("GET")
	if got.StatusCode != http.StatusTeapot || got.body != "{}" || got.Header.Get("Content-Type") != "application/json" ||
		got.Header.Get("Server") != "awselb/2.0" || got.Header.Get("Connection") != "keep-alive" || got.Header.Get("Date") == "" {
		t.Errorf("fixed response: %v %q", got.Response, got.body)
	}
	if got := c.read("POST"); got.body != "hi" || got.Header.Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Errorf("plain: %v %q", got.Response, got.body)
	}
	if got := c.read("HEAD"); got.StatusCode != http.StatusFound || got.Header.Get("Location") != "https://h:443/r" || got.ContentLength != 110 {
		t.Errorf("redirect: %v", got.Response)
	}
	c.send("GET /nothing HTTP/1.1\r\nHost: h\r\n\r\nGET /r HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
	if got := c.read("GET"); got.StatusCode != http.StatusNoContent || got.Header.Get("Content-Length") != "" {
		t.Errorf("no content: %v", got.Response)
	}
	wantPage(t, c.read("GET"), 302)
	c.closed()
}

func TestServerHeaderHidden(t *testing.T) {
	r := newRig(t, Options{})
	r.lb().Attributes.HideLoadBalancerInServer = true
	r.forwardTo(httpTarget(t, "a", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Server", "mine") }))
	r.listener().Rules = []Rule{{Conditions: []Condition{{Field: "path-pattern", Values: []string{"/own"}}}, Action: respond(200, "")}}
	r.apply()
	for _, path := range []string{"/own", "/"} {
		if got := r.get(path); got.StatusCode != http.StatusOK || got.Header.Get("Server") != "" {
			t.Errorf("%s: %v", path, got.Header)
		}
	}
}

// Errors of the request are answered in the load balancer's own words, and what came after a bad head is not served.
func TestRefusals(t *testing.T) {
	r := newRig(t, Options{})
	r.listener().Default = respond(200, "fine")
	r.apply()
	next := "GET /next HTTP/1.1\r\nHost: h\r\n\r\n"
	for request, status := range map[string]int{
		"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n" + next:                                       400,
		"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n" + next:                 400,
		"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n" + next:                                501,
		"GET /" + strings.Repeat("x", 20<<10) + " HTTP/1.1\r\nHost: h\r\n\r\n" + next:                         414,
		"GET / HTTP/1.1\r\nHost: h\r\n" + strings.Repeat("X: "+strings.Repeat("y", 900)+"\r\n", 100) + "\r\n": 400,
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n":                                                                    505,
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n":                                                    400,
	} {
		c := r.dialClient()
		c.send(request)
		wantPage(t, c.read("GET"), status)
		c.closed()
	}
	c := r.dialClient()
	c.send("TRACE / HTTP/1.1\r\nHost: h\r\n\r\n")
	wantPage(t, c.read("TRACE"), 405)
	c.send("GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: " + strings.Repeat("a, ", 30) + "a\r\n\r\n")
	wantPage(t, c.read("GET"), 463)
	c.send("GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: " + strings.Repeat("a, ", 29) + "a\r\n\r\n")
	wantStatus(t, c.read("GET"), 200)
}

func TestOldVersions(t *testing.T) {
	r := newRig(t, Options{})
	r.forwardTo(httpTarget(t, "a", func(w http.ResponseWriter, req *http.Request) {
		_, _ = io.WriteString(w, req.Host+" ")
		w.(http.Flusher).Flush() // chunked
		_, _ = io.WriteString(w, req.Proto)
	}))
	r.apply()
	c := r.dialClient()
	c.send("GET /\r\n")
	all, err := io.ReadAll(c.from)
	if err != nil || string(all) != "lb-1.elb.local:8080 HTTP/1.1" {
		t.Errorf("HTTP/0.9: %q, %v", all, err)
	}
	c = r.dialClient()
	c.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
	got := c.read("GET")
	if got.body != "lb-1.elb.local:8080 HTTP/1.1" || len(got.TransferEncoding) > 0 || !got.Close {
		t.Errorf("HTTP/1.0: %v %q", got.Response, got.body)
	}
}
