package localaws

import (
	"maps"
	"slices"
	"time"
)

// calls is the account of the calls that were made. It is guarded by Server.monitor.
type calls struct {
	counts map[string]int
	last   []CallRecord // a ring, written at next
	next   int
}

// callsKept is how many calls the log remembers.
const callsKept = 500

// CallRecord is a call as the log keeps it.
type CallRecord struct {
	Time      time.Time     `json:"time"`
	Operation string        `json:"operation"`
	RequestID string        `json:"requestID"`
	Status    int           `json:"status,omitempty"` // of the answer; 0 when there was none
	Code      string        `json:"code,omitempty"`   // of the error
	Took      time.Duration `json:"tookNanoseconds"`
	Client    string        `json:"client,omitempty"` // what the caller says it is
}

// Calls returns how often each operation was called since the start or the last reset, failed calls included.
func (s *Server) Calls() map[string]int {
	s.monitor.Lock()
	defer s.monitor.Unlock()
	return maps.Clone(s.calls.counts)
}

// CallLog returns the calls made last, the newest first.
func (s *Server) CallLog() []CallRecord {
	s.monitor.Lock()
	defer s.monitor.Unlock()
	at := s.calls.next % max(len(s.calls.last), 1)
	out := slices.Concat(s.calls.last[at:], s.calls.last[:at])
	slices.Reverse(out)
	return out
}

// ResetCalls sets all counts to zero and empties the log.
func (s *Server) ResetCalls() {
	s.monitor.Lock()
	defer s.monitor.Unlock()
	s.calls = calls{counts: map[string]int{}}
}

// record notes a call that is over.
func (s *Server) record(q *request) {
	r := CallRecord{
		Time: q.arrived, Operation: q.service.SigningName + ":" + q.operation, RequestID: q.id, Status: q.status, Code: q.code,
		Took: time.Since(q.arrived), Client: q.header.Get("User-Agent"),
	}
	s.monitor.Lock()
	defer s.monitor.Unlock()
	if len(s.calls.last) < callsKept {
		s.calls.last = append(s.calls.last, r)
		return
	}
	s.calls.last[s.calls.next%callsKept] = r
	s.calls.next++
}
