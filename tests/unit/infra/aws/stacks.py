"""The committed stack files of the place `aws`, as specs."""

from __future__ import annotations

from typing import Any

import yaml

from infra.spec import AwsPlace, ClusterSpec
from tools.command import ROOT

STACKS = ("aws-staging", "aws-prod")


def config(stack: str) -> dict[str, Any]:
    """A stack file's configuration, key → value."""
    text = (ROOT / "infra" / "stacks" / f"Pulumi.{stack}.yaml").read_text(encoding="utf-8")
    return {key.partition(":")[2]: value for key, value in yaml.safe_load(text)["config"].items()}


def spec_of(stack: str, **sections: Any) -> ClusterSpec:
    """The spec of a stack, some of its sections replaced."""
    return ClusterSpec.load(stack, {**config(stack), **sections})


def place_of(stack: str, **settings: Any) -> AwsPlace:
    """The place of a stack, some of its settings replaced."""
    place = spec_of(stack, place={**config(stack)["place"], **settings}).place
    assert isinstance(place, AwsPlace)
    return place
