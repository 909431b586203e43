package localaws

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/sluicehq/sluice/internal/localaws/wire"
)

// request is an HTTP request understood as far as which operation it asks for.
type request struct {
	header    http.Header
	host      string
	body      []byte
	form      url.Values
	labels    map[string]string // of a REST request's path
	id        string
	arrived   time.Time // when its body had been read
	service   *service
	operation string
	cbor      bool // a JSON service asked, and to be answered, in CBOR
	malformed error

	status int    // of the answer; 0 when there is none
	code   string // of the error
}

func (q *request) parse(r *http.Request) error {
	q.form = r.URL.Query()
	if q.header.Get("X-Amz-Target") != "" || len(q.body) == 0 {
		return nil
	}
	posted, err := url.ParseQuery(string(q.body))
	for key, values := range posted {
		q.form[key] = values
	}
	return err
}

// find picks the service of a request whose path does not tell: the JSON target, then whom the request is signed for, then the API version.
func (q *request) find(r *registry) {
	if target := q.header.Get("X-Amz-Target"); target != "" {
		q.service, q.operation = r.byTarget(target)
		return
	}
	q.operation = q.form.Get("Action")
	scope := credentialScope(firstOf(q.header.Get("Authorization"), "Credential="+q.form.Get("X-Amz-Credential")))
	if q.service = r.services[scope]; q.service == nil {
		q.service = r.byVersion(q.form.Get("Version"))
	}
}

// credentialScope takes the service out of `Credential=AKID/date/region/SERVICE/aws4_request`.
func credentialScope(authorization string) string {
	_, rest, _ := strings.Cut(authorization, "Credential=")
	rest, _, _ = strings.Cut(rest, ",")
	parts := strings.Split(strings.TrimSpace(rest), "/")
	if len(parts) < 4 || parts[len(parts)-1] != "aws4_request" {
		return ""
	}
	return parts[len(parts)-2]
}

func decode(op *operation, req *request) (any, error) {
	switch req.service.Protocol {
	case wire.JSON:
		if req.cbor {
			return op.DecodeCBOR(req.body)
		}
		return op.DecodeJSON(req.body)
	case wire.RestXML:
		return op.DecodeREST(wire.Parts{Labels: req.labels, Query: req.form, Header: req.header, Body: req.body})
	}
	return op.DecodeForm(req.form)
}

// answerFloor is how long an answer to a request with a body takes at least. A server on the same machine that answers
// faster can overtake Go SDK clients: net/http sends a body of known length and only then looks whether it ends there;
// the SDK (seen with smithy-go v1.28.8, about one long answer in a thousand) closes the body as soon as the head of the
// answer is there; net/http takes that for a failed request and drops the connection under the rest of the answer, which
// the caller sees as "use of closed network connection". AWS itself is never as near as that.
const answerFloor = 500 * time.Microsecond

func (s *Server) answer(w http.ResponseWriter, sv *service, req *request, op *operation, out any, err error) {
	var body []byte
	kind := sv.ContentType()
	if req.cbor {
		kind = wire.CBORType
		w.Header().Set("Smithy-Protocol", "rpc-v2-cbor")
	}
	switch e := s.answerable(err); {
	case e != nil:
		req.status, req.code = sv.Status(e), e.Code
		if body = sv.EncodeError(e, req.id); req.cbor {
			body = wire.EncodeErrorCBOR(e)
		}
	case req.cbor:
		req.status, body = op.Status(), op.EncodeCBOR(out)
	default:
		req.status, body = op.Status(), op.Encode(out, req.id)
		maps.Copy(w.Header(), op.Headers(out))
	}
	if len(req.body) > 0 {
		time.Sleep(answerFloor - time.Since(req.arrived)) // nothing when it is over
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("X-Amzn-Requestid", req.id)
	w.WriteHeader(req.status)
	_, _ = w.Write(body) // the client is gone; there is nobody to tell
}

// answerable is the error that AWS would answer, nil for success.
func (s *Server) answerable(err error) *wire.Error {
	var e *wire.Error
	if err != nil && !errors.As(err, &e) {
		s.log.Error("a call failed for a reason that AWS does not have", "error", err)
		e = &wire.Error{Code: "InternalFailure", Message: err.Error(), Status: http.StatusInternalServerError}
	}
	return e
}

// requestID is a UUID.
func requestID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	h := hex.EncodeToString(b[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}
