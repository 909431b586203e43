package control

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	elbv2api "github.com/sluicehq/sluice/api/elbv2/v1beta1"
	"github.com/sluicehq/sluice/internal/localaws"
	"github.com/sluicehq/sluice/internal/localaws/localawstest"
	"github.com/sluicehq/sluice/internal/localaws/wire"
	"github.com/sluicehq/sluice/internal/plan"
)

const (
	revoked = "ec2:RevokeSecurityGroupIngress"
	shared  = "elbv2.k8s.aws/targetGroupBinding=shared"
)

// letsInNow are the rules of the nodes' security group, as "30080-30090 from the backend group (description)".
func (w *world) letsInNow() []string {
	w.Helper()
	out, err := ec2.NewFromConfig(w.aws.Config).DescribeSecurityGroups(w.ctx, &ec2.DescribeSecurityGroupsInput{GroupIds: []string{localawstest.NodeGroup}})
	w.check(err)
	var lines []string
	for _, p := range out.SecurityGroups[0].IpPermissions {
		ports := *p.IpProtocol + " " + rangeText(p)
		for _, s := range p.UserIdGroupPairs {
			lines = append(lines, ports+" from a group "+awssdk.ToString(s.Description))
		}
		for _, s := range p.IpRanges {
			lines = append(lines, ports+" from "+*s.CidrIp+" "+awssdk.ToString(s.Description))
		}
	}
	slices.Sort(lines)
	return lines
}

func rangeText(p ec2types.IpPermission) string {
	from, to := awssdk.ToInt32(p.FromPort), awssdk.ToInt32(p.ToPort)
	if from == to {
		return fmt.Sprint(from)
	}
	return fmt.Sprintf("%d-%d", from, to)
}

// byHand changes the nodes' security group as a person would.
func (w *world) byHand(authorize bool, port int32, description string, from ...ec2types.UserIdGroupPair) {
	w.Helper()
	api := ec2.NewFromConfig(w.aws.Config)
	p := ec2types.IpPermission{IpProtocol: awssdk.String("tcp"), FromPort: &port, ToPort: &port, UserIdGroupPairs: from}
	if len(from) == 0 {
		p.IpRanges = []ec2types.IpRange{{CidrIp: awssdk.String("10.0.0.0/8"), Description: &description}}
	}
	var err error
	if authorize {
		_, err = api.AuthorizeSecurityGroupIngress(w.ctx, &ec2.AuthorizeSecurityGroupIngressInput{
			GroupId: awssdk.String(localawstest.NodeGroup), IpPermissions: []ec2types.IpPermission{p},
		})
	} else {
		_, err = api.RevokeSecurityGroupIngress(w.ctx, &ec2.RevokeSecurityGroupIngressInput{
			GroupId: awssdk.String(localawstest.NodeGroup), IpPermissions: []ec2types.IpPermission{p},
		})
	}
	w.check(err)
}

func (w *world) audit() {
	w.Helper()
	_, err := w.engine.Audit(w.ctx)
	w.check(err)
	w.repairIngress(w.ctx)
}

func (w *world) service(name, nodePort string) {
	w.Helper()
	w.apply("service", "apiVersion: v1\nkind: Service\nmetadata: {name: "+name+"}\n"+
		"spec: {type: NodePort, ports: [{name: http, port: 80, targetPort: 8080, nodePort: "+nodePort+"}]}\n")
}

func (w *world) expect(what string, got, want []string) {
	w.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		w.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// Rules of all bindings are one range, which grows and shrinks with them; calls are made only when it does.
func TestNodesLetInWhatBindingsAskFor(t *testing.T) {
	w := newWorld(t)
	w.byHand(true, 22, "by hand")
	hand := "tcp 22 from 10.0.0.0/8 by hand"
	opened := 0
	w.aws.Fail(func(c localaws.Call) *localaws.Fault { // it only counts
		if in, ok := c.Input.(*ec2.AuthorizeSecurityGroupIngressInput); ok && *in.GroupId == localawstest.NodeGroup {
			opened++
		}
		return nil
	})
	w.ingress("shop", "", "web")
	w.sync()
	w.expect("one", w.letsInNow(), []string{hand, "tcp 30080 from a group " + shared})
	w.calls()
	w.ingress("same", "", "web")
	w.sync()
	if calls := w.calls(); opened != 1 || slices.Contains(calls, revoked) || slices.Contains(calls, "ec2:DescribeInstances") {
		t.Errorf("a binding whose ports are open made calls: %d, %v", opened, calls)
	}
	w.service("other", "30090")
	w.ingress("blog", "", "other")
	w.sync()
	w.expect("two", w.letsInNow(), []string{hand, "tcp 30080-30090 from a group " + shared})
	w.service("between", "30085")
	w.calls()
	w.ingress("news", "", "between")
	w.sync()
	if calls := w.calls(); opened != 2 || slices.Contains(calls, revoked) {
		t.Errorf("a port within the range made calls: %d, %v", opened, calls)
	}
	w.remove("blog")
	w.sync()
	w.expect("shrunk", w.letsInNow(), []string{hand, "tcp 30080-30085 from a group " + shared})
	w.remove("news")
	w.remove("same")
	w.remove("shop")
	w.sync()
	w.expect("none", w.letsInNow(), []string{hand})
	w.check(w.engine.Load(w.ctx))
	if left := w.engine.Stacks(); len(left) > 0 {
		t.Errorf("left in AWS: %v", left)
	}
}

// The last load balancer takes the backend security group along, which AWS lets go of only when no rule names it: also
// for a controller that has not seen the rules being made.
func TestRulesGoBeforeTheirSource(t *testing.T) {
	for _, restart := range []bool{false, true} {
		w := newWorld(t)
		w.ingress("shop", "", "web")
		w.sync()
		if restart {
			w.start()
		}
		w.remove("shop")
		w.snapshots.changed()
		if end := w.workStack(w.ctx, "default/shop"); end.status != plan.Later && end.status != plan.Done {
			t.Errorf("after a restart %v: %v", restart, end)
		}
		w.expect("rules", w.letsInNow(), nil)
		if n := w.aws.Calls()["ec2:DeleteSecurityGroup"]; restart && n > 3 || !restart && n != 2 {
			t.Errorf("after a restart %v: %d calls of DeleteSecurityGroup", restart, n)
		}
		w.sync()
		if events := w.events(); slices.ContainsFunc(events, func(e string) bool { return strings.HasPrefix(e, "Warning") }) {
			t.Errorf("events %q", events)
		}
	}
}

// After a start bindings come one by one. As long as one has not come, what it asked for before must stay.
func TestNothingIsRevokedBeforeAllBindingsAreKnown(t *testing.T) {
	w := newWorld(t)
	w.service("other", "30090")
	w.ingress("shop", "", "web")
	w.ingress("blog", "", "other")
	w.sync()
	both := []string{"tcp 30080-30090 from a group " + shared}
	w.expect("both", w.letsInNow(), both)
	var bindings elbv2api.TargetGroupBindingList
	w.check(w.kube.List(w.ctx, &bindings))
	keys := map[string]types.NamespacedName{}
	for i := range bindings.Items {
		keys[bindings.Items[i].Spec.ServiceRef.Name] = client.ObjectKeyFromObject(&bindings.Items[i])
	}

	w.start()
	w.calls()
	w.workBinding(w.ctx, keys["web"])
	w.workBinding(w.ctx, keys["other"])
	if calls := w.calls(); slices.ContainsFunc(calls, changes) {
		t.Errorf("what stands already was changed: %v", calls)
	}

	w.start()
	w.remove("blog")
	w.check(w.kube.Delete(w.ctx, &elbv2api.TargetGroupBinding{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: keys["other"].Name}}))
	w.workBinding(w.ctx, keys["other"])
	w.expect("before all are known", w.letsInNow(), both)
	w.workBinding(w.ctx, keys["web"])
	w.expect("when all are known", w.letsInNow(), []string{"tcp 30080 from a group " + shared})
}

func TestRulesThatSomebodyChangesAreRepaired(t *testing.T) {
	w := newWorld(t)
	w.ingress("shop", "", "web")
	w.sync()
	group := ec2types.UserIdGroupPair{GroupId: awssdk.String(w.engine.Observe("default/shop").BackendSecurityGroup)}
	w.byHand(false, 30080, "", group)
	w.byHand(true, 9999, shared) // as one that was forgotten
	w.byHand(true, 22, "by hand")
	w.audit()
	w.expect("repaired", w.letsInNow(), []string{"tcp 22 from 10.0.0.0/8 by hand", "tcp 30080 from a group " + shared})
	w.calls()
	w.audit()
	if calls := w.calls(); slices.ContainsFunc(calls, changes) {
		t.Errorf("calls %v", calls)
	}

	// The mirror does not know yet what was done by hand when a binding asks for it.
	w.byHand(true, 30090, "", group)
	w.service("other", "30090")
	w.ingress("blog", "", "other")
	w.sync()
	w.byHand(false, 30090, "", group)
	w.audit()
	w.expect("again", w.letsInNow(), []string{"tcp 22 from 10.0.0.0/8 by hand", "tcp 30080-30090 from a group " + shared})
}

// A rule that a person made counts as there, and stays when nothing asks for it any more.
func TestRulesOfOthersCountAndStay(t *testing.T) {
	w := newWorld(t)
	w.ingress("shop", "", "web")
	w.sync()
	group := ec2types.UserIdGroupPair{GroupId: awssdk.String(w.engine.Observe("default/shop").BackendSecurityGroup), Description: awssdk.String("by hand")}
	w.byHand(false, 30080, "", group)
	w.byHand(true, 30080, "", group)
	w.start()
	w.calls()
	w.sync()
	if calls := w.calls(); slices.ContainsFunc(calls, changes) {
		t.Errorf("calls %v", calls)
	}
	w.ingress("blog", ipTargets, "web")
	w.pods("192.168.97.1")
	w.sync()
	w.remove("blog")
	w.sync()
	w.expect("rules", w.letsInNow(), []string{"tcp 30080 from a group by hand"})
}

func TestAFullSecurityGroupIsTold(t *testing.T) {
	w := newWorld(t)
	full := true
	w.aws.Fail(func(c localaws.Call) *localaws.Fault {
		if in, ok := c.Input.(*ec2.AuthorizeSecurityGroupIngressInput); ok && full && *in.GroupId == localawstest.NodeGroup {
			return &localaws.Fault{Error: wire.Errorf("RulesPerSecurityGroupLimitExceeded", "The maximum number of rules per security group has been reached.")}
		}
		return nil
	})
	w.ingress("shop", "", "web")
	w.snapshots.changed()
	w.workStack(w.ctx, "default/shop")
	var bindings elbv2api.TargetGroupBindingList
	w.check(w.kube.List(w.ctx, &bindings))
	if end := w.workBinding(w.ctx, client.ObjectKeyFromObject(&bindings.Items[0])); end.status != plan.Blocked || end.after == 0 {
		t.Error(end)
	}
	events := w.events()
	if !slices.ContainsFunc(events, func(e string) bool {
		return strings.HasPrefix(e, "Warning QuotaExceeded k8s-") && strings.Contains(e, "rules per security group")
	}) {
		t.Errorf("events %q", events)
	}
	if got := w.targets("default/shop"); len(got) != 2 {
		t.Errorf("targets are registered all the same: %v", got)
	}
	full = false
	if ended := w.sync(); ended["binding web"] != plan.Done {
		t.Error(ended)
	}
	w.expect("rules", w.letsInNow(), []string{"tcp 30080 from a group " + shared})
}

// A pod that AWS does not know yet costs nobody else anything, and nothing that is open is shut for it.
func TestATargetThatIsNowhereIsTold(t *testing.T) {
	w := newWorld(t)
	w.pods("192.168.97.1")
	w.ingress("shop", ipTargets, "web")
	w.sync()
	w.expect("found", w.letsInNow(), []string{"tcp 8080 from a group " + shared})
	w.events()
	w.pods("192.168.200.1")
	if ended := w.sync(); ended["binding web"] != plan.Retry {
		t.Error(ended)
	}
	events := w.events()
	if !slices.ContainsFunc(events, func(e string) bool {
		return strings.HasPrefix(e, "Warning FailedNetworkReconcile k8s-") && strings.Contains(e, "192.168.200.1 on "+localawstest.Instances[0])
	}) {
		t.Errorf("events %q", events)
	}
	w.expect("targets", w.targets("default/shop"), []string{"192.168.200.1:8080"})
	w.expect("kept", w.letsInNow(), []string{"tcp 8080 from a group " + shared})
}

// Bindings that change at the same time both get what they want.
func TestBindingsAtTheSameTime(t *testing.T) {
	w := newWorld(t)
	for _, s := range []string{"a", "b", "c", "d", "e"} {
		w.service(s, "3009"+string('0'+s[0]-'a'))
		w.ingress(s, "", s)
	}
	w.snapshots.changed()
	for id := range w.allStacks() {
		w.workStack(w.ctx, id)
	}
	var bindings elbv2api.TargetGroupBindingList
	w.check(w.kube.List(w.ctx, &bindings))
	ends := make(chan outcome)
	for i := range bindings.Items {
		go func() { ends <- w.workBinding(w.ctx, client.ObjectKeyFromObject(&bindings.Items[i])) }()
	}
	var err error
	for range bindings.Items {
		if end := <-ends; end.status != plan.Done {
			err = errors.New(string(end.status))
		}
	}
	w.check(err)
	w.expect("rules", w.letsInNow(), []string{"tcp 30090-30094 from a group " + shared})
}
