"""`guestcomms backup`: ask for backups and see what there is."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from guestcomms import backups, db
from guestcomms.cli.common import (
    JsonOption,
    console,
    load_stack,
    moment,
    print_json,
    progress,
    size,
    table,
)
from guestcomms.stack import Stack

app = typer.Typer(no_args_is_help=True, help="Backups in the store, as the ledger tells them.")
WAIT_SECONDS = 3600.0


class BackupType(StrEnum):
    """What pgBackRest can take."""

    FULL = "full"
    INCREMENTAL = "incremental"
    DIFFERENTIAL = "differential"


@app.command("run")
def run_backup(
    context: typer.Context,
    backup_type: Annotated[
        BackupType, typer.Argument(metavar="[TYPE]", help="full, incremental or differential.")
    ] = BackupType.INCREMENTAL,
    wait: Annotated[bool, typer.Option(help="Until it has completed or failed.")] = True,
    timeout: Annotated[
        float, typer.Option(min=1, metavar="SECONDS", help="Wait no longer than this.")
    ] = WAIT_SECONDS,
    json: JsonOption = False,
) -> None:
    """Take a backup now: write a request into the ledger, which a node agent carries out."""
    stack = load_stack(context)
    with connect(stack) as connection:
        backup = backups.request(connection, backup_type)
        if wait:
            backup = await_completion(connection, stack.name, backup, timeout)
    if json:
        print_json(backup.model_dump())
    else:
        console.print(describe(backup))


@app.command("list")
def list_backups(
    context: typer.Context,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="So many newest.")] = 20,
    json: JsonOption = False,
) -> None:
    """List the newest backups."""
    with connect(load_stack(context)) as connection:
        found = backups.newest(connection, limit)
    if json:
        print_json([backup.model_dump() for backup in found])
        return
    columns = (
        "backup",
        "type",
        "status",
        "label",
        "size",
        "in the store",
        "by",
        "asked for",
        "completed",
    )
    console.print(table("Backups", columns, [_cells(backup) for backup in found]))
    for backup in found:
        if backup.status == "failed":
            console.print(f"{backup.backup_id} failed: {backup.error}", markup=False)


def connect(stack: Stack) -> db.Connection:
    """A connection that may request and read backups."""
    return db.connect(stack.dsn("ops"), application_name="guestcomms backup", autocommit=True)


def await_completion(
    connection: db.Connection,
    stack: str,
    backup: backups.Backup,
    timeout_seconds: float = WAIT_SECONDS,
) -> backups.Backup:
    """Wait for a backup and show how it goes on. Raises as `backups.wait`."""
    with progress.status(describe(backup)) as shown:
        return backups.wait(
            connection,
            backup,
            stack=stack,
            timeout_seconds=timeout_seconds,
            report=lambda seen: shown.update(describe(seen)),
        )


def describe(backup: backups.Backup) -> str:
    """A backup in one line."""
    line = f"{backup.backup_type} backup {backup.backup_id}: {backup.status}"
    if backup.label:
        line += f" as {backup.label}"
    if backup.repository_size_bytes is not None:
        line += f", {size(backup.repository_size_bytes)} in the store"
    return line


def _cells(backup: backups.Backup) -> tuple[object, ...]:
    return (
        backup.backup_id,
        backup.backup_type,
        backup.status,
        backup.label,
        size(backup.backup_size_bytes),
        size(backup.repository_size_bytes),
        backup.node,
        moment(backup.requested_at),
        moment(backup.completed_at),
    )
