"""What the deployer's policy allows, against the calls that stacks have made."""

from __future__ import annotations

import json
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any

from tests.fake_aws.kinds.names import as_list
from tools.command import ROOT

POLICY = ROOT / "infra" / "aws" / "policies" / "deployer.json"
LIMIT = 6144
"""Characters of a managed policy, white space aside.
Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html"""

SERVICES = {"elbv2": "elasticloadbalancing"}
ACTIONS = {
    "s3:DeleteBucketEncryption": "s3:PutEncryptionConfiguration",
    "s3:DeleteBucketLifecycle": "s3:PutLifecycleConfiguration",
    "s3:DeleteBucketOwnershipControls": "s3:PutBucketOwnershipControls",
    "s3:DeleteBucketReplication": "s3:PutReplicationConfiguration",
    "s3:DeletePublicAccessBlock": "s3:PutBucketPublicAccessBlock",
    "s3:PutBucketEncryption": "s3:PutEncryptionConfiguration",
    "s3:PutBucketLifecycleConfiguration": "s3:PutLifecycleConfiguration",
    "s3:PutBucketReplication": "s3:PutReplicationConfiguration",
    "s3:PutObjectLockConfiguration": "s3:PutBucketObjectLockConfiguration",
    "s3:PutPublicAccessBlock": "s3:PutBucketPublicAccessBlock",
}
"""Operations whose permission has another name.
Source: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html"""


def action_of(call: str) -> str:
    """The permission that an operation takes."""
    service, _, name = call.partition(":")
    return ACTIONS.get(call, f"{SERVICES.get(service, service)}:{name}")


def statements() -> list[dict[str, Any]]:
    """The policy's statements."""
    return list(json.loads(POLICY.read_text(encoding="utf-8"))["Statement"])


def not_allowed(calls: Iterable[str]) -> list[str]:
    """The permissions that calls take and that no statement gives on anything."""
    given = [
        action
        for each in statements()
        if each["Effect"] == "Allow"
        for action in as_list(each["Action"])
    ]
    wanted = sorted({action_of(call) for call in calls})
    return [want for want in wanted if not any(fnmatchcase(want, action) for action in given)]
