package main

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/sluicehq/sluice/internal/localaws/localawstest"
)

// run runs the program's command line.
func run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	root := newRootCommand()
	root.SetArgs(args)
	root.SetOut(&out)
	root.SetErr(&out)
	err := root.ExecuteContext(t.Context())
	return out.String(), err
}

func TestFlagsThatCannotBeAreRefusedByName(t *testing.T) {
	t.Setenv("KUBECONFIG", "/nonexistent")
	for _, test := range []struct {
		args []string
		want string
	}{
		{nil, "--cluster-name is missing"},
		{[]string{"--cluster-name=c", "--feature-gates=EnableTCPUDPListenerType=true"}, `--feature-gates has "EnableTCPUDPListenerType", and there are only ALBGatewayAPI, `},
		{[]string{"--cluster-name=c", "--feature-gates=EnableRGTAPI=yes"}, `--feature-gates sets EnableRGTAPI to "yes"`},
		{[]string{"--cluster-name=c", "--config=/nonexistent"}, "--config: open /nonexistent"},
		{[]string{"--cluster-name=c", "--default-target-type=node"}, `--default-target-type is "node" and must be instance or ip`},
		{[]string{"--cluster-name=c", "--default-load-balancer-scheme=public"}, `--default-load-balancer-scheme is "public"`},
		{[]string{"--cluster-name=c", "--log-level=loud"}, `--log-level is "loud"`},
		{[]string{"--cluster-name=c", "--ingress-max-concurrent-reconciles=0"}, "must be at least 1"},
		{[]string{"--cluster-name=c", "--aws-api-throttle=EC2:Describe=fast:1"}, `--aws-api-throttle has "EC2:Describe=fast:1": the rate must be a number above 0; write it as`},
		{[]string{"--cluster-name=c", "--default-tags=a=1", "--external-managed-tags=a"}, `tag "a" is in both`},
		{[]string{"--cluster-name=c", "--backend-security-group=web"}, `--backend-security-group is "web" and must be an id`},
		{[]string{"--cluster-name=c", "--enable-backend-security-group=false", "--backend-security-group=sg-1"}, "need --enable-backend-security-group"},
		{[]string{"--cluster-name=c", "--enable-backend-security-group=false", "--enable-manage-backend-security-group-rules"}, "need --enable-backend-security-group"},
		{[]string{"--cluster-name=c", "--metrics-bind-addr=0", "--health-probe-bind-addr=0"}, "find the cluster"},
	} {
		if _, err := run(t, append([]string{"controller"}, test.args...)...); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v: %v, want %s", test.args, err, test.want)
		}
	}
}

func TestVersion(t *testing.T) {
	out, err := run(t, "version")
	if err != nil || !strings.HasPrefix(out, "sluice "+version+" (go") {
		t.Error(out, err)
	}
}

func TestTheClustersVPCIsFoundByItsTag(t *testing.T) {
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	local := localawstest.Start(t)
	client := ec2.NewFromConfig(local.Config)
	find := func() string {
		id, err := awsAccess{cluster: "demo"}.findVPC(context.Background(), local.Config)
		if err != nil {
			return err.Error()
		}
		return id
	}
	if got := find(); !strings.Contains(got, "no VPC has the tag kubernetes.io/cluster/demo: set --aws-vpc-id") {
		t.Error(got)
	}
	tag := func(id string) {
		key, value := "kubernetes.io/cluster/demo", "owned"
		_, err := client.CreateTags(t.Context(), &ec2.CreateTagsInput{Resources: []string{id}, Tags: []ec2types.Tag{{Key: &key, Value: &value}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	tag(localawstest.VPC)
	if got := find(); got != localawstest.VPC {
		t.Error(got)
	}
	cidr := "10.0.0.0/16"
	other, err := client.CreateVpc(t.Context(), &ec2.CreateVpcInput{CidrBlock: &cidr})
	if err != nil {
		t.Fatal(err)
	}
	tag(*other.Vpc.VpcId)
	if got := find(); !strings.Contains(got, "several VPCs have the tag") || !strings.Contains(got, localawstest.VPC) {
		t.Error(got)
	}
}

func TestLibrariesAreQuiet(t *testing.T) {
	for level, want := range map[slog.Level]int{slog.LevelInfo: 1, slog.LevelDebug: 2} {
		var out bytes.Buffer
		logger := libraryLogger(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: level})))
		logger.Info("chatter")
		logger.Error(nil, "trouble")
		if got := strings.Count(out.String(), "\n"); got != want {
			t.Errorf("at %s: %s", level, out.String())
		}
	}
}
