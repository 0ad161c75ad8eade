"""Instances, volumes, and what lets them act: roles, policies, instance profiles."""

from __future__ import annotations

import base64
from typing import Any

from tests.fake_aws.kinds.names import (
    INSTANCE,
    INSTANCE_PROFILE,
    NETWORK_INTERFACE,
    PLACEMENT_GROUP,
    POLICY,
    ROLE,
    SUBNET,
    VOLUME,
    Output,
    arn,
    group_ref,
    key_ref,
    policy_document,
    ref,
    role_ref,
    subnet_ref,
    token,
)
from tests.fake_aws.kinds.network import free_addresses, private_ip, same_network
from tests.fake_aws.lookups import architecture, images
from tests.fake_aws.model import ALL, Call, Kind, Props
from tests.fake_aws.regions import zones
from tests.fake_aws.service import Refused
from tests.fake_aws.world import ACCOUNT, Item, World

USER_DATA_LIMIT = 16 * 1024
"""Bytes before base64: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-add-user-data.html"""
AWS_POLICIES = {
    "service-role/AmazonSSMManagedInstanceCore", "AmazonSSMManagedInstanceCore",
    "EC2InstanceProfileForImageBuilder", "CloudWatchAgentServerPolicy",
}  # fmt: skip


def subnet_of(world: World, item: Item) -> Item | None:
    """The subnet of an instance: its own, or that of its network interface."""
    for interface in interfaces_of(world, item):
        return world.find((SUBNET,), "id", str(interface.get("subnetId")))
    return world.find((SUBNET,), "id", str(item.get("subnetId")))


def interfaces_of(world: World, item: Item) -> list[Item]:
    """The network interfaces that an instance is given."""
    blocks = [item.get("primaryNetworkInterface"), *(item.get("networkInterfaces") or [])]
    found = [
        world.find((NETWORK_INTERFACE,), "id", str(block.get("networkInterfaceId")))
        for block in blocks
        if isinstance(block, dict)
    ]
    return [each for each in found if each]


def image_exists(world: World, item: Item) -> None:
    """The image exists in the region, for the processor of the instance type."""
    ident, kind = item.get("ami"), item.get("instanceType")
    if not ident:
        return
    found = [image for image in images(world, item.region) if image["id"] == ident]
    if not found:
        raise Refused("InvalidAMIID.NotFound", f"there is no image {ident} in {item.region}")
    if kind and found[0]["architecture"] != architecture(kind):
        raise Refused("InvalidParameterValue", f"{ident} is not for {architecture(kind)} ({kind})")


def one_network(world: World, item: Item) -> None:
    """Where an instance brings its interface, subnet and groups are the interface's; the
    interface is free; a zone that is named is the subnet's."""
    interfaces = interfaces_of(world, item)
    named = [
        name
        for name in ("subnetId", "vpcSecurityGroupIds", "privateIp")
        if item.inputs.get(name) and (interfaces or item.inputs.get("primaryNetworkInterface"))
    ]
    if named:
        raise Refused("InvalidParameterCombination", f"{named} belong to the network interface")
    for interface in interfaces:
        for other in world.of(INSTANCE):
            if interface in interfaces_of(world, other):
                raise Refused("InvalidNetworkInterface.InUse", f"{interface.id}: {other.id}")
    subnet, zone = subnet_of(world, item), item.inputs.get("availabilityZone")
    if subnet and zone in zones(item.region) and subnet.get("availabilityZone") != zone:
        raise Refused("InvalidParameterValue", f"subnet {subnet.id} is not in {zone}")


def user_data_size(_world: World, item: Item) -> None:
    """User-data fits."""
    text, encoded = item.get("userData"), item.get("userDataBase64")
    try:
        raw = base64.b64decode(encoded, validate=True) if encoded else (text or "").encode()
    except ValueError:
        raise Refused("InvalidUserData.Malformed", "userDataBase64 is no base64") from None
    if len(raw) > USER_DATA_LIMIT:
        raise Refused(
            "InvalidParameterValue", f"user-data has {len(raw)} bytes, at most {USER_DATA_LIMIT}"
        )


def volume_sense(_world: World, item: Item) -> None:
    """A volume's zone exists, and its figures suit its type."""
    zone, kind, size = item.get("availabilityZone"), item.get("type"), item.get("size")
    if zone and zone not in zones(item.region):
        raise Refused("InvalidZone.NotFound", f"{item.region} has no zone {zone!r}")
    iops, throughput = item.get("iops"), item.get("throughput")
    if throughput and kind != "gp3":
        raise Refused("InvalidParameterCombination", f"throughput is of gp3, not {kind}")
    if kind == "gp3" and size:
        # Source: https://docs.aws.amazon.com/ebs/latest/userguide/general-purpose.html
        if iops and not 3000 <= iops <= max(3000, min(80000, 500 * size)):
            raise Refused("InvalidParameterValue", f"{iops} iops on {size} GiB of gp3")
        if throughput and not 125 <= throughput <= min(2000, (iops or 3000) // 4):
            raise Refused("InvalidParameterValue", f"{throughput} MiB/s on {iops or 3000} iops")


def same_zone(world: World, item: Item) -> None:
    """A volume is attached in its own zone, to one instance, under a free name."""
    volume = world.find((VOLUME,), "id", str(item.get("volumeId")))
    instance = world.find((INSTANCE,), "id", str(item.get("instanceId")))
    if volume and instance:
        here, there = volume.get("availabilityZone"), instance.get("availabilityZone")
        if here != there:
            raise Refused(
                "InvalidVolume.ZoneMismatch", f"{volume.id} is in {here}, {instance.id} in {there}"
            )
    for other in world.of(item.token):
        if volume and other.get("volumeId") == volume.id:
            raise Refused("VolumeInUse", f"{volume.id} is attached to {other.get('instanceId')}")


def instance_replacements(olds: Props, news: Props) -> set[str]:
    """User-data makes a new instance only where the program asks for that."""
    if news.get("userDataReplaceOnChange") is not True:
        return set()
    return {n for n in ("userData", "userDataBase64") if olds.get(n) != news.get(n)}


def known_policy(world: World, item: Item) -> None:
    """A policy that is attached exists: one of AWS's, or one of the world."""
    name = item.get("policyArn")
    if not name:
        return
    _, _, path = name.partition(":aws:policy/")
    if path:
        if path not in AWS_POLICIES:
            raise Refused("NoSuchEntity", f"AWS has no policy {path} (known here: {AWS_POLICIES})")
    elif world.find((POLICY,), "arn", name) is None:
        raise Refused("NoSuchEntity", f"there is no policy {name}")


def trust_policy(_world: World, item: Item) -> None:
    """A role says who may take it on."""
    text = item.get("assumeRolePolicy")
    if text and "sts:" not in text:
        raise Refused("MalformedPolicyDocument", "assumeRolePolicy allows no sts action")


def root_volume(world: World, item: Item) -> Props:
    """The root volume, with what AWS adds."""
    asked = item.get("rootBlockDevice") or {}
    return {**asked, "volumeId": f"vol-{world.hex()}", "deviceName": "/dev/xvda"}


def instance_ip(world: World, item: Item) -> str:
    """The private address: the interface's, the one asked for, or a free one."""
    for interface in interfaces_of(world, item):
        return str(interface.get("privateIp"))
    return private_ip(world, item)


def instance_zone(world: World, item: Item) -> Any:
    """The zone of an instance is its subnet's."""
    subnet = subnet_of(world, item)
    return subnet.get("availabilityZone") if subnet else None


def with_path(what: str) -> Output:
    """The ARN of a thing of IAM, its path in it."""
    return lambda _, item: (
        f"arn:aws:iam::{ACCOUNT}:{what}{item.inputs.get('path') or '/'}{item.get('name')}"
    )


ROOT = {
    "rootBlockDevice": "BlockDeviceMappings[].Ebs",
    "rootBlockDevice.tags": "",
    "ebsBlockDevices": "BlockDeviceMappings",
    **{
        f"ebsBlockDevices.{name}": f"Ebs.{name[0].upper()}{name[1:]}"
        for name in ("volumeSize", "volumeType", "encrypted", "kmsKeyId", "iops", "throughput",
                     "deleteOnTermination", "snapshotId")
    },
}  # fmt: skip

KINDS = (
    Kind(
        INSTANCE,
        (
            Call(
                "ec2:RunInstances",
                {
                    "ami": "ImageId",
                    "vpcSecurityGroupIds": "SecurityGroupIds",
                    "iamInstanceProfile": "IamInstanceProfile.Name",
                    "userDataBase64": "UserData",
                    "privateIp": "PrivateIpAddress",
                    "monitoring": "Monitoring.Enabled",
                    "availabilityZone": "Placement.AvailabilityZone",
                    "tenancy": "Placement.Tenancy",
                    "placementGroup": "Placement.GroupName",
                    "placementGroupId": "Placement.GroupId",
                    "placementPartitionNumber": "Placement.PartitionNumber",
                    "hibernation": "HibernationOptions.Configured",
                    "launchTemplate.id": "LaunchTemplateId",
                    "launchTemplate.name": "LaunchTemplateName",
                    "primaryNetworkInterface": "NetworkInterfaces",
                    "primaryNetworkInterface.deleteOnTermination": "DeleteOnTermination",
                    "metadataOptions.instanceMetadataTags": "InstanceMetadataTags",
                    "tags": "instance",
                    **ROOT,
                },
                fixed={"MinCount": 1, "MaxCount": 1},
            ),
            Call(
                "ec2:ModifyInstanceAttribute",
                fixed={"InstanceId": "{id}"},
                only=("sourceDestCheck",),
            ),
        ),
        id="i-{hex}",
        replace=frozenset(
            {
                "ami",
                "availabilityZone",
                "subnetId",
                "privateIp",
                "keyName",
                "tenancy",
                "primaryNetworkInterface",
                "networkInterfaces",
                "cpuOptions",
                "hibernation",
                "associatePublicIpAddress",
                "ebsBlockDevices",
                "placementGroup",
            }
        ),
        replace_when=instance_replacements,
        update="ec2:ModifyInstanceAttribute",
        local=frozenset({"userDataReplaceOnChange", "volumeTags", "forceDestroy"}),
        outputs={
            "arn": arn("ec2", "instance/{id}"),
            "availabilityZone": instance_zone,
            "privateIp": instance_ip,
            "privateDns": lambda _, item: (
                f"ip-{str(item.get('privateIp')).replace('.', '-')}.{item.region}.compute.internal"
            ),
            "primaryNetworkInterfaceId": lambda world, item: next(
                (each.id for each in interfaces_of(world, item)), f"eni-{world.hex()}"
            ),
            "instanceState": "running",
            "publicIp": "",
            "rootBlockDevice": root_volume,
        },
        refs=(
            subnet_ref(),
            group_ref("vpcSecurityGroupIds"),
            ref("iamInstanceProfile", INSTANCE_PROFILE, key="name", code="InvalidParameterValue"),
            ref(
                "primaryNetworkInterface.networkInterfaceId",
                NETWORK_INTERFACE,
                code="InvalidNetworkInterfaceID.NotFound",
            ),
            ref(
                "networkInterfaces.networkInterfaceId",
                NETWORK_INTERFACE,
                code="InvalidNetworkInterfaceID.NotFound",
            ),
            ref(
                "placementGroup", PLACEMENT_GROUP, key="name", code="InvalidPlacementGroup.Unknown"
            ),
            key_ref("rootBlockDevice.kmsKeyId"),
        ),
        checks=(
            image_exists,
            one_network,
            user_data_size,
            same_network,
            free_addresses,
        ),
        guarded="disableApiTermination",
        delete="ec2:TerminateInstances",
    ),
    Kind(
        PLACEMENT_GROUP,
        (Call("ec2:CreatePlacementGroup", {"name": "GroupName", "tags": "placement-group"}),),
        id="{name}",
        replace=ALL,
        outputs={"arn": arn("ec2", "placement-group/{name}"), "placementGroupId": "pg-{hex}"},
        autoname="name",
        delete="ec2:DeletePlacementGroup",
    ),
    Kind(
        VOLUME,
        (Call("ec2:CreateVolume", {"type": "VolumeType", "tags": "volume"}),),
        id="vol-{hex}",
        replace=frozenset({"availabilityZone", "encrypted", "kmsKeyId", "snapshotId"}),
        update="ec2:ModifyVolume",
        local=frozenset({"finalSnapshot"}),
        outputs={"arn": arn("ec2", "volume/{id}"), "createTime": "2026-01-01T00:00:00Z"},
        refs=(key_ref("kmsKeyId"),),
        checks=(volume_sense,),
        delete="ec2:DeleteVolume",
    ),
    Kind(
        token("ec2", "VolumeAttachment"),
        (Call("ec2:AttachVolume", {"deviceName": "Device"}),),
        id="vai-{hex}",
        replace=frozenset({"deviceName", "instanceId", "volumeId"}),
        update="ec2:AttachVolume",
        local=frozenset({"forceDetach", "skipDestroy", "stopInstanceBeforeDetaching"}),
        refs=(
            ref("instanceId", INSTANCE, code="InvalidInstanceID.NotFound", blocks=False),
            ref("volumeId", VOLUME, code="InvalidVolume.NotFound"),
        ),
        unique=(("instanceId", "deviceName"),),
        taken="InvalidParameterValue",
        checks=(same_zone,),
        delete="ec2:DetachVolume",
    ),
    Kind(
        token("ebs", "EncryptionByDefault"),
        (Call("ec2:EnableEbsEncryptionByDefault"),),
        id="ebs-encryption-{region}",
        update="ec2:DisableEbsEncryptionByDefault",
        local=frozenset({"enabled"}),
    ),
    Kind(
        token("ebs", "DefaultKmsKey"),
        (Call("ec2:ModifyEbsDefaultKmsKeyId", {"keyArn": "KmsKeyId"}),),
        id="{keyArn}",
        replace=ALL,
        refs=(key_ref("keyArn"),),
        delete="ec2:ResetEbsDefaultKmsKeyId",
    ),
    Kind(
        ROLE,
        (
            Call(
                "iam:CreateRole",
                {"name": "RoleName", "assumeRolePolicy": "AssumeRolePolicyDocument"},
            ),
        ),
        id="{name}",
        replace=frozenset({"name", "path"}),
        update="iam:UpdateRole",
        local=frozenset({"forceDetachPolicies"}),
        outputs={
            "arn": with_path("role"),
            "uniqueId": "AROA{hex}",
            "createDate": "2026-01-01T00:00:00Z",
        },
        autoname="name",
        taken="EntityAlreadyExists",
        checks=(trust_policy,),
        delete="iam:DeleteRole",
    ),
    Kind(
        token("iam", "RolePolicy"),
        (
            Call(
                "iam:PutRolePolicy",
                {"name": "PolicyName", "policy": "PolicyDocument", "role": "RoleName"},
            ),
        ),
        id="{role}:{name}",
        replace=frozenset({"name", "role"}),
        update="iam:PutRolePolicy",
        autoname="name",
        refs=(role_ref("role", "name"),),
        checks=(policy_document("policy", 10240),),
        delete="iam:DeleteRolePolicy",
    ),
    Kind(
        POLICY,
        (Call("iam:CreatePolicy", {"name": "PolicyName", "policy": "PolicyDocument"}),),
        id="arn:aws:iam::{account}:policy/{name}",
        replace=frozenset({"name", "path", "description"}),
        update="iam:CreatePolicyVersion",
        outputs={"arn": arn("iam", "policy/{name}", regional=False), "policyId": "ANPA{hex}"},
        autoname="name",
        taken="EntityAlreadyExists",
        checks=(policy_document("policy", 6144),),
        delete="iam:DeletePolicy",
    ),
    Kind(
        token("iam", "RolePolicyAttachment"),
        (Call("iam:AttachRolePolicy", {"role": "RoleName"}),),
        id="{role}/{policyArn}",
        replace=ALL,
        refs=(role_ref("role", "name"),),
        checks=(known_policy,),
        delete="iam:DetachRolePolicy",
    ),
    Kind(
        INSTANCE_PROFILE,
        (
            Call("iam:CreateInstanceProfile", {"name": "InstanceProfileName"}),
            Call(
                "iam:AddRoleToInstanceProfile",
                {"role": "RoleName"},
                fixed={"InstanceProfileName": "{name}"},
                only=("role",),
            ),
        ),
        id="{name}",
        replace=frozenset({"name", "path"}),
        update="iam:AddRoleToInstanceProfile",
        outputs={
            "arn": with_path("instance-profile"),
            "uniqueId": "AIPA{hex}",
        },
        autoname="name",
        taken="EntityAlreadyExists",
        refs=(role_ref("role", "name"),),
        delete="iam:DeleteInstanceProfile",
    ),
)
