package lb

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// StackID identifies a stack in a cluster: "<namespace>/<name>" for the stack of one Ingress, the group's name for that of
// an IngressGroup, and "service:<namespace>/<name>" for that of a Service. No name in Kubernetes has a colon, so stacks of
// an Ingress and of a Service of the same name are two.
type StackID string

// FrontEnd is the kind of object that a stack is compiled from. With ".k8s.aws/" behind it, it begins the keys of the tags
// and labels that tell a stack's things.
type FrontEnd string

// The front ends.
const (
	IngressFront FrontEnd = "ingress"
	ServiceFront FrontEnd = "service"
	HostFront    FrontEnd = "host" // a stack of an Envoy fleet, named after the virtual host that it is
)

// NewStackID is the id of the stack that a front end has under a name, as tags have it: "<namespace>/<name>" or a group.
func NewStackID(front FrontEnd, name string) StackID {
	if front == IngressFront {
		return StackID(name)
	}
	return StackID(string(front) + ":" + name)
}

// FrontEnd is what the stack is compiled from.
func (id StackID) FrontEnd() FrontEnd {
	if front, _, ok := strings.Cut(string(id), ":"); ok {
		return FrontEnd(front)
	}
	return IngressFront
}

// Name is "<namespace>/<name>" or a group, the value of the tag that tells the stack.
func (id StackID) Name() string {
	if _, name, ok := strings.Cut(string(id), ":"); ok {
		return name
	}
	return string(id)
}

// Own is the object that the stack is named after; ok is false for a group, which is named after none.
func (id StackID) Own() (namespace, name string, ok bool) {
	return strings.Cut(id.Name(), "/")
}

// ResourceID identifies a resource within its stack. It is the value of the tags ingress.k8s.aws/resource and
// service.k8s.aws/resource, so its form is fixed by the AWS Load Balancer Controller, which must be able to take the
// resources over.
type ResourceID string

// Resource ids that every stack uses.
const (
	LoadBalancerID         ResourceID = "LoadBalancer"
	ManagedSecurityGroupID ResourceID = "ManagedLBSecurityGroup"
)

// Stack is everything one load balancer needs. The zero value but for its ID wants nothing: an engine given it removes
// what it has under that ID.
type Stack struct {
	ID      StackID
	Members []Object // the objects whose status shows the load balancer's address, in group order
	// Kept are members of which only the cloud knows what they want: what it has of them stays, and of what they share
	// with the others nothing goes.
	Kept []Object
	// Source is the security group that targets are opened from; the zero value is the backend one.
	Source         SecurityGroupRef
	LoadBalancers  []LoadBalancer
	SecurityGroups []SecurityGroup
	TargetGroups   []TargetGroup
	Bindings       []Binding

	// What an engine with shared listeners serves instead: one virtual host, and what its routes lead to.
	VirtualHosts []VirtualHost
	Upstreams    []Upstream // sorted by id
	Secrets      []Secret   // sorted by id
}

// Empty says whether the stack wants nothing at all.
func (s Stack) Empty() bool {
	return len(s.LoadBalancers) == 0 && len(s.SecurityGroups) == 0 && len(s.TargetGroups) == 0 && len(s.Bindings) == 0 &&
		len(s.VirtualHosts) == 0
}

// Keeper is the kept member that a target group is of, by its id. Ids have no separator between Ingress and Service, so
// one of another member whose name begins alike may count as its too; then too much stays.
func (s Stack) Keeper(group ResourceID) (Object, bool) {
	for _, o := range s.Kept {
		if strings.HasPrefix(string(group), o.Namespace+"/"+o.Name+"-") {
			return o, true
		}
	}
	return Object{}, false
}

// Digest is equal for equal stacks: hex SHA-256 of the text form.
func (s Stack) Digest() string {
	sum := sha256.Sum256([]byte(s.String()))
	return hex.EncodeToString(sum[:])
}

// Tag is a user's tag. The tags that tell ownership are the engine's, not the model's.
type Tag struct{ Key, Value string }

// Observed is what an engine knows of a stack that it has made.
type Observed struct {
	LoadBalancers []ObservedLoadBalancer
	Leaving       []ObservedLoadBalancer // others have taken their place; they are about to be deleted
	TargetGroups  map[ResourceID]TargetGroupRef
	Replaced      []TargetGroupRef // others have their place in TargetGroups; they serve until they are deleted
	// BackendSecurityGroup is the cloud's id of the security group that the cluster's load balancers share as their
	// source towards nodes and pods, or empty while there is none.
	BackendSecurityGroup string
	SecurityGroups       map[ResourceID]string // ids of those that the stack owns
	// Unsecured says that the stack's load balancer has no security groups. Then bindings let in addresses, those of
	// Surroundings.
	Unsecured    bool
	Surroundings Surroundings
}

// Surroundings are blocks of addresses around a load balancer without security groups, of both families.
type Surroundings struct {
	Known   bool
	Clients []string // of all that can reach it
	Subnets []string // of its subnets
}

// Source is the cloud's id of the security group that a stack's targets are opened from, or empty while it is not there.
func (o Observed) Source(ref SecurityGroupRef) string {
	switch {
	case ref.Named != "":
		return ref.Named
	case ref.Managed != "":
		return o.SecurityGroups[ref.Managed]
	default:
		return o.BackendSecurityGroup
	}
}

// ObservedLoadBalancer is a load balancer as the cloud reports it.
type ObservedLoadBalancer struct {
	ID      ResourceID
	Name    string
	DNSName string
	// IPAddressType tells whether it has IPv6 addresses.
	IPAddressType IPAddressType
	ZoneID        string // the hosted zone an alias record needs
	Active        bool   // false while it is being provisioned
}

// TargetGroupRef is the cloud's own name of a target group: on AWS its ARN.
type TargetGroupRef string

// Name is the cloud's name of the target group; empty for a reference that does not tell.
func (r TargetGroupRef) Name() string {
	_, path, _ := strings.Cut(string(r), ":targetgroup/")
	name, _, _ := strings.Cut(path, "/")
	return name
}
