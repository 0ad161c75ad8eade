"""The AWS provider of a stack: its region, the one account that is meant, everybody's tags."""

from __future__ import annotations

import pulumi_aws as aws

from infra.spec import AwsImagePlace, AwsPlace


def make_provider(
    place: AwsPlace | AwsImagePlace, stack: str, *, name: str = "aws", region: str | None = None
) -> aws.Provider:
    """A provider for the place's region, or for another one. Each resource gets the cost tags."""
    return aws.Provider(
        name,
        region=region or place.region,
        allowed_account_ids=[place.account] if place.account else None,
        default_tags={"tags": {**place.tags, "project": "guestcomms", "stack": stack}},
    )
