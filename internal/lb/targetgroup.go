package lb

import (
	"cmp"
	"strconv"
	"time"
)

// TargetType is how targets are addressed (ELBv2 TargetTypeEnum).
type TargetType string

// ProtocolVersion is the HTTP version toward targets (ELBv2 ProtocolVersion).
type ProtocolVersion string

// Values as on the ELBv2 wire.
const (
	InstanceTargets TargetType = "instance"
	IPTargets       TargetType = "ip"

	HTTP1 ProtocolVersion = "HTTP1"
	HTTP2 ProtocolVersion = "HTTP2"
	GRPC  ProtocolVersion = "GRPC"
)

// TargetGroup is a set of targets of one kind with one health check. Its targets are not part of the model: they
// follow the endpoints of its Binding on a path of their own.
type TargetGroup struct {
	ID              ResourceID
	Name            string
	TargetType      TargetType
	Protocol        Protocol
	ProtocolVersion ProtocolVersion
	Port            uint16 // used where a target is registered without one
	IPAddressType   IPAddressType
	HealthCheck     HealthCheck
	Attributes      []Attribute // sorted by key; others stay as they are
	Tags            []Tag
	From            []Object
}

// HealthCheck is how a load balancer probes targets (ELB "Health checks for your target groups").
type HealthCheck struct {
	Protocol           Protocol
	Port               HealthCheckPort
	Path               string
	Interval           time.Duration // whole seconds, 5 to 300
	Timeout            time.Duration // whole seconds, 2 to 120
	HealthyThreshold   int           // 2 to 10
	UnhealthyThreshold int           // 2 to 10
	Matcher            string        // "200", "200,202", "200-299"; of gRPC "12", "0-99"
}

// HealthCheckPort is a port number, or 0 for the port that receives traffic.
type HealthCheckPort uint16

// String is the wire form: "traffic-port" or the decimal number.
func (p HealthCheckPort) String() string {
	if p == 0 {
		return "traffic-port"
	}
	return strconv.Itoa(int(p))
}

// Binding ties a target group to the Service port whose endpoints are its targets. On Kubernetes it is a
// TargetGroupBinding object of the same name as the target group.
type Binding struct {
	TargetGroup ResourceID
	Namespace   string // of the Service and of the TargetGroupBinding
	Name        string
	Service     string
	ServicePort Port
	TargetType  TargetType
	NodeLabels  []Tag // matchLabels of the node selector; instance targets only
	// Networking is what targets let in from the stack's source; Unsecured what they let in where the load balancer has
	// no security groups.
	Networking   []NetworkingRule
	Unsecured    []NetworkingRule
	MultiCluster bool // other clusters have targets in the target group too
	From         []Object
}

// NetworkingRule has targets let traffic in.
type NetworkingRule struct {
	From  Peers // the zero value is the stack's source
	Ports []NetworkPort
}

// Peers are addresses; at most one field is set.
type Peers struct {
	CIDRs     []string
	Reachable bool // all that can reach the load balancer: everybody, or where it is internal the VPC
	Subnets   bool // those of the load balancer's subnets
}

// NetworkPort is a port of targets; Port counts unless it is all of them.
type NetworkPort struct {
	Protocol Protocol // TCP or UDP
	All      bool
	Port     Port
}

// FromSource has targets let in TCP at these ports, from the stack's source, with one rule for each.
func FromSource(ports ...Port) []NetworkingRule {
	var rules []NetworkingRule
	for _, p := range ports {
		rules = append(rules, NetworkingRule{Ports: []NetworkPort{{Protocol: TCP, Port: p}}})
	}
	return rules
}

// Port is a port by number or, when Name is set, by name.
type Port struct {
	Number int32
	Name   string
}

// String is the number or the name. A number of 0 is a node port of a Service that is only planned.
func (p Port) String() string {
	switch {
	case p.Name != "":
		return p.Name
	case p.Number == 0:
		return "assigned by Kubernetes"
	default:
		return strconv.Itoa(int(p.Number))
	}
}

// Access says as whom target groups are looked at and changed, and where their targets are. The zero value is the engine's
// own identity and VPC.
type Access struct {
	Role       string // to assume
	ExternalID string // that the role asks for
	VPC        string
}

// TargetGroupFacts are what cannot be changed of a target group that somebody else may have made.
type TargetGroupFacts struct {
	Ref           TargetGroupRef
	TargetType    TargetType
	Protocol      Protocol
	IPAddressType IPAddressType
	VPC           string
}

// TargetHealth is what a load balancer thinks of a target. The zero value is that nothing is known.
type TargetHealth struct {
	State       string // of ELBv2 TargetHealthStateEnum
	Reason      string // Elb.InitialHealthChecking; empty for a healthy one
	Description string
}

// Values of TargetHealth as on the ELBv2 wire.
const (
	HealthyTarget = "healthy"              // a State
	NotRegistered = "Target.NotRegistered" // a Reason
)

// Target is one target of a target group, as it is registered.
type Target struct {
	ID   string // an instance id, or an address
	Port int32
}

// Compare orders targets.
func (t Target) Compare(other Target) int {
	return cmp.Or(cmp.Compare(t.ID, other.ID), cmp.Compare(t.Port, other.Port))
}
