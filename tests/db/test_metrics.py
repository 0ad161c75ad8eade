"""Metrics of each minute, slow statements, sizes: what is noted, and that it is true."""

from __future__ import annotations

from typing import Any

import pytest
from guestcomms import db

from tests.db.queue_calls import organization, queue
from tests.db.server import Database


def ask(database: Database, query: str, login: str = "wedsync_ops") -> list[dict[str, Any]]:
    with database.connect(login) as connection:
        return db.rows(connection, query.encode())


def collect(database: Database) -> dict[str, int]:
    rows = ask(database, "SELECT * FROM public.collect_performance_metrics()", "guestcomms_cron")
    assert [row["error"] for row in rows] == [None] * 8
    return {row["source"]: row["metrics"] for row in rows}


def summary(database: Database) -> dict[tuple[str, str], dict[str, Any]]:
    rows = ask(database, "SELECT *, labels::text AS of FROM public.get_metrics_summary(10)")
    return {(row["metric_name"], row["of"]): row for row in rows}


def test_calls_of_the_last_minute_are_counted_once(database: Database) -> None:
    database.execute("SELECT extensions.pg_stat_statements_reset()")  # or it evicts what it counts
    collect(database)
    for _ in range(3):
        ask(database, "SELECT * FROM public.get_connection_metrics()")
    collect(database)
    label = '{"function": "get_connection_metrics"}'
    measured = summary(database)
    assert measured["calls", label]["latest"] == 3
    assert measured["call_avg_ms", label]["latest"] > 0
    collect(database)
    assert summary(database)["calls", label]["latest"] == 3, "no call is no measurement"
    assert summary(database)["statement_avg_ms", "{}"]["measurements"] == 3


def test_probes_are_calls_and_give_percentiles(database: Database) -> None:
    with database.connect() as connection:
        queue(connection, organization(database), 10)
    assert collect(database)["probes"] == 4
    measured = summary(database)
    for probe in ("list_communications", "list_recipients", "search_guests", "queue"):
        assert 0 < measured["probe_ms", f'{{"probe": "{probe}"}}']["latest"] < 10_000
    database.execute(
        "INSERT INTO public.communication_performance_metrics (metric_name, labels, metric_value)"
        " SELECT 'probe_ms', jsonb_build_object('n', n), n FROM generate_series(1, 1000) AS n"
    )
    collect(database)
    measured = summary(database)
    assert measured["probe_p95_ms", "{}"]["latest"] == pytest.approx(950, abs=10)
    assert measured["probe_p99_ms", "{}"]["latest"] == pytest.approx(990, abs=5)


def test_the_queue_and_sizes_are_measured(database: Database) -> None:
    with database.connect() as connection:
        queue(connection, organization(database), 2500)
    assert collect(database)["sizes"] > 20
    measured = summary(database)
    assert measured["queue_recipients", "{}"]["latest"] == 2500
    assert measured["queue_chunks", '{"state": "ready"}']["latest"] == 3
    assert measured["table_bytes", '{"table": "public.communication_recipients"}']["latest"] > 0
    assert measured["connections_max", "{}"]["latest"] == 400
    again = collect(database)
    assert again["sizes"] == 0, "sizes are noted once an hour"
    assert ("cache_hit_percent", "{}") in summary(database)


def test_what_providers_reported_is_measured(database: Database) -> None:
    """From the dashboard: all four statuses, with 0 where nothing was reported."""
    assert collect(database)["delivery"] == 5
    measured = summary(database)
    assert measured["delivery_messages_finished", "{}"]["latest"] == 0
    for status in ("delivered", "failed", "bounced", "complained"):
        assert measured["delivery_messages", f'{{"status": "{status}"}}']["latest"] == 0


def test_a_source_that_fails_does_not_stop_the_others(database: Database) -> None:
    database.execute("DROP EXTENSION pg_stat_statements CASCADE")
    rows = ask(database, "SELECT * FROM public.collect_performance_metrics()")
    failed = {row["source"]: row["error"] for row in rows if row["error"]}
    assert failed.keys() == {"statements"}
    assert ("connections_used", "{}") in summary(database)


@pytest.mark.parametrize(
    ("call", "sqlstate"),
    [
        ("SELECT get_metrics_summary(NULL)", "GC300"), ("SELECT get_metrics_summary(0)", "GC133"),
        ("SELECT get_metrics_summary(2147483647)", "GC133"),
        ("SELECT explain_slow_queries(NULL)", "GC300"),
        ("SELECT explain_slow_queries(-1)", "GC133"),
        ("SELECT explain_slow_queries('NaN')", "GC133"),
    ],
)  # fmt: skip
def test_nonsense_is_refused(database: Database, call: str, sqlstate: str) -> None:
    with pytest.raises(db.DatabaseError) as refusal:
        ask(database, call)
    assert refusal.value.sqlstate == sqlstate


def test_a_slow_statement_is_noted_with_its_plan_and_without_values(database: Database) -> None:
    explain = "SELECT * FROM public.explain_slow_queries(200)"
    ask(database, explain)
    slow = (
        "SELECT pg_sleep(0.3), count(*) FROM public.communication_recipients"
        " WHERE recipient_email = 'secret@example.com'"
    )
    ask(database, slow)
    noted = [row for row in ask(database, explain) if "pg_sleep" in row["query_text"]]
    assert len(noted) == 1
    assert noted[0]["execution_time_ms"] >= 300
    assert (noted[0]["calls"], noted[0]["rows_affected"]) == (1, 1)
    assert "secret" not in str(noted[0])
    assert "communication_recipients" in str(noted[0]["plan"])
    assert not [row for row in ask(database, explain) if "pg_sleep" in row["query_text"]]
    assert ask(database, "SELECT FROM public.communication_query_performance")


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("SELECT $1, 'it''s me', 12.5, a1", "SELECT $1, ?, ?, a1"),
        ("SELECT $tag$secret$tag$ FROM p_20261101 LIMIT 7", "SELECT ? FROM p_20261101 LIMIT ?"),
        ("SELECT $1 + $2", "SELECT $1 + $2"),
    ],
)
def test_values_are_masked_where_the_server_kept_them(
    database: Database, text: str, masked: str
) -> None:
    with database.connect() as connection:
        value = db.one_value(connection, b"SELECT internal.without_literals(%s)", (text,))
    assert value == masked


@pytest.mark.parametrize(
    "text", ["DROP TABLE public.guests", "EXPLAIN ANALYZE DELETE FROM public.guests", "nonsense"]
)
def test_what_is_no_query_is_not_explained(database: Database, text: str) -> None:
    with database.connect() as connection:
        plan = db.one_value(connection, b"SELECT internal.generic_plan(%s)", (text,))
    assert plan is None


def test_sizes_of_partitions_add_up(database: Database) -> None:
    rows = ask(database, "SELECT * FROM public.table_sizes()")
    events = [row for row in rows if row["table_name"] == "public.delivery_status"]
    whole, *parts = events
    assert whole["partition_name"] is None
    assert len(parts) >= 4
    assert whole["total_bytes"] == sum(part["total_bytes"] for part in parts)
    assert whole["total_bytes"] == whole["table_bytes"] + whole["index_bytes"]


def test_an_index_that_is_used_counts_over_all_partitions(database: Database) -> None:
    query = (
        "SELECT scans FROM public.index_usage() WHERE index_name = 'guest_communications_newest'"
    )
    before = ask(database, query)[0]["scans"]
    with database.connect() as connection:
        connection.execute("SET enable_seqscan = off")
        connection.execute(
            "SELECT FROM public.guest_communications WHERE organization_id = gen_random_uuid()"
            " AND created_at > now()"
        )
        connection.execute("SELECT pg_stat_force_next_flush()")
    assert ask(database, query)[0]["scans"] >= before


def test_connections_are_those_of_now(database: Database) -> None:
    with database.connect() as holder, holder.transaction():
        holder.execute("SELECT 1")
        row = ask(database, "SELECT * FROM public.get_connection_metrics()")[0]
    assert row["max"] == 400
    assert row["active"] >= 1
    assert row["idle_in_transaction"] >= 1
    assert row["used"] >= row["active"] + row["idle_in_transaction"]
    assert row["pool_max"] == 20
    assert row["pool_waiting"] is None
