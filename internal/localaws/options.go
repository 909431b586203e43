package localaws

import (
	"io"
	"log/slog"
	"net/netip"
	"path/filepath"
	"time"

	"github.com/sluicehq/sluice/internal/proxy"
)

// DataPlane carries the traffic. Apply takes the whole wanted state; applying the same twice changes nothing, and an
// error means that the state before is still in force as far as possible. Health lists the targets of a group, draining
// ones included; a group it does not know has none. Neither is called after Close.
type DataPlane interface {
	Apply(proxy.Config) error
	Health(proxy.TargetGroupID) []proxy.TargetHealth
	Close()
}

// Options say what kind of AWS this is. The zero value is one in memory, in the default region, with the real proxy and
// no DNS server.
type Options struct {
	Region    string // ap-northeast-1 when neither this nor the seed says
	AccountID string // 123456789012 when neither this nor the seed says
	DataDir   string // where the state is kept; empty keeps it in memory only
	Seed      *Seed  // what exists from the start
	// Buckets is a folder that stands for S3: each bucket is a folder in it, each object a file in that. It is the folder
	// buckets in DataDir when empty, and without that there are none.
	Buckets string

	Keys map[string]string // secrets by access key id: requests must be signed with one. Nil checks no signatures

	DNSAddress string // host:port of the DNS server; empty opens none
	Logger     *slog.Logger

	DataPlane   DataPlane    // internal/proxy when nil
	AddressPool netip.Prefix // load balancers get their addresses from here; 127.64.0.0/16 when zero

	Profile Profile // how true to AWS's tempo it begins; SetProfile changes it
	Quotas  map[string]int

	Now       func() time.Time                                   // time.Now when nil
	AfterFunc func(d time.Duration, f func()) (stop func() bool) // time.AfterFunc when nil
	Random    io.Reader                                          // where identifiers come from; crypto/rand when nil
}

func (o *Options) buckets() buckets {
	if o.Buckets == "" && o.DataDir != "" {
		return buckets(filepath.Join(o.DataDir, "buckets"))
	}
	return buckets(o.Buckets)
}

// The values of options that are not given.
const (
	fallbackRegion  = "ap-northeast-1"
	fallbackAccount = "123456789012"
	fallbackPool    = "127.64.0.0/16"
)

// quotas are the documented defaults, under the names DescribeAccountLimits gives them; those that it has no name for
// begin with "sluice/".
var quotas = map[string]int{
	"application-load-balancers":                              50,
	"network-load-balancers":                                  50,
	"gateway-load-balancers":                                  100,
	"gateway-load-balancers-per-vpc":                          10,
	"target-groups":                                           3000,
	"geneve-target-groups":                                    100,
	"listeners-per-application-load-balancer":                 50,
	"listeners-per-network-load-balancer":                     50,
	"rules-per-application-load-balancer":                     100,
	"condition-values-per-alb-rule":                           5,
	"condition-wildcards-per-alb-rule":                        6,
	"target-groups-per-application-load-balancer":             100,
	"target-groups-per-action-on-application-load-balancer":   5,
	"target-groups-per-action-on-network-load-balancer":       5,
	"targets-per-application-load-balancer":                   1000,
	"targets-per-network-load-balancer":                       3000,
	"targets-per-availability-zone-per-network-load-balancer": 500,
	"targets-per-availability-zone-per-gateway-load-balancer": 300,
	"sluice/certificates-per-application-load-balancer":       25,
	"sluice/verifying-listeners-per-load-balancer":            2,
	"sluice/trust-stores":                                     20,
	"sluice/certificates-per-trust-store":                     25,
	"sluice/revocation-files-per-trust-store":                 30,
	"sluice/revoked-entries-per-trust-store":                  500_000,
	"sluice/targets-per-target-group":                         1000,
	"sluice/security-groups-per-network-interface":            5,
	"sluice/rules-per-security-group":                         60,
	"sluice/security-groups":                                  2500,
	"sluice/elastic-ips":                                      5,
	"sluice/tags-per-resource":                                50,
	"sluice/certificates":                                     2500,
	"sluice/names-per-certificate":                            10,
	"sluice/server-certificates":                              20,
	"sluice/web-acls":                                         100,
	"sluice/shield-protections":                               1000,
	"sluice/accelerators":                                     20,
	"sluice/listeners-per-accelerator":                        10,
	"sluice/endpoints-per-endpoint-group":                     10,
	"sluice/user-pools":                                       1000,
	"sluice/hosted-zones":                                     500,
	"sluice/record-sets-per-zone":                             10_000,
	"sluice/vpcs-per-zone":                                    300,
}
