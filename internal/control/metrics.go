package control

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicehq/sluice/internal/plan"
)

// metrics count passes. Calls of AWS are the engine's to count.
type metrics struct {
	passes  *prometheus.CounterVec
	seconds *prometheus.HistogramVec
	targets *prometheus.CounterVec
}

func newMetrics() metrics {
	return metrics{
		passes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_passes_total", Help: "Passes over stacks and over TargetGroupBindings, by how they ended.",
		}, []string{"of", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "sluice_pass_seconds", Help: "How long passes took.", Buckets: prometheus.ExponentialBuckets(0.001, 4, 10),
		}, []string{"of"}),
		targets: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_targets_total", Help: "Targets that were registered and deregistered.",
		}, []string{"verb"}),
	}
}

func (m metrics) register(r prometheus.Registerer) error {
	if r == nil {
		return nil
	}
	return errors.Join(r.Register(m.passes), r.Register(m.seconds), r.Register(m.targets))
}

func (m metrics) pass(of string, status plan.Status, seconds float64) {
	m.passes.WithLabelValues(of, string(status)).Inc()
	m.seconds.WithLabelValues(of).Observe(seconds)
}
