package localaws

import (
	"fmt"
	"maps"
	"reflect"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// RateLimit is a token bucket: it holds at most Burst tokens and gets Rate new ones a second.
type RateLimit struct {
	Rate  float64 `json:"rate"`
	Burst int     `json:"burst"`
}

// rateLimits are the limits AWS documents ("Request throttling for the ELB API", "Request throttling for the Amazon EC2
// API", "Throttling Amazon Route 53 API requests", "ACM quotas", "AWS WAF quotas"). A name in lower case is a bucket
// that several operations share, or in each (below) a class of operations that have one like it each; the name of an
// operation is its own.
var rateLimits = map[string]RateLimit{
	"elasticloadbalancing/account":              {10, 40},
	"elasticloadbalancing/resource-intensive":   {0.2, 10},
	"elasticloadbalancing/registration":         {4, 20},
	"elasticloadbalancing/non-mutating":         {10, 40},
	"elasticloadbalancing/mutating":             {3, 20},
	"elasticloadbalancing/trust-store-create":   {0.2, 10},
	"elasticloadbalancing/trust-store-mutate":   {0.2, 10},
	"elasticloadbalancing/trust-store-get":      {4, 20},
	"elasticloadbalancing/trust-store-describe": {10, 40},

	"ec2/non-mutating":       {20, 100},
	"ec2/unfiltered":         {10, 50},
	"ec2/mutating":           {5, 50},
	"ec2/resource-intensive": {5, 50},
	"ec2/uncategorized":      {10, 100},

	"route53/account":                    {10, 50},
	"route53/operation":                  {10, 50},
	"route53/CreateHostedZone":           {2, 40},
	"route53/AssociateVPCWithHostedZone": {5, 20},

	"acm/RequestCertificate":        {5, 5},
	"acm/DescribeCertificate":       {10, 10},
	"acm/ListCertificates":          {1, 1},
	"acm/ListTagsForCertificate":    {10, 10},
	"acm/DeleteCertificate":         {10, 10},
	"acm/GetCertificate":            {10, 10},
	"acm/ImportCertificate":         {1, 1},
	"acm/AddTagsToCertificate":      {5, 5},
	"acm/RemoveTagsFromCertificate": {5, 5},
	"acm/UpdateCertificateOptions":  {5, 5},

	"wafv2/association":                 {0.5, 1},
	"wafv2/GetWebACLForResource":        {1, 1},
	"waf-regional/association":          {0.5, 1},
	"waf-regional/GetWebACLForResource": {1, 1},
}

// RateLimits are AWS's limits, by the names of the buckets.
func RateLimits() map[string]RateLimit { return maps.Clone(rateLimits) }

// changedLimits keeps those that differ from AWS's.
func changedLimits(all map[string]RateLimit) map[string]RateLimit {
	var out map[string]RateLimit
	for name, l := range all {
		if have, ok := rateLimits[name]; !ok || have != l {
			if out == nil {
				out = map[string]RateLimit{}
			}
			out[name] = l
		}
	}
	return out
}

// checkBucket refuses a name that is neither a documented bucket nor an operation of a service that is throttled.
func (r *registry) checkBucket(name string) error {
	if _, ok := rateLimits[name]; ok {
		return nil
	}
	service, op, _ := strings.Cut(name, "/")
	if s := r.services[service]; s != nil && s.operations[op] != nil {
		return nil
	}
	return fmt.Errorf("localaws: buckets: there is no bucket %q; GET /_local/profile lists AWS's, and SERVICE/OPERATION is that of one operation", name)
}

// bucket is one that a call takes a token from: its name, and the name of its limit.
type bucket struct{ name, limit string }

// bucketsOf lists the buckets of a call; where AWS publishes no limit there is none.
func bucketsOf(service, operation string, in any) []bucket {
	shared := func(limit string) bucket { return bucket{service + "/" + limit, service + "/" + limit} }
	own := func(limit string) bucket { return bucket{service + "/" + operation, service + "/" + limit} }
	switch service {
	case "elasticloadbalancing":
		return []bucket{shared(elbCategory(operation)), shared("account")}
	case "ec2":
		category := ec2Category(operation, in)
		if category == "unfiltered" {
			return []bucket{{service + "/" + operation + "/" + category, service + "/" + category}} // a smaller one beside its own
		}
		return []bucket{own(category)}
	case "route53":
		return []bucket{own("operation"), shared("account")}
	case "wafv2", "waf-regional":
		if operation == "AssociateWebACL" || operation == "DisassociateWebACL" {
			return []bucket{shared("association")}
		}
	}
	return []bucket{shared(operation)}
}

// elbCategory is the bucket of an ELBv2 operation ("Request throttling for the ELB API").
func elbCategory(operation string) string {
	switch operation {
	case "CreateLoadBalancer", "SetSubnets":
		return "resource-intensive"
	case "RegisterTargets", "DeregisterTargets":
		return "registration"
	case "CreateTrustStore":
		return "trust-store-create"
	case "AddTrustStoreRevocations", "DeleteSharedTrustStoreAssociation", "DeleteTrustStore", "ModifyTrustStore", "RemoveTrustStoreRevocations":
		return "trust-store-mutate"
	case "GetResourcePolicy", "GetTrustStoreCaCertificatesBundle", "GetTrustStoreRevocationContent":
		return "trust-store-get"
	case "DescribeTrustStoreAssociations", "DescribeTrustStoreRevocations", "DescribeTrustStores":
		return "trust-store-describe"
	}
	if reads(operation) {
		return "non-mutating"
	}
	return "mutating"
}

// ec2Category is the class of an EC2 operation ("Request throttling for the Amazon EC2 API").
func ec2Category(operation string, in any) string {
	switch operation {
	case "DescribeInstances", "DescribeNetworkInterfaces", "DescribeSecurityGroups":
		if !narrowed(in) {
			return "unfiltered"
		}
		return "non-mutating"
	case "AuthorizeSecurityGroupIngress", "RevokeSecurityGroupIngress", "RunInstances", "TerminateInstances":
		return "resource-intensive"
	case "CreateTags", "DeleteTags":
		return "uncategorized"
	}
	if reads(operation) {
		return "non-mutating"
	}
	return "mutating"
}

// narrowed tells whether an EC2 call asks for certain things, or for a page of them.
func narrowed(in any) bool {
	v := reflect.ValueOf(in)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return false
	}
	for field, value := range v.Elem().Fields() {
		if (value.Kind() == reflect.Slice || field.Name == "MaxResults" || field.Name == "NextToken") && !value.IsZero() {
			return true
		}
	}
	return false
}

// throttle holds the buckets of an account. The zero value lets every call pass.
type throttle struct {
	mu      sync.Mutex
	on      bool
	limits  map[string]RateLimit // that differ from AWS's
	buckets map[string]*rate.Limiter
}

// set takes the limits of a profile and fills every bucket.
func (t *throttle) set(p Profile) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.on, t.limits, t.buckets = p.Throttling, p.Buckets, map[string]*rate.Limiter{}
}

// take takes one token from each bucket of a call, or none and says no.
func (t *throttle) take(now time.Time, buckets []bucket) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.on {
		return true
	}
	var taken []*rate.Reservation
	for _, b := range buckets {
		limiter := t.limiter(b)
		if limiter == nil {
			continue
		}
		r := limiter.ReserveN(now, 1)
		if !r.OK() || r.DelayFrom(now) > 0 {
			for _, back := range append(taken, r) {
				back.CancelAt(now)
			}
			return false
		}
		taken = append(taken, r)
	}
	return true
}

// limiter finds a bucket, or makes it full.
func (t *throttle) limiter(b bucket) *rate.Limiter {
	if l := t.buckets[b.name]; l != nil {
		return l
	}
	// What the profile says of the bucket, then of its class, goes before what AWS says.
	for _, limits := range []map[string]RateLimit{t.limits, rateLimits} {
		for _, name := range []string{b.name, b.limit} {
			if l, ok := limits[name]; ok {
				t.buckets[b.name] = rate.NewLimiter(rate.Limit(l.Rate), l.Burst)
				return t.buckets[b.name]
			}
		}
	}
	return nil
}
