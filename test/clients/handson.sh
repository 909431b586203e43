#!/bin/bash
# The aws commands of a hands-on, as people type them, and the names that they make, asked for with dig.
set -euo pipefail

expect() { # what, value, pattern
  if [[ ! $2 =~ $3 ]]; then
    echo "$1 is '$2', want $3" >&2
    exit 1
  fi
}
ask() { dig +short +time=2 +tries=1 -p "${DNS##*:}" @"${DNS%:*}" "$@"; }

CLUSTER_NAME=lab
aws ec2 create-tags --resources subnet-0a00000000000000a subnet-0a00000000000000c subnet-0a00000000000000d \
  --tags "Key=Name,Value=eksctl-$CLUSTER_NAME-cluster/SubnetPublic"

PUBLIC_SUBNETS=$(aws ec2 describe-subnets \
--filters "Name=tag:Name,Values=*${CLUSTER_NAME}*Public*" \
--query 'Subnets[].SubnetId' --output text \
| tr '\t' ',')
expect "the list of subnets" "$PUBLIC_SUBNETS" '^subnet-0a00000000000000a,subnet-0a00000000000000c,subnet-0a00000000000000d$'

aws route53 create-hosted-zone --name "frieza.dev." --caller-reference "frieza.dev-$(date +%s)"

HOSTED_ZONE_ID=$(aws route53 list-hosted-zones --query 'HostedZones[0].Id' --output text)
aws route53 get-hosted-zone --id $HOSTED_ZONE_ID
expect "the zone" "$HOSTED_ZONE_ID" '^/hostedzone/Z[A-Z0-9]+$'

AWS_ACCOUNT_ID=$(aws sts get-caller-identity --query "Account" --output text)
expect "the account" "$AWS_ACCOUNT_ID" '^123456789012$'

lb=$(aws elbv2 create-load-balancer --name web --subnets ${PUBLIC_SUBNETS//,/ } --query 'LoadBalancers[0].LoadBalancerArn' --output text)
aws elbv2 wait load-balancer-available --load-balancer-arns "$lb"
aws elbv2 create-listener --load-balancer-arn "$lb" --protocol HTTP --port 8080 \
  --default-actions 'Type=fixed-response,FixedResponseConfig={StatusCode=200,ContentType=text/plain,MessageBody=hello}'
read -r name zone <<<"$(aws elbv2 describe-load-balancers --names web --query 'LoadBalancers[0].[DNSName,CanonicalHostedZoneId]' --output text)"

cat > records.json <<JSON
{"Changes": [
  {"Action": "CREATE", "ResourceRecordSet": {"Name": "app.frieza.dev", "Type": "A",
    "AliasTarget": {"HostedZoneId": "$zone", "DNSName": "$name", "EvaluateTargetHealth": true}}},
  {"Action": "CREATE", "ResourceRecordSet": {"Name": "app.frieza.dev", "Type": "TXT", "TTL": 300,
    "ResourceRecords": [{"Value": "\"heritage=external-dns\""}]}},
  {"Action": "CREATE", "ResourceRecordSet": {"Name": "*.frieza.dev", "Type": "AAAA", "TTL": 300,
    "ResourceRecords": [{"Value": "2001:db8::1"}]}}
]}
JSON
sed 's/CREATE/DELETE/' records.json > del-records.json
aws route53 change-resource-record-sets --hosted-zone-id $HOSTED_ZONE_ID --change-batch file://records.json

address=$(ask "$name")
expect "the load balancer's address" "$address" '^127\.[0-9.]+$'
expect "the alias" "$(ask app.frieza.dev)" "^$address$"
expect "the text" "$(ask app.frieza.dev TXT)" '^"heritage=external-dns"$'
expect "the wildcard" "$(ask anything.frieza.dev AAAA)" '^2001:db8::1$'
expect "the name servers" "$(ask frieza.dev NS | wc -l)" '^4$'
expect "curl 1.1" "$(curl -sS --http1.1 -w ' %{http_version} %{http_code}' "http://$address:8080/")" '^hello 1\.1 200$'
expect "curl 1.0" "$(curl -sS --http1.0 -w ' %{http_code}' "http://$address:8080/")" '^hello 200$'

aws route53 change-resource-record-sets --hosted-zone-id $HOSTED_ZONE_ID --change-batch file://del-records.json
aws route53 delete-hosted-zone --id $HOSTED_ZONE_ID
aws elbv2 delete-load-balancer --load-balancer-arn "$lb"
aws elbv2 wait load-balancers-deleted --load-balancer-arns "$lb"
expect "what is left" "$(aws route53 list-hosted-zones --query 'length(HostedZones)')" '^0$'
