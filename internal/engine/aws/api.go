package aws

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/aws/aws-sdk-go-v2/service/acm"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/resourcegroupstaggingapi"
	"github.com/aws/aws-sdk-go-v2/service/shield"
	"github.com/aws/aws-sdk-go-v2/service/wafregional"
	"github.com/aws/aws-sdk-go-v2/service/wafv2"
	"github.com/aws/smithy-go"

	"github.com/sluicehq/sluice/internal/lb"
	"github.com/sluicehq/sluice/internal/plan"
)

// api is all access to AWS. Its methods speak in rows; their errors say which AWS action failed.
type api struct {
	acm     *acm.Client
	elb     *elb.Client
	ec2     *ec2.Client
	shield  *shield.Client
	tagging *resourcegroupstaggingapi.Client
	waf     *wafregional.Client
	wafv2   *wafv2.Client
}

// newAPI makes the clients. Retrying is the SDK's; the budget paces every attempt.
func newAPI(config aws.Config, b *budget) api {
	config = b.install(config)
	return api{
		acm:     acm.NewFromConfig(config),
		elb:     elb.NewFromConfig(config),
		ec2:     ec2.NewFromConfig(config),
		shield:  shield.NewFromConfig(config),
		tagging: resourcegroupstaggingapi.NewFromConfig(config),
		waf:     wafregional.NewFromConfig(config),
		wafv2:   wafv2.NewFromConfig(config),
	}
}

// callError is a call that failed. Action is its IAM name.
type callError struct {
	Action string
	Err    error
}

// Error is "aws: elasticloadbalancing:CreateRule: …".
func (e *callError) Error() string { return "aws: " + e.Action + ": " + e.Err.Error() }

// Unwrap returns the SDK's error.
func (e *callError) Unwrap() error { return e.Err }

func elbError(action string, err error) error { return failed("elasticloadbalancing:"+action, err) }
func ec2Error(action string, err error) error { return failed("ec2:"+action, err) }
func failed(action string, err error) error {
	if err == nil {
		return nil
	}
	return &callError{Action: action, Err: err}
}

// errorCode is AWS's code of an error, or empty for one that AWS did not answer.
func errorCode(err error) string {
	var answer smithy.APIError
	if !errors.As(err, &answer) {
		return ""
	}
	return answer.ErrorCode()
}

func isCode(err error, codes ...string) bool {
	return err != nil && slices.Contains(codes, errorCode(err))
}

// isNotFound says whether AWS answered that something does not exist.
func isNotFound(err error) bool {
	code := errorCode(err)
	return strings.HasSuffix(code, "NotFound") || strings.HasSuffix(code, "NotFoundException")
}

// isDenied says whether the caller lacks the right to do this.
func isDenied(err error) bool {
	return isCode(err, "AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthFailure", "OptInRequired")
}

// isTransient says whether the same call may succeed later: AWS is busy or broken, or did not answer.
func isTransient(err error) bool {
	var answer smithy.APIError
	if !errors.As(err, &answer) {
		return true
	}
	if _, throttled := retry.DefaultThrottleErrorCodes[answer.ErrorCode()]; throttled {
		return true
	}
	if _, again := retry.DefaultRetryableErrorCodes[answer.ErrorCode()]; again {
		return true
	}
	switch answer.ErrorCode() {
	case "ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "SignatureDoesNotMatch", "RequestExpired":
		return true // the credentials' own trouble; new ones come without anybody changing an object
	}
	var response *smithyhttp.ResponseError
	return errors.As(err, &response) && response.HTTPStatusCode() >= http.StatusInternalServerError
}

// quotas names the quota behind each code, as Service Quotas shows it.
var quotas = map[string]string{
	"TooManyLoadBalancers":                     "Application Load Balancers per Region",
	"TooManyListeners":                         "Listeners per Application Load Balancer",
	"TooManyCertificates":                      "Certificates per Application Load Balancer",
	"TooManyRules":                             "Rules per Application Load Balancer",
	"TooManyTargetGroups":                      "Target Groups per Region",
	"TooManyTargets":                           "Targets per Target Group per Region",
	"TooManyRegistrationsForTargetId":          "Targets per Application Load Balancer",
	"TooManyUniqueTargetGroupsPerLoadBalancer": "Target Groups per Application Load Balancer",
	"TooManyTags":                              "tags per resource",
	"SecurityGroupLimitExceeded":               "VPC security groups per Region",
	"RulesPerSecurityGroupLimitExceeded":       "Inbound or outbound rules per security group",
}

// judged turns an error of a mutating call into what the loop decides on: trouble that a person must end is a
// BlockedError, all else stays as it is and is retried.
func judged(err error) error {
	var blocked *plan.BlockedError
	var later *plan.LaterError
	var call *callError
	switch {
	case err == nil || errors.As(err, &blocked) || errors.As(err, &later):
		return err
	case isTransient(err) || !errors.As(err, &call):
		return err
	case isDenied(err):
		return blockedBy(err, lb.CloudRefused, "", "the controller may not call "+call.Action,
			"Allow "+call.Action+" in the IAM policy of the controller's role")
	}
	code := errorCode(err)
	if name, known := quotas[code]; known || strings.HasSuffix(code, "LimitExceeded") {
		return blockedBy(err, lb.QuotaExceeded, "", "AWS's quota is used up: "+answerText(err),
			fmt.Sprintf("Ask for more of the quota %q in Service Quotas, or remove what is not needed", orElse(name, code)))
	}
	if isNotFound(err) {
		return err // it went under our hands; the mirror knows by now, and the next plan makes it again
	}
	return blockedBy(err, lb.CloudRefused, "", "AWS refused "+call.Action+": "+answerText(err),
		"Change what AWS names; it is tried again when the object changes")
}

func blockedBy(err error, reason lb.Reason, value, problem, fix string) error {
	return &plan.BlockedError{
		Verdict: lb.Verdict{Severity: lb.Refused, Reason: reason, Value: value, Problem: problem, Fix: fix},
		Err:     err,
	}
}

// answerText is AWS's own words: "TooManyRules: …".
func answerText(err error) string {
	var answer smithy.APIError
	if !errors.As(err, &answer) {
		return err.Error()
	}
	return answer.ErrorCode() + ": " + strings.TrimSuffix(answer.ErrorMessage(), ".")
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// batchSize is how many ARNs one Describe call of ELBv2 takes.
const batchSize = 20

// inBatches reads rows by ARN. A batch that fails because one of its ARNs is gone is halved until that one stands
// alone, and is left out.
func inBatches[V any](ctx context.Context, arns []string, read func(context.Context, []string) ([]V, error)) ([]V, error) {
	var rows []V
	for batch := range slices.Chunk(arns, batchSize) {
		some, err := readOrHalve(ctx, batch, read)
		if err != nil {
			return nil, err
		}
		rows = append(rows, some...)
	}
	return rows, nil
}

func readOrHalve[V any](ctx context.Context, arns []string, read func(context.Context, []string) ([]V, error)) ([]V, error) {
	rows, err := read(ctx, arns)
	switch {
	case err == nil:
		return rows, nil
	case !isNotFound(err):
		return nil, err
	case len(arns) == 1:
		return nil, nil
	}
	left, err := readOrHalve(ctx, arns[:len(arns)/2], read)
	if err != nil {
		return nil, err
	}
	right, err := readOrHalve(ctx, arns[len(arns)/2:], read)
	return append(left, right...), err
}
