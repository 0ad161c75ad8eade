"""perform_communication_maintenance(): every step works, and a failing one stops no other."""

from __future__ import annotations

from guestcomms import db

from tests.db.queue_calls import counters, organization, queue
from tests.db.server import Database


def maintain(database: Database, login: str = "wedsync_ops") -> dict[str, dict[str, str]]:
    with database.connect(login) as connection:
        rows = db.rows(connection, "SELECT * FROM public.perform_communication_maintenance()")
    return {row["step"]: row for row in rows}


def failed(steps: dict[str, dict[str, str]]) -> set[str]:
    return {name for name, step in steps.items() if step["status"] == "failed"}


def test_operations_and_the_job_may_call_it(database: Database) -> None:
    for login in ("wedsync_ops", "guestcomms_cron"):
        steps = maintain(database, login)
        assert set(steps) == {
            "partitions", "counters", "retention", "control_messages", "statistics",
        }  # fmt: skip
        assert failed(steps) == set()


def test_it_does_what_it_says(database: Database) -> None:
    with database.connect() as connection:
        message = queue(connection, organization(database), 3)
        database.execute(
            "INSERT INTO public.communication_batch_queue (batch_id, operation_type, payload, "
            " state,"
            " created_at) SELECT state || age, 'scale_workers', '{\"worker_count\": 1}', state,"
            " now() - age::interval FROM (VALUES ('acknowledged', '8 days'), ('ready', '8 days'),"
            " ('acknowledged', '1 day')) AS old (state, age)"
        )
        database.execute(
            "INSERT INTO internal.communication_counter_deltas (organization_id, communication_id,"
            " status, delta) SELECT organization_id, id, 'sent', 5 FROM public.guest_communications"
        )
        before = counters(connection, message)
        steps = maintain(database)
        assert steps["control_messages"]["result"] == "1"
        assert steps["counters"]["result"] == "1"
        assert int(steps["statistics"]["result"]) >= 5
        assert counters(connection, message) == before
    assert database.value("SELECT count(*) FROM internal.communication_counter_deltas") == 0
    assert database.value(
        "SELECT reltuples >= 0 FROM pg_class "
        " WHERE oid = 'public.communication_recipients'::regclass"
    )


def test_a_failing_step_is_reported_and_the_others_run(database: Database) -> None:
    database.execute("DROP FUNCTION internal.analyze_partitioned()")
    database.execute(
        "CREATE OR REPLACE FUNCTION internal.maintain_partitions() RETURNS void LANGUAGE plpgsql"
        " AS $$ BEGIN CREATE TABLE public.left_over (); RAISE 'broken on purpose'; END $$"
    )
    steps = maintain(database)
    assert failed(steps) == {"partitions", "statistics"}
    assert steps["partitions"]["result"] == "broken on purpose"
    assert database.value("SELECT to_regclass('public.left_over')") is None
    with database.connect("wedsync_ops") as ops:
        health = db.rows(ops, "SELECT * FROM public.check_communication_system_health()")
    verdict = next(row for row in health if row["check_name"] == "maintenance")
    assert verdict["status"] == "fail"
    assert "failed: partitions, statistics" in verdict["value"]
