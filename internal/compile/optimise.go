package compile

import (
	"slices"
	"strconv"

	"github.com/sluicehq/sluice/internal/lb"
)

// idle says whether a rule would do nothing but harm on a listener: it redirects to where the request came from, or a
// redirect that stands before it takes all of its requests. People rely on it: one Ingress that redirects to HTTPS may
// listen on both ports.
func idle(r lb.Rule, l lb.Listener) bool {
	return loops(r, l) || slices.ContainsFunc(l.Rules, func(earlier lb.Rule) bool { return shadows(earlier, r) })
}

// loops says whether everything that a redirect sets is as in the request that it redirects.
func loops(r lb.Rule, l lb.Listener) bool {
	to := r.Action.Redirect
	likePaths := slices.ContainsFunc(r.Conditions, func(c lb.Condition) bool { return c.Field == lb.PathPattern && len(c.Regexes) > 0 })
	if to == nil || likePaths {
		return false // what a regular expression matches cannot be told
	}
	as := func(part string, same ...string) bool { return part == "" || slices.Contains(same, part) }
	return as(to.Protocol, "#{protocol}", string(l.Protocol)) &&
		as(to.Port, "#{port}", strconv.Itoa(int(l.Port))) &&
		as(to.Host, append(valuesOf(r, lb.HostHeader), "#{host}")...) &&
		as(to.Path, append(valuesOf(r, lb.PathPattern), "/#{path}")...) &&
		as(to.Query, "#{query}")
}

// shadows says whether an earlier redirect takes every request that the later rule would.
func shadows(earlier, later lb.Rule) bool {
	if earlier.Action.Redirect == nil || slices.ContainsFunc(earlier.Conditions, func(c lb.Condition) bool {
		return c.Field != lb.HostHeader && c.Field != lb.PathPattern
	}) {
		return false
	}
	covers := func(wide, narrow []string) bool {
		return len(wide) == 0 || len(narrow) > 0 && !slices.ContainsFunc(narrow, func(v string) bool { return !slices.Contains(wide, v) })
	}
	paths := valuesOf(earlier, lb.PathPattern)
	return covers(valuesOf(earlier, lb.HostHeader), valuesOf(later, lb.HostHeader)) &&
		(slices.Contains(paths, "/*") || covers(paths, valuesOf(later, lb.PathPattern)))
}

func valuesOf(r lb.Rule, field lb.ConditionField) []string {
	for _, c := range r.Conditions {
		if c.Field == field {
			values := slices.Clone(c.Values)
			for _, regex := range c.Regexes {
				values = append(values, "like "+regex) // equal only to itself
			}
			return values
		}
	}
	return nil
}
