package control

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/acm"
	acmtypes "github.com/aws/aws-sdk-go-v2/service/acm/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	elbv2api "github.com/sluicehq/sluice/api/elbv2/v1beta1"
	"github.com/sluicehq/sluice/internal/lb"
	"github.com/sluicehq/sluice/internal/localaws/localawstest"
	"github.com/sluicehq/sluice/internal/plan"
)

// shopID is the stack of Service shop.
var shopID = lb.NewStackID(lb.ServiceFront, "default/shop")

const nlbPrefix = "service.beta.kubernetes.io/aws-load-balancer-"

// balanced makes Service shop of our class; annotations are without their prefix, and lines are added to the spec.
func (w *world) balanced(ports string, annotations map[string]string, lines ...string) {
	w.Helper()
	text := "apiVersion: v1\nkind: Service\nmetadata:\n  name: shop\n  annotations:\n    none: ''\n"
	for key, value := range annotations {
		for _, stub := range []struct {
			name string
			make func() string
		}{{"CERTIFICATE", w.certificate}, {"ADDRESS", w.elasticAddress}} {
			for strings.Contains(value, stub.name) {
				value = strings.Replace(value, stub.name, stub.make(), 1)
			}
		}
		text += fmt.Sprintf("    %s%s: %q\n", nlbPrefix, key, value)
	}
	text += "spec:\n  type: LoadBalancer\n  loadBalancerClass: service.k8s.aws/nlb\n  ports: " + ports + "\n"
	for _, line := range lines {
		text += "  " + line + "\n"
	}
	w.apply("shop", text)
}

func (w *world) certificate() string {
	w.Helper()
	out, err := acm.NewFromConfig(w.aws.Config).RequestCertificate(w.ctx, &acm.RequestCertificateInput{
		DomainName: aws.String("shop.example.com"), KeyAlgorithm: acmtypes.KeyAlgorithmEcPrime256v1,
		CertificateAuthorityArn: aws.String("arn:aws:acm-pca:ap-northeast-1:123456789012:certificate-authority/0a000000-0000-4000-8000-000000000000"),
	})
	w.check(err)
	return *out.CertificateArn
}

func (w *world) elasticAddress() string {
	w.Helper()
	out, err := ec2.NewFromConfig(w.aws.Config).AllocateAddress(w.ctx, &ec2.AllocateAddressInput{})
	w.check(err)
	return *out.AllocationId
}

func (w *world) shop() *corev1.Service {
	w.Helper()
	var service corev1.Service
	w.check(w.kube.Get(w.ctx, types.NamespacedName{Namespace: "default", Name: "shop"}, &service))
	return &service
}

const onePort = "[{name: http, port: 80, targetPort: 8080, nodePort: 30080}]"

func TestAServiceIsServedAndLeavesNothingBehind(t *testing.T) {
	w := newWorld(t)
	w.balanced(onePort, map[string]string{"healthcheck-protocol": "http", "healthcheck-path": "/health"})
	if ended := w.sync(); ended[string(shopID)] != plan.Done || ended["binding shop"] != plan.Done {
		t.Error(ended, w.events())
	}
	shop := w.shop()
	if diff := cmp.Diff([]string{"service.k8s.aws/resources"}, shop.Finalizers); diff != "" {
		t.Error(diff)
	}
	name := w.engine.Observe(shopID).LoadBalancers[0].DNSName
	want := []corev1.LoadBalancerIngress{{Hostname: strings.ToLower(name), Ports: []corev1.PortStatus{{Port: 80, Protocol: "TCP"}}}}
	if diff := cmp.Diff(want, shop.Status.LoadBalancer.Ingress); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{localawstest.Instances[0] + ":30080", localawstest.Instances[1] + ":30080"}, w.targets(shopID)); diff != "" {
		t.Error(diff)
	}
	var bindings elbv2api.TargetGroupBindingList
	w.check(w.kube.List(w.ctx, &bindings))
	if labels := map[string]string{"service.k8s.aws/stack-namespace": "default", "service.k8s.aws/stack-name": "shop"}; !cmp.Equal(labels, bindings.Items[0].Labels) {
		t.Errorf("labels %v", bindings.Items[0].Labels)
	}
	if lets := letsIn(bindings.Items[0].Spec.Networking); !strings.HasPrefix(lets, "TCP 30080 from sg-") {
		t.Error(lets)
	}
	events := w.events()
	if len(events) != 2 || !strings.HasPrefix(events[0], "Normal SuccessfullyReconciled shop: Successfully reconciled: created ") {
		t.Errorf("events %q", events)
	}
	w.check(w.kube.Delete(w.ctx, shop))
	w.sync()
	w.check(w.engine.Load(w.ctx))
	w.check(w.kube.List(w.ctx, &bindings))
	err := w.kube.Get(w.ctx, client.ObjectKeyFromObject(shop), shop)
	if left := w.engine.Stacks(); len(left)+len(bindings.Items) > 0 || err == nil {
		t.Errorf("left: %v %v, bindings %v", left, err, bindings.Items)
	}
}

func TestAServiceThatIsNotOursAnyMoreLosesItsLoadBalancer(t *testing.T) {
	w := newWorld(t)
	w.balanced(onePort, map[string]string{"attributes": "deletion_protection.enabled=true"})
	w.sync()
	w.events()
	service := w.shop()
	service.Spec.LoadBalancerClass = nil
	w.check(w.kube.Update(w.ctx, service))
	w.sync()
	if events := w.events(); len(events) != 1 || !strings.HasPrefix(events[0], "Warning DeletionProtected shop: ") {
		t.Errorf("events %q", events)
	}
	if len(w.engine.Stacks()) == 0 || len(w.shop().Status.LoadBalancer.Ingress) == 0 {
		t.Fatal("protection did not keep it")
	}
	service = w.shop()
	delete(service.Annotations, nlbPrefix+"attributes")
	w.check(w.kube.Update(w.ctx, service))
	w.sync()
	service = w.shop()
	if left := w.engine.Stacks(); len(left) > 0 || len(service.Finalizers)+len(service.Status.LoadBalancer.Ingress) > 0 {
		t.Errorf("left: %v, finalizers %v, status %v", left, service.Finalizers, service.Status.LoadBalancer)
	}
}

// shapes are Services of every kind, for takeovers.
var shapes = []struct {
	name        string
	ports       string
	annotations map[string]string
	lines       []string
}{
	{name: "minimal", ports: onePort},
	{name: "internet-facing", ports: onePort, annotations: map[string]string{"scheme": "internet-facing"}},
	{name: "pods", ports: onePort, annotations: map[string]string{"nlb-target-type": "ip"}},
	{name: "two ports", ports: "[{name: a, port: 80, targetPort: 8080, nodePort: 30080}, {name: b, port: 81, targetPort: 8081, nodePort: 30081}]"},
	{name: "udp", ports: "[{port: 53, protocol: UDP, targetPort: 53, nodePort: 30053}]"},
	{name: "tcp and udp", ports: "[{name: t, port: 53, targetPort: 53, nodePort: 30053}, {name: u, port: 53, protocol: UDP, targetPort: 53, nodePort: 30053}]",
		annotations: map[string]string{"enable-tcp-udp-listener": "true"}},
	{name: "local policy", ports: onePort, lines: []string{"externalTrafficPolicy: Local", "healthCheckNodePort: 31234"}},
	{name: "http check", ports: onePort, annotations: map[string]string{"healthcheck-protocol": "http", "healthcheck-path": "/health", "healthcheck-port": "8081", "healthcheck-interval": "20", "healthcheck-timeout": "5", "healthcheck-success-codes": "200,204"}},
	{name: "source ranges", ports: onePort, lines: []string{"loadBalancerSourceRanges: [10.0.0.0/8, 192.168.0.0/16]"},
		annotations: map[string]string{"enable-icmp-for-path-mtu-discovery": "on"}},
	{name: "without security groups", ports: onePort, annotations: map[string]string{"disable-nlb-sg": "true"}},
	{name: "without security groups, public", ports: onePort, annotations: map[string]string{"disable-nlb-sg": "true", "scheme": "internet-facing", "nlb-target-type": "ip"}},
	{name: "own security groups", ports: onePort, annotations: map[string]string{"security-groups": localawstest.NodeGroup, "manage-backend-security-group-rules": "true"}},
	{name: "attributes", ports: onePort, annotations: map[string]string{"attributes": "load_balancing.cross_zone.enabled=true,dns_record.client_routing_policy=availability_zone_affinity", "target-group-attributes": "deregistration_delay.timeout_seconds=30,preserve_client_ip.enabled=true", "listener-attributes.TCP-80": "tcp.idle_timeout.seconds=400"}},
	{name: "proxy protocol", ports: onePort, annotations: map[string]string{"proxy-protocol": "*"}},
	{name: "tags", ports: onePort, annotations: map[string]string{"additional-resource-tags": "team=shop,env=test"}},
	{name: "a name", ports: onePort, annotations: map[string]string{"name": "shop-nlb"}},
	{name: "private link", ports: onePort, annotations: map[string]string{"inbound-sg-rules-on-private-link-traffic": "off"}},
	{name: "tls", ports: "[{name: web, port: 80, targetPort: 8080, nodePort: 30080}, {name: secure, port: 443, targetPort: 8443, nodePort: 30443}]",
		annotations: map[string]string{"ssl-cert": "CERTIFICATE,CERTIFICATE", "ssl-ports": "secure", "alpn-policy": "HTTP2Preferred", "ssl-negotiation-policy": "ELBSecurityPolicy-TLS13-1-2-2021-06"}},
	{name: "tls to targets", ports: "[{name: secure, port: 443, targetPort: 8443, nodePort: 30443}]",
		annotations: map[string]string{"ssl-cert": "CERTIFICATE", "backend-protocol": "ssl"}},
	{name: "elastic addresses", ports: onePort, annotations: map[string]string{"scheme": "internet-facing", "subnets": strings.Join(localawstest.PublicSubnets[:2], ","), "eip-allocations": "ADDRESS,ADDRESS"}},
	{name: "private addresses", ports: onePort, annotations: map[string]string{"subnets": strings.Join(localawstest.PrivateSubnets[:2], ","), "private-ipv4-addresses": "192.168.128.77,192.168.96.77"}},
}

// Each shape is made as the reference makes it (names, tags, ids and fields are its own), then found by a process that
// knows nothing: it must change nothing, neither in AWS nor in the cluster.
func TestTakingOverChangesNothing(t *testing.T) {
	for _, shape := range shapes {
		t.Run(shape.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.balanced(shape.ports, shape.annotations, shape.lines...)
			ended := w.sync()
			if ended[string(shopID)] != plan.Done {
				t.Fatal(ended, w.events())
			}
			w.events()
			w.calls()
			before := w.state()
			w.sync()
			if calls := w.calls(); len(calls) > 0 {
				t.Errorf("a second look made calls: %v", calls)
			}
			w.start()
			w.sync()
			if calls := w.calls(); slices.ContainsFunc(calls, changes) {
				t.Errorf("a new process made calls: %v", calls)
			}
			if diff := cmp.Diff(before, w.state()); diff != "" {
				t.Errorf("a new process wrote to the API server: %s", diff)
			}
		})
	}
}

func TestASchemeThatNobodyNamesStays(t *testing.T) {
	w := newWorld(t)
	w.balanced(onePort, map[string]string{"scheme": "internet-facing"})
	w.sync()
	w.calls()
	w.balanced(onePort, nil)
	w.sync()
	if calls := w.calls(); slices.ContainsFunc(calls, changes) {
		t.Errorf("calls %v", calls)
	}
	w.balanced(onePort, map[string]string{"scheme": "internal"})
	w.followed()
	observed := w.engine.Observe(shopID).LoadBalancers
	if len(observed) != 1 || !strings.HasPrefix(observed[0].DNSName, "internal-") && !strings.Contains(observed[0].DNSName, "k8s-default-shop") {
		t.Errorf("load balancers %v", observed)
	}
	if all := w.balancers(); len(all) != 1 || all[0].Scheme != elbtypes.LoadBalancerSchemeEnumInternal {
		t.Errorf("load balancers %v", all)
	}
}

func (w *world) balancers() []elbtypes.LoadBalancer {
	w.Helper()
	out, err := elb.NewFromConfig(w.aws.Config).DescribeLoadBalancers(w.ctx, &elb.DescribeLoadBalancersInput{})
	w.check(err)
	return out.LoadBalancers
}

func TestSecurityGroupsAreDecidedWhenALoadBalancerIsMade(t *testing.T) {
	w := newWorld(t)
	w.balanced(onePort, map[string]string{"disable-nlb-sg": "true"})
	w.sync()
	var bindings elbv2api.TargetGroupBindingList
	w.check(w.kube.List(w.ctx, &bindings))
	if lets := letsIn(bindings.Items[0].Spec.Networking); lets != "TCP 30080 from 192.168.0.0/16" {
		t.Error(lets)
	}
	w.events()
	w.calls()
	w.balanced(onePort, nil)
	w.sync()
	if calls := w.calls(); slices.ContainsFunc(calls, changes) {
		t.Errorf("it cannot get security groups any more, and yet: %v", calls)
	}
	if all := w.balancers(); len(all) != 1 || len(all[0].SecurityGroups) > 0 {
		t.Errorf("load balancers %v", all)
	}

	w.check(w.kube.Delete(w.ctx, w.shop()))
	w.sync()
	w.balanced(onePort, nil)
	w.sync()
	w.events()
	w.balanced(onePort, map[string]string{"disable-nlb-sg": "true"})
	w.calls()
	w.sync()
	if events := w.events(); len(events) != 1 || !strings.HasPrefix(events[0], "Warning CloudRefused shop: ") || !strings.Contains(events[0], "security groups") {
		t.Errorf("events %q", events)
	}
	if calls := w.calls(); slices.ContainsFunc(calls, changes) {
		t.Errorf("calls %v", calls)
	}
}
