package aws

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/sluicehq/sluice/internal/lb"
	"github.com/sluicehq/sluice/internal/plan"
)

// The kinds of resources in this engine's plans.
const (
	SecurityGroupKind        plan.Kind = "SecurityGroup"
	BackendSecurityGroupKind plan.Kind = "BackendSecurityGroup"
	LoadBalancerKind         plan.Kind = "LoadBalancer"
	ListenerKind             plan.Kind = "Listener"
	RuleKind                 plan.Kind = "Rule"
	ServerCertificateKind    plan.Kind = "ServerCertificate"
	RulePrioritiesKind       plan.Kind = "RulePriorities"
	TargetGroupKind          plan.Kind = "TargetGroup"
)

// SecurityGroup is one that a stack owns, with all of its ingress.
type SecurityGroup struct {
	Resource    lb.ResourceID
	Name        string
	Description string
	Ingress     []permission // sorted
	Tags        []lb.Tag     // of users, sorted
	Objects     []lb.Object

	id string // empty while it is only wanted
}

// ID is the group's name, which is unique within the VPC.
func (g SecurityGroup) ID() plan.ID { return plan.ID{Kind: SecurityGroupKind, Name: g.Name} }

// Fields has one entry for each permission and tag, so that a plan shows which come and go.
func (g SecurityGroup) Fields() []plan.Field {
	fields := []plan.Field{{Name: "description", Value: g.Description}}
	for _, p := range g.Ingress {
		fields = append(fields, plan.Field{Name: "ingress " + p.String(), Value: "allowed"})
	}
	return append(fields, tagFields(g.Tags)...)
}

// Refs is empty.
func (g SecurityGroup) Refs() []plan.ID { return nil }

// Owner is none.
func (g SecurityGroup) Owner() plan.ID { return plan.ID{} }

// From are the members of the stack.
func (g SecurityGroup) From() []lb.Object { return g.Objects }

// BackendSecurityGroup is the one that all load balancers of the cluster share as their source towards targets. It has
// no ingress of its own.
type BackendSecurityGroup struct {
	Name    string
	Objects []lb.Object

	id string
}

// ID is the group's name.
func (g BackendSecurityGroup) ID() plan.ID {
	return plan.ID{Kind: BackendSecurityGroupKind, Name: g.Name}
}

// Fields is its description.
func (g BackendSecurityGroup) Fields() []plan.Field {
	return []plan.Field{{Name: "description", Value: backendDescription}}
}

// Refs is empty.
func (g BackendSecurityGroup) Refs() []plan.ID { return nil }

// Owner is none.
func (g BackendSecurityGroup) Owner() plan.ID { return plan.ID{} }

// From are the members of the stack that needed it first.
func (g BackendSecurityGroup) From() []lb.Object { return g.Objects }

// LoadBalancer is an ELBv2 load balancer without its listeners.
type LoadBalancer struct {
	Resource       lb.ResourceID
	Name           string
	Type           lb.Type
	Scheme         lb.Scheme
	IPAddressType  lb.IPAddressType
	Subnets        []string  // ids, sorted
	Mappings       []mapping // the same with static addresses, sorted; nil where none are given
	SourceNAT      lb.Switch
	PrivateLink    lb.Switch // whether security groups count for it
	SecurityGroups []plan.ID // sorted; of kind "" for a group that no resource of the plan stands for, by its id
	Attributes     []lb.Attribute
	Tags           []lb.Tag
	Objects        []lb.Object

	arn   string
	named bool // Name was given by a user, so that others may have it
}

// ID is the load balancer's name, which is unique within account and region.
func (b LoadBalancer) ID() plan.ID { return plan.ID{Kind: LoadBalancerKind, Name: b.Name} }

// Fields are what CreateLoadBalancer is given, and attributes.
func (b LoadBalancer) Fields() []plan.Field {
	var groups []string
	for _, g := range b.SecurityGroups {
		groups = append(groups, g.Name)
	}
	fields := []plan.Field{
		{Name: "type", Value: string(b.Type)},
		{Name: "scheme", Value: string(b.Scheme)},
		{Name: "ip-address-type", Value: string(b.IPAddressType)},
		{Name: "subnets", Value: strings.Join(b.Subnets, ", ")},
		{Name: "security-groups", Value: strings.Join(groups, ", ")},
	}
	for _, m := range b.Mappings {
		if m.given() {
			fields = append(fields, plan.Field{Name: "addresses", Value: m.String()})
		}
	}
	if b.SourceNAT != lb.AsIs {
		fields = append(fields, plan.Field{Name: "source-nat", Value: string(b.SourceNAT)})
	}
	if b.PrivateLink != lb.AsIs {
		fields = append(fields, plan.Field{Name: "security groups for private link", Value: string(b.PrivateLink)})
	}
	return append(fields, append(attributeFields(b.Attributes), tagFields(b.Tags)...)...)
}

// Refs are its security groups.
func (b LoadBalancer) Refs() []plan.ID { return b.SecurityGroups }

// Owner is none.
func (b LoadBalancer) Owner() plan.ID { return plan.ID{} }

// From are the members of the stack.
func (b LoadBalancer) From() []lb.Object { return b.Objects }

// Listener is one port of a load balancer with its default action.
type Listener struct {
	LoadBalancer plan.ID
	Port         uint16
	Protocol     lb.Protocol
	handshake
	Default    action // target groups by name
	Attributes []lb.Attribute
	Tags       []lb.Tag
	Objects    []lb.Object

	arn     string
	follows []plan.ID
}

// ID is "<load balancer>:<port>".
func (l Listener) ID() plan.ID {
	return plan.ID{Kind: ListenerKind, Name: l.LoadBalancer.Name + ":" + strconv.Itoa(int(l.Port))}
}

// Fields are the protocol, how TLS is spoken, the default action, attributes and the tags.
func (l Listener) Fields() []plan.Field {
	fields := append([]plan.Field{{Name: "protocol", Value: string(l.Protocol)}}, l.fields()...)
	fields = append(fields, plan.Field{Name: "default", Value: l.Default.String()})
	return append(fields, append(attributeFields(l.Attributes), tagFields(l.Tags)...)...)
}

// Refs are its load balancer and the target groups of its default action.
func (l Listener) Refs() []plan.ID { return append(l.Default.refs(), l.LoadBalancer) }

// Owner is the load balancer.
func (l Listener) Owner() plan.ID { return l.LoadBalancer }

// From are the objects that listen on the port.
func (l Listener) From() []lb.Object { return l.Objects }

// Follows are load balancers that must have gone before, since they hold its target groups.
func (l Listener) Follows() []plan.ID { return l.follows }

// Rule is a rule of a listener, other than its default.
type Rule struct {
	Listener   plan.ID
	Priority   int
	Conditions []lb.Condition // sorted by field
	Transforms []lb.Transform // sorted by type
	Action     action         // target groups by name
	Tags       []lb.Tag
	Object     lb.Object

	arn     string
	port    uint16
	model   int  // priority in the model, which the resource tag has
	kept    bool // it stands for what there is of Object
	follows []plan.ID
}

// ID is "<listener>/<priority>". A rule that goes is named by the priority that it has before anything moves.
func (r Rule) ID() plan.ID {
	return plan.ID{Kind: RuleKind, Name: r.Listener.Name + "/" + strconv.Itoa(r.Priority)}
}

// Fields are what the rule says, not where it stands.
func (r Rule) Fields() []plan.Field {
	fields := []plan.Field{
		{Name: "conditions", Value: conditionsText(r.Conditions)},
		{Name: "action", Value: r.Action.String()},
	}
	for _, t := range r.Transforms {
		fields = append(fields, plan.Field{Name: "transform", Value: t.String()})
	}
	return append(fields, tagFields(r.Tags)...)
}

// Refs are its listener, the target groups of its action, and the change of priorities that makes room for it.
func (r Rule) Refs() []plan.ID {
	return append(r.Action.refs(), r.Listener, plan.ID{Kind: RulePrioritiesKind, Name: r.Listener.Name})
}

// Owner is the listener.
func (r Rule) Owner() plan.ID { return r.Listener }

// From is the object that the rule stands in.
func (r Rule) From() []lb.Object {
	if r.Object == (lb.Object{}) {
		return nil
	}
	return []lb.Object{r.Object}
}

// Follows are load balancers that must have gone before, since they hold its target groups.
func (r Rule) Follows() []plan.ID { return r.follows }

// settings is equal for rules that say the same.
func (r Rule) settings() string {
	return conditionsText(r.Conditions) + " -> " + fmt.Sprint(r.Transforms) + r.Action.String()
}

// RulePriorities is where the rules of a listener stand that move: one SetRulePriorities call.
type RulePriorities struct {
	Listener plan.ID
	Moves    []ruleMove
	Objects  []lb.Object
}

type ruleMove struct {
	arn      string
	what     string // the rule's conditions
	priority int
}

// ID is that of the listener, in a kind of its own.
func (p RulePriorities) ID() plan.ID {
	return plan.ID{Kind: RulePrioritiesKind, Name: p.Listener.Name}
}

// Fields has one entry for each rule that moves.
func (p RulePriorities) Fields() []plan.Field {
	var fields []plan.Field
	seen := map[string]int{}
	for _, m := range p.Moves {
		name := m.what
		if seen[m.what]++; seen[m.what] > 1 {
			name = fmt.Sprintf("%s (%d)", m.what, seen[m.what])
		}
		fields = append(fields, plan.Field{Name: name, Value: strconv.Itoa(m.priority)})
	}
	return fields
}

// Refs is the listener.
func (p RulePriorities) Refs() []plan.ID { return []plan.ID{p.Listener} }

// Owner is the listener.
func (p RulePriorities) Owner() plan.ID { return p.Listener }

// From are the objects whose rules move.
func (p RulePriorities) From() []lb.Object { return p.Objects }

// TargetGroup is an ELBv2 target group without its targets.
type TargetGroup struct {
	Resource        lb.ResourceID
	Name            string
	TargetType      lb.TargetType
	Protocol        lb.Protocol
	ProtocolVersion lb.ProtocolVersion
	Port            uint16
	IPAddressType   lb.IPAddressType
	HealthCheck     lb.HealthCheck
	Attributes      []lb.Attribute
	Tags            []lb.Tag
	Objects         []lb.Object

	arn string
}

// ID is the target group's name, which is unique within account and region.
func (g TargetGroup) ID() plan.ID { return targetGroupID(g.Name) }

// Fields are what CreateTargetGroup is given, and attributes.
func (g TargetGroup) Fields() []plan.Field {
	return append([]plan.Field{
		{Name: "targets", Value: lb.TargetGroup{
			TargetType: g.TargetType, Protocol: g.Protocol, ProtocolVersion: g.ProtocolVersion, Port: g.Port, IPAddressType: g.IPAddressType,
		}.Kind()},
		{Name: "health-check", Value: g.HealthCheck.String()},
	}, append(attributeFields(g.Attributes), tagFields(g.Tags)...)...)
}

// Refs is empty.
func (g TargetGroup) Refs() []plan.ID { return nil }

// Owner is none.
func (g TargetGroup) Owner() plan.ID { return plan.ID{} }

// From are the objects that send requests to it.
func (g TargetGroup) From() []lb.Object { return g.Objects }

func targetGroupID(name string) plan.ID { return plan.ID{Kind: TargetGroupKind, Name: name} }

func (a action) refs() []plan.ID {
	var ids []plan.ID
	for _, g := range a.Forward {
		ids = append(ids, targetGroupID(g.Group))
	}
	return ids
}

func tagFields(list []lb.Tag) []plan.Field {
	var fields []plan.Field
	for _, t := range list {
		fields = append(fields, plan.Field{Name: "tag " + t.Key, Value: t.Value})
	}
	return fields
}

func sortedIDs(ids []plan.ID) []plan.ID {
	return slices.SortedFunc(slices.Values(ids), plan.ID.Compare)
}
