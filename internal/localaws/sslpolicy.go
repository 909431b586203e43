package localaws

import (
	"slices"
	"strings"

	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/sluicehq/sluice/internal/localaws/wire"
)

// The ciphers of the security policies, in groups, by their OpenSSL names.
var (
	tls13Ciphers = []string{"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}
	gcmCiphers   = []string{
		"ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384",
	}
	cbcCiphers    = []string{"ECDHE-ECDSA-AES128-SHA256", "ECDHE-RSA-AES128-SHA256", "ECDHE-ECDSA-AES256-SHA384", "ECDHE-RSA-AES256-SHA384"}
	sha1Ciphers   = []string{"ECDHE-ECDSA-AES128-SHA", "ECDHE-RSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA", "ECDHE-RSA-AES256-SHA"}
	rsaCiphers    = []string{"AES128-GCM-SHA256", "AES128-SHA256", "AES256-GCM-SHA384", "AES256-SHA256"}
	oldRSACiphers = []string{"AES128-SHA", "AES256-SHA"}
	oldestCiphers = []string{"DES-CBC3-SHA"}
)

// sslPolicy is a security policy: the oldest and the newest protocol it has, as places in tlsVersions.
type sslPolicy struct {
	name     string
	from, to int
	ciphers  []string
}

var tlsVersions = []string{"TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"}

// sslPolicies are the policies whose ciphers are known exactly. AWS has others, for FIPS and RFC 9151.
var sslPolicies = func() []sslPolicy {
	secure := slices.Concat(gcmCiphers, cbcCiphers)
	forward := slices.Concat(secure, sha1Ciphers)
	every := slices.Concat(forward, rsaCiphers, oldRSACiphers)
	var out []sslPolicy
	add := func(from, to int, ciphers []string, names ...string) {
		for _, name := range names {
			out = append(out, sslPolicy{"ELBSecurityPolicy-" + name, from, to, ciphers})
		}
	}
	add(0, 2, every, "2016-08")
	add(3, 3, tls13Ciphers, "TLS13-1-3-2021-06", "TLS13-1-3-PQ-2025-09")
	add(2, 3, slices.Concat(tls13Ciphers, secure), "TLS13-1-2-2021-06", "TLS13-1-2-PQ-2025-09")
	add(2, 3, slices.Concat(tls13Ciphers, gcmCiphers), "TLS13-1-2-Res-2021-06", "TLS13-1-2-Res-PQ-2025-09")
	add(2, 3, slices.Concat(tls13Ciphers, secure, rsaCiphers), "TLS13-1-2-Ext1-2021-06", "TLS13-1-2-Ext1-PQ-2025-09")
	add(2, 3, slices.Concat(tls13Ciphers, every), "TLS13-1-2-Ext2-2021-06", "TLS13-1-2-Ext2-PQ-2025-09")
	add(1, 3, slices.Concat(tls13Ciphers, every), "TLS13-1-1-2021-06")
	add(0, 3, slices.Concat(tls13Ciphers, every), "TLS13-1-0-2021-06", "TLS13-1-0-PQ-2025-09")
	add(2, 2, gcmCiphers, "FS-1-2-Res-2020-10")
	add(2, 2, secure, "FS-1-2-Res-2019-08")
	add(2, 2, forward, "FS-1-2-2019-08")
	add(1, 2, forward, "FS-1-1-2019-08")
	add(0, 2, forward, "FS-2018-06")
	add(2, 2, every, "TLS-1-2-Ext-2018-06")
	add(2, 2, slices.Concat(secure, rsaCiphers), "TLS-1-2-2017-01")
	add(1, 2, every, "TLS-1-1-2017-01")
	add(0, 2, every, "2015-05")
	add(0, 2, slices.Concat(every, oldestCiphers), "TLS-1-0-2015-04")
	return out
}()

// balancerTypes are the load balancers that take a policy. The oldest ones are listed for Network Load Balancers only.
func (p sslPolicy) balancerTypes() []string {
	if p.name == "ELBSecurityPolicy-2015-05" {
		return []string{"network"}
	}
	return []string{"application", "network"}
}

func (p sslPolicy) wire() types.SslPolicy {
	out := types.SslPolicy{Name: &p.name, SslProtocols: tlsVersions[p.from : p.to+1], SupportedLoadBalancerTypes: p.balancerTypes()}
	for i, cipher := range p.ciphers {
		out.Ciphers = append(out.Ciphers, types.Cipher{Name: &cipher, Priority: ptr(int32(i + 1))}) //nolint:gosec // a short list
	}
	return out
}

func (x *tx) describeSSLPolicies(in *elb.DescribeSSLPoliciesInput) (*elb.DescribeSSLPoliciesOutput, error) {
	for _, name := range in.Names {
		if !slices.ContainsFunc(sslPolicies, func(p sslPolicy) bool { return p.name == name }) {
			return nil, wire.Errorf("SSLPolicyNotFound", "SSL policy '%s' not found", name)
		}
	}
	var all []item[sslPolicy]
	for i, p := range sslPolicies {
		if (len(in.Names) == 0 || slices.Contains(in.Names, p.name)) &&
			(in.LoadBalancerType == "" || slices.Contains(p.balancerTypes(), strings.ToLower(string(in.LoadBalancerType)))) {
			all = append(all, item[sslPolicy]{key: uint64(i + 1), value: p})
		}
	}
	found, next, err := pageELB(all, in.Marker, in.PageSize)
	if err != nil {
		return nil, err
	}
	out := &elb.DescribeSSLPoliciesOutput{SslPolicies: []types.SslPolicy{}, NextMarker: next}
	for _, p := range found {
		out.SslPolicies = append(out.SslPolicies, p.value.wire())
	}
	return out, nil
}
