"""The only door to a machine: commands run through the channel that the stack's place gives.

Locally that is `docker exec`, on AWS Systems Manager. Used where no database answers: health, logs,
a shell, restores.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from guestcomms import paths, run
from guestcomms.stack import Machine, Stack


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
        env=_own_programs_first(),
        stdin=stdin,
        timeout_seconds=timeout_seconds,
        check=check,
    )


def replace(stack: Stack, machine: str, command: Sequence[str]) -> NoReturn:
    """Become a command on a machine, with a terminal of its own if we have one."""
    run.replace(
        [*_with_terminal(stack.machine(machine)), *command],
        install=_install(stack, machine),
        env=_own_programs_first(),
    )


def _with_terminal(machine: Machine) -> tuple[str, ...]:
    """The channel that gives the command a terminal, if we have one to give."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return machine.exec
    if machine.exec[:2] == ("docker", "exec"):
        return ("docker", "exec", "-t", *machine.exec[2:])
    return machine.terminal or machine.exec


def _own_programs_first() -> dict[str, str]:
    """PATH with this clone's programs: `guestcomms-ssm` is one, and .venv need not be active."""
    return {"PATH": os.pathsep.join([str(paths.VENV), os.environ.get("PATH", os.defpath)])}


def _install(stack: Stack, machine: str) -> str:
    program = stack.machine(machine).exec[0]
    return f"it is the way to the machines of place {stack.outputs.place}: install {program}"
