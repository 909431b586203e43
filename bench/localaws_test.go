package bench

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/sluicehq/sluice/internal/localaws/localawstest"
)

// program builds the program once.
func program(b *testing.B) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), "sluice")
	if out, err := exec.CommandContext(b.Context(), "go", "build", "-o", path, "../cmd/sluice").CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	return path
}

var readyAt = regexp.MustCompile(`endpoint=(http://[0-9.:]+)`)

// local starts the program's local AWS as a process of its own and waits for the line that says it is ready.
func local(b *testing.B, path string, flags ...string) (cmd *exec.Cmd, endpoint string) {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	cmd = exec.CommandContext(ctx, path, append([]string{"local", "--listen", "127.0.0.1:0", "--dns", "127.0.0.1:0"}, flags...)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	out, err := cmd.StderrPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // it was told to end
	})
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if at := readyAt.FindStringSubmatch(lines.Text()); at != nil {
			go func() {
				for lines.Scan() { // so that it can go on writing
				}
			}()
			return cmd, at[1]
		}
	}
	b.Fatal("local AWS has not become ready")
	return nil, ""
}

// BenchmarkLocalStart measures the time from the start of the process to the line that says it is ready. Goal: 300 ms.
func BenchmarkLocalStart(b *testing.B) {
	path := program(b)
	for b.Loop() {
		cmd, _ := local(b, path)
		b.StopTimer()
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			b.Fatal(err)
		}
		_ = cmd.Wait() // it was told to end
		b.StartTimer()
	}
}

// BenchmarkLocalFootprint measures the memory of local AWS with 5,000 load-balancer resources (50 load balancers, their
// listeners, 2,400 target groups, 2,500 rules) and 10,000 idle connections to one of them. Goal: 500 MB.
func BenchmarkLocalFootprint(b *testing.B) {
	path := program(b)
	seed := filepath.Join(b.TempDir(), "seed.yaml")
	text := `vpcs: [{id: ` + localawstest.VPC + `, cidr: 10.0.0.0/16}]
internetGateways: [{id: igw-0a000000000000001, vpc: ` + localawstest.VPC + `}]
subnets:
- {id: ` + localawstest.PublicSubnets[0] + `, vpc: ` + localawstest.VPC + `, zone: ap-northeast-1a, cidr: 10.0.0.0/20, public: true}
- {id: ` + localawstest.PublicSubnets[1] + `, vpc: ` + localawstest.VPC + `, zone: ap-northeast-1c, cidr: 10.0.16.0/20, public: true}
`
	if err := os.WriteFile(seed, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		cmd, endpoint := local(b, path, "--seed", seed)
		b.ReportMetric(resident(b, cmd.Process.Pid), "MB-empty")
		client := elb.NewFromConfig(localawstest.Config(endpoint, localawstest.Region))
		var name string
		for i := range 50 {
			name = fill(b, client, i)
		}
		b.ReportMetric(resident(b, cmd.Process.Pid), "MB-5000-resources")
		connections := idle(b, name)
		b.ReportMetric(resident(b, cmd.Process.Pid), "MB-10000-connections")
		for _, c := range connections {
			_ = c.Close() // it has served
		}
	}
}

// fill makes the i-th load balancer with 48 target groups and 50 rules, and returns the address of its listener.
func fill(b *testing.B, client *elb.Client, i int) string {
	b.Helper()
	ctx := b.Context()
	balancer, err := client.CreateLoadBalancer(ctx, &elb.CreateLoadBalancerInput{Name: aws.String(fmt.Sprint("lb-", i)), Subnets: localawstest.PublicSubnets[:2]})
	if err != nil {
		b.Fatal(err)
	}
	answer := []types.Action{{Type: "fixed-response", FixedResponseConfig: &types.FixedResponseActionConfig{StatusCode: aws.String("404")}}}
	listener, err := client.CreateListener(ctx, &elb.CreateListenerInput{LoadBalancerArn: balancer.LoadBalancers[0].LoadBalancerArn, Port: aws.Int32(8080), Protocol: "HTTP", DefaultActions: answer})
	if err != nil {
		b.Fatal(err)
	}
	for j := range 50 {
		actions := answer
		if j < 48 {
			group, err := client.CreateTargetGroup(ctx, &elb.CreateTargetGroupInput{Name: aws.String(fmt.Sprintf("g-%d-%d", i, j)), Protocol: "HTTP", Port: aws.Int32(80), VpcId: aws.String(localawstest.VPC), TargetType: "ip"})
			if err != nil {
				b.Fatal(err)
			}
			actions = []types.Action{{Type: "forward", TargetGroupArn: group.TargetGroups[0].TargetGroupArn}}
		}
		path := []types.RuleCondition{{Field: aws.String("path-pattern"), Values: []string{fmt.Sprintf("/%d/*", j)}}}
		if _, err := client.CreateRule(ctx, &elb.CreateRuleInput{ListenerArn: listener.Listeners[0].ListenerArn, Priority: aws.Int32(int32(j + 1)), Conditions: path, Actions: actions}); err != nil {
			b.Fatal(err)
		}
	}
	return fmt.Sprintf("127.64.0.%d:8080", i+1)
}

// idle opens 10,000 connections that have asked once and wait.
func idle(b *testing.B, address string) []net.Conn {
	b.Helper()
	var out []net.Conn
	answer := make([]byte, 4096)
	for i := range 10_000 {
		// One source address has too few ports for all.
		from := &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(1+i/1000))}
		c, err := (&net.Dialer{LocalAddr: from}).DialContext(b.Context(), "tcp", address)
		if err != nil {
			b.Fatal(err)
		}
		out = append(out, c)
		if _, err := c.Write([]byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n")); err != nil {
			b.Fatal(err)
		}
		if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			b.Fatal(err)
		}
		if n, err := c.Read(answer); err != nil || !strings.HasPrefix(string(answer[:n]), "HTTP/1.1 404") {
			b.Fatalf("%q %v", answer[:n], err)
		}
	}
	return out
}

// resident is the memory that a process has, in megabytes; 0 where the system does not show it.
func resident(b *testing.B, pid int) float64 {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.SplitSeq(string(text), "\n") {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "VmRSS:" {
			kb, err := strconv.ParseFloat(fields[1], 64)
			if err != nil {
				b.Fatal(err)
			}
			return kb / 1024
		}
	}
	return 0
}
