package annot

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/sluicehq/sluice/internal/lb"
)

// ServicePrefix of the annotations of Services for Network Load Balancers.
const ServicePrefix = "service.beta.kubernetes.io/"

// serviceKey is a key of the family of Services.
func serviceKey(suffix string, kind Type, scope Scope, def, doc string) Key {
	return Key{Prefix: ServicePrefix, Suffix: suffix, Type: kind, Scope: scope, Default: def, Support: Served, Doc: doc}
}

// oneOf is the key with the only values that it can have.
func (k Key) oneOf(values ...string) Key {
	k.Values = values
	return k
}

// The keys that settings of Services are read from.
var (
	nlbType = serviceKey("aws-load-balancer-type", String, LoadBalancerScope, "",
		"external, together with nlb-target-type, or nlb-ip: the Service gets a Network Load Balancer although its spec.loadBalancerClass does not say so. Other values are for other controllers.")
	nlbTargetType = serviceKey("aws-load-balancer-nlb-target-type", String, TargetGroupScope, "instance",
		"How targets are addressed: nodes by node port, or pods by address.").oneOf("instance", "ip")
	nlbName = serviceKey("aws-load-balancer-name", String, LoadBalancerScope, "generated",
		"Name of a new load balancer, at most 32 characters. An existing one keeps its name.")
	nlbScheme = serviceKey("aws-load-balancer-scheme", String, LoadBalancerScope, "internal",
		"Who can reach the load balancer. An existing one keeps its scheme when the annotation goes. A change makes a new one, moves the address, and then removes the old one.").oneOf("internal", "internet-facing")
	nlbInternal = serviceKey("aws-load-balancer-internal", Boolean, LoadBalancerScope, "",
		"Older form of scheme, which wins: true for internal, false for internet-facing.")
	nlbAddressType = serviceKey("aws-load-balancer-ip-address-type", String, LoadBalancerScope, "ipv4",
		"Address family of the load balancer, changed in place.").oneOf("ipv4", "dualstack")
	nlbSubnets = serviceKey("aws-load-balancer-subnets", List, LoadBalancerScope, "discovered by role tag",
		"Subnets by id (subnet-…) or by the value of their Name tag, one in each zone. Their order is that of eip-allocations and source-nat-ipv6-prefixes.")
	nlbEIPs = serviceKey("aws-load-balancer-eip-allocations", List, LoadBalancerScope, "",
		"Elastic IP addresses by allocation id, one for each subnet, in order of the subnets. Internet-facing load balancers only; taken when the load balancer is made or gets the subnet.")
	nlbPrivateIPv4 = serviceKey("aws-load-balancer-private-ipv4-addresses", List, LoadBalancerScope, "",
		"Addresses, one in each subnet, in any order. Internal load balancers only; taken when the load balancer is made.")
	nlbIPv6 = serviceKey("aws-load-balancer-ipv6-addresses", List, LoadBalancerScope, "",
		"Addresses of IPv6, one in each subnet, in any order. Dualstack load balancers only; taken when the load balancer is made.")
	nlbSourceNAT = serviceKey("aws-load-balancer-enable-prefix-for-ipv6-source-nat", String, LoadBalancerScope, "off",
		"Whether the load balancer talks to targets from prefixes of IPv6 of its own, which UDP over IPv6 needs. Dualstack load balancers only.").oneOf("on", "off")
	nlbNATPrefixes = serviceKey("aws-load-balancer-source-nat-ipv6-prefixes", List, LoadBalancerScope, "auto_assigned",
		"These prefixes, one for each subnet, in order of the subnets: auto_assigned, or a /80 of the subnet.")

	nlbAttributes = serviceKey("aws-load-balancer-attributes", Map, LoadBalancerScope, "",
		"Attributes of the load balancer, as ELBv2 names them. One that is taken out of the annotation stays as it was. With deletion_protection.enabled=true the load balancer is not deleted when the Service is.")
	nlbAccessLog = serviceKey("aws-load-balancer-access-log-enabled", Boolean, LoadBalancerScope, "",
		"Older form of the attribute access_logs.s3.enabled; false has no effect.")
	nlbAccessLogBucket = serviceKey("aws-load-balancer-access-log-s3-bucket-name", String, LoadBalancerScope, "",
		"With access-log-enabled: older form of the attribute access_logs.s3.bucket.")
	nlbAccessLogPrefix = serviceKey("aws-load-balancer-access-log-s3-bucket-prefix", String, LoadBalancerScope, "",
		"With access-log-enabled: older form of the attribute access_logs.s3.prefix.")
	nlbCrossZone = serviceKey("aws-load-balancer-cross-zone-load-balancing-enabled", Boolean, LoadBalancerScope, "",
		"Older form of the attribute load_balancing.cross_zone.enabled; it wins.")
	nlbTags = serviceKey("aws-load-balancer-additional-resource-tags", Map, LoadBalancerScope, "",
		"Tags for everything that is made for the Service.")

	nlbSourceRanges = serviceKey("load-balancer-source-ranges", List, LoadBalancerScope, "0.0.0.0/0",
		"CIDR blocks that the managed security group lets in, where spec.loadBalancerSourceRanges is empty.")
	nlbPrefixLists = serviceKey("aws-load-balancer-security-group-prefix-lists", List, LoadBalancerScope, "",
		"Prefix lists (pl-…) that the managed security group lets in, in addition to the source ranges. Given alone, they take the place of 0.0.0.0/0.")
	nlbSecurityGroups = serviceKey("aws-load-balancer-security-groups", List, LoadBalancerScope, "a managed one and the cluster's own",
		"Security groups of the load balancer instead of the managed one, by id (sg-…) or by the value of their Name tag. Source ranges then have no effect.")
	nlbManageBackend = serviceKey("aws-load-balancer-manage-backend-security-group-rules", Boolean, LoadBalancerScope, "false",
		"With security-groups: whether the load balancer has the cluster's own security group too, from which nodes and pods are opened. For a load balancer without security groups: whether nodes and pods are opened at all, by default yes.")
	nlbNoSecurityGroups = serviceKey("aws-load-balancer-disable-nlb-sg", Boolean, LoadBalancerScope, "false",
		"Whether a new load balancer has no security groups. It cannot get any later.")
	nlbPrivateLink = serviceKey("aws-load-balancer-inbound-sg-rules-on-private-link-traffic", String, LoadBalancerScope, "",
		"Whether security groups count for traffic by PrivateLink. Taken out of the annotations, it stays as it was.").oneOf("on", "off")
	nlbPathMTU = serviceKey("aws-load-balancer-enable-icmp-for-path-mtu-discovery", String, LoadBalancerScope, "off",
		"Whether the managed security group lets in the ICMP that path MTU discovery needs, from the source ranges.").oneOf("on", "off")

	nlbCertificates = serviceKey("aws-load-balancer-ssl-cert", List, ListenerScope, "",
		"Certificates of TLS listeners by ARN; the first is the default one.")
	nlbTLSPorts = serviceKey("aws-load-balancer-ssl-ports", List, ListenerScope, "all that are not UDP",
		"With ssl-cert: names or numbers of the Service ports with TLS.")
	nlbTLSPolicy = serviceKey("aws-load-balancer-ssl-negotiation-policy", String, ListenerScope, "ELBSecurityPolicy-2016-08",
		"TLS policy of TLS listeners.")
	nlbALPN = serviceKey("aws-load-balancer-alpn-policy", String, ListenerScope, "",
		"ALPN policy of TLS listeners. Taken out of the annotations, it stays as it was.").oneOf("None", "HTTP1Only", "HTTP2Only", "HTTP2Optional", "HTTP2Preferred")
	nlbTCPUDP = serviceKey("aws-load-balancer-enable-tcp-udp-listener", Boolean, ListenerScope, "false",
		"Whether a TCP and a UDP port of the same number are one listener TCP_UDP. Without it, the first of them counts.").oneOf("true", "false")
	nlbQUICPorts = serviceKey("aws-load-balancer-quic-enabled-ports", List, ListenerScope, "",
		"Names or numbers of the UDP ports that are QUIC. Targets of type ip only.")
	nlbListenerAttributes = serviceKey("aws-load-balancer-listener-attributes.", Map, ListenerScope, "",
		"Attributes of the listener PROTOCOL-PORT, such as listener-attributes.TCP-80. One that is taken out of the annotation stays as it was.")
	nlbActions = serviceKey("actions.", JSON, ListenerScope, "",
		"Target groups, with weights, that the listener PROTOCOL-PORT forwards to besides the Service's own.")

	nlbBackendProtocol = serviceKey("aws-load-balancer-backend-protocol", String, TargetGroupScope, "tcp",
		"ssl has TLS listeners speak TLS to targets too; other values mean nothing.")
	nlbGroupAttributes = serviceKey("aws-load-balancer-target-group-attributes", Map, TargetGroupScope, "",
		"Attributes of the target groups, as ELBv2 names them. One that is taken out of the annotation stays as it was.")
	nlbPortAttributes = serviceKey("aws-load-balancer-target-group-attributes.", Map, TargetGroupScope, "",
		"The same for the target group of one Service port, by number; they win.")
	nlbProxyProtocol = serviceKey("aws-load-balancer-proxy-protocol", String, TargetGroupScope, "",
		"* has all target groups speak proxy protocol v2.").oneOf("*")
	nlbProxyPorts = serviceKey("aws-load-balancer-proxy-protocol-per-target-group", List, TargetGroupScope, "",
		"Numbers of the Service ports whose target groups speak proxy protocol v2; the others then do not.")
	nlbCheckProtocol = serviceKey("aws-load-balancer-healthcheck-protocol", String, TargetGroupScope, "TCP; HTTP with externalTrafficPolicy Local",
		"Protocol of the probe, in any case.").oneOf("TCP", "HTTP", "HTTPS")
	nlbCheckPort = serviceKey("aws-load-balancer-healthcheck-port", String, TargetGroupScope, "traffic-port; spec.healthCheckNodePort with externalTrafficPolicy Local",
		"Port to probe: traffic-port, a number, or the name of a Service port.")
	nlbCheckPath = serviceKey("aws-load-balancer-healthcheck-path", String, TargetGroupScope, "/; /healthz with externalTrafficPolicy Local",
		"Path to probe, at most 1024 characters, beginning with a slash; not for TCP.")
	nlbCheckInterval = serviceKey("aws-load-balancer-healthcheck-interval", Integer, TargetGroupScope, "10",
		"Seconds between probes, 5 to 300.")
	nlbCheckTimeout = serviceKey("aws-load-balancer-healthcheck-timeout", Integer, TargetGroupScope, "10; 6 with externalTrafficPolicy Local",
		"Seconds until a probe counts as failed, 2 to 120, not more than the interval.")
	nlbHealthyThreshold = serviceKey("aws-load-balancer-healthcheck-healthy-threshold", Integer, TargetGroupScope, "3; 2 with externalTrafficPolicy Local",
		"Good probes in a row until an unhealthy target is healthy, 2 to 10.")
	nlbUnhealthyThreshold = serviceKey("aws-load-balancer-healthcheck-unhealthy-threshold", Integer, TargetGroupScope, "3; 2 with externalTrafficPolicy Local",
		"Failed probes in a row until a healthy target is unhealthy, 2 to 10.")
	nlbSuccessCodes = serviceKey("aws-load-balancer-healthcheck-success-codes", String, TargetGroupScope, "200-399",
		"Statuses of a good probe by HTTP, 200 to 499: 200, a list 200,202 or a range 200-299.")
	nlbNodeLabels = serviceKey("aws-load-balancer-target-node-labels", Map, TargetGroupScope, "",
		"Labels of the nodes that become instance targets.")
	nlbMultiCluster = serviceKey("aws-load-balancer-multi-cluster-target-group", Boolean, TargetGroupScope, "false",
		"Whether other clusters have targets in the target groups too, which are then left alone.")
)

// serviceTable is every annotation of the reference under ServicePrefix, in the order of the reference page, and those
// that the load balancers of Kubernetes' own cloud provider have.
var serviceTable = []Key{
	nlbType, nlbName, nlbScheme, nlbInternal, nlbAddressType, nlbSubnets, nlbEIPs, nlbPrivateIPv4, nlbIPv6, nlbSourceNAT, nlbNATPrefixes,
	nlbAttributes, nlbAccessLog, nlbAccessLogBucket, nlbAccessLogPrefix, nlbCrossZone,
	passed("aws-load-balancer-minimum-load-balancer-capacity", Map, "Reserved capacity units."),
	nlbTags, nlbSourceRanges, nlbPrefixLists, nlbSecurityGroups, nlbManageBackend, nlbNoSecurityGroups, nlbPrivateLink, nlbPathMTU,
	nlbCertificates, nlbTLSPorts, nlbTLSPolicy, nlbALPN, nlbTCPUDP, nlbQUICPorts, nlbListenerAttributes, nlbActions,
	nlbTargetType, nlbBackendProtocol, nlbGroupAttributes, nlbPortAttributes, nlbProxyProtocol, nlbProxyPorts,
	nlbCheckProtocol, nlbCheckPort, nlbCheckPath, nlbCheckInterval, nlbCheckTimeout, nlbHealthyThreshold, nlbUnhealthyThreshold, nlbSuccessCodes,
	nlbNodeLabels, nlbMultiCluster,
	passed("aws-load-balancer-access-log-emit-interval", Integer, "Of Classic Load Balancers."),
	passed("aws-load-balancer-connection-draining-enabled", Boolean, "Of Classic Load Balancers."),
	passed("aws-load-balancer-connection-draining-timeout", Integer, "Of Classic Load Balancers."),
	passed("aws-load-balancer-connection-idle-timeout", Integer, "Of Classic Load Balancers."),
	passed("aws-load-balancer-extra-security-groups", List, "Of Classic Load Balancers."),
}

// passed is a key about load balancers that has no effect.
func passed(suffix string, kind Type, doc string) Key {
	k := serviceKey(suffix, kind, LoadBalancerScope, "", doc)
	k.Support = Passed
	return k
}

// AsksForBalancer says whether a Service's annotations ask for a Network Load Balancer of ours: as nlb-ip, or external
// with a type of targets. Kubernetes' own cloud provider leaves both alone.
func AsksForBalancer(service *corev1.Service) bool {
	targets := service.Annotations[nlbTargetType.Annotation()]
	switch service.Annotations[nlbType.Annotation()] {
	case "nlb-ip":
		return true
	case "external":
		return targets == string(lb.IPTargets) || targets == string(lb.InstanceTargets)
	default:
		return false
	}
}
