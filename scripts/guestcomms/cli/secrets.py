"""`guestcomms secrets`: what must not be lost, for keeping somewhere else."""

from __future__ import annotations

import base64
import json as json_
import os
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from guestcomms import engine, hints
from guestcomms.cli.common import JsonOption, console, print_json, settings
from guestcomms.errors import RefusedError, UnhealthyError, UsageError
from guestcomms.stack import read_state

SourceArgument = Annotated[
    str, typer.Argument(metavar="FILE", help="What `export` wrote, or - for a pipe.")
]
SIZES = {"repository-cipher": 48, "key-encryption-key": 32}
"""What escrow holds, in bytes."""

app = typer.Typer(no_args_is_help=True, help="Keys without which backups cannot be read.")


@app.command()
def export(
    context: typer.Context,
    target: Annotated[
        str, typer.Argument(metavar="FILE", help="A new file, or - for a pipe to gpg, age, …")
    ],
    show: Annotated[
        bool, typer.Option("--show", help="Allow - although stdout is a terminal.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Write the repository cipher and the key-encryption key out, for escrow.

    Whoever has them and the backup store can read every backup; without them nobody can, also
    you. Keep the copy encrypted and away from the store.

    Example: guestcomms secrets export - | gpg --symmetric --output escrow.gpg
    """
    stack = settings(context).stack
    if target == "-" and sys.stdout.isatty() and not show:
        raise RefusedError(
            "Secrets would go to the screen; pipe them into an encrypting program, name a file, or"
            " give --show."
        )
    keys = _protected_secrets(stack)
    document = {"stack": stack, "made_at": datetime.now(UTC), "secrets": keys}
    if target == "-":
        print_json(document)
        return
    _write_new(Path(target), document)
    if json:
        print_json({"file": target, "secrets": sorted(keys)})
    else:
        console.print(f"{', '.join(sorted(keys))} → {target} (0600): move it to a safe place.")


@app.command()
def check(context: typer.Context, source: SourceArgument, json: JsonOption = False) -> None:
    """Tell whether what lies in escrow is what the stack holds now. Exit code 6 if it is not.

    Example: gpg --decrypt escrow.gpg | guestcomms secrets check -
    """
    stack = settings(context).stack
    kept, held = _read(source), _protected_secrets(stack)
    differ = sorted(name for name in held if kept.get(name) != held[name])
    if json:
        print_json({"stack": stack, "differ": differ, "equal": sorted(held.keys() - differ)})
    if differ:
        raise UnhealthyError(
            f"{', '.join(differ)}: escrow holds another value than stack {stack!r}; with it nobody"
            " reads the backups that are made now. Export again:"
            f" {hints.command('secrets export FILE', stack)}."
        )
    if not json:
        console.print(f"{', '.join(sorted(held))}: escrow holds what stack {stack!r} holds.")


@app.command("import")
def import_(context: typer.Context, source: SourceArgument, json: JsonOption = False) -> None:
    """Give a new stack the keys from escrow, so that it reads the backups of the one that is lost.

    Before its first `up`: a stack that has keys of its own keeps them. They lie in the stack file,
    encrypted.

    Example: gpg --decrypt escrow.gpg | guestcomms secrets import -
    """
    stack = settings(context).stack
    kept = _read(source)
    engine.prepare_backend()
    engine.create_stack(stack)
    held = _held(stack)
    if held and held != kept:
        raise RefusedError(
            f"Stack {stack!r} holds other keys than escrow, and what it wrote needs them: nothing"
            " was changed; bring up a new stack beside it, with a stack file of its own. If it"
            " never wrote anything, forget it first: docs/how-to/recover-lost-keys.md."
        )
    for name, value in kept.items() if not held else ():
        path = f"guestcomms:escrow.{name}"
        engine.pulumi(stack, ["config", "set", "--secret", "--path", path], stdin=value)
    if json:
        print_json({"stack": stack, "imported": [] if held else sorted(kept)})
    elif held:
        console.print(f"Stack {stack!r} holds these keys already.")
    else:
        restore = hints.command("pulumi -- config set guestcomms:bootstrap restore", stack)
        console.print(
            f"Stack {stack!r} begins with {', '.join(sorted(kept))} from escrow. To bring its data"
            f" back from the backups: {restore}, then {hints.up(stack)}."
        )


def _read(source: str) -> dict[str, str]:
    """What `export` wrote. Raises `UsageError` for anything else; no value is ever repeated."""
    try:
        text = sys.stdin.read() if source == "-" else Path(source).read_text()
    except OSError as error:
        raise UsageError(f"{source} cannot be read ({error.strerror}).") from None
    found: dict[str, Any] = {}
    sizes: dict[str, int] = {}
    with suppress(ValueError, KeyError, TypeError):
        found = json_.loads(text)["secrets"]
        sizes = {name: _size(found[name]) for name in SIZES}
    if sizes != SIZES:
        raise UsageError(
            f"{'What came in' if source == '-' else source} is not what `secrets export` writes:"
            f" JSON with {' and '.join(SIZES)}. If it was encrypted, decrypt it first."
        )
    return {name: str(found[name]) for name in SIZES}


def _size(value: str) -> int:
    return len(base64.b64decode(value, altchars=b"-_", validate=True))


def _held(stack: str) -> dict[str, str]:
    """The secrets that outlive `down`: those that the program protects."""
    return {
        resource.name: str(resource.outputs["value"])
        for resource in read_state(stack, show_secrets=True)
        if resource.protected and resource.type.endswith("trust:Secret")
    }


def _protected_secrets(stack: str) -> dict[str, str]:
    found = _held(stack)
    if not found:
        raise RefusedError(
            f"Stack {stack!r} has no protected secrets yet; bring it up with {hints.up(stack)}."
        )
    return found


def _write_new(file: Path, document: dict[str, Any]) -> None:
    """Write JSON to a file that only its owner can read. Raises `RefusedError` if it exists."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise RefusedError(
            f"{file} cannot be written ({error.strerror}); give a new file in a folder that exists."
        ) from None
    with os.fdopen(descriptor, "w") as handle:
        print_json(document, handle)
