package proxy

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// maxHost is how long a rewritten host may be, which is how long a name in DNS may be; ours.
const maxHost = 253

// rewrites are the transforms of a rule (ELB "Transforms for listener rules").
type rewrites struct{ host, url *rewrite }

type rewrite struct {
	find *regexp.Regexp
	with string
}

// compileRewrites returns nil where nothing is to be rewritten.
func compileRewrites(t Transforms) (*rewrites, error) {
	if t.Host == nil && t.URL == nil {
		return nil, nil
	}
	host, err := compileRewrite(t.Host, true)
	url, err2 := compileRewrite(t.URL, false)
	return &rewrites{host, url}, errors.Join(err, err2)
}

func compileRewrite(r *Rewrite, fold bool) (*rewrite, error) {
	if r == nil {
		return nil, nil
	}
	find, err := compileRegex(r.Regex, fold)
	if err != nil {
		return nil, fmt.Errorf("transform: %w", err)
	}
	return &rewrite{find, r.Replace}, nil
}

// compileRegex makes a regular expression, which may match anywhere in a value. What RE2 has beyond the documented
// dialect is refused.
func compileRegex(pattern string, fold bool) (*regexp.Regexp, error) {
	for i := 0; i+1 < len(pattern); i++ {
		if pattern[i] == '\\' {
			if i++; pattern[i] == 'p' || pattern[i] == 'P' {
				return nil, fmt.Errorf("regular expression %q: classes by property are not supported", pattern)
			}
		}
	}
	if fold {
		pattern = "(?i)" + pattern
	}
	return regexp.Compile(pattern)
}

// CheckRegex says what is wrong with a regular expression of a condition or a transform.
func CheckRegex(pattern string) error {
	_, err := compileRegex(pattern, false)
	return err
}

// apply replaces the first match; a text without one stays.
func (w *rewrite) apply(s string) string {
	at := w.find.FindStringSubmatchIndex(s)
	if at == nil {
		return s
	}
	var b strings.Builder
	b.WriteString(s[:at[0]])
	for i := 0; i < len(w.with); i++ {
		if c := w.with[i]; c != '$' || i+1 == len(w.with) || w.with[i+1] < '1' || w.with[i+1] > '9' {
			b.WriteByte(c)
			continue
		}
		i++
		if n := 2 * int(w.with[i]-'0'); n < len(at) && at[n] >= 0 {
			b.WriteString(s[at[n]:at[n+1]])
		}
	}
	b.WriteString(s[at[1]:])
	return b.String()
}

// apply returns the request as the target is to see it. It reports false when the result is no request.
func (w *rewrites) apply(r *request) (*request, bool) {
	out := *r
	if w.host != nil {
		before := hostName(r.host)
		if host := w.host.apply(before); host != before {
			if host == "" || len(host) > maxHost || !hostLike(host) {
				return nil, false
			}
			out.host, out.rehosted = host, true
		}
	}
	if w.url != nil && r.target != "*" {
		url := w.url.apply(r.origin())
		if !strings.HasPrefix(url, "/") || len(url) > maxRequestLine || headerSafe(url) != url {
			return nil, false
		}
		out.target = url
		out.path, out.query, _ = strings.Cut(url, "?")
	}
	return &out, true
}
