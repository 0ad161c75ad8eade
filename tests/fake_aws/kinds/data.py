"""Buckets, keys and secrets."""

from __future__ import annotations

import json

from tests.fake_aws.kinds.names import (
    BUCKET,
    KEY,
    KEY_ALIAS,
    KEYS,
    SECRET,
    arn,
    bucket_ref,
    key_ref,
    policy_document,
    ref,
    role_ref,
    sentence,
    token,
)
from tests.fake_aws.model import Call, Check, Kind
from tests.fake_aws.service import Refused
from tests.fake_aws.world import Item, World

# Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
BUCKET_NAME = r"(?!xn--|sthree-)(?!.*\.\.)(?!\d+\.\d+\.\d+\.\d+$)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]"


def globally_free(world: World, item: Item) -> None:
    """A bucket's name is free in the whole world."""
    if world.find((BUCKET,), "id", str(item.get("bucket"))):
        raise Refused("BucketAlreadyExists", f"bucket {item.get('bucket')!r} exists")


def with_lock(world: World, item: Item) -> None:
    """Object lock wants a bucket that was made for it, with versions."""
    bucket = world.find((BUCKET,), "id", str(item.get("bucket")))
    if bucket and bucket.get("objectLockEnabled") is not True:
        versions = world.find((token("s3", "BucketVersioning"),), "bucket", bucket.id)
        if versions is None:
            raise Refused("InvalidBucketState", f"bucket {bucket.id} keeps no versions")


def one_per_bucket(world: World, item: Item) -> None:
    """A bucket has one setting of a kind."""
    other = world.find((item.token,), "bucket", str(item.get("bucket")))
    if other:
        raise Refused("OperationAborted", f"bucket {other.id} has its {item.token} already")


def versions_stay(world: World, item: Item) -> None:
    """A locked bucket keeps versions."""
    bucket = world.find((BUCKET,), "id", str(item.get("bucket")))
    status = (item.get("versioningConfiguration") or {}).get("status")
    if bucket and bucket.get("objectLockEnabled") and status not in {"Enabled", None}:
        raise Refused("InvalidBucketState", f"versioning of locked bucket {bucket.id}: {status}")


def about_bucket(name: str) -> Check:
    """A bucket's policy speaks of that bucket."""

    def check(_world: World, item: Item) -> None:
        bucket, text = item.get("bucket"), item.get(name)
        if not (bucket and text):
            return
        for statement in json.loads(text)["Statement"]:
            resources = statement.get("Resource")
            for each in resources if isinstance(resources, list) else [resources]:
                if not str(each).startswith(f"arn:aws:s3:::{bucket}"):
                    raise Refused("MalformedPolicy", f"the policy of {bucket} speaks of {each}")

    return check


def lockout(_world: World, item: Item) -> None:
    """A key's policy must leave somebody who can change it."""
    text = item.get("policy")
    if text and not any(
        action in {"kms:*", "kms:PutKeyPolicy"}
        for statement in json.loads(text)["Statement"]
        if statement["Effect"] == "Allow"
        for action in (
            statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        )
    ):
        raise Refused("MalformedPolicyDocumentException", "nobody could change the key's policy")


def replicated_elsewhere(world: World, item: Item) -> None:
    """Both buckets of a replication keep versions."""
    names = [item.get("bucket")]
    for rule in item.get("rules") or []:
        target = (rule.get("destination") or {}).get("bucket", "")
        names.append(target.rpartition(":")[2] if target.startswith("arn:") else None)
    for name in filter(None, names):
        if world.find((BUCKET,), "id", name) is None:
            raise Refused("InvalidRequest", f"there is no bucket {name}")
        if world.find((token("s3", "BucketVersioning"),), "bucket", name) is None:
            raise Refused("InvalidRequest", f"bucket {name} keeps no versions")


def _setting(
    name: str, operation: str, field: str = "", *, delete: str | None = None, **more: object
) -> Kind:
    """A setting of a bucket: one call with the bucket's name and a block."""
    names = more.pop("names", {})
    checks = more.pop("checks", ())
    refs = more.pop("refs", ())
    assert isinstance(names, dict)
    assert isinstance(checks, tuple)
    assert isinstance(refs, tuple)
    if field:
        names = {field: "", **names}
    return Kind(
        token("s3", name),
        (Call(f"s3:{operation}", names),),
        id="{bucket}",
        replace=frozenset({"bucket"}),
        update=f"s3:{operation}",
        local=frozenset({"skipDestroy"}) if name == "BucketPublicAccessBlock" else frozenset(),
        refs=(bucket_ref(), *refs),
        checks=(one_per_bucket, *checks),
        delete=f"s3:{delete}" if delete else None,
    )


KINDS = (
    Kind(
        BUCKET,
        (
            Call("s3:CreateBucket", {"objectLockEnabled": "ObjectLockEnabledForBucket"}),
            Call(
                "s3:PutBucketTagging",
                {"tags": "Tagging.TagSet"},
                fixed={"Bucket": "{bucket}"},
                only=("tags",),
            ),
        ),
        id="{bucket}",
        replace=frozenset({"bucket", "objectLockEnabled"}),
        update="s3:PutBucketTagging",
        local=frozenset({"forceDestroy"}),
        outputs={
            "arn": "arn:aws:s3:::{bucket}",
            "bucketDomainName": "{bucket}.s3.amazonaws.com",
            "bucketRegionalDomainName": "{bucket}.s3.{region}.amazonaws.com",
            "hostedZoneId": "Z3AQBSTGFYJSTF",
        },
        autoname="bucket",
        taken="BucketAlreadyExists",
        checks=(sentence("bucket", BUCKET_NAME, "InvalidBucketName"), globally_free),
        delete="s3:DeleteBucket",
    ),
    _setting("BucketVersioning", "PutBucketVersioning", checks=(versions_stay,)),
    _setting(
        "BucketServerSideEncryptionConfiguration",
        "PutBucketEncryption",
        delete="DeleteBucketEncryption",
        names={
            "rules": "ServerSideEncryptionConfiguration.Rules",
            "rules.applyServerSideEncryptionByDefault": "ApplyServerSideEncryptionByDefault",
            "rules.applyServerSideEncryptionByDefault.sseAlgorithm": "SSEAlgorithm",
            "rules.applyServerSideEncryptionByDefault.kmsMasterKeyId": "KMSMasterKeyID",
        },
        refs=(key_ref("rules.applyServerSideEncryptionByDefault.kmsMasterKeyId"),),
    ),
    _setting(
        "BucketPublicAccessBlock",
        "PutPublicAccessBlock",
        delete="DeletePublicAccessBlock",
        names={
            name: f"PublicAccessBlockConfiguration.{name[0].upper()}{name[1:]}"
            for name in (
                "blockPublicAcls",
                "blockPublicPolicy",
                "ignorePublicAcls",
                "restrictPublicBuckets",
            )
        },
    ),
    _setting(
        "BucketObjectLockConfiguration",
        "PutObjectLockConfiguration",
        names={
            "rule": "ObjectLockConfiguration.Rule",
            "objectLockEnabled": "ObjectLockConfiguration.ObjectLockEnabled",
        },
        checks=(with_lock,),
    ),
    _setting(
        "BucketLifecycleConfiguration",
        "PutBucketLifecycleConfiguration",
        delete="DeleteBucketLifecycle",
        names={
            "rules": "LifecycleConfiguration.Rules",
            "rules.id": "ID",
            "rules.expiration": "Expiration",
            "rules.filter": "Filter",
            "rules.transitions": "Transitions",
            "rules.noncurrentVersionTransitions": "NoncurrentVersionTransitions",
        },
    ),
    _setting(
        "BucketPolicy",
        "PutBucketPolicy",
        delete="DeleteBucketPolicy",
        checks=(policy_document("policy", 20480), about_bucket("policy")),
    ),
    _setting(
        "BucketOwnershipControls",
        "PutBucketOwnershipControls",
        delete="DeleteBucketOwnershipControls",
        names={"rule": "OwnershipControls.Rules"},
    ),
    _setting(
        "BucketReplicationConfig",
        "PutBucketReplication",
        delete="DeleteBucketReplication",
        names={
            "role": "ReplicationConfiguration.Role",
            "rules": "ReplicationConfiguration.Rules",
            "rules.id": "ID",
            "rules.destination.encryptionConfiguration.replicaKmsKeyId": "ReplicaKmsKeyID",
        },
        refs=(role_ref("role"),),
        checks=(replicated_elsewhere,),
    ),
    _setting(
        "BucketLogging",
        "PutBucketLogging",
        names={
            "targetBucket": "BucketLoggingStatus.LoggingEnabled.TargetBucket",
            "targetPrefix": "BucketLoggingStatus.LoggingEnabled.TargetPrefix",
        },
        refs=(bucket_ref("targetBucket"),),
    ),
    Kind(
        token("s3", "BucketObjectv2"),
        (
            Call(
                "s3:PutObject",
                {
                    "content": "Body",
                    "contentBase64": "Body",
                    "kmsKeyId": "SSEKMSKeyId",
                    "objectLockRetainUntilDate": "ObjectLockRetainUntilDate",
                },
            ),
        ),
        id="{bucket}/{key}",
        replace=frozenset({"bucket", "key"}),
        update="s3:PutObject",
        local=frozenset({"source", "sourceHash", "forceDestroy", "etag", "tags"}),
        outputs={"versionId": "{hex}", "arn": "arn:aws:s3:::{bucket}/{key}"},
        refs=(
            ref("bucket", BUCKET, code="NoSuchBucket"),
            key_ref("kmsKeyId"),
        ),
        delete="s3:DeleteObject",
    ),
    Kind(
        KEY,
        (
            Call(
                "kms:CreateKey",
                {"customerMasterKeySpec": "KeySpec"},
            ),
            Call(
                "kms:EnableKeyRotation",
                {"enableKeyRotation": ""},
                fixed={"KeyId": "{id}"},
                only=("enableKeyRotation", "rotationPeriodInDays"),
            ),
        ),
        id="{uuid}",
        replace=frozenset({"keyUsage", "customerMasterKeySpec", "multiRegion"}),
        update="kms:UpdateKeyDescription",
        local=frozenset({"deletionWindowInDays", "isEnabled"}),
        outputs={"arn": arn("kms", "key/{id}"), "keyId": "{id}"},
        checks=(policy_document("policy", 32768), lockout),
        delete="kms:ScheduleKeyDeletion",
    ),
    Kind(
        token("kms", "ReplicaKey"),
        (
            Call(
                "kms:ReplicateKey", {"primaryKeyArn": "KeyId"}, fixed={"ReplicaRegion": "{region}"}
            ),
        ),
        id="{uuid}",
        replace=frozenset({"primaryKeyArn"}),
        update="kms:UpdateKeyDescription",
        local=frozenset({"deletionWindowInDays", "enabled"}),
        outputs={"arn": arn("kms", "key/{id}"), "keyId": "{id}"},
        checks=(policy_document("policy", 32768), lockout),
        delete="kms:ScheduleKeyDeletion",
    ),
    Kind(
        KEY_ALIAS,
        (Call("kms:CreateAlias", {"name": "AliasName"}),),
        id="{name}",
        replace=frozenset({"name"}),
        update="kms:UpdateAlias",
        outputs={
            "arn": arn("kms", "{name}"),
            "targetKeyArn": lambda world, item: world.must_find(
                ref("targetKeyId", KEY, code="NotFoundException"), str(item.get("targetKeyId"))
            ).get("arn"),
        },
        refs=(ref("targetKeyId", KEY, code="NotFoundException", blocks=False),),
        taken="AlreadyExistsException",
        autoname="name",
        checks=(sentence("name", r"alias/(?!aws/)[a-zA-Z0-9/_-]+", "InvalidAliasNameException"),),
        delete="kms:DeleteAlias",
    ),
    Kind(
        SECRET,
        (Call("secretsmanager:CreateSecret", {"replicas": "AddReplicaRegions"}),),
        id="arn:aws:secretsmanager:{region}:{account}:secret:{name}-{hex6}",
        replace=frozenset({"name"}),
        update="secretsmanager:UpdateSecret",
        local=frozenset({"recoveryWindowInDays", "forceOverwriteReplicaSecret", "policy"}),
        outputs={"arn": "{id}"},
        unique=(("name",),),
        taken="ResourceExistsException",
        autoname="name",
        refs=(key_ref("kmsKeyId"),),
        delete="secretsmanager:DeleteSecret",
    ),
    Kind(
        token("secretsmanager", "SecretVersion"),
        (Call("secretsmanager:PutSecretValue"),),
        id="{secretId}|{hex}",
        replace=frozenset({"secretId", "secretString", "secretBinary"}),
        update="secretsmanager:UpdateSecretVersionStage",
        outputs={
            "versionId": "{hex}",
            "versionStages": lambda *_: ["AWSCURRENT"],
        },
        refs=(ref("secretId", SECRET, code="ResourceNotFoundException", blocks=False),),
    ),
    Kind(
        token("secretsmanager", "SecretPolicy"),
        (
            Call(
                "secretsmanager:PutResourcePolicy",
                {"secretArn": "SecretId", "policy": "ResourcePolicy"},
            ),
        ),
        id="{secretArn}",
        replace=frozenset({"secretArn"}),
        update="secretsmanager:PutResourcePolicy",
        refs=(ref("secretArn", SECRET, code="ResourceNotFoundException", blocks=False),),
        checks=(policy_document("policy", 20480),),
        delete="secretsmanager:DeleteResourcePolicy",
    ),
    Kind(
        token("ssm", "Parameter"),
        (Call("ssm:PutParameter"),),
        id="{name}",
        replace=frozenset({"name"}),
        update="ssm:PutParameter",
        outputs={"arn": arn("ssm", "parameter/{name}"), "version": lambda *_: 1},
        taken="ParameterAlreadyExists",
        autoname="name",
        refs=(ref("keyId", *KEYS, key="arn", code="InvalidKeyId", blocks=False),),
        delete="ssm:DeleteParameter",
    ),
)
