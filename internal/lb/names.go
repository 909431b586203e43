package lb

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
)

// The names below are those that the AWS Load Balancer Controller gives, so that either can take over from the other.
// They hash a plain concatenation, without separators; that is part of the form.

// LoadBalancerName is the name of the load balancer of a stack.
func LoadBalancerName(cluster string, stack StackID, scheme Scheme) string {
	return stackName(stack) + "-" + hash(cluster, string(stack), string(scheme))
}

// ManagedSecurityGroupName is the name of the security group that a stack makes for its load balancer.
func ManagedSecurityGroupName(cluster string, stack StackID) string {
	return stackName(stack) + "-" + hash(cluster, string(stack))
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
	return "k8s-" + head(sanitize(id.ServiceNamespace), 8) + "-" + head(sanitize(id.ServiceName), 8) + "-" +
		hash(id.Cluster, string(id.Stack), id.IngressNamespace, id.IngressName, id.ServiceUID, id.Port.String(),
			strconv.Itoa(int(id.TargetPort)), string(id.TargetType), string(id.Protocol), string(id.ProtocolVersion))
}

// UnknownTargetGroupName stands in for the name of a target group whose Service is only planned: the name depends on
// the Service's UID. It is no name that AWS would take, and different for each member of a group.
func UnknownTargetGroupName(id TargetGroupIdentity) string {
	what := id.Port.String()
	if _, _, own := strings.Cut(string(id.Stack), "/"); !own {
		what += " of Ingress " + id.IngressNamespace + "/" + id.IngressName
	}
	return "k8s-" + head(sanitize(id.ServiceNamespace), 8) + "-" + head(sanitize(id.ServiceName), 8) + "-(" + what + ", known after apply)"
}

// TargetGroupID is the resource id of the target group for one Service port of an Ingress.
func TargetGroupID(ingressNamespace, ingressName, service string, port Port) ResourceID {
	return ResourceID(ingressNamespace + "/" + ingressName + "-" + service + ":" + port.String())
}

func stackName(stack StackID) string {
	namespace, name, own := strings.Cut(string(stack), "/")
	if !own {
		return "k8s-" + head(sanitize(namespace), 17)
	}
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
