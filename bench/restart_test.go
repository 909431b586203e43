package bench

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/sluicehq/sluice/internal/compile"
	"github.com/sluicehq/sluice/internal/engine/aws"
	"github.com/sluicehq/sluice/internal/kube"
	"github.com/sluicehq/sluice/internal/localaws/localawstest"
)

// shards keeps checkpoints in memory.
type shards struct{ all sync.Map }

func (s *shards) Read(_ context.Context, name string) ([]byte, error) {
	content, _ := s.all.Load(name)
	out, _ := content.([]byte)
	return out, nil
}

func (s *shards) Write(_ context.Context, name string, content []byte) error {
	s.all.Store(name, content)
	return nil
}

// BenchmarkRestart measures a start with 300 unchanged Ingresses, each with a load balancer, two target groups and two
// rules: until everything is known, and a pass over every stack. Goals: at most 25 calls, and 2 s.
func BenchmarkRestart(b *testing.B) {
	const ingresses = 300
	local := localawstest.Start(b)
	quotas(b, local)
	all := compile.Compile(kube.New(cluster(ingresses)), options)
	store := &shards{}
	for range 2 { // the second one learns what is foreign
		e := remembering(b, local, store)
		for _, s := range all {
			made(b, e, s)
		}
		stopped, stop := context.WithCancel(b.Context())
		stop()
		e.Checkpoint(stopped)
	}
	local.ResetCalls()
	start := time.Now()
	n := 0
	for b.Loop() {
		n++
		e := remembering(b, local, store)
		for _, s := range all {
			if p := made(b, e, s); !p.Empty() {
				b.Fatalf("the plan of %s is not empty", s.ID)
			}
		}
	}
	b.ReportMetric(float64(total(local.Calls()))/float64(n), "calls/restart")
	b.ReportMetric(time.Since(start).Seconds()/float64(n), "s/restart")
}

func remembering(b *testing.B, local *localawstest.Local, store *shards) *aws.Engine {
	e, err := aws.New(aws.Options{Cluster: options.Cluster, VPCID: localawstest.VPC, Config: local.Config, Checkpoints: store})
	if err != nil {
		b.Fatal(err)
	}
	if err := e.Load(b.Context()); err != nil {
		b.Fatal(err)
	}
	return e
}
