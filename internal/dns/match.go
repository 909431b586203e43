package dns

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// ZoneID identifies a hosted zone: on Route 53 without "/hostedzone/", on a name server the zone's name.
type ZoneID string

// ParseZoneID reads an id with or without "/hostedzone/".
func ParseZoneID(text string) ZoneID { return ZoneID(strings.TrimPrefix(text, "/hostedzone/")) }

// Zone is a hosted zone.
type Zone struct {
	ID      ZoneID
	Name    Name
	Private bool
	Tags    map[string]string // read only where a filter asks for them
}

// Domains says which names are ours to serve. The zero value is for all.
type Domains struct {
	Include, Exclude             []string // example.com with all below it; .example.com only what is below
	IncludeRegexp, ExcludeRegexp *regexp.Regexp
}

// Has says whether a name passes. Once a regular expression is given, the lists do not count.
func (d Domains) Has(name Name) bool {
	if d.IncludeRegexp != nil || d.ExcludeRegexp != nil {
		if d.ExcludeRegexp != nil && d.ExcludeRegexp.MatchString(string(name)) {
			return false
		}
		return d.IncludeRegexp == nil || d.IncludeRegexp.MatchString(string(name))
	}
	if d.excluded(name) {
		return false
	}
	any := false
	for _, f := range d.Include {
		if f = strings.TrimSpace(f); f == "" {
			continue
		}
		if any = true; domainMatches(f, name) {
			return true
		}
	}
	return !any
}

func (d Domains) excluded(name Name) bool {
	return slices.ContainsFunc(d.Exclude, func(f string) bool { return strings.TrimSpace(f) != "" && domainMatches(f, name) })
}

// hasBelow says whether some filter is for names strictly below a zone.
func (d Domains) hasBelow(zone Name) bool {
	return !d.excluded(zone) && slices.ContainsFunc(d.Include, func(f string) bool {
		name, err := ParseName(f)
		return err == nil && name != zone && name.In(zone)
	})
}

func domainMatches(filter string, name Name) bool {
	filter = strings.TrimSpace(filter)
	below := strings.HasPrefix(filter, ".")
	domain, err := ParseName(strings.TrimPrefix(filter, "."))
	return err == nil && name.In(domain) && (!below || name != domain)
}

// ZoneFilter chooses hosted zones; all conditions must hold.
type ZoneFilter struct {
	IDs         []string // suffixes of an id, one of which must match
	Type        string   // public, private, or empty for both
	Tags        []string // key=value or key, all of which must be there
	Domains     Domains
	MatchParent bool // also zones above a domain of the filter
}

// Check says what is wrong with the filter itself.
func (f ZoneFilter) Check() error {
	if f.Type != "" && f.Type != "public" && f.Type != "private" {
		return fmt.Errorf("zone type %q must be public or private", f.Type)
	}
	return nil
}

// WantsTags says whether zones must be listed with their tags.
func (f ZoneFilter) WantsTags() bool { return len(f.Tags) > 0 }

// Choose returns the zones that pass, sorted by name and id.
func (f ZoneFilter) Choose(zones []Zone) []Zone {
	out := slices.DeleteFunc(slices.Clone(zones), func(z Zone) bool { return !f.passes(z) })
	slices.SortFunc(out, func(a, b Zone) int {
		return strings.Compare(string(a.Name)+" "+string(a.ID), string(b.Name)+" "+string(b.ID))
	})
	return out
}

func (f ZoneFilter) passes(z Zone) bool {
	ids := slices.DeleteFunc(slices.Clone(f.IDs), func(id string) bool { return id == "" })
	if len(ids) > 0 && !slices.ContainsFunc(ids, func(id string) bool { return strings.HasSuffix("/hostedzone/"+string(z.ID), id) }) {
		return false
	}
	if f.Type == "public" && z.Private || f.Type == "private" && !z.Private {
		return false
	}
	if !f.Domains.Has(z.Name) && (!f.MatchParent || !f.Domains.hasBelow(z.Name)) {
		return false
	}
	return !slices.ContainsFunc(f.Tags, func(tag string) bool {
		key, value, valued := strings.Cut(tag, "=")
		have, ok := z.Tags[key]
		return !ok || valued && have != value
	})
}

// ZonesOf are the zones that a name's records are written to: all private zones above it, and of the public ones the
// nearest. A pin narrows them to one.
func ZonesOf(name Name, pin ZoneID, zones []Zone) []Zone {
	var out []Zone
	var public *Zone
	for i, z := range zones {
		switch {
		case !name.In(z.Name) || pin != "" && z.ID != pin:
		case z.Private || pin != "":
			out = append(out, z)
		case public == nil || len(z.Name) > len(public.Name):
			public = &zones[i]
		}
	}
	if public != nil {
		out = append(out, *public)
	}
	return out
}
