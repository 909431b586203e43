package bench

import (
	"fmt"
	"testing"

	"github.com/sluicehq/sluice/internal/compile"
	"github.com/sluicehq/sluice/internal/engine/aws"
	"github.com/sluicehq/sluice/internal/kube"
	"github.com/sluicehq/sluice/internal/localaws/localawstest"
	"github.com/sluicehq/sluice/internal/plan"
)

// BenchmarkCallsForOneIngress measures the AWS calls that make one new Ingress with two Services real, beside the
// needed ones: security group, its rules, two target groups, load balancer, listener, two rules. Goal: at most 1.3.
// (Registering targets is a path of its own; the benchmark of the whole system counts it too.)
func BenchmarkCallsForOneIngress(b *testing.B) {
	const needed = 8
	local := localawstest.Start(b)
	quotas(b, local)
	e := loaded(b, local)
	stacks := compile.Compile(kube.New(cluster(b.N+1)), options)
	made(b, e, stacks[0]) // what the cluster shares, and the subnets
	local.ResetCalls()
	b.ResetTimer()
	for _, s := range stacks[1:] {
		made(b, e, s)
	}
	b.StopTimer()
	b.ReportMetric(float64(total(local.Calls()))/float64(b.N)/needed, "calls/needed")
}

// BenchmarkCallsOfARestart measures the AWS calls of a start with 50 unchanged Ingresses: the load of the mirror, and a
// pass over every stack. Goal: at most 30 in all.
func BenchmarkCallsOfARestart(b *testing.B) {
	const ingresses = 50
	local := localawstest.Start(b)
	quotas(b, local)
	stacks := compile.Compile(kube.New(cluster(ingresses)), options)
	first := loaded(b, local)
	for _, s := range stacks {
		made(b, first, s)
	}
	local.ResetCalls()
	for b.Loop() {
		again := loaded(b, local)
		for _, s := range stacks {
			if p := made(b, again, s); !p.Empty() {
				b.Fatalf("the plan of %s is not empty: %s", s.ID, plan.Summary(p.Steps))
			}
		}
	}
	b.ReportMetric(float64(total(local.Calls()))/float64(b.N), "calls/restart")
}

func loaded(b *testing.B, local *localawstest.Local) *aws.Engine {
	e, err := aws.New(aws.Options{Cluster: options.Cluster, VPCID: localawstest.VPC, Config: local.Config})
	if err != nil {
		b.Fatal(err)
	}
	if err := e.Load(b.Context()); err != nil {
		b.Fatal(err)
	}
	return e
}

func made(b *testing.B, e *aws.Engine, s compile.Compiled) plan.Plan {
	p, verdicts, err := e.Plan(b.Context(), s.Stack)
	if err != nil || len(verdicts) > 0 {
		b.Fatal(err, verdicts)
	}
	if err := e.Apply(b.Context(), p).Err(); err != nil {
		b.Fatal(err)
	}
	return p
}

// quotas lets a benchmark make more than a new account may.
func quotas(b *testing.B, local *localawstest.Local) {
	for _, name := range []string{"application-load-balancers", "target-groups"} {
		if err := local.SetQuota(name, 1_000_000); err != nil {
			b.Fatal(fmt.Errorf("quota %s: %w", name, err))
		}
	}
}

func total(calls map[string]int) int {
	n := 0
	for _, c := range calls {
		n += c
	}
	return n
}
