"""`guestcomms secrets`: what must not be lost, for keeping somewhere else."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from guestcomms import hints
from guestcomms.cli.common import JsonOption, console, print_json, settings
from guestcomms.errors import RefusedError
from guestcomms.stack import read_state

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


def _protected_secrets(stack: str) -> dict[str, str]:
    """The secrets that outlive `down`: those that the program protects."""
    found = {
        resource.name: str(resource.outputs["value"])
        for resource in read_state(stack, show_secrets=True)
        if resource.protected and resource.type.endswith("trust:Secret")
    }
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
