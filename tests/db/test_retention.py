"""Retention: old data go as the rules say; what is not sent and what a hold keeps stays."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from guestcomms import db

from tests.db import tenant_rows
from tests.db.server import Database
from tests.db.tenant_rows import Organization

CHECKED_LONG_AGO = (
    "INSERT INTO communication_canspam_compliance"
    " VALUES ({0}, gen_random_uuid(), {3}, true, true, true, NULL, NULL, NULL, 100, '[]', 1, {1})"
)
OLD = datetime(2020, 1, 15, tzinfo=UTC)
LATER = datetime(2020, 2, 15, tzinfo=UTC)
TABLES = ("guest_communications", "communication_recipients", "delivery_status")
MONTHS = (("p20200101", "2020-01-01", "2020-02-01"), ("p20200201", "2020-02-01", "2020-03-01"))


@pytest.fixture
def ours(database: Database) -> Organization:
    """An organization, with partitions for January and February 2020."""
    for table in TABLES:
        for name, lower, upper in MONTHS:
            database.execute(
                f"SET ROLE comms_owner; CREATE TABLE public.{table}_{name} PARTITION OF"
                f" public.{table} FOR VALUES FROM ('{lower}') TO ('{upper}')"
            )
    return tenant_rows.organization(database)


def message(of: Organization, created: datetime = OLD, **columns: object) -> str:
    """An old communication to one guest, sent if not told otherwise."""
    state = str(columns.pop("recipient_status", "sent"))
    guest = tenant_rows.guest(of)
    columns = {"status": "sent", "completed_at": created, **columns}
    its = tenant_rows.communication(of, created, **columns)
    tenant_rows.recipients(of, its, guests=[guest], status=state)
    return its


def apply(database: Database, dry_run: bool = False) -> dict[str, tuple[int, int, str | None]]:
    with database.connect("guestcomms_cron") as connection:
        rows = db.rows(connection, "SELECT * FROM apply_data_retention(%s)", (dry_run,))
    return {row["rule"]: (row["affected"], row["kept"], row["detail"]) for row in rows}


def only(database: Database, *rules: str) -> None:
    """Let the other rules rest."""
    with database.connect("wedsync_ops") as connection:
        connection.execute(
            "UPDATE communication_data_retention SET enabled = rule = ANY (%s)", (list(rules),)
        )


def partitions(database: Database) -> object:
    return database.value(
        "SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class"
        " WHERE relkind = 'r' AND relname LIKE '%p2020%'"
    )


def test_the_defaults_name_a_period_and_its_reason(database: Database) -> None:
    query = (
        "SELECT count(*) FROM communication_data_retention"
        " WHERE enabled AND retention_period > '1 day' AND legal_basis <> ''"
    )
    assert database.value(query) == 9


def test_old_communications_leave_the_lists(ours: Organization) -> None:
    """So that the manual's question for records to archive is answered with none."""
    message(ours)
    only(ours.database, "archive_communications")
    assert apply(ours.database) == {"archive_communications": (1, 0, None)}
    assert apply(ours.database) == {"archive_communications": (0, 0, None)}
    with ours.database.connect("wedsync_ops") as connection:
        found = connection.execute(
            """
            SELECT
              COUNT(*) as records_to_archive,
              MIN(created_at) as oldest_record
            FROM guest_communications
            WHERE created_at < NOW() - INTERVAL '365 days'
              AND is_archived = false;
            """
        ).fetchone()
    assert found == (0, None)


@pytest.mark.parametrize(
    "columns",
    [
        {"status": "sending", "completed_at": None},
        {"status": "scheduled", "completed_at": None, "scheduled_for": "2999-01-01"},
        {"completed_at": datetime.now(UTC)},
    ],
    ids=["sending", "scheduled", "sent lately"],
)
def test_what_is_not_over_stays(ours: Organization, columns: dict[str, Any]) -> None:
    message(ours, **columns)
    only(ours.database, "archive_communications", "anonymise_recipients", "drop_communications")
    done = apply(ours.database)
    assert done["archive_communications"][:2] == (0, 1)
    assert done["drop_communications"][:2] == (0, 2)
    assert ours.database.value("SELECT NOT bool_or(is_archived) FROM guest_communications")
    assert ours.database.value("SELECT count(*) FROM communication_recipients") == 1


def test_old_recipients_become_nobody_and_still_count(ours: Organization) -> None:
    message(ours)
    only(ours.database, "anonymise_recipients")
    assert apply(ours.database) == {"anonymise_recipients": (1, 0, None)}
    assert apply(ours.database) == {"anonymise_recipients": (0, 0, None)}
    row = ours.database.value("SELECT recipient::text FROM communication_recipients AS recipient")
    assert "ann" not in str(row).lower()
    linked = "SELECT count(guest_id) + count(address_hash) FROM communication_recipients"
    assert ours.database.value(linked) == 0
    assert ours.database.value("SELECT count(*) FROM communication_recipients") == 1


@pytest.mark.parametrize("kind", ["guest", "communication", "organization"])
def test_a_hold_keeps_recipients_and_months(ours: Organization, kind: str) -> None:
    its = message(ours)
    guest = ours.database.value("SELECT guest_id FROM guests")
    on = {"guest": (guest, None), "communication": (None, its), "organization": (None, None)}
    hold = ours.call(
        "SELECT hold_id FROM place_legal_hold(%s, 'Dispute', %s, %s)", ours.id, *on[kind]
    )
    only(ours.database, "anonymise_recipients", "drop_communications")
    assert apply(ours.database) == {
        "anonymise_recipients": (0, 1, "kept: 0 not sent yet, 1 under a legal hold"),
        "drop_communications": (0, 2, "kept: 2020-01, because of a legal hold"),
    }
    ours.call("SELECT lift_legal_hold(%s, %s)::text", ours.id, hold)
    only(ours.database, "drop_communications")
    assert apply(ours.database) == {"drop_communications": (2, 0, None)}


def test_a_hold_of_another_organization_keeps_its_own_alone(ours: Organization) -> None:
    message(ours)
    other = tenant_rows.organization(ours.database, "B")
    other.call("SELECT place_legal_hold(%s, 'Dispute')::text", other.id)
    only(ours.database, "anonymise_recipients")
    assert apply(ours.database) == {"anonymise_recipients": (1, 0, None)}


def test_old_months_are_dropped_with_all_that_points_to_them(ours: Organization) -> None:
    its = message(ours)
    with ours.database.connect() as connection:
        connection.execute(
            "INSERT INTO communication_dead_letters (organization_id, batch_id, communication_id,"
            " communication_created_at, first_recipient_id, last_recipient_id, recipients, reason,"
            " attempts) SELECT organization_id, 'b', communication_id, communication_created_at,"
            " id, id, 1, 'rejected', 1 FROM communication_recipients"
        )
        connection.execute(
            "INSERT INTO internal.communication_counter_deltas"
            " (organization_id, communication_id, status, delta) VALUES (%s, %s, 'sent', 1)",
            (ours.id, its),
        )
    only(ours.database, "drop_communications", "drop_delivery_events")
    assert apply(ours.database, dry_run=True) == {
        "drop_communications": (2, 0, None), "drop_delivery_events": (2, 0, None),
    }  # fmt: skip
    assert len(str(partitions(ours.database)).split()) == 6
    assert apply(ours.database) == {
        "drop_communications": (2, 0, None), "drop_delivery_events": (2, 0, None),
    }  # fmt: skip
    assert partitions(ours.database) is None
    assert ours.database.value("SELECT count(*) FROM communication_dead_letters") == 0
    assert ours.database.value("SELECT count(*) FROM internal.communication_counter_deltas") == 0
    tenant_rows.recipients(ours, tenant_rows.communication(ours))


def test_unsent_messages_keep_their_month_and_the_later_ones(ours: Organization) -> None:
    """Weddings are planned years ahead. Without holes in the series, a gap is always a mistake."""
    message(ours, recipient_status="queued")
    message(ours, LATER)
    only(ours.database, "drop_communications")
    why = "kept: 2020-01, because of messages are not sent yet, or were sent lately"
    assert apply(ours.database) == {"drop_communications": (0, 2, why)}
    ours.database.execute("UPDATE communication_recipients SET status = 'sent'")
    assert apply(ours.database) == {"drop_communications": (2, 0, None)}


def test_what_is_said_to_be_done_is_written_down(ours: Organization) -> None:
    message(ours)
    apply(ours.database, dry_run=True)
    written = "SELECT count(*) FROM communication_data_retention WHERE last_run_at IS NOT NULL"
    assert ours.database.value(written) == 0
    apply(ours.database)
    assert ours.database.value(written) == 9
    result = (
        "SELECT last_result ->> 'affected' FROM communication_data_retention"
        " WHERE rule = 'archive_communications'"
    )
    assert ours.database.value(result) == "1"


def test_a_rule_that_fails_keeps_none_of_the_others(ours: Organization) -> None:
    """Here somebody reads the month that is to be dropped, and is not driven away."""
    message(ours)
    only(ours.database, "archive_communications", "drop_communications")
    with ours.database.connect() as reader, reader.transaction():
        reader.execute("SELECT count(*) FROM guest_communications")
        done = apply(ours.database)
        assert done["archive_communications"] == (1, 0, None)
        assert done["drop_communications"][2] is not None
        assert done["drop_communications"][2].startswith("failed, nothing changed: canceling")
    assert apply(ours.database)["drop_communications"] == (2, 0, None)


def test_messages_queued_beside_an_erasure_are_swept(ours: Organization) -> None:
    guest = tenant_rows.guest(ours)
    ours.call("SELECT erase_guest(%s, %s)::text", ours.id, guest)
    tenant_rows.recipients(ours, tenant_rows.communication(ours), guests=[guest], status="sent")
    only(ours.database, "anonymise_recipients")
    assert apply(ours.database) == {"anonymise_recipients": (1, 0, None)}
    assert ours.database.value("SELECT count(recipient_email) FROM communication_recipients") == 0


def test_old_rows_of_the_small_tables_go_and_checks_under_a_hold_stay(ours: Organization) -> None:
    its = message(ours)
    with ours.database.connect() as connection:
        for statement in (
            "SET session_replication_role = replica",  # a check of long ago, past its trigger
            "INSERT INTO internal.delivery_event_keys VALUES ({0}, gen_random_uuid(), {1})",
            "INSERT INTO communication_idempotency VALUES ({0}, 'k', 'o', {2}, NULL, {1})",
            CHECKED_LONG_AGO,
        ):
            literals = (ours.id, OLD, b"x" * 32, its)
            connection.execute(db.sql.SQL(statement).format(*map(db.sql.Literal, literals)))
    hold = ours.call("SELECT hold_id FROM place_legal_hold(%s, 'Dispute')", ours.id)
    only(ours.database, "delete_event_keys", "delete_idempotency_keys", "delete_message_checks")
    keys = {"delete_event_keys": (1, 0, None), "delete_idempotency_keys": (1, 0, None)}
    held = {"delete_message_checks": (0, 1, "kept: a legal hold")}
    assert apply(ours.database, dry_run=True) == {**keys, **held}
    assert apply(ours.database) == {**keys, **held}
    ours.call("SELECT lift_legal_hold(%s, %s)::text", ours.id, hold)
    assert apply(ours.database)["delete_message_checks"] == (1, 0, None)
    assert apply(ours.database)["delete_message_checks"] == (0, 0, None)


def test_two_runs_at_once_are_one(ours: Organization) -> None:
    with ours.database.connect("guestcomms_cron") as first, first.transaction():
        assert db.rows(first, "SELECT * FROM apply_data_retention()") != []
        assert apply(ours.database) == {}


def test_a_period_of_nothing_is_refused(database: Database) -> None:
    change = "UPDATE communication_data_retention SET retention_period = %s::interval"
    with database.connect("wedsync_ops") as connection:
        for period in ("0", "-1 day", "23 hours"):
            with pytest.raises(db.sqlstates.CheckViolation):
                connection.execute(change, (period,))
    with pytest.raises(db.DatabaseError) as refusal:
        database.execute("SELECT apply_data_retention(NULL)", "wedsync_ops")
    assert refusal.value.sqlstate == "GC300"
