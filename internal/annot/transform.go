package annot

import (
	"encoding/json"
	"fmt"
	"regexp"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/sluicehq/sluice/internal/lb"
)

// maxRewrite is how long a transform's regular expression, and what replaces its match, may be.
const maxRewrite = 1024

type transformForm struct {
	Type                    string        `json:"type"`
	HostHeaderRewriteConfig *rewritesForm `json:"hostHeaderRewriteConfig"`
	URLRewriteConfig        *rewritesForm `json:"urlRewriteConfig"`
}

type rewritesForm struct {
	Rewrites []struct {
		Regex   string `json:"regex"`
		Replace string `json:"replace"`
	} `json:"rewrites"`
}

// TransformsOf reads the annotation transforms.<name> of an Ingress: nothing when there is none. A Refused verdict means
// that the transforms must not be used.
func TransformsOf(ingress *networkingv1.Ingress, name string) ([]lb.Transform, []lb.Verdict) {
	r := newReader(ingressObject(ingress), ingress.Annotations)
	k := transforms
	k.Suffix += name
	value, at, found := r.text(k)
	if !found {
		return nil, nil
	}
	out, err := parseTransforms(value)
	if err != nil {
		r.refuse(at, err.Error(), `Write it as [{"type": "url-rewrite", "urlRewriteConfig": {"rewrites": [{"regex": "^/api/(.*)$", "replace": "/$1"}]}}]`)
	}
	return out, r.problems
}

// parseTransforms reads at most one transform of each type, which is what a rule can have, sorted by type.
func parseTransforms(value string) ([]lb.Transform, error) {
	var forms []transformForm
	if err := json.Unmarshal([]byte(value), &forms); err != nil {
		return nil, fmt.Errorf("is no list of transforms in JSON: %w", err)
	}
	byType := map[lb.TransformType]lb.Transform{}
	for _, f := range forms {
		t, err := f.transform()
		if err != nil {
			return nil, err
		}
		if _, twice := byType[t.Type]; twice {
			return nil, fmt.Errorf("has two transforms of type %s, and a rule can have one", t.Type)
		}
		byType[t.Type] = t
	}
	var out []lb.Transform
	for _, kind := range []lb.TransformType{lb.HostHeaderRewrite, lb.URLRewrite} {
		if t, ok := byType[kind]; ok {
			out = append(out, t)
		}
	}
	return out, nil
}

func (f transformForm) transform() (lb.Transform, error) {
	t := lb.Transform{Type: lb.TransformType(f.Type)}
	config, name := f.HostHeaderRewriteConfig, "hostHeaderRewriteConfig"
	switch t.Type {
	case lb.HostHeaderRewrite:
	case lb.URLRewrite:
		config, name = f.URLRewriteConfig, "urlRewriteConfig"
	default:
		return t, fmt.Errorf("has type %q, which must be %s or %s", f.Type, lb.HostHeaderRewrite, lb.URLRewrite)
	}
	if config == nil || len(config.Rewrites) != 1 {
		return t, fmt.Errorf("has a transform of type %s without a %s of exactly one rewrite", t.Type, name)
	}
	t.Regex, t.Replace = config.Rewrites[0].Regex, config.Rewrites[0].Replace
	for _, text := range []string{t.Regex, t.Replace} {
		if text == "" || len(text) > maxRewrite {
			return t, fmt.Errorf("has a rewrite whose regex and replace are not both of 1 to %d characters", maxRewrite)
		}
	}
	return t, checkRegex(t.Regex)
}

func checkRegex(pattern string) error {
	if _, err := regexp.Compile(pattern); err != nil {
		return fmt.Errorf("has %q, which is no regular expression: %w", pattern, err)
	}
	return nil
}

// RegexPaths says whether the paths of an Ingress that are of type ImplementationSpecific are regular expressions.
func RegexPaths(ingress *networkingv1.Ingress) (bool, []lb.Verdict) {
	r := newReader(ingressObject(ingress), ingress.Annotations)
	return r.boolean(useRegexPathMatch).Value, r.problems
}

// CheckRegexPath says what is wrong with a path as a regular expression, or nothing.
func CheckRegexPath(pattern string) string {
	if len(pattern) == 0 || len(pattern) > maxConditionValue {
		return fmt.Sprintf("is not of 1 to %d characters without its first slash, as a regular expression must be", maxConditionValue)
	}
	if err := checkRegex(pattern); err != nil {
		return err.Error()
	}
	return ""
}
