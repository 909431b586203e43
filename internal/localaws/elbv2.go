package localaws

import (
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/sluicehq/sluice/internal/localaws/wire"
)

func registerELBv2(b *binder) {
	on(b, (*tx).createLoadBalancer)
	on(b, (*tx).deleteLoadBalancer)
	on(b, (*tx).describeLoadBalancers)
	on(b, (*tx).describeLoadBalancerAttributes)
	on(b, (*tx).modifyLoadBalancerAttributes)
	on(b, (*tx).setSecurityGroups)
	on(b, (*tx).setSubnets)
	on(b, (*tx).setIPAddressType)
	on(b, (*tx).describeCapacityReservation)
	on(b, (*tx).modifyCapacityReservation)
	on(b, (*tx).createListener)
	on(b, (*tx).modifyListener)
	on(b, (*tx).deleteListener)
	on(b, (*tx).describeListeners)
	on(b, (*tx).describeListenerAttributes)
	on(b, (*tx).modifyListenerAttributes)
	on(b, (*tx).addListenerCertificates)
	on(b, (*tx).removeListenerCertificates)
	on(b, (*tx).describeListenerCertificates)
	on(b, (*tx).createTrustStore)
	on(b, (*tx).modifyTrustStore)
	on(b, (*tx).deleteTrustStore)
	on(b, (*tx).describeTrustStores)
	on(b, (*tx).describeTrustStoreAssociations)
	on(b, (*tx).deleteSharedTrustStoreAssociation)
	on(b, (*tx).getResourcePolicy)
	on(b, (*tx).addTrustStoreRevocations)
	on(b, (*tx).removeTrustStoreRevocations)
	on(b, (*tx).describeTrustStoreRevocations)
	on(b, (*tx).getTrustStoreCaCertificatesBundle)
	on(b, (*tx).getTrustStoreRevocationContent)
	on(b, (*tx).createRule)
	on(b, (*tx).modifyRule)
	on(b, (*tx).deleteRule)
	on(b, (*tx).setRulePriorities)
	on(b, (*tx).describeRules)
	on(b, (*tx).createTargetGroup)
	on(b, (*tx).modifyTargetGroup)
	on(b, (*tx).deleteTargetGroup)
	on(b, (*tx).describeTargetGroups)
	on(b, (*tx).describeTargetGroupAttributes)
	on(b, (*tx).modifyTargetGroupAttributes)
	on(b, (*tx).registerTargets)
	on(b, (*tx).deregisterTargets)
	on(b, (*tx).describeTargetHealth)
	on(b, (*tx).addTags)
	on(b, (*tx).removeTags)
	on(b, (*tx).describeTags)
	on(b, (*tx).describeAccountLimits)
	on(b, (*tx).describeSSLPolicies)
}

// invalid is ELB's complaint about an input.
func invalid(format string, args ...any) error {
	return wire.Errorf("ValidationError", format, args...)
}

// conflicting is ELB's complaint about inputs that are fine one by one.
func conflicting(format string, args ...any) error {
	return wire.Errorf("InvalidConfigurationRequest", format, args...)
}

// notServed refuses by name what this version of local AWS does not carry out.
func notServed(what string) error {
	return conflicting("%s is not supported by this version of local AWS", what)
}

// elbKind is a kind of ELB resource: the word in its ARN, and the code for one that is not there.
type elbKind struct{ word, code, noun string }

var (
	balancerKind = elbKind{"loadbalancer", "LoadBalancerNotFound", "load balancer"}
	listenerKind = elbKind{"listener", "ListenerNotFound", "listener"}
	ruleKind     = elbKind{"listener-rule", "RuleNotFound", "rule"}
	groupKind    = elbKind{"targetgroup", "TargetGroupNotFound", "target group"}
)

// check refuses what is not an ARN of the kind.
func (k elbKind) check(arn string) error {
	if !strings.HasPrefix(arnResource(arn), k.word+"/") || strings.Split(arn, ":")[2] != "elasticloadbalancing" {
		return invalid("'%s' is not a valid %s ARN", arn, k.noun)
	}
	return nil
}

func (k elbKind) notFound(arn string) error {
	if k == balancerKind {
		return wire.Errorf(k.code, "Load balancer '%s' not found", arn)
	}
	return wire.Errorf(k.code, "One or more %ss not found: '%s'", k.noun, arn)
}

// elbRow gets the row an input names.
func elbRow[T any](t *table[T], kind elbKind, arn *string) (T, error) {
	var none T
	if err := kind.check(val(arn)); err != nil {
		return none, err
	}
	row, ok := t.get(*arn)
	if !ok {
		return none, kind.notFound(*arn)
	}
	return row, nil
}

// elbPage is what AWS answers at once when no size is given.
const elbPage = 400

func pageELB[T any](found []item[T], marker *string, size *int32) ([]item[T], *string, error) {
	limit := elbPage
	if size != nil {
		limit = int(*size)
	}
	cut, next, ok := page(found, val(marker), limit)
	if !ok {
		return nil, nil, invalid("The marker '%s' is not valid", val(marker))
	}
	if next == "" {
		return cut, nil, nil
	}
	return cut, &next, nil
}

// checkName holds a load balancer or target group name against the rules for names.
func checkName(noun, name string) error {
	switch {
	case name == "" || len(name) > 32:
		return invalid("The %s name '%s' must have between 1 and 32 characters", noun, name)
	case strings.HasPrefix(name, "-") || strings.HasSuffix(name, "-"):
		return invalid("The %s name '%s' cannot begin or end with '-'", noun, name)
	case strings.ContainsFunc(name, func(r rune) bool {
		return r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}):
		return invalid("The %s name '%s' can only contain characters that are alphanumeric characters and hyphens(-)", noun, name)
	}
	return nil
}

func (x *tx) collectELBTags(tags []types.Tag) (map[string]string, error) {
	split := func(t types.Tag) (*string, *string) { return t.Key, t.Value }
	out, err := collectTags(tags, split, "DuplicateTagKeys", "ValidationError")
	if err == nil && len(out) > x.quota["sluice/tags-per-resource"] {
		return nil, tooManyTags()
	}
	return out, err
}

func tooManyTags() error {
	return wire.Errorf("TooManyTags", "You've reached the limit on the number of tags per resource")
}
