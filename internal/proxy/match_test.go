package proxy

import (
	"net/netip"
	"strings"
	"testing"
)

func TestConditions(t *testing.T) {
	values := func(field string, values ...string) Condition { return Condition{Field: field, Values: values} }
	header := func(name string, values ...string) Condition {
		return Condition{Field: "http-header", HeaderName: name, Values: values}
	}
	regex := func(field, name string, values ...string) Condition {
		return Condition{Field: field, HeaderName: name, Regex: values}
	}
	query := func(pairs ...KeyValue) Condition { return Condition{Field: "query-string", Query: pairs} }
	base := request{
		method: "GET", version: 11, host: "App.Example.com:8080", path: "/img/Cat.png", query: "v=1&Name=Tom&flag",
		fields: fields{{"X-Canary", "no"}, {"x-canary", "Yes-Please"}, {"User-Agent", "curl/8"}},
	}
	with := func(change func(*request)) *request { r := base; change(&r); return &r }
	for _, test := range []struct {
		name      string
		condition Condition
		request   *request
		want      bool
	}{
		{"host in another case, without port", values("host-header", "app.example.COM"), &base, true},
		{"host wildcard", values("host-header", "*.example.com"), &base, true},
		{"host wildcard does not match the bare domain", values("host-header", "*.example.com"), with(func(r *request) { r.host = "example.com" }), false},
		{"host question mark is one character", values("host-header", "ap?.example.com"), &base, true},
		{"host question mark is not none", values("host-header", "app?.example.com"), &base, false},
		{"host of IPv6", values("host-header", "[::1]"), with(func(r *request) { r.host = "[::1]:80" }), true},
		{"second value", values("host-header", "other.example.com", "app.example.com"), &base, true},
		{"path is case-sensitive", values("path-pattern", "/img/cat.png"), &base, false},
		{"path exact", values("path-pattern", "/img/Cat.png"), &base, true},
		{"path has no prefix semantics", values("path-pattern", "/img"), &base, false},
		{"path wildcard crosses slashes", values("path-pattern", "/*.png"), &base, true},
		{"path /img/* matches /img/", values("path-pattern", "/img/*"), with(func(r *request) { r.path = "/img/" }), true},
		{"path /img/* does not match /img", values("path-pattern", "/img/*"), with(func(r *request) { r.path = "/img" }), false},
		{"path never sees the query", values("path-pattern", "*v=1*"), &base, false},
		{"path is not decoded", values("path-pattern", "/img"), with(func(r *request) { r.path = "/%69mg" }), false},
		{"path dots are not resolved", values("path-pattern", "/a/*"), with(func(r *request) { r.path = "/a/../b" }), true},
		{"path backslash is literal", values("path-pattern", `/a\*`), with(func(r *request) { r.path = `/a\b` }), true},
		{"header repeats, in another case", header("X-CANARY", "yes*"), &base, true},
		{"header other value", header("X-Canary", "maybe"), &base, false},
		{"header name has no wildcards", header("X-*", "no"), &base, false},
		{"header missing", header("X-None", "*"), &base, false},
		{"method exact", values("http-request-method", "POST", "GET"), &base, true},
		{"method case", values("http-request-method", "get"), &base, false},
		{"method has no wildcards", values("http-request-method", "*"), &base, false},
		{"query pair in another case", query(KeyValue{"name", "TOM"}), &base, true},
		{"query wildcard", query(KeyValue{"na*", "t?m"}), &base, true},
		{"query any key", query(KeyValue{"", "1"}), &base, true},
		{"query key without value", query(KeyValue{"flag", ""}), &base, true},
		{"query wrong value", query(KeyValue{"v", "2"}), &base, false},
		{"query escaped star is literal", query(KeyValue{"v", `\*`}), &base, false},
		{"query escaped star meets a star", query(KeyValue{"v", `a\*`}), with(func(r *request) { r.query = "v=A*" }), true},
		{"no query", query(KeyValue{"", "*"}), with(func(r *request) { r.query = "" }), false},
		{"source inside", values("source-ip", "10.0.0.0/8", "192.0.2.0/24"), &base, true},
		{"source outside", values("source-ip", "10.0.0.0/8"), &base, false},
		{"source IPv6", values("source-ip", "2001:db8::/32"), &base, false},
		{"regex in a host, whatever the case", regex("host-header", "", `^app\.(example|test)\.com$`), &base, true},
		{"regex in a path, case counts", regex("path-pattern", "", `cat\.png$`), &base, false},
		{"regex anywhere in a path", regex("path-pattern", "", `/x`, `g/C.t`), &base, true},
		{"regex in a header, whatever the case", regex("http-header", "X-Canary", `^yes-\w+$`), &base, true},
		{"regex in a header that is not there", regex("http-header", "X-None", `.*`), &base, false},
		{"control characters take no part", values("path-pattern", "/ab"), with(func(r *request) { r.path = "/a\x01b\x7f" }), true},
		{"control characters in a pattern are no wildcards", values("path-pattern", "/\x01"), with(func(r *request) { r.path = "/ab" }), false},
	} {
		m, err := compileCondition(test.condition)
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		if got := m.match(test.request, netip.MustParseAddr("192.0.2.7")); got != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
	}
}

func TestConditionErrors(t *testing.T) {
	for _, c := range []Condition{{Field: "source-ip", Values: []string{"10.0.0.0"}}, {Field: "cookie"}, {Field: "source-ip", Regex: []string{"x"}},
		{Field: "path-pattern", Regex: []string{"("}}, {Field: "path-pattern", Regex: []string{`\p{L}`}}, {Field: "host-header", Regex: []string{`(?=x)`}},
	} {
		if _, err := compileCondition(c); err == nil {
			t.Errorf("%v: no error", c)
		}
	}
}

// A pattern made to go back and forth must not take exponential time.
func TestGlobIsNotExponential(t *testing.T) {
	g := compileGlob(strings.Repeat("*a", 60)+"b", false, false)
	if g.match(strings.Repeat("a", 16<<10)) {
		t.Error("matched")
	}
}

func TestRulesInOrder(t *testing.T) {
	r := newRig(t, Options{})
	path := func(id RuleID, pattern string, more ...Condition) Rule {
		return Rule{ID: id, Action: respond(200, string(id)),
			Conditions: append([]Condition{{Field: "path-pattern", Values: []string{pattern}}}, more...)}
	}
	r.listener().Rules = []Rule{
		path("both", "/a/*", Condition{Field: "http-request-method", Values: []string{"POST"}}),
		path("first", "/a/*"), path("second", "/a/b"), path("first-host", "/host", Condition{Field: "host-header", Values: []string{"one.example.com"}}),
	}
	r.apply()
	for request, want := range map[string]string{
		"GET /a/b HTTP/1.1\r\nHost: x.example.com\r\n\r\n":                             "first",
		"POST /a/b HTTP/1.1\r\nHost: x.example.com\r\n\r\n":                            "both",
		"GET /c HTTP/1.1\r\nHost: x.example.com\r\n\r\n":                               "none",
		"GET /host HTTP/1.1\r\nHost: one.example.com\r\nHost: two.example.com\r\n\r\n": "first-host",
		"GET /host HTTP/1.1\r\nHost: two.example.com\r\nHost: one.example.com\r\n\r\n": "none",
		"GET http://one.example.com/host HTTP/1.1\r\nHost: two.example.com\r\n\r\n":    "first-host",
	} {
		if got := r.ask(request); got.body != want {
			t.Errorf("%q: %s, want %s", request, got.body, want)
		}
	}
}

// Weighted groups share in proportion; a group of weight 0 gets nothing, and one without targets keeps its share.
func TestWeights(t *testing.T) {
	groups := map[TargetGroupID]*group{"a": {id: "a"}, "b": {id: "b"}, "c": {id: "c"}}
	a, err := compileAction(Action{Forward: &Forward{TargetGroups: []WeightedTargetGroup{{"a", 10}, {"b", 0}, {"c", 30}}}}, groups)
	if err != nil {
		t.Fatal(err)
	}
	counts := map[TargetGroupID]int{}
	const n = 40000
	for range n {
		counts[a.group().id]++
	}
	// Chi-square with one degree of freedom: beyond 15.1 one run in ten thousand.
	da, dc := float64(counts["a"]-n/4), float64(counts["c"]-3*n/4)
	if chi := da*da/(n/4) + dc*dc/(3*n/4); chi > 15.1 || counts["b"] != 0 {
		t.Errorf("shares %v", counts)
	}
	zero, err := compileAction(Action{Forward: &Forward{TargetGroups: []WeightedTargetGroup{{"a", 0}, {"b", 0}}}}, groups)
	if err != nil || zero.group() != nil {
		t.Errorf("all weights 0: %v, %v", zero.group(), err)
	}
	if _, err := compileAction(forward("nowhere"), groups); err == nil {
		t.Error("unknown group: no error")
	}
}
