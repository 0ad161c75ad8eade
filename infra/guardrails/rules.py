"""The rules. Each is a function from a plan to sentences, one for each thing that breaks it.

A value that only the update will know is not judged by the preview: the tests, whose plans are
complete, do judge it, and so does the policy pack during `pulumi up`.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from infra.guardrails.plan import UNKNOWN, Plan, Resource, user_data

Check = Callable[[Plan], Iterator[str]]

VOLUME = "aws:ebs/volume:Volume"
INSTANCE = "aws:ec2/instance:Instance"
INTERFACE = "aws:ec2/networkInterface:NetworkInterface"
SUBNET = "aws:ec2/subnet:Subnet"
GROUP = "aws:ec2/securityGroup:SecurityGroup"
INGRESS = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
BUCKET = "aws:s3/bucket:Bucket"
KEY = "aws:kms/key:Key"
LOAD_BALANCER = "aws:lb/loadBalancer:LoadBalancer"
BUILDER = "aws:imagebuilder/infrastructureConfiguration:InfrastructureConfiguration"
ROLE_POLICIES = ("aws:iam/rolePolicy:RolePolicy", "aws:iam/policy:Policy")

RETENTION_DAYS = 30
ARCHIVE_SECONDS = 60
FEWEST_MEMBERS = 3
REQUIRED_TAGS = ("cost-center", "owner", "project", "stack")
EVERYBODY = {"0.0.0.0/0", "::/0"}
BACKUPS = re.compile(r"backup|repository")
"""Names of buckets that hold backups."""


@dataclass(frozen=True)
class Rule:
    """A rule: its name, why it is there, and what judges a plan."""

    name: str
    description: str
    check: Check


def _setting(kind: str) -> str:
    return f"aws:s3/{kind[0].lower()}{kind[1:]}:{kind}"


def _of_bucket(plan: Plan, bucket: Resource, kind: str) -> Resource | None:
    """The setting of a kind that a bucket has."""
    for each in plan.of(_setting(kind)):
        if bucket in plan.behind(each, "bucket", BUCKET):
            return each
        if each.get("bucket") == bucket.get("bucket", bucket.name):
            return each
    return None


def _blocks(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value] if value else []


def volumes_encrypted(plan: Plan) -> Iterator[str]:
    """Disks are encrypted, data volumes with a key of ours."""
    for each in plan.of(VOLUME):
        if each.get("encrypted") is not True and not each.is_unknown("encrypted"):
            yield f"{each.label} is not encrypted"
        elif not each.get("kmsKeyId"):
            yield f"{each.label} has no key of its own (kmsKeyId)"
    for each in plan.of(INSTANCE):
        path = "rootBlockDevice.encrypted"
        if each.get(path) is not True and not each.is_unknown(path):
            yield f"the root disk of {each.label} is not encrypted"


def buckets_encrypted(plan: Plan) -> Iterator[str]:
    """What lies in buckets is encrypted with a key of ours."""
    for bucket in plan.of(BUCKET):
        setting = _of_bucket(plan, bucket, "BucketServerSideEncryptionConfiguration")
        rules = _blocks(setting.get("rules")) if setting else []
        defaults = [rule.get("applyServerSideEncryptionByDefault") or {} for rule in rules]
        if not any(each.get("sseAlgorithm") in {"aws:kms", "aws:kms:dsse"} for each in defaults):
            yield f"{bucket.label} is not encrypted with KMS by default"


def keys_kept(plan: Plan) -> Iterator[str]:
    """Keys rotate, and the deletion of one can be taken back for as long as AWS allows."""
    for key in plan.of(KEY):
        if key.get("enableKeyRotation") is not True:
            yield f"{key.label} does not rotate (enableKeyRotation)"
        if key.get("deletionWindowInDays", 30) < RETENTION_DAYS:
            yield f"{key.label} can be deleted after {key.get('deletionWindowInDays')} days"


def doors_closed(plan: Plan) -> Iterator[str]:
    """No rule and no load balancer lets the internet in."""
    for rule in plan.of(INGRESS):
        if open_to := {rule.get("cidrIpv4"), rule.get("cidrIpv6")} & EVERYBODY:
            yield f"{rule.label} lets in {open_to.pop()}"
    for group in plan.of(GROUP):
        blocks = [block for block in _blocks(group.get("ingress")) if isinstance(block, dict)]
        if any(EVERYBODY & set(block.get("cidrBlocks") or ()) for block in blocks):
            yield f"{group.label} lets in everybody"
    for each in plan.of(LOAD_BALANCER):
        if each.get("internal") is not True:
            yield f"{each.label} is not internal"


def addresses_private(plan: Plan) -> Iterator[str]:
    """No machine has a public address."""
    for instance in plan.of(INSTANCE):
        if instance.get("associatePublicIpAddress") is True:
            yield f"{instance.label} has a public address"
        for subnet in _subnets(plan, instance):
            if subnet.get("mapPublicIpOnLaunch") is True:
                yield f"{instance.label} stands in {subnet.label}, which gives public addresses"


def _subnets(plan: Plan, instance: Resource) -> list[Resource]:
    """The subnet of an instance, its own or its interface's."""
    return plan.behind(instance, "subnetId", SUBNET) + [
        subnet
        for interface in plan.behind(instance, "primaryNetworkInterface", INTERFACE)
        for subnet in plan.behind(interface, "subnetId", SUBNET)
    ]


def buckets_private(plan: Plan) -> Iterator[str]:
    """No bucket can be made public, and none is spoken to without TLS."""
    names = ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")
    for bucket in plan.of(BUCKET):
        block = _of_bucket(plan, bucket, "BucketPublicAccessBlock")
        missing = [name for name in names if not (block and block.get(name) is True)]
        if missing:
            yield f"{bucket.label} does not keep the public out ({', '.join(missing)})"
        policy = _of_bucket(plan, bucket, "BucketPolicy")
        if policy is None or not (policy.is_unknown("policy") or _wants_tls(policy)):
            yield f"{bucket.label} has no policy that denies requests without TLS"


def _statements(resource: Resource) -> list[dict[str, Any]]:
    """The statements of a policy; none while it is not known."""
    text = resource.get("policy")
    if not isinstance(text, str) or text in UNKNOWN:
        return []
    return [each for each in _blocks(json.loads(text).get("Statement")) if isinstance(each, dict)]


def _wants_tls(policy: Resource) -> bool:
    return any(
        statement.get("Effect") == "Deny"
        and str(statement.get("Condition", {}).get("Bool", {}).get("aws:SecureTransport")).lower()
        == "false"
        and _blocks(statement.get("Action")) == ["s3:*"]
        for statement in _statements(policy)
    )


def backups_locked(plan: Plan) -> Iterator[str]:
    """Backups cannot be overwritten or deleted before their time, by nobody."""
    databases = [each for each, _ in plan.database_machines() if each.type == INSTANCE]
    buckets = [bucket for bucket in plan.of(BUCKET) if BACKUPS.search(bucket.name)]
    if databases and not buckets:
        yield "there are database machines but no bucket for their backups"
    for bucket in buckets:
        versions = _of_bucket(plan, bucket, "BucketVersioning")
        if not versions or versions.get("versioningConfiguration.status") != "Enabled":
            yield f"{bucket.label} keeps no versions"
        lock = _of_bucket(plan, bucket, "BucketObjectLockConfiguration")
        retention = lock.get("rule.defaultRetention", {}) if lock else {}
        days = retention.get("days") or 365 * (retention.get("years") or 0)
        if bucket.get("objectLockEnabled") is not True or days < RETENTION_DAYS:
            yield f"{bucket.label} is locked for {days} days, not {RETENTION_DAYS}"
        elif retention.get("mode") != "COMPLIANCE":
            yield f"{bucket.label} is locked in mode {retention.get('mode')}, not COMPLIANCE"


def versions_kept(plan: Plan) -> Iterator[str]:
    """No machine may delete object versions, and no policy allows everything."""
    for policy in plan.of(*ROLE_POLICIES):
        for statement in _statements(policy):
            actions = {str(each).lower() for each in _blocks(statement.get("Action"))}
            if statement.get("Effect") != "Allow":
                continue
            if broad := actions & {"*", "s3:*", "kms:*", "iam:*", "ec2:*", "secretsmanager:*"}:
                yield f"{policy.label} allows {', '.join(sorted(broad))}"
            if any(_covers(action, "s3:deleteobjectversion") for action in actions - {"*", "s3:*"}):
                yield f"{policy.label} may delete object versions"


def _covers(pattern: str, action: str) -> bool:
    return re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), action) is not None


def metadata_guarded(plan: Plan) -> Iterator[str]:
    """Instances answer for their role by IMDSv2 only, and to themselves only."""
    for each in plan.of(INSTANCE):
        yield from _imds(each, "metadataOptions")
    for each in plan.of(BUILDER):
        yield from _imds(each, "instanceMetadataOptions")


def _imds(each: Resource, block: str) -> Iterator[str]:
    if each.get(f"{block}.httpTokens") != "required":
        yield f"{each.label} answers IMDSv1 ({block}.httpTokens is not `required`)"
    if each.get(f"{block}.httpPutResponseHopLimit", 1) != 1:
        yield f"{each.label} answers metadata requests from beyond itself"


def deletion_protected(plan: Plan) -> Iterator[str]:
    """What holds data, and the front door, cannot be deleted by a slip."""
    backups = [bucket for bucket in plan.of(BUCKET) if BACKUPS.search(bucket.name)]
    for each in [*plan.of(VOLUME, KEY), *backups]:
        if not each.protected:
            yield f"{each.label} is not protected (ResourceOptions protect)"
    for each in plan.of(INSTANCE):
        if each.get("disableApiTermination") is not True:
            yield f"{each.label} can be terminated (disableApiTermination is off)"
    for each in plan.of(LOAD_BALANCER):
        if each.get("enableDeletionProtection") is not True:
            yield f"{each.label} can be deleted (enableDeletionProtection is off)"
    for bucket in backups:
        if bucket.get("forceDestroy") is True:
            yield f"{bucket.label} would be emptied when it is deleted (forceDestroy)"


def tagged(plan: Plan) -> Iterator[str]:
    """Bills and alarms name whom to ask."""
    for each in plan.of(INSTANCE, VOLUME, BUCKET, LOAD_BALANCER, INTERFACE, KEY):
        if each.is_unknown("tagsAll"):
            continue
        tags = {**each.default_tags, **(each.get("tagsAll") or each.get("tags") or {})}
        if missing := [tag for tag in REQUIRED_TAGS if not tags.get(tag)]:
            yield f"{each.label} has no tag {', '.join(missing)}"


def odd_members(plan: Plan) -> Iterator[str]:
    """An odd number of etcd members, at least three, each on a machine of this stack."""
    databases = plan.database_machines()
    for machine, _ in databases:
        members = _etcd_members(plan, machine)
        if members is None:
            continue
        if len(members) % 2 == 0 or len(members) < FEWEST_MEMBERS:
            yield f"{machine.label}: {len(members)} etcd members, not an odd number from three on"
        if len(members) != len(databases):
            yield f"{machine.label}: {len(members)} etcd members on {len(databases)} machines"


def _etcd_members(plan: Plan, machine: Resource) -> list[str] | None:
    """The etcd members that a machine's place file names; None if unknown."""
    own = [each for each in _holders(plan) if each.name in {machine.name, f"{machine.name}-place"}]
    if any(each.is_unknown("content") or each.is_unknown("place") for each in own):
        return None
    told = [name for _, place in _place_files(own) for name in place.get("machines") or ()]
    return [str(name) for name in told if str(name).startswith("pg-")]


def zones_spread(plan: Plan) -> Iterator[str]:
    """The loss of one zone leaves a majority."""
    zones: list[str] = []
    for machine, _ in plan.database_machines():
        if machine.type != INSTANCE:
            continue
        subnets = _subnets(plan, machine)
        zone = subnets[0].get("availabilityZone") if subnets else machine.get("availabilityZone")
        if zone not in UNKNOWN:
            zones.append(str(zone))
    for zone, number in Counter(zones).items():
        if 2 * number >= len(zones):
            yield f"{number} of {len(zones)} database machines are in zone {zone}"


def retention_long(plan: Plan) -> Iterator[str]:
    """Backups are kept for thirty days at least."""
    for machine, files in plan.database_machines():
        text = files.get("/etc/pgbackrest/pgbackrest.conf", "")
        settings = dict(re.findall(r"^(repo\d-retention-full(?:-type)?)=(.*)$", text, re.MULTILINE))
        days = [int(v) for k, v in settings.items() if k.endswith("-full")]
        in_days = all(v == "time" for k, v in settings.items() if k.endswith("-type"))
        if not days or not in_days or min(days) < RETENTION_DAYS:
            yield f"{machine.label} keeps backups by {settings or 'no rule'}, not 30 days"


def archive_prompt(plan: Plan) -> Iterator[str]:
    """At most a minute of changes can be lost with the whole cluster."""
    found_any = False
    for each, place in _place_files(_holders(plan)):
        settings = place.get("settings") or {}
        if not settings:
            continue
        found_any = True
        text = str(settings.get("postgresql", {}).get("parameters", {}).get("archive_timeout"))
        found = re.fullmatch(r"(\d+)(s|min)?", text)
        seconds = int(found[1]) * (60 if found[2] == "min" else 1) if found else 0
        if not 0 < seconds <= ARCHIVE_SECONDS:
            yield f"{each.label}: archive_timeout is {text}, not between 1 s and 60 s"
    unknown = any(e.is_unknown("content") or e.is_unknown("place") for e in _holders(plan))
    if plan.database_machines() and not found_any and not unknown:
        yield "no place file says what archive_timeout the database machines have"


def _holders(plan: Plan) -> list[Resource]:
    return plan.of("pulumi-python:dynamic/local:Machine", "aws:s3/bucketObjectv2:BucketObjectv2")


def _place_files(holders: list[Resource]) -> Iterator[tuple[Resource, dict[str, Any]]]:
    """Every machine's place file: a property here, an object in a bucket there."""
    for each in holders:
        text = each.get("place", each.get("content"))
        if isinstance(text, str) and text.startswith("{"):
            yield each, json.loads(text)


SECRETS = {
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    "an AWS access key": re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    "a SCRAM verifier": re.compile(r"SCRAM-SHA-256\$\d+:"),
    "a URL with a password": re.compile(r"[a-z]+://[^\s:/@]+:[^\s@/$<{]+@"),
}
TOKEN = re.compile(r"[A-Za-z0-9+_=-]{24,}")
RANDOM_BITS = 4.2
"""Bits a character: words are below, random base64 of this length is above."""


def no_secrets(plan: Plan) -> Iterator[str]:
    """User-data holds no secret: whoever may describe the instance can read it."""
    for machine, _ in plan.machines():
        text = user_data(machine)
        for what, pattern in SECRETS.items():
            if pattern.search(text):
                yield f"user-data of {machine.label} holds {what}"
        if found := [token for token in TOKEN.findall(text) if _looks_random(token)]:
            yield f"user-data of {machine.label} holds what looks like a secret ({found[0][:4]}…)"


def _looks_random(token: str) -> bool:
    mixed = all(re.search(kind, token) for kind in ("[a-z]", "[A-Z]", "[0-9]"))
    counts = Counter(token)
    bits = -sum(n / len(token) * math.log2(n / len(token)) for n in counts.values())
    return mixed and bits > min(RANDOM_BITS, 0.9 * math.log2(len(token)))


RULES = tuple(
    Rule(check.__name__.replace("_", "-"), (check.__doc__ or "").strip(), check)
    for check in (
        volumes_encrypted, buckets_encrypted, keys_kept, doors_closed, addresses_private,
        buckets_private, backups_locked, versions_kept, metadata_guarded, deletion_protected,
        tagged, odd_members, zones_spread, retention_long, archive_prompt, no_secrets,
    )
)  # fmt: skip


def violations(plan: Plan) -> list[str]:
    """Everything that breaks a rule, as `rule: sentence`."""
    return [f"{rule.name}: {sentence}" for rule in RULES for sentence in rule.check(plan)]
