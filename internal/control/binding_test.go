package control

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	elbv2api "github.com/sluicehq/sluice/api/elbv2/v1beta1"
	"github.com/sluicehq/sluice/internal/lb"
	"github.com/sluicehq/sluice/internal/localaws/localawstest"
	"github.com/sluicehq/sluice/internal/plan"
)

// group is a target group for pods that somebody else makes.
func (w *world) group(name string) string {
	w.Helper()
	out, err := elb.NewFromConfig(w.aws.Config).CreateTargetGroup(w.ctx, &elb.CreateTargetGroupInput{
		Name: &name, Protocol: elbtypes.ProtocolEnumTcp, Port: aws.Int32(80), VpcId: aws.String(localawstest.VPC), TargetType: elbtypes.TargetTypeEnumIp,
	})
	w.check(err)
	return *out.TargetGroups[0].TargetGroupArn
}

// registered are the targets of a group, in AWS.
func (w *world) registered(group string) []string {
	w.Helper()
	out, err := elb.NewFromConfig(w.aws.Config).DescribeTargetHealth(w.ctx, &elb.DescribeTargetHealthInput{TargetGroupArn: &group})
	w.check(err)
	var list []string
	for _, d := range out.TargetHealthDescriptions {
		if d.TargetHealth.State != elbtypes.TargetHealthStateEnumDraining {
			list = append(list, fmt.Sprintf("%s:%d", *d.Target.Id, *d.Target.Port))
		}
	}
	slices.Sort(list)
	return list
}

// bind makes a TargetGroupBinding to Service web.
func (w *world) bind(name, spec string) types.NamespacedName {
	w.Helper()
	w.apply(name, "apiVersion: elbv2.k8s.aws/v1beta1\nkind: TargetGroupBinding\nmetadata: {name: "+name+"}\nspec: {serviceRef: {name: web, port: 80}, "+spec+"}\n")
	return types.NamespacedName{Namespace: "default", Name: name}
}

func (w *world) binding(key types.NamespacedName) *elbv2api.TargetGroupBinding {
	w.Helper()
	var tgb elbv2api.TargetGroupBinding
	w.check(w.kube.Get(w.ctx, key, &tgb))
	return &tgb
}

func (w *world) unbindAndWork(key types.NamespacedName) outcome {
	w.Helper()
	w.check(w.kube.Delete(w.ctx, &elbv2api.TargetGroupBinding{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}}))
	return w.workBinding(w.ctx, key)
}

func TestABindingOfAUsersOwn(t *testing.T) {
	w := newWorld(t)
	group := w.group("terraformed")
	w.pods("192.168.97.1")
	astray := w.bind("astray", "targetType: ip, targetGroupARN: \""+group[:len(group)-16]+"0123456789abcdef\"")
	if end := w.workBinding(w.ctx, astray); end.status != plan.Blocked {
		t.Error(end)
	}
	if events := w.events(); len(events) != 1 || !strings.Contains(events[0], "there is no such target group") {
		t.Errorf("events %q", events)
	}
	own := w.bind("own", "targetGroupARN: \""+group+"\"")
	if end := w.workBinding(w.ctx, own); end.status != plan.Done {
		t.Error(end, w.events())
	}
	want := elbv2api.TargetGroupBindingSpec{
		TargetGroupARN: group, TargetType: ptr(elbv2api.TargetTypeIP), TargetGroupProtocol: ptr(elbv2api.TargetGroupProtocol("TCP")),
		IPAddressType: ptr(elbv2api.TargetGroupIPAddressType("ipv4")), VpcID: localawstest.VPC, ServiceRef: w.binding(own).Spec.ServiceRef,
	}
	if diff := cmp.Diff(want, w.binding(own).Spec); diff != "" {
		t.Errorf("the reference's webhook would have written: %s", diff)
	}
	if diff := cmp.Diff([]string{"192.168.97.1:8080"}, w.registered(group)); diff != "" {
		t.Error(diff)
	}
	if end := w.unbindAndWork(own); end.status != plan.Done || len(w.registered(group)) > 0 {
		t.Error(end, w.registered(group))
	}
	if err := w.kube.Get(w.ctx, own, &elbv2api.TargetGroupBinding{}); err == nil {
		t.Error("the binding did not go")
	}
}

func ptr[T any](v T) *T { return &v }

func TestABindingByName(t *testing.T) {
	w := newWorld(t)
	group := w.group("terraformed")
	w.pods("192.168.97.1")
	own := w.bind("own", "targetGroupName: terraformed")
	w.workBinding(w.ctx, own)
	if got := w.binding(own).Spec.TargetGroupARN; got != group {
		t.Error(got)
	}
	if diff := cmp.Diff([]string{"192.168.97.1:8080"}, w.registered(group)); diff != "" {
		t.Error(diff)
	}
	wrong := w.bind("wrong", "targetGroupName: terraformed, targetType: instance")
	w.workBinding(w.ctx, wrong)
	ready := w.binding(wrong).Status.Conditions
	if len(ready) != 1 || ready[0].Status != metav1.ConditionFalse || !strings.Contains(ready[0].Message, "is not what the target group has, which is ip") {
		t.Errorf("conditions %v", ready)
	}
}

func TestTwoBindingsOfOneGroupDoNotFight(t *testing.T) {
	w := newWorld(t)
	group := w.group("terraformed")
	w.pods("192.168.97.1")
	first, second := w.bind("a", "targetGroupARN: \""+group+"\""), w.bind("b", "targetGroupARN: \""+group+"\"")
	w.workBinding(w.ctx, first)
	w.pods()
	w.calls()
	if end := w.workBinding(w.ctx, second); end.status != plan.Blocked || slices.ContainsFunc(w.calls(), changes) {
		t.Error(end)
	}
	ready := w.binding(second).Status.Conditions
	if len(ready) != 1 || ready[0].Status != metav1.ConditionFalse || !strings.Contains(ready[0].Message, "TargetGroupBinding default/a already") {
		t.Errorf("conditions %v", ready)
	}
	w.unbindAndWork(second)
	if diff := cmp.Diff([]string{"192.168.97.1:8080"}, w.registered(group)); diff != "" {
		t.Errorf("the one that lost took the other's targets along: %s", diff)
	}

	w.unbindAndWork(first)
	third := w.bind("b", "targetGroupARN: \""+group+"\"")
	w.workBinding(w.ctx, third)
	ready = w.binding(third).Status.Conditions
	if len(ready) != 1 || ready[0].Status != metav1.ConditionTrue {
		t.Errorf("conditions %v", ready)
	}
}

// What other clusters registered in a shared target group stays, whatever this one does.
func TestASharedGroupKeepsOthersTargets(t *testing.T) {
	w := newWorld(t)
	group := w.group("shared")
	foreign := "192.168.97.200:9"
	_, err := elb.NewFromConfig(w.aws.Config).RegisterTargets(w.ctx, &elb.RegisterTargetsInput{
		TargetGroupArn: &group, Targets: []elbtypes.TargetDescription{{Id: aws.String("192.168.97.200"), Port: aws.Int32(9)}},
	})
	w.check(err)
	w.pods("192.168.97.1", "192.168.97.2")
	own := w.bind("own", "multiClusterTargetGroup: true, targetGroupARN: \""+group+"\"")
	tracked := func() string {
		var m corev1.ConfigMap
		w.check(w.kube.Get(w.ctx, types.NamespacedName{Namespace: "default", Name: "aws-lbc-targets-own"}, &m))
		return m.Data["targets"]
	}
	for _, step := range []struct {
		restart bool
		pods    []string
	}{
		{false, []string{"192.168.97.1", "192.168.97.2"}},
		{false, []string{"192.168.97.2"}},
		{true, []string{"192.168.97.3"}},
		{false, nil},
		{false, []string{"192.168.97.1"}},
	} {
		if step.restart {
			w.start()
		}
		w.pods(step.pods...)
		if end := w.workBinding(w.ctx, own); end.status != plan.Done {
			t.Error(end, w.events())
		}
		var ours []string
		for _, p := range step.pods {
			ours = append(ours, p+":8080")
		}
		if diff := cmp.Diff(strings.Join(ours, ","), tracked()); diff != "" {
			t.Error(diff)
		}
		want := slices.Sorted(slices.Values(append(slices.Clone(ours), foreign)))
		if diff := cmp.Diff(want, w.registered(group)); diff != "" {
			t.Errorf("%v: %s", step, diff)
		}
	}
	if end := w.unbindAndWork(own); end.status != plan.Done {
		t.Error(end)
	}
	if diff := cmp.Diff([]string{foreign}, w.registered(group)); diff != "" {
		t.Error(diff)
	}
	if err := w.kube.Get(w.ctx, types.NamespacedName{Namespace: "default", Name: "aws-lbc-targets-own"}, &corev1.ConfigMap{}); err == nil {
		t.Error("the ConfigMap stays behind")
	}
}

// A target that was registered without being written down may be anybody's.
func TestASharedGroupWithoutMemoryLosesNothing(t *testing.T) {
	w := newWorld(t)
	group := w.group("shared")
	w.pods("192.168.97.1")
	own := w.bind("own", "multiClusterTargetGroup: true, targetGroupARN: \""+group+"\"")
	w.workBinding(w.ctx, own)
	w.check(w.kube.Delete(w.ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "aws-lbc-targets-own"}}))
	w.start()
	w.pods("192.168.97.2")
	w.workBinding(w.ctx, own)
	if diff := cmp.Diff([]string{"192.168.97.1:8080", "192.168.97.2:8080"}, w.registered(group)); diff != "" {
		t.Error(diff)
	}
}

func TestNoMoreTargetsThanAllowed(t *testing.T) {
	w := newWorld(t)
	w.options.MaxTargets = 2
	group := w.group("small")
	w.pods("192.168.97.1", "192.168.97.2", "192.168.97.3")
	own := w.bind("own", "targetGroupARN: \""+group+"\"")
	w.workBinding(w.ctx, own)
	if got := w.registered(group); len(got) != 2 {
		t.Errorf("registered %v", got)
	}
	if events := strings.Join(w.events(), "\n"); !strings.Contains(events, "Warning QuotaExceeded own: ") || !strings.Contains(events, "1 endpoint more") {
		t.Error(events)
	}
	w.pods("192.168.97.3")
	w.workBinding(w.ctx, own)
	if diff := cmp.Diff([]string{"192.168.97.3:8080"}, w.registered(group)); diff != "" {
		t.Error(diff)
	}
}

// Pods outside of the VPC are registered in every zone; AWS takes them no other way.
func TestTargetsOutsideOfTheVPC(t *testing.T) {
	w := newWorld(t)
	group := w.group("far")
	w.pods("10.9.0.1", "192.168.97.1")
	own := w.bind("own", "targetGroupARN: \""+group+"\"")
	if end := w.workBinding(w.ctx, own); end.status != plan.Done {
		t.Error(end, w.events())
	}
	out, err := elb.NewFromConfig(w.aws.Config).DescribeTargetHealth(w.ctx, &elb.DescribeTargetHealthInput{TargetGroupArn: &group})
	w.check(err)
	zones := map[string]string{}
	for _, d := range out.TargetHealthDescriptions {
		zones[*d.Target.Id] = aws.ToString(d.Target.AvailabilityZone)
	}
	if zones["10.9.0.1"] != "all" || zones["192.168.97.1"] == "all" || len(zones) != 2 {
		t.Errorf("zones %v", zones)
	}
	if diff := cmp.Diff([]lb.Target{{ID: "192.0.2.1", Port: 1}, {ID: "fd00::1", Port: 8080}}, parseTargets("fd00::1:8080, 192.0.2.1:1:0xff,x,y:z")); diff != "" {
		t.Error(diff)
	}
}

// Calls about a target group of another account are made as the role that the binding names, and only those.
func TestATargetGroupOfAnotherAccount(t *testing.T) {
	w := newWorld(t)
	group := w.group("theirs")
	w.pods("192.168.97.1")
	own := w.bind("own", "targetGroupARN: \""+group+"\", iamRoleArnToAssume: \"arn:aws:iam::210987654321:role/targets\", assumeRoleExternalId: shared")
	w.calls()
	if end := w.workBinding(w.ctx, own); end.status != plan.Done {
		t.Fatal(end, w.events())
	}
	counted := w.aws.Calls()
	if counted["sts:AssumeRole"] != 1 || counted["elasticloadbalancing:RegisterTargets"] != 1 {
		t.Errorf("calls %v", counted)
	}
	if diff := cmp.Diff([]string{"192.168.97.1:8080"}, w.registered(group)); diff != "" {
		t.Error(diff)
	}
	w.pods("192.168.97.2")
	w.workBinding(w.ctx, own)
	if again := w.aws.Calls()["sts:AssumeRole"]; again != 1 {
		t.Errorf("the role was assumed %d times", again)
	}
	if end := w.unbindAndWork(own); end.status != plan.Done || len(w.registered(group)) > 0 {
		t.Error(end, w.registered(group))
	}

	nodes := w.bind("nodes", "targetType: instance, targetGroupARN: \""+w.group("nodes")+"\", ipAddressType: ipv4, vpcID: "+localawstest.VPC+", targetGroupProtocol: TCP, iamRoleArnToAssume: \"arn:aws:iam::210987654321:role/targets\"")
	if end := w.workBinding(w.ctx, nodes); end.status != plan.Blocked {
		t.Errorf("instances are of one's own account: %v", end)
	}
}
