package localaws

import (
	"net/netip"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/sluicehq/sluice/internal/proxy"
)

var (
	hostValue   = regexp.MustCompile(`^[a-zA-Z0-9.*?_-]+$`)
	pathValue   = regexp.MustCompile(`^[a-zA-Z0-9_\-.$/~"'@:+&*?]+$`)
	headerName  = regexp.MustCompile("^[a-zA-Z0-9!#$%&'*+.^_`|~-]{1,40}$")
	methodValue = regexp.MustCompile(`^[A-Z_-]{1,40}$`)
)

// maxValue is the length of one value to match.
const maxValue = 128

// normalConditions checks the conditions of a rule and returns them as Describe shows them.
func (x *tx) normalConditions(conditions []types.RuleCondition) ([]types.RuleCondition, error) {
	if len(conditions) == 0 {
		return nil, invalid("A condition must be specified")
	}
	out := make([]types.RuleCondition, len(conditions))
	seen := map[string]bool{}
	values, wildcards := 0, 0
	for i, c := range conditions {
		field := val(c.Field)
		n, err := normalCondition(c)
		if err != nil {
			return nil, err
		}
		if seen[field] && field != "http-header" && field != "query-string" {
			return nil, invalid("A rule can have only one condition of field '%s'", field)
		}
		seen[field] = true
		out[i] = n
		found := valuesOf(n)
		values += len(found) + len(regexesOf(n))
		for _, v := range found {
			if field != "source-ip" && field != "http-request-method" {
				wildcards += strings.Count(v, "*") + strings.Count(v, "?")
			}
		}
	}
	if limit := x.quota["condition-values-per-alb-rule"]; values > limit {
		return nil, invalid("A rule can have at most '%d' condition values, and this one has %d", limit, values)
	}
	if limit := x.quota["condition-wildcards-per-alb-rule"]; wildcards > limit {
		return nil, conflicting("A rule can have at most '%d' wildcards, and this one has %d", limit, wildcards)
	}
	return out, nil
}

// valuesOf lists what a condition compares with; a query-string pair counts once.
func valuesOf(c types.RuleCondition) []string {
	switch {
	case c.HostHeaderConfig != nil:
		return c.HostHeaderConfig.Values
	case c.PathPatternConfig != nil:
		return c.PathPatternConfig.Values
	case c.HttpHeaderConfig != nil:
		return c.HttpHeaderConfig.Values
	case c.HttpRequestMethodConfig != nil:
		return c.HttpRequestMethodConfig.Values
	case c.SourceIpConfig != nil:
		return c.SourceIpConfig.Values
	case c.QueryStringConfig != nil:
		var out []string
		for _, p := range c.QueryStringConfig.Values {
			out = append(out, val(p.Key)+val(p.Value))
		}
		return out
	}
	return nil
}

// regexesOf lists the regular expressions that a condition looks for.
func regexesOf(c types.RuleCondition) []string {
	switch {
	case c.HostHeaderConfig != nil:
		return c.HostHeaderConfig.RegexValues
	case c.PathPatternConfig != nil:
		return c.PathPatternConfig.RegexValues
	case c.HttpHeaderConfig != nil:
		return c.HttpHeaderConfig.RegexValues
	}
	return nil
}

func normalCondition(c types.RuleCondition) (types.RuleCondition, error) {
	field := val(c.Field)
	n := types.RuleCondition{Field: &field}
	configs := 0
	for _, set := range []bool{
		c.HostHeaderConfig != nil, c.PathPatternConfig != nil, c.HttpHeaderConfig != nil, c.HttpRequestMethodConfig != nil,
		c.QueryStringConfig != nil, c.SourceIpConfig != nil, len(c.Values)+len(c.RegexValues) > 0,
	} {
		if set {
			configs++
		}
	}
	if configs != 1 {
		return n, invalid("A condition of field '%s' must specify exactly one of its configuration and its values", field)
	}
	mismatch := invalid("The configuration of the condition does not belong to the field '%s'", field)
	switch field {
	case "host-header":
		if n.Values, n.RegexValues = c.Values, c.RegexValues; c.HostHeaderConfig != nil {
			n.Values, n.RegexValues = c.HostHeaderConfig.Values, c.HostHeaderConfig.RegexValues
		} else if configured(c) {
			return n, mismatch
		}
		n.HostHeaderConfig = &types.HostHeaderConditionConfig{Values: n.Values, RegexValues: n.RegexValues}
	case "path-pattern":
		if n.Values, n.RegexValues = c.Values, c.RegexValues; c.PathPatternConfig != nil {
			n.Values, n.RegexValues = c.PathPatternConfig.Values, c.PathPatternConfig.RegexValues
		} else if configured(c) {
			return n, mismatch
		}
		n.PathPatternConfig = &types.PathPatternConditionConfig{Values: n.Values, RegexValues: n.RegexValues}
	case "http-header":
		if n.HttpHeaderConfig = c.HttpHeaderConfig; n.HttpHeaderConfig == nil {
			return n, mismatch
		}
	case "http-request-method":
		if n.HttpRequestMethodConfig = c.HttpRequestMethodConfig; n.HttpRequestMethodConfig == nil {
			return n, mismatch
		}
	case "query-string":
		if n.QueryStringConfig = c.QueryStringConfig; n.QueryStringConfig == nil {
			return n, mismatch
		}
	case "source-ip":
		if n.SourceIpConfig = c.SourceIpConfig; n.SourceIpConfig == nil {
			return n, mismatch
		}
		if n.SourceIpConfig.IpAddressType != "" {
			return n, conflicting("IpAddressType is not supported in source-ip conditions of Application Load Balancers")
		}
	default:
		return n, invalid("Condition field '%s' must be one of '[http-header, http-request-method, host-header, path-pattern, "+
			"query-string, source-ip]'", field)
	}
	return n, checkValues(n)
}

// configured says whether a condition has a configuration instead of mere values.
func configured(c types.RuleCondition) bool { return len(c.Values)+len(c.RegexValues) == 0 }

func checkValues(c types.RuleCondition) error {
	field := *c.Field
	values, regexes := valuesOf(c), regexesOf(c)
	switch {
	case len(values)+len(regexes) == 0:
		return invalid("A condition of field '%s' must have a value", field)
	case len(values) > 0 && len(regexes) > 0:
		return invalid("A condition of field '%s' must have either Values or RegexValues, not both", field)
	}
	for _, r := range regexes {
		if r == "" || len(r) > maxValue {
			return invalid("Regular expression '%s' of field '%s' must have between 1 and %d characters", r, field, maxValue)
		}
		if err := proxy.CheckRegex(r); err != nil {
			return invalid("The regular expression '%s' is not valid in a condition of field '%s': %s", r, field, err.Error())
		}
	}
	if h := c.HttpHeaderConfig; h != nil {
		if name := val(h.HttpHeaderName); !headerName.MatchString(name) || strings.EqualFold(name, "host") {
			return invalid("The header name '%s' is not valid in a condition", name)
		}
	}
	for _, v := range values {
		if v == "" && field != "query-string" || len(v) > maxValue {
			return invalid("Condition value '%s' of field '%s' must have between 1 and %d characters", v, field, maxValue)
		}
		var ok bool
		switch field {
		case "host-header":
			ok = hostValue.MatchString(v)
		case "path-pattern":
			ok = pathValue.MatchString(v)
		case "http-request-method":
			ok = methodValue.MatchString(v)
		case "source-ip":
			_, err := netip.ParsePrefix(v)
			ok = err == nil
		default:
			ok = !strings.ContainsFunc(v, func(r rune) bool { return r < ' ' || r > '~' })
		}
		if !ok {
			return invalid("The value '%s' is not valid in a condition of field '%s'", v, field)
		}
	}
	if q := c.QueryStringConfig; q != nil {
		for _, p := range q.Values {
			if val(p.Value) == "" || len(val(p.Key)) > maxValue || len(*p.Value) > maxValue {
				return invalid("A query-string condition needs a value of at most %d characters", maxValue)
			}
		}
	}
	return nil
}
