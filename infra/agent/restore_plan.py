"""What a restore of the whole cluster would do, and why it cannot: read from the archive alone.

Nothing is changed here. The archive is walked as the audit walks it (`wal_audit`), so a hole before
the target shows now and not when PostgreSQL has replayed up to it.
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from infra.agent import checks, database, paths, patroni, pgbackrest, wal_audit
from infra.agent.archive import SEGMENT_BYTES
from infra.agent.copies import SPARE_BYTES
from infra.agent.deadline import Connection
from infra.agent.errors import AgentError
from infra.agent.facts import Machine
from infra.agent.pgbackrest import Backup
from infra.agent.wal_audit import Audit, Position, Segment

KINDS = ("name", "time", "lsn", "xid")
SLACK = 1.1  # a database grows by what it replays


@dataclass(frozen=True)
class Wish:
    """Where the cluster is to go: `lsn` is where the target lies, or a place before it."""

    kind: str
    value: str
    inclusive: bool
    lsn: int | None

    @classmethod
    def parse(cls, said: Mapping[str, object]) -> "Wish":
        """Return the wish that a JSON object tells.

        Raises:
            AgentError: a part is missing, or none that can be.
        """
        kind = checks.one_of(said.get("kind"), "kind", KINDS)
        lsn = said.get("lsn")
        return cls(
            kind=kind,
            value=checks.text(said.get("value"), "value", pgbackrest.TARGETS[kind]),
            inclusive=said.get("inclusive") is not False,
            lsn=None
            if lsn is None
            else pgbackrest.position(checks.text(lsn, "lsn", pgbackrest.LSN)),
        )

    @property
    def moment(self) -> datetime | None:
        """The moment, of a target in time."""
        return datetime.fromisoformat(self.value) if self.kind == "time" else None


def plan(machine: Machine, wish: Wish, data: Path) -> Mapping[str, object]:
    """Say what a restore would do, and all that stands against it.

    Args:
        machine: which this runs on; the leader says more than another one.
        wish: the target.
        data: PostgreSQL's data directory.

    Returns:
        {"machine", "leads", "backup", "size", "type", "completed_at", "windows", "archived_until",
        "segments", "missing", "timeline", "free", "needed", "problems": sentences}

    Raises:
        AgentError: the store gives no answer.
    """
    leads = patroni.leads(machine.name)
    where = _position(machine, data / "pg_wal") if leads else None
    ended = True
    if wish.kind == "xid" and wish.lsn is None and leads:
        before, ended = _transaction(machine, wish.value)
        wish = replace(wish, lsn=before)
    said = pgbackrest.info(machine.stanza)
    audited = wal_audit.look(machine.stanza, where, data / "pg_wal")
    files = pgbackrest.archived(machine.stanza, said.archive_id) if said.archive_id else {}
    backup = choose([one for one in audited.backups if one not in audited.unusable], wish)
    until = max((one.at for one in files.values()), default=None)
    needed = round(backup.size * SLACK) + SPARE_BYTES if backup else 0
    free = shutil.disk_usage(data.parent).free
    return {
        "machine": machine.name,
        "leads": leads,
        "backup": backup.label if backup else None,
        "type": backup.type if backup else None,
        "size": backup.size if backup else None,
        "completed_at": backup.completed_at.isoformat() if backup else None,
        "windows": [
            {"since": one.since.isoformat(), "to": one.to.isoformat() if one.to else None}
            for one in audited.windows
        ],
        "archived_until": until.isoformat() if until else None,
        "segments": audited.figures.get("segments_needed", 0),
        "missing": audited.figures.get("segments_missing", 0),
        "timeline": where.writes.timeline if where else wal_audit.newest_timeline(files),
        "free": free,
        "needed": needed,
        "problems": [
            *(
                problems(wish, backup, audited, where, datetime.now(UTC))
                if ended
                else [f"Transaction {wish.value} has not ended yet."]
            ),
            *_room(free, needed),
        ],
    }


def room(data: Path) -> Mapping[str, object]:
    """Say how many bytes are free where the database lies: {"free"}."""
    return {"free": shutil.disk_usage(data.parent).free}


def choose(backups: Sequence[Backup], wish: Wish) -> Backup | None:
    """Return the newest of `backups` that is whole before the target."""
    return pgbackrest.newest_before(backups, wish.moment, wish.lsn)


def problems(
    wish: Wish, backup: Backup | None, audited: Audit, where: Position | None, now: datetime
) -> Iterator[str]:
    """Yield what stands against a restore, each as a sentence."""
    moment = wish.moment
    end = (where.writes.number + 1) * SEGMENT_BYTES if where else None
    behind = wish.kind == "lsn" and wish.lsn is not None and end is not None and wish.lsn > end
    if behind or (moment is not None and moment > now):
        yield f"{wish.value} has not come yet."
        return
    if not audited.windows:
        yield "Nothing can be restored: no backup in the store has its write-ahead log."
        return
    if backup is None:
        first = audited.windows[0]
        yield (
            f"{wish.kind} {wish.value} lies before the first moment that can be restored,"
            f" {first.since:%Y-%m-%d %H:%M:%S} UTC."
        )
        return
    reach = next(one for one in reversed(audited.windows) if one.since <= backup.completed_at)
    if moment is not None and reach.to is not None and moment > reach.to:
        yield (
            f"The write-ahead log that backup {backup.label} needs is whole up to"
            f" {reach.to:%Y-%m-%d %H:%M:%S} UTC only; {wish.value} lies behind the hole."
        )
    elif moment is None and wish.lsn is not None:
        yield from _behind_a_hole(wish, wish.lsn, backup, audited)


def _behind_a_hole(wish: Wish, lsn: int, backup: Backup, audited: Audit) -> Iterator[str]:
    begin = Segment.parse(backup.wal_start).number
    hole = next((number for number in audited.broken if number >= begin), None)
    if hole is None:
        return
    whole = f"The write-ahead log that backup {backup.label} needs is whole up to"
    last = f"{hole * SEGMENT_BYTES >> 32:X}/{hole * SEGMENT_BYTES & 0xFFFFFFFF:X}"
    if lsn // SEGMENT_BYTES >= hole:
        yield f"{whole} {last} only; {wish.kind} {wish.value} lies behind the hole."
    elif wish.kind == "xid":  # where it committed is not known, only a place before it
        yield (
            f"{whole} {last} only, and transaction {wish.value} may have ended behind the hole;"
            " give a time or an LSN."
        )


def _room(free: int, needed: int) -> Iterator[str]:
    if free < needed:
        yield (
            f"The restored database needs {needed} bytes beside the old one, which is kept;"
            f" {free} are free."
        )


def _transaction(machine: Machine, transaction: str) -> tuple[int | None, bool]:
    """Return a place in the log before which a transaction has not ended, and whether it has."""
    with psycopg.connect(database.local_agent(machine.database), autocommit=True) as connection:
        row = connection.execute(
            "SELECT internal.canary_before_transaction(%(xid)s::xid8)::text,"
            " pg_catalog.pg_visible_in_snapshot(%(xid)s::xid8, pg_catalog.pg_current_snapshot())",
            {"xid": transaction},
        ).fetchone()
    before, ended = row or (None, False)
    return pgbackrest.position(before) if before else None, ended


def _position(machine: Machine, wal: Path) -> Position | None:
    with suppress(psycopg.Error, AgentError):
        conninfo = database.local_superuser(machine.database)
        with Connection.connect(conninfo, autocommit=True) as connection:
            return wal_audit.position(connection, wal)
    return None


def data_directory() -> Path:
    """PostgreSQL's data directory on a database machine."""
    return paths.WAL.parent
