"""The only door to a machine: commands run through the channel that the stack's place gives.

Locally that is `docker exec`. Used where no database answers: health, logs, a shell, restores.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

from guestcomms import run
from guestcomms.stack import Stack


def capture(
    stack: Stack,
    machine: str,
    command: Sequence[str],
    *,
    todo: str,
    stdin: str | None = None,
    timeout_seconds: float = 60,
    check: bool = True,
) -> run.Result:
    """Run a command on a machine to its end, as root; parameters and errors as `run.capture`."""
    return run.capture(
        [*stack.machine(machine).exec, *command],
        todo=todo,
        install=_install(stack, machine),
        stdin=stdin,
        timeout_seconds=timeout_seconds,
        check=check,
    )


def replace(stack: Stack, machine: str, command: Sequence[str]) -> NoReturn:
    """Become a command on a machine, with a terminal of its own if we have one."""
    run.replace(
        [*_with_terminal(stack.machine(machine).exec), *command],
        install=_install(stack, machine),
    )


def _with_terminal(channel: tuple[str, ...]) -> tuple[str, ...]:
    """Docker gives a terminal when asked only; other channels (SSM) always do."""
    interactive = sys.stdin.isatty() and sys.stdout.isatty()
    if interactive and channel[:2] == ("docker", "exec"):
        return ("docker", "exec", "-t", *channel[2:])
    return channel


def _install(stack: Stack, machine: str) -> str:
    program = stack.machine(machine).exec[0]
    return f"it is the way to the machines of place {stack.outputs.place}: install {program}"
