package compile

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/sluicehq/sluice/internal/annot"
	"github.com/sluicehq/sluice/internal/lb"
)

// Limits of rules (ELB "Quotas for your Application Load Balancers" and "Condition types for listener rules").
const (
	maxRules          = 100 // per load balancer, not counting the listeners' defaults
	maxConditionValue = 128 // characters
)

// rules makes the rules of the Ingress, in order of priority: rules as written; within a rule Exact paths first, then
// Prefix paths from the longest to the shortest, then the rest.
func (c *compiler) rules(backends *backends, tags []lb.Tag) []lb.Rule {
	var out []lb.Rule
	for i, r := range c.ingress.Spec.Rules {
		if r.HTTP == nil {
			continue
		}
		at := fmt.Sprintf("spec.rules[%d]", i)
		if len(r.Host) > maxConditionValue {
			c.refuse(lb.Partial, lb.InvalidPath, at+".host", r.Host,
				fmt.Sprintf("is longer than the %d characters that a load balancer compares", maxConditionValue), "Use a shorter host name")
			continue
		}
		for _, p := range inOrder(r.HTTP.Paths) {
			field := fmt.Sprintf("%s.http.paths[%d]", at, p)
			path := &r.HTTP.Paths[p]
			conditions, ok := c.conditions(r.Host, path, field)
			if !ok {
				continue
			}
			parts, fit := split(conditions)
			if !fit {
				c.refuse(lb.Partial, lb.QuotaExceeded, field, "",
					fmt.Sprintf("has more conditions or wildcards than a rule can have (%d values, %d wildcards)", maxValues, maxWildcards),
					"Use fewer conditions")
				continue
			}
			rule := lb.Rule{Transforms: c.transforms(path), Action: c.guarded(backends.action(&path.Backend, field+".backend")), Tags: tags, From: c.self, Field: field}
			for _, rule.Conditions = range parts {
				out = append(out, rule)
			}
		}
	}
	return out
}

// inOrder returns the indices of paths in the order of their priority.
func inOrder(paths []networkingv1.HTTPIngressPath) []int {
	rank := func(i int) (group, length int) {
		switch pathType(paths[i]) {
		case networkingv1.PathTypeExact:
			return 0, 0
		case networkingv1.PathTypePrefix:
			return 1, len(paths[i].Path)
		default:
			return 2, 0
		}
	}
	indices := make([]int, len(paths))
	for i := range indices {
		indices[i] = i
	}
	slices.SortStableFunc(indices, func(a, b int) int {
		groupA, lengthA := rank(a)
		groupB, lengthB := rank(b)
		return cmp.Or(cmp.Compare(groupA, groupB), cmp.Compare(lengthB, lengthA))
	})
	return indices
}

func pathType(p networkingv1.HTTPIngressPath) networkingv1.PathType {
	if p.PathType == nil {
		return networkingv1.PathTypeImplementationSpecific
	}
	return *p.PathType
}

// conditions are those of the annotation of the path's Service, then host, then path; without any, every path matches.
func (c *compiler) conditions(host string, p *networkingv1.HTTPIngressPath, field string) ([]lb.Condition, bool) {
	hosts, paths := lb.Condition{Field: lb.HostHeader}, lb.Condition{Field: lb.PathPattern}
	var ok bool
	if paths.Values, paths.Regexes, ok = c.patterns(p, field); !ok {
		return nil, false
	}
	if host != "" {
		hosts.Values = []string{host}
	}
	var out []lb.Condition
	if p.Backend.Service != nil {
		more, verdicts := annot.ConditionsOf(c.ingress, p.Backend.Service.Name)
		c.verdicts = append(c.verdicts, verdicts...)
		hosts.Values, paths.Values, out = united(hosts.Values, more.Hosts), united(paths.Values, more.Paths), more.Other
		hosts.Regexes, paths.Regexes = united(hosts.Regexes, more.HostRegexes), united(paths.Regexes, more.PathRegexes)
		for _, condition := range []lb.Condition{hosts, paths} {
			if len(condition.Values) > 0 && len(condition.Regexes) > 0 {
				c.verdicts = append(c.verdicts, more.At.Verdict(lb.Refused, lb.InvalidAnnotation,
					fmt.Sprintf("adds to the rule at %s, so that its %s has both plain values and regular expressions", field, condition.Field),
					"Let all hosts, and all paths, of a rule be one or the other"))
				return nil, false
			}
		}
	}
	if len(out)+count(hosts)+count(paths) == 0 {
		paths.Values = []string{"/*"}
	}
	for _, condition := range []lb.Condition{hosts, paths} {
		if count(condition) > 0 {
			out = append(out, condition)
		}
	}
	return out, true
}

// transforms are those of the annotation of the path's Service.
func (c *compiler) transforms(p *networkingv1.HTTPIngressPath) []lb.Transform {
	if p.Backend.Service == nil {
		return nil
	}
	transforms, verdicts := annot.TransformsOf(c.ingress, p.Backend.Service.Name)
	c.verdicts = append(c.verdicts, verdicts...)
	return transforms
}

// united is both lists, each value once.
func united(a, b []string) []string {
	for _, value := range b {
		if !slices.Contains(a, value) {
			a = append(a, value)
		}
	}
	return a
}

// patterns are the ALB path patterns, or the regular expression, that a path stands for.
func (c *compiler) patterns(p *networkingv1.HTTPIngressPath, field string) (values, regexes []string, ok bool) {
	path, kind := p.Path, pathType(*p)
	wild := strings.ContainsAny(path, "*?")
	switch {
	case kind != networkingv1.PathTypeExact && kind != networkingv1.PathTypePrefix && kind != networkingv1.PathTypeImplementationSpecific:
		c.refuse(lb.Partial, lb.InvalidPath, field+".pathType", string(kind), "is no path type", "Use Exact, Prefix or ImplementationSpecific")
		return nil, nil, false
	case path == "":
		return nil, nil, true
	case kind == networkingv1.PathTypeImplementationSpecific && c.regexPaths:
		if problem := annot.CheckRegexPath(path[1:]); problem != "" {
			c.refuse(lb.Partial, lb.InvalidPath, field+".path", path, problem, "Change the path, or remove the annotation "+annot.Prefix+"use-regex-path-match")
			return nil, nil, false
		}
		return nil, []string{path[1:]}, true
	case wild && kind != networkingv1.PathTypeImplementationSpecific:
		c.refuse(lb.Partial, lb.InvalidPath, field+".path", path,
			fmt.Sprintf("has a wildcard (* or ?), which pathType %s cannot have", kind), "Use pathType ImplementationSpecific")
		return nil, nil, false
	}
	patterns := []string{path}
	if kind == networkingv1.PathTypePrefix {
		prefix := strings.TrimSuffix(path, "/")
		patterns = []string{prefix, prefix + "/*"}
		if path == "/" {
			patterns = []string{"/*"}
		}
	}
	for _, pattern := range patterns {
		if problem := badPattern(pattern); problem != "" {
			c.refuse(lb.Partial, lb.InvalidPath, field+".path", path, problem, "Change the path; see the ELB page on condition types for listener rules")
			return nil, nil, false
		}
	}
	return patterns, nil, true
}

// badPattern says what a load balancer would refuse about a path pattern.
func badPattern(pattern string) string {
	if len(pattern) > maxConditionValue {
		return fmt.Sprintf("is longer than the %d characters that a load balancer compares", maxConditionValue)
	}
	const allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.$/~\"'@:+&*?"
	if i := strings.IndexFunc(pattern, func(r rune) bool { return !strings.ContainsRune(allowed, r) }); i >= 0 {
		return fmt.Sprintf("has the character %q, which a path pattern cannot have", []rune(pattern[i:])[0])
	}
	return ""
}

// defaultAction is what the Ingress has a listener answer when no rule matches; nil when it does not say.
func (c *compiler) defaultAction(backends *backends) *lb.Action {
	if c.ingress.Spec.DefaultBackend == nil {
		return nil
	}
	action := c.guarded(backends.action(c.ingress.Spec.DefaultBackend, "spec.defaultBackend"))
	return &action
}
