package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	elbv2api "github.com/sluicehq/sluice/api/elbv2/v1beta1"
	"github.com/sluicehq/sluice/internal/lb"
	"github.com/sluicehq/sluice/internal/plan"
)

// TargetGroupBindings are made as an engine makes its resources: lowered, compared, applied. They tie what the engine
// made to what the registration path follows.

// BindingKind is the plan's kind of TargetGroupBinding objects.
const BindingKind plan.Kind = "TargetGroupBinding"

// Labels of a stack's bindings, behind the stack's front end.
const (
	stackLabel          = ".k8s.aws/stack" // of an IngressGroup
	stackNamespaceLabel = ".k8s.aws/stack-namespace"
	stackNameLabel      = ".k8s.aws/stack-name"
)

// unknownYet stands in a plan for what only applying tells.
const unknownYet = "(known after apply)"

// stackLabels are the labels that a stack's bindings carry.
func stackLabels(id lb.StackID) map[string]string {
	front := string(id.FrontEnd())
	if namespace, name, own := id.Own(); own {
		return map[string]string{front + stackNamespaceLabel: namespace, front + stackNameLabel: name}
	}
	return map[string]string{front + stackLabel: id.Name()}
}

// stackOfBinding says which stack made a binding; ok is false for one that a user made.
func stackOfBinding(b *elbv2api.TargetGroupBinding) (id lb.StackID, ok bool) {
	for _, front := range []lb.FrontEnd{lb.IngressFront, lb.ServiceFront} {
		if group := b.Labels[string(front)+stackLabel]; group != "" {
			return lb.NewStackID(front, group), true
		}
		namespace, name := b.Labels[string(front)+stackNamespaceLabel], b.Labels[string(front)+stackNameLabel]
		if namespace != "" && name != "" {
			return lb.NewStackID(front, namespace+"/"+name), true
		}
	}
	return "", false
}

// binding is one TargetGroupBinding, as it is or as it should be. Of its labels only a stack's count.
type binding struct {
	object *elbv2api.TargetGroupBinding
	from   []lb.Object
}

// ID is by namespace and name.
func (b binding) ID() plan.ID {
	return plan.ID{Kind: BindingKind, Name: b.object.Namespace + "/" + b.object.Name}
}

// Refs are none: the target group is another engine's.
func (b binding) Refs() []plan.ID { return nil }

// Owner is none.
func (b binding) Owner() plan.ID { return plan.ID{} }

// From are the objects that the target group is for.
func (b binding) From() []lb.Object { return b.from }

// Fields are the spec's, and the stack.
func (b binding) Fields() []plan.Field {
	s := b.object.Spec
	stack, _ := stackOfBinding(b.object)
	fields := []plan.Field{
		{Name: "service", Value: s.ServiceRef.Name + ":" + s.ServiceRef.Port.String()},
		{Name: "target type", Value: text(s.TargetType)},
		{Name: "target group", Value: s.TargetGroupARN},
		{Name: "protocol", Value: text(s.TargetGroupProtocol)},
		{Name: "address type", Value: text(s.IPAddressType)},
		{Name: "vpc", Value: s.VpcID},
		{Name: "stack", Value: string(stack)},
	}
	rest := s.DeepCopy()
	rest.ServiceRef, rest.TargetType, rest.TargetGroupARN, rest.TargetGroupProtocol, rest.IPAddressType, rest.VpcID, rest.TargetGroupName =
		elbv2api.ServiceReference{}, nil, "", nil, nil, "", ""
	fields = append(fields, plan.Field{Name: "node selector", Value: document(rest.NodeSelector)}, plan.Field{Name: "lets in", Value: letsIn(rest.Networking)})
	rest.NodeSelector, rest.Networking = nil, nil
	if other := document(rest); other != document(elbv2api.TargetGroupBindingSpec{}) {
		fields = append(fields, plan.Field{Name: "other", Value: other})
	}
	return fields
}

// letsIn is spec.networking for people: "TCP 30080 from sg-1; TCP 9000 from sg-1".
func letsIn(n *elbv2api.TargetGroupBindingNetworking) string {
	if n == nil {
		return ""
	}
	rules := []string{}
	for _, rule := range n.Ingress {
		var ports, peers []string
		for _, p := range rule.Ports {
			port := "all ports"
			if p.Port != nil {
				port = p.Port.String()
			}
			if port == "0" { // the API server has yet to assign it
				port = unknownYet
			}
			ports = append(ports, strings.TrimSpace(text(p.Protocol)+" "+port))
		}
		for _, p := range rule.From {
			if p.SecurityGroup != nil {
				peers = append(peers, p.SecurityGroup.GroupID)
			}
			if p.IPBlock != nil {
				peers = append(peers, p.IPBlock.CIDR)
			}
		}
		rules = append(rules, strings.Join(ports, ", ")+" from "+strings.Join(peers, ", "))
	}
	if len(rules) == 0 {
		return "nothing"
	}
	return strings.Join(rules, "; ")
}

func text[T ~string](s *T) string {
	if s == nil {
		return ""
	}
	return string(*s)
}

// document is the JSON of a value, or nothing for nil.
func document(value any) string {
	out, err := json.Marshal(value)
	if err != nil {
		panic("control: a part of a binding has no JSON: " + err.Error()) // it came from JSON
	}
	if string(out) == "null" {
		return ""
	}
	return string(out)
}

// site is what bindings say about where they are.
type site struct {
	vpc           string
	securityGroup string // the source that load balancers reach targets from; empty leaves networking out
	unsecured     bool   // the load balancer has no security groups, so that targets are opened to addresses
	around        lb.Surroundings
}

// siteOf is where a stack's bindings are.
func siteOf(vpc string, stack lb.Stack, observed lb.Observed) site {
	return site{vpc: vpc, securityGroup: observed.Source(stack.Source), unsecured: observed.Unsecured, around: observed.Surroundings}
}

// networking is what a binding's targets let in. known is false where that cannot be told yet.
func (s site) networking(want lb.Binding, family lb.IPAddressType) (n *elbv2api.TargetGroupBindingNetworking, known bool) {
	rules := want.Networking
	if s.unsecured {
		rules = want.Unsecured
	}
	if len(rules) == 0 {
		return nil, true
	}
	if s.unsecured && !s.around.Known || !s.unsecured && s.securityGroup == "" {
		return nil, false
	}
	n = &elbv2api.TargetGroupBindingNetworking{}
	for _, r := range rules {
		n.Ingress = append(n.Ingress, elbv2api.NetworkingIngressRule{From: s.peers(r.From, family), Ports: portsOf(r)})
	}
	return n, true
}

// peers are who is let in by a rule, of addresses those of the target group's family.
func (s site) peers(from lb.Peers, family lb.IPAddressType) []elbv2api.NetworkingPeer {
	cidrs := from.CIDRs
	switch {
	case from.Reachable:
		cidrs = ofFamily(s.around.Clients, family)
	case from.Subnets:
		cidrs = ofFamily(s.around.Subnets, family)
	case len(cidrs) == 0:
		return []elbv2api.NetworkingPeer{{SecurityGroup: &elbv2api.SecurityGroup{GroupID: s.securityGroup}}}
	}
	var out []elbv2api.NetworkingPeer
	for _, cidr := range cidrs {
		out = append(out, elbv2api.NetworkingPeer{IPBlock: &elbv2api.IPBlock{CIDR: cidr}})
	}
	return out
}

func ofFamily(cidrs []string, family lb.IPAddressType) []string {
	return slices.DeleteFunc(slices.Clone(cidrs), func(cidr string) bool { return strings.Contains(cidr, ":") != (family == lb.IPv6) })
}

// wantedBindings lowers a stack's bindings. One whose target group is not known (it could not be made) stays as it is,
// and so does one whose target group is replaced, as long as that serves.
func wantedBindings(stack lb.Stack, observed lb.Observed, have []*elbv2api.TargetGroupBinding, at site) []plan.Resource {
	groups := observed.TargetGroups
	wanted := keptBindings(stack, groups, have)
	for _, was := range have {
		if slices.Contains(observed.Replaced, lb.TargetGroupRef(was.Spec.TargetGroupARN)) {
			wanted = append(wanted, binding{object: was, from: stack.Members})
		}
	}
	for _, want := range stack.Bindings {
		arn, known := groups[want.TargetGroup]
		if !known {
			if was := bindingNamed(have, want.Namespace, want.Name); was != nil {
				wanted = append(wanted, binding{object: was, from: want.From})
			}
			continue
		}
		object, known := lowerBinding(stack, want, string(arn), at)
		switch was, other := bindingTo(have, want.Namespace, string(arn)), bindingNamed(have, want.Namespace, want.Name); {
		case was != nil:
			object.Name = was.Name // whoever made it named it
			if !known {
				object.Spec.Networking = was.Spec.Networking // as it is
			}
		case other != nil && slices.Contains(observed.Replaced, lb.TargetGroupRef(other.Spec.TargetGroupARN)):
			object.Name = arn.Name()
		}
		wanted = append(wanted, binding{object: object, from: want.From})
	}
	return wanted
}

// keptBindings are the bindings of members that are kept, as they are.
func keptBindings(stack lb.Stack, groups map[lb.ResourceID]lb.TargetGroupRef, have []*elbv2api.TargetGroupBinding) []plan.Resource {
	var kept []plan.Resource
	for id, arn := range groups {
		keeper, ok := stack.Keeper(id)
		if !ok || slices.ContainsFunc(stack.Bindings, func(b lb.Binding) bool { return b.TargetGroup == id }) {
			continue
		}
		if was := bindingTo(have, keeper.Namespace, string(arn)); was != nil {
			kept = append(kept, binding{object: was, from: []lb.Object{keeper}})
		}
	}
	return kept
}

func bindingNamed(list []*elbv2api.TargetGroupBinding, namespace, name string) *elbv2api.TargetGroupBinding {
	for _, b := range list {
		if b.Namespace == namespace && b.Name == name {
			return b
		}
	}
	return nil
}

func bindingTo(list []*elbv2api.TargetGroupBinding, namespace, arn string) *elbv2api.TargetGroupBinding {
	for _, b := range list {
		if b.Namespace == namespace && b.Spec.TargetGroupARN == arn {
			return b
		}
	}
	return nil
}

// lowerBinding writes a binding as the AWS Load Balancer Controller would. networking is false where it cannot be told
// yet what its targets let in.
func lowerBinding(stack lb.Stack, want lb.Binding, arn string, at site) (object *elbv2api.TargetGroupBinding, networking bool) {
	kind := elbv2api.TargetType(want.TargetType)
	object = &elbv2api.TargetGroupBinding{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: want.Namespace, Name: want.Name, Labels: stackLabels(stack.ID), Finalizers: []string{bindingFinalizer},
		},
		Spec: elbv2api.TargetGroupBindingSpec{
			TargetGroupARN: arn,
			TargetType:     &kind,
			ServiceRef:     elbv2api.ServiceReference{Name: want.Service, Port: portValue(want.ServicePort)},
			VpcID:          at.vpc,

			MultiClusterTargetGroup: want.MultiCluster,
		},
	}
	family := lb.IPv4
	for _, g := range stack.TargetGroups {
		if g.ID == want.TargetGroup {
			protocol, of := elbv2api.TargetGroupProtocol(g.Protocol), elbv2api.TargetGroupIPAddressType(g.IPAddressType)
			family = g.IPAddressType
			object.Spec.TargetGroupProtocol, object.Spec.IPAddressType = &protocol, &of
		}
	}
	if len(want.NodeLabels) > 0 {
		object.Spec.NodeSelector = &metav1.LabelSelector{MatchLabels: map[string]string{}}
		for _, l := range want.NodeLabels {
			object.Spec.NodeSelector.MatchLabels[l.Key] = l.Value
		}
	}
	object.Spec.Networking, networking = at.networking(want, family)
	return object, networking
}

func portsOf(r lb.NetworkingRule) []elbv2api.NetworkingPort {
	var out []elbv2api.NetworkingPort
	for _, p := range r.Ports {
		protocol := elbv2api.NetworkingProtocol(p.Protocol)
		port := elbv2api.NetworkingPort{Protocol: &protocol}
		if !p.All {
			number := portValue(p.Port)
			port.Port = &number
		}
		out = append(out, port)
	}
	return out
}

func portValue(p lb.Port) intstr.IntOrString {
	if p.Name != "" {
		return intstr.FromString(p.Name)
	}
	return intstr.FromInt32(p.Number)
}

// bindingSteps lead from the bindings that a stack has to those that it wants.
func bindingSteps(have []*elbv2api.TargetGroupBinding, want []plan.Resource) []plan.Step {
	var had []plan.Resource
	for _, b := range have {
		if b.DeletionTimestamp.IsZero() {
			had = append(had, binding{object: b})
		}
	}
	return plan.Diff(had, want)
}

// bindingPerformer applies steps of bindings.
type bindingPerformer struct {
	client client.Client
	live   client.Reader
}

// Perform does one step.
func (p bindingPerformer) Perform(ctx context.Context, step plan.Step) error {
	if step.Verb == plan.Delete {
		return p.remove(ctx, step.Before)
	}
	want, ok := step.After.(binding)
	if !ok {
		panic(fmt.Sprintf("control: a plan has a step for %T", step.After))
	}
	if before, ok := step.Before.(binding); ok {
		return p.change(ctx, before.object, want.object)
	}
	err := p.client.Create(ctx, want.object.DeepCopy())
	if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		return &plan.LaterError{After: goneAgain, Why: "the namespace is being removed, and what the binding is for with it"}
	}
	if !apierrors.IsAlreadyExists(err) {
		return err
	}
	var there elbv2api.TargetGroupBinding
	if err := p.live.Get(ctx, client.ObjectKeyFromObject(want.object), &there); err != nil {
		return err
	}
	wantStack, _ := stackOfBinding(want.object)
	if stack, _ := stackOfBinding(&there); stack != wantStack {
		return &plan.BlockedError{Err: err, Verdict: lb.Verdict{
			Severity: lb.Refused, Reason: lb.CloudRefused, Field: "TargetGroupBinding " + there.Namespace + "/" + there.Name,
			Problem: "exists and was not made for this load balancer", Fix: "Remove it or rename it",
		}}
	}
	if !there.DeletionTimestamp.IsZero() {
		return &plan.LaterError{After: goneAgain, Why: "the binding of the same name is still being removed"}
	}
	return p.change(ctx, &there, want.object)
}

// change patches the spec and the labels that tell the stack. Other labels and annotations are others'.
func (p bindingPerformer) change(ctx context.Context, before, want *elbv2api.TargetGroupBinding) error {
	after := before.DeepCopy()
	after.Spec = *want.Spec.DeepCopy()
	if after.Labels == nil {
		after.Labels = map[string]string{}
	}
	for key, value := range want.Labels {
		after.Labels[key] = value
	}
	return p.client.Patch(ctx, after, client.MergeFrom(before))
}

func (p bindingPerformer) remove(ctx context.Context, before plan.Resource) error {
	was, ok := before.(binding)
	if !ok {
		return errors.New("control: a plan removes what is no binding")
	}
	uid := was.object.UID
	return client.IgnoreNotFound(p.client.Delete(ctx, &elbv2api.TargetGroupBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: was.object.Namespace, Name: was.object.Name},
	}, client.Preconditions{UID: &uid}))
}
