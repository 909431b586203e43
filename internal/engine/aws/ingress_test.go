package aws_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"

	"github.com/sluicehq/sluice/internal/engine"
	"github.com/sluicehq/sluice/internal/engine/aws"
	"github.com/sluicehq/sluice/internal/engine/enginetest"
	"github.com/sluicehq/sluice/internal/lb"
	"github.com/sluicehq/sluice/internal/localaws"
	"github.com/sluicehq/sluice/internal/localaws/wire"
	"github.com/sluicehq/sluice/internal/plan"
)

// group makes a security group; mark says whether it is tagged as the cluster's.
func (w *world) group(t testing.TB, name string, mark bool) lb.SecurityGroupID {
	t.Helper()
	in := &ec2.CreateSecurityGroupInput{GroupName: &name, Description: &name, VpcId: &w.vpc}
	if mark {
		in.TagSpecifications = []ec2types.TagSpecification{{
			ResourceType: ec2types.ResourceTypeSecurityGroup,
			Tags:         []ec2types.Tag{{Key: awssdk.String("kubernetes.io/cluster/" + enginetest.Cluster), Value: awssdk.String("owned")}},
		}}
	}
	var id lb.SecurityGroupID
	w.test(func() {
		out, err := w.ec2.CreateSecurityGroup(t.Context(), in)
		check(t, err)
		id = lb.SecurityGroupID(*out.GroupId)
	})
	return id
}

// instance starts an instance with these security groups and returns its id and address.
func (w *world) instance(t testing.TB, groups ...lb.SecurityGroupID) (id, address string) {
	t.Helper()
	var ids []string
	for _, g := range groups {
		ids = append(ids, string(g))
	}
	w.test(func() {
		out, err := w.ec2.RunInstances(t.Context(), &ec2.RunInstancesInput{
			ImageId: awssdk.String("ami-00000000000000001"), MinCount: awssdk.Int32(1), MaxCount: awssdk.Int32(1),
			SubnetId: &w.private[0], SecurityGroupIds: ids,
		})
		check(t, err)
		id, address = *out.Instances[0].InstanceId, *out.Instances[0].PrivateIpAddress
	})
	return id, address
}

// rules are those of a security group: "tcp 80-81 from sg-1 (marked)".
func (w *world) rules(t testing.TB, id lb.SecurityGroupID) []string {
	t.Helper()
	var lines []string
	w.test(func() {
		out, err := w.ec2.DescribeSecurityGroups(t.Context(), &ec2.DescribeSecurityGroupsInput{GroupIds: []string{string(id)}})
		check(t, err)
		for _, p := range out.SecurityGroups[0].IpPermissions {
			add := func(source string, description *string) {
				line := fmt.Sprintf("%s %d-%d from %s", *p.IpProtocol, *p.FromPort, *p.ToPort, source)
				if awssdk.ToString(description) == "elbv2.k8s.aws/targetGroupBinding=shared" {
					line += " (marked)"
				}
				lines = append(lines, line)
			}
			for _, s := range p.UserIdGroupPairs {
				add(*s.GroupId, s.Description)
			}
			for _, s := range p.IpRanges {
				add(*s.CidrIp, s.Description)
			}
			for _, s := range p.Ipv6Ranges {
				add(*s.CidrIpv6, s.Description)
			}
		}
	})
	slices.Sort(lines)
	return lines
}

func tcp(from, to int32, source lb.SecurityGroupID) lb.IngressRule {
	return lb.IngressRule{Protocol: "tcp", From: from, To: to, Group: source}
}

// let plans and applies, and returns the first step's error.
func let(t testing.TB, e *aws.Engine, want engine.Ingress) error {
	t.Helper()
	p, err := e.PlanIngress(t.Context(), want)
	check(t, err)
	for _, s := range e.Apply(t.Context(), p).Steps {
		if s.Err != nil {
			return s.Err
		}
	}
	return nil
}

func TestWhereTargetsAre(t *testing.T) {
	w := newWorld(t)
	e := w.load(t)
	only, marked, other, also := w.group(t, "only", false), w.group(t, "marked", true), w.group(t, "other", false), w.group(t, "also", true)
	one, address := w.instance(t, only)
	two, _ := w.instance(t, other, marked)
	none, _ := w.instance(t, only, other)
	both, _ := w.instance(t, marked, also)
	var eni string
	w.test(func() {
		out, err := w.ec2.DescribeNetworkInterfaces(t.Context(), &ec2.DescribeNetworkInterfacesInput{
			Filters: []ec2types.Filter{{Name: awssdk.String("attachment.instance-id"), Values: []string{two}}},
		})
		check(t, err)
		eni = *out.NetworkInterfaces[0].NetworkInterfaceId
	})
	want := map[lb.Place]lb.SecurityGroupID{
		{Instance: one}: only, {Instance: two}: marked, {Instance: one, Address: address}: only, {Address: address}: only,
		{Interface: eni, Address: "10.0.9.9"}: marked,
	}
	var places []lb.Place
	for p := range want {
		places = append(places, p)
	}
	made := w.calls(func() {
		got, err := e.Groups(t.Context(), places)
		check(t, err)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
	needed := map[string]int{"ec2:DescribeInstances": 1, "ec2:DescribeNetworkInterfaces": 2, "ec2:DescribeSecurityGroups": 1}
	if diff := cmp.Diff(needed, made); diff != "" {
		t.Errorf("(-needed +made):\n%s", diff)
	}
	made = w.calls(func() {
		_, err := e.Groups(t.Context(), places)
		check(t, err)
	})
	if len(made) > 0 {
		t.Errorf("what is known was read again: %v", made)
	}

	for problem, place := range map[string]lb.Place{"none of them with the tag": {Instance: none}, "several security groups with the tag": {Instance: both}} {
		got, err := e.Groups(t.Context(), []lb.Place{place, {Instance: one}})
		var blocked *plan.BlockedError
		if !errors.As(err, &blocked) || !strings.Contains(err.Error(), problem) || got[lb.Place{Instance: one}] != only {
			t.Errorf("%v, %v", got, err)
		}
	}
	lost := lb.Place{Instance: one, Address: "10.0.250.1"}
	for _, step := range []struct {
		pause time.Duration
		calls int
	}{{0, 0}, {time.Minute, 1}, {0, 0}} {
		w.pass(step.pause)
		made := w.calls(func() {
			if _, err := e.Groups(t.Context(), []lb.Place{lost}); err == nil || !strings.Contains(err.Error(), "10.0.250.1 on "+one) {
				t.Errorf("%v", err)
			}
		})
		if made["ec2:DescribeInstances"] != step.calls {
			t.Errorf("after %v: %v", step.pause, made)
		}
	}
}

func TestIngress(t *testing.T) {
	w := newWorld(t)
	e := w.load(t)
	source, target, bare := w.group(t, "source", false), w.group(t, "target", true), w.group(t, "bare", false)
	for _, step := range []struct {
		name  string
		want  engine.Ingress
		rules []string
		calls map[string]int
	}{
		{
			"opened", engine.Ingress{Rules: lb.Ingress{target: {tcp(80, 80, source)}}, Only: []lb.SecurityGroupID{target}},
			[]string{"tcp 80-80 from source (marked)"},
			map[string]int{"ec2:DescribeSecurityGroups": 1, "ec2:AuthorizeSecurityGroupIngress": 1},
		},
		{
			"widened, others may want the rest", engine.Ingress{Rules: lb.Ingress{target: {tcp(80, 90, source)}}},
			[]string{"tcp 80-80 from source (marked)", "tcp 80-90 from source (marked)"},
			map[string]int{"ec2:AuthorizeSecurityGroupIngress": 1},
		},
		{
			"covered, others may want the rest", engine.Ingress{Rules: lb.Ingress{target: {tcp(85, 86, source)}}},
			[]string{"tcp 80-80 from source (marked)", "tcp 80-90 from source (marked)"}, nil,
		},
		{
			"all is known", engine.Ingress{Rules: lb.Ingress{target: {tcp(80, 90, source)}}, Complete: true},
			[]string{"tcp 80-90 from source (marked)"}, map[string]int{"ec2:RevokeSecurityGroupIngress": 1},
		},
		{
			"another group is worked", engine.Ingress{Complete: true, Only: []lb.SecurityGroupID{bare}},
			[]string{"tcp 80-90 from source (marked)"}, map[string]int{"ec2:DescribeSecurityGroups": 1},
		},
		{
			"blocks of addresses", engine.Ingress{Rules: lb.Ingress{target: {
				{Protocol: "udp", From: 53, To: 53, CIDR: "10.0.0.0/8"}, {Protocol: "udp", From: 53, To: 53, CIDR: "2001:db8::/32"},
			}}, Complete: true},
			[]string{"udp 53-53 from 10.0.0.0/8 (marked)", "udp 53-53 from 2001:db8::/32 (marked)"},
			map[string]int{"ec2:AuthorizeSecurityGroupIngress": 1, "ec2:RevokeSecurityGroupIngress": 1},
		},
		{"nothing", engine.Ingress{Complete: true}, nil, map[string]int{"ec2:RevokeSecurityGroupIngress": 1}},
		{"still nothing", engine.Ingress{Complete: true}, nil, nil},
		{"a group that does not exist", engine.Ingress{Rules: lb.Ingress{"sg-0123456789abcdef0": {tcp(80, 80, source)}}, Only: []lb.SecurityGroupID{"sg-0123456789abcdef0"}}, nil, map[string]int{"ec2:DescribeSecurityGroups": 1}},
	} {
		made := w.calls(func() { check(t, let(t, e, step.want)) })
		if len(made)+len(step.calls) > 0 {
			if diff := cmp.Diff(step.calls, made); diff != "" {
				t.Errorf("%s (-needed +made):\n%s", step.name, diff)
			}
		}
		var rules []string
		for _, r := range w.rules(t, target) {
			rules = append(rules, strings.ReplaceAll(r, string(source), "source"))
		}
		if diff := cmp.Diff(step.rules, rules); diff != "" {
			t.Errorf("%s: %s", step.name, diff)
		}
	}
}

// What AWS answers may tell that the mirror is behind: the group is read again, and the rest is done.
func TestIngressThatOthersChangedMeanwhile(t *testing.T) {
	w := newWorld(t)
	source, target := w.group(t, "source", false), w.group(t, "target", true)
	start := engine.Ingress{Rules: lb.Ingress{target: {tcp(80, 80, source)}}, Complete: true}
	other := w.load(t)
	e := w.load(t)
	check(t, let(t, e, start))
	check(t, let(t, other, engine.Ingress{Rules: lb.Ingress{target: {tcp(90, 90, source), tcp(80, 80, source)}}, Complete: true}))
	check(t, let(t, e, engine.Ingress{Rules: lb.Ingress{target: {tcp(90, 90, source), tcp(91, 91, source), tcp(80, 80, source)}}, Complete: true}))
	if got := w.rules(t, target); len(got) != 3 {
		t.Errorf("after a duplicate: %v", got)
	}
	check(t, let(t, other, engine.Ingress{Complete: true})) // it knows of two
	check(t, let(t, e, engine.Ingress{Complete: true}))
	if got := w.rules(t, target); len(got) != 0 {
		t.Errorf("after one that was gone: %v", got)
	}
	err := let(t, e, engine.Ingress{Rules: lb.Ingress{target: {tcp(80, 80, "sg-0123456789abcdef0")}}, Complete: true})
	var blocked *plan.BlockedError
	if !errors.As(err, &blocked) || !strings.Contains(blocked.Verdict.Problem, "does not exist") {
		t.Errorf("a source that does not exist: %v", err)
	}
}

// Where there is no room for the new rule beside the old one, the old one goes first.
func TestAFullSecurityGroup(t *testing.T) {
	w := newWorld(t)
	e := w.load(t)
	source, target := w.group(t, "source", false), w.group(t, "target", true)
	check(t, let(t, e, engine.Ingress{Rules: lb.Ingress{target: {tcp(80, 80, source)}}, Complete: true}))
	room := false
	w.Fail(func(c localaws.Call) *localaws.Fault {
		switch c.Input.(type) {
		case *ec2.RevokeSecurityGroupIngressInput:
			room = true
		case *ec2.AuthorizeSecurityGroupIngressInput:
			if !room {
				return &localaws.Fault{Error: wire.Errorf("RulesPerSecurityGroupLimitExceeded", "The maximum number of rules per security group has been reached.")}
			}
		}
		return nil
	})
	err := let(t, e, engine.Ingress{Rules: lb.Ingress{target: {tcp(80, 90, source)}}})
	var blocked *plan.BlockedError
	if !errors.As(err, &blocked) || blocked.Verdict.Reason != lb.QuotaExceeded {
		t.Errorf("nothing may go, so it is told: %v", err)
	}
	check(t, let(t, e, engine.Ingress{Rules: lb.Ingress{target: {tcp(80, 90, source)}}, Complete: true}))
	if diff := cmp.Diff([]string{"tcp 80-90 from " + string(source) + " (marked)"}, w.rules(t, target)); diff != "" {
		t.Error(diff)
	}
}

// Where several security groups of an interface are the cluster's, tags of the user's tell the one that is opened.
func TestTagsTellTheSecurityGroupOfTargets(t *testing.T) {
	w := newWorld(t)
	marked, also := w.group(t, "marked", true), w.group(t, "also", true)
	both, _ := w.instance(t, marked, also)
	w.test(func() {
		_, err := w.ec2.CreateTags(t.Context(), &ec2.CreateTagsInput{
			Resources: []string{string(also)}, Tags: []ec2types.Tag{{Key: awssdk.String("role"), Value: awssdk.String("web")}},
		})
		check(t, err)
	})
	for value, want := range map[string]lb.SecurityGroupID{"web": also, "db": ""} {
		e, err := aws.New(aws.Options{
			Cluster: enginetest.Cluster, VPCID: w.vpc, Config: w.config, Now: w.time, EndpointGroupTags: map[string]string{"role": value},
		})
		check(t, err)
		check(t, e.Load(t.Context()))
		got, err := e.Groups(t.Context(), []lb.Place{{Instance: both}})
		if got[lb.Place{Instance: both}] != want || want == "" && !strings.Contains(err.Error(), "and role=db") {
			t.Errorf("role=%s: %v, %v", value, got, err)
		}
	}
}
