package localaws

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/route53/types"
	"github.com/miekg/dns"
)

// routing is a set's routing policy, "" where it has none.
func routing(set types.ResourceRecordSet) string {
	if policies := policies(set); len(policies) > 0 {
		return policies[0]
	}
	return ""
}

func policies(set types.ResourceRecordSet) []string {
	var out []string
	for _, p := range []struct {
		name string
		set  bool
	}{
		{"weight", set.Weight != nil}, {"latency", set.Region != ""}, {"failover", set.Failover != ""},
		{"geolocation", set.GeoLocation != nil}, {"geoproximity", set.GeoProximityLocation != nil},
		{"multivalue", val(set.MultiValueAnswer)},
	} {
		if p.set {
			out = append(out, p.name)
		}
	}
	return out
}

// setProblems says what is wrong with a set by itself.
func setProblems(action types.ChangeAction, set types.ResourceRecordSet) []string {
	where := fmt.Sprintf("in Change with [Action=%s, Name=%s, Type=%s, SetIdentifier=%s]", action, *set.Name, set.Type, orNull(set.SetIdentifier))
	invalid := func(format string, args ...any) []string {
		return []string{"Invalid request: " + fmt.Sprintf(format, args...) + " " + where}
	}
	plain := set.TTL != nil && len(set.ResourceRecords) > 0
	found := ""
	switch {
	case set.TrafficPolicyInstanceId != nil || set.CidrRoutingConfig != nil:
		return invalid("Traffic policies and CIDR routing are not supported by this version of local AWS,")
	case set.AliasTarget != nil && (set.TTL != nil || len(set.ResourceRecords) > 0):
		found = "more than one"
	case set.AliasTarget == nil && !plain:
		found = "none"
	}
	if found != "" {
		return invalid("Expected exactly one of [AliasTarget, all of [TTL, and ResourceRecords], or TrafficPolicyInstanceId], but found %s", found)
	}
	chosen := policies(set)
	switch {
	case len(chosen) > 1:
		return invalid("Expected exactly one of [Weight, Region, Failover, GeoLocation, GeoProximityLocation, or MultiValueAnswer], "+
			"but found more than one (%s)", strings.Join(chosen, ", "))
	case len(chosen) == 1 && set.SetIdentifier == nil:
		return invalid("Missing field 'SetIdentifier'")
	case len(chosen) == 0 && set.SetIdentifier != nil:
		return invalid("Expected exactly one of [Weight, Region, Failover, GeoLocation, GeoProximityLocation, or MultiValueAnswer], but found none")
	case val(set.MultiValueAnswer) && (set.AliasTarget != nil || set.Type == types.RRTypeCname || set.Type == types.RRTypeNs):
		return invalid("A multivalue answer record cannot be an alias, a CNAME or an NS record")
	case len(set.ResourceRecords) > setRecords:
		return invalid("The limit of %d values is exceeded", setRecords)
	case (set.Type == types.RRTypeCname || set.Type == types.RRTypeSoa) && len(set.ResourceRecords) > 1:
		return []string{fmt.Sprintf("%s records must have exactly one value: %s", set.Type, *set.Name)}
	case set.Type == types.RRTypeSoa && set.AliasTarget != nil:
		return invalid("An SOA record cannot be an alias")
	}
	if g := set.GeoLocation; g != nil {
		if (g.ContinentCode == nil) == (g.CountryCode == nil) || g.SubdivisionCode != nil && g.CountryCode == nil {
			return invalid("A GeoLocation has either a ContinentCode or a CountryCode, the latter with or without a SubdivisionCode,")
		}
	}
	if g := set.GeoProximityLocation; g != nil {
		if problem := proximityProblem(g); problem != "" {
			return invalid("%s", problem)
		}
	}
	return valueProblems(set)
}

func proximityProblem(g *types.GeoProximityLocation) string {
	given := 0
	for _, set := range []bool{g.AWSRegion != nil, g.LocalZoneGroup != nil, g.Coordinates != nil} {
		if set {
			given++
		}
	}
	if given != 1 {
		return "Expected exactly one of [AWSRegion, LocalZoneGroup, or Coordinates] in GeoProximityLocation"
	}
	if c := g.Coordinates; c != nil {
		latitude, err1 := strconv.ParseFloat(val(c.Latitude), 64)
		longitude, err2 := strconv.ParseFloat(val(c.Longitude), 64)
		if err1 != nil || err2 != nil || latitude < -90 || latitude > 90 || longitude < -180 || longitude > 180 {
			return "Invalid Coordinates in GeoProximityLocation"
		}
	}
	return ""
}

func valueProblems(set types.ResourceRecordSet) []string {
	var problems []string
	seen := map[string]bool{}
	for _, r := range set.ResourceRecords {
		value := val(r.Value)
		if seen[value] {
			problems = append(problems, fmt.Sprintf("Duplicate Resource Record: '%s'", value))
			continue
		}
		seen[value] = true
		if problem := valueProblem(set.Type, value); problem != "" {
			problems = append(problems, fmt.Sprintf("Invalid Resource Record: 'FATAL problem: %s encountered with '%s''", problem, value))
		}
	}
	return problems
}

// valueProblem holds one value against its type.
func valueProblem(kind types.RRType, value string) string {
	switch kind {
	case types.RRTypeA:
		if a, err := netip.ParseAddr(value); err != nil || !a.Is4() {
			return "ARRDATAIllegalIPv4Address (Value is not a valid IPv4 address)"
		}
	case types.RRTypeAaaa:
		if a, err := netip.ParseAddr(value); err != nil || !a.Is6() || a.Zone() != "" {
			return "AAAARRDATAIllegalIPv6Address (Value is not a valid IPv6 address)"
		}
	case types.RRTypeTxt, types.RRTypeSpf:
		return textProblem(value)
	case types.RRTypeCname, types.RRTypeNs, types.RRTypePtr:
		if _, problem := recordName(value); problem != "" {
			return problem
		}
	}
	if _, err := resourceRecord("x.", kind, 0, value); err != nil {
		return fmt.Sprintf("%sRRDATAIncorrectNumberOfTokens (Value is not valid for the record type)", kind)
	}
	return ""
}

// textProblem: a TXT value is one or more quoted strings of at most 255 bytes.
func textProblem(value string) string {
	rest := strings.TrimSpace(value)
	if rest == "" {
		return "InvalidCharacterString (Value should be enclosed in quotation marks)"
	}
	for rest != "" {
		if rest[0] != '"' {
			return "InvalidCharacterString (Value should be enclosed in quotation marks)"
		}
		length, at, closed := 0, 1, false
		for at < len(rest) && !closed {
			if rest[at] == '"' {
				closed = true
				at++
				continue
			}
			_, width := nameByte(rest[at:], 8)
			if width == 0 {
				return "InvalidCharacterString (Value contains an invalid escape)"
			}
			at += width
			length++
		}
		if !closed {
			return "InvalidCharacterString (Value should be enclosed in quotation marks)"
		}
		if length > 255 {
			return "CharacterStringTooLong (Value is too long)"
		}
		rest = strings.TrimLeft(rest[at:], " \t")
	}
	return ""
}

// masterSyntax is what means something to a zone file and nothing in a record's value.
const masterSyntax = ";()\r\n"

// resourceRecord makes a record of a name and a value in Route 53's forms.
func resourceRecord(name string, kind types.RRType, ttl int64, value string) (dns.RR, error) {
	if strings.ContainsAny(value, "\r\n") || !strings.Contains(value, `"`) && strings.ContainsAny(value, masterSyntax) {
		return nil, fmt.Errorf("localaws: %q is not a value", value)
	}
	rr, err := dns.NewRR(fmt.Sprintf("%s %d IN %s %s", wireEscapes(name), ttl, kind, wireEscapes(value)))
	switch {
	case err != nil:
		return nil, fmt.Errorf("localaws: %w", err)
	case rr == nil:
		return nil, fmt.Errorf("localaws: %q is not a value", value)
	}
	return rr, nil
}

// alive tells the sets whose targets can be used; where none can, all are.
func alive(sets []types.ResourceRecordSet, healthy func(types.ResourceRecordSet) bool) []types.ResourceRecordSet {
	if good := slices.DeleteFunc(slices.Clone(sets), func(s types.ResourceRecordSet) bool { return !healthy(s) }); len(good) > 0 {
		return good
	}
	return sets
}
