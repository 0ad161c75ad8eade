"""Writers that record every acknowledgement outside the database under test.

Each writer has its own sequence, and sends a number once: the table has no unique key, so that a
write that was done twice would show. A write is `acked` only if the server confirmed it and did not
warn that it gave up waiting for a standby: PostgreSQL then reports success for a commit that is on
one machine only (https://www.postgresql.org/docs/17/runtime-config-wal.html, synchronous_commit).
Whatever else happened is `unknown`: it may or may not be there afterwards.
"""

from __future__ import annotations

import itertools
import os
import queue
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple, Self

import psycopg

CANCELLED_WAIT = "canceling wait for synchronous replication"
PAUSE_SECONDS = 0.01
RECONNECT_SECONDS = 0.1

TABLE = "public.write_ledger"
CREATE = f"""
SET ROLE comms_owner;
CREATE TABLE IF NOT EXISTS {TABLE} (writer int, number int);
GRANT SELECT, INSERT ON {TABLE} TO comms_app;
"""
DROP = f"SET ROLE comms_owner; DROP TABLE IF EXISTS {TABLE}"
TIMELINE = "pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8)"
POSITION = "(pg_catalog.pg_current_wal_insert_lsn() - '0/0'::pg_catalog.pg_lsn)::bigint"

Key = tuple[int, int]


class Ack(NamedTuple):
    """An acknowledged write: when it was sent and confirmed (Unix time), and on which timeline.

    `lsn` is a position of the write-ahead log (bytes) before its commit, and behind those of all
    earlier writes of the same writer.
    """

    writer: int
    number: int
    sent: float
    at: float
    timeline: int
    lsn: int = 0

    @property
    def key(self) -> Key:
        """What the row holds."""
        return self.writer, self.number


@dataclass
class Record:
    """What the writers saw: acknowledged writes with their times, and what else became of some."""

    acked: dict[Key, Ack] = field(default_factory=dict)
    errors: int = 0
    cancelled: int = 0
    """Confirmed with the warning that no standby had them: not acknowledged."""

    def add(self, other: Record) -> None:
        """Count what other writers saw as well."""
        self.acked |= other.acked
        self.errors += other.errors
        self.cancelled += other.cancelled

    @property
    def moments(self) -> list[float]:
        """When acknowledgements came, in order."""
        return sorted(ack.at for ack in self.acked.values())

    @property
    def seconds(self) -> float:
        """From the first acknowledgement to the last."""
        moments = self.moments
        return moments[-1] - moments[0]

    @property
    def longest_gap(self) -> float:
        """The longest time, in seconds, in which no writer got an acknowledgement."""
        return max(self.gaps())

    def gaps(self, least: float = 0.0) -> list[float]:
        """The times between two acknowledgements of whichever writers, from `least` seconds on."""
        return [seconds for _, seconds in self.silences(least)]

    def silences(self, least: float) -> list[tuple[float, float]]:
        """The same with the moment at which each began, in seconds since the epoch."""
        pairs = itertools.pairwise(self.moments)
        return [(earlier, later - earlier) for earlier, later in pairs if later - earlier >= least]


class Journal:
    """A file of acknowledgements, each safely on disk within moments of its arrival."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._queue: queue.SimpleQueue[Ack | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._keep, daemon=True)
        self._thread.start()

    def note(self, ack: Ack) -> None:
        """Have one written."""
        self._queue.put(ack)

    def close(self) -> None:
        """Return once everything is on disk."""
        self._queue.put(None)
        self._thread.join()

    def _keep(self) -> None:
        with self._path.open("w", encoding="ascii") as file:
            last = False
            while not last:
                # One fsync for all that came in meanwhile.
                noted = [self._queue.get()]
                while not self._queue.empty():
                    noted.append(self._queue.get())
                last = None in noted
                file.writelines(",".join(map(repr, ack)) + "\n" for ack in noted if ack is not None)
                file.flush()
                os.fsync(file.fileno())


def read_journal(path: Path) -> list[Ack]:
    """The acknowledgements of a journal; a line that a kill cut off is not one."""
    lines = path.read_text("ascii").splitlines(keepends=True)
    found = []
    for line in lines:
        if line.endswith("\n"):
            writer, number, sent, at, *place = line.split(",")
            found.append(Ack(int(writer), int(number), float(sent), float(at), *map(int, place)))
    return found


class Writers:
    """Threads that insert through the front door until they are stopped."""

    def __init__(
        self,
        dsn: str,
        count: int,
        journal: Path | None = None,
        *,
        first: int = 1,
        pause: float = PAUSE_SECONDS,
    ) -> None:
        """`dsn` is a connection string of an application's login; `count` the threads, numbered
        from `first`; `pause` the seconds from each one's write to its next.

        With `journal` acknowledgements are written there as well, one fsync for a handful.
        """
        self._dsn = dsn
        self._pause = pause
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._journal = Journal(journal) if journal else None
        self.record = Record()
        self._threads = [
            threading.Thread(target=self._write, args=(number,), daemon=True)
            for number in range(first, first + count)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    @property
    def stopped(self) -> bool:
        """Whether they were told to stop."""
        return self._stop.is_set()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Let each end after the write it is at; everything is recorded then."""
        if self._stop.is_set():
            return
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=60)
        if self._journal:
            self._journal.close()

    def wait_for(self, more: int, timeout_seconds: float) -> None:
        """Return once `more` further writes are acknowledged.

        Raises:
            TimeoutError: they are not within `timeout_seconds`.
        """
        target = len(self.record.acked) + more
        deadline = time.monotonic() + timeout_seconds
        while len(self.record.acked) < target:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(self.record.acked)} of {target} writes acknowledged")
            time.sleep(0.05)

    def _write(self, writer: int) -> None:
        number = 0
        while not self._stop.is_set():
            try:
                with psycopg.connect(
                    self._dsn, autocommit=True, connect_timeout=3, prepare_threshold=None,
                    keepalives_idle=5, keepalives_interval=2, keepalives_count=2,
                    tcp_user_timeout=5000,
                ) as connection:  # fmt: skip
                    warnings: list[str] = []
                    connection.add_notice_handler(partial(_keep, warnings))
                    while not self._stop.is_set():
                        number += 1
                        self._insert(connection, writer, number, warnings)
                        self._stop.wait(self._pause)
            except psycopg.Error:
                with self._lock:
                    self.record.errors += 1
                self._stop.wait(RECONNECT_SECONDS)

    def _insert(
        self, connection: psycopg.Connection, writer: int, number: int, warnings: list[str]
    ) -> None:
        warnings.clear()
        sent = time.time()
        row = connection.execute(
            f"INSERT INTO {TABLE} VALUES (%s, %s) RETURNING {TIMELINE}, {POSITION}",
            (writer, number),
        ).fetchone()
        at = time.time()
        with self._lock:
            if row is None or any(CANCELLED_WAIT in warning for warning in warnings):
                self.record.cancelled += 1
                return
            ack = Ack(writer, number, sent, at, int(row[0], 16), int(row[1]))
            self.record.acked[ack.key] = ack
            if self._journal:
                self._journal.note(ack)


def _keep(warnings: list[str], notice: psycopg.errors.Diagnostic) -> None:
    warnings.append(str(notice.message_primary))


def rows(dsn: str) -> Counter[Key]:
    """The rows of the database that `dsn` leads to, and how often each is there."""
    with psycopg.connect(dsn) as connection:
        found = connection.execute(f"SELECT writer, number FROM {TABLE}").fetchall()
    return Counter((writer, number) for writer, number in found)


def lost(dsn: str, record: Record) -> set[Key]:
    """The acknowledged writes that are not in the database that `dsn` leads to."""
    return set(record.acked) - set(rows(dsn))
