"""What was given up and how it comes back; messages that nobody answered for."""

from __future__ import annotations

import pytest
from guestcomms import db

from tests.db.queue_calls import claim, complete, counters, event, queue, record, states

LETTERS = (
    "SELECT reason, recipients, attempts, redriven_recipients FROM communication_dead_letters"
    " ORDER BY dead_letter_id"
)


def letters(connection: db.Connection) -> list[tuple[object, ...]]:
    return connection.execute(LETTERS.encode()).fetchall()


def skip_waiting(owner: db.Connection) -> None:
    owner.execute("UPDATE communication_recipients SET next_attempt_at = NULL")
    owner.execute("UPDATE communication_batch_queue SET run_at = now()")


def test_a_chunk_that_kills_its_workers_is_given_up_and_redriven(
    organization: str, owner: db.Connection, ops: db.Connection, worker: db.Connection
) -> None:
    message = queue(owner, organization, 20)
    for _ in range(5):
        assert len(claim(worker, messages=2)) == 1
        owner.execute("UPDATE communication_batch_queue SET lease_until = now() - interval '1 s'")
    assert claim(worker) == []
    assert states(owner, message) == counters(owner, message) == {"unknown": 10, "failed": 10}
    assert letters(ops) == [("leases_lost", 10, 5, None)]
    assert db.rows(owner, "SELECT FROM communication_batch_queue") == []

    assert db.one_value(ops, b"SELECT redrive_dead_letters(%s)", (organization,)) == 10
    assert db.one_value(ops, b"SELECT redrive_dead_letters(%s)", (organization,)) == 0
    assert letters(ops) == [("leases_lost", 10, 5, 10)]
    [chunk] = claim(worker)
    complete(worker, chunk, chunk.results())
    assert states(owner, message) == counters(owner, message) == {"unknown": 10, "sent": 10}


def test_endless_temporary_errors_end(
    organization: str, owner: db.Connection, ops: db.Connection, worker: db.Connection
) -> None:
    message = queue(owner, organization, 3)
    for _ in range(10):
        skip_waiting(owner)
        [chunk] = claim(worker)
        results = chunk.results("temporary", error_code="4.2.2", error_message="mailbox full")
        complete(worker, chunk, results[:1] + chunk.results()[1:])
    assert states(owner, message) == counters(owner, message) == {"failed": 1, "sent": 2}
    assert letters(ops) == [("attempts_exhausted", 1, 0, None)]
    assert owner.execute(
        "SELECT error_code, error_message FROM communication_recipients WHERE status = 'failed'"
    ).fetchall() == [("dead_letter", "4.2.2: mailbox full")]
    letter = db.one_value(ops, b"SELECT dead_letter_id FROM communication_dead_letters")
    redrive = b"SELECT redrive_dead_letters(%s, %s)"
    assert db.one_value(ops, redrive, (organization, letter)) == 1
    with pytest.raises(db.DatabaseError) as refusal:
        ops.execute(redrive, (organization, letter))
    assert refusal.value.sqlstate == "GC364"
    [chunk] = claim(worker)
    complete(worker, chunk, chunk.results())
    assert states(owner, message) == counters(owner, message) == {"sent": 3}


def test_a_failed_batch_is_tried_again_and_then_given_up(
    organization: str, owner: db.Connection, ops: db.Connection, worker: db.Connection
) -> None:
    message = queue(owner, organization, 5)
    became = []
    for _ in range(5):
        skip_waiting(owner)
        [chunk] = claim(worker, messages=2)
        became.append(
            db.one_value(
                worker, b"SELECT fail_batch(%s, %s, %s, 'no template')",
                (chunk.organization_id, chunk.batch_id, chunk.lease_token),
            )
        )  # fmt: skip
        assert claim(worker) == []
    assert became == ["scheduled"] * 4 + ["dead"]
    assert states(owner, message) == counters(owner, message) == {"failed": 5}
    assert letters(ops) == [("attempts_exhausted", 5, 5, None)]


def test_a_rejected_batch_is_given_up_at_once(
    organization: str, owner: db.Connection, ops: db.Connection, worker: db.Connection
) -> None:
    message = queue(owner, organization, 5)
    [chunk] = claim(worker, messages=2)
    key = (chunk.organization_id, chunk.batch_id, chunk.lease_token)
    for missing in (b"NULL", b"'x', NULL"):
        with pytest.raises(db.DatabaseError) as refusal:
            worker.execute(b"SELECT fail_batch(%s, %s, %s, " + missing + b")", key)
        assert refusal.value.sqlstate == "GC300"
    assert db.one_value(worker, b"SELECT fail_batch(%s, %s, %s, 'x', false)", key) == "dead"
    assert letters(ops) == [("rejected", 5, 1, None)]
    owner.execute("UPDATE guest_communications SET status = 'cancelled', cancelled_at = now()")
    assert db.one_value(ops, b"SELECT redrive_dead_letters(%s)", (organization,)) == 0
    assert states(owner, message) == counters(owner, message) == {"failed": 5}


@pytest.mark.parametrize(
    ("action", "after"), [("sent", "sent"), ("failed", "failed"), ("queue_again", "queued")]
)
def test_what_is_unknown_is_resolved_by_operations(
    organization: str, owner: db.Connection, ops: db.Connection, worker: db.Connection,
    action: str, after: str,
) -> None:  # fmt: skip
    message = queue(owner, organization, 1500)
    for chunk in claim(worker, batches=2, messages=1000):
        complete(worker, chunk, [])
    assert states(owner, message) == {"unknown": 1500}
    resolve = b"SELECT resolve_unknown(%s, %s, %s, 'asked the provider')"
    assert db.one_value(ops, resolve, (organization, message, action)) == 1500
    assert db.one_value(ops, resolve, (organization, message, action)) == 0
    assert states(owner, message) == counters(owner, message) == {after: 1500}
    assert owner.execute(
        "SELECT DISTINCT error_code, error_message FROM communication_recipients"
    ).fetchall() == [("resolved", f"{action}, says wedsync_ops: asked the provider")]
    served = [one for chunk in claim(worker, 3, 1000) for one in chunk.recipient_ids]
    assert len(served) == (1500 if action == "queue_again" else 0)


def test_a_late_event_outranks_a_decision(
    organization: str, owner: db.Connection, ops: db.Connection, worker: db.Connection
) -> None:
    message = queue(owner, organization, 1)
    [chunk] = claim(worker)
    complete(worker, chunk, [])
    ops.execute("SELECT resolve_unknown(%s, %s, 'sent', 'x')", (organization, message))
    record(worker, organization, [event(chunk.recipient_ids[0], "bounced")])
    assert states(owner, message) == counters(owner, message) == {"bounced": 1}


@pytest.mark.parametrize("arguments", ["'lost', 'x'", "'sent', NULL", "'sent', ''", "NULL, 'x'"])
def test_a_resolution_needs_an_action_and_a_note(
    organization: str, ops: db.Connection, arguments: str
) -> None:
    with pytest.raises(db.DatabaseError) as refusal:
        ops.execute(
            f"SELECT resolve_unknown('{organization}', '{organization}', {arguments})".encode()
        )
    assert refusal.value.sqlstate == "GC365"
