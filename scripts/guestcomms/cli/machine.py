"""`guestcomms logs` and `guestcomms shell`: looking at one machine."""

from __future__ import annotations

from typing import Annotated

import typer

from guestcomms import node
from guestcomms.cli.common import JsonOption, MachineArgument, load_stack


def logs(
    context: typer.Context,
    machine: MachineArgument,
    unit: Annotated[
        list[str] | None,
        typer.Option("--unit", "-u", help="Only this systemd unit (patroni, …); can be repeated."),
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="So many last lines.")] = 100,
    json: JsonOption = False,
) -> None:
    """Print a machine's journal."""
    command = ["journalctl", "--no-pager", f"--lines={lines}"]
    command += [f"--unit={name}" for name in unit or []]
    command += ["--follow"] if follow else []
    command += ["--output=json"] if json else []
    node.replace(load_stack(context), machine, command)


def shell(
    context: typer.Context,
    machine: MachineArgument,
    command: Annotated[
        list[str] | None, typer.Argument(metavar="[-- CMD]", help="Run this instead of a shell.")
    ] = None,
) -> None:
    """Open a root shell on a machine, or run one command there; exits as that does."""
    words = [*(command or ["bash", "-l"])]
    if words[0] == "--":  # click keeps it, since an argument stands before it
        words.pop(0)
    node.replace(load_stack(context), machine, words or ["bash", "-l"])
