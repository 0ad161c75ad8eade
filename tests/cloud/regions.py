"""What a person writes and reads when the first region is gone (docs/how-to/deploy-on-aws.md)."""

from __future__ import annotations

import shlex
from typing import Any

import yaml

from tests.ops.aws.project import Project
from tools.command import ROOT

LOST, RECOVERY = "aws-staging", "aws-recovery"
IMAGE = "aws-image-recovery"
FIRST, SECOND = "eu-central-1", "eu-west-1"
HOW_TO = ROOT / "docs" / "how-to" / "deploy-on-aws.md"


def write_stack_files(project: Project, **place: Any) -> None:
    """The lost stack's file and the image's, for the other region; `place`, what else differs."""
    zones = [f"{SECOND}{letter}" for letter in "abc"]
    folder = project.folder / "stacks"
    for name, source, changes in (
        (IMAGE, "aws-image", {"region": SECOND}),
        (RECOVERY, LOST, {"region": SECOND, "zones": zones, "copy_region": None, **place}),
    ):
        content = yaml.safe_load((folder / f"Pulumi.{source}.yaml").read_text(encoding="utf-8"))
        content["config"]["guestcomms:place"] |= changes
        if name == RECOVERY:
            content["config"]["guestcomms:bootstrap"] = "restore"
        (folder / f"Pulumi.{name}.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")


def keys(project: Project, stack: str) -> dict[str, str]:
    """What escrow holds of a stack."""
    found = project.state(stack).of("pulumi-python:dynamic/trust:Secret")
    return {each.name: str(each.get("value")) for each in found if each.protected}


def give_keys(project: Project, stack: str, kept: dict[str, str]) -> None:
    """What `guestcomms secrets import` does."""
    for name, value in kept.items():
        path = f"guestcomms:escrow.{name}"
        project.pulumi(stack, "config", "set", "--secret", "--path", path, value)


def first_targets() -> list[str]:
    """The options by which the how-to makes the bucket before everything else."""
    text = HOW_TO.read_text(encoding="utf-8").replace("\\\n", " ")
    (line,) = (each for each in text.splitlines() if RECOVERY in each and "--target" in each)
    return shlex.split(line.partition(" up ")[2])
