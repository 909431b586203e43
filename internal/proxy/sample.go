package proxy

import "net/netip"

// Sample is a request to try conditions on, without sending it.
type Sample struct {
	Method  string
	Host    string
	Path    string // without the query
	Query   string // without the question mark
	Headers []SampleHeader
	Source  netip.Addr
}

// SampleHeader is one header line of a Sample.
type SampleHeader struct{ Name, Value string }

// Meets says whether a sample meets the condition, as the data plane would find. The error tells what is wrong with
// the condition.
func (c Condition) Meets(s Sample) (bool, error) {
	m, err := compileCondition(c)
	if err != nil {
		return false, err
	}
	r := request{method: s.Method, host: s.Host, path: s.Path, query: s.Query}
	for _, h := range s.Headers {
		r.fields = append(r.fields, field{h.Name, h.Value})
	}
	return m.match(&r, s.Source), nil
}
