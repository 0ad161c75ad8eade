"""Restores beside the cluster: asked for here, done by the drill machine, told by the ledger."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from guestcomms import db, hints
from guestcomms.errors import GuestcommsError, UnhealthyError, UsageError

POLL_SECONDS = 1.0
KINDS = {
    "lsn": re.compile(r"[0-9A-Fa-f]{1,8}/[0-9A-Fa-f]{1,8}"),
    "xid": re.compile(r"[0-9]{1,18}"),
    "time": re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d.*"),
}
ZONE = re.compile(r".*(Z|UTC|[+-]\d\d(:?\d\d)?)")


class Finding(BaseModel):
    """One comparison that a drill made."""

    check: str
    passed: bool
    detail: str


class Drill(BaseModel):
    """A row of `communication_restore_drills`; times in seconds."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    drill_id: str
    target_type: str
    target: str
    inclusive: bool
    keep: bool
    status: Literal["requested", "running", "completed", "failed"]
    step: str | None
    node: str | None
    label: str | None
    backup_id: str | None
    recovery_point_id: str | None
    requested_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    reached_lsn: str | None
    reached_time: datetime | None
    archived_seconds: float | None
    restore_seconds: float | None
    recovery_seconds: float | None
    total_seconds: float | None
    restored_bytes: int | None
    findings: list[Finding]
    verdict: Literal["proven", "refuted"] | None
    evidence: dict[str, Any] | None = None
    """The document of the run, once it has ended."""
    error: str | None

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.status in ("completed", "failed")


def parse_target(text: str | None) -> tuple[str, str | None]:
    """What `--to` means: kind and value for `request_restore_drill`; None is a point of its own.

    A kind may be said (`name:2026`), or is seen: 0/3000000 is an LSN, 4711 a transaction,
    2026-01-31 12:00+01 a time, anything else the name of a recovery point.
    Raises `UsageError` for a time without its zone.
    """
    if text is None:
        return "point", None
    kind, colon, value = text.partition(":")
    if not colon or kind not in (*KINDS, "name"):
        value = text
        kind = next((name for name, form in KINDS.items() if form.fullmatch(text)), "name")
    if kind == "time" and not ZONE.fullmatch(value[10:]):
        raise UsageError(f"{value!r} is no moment without its zone; write it as {value}+00 or +01.")
    return kind, value


def request(connection: db.Connection, target: str | None, *, inclusive: bool, keep: bool) -> Drill:
    """Ask for a drill; the drill machine begins within seconds. Raises as `parse_target`."""
    kind, value = parse_target(target)
    row = db.rows(
        connection,
        "SELECT * FROM public.request_restore_drill(%s, %s, %s, %s)",
        [kind, value, inclusive, keep],
    )[0]
    return Drill.model_validate(row)


def newest(connection: db.Connection, limit: int = 20) -> list[Drill]:
    """The drills that were requested last, newest first."""
    query = "SELECT * FROM public.communication_restore_drills ORDER BY requested_at DESC LIMIT %s"
    return [Drill.model_validate(row) for row in db.rows(connection, query, [limit])]


def find(connection: db.Connection, drill_id: str | None, stack: str) -> Drill:
    """A drill by its id, or the newest one. Raises `GuestcommsError` if there is none."""
    query = "SELECT * FROM public.communication_restore_drills"
    rows: list[dict[str, Any]] = (
        db.rows(connection, f"{query} WHERE drill_id = %s", [drill_id])
        if drill_id
        else db.rows(connection, f"{query} ORDER BY requested_at DESC LIMIT 1")
    )
    if not rows:
        raise GuestcommsError(
            f"There is no restore {drill_id}; see {hints.command('restore history', stack)}."
            if drill_id
            else f"Nothing was restored yet; {hints.command('restore drill', stack)} does."
        )
    return Drill.model_validate(rows[0])


def wait(
    connection: db.Connection,
    drill: Drill,
    *,
    stack: str,
    timeout_seconds: float,
    report: Callable[[Drill], None],
) -> Drill:
    """Wait until a drill has ended; `report` is called at every change.

    Raises `UnhealthyError` if it refuted its backup, `GuestcommsError` if it came to no verdict.
    """
    deadline = time.monotonic() + timeout_seconds
    while not drill.ended:
        if time.monotonic() > deadline:
            raise GuestcommsError(
                f"{drill.drill_id} is still {drill.status} after {timeout_seconds:g} s"
                f" ({drill.step or 'nobody has taken it'}); it goes on without us: look with"
                f" {hints.command('restore show', stack)} and"
                f" {hints.command('logs drill-1 --unit guestcomms-agent', stack)}."
            )
        time.sleep(POLL_SECONDS)
        seen = find(connection, drill.drill_id, stack)
        if seen != drill:
            report(seen)
        drill = seen
    if drill.status == "failed":
        raise GuestcommsError(f"{drill.drill_id} came to no verdict: {drill.error}")
    if drill.verdict == "refuted":
        wrong = "; ".join(f"{one.check}: {one.detail}" for one in drill.findings if not one.passed)
        raise UnhealthyError(f"{drill.drill_id} refuted backup {drill.label}: {wrong}")
    return drill


def release(connection: db.Connection, drill_id: str) -> bool:
    """Let go of a kept copy; False if it was not kept."""
    return bool(db.one_value(connection, "SELECT public.release_restore(%s)", [drill_id]))
