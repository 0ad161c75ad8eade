"""Tokens of pulumi-aws, and what several kinds share."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from tests.fake_aws.model import Check, Ref
from tests.fake_aws.service import Refused
from tests.fake_aws.world import Item, World


def token(module: str, name: str) -> str:
    """The type token of a resource class: `aws:ec2/routeTable:RouteTable`."""
    return f"aws:{module}/{name[0].lower()}{name[1:]}:{name}"


VPC = token("ec2", "Vpc")
SUBNET = token("ec2", "Subnet")
ROUTE_TABLE = token("ec2", "RouteTable")
INTERNET_GATEWAY = token("ec2", "InternetGateway")
NAT_GATEWAY = token("ec2", "NatGateway")
EIP = token("ec2", "Eip")
VPC_ENDPOINT = token("ec2", "VpcEndpoint")
SECURITY_GROUP = token("ec2", "SecurityGroup")
NETWORK_INTERFACE = token("ec2", "NetworkInterface")
PLACEMENT_GROUP = token("ec2", "PlacementGroup")
INSTANCE = token("ec2", "Instance")
VOLUME = token("ebs", "Volume")
ROLE = token("iam", "Role")
POLICY = token("iam", "Policy")
INSTANCE_PROFILE = token("iam", "InstanceProfile")
KEY = token("kms", "Key")
KEY_ALIAS = token("kms", "Alias")
BUCKET = token("s3", "Bucket")
OBJECT = token("s3", "BucketObjectv2")
LOAD_BALANCER = token("lb", "LoadBalancer")
TARGET_GROUP = token("lb", "TargetGroup")
SECRET = token("secretsmanager", "Secret")
INGRESS_RULE = token("vpc", "SecurityGroupIngressRule")
METRIC_ALARM = token("cloudwatch", "MetricAlarm")
TOPIC = token("sns", "Topic")
LOG_GROUP = token("cloudwatch", "LogGroup")
ZONE = token("route53", "Zone")

KEYS = (KEY, KEY_ALIAS)


def arn(service: str, rest: str, *, regional: bool = True) -> str:
    """A template of an ARN."""
    return f"arn:aws:{service}:{'{region}' if regional else ''}:{{account}}:{rest}"


def ref(path: str, *kinds: str, code: str, key: str = "id", blocks: bool = True) -> Ref:
    """A reference, shorter."""
    return Ref(path, kinds, key, code, blocks)


def vpc_ref(path: str = "vpcId") -> Ref:
    """A property that names a network."""
    return ref(path, VPC, code="InvalidVpcID.NotFound")


def subnet_ref(path: str = "subnetId") -> Ref:
    """A property that names a subnet."""
    return ref(path, SUBNET, code="InvalidSubnetID.NotFound")


def group_ref(path: str) -> Ref:
    """A property that names security groups."""
    return ref(path, SECURITY_GROUP, code="InvalidGroup.NotFound")


def key_ref(path: str, key: str = "arn") -> Ref:
    """A property that names a key. AWS does not ask who still needs one that is deleted."""
    return ref(path, KEY, key=key, code="NotFoundException", blocks=False)


def bucket_ref(path: str = "bucket") -> Ref:
    """A property that names a bucket. Its settings go with it."""
    return ref(path, BUCKET, code="NoSuchBucket", blocks=False)


def role_ref(path: str, key: str = "arn") -> Ref:
    """A property that names a role."""
    return ref(path, ROLE, key=key, code="NoSuchEntity")


def sentence(name: str, pattern: str, code: str = "InvalidParameterValue") -> Check:
    """A rule that the models do not have: a property must match a pattern as a whole."""

    def check(_world: World, item: Item) -> None:
        value = item.get(name)
        if isinstance(value, str) and not re.fullmatch(pattern, value):
            raise Refused(code, f"{name} {value!r} does not match {pattern}")

    return check


def policy_document(name: str, limit: int) -> Check:
    """A rule for properties that hold a policy: JSON, statements that can be read, a size."""

    def check(_world: World, item: Item) -> None:
        text = item.get(name)
        if text is not None:
            judge_policy(text, limit)

    return check


def judge_policy(text: str, limit: int) -> None:
    """Judge a policy document.

    Raises:
        Refused: it is no policy, too long (in characters, white space aside), or names an action
            that does not exist.
    """
    from tests.fake_aws.actions import unknown_actions

    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise Refused("MalformedPolicyDocument", f"no JSON: {error}") from None
    size = len(json.dumps(document, separators=(",", ":")))
    if size > limit:
        raise Refused("LimitExceeded", f"a policy of {size} characters, at most {limit}")
    if document.get("Version") != "2012-10-17":
        raise Refused("MalformedPolicyDocument", "Version is not 2012-10-17")
    for statement in as_list(document.get("Statement")):
        if statement.get("Effect") not in {"Allow", "Deny"}:
            raise Refused("MalformedPolicyDocument", f"Effect is {statement.get('Effect')!r}")
        actions = as_list(statement.get("Action") or statement.get("NotAction"))
        if not actions:
            raise Refused("MalformedPolicyDocument", "a statement without an action")
        if wrong := unknown_actions(actions):
            raise Refused("MalformedPolicyDocument", f"no such action: {', '.join(wrong)}")
        subjects = {"Resource", "NotResource", "Principal", "NotPrincipal"}
        if not subjects & set(statement):
            raise Refused("MalformedPolicyDocument", "a statement without resource or principal")


def as_list(value: Any) -> list[Any]:
    """One or several."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


Output = Callable[[World, Item], Any]


def of(path: str, kind: str, name: str) -> Output:
    """An output of the thing that a property names by its id."""

    def make(world: World, item: Item) -> Any:
        found = world.find((kind,), "id", str(item.get(path)))
        return found.get(name) if found else None

    return make
