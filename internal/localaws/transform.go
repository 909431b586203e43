package localaws

import (
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/sluicehq/sluice/internal/proxy"
)

// maxRewrite is the length of a transform's regular expression, and of what replaces its match.
const maxRewrite = 1024

// normalTransforms checks the transforms of a rule and returns them as Describe shows them.
func normalTransforms(transforms []types.RuleTransform) ([]types.RuleTransform, error) {
	out := make([]types.RuleTransform, 0, len(transforms))
	seen := map[types.TransformTypeEnum]bool{}
	for _, t := range transforms {
		if seen[t.Type] {
			return nil, invalid("A rule can have only one transform of type '%s'", t.Type)
		}
		seen[t.Type] = true
		if mixed := t.HostHeaderRewriteConfig != nil && t.UrlRewriteConfig != nil; mixed || rewriteOf(t) == nil {
			return nil, invalid("A transform of type '%s' must specify the configuration of that type with exactly one rewrite", t.Type)
		}
		r := rewriteOf(t)
		for _, text := range []string{*r.Regex, *r.Replace} {
			if text == "" || len(text) > maxRewrite {
				return nil, invalid("Regex and Replace of a transform of type '%s' must have between 1 and %d characters", t.Type, maxRewrite)
			}
		}
		if err := proxy.CheckRegex(*r.Regex); err != nil {
			return nil, invalid("The regular expression '%s' is not valid in a transform of type '%s': %s", *r.Regex, t.Type, err.Error())
		}
		out = append(out, t)
	}
	return out, nil
}

// rewriteOf is the one rewrite of a transform, or nil.
func rewriteOf(t types.RuleTransform) *types.RewriteConfig {
	var rewrites []types.RewriteConfig
	switch {
	case t.Type == types.TransformTypeEnumHostHeaderRewrite && t.HostHeaderRewriteConfig != nil:
		rewrites = t.HostHeaderRewriteConfig.Rewrites
	case t.Type == types.TransformTypeEnumUrlRewrite && t.UrlRewriteConfig != nil:
		rewrites = t.UrlRewriteConfig.Rewrites
	}
	if len(rewrites) != 1 {
		return nil
	}
	return &rewrites[0]
}

func planeTransforms(transforms []types.RuleTransform) proxy.Transforms {
	var out proxy.Transforms
	for _, t := range transforms {
		r := rewriteOf(t)
		to := &proxy.Rewrite{Regex: *r.Regex, Replace: *r.Replace}
		if t.Type == types.TransformTypeEnumHostHeaderRewrite {
			out.Host = to
		} else {
			out.URL = to
		}
	}
	return out
}
