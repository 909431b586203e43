package annot

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"

	elbv2api "github.com/sluicehq/sluice/api/elbv2/v1beta1"
	"github.com/sluicehq/sluice/internal/lb"
)

// protection is the attribute that keeps a load balancer from being deleted.
const protection = "deletion_protection.enabled"

// values says what an attribute can be, for people and as a check.
type values struct {
	text string
	ok   func(string) bool
}

func words(list ...string) values {
	return values{"one of " + strings.Join(list, ", "), func(v string) bool { return slices.Contains(list, v) }}
}

func whole(low, high int, also ...string) values {
	text := "a whole number from " + strconv.Itoa(low) + " to " + strconv.Itoa(high)
	if len(also) > 0 {
		text += ", or " + strings.Join(also, ", ")
	}
	return values{text, func(v string) bool {
		n, err := strconv.Atoi(v)
		return err == nil && n >= low && n <= high || slices.Contains(also, v)
	}}
}

var (
	truth   = words("true", "false")
	free    = values{"any text", func(string) bool { return true }}
	seconds = whole(1, 604800)
)

// What ELBv2 knows of Application Load Balancers (API reference: LoadBalancerAttribute, ListenerAttribute,
// TargetGroupAttribute).
var (
	knownBalancerAttributes = map[string]values{
		protection:                                                 truth,
		"load_balancing.cross_zone.enabled":                        words("true"),
		"access_logs.s3.enabled":                                   truth,
		"access_logs.s3.bucket":                                    free,
		"access_logs.s3.prefix":                                    free,
		"connection_logs.s3.enabled":                               truth,
		"connection_logs.s3.bucket":                                free,
		"connection_logs.s3.prefix":                                free,
		"health_check_logs.s3.enabled":                             truth,
		"health_check_logs.s3.bucket":                              free,
		"health_check_logs.s3.prefix":                              free,
		"ipv6.deny_all_igw_traffic":                                truth,
		"zonal_shift.config.enabled":                               truth,
		"idle_timeout.timeout_seconds":                             whole(1, 4000),
		"client_keep_alive.seconds":                                whole(60, 604800),
		"routing.http.desync_mitigation_mode":                      words("monitor", "defensive", "strictest"),
		"routing.http.drop_invalid_header_fields.enabled":          truth,
		"routing.http.preserve_host_header.enabled":                truth,
		"routing.http.x_amzn_tls_version_and_cipher_suite.enabled": truth,
		"routing.http.xff_client_port.enabled":                     truth,
		"routing.http.xff_header_processing.mode":                  words("append", "preserve", "remove"),
		"routing.http2.enabled":                                    truth,
		"waf.fail_open.enabled":                                    truth,
	}
	knownListenerAttributes = map[string]values{
		"routing.http.response.server.enabled":                                  truth,
		"routing.http.response.strict_transport_security.header_value":          free,
		"routing.http.response.access_control_allow_origin.header_value":        free,
		"routing.http.response.access_control_allow_methods.header_value":       free,
		"routing.http.response.access_control_allow_headers.header_value":       free,
		"routing.http.response.access_control_allow_credentials.header_value":   free,
		"routing.http.response.access_control_expose_headers.header_value":      free,
		"routing.http.response.access_control_max_age.header_value":             free,
		"routing.http.response.content_security_policy.header_value":            free,
		"routing.http.response.x_content_type_options.header_value":             free,
		"routing.http.response.x_frame_options.header_value":                    free,
		"routing.http.request.x_amzn_mtls_clientcert.header_name":               free,
		"routing.http.request.x_amzn_mtls_clientcert_serial_number.header_name": free,
		"routing.http.request.x_amzn_mtls_clientcert_issuer.header_name":        free,
		"routing.http.request.x_amzn_mtls_clientcert_subject.header_name":       free,
		"routing.http.request.x_amzn_mtls_clientcert_validity.header_name":      free,
		"routing.http.request.x_amzn_mtls_clientcert_leaf.header_name":          free,
		"routing.http.request.x_amzn_tls_version.header_name":                   free,
		"routing.http.request.x_amzn_tls_cipher_suite.header_name":              free,
	}
	knownGroupAttributes = map[string]values{
		"deregistration_delay.timeout_seconds":                                           whole(0, 3600),
		"stickiness.enabled":                                                             truth,
		"stickiness.type":                                                                words("lb_cookie", "app_cookie"),
		"stickiness.lb_cookie.duration_seconds":                                          seconds,
		"stickiness.app_cookie.duration_seconds":                                         seconds,
		"stickiness.app_cookie.cookie_name":                                              free,
		"load_balancing.algorithm.type":                                                  words("round_robin", "least_outstanding_requests", "weighted_random"),
		"load_balancing.algorithm.anomaly_mitigation":                                    words("on", "off"),
		"slow_start.duration_seconds":                                                    whole(30, 900, "0"),
		"load_balancing.cross_zone.enabled":                                              words("true", "false", "use_load_balancer_configuration"),
		"target_group_health.dns_failover.minimum_healthy_targets.count":                 whole(1, 1<<30, "off"),
		"target_group_health.dns_failover.minimum_healthy_targets.percentage":            whole(1, 100, "off"),
		"target_group_health.unhealthy_state_routing.minimum_healthy_targets.count":      whole(1, 1<<30, "off"),
		"target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage": whole(1, 100, "off"),
	}
)

// What ELBv2 knows of Network Load Balancers (as above).
var (
	knownNetworkAttributes = map[string]values{
		protection:                               truth,
		"load_balancing.cross_zone.enabled":      truth,
		"access_logs.s3.enabled":                 truth,
		"access_logs.s3.bucket":                  free,
		"access_logs.s3.prefix":                  free,
		"dns_record.client_routing_policy":       words("availability_zone_affinity", "partial_availability_zone_affinity", "any_availability_zone"),
		"ipv6.deny_all_igw_traffic":              truth,
		"zonal_shift.config.enabled":             truth,
		"secondary_ips.auto_assigned.per_subnet": whole(0, 7),
	}
	knownNetworkListenerAttributes = map[string]values{
		"tcp.idle_timeout.seconds": whole(60, 6000),
	}
	knownNetworkGroupAttributes = map[string]values{
		"deregistration_delay.timeout_seconds":                                           whole(0, 3600),
		"deregistration_delay.connection_termination.enabled":                            truth,
		"stickiness.enabled":                                                             truth,
		"stickiness.type":                                                                words("source_ip"),
		"load_balancing.cross_zone.enabled":                                              words("true", "false", "use_load_balancer_configuration"),
		"preserve_client_ip.enabled":                                                     truth,
		"proxy_protocol_v2.enabled":                                                      truth,
		"target_health_state.unhealthy.connection_termination.enabled":                   truth,
		"target_health_state.unhealthy.draining_interval_seconds":                        whole(0, 360000),
		"target_group_health.dns_failover.minimum_healthy_targets.count":                 whole(1, 1<<30, "off"),
		"target_group_health.dns_failover.minimum_healthy_targets.percentage":            whole(1, 100, "off"),
		"target_group_health.unhealthy_state_routing.minimum_healthy_targets.count":      whole(1, 1<<30, "off"),
		"target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage": whole(1, 100, "off"),
	}
)

// attributes reads an annotation of attributes.
func (r *reader) attributes(k Key, known map[string]values) Given[[]lb.Attribute] {
	_, at, ok := r.text(k)
	if !ok {
		return Given[[]lb.Attribute]{}
	}
	return Given[[]lb.Attribute]{r.checked(at, r.pairs(k), known), at}
}

// checked lets through what ELBv2 knows.
func (r *reader) checked(at Origin, pairs []lb.Tag, known map[string]values) []lb.Attribute {
	var out []lb.Attribute
	for _, p := range pairs {
		allowed, exists := known[p.Key]
		at.Value = p.Key + "=" + p.Value
		switch {
		case !exists:
			fix := "Use one that the API reference of ELBv2 lists"
			if near, found := nearest(p.Key, slices.Sorted(maps.Keys(known))); found {
				fix = "Did you mean " + near + "?"
			}
			r.refuse(at, "is no attribute that there is", fix)
		case !allowed.ok(p.Value):
			r.refuse(at, "has a value that it cannot have", "Use "+allowed.text)
		default:
			out = append(out, lb.Attribute(p))
		}
	}
	return out
}

// classAttributes reads attributes that class parameters give. The Ingress carries the verdict.
func (r *reader) classAttributes(params *elbv2api.IngressClassParams, name string, list []elbv2api.Attribute, known map[string]values) []lb.Attribute {
	pairs := map[string]string{}
	for _, a := range list {
		pairs[a.Key] = a.Value
	}
	at := Origin{Object: r.layers[0].object, Field: "spec.ingressClassName (spec." + name + " of IngressClassParams " + params.Name + ")"}
	return r.checked(at, sortTags(pairs), known)
}

// listeners reads the attributes of the listeners that the Ingress has. What is about another listener has no effect.
func (r *reader) listeners(params *elbv2api.IngressClassParams, list []Listen) []Listen {
	for i, l := range list {
		k := listenerAttributes
		k.Suffix += string(l.Protocol) + "-" + strconv.Itoa(int(l.Port))
		list[i].Attributes = r.attributes(k, knownListenerAttributes)
		for _, c := range params.Spec.Listeners {
			if c.Protocol == string(l.Protocol) && c.Port == int32(l.Port) {
				list[i].ClassAttributes = r.classAttributes(params, "listeners", c.ListenerAttributes, knownListenerAttributes)
				break
			}
		}
	}
	return list
}

// Protected says whether an Ingress asks for its load balancer not to be deleted, and where.
func Protected(ingress *networkingv1.Ingress) (Origin, bool) {
	r := newReader(ingressObject(ingress), ingress.Annotations)
	_, at, _ := r.text(loadBalancerAttributes)
	return at, slices.Contains(r.pairs(loadBalancerAttributes), lb.Tag{Key: protection, Value: "true"})
}
