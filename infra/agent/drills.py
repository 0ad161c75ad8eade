"""Restore drills as the ledger asks for them: restore a backup beside the cluster and compare it.

A drill that names no target makes one: it writes a canary, a named point into the write-ahead log,
another canary, and hashes what the tables hold at that point (see `contents`). It waits until the
store has the log up to there, restores the newest backup before the point, lets PostgreSQL recover
exactly to it, and then compares: position, canaries, content, every page and index. What it found
is reported finding by finding; the ledger's verdict follows from them.

A drill that could not be done (the store does not answer, the disk is too small) fails, without a
verdict. One that was done and went wrong refutes its backup.
"""

import logging
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from infra.agent import checks, contents, database, paths, pgbackrest
from infra.agent.contents import Expected
from infra.agent.copies import Copy, Reached, RecoveryError, RestoreError, Target
from infra.agent.deadline import Connection
from infra.agent.errors import AgentError
from infra.agent.facts import Machine
from infra.agent.pgbackrest import Backup
from infra.agent.run import one_line

LEASE = "2 minutes"
SHORTEST_LEASE = "10 seconds"
AGAIN_AFTER = "5 minutes"
EXTEND_EVERY = 30.0  # seconds
ARCHIVE_PATIENCE = 600.0  # seconds for the target to reach the store
ARCHIVE_PAUSE = 1.0
REPORT_PATIENCE = 300.0  # seconds to find a primary that hears the result
HASH_TIMEOUT = "2h"  # of one table
MOST_ATTEMPTS = 3
DRILL_ID = re.compile(r"drill_[0-9]{8}_[0-9]{6}_[0-9]{6}\Z")
KINDS = ("point", "name", "time", "lsn", "xid")
POINT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}\Z")
NUMBER = re.compile(r"[0-9]{1,18}\Z")
TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:]{8}\.[0-9]{6}\+00\Z")
SEGMENT = re.compile(r"[0-9A-F]{24}")
SHOWN = 3  # differences named in a finding
NOT_OURS = "GC103"

log = logging.getLogger(__name__)


class _FailedError(AgentError):
    """The drill cannot come to a verdict; `again` says whether another attempt may."""

    def __init__(self, message: str, *, again: bool) -> None:
        super().__init__(message)
        self.again = again


class _LostError(AgentError):
    """Another attempt has the drill, or the agent is to stop."""


@dataclass(frozen=True)
class Claim:
    """A drill that this machine holds, and the number of the attempt."""

    drill_id: str
    kind: str
    target: str
    inclusive: bool
    keep: bool
    attempt: int
    point_name: str | None
    lsn: int | None
    """Where the target lies in the log, or a position before it, if that is known."""


@dataclass(frozen=True)
class _Point:
    """A point that the drill made itself, and what is known of it."""

    name: str
    lsn: str
    canary_before: int
    canary_behind: int
    expected: Expected


@dataclass
class _Result:
    """What the drill found so far; times in seconds."""

    began: float = field(default_factory=time.monotonic)
    label: str | None = None
    restored_bytes: int | None = None
    archived_seconds: float | None = None
    restore_seconds: float | None = None
    recovery_seconds: float | None = None
    reached: Reached | None = None
    findings: list[dict[str, object]] = field(default_factory=list)

    def note(self, check: str, detail: str, *, passed: bool) -> None:
        """Add a finding."""
        self.findings.append({"check": check, "passed": passed, "detail": detail[:1000]})
        log.log(logging.INFO if passed else logging.ERROR, "%s: %s", check, detail)

    def as_json(self) -> dict[str, object]:
        """Return it as the ledger takes it."""
        reached = self.reached
        return {
            "label": self.label,
            "findings": self.findings,
            "reached_lsn": reached.lsn if reached else None,
            "reached_time": reached.time.isoformat() if reached and reached.time else None,
            "archived_seconds": self.archived_seconds,
            "restore_seconds": self.restore_seconds,
            "recovery_seconds": self.recovery_seconds,
            "total_seconds": time.monotonic() - self.began,
            "restored_bytes": self.restored_bytes,
        }


class Drills:
    """Does one drill at a time, from its claim to its end, and looks after copies that are kept."""

    def __init__(
        self, machine: Machine, connect: Callable[[], Connection], stop: threading.Event
    ) -> None:
        self._machine = machine
        self._connect = connect
        self._stop = stop
        self._kept: dict[str, Copy] = {}
        self._extended = 0.0
        self._step = ""

    def step(self) -> None:
        """Look after kept copies, then do the next drill if there is one.

        Raises:
            psycopg.Error: the database gives no answer; to be tried again.
        """
        self._tend()
        claim = self._claim()
        if claim is not None:
            self._run(claim)

    def stop(self) -> None:
        """End the copies that run; those that are kept start again with the agent."""
        for copy in self._kept.values():
            copy.halt()

    def _tend(self) -> None:
        """Destroy the copies that nobody keeps, start again those that somebody does."""
        rows = self._connect().execute(
            "SELECT drill_id FROM internal.kept_copies(%s) AS drill_id", [self._machine.name]
        )
        kept = {checks.text(row[0], "drill_id", DRILL_ID) for row in rows}
        paths.COPIES.mkdir(mode=0o700, parents=True, exist_ok=True)
        for home in sorted(paths.COPIES.iterdir()):
            copy = self._kept.get(home.name) or self._copy(home.name)
            if home.name not in kept:
                copy.destroy()
                self._kept.pop(home.name, None)
            elif not copy.runs():
                log.info("starting kept copy %s again", home.name)
                self._kept[home.name] = copy
                copy.start()

    def _copy(self, name: str) -> Copy:
        return Copy(name, self._machine.stanza, self._machine.database)

    def _claim(self) -> Claim | None:
        row = (
            self._connect()
            .execute(
                "SELECT drill_id, target_type, target, inclusive, keep, attempt,"
                " restore_point_name, target_lsn::text"
                " FROM internal.claim_drill(%s, %s::interval)",
                [self._machine.name, LEASE],
            )
            .fetchone()
        )
        if row is None:
            return None
        point, lsn = row[6], row[7]
        return Claim(
            drill_id=checks.text(row[0], "drill_id", DRILL_ID),
            kind=checks.one_of(row[1], "target_type", KINDS),
            target=str(row[2]),
            inclusive=row[3] is True,
            keep=row[4] is True,
            attempt=checks.number(row[5], "attempt", 1, MOST_ATTEMPTS),
            point_name=None if point is None else checks.text(point, "point", POINT_NAME),
            lsn=None if lsn is None else position(checks.text(lsn, "lsn", pgbackrest.LSN)),
        )

    def _run(self, claim: Claim) -> None:
        result, copy = _Result(), self._copy(claim.drill_id)
        log.info("%s: attempt %d begins", claim.drill_id, claim.attempt)
        try:
            self._drill(claim, copy, result)
            self._say(lambda connection: self._complete(connection, claim, result))
        except _LostError as error:
            log.warning("%s: %s", claim.drill_id, error)
            copy.destroy()
            return
        except (AgentError, psycopg.Error, OSError) as error:
            again = error.again if isinstance(error, _FailedError) else True
            reason = one_line(str(error))
            log.warning("%s: attempt %d failed: %s", claim.drill_id, claim.attempt, reason)
            copy.destroy()
            self._say(lambda connection: self._fail(connection, claim, reason, again=again))
            return
        if claim.keep and result.reached is not None:
            self._kept[copy.name] = copy
        else:
            copy.destroy()

    def _drill(self, claim: Claim, copy: Copy, result: _Result) -> None:
        """Do it all; what is found lies in `result`.

        Raises:
            AgentError, psycopg.Error, OSError: there is no verdict.
        """
        self._extended, self._step = time.monotonic(), ""
        point = self._make_point(claim, result)
        target = self._target(claim, point)
        backup = self._choose(claim, point)
        result.label, result.restored_bytes = backup.label, backup.size
        fits, free = copy.has_room(backup.size)
        if not fits:
            raise _FailedError(
                f"a database of {backup.size} bytes does not fit into the {free} bytes free in"
                f" {paths.COPIES}: give the drill machine a larger disk",
                again=False,
            )
        if not self._restore(claim, copy, target, result, backup):
            return
        self._beat(claim, "comparing")
        assert result.reached is not None  # noqa: S101 - _restore has just found it
        self._judge_position(claim, point, copy, result)
        self._judge_canaries(point, copy, result)
        if point is not None:
            self._judge_content(claim, point, copy, result)
        open_ways = copy.is_cut_off()
        result.note(
            "cut off",
            ", ".join(open_ways) or "no network, no archiving, no scheduled jobs",
            passed=not open_ways,
        )
        self._beat(claim, "checking pages and indexes")
        wrong = copy.check_pages(lambda: self._beat(claim))
        result.note(
            "pages and indexes",
            one_line(wrong) or "pg_amcheck found nothing wrong",
            passed=not wrong,
        )

    def _make_point(self, claim: Claim, result: _Result) -> _Point | None:
        """Write what the drill is to stop at; for another target, just see that the store has it.

        Raises:
            _FailedError: the store does not get the log.
        """
        if claim.kind != "point":
            self._write_canary(claim)
            row = self._connect().execute("SELECT pg_catalog.pg_current_wal_lsn()").fetchone()
            self._await_archive(claim, str(row[0]) if row else "")
            return None
        self._beat(claim, "writing a recovery point")
        with self._snapshot() as before, self._snapshot() as behind:
            canary_before = self._write_canary(claim)
            _take_snapshot(before)
            row = (
                self._connect()
                .execute(
                    "SELECT restore_point_name, lsn::text"
                    " FROM internal.mark_drill_point(%s, %s, %s)",
                    [claim.drill_id, self._machine.name, claim.attempt],
                )
                .fetchone()
            )
            _take_snapshot(behind)
            canary_behind = self._write_canary(claim)
            if row is None:
                raise _FailedError("the recovery point was not written", again=True)
            found = [
                contents.read(session, lambda table: self._beat(claim, f"hashing {table}"))
                for session in (before, behind)
            ]
        name = checks.text(row[0], "restore_point_name", POINT_NAME)
        lsn = checks.text(row[1], "lsn", pgbackrest.LSN)
        result.archived_seconds = self._await_archive(claim, lsn)
        return _Point(name, lsn, canary_before, canary_behind, contents.expected(*found))

    @contextmanager
    def _snapshot(self) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
        """A session that sees one moment; its statements may take as long as tables are large."""
        conninfo = database.primary(self._machine.database_machines, self._machine.database)
        with psycopg.connect(
            conninfo, options=f"-c statement_timeout={HASH_TIMEOUT}"
        ) as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            yield connection

    def _write_canary(self, claim: Claim) -> int:
        row = (
            self._connect()
            .execute("SELECT canary_id FROM internal.write_canary(%s)", [claim.drill_id])
            .fetchone()
        )
        return checks.number(row[0] if row else None, "canary_id", 1, 2**62)

    def _await_archive(self, claim: Claim, lsn: str) -> float:
        """Wait until the store has the log up to `lsn`, and return the seconds that took.

        Raises:
            _FailedError: it does not come.
        """
        began = time.monotonic()
        self._beat(claim, "waiting for the store to have the write-ahead log")
        wanted, archived = "", ""
        while time.monotonic() - began < ARCHIVE_PATIENCE:
            row = (
                self._connect()
                .execute(
                    "SELECT pg_catalog.pg_walfile_name(%s), last_archived_wal"
                    " FROM pg_catalog.pg_stat_archiver",
                    [lsn],
                )
                .fetchone()
            )
            wanted, archived = (str(part) for part in row or ("", ""))
            if SEGMENT.match(archived) and archived[:24] >= wanted:
                return time.monotonic() - began
            self._beat(claim)
            time.sleep(ARCHIVE_PAUSE)
        raise _FailedError(
            f"WAL segment {wanted} is not in the store after {ARCHIVE_PATIENCE:g} s, the last one"
            f" there is {archived}: see why archiving is late",
            again=True,
        )

    def _target(self, claim: Claim, point: _Point | None) -> Target:
        if point is not None:
            return Target("name", point.name)
        if claim.kind == "name":
            return Target("name", checks.text(claim.point_name, "point", POINT_NAME))
        patterns = {"time": TIME, "lsn": pgbackrest.LSN, "xid": NUMBER}
        value = checks.text(claim.target, claim.kind, patterns[claim.kind])
        return Target(claim.kind, value, claim.inclusive)

    def _choose(self, claim: Claim, point: _Point | None) -> Backup:
        """Return the newest backup that is whole before the target; pgBackRest itself would guess.

        Raises:
            _FailedError: there is none.
        """
        self._beat(claim, "choosing a backup")
        said = pgbackrest.info(self._machine.stanza)
        lsn = claim.lsn if point is None else position(point.lsn)
        if claim.kind == "time":
            moment = datetime.fromisoformat(claim.target).replace(microsecond=0)
            fitting = [one for one in said.backups if one.completed_at < moment]
        elif lsn is not None:
            fitting = [one for one in said.backups if position(one.lsn_stop) <= lsn]
        else:
            fitting = []
        if not fitting:
            raise _FailedError(
                f"no backup in the store is whole before {claim.kind} {claim.target}"
                f" ({len(said.backups)} backups, {said.message})",
                again=said.code not in (pgbackrest.STATUS_OK, pgbackrest.STATUS_NO_BACKUP),
            )
        return max(fitting, key=lambda one: one.completed_at)

    def _restore(
        self, claim: Claim, copy: Copy, target: Target, result: _Result, backup: Backup
    ) -> bool:
        """Restore and recover; False where that went wrong in a way that refutes the backup."""
        began = time.monotonic()
        self._beat(claim, f"restoring {backup.label}")
        try:
            result.restore_seconds = copy.restore(backup.label, target, lambda: self._beat(claim))
        except RestoreError as error:
            if error.may_pass:
                raise
            result.note("restore", str(error), passed=False)
            return False
        self._beat(claim, f"recovering to {target.kind} {target.value}")
        copy.start()
        try:
            copy.wait(lambda: self._beat(claim))
            result.recovery_seconds = time.monotonic() - began
            result.reached = copy.reached()
        except RecoveryError as error:
            if target.kind == "xid":  # there may be no such commit: that refutes nothing
                raise _FailedError(str(error), again=False) from error
            result.note("recovery", str(error), passed=False)
            return False
        return True

    def _judge_position(
        self, claim: Claim, point: _Point | None, copy: Copy, result: _Result
    ) -> None:
        reached = result.reached
        assert reached is not None  # noqa: S101 - asked after recovery only
        where = f"recovery ended at {reached.lsn}, {reached.reason}"
        if point is not None or claim.kind == "name":
            wanted = position(point.lsn) if point else claim.lsn
            result.note("target", where, passed=position(reached.lsn) == wanted)
        elif claim.kind == "lsn":
            past = position(reached.lsn) > (claim.lsn or 0)
            at = position(reached.lsn) == claim.lsn
            result.note("target", where, passed=past if claim.inclusive else at or not past)
        elif claim.kind == "time":
            moment, last = datetime.fromisoformat(claim.target), reached.time
            right = last is not None and (last <= moment if claim.inclusive else last < moment)
            result.note("target", f"{where}, last commit {last}", passed=right)
        else:
            is_there = _committed(copy, claim.target)
            result.note(
                "target",
                f"{where}, transaction {claim.target} is {'in' if is_there else 'not in'} the copy",
                passed=is_there == claim.inclusive,
            )

    def _judge_canaries(self, point: _Point | None, copy: Copy, result: _Result) -> None:
        assert result.reached is not None  # noqa: S101 - asked after recovery only
        rows = self._connect().execute(
            "SELECT canary_id, is_expected FROM internal.canaries_at(%s)", [result.reached.lsn]
        )
        wanted = {int(row[0]): bool(row[1]) for row in rows}
        if point is not None:
            wanted |= {point.canary_before: True, point.canary_behind: False}
        with copy.connect() as connection:
            there = connection.execute("SELECT pg_catalog.to_regclass('internal.canaries')")
            listed = "SELECT canary_id FROM internal.canaries WHERE canary_id = ANY (%s)"
            found = (
                {row[0] for row in connection.execute(listed, [list(wanted)])}
                if there.fetchone() != (None,)
                else set()
            )
        missing = [one for one, expected in wanted.items() if expected and one not in found]
        extra = [one for one, expected in wanted.items() if not expected and one in found]
        present = sum(wanted.values())
        detail = f"{present} before the target are there, {len(wanted) - present} behind it not"
        if missing or extra:
            detail = f"missing {missing[:SHOWN]}, too many {extra[:SHOWN]}"
        result.note("canaries", detail, passed=not missing and not extra)

    def _judge_content(self, claim: Claim, point: _Point, copy: Copy, result: _Result) -> None:
        with copy.connect() as connection:
            found = contents.read(connection, lambda table: self._beat(claim, f"comparing {table}"))
        differ = contents.differences(point.expected, found)
        ranges, moving = len(point.expected.settled), len(point.expected.moving)
        detail = f"{point.expected.rows} rows in {ranges} ranges of keys are equal; {moving} ranges"
        detail += " changed while the point was written and are not compared"
        if differ:
            detail = f"{len(differ)} of {ranges} ranges differ: {'; '.join(differ[:SHOWN])}"
        result.note("content", detail, passed=not differ and point.expected.rows > 0)

    def _beat(self, claim: Claim, step: str | None = None) -> None:
        """Keep the lease and say what goes on; a database that does not answer is waited for.

        Raises:
            _LostError: the drill is another attempt's, or the agent is to stop.
        """
        if self._stop.is_set():
            self._extend(claim, SHORTEST_LEASE)
            raise _LostError("stopped with the agent, another attempt follows")
        changed = step is not None and step != self._step
        if not changed and time.monotonic() - self._extended < EXTEND_EVERY:
            return
        self._step = step or self._step
        self._extended = time.monotonic()
        if not self._extend(claim, LEASE):
            raise _LostError("somebody else has taken it over")

    def _extend(self, claim: Claim, lease: str) -> bool:
        try:
            row = (
                self._connect()
                .execute(
                    "SELECT internal.extend_drill_lease(%s, %s, %s, %s::interval, %s)",
                    [claim.drill_id, self._machine.name, claim.attempt, lease, self._step or "…"],
                )
                .fetchone()
            )
        except psycopg.Error as error:
            log.warning("%s: cannot extend the lease: %s", claim.drill_id, one_line(str(error)))
            return True
        return row is not None and row[0] is True

    def _say(self, report: Callable[[Connection], None]) -> None:
        """Report to whichever machine is the primary, for as long as one may be missing."""
        deadline = time.monotonic() + REPORT_PATIENCE
        while True:
            try:
                report(self._connect())
            except psycopg.Error as error:
                if error.sqlstate == NOT_OURS:
                    log.warning("%s", error.diag.message_primary)
                    return
                unheard = error.sqlstate is None or isinstance(error, psycopg.OperationalError)
                if not unheard or time.monotonic() > deadline or self._stop.is_set():
                    raise
                time.sleep(ARCHIVE_PAUSE)
            else:
                return

    def _complete(self, connection: Connection, claim: Claim, result: _Result) -> None:
        row = connection.execute(
            "SELECT internal.complete_drill(%s, %s, %s, %s)",
            [claim.drill_id, self._machine.name, claim.attempt, Jsonb(result.as_json())],
        ).fetchone()
        log.info("%s: %s", claim.drill_id, row[0] if row else "?")

    def _fail(self, connection: Connection, claim: Claim, reason: str, *, again: bool) -> None:
        connection.execute(
            "SELECT internal.fail_drill(%s, %s, %s, %s, %s::interval)",
            [
                claim.drill_id,
                self._machine.name,
                claim.attempt,
                reason,
                AGAIN_AFTER if again else None,
            ],
        )


def position(lsn: str) -> int:
    """Return a position of the write-ahead log as a number: what orders them."""
    high, low = lsn.split("/")
    return (int(high, 16) << 32) + int(low, 16)


def _take_snapshot(connection: psycopg.Connection[tuple[Any, ...]]) -> None:
    connection.execute("SELECT pg_catalog.pg_current_snapshot()")


def _committed(copy: Copy, transaction: str) -> bool:
    """Whether the copy has the commit of a transaction; it may not have heard of it at all."""
    with copy.connect() as connection:
        row = connection.execute(
            "SELECT CASE WHEN %s::xid8 < pg_catalog.pg_snapshot_xmax("
            "pg_catalog.pg_current_snapshot()) THEN pg_catalog.pg_xact_status(%s::xid8) END",
            [transaction, transaction],
        ).fetchone()
    return row == ("committed",)
