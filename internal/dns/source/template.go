package source

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"text/template"
)

// Templates turn an object into names. The zero value has none.
type Templates struct{ list []*template.Template }

// ParseTemplates reads templates in Go's syntax.
func ParseTemplates(texts []string) (Templates, error) {
	var t Templates
	for _, text := range texts {
		if strings.TrimSpace(text) == "" {
			continue
		}
		parsed, err := template.New("").Funcs(functions).Option("missingkey=error").Parse(text)
		if err != nil {
			return Templates{}, fmt.Errorf("%q is no template: %w", text, err)
		}
		t.list = append(t.list, parsed)
	}
	return t, nil
}

// Empty says whether there are none.
func (t Templates) Empty() bool { return len(t.list) == 0 }

var functions = template.FuncMap{
	"contains": strings.Contains, "trimPrefix": strings.TrimPrefix, "trimSuffix": strings.TrimSuffix,
	"trim": strings.TrimSpace, "toLower": strings.ToLower,
	"replace":  func(old, with, text string) string { return strings.ReplaceAll(text, old, with) },
	"isIPv4":   func(s string) bool { a, err := netip.ParseAddr(s); return err == nil && a.Is4() },
	"isIPv6":   func(s string) bool { a, err := netip.ParseAddr(s); return err == nil && a.Is6() },
	"hasKey":   func(m map[string]string, key string) bool { _, ok := m[key]; return ok },
	"fromJson": func(s string) (v any, err error) { return v, json.Unmarshal([]byte(s), &v) },
}

// render are the words that the templates make of an object, sorted, each once. A template that does not fit the Go
// type is tried with the object's JSON names.
func (t Templates) render(object any) ([]string, error) {
	var out []string
	var errs []error
	for _, tmpl := range t.list {
		var b bytes.Buffer
		if err := tmpl.Execute(&b, object); err != nil {
			b.Reset()
			if byName := execute(tmpl, &b, object); byName != nil {
				errs = append(errs, err)
				continue
			}
		}
		for word := range strings.SplitSeq(b.String(), ",") {
			if word = strings.TrimSuffix(strings.TrimSpace(word), "."); word != "" {
				out = append(out, word)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out), errors.Join(errs...)
}

func execute(tmpl *template.Template, b *bytes.Buffer, object any) error {
	raw, err := json.Marshal(object)
	if err != nil {
		return err
	}
	var fields map[string]any
	if err := json.Unmarshal(raw, &fields); err != nil {
		return err
	}
	return tmpl.Execute(b, fields)
}
