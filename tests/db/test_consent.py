"""Consent: proof is written and stays, a withdrawal works at once and is never refused."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from guestcomms import db

from tests.db import script, tenant_rows
from tests.db.server import Database, Server
from tests.db.tenant_rows import Organization

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
    made = tenant_rows.organization(database)
    made.call("SELECT create_consent_text(%s, '1', 'Yes, write to me.')", made.id)
    return made


def record(of: Organization, address: str = "ann@example.com", given: str | None = None) -> str:
    return str(of.call(RECORD, of.id, address, given))


def withdraw(of: Organization, address: str = "ann@example.com") -> object:
    return of.call(WITHDRAW, of.id, address)


def newsletter(of: Organization, basis: str = "consent", purpose: str = "newsletter") -> str:
    return tenant_rows.communication(of, lawful_basis=basis, purpose=purpose)


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
    ann = tenant_rows.guest(ours)
    event = record(ours)
    mine = newsletter(ours)
    tenant_rows.recipients(ours, mine, ["ann@example.com", "bob@example.com"], guests=[ann, None],
                         lawful_basis="consent", consent_event_id=event)  # fmt: skip
    bare = newsletter(ours)
    tenant_rows.recipients(ours, bare, lawful_basis="consent", consent_event_id=event)
    tenant_rows.recipients(ours, newsletter(ours, "contract"), guests=[ann])
    tenant_rows.recipients(ours, newsletter(ours, purpose="other"), guests=[ann],
                         lawful_basis="consent", consent_event_id=event)  # fmt: skip
    tenant_rows.recipients(ours, newsletter(ours), guests=[ann], status="sending",
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
    tenant_rows.recipients(ours, newsletter(ours), lawful_basis="consent", consent_event_id=event,
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
    tenant_rows.guest(ours, "Ann@Example.com")
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
    other = tenant_rows.organization(ours.database, "B", login=None)
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
    tenant_rows.recipients(ours, newsletter(ours), ["ann@example.com"])
    gap = newsletter(ours)
    tenant_rows.recipients(ours, gap, ["ann@example.com", "bob@example.com"])
    with ours.database.connect("wedsync_ops") as connection:
        found = connection.execute(script.manual(23).encode()).fetchall()
    assert found == [(uuid.UUID(gap), "Save the date", 2, 1)]


def preferences(
    of: Organization, guest: object, wishes: object, channel: object = "email"
) -> object:
    given = wishes if wishes is None or isinstance(wishes, str) else json.dumps(wishes)
    return of.call("SELECT to_jsonb(set_preferences(%s, %s, %s, %s))", of.id, guest, channel, given)


def test_preferences_change_where_they_are_named(ours: Organization) -> None:
    ann = tenant_rows.guest(ours)
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
    ann = tenant_rows.guest(ours)
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
    ann = tenant_rows.guest(refusing)
    with pytest.raises(db.DatabaseError) as refusal:
        preferences(refusing, ann, wishes, channel)
    assert refusal.value.sqlstate == sqlstate
    assert refusing.database.value("SELECT count(*) FROM public.communication_preferences") == 0


def test_preferences_of_a_foreign_guest_are_refused(ours: Organization) -> None:
    stranger = tenant_rows.guest(tenant_rows.organization(ours.database, "B", login=None))
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
    ann = tenant_rows.guest(ours)
    tenant_rows.guest(ours, name="Bob")
    preferences(ours, ann, {"allowed": False})
    assert can("contract", "transactional") == "not_allowed"
    sent = tenant_rows.recipients(ours, tenant_rows.communication(ours), status="sent")
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
    ann = tenant_rows.guest(ours)
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


COMMON = {"channel": "email", "purpose": "newsletter", "consent_version": "1", "method": "form"}


def record_all(
    of: Organization, entries: Sequence[object], common: object = COMMON
) -> list[dict[str, object]]:
    with of.database.connect("wedsync_app") as connection:
        return db.rows(
            connection,
            "SELECT place, consent_event_id::text AS event"
            " FROM record_consents(%s, %s::jsonb, %s::jsonb)",
            (of.id, json.dumps(entries), json.dumps(common)),
        )


def test_a_list_is_recorded_as_one_by_one(ours: Organization) -> None:
    """The same calls and one call leave the same events, states and suppressions."""
    made = tenant_rows.organization(ours.database, "B", "wedsync_app")
    made.call("SELECT create_consent_text(%s, '1', 'Yes, write to me.')", made.id)
    entries: list[dict[str, str]] = [
        {"address": "Ann@example.com", "given_at": "2026-01-01T00:00:00Z", "source": "rsvp"},
        {"address": "ann@example.com ", "given_at": "2026-02-01T00:00:00Z", "actor": "Bob"},
        {"address": "bob@example.com", "method": "import", "given_at": "2026-01-01T00:00:00Z"},
        {"address": "+4930123456", "channel": "sms", "ip_address": "192.0.2.1"},
        {"address": "gone@example.com", "given_at": "2026-01-01T00:00:00Z"},
    ]
    for of in (ours, made):
        for address in ("bob@example.com", "+4930123456"):
            of.database.execute(
                "INSERT INTO suppressions (organization_id, channel, address_hash, reason,"
                f" created_at) SELECT '{of.id}', one, internal.address_hash('{of.id}', one,"
                f" '{address}'), 'unsubscribe', '2025-12-01' FROM unnest('{{email,sms}}'::text[])"
                " AS one"
            )
        withdraw(of, "gone@example.com")  # later than it was given: stays withdrawn
    record_all(ours, entries)
    for entry in entries:
        whole = COMMON | entry
        made.call(
            "SELECT record_consent(%s, %s, %s, %s, %s, %s, %s, %s, %s::inet, NULL, %s)",
            made.id, *(whole.get(name) for name in (
                "address", "channel", "purpose", "consent_version", "method", "given_at", "source",
                "ip_address", "actor",
            )),
        )  # fmt: skip
    assert left_behind(ours) == left_behind(made)
    assert len(left_behind(ours)[0]) == len(entries) + 1


def left_behind(of: Organization) -> tuple[list[object], ...]:
    """Events, states and suppressions, without what is of one organization or moment."""
    with of.database.connect() as connection:
        queries = (
            (
                "SELECT channel, event, consent_version, method, source, ip_address, actor,"
                " CASE WHEN occurred_at < '2026-03-01' THEN occurred_at END AS moment"
                " FROM communication_gdpr_consent_events WHERE organization_id = %s"
                " ORDER BY 1, 8, 2"
            ),
            (
                "SELECT channel, guest_email, consent_given, consent_version,"
                " CASE WHEN given_at < '2026-03-01' THEN given_at END AS moment"
                " FROM communication_gdpr_consent WHERE organization_id = %s ORDER BY 1, 2, 3"
            ),
            (
                "SELECT channel, reason, count(*) FROM suppressions WHERE organization_id = %s"
                " GROUP BY 1, 2 ORDER BY 1, 2"
            ),
        )
        return tuple(
            sorted(connection.execute(query.encode(), (of.id,)), key=str) for query in queries
        )


def test_a_list_that_was_recorded_returns_the_same_events(ours: Organization) -> None:
    entries = [
        {"address": f"{number}@example.com", "given_at": "2026-01-01"} for number in range(5)
    ]
    first = record_all(ours, [*entries, entries[0]])
    assert [row["place"] for row in first] == [1, 2, 3, 4, 5, 6]
    assert first[0]["event"] == first[5]["event"]
    assert record_all(ours, entries) == first[:5]
    assert ours.database.value("SELECT count(*) FROM communication_gdpr_consent_events") == 5


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        ({"address": None}, "GC300"), ({"method": None}, "GC300"), ({"channel": "fax"}, "GC400"),
        ({"address": "nobody"}, "GC401"), ({"purpose": "A B"}, "GC402"),
        ({"consent_version": "9"}, "GC403"), ({"method": "telepathy"}, "GC405"),
        ({"ip_address": "here"}, "GC405"), ({"source": "x" * 501}, "GC405"),
        ({"given_at": "tomorrow"}, "GC406"), ({"given_at": "1999-01-01"}, "GC406"),
        ({"given_at": "soon"}, "GC406"), ({"colour": "red"}, "GC411"), (3, "GC411"),
    ],
)  # fmt: skip
def test_one_bad_entry_refuses_the_list_and_is_named(
    refusing: Organization, entry: object, code: str
) -> None:
    bad = {"address": "ann@example.com", **entry} if isinstance(entry, dict) else entry
    with pytest.raises(db.DatabaseError, match=r"^entry 2") as refusal:
        record_all(refusing, [{"address": "bob@example.com"}, bad, bad])
    assert refusal.value.sqlstate == code
    assert refusing.database.value(EVENTS) == ""


@pytest.mark.parametrize(
    ("entries", "common"), [({}, {}), ([], []), ([{}] * 10_001, {}), ("x", {}), ([], {"x": 1})]
)
def test_no_list_of_consents_is_refused(
    refusing: Organization, entries: Sequence[object], common: object
) -> None:
    with pytest.raises(db.DatabaseError) as refusal:
        record_all(refusing, entries, common)
    assert refusal.value.sqlstate == "GC411"


def test_ten_thousand_consents_are_one_call(ours: Organization) -> None:
    entries = [{"address": f"{number}@example.com"} for number in range(10_000)]
    assert len({row["event"] for row in record_all(ours, entries)}) == 10_000
    assert record_all(ours, []) == []
    held = "SELECT count(*) FROM communication_gdpr_consent WHERE consent_given"
    assert ours.database.value(held) == 10_000
    with ThreadPoolExecutor(2) as pool:  # in other orders, at the same time
        both = [entries[:1000], entries[999::-1]] * 2
        assert [len(rows) for rows in pool.map(lambda one: record_all(ours, one), both)] == [
            1000
        ] * 4
