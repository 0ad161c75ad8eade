"""Backups as the ledger asks for them: claim a row, run pgBackRest, report what is stored.

A row is leased. Whoever holds the lease runs pgBackRest and extends it meanwhile; when this agent
or its machine goes away, the lease ends and the agent of whichever machine leads then takes the row
over. What is reported comes from the repository itself, never from an exit status: a backup is
complete when `info` names it, with the row's id as its annotation and without damaged pages.

A failure that may pass (`pgbackrest.may_pass`) costs one of the row's three attempts, any other one
the row. The number of the attempt goes with whatever is said of a row: an attempt that was lost
cannot speak for the one that followed.
"""

import logging
import re
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO

import psycopg
from psycopg.types.json import Jsonb

from infra.agent import checks, patroni, pgbackrest, versions
from infra.agent.deadline import Connection
from infra.agent.errors import AgentError
from infra.agent.evidence import document
from infra.agent.facts import Machine
from infra.agent.pgbackrest import Backup, Stanza
from infra.agent.run import one_line

LEASE = "2 minutes"
SHORTEST_LEASE = "10 seconds"
AGAIN_AFTER = "5 minutes"  # the pause after a failure that may pass
EXTEND_EVERY = 30.0  # seconds
STOP_PATIENCE = 20.0  # seconds for pgBackRest to end after SIGTERM
MOST_ATTEMPTS = 3  # of one row, as the ledger allows
BACKUP_ID = re.compile(r"backup_[0-9]{8}_[0-9]{6}_[0-9]{6}\Z")

# SQLSTATEs of the ledger's functions.
NOT_OURS = "GC103"  # the lease ended and another machine took the row over
NOT_USABLE = "GC104"  # the ledger refuses what was reported

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Claim:
    """A row of the ledger that this machine holds, and the number of the attempt."""

    backup_id: str
    attempt: int


@dataclass
class _Running:
    claim: Claim
    process: subprocess.Popen[bytes]
    complaints: IO[bytes]
    extended: float


class Backups:
    """Takes at most one backup at a time, on the machine that leads."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._running: _Running | None = None

    @property
    def busy(self) -> bool:
        """Whether a backup runs here."""
        return self._running is not None

    def step(self, connection: Connection) -> None:
        """Claim a row, or look after the backup that runs; returns at once.

        Raises:
            AgentError: the repository or pgBackRest gives no answer; to be tried again.
            psycopg.Error: the database gives no answer; to be tried again.
        """
        if self._running is None:
            if patroni.leads(self._machine.name):
                self._claim(connection)
            return
        if not self._keep_lease(connection, self._running):
            log.warning("%s: somebody else has taken it over", self._running.claim.backup_id)
            self._terminate(self._running)
        elif self._running.process.poll() is not None:
            self._finish(connection, self._running)

    def reconcile(self, connection: Connection) -> None:
        """Make the ledger say what the repository holds, on the machine that leads.

        After a restore the ledger is as old as the moment that was restored.

        Raises:
            AgentError: the repository gives no answer; to be tried again.
            psycopg.Error: the database gives no answer; to be tried again.
        """
        if not patroni.leads(self._machine.name):
            return
        said = pgbackrest.info(self._machine.stanza)
        if said.code not in (pgbackrest.STATUS_OK, pgbackrest.STATUS_NO_BACKUP):
            raise AgentError(f"the ledger stays as it is: {said.message}")
        self._reconcile(connection, said)

    def _reconcile(self, connection: Connection, said: Stanza) -> None:
        stored = [
            {**result(made), "backup_id": known_id(made)}
            for made in said.backups
            if made.page_errors is False
        ]
        row = connection.execute("SELECT internal.adopt_backups(%s)", [Jsonb(stored)]).fetchone()
        if row is not None and row[0]:
            log.warning("the ledger did not know %d backups that the repository holds", row[0])
        connection.execute(
            "SELECT internal.expire_backups(%s)", [[backup.label for backup in said.backups]]
        )

    def stop(self, connection: Connection | None) -> None:
        """End a running backup and give its row back, for the leader of the next moment to take."""
        running = self._running
        if running is None:
            return
        self._terminate(running)
        log.warning("%s: stopped with the agent, another attempt follows", running.claim.backup_id)
        if connection is not None:
            self._extend(connection, running.claim, SHORTEST_LEASE)

    def _claim(self, connection: Connection) -> None:
        row = connection.execute(
            "SELECT backup_id, backup_type, attempt FROM internal.claim_backup(%s, %s::interval)",
            [self._machine.name, LEASE],
        ).fetchone()
        if row is None:
            return
        claim = Claim(
            checks.text(row[0], "backup_id", BACKUP_ID),
            checks.number(row[2], "attempt", 1, MOST_ATTEMPTS),
        )
        kind = pgbackrest.TYPES[checks.one_of(row[1], "backup_type", pgbackrest.TYPES)]
        try:
            said = pgbackrest.info(self._machine.stanza)
        except AgentError as error:
            self._fail(connection, claim, str(error), again=True)
            return
        made = backup_of(said, claim.backup_id)
        if made is None:
            self._start(claim, kind)
        else:  # the attempt before saw it through, but could not say so
            self._report(connection, claim, said, made)

    def _start(self, claim: Claim, kind: str) -> None:
        options = (f"--type={kind}", f"--annotation=backup_id={claim.backup_id}")
        complaints = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the backup has ended
        process = subprocess.Popen(
            pgbackrest.background("backup", self._machine.stanza, *options),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=complaints,
        )
        self._running = _Running(claim, process, complaints, time.monotonic())
        log.info("%s: %s backup begins, attempt %d", claim.backup_id, kind, claim.attempt)

    def _keep_lease(self, connection: Connection, running: _Running) -> bool:
        if time.monotonic() - running.extended < EXTEND_EVERY:
            return True
        if not self._extend(connection, running.claim, LEASE):
            return False
        running.extended = time.monotonic()
        return True

    def _finish(self, connection: Connection, running: _Running) -> None:
        """Report how the backup ended; kept and tried again while nobody answers."""
        claim = running.claim
        said = pgbackrest.info(self._machine.stanza)
        if said.code not in (pgbackrest.STATUS_OK, pgbackrest.STATUS_NO_BACKUP):
            raise AgentError(f"{claim.backup_id} has ended, but how is unknown: {said.message}")
        made = backup_of(said, claim.backup_id)
        try:
            if made is None:
                again = pgbackrest.may_pass(running.process.returncode)
                self._fail(connection, claim, _complaint(running), again=again)
            else:
                self._report(connection, claim, said, made)
        except psycopg.Error as error:
            if error.sqlstate != NOT_OURS:
                raise
            log.warning("%s: %s", claim.backup_id, error.diag.message_primary)
        running.complaints.close()
        self._running = None

    def _report(self, connection: Connection, claim: Claim, said: Stanza, made: Backup) -> None:
        if made.page_errors is False:
            self._complete(connection, claim, made)
        else:
            found = "damaged pages" if made.page_errors else "no page checksums"
            self._fail(
                connection,
                claim,
                f"pgBackRest found {found} in backup {made.label}: see `pgbackrest info"
                f" --set={made.label}` and repair the data files before the next backup",
                again=False,
            )
        self._reconcile(connection, said)

    def _complete(self, connection: Connection, claim: Claim, made: Backup) -> None:
        used = versions.here(connection)
        told = {**result(made), "evidence": evidence(made, self._machine.name, used)}
        try:
            connection.execute(
                "SELECT internal.complete_backup(%s, %s, %s, %s)",
                [claim.backup_id, self._machine.name, claim.attempt, Jsonb(told)],
            )
        except psycopg.Error as error:
            if error.sqlstate != NOT_USABLE:
                raise
            self._fail(connection, claim, one_line(str(error)), again=False)
        else:
            stored = made.stored
            log.info("%s: complete as %s, %d bytes stored", claim.backup_id, made.label, stored)

    def _fail(self, connection: Connection, claim: Claim, reason: str, *, again: bool) -> None:
        pause = AGAIN_AFTER if again else None
        row = connection.execute(
            "SELECT internal.fail_backup(%s, %s, %s, %s, %s::interval)",
            [claim.backup_id, self._machine.name, claim.attempt, reason, pause],
        ).fetchone()
        follows = row is not None and row[0] == "running"
        what = f"failed, another attempt follows in {pause}" if follows else "failed"
        log.error("%s: attempt %d %s: %s", claim.backup_id, claim.attempt, what, reason)

    def _extend(self, connection: Connection, claim: Claim, lease: str) -> bool:
        row = connection.execute(
            "SELECT internal.extend_backup_lease(%s, %s, %s, %s::interval)",
            [claim.backup_id, self._machine.name, claim.attempt, lease],
        ).fetchone()
        return row is not None and row[0] is True

    def _terminate(self, running: _Running) -> None:
        running.process.terminate()
        try:
            running.process.wait(STOP_PATIENCE)
        except subprocess.TimeoutExpired:
            running.process.kill()
            running.process.wait()
        running.complaints.close()
        self._running = None


def backup_of(said: Stanza, backup_id: str) -> Backup | None:
    """Return the backup in the repository that was made for ledger row `backup_id`, or None."""
    return next((made for made in said.backups if made.backup_id == backup_id), None)


def known_id(made: Backup) -> str | None:
    """Return the ledger's name of a backup, if it bears one that the ledger could have given."""
    name = made.backup_id
    return name if name is not None and BACKUP_ID.match(name) else None


def result(made: Backup) -> dict[str, object]:
    """Return what the ledger keeps of a backup without damaged pages; sizes in bytes, times UTC."""
    return {
        "label": made.label,
        "type": made.type,
        "backup_size_bytes": made.size,
        "repository_size_bytes": made.stored,
        "lsn_start": made.lsn_start,
        "lsn_stop": made.lsn_stop,
        "wal_start": made.wal_start,
        "wal_stop": made.wal_stop,
        "started_at": made.started_at.isoformat(),
        "completed_at": made.completed_at.isoformat(),
        "checksum_errors": 0,
    }


def evidence(made: Backup, node: str, used: Mapping[str, str]) -> dict[str, object]:
    """Return the document of a backup that was stored without damaged pages."""
    return document(
        "backup", node=node, versions=used, began=made.started_at, ended=made.completed_at,
        figures={
            "backup_size_bytes": made.size, "repository_size_bytes": made.stored,
            "checksum_errors": 0,
        },
        findings=[], label=made.label, type=made.type,
        lsn=[made.lsn_start, made.lsn_stop], wal=[made.wal_start, made.wal_stop],
    )  # fmt: skip


def _complaint(running: _Running) -> str:
    running.complaints.seek(0)
    said = pgbackrest.reason(running.complaints.read().decode(errors="replace"))
    status = running.process.returncode
    return f"pgbackrest backup ended with status {status} and left no backup: {said or 'no reason'}"
