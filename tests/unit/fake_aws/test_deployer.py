"""The deployer's policy: a policy that AWS takes, and no more than it says."""

from __future__ import annotations

import pytest

from tests.fake_aws.deployer import LIMIT, POLICY, not_allowed, statements
from tests.fake_aws.kinds.names import judge_policy


def test_it_is_a_policy_whose_every_action_exists() -> None:
    judge_policy(POLICY.read_text(encoding="utf-8"), LIMIT)


@pytest.mark.parametrize(
    "call",
    [
        "s3:BypassGovernanceRetention",
        "iam:CreateUser",
        "iam:CreateAccessKey",
        "iam:AttachUserPolicy",
        "organizations:LeaveOrganization",
        "ec2:CreateVpcPeeringConnection",
    ],
)
def test_what_no_stack_needs_is_not_allowed(call: str) -> None:
    assert not_allowed([call]) == [call]


def test_backups_are_nothing_that_it_may_delete() -> None:
    (denied,) = (each for each in statements() if each["Effect"] == "Deny")
    assert denied["Resource"] == "arn:aws:s3:::backups-*"
    assert "s3:DeleteObject*" in denied["Action"]
