"""What etcd 3.5 and Patroni 4.0 really answered, and what the agent makes of it."""

import pytest

from infra.agent import etcd, patroni
from infra.agent.leadership import successor

STATUS = [
    {
        "Endpoint": "https://pg-1:2379",
        "Status": {
            "header": {"cluster_id": 12133437022730229881, "member_id": 15029642910591465275},
            "version": "3.5.16",
            "leader": 11665321953833673357,
        },
    }
]
REPLICA = {
    "state": "running",
    "role": "replica",
    "server_version": 170011,
    "quorum_standby": True,
    "timeline": 1,
    "replication_state": "streaming",
    "patroni": {"version": "4.0.7", "scope": "wedsync", "name": "pg-2"},
}
DEMOTED = {"state": "stopping", "role": "demoted", "patroni": {"name": "pg-1"}}


def test_an_etcd_follower_is_not_the_leader() -> None:
    member = etcd.parse_status("pg-1", healthy=True, answer=STATUS)
    assert member == etcd.Member("pg-1", healthy=True, leader=False, identity=15029642910591465275)


def test_the_etcd_leader_names_itself() -> None:
    status = {"header": {"member_id": 5}, "leader": 5}
    assert etcd.parse_status("pg-1", healthy=True, answer=[{"Status": status}]).leader


def test_an_etcd_member_without_an_answer_is_unhealthy() -> None:
    assert not etcd.parse_status("pg-1", healthy=True, answer=None).healthy


@pytest.mark.parametrize(
    ("status", "facts", "role", "state"),
    [
        (503, REPLICA, "quorum_standby", "streaming"),
        (503, {**REPLICA, "quorum_standby": False}, "replica", "streaming"),
        (503, DEMOTED, "unknown", "stopping"),
        (503, {"state": "running", "role": "primary"}, "unknown", "running"),  # without the lock
        (200, {"state": "running", "role": "primary", "timeline": 3}, "leader", "running"),
    ],
)
def test_patroni_s_answer_gives_role_and_state(
    status: int, facts: dict[str, object], role: str, state: str
) -> None:
    member = patroni.parse_member("pg-1", status, facts)
    assert (member.role, member.state, member.leader) == (role, state, status == 200)


def test_etcd_s_leadership_goes_to_a_healthy_other_machine() -> None:
    members = {
        "pg-1": etcd.Member("pg-1", healthy=True, leader=True, identity=1),
        "pg-2": etcd.Member("pg-2", healthy=False, leader=False, identity=2),
        "pg-3": etcd.Member("pg-3", healthy=True, leader=False, identity=3),
    }
    assert successor("pg-1", members) == members["pg-3"]
    assert successor("pg-1", {"pg-1": members["pg-1"], "pg-2": members["pg-2"]}) is None
