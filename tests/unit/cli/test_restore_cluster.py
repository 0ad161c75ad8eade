"""A restore of the cluster: one at a time, resumed where it stands, never begun by mistake."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from guestcomms import cluster_restore, restore_plan, restore_record
from guestcomms.errors import BusyError, RefusedError, UsageError
from guestcomms.restore_plan import Plan
from guestcomms.restore_record import STEPS, Ledger, Record

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
