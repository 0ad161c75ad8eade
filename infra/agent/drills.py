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
from datetime import datetime
from typing import Any

import psycopg

from infra.agent import (
    checks,
    contents,
    database,
    drill_findings,
    drill_ledger,
    paths,
    pgbackrest,
    table_restores,
    versions,
    wal_audit,
)
from infra.agent.copies import Copy, Reached, RecoveryError, RestoreError, Target
from infra.agent.deadline import Connection
from infra.agent.drill_findings import Point, Result
from infra.agent.drill_ledger import DRILL_ID, POINT_NAME, Attempt, LateError, LostError
from infra.agent.errors import AgentError
from infra.agent.facts import Machine
from infra.agent.pgbackrest import Backup, position
from infra.agent.run import one_line
from infra.agent.table_restores import TableError, Wanted

ARCHIVE_PATIENCE = 600.0  # seconds for the target to reach the store
ARCHIVE_PAUSE = 1.0
HASH_TIMEOUT = "2h"  # of one table
PATIENCE = 2 * 3600.0  # seconds for a drill once its backup is chosen, and more by its size:
SLOWEST = 10e6  # bytes a second, for all steps together
NUMBER = re.compile(r"[0-9]{1,18}\Z")
TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:]{8}\.[0-9]{6}\+00\Z")
SEGMENT = re.compile(r"[0-9A-F]{24}")

log = logging.getLogger(__name__)


class _FailedError(AgentError):
    """The drill cannot come to a verdict; `again` says whether another attempt may."""

    def __init__(self, message: str, *, again: bool) -> None:
        super().__init__(message)
        self.again = again


class Drills:
    """Does one drill at a time, from its claim to its end, and looks after copies that are kept."""

    def __init__(
        self, machine: Machine, connect: Callable[[], Connection], stop: threading.Event
    ) -> None:
        self._machine = machine
        self._connect = connect
        self._stop = stop
        self._kept: dict[str, Copy] = {}

    def step(self) -> None:
        """Look after kept copies, then do the next drill if there is one.

        Raises:
            psycopg.Error: the database gives no answer; to be tried again.
        """
        self._tend()
        claim = drill_ledger.take(self._machine.name, self._connect())
        if claim is not None:
            self._run(Attempt(claim, self._machine.name, self._connect, self._stop))

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

    def _run(self, attempt: Attempt) -> None:
        claim, result = attempt.claim, Result()
        copy = self._copy(claim.drill_id)
        log.info("%s: attempt %d begins", claim.drill_id, claim.attempt)
        try:
            self._drill(attempt, copy, result)
            used = versions.here(self._connect())
            told = result.document(claim, self._machine.name, used)
            attempt.complete({**result.as_json(), "evidence": told})
        except LostError as error:
            log.warning("%s: %s", claim.drill_id, error)
            copy.destroy()
            return
        except (AgentError, psycopg.Error, OSError) as error:
            again = error.again if isinstance(error, _FailedError | LateError) else True
            reason = one_line(str(error))
            log.warning("%s: attempt %d failed: %s", claim.drill_id, claim.attempt, reason)
            copy.destroy()
            attempt.fail(reason, again=again)
            return
        if claim.keep and result.reached is not None:
            self._kept[copy.name] = copy
        else:
            copy.destroy()

    def _drill(self, attempt: Attempt, copy: Copy, result: Result) -> None:
        """Do it all; what is found lies in `result`.

        Raises:
            AgentError, psycopg.Error, OSError: there is no verdict.
        """
        point = self._make_point(attempt, result)
        target = _target(attempt, point)
        backup = self._choose(attempt, point)
        result.label, result.restored_bytes = backup.label, backup.size
        fits, free = copy.has_room(backup.size)
        if not fits:
            raise _FailedError(
                f"a database of {backup.size} bytes does not fit into the {free} bytes free in"
                f" {paths.COPIES}: give the drill machine a larger disk",
                again=False,
            )
        attempt.end_after(PATIENCE + backup.size / SLOWEST)
        reached = _restore(attempt, copy, target, result)
        if reached is None:
            return
        attempt.beat("comparing")
        drill_findings.judge_position(attempt.claim, point, copy, reached, result)
        canaries = self._expected_canaries(point, reached)
        drill_findings.judge_canaries(canaries, copy, result)
        if point is not None:
            drill_findings.judge_content(
                point, copy, result, lambda table: attempt.beat(f"comparing {table}")
            )
        drill_findings.judge_isolation(copy, result)
        wanted = table_restores.wanted(self._connect(), attempt.claim.drill_id)
        if wanted is not None:
            self._carry(wanted, attempt, copy, result)
            return
        attempt.beat("checking pages and indexes")
        drill_findings.judge_pages(copy, result, attempt.beat)

    def _carry(self, what: Wanted, attempt: Attempt, copy: Copy, result: Result) -> None:
        """Carry the rows of one table over; not those of another moment than was wanted.

        Raises:
            _FailedError: the copy has no such table or no such rows.
        """
        if not all(finding["passed"] for finding in result.findings):
            return
        attempt.beat(f"carrying rows of {what.table}")
        with self._session(table_restores.CARRY_TIMEOUT) as live:
            live.autocommit = True
            try:
                rows = table_restores.carry(what, copy, live, attempt.ours, attempt.beat)
            except TableError as error:
                raise _FailedError(str(error), again=False) from error
        result.note("table", f"{rows} rows of {what.table} are carried over", passed=True)

    def _make_point(self, attempt: Attempt, result: Result) -> Point | None:
        """Write what the drill is to stop at; for another target, just see that the store has it.

        Raises:
            _FailedError: the store does not get the log.
        """
        claim = attempt.claim
        if claim.kind != "point":
            self._write_canary(claim.drill_id)
            row = self._connect().execute("SELECT pg_catalog.pg_current_wal_lsn()").fetchone()
            self._await_archive(attempt, str(row[0]) if row else "")
            return None
        attempt.beat("writing a recovery point")
        with self._snapshot() as before, self._snapshot() as behind:
            canary_before = self._write_canary(claim.drill_id)
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
            canary_behind = self._write_canary(claim.drill_id)
            if row is None:
                raise _FailedError("the recovery point was not written", again=True)
            found = [
                contents.read(session, lambda table: attempt.beat(f"hashing {table}"))
                for session in (before, behind)
            ]
        name = checks.text(row[0], "restore_point_name", POINT_NAME)
        lsn = checks.text(row[1], "lsn", pgbackrest.LSN)
        result.archived_seconds = self._await_archive(attempt, lsn)
        return Point(name, lsn, canary_before, canary_behind, contents.expected(*found))

    @contextmanager
    def _snapshot(self) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
        """A session that sees one moment; its statements may take as long as tables are large."""
        with self._session(HASH_TIMEOUT) as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            yield connection

    def _session(self, timeout: str) -> psycopg.Connection[tuple[Any, ...]]:
        conninfo = database.primary(self._machine.database_machines, self._machine.database)
        return psycopg.connect(conninfo, options=f"-c statement_timeout={timeout}")

    def _write_canary(self, drill_id: str) -> int:
        row = (
            self._connect()
            .execute("SELECT canary_id FROM internal.write_canary(%s)", [drill_id])
            .fetchone()
        )
        return checks.number(row[0] if row else None, "canary_id", 1, 2**62)

    def _await_archive(self, attempt: Attempt, lsn: str) -> float:
        """Wait until the store has the log up to `lsn`, and return the seconds that took.

        Raises:
            _FailedError: it does not come.
        """
        began = time.monotonic()
        attempt.beat("waiting for the store to have the write-ahead log")
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
            attempt.beat()
            time.sleep(ARCHIVE_PAUSE)
        raise _FailedError(
            f"WAL segment {wanted} is not in the store after {ARCHIVE_PATIENCE:g} s, the last one"
            f" there is {archived}: see why archiving is late",
            again=True,
        )

    def _choose(self, attempt: Attempt, point: Point | None) -> Backup:
        """Return the newest backup that is whole before the target; pgBackRest itself would guess.

        Raises:
            _FailedError: there is none.
        """
        claim = attempt.claim
        attempt.beat("choosing a backup")
        said = pgbackrest.info(self._machine.stanza)
        # A backup of a timeline that was abandoned leads to nothing that the cluster ever was.
        usable = wal_audit.look(self._machine.stanza, None, paths.WAL).backups
        moment = datetime.fromisoformat(claim.target) if claim.kind == "time" else None
        lsn = claim.lsn if point is None else position(point.lsn)
        backup = pgbackrest.newest_before(usable, moment, lsn)
        if backup is None:
            raise _FailedError(
                f"no backup in the store is whole before {claim.kind} {claim.target}"
                f" ({len(said.backups)} backups, {said.message})",
                again=said.code not in (pgbackrest.STATUS_OK, pgbackrest.STATUS_NO_BACKUP),
            )
        return backup

    def _expected_canaries(self, point: Point | None, reached: Reached) -> dict[int, bool]:
        """Each canary that was ever written, and whether a copy that ends there must have it."""
        rows = self._connect().execute(
            "SELECT canary_id, is_expected FROM internal.canaries_at(%s)", [reached.lsn]
        )
        expected = {int(row[0]): bool(row[1]) for row in rows}
        if point is not None:
            expected |= {point.canary_before: True, point.canary_behind: False}
        return expected


def _take_snapshot(connection: psycopg.Connection[tuple[Any, ...]]) -> None:
    connection.execute("SELECT pg_catalog.pg_current_snapshot()")


def _target(attempt: Attempt, point: Point | None) -> Target:
    claim = attempt.claim
    if point is not None:
        return Target("name", point.name)
    if claim.kind == "name":
        return Target("name", checks.text(claim.point_name, "point", POINT_NAME))
    patterns = {"time": TIME, "lsn": pgbackrest.LSN, "xid": NUMBER}
    value = checks.text(claim.target, claim.kind, patterns[claim.kind])
    return Target(claim.kind, value, claim.inclusive)


def _restore(attempt: Attempt, copy: Copy, target: Target, result: Result) -> Reached | None:
    """Restore and recover, and return where that ended; None where it refutes the backup."""
    began = time.monotonic()
    label = str(result.label)
    attempt.beat(f"restoring {label}")
    try:
        result.restore_seconds = copy.restore(label, target, attempt.beat)
    except RestoreError as error:
        if error.may_pass:
            raise
        result.note("restore", str(error), passed=False)
        return None
    attempt.beat(f"recovering to {target.kind} {target.value}")
    copy.start()
    try:
        copy.wait(attempt.beat)
        result.recovery_seconds = time.monotonic() - began
        result.reached = copy.reached()
    except RecoveryError as error:
        if error.may_pass:  # what the copy did not get says nothing of the backup
            raise _FailedError(str(error), again=True) from error
        if target.kind == "xid":  # there may be no such commit: that refutes nothing
            raise _FailedError(str(error), again=False) from error
        result.note("recovery", str(error), passed=False)
        return None
    return result.reached
