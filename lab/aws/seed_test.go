package aws

import (
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/sluicehq/sluice/lab/network"
)

func TestSeedIsWhatLocalAWSReads(t *testing.T) {
	plan, err := network.NewPlan("192.168.0.0/16")
	if err != nil {
		t.Fatal(err)
	}
	inv := Inventory{VPC: "vpc-1", InternetGateway: "igw-1", SecurityGroup: "sg-1",
		Public: []string{"subnet-1", "subnet-2", "subnet-3"}, Private: []string{"subnet-4", "subnet-5", "subnet-6"},
		Instances: []Instance{{ID: "i-1", NetworkInterface: "eni-1"}}}
	got, err := Seed(plan, inv, plan.Nodes(1))
	if err != nil {
		t.Fatal(err)
	}
	want := `
region: ap-northeast-1
accountID: "123456789012"
zones: [ap-northeast-1a, ap-northeast-1c, ap-northeast-1d]
vpcs:
- {id: vpc-1, cidr: 192.168.0.0/16, tags: {Name: eksctl-lab-cluster/VPC}}
internetGateways:
- {id: igw-1, vpc: vpc-1}
subnets:
- {id: subnet-1, vpc: vpc-1, zone: ap-northeast-1a, cidr: 192.168.0.0/19, public: true, tags: {Name: eksctl-lab-cluster/SubnetPublicAPNORTHEAST1A, kubernetes.io/role/elb: "1", kubernetes.io/cluster/lab: shared}}
- {id: subnet-4, vpc: vpc-1, zone: ap-northeast-1a, cidr: 192.168.96.0/19, public: false, tags: {Name: eksctl-lab-cluster/SubnetPrivateAPNORTHEAST1A, kubernetes.io/role/internal-elb: "1", kubernetes.io/cluster/lab: shared}}
- {id: subnet-2, vpc: vpc-1, zone: ap-northeast-1c, cidr: 192.168.32.0/19, public: true, tags: {Name: eksctl-lab-cluster/SubnetPublicAPNORTHEAST1C, kubernetes.io/role/elb: "1", kubernetes.io/cluster/lab: shared}}
- {id: subnet-5, vpc: vpc-1, zone: ap-northeast-1c, cidr: 192.168.128.0/19, public: false, tags: {Name: eksctl-lab-cluster/SubnetPrivateAPNORTHEAST1C, kubernetes.io/role/internal-elb: "1", kubernetes.io/cluster/lab: shared}}
- {id: subnet-3, vpc: vpc-1, zone: ap-northeast-1d, cidr: 192.168.64.0/19, public: true, tags: {Name: eksctl-lab-cluster/SubnetPublicAPNORTHEAST1D, kubernetes.io/role/elb: "1", kubernetes.io/cluster/lab: shared}}
- {id: subnet-6, vpc: vpc-1, zone: ap-northeast-1d, cidr: 192.168.160.0/19, public: false, tags: {Name: eksctl-lab-cluster/SubnetPrivateAPNORTHEAST1D, kubernetes.io/role/internal-elb: "1", kubernetes.io/cluster/lab: shared}}
securityGroups:
- {id: sg-1, vpc: vpc-1, name: eksctl-lab-nodes, description: Communication between the control plane and worker nodes in group standard-workers, tags: {kubernetes.io/cluster/lab: owned}}
instances:
- id: i-1
  subnet: subnet-4
  privateIP: 192.168.96.10
  type: m5.large
  securityGroups: [sg-1]
  networkInterface: eni-1
  prefixes: [192.168.97.0/24]
  tags: {Name: lab-standard-workers-Node, kubernetes.io/cluster/lab: owned}
`
	var gotTree, wantTree any
	if err := yaml.Unmarshal(got, &gotTree); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal([]byte(want), &wantTree); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(wantTree, gotTree); diff != "" {
		t.Errorf("seed (-want +got):\n%s", diff)
	}
}

func TestIdentifiersLookLikeAWS(t *testing.T) {
	plan, _ := network.NewPlan("192.168.0.0/16")
	inv := NewInventory(plan, 2)
	for _, id := range append([]string{inv.VPC, inv.InternetGateway, inv.SecurityGroup, inv.Instances[1].ID}, inv.Public...) {
		if !regexp.MustCompile(`^(vpc|igw|sg|subnet|i)-[0-9a-f]{17}$`).MatchString(id) {
			t.Errorf("identifier %q", id)
		}
	}
	if got := (Instance{ID: "i-0123"}).ProviderID("ap-northeast-1a"); got != "aws:///ap-northeast-1a/i-0123" {
		t.Errorf("provider ID %q", got)
	}
}
