"""A restore of the cluster: one at a time, resumed where it stands, never begun by mistake."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from guestcomms import cluster_restore, health, restore_plan, restore_record
from guestcomms.cluster_restore import Restore
from guestcomms.errors import BusyError, GuestcommsError, RefusedError, UsageError
from guestcomms.restore_plan import Plan, Position, furthest
from guestcomms.restore_record import STEPS, Ledger, Record
from guestcomms.run import CommandError
from guestcomms.status import restore_check

RECORD = Record(
    restore_id="restore_20260102_030405", kind="time", value="2026-01-02 03:04:05.000000+00",
    inclusive=True, label="20260102-030405F", machine="pg-1", machines=("pg-1", "pg-2"),
)  # fmt: skip


class Store:
    """What etcd does with the record: a write counts if nobody has written since."""

    def __init__(self) -> None:
        self.revision = 0
        self.record: dict[str, Any] | None = None

    def __call__(
        self, _stack: object, _machine: str, action: str, *, told: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        if action == "record":
            return {"revision": self.revision, "record": self.record}
        assert told is not None
        written = told["revision"] == self.revision
        if written:
            self.record = told["record"]
            self.revision = self.revision + 1 if self.record else 0
        return {"written": written, "revision": self.revision}


class OneMachine:
    """As much of a stack as a record needs."""

    name = "local"

    def machines(self, _role: str) -> tuple[str, ...]:
        return ("pg-1",)


@pytest.fixture
def ledgers(monkeypatch: pytest.MonkeyPatch) -> tuple[Ledger, Ledger]:
    """Two people with one stack."""
    monkeypatch.setattr(restore_record, "agent", Store())
    stack: Any = OneMachine()
    return Ledger(stack), Ledger(stack)


def test_a_second_restore_is_refused_while_one_is_under_way(
    ledgers: tuple[Ledger, Ledger],
) -> None:
    mine, other = ledgers
    with mine.held(begin=RECORD), pytest.raises(BusyError, match="is under way"):
        other.held(begin=RECORD).__enter__()


def test_nobody_goes_on_beside_another_one(ledgers: tuple[Ledger, Ledger]) -> None:
    mine, other = ledgers
    with mine.held(begin=RECORD), pytest.raises(BusyError, match="goes on"):
        other.held().__enter__()
    with other.held():
        assert other.save(step="copied").has_done("copied")
    assert (other.read() or RECORD).holder is None


def test_a_dead_one_is_taken_over_when_its_lease_has_ended(
    ledgers: tuple[Ledger, Ledger],
) -> None:
    mine, other = ledgers
    with mine.held(begin=RECORD):
        mine._write(mine.get())
        ended = {"lease_until": datetime.now(UTC) - timedelta(seconds=1)}
        dead = mine.get().model_copy(update=ended).model_dump(mode="json")
        mine._say({"revision": mine._revision, "record": dead})
        with other.held(), pytest.raises(BusyError, match="nothing was written"):
            mine.save(step="frozen")
        mine.read()


def test_what_was_not_begun_cannot_be_resumed(ledgers: tuple[Ledger, Ledger]) -> None:
    ledgers[0].read()
    with pytest.raises(RefusedError, match="No restore of stack local is under way"):
        ledgers[0].get()


def test_what_has_ended_is_forgotten(ledgers: tuple[Ledger, Ledger]) -> None:
    mine, other = ledgers
    with mine.held(begin=RECORD):
        mine.end()
    assert other.read() is None


def test_steps_are_in_order() -> None:
    for number, step in enumerate(STEPS):
        record = RECORD.model_copy(update={"step": step})
        assert [record.has_done(one) for one in STEPS] == [
            place <= number for place in range(len(STEPS))
        ]


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("2026-01-02 03:04:05+01", "2026-01-02 02:04:05.000000+00"),
        ("2026-01-02T03:04:05Z", "2026-01-02 03:04:05.000000+00"),
        ("2026-01-02 03:04:05.25 UTC", "2026-01-02 03:04:05.250000+00"),
        ("2026-01-02 03:04:05 +05:30", "2026-01-01 21:34:05.000000+00"),
    ],
)
def test_a_time_is_told_to_the_agent_in_utc(given: str, meant: str) -> None:
    assert restore_plan._utc(given) == meant


@pytest.mark.parametrize("given", ["2026-02-30 03:04:05+01", "2026-01-02 25:00:00Z"])
def test_a_time_that_there_is_not_is_refused(given: str) -> None:
    with pytest.raises(UsageError):
        restore_plan._utc(given)


def test_a_record_keeps_what_was_planned() -> None:
    plan = Plan(
        stack="local", kind="lsn", value="0/3000000", inclusive=False, lsn="0/3000000",
        machine="pg-2", backup="20260102-030405F", type="full", size=1, completed_at=None,
        windows=[], archived_until=None, segments=1, missing=0, timeline=1, free={}, needed=0,
    )  # fmt: skip
    record = cluster_restore.new_record(plan, ["pg-1", "pg-2"])
    assert record.target == "lsn 0/3000000, exclusive"
    assert (record.machine, record.machines, record.step) == ("pg-2", ("pg-1", "pg-2"), "begun")


@pytest.mark.parametrize(
    ("ending", "other", "command"),
    [("aborting", "releasing", "--abort"), ("releasing", "aborting", "restore release")],
)
def test_what_is_ended_in_one_way_is_not_ended_in_another(
    ledgers: tuple[Ledger, Ledger], ending: str, other: str, command: str
) -> None:
    mine, _ = ledgers
    with mine.held(begin=RECORD.model_copy(update={"step": "done"})):
        mine.must_be(other)
        mine.save(**{ending: True})
        mine.must_be(ending)
        for elsewhere in ("", other):
            with pytest.raises(RefusedError, match=command):
                mine.must_be(elsewhere)


class Machines:
    """Three machines whose agents do what they are told, and what each was told."""

    name = "local"

    def __init__(self) -> None:
        self.told: list[str] = []
        self.gone: set[str] = set()
        self.busy = 0
        self.leader: str | None = None
        self.streaming = 2
        self.positions = {one: (5, one != "pg-2", "0/3000000") for one in self.machines("")}

    def machines(self, _role: str) -> tuple[str, ...]:
        return ("pg-1", "pg-2", "pg-3")

    def __call__(
        self, _stack: object, machine: str, action: str, restore_id: str, *, holder: str, **_: Any
    ) -> dict[str, Any]:
        assert (restore_id, len(holder)) == (RECORD.restore_id, 16)
        if machine in self.gone:
            raise CommandError(f"{machine} does not answer.", status=1, stderr="")
        if self.busy:
            self.busy -= 1
            return {"busy": True}
        self.told.append(f"{action} {machine}")
        if action == "start":
            self.leader = self.leader or machine
        if action == "settle":
            timeline, standby, lsn = self.positions[machine]
            return {"timeline": timeline, "standby": standby, "lsn": lsn}
        return {}

    def health(self, _stack: object) -> Any:
        standby = SimpleNamespace(state="streaming")
        return SimpleNamespace(leader=self.leader, replication=[standby] * self.streaming)

    def hears(self) -> list[str]:
        """What was told since the last call."""
        heard, self.told = self.told, []
        return heard


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Machines:
    """The machines of a restore."""
    made = Machines()
    monkeypatch.setattr(cluster_restore, "agent", made)
    monkeypatch.setattr(health, "ask", made.health)
    monkeypatch.setattr(cluster_restore, "POLL_SECONDS", 0.001)
    return made


@pytest.fixture
def begun(cluster: Machines, ledgers: tuple[Ledger, Ledger]) -> Iterator[Restore]:
    """A restore whose old data is aside, and which nobody wants any more."""
    machines = cluster.machines("")
    record = RECORD.model_copy(update={"step": "restored", "machines": machines})
    stack: Any = cluster
    with ledgers[0].held(begin=record):
        yield Restore(stack, ledgers[0], lambda _sentence: None, 0.05)


def test_what_is_undone_already_is_not_undone_again(
    cluster: Machines, begun: Restore, ledgers: tuple[Ledger, Ledger]
) -> None:
    """The old data serves again, only a standby is late: days later nothing is put back."""
    cluster.streaming = 1
    with pytest.raises(GuestcommsError, match="not whole") as raised:
        begun.undo()
    assert "--abort" in raised.value.message
    assert "--resume" not in raised.value.message
    first = cluster.hears()
    assert [one for one in first if one.startswith("back")] == [
        "back pg-2",
        "back pg-3",
        "back pg-1",
    ]
    assert first.index("fork pg-1") < first.index("forget pg-1") < first.index("start pg-1")
    assert ledgers[0].get().serves
    cluster.leader, cluster.streaming = "pg-3", 2
    begun.undo()
    again = cluster.hears()
    assert {one.split()[0] for one in again} == {"start", "document", "clean"}
    assert ledgers[0].found is None


def test_a_machine_that_is_gone_does_not_block_for_ever(
    cluster: Machines, begun: Restore, ledgers: tuple[Ledger, Ledger]
) -> None:
    cluster.gone, cluster.streaming = {"pg-3"}, 1
    with pytest.raises(GuestcommsError, match="--abort --without pg-3"):
        begun.undo()
    begun.undo(["pg-3"])
    assert ledgers[0].get().serves
    assert not [one for one in cluster.hears() if "pg-3" in one]
    cluster.gone, cluster.streaming = set(), 2
    begun.undo()
    assert [one for one in cluster.hears() if one.startswith(("stop", "back", "fork"))] == [
        "stop pg-3", "back pg-3",
    ]  # fmt: skip
    assert ledgers[0].found is None


def test_where_the_furthest_is_gone_the_next_one_leads(
    cluster: Machines, begun: Restore, ledgers: tuple[Ledger, Ledger]
) -> None:
    cluster.gone, cluster.streaming = {"pg-1"}, 1
    cluster.positions["pg-2"] = (5, True, "0/3000000")
    cluster.positions["pg-3"] = (5, True, "0/3000100")
    begun.undo(["pg-1"])
    assert "fork pg-3" in cluster.hears()
    assert ledgers[0].get().machine == "pg-3"


def test_before_the_store_forgets_patroni_says_who_leads(
    cluster: Machines, begun: Restore, ledgers: tuple[Ledger, Ledger]
) -> None:
    ledgers[0].save(step="aside")
    begun.undo()
    assert not {"fork", "forget", "settle"} & {one.split()[0] for one in cluster.hears()}


def test_a_step_waits_for_one_that_is_under_way(cluster: Machines, begun: Restore) -> None:
    cluster.busy = 3
    begun._start("pg-1")
    assert cluster.hears() == ["start pg-1"]
    cluster.busy = 10**6
    with pytest.raises(BusyError, match="still does an earlier step"):
        begun._agent("pg-1", "back", timeout=0.05)


def test_the_old_data_is_taken_from_the_machine_that_goes_furthest(
    cluster: Machines, begun: Restore, ledgers: tuple[Ledger, Ledger]
) -> None:
    """The leader changed while machines were stopped."""
    ledgers[0].save(step="stopped")
    begun.aside()
    heard = cluster.hears()
    assert ledgers[0].get().machine == "pg-2"
    assert max(map(heard.index, ["stop pg-1", "stop pg-2", "stop pg-3"])) < heard.index(
        "settle pg-1"
    )
    assert heard[-3:] == ["aside pg-1", "aside pg-2", "aside pg-3"]


@pytest.mark.parametrize(
    ("seen", "chosen"),
    [
        ({"pg-1": (5, False, "0/3000000"), "pg-2": (5, True, "0/2000000")}, "pg-1"),
        ({"pg-1": (5, False, "0/3000000"), "pg-2": (6, False, "0/2000000")}, "pg-2"),
        ({"pg-1": (0, False, "0/0"), "pg-2": (6, False, "0/2000000")}, "pg-2"),
        ({"pg-1": (5, False, "0/1000000"), "pg-2": (5, True, "0/2000000")}, "pg-1"),
        ({"pg-1": (5, False, "0/3000000"), "pg-2": (6, True, "0/2000000")}, None),
        ({"pg-1": (5, False, "0/3000000"), "pg-2": (5, False, "0/3000000")}, None),
        ({"pg-1": (0, False, "0/0"), "pg-2": (0, False, "0/0")}, None),
    ],
)
def test_which_data_goes_furthest_is_known_or_refused(
    seen: dict[str, tuple[int, bool, str]], chosen: str | None
) -> None:
    positions = {
        name: Position(timeline=timeline, standby=standby, lsn=lsn)
        for name, (timeline, standby, lsn) in seen.items()
    }
    if chosen:
        assert furthest(positions) == chosen
    else:
        with pytest.raises(RefusedError, match="pg-1: "):
            furthest(positions)


def test_deletion_is_noted_before_it_begins(
    cluster: Machines, begun: Restore, ledgers: tuple[Ledger, Ledger]
) -> None:
    cluster.gone = {"pg-2"}
    with pytest.raises(GuestcommsError, match="restore release"):
        begun.release()
    assert ledgers[0].get().releasing
    with pytest.raises(RefusedError, match="restore release"):
        begun.undo()
    assert cluster.hears() == ["clean pg-1"]


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({"step": "begun"}, True),
        ({"step": "restored"}, True),
        ({"step": "told"}, False),
        ({"step": "done", "releasing": True}, False),
        ({"step": "done", "aborting": True}, True),
        ({"step": "done", "aborting": True, "leads": True}, False),
    ],
)
def test_machines_are_not_changed_while_a_restore_has_them(
    ledgers: tuple[Ledger, Ledger], changes: dict[str, Any], refused: bool
) -> None:
    stack: Any = OneMachine()
    restore_record.refuse_changes(stack)
    with ledgers[0].held(begin=RECORD.model_copy(update=changes)):
        if refused:
            with pytest.raises(RefusedError, match="restore cluster --abort"):
                restore_record.refuse_changes(stack)
        else:
            restore_record.refuse_changes(stack)


def test_status_tells_of_a_restore_and_of_old_data() -> None:
    assert restore_check(None, "local").state == "ok"
    half = restore_check(RECORD, "local")
    assert half.state == "fail"
    assert "--resume" in half.todo
    kept = restore_check(RECORD.model_copy(update={"step": "done"}), "local")
    assert kept.state == "ok"
    assert "its old data is kept" in kept.value
    assert f"restore release {RECORD.restore_id}" in kept.todo


def test_nothing_can_be_left_out_at_a_recovery_point() -> None:
    with pytest.raises(UsageError, match="leave --exclusive out"):
        restore_plan._target("name:before_import", inclusive=False)
