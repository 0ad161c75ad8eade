"""The queue: who gets which chunk when, and what happens to a chunk whose worker dies."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from guestcomms import db

from tests.db import queue_calls
from tests.db.queue_calls import claim, complete, counters, queue, states
from tests.db.server import Database


def end_leases(owner: db.Connection) -> None:
    owner.execute(
        "UPDATE communication_batch_queue SET lease_until = now() - interval '1 second'"
        " WHERE state = 'leased'"
    )


def chunks(owner: db.Connection) -> list[dict[str, object]]:
    return db.rows(
        owner, "SELECT state, attempts, last_error FROM communication_batch_queue ORDER BY batch_id"
    )


def test_claimed_and_answered_for(
    organization: str, owner: db.Connection, worker: db.Connection
) -> None:
    message = queue(owner, organization, 250, chunk=100)
    seen: list[str] = []
    while claimed := claim(worker, batches=2, messages=40):
        for chunk in claimed:
            assert chunk.recipient_ids == sorted(chunk.recipient_ids)
            seen += chunk.recipient_ids
            complete(
                worker,
                chunk,
                chunk.results(provider_message_id=f"m-{len(seen)}")[:1] + chunk.results()[1:],
            )
    assert len(seen) == len(set(seen)) == 250
    assert states(owner, message) == counters(owner, message) == {"sent": 250}
    assert chunks(owner) == []


def test_a_claim_of_nothing_is_empty(worker: db.Connection) -> None:
    assert claim(worker) == []


def test_eight_claimers_never_share_a_row(
    database: Database, organization: str, owner: db.Connection
) -> None:
    message = queue(owner, organization, 2000, chunk=50)
    start = threading.Barrier(8)

    def work(_: int) -> list[str]:
        mine: list[str] = []
        with database.connect("wedsync_worker") as connection:
            start.wait()
            while claimed := claim(connection, batches=2, messages=20):
                for chunk in claimed:
                    mine += chunk.recipient_ids
                    complete(connection, chunk, chunk.results())
        return mine

    with ThreadPoolExecutor(8) as pool:
        shares = list(pool.map(work, range(8)))
    everybody = [one for share in shares for one in share]
    assert len(everybody) == len(set(everybody))
    # Who found everything leased by others went home; what is left is still there for the next.
    with database.connect("wedsync_worker") as connection:
        while claimed := claim(connection, batches=10, messages=1000):
            for chunk in claimed:
                everybody += chunk.recipient_ids
                complete(connection, chunk, chunk.results())
    assert len(everybody) == len(set(everybody)) == 2000
    assert states(owner, message) == counters(owner, message) == {"sent": 2000}


def test_a_small_organization_does_not_wait_for_a_big_one(
    database: Database, organization: str, owner: db.Connection, worker: db.Connection
) -> None:
    small = queue_calls.organization(database, "B")
    queue(owner, organization, 10_000, chunk=100)
    queue(owner, small, 10, rank=100)
    served = [claim(worker)[0].organization_id for _ in range(2)]
    assert small in served


def test_organizations_take_turns_within_a_chunk(
    database: Database, organization: str, owner: db.Connection, worker: db.Connection
) -> None:
    other = queue_calls.organization(database, "B")
    queue(owner, organization, 1000)
    queue(owner, other, 1000)
    served = []
    for _ in range(10):
        [chunk] = claim(worker, messages=100)
        complete(worker, chunk, chunk.results())
        served.append(chunk.organization_id)
    assert served.count(other) == 5


def test_the_most_urgent_comes_first(
    organization: str, owner: db.Connection, worker: db.Connection
) -> None:
    by_priority = {queue(owner, organization, 1, priority=number): number for number in (5, 9, 1)}
    served = [by_priority[claim(worker)[0].communication_id] for _ in range(3)]
    assert served == [1, 5, 9]


def test_a_flood_of_urgent_messages_delays_nobody_else(
    database: Database, organization: str, owner: db.Connection, worker: db.Connection
) -> None:
    """A queues another most urgent chunk before each claim; B, least urgent, has half the turns."""
    other = queue_calls.organization(database, "B")
    queue(owner, organization, 1000, priority=9)
    queue(owner, other, 1000, priority=9)
    served, urgent = [], set()
    for _ in range(20):
        rank = db.one_value(owner, "SELECT internal.fair_rank(%s, 'email') + 100", (organization,))
        assert isinstance(rank, int)
        urgent.add(queue(owner, organization, 100, priority=1, rank=rank))
        [chunk] = claim(worker, messages=100)
        complete(worker, chunk, chunk.results())
        served.append(chunk)
    assert 9 <= [one.organization_id for one in served].count(other) <= 11
    mine = [one.communication_id for one in served if one.organization_id == organization]
    assert set(mine[1:]) <= urgent  # and within A the urgent ones come first


def test_what_urgent_chunks_overtake_is_sent_in_the_end(
    database: Database, organization: str, owner: db.Connection, worker: db.Connection
) -> None:
    other = queue_calls.organization(database, "B")
    for number, of in enumerate((organization, other, organization, other)):
        for priority in (9, 5, 1):
            queue(owner, of, 50, chunk=10, priority=priority, rank=number * 50)
    everybody: list[str] = []
    while claimed := claim(worker, batches=3, messages=4):
        for chunk in claimed:
            everybody += chunk.recipient_ids
            complete(worker, chunk, chunk.results())
    assert len(everybody) == len(set(everybody)) == 600


def test_a_worker_gets_the_channels_that_it_speaks(
    organization: str, owner: db.Connection, worker: db.Connection
) -> None:
    by_channel = {queue(owner, organization, 30, channel=one): one for one in ("sms", "email")}
    assert [
        by_channel[one.communication_id] for one in claim(worker, 9, 10, channels=["email"])
    ] == ["email"]
    assert claim(worker, channels=["push", "in_app"]) == []
    both = claim(worker, channels=["sms", "push"])
    assert [by_channel[one.communication_id] for one in both] == ["sms"]


def test_turns_are_taken_in_a_channel_whatever_another_one_does(
    database: Database, organization: str, owner: db.Connection, worker: db.Connection
) -> None:
    """Nobody speaks sms for a while: e-mail goes on, and sms is found when somebody does."""
    queue(owner, organization, 20, channel="sms")
    queue(owner, organization, 3000, chunk=100)
    for _ in range(20):
        for chunk in claim(worker, channels=["email"], messages=100):
            complete(worker, chunk, chunk.results())
    [chunk] = claim(worker)
    assert len(chunk.recipient_ids) == 20
    other = queue_calls.organization(database, "B")
    rank = db.one_value(owner, "SELECT internal.fair_rank(%s, 'sms')", (other,))
    front = db.one_value(owner, "SELECT pg_sequence_last_value('internal.queue_front_email')")
    assert rank == front
    assert isinstance(front, int)
    assert front > 1000


def test_a_worker_that_claims_again_gets_something_else(
    database: Database, organization: str, owner: db.Connection, worker: db.Connection
) -> None:
    """The same name, in one call, in the next, and from another connection at the same time."""
    message = queue(owner, organization, 400, chunk=10)
    got = claim(worker, batches=10, messages=10)
    got += claim(worker, batches=10, messages=4)

    def again(_: int) -> list[queue_calls.Claimed]:
        with database.connect("wedsync_worker") as connection:
            return [one for _ in range(4) for one in claim(connection, batches=2, messages=10)]

    with ThreadPoolExecutor(4) as pool:
        for more in pool.map(again, range(4)):
            got += more
    assert claim(worker, batches=10) == []
    assert len(got) == len({one.batch_id for one in got}) == 40
    ids = [one for chunk in got for one in chunk.recipient_ids]
    assert len(ids) == len(set(ids)) == 340
    assert states(owner, message) == {"sending": 340, "queued": 60}


def test_scheduled_chunks_wait(
    organization: str, owner: db.Connection, worker: db.Connection
) -> None:
    queue(owner, organization, 5, run_in="1 hour")
    assert claim(worker) == []
    owner.execute("UPDATE communication_batch_queue SET run_at = now()")
    assert len(claim(worker)[0].recipient_ids) == 5


def test_what_a_busy_queue_hides_is_found_within_a_second(
    organization: str, owner: db.Connection, worker: db.Connection
) -> None:
    """A chunk behind the front: its rank is lower than that of what was claimed last."""
    queue(owner, organization, 1000, chunk=1, rank=5000)
    claim(worker, batches=100)
    hidden = queue(owner, organization, 1, rank=0)
    deadline = time.monotonic() + 5
    while claim(worker)[0].communication_id != hidden:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_an_inactive_organization_is_put_off(
    organization: str, owner: db.Connection, worker: db.Connection
) -> None:
    queue(owner, organization, 5)
    owner.execute("UPDATE organizations SET state = 'suspended'")
    assert claim(worker) == []
    assert [chunk["state"] for chunk in chunks(owner)] == ["scheduled"]


def test_gates_are_asked_again(
    organization: str, owner: db.Connection, worker: db.Connection
) -> None:
    message = queue(owner, organization, 3)
    owner.execute(
        "INSERT INTO suppressions (organization_id, channel, address_hash, reason)"
        " SELECT organization_id, channel, address_hash, 'manual' FROM communication_recipients"
        " WHERE right(id::text, 1) = '1'"
    )
    [chunk] = claim(worker)
    assert len(chunk.recipient_ids) == 2
    complete(worker, chunk, chunk.results())
    assert states(owner, message) == counters(owner, message) == {"sent": 2, "suppressed": 1}
    assert (
        db.one_value(
            owner,
            b"SELECT suppression_reason FROM communication_recipients WHERE status = 'suppressed'",
        )
        == "suppressed:manual"
    )


def test_a_window_postpones(organization: str, owner: db.Connection, worker: db.Connection) -> None:
    message = queue(owner, organization, 3)
    owner.execute(
        "UPDATE guest_communications SET window_from = (now() + interval '2 hours')::time,"
        " window_until = (now() + interval '3 hours')::time"
    )
    assert claim(worker) == []
    assert states(owner, message) == counters(owner, message) == {"queued": 3}
    assert db.one_value(
        owner,
        b"SELECT state = 'scheduled' AND run_at BETWEEN now() + interval '119 minutes'"
        b" AND now() + interval '2 hours' FROM communication_batch_queue",
    )


def test_a_lost_lease_leaves_unknown_messages_that_nobody_claims(
    organization: str, owner: db.Connection, worker: db.Connection
) -> None:
    message = queue(owner, organization, 5)
    [lost] = claim(worker, messages=2)
    end_leases(owner)
    [next_one] = claim(worker)
    assert not set(lost.recipient_ids) & set(next_one.recipient_ids)
    assert chunks(owner)[0]["attempts"] == 1
    complete(worker, next_one, next_one.results())
    assert states(owner, message) == counters(owner, message) == {"unknown": 2, "sent": 3}
    assert claim(worker) == []


def test_whoever_lost_a_lease_changes_nothing(
    organization: str, owner: db.Connection, worker: db.Connection
) -> None:
    message = queue(owner, organization, 5)
    [lost] = claim(worker, messages=2)
    end_leases(owner)
    claim(worker, messages=1)
    for statement in (
        "SELECT complete_batch(%s, %s, %s, '[]')",
        "SELECT fail_batch(%s, %s, %s, 'x')",
        "SELECT extend_lease(%s, %s, %s)",
    ):
        with pytest.raises(db.DatabaseError) as refusal:
            worker.execute(
                statement.encode(), (lost.organization_id, lost.batch_id, lost.lease_token)
            )
        assert refusal.value.sqlstate == "GC361"
    assert states(owner, message) == {"unknown": 2, "sending": 1, "queued": 2}


def test_a_late_answer_counts_while_nobody_took_the_lease(
    organization: str, owner: db.Connection, worker: db.Connection
) -> None:
    message = queue(owner, organization, 2)
    [late] = claim(worker)
    end_leases(owner)
    complete(worker, late, late.results())
    assert states(owner, message) == {"sent": 2}


def test_an_extended_lease_is_kept(
    organization: str, owner: db.Connection, worker: db.Connection
) -> None:
    queue(owner, organization, 2)
    [mine] = claim(worker)
    end_leases(owner)
    worker.execute(
        "SELECT extend_lease(%s, %s, %s, '1 hour')",
        (mine.organization_id, mine.batch_id, mine.lease_token),
    )
    assert claim(worker) == []
    assert complete(worker, mine, mine.results()) == "deleted"


def test_temporary_errors_back_off(
    organization: str, owner: db.Connection, worker: db.Connection
) -> None:
    message = queue(owner, organization, 50)
    [chunk] = claim(worker)
    assert complete(worker, chunk, chunk.results("temporary", error_code="4.2.1")) == "scheduled"
    assert states(owner, message) == counters(owner, message) == {"queued": 50}
    assert claim(worker) == []
    shortest, longest, different = owner.execute(
        "SELECT extract(epoch FROM min(next_attempt_at) - now())::float,"
        " extract(epoch FROM max(next_attempt_at) - now())::float, count(DISTINCT next_attempt_at)"
        " FROM communication_recipients"
    ).fetchone() or (0, 0, 0)
    assert 28 <= shortest <= longest <= 60
    assert different > 40


@pytest.mark.parametrize("attempts", range(1, 10))
def test_a_delay_is_between_half_and_the_whole_of_its_bound(
    owner: db.Connection, attempts: int
) -> None:
    bound = min(3600, 60 * 2 ** (attempts - 1))
    shortest, longest = owner.execute(
        "SELECT extract(epoch FROM min(delay))::float, extract(epoch FROM max(delay))::float"
        " FROM generate_series(1, 100) AS number,"
        " LATERAL internal.retry_delay(%s + 0 * number) AS delay",
        (attempts,),
    ).fetchone() or (0, 0)
    assert bound / 2 <= shortest < longest <= bound


def test_each_outcome_has_its_state(
    organization: str, owner: db.Connection, worker: db.Connection
) -> None:
    message = queue(owner, organization, 6)
    [chunk] = claim(worker)
    one = chunk.results("permanent", error_code="5.1.1", error_message="no such user")[:1]
    one += chunk.results("unknown")[1:2] + chunk.results("not_attempted")[2:3]
    one += chunk.results()[3:4] + chunk.results("temporary")[4:5]  # the sixth has no result
    assert complete(worker, chunk, one) == "ready"
    assert (
        states(owner, message)
        == counters(owner, message)
        == {
            "failed": 1,
            "unknown": 2,
            "queued": 2,
            "sent": 1,
        }
    )
    assert (
        db.one_value(
            owner,
            b"SELECT attempts FROM communication_recipients WHERE next_attempt_at IS NULL"
            b" AND status = 'queued'",
        )
        == 0
    )


@pytest.mark.parametrize(
    "result",
    [
        {
            "recipient_id": "018f0000-0000-7000-8000-000000000009",
            "outcome": "sent",
            "provider": "x",
        },
        {"recipient_id": "no uuid", "outcome": "sent", "provider": "x"},
        {"outcome": "sent", "provider": "x"},
        {"recipient_id": None, "outcome": "lost"},
        {"recipient_id": None, "outcome": "sent"},
        {
            "recipient_id": None,
            "outcome": "sent",
            "provider": "x",
            "provider_message_id": "y" * 501,
        },
    ],
)
def test_a_result_that_is_not_usable_is_refused(
    organization: str, owner: db.Connection, worker: db.Connection, result: dict[str, str]
) -> None:
    message = queue(owner, organization, 3)
    [chunk] = claim(worker)
    if result.get("recipient_id", "") is None:
        result = {**result, "recipient_id": chunk.recipient_ids[0]}
    for results in ([*chunk.results()[1:], result], [*chunk.results(), chunk.results()[0]]):
        with pytest.raises(db.DatabaseError) as refusal:
            complete(worker, chunk, results)
        assert refusal.value.sqlstate == "GC362"
    assert states(owner, message) == {"sending": 3}
    complete(worker, chunk, chunk.results())


@pytest.mark.parametrize("results", ["null", "{}", "3", '"x"', "[1]", '["x"]', "[null]"])
def test_nonsense_results_are_refused(
    organization: str, owner: db.Connection, worker: db.Connection, results: str
) -> None:
    queue(owner, organization, 1)
    [chunk] = claim(worker)
    with pytest.raises(db.DatabaseError) as refusal:
        worker.execute(
            "SELECT complete_batch(%s, %s, %s, %s)",
            (chunk.organization_id, chunk.batch_id, chunk.lease_token, results),
        )
    assert refusal.value.sqlstate == "GC362"


@pytest.mark.parametrize(
    "arguments",
    ["NULL", "''", "'w', 0", "'w', 101", "'w', NULL", "'w', 1, '0 seconds'", "'w', 1, '2 hours'",
     "'w', 1, NULL", "'w', 1, '1 minute', 0", "'w', 1, '1 minute', 1001",
     "'w', 1, '1 minute', 10, '{}'", "'w', 1, '1 minute', 10, '{email,fax}'",
     "'w', 1, '1 minute', 10, '{NULL}'"],
)  # fmt: skip
def test_a_claim_out_of_bounds_is_refused(worker: db.Connection, arguments: str) -> None:
    with pytest.raises(db.DatabaseError) as refusal:
        worker.execute(f"SELECT * FROM claim_batches({arguments})".encode())
    assert refusal.value.sqlstate == "GC360"


def test_leases_of_overlapping_chunks_do_not_touch_each_other(
    organization: str, owner: db.Connection, worker: db.Connection
) -> None:
    message = queue(owner, organization, 4)
    owner.execute(
        "INSERT INTO communication_batch_queue (organization_id, batch_id, operation_type,"
        " channel, communication_id, communication_created_at, first_recipient_id,"
        " last_recipient_id, recipients)"
        " SELECT organization_id, 'again', 'send', channel, communication_id,"
        " communication_created_at, first_recipient_id, last_recipient_id, recipients"
        " FROM communication_batch_queue"
    )
    first, second = claim(worker, batches=2, messages=2)
    assert len({*first.recipient_ids, *second.recipient_ids}) == 4
    owner.execute(
        "UPDATE communication_batch_queue SET lease_until = now() - interval '1 second'"
        " WHERE batch_id = %s",
        (first.batch_id,),
    )
    claim(worker)
    complete(worker, second, second.results())
    assert states(owner, message) == counters(owner, message) == {"unknown": 2, "sent": 2}


def test_workers_are_scaled_by_the_newest_message(
    database: Database, worker: db.Connection
) -> None:
    assert db.rows(worker, "SELECT * FROM wanted_workers()") == []
    for number in (4, 7):
        with database.connect("wedsync_ops") as ops:
            ops.execute(
                "INSERT INTO communication_batch_queue"
                " (batch_id, operation_type, payload, priority)"
                " VALUES (%s, 'scale_workers', jsonb_build_object('worker_count', %s::int), 1)",
                (f"scale-{number}", number),
            )
    wanted = {"batch_id": "scale-7", "worker_count": 7, "acknowledged": False}
    assert db.rows(worker, "SELECT * FROM wanted_workers()") == [wanted]
    for _ in range(2):
        assert db.one_value(worker, b"SELECT acknowledge_worker_count('s', 'scale-7')") == 7
    assert db.rows(worker, "SELECT * FROM wanted_workers()") == [wanted | {"acknowledged": True}]
    assert claim(worker) == []
    with pytest.raises(db.DatabaseError) as refusal:
        worker.execute("SELECT acknowledge_worker_count('s', 'scale-8')")
    assert refusal.value.sqlstate == "GC367"


def test_the_communication_follows_its_recipients(
    organization: str, owner: db.Connection, worker: db.Connection
) -> None:
    message = queue(owner, organization, 20, run_in="1 hour")
    owner.execute("UPDATE guest_communications SET status = 'scheduled', scheduled_for = now()")
    owner.execute("UPDATE communication_batch_queue SET run_at = now()")
    reached = []
    for _ in range(2):
        [chunk] = claim(worker, messages=10)
        owner.execute("SELECT internal.roll_up_counters()")
        complete(worker, chunk, chunk.results())
        owner.execute("SELECT internal.roll_up_counters()")
        reached.append(
            owner.execute(
                "SELECT status, completed_at IS NOT NULL, queued_count, sending_count, sent_count"
                " FROM guest_communications"
            ).fetchone()
        )
    assert reached == [("sending", False, 10, 0, 10), ("sent", True, 0, 0, 20)]
    assert counters(owner, message) == states(owner, message)
    assert db.one_value(owner, b"SELECT count(*) FROM internal.communication_counter_deltas") == 0


def test_a_deadlock_free_mix_of_claims_and_reaping(
    database: Database, organization: str, owner: db.Connection
) -> None:
    """Leases of a millisecond: claims, answers and the reaper meet on the same chunks."""
    message = queue(owner, organization, 500, chunk=50)
    fenced: list[str | None] = []

    def work(_: int) -> None:
        with database.connect("wedsync_worker") as connection:
            for _ in range(30):
                for chunk in claim(connection, batches=2, messages=5):
                    connection.execute("SELECT pg_sleep(0.002)")
                    try:
                        complete(connection, chunk, chunk.results())
                    except db.DatabaseError as error:
                        fenced.append(error.sqlstate)

    def disturb(_: int) -> None:
        with database.connect() as connection:
            for _ in range(60):
                end_leases(connection)

    with ThreadPoolExecutor(5) as pool:
        jobs = [*(pool.submit(work, n) for n in range(4)), pool.submit(disturb, 0)]
        for job in jobs:
            job.result()
    assert set(fenced) <= {"GC361"}
    assert states(owner, message) == counters(owner, message)
