"""The policy pack under the real engine: a stack that breaks every rule, and each one says so."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pulumi
import pytest
from pulumi.automation import CommandError

from infra.aws.machine import packed
from infra.guardrails.rules import RULES
from infra.machine import machines
from infra.spec import ClusterSpec
from tests.ops.aws.engine import Inline
from tools.command import ROOT

PACK = ROOT / "infra" / "guardrails"
MACHINES = {item.name: item for item in machines(ClusterSpec.load("test", {}), "0" * 64)}
ZONE = "eu-central-1a"
WRONG = {  # what user-data of a database machine has, and what breaks a rule instead
    "repo1-retention-full=30": "repo1-retention-full=3",
    '"role": "database"': '"role": "database", "token": "b7Qx9TzK2mWp4RvN8sLd3FhJ6gYc5uAe"',
}

pytestmark = [
    pytest.mark.filterwarnings("ignore:.* has been deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def unsafe() -> None:
    """Two database machines, a bucket, a key and a role as nobody should have them."""
    import pulumi_aws as aws

    network = aws.ec2.Vpc("net", cidr_block="10.60.0.0/16")
    subnet = aws.ec2.Subnet(
        "a",
        vpc_id=network.id,
        cidr_block="10.60.1.0/24",
        availability_zone=ZONE,
        map_public_ip_on_launch=True,
    )
    group = aws.ec2.SecurityGroup("db", vpc_id=network.id, description="database machines")
    aws.vpc.SecurityGroupIngressRule(
        "everybody", security_group_id=group.id, cidr_ipv4="0.0.0.0/0", ip_protocol="tcp",
        from_port=5432, to_port=5432,
    )  # fmt: skip
    image = aws.ec2.get_ami(owners=["136693071363"], most_recent=True, filters=[
        {"name": "architecture", "values": ["arm64"]},
    ])  # fmt: skip
    for name in ("pg-1", "pg-2"):
        user_data = MACHINES[name].user_data
        for right, wrong in WRONG.items():
            assert right in user_data
            user_data = user_data.replace(right, wrong)
        aws.ec2.Instance(
            name, ami=image.id, instance_type="m7g.large", subnet_id=subnet.id,
            vpc_security_group_ids=[group.id],
            user_data_base64=packed(user_data),
        )  # fmt: skip
    aws.ebs.Volume("pg-1", availability_zone=ZONE, size=50, type="gp3")
    bucket = aws.s3.Bucket("backups")
    settings: Any = dict(MACHINES["pg-1"].settings)
    settings["postgresql"] = {"parameters": {"archive_timeout": "15min"}}
    told = json.dumps({"settings": settings, "machines": {"pg-1": "", "pg-2": ""}})
    aws.s3.BucketObjectv2("pg-1-place", bucket=bucket.id, key="place.json", content=told)
    aws.kms.Key("backups", enable_key_rotation=False, deletion_window_in_days=7)
    trust = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"},
             "Action": "sts:AssumeRole"}  # fmt: skip
    role = aws.iam.Role(
        "pg-1", assume_role_policy=json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    )
    everything = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    aws.iam.RolePolicy(
        "pg-1", role=role.id,
        policy=pulumi.Output.json_dumps({"Version": "2012-10-17", "Statement": [everything]}),
    )  # fmt: skip


def test_a_stack_that_breaks_every_rule_is_refused_by_every_rule(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Where there is no Pulumi.yaml of the project, the engine finds what runs the pack on PATH.
    monkeypatch.setenv("PATH", os.pathsep.join([str(PACK), os.environ["PATH"]]))
    stack = Inline(tmp_path, unsafe)
    with pytest.raises(CommandError) as refused:
        stack.preview(PACK)
    said = str(refused.value)
    assert {rule.name for rule in RULES if f"[mandatory]  {rule.name}" not in said} == set()
    assert not stack.world.items
