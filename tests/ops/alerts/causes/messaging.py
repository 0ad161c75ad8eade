"""Causes of the alerts of rules/messaging.yml: a campaign whose messages wait, die or bounce."""

from __future__ import annotations

import contextlib
import json
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg
from guestcomms.demo import story
from guestcomms.demo.templates import ORGANIZATIONS

from tests.ops.alerts.causes.common import Cause, job, pause, superuser
from tests.ops.cluster.harness import Cluster

WAITING = 60
"""Recipients of a campaign that nobody sends: more than the threshold of the test's stack."""
LEASES = 6
"""One more than a chunk is given before it counts as a killer of workers."""


@contextmanager
def job_is_switched_off(cluster: Cluster) -> Iterator[None]:
    """The readiness figures are asked for every five minutes; here at once."""
    switch = "SELECT cron.alter_job(jobid, active := {}) FROM cron.job WHERE jobname = 'tend-queue'"

    def set_active(active: str) -> None:
        superuser(cluster, cluster.leader, switch.format(active))
        cluster.on(cluster.leader, "systemctl restart prometheus-postgres-exporter")

    set_active("false")
    try:
        yield
    finally:
        set_active("true")


@contextmanager
def job_fails(cluster: Cluster) -> Iterator[None]:
    schedule = "SELECT cron.schedule('alerts', '5 seconds', 'SELECT 1 / 0')"
    superuser(cluster, cluster.leader, schedule)
    try:
        yield
    finally:
        superuser(cluster, cluster.leader, "SELECT cron.unschedule('alerts')")


@contextmanager
def nobody_sends(cluster: Cluster) -> Iterator[None]:
    ways = _ways(cluster)
    _campaign(ways, WAITING)
    try:
        yield
    finally:
        _send(ways)


@contextmanager
def workers_die(cluster: Cluster) -> Iterator[None]:
    """Workers claim a chunk and never answer, until it is given up; then it is sent again."""
    ways = _ways(cluster)
    organization = _campaign(ways, 2 * LEASES)
    with psycopg.connect(ways.worker, autocommit=True) as worker:
        for _ in range(LEASES):
            worker.execute("SELECT claim_batches('dies', 1, '1 second', 1)")
            pause(2)
    try:
        yield
    finally:
        with psycopg.connect(ways.ops, autocommit=True) as ops:
            ops.execute("SELECT redrive_dead_letters(%s)", (organization,))
        _send(ways)


@contextmanager
def _providers_report(cluster: Cluster, status: str) -> Iterator[None]:
    """A third of all messages end badly; then so many go well that it is a seventh."""
    ways = _ways(cluster)
    finished = superuser(
        cluster,
        cluster.leader,
        "SELECT coalesce(sum(delivered + failed + bounced), 0) FROM dashboard_deliverability",
    )
    bad = max(20, int(finished) // 2)
    _report(cluster, ways, bad, status)
    try:
        yield
    finally:
        _report(cluster, ways, 4 * bad, "delivered")


def _ways(cluster: Cluster) -> story.Ways:
    roles = {role: cluster.dsn("--role", role) for role in ("app", "worker", "ops")}
    return story.Ways(**roles)


def _campaign(ways: story.Ways, guests: int) -> str:
    """Queue a campaign of an organization of its own, and return the organization."""
    one = replace(
        ORGANIZATIONS[0], organization_id=str(uuid.uuid4()), name=f"Alert {guests}", guests=guests
    )
    with psycopg.connect(ways.ops, autocommit=True) as ops:
        ops.execute(
            "SELECT create_organization(%s, %s, %s, '{wedsync_app}')",
            (one.organization_id, one.name, one.time_zone),
        )
        ops.execute("SELECT set_login_unrestricted('wedsync_worker', true, 'sends for all')")
    story.queue(ways, one)
    return one.organization_id


def _send(ways: story.Ways) -> list[dict[str, str]]:
    """Send what waits into a file, and return its lines."""
    with tempfile.TemporaryDirectory() as folder:
        sink = Path(folder) / "sink.jsonl"
        story.send(ways, sink)
        with contextlib.suppress(FileNotFoundError):
            return [json.loads(line) for line in sink.read_text("utf-8").splitlines()]
    return []


def _report(cluster: Cluster, ways: story.Ways, guests: int, status: str) -> None:
    """Send a campaign, report the same of every message, and have it counted."""
    organization = _campaign(ways, guests)
    events = [
        {
            "recipient_id": line["recipient_id"], "provider": "file", "status": status,
            "provider_event_id": f"{line['recipient_id']}:{status}", "occurred_at": line["at"],
        }
        for line in _send(ways)
    ]  # fmt: skip
    with psycopg.connect(ways.worker, autocommit=True) as worker:
        worker.execute("SELECT record_delivery_events(%s, %s)", (organization, json.dumps(events)))
    for name in ("refresh-dashboards", "collect-metrics"):
        job(cluster, name)


CAUSES = (
    Cause(("HealthCheckFailing",), "a job of the database fails", job_fails),
    Cause(("ReadinessCheckFailing",), "a job of the database is switched off",
          job_is_switched_off),
    Cause(("QueueDeep", "QueueStuck"), f"{WAITING} messages are queued and no worker runs",
          nobody_sends),
    Cause(("DeadLetters",), "workers die with every lease of a chunk", workers_die),
    Cause(("DeliveryFailures",), "the provider fails a third of the messages",
          lambda cluster: _providers_report(cluster, "failed")),
    Cause(("BounceRateHigh",), "a third of the messages bounce",
          lambda cluster: _providers_report(cluster, "bounced")),
    Cause(("ComplaintRateHigh",), "a third of the messages are reported as spam",
          lambda cluster: _providers_report(cluster, "complained")),
)  # fmt: skip
