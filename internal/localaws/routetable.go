package localaws

import (
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/sluicehq/sluice/internal/localaws/wire"
)

type routeTable struct{ Wire types.RouteTable }

func (r routeTable) main() bool {
	return slices.ContainsFunc(r.Wire.Associations, func(a types.RouteTableAssociation) bool { return val(a.Main) })
}

var routeTableFilters = filters[routeTable]{
	"route-table-id": one(func(r routeTable) *string { return r.Wire.RouteTableId }),
	"vpc-id":         one(func(r routeTable) *string { return r.Wire.VpcId }),
	"owner-id":       one(func(r routeTable) *string { return r.Wire.OwnerId }),
	"association.main": func(r routeTable) []string {
		if r.main() {
			return []string{"true"}
		}
		return []string{"false"}
	},
	"association.subnet-id": func(r routeTable) []string {
		return each(r.Wire.Associations, func(a types.RouteTableAssociation) *string { return a.SubnetId })
	},
	"association.route-table-association-id": func(r routeTable) []string {
		return each(r.Wire.Associations, func(a types.RouteTableAssociation) *string { return a.RouteTableAssociationId })
	},
	"route.gateway-id": func(r routeTable) []string {
		return each(r.Wire.Routes, func(a types.Route) *string { return a.GatewayId })
	},
	"route.destination-cidr-block": func(r routeTable) []string {
		return each(r.Wire.Routes, func(a types.Route) *string { return a.DestinationCidrBlock })
	},
}

// each collects the values that are set.
func each[T any](list []T, value func(T) *string) []string {
	var out []string
	for _, e := range list {
		if v := value(e); v != nil {
			out = append(out, *v)
		}
	}
	return out
}

func (x *tx) newRouteTable(v vpc, main bool, tags map[string]string) routeTable {
	id := x.newID("rtb")
	r := routeTable{types.RouteTable{
		RouteTableId: &id, VpcId: v.Wire.VpcId, OwnerId: &x.options.AccountID,
		Routes: []types.Route{{
			DestinationCidrBlock: v.Wire.CidrBlock, GatewayId: ptr("local"), State: types.RouteStateActive,
			Origin: types.RouteOriginCreateRouteTable,
		}},
	}}
	if main {
		r.Wire.Associations = []types.RouteTableAssociation{x.association(id, nil)}
	}
	x.state.routeTables.put(x, id, r)
	x.setTags(id, x.ec2ARN("route-table", id), tags)
	return r
}

// association ties a route table to a subnet, or, as the main one, to all that have none.
func (x *tx) association(table string, subnet *string) types.RouteTableAssociation {
	return types.RouteTableAssociation{
		RouteTableAssociationId: ptr(x.newID("rtbassoc")), RouteTableId: &table, SubnetId: subnet, Main: ptr(subnet == nil),
		AssociationState: &types.RouteTableAssociationState{State: types.RouteTableAssociationStateCodeAssociated},
	}
}

// dissociate removes associations and tells whether there were any.
func (x *tx) dissociate(r routeTable, match func(types.RouteTableAssociation) bool) bool {
	kept := slices.DeleteFunc(slices.Clone(r.Wire.Associations), match)
	if len(kept) == len(r.Wire.Associations) {
		return false
	}
	r.Wire.Associations = kept
	x.state.routeTables.put(x, *r.Wire.RouteTableId, r)
	return true
}

func (x *tx) createRouteTable(in *ec2.CreateRouteTableInput) (*ec2.CreateRouteTableOutput, error) {
	v, err := lookup(x.state.vpcs, vpcID, in.VpcId)
	if err != nil {
		return nil, err
	}
	tags, err := x.specifiedTags(in.TagSpecifications, types.ResourceTypeRouteTable)
	if err != nil {
		return nil, err
	}
	w := x.newRouteTable(v, false, tags).Wire
	w.Tags = ec2Tags(tags)
	return &ec2.CreateRouteTableOutput{RouteTable: &w}, nil
}

func (x *tx) deleteRouteTable(in *ec2.DeleteRouteTableInput) (*ec2.DeleteRouteTableOutput, error) {
	r, err := lookup(x.state.routeTables, tableID, in.RouteTableId)
	if err != nil {
		return nil, err
	}
	if len(r.Wire.Associations) > 0 {
		return nil, wire.Errorf("DependencyViolation", "The routeTable '%s' has dependencies and cannot be deleted.", *in.RouteTableId)
	}
	x.state.routeTables.delete(x, *in.RouteTableId)
	x.state.tags.delete(x, *in.RouteTableId)
	return nil, nil
}

func (x *tx) associateRouteTable(in *ec2.AssociateRouteTableInput) (*ec2.AssociateRouteTableOutput, error) {
	r, err := lookup(x.state.routeTables, tableID, in.RouteTableId)
	if err != nil {
		return nil, err
	}
	if in.GatewayId != nil || in.PublicIpv4Pool != nil {
		return nil, notYet("Route table associations with gateways")
	}
	s, err := lookup(x.state.subnets, subnetID, in.SubnetId)
	if err != nil {
		return nil, err
	}
	if *s.Wire.VpcId != *r.Wire.VpcId {
		return nil, wire.Errorf("InvalidParameterValue", "route table %s and subnet %s belong to different networks",
			*in.RouteTableId, *in.SubnetId)
	}
	same := func(a types.RouteTableAssociation) bool { return val(a.SubnetId) == *in.SubnetId }
	for _, other := range x.state.routeTables.all() {
		if slices.ContainsFunc(other.Wire.Associations, same) && *other.Wire.RouteTableId != *in.RouteTableId {
			return nil, wire.Errorf("Resource.AlreadyAssociated",
				"the specified association for route table %s conflicts with an existing association", *in.RouteTableId)
		}
	}
	if at := slices.IndexFunc(r.Wire.Associations, same); at >= 0 {
		a := r.Wire.Associations[at]
		return &ec2.AssociateRouteTableOutput{AssociationId: a.RouteTableAssociationId, AssociationState: a.AssociationState}, nil
	}
	a := x.association(*in.RouteTableId, in.SubnetId)
	r.Wire.Associations = append(slices.Clone(r.Wire.Associations), a)
	x.state.routeTables.put(x, *in.RouteTableId, r)
	return &ec2.AssociateRouteTableOutput{AssociationId: a.RouteTableAssociationId, AssociationState: a.AssociationState}, nil
}

func (x *tx) disassociateRouteTable(in *ec2.DisassociateRouteTableInput) (*ec2.DisassociateRouteTableOutput, error) {
	for _, r := range x.state.routeTables.all() {
		if x.dissociate(r, func(a types.RouteTableAssociation) bool {
			return *a.RouteTableAssociationId == *in.AssociationId && !val(a.Main)
		}) {
			return nil, nil
		}
	}
	return nil, wire.Errorf("InvalidAssociationID.NotFound", "The association ID '%s' does not exist", *in.AssociationId)
}

func (x *tx) createRoute(in *ec2.CreateRouteInput) (*ec2.CreateRouteOutput, error) {
	r, err := lookup(x.state.routeTables, tableID, in.RouteTableId)
	if err != nil {
		return nil, err
	}
	if in.GatewayId == nil || in.DestinationCidrBlock == nil {
		return nil, notYet("Routes other than from an IPv4 block to an internet gateway")
	}
	g, err := lookup(x.state.internetGateways, gatewayID, in.GatewayId)
	if err != nil {
		return nil, err
	}
	if g.VPC != *r.Wire.VpcId {
		return nil, wire.Errorf("InvalidParameterValue", "route table %s and network gateway %s belong to different networks",
			*in.RouteTableId, *in.GatewayId)
	}
	block, err := privateBlock(*in.DestinationCidrBlock, "destinationCidrBlock")
	if err != nil {
		return nil, err
	}
	for _, route := range r.Wire.Routes {
		if *route.DestinationCidrBlock == block.String() {
			if *route.GatewayId == *in.GatewayId {
				return &ec2.CreateRouteOutput{Return: ptr(true)}, nil
			}
			return nil, wire.Errorf("RouteAlreadyExists", "The route identified by %s already exists.", block)
		}
	}
	x.addRoute(r, block.String(), *in.GatewayId)
	return &ec2.CreateRouteOutput{Return: ptr(true)}, nil
}

func (x *tx) addRoute(r routeTable, block, gateway string) routeTable {
	r.Wire.Routes = append(slices.Clone(r.Wire.Routes), types.Route{
		DestinationCidrBlock: &block, GatewayId: &gateway, State: types.RouteStateActive, Origin: types.RouteOriginCreateRoute,
	})
	x.state.routeTables.put(x, *r.Wire.RouteTableId, r)
	return r
}

func (x *tx) deleteRoute(in *ec2.DeleteRouteInput) (*ec2.DeleteRouteOutput, error) {
	r, err := lookup(x.state.routeTables, tableID, in.RouteTableId)
	if err != nil {
		return nil, err
	}
	kept := slices.DeleteFunc(slices.Clone(r.Wire.Routes), func(route types.Route) bool {
		return *route.DestinationCidrBlock == val(in.DestinationCidrBlock) && route.Origin == types.RouteOriginCreateRoute
	})
	if len(kept) == len(r.Wire.Routes) {
		return nil, wire.Errorf("InvalidRoute.NotFound", "no route with destination-cidr-block %s in route table %s",
			val(in.DestinationCidrBlock), *in.RouteTableId)
	}
	r.Wire.Routes = kept
	x.state.routeTables.put(x, *in.RouteTableId, r)
	return nil, nil
}

func (x *tx) describeRouteTables(in *ec2.DescribeRouteTablesInput) (*ec2.DescribeRouteTablesOutput, error) {
	found, next, err := describe(x, x.state.routeTables,
		query[routeTable]{in.RouteTableIds, tableID, in.Filters, routeTableFilters, in.MaxResults, in.NextToken})
	if err != nil {
		return nil, err
	}
	out := &ec2.DescribeRouteTablesOutput{RouteTables: []types.RouteTable{}, NextToken: next}
	for _, i := range found {
		w := i.value.Wire
		w.Tags = ec2Tags(x.tagsOf(i.id))
		out.RouteTables = append(out.RouteTables, w)
	}
	return out, nil
}
