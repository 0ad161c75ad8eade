"""What a restore of the cluster freezes is thawed when it is undone, and nothing else is."""

from __future__ import annotations

from typing import Any

import pytest
from guestcomms import db
from guestcomms.cluster_restore import Restore
from guestcomms.errors import GuestcommsError
from guestcomms.restore_record import Record

from tests.db.server import Database

FROZEN = b"SELECT frozen FROM internal.sending_state"


class Stack:
    """As much of a stack as is asked: its way in, and no machines."""

    name = "local"

    def __init__(self, database: Database) -> None:
        self.at = database.dsn("wedsync_ops")

    def dsn(self, role: str) -> str:
        assert role == "ops"
        return self.at

    def machines(self, _role: str) -> tuple[str, ...]:
        return ()


class Ledger:
    """A record that only this test writes."""

    me = "0123456789abcdef"

    def __init__(self) -> None:
        self.record: Record | None = Record(
            restore_id="restore_20260102_030405", kind="lsn", value="0/3000000", inclusive=True,
            label="20260102-030405F", machine="pg-1", machines=("pg-1",), step="copied",
        )  # fmt: skip

    def get(self) -> Record:
        assert self.record
        return self.record

    def save(self, **changes: object) -> Record:
        self.record = self.get().model_copy(update=changes)
        return self.record

    def must_be(self, _ending: str) -> None:
        """Nobody else is there."""

    def end(self) -> None:
        self.record = None


@pytest.fixture
def stack(database: Database) -> Stack:
    return Stack(database)


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def restore(stack: Any, ledger: Any) -> Restore:
    return Restore(stack, ledger, lambda _sentence: None, 5)


def is_frozen(ops: db.Connection) -> bool:
    return bool(db.one_value(ops, FROZEN))


def test_frozen_twice_is_thawed_all_the_same(
    restore: Restore, ledger: Ledger, ops: db.Connection
) -> None:
    """Ctrl-C while sending is being frozen, --resume, --abort."""
    restore.freeze()
    ledger.save(step="copied")
    restore.freeze()
    assert is_frozen(ops)
    ledger.save(step="copied")
    restore.undo()
    assert not is_frozen(ops)
    assert ledger.record is None


def test_what_somebody_else_froze_stays_frozen(
    restore: Restore, ledger: Ledger, ops: db.Connection
) -> None:
    ops.execute("SELECT freeze_sending('wrong template')")
    restore.freeze()
    ledger.save(step="copied")
    restore.undo()
    assert is_frozen(ops)


def test_what_cannot_be_thawed_is_not_undone(
    restore: Restore, ledger: Ledger, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("guestcomms.cluster_restore.ANSWER_SECONDS", 0)
    restore.freeze()
    ledger.save(step="copied")
    stack.at = "host=127.0.0.1 port=1 dbname=nowhere"
    with pytest.raises(GuestcommsError, match=r"still frozen.*--abort"):
        restore.undo()
    assert ledger.get().aborting
