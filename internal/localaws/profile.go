package localaws

import (
	"encoding/json"
	"fmt"
	"maps"
	"time"
)

// Profile says how true to AWS's tempo and refusals a local AWS is. Each part is switchable by itself; the zero value is
// the profile fast, where everything happens at once and nothing is refused for being asked too often.
type Profile struct {
	Name   ProfileName
	Factor float64 // what the times of the profile were multiplied by; 0 means 1

	Provisioning   time.Duration // how long a new load balancer is provisioning; it opens no listener before
	RuleChanges    time.Duration // a change of a listener's actions or rules is in force at some moment within it
	Registration   time.Duration // how long a Network Load Balancer takes to let a new target in
	Deregistration time.Duration // how long it still opens connections to a target that was taken out
	ZoneChanges    time.Duration // how long a change of a hosted zone is PENDING; its records answer at once

	Throttling    bool                 // API calls take tokens from AWS's buckets, and are refused without
	Buckets       map[string]RateLimit // limits of buckets that are to differ from AWS's, by the names in RateLimits
	StrictTargets bool                 // refuse ip targets that AWS refuses: loopback, public, outside the VPC without a zone
}

// ProfileName is the name of a set of parts.
type ProfileName string

// The profiles: everything at once, or as AWS does it.
const (
	Fast     ProfileName = "fast"
	Faithful ProfileName = "faithful"
)

// NewProfile returns a profile with all its parts, its times multiplied by a factor.
//
// AWS promises none of these times. A load balancer is active after one to three minutes; rules take effect "within
// seconds"; registration with a Network Load Balancer is seen to take 90 seconds and more; Route 53 says "generally
// within 60 seconds".
func NewProfile(name ProfileName, factor float64) (Profile, error) {
	if factor < 0 || factor > 1000 {
		return Profile{}, fmt.Errorf("localaws: the factor %g is not between 0 and 1000", factor)
	}
	switch name {
	case "", Fast:
		return Profile{Name: Fast, Factor: factor}, nil
	case Faithful:
		scaled := func(d time.Duration) time.Duration { return time.Duration(float64(d) * factor) }
		return Profile{
			Name: Faithful, Factor: factor, Throttling: true, StrictTargets: true,
			Provisioning: scaled(2 * time.Minute), RuleChanges: scaled(10 * time.Second),
			Registration: scaled(90 * time.Second), Deregistration: scaled(30 * time.Second), ZoneChanges: scaled(time.Minute),
		}, nil
	}
	return Profile{}, fmt.Errorf("localaws: there is no profile %q; there are %s and %s", name, Fast, Faithful)
}

// Validate refuses times and limits that make no sense.
func (p Profile) Validate() error {
	for name, d := range p.times() {
		if *d < 0 || *d > 24*time.Hour {
			return fmt.Errorf("localaws: %s: %s is not between 0s and 24h", name, *d)
		}
	}
	for name, l := range p.Buckets {
		if l.Rate < 0 || l.Burst < 0 {
			return fmt.Errorf("localaws: buckets: %s: rate and burst must not be negative", name)
		}
	}
	return nil
}

// times are the parts that are times, by their names in JSON.
func (p *Profile) times() map[string]*time.Duration {
	return map[string]*time.Duration{
		"provisioning": &p.Provisioning, "ruleChanges": &p.RuleChanges, "registration": &p.Registration,
		"deregistration": &p.Deregistration, "zoneChanges": &p.ZoneChanges,
	}
}

// profileForm is a profile in JSON. What is absent is as the named profile has it.
type profileForm struct {
	Profile        ProfileName          `json:"profile"`
	Factor         *float64             `json:"factor"`
	Provisioning   *string              `json:"provisioning"`
	RuleChanges    *string              `json:"ruleChanges"`
	Registration   *string              `json:"registration"`
	Deregistration *string              `json:"deregistration"`
	ZoneChanges    *string              `json:"zoneChanges"`
	Throttling     *bool                `json:"throttling"`
	Buckets        map[string]RateLimit `json:"buckets"`
	StrictTargets  *bool                `json:"strictTargets"`
}

func (f *profileForm) times() map[string]**string {
	return map[string]**string{
		"provisioning": &f.Provisioning, "ruleChanges": &f.RuleChanges, "registration": &f.Registration,
		"deregistration": &f.Deregistration, "zoneChanges": &f.ZoneChanges,
	}
}

// MarshalJSON writes all parts.
func (p Profile) MarshalJSON() ([]byte, error) {
	f := profileForm{
		Profile: p.Name, Factor: &p.Factor, Throttling: &p.Throttling, StrictTargets: &p.StrictTargets, Buckets: RateLimits(),
	}
	for name, to := range f.times() {
		*to = ptr(p.times()[name].String())
	}
	maps.Copy(f.Buckets, p.Buckets)
	return json.Marshal(f)
}

func (p Profile) factor() float64 {
	if p.Factor == 0 && p.Name != Faithful {
		return 1
	}
	return p.Factor
}

// UnmarshalJSON reads a profile by name and the parts that are to differ from it.
func (p *Profile) UnmarshalJSON(data []byte) error {
	var f profileForm
	if err := strictJSON(data, &f); err != nil {
		return err
	}
	factor := 1.0
	if f.Factor != nil {
		factor = *f.Factor
	}
	out, err := NewProfile(f.Profile, factor)
	if err != nil {
		return err
	}
	times := out.times()
	for name, text := range f.times() {
		if *text == nil {
			continue
		}
		if *times[name], err = time.ParseDuration(**text); err != nil {
			return fmt.Errorf("localaws: %s: %q is no duration such as 90s or 2m", name, **text)
		}
	}
	if f.Throttling != nil {
		out.Throttling = *f.Throttling
	}
	if f.StrictTargets != nil {
		out.StrictTargets = *f.StrictTargets
	}
	out.Buckets = changedLimits(f.Buckets)
	if err := out.Validate(); err != nil {
		return err
	}
	*p = out
	return nil
}

// Profile is the profile that is in force.
func (s *Server) Profile() Profile { return *s.profile.Load() }

// SetProfile puts a profile in force. What is under way keeps its time: a load balancer that is provisioning stays so as
// long as it was to, but a change of rules or targets that waits happens now where nothing is to wait any more.
func (s *Server) SetProfile(p Profile) error {
	if err := s.adopt(p); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.applyPlane()
}

// adopt checks a profile and makes it the one in force, for what happens from now on.
func (s *Server) adopt(p Profile) error {
	if err := p.Validate(); err != nil {
		return err
	}
	for name := range p.Buckets {
		if err := s.registry.checkBucket(name); err != nil {
			return err
		}
	}
	if p.Name == "" {
		p.Name = Fast
	}
	p.Factor = p.factor()
	s.profile.Store(&p)
	s.throttle.set(p)
	return nil
}
