"""Checks of messages: what is claimed does not count, what cannot be known is not claimed."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from guestcomms import db

from tests.db import tenant_rows
from tests.db.server import Database, Server
from tests.db.tenant_rows import Organization

POSTAL = "Example Ltd, 1 Main Street, Springfield"
LAWFUL = {
    "message_category": "commercial",
    "lawful_basis": "consent",
    "purpose": "offers",
    "sender_name": "Example",
    "sender_address": "offers@example.com",
    "postal_address": POSTAL,
    "unsubscribe_url": "https://example.com/u/",
    "body": "<p>Offer</p><p>Example Ltd,<br>1 Main Street<br>SPRINGFIELD</p>"
    '<a href="{{unsubscribe_url}}">Stop</a>',
}
DUTIES = {"has_unsubscribe_link", "has_physical_address", "has_clear_sender"}
CHECK = "SELECT to_jsonb(validate_canspam_compliance(%s, %s))"


@pytest.fixture
def ours(database: Database) -> Organization:
    return tenant_rows.organization(database)


@pytest.fixture(scope="module")
def shared(server: Server) -> Iterator[Organization]:
    """For tests that leave nothing that others would meet."""
    database = server.clone("template_full", "test_compliance_shared")
    yield tenant_rows.organization(database)
    database.drop()


def message(of: Organization, **columns: object) -> str:
    """A lawful commercial message, compiled as create_communication() does, with changes."""
    given: dict[str, Any] = {"subject": "Offer", "message_type": "email", **LAWFUL, **columns}
    texts = [given["message_type"], given["subject"], given["body"], given.get("body_text")]
    with of.database.connect() as connection:
        given["compiled"] = db.one_value(
            connection,
            "SELECT compiled::text FROM internal.compile_message(%s, %s, %s, %s)",
            texts,
        )
    return tenant_rows.communication(of, **given)


def checked(of: Organization, communication: object) -> dict[str, object]:
    found = of.call(CHECK, of.id, communication)
    assert isinstance(found, dict)
    return found


def score(of: Organization, **columns: object) -> object:
    return checked(of, message(of, **columns))["compliance_score"]


def test_a_lawful_message_has_the_full_score(shared: Organization) -> None:
    found = checked(shared, message(shared))
    assert (found["compliance_score"], found["subject_line_accurate"]) == (100, None)
    assert [found[name] for name in sorted(DUTIES)] == [True, True, True]


@pytest.mark.parametrize(
    ("change", "column"),
    [
        ({"body": f"{POSTAL} without a link"}, "has_unsubscribe_link"),
        ({"body": f"{POSTAL} {{{{#if vip}}}}{{{{unsubscribe_url}}}}{{{{/if}}}}"},
         "has_unsubscribe_link"),
        ({"body": f"{POSTAL} {{{{#if vip}}}}x{{{{else}}}}{{{{unsubscribe_url}}}}{{{{/if}}}}"},
         "has_unsubscribe_link"),
        ({"body_text": "text part without one"}, "has_unsubscribe_link"),
        ({"unsubscribe_url": None}, "has_unsubscribe_link"),
        ({"body": "no address {{unsubscribe_url}}"}, "has_physical_address"),
        ({"postal_address": None}, "has_physical_address"),
        ({"sender_name": None}, "has_clear_sender"),
        ({"sender_name": " "}, "has_clear_sender"),
        ({"sender_address": None}, "has_clear_sender"),
        ({"sender_address": "example"}, "has_clear_sender"),
        ({"sender_address": "a@b@example.com"}, "has_clear_sender"),
    ],
)  # fmt: skip
def test_each_duty_that_is_missed_costs(
    shared: Organization, change: dict[str, object], column: str
) -> None:
    found = checked(shared, message(shared, **change))
    assert {name for name in DUTIES if not found[name]} == {column}
    assert found["compliance_score"] == 66


def test_a_link_after_a_condition_is_shown_to_everybody(shared: Organization) -> None:
    body = f"{POSTAL} {{{{#if vip}}}}Dear{{{{/if}}}}{{{{unsubscribe_url}}}}"
    assert score(shared, body=body) == 100


def test_only_the_duties_that_apply_count(shared: Organization) -> None:
    bare = {"postal_address": None, "unsubscribe_url": None, "body": "The ceremony is at 3 pm"}
    transactional = {"message_category": "transactional", "lawful_basis": "contract", **bare}
    assert score(shared, **transactional) == 100
    assert score(shared, **transactional, sender_name=None) == 0
    sms = {"message_type": "sms", "subject": None, "sender_address": "+4915112345678"}
    assert score(shared, **{**bare, **sms, "body": "Offer. Reply STOP to end"}) == 100
    assert score(shared, **{**bare, **sms, "body": "Nonstop offers"}) == 50
    push = {"message_type": "push", "subject": "Offer"}
    assert score(shared, **{**bare, **push}) == 100


def test_a_claim_by_hand_is_replaced_by_what_is_true(shared: Organization) -> None:
    """As the operations manual inserts it: everything true, score 100, no organization."""
    bad = message(shared, body="Buy!", sender_name=None)
    with shared.database.connect("wedsync_ops") as connection:
        connection.execute(
            "INSERT INTO communication_canspam_compliance (communication_id, has_unsubscribe_link,"
            " has_physical_address, has_clear_sender, subject_line_accurate, compliance_score)"
            " VALUES (%s, true, true, true, true, 100)",
            (bad,),
        )
        (row,) = connection.execute(
            "SELECT organization_id::text, has_unsubscribe_link, has_physical_address,"
            " has_clear_sender, subject_line_accurate, compliance_score, validated_by::text"
            " FROM communication_canspam_compliance WHERE communication_id = %s",
            (bad,),
        ).fetchall()
    assert row == (shared.id, False, False, False, None, 0, "wedsync_ops")


@pytest.mark.parametrize("column", ["subject_assessed_by", "findings", "organization_id"])
def test_operations_cannot_write_what_only_functions_write(
    shared: Organization, column: str
) -> None:
    with pytest.raises(db.sqlstates.InsufficientPrivilege):
        shared.database.execute(
            f"INSERT INTO communication_canspam_compliance (communication_id, {column})"
            f" VALUES ('{uuid.uuid4()}', NULL)",
            "wedsync_ops",
        )


def test_a_subject_is_accurate_if_a_named_person_said_so(shared: Organization) -> None:
    its = message(shared)
    assess = "SELECT to_jsonb(assess_subject_line(%s, %s, %s, %s))"
    said = shared.call(assess, shared.id, its, False, "Ann Lee")
    assert isinstance(said, dict)
    assert (said["subject_line_accurate"], said["compliance_score"]) == (False, 75)
    again = checked(shared, its)
    assert (again["subject_line_accurate"], again["subject_assessed_by"]) == (False, "Ann Lee")
    shared.call(assess, shared.id, its, True, "Bob Ray")
    assert checked(shared, its)["compliance_score"] == 100
    for values, sqlstate in (
        ((None, "Ann"), "GC300"), ((True, None), "GC300"), ((True, " "), "GC422"),
        ((True, "x" * 201), "GC422"), ((True, "\x1b"), "GC422"),
    ):  # fmt: skip
        with pytest.raises(db.DatabaseError) as refusal:
            shared.call(assess, shared.id, its, *values)
        assert refusal.value.sqlstate == sqlstate


def test_unknown_and_foreign_messages_are_refused(ours: Organization) -> None:
    other = tenant_rows.organization(ours.database, "B", login=None)
    for identity, sqlstate in (
        (None, "GC300"), (uuid.uuid4(), "GC420"), (message(other), "GC420"),
        ("ffffffff-ffff-ffff-ffff-ffffffffffff", "GC420"),
    ):  # fmt: skip
        with pytest.raises(db.DatabaseError) as refusal:
            checked(ours, identity)
        assert refusal.value.sqlstate == sqlstate
    assert ours.database.value("SELECT count(*) FROM communication_canspam_compliance") == 0


def test_score_block_of_the_manual(ours: Organization) -> None:
    checked(ours, message(ours))
    checked(ours, message(ours, sender_name=None))
    with ours.database.connect("wedsync_ops") as connection:
        found = connection.execute(
            """
            SELECT
              AVG(compliance_score) as avg_compliance,
              COUNT(*) FILTER (WHERE compliance_score < 80) as non_compliant
            FROM communication_canspam_compliance
            WHERE validation_timestamp > NOW() - INTERVAL '24 hours';
            """
        ).fetchone()
    assert found == (83, 1)


def consent(of: Organization, verb: str, address: str) -> str:
    """Consent to offers is given or withdrawn; returns its event."""
    if verb == "given":
        of.call("SELECT create_consent_text(%s, '1', 'Yes.')", of.id)
        call = "SELECT record_consent(%s, %s, 'email', 'offers', '1', 'form')::text"
    else:
        call = "SELECT consent_event_id::text FROM withdraw_consent(%s, %s, 'email', 'offers')"
    return str(of.call(call, of.id, address))


def gaps(database: Database, interval: object = "7 days") -> list[tuple[object, ...]]:
    with database.connect("wedsync_auditor") as connection:
        return connection.execute(
            "SELECT communication_id::text, recipients, without_consent, after_withdrawal"
            " FROM consent_gaps(%s)",
            (interval,),
        ).fetchall()


def test_gaps_are_what_was_sent_without_or_after_consent(ours: Organization) -> None:
    """Not what waits, what rests on something else, or what was withdrawn after it was sent."""
    event = consent(ours, "given", "ann@example.com")
    basis = {"lawful_basis": "consent", "consent_event_id": event, "status": "sent"}
    now = ours.database.value("SELECT clock_timestamp()")
    fine, bad, late = message(ours), message(ours), message(ours)
    tenant_rows.recipients(ours, fine, ["ann@example.com"], **basis, sending_at=now)
    tenant_rows.recipients(ours, fine, ["bob@example.com"], **{**basis, "status": "queued"})
    tenant_rows.recipients(ours, message(ours, lawful_basis="legitimate_interest"),
                         ["bob@example.com"], status="sent", sending_at=now)  # fmt: skip
    tenant_rows.recipients(
        ours, bad, ["ann@example.com", "bob@example.com"], **basis, sending_at=now
    )
    consent(ours, "withdrawn", "ann@example.com")
    assert gaps(ours.database) == [(bad, 2, 1, 0)]
    after = ours.database.value("SELECT clock_timestamp()")
    tenant_rows.recipients(ours, late, ["ann@example.com"], **basis, sending_at=after)
    assert sorted(gaps(ours.database)) == sorted([(bad, 2, 1, 0), (late, 1, 0, 1)])
    assert gaps(ours.database, "0") == []


@pytest.mark.parametrize(
    ("interval", "sqlstate"),
    [(None, "GC300"), ("-1 day", "GC421"), ("11 years", "GC421"), ("infinity", "GC421")],
)
def test_gaps_of_no_interval_are_refused(
    shared: Organization, interval: object, sqlstate: str
) -> None:
    with pytest.raises(db.DatabaseError) as refusal:
        gaps(shared.database, interval)
    assert refusal.value.sqlstate == sqlstate


def test_the_report_counts_per_organization(ours: Organization) -> None:
    other = tenant_rows.organization(ours.database, "B")
    consent(ours, "given", "ann@example.com")
    consent(ours, "withdrawn", "ann@example.com")
    consent(other, "given", "ann@example.com")
    checked(ours, message(ours, sender_name=None))
    message(ours)
    with ours.database.connect("wedsync_auditor") as connection:
        period = "compliance_report(now() - interval {}, now() + interval {})"
        rows = db.rows(connection, b"SELECT * FROM " + period.format("'1 h'", "'1 s'").encode())
        before = b"SELECT * FROM " + period.format("'2 days'", "'-1 day'").encode()
        assert db.rows(connection, before) == []
    report = {(str(r["organization_id"]), r["measure"]): float(r["value"]) for r in rows}
    assert report == {
        (ours.id, "consents_given"): 1, (ours.id, "consents_withdrawn"): 1,
        (ours.id, "commercial_messages"): 2, (ours.id, "commercial_messages_unchecked"): 1,
        (ours.id, "commercial_messages_below_80"): 1,
        (ours.id, "commercial_messages_average_score"): 66, (other.id, "consents_given"): 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("period", "sqlstate"),
    [
        ("NULL, now()", "GC300"), ("now(), NULL", "GC300"), ("now(), now()", "GC421"),
        ("now(), now() - interval '1 s'", "GC421"), ("'-infinity', now()", "GC421"),
        ("now(), 'infinity'", "GC421"),
    ],
)  # fmt: skip
def test_a_report_of_no_period_is_refused(shared: Organization, period: str, sqlstate: str) -> None:
    with pytest.raises(db.DatabaseError) as refusal:
        shared.database.execute(f"SELECT compliance_report({period})", "wedsync_ops")
    assert refusal.value.sqlstate == sqlstate


def test_reports_over_all_tenants_are_not_for_applications(shared: Organization) -> None:
    for call in ("consent_gaps('1 day')", "compliance_report(now() - interval '1 day', now())"):
        with pytest.raises(db.sqlstates.InsufficientPrivilege):
            shared.database.execute(f"SELECT {call}", "wedsync_app")
