package enginetest

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/sluicehq/sluice/internal/lb"
)

// Shape says what a stack of the suite looks like. The zero value is one listener without rules.
type Shape struct {
	Internal bool
	Ports    []uint16 // 80 when empty
	Rules    []Path   // the same on every port
	Health   string   // health check path; "/" when empty
	Node     bool     // instance targets instead of ip targets
	CIDRs    []string // 0.0.0.0/0 when empty
	Tag      string   // value of a tag "team" on everything; none when empty
	Tuned    bool     // attributes that are not the default, on everything that has some
	Guarded  bool     // every rule has a condition of each other field too, and transforms
	Secured  []string // hosts that port 443 serves with HTTPS; none when empty
}

// Path is one rule: a path and the service that gets it. An empty service is a redirect.
type Path struct {
	Path    string
	Service string
	Other   string // a second service that gets some of it
}

// Stack is the stack of one Ingress default/<name>, as compile would make it.
func Stack(name string, s Shape) lb.Stack {
	ingress := lb.Object{Kind: "Ingress", Namespace: "default", Name: name}
	from := []lb.Object{ingress}
	id := lb.StackID("default/" + name)
	var tags []lb.Tag
	if s.Tag != "" {
		tags = []lb.Tag{{Key: "team", Value: s.Tag}}
	}
	scheme := lb.InternetFacing
	if s.Internal {
		scheme = lb.Internal
	}
	group := lb.SecurityGroup{
		ID: lb.ManagedSecurityGroupID, Name: lb.ManagedSecurityGroupName(Cluster, id),
		Description: "[k8s] Managed SecurityGroup for LoadBalancer", Tags: tags, From: from,
	}
	balancer := lb.LoadBalancer{
		ID: lb.LoadBalancerID, Name: lb.LoadBalancerName(Cluster, id, scheme), Type: lb.Application, Scheme: scheme,
		IPAddressType:  lb.IPv4,
		SecurityGroups: []lb.SecurityGroupRef{{Managed: group.ID}, {Backend: true}},
		Tags:           tags, From: from,
	}
	stack := lb.Stack{ID: id, Members: from}
	if s.Tuned {
		balancer.Attributes = []lb.Attribute{{Key: "idle_timeout.timeout_seconds", Value: "30"}, {Key: "routing.http.xff_client_port.enabled", Value: "true"}}
	}
	ports := slices.Clone(orElse(s.Ports, 80))
	if len(s.Secured) > 0 {
		ports = append(ports, securePort)
	}
	for _, port := range ports {
		for _, cidr := range orElse(s.CIDRs, "0.0.0.0/0") {
			group.Ingress = append(group.Ingress, lb.IngressRule{Protocol: "tcp", From: int32(port), To: int32(port), CIDR: cidr})
		}
		listener := lb.Listener{
			Port: port, Protocol: lb.HTTP, Tags: tags, From: from,
			Default: lb.Action{FixedResponse: &lb.FixedResponse{StatusCode: 404, ContentType: "text/plain"}},
		}
		if port == securePort {
			listener.Protocol, listener.Handshake.Policy = lb.HTTPS, "ELBSecurityPolicy-TLS13-1-2-2021-06"
			for _, host := range s.Secured {
				listener.Handshake.Certificates = append(listener.Handshake.Certificates, lb.Certificate{Host: host, From: ingress})
			}
		}
		if s.Tuned {
			listener.Attributes = []lb.Attribute{{Key: "routing.http.response.server.enabled", Value: "false"}}
		}
		for i, p := range s.Rules {
			listener.Rules = append(listener.Rules, lb.Rule{
				Priority:   i + 1,
				Conditions: append(guards(s), lb.Condition{Field: lb.PathPattern, Values: []string{p.Path}}),
				Transforms: transforms(s),
				Action:     guardedAction(port, s, actionOf(&stack, name, p, s, tags)), Tags: tags, From: ingress,
				Field: fmt.Sprintf("spec.rules[0].http.paths[%d]", i),
			})
		}
		balancer.Listeners = append(balancer.Listeners, listener)
	}
	slices.SortFunc(balancer.Listeners, func(a, b lb.Listener) int { return cmp.Compare(a.Port, b.Port) })
	slices.SortFunc(group.Ingress, lb.IngressRule.Compare)
	stack.LoadBalancers, stack.SecurityGroups = []lb.LoadBalancer{balancer}, []lb.SecurityGroup{group}
	slices.SortFunc(stack.TargetGroups, func(a, b lb.TargetGroup) int { return cmp.Compare(a.ID, b.ID) })
	return stack
}

// guards are conditions of most other fields.
func guards(s Shape) []lb.Condition {
	if !s.Guarded {
		return nil
	}
	return []lb.Condition{
		{Field: lb.SourceIP, Values: []string{"10.0.0.0/8"}},
		{Field: lb.HTTPHeader, Name: "X-Env", Regexes: []string{"^(green|blue)$"}},
		{Field: lb.QueryString, Pairs: []lb.QueryPair{{Key: "v", Value: "2"}}},
		{Field: lb.RequestMethod, Values: []string{"GET"}},
	}
}

func transforms(s Shape) []lb.Transform {
	if !s.Guarded {
		return nil
	}
	return []lb.Transform{
		{Type: lb.HostHeaderRewrite, Regex: `^(.*)\.example\.com$`, Replace: "$1.internal"},
		{Type: lb.URLRewrite, Regex: "^/api/", Replace: "/"},
	}
}

// guardedAction asks for tokens where that can be done.
func guardedAction(port uint16, s Shape, a lb.Action) lb.Action {
	if s.Guarded && port == securePort {
		a.Tokens = &lb.Tokens{
			Keys: "https://issuer.example.com/keys", Issuer: "https://issuer.example.com",
			Claims: []lb.Claim{{Name: "scope", Format: lb.SpaceSeparators, Values: []string{"read", "write"}}},
		}
	}
	return a
}

// actionOf is the action of a rule; the target groups that it needs are added to the stack.
func actionOf(stack *lb.Stack, ingress string, p Path, s Shape, tags []lb.Tag) lb.Action {
	if p.Service == "" {
		return lb.Action{Redirect: &lb.Redirect{Path: "/moved", StatusCode: 301}}
	}
	forward := &lb.Forward{TargetGroups: []lb.WeightedTargetGroup{{ID: need(stack, ingress, p.Service, s, tags), Weight: 1}}}
	if p.Other != "" && p.Other != p.Service {
		forward.TargetGroups[0].Weight = 80
		forward.TargetGroups = append(forward.TargetGroups,
			lb.WeightedTargetGroup{ID: need(stack, ingress, p.Other, s, tags), Weight: 20})
	}
	return lb.Action{Forward: forward}
}

func need(stack *lb.Stack, ingress, service string, s Shape, tags []lb.Tag) lb.ResourceID {
	port := lb.Port{Number: 80}
	id := lb.TargetGroupID("default", ingress, service, port)
	if slices.ContainsFunc(stack.TargetGroups, func(g lb.TargetGroup) bool { return g.ID == id }) {
		return id
	}
	kind, targetPort := lb.IPTargets, uint16(8080)
	if s.Node {
		kind, targetPort = lb.InstanceTargets, 30080
	}
	stack.TargetGroups = append(stack.TargetGroups, lb.TargetGroup{
		ID: id,
		Name: lb.TargetGroupName(lb.TargetGroupIdentity{
			Cluster: Cluster, Stack: stack.ID, IngressNamespace: "default", IngressName: ingress,
			ServiceNamespace: "default", ServiceName: service, ServiceUID: "uid-of-" + service, Port: port,
			TargetPort: targetPort, TargetType: kind, Protocol: lb.HTTP, ProtocolVersion: lb.HTTP1,
		}),
		TargetType: kind, Protocol: lb.HTTP, ProtocolVersion: lb.HTTP1, Port: targetPort, IPAddressType: lb.IPv4,
		HealthCheck: lb.HealthCheck{
			Protocol: lb.HTTP, Path: cmp.Or(s.Health, "/"), Interval: 15 * time.Second, Timeout: 5 * time.Second,
			HealthyThreshold: 2, UnhealthyThreshold: 2, Matcher: "200",
		},
		Tags: tags, From: stack.Members,
	})
	if s.Tuned {
		stack.TargetGroups[len(stack.TargetGroups)-1].Attributes = []lb.Attribute{{Key: "deregistration_delay.timeout_seconds", Value: "30"}}
	}
	return id
}

// securePort is where stacks serve with HTTPS.
const securePort = 443

// Hosts are those that the world has certificates for, a different one for each.
var Hosts = []string{"one.example.com", "two.example.org"}

// Any is a random shape: an edit of anything that users edit.
func Any(r *rand.Rand) Shape {
	pick := func(values ...string) string { return values[r.IntN(len(values))] }
	s := Shape{
		Internal: r.IntN(4) == 0, Node: r.IntN(4) == 0, Guarded: r.IntN(4) == 0,
		Health: pick("", "", "/health"), Tag: pick("", "blue", "green"),
	}
	for _, port := range []uint16{80, 8080, 9000} {
		if r.IntN(2) == 0 {
			s.Ports = append(s.Ports, port)
		}
	}
	for _, cidr := range []string{"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"} {
		if r.IntN(3) == 0 {
			s.CIDRs = append(s.CIDRs, cidr)
		}
	}
	if i := r.IntN(3); i < len(Hosts) {
		s.Secured = Hosts[i : i+1] // which of several is the default one depends on their ids
	}
	paths := []string{"/a", "/b", "/c/*", "/d", "/e"}
	r.Shuffle(len(paths), func(i, j int) { paths[i], paths[j] = paths[j], paths[i] })
	for _, path := range paths[:r.IntN(len(paths)+1)] {
		s.Rules = append(s.Rules, Path{path, pick("app1", "app2", "app3", ""), pick("", "", "app2")})
	}
	return s
}

func orElse[V any](list []V, other V) []V {
	if len(list) == 0 {
		return []V{other}
	}
	return list
}
