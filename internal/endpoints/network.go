package endpoints

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	elbv2api "github.com/sluicehq/sluice/api/elbv2/v1beta1"
	"github.com/sluicehq/sluice/internal/lb"
)

// InvalidNetworking is the reason of verdicts about spec.networking.
const InvalidNetworking lb.Reason = "InvalidNetworking"

// PodInterface is the annotation by which the VPC resource controller tells the interfaces that a pod has to itself.
const PodInterface = "vpc.amazonaws.com/pod-eni"

const (
	computeType          = "eks.amazonaws.com/compute-type"
	sagemakerComputeType = "sagemaker.amazonaws.com/compute-type"
	lastPort             = 65535
)

// asked is one rule of spec.networking: a port, maybe by name, from a source.
type asked struct {
	lb.IngressRule
	name string // of a container port, instead of From and To
}

// openings are what a binding's spec.networking asks for at each of its endpoints, sorted by place.
func openings(binding *elbv2api.TargetGroupBinding, found []endpoint) ([]lb.Opening, []lb.Verdict) {
	if binding.Spec.Networking == nil {
		return nil, nil
	}
	rules, verdicts := askedRules(binding)
	plain := make([]lb.IngressRule, 0, len(rules))
	named := false
	for _, r := range rules {
		if r.name == "" {
			plain = append(plain, r.IngressRule)
		}
		named = named || r.name != ""
	}
	plain = tidy(plain)
	byPlace := map[lb.Place][]lb.IngressRule{}
	for _, e := range found {
		if e.place == (lb.Place{}) {
			continue // an EKS hybrid node: nothing in AWS guards it
		}
		if !named {
			byPlace[e.place] = plain
			continue
		}
		more, problems := numbered(binding, rules, e.pod)
		byPlace[e.place] = tidy(slices.Concat(byPlace[e.place], plain, more))
		verdicts = append(verdicts, problems...)
	}
	out := make([]lb.Opening, 0, len(byPlace))
	for _, place := range slices.SortedFunc(maps.Keys(byPlace), lb.Place.Compare) {
		out = append(out, lb.Opening{At: place, Rules: byPlace[place]})
	}
	return out, verdicts
}

// askedRules are every peer of a rule with every port. What cannot be read is left out.
func askedRules(binding *elbv2api.TargetGroupBinding) ([]asked, []lb.Verdict) {
	var out []asked
	var verdicts []lb.Verdict
	byName := *binding.Spec.TargetType == elbv2api.TargetTypeIP
	problem := func(field, value, what, fix string) {
		verdicts = append(verdicts, lb.Verdict{
			Object: Object(binding), Severity: lb.Partial, Reason: InvalidNetworking,
			Field: field, Value: value, Problem: what, Fix: fix,
		})
	}
	for i, rule := range binding.Spec.Networking.Ingress {
		at := fmt.Sprintf("spec.networking.ingress[%d]", i)
		ports := rule.Ports
		if len(ports) == 0 {
			ports = []elbv2api.NetworkingPort{{}} // all of TCP
		}
		for j, peer := range rule.From {
			source, ok := sourceOf(peer)
			if !ok {
				problem(fmt.Sprintf("%s.from[%d]", at, j), cidrOf(peer), "is neither a security group nor a block of addresses; it is left out",
					"Set securityGroup.groupID, or ipBlock.cidr as in 10.0.0.0/8")
				continue
			}
			for k, port := range ports {
				r := asked{IngressRule: source}
				r.Protocol, r.To = "tcp", lastPort
				if port.Protocol != nil && *port.Protocol == "UDP" {
					r.Protocol = "udp"
				}
				switch {
				case port.Port == nil:
				case port.Port.Type == intstr.Int && port.Port.IntVal >= 0 && port.Port.IntVal <= lastPort:
					r.From, r.To = port.Port.IntVal, port.Port.IntVal
				case port.Port.Type == intstr.String && byName:
					r.name = port.Port.StrVal
				default:
					problem(fmt.Sprintf("%s.ports[%d].port", at, k), port.Port.String(), "is no port of targets of type "+string(*binding.Spec.TargetType)+"; it is left out",
						"Use a number from 0 to 65535, or, where targets are of type ip, the name of a container port")
					continue
				}
				out = append(out, r)
			}
		}
	}
	return out, verdicts
}

func sourceOf(peer elbv2api.NetworkingPeer) (lb.IngressRule, bool) {
	if peer.SecurityGroup != nil && peer.SecurityGroup.GroupID != "" {
		return lb.IngressRule{Group: lb.SecurityGroupID(peer.SecurityGroup.GroupID)}, true
	}
	block, err := netip.ParsePrefix(cidrOf(peer))
	if err != nil {
		return lb.IngressRule{}, false
	}
	return lb.IngressRule{CIDR: block.Masked().String()}, true
}

func cidrOf(peer elbv2api.NetworkingPeer) string {
	if peer.IPBlock == nil {
		return ""
	}
	return peer.IPBlock.CIDR
}

// numbered are the rules by name with the numbers that a pod has for them.
func numbered(binding *elbv2api.TargetGroupBinding, rules []asked, pod *corev1.Pod) (out []lb.IngressRule, verdicts []lb.Verdict) {
	for _, r := range rules {
		if r.name == "" {
			continue
		}
		number, ok := containerPort(pod, r.name)
		if !ok {
			verdicts = append(verdicts, lb.Verdict{
				Object: Object(binding), Severity: lb.Partial, Reason: InvalidNetworking, Field: "spec.networking", Value: r.name,
				Problem: "not every Pod of the Service has a container port of this name; those that lack it let nothing in by it",
				Fix:     "Name the port in the Pods, or use its number",
			})
			continue
		}
		rule := r.IngressRule
		rule.From, rule.To = number, number
		out = append(out, rule)
	}
	return out, verdicts
}

// containerPort finds a port by name, also of containers that start with the pod and stay.
func containerPort(pod *corev1.Pod, name string) (int32, bool) {
	if pod == nil {
		return 0, false
	}
	containers := slices.Clone(pod.Spec.Containers)
	for _, c := range pod.Spec.InitContainers {
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			containers = append(containers, c)
		}
	}
	for _, c := range containers {
		for _, p := range c.Ports {
			if p.Name == name {
				return p.ContainerPort, true
			}
		}
	}
	return 0, false
}

// podPlace says where a pod is: on an interface of its own, on one of its node's, or, where the node is no instance of
// the account, at its address. The place is empty for pods outside of AWS.
func podPlace(pod *corev1.Pod, address string, node *corev1.Node) lb.Place {
	if id := ownInterface(pod, address); id != "" {
		return lb.Place{Interface: id, Address: address}
	}
	if node == nil {
		return lb.Place{Address: address}
	}
	id, _ := InstanceID(node)
	switch {
	case node.Labels[computeType] == "hybrid":
		return lb.Place{}
	case node.Labels[computeType] == "fargate", node.Labels[sagemakerComputeType] == "hyperpod":
		return lb.Place{Address: address}
	case id == "":
		return lb.Place{}
	default:
		return lb.Place{Instance: id, Address: address}
	}
}

// ownInterface reads PodInterface; empty when the pod has none with this address.
func ownInterface(pod *corev1.Pod, address string) string {
	var list []struct {
		ID   string `json:"eniId"`
		IPv4 string `json:"privateIp"`
		IPv6 string `json:"ipv6Addr"`
	}
	if err := json.Unmarshal([]byte(pod.Annotations[PodInterface]), &list); err != nil {
		return "" // none, or not for us to judge
	}
	for _, i := range list {
		if address == i.IPv4 || address == i.IPv6 {
			return i.ID
		}
	}
	return ""
}

// IngressOf puts openings on the security groups of their places. What is at a place without one is left out.
func IngressOf(list []lb.Opening, groups map[lb.Place]lb.SecurityGroupID) lb.Ingress {
	out := lb.Ingress{}
	for _, o := range list {
		group, ok := groups[o.At]
		if !ok {
			continue
		}
		if have, seen := out[group]; !seen || !slices.Equal(have, o.Rules) {
			out[group] = append(slices.Clone(have), o.Rules...)
		}
	}
	for group, rules := range out {
		out[group] = tidy(rules)
	}
	return out
}

// MergeIngress is what all of these ask for together. There is one rule for each protocol and security group as a
// source, from the lowest port to the highest: rules of a security group are few. Blocks of addresses are kept as they
// are: opening ports between to the world would be another matter.
func MergeIngress(all []lb.Ingress) lb.Ingress {
	type source struct {
		protocol string
		group    lb.SecurityGroupID
	}
	gathered := lb.Ingress{}
	for _, one := range all {
		for group, rules := range one {
			gathered[group] = append(gathered[group], rules...)
		}
	}
	for group, rules := range gathered {
		ranges := map[source]lb.IngressRule{}
		var merged []lb.IngressRule
		for _, r := range rules {
			if r.Group == "" {
				merged = append(merged, r)
				continue
			}
			key := source{r.Protocol, r.Group}
			if have, ok := ranges[key]; ok {
				r.From, r.To = min(r.From, have.From), max(r.To, have.To)
			}
			ranges[key] = r
		}
		gathered[group] = tidy(slices.AppendSeq(merged, maps.Values(ranges)))
	}
	return gathered
}

// tidy sorts rules in place and drops repeats.
func tidy(rules []lb.IngressRule) []lb.IngressRule {
	slices.SortFunc(rules, lb.IngressRule.Compare)
	return slices.Compact(rules)
}
