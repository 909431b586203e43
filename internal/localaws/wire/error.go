package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
)

// Error is an answer that is not success, as AWS words it.
type Error struct {
	Code    string
	Message string
	Status  int // when zero, what the service's model has for the code, 400 as a rule
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Status is the HTTP status that the service answers an error with.
func (s *Service) Status(e *Error) int {
	return orElse(orElse(e.Status, s.statuses[e.Code]), http.StatusBadRequest)
}

// Errorf makes an error that is answered with the status of its code.
func Errorf(code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// malformed is the answer to bytes that do not decode.
func (s *Service) malformed(format string, args ...any) *Error {
	switch s.Protocol {
	case EC2:
		return Errorf("InvalidParameterValue", format, args...)
	case JSON:
		return Errorf("SerializationException", format, args...)
	case RestXML:
		return Errorf("InvalidInput", format, args...)
	}
	return Errorf("ValidationError", format, args...)
}

// ContentType is that of the service's answers.
func (s *Service) ContentType() string {
	switch s.Protocol {
	case JSON:
		return "application/x-amz-json-" + s.JSONVersion
	case RestXML:
		return "text/xml"
	}
	return "text/xml;charset=UTF-8"
}

// UnknownOperation is the service's answer to an operation that it does not have.
func (s *Service) UnknownOperation(name string) *Error {
	if s.Protocol == JSON {
		return Errorf("UnknownOperationException", "The operation %s is not known", name)
	}
	if s.Protocol == RestXML {
		return &Error{Code: "UnknownOperationException", Message: "The operation " + name + " is not known", Status: http.StatusNotFound}
	}
	return Errorf("InvalidAction", "The action %s is not valid for this web service.", name)
}

// EncodeError writes an error in the service's shape.
func (s *Service) EncodeError(e *Error, requestID string) []byte {
	if s.Protocol == JSON {
		return jsonError(e)
	}
	kind := "Sender"
	if s.Status(e) >= http.StatusInternalServerError {
		kind = "Receiver"
	}
	var b bytes.Buffer
	x := xmlWriter{&b}
	if s.Protocol == EC2 {
		b.WriteString(xmlHeader + "<Response><Errors><Error>")
		x.text("Code", e.Code)
		x.text("Message", e.Message)
		b.WriteString("</Error></Errors>")
		x.text("RequestID", requestID)
		b.WriteString("</Response>")
		return b.Bytes()
	}
	b.WriteString(`<ErrorResponse xmlns="` + s.XMLNamespace + `"><Error>`)
	x.text("Type", kind)
	x.text("Code", e.Code)
	x.text("Message", e.Message)
	b.WriteString("</Error>")
	x.text("RequestId", requestID)
	b.WriteString("</ErrorResponse>")
	return b.Bytes()
}

func jsonError(e *Error) []byte {
	body, err := json.Marshal(struct {
		Type    string `json:"__type"`
		Message string `json:"message"`
	}{e.Code, e.Message})
	if err != nil {
		panic(err) // two strings always encode
	}
	return body
}
