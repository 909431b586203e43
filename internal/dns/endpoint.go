package dns

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/sluicehq/sluice/internal/lb"
)

// Endpoint is what one object asks of one name: that it points at some targets. It says nothing yet of zones, of
// aliases, or of how a zone writes it.
type Endpoint struct {
	Name     Name
	Type     Type     // of the targets: A, AAAA, CNAME for host names; an object can also ask for any other type
	Targets  []string // sorted
	SetID    string
	TTL      int64 // seconds; 0 where the object does not say
	Settings Settings
	From     lb.Object
	// Managed says that the targets are a load balancer that this program makes: they count only while it is known to be
	// there, and only once it is active.
	Managed bool
	// Held says that a setting of the object cannot be read: what the name has stays as it is.
	Held bool
	// Optional says that nobody is told where the type is not served.
	Optional bool

	also []lb.Object // others whose addresses are among the targets
}

// Resource is the object as ownership markers name it: ingress/default/web.
func (e Endpoint) Resource() string {
	kind := strings.ToLower(e.From.Kind)
	if e.From.Kind == "DNSEndpoint" {
		kind = "crd"
	}
	return kind + "/" + e.From.Namespace + "/" + e.From.Name
}

// Settings are what an object says about a record beside its targets.
type Settings struct {
	Alias          AliasWish
	EvaluateHealth *bool  // the program's default when nil
	TargetZone     ZoneID // of an alias's target, where the object says it
	Zone           ZoneID // the only zone to write to, where the object says it
	Routing        Routing
	HealthCheck    string
}

// AliasWish says whether an object asks for an alias.
type AliasWish string

// The wishes. By default a host name of AWS becomes an alias, and any other does not.
const (
	AliasByTarget AliasWish = ""
	AliasAlways   AliasWish = "true"
	AliasNever    AliasWish = "false"
	AliasA        AliasWish = "A"
	AliasAAAA     AliasWish = "AAAA"
)

// Property is a setting by the name that ExternalDNS has for it: alias, aws/weight, aws/region ….
type Property struct{ Name, Value string }

// ReadSettings turns properties into settings. What is wrong is returned as clauses by the property's name; settings
// that come with any are not to be used.
func ReadSettings(setID string, properties []Property) (Settings, []Property) {
	p := propertyReader{values: map[string]string{}}
	for _, property := range properties {
		p.values[property.Name] = property.Value
		if !slices.Contains(knownProperties, property.Name) {
			p.problem(property.Name, "there is no such setting")
		}
	}
	var s Settings
	switch wish := AliasWish(p.values["alias"]); wish {
	case AliasByTarget, AliasAlways, AliasNever, AliasA, AliasAAAA:
		s.Alias = wish
	default:
		p.problem("alias", "must be true, false, A or AAAA")
	}
	if text, ok := p.values["aws/evaluate-target-health"]; ok {
		evaluate := text == "true"
		s.EvaluateHealth = &evaluate
	}
	s.TargetZone = ParseZoneID(p.values["aws/target-hosted-zone"])
	s.Zone = ParseZoneID(p.values["aws/hosted-zone-id"])
	s.HealthCheck = p.values["aws/health-check-id"]
	s.Routing = p.routing(setID)
	return s, p.problems
}

var knownProperties = append([]string{
	"alias", "aws/evaluate-target-health", "aws/target-hosted-zone", "aws/hosted-zone-id", "aws/health-check-id",
	"aws/geoproximity-bias",
}, routingProperties...)

// routingProperties each choose a routing policy.
var routingProperties = []string{
	"aws/weight", "aws/region", "aws/failover", "aws/multi-value-answer",
	"aws/geolocation-continent-code", "aws/geolocation-country-code", "aws/geolocation-subdivision-code",
	"aws/geoproximity-region", "aws/geoproximity-local-zone-group", "aws/geoproximity-coordinates",
}

type propertyReader struct {
	values   map[string]string
	problems []Property
}

func (p *propertyReader) problem(name, text string) {
	p.problems = append(p.problems, Property{name, text})
}

// routing reads the one policy that is given.
func (p *propertyReader) routing(setID string) Routing {
	var chosen []Routing
	var names []string
	for _, name := range routingProperties {
		value, ok := p.values[name]
		if !ok {
			continue
		}
		r := p.policy(name, value)
		names = append(names, name)
		if !slices.ContainsFunc(chosen, func(o Routing) bool { return o.Policy == r.Policy }) {
			chosen = append(chosen, r)
		}
	}
	switch {
	case len(chosen) > 1:
		p.problem(names[0], "stands beside "+strings.Join(names[1:], ", ")+", and a record has one routing policy only")
	case len(chosen) == 1 && setID == "":
		p.problem(names[0], "needs a set-identifier")
	case len(chosen) == 0 && setID != "":
		p.problem("set-identifier", "needs a routing policy such as aws-weight")
	}
	if len(chosen) == 0 {
		return Routing{}
	}
	return chosen[0]
}

func (p *propertyReader) policy(name, value string) Routing {
	switch {
	case name == "aws/weight":
		weight, err := strconv.ParseInt(value, 10, 64)
		if err != nil || weight < 0 || weight > 255 {
			p.problem(name, "must be a number from 0 to 255")
		}
		return Routing{Policy: Weighted, Weight: weight}
	case name == "aws/region":
		return Routing{Policy: Latency, Region: value}
	case name == "aws/failover":
		if value != "PRIMARY" && value != "SECONDARY" {
			p.problem(name, "must be PRIMARY or SECONDARY")
		}
		return Routing{Policy: Failover, Failover: value}
	case name == "aws/multi-value-answer":
		return Routing{Policy: MultiValue}
	case strings.HasPrefix(name, "aws/geolocation-"):
		return p.geolocation()
	default:
		return p.geoproximity()
	}
}

func (p *propertyReader) geolocation() Routing {
	r := Routing{
		Policy: Geolocation, Continent: p.values["aws/geolocation-continent-code"],
		Country: p.values["aws/geolocation-country-code"], Subdivision: p.values["aws/geolocation-subdivision-code"],
	}
	if r.Continent != "" { // the continent excludes the others
		r.Country, r.Subdivision = "", ""
	} else if r.Country == "" {
		p.problem("aws/geolocation-subdivision-code", "needs a country")
	}
	return r
}

func (p *propertyReader) geoproximity() Routing {
	r := Routing{
		Policy: Geoproximity, Region: p.values["aws/geoproximity-region"],
		LocalZoneGroup: p.values["aws/geoproximity-local-zone-group"],
	}
	if text, ok := p.values["aws/geoproximity-coordinates"]; ok {
		latitude, longitude, found := strings.Cut(text, ",")
		r.Latitude, r.Longitude = strings.TrimSpace(latitude), strings.TrimSpace(longitude)
		if !found || !within(r.Latitude, 90) || !within(r.Longitude, 180) {
			p.problem("aws/geoproximity-coordinates", "must be latitude,longitude within 90 and 180 degrees")
		}
	}
	if text, ok := p.values["aws/geoproximity-bias"]; ok {
		bias, err := strconv.ParseInt(text, 10, 32)
		if err != nil || bias < -99 || bias > 99 {
			p.problem("aws/geoproximity-bias", "must be a number from -99 to 99")
		}
		r.Bias = int32(bias)
	}
	return r
}

func within(degrees string, limit float64) bool {
	n, err := strconv.ParseFloat(degrees, 64)
	return err == nil && n >= -limit && n <= limit
}

// TypeOf is the record type that a target asks for.
func TypeOf(target string) Type {
	a, err := netip.ParseAddr(target)
	switch {
	case err != nil:
		return CNAME
	case a.Is4():
		return A
	default:
		return AAAA
	}
}

// String is one line: app.example.com A 192.0.2.1 ttl 60 for Ingress default/web
func (e Endpoint) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", e.Name, e.Type)
	if e.SetID != "" {
		fmt.Fprintf(&b, " [%s]", e.SetID)
	}
	fmt.Fprintf(&b, " -> %s", strings.Join(e.Targets, " "))
	if e.TTL > 0 {
		fmt.Fprintf(&b, " ttl %d", e.TTL)
	}
	s := e.Settings
	for _, f := range []struct{ name, value string }{
		{"alias", string(s.Alias)}, {"target-zone", string(s.TargetZone)}, {"zone", string(s.Zone)},
		{"", s.Routing.String()}, {"health-check", s.HealthCheck},
	} {
		if f.value != "" {
			b.WriteString(" " + join(" ", f.name, f.value))
		}
	}
	if s.EvaluateHealth != nil {
		fmt.Fprintf(&b, " evaluate-health=%t", *s.EvaluateHealth)
	}
	if e.Managed {
		b.WriteString(" managed")
	}
	if e.Held {
		b.WriteString(" held")
	}
	fmt.Fprintf(&b, " for %s", e.From)
	return b.String()
}
