"""Regions, their zones and the services that endpoints lead to."""

from __future__ import annotations

from functools import cache

from botocore.session import Session

SERVICES = {
    "s3": ("Gateway", "Interface"),
    "dynamodb": ("Gateway", "Interface"),
    **dict.fromkeys(
        (
            "autoscaling", "ebs", "ec2", "ec2messages", "elasticloadbalancing", "events",
            "imagebuilder", "kms", "logs", "monitoring", "secretsmanager", "sns", "sqs", "ssm",
            "ssmmessages", "sts",
        ),
        ("Interface",),
    ),
}  # fmt: skip
"""Source: docs.aws.amazon.com/vpc/latest/privatelink/aws-services-privatelink-support.html"""

MORE_ZONES = {
    "us-east-1": "abcdef",
    "us-west-2": "abcd",
    "ap-northeast-1": "acd",
    "us-west-1": "ac",
}


@cache
def regions() -> frozenset[str]:
    """All regions that have EC2, by botocore's list of endpoints."""
    return frozenset(Session().get_available_regions("ec2"))


def zones(region: str) -> list[str]:
    """The availability zones of a region; none for a region that does not exist."""
    if region not in regions():
        return []
    return [region + letter for letter in MORE_ZONES.get(region, "abc")]
