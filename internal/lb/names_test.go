package lb

import (
	"testing"
	"time"
)

func TestNamesAreThoseOfTheReference(t *testing.T) {
	own, group := StackID("team-a/storefront-web"), StackID("shared.public-edge-group")
	targets := TargetGroupIdentity{
		Cluster: "demo", Stack: own, IngressNamespace: "team-a", IngressName: "storefront-web",
		ServiceNamespace: "team-a", ServiceName: "web-frontend", ServiceUID: "0f4c1a52-8d7e-4a55-9a53-3c2d1f0b9e11",
		Port: Port{Number: 80}, TargetPort: 30080, TargetType: InstanceTargets, Protocol: HTTP, ProtocolVersion: HTTP1,
	}
	grpc := targets
	grpc.Port, grpc.TargetPort, grpc.TargetType, grpc.ProtocolVersion = Port{Name: "http"}, 8080, IPTargets, "GRPC"
	for _, c := range []struct{ got, want string }{
		{LoadBalancerName("demo", own, InternetFacing), "k8s-teama-storefro-6120922bbc"},
		{LoadBalancerName("demo", own, Internal), "k8s-teama-storefro-0d43150016"},
		{ManagedSecurityGroupName("demo", own), "k8s-teama-storefro-7b6a80703b"},
		{LoadBalancerName("demo", group, InternetFacing), "k8s-sharedpublicedgeg-3599fd8244"},
		{ManagedSecurityGroupName("demo", group), "k8s-sharedpublicedgeg-7eb95818ad"},
		{TargetGroupName(targets), "k8s-teama-webfront-be60ed2081"},
		{TargetGroupName(grpc), "k8s-teama-webfront-d65e9726b7"},
		{BackendSecurityGroupName("demo-cluster_1"), "k8s-traffic-democluster1-9cd278449b"},
	} {
		if c.got != c.want {
			t.Errorf("got %s, want %s", c.got, c.want)
		}
	}
}

func TestNamesOfServicesAreThoseOfTheReference(t *testing.T) {
	echo := ServiceIdentity{"my-cluster", "my-ns", "echo-server", "11111111-2222-3333-4444-555555555555"}
	canary := ServiceIdentity{"my-cluster", "my-ns", "canary", "99999999-8888-7777-6666-555555555555"}
	check := HealthCheck{Protocol: TCP, Interval: 10 * time.Second}
	ip := TargetGroup{Port: 8080, TargetType: IPTargets, Protocol: TCP, HealthCheck: check}
	instance := TargetGroup{Port: 30080, TargetType: InstanceTargets, Protocol: TCP, HealthCheck: check}
	for _, c := range []struct{ got, want string }{
		{echo.LoadBalancerName(Internal), "k8s-myns-echoserv-ee651d1028"},
		{echo.LoadBalancerName(InternetFacing), "k8s-myns-echoserv-5b8ee7e858"},
		{echo.TargetGroupName(echo, 80, ip), "k8s-myns-echoserv-528b8f751f"},
		{echo.TargetGroupName(echo, 80, instance), "k8s-myns-echoserv-0cc8acefb4"},
		{echo.ManagedSecurityGroupName(), "k8s-myns-echoserv-f3f7038941"},
		{echo.TargetGroupName(canary, 80, ip), "k8s-myns-canary-0f374996e3"},
		{BackendSecurityGroupName("my-cluster"), "k8s-traffic-mycluster-4cbfcec96c"},
		{string(ServiceTargetGroupID("my-ns", "echo-server", 80)), "my-ns/echo-server:80"},
	} {
		if c.got != c.want {
			t.Errorf("got %s, want %s", c.got, c.want)
		}
	}
}

func TestStackIDs(t *testing.T) {
	for _, c := range []struct {
		id    StackID
		front FrontEnd
		name  string
		own   bool
	}{
		{NewStackID(IngressFront, "default/web"), IngressFront, "default/web", true},
		{NewStackID(IngressFront, "shared.edge"), IngressFront, "shared.edge", false},
		{NewStackID(ServiceFront, "default/web"), ServiceFront, "default/web", true},
	} {
		_, _, own := c.id.Own()
		if c.id.FrontEnd() != c.front || c.id.Name() != c.name || own != c.own || NewStackID(c.front, c.name) != c.id {
			t.Errorf("%s: front end %s, name %s, own %v", c.id, c.id.FrontEnd(), c.id.Name(), own)
		}
	}
}
