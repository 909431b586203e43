package compile

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/sluicehq/sluice/internal/annot"
	"github.com/sluicehq/sluice/internal/kube"
	"github.com/sluicehq/sluice/internal/lb"
)

// useAnnotation as a port name refers to an actions.<name> annotation instead of a Service.
const useAnnotation = "use-annotation"

// backends makes target groups and bindings of the backends that an Ingress names: one of each for every Service port
// as it is written.
type backends struct {
	*compiler
	stack lb.StackID
	made  map[lb.ResourceID]backend
}

type backend struct {
	action  lb.Action
	group   lb.TargetGroup
	binding lb.Binding
	ok      bool
}

func (c *compiler) backends(id lb.StackID) *backends {
	return &backends{compiler: c, stack: id, made: map[lb.ResourceID]backend{}}
}

// groups are the target groups and bindings that were asked for, sorted.
func (b *backends) groups() (groups []lb.TargetGroup, bindings []lb.Binding) {
	for _, made := range b.made {
		if made.ok {
			groups = append(groups, made.group)
			bindings = append(bindings, made.binding)
		}
	}
	slices.SortFunc(groups, func(x, y lb.TargetGroup) int { return cmp.Compare(x.ID, y.ID) })
	slices.SortFunc(bindings, func(x, y lb.Binding) int { return cmp.Compare(x.TargetGroup, y.TargetGroup) })
	return groups, bindings
}

// action forwards to a backend's target group. Where there can be none it answers 503, so that requests do not fall
// through to another rule's backend.
func (b *backends) action(ref *networkingv1.IngressBackend, field string) lb.Action {
	service := ref.Service
	if service == nil {
		value := ""
		if ref.Resource != nil {
			value = ref.Resource.Kind + " " + ref.Resource.Name
		}
		b.refuse(lb.Partial, lb.InvalidBackend, field+".resource", value, "a load balancer can only forward to a Service", "Name a Service")
		return unavailable("Backend is not a service")
	}
	if service.Port.Name == useAnnotation {
		return b.annotated(service.Name, field)
	}
	return b.one(service.Name, lb.Port{Number: service.Port.Number, Name: service.Port.Name}, field).action
}

// one is the backend of a Service port, made once.
func (b *backends) one(service string, port lb.Port, field string) backend {
	id := lb.TargetGroupID(b.ingress.Namespace, b.ingress.Name, service, port)
	made, ok := b.made[id]
	if !ok {
		made = b.make(service, port, field)
		b.made[id] = made
	}
	return made
}

// annotated is the action of an actions.<name> annotation.
func (b *backends) annotated(name, field string) lb.Action {
	action, found, verdicts := annot.ActionOf(b.ingress, name)
	b.verdicts = append(b.verdicts, verdicts...)
	switch {
	case !found:
		severity := lb.Partial
		if !b.options.TolerateMissingAction {
			severity = lb.Refused
		}
		b.refuse(severity, lb.InvalidBackend, field+".service.name", name,
			"the port is use-annotation and there is no annotation "+annot.Prefix+"actions."+name+"; the path answers 503", "Add the annotation")
		return unavailable("Backend action does not exist")
	case action.FixedResponse != nil:
		return lb.Action{FixedResponse: action.FixedResponse}
	case action.Redirect != nil:
		return lb.Action{Redirect: action.Redirect}
	case action.Forward != nil:
		return b.forward(action)
	default:
		return unavailable("Backend action does not exist") // it could not be read, and so is not used
	}
}

// forward is an action that forwards to Services and to target groups that others made. Where one Service of several
// cannot be forwarded to, its share has nowhere to go.
func (b *backends) forward(action annot.Action) lb.Action {
	out := &lb.Forward{Sticky: action.Forward.Sticky}
	for _, g := range action.Forward.Groups {
		if g.Service == "" {
			out.TargetGroups = append(out.TargetGroups, lb.WeightedTargetGroup{ARN: g.ARN, Name: g.Name, Weight: g.Weight})
			continue
		}
		made := b.one(g.Service, g.Port, action.At.Field)
		if made.ok {
			out.TargetGroups = append(out.TargetGroups, lb.WeightedTargetGroup{ID: made.group.ID, Weight: g.Weight})
			continue
		}
		if len(action.Forward.Groups) > 1 {
			b.refuse(lb.Refused, lb.InvalidBackend, action.At.Field, g.Service+":"+g.Port.String(),
				"is one of several target groups, and there is no such Service port", "Name a Service and port that exist, or give its share to the others")
		}
		return made.action
	}
	return lb.Action{Forward: out}
}

func (b *backends) make(name string, port lb.Port, field string) backend {
	service := b.objects.Service(b.ingress.Namespace, name)
	if service == nil {
		severity := lb.Partial
		if !b.options.TolerateMissingService {
			severity = lb.Refused
		}
		b.refuse(severity, lb.ServiceNotFound, field+".service.name", name,
			fmt.Sprintf("there is no such Service in namespace %s; the path answers 503", b.ingress.Namespace), "Create the Service, or name one that exists")
		return backend{action: unavailable("Backend service does not exist")}
	}
	servicePort := findPort(service, port)
	if servicePort == nil {
		b.refuse(lb.Partial, lb.PortNotFound, portField(field, port), port.String(),
			fmt.Sprintf("Service %s/%s has no such port; the path answers 503", service.Namespace, service.Name), "Name one of its ports: "+kube.PortList(service))
		return backend{action: unavailable("Backend service port does not exist")}
	}
	settings, verdicts := annot.TargetGroupSettings(b.ingress, service, b.params, b.defaults())
	b.inherit(verdicts, service, field)
	if settings.TargetType == lb.InstanceTargets && !b.options.Features.Has(lb.InstanceTargetsFeature) {
		b.refuse(lb.Refused, lb.UnsupportedByEngine, cmp.Or(settings.TargetTypeField, field), string(settings.TargetType),
			"the engine has no "+string(lb.InstanceTargetsFeature), "Use target-type ip")
	}
	target, ok := targetPort(settings.TargetType, service, servicePort)
	if !ok {
		b.refuse(lb.Partial, lb.NoNodePort, field+".service.name", name,
			fmt.Sprintf("Service %s/%s is of type %s and has no node port, which targets of type instance need; the path answers 503",
				service.Namespace, service.Name, cmp.Or(service.Spec.Type, corev1.ServiceTypeClusterIP)),
			"Make it a Service of type NodePort, or set "+annot.Prefix+"target-type: ip")
		return backend{action: unavailable("Backend service has no node port")}
	}
	return b.targetGroup(service, port, target, settings)
}

// targetGroup makes the target group and binding of a Service port; target is where its targets receive.
func (b *backends) targetGroup(service *corev1.Service, port, target lb.Port, settings annot.TargetGroup) backend {
	id := lb.TargetGroupID(b.ingress.Namespace, b.ingress.Name, service.Name, port)
	number := uint16(1) // where the target port is a name, each target is registered with its own number
	if target.Name == "" {
		number = uint16(target.Number)
	}
	check, checkPort := b.healthCheck(service, settings)
	identity := lb.TargetGroupIdentity{
		Cluster: b.options.Cluster, Stack: b.stack,
		IngressNamespace: b.ingress.Namespace, IngressName: b.ingress.Name,
		ServiceNamespace: service.Namespace, ServiceName: service.Name, ServiceUID: string(service.UID),
		Port: port, TargetPort: number, TargetType: settings.TargetType, Protocol: settings.Protocol, ProtocolVersion: settings.Version,
	}
	name := lb.TargetGroupName(identity)
	if unapplied(service) {
		name = lb.UnknownTargetGroupName(identity)
	}
	open := []lb.Port{target}
	if checkPort != (lb.Port{}) && checkPort != target {
		open = append(open, checkPort)
	}
	networking := lb.FromSource(open...)
	if b.options.OpenAllPorts {
		networking = []lb.NetworkingRule{{Ports: []lb.NetworkPort{{Protocol: lb.TCP, All: true}}}}
	}
	from := []lb.Object{b.self}
	return backend{
		ok:     true,
		action: lb.Action{Forward: &lb.Forward{TargetGroups: []lb.WeightedTargetGroup{{ID: id, Weight: 1}}}},
		group: lb.TargetGroup{
			ID: id, Name: name, TargetType: settings.TargetType, Protocol: settings.Protocol, ProtocolVersion: settings.Version,
			Port: number, IPAddressType: family(service), HealthCheck: check, Attributes: settings.Attributes, Tags: settings.Tags, From: from,
		},
		binding: lb.Binding{
			TargetGroup: id, Namespace: service.Namespace, Name: name, Service: service.Name, ServicePort: port,
			TargetType: settings.TargetType, NodeLabels: settings.NodeLabels, MultiCluster: settings.MultiCluster, Networking: networking, From: from,
		},
	}
}

// healthCheck is the check with its port. The second result is the port to open for it, zero for the port of the traffic.
func (b *backends) healthCheck(service *corev1.Service, settings annot.TargetGroup) (lb.HealthCheck, lb.Port) {
	check := settings.HealthCheck
	port, verdict := probePort(service, settings.TargetType, settings.HealthCheckPort, settings.HealthCheckFrom)
	if verdict != nil {
		b.verdicts = append(b.verdicts, *verdict)
	}
	check.Port = lb.HealthCheckPort(port.Number)
	return check, port
}

// probePort resolves the port of a health check: traffic-port, which is zero, a number, or a Service port by name.
func probePort(service *corev1.Service, kind lb.TargetType, port string, at annot.Origin) (lb.Port, *lb.Verdict) {
	bad := func(problem, fix string) (lb.Port, *lb.Verdict) {
		v := at.Verdict(lb.Refused, lb.InvalidAnnotation, problem, fix)
		return lb.Port{}, &v
	}
	if port == "traffic-port" {
		return lb.Port{}, nil
	}
	if number, err := strconv.ParseInt(port, 10, 32); err == nil {
		if number < 1 || number > 65535 {
			return bad("is not within 1 to 65535", "Use traffic-port, a port number, or the name of a Service port")
		}
		return lb.Port{Number: int32(number)}, nil
	}
	named := findPort(service, lb.Port{Name: port})
	if named == nil {
		return bad(fmt.Sprintf("is neither traffic-port, nor a number, nor a port of Service %s/%s", service.Namespace, service.Name),
			"Name one of its ports: "+kube.PortList(service))
	}
	target, ok := targetPort(kind, service, named)
	if !ok || target.Name != "" {
		return bad(fmt.Sprintf("is a port of Service %s/%s that has no single number on all targets", service.Namespace, service.Name), "Use traffic-port or a port number")
	}
	return target, nil
}

// inherit takes over what is wrong with a Service's annotations, and says on the Ingress which Service it is: the
// Ingress is what is not served.
func (b *backends) inherit(verdicts []lb.Verdict, service *corev1.Service, field string) {
	for _, v := range verdicts {
		b.verdicts = append(b.verdicts, v)
		if v.Severity == lb.Refused && v.Object.Kind == "Service" {
			b.refuse(lb.Refused, v.Reason, field+".service.name", service.Name,
				fmt.Sprintf("Service %s/%s has an annotation that cannot be used: %s", service.Namespace, service.Name, v.Message()), "")
		}
	}
}

// family is the address family of a Service's targets.
func family(service *corev1.Service) lb.IPAddressType {
	if slices.Contains(service.Spec.IPFamilies, corev1.IPv6Protocol) {
		return lb.IPv6
	}
	return lb.IPv4
}

// unapplied says whether a Service comes from a file and has yet to get its UID and node ports from the API server.
func unapplied(service *corev1.Service) bool { return service.UID == "" }

// targetPort is where targets receive: the node port (0 while the API server has yet to assign it), or the pods' port
// by number or name.
func targetPort(kind lb.TargetType, service *corev1.Service, port *corev1.ServicePort) (lb.Port, bool) {
	if kind == lb.InstanceTargets {
		allocated := service.Spec.AllocateLoadBalancerNodePorts == nil || *service.Spec.AllocateLoadBalancerNodePorts
		willHave := service.Spec.Type == corev1.ServiceTypeNodePort || service.Spec.Type == corev1.ServiceTypeLoadBalancer && allocated
		return lb.Port{Number: port.NodePort}, port.NodePort != 0 || unapplied(service) && willHave
	}
	switch {
	case port.TargetPort.Type == intstr.String && port.TargetPort.StrVal != "":
		return lb.Port{Name: port.TargetPort.StrVal}, true
	case port.TargetPort.IntVal != 0:
		return lb.Port{Number: port.TargetPort.IntVal}, true
	default: // as the API server defaults it
		return lb.Port{Number: port.Port}, true
	}
}

func findPort(service *corev1.Service, port lb.Port) *corev1.ServicePort {
	for i := range service.Spec.Ports {
		p := &service.Spec.Ports[i]
		if port.Name != "" && p.Name == port.Name || port.Name == "" && p.Port == port.Number {
			return p
		}
	}
	return nil
}

func portField(field string, port lb.Port) string {
	if port.Name != "" {
		return field + ".service.port.name"
	}
	return field + ".service.port.number"
}

func unavailable(body string) lb.Action {
	return lb.Action{FixedResponse: &lb.FixedResponse{StatusCode: 503, ContentType: "text/plain", Body: body}}
}
