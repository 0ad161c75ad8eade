"""What AWS would refuse, the simulation refuses, by AWS's name for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.fake_aws import lifecycle
from tests.fake_aws.calls import NoRuleError
from tests.fake_aws.kinds import KINDS
from tests.fake_aws.kinds.names import (
    BUCKET,
    INSTANCE,
    INSTANCE_PROFILE,
    KEY,
    LOAD_BALANCER,
    NETWORK_INTERFACE,
    ROLE,
    SECRET,
    SECURITY_GROUP,
    SUBNET,
    TARGET_GROUP,
    TOPIC,
    VOLUME,
    VPC,
    VPC_ENDPOINT,
    token,
)
from tests.fake_aws.service import UNKNOWN, Refused
from tests.unit.fake_aws.conftest import REGION, TRUST, Aws

Act = Callable[[Aws], Any]

INGRESS = token("vpc", "SecurityGroupIngressRule")
ATTACHMENT = token("ec2", "VolumeAttachment")
ALARM = token("cloudwatch", "MetricAlarm")


def instance(aws: Aws, **changes: Any) -> Any:
    """An instance on the world's interface, as the project makes them."""
    inputs = {
        "ami": aws.image,
        "instanceType": "m7g.large",
        "primaryNetworkInterface": {"networkInterfaceId": aws.interface},
        "metadataOptions": {"httpTokens": "required"},
        **changes,
    }
    return aws.make(INSTANCE, **{k: v for k, v in inputs.items() if v is not None})


def volume(aws: Aws, **changes: Any) -> Any:
    inputs = {"availabilityZone": f"{REGION}a", "size": 50, "type": "gp3", "encrypted": True}
    return aws.make(VOLUME, **{**inputs, **changes})


def rule(aws: Aws, **changes: Any) -> Any:
    inputs = {
        "securityGroupId": aws.group,
        "ipProtocol": "tcp",
        "fromPort": 5432,
        "toPort": 5432,
        "referencedSecurityGroupId": aws.group,
        **changes,
    }
    return aws.make(INGRESS, **{k: v for k, v in inputs.items() if v is not None})


def policy(action: str, **changes: Any) -> str:
    statement = {"Effect": "Allow", "Action": action, "Resource": "*", **changes}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def role_policy(aws: Aws, text: str) -> Any:
    aws.make(ROLE, name="node", assumeRolePolicy=TRUST)
    return aws.make(token("iam", "RolePolicy"), name="p", role="node", policy=text)


def load_balancer(aws: Aws, **changes: Any) -> Any:
    inputs = {"name": "front", "loadBalancerType": "network", "subnets": [aws.subnet]}
    return aws.make(LOAD_BALANCER, **{**inputs, **changes})


def twice(aws: Aws, token: str, **inputs: Any) -> None:
    aws.make(token, **inputs)
    aws.make(token, **inputs)


def shut_down(aws: Aws) -> None:
    aws.delete(instance(aws, disableApiTermination=True))


def attach(aws: Aws, zone: str) -> Any:
    made = volume(aws, availabilityZone=zone)
    return aws.make(
        ATTACHMENT, instanceId=instance(aws).id, volumeId=made.id, deviceName="/dev/sdf"
    )


REFUSED: dict[str, tuple[str, Act]] = {
    # What the service models say: types, enumerations, lengths, patterns, what is required.
    "a type": ("ValidationError.*Size", lambda a: volume(a, size="much")),
    "an enumeration": ("none of the.*gp3", lambda a: volume(a, type="gp9")),
    "a maximum": ("ValidationError.*more than", lambda a: a.make(SECRET, name="n" * 600)),
    "a minimum": ("ValidationError.*valid min", lambda a: a.make(SECRET, name="")),
    "a pattern": (
        "does not match",
        lambda a: a.make(ROLE, name="no/slash", assumeRolePolicy=TRUST),
    ),
    "missing": ("Missing required.*Action", lambda a: a.make(token("lb", "Listener"), port=1)),
    "IMDS": ("none of the.*required", lambda a: instance(a, metadataOptions={"httpTokens": "yes"})),
    # What the models leave to the server.
    "a network's size": ("InvalidVpc.Range", lambda a: a.make(VPC, cidrBlock="10.0.0.0/8")),
    "host bits": ("has host bits set", lambda a: a.make(VPC, cidrBlock="10.0.0.1/16")),
    "user-data": ("16384", lambda a: instance(a, userData="x" * 16385)),
    "an instance type": ("m7g.huge.*none of the", lambda a: instance(a, instanceType="m7g.huge")),
    "a bucket's name": ("InvalidBucketName", lambda a: a.make(BUCKET, bucket="Under_Score")),
    "a load balancer's name": ("does not match", lambda a: load_balancer(a, name="x" * 33)),
    "a group's text": (
        "description",
        lambda a: a.make(SECURITY_GROUP, vpcId=a.vpc, name="n", description="Öffnung"),
    ),
    "gp3 iops": ("iops on 50 GiB", lambda a: volume(a, iops=99999)),
    "gp3 throughput": ("MiB/s on 3000 iops", lambda a: volume(a, throughput=1000)),
    "a tag": ("InvalidTag", lambda a: a.make(VPC, cidrBlock="10.1.0.0/16", tags={"aws:x": "y"})),
    "many tags": (
        "TagLimitExceeded",
        lambda a: a.make(VPC, cidrBlock="10.1.0.0/16", tags={str(n): "" for n in range(51)}),
    ),
    # Policies.
    "no JSON": ("MalformedPolicyDocument: no JSON", lambda a: role_policy(a, "{")),
    "an action": (
        "no such action: secretsmanager:GetSecretsValue",
        lambda a: role_policy(a, policy("secretsmanager:GetSecretsValue")),
    ),
    "an S3 action": ("no such action", lambda a: role_policy(a, policy("s3:DeleteObjects"))),
    "an effect": ("Effect", lambda a: role_policy(a, policy("s3:GetObject", Effect="Maybe"))),
    "a size": ("LimitExceeded", lambda a: role_policy(a, policy("s3:GetObject", Sid="x" * 11000))),
    "a lockout": ("nobody could change", lambda a: a.make(KEY, policy=policy("kms:Decrypt"))),
    # References.
    "a network": (
        "InvalidVpcID.NotFound",
        lambda a: a.make(SUBNET, vpcId="vpc-0", cidrBlock="10.60.2.0/24"),
    ),
    "a subnet": (
        "InvalidSubnetID.NotFound",
        lambda a: a.make(NETWORK_INTERFACE, subnetId="subnet-0"),
    ),
    "a group": ("InvalidGroup.NotFound", lambda a: rule(a, referencedSecurityGroupId="sg-0")),
    "an image": ("InvalidAMIID.NotFound", lambda a: instance(a, ami="ami-0123456789abcdef0")),
    "an image's processor": (
        "not for arm64",
        lambda a: instance(a, ami=a.debian("x86_64")),
    ),
    "an instance profile": (
        "no InstanceProfile with name 'none'",
        lambda a: instance(a, iamInstanceProfile="none"),
    ),
    "an interface": (
        "InvalidNetworkInterfaceID.NotFound",
        lambda a: instance(a, primaryNetworkInterface={"networkInterfaceId": "eni-0"}),
    ),
    "a key": ("NotFoundException.*Key", lambda a: volume(a, kmsKeyId="arn:aws:kms:none")),
    "a role": (
        "NoSuchEntity",
        lambda a: a.make(INSTANCE_PROFILE, name="node", role="nobody"),
    ),
    "an AWS policy": (
        "AWS has no policy",
        lambda a: a.make(
            token("iam", "RolePolicyAttachment"),
            role=a.make(ROLE, name="node", assumeRolePolicy=TRUST).id,
            policyArn="arn:aws:iam::aws:policy/AmazonEverything",
        ),
    ),
    "a topic": (
        "InvalidAction",
        lambda a: a.make(
            ALARM, name="a", metricName="CPUUtilization", namespace="AWS/EC2", period=60,
            statistic="Average", threshold=1, comparisonOperator="GreaterThanThreshold",
            evaluationPeriods=1, alarmActions=["arn:aws:sns:eu-central-1:123456789012:none"],
        ),
    ),
    "a target": (
        "nothing has the address",
        lambda a: a.make(
            token("lb", "TargetGroupAttachment"),
            targetGroupArn=a.make(
                TARGET_GROUP, name="t", port=5432, protocol="TCP", targetType="ip", vpcId=a.vpc
            ).id,
            targetId="10.60.1.99",
        ),
    ),
    "an endpoint's service": (
        "InvalidServiceName",
        lambda a: a.make(
            VPC_ENDPOINT, vpcId=a.vpc, serviceName=f"com.amazonaws.{REGION}.smm",
            vpcEndpointType="Interface",
        ),
    ),
    # The world must stay consistent.
    "a subnet elsewhere": (
        "InvalidSubnet.Range",
        lambda a: a.make(SUBNET, vpcId=a.vpc, cidrBlock="10.61.2.0/24"),
    ),
    "a subnet again": (
        "InvalidSubnet.Conflict",
        lambda a: a.make(SUBNET, vpcId=a.vpc, cidrBlock="10.60.1.128/25"),
    ),
    "a zone": (
        "has no zone",
        lambda a: a.make(
            SUBNET, vpcId=a.vpc, cidrBlock="10.60.2.0/24", availabilityZone="eu-central-1x"
        ),
    ),
    "an address elsewhere": (
        "is not one for things in",
        lambda a: a.make(NETWORK_INTERFACE, subnetId=a.subnet, privateIps=["10.60.2.11"]),
    ),
    "a reserved address": (
        "is not one for things in",
        lambda a: a.make(NETWORK_INTERFACE, subnetId=a.subnet, privateIps=["10.60.1.2"]),
    ),
    "an address again": (
        "InvalidIPAddress.InUse",
        lambda a: a.make(NETWORK_INTERFACE, subnetId=a.subnet, privateIps=["10.60.1.11"]),
    ),
    "an interface again": (
        "InvalidNetworkInterface.InUse",
        lambda a: (instance(a), instance(a)),
    ),
    "a group of another network": (
        "mixed",
        lambda a: a.make(
            NETWORK_INTERFACE,
            subnetId=a.subnet,
            securityGroups=[a.make(VPC, cidrBlock="10.1.0.0/16").outputs["defaultSecurityGroupId"]],
        ),
    ),
    "a volume's zone": ("InvalidVolume.ZoneMismatch", lambda a: attach(a, f"{REGION}b")),
    "a rule twice": ("InvalidPermission.Duplicate", lambda a: (rule(a), rule(a))),
    "a rule without a peer": ("one peer", lambda a: rule(a, referencedSecurityGroupId=None)),
    "a rule's ports": ("ports 9 to 8", lambda a: rule(a, fromPort=9, toPort=8)),
    "a group twice": (
        "InvalidGroup.Duplicate",
        lambda a: a.make(SECURITY_GROUP, vpcId=a.vpc, name="db", description="db"),
    ),
    "a bucket twice": ("BucketAlreadyExists", lambda a: twice(a, BUCKET, bucket="backups")),
    "a role twice": (
        "EntityAlreadyExists",
        lambda a: twice(a, ROLE, name="node", assumeRolePolicy=TRUST),
    ),
    "a secret twice": ("ResourceExistsException", lambda a: twice(a, SECRET, name="s")),
    "a lock without versions": (
        "keeps no versions",
        lambda a: a.make(
            token("s3", "BucketObjectLockConfiguration"),
            bucket=a.make(BUCKET, bucket="backups").id,
            rule={"defaultRetention": {"mode": "COMPLIANCE", "days": 30}},
        ),
    ),
    "a policy of another bucket": (
        "speaks of",
        lambda a: a.make(
            token("s3", "BucketPolicy"),
            bucket=a.make(BUCKET, bucket="backups").id,
            policy=policy("s3:GetObject", Resource="arn:aws:s3:::others/*", Principal="*"),
        ),
    ),
    # Deletion.
    "a network in use": ("DependencyViolation.*Subnet", lambda a: a.delete(a.vpc, VPC)),
    "a group in use": (
        "DependencyViolation.*NetworkInterface",
        lambda a: a.delete(a.group, SECURITY_GROUP),
    ),
    "a volume in use": (
        "DependencyViolation.*VolumeAttachment",
        lambda a: a.delete(attach(a, f"{REGION}a").get("volumeId"), VOLUME),
    ),
    "a protected instance": ("OperationNotPermitted.*disableApiTermination", shut_down),
    "a protected load balancer": (
        "OperationNotPermitted.*enableDeletionProtection",
        lambda a: a.delete(load_balancer(a, enableDeletionProtection=True)),
    ),
    # Changes.
    "what cannot change": (
        "cannot be changed",
        lambda a: a.change(
            a.make(token("ec2", "PlacementGroup"), name="g", strategy="spread"),
            strategy="cluster",
        ),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused(aws: Aws, name: str) -> None:
    words, act = REFUSED[name]
    with pytest.raises(Refused, match=f"(?s){words}"):
        act(aws)


def test_what_is_right_is_accepted(aws: Aws) -> None:
    # The same calls as above with nothing wrong in them: no rule refuses everything.
    assert instance(aws).get("availabilityZone") == f"{REGION}a"
    assert rule(aws).id.startswith("sgr-")
    assert load_balancer(aws).get("dnsName").endswith(f".elb.{REGION}.amazonaws.com")
    assert role_policy(aws, policy("s3:GetObject*")).id == "node:p"
    assert aws.make(KEY, policy=policy("kms:*")).get("arn").startswith("arn:aws:kms:")
    assert aws.make(TOPIC, name="alarms").id == f"arn:aws:sns:{REGION}:123456789012:alarms"


def test_an_attachment_in_the_volumes_own_zone_is_accepted(aws: Aws) -> None:
    assert attach(aws, f"{REGION}a").get("deviceName") == "/dev/sdf"


def test_a_property_without_a_rule_is_an_error(aws: Aws) -> None:
    with pytest.raises(NoRuleError, match="no parameter for property 'colour'"):
        aws.make(VPC, cidrBlock="10.1.0.0/16", colour="blue")


def test_an_unknown_value_passes_and_a_known_one_beside_it_is_judged(aws: Aws) -> None:
    lifecycle.check(KINDS[VOLUME], {"availabilityZone": UNKNOWN, "size": UNKNOWN}, REGION, {})
    with pytest.raises(Refused, match="none of the"):
        volume(aws, size=UNKNOWN, type="gp9")


def test_what_was_refused_is_not_in_the_world(aws: Aws) -> None:
    before = set(aws.world.items)
    with pytest.raises(Refused):
        rule(aws, fromPort=9, toPort=8)
    assert set(aws.world.items) == before
