package proxy

import (
	"errors"
	"net"
	"sync/atomic"
	"syscall"
)

// flowKind is a protocol as the metrics of Network Load Balancers tell them apart.
type flowKind int

const (
	tcpFlows flowKind = iota
	tlsFlows
	udpFlows
	quicFlows
	flowKinds
)

var flowKindNames = [flowKinds]string{"TCP", "TLS", "UDP", "QUIC"}

// kind is that of the listener's flows over a network.
func (f *nodeFront) kind(network string) flowKind {
	switch {
	case f.tls != nil:
		return tlsFlows
	case network == "tcp":
		return tcpFlows
	case f.protocol == NetworkQUIC || f.protocol == NetworkTCPQUIC:
		return quicFlows
	}
	return udpFlows
}

// flowMetric is what is counted of flows of every kind alike.
type flowMetric int

const (
	clientResets flowMetric = iota
	ownResets
	targetResets
	unhealthyRouting
	portTrouble
	rejectedFlows
	flowClientTLSErrors
	flowTargetTLSErrors
	flowMetrics
)

var flowMetricNames = [flowMetrics]string{
	clientResets: "TCP_Client_Reset_Count", ownResets: "TCP_ELB_Reset_Count", targetResets: "TCP_Target_Reset_Count",
	unhealthyRouting: "UnhealthyRoutingFlowCount", portTrouble: "PortAllocationErrorCount", rejectedFlows: "RejectedFlowCount",
	flowClientTLSErrors: "ClientTLSNegotiationErrorCount", flowTargetTLSErrors: "TargetTLSNegotiationErrorCount",
}

// flowCounts are what a Network Load Balancer counts, under the names of its CloudWatch metrics (NLB "CloudWatch metrics
// for your Network Load Balancer").
type flowCounts struct {
	begun, active, bytes [flowKinds]atomic.Int64
	values               [flowMetrics]atomic.Int64
}

func (c *flowCounts) add(m flowMetric) { c.values[m].Add(1) }

// begins counts a flow until the returned function is called.
func (c *flowCounts) begins(kind flowKind) (ends func()) {
	c.begun[kind].Add(1)
	c.active[kind].Add(1)
	return func() { c.active[kind].Add(-1) }
}

// measure lists the metrics, those of each kind and of all kinds.
func (c *flowCounts) measure(into []Measurement, id LoadBalancerID) []Measurement {
	one := func(name string, gauge bool, value int64) {
		into = append(into, Measurement{Name: name, LoadBalancer: id, Gauge: gauge, Value: float64(value)})
	}
	for name, values := range map[string]*[flowKinds]atomic.Int64{
		"NewFlowCount": &c.begun, "ActiveFlowCount": &c.active, "ProcessedBytes": &c.bytes,
	} {
		var sum int64
		for kind := range flowKinds {
			n := values[kind].Load()
			sum += n
			one(name+"_"+flowKindNames[kind], name == "ActiveFlowCount", n)
		}
		one(name, name == "ActiveFlowCount", sum)
	}
	for m := range flowMetrics {
		one(flowMetricNames[m], false, c.values[m].Load())
	}
	return into
}

// flowCountsOf finds the counters of a Network Load Balancer. Server.mu is held.
func (s *Server) flowCountsOf(id LoadBalancerID) *flowCounts {
	c := s.flowCounts[id]
	if c == nil {
		c = &flowCounts{}
		s.flowCounts[id] = c
	}
	return c
}

// failed counts why a direction of a flow ended before its end: one of its sides reset it, or the load balancer has.
func (f *flow) failed(side *leg, err error) {
	switch reset := errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE); {
	case errors.Is(err, net.ErrClosed): // counted by who closed it
	case reset && side == f.client:
		f.front.counts.add(clientResets)
	case reset:
		f.front.counts.add(targetResets)
	}
}
