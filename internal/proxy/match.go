package proxy

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
)

// matcher says whether a request meets one condition (ELB "Condition types for listener rules").
type matcher interface {
	match(r *request, peer netip.Addr) bool
}

// compileCondition makes a matcher of a condition.
func compileCondition(c Condition) (matcher, error) {
	if len(c.Regex) > 0 {
		return compileRegexCondition(c)
	}
	switch c.Field {
	case "host-header":
		return hostMatcher(globs(c.Values, true)), nil
	case "path-pattern":
		return pathMatcher(globs(c.Values, false)), nil
	case "http-header":
		return headerMatcher{c.HeaderName, globs(c.Values, true)}, nil
	case "http-request-method":
		return methodMatcher(c.Values), nil
	case "query-string":
		m := make(queryMatcher, 0, len(c.Query))
		for _, q := range c.Query {
			m = append(m, queryPair{
				key: compileGlob(q.Key, true, true), value: compileGlob(q.Value, true, true), anyKey: q.Key == "",
			})
		}
		return m, nil
	case "source-ip":
		m := make(sourceMatcher, 0, len(c.Values))
		for _, v := range c.Values {
			prefix, err := netip.ParsePrefix(v)
			if err != nil {
				return nil, fmt.Errorf("source-ip condition: %w", err)
			}
			m = append(m, prefix.Masked())
		}
		return m, nil
	}
	return nil, fmt.Errorf("condition field %q is not known", c.Field)
}

type hostMatcher []glob

func (m hostMatcher) match(r *request, _ netip.Addr) bool {
	return anyGlob(m, hostName(r.host))
}

type pathMatcher []glob

func (m pathMatcher) match(r *request, _ netip.Addr) bool { return anyGlob(m, r.path) }

type headerMatcher struct {
	name   string
	values []glob
}

func (m headerMatcher) match(r *request, _ netip.Addr) bool {
	for i := range r.fields {
		if strings.EqualFold(r.fields[i].name, m.name) && anyGlob(m.values, r.fields[i].value) {
			return true
		}
	}
	return false
}

// regexMatcher looks for regular expressions in the values that a request has for it.
type regexMatcher struct {
	field  string
	name   string // http-header
	values []*regexp.Regexp
}

func compileRegexCondition(c Condition) (matcher, error) {
	switch c.Field {
	case "host-header", "path-pattern", "http-header":
	default:
		return nil, fmt.Errorf("a %s condition takes no regular expression", c.Field)
	}
	m := regexMatcher{c.Field, c.HeaderName, make([]*regexp.Regexp, len(c.Regex))}
	for i, pattern := range c.Regex {
		var err error
		if m.values[i], err = compileRegex(pattern, c.Field != "path-pattern"); err != nil {
			return nil, fmt.Errorf("%s condition: %w", c.Field, err)
		}
	}
	return m, nil
}

func (m regexMatcher) match(r *request, _ netip.Addr) bool {
	switch m.field {
	case "host-header":
		return m.finds(hostName(r.host))
	case "path-pattern":
		return m.finds(r.path)
	}
	for i := range r.fields {
		if strings.EqualFold(r.fields[i].name, m.name) && m.finds(r.fields[i].value) {
			return true
		}
	}
	return false
}

func (m regexMatcher) finds(value string) bool {
	value = visible(value)
	for _, v := range m.values {
		if v.MatchString(value) {
			return true
		}
	}
	return false
}

type methodMatcher []string

func (m methodMatcher) match(r *request, _ netip.Addr) bool {
	for _, v := range m {
		if v == r.method {
			return true
		}
	}
	return false
}

type queryPair struct {
	key, value glob
	anyKey     bool
}

type queryMatcher []queryPair

// match compares the pairs as they stand in the URL; percent-decoding is not documented, and not done.
func (m queryMatcher) match(r *request, _ netip.Addr) bool {
	if r.query == "" {
		return false
	}
	for pair := range strings.SplitSeq(r.query, "&") {
		key, value, _ := strings.Cut(pair, "=")
		for i := range m {
			if (m[i].anyKey || m[i].key.match(key)) && m[i].value.match(value) {
				return true
			}
		}
	}
	return false
}

type sourceMatcher []netip.Prefix

func (m sourceMatcher) match(_ *request, peer netip.Addr) bool {
	for _, prefix := range m {
		if prefix.Contains(peer) {
			return true
		}
	}
	return false
}

// glob is a pattern in which * stands for any number of characters, / included, and ? for exactly one.
type glob struct {
	pattern string // with wildcards as the bytes below
	fold    bool   // pattern is lower case, and so is what is compared
	plain   bool   // no wildcard
}

// Wildcards inside a glob are control characters, which never take part in matching; so a literal * or ? that was
// escaped needs no escape.
const (
	anyRun = '\x01'
	anyOne = '\x02'
)

func globs(patterns []string, fold bool) []glob {
	out := make([]glob, len(patterns))
	for i, p := range patterns {
		out[i] = compileGlob(p, fold, false)
	}
	return out
}

// compileGlob makes a glob. With escapes, a backslash takes the meaning from a following * or ? (query-string only).
func compileGlob(pattern string, fold, escapes bool) glob {
	var b strings.Builder
	plain := true
	for i := 0; i < len(pattern); i++ {
		c := pattern[i]
		switch {
		case escapes && c == '\\' && i+1 < len(pattern) && strings.IndexByte(`*?\`, pattern[i+1]) >= 0:
			i++
			b.WriteByte(pattern[i])
		case c == '*':
			plain = false
			b.WriteByte(anyRun)
		case c == '?':
			plain = false
			b.WriteByte(anyOne)
		case control(c):
		case fold:
			b.WriteByte(lower(c))
		default:
			b.WriteByte(c)
		}
	}
	return glob{pattern: b.String(), fold: fold, plain: plain}
}

func anyGlob(patterns []glob, s string) bool {
	for i := range patterns {
		if patterns[i].match(s) {
			return true
		}
	}
	return false
}

// match takes time in proportion to the lengths of pattern and s, multiplied at worst: it only ever goes back to the
// last run of any characters.
func (g *glob) match(s string) bool {
	s = visible(s)
	if g.plain && len(s) != len(g.pattern) {
		return false
	}
	p, i := 0, 0
	run, resume := -1, 0
	for i < len(s) {
		switch {
		case p < len(g.pattern) && g.pattern[p] == anyRun:
			run, resume = p, i
			p++
		case p < len(g.pattern) && (g.pattern[p] == anyOne || g.pattern[p] == g.fit(s[i])):
			p++
			i++
		case run >= 0:
			resume++
			p, i = run+1, resume
		default:
			return false
		}
	}
	for p < len(g.pattern) && g.pattern[p] == anyRun {
		p++
	}
	return p == len(g.pattern)
}

func (g *glob) fit(c byte) byte {
	if g.fold {
		return lower(c)
	}
	return c
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

func control(c byte) bool { return c < ' ' || c == 0x7f }

// visible leaves out control characters: they never take part in matching.
func visible(s string) string {
	for i := 0; i < len(s); i++ {
		if control(s[i]) {
			return strings.Map(func(c rune) rune {
				if c < 0x80 && control(byte(c)) {
					return -1
				}
				return c
			}, s)
		}
	}
	return s
}

// hostName is a Host value without its port; brackets of IPv6 stay.
func hostName(host string) string {
	i := strings.LastIndexByte(host, ':')
	if i < 0 || strings.IndexByte(host[i:], ']') >= 0 {
		return host
	}
	return host[:i]
}
