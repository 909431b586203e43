// Package proxy is the data plane behind local AWS: Application Load Balancer semantics over real sockets.
//
// In goes a Config, the whole wanted state: load balancers with their addresses, listeners, rules, target groups and
// targets. Out come open listeners that carry traffic, health checks that probe, and each target's health. Requests are
// never lost by a change of configuration: in-flight requests finish under the rules they started with, and a target
// that is taken away drains.
//
// The package knows nothing of the AWS wire protocols, of Kubernetes or of the controller. What the semantics are is
// written down by the AWS documents named beside the code.
package proxy
