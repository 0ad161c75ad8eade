"""`worker run --processes`: operations say in the queue how many workers there shall be."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.db.server import Database
from tests.waiting import wait_until


@dataclass
class Running:
    """A supervisor that runs."""

    process: subprocess.Popen[bytes]
    may_fail: bool = False

    def workers(self) -> list[int]:
        pid = self.process.pid
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@contextmanager
def supervised(database: Database, *options: str) -> Iterator[Running]:
    command = [
        sys.executable,
        "-m",
        "guestcomms.cli",
        "worker",
        "run",
        "--provider",
        "file:/dev/null",
    ]
    process = subprocess.Popen(
        [*command, "--poll", "0.2", *options],
        env={**os.environ, "GUESTCOMMS_DSN": database.dsn("wedsync_worker")},
    )
    running = Running(process)
    try:
        yield running
        process.terminate()
        assert process.wait(20) == 0 or running.may_fail
    finally:
        process.kill()
        process.wait()


def ask(database: Database, workers: int) -> None:
    """As the operations manual does."""
    with database.connect("wedsync_ops") as connection:
        connection.execute(
            "INSERT INTO communication_batch_queue (batch_id, operation_type, payload, priority)"
            " VALUES ('scale_workers_' || gen_random_uuid(), 'scale_workers',"
            " jsonb_build_object('worker_count', %s::int), 1)",
            (workers,),
        )


def open_requests(database: Database) -> object:
    return database.value(
        "SELECT count(*) FROM communication_batch_queue"
        " WHERE operation_type = 'scale_workers' AND state = 'ready'"
    )


def test_a_request_is_obeyed_and_acknowledged(database: Database) -> None:
    with supervised(database, "--processes", "1", "--max-processes", "3") as supervisor:
        wait_until(lambda: len(supervisor.workers()) == 1)
        for wanted, running in ((3, 3), (1, 1), (9, 3)):
            ask(database, wanted)
            wait_until(lambda expected=running: len(supervisor.workers()) == expected)  # type: ignore[misc]
            wait_until(lambda: open_requests(database) == 0)


def test_who_is_killed_is_replaced(database: Database) -> None:
    with supervised(database, "--processes", "2") as supervisor:
        wait_until(lambda: len(supervisor.workers()) == 2)
        victim = supervisor.workers()[0]
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: len(supervisor.workers()) == 2 and victim not in supervisor.workers())


def test_workers_end_when_their_supervisor_is_gone(database: Database) -> None:
    with supervised(database, "--processes", "2") as supervisor:
        wait_until(lambda: len(supervisor.workers()) == 2)
        workers = supervisor.workers()
        os.kill(supervisor.process.pid, signal.SIGKILL)
        wait_until(lambda: not any(alive(pid) for pid in workers))
        supervisor.may_fail = True


def alive(pid: int) -> bool:
    """Whether a process runs; one that nobody has asked about after its end does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
