package proxy

import (
	"bufio"
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// stream is one request of HTTP/2: the client's side of it.
type stream struct {
	side
	of   *streams
	w    http.ResponseWriter
	from *http.Request

	began    time.Time    // the connection
	last     bool         // of the connection's requests
	status   int          // of the answer that begins
	in       atomic.Int64 // bytes of the request's body
	out      int64        // bytes of the answer's
	broken   bool         // to be ended by RST_STREAM
	unhook   func() bool
	bodyOver sync.Once // closing the request's body
	answered bool      // guarded by mu: the head is on its way
	done     bool      // guarded by mu: w must not be used any more
}

func newStream(h *streams, w http.ResponseWriter, from *http.Request, front *frontend) *stream {
	s := &stream{of: h, w: w, from: from, began: h.c.opened, last: h.served.Add(1) >= maxRequests}
	s.server, s.voice, s.line, s.alert = h.c.server, s, s, true
	s.br = readers.Get().(*bufio.Reader)
	s.br.Reset(s)
	s.dog.start(s.server.clock, front.idleTimeout, s.expire)
	s.unhook = context.AfterFunc(from.Context(), s.kill)
	return s
}

// end is called when the stream is served.
func (s *stream) end() {
	s.unhook()
	s.dog.end()
	s.mu.Lock()
	s.done = true
	s.mu.Unlock()
	s.br.Reset(nil)
	readers.Put(s.br)
	if s.broken {
		panic(http.ErrAbortHandler)
	}
}

// kill ends what runs for a client that went away.
func (s *stream) kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cutTarget()
}

// Read is for the bufio.Reader on top.
func (s *stream) Read(p []byte) (int, error) {
	n, err := s.from.Body.Read(p)
	s.in.Add(int64(n))
	if n > 0 {
		s.dog.touch()
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF // whatever it is, there will be no more
	}
	return n, err
}

// streamRequest makes a request of a stream's. Fields come by name and in lower case: HTTP/2 has no other, and the order of
// different ones is lost.
func streamRequest(from *http.Request) (*request, error) {
	r := &request{method: from.Method, target: from.RequestURI, version: 20, host: from.Host, body: framing{length: from.ContentLength}}
	r.path, r.query, _ = strings.Cut(r.target, "?")
	r.size = len(r.method) + len(r.target) + len(r.host)
	r.trailers = func() fields { return lowerFields(from.Trailer, nil) }
	if from.Host != "" {
		r.fields = append(r.fields, field{"host", from.Host})
	}
	r.fields = lowerFields(from.Header, r.fields)
	for i := range r.fields {
		size := len(r.fields[i].name) + len(r.fields[i].value)
		if r.size += size; size > maxHeaderLine || r.size > maxRequestHeader {
			return r, refusal(400)
		}
	}
	switch {
	case len(r.target) > maxRequestLine:
		return r, refusal(414)
	case r.method == "CONNECT", !hostLike(r.host), r.target == "":
		return r, refusal(400)
	}
	return r, nil
}

func lowerFields(from http.Header, into fields) fields {
	names := slices.AppendSeq(make([]string, 0, len(from)), maps.Keys(from))
	slices.Sort(names)
	for _, name := range names {
		lower := strings.ToLower(name)
		if lower == "host" {
			continue
		}
		for _, value := range from[name] {
			into = append(into, field{lower, value})
		}
	}
	return into
}

func (s *stream) keeps(_ *request, front *frontend) bool {
	return !s.last && s.server.clock.Now().Sub(s.began) < front.keepAlive
}

func (s *stream) answer(r *request, a *arrival, own answer) bool {
	a.said(own)
	h := s.w.Header()
	clear(h)
	for _, f := range own.fields(make(fields, 0, 8), a, s.server.clock.Now()) {
		h.Add(f.name, f.value)
	}
	s.head(own.status, a.front, r)
	body := own.body
	if r.method == "HEAD" || own.status == 204 || own.status == 304 {
		body = ""
	}
	if s.expired.Load() { // the watchdog has barked already
		_ = s.w.(interface{ SetWriteDeadline(time.Time) error }).SetWriteDeadline(time.Now().Add(lastWords))
	}
	s.commit()
	n, err := io.WriteString(s.w, body)
	s.out += int64(n)
	return err == nil
}

func (s *stream) conclude(r *request, a *arrival, own answer, _ bool) bool {
	return s.answer(r, a, own)
}

// head completes a head that is about to be written.
func (s *stream) head(status int, front *frontend, r *request) {
	h := s.w.Header()
	s.status = status
	if !s.keeps(r, front) {
		h["Connection"] = []string{"close"} // net/http makes a GOAWAY of it
	}
	if h["Content-Type"] == nil {
		h["Content-Type"] = nil // keeps net/http from guessing
	}
}

func (s *stream) interim(resp *response, front *frontend) error {
	h := s.w.Header()
	clear(h)
	addEndToEnd(h, resp.fields, front)
	s.w.WriteHeader(resp.status)
	clear(h)
	return nil
}

func (s *stream) begin(w *bodyWriter, x *exchange, resp *response, _ bool) error {
	w.to, w.chunked = s, false
	h := s.w.Header()
	addEndToEnd(h, resp.fields, x.a.front)
	for _, f := range x.a.cookiesFor(resp) {
		h.Add(f.name, f.value)
	}
	for _, f := range x.a.front.responses {
		h.Set(f.name, f.value)
	}
	if h["Date"] == nil {
		h.Set("Date", s.server.clock.Now().UTC().Format(http.TimeFormat))
	}
	switch {
	case resp.status == 204:
	case resp.body.empty(): // of HEAD and 304, the length is that of another answer
		if length, found := resp.fields.get("Content-Length"); found {
			h.Set("Content-Length", length)
		}
	case !resp.body.streams():
		h.Set("Content-Length", strconv.FormatInt(resp.body.length, 10))
	}
	s.head(resp.status, x.a.front, x.r)
	return nil
}

// addEndToEnd adds the fields of an answer that are meant for the client.
func addEndToEnd(h http.Header, all fields, front *frontend) {
	drop := nominated(all)
	for i := range all {
		if f := &all[i]; endToEnd(f.name, drop, front) {
			h.Add(f.name, f.value)
		}
	}
}

// commit writes the head, once.
func (s *stream) commit() {
	s.mu.Lock()
	first := !s.answered
	s.answered = true
	s.mu.Unlock()
	if first {
		s.w.WriteHeader(s.status)
	}
}

// Write sends a piece of the answer that is not its last.
func (s *stream) Write(p []byte) (int, error) {
	s.commit()
	n, err := s.w.Write(p)
	s.out += int64(n)
	if err == nil {
		err = s.w.(interface{ FlushError() error }).FlushError()
	}
	if err == nil {
		s.dog.touch()
	}
	return n, err
}

// finish sends the last piece of the answer and what follows it; they go out when the handler returns.
func (s *stream) finish(last []byte, trailers fields) error {
	s.commit()
	if len(last) > 0 {
		n, err := s.w.Write(last)
		s.out += int64(n)
		if err != nil {
			return err
		}
	}
	h := s.w.Header()
	for _, f := range trailers {
		if !notInTrailer(f.name) {
			h.Add(http.TrailerPrefix+f.name, f.value)
		}
	}
	return nil
}

// hush ends the request's body: nobody reads it after that.
func (s *stream) hush(on bool) {
	if on {
		s.bodyOver.Do(func() { _ = s.from.Body.Close() }) // never fails
	}
}

// wake also ends an answer that has begun; its reader does not take it.
func (s *stream) wake() {
	if s.done {
		return
	}
	s.hush(true)
	if s.answered {
		_ = s.w.(interface{ SetWriteDeadline(time.Time) error }).SetWriteDeadline(past) // ends the stream
	}
}

func (s *stream) linger() {}

func (s *stream) reset() { s.broken = true }
