"""The brake: while sending is frozen nothing is claimed."""

from __future__ import annotations

import pytest
from guestcomms import db

from tests.db import queue_calls
from tests.db.queue_calls import claim, complete, queue
from tests.db.server import Database

STATE = b"SELECT frozen, reason, changed_by FROM internal.sending_state"


def test_nothing_is_claimed_while_frozen(database: Database) -> None:
    organization = queue_calls.organization(database)
    with (
        database.connect() as owner,
        database.connect("wedsync_ops") as ops,
        database.connect("wedsync_worker") as worker,
    ):
        queue(owner, organization, 20)
        [before] = claim(worker, messages=5)
        assert db.one_value(ops, b"SELECT freeze_sending('wrong template')")
        assert not db.one_value(ops, b"SELECT freeze_sending('again')")
        assert ops.execute(STATE).fetchone() == (True, "wrong template", "wedsync_ops")
        assert claim(worker) == []
        assert complete(worker, before, before.results()) == "ready"
        assert claim(worker) == []
        assert db.one_value(ops, b"SELECT thaw_sending()")
        assert not db.one_value(ops, b"SELECT thaw_sending()")
        assert ops.execute(STATE).fetchone() == (False, None, "wedsync_ops")
        assert len(claim(worker)[0].recipient_ids) == 15


@pytest.mark.parametrize("reason", ["NULL", "''", "'  '", "repeat('x', 501)"])
def test_a_freeze_needs_a_reason(database: Database, reason: str) -> None:
    with pytest.raises(db.DatabaseError) as refusal:
        database.execute(f"SELECT freeze_sending({reason})", "wedsync_ops")
    assert refusal.value.sqlstate == "GC366"
