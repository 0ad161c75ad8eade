"""run_integrity_checks() and repair_integrity(): broken, found, repaired, clean."""

from __future__ import annotations

from typing import Any

import pytest
from guestcomms import db

from tests.db.queue_calls import counters, organization, queue, states
from tests.db.server import Database

UNCHECKED = "SET session_replication_role = replica"
"""Without it foreign keys and triggers would refuse what the checks look for."""


def found(database: Database) -> dict[str, int]:
    """What checks find, without zeros."""
    with database.connect("wedsync_ops") as ops:
        rows = db.rows(ops, "SELECT * FROM public.run_integrity_checks()")
    assert len(rows) == 11
    return {row["check_name"]: row["count"] for row in rows if row["count"] != 0}


def spoil(database: Database, statement: str) -> None:
    """Change data behind the back of foreign keys and triggers."""
    with database.connect() as connection:
        connection.execute(UNCHECKED)
        connection.execute(statement.encode())


def repair(database: Database, check: str, *, dry_run: bool = False) -> dict[str, Any]:
    with database.connect("wedsync_ops") as ops:
        return db.rows(ops, "SELECT * FROM public.repair_integrity(%s, %s)", (check, dry_run))[0]


@pytest.fixture
def message(database: Database) -> str:
    """A message to ten recipients in the queue."""
    with database.connect() as connection:
        return queue(connection, organization(database), 10)


BREAKAGES = [
    ("recipients_without_guest",
     "UPDATE public.communication_recipients SET guest_id = gen_random_uuid()", 10, {"queued": 10}),
    ("duplicate_recipients",
     ("UPDATE public.communication_recipients SET address_hash = sha256('same')"
     " WHERE recipient_email < '4'"), 3, {"queued": 7, "suppressed": 3}),
    ("stuck_sending",
     ("WITH moved AS (UPDATE public.communication_recipients SET status = 'sending',"
     " sending_at = now() - interval '2 hours' WHERE recipient_email < '4' RETURNING *)"
     " UPDATE public.guest_communications SET queued_count = 6, sending_count = 4"),
     4, {"queued": 6, "unknown": 4}),
    ("queued_without_chunk",
     "DELETE FROM public.communication_batch_queue", 10, {"queued": 10}),
    ("counters",
     ("UPDATE public.guest_communications SET queued_count = 12, clicked_count = 1,"
     " total_recipients = 9"), 1, {"queued": 10}),
    ("empty_chunks",
     ("UPDATE public.communication_recipients SET status = 'sent';"
     " UPDATE public.guest_communications SET queued_count = 0, sent_count = 10;"
     " UPDATE public.communication_batch_queue SET run_at = now() - interval '2 hours'"),
     1, {"sent": 10}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("check", "breakage", "count", "after"), BREAKAGES, ids=[one[0] for one in BREAKAGES]
)
def test_what_is_broken_is_found_and_repaired(
    database: Database, message: str, check: str, breakage: str, count: int, after: dict[str, int]
) -> None:
    assert found(database) == {}
    spoil(database, breakage)
    assert found(database) == {check: count}
    shown = repair(database, check, dry_run=True)
    assert (shown["count"], shown["repaired"]) == (count, None)
    assert 1 <= len(shown["sample"]) <= 5
    assert found(database) == {check: count}, "a dry run repaired something"
    assert repair(database, check)["repaired"] == count
    assert found(database) == {}
    with database.connect() as connection:
        assert states(connection, message) == after
        assert counters(connection, message) == after
    assert repair(database, check)["repaired"] == 0


@pytest.mark.usefixtures("message")
def test_a_repaired_chunk_covers_them(database: Database) -> None:
    database.execute("DELETE FROM public.communication_batch_queue")
    repair(database, "queued_without_chunk")
    ids = database.value(
        "SELECT count(*) FROM public.communication_batch_queue AS chunk"
        " JOIN public.communication_recipients AS recipient"
        " ON recipient.id BETWEEN chunk.first_recipient_id AND chunk.last_recipient_id"
        " WHERE chunk.state = 'ready'"
    )
    assert ids == 10


def test_a_message_in_which_nobody_is_left_is_finished(database: Database) -> None:
    with database.connect() as connection:
        queue(connection, organization(database), 3)
    spoil(
        database,
        "DELETE FROM public.communication_batch_queue;"
        " UPDATE public.communication_recipients SET status = 'failed';"
        " UPDATE public.guest_communications SET queued_count = 0, failed_count = 3",
    )
    assert found(database) == {}, "a young message may be about to be finished"
    age(database)
    assert found(database) == {"unfinished_communications": 1}
    assert repair(database, "unfinished_communications")["repaired"] == 1
    assert found(database) == {}
    state = "SELECT status FROM public.guest_communications"
    assert database.value(state) == "sent"


def age(database: Database) -> None:
    """Make the message and its recipients an hour older: their keys carry the time."""
    spoil(
        database,
        """
        CREATE TEMPORARY TABLE older AS
        SELECT left(time, 8) || '-' || right(time, 4) AS time
        FROM lpad(to_hex(
            (extract(EPOCH FROM now() - interval '1 hour') * 1000)::bigint
        ), 12, '0') AS time;
        UPDATE public.communication_recipients AS recipient
        SET id = overlay(recipient.id::text PLACING older.time FROM 1)::uuid,
            communication_id = overlay(communication_id::text PLACING older.time FROM 1)::uuid,
            communication_created_at = internal.uuid_v7_time(
                overlay(communication_id::text PLACING older.time FROM 1)::uuid
            )
        FROM older;
        UPDATE public.guest_communications AS message
        SET id = overlay(message.id::text PLACING older.time FROM 1)::uuid,
            created_at = internal.uuid_v7_time(
                overlay(message.id::text PLACING older.time FROM 1)::uuid
            )
        FROM older
        """,
    )


@pytest.mark.usefixtures("message")
def test_missing_partitions_are_made_also_in_the_middle(database: Database) -> None:
    name = database.value(
        "SELECT min(inhrelid::regclass::text) FROM pg_inherits"
        " WHERE inhparent = 'public.delivery_status'::regclass"
        " AND inhrelid::regclass::text > 'delivery_status_p' || to_char(now(), 'YYYYMM') || '99'"
    )
    database.execute(f"DROP TABLE {name}")
    assert found(database) == {"missing_partitions": 1}
    assert repair(database, "missing_partitions")["repaired"] == 1
    assert found(database) == {}


def test_a_repair_leaves_the_session_as_it_was(database: Database) -> None:
    """pg_partman sets search_path for the session, which a pooler would give to the next client."""
    with database.connect("wedsync_ops") as ops:
        before = db.one_value(ops, "SHOW search_path")
        ops.execute("SELECT public.repair_integrity('missing_partitions', false)")
        ops.execute("SELECT public.perform_communication_maintenance()")
        assert db.one_value(ops, "SHOW search_path") == before


@pytest.mark.parametrize(
    ("check", "breakage"),
    [
        ("orphan_events",
         ("INSERT INTO public.delivery_status (organization_id, recipient_id, event_key,"
         " communication_id, communication_created_at, channel, provider, provider_event_id,"
         " status, occurred_at)"
         " SELECT organization_id, internal.uuid_v7(), gen_random_uuid(), id, created_at,"
         " 'email', 'smtp', 'x', 'sent', now() FROM public.guest_communications")),
        ("broken_references",
         ("INSERT INTO public.communication_preferences (organization_id, guest_id, channel)"
         " SELECT organization_id, gen_random_uuid(), 'email' FROM public.organizations LIMIT 1")),
        ("broken_references",
         ("UPDATE public.guest_communications"
          " SET template_id = gen_random_uuid(), template_version = 1")),
        ("template_syntax",
         ("INSERT INTO public.message_templates (organization_id, template_id, name, channel,"
         " published_version) SELECT organization_id, '00000000-0000-7000-8000-000000000001', 'x',"
         " 'email', 1 FROM public.organizations LIMIT 1;"
         " INSERT INTO public.message_template_versions (organization_id, template_id, version,"
         " subject, body, compiled, published_at, published_by)"
         " SELECT organization_id, template_id, 1, 'x', 'Dear {{name', '{}', now(), 'x' "
         " FROM public.message_templates")),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("message")
def test_what_no_function_can_repair_is_found(
    database: Database, check: str, breakage: str
) -> None:
    spoil(database, breakage)
    assert found(database) == {check: 1}
    with pytest.raises(db.DatabaseError, match=check) as refusal:
        repair(database, check)
    assert refusal.value.sqlstate == "GC471"


def test_a_deleted_message_is_missed_by_its_recipients(database: Database, message: str) -> None:
    spoil(database, "DELETE FROM public.guest_communications")
    assert found(database)["broken_references"] == 11  # ten recipients and their chunk
    assert message


@pytest.mark.usefixtures("message")
def test_a_check_that_cannot_be_evaluated_says_why(database: Database) -> None:
    database.execute("DROP TABLE internal.communication_counter_deltas CASCADE")
    with database.connect("wedsync_ops") as ops:
        rows = db.rows(ops, "SELECT * FROM public.run_integrity_checks()")
    broken = next(row for row in rows if row["check_name"] == "counters")
    assert broken["count"] is None
    assert "communication_counter_deltas" in broken["sample"]["error"]


@pytest.mark.usefixtures("message")
def test_what_is_older_than_asked_for_is_not_read(database: Database) -> None:
    spoil(database, "DELETE FROM public.communication_batch_queue")
    with database.connect("wedsync_ops") as ops:
        rows = db.rows(ops, "SELECT * FROM public.run_integrity_checks(now() + interval '1 hour')")
    assert {row["count"] for row in rows} == {0}


@pytest.mark.parametrize(
    ("arguments", "sqlstate"),
    [("NULL", "GC300"), ("'counters', NULL", "GC300"), ("'counters', true, NULL", "GC300"),
     ("'nonsense'", "GC470")],
)  # fmt: skip
def test_nonsense_is_refused(database: Database, arguments: str, sqlstate: str) -> None:
    with pytest.raises(db.DatabaseError) as refusal:
        database.execute(f"SELECT public.repair_integrity({arguments})", "wedsync_ops")
    assert refusal.value.sqlstate == sqlstate
