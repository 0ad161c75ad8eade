"""`make alerts`: make a cluster, fire its alerts by real causes, write docs/alerts.md.

It takes half an hour and is no part of `make test`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.ops.alerts.causes import CAUSES, Cause
from tests.ops.cluster.harness import ROOT, Cluster

PAGE = ROOT / "docs" / "alerts.md"
BEGIN, END = "<!-- measured: begin -->\n", "<!-- measured: end -->\n"
RECORD = "/var/lib/prometheus/alerts/received.jsonl"
LONGEST = 300
SETTINGS: dict[str, Any] = {
    "patience": 0.1, "group_wait_seconds": 1, "group_interval_seconds": 5,
    "oldest_transaction_warning_minutes": 0.2, "transaction_id_age_warning_million": 0.05,
    "replication_lag_warning_mib": 8, "slot_wal_warning": 0.5, "pool_wait_warning_seconds": 2,
}  # fmt: skip
"""A tenth of the patience, and thresholds that can be passed within minutes."""


@dataclass(frozen=True)
class Outcome:
    """One alert and its cause: seconds until people got it, and until they heard it was over."""

    alert: str
    words: str
    received: float | None
    cleared: float | None


def received(cluster: Cluster, alert: str, status: str, since: datetime) -> datetime | None:
    """When a person would have got the first such message after `since`."""
    # Few lines: the SDK leaves the heads of Docker's frames in what is longer than one.
    look = f"""grep -sh '"alertname": "{alert}"' {RECORD}.1 {RECORD} | tail -n 40 || true"""
    for line in map(json.loads, cluster.on("monitor-1", look).splitlines()):
        at = datetime.fromisoformat(line["received_at"])
        began = datetime.fromisoformat(line["starts_at"])
        fresh = began > since if status == "firing" else at > since
        if (line["labels"]["alertname"], line["status"]) == (alert, status) and fresh:
            return at
    return None


def wait(
    cluster: Cluster, alerts: tuple[str, ...], status: str, since: datetime
) -> dict[str, float]:
    """Seconds from `since` to each alert's message; one that does not come is left out."""
    found: dict[str, float] = {}
    deadline = time.monotonic() + LONGEST
    while len(found) < len(alerts) and time.monotonic() < deadline:
        for alert in alerts:
            if alert not in found and (at := received(cluster, alert, status, since)):
                found[alert] = (at - since).total_seconds()
        time.sleep(1)
    return found


def fire(cluster: Cluster, cause: Cause) -> list[Outcome]:
    """Let it happen, wait for the messages, undo it, wait for the messages that it is over."""
    began = datetime.now(UTC) - timedelta(seconds=0.5)
    with cause.happens(cluster):
        came = wait(cluster, cause.alerts, "firing", began)
    undone = datetime.now(UTC)
    over = wait(cluster, tuple(came), "resolved", undone)
    return [Outcome(name, cause.words, came.get(name), over.get(name)) for name in cause.alerts]


def table(outcomes: list[Outcome]) -> str:
    """The outcomes as a table of Markdown."""
    rows = ["| alert | cause | received after | cleared after |", "|---|---|---|---|"]
    for each in outcomes:
        times = [f"{t:.0f} s" if t is not None else "**no**" for t in (each.received, each.cleared)]
        rows.append(f"| {each.alert} | {each.words} | {times[0]} | {times[1]} |")
    return "\n".join(rows) + "\n"


def run(cluster: Cluster, causes: list[Cause]) -> list[Outcome]:
    """Every cause, one after the other, each on a cluster that is whole."""
    outcomes: list[Outcome] = []
    for cause in causes:
        cluster.wait_healthy(300)
        for outcome in fire(cluster, cause):
            outcomes.append(outcome)
            print(table([outcome]).splitlines()[-1], flush=True)
    return outcomes


def write(outcomes: list[Outcome]) -> None:
    """Put the table into docs/alerts.md, between its marks."""
    text = PAGE.read_text(encoding="utf-8")
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    day = f"Measured {datetime.now(UTC):%Y-%m-%d} by `make alerts` with {SETTINGS}.\n\n"
    PAGE.write_text(before + BEGIN + day + table(outcomes) + END + after, encoding="utf-8")


def main() -> int:
    """Exit 0 only if every alert was received and cleared."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("only", nargs="*", help="names of alerts; all if none is given")
    only = set(parser.parse_args().only)
    causes = [cause for cause in CAUSES if not only or only & set(cause.alerts)]
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(Cluster(Path(folder), alerts=SETTINGS)) as cluster,
    ):
        cluster.run("up", "--yes")
        outcomes = run(cluster, causes)
    if not only:
        write(outcomes)
    return 0 if all(each.received and each.cleared is not None for each in outcomes) else 1


if __name__ == "__main__":
    raise SystemExit(main())
