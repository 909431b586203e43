package main

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"golang.org/x/tools/txtar"

	"github.com/sluicehq/sluice/internal/localaws/localawstest"
)

// lbcFlags are the flags of the AWS Load Balancer Controller v3.5 (its documentation, "Controller command line flags")
// with a value that each takes.
const lbcFlags = `--cluster-name=c --log-level=info --aws-region=us-west-2 --aws-vpc-id=vpc-1 --aws-vpc-tags=a=b --aws-vpc-tag-key=Name
--aws-api-endpoints=EC2=http://127.0.0.1:1 --aws-api-throttle=WAFV2:.*=1:1 --aws-max-retries=10 --default-tags=a=b
--external-managed-tags=c --default-target-type=ip --default-load-balancer-scheme=internal --default-ssl-policy=ELBSecurityPolicy-2016-08
--load-balancer-class=service.k8s.aws/nlb --enable-backend-security-group=true --backend-security-group=sg-1
--enable-manage-backend-security-group-rules --disable-restricted-sg-rules --service-target-eni-security-group-tags=a=b
--enable-endpoint-slices --max-targets-per-target-group=0 --targetgroupbinding-max-concurrent-reconciles=3
--targetgroupbinding-max-exponential-backoff-delay=16m40s --targetgroupbinding-requeue-duration=15s
--service-max-concurrent-reconciles=3 --ingress-max-concurrent-reconciles=3 --gateway-class-max-concurrent-reconciles=3
--alb-gateway-max-concurrent-reconciles=3 --nlb-gateway-max-concurrent-reconciles=3 --globalaccelerator-max-concurrent-reconciles=1
--globalaccelerator-max-exponential-backoff-delay=16m40s --lb-stabilization-monitor-interval=2m --sync-period=10h
--watch-namespace=n --ingress-class=alb --disable-ingress-class-annotation --disable-ingress-group-name-annotation
--tolerate-non-existent-backend-service --tolerate-non-existent-backend-action --allowed-certificate-authority-arns=arn
--default-pca-arn=arn --required-secrets-label=a=b --enable-waf --enable-wafv2 --enable-shield --enable-pod-readiness-gate-inject
--quic-environment-variable-name=X --feature-gates=EnableRGTAPI=true --kubeconfig=/nonexistent --metrics-bind-addr=0
--health-probe-bind-addr=0 --webhook-bind-port=9443 --webhook-cert-dir=/x --webhook-cert-file=tls.crt --webhook-key-file=tls.key
--kube-ca-pem-filepath=/x --enable-leader-election --leader-election-id=x --leader-election-namespace=y`

func TestFlagsOfTheReferenceAreAccepted(t *testing.T) {
	_, err := run(t, append([]string{"controller"}, strings.Fields(lbcFlags)...)...)
	if err == nil || !strings.Contains(err.Error(), "find the cluster") {
		t.Error(err, "and the flags should have been taken")
	}
}

func TestWhatHasNoEffectIsLogged(t *testing.T) {
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, nil))
	cmd := newControllerCommand()
	if err := cmd.ParseFlags([]string{"--enable-endpoint-slices=false", "--targetgroupbinding-requeue-duration", "15s"}); err != nil {
		t.Fatal(err)
	}
	oldFlagNotices(cmd.Flags(), logger)
	on, err := newGates(map[string]string{"ListenerRulesTagging": "false", "EnableIPTargetType": "true"})
	if err != nil {
		t.Fatal(err)
	}
	on.notices(logger)
	for _, want := range []string{
		`flag=--enable-endpoint-slices because="endpoints are always read from EndpointSlices"`,
		"flag=--targetgroupbinding-requeue-duration",
		`gate=ListenerRulesTagging set=false because="listeners and rules are always tagged"`,
	} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("no %s in\n%s", want, log.String())
		}
	}
	if strings.Contains(log.String(), "EnableIPTargetType") {
		t.Error("a gate at its default is no news")
	}
}

func TestHelpHasEveryFlagOnce(t *testing.T) {
	out, err := run(t, "controller", "--help")
	if err != nil {
		t.Fatal(err)
	}
	for _, title := range []string{"Cluster:", "AWS:", "Load balancers:", "Targets:", "Process:"} {
		if strings.Count(out, "\n"+title+"\n") != 1 {
			t.Errorf("no %s in\n%s", title, out)
		}
	}
	for _, flag := range []string{"--cluster-name ", "--aws-vpc-id ", "--config ", "--feature-gates "} {
		if strings.Count(out, flag) < 1 {
			t.Errorf("no %s in\n%s", flag, out)
		}
	}
	if strings.Contains(out, "--webhook-cert-dir") {
		t.Error("what has no effect is listed")
	}
}

func TestConfigurationFile(t *testing.T) {
	read := func(content string, args ...string) (*cobra.Command, error) {
		path := filepath.Join(t.TempDir(), "sluice.yaml")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := newControllerCommand()
		if err := cmd.ParseFlags(args); err != nil {
			t.Fatal(err)
		}
		return cmd, readConfigFile(path, cmd.Flags())
	}
	cmd, err := read("cluster-name: demo\nlog-level: debug\nsync-period: 1h\naws-max-retries: 3\n"+
		"default-tags: {team: net, cost: 7}\nexternal-managed-tags: [a, b]\nenable-leader-election: false\n", "--log-level=warn")
	if err != nil {
		t.Fatal(err)
	}
	for flag, want := range map[string]string{
		"cluster-name": "demo", "log-level": "warn", "sync-period": "1h0m0s", "aws-max-retries": "3",
		"default-tags": "[cost=7,team=net]", "external-managed-tags": "[a,b]", "enable-leader-election": "false",
	} {
		if got := cmd.Flags().Lookup(flag).Value.String(); got != want && (flag != "default-tags" || got != "[team=net,cost=7]") {
			t.Errorf("%s is %s, want %s", flag, got, want)
		}
	}
	for content, want := range map[string]string{
		"log-lvl: debug":      `has "log-lvl", and there is no such flag`,
		"sync-period: often":  `invalid argument "often"`,
		"sync-period: ":       "sync-period has no value",
		"config: other.yaml":  `has "config"`,
		"cluster-name: [a, b": "--config: ",
		"a: 1\na: 2":          "already set",
	} {
		if _, err := read(content); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", content, err, want)
		}
	}
}

func TestEndpointsOfServices(t *testing.T) {
	for _, variable := range endpointServices {
		t.Setenv(variable, "")
	}
	if err := setEndpoints(map[string]string{"ELB": "http://x"}); err == nil || !strings.Contains(err.Error(), `--aws-api-endpoints names "ELB"`) {
		t.Error(err)
	}
	local := localawstest.Start(t)
	t.Setenv("AWS_ACCESS_KEY_ID", "x")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "x")
	t.Setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
	access := awsAccess{
		cluster: "demo", region: "us-west-2", vpcTags: map[string]string{"nobody": "has-it"}, attempts: 1,
		endpoints: map[string]string{"EC2": *local.Config.BaseEndpoint},
	}
	if _, _, err := access.open(t.Context()); err == nil || !strings.Contains(err.Error(), "no VPC has the tags nobody=has-it: set --aws-vpc-id") {
		t.Error(err)
	}
}

func TestArgumentsOfTheChartAreAccepted(t *testing.T) {
	archive, err := txtar.ParseFile("../../charts/testdata/every-flag.txtar")
	if err != nil {
		t.Fatal(err)
	}
	var args []string
	for _, f := range archive.Files {
		for _, quoted := range regexp.MustCompile(`(?m)^ +- ("--.*")$`).FindAllStringSubmatch(string(f.Data), -1) {
			arg, err := strconv.Unquote(quoted[1])
			if err != nil {
				t.Fatal(err)
			}
			args = append(args, arg)
		}
	}
	if len(args) < 40 {
		t.Fatalf("the case has only %d arguments", len(args))
	}
	if err := newControllerCommand().ParseFlags(args); err != nil {
		t.Error(err)
	}
}
