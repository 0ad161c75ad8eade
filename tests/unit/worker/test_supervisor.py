"""The supervisor: as many processes as wanted, whatever becomes of them."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from guestcomms import db, run
from guestcomms.worker import supervisor as module
from guestcomms.worker.metrics import Metrics
from guestcomms.worker.stop import Stop
from guestcomms.worker.supervisor import Request, Supervisor

from tests.waiting import wait_until


class Scaling:
    def __init__(self) -> None:
        self.request: int | None = None
        self.number = 0
        self.acknowledged: list[int] = []
        self.broken = False

    def ask(self, workers: int) -> None:
        self.request, self.number = workers, self.number + 1

    def wanted(self) -> Request | None:
        if self.broken:
            raise db.ConnectionLostError("No answer; look.")
        if self.request is None:
            return None
        known = self.request in self.acknowledged
        return Request(str(self.number), self.request, acknowledged=known)

    def acknowledge(self, request: Request) -> None:
        self.acknowledged.append(request.workers)


class Children:
    def __init__(self, command: str) -> None:
        self.command, self.all = command, list[tuple[int, run.Child]]()

    def start(self, number: int) -> run.Child:
        child = run.start(["sh", "-c", self.command], env={})
        self.all.append((number, child))
        return child

    def running(self) -> list[int]:
        return sorted(number for number, child in self.all if child.poll() is None)


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ASK_SECONDS", 0.05)
    monkeypatch.setattr(module, "CHECK_SECONDS", 0.02)
    monkeypatch.setattr(module, "FIRST_PAUSE_SECONDS", 0.05)


@contextmanager
def supervising(
    children: Children, scaling: Scaling | None = None, file: Path | None = None
) -> Iterator[Supervisor]:
    stop = Stop()
    made = Supervisor(
        children.start, scaling, stop, Metrics(file, "supervisor"), processes=2, maximum=4
    )
    thread = threading.Thread(target=made.run)
    thread.start()
    try:
        yield made
    finally:
        stop.ask()
        thread.join(10)
        assert not thread.is_alive()


def test_as_many_as_wanted_and_all_end_with_it(tmp_path: Path) -> None:
    children, file = Children("exec sleep 60"), tmp_path / "workers.prom"
    with supervising(children, file=file):
        wait_until(lambda: children.running() == [1, 2])
    assert children.running() == []
    assert 'guestcomms_worker_processes{state="running",worker="supervisor"}' in file.read_text()


def test_who_dies_is_started_again() -> None:
    children = Children("exec sleep 60")
    with supervising(children) as made:
        wait_until(lambda: children.running() == [1, 2])
        os.kill(children.all[0][1].pid, signal.SIGKILL)
        wait_until(lambda: len(children.all) == 3 and children.running() == [1, 2])
        assert made.restarts == 1


def test_who_keeps_dying_is_started_ever_more_seldom() -> None:
    children = Children("exit 1")
    with supervising(children):
        time.sleep(1)
    assert 4 <= len(children.all) <= 2 * 7


def test_requests_are_followed_bounded_and_acknowledged() -> None:
    children, scaling = Children("exec sleep 60"), Scaling()
    with supervising(children, scaling):
        for request, numbers in ((3, [1, 2, 3]), (1, [1]), (99, [1, 2, 3, 4]), (0, [])):
            scaling.ask(request)
            wait_until(lambda wanted=numbers: children.running() == wanted)  # type: ignore[misc]
    assert scaling.acknowledged == [3, 1, 99, 0]


def test_a_database_that_does_not_answer_changes_nothing() -> None:
    children, scaling = Children("exec sleep 60"), Scaling()
    scaling.broken = True
    with supervising(children, scaling):
        wait_until(lambda: children.running() == [1, 2])
        time.sleep(0.2)
        assert children.running() == [1, 2]


@pytest.mark.parametrize(("command", "code"), [("exit 0", 0), ("exit 5", 5)])
def test_once_ends_with_the_last_process(command: str, code: int) -> None:
    children = Children(command)
    made = Supervisor(
        children.start, None, Stop(), Metrics(None, "s"), processes=2, maximum=4, once=True
    )
    assert made.run() == code
    assert len(children.all) == 2
