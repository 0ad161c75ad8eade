"""check_communication_system_health(): each check passes, fails and is unknown by a real cause."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from guestcomms import db

from tests.db.queue_calls import organization, queue
from tests.db.server import Database

QUEUE = "UPDATE public.communication_batch_queue SET "
APPLIED = "UPDATE public.communication_pool_config SET applied_at = now(); "
METRIC = "INSERT INTO public.communication_performance_metrics VALUES ('{}', {}, '{{}}', {})"
RUN = "INSERT INTO cron.job_run_details (jobid, runid, status, start_time)"
CHUNKS = """
INSERT INTO public.communication_batch_queue SELECT (jsonb_populate_record(
    chunk, jsonb_build_object('batch_id', number, 'recipients', 1000)
)).* FROM public.communication_batch_queue AS chunk, generate_series(1, {}) AS number
"""
INACTIVE = """
INSERT INTO cron.job_run_details (jobid, runid, status, start_time)
VALUES (1, 1, 'succeeded', now());
UPDATE cron.job SET active = false WHERE jobid = 2
"""
REQUEST = """
SET session_replication_role = replica;
INSERT INTO public.data_subject_requests
    (organization_id, guest_id, kind, received_at, due_at, opened_by)
VALUES (gen_random_uuid(), gen_random_uuid(), 'access', now() - interval '40 days', {}, 'x')
"""
INTEGRITY = "INSERT INTO internal.integrity_results VALUES ('x', '{}', {}, {}, now())"


def judge(database: Database, login: str = "wedsync_ops") -> dict[str, dict[str, str]]:
    with database.connect(login) as connection:
        rows = db.rows(connection, "SELECT * FROM public.check_communication_system_health()")
    return {row.pop("check_name"): row for row in rows}


def status(database: Database, check: str) -> str:
    return judge(database)[check]["status"]


def test_every_row_says_what_to_do_unless_it_passes(database: Database) -> None:
    rows = judge(database)
    assert len(rows) == 24
    for name, row in rows.items():
        assert row["status"] in {"pass", "warn", "fail", "unknown"}, name
        assert row["value"], name
        assert row["threshold"], name
        assert (row["what_to_do"] == "") == (row["status"] == "pass"), name


def test_what_was_never_measured_is_unknown(database: Database) -> None:
    rows = judge(database)
    assert {name for name, row in rows.items() if row["status"] == "unknown"} == {
        "integrity", "jobs", "maintenance", "metrics", "response_times", "cache_hit", "pools",
        "wal_audited", "backups_verified",
    }  # fmt: skip
    assert {row["status"] for row in rows.values()} == {"pass", "unknown"}


CAUSES = [
    ("sending", "UPDATE internal.sending_state SET frozen = true, reason = 'x'", "fail"),
    ("sending", "DELETE FROM internal.sending_state", "unknown"),
    ("sending", "DROP TABLE internal.sending_state CASCADE", "unknown"),
    ("queue_age", f"{QUEUE} run_at = now() - interval '5 minutes'", "pass"),
    ("queue_age", f"{QUEUE} run_at = now() - interval '20 minutes'", "warn"),
    ("queue_age", f"{QUEUE} run_at = now() - interval '2 hours'", "fail"),
    ("queue_age", f"{QUEUE} run_at = now() + interval '2 hours'", "pass"),
    ("queue_age", "DROP TABLE public.communication_batch_queue CASCADE", "unknown"),
    ("queue_depth", CHUNKS.format(1000), "warn"),
    ("queue_depth", CHUNKS.format(5000), "fail"),
    ("queue_depth", "DROP TABLE public.communication_batch_queue CASCADE", "unknown"),
    ("leases", (f"{QUEUE} state = 'leased', lease_token = gen_random_uuid(), leased_by = 'x',"
     " leased_at = now(), handed_out = 0, lease_until = now() + interval '1 hour'"), "pass"),
    ("leases", (f"{QUEUE} state = 'leased', lease_token = gen_random_uuid(), leased_by = 'x',"
     " leased_at = now(), handed_out = 0, lease_until = now() - interval '2 minutes'"), "warn"),
    ("leases", (f"{QUEUE} state = 'leased', lease_token = gen_random_uuid(), leased_by = 'x',"
     " leased_at = now(), handed_out = 0, lease_until = now() - interval '1 hour'"), "fail"),
    ("leases", "DROP TABLE public.communication_batch_queue CASCADE", "unknown"),
    ("unknown_recipients",
     "UPDATE public.guest_communications SET total_recipients = 10000, unknown_count = 1", "warn"),
    ("unknown_recipients", "UPDATE public.guest_communications SET unknown_count = 1", "fail"),
    ("unknown_recipients", "REVOKE SELECT ON public.guest_communications FROM comms_maintenance",
     "unknown"),
    ("unmatched_events",
     ("INSERT INTO internal.unmatched_delivery_events (provider, provider_event_id, status,"
     " occurred_at) VALUES ('x', 'x', 'sent', now())"), "pass"),
    ("unmatched_events",
     ("INSERT INTO internal.unmatched_delivery_events (provider, provider_event_id, status,"
     " occurred_at, received_at)"
     " VALUES ('x', 'x', 'sent', now(), now() - interval '1 day')"), "warn"),
    ("unmatched_events",
     ("INSERT INTO internal.unmatched_delivery_events (provider, provider_event_id, status,"
     " occurred_at, received_at) SELECT 'x', number, 'sent', now(), now() - interval '1 day'"
     " FROM generate_series(1, 1001) AS number"), "fail"),
    ("unmatched_events", "DROP TABLE internal.unmatched_delivery_events CASCADE", "unknown"),
    ("counters", ("INSERT INTO internal.communication_counter_deltas (organization_id,"
     " communication_id, status, delta) SELECT gen_random_uuid(), gen_random_uuid(), 'sent', 1"
     " FROM generate_series(1, 100001)"), "warn"),
    ("counters", ("INSERT INTO internal.communication_counter_deltas (organization_id,"
     " communication_id, status, delta) SELECT gen_random_uuid(), gen_random_uuid(), 'sent', 1"
     " FROM generate_series(1, 1000001)"), "fail"),
    ("counters", "DROP TABLE internal.communication_counter_deltas CASCADE", "unknown"),
    ("integrity", INTEGRITY.format("error", 0, "now()"), "pass"),
    ("integrity", INTEGRITY.format("warning", 1, "now()"), "warn"),
    ("integrity", INTEGRITY.format("error", 0, "now() - interval '2 days'"), "warn"),
    ("integrity", INTEGRITY.format("error", 1, "now()"), "fail"),
    ("subject_requests", REQUEST.format("now() + interval '20 days'"), "pass"),
    ("subject_requests", REQUEST.format("now() + interval '2 days'"), "warn"),
    ("subject_requests", REQUEST.format("now() - interval '1 hour'"), "fail"),
    ("subject_requests", "DROP TABLE public.data_subject_requests CASCADE", "unknown"),
    ("default_partitions",
     "CREATE TABLE public.rest PARTITION OF public.delivery_status DEFAULT", "fail"),
    ("default_partitions", "DROP FUNCTION internal.partition_months()", "unknown"),
    ("partitions_ahead", "DROP FUNCTION internal.partition_months()", "unknown"),
    ("jobs", f"{RUN} VALUES (1, 1, 'succeeded', now())", "pass"),
    ("jobs", f"{RUN} VALUES (1, 1, 'succeeded', now() - interval '1 hour')", "fail"),
    ("jobs", INACTIVE, "warn"),
    ("jobs", f"{RUN} VALUES (1, 1, 'failed', now())", "fail"),
    ("jobs", f"{RUN} VALUES (1, 1, 'failed', now()), (1, 2, 'succeeded', now())", "pass"),
    ("jobs", "DELETE FROM cron.job", "fail"),
    ("metrics", METRIC.format("connections_used", "now()", 1), "pass"),
    ("metrics", METRIC.format("connections_used", "now() - interval '10 minutes'", 1), "fail"),
    ("cache_hit", METRIC.format("cache_hit_percent", "now()", 99), "pass"),
    ("cache_hit", METRIC.format("cache_hit_percent", "now()", 80), "warn"),
    ("cache_hit", METRIC.format("cache_hit_percent", "now()", 60), "fail"),
    ("response_times", METRIC.format("probe_ms", "now()", 5), "pass"),
    ("response_times", METRIC.format("probe_ms", "now()", 600), "warn"),
    ("response_times", METRIC.format("probe_ms", "now()", 1200), "fail"),
    ("response_times", METRIC.format("probe_ms", "now()", 5) + ";"
     + METRIC.format("statement_avg_ms", "now()", 700), "fail"),
    ("pools", APPLIED + "INSERT INTO internal.pool_loads VALUES ('production', 'pg-1', 0, 0)",
     "pass"),
    ("pools", APPLIED + "INSERT INTO internal.pool_loads VALUES ('production', 'pg-1', 5, 0, 3)",
     "warn"),
    ("pools", (APPLIED + "INSERT INTO internal.pool_loads VALUES"
     " ('production', 'pg-1', 0, 0, 0, NULL, now() - interval '10 minutes')"), "fail"),
    ("connections", "REVOKE EXECUTE ON FUNCTION internal.readiness_connections() FROM comms_ops",
     "unknown"),
    ("transaction_ids", "DROP FUNCTION internal.readiness_transaction_ids()", "unknown"),
]  # fmt: skip


@pytest.mark.parametrize(("check", "cause", "after"), CAUSES)
def test_a_cause_turns_its_check(database: Database, check: str, cause: str, after: str) -> None:
    with database.connect() as connection:
        queue(connection, organization(database), 10)
    database.execute(cause)
    assert status(database, check) == after, judge(database)[check]


def test_maintenance_passes_until_a_step_fails(database: Database) -> None:
    metric = (
        "INSERT INTO public.communication_performance_metrics VALUES"
        " ('maintenance_failed', now() - interval '{}', '{{\"step\": \"x\"}}', {})"
    )
    database.execute(metric.format("2 hours", 1))
    assert status(database, "maintenance") == "fail"
    database.execute(metric.format("1 hour", 0))
    assert status(database, "maintenance") == "pass"
    database.execute(
        "UPDATE public.communication_performance_metrics"
        " SET metric_timestamp = metric_timestamp - interval '2 days'"
    )
    assert status(database, "maintenance") == "fail"


def test_a_month_without_partition_shows_before_it_begins(database: Database) -> None:
    assert status(database, "partitions_ahead") == "pass"
    names = database.value(
        "SELECT array_agg(inhrelid::regclass::text ORDER BY inhrelid::regclass::text DESC)"
        " FROM pg_inherits WHERE inhparent = 'public.delivery_status'::regclass"
    )
    assert isinstance(names, list)
    database.execute(f"DROP TABLE public.{names[1]}")  # a hole
    assert status(database, "partitions_ahead") == "warn"
    database.execute(f"DROP TABLE public.{names[0]}; DROP TABLE public.{names[2]}")
    assert status(database, "partitions_ahead") == "fail"


def test_dead_letters_wait_for_a_day(database: Database) -> None:
    assert status(database, "dead_letters") == "pass"
    with database.connect() as connection:
        queue(connection, organization(database), 10)
    database.execute(
        "INSERT INTO public.communication_dead_letters (organization_id, batch_id,"
        " communication_id, communication_created_at, first_recipient_id, last_recipient_id, "
        " recipients, reason,"
        " attempts) SELECT organization_id, batch_id, communication_id, communication_created_at,"
        " first_recipient_id, last_recipient_id, recipients, 'rejected', 1"
        " FROM public.communication_batch_queue"
    )
    assert status(database, "dead_letters") == "warn"
    old = "UPDATE public.communication_dead_letters SET dead_at = now() - interval '2 days'"
    database.execute(old)
    assert status(database, "dead_letters") == "fail"
    database.execute("DROP TABLE public.communication_dead_letters CASCADE")
    assert status(database, "dead_letters") == "unknown"


@contextlib.contextmanager
def waiting(database: Database) -> Iterator[None]:
    """Somebody waits for a lock that an open transaction holds."""
    with ThreadPoolExecutor(1) as thread, database.connect() as holder, holder.transaction():
        holder.execute("LOCK TABLE public.guests")
        thread.submit(database.execute, "TABLE public.guests")
        yield


def test_who_waits_for_a_lock_shows(database: Database) -> None:
    assert status(database, "blocked_sessions") == "pass"
    with waiting(database):
        time.sleep(5.5)
        assert status(database, "blocked_sessions") == "warn"
        with database.connect("wedsync_ops") as ops:
            rows = db.rows(ops, "SELECT * FROM public.blocking_queries()")
        assert [row["blocked_query"] for row in rows] == ["TABLE public.guests"]
        assert rows[0]["blocking_state"] == "idle in transaction"
        assert rows[0]["waiting"].total_seconds() > 5
        assert status(database, "blocked_sessions") == "warn"
        assert limited(database, "blocked_sessions", "3 seconds", "5 seconds") == "fail"
        assert limited(database, "blocked_sessions", "1 hour", "2 hours") == "pass"
    assert status(database, "blocked_sessions") == "pass"


def limited(database: Database, check: str, warn: str, fail: str) -> object:
    """What a check says with other limits: nobody waits half an hour for a test."""
    query = f"SELECT status FROM internal.health_{check}('{warn}', '{fail}')"
    return database.value(query, "wedsync_ops")


def test_without_the_right_to_see_sessions_nothing_is_claimed(database: Database) -> None:
    database.execute("REVOKE pg_monitor FROM comms_ops")
    try:
        rows = judge(database)
    finally:
        database.execute("GRANT pg_monitor TO comms_ops")
    for check in ("oldest_transaction", "blocked_sessions"):
        assert rows[check]["status"] == "unknown"
        assert "comms_ops" in rows[check]["what_to_do"]


def test_an_open_transaction_shows(database: Database) -> None:
    assert status(database, "oldest_transaction") == "pass"
    with database.connect() as connection, connection.transaction():
        connection.execute("SELECT 1")
        time.sleep(1.1)
        assert int(judge(database)["oldest_transaction"]["value"].split()[0]) >= 1
        assert status(database, "oldest_transaction") == "pass"
        assert limited(database, "oldest_transaction", "1 second", "1 hour") == "warn"
        assert limited(database, "oldest_transaction", "0.5 seconds", "1 second") == "fail"


def test_monitoring_sees_what_operations_sees(database: Database) -> None:
    as_monitor = judge(database, "wedsync_monitor")
    assert {name: row["status"] for name, row in as_monitor.items()} == {
        name: row["status"] for name, row in judge(database).items()
    }


def test_others_may_not_ask(database: Database) -> None:
    with pytest.raises(db.sqlstates.InsufficientPrivilege):
        judge(database, "wedsync_app")
