package bench

import (
	"bytes"
	"flag"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/sluicehq/sluice/internal/compile"
	"github.com/sluicehq/sluice/internal/engine/aws"
	"github.com/sluicehq/sluice/internal/kube"
	"github.com/sluicehq/sluice/internal/lb"
	"github.com/sluicehq/sluice/internal/localaws"
	"github.com/sluicehq/sluice/internal/localaws/localawstest"
	"github.com/sluicehq/sluice/internal/plan"
)

// full runs what takes a minute at its whole size: go test ./bench -run Pace -full.
var full = flag.Bool("full", false, "run at full size")

// inside answers requests without a socket, so that a test's clock may stand still while they are worked.
type inside struct{ handler http.Handler }

// Do implements the SDK's HTTPClient.
func (i inside) Do(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	if r.Body == nil {
		r.Body = http.NoBody
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r.Body, r.RequestURI = io.NopCloser(bytes.NewReader(body)), r.URL.RequestURI()
	answer := httptest.NewRecorder()
	i.handler.ServeHTTP(answer, r)
	return answer.Result(), nil
}

// TestPace makes many Ingresses from nothing on a local AWS that throttles as AWS documents it, in simulated time. It
// must take no more than 1.2 times what the buckets alone allow.
func TestPace(t *testing.T) {
	ingresses := 60
	if *full {
		ingresses = 1000
	}
	all := compile.Compile(kube.New(cluster(ingresses+1)), options)
	synctest.Test(t, func(t *testing.T) {
		profile, err := localaws.NewProfile(localaws.Faithful, 1)
		check(t, err)
		server, err := localaws.New(localaws.Options{
			Seed: localawstest.Standard(), DataPlane: localawstest.NewPlane(), Profile: profile,
			Quotas: map[string]int{"application-load-balancers": 100_000, "target-groups": 100_000},
		})
		check(t, err)
		defer func() { check(t, server.Close()) }()
		e, err := aws.New(aws.Options{
			Cluster: options.Cluster, VPCID: localawstest.VPC, Logger: slog.New(slog.DiscardHandler),
			Config: awssdk.Config{
				Region: server.Region(), BaseEndpoint: awssdk.String("http://local"), HTTPClient: inside{server.Handler()},
				Credentials: credentials.NewStaticCredentialsProvider("local", "local", ""), RetryMaxAttempts: 10,
			},
		})
		check(t, err)
		check(t, e.Load(t.Context()))
		makeAll(t, e, all[:1]) // what all share: a lock held meanwhile would stop the simulated clock
		start := time.Now()
		retries := makeAll(t, e, all[1:])
		took := time.Since(start)
		ideal := bucketsAllow(ingresses)
		calls := total(server.Calls())
		t.Logf("%d Ingresses: %s, the buckets alone allow %s: %.3f; %d calls, %d passes tried again",
			ingresses, took.Round(time.Second), ideal.Round(time.Second), took.Seconds()/ideal.Seconds(), calls, retries)
		if took > ideal*12/10 {
			t.Errorf("took %s, the buckets alone allow %s", took, ideal)
		}
	})
}

// makeAll works all stacks as the loop does, with its default of three workers, and registers two targets in each target
// group.
func makeAll(t *testing.T, e *aws.Engine, all []compile.Compiled) (retries int) {
	work := make(chan compile.Compiled, 10*len(all))
	var left, workers sync.WaitGroup
	var mu sync.Mutex
	left.Add(len(all))
	for _, s := range all {
		work <- s
	}
	for range 3 {
		workers.Go(func() {
			for s := range work {
				if status := makeOne(t, e, s); status != plan.Done {
					mu.Lock()
					retries++
					mu.Unlock()
					time.AfterFunc(time.Second, func() { work <- s })
					continue
				}
				left.Done()
			}
		})
	}
	left.Wait()
	close(work)
	workers.Wait()
	return retries
}

func makeOne(t *testing.T, e *aws.Engine, s compile.Compiled) plan.Status {
	p, verdicts, err := e.Plan(t.Context(), s.Stack)
	if err != nil || len(verdicts) > 0 {
		t.Error(err, verdicts)
	}
	if status, _ := e.Apply(t.Context(), p).Status(); status != plan.Done {
		return status
	}
	for _, group := range e.Observe(s.ID).TargetGroups {
		err := e.Register(t.Context(), group, []lb.Target{{ID: localawstest.Instances[0], Port: 30080}, {ID: localawstest.Instances[1], Port: 30080}})
		if err != nil {
			return plan.Retry
		}
	}
	return plan.Done
}

// bucketsAllow is the time that AWS's buckets alone need for what one Ingress with two Services takes: a load balancer,
// a listener, two rules and two target groups, whose targets are registered; a security group and its rules.
func bucketsAllow(n int) time.Duration {
	longest := 0.0
	for _, b := range []struct{ calls, burst, rate float64 }{
		{1, 10, 0.2}, // CreateLoadBalancer
		{5, 20, 3},   // other mutating calls of ELBv2
		{2, 20, 4},   // RegisterTargets
		{8, 40, 10},  // all of ELBv2
		{1, 50, 5},   // CreateSecurityGroup, and the same for its rules
	} {
		longest = max(longest, (float64(n)*b.calls-b.burst)/b.rate)
	}
	return time.Duration(longest * float64(time.Second))
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
