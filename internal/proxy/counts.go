package proxy

import (
	"errors"
	"maps"
	"sync/atomic"
)

// metric is something that is counted, under the name of its CloudWatch metric
// (ELB "CloudWatch metrics for your Application Load Balancer").
type metric int

// What load balancers count; target groups have a share of some.
const (
	requestCount       metric = iota
	targetResponseTime        // nanoseconds
	targetAnswers
	target2XX
	target3XX
	target4XX
	target5XX
	targetConnectionErrors
	targetTLSErrors
	elb3XX
	elb4XX
	elb5XX
	elb500
	elb502
	elb503
	elb504
	fixedResponses
	redirects
	longRedirects
	newConnections
	activeConnections
	processedBytes
	clientTLSErrors
	grpcRequests
	nonCompliantRequests
	authSuccess
	authFailure
	authError
	authRefresh
	authClaimsTooLarge
	metricCount
)

var metricNames = [metricCount]string{
	requestCount: "RequestCount", targetResponseTime: "TargetResponseTime_sum", targetAnswers: "TargetResponseTime_count",
	target2XX: "HTTPCode_Target_2XX_Count", target3XX: "HTTPCode_Target_3XX_Count", target4XX: "HTTPCode_Target_4XX_Count",
	target5XX: "HTTPCode_Target_5XX_Count", targetConnectionErrors: "TargetConnectionErrorCount", targetTLSErrors: "TargetTLSNegotiationErrorCount",
	elb3XX: "HTTPCode_ELB_3XX_Count", elb4XX: "HTTPCode_ELB_4XX_Count", elb5XX: "HTTPCode_ELB_5XX_Count", elb500: "HTTPCode_ELB_500_Count",
	elb502: "HTTPCode_ELB_502_Count", elb503: "HTTPCode_ELB_503_Count", elb504: "HTTPCode_ELB_504_Count",
	fixedResponses: "HTTP_Fixed_Response_Count", redirects: "HTTP_Redirect_Count", longRedirects: "HTTP_Redirect_Url_Limit_Exceeded_Count",
	newConnections: "NewConnectionCount", activeConnections: "ActiveConnectionCount", processedBytes: "ProcessedBytes",
	clientTLSErrors: "ClientTLSNegotiationErrorCount", grpcRequests: "GrpcRequestCount",
	nonCompliantRequests: "DesyncMitigationMode_NonCompliant_Request_Count", authSuccess: "ELBAuthSuccess", authFailure: "ELBAuthFailure",
	authError: "ELBAuthError", authRefresh: "ELBAuthRefreshTokenSuccess", authClaimsTooLarge: "ELBAuthUserClaimsSizeExceeded",
}

// lastGroupMetric is the last of those that target groups have too.
const lastGroupMetric = targetTLSErrors

// Measurement is a metric's value, since the load balancer or the target group was first configured.
type Measurement struct {
	Name         string         // of CloudWatch's, with _sum and _count for TargetResponseTime, whose sum is in seconds
	LoadBalancer LoadBalancerID // empty for what is of a target group
	TargetGroup  TargetGroupID
	Gauge        bool // it may go down
	Value        float64
}

type counts struct{ values [metricCount]atomic.Int64 }

func (c *counts) add(m metric, n int64) { c.values[m].Add(n) }

// status counts an answer by its class; first is the metric of 2XX answers, or of what would be it.
func (c *counts) status(first metric, status int) {
	if class := status / 100; class >= 2 && class <= 5 {
		c.add(first+metric(class-2), 1)
	}
}

// ownStatus counts an answer of the load balancer's own.
func (c *counts) ownStatus(status int) {
	if status >= 300 {
		c.status(elb3XX-1, min(status, 599))
	}
	switch status {
	case 500:
		c.add(elb500, 1)
	case 502:
		c.add(elb502, 1)
	case 503:
		c.add(elb503, 1)
	case 504:
		c.add(elb504, 1)
	case 507:
		c.add(longRedirects, 1)
	}
}

// connectionError counts a target that could not be reached.
func (c *counts) connectionError(t *target, err error) {
	kind := targetConnectionErrors
	var handshake handshakeError
	if errors.As(err, &handshake) {
		kind = targetTLSErrors
	}
	c.add(kind, 1)
	t.group.counts.add(kind, 1)
}

func (c *counts) measure(into []Measurement, last metric, of Measurement) []Measurement {
	for m := range last + 1 {
		one := of
		one.Name, one.Gauge, one.Value = metricNames[m], m == activeConnections, float64(c.values[m].Load())
		if m == targetResponseTime {
			one.Value /= 1e9
		}
		into = append(into, one)
	}
	return into
}

// Measurements are the metrics of all load balancers and target groups, with how many targets are healthy.
func (s *Server) Measurements() []Measurement {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Measurement
	for id, c := range s.counts {
		out = c.measure(out, metricCount-1, Measurement{LoadBalancer: id})
	}
	for id, c := range s.flowCounts {
		out = c.measure(out, id)
	}
	for id, g := range s.groups {
		of := Measurement{TargetGroup: id}
		out = g.counts.measure(out, lastGroupMetric, of)
		good, bad := 0, 0
		for _, t := range g.targets {
			switch t.health.state {
			case healthy:
				good++
			case unhealthy:
				bad++
			}
		}
		for name, n := range map[string]int{"HealthyHostCount": good, "UnHealthyHostCount": bad} {
			out = append(out, Measurement{Name: name, TargetGroup: id, Gauge: true, Value: float64(n)})
		}
	}
	return out
}

// Counts reports what a load balancer has counted, by the names of metrics; nothing for one that is not configured.
func (s *Server) Counts(id LoadBalancerID) map[string]int64 {
	s.mu.Lock()
	c := s.counts[id]
	s.mu.Unlock()
	out := map[string]int64{}
	for m := range metricCount {
		if c != nil {
			out[metricNames[m]] = c.values[m].Load()
		}
	}
	return out
}

// countsOf finds the counters of a load balancer. Server.mu is held.
func (s *Server) countsOf(id LoadBalancerID) *counts {
	c := s.counts[id]
	if c == nil {
		c = &counts{}
		s.counts[id] = c
	}
	return c
}

// forgetCounts drops those of load balancers that are configured no more. Server.mu is held.
func (s *Server) forgetCounts(config Config) {
	wanted := make(map[LoadBalancerID]bool, len(config.LoadBalancers))
	for i := range config.LoadBalancers {
		wanted[config.LoadBalancers[i].ID] = true
	}
	for id := range s.counts {
		if !wanted[id] {
			delete(s.counts, id)
		}
	}
	for i := range config.NetworkLoadBalancers {
		wanted[config.NetworkLoadBalancers[i].ID] = true
	}
	maps.DeleteFunc(s.flowCounts, func(id LoadBalancerID, _ *flowCounts) bool { return !wanted[id] })
}
