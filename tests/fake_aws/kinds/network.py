"""Networks: VPC, subnets, routes, endpoints, security groups, network interfaces."""

from __future__ import annotations

import ipaddress
from typing import Any

from tests.fake_aws.kinds.names import (
    EIP,
    INTERNET_GATEWAY,
    NAT_GATEWAY,
    NETWORK_INTERFACE,
    ROUTE_TABLE,
    SECURITY_GROUP,
    SUBNET,
    VPC,
    VPC_ENDPOINT,
    ZONE,
    arn,
    group_ref,
    of,
    policy_document,
    ref,
    role_ref,
    sentence,
    subnet_ref,
    token,
    vpc_ref,
)
from tests.fake_aws.model import ALL, Call, Kind
from tests.fake_aws.regions import SERVICES, zones
from tests.fake_aws.service import Refused
from tests.fake_aws.world import ACCOUNT, Item, World

# Source: https://docs.aws.amazon.com/vpc/latest/userguide/security-group-rules.html
GROUP_TEXT = r"[a-zA-Z0-9. _\-:/()#,@\[\]+=&;{}!$*]{0,255}"
RESERVED_HOSTS = 4
"""AWS keeps the first four addresses of a subnet, and the last."""


def _network(text: str, name: str) -> ipaddress.IPv4Network:
    try:
        return ipaddress.IPv4Network(text)
    except ValueError as error:
        raise Refused("InvalidParameterValue", f"{name} {text!r}: {error}") from None


def _size(name: str, text: str) -> ipaddress.IPv4Network:
    network = _network(text, name)
    if not 16 <= network.prefixlen <= 28:
        raise Refused("InvalidVpc.Range", f"{name} {text} is not between /16 and /28")
    return network


def vpc_range(_world: World, item: Item) -> None:
    """A network's size."""
    if cidr := item.get("cidrBlock"):
        _size("cidrBlock", cidr)


def subnet_range(world: World, item: Item) -> None:
    """A subnet lies inside its network and beside the others, in a zone that exists."""
    zone = item.get("availabilityZone")
    if zone is not None and zone not in zones(item.region):
        raise Refused("InvalidParameterValue", f"{item.region} has no zone {zone!r}")
    vpc = world.find((VPC,), "id", str(item.get("vpcId")))
    if not (cidr := item.get("cidrBlock")):
        return
    mine = _size("cidrBlock", cidr)
    if vpc is None:
        return
    if not mine.subnet_of(_network(vpc.get("cidrBlock"), "cidrBlock")):
        raise Refused("InvalidSubnet.Range", f"{cidr} is not inside {vpc.get('cidrBlock')}")
    for other in world.of(SUBNET):
        if other.get("vpcId") == vpc.id and mine.overlaps(_network(other.get("cidrBlock"), "")):
            raise Refused("InvalidSubnet.Conflict", f"{cidr} overlaps subnet {other.id}")


def one_target(world: World, item: Item) -> None:
    """A route leads to exactly one thing, and each destination stands once in a table."""
    targets = [name for name in TARGETS if item.inputs.get(name)]
    if len(targets) != 1:
        raise Refused("InvalidParameterCombination", f"one target, not {targets or 'none'}")
    if cidr := item.get("destinationCidrBlock"):
        _network(cidr, "destinationCidrBlock")
    wanted = (item.get("routeTableId"), item.get("destinationCidrBlock"))
    for other in world.of(token("ec2", "Route")):
        if None not in wanted and wanted == (
            other.get("routeTableId"),
            other.get("destinationCidrBlock"),
        ):
            raise Refused("RouteAlreadyExists", f"{wanted[1]} in {wanted[0]}")


TARGETS = (
    "gatewayId", "natGatewayId", "networkInterfaceId", "vpcEndpointId", "transitGatewayId",
    "vpcPeeringConnectionId", "egressOnlyGatewayId",
)  # fmt: skip


def rule_peer(world: World, item: Item) -> None:
    """A rule has one peer, sensible ports, and is not there already."""
    peers = ("cidrIpv4", "cidrIpv6", "referencedSecurityGroupId", "prefixListId")
    given = [name for name in peers if item.inputs.get(name)]
    if len(given) != 1:
        raise Refused("InvalidParameterCombination", f"one peer, not {given or 'none'}")
    if cidr := item.get("cidrIpv4"):
        _network(cidr, "cidrIpv4")
    low, high = item.get("fromPort"), item.get("toPort")
    sensible = isinstance(low, int) and isinstance(high, int) and 0 <= low <= high <= 65535
    if item.get("ipProtocol") in {"tcp", "udp"} and not sensible:
        raise Refused("InvalidParameterValue", f"ports {low} to {high}")
    names = ("securityGroupId", "ipProtocol", "fromPort", "toPort", given[0])
    wanted = [item.inputs.get(name) for name in names]
    if item.get("securityGroupId") is None or item.get(given[0]) is None:
        return
    for other in world.of(item.token):
        if [other.inputs.get(name) for name in names] == wanted:
            raise Refused("InvalidPermission.Duplicate", f"{wanted} is rule {other.id} already")


def same_network(world: World, item: Item) -> None:
    """Subnets and groups of an interface or endpoint are of one network."""
    names = {"subnetId": SUBNET, "subnetIds": SUBNET, "securityGroups": SECURITY_GROUP,
             "securityGroupIds": SECURITY_GROUP, "vpcSecurityGroupIds": SECURITY_GROUP}  # fmt: skip
    networks = {item.get("vpcId")} - {None} if item.token == VPC_ENDPOINT else set()
    for name, kind in names.items():
        value = item.get(name)
        for each in value if isinstance(value, list) else [value]:
            found = world.find((kind,), "id", each) if isinstance(each, str) else None
            networks |= {found.get("vpcId")} if found else set()
    if len(networks) > 1:
        raise Refused("InvalidParameter", f"subnets and groups of {sorted(networks)} mixed")


def taken_addresses(world: World, subnet: str) -> set[str]:
    """The addresses in use in a subnet."""
    return {
        str(address)
        for item in world.of(NETWORK_INTERFACE)
        if item.get("subnetId") == subnet
        for address in [item.get("privateIp"), *(item.get("privateIps") or [])]
        if address
    }


def wanted_addresses(item: Item) -> list[str]:
    """The addresses that an interface asks for."""
    wanted = [item.inputs.get("privateIp"), *(item.inputs.get("privateIps") or [])]
    return [each for each in wanted if isinstance(each, str) and each[:1].isdigit()]


def free_addresses(world: World, item: Item) -> None:
    """The addresses that are asked for lie in the subnet, and nobody has them."""
    subnet = world.find((SUBNET,), "id", str(item.get("subnetId")))
    if subnet is None:
        return
    network = _network(subnet.get("cidrBlock"), "cidrBlock")
    for text in wanted_addresses(item):
        address = ipaddress.IPv4Address(text)
        reserved = [*(network[n] for n in range(RESERVED_HOSTS)), network[-1]]
        if address not in network or address in reserved:
            raise Refused(
                "InvalidParameterValue", f"address {text} is not one for things in {network}"
            )
        if text in taken_addresses(world, subnet.id):
            raise Refused("InvalidIPAddress.InUse", f"address {text} is in use")


def private_ip(world: World, item: Item) -> str:
    """The address that was asked for, or the first free one."""
    if wanted := wanted_addresses(item):
        return wanted[0]
    subnet = world.find((SUBNET,), "id", str(item.get("subnetId")))
    network = _network(subnet.get("cidrBlock") if subnet else "", "cidrBlock")
    taken = taken_addresses(world, subnet.id if subnet else "")
    hosts = list(network)[RESERVED_HOSTS:-1]
    return next(str(host) for host in hosts if str(host) not in taken)


def endpoint_service(_world: World, item: Item) -> None:
    """The service of an endpoint exists in its region, in the form that the type has."""
    name, kind = item.get("serviceName"), item.get("vpcEndpointType") or "Gateway"
    if not name:
        return
    service = name.removeprefix(f"com.amazonaws.{item.region}.")
    if service == name and not name.startswith("com.amazonaws.vpce."):
        raise Refused("InvalidServiceName", f"{name!r} is no service of {item.region}")
    if service != name and kind not in SERVICES.get(service, ()):
        raise Refused("InvalidServiceName", f"there is no {kind} endpoint for {service!r}")
    if kind == "Interface" and item.inputs.get("routeTableIds"):
        raise Refused("InvalidParameter", "an Interface endpoint has no route tables")
    if kind == "Gateway" and (item.inputs.get("subnetIds") or item.inputs.get("securityGroupIds")):
        raise Refused("InvalidParameter", "a Gateway endpoint has no subnets and no groups")


def private_names(world: World, item: Item) -> None:
    """Private names need DNS in the network, and one endpoint a service."""
    if item.get("privateDnsEnabled") is not True:
        return
    vpc = world.find((VPC,), "id", str(item.get("vpcId")))
    if vpc and not (vpc.get("enableDnsHostnames") and vpc.get("enableDnsSupport") is not False):
        raise Refused("InvalidParameter", "private DNS wants enableDnsSupport and -Hostnames")
    for other in world.of(VPC_ENDPOINT):
        same = all(other.get(n) == item.get(n) for n in ("vpcId", "serviceName"))
        if same and other.get("privateDnsEnabled") is True and item.get("vpcId"):
            raise Refused("InvalidParameter", f"private DNS conflicts with {other.id}")


def vpc_companions(_world: World, vpc: Item) -> list[Item]:
    """What comes with every network: a security group and a route table."""
    group = Item(
        SECURITY_GROUP,
        vpc.outputs["defaultSecurityGroupId"],
        vpc.region,
        {"vpcId": vpc.id, "name": "default", "description": "default VPC security group"},
    )
    table = Item(ROUTE_TABLE, vpc.outputs["mainRouteTableId"], vpc.region, {"vpcId": vpc.id})
    for item in (group, table):
        item.outputs = {"id": item.id, "arn": f"arn:aws:ec2:{vpc.region}:{ACCOUNT}:{item.id}"}
    return [group, table]


def dns_entries(world: World, item: Item) -> list[dict[str, Any]]:
    """The names of an interface endpoint."""
    if item.get("vpcEndpointType") != "Interface":
        return []
    service = str(item.get("serviceName")).rpartition(".")[2]
    name = f"{item.id}.{service}.{item.region}.vpce.amazonaws.com"
    return [{"dnsName": name, "hostedZoneId": f"Z{world.hex(13).upper()}"}]


RULE_NAMES = {
    "securityGroupId": "GroupId",
    "ipProtocol": "IpPermissions[].IpProtocol",
    "fromPort": "IpPermissions[].FromPort",
    "toPort": "IpPermissions[].ToPort",
    "cidrIpv4": "IpPermissions[].IpRanges[].CidrIp",
    "cidrIpv6": "IpPermissions[].Ipv6Ranges[].CidrIpv6",
    "referencedSecurityGroupId": "IpPermissions[].UserIdGroupPairs[].GroupId",
    "prefixListId": "IpPermissions[].PrefixListIds[].PrefixListId",
    "description": "IpPermissions[].IpRanges[].Description",
    "tags": "security-group-rule",
}


def _rule(direction: str) -> Kind:
    return Kind(
        token("vpc", f"SecurityGroup{direction}Rule"),
        (Call(f"ec2:AuthorizeSecurityGroup{direction}", RULE_NAMES),),
        id="sgr-{hex}",
        replace=frozenset({"securityGroupId"}),
        update="ec2:ModifySecurityGroupRules",
        outputs={"arn": arn("ec2", "security-group-rule/{id}"), "securityGroupRuleId": "{id}"},
        refs=(
            ref("securityGroupId", SECURITY_GROUP, code="InvalidGroup.NotFound", blocks=False),
            group_ref("referencedSecurityGroupId"),
        ),
        checks=(rule_peer, sentence("description", GROUP_TEXT)),
        delete=f"ec2:RevokeSecurityGroup{direction}",
    )


def _inline(direction: str) -> dict[str, str]:
    path = direction.lower()
    return {
        path: "IpPermissions",
        f"{path}.protocol": "IpProtocol",
        f"{path}.cidrBlocks": "IpRanges*CidrIp",
        f"{path}.ipv6CidrBlocks": "Ipv6Ranges*CidrIpv6",
        f"{path}.prefixListIds": "PrefixListIds*PrefixListId",
        f"{path}.securityGroups": "UserIdGroupPairs*GroupId",
        f"{path}.self": "",
        f"{path}.description": "",
    }


def _inline_calls() -> tuple[Call, ...]:
    return tuple(
        Call(
            f"ec2:AuthorizeSecurityGroup{direction}",
            _inline(direction),
            fixed={"GroupId": "{id}"},
            only=(direction.lower(),),
        )
        for direction in ("Ingress", "Egress")
    )


KINDS = (
    Kind(
        VPC,
        (
            Call("ec2:CreateVpc", {"tags": "vpc"}),
            Call(
                "ec2:ModifyVpcAttribute",
                fixed={"VpcId": "{id}"},
                only=("enableDnsHostnames", "enableDnsSupport"),
            ),
        ),
        id="vpc-{hex}",
        replace=frozenset({"cidrBlock"}),
        update="ec2:ModifyVpcAttribute",
        outputs={
            "arn": arn("ec2", "vpc/{id}"),
            "defaultSecurityGroupId": lambda world, _: f"sg-{world.hex()}",
            "mainRouteTableId": lambda world, _: f"rtb-{world.hex()}",
            "defaultRouteTableId": lambda _, item: item.outputs["mainRouteTableId"],
            "defaultNetworkAclId": lambda world, _: f"acl-{world.hex()}",
            "ownerId": "{account}",
        },
        checks=(vpc_range,),
        companions=vpc_companions,
        delete="ec2:DeleteVpc",
    ),
    Kind(
        SUBNET,
        (
            Call("ec2:CreateSubnet", {"tags": "subnet"}),
            Call(
                "ec2:ModifySubnetAttribute",
                fixed={"SubnetId": "{id}"},
                only=("mapPublicIpOnLaunch", "privateDnsHostnameTypeOnLaunch"),
            ),
        ),
        id="subnet-{hex}",
        replace=frozenset({"vpcId", "cidrBlock", "availabilityZone", "availabilityZoneId"}),
        update="ec2:ModifySubnetAttribute",
        outputs={"arn": arn("ec2", "subnet/{id}"), "ownerId": "{account}"},
        refs=(vpc_ref(),),
        checks=(subnet_range,),
        delete="ec2:DeleteSubnet",
    ),
    Kind(
        ROUTE_TABLE,
        (
            Call("ec2:CreateRouteTable", {"tags": "route-table"}),
            Call(
                "ec2:CreateRoute",
                {"cidrBlock": "DestinationCidrBlock", "ipv6CidrBlock": "DestinationIpv6CidrBlock"},
                fixed={"RouteTableId": "{id}"},
                only=("routes",),
                each="routes",
            ),
        ),
        id="rtb-{hex}",
        replace=frozenset({"vpcId"}),
        update="ec2:ReplaceRoute",
        outputs={"arn": arn("ec2", "route-table/{id}"), "ownerId": "{account}"},
        refs=(
            vpc_ref(),
            ref("routes.gatewayId", INTERNET_GATEWAY, code="InvalidGatewayID.NotFound"),
            ref("routes.natGatewayId", NAT_GATEWAY, code="NatGatewayNotFound"),
        ),
        delete="ec2:DeleteRouteTable",
    ),
    Kind(
        token("ec2", "RouteTableAssociation"),
        (Call("ec2:AssociateRouteTable"),),
        id="rtbassoc-{hex}",
        replace=frozenset({"subnetId", "gatewayId"}),
        update="ec2:ReplaceRouteTableAssociation",
        refs=(subnet_ref(), ref("routeTableId", ROUTE_TABLE, code="InvalidRouteTableID.NotFound")),
        unique=(("subnetId",),),
        taken="Resource.AlreadyAssociated",
        delete="ec2:DisassociateRouteTable",
    ),
    Kind(
        token("ec2", "Route"),
        (Call("ec2:CreateRoute"),),
        id="r-{hex}",
        replace=frozenset({"routeTableId", "destinationCidrBlock"}),
        update="ec2:ReplaceRoute",
        outputs={"origin": "CreateRoute", "state": "active"},
        refs=(
            ref("routeTableId", ROUTE_TABLE, code="InvalidRouteTableID.NotFound", blocks=False),
            ref("gatewayId", INTERNET_GATEWAY, code="InvalidGatewayID.NotFound"),
            ref("natGatewayId", NAT_GATEWAY, code="NatGatewayNotFound"),
        ),
        checks=(one_target,),
        delete="ec2:DeleteRoute",
    ),
    Kind(
        INTERNET_GATEWAY,
        (
            Call("ec2:CreateInternetGateway", {"tags": "internet-gateway"}),
            Call("ec2:AttachInternetGateway", fixed={"InternetGatewayId": "{id}"}, only=("vpcId",)),
        ),
        id="igw-{hex}",
        update="ec2:AttachInternetGateway",
        outputs={"arn": arn("ec2", "internet-gateway/{id}"), "ownerId": "{account}"},
        refs=(vpc_ref(),),
        unique=(("vpcId",),),
        taken="Resource.AlreadyAssociated",
        delete="ec2:DeleteInternetGateway",
    ),
    Kind(
        EIP,
        (Call("ec2:AllocateAddress", {"tags": "elastic-ip"}),),
        id="eipalloc-{hex}",
        update="ec2:AssociateAddress",
        local=frozenset({"instance", "networkInterface", "associateWithPrivateIp"}),
        outputs={
            "arn": arn("ec2", "elastic-ip/{id}"),
            "allocationId": "{id}",
            "publicIp": lambda world, _: f"203.0.113.{len(world.of(EIP)) + 1}",
        },
        refs=(
            ref("networkInterface", NETWORK_INTERFACE, code="InvalidNetworkInterfaceID.NotFound"),
        ),
        delete="ec2:ReleaseAddress",
    ),
    Kind(
        NAT_GATEWAY,
        (Call("ec2:CreateNatGateway", {"tags": "natgateway"}),),
        id="nat-{hex}",
        replace=frozenset({"allocationId", "subnetId", "connectivityType", "privateIp"}),
        outputs={"publicIp": of("allocationId", EIP, "publicIp")},
        refs=(subnet_ref(), ref("allocationId", EIP, code="InvalidAllocationID.NotFound")),
        delete="ec2:DeleteNatGateway",
    ),
    Kind(
        VPC_ENDPOINT,
        (
            Call(
                "ec2:CreateVpcEndpoint",
                {"tags": "vpc-endpoint", "policy": "PolicyDocument"},
            ),
        ),
        id="vpce-{hex}",
        replace=frozenset({"vpcId", "serviceName", "vpcEndpointType"}),
        update="ec2:ModifyVpcEndpoint",
        local=frozenset({"autoAccept"}),
        outputs={
            "arn": arn("ec2", "vpc-endpoint/{id}"),
            "state": "available",
            "dnsEntries": dns_entries,
            "prefixListId": lambda world, item: (
                f"pl-{world.hex(8)}" if item.get("vpcEndpointType") != "Interface" else ""
            ),
            "networkInterfaceIds": lambda world, item: [
                f"eni-{world.hex()}" for _ in item.get("subnetIds") or []
            ],
            "ownerId": "{account}",
        },
        refs=(
            vpc_ref(),
            subnet_ref("subnetIds"),
            group_ref("securityGroupIds"),
            ref("routeTableIds", ROUTE_TABLE, code="InvalidRouteTableId.NotFound"),
        ),
        checks=(
            endpoint_service,
            private_names,
            same_network,
            policy_document("policy", 20480),
        ),
        delete="ec2:DeleteVpcEndpoints",
    ),
    Kind(
        token("ec2", "VpcEndpointService"),
        (
            Call(
                "ec2:CreateVpcEndpointServiceConfiguration",
                {"tags": "vpc-endpoint-service", "allowedPrincipals": ""},
            ),
            Call(
                "ec2:ModifyVpcEndpointServicePermissions",
                {"allowedPrincipals": "AddAllowedPrincipals"},
                fixed={"ServiceId": "{id}"},
                only=("allowedPrincipals",),
            ),
        ),
        id="vpce-svc-{hex}",
        update="ec2:ModifyVpcEndpointServiceConfiguration",
        outputs={
            "arn": arn("ec2", "vpc-endpoint-service/{id}"),
            "serviceName": "com.amazonaws.vpce.{region}.{id}",
            "state": "Available",
        },
        refs=(
            ref(
                "networkLoadBalancerArns",
                token("lb", "LoadBalancer"),
                key="arn",
                code="InvalidNetworkLoadBalancerArn.NotFound",
            ),
        ),
        delete="ec2:DeleteVpcEndpointServiceConfigurations",
    ),
    Kind(
        SECURITY_GROUP,
        (
            Call(
                "ec2:CreateSecurityGroup",
                {"name": "GroupName", "description": "Description", "tags": "security-group"},
            ),
            *_inline_calls(),
        ),
        id="sg-{hex}",
        replace=frozenset({"name", "description", "vpcId"}),
        update="ec2:AuthorizeSecurityGroupIngress",
        local=frozenset({"revokeRulesOnDelete"}),
        outputs={"arn": arn("ec2", "security-group/{id}"), "ownerId": "{account}"},
        refs=(vpc_ref(), group_ref("ingress.securityGroups"), group_ref("egress.securityGroups")),
        unique=(("vpcId", "name"),),
        taken="InvalidGroup.Duplicate",
        autoname="name",
        checks=(
            sentence("name", r"(?!sg-)" + GROUP_TEXT),
            sentence("description", GROUP_TEXT),
        ),
        delete="ec2:DeleteSecurityGroup",
    ),
    _rule("Ingress"),
    _rule("Egress"),
    Kind(
        token("ec2", "DefaultSecurityGroup"),
        (
            Call("ec2:DescribeSecurityGroups", {"vpcId": "", "tags": ""}),
            *_inline_calls(),
        ),
        id="default-{vpcId}",
        replace=frozenset({"vpcId"}),
        update="ec2:RevokeSecurityGroupIngress",
        local=frozenset({"revokeRulesOnDelete", "vpcId", "tags"}),
        outputs={"arn": arn("ec2", "security-group/{id}"), "name": "default"},
        refs=(ref("vpcId", VPC, code="InvalidVpcID.NotFound", blocks=False),),
    ),
    Kind(
        token("ec2", "FlowLog"),
        (
            Call(
                "ec2:CreateFlowLogs",
                {
                    "vpcId": "ResourceIds",
                    "subnetId": "ResourceIds",
                    "eniId": "ResourceIds",
                    "iamRoleArn": "DeliverLogsPermissionArn",
                    "tags": "vpc-flow-log",
                },
                fixed={"ResourceType": "VPC"},
            ),
        ),
        id="fl-{hex}",
        replace=ALL,
        outputs={"arn": arn("ec2", "vpc-flow-log/{id}")},
        refs=(vpc_ref(), role_ref("iamRoleArn")),
        delete="ec2:DeleteFlowLogs",
    ),
    Kind(
        NETWORK_INTERFACE,
        (
            Call(
                "ec2:CreateNetworkInterface",
                {
                    "securityGroups": "Groups",
                    "privateIps": "PrivateIpAddresses*PrivateIpAddress",
                    "privateIp": "PrivateIpAddress",
                    "tags": "network-interface",
                },
            ),
            Call(
                "ec2:ModifyNetworkInterfaceAttribute",
                fixed={"NetworkInterfaceId": "{id}"},
                only=("sourceDestCheck",),
            ),
        ),
        id="eni-{hex}",
        replace=frozenset({"subnetId", "interfaceType"}),
        update="ec2:ModifyNetworkInterfaceAttribute",
        outputs={
            "arn": arn("ec2", "network-interface/{id}"),
            "privateIp": private_ip,
            "privateIps": lambda _, item: [item.outputs["privateIp"]],
            "macAddress": lambda world, _: "02:" + ":".join(world.hex(2) for _ in range(5)),
            "privateDnsName": lambda _, item: (
                f"ip-{str(item.get('privateIp')).replace('.', '-')}.{item.region}.compute.internal"
            ),
            "ownerId": "{account}",
        },
        refs=(subnet_ref(), group_ref("securityGroups")),
        checks=(same_network, free_addresses),
        delete="ec2:DeleteNetworkInterface",
    ),
    Kind(
        ZONE,
        (
            Call(
                "route53:CreateHostedZone",
                {
                    "comment": "HostedZoneConfig.Comment",
                    "vpcs": "VPC",
                    "vpcs.vpcId": "VPCId",
                    "vpcs.vpcRegion": "VPCRegion",
                },
                fixed={"CallerReference": "pulumi"},
            ),
        ),
        id="Z{hex}",
        replace=frozenset({"name"}),
        update="route53:UpdateHostedZoneComment",
        local=frozenset({"forceDestroy", "tags"}),
        outputs={
            "arn": "arn:aws:route53:::hostedzone/{id}",
            "zoneId": "{id}",
            "nameServers": lambda *_: [f"ns-{n}.awsdns-{n:02}.com" for n in range(1, 5)],
        },
        refs=(vpc_ref("vpcs.vpcId"),),
        delete="route53:DeleteHostedZone",
    ),
    Kind(
        token("route53", "Record"),
        (
            Call(
                "route53:ChangeResourceRecordSets",
                {
                    "zoneId": "HostedZoneId",
                    **{
                        name: f"ChangeBatch.Changes[].ResourceRecordSet.{path}"
                        for name, path in {
                            "name": "Name",
                            "type": "Type",
                            "ttl": "TTL",
                            "records": "ResourceRecords*Value",
                            "aliases": "AliasTarget",
                            "setIdentifier": "SetIdentifier",
                            "healthCheckId": "HealthCheckId",
                        }.items()
                    },
                    "aliases.name": "DNSName",
                    "aliases.zoneId": "HostedZoneId",
                },
                fixed={"ChangeBatch": {"Changes": [{"Action": "UPSERT"}]}},
            ),
        ),
        id="{zoneId}_{name}_{type}",
        replace=frozenset({"zoneId", "name", "type"}),
        update="route53:ChangeResourceRecordSets",
        local=frozenset({"allowOverwrite"}),
        outputs={"fqdn": "{name}"},
        refs=(ref("zoneId", ZONE, code="NoSuchHostedZone"),),
        delete="route53:ChangeResourceRecordSets",
    ),
)
