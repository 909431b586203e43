package compile

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"

	"github.com/sluicehq/sluice/internal/annot"
	"github.com/sluicehq/sluice/internal/lb"
)

// frontPort is a port to listen on: one of the Service's, or a TCP and a UDP port in one.
type frontPort struct {
	corev1.ServicePort
	field     string
	listener  lb.Protocol
	group     lb.Protocol
	encrypted bool
}

func protocolOf(p corev1.ServicePort) corev1.Protocol { return cmp.Or(p.Protocol, corev1.ProtocolTCP) }

// listeners are those of all ports, by number. What they forward to is put into c.groups.
func (c *serviceCompiler) listeners() []lb.Listener {
	var out []lb.Listener
	for _, p := range c.ports() {
		c.resolve(&p)
		listener := lb.Listener{Port: uint16(p.Port), Protocol: p.listener, Tags: c.settings.Tags, From: []lb.Object{c.self}}
		if p.encrypted {
			listener.Handshake = lb.Handshake{
				Certificates: c.settings.Certificates, Policy: cmp.Or(c.settings.TLSPolicy, c.options.TLSPolicy), ALPN: c.settings.ALPN,
			}
		} else {
			var verdicts []lb.Verdict
			listener.Attributes, verdicts = c.settings.ListenerAttributes(p.listener, listener.Port)
			c.verdicts = append(c.verdicts, verdicts...)
		}
		listener.Default = c.forward(p)
		out = append(out, listener)
	}
	slices.SortFunc(out, func(a, b lb.Listener) int { return cmp.Compare(a.Port, b.Port) })
	return out
}

// ports are the Service's by number. Two of one number become one TCP_UDP, where that is on; else the first counts.
func (c *serviceCompiler) ports() []frontPort {
	merge := c.settings.MergeTCPUDP.Or(c.options.Service.MergeTCPUDP)
	var out []frontPort
	for i, port := range c.service.Spec.Ports {
		p := frontPort{ServicePort: port, field: fmt.Sprintf("spec.ports[%d]", i), listener: lb.Protocol(protocolOf(port))}
		if p.listener != lb.TCP && p.listener != lb.UDP {
			c.refuse(lb.Refused, lb.UnsupportedByEngine, p.field+".protocol", string(p.listener), "is no protocol of load balancers", "Use TCP or UDP")
			continue
		}
		first := slices.IndexFunc(out, func(o frontPort) bool { return o.Port == port.Port })
		switch {
		case first < 0:
			out = append(out, p)
		case !merge:
			c.refuse(lb.Warning, lb.PortNotFound, p.field, strconv.Itoa(int(port.Port)),
				fmt.Sprintf("the load balancer listens with %s at this port, so this one is left out", out[first].listener),
				"Set the annotation "+annot.ServicePrefix+"aws-load-balancer-enable-tcp-udp-listener: \"true\" to have both")
		case out[first].listener == p.listener || out[first].listener == lb.TCPUDP:
			c.refuse(lb.Refused, lb.PortNotFound, p.field, strconv.Itoa(int(port.Port)), "there is such a port already", "Have one TCP and one UDP port of a number")
		default:
			c.checkAlike(out[first], p)
			out[first].listener = lb.TCPUDP
		}
	}
	for i := range out {
		out[i].group = out[i].listener
	}
	return out
}

// checkAlike warns where a TCP and a UDP port that become one have targets at different ports: the first one's count.
func (c *serviceCompiler) checkAlike(first, second frontPort) {
	kind, _ := c.targetType(c.service, first.field)
	a, _ := targetPort(kind, c.service, &first.ServicePort)
	b, _ := targetPort(kind, c.service, &second.ServicePort)
	if kind == lb.IPTargets && a != b {
		c.refuse(lb.Warning, lb.PortNotFound, second.field+".targetPort", b.String(),
			fmt.Sprintf("TCP and UDP share a target group, whose targets receive at %s", a), "Let both have the same targetPort")
	}
	if kind == lb.InstanceTargets && a != b {
		c.refuse(lb.Warning, lb.PortNotFound, second.field+".nodePort", b.String(),
			fmt.Sprintf("TCP and UDP share a target group, whose nodes receive at %s", a), "Let both have the same nodePort")
	}
}

// resolve settles the protocols of a port: TLS where there are certificates for it, then QUIC.
func (c *serviceCompiler) resolve(p *frontPort) {
	s := c.settings
	if len(s.Certificates) > 0 && p.listener == lb.TCP && (!s.TLSPorts.Set() || annot.Lists(s.TLSPorts.Value, p.ServicePort)) {
		p.listener, p.encrypted = lb.TLS, true
		if s.BackendTLS {
			p.group = lb.TLS
		}
	}
	if !annot.Lists(s.QUICPorts.Value, p.ServicePort) {
		return
	}
	switch p.listener {
	case lb.UDP:
		p.listener, p.group = lb.QUIC, lb.QUIC
	case lb.TCPUDP:
		p.listener, p.group = lb.TCPQUIC, lb.TCPQUIC
	default:
		at := s.QUICPorts.At
		at.Value = strconv.Itoa(int(p.Port))
		c.verdicts = append(c.verdicts, at.Verdict(lb.Refused, lb.InvalidAnnotation,
			fmt.Sprintf("is a port with %s, and QUIC needs UDP", p.listener), "Name UDP ports"))
	}
}

// forward sends connections to the Service's own target group, or as the port's action says.
func (c *serviceCompiler) forward(p frontPort) lb.Action {
	share, found, verdicts := c.settings.Share(p.listener, uint16(p.Port))
	c.verdicts = append(c.verdicts, verdicts...)
	if !found || slices.ContainsFunc(verdicts, refused) {
		id := c.targetGroup(c.service, p, p.field)
		return lb.Action{Forward: &lb.Forward{TargetGroups: []lb.WeightedTargetGroup{{ID: id, Weight: 1}}}}
	}
	out := &lb.Forward{BySource: share.Sticky}
	if share.Own {
		id := c.targetGroup(c.service, p, p.field)
		out.TargetGroups = append(out.TargetGroups, lb.WeightedTargetGroup{ID: id, Weight: share.Weight})
	}
	for _, g := range share.Groups {
		if g.ARN != "" {
			out.TargetGroups = append(out.TargetGroups, lb.WeightedTargetGroup{ARN: g.ARN, Weight: g.Weight})
			continue
		}
		if id, ok := c.sharing(p, share, g); ok {
			out.TargetGroups = append(out.TargetGroups, lb.WeightedTargetGroup{ID: id, Weight: g.Weight})
		}
	}
	if len(out.TargetGroups) == 1 {
		out.TargetGroups[0].Weight = 1
	}
	return lb.Action{Forward: out}
}

// sharing is the target group of another Service that a port's action names.
func (c *serviceCompiler) sharing(p frontPort, share annot.Share, g annot.ServiceShare) (lb.ResourceID, bool) {
	service := c.objects.Service(c.service.Namespace, g.Service)
	if service == nil {
		c.refuse(lb.Refused, lb.ServiceNotFound, share.At.Field, g.Service,
			"there is no such Service in namespace "+c.service.Namespace, "Create the Service, or name one that exists")
		return "", false
	}
	port := findPort(service, g.Port)
	if port == nil {
		c.refuse(lb.Refused, lb.PortNotFound, share.At.Field, g.Service+":"+g.Port.String(),
			"the Service has no such port", "Name one of its ports")
		return "", false
	}
	theirs := p
	theirs.ServicePort = *port
	theirs.group = p.listener
	if g.Decrypt && p.listener == lb.TLS {
		theirs.group = lb.TCP
	}
	return c.targetGroup(service, theirs, share.At.Field), true
}
