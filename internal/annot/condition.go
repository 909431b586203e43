package annot

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/sluicehq/sluice/internal/lb"
)

// Conditions are what a conditions.<name> annotation says. Hosts and paths are added to those of the rule.
type Conditions struct {
	Hosts []string
	Paths []string
	// HostRegexes and PathRegexes are regular expressions in their place.
	HostRegexes, PathRegexes []string
	Other                    []lb.Condition // in the order written
	At                       Origin
}

type conditionForm struct {
	Field                   string      `json:"field"`
	HostHeaderConfig        *valuesForm `json:"hostHeaderConfig"`
	PathPatternConfig       *valuesForm `json:"pathPatternConfig"`
	HTTPHeaderConfig        *valuesForm `json:"httpHeaderConfig"`
	HTTPRequestMethodConfig *valuesForm `json:"httpRequestMethodConfig"`
	SourceIPConfig          *valuesForm `json:"sourceIPConfig"`
	QueryStringConfig       *struct {
		Values []struct {
			Key   string `json:"key"`
			Value string `json:"value"`
		} `json:"values"`
	} `json:"queryStringConfig"`
}

type valuesForm struct {
	HTTPHeaderName string   `json:"httpHeaderName"`
	Values         []string `json:"values"`
	RegexValues    []string `json:"regexValues"`
}

// ConditionsOf reads the annotation conditions.<name> of an Ingress: nothing when there is none. A Refused verdict means
// that the conditions must not be used.
func ConditionsOf(ingress *networkingv1.Ingress, name string) (Conditions, []lb.Verdict) {
	r := newReader(ingressObject(ingress), ingress.Annotations)
	k := conditions
	k.Suffix += name
	value, at, found := r.text(k)
	if !found {
		return Conditions{}, nil
	}
	out, err := parseConditions(value)
	if err != nil {
		r.refuse(at, err.Error(), `Write it as [{"field": "http-request-method", "httpRequestMethodConfig": {"values": ["GET"]}}]`)
	}
	out.At = at
	return out, r.problems
}

func parseConditions(value string) (Conditions, error) {
	var forms []conditionForm
	if err := json.Unmarshal([]byte(value), &forms); err != nil {
		return Conditions{}, fmt.Errorf("is no list of conditions in JSON: %w", err)
	}
	var out Conditions
	for _, f := range forms {
		c, err := f.condition()
		if err != nil {
			return Conditions{}, err
		}
		switch c.Field {
		case lb.HostHeader:
			out.Hosts, out.HostRegexes = append(out.Hosts, c.Values...), append(out.HostRegexes, c.Regexes...)
		case lb.PathPattern:
			out.Paths, out.PathRegexes = append(out.Paths, c.Values...), append(out.PathRegexes, c.Regexes...)
		case lb.RequestMethod, lb.SourceIP:
			if slices.ContainsFunc(out.Other, func(o lb.Condition) bool { return o.Field == c.Field }) {
				return Conditions{}, fmt.Errorf("has two conditions of field %s, and a rule can have one", c.Field)
			}
			out.Other = append(out.Other, c)
		default:
			out.Other = append(out.Other, c)
		}
	}
	return out, nil
}

// maxConditionValue is how many characters a load balancer compares.
const maxConditionValue = 128

func (f conditionForm) condition() (lb.Condition, error) {
	c := lb.Condition{Field: lb.ConditionField(f.Field)}
	config, fields := map[lb.ConditionField]*valuesForm{
		lb.HostHeader: f.HostHeaderConfig, lb.PathPattern: f.PathPatternConfig, lb.HTTPHeader: f.HTTPHeaderConfig,
		lb.RequestMethod: f.HTTPRequestMethodConfig, lb.SourceIP: f.SourceIPConfig,
	}, []lb.ConditionField{lb.HostHeader, lb.PathPattern, lb.HTTPHeader, lb.RequestMethod, lb.QueryString, lb.SourceIP}
	if c.Field == lb.QueryString {
		return f.query(c)
	}
	values, known := config[c.Field]
	switch {
	case !known:
		return c, fmt.Errorf("has field %q, which must be one of %s", f.Field, join(fields))
	case values == nil:
		return c, fmt.Errorf("has a condition of field %s without its configuration", f.Field)
	case len(values.RegexValues) > 0 && !slices.Contains([]lb.ConditionField{lb.HostHeader, lb.PathPattern, lb.HTTPHeader}, c.Field):
		return c, fmt.Errorf("has regexValues in a condition of field %s, which cannot have them", c.Field)
	case len(values.RegexValues) > 0 && len(values.Values) > 0:
		return c, fmt.Errorf("has a condition of field %s with both values and regexValues", c.Field)
	case len(values.RegexValues)+len(values.Values) == 0:
		return c, fmt.Errorf("has a condition of field %s without values", f.Field)
	}
	c.Values, c.Regexes = values.Values, values.RegexValues
	if c.Field == lb.HTTPHeader {
		c.Name = values.HTTPHeaderName
	}
	return c, checkCondition(c)
}

func (f conditionForm) query(c lb.Condition) (lb.Condition, error) {
	if f.QueryStringConfig == nil || len(f.QueryStringConfig.Values) == 0 {
		return c, errors.New("has a condition of field query-string without values")
	}
	for _, pair := range f.QueryStringConfig.Values {
		if pair.Value == "" || len(pair.Value) > maxConditionValue || len(pair.Key) > maxConditionValue {
			return c, fmt.Errorf("has a query-string condition whose value is not of 1 to %d characters", maxConditionValue)
		}
		c.Pairs = append(c.Pairs, lb.QueryPair(pair))
	}
	return c, nil
}

// What a load balancer takes (ELB "Condition types for listener rules").
var (
	hostValue   = regexp.MustCompile(`^[a-zA-Z0-9.*?_-]+$`)
	pathValue   = regexp.MustCompile(`^[a-zA-Z0-9_\-.$/~"'@:+&*?]+$`)
	headerName  = regexp.MustCompile("^[a-zA-Z0-9!#$%&'*+.^_`|~-]{1,40}$")
	methodValue = regexp.MustCompile(`^[A-Z_-]{1,40}$`)
)

func checkCondition(c lb.Condition) error {
	if c.Field == lb.HTTPHeader && (!headerName.MatchString(c.Name) || strings.EqualFold(c.Name, "host")) {
		return fmt.Errorf("has header name %q, which a condition cannot have", c.Name)
	}
	for _, r := range c.Regexes {
		if r == "" || len(r) > maxConditionValue {
			return fmt.Errorf("has the regular expression %q, which is not of 1 to %d characters", r, maxConditionValue)
		}
		if err := checkRegex(r); err != nil {
			return err
		}
	}
	for _, v := range c.Values {
		ok := v != "" && len(v) <= maxConditionValue
		switch c.Field {
		case lb.HostHeader:
			ok = ok && hostValue.MatchString(v)
		case lb.PathPattern:
			ok = ok && pathValue.MatchString(v)
		case lb.RequestMethod:
			ok = ok && methodValue.MatchString(v)
		case lb.SourceIP:
			_, err := netip.ParsePrefix(v)
			ok = err == nil
		}
		if !ok {
			return fmt.Errorf("has the value %q, which a condition of field %s cannot have", v, c.Field)
		}
	}
	return nil
}

func join(fields []lb.ConditionField) string {
	var out []string
	for _, f := range fields {
		out = append(out, string(f))
	}
	return strings.Join(out, ", ")
}
