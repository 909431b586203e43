package localaws

import (
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/sluicehq/sluice/internal/localaws/wire"
)

// peering is a connection between two VPCs. One to another account or region stays pending: nobody there can accept it.
type peering struct{ Wire types.VpcPeeringConnection }

func (p peering) id() string { return *p.Wire.VpcPeeringConnectionId }

func (p peering) status() types.VpcPeeringConnectionStateReasonCode { return p.Wire.Status.Code }

// ended tells whether the connection is over, and only remembered.
func (p peering) ended() bool {
	return p.status() == types.VpcPeeringConnectionStateReasonCodeDeleted || p.status() == types.VpcPeeringConnectionStateReasonCodeFailed
}

var peeringFilters = filters[peering]{
	"vpc-peering-connection-id": one(func(p peering) *string { return p.Wire.VpcPeeringConnectionId }),
	"status-code":               func(p peering) []string { return []string{string(p.status())} },
	"accepter-vpc-info.vpc-id":  one(func(p peering) *string { return p.Wire.AccepterVpcInfo.VpcId }),
	"accepter-vpc-info.owner-id": one(func(p peering) *string {
		return p.Wire.AccepterVpcInfo.OwnerId
	}),
	"accepter-vpc-info.cidr-block": one(func(p peering) *string { return p.Wire.AccepterVpcInfo.CidrBlock }),
	"requester-vpc-info.vpc-id":    one(func(p peering) *string { return p.Wire.RequesterVpcInfo.VpcId }),
	"requester-vpc-info.owner-id": one(func(p peering) *string {
		return p.Wire.RequesterVpcInfo.OwnerId
	}),
	"requester-vpc-info.cidr-block": one(func(p peering) *string { return p.Wire.RequesterVpcInfo.CidrBlock }),
}

func (x *tx) peeringWire(p peering) *types.VpcPeeringConnection {
	w := p.Wire
	w.Tags = ec2Tags(x.tagsOf(p.id()))
	return &w
}

func (x *tx) createVpcPeeringConnection(in *ec2.CreateVpcPeeringConnectionInput) (*ec2.CreateVpcPeeringConnectionOutput, error) {
	from, err := lookup(x.state.vpcs, vpcID, in.VpcId)
	if err != nil {
		return nil, err
	}
	owner, region := firstOf(val(in.PeerOwnerId), x.options.AccountID), firstOf(val(in.PeerRegion), x.options.Region)
	to := types.VpcPeeringConnectionVpcInfo{VpcId: in.PeerVpcId, OwnerId: &owner, Region: &region}
	status, message := types.VpcPeeringConnectionStateReasonCodePendingAcceptance, "Pending Acceptance by "+owner
	if owner == x.options.AccountID && region == x.options.Region {
		peer, err := lookup(x.state.vpcs, vpcID, in.PeerVpcId)
		if err != nil {
			return nil, err
		}
		if *in.PeerVpcId == *in.VpcId || peer.cidr().Overlaps(from.cidr()) {
			status, message = types.VpcPeeringConnectionStateReasonCodeFailed, "Failed due to incorrect VPC-ID, Account ID, or overlapping CIDR range"
		}
		to = x.peerInfo(peer)
	} else if err := vpcID.check(val(in.PeerVpcId)); err != nil {
		return nil, err
	}
	tags, err := x.specifiedTags(in.TagSpecifications, types.ResourceTypeVpcPeeringConnection)
	if err != nil {
		return nil, err
	}
	const week = 7 * 24 * time.Hour
	id := x.newID("pcx")
	p := peering{types.VpcPeeringConnection{
		VpcPeeringConnectionId: &id, RequesterVpcInfo: ptr(x.peerInfo(from)), AccepterVpcInfo: &to,
		ExpirationTime: ptr(x.now.Add(week).Truncate(time.Second)),
		Status:         &types.VpcPeeringConnectionStateReason{Code: status, Message: &message},
	}}
	x.state.peerings.put(x, id, p)
	x.setTags(id, x.ec2ARN("vpc-peering-connection", id), tags)
	return &ec2.CreateVpcPeeringConnectionOutput{VpcPeeringConnection: x.peeringWire(p)}, nil
}

func (x *tx) peerInfo(v vpc) types.VpcPeeringConnectionVpcInfo {
	return types.VpcPeeringConnectionVpcInfo{
		VpcId: v.Wire.VpcId, OwnerId: &x.options.AccountID, Region: &x.options.Region, CidrBlock: v.Wire.CidrBlock,
		CidrBlockSet: []types.CidrBlock{{CidrBlock: v.Wire.CidrBlock}},
		PeeringOptions: &types.VpcPeeringConnectionOptionsDescription{
			AllowDnsResolutionFromRemoteVpc: ptr(false), AllowEgressFromLocalClassicLinkToRemoteVpc: ptr(false),
			AllowEgressFromLocalVpcToRemoteClassicLink: ptr(false),
		},
	}
}

func (x *tx) acceptVpcPeeringConnection(in *ec2.AcceptVpcPeeringConnectionInput) (*ec2.AcceptVpcPeeringConnectionOutput, error) {
	p, err := lookup(x.state.peerings, peeringID, in.VpcPeeringConnectionId)
	switch {
	case err != nil:
		return nil, err
	case p.status() == types.VpcPeeringConnectionStateReasonCodeActive:
		return &ec2.AcceptVpcPeeringConnectionOutput{VpcPeeringConnection: x.peeringWire(p)}, nil
	case p.status() != types.VpcPeeringConnectionStateReasonCodePendingAcceptance:
		return nil, wire.Errorf("InvalidStateTransition", "Invalid state transition for %s, attempted to transition from %s to active", p.id(), p.status())
	case *p.Wire.AccepterVpcInfo.OwnerId != x.options.AccountID || *p.Wire.AccepterVpcInfo.Region != x.options.Region:
		return nil, wire.Errorf("OperationNotPermitted", "User %s cannot accept peering %s", x.options.AccountID, p.id())
	}
	p.Wire.Status = &types.VpcPeeringConnectionStateReason{Code: types.VpcPeeringConnectionStateReasonCodeActive, Message: ptr("Active")}
	p.Wire.ExpirationTime = nil
	x.state.peerings.put(x, p.id(), p)
	return &ec2.AcceptVpcPeeringConnectionOutput{VpcPeeringConnection: x.peeringWire(p)}, nil
}

func (x *tx) deleteVpcPeeringConnection(in *ec2.DeleteVpcPeeringConnectionInput) (*ec2.DeleteVpcPeeringConnectionOutput, error) {
	p, err := lookup(x.state.peerings, peeringID, in.VpcPeeringConnectionId)
	if err != nil {
		return nil, err
	}
	if p.ended() {
		return nil, wire.Errorf("InvalidStateTransition", "Invalid state transition for %s, attempted to transition from %s to deleting", p.id(), p.status())
	}
	p.Wire.Status = &types.VpcPeeringConnectionStateReason{
		Code: types.VpcPeeringConnectionStateReasonCodeDeleted, Message: ptr("Deleted by " + x.options.AccountID),
	}
	x.state.peerings.put(x, p.id(), p)
	return &ec2.DeleteVpcPeeringConnectionOutput{Return: ptr(true)}, nil
}

func (x *tx) describeVpcPeeringConnections(in *ec2.DescribeVpcPeeringConnectionsInput) (*ec2.DescribeVpcPeeringConnectionsOutput, error) {
	found, next, err := describe(x, x.state.peerings, query[peering]{
		in.VpcPeeringConnectionIds, peeringID, in.Filters, peeringFilters, in.MaxResults, in.NextToken,
	})
	if err != nil {
		return nil, err
	}
	out := &ec2.DescribeVpcPeeringConnectionsOutput{VpcPeeringConnections: []types.VpcPeeringConnection{}, NextToken: next}
	for _, i := range found {
		out.VpcPeeringConnections = append(out.VpcPeeringConnections, *x.peeringWire(i.value))
	}
	return out, nil
}

// endPeerings takes away the connections of a VPC that is deleted.
func (x *tx) endPeerings(vpc string) {
	for _, p := range x.state.peerings.items(func(_ string, p peering) bool {
		return slices.Contains([]string{val(p.Wire.RequesterVpcInfo.VpcId), val(p.Wire.AccepterVpcInfo.VpcId)}, vpc)
	}) {
		x.state.peerings.delete(x, p.id)
		x.state.tags.delete(x, p.id)
	}
}
