// Package localawstest starts local AWS inside a Go test.
//
// By default it opens no socket but the API's: the data plane is a fake that calls every target healthy until it is
// told otherwise. WithProxy puts the real one in its place.
package localawstest

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/sluicehq/sluice/internal/localaws"
)

// Local is a running local AWS and how to reach it.
type Local struct {
	*localaws.Server
	Endpoint string
	Config   aws.Config // for the SDK's clients. It does not retry, so that a test sees each failure
	Plane    *Plane     // nil with WithProxy
}

// Option changes what Start starts.
type Option func(*settings)

type settings struct {
	options localaws.Options
	proxy   bool
}

// WithProxy serves traffic for real, each Local on loopback addresses of its own.
func WithProxy() Option { return func(s *settings) { s.proxy = true } }

// WithOptions changes any option of the server.
func WithOptions(change func(*localaws.Options)) Option {
	return func(s *settings) { change(&s.options) }
}

// Start starts a local AWS with the standard seed, until the test ends.
func Start(t testing.TB, options ...Option) *Local {
	t.Helper()
	l := &Local{Plane: NewPlane()}
	s := settings{options: localaws.Options{Seed: Standard(), DataPlane: l.Plane}}
	for _, o := range options {
		o(&s)
	}
	if s.proxy {
		l.Plane, s.options.DataPlane = nil, nil
		if !s.options.AddressPool.IsValid() {
			s.options.AddressPool = Pool()
		}
	}
	server, err := localaws.New(s.options)
	if err != nil {
		t.Fatal(err)
	}
	api := httptest.NewServer(server.Handler())
	t.Cleanup(func() {
		api.Close()
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	l.Server, l.Endpoint = server, api.URL
	server.SetEndpoint(api.URL)
	l.Config = Config(api.URL, server.Region())
	return l
}

// Config is an SDK configuration for an endpoint.
func Config(endpoint, region string) aws.Config {
	return aws.Config{
		Region: region, BaseEndpoint: aws.String(endpoint),
		Credentials: credentials.NewStaticCredentialsProvider("local", "local", ""),
		Retryer:     func() aws.Retryer { return aws.NopRetryer{} },
		HTTPClient:  wholeBody{&http.Client{Transport: http.DefaultTransport.(*http.Transport).Clone()}},
	}
}

// wholeBody gives net/http request bodies that it knows to be in memory. With the SDK's own body, a server that answers
// as fast as one in the same process can be overtaken: net/http sends the body before it has seen its end, the SDK closes
// the body as soon as the answer's head is there, and net/http takes that for a failed request and drops the connection
// while the rest of the answer is on its way (seen with smithy-go v1.28.8, about one long answer in a thousand).
type wholeBody struct{ client *http.Client }

func (w wholeBody) Do(r *http.Request) (*http.Response, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return w.client.Do(r)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r = r.Clone(r.Context())
	r.Body = io.NopCloser(bytes.NewReader(body))
	return w.client.Do(r)
}

var pools atomic.Uint32

// Pool is a range of loopback addresses that no other Local has, in this process or, most likely, in another.
func Pool() netip.Prefix {
	n := uint32(os.Getpid())*37 + pools.Add(1)
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{127, byte(65 + n/256%60), byte(n), 0}), 24)
}

// Region and the identifiers of the standard seed. Zones, PublicSubnets, PrivateSubnets and Instances go together.
const (
	Region    = "ap-northeast-1"
	AccountID = "123456789012"
	Cluster   = "lab"
	VPC       = "vpc-0a000000000000001"
	NodeGroup = "sg-0a000000000000001" // the security group of the instances
)

// The zones of the standard seed and what is in each of them.
var (
	Zones          = [3]string{"ap-northeast-1a", "ap-northeast-1c", "ap-northeast-1d"}
	PublicSubnets  = [3]string{"subnet-0a00000000000000a", "subnet-0a00000000000000c", "subnet-0a00000000000000d"}
	PrivateSubnets = [3]string{"subnet-0b00000000000000a", "subnet-0b00000000000000c", "subnet-0b00000000000000d"}
	Instances      = [3]string{"i-0a00000000000000a", "i-0a00000000000000c", "i-0a00000000000000d"}
	Addresses      = [3]string{"192.168.96.10", "192.168.128.10", "192.168.160.10"} // of the instances
)

// Standard is a VPC as eksctl makes it: three zones with a public and a private subnet each, and a node in each zone with
// a /24 for its pods.
func Standard() *localaws.Seed {
	owned := "kubernetes.io/cluster/" + Cluster
	s := &localaws.Seed{
		Region: Region, AccountID: AccountID, Zones: Zones[:],
		VPCs:             []localaws.SeedVPC{{ID: VPC, CIDR: "192.168.0.0/16", Tags: map[string]string{"Name": "eksctl-lab-cluster/VPC"}}},
		InternetGateways: []localaws.SeedInternetGateway{{ID: "igw-0a000000000000001", VPC: VPC}},
		SecurityGroups: []localaws.SeedSecurityGroup{{
			ID: NodeGroup, VPC: VPC, Name: "eksctl-lab-nodes", Description: "nodes of the lab", Tags: map[string]string{owned: "owned"},
		}},
	}
	for i, zone := range Zones {
		s.Subnets = append(s.Subnets,
			localaws.SeedSubnet{
				ID: PublicSubnets[i], VPC: VPC, Zone: zone, CIDR: fmt.Sprintf("192.168.%d.0/19", 32*i), Public: true,
				Tags: map[string]string{"Name": "public-" + zone, "kubernetes.io/role/elb": "1", owned: "shared"},
			},
			localaws.SeedSubnet{
				ID: PrivateSubnets[i], VPC: VPC, Zone: zone, CIDR: fmt.Sprintf("192.168.%d.0/19", 96+32*i),
				Tags: map[string]string{"Name": "private-" + zone, "kubernetes.io/role/internal-elb": "1", owned: "shared"},
			})
		s.Instances = append(s.Instances, localaws.SeedInstance{
			ID: Instances[i], Subnet: PrivateSubnets[i], PrivateIP: Addresses[i], Type: "m5.large",
			SecurityGroups: []string{NodeGroup}, NetworkInterface: fmt.Sprintf("eni-0a00000000000000%d", i+1),
			Prefixes: []string{fmt.Sprintf("192.168.%d.0/24", 97+32*i)},
			Tags:     map[string]string{"Name": "lab-standard-workers-Node", owned: "owned"},
		})
	}
	return s
}
