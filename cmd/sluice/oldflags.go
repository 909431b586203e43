package main

import (
	"log/slog"
	"slices"

	"github.com/spf13/pflag"
)

// oldFlag is a flag of the AWS Load Balancer Controller that is accepted, so that existing arguments work, and that
// changes nothing.
type oldFlag struct {
	name    string
	because string
}

// oldSwitches are those of the old flags that may be given without a value.
var oldSwitches = []string{
	"disable-ingress-class-annotation", "disable-ingress-group-name-annotation",
	"enable-endpoint-slices", "enable-pod-readiness-gate-inject",
}

// oldFlags are those flags. The help does not list them; setting one is logged with the reason.
var oldFlags = []oldFlag{
	{"alb-gateway-max-concurrent-reconciles", "Gateways are not served by this version"},
	{"aws-vpc-tag-key", "the AWS Load Balancer Controller ignores it too; use --aws-vpc-tags"},
	{"default-pca-arn", "certificates are not requested by this version"},
	{"disable-ingress-class-annotation", "there is no admission webhook in this version"},
	{"disable-ingress-group-name-annotation", "there is no admission webhook in this version"},
	{"enable-endpoint-slices", "endpoints are always read from EndpointSlices"},
	{"enable-pod-readiness-gate-inject", "readiness gates are not injected by this version"},
	{"gateway-class-max-concurrent-reconciles", "Gateways are not served by this version"},
	{"globalaccelerator-max-concurrent-reconciles", "accelerators are not served by this version"},
	{"globalaccelerator-max-exponential-backoff-delay", "accelerators are not served by this version"},
	{"kube-ca-pem-filepath", "there is no admission webhook in this version"},
	{"lb-stabilization-monitor-interval", "a load balancer that is being provisioned is looked at as often as it pays"},
	{"nlb-gateway-max-concurrent-reconciles", "Gateways are not served by this version"},
	{"quic-environment-variable-name", "QUIC server ids are not injected by this version"},
	{"required-secrets-label", "no Secret is read by this version"},
	{"service-max-concurrent-reconciles", "--ingress-max-concurrent-reconciles is for the load balancers of Services too"},
	{"targetgroupbinding-max-exponential-backoff-delay", "the pause after an error is at most five minutes"},
	{"targetgroupbinding-requeue-duration", "health is asked for as often as a readiness gate needs it"},
	{"webhook-bind-port", "there is no admission webhook in this version"},
	{"webhook-cert-dir", "there is no admission webhook in this version"},
	{"webhook-cert-file", "there is no admission webhook in this version"},
	{"webhook-key-file", "there is no admission webhook in this version"},
}

// addOldFlags has the flags accepted with any value.
func addOldFlags(flags *pflag.FlagSet) {
	for _, o := range oldFlags {
		flags.String(o.name, "", "")
		flag := flags.Lookup(o.name)
		if slices.Contains(oldSwitches, o.name) {
			flag.NoOptDefVal = "true"
		}
		flag.Hidden = true
	}
}

// oldFlagNotices tells of flags that were set and change nothing.
func oldFlagNotices(flags *pflag.FlagSet, logger *slog.Logger) {
	for _, o := range oldFlags {
		if flag := flags.Lookup(o.name); flag != nil && flag.Changed {
			logger.Warn("a flag has no effect", "flag", "--"+o.name, "because", o.because)
		}
	}
}
