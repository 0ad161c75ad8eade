"""Checks of the backup repository: asked for here, made by the node agent, kept with evidence."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from guestcomms import db, hints
from guestcomms.errors import GuestcommsError

POLL_SECONDS = 0.5
Kind = Literal["wal_audit", "verification"]


class Window(BaseModel):
    """Moments that can be restored, from the end of a backup on; `to` is None up to now."""

    since: datetime
    to: datetime | None
    backup: str


class Evidence(BaseModel):
    """The document that a check leaves."""

    model_config = ConfigDict(extra="allow")

    what: str
    verdict: Literal["sound", "damaged"]
    versions: dict[str, str] = Field(default_factory=dict)
    seconds: float = 0.0
    figures: dict[str, float]
    findings: list[dict[str, Any]]
    restorable: list[Window] = Field(default_factory=list)
    timelines: list[dict[str, Any]] = Field(default_factory=list)


class Check(BaseModel):
    """A row of `communication_backup_checks`."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    check_id: str
    kind: Kind
    status: Literal["requested", "running", "completed", "failed"]
    node: str | None
    requested_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    verdict: Literal["sound", "damaged"] | None
    error: str | None
    evidence: Evidence | None

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.status not in ("requested", "running")


def request(connection: db.Connection, kind: Kind) -> Check:
    """Ask for a check; an agent begins within seconds."""
    row = db.rows(connection, "SELECT * FROM public.request_backup_check(%s)", [kind])[0]
    return Check.model_validate(row)


def newest(connection: db.Connection, limit: int = 20) -> list[Check]:
    """The checks that were asked for last, newest first."""
    query = "SELECT * FROM public.communication_backup_checks ORDER BY requested_at DESC LIMIT %s"
    return [Check.model_validate(row) for row in db.rows(connection, query, [limit])]


def last_completed(connection: db.Connection, kind: Kind) -> Check | None:
    """The newest check of a kind that has a verdict."""
    query = (
        "SELECT * FROM public.communication_backup_checks"
        " WHERE kind = %s AND status = 'completed' ORDER BY ended_at DESC LIMIT 1"
    )
    found = db.rows(connection, query, [kind])
    return Check.model_validate(found[0]) if found else None


def wait(
    connection: db.Connection,
    check: Check,
    *,
    stack: str,
    timeout_seconds: float,
    report: Callable[[Check], None],
) -> Check:
    """Wait until a check has a verdict; `report` is called at every change.

    The connection must be in autocommit: one transaction would never see the change.
    Raises `GuestcommsError` when it fails or has not ended after `timeout_seconds`.
    """
    deadline = time.monotonic() + timeout_seconds
    query = "SELECT * FROM public.communication_backup_checks WHERE check_id = %s"
    report(check)
    while not check.ended:
        if time.monotonic() > deadline:
            logs = f"logs {check.node or 'pg-1'} --unit guestcomms-agent"
            raise GuestcommsError(
                f"Check {check.check_id} is still {check.status} after {timeout_seconds:g} s; it"
                f" goes on without us: look with {hints.command('backup checks', stack)}, and for"
                f" the reason with {hints.command(logs, stack)}."
            )
        time.sleep(POLL_SECONDS)
        seen = Check.model_validate(db.rows(connection, query, [check.check_id])[0])
        if seen != check:
            report(seen)
        check = seen
    if check.status == "failed":
        raise GuestcommsError(
            f"Check {check.check_id} failed: {check.error}; remove the cause and run it again."
        )
    return check
