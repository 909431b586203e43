package compile

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	contour "github.com/projectcontour/contour/apis/projectcontour/v1"

	"github.com/sluicehq/sluice/internal/lb"
)

// checkPaths says what is wrong with the paths in one block of conditions.
func checkPaths(conditions []contour.MatchCondition, include bool) (problem, fix string, ok bool) {
	found := 0
	for _, c := range conditions {
		for _, form := range []struct{ kind, text string }{{"prefix", c.Prefix}, {"exact", c.Exact}, {"regex", c.Regex}} {
			kind, text := form.kind, form.text
			if text == "" {
				continue
			}
			found++
			switch {
			case include && kind != "prefix":
				return "have a path of kind " + kind + ", and an include can have a prefix only", "Use a prefix, or let the routes of the included HTTPProxy say it", false
			case !strings.HasPrefix(text, "/"):
				return fmt.Sprintf("have the %s %q, which does not begin with a slash", kind, text), "Begin it with a slash", false
			case kind == "regex":
				if _, err := regexp.Compile(text); err != nil {
					return fmt.Sprintf("have %q, which is no regular expression of RE2: %s", text, problemOf(err)), "Correct it", false
				}
			}
		}
	}
	if found > 1 {
		return fmt.Sprintf("have %d paths", found), "Use one prefix, exact or regex", false
	}
	return "", "", true
}

// checkHeaders says what is wrong with conditions about headers: those that cannot be read, and those that no request can
// meet at the same time.
func checkHeaders(conditions []contour.MatchCondition) (problem, fix string, ok bool) {
	var headers []lb.HeaderMatch
	for _, c := range conditions {
		if c.Header == nil {
			continue
		}
		h := header(*c.Header)
		if h.Name == "" {
			return "have a header without a name", "Name it", false
		}
		if h.Kind == "" {
			return "say nothing about header " + h.Name, "Use present, notpresent, contains, notcontains, exact, notexact or regex", false
		}
		if h.Kind == lb.RegexString {
			if _, err := regexp.Compile(h.Value); err != nil {
				return fmt.Sprintf("have %q for header %s, which is no regular expression of RE2: %s", h.Value, h.Name, problemOf(err)), "Correct it", false
			}
		}
		for _, other := range headers {
			if contradict(h, other) {
				return "contradict each other about header " + h.Name, "Remove one of them", false
			}
		}
		headers = append(headers, h)
	}
	return "", "", true
}

func contradict(a, b lb.HeaderMatch) bool {
	if a.Name != b.Name || a.Kind != b.Kind {
		return false
	}
	switch {
	case a.Kind == lb.ExactString && !a.Invert && !b.Invert:
		return true // two values, or one twice
	case a.Kind == lb.PresentString:
		return a.Invert != b.Invert
	default:
		return a.Value == b.Value && a.Invert != b.Invert
	}
}

// header reads a condition; the first form that is set counts.
func header(h contour.HeaderMatchCondition) lb.HeaderMatch {
	out := lb.HeaderMatch{StringMatchOf: lb.StringMatchOf{Name: strings.ToLower(h.Name)}}
	set := func(kind lb.StringKind, value string, invert, ignoreCase bool) lb.HeaderMatch {
		out.StringMatch = lb.StringMatch{Kind: kind, Value: value, IgnoreCase: ignoreCase}
		out.Invert = invert
		out.MissingIsEmpty = invert && h.TreatMissingAsEmpty && kind != lb.PresentString
		return out
	}
	switch {
	case h.Present:
		return set(lb.PresentString, "", false, false)
	case h.NotPresent:
		return set(lb.PresentString, "", true, false)
	case h.Contains != "":
		return set(lb.ContainsString, h.Contains, false, h.IgnoreCase)
	case h.NotContains != "":
		return set(lb.ContainsString, h.NotContains, true, h.IgnoreCase)
	case h.Exact != "":
		return set(lb.ExactString, h.Exact, false, h.IgnoreCase)
	case h.NotExact != "":
		return set(lb.ExactString, h.NotExact, true, h.IgnoreCase)
	case h.Regex != "":
		return set(lb.RegexString, h.Regex, false, false)
	default:
		return out
	}
}

// query reads a condition, of which exactly one form may be set.
func query(q contour.QueryParameterMatchCondition) (lb.StringMatchOf, string) {
	out := lb.StringMatchOf{Name: q.Name}
	set := 0
	for _, form := range []struct {
		kind  lb.StringKind
		value string
	}{
		{lb.ExactString, q.Exact}, {lb.PrefixString, q.Prefix}, {lb.SuffixString, q.Suffix}, {lb.RegexString, q.Regex}, {lb.ContainsString, q.Contains},
	} {
		if form.value != "" {
			set++
			out.StringMatch = lb.StringMatch{Kind: form.kind, Value: form.value, IgnoreCase: q.IgnoreCase && form.kind != lb.RegexString}
		}
	}
	if q.Present {
		set++
		out.StringMatch = lb.StringMatch{Kind: lb.PresentString}
	}
	switch {
	case q.Name == "":
		return out, "have a query parameter without a name"
	case set != 1:
		return out, fmt.Sprintf("have %d forms for query parameter %s, and must have one", set, q.Name)
	case out.Kind == lb.RegexString:
		if _, err := regexp.Compile(out.Value); err != nil {
			return out, fmt.Sprintf("have %q for query parameter %s, which is no regular expression of RE2: %s", out.Value, q.Name, problemOf(err))
		}
	}
	return out, ""
}

// merge is what all conditions mean together: texts of paths are put together in order, and the last says how they are
// compared; a regular expression anywhere makes one of the whole.
func merge(conditions []contour.MatchCondition) lb.RouteMatch {
	out := lb.RouteMatch{Path: lb.PathMatch{Kind: lb.PrefixPath, Value: "/"}}
	var plain, expression strings.Builder
	isRegex := false
	for _, c := range conditions {
		switch {
		case c.Prefix != "":
			out.Path.Kind = lb.PrefixPath
		case c.Exact != "":
			out.Path.Kind = lb.ExactPath
		case c.Regex != "":
			isRegex = true
			expression.WriteString(c.Regex)
		}
		plain.WriteString(c.Prefix + c.Exact)
		expression.WriteString(regexp.QuoteMeta(c.Prefix + c.Exact))
		if c.Header != nil {
			out.Headers = append(out.Headers, header(*c.Header))
		}
		if c.QueryParameter != nil {
			q, _ := query(*c.QueryParameter)
			out.Query = append(out.Query, q)
		}
	}
	switch {
	case isRegex:
		out.Path = lb.PathMatch{Kind: lb.RegexPath, Value: slashes.ReplaceAllString(expression.String(), "/")}
	case plain.Len() > 0:
		out.Path.Value = slashes.ReplaceAllString(plain.String(), "/")
	}
	sortHeaders(out.Headers)
	return out
}

var slashes = regexp.MustCompile("//+")

func sortHeaders(list []lb.HeaderMatch) {
	slices.SortStableFunc(list, func(a, b lb.HeaderMatch) int { return strings.Compare(a.String(), b.String()) })
}

func sameConditions(a, b []contour.MatchCondition) bool {
	return reflect.DeepEqual(merge(a), merge(b))
}

// plainRoot says whether conditions let everything through, which several includes may do.
func plainRoot(conditions []contour.MatchCondition) bool {
	m := merge(conditions)
	return m.Path == lb.PathMatch{Kind: lb.PrefixPath, Value: "/"} && len(m.Headers)+len(m.Query) == 0
}

// match is what a route is for, with what its includes say before.
func (p *proxyCompiler) match(inherited, own []contour.MatchCondition, field string) (lb.RouteMatch, bool) {
	refuse := func(reason, problem, fix string) (lb.RouteMatch, bool) {
		p.tell(lb.Partial, issue{contour.ConditionTypeRouteError, reason, field + ".conditions", "", problem, fix})
		return lb.RouteMatch{}, false
	}
	if problem, fix, ok := checkPaths(own, false); !ok {
		return refuse("PathMatchConditionsNotValid", problem, fix)
	}
	all := append(slices.Clone(inherited), own...)
	if problem, fix, ok := checkHeaders(all); !ok {
		return refuse("HeaderMatchConditionsNotValid", problem, fix)
	}
	for _, c := range all {
		if c.QueryParameter != nil {
			if _, problem := query(*c.QueryParameter); problem != "" {
				return refuse("QueryParameterMatchConditionsNotValid", problem, "Correct it")
			}
		}
	}
	return merge(all), true
}
