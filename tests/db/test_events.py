"""Delivery events: as often as they come, in any order, with one state in the end."""

from __future__ import annotations

import itertools
import json
import random
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from guestcomms import db

from tests.db import queue_calls
from tests.db.queue_calls import claim, complete, counters, event, queue, record, states
from tests.db.server import Database

MINUTES = {"sent": 0, "delivered": 1, "opened": 5, "bounced": 9}


def recipients(owner: db.Connection, message: str) -> list[str]:
    rows = db.rows(
        owner,
        "SELECT id::text FROM communication_recipients WHERE communication_id = %s ORDER BY id",
        (message,),
    )
    return [row["id"] for row in rows]


def test_every_order_ends_in_one_state(
    organization: str, owner: db.Connection, worker: db.Connection
) -> None:
    """All 24 orders of four events, each event twice: one final state and the right counters."""
    orders = list(itertools.permutations(MINUTES))
    message = queue(owner, organization, len(orders))
    ids = recipients(owner, message)
    [chunk] = claim(worker)
    complete(worker, chunk, chunk.results())
    accepted = duplicates = 0
    for recipient, order in zip(ids, orders, strict=True):
        for status in order:
            report = event(
                recipient, status, occurred_at=f"2026-01-01T12:0{MINUTES[status]}:00Z",
                error_code="5.1.1" if status == "bounced" else None,
            )  # fmt: skip
            for _ in range(2):
                one = record(worker, organization, [report])
                accepted, duplicates = accepted + one[0], duplicates + one[1]
    assert (accepted, duplicates) == (96, 96)
    final = owner.execute(
        "SELECT DISTINCT status, error_code, sent_at, delivered_at, opened_at, bounced_at"
        " FROM communication_recipients"
    ).fetchall()
    assert len(final) == 1
    assert final[0][:2] == ("bounced", "5.1.1")
    assert states(owner, message) == counters(owner, message) == {"bounced": 24}
    assert db.one_value(owner, b"SELECT count(*) FROM delivery_status") == 96
    assert (
        db.one_value(owner, b"SELECT count(*) FROM suppressions WHERE reason = 'hard_bounce'") == 24
    )


def test_orders_in_one_call_are_alike(
    organization: str, owner: db.Connection, worker: db.Connection
) -> None:
    orders = list(itertools.permutations(MINUTES))
    message = queue(owner, organization, len(orders))
    batch = [
        event(recipient, status, occurred_at=f"2026-01-01T12:0{MINUTES[status]}:00Z")
        for recipient, order in zip(recipients(owner, message), orders, strict=True)
        for status in order
    ]
    assert record(worker, organization, batch + batch) == (96, 96, 0)
    assert states(owner, message) == counters(owner, message) == {"bounced": 24}
    assert owner.execute(
        "SELECT count(DISTINCT (sent_at, delivered_at, opened_at, bounced_at))"
        " FROM communication_recipients"
    ).fetchone() == (1,)


def test_events_may_come_before_the_answer(
    organization: str, owner: db.Connection, worker: db.Connection
) -> None:
    message = queue(owner, organization, 3)
    [chunk] = claim(worker)
    one, two, _ = chunk.recipient_ids
    record(worker, organization, [event(one, "delivered"), event(two, "bounced")])
    results = chunk.results()
    for result in results:
        result["provider_message_id"] = f"named {result['recipient_id']}"
    assert complete(worker, chunk, results) == "deleted"
    assert states(owner, message) == counters(owner, message) == {
        "delivered": 1, "bounced": 1, "sent": 1,
    }  # fmt: skip
    assert db.one_value(owner, b"SELECT count(*) FROM internal.provider_messages") == 3
    assert db.one_value(
        owner, b"SELECT bool_and(provider = 'smtp' AND sent_at IS NOT NULL)"
               b" FROM communication_recipients"
    )  # fmt: skip


def test_an_event_resolves_what_was_unknown(
    organization: str, owner: db.Connection, worker: db.Connection
) -> None:
    message = queue(owner, organization, 1)
    [chunk] = claim(worker)
    complete(worker, chunk, [])
    assert states(owner, message) == {"unknown": 1}
    record(worker, organization, [event(chunk.recipient_ids[0], "sent")])
    assert states(owner, message) == counters(owner, message) == {"sent": 1}


def test_events_by_the_name_of_the_provider_wait_until_it_is_known(
    organization: str, owner: db.Connection, worker: db.Connection
) -> None:
    message = queue(owner, organization, 2)
    [chunk] = claim(worker)
    reports = [
        {**event(one, "delivered"), "recipient_id": None, "provider_message_id": f"named {one}"}
        for one in chunk.recipient_ids
    ]
    assert record(worker, organization, reports) == (0, 0, 2)
    assert record(worker, organization, reports) == (0, 2, 0)
    complete(
        worker, chunk,
        [one | {"provider_message_id": f"named {one['recipient_id']}"} for one in chunk.results()],
    )  # fmt: skip
    assert states(owner, message) == counters(owner, message) == {"delivered": 2}
    assert record(worker, organization, reports) == (0, 2, 0)
    assert db.one_value(owner, b"SELECT count(*) FROM internal.unmatched_delivery_events") == 0


def test_the_job_matches_what_became_known_later(
    organization: str, owner: db.Connection, worker: db.Connection
) -> None:
    """Events that overtook the message itself; those of unknown messages stay."""
    stranger = event("018f0000-0000-7000-8000-000000000001", "sent")
    assert record(worker, organization, [stranger]) == (0, 0, 1)
    message = queue(owner, organization, 1)
    named = {**event("", "delivered"), "recipient_id": None, "provider_message_id": "known later"}
    assert record(worker, organization, [named]) == (0, 0, 1)
    owner.execute(
        "INSERT INTO internal.provider_messages"
        " (organization_id, provider, provider_message_id, recipient_id)"
        " SELECT organization_id, 'smtp', 'known later', id FROM communication_recipients"
    )
    assert db.one_value(owner, b"SELECT internal.match_delivery_events()") == 1
    assert db.one_value(owner, b"SELECT internal.match_delivery_events()") == 0
    assert states(owner, message) == counters(owner, message) == {"delivered": 1}
    assert db.one_value(owner, b"SELECT count(*) FROM internal.unmatched_delivery_events") == 1


def test_anothers_message_is_unknown(
    database: Database, organization: str, owner: db.Connection, worker: db.Connection
) -> None:
    other = queue_calls.organization(database, "B")
    message = queue(owner, other, 1)
    [recipient] = recipients(owner, message)
    assert record(worker, organization, [event(recipient, "bounced")]) == (0, 0, 1)
    owner.execute("SELECT internal.match_delivery_events()")
    assert states(owner, message) == {"queued": 1}
    assert db.one_value(owner, b"SELECT count(*) FROM suppressions") == 0


def test_an_application_reports_for_its_own_organization_only(
    database: Database, organization: str, owner: db.Connection
) -> None:
    message = queue(owner, organization, 1)
    [recipient] = recipients(owner, message)
    with database.connect("wedsync_app") as app:
        assert record(app, organization, [event(recipient, "delivered")]) == (1, 0, 0)
        with pytest.raises(db.DatabaseError) as refusal:
            record(app, str(uuid.uuid4()), [event(recipient, "delivered")])
    assert refusal.value.sqlstate == "GC001"


def test_the_gravest_reason_suppresses_in_any_order(
    organization: str, owner: db.Connection, worker: db.Connection
) -> None:
    orders = list(itertools.permutations(["unsubscribed", "bounced", "complained"]))
    message = queue(owner, organization, len(orders))
    for recipient, order in zip(recipients(owner, message), orders, strict=True):
        for status in order:
            record(worker, organization, [event(recipient, status)])
    assert owner.execute(
        "SELECT scope, reason, expires_at, count(*) FROM suppressions GROUP BY 1, 2, 3"
    ).fetchall() == [("all", "complaint", None, len(orders))]
    assert states(owner, message) == {"complained": len(orders)}


def test_a_suppressed_address_gets_nothing_that_is_queued(
    organization: str, owner: db.Connection, worker: db.Connection
) -> None:
    first = queue(owner, organization, 3)
    record(worker, organization, [event(recipients(owner, first)[0], "complained")])
    second = queue(owner, organization, 3)
    served = [one for chunk in claim(worker, batches=2) for one in chunk.recipient_ids]
    assert len(served) == 4
    assert states(owner, second) == counters(owner, second) == {"sending": 2, "suppressed": 1}


def test_unsubscribing_moves_no_state(
    organization: str, owner: db.Connection, worker: db.Connection
) -> None:
    message = queue(owner, organization, 1)
    record(worker, organization, [event(recipients(owner, message)[0], "unsubscribed")])
    assert states(owner, message) == counters(owner, message) == {"queued": 1}
    assert owner.execute("SELECT scope, reason FROM suppressions").fetchall() == [
        ("all", "unsubscribe")
    ]


def test_unsubscribing_ends_every_consent(
    organization: str, owner: db.Connection, worker: db.Connection
) -> None:
    message = queue(owner, organization, 2)
    owner.execute("SET session_replication_role = replica")  # consent without the event it came by
    owner.execute(
        "INSERT INTO communication_gdpr_consent (organization_id, address_hash, channel, purpose,"
        " consent_given, consent_event_id, given_at)"
        " SELECT organization_id, address_hash, channel, purpose, true, gen_random_uuid(), now()"
        " FROM communication_recipients CROSS JOIN unnest('{wedding,offers}'::text[]) AS purpose"
    )
    first = recipients(owner, message)[0]
    reports = [event(first, "unsubscribed"), event(first, "unsubscribed")]
    assert record(worker, organization, reports) == (2, 0, 0)
    assert owner.execute(
        "SELECT consent_given, count(*) FROM communication_gdpr_consent GROUP BY 1 ORDER BY 1"
    ).fetchall() == [(False, 2), (True, 2)]
    assert owner.execute(
        "SELECT method, source, count(*) FROM communication_gdpr_consent_events GROUP BY 1, 2"
    ).fetchall() == [("unsubscribe", first, 2)]


def test_a_message_in_app_has_no_address_to_suppress(
    organization: str, owner: db.Connection, worker: db.Connection
) -> None:
    message = queue(owner, organization, 1, channel="in_app")
    assert record(worker, organization, [event(recipients(owner, message)[0], "bounced")])[0] == 1
    assert db.one_value(owner, b"SELECT count(*) FROM suppressions") == 0


def test_a_cancelled_message_that_was_never_handed_out_stays_so(
    organization: str, owner: db.Connection, worker: db.Connection
) -> None:
    message = queue(owner, organization, 2)
    owner.execute(
        "UPDATE communication_recipients SET status = 'cancelled', attempts ="
        " right(id::text, 1)::int"
    )
    reports = [event(one, "delivered") for one in recipients(owner, message)]
    assert record(worker, organization, reports) == (2, 0, 0)
    assert states(owner, message) == {"cancelled": 1, "delivered": 1}


FLAWS: list[dict[str, Any]] = [
    {"status": "lost"}, {"status": None}, {"status": 3}, {"provider": None}, {"provider": ""},
    {"provider": "x" * 101}, {"provider_event_id": None}, {"provider_event_id": "x" * 501},
    {"occurred_at": None}, {"occurred_at": "yesterday afternoon"}, {"occurred_at": "infinity"},
    {"occurred_at": "-infinity"}, {"occurred_at": "1999-12-31"}, {"occurred_at": "2999-01-01"},
    {"recipient_id": "no uuid"}, {"recipient_id": None},
    {"recipient_id": None, "provider_message_id": "x" * 501},
]  # fmt: skip


def test_an_event_that_is_not_usable_is_refused_with_its_position(
    organization: str, owner: db.Connection, worker: db.Connection
) -> None:
    message = queue(owner, organization, 1)
    [recipient] = recipients(owner, message)
    for flaw in FLAWS:
        bad = event(recipient, "sent") | flaw
        with pytest.raises(
            db.DatabaseError, match="of event 2 is missing or not usable"
        ) as refusal:
            record(worker, organization, [event(recipient, "sent"), bad])
        assert refusal.value.sqlstate == "GC381"
    for nonsense in ("null", "{}", "3", json.dumps([event(recipient, "sent")] * 1001)):
        with pytest.raises(db.DatabaseError) as refusal:
            worker.execute("SELECT record_delivery_events(%s, %s)", (organization, nonsense))
        assert refusal.value.sqlstate == "GC380"
    for nonsense in ("[3]", "[null]", '["x"]', "[[]]", "[{}]"):
        with pytest.raises(db.DatabaseError) as refusal:
            worker.execute("SELECT record_delivery_events(%s, %s)", (organization, nonsense))
        assert refusal.value.sqlstate == "GC381"
    assert states(owner, message) == {"queued": 1}
    assert db.one_value(owner, b"SELECT count(*) FROM delivery_status") == 0


def test_texts_are_cut_and_late_events_are_taken(
    organization: str, owner: db.Connection, worker: db.Connection
) -> None:
    message = queue(owner, organization, 1)
    report = event(
        recipients(owner, message)[0], "bounced", error_message="x" * 5000, error_code="y" * 500,
        occurred_at="2003-01-01T00:00:00Z",
    )  # fmt: skip
    assert record(worker, organization, [report]) == (1, 0, 0)
    assert owner.execute(
        "SELECT length(error_message), length(error_code) FROM delivery_status"
    ).fetchall() == [(1000, 100)]


@pytest.mark.parametrize(("days", "accepted"), [(0, 0), (34, 0), (36, 1)])
def test_a_repeated_event_is_none_for_five_weeks(
    organization: str, owner: db.Connection, worker: db.Connection, days: int, accepted: int
) -> None:
    """Across months; the same name of another message is another event."""
    [one, other] = recipients(owner, queue(owner, organization, 2))
    assert record(worker, organization, [event(one, "sent", provider_event_id="e")])[0] == 1
    if days:
        owner.execute(
            "CREATE TABLE past PARTITION OF delivery_status FOR VALUES FROM ('2020-01-01')"
            f" TO ('{datetime.now(UTC):%Y-%m}-01')"
        )
        owner.execute(
            "UPDATE delivery_status SET created_at = created_at - make_interval(days => %s)",
            (days,),
        )
    again = [event(who, "sent", provider_event_id="e") for who in (one, one, other)]
    assert record(worker, organization, again) == (accepted + 1, 2 - accepted, 0)
    assert record(worker, organization, again) == (0, 3, 0)


def test_no_events_are_no_error(organization: str, worker: db.Connection) -> None:
    assert record(worker, organization, []) == (0, 0, 0)


def test_calls_over_the_same_recipients_in_opposite_order_do_not_deadlock(
    database: Database, organization: str, owner: db.Connection
) -> None:
    message = queue(owner, organization, 200)
    ids = recipients(owner, message)
    reports = [event(one, status) for one in ids for status in ("sent", "delivered", "bounced")]

    def report(number: int) -> tuple[int, int, int]:
        mine = reports[:: -1 if number % 2 else 1]
        if number > 3:
            mine = random.Random(number).sample(reports, len(reports))  # noqa: S311
        with database.connect("wedsync_worker") as connection:
            return record(connection, organization, mine)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(report, range(8)))
    assert sum(answer[0] for answer in answers) == 600
    assert sum(answer[1] for answer in answers) == 7 * 600
    assert states(owner, message) == counters(owner, message) == {"bounced": 200}


def test_events_meet_claims_and_answers_without_deadlock(
    database: Database, organization: str, owner: db.Connection
) -> None:
    message = queue(owner, organization, 400, chunk=100)
    ids = recipients(owner, message)

    def send() -> None:
        with database.connect("wedsync_worker") as connection:
            while claimed := claim(connection, batches=2, messages=30):
                for chunk in claimed:
                    complete(connection, chunk, chunk.results())

    def report(number: int) -> None:
        with database.connect("wedsync_worker") as connection:
            for _ in range(10):
                some = random.Random(number).sample(ids, 100)  # noqa: S311
                record(connection, organization, [event(one, "delivered") for one in some])

    with ThreadPoolExecutor(6) as pool:
        jobs = [*(pool.submit(send) for _ in range(3)), *(pool.submit(report, n) for n in range(3))]
        for job in jobs:
            job.result()
    assert states(owner, message) == counters(owner, message)
    assert set(states(owner, message)) <= {"sent", "delivered"}


def test_counters_equal_rows_after_the_roll_up(
    organization: str, owner: db.Connection, worker: db.Connection
) -> None:
    message = queue(owner, organization, 100)
    [chunk] = claim(worker)
    complete(worker, chunk, chunk.results())
    some = random.Random(1)  # noqa: S311
    kinds = ["delivered", "opened", "clicked", "deferred", "failed", "bounced", "complained"]
    record(
        worker, organization,
        [event(one, some.choice(kinds)) for one in chunk.recipient_ids for _ in range(3)],
    )  # fmt: skip
    before = counters(owner, message)
    assert db.one_value(owner, b"SELECT internal.roll_up_counters() > 0")
    assert db.one_value(owner, b"SELECT count(*) FROM internal.communication_counter_deltas") == 0
    assert states(owner, message) == counters(owner, message) == before
