"""Metrics: a whole file that a textfile collector reads."""

from __future__ import annotations

from pathlib import Path

from guestcomms.worker.metrics import Metrics
from prometheus_client.parser import text_string_to_metric_families


def test_counts_and_latencies_are_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "worker.prom"
    metrics = Metrics(file, "1")
    metrics.attempt("smtp", "sent", 0.3)
    metrics.attempt("smtp", "sent", 0.1)
    metrics.event("late_report", 3)
    metrics.write()
    found = {
        (sample.name, sample.labels.get("outcome") or sample.labels.get("event")): sample.value
        for family in text_string_to_metric_families(file.read_text())
        for sample in family.samples
        if not sample.name.endswith("_bucket")
    }
    assert found == {
        ("guestcomms_worker_attempt_seconds_count", "sent"): 2,
        ("guestcomms_worker_attempt_seconds_sum", "sent"): 0.4,
        ("guestcomms_worker_events_total", "late_report"): 3,
    }
    assert list(tmp_path.iterdir()) == [file]


def test_a_file_is_written_now_and_then_and_at_the_end(tmp_path: Path) -> None:
    file = tmp_path / "worker.prom"
    metrics = Metrics(file, "1")
    metrics.write()
    before = file.read_text()
    metrics.event("slice")
    metrics.write()
    assert file.read_text() == before
    metrics.write(now=True)
    assert file.read_text() != before
