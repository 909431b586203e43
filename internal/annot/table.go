// Package annot turns what users write on Kubernetes objects (annotations, class parameters) into typed settings and
// verdicts, once. Its table is the only place in the program that knows an annotation's key, type, default and scope;
// the reference page docs/annotations.md is generated from it.
//
// A setting that cannot be read is a verdict naming the annotation, its value, what is wrong and how to mend it. What
// settings mean for a load balancer is compile's business.
package annot

import (
	"cmp"
	"slices"
	"strings"
)

// Prefix of the annotations of Ingresses for Application Load Balancers, as the AWS Load Balancer Controller has it.
const Prefix = "alb.ingress.kubernetes.io/"

// ClassAnnotation is the form of spec.ingressClassName before Kubernetes 1.18.
const ClassAnnotation = "kubernetes.io/ingress.class"

// Scope is what a setting is about.
type Scope string

// The scopes.
const (
	LoadBalancerScope Scope = "load balancer"
	ListenerScope     Scope = "listener"
	RuleScope         Scope = "rule"
	TargetGroupScope  Scope = "target group"
)

// Type is the syntax of a value.
type Type string

// The syntaxes.
const (
	String  Type = "string"
	Boolean Type = "boolean"
	Integer Type = "integer"
	List    Type = "comma-separated list"
	Map     Type = "comma-separated key=value pairs"
	JSON    Type = "JSON"
)

// Support says what this version does with an annotation.
type Support string

// What can become of an annotation.
const (
	// Served annotations have their effect.
	Served Support = "yes"
	// Passed annotations have none; the object is served without it, with a warning.
	Passed Support = "no: ignored with a warning"
	// Stops annotations have none, and serving without them would let in whom they keep out, or put the load balancer
	// somewhere else: the object is refused.
	Stops Support = "no: the Ingress is refused"
)

// Key is one annotation.
type Key struct {
	Prefix  string // of its family: Prefix when empty
	Suffix  string // after the prefix; ends in a dot where the user's own name follows
	Type    Type
	Values  []string // the only ones allowed, if any
	Default string
	Scope   Scope
	Class   string // the field of IngressClassParams that replaces it, if any
	Service bool   // also read from the Service, which wins
	Support Support
	Doc     string
}

// onService says whether the annotation has an effect on a Service.
func (k Key) onService() bool { return k.Service || k.Prefix == ServicePrefix }

// family is the annotations under one prefix.
type family struct {
	prefix string
	keys   []Key
	starts []string // of those that are ours to judge; others belong to other programs. Nil for all
}

var (
	balancerFamily = family{prefix: Prefix, keys: table}
	serviceFamily  = family{prefix: ServicePrefix, keys: serviceTable, starts: []string{"aws-load-balancer-", "load-balancer-source-ranges", "actions."}}
)

func (f family) has(suffix string) bool {
	return f.starts == nil || slices.ContainsFunc(f.starts, func(start string) bool { return strings.HasPrefix(suffix, start) })
}

// Annotation is the whole key.
func (k Key) Annotation() string { return cmp.Or(k.Prefix, Prefix) + k.Suffix }

// The keys that settings are read from.
var (
	groupName = Key{Suffix: "group.name", Type: String, Scope: LoadBalancerScope, Class: "group.name", Support: Served,
		Doc: "Ingresses with the same name share one load balancer, in all namespaces: 1 to 63 lower-case letters, digits, hyphens and dots."}
	groupOrder = Key{Suffix: "group.order", Type: Integer, Default: "0", Scope: LoadBalancerScope, Support: Served,
		Doc: "Place of the Ingress's rules within the group, -1000 to 1000, the lowest first; then by namespace and name."}
	loadBalancerName = Key{Suffix: "load-balancer-name", Type: String, Default: "generated", Scope: LoadBalancerScope, Class: "loadBalancerName", Support: Served,
		Doc: "Name of a new load balancer, at most 32 characters. An existing one keeps its name."}
	scheme = Key{Suffix: "scheme", Type: String, Values: []string{"internal", "internet-facing"}, Default: "internal", Scope: LoadBalancerScope, Class: "scheme", Support: Served,
		Doc: "Who can reach the load balancer. A change makes a new one, moves the address, and then removes the old one."}
	ipAddressType = Key{Suffix: "ip-address-type", Type: String, Values: []string{"ipv4", "dualstack", "dualstack-without-public-ipv4"}, Default: "ipv4", Scope: LoadBalancerScope, Class: "ipAddressType", Support: Served,
		Doc: "Address family of the load balancer. This version serves ipv4 and refuses the others."}
	subnets = Key{Suffix: "subnets", Type: List, Default: "discovered by role tag", Scope: LoadBalancerScope, Class: "subnets", Support: Served,
		Doc: "Subnets by id (subnet-…) or by the value of their Name tag, one in each zone."}
	inboundCIDRs = Key{Suffix: "inbound-cidrs", Type: List, Default: "0.0.0.0/0", Scope: LoadBalancerScope, Class: "inboundCIDRs", Support: Served,
		Doc: "CIDR blocks that the managed security group lets in, on every port of the Ingress."}
	tags = Key{Suffix: "tags", Type: Map, Scope: LoadBalancerScope, Class: "tags", Service: true, Support: Served,
		Doc: "Tags for everything that is made for the Ingress; on a Service, for its target groups."}
	listenPorts = Key{Suffix: "listen-ports", Type: JSON, Default: `[{"HTTP": 80}]; with certificates listed [{"HTTPS": 443}]`, Scope: ListenerScope, Support: Served,
		Doc: `Ports to listen on, such as [{"HTTP": 80}, {"HTTPS": 443}].`}
	certificateARN = Key{Suffix: "certificate-arn", Type: List, Default: "found by host", Scope: ListenerScope, Class: "certificateArn", Support: Served,
		Doc: "Certificates of HTTPS ports by their ARNs in ACM or IAM; the first of the first Ingress is the default. Without it, those that ACM has for the hosts in spec.rules and spec.tls are taken, exact and wildcard ones. Secrets in spec.tls have no effect."}
	sslPolicy = Key{Suffix: "ssl-policy", Type: String, Default: "--default-ssl-policy", Scope: ListenerScope, Class: "sslPolicy", Support: Served,
		Doc: "Security policy of the HTTPS ports of the Ingress, by its name in ELB."}
	sslRedirect = Key{Suffix: "ssl-redirect", Type: Integer, Scope: ListenerScope, Class: "sslRedirectPort", Support: Served,
		Doc: "HTTPS port to which all HTTP ports of the load balancer redirect (301). Their rules then have no effect."}
	prefixLists = Key{Suffix: "security-group-prefix-lists", Type: List, Scope: LoadBalancerScope, Class: "prefixListsIDs", Support: Served,
		Doc: "Prefix lists (pl-…) that the managed security group lets in, on every port of the Ingress, in addition to inbound-cidrs. Given alone, they take the place of 0.0.0.0/0."}
	securityGroups = Key{Suffix: "security-groups", Type: List, Default: "a managed one and the cluster's own", Scope: LoadBalancerScope, Support: Served,
		Doc: "Security groups of the load balancer instead of the managed one, by id (sg-…) or by the value of their Name tag. inbound-cidrs then has no effect."}
	manageBackendRules = Key{Suffix: "manage-backend-security-group-rules", Type: Boolean, Default: "false", Scope: LoadBalancerScope, Support: Served,
		Doc: "With security-groups: whether the load balancer has the cluster's own security group too, from which nodes and pods are opened."}
	loadBalancerAttributes = Key{Suffix: "load-balancer-attributes", Type: Map, Scope: LoadBalancerScope, Class: "loadBalancerAttributes", Support: Served,
		Doc: "Attributes of the load balancer, as ELBv2 names them. One that is taken out of the annotation stays as it was. With deletion_protection.enabled=true the load balancer is not deleted when the Ingress is. In a group, the class field of the first member counts, key by key."}
	listenerAttributes = Key{Suffix: "listener-attributes.", Type: Map, Scope: ListenerScope, Class: "listeners", Support: Served,
		Doc: "Attributes of the listener PROTOCOL-PORT, such as listener-attributes.HTTP-80. One that is taken out of the annotation stays as it was."}
	targetGroupAttributes = Key{Suffix: "target-group-attributes", Type: Map, Scope: TargetGroupScope, Service: true, Support: Served,
		Doc: "Attributes of the target groups, as ELBv2 names them. One that is taken out of the annotation stays as it was."}
	actions = Key{Suffix: "actions.", Type: JSON, Scope: RuleScope, Support: Served,
		Doc: "What happens to the requests of backends with this Service name and the port name use-annotation: a fixed response, a redirect, or forwarding to one or several target groups with weights, also ones that others made (by ARN or name)."}
	conditions = Key{Suffix: "conditions.", Type: JSON, Scope: RuleScope, Support: Served,
		Doc: "Further conditions of the rules of backends with this Service name: host-header, path-pattern, http-header, http-request-method, query-string, source-ip. Hosts, paths and headers may be regular expressions (regexValues). What has more values than a rule can have becomes several rules."}
	wafv2ARN = Key{Suffix: "wafv2-acl-arn", Type: String, Default: "as it is", Scope: LoadBalancerScope, Class: "wafv2AclArn", Support: Served,
		Doc: "Web ACL of WAF in front of the load balancer, by ARN; none takes it away. Without it, or empty, the load balancer keeps what it has. Class parameters win over both annotations, and over those of other Ingresses of the group."}
	wafv2Name = Key{Suffix: "wafv2-acl-name", Type: String, Default: "as it is", Scope: LoadBalancerScope, Class: "wafv2AclName", Support: Served,
		Doc: "The same by name; it wins over the ARN."}
	wafACLID = Key{Suffix: "waf-acl-id", Type: String, Default: "as it is", Scope: LoadBalancerScope, Support: Served,
		Doc: "Web ACL of WAF Classic by id; none takes it away."}
	webACLID = Key{Suffix: "web-acl-id", Type: String, Scope: LoadBalancerScope, Support: Served,
		Doc: "Older name of waf-acl-id, read where that is not there."}
	shieldProtection = Key{Suffix: "shield-advanced-protection", Type: Boolean, Default: "as it is", Scope: LoadBalancerScope, Support: Served,
		Doc: "Whether Shield Advanced protects the load balancer. A protection that others made is left alone."}
	jwtValidation = Key{Suffix: "jwt-validation", Type: JSON, Scope: RuleScope, Support: Served,
		Doc: "Lets only requests through that carry a JSON Web Token of this issuer, signed with its keys, with these claims. On HTTPS ports; HTTP ports of the Ingress let everything through, which is told."}
	transforms = Key{Suffix: "transforms.", Type: JSON, Scope: RuleScope, Support: Served,
		Doc: "Changes the requests of backends with this Service name before they are forwarded: url-rewrite and host-header-rewrite, each with one regex and what replaces its first match."}
	useRegexPathMatch = Key{Suffix: "use-regex-path-match", Type: Boolean, Default: "false", Scope: RuleScope, Support: Served,
		Doc: "Paths of type ImplementationSpecific are regular expressions, without their first slash: /^/v[0-9]+/ stands for ^/v[0-9]+/."}
	backendProtocolVersion = Key{Suffix: "backend-protocol-version", Type: String, Values: []string{"HTTP1", "HTTP2", "GRPC"}, Default: "HTTP1", Scope: TargetGroupScope, Service: true, Support: Served,
		Doc: "HTTP version toward targets. HTTP2 and GRPC work on HTTPS ports only; GRPC is probed at /AWS.ALB/healthcheck and is healthy with code 12, where nothing else is said."}
	targetType = Key{Suffix: "target-type", Type: String, Values: []string{"instance", "ip"}, Default: "instance", Scope: TargetGroupScope, Class: "targetType", Service: true, Support: Served,
		Doc: "How targets are addressed: nodes by node port, or pods by address."}
	backendProtocol = Key{Suffix: "backend-protocol", Type: String, Values: []string{"HTTP", "HTTPS"}, Default: "HTTP", Scope: TargetGroupScope, Service: true, Support: Served,
		Doc: "Protocol toward targets."}
	healthCheckPort = Key{Suffix: "healthcheck-port", Type: String, Default: "traffic-port", Scope: TargetGroupScope, Service: true, Support: Served,
		Doc: "Port to probe: traffic-port, a number, or the name of a Service port."}
	healthCheckProtocol = Key{Suffix: "healthcheck-protocol", Type: String, Values: []string{"HTTP", "HTTPS"}, Default: "the backend protocol", Scope: TargetGroupScope, Service: true, Support: Served,
		Doc: "Protocol of the probe."}
	healthCheckPath = Key{Suffix: "healthcheck-path", Type: String, Default: "/; of GRPC /AWS.ALB/healthcheck", Scope: TargetGroupScope, Service: true, Support: Served,
		Doc: "Path to probe, at most 1024 characters, beginning with a slash."}
	healthCheckInterval = Key{Suffix: "healthcheck-interval-seconds", Type: Integer, Default: "15", Scope: TargetGroupScope, Service: true, Support: Served,
		Doc: "Seconds between probes, 5 to 300."}
	healthCheckTimeout = Key{Suffix: "healthcheck-timeout-seconds", Type: Integer, Default: "5", Scope: TargetGroupScope, Service: true, Support: Served,
		Doc: "Seconds until a probe counts as failed, 2 to 120, not more than the interval."}
	healthyThreshold = Key{Suffix: "healthy-threshold-count", Type: Integer, Default: "2", Scope: TargetGroupScope, Service: true, Support: Served,
		Doc: "Good probes in a row until an unhealthy target is healthy, 2 to 10."}
	unhealthyThreshold = Key{Suffix: "unhealthy-threshold-count", Type: Integer, Default: "2", Scope: TargetGroupScope, Service: true, Support: Served,
		Doc: "Failed probes in a row until a healthy target is unhealthy, 2 to 10."}
	successCodes = Key{Suffix: "success-codes", Type: String, Default: "200; of GRPC 12", Scope: TargetGroupScope, Service: true, Support: Served,
		Doc: "Statuses of a good probe, 200 to 499: 200, a list 200,202 or a range 200-299. Of GRPC, codes 0 to 99."}
	multiCluster = Key{Suffix: "multi-cluster-target-group", Type: Boolean, Default: "false", Scope: TargetGroupScope, Service: true, Support: Served,
		Doc: "Other clusters have targets in the target groups too: only those that this cluster registered are deregistered. True where the Ingress or the Service says so."}
	targetNodeLabels = Key{Suffix: "target-node-labels", Type: Map, Scope: TargetGroupScope, Service: true, Support: Served,
		Doc: "Labels of the nodes that become instance targets."}
)

// table is every annotation of the reference under Prefix, in the order of the reference page.
var table = []Key{
	groupName, groupOrder, loadBalancerName, scheme, ipAddressType, subnets, inboundCIDRs, prefixLists, securityGroups, manageBackendRules, loadBalancerAttributes, tags,
	{Suffix: "customer-owned-ipv4-pool", Type: String, Scope: LoadBalancerScope, Support: Stops, Doc: "Address pool on an Outpost."},
	{Suffix: "ipam-ipv4-pool-id", Type: String, Scope: LoadBalancerScope, Support: Stops, Doc: "IPAM pool of public addresses."},
	{Suffix: "minimum-load-balancer-capacity", Type: Map, Scope: LoadBalancerScope, Class: "minimumLoadBalancerCapacity", Support: Passed, Doc: "Reserved capacity units."},
	wafv2ARN, wafv2Name, wafACLID, webACLID, shieldProtection,
	{Suffix: "enable-frontend-nlb", Type: Boolean, Scope: LoadBalancerScope, Support: Stops, Doc: "A Network Load Balancer in front."},
	{Suffix: "frontend-nlb-", Type: String, Scope: LoadBalancerScope, Support: Passed, Doc: "Settings of the Network Load Balancer in front."},
	{Suffix: "dry-run-plan", Type: JSON, Scope: LoadBalancerScope, Support: Passed, Doc: "Written by the reference, never read."},
	listenPorts, certificateARN, sslPolicy, sslRedirect, listenerAttributes,
	{Suffix: "mutual-authentication", Type: JSON, Scope: ListenerScope, Support: Stops, Doc: "Client certificates."},
	{Suffix: "create-acm-cert", Type: Boolean, Scope: ListenerScope, Support: Stops, Doc: "Requests a certificate."},
	{Suffix: "acm-pca-arn", Type: String, Scope: ListenerScope, Support: Passed, Doc: "Private CA for create-acm-cert."},
	actions, conditions, transforms, useRegexPathMatch,
	{Suffix: "auth-type", Type: String, Values: []string{"none", "cognito", "oidc"}, Scope: RuleScope, Service: true, Support: Stops, Doc: "Authentication of users."},
	{Suffix: "auth-idp-cognito", Type: JSON, Scope: RuleScope, Service: true, Support: Stops, Doc: "Cognito user pool."},
	{Suffix: "auth-idp-oidc", Type: JSON, Scope: RuleScope, Service: true, Support: Stops, Doc: "OpenID Connect provider."},
	{Suffix: "auth-on-unauthenticated-request", Type: String, Scope: RuleScope, Service: true, Support: Stops, Doc: "What happens to others."},
	{Suffix: "auth-scope", Type: String, Scope: RuleScope, Service: true, Support: Stops, Doc: "Scopes to ask for."},
	{Suffix: "auth-session-cookie", Type: String, Scope: RuleScope, Service: true, Support: Stops, Doc: "Name of the session cookie."},
	{Suffix: "auth-session-timeout", Type: Integer, Scope: RuleScope, Service: true, Support: Stops, Doc: "Seconds that a session lasts."},
	jwtValidation,
	targetType, backendProtocol, backendProtocolVersion,
	targetGroupAttributes,
	healthCheckPort, healthCheckProtocol, healthCheckPath, healthCheckInterval, healthCheckTimeout,
	healthyThreshold, unhealthyThreshold, successCodes, targetNodeLabels,
	{Suffix: "target-control-port.", Type: Integer, Scope: TargetGroupScope, Service: true, Support: Passed, Doc: "Port of the target optimizer's agent."},
	multiCluster,
}

// find returns the key that an annotation's suffix belongs to.
func find(keys []Key, suffix string) (Key, bool) {
	for _, k := range keys {
		open := strings.HasSuffix(k.Suffix, ".") || strings.HasSuffix(k.Suffix, "-")
		if k.Suffix == suffix || open && strings.HasPrefix(suffix, k.Suffix) {
			return k, true
		}
	}
	return Key{}, false
}

// Reference is the user's page about all annotations, in Markdown.
func Reference() string {
	var b strings.Builder
	b.WriteString("<!-- Generated by `make generate` from internal/annot; do not edit. -->\n\n# Annotations\n\n")
	b.WriteString("All keys begin with `" + Prefix + "`. Where IngressClassParams has a field for a setting, the field replaces\n")
	b.WriteString("the annotation. What a Service says about target groups wins over what the Ingress says.\n")
	for _, scope := range []Scope{LoadBalancerScope, ListenerScope, RuleScope, TargetGroupScope} {
		b.WriteString("\n## " + strings.ToUpper(string(scope)[:1]) + string(scope)[1:] + "\n\n")
		b.WriteString("| annotation | value | default | class field | on a Service | served | what it does |\n|---|---|---|---|---|---|---|\n")
		for _, k := range table {
			if k.Scope == scope {
				b.WriteString(k.row())
			}
		}
	}
	b.WriteString("\n# Annotations of Services for Network Load Balancers\n\n")
	b.WriteString("All keys begin with `" + ServicePrefix + "`. Nodes are instance targets, pods ip targets.\n")
	for _, scope := range []Scope{LoadBalancerScope, ListenerScope, TargetGroupScope} {
		b.WriteString("\n## Network: " + string(scope) + "\n\n")
		b.WriteString("| annotation | value | default | served | what it does |\n|---|---|---|---|---|\n")
		for _, k := range serviceTable {
			if k.Scope == scope {
				b.WriteString(k.row())
			}
		}
	}
	return b.String()
}

func (k Key) row() string {
	value := string(k.Type)
	if len(k.Values) > 0 {
		value = "`" + strings.Join(k.Values, "`, `") + "`"
	}
	suffix := k.Suffix
	if strings.HasSuffix(suffix, ".") || strings.HasSuffix(suffix, "-") {
		suffix += "NAME"
	}
	service := ""
	if k.Service {
		service = "yes"
	}
	cells := []string{"`" + suffix + "`", value, k.Default, k.Class, service, string(k.Support), k.Doc}
	if k.Prefix == ServicePrefix {
		cells = slices.Delete(cells, 3, 5) // no class, and all are on Services
	}
	for i, c := range cells {
		cells[i] = strings.ReplaceAll(c, "|", "\\|")
	}
	return "| " + strings.Join(cells, " | ") + " |\n"
}

// suffixes lists what a mistyped annotation may have meant.
func suffixes(keys []Key) []string {
	var out []string
	for _, k := range keys {
		out = append(out, k.Suffix)
	}
	slices.Sort(out)
	return out
}
