package aws_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/sluicehq/sluice/internal/engine"
	"github.com/sluicehq/sluice/internal/engine/aws"
	"github.com/sluicehq/sluice/internal/engine/enginetest"
	"github.com/sluicehq/sluice/internal/lb"
	"github.com/sluicehq/sluice/internal/localaws"
	"github.com/sluicehq/sluice/internal/localaws/wire"
	"github.com/sluicehq/sluice/internal/plan"
)

// store keeps checkpoints in memory.
type store struct {
	mu     sync.Mutex
	shards map[string][]byte
	writes int
	broken error
}

func (s *store) Read(_ context.Context, shard string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shards[shard], s.broken
}

func (s *store) Write(_ context.Context, shard string, content []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return s.broken
	}
	if s.shards == nil {
		s.shards = map[string][]byte{}
	}
	s.writes++
	if content == nil {
		delete(s.shards, shard)
	} else {
		s.shards[shard] = content
	}
	return nil
}

// save has an engine write its checkpoint, as it does when it stops.
func save(e *aws.Engine) {
	stopped, stop := context.WithCancel(context.Background())
	stop()
	e.Checkpoint(stopped)
}

// remembering is a world whose engines have a checkpoint, up to date whenever a change has ended well.
func remembering(t testing.TB) *world {
	w := newWorld(t)
	w.store = &store{}
	return w
}

// saving writes the checkpoint after each change that ended well, and never in the middle of one.
type saving struct{ *aws.Engine }

func (s saving) Apply(ctx context.Context, p plan.Plan) plan.Result {
	r := s.Engine.Apply(ctx, p)
	if status, _ := r.Status(); status == plan.Done {
		save(s.Engine)
	}
	return r
}

func TestCrashesWithACheckpoint(t *testing.T) {
	enginetest.Crashes(t, func(t testing.TB) enginetest.World { return remembering(t) })
}

func stacks(n int) []lb.Stack {
	var all []lb.Stack
	for i := range n {
		all = append(all, enginetest.Stack(fmt.Sprintf("web%d", i), full))
	}
	return all
}

// full is something of everything.
var full = enginetest.Shape{
	Tuned: true, Tag: "blue", Rules: []enginetest.Path{{Path: "/a", Service: "app1"}, {Path: "/b", Service: "app2"}},
}

func TestAnUnchangedStartReadsListingsOnly(t *testing.T) {
	w := remembering(t)
	w.PlantForeign(t)
	all := stacks(5)
	first := w.load(t)
	for _, s := range all {
		done(t, apply(t, first, s))
	}
	save(first)
	second := w.load(t) // learns what is foreign
	save(second)
	var e *aws.Engine
	made := w.calls(func() { e = w.load(t) })
	want := map[string]int{
		"elasticloadbalancing:DescribeLoadBalancers": 1, "elasticloadbalancing:DescribeTargetGroups": 1, "ec2:DescribeSecurityGroups": 1, "ec2:DescribeVpcs": 1,
	}
	if !maps.Equal(made, want) {
		t.Errorf("a start made %v, want %v", made, want)
	}
	made = w.calls(func() {
		for _, s := range all {
			p, verdicts, err := e.Plan(t.Context(), s)
			if err != nil || len(verdicts) > 0 || !p.Empty() {
				t.Errorf("%s: %v %v %v", s.ID, p.Steps, verdicts, err)
			}
		}
	})
	if len(made) > 0 {
		t.Errorf("planning what has not changed made %v", made)
	}
	changed, err := e.Audit(t.Context())
	check(t, err)
	if len(changed) > 0 {
		t.Errorf("an audit finds %v changed", changed)
	}
}

func TestAStartWithoutCheckpointReadsWhatUsersChangeFirst(t *testing.T) {
	for _, denied := range []bool{false, true} {
		w := newWorld(t)
		all := stacks(8)
		before := w.load(t)
		for _, s := range all {
			done(t, apply(t, before, s))
		}
		if denied {
			w.Fail(func(c localaws.Call) *localaws.Fault {
				if !strings.HasPrefix(c.Operation, "tag:") {
					return nil
				}
				return &localaws.Fault{Error: wire.Errorf("AccessDeniedException", "no")}
			})
		}
		e := w.unloaded(t)
		usable := false
		made := w.calls(func() {
			trusted, err := e.Start(t.Context(), func() {
				usable = true
				made := w.calls(func() {
					p, verdicts, err := e.Plan(t.Context(), all[7])
					if err != nil || len(verdicts) > 0 || !p.Empty() {
						t.Errorf("%v %v %v", p.Steps, verdicts, err)
					}
				})
				if made["elasticloadbalancing:DescribeListeners"] != 1 || made["elasticloadbalancing:DescribeRules"] != 1 {
					t.Errorf("planning a stack before its turn made %v", made)
				}
			})
			check(t, err)
			if trusted {
				t.Error("trusted a checkpoint that is not there")
			}
		})
		if !usable {
			t.Error("never usable")
		}
		if n := made["elasticloadbalancing:DescribeListeners"]; !denied && n != 2 {
			t.Errorf("read listeners %d times, want the one before its turn and the others at once", n)
		}
		for _, s := range all {
			p, _, err := e.Plan(t.Context(), s)
			if err != nil || !p.Empty() {
				t.Errorf("denied %v, %s: %v %v", denied, s.ID, p.Steps, err)
			}
		}
	}
}

// Whatever is done to AWS between two processes, the second one ends with what is wanted: at once where a listing shows
// it, else after its first audit.
func TestWhatHappensBetweenTwoProcesses(t *testing.T) {
	for name, happens := range map[string]func(t testing.TB, w *world){
		"nothing":                  func(testing.TB, *world) {},
		"the load balancer goes":   func(t testing.TB, w *world) { w.deleteBalancer(t) },
		"a listener goes":          func(t testing.TB, w *world) { w.deleteListener(t) },
		"a rule goes":              func(t testing.TB, w *world) { w.deleteRules(t) },
		"a rule changes":           func(t testing.TB, w *world) { w.turnRule(t) },
		"the checkpoint is lost":   func(_ testing.TB, w *world) { w.store.shards = nil },
		"the checkpoint is broken": func(_ testing.TB, w *world) { w.store.spoil(func([]byte) []byte { return []byte("no zip") }) },
		"the checkpoint is cut":    func(_ testing.TB, w *world) { w.store.spoil(func(b []byte) []byte { return b[:len(b)/2] }) },
		"the store cannot be read": func(_ testing.TB, w *world) { w.store.broken = errors.New("forbidden") },
	} {
		t.Run(name, func(t *testing.T) {
			w := remembering(t)
			want := enginetest.Stack("web", full)
			first := w.load(t)
			done(t, apply(t, first, want))
			contents := w.Contents(t)
			save(first)
			happens(t, w)
			w.pass(time.Hour)
			e := w.load(t)
			done(t, apply(t, e, want))
			_, err := e.Audit(t.Context())
			check(t, err)
			done(t, apply(t, e, want))
			if got := w.Contents(t); got != contents {
				t.Errorf("got\n%s\nwant\n%s", got, contents)
			}
		})
	}
}

func (s *store) spoil(how func([]byte) []byte) {
	for name, content := range s.shards {
		s.shards[name] = how(content)
	}
}

func TestACheckpointThatCannotBeUsedIsOneLineAndIsReplaced(t *testing.T) {
	w := remembering(t)
	want := enginetest.Stack("web", full)
	first := w.load(t)
	done(t, apply(t, first, want))
	save(first)
	w.store.spoil(func([]byte) []byte { return []byte("{}") })
	var log bytes.Buffer
	w.logger = slog.New(slog.NewTextHandler(&log, nil))
	e := w.load(t)
	if got := strings.Count(log.String(), "\n"); got != len(w.store.shards) || !strings.Contains(log.String(), "cannot be used") {
		t.Errorf("%d shards, log:\n%s", len(w.store.shards), log.String())
	}
	save(e)
	log.Reset()
	w.load(t)
	if log.Len() > 0 {
		t.Errorf("still: %s", log.String())
	}
	writes := w.store.writes
	save(w.load(t))
	if w.store.writes != writes {
		t.Errorf("wrote %d shards although nothing has changed", w.store.writes-writes)
	}
}

// A stack is not in the checkpoint while it is changed: what a crash leaves behind is read, not remembered.
func TestAStackThatIsBeingChangedIsNotRemembered(t *testing.T) {
	w := remembering(t)
	want := enginetest.Stack("web", full)
	first := w.load(t)
	done(t, apply(t, first, want))
	save(first)
	other := full
	other.Rules = []enginetest.Path{{Path: "/z", Service: "app1"}}
	w.Break(enginetest.Fault{Nth: 2, StaysDown: true})
	_ = apply(t, first, enginetest.Stack("web", other)) // and the process dies
	w.Break(enginetest.Fault{})
	var e *aws.Engine
	made := w.calls(func() { e = w.load(t) })
	if made["elasticloadbalancing:DescribeRules"] == 0 {
		t.Errorf("remembered what was being changed: %v", made)
	}
	done(t, apply(t, e, want))
}

// A standby that takes over must not be overwritten by the leader before it.
func TestALoserStopsWriting(t *testing.T) {
	w := remembering(t)
	var log bytes.Buffer
	w.logger = slog.New(slog.NewTextHandler(&log, nil))
	e := w.load(t)
	done(t, apply(t, e, enginetest.Stack("web", full)))
	w.store.broken = errors.New("conflict")
	save(e)
	done(t, apply(t, e, enginetest.Stack("web", two)))
	save(e)
	if got := strings.Count(log.String(), "cannot be written"); got != 1 {
		t.Errorf("told %d times:\n%s", got, log.String())
	}
}

func TestSecurityGroupRulesRevokedByHandComeBack(t *testing.T) {
	w := newWorld(t)
	e := w.load(t)
	want := enginetest.Stack("web", full)
	done(t, apply(t, e, want))
	contents := w.Contents(t)
	w.pass(time.Minute)
	group := w.managedGroup(t)
	_, err := w.ec2.RevokeSecurityGroupIngress(t.Context(), &ec2.RevokeSecurityGroupIngressInput{GroupId: group.GroupId, IpPermissions: group.IpPermissions})
	check(t, err)
	var changed []lb.StackID
	made := w.calls(func() {
		changed, err = e.AuditSecurityGroups(t.Context())
		check(t, err)
	})
	if len(made) != 1 || made["ec2:DescribeSecurityGroups"] != 1 || !slices.Equal(changed, []lb.StackID{want.ID}) {
		t.Errorf("made %v, changed %v", made, changed)
	}
	done(t, apply(t, e, want))
	if got := w.Contents(t); got != contents {
		t.Errorf("got\n%s\nwant\n%s", got, contents)
	}
}

var _ engine.Engine = saving{}

// What others do by hand.

func (w *world) deleteListener(t testing.TB) {
	_, err := w.elb.DeleteListener(t.Context(), &elb.DeleteListenerInput{ListenerArn: w.listener(t)})
	check(t, err)
}

// listenerRules are those of the first listener of the one load balancer, without the default.
func (w *world) listenerRules(t testing.TB) []elbtypes.Rule {
	out, err := w.elb.DescribeRules(t.Context(), &elb.DescribeRulesInput{ListenerArn: w.listener(t)})
	check(t, err)
	return slices.DeleteFunc(out.Rules, func(r elbtypes.Rule) bool { return awssdk.ToBool(r.IsDefault) })
}

func (w *world) deleteRules(t testing.TB) {
	for _, r := range w.listenerRules(t) {
		_, err := w.elb.DeleteRule(t.Context(), &elb.DeleteRuleInput{RuleArn: r.RuleArn})
		check(t, err)
	}
}

func (w *world) turnRule(t testing.TB) {
	_, err := w.elb.ModifyRule(t.Context(), &elb.ModifyRuleInput{
		RuleArn: w.listenerRules(t)[0].RuleArn,
		Conditions: []elbtypes.RuleCondition{{
			Field: awssdk.String("path-pattern"), PathPatternConfig: &elbtypes.PathPatternConditionConfig{Values: []string{"/other"}},
		}},
	})
	check(t, err)
}

func (w *world) managedGroup(t testing.TB) ec2types.SecurityGroup {
	out, err := w.ec2.DescribeSecurityGroups(t.Context(), &ec2.DescribeSecurityGroupsInput{
		Filters: []ec2types.Filter{{Name: awssdk.String("tag:ingress.k8s.aws/resource"), Values: []string{"ManagedLBSecurityGroup"}}},
	})
	check(t, err)
	return out.SecurityGroups[0]
}
