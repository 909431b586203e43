package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// lookupTime is how long finding the region or the VPC may take.
const lookupTime = 30 * time.Second

// awsAccess finds credentials and the region as the aws CLI does, and the VPC unless it is given.
func awsAccess(ctx context.Context, cluster, region, vpc string) (aws.Config, string, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	var options []func(*awsconfig.LoadOptions) error
	if region == "" {
		options = append(options, awsconfig.WithEC2IMDSRegion())
	} else {
		options = append(options, awsconfig.WithRegion(region))
	}
	config, err := awsconfig.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return aws.Config{}, "", fmt.Errorf("find out how to reach AWS: %w", err)
	}
	if config.Region == "" {
		return aws.Config{}, "", errors.New("the AWS region is not known: set --aws-region or AWS_REGION")
	}
	if vpc == "" {
		if vpc, err = findVPC(ctx, config, cluster); err != nil {
			return aws.Config{}, "", err
		}
	}
	return config, vpc, nil
}

// findVPC returns the only VPC that is tagged as the cluster's.
func findVPC(ctx context.Context, config aws.Config, cluster string) (string, error) {
	tag := "kubernetes.io/cluster/" + cluster
	name, value := "tag-key", tag
	answer, err := ec2.NewFromConfig(config).DescribeVpcs(ctx, &ec2.DescribeVpcsInput{
		Filters: []ec2types.Filter{{Name: &name, Values: []string{value}}},
	})
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
		return "", fmt.Errorf("no VPC has the tag %s: set --aws-vpc-id", tag)
	default:
		return "", fmt.Errorf("several VPCs have the tag %s (%s): set --aws-vpc-id", tag, strings.Join(ids, ", "))
	}
}

// alive is the liveness check.
func alive(*http.Request) error { return nil }
