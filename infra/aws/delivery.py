"""What machines fetch at boot: the agent and place files from a bucket, secrets from their vault.

Every machine may read its own and nobody else's.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pulumi_aws as aws
from pulumi import ComponentResource, FileAsset, Output, Resource, ResourceOptions

from infra.aws.bucket import Bucket
from infra.aws.identity import Statement, allow
from infra.aws.keys import Keys
from infra.spec import AwsPlace

RECOVERY_DAYS = 30
"""So long a deleted secret can be brought back: the longest that Secrets Manager offers."""


class Delivery(ComponentResource):
    """The bucket of place files and agents, and a secret for every machine."""

    def __init__(
        self,
        place: AwsPlace,
        stack: str,
        keys: Keys,
        agent: tuple[Path, str],
        opts: ResourceOptions,
    ) -> None:
        """Make the bucket and put the agent in; `agent` is its file and the file's sha256."""
        super().__init__("guestcomms:aws:Delivery", "delivery", None, opts)
        self._stack, self._place = stack, place
        self._key_arn, self._child = keys.arn("delivery"), ResourceOptions(parent=self)
        self._bucket = Bucket(
            "delivery",
            key_arn=self._key_arn,
            noncurrent_days=place.noncurrent_days,
            protect=False,  # everything in it is made anew by the stack
            child=self._child,
        )
        file, sha256 = agent
        self._agent = aws.s3.BucketObjectv2(
            "agent",
            bucket=self._bucket.id,
            key=f"agent/{sha256}.pyz",
            source=FileAsset(str(file)),
            # A machine that still pins the one before must be able to boot.
            opts=ResourceOptions(parent=self, retain_on_delete=True),
        )
        self.register_outputs({})

    def to(self, machine: str, facts: Mapping[str, Any], secrets: Mapping[str, Output[str]]) -> Box:
        """Put in what one machine fetches."""
        place_json = Output.json_dumps(dict(facts), sort_keys=True)
        place_file = aws.s3.BucketObjectv2(
            f"{machine}-place",
            bucket=self._bucket.id,
            key=f"machines/{machine}/place.json",
            content=place_json,
            content_type="application/json",
            opts=self._child,
        )
        secret = aws.secretsmanager.Secret(
            machine,
            description=f"guestcomms {self._stack}: secret files of {machine}",
            kms_key_id=self._key_arn,
            recovery_window_in_days=RECOVERY_DAYS,
            tags={"Name": f"guestcomms-{machine}"},
            opts=self._child,
        )
        # Secret because the files in it are.
        packed = Output.json_dumps(dict(secrets), sort_keys=True)
        version = aws.secretsmanager.SecretVersion(
            machine, secret_id=secret.id, secret_string=packed, opts=self._child
        )
        return Box(
            machine=machine,
            bucket=self._bucket,
            secret_arn=secret.arn,
            key_arn=self._key_arn,
            contents=[self._agent, place_file, version],
            # Changes with what is inside and tells nothing of it.
            fingerprint=Output.unsecret(Output.all(place_json, packed).apply(_fingerprint)),
        )


class Box:
    """What one machine fetches: where it is, and what it takes to open it."""

    def __init__(
        self,
        *,
        machine: str,
        bucket: Bucket,
        secret_arn: Output[str],
        key_arn: Output[str],
        contents: list[Resource],
        fingerprint: Output[str],
    ) -> None:
        self._machine, self._bucket = machine, bucket
        self._secret_arn, self._key_arn = secret_arn, key_arn
        self.contents, self.fingerprint = contents, fingerprint

    @property
    def tags(self) -> dict[str, Output[str] | str]:
        """Tags from which `guestcomms-fetch` on the machine knows what to fetch."""
        return {
            "guestcomms:machine": self._machine,
            "guestcomms:delivery": self._bucket.id,
            "guestcomms:secret": self._secret_arn,
        }

    def opening(self) -> list[Statement]:
        """What the machine needs to read its own, and nothing beside it."""
        bucket = self._bucket.arn
        return [
            allow(
                "ReadDelivery",
                ["s3:GetObject"],
                [
                    Output.concat(bucket, f"/machines/{self._machine}/*"),
                    Output.concat(bucket, "/agent/*"),
                ],
            ),
            allow("ReadSecret", ["secretsmanager:GetSecretValue"], [self._secret_arn]),
            allow("OpenDelivery", ["kms:Decrypt"], [self._key_arn]),
        ]


def _fingerprint(parts: list[str]) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
