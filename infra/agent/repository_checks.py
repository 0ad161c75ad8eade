"""Checks of the backup repository as their ledger asks for them: WAL audits and verifications.

A row is leased, as a backup is (see `backups`). The work itself runs in a thread, because reading a
repository takes hours: the loop of duties goes on meanwhile and extends the lease. A check whose
machine goes away is made again by the machine that leads next.
"""

import logging
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from infra.agent import checks, paths, patroni, verification, versions, wal_audit
from infra.agent.backups import EXTEND_EVERY, LEASE, MOST_ATTEMPTS, NOT_OURS, SHORTEST_LEASE
from infra.agent.deadline import Connection
from infra.agent.errors import AgentError
from infra.agent.evidence import document
from infra.agent.facts import Machine
from infra.agent.wal_audit import Position

CHECK_ID = re.compile(r"check_[0-9]{8}_[0-9]{6}_[0-9]{6}\Z")
AGAIN_AFTER = "5 minutes"

log = logging.getLogger(__name__)

Evidence = dict[str, Any]


@dataclass
class _Running:
    check_id: str
    attempt: int
    extended: float
    thread: threading.Thread | None = None
    outcome: list[Evidence | Exception] = field(default_factory=list)


class RepositoryChecks:
    """Makes at most one check of each kind at a time, on the machine that leads."""

    def __init__(self, machine: Machine, wal: Path = paths.WAL) -> None:
        self._machine = machine
        self._wal = wal
        self._running: dict[str, _Running] = {}

    def step(self, connection: Connection) -> None:
        """Claim rows, or look after the checks that run; returns at once.

        Raises:
            psycopg.Error: the database gives no answer; to be tried again.
        """
        for kind in ("wal_audit", "verification"):
            running = self._running.get(kind)
            if running is None:
                if patroni.leads(self._machine.name):
                    self.claim(connection, kind)
            elif not self._keep_lease(connection, running):
                log.warning("%s: somebody else has taken it over", running.check_id)
                del self._running[kind]
            elif running.outcome:
                self._report(connection, running)
                del self._running[kind]

    def stop(self, connection: Connection | None) -> None:
        """Give the rows back, for the leader of the next moment to take."""
        for running in self._running.values():
            if connection is not None:
                self._extend(connection, running, SHORTEST_LEASE)

    def claim(self, connection: Connection, kind: str) -> bool:
        """Claim the next check of a kind and begin it; return whether there was one."""
        row = connection.execute(
            "SELECT check_id, attempt FROM internal.claim_backup_check(%s, %s, %s::interval)",
            [kind, self._machine.name, LEASE],
        ).fetchone()
        if row is None:
            return False
        running = _Running(
            checks.text(row[0], "check_id", CHECK_ID),
            checks.number(row[1], "attempt", 1, MOST_ATTEMPTS),
            time.monotonic(),
        )
        server = versions.server_of(connection)
        work = partial(verify, self._machine, server)
        if kind == "wal_audit":
            where = wal_audit.position(connection, self._wal)
            work = partial(audit, self._machine, self._wal, where, server)
        running.thread = threading.Thread(
            target=_work, args=(work, running.outcome), name=kind, daemon=True
        )
        self._running[kind] = running
        running.thread.start()
        log.info("%s: %s begins, attempt %d", running.check_id, kind, running.attempt)
        return True

    def _keep_lease(self, connection: Connection, running: _Running) -> bool:
        if time.monotonic() - running.extended < EXTEND_EVERY:
            return True
        running.extended = time.monotonic()
        return self._extend(connection, running, LEASE)

    def _report(self, connection: Connection, running: _Running) -> None:
        (outcome,) = running.outcome
        whose = [running.check_id, self._machine.name, running.attempt]
        try:
            if isinstance(outcome, dict):
                connection.execute(
                    "SELECT internal.complete_backup_check(%s, %s, %s, %s)",
                    [*whose, Jsonb(outcome)],
                )
                for finding in outcome["findings"]:
                    log.error("%s: %s", running.check_id, finding["what"])
                log.info("%s: %s", running.check_id, outcome["verdict"])
            else:
                connection.execute(
                    "SELECT internal.fail_backup_check(%s, %s, %s, %s, %s::interval)",
                    [*whose, str(outcome), AGAIN_AFTER],
                )
                log.error("%s: attempt %d failed: %s", running.check_id, running.attempt, outcome)
        except psycopg.Error as error:
            if error.sqlstate != NOT_OURS:
                raise
            log.warning("%s: %s", running.check_id, error.diag.message_primary)

    def _extend(self, connection: Connection, running: _Running, lease: str) -> bool:
        row = connection.execute(
            "SELECT internal.extend_backup_check_lease(%s, %s, %s, %s::interval)",
            [running.check_id, self._machine.name, running.attempt, lease],
        ).fetchone()
        return row is not None and row[0] is True


def audit(
    machine: Machine, wal: Path, where: Position | None, server: str | None = None
) -> Evidence:
    """Audit the WAL in the archive, and return the evidence.

    Raises:
        AgentError: the repository gives no answer.
    """
    began = datetime.now(UTC)
    made = wal_audit.look(machine.stanza, where, wal)
    return document(
        "wal_audit", node=machine.name, versions=versions.here(server=server), began=began,
        figures=made.figures, findings=made.findings,
        position=str(where.writes) if where else None,
        restorable=[
            {
                "since": one.since.isoformat(),
                "to": one.to.isoformat() if one.to else None,
                "backup": one.backup,
            }
            for one in made.windows
        ],
        timelines=made.timelines,
    )  # fmt: skip


def verify(machine: Machine, server: str | None = None) -> Evidence:
    """Verify every file in the repository, and return the evidence.

    Raises:
        AgentError: the repository gives no answer.
    """
    began = datetime.now(UTC)
    made = verification.look(machine.stanza)
    return document(
        "verification", node=machine.name, versions=versions.here(server=server), began=began,
        figures=made.figures, findings=made.findings,
        tool={"exit_status": made.tool_exit_status, "said": made.tool_said},
    )  # fmt: skip


def _work(work: Callable[[], Evidence], outcome: list[Evidence | Exception]) -> None:
    """Whatever happens leaves an outcome: a check without one would keep its lease for ever."""
    try:
        outcome.append(work())
    except (AgentError, OSError) as error:
        outcome.append(error)
    except Exception as error:
        log.exception("a check ended unexpectedly")
        outcome.append(AgentError(f"unexpectedly: {error!r}"))
