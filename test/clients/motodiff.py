"""Asks moto and local AWS the same, and compares the answers field by field.

Identifiers, times and other things that nobody can foresee are compared by their form. Every other difference is an error,
unless it is in ALLOWED with the reason for it.
"""
import fnmatch
import logging
import os
import re
import sys

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from moto.server import ThreadedMotoServer

REGION = "ap-northeast-1"

# Call, path in its answer (* for any), why. An entry that no longer differs is an error too: the table stays true.
ALLOWED = [line for line in (
    row.strip() for row in open(os.path.join(os.path.dirname(__file__), "moto-differences.txt"))
) if line and not line.startswith("#")]

# What is compared by its form only.
FORMS = [
    (re.compile(r"\b(vpc|subnet|sg|sgr|eni|igw|rtb|dopt|acl|pcx|pl|rtbassoc|vpc-cidr-assoc|eipalloc)-[0-9a-f]{8,17}\b"), r"\1-ID"),
    (re.compile(r"\b[0-9a-f]{16}\b"), "ID16"),
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"), "UUID"),
    (re.compile(r"^/hostedzone/Z?[A-Z0-9]+$"), "/hostedzone/ID"),
    (re.compile(r"^/change/C?[A-Z0-9]+$"), "/change/ID"),
]


def form(value):
    if isinstance(value, str):
        for pattern, instead in FORMS:
            value = pattern.sub(instead, value)
        return value
    if isinstance(value, (int, float, bool)) or value is None:
        return value
    return type(value).__name__  # a time


def flat(value, path=""):
    """The leaves of an answer by their paths. The order of lists of named things does not count."""
    if isinstance(value, dict):
        out = {}
        for key, item in value.items():
            if not (path == "" and key == "ResponseMetadata"):
                out.update(flat(item, path + "." + key if path else key))
        return out
    if isinstance(value, list):
        out = {}
        for i, item in enumerate(sorted(value, key=lambda v: str(flat(v)))):
            out.update(flat(item, "%s[%s]" % (path, name_of(item) or i)))
        return out  # an empty list and none are the same to every client
    return {path: form(value)}


def name_of(item):
    """What an item of a list is known by, so that each is compared with its like."""
    if isinstance(item, dict):
        for key in ("Key", "ZoneName", "Priority", "Field", "CidrBlock", "DestinationCidrBlock", "IpProtocol"):
            if isinstance(item.get(key), str):
                return item[key]
        if "Name" in item and "Type" in item:
            return item["Name"] + " " + item["Type"]
    return ""


def client(service, endpoint):
    return boto3.client(service, endpoint_url=endpoint, region_name=REGION, aws_access_key_id="local", aws_secret_access_key="local",
                        config=Config(retries={"max_attempts": 1}, parameter_validation=False))


class Both:
    def __init__(self, moto, local):
        self.ends = {"moto": moto, "local": local}
        self.clients = {}
        self.differences = []

    def call(self, service, operation, **arguments):
        """Calls both. Arguments that are functions are asked for each end's own value."""
        answers, flats = {}, {}
        for end, url in self.ends.items():
            key = (end, service)
            if key not in self.clients:
                self.clients[key] = client(service, url)

            def own(value):
                if callable(value):
                    return value(end)
                if isinstance(value, dict):
                    return {k: own(v) for k, v in value.items()}
                if isinstance(value, list):
                    return [own(v) for v in value]
                return value

            try:
                answers[end] = getattr(self.clients[key], operation)(**own(arguments))
                flats[end] = flat(answers[end])
            except ClientError as e:
                answers[end] = None
                flats[end] = {"error": e.response["Error"]["Code"], "status": e.response["ResponseMetadata"]["HTTPStatusCode"]}
        for path in sorted(set(flats["moto"]) | set(flats["local"])):
            a, b = flats["moto"].get(path, "(absent)"), flats["local"].get(path, "(absent)")
            if a != b:
                self.differences.append((service + "." + operation, re.sub(r"\[\d\]", "[]", path), a, b))
        return lambda get: lambda end: get(answers[end])


def compare(both):
    call = both.call
    vpc = call("ec2", "create_vpc", CidrBlock="10.0.0.0/16")(lambda a: a["Vpc"]["VpcId"])
    zones = [REGION + "a", REGION + "c"]
    subnets = [call("ec2", "create_subnet", VpcId=vpc, CidrBlock="10.0.%d.0/24" % i, AvailabilityZone=z)(lambda a: a["Subnet"]["SubnetId"]) for i, z in enumerate(zones)]
    call("ec2", "describe_subnets", Filters=[{"Name": "vpc-id", "Values": [vpc]}])
    call("ec2", "describe_vpcs", VpcIds=[vpc])
    call("ec2", "describe_route_tables", Filters=[{"Name": "vpc-id", "Values": [vpc]}])
    gateway = call("ec2", "create_internet_gateway")(lambda a: a["InternetGateway"]["InternetGatewayId"])
    call("ec2", "attach_internet_gateway", InternetGatewayId=gateway, VpcId=vpc)
    call("ec2", "describe_internet_gateways", InternetGatewayIds=[gateway])
    group = call("ec2", "create_security_group", GroupName="g", Description="d", VpcId=vpc)(lambda a: a["GroupId"])
    rule = [{"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "IpRanges": [{"CidrIp": "0.0.0.0/0", "Description": "web"}]}]
    call("ec2", "authorize_security_group_ingress", GroupId=group, IpPermissions=rule)
    call("ec2", "authorize_security_group_ingress", GroupId=group, IpPermissions=rule)
    call("ec2", "describe_security_groups", GroupIds=[group])
    call("ec2", "describe_vpcs", VpcIds=["vpc-0123456789abcdef0"])
    call("ec2", "create_tags", Resources=[vpc], Tags=[{"Key": "a", "Value": "b"}])
    call("ec2", "describe_tags", Filters=[{"Name": "resource-id", "Values": [vpc]}])

    lb = call("elbv2", "create_load_balancer", Name="web", Subnets=subnets, SecurityGroups=[group], Tags=[{"Key": "a", "Value": "b"}])(lambda a: a["LoadBalancers"][0]["LoadBalancerArn"])
    call("elbv2", "describe_load_balancers", LoadBalancerArns=[lb])
    call("elbv2", "describe_load_balancers", Names=["nobody"])
    call("elbv2", "describe_load_balancer_attributes", LoadBalancerArn=lb)
    group = call("elbv2", "create_target_group", Name="app", Protocol="HTTP", Port=80, VpcId=vpc, TargetType="ip")(lambda a: a["TargetGroups"][0]["TargetGroupArn"])
    call("elbv2", "describe_target_groups", TargetGroupArns=[group])
    call("elbv2", "describe_target_group_attributes", TargetGroupArn=group)
    listener = call("elbv2", "create_listener", LoadBalancerArn=lb, Protocol="HTTP", Port=8080, DefaultActions=[{"Type": "forward", "TargetGroupArn": group}])(lambda a: a["Listeners"][0]["ListenerArn"])
    call("elbv2", "describe_listeners", ListenerArns=[listener])
    rule = call("elbv2", "create_rule", ListenerArn=listener, Priority=10, Conditions=[{"Field": "path-pattern", "Values": ["/a"]}],
                Actions=[{"Type": "redirect", "RedirectConfig": {"Host": "b.example", "StatusCode": "HTTP_302"}}])(lambda a: a["Rules"][0]["RuleArn"])
    call("elbv2", "describe_rules", ListenerArn=listener)
    call("elbv2", "create_rule", ListenerArn=listener, Priority=10, Conditions=[{"Field": "path-pattern", "Values": ["/b"]}], Actions=[{"Type": "forward", "TargetGroupArn": group}])
    call("elbv2", "register_targets", TargetGroupArn=group, Targets=[{"Id": "10.0.0.9", "Port": 8080}])
    call("elbv2", "describe_tags", ResourceArns=[lb])
    call("elbv2", "delete_target_group", TargetGroupArn=group)
    call("elbv2", "delete_rule", RuleArn=rule)
    call("elbv2", "delete_listener", ListenerArn=listener)
    call("elbv2", "delete_target_group", TargetGroupArn=group)
    call("elbv2", "delete_load_balancer", LoadBalancerArn=lb)

    zone = call("route53", "create_hosted_zone", Name="diff.example", CallerReference="once")(lambda a: a["HostedZone"]["Id"])
    record = {"Name": "www.diff.example", "Type": "A", "TTL": 60, "ResourceRecords": [{"Value": "192.0.2.1"}]}
    for action in ("UPSERT", "CREATE"):
        call("route53", "change_resource_record_sets", HostedZoneId=zone, ChangeBatch={"Changes": [{"Action": action, "ResourceRecordSet": record}]})
    call("route53", "list_resource_record_sets", HostedZoneId=zone, StartRecordName="www.diff.example", StartRecordType="A")
    call("route53", "get_hosted_zone", Id="Z0000000000000")
    call("route53", "delete_hosted_zone", Id=zone)
    call("sts", "get_caller_identity")


def main():
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        both = Both("http://%s:%d" % server.get_host_and_port(), os.environ["ENDPOINT"])
        compare(both)
    finally:
        server.stop()
    unused, new = set(range(len(ALLOWED))), []
    for operation, path, a, b in both.differences:
        for i, row in enumerate(ALLOWED):
            where, what, _ = (part.strip() for part in row.split("|", 2))
            if fnmatch.fnmatchcase(operation, where) and re.fullmatch(re.escape(what).replace(r"\*", ".*"), path):
                unused.discard(i)
                break
        else:
            new.append("%s: %s: moto says %r, local AWS %r" % (operation, path, a, b))
    for line in sorted(set(new)):
        print(line)
    for i in sorted(unused):
        print("no longer differs:", ALLOWED[i])
    sys.exit(1 if new or unused else 0)


main()
