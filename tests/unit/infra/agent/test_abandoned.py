"""When the mark of a machine that vanished in making the cluster is taken away, and when not."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from infra import spec
from infra.agent import abandoned, etcd, patroni
from infra.agent.facts import Machine

KEY = "/guestcomms/wedsync/initialize"


def _member(name: str, state: str = "stopped", *, leader: bool = False) -> patroni.Member:
    return patroni.Member(name, leader, "unknown", state, None, pending_restart=False)


class World:
    """What Patroni and etcd answer, and which keys were deleted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.members: dict[str, patroni.Member | None] = {
            name: _member(name) for name in ("pg-1", "pg-2", "pg-3")
        }
        self.entry: etcd.Entry | None = etcd.Entry(KEY, b"", 99)
        self.now = 100.0
        self.deleted: list[etcd.Entry] = []
        monkeypatch.setattr(patroni, "members", self._members)
        monkeypatch.setattr(etcd, "get", lambda _name, key: self.entry if key == KEY else None)
        monkeypatch.setattr(etcd, "delete", self._delete)
        monkeypatch.setattr("infra.agent.abandoned.time.monotonic", lambda: self.now)

    def _members(self, names: Sequence[str]) -> dict[str, patroni.Member | None]:
        return {name: self.members[name] for name in names}

    def _delete(self, _name: str, entry: etcd.Entry) -> bool:
        self.deleted.append(entry)
        return True

    def look(self, start: abandoned.AbandonedStart, times: int = 5) -> None:
        for _ in range(times):
            start.step()
            self.now += 5


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def test_the_namespace_is_patroni_s() -> None:
    assert abandoned.PATRONI_NAMESPACE == spec.PATRONI_NAMESPACE


def test_a_mark_that_nobody_works_under_is_removed_after_a_while(
    world: World, machine: Machine
) -> None:
    start = abandoned.AbandonedStart(machine)
    world.look(start, 2)
    assert world.deleted == []
    world.look(start, 1)
    assert world.deleted == [etcd.Entry(KEY, b"", 99)]


@pytest.mark.parametrize(
    "other",
    [
        None,
        _member("pg-3", "running custom bootstrap script"),
        _member("pg-3", "starting"),
        _member("pg-3", "running", leader=True),
    ],
)
def test_it_stays_while_a_machine_works_leads_or_gives_no_answer(
    world: World, machine: Machine, other: patroni.Member | None
) -> None:
    world.members["pg-3"] = other
    world.look(abandoned.AbandonedStart(machine))
    assert world.deleted == []


def test_it_stays_once_the_cluster_was_made(world: World, machine: Machine) -> None:
    world.entry = etcd.Entry(KEY, b"7529874621", 99)
    world.look(abandoned.AbandonedStart(machine))
    assert world.deleted == []


def test_a_new_attempt_starts_the_wait_anew(world: World, machine: Machine) -> None:
    start = abandoned.AbandonedStart(machine)
    for revision in range(99, 110):
        world.entry = etcd.Entry(KEY, b"", revision)
        world.look(start, 1)
    assert world.deleted == []


def test_without_a_mark_there_is_nothing_to_remove(world: World, machine: Machine) -> None:
    world.entry = None
    world.look(abandoned.AbandonedStart(machine))
    assert world.deleted == []
