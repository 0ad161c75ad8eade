"""Rights of data subjects: requests with due dates, export, erasure, and what a hold keeps."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from guestcomms import db

from tests.db import tenant_rows
from tests.db.server import Database, Server
from tests.db.tenant_rows import Organization

ERASE = (
    "SELECT ARRAY[messages_suppressed, messages_anonymised, consents_ended]"
    " FROM erase_guest(%s, %s)"
)
PERSONAL = ("Ann", "ann@example.com", "+4915112345678", "crm-7", "secret song")


@pytest.fixture
def ours(database: Database) -> Organization:
    made = tenant_rows.organization(database)
    made.call("SELECT create_consent_text(%s, '1', 'Yes.')", made.id)
    return made


@pytest.fixture(scope="module")
def shared(server: Server) -> Iterator[Organization]:
    """For tests that leave nothing that others would meet."""
    database = server.clone("template_full", "test_erasure_shared")
    yield tenant_rows.organization(database)
    database.drop()


def ann(of: Organization) -> str:
    """A guest with everything: two addresses, wishes, consent, messages sent and queued."""
    made = tenant_rows.guest(of, phone="+4915112345678", external_id="crm-7")
    of.call("SELECT set_preferences(%s, %s, 'email', '{\"allowed\": true}')::text", of.id, made)
    event = of.call(
        "SELECT record_consent(%s, 'ann@example.com', 'email', 'offers', '1', 'form')::text", of.id
    )
    basis: dict[str, Any] = {"lawful_basis": "consent", "consent_event_id": event}
    sent = tenant_rows.recipients(
        of, tenant_rows.communication(of), guests=[made], status="bounced",
        error_message="ann@example.com is unknown", **basis,
    )  # fmt: skip
    with of.database.connect() as connection:
        connection.execute(
            """
            UPDATE communication_recipients AS recipient
            SET personalisation_key_version = key_version,
                personalisation = internal.aes256_gcm_encrypt(
                    key, convert_to('{"song": "secret song"}', 'UTF8'), internal.field_context(
                        organization_id, 'communication_recipients.personalisation', id, key_version
                    )
                )
            FROM internal.field_key(%s) WHERE id = %s
            """,
            (of.id, sent[0]),
        )
        connection.execute(
            "INSERT INTO delivery_status (organization_id, recipient_id, event_key,"
            " communication_id, communication_created_at, channel, provider, provider_event_id,"
            " status, error_message, occurred_at) SELECT organization_id, id, gen_random_uuid(),"
            " communication_id, communication_created_at, channel, 'p', 'e', 'bounced',"
            " error_message, now() FROM communication_recipients"
        )
    tenant_rows.recipients(of, tenant_rows.communication(of), guests=[made], **basis)
    tenant_rows.recipients(
        of, tenant_rows.communication(of), ["+4915112345678"], "sms", guests=[made]
    )
    tenant_rows.recipients(of, tenant_rows.communication(of))
    return made


def erase(of: Organization, guest: object) -> object:
    return of.call(ERASE, of.id, guest)


def everything(database: Database) -> str:
    """Every row of every table, as text; encrypted values are not in clear, keys are left out."""
    with database.connect() as connection:
        tables = connection.execute(
            "SELECT relation.oid::regclass::text FROM pg_class AS relation WHERE relkind IN"
            " ('r', 'p') AND NOT relispartition AND relnamespace IN"
            " ('public'::regnamespace, 'internal'::regnamespace)"
        ).fetchall()
        texts = [
            connection.execute(
                db.sql.SQL("SELECT coalesce(string_agg(t::text, ''), '') FROM {} AS t").format(
                    db.sql.Identifier(*name.split("."))
                )
            ).fetchone()
            for (name,) in tables
        ]
    return "".join(str(text) for text in texts)


def test_nothing_of_an_erased_guest_is_left_in_any_table(ours: Organization) -> None:
    guest = ann(ours)
    before = everything(ours.database)
    assert [text for text in PERSONAL[:4] if text not in before] == []
    assert erase(ours, guest) == [3, 4, 1]
    after = everything(ours.database)
    assert [text for text in PERSONAL if text in after] == []


def test_counts_survive_and_what_was_queued_is_stopped(ours: Organization) -> None:
    guest = ann(ours)
    erase(ours, guest)
    states = (
        "SELECT string_agg(concat_ws(' ', status, suppression_reason), ', ' ORDER BY id)"
        " FROM communication_recipients"
    )
    stopped = "suppressed guest_erased"
    assert ours.database.value(states) == f"bounced, {stopped}, {stopped}, {stopped}"
    deltas = "SELECT sum(delta) FROM internal.communication_counter_deltas WHERE status = '{}'"
    assert ours.database.value(deltas.format("queued")) == -3
    assert ours.database.value(deltas.format("suppressed")) == 3
    named = "SELECT count(*) FROM communication_recipients WHERE recipient_key = guest_id"
    assert ours.database.value(named) == 0


def test_suppressions_outlive_the_guest_by_their_hash(ours: Organization) -> None:
    erase(ours, ann(ours))
    bars = (
        "SELECT string_agg(channel || ' ' || reason, ', ' ORDER BY channel) FROM suppressions"
        " WHERE address_hash IN ("
        "internal.address_hash(organization_id, 'email', 'ANN@example.com'),"
        " internal.address_hash(organization_id, 'sms', '+4915112345678'))"
    )
    assert ours.database.value(bars) == "email erased, sms erased"
    state = (
        "SELECT consent_given::text || coalesce(guest_email, '-') FROM communication_gdpr_consent"
    )
    assert ours.database.value(state) == "false-"


def test_the_other_one_at_a_shared_address_is_not_touched(ours: Organization) -> None:
    guest = ann(ours)
    bob = tenant_rows.guest(ours, "Ann@example.com", name="Bob")
    tenant_rows.recipients(ours, tenant_rows.communication(ours), guests=[bob])
    assert erase(ours, guest) == [2, 3, 0]
    assert ours.database.value("SELECT string_agg(channel, '') FROM suppressions") == "sms"
    assert ours.database.value("SELECT consent_given FROM communication_gdpr_consent") is True
    queued = "SELECT count(*) FROM communication_recipients WHERE status = 'queued'"
    assert ours.database.value(queued) == 2


def test_erasing_again_finds_what_was_queued_beside_it(ours: Organization) -> None:
    guest = ann(ours)
    erase(ours, guest)
    assert erase(ours, guest) == [0, 0, 0]
    tenant_rows.recipients(ours, tenant_rows.communication(ours), guests=[guest])
    assert erase(ours, guest) == [1, 1, 0]


def test_ten_at_once_erase_once(ours: Organization) -> None:
    guest = ann(ours)
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: erase(ours, guest), range(10)))
    assert sorted(map(str, answers)) == ["[0, 0, 0]"] * 9 + ["[3, 4, 1]"]


def test_erasing_and_unsubscribing_at_once_end_without_deadlock(ours: Organization) -> None:
    guest = ann(ours)
    for _ in range(5):
        tenant_rows.recipients(ours, tenant_rows.communication(ours), guests=[guest])
    its = ours.database.value(
        "SELECT internal.unsubscribe_token(organization_id, id) FROM communication_recipients"
        " ORDER BY id LIMIT 1"
    )

    def unsubscribe(_: int) -> None:
        with ours.database.connect("wedsync_worker") as connection:
            connection.execute("SELECT unsubscribe(%s)", (its,))

    with ThreadPoolExecutor(9) as pool:
        done = [pool.submit(unsubscribe, n) for n in range(8)]
        done.append(pool.submit(lambda _: erase(ours, guest), 0))  # type: ignore[arg-type]
        for one in done:
            one.result()
    assert "ann@example.com" not in everything(ours.database)


@pytest.mark.parametrize("kind", ["guest", "communication", "organization"])
def test_a_hold_forbids_erasure_until_it_is_lifted(ours: Organization, kind: str) -> None:
    guest = ann(ours)
    message = ours.database.value("SELECT communication_id FROM communication_recipients LIMIT 1")
    on = {"guest": (guest, None), "communication": (None, message), "organization": (None, None)}
    hold = ours.call(
        "SELECT hold_id FROM place_legal_hold(%s, 'Dispute', %s, %s)", ours.id, *on[kind]
    )
    with pytest.raises(db.DatabaseError, match=str(hold)) as refusal:
        erase(ours, guest)
    assert refusal.value.sqlstate == "GC426"
    ours.call("SELECT lift_legal_hold(%s, %s)::text", ours.id, hold)
    ours.call("SELECT lift_legal_hold(%s, %s)::text", ours.id, hold)
    assert erase(ours, guest) == [3, 4, 1]


def test_a_hold_on_somebody_else_forbids_nothing(ours: Organization) -> None:
    guest = ann(ours)
    bob = tenant_rows.guest(ours, "bob@example.com", name="Bob")
    message = tenant_rows.communication(ours)
    for on in ((bob, None), (None, message)):
        ours.call("SELECT place_legal_hold(%s, 'Dispute', %s, %s)::text", ours.id, *on)
    assert erase(ours, guest) == [3, 4, 1]


def test_an_export_has_everything_and_no_hashes(ours: Organization) -> None:
    guest = ann(ours)
    export = ours.call("SELECT export_guest_data(%s, %s)", ours.id, guest)
    assert isinstance(export, dict)
    text = json.dumps(export)
    assert [one for one in PERSONAL if one not in text] == []
    assert "hash" not in text
    assert export["messages"][0]["variables"] == {"song": "secret song"}
    assert export["messages"][0]["reports"][0]["status"] == "bounced"
    assert [one["consent_text"] for one in export["consent"]] == ["Yes."]
    assert len(export["preferences"]) == 1


def test_a_request_is_due_within_a_month_and_three_if_extended(shared: Organization) -> None:
    guest = tenant_rows.guest(shared)
    ask = (
        "SELECT to_jsonb(r) || jsonb_build_object("
        "'month', due_at = received_at + interval '1 month'"
        ") FROM open_data_subject_request(%s, %s, 'access') AS r"
    )
    request = shared.call(ask, shared.id, guest)
    assert isinstance(request, dict)
    assert request["month"] is True
    again = shared.call(ask, shared.id, guest)
    assert isinstance(again, dict)
    assert again["request_id"] == request["request_id"]
    extend = (
        "SELECT due_at = received_at + interval '3 months'"
        " FROM extend_data_subject_request(%s, %s, 'Many messages')"
    )
    assert shared.call(extend, shared.id, request["request_id"]) is True
    assert refused(shared, extend, shared.id, request["request_id"]) == "GC425"


def test_an_erasure_is_fulfilled_only_when_it_has_happened(shared: Organization) -> None:
    guest = tenant_rows.guest(shared)
    request = shared.call(
        "SELECT request_id FROM open_data_subject_request(%s, %s, 'erasure')", shared.id, guest
    )
    close = "SELECT outcome FROM close_data_subject_request(%s, %s, %s, %s)"
    assert refused(shared, close, shared.id, request, "fulfilled", None) == "GC425"
    assert refused(shared, close, shared.id, request, "refused", None) == "GC425"
    assert refused(shared, close, shared.id, request, "forgotten", None) == "GC425"
    assert refused(shared, close, shared.id, request, None, None) == "GC300"
    erase(shared, guest)
    assert shared.call(close, shared.id, request, "fulfilled", None) == "fulfilled"
    assert refused(shared, close, shared.id, request, "fulfilled", None) == "GC424"


def refused(of: Organization, query: str, *values: object) -> str | None:
    with pytest.raises(db.DatabaseError) as refusal:
        of.call(query, *values)
    return refusal.value.sqlstate


def test_what_cannot_be_is_refused(shared: Organization) -> None:
    other = tenant_rows.organization(shared.database, "B", login=None)
    guest, foreign = tenant_rows.guest(shared), tenant_rows.guest(other)
    message = tenant_rows.communication(shared)
    opening = "SELECT open_data_subject_request(%s, %s, %s, %s, %s)::text"
    hold = "SELECT place_legal_hold(%s, %s, %s, %s)::text"
    record = "SELECT set_processing_record(%s, 'a', %s, %s, %s, '{{x}}', '{{}}', 's', 'c')::text"
    record = record.replace("{{", "{").replace("}}", "}")
    for sqlstate, query, *values in (
        ("GC300", ERASE, None), ("GC410", ERASE, uuid.uuid4()), ("GC410", ERASE, foreign),
        ("GC300", "SELECT export_guest_data(%s, %s)", None),
        ("GC410", "SELECT export_guest_data(%s, %s)", foreign),
        ("GC300", opening, guest, None, None, None),
        ("GC300", opening, None, "access", None, None),
        ("GC410", opening, foreign, "access", None, None),
        ("GC423", opening, guest, "telepathy", None, None),
        ("GC423", opening, guest, "access", "2999-01-01", None),
        ("GC423", opening, guest, "access", "-infinity", None),
        ("GC423", opening, guest, "access", None, "\x1b"),
        ("GC424", "SELECT extend_data_subject_request(%s, %s, 'x')::text", uuid.uuid4()),
        ("GC300", "SELECT extend_data_subject_request(%s, %s, 'x')::text", None),
        ("GC300", hold, None, None, None), ("GC427", hold, " ", None, None),
        ("GC427", hold, "x", guest, message), ("GC410", hold, "x", foreign, None),
        ("GC420", hold, "x", None, uuid.uuid4()),
        ("GC427", "SELECT lift_legal_hold(%s, %s)::text", uuid.uuid4()),
        ("GC300", "SELECT lift_legal_hold(%s, %s)::text", None),
        ("GC300", record, None, "contract", ["guests"]),
        ("GC428", record, "p", "whim", ["guests"]), ("GC428", record, "p", "contract", []),
        ("GC428", record, "p", "contract", [""]), ("GC428", record, "p", "contract", [None]),
        ("GC428", record, "p\x07", "contract", ["guests"]),
    ):  # fmt: skip
        assert (refused(shared, query, shared.id, *values), query, values) == (
            sqlstate, query, values,
        )  # fmt: skip
    assert refused(shared, ERASE, other.id, foreign) == "GC001"


def test_a_processing_record_is_rewritten_in_place(shared: Organization) -> None:
    record = (
        "SELECT purposes FROM set_processing_record(%s, 'Messages', %s, 'contract', '{guests}',"
        " '{addresses}', '{providers}', 'Encryption', 'privacy@example.com', NULL, %s)"
    )
    shared.call(record, shared.id, "To invite", ["anonymise_recipients"])
    assert shared.call(record, shared.id, "To thank", []) == "To thank"
    assert shared.call("SELECT count(*) FROM processing_records") == 1
    assert refused(shared, record, shared.id, "To thank", ["no_such_rule"]) == "GC428"
