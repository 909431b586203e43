package compile

import (
	"cmp"
	"fmt"
	"slices"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/sluicehq/sluice/internal/annot"
	"github.com/sluicehq/sluice/internal/kube"
	"github.com/sluicehq/sluice/internal/lb"
)

// group puts a stack together from its members: one Ingress, or all of an IngressGroup.
type group struct {
	id      lb.StackID
	options Options
	members []*member // in any order
	// protected are told that their load balancer may not be deleted with them, if it would be
	protected []lb.Verdict
}

// member is an Ingress that is in the stack, or that was and of which this cannot be told any more.
type member struct {
	object   lb.Object
	form     Form
	known    bool  // form says what is wanted of the member
	fresh    bool  // form is what the object says now, not what it said when it was last good
	last     *Form // when it was last good
	told     bool  // its class and its group can be told
	bound    bool  // it may have been served before
	verdicts []lb.Verdict
}

// enter takes an Ingress in if it belongs to the stack.
func (g *group) enter(objects *kube.Objects, ingress *networkingv1.Ingress, last Forms) {
	m := &member{object: object(ingress)}
	if form, ok := last[m.object]; ok {
		m.last = &form
	}
	m.bound = m.last != nil || slices.Contains(ingress.Finalizers, Finalizer(g.id))
	o := owner(objects, g.options, ingress)
	switch {
	case o.ours && o.stack == g.id:
		c := &compiler{objects: objects, options: g.options, ingress: ingress, params: o.params, self: m.object}
		m.form, m.known, m.fresh, m.told = c.form(g.id), true, true, true
		m.verdicts = c.verdicts
		if slices.ContainsFunc(c.verdicts, refused) {
			m.fallBack()
		}
	case len(o.verdicts) > 0 && (m.last != nil || slices.Contains(stacksOf(objects, g.options, ingress), g.id)):
		// An Ingress whose class cannot be told keeps what it has: a class edited by accident detaches nobody.
		m.verdicts = o.verdicts
		m.fallBack()
	case ingress.DeletionTimestamp != nil && m.bound:
		if at, protected := annot.Protected(ingress); protected {
			g.protected = append(g.protected, at.Verdict(lb.Refused, lb.DeletionProtected,
				"protects the load balancer, so it and the Ingress stay", "Set deletion_protection.enabled=false in the annotation"))
		}
		return
	default:
		return
	}
	g.members = append(g.members, m)
}

// fallBack replaces what the object says by what it said when it was last good.
func (m *member) fallBack() {
	m.form, m.known, m.fresh = Form{}, false, false
	if m.last != nil {
		m.form, m.known = *m.last, true
	}
}

// kept says whether only the cloud knows what is wanted of the member.
func (m *member) kept() bool { return m.bound && !m.known }

// own says whether the stack is that of one Ingress.
func (g *group) own() bool {
	_, _, own := g.id.Own()
	return own
}

// compiled is the stack that all members together want. A member that has never been served and is refused does not
// count; of one that may have been served, and of which no form is known, the cloud's is kept.
func (g *group) compiled() Compiled {
	shared := g.agree()
	out := Compiled{ID: g.id, Stack: lb.Stack{ID: g.id}, Forms: Forms{}}
	for _, m := range g.inOrder() {
		if m.known || m.bound || m.told && g.own() {
			out.Members = append(out.Members, m.object)
		}
		if m.known {
			out.Forms[m.object] = m.form
		}
	}
	out.Held = len(g.members) > 0 && len(out.Forms) == 0
	if len(out.Forms) > 0 {
		out.Stack = g.stack(shared)
	}
	for _, m := range g.members {
		out.Verdicts = append(out.Verdicts, m.verdicts...)
	}
	if len(g.members) == 0 && len(g.protected) > 0 {
		out.Held, out.Verdicts = true, g.protected
	}
	out.Verdicts = lb.SortVerdicts(out.Verdicts)
	return out
}

// agree finds what the members say about what they share. Of two that differ the later one is refused, and falls back
// to what it was; what is fallen back to never stands in the way of anybody.
func (g *group) agree() shared {
	for {
		var s shared
		var again bool
		if first := g.wanted(); len(first) > 0 {
			s.imposed = first[0].form.settings.ClassAttributes
		}
		s.impose(g.inOrder())
		for _, m := range g.inOrder() {
			if !m.fresh {
				continue
			}
			if differences := s.take(m); len(differences) > 0 {
				m.verdicts = append(m.verdicts, differences...)
				m.fallBack()
				again = true
				break
			}
		}
		if again {
			continue
		}
		for _, m := range g.inOrder() {
			if m.known && !m.fresh {
				_ = s.take(m) // its verdicts tell why it is what it was
			}
		}
		if g.oneFamily(&s) || g.unsecured(&s) {
			continue
		}
		return s
	}
}

// inOrder are the members by group.order, then by namespace and name as one string.
func (g *group) inOrder() []*member {
	return slices.SortedFunc(slices.Values(g.members), func(a, b *member) int {
		return cmp.Or(
			cmp.Compare(a.form.settings.Order, b.form.settings.Order),
			cmp.Compare(a.object.Namespace+"/"+a.object.Name, b.object.Namespace+"/"+b.object.Name),
		)
	})
}

// wanted are the members of which it is known what they want, in order.
func (g *group) wanted() []*member {
	return slices.DeleteFunc(g.inOrder(), func(m *member) bool { return !m.known })
}

func (g *group) stack(s shared) lb.Stack {
	stack := lb.Stack{ID: g.id, Source: lb.SecurityGroupRef{Backend: true}}
	if id := g.options.BackendSecurityGroup; id != "" {
		stack.Source = lb.SecurityGroupRef{Named: id}
	}
	for _, m := range g.inOrder() {
		if m.kept() {
			stack.Kept = append(stack.Kept, m.object)
		}
	}
	for _, m := range g.wanted() {
		stack.Members = append(stack.Members, m.object)
		stack.TargetGroups = append(stack.TargetGroups, m.form.groups...)
		stack.Bindings = append(stack.Bindings, m.form.bindings...)
	}
	slices.SortFunc(stack.TargetGroups, func(x, y lb.TargetGroup) int { return cmp.Compare(x.ID, y.ID) })
	slices.SortFunc(stack.Bindings, func(x, y lb.Binding) int { return cmp.Compare(x.TargetGroup, y.TargetGroup) })
	scheme := s.scheme.Or(g.options.DefaultScheme)
	stack.LoadBalancers = []lb.LoadBalancer{{
		ID:             lb.LoadBalancerID,
		Name:           s.name.Or(lb.LoadBalancerName(g.options.Cluster, g.id, scheme)),
		Named:          s.name.Set(),
		Type:           lb.Application,
		Scheme:         scheme,
		IPAddressType:  s.family.Or(lb.IPv4),
		Subnets:        s.subnets.Value,
		SecurityGroups: append([]lb.SecurityGroupRef{{Managed: lb.ManagedSecurityGroupID}}, g.options.backend()...),
		AddOns:         s.addOns(),
		Attributes:     s.attributes.with(s.imposed),
		Tags:           s.tags.sorted(),
		Listeners:      g.listeners(s),
		From:           stack.Members,
	}}
	if s.secured.Set() {
		g.secure(&stack, s)
	} else {
		if g.options.NoBackendSecurityGroup {
			stack.Source = lb.SecurityGroupRef{Managed: lb.ManagedSecurityGroupID}
		}
		stack.SecurityGroups = []lb.SecurityGroup{g.securityGroup(s, stack.Members)}
	}
	return stack
}

// backend is the security group that targets are opened from, besides the managed one.
func (o Options) backend() []lb.SecurityGroupRef {
	switch {
	case o.NoBackendSecurityGroup:
		return nil
	case o.BackendSecurityGroup != "":
		return []lb.SecurityGroupRef{{Named: o.BackendSecurityGroup}}
	default:
		return []lb.SecurityGroupRef{{Backend: true}}
	}
}

// secure gives the load balancer security groups that others made. Without the backend security group there is no
// source to open targets from, so whoever made those opens them.
func (g *group) secure(stack *lb.Stack, s shared) {
	var refs []lb.SecurityGroupRef
	for _, name := range s.secured.Value {
		refs = append(refs, lb.SecurityGroupRef{Named: name})
	}
	if backend := g.options.backend(); s.backend.Or(g.options.ManageBackendRules) && len(backend) > 0 {
		refs = append(refs, backend...)
	} else {
		for i := range stack.Bindings {
			stack.Bindings[i].Networking = nil
		}
	}
	stack.LoadBalancers[0].SecurityGroups = refs
}

func (g *group) securityGroup(s shared, from []lb.Object) lb.SecurityGroup {
	out := lb.SecurityGroup{
		ID:          lb.ManagedSecurityGroupID,
		Name:        lb.ManagedSecurityGroupName(g.options.Cluster, g.id),
		Description: "[k8s] Managed SecurityGroup for LoadBalancer",
		Tags:        s.tags.sorted(),
		From:        from,
	}
	for _, p := range s.ports {
		sources := p.cidrs.Value
		if len(sources)+len(p.lists.Value) == 0 {
			sources = []string{"0.0.0.0/0", "::/0"}
		}
		for _, source := range sources {
			if !ipv6(source) || s.family.Or(lb.IPv4).Dual() {
				out.Ingress = append(out.Ingress, lb.IngressRule{Protocol: "tcp", From: int32(p.number), To: int32(p.number), CIDR: source})
			}
		}
		for _, list := range p.lists.Value {
			out.Ingress = append(out.Ingress, lb.IngressRule{Protocol: "tcp", From: int32(p.number), To: int32(p.number), PrefixList: list})
		}
	}
	return out
}

// listeners are those of all members, each with the rules of the members that listen on it, in group order. Where there
// are more rules than a load balancer can have, those that are last in order are left out.
func (g *group) listeners(s shared) []lb.Listener {
	out := make([]lb.Listener, len(s.ports))
	for i, p := range s.ports {
		out[i] = lb.Listener{
			Port: p.number, Protocol: p.protocol, Default: g.fallback(p),
			Attributes: p.attributes.with(p.imposed), Tags: p.tags.sorted(),
		}
		if p.protocol == lb.HTTPS {
			out[i].Handshake = lb.Handshake{Certificates: p.certificates, Policy: p.policy.Or(g.options.TLSPolicy)}
		} else if s.redirect.Set() {
			out[i].Default = toHTTPS(s.redirect.Value)
		}
	}
	count := 0
	for _, m := range g.inOrder() {
		if m.kept() {
			for i := range out {
				out[i].Rules = append(out[i].Rules, lb.Rule{Kept: true, From: m.object})
			}
		}
		if !m.known {
			continue
		}
		var unfit []string
		for i := range out {
			if s.ports[i].has(m) {
				out[i].From = append(out[i].From, m.object)
			}
		}
		for _, r := range m.form.rules {
			for i := range out {
				switch {
				case !s.ports[i].has(m) || idle(r, out[i]) || s.redirects(s.ports[i]):
				case out[i].Protocol == lb.HTTP && m.form.needsHTTPS(r.Action):
					m.refuseHTTP2(r.Field, out[i].Port)
				case count == maxRules:
					unfit = append(unfit, r.Field)
				default:
					count++
					r := r
					if out[i].Protocol == lb.HTTP {
						r.Action.Tokens = nil
					}
					r.Priority = len(out[i].Rules) + 1
					out[i].Rules = append(out[i].Rules, r)
				}
			}
		}
		if len(unfit) > 0 {
			m.refuse(lb.Partial, lb.QuotaExceeded, unfit[0], "",
				fmt.Sprintf("%s not fit: a load balancer can have %d on all its listeners together", rulesDo(len(unfit)), maxRules),
				"Merge paths, or give the Ingress another load balancer")
		}
	}
	return out
}

func rulesDo(n int) string {
	if n == 1 {
		return "1 rule does"
	}
	return fmt.Sprintf("%d rules, from this one on, do", n)
}

// fallback is what a listener answers when no rule matches: the default backend of the first member that has one.
func (g *group) fallback(p *port) lb.Action {
	var first *member
	for _, fresh := range []bool{true, false} {
		for _, m := range g.wanted() {
			switch {
			case m.fresh != fresh || m.form.fallback == nil || !p.has(m):
			case first == nil:
				first = m
			case m.fresh:
				m.refuse(lb.Partial, lb.GroupConflict, "spec.defaultBackend", "",
					fmt.Sprintf("port %d has the default backend of %s already", p.number, first.object),
					"Let one Ingress of the group have a default backend for the port")
			}
		}
	}
	if first != nil && p.protocol == lb.HTTP && first.form.needsHTTPS(*first.form.fallback) {
		first.refuseHTTP2("spec.defaultBackend", p.number)
		first = nil
	}
	if first == nil {
		return lb.Action{FixedResponse: &lb.FixedResponse{StatusCode: 404, ContentType: "text/plain"}}
	}
	action := *first.form.fallback
	if p.protocol == lb.HTTP {
		action.Tokens = nil
	}
	return action
}

func (m *member) refuse(severity lb.Severity, reason lb.Reason, field, value, problem, fix string) {
	m.verdicts = append(m.verdicts, lb.Verdict{
		Object: m.object, Severity: severity, Reason: reason, Field: field, Value: value, Problem: problem, Fix: fix,
	})
}
