"""Restores of single tables: rows as they were, compared with what is there, and copied back.

- `ledger`: ask for one, find one; the drill machine's agent carries the rows into schema `restored`
- `left_out`: rows that must not come back as they were, because somebody was protected since
- `compare`: what is missing, changed or extra in the live table
- `script`: the SQL that copies back, for a person to read
- `apply`: run it, step by step, each as often as it takes
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from guestcomms import db, hints
from guestcomms.errors import RefusedError
from guestcomms.tables import compare, ledger, script
from guestcomms.tables.compare import Comparison
from guestcomms.tables.ledger import TableRestore
from guestcomms.tables.script import Step


@dataclass(frozen=True)
class Wanted:
    """What a copy-back is to do: `columns` to compare and set, none for all."""

    columns: Sequence[str] = ()
    delete_extra: bool = False
    include_left_out: bool = False


def compare_and_write(
    connection: db.Connection, restore: TableRestore, wanted: Wanted, file: Path, stack: str
) -> Comparison:
    """Compare the rows of a restore with the live table, and write the SQL that copies back.

    Parameters: `connection`, direct and autocommit, of a login that may become comms_owner.
    Raises as `ledger.require_rows` and `compare.compare`, `RefusedError` for a file that cannot be
    written.
    """
    definition = ledger.require_rows(restore, stack)
    connection.execute("SET ROLE comms_owner")  # who looks at a table needs its schema
    try:
        found = compare.compare(
            connection,
            restore,
            definition,
            columns=wanted.columns,
            include_left_out=wanted.include_left_out,
        )
        text = script.write(
            connection, restore, definition, found, delete_extra=wanted.delete_extra, stack=stack
        )
    finally:
        if not connection.broken:
            connection.execute("RESET ROLE")
    try:
        # Conditions and keys are personal data.
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    except OSError as error:
        raise RefusedError(
            f"{file} cannot be written ({error.strerror}); name another with --output."
        ) from None
    with os.fdopen(descriptor, "w") as handle:
        handle.write(text)
    return found


def read(file: Path, restore: TableRestore, stack: str) -> list[Step]:
    """The steps of a copy-back as its file has them now. Raises `RefusedError` if it has none."""
    try:
        text = file.read_text()
    except OSError:
        text = ""
    if restore.drill_id not in text or not (steps := script.steps_of(text)):
        again = hints.command(f"restore table --compare {restore.drill_id}", stack)
        raise RefusedError(f"{file} is no copy-back of {restore.drill_id}; write it with {again}.")
    return steps
