package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/sluicehq/sluice/internal/lb"
)

// lookupTime is how long finding the region or the VPC may take.
const lookupTime = 30 * time.Second

// awsAccess says how to reach AWS, and in which VPC the cluster is. What is empty is found out.
type awsAccess struct {
	cluster   string
	region    string
	vpc       string
	vpcTags   map[string]string
	endpoints map[string]string // by the SDK's service id
	attempts  int               // of each call in all
	instance  string            // one that is known to be in the VPC, or empty
}

// open finds credentials and the region as the aws CLI does, and the VPC unless it is given.
func (a awsAccess) open(ctx context.Context) (aws.Config, string, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	if err := setEndpoints(a.endpoints); err != nil {
		return aws.Config{}, "", err
	}
	var options []func(*awsconfig.LoadOptions) error
	if a.region == "" {
		options = append(options, awsconfig.WithEC2IMDSRegion())
	} else {
		options = append(options, awsconfig.WithRegion(a.region))
	}
	if a.attempts > 0 {
		options = append(options, awsconfig.WithRetryMaxAttempts(a.attempts))
	}
	config, err := awsconfig.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return aws.Config{}, "", fmt.Errorf("find out how to reach AWS: %w", err)
	}
	if config.Region == "" {
		return aws.Config{}, "", errors.New("the AWS region is not known: set --aws-region or AWS_REGION")
	}
	vpc := a.vpc
	if vpc == "" {
		if vpc, err = a.findVPC(ctx, config); err != nil {
			return aws.Config{}, "", err
		}
	}
	return config, vpc, nil
}

// endpointServices are the services that --aws-api-endpoints can name, by the SDK's id; AWS SDKs and Tools Reference
// Guide, "Service-specific endpoints", has the variables.
var endpointServices = map[string]string{
	"EC2":                         "AWS_ENDPOINT_URL_EC2",
	"Elastic Load Balancing v2":   "AWS_ENDPOINT_URL_ELASTIC_LOAD_BALANCING_V2",
	"ACM":                         "AWS_ENDPOINT_URL_ACM",
	"WAFV2":                       "AWS_ENDPOINT_URL_WAFV2",
	"WAF Regional":                "AWS_ENDPOINT_URL_WAF_REGIONAL",
	"Shield":                      "AWS_ENDPOINT_URL_SHIELD",
	"Resource Groups Tagging API": "AWS_ENDPOINT_URL_RESOURCE_GROUPS_TAGGING_API",
	"STS":                         "AWS_ENDPOINT_URL_STS",
	"Global Accelerator":          "AWS_ENDPOINT_URL_GLOBAL_ACCELERATOR",
	"Route 53":                    "AWS_ENDPOINT_URL_ROUTE_53",
	"Cognito Identity Provider":   "AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER",
	"IAM":                         "AWS_ENDPOINT_URL_IAM",
	"ec2imds":                     "AWS_EC2_METADATA_SERVICE_ENDPOINT",
}

// setEndpoints makes endpoints hold for every client in this process: the SDK's environment variables for single
// services are the one setting that wins over all others.
func setEndpoints(endpoints map[string]string) error {
	for service, url := range endpoints {
		variable, known := endpointServices[service]
		if !known {
			return fmt.Errorf("--aws-api-endpoints names %q, and there are only %s", service, strings.Join(slices.Sorted(maps.Keys(endpointServices)), ", "))
		}
		if err := os.Setenv(variable, url); err != nil {
			return err
		}
	}
	return nil
}

// findVPC finds the cluster's VPC: the only one with the tags that were given; else the only one tagged as the
// cluster's, the one of the machine that this runs on, or the one of the instance that NODENAME names.
func (a awsAccess) findVPC(ctx context.Context, config aws.Config) (string, error) {
	client := ec2.NewFromConfig(config)
	if len(a.vpcTags) > 0 {
		var filters []ec2types.Filter
		for _, t := range sortedTags(a.vpcTags) {
			filters = append(filters, ec2types.Filter{Name: aws.String("tag:" + t.Key), Values: []string{t.Value}})
		}
		return onlyVPC(ctx, client, filters, "the tags "+tagList(sortedTags(a.vpcTags)))
	}
	tag := "kubernetes.io/cluster/" + a.cluster
	vpc, err := onlyVPC(ctx, client, []ec2types.Filter{{Name: aws.String("tag-key"), Values: []string{tag}}}, "the tag "+tag)
	if err == nil {
		return vpc, nil
	}
	if a.instance != "" {
		return instanceVPC(ctx, client, a.instance)
	}
	if own := machineVPC(ctx, config); own != "" {
		return own, nil
	}
	if node := os.Getenv("NODENAME"); strings.HasPrefix(node, "i-") {
		return instanceVPC(ctx, client, node)
	}
	return "", err
}

// onlyVPC returns the VPC that filters select, which must be one.
func onlyVPC(ctx context.Context, client *ec2.Client, filters []ec2types.Filter, what string) (string, error) {
	answer, err := client.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{Filters: filters})
	if err != nil {
		return "", fmt.Errorf("find the cluster's VPC; set --aws-vpc-id to do without: %w", err)
	}
	var ids []string
	for _, v := range answer.Vpcs {
		ids = append(ids, aws.ToString(v.VpcId))
	}
	switch len(ids) {
	case 1:
		return ids[0], nil
	case 0:
		return "", fmt.Errorf("no VPC has %s: set --aws-vpc-id", what)
	default:
		return "", fmt.Errorf("several VPCs have %s (%s): set --aws-vpc-id", what, strings.Join(ids, ", "))
	}
}

// machineVPC is the VPC of the instance that this runs on, or empty where that is none.
func machineVPC(ctx context.Context, config aws.Config) string {
	ctx, cancel := context.WithTimeout(ctx, lookupTime/6)
	defer cancel()
	client := imds.NewFromConfig(config)
	read := func(path string) string {
		answer, err := client.GetMetadata(ctx, &imds.GetMetadataInput{Path: path})
		if err != nil {
			return ""
		}
		defer answer.Content.Close() //nolint:errcheck // it was only read
		text, err := io.ReadAll(answer.Content)
		if err != nil {
			return ""
		}
		return string(text)
	}
	mac := read("mac")
	if mac == "" {
		return ""
	}
	return read("network/interfaces/macs/" + mac + "/vpc-id")
}

// instanceVPC is the VPC of an instance.
func instanceVPC(ctx context.Context, client *ec2.Client, id string) (string, error) {
	answer, err := client.DescribeInstances(ctx, &ec2.DescribeInstancesInput{InstanceIds: []string{id}})
	if err != nil {
		return "", fmt.Errorf("find the VPC of instance %s; set --aws-vpc-id to do without: %w", id, err)
	}
	for _, r := range answer.Reservations {
		for _, i := range r.Instances {
			if vpc := aws.ToString(i.VpcId); vpc != "" {
				return vpc, nil
			}
		}
	}
	return "", fmt.Errorf("instance %s is in no VPC: set --aws-vpc-id", id)
}

func tagList(tags []lb.Tag) string {
	var list []string
	for _, t := range tags {
		list = append(list, t.Key+"="+t.Value)
	}
	return strings.Join(list, ", ")
}

// alive is the liveness check.
func alive(*http.Request) error { return nil }
