"""boto3 takes every kind of resource of local AWS through create, describe, modify, tag and delete.

ENDPOINT is where local AWS is. The standard seed of localawstest is there: a VPC with subnets and instances in three zones.
"""
import os
import subprocess
import tempfile
import unittest

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

REGION = "ap-northeast-1"
VPC = "vpc-0a000000000000001"
PUBLIC = ["subnet-0a00000000000000a", "subnet-0a00000000000000c", "subnet-0a00000000000000d"]
INSTANCE = "i-0a00000000000000a"


def client(service):
    return boto3.client(
        service, endpoint_url=os.environ["ENDPOINT"], region_name=REGION, aws_access_key_id="local",
        aws_secret_access_key="local", config=Config(retries={"max_attempts": 1}))


def tags(**kv):
    return [{"Key": k, "Value": v} for k, v in kv.items()]


def read(listed):
    return {t["Key"]: t["Value"] for t in listed}


def certificate(name):
    """A self-signed certificate and its key, in PEM."""
    with tempfile.TemporaryDirectory() as d:
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=" + name,
             "-addext", "subjectAltName=DNS:" + name, "-keyout", d + "/key", "-out", d + "/cert"],
            check=True, capture_output=True)
        with open(d + "/cert") as c, open(d + "/key") as k:
            return c.read(), k.read()


class Kinds(unittest.TestCase):
    def refused(self, code):
        """The call inside fails with the code."""
        test = self

        class Check:
            def __enter__(self):
                return self

            def __exit__(self, kind, error, _):
                test.assertIsInstance(error, ClientError, "the call succeeded")
                test.assertEqual(error.response["Error"]["Code"], code)
                test.assertTrue(error.response["ResponseMetadata"]["RequestId"])
                return True

        return Check()

    def test_network(self):
        ec2 = client("ec2")
        vpc = ec2.create_vpc(CidrBlock="10.7.0.0/16", TagSpecifications=[{"ResourceType": "vpc", "Tags": tags(Name="t")}])["Vpc"]
        self.assertEqual(read(vpc["Tags"]), {"Name": "t"})
        ec2.modify_vpc_attribute(VpcId=vpc["VpcId"], EnableDnsHostnames={"Value": True})
        self.assertTrue(ec2.describe_vpc_attribute(VpcId=vpc["VpcId"], Attribute="enableDnsHostnames")["EnableDnsHostnames"]["Value"])
        subnet = ec2.create_subnet(VpcId=vpc["VpcId"], CidrBlock="10.7.1.0/24", AvailabilityZone=REGION + "a")["Subnet"]
        ec2.modify_subnet_attribute(SubnetId=subnet["SubnetId"], MapPublicIpOnLaunch={"Value": True})
        self.assertTrue(ec2.describe_subnets(SubnetIds=[subnet["SubnetId"]])["Subnets"][0]["MapPublicIpOnLaunch"])
        gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc["VpcId"])
        table = ec2.create_route_table(VpcId=vpc["VpcId"])["RouteTable"]["RouteTableId"]
        ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
        association = ec2.associate_route_table(RouteTableId=table, SubnetId=subnet["SubnetId"])["AssociationId"]
        routes = ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"][0]["Routes"]
        self.assertIn(gateway, [r.get("GatewayId") for r in routes])
        group = ec2.create_security_group(GroupName="g", Description="d", VpcId=vpc["VpcId"])["GroupId"]
        rule = [{"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "IpRanges": [{"CidrIp": "0.0.0.0/0", "Description": "web"}]}]
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=rule)
        with self.refused("InvalidPermission.Duplicate"):
            ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=rule)
        rules = ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [group]}])["SecurityGroupRules"]
        self.assertEqual(sorted(r["IsEgress"] for r in rules), [False, True])
        ec2.create_tags(Resources=[group, subnet["SubnetId"]], Tags=tags(a="1", b="2"))
        ec2.delete_tags(Resources=[group], Tags=[{"Key": "b"}])
        found = ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [group]}])["Tags"]
        self.assertEqual([(t["Key"], t["ResourceType"]) for t in found], [("a", "security-group")])
        peer = ec2.create_vpc_peering_connection(VpcId=vpc["VpcId"], PeerVpcId=VPC)["VpcPeeringConnection"]["VpcPeeringConnectionId"]
        ec2.get_waiter("vpc_peering_connection_exists").wait(VpcPeeringConnectionIds=[peer])
        self.assertEqual(ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=peer)["VpcPeeringConnection"]["Status"]["Code"], "active")
        ec2.delete_vpc_peering_connection(VpcPeeringConnectionId=peer)
        names = ec2.create_managed_prefix_list(PrefixListName="p", AddressFamily="IPv4", MaxEntries=5, Entries=[{"Cidr": "10.0.0.0/8"}])["PrefixList"]["PrefixListId"]
        self.assertEqual(len(ec2.get_managed_prefix_list_entries(PrefixListId=names)["Entries"]), 1)
        ec2.delete_managed_prefix_list(PrefixListId=names)
        address = ec2.allocate_address(Domain="vpc")["AllocationId"]
        self.assertEqual(len(ec2.describe_addresses(AllocationIds=[address])["Addresses"]), 1)
        ec2.release_address(AllocationId=address)
        with self.refused("DependencyViolation"):
            ec2.delete_vpc(VpcId=vpc["VpcId"])
        ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=rule)
        ec2.delete_security_group(GroupId=group)
        ec2.disassociate_route_table(AssociationId=association)
        ec2.delete_route_table(RouteTableId=table)
        ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc["VpcId"])
        ec2.delete_internet_gateway(InternetGatewayId=gateway)
        ec2.delete_subnet(SubnetId=subnet["SubnetId"])
        ec2.delete_vpc(VpcId=vpc["VpcId"])
        with self.refused("InvalidVpcID.NotFound"):
            ec2.describe_vpcs(VpcIds=[vpc["VpcId"]])

    def test_instances(self):
        ec2 = client("ec2")
        run = ec2.run_instances(MinCount=1, MaxCount=1, ImageId="ami-0123456789abcdef0", InstanceType="t3.small", SubnetId=PUBLIC[0], ClientToken="once")
        again = ec2.run_instances(MinCount=1, MaxCount=1, ImageId="ami-0123456789abcdef0", InstanceType="t3.small", SubnetId=PUBLIC[0], ClientToken="once")
        instance = run["Instances"][0]["InstanceId"]
        self.assertEqual(instance, again["Instances"][0]["InstanceId"])
        ec2.get_waiter("instance_running").wait(InstanceIds=[instance])
        enis = ec2.describe_network_interfaces(Filters=[{"Name": "attachment.instance-id", "Values": [instance]}])["NetworkInterfaces"]
        self.assertEqual(len(enis), 1)
        ec2.terminate_instances(InstanceIds=[instance])
        ec2.get_waiter("instance_terminated").wait(InstanceIds=[instance])
        pages = list(ec2.get_paginator("describe_subnets").paginate(PaginationConfig={"PageSize": 5}))
        self.assertEqual([len(p["Subnets"]) for p in pages][0], 5)

    def test_application_load_balancer(self):
        elb = client("elbv2")
        lb = elb.create_load_balancer(Name="web", Subnets=PUBLIC[:2], Tags=tags(a="1"))["LoadBalancers"][0]
        arn = lb["LoadBalancerArn"]
        elb.get_waiter("load_balancer_available").wait(LoadBalancerArns=[arn])
        self.assertRegex(lb["DNSName"], r"^web-\d+\.ap-northeast-1\.elb\.amazonaws\.com$")
        elb.modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=tags(**{"idle_timeout.timeout_seconds": "30"}))
        self.assertEqual(read(elb.describe_load_balancer_attributes(LoadBalancerArn=arn)["Attributes"])["idle_timeout.timeout_seconds"], "30")
        self.assertEqual(len(elb.set_subnets(LoadBalancerArn=arn, Subnets=PUBLIC)["AvailabilityZones"]), 3)
        group = elb.create_target_group(Name="app", Protocol="HTTP", Port=80, VpcId=VPC, TargetType="instance")["TargetGroups"][0]["TargetGroupArn"]
        elb.modify_target_group(TargetGroupArn=group, HealthCheckPath="/health")
        elb.modify_target_group_attributes(TargetGroupArn=group, Attributes=tags(**{"deregistration_delay.timeout_seconds": "5"}))
        elb.register_targets(TargetGroupArn=group, Targets=[{"Id": INSTANCE, "Port": 8080}])
        self.assertEqual(elb.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"][0]["HealthCheckPort"], "8080")
        with self.refused("InvalidTarget"):
            elb.register_targets(TargetGroupArn=group, Targets=[{"Id": "i-0123456789abcdef0"}])
        forward = [{"Type": "forward", "TargetGroupArn": group}]
        # A port that needs no right to be opened.
        listener = elb.create_listener(LoadBalancerArn=arn, Protocol="HTTP", Port=8080, DefaultActions=forward)["Listeners"][0]["ListenerArn"]
        fixed = [{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}]
        elb.modify_listener(ListenerArn=listener, DefaultActions=fixed)
        rule = elb.create_rule(ListenerArn=listener, Priority=10, Actions=forward, Conditions=[{"Field": "path-pattern", "Values": ["/a/*"]}])["Rules"][0]["RuleArn"]
        elb.modify_rule(RuleArn=rule, Conditions=[{"Field": "host-header", "HostHeaderConfig": {"Values": ["a.example"]}}])
        with self.refused("PriorityInUse"):
            elb.create_rule(ListenerArn=listener, Priority=10, Actions=fixed, Conditions=[{"Field": "path-pattern", "Values": ["/b"]}])
        elb.set_rule_priorities(RulePriorities=[{"RuleArn": rule, "Priority": 20}])
        self.assertEqual([r["Priority"] for r in elb.describe_rules(ListenerArn=listener)["Rules"]], ["20", "default"])
        for resource in (arn, group, listener, rule):
            elb.add_tags(ResourceArns=[resource], Tags=tags(b="2"))
            self.assertEqual(read(elb.describe_tags(ResourceArns=[resource])["TagDescriptions"][0]["Tags"])["b"], "2")
            elb.remove_tags(ResourceArns=[resource], TagKeys=["b"])
        with self.refused("ResourceInUse"):
            elb.delete_target_group(TargetGroupArn=group)
        elb.delete_rule(RuleArn=rule)
        elb.deregister_targets(TargetGroupArn=group, Targets=[{"Id": INSTANCE, "Port": 8080}])
        elb.delete_listener(ListenerArn=listener)
        elb.delete_target_group(TargetGroupArn=group)
        elb.delete_load_balancer(LoadBalancerArn=arn)
        elb.get_waiter("load_balancers_deleted").wait(LoadBalancerArns=[arn])
        self.assertIn("application-load-balancers", [limit["Name"] for limit in elb.describe_account_limits()["Limits"]])
        self.assertTrue(elb.describe_ssl_policies()["SslPolicies"])

    def test_network_load_balancer(self):
        elb = client("elbv2")
        lb = elb.create_load_balancer(Name="net", Type="network", Subnets=PUBLIC[:2])["LoadBalancers"][0]
        arn = lb["LoadBalancerArn"]
        self.assertRegex(lb["DNSName"], r"^net-[0-9a-f]{16}\.elb\.ap-northeast-1\.amazonaws\.com$")
        group = elb.create_target_group(Name="tcp", Protocol="TCP", Port=80, VpcId=VPC, TargetType="ip")["TargetGroups"][0]["TargetGroupArn"]
        listener = elb.create_listener(LoadBalancerArn=arn, Protocol="TCP", Port=8081, DefaultActions=[{"Type": "forward", "TargetGroupArn": group}])["Listeners"][0]
        self.assertEqual(listener["Protocol"], "TCP")
        elb.modify_listener_attributes(ListenerArn=listener["ListenerArn"], Attributes=tags(**{"tcp.idle_timeout.seconds": "60"}))
        elb.delete_load_balancer(LoadBalancerArn=arn)
        elb.delete_target_group(TargetGroupArn=group)

    def test_certificates(self):
        acm, iam = client("acm"), client("iam")
        body, key = certificate("a.example")
        arn = acm.import_certificate(Certificate=body, PrivateKey=key, Tags=tags(a="1"))["CertificateArn"]
        self.assertEqual(acm.describe_certificate(CertificateArn=arn)["Certificate"]["Status"], "ISSUED")
        acm.add_tags_to_certificate(CertificateArn=arn, Tags=tags(b="2"))
        self.assertEqual(read(acm.list_tags_for_certificate(CertificateArn=arn)["Tags"]), {"a": "1", "b": "2"})
        acm.remove_tags_from_certificate(CertificateArn=arn, Tags=[{"Key": "b"}])
        self.assertIn("BEGIN CERTIFICATE", acm.get_certificate(CertificateArn=arn)["Certificate"])
        acm.delete_certificate(CertificateArn=arn)
        with self.refused("ResourceNotFoundException"):
            acm.describe_certificate(CertificateArn=arn)
        asked = acm.request_certificate(DomainName="b.example", ValidationMethod="DNS", IdempotencyToken="once")["CertificateArn"]
        self.assertEqual(acm.request_certificate(DomainName="b.example", ValidationMethod="DNS", IdempotencyToken="once")["CertificateArn"], asked)
        self.assertEqual(acm.describe_certificate(CertificateArn=asked)["Certificate"]["Status"], "PENDING_VALIDATION")
        acm.delete_certificate(CertificateArn=asked)
        name = iam.upload_server_certificate(ServerCertificateName="s", CertificateBody=body, PrivateKey=key)["ServerCertificateMetadata"]["ServerCertificateName"]
        iam.tag_server_certificate(ServerCertificateName=name, Tags=tags(a="1"))
        iam.update_server_certificate(ServerCertificateName=name, NewServerCertificateName="s2")
        self.assertEqual(read(iam.list_server_certificate_tags(ServerCertificateName="s2")["Tags"]), {"a": "1"})
        iam.delete_server_certificate(ServerCertificateName="s2")
        with self.refused("NoSuchEntity"):
            iam.get_server_certificate(ServerCertificateName="s2")

    def test_hosted_zones(self):
        r53 = client("route53")
        made = r53.create_hosted_zone(Name="kinds.example", CallerReference="k1")
        zone = made["HostedZone"]["Id"]
        self.assertEqual(len(made["DelegationSet"]["NameServers"]), 4)
        with self.refused("HostedZoneAlreadyExists"):
            r53.create_hosted_zone(Name="kinds.example", CallerReference="k1")
        record = {"Name": "www.kinds.example", "Type": "A", "TTL": 60, "ResourceRecords": [{"Value": "192.0.2.1"}]}
        change = r53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": [{"Action": "UPSERT", "ResourceRecordSet": record}]})
        r53.get_waiter("resource_record_sets_changed").wait(Id=change["ChangeInfo"]["Id"])
        with self.refused("InvalidChangeBatch"):
            r53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": [{"Action": "CREATE", "ResourceRecordSet": record}]})
        self.assertEqual(sum(len(p["ResourceRecordSets"]) for p in r53.get_paginator("list_resource_record_sets").paginate(HostedZoneId=zone)), 3)
        r53.change_tags_for_resource(ResourceType="hostedzone", ResourceId=zone.split("/")[-1], AddTags=tags(a="1"))
        self.assertEqual(read(r53.list_tags_for_resource(ResourceType="hostedzone", ResourceId=zone.split("/")[-1])["ResourceTagSet"]["Tags"]), {"a": "1"})
        r53.update_hosted_zone_comment(Id=zone, Comment="new")
        with self.refused("HostedZoneNotEmpty"):
            r53.delete_hosted_zone(Id=zone)
        r53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": [{"Action": "DELETE", "ResourceRecordSet": record}]})
        r53.delete_hosted_zone(Id=zone)
        with self.refused("NoSuchHostedZone"):
            r53.get_hosted_zone(Id=zone)

    def test_protection(self):
        """WAF, Shield (which this boto3 speaks CBOR with) and tags by ARN (CBOR too)."""
        elb, waf, shield, tagging = client("elbv2"), client("wafv2"), client("shield"), client("resourcegroupstaggingapi")
        lb = elb.create_load_balancer(Name="guarded", Subnets=PUBLIC[:2])["LoadBalancers"][0]["LoadBalancerArn"]
        visible = {"SampledRequestsEnabled": False, "CloudWatchMetricsEnabled": False, "MetricName": "m"}
        acl = waf.create_web_acl(Name="acl", Scope="REGIONAL", DefaultAction={"Allow": {}}, VisibilityConfig=visible)["Summary"]
        waf.associate_web_acl(WebACLArn=acl["ARN"], ResourceArn=lb)
        self.assertEqual(waf.get_web_acl_for_resource(ResourceArn=lb)["WebACL"]["ARN"], acl["ARN"])
        with self.refused("WAFAssociatedItemException"):
            waf.delete_web_acl(Name="acl", Scope="REGIONAL", Id=acl["Id"], LockToken=acl["LockToken"])
        waf.disassociate_web_acl(ResourceArn=lb)
        waf.update_web_acl(Name="acl", Scope="REGIONAL", Id=acl["Id"], LockToken=acl["LockToken"], DefaultAction={"Block": {}}, VisibilityConfig=visible)
        waf.tag_resource(ResourceARN=acl["ARN"], Tags=tags(a="1"))
        token = waf.get_web_acl(Name="acl", Scope="REGIONAL", Id=acl["Id"])["LockToken"]
        waf.delete_web_acl(Name="acl", Scope="REGIONAL", Id=acl["Id"], LockToken=token)
        self.assertEqual(shield.get_subscription_state()["SubscriptionState"], "INACTIVE")
        shield.create_subscription()
        protection = shield.create_protection(Name="p", ResourceArn=lb)["ProtectionId"]
        found = shield.describe_protection(ResourceArn=lb)["Protection"]
        self.assertEqual(found["Id"], protection)
        shield.tag_resource(ResourceARN=found["ProtectionArn"], Tags=tags(a="1"))
        shield.delete_protection(ProtectionId=protection)
        with self.refused("ResourceNotFoundException"):
            shield.describe_protection(ResourceArn=lb)
        self.assertEqual(tagging.tag_resources(ResourceARNList=[lb], Tags={"stage": "test"})["FailedResourcesMap"], {})
        pages = tagging.get_paginator("get_resources").paginate(TagFilters=[{"Key": "stage", "Values": ["test"]}], ResourceTypeFilters=["elasticloadbalancing:loadbalancer"])
        self.assertEqual([m["ResourceARN"] for p in pages for m in p["ResourceTagMappingList"]], [lb])
        tagging.untag_resources(ResourceARNList=[lb], TagKeys=["stage"])
        elb.delete_load_balancer(LoadBalancerArn=lb)

    def test_accelerators(self):
        ga = client("globalaccelerator")
        arn = ga.create_accelerator(Name="a", IdempotencyToken="t", Tags=tags(a="1"))["Accelerator"]["AcceleratorArn"]
        listener = ga.create_listener(AcceleratorArn=arn, PortRanges=[{"FromPort": 80, "ToPort": 80}], Protocol="TCP", IdempotencyToken="t")["Listener"]["ListenerArn"]
        group = ga.create_endpoint_group(ListenerArn=listener, EndpointGroupRegion=REGION, IdempotencyToken="t")["EndpointGroup"]["EndpointGroupArn"]
        ga.update_endpoint_group(EndpointGroupArn=group, TrafficDialPercentage=50.5)
        self.assertEqual(ga.describe_endpoint_group(EndpointGroupArn=group)["EndpointGroup"]["TrafficDialPercentage"], 50.5)
        ga.tag_resource(ResourceArn=arn, Tags=tags(b="2"))
        self.assertEqual(read(ga.list_tags_for_resource(ResourceArn=arn)["Tags"]), {"a": "1", "b": "2"})
        ga.delete_endpoint_group(EndpointGroupArn=group)
        ga.delete_listener(ListenerArn=listener)
        with self.refused("AcceleratorNotDisabledException"):
            ga.delete_accelerator(AcceleratorArn=arn)
        ga.update_accelerator(AcceleratorArn=arn, Enabled=False)
        ga.delete_accelerator(AcceleratorArn=arn)
        self.assertEqual(ga.list_accelerators()["Accelerators"], [])

    def test_user_pools(self):
        idp = client("cognito-idp")
        pool = idp.create_user_pool(PoolName="people")["UserPool"]["Id"]
        idp.create_user_pool_domain(Domain="kinds", UserPoolId=pool)
        app = idp.create_user_pool_client(UserPoolId=pool, ClientName="c", GenerateSecret=True)["UserPoolClient"]
        self.assertTrue(app["ClientSecret"])
        idp.admin_create_user(UserPoolId=pool, Username="ann", TemporaryPassword="Given-1234")
        idp.admin_set_user_password(UserPoolId=pool, Username="ann", Password="Mine-12345", Permanent=True)
        self.assertEqual(idp.admin_get_user(UserPoolId=pool, Username="ann")["UserStatus"], "CONFIRMED")
        idp.admin_delete_user(UserPoolId=pool, Username="ann")
        with self.refused("UserNotFoundException"):
            idp.admin_get_user(UserPoolId=pool, Username="ann")
        idp.delete_user_pool_client(UserPoolId=pool, ClientId=app["ClientId"])
        idp.delete_user_pool_domain(Domain="kinds", UserPoolId=pool)
        idp.delete_user_pool(UserPoolId=pool)

    def test_identity(self):
        sts = client("sts")
        self.assertEqual(sts.get_caller_identity()["Account"], "123456789012")
        self.assertTrue(sts.assume_role(RoleArn="arn:aws:iam::123456789012:role/r", RoleSessionName="me")["Credentials"]["SessionToken"])


if __name__ == "__main__":
    unittest.main()
