package proxy

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http/httputil"
	"strconv"
	"strings"
)

// bodyWriter collects a head and a body in one buffer, so that small messages go out in one piece.
type bodyWriter struct {
	to      io.Writer
	buf     []byte
	used    int
	chunked bool
	began   bool // something went out
	// trailers, when set, are what follows the body, asked for at its end.
	trailers func() fields
}

// finisher is a place to write to that wants to know which piece is the last, and what follows it.
type finisher interface {
	finish(last []byte, trailers fields) error
}

const (
	chunkHead = 6 // the longest chunk size line: four hexadecimal digits, as buffers are small, and CRLF
	chunkTail = 2
	minRoom   = 1 << 10
)

// head begins with a message head that was appended to the writer's empty buffer.
func (w *bodyWriter) head(b []byte) error {
	if len(b) <= len(w.buf) {
		w.used = len(b)
		return nil
	}
	w.began = true
	_, err := w.to.Write(b)
	return err
}

// room returns where to read the next piece to; add then takes its length.
func (w *bodyWriter) room() ([]byte, error) {
	if len(w.buf)-w.used < minRoom {
		if err := w.flush(); err != nil {
			return nil, err
		}
	}
	if w.chunked {
		return w.buf[w.used+chunkHead : len(w.buf)-chunkTail], nil
	}
	return w.buf[w.used:], nil
}

func (w *bodyWriter) add(n int) {
	if !w.chunked {
		w.used += n
		return
	}
	data := w.buf[w.used+chunkHead : w.used+chunkHead+n]
	b := strconv.AppendUint(w.buf[w.used:w.used], uint64(n), 16) // at most chunkHead long, so it ends before data
	b = append(b, '\r', '\n')
	b = append(b, data...) // moves it down by what the size line was shorter
	b = append(b, '\r', '\n')
	w.used += len(b)
}

// end writes what follows a chunked body.
func (w *bodyWriter) end(trailers fields) error {
	if w.trailers != nil {
		trailers = w.trailers()
	}
	if to, ok := w.to.(finisher); ok {
		w.began = true
		return to.finish(w.buf[:w.used], trailers)
	}
	if !w.chunked {
		return w.flush()
	}
	b := w.buf[:w.used]
	b = append(b, "0\r\n"...)
	for _, f := range trailers {
		if !notInTrailer(f.name) {
			b = appendField(b, f.name, f.value)
		}
	}
	b = append(b, "\r\n"...)
	w.used = 0
	w.began = true
	_, err := w.to.Write(b)
	return err
}

func (w *bodyWriter) flush() error {
	if w.used == 0 {
		return nil
	}
	w.began = true
	_, err := w.to.Write(w.buf[:w.used])
	w.used = 0
	return err
}

// notInTrailer says whether a field would change a message's borders, routing or origin if it came after the body
// (RFC 9110 section 6.5.1), and so is left out there.
func notInTrailer(name string) bool {
	if hopByHop(name) {
		return true
	}
	for _, n := range []string{
		"Host", "Trailer", "Authorization", "Cookie", "Set-Cookie", "Content-Encoding", "Content-Type", "Content-Range",
		"Cache-Control", "Expect", "Location",
	} {
		if strings.EqualFold(n, name) {
			return true
		}
	}
	prefixed := func(prefix string) bool { _, ok := cutPrefixFold(name, prefix); return ok }
	return prefixed("X-Forwarded-") || prefixed("X-Amzn-")
}

// sourceError is trouble on the side a body is read from.
type sourceError struct{ error }

func (e sourceError) Unwrap() error { return e.error }

// gone says whether the trouble is with the connection and not with what came over it.
func (e sourceError) gone() bool {
	return errors.Is(e.error, io.ErrUnexpectedEOF) || errors.Is(e.error, io.EOF) || isNetwork(e.error)
}

// copyBody moves a body from one side to the other as it comes. With hold, nothing is written before the end unless the
// buffer is full. last is called when everything is read and not yet all written.
func copyBody(w *bodyWriter, from *bufio.Reader, body framing, hold bool, last func()) error {
	var source io.Reader = from
	if body.chunked {
		source = httputil.NewChunkedReader(from)
	}
	left := body.length
	for body.chunked || left != 0 {
		if !hold && mayBlock(from, body.chunked) {
			if err := w.flush(); err != nil {
				return err
			}
		}
		room, err := w.room()
		if err != nil {
			return err
		}
		if left > 0 && int64(len(room)) > left {
			room = room[:left]
		}
		n, err := source.Read(room)
		if n > 0 {
			w.add(n)
			if left > 0 {
				left -= int64(n)
			}
		}
		if errors.Is(err, io.EOF) && left > 0 {
			err = io.ErrUnexpectedEOF
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return errors.Join(sourceError{err}, w.giveUp(hold))
		}
	}
	var trailers fields
	if body.chunked {
		h := headReader{from: from, total: maxHeaderLine}
		var err error
		if trailers, err = h.fields(nil, plainField); err != nil {
			return errors.Join(sourceError{err}, w.giveUp(hold))
		}
	}
	last()
	return w.end(trailers)
}

// mayBlock says whether the next read of a body may wait for the sender; what is collected must go out before. Between
// two chunks a read needs the end of one, the size line of the next and a byte more; within a chunk it needs any byte,
// and then the answer may be wrong on the safe side.
func mayBlock(from *bufio.Reader, chunked bool) bool {
	n := from.Buffered()
	if n == 0 || !chunked {
		return n == 0
	}
	b, err := from.Peek(n)
	if err != nil {
		return true
	}
	b = bytes.TrimPrefix(b, []byte("\r\n"))
	line := bytes.IndexByte(b, '\n')
	return line < 0 || line+1 == len(b)
}

// giveUp sends what came before the source failed, unless nothing was to be sent before the end.
func (w *bodyWriter) giveUp(hold bool) error {
	if hold && !w.began {
		return nil
	}
	return w.flush()
}
