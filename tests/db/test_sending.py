"""Communications and their recipients: queued once, all or nothing, whoever calls at once."""

from __future__ import annotations

import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from guestcomms import db

from tests.db.server import Database

A = "018f0000-0000-7000-8000-000000000001"
B = "018f0000-0000-7000-8000-000000000002"
COUNTED = """
SELECT jsonb_build_object('recipients', (SELECT count(*) FROM public.communication_recipients),
    'chunks', (SELECT count(*) FROM public.communication_batch_queue),
    'communications', (SELECT count(*) FROM public.guest_communications),
    'deltas', (SELECT count(*) FROM internal.communication_counter_deltas))
"""
SEND = "SELECT * FROM public.bulk_send(%(organization)s, %(communication)s"
Row = dict[str, Any]


@pytest.fixture
def sending(database: Database) -> Database:
    """Organization A with 2500 guests, B with one."""
    for organization in (A, B):
        database.execute(
            f"SELECT create_organization('{organization}', 'X', 'UTC', '{{wedsync_app}}')",
            "wedsync_ops",
        )
    guests(database, A, 2500)
    guests(database, B, 1)
    return database


def guests(database: Database, organization: str, number: int) -> None:
    database.execute(
        f"""
        INSERT INTO public.guests (organization_id, name, email, email_hash)
        SELECT '{organization}', 'Guest', format('g%s@example.org', n),
            sha256(format('{organization}%s', n)::bytea)
        FROM generate_series(1, {number}) AS n
        """
    )


def ids(database: Database, number: int, organization: str = A) -> list[uuid.UUID]:
    with database.connect() as connection:
        rows = connection.execute(
            "SELECT guest_id FROM public.guests WHERE organization_id = %s ORDER BY 1 LIMIT %s",
            (organization, number),
        ).fetchall()
    return [row[0] for row in rows]


def create(database: Database, organization: str = A, **values: object) -> Row:
    given = {
        "p_title": "T", "p_channel": "email", "p_purpose": "updates", "p_subject": "Hello",
        "p_body": "<p>Hello</p>",
    } | values  # fmt: skip
    named = ", ".join(f"{name} => %({name})s" for name in given)
    return call(
        database,
        f"SELECT * FROM public.create_communication(%(organization)s, {named})",
        {"organization": organization} | given,
    )


def send(
    database: Database, communication: object, rest: str, organization: str = A, **values: object
) -> Row:
    return call(
        database,
        f"{SEND}, {rest})",
        {"organization": organization, "communication": communication} | values,
    )


def call(database: Database, query: str, values: Row) -> Row:
    with database.connect("wedsync_app") as connection:
        cursor = connection.execute(query, values)
        row, names = cursor.fetchone(), [column.name for column in cursor.description or ()]
    assert row is not None
    return dict(zip(names, row, strict=True))


def refused(database: Database, code: str, work: Any) -> str:
    """Check that a call is refused with a code and changes nothing; returns the message."""
    before = database.value(COUNTED)
    with pytest.raises(db.DatabaseError) as refusal:
        work()
    assert refusal.value.sqlstate == code, refusal.value
    assert database.value(COUNTED) == before
    return str(refusal.value)


def test_the_moment_of_a_communication_is_in_its_id(sending: Database) -> None:
    made = create(sending)
    assert made["status"] == "draft"
    assert made["lawful_basis"] == "contract"
    assert int(made["created_at"].timestamp() * 1000) == made["id"].int >> 80


@pytest.mark.parametrize(
    ("changes", "code", "named"),
    [
        ({"p_title": None}, "GC300", "p_title"),
        ({"p_title": ""}, "GC343", "p_title"),
        ({"p_channel": "fax"}, "GC343", "fax"),
        ({"p_purpose": "Big News"}, "GC343", "p_purpose"),
        ({"p_category": "spam"}, "GC343", "spam"),
        ({"p_priority": 10}, "GC343", "p_priority"),
        ({"p_priority": 100000}, "GC343", "p_priority"),
        ({"p_lawful_basis": "luck"}, "GC343", "luck"),
        ({"p_category": "commercial", "p_lawful_basis": "contract"}, "GC343", "contract"),
        ({"p_category": "commercial"}, "GC345", "p_postal_address"),
        ({"p_window_from": "08:00"}, "GC343", "p_window_until"),
        ({"p_unsubscribe_url": "http://example.org"}, "GC343", "p_unsubscribe_url"),
        ({"p_scheduled_for": "2020-01-01"}, "GC346", "2020"),
        ({"p_scheduled_for": "2099-01-01"}, "GC346", "2099"),
        ({"p_scheduled_for": "infinity"}, "GC346", "infinity"),
        ({"p_template_id": str(uuid.uuid4())}, "GC343", "p_template_id"),
        (
            {"p_template_id": str(uuid.uuid4()), "p_subject": None, "p_body": None},
            "GC344",
            "template",
        ),
        ({"p_body": None}, "GC300", "p_body"),
        ({"p_idempotency_key": ""}, "GC341", "0"),
    ],
)
def test_values_that_cannot_be_are_refused(
    sending: Database, changes: Row, code: str, named: str
) -> None:
    assert named in refused(sending, code, lambda: create(sending, **changes))


def test_a_communication_pins_the_published_texts_of_a_template(sending: Database) -> None:
    with sending.connect("wedsync_app") as app:
        template = db.rows(
            app,
            "SELECT * FROM public.create_template(%s, 'News', 'email', 'Hello', '<p>{{news}}</p>')",
            (A,),
        )[0]["template_id"]
        message = refused(
            sending, "GC344",
            lambda: create(sending, p_template_id=template, p_subject=None, p_body=None),
        )  # fmt: skip
        assert "no published version" in message
        app.execute("SELECT public.publish_template(%s, %s, 1)", (A, template))
    made = create(sending, p_template_id=template, p_subject=None, p_body=None)
    assert (made["template_version"], made["subject"], made["variables"]) == (1, "Hello", ["news"])
    wrong = {"p_template_id": template, "p_channel": "sms", "p_subject": None, "p_body": None}
    assert "not for sms" in refused(sending, "GC344", lambda: create(sending, **wrong))


def test_fifty_callers_with_one_key_make_one_communication(sending: Database) -> None:
    with ThreadPoolExecutor(50) as pool:
        made = list(pool.map(lambda _: create(sending, p_idempotency_key="one"), range(50)))
    assert len({row["id"] for row in made}) == 1
    assert sending.value("SELECT count(*) FROM public.guest_communications") == 1


def test_fifty_callers_with_one_key_send_once(sending: Database) -> None:
    made, keys = create(sending)["id"], ids(sending, 1200)
    with ThreadPoolExecutor(50) as pool:
        answers = list(
            pool.map(
                lambda _: send(sending, made, "%(keys)s, p_idempotency_key => 'one'", keys=keys),
                range(50),
            )
        )
    assert answers == [{"accepted": 1200, "suppressed": {}, "duplicates": 0, "chunks": 2}] * 50
    assert sending.value("SELECT count(*) FROM public.communication_recipients") == 1200
    assert sending.value("SELECT sum(recipients) FROM public.communication_batch_queue") == 1200


def test_a_key_is_for_one_request(sending: Database) -> None:
    made, keys = create(sending)["id"], ids(sending, 2)
    rest = "%(keys)s, p_idempotency_key => 'one'"
    send(sending, made, rest, keys=keys)
    refused(sending, "GC340", lambda: send(sending, made, rest, keys=keys[:1]))
    refused(sending, "GC340", lambda: send(sending, made, rest, keys=keys[::-1]))
    refused(sending, "GC340", lambda: create(sending, p_idempotency_key="one"))
    assert create(sending, B, p_idempotency_key="one")["organization_id"] == uuid.UUID(B)


def test_a_failed_call_leaves_its_key_free(sending: Database) -> None:
    made, keys = create(sending)["id"], ids(sending, 2)
    call_with_key = "%(keys)s, p_idempotency_key => 'one'"
    refused(sending, "GC349", lambda: send(sending, made, call_with_key, keys=[uuid.uuid4()]))
    assert send(sending, made, call_with_key, keys=keys)["accepted"] == 2


def test_overlapping_sends_at_once_queue_nobody_twice(sending: Database) -> None:
    made, keys = create(sending)["id"], ids(sending, 1000)
    parts = [keys[start : start + 400][:: 1 if start % 200 else -1] for start in range(0, 700, 50)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda part: send(sending, made, "%(keys)s", keys=part), parts))
    assert sum(answer["accepted"] for answer in answers) == 1000
    assert sum(answer["accepted"] + answer["duplicates"] for answer in answers) == sum(
        map(len, parts)
    )
    assert sending.value("SELECT count(*) FROM public.communication_recipients") == 1000


def test_chunks_are_ranges_of_consecutive_ids(sending: Database) -> None:
    made = create(sending)["id"]
    answer = send(sending, made, "p_all_guests => true")
    assert answer == {"accepted": 2500, "suppressed": {}, "duplicates": 0, "chunks": 3}
    matching = """
        SELECT bool_and(chunk.recipients = (
            SELECT count(*) FROM public.communication_recipients AS recipient
            WHERE recipient.id BETWEEN chunk.first_recipient_id AND chunk.last_recipient_id
        )) AND count(*) = 3 AND sum(chunk.recipients) = 2500 AND max(chunk.recipients) = 1000
            AND array_agg(chunk.fair_rank ORDER BY chunk.fair_rank) = '{1000,2000,2500}'
        FROM public.communication_batch_queue AS chunk WHERE chunk.state = 'ready'
    """
    assert sending.value(matching) is True
    assert sending.value("SELECT status FROM public.guest_communications") == "sending"


def test_suppressed_recipients_are_kept_as_evidence(sending: Database) -> None:
    sending.execute(
        "INSERT INTO public.suppressions (organization_id, channel, address_hash, reason)"
        " SELECT organization_id, 'email', email_hash, 'hard_bounce' FROM public.guests"
        f" WHERE organization_id = '{A}' ORDER BY guest_id LIMIT 100"
    )
    sending.execute(
        f"INSERT INTO public.guests (organization_id, name) VALUES ('{A}', 'No address')"
    )
    made = create(sending)["id"]
    answer = send(sending, made, "p_all_guests => true")
    assert answer == {
        "accepted": 2400, "duplicates": 0, "chunks": 3,
        "suppressed": {"suppressed:hard_bounce": 100, "no_address": 1},
    }  # fmt: skip
    kept = """
        SELECT count(*) FROM public.communication_recipients
        WHERE status = 'suppressed' AND suppressed_at IS NOT NULL AND permitted_at IS NOT NULL
    """
    assert sending.value(kept) == 101
    progress = call(
        sending, "SELECT * FROM public.communication_progress(%(o)s, %(c)s)", {"o": A, "c": made}
    )
    assert (progress["total"], progress["queued"], progress["suppressed"]) == (2501, 2400, 101)


def test_somebody_named_twice_is_counted_once(sending: Database) -> None:
    made, keys = create(sending)["id"], ids(sending, 3)
    assert send(sending, made, "%(keys)s", keys=[*keys, *keys])["duplicates"] == 3
    again = send(sending, made, "p_recipients => %(given)s::jsonb", given=json.dumps(
        [{"guest_id": str(keys[0])}, {"email": "a@example.org"}, {"email": " A@EXAMPLE.org"}]
    ))  # fmt: skip
    assert (again["accepted"], again["duplicates"]) == (1, 2)


@pytest.mark.parametrize("whose", ["foreign", "nobody's"])
def test_foreign_and_unknown_guests_are_refused(sending: Database, whose: str) -> None:
    made = create(sending)["id"]
    bad = ids(sending, 1, B)[0] if whose == "foreign" else uuid.uuid4()
    keys = [*ids(sending, 2), bad]
    given = json.dumps([{"guest_id": str(key)} for key in keys])
    rest = "p_recipients => %(given)s::jsonb"
    named = refused(sending, "GC349", lambda: send(sending, made, "%(keys)s", keys=keys))
    assert str(bad) in named
    assert str(bad) in refused(sending, "GC349", lambda: send(sending, made, rest, given=given))


def test_ids_that_are_missing_are_refused(sending: Database) -> None:
    made = create(sending)["id"]
    refused(sending, "GC349", lambda: send(sending, made, "ARRAY[NULL]::uuid[]"))
    refused(sending, "GC342", lambda: send(sending, made, "p_all_guests => true", B))
    refused(sending, "GC300", lambda: send(sending, None, "p_all_guests => true"))


@pytest.mark.parametrize(
    "rest",
    [
        "NULL",
        "'{}', '[]'::jsonb",
        "'{}', NULL, true",
        "NULL, '[]'::jsonb, true",
        "NULL, NULL, NULL",
    ],
)
def test_recipients_are_named_in_one_way(sending: Database, rest: str) -> None:
    made = create(sending)["id"]
    refused(sending, "GC348", lambda: send(sending, made, rest))


@pytest.mark.parametrize(
    ("given", "code", "named"),
    [
        ({}, "GC348", "object"),
        ("x", "GC348", "string"),
        (None, "GC348", "null"),
        ([{"email": "a@b.cc"}, 1], "GC350", "recipient 2"),
        ([None], "GC350", "recipient 1"),
        ([[]], "GC350", "no object"),
        ([{}], "GC350", "neither guest_id nor email"),
        ([{"email": 5}], "GC350", "neither"),
        ([{"email": "nobody"}], "GC350", "no valid email"),
        ([{"email": "a@b.cc", "phone": "+4930123456"}], "GC350", "another channel"),
        ([{"phone": "+4930123456"}], "GC350", "neither"),
        ([{"email": "a@b.cc", "nickname": "x"}], "GC350", "unknown field"),
        ([{"guest_id": "x"}], "GC350", "no UUID"),
        ([{"guest_id": None}], "GC350", "no UUID"),
        ([{"guest_id": str(uuid.uuid4()), "email": "a@b.cc"}], "GC350", "both"),
        ([{"email": "a@b.cc", "name": ""}], "GC350", "name"),
        ([{"email": "a@b.cc", "name": {}}], "GC350", "name"),
        ([{"email": "a@b.cc", "personalisation": []}], "GC350", "no object"),
        ([{"email": "a@b.cc", "personalisation": {"news": "x"}}, {"email": "b@b.cc"}],
         "GC351", "recipient 2 lacks variable news"),
        ([{"email": "a@b.cc", "personalisation": {"news": None}}], "GC351", "news"),
    ],
)  # fmt: skip
def test_recipients_of_a_wrong_shape_are_refused(
    sending: Database, given: object, code: str, named: str
) -> None:
    made = create(sending, p_body="<p>{{news}}</p>")["id"]
    message = refused(
        sending, code,
        lambda: send(sending, made, "p_recipients => %(given)s::jsonb", given=json.dumps(given)),
    )  # fmt: skip
    assert named in message


def test_guests_alone_cannot_fill_variables(sending: Database) -> None:
    made = create(sending, p_body="<p>{{news}}</p>")["id"]
    refused(sending, "GC351", lambda: send(sending, made, "p_all_guests => true"))


def test_personalisation_is_stored_encrypted(sending: Database) -> None:
    made = create(sending, p_body="<p>{{news}}</p>")["id"]
    given = json.dumps([{"email": "a@b.cc", "personalisation": {"news": "a secret"}}])
    assert send(sending, made, "p_recipients => %(given)s::jsonb", given=given)["accepted"] == 1
    assert sending.value(
        "SELECT position('secret'::bytea IN personalisation) FROM public.communication_recipients"
    ) == 0  # fmt: skip
    opened = """
        SELECT convert_from(internal.aes256_gcm_decrypt(
            internal.field_key_of(organization_id, personalisation_key_version), personalisation,
            internal.field_context(organization_id, 'communication_recipients.personalisation', id,
                personalisation_key_version)
        ), 'UTF8')::jsonb ->> 'news'
        FROM public.communication_recipients
    """
    assert sending.value(opened) == "a secret"


def test_a_hundred_thousand_in_one_call_and_no_more(sending: Database) -> None:
    made = create(sending)["id"]
    given = [{"email": f"n{number}@example.org"} for number in range(100_001)]
    rest = "p_recipients => %(given)s::jsonb"
    refused(sending, "GC348", lambda: send(sending, made, rest, given=json.dumps(given)))
    keys = ids(sending, 1) * 100_001
    refused(sending, "GC348", lambda: send(sending, made, "%(keys)s", keys=keys))
    answer = send(sending, made, rest, given=json.dumps(given[1:]))
    assert answer == {"accepted": 100_000, "suppressed": {}, "duplicates": 0, "chunks": 100}


def test_nothing_is_queued_for_a_suspended_organization(sending: Database) -> None:
    made = create(sending)["id"]
    sending.execute("UPDATE public.organizations SET state = 'suspended'")
    refused(sending, "GC352", lambda: send(sending, made, "p_all_guests => true"))


def schedule(database: Database, communication: object, at: str) -> Row:
    return call(
        database,
        f"SELECT * FROM public.schedule_communication(%(o)s, %(c)s, {at})",
        {"o": A, "c": communication},
    )


def cancel(database: Database, communication: object) -> Row:
    return call(
        database,
        "SELECT * FROM public.cancel_communication(%(o)s, %(c)s)",
        {"o": A, "c": communication},
    )


STATES = """
SELECT string_agg(DISTINCT concat_ws(' ', state, run_at > now() + interval '1 day'), ',')
FROM public.communication_batch_queue
"""


def test_a_scheduled_communication_waits_and_can_be_moved(sending: Database) -> None:
    made = create(sending)["id"]
    assert schedule(sending, made, "now() + interval '3 years'")["status"] == "draft"
    send(sending, made, "p_all_guests => true")
    assert sending.value("SELECT status FROM public.guest_communications") == "scheduled"
    assert sending.value(STATES) == "scheduled t"
    assert schedule(sending, made, "now()")["status"] == "sending"
    assert sending.value(STATES) == "ready f"
    assert schedule(sending, made, "now() + interval '2 days'")["status"] == "scheduled"
    assert sending.value(STATES) == "scheduled t"


@pytest.mark.parametrize(
    ("at", "code"),
    [
        ("NULL", "GC300"),
        ("now() - interval '1 hour'", "GC346"),
        ("now() + interval '5 years 1 day'", "GC346"),
        ("'infinity'", "GC346"),
    ],
)
def test_moments_out_of_bounds_are_refused(sending: Database, at: str, code: str) -> None:
    made = create(sending)["id"]
    refused(sending, code, lambda: schedule(sending, made, at))


def test_a_cancelled_communication_leaves_what_is_being_sent(sending: Database) -> None:
    sending.execute("SELECT set_login_unrestricted('wedsync_worker', true, 'sends')", "wedsync_ops")
    made = create(sending)["id"]
    send(sending, made, "p_all_guests => true")
    sending.execute("SELECT public.claim_batches('w', 1, '1 minute', 100)", "wedsync_worker")
    expected = {"cancelled": 2400, "in_flight": 100, "done": 0}
    assert cancel(sending, made) == expected
    assert cancel(sending, made) == expected
    assert (
        sending.value("SELECT string_agg(state, ',') FROM public.communication_batch_queue")
        == "leased"
    )
    assert sending.value("SELECT status FROM public.guest_communications") == "cancelled"
    refused(sending, "GC347", lambda: send(sending, made, "p_all_guests => true"))
    refused(sending, "GC347", lambda: schedule(sending, made, "now()"))


def test_cancelling_beside_claims_loses_nobody(sending: Database) -> None:
    """Everybody is cancelled or in the hands of a worker, and nobody waits for a deadlock."""
    sending.execute("SELECT set_login_unrestricted('wedsync_worker', true, 'sends')", "wedsync_ops")
    made = create(sending)["id"]
    send(sending, made, "p_all_guests => true")

    def work(number: int) -> None:
        if number == 6:
            cancel(sending, made)
        else:
            claim = "SELECT public.claim_batches(%s, 1, '1 minute', 50)"
            with sending.connect("wedsync_worker") as worker:
                worker.execute(claim.encode(), (f"w{number}",))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(12)))
    left = sending.value(
        "SELECT string_agg(DISTINCT status, ',') FROM public.communication_recipients"
    )
    assert str(left) in ("cancelled", "cancelled,sending")
    progress = call(
        sending, "SELECT * FROM public.communication_progress(%(o)s, %(c)s)", {"o": A, "c": made}
    )
    assert progress["cancelled"] + progress["sending"] == progress["total"] == 2500
    assert progress["queued"] == 0
