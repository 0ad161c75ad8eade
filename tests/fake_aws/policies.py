"""What the policies for people allow; the deployer's against the calls that stacks have made.

IAM's own evaluation: an explicit deny wins, else one statement must allow the action on the
resource under its conditions.
Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

from tests.fake_aws.kinds.names import as_list
from tools.command import ROOT

POLICIES = ROOT / "infra" / "aws" / "policies"
DEPLOYER, COPIER = POLICIES / "deployer.json", POLICIES / "copy-backups.json"
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


@cache
def statements(policy: Path) -> tuple[dict[str, Any], ...]:
    """The statements of a policy."""
    return tuple(json.loads(policy.read_text(encoding="utf-8"))["Statement"])


def is_allowed(policy: Path, action: str, resource: str, context: Mapping[str, str]) -> bool:
    """Whether a policy allows an action on a resource.

    Parameters: `resource`, an ARN, or empty for what has none; `context`, IAM's condition keys:
    `aws:ResourceTag/project` and the like.
    """
    effects = {
        each["Effect"] for each in statements(policy) if _fits(each, action, resource, context)
    }
    return effects == {"Allow"}


def _fits(
    statement: dict[str, Any], action: str, resource: str, context: Mapping[str, str]
) -> bool:
    return (
        any(fnmatchcase(action, each) for each in as_list(statement["Action"]))
        and any(fnmatchcase(resource, each) for each in as_list(statement["Resource"]))
        and all(
            context.get(key) in as_list(wanted)
            for test, conditions in statement.get("Condition", {}).items()
            for key, wanted in _exact(test, conditions).items()
        )
    )


def _exact(test: str, conditions: dict[str, Any]) -> dict[str, Any]:
    if test not in {"StringEquals", "ArnEquals"}:
        raise NotImplementedError(f"a policy has a condition {test}: judge it here")
    return conditions


def not_allowed(calls: Iterable[Mapping[str, Any]]) -> list[str]:
    """The accepted calls of a world's log that the deployer's policy does not allow."""
    refused = set()
    for call in calls:
        action, resource = action_of(call["call"]), call["resource"]
        tags = {f"aws:ResourceTag/{key}": value for key, value in call["tags"].items()}
        context = {**tags, "iam:PolicyARN": call["parameters"].get("PolicyArn", "")}
        if not is_allowed(DEPLOYER, action, resource, context):
            refused.add(f"{action} on {resource or call['about']}")
    return sorted(refused)
