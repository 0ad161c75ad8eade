"""Subprocesses of the bootstrap: quiet while all is well, with a log and a sentence when not."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).resolve().parent.parent
STATE = ROOT / ".state"
BIN = STATE / "tools" / "bin"
VENV = ROOT / ".venv"


class ToolError(Exception):
    """What went wrong, with the value that was wrong, and what to do next, in one sentence."""


def run(
    command: Sequence[str | Path],
    *,
    log: str,
    todo: str,
    cwd: Path = ROOT,
    env: Mapping[str, str] | None = None,
) -> None:
    """Run a command, its output going to `.state/logs/<log>.log`.

    Args:
        command: Program and arguments.
        log: Name of the log file, without folder and ending.
        todo: What the user does next if it fails, to end the sentence with.
        cwd: Folder to run in.
        env: Variables to add to the environment.

    Raises:
        ToolError: The command failed or does not exist.
    """
    path = STATE / "logs" / f"{log}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as output:
        try:
            status = subprocess.run(
                [str(part) for part in command],
                cwd=cwd,
                env={**os.environ, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
            ).returncode
        except OSError as error:
            raise ToolError(f"{command[0]} cannot be run ({error.strerror}): {todo}.") from None
    if status != 0:
        raise ToolError(
            f"`{Path(command[0]).name} {' '.join(str(part) for part in command[1:3])} …` failed"
            f" with status {status} ({last_line(path)}); {todo}. All of it: {path}"
        )


def answer(
    command: Sequence[str | Path], *, env: Mapping[str, str] | None = None, seconds: float = 60
) -> str | None:
    """Return what a short command prints, or None if it fails or takes longer than `seconds`."""
    try:
        done = subprocess.run(
            [str(part) for part in command],
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def on_path(program: str) -> Path | None:
    """Find a program on PATH, leaving out what this project itself put there."""
    own = {BIN.resolve(), (VENV / "bin").resolve()}
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    others = [folder for folder in folders if folder and Path(folder).resolve() not in own]
    found = shutil.which(program, path=os.pathsep.join(others))
    return Path(found) if found else None


def link(name: str, target: Path) -> None:
    """Let `.state/tools/bin/<name>` point to `target`, replacing what was there in one step."""
    BIN.mkdir(parents=True, exist_ok=True)
    fresh = BIN / f".{name}.{os.getpid()}"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    fresh.replace(BIN / name)


def last_line(log: Path) -> str:
    """Return a log's last words."""
    lines = [line.strip() for line in log.read_text("utf-8", "replace").splitlines()]
    return next((line for line in reversed(lines) if line), "it said nothing")
