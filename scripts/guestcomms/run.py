"""The only door to other programs: no other module of this package imports `sh` or `subprocess`.

What is captured may run in threads: `subprocess` starts it without a fork that Python code sees.
What is shown runs in the main thread, by `sh`. What runs beside us is the caller's to end.

Secrets never go into arguments, which every user of a machine can read: they go through `env` or
`stdin`. A program's own words reach the person: the last lines of stderr are part of the error.
"""

from __future__ import annotations

import logging
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

import sh

from guestcomms.errors import GuestcommsError, RefusedError

logger = logging.getLogger(__name__)

Child: TypeAlias = subprocess.Popen[bytes]
"""A program that runs beside us: `poll`, `wait`, `terminate`, `pid`."""
STDERR_LINES = 5
"""So many last lines of a failed program's stderr are shown."""


@dataclass(frozen=True)
class Result:
    """What a program printed and how it ended."""

    stdout: str
    stderr: str
    exit_code: int


class CommandError(GuestcommsError):
    """A program failed; `stderr` and `status` let the caller say it better."""

    def __init__(self, message: str, *, status: int, stderr: str) -> None:
        super().__init__(message)
        self.status = status
        self.stderr = stderr


def capture(
    command: Sequence[str],
    *,
    todo: str,
    install: str = "install it",
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
    cwd: Path | None = None,
    timeout_seconds: float = 60,
    check: bool = True,
) -> Result:
    """Run a program to its end and return what it printed; several threads may do so at once.

    Parameters: `todo` is the next step that an error ends with, `install` that of a program which
    is not installed; `env` is added to ours; with `check` off a failing program is a `Result` too.
    Raises `CommandError` when it fails or outlives `timeout_seconds`, `RefusedError` when it is
    not installed.
    """
    program = _program(command, env, install)
    logger.debug("+ %s", shlex.join(command))
    try:
        done = subprocess.run(
            [program, *command[1:]],
            env=_environment(env),
            input=stdin or "",
            cwd=cwd,
            timeout=timeout_seconds,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise CommandError(
            f"`{_short(command)}` was stopped, not done after {timeout_seconds:g} s; {todo}.",
            status=-1,
            stderr="",
        ) from None
    result = Result(done.stdout, done.stderr, done.returncode)
    if check and result.exit_code != 0:
        raise _failed(command, result, todo)
    return result


def stream(
    command: Sequence[str],
    *,
    todo: str,
    install: str = "install it",
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    to_stderr: bool = False,
) -> None:
    """Run a program on our own terminal: it sees the keys, the person sees what it prints.

    Parameters: as in `capture`; `to_stderr` keeps our stdout free for a result, the program then
    has no terminal. Ctrl-C reaches the program, and we wait until it has cleaned up.
    Raises `CommandError` when it fails, `RefusedError` when it is not installed.
    """
    program = sh.Command(_program(command, env, install))
    logger.debug("+ %s", shlex.join(command))
    sys.stdout.flush()
    sys.stderr.flush()
    options: dict[str, Any] = {"_env": _environment(env), "_cwd": str(cwd) if cwd else None}
    if to_stderr:
        options |= {"_out": sys.stderr.fileno(), "_err": sys.stderr.fileno(), "_in": ""}
    else:
        options |= {"_fg": True}
    with _interrupts_left_to_the_program() as interrupted:
        try:
            program(*command[1:], **options)
        except sh.ErrorReturnCode as error:
            if interrupted:
                raise KeyboardInterrupt from None
            raise _failed(command, Result("", "", error.exit_code), todo) from None


def start(
    command: Sequence[str],
    *,
    env: Mapping[str, str],
    install: str = "install it",
    output: Path | None = None,
) -> Child:
    """Start a program that runs beside us; its output goes where ours goes, or to a file.

    It has a session of its own: Ctrl-C reaches us, and we tell it.
    Raises `RefusedError` when it is not installed.
    """
    program = _program(command, env, install)
    logger.debug("+ %s &", _short(command))
    with output.open("wb") if output else nullcontext() as file:
        return subprocess.Popen(
            [program, *command[1:]],
            env=_environment(env),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file and subprocess.STDOUT,
            start_new_session=True,
        )


def end(child: Child, patience_seconds: float) -> None:
    """Wait for a program that is about to end, and kill it if it does not."""
    try:
        child.wait(patience_seconds)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def replace(
    command: Sequence[str], *, install: str = "install it", env: Mapping[str, str] | None = None
) -> NoReturn:
    """Become another program (a shell, psql, a log that is followed); never returns.

    Raises `RefusedError` when it is not installed.
    """
    _program(command, env, install)
    logger.debug("+ exec %s", shlex.join(command))
    sys.stdout.flush()
    sys.stderr.flush()
    os.execvpe(command[0], list(command), _environment(env))


@contextmanager
def _interrupts_left_to_the_program() -> Iterator[list[int]]:
    """Collect Ctrl-C instead of dying of it, so that no program is left behind halfway.

    A handler, not SIG_IGN: that one the program would inherit.
    """
    seen: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _frame: seen.append(number))
    try:
        yield seen
    finally:
        signal.signal(signal.SIGINT, before)


def _environment(extra: Mapping[str, str] | None) -> dict[str, str]:
    return {**os.environ, **(extra or {})}


def _which(program: str, env: Mapping[str, str] | None) -> str | None:
    return shutil.which(program, path=_environment(env).get("PATH", os.defpath))


def _program(command: Sequence[str], env: Mapping[str, str] | None, install: str) -> str:
    path = _which(command[0], env)
    if path is None:
        raise RefusedError(f"The program `{command[0]}` is not installed; {install}.")
    return path


def _short(command: Sequence[str]) -> str:
    """The command line for a sentence: whole if short."""
    line = shlex.join(command)
    return line if len(line) <= 120 else f"{line[:117]}…"


def _failed(command: Sequence[str], result: Result, todo: str) -> CommandError:
    lines = [line.rstrip() for line in result.stderr.splitlines() if line.strip()]
    said = f": {' | '.join(lines[-STDERR_LINES:])}" if lines else ""
    return CommandError(
        f"`{_short(command)}` failed with exit code {result.exit_code}{said}; {todo}.",
        status=result.exit_code,
        stderr=result.stderr,
    )
