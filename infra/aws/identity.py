"""What a machine may do on AWS: a role of its own, with nothing that it does not need."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pulumi_aws as aws
from pulumi import ComponentResource, Input, Output, ResourceOptions

Statement = dict[str, Any]
"""One statement of an IAM policy; values may be outputs."""

ROLES = "/guestcomms/"
"""The path of every role, so that who deploys may manage these and no others."""

TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "ec2.amazonaws.com"},
                "Action": "sts:AssumeRole",
            }
        ],
    }
)

SESSIONS: Statement = {
    "Sid": "SessionsAndCommands",
    "Effect": "Allow",
    # What the SSM agent calls. The managed policy AmazonSSMManagedInstanceCore would also let it
    # read every parameter of the account. These actions have no resource to narrow them by.
    "Action": [
        "ssm:UpdateInstanceInformation",
        "ssmmessages:CreateControlChannel",
        "ssmmessages:CreateDataChannel",
        "ssmmessages:OpenControlChannel",
        "ssmmessages:OpenDataChannel",
        "ec2messages:AcknowledgeMessage",
        "ec2messages:DeleteMessage",
        "ec2messages:FailMessage",
        "ec2messages:GetEndpoint",
        "ec2messages:GetMessages",
        "ec2messages:SendReply",
    ],
    "Resource": "*",
}


class Identity(ComponentResource):
    """Role and instance profile of one machine."""

    def __init__(
        self, machine: str, stack: str, statements: Sequence[Statement], opts: ResourceOptions
    ) -> None:
        super().__init__("guestcomms:aws:Identity", machine, None, opts)
        child = ResourceOptions(parent=self)
        role = aws.iam.Role(
            machine,
            description=f"guestcomms {stack}: machine {machine}",
            path=ROLES,
            assume_role_policy=TRUST,
            tags={"Name": f"guestcomms-{machine}"},
            opts=child,
        )
        self.policy = aws.iam.RolePolicy(
            machine, role=role.id, policy=document([SESSIONS, *statements]), opts=child
        )
        profile = aws.iam.InstanceProfile(
            machine, path=ROLES, role=role.name, tags={"Name": f"guestcomms-{machine}"}, opts=child
        )
        self.profile: Output[str] = profile.name
        self.role_arn: Output[str] = role.arn
        self.register_outputs({})


def document(statements: Sequence[Statement]) -> Output[str]:
    """An IAM policy as JSON."""
    return Output.json_dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(sid: str, actions: Sequence[str], resources: Sequence[Input[str]]) -> Statement:
    """A statement that allows `actions` on `resources`."""
    return {"Sid": sid, "Effect": "Allow", "Action": list(actions), "Resource": list(resources)}
