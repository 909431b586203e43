package compile

import (
	"fmt"
	"slices"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/sluicehq/sluice/internal/annot"
	"github.com/sluicehq/sluice/internal/kube"
	"github.com/sluicehq/sluice/internal/lb"
)

// Forms are what the members of a stack added to it when they were last good, by member. They are values to keep and to
// give back, not to look into.
type Forms map[lb.Object]Form

// Form is what one member adds to its stack.
type Form struct {
	settings annot.Ingress
	rules    []lb.Rule  // in order, without priorities; the same on all of the member's ports
	fallback *lb.Action // nil when the member has no default backend
	groups   []lb.TargetGroup
	bindings []lb.Binding
}

// compiler carries one member's input and collects its verdicts.
type compiler struct {
	objects  *kube.Objects
	options  Options
	ingress  *networkingv1.Ingress
	params   *classParams
	self     lb.Object
	verdicts []lb.Verdict

	tokens     *lb.Tokens // what requests on HTTPS ports need
	regexPaths bool       // paths of type ImplementationSpecific are regular expressions
}

// form is what the member adds to a stack.
func (c *compiler) form(id lb.StackID) Form {
	settings, verdicts := annot.IngressSettings(c.ingress, c.params, c.defaults())
	c.verdicts = append(c.verdicts, verdicts...)
	c.regexPaths, verdicts = annot.RegexPaths(c.ingress)
	c.verdicts = append(c.verdicts, verdicts...)
	c.readTokens(settings)
	c.checkFeatures(&settings)
	c.checkAddOns(&settings)
	backends := c.backends(id)
	f := Form{settings: settings, rules: c.rules(backends, settings.Tags), fallback: c.defaultAction(backends)}
	f.groups, f.bindings = backends.groups()
	return f
}

func (c *compiler) defaults() annot.Defaults {
	return annot.Defaults{TargetType: c.options.DefaultTargetType, Tags: c.options.DefaultTags}
}

// checkFeatures refuses what the engine cannot do. A listener that it cannot open costs that listener, as long as
// another one is left.
func (c *compiler) checkFeatures(settings *annot.Ingress) {
	if kind := settings.IPAddressType; kind.Or(lb.IPv4) != lb.IPv4 && !c.options.Features.Has(lb.DualStackFeature) {
		c.refuse(lb.Refused, lb.UnsupportedByEngine, "metadata.annotations["+annot.Prefix+"ip-address-type]", string(kind.Value),
			"the engine has no "+string(lb.DualStackFeature), "Use ipv4")
	}
	if manage := settings.ManageBackend; manage.Value && settings.SecurityGroups.Set() && c.options.NoBackendSecurityGroup {
		c.verdicts = append(c.verdicts, manage.At.Verdict(lb.Refused, lb.InvalidAnnotation,
			"needs the backend security group, and the controller runs without", "Remove it, or run the controller with --enable-backend-security-group"))
	}
	if c.options.Features.Has(lb.HTTPSListeners) {
		return
	}
	left := slices.DeleteFunc(slices.Clone(settings.Listen), func(l annot.Listen) bool { return l.Protocol == lb.HTTPS })
	severity := lb.Partial
	if len(left) == 0 {
		severity = lb.Refused
	}
	for _, l := range settings.Listen {
		if l.Protocol == lb.HTTPS {
			c.refuse(severity, lb.UnsupportedByEngine, settings.ListenField, fmt.Sprintf("HTTPS %d", l.Port),
				"the engine has no "+string(lb.HTTPSListeners), "Listen with HTTP")
		}
	}
	settings.Listen = left
}

func (c *compiler) refuse(severity lb.Severity, reason lb.Reason, field, value, problem, fix string) {
	c.verdicts = append(c.verdicts, lb.Verdict{
		Object: c.self, Severity: severity, Reason: reason, Field: field, Value: value, Problem: problem, Fix: fix,
	})
}

func refused(v lb.Verdict) bool { return v.Severity == lb.Refused }
