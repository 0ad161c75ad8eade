"""The real Pulumi engine over the simulated AWS, in a folder of its own."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pulumi import automation

from tests.fake_aws.provider import FOLDER
from tests.fake_aws.world import World
from tests.waiting import wait_until
from tools.command import BIN, ROOT, VENV

PLUGINS = ROOT / "tests" / "fake_aws" / "bin"
PROJECT = "guestcomms"


def environment(folder: Path) -> dict[str, str]:
    """What pulumi needs to find the simulated plugin, its world, and nothing of anybody's AWS."""
    backend = folder / "state"
    backend.mkdir(parents=True, exist_ok=True)
    return {
        "PATH": os.pathsep.join([str(PLUGINS), str(VENV / "bin"), str(BIN), os.environ["PATH"]]),
        "PULUMI_BACKEND_URL": backend.as_uri(),
        "PULUMI_CONFIG_PASSPHRASE": secrets.token_urlsafe(16),
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        "PULUMI_SKIP_UPDATE_CHECK": "1",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_EC2_METADATA_DISABLED": "true",
        FOLDER: str(folder / "world"),
    }


class _Remembering(asyncio.DefaultEventLoopPolicy):
    """Knows the event loops it made."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[asyncio.AbstractEventLoop] = []

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        """Make one, and remember it."""
        self.made.append(super().new_event_loop())
        return self.made[-1]


@contextmanager
def _no_loop_left() -> Iterator[None]:
    """Close what Pulumi leaves open where a program fails: its loop, if a task of it raises, too.

    It still runs when the engine has ended. Whichever test runs when Python collects an open loop
    would be the one that fails.
    """
    policy, before = _Remembering(), asyncio.get_event_loop_policy()
    asyncio.set_event_loop_policy(policy)
    try:
        yield
    finally:
        asyncio.set_event_loop_policy(before)
        for loop in policy.made:
            _close(loop)


def _close(loop: asyncio.AbstractEventLoop) -> None:
    wait_until(lambda: not loop.is_running(), 30)
    loop.close()


class Inline:
    """A stack whose program is a function of this process."""

    def __init__(self, folder: Path, program: Callable[[], Any]) -> None:
        self.folder = folder
        self.stack = automation.create_stack(
            "test",
            project_name=PROJECT,
            program=program,
            opts=automation.LocalWorkspaceOptions(
                work_dir=str(folder), env_vars=environment(folder)
            ),
        )
        self.stack.set_config("aws:region", automation.ConfigValue("eu-central-1"))

    def program(self, program: Callable[[], Any]) -> None:
        """Run another program from now on."""
        self.stack.workspace.program = program

    def up(self) -> dict[str, int]:
        """`pulumi up`: how many resources it created, changed, deleted or left."""
        with _no_loop_left():
            done = self.stack.up(color="never", suppress_outputs=True)
        return counts(done.summary.resource_changes)

    def preview(self, *packs: Path) -> dict[str, int]:
        """`pulumi preview`, with the rules of these policy packs."""
        with _no_loop_left():
            done = self.stack.preview(color="never", policy_packs=[str(pack) for pack in packs])
        return counts({str(op): n for op, n in done.change_summary.items()})

    def refresh(self) -> dict[str, int]:
        """`pulumi refresh`."""
        with _no_loop_left():
            return counts(self.stack.refresh(color="never").summary.resource_changes)

    def destroy(self) -> dict[str, int]:
        """`pulumi destroy`."""
        with _no_loop_left():
            return counts(self.stack.destroy(color="never").summary.resource_changes)

    @property
    def world(self) -> World:
        """What exists now."""
        return World(self.folder / "world")

    @property
    def calls(self) -> list[str]:
        """The API calls that were accepted, in their order."""
        return [entry["call"] for entry in read_calls(self.folder / "world")]


def counts(changes: Mapping[Any, int] | None) -> dict[str, int]:
    """A summary of changes, the engine's own stack resource aside."""
    return {str(name): number for name, number in (changes or {}).items()}


def read_calls(world: Path) -> list[dict[str, Any]]:
    """The log of accepted calls."""
    file = world / "calls.jsonl"
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return [json.loads(line) for line in lines]
