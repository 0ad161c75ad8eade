"""Every guardrail: a plan that keeps them all, and for each one a plan that breaks it alone."""

from __future__ import annotations

import base64
import copy
import gzip
import json
from collections.abc import Callable
from typing import Any

import pytest

from infra.guardrails.plan import Plan, from_state
from infra.guardrails.rules import RULES, violations
from infra.machine import machines
from infra.spec import ClusterSpec

State = dict[str, Any]
Break = Callable[[dict[str, State]], Any]

TAGS = {"cost-center": "c", "owner": "o", "project": "guestcomms", "stack": "test"}
ROLE = "aws:iam/rolePolicy:RolePolicy"
MACHINES = {item.name: item for item in machines(ClusterSpec.load("test", {}), "0" * 64)}
ADDRESSES = dict.fromkeys(MACHINES, "10.60.0.1")
PLACE = json.dumps({"settings": MACHINES["pg-1"].settings, "machines": ADDRESSES})


def packed(text: str) -> str:
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def policy(**statement: Any) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def sound() -> dict[str, State]:
    """A small stack on AWS that keeps every rule: URN's last part and kind → state."""
    made: dict[str, State] = {}

    def add(
        kind: str, name: str, depends: dict[str, list[str]] | None = None, **inputs: Any
    ) -> str:
        urn = f"urn:pulumi:test::guestcomms::{kind}::{name}"
        made[f"{kind.rpartition(':')[2]} {name}"] = {
            "urn": urn,
            "type": kind,
            "inputs": {**inputs, "tags": TAGS},
            "protect": True,
            "propertyDependencies": depends or {},
        }
        return urn

    add("aws:kms/key:Key", "backups", enableKeyRotation=True, deletionWindowInDays=30)
    for number, zone in enumerate("abc", 1):
        name = f"pg-{number}"
        subnet = add("aws:ec2/subnet:Subnet", zone, availabilityZone=f"eu-central-1{zone}")
        interface = add("aws:ec2/networkInterface:NetworkInterface", name, {"subnetId": [subnet]})
        add("aws:ebs/volume:Volume", name, encrypted=True, kmsKeyId="arn:aws:kms:key")
        add(
            "aws:ec2/instance:Instance",
            name,
            {"primaryNetworkInterface": [interface]},
            userDataBase64=packed(MACHINES[name].user_data),
            metadataOptions={"httpTokens": "required", "httpPutResponseHopLimit": 1},
            rootBlockDevice={"encrypted": True},
            disableApiTermination=True,
        )
        add("aws:s3/bucketObjectv2:BucketObjectv2", f"{name}-place", content=PLACE)
    add(
        "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule",
        "clients",
        cidrIpv4="10.0.0.0/8",
    )
    add("aws:ec2/securityGroup:SecurityGroup", "db", ingress=[])
    add("aws:lb/loadBalancer:LoadBalancer", "front", internal=True, enableDeletionProtection=True)
    bucket = add("aws:s3/bucket:Bucket", "backups", objectLockEnabled=True)

    def setting(kind: str, **inputs: Any) -> None:
        add(f"aws:s3/{kind[0].lower()}{kind[1:]}:{kind}", "backups", {"bucket": [bucket]}, **inputs)

    setting("BucketVersioning", versioningConfiguration={"status": "Enabled"})
    setting(
        "BucketServerSideEncryptionConfiguration",
        rules=[{"applyServerSideEncryptionByDefault": {"sseAlgorithm": "aws:kms"}}],
    )
    setting(
        "BucketObjectLockConfiguration",
        rule={"defaultRetention": {"mode": "COMPLIANCE", "days": 30}},
    )
    setting(
        "BucketPublicAccessBlock",
        blockPublicAcls=True,
        blockPublicPolicy=True,
        ignorePublicAcls=True,
        restrictPublicBuckets=True,
    )
    setting(
        "BucketPolicy",
        policy=policy(
            Effect="Deny",
            Action="s3:*",
            Principal="*",
            Resource="*",
            Condition={"Bool": {"aws:SecureTransport": "false"}},
        ),
    )
    add(ROLE, "pg-1", policy=policy(Effect="Allow", Action=["s3:GetObject", "s3:DeleteObject"]))
    return made


def plan(states: dict[str, State]) -> Plan:
    return from_state(states.values())


def put(resource: str, **inputs: Any) -> Break:
    """Give a resource other inputs."""
    return lambda states: states[resource]["inputs"].update(inputs)


def without(resource: str) -> Break:
    """Leave a resource out."""
    return lambda states: states.pop(resource)


def user_data(change: Callable[[str], str]) -> Break:
    """Change what every database machine boots."""

    def apply(states: dict[str, State]) -> None:
        for name in ("pg-1", "pg-2", "pg-3"):
            text = change(MACHINES[name].user_data)
            states[f"Instance {name}"]["inputs"]["userDataBase64"] = packed(text)

    return apply


def replaced(old: str, new: str) -> Break:
    def change(text: str) -> str:
        assert old in text
        return text.replace(old, new)

    return user_data(change)


def place(timeout: str) -> Break:
    settings = copy.deepcopy(MACHINES["pg-1"].settings)
    parameters: Any = settings["postgresql"]
    parameters["parameters"]["archive_timeout"] = timeout
    told = {"settings": settings, "machines": ADDRESSES}
    return put("BucketObjectv2 pg-1-place", content=json.dumps(told))


def members(*names: str) -> Break:
    """Name other database machines to all of them."""
    told = {**json.loads(PLACE), "machines": dict.fromkeys([*names, "proxy-1"], "10.60.0.1")}

    def apply(states: dict[str, State]) -> None:
        for name in ("pg-1", "pg-2", "pg-3"):
            put(f"BucketObjectv2 {name}-place", content=json.dumps(told))(states)

    return apply


def untagged(states: dict[str, State]) -> None:
    states["Instance pg-1"]["inputs"]["tags"] = {"owner": "o"}


def unprotected(states: dict[str, State]) -> None:
    states["Volume pg-1"]["protect"] = False


def no_bucket(states: dict[str, State]) -> None:
    for name in [name for name in states if name.endswith(" backups") and name[:6] == "Bucket"]:
        states.pop(name)


def fourth_machine(states: dict[str, State]) -> None:
    """In a zone of its own, so that only its etcd is missing among the members."""
    for kind in ("Subnet c", "NetworkInterface pg-3", "Instance pg-3"):
        copied = json.loads(json.dumps(states[kind]).replace("pg-3", "pg-4").replace("::c", "::d"))
        states[f"{kind} again"] = copied
    states["Subnet c again"]["inputs"]["availabilityZone"] = "eu-central-1d"


LOCK = "BucketObjectLockConfiguration backups"
PRIVATE_KEY = "-----BEGIN EC PRIVATE KEY-----"  # no key: the words that one begins with

BROKEN: list[tuple[str, str, Break]] = [
    ("volumes-encrypted", "Volume pg-1 is not", put("Volume pg-1", encrypted=False)),
    ("volumes-encrypted", "no key of its own", put("Volume pg-1", kmsKeyId=None)),
    ("volumes-encrypted", "root disk", put("Instance pg-1", rootBlockDevice={})),
    (
        "buckets-encrypted",
        "with KMS",
        without("BucketServerSideEncryptionConfiguration backups"),
    ),
    ("keys-kept", "does not rotate", put("Key backups", enableKeyRotation=False)),
    ("keys-kept", "after 7 days", put("Key backups", deletionWindowInDays=7)),
    ("doors-closed", "lets in 0", put("SecurityGroupIngressRule clients", cidrIpv4="0.0.0.0/0")),
    (
        "doors-closed",
        "lets in everybody",
        put("SecurityGroup db", ingress=[{"cidrBlocks": ["0.0.0.0/0"]}]),
    ),
    ("doors-closed", "not internal", put("LoadBalancer front", internal=False)),
    (
        "addresses-private",
        "a public address",
        put("Instance pg-1", associatePublicIpAddress=True),
    ),
    ("addresses-private", "gives public", put("Subnet a", mapPublicIpOnLaunch=True)),
    (
        "buckets-private",
        "blockPublicPolicy",
        put("BucketPublicAccessBlock backups", blockPublicPolicy=False),
    ),
    ("buckets-private", "without TLS", without("BucketPolicy backups")),
    (
        "buckets-private",
        "without TLS",
        put("BucketPolicy backups", policy=policy(Effect="Deny", Action="s3:*", Principal="*")),
    ),
    ("backups-locked", "no bucket for", no_bucket),
    (
        "backups-locked",
        "no versions",
        put("BucketVersioning backups", versioningConfiguration={"status": "Suspended"}),
    ),
    ("backups-locked", "locked for 0", without(LOCK)),
    (
        "backups-locked",
        "locked for 7",
        put(LOCK, rule={"defaultRetention": {"mode": "COMPLIANCE", "days": 7}}),
    ),
    (
        "backups-locked",
        "GOVERNANCE",
        put(LOCK, rule={"defaultRetention": {"mode": "GOVERNANCE", "days": 30}}),
    ),
    (
        "versions-kept",
        "delete object versions",
        put("RolePolicy pg-1", policy=policy(Effect="Allow", Action="s3:Delete*")),
    ),
    (
        "versions-kept",
        "allows s3:*",
        put("RolePolicy pg-1", policy=policy(Effect="Allow", Action="s3:*")),
    ),
    (
        "metadata-guarded",
        "IMDSv1",
        put("Instance pg-1", metadataOptions={"httpTokens": "optional"}),
    ),
    (
        "metadata-guarded",
        "beyond itself",
        put(
            "Instance pg-1",
            metadataOptions={"httpTokens": "required", "httpPutResponseHopLimit": 2},
        ),
    ),
    ("deletion-protected", "Volume pg-1", unprotected),
    ("deletion-protected", "terminated", put("Instance pg-1", disableApiTermination=False)),
    (
        "deletion-protected",
        "LoadBalancer front",
        put("LoadBalancer front", enableDeletionProtection=False),
    ),
    ("deletion-protected", "emptied", put("Bucket backups", forceDestroy=True)),
    ("tagged", "cost-center, project, stack", untagged),
    ("odd-members", "2 etcd members", members("pg-1", "pg-2")),
    ("odd-members", "0 etcd members", members()),
    ("odd-members", "5 etcd members on 3", members("pg-1", "pg-2", "pg-3", "pg-4", "pg-5")),
    ("odd-members", "on 4 machines", fourth_machine),
    ("zones-spread", "2 of 3", put("Subnet b", availabilityZone="eu-central-1a")),
    (
        "retention-long",
        "not 30 days",
        replaced("repo1-retention-full=30", "repo1-retention-full=7"),
    ),
    (
        "retention-long",
        "not 30 days",
        replaced("retention-full-type=time", "retention-full-type=count"),
    ),
    ("archive-prompt", "15min", place("15min")),
    ("archive-prompt", "is 0", place("0")),
    ("no-secrets", "a private key", user_data(lambda text: f"{text}# {PRIVATE_KEY}\n")),
    ("no-secrets", "an AWS access", user_data(lambda text: f"{text}# AKIAIOSFODNN7EXAMPLE\n")),
    (
        "no-secrets",
        "looks like a secret",
        user_data(lambda text: f"{text}# b7Qx9TzK2mWp4RvN8sLd3FhJ6gYc5uAe\n"),
    ),
    (
        "no-secrets",
        "URL with a password",
        user_data(lambda text: f"{text}# postgresql://app:hunter2@db/wedsync\n"),
    ),
    ("no-secrets", "SCRAM", user_data(lambda text: f"{text}# SCRAM-SHA-256$4096:abc\n")),
]


@pytest.mark.parametrize(("tags", "kept"), [(TAGS, True), ({"owner": "o"}, False)])
def test_a_provider_gives_tags_that_a_preview_does_not_show(
    tags: dict[str, str], *, kept: bool
) -> None:
    states = sound()
    provider = "urn:pulumi:test::guestcomms::pulumi:providers:aws::aws"
    states["provider"] = {
        "urn": provider,
        "type": "pulumi:providers:aws",
        "inputs": {"defaultTags": json.dumps({"tags": tags})},
    }
    states["Key backups"]["provider"] = f"{provider}::04da6b54-80e4-46f7-96ec-b56ff0331ba9"
    states["Key backups"]["inputs"]["tags"] = {"Name": "backups"}
    found = {sentence.partition(":")[0] for sentence in violations(plan(states))}
    assert found == (set() if kept else {"tagged"})


def test_a_sound_plan_keeps_every_rule() -> None:
    assert violations(plan(sound())) == []


@pytest.mark.parametrize(
    ("rule", "words", "act"), BROKEN, ids=[f"{rule}: {words}" for rule, words, _ in BROKEN]
)
def test_a_broken_plan_is_named(rule: str, words: str, act: Break) -> None:
    states = sound()
    act(states)
    found = violations(plan(states))
    assert {sentence.partition(":")[0] for sentence in found} == {rule}
    assert any(words in sentence for sentence in found)


def test_every_rule_is_broken_by_an_example() -> None:
    assert {rule for rule, _, _ in BROKEN} == {rule.name for rule in RULES}


def test_what_only_the_update_knows_is_not_judged() -> None:
    unknown = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
    states = sound()
    states["BucketPolicy backups"]["inputs"]["policy"] = unknown
    states["RolePolicy pg-1"]["inputs"]["policy"] = unknown
    for name in ("pg-1", "pg-2", "pg-3"):
        states[f"BucketObjectv2 {name}-place"]["inputs"]["content"] = unknown
        states[f"Volume {name}"]["inputs"]["kmsKeyId"] = unknown
    assert violations(plan(states)) == []
