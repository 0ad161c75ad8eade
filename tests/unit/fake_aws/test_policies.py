"""The policies for people: policies that AWS takes, and no more than they say."""

from __future__ import annotations

import pytest

from tests.fake_aws.kinds.names import KEY, judge_policy
from tests.fake_aws.policies import COPIER, DEPLOYER, LIMIT, POLICIES, is_allowed, not_allowed
from tests.unit.fake_aws.conftest import Aws

OURS = {"aws:ResourceTag/project": "guestcomms"}
INSTANCE = "arn:aws:ec2:eu-central-1:123456789012:instance/i-0123456789abcdef0"
BACKUP = "arn:aws:s3:::backups-12ab34c/wedsync/backup/wedsync/backup.info"
DELIVERED = "arn:aws:s3:::delivery-12ab34c/machines/pg-1/place.json"
ROLE = "arn:aws:iam::123456789012:role/{}".format


@pytest.mark.parametrize("name", sorted(file.name for file in POLICIES.iterdir()))
def test_it_is_a_policy_whose_every_action_exists(name: str) -> None:
    judge_policy((POLICIES / name).read_text(encoding="utf-8"), LIMIT)


@pytest.mark.parametrize(
    ("action", "resource", "context"),
    [
        ("s3:DeleteObject", BACKUP, {}),
        ("s3:DeleteObjectVersion", BACKUP, {}),
        ("s3:BypassGovernanceRetention", BACKUP, {}),
        ("s3:PutObjectRetention", BACKUP, {}),
        ("s3:CreateBucket", "arn:aws:s3:::somebody-elses", {}),
        ("ec2:TerminateInstances", INSTANCE, {"aws:ResourceTag/project": "another"}),
        ("ec2:DeleteVolume", INSTANCE.replace("instance/i-", "volume/vol-"), {}),
        ("kms:ScheduleKeyDeletion", "arn:aws:kms:eu-central-1:123456789012:key/1", {}),
        ("secretsmanager:GetSecretValue", "arn:aws:secretsmanager:x:1:secret:y", {}),
        ("ssm:SendCommand", INSTANCE, {"aws:ResourceTag/project": "another"}),
        ("iam:PutRolePolicy", ROLE("administrators"), {}),
        (
            "iam:AttachRolePolicy",
            ROLE("guestcomms/pg-1"),
            {"iam:PolicyARN": "arn:aws:iam::aws:policy/AdministratorAccess"},
        ),
        (
            "iam:PassRole",
            ROLE("guestcomms/pg-1"),
            {"iam:PassedToService": "lambda.amazonaws.com"},
        ),
        ("iam:CreateUser", "arn:aws:iam::123456789012:user/guestcomms/me", {}),
        ("iam:CreateAccessKey", "arn:aws:iam::123456789012:user/guestcomms/me", {}),
        ("organizations:LeaveOrganization", "", {}),
        ("ec2:CreateVpcPeeringConnection", "", {}),
    ],
)
def test_what_no_stack_needs_is_not_allowed(
    action: str, resource: str, context: dict[str, str]
) -> None:
    assert not is_allowed(DEPLOYER, action, resource, context)


@pytest.mark.parametrize(
    ("action", "resource", "context"),
    [
        # What a person and AWS itself need of it, and no call of the provider's shows.
        ("ssm:SendCommand", INSTANCE, OURS),
        ("ssm:SendCommand", "arn:aws:ssm:eu-central-1::document/AWS-RunShellScript", {}),
        ("ssm:GetCommandInvocation", "", {}),
        ("s3:DeleteObjectVersion", DELIVERED, {}),
        # https://docs.aws.amazon.com/ebs/latest/userguide/ebs-encryption-requirements.html
        ("kms:CreateGrant", "", OURS),
        ("kms:GenerateDataKeyWithoutPlaintext", "", OURS),
        ("kms:ReEncryptTo", "", OURS),
        # An alarm may reboot an instance by a role that its first PutMetricAlarm makes:
        # https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-service-linked-roles.html
        (
            "iam:CreateServiceLinkedRole",
            ROLE("aws-service-role/events.amazonaws.com/AWSServiceRoleForCloudWatchEvents"),
            {"iam:AWSServiceName": "events.amazonaws.com"},
        ),
        (
            "iam:PassRole",
            ROLE("guestcomms/pg-1"),
            {"iam:PassedToService": "ec2.amazonaws.com"},
        ),
    ],
)
def test_what_it_takes_beyond_the_stacks_own_calls_is_allowed(
    action: str, resource: str, context: dict[str, str]
) -> None:
    assert is_allowed(DEPLOYER, action, resource, context)


@pytest.mark.parametrize(
    ("action", "resource", "context", "allowed"),
    [
        ("s3:ListBucket", "arn:aws:s3:::backups-copy-12ab34c", {}, True),
        ("s3:GetObject", BACKUP, {}, True),
        ("s3:PutObject", BACKUP, {}, True),
        ("kms:Decrypt", "", OURS, True),
        ("kms:Decrypt", "", {}, False),
        ("s3:DeleteObject", BACKUP, {}, False),
        ("s3:PutObjectRetention", BACKUP, {}, False),
        ("s3:PutBucketPolicy", "arn:aws:s3:::backups-12ab34c", {}, False),
        ("s3:GetObject", DELIVERED, {}, False),
    ],
)
def test_who_copies_backups_can_copy_them_and_no_more(
    action: str, resource: str, context: dict[str, str], *, allowed: bool
) -> None:
    assert is_allowed(COPIER, action, resource, context) is allowed


def test_a_call_on_what_is_somebody_elses_is_named(aws: Aws) -> None:
    policy = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "kms:*"}]}'
    policy = policy.replace('"kms:*"', '"kms:*", "Resource": "*", "Principal": "*"')
    theirs = aws.make(KEY, policy=policy)
    aws.delete(theirs)
    assert not_allowed(aws.calls) == [f"kms:ScheduleKeyDeletion on {theirs.get('arn')}"]
