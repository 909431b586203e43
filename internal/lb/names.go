package lb

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
)

// The names below are those that the AWS Load Balancer Controller gives, so that either can take over from the other.
// They hash a plain concatenation, without separators; that is part of the form.

// LoadBalancerName is the name of the load balancer of a stack of Ingresses.
func LoadBalancerName(cluster string, stack StackID, scheme Scheme) string {
	return stackName(stack) + "-" + hash(cluster, stack.Name(), string(scheme))
}

// ManagedSecurityGroupName is the name of the security group that a stack of Ingresses makes for its load balancer.
func ManagedSecurityGroupName(cluster string, stack StackID) string {
	return stackName(stack) + "-" + hash(cluster, stack.Name())
}

// BackendSecurityGroupName is the name of the security group that all load balancers of a cluster share as their
// source towards nodes and pods.
func BackendSecurityGroupName(cluster string) string {
	return "k8s-traffic-" + head(sanitize(cluster), 232) + "-" + hash(cluster)
}

// TargetGroupIdentity is what makes an Ingress's target group a different one when it changes.
type TargetGroupIdentity struct {
	Cluster          string
	Stack            StackID
	IngressNamespace string
	IngressName      string
	ServiceNamespace string
	ServiceName      string
	ServiceUID       string
	Port             Port // of the Service, as the Ingress writes it
	TargetPort       uint16
	TargetType       TargetType
	Protocol         Protocol
	ProtocolVersion  ProtocolVersion
}

// TargetGroupName is the name of a target group, and of the TargetGroupBinding beside it.
func TargetGroupName(id TargetGroupIdentity) string {
	return objectName(id.ServiceNamespace, id.ServiceName) + "-" +
		hash(id.Cluster, id.Stack.Name(), id.IngressNamespace, id.IngressName, id.ServiceUID, id.Port.String(),
			strconv.Itoa(int(id.TargetPort)), string(id.TargetType), string(id.Protocol), string(id.ProtocolVersion))
}

// OtherTargetGroupName is the name of a target group while another one of the same resource has the name that it would
// have: it differs in the hash. Whoever finds target groups by their tags takes either.
func OtherTargetGroupName(name string) string {
	return name[:strings.LastIndex(name, "-")+1] + hash(name, "other")
}

// UnknownTargetGroupName stands in for the name of a target group whose Service is only planned: the name depends on
// the Service's UID. It is no name that AWS would take, and different for each member of a group.
func UnknownTargetGroupName(id TargetGroupIdentity) string {
	what := id.Port.String()
	if _, _, own := id.Stack.Own(); !own {
		what += " of Ingress " + id.IngressNamespace + "/" + id.IngressName
	}
	return unknownName(id.ServiceNamespace, id.ServiceName, what)
}

// unknownName stands in for a name that depends on what Kubernetes has yet to assign.
func unknownName(namespace, name, what string) string {
	return objectName(namespace, name) + "-(" + what + ", known after apply)"
}

// ServiceIdentity is what makes the load balancer of a Service a different one when it changes.
type ServiceIdentity struct{ Cluster, Namespace, Name, UID string }

// LoadBalancerName is the name of a Service's load balancer.
func (s ServiceIdentity) LoadBalancerName(scheme Scheme) string {
	if s.UID == "" {
		return unknownName(s.Namespace, s.Name, string(scheme))
	}
	return objectName(s.Namespace, s.Name) + "-" + hash(s.Cluster, s.UID, string(scheme))
}

// ManagedSecurityGroupName is the name of the security group that is made for a Service's load balancer.
func (s ServiceIdentity) ManagedSecurityGroupName() string {
	if s.UID == "" {
		return unknownName(s.Namespace, s.Name, "security group")
	}
	return objectName(s.Namespace, s.Name) + "-" + hash(s.Cluster, s.Name, s.Namespace, s.UID)
}

// TargetGroupName is the name of the target group of a Service port, and of the TargetGroupBinding beside it. backend is
// the Service that it is for: this one, or another that a weighted action names. The name is known only with both UIDs.
func (s ServiceIdentity) TargetGroupName(backend ServiceIdentity, port int32, g TargetGroup) string {
	if s.UID == "" || backend.UID == "" {
		return unknownName(backend.Namespace, backend.Name, strconv.Itoa(int(port)))
	}
	base := s.UID
	if backend == s {
		base = ""
	}
	return objectName(backend.Namespace, backend.Name) + "-" + hash(s.Cluster, base, backend.UID,
		strconv.Itoa(int(g.Port)), strconv.Itoa(int(port)), string(g.TargetType), string(g.Protocol),
		string(g.HealthCheck.Protocol), strconv.Itoa(int(g.HealthCheck.Interval.Seconds())))
}

// ServiceTargetGroupID is the resource id of the target group for a port of a Service.
func ServiceTargetGroupID(namespace, service string, port int32) ResourceID {
	return ResourceID(namespace + "/" + service + ":" + strconv.Itoa(int(port)))
}

// TargetGroupID is the resource id of the target group for one Service port of an Ingress.
func TargetGroupID(ingressNamespace, ingressName, service string, port Port) ResourceID {
	return ResourceID(ingressNamespace + "/" + ingressName + "-" + service + ":" + port.String())
}

func stackName(stack StackID) string {
	namespace, name, own := stack.Own()
	if !own {
		return "k8s-" + head(sanitize(namespace), 17)
	}
	return objectName(namespace, name)
}

// objectName begins the names of what is one object's own.
func objectName(namespace, name string) string {
	return "k8s-" + head(sanitize(namespace), 8) + "-" + head(sanitize(name), 8)
}

func sanitize(s string) string {
	return strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' {
			return r
		}
		return -1
	}, s)
}

func hash(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "")))
	return hex.EncodeToString(sum[:])[:10]
}

func head(s string, n int) string {
	return s[:min(len(s), n)]
}
