"""The real project's stacks under the real engine, over the simulated AWS."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import yaml

from infra.guardrails.plan import Plan, from_preview, from_state
from tests.fake_aws.systems_manager import Machines, serving
from tests.fake_aws.world import World
from tests.ops.aws.engine import environment, read_calls
from tools.command import ROOT

SUMMARY = re.compile(r"^ +(?:[+~-]|\+-|) ?(?:\d+ changes\. )?(\d+) (\w+)", re.MULTILINE)


class PulumiError(Exception):
    """Pulumi ended with an error; the message is its output."""


class Project:
    """The project with a state of its own: the program is the clone's, stack files are copies."""

    def __init__(self, folder: Path, endpoint: str) -> None:
        self.folder = folder
        self.seconds = 0.0
        (folder / "infra").symlink_to(ROOT / "infra")
        shutil.copytree(ROOT / "infra" / "stacks", folder / "stacks")
        project = yaml.safe_load((ROOT / "Pulumi.yaml").read_text(encoding="utf-8"))
        project["stackConfigDir"] = "stacks"
        (folder / "Pulumi.yaml").write_text(yaml.safe_dump(project), encoding="utf-8")
        self.environment = {
            **os.environ,
            **environment(folder),
            "AWS_ENDPOINT_URL_SSM": endpoint,
            "AWS_ACCESS_KEY_ID": "AKIASIMULATED0000000",
            "AWS_SECRET_ACCESS_KEY": "none",
            "PYTHONPATH": str(ROOT),
        }

    def configure(self, stack: str, **place: Any) -> None:
        """Change parts of a stack's place."""
        self.configure_section(stack, "place", **place)

    def configure_section(self, stack: str, section: str, **settings: Any) -> None:
        """Change parts of a section of a stack's configuration."""
        file = self.folder / "stacks" / f"Pulumi.{stack}.yaml"
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        content["config"].setdefault(f"guestcomms:{section}", {}).update(settings)
        file.write_text(yaml.safe_dump(content), encoding="utf-8")

    def pulumi(self, stack: str, *arguments: str, ok: bool = True) -> str:
        """Run pulumi on a stack and return all it says on standard output.

        Raises:
            PulumiError: it failed; with `ok` off that is the caller's business.
        """
        began = time.monotonic()
        subprocess.run(
            ["pulumi", "stack", "select", "--create", stack, "--non-interactive"],
            cwd=self.folder, env=self.environment, check=True, capture_output=True,
        )  # fmt: skip
        done = subprocess.run(
            ["pulumi", *arguments, "--stack", stack, "--non-interactive"],
            cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        self.seconds = time.monotonic() - began
        if ok and done.returncode != 0:
            raise PulumiError(done.stdout + done.stderr)
        return done.stdout + ("" if ok else done.stderr)

    def up(self, stack: str, *arguments: str) -> dict[str, int]:
        """Bring a stack up: how many resources were created, updated, deleted, unchanged."""
        return counted(self.pulumi(stack, "up", "--yes", "--skip-preview", *arguments))

    def destroy(self, stack: str, *arguments: str) -> dict[str, int]:
        """Destroy a stack."""
        return counted(self.pulumi(stack, "destroy", "--yes", "--skip-preview", *arguments))

    def planned(self, stack: str) -> Plan:
        """The plan of `pulumi preview --json`."""
        return from_preview(json.loads(self.pulumi(stack, "preview", "--json")))

    def state(self, stack: str) -> Plan:
        """What the engine knows of a stack that is up, with nothing unknown in it."""
        exported = json.loads(self.pulumi(stack, "stack", "export", "--show-secrets"))
        return from_state(exported["deployment"]["resources"])

    @property
    def world(self) -> World:
        """What exists on the simulated AWS."""
        return World(self.folder / "world")

    def ssm(self, region: str) -> Any:
        """The connection to the simulated Systems Manager."""
        return boto3.client(
            "ssm",
            region_name=region,
            endpoint_url=self.environment["AWS_ENDPOINT_URL_SSM"],
            aws_access_key_id="simulated",
            aws_secret_access_key="none",
        )

    @property
    def calls(self) -> list[dict[str, Any]]:
        """The accepted calls."""
        return read_calls(self.folder / "world")


def counted(output: str) -> dict[str, int]:
    """The numbers of Pulumi's last summary: `created`, `updated`, `replaced`, `unchanged`…"""
    summary = output.rpartition("Resources:")[2].partition("Duration")[0]
    return {word: int(number) for number, word in SUMMARY.findall(summary)}


@contextmanager
def opened(
    folder: Path, machines: Machines | None = None, **environment: str
) -> Iterator[tuple[Project, Machines]]:
    """The project with its instances answering."""
    machines = machines or Machines(folder / "world")
    with serving(machines) as endpoint:
        project = Project(folder, endpoint)
        project.environment |= environment
        yield project, machines
