// Package aws is the lab's place in AWS: the VPC, subnets and instances that
// an eksctl cluster of the same shape would have, as a seed for local AWS
// (seed.go) or created at another endpoint (endpoint.go), and the few calls
// that the lab makes to show what is there.
package aws

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"

	"github.com/sluicehq/sluice/lab/network"
)

// What the lab tells local AWS, and anything that talks to it, about itself.
const (
	AccountID    = "123456789012"
	InstanceType = "m5.large"
	cluster      = "lab"
	clusterTag   = "kubernetes.io/cluster/" + cluster
)

// Inventory holds the identifiers of what the lab has in AWS. They are made
// once and kept, for node objects and cloud must agree.
type Inventory struct {
	VPC             string     `json:"vpc"`
	InternetGateway string     `json:"internetGateway"`
	SecurityGroup   string     `json:"securityGroup"`
	Public          []string   `json:"public"`  // subnets, one per zone
	Private         []string   `json:"private"` // subnets, one per zone
	Instances       []Instance `json:"instances"`
}

// Instance is a node as EC2 sees it.
type Instance struct {
	ID               string `json:"id"`
	NetworkInterface string `json:"networkInterface"`
}

// NewInventory makes identifiers for n nodes.
func NewInventory(plan network.Plan, n int) Inventory {
	inv := Inventory{VPC: id("vpc"), InternetGateway: id("igw"), SecurityGroup: id("sg")}
	for range plan.Zones {
		inv.Public = append(inv.Public, id("subnet"))
		inv.Private = append(inv.Private, id("subnet"))
	}
	for range n {
		inv.Instances = append(inv.Instances, Instance{ID: id("i"), NetworkInterface: id("eni")})
	}
	return inv
}

// ProviderID is what a node object says about its instance.
func (i Instance) ProviderID(zone string) string { return fmt.Sprintf("aws:///%s/%s", zone, i.ID) }

// id makes an identifier as AWS does: 17 hexadecimal digits.
func id(kind string) string {
	raw := make([]byte, 9)
	_, _ = rand.Read(raw) // never fails
	return kind + "-" + hex.EncodeToString(raw)[:17]
}
