#!/usr/bin/env python3
"""Cut the published AWS API models down to what local AWS serves.

Usage: hack/models.py [DATA]

DATA is the data folder of botocore; without it, that of the installed Python package. TestModelsCoverSDK says when it is
older than the SDK in go.mod (made with botocore 1.44.5).

Writes internal/localaws/models/SERVICE.json: the listed operations and the shapes they reach, without documentation.
The source is botocore's service-2.json files (Copyright Amazon.com, Inc. or its affiliates; Apache License 2.0).
"""
import gzip
import json
import os
import re
import sys

SERVICES = {
    "elbv2": ("elbv2/2015-12-01", """
        AddListenerCertificates AddTags AddTrustStoreRevocations CreateListener CreateLoadBalancer CreateRule
        CreateTargetGroup CreateTrustStore DeleteListener DeleteLoadBalancer DeleteSharedTrustStoreAssociation DeleteTrustStore
        DeleteRule DeleteTargetGroup DeregisterTargets DescribeAccountLimits DescribeCapacityReservation
        DescribeListenerAttributes DescribeListenerCertificates DescribeListeners DescribeLoadBalancerAttributes
        DescribeLoadBalancers DescribeRules DescribeSSLPolicies DescribeTags DescribeTargetGroupAttributes
        DescribeTargetGroups DescribeTargetHealth DescribeTrustStoreAssociations DescribeTrustStoreRevocations
        DescribeTrustStores GetResourcePolicy GetTrustStoreCaCertificatesBundle GetTrustStoreRevocationContent ModifyListener ModifyListenerAttributes
        ModifyCapacityReservation ModifyLoadBalancerAttributes ModifyRule ModifyTargetGroup ModifyTargetGroupAttributes ModifyTrustStore RegisterTargets
        RemoveListenerCertificates RemoveTags RemoveTrustStoreRevocations SetIpAddressType SetRulePriorities SetSecurityGroups SetSubnets
        """),
    "ec2": ("ec2/2016-11-15", """
        AcceptVpcPeeringConnection AllocateAddress AssociateRouteTable AttachInternetGateway
        AuthorizeSecurityGroupEgress AuthorizeSecurityGroupIngress CreateInternetGateway CreateManagedPrefixList
        CreateRoute CreateRouteTable CreateSecurityGroup CreateSubnet CreateTags CreateVpc CreateVpcPeeringConnection
        DeleteInternetGateway DeleteManagedPrefixList DeleteRoute DeleteRouteTable DeleteSecurityGroup DeleteSubnet
        DeleteTags DeleteVpc DeleteVpcPeeringConnection DescribeAccountAttributes DescribeAddresses
        DescribeAvailabilityZones DescribeCoipPools DescribeInstances DescribeInternetGateways DescribeIpamPools
        DescribeManagedPrefixLists DescribeNetworkAcls DescribeNetworkInterfaces DescribePrefixLists DescribeRegions
        DescribeRouteTables DescribeSecurityGroupRules DescribeSecurityGroups DescribeSubnets DescribeTags
        DescribeVpcAttribute DescribeVpcPeeringConnections DescribeVpcs DetachInternetGateway DisassociateRouteTable
        GetCoipPoolUsage GetManagedPrefixListEntries GetSecurityGroupsForVpc ModifySubnetAttribute ModifyVpcAttribute
        ReleaseAddress RevokeSecurityGroupEgress RevokeSecurityGroupIngress RunInstances TerminateInstances
        """),
    "resourcegroupstaggingapi": ("resourcegroupstaggingapi/2017-01-26", "GetResources GetTagKeys GetTagValues TagResources UntagResources"),
    "acm": ("acm/2015-12-08", """
        AddTagsToCertificate DeleteCertificate DescribeCertificate GetCertificate ImportCertificate ListCertificates
        ListTagsForCertificate RemoveTagsFromCertificate RequestCertificate UpdateCertificateOptions
        """),
    "iam": ("iam/2010-05-08", """
        CreateServiceLinkedRole DeleteServerCertificate GetServerCertificate ListServerCertificateTags ListServerCertificates
        TagServerCertificate UntagServerCertificate UpdateServerCertificate UploadServerCertificate
        """),
    "route53": ("route53/2013-04-01", """
        AssociateVPCWithHostedZone ChangeResourceRecordSets ChangeTagsForResource CreateHostedZone DeleteHostedZone
        DisassociateVPCFromHostedZone GetAccountLimit GetChange GetHostedZone GetHostedZoneCount GetHostedZoneLimit
        ListHostedZones ListHostedZonesByName ListHostedZonesByVPC ListResourceRecordSets ListTagsForResource
        ListTagsForResources TestDNSAnswer UpdateHostedZoneComment
        """),
    "shield": ("shield/2016-06-02", """
        CreateProtection CreateSubscription DeleteProtection DescribeProtection DescribeSubscription
        GetSubscriptionState ListProtections ListTagsForResource TagResource UntagResource
        """),
    "wafregional": ("waf-regional/2016-11-28", """
        AssociateWebACL CreateWebACL DeleteWebACL DisassociateWebACL GetChangeToken GetChangeTokenStatus GetWebACL
        GetWebACLForResource ListResourcesForWebACL ListWebACLs
        """),
    "wafv2": ("wafv2/2019-07-29", """
        AssociateWebACL CreateWebACL DeleteWebACL DisassociateWebACL GetWebACL GetWebACLForResource
        ListResourcesForWebACL ListTagsForResource ListWebACLs TagResource UntagResource UpdateWebACL
        """),
    "sts": ("sts/2011-06-15", "AssumeRole AssumeRoleWithWebIdentity GetCallerIdentity"),
    "globalaccelerator": ("globalaccelerator/2018-08-08", """
        AddEndpoints CreateAccelerator CreateEndpointGroup CreateListener DeleteAccelerator DeleteEndpointGroup
        DeleteListener DescribeAccelerator DescribeAcceleratorAttributes DescribeEndpointGroup DescribeListener
        ListAccelerators ListEndpointGroups ListListeners ListTagsForResource RemoveEndpoints TagResource UntagResource
        UpdateAccelerator UpdateAcceleratorAttributes UpdateEndpointGroup UpdateListener
        """),
    "cognitoidp": ("cognito-idp/2016-04-18", """
        AdminCreateUser AdminDeleteUser AdminGetUser AdminSetUserPassword CreateUserPool CreateUserPoolClient
        CreateUserPoolDomain DeleteUserPool DeleteUserPoolClient DeleteUserPoolDomain DescribeUserPool
        DescribeUserPoolClient DescribeUserPoolDomain ListUserPoolClients ListUserPools ListUsers
        """),
}

METADATA = ("apiVersion", "endpointPrefix", "jsonVersion", "protocol", "serviceId", "signingName", "targetPrefix",
            "xmlNamespace")
SPOKEN = ("json", "query", "ec2", "rest-xml")
SHAPE = ("type", "enum", "min", "max", "pattern", "required", "flattened", "timestampFormat")
MEMBER = ("shape", "locationName", "queryName", "flattened", "timestampFormat", "location", "xmlAttribute")


def pick(source, keys):
    return {k: source[k] for k in keys if k in source}


def trim(model, operations):
    out = {"metadata": pick(model["metadata"], METADATA), "operations": {}, "shapes": {}}
    out["metadata"]["protocol"] = next(p for p in model["metadata"]["protocols"] if p in SPOKEN)
    rest = out["metadata"]["protocol"] == "rest-xml"
    todo, statuses = [], {}
    for name in operations:
        op = model["operations"][name]
        parts = ("shape", "resultWrapper", "locationName") if rest else ("shape", "resultWrapper")
        kept = {k: pick(op[k], parts) for k in ("input", "output") if k in op}
        if rest:
            kept["http"] = pick(op["http"], ("method", "requestUri", "responseCode"))
            if "xmlNamespace" in op.get("input", {}):
                out["metadata"]["xmlNamespace"] = op["input"]["xmlNamespace"]["uri"]
        out["operations"][name] = kept
        todo += [op[k]["shape"] for k in ("input", "output") if k in op]
        for error in op.get("errors", []):
            about = model["shapes"][error["shape"]].get("error", {})
            if about.get("httpStatusCode", 400) != 400:
                statuses[about.get("code", error["shape"])] = about["httpStatusCode"]
    # EC2's and the JSON services' models say nothing of the kind, or nothing that is true.
    if rest or out["metadata"]["protocol"] == "query":
        out["statuses"] = dict(sorted(statuses.items()))
    while todo:
        name = todo.pop()
        if name in out["shapes"]:
            continue
        shape = model["shapes"][name]
        kept = pick(shape, SHAPE)
        if "members" in shape:
            kept["members"] = {k: pick(m, MEMBER) for k, m in shape["members"].items()}
            todo += [m["shape"] for m in shape["members"].values()]
        for part in ("member", "key", "value"):
            if part in shape:
                kept[part] = pick(shape[part], MEMBER)
                todo.append(shape[part]["shape"])
        # Go's regular expressions cannot look ahead or back; the handlers refuse a hyphen at the start of a label.
        if "pattern" in kept:
            kept["pattern"] = re.sub(r"\(\?<?[!=][^()]*\)", "", kept["pattern"])
        # EC2 checks its enumerations by hand, and its lists of instance types are megabytes.
        if model["metadata"]["protocol"] == "ec2":
            kept.pop("enum", None)
        out["shapes"][name] = kept
    return out


def main():
    if len(sys.argv) > 1:
        data = sys.argv[1]
    else:
        import botocore
        data = os.path.join(os.path.dirname(botocore.__file__), "data")
    here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "internal", "localaws", "models")
    for service, (path, operations) in SERVICES.items():
        with gzip.open(os.path.join(data, path, "service-2.json.gz")) as f:
            model = json.load(f)
        with open(os.path.join(here, service + ".json"), "w") as f:
            json.dump(trim(model, sorted(operations.split())), f, separators=(",", ":"), sort_keys=True)
            f.write("\n")


main()
