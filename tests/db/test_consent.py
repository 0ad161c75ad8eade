"""Consent: proof is written and stays, a withdrawal works at once and is never refused."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from guestcomms import db

from tests.db import messaging, script
from tests.db.messaging import Organization
from tests.db.server import Database, Server

RECORD = "SELECT record_consent(%s, %s, 'email', 'newsletter', '1', 'form', p_given_at => %s)::text"
WITHDRAW = "SELECT suppressed FROM withdraw_consent(%s, %s, 'email', 'newsletter')"
STATE = "SELECT consent_given FROM public.communication_gdpr_consent"
EVENTS = (
    "SELECT coalesce(string_agg(event, ' ' ORDER BY event_id), '')"
    " FROM public.communication_gdpr_consent_events"
)


@pytest.fixture
def ours(database: Database) -> Organization:
    return with_a_text(database)


@pytest.fixture(scope="module")
def refusing(server: Server) -> Iterator[Organization]:
    """For calls that are refused and change nothing, and need no copy of their own."""
    database = server.clone("template_full", "test_consent_refused")
    yield with_a_text(database)
    database.drop()


def with_a_text(database: Database) -> Organization:
    """An organization with a consent text of version 1."""
    made = messaging.organization(database)
    made.call("SELECT create_consent_text(%s, '1', 'Yes, write to me.')", made.id)
    return made


def record(of: Organization, address: str = "ann@example.com", given: str | None = None) -> str:
    return str(of.call(RECORD, of.id, address, given))


def withdraw(of: Organization, address: str = "ann@example.com") -> object:
    return of.call(WITHDRAW, of.id, address)


def newsletter(of: Organization, basis: str = "consent", purpose: str = "newsletter") -> str:
    return messaging.communication(of, lawful_basis=basis, purpose=purpose)


def statuses(database: Database) -> list[tuple[object, ...]]:
    with database.connect() as connection:
        return connection.execute(
            "SELECT status, suppression_reason FROM public.communication_recipients ORDER BY id"
        ).fetchall()


def test_consent_is_proven_by_who_when_how_and_the_exact_words(ours: Organization) -> None:
    ours.call(
        "SELECT record_consent(%s, ' Ann@Example.com ', 'email', 'newsletter', '1',"
        " 'double_opt_in', '2026-01-02 03:04:05+00',"
        " 'https://example.com/rsvp', '192.0.2.1', 'Firefox', 'Bob')",
        ours.id,
    )
    with ours.database.connect() as connection:
        (proof,) = db.rows(
            connection,
            """
            SELECT event, purpose, method, source, host(ip_address) AS ip, user_agent, actor, body,
                occurred_at = '2026-01-02 03:04:05+00' AS when_given, recorded_by::text,
                sha256 = sha256(convert_to(body, 'UTF8')) AS unchanged
            FROM public.communication_gdpr_consent_events AS event
            JOIN public.consent_texts AS text
                ON text.organization_id = event.organization_id AND text.version = consent_version
            """,
        )
    assert proof == {
        "event": "given", "purpose": "newsletter", "method": "double_opt_in",
        "source": "https://example.com/rsvp", "ip": "192.0.2.1", "user_agent": "Firefox",
        "actor": "Bob", "body": "Yes, write to me.", "when_given": True,
        "recorded_by": "wedsync_app", "unchanged": True,
    }  # fmt: skip


def test_the_proof_holds_no_address(ours: Organization) -> None:
    record(ours)
    text = ours.database.value(
        "SELECT string_agg(event::text, '') FROM communication_gdpr_consent_events AS event"
    )
    assert "ann" not in str(text)


@pytest.mark.parametrize("table", ["communication_gdpr_consent_events", "consent_texts"])
@pytest.mark.parametrize(
    "change", ["UPDATE {} SET organization_id = organization_id", "DELETE FROM {}",
               "TRUNCATE {} CASCADE"],
)  # fmt: skip
def test_not_even_a_superuser_changes_the_proof(
    ours: Organization, table: str, change: str
) -> None:
    record(ours)
    with pytest.raises(db.DatabaseError, match="only ever added") as refusal:
        ours.database.execute(change.format(f"public.{table}"))
    assert refusal.value.sqlstate == "GC450"


def test_words_that_were_consented_to_never_change(ours: Organization) -> None:
    again = ours.call("SELECT (create_consent_text(%s, '1', 'Yes, write to me.')).version", ours.id)
    assert again == "1"
    with pytest.raises(db.DatabaseError, match="has other words") as refusal:
        ours.call("SELECT create_consent_text(%s, '1', 'Sell my data.')", ours.id)
    assert refusal.value.sqlstate == "GC404"


def test_a_withdrawal_works_at_once_on_what_is_queued(ours: Organization) -> None:
    """On the messages that rest on this consent, to guests and to bare addresses, and no others."""
    ann = messaging.guest(ours)
    event = record(ours)
    mine = newsletter(ours)
    messaging.recipients(ours, mine, ["ann@example.com", "bob@example.com"], guests=[ann, None],
                         lawful_basis="consent", consent_event_id=event)  # fmt: skip
    bare = newsletter(ours)
    messaging.recipients(ours, bare, lawful_basis="consent", consent_event_id=event)
    messaging.recipients(ours, newsletter(ours, "contract"), guests=[ann])
    messaging.recipients(ours, newsletter(ours, purpose="other"), guests=[ann],
                         lawful_basis="consent", consent_event_id=event)  # fmt: skip
    messaging.recipients(ours, newsletter(ours), guests=[ann], status="sending",
                         lawful_basis="consent", consent_event_id=event)  # fmt: skip
    assert withdraw(ours) == 2
    assert [status for status, _ in statuses(ours.database)].count("suppressed") == 2
    assert statuses(ours.database)[0] == ("suppressed", "consent_withdrawn")
    deltas = (
        "SELECT string_agg(concat_ws(' ', status, delta), ', ' ORDER BY status)"
        " FROM internal.communication_counter_deltas WHERE communication_id = '{}'"
    )
    assert ours.database.value(deltas.format(mine)) == "queued -1, suppressed 1"
    assert ours.database.value(deltas.format(bare)) == "queued -1, suppressed 1"
    assert withdraw(ours) == 0
    assert ours.database.value(EVENTS) == "given withdrawn"


def test_a_withdrawal_without_consent_is_written_down_once(ours: Organization) -> None:
    assert withdraw(ours, "stranger@example.com") == 0
    assert withdraw(ours, "stranger@example.com") == 0
    assert ours.database.value(EVENTS) == "withdrawn"
    assert ours.database.value(STATE) is False


def test_a_withdrawal_is_not_refused_for_a_message_that_names_the_consent(
    ours: Organization,
) -> None:
    """Sent messages keep the event that allowed them; the state changes all the same."""
    event = record(ours)
    messaging.recipients(ours, newsletter(ours), lawful_basis="consent", consent_event_id=event,
                         status="sent")  # fmt: skip
    assert withdraw(ours) == 0
    assert ours.database.value(STATE) is False
    assert statuses(ours.database) == [("sent", None)]


def test_consent_can_be_given_again(ours: Organization) -> None:
    first = record(ours)
    withdraw(ours)
    assert record(ours) != first
    assert ours.database.value(STATE) is True
    assert ours.database.value(EVENTS) == "given withdrawn given"


def test_an_older_consent_does_not_undo_a_withdrawal(ours: Organization) -> None:
    withdraw(ours)
    record(ours, given="2026-01-01 00:00:00+00")
    assert ours.database.value(STATE) is False
    assert ours.database.value(EVENTS) == "withdrawn given"


def test_a_retried_consent_is_one_event(ours: Organization) -> None:
    assert record(ours, given="2026-01-01 00:00:00+00") == record(
        ours, given="2026-01-01 00:00:00+00"
    )
    assert ours.database.value(EVENTS) == "given"


def test_whoever_withdraws_last_or_beside_a_consent_is_safe(ours: Organization) -> None:
    """Of concurrent calls, whatever their order, the state is that of the last event written."""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: (record, withdraw)[n % 2](ours), range(40)))
    agree = """
        SELECT known.consent_given = (event.event = 'given')
        FROM public.communication_gdpr_consent AS known
        JOIN public.communication_gdpr_consent_events AS event ON event_id = consent_event_id
    """
    assert ours.database.value(agree) is True
    withdraw(ours)
    assert ours.database.value(STATE) is False


def test_spellings_of_an_address_are_one_person(ours: Organization) -> None:
    record(ours, " ANN@example.com")
    withdraw(ours, "ann@EXAMPLE.com ")
    assert ours.database.value(STATE) is False


def test_the_address_is_kept_as_the_guest_writes_it(ours: Organization) -> None:
    """So that a join by address finds it."""
    messaging.guest(ours, "Ann@Example.com")
    record(ours, "ann@example.com")
    query = "SELECT guest_email FROM public.communication_gdpr_consent"
    assert ours.database.value(query) == "Ann@Example.com"


@pytest.mark.parametrize(
    ("arguments", "sqlstate"),
    [
        ({"address": None}, "GC300"),
        ({"channel": None}, "GC300"),
        ({"purpose": None}, "GC300"),
        ({"version": None}, "GC300"),
        ({"method": None}, "GC300"),
        ({"channel": "in_app"}, "GC400"),
        ({"channel": "fax"}, "GC400"),
        ({"address": ""}, "GC401"),
        ({"address": "no address"}, "GC401"),
        ({"address": "a@b\x07c"}, "GC401"),
        ({"address": "a" * 250 + "@b.example"}, "GC401"),
        ({"channel": "sms"}, "GC401"),
        ({"channel": "sms", "address": "+0123456789"}, "GC401"),
        ({"channel": "push", "address": "x" * 4097}, "GC401"),
        ({"purpose": "News Letter"}, "GC402"),
        ({"purpose": ""}, "GC402"),
        ({"version": "2"}, "GC403"),
        ({"method": "telepathy"}, "GC405"),
        ({"source": "\x1b[31m"}, "GC405"),
        ({"source": " "}, "GC405"),
        ({"user_agent": "x" * 1001}, "GC405"),
        ({"actor": ""}, "GC405"),
        ({"given_at": "2999-01-01"}, "GC406"),
        ({"given_at": "1999-12-31"}, "GC406"),
        ({"given_at": "infinity"}, "GC406"),
        ({"given_at": "-infinity"}, "GC406"),
    ],
)
def test_what_cannot_be_is_refused(
    refusing: Organization, arguments: dict[str, object], sqlstate: str
) -> None:
    values = {
        "address": "ann@example.com", "channel": "email", "purpose": "newsletter", "version": "1",
        "method": "form", "given_at": None, "source": None, "ip": None, "user_agent": None,
        "actor": None, **arguments,
    }  # fmt: skip
    with pytest.raises(db.DatabaseError) as refusal:
        refusing.call(
            "SELECT record_consent(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            refusing.id,
            *values.values(),
        )
    assert refusal.value.sqlstate == sqlstate
    assert refusing.database.value(EVENTS) == ""


def test_another_tenant_is_neither_seen_nor_touched(ours: Organization) -> None:
    other = messaging.organization(ours.database, "B", login=None)
    for call in (RECORD, WITHDRAW):
        values = (other.id, "ann@example.com", None)[: call.count("%s")]
        with pytest.raises(db.DatabaseError) as refusal:
            ours.call(call, *values)
        assert refusal.value.sqlstate == "GC001"
    record(ours)
    ours.database.execute(f"SELECT bind_login('{other.id}', 'wedsync_app')", "wedsync_ops")
    other.call("SELECT create_consent_text(%s, '1', 'Other words.')", other.id)
    assert other.call("SELECT count(*) FROM communication_gdpr_consent") == 0
    withdraw(other)
    assert ours.call(STATE) is True
    hashes = "SELECT count(DISTINCT address_hash) FROM communication_gdpr_consent"
    assert ours.database.value(hashes) == 2


def test_consents_block_of_the_manual_names_what_nobody_consented_to(ours: Organization) -> None:
    record(ours)
    messaging.recipients(ours, newsletter(ours), ["ann@example.com"])
    gap = newsletter(ours)
    messaging.recipients(ours, gap, ["ann@example.com", "bob@example.com"])
    with ours.database.connect("wedsync_ops") as connection:
        found = connection.execute(script.manual(23).encode()).fetchall()
    assert found == [(uuid.UUID(gap), "Save the date", 2, 1)]


def preferences(
    of: Organization, guest: object, wishes: object, channel: object = "email"
) -> object:
    given = wishes if wishes is None or isinstance(wishes, str) else json.dumps(wishes)
    return of.call("SELECT to_jsonb(set_preferences(%s, %s, %s, %s))", of.id, guest, channel, given)


def test_preferences_change_where_they_are_named(ours: Organization) -> None:
    ann = messaging.guest(ours)
    preferences(ours, ann, {"quiet_from": "22:00", "quiet_until": "07:00", "is_preferred": True})
    preferences(ours, ann, {"is_preferred": True, "allowed": False}, "sms")
    wishes = preferences(ours, ann, {"max_messages": 3, "per_interval": "7 days"})
    assert isinstance(wishes, dict)
    assert (wishes["quiet_from"], wishes["max_messages"]) == ("22:00:00", 3)
    assert (wishes["allowed"], wishes["is_preferred"]) == (True, False)
    cleared = preferences(ours, ann, {"quiet_from": None, "quiet_until": None})
    assert isinstance(cleared, dict)
    assert cleared["quiet_from"] is None


def test_one_channel_is_preferred_however_many_ask_at_once(ours: Organization) -> None:
    ann = messaging.guest(ours)
    channels = ["email", "sms", "push", "in_app"] * 5
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda one: preferences(ours, ann, {"is_preferred": True}, one), channels))
    query = "SELECT count(*) FROM public.communication_preferences WHERE is_preferred"
    assert ours.database.value(query) == 1


@pytest.mark.parametrize(
    ("wishes", "channel", "sqlstate"),
    [
        (None, "email", "GC300"),
        ({}, None, "GC300"),
        ({}, "fax", "GC400"),
        ("[]", "email", "GC408"),
        ("null", "email", "GC300"),
        ({"colour": "red"}, "email", "GC408"),
        ({"organization_id": str(uuid.uuid4())}, "email", "GC408"),
        ({"allowed": "perhaps"}, "email", "GC408"),
        ({"quiet_from": "25:00", "quiet_until": "07:00"}, "email", "GC408"),
        ({"quiet_from": "22:00"}, "email", "GC408"),
        ({"max_messages": -1, "per_interval": "1 day"}, "email", "GC408"),
        ({"max_messages": 99999999999, "per_interval": "1 day"}, "email", "GC408"),
        ({"max_messages": 1, "per_interval": "1000 years"}, "email", "GC408"),
        ({"language": "de\x07"}, "email", "GC408"),
    ],
)
def test_preferences_that_cannot_be_are_refused(
    refusing: Organization, wishes: object, channel: object, sqlstate: str
) -> None:
    ann = messaging.guest(refusing)
    with pytest.raises(db.DatabaseError) as refusal:
        preferences(refusing, ann, wishes, channel)
    assert refusal.value.sqlstate == sqlstate
    assert refusing.database.value("SELECT count(*) FROM public.communication_preferences") == 0


def test_preferences_of_a_foreign_guest_are_refused(ours: Organization) -> None:
    stranger = messaging.guest(messaging.organization(ours.database, "B", login=None))
    for guest in (stranger, str(uuid.uuid4())):
        with pytest.raises(db.DatabaseError, match="has no guest") as refusal:
            preferences(ours, guest, {})
        assert refusal.value.sqlstate == "GC410"


CAN = "SELECT coalesce(reason, 'allowed') FROM can_contact(%s, %s, 'email', 'newsletter', %s, %s)"


def test_whether_somebody_can_be_contacted_and_if_not_why(ours: Organization) -> None:
    def can(basis: object = "consent", category: object = "commercial") -> object:
        return ours.call(CAN, ours.id, "ann@example.com", basis, category)

    assert can() == "no_consent"
    assert can("contract", "transactional") == "allowed"
    record(ours)
    assert can() == "allowed"
    withdraw(ours)
    assert can() == "no_consent"
    ann = messaging.guest(ours)
    messaging.guest(ours, name="Bob")
    preferences(ours, ann, {"allowed": False})
    assert can("contract", "transactional") == "not_allowed"
    sent = messaging.recipients(ours, messaging.communication(ours), status="sent")
    ours.database.execute(
        f"SELECT unsubscribe(internal.unsubscribe_token('{ours.id}', '{sent[0]}'))"
    )
    assert can("contract", "transactional") == "suppressed:unsubscribe"
    for values, sqlstate in (
        (("whim", "commercial"), "GC409"), (("consent", "urgent"), "GC409"),
        ((None, "commercial"), "GC300"), (("consent", None), "GC300"),
    ):  # fmt: skip
        with pytest.raises(db.DatabaseError) as refusal:
            can(*values)
        assert refusal.value.sqlstate == sqlstate


def test_a_withdrawal_beside_bulk_send_lets_nothing_be_claimed(ours: Organization) -> None:
    """What the withdrawal could not see yet is stopped by the gate at the claim."""
    ours.database.execute(
        "SELECT set_login_unrestricted('wedsync_worker', true, 'sends')", "wedsync_ops"
    )
    ann = messaging.guest(ours)
    record(ours)
    made = ours.call(
        "SELECT id FROM create_communication(%s, 'News', 'email', 'newsletter',"
        " p_subject => 'News', p_body => 'Hello', p_lawful_basis => 'consent')",
        ours.id,
    )
    with ours.database.connect("wedsync_app") as sender, sender.transaction():
        sender.execute(
            "SELECT bulk_send(%s, %s, p_guest_ids => ARRAY[%s::uuid])", (ours.id, made, ann)
        )
        assert withdraw(ours) == 0
    assert statuses(ours.database) == [("queued", None)]
    with ours.database.connect("wedsync_worker") as worker:
        worker.execute("SELECT claim_batches('w', 10, '1 minute')")
    assert statuses(ours.database) == [("suppressed", "no_consent")]
