"""Several worker processes: started, restarted when they die, as many as operations ask for.

Processes, not threads: a worker that is killed takes nothing along. Programs of their own, not
forks: none inherits a connection, and `ps` shows what each one does.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from guestcomms import db, run
from guestcomms.worker.metrics import Metrics
from guestcomms.worker.stop import Stop

logger = logging.getLogger(__name__)

CHECK_SECONDS = 0.2
ASK_SECONDS = 2.0
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
HEALTHY_SECONDS = 10.0
"""Who ran that long begins with the first pause again."""


@dataclass(frozen=True)
class Request:
    """A message that says how many workers there shall be."""

    batch_id: str
    workers: int
    acknowledged: bool


class Scaling(Protocol):
    """Where operations say how many workers they want."""

    def wanted(self) -> Request | None:
        """The newest request, None if there is none."""
        ...

    def acknowledge(self, request: Request) -> None:
        """Say that it was obeyed."""
        ...


@dataclass
class _Slot:
    """A place for one process: its number names its metrics file."""

    child: run.Child | None = None
    started: float = 0.0
    next_start: float = 0.0
    pause: float = FIRST_PAUSE_SECONDS
    done: bool = False
    retired: bool = False
    exit_code: int = 0


class Supervisor:
    """Keeps the wanted number of processes running."""

    def __init__(
        self,
        start: Callable[[int], run.Child],
        scaling: Scaling | None,
        stop: Stop,
        metrics: Metrics,
        *,
        processes: int,
        maximum: int,
        once: bool = False,
    ) -> None:
        self._start, self._scaling, self._stop, self._metrics = start, scaling, stop, metrics
        self._wanted, self._maximum, self._once = processes, maximum, once
        self._slots: dict[int, _Slot] = {}
        self._asked_at = 0.0
        self._followed = ""
        self.restarts = 0

    def run(self) -> int:
        """Supervise until told to stop; with `once`, until every process has found nothing to do.

        Returns the exit code: 0, or that of a process that gave up with `once`.
        """
        try:
            while not self._stop.asked and not self._finished():
                self._follow_requests()
                self._fill()
                self._reap()
                self._tell()
                self._stop.wait(CHECK_SECONDS)
        finally:
            self._end()
        return max((slot.exit_code for slot in self._slots.values()), default=0)

    def _finished(self) -> bool:
        return self._once and bool(self._slots) and all(s.done for s in self._slots.values())

    def _fill(self) -> None:
        """Start what is missing; ask those beyond the wanted number to stop."""
        now = time.monotonic()
        for number in range(1, self._wanted + 1):
            slot = self._slots.setdefault(number, _Slot())
            if slot.child is None and not slot.done and now >= slot.next_start:
                slot.child, slot.started, slot.retired = self._start(number), now, False
                logger.info("Worker %d is process %d.", number, slot.child.pid)
        for number, slot in self._slots.items():
            if number > self._wanted and slot.child is not None and not slot.retired:
                slot.retired = True  # once: a second signal would cut it short
                slot.child.terminate()

    def _reap(self) -> None:
        now = time.monotonic()
        for number, slot in list(self._slots.items()):
            code = slot.child.poll() if slot.child is not None else None
            if code is None:
                continue
            slot.child = None
            if slot.retired:
                del self._slots[number]
            elif self._once and code >= 0:
                slot.done, slot.exit_code = True, code
            else:
                if now - slot.started >= HEALTHY_SECONDS:
                    slot.pause = FIRST_PAUSE_SECONDS
                slot.next_start = now + slot.pause * random.uniform(0.5, 1)  # noqa: S311
                slot.pause = min(2 * slot.pause, LONGEST_PAUSE_SECONDS)
                self.restarts += 1
                self._metrics.event("restart")
                logger.warning("Worker %d ended with %d and is started again.", number, code)

    def _follow_requests(self) -> None:
        """Ask the queue how many workers are wanted; without an answer it stays as it is."""
        now = time.monotonic()
        if self._scaling is None or now - self._asked_at < ASK_SECONDS:
            return
        self._asked_at = now
        try:
            request = self._scaling.wanted()
            if request is None or request.batch_id == self._followed:
                return
            self._wanted = min(request.workers, self._maximum)
            if self._wanted < request.workers:
                logger.warning(
                    "%d workers are wanted, %d is the most.", request.workers, self._maximum
                )
            self._fill()
            if not request.acknowledged:
                self._scaling.acknowledge(request)
            self._followed = request.batch_id
        except db.ConnectionLostError as error:
            logger.warning("%s", error)

    def _tell(self) -> None:
        self._metrics.processes(wanted=self._wanted, running=len(self._running()))
        self._metrics.write()

    def _running(self) -> list[_Slot]:
        return [slot for slot in self._slots.values() if slot.child is not None]

    def _end(self) -> None:
        """Ask all to stop and wait for them: each finishes the message in hand and reports."""
        for slot in self._running():
            if slot.child is not None and not slot.retired:
                slot.child.terminate()
        for slot in self._running():
            if slot.child is not None:
                slot.child.wait()
        self._metrics.processes(wanted=0, running=0)
        self._metrics.write(now=True)
