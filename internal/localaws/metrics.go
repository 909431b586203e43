package localaws

import (
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/sluicehq/sluice/internal/proxy"
)

// measured is a data plane that counts.
type measured interface{ Measurements() []proxy.Measurement }

// collector shows Prometheus what load balancers count, under the names of CloudWatch's metrics and with its dimensions.
type collector struct{ plane measured }

// Describe says nothing ahead: what there is depends on the load balancers.
func (collector) Describe(chan<- *prometheus.Desc) {}

// Collect reads all metrics.
func (c collector) Collect(into chan<- prometheus.Metric) {
	for _, m := range c.plane.Measurements() {
		label, value := "LoadBalancer", loadBalancerName(string(m.LoadBalancer))
		if m.TargetGroup != "" {
			label, value = "TargetGroup", arnResource(string(m.TargetGroup))
		}
		if strings.HasPrefix(value, "net/") && m.Name != "ClientTLSNegotiationErrorCount" {
			continue // Network Load Balancers count flows, which is not done here
		}
		kind := prometheus.CounterValue
		if m.Gauge {
			kind = prometheus.GaugeValue
		}
		desc := prometheus.NewDesc(m.Name, metricHelp(m.Name), []string{label}, nil)
		into <- prometheus.MustNewConstMetric(desc, kind, m.Value, value)
	}
}

func metricHelp(name string) string {
	base, _, _ := strings.Cut(name, "_sum")
	base, _, _ = strings.Cut(base, "_count")
	return "As the CloudWatch metric " + base + " of load balancers."
}

// metrics answers Prometheus.
func (s *Server) metrics() http.Handler {
	plane, ok := s.plane.(measured)
	if !ok {
		return http.NotFoundHandler()
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collector{plane})
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
}
