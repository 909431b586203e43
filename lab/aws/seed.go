package aws

import (
	"fmt"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/sluicehq/sluice/lab/network"
)

// The seed file is the contract with "sluice local --seed"; names and nesting
// are that program's.
type seed struct {
	Region           string         `json:"region"`
	AccountID        string         `json:"accountID"`
	Zones            []string       `json:"zones"`
	VPCs             []seedVPC      `json:"vpcs"`
	InternetGateways []seedGateway  `json:"internetGateways"`
	Subnets          []seedSubnet   `json:"subnets"`
	SecurityGroups   []seedGroup    `json:"securityGroups"`
	Instances        []seedInstance `json:"instances"`
}

type tags map[string]string

type seedVPC struct {
	ID   string `json:"id"`
	CIDR string `json:"cidr"`
	Tags tags   `json:"tags"`
}

type seedGateway struct {
	ID  string `json:"id"`
	VPC string `json:"vpc"`
}

type seedSubnet struct {
	ID     string `json:"id"`
	VPC    string `json:"vpc"`
	Zone   string `json:"zone"`
	CIDR   string `json:"cidr"`
	Public bool   `json:"public"`
	Tags   tags   `json:"tags"`
}

type seedGroup struct {
	ID          string `json:"id"`
	VPC         string `json:"vpc"`
	Name        string `json:"name"`
	Description string `json:"description"`
	Tags        tags   `json:"tags"`
}

type seedInstance struct {
	ID               string   `json:"id"`
	Subnet           string   `json:"subnet"`
	PrivateIP        string   `json:"privateIP"`
	Type             string   `json:"type"`
	SecurityGroups   []string `json:"securityGroups"`
	NetworkInterface string   `json:"networkInterface"`
	Prefixes         []string `json:"prefixes"`
	Tags             tags     `json:"tags"`
}

// The names and descriptions that eksctl gives.
const (
	vpcName          = "eksctl-" + cluster + "-cluster/VPC"
	nodeName         = cluster + "-standard-workers-Node"
	groupName        = "eksctl-" + cluster + "-nodes"
	groupDescription = "Communication between the control plane and worker nodes in group standard-workers"
)

// subnetTags are eksctl's: the name, the role that load balancers look for,
// and the cluster.
func subnetTags(zone network.Zone, public bool) tags {
	kind, role := "Private", "kubernetes.io/role/internal-elb"
	if public {
		kind, role = "Public", "kubernetes.io/role/elb"
	}
	name := strings.ToUpper(strings.ReplaceAll(zone.Name, "-", ""))
	return tags{"Name": fmt.Sprintf("eksctl-%s-cluster/Subnet%s%s", cluster, kind, name), role: "1", clusterTag: "shared"}
}

// Seed is the seed file for local AWS.
func Seed(plan network.Plan, inv Inventory, nodes []network.Node) ([]byte, error) {
	s := seed{
		Region: network.Region, AccountID: AccountID,
		VPCs:             []seedVPC{{ID: inv.VPC, CIDR: plan.CIDR.String(), Tags: tags{"Name": vpcName}}},
		InternetGateways: []seedGateway{{ID: inv.InternetGateway, VPC: inv.VPC}},
		SecurityGroups: []seedGroup{{ID: inv.SecurityGroup, VPC: inv.VPC, Name: groupName,
			Description: groupDescription, Tags: tags{clusterTag: "owned"}}},
	}
	private := map[string]string{}
	for i, zone := range plan.Zones {
		s.Zones = append(s.Zones, zone.Name)
		s.Subnets = append(s.Subnets,
			seedSubnet{ID: inv.Public[i], VPC: inv.VPC, Zone: zone.Name, CIDR: zone.Public.String(), Public: true, Tags: subnetTags(zone, true)},
			seedSubnet{ID: inv.Private[i], VPC: inv.VPC, Zone: zone.Name, CIDR: zone.Private.String(), Tags: subnetTags(zone, false)})
		private[zone.Name] = inv.Private[i]
	}
	for i, node := range nodes {
		s.Instances = append(s.Instances, seedInstance{
			ID: inv.Instances[i].ID, Subnet: private[node.Zone.Name], PrivateIP: node.IP.String(), Type: InstanceType,
			SecurityGroups: []string{inv.SecurityGroup}, NetworkInterface: inv.Instances[i].NetworkInterface,
			Prefixes: []string{node.Pods.String()},
			Tags:     tags{"Name": nodeName, clusterTag: "owned"},
		})
	}
	raw, err := yaml.Marshal(s)
	if err != nil {
		return nil, err
	}
	return append([]byte("# What local AWS holds before the first call. Written by \"lab up\".\n"), raw...), nil
}
