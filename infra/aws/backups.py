"""The backup store: a locked bucket, and where the stack says so a copy of it in another region."""

from __future__ import annotations

import json

import pulumi_aws as aws
from pulumi import ComponentResource, InvokeOptions, Output, ResourceOptions

from infra.aws.bucket import Bucket
from infra.aws.identity import ROLES, Statement, allow, document
from infra.aws.keys import Keys, account, key_policy, make_key
from infra.aws.provider import make_provider
from infra.spec import AwsPlace, ClusterSpec

PREFIX = "/wedsync"
"""pgBackRest's repo-path in the bucket."""

TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "s3.amazonaws.com"},
                "Action": "sts:AssumeRole",
            }
        ],
    }
)


class BackupStore(ComponentResource):
    """The bucket of backups and archived WAL."""

    def __init__(
        self, spec: ClusterSpec, place: AwsPlace, keys: Keys, opts: ResourceOptions
    ) -> None:
        super().__init__("guestcomms:aws:BackupStore", "backups", None, opts)
        self._spec, self._place, self._key_arn = spec, place, keys.arn("backups")
        self._bucket = self._make("backups", self._key_arn, ResourceOptions(parent=self))
        self.bucket = self._bucket.id
        self.copy_bucket: Output[str] | None = None
        if place.copy_region:
            self._copy_to(place.copy_region)
        self.register_outputs({})

    def _make(self, name: str, key_arn: Output[str], child: ResourceOptions) -> Bucket:
        return Bucket(
            name,
            key_arn=key_arn,
            noncurrent_days=self._place.noncurrent_days,
            lock_days=self._spec.backup.object_lock_days,
            protect=self._place.deletion_protection,
            child=child,
        )

    def writing(self) -> list[Statement]:
        """What a database machine needs: everything but to delete a version or loosen a lock."""
        objects = Output.concat(self._bucket.arn, PREFIX, "/*")
        return [
            allow("ListBackups", ["s3:GetBucketLocation", "s3:ListBucket"], [self._bucket.arn]),
            allow(
                "WriteBackups",
                ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"],
                [objects],
            ),
            allow("OpenBackups", ["kms:Decrypt", "kms:GenerateDataKey"], [self._key_arn]),
        ]

    def reading(self) -> list[Statement]:
        """What the drill machine needs, of the bucket and of its copy."""
        buckets, keys = [self._bucket.arn], [self._key_arn]
        if self._copy is not None:
            buckets.append(self._copy[0])
            keys.append(self._copy[1])
        return [
            allow("ListBackups", ["s3:GetBucketLocation", "s3:ListBucket"], buckets),
            allow(
                "ReadBackups",
                ["s3:GetObject"],
                [Output.concat(arn, PREFIX, "/*") for arn in buckets],
            ),
            allow("OpenBackups", ["kms:Decrypt"], keys),
        ]

    _copy: tuple[Output[str], Output[str]] | None = None
    """ARNs of the copy's bucket and key."""

    def _copy_to(self, region: str) -> None:
        provider = make_provider(self._place, self._spec.stack, name="aws-copy", region=region)
        child = ResourceOptions(parent=self, provider=provider)
        policy = key_policy(account(InvokeOptions(parent=self)), [])
        key = make_key(
            "backups-copy",
            f"guestcomms {self._spec.stack}: copy of the backups",
            policy,
            ResourceOptions.merge(child, ResourceOptions(protect=self._place.deletion_protection)),
        )
        copy = self._make("backups-copy", key.arn, child)
        self._copy, self.copy_bucket = (copy.arn, key.arn), copy.id
        self._replicate(copy, key.arn)

    def _replicate(self, copy: Bucket, key_arn: Output[str]) -> None:
        child = ResourceOptions(parent=self)
        role = aws.iam.Role(
            "replication",
            description=f"guestcomms {self._spec.stack}: S3 copies backups to another region",
            path=ROLES,
            assume_role_policy=TRUST,
            opts=child,
        )
        policy = aws.iam.RolePolicy(
            "replication", role=role.id, policy=document(self._replication(copy, key_arn)),
            opts=child,
        )  # fmt: skip
        aws.s3.BucketReplicationConfig(
            "backups",
            bucket=self._bucket.id,
            role=role.arn,
            rules=[
                {
                    "id": "copy",
                    "status": "Enabled",
                    "priority": 1,
                    "filter": {"prefix": ""},
                    # What expires there expires here too; locked versions stay in both.
                    "delete_marker_replication": {"status": "Enabled"},
                    "source_selection_criteria": {
                        "sse_kms_encrypted_objects": {"status": "Enabled"}
                    },
                    "destination": {
                        "bucket": copy.arn,
                        "storage_class": "STANDARD_IA",
                        "encryption_configuration": {"replica_kms_key_id": key_arn},
                        # Measures the delay, and promises 15 minutes.
                        "metrics": {"status": "Enabled", "event_threshold": {"minutes": 15}},
                        "replication_time": {"status": "Enabled", "time": {"minutes": 15}},
                    },
                }
            ],
            opts=ResourceOptions(
                parent=self, depends_on=[self._bucket.versioning, copy.versioning, policy]
            ),
        )

    def _replication(self, copy: Bucket, key_arn: Output[str]) -> list[Statement]:
        return [
            allow(
                "ReadConfiguration",
                ["s3:GetReplicationConfiguration", "s3:ListBucket"],
                [self._bucket.arn],
            ),
            allow(
                "ReadVersions",
                [
                    "s3:GetObjectVersionForReplication",
                    "s3:GetObjectVersionAcl",
                    "s3:GetObjectVersionTagging",
                    "s3:GetObjectRetention",
                    "s3:GetObjectLegalHold",
                ],
                [Output.concat(self._bucket.arn, "/*")],
            ),
            allow(
                "WriteCopies",
                ["s3:ReplicateObject", "s3:ReplicateDelete", "s3:ReplicateTags"],
                [Output.concat(copy.arn, "/*")],
            ),
            allow("Open", ["kms:Decrypt"], [self._key_arn]),
            allow("Close", ["kms:Encrypt", "kms:GenerateDataKey"], [key_arn]),
        ]
