package aws

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/sluicehq/sluice/internal/lb"
	"github.com/sluicehq/sluice/internal/plan"
)

// mostAttributes is how many attributes one call changes.
const mostAttributes = 20

// attributes remembers the attributes of load balancers, listeners and target groups.
type attributes struct {
	learned[map[string]string]
	api api
}

func newAttributes(a api, touch func(arn string)) *attributes {
	return &attributes{
		learned: learned[map[string]string]{read: a.attributes, same: maps.Equal[map[string]string, map[string]string], touch: touch}, api: a,
	}
}

// sync sets those attributes that differ.
func (a *attributes) sync(ctx context.Context, arn string, want []lb.Attribute) error {
	have, _ := a.get(arn)
	missing := slices.DeleteFunc(slices.Clone(want), func(w lb.Attribute) bool {
		value, ok := have[w.Key]
		return ok && value == w.Value
	})
	for some := range slices.Chunk(missing, mostAttributes) {
		now, err := a.api.setAttributes(ctx, arn, some)
		if isNotFound(err) {
			a.drop(arn)
		}
		if err != nil {
			return err
		}
		a.set(arn, now)
	}
	return nil
}

// attributed is a resource that has attributes: those that are wanted of it, and for what is there those of the same
// keys. Others are nobody's business.
type attributed interface {
	plan.Resource
	ofAWS() (arn string, attributes []lb.Attribute)
	withAttributes(list []lb.Attribute) plan.Resource
}

// compared gives what is there the attributes that are wanted of it. Where they are not known, learn is asked first.
func (a *attributes) compared(have, want []plan.Resource, learn func(arn string) error) ([]plan.Resource, error) {
	wanted := map[plan.ID][]lb.Attribute{}
	for _, r := range want {
		if w, ok := r.(attributed); ok {
			if _, list := w.ofAWS(); len(list) > 0 {
				wanted[r.ID()] = list
			}
		}
	}
	have = slices.Clone(have)
	for i, r := range have {
		h, ok := r.(attributed)
		keys := wanted[r.ID()]
		if !ok || len(keys) == 0 {
			continue
		}
		arn, _ := h.ofAWS()
		if err := learn(arn); err != nil {
			return nil, err
		}
		known, _ := a.get(arn)
		var list []lb.Attribute
		for _, w := range keys {
			if value, ok := known[w.Key]; ok {
				list = append(list, lb.Attribute{Key: w.Key, Value: value})
			}
		}
		have[i] = h.withAttributes(list)
	}
	return have, nil
}

func (b LoadBalancer) ofAWS() (string, []lb.Attribute) { return b.arn, b.Attributes }
func (l Listener) ofAWS() (string, []lb.Attribute)     { return l.arn, l.Attributes }
func (g TargetGroup) ofAWS() (string, []lb.Attribute)  { return g.arn, g.Attributes }

func (b LoadBalancer) withAttributes(list []lb.Attribute) plan.Resource {
	b.Attributes = list
	return b
}

func (l Listener) withAttributes(list []lb.Attribute) plan.Resource {
	l.Attributes = list
	return l
}

func (g TargetGroup) withAttributes(list []lb.Attribute) plan.Resource {
	g.Attributes = list
	return g
}

func attributeFields(list []lb.Attribute) []plan.Field {
	var fields []plan.Field
	for _, a := range list {
		fields = append(fields, plan.Field{Name: "attribute " + a.Key, Value: a.Value})
	}
	return fields
}

// attributes reads those of one resource.
func (a api) attributes(ctx context.Context, arn string) (map[string]string, error) {
	switch {
	case strings.Contains(arn, ":loadbalancer/"):
		out, err := a.elb.DescribeLoadBalancerAttributes(ctx, &elb.DescribeLoadBalancerAttributesInput{LoadBalancerArn: aws.String(arn)})
		if err != nil {
			return nil, elbError("DescribeLoadBalancerAttributes", err)
		}
		return balancerAttributes(out.Attributes), nil
	case strings.Contains(arn, ":listener/"):
		out, err := a.elb.DescribeListenerAttributes(ctx, &elb.DescribeListenerAttributesInput{ListenerArn: aws.String(arn)})
		if err != nil {
			return nil, elbError("DescribeListenerAttributes", err)
		}
		return listenerAttributes(out.Attributes), nil
	default:
		out, err := a.elb.DescribeTargetGroupAttributes(ctx, &elb.DescribeTargetGroupAttributesInput{TargetGroupArn: aws.String(arn)})
		if err != nil {
			return nil, elbError("DescribeTargetGroupAttributes", err)
		}
		return groupAttributes(out.Attributes), nil
	}
}

// setAttributes changes some and returns all.
func (a api) setAttributes(ctx context.Context, arn string, list []lb.Attribute) (map[string]string, error) {
	switch {
	case strings.Contains(arn, ":loadbalancer/"):
		in := &elb.ModifyLoadBalancerAttributesInput{LoadBalancerArn: aws.String(arn)}
		for _, x := range list {
			in.Attributes = append(in.Attributes, elbtypes.LoadBalancerAttribute{Key: aws.String(x.Key), Value: aws.String(x.Value)})
		}
		out, err := a.elb.ModifyLoadBalancerAttributes(ctx, in)
		if err != nil {
			return nil, elbError("ModifyLoadBalancerAttributes", err)
		}
		return balancerAttributes(out.Attributes), nil
	case strings.Contains(arn, ":listener/"):
		in := &elb.ModifyListenerAttributesInput{ListenerArn: aws.String(arn)}
		for _, x := range list {
			in.Attributes = append(in.Attributes, elbtypes.ListenerAttribute{Key: aws.String(x.Key), Value: aws.String(x.Value)})
		}
		out, err := a.elb.ModifyListenerAttributes(ctx, in)
		if err != nil {
			return nil, elbError("ModifyListenerAttributes", err)
		}
		return listenerAttributes(out.Attributes), nil
	default:
		in := &elb.ModifyTargetGroupAttributesInput{TargetGroupArn: aws.String(arn)}
		for _, x := range list {
			in.Attributes = append(in.Attributes, elbtypes.TargetGroupAttribute{Key: aws.String(x.Key), Value: aws.String(x.Value)})
		}
		out, err := a.elb.ModifyTargetGroupAttributes(ctx, in)
		if err != nil {
			return nil, elbError("ModifyTargetGroupAttributes", err)
		}
		return groupAttributes(out.Attributes), nil
	}
}

func balancerAttributes(list []elbtypes.LoadBalancerAttribute) map[string]string {
	out := map[string]string{}
	for _, a := range list {
		out[aws.ToString(a.Key)] = aws.ToString(a.Value)
	}
	return out
}

func listenerAttributes(list []elbtypes.ListenerAttribute) map[string]string {
	out := map[string]string{}
	for _, a := range list {
		out[aws.ToString(a.Key)] = aws.ToString(a.Value)
	}
	return out
}

func groupAttributes(list []elbtypes.TargetGroupAttribute) map[string]string {
	out := map[string]string{}
	for _, a := range list {
		out[aws.ToString(a.Key)] = aws.ToString(a.Value)
	}
	return out
}
