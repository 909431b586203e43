package control

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strings"
	"testing"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/acm"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/sluicehq/sluice/internal/localaws/localawstest"
)

// theirs makes in AWS what the AWS Load Balancer Controller makes for an Ingress default/shop, call by call. Names are
// written out from its recipes, so that a mistake in ours does not hide behind itself.
type theirs struct {
	*world
	elb *elb.Client
	ec2 *ec2.Client
}

// short is the end of its names: the first ten hex digits of a hash over everything in a row.
func short(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "")))
	return hex.EncodeToString(sum[:])[:10]
}

// tags are those by which it knows a resource, and the user's.
func (h theirs) tags(resource string) []elbtypes.Tag {
	var out []elbtypes.Tag
	for _, pair := range [][2]string{
		{"elbv2.k8s.aws/cluster", localawstest.Cluster}, {"ingress.k8s.aws/stack", "default/shop"}, {"ingress.k8s.aws/resource", resource}, {"team", "blue"},
	} {
		out = append(out, elbtypes.Tag{Key: &pair[0], Value: &pair[1]})
	}
	return out
}

func (h theirs) securityGroup(name, description string, tags []elbtypes.Tag, ports ...int32) string {
	var list []ec2types.Tag
	for _, t := range tags {
		list = append(list, ec2types.Tag{Key: t.Key, Value: t.Value})
	}
	made, err := h.ec2.CreateSecurityGroup(h.ctx, &ec2.CreateSecurityGroupInput{
		GroupName: &name, Description: &description, VpcId: awssdk.String(localawstest.VPC),
		TagSpecifications: []ec2types.TagSpecification{{ResourceType: ec2types.ResourceTypeSecurityGroup, Tags: list}},
	})
	h.check(err)
	for _, port := range ports {
		_, err := h.ec2.AuthorizeSecurityGroupIngress(h.ctx, &ec2.AuthorizeSecurityGroupIngressInput{GroupId: made.GroupId, IpPermissions: []ec2types.IpPermission{{
			IpProtocol: awssdk.String("tcp"), FromPort: &port, ToPort: &port, IpRanges: []ec2types.IpRange{{CidrIp: awssdk.String("0.0.0.0/0")}},
		}}})
		h.check(err)
	}
	return *made.GroupId
}

// targetGroup makes that of Service web, port 80, with both nodes in it.
func (h theirs) targetGroup() (name, arn string) {
	name = "k8s-default-web-" + short(localawstest.Cluster, "default/shop", "default", "shop", "uid-of-web", "80", "30080", "instance", "HTTP", "HTTP1")
	made, err := h.elb.CreateTargetGroup(h.ctx, &elb.CreateTargetGroupInput{
		Name: &name, Protocol: elbtypes.ProtocolEnumHttp, ProtocolVersion: awssdk.String("HTTP1"), Port: awssdk.Int32(30080), VpcId: awssdk.String(localawstest.VPC),
		TargetType: elbtypes.TargetTypeEnumInstance, IpAddressType: elbtypes.TargetGroupIpAddressTypeEnumIpv4,
		HealthCheckEnabled: awssdk.Bool(true), HealthCheckProtocol: elbtypes.ProtocolEnumHttp, HealthCheckPort: awssdk.String("traffic-port"), HealthCheckPath: awssdk.String("/"),
		HealthCheckIntervalSeconds: awssdk.Int32(15), HealthCheckTimeoutSeconds: awssdk.Int32(5), HealthyThresholdCount: awssdk.Int32(2), UnhealthyThresholdCount: awssdk.Int32(2),
		Matcher: &elbtypes.Matcher{HttpCode: awssdk.String("200")}, Tags: h.tags("default/shop-web:80"),
	})
	h.check(err)
	arn = *made.TargetGroups[0].TargetGroupArn
	_, err = h.elb.RegisterTargets(h.ctx, &elb.RegisterTargetsInput{TargetGroupArn: &arn, Targets: []elbtypes.TargetDescription{
		{Id: &localawstest.Instances[0], Port: awssdk.Int32(30080)}, {Id: &localawstest.Instances[1], Port: awssdk.Int32(30080)},
	}})
	h.check(err)
	return name, arn
}

// listener makes a port with the rule that it has on every port, and on 443 the certificate, as default and once more.
func (h theirs) listener(balancer, group, certificate, port string, protocol elbtypes.ProtocolEnum, number int32) {
	in := &elb.CreateListenerInput{
		LoadBalancerArn: &balancer, Port: &number, Protocol: protocol, Tags: h.tags(port),
		DefaultActions: []elbtypes.Action{{Type: elbtypes.ActionTypeEnumFixedResponse, Order: awssdk.Int32(1), FixedResponseConfig: &elbtypes.FixedResponseActionConfig{
			ContentType: awssdk.String("text/plain"), StatusCode: awssdk.String("404"),
		}}},
	}
	if protocol == elbtypes.ProtocolEnumHttps {
		in.Certificates, in.SslPolicy = []elbtypes.Certificate{{CertificateArn: &certificate}}, awssdk.String("ELBSecurityPolicy-2016-08")
	}
	made, err := h.elb.CreateListener(h.ctx, in)
	h.check(err)
	arn := made.Listeners[0].ListenerArn
	if protocol == elbtypes.ProtocolEnumHttps {
		_, err := h.elb.AddListenerCertificates(h.ctx, &elb.AddListenerCertificatesInput{ListenerArn: arn, Certificates: []elbtypes.Certificate{{CertificateArn: &certificate}}})
		h.check(err)
	}
	_, err = h.elb.CreateRule(h.ctx, &elb.CreateRuleInput{
		ListenerArn: arn, Priority: awssdk.Int32(1), Tags: h.tags(port + ":1"),
		Conditions: []elbtypes.RuleCondition{
			{Field: awssdk.String("host-header"), HostHeaderConfig: &elbtypes.HostHeaderConditionConfig{Values: []string{"shop.example.com"}}},
			{Field: awssdk.String("path-pattern"), PathPatternConfig: &elbtypes.PathPatternConditionConfig{Values: []string{"/cart", "/cart/*"}}},
		},
		Actions: []elbtypes.Action{{Type: elbtypes.ActionTypeEnumForward, Order: awssdk.Int32(1), ForwardConfig: &elbtypes.ForwardActionConfig{
			TargetGroups: []elbtypes.TargetGroupTuple{{TargetGroupArn: &group}},
		}}},
	})
	h.check(err)
}

// all makes everything, in AWS and in the cluster.
func (h theirs) all() {
	issued, err := acm.NewFromConfig(h.aws.Config).RequestCertificate(h.ctx, &acm.RequestCertificateInput{
		DomainName:              awssdk.String("*.example.com"),
		CertificateAuthorityArn: awssdk.String("arn:aws:acm-pca:ap-northeast-1:123456789012:certificate-authority/0a000000-0000-4000-8000-000000000000"),
	})
	h.check(err)
	clusterName := strings.ReplaceAll(localawstest.Cluster, "-", "")
	backend := h.securityGroup("k8s-traffic-"+clusterName+"-"+short(localawstest.Cluster), "[k8s] Shared Backend SecurityGroup for LoadBalancer", []elbtypes.Tag{
		{Key: awssdk.String("elbv2.k8s.aws/cluster"), Value: awssdk.String(localawstest.Cluster)}, {Key: awssdk.String("elbv2.k8s.aws/resource"), Value: awssdk.String("backend-sg")},
	})
	managed := h.securityGroup("k8s-default-shop-"+short(localawstest.Cluster, "default/shop"), "[k8s] Managed SecurityGroup for LoadBalancer", h.tags("ManagedLBSecurityGroup"), 80, 443)
	name, group := h.targetGroup()
	balancer, err := h.elb.CreateLoadBalancer(h.ctx, &elb.CreateLoadBalancerInput{
		Name: awssdk.String("k8s-default-shop-" + short(localawstest.Cluster, "default/shop", "internet-facing")), Type: elbtypes.LoadBalancerTypeEnumApplication,
		Scheme: elbtypes.LoadBalancerSchemeEnumInternetFacing, IpAddressType: elbtypes.IpAddressTypeIpv4,
		Subnets: localawstest.PublicSubnets[:], SecurityGroups: []string{managed, backend}, Tags: h.tags("LoadBalancer"),
	})
	h.check(err)
	arn := *balancer.LoadBalancers[0].LoadBalancerArn
	_, err = h.elb.ModifyLoadBalancerAttributes(h.ctx, &elb.ModifyLoadBalancerAttributesInput{
		LoadBalancerArn: &arn, Attributes: []elbtypes.LoadBalancerAttribute{{Key: awssdk.String("idle_timeout.timeout_seconds"), Value: awssdk.String("30")}},
	})
	h.check(err)
	h.listener(arn, group, *issued.CertificateArn, "80", elbtypes.ProtocolEnumHttp, 80)
	h.listener(arn, group, *issued.CertificateArn, "443", elbtypes.ProtocolEnumHttps, 443)
	_, err = h.ec2.AuthorizeSecurityGroupIngress(h.ctx, &ec2.AuthorizeSecurityGroupIngressInput{
		GroupId: awssdk.String(localawstest.NodeGroup), IpPermissions: []ec2types.IpPermission{{
			IpProtocol: awssdk.String("tcp"), FromPort: awssdk.Int32(30080), ToPort: awssdk.Int32(30080),
			UserIdGroupPairs: []ec2types.UserIdGroupPair{{GroupId: &backend, Description: awssdk.String("elbv2.k8s.aws/targetGroupBinding=shared")}},
		}},
	})
	h.check(err)
	h.apply("shop.yaml", `
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: shop
  finalizers: [ingress.k8s.aws/resources]
  annotations:
    alb.ingress.kubernetes.io/scheme: internet-facing
    alb.ingress.kubernetes.io/listen-ports: '[{"HTTP": 80}, {"HTTPS": 443}]'
    alb.ingress.kubernetes.io/tags: team=blue
    alb.ingress.kubernetes.io/load-balancer-attributes: idle_timeout.timeout_seconds=30
spec:
  ingressClassName: alb
  rules:
  - host: shop.example.com
    http: {paths: [{path: /cart, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}
---
apiVersion: elbv2.k8s.aws/v1beta1
kind: TargetGroupBinding
metadata:
  name: `+name+`
  finalizers: [elbv2.k8s.aws/resources]
  labels: {ingress.k8s.aws/stack-namespace: default, ingress.k8s.aws/stack-name: shop}
spec:
  targetGroupARN: `+group+`
  targetGroupProtocol: HTTP
  targetType: instance
  ipAddressType: ipv4
  vpcID: `+localawstest.VPC+`
  serviceRef: {name: web, port: 80}
  networking:
    ingress:
    - from: [{securityGroup: {groupID: `+backend+`}}]
      ports: [{protocol: TCP, port: 30080}]
`)
}

// Taking over a cluster changes nothing in AWS: what the other controller made is known for what it is.
func TestTakingOverMakesNoMutatingCall(t *testing.T) {
	w := newWorld(t)
	theirs{w, elb.NewFromConfig(w.aws.Config), ec2.NewFromConfig(w.aws.Config)}.all()
	w.start()
	w.aws.ResetCalls()
	w.sync()
	if mutating := changing(w.aws.Calls()); len(mutating) > 0 {
		t.Errorf("calls: %v; events %v", mutating, w.events())
	}
	if host := w.get("shop").Status.LoadBalancer.Ingress; len(host) != 1 || !strings.HasPrefix(host[0].Hostname, "k8s-default-shop-") {
		t.Errorf("status %v", host)
	}

	// It is ours now: deleting it leaves nothing.
	w.remove("shop")
	w.sync()
	if left := w.engine.Stacks(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// changing are the calls that change something, by operation.
func changing(calls map[string]int) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(calls)), func(call string) bool {
		_, operation, _ := strings.Cut(call, ":")
		return strings.HasPrefix(operation, "Describe") || strings.HasPrefix(operation, "Get") || strings.HasPrefix(operation, "List")
	})
}
