package dns

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Type is a record type, in capitals.
type Type string

// The types that have a meaning here. Others are carried along.
const (
	A     Type = "A"
	AAAA  Type = "AAAA"
	CNAME Type = "CNAME"
	DNAME Type = "DNAME"
	MX    Type = "MX"
	NAPTR Type = "NAPTR"
	NS    Type = "NS"
	SOA   Type = "SOA"
	SRV   Type = "SRV"
	TXT   Type = "TXT"
)

// DefaultTTL is that of records whose object does not say another, and of markers, in seconds.
const DefaultTTL = 300

// Record is a record set of a zone.
type Record struct {
	Name        Name
	Type        Type
	SetID       string // tells sets of one name and type apart
	TTL         int64  // seconds; none for an alias
	Values      []string
	Alias       Alias
	Routing     Routing
	HealthCheck string
}

// Alias points at another name of AWS and is answered with that name's addresses (Route 53, "Choosing between alias and
// non-alias records").
type Alias struct {
	Target         Name
	Zone           ZoneID // of the target
	EvaluateHealth bool
}

// Policy is how one of several sets of a name and type is chosen (Route 53, "Choosing a routing policy").
type Policy string

// The routing policies.
const (
	Simple       Policy = ""
	Weighted     Policy = "weighted"
	Latency      Policy = "latency"
	Failover     Policy = "failover"
	MultiValue   Policy = "multivalue"
	Geolocation  Policy = "geolocation"
	Geoproximity Policy = "geoproximity"
)

// Routing is a set's routing policy with what belongs to it.
type Routing struct {
	Policy                          Policy
	Weight                          int64
	Region                          string // of Latency and Geoproximity
	Failover                        string // PRIMARY or SECONDARY
	Continent, Country, Subdivision string
	LocalZoneGroup                  string
	Latitude, Longitude             string
	Bias                            int32
}

// Key identifies a record set within a zone.
type Key struct {
	Name  Name
	Type  Type
	SetID string
}

// Key is the record's key.
func (r Record) Key() Key { return Key{r.Name, r.Type, r.SetID} }

// Compare orders keys by name, type and set.
func (k Key) Compare(other Key) int {
	return cmp.Or(cmp.Compare(k.Name, other.Name), cmp.Compare(k.Type, other.Type), cmp.Compare(k.SetID, other.SetID))
}

// IsAlias says whether the record has an alias target instead of values.
func (r Record) IsAlias() bool { return r.Alias.Target != "" }

// Equal says whether two sets answer alike: values in any order and spelling, aliases to the same target.
func (r Record) Equal(other Record) bool {
	return r.Key() == other.Key() && r.Routing == other.Routing && r.HealthCheck == other.HealthCheck &&
		r.Alias == other.Alias && (r.IsAlias() || r.TTL == other.TTL) && slices.Equal(r.comparable(), other.comparable())
}

// comparable are the values in one spelling, sorted.
func (r Record) comparable() []string {
	out := make([]string, len(r.Values))
	for i, v := range r.Values {
		out[i] = canonicalValue(r.Type, v)
	}
	slices.Sort(out)
	return out
}

func canonicalValue(t Type, value string) string {
	switch t {
	case A, AAAA:
		if a, err := netip.ParseAddr(value); err == nil {
			return a.String()
		}
		return value
	case TXT:
		return value
	default:
		return strings.ToLower(strings.TrimSuffix(value, "."))
	}
}

// Answer is what the record answers, for people: "192.0.2.1, 192.0.2.2" or "alias lb.example.com".
func (r Record) Answer() string {
	if r.IsAlias() {
		return "alias " + string(r.Alias.Target)
	}
	return strings.Join(r.Values, ", ")
}

// String is one line: app.example.com A 300 192.0.2.1
func (r Record) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", r.Name, r.Type)
	if r.SetID != "" {
		fmt.Fprintf(&b, " [%s]", r.SetID)
	}
	if r.IsAlias() {
		fmt.Fprintf(&b, " alias %s zone %s", r.Alias.Target, r.Alias.Zone)
		if r.Alias.EvaluateHealth {
			b.WriteString(" evaluate-health")
		}
	} else {
		fmt.Fprintf(&b, " %d %s", r.TTL, strings.Join(r.Values, " "))
	}
	if text := r.Routing.String(); text != "" {
		b.WriteString(" " + text)
	}
	if r.HealthCheck != "" {
		b.WriteString(" health-check " + r.HealthCheck)
	}
	return b.String()
}

// String is "weighted 10", or empty for the simple policy.
func (r Routing) String() string {
	switch r.Policy {
	case Simple:
		return ""
	case Weighted:
		return fmt.Sprintf("weighted %d", r.Weight)
	case Latency:
		return "latency " + r.Region
	case Failover:
		return "failover " + r.Failover
	case Geolocation:
		return "geolocation " + join("/", r.Continent, r.Country, r.Subdivision)
	case Geoproximity:
		return fmt.Sprintf("geoproximity %s bias %d", join(",", r.Region, r.LocalZoneGroup, r.Latitude, r.Longitude), r.Bias)
	default:
		return string(r.Policy)
	}
}

// join joins what is not empty.
func join(separator string, parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), separator)
}

func sortRecords(list []Record) []Record {
	return slices.SortedFunc(slices.Values(list), func(a, b Record) int { return a.Key().Compare(b.Key()) })
}
