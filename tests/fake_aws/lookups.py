"""Look-ups (Pulumi's invokes): questions about the world, answered from it."""

from __future__ import annotations

import fnmatch
import hashlib
import json
import re
from collections.abc import Callable
from typing import Any

from tests.fake_aws.model import Props
from tests.fake_aws.regions import regions, zones
from tests.fake_aws.service import Refused, input_shape
from tests.fake_aws.world import ACCOUNT, PARTITION, World

IMAGES = "images.json"
"""In the world's folder: what `images` finds beside the public ones."""
DEBIAN = "136693071363"
"""Debian's account: https://wiki.debian.org/Cloud/AmazonEC2Image"""

Lookup = Callable[[World, str, Props], Props]


def images(world: World, region: str) -> list[Props]:
    """The machine images of a region: Debian's, and those that a test put there."""
    public = [
        _image(f"debian-13-{name}-20251117-2299", architecture, DEBIAN, region)
        for name, architecture in (("amd64", "x86_64"), ("arm64", "arm64"))
        if region in regions()
    ]
    file = world.folder / IMAGES
    own = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
    return public + [image for image in own if image["region"] == region]


def _image(
    name: str, architecture: str, owner: str, region: str, tags: dict[str, str] | None = None
) -> Props:
    digest = hashlib.sha256(f"{name} {architecture} {region}".encode()).hexdigest()
    return {
        "id": f"ami-{digest[:17]}",
        "imageId": f"ami-{digest[:17]}",
        "arn": f"arn:aws:ec2:{region}::image/ami-{digest[:17]}",
        "name": name,
        "architecture": architecture,
        "ownerId": owner,
        "region": region,
        "state": "available",
        "creationDate": "2026-01-01T00:00:00.000Z",
        "rootDeviceName": "/dev/xvda",
        "rootDeviceType": "ebs",
        "virtualizationType": "hvm",
        "tags": tags or {},
        "blockDeviceMappings": [],
        "productCodes": [],
    }


def add_image(
    world: World, name: str, architecture: str, region: str, tags: dict[str, str]
) -> Props:
    """Put an image of our own into the world, as the image pipeline would."""
    made = _image(name, architecture, ACCOUNT, region, tags)
    file = world.folder / IMAGES
    own = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
    file.write_text(json.dumps([*own, made]), encoding="utf-8")
    return made


def get_ami(world: World, region: str, args: Props) -> Props:
    """The one image that matches, or with mostRecent the newest."""
    found = _found(world, region, args)
    if not found or (len(found) > 1 and not args.get("mostRecent")):
        raise Refused(
            "InvalidAMIID.NotFound",
            f"{len(found)} images in {region} match {args}; one is wanted",
        )
    return {**args, **max(found, key=lambda image: str(image["creationDate"]))}


def _found(world: World, region: str, args: Props) -> list[Props]:
    owners = [{"self": ACCOUNT}.get(owner, owner) for owner in args.get("owners") or []]
    return [
        image
        for image in images(world, args.get("region") or region)
        if (not owners or image["ownerId"] in owners)
        and all(_matches(image, each) for each in args.get("filters") or [])
    ]


def get_ami_ids(world: World, region: str, args: Props) -> Props:
    """All images that match, the newest first; none is no error."""
    found = _found(world, region, args)
    found.sort(key=lambda image: str(image["creationDate"]), reverse=not args.get("sortAscending"))
    return {**args, "id": "ids", "ids": [image["id"] for image in found]}


FAMILIES = {"c": 2, "m": 4, "r": 8, "x": 16, "i": 8, "t": 4}
"""GiB a processor; source: https://docs.aws.amazon.com/ec2/latest/instancetypes/instance-types.html"""
SMALL = {"nano": 0.5, "micro": 1, "small": 2, "medium": 4}
"""GiB of the burstable types below `large`, which have two processors all the same."""


def get_instance_type(_world: World, _region: str, args: Props) -> Props:
    """Processors, memory in MiB and architecture of an instance type."""
    name = args["instanceType"]
    known = input_shape("ec2:RunInstances").members["InstanceType"].metadata["enum"]
    if name not in known:
        raise Refused("InvalidInstanceType", f"there is no instance type {name!r}")
    family, _, size = name.partition(".")
    processors = {"large": 2, "xlarge": 4}.get(size, 0)
    if times := re.fullmatch(r"(\d+)xlarge", size):
        processors = 4 * int(times[1])
    memory = float(FAMILIES[family[0]] * processors)
    if not processors:
        burstable = family[0] == "t"
        processors = 2 if burstable else 1
        memory = SMALL[size] if burstable else FAMILIES[family[0]]
    return {
        **args,
        "id": name,
        "defaultVcpus": processors,
        "memorySize": int(memory * 1024),
        "supportedArchitectures": [architecture(name)],
        "currentGeneration": True,
    }


def architecture(instance_type: str) -> str:
    """The processors of an instance type: Graviton families have a g after the generation."""
    family = instance_type.partition(".")[0]
    arm = family == "a1" or re.match(r"[a-z]+\d+g", family)
    return "arm64" if arm else "x86_64"


FILTERS = {
    "name": "name", "architecture": "architecture", "state": "state", "image-id": "id",
    "virtualization-type": "virtualizationType", "root-device-type": "rootDeviceType",
}  # fmt: skip


def _matches(image: Props, wanted: Props) -> bool:
    name = wanted["name"]
    if name.startswith("tag:"):
        value = image["tags"].get(name.removeprefix("tag:"))
    elif name in FILTERS:
        value = image[FILTERS[name]]
    else:
        raise Refused("InvalidParameterValue", f"the filter {name!r} is invalid")
    return value is not None and any(fnmatch.fnmatch(value, each) for each in wanted["values"])


def get_availability_zones(_world: World, region: str, args: Props) -> Props:
    """The zones of a region."""
    names = zones(args.get("region") or region)
    ids = [f"{name[:-1]}-az{number}" for number, name in enumerate(names, 1)]
    return {**args, "id": region, "names": names, "zoneIds": ids, "groupNames": [region]}


def get_caller_identity(_world: World, _region: str, _args: Props) -> Props:
    """Who is asking."""
    arn = f"arn:{PARTITION}:iam::{ACCOUNT}:user/deployer"
    return {"accountId": ACCOUNT, "arn": arn, "id": ACCOUNT, "userId": "AIDADEPLOYER"}


def get_region(_world: World, region: str, args: Props) -> Props:
    """The provider's region."""
    name = args.get("region") or args.get("name") or region
    return {"region": name, "name": name, "id": name, "description": name,
            "endpoint": f"ec2.{name}.amazonaws.com"}  # fmt: skip


def get_partition(_world: World, _region: str, _args: Props) -> Props:
    """The partition that the region belongs to."""
    return {"id": PARTITION, "partition": PARTITION, "dnsSuffix": "amazonaws.com",
            "reverseDnsPrefix": "com.amazonaws"}  # fmt: skip


def get_policy_document(_world: World, _region: str, args: Props) -> Props:
    """A policy document of its parts: needs no AWS."""
    statements = [_statement(each) for each in args.get("statements") or []]
    document = {"Version": args.get("version") or "2012-10-17", "Statement": statements}
    return {"id": "policy", "json": json.dumps(document), "minifiedJson": json.dumps(document)}


def _statement(given: Props) -> Props:
    made: Props = {"Effect": given.get("effect") or "Allow"}
    for ours, theirs in {
        "sid": "Sid", "actions": "Action", "notActions": "NotAction",
        "resources": "Resource", "notResources": "NotResource",
    }.items():  # fmt: skip
        if given.get(ours):
            made[theirs] = given[ours]
    for ours, theirs in {"principals": "Principal", "notPrincipals": "NotPrincipal"}.items():
        if given.get(ours):
            made[theirs] = _principals(given[ours])
    for each in given.get("conditions") or []:
        test = made.setdefault("Condition", {}).setdefault(each["test"], {})
        test[each["variable"]] = each["values"]
    return made


def _principals(given: list[Any]) -> Any:
    if any(each["type"] == "*" for each in given):
        return "*"
    return {each["type"]: each["identifiers"] for each in given}


LOOKUPS: dict[str, Lookup] = {
    "aws:ec2/getAmi:getAmi": get_ami,
    "aws:ec2/getAmiIds:getAmiIds": get_ami_ids,
    "aws:ec2/getInstanceType:getInstanceType": get_instance_type,
    "aws:index/getAvailabilityZones:getAvailabilityZones": get_availability_zones,
    "aws:index/getCallerIdentity:getCallerIdentity": get_caller_identity,
    "aws:index/getRegion:getRegion": get_region,
    "aws:index/getPartition:getPartition": get_partition,
    "aws:iam/getPolicyDocument:getPolicyDocument": get_policy_document,
}
