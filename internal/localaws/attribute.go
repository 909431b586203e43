package localaws

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/sluicehq/sluice/internal/proxy"
)

// attribute is one row of a table of attributes: its default, what values it takes, and whether other values than the
// default are carried out. One that is not carried out is refused by name.
type attribute struct {
	value string
	check func(string) bool
	fixed bool
}

func boolean(v string) bool { return v == "true" || v == "false" }

func anyText(string) bool { return true }

func oneOf(values ...string) func(string) bool {
	return func(v string) bool { return slices.Contains(values, v) }
}

func between(least, most int) func(string) bool {
	return func(v string) bool {
		n, err := strconv.Atoi(v)
		return err == nil && n >= least && n <= most
	}
}

// balancerAttributes are those of an Application Load Balancer.
var balancerAttributes = map[string]attribute{
	"deletion_protection.enabled":                              {"false", boolean, false},
	"load_balancing.cross_zone.enabled":                        {"true", boolean, true},
	"access_logs.s3.enabled":                                   {"false", boolean, false},
	"access_logs.s3.bucket":                                    {"", anyText, false},
	"access_logs.s3.prefix":                                    {"", anyText, false},
	"connection_logs.s3.enabled":                               {"false", boolean, false},
	"connection_logs.s3.bucket":                                {"", anyText, false},
	"connection_logs.s3.prefix":                                {"", anyText, false},
	"health_check_logs.s3.enabled":                             {"false", boolean, true},
	"health_check_logs.s3.bucket":                              {"", anyText, false},
	"health_check_logs.s3.prefix":                              {"", anyText, false},
	"ipv6.deny_all_igw_traffic":                                {"false", boolean, false}, // there is no IPv6 to deny
	"zonal_shift.config.enabled":                               {"false", boolean, true},
	"idle_timeout.timeout_seconds":                             {"60", between(1, 4000), false},
	"client_keep_alive.seconds":                                {"3600", between(60, 604800), false},
	"routing.http.desync_mitigation_mode":                      {"defensive", oneOf("monitor", "defensive", "strictest"), false},
	"routing.http.drop_invalid_header_fields.enabled":          {"false", boolean, false},
	"routing.http.preserve_host_header.enabled":                {"false", boolean, false},
	"routing.http.x_amzn_tls_version_and_cipher_suite.enabled": {"false", boolean, false},
	"routing.http.xff_client_port.enabled":                     {"false", boolean, false},
	"routing.http.xff_header_processing.mode":                  {"append", oneOf("append", "preserve", "remove"), false},
	"routing.http2.enabled":                                    {"true", boolean, false},
	"waf.fail_open.enabled":                                    {"false", boolean, false}, // there is no WAF to fail
}

// foreignBalancerAttributes exist, for other types of load balancers.
var foreignBalancerAttributes = []string{"dns_record.client_routing_policy", "secondary_ips.auto_assigned.per_subnet"}

func defaultBalancerAttributes(table map[string]attribute, scheme types.LoadBalancerSchemeEnum) map[string]string {
	out := defaults(table)
	if scheme == types.LoadBalancerSchemeEnumInternal {
		out["ipv6.deny_all_igw_traffic"] = "true"
	}
	return out
}

const noThreshold = "off"

// groupAttributes are those of target groups of type instance and ip with an HTTP protocol.
var groupAttributes = map[string]attribute{
	"deregistration_delay.timeout_seconds":                                           {"300", between(0, 3600), false},
	"stickiness.enabled":                                                             {"false", boolean, false},
	"stickiness.type":                                                                {"lb_cookie", oneOf("lb_cookie", "app_cookie"), false},
	"stickiness.lb_cookie.duration_seconds":                                          {"86400", between(1, 604800), false},
	"stickiness.app_cookie.duration_seconds":                                         {"86400", between(1, 604800), false},
	"stickiness.app_cookie.cookie_name":                                              {"", cookieName, false},
	"load_balancing.algorithm.type":                                                  {"round_robin", oneOf("round_robin", "least_outstanding_requests", "weighted_random"), false},
	"load_balancing.algorithm.anomaly_mitigation":                                    {"off", oneOf("on", "off"), true},
	"slow_start.duration_seconds":                                                    {"0", slowStart, false},
	"load_balancing.cross_zone.enabled":                                              {"use_load_balancer_configuration", oneOf("true", "false", "use_load_balancer_configuration"), true},
	"target_group_health.dns_failover.minimum_healthy_targets.count":                 {"1", countOrOff, false},
	"target_group_health.dns_failover.minimum_healthy_targets.percentage":            {noThreshold, percentOrOff, false},
	"target_group_health.unhealthy_state_routing.minimum_healthy_targets.count":      {"1", countOrOff, false},
	"target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage": {noThreshold, percentOrOff, false},
}

var foreignGroupAttributes = []string{
	"lambda.multi_value_headers.enabled", "deregistration_delay.connection_termination.enabled", "preserve_client_ip.enabled",
	"proxy_protocol_v2.enabled", "target_health_state.unhealthy.connection_termination.enabled",
	"target_health_state.unhealthy.draining_interval_seconds", "target_failover.on_deregistration",
	"target_failover.on_unhealthy",
}

func cookieName(v string) bool {
	for _, own := range []string{"AWSALB", "AWSALBAPP", "AWSALBTG"} {
		if strings.HasPrefix(v, own) {
			return false
		}
	}
	return true
}

func slowStart(v string) bool    { return v == "0" || between(30, 900)(v) }
func countOrOff(v string) bool   { return v == noThreshold || between(1, 1<<30)(v) }
func percentOrOff(v string) bool { return v == noThreshold || between(1, 100)(v) }

// listenerAttributes are those of an HTTP listener of an Application Load Balancer.
var listenerAttributes = map[string]attribute{
	"routing.http.response.server.enabled":                                {"true", boolean, false},
	"routing.http.response.strict_transport_security.header_value":        {"", anyText, false},
	"routing.http.response.access_control_allow_origin.header_value":      {"", anyText, false},
	"routing.http.response.access_control_allow_methods.header_value":     {"", anyText, false},
	"routing.http.response.access_control_allow_headers.header_value":     {"", anyText, false},
	"routing.http.response.access_control_allow_credentials.header_value": {"", anyText, false},
	"routing.http.response.access_control_expose_headers.header_value":    {"", anyText, false},
	"routing.http.response.access_control_max_age.header_value":           {"", anyText, false},
	"routing.http.response.content_security_policy.header_value":          {"", anyText, false},
	"routing.http.response.x_content_type_options.header_value":           {"", anyText, false},
	"routing.http.response.x_frame_options.header_value":                  {"", anyText, false},
}

// tlsListenerAttributes are those that an HTTPS listener has besides: names of headers that tell targets of TLS.
var tlsListenerAttributes = func() map[string]attribute {
	out := maps.Clone(listenerAttributes)
	for _, name := range []string{
		"Tls-Version", "Tls-Cipher-Suite", "Mtls-Clientcert", "Mtls-Clientcert-Serial-Number", "Mtls-Clientcert-Issuer",
		"Mtls-Clientcert-Subject", "Mtls-Clientcert-Validity", "Mtls-Clientcert-Leaf",
	} {
		key := strings.ToLower(strings.ReplaceAll(name, "-", "_"))
		out["routing.http.request.x_amzn_"+key+".header_name"] = attribute{"X-Amzn-" + name, headerName.MatchString, false}
	}
	return out
}()

// listenerAttributesOf are the attributes of listeners with a protocol.
func listenerAttributesOf(p types.ProtocolEnum) map[string]attribute {
	switch {
	case isNetworkProtocol(p):
		return networkListenerAttributes(p)
	case p == types.ProtocolEnumHttps:
		return tlsListenerAttributes
	}
	return listenerAttributes
}

var foreignListenerAttributes = []string{
	"tcp.idle_timeout.seconds", "routing.http.request.x_amzn_mtls_clientcert.header_name",
	"routing.http.request.x_amzn_mtls_clientcert_serial_number.header_name",
	"routing.http.request.x_amzn_mtls_clientcert_issuer.header_name",
	"routing.http.request.x_amzn_mtls_clientcert_subject.header_name",
	"routing.http.request.x_amzn_mtls_clientcert_validity.header_name",
	"routing.http.request.x_amzn_mtls_clientcert_leaf.header_name", "routing.http.request.x_amzn_tls_version.header_name",
	"routing.http.request.x_amzn_tls_cipher_suite.header_name",
}

func defaults(table map[string]attribute) map[string]string {
	out := map[string]string{}
	for key, a := range table {
		out[key] = a.value
	}
	return out
}

// keyValue is an attribute as asked for, of any kind of resource.
type keyValue struct{ key, value string }

// mostAttributes is how many one call may change.
const mostAttributes = 20

// modifyAttributes returns the attributes with changes made. Terraform reads the words after the key.
func modifyAttributes(noun string, table map[string]attribute, foreign []string, have map[string]string, changes []keyValue) (map[string]string, error) {
	if len(changes) == 0 || len(changes) > mostAttributes {
		return nil, invalid("Between 1 and %d attributes must be specified", mostAttributes)
	}
	out := maps.Clone(have)
	seen := map[string]bool{}
	for _, c := range changes {
		a, known := table[c.key]
		switch {
		case seen[c.key]:
			return nil, invalid("%s attribute key '%s' was specified more than once", noun, c.key)
		case !known && slices.Contains(foreign, c.key):
			return nil, conflicting("%s attribute key '%s' is not supported for this type", noun, c.key)
		case !known:
			return nil, invalid("%s attribute key '%s' is not recognized", noun, c.key)
		case !a.check(c.value):
			return nil, invalid("%s attribute value '%s' is invalid for the attribute key '%s'", noun, c.value, c.key)
		case a.fixed && c.value != a.value:
			return nil, notServed(noun + " attribute '" + c.key + "' with another value than '" + a.value + "'")
		}
		seen[c.key] = true
		out[c.key] = c.value
	}
	return out, nil
}

// listed orders attributes by key and makes a service's structs of them.
func listed[T any](attributes map[string]string, make func(key, value *string) T) []T {
	return sortedTags(attributes, make)
}

func balancerAttribute(k, v *string) types.LoadBalancerAttribute {
	return types.LoadBalancerAttribute{Key: k, Value: v}
}

func (x *tx) describeLoadBalancerAttributes(in *elb.DescribeLoadBalancerAttributesInput) (*elb.DescribeLoadBalancerAttributesOutput, error) {
	b, err := elbRow(x.state.loadBalancers, balancerKind, in.LoadBalancerArn)
	if err != nil {
		return nil, err
	}
	return &elb.DescribeLoadBalancerAttributesOutput{Attributes: listed(b.Attributes, balancerAttribute)}, nil
}

func (x *tx) modifyLoadBalancerAttributes(in *elb.ModifyLoadBalancerAttributesInput) (*elb.ModifyLoadBalancerAttributesOutput, error) {
	b, err := elbRow(x.state.loadBalancers, balancerKind, in.LoadBalancerArn)
	if err != nil {
		return nil, err
	}
	var changes []keyValue
	for _, a := range in.Attributes {
		changes = append(changes, keyValue{val(a.Key), val(a.Value)})
	}
	before := b.Attributes
	b.Attributes, err = modifyAttributes("Load balancer", b.attributesOf(), everyBalancerAttribute, b.Attributes, changes)
	if err != nil {
		return nil, err
	}
	if err := agreeBalancer(before, b.Attributes); err != nil {
		return nil, err
	}
	if err := x.checkLogs(before, b.Attributes); err != nil {
		return nil, err
	}
	x.state.loadBalancers.put(x, b.arn(), b)
	if err := x.balancerInterfaces(b); err != nil {
		return nil, subnetFull(err)
	}
	return &elb.ModifyLoadBalancerAttributesOutput{Attributes: listed(b.Attributes, balancerAttribute)}, nil
}

func groupAttribute(k, v *string) types.TargetGroupAttribute {
	return types.TargetGroupAttribute{Key: k, Value: v}
}

func (x *tx) describeTargetGroupAttributes(in *elb.DescribeTargetGroupAttributesInput) (*elb.DescribeTargetGroupAttributesOutput, error) {
	g, err := elbRow(x.state.targetGroups, groupKind, in.TargetGroupArn)
	if err != nil {
		return nil, err
	}
	return &elb.DescribeTargetGroupAttributesOutput{Attributes: listed(g.Attributes, groupAttribute)}, nil
}

func (x *tx) modifyTargetGroupAttributes(in *elb.ModifyTargetGroupAttributesInput) (*elb.ModifyTargetGroupAttributesOutput, error) {
	g, err := elbRow(x.state.targetGroups, groupKind, in.TargetGroupArn)
	if err != nil {
		return nil, err
	}
	var changes []keyValue
	for _, a := range in.Attributes {
		changes = append(changes, keyValue{val(a.Key), val(a.Value)})
	}
	g.Attributes, err = modifyAttributes("Target group", g.attributesOf(), everyGroupAttribute, g.Attributes, changes)
	if err != nil {
		return nil, err
	}
	agrees := agree
	if g.network() {
		agrees = agreeNetwork
	}
	if err := agrees(g.Attributes); err != nil {
		return nil, err
	}
	x.state.targetGroups.put(x, g.arn(), g)
	return &elb.ModifyTargetGroupAttributesOutput{Attributes: listed(g.Attributes, groupAttribute)}, nil
}

// agree checks attributes of a target group that rule each other out (ELB "Sticky sessions", "Slow start mode").
func agree(attributes map[string]string) error {
	sticky := attributes["stickiness.enabled"] == "true"
	algorithm := attributes["load_balancing.algorithm.type"]
	switch {
	case sticky && attributes["stickiness.type"] == "app_cookie" && attributes["stickiness.app_cookie.cookie_name"] == "":
		return invalid("The attribute 'stickiness.app_cookie.cookie_name' must be specified for stickiness of type 'app_cookie'")
	case sticky && algorithm == "weighted_random":
		return conflicting("Stickiness is not supported with the load balancing algorithm 'weighted_random'")
	case attributes["slow_start.duration_seconds"] != "0" && algorithm != "round_robin":
		return conflicting("Slow start is not supported with the load balancing algorithm '%s'", algorithm)
	}
	return agreeThresholds(attributes)
}

// agreeThresholds: a zone leaves DNS no later than its healthy targets are given up (ELB "Target group health").
func agreeThresholds(attributes map[string]string) error {
	const health = "target_group_health."
	for _, unit := range []string{"count", "percentage"} {
		dns, routing := attributes[health+"dns_failover.minimum_healthy_targets."+unit], attributes[health+"unhealthy_state_routing.minimum_healthy_targets."+unit]
		a, errA := strconv.Atoi(dns)
		b, errB := strconv.Atoi(routing)
		if errA == nil && errB == nil && a < b {
			return conflicting("The DNS failover threshold '%s' must be at least the routing failover threshold '%s'", dns, routing)
		}
	}
	return nil
}

// healthThreshold reads one of the thresholds of a target group's health.
func healthThreshold(attributes map[string]string, name string) proxy.Threshold {
	at := func(unit string) int {
		n, _ := strconv.Atoi(attributes["target_group_health."+name+".minimum_healthy_targets."+unit]) // 0 is off
		return n
	}
	return proxy.Threshold{Count: at("count"), Percent: at("percentage")}
}

func listenerAttribute(k, v *string) types.ListenerAttribute {
	return types.ListenerAttribute{Key: k, Value: v}
}

func (x *tx) describeListenerAttributes(in *elb.DescribeListenerAttributesInput) (*elb.DescribeListenerAttributesOutput, error) {
	l, err := elbRow(x.state.listeners, listenerKind, in.ListenerArn)
	if err != nil {
		return nil, err
	}
	return &elb.DescribeListenerAttributesOutput{Attributes: listed(l.Attributes, listenerAttribute)}, nil
}

func (x *tx) modifyListenerAttributes(in *elb.ModifyListenerAttributesInput) (*elb.ModifyListenerAttributesOutput, error) {
	l, err := elbRow(x.state.listeners, listenerKind, in.ListenerArn)
	if err != nil {
		return nil, err
	}
	var changes []keyValue
	for _, a := range in.Attributes {
		changes = append(changes, keyValue{val(a.Key), val(a.Value)})
	}
	l.Attributes, err = modifyAttributes("Listener", listenerAttributesOf(l.Wire.Protocol), everyListenerAttribute, l.Attributes, changes)
	if err != nil {
		return nil, err
	}
	x.state.listeners.put(x, *in.ListenerArn, l)
	return &elb.ModifyListenerAttributesOutput{Attributes: listed(l.Attributes, listenerAttribute)}, nil
}
