"""Writes docs/reference/cli.md from the commands: `python -m guestcomms.cli.reference`."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import typer

from guestcomms import paths
from guestcomms.cli.app import app
from guestcomms.cli.common import EXIT_CODES

FILE = paths.ROOT / "docs" / "reference" / "cli.md"
HEAD = """\
# The command line

<!-- Generated: `.venv/bin/python -m guestcomms.cli.reference`. A test compares. -->

`guestcomms` is `.venv/bin/guestcomms`; the virtual environment need not be active, and any
folder below the clone will do. Results go to standard output, everything else to standard error.
"""


def render() -> str:
    """The whole page."""
    root = typer.main.get_command(app)
    blocks = [HEAD, _exit_codes(), *_sections(root, ["guestcomms"])]
    return "\n".join(blocks).rstrip() + "\n"


def commands(command: Any, path: list[str]) -> Iterator[tuple[list[str], Any]]:
    """Every command below one, with the words that call it; groups come before their commands."""
    yield path, command
    for name, child in getattr(command, "commands", {}).items():
        yield from commands(child, [*path, name])


def _exit_codes() -> str:
    rows = [f"| {code} | {text} |" for code, text in EXIT_CODES.items()]
    return "\n".join(["## Exit codes", "", "| code | meaning |", "|---|---|", *rows, ""])


def _sections(root: Any, path: list[str]) -> Iterator[str]:
    for words, command in commands(root, path):
        is_group = bool(getattr(command, "commands", {}))
        title = " ".join(words)
        lines = [f"{'##' if len(words) < 3 else '###'} {title}", ""]
        lines += [inspect.cleandoc(command.help or ""), ""]
        if not is_group:
            lines += [f"    {_usage(title, command)}", ""]
        rows = [_row(p) for p in command.params if not p.hidden and p.name != "help"]
        if rows:
            lines += ["| option | meaning | default |", "|---|---|---|", *rows, ""]
        yield "\n".join(lines)


def _usage(title: str, command: Any) -> str:
    words = [title]
    if any(p.param_type_name == "option" for p in command.params):
        words.append("[OPTIONS]")
    words += [_argument(p) for p in command.params if p.param_type_name == "argument"]
    return " ".join(words)


def _argument(parameter: Any) -> str:
    return str(parameter.metavar or parameter.name.upper())


def _row(parameter: Any) -> str:
    name = _argument(parameter)
    if parameter.param_type_name == "option":
        names = ", ".join([*parameter.opts, *parameter.secondary_opts])
        name = names if parameter.is_flag else f"{names} {name}"
    meaning = parameter.help or ""
    if parameter.envvar:
        meaning += f" Also through the variable {parameter.envvar}."
    return f"| `{name}` | {meaning} | {_default(parameter)} |"


def _default(parameter: Any) -> str:
    shown = getattr(parameter, "show_default", None)
    # A default that is a place in this clone is told by a text of its own.
    default = shown if isinstance(shown, str) else parameter.default
    if default is None or default is False:
        return ""
    return f"`{parameter.opts[0] if default is True else getattr(default, 'value', default)}`"


if __name__ == "__main__":
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_text(render())
