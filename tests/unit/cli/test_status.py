"""The verdict on a cluster, from reports as the node agent itself makes them."""

from __future__ import annotations

import dataclasses
import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from guestcomms.cli.status import as_json, checks_table, members_table
from guestcomms.health import ClusterHealth, MachineHealth
from guestcomms.status import Check, Report, cluster_checks
from rich.console import Console

from infra.agent import etcd, patroni, verdict
from infra.agent.facts import Machine

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
NAMES = ("pg-1", "pg-2", "pg-3")
MACHINE = Machine("pg-2", "database", "wedsync", "wedsync", "wedsync", "new", NAMES, (), ())
IN_ORDER = verdict.Seen(
    machine=MACHINE,
    members={
        name: patroni.Member(name, name == "pg-1", "leader", "running", 3, False) for name in NAMES
    },
    leader=verdict.Leader(
        replication=tuple(
            {"name": name, "state": "streaming", "sync_state": "quorum", "replay_lag_bytes": 128}
            for name in ("pg-2", "pg-3")
        ),
        archiver={
            "last_archived_wal": "000000030000000000000007",
            "last_archived_at": NOW,
            "last_failed_wal": None,
            "last_failed_at": None,
            "failed_count": 0,
        },
        bootstrap="abc",
    ),
    etcd={name: etcd.Member(name, True, name == "pg-2", 1) for name in NAMES},
    monitor={"alive": True, "last_sign_at": NOW.isoformat(), "problem": None},
    bootstrap_wanted="abc",
    stanza_ready=True,
    refused=None,
)


def leader_with(**changes: Any) -> verdict.Leader:
    return dataclasses.replace(IN_ORDER.leader, **changes)


def told(seen: verdict.Seen) -> ClusterHealth:
    """The agent's report, as it arrives here."""
    return ClusterHealth.model_validate_json(json.dumps(verdict.describe(seen)))


def states(seen: verdict.Seen) -> dict[str, str]:
    return {check.name: check.state for check in cluster_checks(told(seen), "local")}


def test_a_cluster_in_order() -> None:
    assert set(states(IN_ORDER).values()) == {"ok"}


@pytest.mark.parametrize(
    ("changes", "check", "state"),
    [
        ({"members": dict.fromkeys(NAMES)}, "leader", "fail"),
        ({"leader": leader_with(replication=IN_ORDER.leader.replication[:1])}, "standbys", "fail"),
        (
            {
                "leader": leader_with(
                    replication=tuple(
                        {**row, "sync_state": "async"} for row in IN_ORDER.leader.replication
                    )
                )
            },
            "synchronous standby",
            "fail",
        ),
        (
            {"etcd": {**IN_ORDER.etcd, "pg-3": etcd.Member("pg-3", False, False, None)}},
            "etcd",
            "fail",
        ),
        ({"stanza_ready": False}, "backup stanza", "fail"),
        ({"leader": leader_with(bootstrap=None)}, "agent's verdict", "fail"),
        ({"leader": leader_with(archiver={})}, "archiving", "unknown"),
        (
            {
                "leader": leader_with(
                    archiver={
                        **IN_ORDER.leader.archiver,
                        "last_failed_at": NOW + timedelta(seconds=9),
                    }
                )
            },
            "archiving",
            "fail",
        ),
    ],
)
def test_what_is_wrong_is_seen(changes: dict[str, Any], check: str, state: str) -> None:
    assert states(dataclasses.replace(IN_ORDER, **changes))[check] == state


def test_a_refusal_is_told_while_there_is_no_cluster() -> None:
    why = "the store already holds the stanza"
    seen = dataclasses.replace(IN_ORDER, members=dict.fromkeys(NAMES), refused=why)
    verdicts = [check for check in cluster_checks(told(seen), "local") if check.state == "fail"]
    assert any(why in check.value for check in verdicts)


def test_a_hint_names_the_stack() -> None:
    sick = leader_with(replication=IN_ORDER.leader.replication[:1])
    checks = cluster_checks(told(dataclasses.replace(IN_ORDER, leader=sick)), "blue")
    assert "`.venv/bin/guestcomms --stack blue logs pg-3 -u patroni`" in [c.todo for c in checks]


def test_one_check_that_is_not_ok_makes_the_cluster_unhealthy() -> None:
    fine = (Check("a", "ok", "1"), Check("b", "ok", "2"))
    assert Report("local", fine, None).healthy
    assert not Report("local", (*fine, Check("c", "unknown", "?")), None).healthy


def test_the_report_for_people_and_for_programs() -> None:
    sick = dataclasses.replace(IN_ORDER, stanza_ready=False)
    report = Report("local", tuple(cluster_checks(told(sick), "local")), told(sick))
    assert report.cluster
    screen = Console(width=120, record=True, file=io.StringIO())
    screen.print(members_table(report.cluster), checks_table(report))
    text = screen.export_text()
    assert "pg-1" in text
    assert "128 B" in text
    assert "The backup stanza is not ready" in text
    document = json.loads(json.dumps(as_json(report)))
    assert document["healthy"] is False
    assert document["cluster"]["leader"] == "pg-1"


def test_the_report_of_other_machines() -> None:
    report = {
        "machine": "proxy-1",
        "failed_units": ["haproxy.service"],
        "silent_ports": [5432],
        "healthy": False,
        "problems": ["Nothing answers on port 5432."],
    }
    seen = MachineHealth.model_validate_json(json.dumps(report))
    assert seen.problems == ("Nothing answers on port 5432.",)
