package localaws_test

import (
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
)

func TestSSLPolicies(t *testing.T) {
	c := start(t)
	ctx := t.Context()
	seen := map[string]bool{}
	in := &elb.DescribeSSLPoliciesInput{PageSize: aws.Int32(5)}
	for {
		out := must[*elb.DescribeSSLPoliciesOutput](t)(c.elb.DescribeSSLPolicies(ctx, in))
		for _, p := range out.SslPolicies {
			seen[*p.Name] = true
		}
		if in.Marker = out.NextMarker; in.Marker == nil {
			break
		}
	}
	if len(seen) != 24 {
		t.Errorf("%d policies: %v", len(seen), seen)
	}
	one := must[*elb.DescribeSSLPoliciesOutput](t)(c.elb.DescribeSSLPolicies(ctx, &elb.DescribeSSLPoliciesInput{Names: []string{"ELBSecurityPolicy-TLS13-1-2-Res-2021-06"}})).SslPolicies
	if len(one) != 1 || fmt.Sprint(one[0].SslProtocols) != "[TLSv1.2 TLSv1.3]" || len(one[0].Ciphers) != 7 || *one[0].Ciphers[3].Name != "ECDHE-ECDSA-AES128-GCM-SHA256" || *one[0].Ciphers[3].Priority != 4 {
		t.Errorf("%+v", one)
	}
	application := must[*elb.DescribeSSLPoliciesOutput](t)(c.elb.DescribeSSLPolicies(ctx, &elb.DescribeSSLPoliciesInput{LoadBalancerType: "application"})).SslPolicies
	if len(application) != len(seen)-1 {
		t.Errorf("%d policies for application load balancers", len(application))
	}
	_, err := c.elb.DescribeSSLPolicies(ctx, &elb.DescribeSSLPoliciesInput{Names: []string{"ELBSecurityPolicy-None"}})
	wants(t, err, "SSLPolicyNotFound", "ELBSecurityPolicy-None")
}
