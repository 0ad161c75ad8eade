"""Writers that record every acknowledgement outside the database under test.

Each writer has its own sequence. A write is `acked` only if the server confirmed it and did not
warn that it gave up waiting for a standby: PostgreSQL then reports success for a commit that is on
one machine only (https://www.postgresql.org/docs/17/runtime-config-wal.html, synchronous_commit).
Whatever else happened is `unknown`: it may or may not be there afterwards.
"""

from __future__ import annotations

import itertools
import threading
import time
from dataclasses import dataclass, field
from functools import partial
from typing import Self

import psycopg

CANCELLED_WAIT = "canceling wait for synchronous replication"
PAUSE_SECONDS = 0.01
RECONNECT_SECONDS = 0.1

TABLE = "public.write_ledger"
CREATE = f"""
SET ROLE comms_owner;
CREATE TABLE IF NOT EXISTS {TABLE} (writer int, number int, PRIMARY KEY (writer, number));
GRANT SELECT, INSERT ON {TABLE} TO comms_app;
"""
DROP = f"SET ROLE comms_owner; DROP TABLE IF EXISTS {TABLE}"


@dataclass
class Record:
    """What the writers saw: acknowledged writes with their times, and how often they failed."""

    acked: dict[tuple[int, int], float] = field(default_factory=dict)
    errors: int = 0

    @property
    def seconds(self) -> float:
        """From the first acknowledgement to the last."""
        return max(self.acked.values()) - min(self.acked.values())

    @property
    def longest_gap(self) -> float:
        """The longest time, in seconds, in which no writer got an acknowledgement."""
        moments = sorted(self.acked.values())
        return max(later - earlier for earlier, later in itertools.pairwise(moments))


class Writers:
    """Threads that insert through the front door until they are stopped."""

    def __init__(self, dsn: str, count: int) -> None:
        """`dsn` is a connection string of an application's login; `count` the threads."""
        self._dsn = dsn
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self.record = Record()
        self._threads = [
            threading.Thread(target=self._write, args=(number,), daemon=True)
            for number in range(1, count + 1)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=60)

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
                        self._stop.wait(PAUSE_SECONDS)
            except psycopg.Error:
                with self._lock:
                    self.record.errors += 1
                self._stop.wait(RECONNECT_SECONDS)

    def _insert(
        self, connection: psycopg.Connection, writer: int, number: int, warnings: list[str]
    ) -> None:
        warnings.clear()
        connection.execute(f"INSERT INTO {TABLE} VALUES (%s, %s)", (writer, number))
        if any(CANCELLED_WAIT in warning for warning in warnings):
            return
        with self._lock:
            self.record.acked[writer, number] = time.monotonic()


def _keep(warnings: list[str], notice: psycopg.errors.Diagnostic) -> None:
    warnings.append(str(notice.message_primary))


def lost(dsn: str, record: Record) -> set[tuple[int, int]]:
    """The acknowledged writes that are not in the database that `dsn` leads to."""
    with psycopg.connect(dsn) as connection:
        rows = connection.execute(f"SELECT writer, number FROM {TABLE}").fetchall()
    return set(record.acked) - {(writer, number) for writer, number in rows}
