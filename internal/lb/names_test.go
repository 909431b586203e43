package lb

import "testing"

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
