package route53

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/route53/types"

	"github.com/sluicehq/sluice/internal/dns"
)

// record reads a record set. Routing that this program never writes (by CIDR block, by traffic policy) is some policy
// of its own, so that such a set equals none of ours.
func record(s types.ResourceRecordSet) dns.Record {
	r := dns.Record{
		Name: dns.UnescapeName(aws.ToString(s.Name), 8), Type: dns.Type(s.Type), SetID: aws.ToString(s.SetIdentifier),
		TTL: aws.ToInt64(s.TTL), HealthCheck: aws.ToString(s.HealthCheckId), Routing: routing(s),
	}
	for _, v := range s.ResourceRecords {
		r.Values = append(r.Values, aws.ToString(v.Value))
	}
	if a := s.AliasTarget; a != nil {
		r.Alias = dns.Alias{
			Target: dns.UnescapeName(aws.ToString(a.DNSName), 8), Zone: dns.ZoneID(aws.ToString(a.HostedZoneId)), EvaluateHealth: a.EvaluateTargetHealth,
		}
	}
	return r
}

func routing(s types.ResourceRecordSet) dns.Routing {
	switch {
	case s.Weight != nil:
		return dns.Routing{Policy: dns.Weighted, Weight: *s.Weight}
	case s.Region != "":
		return dns.Routing{Policy: dns.Latency, Region: string(s.Region)}
	case s.Failover != "":
		return dns.Routing{Policy: dns.Failover, Failover: string(s.Failover)}
	case aws.ToBool(s.MultiValueAnswer):
		return dns.Routing{Policy: dns.MultiValue}
	case s.GeoLocation != nil:
		g := s.GeoLocation
		return dns.Routing{
			Policy: dns.Geolocation, Continent: aws.ToString(g.ContinentCode), Country: aws.ToString(g.CountryCode), Subdivision: aws.ToString(g.SubdivisionCode),
		}
	case s.GeoProximityLocation != nil:
		g := s.GeoProximityLocation
		r := dns.Routing{
			Policy: dns.Geoproximity, Region: aws.ToString(g.AWSRegion), LocalZoneGroup: aws.ToString(g.LocalZoneGroup), Bias: aws.ToInt32(g.Bias),
		}
		if c := g.Coordinates; c != nil {
			r.Latitude, r.Longitude = aws.ToString(c.Latitude), aws.ToString(c.Longitude)
		}
		return r
	case s.CidrRoutingConfig != nil:
		return dns.Routing{Policy: "cidr"}
	case s.TrafficPolicyInstanceId != nil:
		return dns.Routing{Policy: "traffic-policy"}
	}
	return dns.Routing{}
}

// recordSet writes a record set.
func recordSet(r dns.Record) types.ResourceRecordSet {
	s := types.ResourceRecordSet{Name: aws.String(dns.EscapeName(r.Name)), Type: types.RRType(r.Type)}
	if r.SetID != "" {
		s.SetIdentifier = &r.SetID
	}
	if r.HealthCheck != "" {
		s.HealthCheckId = &r.HealthCheck
	}
	if r.IsAlias() {
		s.AliasTarget = &types.AliasTarget{
			DNSName: aws.String(dns.EscapeName(r.Alias.Target)), HostedZoneId: aws.String(string(r.Alias.Zone)), EvaluateTargetHealth: r.Alias.EvaluateHealth,
		}
	} else {
		s.TTL = &r.TTL
		for _, v := range r.Values {
			s.ResourceRecords = append(s.ResourceRecords, types.ResourceRecord{Value: &v})
		}
	}
	setRouting(&s, r.Routing)
	return s
}

func setRouting(s *types.ResourceRecordSet, r dns.Routing) {
	switch r.Policy {
	case dns.Weighted:
		s.Weight = &r.Weight
	case dns.Latency:
		s.Region = types.ResourceRecordSetRegion(r.Region)
	case dns.Failover:
		s.Failover = types.ResourceRecordSetFailover(r.Failover)
	case dns.MultiValue:
		s.MultiValueAnswer = aws.Bool(true)
	case dns.Geolocation:
		s.GeoLocation = &types.GeoLocation{ContinentCode: some(r.Continent), CountryCode: some(r.Country), SubdivisionCode: some(r.Subdivision)}
	case dns.Geoproximity:
		s.GeoProximityLocation = &types.GeoProximityLocation{AWSRegion: some(r.Region), LocalZoneGroup: some(r.LocalZoneGroup), Bias: &r.Bias}
		if r.Latitude != "" {
			s.GeoProximityLocation.Coordinates = &types.Coordinates{Latitude: &r.Latitude, Longitude: &r.Longitude}
		}
	}
}

// some is a value that may be absent.
func some(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
