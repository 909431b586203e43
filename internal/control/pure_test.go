package control

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	elbv2api "github.com/sluicehq/sluice/api/elbv2/v1beta1"
	"github.com/sluicehq/sluice/internal/compile"
	"github.com/sluicehq/sluice/internal/kube"
	"github.com/sluicehq/sluice/internal/lb"
	"github.com/sluicehq/sluice/internal/plan"
)

func compiled(id lb.StackID) compile.Compiled { return compile.Compiled{ID: id} }

func stackWithBinding() lb.Stack {
	from := []lb.Object{{Kind: "Ingress", Namespace: "default", Name: "shop"}}
	return lb.Stack{
		ID:           "default/shop",
		TargetGroups: []lb.TargetGroup{{ID: "tg", Name: "k8s-default-web-0123456789", Protocol: lb.HTTP, IPAddressType: lb.IPv4}},
		Bindings: []lb.Binding{{
			TargetGroup: "tg", Namespace: "default", Name: "k8s-default-web-0123456789", Service: "web", ServicePort: lb.Port{Name: "http"},
			TargetType: lb.InstanceTargets, NodeLabels: []lb.Tag{{Key: "pool", Value: "edge"}}, Networking: lb.FromSource(lb.Port{Number: 30080}, lb.Port{Number: 9000}), From: from,
		}},
	}
}

func TestABindingIsWrittenAsTheReferenceWritesIt(t *testing.T) {
	wanted := wantedBindings(stackWithBinding(), lb.Observed{TargetGroups: map[lb.ResourceID]lb.TargetGroupRef{"tg": "arn"}}, nil, site{vpc: "vpc-1", securityGroup: "sg-1"})
	made, _ := wanted[0].(binding)
	got, err := yaml.Marshal(map[string]any{"metadata": made.object.ObjectMeta, "spec": made.object.Spec})
	if err != nil {
		t.Fatal(err)
	}
	const want = `metadata:
  finalizers:
  - elbv2.k8s.aws/resources
  labels:
    ingress.k8s.aws/stack-name: shop
    ingress.k8s.aws/stack-namespace: default
  name: k8s-default-web-0123456789
  namespace: default
spec:
  ipAddressType: ipv4
  networking:
    ingress:
    - from:
      - securityGroup:
          groupID: sg-1
      ports:
      - port: 30080
        protocol: TCP
    - from:
      - securityGroup:
          groupID: sg-1
      ports:
      - port: 9000
        protocol: TCP
  nodeSelector:
    matchLabels:
      pool: edge
  serviceRef:
    name: web
    port: http
  targetGroupARN: arn
  targetGroupProtocol: HTTP
  targetType: instance
  vpcID: vpc-1
`
	if diff := cmp.Diff(want, strings.ReplaceAll(string(got), "  creationTimestamp: null\n", "")); diff != "" {
		t.Error(diff)
	}
}

func TestStepsOfBindings(t *testing.T) {
	stack, known := stackWithBinding(), map[lb.ResourceID]lb.TargetGroupRef{"tg": "arn"}
	there := func(change func(*elbv2api.TargetGroupBinding)) []*elbv2api.TargetGroupBinding {
		made, _ := wantedBindings(stack, lb.Observed{TargetGroups: known}, nil, site{vpc: "vpc-1"})[0].(binding)
		object := made.object.DeepCopy()
		change(object)
		return []*elbv2api.TargetGroupBinding{object}
	}
	as := func(*elbv2api.TargetGroupBinding) {}
	for _, test := range []struct {
		name   string
		have   []*elbv2api.TargetGroupBinding
		groups map[lb.ResourceID]lb.TargetGroupRef
		stack  lb.Stack
		want   string
	}{
		{"new", nil, known, stack, "create default/k8s-default-web-0123456789"},
		{"as it is", there(as), known, stack, ""},
		{"the name that another gave stays", there(func(b *elbv2api.TargetGroupBinding) { b.Name = "theirs" }), known, stack, ""},
		{"networking stays while its source is unknown", there(func(b *elbv2api.TargetGroupBinding) { b.Spec.Networking = &elbv2api.TargetGroupBindingNetworking{} }), known, stack, ""},
		{"foreign labels do not count", there(func(b *elbv2api.TargetGroupBinding) { b.Labels["x"] = "y" }), known, stack, ""},
		{"changed", there(func(b *elbv2api.TargetGroupBinding) { b.Spec.MultiClusterTargetGroup = true }), known, stack, "update default/k8s-default-web-0123456789"},
		{"the group is another one", there(as), map[lb.ResourceID]lb.TargetGroupRef{"tg": "new"}, stack, "update default/k8s-default-web-0123456789"},
		{"the group is not known", there(as), nil, stack, ""},
		{"not known and not there", nil, nil, stack, ""},
		{"not wanted", there(as), nil, lb.Stack{ID: stack.ID}, "delete default/k8s-default-web-0123456789"},
		{"going already", there(func(b *elbv2api.TargetGroupBinding) { b.DeletionTimestamp = new(metav1.Now()) }), nil, lb.Stack{ID: stack.ID}, ""},
	} {
		var got []string
		for _, s := range bindingSteps(test.have, wantedBindings(test.stack, lb.Observed{TargetGroups: test.groups}, test.have, site{vpc: "vpc-1"})) {
			got = append(got, string(s.Verb)+" "+s.ID.Name)
		}
		if diff := cmp.Diff(test.want, strings.Join(got, ", ")); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
	}
}

func TestPlanBindings(t *testing.T) {
	steps := PlanBindings(kube.New(kube.Contents{}), stackWithBinding(), lb.Observed{}, "", 5)
	if len(steps) != 1 || steps[0].Verb != plan.Create || steps[0].From()[0].Name != "shop" {
		t.Fatal(steps)
	}
	for _, c := range steps[0].Changes() {
		if c.Field == "target group" && c.After != unknownYet {
			t.Error(c)
		}
	}
}

func TestSummary(t *testing.T) {
	step := func(verb plan.Verb, kind plan.Kind, name string) plan.StepResult {
		return plan.StepResult{Step: plan.Step{Verb: verb, ID: plan.ID{Kind: kind, Name: name}}}
	}
	failed := step(plan.Create, "Rule", "3")
	failed.Err = &plan.BlockedError{}
	skipped := step(plan.Create, "Rule", "4")
	skipped.Skipped = true
	for _, test := range []struct {
		steps []plan.StepResult
		want  string
	}{
		{nil, ""},
		{[]plan.StepResult{failed, skipped}, ""},
		{[]plan.StepResult{step(plan.Create, "LoadBalancer", "k8s-a")}, "created load balancer k8s-a"},
		{
			[]plan.StepResult{
				step(plan.Create, "TargetGroup", "1"), step(plan.Create, "TargetGroup", "2"), step(plan.Create, "Rule", "1"), failed,
				step(plan.Create, BindingKind, "x"), step(plan.Update, "RulePriorities", "80"), step(plan.Delete, "Rule", "9"),
			},
			"created 2 target groups, 1 rule and 1 TargetGroupBinding; updated 1 rule priorities; deleted 1 rule",
		},
	} {
		if diff := cmp.Diff(test.want, summary(plan.Result{Steps: test.steps})); diff != "" {
			t.Error(diff)
		}
	}
}

func TestNews(t *testing.T) {
	a := lb.Verdict{Severity: lb.Partial, Reason: lb.PortNotFound, Problem: "a"}
	b := lb.Verdict{Severity: lb.Refused, Reason: lb.InvalidAnnotation, Problem: "b"}
	down := failure{key: "create Rule", text: "down, request 1"}
	again := failure{key: "create Rule", text: "down, request 2"}
	for _, test := range []struct {
		name         string
		before       told
		now          telling
		verdicts     int
		failed, well bool
	}{
		{"nothing", told{}, telling{}, 0, false, false},
		{"done something", told{}, telling{done: "x"}, 0, false, true},
		{"a verdict", told{}, telling{verdicts: []lb.Verdict{a}}, 1, false, false},
		{"the same verdict", told{verdicts: []lb.Verdict{a}}, telling{verdicts: []lb.Verdict{a}}, 0, false, false},
		{"another verdict", told{verdicts: []lb.Verdict{a}}, telling{verdicts: []lb.Verdict{a, b}}, 1, false, false},
		{"a verdict less", told{verdicts: []lb.Verdict{a, b}}, telling{verdicts: []lb.Verdict{a}}, 0, false, true},
		{"done something beside a partial verdict", told{verdicts: []lb.Verdict{a}}, telling{verdicts: []lb.Verdict{a}, done: "x"}, 0, false, true},
		{"a failure", told{}, telling{failure: down, done: "x"}, 0, true, false},
		{"the same failure in other words", told{failure: down}, telling{failure: again}, 0, false, false},
		{"mended", told{failure: down}, telling{}, 0, false, true},
	} {
		verdicts, failed, well := test.now.news(test.before)
		if len(verdicts) != test.verdicts || failed != test.failed || well != test.well {
			t.Errorf("%s: %v %v %v", test.name, verdicts, failed, well)
		}
	}
}

func TestAddresses(t *testing.T) {
	stack := lb.Stack{LoadBalancers: []lb.LoadBalancer{{ID: "lb", Listeners: []lb.Listener{{Port: 8080}, {Port: 80}}}}}
	got := addresses(stack, lb.Observed{LoadBalancers: []lb.ObservedLoadBalancer{{ID: "lb", DNSName: "Internal-K8s-A.elb.amazonaws.com"}}})
	want := []networkingv1.IngressLoadBalancerIngress{{
		Hostname: "internal-k8s-a.elb.amazonaws.com", Ports: []networkingv1.IngressPortStatus{{Port: 80, Protocol: "TCP"}, {Port: 8080, Protocol: "TCP"}},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	theirs := []networkingv1.IngressLoadBalancerIngress{{Hostname: want[0].Hostname, Ports: []networkingv1.IngressPortStatus{{Port: 8080}, {Port: 80}}}}
	if !sameAddresses(theirs, want) || sameAddresses(nil, want) {
		t.Error("what the reference wrote is the same; nothing is not")
	}
	if got := addresses(stack, lb.Observed{}); len(got) > 0 {
		t.Error("no load balancer, no address", got)
	}
}

func TestWhatWeWriteOurselvesIsNoChange(t *testing.T) {
	ingress := &networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{ResourceVersion: "1", Annotations: map[string]string{"a": "1"}}}
	status := ingress.DeepCopy()
	status.ResourceVersion, status.Labels = "2", map[string]string{"l": "1"}
	status.Status.LoadBalancer.Ingress = []networkingv1.IngressLoadBalancerIngress{{Hostname: "x"}}
	annotated := ingress.DeepCopy()
	annotated.Annotations["a"] = "2"
	update := func(before, after *networkingv1.Ingress) change[*networkingv1.Ingress] {
		return change[*networkingv1.Ingress]{before: before, after: after, urgent: before.ResourceVersion != after.ResourceVersion}
	}
	if update(ingress, status).matters(sameIngress) {
		t.Error("a status or label matters")
	}
	annotated.ResourceVersion = "3"
	if !update(ingress, annotated).matters(sameIngress) || !update(ingress, ingress).matters(sameIngress) {
		t.Error("an annotation and a resync matter")
	}
	bound := &elbv2api.TargetGroupBinding{}
	checked := bound.DeepCopy()
	checked.Annotations = map[string]string{"elbv2.k8s.aws/checkpoint": "x"}
	checked.Status.ObservedGeneration = new(int64)
	if !sameBinding(bound, checked) {
		t.Error("a checkpoint or status matters")
	}
}

func TestTrimmedPodsStayTrimmed(t *testing.T) {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "default", UID: "u", Labels: map[string]string{"a": "b"}, Annotations: map[string]string{"big": "x"}},
		Spec:       corev1.PodSpec{NodeName: "n", Containers: []corev1.Container{{Name: "c"}}},
		Status:     corev1.PodStatus{PodIP: "10.0.0.1", Conditions: []corev1.PodCondition{{Type: corev1.ContainersReady, Status: "True"}}},
	}
	once, err := trimPod(pod)
	if err != nil {
		t.Fatal(err)
	}
	twice, err := trimPod(once)
	if err != nil {
		t.Fatal(err)
	}
	small, _ := twice.(*corev1.Pod)
	if diff := cmp.Diff(once, twice); diff != "" || len(small.Spec.Containers) > 0 || len(small.Annotations) > 0 || len(small.Status.Conditions) != 1 || small.Spec.NodeName != "n" {
		t.Error(diff, small)
	}
	if pod.Annotations == nil {
		t.Error("the object given was changed")
	}
}

func TestNotesFitIntoEvents(t *testing.T) {
	for _, s := range []string{"short", strings.Repeat("ä", 1000)} {
		if got := cut(s, noteLimit); len(got) > noteLimit || !strings.HasPrefix(s, strings.TrimSuffix(got, " …")) {
			t.Errorf("%d bytes: %q", len(got), got)
		}
	}
}
