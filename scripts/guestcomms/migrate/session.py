"""The one connection that migrates: direct, alone, as the owner.

The advisory lock lives in the same session as the work: whatever ends the process ends both, and
the server frees them. There is no lock row that somebody would have to clean up.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from guestcomms import db
from guestcomms.errors import BusyError, GuestcommsError, RefusedError, UnreachableError
from guestcomms.migrate.blockers import Tell, Watch

Result = TypeVar("Result")

OWNER = "comms_owner"
CRON = "guestcomms_cron"
"""Who schedules jobs, and as whom they run."""
LOCK_KEY = 0x67756573  # "gues": any number that no other program takes in this database
SEARCH_PATH = "pg_catalog, pg_temp"
"""A name without its schema is an error, not a guess; and the catalogue prints full names."""
IN_THE_WAY = (db.sqlstates.LockNotAvailable, db.sqlstates.DeadlockDetected)


@dataclass(frozen=True)
class Patience:
    """How long to wait for others, in seconds, and how often to try again.

    Waiting for a lock stops everybody who comes after in the lock's queue, readers too: short
    waits, repeated, let them pass in between.
    """

    lock_timeout: float = 2
    attempts: int = 10
    pause: float = 5
    other_run: float = 600


@dataclass(frozen=True)
class Session:
    """A connection that may change the schema, and what is needed to explain why it waits."""

    connection: db.Connection
    dsn: str
    patience: Patience
    tell: Tell

    @property
    def target(self) -> str:
        """The database, for people."""
        return db.describe(self.dsn)

    def patiently(self, what: str, action: Callable[[], Result]) -> Result:
        """Run `action`, and again when a lock is not free or a deadlock was broken.

        `action` must leave nothing behind when it fails. Raises `BusyError`, which names who held
        the lock, after the last attempt.
        """
        attempt, attempts = 1, self.patience.attempts
        while True:
            watch = Watch(self.dsn, self.connection.info.backend_pid, self.tell)
            try:
                with watch:
                    return action()
            except IN_THE_WAY as error:
                if attempt >= attempts:
                    holders = "; ".join(map(str, watch.last)) or db.first_line(error)
                    raise BusyError(
                        f"{what} could not get its lock in {attempts} attempts, held by {holders};"
                        " nothing of it was applied: end that session (SELECT"
                        " pg_terminate_backend(pid)), or run the command again when it is done."
                    ) from error
            self.tell(
                f"{what}: lock not free within {self.patience.lock_timeout:g} s, attempt {attempt}"
                f" of {attempts}, next in {self.patience.pause:g} s"
            )
            time.sleep(self.patience.pause)
            attempt += 1


def look_as_owner(connection: db.Connection) -> None:
    """See what the owner sees, until the connection ends."""
    connection.execute(db.sql.SQL("SET ROLE {}").format(db.sql.Identifier(OWNER)))


def become(connection: db.Connection, role: str) -> None:
    """Act as another role until the end of the transaction."""
    connection.execute(db.sql.SQL("SET LOCAL ROLE {}").format(db.sql.Identifier(role)))


@contextmanager
def open_session(dsn: str, patience: Patience, tell: Tell) -> Iterator[Session]:
    """Connect, wait until no other run is going on, become the owner.

    Raises `RefusedError` for a pooler, a standby or a login that may not become the owner,
    `BusyError` if another run does not end in time, `UnreachableError` if the connection breaks.
    """
    with connect(dsn) as connection:
        _prepare(connection, patience)
        session = Session(connection, dsn, patience, tell)
        _wait_for_other_runs(session)
        _become_owner(session)
        yield session


@contextmanager
def connect(dsn: str) -> Iterator[db.Connection]:
    """A direct connection; whatever the database says that nobody expected becomes one sentence."""
    connection = db.connect(dsn, application_name="guestcomms migrate", autocommit=True)
    try:
        with connection:
            _check_direct(connection, dsn)
            connection.execute("SELECT set_config('search_path', %s, false)", (SEARCH_PATH,))
            yield connection
    except db.DatabaseError as error:
        said = db.first_line(error)
        if connection.broken:
            raise UnreachableError(
                f"The connection to {db.describe(dsn)} broke ({said}); what was begun is rolled"
                " back: run the command again."
            ) from error
        raise GuestcommsError(
            f"{db.describe(dsn)} refused: {said};"
            " `.venv/bin/guestcomms --debug migrate …` shows where."
        ) from error


def _check_direct(connection: db.Connection, dsn: str) -> None:
    # A pooler invents the process id it gives to clients: it is not that of the server process.
    if connection.info.backend_pid != db.one_value(connection, "SELECT pg_backend_pid()"):
        raise RefusedError(
            f"{db.describe(dsn)} is reached through a connection pooler, and migrations need a"
            " session of their own; connect to PostgreSQL itself"
            " (`.venv/bin/guestcomms dsn --role migrator --direct`)."
        )


def _prepare(connection: db.Connection, patience: Patience) -> None:
    settings = {
        "lock_timeout": f"{int(patience.lock_timeout * 1000)}ms",
        "statement_timeout": "0",
        "idle_in_transaction_session_timeout": "60s",
        # A run that was killed must not go on waiting for a lock.
        "client_connection_check_interval": "1s",
        "client_min_messages": "warning",
    }
    for name, value in settings.items():
        connection.execute("SELECT set_config(%s, %s, false)", (name, value))


def _wait_for_other_runs(session: Session) -> None:
    connection = session.connection
    deadline = time.monotonic() + session.patience.other_run
    told = False
    while not db.one_value(connection, "SELECT pg_try_advisory_lock(%s)", (LOCK_KEY,)):
        holder = _holder(connection)
        if time.monotonic() >= deadline:
            raise BusyError(
                f"Another migration of {session.target} runs since more than"
                f" {session.patience.other_run:g} s ({holder}); wait for it, or end its session."
            )
        if not told:
            session.tell(f"another migration runs ({holder}); waiting for it to end")
            told = True
        time.sleep(0.1)


def _holder(connection: db.Connection) -> str:
    found = db.rows(
        connection,
        """
        SELECT lock.pid, activity.usename AS login, activity.client_addr AS address
        FROM pg_locks AS lock LEFT JOIN pg_stat_activity AS activity ON activity.pid = lock.pid
        WHERE lock.locktype = 'advisory' AND lock.classid = 0 AND lock.objid = %s AND lock.granted
            AND lock.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        """,
        (LOCK_KEY,),
    )
    return ", ".join(f"pid {row['pid']} of {row['login']}" for row in found) or "just ended"


def _become_owner(session: Session) -> None:
    connection = session.connection
    if db.one_value(connection, "SELECT pg_is_in_recovery()"):
        raise RefusedError(
            f"{session.target} is a standby; connect to the leader"
            " (`.venv/bin/guestcomms dsn --role migrator --direct`)."
        )
    try:
        look_as_owner(connection)
    except db.sqlstates.InsufficientPrivilege:
        login = db.one_value(connection, "SELECT session_user")
        raise RefusedError(
            f'Login "{login}" may not become {OWNER}, who owns the schema; connect as a member of'
            " comms_migrator (`.venv/bin/guestcomms dsn --role migrator --direct`)."
        ) from None
