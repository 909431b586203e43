package annot

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/agnivade/levenshtein"

	elbv2api "github.com/sluicehq/sluice/api/elbv2/v1beta1"
	"github.com/sluicehq/sluice/internal/lb"
)

// reader takes values out of annotations and collects what is wrong with them.
type reader struct {
	layers   []layer // the first that has an annotation counts
	problems []lb.Verdict
}

// layer is one object's annotations.
type layer struct {
	object      lb.Object
	annotations map[string]string
}

func newReader(object lb.Object, annotations map[string]string) *reader {
	return &reader{layers: []layer{{object, annotations}}}
}

// field is the path of an annotation within its object.
func field(k Key) string { return annotationField(k.Annotation()) }

func annotationField(annotation string) string { return "metadata.annotations[" + annotation + "]" }

// text returns a value as written, and where.
func (r *reader) text(k Key) (string, Origin, bool) {
	for _, l := range r.layers {
		if l.object.Kind == "Service" && !k.onService() {
			continue
		}
		if value, ok := l.annotations[k.Annotation()]; ok {
			return value, Origin{l.object, field(k), value}, true
		}
	}
	return "", Origin{}, false
}

func (r *reader) refuse(at Origin, problem, fix string) {
	r.problems = append(r.problems, at.Verdict(lb.Refused, lb.InvalidAnnotation, problem, fix))
}

// enum returns a value that must be one of the key's.
func (r *reader) enum(k Key) (string, bool) {
	value, at, ok := r.text(k)
	if !ok {
		return "", false
	}
	if !slices.Contains(k.Values, value) {
		list := strings.Join(k.Values, ", ")
		fix := "Use one of them, or remove the annotation"
		if k.Default != "" {
			fix += " for " + k.Default
		}
		if near, found := nearest(value, k.Values); found {
			fix = "Did you mean " + near + "?"
		}
		r.refuse(at, "must be one of "+list, fix)
		return "", false
	}
	return value, true
}

// number returns an integer within bounds, or the default.
func (r *reader) number(k Key, def, low, high int) int {
	value, at, ok := r.text(k)
	if !ok {
		return def
	}
	n, err := strconv.ParseInt(value, 10, 32)
	if err != nil || int(n) < low || int(n) > high {
		r.refuse(at, fmt.Sprintf("is not a whole number from %d to %d", low, high), fmt.Sprintf("The default is %d", def))
		return def
	}
	return int(n)
}

// boolean returns a truth value, written as Go's strconv reads it.
func (r *reader) boolean(k Key) Given[bool] {
	value, at, ok := r.text(k)
	if !ok {
		return Given[bool]{}
	}
	b, err := strconv.ParseBool(value)
	if err != nil {
		r.refuse(at, "is neither true nor false", "Use true or false")
	}
	return Given[bool]{b, at}
}

// list returns the words of a list, each of which must begin like this, if with anything.
func (r *reader) list(k Key, prefix string) Given[[]string] {
	value, at, ok := r.text(k)
	list := parseList(value)
	if !ok || len(list) == 0 {
		return Given[[]string]{} // an empty one means what none means
	}
	for _, word := range list {
		if !strings.HasPrefix(word, prefix) {
			r.refuse(at, fmt.Sprintf("has %q, which does not begin with %s", word, prefix), "Use ids, separated by commas")
		}
	}
	return Given[[]string]{list, at}
}

// pairs returns key=value pairs, sorted by key.
func (r *reader) pairs(k Key) []lb.Tag {
	value, at, ok := r.text(k)
	if !ok {
		return nil
	}
	if k.Prefix == ServicePrefix {
		value = withoutLastComma(value)
	}
	out, err := parseMap(value)
	if err != nil {
		r.refuse(at, "cannot be read: "+err.Error(), `Write it as key1=value1,key2=value2; \, is a comma within a value`)
	}
	return out
}

// unserved reports the annotations under our prefix that have no effect: unknown ones, those that this version does
// not serve, and on a Service those that only count on an Ingress.
func (r *reader) unserved(f family) {
	l := r.layers[0]
	for _, annotation := range slices.Sorted(maps.Keys(l.annotations)) {
		suffix, under := strings.CutPrefix(annotation, f.prefix)
		if !under || !f.has(suffix) {
			continue
		}
		at := Origin{l.object, annotationField(annotation), l.annotations[annotation]}
		k, known := find(f.keys, suffix)
		switch {
		case !known:
			fix := "Remove it; docs/annotations.md lists those that there are"
			if near, found := nearest(suffix, suffixes(f.keys)); found {
				fix = "Did you mean " + f.prefix + near + "?"
			}
			r.problems = append(r.problems, at.Verdict(lb.Warning, lb.UnknownAnnotation, "is no annotation that exists", fix))
		case l.object.Kind == "Service" && !k.onService():
			r.problems = append(r.problems, at.Verdict(lb.Warning, lb.UnknownAnnotation, "has no effect on a Service", "Move it to the Ingress"))
		case k.Support == Stops && at.Value != harmless[k.Suffix]:
			r.problems = append(r.problems, at.Verdict(lb.Refused, lb.UnsupportedAnnotation,
				"is not served by this version, and the Ingress would not be what it says without it",
				"Remove it to be served without; docs/annotations.md lists what is served"))
		case k.Support == Passed:
			r.problems = append(r.problems, at.Verdict(lb.Warning, lb.UnsupportedAnnotation,
				"is not served by this version and has no effect", "docs/annotations.md lists what is served"))
		}
	}
}

// harmless are values of annotations that stop an Ingress which mean what holds anyway.
var harmless = map[string]string{
	"auth-type":           "none",
	"create-acm-cert":     "false",
	"enable-frontend-nlb": "false",
}

// unservedParams does the same for fields of class parameters. The Ingress carries the verdict: it is the one that is
// not served.
func (r *reader) unservedParams(params *elbv2api.IngressClassParams) {
	if params == nil {
		return
	}
	s := params.Spec
	for _, f := range []struct {
		name string
		set  bool
		stop bool
	}{
		{"ipamConfiguration", s.IPAMConfiguration != nil, true},
		{"minimumLoadBalancerCapacity", s.MinimumLoadBalancerCapacity != nil, false},
	} {
		if !f.set {
			continue
		}
		v := lb.Verdict{
			Object: r.layers[0].object, Severity: lb.Warning, Reason: lb.UnsupportedAnnotation,
			Field: "spec.ingressClassName", Value: params.Name,
			Problem: "the class's IngressClassParams set spec." + f.name + ", which this version does not serve",
			Fix:     "Use a class without it",
		}
		if f.stop {
			v.Severity = lb.Refused
		}
		r.problems = append(r.problems, v)
	}
}

// nearest finds what a mistyped word most likely meant: at most a third of its letters may differ.
func nearest(word string, candidates []string) (string, bool) {
	best, distance := "", len(word)/3+1
	for _, c := range candidates {
		if d := levenshtein.ComputeDistance(strings.ToLower(word), c); d < distance {
			best, distance = c, d
		}
	}
	return best, best != ""
}
