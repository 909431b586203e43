package proxy

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// speaker returns what speaks HTTP/2 to a target: with prior knowledge where there is no TLS. It opens connections as it
// needs them and keeps them for a while.
func (t *target) speaker() *http.Transport {
	return newSpeaker(t.tls, func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		stop := t.server.clock.AfterFunc(connectTimeout, func() { cancel(context.DeadlineExceeded) })
		defer stop()
		defer context.AfterFunc(t.server.context, func() { cancel(errOver) })()
		conn, err := t.server.dial(ctx, network, address)
		if err != nil {
			return nil, errors.Join(err, context.Cause(ctx))
		}
		return conn, nil
	})
}

func newSpeaker(secure bool, dial dialFunc) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP2(secure)
	protocols.SetUnencryptedHTTP2(!secure)
	return &http.Transport{
		Protocols: protocols, DialContext: dial, DisableCompression: true, MaxResponseHeaderBytes: maxResponseHeader,
		TLSHandshakeTimeout: connectTimeout, IdleConnTimeout: time.Minute,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}, //nolint:gosec // targets are not validated, see handshake
	}
}

// serves says whether targets of a group can take a request (ELB "Target groups for your Application Load Balancers",
// Protocol version).
func (v ProtocolVersion) serves(r *request) bool {
	switch v {
	case HTTP2:
		return r.version == 20
	case GRPC:
		return r.version == 20 && r.method == "POST"
	}
	return !r.isGRPC()
}

// relay sends a stream to a target of HTTP/2 and its answer back. Both directions flow at the same time.
func (s *stream) relay(r *request, a *arrival, t *target) bool {
	ctx, cancel := context.WithCancel(s.from.Context())
	defer cancel()
	defer context.AfterFunc(t.ended, func() {
		cancel()
		s.hush(true) // net/http does not see that the context is done while it reads a request's body
	})()
	s.dials(cancel)
	defer s.dials(nil)
	if s.isKilled() || s.expired.Load() {
		cancel()
	}
	out := s.onward(ctx, r, a, t)
	a.dispatched = s.server.clock.Now()
	resp, err := t.streams.RoundTrip(out)
	defer t.settle()
	if err != nil {
		if s.isKilled() {
			a.status = 460
			return false
		}
		t.blame("no answer from a target", err)
		return s.conclude(r, a, page(connectStatus(&s.side, err)), true)
	}
	a.answered, a.status, a.targetStatus = s.server.clock.Now(), resp.StatusCode, resp.StatusCode
	defer func() { _ = resp.Body.Close() }()
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	from := readers.Get().(*bufio.Reader)
	from.Reset(touching{resp.Body, &s.dog})
	defer func() { from.Reset(nil); readers.Put(from) }()
	body := framing{length: resp.ContentLength}
	if r.method == "HEAD" || resp.StatusCode == http.StatusNoContent || resp.StatusCode == http.StatusNotModified {
		body = framing{}
	}
	head := &response{status: resp.StatusCode, fields: lowerFields(resp.Header, nil), body: body}
	w := bodyWriter{buf: *buf, trailers: func() fields {
		_, _ = from.Peek(1) // trailers are there when the end is, which a body of known length does not wait for
		return lowerFields(resp.Trailer, nil)
	}}
	_ = s.begin(&w, &exchange{c: &s.side, r: r, a: a, t: t}, head, true) // never fails
	hold := body.length > 0 && body.length <= maxHeld
	if body.streams() { // the client may wait for the head before it says more
		w.began = true
		if _, err := s.Write(nil); err != nil {
			return false
		}
	}
	err = copyBody(&w, from, body, hold, func() {})
	var source sourceError
	switch {
	case err == nil:
		return true
	case errors.As(err, &source) && !w.began && !s.isKilled():
		t.blame("no whole answer from a target", err)
		return s.conclude(r, a, page(connectStatus(&s.side, err)), true)
	}
	s.reset()
	return false
}

// settle closes connections that nobody needs any more.
func (t *target) settle() {
	t.mu.Lock()
	unpooled := t.unpooled
	t.mu.Unlock()
	if unpooled {
		t.streams.CloseIdleConnections()
	}
}

// onward is the request as the target gets it: with the fields that it would have in HTTP/1.1.
func (s *stream) onward(ctx context.Context, r *request, a *arrival, t *target) *http.Request {
	out := &http.Request{
		Method: r.method, URL: &url.URL{Scheme: "http", Host: t.address.String()}, Header: http.Header{}, Trailer: s.from.Trailer,
		ContentLength: s.from.ContentLength,
	}
	if t.tls {
		out.URL.Scheme = "https"
	}
	head := string(r.appendHead(nil, a))
	for i, line := range strings.Split(strings.TrimSuffix(head, "\r\n\r\n"), "\r\n") {
		name, value, _ := strings.Cut(line, ": ")
		switch {
		case i == 0:
		case name == "Host":
			out.Host = value
		case !hopByHop(name):
			out.Header.Add(name, value)
		}
	}
	if _, found := out.Header["User-Agent"]; !found {
		out.Header["User-Agent"] = nil // keeps net/http from adding its own
	}
	if r.isGRPC() {
		out.Header.Set("Te", "trailers") // the protocol wants it on every hop
	}
	path, query, found := strings.Cut(r.origin(), "?")
	if strings.HasPrefix(path, "//") {
		path = "//" + out.Host + path // else it would be read as a host
	}
	out.URL.Opaque, out.URL.RawQuery, out.URL.ForceQuery = path, query, found && query == ""
	if out.ContentLength != 0 {
		out.Body = streamBody{s}
	}
	return out.WithContext(ctx)
}

// streamBody is what a client sends on a stream. Close wakes who reads it.
type streamBody struct{ s *stream }

func (b streamBody) Read(p []byte) (int, error) { return b.s.Read(p) }
func (b streamBody) Close() error               { b.s.hush(true); return nil }

// touching keeps a watchdog quiet while something is read.
type touching struct {
	io.Reader
	dog *watchdog
}

func (t touching) Read(p []byte) (int, error) {
	n, err := t.Reader.Read(p)
	if n > 0 {
		t.dog.touch()
	}
	return n, err
}

// check sends one health check over HTTP/2 and returns what is to be matched: the status, or that of gRPC.
func (p *probe) check(ctx context.Context) (status int, err error) {
	speaker := newSpeaker(p.Protocol == "HTTPS", p.dial)
	defer speaker.CloseIdleConnections()
	method, scheme, path := http.MethodGet, "http://", orElse(p.Path, "/")
	var body io.Reader
	if p.version == GRPC {
		method, path = http.MethodPost, orElse(p.Path, "/AWS.ALB/healthcheck")
		body = bytes.NewReader(make([]byte, 5)) // an empty message
	}
	if p.Protocol == "HTTPS" {
		scheme = "https://"
	}
	req, err := http.NewRequestWithContext(ctx, method, scheme+p.address.String()+path, body)
	if err != nil {
		return 0, err
	}
	req.Header.Set("User-Agent", "ELB-HealthChecker/2.0")
	if p.version == GRPC {
		req.Header.Set("Content-Type", "application/grpc")
		req.Header.Set("Te", "trailers")
	}
	resp, err := speaker.RoundTrip(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	if p.version != GRPC {
		return resp.StatusCode, nil
	}
	if _, err := io.Copy(io.Discard, io.LimitReader(resp.Body, maxUnread)); err != nil {
		return 0, err
	}
	return strconv.Atoi(resp.Trailer.Get("Grpc-Status") + resp.Header.Get("Grpc-Status"))
}
