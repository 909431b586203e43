package localaws

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
)

func (x *tx) describeAccountLimits(in *elb.DescribeAccountLimitsInput) (*elb.DescribeAccountLimitsOutput, error) {
	var all []item[types.Limit]
	for i, name := range slices.Sorted(maps.Keys(x.quota)) {
		if !strings.Contains(name, "/") {
			limit := types.Limit{Name: &name, Max: ptr(strconv.Itoa(x.quota[name]))}
			all = append(all, item[types.Limit]{key: uint64(i + 1), value: limit})
		}
	}
	found, next, err := pageELB(all, in.Marker, in.PageSize)
	if err != nil {
		return nil, err
	}
	out := &elb.DescribeAccountLimitsOutput{NextMarker: next}
	for _, l := range found {
		out.Limits = append(out.Limits, l.value)
	}
	return out, nil
}
