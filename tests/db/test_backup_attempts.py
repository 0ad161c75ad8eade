"""A backup has three attempts, and only the present one may speak for it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from guestcomms import db

from tests.db.server import Database
from tests.db.test_backups import AGENT, ask, claim, complete, end_lease, fail, result, row


def test_a_lost_agent_is_replaced_twice_then_the_backup_fails(database: Database) -> None:
    backup_id = ask(database)
    for attempt, node in enumerate(("pg-1", "pg-2", "pg-3"), 1):
        assert claim(database, node) == [(backup_id, "full", attempt)]
        assert row(database, backup_id)["attempts"] == attempt
        assert claim(database, "pg-9") == []
        end_lease(database)
    assert claim(database) == []
    failed = row(database, backup_id)
    assert failed["status"] == "failed"
    assert failed["error"] == "given up after 3 attempts, the last on pg-3: its lease ended"


@pytest.mark.parametrize("taker", ["pg-2", "pg-1"])
def test_whoever_lost_it_can_neither_extend_nor_complete_nor_fail(
    database: Database, taker: str
) -> None:
    """The one that takes over may well be the next attempt of the same machine."""
    backup_id = ask(database)
    claim(database, "pg-1")
    extend = "SELECT internal.extend_backup_lease('{}', '{}', {}, '1 minute')"
    assert database.value(extend.format(backup_id, "pg-1", 1), AGENT) is True
    end_lease(database)
    claim(database, taker)
    assert database.value(extend.format(backup_id, "pg-1", 1), AGENT) is False
    with pytest.raises(db.DatabaseError) as refusal:
        complete(database, backup_id, result())
    assert refusal.value.sqlstate == "GC103"
    with pytest.raises(db.DatabaseError) as refusal:
        fail(database, backup_id)
    assert refusal.value.sqlstate == "GC103"
    assert (row(database, backup_id)["node"], row(database, backup_id)["status"]) == (
        taker,
        "running",
    )
    complete(database, backup_id, result(), taker, attempt=2)
    assert row(database, backup_id)["status"] == "completed"


def test_a_failure_that_may_pass_costs_an_attempt_and_the_last_one_the_backup(
    database: Database,
) -> None:
    backup_id = ask(database)
    for attempt in (1, 2):
        assert claim(database) == [(backup_id, "full", attempt)]
        assert fail(database, backup_id, attempt, "1 minute", "no answer") == "running"
        waiting = row(database, backup_id)
        assert (waiting["error"], waiting["failed_at"]) == ("no answer", None)
        assert waiting["lease_until"] > datetime.now(UTC) + timedelta(seconds=30)
        assert claim(database) == []  # not before the pause is over
        end_lease(database)
    assert claim(database) == [(backup_id, "full", 3)]
    assert fail(database, backup_id, 3, "1 minute", "still no answer") == "failed"
    failed = row(database, backup_id)
    assert (failed["error"], failed["lease_until"]) == ("still no answer", None)
    assert claim(database) == []


def test_a_later_attempt_that_succeeds_has_no_error(database: Database) -> None:
    backup_id = ask(database)
    claim(database)
    fail(database, backup_id, 1, "1 minute")
    end_lease(database)
    claim(database)
    complete(database, backup_id, result(), attempt=2)
    assert (row(database, backup_id)["status"], row(database, backup_id)["error"]) == (
        "completed",
        None,
    )


@pytest.mark.parametrize("pause", ["0 seconds", "-1 hour", "2 days"])
def test_an_impossible_pause_is_refused(database: Database, pause: str) -> None:
    backup_id = ask(database)
    claim(database)
    with pytest.raises(db.DatabaseError) as refusal:
        fail(database, backup_id, 1, pause)
    assert refusal.value.sqlstate == "GC102"
    assert row(database, backup_id)["status"] == "running"
