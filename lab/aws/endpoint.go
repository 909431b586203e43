package aws

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sort"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/miekg/dns"

	"github.com/sluicehq/sluice/lab/network"
)

// Endpoint is where the AWS APIs are, and how to get in.
type Endpoint struct {
	URL             string
	AccessKeyID     string
	SecretAccessKey string
}

func (e Endpoint) config(ctx context.Context) (sdk.Config, error) {
	return config.LoadDefaultConfig(ctx,
		config.WithRegion(network.Region),
		config.WithBaseEndpoint(e.URL),
		config.WithSharedConfigFiles(nil), config.WithSharedCredentialsFiles(nil),
		config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider(e.AccessKeyID, e.SecretAccessKey, "")))
}

// Create makes the lab's VPC, subnets and instances at an endpoint other than
// local AWS and returns what they are called there.
func Create(ctx context.Context, e Endpoint, plan network.Plan, nodes []network.Node) (Inventory, error) {
	settings, err := e.config(ctx)
	if err != nil {
		return Inventory{}, err
	}
	c := creator{Client: ec2.NewFromConfig(settings), plan: plan}
	if err := c.create(ctx, nodes); err != nil {
		return Inventory{}, fmt.Errorf("%s: %w", e.URL, err)
	}
	return c.inv, nil
}

type creator struct {
	*ec2.Client
	plan network.Plan
	inv  Inventory
}

func (c *creator) create(ctx context.Context, nodes []network.Node) error {
	vpc, err := c.CreateVpc(ctx, &ec2.CreateVpcInput{CidrBlock: sdk.String(c.plan.CIDR.String()),
		TagSpecifications: tagged(types.ResourceTypeVpc, tags{"Name": vpcName})})
	if err != nil {
		return fmt.Errorf("create the VPC: %w", err)
	}
	c.inv.VPC = sdk.ToString(vpc.Vpc.VpcId)
	routes, err := c.publicRoutes(ctx)
	if err != nil {
		return err
	}
	for _, zone := range c.plan.Zones {
		public, err := c.subnet(ctx, zone, zone.Public, true)
		if err != nil {
			return err
		}
		if _, err := c.AssociateRouteTable(ctx, &ec2.AssociateRouteTableInput{RouteTableId: &routes, SubnetId: &public}); err != nil {
			return fmt.Errorf("route subnet %s: %w", public, err)
		}
		private, err := c.subnet(ctx, zone, zone.Private, false)
		if err != nil {
			return err
		}
		c.inv.Public, c.inv.Private = append(c.inv.Public, public), append(c.inv.Private, private)
	}
	group, err := c.CreateSecurityGroup(ctx, &ec2.CreateSecurityGroupInput{VpcId: &c.inv.VPC, GroupName: sdk.String(groupName),
		Description: sdk.String(groupDescription), TagSpecifications: tagged(types.ResourceTypeSecurityGroup, tags{clusterTag: "owned"})})
	if err != nil {
		return fmt.Errorf("create the nodes' security group: %w", err)
	}
	c.inv.SecurityGroup = sdk.ToString(group.GroupId)
	for i, node := range nodes {
		if err := c.instance(ctx, node, c.inv.Private[i%len(c.plan.Zones)]); err != nil {
			return fmt.Errorf("run the instance of node %s: %w", node.Short, err)
		}
	}
	return nil
}

// publicRoutes makes an internet gateway and a route table that leads there.
func (c *creator) publicRoutes(ctx context.Context) (string, error) {
	gateway, err := c.CreateInternetGateway(ctx, &ec2.CreateInternetGatewayInput{})
	if err != nil {
		return "", fmt.Errorf("create the internet gateway: %w", err)
	}
	c.inv.InternetGateway = sdk.ToString(gateway.InternetGateway.InternetGatewayId)
	if _, err := c.AttachInternetGateway(ctx, &ec2.AttachInternetGatewayInput{InternetGatewayId: &c.inv.InternetGateway, VpcId: &c.inv.VPC}); err != nil {
		return "", fmt.Errorf("attach the internet gateway: %w", err)
	}
	table, err := c.CreateRouteTable(ctx, &ec2.CreateRouteTableInput{VpcId: &c.inv.VPC})
	if err != nil {
		return "", fmt.Errorf("create the public route table: %w", err)
	}
	if _, err := c.CreateRoute(ctx, &ec2.CreateRouteInput{RouteTableId: table.RouteTable.RouteTableId,
		DestinationCidrBlock: sdk.String("0.0.0.0/0"), GatewayId: &c.inv.InternetGateway}); err != nil {
		return "", fmt.Errorf("route to the internet gateway: %w", err)
	}
	return sdk.ToString(table.RouteTable.RouteTableId), nil
}

func (c *creator) subnet(ctx context.Context, zone network.Zone, cidr netip.Prefix, public bool) (string, error) {
	subnet, err := c.CreateSubnet(ctx, &ec2.CreateSubnetInput{VpcId: &c.inv.VPC, AvailabilityZone: sdk.String(zone.Name),
		CidrBlock: sdk.String(cidr.String()), TagSpecifications: tagged(types.ResourceTypeSubnet, subnetTags(zone, public))})
	if err != nil {
		return "", fmt.Errorf("create subnet %s: %w", cidr, err)
	}
	return sdk.ToString(subnet.Subnet.SubnetId), nil
}

func (c *creator) instance(ctx context.Context, node network.Node, subnet string) error {
	run, err := c.RunInstances(ctx, &ec2.RunInstancesInput{
		MinCount: sdk.Int32(1), MaxCount: sdk.Int32(1), InstanceType: InstanceType,
		// Any image will do: the node is ours. Endpoints want the form only.
		ImageId: sdk.String("ami-0123456789abcdef0"), SubnetId: &subnet, PrivateIpAddress: sdk.String(node.IP.String()),
		SecurityGroupIds:  []string{c.inv.SecurityGroup},
		TagSpecifications: tagged(types.ResourceTypeInstance, tags{"Name": nodeName, clusterTag: "owned"}),
	})
	if err != nil {
		return err
	}
	made := run.Instances[0]
	instance := Instance{ID: sdk.ToString(made.InstanceId)}
	if len(made.NetworkInterfaces) > 0 {
		instance.NetworkInterface = sdk.ToString(made.NetworkInterfaces[0].NetworkInterfaceId)
		if _, err := c.AssignPrivateIpAddresses(ctx, &ec2.AssignPrivateIpAddressesInput{
			NetworkInterfaceId: &instance.NetworkInterface, Ipv4Prefixes: []string{node.Pods.String()}}); err != nil {
			return fmt.Errorf("assign the pods' prefix: %w", err)
		}
	}
	c.inv.Instances = append(c.inv.Instances, instance)
	return nil
}

func tagged(kind types.ResourceType, values tags) []types.TagSpecification {
	spec := types.TagSpecification{ResourceType: kind}
	for key, value := range values {
		spec.Tags = append(spec.Tags, types.Tag{Key: sdk.String(key), Value: sdk.String(value)})
	}
	sort.Slice(spec.Tags, func(i, j int) bool { return *spec.Tags[i].Key < *spec.Tags[j].Key })
	return []types.TagSpecification{spec}
}

// LoadBalancer is one line of what the lab shows.
type LoadBalancer struct{ Name, Scheme, State, DNSName string }

// LoadBalancers lists what exists at the endpoint, by name.
func LoadBalancers(ctx context.Context, e Endpoint) ([]LoadBalancer, error) {
	settings, err := e.config(ctx)
	if err != nil {
		return nil, err
	}
	var out []LoadBalancer
	pages := elb.NewDescribeLoadBalancersPaginator(elb.NewFromConfig(settings), &elb.DescribeLoadBalancersInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("list load balancers: %w", err)
		}
		for _, balancer := range page.LoadBalancers {
			line := LoadBalancer{Name: sdk.ToString(balancer.LoadBalancerName), Scheme: string(balancer.Scheme), DNSName: sdk.ToString(balancer.DNSName)}
			if balancer.State != nil {
				line.State = string(balancer.State.Code)
			}
			out = append(out, line)
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out, nil
}

// Ready asks the endpoint for its VPCs, to see whether it answers.
func Ready(ctx context.Context, e Endpoint) error {
	settings, err := e.config(ctx)
	if err != nil {
		return err
	}
	_, err = ec2.NewFromConfig(settings, func(o *ec2.Options) { o.RetryMaxAttempts = 1 }).DescribeVpcs(ctx, &ec2.DescribeVpcsInput{})
	return err
}

// Resolve asks the DNS server at address for a name's IPv4 addresses.
func Resolve(ctx context.Context, server, name string) ([]netip.Addr, error) {
	query := new(dns.Msg).SetQuestion(dns.Fqdn(name), dns.TypeA)
	client := &dns.Client{Timeout: 2 * time.Second, Dialer: &net.Dialer{Timeout: 2 * time.Second}}
	answer, _, err := client.ExchangeContext(ctx, query, server)
	if err != nil {
		return nil, fmt.Errorf("ask %s for %s: %w", server, name, err)
	}
	var out []netip.Addr
	for _, record := range answer.Answer {
		if a, ok := record.(*dns.A); ok {
			if address, ok := netip.AddrFromSlice(a.A.To4()); ok {
				out = append(out, address)
			}
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s knows no address of %s (%s)", server, name, dns.RcodeToString[answer.Rcode])
	}
	return out, nil
}
