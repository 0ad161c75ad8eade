"""Counts and latencies, as Prometheus text in a file that node_exporter's textfile collector reads.

One file per process, replaced as a whole. No port: the processes of a supervisor would need one
each, and the machine's node_exporter is there anyway.
"""

from __future__ import annotations

import time
from pathlib import Path

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    write_to_textfile,
)

WRITE_SECONDS = 5.0
SEND_BUCKETS = (0.001, 0.005, 0.02, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


disable_created_metrics()  # type: ignore[no-untyped-call] # a second line of each, which nobody asks for


class Metrics:
    """The metrics of one worker process; `worker` tells processes of a machine apart."""

    def __init__(self, file: Path | None, worker: str) -> None:
        self._file, self._worker, self._written = file, worker, 0.0
        self._registry = CollectorRegistry()
        self._attempts = Histogram(
            "guestcomms_worker_attempt_seconds",
            "Attempts to hand a message to a provider, by outcome.",
            ("worker", "provider", "outcome"),
            buckets=SEND_BUCKETS,
            registry=self._registry,
        )
        self._events = Counter(
            "guestcomms_worker_events",
            "What happened: slice, idle, lease_lost, late_report, reconnect, pause, restart.",
            ("worker", "event"),
            registry=self._registry,
        )
        self._processes = Gauge(
            "guestcomms_worker_processes",
            "Worker processes of a supervisor: wanted and running.",
            ("worker", "state"),
            registry=self._registry,
        )

    def attempt(self, provider: str, outcome: str, seconds: float) -> None:
        """Count an attempt and its duration."""
        self._attempts.labels(self._worker, provider, outcome).observe(seconds)

    def event(self, name: str, count: int = 1) -> None:
        """Count something that happened."""
        self._events.labels(self._worker, name).inc(count)

    def processes(self, *, wanted: int, running: int) -> None:
        """How many processes there are and should be."""
        self._processes.labels(self._worker, "wanted").set(wanted)
        self._processes.labels(self._worker, "running").set(running)

    def write(self, *, now: bool = False) -> None:
        """Replace the file, if there is one and the last time is a while ago."""
        if self._file and (now or time.monotonic() - self._written >= WRITE_SECONDS):
            write_to_textfile(str(self._file), self._registry)
            self._written = time.monotonic()
