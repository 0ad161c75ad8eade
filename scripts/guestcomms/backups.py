"""Backups as the ledger tells them: a row is requested here, the node agent does the work."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from guestcomms import db, hints
from guestcomms.errors import GuestcommsError

POLL_SECONDS = 1.0


class Backup(BaseModel):
    """A row of `communication_backups`."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    backup_id: str
    backup_type: str
    status: Literal["requested", "running", "completed", "failed", "expired"]
    node: str | None
    label: str | None
    backup_size_bytes: int | None
    repository_size_bytes: int | None
    requested_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    error: str | None

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.status not in ("requested", "running")


def request(connection: db.Connection, backup_type: str) -> Backup:
    """Ask for a backup (full, incremental, differential); an agent begins within seconds."""
    row = db.rows(
        connection, "SELECT * FROM public.backup_communication_system(%s)", [backup_type]
    )[0]
    return Backup.model_validate(row)


def newest(connection: db.Connection, limit: int = 20) -> list[Backup]:
    """The backups that were requested last, newest first."""
    query = "SELECT * FROM public.communication_backups ORDER BY requested_at DESC LIMIT %s"
    return [Backup.model_validate(row) for row in db.rows(connection, query, [limit])]


def wait(
    connection: db.Connection,
    backup: Backup,
    *,
    stack: str,
    timeout_seconds: float,
    report: Callable[[Backup], None],
) -> Backup:
    """Wait until a backup of a stack has completed; `report` is called at every change.

    The connection must be in autocommit: one transaction would never see the change.
    Raises `GuestcommsError` when it fails or has not ended after `timeout_seconds`.
    """
    deadline = time.monotonic() + timeout_seconds
    report(backup)
    while not backup.ended:
        if time.monotonic() > deadline:
            logs = f"logs {backup.node or 'pg-1'} --unit guestcomms-agent"
            raise GuestcommsError(
                f"Backup {backup.backup_id} is still {backup.status} after {timeout_seconds:g} s;"
                f" it goes on without us: look with {hints.command('backup list', stack)}, and for"
                f" the reason with {hints.command(logs, stack)}."
            )
        time.sleep(POLL_SECONDS)
        seen = _find(connection, backup.backup_id)
        if seen != backup:
            report(seen)
        backup = seen
    if backup.status != "completed":
        raise GuestcommsError(
            f"Backup {backup.backup_id} {backup.status}: {backup.error or 'no reason given'};"
            f" remove the cause and run {hints.command('backup run', stack)} again."
        )
    return backup


def ensure_full(connection: db.Connection) -> tuple[Backup, bool]:
    """A full backup that is completed or on its way, and whether it was requested just now."""
    if done := last_full(connection):
        return done, False
    query = (
        "SELECT * FROM public.communication_backups WHERE backup_type = 'full'"
        " AND status IN ('running', 'requested') ORDER BY status DESC LIMIT 1"
    )
    under_way = db.rows(connection, query)
    if under_way:
        return Backup.model_validate(under_way[0]), False
    return request(connection, "full"), True


def last_full(connection: db.Connection) -> Backup | None:
    """The newest full backup that has completed and is still in the store."""
    query = (
        "SELECT * FROM public.communication_backups WHERE backup_type = 'full'"
        " AND status = 'completed' ORDER BY completed_at DESC LIMIT 1"
    )
    found = db.rows(connection, query)
    return Backup.model_validate(found[0]) if found else None


def facts(connection: db.Connection, name: str) -> dict[str, Any] | None:
    """Every column of a backup, by its id or pgBackRest's label; None if there is none."""
    query = "SELECT * FROM public.communication_backups WHERE %s IN (backup_id, label)"
    found = db.rows(connection, query, [name])
    return found[0] if found else None


def _find(connection: db.Connection, backup_id: str) -> Backup:
    query = "SELECT * FROM public.communication_backups WHERE backup_id = %s"
    return Backup.model_validate(db.rows(connection, query, [backup_id])[0])
