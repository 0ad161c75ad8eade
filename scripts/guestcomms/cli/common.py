"""What every command shares: global options, exit codes, and the two ways to print a result."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, TextIO

import typer
from rich.console import Console, Group
from rich.logging import RichHandler
from rich.table import Table
from rich.text import Text

from guestcomms.errors import RefusedError
from guestcomms.stack import Stack

EXIT_CODES: Mapping[int, str] = {
    0: "done, and what was examined is in order",
    1: "the operation failed",
    2: "wrong use of the command line",
    3: "the target cannot be reached",
    4: "somebody else is in the way now: the same command works later",
    5: "a person has to change something first",
    6: "the target was examined and is not as it should be",
    130: "interrupted with Ctrl-C",
}

WIDTH_OF_A_PIPE = 200
"""Columns where no terminal says how many it has: a table there is read by grep, not folded."""

console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH_OF_A_PIPE)
"""Results: what a person or a pipe asked for."""
progress = Console(stderr=True, highlight=False)
"""Everything else: what is going on, questions, errors."""

JsonOption = Annotated[
    bool, typer.Option("--json", help="Print JSON for programs instead of text for people.")
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
MachineArgument = Annotated[
    str, typer.Argument(metavar="MACHINE", help="Its name: pg-1, proxy-1, store-1, …")
]


_log = logging.getLogger("guestcomms")
_log.addHandler(RichHandler(console=progress, show_path=False, markup=False))


@dataclass(frozen=True)
class Settings:
    """The global options."""

    stack: str
    debug: bool = False


def settings(context: typer.Context) -> Settings:
    """The global options of this call."""
    found = context.find_object(Settings)
    if found is None:
        raise RuntimeError("the callback of the app makes the settings before a command runs")
    return found


def show_details(wanted: bool) -> None:
    """Show, or not, which programs are run and where an error comes from."""
    _log.setLevel(logging.DEBUG if wanted else logging.WARNING)


def details_shown() -> bool:
    """Whether `--debug` was given."""
    return _log.isEnabledFor(logging.DEBUG)


def load_stack(context: typer.Context) -> Stack:
    """The stack that `--stack` names, if it is up."""
    return Stack.load(settings(context).stack)


def print_json(value: Any, target: TextIO | None = None) -> None:
    """Print a result for programs, to stdout unless told otherwise."""
    (target or sys.stdout).write(json.dumps(value, indent=2, default=_as_json) + "\n")


def table(title: str, columns: Iterable[str], rows: Iterable[Iterable[object]]) -> Group:
    """A titled table for people; absent values are dashes."""
    made = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for column in columns:
        made.add_column(column, overflow="fold")
    for row in rows:
        made.add_row(*(_cell(cell) for cell in row))
    return Group(Text(title, "bold"), made)


def _cell(value: object) -> Text:
    """A table cell; plain text is never read as markup."""
    return value if isinstance(value, Text) else Text("-" if value is None else str(value))


def nobody_to_ask() -> RefusedError:
    """What to raise where a question is due and no terminal is there."""
    return RefusedError("Nobody is there to ask (no terminal); give --yes to go ahead.")


def confirm_by_name(name: str, question: str) -> None:
    """Ask a person to type a name before something is lost.

    Raises `RefusedError` when nobody can be asked or the name differs.
    """
    if not sys.stdin.isatty():
        raise nobody_to_ask()
    progress.print(question)
    typed = typer.prompt(f"Type {name} to go ahead", default="", show_default=False, err=True)
    if typed.strip() != name:
        raise RefusedError(
            f"That was not {name}: nothing was changed; run it again if you want it."
        )


def size(count: int | None) -> str | None:
    """Bytes for people: `318.4 MiB`."""
    if count is None:
        return None
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def moment(value: datetime | None) -> str | None:
    """A point in time for people, in UTC to the second."""
    return None if value is None else f"{value:%Y-%m-%d %H:%M:%S} UTC"


def made_with(evidence: Mapping[str, Any] | None) -> str | None:
    """The versions that a run's document names, for people; None without a document."""
    versions = evidence["versions"] if evidence else {}
    return ", ".join(f"{name} {version}" for name, version in versions.items()) or None


def _as_json(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
