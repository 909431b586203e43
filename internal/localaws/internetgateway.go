package localaws

import (
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/sluicehq/sluice/internal/localaws/wire"
)

type internetGateway struct{ ID, VPC string }

var internetGatewayFilters = filters[internetGateway]{
	"internet-gateway-id": func(g internetGateway) []string { return []string{g.ID} },
	"attachment.vpc-id":   func(g internetGateway) []string { return slices.DeleteFunc([]string{g.VPC}, isEmpty) },
	"attachment.state": func(g internetGateway) []string {
		if g.VPC == "" {
			return nil
		}
		return []string{"available"}
	},
}

func isEmpty(s string) bool { return s == "" }

func (x *tx) internetGatewayWire(g internetGateway) types.InternetGateway {
	w := types.InternetGateway{InternetGatewayId: &g.ID, OwnerId: &x.options.AccountID, Tags: ec2Tags(x.tagsOf(g.ID))}
	if g.VPC != "" {
		w.Attachments = []types.InternetGatewayAttachment{{VpcId: &g.VPC, State: "available"}}
	}
	return w
}

func (x *tx) newInternetGateway(id, vpc string, tags map[string]string) internetGateway {
	g := internetGateway{ID: id, VPC: vpc}
	x.state.internetGateways.put(x, id, g)
	x.setTags(id, x.ec2ARN("internet-gateway", id), tags)
	return g
}

func (x *tx) createInternetGateway(in *ec2.CreateInternetGatewayInput) (*ec2.CreateInternetGatewayOutput, error) {
	tags, err := x.specifiedTags(in.TagSpecifications, types.ResourceTypeInternetGateway)
	if err != nil {
		return nil, err
	}
	g := x.newInternetGateway(x.newID("igw"), "", tags)
	return &ec2.CreateInternetGatewayOutput{InternetGateway: ptr(x.internetGatewayWire(g))}, nil
}

func (x *tx) deleteInternetGateway(in *ec2.DeleteInternetGatewayInput) (*ec2.DeleteInternetGatewayOutput, error) {
	g, err := lookup(x.state.internetGateways, gatewayID, in.InternetGatewayId)
	if err != nil {
		return nil, err
	}
	if g.VPC != "" {
		return nil, wire.Errorf("DependencyViolation", "The internetGateway '%s' has dependencies and cannot be deleted.", g.ID)
	}
	x.state.internetGateways.delete(x, g.ID)
	x.state.tags.delete(x, g.ID)
	return nil, nil
}

func (x *tx) attachInternetGateway(in *ec2.AttachInternetGatewayInput) (*ec2.AttachInternetGatewayOutput, error) {
	g, err := lookup(x.state.internetGateways, gatewayID, in.InternetGatewayId)
	if err != nil {
		return nil, err
	}
	if _, err := lookup(x.state.vpcs, vpcID, in.VpcId); err != nil {
		return nil, err
	}
	if g.VPC != "" {
		return nil, wire.Errorf("Resource.AlreadyAssociated", "resource %s is already attached to network %s", g.ID, g.VPC)
	}
	if x.state.internetGateways.exists(func(o internetGateway) bool { return o.VPC == *in.VpcId }) {
		return nil, wire.Errorf("InvalidParameterValue", "Network %s already has an internet gateway attached", *in.VpcId)
	}
	g.VPC = *in.VpcId
	x.state.internetGateways.put(x, g.ID, g)
	return nil, nil
}

func (x *tx) detachInternetGateway(in *ec2.DetachInternetGatewayInput) (*ec2.DetachInternetGatewayOutput, error) {
	g, err := lookup(x.state.internetGateways, gatewayID, in.InternetGatewayId)
	if err != nil {
		return nil, err
	}
	if g.VPC == "" || g.VPC != val(in.VpcId) {
		return nil, wire.Errorf("Gateway.NotAttached", "resource %s is not attached to network %s", g.ID, val(in.VpcId))
	}
	g.VPC = ""
	x.state.internetGateways.put(x, g.ID, g)
	return nil, nil
}

func (x *tx) describeInternetGateways(in *ec2.DescribeInternetGatewaysInput) (*ec2.DescribeInternetGatewaysOutput, error) {
	found, next, err := describe(x, x.state.internetGateways, query[internetGateway]{
		in.InternetGatewayIds, gatewayID, in.Filters, internetGatewayFilters, in.MaxResults, in.NextToken,
	})
	if err != nil {
		return nil, err
	}
	out := &ec2.DescribeInternetGatewaysOutput{InternetGateways: []types.InternetGateway{}, NextToken: next}
	for _, i := range found {
		out.InternetGateways = append(out.InternetGateways, x.internetGatewayWire(i.value))
	}
	return out, nil
}
