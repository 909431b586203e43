package localaws

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/sluicehq/sluice/internal/localaws/wire"
)

// Effect is what a fault does.
type Effect string

// The effects.
const (
	EffectError    Effect = "error"    // the call fails with a code
	EffectThrottle Effect = "throttle" // the call fails as if it were asked too often, in its service's own words
	EffectDrop     Effect = "drop"     // the connection is cut: no answer
	EffectHang     Effect = "hang"     // no answer for a while, then the connection is cut
	EffectStale    Effect = "stale"    // reads answer the state of a while ago
	EffectDark     Effect = "dark"     // nothing in a zone can be reached
)

// NamedFault is a fault that stays until it is removed or used up. Putting the same one again starts it anew.
type NamedFault struct {
	Name   string `json:"name"`
	Effect Effect `json:"effect"`

	Operation string `json:"operation,omitempty"` // SIGNING-NAME:OPERATION, * for any characters; not for dark
	Nth       int    `json:"nth,omitempty"`       // the first call that is struck, counted from 1
	Times     *int   `json:"times,omitempty"`     // how many are struck from there; 0 for all
	After     bool   `json:"after,omitempty"`     // error, drop, hang: the call takes effect first

	Code    string `json:"code,omitempty"` // error: what the answer says
	Message string `json:"message,omitempty"`
	Status  int    `json:"status,omitempty"`

	For  string `json:"for,omitempty"`  // hang: how long; stale: how old the answers are
	Zone string `json:"zone,omitempty"` // dark: a zone's name

	Seen   int `json:"seen"`   // calls that it was for
	Struck int `json:"struck"` // calls that it struck

	length time.Duration
	past   *past
}

// faults are the faults by name. They are guarded by Server.monitor.
type faults map[string]*NamedFault

var faultName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// complete checks a fault and fills in what it leaves open.
func (f *NamedFault) complete(zones []string) error {
	if !faultName.MatchString(f.Name) {
		return fmt.Errorf("name: %q must be 1 to 64 letters, digits, dots, dashes and underscores", f.Name)
	}
	f.Seen, f.Struck = 0, 0
	if f.Effect == EffectDark {
		return f.completeDark(zones)
	}
	if f.Operation == "" || !strings.ContainsAny(f.Operation, ":*") {
		return fmt.Errorf("operation: %q must look like elasticloadbalancing:CreateRule, with * for any characters", f.Operation)
	}
	if f.Zone != "" {
		return errors.New(`zone: is for the effect "dark" only`)
	}
	if f.Nth == 0 {
		f.Nth = 1
	}
	if f.Times == nil {
		f.Times = ptr(1)
	}
	if f.Nth < 0 || *f.Times < 0 {
		return errors.New("nth and times must not be negative")
	}
	switch f.Effect {
	case EffectError:
		return f.completeError()
	case EffectThrottle, EffectDrop:
		return f.takesNoTime()
	case EffectHang:
		return f.takesTime("30s")
	case EffectStale:
		f.Times = ptr(0)
		return f.takesTime("10s")
	}
	return fmt.Errorf("effect: %q is none of error, throttle, drop, hang, stale, dark", f.Effect)
}

func (f *NamedFault) completeDark(zones []string) error {
	if !slices.Contains(zones, f.Zone) {
		return fmt.Errorf("zone: %q is none of %s", f.Zone, strings.Join(zones, ", "))
	}
	if f.Operation != "" || f.Nth != 0 || f.Times != nil || f.For != "" {
		return errors.New(`the effect "dark" has a zone and nothing else`)
	}
	return nil
}

func (f *NamedFault) completeError() error {
	if f.Code == "" {
		return errors.New(`code: the effect "error" needs one, such as ServiceUnavailable`)
	}
	if f.Status == 0 {
		f.Status = http.StatusBadRequest
	}
	if f.Status < 400 || f.Status > 599 {
		return fmt.Errorf("status: %d is no status of an error", f.Status)
	}
	if f.Message == "" {
		f.Message = "a fault of local AWS: " + f.Name
	}
	return f.takesNoTime()
}

func (f *NamedFault) takesNoTime() error {
	if f.For != "" {
		return errors.New(`for: is for the effects "hang" and "stale" only`)
	}
	return nil
}

func (f *NamedFault) takesTime(fallback string) (err error) {
	if f.For == "" {
		f.For = fallback
	}
	f.length, err = time.ParseDuration(f.For)
	if err != nil || f.length <= 0 || f.length > time.Hour {
		return fmt.Errorf("for: %q is no duration between 0s and 1h, such as 30s", f.For)
	}
	return nil
}

// strike finds what goes wrong with a call. Every fault that is for it counts it; the first by name strikes.
func (fs faults) strike(c Call) *Fault {
	var out *Fault
	for _, name := range slices.Sorted(maps.Keys(fs)) {
		f := fs[name]
		if f.Effect == EffectDark || f.Effect == EffectStale || !wildcard(f.Operation, c.Operation) {
			continue
		}
		f.Seen++
		if out != nil || f.Seen < f.Nth || *f.Times > 0 && f.Seen >= f.Nth+*f.Times {
			continue
		}
		f.Struck++
		out = &Fault{After: f.After}
		switch f.Effect {
		case EffectError:
			out.Error = &wire.Error{Code: f.Code, Message: f.Message, Status: f.Status}
		case EffectThrottle:
			out.Error = Throttled(c.Operation)
		case EffectHang:
			out.Hang = f.length
		}
	}
	return out
}

// PutFault adds a fault, or replaces the one of its name.
func (s *Server) PutFault(f NamedFault) (NamedFault, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := f.complete(s.begin().zones()); err != nil {
		return f, fmt.Errorf("localaws: fault: %w", err)
	}
	if f.Effect == EffectStale {
		f.past = newPast(s.state)
	}
	s.monitor.Lock()
	s.faults[f.Name] = &f
	s.monitor.Unlock()
	return f, s.applyPlane()
}

// RemoveFault removes a fault; one that is not there is removed already. Without a name it removes all.
func (s *Server) RemoveFault(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.monitor.Lock()
	if name == "" {
		clear(s.faults)
	}
	delete(s.faults, name)
	s.monitor.Unlock()
	return s.applyPlane()
}

// Faults lists the faults by name.
func (s *Server) Faults() []NamedFault {
	s.monitor.Lock()
	defer s.monitor.Unlock()
	out := []NamedFault{}
	for _, name := range slices.Sorted(maps.Keys(s.faults)) {
		out = append(out, *s.faults[name])
	}
	return out
}

// strictJSON reads one JSON value and complains of members that do not exist.
func strictJSON(data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is more than one JSON value")
	}
	return nil
}
