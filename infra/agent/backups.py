"""Backups as the ledger asks for them: claim a row, run pgBackRest, report what is stored.

A row is leased. Whoever holds the lease runs pgBackRest and extends it meanwhile; when this agent
or its machine goes away, the lease ends and the agent of whichever machine leads then takes the row
over. What is reported comes from the repository itself, never from an exit status: a backup is
complete when `info` names it, with the row's id as its annotation and without damaged pages.
"""

import logging
import re
import subprocess
import tempfile
import time
from dataclasses import dataclass
from typing import IO, Any

import psycopg
from psycopg.types.json import Jsonb

from infra.agent import checks, patroni, pgbackrest
from infra.agent.errors import AgentError
from infra.agent.facts import Machine
from infra.agent.pgbackrest import Backup, Stanza
from infra.agent.run import one_line

LEASE = "2 minutes"
SHORTEST_LEASE = "10 seconds"
EXTEND_EVERY = 30.0  # seconds
STOP_PATIENCE = 20.0  # seconds for pgBackRest to end after SIGTERM
BACKUP_ID = re.compile(r"backup_[0-9]{8}_[0-9]{6}_[0-9]{6}\Z")

# SQLSTATEs of the ledger's functions.
NOT_OURS = "GC103"  # the lease ended and another machine took the row over
NOT_USABLE = "GC104"  # the ledger refuses what was reported

Connection = psycopg.Connection[tuple[Any, ...]]

log = logging.getLogger(__name__)


@dataclass
class _Running:
    backup_id: str
    process: subprocess.Popen[bytes]
    complaints: IO[bytes]
    extended: float


class Backups:
    """Takes at most one backup at a time, on the machine that leads."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._running: _Running | None = None

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
            log.warning("%s: somebody else has taken it over", self._running.backup_id)
            self._terminate(self._running)
        elif self._running.process.poll() is not None:
            self._finish(connection, self._running)

    def stop(self, connection: Connection | None) -> None:
        """End a running backup and give its row back, for the leader of the next moment to take."""
        running = self._running
        if running is None:
            return
        self._terminate(running)
        log.warning("%s: stopped with the agent, another attempt follows", running.backup_id)
        if connection is not None:
            _extend(connection, running.backup_id, self._machine.name, SHORTEST_LEASE)

    def _claim(self, connection: Connection) -> None:
        row = connection.execute(
            "SELECT backup_id, backup_type FROM internal.claim_backup(%s, %s::interval)",
            [self._machine.name, LEASE],
        ).fetchone()
        if row is None:
            return
        try:
            backup_id = checks.text(row[0], "backup_id", BACKUP_ID)
            kind = pgbackrest.TYPES[checks.one_of(row[1], "backup_type", pgbackrest.TYPES)]
            said = pgbackrest.info(self._machine.stanza)
            made = backup_of(said, backup_id)
            if made is None:
                self._start(backup_id, kind)
            else:  # the agent before us saw it through, but could not say so
                self._report(connection, backup_id, said, made)
        except AgentError as error:
            self._fail(connection, str(row[0]), str(error))

    def _start(self, backup_id: str, kind: str) -> None:
        options = (f"--type={kind}", f"--annotation=backup_id={backup_id}")
        complaints = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the backup has ended
        process = subprocess.Popen(
            pgbackrest.command("backup", self._machine.stanza, *options),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=complaints,
        )
        self._running = _Running(backup_id, process, complaints, time.monotonic())
        log.info("%s: %s backup begins", backup_id, kind)

    def _keep_lease(self, connection: Connection, running: _Running) -> bool:
        if time.monotonic() - running.extended < EXTEND_EVERY:
            return True
        if not _extend(connection, running.backup_id, self._machine.name, LEASE):
            return False
        running.extended = time.monotonic()
        return True

    def _finish(self, connection: Connection, running: _Running) -> None:
        """Report how the backup ended; kept and tried again while nobody answers."""
        said = pgbackrest.info(self._machine.stanza)
        if said.code not in (pgbackrest.STATUS_OK, pgbackrest.STATUS_NO_BACKUP):
            raise AgentError(f"{running.backup_id} has ended, but how is unknown: {said.message}")
        made = backup_of(said, running.backup_id)
        try:
            if made is None:
                self._fail(connection, running.backup_id, _complaint(running))
            else:
                self._report(connection, running.backup_id, said, made)
        except psycopg.Error as error:
            if error.sqlstate != NOT_OURS:
                raise
            log.warning("%s: %s", running.backup_id, error.diag.message_primary)
        running.complaints.close()
        self._running = None

    def _report(self, connection: Connection, backup_id: str, said: Stanza, made: Backup) -> None:
        if made.page_errors is False:
            self._complete(connection, backup_id, made)
        else:
            found = "damaged pages" if made.page_errors else "no page checksums"
            self._fail(
                connection,
                backup_id,
                f"pgBackRest found {found} in backup {made.label}: see `pgbackrest info"
                f" --set={made.label}` and repair the data files before the next backup",
            )
        connection.execute(
            "SELECT internal.expire_backups(%s)", [[backup.label for backup in said.backups]]
        )

    def _complete(self, connection: Connection, backup_id: str, made: Backup) -> None:
        try:
            connection.execute(
                "SELECT internal.complete_backup(%s, %s, %s)",
                [backup_id, self._machine.name, Jsonb(result(made))],
            )
        except psycopg.Error as error:
            if error.sqlstate != NOT_USABLE:
                raise
            self._fail(connection, backup_id, one_line(str(error)))
        else:
            log.info("%s: complete as %s, %d bytes stored", backup_id, made.label, made.stored)

    def _fail(self, connection: Connection, backup_id: str, reason: str) -> None:
        log.error("%s: failed: %s", backup_id, reason)
        connection.execute(
            "SELECT internal.fail_backup(%s, %s, %s)", [backup_id, self._machine.name, reason]
        )

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


def _extend(connection: Connection, backup_id: str, node: str, lease: str) -> bool:
    row = connection.execute(
        "SELECT internal.extend_backup_lease(%s, %s, %s::interval)", [backup_id, node, lease]
    ).fetchone()
    return row is not None and row[0] is True


def _complaint(running: _Running) -> str:
    running.complaints.seek(0)
    said = pgbackrest.reason(running.complaints.read().decode(errors="replace"))
    status = running.process.returncode
    return f"pgbackrest backup ended with status {status} and left no backup: {said or 'no reason'}"
