"""Who is in the way: watches, from a second connection, whom our session waits for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from guestcomms import db
from guestcomms.errors import GuestcommsError

Tell = Callable[[str], None]
PATIENCE_SECONDS = 0.3
"""Whoever waits shorter than this needs no watching: no second connection is opened."""
INTERVAL_SECONDS = 0.5


@dataclass(frozen=True)
class Blocker:
    """A session that holds what ours waits for."""

    pid: int
    login: str | None
    application: str | None
    state: str | None
    transaction_seconds: int | None
    query: str | None

    def __str__(self) -> str:
        age = "" if self.transaction_seconds is None else f", open for {self.transaction_seconds} s"
        query = " ".join((self.query or "").split())
        return (
            f"pid {self.pid} ({self.login or 'unknown login'}, {self.application or 'no name'},"
            f" {self.state or 'state unknown'}{age}): {query[:120] or 'query not visible'}"
        )


class Watch:
    """Context manager: while it lasts, remembers and tells who blocks `pid`."""

    def __init__(self, dsn: str, pid: int, tell: Tell) -> None:
        self._dsn, self._pid, self._tell = dsn, pid, tell
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.last: tuple[Blocker, ...] = ()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        if self._done.wait(PATIENCE_SECONDS):
            return
        try:
            with db.connect(
                self._dsn, application_name="guestcomms migrate: watch", autocommit=True
            ) as connection:
                while not self._done.is_set():
                    self._look(connection)
                    self._done.wait(INTERVAL_SECONDS)
        except (GuestcommsError, db.DatabaseError):
            # Only the explanation is lost: the statement itself ends by its own time limit.
            self._tell("cannot watch who is in the way (no second connection)")

    def _look(self, connection: db.Connection) -> None:
        found = blockers_of(connection, self._pid)
        if found and {one.pid for one in found} != {one.pid for one in self.last}:
            self._tell(f"waiting for {'; '.join(map(str, found))}")
        self.last = found or self.last


def blockers_of(connection: db.Connection, pid: int) -> tuple[Blocker, ...]:
    """The sessions that block backend `pid` now."""
    rows = db.rows(
        connection,
        """
        SELECT blocker.pid, activity.usename AS login, activity.application_name AS application,
            activity.state, activity.query,
            extract(epoch FROM clock_timestamp() - activity.xact_start)::int AS transaction_seconds
        FROM unnest(pg_blocking_pids(%s)) AS blocker (pid)
        LEFT JOIN pg_stat_activity AS activity ON activity.pid = blocker.pid
        ORDER BY activity.xact_start
        """,
        (pid,),
    )
    return tuple(Blocker(**row) for row in rows)
