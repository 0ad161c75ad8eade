"""What a restore of the whole cluster would do and cost, before anything is done."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from statistics import median
from typing import Any

from pydantic import BaseModel, ConfigDict

from guestcomms import db, drills, hints
from guestcomms.errors import GuestcommsError, RefusedError, UsageError
from guestcomms.restore_record import agent
from guestcomms.stack import Stack

COUNT_TIMEOUT = "10s"
LOST: Mapping[str, str] = {
    "guests": "SELECT count(*) FROM public.guests WHERE created_at > %s",
    "communications": "SELECT count(*) FROM public.guest_communications WHERE created_at > %s",
    "messages": (
        "SELECT count(*) FROM public.communication_recipients WHERE communication_created_at > %s"
    ),
    "delivery reports": "SELECT count(*) FROM public.delivery_status WHERE created_at > %s",
}
"""Rows that were made after a moment, and are not in a database that is restored to it."""


class Position(BaseModel):
    """How far a machine's data goes; timeline 0 where there is none."""

    timeline: int
    lsn: str
    standby: bool

    @property
    def order(self) -> tuple[int, bool, int]:
        """What goes further is greater: nothing is ahead of who wrote a timeline."""
        high, low = (int(half, 16) for half in self.lsn.split("/"))
        return self.timeline, not self.standby, (high << 32) + low

    def __str__(self) -> str:
        role = ", a standby" if self.standby else ""
        return f"timeline {self.timeline} at {self.lsn}{role}" if self.timeline else "no data"


def furthest(positions: Mapping[str, Position], *, surely: bool = True) -> str:
    """The machine whose data goes furthest.

    Parameters: `surely` wants one that led last: a standby may have received more than it knows.
    Raises `RefusedError` if there is none, or if two have led on the newest timeline.
    """
    newest = max(one.timeline for one in positions.values())
    led = [n for n, one in positions.items() if one.timeline == newest and not one.standby]
    if newest and (len(led) == 1 or not surely):
        return max(positions, key=lambda name: positions[name].order)
    seen = "; ".join(f"{name}: {one}" for name, one in positions.items())
    raise RefusedError(f"No machine's data is surely the one that goes furthest ({seen}).")


class Window(BaseModel):
    """Moments that can be restored; `to` is None up to now."""

    since: datetime
    to: datetime | None


class Plan(BaseModel):
    """What would be done; sizes in bytes, times in seconds, None for what is not known."""

    model_config = ConfigDict(extra="ignore")

    stack: str
    kind: str
    value: str
    inclusive: bool
    lsn: str | None
    machine: str
    """It is restored; the others are rebuilt from it."""
    backup: str | None
    type: str | None
    size: int | None
    completed_at: datetime | None
    windows: list[Window]
    archived_until: datetime | None
    segments: int
    missing: int
    timeline: int
    free: Mapping[str, int]
    needed: int
    target_time: datetime | None = None
    lost_seconds: float | None = None
    lost_rows: Mapping[str, int | None] = {}
    estimate_seconds: float | None = None
    estimate_from: int = 0
    """So many drills were measured for the estimate."""
    problems: list[str] = []

    @property
    def target(self) -> str:
        """The target for people."""
        return f"{self.kind} {self.value}{'' if self.inclusive else ', exclusive'}"


def make(stack: Stack, to: str, *, inclusive: bool, leader: str | None) -> Plan:
    """Plan a restore of the cluster.

    Parameters: `to` as for a drill; `leader` is the machine that leads, None where nobody does.
    Raises `UsageError` for a target that is none.
    """
    kind, value = _target(to, inclusive=inclusive)
    known = _from_database(stack, kind, value) if leader else {}
    if kind == "name" and "name" not in known:
        raise RefusedError(
            f"There is no recovery point {value!r}, or no database to ask for it; list them with"
            f" {hints.command('backup timeline', stack.name)}, or give a time."
        )
    wish = {"kind": kind, "value": known.get("name", value), "inclusive": inclusive}
    wish["lsn"] = value if kind == "lsn" else known.get("lsn")
    machine = leader or _furthest(stack)
    said = agent(stack, machine, "plan", told=wish, timeout_seconds=600)
    free = {machine: said["free"]}
    problems = [*said["problems"], *known.get("problems", [])]
    for other in stack.machines("database"):
        if other != machine:
            free[other] = agent(stack, other, "room")["free"]
            if free[other] < said["needed"]:
                problems.append(
                    f"{other} needs {said['needed']} bytes beside its old data, which is kept;"
                    f" {free[other]} are free."
                )
    made = Plan.model_validate(
        {**said, **wish, "stack": stack.name, "free": free, "problems": problems}
    )
    moment = datetime.fromisoformat(value) if kind == "time" else known.get("moment")
    made.target_time = moment
    if moment is not None:
        made.lost_seconds = max(0.0, (datetime.now(UTC) - moment).total_seconds())
    made.lost_rows = known.get("lost", {})
    if made.size and (rates := known.get("rates")):
        made.estimate_from = len(rates)
        # Three times: the restore itself, the standbys from it, and the full backup afterwards.
        made.estimate_seconds = 3 * made.size / median(rates) + known["overhead"]
    return made


def _target(to: str, *, inclusive: bool) -> tuple[str, str]:
    """Kind and value of a target, as pgBackRest takes it. Raises `UsageError` if it is none."""
    kind, value = drills.parse_target(to)
    if value is None:  # `parse_target` makes a point of its own of nothing
        raise UsageError("Say what the cluster is to be restored to: --to TARGET.")
    if kind == "name" and not inclusive:
        raise UsageError(
            "A recovery point lies between transactions, so there is nothing to leave out; leave"
            " --exclusive out."
        )
    if kind == "time":
        value = _utc(value)
    return kind, value.upper() if kind == "lsn" else value


def _furthest(stack: Stack) -> str:
    """The machine to restore where nobody leads. Raises `RefusedError` if it is not certain."""
    machines = stack.machines("database")
    seen = {name: Position.model_validate(agent(stack, name, "position")) for name in machines}
    try:
        return furthest(seen)
    except RefusedError as error:
        raise RefusedError(
            f"Nobody leads stack {stack.name}. {error.message} Let one lead first: look with"
            f" {hints.command('status', stack.name)}."
        ) from None


def _utc(value: str) -> str:
    """A time as pgBackRest takes it. Raises `UsageError` if it is none."""
    try:
        moment = datetime.fromisoformat(value.replace("UTC", "+00:00").replace(" +", "+"))
    except ValueError as error:
        raise UsageError(f"{value!r} is no time: {error}.") from error
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}+00"


def _from_database(stack: Stack, kind: str, value: str) -> dict[str, Any]:
    """What the database knows of the target; nothing if it does not answer."""
    try:
        with db.connect(
            stack.dsn("ops"), application_name="guestcomms restore", autocommit=True
        ) as connection:
            return _known(connection, kind, value)
    except (GuestcommsError, db.DatabaseError):
        return {}


def _known(connection: db.Connection, kind: str, value: str) -> dict[str, Any]:
    known: dict[str, Any] = {"problems": []}
    if kind == "name":
        point = db.rows(
            connection,
            "SELECT restore_point_name AS name, lsn::text, point_in_time AS moment"
            " FROM public.communication_recovery_points WHERE recovery_point_id = %s",
            [value],
        )
        known |= point[0] if point else {}
    moment = datetime.fromisoformat(_utc(value)) if kind == "time" else known.get("moment")
    if moment is not None:
        known["lost"] = {what: _count(connection, query, moment) for what, query in LOST.items()}
    if kind == "time":
        known["problems"] += [
            f"{value} lies on timeline {row['timeline']}, which was abandoned:"
            f" {row['restore_id']} went back to {row['since']:%Y-%m-%d %H:%M:%S} UTC, and the"
            f" cluster went on at {row['until']:%Y-%m-%d %H:%M:%S} UTC."
            for row in db.rows(
                connection,
                "SELECT restore_id, abandoned_timeline AS timeline, reached_time AS since,"
                " abandoned_at AS until FROM public.communication_cluster_restores"
                " WHERE %s > reached_time AND %s < abandoned_at",
                [moment, moment],
            )
        ]
    measured = db.rows(
        connection,
        "SELECT restored_bytes / restore_seconds AS rate, recovery_seconds - restore_seconds AS"
        " rest FROM public.communication_restore_drills WHERE verdict = 'proven'"
        " AND restore_seconds > 0 AND restored_bytes > 0 ORDER BY completed_at DESC LIMIT 10",
    )
    known["rates"] = [row["rate"] for row in measured]
    known["overhead"] = median(row["rest"] for row in measured) if measured else 0.0
    return known


def _count(connection: db.Connection, query: str, moment: datetime) -> int | None:
    try:
        with connection.transaction():
            connection.execute(f"SET LOCAL statement_timeout = '{COUNT_TIMEOUT}'".encode())
            return int(db.one_value(connection, query.encode(), [moment]))
    except db.DatabaseError:
        return None
