import dataclasses
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from infra.agent import etcd, patroni
from infra.agent.facts import Machine
from infra.agent.handover import best_candidate, is_free, late_any, late_first
from infra.agent.verdict import Leader, Seen, describe

EARLY, LATE = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)


def _row(name: str, state: str = "streaming", sync: str = "quorum", lag: int = 0) -> dict[str, Any]:
    return {"name": name, "state": state, "sync_state": sync, "replay_lag_bytes": lag}


def _member(name: str, *, leader: bool, pending_restart: bool = False) -> patroni.Member:
    role = "leader" if leader else "quorum_standby"
    return patroni.Member(name, leader, role, "running", 1, pending_restart)


LEADER = Leader(
    replication=(_row("pg-2"), _row("pg-3", lag=5)),
    archiver={"last_archived_at": LATE, "last_failed_at": EARLY, "failed_count": 1},
    bootstrap="abc",
)


@pytest.fixture
def healthy(machine: Machine) -> Seen:
    names = machine.database_machines
    return Seen(
        machine=machine,
        members={name: _member(name, leader=name == "pg-1") for name in names},
        leader=LEADER,
        etcd={name: etcd.Member(name, healthy=True, leader=False, identity=1) for name in names},
        monitor={"alive": True, "last_sign_at": LATE.isoformat(), "problem": None},
        bootstrap_wanted="abc",
        stanza_ready=True,
        refused=None,
    )


def test_a_healthy_cluster_has_no_problems(healthy: Seen) -> None:
    report = describe(healthy)
    assert (report["healthy"], report["problems"], report["leader"]) == (True, [], "pg-1")
    assert report["members"]["pg-3"]["lag_bytes"] == 5
    assert json.loads(json.dumps(report)) == report


def _without(leader: Leader, **changes: Any) -> dict[str, Any]:
    return {"leader": dataclasses.replace(leader, **changes)}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"members": {"pg-1": None}}, "leader lock"),
        (
            {"members": {"pg-1": None}, "refused": "store holds the stanza"},
            "No cluster was made: store holds",
        ),
        ({"stanza_ready": False}, "stanza is not ready"),
        ({"bootstrap_wanted": "def"}, "not applied yet"),
        (_without(LEADER, bootstrap=None), "never applied"),
        (_without(LEADER, error="timeout"), "gives no answer: timeout"),
        (_without(LEADER, replication=(_row("pg-2"),)), "pg-3 does not stream from pg-1"),
        (
            _without(LEADER, replication=(_row("pg-2"), _row("pg-3", state="catchup"))),
            "pg-3 does not stream",
        ),
        (
            _without(LEADER, replication=(_row("pg-2", sync="async"), _row("pg-3", sync="async"))),
            "No standby is synchronous",
        ),
        (
            _without(LEADER, archiver={"last_archived_at": EARLY, "last_failed_at": LATE}),
            "Archiving of WAL fails since 2026-01-02",
        ),
        (
            {"etcd": {"pg-2": etcd.Member("pg-2", healthy=False, leader=False, identity=None)}},
            "etcd on pg-2 is not healthy",
        ),
    ],
)
def test_each_fault_alone_makes_it_unhealthy(
    healthy: Seen, change: dict[str, Any], problem: str
) -> None:
    report = describe(dataclasses.replace(healthy, **change))
    assert report["healthy"] is False
    assert any(problem in said for said in report["problems"]), report["problems"]


def test_a_standby_given_a_newer_bootstrap_than_the_leader_is_no_fault(healthy: Seen) -> None:
    standby = dataclasses.replace(healthy.machine, name="pg-2")
    seen = dataclasses.replace(healthy, machine=standby, bootstrap_wanted="newer")
    assert describe(seen)["problems"] == []


def test_a_refusal_is_history_once_somebody_leads(healthy: Seen) -> None:
    report = describe(dataclasses.replace(healthy, refused="store holds the stanza"))
    assert (report["healthy"], report["problems"], report["refused"]) == (True, [], None)
    nobody = dataclasses.replace(healthy, refused="store holds the stanza", members={"pg-1": None})
    assert describe(nobody)["refused"] == "store holds the stanza"


def test_a_member_that_waits_for_a_restart_is_shown_but_no_fault(healthy: Seen) -> None:
    waiting = _member("pg-1", leader=True, pending_restart=True)
    report = describe(dataclasses.replace(healthy, members={**healthy.members, "pg-1": waiting}))
    assert report["members"]["pg-1"]["pending_restart"] is True
    assert report["healthy"] is True


def test_an_unreachable_member_is_said_to_be_one(healthy: Seen) -> None:
    seen = dataclasses.replace(healthy, members={**healthy.members, "pg-3": None})
    assert describe(seen)["members"]["pg-3"]["state"] == "unreachable"


@pytest.mark.parametrize(
    ("rows", "chosen"),
    [
        ([_row("pg-2", sync="async"), _row("pg-3", lag=900)], "pg-3"),
        ([_row("pg-3", lag=5), _row("pg-2", lag=900)], "pg-2"),
        ([_row("pg-2", state="catchup"), _row("pg-3", sync="async")], "pg-3"),
        ([_row("pg-2", state="startup")], None),
        ([], None),
    ],
)
def test_the_best_candidate_is_synchronous_then_the_first_by_name(
    rows: list[dict[str, Any]], chosen: str | None
) -> None:
    assert best_candidate(rows) == chosen


@pytest.mark.parametrize(
    ("rows", "late"),
    [
        ([_row("pg-3"), _row("pg-1", sync="async")], "pg-1"),
        ([_row("pg-3"), _row("pg-1", state="catchup")], "pg-1"),
        ([_row("pg-3", sync="async"), _row("pg-1")], None),
        ([_row("pg-3", sync="async"), _row("pg-1", sync="async")], None),
        ([], None),
    ],
)
def test_a_handover_waits_for_the_first_by_name(
    rows: list[dict[str, Any]], late: str | None
) -> None:
    assert late_first(rows) == late


@pytest.mark.parametrize(
    ("leader", "free"), [("pg-1", True), ("pg-3", False), ("pg-5", True), ("pg-9", True)]
)
def test_patroni_chooses_the_next_leader_where_a_roll_does_not_care(
    leader: str, *, free: bool
) -> None:
    others = [_row(name) for name in ("pg-1", "pg-2", "pg-3", "pg-4", "pg-5") if name != leader]
    assert is_free(leader, others) is free


def test_without_a_standby_nothing_is_free() -> None:
    assert not is_free("pg-1", [])


@pytest.mark.parametrize(
    ("rows", "late"),
    [
        ([_row("pg-3", sync="async"), _row("pg-1")], "pg-3"),
        ([_row("pg-3", sync="async"), _row("pg-2", state="catchup", sync="async")], "pg-2"),
        ([_row("pg-3"), _row("pg-1")], None),
        ([], None),
    ],
)
def test_a_free_handover_waits_for_all(rows: list[dict[str, Any]], late: str | None) -> None:
    assert late_any(rows) == late
