"""A bucket that nobody outside reads, that speaks TLS only, and that forgets nothing at once."""

from __future__ import annotations

from typing import Any

import pulumi_aws as aws
from pulumi import Input, Output, ResourceOptions

from infra.aws.identity import document

STALLED_UPLOAD_DAYS = 7


class Bucket:
    """A private, versioned bucket under a KMS key."""

    def __init__(
        self,
        name: str,
        *,
        key_arn: Input[str],
        noncurrent_days: int,
        child: ResourceOptions,
        protect: bool,
        lock_days: int | None = None,
    ) -> None:
        """Make the bucket and everything that guards it.

        Parameters: `noncurrent_days` is how long a deleted or overwritten version is kept,
        `lock_days` how long nobody can delete one at all (compliance mode: not even root).
        """
        self._name, self._child = name, child
        kept = ResourceOptions.merge(child, ResourceOptions(protect=protect))
        self.bucket = aws.s3.Bucket(
            name,
            object_lock_enabled=lock_days is not None,
            # What is locked is emptied by nobody; the rest the stack has made and can make again.
            force_destroy=lock_days is None,
            tags={"Name": f"guestcomms-{name}"},
            opts=kept,
        )
        self.id, self.arn = self.bucket.id, self.bucket.arn
        self.versioning = aws.s3.BucketVersioning(
            name,
            bucket=self.id,
            versioning_configuration={"status": "Enabled"},
            opts=child,
        )
        self._guard(key_arn)
        self._forget(noncurrent_days)
        if lock_days is not None:
            aws.s3.BucketObjectLockConfiguration(
                name,
                bucket=self.id,
                rule={"default_retention": {"mode": "COMPLIANCE", "days": lock_days}},
                opts=self._after_versioning(),
            )

    def _guard(self, key_arn: Input[str]) -> None:
        aws.s3.BucketServerSideEncryptionConfiguration(
            self._name,
            bucket=self.id,
            rules=[
                {
                    "apply_server_side_encryption_by_default": {
                        "sse_algorithm": "aws:kms",
                        "kms_master_key_id": key_arn,
                    },
                    "bucket_key_enabled": True,  # a call to KMS per bucket key, not per object
                }
            ],
            opts=self._child,
        )
        shut = aws.s3.BucketPublicAccessBlock(
            self._name,
            bucket=self.id,
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
            opts=self._child,
        )
        aws.s3.BucketOwnershipControls(
            self._name,
            bucket=self.id,
            rule={"object_ownership": "BucketOwnerEnforced"},
            opts=self._child,
        )
        aws.s3.BucketPolicy(
            self._name,
            bucket=self.id,
            policy=document(tls_only(self.arn)),
            # Two changes of a bucket's policy at a time are refused by S3.
            opts=ResourceOptions.merge(self._child, ResourceOptions(depends_on=[shut])),
        )

    def _forget(self, noncurrent_days: int) -> None:
        aws.s3.BucketLifecycleConfiguration(
            self._name,
            bucket=self.id,
            rules=[
                {
                    "id": "forget",
                    "status": "Enabled",
                    "filter": {"prefix": ""},
                    "noncurrent_version_expiration": {"noncurrent_days": noncurrent_days},
                    "expiration": {"expired_object_delete_marker": True},
                    "abort_incomplete_multipart_upload": {
                        "days_after_initiation": STALLED_UPLOAD_DAYS
                    },
                }
            ],
            opts=self._after_versioning(),
        )

    def _after_versioning(self) -> ResourceOptions:
        return ResourceOptions.merge(self._child, ResourceOptions(depends_on=[self.versioning]))


def tls_only(bucket_arn: Output[str]) -> list[dict[str, Any]]:
    """Statements that refuse everybody who comes without TLS, or with less than 1.2."""
    resources = [bucket_arn, Output.concat(bucket_arn, "/*")]
    everybody = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": resources}
    return [
        {
            "Sid": "TlsOnly",
            **everybody,
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        },
        {
            "Sid": "Tls12",
            **everybody,
            "Condition": {"NumericLessThan": {"s3:TlsVersion": "1.2"}},
        },
    ]
