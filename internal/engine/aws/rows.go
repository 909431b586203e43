package aws

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sluicehq/sluice/internal/lb"
)

// The rows of the mirror: what AWS has, as last seen. Lists are sorted, so that equal things are equal rows. A row is
// never changed once it is in the mirror; a newer one takes its place.

type loadBalancer struct {
	ARN, Name, DNSName, ZoneID, VPC string
	Type                            lb.Type
	Scheme                          lb.Scheme
	IPAddressType                   lb.IPAddressType
	State                           string    // LoadBalancerState.Code: provisioning, active, active_impaired, failed
	Subnets                         []string  // ids
	Mappings                        []mapping // the same with addresses
	SourceNAT, PrivateLink          lb.Switch
	SecurityGroups                  []string // ids
	Tags                            tags
}

type listener struct {
	ARN, LoadBalancer string // ARNs
	Port              uint16
	Protocol          lb.Protocol
	handshake         // zero for one without TLS
	Default           action
	Tags              tags
}

type rule struct {
	ARN, Listener string // ARNs
	Priority      int
	Conditions    []lb.Condition // sorted by field
	Action        action
	Transforms    []lb.Transform // sorted by type
	Tags          tags           // nil for a rule that is not ours
}

type targetGroup struct {
	ARN, Name, VPC  string
	TargetType      lb.TargetType
	Protocol        lb.Protocol
	ProtocolVersion lb.ProtocolVersion
	Port            uint16
	IPAddressType   lb.IPAddressType
	HealthCheck     lb.HealthCheck
	Tags            tags
}

type securityGroup struct {
	ID, Name, Description, VPC string
	Ingress                    []permission
	Tags                       tags
}

// permission is one ingress rule of a security group, from exactly one kind of source. Descriptions are no part of it.
type permission struct {
	Protocol   string // tcp, udp, -1 …
	From, To   int32
	CIDR       string // IPv4
	CIDR6      string
	PrefixList string
	Group      string // a security group id
	GroupOwner string // its account
}

func (p permission) compare(other permission) int {
	return cmp.Or(
		cmp.Compare(p.Protocol, other.Protocol), cmp.Compare(p.From, other.From), cmp.Compare(p.To, other.To),
		cmp.Compare(p.CIDR, other.CIDR), cmp.Compare(p.CIDR6, other.CIDR6),
		cmp.Compare(p.PrefixList, other.PrefixList), cmp.Compare(p.Group, other.Group),
		cmp.Compare(p.GroupOwner, other.GroupOwner),
	)
}

// String is "tcp 80 from 0.0.0.0/0".
func (p permission) String() string {
	ports := fmt.Sprintf(" %d", p.From)
	switch {
	case p.Protocol == "-1":
		return "all traffic from " + p.source()
	case p.From != p.To:
		ports = fmt.Sprintf(" %d-%d", p.From, p.To)
	}
	return p.Protocol + ports + " from " + p.source()
}

func (p permission) source() string { return p.CIDR + p.CIDR6 + p.PrefixList + p.Group }

// action is an ELBv2 action list in canonical form: target groups sorted, the weight of a single one 1, redirect
// placeholders that change nothing left out. Target groups are ARNs in rows and names in resources.
type action struct {
	Forward  []weighted
	Sticky   time.Duration    // of Forward; zero for not at all
	BySource bool             // of Forward: by the client's address
	Fixed    lb.FixedResponse // zero for none
	Redirect lb.Redirect      // zero for none
	Tokens   *lb.Tokens       // what requests need before
	Other    string           // text of what the model cannot say; such an action equals nothing that is wanted
}

type weighted struct {
	Group  string
	Weight int
}

func forwardTo(groups []weighted) action {
	groups = slices.SortedFunc(slices.Values(groups), func(a, b weighted) int { return cmp.Compare(a.Group, b.Group) })
	if len(groups) == 1 {
		groups[0].Weight = 1
	}
	return action{Forward: groups}
}

// redirectTo drops the placeholders that stand for "as in the request", which is also what an empty part means.
func redirectTo(r lb.Redirect) action {
	for part, placeholder := range map[*string]string{
		&r.Protocol: "#{protocol}", &r.Host: "#{host}", &r.Port: "#{port}", &r.Path: "/#{path}", &r.Query: "#{query}",
	} {
		if *part == placeholder {
			*part = ""
		}
	}
	return action{Redirect: r}
}

func respondWith(f lb.FixedResponse) action {
	if f.ContentType == "" {
		f.ContentType = "text/plain"
	}
	return action{Fixed: f}
}

// renamed returns the action with its target groups named by name, sorted again.
func (a action) renamed(name func(string) string) action {
	if a.Forward == nil {
		return a
	}
	var groups []weighted
	for _, g := range a.Forward {
		groups = append(groups, weighted{Group: name(g.Group), Weight: g.Weight})
	}
	a.Forward = forwardTo(groups).Forward
	return a
}

// String is the model's text for it: forward k8s-default-web-0123456789, or redirect 301 ….
func (a action) String() string {
	if tokens := a.Tokens; tokens != nil {
		a.Tokens = nil
		return tokens.String() + "; then " + a.String()
	}
	switch {
	case a.Other != "":
		return a.Other
	case a.Forward != nil:
		var groups []lb.WeightedTargetGroup
		for _, g := range a.Forward {
			groups = append(groups, lb.WeightedTargetGroup{ID: lb.ResourceID(g.Group), Weight: g.Weight})
		}
		return lb.Action{Forward: &lb.Forward{TargetGroups: groups, Sticky: a.Sticky, BySource: a.BySource}}.String()
	case a.Redirect != lb.Redirect{}:
		return lb.Action{Redirect: &a.Redirect}.String()
	default:
		return lb.Action{FixedResponse: &a.Fixed}.String()
	}
}

func conditionsText(list []lb.Condition) string {
	var parts []string
	for _, c := range list {
		parts = append(parts, c.String())
	}
	return strings.Join(parts, " and ")
}

func sortedConditions(list []lb.Condition) []lb.Condition {
	return slices.SortedFunc(slices.Values(list), func(a, b lb.Condition) int {
		return cmp.Or(cmp.Compare(a.Field, b.Field), cmp.Compare(a.String(), b.String()))
	})
}
