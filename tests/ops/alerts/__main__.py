"""`make alerts`: make a cluster, fire its alerts by real causes, write docs/alerts.md.

It takes an hour and is no part of `make test`. Outcomes of earlier runs are kept beside the clone's
state; the page shows the last one of each alert, and says which alerts were never shown.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import docker.errors
import psycopg
import yaml

from infra.machine.alerts import rule_files
from infra.spec import ClusterSpec
from tests.ops.alerts import record
from tests.ops.alerts.causes import CAUSES, Cause
from tests.ops.alerts.causes.common import stopped
from tests.ops.cluster.harness import ROOT, Cluster
from tests.waiting import wait_until

PAGE = ROOT / "docs" / "alerts.md"
BEGIN, END = "<!-- measured: begin -->\n", "<!-- measured: end -->\n"
KEPT = ROOT / ".state" / "alerts.json"
LONGEST = 300
"""Seconds to wait for a message that something is wrong,"""
MOMENT = 30
"""for the one that it is over before the next cause comes,"""
SLOWEST = 900
"""and in the end: an alert may look at the last ten minutes."""
SETTINGS: dict[str, Any] = {
    "patience": 0.05, "group_wait_seconds": 1, "group_interval_seconds": 5,
    "oldest_transaction_warning_minutes": 0.2, "pool_wait_warning_seconds": 2,
    "transaction_id_age_warning_million": 0.05, "transaction_id_age_critical_million": 0.12,
    "replication_lag_warning_mib": 8, "replication_lag_critical_mib": 60, "slot_wal_warning": 12,
    "average_query_time_critical_ms": 200, "archive_late_critical_minutes": 2,
    "full_backup_age_critical_hours": 0.04, "any_backup_age_warning_hours": 0.04,
    "restore_proven_critical_hours": 0.04, "wal_audit_age_warning_hours": 0.05,
    "etcd_quota_warning": 1, "queue_oldest_critical_minutes": 0.5, "queue_recipients_warning": 50,
    "delivery_minimum_messages": 20, "delivery_failure_warning": 20, "bounce_rate_warning": 20,
    "complaint_rate_warning": 20,
}  # fmt: skip
"""A twentieth of the patience, and thresholds that can be passed within minutes."""
POSTGRES = {"max_slot_wal_keep_size": "256MiB"}
BACKUP = {"store_limit_gib": 0.25}


@dataclass(frozen=True)
class Outcome:
    """One alert and its cause: seconds until people got it, and until they heard it was over."""

    alert: str
    words: str
    received: float | None
    cleared: float | None
    undone: str | None = None


def fire(cluster: Cluster, cause: Cause) -> list[Outcome]:
    """Let it happen, wait for the messages, undo it, wait a little for the message that it is over.

    What fires already would send no new message: a young cluster's rates, an earlier cause's.
    Rates over five or ten minutes stay above their threshold for so long: `settle` waits for them.
    """
    if not cause.ends_first:
        wait_until(lambda: _is_quiet(cluster, cause), SLOWEST, poll_seconds=2)
    began = datetime.now(UTC) - timedelta(seconds=0.5)
    with cause.happens(cluster):
        came = record.seconds_until(cluster, cause.alerts, "firing", began, LONGEST)
        undone = datetime.now(UTC)  # what follows takes seconds itself
    over = record.seconds_until(cluster, tuple(came), "resolved", undone, MOMENT)
    return [
        Outcome(name, cause.words, came.get(name), over.get(name), undone.isoformat())
        for name in cause.alerts
    ]


def _is_quiet(cluster: Cluster, cause: Cause) -> bool:
    return not any(record.is_firing(cluster, alert) for alert in cause.alerts)


def settle(cluster: Cluster, outcomes: list[Outcome]) -> list[Outcome]:
    """Wait for the messages that alerts are over, of those that were received."""
    return [
        _settle(cluster, each, datetime.fromisoformat(each.undone))
        if each.received is not None and each.cleared is None and each.undone is not None
        else each
        for each in outcomes
    ]


def _settle(cluster: Cluster, outcome: Outcome, undone: datetime) -> Outcome:
    patience = SLOWEST - (datetime.now(UTC) - undone).total_seconds()
    over = record.seconds_until(cluster, (outcome.alert,), "resolved", undone, patience)
    settled = replace(outcome, cleared=over.get(outcome.alert))
    print(table([settled]).splitlines()[-1], flush=True)
    return settled


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
        try:
            cluster.wait_healthy(300)
            seen = fire(cluster, cause)
        except (AssertionError, psycopg.Error, docker.errors.APIError) as error:
            print(f"{', '.join(cause.alerts)}: {type(error).__name__}: {error}", flush=True)
            seen = [Outcome(name, cause.words, None, None) for name in cause.alerts]
        for outcome in seen:
            outcomes.append(outcome)
            print(table([outcome]).splitlines()[-1], flush=True)
            keep(outcomes)
    return outcomes


def watchdog(cluster: Cluster) -> Outcome:
    """Stop Prometheus: the machines notice the silence of the dead-man's switch, then its end.

    Nobody gets a message, that is the point: `guestcomms status` and the machines' journals say so.
    """
    began = time.monotonic()
    with stopped(cluster, "prometheus", "monitor-1"):
        silent = _seconds(began, lambda: not cluster.health()["monitor"]["alive"])
    undone = time.monotonic()
    alive = _seconds(undone, lambda: bool(cluster.health()["monitor"]["alive"]))
    return Outcome("Watchdog", "Prometheus is stopped: its silence is noticed", silent, alive)


def _seconds(began: float, condition: Callable[[], bool]) -> float | None:
    try:
        wait_until(condition, LONGEST, poll_seconds=2)
    except AssertionError:
        return None
    return time.monotonic() - began


def keep(outcomes: list[Outcome]) -> list[Outcome]:
    """Add these outcomes to those of earlier runs; the newest of an alert counts."""
    kept = json.loads(KEPT.read_text("utf-8")) if KEPT.exists() else {}
    kept |= {each.alert: asdict(each) for each in outcomes}
    KEPT.write_text(json.dumps(kept, indent=1), "utf-8")
    return [Outcome(**kept[name]) for name in sorted(kept)]


def rules() -> set[str]:
    """The names of all alerts."""
    spec = ClusterSpec.load("local", {})
    groups = (
        group for file in rule_files(spec) for group in yaml.safe_load(file.content)["groups"]
    )
    return {rule["alert"] for group in groups for rule in group["rules"]}


def write(outcomes: list[Outcome]) -> None:
    """Put the table into docs/alerts.md, between its marks."""
    text = PAGE.read_text(encoding="utf-8")
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    day = (
        f"By `make alerts` on {os.cpu_count()} cores, the last run of each until"
        f" {datetime.now(UTC):%Y-%m-%d}, with `{json.dumps(SETTINGS | POSTGRES | BACKUP)}`.\n\n"
    )
    missing = sorted(rules() - {each.alert for each in outcomes})
    rest = f"\nNot shown by a real cause: {', '.join(missing)}.\n" if missing else ""
    PAGE.write_text(before + BEGIN + day + table(outcomes) + rest + END + after, encoding="utf-8")


def main() -> int:
    """Exit 0 only if every alert was received and cleared."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("only", nargs="*", help="names of alerts; all if none is given")
    only = set(parser.parse_args().only)
    causes = [cause for cause in CAUSES if not only or only & set(cause.alerts)]
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(
            Cluster(Path(folder), alerts=SETTINGS, postgres=POSTGRES, backup=BACKUP)
        ) as cluster,
    ):
        cluster.run("up", "--yes")
        outcomes = run(cluster, causes)
        if not only or "Watchdog" in only:
            outcomes.append(watchdog(cluster))
        outcomes = settle(cluster, outcomes)
    known = keep(outcomes)
    write(known)
    missing = set() if only else rules() - {each.alert for each in known}
    shown = all(each.received and each.cleared is not None for each in outcomes)
    return 0 if shown and not missing else 1


if __name__ == "__main__":
    raise SystemExit(main())
