"""Encryption keys: one for each kind of thing that is kept, so that each has its own readers."""

from __future__ import annotations

import json
from typing import Any

import pulumi_aws as aws
from pulumi import ComponentResource, InvokeOptions, Output, ResourceOptions

PURPOSES = {
    "volumes": "disks of machines",
    "backups": "backups and archived WAL",
    "delivery": "secrets and place files of machines",
    "alarms": "messages of alarms",
}
DELETION_WINDOW_DAYS = 30
"""The longest that AWS offers: so long the deletion of a key can be taken back."""


class Keys(ComponentResource):
    """KMS keys that rotate every year and cannot be deleted at once."""

    def __init__(self, stack: str, *, protect: bool, opts: ResourceOptions) -> None:
        super().__init__("guestcomms:aws:Keys", "keys", None, opts)
        self._child = ResourceOptions(parent=self)
        self.account = account(InvokeOptions(parent=self))
        self._made = {
            purpose: self._make(stack, purpose, what, protect=protect)
            for purpose, what in PURPOSES.items()
        }
        self.register_outputs({})

    def arn(self, purpose: str) -> Output[str]:
        """The key of one of PURPOSES."""
        return self._made[purpose].arn

    def _make(self, stack: str, purpose: str, what: str, *, protect: bool) -> aws.kms.Key:
        services = ["cloudwatch.amazonaws.com"] if purpose == "alarms" else []
        key = make_key(
            purpose,
            f"guestcomms {stack}: {what}",
            key_policy(self.account, services),
            ResourceOptions(parent=self, protect=protect),
        )
        aws.kms.Alias(
            purpose, name=f"alias/guestcomms-{stack}-{purpose}", target_key_id=key.id,
            opts=self._child,
        )  # fmt: skip
        return key


def make_key(name: str, what: str, policy: Output[str], opts: ResourceOptions) -> aws.kms.Key:
    """A symmetric key for encryption."""
    return aws.kms.Key(
        name,
        description=what,
        enable_key_rotation=True,
        deletion_window_in_days=DELETION_WINDOW_DAYS,
        policy=policy,
        tags={"Name": f"guestcomms-{name}"},
        opts=opts,
    )


def account(opts: InvokeOptions) -> Output[str]:
    """The account that the stack is brought up in."""
    return aws.get_caller_identity_output(opts=opts).account_id


def key_policy(account_id: Output[str], services: list[str]) -> Output[str]:
    """IAM decides within the account; AWS's own `services` may use the key for it as well."""
    return Output.from_input(account_id).apply(
        lambda found: json.dumps(
            {"Version": "2012-10-17", "Statement": _key_statements(found, services)}
        )
    )


def logs_key_policy(account_id: Output[str], region: str, group: str) -> Output[str]:
    """IAM decides within the account; CloudWatch Logs may use the key for one log group.

    Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/encrypt-log-data-kms.html
    """

    def made(found: str) -> str:
        logs = {
            "Sid": "Logs",
            "Effect": "Allow",
            "Principal": {"Service": f"logs.{region}.amazonaws.com"},
            "Action": [
                "kms:Encrypt*", "kms:Decrypt*", "kms:ReEncrypt*", "kms:GenerateDataKey*",
                "kms:Describe*",
            ],
            "Resource": "*",
            "Condition": {
                "ArnEquals": {
                    "kms:EncryptionContext:aws:logs:arn":
                        f"arn:aws:logs:{region}:{found}:log-group:{group}"
                }
            },
        }  # fmt: skip
        return json.dumps(
            {"Version": "2012-10-17", "Statement": [*_key_statements(found, []), logs]}
        )

    return Output.from_input(account_id).apply(made)


def _key_statements(account_id: str, services: list[str]) -> list[dict[str, Any]]:
    own = {
        "Sid": "IamDecides",
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{account_id}:root"},
        "Action": "kms:*",
        "Resource": "*",
    }
    if not services:
        return [own]
    return [
        own,
        {
            "Sid": "Services",
            "Effect": "Allow",
            "Principal": {"Service": services},
            "Action": ["kms:Decrypt", "kms:GenerateDataKey*"],
            "Resource": "*",
            "Condition": {"StringEquals": {"aws:SourceAccount": account_id}},
        },
    ]
