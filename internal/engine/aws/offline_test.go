package aws_test

import (
	"context"
	"strings"
	"testing"

	"github.com/sluicehq/sluice/internal/engine/aws"
	"github.com/sluicehq/sluice/internal/engine/enginetest"
	"github.com/sluicehq/sluice/internal/plan"
)

func TestOfflinePlanShowsWhatWouldBeMade(t *testing.T) {
	want := enginetest.Stack("web", enginetest.Shape{
		Tag: "blue", Rules: []enginetest.Path{{Path: "/a", Service: "app1"}, {Path: "/b"}},
	})
	e := aws.NewOffline(aws.Options{Cluster: enginetest.Cluster})
	p, verdicts, err := e.Plan(context.Background(), want)
	if err != nil || len(verdicts) > 0 {
		t.Fatal(err, verdicts)
	}
	var b strings.Builder
	if err := plan.Print(&b, p); err != nil {
		t.Fatal(err)
	}
	const expected = `stack default/web: 7 to create
  + create BackendSecurityGroup k8s-traffic-demo-2a97516c35  for Ingress default/web
      description: [k8s] Shared Backend SecurityGroup for LoadBalancer
`
	if !strings.HasPrefix(b.String(), expected) {
		t.Errorf("got\n%s", b.String())
	}
	for _, line := range []string{"subnets: discovered at apply", "action: redirect 301", "default: fixed-response 404"} {
		if !strings.Contains(b.String(), line) {
			t.Errorf("the plan does not say %q:\n%s", line, b.String())
		}
	}
	if status, _ := e.Apply(context.Background(), p).Status(); status == plan.Done {
		t.Error("an offline plan was applied")
	}
}
