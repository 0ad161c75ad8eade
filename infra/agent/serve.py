"""`serve`: the agent's standing duties, one after the other in one loop.

Each duty has its own pace. One that fails is tried again with growing pauses and says so once;
the others go on. On SIGTERM the loop ends: a running backup is stopped and its row given back, so
that the agent of whichever machine leads next takes it (see `backups`).

Whatever a duty asks has a deadline (`deadline`, and each program's own), so a server that freezes
holds up a duty for seconds and the loop never for good.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import psycopg

from infra.agent import database, facts, monitor
from infra.agent.abandoned import AbandonedStart
from infra.agent.archive import Archive
from infra.agent.backups import Backups
from infra.agent.deadline import Connection
from infra.agent.drills import Drills
from infra.agent.errors import AgentError
from infra.agent.facts import Machine
from infra.agent.leadership import EtcdLeadership
from infra.agent.pools import Pools
from infra.agent.repository_checks import RepositoryChecks
from infra.agent.run import one_line

TICK = 2.0  # seconds between two rounds; a request cuts it short
LONGEST_PAUSE = 15.0
RECONCILE = 300.0  # seconds between two comparisons of ledger and repository
BACKUPS, DRILLS = "guestcomms_backup", "guestcomms_drill"  # channels where requests are heard

log = logging.getLogger(__name__)


@dataclass
class Duty:
    """Something to do every `interval` seconds."""

    name: str
    interval: float
    act: Callable[[], None]
    due: float = 0.0
    pause: float = 0.0
    complaint: str = ""

    def attend(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Do it if it is due; a failure is logged once and makes the next pause longer.

        The pause begins at its end: one that waits for the store leaves the others their turns.
        """
        if clock() < self.due:
            return
        try:
            self.act()
        except (AgentError, psycopg.Error, OSError) as error:
            self._failed(sentence(error))
        else:
            if self.complaint:
                log.info("%s: works again", self.name)
            self.pause, self.complaint = self.interval, ""
        self.due = clock() + self.pause

    def _failed(self, complaint: str) -> None:
        self.pause = min(max(self.interval, self.pause * 2), LONGEST_PAUSE)
        if complaint != self.complaint:
            log.warning("%s: %s", self.name, complaint)
        self.complaint = complaint


class Session:
    """One connection to the primary, made when it is needed and made again when it was lost."""

    def __init__(self, machine: Machine, channel: str) -> None:
        self._channel = channel
        self._conninfo = database.primary(machine.database_machines, machine.database)
        self._connection: Connection | None = None

    def alive(self) -> Connection | None:
        """Return the connection if there is one."""
        held = self._connection
        return None if held is None or held.closed else held

    def get(self) -> Connection:
        """Return the connection, made if need be.

        Raises:
            psycopg.Error: no machine is the primary, or it gives no answer.
        """
        held = self.alive()
        if held is None:
            held = Connection.connect(self._conninfo, autocommit=True)
            held.execute(f"LISTEN {self._channel}")
            self._connection = held
        return held

    def wait(self, seconds: float, stop: threading.Event) -> bool:
        """Wait, and return early with True when something is requested."""
        held = self.alive()
        if held is None:
            stop.wait(seconds)
            return False
        try:
            return bool(list(held.notifies(timeout=seconds, stop_after=1)))
        except psycopg.Error:
            stop.wait(seconds)  # the connection is lost: the next duty that needs it says so
            return False


def serve(machine: Machine, stop: threading.Event) -> None:
    """Attend to the duties of this machine until `stop` is set.

    Those of a database machine are backups, archive, pools, etcd's leadership and the monitor; the
    drill machine's are restores.
    """
    if machine.role == "drill":
        _serve_drills(machine, stop)
    else:
        _serve_database(machine, stop)


def _serve_drills(machine: Machine, stop: threading.Event) -> None:
    session = Session(machine, DRILLS)
    drills = Drills(machine, session.get, stop)
    duty = Duty("drills", TICK, drills.step)
    log.info("serving %s", machine.name)
    # Machines that come or go: systemd starts us again, between two drills.
    while not stop.is_set() and facts.machine() == machine:
        duty.attend()
        if session.wait(TICK, stop):
            duty.due = 0.0
    drills.stop()


def _serve_database(machine: Machine, stop: threading.Event) -> None:
    session = Session(machine, BACKUPS)
    backups, pools, leadership = Backups(machine), Pools(machine), EtcdLeadership(machine)
    archive, abandoned = Archive(machine), AbandonedStart(machine)
    repository = RepositoryChecks(machine)
    backup_duty = Duty("backups", TICK, lambda: backups.step(session.get()))
    check_duty = Duty("repository checks", TICK, lambda: repository.step(session.get()))
    duties = (
        Duty("etcd leadership", 5.0, leadership.step),
        Duty("abandoned start", 5.0, abandoned.step),
        Duty("archive", 5.0, archive.step),
        Duty("pools", 5.0, lambda: pools.step(session.get())),
        backup_duty,
        Duty("backup ledger", RECONCILE, lambda: backups.reconcile(session.get())),
        check_duty,
        Duty("monitor", 30.0, monitor.step),
    )
    log.info("serving %s", machine.name)
    while not stop.is_set():
        if not backups.busy and facts.machine() != machine:
            log.info("the machines of the cluster are others now: beginning anew")
            return  # systemd starts it again
        for duty in duties:
            duty.attend()
        if session.wait(TICK, stop):
            backup_duty.due = check_duty.due = 0.0
    Duty("backups", 0.0, lambda: backups.stop(session.alive())).attend()
    Duty("checks", 0.0, lambda: repository.stop(session.alive())).attend()


def sentence(error: Exception) -> str:
    """Return what went wrong as one line for the journal."""
    if isinstance(error, psycopg.errors.UndefinedFunction | psycopg.errors.InvalidSchemaName):
        return f"waits for the migrations: {error.diag.message_primary}"
    return one_line(str(error))
